"""Issues of a forge become tasks. The reading is a run of its own, so that what was read, when, and what became of it
stands in the ledger, and an outage of the forge is waited out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.home import inputs
from daybreak.home.handover.place import Place, placement
from daybreak.home.handover.words import Words

if TYPE_CHECKING:
    from daybreak.factory.asked import Asked
    from daybreak.factory.repository.task import Offer
    from daybreak.home.opening import Home
    from daybreak.settings import Settings


def offer(request: str | None, into: str | None, told: Settings, environment: Mapping[str, str]) -> Offer | None:
    """Where `request` and `into` want the branch offered. Raises PlaceUnclear, SettingsWrong, KeyUnresolved,
    ClientMissing, WorkspaceRefused."""
    if request is None:
        return None
    from daybreak.factory.forges import forge, reaching
    from daybreak.factory.repository.task import Offer
    from daybreak.host.workspaces import git

    where = forge.place(request)
    reaching.check(told, environment, where.forge)
    if into:
        git.check_branch(into)
    return Offer(forge=where.forge, repository=where.repository, into=into or "")


def asked(words: Words, place: Place, *, once: bool, cwd: Path, environment: Mapping[str, str]) -> Asked:
    """The reading of the issues of `words.source`; each task stands at `place`. Raises TaskUnclear for what issues say
    themselves, and what `intake.asked` and `reaching.check` do."""
    from daybreak.factory.forges import forge, intake, reaching
    from daybreak.home import opening

    other = (words.command, words.text, words.unchecked, words.title, words.arg, words.args, words.output)
    words.refuse(
        "--command, --unchecked, --title, --arg, --args, --output and --request are for others", *other, words.request
    )
    words.refuse("--from-phase is for specifications", words.from_phase)
    more = (place.get("after"), place.get("dedupe"), once)
    words.refuse("an issue has words of its own, and --after, --once and --dedupe are for others", words.task, *more)
    assert words.source is not None, "asked before"
    told = opening.settings()
    reaching.check(told, environment, forge.place(words.source).forge)
    return intake.asked(
        words.source,
        inputs.path(words.repo or Path(".")),
        words.checks,
        labels=words.labels,
        assignee=words.assignee or "",
        into=words.into or "",
        place=placement(place),
        settings=told,
        cwd=cwd,
        environment=environment,
        protect=words.protect,
        allow=words.allow,
        workers=words.workers,
        attempts=words.attempts or 3,
        sandbox=words.sandbox,
        guards_only=words.guards_only,
        needs=words.needs,
    )


def added(home: Home, run: str) -> list[dict[str, Any]]:
    """What became of each issue that the run has read so far."""
    from daybreak import events
    from daybreak.factory.kinds.issues import ADDED

    for record in home.ledger.read(events.run_stream(run)):
        if isinstance(record.event, events.StepDone) and record.event.name == ADDED:
            return list(record.event.result)
    return []
