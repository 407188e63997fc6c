"""The view `alerts`: how each alert stands. Derived, never the truth.

clear ── holds ──> pending ── for long enough ──> firing ── over ──> clearing ── for long enough ──> clear
           <── over ──                                <── holds ──
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from daybreak.events import AlertCleared, AlertFired, AlertTurned
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View
from daybreak.report.metrics.asking import Asked

State = Literal["clear", "pending", "firing", "clearing"]

_SCHEMA = """
CREATE TABLE view_alerts (
  alert     TEXT NOT NULL,
  version   INTEGER NOT NULL,
  state     TEXT NOT NULL CHECK (state IN ('clear', 'pending', 'firing', 'clearing')),
  since     TEXT NOT NULL,
  metric    TEXT NOT NULL,
  severity  TEXT NOT NULL,
  value     REAL NOT NULL,
  threshold REAL NOT NULL,
  text      TEXT NOT NULL,
  fired     TEXT NOT NULL,
  cleared   TEXT NOT NULL,
  rules     TEXT NOT NULL,
  PRIMARY KEY (alert, rules)
) STRICT, WITHOUT ROWID;
"""
_TURN = """INSERT INTO view_alerts VALUES (?1, ?2, iif(?3, 'pending', 'clear'), ?4, '', '', ?5, ?6, '', '', '', ?7)
  ON CONFLICT DO UPDATE SET version = excluded.version, since = excluded.since, value = excluded.value,
  threshold = excluded.threshold,
  state = CASE WHEN state IN ('firing', 'clearing') THEN iif(?3, 'firing', 'clearing') ELSE excluded.state END"""
_FIRE = """INSERT INTO view_alerts VALUES (?1, ?2, 'firing', ?3, ?4, ?5, ?6, ?7, ?8, ?3, '', ?9)
  ON CONFLICT DO UPDATE SET version = excluded.version, state = 'firing', since = excluded.since,
  metric = excluded.metric, severity = excluded.severity, value = excluded.value, threshold = excluded.threshold,
  text = excluded.text, fired = excluded.fired, cleared = ''"""
_CLEAR = """INSERT INTO view_alerts VALUES (?1, ?2, 'clear', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?3, ?10)
  ON CONFLICT DO UPDATE SET version = excluded.version, state = 'clear', since = excluded.since,
  value = excluded.value, threshold = excluded.threshold, text = excluded.text, cleared = excluded.cleared"""


def _apply(record: Record) -> Iterable[Statement]:
    match record.event:
        case AlertTurned() as one:
            yield Statement(_TURN, (one.alert, one.version, one.holds, record.ts, one.value, one.threshold, one.rules))
        case AlertFired() as one:
            what = (one.metric, one.severity, one.value, one.threshold, one.text)
            yield Statement(_FIRE, (one.alert, one.version, record.ts, *what, one.rules))
        case AlertCleared() as one:
            what = (one.metric, one.severity, one.value, one.threshold, one.text)
            yield Statement(_CLEAR, (one.alert, one.version, record.ts, *what, one.fired, one.rules))
        case _:
            pass


ALERTS = View(
    name="alerts", version=1, schema=_SCHEMA, apply=_apply, of=(AlertTurned, AlertFired, AlertCleared), weight="low"
)
"""Register it where the ledger is opened."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an alert stands. Moments are texts as in the ledger; empty where there was none."""

    alert: str
    version: int
    state: State
    """pending: it holds, not yet for long enough; clearing: it fired and is over, not yet for long enough."""
    since: str
    """That it is in this state; firing: that its condition holds again, or that it fired."""
    metric: str
    severity: str
    value: float
    """At its last change."""
    threshold: float
    text: str
    fired: str
    """When it last did."""
    cleared: str
    """When that was over; empty while it is not."""
    rules: str = ""
    """The settings file that its rule stands in."""

    @property
    def fires(self) -> bool:
        """Has it fired, and is not over?"""
        return self.state in ("firing", "clearing")


def standing(log: Asked) -> list[Standing]:
    """Every alert that ever changed: those that fire first, then by name."""
    rows = log.query("SELECT * FROM view_alerts ORDER BY state IN ('firing', 'clearing') DESC, alert, rules")
    return [Standing(*row) for row in rows]
