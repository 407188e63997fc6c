"""The view `requests`: what came with an idempotency key, and what it was answered. Derived, never the truth."""

from __future__ import annotations

from collections.abc import Iterable

from daybreak.events import RequestAnswered, RequestTaken
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View

_SCHEMA = """
CREATE TABLE view_requests (
  key     TEXT PRIMARY KEY,
  request TEXT NOT NULL,
  id      TEXT NOT NULL,
  taken   TEXT NOT NULL,
  status  INTEGER NOT NULL,
  body    TEXT NOT NULL
) STRICT;
"""


def _apply(record: Record) -> Iterable[Statement]:
    match record.event:
        case RequestTaken() as one:
            yield Statement(
                "INSERT INTO view_requests VALUES (?, ?, ?, ?, 0, '') ON CONFLICT DO NOTHING",
                (one.key, one.request, one.id, record.ts),
            )
        case RequestAnswered() as one:
            yield Statement(
                "UPDATE view_requests SET status = ?, body = ? WHERE key = ? AND status = 0",
                (one.status, one.body, one.key),
            )
        case _:
            pass


REQUESTS = View(name="requests", version=1, schema=_SCHEMA, apply=_apply, of=(RequestTaken, RequestAnswered))
"""Register it where the ledger is opened."""
