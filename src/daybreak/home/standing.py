"""How everything stands now: from the ledger, from this machine's locks, and from what a night says of itself."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daybreak.home.opening import Home
    from daybreak.report.standing import Lock, Standing


_SEATS = """SELECT night, seat FROM view_nights WHERE seat <> '' AND night IN (SELECT value FROM json_each(?1))
  UNION ALL SELECT run, seat FROM view_runs WHERE seat <> '' AND run IN (SELECT value FROM json_each(?1))"""


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
        locks=locks(home, names),
        beats={name: _told(home, name) for name in open_nights},
        wakes=min(coming, default=None),
        replicas=[f"{one.target} {one.problem}" for one in lost],
        marks=seen,
        told=None if home.problem is not None else home.settings.notify.channels,
    )


def lock(home: Home, name: str) -> Lock:
    """Who holds what belongs to a night or a run: as this machine says, or as the beats of other homes say."""
    return locks(home, [name])[name]


def locks(home: Home, names: Collection[str]) -> dict[str, Lock]:
    """As `lock`, of several at once. Where nobody can say whether other homes live, they are shown as if they did."""
    far = elsewhere(home, names)
    return {name: far.get(name) or _lock_here(home, name) for name in names}


def elsewhere(home: Home, names: Collection[str]) -> dict[str, Lock]:
    """Of those whose owner is, or was, a process of another home on the same ledger."""
    from daybreak.clock import SystemClock, stamp
    from daybreak.errors import LedgerError
    from daybreak.ledger.seats import home_of
    from daybreak.report.standing import Lock

    seats = home.engine.seats
    if seats is None or not names:
        return {}
    rows = home.ledger.query(_SEATS, (json.dumps(list(names)),))
    far = {str(name): str(seat) for name, seat in rows if home_of(seat) != home_of(seats.me)}
    if not far:
        return {}
    try:
        living = {one.seat: one for one in seats.look() if one.lives}
    except LedgerError:
        return dict.fromkeys(far, Lock(True))
    now = SystemClock().now()
    beats = {seat: stamp(now - timedelta(seconds=max(0.0, one.silent_s))) for seat, one in living.items()}
    return {name: Lock(seat in beats, beats.get(seat, "")) for name, seat in far.items()}


def _lock_here(home: Home, name: str) -> Lock:
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
