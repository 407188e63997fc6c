"""The queue: tasks go in, a supervisor asks what may begin or go on, people move, pause and resume.

Everything is an event in the ledger and a row of the view `runs`; the queue itself holds nothing, so any number of
processes may use it at once. What is picked is only proposed: the lease decides who has a run, and a second one is
refused by its epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from daybreak import ids
from daybreak.clock import Clock, stamp
from daybreak.engine import picking, plain, secrecy
from daybreak.engine.listing import Row, listing
from daybreak.engine.log import Log
from daybreak.engine.picking import Pick
from daybreak.engine.placement import (
    AT_ONCE_MAX,
    HOME_KEY,
    Placement,
    PlacementWrong,
    checked_task,
    is_run_name,
)
from daybreak.errors import DraftRefused, UnknownRun, UsageError
from daybreak.events import (
    QUEUE,
    Answered,
    CancelAsked,
    Event,
    PauseAsked,
    QueuePaused,
    QueueResumed,
    ResumeAsked,
    RunMoved,
    TaskAdded,
    TaskPlaced,
    control_stream,
    run_stream,
)
from daybreak.host.batch import Operation
from daybreak.host.batch.order import circles, ordered
from daybreak.ids import Entropy
from daybreak.ledger.record import Draft

__all__ = [
    "Added",
    "NamedTask",
    "NeedsCircle",
    "NotInQueue",
    "Pick",
    "Placement",
    "PlacementWrong",
    "Queue",
    "Row",
    "WordTaken",
    "home_of_run",
]


class NeedsCircle(UsageError):
    """Tasks that are added together wait for each other."""

    code = "U162"


class NotInQueue(UsageError):
    """That cannot be done to a run in this state."""

    code = "U163"


class WordTaken(UsageError):
    """A run with the same dedupe word is not over."""

    code = "U164"


@dataclass(frozen=True, slots=True)
class Added:
    """What `add` gives."""

    run: str
    existed: bool
    """It was there already: the run with the same dedupe word that is not over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTask:
    """One of several tasks that are added together."""

    name: str
    """For `after` of the others; kept nowhere."""
    kind: str
    title: str
    args: Any
    placement: Placement = field(default_factory=Placement)
    after: tuple[str, ...] = ()
    """Names of others, or runs that exist, besides those of the placement."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """What is asked about a run before something is done to it."""

    state: str
    over: bool
    held: bool
    dedupe: str


def home_of_run(log: Log, run: str) -> dict[str, int]:
    """The keys that bind a run to the home that has its folder, for what comes of it there; none for one that any home
    does, or that there is not."""
    found = log.query("SELECT keyed FROM view_runs WHERE run = ?", (run,))
    return {key: most for (keyed,) in found for key, most in picking.keys_of(keyed).items() if key.startswith(HOME_KEY)}


class Queue:
    """See the module. The ledger must have been opened with the view `view.RUNS`."""

    def __init__(
        self,
        log: Log,
        clock: Clock,
        entropy: Entropy,
        leased: Container[str] = (),
        home: str = "",
        bound: Container[str] = (),
    ) -> None:
        """`leased`: runs of which the caller knows that their lease is in the ledger. Of what is taken, only others
        are looked up (see `next`), so that a look costs the same with ten runs under way and with a thousand.
        `home`: this one's word, where several share the ledger; tasks of the kinds `bound` are then done where they
        were added, because they name folders of that machine."""
        self._log = log
        self._clock = clock
        self._entropy = entropy
        self._leased = leased
        self._home = home
        self._bound = bound

    # -- in

    def drafts(
        self, kind: str, title: str, args: Any, placement: Placement, *, subject: str | None = None
    ) -> tuple[str, list[Draft]]:
        """The id of a new run, and what puts it into the queue once it is appended.

        `args` is a dictionary of JSON. Raises NotPlain, and UnknownRun for what it waits for and is not there.
        """
        self._check_known(placement.after)
        return self._drafts(kind, title, args, placement, subject)

    def add(
        self, kind: str, title: str, args: Any, placement: Placement | None = None, *, subject: str | None = None
    ) -> Added:
        """Put a task into the queue, durable at return; or find the one with the same dedupe word that is not over.

        `subject`: whom it is about. Its title and arguments, what its steps keep, and the answers and signals that it
        is given are then sealed, and can be forgotten (`ledger.redaction`).

        Raises NotPlain and UnknownRun before anything is recorded, DraftRefused where its window has a run already.
        """
        placed = placement or Placement()
        run, drafts = self.drafts(kind, title, args, placed, subject=subject)
        if (known := self._same(placed.dedupe)) is not None:
            return Added(known, existed=True)
        try:
            self._log.append(drafts)
        except DraftRefused:
            if (known := self._same(placed.dedupe)) is not None:  # somebody else was as quick
                return Added(known, existed=True)
            raise
        return Added(run, existed=False)

    def add_all(self, tasks: Sequence[NamedTask]) -> dict[str, Added]:
        """Add tasks that wait for each other, all or none, in one commit; name → run, in the order given.

        Raises NeedsCircle, which names the circle; PlacementWrong for a name that is there twice; what `add` raises.
        """
        operations = [Operation(one.name, _nothing, tuple(dict.fromkeys(one.after))) for one in tasks]
        by_name = {one.name: one for one in tasks}
        if len(by_name) != len(tasks):
            twice = next(one.name for one in tasks if by_name[one.name] is not one)
            raise PlacementWrong(f"two tasks are called {twice[:80]!r}", hint="give each a name of its own")
        for circle in circles(operations):
            raise NeedsCircle(
                f"these tasks wait for each other: {' → '.join(circle)}"[:500],
                hint="take one `after` out; each is after what the arrow points at",
            )
        added: dict[str, Added] = {}
        drafts: list[Draft] = []
        words: dict[str, str] = {}
        inside = [replace(one, needs=tuple(need for need in one.needs if need in by_name)) for one in operations]
        for operation in ordered(inside):
            task = by_name[operation.name]
            added[task.name], more = self._named(task, added, words)
            drafts += more
        if drafts:
            self._log.append(drafts)
        return {one.name: added[one.name] for one in tasks}

    def _named(self, task: NamedTask, added: Mapping[str, Added], words: dict[str, str]) -> tuple[Added, list[Draft]]:
        after = [added[need].run if need in added else need for need in task.after]
        self._check_known([run for need, run in zip(task.after, after, strict=True) if need not in added])
        placed = replace(task.placement, after=(*task.placement.after, *after))
        self._check_known(task.placement.after)
        known = words.get(placed.dedupe) or self._same(placed.dedupe)
        if known is not None:
            return Added(known, existed=True), []
        run, drafts = self._drafts(task.kind, task.title, task.args, placed)
        if placed.dedupe:
            words[placed.dedupe] = run
        return Added(run, existed=False), drafts

    def _drafts(
        self, kind: str, title: str, args: Any, placement: Placement, subject: str | None = None
    ) -> tuple[str, list[Draft]]:
        if not placement.schedule:  # the key of a schedule's runs is in its own task
            placement = replace(placement, keys={**self.home_keys(kind, placement.keys), **placement.keys})
        kept = checked_task(kind, title, args)
        moment = self._clock.now()
        run, task = (ids.new(prefix, moment, self._entropy) for prefix in ("run", "task"))
        added = TaskAdded(task=task, run=run, kind=kind, title=title, args=kept, **placement.as_fields())
        queued = RunMoved(run=run, old="queued", new="queued")
        return run, [
            Draft(QUEUE, added, trace=run, subject=subject),
            Draft(run_stream(run), queued, epoch=0, trace=run),
        ]

    def home_keys(self, kind: str, keys: Mapping[str, int]) -> dict[str, int]:
        """What binds a task of that kind to this home, where several share the ledger and it names a folder."""
        if not self._home or kind not in self._bound or any(key.startswith(HOME_KEY) for key in keys):
            return {}
        return {HOME_KEY + self._home: AT_ONCE_MAX}

    def _same(self, dedupe: str) -> str | None:
        """The run with that word that is not over."""
        if not dedupe:
            return None
        sql = "SELECT run FROM view_runs WHERE dedupe = ? AND dedupe > '' AND NOT over"
        return next((str(run) for (run,) in self._log.query(sql, (dedupe,))), None)

    def _check_known(self, runs: Collection[str]) -> None:
        for run in runs:
            self._standing(run)

    # -- out

    def next(self, now: datetime, *, taken: Collection[str] = (), most: int = 1, night: str = "") -> list[Pick]:
        """Up to `most` runs that may begin or go on now, the best first (see `picking`).

        taken: runs that the caller has picked before and still has; they are not given again, and count for keys,
        rates and fairness. night: runs that were paused in that night are left for the next one, unless somebody
        asked for them. A pure read. Runs that are under way are never given, alive or not: whoever can see locks
        finds those that a crash left.
        """
        fresh = [run for run in taken if run not in self._leased]
        return picking.Look(self._log, now, taken, night, fresh, self._home).best(most)

    def wake_at(self, now: datetime) -> datetime | None:
        """The next moment after now at which time alone may make a run eligible, never later; None: only events can."""
        return picking.wake_at(self._log, now)

    def listing(self, now: datetime) -> list[Row]:
        """Every run that is not over, in the order of `listing.listing`, and what it waits for."""
        return listing(self._log, now, self._home)

    # -- moved by people

    def move(
        self,
        run: str,
        *,
        priority: int | None = None,
        not_before: datetime | None = None,
        deadline: datetime | None = None,
        no_deadline: bool = False,
    ) -> None:
        """Give a run another place; what is None stays, and `no_deadline` takes the deadline away.

        Raises UnknownRun, NotInQueue, PlacementWrong."""
        self._unfinished(run, "moved")
        checked = Placement(priority=priority or 0, not_before=not_before, deadline=deadline)
        placed = TaskPlaced(
            run=run,
            priority=priority if priority is None else checked.priority,
            not_before=stamp(not_before) if not_before else None,
            deadline="" if no_deadline else stamp(deadline) if deadline else None,
        )
        self._log.append([Draft(QUEUE, placed, trace=run)])

    def pause(self, run: str | None = None, *, project: str = "", why: str = "") -> bool:
        """Hold a run, or a project, or everything where neither is named; False where it is so already.

        A run that is under way stops before its next step. Of a paused project nothing is picked; what is under way
        goes on. Raises UnknownRun, NotInQueue.
        """
        if run is None:
            return not self._is_paused(project) and self._say(QUEUE, QueuePaused(project=project, why=why))
        return not self._unfinished(run, "paused").held and self._tell(run, PauseAsked(run=run, why=why))

    def resume(self, run: str | None = None, *, project: str = "") -> bool:
        """Let a held run go on, ask for a parked or failed one to be tried again; or undo the pause of a project, or
        of everything. False where nothing was paused. Raises UnknownRun, NotInQueue, WordTaken."""
        if run is None:
            return self._is_paused(project) and self._say(QUEUE, QueueResumed(project=project))
        standing = self._standing(run)
        if not (standing.held or standing.state in ("paused", "parked", "failed")):
            raise NotInQueue(f"run {run} is {standing.state}: nothing holds it", hint="`daybreak queue list` says more")
        if standing.over and (other := self._same(standing.dedupe)) is not None:
            raise WordTaken(
                f"run {other} does the same ({standing.dedupe[:80]!r}) and is not over",
                hint="wait for it, or cancel it",
            )
        return self._tell(run, ResumeAsked(run=run))

    def retry(self, run: str) -> bool:
        """Ask for a parked or failed run to be tried again. Raises UnknownRun, NotInQueue, WordTaken."""
        standing = self._standing(run)
        if standing.state not in ("parked", "failed"):
            raise NotInQueue(
                f"run {run} is {standing.state}: it cannot be tried again", hint="parked and failed ones can"
            )
        return self.resume(run)

    def cancel(self, run: str, why: str = "") -> bool:
        """Ask for a run to be cancelled, before its next step. Raises UnknownRun, NotInQueue."""
        self._unfinished(run, "cancelled")
        return self._tell(run, CancelAsked(run=run, why=why))

    def answer(self, run: str, answer: Any) -> bool:
        """Answer the question that a run is parked with. Raises UnknownRun, NotInQueue, NotPlain, PastForgotten."""
        self._unfinished(run, "answered")
        rows = self._log.query("SELECT question FROM view_runs WHERE run = ? AND state = 'parked'", (run,))
        for (question,) in rows:
            kept = plain.plain(answer, f"the answer to {question[:80]!r}")
            return self._tell(
                run, Answered(run=run, question=question, answer=kept), secrecy.subject_of(self._log, run)
            )
        raise NotInQueue(f"run {run} asks nothing", hint="`daybreak queue list` says what waits for an answer")

    def named(self, beginning: str) -> list[str]:
        """Runs of that name, or else those that begin like that and are not over. At most 100, by name."""
        if not is_run_name(beginning):
            return []
        exact = self._log.query("SELECT run FROM view_runs WHERE run = ?", (beginning,))
        sql = """SELECT run FROM view_runs WHERE run >= ?1 AND substr(run, 1, length(?1)) = ?1
          AND NOT over ORDER BY run LIMIT 100"""
        return [run for (run,) in exact or self._log.query(sql, (beginning,))]

    def paused(self) -> dict[str, tuple[str, str]]:
        """What is paused: project (empty: everything) → since when, why."""
        rows = self._log.query("SELECT project, since, why FROM view_runs_paused ORDER BY project")
        return {project: (since, why) for project, since, why in rows}

    def _is_paused(self, project: str) -> bool:
        return bool(self._log.query("SELECT 1 FROM view_runs_paused WHERE project = ?", (project,)))

    def _tell(self, run: str, event: Event, subject: str | None = None) -> bool:
        return self._say(control_stream(run), event, run, subject)

    def _say(self, stream: str, event: Event, trace: str = "", subject: str | None = None) -> bool:
        self._log.append([Draft(stream, event, trace=trace, subject=subject)])
        return True

    def _unfinished(self, run: str, what: str) -> _Standing:
        standing = self._standing(run)
        if standing.over:
            raise NotInQueue(f"run {run} is {standing.state} and cannot be {what}", hint="it is over")
        return standing

    def _standing(self, run: str) -> _Standing:
        sql = "SELECT state, over, held, dedupe FROM view_runs WHERE run = ?"
        rows = self._log.query(sql, (run,)) if is_run_name(run) else ()
        for state, over, held, dedupe in rows:
            return _Standing(state, bool(over), bool(held), dedupe)
        raise UnknownRun(
            f"there is no run {ascii(run)[:80]}", hint="`daybreak queue list` and `daybreak runs` name them"
        )


def _nothing(results: object) -> None:
    """What an operation does that only stands for its place in an order."""
