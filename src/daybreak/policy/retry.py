"""Trying again: exponential backoff with full jitter, for what may work the next time, and only for that.

`Retry` is the rule, `Tries` what has happened so far (plain, so that it survives a restart), `decide` the pure
function between them. `Retry` is also usable alone, around any function:

    @Retry(attempts=4, first_s=0.5)
    def fetch() -> bytes: ...

Backoff with full jitter: before try n+1 it waits a random time between 0 and min(most_s, first_s * factor ** (n-1)),
as in Brooker, "Exponential Backoff And Jitter", 2015. An outage is waited out and is not an attempt.
"""

from __future__ import annotations

import functools
import inspect
import random as random_numbers
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar, cast

from daybreak.clock import Clock, SystemClock
from daybreak.errors import PolicyError, UsageError
from daybreak.policy.failure import Classify, Failure, classify

P = ParamSpec("P")
T = TypeVar("T")
Draw = Callable[[], float]
"""A random number from 0 up to 1."""


class GaveUp(PolicyError):
    """Trying again was of no use, or not allowed. `failure` is the last one, `tries` all that happened; the
    exception itself is the `__cause__`."""

    code = "P201"

    def __init__(self, message: str, *, hint: str, failure: Failure, tries: Tries) -> None:
        super().__init__(message, hint=hint)
        self.failure, self.tries = failure, tries


class RetryMisused(UsageError):
    """A rule that cannot be followed."""

    code = "U131"


@dataclass(frozen=True, slots=True)
class Tries:
    """What has happened so far. Plain values: keep it, and a restart goes on counting."""

    began: datetime
    attempts: int = 0
    """Tries that failed and counted."""
    outages: int = 0
    """Times that the other side could serve nobody, since it last did."""
    out_since: datetime | None = None
    fingerprint: str = ""
    identical: int = 0
    """How often in a row the same failure came back on the same arguments."""


@dataclass(frozen=True, slots=True)
class Again:
    """Another try, not before `at`."""

    at: datetime
    tries: Tries


@dataclass(frozen=True, slots=True)
class Enough:
    """No other try, and why."""

    why: str
    hint: str
    tries: Tries


Adapt = Callable[[dict[str, Any], Failure, Tries], dict[str, Any]]
"""From the keyword arguments of a failed try to those of the next one (fewer tokens, a longer time limit)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When to try again. Raises RetryMisused for a rule that cannot be followed."""

    attempts: int = 5
    """Tries in all, 1 to 1000. Outages do not count."""
    first_s: float = 1.0
    """Longest wait after the first failure, in seconds."""
    factor: float = 2.0
    """How much longer each further wait may be; 1 or more."""
    most_s: float = 300.0
    """Longest wait of all."""
    within_s: float | None = None
    """Time for everything from the first try on, outages included; None for no limit."""
    outage_s: float = 86_400.0
    """How long an outage is waited out."""
    identical: int = 3
    """So many identical failures in a row on the same arguments are enough: nothing changes. 2 or more. Failures of a
    sort that passes by itself are not counted."""
    classify: Classify = classify
    adapt: Adapt | None = None
    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], object] = time.sleep
    """Of `run`; must agree with `clock`."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("attempts", 1, 1000), ("first_s", 0, 86_400), ("factor", 1, 100), ("most_s", 0, 31 * 86_400),
            ("outage_s", 0, 31 * 86_400), ("identical", 2, 1000),
        ):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value <= high:
                raise RetryMisused(f"Retry({name}={value!r:.80})", hint=f"{name} is a number from {low} to {high}")
        within_s: Any = self.within_s
        if within_s is not None and not (isinstance(within_s, int | float) and within_s >= 0):
            raise RetryMisused(f"Retry(within_s={within_s!r:.80})", hint="within_s is a number of seconds, or None")
        for name in ("classify", "sleep", *(["adapt"] if self.adapt is not None else [])):
            if not callable(getattr(self, name)):
                raise RetryMisused(f"Retry({name}={getattr(self, name)!r:.80})", hint=f"{name} is a function")
        if not hasattr(self.clock, "now"):
            raise RetryMisused(f"Retry(clock={self.clock!r:.80})", hint="a clock has now() and monotonic()")

    # -- the rule

    def decide(
        self, tries: Tries, failure: Failure, now: datetime, draw: Draw, *, changed: bool = False
    ) -> Again | Enough:
        """What follows from a failure. `changed`: the next try has other arguments than this one had. Pure."""
        if failure.kind == "permanent":
            return Enough(f"it will not work the next time either: {failure.what}", "mend the cause", tries)
        if failure.kind == "outage":
            again = self._outage(tries, failure, now, draw)
        else:
            again = self._failed(tries, failure, now, draw, changed)
        limit = None if self.within_s is None else tries.began + timedelta(seconds=self.within_s)
        if isinstance(again, Again) and limit is not None and again.at > limit:
            return Enough(
                f"the next try would be after its {self.within_s:g} s: {failure.what}", "raise within_s", again.tries
            )
        return again

    def longest_s(self, attempts: int) -> float:
        """The longest wait after so many failed tries (1 or more)."""
        exponent = min(attempts - 1, 200)  # beyond that it is most_s anyway, and would be too large for a float
        return min(self.most_s, self.first_s * self.factor**exponent)

    def _failed(self, before: Tries, failure: Failure, now: datetime, draw: Draw, changed: bool) -> Again | Enough:
        same = failure.fingerprint == before.fingerprint
        tries = replace(
            before,
            attempts=before.attempts + 1,
            outages=0,
            out_since=None,
            fingerprint=failure.fingerprint,
            identical=0 if failure.passes else before.identical + 1 if same else 1,
        )
        if tries.attempts >= self.attempts:
            return Enough(f"{tries.attempts} tries failed, the last one: {failure.what}", "mend the cause", tries)
        if tries.identical >= self.identical and not changed:
            return Enough(
                f"{tries.identical} tries in a row failed in the same way: {failure.what}",
                "nothing changes between the tries: mend the cause, or adapt the arguments",
                tries,
            )
        wait = timedelta(seconds=draw() * self.longest_s(tries.attempts))
        return Again(now + wait, replace(tries, identical=0) if changed else tries)

    def _outage(self, before: Tries, failure: Failure, now: datetime, draw: Draw) -> Again | Enough:
        since = before.out_since or now
        tries = replace(before, outages=before.outages + 1, out_since=since)
        # Where nobody said until when, look again after longer and longer times. Either way a little later by
        # chance, so that all who wait do not fall upon what has just come back.
        guess = now + timedelta(seconds=self.longest_s(tries.outages) / 2)
        told = failure.until if failure.until is not None else guess
        spread_s = min(self.longest_s(tries.outages) / 2, 60.0)
        at = max(told, now) + timedelta(seconds=draw() * spread_s)
        if at - since > timedelta(seconds=self.outage_s):
            why = f"the outage lasts too long: {failure.what}"
            return Enough(why, "raise outage_s, or use another provider", tries)
        return Again(at, tries)

    # -- around a function

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function with this rule around it; of an `async def` another `async def`."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def trying_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                return await self.run_async(function, *args, **kwargs)

            return cast("Callable[P, T]", trying_async)

        @functools.wraps(function)
        def trying(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.run(function, *args, **kwargs)

        return trying

    def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call the function until it returns. Raises GaveUp. Ctrl-C and exits pass at once."""
        tries = Tries(self.clock.now())
        while True:
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the rule decides; what it does not retry is the cause below
                tries, kwargs, wait_s = self._after(tries, error, kwargs)
            self.sleep(wait_s)

    async def run_async(self, function: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """The same for an `async def`, on asyncio or trio. Cancellation passes at once."""
        import anyio

        tries = Tries(self.clock.now())
        while True:
            try:
                return await function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - as in `run`
                tries, kwargs, wait_s = self._after(tries, error, kwargs)
            await anyio.sleep(wait_s)

    def _after(self, tries: Tries, error: Exception, kwargs: dict[str, Any]) -> tuple[Tries, dict[str, Any], float]:
        now = self.clock.now()
        failure = self.classify(error, now)
        adapted = self.adapt(dict(kwargs), failure, tries) if self.adapt and failure.kind == "retryable" else kwargs
        decision = self.decide(tries, failure, now, random_numbers.random, changed=adapted != kwargs)
        if isinstance(decision, Enough):
            raise GaveUp(decision.why, hint=decision.hint, failure=failure, tries=decision.tries) from error
        return decision.tries, adapted, max(0.0, (decision.at - now).total_seconds())
