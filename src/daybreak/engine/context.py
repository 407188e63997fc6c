"""What a task's code holds in its hands: `ctx`, the one way in which it makes progress.

The code runs again from its beginning after a crash, so everything that differs from one time to the next
(time, random numbers, the outside) comes from here. A kept step returns at once, without giving way to other
tasks; that makes a replay as deterministic as the code between its steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NoReturn

import anyio

from daybreak.clock import stamp
from daybreak.engine import plain, step
from daybreak.engine.flow import Parked, Stop, Waiting
from daybreak.engine.history import ASK, Identity, Outcome, diverged
from daybreak.engine.live import RESERVED, Call, Live, at, keep, place_of
from daybreak.engine.step import Effect, Lookup
from daybreak.engine.surroundings import Listener, Listeners, Sleep, Surroundings, Told
from daybreak.errors import ContextMisused, EngineError
from daybreak.events import Event, State, StepFailed
from daybreak.ledger.record import Record
from daybreak.policy.budget import Amounts
from daybreak.policy.planning import Planning, PlanningLoop
from daybreak.policy.retry import Retry

__all__ = ["Context", "Listener", "Listeners", "SignalMissing", "Sleep", "Surroundings", "Told"]

FAR_S = 10 * 366 * 86400.0


class SignalMissing(EngineError):
    """What a run waited for did not come in time."""

    code = "E211"


class Context:
    """One branch of a run. Its steps come one after the other; `gather` opens branches side by side."""

    def __init__(self, around: Surroundings, branch: str = "") -> None:
        self._around = around
        self._branch = branch
        self._used: Counter[str] = Counter()
        self._children = 0
        self._doing = ""
        self._stopped: Stop | None = None
        self._planning = Planning()
        self._retry: Retry | None = None
        self._breaker = ""

    @property
    def run(self) -> str:
        """The run's id."""
        return self._around.journal.run

    @property
    def account(self) -> str:
        """Where what the run costs is reserved; empty where nothing limits it."""
        return self._around.account

    @property
    def epoch(self) -> int:
        """Of the lease under which this owner has the run."""
        return self._around.journal.epoch

    @property
    def branch(self) -> str:
        """Path of concurrent children, empty for the root."""
        return self._branch

    # -- steps

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        effect: Effect = "idempotent",
        lookup: Lookup | None = None,
        abandon: bool = False,
        retry: Retry | None = None,
        breaker: str = "",
        cost: Amounts | None = None,
        limit_s: float | None = None,
        sort: Literal["", "plan"] = "",
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The result of `function(*args, **kwargs)`, computed once and kept.

        The function may be sync (it runs in a thread; with `abandon` a cancelled run does not wait for it) or
        async. It returns JSON, or `Kept(value, tell=[events])` to record facts in the same commit. What it
        raises is kept too and raised again on replay: a DaybreakError with its code, anything else as
        StepError. After a crash before the outcome was recorded, `pure` and `idempotent` steps are computed
        again; `step_key()` is then the same. A `once` step is never tried a second time blindly: `lookup` is
        asked with its key, after a crash and after a failure, and without a certain answer the run is parked as
        ambiguous.

        `retry` tries again what may work the next time; each failed try is recorded, and long waits take no worker.
        With effect `once` and no lookup, only what the other side refused with status 429 is tried again.
        `breaker` names what is called: while that fails again and again, or is out, the run waits. `cost` is the
        worst case of one try (`spend` says what it really used), reserved before it starts. `limit_s` ends a try; a
        sync function is then left to itself, so a `once` step with a limit must be async. `sort="plan"` marks a round
        of planning: at most two in a row without another step that has effects; then a person is asked.

        Raises HistoryDiverged, NotPlain (arguments or result are not JSON), ContextMisused.
        """
        self._check_step(name, function, effect, lookup, limit_s, sort)
        with self._alone(name):
            identity = self._identify(name, args, kwargs)
            if sort == "plan":
                self._plan()
            if kept := self._around.history.next(identity):
                value = self._replay(kept)
            else:
                await self._around.journal.before_live_step()
                call = Call(
                    identity,
                    function,
                    args,
                    kwargs or {},
                    effect,
                    lookup,
                    abandon,
                    retry or self._retry,
                    breaker or self._breaker,
                    cost,
                    limit_s,
                    sort,
                )
                value = await self._stopping(Live(self._around, call).go())
            if self._planning.in_a_row and sort != "plan" and effect != "pure":
                self._planning = self._planning.execute()
            return value

    def defaults(self, *, retry: Retry | None = None, breaker: str = "") -> None:
        """For every later step of this branch, and of those that it opens, that names none itself; without arguments
        there is no default any more."""
        self._retry, self._breaker = retry, breaker

    async def gather(self, *children: Callable[[Context], Awaitable[Any]]) -> list[Any]:
        """Results of children that run side by side, each in a branch of its own that it is given as `ctx`.

        No child outlives the call. The first failure (by its place in the ledger, so that a replay agrees)
        cancels the others, waits for them and is raised. A child that parks lets the others finish first.
        """
        with self._alone(f"{RESERVED}gather"):
            contexts = [self._child() for _ in children]
            results: list[Any] = [None] * len(children)
            problems: list[Exception] = []

            async def run_child(place: int) -> None:
                child = contexts[place]
                try:
                    results[place] = await children[place](child)
                    child.end()
                except Exception as problem:  # noqa: BLE001 - raised again below, once all children are gone
                    problems.append(problem)
                    if not isinstance(problem, Stop):
                        group.cancel_scope.cancel("a sibling failed")
                finally:
                    self._around.awake -= 1

            self._around.awake += len(children) - 1
            try:
                async with anyio.create_task_group() as group:
                    for place in range(len(children)):
                        group.start_soon(run_child, place)
            finally:
                self._around.awake += 1
            if problems:
                self._fail_together(contexts, problems)
            return results

    # -- what differs from one time to the next

    async def now(self) -> datetime:
        """The time of day, kept like a step's result; aware, in UTC."""
        return datetime.fromisoformat(await self._own("now", lambda: stamp(self._around.clock.now())))

    async def random(self) -> float:
        """A random number in [0, 1) with 53 bits, kept like a step's result."""
        draw = self._around.entropy
        return float(await self._own("random", lambda: (int.from_bytes(draw(7), "big") >> 3) / (1 << 53)))

    async def sleep(self, seconds: float) -> None:
        """Wait. The deadline is kept: after a crash only what is left of it is waited for. A long wait takes no
        worker: the run is `waiting` until then."""
        until = await self._deadline("sleep", seconds)
        with self._alone(f"{RESERVED}sleep"):
            await self._stopping(self._around.wait_until(until, "it sleeps"))

    async def wait_for(self, name: str, timeout_s: float | None = None) -> Any:
        """The value of the next signal of that name (`Engine.signal`, `daybreak signal`); one that was given before
        counts. Meanwhile the run is `waiting`. Raises SignalMissing where none came in time."""
        until = None if timeout_s is None else await self._deadline("deadline", timeout_s)
        with self._alone(f"{RESERVED}wait_for"):
            identity = self._identify(f"{RESERVED}wait_for", (name,))
            history, journal = self._around.history, self._around.journal
            after = history.signalled.get(name, -1)
            if kept := history.next(identity):
                told = self._replay(kept)
            else:
                await journal.before_live_step()

                def come() -> bool:
                    return journal.signal(name, after=after) is not None

                await self._stopping(self._around.wait_until(until, f"it waits for {name!r}", over=come))
                told = await keep(self._around, identity, lambda: self._signalled(name, after))
            history.signalled[name] = told["index"]
            return told["value"]

    def _signalled(self, name: str, after: int) -> dict[str, Any]:
        found = self._around.journal.signal(name, after=after)
        if found is None:
            raise SignalMissing(
                f"no signal {name!r} came in time", hint="give it with `daybreak signal`, or wait longer"
            )
        return {"value": found[1], "index": found[0]}

    async def version(self, change: str, current: int) -> int:
        """Which side of a change in the task's code a run is on: `current` for what begins here with it, and for ever
        the same for that run; 0 for a run that had come past this place before the change was made."""
        with self._alone(f"{RESERVED}version"):
            identity = Identity(self._branch, f"{RESERVED}version", 0, plain.digest([change]))
            held = self._around.history.leftover(self._branch)
            if held is not None and (held.name, held.args) != (identity.name, identity.args):
                return 0
            identity = self._identify(identity.name, (change,))
            if kept := self._around.history.next(identity):
                return int(self._replay(kept))
            await self._around.journal.before_live_step()
            return int(await keep(self._around, identity, lambda: current))

    async def ask(self, question: str) -> Any:
        """A person's answer. Until there is one the run is parked with the question.

        An answer given to the same question before it was asked counts; of several the latest counts.
        """
        with self._alone(ASK):
            identity = self._identify(ASK, (question,))
            history, journal = self._around.history, self._around.journal
            if kept := history.next(identity):
                told = self._replay(kept)
                history.answered[question] = max(history.answered.get(question, -1), told["index"])
                return told["answer"]
            await journal.before_live_step()
            found = journal.answer(question, after=max(history.rolled_at, history.answered.get(question, -1)))
            if found is None:
                self._park(question)
            index, answer = found
            history.answered[question] = index
            kept_answer = await keep(self._around, identity, lambda: {"answer": answer, "index": index})
            return kept_answer["answer"]

    # -- telling

    async def enter(self, state: State) -> None:
        """The run is now `running` or `verifying`; recorded before the next live step."""
        if state not in ("running", "verifying"):
            raise ContextMisused(
                f"a task cannot enter {state!r}",
                hint="only running and verifying are a task's to choose; waiting comes with sleep and wait_for",
            )
        self._around.journal.wanted = state

    def report(self, text: str, fraction: float | None = None) -> None:
        """Tell listeners how far the step is: `fraction` from 0 to 1. Volatile; works in threads."""
        self._around.journal.moved_s = self._around.clock.monotonic()
        self._around.listeners.tell(Told(self.run, self._branch, self._doing, text, fraction))

    async def tell(self, *events: Event) -> None:
        """Put facts into the run's own stream now, without waiting for the end of the step that knows them; a replay
        never sees them. A function in a thread calls it through `anyio.from_thread.run`. Raises LeaseLost where
        somebody else has the run by now."""
        self._around.journal.moved_s = self._around.clock.monotonic()
        await self._around.journal.append(events)

    def records(self) -> list[Record]:
        """What stands in the run's own stream and was not rolled back (see `Facts`), in order: facts, of this owner and
        of those before. Only for steps, which a replay never computes again."""
        return self._around.facts.all()

    def put_blob(self, data: bytes) -> str:
        """Keep bytes beside the ledger; their SHA-256. For use inside a step, whose result names them.

        It waits for the disk, and for up to a minute where the ledger is on a Postgres that cannot be reached: a step
        that is no coroutine runs on a thread of its own; a coroutine calls it through `anyio.to_thread.run_sync`."""
        return self._around.journal.log.put_blob(data)

    def get_blob(self, name: str) -> bytes:
        return self._around.journal.log.get_blob(name)

    # -- the engine's side

    def end(self) -> None:
        """The branch's code returned. Raises what it swallowed; HistoryDiverged where steps are unused."""
        self._check_stopped()
        if self._around.journal.stopped is not None:
            raise self._around.journal.stopped
        if held := self._around.history.leftover(self._branch):
            raise diverged(self.run, held=str(held), asked="nothing more: it returned")

    def end_root(self) -> None:
        """Like `end`, for the whole run: also no branch may be left that the code never opened."""
        self.end()
        for branch in self._around.history.branches():
            held = self._around.history.leftover(branch)
            raise diverged(self.run, held=str(held), asked="no such branch: it returned")

    # -- inside

    def _check_step(
        self, name: str, function: object, effect: str, lookup: object, limit_s: float | None, sort: str
    ) -> None:
        if name.startswith(RESERVED) or not name:
            raise ContextMisused(
                f"a step cannot be named {name!r}",
                hint=f"give it a name that does not begin with {RESERVED!r}",
            )
        if effect not in ("pure", "idempotent", "once") or (lookup is not None and effect != "once"):
            raise ContextMisused(
                f"step {name!r} has effect {effect!r}" + (" and a lookup" if lookup else ""),
                hint='the effect is "pure", "idempotent" or "once"; only "once" takes a lookup',
            )
        if limit_s is not None and not 0 < limit_s <= FAR_S:
            raise ContextMisused(f"step {name!r} has the limit {limit_s} s", hint="seconds, more than 0")
        if limit_s is not None and effect == "once" and callable(function) and not step.is_async(function):
            raise ContextMisused(
                f"step {name!r} happens once, has a time limit and runs in a thread, which cannot be ended",
                hint="make it an async function, or let the call that it makes have the time limit",
            )
        if sort not in ("", "plan"):
            raise ContextMisused(f"step {name!r} is of sort {sort!r}", hint='"plan", or nothing')

    async def look(self, name: str, function: Callable[[], Any]) -> Any:
        """What the engine itself sees before the task's code begins, kept like a step's result."""
        return await self._own(name, function)

    def _check_stopped(self) -> None:
        """What made the branch stop is raised again if the code goes on."""
        if self._around.journal.broken is not None:
            raise self._around.journal.broken
        if self._stopped is not None:
            raise self._stopped

    def _alone(self, name: str) -> _Alone:
        """One thing at a time in a branch."""
        self._check_stopped()
        if self._doing:
            raise ContextMisused(
                f"{name!r} was asked for while {self._doing!r} is under way in one branch of run {self.run}",
                hint="run steps side by side with ctx.gather, whose children use the ctx that they are "
                "given; a step's function has no steps of its own",
            )
        self._doing = name
        return _Alone(self)

    def _identify(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> Identity:
        nth = self._used[name]
        given = [*args, dict(kwargs)] if kwargs else list(args)
        digest = plain.digest(plain.plain(given, f"the arguments of step {name!r}"))
        self._used[name] += 1
        return Identity(self._branch, name, nth, digest)

    def _child(self) -> Context:
        path = f"{self._branch}.{self._children}" if self._branch else str(self._children)
        self._children += 1
        child = Context(self._around, path)
        child._retry, child._breaker, child._planning = self._retry, self._breaker, self._planning
        return child

    def _replay(self, kept: Outcome) -> Any:
        if isinstance(kept.event, StepFailed):
            raise at(step.error(kept.event), kept.index)
        return kept.event.result

    async def _own(self, name: str, function: Callable[[], Any], *args: Any) -> Any:
        """A step of the engine itself."""
        with self._alone(RESERVED + name):
            identity = self._identify(RESERVED + name, args)
            if kept := self._around.history.next(identity):
                return self._replay(kept)
            await self._around.journal.before_live_step()
            return await keep(self._around, identity, function)

    async def _deadline(self, name: str, seconds: float) -> datetime:
        if not 0 <= seconds <= FAR_S:
            raise ContextMisused(f"cannot wait {seconds} s", hint="give seconds from 0 to ten years")
        clock = self._around.clock
        until = await self._own(name, lambda: stamp(clock.now() + timedelta(seconds=seconds)), float(seconds))
        return datetime.fromisoformat(until)

    def _plan(self) -> None:
        """Count a round of planning; one too many is a person's to allow."""
        try:
            self._planning = self._planning.plan()
        except PlanningLoop as loop:
            question = f"{loop.message} ({self._planning.planned} in all): go on planning?"
            if self._around.journal.answer(question, after=self._around.history.rolled_at) is None:
                self._park(question, loop.hint)
            self._planning = Planning(planned=self._planning.planned, executed=self._planning.executed).plan()

    async def _stopping(self, waiting: Awaitable[Any]) -> Any:
        """Remember that the run stops here, so that code which swallows it does not go on."""
        try:
            return await waiting
        except Stop as stop:
            self._stopped = stop
            raise

    def _park(self, question: str, why: str = "") -> NoReturn:
        self._stopped = Parked(question, why)
        raise self._stopped

    def _fail_together(self, contexts: Sequence[Context], problems: Sequence[Exception]) -> NoReturn:
        """Raise the failure that comes first in the ledger; those of the code between steps come last.

        Where all of them only stop, the run does: until the first of them goes on by itself, or a person comes."""
        failures = [problem for problem in problems if not isinstance(problem, Stop)]
        if not failures:
            self._stopped = _together([problem for problem in problems if isinstance(problem, Stop)])
            raise self._stopped
        for child in contexts:
            self._around.history.abandon(child.branch)
        raise min(failures, key=place_of)


class _Alone:
    """While it lasts, the branch does nothing else. (A class, because a generator costs more than the rest.)"""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._context._doing = ""


def _together(stops: Sequence[Stop]) -> Stop:
    """What stops a run whose branches stopped for several reasons."""
    others = [stop for stop in stops if not isinstance(stop, Parked | Waiting)]
    if others:
        return others[0]  # cancelled or held: that concerns the whole run
    waiting = [stop for stop in stops if isinstance(stop, Waiting)]
    moments = [stop.until for stop in waiting if stop.until is not None]
    if moments:
        return next(stop for stop in waiting if stop.until == min(moments))
    return next((stop for stop in stops if isinstance(stop, Parked)), stops[0])
