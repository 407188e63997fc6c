"""Alerts, beside a night or a server: looks about once a minute what becomes of them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.errors import DaybreakError, LedgerStopped, UsageError

if TYPE_CHECKING:
    from daybreak.home.opening import Home
    from daybreak.report.alerts import Rules, Watch

_log = logging.getLogger(__name__)


def rules() -> Rules | None:
    """Those of `daybreak.toml` as it is now; None where it cannot be used, or where there is none: nobody knows then
    which rules there are."""
    from daybreak import settings
    from daybreak.home import opening
    from daybreak.report.alerts import Rules

    try:
        file = settings.find(os.environ, Path.cwd(), opening.places().settings)
        return None if file is None else Rules(opening.settings().alerts, _name(file))
    except UsageError as problem:
        _log.warning("alerts are not looked at: %s %s", problem.code, problem.message)
        return None


def _name(file: Path) -> str:
    """As the ledger can hold it."""
    return str(file.resolve()).encode("utf-8", "backslashreplace").decode()


def watch(home: Home) -> Watch:
    """What looks at the alerts of a home."""
    from daybreak.clock import SystemClock
    from daybreak.report.alerts import Watch

    return Watch(home.ledger, SystemClock(), rules)


@contextmanager
def beside(home: Home) -> Iterator[None]:
    """Within the block, a thread of its own looks. What the ledger refuses is logged, and tried again."""
    from daybreak.report.alerts.watch import EVERY_S

    looking, closing = watch(home), threading.Event()

    def work() -> None:
        while not closing.is_set():
            try:
                looking.look()
            except LedgerStopped:
                return
            except DaybreakError as error:
                _log.warning("alerts were not looked at: %s %s", error.code, error.message)
            closing.wait(EVERY_S)

    thread = threading.Thread(target=work, name="daybreak-alerts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()
