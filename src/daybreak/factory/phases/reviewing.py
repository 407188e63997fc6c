"""Reviewers: workers that look at a result which would pass its gate, and can only object.

Asked when every check has had its say; where the gate would fail anyway, nobody is asked. An objection with a place and
a reason makes the gate fail and is the finding of the role that can mend it. An answer that is none, or that comes from
nobody, changes nothing and is recorded as that. A reviewer sees what was asked, the files, and what checks saw; never
what an implementer said, and never an example that is held out.

While objections stand, half of the score is the share of those raised in the phase that are mended. So a rework that
mends some has got further, one that is objected to for the same reason has not, and a reviewer that always finds
something else is outrun by the gain that a rework must bring: no reviewer can keep a build from ending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from daybreak import events
from daybreak.agents.protocol import Claim
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence
from daybreak.engine import Kept
from daybreak.errors import CheckError
from daybreak.factory import attempting, hearing
from daybreak.factory.cascading import Course, NobodyLeft
from daybreak.factory.consensus import objecting
from daybreak.factory.consensus.objecting import Objection, Said
from daybreak.factory.phases import reviewersbrief
from daybreak.factory.phases.filling import Filling, Tried
from daybreak.factory.phases.judged import Judged
from daybreak.factory.phases.order import BuildOrder
from daybreak.factory.phases.phase import Phase, Role
from daybreak.factory.phases.vetoing import (
    REASONS_MAX,
    SHOWN_CHARS_MAX,
    Review,
    Reviewed,
    evidence_of,
    mender,
)
from daybreak.factory.site import Site
from daybreak.host import tree
from daybreak.ledger import Ledger
from daybreak.settings import BUILDER, SettingsWrong

TEMPLATE = "reviewer"
"""Of the brief of a reviewing role that names none."""
ASKED_MAX = 3
"""Workers that are asked for one review, where those before gave none."""
TIME_S = 1_800.0


@dataclass(frozen=True)
class _Asking:
    """A result that passes every check, and that only such roles object to whose veto a person may overrule."""

    judged: Judged
    """As the checks alone have it."""
    reviewed: Reviewed
    iteration: int


@dataclass
class Reviewing:
    """Of one run; what it knows comes back from the ledger after a crash."""

    site: Site
    order: BuildOrder
    ledger: Ledger
    filling: Filling
    _reviews: dict[tuple[str, str], Review] = field(default_factory=dict)
    """By role and workspace: nobody reviews the same twice."""
    _raised: dict[str, dict[tuple[str, str], Objection]] = field(default_factory=dict)
    """Objections so far, by phase."""
    _asking: dict[str, _Asking] = field(default_factory=dict)
    """By phase."""
    _taken: set[str] = field(default_factory=set)
    """Workspaces that a person has taken over objections."""

    async def of(
        self,
        phase: Phase,
        iteration: int,
        made: Tried,
        evidence: Sequence[Evidence],
        decision: gate.Decision,
        roles: Sequence[Role],
    ) -> Reviewed:
        """What the phase's reviewers say of a result that the gate would decide about as in `decision`; nothing where
        it would fail. `roles` are those that can mend something."""
        if decision.verdict != "passed" or not phase.reviewers or made.workspace in self._taken:
            return Reviewed()
        found = [await self._of(phase, role, made, evidence) for role in phase.reviewers]
        raised = self._raised.setdefault(phase.name, {})
        mends: dict[tuple[str, str], tuple[str, Objection]] = {}
        for review in found:
            for one in review.vetoes:
                raised.setdefault(one.key, one)
                mends.setdefault(one.key, (mender(roles, one.file), one))
        standing = tuple(mends.values())
        reviewed = Reviewed(tuple(found), standing, len(raised), tuple(evidence_of(made.workspace, standing)))
        if standing and all(one.role.veto == "asks" for one in found if one.vetoes):
            self._asking[phase.name] = _Asking(Judged(made, list(evidence), decision), reviewed, iteration)
        return reviewed

    async def overruled(self, phase: Phase) -> Judged | None:
        """A result that passes every check and that a person takes over a reviewer's objections; None where there is
        none such, or the person does not want it. Parks with the question."""
        asking = self._asking.get(phase.name)
        if asking is None:
            return None
        number, decision = asking.judged.made.number, asking.judged.decision
        told = "; ".join(one.words[:SHOWN_CHARS_MAX] for _, one in asking.reviewed.mends[:REASONS_MAX])
        who = ", ".join(f"{one.role.name} {one.worker}" for one in asking.reviewed.reviews if one.vetoes)
        question = f"attempt {number} passes every check, but {who} objects: {told}. Take it all the same, yes or no?"
        while True:
            answer = str(await self.site.ctx.ask(question)).strip().lower()
            if answer in ("no", "n", "false"):
                return None
            if answer in ("yes", "y", "true"):
                break

        def take() -> Kept:
            steps = self.order.spec.quality.thresholds
            taken = events.GateDecided(
                run=self.site.ctx.run,
                attempt=number,
                workspace=asking.judged.made.workspace,
                verdict="passed",
                score=decision.score,
                reasons=[f"a person took it over what {who} objects"],
                phase=phase.name,
                iteration=asking.iteration,
                threshold=float(steps[min(asking.iteration, len(steps)) - 1]),
                table=[row.model_dump(mode="json") for row in decision.table],
            )
            return Kept(number, tell=[taken])

        await self.site.ctx.step("overrule", take)
        self._taken.add(asking.judged.made.workspace)
        return asking.judged

    # -- one review

    async def _of(self, phase: Phase, role: Role, made: Tried, evidence: Sequence[Evidence]) -> Review:
        key = (role.name, made.workspace)
        if key not in self._reviews:
            self._reviews[key] = await self._review(phase, role, made, evidence)
        return self._reviews[key]

    async def _review(self, phase: Phase, role: Role, made: Tried, evidence: Sequence[Evidence]) -> Review:
        """By the first who gives one; without objections where nobody does."""
        ctx = self.site.ctx
        who = await ctx.step("reviewers", partial(self._who, role, made))
        course = self._course(phase, role, tuple(who["order"]))
        while True:
            try:
                if not who["order"]:
                    raise NobodyLeft("nobody is in its order who could review", hint=f"name one in [roles.{role.name}]")
                number = await self.site.next_number()
                left_s = await self._left_s()
                worker = await course.next(number)
            except NobodyLeft as nobody:
                told = self._made(phase, role, made, outcome="no review", why=nobody.message)
                await ctx.step("no review", lambda told=told: Kept(None, tell=[told]))
                return Review(role, "")
            same = worker in who["authors"]
            review = partial(self._attempt, number, phase, role, worker, made, evidence, min(left_s, TIME_S), same)
            kept = await ctx.step("review", review)
            if not kept["unusable"]:
                vetoes = tuple(Objection.model_validate(one) for one in kept["vetoes"])
                return Review(role, worker, vetoes)

    async def _left_s(self) -> float:
        """Seconds of the build's time. Raises NobodyLeft: what has passed its checks is not lost for want of time."""
        try:
            return await self.filling.left_s(self.site.ctx)
        except CheckError as spent:
            raise NobodyLeft(f"no time is left for a review: {spent.message}", hint=spent.hint) from spent

    def _course(self, phase: Phase, role: Role, order: tuple[str, ...]) -> Course:
        course = Course(
            self.site.ctx,
            self.order.office,
            order,
            self._task(role),
            ASKED_MAX,
            as_written=True,
            phase=phase.name,
            role=role.name,
        )
        self.filling.courses.append(course)
        return course

    def _task(self, role: Role) -> str:
        return f"{self.order.kind}/{role.name}"

    # -- who, inside a step

    def _who(self, role: Role, made: Tried) -> dict[str, list[str]]:
        """Who is asked, in that order: those first who have made nothing of this run, those last who have made this.
        The embedded builder cannot read."""
        made_by, authors = self._makers(made)
        order = [name for name in role.workers or self.order.workers if not self._is_embedded(name)]
        order.sort(key=lambda name: (name in authors, name in made_by))
        return {"order": order, "authors": sorted(authors)}

    def _makers(self, made: Tried) -> tuple[set[str], set[str]]:
        """Workers that have left something in this run; and those of them that this result may have something of: all
        but those of other candidates."""
        reviewers = {one.name for phase in self.order.phases.phases for one in phase.reviewers}
        told = [record.event for record in self.site.ctx.records()]
        reviews = {one.attempt for one in told if isinstance(one, events.AttemptBegan) and one.role in reviewers}
        left = {
            one.attempt: one.worker
            for one in told
            if isinstance(one, events.AttemptClaimed) and one.workspace and one.attempt not in reviews
        }
        rivals: set[int] = set()
        if self.order.phases.paradigm in ("tournament", "consensus"):
            judged = [one for one in told if isinstance(one, events.GateDecided) and one.attempt in left]
            first = {one.attempt: one.score for one in judged if one.iteration == 1 and one.phase == judged[0].phase}
            won = made.number if made.number in first else max(first, key=lambda one: (first[one], -one), default=0)
            rivals = set(first) - {won}
        authors = {worker for number, worker in left.items() if number not in rivals}
        return {*left.values(), made.worker}, {*authors, made.worker}

    def _is_embedded(self, worker: str) -> bool:
        try:
            return self.order.office.settings.worker(worker).kind == BUILDER
        except SettingsWrong:  # the course says so of it
            return False

    # -- one attempt, inside its step

    def _attempt(
        self,
        number: int,
        phase: Phase,
        role: Role,
        worker: str,
        made: Tried,
        evidence: Sequence[Evidence],
        time_s: float,
        same: bool,
    ) -> Kept:
        order, run = self.order, self.site.ctx.run
        packed = self.ledger.get_blob(made.tree)
        with self.site.scratch() as scratch:
            folder = scratch / "workspace"
            there = tree.unpack(packed, folder, made.workspace)
            file = _free_name({entry.path for entry in there.entries})
            raised = self._raised.get(phase.name, {}).values()
            brief = reviewersbrief.make(order, role.template or TEMPLATE, evidence, list(raised), file)
            result = self.filling.attempts.work(
                number, worker, brief, folder, scratch, time_s=time_s, require=order.sandbox
            )
            if result.claim.outcome in ("refused", "crashed"):
                said = Said(unusable=result.claim.summary or result.claim.outcome)
            else:
                said = objecting.read(
                    _left(folder / file), partial(_lines, packed, made.workspace, scratch / "as-made")
                )
                if said.unusable and not result.claim.trouble:  # a quota or an outage may be waited for
                    summary = hearing.cut(f"no review: {said.unusable}")
                    result.claim = Claim(outcome="crashed", summary=summary, trouble="crashed")
        usable = not said.unusable
        reviewed = self._made(
            phase,
            role,
            made,
            attempt=number,
            worker=worker,
            outcome="objects" if said.vetoes else "no objection" if usable else "no review",
            why=hearing.cut(said.unusable),
            findings=[one.model_dump(mode="json") for one in said.objections],
            left_out=[hearing.cut(one) for one in said.left_out],
            same=same,
        )
        kept = {
            "worker": worker,
            "unusable": hearing.cut(said.unusable),
            "vetoes": [one.model_dump(mode="json") for one in said.vetoes],
            "claim": msgspec.to_builtins(result.claim),
        }
        told = attempting.told(run, number, self._task(role), worker, result, made.workspace if usable else "")
        if usable:  # as good as an answer in the right form can be; nobody knows whether it is right
            told.append(self._judged(number, role, worker, result))
        return Kept(kept, tell=[*told, reviewed])

    def _judged(self, number: int, role: Role, worker: str, result: attempting.Result) -> events.AttemptJudged:
        return events.AttemptJudged(
            run=self.site.ctx.run,
            attempt=number,
            worker=worker,
            task=self._task(role),
            solved=True,
            score=100.0,
            money_microusd=result.usage.money_microusd,
            duration_ms=result.duration_ms,
        )

    def _made(self, phase: Phase, role: Role, made: Tried, **told: Any) -> events.ReviewMade:
        return events.ReviewMade(
            run=self.site.ctx.run,
            reviewed=made.number,
            workspace=made.workspace,
            phase=phase.name,
            role=role.name,
            **told,
        )


def _free_name(there: set[str]) -> str:
    """Of the answer: none that the result has, or that is a folder in it, so that nobody but the reviewer can have
    written it."""
    taken = {path.split("/")[0].casefold() for path in there}
    stem, _, suffix = objecting.FILE.partition(".")
    names = [objecting.FILE, *(f"{stem}-{number}.{suffix}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _left(path: Path) -> bytes | None:
    """Not through a link, and not more than would be read."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(objecting.BYTES_MAX + 1)


def _lines(packed: bytes, workspace: str, folder: Path, path: str) -> int | None:
    """Of a file of the result as it was made, whatever the reviewer did to its copy."""
    if not folder.exists():
        tree.unpack(packed, folder, workspace)
    file = folder / path
    try:
        if ".." in Path(path).parts or Path(path).is_absolute() or not file.is_file():
            return None
        data = file.read_bytes()
    except (OSError, ValueError):  # a name that no file system takes
        return None
    return data.count(b"\n") + bool(data and not data.endswith(b"\n"))
