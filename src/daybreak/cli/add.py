"""`daybreak add`: puts work into the queue, of every kind: a specification, a task file, a Python task, a command, or
something to be done to a repository."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import FromPhase, Json, SandboxWanted
from daybreak.errors import DaybreakError, HostError, SpecError, UsageError

if TYPE_CHECKING:
    from daybreak.engine.placement import Placement
    from daybreak.factory.asked import Asked
    from daybreak.factory.task import BuildTask
    from daybreak.home import Home

EXAMPLES = (
    "Examples:  daybreak add report.toml    daybreak add spec.md --project shop --priority 5    "
    "daybreak add shop.tasks:publish --arg limit=20    "
    "daybreak add --command 'make all' --check 'test -s out.bin' --not-before 22:00 --budget '30min'    "
    "daybreak add --repo . 'sort the list by date' --check 'pytest -q' --worker codex    "
    "daybreak add spec.md --from-phase testing    "
    "daybreak add --from github:octocat/hello --label daybreak --check 'pytest -q'"
)
SPECIFICATIONS = frozenset({".md", ".markdown", ".yaml", ".yml", ".json"})
TASK_TABLES = frozenset({"step", "check", "unchecked"})
"""What a task file has and a specification in TOML has not."""
_ONLY_SPECIFICATIONS = "--from-phase is for specifications"
T = TypeVar("T")


class AddWrong(UsageError):
    """What is to be added cannot be; everything that is wrong is in the message."""

    code = "U177"


class TaskUnclear(UsageError):
    """Nobody can tell what is to be added."""

    code = "U178"


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
    wrong = _Gathered()
    place = _place(
        wrong, project=project, priority=priority, not_before=not_before, deadline=deadline, key=key or (),
        rate=rate or (), dedupe=dedupe, budget=budget,
    )  # fmt: skip
    words = Words(
        task, command, tuple(check or ()), unchecked, title, tuple(arg or ()), args, output, tuple(worker or ()),
        sandbox, repo, tuple(protect or ()), tuple(allow or ()), attempts, guards_only,
        source, tuple(label or ()), assignee, request, into, from_phase,
    )  # fmt: skip
    if source is not None:
        wrong.value(lambda: _refuse_subject(secret_subject))
        _take_issues(wrong, words, place, more=after or once or dedupe, as_json=as_json)
        return
    found = wrong.value(lambda: _found(words))
    if found is not None:
        place = wrong.value(lambda: _checked(found, place)) or place
        wrong.value(lambda: _check_subject(secret_subject, found, once=once))
    wrong.raise_all()
    assert found is not None, "what was not found was told"
    _put(found, {**place, "after": tuple(after or ())}, once=once, subject=secret_subject, as_json=as_json)


def read(words: Sequence[str], *, from_phase: str | None = None) -> Asked | BuildTask:
    """What these words name: a file, or a Python task and NAME=VALUE for its arguments. Raises what is wrong."""
    if not words:
        raise TaskUnclear("what is to be added?", hint="name a file or a Python task")
    return _found(Words(words[0], arg=tuple(words[1:]), from_phase=from_phase))


# -- everything that is wrong, at once


@dataclass(slots=True)
class _Gathered:
    found: list[DaybreakError] = field(default_factory=list)

    def value(self, make: Callable[[], T]) -> T | None:
        """What it makes; None where that is told later."""
        try:
            return make()
        except (UsageError, SpecError, HostError) as error:
            self.found.append(error)
            return None

    def raise_all(self) -> None:
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            told = [f"{error.code} {error.message}" for error in self.found]
            hint = "; ".join(error.hint for error in self.found if error.hint) or "mend each of them"
            raise AddWrong("\n".join([f"{len(told)} things are wrong:", *told]), hint=hint)


def _place(wrong: _Gathered, **told: Any) -> dict[str, Any]:
    """Fields of a Placement, those that were given."""
    from daybreak.cli.queue import moment_of
    from daybreak.clock import SystemClock
    from daybreak.policy.budget import Limit

    now = SystemClock().now()
    place: dict[str, Any] = {name: told[name] for name in ("project", "priority", "dedupe") if told[name] is not None}
    for name in ("not_before", "deadline"):
        if told[name] is not None:
            place[name] = wrong.value(lambda text=told[name]: moment_of(text, now))  # type: ignore[misc]
    if told["budget"] is not None:
        place["budget"] = wrong.value(lambda: Limit.parse(told["budget"]))
    number = arguments.whole(1, 1_000_000)
    keys = [wrong.value(lambda text=text: _pair(text, "--key", number)) for text in told["key"]]  # type: ignore[misc]
    rates = [wrong.value(lambda text=text: _pair(text, "--rate", str)) for text in told["rate"]]  # type: ignore[misc]
    place |= {"keys": dict(filter(None, keys))} if keys else {}
    place |= {"rates": dict(filter(None, rates))} if rates else {}
    if not wrong.found:
        wrong.value(lambda: _placement(place))
    return place


def _placement(place: dict[str, Any]) -> Placement:
    from daybreak.engine.placement import Placement

    return Placement(**place)


def _pair(text: str, option: str, read: Callable[[str], T]) -> tuple[str, T]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise TaskUnclear(f"{option} {arguments.cut(text)} names nothing", hint=f"write {option} NAME=VALUE")
    return name.strip(), read(value.strip())


# -- what is to be added


@dataclass(frozen=True, slots=True)
class Words:
    """What the command line says about the work itself."""

    task: str | None
    command: str | None = None
    checks: tuple[str, ...] = ()
    unchecked: bool = False
    title: str | None = None
    arg: tuple[str, ...] = ()
    args: str | None = None
    output: Path | None = None
    workers: tuple[str, ...] = ()
    sandbox: str = "degraded"
    repo: Path | None = None
    protect: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    attempts: int | None = None
    guards_only: bool = False
    source: str | None = None
    labels: tuple[str, ...] = ()
    assignee: str | None = None
    request: str | None = None
    into: str | None = None
    from_phase: str | None = None


def _found(words: Words) -> Asked | BuildTask:
    from daybreak.factory import pythontask

    _refuse(words, "--label and --assignee are for --from", words.labels, words.assignee)
    if words.repo is not None:
        _refuse(words, _ONLY_SPECIFICATIONS, words.from_phase)
        return _of_repository(words, words.repo)
    _refuse(words, "--request and --into are for --repo and --from", words.request, words.into)
    only = (words.protect, words.allow, words.attempts, words.guards_only)
    _refuse(words, "--protect, --allow, --attempts and --guards-only are for --repo", *only)
    if (words.task is None) == (words.command is None):
        raise TaskUnclear(
            "what is to be added?" if words.task is None else "a task and --command are both given",
            hint="name a file or a Python task, or give --command with --check",
        )
    if words.command is not None:
        _refuse(words, _ONLY_SPECIFICATIONS, words.from_phase)
        return _of_command(words)
    assert words.task is not None
    if pythontask.looks_like_one(words.task):
        _refuse(words, _ONLY_SPECIFICATIONS, words.from_phase)
        return _of_python(words, words.task)
    _refuse(words, "--arg and --args are for Python tasks", words.arg or words.args)
    return _of_file(words, arguments.path(words.task))


def _refuse(words: Words, why: str, *given: object) -> None:
    if any(given):
        raise TaskUnclear(
            f"{why}, and this is {arguments.cut(words.task or words.command or words.source or '')}",
            hint="leave them out",
        )


def _of_repository(words: Words, repo: Path) -> Asked:
    from daybreak import home
    from daybreak.cli import issues
    from daybreak.factory.repository import task as repositorytask

    other = (words.command, words.unchecked, words.title, words.arg, words.args, words.output)
    _refuse(words, "--command, --unchecked, --title, --arg, --args and --output are for other tasks", *other)
    _refuse(words, "--into is for --request", words.into if words.request is None else None)
    told = home.settings()
    return repositorytask.asked(
        arguments.path(repo),
        words.task or "",
        words.checks,
        cwd=Path.cwd(),
        environment=os.environ,
        protect=words.protect,
        allow=words.allow,
        workers=words.workers,
        settings=told,
        attempts=words.attempts or 3,
        sandbox=words.sandbox,
        guards_only=words.guards_only,
        offer=issues.offer(words.request, words.into, told),
    )


def _take_issues(wrong: _Gathered, words: Words, place: dict[str, Any], *, more: object, as_json: bool) -> None:
    """`--from`: reads the issues now, which may wait for the forge, and puts each that is new into the queue."""
    from daybreak.cli import issues

    def found() -> Asked:
        other = (words.command, words.unchecked, words.title, words.arg, words.args, words.output, words.request)
        _refuse(words, "--command, --unchecked, --title, --arg, --args, --output and --request are for others", *other)
        _refuse(words, _ONLY_SPECIFICATIONS, words.from_phase)
        _refuse(
            words, "an issue has words of its own, and --after, --once and --dedupe are for others", words.task, more
        )
        return issues.asked(words, _placement({name: value for name, value in place.items() if value is not None}))

    asked = wrong.value(found)
    wrong.raise_all()
    assert asked is not None, "what was not found was told"
    raise typer.Exit(issues.take(asked, as_json=as_json))


def _of_command(words: Words) -> Asked:
    from pydantic import ValidationError

    from daybreak.factory import taskfile
    from daybreak.factory.command.task import CommandTask

    assert words.command is not None
    _refuse(words, "--arg, --args and --output are for other tasks", words.arg, words.args, words.output)
    if bool(words.checks) == words.unchecked:
        both = (
            "it has checks and is unchecked" if words.unchecked else "nothing decides whether the command did its work"
        )
        raise TaskUnclear(both, hint="give --check 'command that ends with 0 only if it is done', or --unchecked")
    title = words.title or " ".join(words.command.split())[:80] or "a command"
    try:
        task = CommandTask.model_validate(
            {
                "title": title,
                "sandbox": words.sandbox,
                "unchecked": words.unchecked,
                "step": [{"run": words.command}],
                "check": [{"run": check} for check in words.checks],
            }
        )
    except ValidationError as error:
        told = "; ".join(dict.fromkeys(one["msg"].removeprefix("Value error, ") for one in error.errors()))
        raise TaskUnclear(f"{arguments.cut(words.command)}: {told}", hint="see `daybreak add --help`") from error
    return taskfile.asked(task, Path.cwd().resolve())


def _of_python(words: Words, task: str) -> Asked:
    from daybreak.factory import pythontask

    other = (words.checks, words.unchecked, words.title, words.output)
    _refuse(words, "--check, --unchecked, --title and --output are for other tasks", *other)
    try:
        args = {} if words.args is None else json.loads(words.args)
    except (ValueError, RecursionError) as error:
        raise TaskUnclear(f"--args is no JSON: {error}", hint="""write --args '{"limit": 20}'""") from error
    if not isinstance(args, dict):
        raise TaskUnclear("--args is no JSON object", hint="""write --args '{"limit": 20}'""")
    given = dict(_pair(text, "--arg", str) for text in words.arg)
    return pythontask.asked(task, Path.cwd().resolve(), args=args, words=given)


def _of_file(words: Words, path: Path) -> Asked | BuildTask:
    from daybreak import home
    from daybreak.factory import task, taskfile

    _refuse(words, "--check, --unchecked and --title belong to --command", words.checks, words.unchecked, words.title)
    if not _is_specification(path):
        _refuse(words, "--output is for specifications", words.output)
        _refuse(words, _ONLY_SPECIFICATIONS, words.from_phase)
        return taskfile.read(path)
    return task.make(
        path,
        output=words.output,
        workers=words.workers,
        settings=home.settings(),
        sandbox=words.sandbox,
        assume=False,
        accept_unshown=False,
        begin=words.from_phase or "",
        cwd=Path.cwd(),
    )


def _is_specification(path: Path) -> bool:
    """By its ending; TOML may be both, and is a specification where it has the name and the requirements of one."""
    if path.suffix.lower() in SPECIFICATIONS:
        return True
    if path.suffix.lower() != ".toml":
        raise TaskUnclear(
            f"{arguments.cut(path)} is no task",
            hint="name a specification (.md, .yaml, .toml, .json), a task file (.toml), or package.module:function",
        )
    import tomllib

    try:
        keys = set(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return False  # the reader of task files says what is wrong with it
    return "name" in keys and "requirements" in keys and not keys & TASK_TABLES


def _checked(found: Asked | BuildTask, place: dict[str, Any]) -> dict[str, Any]:
    """The same place, after asking whether the task may stand there. Raises PlacementWrong."""
    if hasattr(found, "placed"):
        found.placed(**place)
    else:
        from daybreak.factory import deliver

        deliver.check_target(found.output)
        _placement({name: value for name, value in place.items() if value is not None})
    return place


# -- into the queue


def _refuse_subject(subject: str | None) -> None:
    if subject is not None:
        raise TaskUnclear(
            "--secret-subject is for a Python task that runs once: what other tasks and their workers write "
            "(workspaces, transcripts, results) could not be forgotten",
            hint="leave it out, and give such a task nothing that must be forgotten",
        )


def _check_subject(subject: str | None, found: Asked | BuildTask, *, once: bool) -> None:
    """Raises TaskUnclear, DraftRefused."""
    from daybreak.factory.asked import Asked
    from daybreak.ledger.subjects import checked

    if subject is None:
        return
    if not isinstance(found, Asked) or found.kind != "python" or (found.schedule is not None and not once):
        _refuse_subject(subject)
    checked(subject)


def _put(found: Asked | BuildTask, place: dict[str, Any], *, once: bool, subject: str | None, as_json: bool) -> None:
    from daybreak import home
    from daybreak.factory.asked import Asked

    with home.opened() as opened:
        runs = tuple(home.pick_run(opened, run) for run in place.pop("after"))
        if runs:
            place["after"] = runs
        if isinstance(found, Asked):
            told = _asked(opened, found.placed(**place), once=once, subject=subject)
        else:
            told = _build(opened, found, _placement(place))
    if as_json:
        faces.result_json(told)
    elif "schedule" in told:
        faces.result(
            f"{told['schedule']}: next {told['next'] or 'never'}" + ("" if told["changed"] else " (as it was)")
        )
    else:
        faces.result(told["run"])
        faces.say(f"{told['title']}: " + ("it is in the queue already" if told["existed"] else "in the queue"))


def _asked(opened: Home, asked: Asked, *, once: bool, subject: str | None) -> dict[str, Any]:
    if asked.schedule is not None and not once:
        return _schedule(opened, asked)
    added = opened.engine.queue.add(asked.kind, asked.title, asked.args, asked.placement, subject=subject)
    return {"run": added.run, "existed": added.existed, "kind": asked.kind, "title": asked.title}


def _schedule(opened: Home, asked: Asked) -> dict[str, Any]:
    from daybreak.clock import SystemClock
    from daybreak.engine.schedules import Schedules

    assert asked.schedule is not None
    schedules = Schedules(opened.ledger, SystemClock(), opened.engine.queue)
    changed = schedules.set(asked.name, asked.schedule, asked.template())
    coming = schedules.next(SystemClock().now(), asked.name)
    following = coming[0][1].key if coming else None
    return {"schedule": asked.name, "changed": changed, "next": following, "kind": asked.kind, "title": asked.title}


def _build(opened: Home, task: BuildTask, placement: Placement) -> dict[str, Any]:
    from daybreak.factory import task as tasks
    from daybreak.factory.kinds import build

    known = _known(opened, placement.dedupe)
    run = tasks.submit(task, opened.engine, opened.ledger, placement)
    return {"run": run, "existed": run in known, "kind": build.KIND, "title": task.spec.title}


def _known(opened: Home, dedupe: str) -> Iterable[str]:
    """The run with that word that is not over."""
    if not dedupe:
        return ()
    return [row[0] for row in opened.ledger.query("SELECT run FROM view_runs WHERE dedupe = ? AND NOT over", (dedupe,))]
