"""Takes runs from the queue to their end: submit, lease, conduct, end.

Order of the locks: the operating-system lock of the run first, then the lease in the ledger. The lock keeps
a second supervisor of this machine away and is freed by the kernel when its owner dies, so a run whose state
says that it is under way while nobody holds its lock is taken over at once. The lease's epoch keeps away
whatever the lock cannot: owners on other machines and owners that were thought dead.

Crash windows: before the lease's commit nothing has happened; behind it every commit is a whole step, so a
crash anywhere costs at most the step that was being computed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import anyio

from daybreak.clock import Clock, stamp
from daybreak.engine import code, live, past, plain, secrecy, states, step, trail
from daybreak.engine.context import Context
from daybreak.engine.flow import CancelHonoured, Parked, Paused, Waiting
from daybreak.engine.history import RETURN, History, Identity, past_forgotten
from daybreak.engine.journal import Journal
from daybreak.engine.log import Forgetting, Log
from daybreak.engine.placement import Placement
from daybreak.engine.purse import Purse
from daybreak.engine.queue import Queue, home_of_run
from daybreak.engine.scopes import scope, shielded
from daybreak.engine.surroundings import Circuits, Listener, Listeners, Sleep, Surroundings
from daybreak.engine.view import NO_ROOM
from daybreak.errors import (
    DaybreakError,
    DraftRefused,
    EngineError,
    HistoryDiverged,
    LeaseLost,
    RunBusy,
    StepError,
    UnknownKind,
    UnknownRun,
)
from daybreak.events import (
    FINAL,
    Answered,
    CancelAsked,
    Event,
    LeaseGranted,
    RunMoved,
    RunRolledBack,
    Signalled,
    State,
    control_stream,
    run_stream,
)
from daybreak.host import locks as host_locks
from daybreak.ids import Entropy
from daybreak.ledger import sealing
from daybreak.ledger.record import Draft
from daybreak.ledger.seats import Seats, home_of, is_here
from daybreak.policy.accounts import Accounts
from daybreak.policy.breaker import BreakerRule
from daybreak.policy.circuits import LedgerCircuits

_lines = logging.getLogger(__name__)

TaskFunction = Callable[[Context, Any], Awaitable[Any]]
"""A task's code: takes the context and the task's arguments, returns JSON."""

LATE = "its deadline passed before it began: begin all the same?"
BARREN_MAX = 5
"""So many owners in a row may die with a run that gets nowhere; it might be what kills them."""
BARREN = "{} owners in a row died with it in the same place, which it may be the cause of: go on?"
_EPOCHS = "SELECT run, epoch FROM view_runs WHERE run IN (SELECT value FROM json_each(?))"
WITHOUT = "{} failed, which it waits for: go on without that?"


class NoRoom(RunBusy):
    """Others were quicker: a concurrency key or a rate of the run is used up by now."""

    code = "E261"


class KeyElsewhere(RunBusy):
    """A run is about somebody whose key lies in another home: that one goes on with it."""

    code = "E266"


class TaskCrashed(EngineError):
    """The task's code raised something that is not one of Daybreak's errors: it is an error in that code."""

    code = "E199"


class Locks(Protocol):
    """One lock for each run on this machine; `daybreak.host.locks.FileLocks` is the real one."""

    @property
    def me(self) -> host_locks.Owner: ...

    def hold(self, name: str) -> AbstractContextManager[object]:
        """Take the lock, or raise LockHeld at once. Given back at the end of a `with` block."""
        ...

    def owner(self, name: str) -> host_locks.Owner | None:
        """Who holds it now."""
        ...


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run stands after `supervise`: done, failed, parked, paused, waiting or cancelled."""

    run: str
    state: State
    value: Any = None
    """What the task's code returned, where it is done."""
    why: str = ""
    code: str = ""
    hint: str = ""
    question: str = ""
    until: datetime | None = None
    """When it goes on, where it is waiting for a time."""
    error: Exception | None = None
    """What was raised, where it happened in this process."""


@dataclass(frozen=True, slots=True)
class Resumable:
    """A run that is not final."""

    run: str
    kind: str
    title: str
    state: State
    why: str
    question: str
    owner: host_locks.Owner | None
    """Who holds its lock on this machine."""
    orphaned: bool
    """It says that it is under way, but its owner, who was on this machine, is dead: supervise it again."""


@dataclass(frozen=True, slots=True)
class _Task:
    kind: str
    title: str
    args: Any
    deadline: str
    waits_for: bool
    """Were there runs that it had to wait for?"""
    again: bool
    """It failed, and somebody asked for it to be tried again."""
    budget: dict[str, int]
    subject: str | None = None
    """Whom it is about: its title and arguments are secret then. Empty where that was forgotten."""
    key: str = ""
    """The name of that one's key."""

    @property
    def shown(self) -> str:
        """The title as it may stand in a machine's log."""
        return self.title if self.subject is None else sealing.SECRET


@dataclass
class _UnderWay:
    """A run that is supervised here."""

    journal: Journal
    scope: anyio.CancelScope = field(default_factory=scope)
    stopped: RunResult | None = None
    """How it is to stand, where somebody here stopped it."""


class Engine:
    """Supervises runs; any number at once in one process, each by one `supervise`."""

    def __init__(
        self,
        ledger: Log,
        kinds: Mapping[str, TaskFunction],
        locks: Locks | Path,
        clock: Clock,
        entropy: Entropy,
        listeners: Sequence[Listener] = (),
        sleep: Sleep = anyio.sleep,
        circuits: Circuits | None = None,
        rules: Mapping[str, BreakerRule] | None = None,
        seats: Seats | None = None,
        bound: Collection[str] = (),
    ) -> None:
        """`locks` is the folder of lock files. The ledger must have been opened with `VIEWS`. `sleep` must agree with
        `clock`. `rules` are those of breakers that have another than the usual one. `seats`: where several homes share
        the ledger; `bound`: kinds whose tasks are then done where they were added."""
        self._log = ledger
        self._kinds = kinds
        self._locks: Locks = host_locks.FileLocks(locks, clock) if isinstance(locks, Path) else locks
        self._clock = clock
        self._entropy = entropy
        self._listeners = listeners
        self._sleep = sleep
        self._circuits = circuits or LedgerCircuits(ledger, clock, entropy)
        self._rules = rules or {}
        self.seats = seats
        self._accounts = Accounts(ledger)
        self._under_way: dict[str, _UnderWay] = {}
        """Runs whose lease is in the ledger."""
        home = "" if seats is None else home_of(seats.me)
        self.queue = Queue(ledger, clock, entropy, leased=self._under_way, home=home, bound=bound)

    def submit(
        self, kind: str, title: str, args: Any, placement: Placement | None = None, *, subject: str | None = None
    ) -> str:
        """Put a task into the queue, durable at return; the id of its run. `args` is a dictionary of JSON.
        `subject`: whom it is about, as in `Queue.add`.

        With a dedupe word, it is the run that is there already. Raises UnknownKind, and what `Queue.add` raises.
        """
        self._function(kind)
        return self.queue.add(kind, title, args, placement, subject=subject).run

    def cancel(self, run: str, why: str = "") -> None:
        """Ask for a run to be cancelled; its owner honours that before the next step."""
        self._task(run)
        self._log.append([Draft(control_stream(run), CancelAsked(run=run, why=why), trace=run)])
        self._tell(run)

    def signal(self, run: str, name: str, value: Any = None) -> None:
        """Tell a run that what it waits for (`ctx.wait_for`) has happened."""
        self._task(run)
        kept, about = plain.plain(value, f"the value of the signal {name!r}"), secrecy.subject_of(self._log, run)
        told = Signalled(run=run, name=name, value=kept)
        self._log.append([Draft(control_stream(run), told, trace=run, subject=about)])
        self._tell(run)

    def answer(self, run: str, question: str, answer: Any) -> None:
        """Answer a question that a run was, or will be, parked with; used when it is supervised again."""
        self._task(run)
        kept, about = plain.plain(answer, f"the answer to {question!r}"), secrecy.subject_of(self._log, run)
        told = Answered(run=run, question=question, answer=kept)
        self._log.append([Draft(control_stream(run), told, trace=run, subject=about)])

    def resumable(self) -> list[Resumable]:
        """Runs that are not final, oldest first."""
        rows = self._log.query(
            "SELECT run, kind, title, state, why, question, host, seat FROM view_runs "
            "WHERE state NOT IN ('done', 'failed', 'cancelled') ORDER BY created, run"
        )
        return [self._resumable(*row) for row in rows]

    def idle_s(self, run: str) -> float:
        """For how long a run that is under way here has neither begun, recorded nor reported anything."""
        one = self._under_way.get(run)
        return 0.0 if one is None else self._clock.monotonic() - one.journal.moved_s

    def stop(self, run: str, question: str, why: str) -> None:
        """End what a run that is under way here is doing, and park it with a question."""
        if one := self._under_way.get(run):
            one.stopped = RunResult(run, "parked", question=question, why=why)
            one.scope.cancel(why)

    def lost(self) -> list[str]:
        """Runs under way here that the ledger says somebody else has taken meanwhile."""
        if self.seats is None or not self._under_way:
            return []
        known = {run: one.journal.epoch for run, one in self._under_way.items()}
        rows = self._log.query(_EPOCHS, (json.dumps(list(known)),))
        return [run for run, epoch in rows if epoch > known[run]]

    def let_go(self, run: str) -> None:
        """End what a run that was lost is doing here; whoever supervises it is told LeaseLost. Nothing is recorded."""
        if one := self._under_way.get(run):
            why = f"another owner has run {run} by now; what was under way here is ended"
            one.journal.broken = one.journal.broken or LeaseLost(why, hint="nothing to repair: the other one goes on")
            one.stopped = RunResult(run, "paused", why=why)
            one.scope.cancel(why)

    def wind_down(self, why: str) -> None:
        """Let every run that is under way here stop at the end of its present step, as paused."""
        for one in self._under_way.values():
            one.journal.wound_down = Paused(why)

    async def finish(self, run: str) -> RunResult:
        """Supervise a run until it is over or needs a person, and wait in between where it waits for a time."""
        while True:
            result = await self.supervise(run)
            if result.state != "waiting":
                return result
            while not self._is_awake(result):
                await self._sleep(1.0)

    async def supervise(self, run: str, *, night: str = "", account: str = "", in_turn: bool = False) -> RunResult:
        """Bring a run to its end, or to where it needs a person or has to wait. Safe to call any number of times.

        A final run is left as it is, unless it failed and somebody asked for it again. `account` is that of the night,
        in which (or below which) the run's budget lies. `in_turn`: it was picked from the queue, and only begins where
        its keys and rates have room, else NoRoom. Raises RunBusy where somebody else has it, LeaseLost where
        somebody took it meanwhile, and what the ledger raises; nothing is recorded then. Cancelled or interrupted,
        it records `paused` and lets the cancellation pass.
        """
        task = self._task(run)
        with trail.on_run(run, night), self._hold(run):
            history = History.read(run, self._log.read(run_stream(run)))
            if history.state in FINAL and not task.again:
                return _standing(history)
            await self._sit(task, history)
            journal = await self._lease(task, history, night, in_turn=in_turn)
            _lines.info("leased, in epoch %d", journal.epoch, extra={"kind": task.kind, "title": task.shown})
            purse = Purse(self._accounts, self._clock, journal, account)
            one = self._under_way[run] = _UnderWay(journal)
            try:
                await purse.open(task.budget)
                return await self._conduct(task, one, history, purse)
            finally:
                del self._under_way[run]

    async def forget_probes(self) -> None:
        """The owners of runs died in the middle of what they did: their probes of breakers end no more."""
        if isinstance(self._circuits, LedgerCircuits):
            await self._circuits.forget_probes()

    # -- history

    def steps(self, run: str) -> list[past.KeptStep]:
        """What the run has kept, in the order in which it was recorded."""
        self._task(run)
        return past.steps(run, self._log.read(run_stream(run)))

    async def roll_back(self, run: str, before: str, *, again: bool = False, why: str = "") -> past.KeptStep:
        """Let a run go on from before a step of its own: what it kept since then counts no more. It is queued again.

        Raises StepUnknown, OnceDone (where that would do a `once` step a second time, unless `again` says so),
        RunBusy. Nothing is recorded then.
        """
        self._task(run)
        with self._hold(run):
            records = list(self._log.read(run_stream(run)))
            history = History.read(run, iter(records))
            if history.state in states.ACTIVE:
                raise RunBusy(
                    f"run {run} is under way, or its owner died on the way",
                    hint="`daybreak resume` goes on with it where nobody does; it can be taken back once it rests",
                )
            kept = past.steps(run, records)
            cut = past.find(run, kept, before)
            past.check_once(run, kept, cut, again=again)
            await self._take_back(run, history, cut.index, cut.key, why)
            return cut

    async def fork(self, run: str, before: str, *, again: bool = False, title: str = "") -> str:
        """A new run of the same task that begins with what this one had kept before a step; its id.

        Raises StepUnknown, and OnceDone as `roll_back` does."""
        task = self._task(run)
        records = list(self._log.read(run_stream(run)))
        kept = past.steps(run, records)
        cut = past.find(run, kept, before)
        past.check_once(run, kept, cut, again=again)
        placed = Placement(project=self._project(run), keys=home_of_run(self._log, run))
        if task.subject == "":
            raise past_forgotten(run, "what it was asked for")
        named = title or f"{task.title} (from {cut.name})"
        new, drafts = self.queue.drafts(task.kind, named, task.args, placed, subject=task.subject)
        copies = past.copies(records, source=run, run=new, cut=cut, subject=task.subject)
        await self._log.append_async([*drafts, *copies])
        return new

    # -- the way of one run

    @contextmanager
    def _hold(self, run: str) -> Iterator[None]:
        try:
            held = self._locks.hold(run)
        except host_locks.LockHeld as problem:
            raise RunBusy(
                f"run {run} is in the hands of {problem.owner}",
                hint="wait for it, or stop that process; the run can then be resumed",
            ) from problem
        with held:
            yield

    async def _sit(self, task: _Task, history: History) -> None:
        """Where several homes share the ledger: be seen before anything is taken, and take nothing from whoever lives
        in another home, or alone can read it. Raises RunBusy."""
        seats = self.seats
        if seats is None:
            return
        if task.subject == "" and isinstance(self._log, Forgetting) and task.key not in self._log.forgotten_subjects():
            raise KeyElsewhere(
                f"run {history.run} is about somebody whose key is not in this home",
                hint="the home where it was added goes on with it; or copy its folder keys/subjects here",
            )
        if not seats.taken:
            await seats.sit()
        if history.state in states.ACTIVE and history.seat and home_of(history.seat) != home_of(seats.me):
            for one in await seats.others():
                if one.seat == history.seat and one.lives:
                    raise RunBusy(
                        f"run {history.run} is in the hands of {one}, which lives",
                        hint=f"wait for it; where it dies, it can be taken over after {one.lease_s:.0f} s",
                    )

    async def _lease(self, task: _Task, history: History, night: str, *, in_turn: bool = False) -> Journal:
        """Take the run over, whoever had it. One commit, so that no crash leaves it half taken."""
        run = history.run
        fingerprint = "" if task.subject == "" else code.fingerprint(self._kinds.get(task.kind), task.args)
        journal, granted = self._granted(
            history, night=night, fingerprint=fingerprint, subject=task.subject, in_turn=in_turn
        )
        died = history.state in states.ACTIVE
        opening: list[Event] = [granted]
        if history.state in FINAL:
            await self._take_back_within(journal, granted, history, *past.failing(history), "it was asked for again")
            opening = []
        states.check(history.state, "leased")
        old = history.state
        events = [
            *opening,
            *Purse.presumed(self._accounts, history),
            RunMoved(run=run, old=old, new="leased", why="its owner died" if died else ""),
            RunMoved(run=run, old="leased", new="running"),
        ]
        try:
            await journal.append(events, moves=True)
        except DraftRefused as refused:
            if NO_ROOM in refused.message:
                told = refused.message.partition(NO_ROOM)[2]
                raise NoRoom(f"run {run} has no room: {told}", hint="it is picked again later") from refused
            raise
        journal.state = "running"
        return journal

    def _granted(
        self,
        history: History,
        *,
        night: str = "",
        fingerprint: str = "",
        subject: str | None = None,
        in_turn: bool = False,
    ) -> tuple[Journal, LeaseGranted]:
        me, run = self._locks.me, history.run
        epoch = self._log.epoch(run_stream(run)) + 1
        owner = self._entropy(16).hex()
        journal = Journal(
            self._log,
            run,
            clock=self._clock,
            epoch=epoch,
            owner=owner,
            state=history.state,
            gen=history.gen,
            subject=subject or None,
        )
        granted = LeaseGranted(
            run=run,
            owner=owner,
            host=me.host,
            pid=me.pid,
            night=night,
            code=fingerprint,
            seat="" if self.seats is None else self.seats.me,
            read=-1 if self.seats is None else history.seq,
            in_turn=in_turn,
        )
        return journal, granted

    async def _take_back(self, run: str, history: History, index: int, before: str, why: str) -> None:
        journal, granted = self._granted(history)
        await self._take_back_within(journal, granted, history, index, before, why)

    async def _take_back_within(
        self, journal: Journal, granted: LeaseGranted, history: History, index: int, before: str, why: str
    ) -> None:
        """Roll back under a lease of its own, in one commit; the run is then queued, in its next generation."""
        states.check(history.state, "queued")
        journal.gen = history.gen + 1
        settled = Purse.presumed(self._accounts, history)
        back = RunRolledBack(run=history.run, before=before, index=index, why=why)
        moved = RunMoved(run=history.run, old=history.state, new="queued", why=why)
        records = await journal.append([granted, *settled, back, moved], moves=True)
        for record in records:
            history.take(record)
        journal.state = "queued"

    async def _conduct(self, task: _Task, one: _UnderWay, history: History, purse: Purse) -> RunResult:
        journal = one.journal
        try:
            with one.scope:
                result = await self._perform(task, journal, history, purse)
            if one.scope.cancelled_caught:
                assert one.stopped is not None, "nobody else cancels this scope"
                result = one.stopped
            if journal.broken is not None:
                raise journal.broken
            await _record(journal, result, purse)
            _lines.info("the run is %s", result.state, extra=_said(result, task.subject))
        except BaseException as problem:
            if journal.broken is None and journal.state not in FINAL and not isinstance(problem, Exception):
                with shielded():
                    await journal.move("paused", before=purse.closing(), why=f"interrupted by {_name(problem)}")
            raise
        return result

    async def _perform(self, task: _Task, journal: Journal, history: History, purse: Purse) -> RunResult:
        """Run the task's code, and say how it ended. Raises nothing but cancellation and the like."""
        root = Context(
            Surroundings(
                journal=journal,
                history=history,
                clock=self._clock,
                entropy=self._entropy,
                sleep=self._sleep,
                listeners=Listeners(self._listeners),
                host=self._locks.me.host,
                seat="" if self.seats is None else self.seats.me,
                circuits=self._circuits,
                rules=self._rules,
                accounts=self._accounts,
                account=purse.account,
            )
        )
        run = journal.run
        try:
            journal.honour()
            if task.subject == "":
                raise past_forgotten(run, "what it was asked for")
            if history.barren >= BARREN_MAX:  # not counting this one, which has not been read
                raise Parked(BARREN.format(history.barren), why="see what the machine's log says of them")
            await self._may_begin(task, root)
            with purse.time_limit():
                value = await self._function(task.kind)(root, task.args)
            root.end_root()
            return RunResult(run, "done", value=plain.plain(value, f"the result of {task.kind} {task.title!r}"))
        except Exception as problem:  # noqa: BLE001 - the run ends with it; other runs go on
            return await self._ended_by(journal, history, _alone(problem))

    async def _may_begin(self, task: _Task, root: Context) -> None:
        """A person decides about what comes too late, or goes on without what it waits for."""
        if task.deadline and await root.look("late", lambda: stamp(self._clock.now()) >= task.deadline):
            await _consent(root, LATE)
        if task.waits_for:
            for needed in await root.look("broken", lambda: self._broken(root.run)):
                await _consent(root, WITHOUT.format(needed))

    async def _ended_by(self, journal: Journal, history: History, problem: Exception) -> RunResult:
        match problem:
            case Waiting():
                return RunResult(journal.run, "waiting", until=problem.until, why=problem.why)
            case Parked():
                return RunResult(journal.run, "parked", question=problem.question, why=problem.why)
            case Paused():
                return RunResult(journal.run, "paused", why=problem.why, code=problem.code)
            case CancelHonoured():
                return RunResult(journal.run, "cancelled", why=problem.why)
            case HistoryDiverged():
                # Not failed: with the code that it began with, the run can still go on.
                question = "the task's code does not fit the run's history: resume with the code it began with?"
                told = HistoryDiverged(f"{problem.message}; {code.compared(history.codes)}", hint=problem.hint)
                return _refusal(journal.run, "parked", told, question)
            case DaybreakError():
                return _refusal(journal.run, "failed", problem)
            case _:
                return await self._crashed(journal, problem)

    async def _crashed(self, journal: Journal, problem: Exception) -> RunResult:
        if journal.broken is not None:
            raise journal.broken
        why = f"{type(problem).__name__}: {problem}"
        kept = await live.keep_trace(journal, problem)
        told = TaskCrashed(why, hint=f"an error in the task's code; {kept}")
        return RunResult(journal.run, "failed", why=told.message, code=told.code, hint=told.hint, error=problem)

    # -- looking things up

    def _function(self, kind: str) -> TaskFunction:
        try:
            return self._kinds[kind]
        except KeyError:
            raise UnknownKind(
                f"there is no kind of task named {kind!r}",
                hint=f"known kinds: {', '.join(sorted(self._kinds)) or 'none'}; a plug-in may be missing",
            ) from None

    def _task(self, run: str) -> _Task:
        rows = self._log.query(
            "SELECT place, kind, title, args, budget, deadline, state = 'failed' AND answered,"
            " EXISTS (SELECT 1 FROM view_runs_after a WHERE a.run = view_runs.run) FROM view_runs WHERE run = ?",
            (run,),
        )
        for place, kind, title, args, budget, deadline, again, waits_for in rows:
            limits = dict(plain.decode(budget.encode())) if budget else {}
            told, subject, key = plain.decode(args.encode()), None, ""
            if sealing.is_secret(told):
                words = secrecy.read(self._log, run, place)
                title, told, subject, key = words.title, words.args, words.subject, words.key
            return _Task(kind, title, told, deadline, bool(waits_for), bool(again), limits, subject, key)
        raise UnknownRun(f"there is no run {run!r}", hint="`daybreak runs` lists them")

    def _project(self, run: str) -> str:
        ((project,),) = self._log.query("SELECT project FROM view_runs WHERE run = ?", (run,))
        return str(project)

    def _broken(self, run: str) -> list[str]:
        """Runs that it waited for and that did not become done."""
        rows = self._log.query("SELECT needs FROM view_runs_after WHERE run = ? AND broke ORDER BY needs", (run,))
        return [str(needs) for (needs,) in rows]

    def _is_awake(self, result: RunResult) -> bool:
        if result.until is not None and self._clock.now() >= result.until:
            return True
        ((awake,),) = self._log.query(
            "SELECT answered OR cancel OR held OR state <> 'waiting' FROM view_runs WHERE run = ?", (result.run,)
        )
        return bool(awake)

    def _tell(self, run: str) -> None:
        if one := self._under_way.get(run):
            one.journal.told = True

    def _resumable(
        self, run: str, kind: str, title: str, state: State, why: str, question: str, host: str, seat: str
    ) -> Resumable:
        owner = self._locks.owner(run)
        here = is_here(seat, host, "" if self.seats is None else self.seats.me, self._locks.me.host)
        orphaned = state in states.ACTIVE and owner is None and here
        return Resumable(run, kind, title, state, why, question, owner, orphaned)


def _said(result: RunResult, subject: str | None) -> dict[str, str]:
    """Why it stands so, for a log line; not where it is about somebody."""
    why = result.why if subject is None else sealing.SECRET
    told = {"why": why, "code": result.code, "question": result.question}
    return {name: text for name, text in told.items() if text}


async def _record(journal: Journal, result: RunResult, purse: Purse) -> None:
    """The end of a run, or of this part of it, in one commit with the value of its code."""
    identity = Identity("", RETURN, 0, plain.digest([]))
    done = result.state == "done"
    value = step.done(result.run, identity, result.value, 0) if done else []
    details = {"why": result.why, "code": result.code, "hint": result.hint, "question": result.question}
    if result.until is not None:
        details["until"] = stamp(result.until)
    await journal.move(result.state, before=[*value, *purse.closing()], **details)


async def _consent(root: Context, question: str) -> None:
    """A person says yes, or the run is cancelled."""
    if str(await root.ask(question)).strip().casefold() not in ("yes", "y", "go on"):
        raise CancelHonoured(f"a person said no to: {question}")


def _alone(problem: Exception) -> Exception:
    """What a task group of the task's own has wrapped, where it holds but one."""
    while isinstance(problem, ExceptionGroup) and len(problem.exceptions) == 1:
        problem = problem.exceptions[0]
    return problem


def _refusal(run: str, state: State, problem: DaybreakError, question: str = "") -> RunResult:
    word = problem.cause if isinstance(problem, StepError) else problem.code
    return RunResult(run, state, why=problem.message, code=word, hint=problem.hint, question=question, error=problem)


def _standing(history: History) -> RunResult:
    """The result of a run that ended before."""
    moved, returned = history.moved, history.returned
    assert moved is not None, "a final state comes from an event"
    return RunResult(
        history.run,
        history.state,
        value=None if returned is None else returned.result,
        why=moved.why,
        code=moved.code,
        hint=moved.hint,
        question=moved.question,
    )


def _name(problem: BaseException) -> str:
    return "cancellation" if isinstance(problem, anyio.get_cancelled_exc_class()) else type(problem).__name__
