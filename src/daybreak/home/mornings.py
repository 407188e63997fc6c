"""The morning report of a home: what the ledger tells, with what only this machine sees."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.home.opening import Home
    from daybreak.ledger.record import Record
    from daybreak.report.morning import Coming, Kept, Morning, Source

NEXT_MAX = 5
"""Runs that would be picked next, that are named."""


def gather(
    home: Home, now: datetime, *, since: datetime | None = None, night: str | None = None, address: str = ""
) -> tuple[Source, Mapping[int, Record]]:
    """What the report is made of; arguments as `report.morning.collect` has them. Raises NightUnknown."""
    from daybreak.engine import nights
    from daybreak.home.standing import locks
    from daybreak.report import morning

    offset = now.astimezone().utcoffset()
    open_nights = [row.night for row in nights.open_nights(home.ledger)]
    held = [name for name, one in locks(home, open_nights).items() if one.held]
    return morning.gather(
        home.ledger,
        now=now,
        since=since,
        night=night,
        coming=coming(home, now),
        kept=kept(home),
        alive=bool(held),
        zone=0 if offset is None else int(offset.total_seconds() // 60),
        address=address,
    )


def collect(home: Home, now: datetime, *, since: datetime | None = None, night: str | None = None) -> Morning:
    """The report. Raises NightUnknown."""
    from daybreak.report.morning.deriving import derive

    return derive(gather(home, now, since=since, night=night)[0])


def coming(home: Home, now: datetime) -> list[Coming]:
    """What goes on next: runs that would be picked now, then by time."""
    from daybreak.clock import SystemClock, stamp
    from daybreak.engine.schedules import Schedules
    from daybreak.report.morning import Coming

    picks = home.engine.queue.next(now, most=NEXT_MAX)
    found = [Coming(when="", what=one.title, run=one.run) for one in picks]
    if (wakes := home.engine.queue.wake_at(now)) is not None:
        found.append(Coming(when=stamp(wakes), what="a task whose time comes then"))
    schedules = Schedules(home.ledger, SystemClock(), home.engine.queue)
    return found + [
        Coming(when=stamp(window.start), what=f"schedule {name}: window {window.key}")
        for name, window in schedules.next(now)
    ]


def kept(home: Home) -> Kept:
    """How far the ledger goes, and who else has it."""
    from daybreak.home import marks
    from daybreak.report import marks as marking
    from daybreak.report.morning import Kept

    head = home.ledger.newest()
    return Kept(size=head.size, root=base64.b64encode(head.root).decode(), lines=marking.lines(marks.look(home)))
