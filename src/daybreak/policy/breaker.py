"""Breakers: what fails again and again is left alone for a while, then tried with care.

*closed*: everything may pass. Enough failures within a time *open* it: nothing passes until a moment. Then it is
*half-open*: a few probes may pass; one that works closes it, one that fails opens it for longer. An outage that says
until when opens it until then. A permanent failure says nothing about the other side and does not count.

`BreakerRule` is the rule, `Circuit` the state (plain, so that it survives a restart), and the rule's methods are pure.
`Breaker` puts both around calls:

    shop = Breaker("shop")
    with shop: publish(listing)          # raises BreakerOpen instead of calling while it is open
    async with shop: await publish(listing)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, ParamSpec, Protocol, Self, TypeVar

from daybreak.clock import Clock, SystemClock
from daybreak.errors import PolicyError, UsageError
from daybreak.policy.failure import Classify, Failure, classify

P = ParamSpec("P")
T = TypeVar("T")
_marks: ContextVar[tuple[datetime, ...]] = ContextVar("calls under way in this thread or task", default=())
NAME_CHARS_MAX = 200
CircuitState = Literal["closed", "open", "half_open"]
_Refused = tuple[datetime, str]
"""Until when, and why."""


class BreakerOpen(PolicyError):
    """Calls to something that fails are held back. `until` is when the next one may try."""

    code = "P202"

    def __init__(self, message: str, *, hint: str, until: datetime) -> None:
        super().__init__(message, hint=hint)
        self.until = until


class BreakerMisused(UsageError):
    """A rule that cannot be followed."""

    code = "U132"


@dataclass(frozen=True, slots=True)
class Circuit:
    """The state of one breaker. Plain values."""

    state: CircuitState = "closed"
    failures: tuple[datetime, ...] = ()
    """Failures that count, oldest first; never more than the rule needs."""
    until: datetime | None = None
    """Open: when probes may begin."""
    openings: int = 0
    """How often in a row it opened without a success between."""
    probes: tuple[datetime, ...] = ()
    """Half-open: when the probes under way began."""
    why: str = ""
    """The failure that opened it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRule:
    """When to open and for how long. Raises BreakerMisused for a rule that cannot be followed."""

    failures: int = 5
    """So many failures, 1 to 1000,"""
    within_s: float = 60.0
    """within so many seconds open it."""
    open_s: float = 30.0
    """For so long the first time,"""
    factor: float = 2.0
    """longer by this factor each further time,"""
    most_s: float = 3600.0
    """and never longer than this."""
    probes: int = 1
    """Calls that may pass at once while half-open."""
    probe_s: float = 600.0
    """A probe that has not ended after so long counts as lost (its process died), and another may pass."""
    look_s: float = 2.0
    """How soon whoever found no place among the probes asks again: a probe ends long before it would count as lost."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("failures", 1, 1000), ("within_s", 0, 86_400), ("open_s", 0, 86_400), ("factor", 1, 100),
            ("most_s", 0, 31 * 86_400), ("probes", 1, 100), ("probe_s", 0, 86_400),
            ("look_s", 0, 86_400),
        ):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value <= high:
                raise BreakerMisused(
                    f"BreakerRule({name}={value!r:.80})", hint=f"{name} is a number from {low} to {high}"
                )

    def ask(self, circuit: Circuit, now: datetime) -> tuple[Circuit, datetime | None]:
        """May a call pass now? The state after asking (a probe is counted), and None, or until when it may not."""
        if circuit.state == "closed":
            return circuit, None
        if circuit.until is not None and now < circuit.until:
            return circuit, circuit.until
        lost = timedelta(seconds=self.probe_s)
        under_way = tuple(began for began in circuit.probes if now - began < lost)
        if len(under_way) >= self.probes:
            soon = now + timedelta(seconds=self.look_s)
            return replace(circuit, state="half_open", probes=under_way), min(min(under_way) + lost, soon)
        return replace(circuit, state="half_open", probes=(*under_way, now)), None

    def succeeded(self, circuit: Circuit, began: datetime) -> Circuit:
        """After a call that passed at `began` worked."""
        if circuit.state == "closed":
            return circuit
        if circuit.state == "half_open" and began in circuit.probes:
            return Circuit()
        return circuit  # a call from before it opened says nothing about now

    def failed(self, circuit: Circuit, failure: Failure, began: datetime, now: datetime) -> Circuit:
        """After a call that passed at `began` failed."""
        if failure.kind == "permanent":
            return self.succeeded(circuit, began)  # the other side answered
        if circuit.state == "half_open":
            return self._opened(circuit, failure, now) if began in circuit.probes else circuit
        if circuit.state == "open":  # a call from before: it may know better until when
            later = failure.until if failure.kind == "outage" else None
            return (
                circuit if later is None or circuit.until is None else replace(circuit, until=max(circuit.until, later))
            )
        since = now - timedelta(seconds=self.within_s)
        recent = (*(moment for moment in circuit.failures if moment >= since), now)[-self.failures :]
        if failure.until is not None or len(recent) >= self.failures:
            return self._opened(circuit, failure, now)
        return replace(circuit, failures=recent)

    def abandoned(self, circuit: Circuit, began: datetime) -> Circuit:
        """After a call that passed at `began` was cancelled: nothing is known, its place is free again."""
        if began not in circuit.probes:
            return circuit
        at = circuit.probes.index(began)  # two may have begun at the same moment
        return replace(circuit, probes=circuit.probes[:at] + circuit.probes[at + 1 :])

    def _opened(self, circuit: Circuit, failure: Failure, now: datetime) -> Circuit:
        openings = circuit.openings + 1
        length_s = min(self.most_s, self.open_s * self.factor ** min(openings - 1, 200))
        until = failure.until if failure.until is not None else now + timedelta(seconds=length_s)
        return Circuit(state="open", until=until, openings=openings, why=failure.what)


class Circuits(Protocol):
    """Where the states of breakers are kept. A change is one step that nobody else comes between."""

    def change(self, name: str, change: Callable[[Circuit], tuple[Circuit, T]]) -> T:
        """Read the state of `name`, put the changed one in its place, give the other half of what `change` gave.
        `change` is a pure function: it may be called again where somebody else came first."""
        ...

    async def change_async(self, name: str, change: Callable[[Circuit], tuple[Circuit, T]]) -> T:
        """The same without blocking the event loop."""
        ...


class MemoryCircuits:
    """Breakers of one process, gone with it."""

    def __init__(self) -> None:
        self._known: dict[str, Circuit] = {}
        self._lock = threading.Lock()

    def change(self, name: str, change: Callable[[Circuit], tuple[Circuit, T]]) -> T:
        with self._lock:
            self._known[name], told = change(self._known.get(name, Circuit()))
        return told

    async def change_async(self, name: str, change: Callable[[Circuit], tuple[Circuit, T]]) -> T:
        return self.change(name, change)


@dataclass
class Breaker:
    """A breaker around calls to one thing, for any number of threads and async tasks. Breakers of one name in one
    `circuits` are one."""

    name: str
    rule: BreakerRule = field(default_factory=BreakerRule)
    circuits: Circuits = field(default_factory=MemoryCircuits)
    classify: Classify = classify
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        name: Any = self.name
        rule: Any = self.rule
        if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS_MAX:
            raise BreakerMisused(f"Breaker({name!r:.80})", hint=f"a name of 1 to {NAME_CHARS_MAX} characters")
        if not isinstance(rule, BreakerRule):
            raise BreakerMisused(f"Breaker(rule={rule!r:.80})", hint="a rule is a BreakerRule")

    @property
    def circuit(self) -> Circuit:
        """Its state now; looking changes nothing."""
        return self.circuits.change(self.name, lambda circuit: (circuit, circuit))

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function. Raises BreakerOpen instead while it may not be called, and what it raises itself."""
        with self:
            return function(*args, **kwargs)

    def passed(self) -> datetime:
        """Let one call pass: its mark for `ended`. Raises BreakerOpen. For calls that no `with` can hold."""
        now = self.clock.now()
        self._held(self.circuits.change(self.name, self._asking(now)))
        return now

    def ended(self, mark: datetime, error: BaseException | None) -> None:
        """Tell how the call of that mark ended."""
        self.circuits.change(self.name, self._telling(mark, error))

    async def passed_async(self) -> datetime:
        """As `passed`, without blocking the event loop."""
        now = self.clock.now()
        self._held(await self.circuits.change_async(self.name, self._asking(now)))
        return now

    async def ended_async(self, mark: datetime, error: BaseException | None) -> None:
        """As `ended`, without blocking the event loop."""
        await self.circuits.change_async(self.name, self._telling(mark, error))

    def __enter__(self) -> Self:
        _marks.set((*_marks.get(), self.passed()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        *before, mark = _marks.get()
        _marks.set(tuple(before))
        self.ended(mark, error)

    async def __aenter__(self) -> Self:
        mark = await self.passed_async()
        _marks.set((*_marks.get(), mark))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        *before, mark = _marks.get()
        _marks.set(tuple(before))
        if error is None or isinstance(error, Exception):
            await self.ended_async(mark, error)
        else:  # cancelled: what waits now may be cancelled once more, and the probe's place would stay taken
            self.ended(mark, error)

    # -- inside

    def _asking(self, now: datetime) -> Callable[[Circuit], tuple[Circuit, _Refused | None]]:
        def asked(circuit: Circuit) -> tuple[Circuit, _Refused | None]:
            after, until = self.rule.ask(circuit, now)
            return after, None if until is None else (until, circuit.why)

        return asked

    def _telling(self, mark: datetime, error: BaseException | None) -> Callable[[Circuit], tuple[Circuit, None]]:
        now = self.clock.now()
        failure = self.classify(error, now) if isinstance(error, Exception) else None

        def told(circuit: Circuit) -> tuple[Circuit, None]:
            if error is None:
                return self.rule.succeeded(circuit, mark), None
            if failure is None:
                return self.rule.abandoned(circuit, mark), None
            return self.rule.failed(circuit, failure, mark, now), None

        return told

    def _held(self, refused: _Refused | None) -> None:
        if refused is None:
            return
        until, why = refused
        raise BreakerOpen(
            f"{self.name} is left alone until {until:%Y-%m-%d %H:%M:%S} UTC" + (f": {why}" if why else ""),
            hint="wait until then; what waits needs no attempt for it",
            until=until,
        )
