"""`daybreak add --from`: issues of a forge become tasks. The reading is a run of its own, so that what was read, when,
and what became of it stands in the ledger, and an outage of the forge is waited out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.cli import arguments, faces

if TYPE_CHECKING:
    from daybreak.cli.add import Words
    from daybreak.engine.placement import Placement
    from daybreak.factory.asked import Asked
    from daybreak.factory.repository.task import Offer
    from daybreak.home import Home
    from daybreak.settings import Settings


def offer(request: str | None, into: str | None, told: Settings) -> Offer | None:
    """Where `--request` and `--into` want the branch offered. Raises PlaceUnclear, SettingsWrong, KeyUnresolved,
    ClientMissing, WorkspaceRefused."""
    if request is None:
        return None
    from daybreak.factory.forges import forge, reaching
    from daybreak.factory.repository.task import Offer
    from daybreak.host.workspaces import git

    where = forge.place(request)
    reaching.check(told, os.environ, where.forge)
    if into:
        git.check_branch(into)
    return Offer(forge=where.forge, repository=where.repository, into=into or "")


def asked(words: Words, place: Placement) -> Asked:
    """What `--from` asks for; each task stands at `place`. Raises what `intake.asked` and `reaching.check` do."""
    from daybreak import home
    from daybreak.factory.forges import forge, intake, reaching

    assert words.source is not None
    told = home.settings()
    reaching.check(told, os.environ, forge.place(words.source).forge)
    return intake.asked(
        words.source,
        arguments.path(words.repo or Path(".")),
        words.checks,
        labels=words.labels,
        assignee=words.assignee or "",
        into=words.into or "",
        place=place,
        settings=told,
        cwd=Path.cwd(),
        environment=os.environ,
        protect=words.protect,
        allow=words.allow,
        workers=words.workers,
        attempts=words.attempts or 3,
        sandbox=words.sandbox,
        guards_only=words.guards_only,
    )


def take(asked: Asked, *, as_json: bool) -> int:
    """Read the issues now and show what became of each; the exit status."""
    import anyio

    from daybreak import home

    with home.opened() as opened:
        run = opened.engine.submit(asked.kind, asked.title, asked.args, asked.placement)
        if not as_json:
            faces.say(f"reading the {asked.title}")
        ended = anyio.run(opened.engine.finish, run)
        added = _added(opened, run)
    if as_json:
        told = {"run": run, "state": ended.state, "why": ended.why, "code": ended.code, "question": ended.question}
        faces.result_json({**told, "issues": added})
    elif ended.state == "done":
        _show(added)
    else:
        faces.say(f"daybreak: {ended.code} {ended.why or ended.question}".rstrip())
        faces.say(f"  {ended.hint or f'daybreak resume {run}'}")
    known = {"done": faces.EXIT_VERIFIED, "parked": faces.EXIT_PARKED, "paused": faces.EXIT_INTERRUPTED}
    return known.get(ended.state, faces.EXIT_FAILED)


def _show(added: list[dict[str, Any]]) -> None:
    for one in added:
        faces.result(f"#{one['issue']}  {one['run']}" + (f"  (as before: {one['state']})" if one["existed"] else ""))
    new = sum(not one["existed"] for one in added)
    faces.say(f"{len(added)} issues, {new} of them new in the queue" if added else "no issue fits")


def _added(opened: Home, run: str) -> list[dict[str, Any]]:
    from daybreak import events
    from daybreak.factory.kinds.issues import ADDED

    for record in opened.ledger.read(events.run_stream(run)):
        if isinstance(record.event, events.StepDone) and record.event.name == ADDED:
            return list(record.event.result)
    return []
