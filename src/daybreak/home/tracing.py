"""Sends spans and log lines of this process's work to the collector that the settings name."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from daybreak.clock import SystemClock, stamp

if TYPE_CHECKING:
    from daybreak.host.files.hearing import Hearer
    from daybreak.ledger import Ledger
    from daybreak.report.traces.sending import Sender
    from daybreak.report.traces.spans import Weaver
    from daybreak.settings import Traces

_OWN = "daybreak.report.traces"
_log = logging.getLogger(__name__)


@contextmanager
def beside(ledger: Ledger, told: Traces, environment: Mapping[str, str]) -> Iterator[None]:
    """Within the block, what this process commits, writes into files and logs is sent. It never slows the work: see
    `report.traces.sending`. Where a header cannot be resolved nothing is sent, and the log says so: a night is worth
    more than its traces. Raises TracesUnavailable."""
    from daybreak.host.files.hearing import hearing
    from daybreak.report.traces.otlp import Otlp
    from daybreak.report.traces.sending import Sender
    from daybreak.report.traces.spans import HEARD
    from daybreak.settings import KeyUnresolved

    try:
        headers = _headers(told, environment)
    except KeyUnresolved as problem:
        _log.warning("traces are not sent: %s", problem)
        yield
        return
    sender = Sender(Otlp(told.endpoint, headers, socket.gethostname()), _weaver(ledger, told.sample))
    handler = _Handler(sender, told.sample)
    logger = logging.getLogger("daybreak")
    with ExitStack() as stack:
        stack.callback(sender.close)
        stack.callback(ledger.subscribe(lambda records: sender.put(*(one for one in records if one.type in HEARD))))
        stack.enter_context(hearing(_hearer(sender, told.sample)))
        logger.addHandler(handler)
        stack.callback(logger.removeHandler, handler)
        yield


def _headers(told: Traces, environment: Mapping[str, str]) -> dict[str, str]:
    """A key holds no spaces, so that the scheme of `authorization` is never in it."""
    from daybreak.settings import resolve_key

    found = {name: resolve_key(where, environment) for name, where in told.headers.items()}
    return {name: f"Bearer {key}" if name.lower() == "authorization" else key for name, key in found.items()}


def _weaver(ledger: Ledger, share: float) -> Weaver:
    from daybreak.report.traces.spans import Weaver

    def known(run: str) -> tuple[str, str]:
        for kind, title in ledger.query("SELECT kind, title FROM view_runs WHERE run = ?", (run,)):
            return str(kind), str(title)
        return "", ""

    return Weaver(known, share)


def _hearer(sender: Sender, share: float) -> Hearer:
    from daybreak.engine import trail
    from daybreak.host.files.hearing import Wrote
    from daybreak.report.traces.naming import sampled
    from daybreak.report.traces.spans import file_write, nanoseconds

    clock = SystemClock()

    def hear(told: Wrote) -> None:
        here = trail.current()
        run, night, key = (str(here.get(name, "")) for name in ("run", "night", "key"))
        if not run:
            return
        end = nanoseconds(stamp(clock.now()))
        span = file_write(run, night, key, told.path, told.changes, end - told.took_ns, end)
        if sampled(span.trace, share):
            sender.put(span)

    return hear


class _Handler(logging.Handler):
    """Lines as the log file has them: without secrets, with the ids of night, run and step."""

    def __init__(self, sender: Sender, share: float) -> None:
        from daybreak import logs
        from daybreak.engine import trail
        from daybreak.policy.redaction import redact

        super().__init__()
        self._sender = sender
        self._share = share
        self._current = trail.current
        self.setFormatter(logs.Lines(lambda text: redact(text).text, trail.current))

    def emit(self, record: logging.LogRecord) -> None:
        from daybreak.report.traces.naming import sampled, trace_of
        from daybreak.report.traces.spans import Line

        if record.name.startswith(_OWN):  # what cannot be sent would be told by what cannot be sent
            return
        here = self._current()
        night, run, key = (str(here.get(name, "")) for name in ("night", "run", "key"))
        if not (night or run) or sampled(trace_of(night, run), self._share):
            self._sender.put(Line(self.format(record), night, run, key))
