"""A build as it is asked for: read and checked before anything is recorded, then handed to the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from daybreak.config import Places
from daybreak.engine import Engine, Placement
from daybreak.errors import UsageError
from daybreak.factory import asking, brief, holdout, machine, plan
from daybreak.factory.kinds.build import KIND, BuildArgs
from daybreak.factory.phases import phase
from daybreak.factory.phases.phase import Phases
from daybreak.factory.spec import format_of, read
from daybreak.factory.spec.model import Specification
from daybreak.host.sandbox import STRENGTHS, Strength
from daybreak.ledger import Ledger
from daybreak.policy.budget import Limit
from daybreak.settings import Settings


@dataclass(frozen=True)
class BuildTask:
    """A valid specification and where its result goes. `workers` are asked in that order; `as_written`: somebody named
    them for this task, so that what is known of outcomes does not change it."""

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
    as_written: bool = False
    spends: bool = False
    """Somebody in the order costs money or tokens, so that what the specification allows becomes the run's budget."""
    phases: Phases = field(default_factory=lambda: phase.configured(Settings()))

    def args(self, ledger: Ledger) -> BuildArgs:
        """As the ledger keeps it; the specification's text is put there."""
        return BuildArgs(
            specification=ledger.put_blob(self.text),
            specification_name=self.path.name,
            format=self.format,
            output=str(self.output),
            workers=self.workers,
            sandbox=self.sandbox,
            assume=self.assume,
            accept_unshown=self.accept_unshown,
            skeleton=self.skeleton,
            as_written=self.as_written,
            phases=self.phases,
        )


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
    only: Sequence[str] = (),
    iterations: int = 0,
    paradigm: str = "sequential",
    candidates: int = 3,
    cwd: Path,
) -> BuildTask:
    """Read `path`. The result goes to `output`, or to NAME in `cwd`. Without `workers`, the order of the settings.

    Raises SpecInvalid with all problems at once, SandboxUnknown, and SettingsWrong for a worker that there is not."""
    if sandbox not in STRENGTHS:
        raise SandboxUnknown(f"there is no sandbox {sandbox!r}", hint=f"one of {', '.join(STRENGTHS)}")
    spec = read(path)
    order = ordered(workers, settings, cwd)
    return BuildTask(
        path=path,
        text=path.read_bytes(),
        format=format_of(path),
        spec=spec,
        output=(cwd / (output or spec.name)).absolute(),
        workers=order,
        sandbox=sandbox,
        assume=assume,
        accept_unshown=accept_unshown,
        skeleton=skeleton,
        as_written=bool(workers),
        phases=phase.configured(settings, only, iterations=iterations, paradigm=paradigm, candidates=candidates),
        spends=any(settings.worker(name).kind not in ("builder", "python") for name in order),
    )


def ordered(workers: Sequence[str], settings: Settings, cwd: Path) -> tuple[str, ...]:
    """Names of workers in the order in which they are asked, each once. Raises SettingsWrong."""
    names = tuple(dict.fromkeys(_absolute(name, cwd) for name in workers or settings.order))
    for name in names:
        settings.worker(name)
    return names


def planned(
    task: BuildTask, places: Places, settings: Settings | None = None, environment: Mapping[str, str] | None = None
) -> plan.Plan:
    """The plan of the task on this machine. With `settings` it is looked who can be asked here."""
    key = holdout.read_or_make_key(places.keys)
    asked = () if settings is None else asking.look(task.workers, settings, environment or {}, beyond=_beyond(task))
    return plan.make(
        task.spec,
        machine.measure(task.output),
        worker=", ".join(task.workers),
        held_out=len(holdout.choose(task.spec.examples, task.spec.holdout, key)),
        assume=task.assume,
        sandbox=task.sandbox,
        asked=asked,
        phases=[one.name for one in task.phases.phases],
    )


def submit(task: BuildTask, engine: Engine, ledger: Ledger, placement: Placement | None = None) -> str:
    """Record the task; from here on it can be resumed. The id of its run.

    Where somebody in the order spends, the run's budget is what `placement` says, and for money and tokens what the
    specification says where that says nothing."""
    return engine.submit(
        KIND, title=task.spec.title, args=task.args(ledger).model_dump(mode="json"), placement=_placed(task, placement)
    )


def _placed(task: BuildTask, placement: Placement | None) -> Placement | None:
    if not task.spends:
        return placement
    placed, allowed = placement or Placement(), task.spec.budget
    told = placed.budget or Limit()
    money, tokens = told.money_microusd, told.tokens
    limit = replace(
        told,
        money_microusd=int(allowed.money_usd * 1_000_000) if money is None else money,
        tokens=allowed.tokens if tokens is None else tokens,
    )
    return replace(placed, budget=limit)


def _beyond(task: BuildTask) -> str:
    """Why the embedded builder cannot build it; where it is asked alone, it says so itself."""
    if len(task.workers) == 1:
        return ""
    from daybreak.agents.builder.worker import refusal

    return refusal(brief.make(task.spec, "")) or ""


def _absolute(worker: str, cwd: Path) -> str:
    """A worker named by a file is found from anywhere, so that a run can be resumed from another folder."""
    module, colon, attribute = worker.partition(":")
    return f"{(cwd / module).resolve()}{colon}{attribute}" if module.endswith(".py") else worker
