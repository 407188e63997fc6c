"""From words to the task that they ask for: read and checked, and nothing recorded yet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.errors import cut
from daybreak.home import inputs
from daybreak.home.handover.place import pair
from daybreak.home.handover.words import TaskUnclear, Words

if TYPE_CHECKING:
    from daybreak.factory.asked import Asked
    from daybreak.factory.task import BuildTask

SPECIFICATIONS = frozenset({".md", ".markdown", ".yaml", ".yml", ".json"})
TASK_TABLES = frozenset({"step", "check", "unchecked"})
"""What a task file has and a specification in TOML has not."""
_ONLY_SPECIFICATIONS = "--from-phase is for specifications"


def found(words: Words, *, cwd: Path, environment: Mapping[str, str]) -> Asked | BuildTask:
    """What is asked for, with the settings of this process's home. Paths count from `cwd`; `environment` says where
    programs lie and what forges may be asked with.

    Raises TaskUnclear, and what the readers of each kind of task do: SpecInvalid, TaskFileInvalid, TaskNotLoaded,
    TaskArgumentsWrong, WorkspaceRefused, SettingsWrong, PlacementWrong ..."""
    from daybreak.factory import pythontask

    words.refuse("--label and --assignee are for --from", words.labels, words.assignee)
    if words.repo is not None:
        words.refuse(_ONLY_SPECIFICATIONS, words.from_phase)
        return _of_repository(words, words.repo, cwd, environment)
    words.refuse("--request and --into are for --repo and --from", words.request, words.into)
    only = (words.protect, words.allow, words.attempts, words.guards_only)
    words.refuse("--protect, --allow, --attempts and --guards-only are for --repo", *only)
    _refuse_several(words)
    _refuse_needs(words)
    if words.command is not None:
        words.refuse(_ONLY_SPECIFICATIONS, words.from_phase)
        return _of_command(words, cwd)
    if words.text is not None:
        return _of_text(words, words.text, cwd, environment)
    assert words.task is not None, "one of the three was given"
    if pythontask.looks_like_one(words.task):
        words.refuse(_ONLY_SPECIFICATIONS, words.from_phase)
        return _of_python(words, words.task, cwd)
    words.refuse("--arg and --args are for Python tasks", words.arg or words.args)
    return _of_file(words, _from(cwd, inputs.path(words.task)), cwd, environment)


def read(
    given: Sequence[str], *, cwd: Path, environment: Mapping[str, str], from_phase: str | None = None
) -> Asked | BuildTask:
    """What these words name: a file, or a Python task and NAME=VALUE for its arguments. Raises as `found`."""
    if not given:
        raise TaskUnclear("what is to be added?", hint="name a file or a Python task")
    words = Words(given[0], arg=tuple(given[1:]), from_phase=from_phase, spelled="options")
    return found(words, cwd=cwd, environment=environment)


def _refuse_several(words: Words) -> None:
    given = [name for name in ("task", "command", "text") if getattr(words, name) is not None]
    if len(given) == 1:
        words.refuse("--name is for a text", words.name if given != ["text"] else None)
        return
    options = {"task": "a task", "command": "--command", "text": "a text"}
    told = " and ".join(options[name] for name in given)
    raise TaskUnclear(
        words.say(f"{told} are both given" if given else "what is to be added?"),
        hint=words.say("name a file or a Python task, or give --command with --check"),
    )


def _refuse_needs(words: Words) -> None:
    """Of work that says them itself, and of work that is always done where it was added: a need that nobody looks at
    would be none. Raises TaskUnclear."""
    words.refuse(
        "--needs is for --repo and --from",
        words.needs,
        hint="a specification says `needs` itself; commands and Python tasks run on the machine where they are added",
    )


def _of_repository(words: Words, repo: Path, cwd: Path, environment: Mapping[str, str]) -> Asked:
    from daybreak.factory.repository import task as repositorytask
    from daybreak.home import opening
    from daybreak.home.handover import issues

    other = (words.command, words.text, words.unchecked, words.title, words.arg, words.args, words.output)
    words.refuse("--command, --unchecked, --title, --arg, --args and --output are for other tasks", *other)
    words.refuse("--into is for --request", words.into if words.request is None else None)
    told = opening.settings()
    return repositorytask.asked(
        inputs.path(repo),
        words.task or "",
        words.checks,
        cwd=cwd,
        environment=environment,
        protect=words.protect,
        allow=words.allow,
        workers=words.workers,
        settings=told,
        attempts=words.attempts or 3,
        sandbox=words.sandbox,
        guards_only=words.guards_only,
        needs=words.needs,
        offer=issues.offer(words.request, words.into, told, environment),
    )


def _of_command(words: Words, cwd: Path) -> Asked:
    from pydantic import ValidationError

    from daybreak.factory import taskfile
    from daybreak.factory.command.task import CommandTask

    assert words.command is not None, "asked before"
    words.refuse("--arg, --args and --output are for other tasks", words.arg, words.args, words.output)
    if bool(words.checks) == words.unchecked:
        both = (
            "it has checks and is unchecked" if words.unchecked else "nothing decides whether the command did its work"
        )
        hint = "give --check 'command that ends with 0 only if it is done', or --unchecked"
        raise TaskUnclear(both, hint=words.say(hint))
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
        raise TaskUnclear(f"{cut(words.command)}: {told}", hint="see `daybreak add --help`") from error
    return taskfile.asked(task, cwd.resolve())


def _of_python(words: Words, task: str, cwd: Path) -> Asked:
    from daybreak.factory import pythontask

    other = (words.checks, words.unchecked, words.title, words.output)
    words.refuse("--check, --unchecked, --title and --output are for other tasks", *other)
    hint = words.say("""write --args '{"limit": 20}'""")
    try:
        args = {} if words.args is None else json.loads(words.args)
    except (ValueError, RecursionError) as error:
        raise TaskUnclear(words.say(f"--args is no JSON: {error}"), hint=hint) from error
    if not isinstance(args, dict):
        raise TaskUnclear(words.say("--args is no JSON object"), hint=hint)
    given = dict(pair(text, words.say("--arg"), str) for text in words.arg)
    return pythontask.asked(task, cwd.resolve(), args=args, words=given)


def _of_text(words: Words, text: str, cwd: Path, environment: Mapping[str, str]) -> Asked | BuildTask:
    from daybreak.config import usable_home
    from daybreak.home import opening
    from daybreak.home.handover import keeping

    words.refuse("--arg and --args are for Python tasks", words.arg or words.args)
    with keeping.lying(usable_home(opening.places()), text, words.name) as file:
        return _of_file(words, file, cwd, environment, base=cwd)


def _of_file(
    words: Words, path: Path, cwd: Path, environment: Mapping[str, str], base: Path | None = None
) -> Asked | BuildTask:
    """`base`: what a task file's own paths count from; None: the folder that it lies in."""
    from daybreak.factory import task, taskfile
    from daybreak.home import opening

    words.refuse("--check, --unchecked and --title belong to --command", words.checks, words.unchecked, words.title)
    if not is_specification(path):
        words.refuse("--output is for specifications", words.output)
        words.refuse(_ONLY_SPECIFICATIONS, words.from_phase)
        return taskfile.read(path, base)
    return task.make(
        path,
        output=words.output,
        workers=words.workers,
        settings=opening.settings(),
        sandbox=words.sandbox,
        assume=False,
        accept_unshown=False,
        begin=words.from_phase or "",
        cwd=cwd,
        environment=environment,
    )


def _from(cwd: Path, path: Path) -> Path:
    """Messages name a file as it was typed, where that is enough to find it."""
    return path if cwd == Path.cwd() else cwd / path


def is_specification(path: Path) -> bool:
    """By its ending; TOML may be both, and is a specification where it has the name and the requirements of one."""
    if path.suffix.lower() in SPECIFICATIONS:
        return True
    if path.suffix.lower() != ".toml":
        raise TaskUnclear(
            f"{cut(path)} is no task",
            hint="name a specification (.md, .yaml, .toml, .json), a task file (.toml), or package.module:function",
        )
    import tomllib

    try:
        keys = set(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return False  # the reader of task files says what is wrong with it
    return "name" in keys and "requirements" in keys and not keys & TASK_TABLES
