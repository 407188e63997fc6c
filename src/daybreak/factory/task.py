"""A build as it is asked for: read and checked before anything is recorded, then handed to the engine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from daybreak.config import Places
from daybreak.engine import Engine, Placement
from daybreak.errors import UsageError
from daybreak.factory import asking, brief, holdout, machine, plan
from daybreak.factory.kinds.build import KIND
from daybreak.factory.phases import choosing, phase, takeover
from daybreak.factory.phases.phase import Phases
from daybreak.factory.phases.takeover import Taken
from daybreak.factory.phases.wanted import BuildArgs
from daybreak.factory.spec import format_of, read
from daybreak.factory.spec.model import Budget, Specification
from daybreak.factory.toolbox import LanguageUnknown, Toolbox
from daybreak.factory.validate import languages
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
    taken: Taken | None = None
    """What an earlier build left, where this one begins at a later phase; see `taking_over`."""
    tools: Toolbox | None = None
    """For checks of other languages than Python."""

    def args(self, ledger: Ledger) -> BuildArgs:
        """As the ledger keeps it; the specification's text is put there. Raises NothingToTakeOver."""
        taken = self.taken or _left(self, ledger)
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
            taken=taken,
            tools=self.tools,
        )


REQUIREMENT_CHARS_MIN, REQUIREMENT_CHARS_MAX = 10, 20_000
TITLE_CHARS_MAX = 80


class RequirementUnclear(UsageError):
    """Nothing can be drafted from this."""

    code = "U232"


class NobodyDrafts(UsageError):
    """There is nobody who could draft a specification."""

    code = "U233"


class NobodyWrites(UsageError):
    """Nobody in the order writes the language that a specification asks for."""

    code = "U256"


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
    paradigm: str = "",
    candidates: int = 0,
    begin: str = "",
    cwd: Path,
    environment: Mapping[str, str] | None = None,
) -> BuildTask:
    """Read `path`. The result goes to `output`, or to NAME in `cwd`. Without `workers`, the order of the settings.
    Without `paradigm`, what the specification or the settings say; else it is chosen when the build begins. `begin`:
    the phase to begin with. `environment` says where tools of other languages lie; None: this process's.

    Raises SpecInvalid with all problems at once, SandboxUnknown, PhaseUnknown, LanguageUnknown, NobodyWrites, and
    SettingsWrong for a worker that there is not."""
    if sandbox not in STRENGTHS:
        raise SandboxUnknown(f"there is no sandbox {sandbox!r}", hint=f"one of {', '.join(STRENGTHS)}")
    spec = read(path)
    order = ordered(workers, settings, cwd)
    tools = _tools(settings, cwd, environment)
    if not skeleton:  # which is asked for where nobody could build it
        _refuse_language(spec, order, settings, tools)
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
        phases=phase.configured(
            settings,
            only,
            iterations=iterations,
            paradigm=paradigm,
            asked_by=spec.paradigm,
            candidates=candidates,
            begin=begin,
        ),
        spends=_spends(order, settings),
        tools=tools,
    )


def _tools(settings: Settings, cwd: Path, environment: Mapping[str, str] | None) -> Toolbox:
    return Toolbox.of(cwd.resolve(), settings.validation, os.environ if environment is None else environment)


def _refuse_language(spec: Specification, order: Sequence[str], settings: Settings, tools: Toolbox) -> None:
    """Raises LanguageUnknown, NobodyWrites."""
    wanted = languages.called(spec.language)
    if wanted == languages.GENERIC and "tests" not in tools.settings.commands_for(languages.GENERIC, first=True):
        known = ", ".join(one.name for one in languages.LANGUAGES)
        raise LanguageUnknown(
            f"nobody here knows how tests in {spec.language} are run, so no result could pass",
            hint=f'say it in daybreak.toml: [validate.commands] tests = "make test"; known are {known}',
        )
    if wanted != "python" and all(settings.worker(name).kind == "builder" for name in order):
        raise NobodyWrites(
            f"the specification asks for {spec.language}, and the embedded builder, who alone would be asked, writes "
            "Python only",
            hint="name a worker that writes it (`--worker`, or `daybreak init`), or ask for `language: python`",
        )


@dataclass(frozen=True)
class DraftTask:
    """What is asked for in a person's words; its specification is drafted first."""

    requirement: str
    args: BuildArgs
    spends: bool


def drafted(
    requirement: str,
    *,
    output: Path | None,
    workers: Sequence[str],
    settings: Settings,
    sandbox: str,
    assume: bool,
    accept_unshown: bool = False,
    skeleton: bool = False,
    only: Sequence[str] = (),
    iterations: int = 0,
    paradigm: str = "",
    candidates: int = 0,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
) -> DraftTask:
    """A build from a requirement. Raises RequirementUnclear, NobodyDrafts, SandboxUnknown, SettingsWrong."""
    if sandbox not in STRENGTHS:
        raise SandboxUnknown(f"there is no sandbox {sandbox!r}", hint=f"one of {', '.join(STRENGTHS)}")
    words = requirement.strip()
    if not REQUIREMENT_CHARS_MIN <= len(words) <= REQUIREMENT_CHARS_MAX or "\0" in words:
        raise RequirementUnclear(
            f"a requirement has {REQUIREMENT_CHARS_MIN} to {REQUIREMENT_CHARS_MAX} characters, this one {len(words)}",
            hint='say what it is to do and for whom: daybreak build --requirement "a list of the books that I lent"',
        )
    order = ordered(workers, settings, cwd)
    if all(settings.worker(name).kind == "builder" for name in order):
        raise NobodyDrafts(
            "the embedded builder builds from a specification, and nobody else is in the order",
            hint="name a worker that understands sentences in daybreak.toml (`daybreak init`), or write the "
            "specification yourself: `daybreak spec new NAME`",
        )
    args = BuildArgs(
        specification="",
        specification_name="spec.md",
        format="md",
        output=str((cwd / output).absolute()) if output is not None else "",
        folder=str(cwd),
        workers=order,
        sandbox=sandbox,
        assume=assume,
        accept_unshown=accept_unshown,
        skeleton=skeleton,
        as_written=bool(workers),
        phases=phase.configured(settings, only, iterations=iterations, paradigm=paradigm, candidates=candidates),
        requirement=words,
        tools=_tools(settings, cwd, environment),
    )
    return DraftTask(words, args, spends=_spends(order, settings))


def taking_over(task: BuildTask, ledger: Ledger) -> BuildTask:
    """The same with what an earlier build left for the phase that it begins with. Raises NothingToTakeOver."""
    return replace(task, taken=_left(task, ledger))


def _left(task: BuildTask, ledger: Ledger) -> Taken | None:
    spec = task.spec
    return takeover.find(
        ledger, name=spec.name, title=spec.title, text=task.text, format=task.format, phases=task.phases
    )


def submit_draft(task: DraftTask, engine: Engine, ledger: Ledger) -> str:
    """Record it; the id of its run. What drafting and building may cost together is what a specification allows that
    says nothing of it."""
    title = " ".join(task.requirement.split())
    title = title if len(title) <= TITLE_CHARS_MAX else title[: TITLE_CHARS_MAX - 1] + "…"
    placement = _placed(task.spends, Budget(), None)
    return engine.submit(KIND, title=title, args=task.args.model_dump(mode="json"), placement=placement)


def _spends(order: Sequence[str], settings: Settings) -> bool:
    return any(settings.worker(name).kind not in ("builder", "python") for name in order)


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
    taken = task.taken.run if task.taken is not None and task.taken.tree else ""
    chosen = choosing.choose(
        task.spec,
        task.phases,
        () if settings is None else choosing.hands(asked, settings),
        choosing.allowed(task.spec),
        taken=taken,
    )
    return plan.make(
        task.spec,
        machine.measure(task.output),
        worker=", ".join(task.workers),
        held_out=len(holdout.choose(task.spec.examples, task.spec.holdout, key)),
        assume=task.assume,
        sandbox=task.sandbox,
        asked=asked,
        phases=[one.name for one in task.phases.ahead],
        paradigm=chosen.paradigm,
        paradigm_why=chosen.why,
        candidates=chosen.candidates,
        taken=task.taken.planned() if task.taken else None,
    )


def submit(task: BuildTask, engine: Engine, ledger: Ledger, placement: Placement | None = None) -> str:
    """Record the task; from here on it can be resumed. The id of its run.

    Where somebody in the order spends, the run's budget is what `placement` says, and for money and tokens what the
    specification says where that says nothing."""
    placed = _placed(task.spends, task.spec.budget, placement)
    args = task.args(ledger).model_dump(mode="json")
    return engine.submit(KIND, title=task.spec.title, args=args, placement=placed)


def _placed(spends: bool, allowed: Budget, placement: Placement | None) -> Placement | None:
    if not spends:
        return placement
    placed = placement or Placement()
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
