"""One step: what is asked for, how it is computed, and how its outcome becomes an event and back."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import anyio

from daybreak import errors
from daybreak.engine import plain
from daybreak.engine.history import Identity
from daybreak.errors import ContextMisused, DaybreakError, StepError
from daybreak.events import Event, StepDone, StepFailed
from daybreak.policy.budget import Amounts

Effect = Literal["pure", "idempotent", "once"]
"""What a repeat would mean: nothing at all; nothing new, under the same key; something that must not be."""

_DOING: ContextVar[tuple[str, Identity]] = ContextVar("daybreak_step")
"""The run and the step that is being computed."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A step's value together with facts of the task's own, which are recorded in the same commit."""

    value: Any
    tell: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What a `lookup` returns where the outside says that the effect happened, with the step's result."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class Absent:
    """What a `lookup` returns where the outside is certain that the effect did not and will not happen."""


Lookup = Callable[[str], Found | Absent | Awaitable[Found | Absent]]
"""Asked with the step's key after a crash between intent and outcome."""


def step_key() -> str:
    """Inside a step: its stable idempotency key, the same on every try, to be handed to the outside.

    Raises LookupError outside of a step.
    """
    return key_of(*_DOING.get())


def key_of(run: str, identity: Identity) -> str:
    """64 hexadecimal characters; depends on nothing but the run and the step's identity."""
    return plain.digest([run, identity.branch, identity.name, identity.nth, identity.args])


@dataclass(slots=True)
class Spending:
    """What a try says that it has used; None as long as it says nothing."""

    amounts: Amounts | None = None


_SPENDING: ContextVar[Spending] = ContextVar("daybreak_spending")


def spend(used: Amounts) -> None:
    """Inside a step that has a `cost`: it has used so much, instead of the worst case. Several calls add up.

    Raises LookupError outside of a step."""
    spending = _SPENDING.get()
    spending.amounts = used if spending.amounts is None else spending.amounts + used


async def call(
    run: str,
    identity: Identity,
    function: Callable[..., Any],
    args: Sequence[Any],
    *,
    kwargs: Mapping[str, Any] | None = None,
    abandon: bool = False,
    spending: Spending | None = None,
) -> Any:
    """Call a step's function: async ones here, all others in a thread, so that they do not stop the world.

    A thread cannot be ended. When the run is cancelled we wait for it, or with `abandon` leave it to itself.
    """
    token, purse = _DOING.set((run, identity)), _SPENDING.set(spending or Spending())
    try:
        if kwargs:
            function = partial(function, **kwargs)
        if is_async(function):
            return await function(*args)
        (value,) = await anyio.to_thread.run_sync(partial(_guarded, function, args), abandon_on_cancel=abandon)
        return await value if inspect.isawaitable(value) else value
    finally:
        _DOING.reset(token)
        _SPENDING.reset(purse)


class StepExited(Exception):
    """A step called `sys.exit`, which must not end the supervisor."""


def _guarded(function: Callable[..., Any], args: Sequence[Any]) -> tuple[Any]:
    """The result in a tuple, because it may be a coroutine, which trio takes no thread to return."""
    try:
        return (function(*args),)
    except SystemExit as leaving:
        raise StepExited(f"SystemExit: {leaving.code}") from leaving
    except StopIteration as stopped:  # a future cannot carry it
        raise RuntimeError("StopIteration") from stopped


def is_async(function: Callable[..., Any]) -> bool:
    """Is it called here, where it can be cancelled, and not in a thread?"""
    while isinstance(function, partial):
        function = function.func
    if inspect.iscoroutinefunction(function):
        return True
    return inspect.iscoroutinefunction(getattr(type(function), "__call__"))  # noqa: B004, B009 - an object's


# -- outcome to event


@dataclass(frozen=True, slots=True)
class _ResultOf:
    identity: Identity

    def __str__(self) -> str:
        return f"the result of {self.identity}"


def done(run: str, identity: Identity, value: Any, duration_ms: int, *, sort: str = "") -> list[Event]:
    """The events of a step that returned. Raises NotPlain where the value is not JSON, ContextMisused where
    something else than an event shall be told."""
    kept = value if isinstance(value, Kept) else Kept(value)
    tell: Sequence[object] = kept.tell
    for told in tell:
        if not isinstance(told, Event) or not told.type:
            raise ContextMisused(
                f"{identity} tells {told!r}, which is not an event",
                hint="tell instances of classes of daybreak.events",
            )
    event = StepDone(
        run=run,
        branch=identity.branch,
        name=identity.name,
        nth=identity.nth,
        args=identity.args,
        result=plain.plain(kept.value, _ResultOf(identity)),
        duration_ms=duration_ms,
        sort=sort,
    )
    return [event, *kept.tell]


def failed(run: str, identity: Identity, problem: DaybreakError, duration_ms: int) -> StepFailed:
    return StepFailed(
        run=run,
        branch=identity.branch,
        name=identity.name,
        nth=identity.nth,
        args=identity.args,
        code=problem.cause if isinstance(problem, StepError) else problem.code,
        message=problem.message,
        hint=problem.hint,
        duration_ms=duration_ms,
    )


def as_error(identity: Identity, problem: BaseException, hint: str) -> StepError:
    """What a step raised that is none of our errors, as one that can be kept."""
    said = str(problem) if isinstance(problem, StepExited) else f"{type(problem).__name__}: {problem}"
    return StepError(f"{identity} failed: {said}", hint=hint)


# -- event to outcome


def error(event: StepFailed) -> DaybreakError:
    """An error equal to the one that the step raised: of the class that has its code, with its message and
    hint; a StepError where the code has no such class or the class asks for more than that."""
    kind = _by_code().get(event.code)
    if kind is None or issubclass(kind, StepError) or kind.__init__ is not DaybreakError.__init__:
        return StepError(event.message, hint=event.hint, cause=event.code)
    return kind(event.message, hint=event.hint)


def _by_code() -> dict[str, type[DaybreakError]]:
    """Every error class that is loaded and has a code of its own; the first with a code counts."""
    found: dict[str, type[DaybreakError]] = {}
    waiting: list[type[DaybreakError]] = [errors.DaybreakError]
    while waiting:
        kind = waiting.pop(0)
        if "code" in vars(kind):
            found.setdefault(kind.code, kind)
        waiting.extend(kind.__subclasses__())
    return found
