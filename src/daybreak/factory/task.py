"""A build as it is asked for: read and checked before anything is recorded, then handed to the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daybreak.config import Places
from daybreak.engine import Engine, Placement
from daybreak.errors import UsageError
from daybreak.factory import holdout, machine, plan
from daybreak.factory.kinds.build import KIND, BuildArgs
from daybreak.factory.spec import format_of, read
from daybreak.factory.spec.model import Specification
from daybreak.host.sandbox import STRENGTHS, Strength
from daybreak.ledger import Ledger
from daybreak.settings import Settings


@dataclass(frozen=True)
class BuildTask:
    """A valid specification and where its result goes. `workers` are asked in that order."""

    path: Path
    text: bytes
    format: Literal["md", "yaml", "toml", "json"]
    spec: Specification
    output: Path
    workers: tuple[str, ...]
    sandbox: Strength
    assume: bool
    accept_unshown: bool
    skeleton: bool = False


class SandboxUnknown(UsageError):
    """There is no sandbox of that strength."""

    code = "U114"


def make(
    path: Path,
    *,
    output: Path | None,
    workers: Sequence[str],
    settings: Settings,
    sandbox: str,
    assume: bool,
    accept_unshown: bool,
    skeleton: bool = False,
    cwd: Path,
) -> BuildTask:
    """Read `path`. The result goes to `output`, or to NAME in `cwd`. Without `workers`, the order of the settings.

    Raises SpecInvalid with all problems at once, SandboxUnknown, and SettingsWrong for a worker that there is not."""
    if sandbox not in STRENGTHS:
        raise SandboxUnknown(f"there is no sandbox {sandbox!r}", hint=f"one of {', '.join(STRENGTHS)}")
    spec = read(path)
    return BuildTask(
        path=path,
        text=path.read_bytes(),
        format=format_of(path),
        spec=spec,
        output=(cwd / (output or spec.name)).absolute(),
        workers=ordered(workers, settings, cwd),
        sandbox=sandbox,
        assume=assume,
        accept_unshown=accept_unshown,
        skeleton=skeleton,
    )


def ordered(workers: Sequence[str], settings: Settings, cwd: Path) -> tuple[str, ...]:
    """Names of workers in the order in which they are asked, each once. Raises SettingsWrong."""
    names = tuple(dict.fromkeys(_absolute(name, cwd) for name in workers or settings.order))
    for name in names:
        settings.worker(name)
    return names


def planned(task: BuildTask, places: Places) -> plan.Plan:
    """The plan of the task on this machine."""
    key = holdout.read_or_make_key(places.keys)
    return plan.make(
        task.spec,
        machine.measure(task.output),
        worker=", ".join(task.workers),
        held_out=len(holdout.choose(task.spec.examples, task.spec.holdout, key)),
        assume=task.assume,
        sandbox=task.sandbox,
    )


def submit(task: BuildTask, engine: Engine, ledger: Ledger, placement: Placement | None = None) -> str:
    """Record the task; from here on it can be resumed. The id of its run."""
    args = BuildArgs(
        specification=ledger.put_blob(task.text),
        specification_name=task.path.name,
        format=task.format,
        output=str(task.output),
        workers=task.workers,
        sandbox=task.sandbox,
        assume=task.assume,
        accept_unshown=task.accept_unshown,
        skeleton=task.skeleton,
    )
    return engine.submit(KIND, title=task.spec.title, args=args.model_dump(mode="json"), placement=placement)


def _absolute(worker: str, cwd: Path) -> str:
    """A worker named by a file is found from anywhere, so that a run can be resumed from another folder."""
    module, colon, attribute = worker.partition(":")
    return f"{(cwd / module).resolve()}{colon}{attribute}" if module.endswith(".py") else worker
