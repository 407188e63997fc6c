"""How things stand at this moment, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, get_args

from daybreak.clock import stamp
from daybreak.events import FINAL, State
from daybreak.report.metrics.asking import Asked
from daybreak.report.metrics.view import label_of

_OPEN = ", ".join(f"'{state}'" for state in sorted({*get_args(State)} - FINAL))
_STATES = f"SELECT state, count(*) FROM view_runs WHERE state IN ({_OPEN}) GROUP BY state ORDER BY state"
_ASKING = "SELECT count(*), min(updated) FROM view_runs WHERE state = 'parked' AND NOT answered"
_BREAKERS = "SELECT name FROM view_circuits WHERE state <> 'closed' ORDER BY name"
_INCIDENTS = "SELECT level, count(*) FROM view_incidents WHERE closed = '' GROUP BY level ORDER BY level"
_NIGHTS = "SELECT count(*) FROM view_nights WHERE ended = ''"
_LAST_NIGHT = "SELECT began, ended FROM view_nights ORDER BY place DESC LIMIT 1"
_FIRING = "SELECT alert, severity FROM view_alerts WHERE state IN ('firing', 'clearing') ORDER BY alert"
_EVENTS = "SELECT size FROM head"
_BYTES = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"


@dataclass(frozen=True, slots=True)
class Gauges:
    """Numbers of this moment."""

    now: str
    runs: Mapping[str, int]
    """That are not over, by state: of the others there are ever more, and the counters tell them."""
    asking: int
    """Runs that wait for a person's answer."""
    asking_s: int
    """Since when the oldest of them waits; 0 without one."""
    breakers: tuple[str, ...]
    """Those that are not closed."""
    incidents: Mapping[str, int]
    """Those that nobody has closed, by level."""
    nights: int
    """Without an end: under way, or dead."""
    night_s: int | None
    """Since the newest night ended, or began where it has not; None where there was none."""
    alerts: Mapping[str, str]
    """Those that fired and are not over: name → severity."""
    events: int | None
    """In the ledger; None where it is not in a file."""
    bytes: int | None
    """Of the ledger's file, without its write-ahead log."""


def now(log: Asked, moment: datetime) -> Gauges:
    """As the views have it; a few milliseconds."""
    ((asking, since),) = log.query(_ASKING)
    nights = log.query(_LAST_NIGHT)
    in_file = bool(log.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'head'"))
    return Gauges(
        now=stamp(moment),
        runs={str(state): int(runs) for state, runs in log.query(_STATES)},
        asking=asking,
        asking_s=_since_s(since, moment) if since else 0,
        breakers=tuple(sorted({label_of(name) for (name,) in log.query(_BREAKERS)})),
        incidents={str(level): int(number) for level, number in log.query(_INCIDENTS)},
        nights=int(_one(log, _NIGHTS)),
        night_s=_since_s(nights[0][1] or nights[0][0], moment) if nights else None,
        alerts={str(name): str(severity) for name, severity in log.query(_FIRING)},
        events=_one(log, _EVENTS) if in_file else None,
        bytes=_one(log, _BYTES) if in_file else None,
    )


def _one(log: Asked, sql: str) -> Any:
    found = log.query(sql)
    return found[0][0] if found else 0


def _since_s(earlier: str, moment: datetime) -> int:
    return max(0, (moment - datetime.fromisoformat(earlier)) // timedelta(seconds=1))
