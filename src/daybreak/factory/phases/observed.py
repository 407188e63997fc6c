"""What candidates of one run do: each probe put to each workspace once, in the sandbox, each answer a durable step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from daybreak.engine import Context
from daybreak.factory.lookjobs import Here
from daybreak.factory.looks import Looks
from daybreak.factory.phases.filling import Tried
from daybreak.factory.phases.order import BuildOrder
from daybreak.factory.site import Branch, Site
from daybreak.ledger import Ledger

if TYPE_CHECKING:
    from daybreak.factory.consensus import Observation, Probe, Split

SHORTER_MAX = 20
"""Tries at leaving something out of an input before a person is asked about it; each is put to two candidates."""


@dataclass
class Observed:
    """What candidates of one run do, each probe put to each workspace once: candidates that left the same bytes share
    what was seen, and every observation is a durable step, so a run that is taken up again repeats none. Nor does one
    that asks for another candidate: what was seen of the others stays.

    A context, which may be entered again: programs stay installed in it, and are installed only where there is
    something left to ask them."""

    site: Site
    order: BuildOrder
    ledger: Ledger
    made: list[Tried]
    """May grow between two looks."""
    _seen: dict[tuple[str, str, int], Observation] = field(default_factory=dict)
    """By workspace, probe, and which time it was asked."""
    _looks: dict[str, Looks] = field(default_factory=dict)
    """By workspace."""
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Observed:
        return self

    def __exit__(self, *_: object) -> None:
        self._looks.clear()
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
        if workspace not in self._looks:
            self._looks[workspace] = self._looking(made)
        self.site.refuse_full_disk()
        seen = self._looks[workspace].observe(probe, asked)
        self.site.refuse_interrupted()
        return seen.model_dump(mode="json")

    def _looking(self, made: Tried) -> Looks:
        order, scratch = self.order, self._open.enter_context(self.site.scratch())
        looks = Looks(
            jobs=order.office.jobs(self.site.ctx, self.site.cancelled),
            spec=order.spec,
            workspace=made.workspace,
            packed=self.ledger.get_blob(made.tree),
            scratch=scratch,
            cache=scratch / "cache",
            serve=order.serve,
            require=order.sandbox,
            needs=order.needs,
            here=Here(order.office.here),
            tools=order.tools,
        )
        return self._open.enter_context(looks.open())
