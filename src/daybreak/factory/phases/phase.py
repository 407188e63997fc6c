"""Phases and roles, as a run keeps them: what is changed in the configuration later changes no run that is under way.

A phase is a gate with roles that can make it hold. Its roles work only where it does not: what the implementer left
complete is not done again by a tester. From the implementation on, gates look at one workspace and each asks for all
that the gates before it asked for, so nobody can break in a later phase what an earlier one has shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field

from daybreak.errors import UsageError
from daybreak.factory.plan import CHECKS
from daybreak.factory.spec.model import Shared
from daybreak.settings import Settings, nearest

Paradigm = Literal["sequential", "parallel", "chain", "tournament", "consensus"]
"""sequential: one after the other; parallel: a planner divides the work into parts that need nothing of each other;
chain: also into parts that need others, and parts may be divided again; tournament: candidates side by side, the best
verified one goes on; consensus: the one goes on that most do the same as."""
AUTO: Final = "auto"
"""Instead of a paradigm: one is chosen from the plan when the build begins."""
EXAMPLE, MUTATION, TRACEABILITY = "example", "mutation", "traceability"
KINDS = (*CHECKS, EXAMPLE, MUTATION, TRACEABILITY, "requirements", "design")
"""Of checks that a gate can ask for."""
IMPLEMENTER, OPERATIONS = "implementer", "operations"
REVIEW = "review"
"""What reviewers object to, among findings and in a gate's table: `review:ROLE`, by the role that is to mend it."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")


class PhaseUnknown(UsageError):
    """There is no phase, role or check of that name."""

    code = "U130"


class NothingToShare(UsageError):
    """A paradigm is asked for where no work is left that workers could share."""

    code = "U137"


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
    veto: Literal["", "blocks", "asks"] = ""
    """Of a role that reviews: what an objection does that nobody has mended in the end. `blocks`: the gate fails;
    `asks`: a person decides. Empty: it works, and does not review."""

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
    reviewers: tuple[Role, ...] = ()
    """Who is asked for objections where its gate would hold."""


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
    paradigm: Paradigm | Literal["auto"] = "sequential"
    paradigm_by: str = ""
    """Why that one, where somebody asked for it."""
    contest: Literal["tournament", "consensus"] = "tournament"
    """What `auto` takes where several are to make the same thing."""
    candidates: int = Field(default=3, ge=2, le=16)
    """How many side by side, in a tournament and for a consensus."""
    candidates_max: int = Field(default=0, ge=0, le=7)
    """How many a consensus may ask in the end, where those before split; 0: none is asked for in addition."""
    begin: str = ""
    """The phase that it begins with; those before it are taken over from an earlier build. Empty: the first one."""
    iterations: int = Field(default=0, ge=0, le=100)
    """Attempts of one role in one phase; 0: what the specification's budget says."""

    @property
    def before(self) -> tuple[Phase, ...]:
        """Those that are taken over."""
        names = [phase.name for phase in self.phases]
        return self.phases[: names.index(self.begin)] if self.begin else ()

    @property
    def ahead(self) -> tuple[Phase, ...]:
        """Those that it goes through."""
        return self.phases[len(self.before) :]


REQUIREMENTS, DESIGN = "requirements", "design"

TESTS = ("test/*", "__tests__/*", "*/__tests__/*", "*.test.*", "*.spec.*", "*_test.go", "src/test/*")
"""Where tests lie in other languages than Python."""
SHIPPED_ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role(name="analyst", checks=("requirements",)),
        Role(name="architect", checks=("design",)),
        Role(
            name=IMPLEMENTER,
            checks=(EXAMPLE, "install", "structure", "syntax", "lint", "types", "security", "complexity"),
        ),
        Role(name="tester", checks=("tests", MUTATION, "coverage"), writes=("tests/*", "conftest.py", *TESTS)),
        Role(name=OPERATIONS, checks=("deployment",), writes=("Containerfile", "Dockerfile", ".github/*", "*.yml")),
        Role(name="writer", checks=("documentation",), writes=("README*", "docs/*", "*.md")),
        Role(name="reviewer", veto="blocks"),
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
    paradigm: str = "",
    asked_by: Shared | None = None,
    candidates: int = 0,
    begin: str = "",
) -> Phases:
    """The phases of a build that begins now, those named in `only` or all. `paradigm` and `candidates` are what the
    command line says, `asked_by` what the specification does; without them the settings count. `begin`: those before
    that phase are taken over. Raises PhaseUnknown, NothingToShare."""
    if paradigm and paradigm not in (AUTO, *get_args(Paradigm)):
        raise PhaseUnknown(
            f"there is no paradigm {paradigm!r:.80}",
            hint=f"there are {', '.join((AUTO, *get_args(Paradigm)))}{nearest(paradigm, get_args(Paradigm))}",
        )
    known = {phase.name: phase for phase in SHIPPED_PHASES}
    for name in (*only, *settings.phases, *([begin] if begin else [])):
        if name not in known:
            raise PhaseUnknown(
                f"there is no phase {name!r:.80}", hint=f"there are {', '.join(known)}{nearest(name, known)}"
            )
    roles = _roles(settings)
    names = _wanted(known, only, begin)
    phases = _reviewed(tuple(_changed(known[name], settings, roles) for name in names), settings, roles)
    told, by = _told(settings, paradigm, asked_by)
    if begin and told not in (AUTO, "sequential") and any(not known[one].makes for one in names[: names.index(begin)]):
        raise NothingToShare(
            f"{told} is for work that begins from nothing, and from {begin} on the implementation is taken over",
            hint="leave --paradigm out, or begin with --from-phase implementation",
        )
    return Phases(
        phases=_reachable(phases),
        weights=dict(settings.gate.weights),
        gain=settings.gate.gain,
        mutants=settings.gate.mutants,
        strength=settings.gate.strength,
        iterations=iterations,
        paradigm=told,
        paradigm_by=by,
        contest=settings.paradigm.contest,
        candidates=candidates or settings.paradigm.candidates,
        candidates_max=settings.paradigm.candidates_max,
        begin=begin,
    )


def _told(settings: Settings, paradigm: str, asked_by: Shared | None) -> tuple[Shared, str]:
    """What somebody has asked for, or `auto`, and in which words. What the specification asks for is weighed when the
    build begins, against what there is to spend."""
    if paradigm:
        return cast(Shared, paradigm), "--paradigm asks for it"
    if asked_by is None and settings.paradigm.use != AUTO:
        return settings.paradigm.use, "daybreak.toml asks for it"
    return AUTO, ""


def _wanted(known: Mapping[str, Phase], only: Sequence[str], begin: str) -> list[str]:
    """In their order. Whoever begins later needs those before: of the ones that it names, or all where it names none
    that works on the workspace."""
    names = [name for name in known if not only or name in only]
    if not begin:
        return names
    if begin not in names:
        raise PhaseUnknown(
            f"the build is to begin with the phase {begin}, which is not among those that it goes through",
            hint=f"name it too: --phases {','.join([begin, *names])}, or leave --phases out",
        )
    earlier = list(known)[: list(known).index(begin)]
    working = [name for name in earlier if not known[name].makes]
    if working and not any(name in names for name in working):
        names = [name for name in known if name in names or name in working]
    return [name for name in names if name in earlier] + [name for name in names if name not in earlier]


def assigned(roles: Iterable[Role], failed: Sequence[str]) -> list[Role]:
    """The roles that can mend those checks, each once and in order; a check that is nobody's is the implementer's,
    and where there is none of that name, the first one's."""
    names = list({role.name: role for role in roles}.values())
    if not names:
        return []
    last = next((role for role in names if role.name == IMPLEMENTER), names[0])
    wanted = set()
    for check in failed:
        kind, _, by = check.partition(":")
        fitting = (role.name for role in names if (role.name == by if kind == REVIEW else kind in role.checks))
        wanted.add(next(fitting, last.name))
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
    for check in checks:
        if check not in KINDS:
            raise PhaseUnknown(
                f"phase {phase.name} asks for the check {check!r:.80}, which there is not",
                hint=f"there are {', '.join(sorted(KINDS))}{nearest(check, KINDS)}",
            )
    working = tuple(roles[name] for name in names if not roles[name].veto)
    reviewers = tuple(roles[name] for name in names if roles[name].veto)
    working = working if working or not reviewers else phase.roles
    vetoes = (*phase.vetoes, *(one for one in (TRACEABILITY,) if one in checks))
    return phase.model_copy(update={"roles": working, "checks": checks, "reviewers": reviewers, "vetoes": vetoes})


def _reviewed(phases: tuple[Phase, ...], settings: Settings, roles: Mapping[str, Role]) -> tuple[Phase, ...]:
    """Reviewers that are configured and that no phase of these lists are asked at the end of the last one that works on
    the workspace."""
    listed = {role.name for phase in phases for role in phase.reviewers}
    unlisted = tuple(roles[name] for name in settings.roles if roles[name].veto and name not in listed)
    last = next((at for at in reversed(range(len(phases))) if not phases[at].makes), None)
    if not unlisted or last is None:
        return phases
    asking = phases[last].model_copy(update={"reviewers": phases[last].reviewers + unlisted})
    return (*phases[:last], asking, *phases[last + 1 :])


def _reachable(phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
    """Entry gates ask only for what a phase that is wanted makes."""
    made = {phase.makes for phase in phases}
    return tuple(
        phase.model_copy(update={"needs": tuple(need for need in phase.needs if need in made)}) for phase in phases
    )
