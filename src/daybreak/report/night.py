"""Which night is meant, and what is open beside the work. What a night brought is told by `report.morning`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from daybreak.engine import nights
from daybreak.engine.log import Log
from daybreak.engine.nights import NightRow
from daybreak.errors import UsageError

_RUNS = "SELECT run FROM view_runs WHERE night IN (SELECT value FROM json_each(?)) ORDER BY place"
_INCIDENTS = "SELECT incident, kind, level, run, raised, what FROM view_incidents WHERE closed = '' ORDER BY raised"


class NightUnknown(UsageError):
    """There was no such night."""

    code = "U183"


@dataclass(frozen=True, slots=True)
class IncidentLine:
    incident: str
    kind: str
    level: int
    run: str
    raised: str
    what: str


@dataclass(frozen=True, slots=True)
class BreakerLine:
    """A breaker that is not closed."""

    name: str
    state: str
    until: str
    why: str


def open_incidents(log: Log) -> list[IncidentLine]:
    """Those that nobody has closed, the oldest first."""
    return [IncidentLine(*found) for found in _rows(log, "view_incidents", _INCIDENTS)]


def pick(log: Log, night: str | None) -> NightRow:
    """Raises NightUnknown."""
    found = nights.nights(log, 2, named=night or "")
    exact = [row for row in found if row.night == night]
    if night is None and found:
        return found[0]
    if exact or len(found) == 1:
        return (exact or found)[0]
    if night is None:
        raise NightUnknown("there was no night here yet", hint="`daybreak night` begins one")
    what = "several nights are" if found else "no night is"
    raise NightUnknown(f"{what} called {night[:80]!r}", hint="leave the name out for the newest")


def runs_of(log: Log, night: str | None = None) -> list[str]:
    """The runs that this night, or a start of it that died, had last, in the order in which they were added; without a
    name those of the newest night. Raises NightUnknown."""
    named = [one.night for one in nights.starts(log, pick(log, night).night)]
    return [str(run) for (run,) in log.query(_RUNS, (json.dumps(named),))]


def _rows(log: Log, table: str, sql: str) -> Iterable[tuple[Any, ...]]:
    """Nothing where the ledger was opened without that view."""
    if not log.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)):
        return []
    return log.query(sql)
