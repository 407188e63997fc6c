"""The phases of a build, one after the other, each until its gate holds.

A phase begins when the artefacts that it needs are there, whole. It ends when its gate holds: at once where what is
there suffices already; otherwise its roles work, and after that only those roles whose checks failed, with what was
found. Each rework begins from the best result so far; one that brings too little ends its worker's turn, and when
nobody is left the build ends with the gate's verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import anyio

from daybreak import events
from daybreak.agents.protocol import Finding
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence
from daybreak.engine import Kept
from daybreak.factory import brief as briefs
from daybreak.factory import cascading, machine, toolbox
from daybreak.factory.cascading import NobodyLeft
from daybreak.factory.phases import artefacts
from daybreak.factory.phases.chain import Breaker, Chain
from daybreak.factory.phases.contest import Contest
from daybreak.factory.phases.filling import Filling, Tried, rejected_before, taken_over
from daybreak.factory.phases.inspection import Inspection, named, tries_mutants
from daybreak.factory.phases.judged import Judged
from daybreak.factory.phases.order import BuildOrder
from daybreak.factory.phases.phase import DESIGN, MUTATION, REQUIREMENTS, Phase, Role, assigned
from daybreak.factory.phases.rejected import PERSON
from daybreak.factory.phases.reviewing import Reviewing
from daybreak.factory.phases.vetoing import Reviewed
from daybreak.factory.site import Numbers, Site
from daybreak.ledger import Ledger


@dataclass
class Conductor:
    """Of one run; what it knows comes back from the ledger after a crash."""

    site: Site
    order: BuildOrder
    ledger: Ledger
    filling: Filling
    inspection: Inspection
    contest: Contest
    last: Judged | None = None
    """Whatever was judged last."""
    reviewing: Reviewing = field(init=False)
    _artefacts: dict[str, str] = field(default_factory=dict)
    """Blob by name."""
    _kinds: list[str] = field(default_factory=list)
    """Of checks that the gates ask for, up to the phase that is under way."""
    _vetoes: set[str] = field(default_factory=set)
    _roles: list[Role] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reviewing = Reviewing(self.site, self.order, self.ledger, self.filling)

    async def go(self) -> Judged:
        """The result that passed every gate. Raises NobodyLeft where one cannot be passed, ArtefactWrong."""
        order = self.order
        made = taken_over(order)
        self._artefacts = dict(order.taken.artefacts) if order.taken is not None else {}
        for phase in order.phases.before:
            self._ask_for_more(phase)
        judged: Judged | None = None
        for phase in order.phases.ahead:
            self._enter(phase)
            if phase.makes:
                await self._derive(phase)
            else:
                judged = await self._pass(phase, made)
                made = judged.made
        assert judged is not None, "the plan has a phase that works on the workspace"
        return judged

    def _enter(self, phase: Phase) -> None:
        """The entry gate. Raises ArtefactWrong."""
        for name in phase.needs:
            if name not in self._artefacts:
                raise artefacts.ArtefactWrong(
                    f"phase {phase.name} needs the artefact {name}, which nobody made",
                    hint=f"leave the phase that makes it in the build: --phases {name},{phase.name}",
                )
            self.artefact(name)
        self._ask_for_more(phase)

    def _ask_for_more(self, phase: Phase) -> None:
        """From this phase on gates ask for all that its gate asks for, also where it is taken over."""
        if not phase.makes:
            self._kinds += [kind for kind in phase.checks if kind not in self._kinds]
            self._vetoes |= set(phase.vetoes)
            self._roles += [role for role in phase.roles if role.name not in {one.name for one in self._roles}]

    # -- artefacts that follow from the specification

    def artefact(self, name: str) -> artefacts.Requirements | artefacts.Design | None:
        """As it was kept; None where no phase of this build makes it. Raises ArtefactWrong."""
        if name not in self._artefacts:
            return None
        data = self.ledger.get_blob(self._artefacts[name])
        if name == REQUIREMENTS:
            return artefacts.read(data, artefacts.Requirements, name)
        return artefacts.read(data, artefacts.Design, name)

    async def _derive(self, phase: Phase) -> None:
        order = self.order

        def make() -> Kept:
            made = (
                artefacts.requirements(order.spec, order.held_out)
                if phase.makes == REQUIREMENTS
                else artefacts.design(order.spec, order.held_out)
            )
            blob = self.ledger.put_blob(artefacts.written(made))
            seen = self._looked_at(made, blob)
            decision = self._decided([seen], phase, ["requirements" if phase.makes == REQUIREMENTS else DESIGN], 1)
            told: list[events.Event] = [
                events.ArtefactMade(run=self.site.ctx.run, phase=phase.name, name=phase.makes, blob=blob),
                events.CheckLooked(
                    run=self.site.ctx.run, attempt=0, held_out=False, evidence=seen.model_dump(mode="json")
                ),
                self._told(phase, 1, 0, blob, decision, 0.0),
            ]
            return Kept({"blob": blob, "verdict": decision.verdict, "reasons": list(decision.reasons)}, tell=told)

        kept = await self.site.ctx.step(f"artefact {phase.makes}", make)
        self._artefacts[phase.makes] = kept["blob"]
        if kept["verdict"] != "passed":
            raise artefacts.ArtefactWrong(
                f"phase {phase.name}: " + "; ".join(kept["reasons"]), hint="mend the specification, and build again"
            )

    def _looked_at(self, made: artefacts.Requirements | artefacts.Design, blob: str) -> Evidence:
        if isinstance(made, artefacts.Requirements):
            return artefacts.look_at_requirements(made, blob)
        asked = self.artefact(REQUIREMENTS) or artefacts.requirements(self.order.spec, self.order.held_out)
        assert isinstance(asked, artefacts.Requirements)
        return artefacts.look_at_design(made, asked, blob)

    # -- phases that work on the workspace

    async def _pass(self, phase: Phase, made: Tried | None) -> Judged:
        """A result that passes the gate of `phase`, from what the phases before have made. Raises NobodyLeft."""
        iteration, over = 0, False
        judged: Judged | None = None
        best: Judged | None = None
        if made is not None:
            iteration = 1
            judged = best = self.last = await self._judge(phase, iteration, made, (), None)
        elif self.order.phases.paradigm != "sequential" and phase.roles:
            iteration = 1
            divided = self.order.phases.paradigm in ("parallel", "chain")
            first = self._divided(phase) if divided else self._best_of(phase, phase.roles[0])
            judged = best = self.last = await first
        while judged is None or judged.decision.verdict != "passed":
            try:
                tried = await self._worked(phase, best, over=over)
            except NobodyLeft:
                if (taken := await self.reviewing.overruled(phase)) is None:
                    raise
                self.last = taken
                return taken
            iteration += 1
            over = self.inspection.has_seen(tried[-1].workspace)
            judged = self.last = await self._judge(phase, iteration, tried[-1], tried, best)
            if best is None or judged.decision.score > best.decision.score:
                best = judged
        return judged

    async def _worked(self, phase: Phase, best: Judged | None, *, over: bool) -> list[Tried]:
        """What each role has left that is asked now, one after the other. Raises NobodyLeft."""
        tried: list[Tried] = []
        for role in self._asked(phase, best):
            base = tried[-1] if tried else best.made if best else rejected_before(self.order)
            tried.append(await self.filling.fill(phase, role, base, self._found(role, best), over=over))
        return tried

    async def _divided(self, phase: Phase) -> Judged:
        """What parts have made together. Raises NobodyLeft."""
        numbers = Numbers(self.site.ctx, self.site.number)
        whole = self.site.branch(self.site.ctx, numbers)
        whole.at_a_time = anyio.Semaphore(min(machine.cores(), self.order.spec.limits.workers))
        filling = self.filling.apart(whole)
        chain = Chain(whole, self.order, self.ledger, filling, phase, phase.roles[0], numbers, Breaker())
        made = await chain.build(None)
        self.site.number = await whole.next_number()  # beyond all that were given, also in a replay
        self.filling.last = made.kept
        return await self._judge(phase, 1, made, [made], None)

    async def _best_of(self, phase: Phase, role: Role) -> Judged:
        """Of several candidates. Raises NobodyLeft."""
        first = self.site.number + 1
        entered = await self.contest.entries(phase, role)
        alone = phase.model_copy(update={"reviewers": ()})  # only what wins is reviewed

        async def judge(made: Tried) -> Judged:
            return await self._judge(alone, 1, made, [made], None)

        judged = [await judge(made) for made in entered if made is not None]
        if self.order.phases.paradigm == "consensus":
            chosen = await self.contest.chosen(phase, role, entered, first, judged, judge)
            if chosen is None and any(one.decision.verdict == "passed" for one in judged):
                raise NobodyLeft(
                    "the candidates do not agree, and none of them was chosen", hint="make the clause clear"
                )
            if chosen is not None:
                return await self._judge(phase, 1, chosen.made, (), None) if phase.reviewers else chosen
        won = max(judged, key=lambda one: (one.decision.verdict == "passed", one.decision.score, -one.made.number))
        return await self._judge(phase, 1, won.made, (), None) if phase.reviewers else won

    def _asked(self, phase: Phase, best: Judged | None) -> list[Role]:
        """Who works now: everybody of the phase on nothing, and afterwards whoever can mend what failed."""
        if best is None:
            return list(phase.roles)
        failed = [check for row in best.decision.table for check in row.failed]
        return assigned(self._roles, failed) or list(phase.roles)

    def _found(self, role: Role, best: Judged | None) -> list[Finding]:
        """What checks found that is for that role to mend."""
        told = [self.order.rejected.finding] if self.order.rejected is not None else []
        if best is None:
            return told
        mine = [seen for seen in best.evidence if role in assigned(self._roles, [seen.check])]
        return [*told, *briefs.findings(mine, self.order.held_out)]

    async def _judge(
        self, phase: Phase, iteration: int, made: Tried, worked: Sequence[Tried], best: Judged | None
    ) -> Judged:
        await self.site.ctx.enter("verifying")
        evidence = await self.inspection.of(made)
        again = self.order.rejected.seen(made.workspace) if self.order.rejected is not None else []
        evidence = [*evidence, *again]
        before = best.decision.score if best is not None else 0.0
        reviewed = Reviewed()
        if phase.reviewers:
            by_checks = self._by_checks(phase, iteration, made, evidence)
            reviewed = await self.reviewing.of(phase, iteration, made, evidence, by_checks, self._roles)
            evidence = [*evidence, *reviewed.evidence]

        def decide() -> Kept:
            decision = reviewed.weighed(self._by_checks(phase, iteration, made, evidence))
            if decision.verdict != "passed" and worked and best is not None:
                decision = _with_progress(decision, before, self.order.phases.gain)
            told = reviewed.looked(self.site.ctx.run, made.number)
            for refused in again:
                seen = refused.model_dump(mode="json")
                looked = events.CheckLooked(run=self.site.ctx.run, attempt=made.number, held_out=False, evidence=seen)
                told.append(looked)
            told.append(self._told(phase, iteration, made.number, made.workspace, decision, before))
            for one in worked:
                own = decision if len(worked) == 1 else self._own(one.role, decision)
                told += cascading.learned(self.site.ctx.run, one.number, one.task, one.kept, own, one.found, evidence)
            return Kept(decision.model_dump(mode="json"), tell=told)

        decision = gate.Decision.model_validate(await self.site.ctx.step("gate", decide))
        if decision.verdict != "passed":
            await self.site.ctx.enter("running")
        return Judged(made, evidence, decision)

    def _by_checks(self, phase: Phase, iteration: int, made: Tried, evidence: Sequence[Evidence]) -> gate.Decision:
        """What follows from what checks saw, and from nothing else."""
        survey = self.inspection.survey_of(made.workspace)
        required = named(self._kinds, self.order, survey)
        if "tests" in self._kinds and tries_mutants(self.order, made, evidence):
            required.append(MUTATION)
        if any(seen.check == PERSON for seen in evidence):
            required.append(PERSON)
        asked = [seen for seen in evidence if seen.check in required]
        spared = survey.spared | toolbox.spared(required, self.order.tools)
        return self._decided(asked, phase, required, iteration, spared)

    def _decided(
        self,
        evidence: Sequence[Evidence],
        phase: Phase,
        required: Sequence[str],
        iteration: int,
        spared: Collection[str] = (),
    ) -> gate.Decision:
        steps = self.order.spec.quality.thresholds
        found = gate.decide(
            evidence,
            weights={**gate.WEIGHTS, **self.order.phases.weights},
            threshold=steps[min(iteration, len(steps)) - 1],
            vetoes=toolbox.vetoes(self._vetoes | set(phase.vetoes) | {PERSON}),
            required=required,
            spared=spared,
        )
        return found.model_copy(update={"reasons": tuple(map(self._titled, found.reasons))})

    def _own(self, role: Role, decision: gate.Decision) -> gate.Decision:
        """What the verdict says of one role among several: whether anything failed that is its to mend."""
        failed = [check for row in decision.table for check in row.failed]
        mine = role in assigned(self._roles, failed)
        return decision.model_copy(update={"verdict": "failed" if mine else "passed"})

    def _told(
        self, phase: Phase, iteration: int, number: int, workspace: str, decision: gate.Decision, best: float
    ) -> events.GateDecided:
        steps = self.order.spec.quality.thresholds
        return events.GateDecided(
            run=self.site.ctx.run,
            attempt=number,
            workspace=workspace,
            verdict=decision.verdict,
            score=decision.score,
            reasons=list(decision.reasons),
            phase=phase.name,
            iteration=iteration,
            threshold=float(steps[min(iteration, len(steps)) - 1]),
            best=best,
            table=[row.model_dump(mode="json") for row in decision.table],
        )

    def _titled(self, reason: str) -> str:
        """People know examples by their headings."""
        for example in self.order.spec.examples:
            reason = reason.replace(f"example:{example.id}", f"{example.title!r}")
        return reason


def _with_progress(decision: gate.Decision, best: float, gain: float) -> gate.Decision:
    """With a word about a rework that brought too little."""
    if not gain or decision.score >= best + gain:
        return decision
    told = f"{decision.score:g} is less than {gain:g} points above the best so far, {best:g}"
    return decision.model_copy(update={"reasons": (*decision.reasons, told)})
