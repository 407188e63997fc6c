"""Are the replicas of the ledger where the settings want them, and how far are they?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from daybreak.config import Places
from daybreak.factory.health.finding import Finding
from daybreak.ledger import database
from daybreak.settings import Settings


def look(where: Places, settings: Callable[[], Settings]) -> Iterator[Finding]:
    """Nothing where there are none. Reads each target's checkpoint, all at once, for at most ten seconds."""
    copies = settings().replicas
    if not copies.targets or not (where.ledger / database.FILE).exists():
        return
    from daybreak.ledger.replicas import Replication
    from daybreak.ledger.replicas.looking import look as look_at

    seen = look_at(where.ledger, where.keys, Replication(copies.targets, copies.acknowledge))
    for one in seen.targets:
        if one.problem:
            yield Finding("replica", "note", f"{one.target}: {one.problem}", one.hint)
    behind = [one for one in seen.targets if not one.problem and one.size < seen.size]
    for one in behind:
        hint = "the next command that opens the ledger for work goes on with it"
        yield Finding("replica", "note", f"{one.target}: {seen.size - one.size} events behind", hint)
    whole = sum(1 for one in seen.targets if not one.problem and one.size >= seen.size)
    text = f"{whole} of {len(seen.targets)} hold all {seen.size} events; {seen.wanted} must"
    if seen.held:
        yield Finding("replicas", "good", text, "`daybreak ledger replicas check` reads everything back")
    else:
        hint = "what came last is durable here only; see `daybreak ledger replicas list`"
        yield Finding("replicas", "bad" if copies.deliveries == "replicated" else "note", text, hint)
