"""`daybreak.add`: puts a task written in Python into the queue, from a program, as `daybreak add` does from a shell.

A run outlives the program that added it, so what is kept is where the function is found again: its module and the
folder from which that is imported, or its file where the program itself defines it.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypedDict

from daybreak.errors import UsageError
from daybreak.home import queueing

if TYPE_CHECKING:
    from daybreak.factory.asked import Asked
    from daybreak.policy.budget import Limit

_OF_A_FILE = "daybreak_task_"
"""So begin the names of modules that were loaded from a file for its tasks."""


class Place(TypedDict, total=False):
    """Where the task stands in the queue. What is left out is as the decorator says."""

    title: str
    project: str
    priority: int
    after: str | Sequence[str]
    """Runs that must be done before; whole names."""
    not_before: str | datetime
    """A text as on the command line (`22:00`, `+90m`), or an aware moment."""
    deadline: str | datetime
    keys: Mapping[str, int]
    rates: Mapping[str, str]
    dedupe: str
    """While a run with this word is not over, it is found again instead of a second one added."""
    budget: str | Limit
    once: bool
    """One run now, although the task has a schedule of its own."""
    subject: str
    """Whom it is about: what it is given, keeps and is answered is stored encrypted, and can be forgotten."""


@dataclass(frozen=True, slots=True)
class Added:
    """What was recorded."""

    run: str
    """Empty where it became a schedule."""
    existed: bool
    """It was there already: a run with the same dedupe word, or the very same schedule."""
    schedule: str = ""
    """The name of its schedule, where it has one and not `once` was said."""


class NotAdded(UsageError):
    """A function that no other process could find again, or a place that makes no sense."""

    code = "U158"


def add(task: str | Callable[..., Awaitable[Any]], place: Place | None = None, /, **args: Any) -> Added:
    """Put a Python task into the queue; durable at return. `task` is a function, or text as `daybreak add` takes it:
    `package.module:function` or `file.py:function`, from the working directory. `args` are JSON values.

    The ledger is that of `DAYBREAK_HOME`, as for every command. Nothing runs yet: a night works the queue off. Blocks
    for some milliseconds. Within a step, say `{"dedupe": daybreak.step_key()}`: a step that is tried again then adds
    nothing twice.

    Raises NotAdded, TaskNotLoaded, TaskWrong, TaskArgumentsWrong, PlacementWrong, ScheduleWrong, MomentWrong,
    AmountsUnclear, UnknownRun, LedgerBusy.
    """
    from daybreak.factory import pythontask

    if _is_importing():
        raise NotAdded(
            "daybreak.add is called while a module is imported, which the night does again: "
            "it belongs under `if __name__ == '__main__':`",
            hint="or into a function that somebody calls",
        )
    told = _checked(place or {})
    path, folder = (task, Path.cwd()) if isinstance(task, str) else _located(task)
    asked = pythontask.asked(path, folder.resolve(), args=args)
    if title := told.pop("title", ""):
        asked = replace(asked, title=title)
    once, subject = told.pop("once", False), told.pop("subject", None)
    return _put(asked.placed(**told), once=once, subject=subject)


def _put(asked: Asked, *, once: bool, subject: str | None) -> Added:
    if asked.schedule is not None and not once:
        if subject is not None:
            raise NotAdded(
                "what a schedule adds cannot be about somebody: a schedule is kept as it is",
                hint="leave `subject` out, or say `once`",
            )
        with queueing.schedules() as (schedules, _):
            changed = schedules.set(asked.name, asked.schedule, asked.template())
        return Added("", not changed, asked.name)
    with queueing.queue() as (queue, _):
        added = queue.add(asked.kind, asked.title, asked.args, asked.placement, subject=subject)
    return Added(added.run, added.existed)


# -- its place


def _checked(place: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a Placement, `title`, `once` and `subject`. Raises NotAdded, MomentWrong, AmountsUnclear."""
    from daybreak.clock import SystemClock
    from daybreak.home.moments import moment_of
    from daybreak.policy.budget import Limit

    if not isinstance(place, Mapping):
        raise NotAdded(
            f"the place is {ascii(place)[:60]}", hint='write daybreak.add(task, {"priority": 5}, argument="value")'
        )
    told = dict(place)
    if unknown := sorted(map(str, told.keys() - Place.__annotations__.keys())):
        raise NotAdded(
            f"a place has no {', '.join(unknown)[:80]}",
            hint=f"it has {', '.join(Place.__annotations__)}; arguments of the task are given by name behind it",
        )
    for name, kind in (("title", str), ("once", bool), ("subject", str)):
        if not isinstance(told.get(name, kind()), kind):
            raise NotAdded(f"{name} is {ascii(told[name])[:60]}", hint=f"give a {kind.__name__}")
    for name in ("not_before", "deadline"):
        if isinstance(told.get(name), str):
            told[name] = moment_of(told[name], SystemClock().now())
    if isinstance(told.get("budget"), str):
        told["budget"] = Limit.parse(told["budget"])
    if isinstance(told.get("after"), str):
        told["after"] = (told["after"],)
    return told


# -- where a function is found again


def _located(function: object) -> tuple[str, Path]:
    """Its path, and the folder from which that counts. Raises NotAdded."""
    name = getattr(function, "__name__", "")
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    if module is None or not name.isidentifier() or getattr(module, name, None) is not function:
        raise NotAdded(
            f"{ascii(getattr(function, '__qualname__', function))[:80]} cannot be found again by its name",
            hint="define it with `async def` at the top of a module, or name it: 'package.module:function'",
        )
    file = getattr(module, "__file__", None)
    if file is None:
        raise NotAdded(f"{name} stands in no file", hint="the night is another process: write it into a module")
    path = Path(file).resolve()
    if imported := _imported_as(module):
        up = imported.count(".") + (path.name == "__init__.py")
        return f"{imported}:{name}", path.parents[up]
    return f"{path}:{name}", path.parent


def _imported_as(module: ModuleType) -> str:
    """The name by which another process can import it; empty for a program, and for a file that was loaded as such."""
    if module.__name__ == "__main__":
        return module.__spec__.name if module.__spec__ is not None else ""  # python -m package.module
    return "" if module.__name__.startswith(_OF_A_FILE) else module.__name__


def _is_importing() -> bool:
    """Is a module being imported on the way to here?"""
    frame = sys._getframe(1)
    while (above := frame.f_back) is not None:
        frame = above
        if frame.f_code.co_name == "exec_module" and frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
    return False
