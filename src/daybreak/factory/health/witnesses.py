"""How the witnesses of `daybreak.toml` stand, from what the last tries left; nobody is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.errors import LedgerError, UsageError
from daybreak.factory.health.finding import Finding
from daybreak.factory.witnessing.members import members
from daybreak.factory.witnessing.panel import mark
from daybreak.factory.witnessing.watch import SILENCES_TOLD
from daybreak.ledger import keyfile
from daybreak.ledger.note import NoteError
from daybreak.ledger.witness.kept import Kept, Standing
from daybreak.settings import Settings

_CHECK = "`daybreak ledger witness check` asks them all now"


def look(where: Places, clock: Clock, settings: Callable[[], Settings]) -> Iterator[Finding]:
    try:
        told = settings()
    except UsageError:
        return  # told elsewhere
    if not told.witnesses or not keyfile.exists(where.keys):
        return
    try:
        verifier = keyfile.with_history(where.keys, keyfile.load_verifier(where.keys))
    except (LedgerError, NoteError):
        return  # told elsewhere
    places = members(told, verifier, clock, {})
    known = Kept(where.witness, verifier).standings().values()
    standings = {one.name: one for one in known if one.name in places and one.where == places[one.name].where}
    sizes = {name: standings[name].counts if name in standings else 0 for name in told.witnesses}
    for name in told.witnesses:
        yield _finding(name, standings.get(name), required=name in told.witness.required)
    have = mark(told.witness, sizes)
    if have is not None:
        yield Finding("witnesses", "good", f"{have} events are witnessed by the rule of daybreak.toml", _CHECK)


def _finding(name: str, standing: Standing | None, *, required: bool) -> Finding:
    if standing is None or standing.state == "new":
        return Finding("witness", "note", f"{name} was never reached", _CHECK)
    if standing.state == "contradicts":
        text = f"{name} says that the ledger was cut or rewritten: {standing.why}"
        return Finding("witness", "bad", text, "compare with the other witnesses and run `daybreak ledger verify`")
    if standing.state == "failing":
        level = "bad" if required and standing.failures >= SILENCES_TOLD else "note"
        text = f"{name} has failed {standing.failures} times since {standing.since[:19]}Z: {standing.why}"
        return Finding("witness", "bad" if level == "bad" else "note", text, _CHECK)
    return Finding("witness", "good", f"{name} ({standing.kind}) has {standing.size} events, from {standing.at[:19]}Z")
