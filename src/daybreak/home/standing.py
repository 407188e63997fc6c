"""How everything stands now: from the ledger, from this machine's locks, and from what a night says of itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daybreak.home.opening import Home
    from daybreak.report.standing import Lock, Standing


def status_file(locks: Path, night: str) -> Path:
    """Where a night that is under way says what it does."""
    return locks / f"{night}.json"


def look(home: Home) -> Standing:
    """How it stands at this moment."""
    from daybreak.clock import SystemClock
    from daybreak.engine import nights
    from daybreak.engine.schedules import Schedules
    from daybreak.home import marks
    from daybreak.report import standing

    clock = SystemClock()
    now = clock.now()
    seen = marks.look(home)
    lost = [] if seen.replicated is None else [one for one in seen.replicated.targets if one.problem]
    schedules = Schedules(home.ledger, clock, home.engine.queue)
    coming = [moment for moment in (home.engine.queue.wake_at(now), schedules.wake_at(now)) if moment is not None]
    open_nights = [row.night for row in nights.open_nights(home.ledger)]
    under_way = "SELECT run FROM view_runs WHERE state IN ('leased', 'running', 'verifying')"
    names = [*open_nights, *(str(run) for (run,) in home.ledger.query(under_way))]
    return standing.collect(
        home.ledger,
        now,
        locks={name: lock(home, name) for name in names},
        beats={name: _told(home, name) for name in open_nights},
        wakes=min(coming, default=None),
        replicas=[f"{one.target} {one.problem}" for one in lost],
        marks=seen,
        told=None if home.problem is not None else home.settings.notify.channels,
    )


def lock(home: Home, name: str) -> Lock:
    """What this machine says about a lock."""
    from daybreak.clock import SystemClock, stamp
    from daybreak.host.locks import FileLocks
    from daybreak.report.standing import Lock

    seen = FileLocks(home.places.locks, SystemClock()).beat_of(name)
    if seen is None:
        return Lock(False)
    beat = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=seen.changed_ns // 1000)
    return Lock(True, stamp(beat) if seen.owner.beats else "")


def _told(home: Home, night: str) -> dict[str, Any]:
    """What a night last said about itself; nothing where it has not yet."""
    try:
        told = json.loads(status_file(home.places.locks, night).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
