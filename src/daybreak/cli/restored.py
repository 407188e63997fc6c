"""What people are told when a new log goes on from a copy of an old one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daybreak.cli import faces

if TYPE_CHECKING:
    from daybreak.config import Places
    from daybreak.ledger.continuation import Restored


def refuse_mirror(where: Places) -> None:
    """In place of a mirror nothing is restored: what it mirrors would stay as it is, and not fit it any more. Raises
    RestoreRefused; SettingsWrong, SettingsUntrusted where nobody can tell what holds the ledger."""
    from daybreak import home
    from daybreak.ledger import exchange

    if home.postgres(where) is not None:
        raise exchange.of_mirror(where)


def tell(done: Restored) -> None:
    """Lines; what was lost and who waits among them."""
    faces.result(f"{done.source.name}: {done.size} events are in {done.ledger}")
    faces.say(f"the new log {done.origin} goes on from {done.old_origin}")
    if done.lost:
        faces.say(f"{done.lost} events after the copy were known; what they did is not in it")
    for run in done.held:
        faces.say(f'{run} waits for you: `daybreak show {run}`, then `daybreak resume {run} --answer "go on"`')
    if done.safety is not None:
        faces.say(f"what was there before is at {done.safety}")


def tell_use(done: Restored, where: Places) -> None:
    """How to go on with a new home."""
    from daybreak import home

    faces.say(f"use it with DAYBREAK_HOME={done.ledger.parent}")
    if home.postgres(where) is not None:
        faces.say(
            "it is a file: name no Postgres for that home ([ledger] postgres, DAYBREAK_POSTGRES), "
            "or bring it into an empty one with `daybreak ledger copy`"
        )


def as_json(done: Restored) -> dict[str, Any]:
    """`known`: events that the old log is known to have had; `lost`: those of them that are not in the copy."""
    return {
        done.source.kind: done.source.name,
        "ledger": str(done.ledger),
        "log": done.origin,
        "old_log": done.old_origin,
        "events": done.size,
        "known": done.known,
        "lost": done.lost,
        "held": done.held,
        "safety": None if done.safety is None else str(done.safety),
    }
