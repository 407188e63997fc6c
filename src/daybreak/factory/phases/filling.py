"""A role is filled: somebody is chosen for it, works from the best result so far, and leaves a tree.

A tester or a writer may change what is theirs and nothing else; what a worker may not touch is compared afterwards, on
the tree itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from daybreak.agents.cascade import Rule
from daybreak.agents.protocol import Brief, Claim, Finding
from daybreak.engine import Context, Kept
from daybreak.errors import WorkerError
from daybreak.factory import attempted, cascading, deliver, hearing, recall
from daybreak.factory import brief as briefs
from daybreak.factory.attempting import Attempts
from daybreak.factory.cascading import Course, NobodyLeft
from daybreak.factory.phases import artefacts
from daybreak.factory.phases.order import BuildOrder
from daybreak.factory.phases.phase import IMPLEMENTER, OPERATIONS, Phase, Role
from daybreak.factory.site import Site
from daybreak.factory.spec import without_examples
from daybreak.host import tree
from daybreak.ledger import Ledger
from daybreak.settings import BUILDER, SettingsWrong

NOT_KEPT: dict[str, Any] = {"money_microusd": 0, "duration_ms": 0, "lessons": [], "role": IMPLEMENTER}
"""What attempts did not keep when there was one worker, or one role, only."""
CHANGES_NAMED_MAX = 3


class NameTaken(WorkerError):
    """A worker has left a file of a name that is ours."""

    code = "W191"


class NotTheirs(WorkerError):
    """A role has changed what is not its to change."""

    code = "W192"


@dataclass(frozen=True)
class Tried:
    """An attempt that left a tree."""

    number: int
    role: Role
    task: str
    """What memory calls what was asked."""
    kept: dict[str, Any]
    found: tuple[Finding, ...]
    """What checks had found before it."""

    @property
    def worker(self) -> str:
        return str(self.kept["worker"])

    @property
    def workspace(self) -> str:
        return str(self.kept["workspace"])

    @property
    def tree(self) -> str:
        """Blob of its packed tree."""
        return str(self.kept["tree"])


def taken_over(order: BuildOrder) -> Tried | None:
    """What an earlier build has left, as if it were an attempt; its number is that of no attempt of this run. None
    where it left nothing to work on."""
    taken = order.taken
    if taken is None or not taken.tree:
        return None
    claim = Claim(outcome="finished", summary=f"taken over from run {taken.run}")
    kept = {
        **NOT_KEPT,
        "worker": taken.worker,
        "workspace": taken.workspace,
        "tree": taken.tree,
        "claim": msgspec.to_builtins(claim),
        "role": taken.role,
    }
    return Tried(0, Role(name=taken.role), order.kind, kept, ())


def rejected_before(order: BuildOrder) -> Tried | None:
    """What a person has rejected, to begin from, as if it were an attempt; None where there is no such thing."""
    rejected = order.rejected
    if rejected is None or not rejected.tree:
        return None
    claim = Claim(outcome="finished", summary=f"rejected in run {rejected.run}")
    kept = {
        **NOT_KEPT,
        "worker": "",
        "workspace": rejected.workspace,
        "tree": rejected.tree,
        "claim": msgspec.to_builtins(claim),
    }
    return Tried(0, Role(name=IMPLEMENTER), order.kind, kept, ())


@dataclass
class Filling:
    """Of one run. `left_s` says how much of the build's time is left, and raises where none is."""

    site: Site
    order: BuildOrder
    ledger: Ledger
    attempts: Attempts
    left_s: Callable[[Context], Awaitable[float]]
    ask: Callable[[Brief], Brief] = field(default=lambda brief: brief)
    """What is asked for differently here."""
    last: dict[str, Any] | None = None
    """Whatever the last attempt kept, also one that left nothing."""
    courses: list[Course] = field(default_factory=list)
    """Of the whole run, shared by all that fill roles in it."""
    _courses: dict[tuple[str, str], Course] = field(default_factory=dict)

    @property
    def waited_s(self) -> float:
        """How long nobody could be asked; the same after a crash."""
        return sum(course.waited_s for course in self.courses)

    async def fill(
        self, phase: Phase, role: Role, base: Tried | None, found: Sequence[Finding], *, over: bool = False
    ) -> Tried:
        """An attempt in that role that left a tree. `over`: a worker that is alone is not asked again. Raises
        NobodyLeft."""
        while True:
            number = await self.site.next_number()
            left_s = await self.left_s(self.site.ctx)
            worker = await self._next(phase, role, number, over=over)
            work = partial(self._attempt, number, role, worker, base, found, left_s)
            async with self.site.turn():
                kept = {**NOT_KEPT, **await self.site.ctx.step("attempt", work)}
            self.last = {**kept, "worker": worker}
            if kept["tree"]:
                return Tried(number, role, self._task(role), self.last, tuple(found))
            over = True

    def beside(self, site: Site, place: int) -> Filling:
        """One of several at a time: with its own branch of the run, and with its own worker first where there are
        enough of them."""
        order = self.order
        turned = order.workers[place % len(order.workers) :] + order.workers[: place % len(order.workers)]
        own = replace(order, workers=turned, as_written=True, phases=order.phases.model_copy(update={"iterations": 1}))
        return self.apart(site, order=own)

    def apart(
        self, site: Site, *, order: BuildOrder | None = None, ask: Callable[[Brief], Brief] | None = None
    ) -> Filling:
        """For a branch of the run; nobody who was asked elsewhere counts as asked."""
        attempts = self.attempts.beside(site.ctx)
        return replace(
            self,
            site=site,
            attempts=attempts,
            order=order or self.order,
            ask=ask or self.ask,
            last=None,
            _courses={},
        )

    async def once(self, phase: Phase, role: Role, number: int, left_s: float) -> Tried | None:
        """Attempt `number`, by the first worker who can be asked; None where it left nothing. Raises NobodyLeft."""
        worker = await self._course(phase, role).next(number)
        work = partial(self._attempt, number, role, worker, None, (), left_s)
        kept = {**NOT_KEPT, **await self.site.ctx.step("attempt", work), "worker": worker}
        return Tried(number, role, self._task(role), kept, ()) if kept["tree"] else None

    async def _next(self, phase: Phase, role: Role, number: int, *, over: bool) -> str:
        order = self.order
        if not order.alone:
            return await self._course(phase, role).next(number)
        if over or number > order.spec.budget.attempts:
            raise NobodyLeft(f"{order.workers[0]} was asked {number - 1} times", hint="build it again")
        return order.workers[0]

    def _course(self, phase: Phase, role: Role) -> Course:
        key = (phase.name, role.name)
        if key not in self._courses:
            gain = self.order.phases.gain
            rule = Rule(gain=gain, fruitless_max=1) if gain else Rule()
            self._courses[key] = Course(
                self.site.ctx,
                self.order.office,
                self._asked(role),
                self._task(role),
                self.order.attempts_max,
                rule=rule,
                refuses=partial(self._beyond_embedded, role),
                as_written=self.order.as_written or self._asked(role) != self.order.workers,
                phase=phase.name,
                role=role.name if phase.name else "",
            )
            self.courses.append(self._courses[key])
        return self._courses[key]

    def _asked(self, role: Role) -> tuple[str, ...]:
        """In which order. How something is deployed costs nothing where the embedded builder knows it."""
        embedded = (self.order.embedded,) if role.name == OPERATIONS else ()
        return role.workers or tuple(dict.fromkeys((*embedded, *self.order.workers)))

    def _task(self, role: Role) -> str:
        return self.order.kind if role.name == IMPLEMENTER else f"{self.order.kind}/{role.name}"

    def _beyond_embedded(self, role: Role) -> str:
        from daybreak.agents.builder.worker import refusal

        return refusal(briefs.make(self.order.spec, "", role=role.template or role.name)) or ""

    def _is_embedded(self, worker: str) -> bool:
        try:
            return self.order.office.settings.worker(worker).kind == BUILDER
        except SettingsWrong:  # gone since it was chosen: the attempt says so
            return False

    # -- one attempt, inside its step

    def _attempt(
        self, number: int, role: Role, worker: str, base: Tried | None, found: Sequence[Finding], left_s: float
    ) -> Kept:
        order, run = self.order, self.site.ctx.run
        learned = order.office.lessons(f"{order.spec.title}\n{order.spec.summary}", order.kind)
        brief = self._brief(number, role, found, [one.text for one in learned])
        with self.site.scratch() as scratch:
            folder = scratch / "workspace"
            folder.mkdir()
            before = self._begin_from(base, role, worker, folder)
            result = self.attempts.work(number, worker, brief, folder, scratch, time_s=left_s, require=order.sandbox)
            made, packed = "", ""
            if result.claim.outcome not in ("refused", "crashed"):
                try:
                    made, packed = self._taken(folder, role, before)
                except (tree.NotATree, NameTaken, NotTheirs) as problem:  # the next one may do better
                    summary = hearing.cut(f"what it left cannot be taken: {problem.message}")
                    result.claim = Claim(outcome="crashed", summary=summary, trouble="crashed")
        kept = {
            "worker": worker,
            "workspace": made,
            "tree": packed,
            "claim": msgspec.to_builtins(result.claim),
            "money_microusd": result.usage.money_microusd,
            "duration_ms": result.duration_ms,
            "lessons": [one.lesson for one in learned],
            "role": role.name,
        }
        told = attempted.told(run, number, self._task(role), worker, result, made)
        return Kept(kept, tell=[*told, *cascading.unjudged(run, number, kept)])

    def _brief(self, number: int, role: Role, found: Sequence[Finding], lessons: Sequence[str]) -> Brief:
        order = self.order
        brief = briefs.make(
            order.spec,
            without_examples(order.text, set(order.held_out), format=order.format),
            number,
            found,
            lessons=lessons,
            recall=recall.pack(self.site.ctx.records(), role=role.name),
            role=role.template or role.name,
        )
        return self.ask(brief)

    def _begin_from(self, base: Tried | None, role: Role, worker: str, folder: Path) -> tree.Tree | None:
        """The embedded builder makes its project whole, from nothing; everybody else goes on with the best so far.
        None: whatever is left may be."""
        if base is None and role.writes:
            return tree.Tree(())
        if base is None or (role.name == IMPLEMENTER and (self.order.alone or self._is_embedded(worker))):
            return None
        return tree.unpack(self.ledger.get_blob(base.tree), folder, base.workspace)

    def _taken(self, folder: Path, role: Role, before: tree.Tree | None) -> tuple[str, str]:
        """Hash and blob of what a worker left. Raises NotATree, NameTaken, NotTheirs."""
        taken = tree.take(folder)
        for path in taken.tree.files:
            if path.split("/")[0] in deliver.OURS or path.startswith(f"{artefacts.FOLDER}/"):
                raise NameTaken(
                    f"{path} is in it, which belongs to the delivery",
                    hint="leave that name free; it is made from what was verified",
                )
        if before is not None:
            _refuse_foreign(role, before, taken.tree)
        return taken.tree.hash, self.ledger.put_blob(taken.packed)


def _refuse_foreign(role: Role, before: tree.Tree, after: tree.Tree) -> None:
    was, now = ({entry.path: entry for entry in one.entries} for one in (before, after))
    changed = sorted(
        path for path in was.keys() | now.keys() if was.get(path) != now.get(path) and not role.may_write(path)
    )
    if changed:
        more = f" and {len(changed) - CHANGES_NAMED_MAX} more" if len(changed) > CHANGES_NAMED_MAX else ""
        raise NotTheirs(
            f"a {role.name} may not change {', '.join(changed[:CHANGES_NAMED_MAX])}{more}",
            hint=f"it may write {', '.join(role.writes)}; `[roles.{role.name}]` in daybreak.toml says so",
        )
