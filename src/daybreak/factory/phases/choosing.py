"""Which paradigm a build takes where nobody has said so: from its specification, who can be asked, and what is left.

More workers help where the work is independent and hurt where it is not, and each of them costs: so everything begins
with one after the other, and every step away from it needs a reason. Pure; the same question has the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from daybreak.agents.entities import Entity
from daybreak.factory import brief as briefs
from daybreak.factory.phases import artefacts
from daybreak.factory.phases.phase import AUTO, IMPLEMENTER, Paradigm, Phases
from daybreak.factory.plan import PlannedWorker
from daybreak.factory.spec.model import Specification
from daybreak.settings import BUILDER, Settings

DIVIDED, CONTESTS = ("parallel", "chain"), ("tournament", "consensus")
WORKERS_MIN = 3
"""Different ones, before several of them make the same thing."""
CHAINED_MIN = 3
"""Entities that need each other, before it is worth a planner's attempt to divide them; of what is complex two."""
DIVIDED_WORTH = 3
"""Attempts' worth of a divided build: the plan, the parts, which together are the whole, and one rework."""
_NO_PLANNERS = frozenset({BUILDER, "python", "outside"})
"""Kinds of workers that are not asked in words how to divide something."""
GROUPS_SHOWN = 3


@dataclass(frozen=True)
class Hand:
    """A worker that can be asked here."""

    name: str
    kind: str
    budget: str = "none"
    """As in `PlannedWorker`."""
    money_usd: float | None = None
    """The most that one attempt of it may cost; None: nobody has said."""
    tokens: int | None = None


@dataclass(frozen=True)
class Purse:
    """What the run may spend; None: no limit."""

    money_usd: Fraction | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Chosen:
    paradigm: Paradigm
    why: str
    candidates: int


def hands(asked: Iterable[PlannedWorker], settings: Settings) -> tuple[Hand, ...]:
    """Those of `asked` that are here. Raises SettingsWrong for a name that the settings do not know."""
    return tuple(
        Hand(one.name, one.kind, one.budget, settings.worker(one.name).money_usd, settings.worker(one.name).tokens)
        for one in asked
        if not one.missing
    )


def allowed(spec: Specification) -> Purse:
    """What the specification says that a build may spend."""
    return Purse(Fraction(spec.budget.money_usd), spec.budget.tokens)


def choose(spec: Specification, phases: Phases, workers: Sequence[Hand], purse: Purse, *, taken: str = "") -> Chosen:
    """The paradigm of a build that begins now, and why. What somebody has asked for stays; `taken` names the run that
    an implementation is taken over from."""
    return _Choosing(spec, phases, tuple(workers), purse, taken).answer()


def groups(spec: Specification) -> list[list[str]]:
    """Names of entities (and of requirements that no entity is in) which need each other, in the specification's
    order. What stands alone and names no entity, such as a requirement about all of it, is no group."""
    parents: dict[str, str] = {}

    def top(name: str) -> str:
        while parents.setdefault(name, name) != name:
            name = parents[name]
        return name

    def tie(names: Iterable[str]) -> None:
        first, *others = map(top, names)
        for other in others:
            parents[top(other)] = top(first)

    known = {entity.name for entity in spec.entities}
    users = [entity.name for entity in spec.entities if entity.login]
    for entity in spec.entities:
        tie([entity.name, *(name for name in _needed(entity, users) if name in known)])
    for datum in artefacts.design(spec).data:
        for requirement in datum.requirements:
            tie([datum.name, requirement])
    for example in spec.examples:
        if example.requirements:
            tie(example.requirements)
    names = [*(entity.name for entity in spec.entities), *(one.id for one in spec.requirements)]
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(top(name), []).append(name)
    named = [[one for one in group if one in known] or group for group in found.values()]
    return [group for group in named if group[0] in known or len(group) > 1]


def _needed(entity: Entity, users: Sequence[str]) -> Iterable[str]:
    """Entities that this one cannot be built without."""
    for field in entity.fields:
        kind = field.type.of or field.type
        if kind.target:
            yield kind.target
        if field.count_of and "." in field.count_of:
            yield field.count_of.partition(".")[0]
    if entity.users_may or entity.writers == "users" or entity.readers != "everyone":
        yield from users


def covered(spec: Specification) -> bool:
    """The embedded builder knows of nothing in it that it would leave out."""
    from daybreak.agents.builder.worker import not_built, refusal

    brief = briefs.make(spec, "", role=IMPLEMENTER)
    return refusal(brief) is None and not not_built(brief)


@dataclass(frozen=True)
class _Choosing:
    spec: Specification
    phases: Phases
    workers: tuple[Hand, ...]
    purse: Purse
    taken: str

    def answer(self) -> Chosen:
        if self.phases.paradigm != AUTO:
            return Chosen(self.phases.paradigm, self.phases.paradigm_by, self.phases.candidates)
        if self.taken:
            return self._alone(f"what is built already is taken over from run {self.taken}")
        if not self.workers:
            return self._alone("nobody can be asked here")
        if self.spec.paradigm is not None and self.spec.paradigm != AUTO:
            return self._asked(self.spec.paradigm)
        if len(self.workers) == 1:
            return self._alone(f"{self.workers[0].name} is the only worker that can be asked here")
        if self.spec.complexity == "simple":
            return self._alone("it is simple, and several workers would cost more than they bring")
        if any(one.kind == BUILDER for one in self.workers) and covered(self.spec):
            return self._alone("the embedded builder knows how to build all of it")
        return self._shared()

    def _shared(self) -> Chosen:
        """More than one worker is here, and the work is not small."""
        found = groups(self.spec)
        apart = len(found) > 1
        divides = "" if not self._planners else self._cannot_divide()
        if apart and self._planners and not divides:
            shown = "; ".join(_listed(group) for group in found[:GROUPS_SHOWN])
            more = f"; and {len(found) - GROUPS_SHOWN} more" if len(found) > GROUPS_SHOWN else ""
            why = f"{len(found)} groups need nothing of each other ({shown}{more})"
            return self._affordable("parallel", why)
        if self.spec.complexity == "complex" and len(self.workers) >= WORKERS_MIN:
            count = min(self.phases.candidates, len(self.workers))
            why = f"it is complex, and {len(self.workers)} different workers are here"
            return self._affordable(self.phases.contest, why, count)
        entities = max((len(group) for group in found), default=0)
        if divides or not self._planners:
            return self._alone(divides or "nobody here can be asked to divide it")
        if not apart and entities >= (2 if self.spec.complexity == "complex" else CHAINED_MIN):
            return self._affordable("chain", f"its parts need each other ({_listed(found[0])})")
        return self._alone("it is one piece of work")

    def _asked(self, wanted: Paradigm) -> Chosen:
        """What the specification says, where it can be done."""
        why = "the specification asks for it"
        if wanted in CONTESTS and all(one.kind == BUILDER for one in self.workers):
            return self._alone(f"{why.replace('it', wanted)}, but the embedded builder makes the same each time")
        if wanted in DIVIDED and not self._planners:
            return self._alone(f"{why.replace('it', wanted)}, but nobody here can be asked to divide the work")
        if wanted == "sequential":
            return Chosen("sequential", why, self.phases.candidates)
        return self._affordable(wanted, why)

    @property
    def _planners(self) -> list[Hand]:
        return [one for one in self.workers if one.kind not in _NO_PLANNERS]

    def _cannot_divide(self) -> str:
        limits = self.spec.limits
        if limits.children < 2:
            return "its limits allow one part only"
        return "its limits allow one worker only" if limits.workers < 2 else ""

    def _affordable(self, paradigm: Paradigm, why: str, candidates: int = 0) -> Chosen:
        """That one, or one after the other where the run could not pay for it or nobody could stop it."""
        count = candidates or self.phases.candidates
        worth = DIVIDED_WORTH if paradigm in DIVIDED else count
        what = f"{paradigm} of {count}" if paradigm in CONTESTS else paradigm
        dear = self._too_dear(worth)
        return self._alone(f"{why}, but {what} {dear}") if dear else Chosen(paradigm, why, count)

    def _too_dear(self, worth: int) -> str:
        """Why so many attempts are too many; empty where they are not."""
        spending = [one for one in self.workers if one.budget != "none"]
        soft = [one.name for one in spending if one.budget == "soft"]
        if soft:
            return f"would spend {worth} times what nobody can stop: the budget of {_listed(soft)} is soft"
        money = [one.money_usd for one in spending]
        tokens = [one.tokens for one in spending]
        return self._beyond(worth, self.purse.money_usd, "USD", money) or self._beyond(
            worth, self.purse.tokens, "tokens", tokens
        )

    def _beyond(self, worth: int, left: Fraction | int | None, unit: str, caps: Sequence[float | None]) -> str:
        """Whoever has no cap of their own may take what the specification's attempts leave for each."""
        if left is None or not caps:
            return ""
        share = Fraction(left) / self.spec.budget.attempts
        most = max(share if cap is None else Fraction(str(cap)) for cap in caps) * worth
        return "" if 0 < most <= left else f"could take {_rounded(most)} {unit}, and {_rounded(left)} are left"

    def _alone(self, why: str) -> Chosen:
        return Chosen("sequential", why, self.phases.candidates)


def _rounded(amount: Fraction | int) -> str:
    return f"{float(amount):.2f}".rstrip("0").rstrip(".")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
