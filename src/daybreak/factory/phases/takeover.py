"""A build that begins at a later phase: what an earlier build of the same specification has left, as its ledger tells.

An earlier phase counts only where its gate passed on record, and what it left only under the hash that the record
names. What is taken over is settled when the build is asked for and stands in its task, so that a build which is taken
up again after a crash goes on with the same. The evidence is not taken over: the checks look again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from daybreak import events
from daybreak.engine import Context, Kept
from daybreak.engine.facts import Facts
from daybreak.errors import BlobDamaged, BlobMissing, CheckError, UsageError
from daybreak.factory.phases import artefacts
from daybreak.factory.phases.phase import DESIGN, IMPLEMENTER, REQUIREMENTS, Phase, Phases
from daybreak.factory.plan import PlannedTakeover
from daybreak.ledger import Ledger

KIND = "build"
PARTS = "parts"
"""The role of a tree that several workers' parts were merged into."""
_MODELS: dict[str, type[artefacts.Requirements] | type[artefacts.Design]] = {
    REQUIREMENTS: artefacts.Requirements,
    DESIGN: artefacts.Design,
}


class NothingToTakeOver(UsageError):
    """A build cannot begin at that phase: no earlier one has left what it needs."""

    code = "U136"


class TakenGone(CheckError):
    """What is to be taken over is not there any more, or not as it was."""

    code = "C153"


class Taken(BaseModel):
    """What is taken over, all of it by hash."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    run: str
    """The earlier build."""
    phases: tuple[str, ...]
    """That passed there, in their order."""
    gates: dict[str, int]
    """For each of them, where in the ledger the decision stands that passed it."""
    artefacts: dict[str, str] = {}
    """Blob by name."""
    workspace: str = ""
    """What passed the last of those gates; empty where only artefacts are taken over."""
    tree: str = ""
    """Its blob."""
    worker: str = ""
    role: str = ""
    """Of whoever made it."""

    @property
    def blobs(self) -> Iterator[str]:
        yield from self.artefacts.values()
        if self.tree:
            yield self.tree

    def planned(self) -> PlannedTakeover:
        return PlannedTakeover(
            run=self.run,
            phases=self.phases,
            artefacts=tuple(self.artefacts),
            workspace=self.workspace,
            worker=self.worker,
        )

    def told(self, run: str, begin: str) -> events.WorkTakenOver:
        return events.WorkTakenOver(
            run=run,
            source=self.run,
            begin=begin,
            phases=list(self.phases),
            gates=self.gates,
            artefacts=self.artefacts,
            workspace=self.workspace,
            tree=self.tree,
            worker=self.worker,
            role=self.role,
        )


def find(ledger: Ledger, *, name: str, title: str, text: bytes, format: str, phases: Phases) -> Taken | None:
    """What the newest build of that very text has left for a build that begins with `phases.begin`; None where that is
    the first phase. Raises NothingToTakeOver, which says what is missing and where to begin instead."""
    if not phases.before:
        return None
    same, others = _earlier(ledger, sha256(text).hexdigest(), format, title)
    reached: tuple[int, str, list[str]] = (-1, "", [])
    for run in same:
        left = _Left.of(ledger, run)
        missing = {phase.name: why for phase in phases.before if (why := left.missing(phase, phases))}
        if not missing:
            return left.taken(phases)
        names = [phase.name for phase in phases.before]
        place = names.index(next(iter(missing)))
        if place > reached[0]:
            reached = place, run, [f"phase {name}: {why}" for name, why in missing.items()]
    if not reached[1]:
        changed = f"; run {others[0]} built another text of it" if others else ""
        raise NothingToTakeOver(
            f"phase {phases.begin} cannot begin: there is no earlier build of {name} as it is written now{changed}",
            hint="build it from its beginning: leave --from-phase out",
        )
    place, run, missing_words = reached
    instead = f"begin with --from-phase {phases.before[place].name}" if place else "leave --from-phase out"
    raise NothingToTakeOver(
        f"phase {phases.begin} cannot begin with what run {run} left: {'; '.join(missing_words)}", hint=instead
    )


def check(ledger: Ledger, taken: Taken, begin: str) -> None:
    """The entry gate: everything is there, with the bytes that it had. Raises TakenGone."""
    parts = [*taken.artefacts.items(), *([("workspace", taken.tree)] if taken.tree else [])]
    wrong = [why for name, blob in parts if (why := _wrong(ledger, name, blob))]
    if wrong:
        raise TakenGone(
            f"what phase {begin} takes over from run {taken.run} is not there: {'; '.join(wrong)}",
            hint="restore it from a snapshot (`daybreak ledger verify` says what else is missing), or build it from "
            "its beginning",
        )


async def enter(ctx: Context, ledger: Ledger, taken: Taken, begin: str) -> None:
    """As `check`, once for a run, with what is taken over written down."""

    def look() -> Kept:
        check(ledger, taken, begin)
        return Kept(taken.run, tell=[taken.told(ctx.run, begin)])

    await ctx.step("take over", look)


def _wrong(ledger: Ledger, name: str, blob: str) -> str:
    """What is wrong with something that was left; empty where nothing is."""
    try:
        data = ledger.get_blob(blob)
        if name in _MODELS:
            artefacts.read(data, _MODELS[name], name)
    except (BlobMissing, BlobDamaged, artefacts.ArtefactWrong) as problem:
        return f"{name}: {problem.message}"
    return ""


def _earlier(ledger: Ledger, digest: str, format: str, title: str) -> tuple[list[str], list[str]]:
    """Builds of that text, and builds of another one with that title; the newest first."""
    same, others = [], []
    for record in ledger.read(events.QUEUE):
        event = record.event
        if not isinstance(event, events.TaskAdded) or event.kind != KIND:
            continue
        if (event.args.get("specification") or _draft(ledger, event)) == digest and event.args["format"] == format:
            same.append(event.run)
        elif event.title == title:
            others.append(event.run)
    return same[::-1], others[::-1]


def _draft(ledger: Ledger, added: events.TaskAdded) -> str:
    """The specification that was drafted for a build from a requirement; empty where none was."""
    drafts = [one.event for one in ledger.read(events.run_stream(added.run))]
    usable = [one.blob for one in drafts if isinstance(one, events.SpecificationDrafted) and not one.problems]
    return usable[-1] if usable else ""


@dataclass
class _Passed:
    """A phase's exit gate, on record."""

    place: int
    """In the ledger."""
    workspace: str
    attempt: int


@dataclass
class _Left:
    """What one build has left; what was rolled back is left out."""

    ledger: Ledger
    run: str
    decided: list[tuple[int, events.GateDecided]] = field(default_factory=list)
    """With the place in the ledger."""
    artefacts: dict[str, str] = field(default_factory=dict)
    trees: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Blob, worker and role by workspace."""
    workers: dict[int, str] = field(default_factory=dict)
    """By attempt."""
    compared: int = -1
    """Place of the last comparison of candidates."""
    winner: int = 0
    before: events.WorkTakenOver | None = None
    """What it has itself taken over."""

    @classmethod
    def of(cls, ledger: Ledger, run: str) -> _Left:
        left = cls(ledger, run)
        for record in Facts(ledger, run).all():
            left._take(record.index, record.event)
        return left

    def _take(self, place: int, event: events.Event) -> None:
        match event:
            case events.WorkTakenOver():
                self.before = event
                self.artefacts |= event.artefacts
            case events.ArtefactMade():
                self.artefacts[event.name] = event.blob
            case events.GateDecided():
                self.decided.append((place, event))
            case events.CandidatesCompared():
                self.compared, self.winner = place, event.winner
            case events.AttemptClaimed():
                self.workers[event.attempt] = event.worker
            case events.StepDone(name="attempt", result={"tree": str(tree), "workspace": str(workspace)} as kept):
                if tree:
                    role = str(kept.get("role", IMPLEMENTER))
                    self.trees.setdefault(workspace, (tree, str(kept["worker"]), role))  # whoever made it first
            case events.StepDone(name="merge", result={"tree": str(tree), "workspace": str(workspace)}):
                if tree:
                    self.trees.setdefault(workspace, (tree, "", PARTS))

    def passed(self, phase: Phase, later: Sequence[Phase]) -> _Passed | None:
        """The decision with which that phase ended; None where it did not, or nobody can tell with which."""
        found = [
            _Passed(place, told.workspace, told.attempt)
            for place, told in self.decided
            if told.phase == phase.name and told.verdict == "passed"
        ]
        if phase.makes:
            return found[-1] if found else None
        names = [one.name for one in later if not one.makes]
        went_on = next((told.workspace for _, told in self.decided if told.phase in names), None)
        if went_on is not None:  # the next gate begins with what came out of this one
            return next((one for one in found if one.workspace == went_on), None)
        if self.compared >= 0 and any(one.place < self.compared for one in found):
            return next((one for one in found if one.place > self.compared or one.attempt == self.winner), None)
        if len(found) > 1:  # a tournament's: of those that passed, the best, and of those the first
            scores = {place: (told.score, -told.attempt) for place, told in self.decided}
            return max(found, key=lambda one: scores[one.place])
        return found[0] if found else None

    def missing(self, phase: Phase, phases: Phases) -> str:
        """Why that phase cannot be taken over; empty where it can."""
        gate = self._gate(phase, phases)
        if gate is None:
            told = [one for _, one in self.decided if one.phase == phase.name]
            if any(one.verdict == "passed" for one in told):
                return "several candidates passed, and nobody has said which of them is meant"
            return f"its gate said {told[-1].verdict}, score {told[-1].score:g}" if told else "it is not on record"
        if phase.makes:
            blob = self.artefacts.get(phase.makes, "")
            if not blob:
                return f"it left no artefact {phase.makes}"
            return _wrong(self.ledger, phase.makes, blob)
        tree, *_ = self._tree(gate[1])
        return _wrong(self.ledger, "workspace", tree) if tree else "what passed it was not kept"

    def taken(self, phases: Phases) -> Taken:
        """Nothing of it is missing."""
        gates, workspace, made = {}, "", ("", "", "")
        for phase in phases.before:
            gate = self._gate(phase, phases)
            assert gate is not None, "nothing of it is missing"
            gates[phase.name] = gate[0]
            if not phase.makes:
                workspace, made = gate[1], self._tree(gate[1], gate[2])
        return Taken(
            run=self.run,
            phases=tuple(phase.name for phase in phases.before),
            gates=gates,
            artefacts={phase.makes: self.artefacts[phase.makes] for phase in phases.before if phase.makes},
            workspace=workspace,
            tree=made[0],
            worker=made[1],
            role=made[2],
        )

    def _gate(self, phase: Phase, phases: Phases) -> tuple[int, str, int] | None:
        """Where its decision stands, on which workspace, of which attempt."""
        later = phases.phases[phases.phases.index(phase) + 1 :]
        found = self.passed(phase, later)
        if found is not None:
            return found.place, found.workspace, found.attempt
        if self.before is not None and phase.name in self.before.gates:
            known = {one.name for one in phases.phases if not one.makes}
            working = [name for name in self.before.phases if name in known]
            if phase.makes or phase.name == working[-1]:  # of those before it the workspace is another one
                return self.before.gates[phase.name], self.before.workspace, 0
        return None

    def _tree(self, workspace: str, attempt: int = 0) -> tuple[str, str, str]:
        """Blob, worker and role; empty where it was not kept."""
        if workspace in self.trees:
            tree, worker, role = self.trees[workspace]
            return tree, worker or self.workers.get(attempt, ""), role
        if self.before is not None and self.before.workspace == workspace:
            return self.before.tree, self.before.worker, self.before.role
        return "", "", ""


def of_args(args: dict[str, Any]) -> Iterator[str]:
    """The blobs that a build's arguments name as taken over. None where they have another shape: no build with such
    arguments ever begins, so nothing will ask for them."""
    try:
        if told := args.get("taken"):
            yield from Taken.model_validate(told).blobs
    except ValidationError:
        return
