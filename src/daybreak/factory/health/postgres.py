"""Does the Postgres that holds the ledger answer, and does it keep what it has acknowledged?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from daybreak.errors import DaybreakError
from daybreak.factory.health.finding import Finding, trouble


def look(postgres: Callable[[], str | None]) -> Iterator[Finding]:
    """Nothing where the ledger is a file. Connects, reads settings, and changes nothing."""
    url = postgres()
    if url is None:
        return
    try:
        from daybreak.ledger.postgres import condition

        found = condition.look(url)
    except DaybreakError as problem:
        yield trouble("postgres", problem)
        return
    for what in found.dangers:
        yield Finding("postgres", "bad", what, "see the server's configuration; the ledger does not depend on less")
    for what in found.problems:
        yield Finding("postgres", "bad", what, "run `daybreak ledger verify`; the tables' own rules were changed")
    text = f"{found.address} answers in {found.milliseconds:.1f} ms: Postgres {found.version}, {found.size} events"
    synced = "" if found.dangers else f"; commits are synced ({found.synchronous_commit})"
    yield Finding("postgres", "good", text + synced)
