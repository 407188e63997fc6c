"""What will be built, by whom, in which order, within which limits. Made before a build and shown before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from daybreak.errors import HostError
from daybreak.factory.machine import Machine
from daybreak.factory.spec import not_shown
from daybreak.factory.spec.model import Needed, Specification
from daybreak.factory.toolbox import OF_PYTHON
from daybreak.factory.validate import languages
from daybreak.host.sandbox import STRENGTHS, Strength

CHECKS = (
    *("structure", "syntax", "install", "lint", "types", "tests"),
    *("security", "complexity", "deployment", "documentation"),
)
"""The checks of the project itself, beside its acceptance examples."""

_SECONDS = {
    "prove": 0.1,
    "attempt": 0.7,
    "install": 0.3,
    "lint": 0.15,
    "types": 3.0,
    "tests": 4.0,
    "example": 0.4,
}
"""Seconds of one step, as seen of the three examples on two cores; they weigh progress and the first estimate only."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class PlannedStep(_Model):
    name: str
    """As in the ledger."""
    does: str
    by: str
    weight_s: float


class PlannedLimits(_Model):
    time_s: int
    attempts: int
    money_usd: str
    tokens: int
    workers: int
    depth: int


class PlannedWorker(_Model):
    """Somebody in the order of those that are asked."""

    name: str
    kind: str
    missing: str = ""
    """Why it cannot be asked; empty where it can."""
    budget: Literal["hard", "soft", "none"] = "none"
    """hard: all that it spends goes through the gateway; soft: it can spend past it; none: it spends nothing."""


class PlannedTakeover(_Model):
    """What is taken over from an earlier build of the same specification."""

    run: str
    phases: tuple[str, ...]
    artefacts: tuple[str, ...] = ()
    workspace: str = ""
    worker: str = ""
    """Whose the workspace is."""


class PlannedRequirement(_Model):
    id: str
    text: str
    must: bool


class PlannedExample(_Model):
    """An acceptance example and what it is meant to show."""

    id: str
    kind: str
    title: str
    line: int
    requirements: tuple[str, ...]


class Plan(_Model):
    name: str
    title: str
    complexity: str
    complexity_estimated: bool
    paradigm: str
    paradigm_why: str = ""
    candidates: int = 0
    """How many make the same thing, in a tournament and for a consensus; else 0."""
    taken: PlannedTakeover | None = None
    worker: str
    asked: tuple[PlannedWorker, ...] = ()
    """The order, as it is written; what is known of outcomes may change it. Empty where nobody has looked."""
    entities: tuple[str, ...]
    interfaces: tuple[str, ...]
    limits: PlannedLimits
    steps: tuple[PlannedStep, ...]
    requirements: tuple[PlannedRequirement, ...]
    shown_by: tuple[PlannedExample, ...]
    held_out: int
    """How many of the examples the workers never see."""
    not_shown: tuple[str, ...]
    """Requirements that no acceptance example names."""
    questions: tuple[str, ...]
    assumptions: tuple[str, ...]
    coverage: int
    threshold: int
    """The score of 100 that a candidate needs."""
    thresholds: tuple[int, ...] = ()
    """What each iteration of a phase needs, the last one for all after it."""
    phases: tuple[str, ...] = ()
    """Those that it goes through, in their order."""
    machine: Machine
    sandbox: Strength = "none"
    """The least that the sandbox of every program must enforce."""
    needs: Needed = Needed()
    """What a machine must have on which attempts and checks are done."""
    shortages: tuple[str, ...]


def make(
    spec: Specification,
    machine: Machine,
    *,
    worker: str,
    held_out: int,
    assume: bool,
    sandbox: Strength,
    asked: Sequence[PlannedWorker] = (),
    phases: Sequence[str] = (),
    paradigm: str = "sequential",
    paradigm_why: str = "",
    candidates: int = 0,
    taken: PlannedTakeover | None = None,
) -> Plan:
    """The plan for one build of `spec` on `machine`. Pure."""
    questions = tuple(clarification.question for clarification in spec.clarifications)
    return Plan(
        name=spec.name,
        title=spec.title,
        complexity=spec.complexity,
        complexity_estimated=spec.complexity_estimated,
        paradigm=paradigm,
        paradigm_why=paradigm_why,
        candidates=candidates if paradigm in ("tournament", "consensus") else 0,
        taken=taken,
        worker=worker,
        asked=tuple(asked),
        entities=tuple(entity.name for entity in spec.entities),
        interfaces=spec.interfaces,
        limits=PlannedLimits(
            time_s=spec.budget.time_s,
            attempts=spec.budget.attempts,
            money_usd=str(spec.budget.money_usd),
            tokens=spec.budget.tokens,
            workers=spec.limits.workers,
            depth=spec.limits.depth,
        ),
        steps=tuple(_steps(spec, worker)),
        requirements=tuple(
            PlannedRequirement(id=requirement.id, text=requirement.text, must=requirement.must)
            for requirement in spec.requirements
        ),
        shown_by=tuple(
            PlannedExample(
                id=example.id,
                kind=example.kind,
                title=example.title,
                line=example.line,
                requirements=example.requirements,
            )
            for example in spec.examples
        ),
        held_out=held_out,
        not_shown=tuple(requirement.id for requirement in not_shown(spec)),
        questions=() if assume else questions,
        assumptions=tuple(f"open question taken as the worker reads it: {question}" for question in questions)
        if assume
        else (),
        coverage=spec.quality.coverage,
        threshold=spec.quality.thresholds[0],
        thresholds=spec.quality.thresholds,
        phases=tuple(phases),
        machine=machine,
        sandbox=sandbox,
        needs=spec.needs,
        shortages=(*machine.shortages(), *_too_weak(machine, sandbox)),
    )


def _too_weak(machine: Machine, wanted: Strength) -> list[str]:
    if STRENGTHS.index(machine.sandbox) >= STRENGTHS.index(wanted):
        return []
    return [f"a {wanted} sandbox is wanted, here is {machine.sandbox_words} (install bubblewrap; --sandbox takes less)"]


class TooLittle(HostError):
    """This machine has too little for the build."""

    code = "H151"


def refuse_shortages(plan: Plan) -> None:
    """Raises TooLittle where the machine lacks what the plan needs."""
    if plan.shortages:
        raise TooLittle(
            f"{plan.name} cannot be built here: " + "; ".join(plan.shortages),
            hint="make room, install what is missing, or build on another machine; nothing was started",
        )


def _checks(spec: Specification) -> list[str]:
    """Of a result in another language than Python those are named like that; which there are, the result says."""
    language = languages.called(spec.language)
    own = ("syntax", "tests") if language != languages.GENERIC else ("tests",)
    if language == "python":
        return list(CHECKS)
    return [
        f"{check}:{language}" if check in own else check for check in CHECKS if check in own or check not in OF_PYTHON
    ]


def _steps(spec: Specification, worker: str) -> list[PlannedStep]:
    steps = [
        PlannedStep(
            name=f"prove {example.id}",
            does=f"run {example.title!r} on nothing and on null programs, where it must fail",
            by="checks",
            weight_s=_SECONDS["prove"],
        )
        for example in spec.examples
    ]
    steps.append(PlannedStep(name="attempt", does="build the project", by=worker, weight_s=_SECONDS["attempt"]))
    steps += [
        PlannedStep(name=f"check {check}", does=f"look at {check}", by="checks", weight_s=_SECONDS.get(check, 0.2))
        for check in _checks(spec)
    ]
    steps += [
        PlannedStep(
            name=f"check example:{example.id}",
            does=f"run {example.title!r} on the installed result",
            by="checks",
            weight_s=_SECONDS["example"],
        )
        for example in spec.examples
    ]
    steps.append(PlannedStep(name="gate", does="decide from the evidence", by="gate", weight_s=0.1))
    steps.append(
        PlannedStep(name="deliver", does="put it in its place, whole or not at all", by="factory", weight_s=0.2)
    )
    return steps
