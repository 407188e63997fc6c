"""`daybreak add`: puts work into the queue, of every kind: a specification, a task file, a Python task, a command, or
something to be done to a repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from daybreak.cli import arguments, faces, issues
from daybreak.cli.arguments import FromPhase, Json, SandboxWanted

EXAMPLES = (
    "Examples:  daybreak add report.toml    daybreak add spec.md --project shop --priority 5    "
    "daybreak add shop.tasks:publish --arg limit=20    "
    "daybreak add --command 'make all' --check 'test -s out.bin' --not-before 22:00 --budget '30min'    "
    "daybreak add --repo . 'sort the list by date' --check 'pytest -q' --worker codex    "
    "daybreak add spec.md --from-phase testing    "
    "daybreak add --from github:octocat/hello --label daybreak --check 'pytest -q'"
)


def add(
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE_OR_TASK",
            help="A specification (.md, .yaml, .toml, .json), a task file (.toml), or a Python task: "
            "package.module:function or file.py:function. With --repo: what is to be done, in your words.",
            show_default=False,
        ),
    ] = None,
    command: Annotated[
        str | None, typer.Option("--command", help="Instead: shell text to run in this folder.", show_default=False)
    ] = None,
    repo: Annotated[
        Path | None,
        typer.Option(
            "--repo",
            metavar="DIR",
            help="A git repository to work on, from its HEAD; the result is a new branch there.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            help="With --command or --repo: shell text that ends with 0 only if it is done. Repeatable.",
        ),
    ] = None,
    protect: Annotated[
        list[str] | None,
        typer.Option(
            "--protect",
            metavar="GLOB",
            help="With --repo: files that must stay as they are, beside the tests that the checks name and their "
            "configuration. Repeatable.",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="GLOB",
            help="With --repo: files that may be changed or added although they are protected. Repeatable.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FORGE:OWNER/NAME",
            help="Instead of words: the open issues there, each once. FORGE is of daybreak.toml, --repo your clone.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="With --from: issues with this label. Repeatable: all of them.")
    ] = None,
    assignee: Annotated[
        str | None, typer.Option("--assignee", metavar="NAME", help="With --from: issues of this person; me: yours.")
    ] = None,
    request: Annotated[
        str | None,
        typer.Option(
            "--request",
            metavar="FORGE:OWNER/NAME",
            help="With --repo: offer the branch there as a pull or merge request. With --from that happens anyway.",
            show_default=False,
        ),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option(
            "--into",
            metavar="BRANCH",
            help="With --from and --request: what the request goes into.",
            show_default="the usual one there",
        ),
    ] = None,
    attempts: Annotated[
        int | None,
        typer.Option(
            "--attempts",
            help="With --repo: how often workers may try.",
            show_default="3",
            parser=arguments.whole(1, 100),
            metavar="N",
        ),
    ] = None,
    guards_only: Annotated[
        bool,
        typer.Option("--guards-only", help="With --repo: go on although every check passes before anything is done."),
    ] = False,
    needs: Annotated[
        list[str] | None,
        typer.Option(
            "--needs",
            metavar="WHAT",
            help="With --repo and --from: what a machine must have on which attempts and checks are done: docker, "
            "gpu=a100, cpus=4, memory=8GiB. Repeatable.",
        ),
    ] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="With --command: nothing decides; the result says not verified.")
    ] = False,
    title: Annotated[str | None, typer.Option("--title", help="With --command.", show_default="the command")] = None,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", metavar="NAME=VALUE", help="For a Python task. Repeatable.")
    ] = None,
    args: Annotated[str | None, typer.Option("--args", metavar="JSON", help="The same, as one JSON object.")] = None,
    project: Annotated[str | None, typer.Option("--project", help="Projects share the workers fairly.")] = None,
    priority: Annotated[
        int | None, typer.Option("--priority", help="Within the project; the higher one first.", show_default="0")
    ] = None,
    after: Annotated[
        list[str] | None, typer.Option("--after", metavar="RUN", help="Only when this run is done. Repeatable.")
    ] = None,
    not_before: Annotated[
        str | None, typer.Option("--not-before", metavar="TIME", help="22:00, +90m, 2026-11-22T07:00Z.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="TIME", help="A person is asked if it has not begun by then.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="NAME=N", help="At most N runs with this key at once. Repeatable."),
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option("--rate", metavar="NAME=30/hour", help="So many runs of that name begin in a time. Repeatable."),
    ] = None,
    dedupe: Annotated[
        str | None,
        typer.Option("--dedupe", metavar="WORD", help="No second one while a run with this word is not over."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="AMOUNTS", help="The most it may use: '2usd 30min 100000tokens'.")
    ] = None,
    secret_subject: Annotated[
        str | None,
        typer.Option(
            "--secret-subject",
            metavar="NAME",
            help="Of a Python task: whom it is about. What it is given, keeps and is answered is stored encrypted, and "
            "`daybreak ledger redact NAME` forgets it.",
            show_default=False,
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Run it once, although it has a schedule of its own.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Of a specification: folder to deliver to.", show_default="./NAME"),
    ] = None,
    worker: Annotated[
        list[str] | None,
        typer.Option(
            "--worker",
            help="Who works: a worker of daybreak.toml, FILE.py:object of your own, or an installed module:object. "
            "Repeatable: asked in that order.",
            show_default="the order in daybreak.toml",
        ),
    ] = None,
    sandbox: SandboxWanted = "degraded",
    from_phase: FromPhase = None,
    as_json: Json = False,
) -> None:
    """Put work into the queue. Nothing runs yet: `daybreak night` works the queue off, `daybreak queue list` shows it.

    What has a schedule of its own (`every`, `cron`) becomes a schedule, whose windows come by themselves.
    """
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.home import handover

    words = handover.Words(
        task, command, tuple(check or ()), unchecked, title, tuple(arg or ()), args, output, tuple(worker or ()),
        sandbox, repo, tuple(protect or ()), tuple(allow or ()), attempts, guards_only,
        source, tuple(label or ()), assignee, request, into, from_phase, needs=tuple(needs or ()), spelled="options",
    )  # fmt: skip
    place = handover.PlaceWords(
        project=project, priority=priority, not_before=not_before, deadline=deadline, keys=tuple(key or ()),
        rates=tuple(rate or ()), dedupe=dedupe, budget=budget, after=tuple(after or ()), spelled="options",
    )  # fmt: skip
    ready = handover.ask(
        words, place, cwd=Path.cwd(), environment=os.environ, clock=SystemClock(), once=once, subject=secret_subject
    )
    with home.opened() as opened:
        if source is not None:
            raise typer.Exit(issues.take(opened, ready, as_json=as_json))
        told = ready.put(opened)
    _tell(told, as_json=as_json)


def _tell(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        faces.result_json(told)
    elif "schedule" in told:
        faces.result(
            f"{told['schedule']}: next {told['next'] or 'never'}" + ("" if told["changed"] else " (as it was)")
        )
    else:
        faces.result(told["run"])
        faces.say(f"{told['title']}: " + ("it is in the queue already" if told["existed"] else "in the queue"))
        if told["waits"]:
            faces.say(told["waits"])
