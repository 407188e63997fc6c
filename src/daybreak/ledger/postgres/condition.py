"""What a Postgres says of itself that a ledger in it depends on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import psycopg

from daybreak.ledger.postgres import schema
from daybreak.ledger.postgres.connection import connect, unusable

_SETTINGS = ("server_version", "fsync", "full_page_writes", "synchronous_commit")


@dataclass(slots=True)
class Condition:
    """How it is. `address` is without a password."""

    address: str
    version: str = ""
    size: int = 0
    """Events."""
    milliseconds: float = 0
    """That one question takes, there and back."""
    synchronous_commit: str = ""
    """As our own commits have it."""
    dangers: list[str] = field(default_factory=list)
    """What loses acknowledged events when the machine loses its power."""
    problems: list[str] = field(default_factory=list)
    """Where the ledger's tables differ from what they should be."""


def look(url: str) -> Condition:
    """Connects and asks; changes nothing. Raises PostgresAddressWrong, PostgresUnusable, LedgerForeign."""
    with connect(url) as link:
        found = Condition(str(link.address))
        try:
            asked = ", ".join(f"current_setting('{name}')" for name in _SETTINGS)
            row = link.execute(f"SELECT {asked}").fetchone()
            assert row is not None
            found.version, fsync, pages, found.synchronous_commit = row
            began_s = time.perf_counter()
            link.execute("SELECT 1").fetchone()
            found.milliseconds = 1000 * (time.perf_counter() - began_s)
            if fsync == "off":
                found.dangers.append("fsync is off: what it acknowledges is lost with the machine's power")
            if pages == "off":
                found.dangers.append("full_page_writes is off: a power loss can leave torn pages")
            if not schema.is_blank(link):
                found.problems = schema.problems(link)
                head = link.execute("SELECT size FROM head WHERE one = 1").fetchone()
                found.size = 0 if head is None else int(head[0])
        except psycopg.Error as error:
            raise unusable(link.address, error) from None
    return found
