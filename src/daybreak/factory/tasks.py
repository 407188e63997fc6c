"""Tasks written in Python: an async function with a decorator that says how it is to be run.

    @daybreak.task(every="day", at="02:30", retry=Retry(attempts=4), breaker="shop", budget="2usd", check=all_are_there)
    async def publish(ctx, shop: str = "main"):
        listings = await ctx.step("list", read_listings, shop)
        ...

The function stays what it was: call it in a test with a context of your own. What the decorator says hangs on it as
`daybreak_task`; nothing is registered anywhere else, and nothing is looked up until somebody adds the task.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from daybreak.errors import UsageError
from daybreak.policy.budget import Limit
from daybreak.policy.retry import Retry

if TYPE_CHECKING:
    from daybreak.engine.placement import Placement
    from daybreak.engine.window import Schedule
    from daybreak.host.truth import Probe

MARK = "daybreak_task"
Task = Callable[..., Awaitable[Any]]
F = TypeVar("F", bound=Task)
CheckFunction = Callable[[Any], Any]
"""Takes what the task returned. It holds where it returns something true, or nothing; may be async."""


class TaskWrong(UsageError):
    """A function that cannot be a task, or a decorator that says what makes no sense."""

    code = "U174"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What `task` was told. Fields as in a task file; see `docs/reference/task-file.md`."""

    title: str = ""
    project: str = ""
    priority: int = 0
    keys: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, str] = field(default_factory=dict)
    dedupe: str = ""
    budget: Limit | None = None
    every: str | None = None
    at: str | None = None
    on: str | None = None
    cron: str | None = None
    zone: str = "UTC"
    catch_up: Literal["skip", "once", "all"] = "once"
    retry: Retry | None = None
    """Of every step that names none."""
    breaker: str = ""
    """Of every step that names none."""
    checks: tuple[CheckFunction | Probe, ...] = ()

    def placement(self) -> Placement:
        """Raises PlacementWrong."""
        from daybreak.engine.placement import Placement

        return Placement(
            project=self.project,
            priority=self.priority,
            keys=self.keys,
            rates=self.rates,
            dedupe=self.dedupe,
            budget=self.budget,
        )

    def schedule(self) -> Schedule | None:
        """Raises ScheduleWrong."""
        from daybreak.factory import asked

        return asked.schedule(
            every=self.every, at=self.at, on=self.on, cron=self.cron, zone=self.zone, catch_up=self.catch_up
        )


@overload
def task(function: F) -> F: ...


@overload
def task(
    *,
    title: str = "",
    project: str = "",
    priority: int = 0,
    keys: Mapping[str, int] | None = None,
    rates: Mapping[str, str] | None = None,
    dedupe: str = "",
    budget: str | Limit | None = None,
    every: str | None = None,
    at: str | None = None,
    on: str | None = None,
    cron: str | None = None,
    zone: str = "UTC",
    catch_up: Literal["skip", "once", "all"] = "once",
    retry: Retry | None = None,
    breaker: str = "",
    check: CheckFunction | Probe | Sequence[CheckFunction | Probe] = (),
) -> Callable[[F], F]: ...


def task(function: F | None = None, **told: Any) -> F | Callable[[F], F]:
    """Mark an `async def` whose first parameter is the context. Raises TaskWrong; what is wrong with the place in the
    queue or the schedule is told when the task is added."""

    def mark(marked: F) -> F:
        check_function(marked)
        setattr(marked, MARK, options)
        return marked

    options = _options(dict(told))
    return mark if function is None else mark(function)


def options_of(function: object) -> TaskOptions:
    """What the decorator was told; the defaults where there is none."""
    found = getattr(function, MARK, None)
    return found if isinstance(found, TaskOptions) else TaskOptions()


def found_in(module: object) -> Iterator[tuple[str, Task]]:
    """The marked functions that a module defines, by name."""
    for name, value in sorted(vars(module).items()):
        if isinstance(getattr(value, MARK, None), TaskOptions) and value.__module__ == getattr(module, "__name__", ""):
            yield name, value


def check_function(function: object) -> None:
    """Raises TaskWrong for what cannot be a task."""
    name = getattr(function, "__qualname__", ascii(function)[:60])
    if not inspect.iscoroutinefunction(function):
        raise TaskWrong(f"{name} is no async function", hint="write `async def`, with the context as first parameter")
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    ):
        raise TaskWrong(
            f"{name} takes no context", hint="its first parameter is the context: `async def work(ctx): ...`"
        )


def _options(told: dict[str, Any]) -> TaskOptions:
    budget, check, retry = told.pop("budget", None), told.pop("check", ()), told.get("retry")
    if retry is not None and not isinstance(retry, Retry):
        raise TaskWrong(f"retry is {ascii(retry)[:60]}", hint="give a daybreak.Retry(...)")
    if not isinstance(told.get("breaker", ""), str):
        raise TaskWrong(
            f"breaker is {ascii(told['breaker'])[:60]}", hint='give the name of what is called: breaker="shop"'
        )
    if budget is not None and not isinstance(budget, str | Limit):
        raise TaskWrong(f"budget is {ascii(budget)[:60]}", hint='give text such as "2usd 30min", or a Limit')
    given = {name: value for name, value in told.items() if value is not None}
    try:
        return TaskOptions(
            budget=Limit.parse(budget) if isinstance(budget, str) else budget, checks=_checks(check), **given
        )
    except TypeError as error:  # another name than those above
        raise TaskWrong(
            f"{error}".replace("TaskOptions.__init__()", "task()"), hint="see help(daybreak.task)"
        ) from None


def _checks(check: Any) -> tuple[Any, ...]:
    found = tuple(check) if isinstance(check, list | tuple) else (check,)
    for one in found:
        if not callable(one) and not callable(getattr(one, "start", None)):
            raise TaskWrong(
                f"check is {ascii(one)[:60]}",
                hint="give a function of the task's result, or a probe of daybreak.host.truth such as exists",
            )
        if getattr(one, "needs_before", False):
            raise TaskWrong(
                f"check {getattr(one, 'expected', one)!r} compares with before", hint="use exists or contains"
            )
    return found
