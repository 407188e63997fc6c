"""One step that is not replayed: asked for, reserved, intended, tried, recorded, and tried again where that may help.

What stands in the ledger at each moment says what a crash there leaves behind:

    reservation (and the intent of a `once` step)   in one commit, before anything happens
    the outcome and what it really used             in one commit
    a failed try, what it used, when the next is    in one commit

A try that nobody ended is paid for at its worst by the next owner, and a `once` step is looked up.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

import anyio

from daybreak.clock import stamp
from daybreak.engine import plain, step, trail
from daybreak.engine.flow import Parked, Paused, Stop
from daybreak.engine.history import Identity, Intent
from daybreak.engine.journal import Journal
from daybreak.engine.scopes import shielded
from daybreak.engine.step import Absent, Effect, Found, Lookup, Spending
from daybreak.engine.surroundings import Surroundings, Told
from daybreak.errors import DaybreakError, DraftRefused, EngineError, LedgerError, StepError
from daybreak.events import Answered, BudgetReserved, Event, StepDone, StepIntended, StepTried
from daybreak.ledger import sealing
from daybreak.ledger.holds import REPEAT, OnceIsHeld
from daybreak.ledger.replicas.problems import NotReplicated
from daybreak.ledger.seats import is_here
from daybreak.policy.breaker import BreakerRule, Circuit
from daybreak.policy.budget import Amounts, BudgetSpent
from daybreak.policy.failure import Failure, classify
from daybreak.policy.retry import Again, GaveUp, Retry, Tries

RESERVED = "ctx."
"""Names of steps that begin so are the engine's own."""

INSECURE = timedelta(minutes=1)
"""How long a `once` step waits where the ledger is not on enough replicas."""

_AT = "_daybreak_index"
_A_TRY = Amounts(attempts=1)

_lines = logging.getLogger(__name__)


class StepTimeout(EngineError):
    """A step took longer than it may; it was ended."""

    code = "E210"


@dataclass(frozen=True, slots=True)
class Call:
    """What a step calls, and under which conditions."""

    identity: Identity
    function: Callable[..., Any]
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    effect: Effect = "idempotent"
    lookup: Lookup | None = None
    abandon: bool = False
    retry: Retry | None = None
    breaker: str = ""
    cost: Amounts | None = None
    """The worst case of one try."""
    limit_s: float | None = None
    """For one try."""
    sort: str = ""


class Live:
    """One live step of a run. `go` brings it to its outcome, over any number of tries."""

    def __init__(self, around: Surroundings, call: Call) -> None:
        self._around = around
        self._call = call
        self._run = around.journal.run
        self._reserved = ""
        """Key of the reservation of the try that is under way."""

    async def go(self) -> Any:
        """The step's value, recorded. Raises what the step raised, once that is recorded, and Stop where the run stops
        here. Cancelled, it records nothing."""
        call, journal = self._call, self._around.journal
        earlier = self._around.history.next_try(call.identity)
        tries = Tries(self._around.clock.now()) if earlier is None else _tries(earlier.tries)
        kwargs = dict(call.kwargs if earlier is None else earlier.adapted or call.kwargs)
        if earlier is not None:
            await self._rest(datetime.fromisoformat(earlier.again), earlier.what)
        intent = self._around.history.intents.pop(call.identity.branch, None)
        if intent is not None and (settled := await self._settle(intent)):
            return await self._record(settled.value, 0)
        while True:
            mark = await self._pass_breaker() if call.breaker else None
            if settled := await self._begin(tries):
                await self._tell_breaker(mark, None)
                return await self._record(settled.value, 0)
            if call.effect == "once" and (why := await self._insecure()):
                await self._tell_breaker(mark, Stop(why))
                tries = await self._stand_back(tries, kwargs, why)
                await journal.before_live_step()
                continue
            began = self._around.clock.monotonic()
            spending = Spending()
            try:
                with trail.on_step(call.identity, tries.attempts + tries.outages):
                    _lines.debug("begins")
                    value = await self._try(kwargs, spending)
            except BaseException as problem:
                # A thread that ends because the run was cancelled says so in its own way: no failure of the step.
                await anyio.lowlevel.checkpoint_if_cancelled()
                await self._tell_breaker(mark, problem)
                if isinstance(problem, LedgerError):
                    journal.broken = problem  # not the step's failure but ours: the next owner tries it again
                if isinstance(problem, LedgerError | Stop) or not isinstance(problem, Exception | SystemExit):
                    raise
                with trail.on_step(call.identity, tries.attempts + tries.outages):
                    said = problem if journal.subject is None else sealing.SECRET
                    _lines.info("failed: %s: %s", type(problem).__name__, said)
                    found = await self._after_failure(problem, tries, kwargs, self._since_ms(began), spending)
                if isinstance(found, Found):
                    return await self._record(found.value, self._since_ms(began), spending)
                tries, kwargs = found
                await journal.before_live_step()
                continue
            if mark is not None:
                await self._tell_breaker(mark, None)
            return await self._record(value, self._since_ms(began), spending)

    # -- before a try

    async def _rest(self, until: datetime, why: str) -> None:
        await self._around.wait_until(until, f"{self._call.identity.name} is tried again then: {why}")

    async def _pass_breaker(self) -> datetime:
        """Wait until the step's breaker lets a call pass; its mark, for `_tell_breaker`."""
        name, around = self._call.breaker, self._around
        while True:
            now, rule = around.clock.now(), self._rule(name)

            def ask(
                circuit: Circuit, now: datetime = now, rule: BreakerRule = rule
            ) -> tuple[Circuit, tuple[datetime | None, str]]:
                after, until = rule.ask(circuit, now)
                return after, (until, circuit.why)

            until, why = await around.circuits.change_async(name, ask)
            if until is None:
                return now
            await around.wait_until(until, f"breaker {name} is open: {why}" if why else f"breaker {name} is open")
            await around.journal.before_live_step()

    async def _tell_breaker(self, mark: datetime | None, problem: BaseException | None) -> None:
        if mark is None:
            return
        name, now = self._call.breaker, self._around.clock.now()
        rule = self._rule(name)

        def after(circuit: Circuit) -> tuple[Circuit, None]:
            if problem is None:
                return rule.succeeded(circuit, mark), None
            if not isinstance(problem, Exception) or isinstance(problem, Stop):
                return rule.abandoned(circuit, mark), None
            failure = self._classify(problem)
            if self._around.journal.subject is not None:
                failure = replace(failure, what=sealing.SECRET)  # breakers are everybody's
            return rule.failed(circuit, failure, mark, now), None

        with shielded():
            await self._around.circuits.change_async(name, after)

    def _rule(self, name: str) -> BreakerRule:
        return self._around.rules.get(name) or BreakerRule()

    async def _begin(self, tries: Tries) -> Found | None:
        """Reserve the worst case and record the intent, in one commit; nothing where neither is called for.

        Found: the log was restored from a copy, and the effect had happened after it."""
        around, call = self._around, self._call
        reserved = self._reservation(tries)
        events: list[Event] = [] if reserved is None else [reserved]
        if call.effect == "once":
            events.append(self._intent())
        if not events:
            return None
        try:
            await around.journal.append(events)
        except OnceIsHeld:
            if settled := await self._settle_held():
                return settled
            await around.journal.append(events)
        except DraftRefused as refused:
            spent = around.accounts.refusal(refused)
            if not isinstance(spent, BudgetSpent):
                raise
            self._stop_spending(spent)
        self._reserved = "" if reserved is None else reserved.key
        return None

    async def _insecure(self) -> str:
        """Why the effect may not begin yet: the intent is not where policy wants it, and could be forgotten after it.
        Empty where it may."""
        try:
            await self._around.journal.log.secure_async()
        except NotReplicated as problem:
            return problem.message
        except LedgerError as problem:
            self._around.journal.broken = problem
            raise
        return ""

    async def _stand_back(self, tries: Tries, kwargs: Mapping[str, Any], why: str) -> Tries:
        """Nothing has happened: take the intent back, as a try that an outage kept from beginning, and wait."""
        call, around = self._call, self._around
        later, tries = around.clock.now() + INSECURE, replace(tries, outages=tries.outages + 1)
        tried = StepTried(
            run=self._run,
            branch=call.identity.branch,
            name=call.identity.name,
            nth=call.identity.nth,
            args=call.identity.args,
            kind="outage",
            what=why,
            again=stamp(later),
            tries=_plain_tries(tries),
            adapted=dict(kwargs) if kwargs != call.kwargs else {},
            duration_ms=0,
        )
        key, self._reserved = self._reserved, ""
        settled = [around.accounts.settle(key, Amounts(), run=self._run)[0]] if key else []
        await around.journal.append([tried, *settled])
        await self._rest(later, why)
        return tries

    def _reservation(self, tries: Tries) -> BudgetReserved | None:
        around, call = self._around, self._call
        if not around.account or (call.cost is None and call.retry is None):
            return None
        worst = self._worst()
        key = f"{self._run}/{call.identity.key}/{tries.attempts + tries.outages}/{around.journal.epoch}"
        try:
            return around.accounts.reserve(key, around.account, worst, run=self._run)
        except BudgetSpent as spent:
            self._stop_spending(spent)

    def _worst(self) -> Amounts:
        """Of one try. Without time, which is reserved for the run as a whole (`purse`)."""
        cost = self._call.cost
        return _A_TRY if cost is None else replace(cost, time_ms=0) + _A_TRY

    def _stop_spending(self, spent: BudgetSpent) -> NoReturn:
        """A budget is a wall: a run's own is for a person to raise, a night's comes back with the next night."""
        if spent.account.startswith("night:"):
            raise Paused(f"the night's budget is used up: {spent.message}", code=spent.code)
        question = f"the budget of {self._call.identity.name} is used up: raise it?"
        raise Parked(question, f"{spent.message}; {spent.hint}")

    # -- a try

    async def _try(self, kwargs: Mapping[str, Any], spending: Spending) -> Any:
        around, call = self._around, self._call
        if around.listeners and not call.identity.name.startswith(RESERVED):
            around.listeners.tell(Told(self._run, call.identity.branch, call.identity.name, "", started=True))
        if call.limit_s is None:
            return await self._compute(kwargs, spending)
        with anyio.move_on_after(call.limit_s) as scope:
            return await self._compute(kwargs, spending)
        if scope.cancelled_caught:
            raise StepTimeout(
                f"{call.identity.name} took longer than {call.limit_s:g} s",
                hint="give it a longer limit, or find out what it waits for",
            )
        raise AssertionError("a scope that was not cancelled returns")

    async def _compute(self, kwargs: Mapping[str, Any], spending: Spending) -> Any:
        call = self._call
        abandon = call.abandon or call.limit_s is not None
        return await step.call(
            self._run, call.identity, call.function, call.args, kwargs=kwargs, abandon=abandon, spending=spending
        )

    # -- after a try

    async def _record(self, value: Any, duration_ms: int, spending: Spending | None = None) -> Any:
        call = self._call
        try:
            events = step.done(self._run, call.identity, value, duration_ms, sort=call.sort)
        except DaybreakError as problem:  # not JSON: the step's own fault
            await self._keep_failure(problem, duration_ms, spending or Spending())
        await self._around.journal.append([*events, *self._settlement(spending)], idem=call.identity.key)
        event = events[0]
        assert isinstance(event, StepDone)
        return event.result

    async def _after_failure(
        self, problem: BaseException, tries: Tries, kwargs: dict[str, Any], duration_ms: int, spending: Spending
    ) -> Found | tuple[Tries, dict[str, Any]]:
        """Record the failed try. Found: it had happened all the same. Otherwise what the next try begins with, once it
        may begin. Raises the failure where there is none."""
        call, around = self._call, self._around
        now = around.clock.now()
        failure = self._classify(problem)
        if call.effect == "once" and call.lookup is not None and (found := await self._look_after(problem, spending)):
            return found
        retry = call.retry
        if retry is None or (call.effect == "once" and call.lookup is None and not _refused(failure)):
            await self._keep_failure(problem, duration_ms, spending)
        assert retry is not None
        adapted = self._adapted(retry, kwargs, failure, tries)
        decision = retry.decide(tries, failure, now, self._draw, changed=adapted != kwargs)
        if not isinstance(decision, Again):
            if decision.tries.attempts <= 1 and not decision.tries.outages:
                await self._keep_failure(problem, duration_ms, spending)  # it says more than that it was tried once
            gave_up = GaveUp(decision.why, hint=decision.hint, failure=failure, tries=decision.tries)
            await self._keep_failure(gave_up, duration_ms, spending)
        tried = StepTried(
            run=self._run,
            branch=call.identity.branch,
            name=call.identity.name,
            nth=call.identity.nth,
            args=call.identity.args,
            kind=failure.kind,
            what=failure.what,
            again=stamp(decision.at),
            tries=_plain_tries(decision.tries),
            adapted=adapted if adapted != call.kwargs else {},
            duration_ms=duration_ms,
        )
        await around.journal.append([tried, *self._settlement(spending)])
        await self._rest(decision.at, failure.what)
        return decision.tries, adapted

    def _adapted(self, retry: Retry, kwargs: dict[str, Any], failure: Failure, tries: Tries) -> dict[str, Any]:
        if retry.adapt is None or failure.kind != "retryable":
            return kwargs
        adapted = retry.adapt(dict(kwargs), failure, tries)
        return dict(plain.plain(adapted, f"what {self._call.identity.name!r} is tried again with"))

    async def _keep_failure(self, problem: BaseException, duration_ms: int, spending: Spending) -> NoReturn:
        identity, around = self._call.identity, self._around
        error = problem
        if not isinstance(error, DaybreakError):
            error = step.as_error(identity, error, await keep_trace(around.journal, error))
        event = step.failed(self._run, identity, error, duration_ms)
        records = await around.journal.append([event, *self._settlement(spending)], idem=identity.key)
        raise at(step.error(event), records[0].index) from problem

    def _settlement(self, spending: Spending | None) -> Sequence[Event]:
        """What the try really used, for the commit of its outcome; the worst case where it did not say."""
        key, self._reserved = self._reserved, ""
        if not key:
            return ()
        told = None if spending is None else spending.amounts
        used = self._worst() if told is None else replace(told, time_ms=0) + _A_TRY
        settled, _ = self._around.accounts.settle(key, used, run=self._run)
        return (settled,)

    def _classify(self, problem: BaseException) -> Failure:
        rule = self._call.retry.classify if self._call.retry is not None else classify
        return rule(problem, self._around.clock.now())

    def _draw(self) -> float:
        return (int.from_bytes(self._around.entropy(7), "big") >> 3) / (1 << 53)

    def _since_ms(self, began: float) -> int:
        return int((self._around.clock.monotonic() - began) * 1000)

    # -- effects that must not be repeated

    async def _settle_held(self) -> Found | None:
        """The log was restored from a copy, after which this effect may have happened. Whoever did it may be alive
        somewhere, so that it is absent proves nothing: only a lookup that finds it counts, or a person's word."""
        if settled := await self._settle(Intent(self._around.history.held_at, self._call.identity, host="")):
            return settled
        word = f"{REPEAT} {self._key}"
        await self._around.journal.pass_on(Answered(run=self._run, question=self._ambiguous, answer=word))
        return None

    async def _settle(self, intent: Intent) -> Found | None:
        """Found: it happened. None: it certainly did not, try again. Raises Parked while nobody knows."""
        if answered := self._around.journal.answer(self._ambiguous, after=intent.index):
            return await self._settle_by_word(answered[1])
        looked = await self._look()
        if isinstance(looked, Found):
            return looked
        # On another machine the old owner may still be about to act: its absence proves nothing yet.
        here = is_here(intent.seat, intent.host, self._around.seat, self._around.host)
        if isinstance(looked, Absent) and here:
            return None
        raise Parked(self._ambiguous, f"{looked}, of an owner on host {intent.host!r}")

    async def _look_after(self, problem: BaseException, spending: Spending) -> Found | None:
        """A try failed that may have happened all the same: it was accepted, and the answer was lost."""
        looked = await self._look()
        if isinstance(looked, Found):
            return looked
        if isinstance(looked, Absent):
            return None
        if settlement := self._settlement(spending):
            await self._around.journal.append(settlement)
        raise Parked(self._ambiguous, f"it failed ({type(problem).__name__}: {problem}), and {looked}")

    async def _look(self) -> Found | Absent | str:
        """What the lookup says; in words where it cannot tell."""
        lookup = self._call.lookup
        if lookup is None:
            return "it has no lookup"
        try:
            looked = await step.call(self._run, self._call.identity, lookup, (self._key,))
        except Exception as problem:  # noqa: BLE001 - it cannot tell, so a person is asked
            return f"its lookup says '{type(problem).__name__}: {problem}'"
        return looked if isinstance(looked, Found | Absent) else f"its lookup says {looked!r}"

    async def _settle_by_word(self, answer: Any) -> Found | None:
        word = answer.get("outcome") if isinstance(answer, dict) else answer
        if word == "happened":
            return Found(answer.get("result") if isinstance(answer, dict) else None)
        if word == "repeat":
            return None
        if word == "failed":
            identity = self._call.identity
            problem = StepError(f"{identity} failed, as a person said", hint="see the answer in the control stream")
            await self._keep_failure(problem, 0, Spending())
        raise Parked(self._ambiguous, f"the answer {answer!r} says none of the three words")

    def _intent(self) -> StepIntended:
        identity = self._call.identity
        return StepIntended(
            run=self._run,
            branch=identity.branch,
            name=identity.name,
            nth=identity.nth,
            args=identity.args,
            key=self._key,
        )

    @property
    def _key(self) -> str:
        return step.key_of(self._run, self._call.identity)

    @property
    def _ambiguous(self) -> str:
        return (
            f"{self._call.identity} of run {self._run} began before a crash and nobody knows whether it happened "
            f"(key {self._key}): answer happened, repeat or failed"
        )


async def keep(around: Surroundings, identity: Identity, function: Callable[[], Any]) -> Any:
    """A step of the engine itself: quick, computed in place, recorded like any other."""

    async def computed() -> Any:
        return function()

    return await Live(around, Call(identity, computed)).go()


def trace(problem: BaseException) -> bytes:
    """A traceback as text, for a blob."""
    return "".join(traceback.format_exception(problem)).encode(errors="backslashreplace")


async def keep_trace(journal: Journal, problem: BaseException) -> str:
    """Where its traceback is, for a hint. A ledger that takes none now must not hide the error itself."""
    if journal.subject is not None:
        return "its traceback is not kept, because the run is about somebody"
    try:
        return f"its traceback is blob {await journal.log.put_blob_async(trace(problem))}"
    except (LedgerError, OSError) as refused:
        _lines.warning("a traceback is not kept (%s)", refused, exc_info=problem)
        return "its traceback is not kept, because the ledger took none; the machine's log has it"


def at(problem: Exception, index: int) -> Exception:
    """Note the place in the ledger that an error comes from."""
    setattr(problem, _AT, index)
    return problem


def place_of(problem: Exception) -> float:
    """The place in the ledger that an error comes from; behind everything where it comes from none."""
    return float(getattr(problem, _AT, float("inf")))


def _refused(failure: Failure) -> bool:
    """The other side has said that it did not take the call, so that a repeat is no second time."""
    return failure.kind == "outage" and failure.status == 429


def _tries(kept: Mapping[str, Any]) -> Tries:
    out_since = kept.get("out_since")
    return Tries(
        began=datetime.fromisoformat(kept["began"]),
        attempts=kept["attempts"],
        outages=kept["outages"],
        out_since=datetime.fromisoformat(out_since) if out_since else None,
        fingerprint=kept["fingerprint"],
        identical=kept["identical"],
    )


def _plain_tries(tries: Tries) -> dict[str, Any]:
    kept = asdict(tries)
    for name in ("began", "out_since"):
        kept[name] = stamp(kept[name]) if kept[name] is not None else None
    return kept
