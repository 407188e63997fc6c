"""The machine's clock: does it agree with the log, and does anybody set it?"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from daybreak.clock import Clock
from daybreak.factory.health.finding import Finding

BACK = timedelta(seconds=2)
"""So much less than the last event's time is no matter: clocks are trimmed."""
BACK_FAR = timedelta(minutes=1)
OLDEST = datetime(2026, 1, 1, tzinfo=UTC)
_UNSYNCHRONISED = 5
"""TIME_ERROR of adjtimex(2)."""
_TIMEX_BYTES = 512
"""More than `struct timex` has anywhere."""


def look(clock: Clock, last: str = "") -> Iterator[Finding]:
    """`last`: the time of the ledger's newest event, as it stands there; empty where there is none."""
    now = clock.now()
    hint = "set the clock; with systemd: timedatectl set-ntp true"
    if now < OLDEST:
        yield Finding("clock", "bad", f"it says {now:%Y-%m-%d %H:%M}, which is long ago", hint)
        return
    if last and (back := datetime.fromisoformat(last) - now) > BACK:
        text = f"the clock stands {_span(back)} before the newest event of the ledger ({last})"
        yield Finding("clock", "bad" if back > BACK_FAR else "note", text, hint)
        return
    if synchronised() is False:
        text = "no time service sets the clock"
        yield Finding("clock", "note", text, "schedules and deadlines follow the clock as it is; " + hint)
        return
    yield Finding("clock", "good", "not before the newest event" if last else "it has a time of this age")


def synchronised() -> bool | None:
    """Does the kernel say that something keeps its clock right? None where it cannot be asked."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # all zero: it only asks
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _UNSYNCHRONISED


def _span(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s" if span < timedelta(hours=1) else str(span).partition(".")[0]
