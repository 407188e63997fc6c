"""Several candidates for one phase, side by side: a tournament, which the best verified one wins, or a consensus, which
those win that do the same.

Every candidate is made from nothing by a worker of its own, where there are so many; none sees another. Each is looked
at and judged like any result. In a consensus they are compared by what they do; where they do not agree, a person is
told the smallest input on which they differ, and chooses.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from daybreak.checks.product import Product
    from daybreak.factory.consensus import Agreement, Observation, Probe, Split

PROBES_MAX = 40
AGAIN_EVERY = 5
"""Each so manyth probe is put to every candidate twice: the same program has to answer the same."""
SHORTER_MAX = 20
"""Tries at leaving something out of an input before a person is asked about it; each is put to two candidates."""


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
        again = {probe.id for place, probe in enumerate(probes) if place % AGAIN_EVERY == 0}
        passed = {name: one.decision.verdict == "passed" for name, one in by_name.items()}
        accepted = {name: by_name[name] for name, right in passed.items() if right}
        with Observed(self.site, self.order, self.ledger, [one.made for one in judged]) as observed:
            agreed = consensus.agree(candidates, probes, await observed.all(probes, again), passed)
            if agreed.winner is None and accepted and agreed.splits:
                told_first = _telling(agreed.splits, accepted)
                others = [split for split in agreed.splits if split is not told_first]
                shorter = await observed.shortened(told_first, accepted)
                agreed = agreed.model_copy(update={"splits": (shorter, *others)})

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
            )
            return Kept(agreed.model_dump(mode="json"), tell=[told])

        agreed = consensus.Agreement.model_validate(await self.site.ctx.step("agree", decide))
        if agreed.winner is not None:
            return by_name[agreed.winner]
        return await self._ask(agreed, accepted) if accepted else None

    async def _ask(self, agreed: Agreement, accepted: dict[str, Judged]) -> Judged | None:
        """Which of those that pass every gate; None where a person wants none of them."""
        names = ", ".join(accepted)
        question = f"{agreed.reasons[0]}. {_first_split(agreed)}Deliver which candidate: {names}, or none?"
        while True:
            answer = str(await self.site.ctx.ask(question)).strip().lower()
            if answer in accepted:
                return accepted[answer]
            if answer in ("none", "no", "n"):
                return None


@dataclass
class Observed:
    """What candidates of one run do, each probe put to each workspace once: candidates that left the same bytes share
    what was seen, and every observation is a durable step, so a run that is taken up again repeats none.

    A context: programs stay installed in it, and are installed only where there is something left to ask them."""

    site: Site
    order: BuildOrder
    ledger: Ledger
    made: Sequence[Tried]
    _seen: dict[tuple[str, str, int], Observation] = field(default_factory=dict)
    """By workspace, probe, and which time it was asked."""
    _installed: dict[str, _Installed] = field(default_factory=dict)
    """By workspace."""
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Observed:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    async def all(self, probes: Sequence[Probe], again: Collection[str]) -> list[Observation]:
        """Of every candidate; those probes whose ids are in `again` are put to it twice."""
        wanted = [(probe, asked) for probe in probes for asked in ((1, 2) if probe.id in again else (1,))]
        await self._look(self.made, wanted)
        return [self._of(one, probe, asked) for one in self.made for probe, asked in wanted]

    async def shortened(self, split: Split, candidates: Collection[str]) -> Split:
        """The split with as short an input as SHORTER_MAX tries find, and the answers to that."""
        from daybreak.factory import consensus

        by_name = {str(one.number): one for one in self.made}
        sides = [next((name for name in answer.candidates if name in by_name), "") for answer in split.answers]
        sides = [name for name in sides if name in candidates] or sides
        if len(pair := [by_name[name] for name in sides if name][:2]) < 2:
            return split
        trying = consensus.shortening(split, most=SHORTER_MAX)
        differ: bool | None = None
        while True:
            try:
                probe = next(trying) if differ is None else trying.send(differ)
            except StopIteration as end:
                found: Split = end.value
                break
            await self._look(pair, [(probe, 1)])
            one, other = (consensus.last_answer(self._of(made, probe, 1), len(probe.asks)) for made in pair)
            differ = one != other
        probe = consensus.Probe.of(found.face, found.about, found.input)
        await self._look(self.made, [(probe, 1)])
        return consensus.answered(found, {name: self._of(made, probe, 1) for name, made in by_name.items()})

    def _of(self, made: Tried, probe: Probe, asked: int) -> Observation:
        return self._seen[made.workspace, probe.id, asked].model_copy(update={"candidate": str(made.number)})

    async def _look(self, made: Sequence[Tried], wanted: Sequence[tuple[Probe, int]]) -> None:
        """See to it that all of this was observed."""
        todo: dict[str, tuple[Tried, list[tuple[Probe, int]]]] = {}
        for one in made:
            missing = [(probe, asked) for probe, asked in wanted if (one.workspace, probe.id, asked) not in self._seen]
            if missing:
                todo.setdefault(one.workspace, (one, missing))
        await self.site.side_by_side([self._observer(one, missing) for one, missing in todo.values()])

    def _observer(self, made: Tried, wanted: Sequence[tuple[Probe, int]]) -> Branch:
        from daybreak.factory import consensus

        async def branch(ctx: Context) -> None:
            for probe, asked in wanted:
                told = await ctx.step("observe", partial(self._observe, made, probe), made.workspace, probe.id, asked)
                self._seen[made.workspace, probe.id, asked] = consensus.Observation.model_validate(told)

        return branch

    def _observe(self, made: Tried, probe: Probe, workspace: str, _: str, asked: int) -> dict[str, Any]:
        """Inside its step; of one workspace one at a time."""
        from daybreak.factory import consensus

        if workspace not in self._installed:
            self._installed[workspace] = self._install(made)
        installed = self._installed[workspace]
        self.site.refuse_full_disk()
        seen = consensus.observe(
            installed.product,
            probe,
            installed.scratch,
            candidate="",
            workspace=workspace,
            serve=self.order.serve,
            prefix=self.order.spec.http.prefix,
            require=self.order.sandbox,
            cancelled=self.site.cancelled,
            asked=asked,
        )
        self.site.refuse_interrupted()
        return seen.model_dump(mode="json")

    def _install(self, made: Tried) -> _Installed:
        order, scratch = self.order, self._open.enter_context(self.site.scratch())
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
        return _Installed(result.product(), scratch)


@dataclass(frozen=True)
class _Installed:
    product: Product | None
    """None where it cannot be installed."""
    scratch: Path


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
