"""What can be wrong with a Postgres that holds a ledger."""

from __future__ import annotations

from daybreak.errors import LedgerError


class PostgresUnusable(LedgerError):
    """The Postgres cannot be reached, refuses us, or cannot hold a ledger; or its driver is not installed here."""

    code = "L201"


class ConnectionLost(Exception):
    """The connection broke, or the server did not answer in time. `unclear`: a commit may or may not have gone in."""

    def __init__(self, why: str, *, unclear: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.unclear = unclear
