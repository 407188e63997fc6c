"""Sends spans and log lines of this process's work to the collector that the settings name."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from daybreak.clock import SystemClock, stamp

if TYPE_CHECKING:
    from daybreak.host.files.hearing import Hearer
    from daybreak.ledger import Ledger, Record
    from daybreak.report.traces.sending import Sender
    from daybreak.report.traces.spans import Span
    from daybreak.settings import Traces


@contextmanager
def beside(ledger: Ledger, told: Traces, environment: Mapping[str, str]) -> Iterator[None]:
    """Within the block, what this process commits, writes into files and logs is sent. It never slows the work: see
    `report.traces.sending`. Raises TracesUnavailable, KeyUnresolved."""
    from daybreak.host.files.hearing import hearing
    from daybreak.report.traces.otlp import Otlp
    from daybreak.report.traces.sending import Sender
    from daybreak.report.traces.spans import HEARD
    from daybreak.settings import resolve_key

    headers = {name: resolve_key(where, environment) for name, where in told.headers.items()}
    sender = Sender(Otlp(told.endpoint, headers, socket.gethostname()), _weaving(ledger, told.sample))
    handler = _Handler(sender, told.sample)
    logger = logging.getLogger("daybreak")
    with ExitStack() as stack:
        stack.callback(sender.close)
        stack.callback(ledger.subscribe(lambda records: sender.put(*(one for one in records if one.type in HEARD))))
        stack.enter_context(hearing(_hearer(sender, told.sample)))
        logger.addHandler(handler)
        stack.callback(logger.removeHandler, handler)
        yield


def _weaving(ledger: Ledger, share: float) -> Callable[[Record], Iterable[Span]]:
    from daybreak.report.traces.spans import Weaver

    def known(run: str) -> tuple[str, str]:
        for kind, title in ledger.query("SELECT kind, title FROM view_runs WHERE run = ?", (run,)):
            return str(kind), str(title)
        return "", ""

    return Weaver(known, share).take


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

        here = self._current()
        night, run = str(here.get("night", "")), str(here.get("run", ""))
        if sampled(trace_of(night, run), self._share):
            self._sender.put(self.format(record))
