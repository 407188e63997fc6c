"""An end to whoever stands still with the ledger's lock, by those who wait for it.

A process that is stopped, or whose machine is suspended, in the middle of a commit keeps the lock: the server waits for
the rest of what its client was saying, and before Postgres 17 no timeout counts that. So whoever waits too long looks
who has the lock, and cuts the connection of one that has said nothing for the whole of that time. The server takes its
transaction back. When it goes on, it finds the connection lost, and asks under the lock whether its commit went in.

A clock of the server alone says how long that was; one that jumps costs an honest holder one repeat.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import psycopg

from daybreak.ledger.postgres.address import Address
from daybreak.ledger.postgres.connection import connect, said
from daybreak.ledger.postgres.problems import PostgresUnusable

ANSWER_S = 5.0
"""So long a look may take."""
LEAST_S = 0.05
"""Between two looks."""

_HOLDER = """
SELECT a.pid, coalesce(a.usename, ''), a.backend_start::text, a.state_change::text,
  CASE WHEN a.xact_start IS NOT NULL
    THEN extract(epoch FROM clock_timestamp() - greatest(a.xact_start, a.state_change))::float8 END,
  coalesce(a.wait_event_type = 'Client', false)
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid::bigint = %s AND l.objid::bigint = %s
"""
"""Who has that lock. The last two: for how long its connection has done nothing, where it is in a transaction and may
be looked at; and whether the server waits for its client, and not for a disk or another lock."""
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %s AND backend_start::text = %s AND state_change::text = %s
"""
"""Only where it has done nothing since it was looked at."""

_log = logging.getLogger("daybreak.ledger")


class Ended(NamedTuple):
    """Somebody whose connection was cut."""

    pid: int
    """Of the server's process."""
    began: str
    """When that did."""
    user: str
    silent_s: float

    def __str__(self) -> str:
        return f"process {self.pid} of the server, for user {self.user}, had the lock and heard nothing from its client"


class Watch:
    """Of one wait for the lock: `look` is called when that has taken `next_s` more."""

    def __init__(self, address: Address, key: int, limit_s: float) -> None:
        """`limit_s`: well above what any honest commit takes between two things that it says to the server."""
        self._address = address
        self._key = [(key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF]
        self._limit_s = limit_s
        self.next_s = limit_s
        self.ended: list[Ended] = []
        self.held = ""
        """Who had it when this was last looked at, and what can be done about it; empty where nobody."""

    def look(self) -> None:
        """Raises nothing that a server can cause: whoever waits goes on waiting."""
        try:
            with connect(self._address, name="daybreak look") as link:
                link.answer_s = ANSWER_S
                found = link.execute(_HOLDER, self._key, prepare=False).fetchone()
                self.held, self.next_s = "", self._limit_s
                if found is not None:
                    self._judge(link, *found)
        except PostgresUnusable as problem:
            self.held = f"nobody can look who has it: {problem.message}"
        except psycopg.Error as problem:
            self.held = f"nobody can look who has it: {said(self._address, problem)}"
        self.next_s = max(LEAST_S, self.next_s)

    def _judge(
        self, link: Any, pid: int, user: str, began: str, changed: str | None, silent_s: float | None, waits: bool
    ) -> None:
        self.held = f"process {pid} of the server has it, for user {user or '?'}"
        if silent_s is None:
            self.held += f", whose state cannot be seen from here: {_remedy(pid)}"
        elif not waits:
            self.held += ", and is at work"
        elif silent_s < self._limit_s:
            self.next_s = self._limit_s - silent_s
        else:
            self._end(link, Ended(pid, began, user, silent_s), changed)

    def _end(self, link: Any, holder: Ended, changed: str | None) -> None:
        try:
            (done,) = link.execute(_END, [holder.pid, holder.began, changed], prepare=False).fetchone() or (False,)
        except psycopg.errors.InsufficientPrivilege:
            still = f"stands still with it for {holder.silent_s:.0f} s"
            self.held += f", {still}, and is not ours to end: {_remedy(holder.pid)}"
            return
        if done:
            self.held = ""
            self.ended.append(holder)
            _log.warning("%s: %s for %.0f s: that connection was ended", self._address, holder, holder.silent_s)
        else:
            self.next_s = LEAST_S


def _remedy(pid: int) -> str:
    return f"have that user, or an administrator, say SELECT pg_terminate_backend({pid})"
