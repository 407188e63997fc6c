"""What a program that speaks for somebody may not hand over: another assistant, a client of the API.

Whoever types at a shell has the rights of that shell anyway. A token for handing work over is less: it must not become
a way to run code in our own process, outside of a sandbox, or in folders that nobody opened for it, nor a way to have
our own process look where a sandbox would not let it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.errors import UsageError, cut
from daybreak.home import inputs
from daybreak.home.handover.asking import Ready, ask
from daybreak.home.handover.words import PlaceWords, Words

if TYPE_CHECKING:
    from daybreak.clock import Clock
    from daybreak.factory.asked import Asked
    from daybreak.factory.command.task import CommandTask, Expected
    from daybreak.factory.spec.model import Needed
    from daybreak.factory.task import BuildTask


class NotFromOutside(UsageError):
    """Something that only a person at this machine's own command line can hand over."""

    code = "U355"


def ask_outside(
    words: Words,
    told: PlaceWords,
    *,
    folders: Sequence[Path],
    environment: Mapping[str, str],
    clock: Clock,
    once: bool = False,
) -> Ready:
    """`asking.ask` for somebody outside. `folders`: those below which work may be done; the first is what relative
    paths count from. Raises NotFromOutside beside what that does."""
    within = check_outside(words, folders)
    ready = ask(within, told, cwd=folders[0], environment=environment, clock=clock, once=once)
    check_found(ready.found, folders)
    return ready


def check_outside(words: Words, folders: Sequence[Path]) -> Words:
    """The same words, with their paths absolute. Raises NotFromOutside."""
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
    repo = None if words.repo is None and words.source is None else _repository(words.repo or Path("."), folders)
    output = None if words.output is None else _below(words.output, folders)
    return replace(words, repo=repo, output=output)


def check_found(found: Asked | BuildTask, folders: Sequence[Path]) -> None:
    """What a text asked for, after it was read: a task file has words of its own for the same things. Raises
    NotFromOutside."""
    from daybreak.factory.asked import Asked

    _check_memory(found)
    if not isinstance(found, Asked):
        _below(found.output, folders)
        return
    if found.kind == "command":
        _check_task(found, folders)


def _check_memory(found: Asked | BuildTask) -> None:
    """What a task needs is also the most that its sandbox lets it use. A cluster gives no more than a node has; on this
    machine nothing but the usual bound would keep it from all there is. Raises NotFromOutside."""
    from daybreak.factory import quantity
    from daybreak.factory.command.task import Bounds
    from daybreak.home import opening

    wanted = _needed(found).memory_bytes
    if not wanted:
        return
    told = opening.settings().dispatch
    usual = max(quantity.size_bytes(Bounds().memory), int(told.memory_gib * 2**30))
    if told.engine == "local" and wanted > usual:
        raise _refused(
            f"needs.memory is {wanted / 2**30:.1f} GiB, more than work from outside may have on this machine",
            f"at most {usual / 2**30:.1f} GiB; `memory_gib` of [dispatch] in daybreak.toml says how much",
        )


def _needed(found: Asked | BuildTask) -> Needed:
    from daybreak.factory.asked import Asked
    from daybreak.factory.spec.model import Needed

    if not isinstance(found, Asked):
        return found.spec.needs
    told = found.args.get("task", {}) if found.kind == "issues" else found.args
    return Needed.model_validate(told.get("needs", {}))


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
    _check_looks(task, folder, folders)
    _check_bounds(task)


def _check_looks(task: CommandTask, folder: Path, folders: Sequence[Path]) -> None:
    """Files and addresses are looked at by our own process, which no sandbox holds."""
    expected: list[Expected] = [step.expect for step in task.step]
    for check in task.check:
        if check.http is not None:
            raise _refused(
                f"the address {cut(check.http)} would be asked from this machine itself",
                "let the check be a command or a file; `http` is said at this machine's command line only",
            )
        if check.file is not None:
            _below(folder / check.file, folders)
        expected += [] if check.expect is None else [check.expect]
    for one in expected:
        for path in one.files:
            _below(folder / path, folders)


def _check_bounds(task: CommandTask) -> None:
    from daybreak.factory import quantity
    from daybreak.factory.command.task import Bounds

    def amounts(bounds: Bounds) -> dict[str, int]:
        told = bounds.model_dump()
        return {name: quantity.size_bytes(one) if isinstance(one, str) else one for name, one in told.items()}

    usual = amounts(Bounds())
    for name, amount in amounts(task.bounds).items():
        if amount > usual[name]:
            most = f"at most {getattr(Bounds(), name)}"
            raise _refused(f"bounds.{name} is wider than work from outside may have", most)


def _repository(path: Path, folders: Sequence[Path]) -> Path:
    """A work tree can name a git folder that lies elsewhere, and be written by whoever works in the folder. What is no
    repository is told by whoever reads it. Raises NotFromOutside."""
    from daybreak.errors import HostError
    from daybreak.host.workspaces import git

    real = _below(path, folders)
    try:
        found = git.find(real)
    except (HostError, UsageError, OSError):
        return real
    for part in (found.git_dir, found.common_dir, found.objects, found.common_dir / "refs"):
        _below(part, folders)
    borrowed = found.objects / "info" / "alternates"
    if borrowed.exists() and borrowed.read_bytes().strip():
        raise _refused(f"{cut(path)} borrows what it holds from another repository", "name one that has it all itself")
    return real


def _below(path: Path, folders: Sequence[Path]) -> Path:
    """Where it really lies. Raises NotFromOutside unless that is in one of the folders."""
    real = (folders[0] / inputs.path(path)).resolve()
    if not any(real.is_relative_to(folder.resolve()) for folder in folders):
        raise _refused(f"{cut(path)} lies in no folder that is open to work in", "name one below the server's folder")
    return real


def _refused(what: str, hint: str) -> NotFromOutside:
    return NotFromOutside(what, hint=hint)
