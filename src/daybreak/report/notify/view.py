"""Which notices there are, and what became of each on each channel. Derived, never the truth.

A notice is an event that people should hear of. It is made by the event alone, whoever appended it, so that none is
lost where nobody was there to send it: what a channel has not had is due there, from the event on that opened it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from daybreak import events
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View

FOR_THE_RECORD, WORTH_A_LOOK, AT_ONCE = 1, 2, 3
"""How severe a notice is."""
_ALERTS = {"info": FOR_THE_RECORD, "warning": WORTH_A_LOOK, "critical": AT_ONCE}
"""How severe an alert is, in its own words."""

# -- notices

_NOTICES = """
CREATE TABLE view_notices (
  notice   TEXT PRIMARY KEY,
  place    INTEGER NOT NULL,
  kind     TEXT NOT NULL,
  severity INTEGER NOT NULL,
  at       TEXT NOT NULL,
  run      TEXT NOT NULL,
  about    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX view_notices_place ON view_notices (place);
CREATE TABLE view_notices_warned (
  account TEXT NOT NULL,
  amount  TEXT NOT NULL,
  most    INTEGER NOT NULL,
  PRIMARY KEY (account, amount, most)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_notices_open (
  breaker TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
"""
_PUT = "INSERT INTO view_notices VALUES (?, ?, ?, ?, ?, ?, ?)"
_PUT_OPENED = """INSERT INTO view_notices SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
  WHERE NOT EXISTS (SELECT 1 FROM view_notices_open WHERE breaker = ?7)"""
_WARNED = "INSERT INTO view_notices_warned VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_OPENED = "INSERT INTO view_notices_open VALUES (?) ON CONFLICT DO NOTHING"
_CLOSED = "DELETE FROM view_notices_open WHERE breaker = ?"


def _notices(record: Record) -> Iterable[Statement]:
    match record.event:
        case events.RunMoved(new="parked") as moved:
            yield _notice(record, "question", WORTH_A_LOOK, run=moved.run)
        case events.BudgetWarned() as warned:
            yield _notice(record, "budget", WORTH_A_LOOK, about=warned.account)
            yield Statement(_WARNED, (warned.account, warned.amount, warned.most))
        case events.BreakerChanged(state="open") as changed:
            told = _notice(record, "breaker", WORTH_A_LOOK, about=changed.name)
            yield Statement(_PUT_OPENED, told.params)  # one that opens again without having closed is no news
            yield Statement(_OPENED, (changed.name,))
        case events.BreakerChanged(state="closed", openings=0) as changed:
            yield Statement(_CLOSED, (changed.name,))
        case events.IncidentRaised() as raised:
            yield _notice(record, "incident", min(max(raised.level, 1), 3), run=raised.run, about=raised.incident)
        case events.NightEnded() as ended:
            severity = AT_ONCE if ended.why == "incident" else WORTH_A_LOOK
            yield _notice(record, "night", severity, about=ended.night)
            if ended.why != "died":  # the report of the night that goes on with it tells of both
                yield _notice(record, "report", WORTH_A_LOOK, about=ended.night)
        case events.NightNoted(level=level, what=what) if level >= 2 and what != "alert":
            yield _notice(record, "alert", WORTH_A_LOOK, run=record.event.run, about=what)
        case events.AlertFired() as fired:
            yield _notice(record, "alert", _ALERTS.get(fired.severity, WORTH_A_LOOK), about=fired.alert)
        case events.AlertCleared() as cleared:  # that it is over wakes nobody
            severity = min(_ALERTS.get(cleared.severity, WORTH_A_LOOK), WORTH_A_LOOK)
            yield _notice(record, "alert", severity, about=cleared.alert)
        case _:
            pass


def _notice(record: Record, kind: str, severity: int, *, run: str = "", about: str = "") -> Statement:
    return Statement(_PUT, (f"{kind}:{record.index}", record.index, kind, severity, record.ts, run, about))


NOTICES = View(
    name="notices",
    version=2,
    schema=_NOTICES,
    apply=_notices,
    of=(
        events.RunMoved,
        events.BudgetWarned,
        events.BreakerChanged,
        events.IncidentRaised,
        events.NightEnded,
        events.NightNoted,
        events.AlertFired,
        events.AlertCleared,
    ),
)
"""Every notice. Register it where the ledger is opened."""

# -- channels

_CHANNELS = """
CREATE TABLE view_channels (
  channel TEXT PRIMARY KEY,
  since   INTEGER NOT NULL,
  sent    TEXT NOT NULL DEFAULT '',
  again   TEXT NOT NULL DEFAULT '',
  tries   TEXT NOT NULL DEFAULT '',
  failed  TEXT NOT NULL DEFAULT '',
  what    TEXT NOT NULL DEFAULT '',
  tested  TEXT NOT NULL DEFAULT '',
  test    TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE TABLE view_channels_kinds (
  channel TEXT NOT NULL,
  kind    TEXT NOT NULL,
  least   INTEGER NOT NULL,
  since   INTEGER NOT NULL,
  PRIMARY KEY (channel, kind, least)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_channels_done (
  channel TEXT NOT NULL,
  notice  TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('sent', 'failed')),
  at      TEXT NOT NULL,
  PRIMARY KEY (channel, notice)
) STRICT, WITHOUT ROWID;
"""
_OPEN = "INSERT INTO view_channels (channel, since) VALUES (?, ?) ON CONFLICT DO NOTHING"
_TOLD = "INSERT INTO view_channels_kinds VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_DONE = """INSERT INTO view_channels_done VALUES (?, ?, ?, ?)
  ON CONFLICT (channel, notice) DO UPDATE SET outcome = excluded.outcome, at = excluded.at"""
_SENT = "UPDATE view_channels SET sent = ?, again = '', tries = '', what = '' WHERE channel = ?"
_TRIED = "UPDATE view_channels SET again = ?, tries = ?, what = ? WHERE channel = ?"
_FAILED = "UPDATE view_channels SET again = '', tries = '', failed = ?, what = ? WHERE channel = ?"
_TESTED = "UPDATE view_channels SET tested = ?, test = ? WHERE channel = ?"


def _channels(record: Record) -> Iterable[Statement]:
    match record.event:
        case events.ChannelOpened() as opened:
            yield Statement(_OPEN, (opened.channel, record.index))
            for kind in opened.kinds:
                yield Statement(_TOLD, (opened.channel, kind, opened.least, record.index))
        case events.NoticeSent() as sent:
            yield from _done(record, sent.channel, sent.notices, "sent")
            yield Statement(_SENT, (record.ts, sent.channel))
        case events.NoticeTried() as tried:
            yield Statement(_TRIED, (tried.again, json.dumps(tried.tries), tried.what, tried.channel))
        case events.NoticeFailed() as failed:
            yield from _done(record, failed.channel, failed.notices, "failed")
            yield Statement(_FAILED, (record.ts, failed.what, failed.channel))
        case events.ChannelTested() as tested:
            yield Statement(_TESTED, (record.ts, "" if tested.ok else tested.what or "it did not go", tested.channel))
        case _:
            pass


def _done(record: Record, channel: str, notices: Iterable[str], outcome: str) -> Iterable[Statement]:
    return (Statement(_DONE, (channel, notice, outcome, record.ts)) for notice in notices)


CHANNELS = View(
    name="channels",
    version=2,
    schema=_CHANNELS,
    apply=_channels,
    of=(events.ChannelOpened, events.NoticeSent, events.NoticeTried, events.NoticeFailed, events.ChannelTested),
)
"""What became of notices. Register it where the ledger is opened."""

VIEWS = (NOTICES, CHANNELS)
