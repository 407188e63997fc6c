"""Phases and roles, as a run keeps them: what is changed in the configuration later changes no run that is under way.

A phase is a gate with roles that can make it hold. Its roles work only where it does not: what the implementer left
complete is not done again by a tester. From the implementation on, gates look at one workspace and each asks for all
that the gates before it asked for, so nobody can break in a later phase what an earlier one has shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from daybreak.errors import UsageError
from daybreak.settings import Settings, nearest

Paradigm = Literal["sequential", "parallel", "chain", "tournament", "consensus"]
"""sequential: one after the other; parallel: a planner divides the work into parts that need nothing of each other;
chain: also into parts that need others, and parts may be divided again; tournament: candidates side by side, the best
verified one goes on; consensus: the one goes on that most do the same as."""
EXAMPLE, MUTATION = "example", "mutation"
IMPLEMENTER, OPERATIONS = "implementer", "operations"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")


class PhaseUnknown(UsageError):
    """There is no phase, role or check of that name."""

    code = "U130"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Role(_Model):
    """What a worker is asked to be."""

    name: str
    template: str = ""
    """Of its brief; empty: that of its own name."""
    workers: tuple[str, ...] = ()
    """The order in which workers are asked to fill it; empty: the build's."""
    checks: tuple[str, ...] = ()
    """Kinds of checks that judge it: what they find is its to mend."""
    writes: tuple[str, ...] = ()
    """Paths that it may add, change or remove, as patterns where `*` also passes `/`; empty: any."""

    def may_write(self, path: str) -> bool:
        return not self.writes or any(fnmatchcase(path, pattern) for pattern in self.writes)


class Phase(_Model):
    name: str
    needs: tuple[str, ...] = ()
    """Artefacts that must be there, whole and of the hash that is known, before it begins."""
    makes: str = ""
    """The artefact that it leaves; empty for those that work on the workspace."""
    roles: tuple[Role, ...] = ()
    """In the order in which they work."""
    checks: tuple[str, ...] = ()
    """Kinds of checks that its gate asks for, beside those of the phases before."""
    vetoes: tuple[str, ...] = ()
    """Those of them that must pass, whatever the score."""


class Phases(_Model):
    """What a build goes through."""

    phases: tuple[Phase, ...]
    weights: dict[str, float] = {}
    """Those of the score that differ from the gate's own."""
    gain: float = Field(default=5, ge=0, le=100)
    """Points above the best so far that a rework which does not pass must bring, or its worker is not asked again."""
    mutants: int = Field(default=0, ge=0, le=1_000)
    """Changes of the program that are tried on tests which are not ours; 0: none are."""
    strength: float = Field(default=60, ge=0, le=100)
    """Percent of them that the tests must notice."""
    paradigm: Paradigm = "sequential"
    candidates: int = Field(default=3, ge=2, le=16)
    """How many side by side, in a tournament and for a consensus."""
    iterations: int = Field(default=0, ge=0, le=100)
    """Attempts of one role in one phase; 0: what the specification's budget says."""


REQUIREMENTS, DESIGN = "requirements", "design"

SHIPPED_ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role(name="analyst", checks=("requirements",)),
        Role(name="architect", checks=("design",)),
        Role(
            name=IMPLEMENTER,
            checks=(EXAMPLE, "install", "structure", "syntax", "lint", "types", "security", "complexity"),
        ),
        Role(name="tester", checks=("tests", MUTATION), writes=("tests/*", "conftest.py")),
        Role(name=OPERATIONS, checks=("deployment",), writes=("Containerfile", "Dockerfile", ".github/*", "*.yml")),
        Role(name="writer", checks=("documentation",), writes=("README*", "docs/*", "*.md")),
    )
}
SHIPPED_PHASES: tuple[Phase, ...] = (
    Phase(name=REQUIREMENTS, makes=REQUIREMENTS, checks=("requirements",), vetoes=("requirements",)),
    Phase(name=DESIGN, needs=(REQUIREMENTS,), makes=DESIGN, checks=("design",), vetoes=("design",)),
    Phase(
        name="implementation",
        needs=(REQUIREMENTS, DESIGN),
        roles=(SHIPPED_ROLES[IMPLEMENTER],),
        checks=("structure", "syntax", "install", "lint", "types", "security", "complexity", EXAMPLE),
        vetoes=("syntax", "install", EXAMPLE),
    ),
    Phase(name="testing", roles=(SHIPPED_ROLES["tester"],), checks=("tests",), vetoes=("tests",)),
    Phase(
        name="deployment",
        roles=(SHIPPED_ROLES["operations"], SHIPPED_ROLES["writer"]),
        checks=("deployment", "documentation"),
        vetoes=("deployment",),
    ),
)
BEFORE_PHASES = Phases(
    phases=(
        Phase(
            name="",
            roles=(Role(name=IMPLEMENTER),),
            checks=("structure", "syntax", "install", "lint", "types", "tests", EXAMPLE),
            vetoes=("syntax", "install", "tests", EXAMPLE),
        ),
    ),
    gain=0,
)
"""What builds went through that were asked for when there were no phases."""


def configured(
    settings: Settings,
    only: Sequence[str] = (),
    *,
    iterations: int = 0,
    paradigm: str = "sequential",
    candidates: int = 3,
) -> Phases:
    """The phases of a build that begins now, those named in `only` or all. Raises PhaseUnknown."""
    if paradigm not in get_args(Paradigm):
        raise PhaseUnknown(
            f"there is no paradigm {paradigm!r:.80}",
            hint=f"there are {', '.join(get_args(Paradigm))}{nearest(paradigm, get_args(Paradigm))}",
        )
    known = {phase.name: phase for phase in SHIPPED_PHASES}
    for name in (*only, *settings.phases):
        if name not in known:
            raise PhaseUnknown(
                f"there is no phase {name!r:.80}", hint=f"there are {', '.join(known)}{nearest(name, known)}"
            )
    roles = _roles(settings)
    wanted = [phase for name, phase in known.items() if not only or name in only]
    phases = tuple(_changed(phase, settings, roles) for phase in wanted)
    return Phases(
        phases=_reachable(phases),
        weights=dict(settings.gate.weights),
        gain=settings.gate.gain,
        mutants=settings.gate.mutants,
        strength=settings.gate.strength,
        iterations=iterations,
        paradigm=paradigm,  # type: ignore[arg-type] # looked at above
        candidates=candidates,
    )


def assigned(roles: Iterable[Role], failed: Sequence[str]) -> list[Role]:
    """The roles that can mend those checks, each once and in order; a check that is nobody's is the implementer's,
    and where there is none of that name, the first one's."""
    names = list({role.name: role for role in roles}.values())
    if not names:
        return []
    last = next((role for role in names if role.name == IMPLEMENTER), names[0])
    wanted = set()
    for check in failed:
        kind = check.partition(":")[0]
        wanted.add(next((role.name for role in names if kind in role.checks), last.name))
    return [role for role in names if role.name in wanted]


def _roles(settings: Settings) -> dict[str, Role]:
    roles = dict(SHIPPED_ROLES)
    for name, told in settings.roles.items():
        before = roles.get(name, Role(name=name))
        changed = {field: value for field, value in told.model_dump().items() if field in told.model_fields_set}
        roles[name] = before.model_copy(update=changed)
    return roles


def _changed(phase: Phase, settings: Settings, roles: dict[str, Role]) -> Phase:
    told = settings.phases.get(phase.name)
    names = [role.name for role in phase.roles] if told is None or told.roles is None else told.roles
    for name in names:
        if name not in roles:
            raise PhaseUnknown(
                f"phase {phase.name} names the role {name!r:.80}, which there is not",
                hint=f"write `[roles.{name}]`, or name one of {', '.join(sorted(roles))}{nearest(name, roles)}",
            )
    checks = phase.checks if told is None or told.checks is None else told.checks
    return phase.model_copy(update={"roles": tuple(roles[name] for name in names), "checks": tuple(checks)})


def _reachable(phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
    """Entry gates ask only for what a phase that is wanted makes."""
    made = {phase.makes for phase in phases}
    return tuple(
        phase.model_copy(update={"needs": tuple(need for need in phase.needs if need in made)}) for phase in phases
    )
