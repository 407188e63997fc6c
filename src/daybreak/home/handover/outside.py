"""What a program that speaks for somebody may not hand over: another assistant, a client of the API.

Whoever types at a shell has the rights of that shell anyway. A token for handing work over is less: it must not become
a way to run code in our own process, outside of a sandbox, or in folders that nobody opened for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.errors import UsageError, cut
from daybreak.home import inputs
from daybreak.home.handover.words import Words

if TYPE_CHECKING:
    from daybreak.factory.asked import Asked
    from daybreak.factory.task import BuildTask


class NotFromOutside(UsageError):
    """Something that only a person at this machine's own command line can hand over."""

    code = "U355"


def check_outside(words: Words, folders: Sequence[Path]) -> Words:
    """The same words, with their paths absolute. `folders`: those below which repositories and outputs may lie; the
    first is what relative paths count from. Raises NotFromOutside."""
    if not folders:
        raise NotFromOutside("no folder is open to work in", hint="name one where the server is started")
    if words.task is not None and words.repo is None:
        raise _refused(
            "files and Python tasks of this machine are named at its command line only",
            "send the specification or the task file itself as `text`, or a `command` with `checks`",
        )
    if words.sandbox not in ("full", "degraded"):
        raise _refused("work from outside always has a sandbox", "leave `sandbox` out, or say full or degraded")
    for worker in words.workers:
        if ":" in worker or "/" in worker or worker.endswith(".py"):
            raise _refused(f"worker {cut(worker)} is code of this machine", "name a worker of daybreak.toml")
    repo = None if words.repo is None and words.source is None else _below(words.repo or Path("."), folders)
    output = None if words.output is None else _below(words.output, folders)
    return replace(words, repo=repo, output=output)


def check_found(found: Asked | BuildTask, folders: Sequence[Path]) -> None:
    """What a text asked for, after it was read: a task file has words of its own for the same things. Raises
    NotFromOutside."""
    from daybreak.factory.asked import Asked

    if not isinstance(found, Asked):
        _below(found.output, folders)
        return
    if found.kind == "command":
        _check_task(found, folders)


def _check_task(found: Asked, folders: Sequence[Path]) -> None:
    from daybreak.factory.command.task import CommandTask

    task = CommandTask.model_validate(found.args["task"])
    folder = _below(Path(found.args["folder"]), folders)
    if task.sandbox == "none":
        raise _refused("work from outside always has a sandbox", 'leave `sandbox = "none"` out')
    if task.grant.network:
        raise _refused("the network is granted at this machine's command line only", "leave `grant.network` out")
    if task.grant.secrets:
        raise _refused("a secret is granted at this machine's command line only", "leave `grant.secrets` out")
    for path in (*task.grant.write, *task.grant.read):
        _below(folder / path, folders)


def _below(path: Path, folders: Sequence[Path]) -> Path:
    """Where it really lies. Raises NotFromOutside unless that is in one of the folders."""
    real = (folders[0] / inputs.path(path)).resolve()
    if not any(real.is_relative_to(folder.resolve()) for folder in folders):
        raise _refused(f"{cut(path)} lies in no folder that is open to work in", "name one below the server's folder")
    return real


def _refused(what: str, hint: str) -> NotFromOutside:
    return NotFromOutside(what, hint=hint)
