"""What a task's code holds in its hands: `ctx`, the one way in which it makes progress.

The code runs again from its beginning after a crash, so everything that differs from one time to the next
(time, random numbers, the outside) comes from here. A kept step returns at once, without giving way to other
tasks; that makes a replay as deterministic as the code between its steps.
"""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

import anyio

from daybreak.clock import Clock, stamp
from daybreak.engine import plain, step
from daybreak.engine.flow import Parked
from daybreak.engine.history import ASK, History, Identity, Intent, Outcome, diverged
from daybreak.engine.journal import Journal
from daybreak.engine.step import Absent, Effect, Found, Lookup
from daybreak.errors import ContextMisused, DaybreakError, LedgerError, StepError
from daybreak.events import Answered, State, StepDone, StepFailed, StepIntended
from daybreak.ids import Entropy
from daybreak.ledger.holds import REPEAT, OnceIsHeld

RESERVED = "ctx."
"""Names of steps that begin so are the engine's own."""

CANCEL_POLL_S = 5.0
"""How often a sleeping run looks whether it was cancelled."""

_AT = "_daybreak_index"


@dataclass(frozen=True, slots=True)
class Told:
    """Something volatile about a run that is under way; shown, never recorded.

    `started` is True where a step begins to be computed (not where it is replayed); then `text` is empty.
    """

    run: str
    branch: str
    step: str
    text: str
    fraction: float | None = None
    started: bool = False


Listener = Callable[[Told], None]
"""Called in the thread that tells, which may be a step's; must be quick. One that raises is dropped."""

Sleep = Callable[[float], Awaitable[None]]


class Listeners:
    """Whoever listens. A broken one must not break a run: it is logged with its traceback and dropped."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = list(listeners)

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def tell(self, told: Told) -> None:
        for listener in list(self._listeners):
            try:
                listener(told)
            except Exception:
                self._listeners.remove(listener)
                logging.getLogger(__name__).exception("a listener broke; run %s goes on without it", told.run)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all branches of one run share."""

    journal: Journal
    history: History
    clock: Clock
    entropy: Entropy
    sleep: Sleep
    listeners: Listeners
    host: str


class Context:
    """One branch of a run. Its steps come one after the other; `gather` opens branches side by side."""

    def __init__(self, around: Surroundings, branch: str = "") -> None:
        self._around = around
        self._branch = branch
        self._used: Counter[str] = Counter()
        self._children = 0
        self._doing = ""
        self._parked: Parked | None = None

    @property
    def run(self) -> str:
        """The run's id."""
        return self._around.journal.run

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
    ) -> Any:
        """The result of `function(*args)`, computed once and kept.

        The function may be sync (it runs in a thread; with `abandon` a cancelled run does not wait for it) or
        async. It returns JSON, or `Kept(value, tell=[events])` to record facts in the same commit. What it
        raises is kept too and raised again on replay: a DaybreakError with its code, anything else as
        StepError. After a crash before the outcome was recorded, `pure` and `idempotent` steps are computed
        again; `step_key()` is then the same. A `once` step is never tried a second time blindly: `lookup` is
        asked with its key, and without a certain answer the run is parked as ambiguous.

        Raises HistoryDiverged, NotPlain (arguments or result are not JSON), ContextMisused.
        """
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
        with self._alone(name):
            identity = self._identify(name, args)
            if kept := self._around.history.next(identity):
                return self._replay(kept)
            await self._around.journal.before_live_step()
            if effect == "once" and (settled := await self._begin_once(identity, lookup)):
                return await self._keep(identity, _in_place(lambda: settled.value))
            return await self._keep(identity, function, args, abandon=abandon)

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
                    if not isinstance(problem, Parked):
                        group.cancel_scope.cancel("a sibling failed")

            async with anyio.create_task_group() as group:
                for place in range(len(children)):
                    group.start_soon(run_child, place)
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
        """Wait. The deadline is kept: after a crash only what is left of it is waited for."""
        if not 0 <= seconds <= 10 * 366 * 86400:
            raise ContextMisused(f"cannot sleep {seconds} s", hint="give seconds from 0 to ten years")
        clock = self._around.clock

        def deadline() -> str:
            return stamp(clock.now() + timedelta(seconds=seconds))

        until = datetime.fromisoformat(await self._own("sleep", deadline, float(seconds)))
        with self._alone(f"{RESERVED}sleep"):
            while (left_s := (until - clock.now()).total_seconds()) > 0:
                await self._around.sleep(min(left_s, CANCEL_POLL_S))
                self._around.journal.honour_cancel()

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
            found = journal.answer(question, after=history.answered.get(question, -1))
            if found is None:
                self._park(question)
            index, answer = found
            history.answered[question] = index
            kept_answer = await self._keep(identity, _in_place(lambda: {"answer": answer, "index": index}))
            return kept_answer["answer"]

    # -- telling

    async def enter(self, state: State) -> None:
        """The run is now `running`, `waiting` or `verifying`; recorded before the next live step."""
        if state not in ("running", "waiting", "verifying"):
            raise ContextMisused(
                f"a task cannot enter {state!r}",
                hint="only running, waiting and verifying are a task's to choose",
            )
        self._around.journal.wanted = state

    def report(self, text: str, fraction: float | None = None) -> None:
        """Tell listeners how far the step is: `fraction` from 0 to 1. Volatile; works in threads."""
        self._around.listeners.tell(Told(self.run, self._branch, self._doing, text, fraction))

    def put_blob(self, data: bytes) -> str:
        """Keep bytes beside the ledger; their SHA-256. For use inside a step, whose result names them."""
        return self._around.journal.log.put_blob(data)

    def get_blob(self, name: str) -> bytes:
        return self._around.journal.log.get_blob(name)

    # -- the engine's side

    def end(self) -> None:
        """The branch's code returned. Raises what it swallowed; HistoryDiverged where steps are unused."""
        if self._around.journal.broken is not None:
            raise self._around.journal.broken
        if self._around.journal.cancelled is not None:
            raise self._around.journal.cancelled
        if self._parked is not None:
            raise self._parked
        if held := self._around.history.leftover(self._branch):
            raise diverged(self.run, held=str(held), asked="nothing more: it returned")

    def end_root(self) -> None:
        """Like `end`, for the whole run: also no branch may be left that the code never opened."""
        self.end()
        for branch in self._around.history.branches():
            held = self._around.history.leftover(branch)
            raise diverged(self.run, held=str(held), asked="no such branch: it returned")

    def _alone(self, name: str) -> _Alone:
        """One thing at a time in a branch; what made the branch stop is raised again if the code goes on."""
        if self._around.journal.broken is not None:
            raise self._around.journal.broken
        if self._parked is not None:
            raise self._parked
        if self._doing:
            raise ContextMisused(
                f"{name!r} was asked for while {self._doing!r} is under way in one branch of run {self.run}",
                hint="run steps side by side with ctx.gather, whose children use the ctx that they are "
                "given; a step's function has no steps of its own",
            )
        self._doing = name
        return _Alone(self)

    def _identify(self, name: str, args: Sequence[Any]) -> Identity:
        nth = self._used[name]
        digest = plain.digest(plain.plain(list(args), f"the arguments of step {name!r}"))
        self._used[name] += 1
        return Identity(self._branch, name, nth, digest)

    def _child(self) -> Context:
        path = f"{self._branch}.{self._children}" if self._branch else str(self._children)
        self._children += 1
        return Context(self._around, path)

    def _replay(self, kept: Outcome) -> Any:
        if isinstance(kept.event, StepFailed):
            raise _at(step.error(kept.event), kept.index)
        return kept.event.result

    async def _own(self, name: str, function: Callable[[], Any], *args: Any) -> Any:
        """A step of the engine itself: quick, computed in place."""
        with self._alone(RESERVED + name):
            identity = self._identify(RESERVED + name, args)
            if kept := self._around.history.next(identity):
                return self._replay(kept)
            await self._around.journal.before_live_step()
            return await self._keep(identity, _in_place(function))

    async def _keep(
        self,
        identity: Identity,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        *,
        abandon: bool = False,
    ) -> Any:
        """Compute a step and record how it ended, in one commit. Cancelled, it records nothing."""
        around = self._around
        if around.listeners and not identity.name.startswith(RESERVED):
            around.listeners.tell(Told(self.run, self._branch, identity.name, "", started=True))
        began = around.clock.monotonic()
        try:
            value = await step.call(self.run, identity, function, args, abandon=abandon)
            events = step.done(self.run, identity, value, self._since_ms(began))
        except Parked as parked:
            self._park(parked.question, parked.why)
        except LedgerError as problem:
            around.journal.broken = problem  # not the step's failure but ours: the next owner tries it again
            raise
        except (Exception, SystemExit) as problem:  # noqa: BLE001 - kept, raised again as the code will see it
            await self._keep_failure(identity, problem, self._since_ms(began))
        await around.journal.append(events, idem=identity.key)
        event = events[0]
        assert isinstance(event, StepDone)
        return event.result

    async def _keep_failure(self, identity: Identity, problem: BaseException, duration_ms: int) -> NoReturn:
        blob = "" if isinstance(problem, DaybreakError) else self.put_blob(trace(problem))
        event = step.failed(self.run, identity, step.as_error(identity, problem, blob), duration_ms)
        records = await self._around.journal.append([event], idem=identity.key)
        raise _at(step.error(event), records[0].index) from problem

    def _since_ms(self, began: float) -> int:
        return int((self._around.clock.monotonic() - began) * 1000)

    def _park(self, question: str, why: str = "") -> NoReturn:
        self._parked = Parked(question, why)
        raise self._parked

    def _fail_together(self, contexts: Sequence[Context], problems: Sequence[Exception]) -> NoReturn:
        """Raise the failure that comes first in the ledger; those of the code between steps come last."""
        failures = [problem for problem in problems if not isinstance(problem, Parked)]
        if not failures:
            self._parked = next(problem for problem in problems if isinstance(problem, Parked))
            raise self._parked
        for child in contexts:
            self._around.history.abandon(child.branch)
        raise min(failures, key=lambda problem: getattr(problem, _AT, float("inf")))

    # -- effects that must not be repeated

    async def _begin_once(self, identity: Identity, lookup: Lookup | None) -> Found | None:
        """Record the intent. Where a crash left one without outcome, find out first: Found settles it."""
        intent = self._around.history.intents.pop(identity.branch, None)
        if intent is not None and (settled := await self._settle(intent, lookup)):
            return settled
        try:
            await self._intend(identity)
        except OnceIsHeld:
            return await self._begin_held(identity, lookup)
        return None

    async def _begin_held(self, identity: Identity, lookup: Lookup | None) -> Found | None:
        """The log was restored from a copy, after which this effect may have happened. Whoever did it may be alive
        somewhere, so that it is absent proves nothing: only a lookup that finds it counts, or a person's word."""
        held = Intent(self._around.history.held_at, identity, host="")
        if settled := await self._settle(held, lookup):
            return settled
        word = f"{REPEAT} {step.key_of(self.run, identity)}"
        await self._around.journal.pass_on(Answered(run=self.run, question=_ambiguous(self.run, identity), answer=word))
        await self._intend(identity)
        return None

    async def _settle(self, intent: Intent, lookup: Lookup | None) -> Found | None:
        """Found: it happened. None: it certainly did not, try again. Raises Parked while nobody knows."""
        question = _ambiguous(self.run, intent.identity)
        if answered := self._around.journal.answer(question, after=intent.index):
            return await self._settle_by_word(intent.identity, answered[1], question)
        why = "it has no lookup"
        if lookup is not None:
            key = step.key_of(self.run, intent.identity)
            try:
                looked = await step.call(self.run, intent.identity, lookup, (key,))
            except Exception as problem:  # noqa: BLE001 - it cannot tell, so a person is asked
                looked = f"{type(problem).__name__}: {problem}"
            if isinstance(looked, Found):
                return looked
            # On another machine the old owner may still be about to act: its absence proves nothing yet.
            if isinstance(looked, Absent) and intent.host == self._around.host:
                return None
            why = f"its lookup says {looked!r}, of an owner on host {intent.host!r}"
        return self._park(question, why)

    async def _settle_by_word(self, identity: Identity, answer: Any, question: str) -> Found | None:
        word = answer.get("outcome") if isinstance(answer, dict) else answer
        if word == "happened":
            return Found(answer.get("result") if isinstance(answer, dict) else None)
        if word == "repeat":
            return None
        if word == "failed":
            problem = StepError(f"{identity} failed, as a person said", hint="see the answer in the control stream")
            await self._keep_failure(identity, problem, 0)
        return self._park(question, f"the answer {answer!r} says none of the three words")

    async def _intend(self, identity: Identity) -> None:
        intended = StepIntended(
            run=self.run,
            branch=identity.branch,
            name=identity.name,
            nth=identity.nth,
            args=identity.args,
            key=step.key_of(self.run, identity),
        )
        await self._around.journal.append([intended])


class _Alone:
    """While it lasts, the branch does nothing else. (A class, because a generator costs more than the rest.)"""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._context._doing = ""


def trace(problem: BaseException) -> bytes:
    """A traceback as text, for a blob."""
    return "".join(traceback.format_exception(problem)).encode(errors="backslashreplace")


def _at(problem: Exception, index: int) -> Exception:
    """Note the place in the ledger that an error comes from."""
    setattr(problem, _AT, index)
    return problem


def _in_place(function: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def computed() -> Any:
        return function()

    return computed


def _ambiguous(run: str, identity: Identity) -> str:
    return (
        f"{identity} of run {run} began before a crash and nobody knows whether it happened "
        f"(key {step.key_of(run, identity)}): answer happened, repeat or failed"
    )
