"""Does the Postgres that holds the ledger answer, is this home's ledger in it, and does it keep what it has
acknowledged?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from daybreak.config import Places
from daybreak.errors import DaybreakError
from daybreak.factory.health import glance
from daybreak.factory.health.finding import Finding, trouble
from daybreak.ledger import database, keyfile
from daybreak.ledger.witness import Witness


def look(postgres: Callable[[], str | None], where: Places) -> Iterator[Finding]:
    """Nothing where the ledger is a file. Connects, reads settings, and changes nothing."""
    url = postgres()
    if url is None:
        return
    try:
        known = _known(where)  # before Postgres is asked, because the witness never leads it
        from daybreak.ledger.postgres import condition

        found = condition.look(url)
    except DaybreakError as problem:
        yield trouble("postgres", problem)
        return
    yield from _of_this_home(where, found.address, found.size, known)
    for what in found.dangers:
        yield Finding("postgres", "bad", what, "see the server's configuration; the ledger does not depend on less")
    for what in found.problems:
        yield Finding("postgres", "bad", what, "run `daybreak ledger verify`; the tables' own rules were changed")
    text = f"{found.address} answers in {found.milliseconds:.1f} ms: Postgres {found.version}, {found.size} events"
    synced = "" if found.dangers else f"; commits are synced ({found.synchronous_commit})"
    yield Finding("postgres", "good", text + synced)


def _known(where: Places) -> int:
    """So many events are known outside of Postgres; 0 where this home knows of no ledger."""
    if not keyfile.exists(where.keys) or not Witness(where.witness).exists():
        return 0
    return glance.known_outside(where).size


def _of_this_home(where: Places, address: str, size: int, known: int) -> Iterator[Finding]:
    """What keeps a command from opening it, beside what the log says of itself once there is a mirror."""
    if size < known:
        text = f"{address} holds {size} events, but {known} were known outside"
        hint = "check the address and its ?schema=; else put the database back from a copy, or from the newest mirror"
        yield Finding("postgres", "bad", text, hint)
    mirrored = (where.ledger / database.FILE).exists()
    needed = {where.keys: keyfile.exists(where.keys), where.witness: Witness(where.witness).exists()}
    missing = [str(folder) for folder, there in needed.items() if not there]
    if size and missing and not mirrored:
        text = f"{address} holds a ledger, but what a home of it needs is not in {' and '.join(missing)}"
        hint = "copy the folders `keys` and `witness` from a home that has it, or name another ?schema= in the address"
        yield Finding("postgres", "bad", text, hint)
