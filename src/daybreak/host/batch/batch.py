"""Adding operations, validating them together, running them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar, get_args

from daybreak.clock import Clock, SystemClock
from daybreak.host.batch.drivers import Signals, drive, drive_async, finished, with_report
from daybreak.host.batch.order import checked, ordered, structure
from daybreak.host.batch.outcome import BatchInvalid, BatchMisused, OnError, Operation, Problem, Report, Results
from daybreak.host.batch.run import Run
from daybreak.host.naming import named, told

T = TypeVar("T")
NEEDS_MAX = 100_000
"""Of one operation."""


class Batch:
    """Operations that belong together. Add all, then `run`; nothing happens before."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        if clock is not None and not callable(getattr(clock, "monotonic", None)):
            raise BatchMisused(f"{named(clock)} is no clock", hint="leave it out, or give a daybreak.clock.Clock")
        self._clock = SystemClock() if clock is None else clock
        self._operations: list[Operation[Any]] = []

    def add(
        self,
        name: str,
        do: Callable[[Results], T],
        *,
        needs: Iterable[str | Operation[Any]] = (),
        check: Callable[[], Iterable[str] | None] | None = None,
        undo: Callable[[T], object] | None = None,
    ) -> Operation[T]:
        """One more operation. `check` only looks: it raises, or returns problems in words. Whatever is wrong with
        what is given here is told by `validate`, together with all the rest; only `needs` that cannot be gone through
        (they raise, or there are more than NEEDS_MAX) raise BatchMisused at once."""
        wanted = _wanted(needs)
        names = tuple(need.name if isinstance(need, Operation) else need for need in wanted)
        operation = Operation(name, do, names, check, undo)
        self._operations.append(operation)
        return operation

    def problems(self) -> list[Problem]:
        """All that speaks against the batch: names, needs, circles, and what the checks say. Executes nothing."""
        found = list(structure(self._operations))
        for operation in self._operations:
            found += checked(operation)
        return found

    def validate(self) -> list[str]:
        """The order in which the operations would be done. Raises BatchInvalid with every problem."""
        if found := self.problems():
            raise BatchInvalid(found)
        return [one.name for one in ordered(self._operations)]

    def run(self, *, on_error: OnError = "stop") -> Report:
        """Validate everything, then do it.

        `stop`: the first failure ends it; what was done is undone, last first. `continue`: what needs a failed one is
        skipped, all else is done and stays. Failures of operations are outcomes in the report, never raised: ask
        `report.ok` or `report.require()`. Raises BatchInvalid with nothing executed; interrupts as the module says,
        with the report as `error.report`.
        """
        run = self._prepared(on_error)
        with Signals() as signals:
            report = drive(run, signals)
        return finished(run, report, signals)

    async def run_async(self, *, on_error: OnError = "stop") -> Report:
        """As `run`, one operation after the other; what `do` and `undo` return is awaited where it can be.

        Cancelling it (of the task, the scope, by a deadline) is an interrupt: all is undone, shielded from further
        cancelling, and the cancellation goes on. Signals are left to the event loop. Runs on asyncio and trio.
        """
        run = self._prepared(on_error)
        report = await drive_async(run)
        if run.raised is not None:
            raise with_report(run.raised, report)
        return report

    def _prepared(self, on_error: object) -> Run:
        ways: tuple[OnError, ...] = get_args(OnError)
        way = next((one for one in ways if isinstance(on_error, str) and one == on_error), None)
        if way is None:
            problem = Problem("batch", f"on_error is {named(on_error, 40)}", 'one of "stop" and "continue"')
            raise BatchInvalid([problem, *self.problems()])
        self.validate()
        return Run(list(self._operations), ordered(self._operations), way, self._clock)


def _wanted(given: Any) -> list[Any]:
    """Needs as they were given: one, or all of them. Raises BatchMisused."""
    if isinstance(given, str | bytes | Operation) or not isinstance(given, Iterable):
        return [given]
    try:
        wanted = list(islice(given, NEEDS_MAX + 1))
    except Exception as error:
        raise BatchMisused(
            f"the needs cannot be gone through: {told(error)}", hint="give a list of names or operations"
        ) from error
    if len(wanted) > NEEDS_MAX:
        raise BatchMisused(f"more than {NEEDS_MAX} needs", hint="give a list of names or operations")
    return wanted
