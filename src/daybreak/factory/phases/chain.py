"""The chain reaction: a task that is too much for one worker becomes parts, and parts may become parts.

A planner says which; what it may ask for is bounded here and nowhere else: depth, parts of one task, workers at a time,
time, and through the run's account money and tokens. Parts of one wave are built side by side, each in a workspace of
its own off the same base, and merged by meaning in their order; a conflict becomes a task of its own. A part that fails
takes nothing with it but those that need it, and where too many fail no further ones are begun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from daybreak import events
from daybreak.agents.protocol import Brief, Finding
from daybreak.engine import Context, Kept
from daybreak.factory.cascading import NobodyLeft
from daybreak.factory.lookjobs import Here
from daybreak.factory.looks import Looks
from daybreak.factory.phases import parts
from daybreak.factory.phases.filling import Filling, Tried
from daybreak.factory.phases.order import BuildOrder
from daybreak.factory.phases.parts import Divided, Part
from daybreak.factory.phases.phase import Phase, Role
from daybreak.factory.phases.sides import Side, Sides
from daybreak.factory.site import Branch, Numbers, Site
from daybreak.host import merge, tree
from daybreak.ledger import Ledger

PLANNER = Role(name="planner", writes=(parts.FILE,))
PLANS_MAX = 2
"""Plans of one task, after which it is built undivided: whoever only plans gets nothing done."""
FAILED_MAX = 3
"""Failed parts after which, where they are most of those that ended, no further ones are begun."""
CONFLICT_CHARS_MAX = 2_000


@dataclass
class Breaker:
    """Of one tree of parts."""

    ended: int = 0
    failed: int = 0

    def count(self, *, failed: bool) -> None:
        self.ended += 1
        self.failed += failed

    @property
    def why(self) -> str:
        """Why no further part is begun; empty where one may be."""
        if self.failed >= FAILED_MAX and self.failed * 2 > self.ended:
            return f"{self.failed} of {self.ended} parts have failed"
        return ""


@dataclass
class Chain:
    """Of one task of a run: the whole one, or a part. `path` names it: `store/schema`; empty is the whole."""

    site: Site
    order: BuildOrder
    ledger: Ledger
    filling: Filling
    phase: Phase
    role: Role
    numbers: Numbers
    breaker: Breaker
    path: str = ""
    depth: int = 0
    lost: list[str] = field(default_factory=list)
    """Parts that failed or were not begun, each with why."""

    async def build(self, base: Tried | None) -> Tried:
        """What the parts have made together; where it was not divided, or none of them did, what one worker makes.
        Raises NobodyLeft."""
        divided = await self._divide(base) if self.depth < self._depth_max else None
        if divided is None or not divided.count:
            return await self.filling.fill(self.phase, self.role, base, ())
        merged = base
        for wave in divided.waves:
            merged = await self._wave(wave, merged)
        if merged is None or merged is base:
            raise NobodyLeft("every part failed: " + "; ".join(self.lost), hint="`daybreak report` says why of each")
        return merged

    @property
    def _depth_max(self) -> int:
        return 1 if self.order.phases.paradigm == "parallel" else self.order.spec.limits.depth

    # -- dividing

    async def _divide(self, base: Tried | None) -> Divided | None:
        """The plan; None where there is none that can be followed, which is recorded."""
        found: list[Finding] = []
        why = ""
        for _ in range(PLANS_MAX):
            try:
                planned = await self.filling.fill(self.phase, PLANNER, base, found)
            except NobodyLeft as nobody:
                why = nobody.message
                break
            told = parts.read(
                self._file(planned, parts.FILE),
                most=self.order.spec.limits.children,
                independent=self.order.phases.paradigm == "parallel",
            )
            if isinstance(told, Divided):
                await self._tell(told, "" if told.count else "the planner sees no use in dividing it")
                return told
            found, why = told, "; ".join(one.message for one in told)
        await self._tell(Divided(()), why)
        return None

    def _file(self, made: Tried, path: str) -> bytes | None:
        with self.site.scratch() as scratch:
            tree.unpack(self.ledger.get_blob(made.tree), scratch / "plan", made.workspace)
            file = scratch / "plan" / path
            return file.read_bytes() if file.is_file() and not file.is_symlink() else None

    async def _tell(self, divided: Divided, why: str) -> None:
        planned = [
            {"name": part.name, "writes": list(part.writes), "after": list(part.after)}
            for wave in divided.waves
            for part in wave
        ]
        told = events.TaskDivided(run=self.site.ctx.run, path=self.path, depth=self.depth, parts=planned, why=why)
        await self.site.ctx.step("divide", lambda: Kept(len(planned), tell=[told]))

    # -- parts

    async def _wave(self, wave: Sequence[Part], base: Tried | None) -> Tried | None:
        """The base with everything that the parts of this wave have made."""
        lost = {one.partition(":")[0] for one in self.lost}
        ready, over = [], []
        for part in wave:
            missing = [name for name in part.after if name in lost]
            if why := f"it needs {', '.join(missing)}" if missing else self.breaker.why:
                over.append(self._ended(part, "not begun", why))
            else:
                ready.append(part)
        made = await self.site.ctx.gather(*(self._branch(part, base) for part in ready))
        done: list[tuple[Part, Tried]] = []
        for part, (result, why) in zip(ready, made, strict=True):
            self.breaker.count(failed=result is None)
            if result is None:
                over.append(self._ended(part, "failed", why))
            else:
                done.append((part, result))
        return await self._join(base, done, over)

    def _branch(self, part: Part, base: Tried | None) -> Branch:
        async def branch(ctx: Context) -> tuple[Tried | None, str]:
            try:
                return await self._part(part, base, ctx), ""
            except NobodyLeft as nobody:
                return None, nobody.message

        return branch

    async def _part(self, part: Part, base: Tried | None, ctx: Context) -> Tried:
        """Built by one worker, or divided in its turn; taken once its own check holds. Raises NobodyLeft."""
        site = self.site.branch(ctx, self.numbers)
        filling = self.filling.apart(site, ask=partial(_asked, part))
        role = self.role.model_copy(update={"writes": part.writes})
        path = f"{self.path}/{part.name}".strip("/")
        child = replace(self, site=site, filling=filling, role=role, path=path, depth=self.depth + 1, lost=[])
        made = await child.build(base) if part.divide else await filling.fill(self.phase, role, base, ())
        found = await self._wrong(site, made)
        while found:
            made = await filling.fill(self.phase, role, made, found)
            found = await self._wrong(site, made)
        return made

    async def _wrong(self, site: Site, made: Tried) -> list[Finding]:
        """What is wrong with a part by itself: it cannot be read. The rest shows when all of them are together."""

        def look() -> Kept:
            with site.scratch() as scratch:
                looks = Looks(
                    jobs=self.order.office.jobs(site.ctx, site.cancelled),
                    spec=self.order.spec,
                    workspace=made.workspace,
                    packed=self.ledger.get_blob(made.tree),
                    scratch=scratch,
                    cache=scratch / "cache",
                    serve=self.order.serve,
                    require=self.order.sandbox,
                    needs=self.order.needs,
                    here=Here(self.order.office.here),
                    tools=self.order.tools,
                )
                with looks.open():
                    seen = looks.parses()
            solved = seen.outcome == "passed"
            told: list[events.Event] = [
                events.CheckLooked(
                    run=site.ctx.run, attempt=made.number, held_out=False, evidence=seen.model_dump(mode="json")
                ),
                events.AttemptJudged(
                    run=site.ctx.run,
                    attempt=made.number,
                    worker=made.worker,
                    task=made.task,
                    solved=solved,
                    score=100.0 if solved else 0.0,
                    money_microusd=made.kept["money_microusd"],
                    duration_ms=made.kept["duration_ms"],
                ),
            ]
            found = [] if solved else [seen.summary, *(f"{mark.place}: {mark.message}" for mark in seen.marks)]
            return Kept(found, tell=told)

        async with site.turn():
            kept = await site.ctx.step("check part", look)
        return [Finding(check="syntax", message=message) for message in kept]

    def _ended(
        self, part: Part, verdict: Literal["done", "failed", "not begun"], why: str = "", number: int = 0
    ) -> events.PartEnded:
        if verdict != "done":
            self.lost.append(f"{part.name}: {why if verdict == 'failed' else f'not begun: {why}'}")
        path = f"{self.path}/{part.name}".strip("/")
        return events.PartEnded(run=self.site.ctx.run, path=path, verdict=verdict, why=why, attempt=number)

    # -- merging

    async def _join(
        self, base: Tried | None, done: Sequence[tuple[Part, Tried]], over: Sequence[events.Event]
    ) -> Tried | None:
        """The base with what all of them did since. What contradicts those before it is settled, or left out."""
        merged, left, told = base, list(done), list(over)
        while left or told:
            joined = await self.site.ctx.step("merge", partial(self._merge, base, merged, left, told))
            told = []
            if joined["merged"]:
                last = left[joined["merged"] - 1][1]
                kept = {**last.kept, "tree": joined["tree"], "workspace": joined["workspace"]}
                merged, left = replace(last, kept=kept), left[joined["merged"] :]
            if joined["conflicts"]:
                part, result = left.pop(0)
                assert merged is not None, "the first one contradicts nobody"
                merged, why = await self._settle(part, merged, joined["conflicts"], tuple(joined["paths"]))
                told = [self._ended(part, "failed" if why else "done", why, result.number)]
        return merged

    async def _settle(
        self, part: Part, ours: Tried, conflicts: Sequence[str], paths: tuple[str, ...]
    ) -> tuple[Tried, str]:
        """`ours` with what that part did differently; and why not, where it stays as it is."""
        found = [Finding(check="merge", message=message) for message in conflicts]
        role = self.role.model_copy(update={"writes": paths})
        settling = self.filling.apart(self.site, ask=partial(_settling, part, paths))
        try:
            return await settling.fill(self.phase, role, ours, found), ""
        except NobodyLeft as nobody:
            return ours, f"it contradicts what another part did, and nobody could settle it: {nobody.message}"

    def _merge(
        self,
        base: Tried | None,
        merged: Tried | None,
        left: Sequence[tuple[Part, Tried]],
        told: Sequence[events.Event],
    ) -> Kept:
        """Those of `left`, in order, up to the first that contradicts what is there: how many, the tree, and its
        contradictions."""
        kept: dict[str, Any] = {"merged": 0, "tree": "", "workspace": "", "conflicts": [], "paths": []}
        with self.site.scratch() as scratch:
            sides = Sides(scratch, self._unpacked(base, scratch / "before"), self._unpacked(merged, scratch / "here"))
            for number, (_, result) in enumerate(left):
                found = sides.join(self._unpacked(result, scratch / f"other-{number}"))
                if found is not None:
                    kept["conflicts"] = [_conflict(one) for one in found.conflicts]
                    kept["paths"] = sorted({one.path for one in found.conflicts})
                    break
                kept["merged"] = number + 1
            if kept["merged"]:
                taken = tree.take(sides.here.folder)
                kept |= {"tree": self.ledger.put_blob(taken.packed), "workspace": taken.tree.hash}
        done = [self._ended(part, "done", "", result.number) for part, result in left[: kept["merged"]]]
        return Kept(kept, tell=[*told, *done])

    def _unpacked(self, made: Tried | None, folder: Path) -> Side:
        if made is None:
            folder.mkdir()
            return Side(folder, {})
        unpacked = tree.unpack(self.ledger.get_blob(made.tree), folder, made.workspace)
        return Side(folder, {entry.path: entry for entry in unpacked.entries})


def _asked(part: Part, brief: Brief) -> Brief:
    told = (
        f"{part.does}\n\nThis is the part `{part.name}` of a larger project, whose specification is below. Others "
        f"build the other parts at the same time. Change only {', '.join(f'`{path}`' for path in part.writes)}."
    )
    return msgspec.structs.replace(brief, title=f"{brief.title}: {part.name}", summary=told)


def _settling(part: Part, paths: Sequence[str], brief: Brief) -> Brief:
    told = (
        f"Two workers changed the same places. What is here is the work of one; what the other, who built "
        f"`{part.name}`, did differently is among the findings. Make {', '.join(f'`{path}`' for path in paths)} hold "
        "what both did."
    )
    return msgspec.structs.replace(brief, title=f"{brief.title}: {part.name}: settle", summary=told)


def _conflict(one: merge.Conflict) -> str:
    def cut(text: str | None) -> str:
        return "nothing" if text is None else text[:CONFLICT_CHARS_MAX]

    place = f"{one.path}, {one.where}" if one.where else one.path
    return f"{place}: {one.kind}. Here: {cut(one.ours)}\nThe other: {cut(one.theirs)}\nBefore: {cut(one.base)}"
