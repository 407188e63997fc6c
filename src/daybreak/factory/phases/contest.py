"""Several candidates for one phase, side by side: a tournament, which the best verified one wins, or a consensus, which
those win that do the same.

Every candidate is made from nothing by a worker of its own, where there are so many; none sees another. Each is looked
at and judged like any result. In a consensus they are compared by what they do; where they do not agree, a person is
told the smallest input on which they differ, and chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from daybreak import events
from daybreak.engine import Context, Kept
from daybreak.factory import looking
from daybreak.factory.cascading import NobodyLeft
from daybreak.factory.phases.filling import Filling, Tried
from daybreak.factory.phases.judged import Judged
from daybreak.factory.phases.order import BuildOrder
from daybreak.factory.phases.phase import Phase, Role
from daybreak.factory.site import Branch, Site
from daybreak.ledger import Ledger

PROBES_MAX = 40
AGAIN_EVERY = 5
"""Each so manyth probe is put to every candidate twice: the same program has to answer the same."""


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
            [self._entry(phase, role, place, first + place, left_s) for place in places]
        )
        if not any(made):
            raise NobodyLeft(f"none of {len(made)} candidates left anything", hint="`daybreak report` says why of each")
        return made

    def _entry(self, phase: Phase, role: Role, place: int, number: int, left_s: float) -> Branch:
        async def branch(ctx: Context) -> Tried | None:
            filling = self.filling.beside(replace(self.site, ctx=ctx, number=number), place)
            try:
                return await filling.once(phase, role, number, left_s)
            except NobodyLeft:  # the ledger has said who was passed over and why
                return None

        return branch

    # -- consensus

    async def chosen(self, entered: Sequence[Tried | None], first: int, judged: Sequence[Judged]) -> Judged | None:
        """The one that they agree on, or that a person has chosen; None where no one may be."""
        from daybreak.factory import consensus

        by_name = {str(one.made.number): one for one in judged}
        candidates = [
            consensus.Candidate(
                name=str(first + place),
                worker=made.worker if made else "",
                workspace=made.workspace if made else "0" * 64,
                tree=made.tree if made else "",
            )
            for place, made in enumerate(entered)
        ]
        seed = int(self.site.ctx.run.encode().hex(), 16) % 2**32
        probes = consensus.probes(self.order.spec, seed, PROBES_MAX)
        seen = await self.site.side_by_side([self._observer(one.made, probes) for one in judged])
        observations = [consensus.Observation.model_validate(one) for told in seen for one in told]
        accepted = {name: one.decision.verdict == "passed" for name, one in by_name.items()}

        def decide() -> Kept:
            agreed = consensus.agree(candidates, probes, observations, accepted)
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
            )
            return Kept(agreed.model_dump(mode="json"), tell=[told])

        agreed = consensus.Agreement.model_validate(await self.site.ctx.step("agree", decide))
        if agreed.winner is not None:
            return by_name[agreed.winner]
        if not any(accepted.values()):
            return None
        return await self._ask(agreed, {name: by_name[name] for name, passed in accepted.items() if passed})

    def _observer(self, made: Tried, probes: Sequence[Any]) -> Branch:
        from daybreak.factory import consensus

        def observe() -> list[dict[str, Any]]:
            order = self.order
            with self.site.scratch() as scratch:
                result = looking.Result(
                    spec=order.spec,
                    workspace=made.workspace,
                    packed=self.ledger.get_blob(made.tree),
                    scratch=scratch,
                    cache=scratch / "cache",
                    serve=order.serve,
                    require=order.sandbox,
                    cancelled=self.site.cancelled,
                )
                look = partial(
                    consensus.observe,
                    result.product(),
                    candidate=str(made.number),
                    workspace=made.workspace,
                    serve=order.serve,
                    prefix=order.spec.http.prefix,
                    require=order.sandbox,
                    cancelled=self.site.cancelled,
                )
                seen = []
                for place, probe in enumerate(probes):
                    for asked in (1, 2) if place % AGAIN_EVERY == 0 else (1,):
                        seen.append(look(probe, scratch, asked=asked).model_dump(mode="json"))
            self.site.refuse_interrupted()
            return seen

        async def branch(ctx: Context) -> Any:
            return await ctx.step(f"observe {made.number}", observe)

        return branch

    async def _ask(self, agreed: Any, accepted: dict[str, Judged]) -> Judged | None:
        """Which of those that pass every gate; None where a person wants none of them."""
        names = ", ".join(accepted)
        question = f"{agreed.reasons[0]}. {_first_split(agreed)}Deliver which candidate: {names}, or none?"
        while True:
            answer = str(await self.site.ctx.ask(question)).strip().lower()
            if answer in accepted:
                return accepted[answer]
            if answer in ("none", "no", "n"):
                return None


def _first_split(agreed: Any) -> str:
    if not agreed.splits:
        return ""
    split = agreed.splits[0]
    asked = "; ".join(ask.line + (f" {ask.body}" if ask.body else "") for ask in split.input)
    answers = "; ".join(f"{', '.join(one.candidates)} answers {one.text!r:.200}" for one in split.answers)
    named = f" ({', '.join(split.requirements)})" if split.requirements else ""
    return f"They differ on `{asked:.400}`{named}: {answers}. "
