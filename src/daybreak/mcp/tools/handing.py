"""The tool that hands work over."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from daybreak.home import handover
from daybreak.home.handover import PlaceWords, Words
from daybreak.home.waiting import waits
from daybreak.mcp.desk import Desk
from daybreak.mcp.tools.tool import Gives, Takes, Tool
from daybreak.mcp.words import Outside

_LIST_MAX = 200
TEXT_MAX = 10_500_000
Line = Annotated[str, Field(min_length=1, max_length=20_000)]
Short = Annotated[str, Field(min_length=1, max_length=200)]


class Handed(Takes):
    """One of `specification`, `task_file`, `command` and `repository` with `what`."""

    model_config = ConfigDict(str_max_length=TEXT_MAX)

    specification: Annotated[
        str | None,
        Field(max_length=TEXT_MAX, description="A whole specification (Markdown, or as `name` ends) to build from."),
    ] = None
    task_file: Annotated[
        str | None, Field(max_length=70_000, description="A whole task file (TOML): steps and checks.")
    ] = None
    name: Annotated[
        str | None, Field(max_length=120, description="What the text is called: shop.md, count.toml, .yaml, .json.")
    ] = None
    command: Annotated[str | None, Field(max_length=20_000, description="Shell text to run, in a sandbox.")] = None
    repository: Annotated[
        str | None, Field(max_length=4_000, description="A git repository to work on; the result is a new branch.")
    ] = None
    what: Annotated[
        str | None, Field(max_length=20_000, description="With `repository`: what is to be done, in plain words.")
    ] = None
    checks: Annotated[
        tuple[Line, ...],
        Field(
            max_length=_LIST_MAX, description="Shell texts that end with 0 only if it is done. Of command, repository."
        ),
    ] = ()
    unchecked: Annotated[bool, Field(description="Of a command: nothing decides; the result says not verified.")] = (
        False
    )
    title: Annotated[str | None, Field(max_length=200, description="Of a command.")] = None
    output: Annotated[
        str | None, Field(max_length=4_000, description="Of a specification: the folder to deliver to.")
    ] = None
    workers: Annotated[
        tuple[Short, ...], Field(max_length=20, description="Names of workers of daybreak.toml, in order.")
    ] = ()
    attempts: Annotated[int | None, Field(ge=1, le=100, description="Of repository: how often workers may try.")] = None
    needs: Annotated[
        tuple[Annotated[str, Field(max_length=1_000)], ...],
        Field(max_length=_LIST_MAX, description="Of repository: what a machine must have on which attempts and checks "
              "are done: docker, gpu=a100, cpus=4, memory=8GiB. A specification says it itself."),
    ] = ()  # fmt: skip
    sandbox: Annotated[Literal["full", "degraded"], Field(description="The least that the sandbox must enforce.")] = (
        "degraded"
    )
    project: Annotated[str | None, Field(max_length=200)] = None
    priority: Annotated[int | None, Field(ge=-1000, le=1000, description="The higher one first.")] = None
    after: Annotated[tuple[Short, ...], Field(max_length=_LIST_MAX, description="Runs that must be done before.")] = ()
    not_before: Annotated[str | None, Field(max_length=60, description="22:00, +90m, 2026-11-22T07:00Z.")] = None
    deadline: Annotated[str | None, Field(max_length=60, description="A person is asked if it has not begun.")] = None
    budget: Annotated[str | None, Field(max_length=200, description="The most it may use: 2usd 30min.")] = None
    once: Annotated[bool, Field(description="One run, although the task file has a schedule.")] = False
    key: Annotated[
        str | None,
        Field(min_length=1, max_length=200, description="A word of yours for this order: the same key again gives "
              "the same run and adds nothing. Give one whenever you might have to repeat a call."),
    ] = None  # fmt: skip


class Taken(Gives):
    """What became of it. Nothing runs yet: a night works the queue off."""

    run: str
    """Empty where it became a schedule."""
    existed: bool
    """It was there already, by its key."""
    schedule: str
    next: str
    """When the schedule comes next."""
    kind: str
    title: Outside
    waits: str
    """Why nobody takes it before a night of a certain home begins; else empty."""


def _hand_over(desk: Desk, given: Handed) -> Taken:
    dedupe = None if given.key is None else _word(desk, given.key)
    if dedupe is not None and (known := _known(desk, dedupe)) is not None:
        return known
    words = _words(given)
    place = PlaceWords(
        project=given.project,
        priority=given.priority,
        not_before=given.not_before,
        deadline=given.deadline,
        budget=given.budget,
        after=given.after,
        dedupe=dedupe,
    )
    ready = handover.ask_outside(
        words, place, folders=desk.folders, environment=desk.environment, clock=desk.clock, once=given.once
    )
    if ready.comes_again:
        desk.asker.needs("steer")  # that is more than one piece of work
        if given.name is None:
            raise handover.TaskUnclear(
                "a schedule is called as its task file is, and would take the place of another of that name",
                hint="give `name`, such as nightly.toml",
            )
    told = ready.put(desk.home)
    return Taken(
        run=told.get("run", ""),
        existed=told.get("existed", not told.get("changed", True)),
        schedule=told.get("schedule", ""),
        next=told.get("next") or "",
        kind=told["kind"],
        title=desk.speaking.title(told["title"]),
        waits=told.get("waits", ""),
    )


def _words(given: Handed) -> Words:
    texts = [text for text in (given.specification, given.task_file) if text is not None]
    if len(texts) > 1:
        raise handover.TaskUnclear("specification and task_file are both given", hint="leave one of them out")
    name = given.name
    if name is None and given.task_file is not None:
        name = "task.toml"
    if given.repository is None and given.what is not None:
        raise handover.TaskUnclear("what is for repository", hint="name the repository, or send a specification")
    return Words(
        task=given.what,
        command=given.command,
        checks=given.checks,
        unchecked=given.unchecked,
        title=given.title,
        output=None if given.output is None else Path(given.output),
        workers=given.workers,
        sandbox=given.sandbox,
        repo=None if given.repository is None else Path(given.repository),
        attempts=given.attempts,
        needs=given.needs,
        text=texts[0] if texts else None,
        name=name,
    )


def _word(desk: Desk, key: str) -> str:
    """A dedupe word that no other asker's key can be."""
    told = f"{desk.asker.name}\0{key}".encode("utf-8", "surrogatepass")
    return f"mcp-{hashlib.sha256(told).hexdigest()[:40]}"


def _known(desk: Desk, dedupe: str) -> Taken | None:
    """The run of that key, also where it is over: the queue itself looks at those that are not."""
    rows = desk.home.ledger.query(
        "SELECT run, kind, title FROM view_runs WHERE dedupe = ? ORDER BY created DESC, run DESC LIMIT 1", (dedupe,)
    )
    for run, kind, title in rows:
        return Taken(
            run=run,
            existed=True,
            schedule="",
            next="",
            kind=kind,
            title=desk.speaking.title(title),
            waits=waits(desk.home, run),
        )
    return None


TOOLS = (
    Tool("hand_over", "Hand work over", "Put work into the queue for the night: a specification, a task file, a "
         "command with checks, or something to be done to a git repository. Everything that is wrong with it is told "
         "at once. Nothing counts as done until its checks say so.", "hand-over", Handed, Taken, _hand_over,
         changes=True),
)  # fmt: skip
