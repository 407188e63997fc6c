"""Several candidates for one phase, side by side: a tournament, which the best verified one wins, or a consensus, which
those win that do the same.

Every candidate is made from nothing by a worker of its own, where there are so many; none sees another. Each is looked
at and judged like any result. In a consensus they are compared by what they do; where they do not agree, one more is
asked for where that may decide it, and otherwise a person is told the smallest input on which they differ, and chooses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from daybreak import events
from daybreak.engine import Context, Kept
from daybreak.errors import CheckError
from daybreak.factory.cascading import NobodyLeft
from daybreak.factory.phases.filling import Filling, Tried
from daybreak.factory.phases.judged import Judged
from daybreak.factory.phases.observed import Observed
from daybreak.factory.phases.order import BuildOrder
from daybreak.factory.phases.phase import Phase, Role
from daybreak.factory.site import Branch, Site
from daybreak.ledger import Ledger

if TYPE_CHECKING:
    from daybreak.factory.consensus import Agreement, Candidate, Split

PROBES_MAX = 40
AGAIN_EVERY = 5
"""Each so manyth probe is put to every candidate twice: the same program has to answer the same."""
Judge = Callable[[Tried], Awaitable[Judged]]
"""How a result is looked at and judged."""


@dataclass
class Contest:
    """Of one run."""

    site: Site
    order: BuildOrder
    ledger: Ledger
    filling: Filling

    async def entries(self, phase: Phase, role: Role) -> list[Tried | None]:
        """What each candidate's worker left, in their order; None for one that left nothing. Raises NobodyLeft where
        none of them left anything."""
        first = self.site.number + 1
        left_s = await self.filling.left_s(self.site.ctx)
        places = range(self.order.phases.candidates)
        self.site.number += len(places)
        made: list[Tried | None] = await self.site.side_by_side(
            [self._entry(phase, role, self._turned(role, place), first + place, left_s) for place in places]
        )
        if not any(made):
            raise NobodyLeft(f"none of {len(made)} candidates left anything", hint="`daybreak report` says why of each")
        return made

    def _entry(self, phase: Phase, role: Role, workers: Sequence[str], number: int, left_s: float) -> Branch:
        """`workers`: who may be asked, in that order."""
        order = replace(self.filling.order, workers=tuple(workers))
        asked = role.model_copy(update={"workers": tuple(workers)}) if role.workers else role

        async def branch(ctx: Context) -> Tried | None:
            beside = replace(self.site, ctx=ctx, number=number)
            filling = replace(self.filling, order=order).beside(beside, 0)
            try:
                return await filling.once(phase, asked, number, left_s)
            except NobodyLeft:  # the ledger has said who was passed over and why
                return None

        return branch

    def _turned(self, role: Role, place: int) -> tuple[str, ...]:
        """Who is asked for the candidate at that place: everybody, another one first each time."""
        workers = role.workers or self.order.workers
        first = place % len(workers)
        return workers[first:] + workers[:first]

    # -- consensus

    async def chosen(
        self, phase: Phase, role: Role, entered: list[Tried | None], first: int, judged: list[Judged], judge: Judge
    ) -> Judged | None:
        """The one that they agree on, or that a person has chosen; None where no one may be.

        `first`: number of the first one's attempt. Where they split so that one more may decide, one more is asked for,
        looked at by `judge`, and added to `entered` and `judged`: see `consensus.wider`."""
        from daybreak.factory import consensus

        seed = int(self.site.ctx.run.encode().hex(), 16) % 2**32
        probes = consensus.probes(self.order.spec, seed, PROBES_MAX)
        again = {probe.id for place, probe in enumerate(probes) if place % AGAIN_EVERY == 0}
        observed = Observed(self.site, self.order, self.ledger, [one.made for one in judged])
        asked = [self._turned(role, place)[0] for place in range(len(entered))]
        while True:
            passed = {str(one.made.number): one.decision.verdict == "passed" for one in judged}
            candidates = [_candidate(first + place, made) for place, made in enumerate(entered)]
            with observed:
                agreed = consensus.agree(candidates, probes, await observed.all(probes, again), passed)
            number = first + len(entered)
            workers, left_s = await self._wider(role, agreed, number, entered, asked)
            if not workers:
                break
            made = await self._another(phase, role, number, workers, left_s)
            asked.append(workers[0])
            entered.append(made)
            if made is not None:
                observed.made.append(made)
                judged.append(await judge(made))
        accepted = {str(one.made.number): one for one in judged if passed[str(one.made.number)]}
        agreed = await self._decided(agreed, observed, accepted, first)
        if agreed.winner is not None:
            return accepted[agreed.winner]
        return await self._ask(agreed, accepted) if accepted else None

    async def _decided(
        self, agreed: Agreement, observed: Observed, accepted: Mapping[str, Judged], first: int
    ) -> Agreement:
        """As it is kept, with a short input to ask a person about where it comes to that."""
        from daybreak.factory import consensus

        if agreed.winner is None and accepted and agreed.splits:
            told_first = _telling(agreed.splits, accepted)
            others = [split for split in agreed.splits if split is not told_first]
            with observed:
                shorter = await observed.shortened(told_first, accepted)
            agreed = agreed.model_copy(update={"splits": (shorter, *others)})
        more = range(first + self.order.phases.candidates, first + agreed.n)

        def decide() -> Kept:
            told = events.CandidatesCompared(
                run=self.site.ctx.run,
                verdict=agreed.verdict,
                winner=int(agreed.winner or 0),
                candidates=agreed.n,
                tolerated=agreed.f,
                probes=agreed.probes,
                reasons=list(agreed.reasons),
                splits=[split.model_dump(mode="json") for split in agreed.splits],
                disqualified={one.name: one.reason for one in agreed.disqualified},
                added=list(more),
            )
            return Kept(agreed.model_dump(mode="json"), tell=[told])

        return consensus.Agreement.model_validate(await self.site.ctx.step("agree", decide))

    # -- one more

    async def _wider(
        self, role: Role, agreed: Agreement, number: int, entered: Sequence[Tried | None], asked: Sequence[str]
    ) -> tuple[list[str], float]:
        """Who may be asked for one more candidate, attempt `number`, in that order, and how many seconds it has; nobody
        where none is to be asked for. What is decided is kept."""
        from daybreak.factory import consensus

        wider = consensus.wider(agreed, self.order.phases.candidates_max)
        if wider is None:
            return [], 0.0
        why_not, left_s = await self._no_more(len(entered))
        made = {str(number - len(entered) + place): one.worker for place, one in enumerate(entered) if one is not None}
        workers = consensus.next_workers(role.workers or self.order.workers, made, asked, wider.leading)

        def widen(_: int) -> Kept:
            told = events.ConsensusWidened(
                run=self.site.ctx.run,
                candidates=agreed.n,
                split=wider.split,
                attempt=0 if why_not else number,
                worker="" if why_not else workers[0],
                tolerated=wider.tolerated,
                needed=wider.needed,
                why=why_not or _why(asked.count(workers[0])),
                splits=[split.model_dump(mode="json") for split in agreed.splits[:1]],
            )
            return Kept([] if why_not else list(workers), tell=[told])

        return list(await self.site.ctx.step("widen", widen, agreed.n)), left_s

    async def _no_more(self, count: int) -> tuple[str, float]:
        """Why no more than so many candidates may be asked for, empty where there may be one more, and the seconds that
        are left. Each is an attempt like a rework, of which the specification says how many there may be."""
        attempts = self.order.attempts_max
        if count - self.order.phases.candidates + 1 >= attempts:
            return f"{attempts} attempt{'s' if attempts > 1 else ''} of one role are all that there may be", 0.0
        try:
            return "", await self.filling.left_s(self.site.ctx)
        except CheckError as spent:  # what has passed its checks is a person's to choose from, and not lost
            return spent.message, 0.0

    async def _another(
        self, phase: Phase, role: Role, number: int, workers: Sequence[str], left_s: float
    ) -> Tried | None:
        """What one more candidate's worker left, in a branch of its own, like the others."""
        self.site.number = max(self.site.number, number)
        made: list[Tried | None] = await self.site.side_by_side([self._entry(phase, role, workers, number, left_s)])
        return made[0]

    async def _ask(self, agreed: Agreement, accepted: Mapping[str, Judged]) -> Judged | None:
        """Which of those that pass every gate; None where a person wants none of them."""
        names = ", ".join(accepted)
        question = f"{agreed.reasons[0]}. {_first_split(agreed)}Deliver which candidate: {names}, or none?"
        while True:
            answer = str(await self.site.ctx.ask(question)).strip().lower()
            if answer in accepted:
                return accepted[answer]
            if answer in ("none", "no", "n"):
                return None


def _candidate(number: int, made: Tried | None) -> Candidate:
    from daybreak.factory import consensus

    return consensus.Candidate(
        name=str(number),
        worker=made.worker if made else "",
        workspace=made.workspace if made else "0" * 64,
        tree=made.tree if made else "",
    )


def _why(times: int) -> str:
    return f"asked {times} time{'s' if times > 1 else ''} before" if times else "not asked before"


def _telling(splits: Sequence[Split], accepted: Collection[str]) -> Split:
    """The first where those differ that can be chosen; where there is none, the first."""
    for split in splits:
        if sum(any(name in accepted for name in answer.candidates) for answer in split.answers) > 1:
            return split
    return splits[0]


def _first_split(agreed: Agreement) -> str:
    if not agreed.splits:
        return ""
    split = agreed.splits[0]
    asked = "; ".join(ask.line + (f" {ask.body}" if ask.body else "") for ask in split.input)
    answers = "; ".join(f"{', '.join(one.candidates)} answers {one.text!r:.200}" for one in split.answers)
    named = f" ({', '.join(split.requirements)})" if split.requirements else ""
    return f"They differ on `{asked:.400}`{named}: {answers}. "
