"""`daybreak status`: is a night under way, what runs, what waits for a person; beside a night or without one."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json

if TYPE_CHECKING:
    from daybreak.cli.home import Home
    from daybreak.report.standing import Lock, Standing

EXAMPLES = "Examples:  daybreak status    daybreak status --watch    daybreak status --json"
WATCH_S = 2.0


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every 2 seconds, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show how everything stands now: what waits for you first, then the night, its runs, budgets and breakers."""
    from daybreak.cli import home
    from daybreak.report import standing

    with home.opened(looking=True) as opened:
        while True:
            now = look(opened)
            if as_json:
                faces.result_json(standing.as_json(now))
            elif watch and faces.console().is_terminal:
                faces.console().clear()
                faces.result(standing.as_text(now).rstrip("\n"))
            else:
                faces.result(standing.as_text(now).rstrip("\n"))
            if not watch:
                return
            try:
                time.sleep(WATCH_S)
            except KeyboardInterrupt:
                return


def look(home: Home) -> Standing:
    """How it stands at this moment."""
    from daybreak.cli import marks
    from daybreak.clock import SystemClock
    from daybreak.engine import nights
    from daybreak.engine.schedules import Schedules
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
    from daybreak.cli.night import status_file

    try:
        told = json.loads(status_file(home.places.locks, night).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
