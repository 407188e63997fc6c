"""One run of a batch, apart from how functions are called: plainly under signals, or awaited."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from daybreak.clock import Clock
from daybreak.host.batch.outcome import OnError, Operation, Outcome, Report, Results, Stopped, failure_of


@dataclass(slots=True)
class Call:
    """Something to be called: by the driver, which knows how (plain or awaited)."""

    function: Callable[[Any], Any]
    argument: Any
    undoing: bool


@dataclass(slots=True)
class Answer:
    started: bool = True
    value: Any = None
    error: BaseException | None = None
    duration_s: float = 0.0


class Run:
    """One run: what to call next, given what became of the last call. Knows nothing of signals and threads."""

    def __init__(
        self, operations: list[Operation[Any]], order: list[Operation[Any]], on_error: OnError, clock: Clock
    ) -> None:
        self.clock = clock
        self.stop: str | None = None
        """Set by the driver when the run shall end: why."""
        self.raised: BaseException | None = None
        """What is to be raised again at the end."""
        self._operations, self._order, self._on_error = operations, order, on_error
        self._values: dict[str, Any] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._visible: dict[str, frozenset[str]] = {}

    def steps(self) -> Generator[Call, Answer, Report]:
        started = self.clock.monotonic()
        blocked: str | None = None
        for operation in self._order:
            because = self.stop or blocked or self._broken_need(operation)
            if because is not None:
                self._outcomes[operation.name] = Outcome(operation.name, "skipped", because=because)
                continue
            answer = yield Call(operation.do, self._results(operation), undoing=False)
            self._note(operation, answer)
            if answer.error is not None and self._on_error == "stop":
                blocked = operation.name
        if self.stop is not None or blocked is not None:
            yield from self._undo_all()
        return Report(
            tuple(self._outcomes[one.name] for one in self._operations),
            tuple(one.name for one in self._order),
            self._on_error,
            self.stop,
            self.clock.monotonic() - started,
            {name: value for name, value in self._values.items() if self._outcomes[name].status == "done"},
        )

    def _broken_need(self, operation: Operation[Any]) -> str | None:
        return next((need for need in operation.needs if self._outcomes[need].status != "done"), None)

    def _results(self, operation: Operation[Any]) -> Results:
        below = (self._visible[need] for need in operation.needs)
        visible = frozenset(operation.needs).union(*below)
        self._visible[operation.name] = visible
        return Results(self._values, visible, operation.name)

    def _note(self, operation: Operation[Any], answer: Answer) -> None:
        name = operation.name
        if not answer.started:
            self._outcomes[name] = Outcome(name, "skipped", because=self.stop)
            return
        if answer.error is None:
            self._values[name] = answer.value
            self._outcomes[name] = Outcome(name, "done", answer.duration_s)
            return
        self._outcomes[name] = Outcome(name, "failed", answer.duration_s, error=failure_of(answer.error))
        self._heed(answer.error)

    def _undo_all(self) -> Generator[Call, Answer, None]:
        """Last first. An undo that fails is told and does not keep the others from being undone."""
        for operation in reversed(self._order):
            outcome = self._outcomes[operation.name]
            if outcome.status != "done" or operation.undo is None:
                continue
            answer = yield Call(operation.undo, self._values[operation.name], undoing=True)
            error = answer.error
            self._outcomes[operation.name] = Outcome(
                operation.name,
                "undone" if error is None else "undo-failed",
                outcome.duration_s,
                error=None if error is None else failure_of(error),
                undo_s=answer.duration_s,
            )
            self._heed(error)

    def _heed(self, error: BaseException | None) -> None:
        """What is not an error of the operation but an order to stop goes on its way after all is undone."""
        if error is None or isinstance(error, Exception | Stopped):
            return
        self.stop = self.stop or type(error).__name__
        self.raised = self.raised or error
