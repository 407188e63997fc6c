"""Takes runs from the queue to their end: submit, lease, conduct, end.

Order of the locks: the operating-system lock of the run first, then the lease in the ledger. The lock keeps
a second supervisor of this machine away and is freed by the kernel when its owner dies, so a run whose state
says that it is under way while nobody holds its lock is taken over at once. The lease's epoch keeps away
whatever the lock cannot: owners on other machines and owners that were thought dead.

Crash windows: before the lease's commit nothing has happened; behind it every commit is a whole step, so a
crash anywhere costs at most the step that was being computed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import anyio

from daybreak import ids
from daybreak.clock import Clock
from daybreak.engine import context, plain, states, step
from daybreak.engine.context import Context, Listener, Listeners, Sleep, Surroundings
from daybreak.engine.flow import CancelHonoured, Parked
from daybreak.engine.history import RETURN, History, Identity
from daybreak.engine.journal import Journal
from daybreak.engine.log import Log
from daybreak.errors import DaybreakError, HistoryDiverged, RunBusy, UnknownKind, UnknownRun
from daybreak.events import (
    FINAL,
    QUEUE,
    Answered,
    CancelAsked,
    LeaseGranted,
    RunMoved,
    State,
    TaskAdded,
    control_stream,
    run_stream,
)
from daybreak.host import locks as host_locks
from daybreak.ids import Entropy
from daybreak.ledger.record import Draft

TaskFunction = Callable[[Context, Any], Awaitable[Any]]
"""A task's code: takes the context and the task's arguments, returns JSON."""

CRASHED = "E199"
"""Code of a run whose code raised something that is not a DaybreakError."""


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
    """How a run stands after `supervise`: done, failed, parked or cancelled."""

    run: str
    state: State
    value: Any = None
    """What the task's code returned, where it is done."""
    why: str = ""
    code: str = ""
    hint: str = ""
    question: str = ""
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
    ) -> None:
        """`locks` is the folder of lock files. The ledger must have been opened with the view `view.RUNS`.
        `sleep` must agree with `clock`."""
        self._log = ledger
        self._kinds = kinds
        self._locks: Locks = host_locks.FileLocks(locks, clock) if isinstance(locks, Path) else locks
        self._clock = clock
        self._entropy = entropy
        self._listeners = listeners
        self._sleep = sleep
        self._journals: dict[str, Journal] = {}
        """Of the runs that are under way here."""

    def submit(self, kind: str, title: str, args: Any) -> str:
        """Put a task into the queue, durable at return; the id of its run. `args` is a dictionary of JSON.

        Raises UnknownKind and NotPlain before anything is recorded.
        """
        self._function(kind)
        kept = plain.plain(args, f"the arguments of {kind} {title!r}")
        moment = self._clock.now()
        run, task = (ids.new(prefix, moment, self._entropy) for prefix in ("run", "task"))
        added = TaskAdded(task=task, run=run, kind=kind, title=title, args=kept)
        queued = RunMoved(run=run, old="queued", new="queued")
        self._log.append([Draft(QUEUE, added, trace=run), Draft(run_stream(run), queued, epoch=0, trace=run)])
        return run

    def cancel(self, run: str, why: str = "") -> None:
        """Ask for a run to be cancelled; its owner honours that before the next step."""
        self._task(run)
        self._log.append([Draft(control_stream(run), CancelAsked(run=run, why=why), trace=run)])
        if journal := self._journals.get(run):
            journal.told = True

    def answer(self, run: str, question: str, answer: Any) -> None:
        """Answer a question that a run was, or will be, parked with; used when it is supervised again."""
        self._task(run)
        kept = plain.plain(answer, f"the answer to {question!r}")
        self._log.append([Draft(control_stream(run), Answered(run=run, question=question, answer=kept), trace=run)])

    def resumable(self) -> list[Resumable]:
        """Runs that are not final, oldest first."""
        rows = self._log.query(
            "SELECT run, kind, title, state, why, question, host FROM view_runs "
            "WHERE state NOT IN ('done', 'failed', 'cancelled') ORDER BY created, run"
        )
        return [self._resumable(*row) for row in rows]

    async def supervise(self, run: str) -> RunResult:
        """Bring a run to its end, or to where it needs a person. Safe to call any number of times.

        A final run is left as it is. Raises RunBusy where somebody else has it, LeaseLost where somebody
        took it meanwhile, and what the ledger raises; nothing is recorded then. Cancelled or interrupted,
        it records `paused` and lets the cancellation pass.
        """
        task = self._task(run)
        try:
            held = self._locks.hold(run)
        except host_locks.LockHeld as problem:
            raise RunBusy(
                f"run {run} is in the hands of {problem.owner}",
                hint="wait for it, or stop that process; the run can then be resumed",
            ) from problem
        with held:
            history = History.read(run, self._log.read(run_stream(run)))
            if history.state in FINAL:
                return _standing(history)
            journal = await self._lease(run, history)
            self._journals[run] = journal
            try:
                return await self._conduct(task, journal, history)
            finally:
                del self._journals[run]

    # -- the way of one run

    async def _lease(self, run: str, history: History) -> Journal:
        """Take the run over, whoever had it. One commit, so that no crash leaves it half taken."""
        me = self._locks.me
        epoch = self._log.epoch(run_stream(run)) + 1
        owner = self._entropy(16).hex()
        journal = Journal(self._log, run, clock=self._clock, epoch=epoch, owner=owner, state=history.state)
        died = history.state in states.ACTIVE
        states.check(history.state, "leased")
        why = "its owner died" if died else ""
        await journal.append(
            [
                LeaseGranted(run=run, owner=owner, host=me.host, pid=me.pid),
                RunMoved(run=run, old=history.state, new="leased", why=why),
                RunMoved(run=run, old="leased", new="running"),
            ],
            moves=True,
        )
        journal.state = "running"
        return journal

    async def _conduct(self, task: _Task, journal: Journal, history: History) -> RunResult:
        try:
            result = await self._perform(task, journal, history)
            if journal.broken is not None:
                raise journal.broken
            await _record(journal, result)
        except BaseException as problem:
            if journal.broken is None and journal.state not in FINAL and not isinstance(problem, Exception):
                with anyio.CancelScope(shield=True):
                    await journal.move("paused", why=f"interrupted by {_name(problem)}")
            raise
        return result

    async def _perform(self, task: _Task, journal: Journal, history: History) -> RunResult:
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
            )
        )
        run = journal.run
        try:
            journal.honour_cancel()
            value = await self._function(task.kind)(root, task.args)
            root.end_root()
            return RunResult(run, "done", value=plain.plain(value, f"the result of {task.kind} {task.title!r}"))
        except Exception as problem:  # noqa: BLE001 - the run ends with it; other runs go on
            return self._ended_by(journal, _alone(problem))

    def _ended_by(self, journal: Journal, problem: Exception) -> RunResult:
        match problem:
            case Parked():
                return RunResult(journal.run, "parked", question=problem.question, why=problem.why)
            case CancelHonoured():
                return RunResult(journal.run, "cancelled", why=problem.why)
            case HistoryDiverged():
                # Not failed: with the code that it began with, the run can still go on.
                question = "the task's code does not fit the run's history: resume with the code it began with?"
                return _refusal(journal.run, "parked", problem, question)
            case DaybreakError():
                return _refusal(journal.run, "failed", problem)
            case _:
                return self._crashed(journal, problem)

    def _crashed(self, journal: Journal, problem: Exception) -> RunResult:
        if journal.broken is not None:
            raise journal.broken
        blob = self._log.put_blob(context.trace(problem))
        why = f"{type(problem).__name__}: {problem}"
        hint = f"an error in the task's code; its traceback is blob {blob}"
        return RunResult(journal.run, "failed", why=why, code=CRASHED, hint=hint, error=problem)

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
        rows = self._log.query("SELECT kind, title, args FROM view_runs WHERE run = ?", (run,))
        for kind, title, args in rows:
            return _Task(kind, title, plain.decode(args.encode()))
        raise UnknownRun(f"there is no run {run!r}", hint="`daybreak runs` lists them")

    def _resumable(
        self, run: str, kind: str, title: str, state: State, why: str, question: str, host: str
    ) -> Resumable:
        owner = self._locks.owner(run)
        orphaned = state in states.ACTIVE and owner is None and host == self._locks.me.host
        return Resumable(run, kind, title, state, why, question, owner, orphaned)


async def _record(journal: Journal, result: RunResult) -> None:
    """The end of a run, in one commit with the value of its code."""
    identity = Identity("", RETURN, 0, plain.digest([]))
    done = result.state == "done"
    value = step.done(result.run, identity, result.value, 0) if done else []
    details = {"why": result.why, "code": result.code, "hint": result.hint, "question": result.question}
    await journal.move(result.state, before=value, **details)


def _alone(problem: Exception) -> Exception:
    """What a task group of the task's own has wrapped, where it holds but one."""
    while isinstance(problem, ExceptionGroup) and len(problem.exceptions) == 1:
        problem = problem.exceptions[0]
    return problem


def _refusal(run: str, state: State, problem: DaybreakError, question: str = "") -> RunResult:
    why, code, hint = problem.message, problem.code, problem.hint
    return RunResult(run, state, why=why, code=code, hint=hint, question=question, error=problem)


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
