"""The words of batches: operations, what they returned, what became of them, and the errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast, get_args, overload

from daybreak.errors import DaybreakError, HostError
from daybreak.host.naming import cut, named

T = TypeVar("T")
Status = Literal["done", "failed", "skipped", "undone", "undo-failed"]
OnError = Literal["stop", "continue"]


_TOLD_MAX = 10
"""Problems that a message names; the error has all of them."""


class BatchError(HostError):
    """A batch did not do what was asked."""

    code = "H190"


class BatchInvalid(BatchError):
    """Something is wrong with the batch; nothing of it was executed. `problems` are all there are."""

    code = "H191"

    def __init__(self, problems: Sequence[Problem]) -> None:
        said = "; ".join(cut(f"{one.operation}: {one.message}", 200) for one in problems[:_TOLD_MAX])
        more = f"; and {len(problems) - _TOLD_MAX} more" if len(problems) > _TOLD_MAX else ""
        hint = f"mend the batch, then do it again: {cut(problems[0].hint, 200)}"
        super().__init__(f"{len(problems)} problem(s) in the batch: {said}{more}", hint=hint)
        self.problems = tuple(problems)


class BatchFailed(BatchError):
    """Operations failed or were skipped; `report` says which."""

    code = "H192"

    def __init__(self, report: Report) -> None:
        bad = [one for one in report.outcomes if one.status != "done"]
        first = next((one for one in bad if one.error is not None), bad[0] if bad else None)
        said = cut(f": {first.name}: {first.error.message if first.error else first.status}", 200) if first else ""
        hint = (first.error.hint if first and first.error else "") or "the report names every operation"
        super().__init__(f"{len(bad)} of {len(report.outcomes)} operations not done{said}", hint=cut(hint, 200))
        self.report = report


class BatchInterrupted(BatchError):
    """A signal stopped the batch and the process went on; what was done is undone, see `report`."""

    code = "H193"

    def __init__(self, report: Report) -> None:
        super().__init__(
            f"stopped by {report.interrupted}", hint="nothing stays done unless the report says so; run it again"
        )
        self.report = report


class BatchMisused(BatchError):
    """An operation asked for the result of one that it does not need, or somebody for one that is not there."""

    code = "H194"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a batch cannot start."""

    operation: str
    message: str
    hint: str
    code: str = ""
    """Of the error that the operation's check raised."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error in words."""

    code: str
    """Of a DaybreakError; else the name of the exception's class."""
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one operation."""

    name: str
    status: Status
    """`done` and still so; `undone`; `failed` and left nothing; `skipped`: never started; `undo-failed`: was done,
    and what it did may still be there, in part or whole."""
    duration_s: float = 0.0
    """Of `do`."""
    because: str | None = None
    """Why it was skipped: the operation that failed, or the interrupt."""
    error: Failure | None = None
    """Why it failed, or why undoing it did."""
    undo_s: float = 0.0


class Results(Mapping["str | Operation[Any]", Any]):
    """What the operations returned that this one needs, directly or through others."""

    def __init__(self, values: Mapping[str, Any], visible: frozenset[str], reader: str) -> None:
        self._values, self._visible, self._reader = values, visible, reader

    @overload
    def __getitem__(self, key: Operation[T]) -> T: ...

    @overload
    def __getitem__(self, key: str) -> Any: ...

    def __getitem__(self, key: str | Operation[Any]) -> Any:
        """By handle (typed) or by name. Raises BatchMisused for what is not among the needs."""
        name: object = key.name if isinstance(key, Operation) else key
        if not isinstance(name, str) or name not in self._visible:
            raise BatchMisused(
                f"{self._reader!r} asked for the result of {named(name)}, which it does not need",
                hint=f"add it: needs=[{named(name)}]",
            )
        return self._values[name]

    def __contains__(self, key: object) -> bool:
        name = key.name if isinstance(key, Operation) else key
        return isinstance(name, str) and name in self._visible

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._visible))

    def __len__(self) -> int:
        return len(self._visible)


@dataclass(frozen=True, slots=True, eq=False)
class Operation(Generic[T]):
    """One named operation, and the handle of its result."""

    name: str
    do: Callable[[Results], T]
    needs: tuple[str, ...] = ()
    check: Callable[[], Iterable[str] | None] | None = None
    undo: Callable[[T], object] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What became of all operations, in the order in which they were added."""

    outcomes: tuple[Outcome, ...]
    order: tuple[str, ...]
    """The order of execution."""
    on_error: OnError
    interrupted: str | None = None
    """What stopped the batch from outside: `SIGINT`, `SIGTERM`, or the class of an exception."""
    duration_s: float = 0.0
    values: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What the operations returned that are still done; not in `as_json`."""

    @property
    def ok(self) -> bool:
        """Whether every operation is done."""
        return all(one.status == "done" for one in self.outcomes)

    def __getitem__(self, key: str | Operation[Any]) -> Outcome:
        """By handle or name. Raises BatchMisused for what is not in the batch."""
        name: object = key.name if isinstance(key, Operation) else key
        for one in self.outcomes:
            if isinstance(name, str) and one.name == name:
                return one
        raise BatchMisused(f"{named(name)} is not in the batch", hint="give a handle that `add` returned")

    def value(self, operation: Operation[T]) -> T:
        """What a done operation returned. Raises BatchFailed, and BatchMisused as above."""
        if self[operation].status != "done":
            raise BatchFailed(self)
        return cast(T, self.values[operation.name])

    def names(self, status: Status) -> list[str]:
        """The operations of that status, in the order of adding. Raises BatchMisused for a status that there is not."""
        given: object = status
        if not isinstance(given, str) or given not in get_args(Status):
            raise BatchMisused(f"{named(given)} is no status", hint=f"one of {', '.join(get_args(Status))}")
        return [one.name for one in self.outcomes if one.status == status]

    def require(self) -> Report:
        """Itself, where all is done. Raises BatchFailed."""
        if not self.ok:
            raise BatchFailed(self)
        return self

    def as_json(self) -> dict[str, Any]:
        """Plain values for a file or a log."""
        return {
            "ok": self.ok,
            "on_error": self.on_error,
            "interrupted": self.interrupted,
            "duration_s": self.duration_s,
            "order": list(self.order),
            "operations": [_as_json(one) for one in self.outcomes],
        }


def _as_json(outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    return {
        "name": outcome.name,
        "status": outcome.status,
        "duration_s": outcome.duration_s,
        "undo_s": outcome.undo_s,
        "because": outcome.because,
        "error": error and {"code": error.code, "message": error.message, "hint": error.hint},
    }


class Stopped(BaseException):
    """Raised into a running operation by a signal."""


def failure_of(error: BaseException) -> Failure:
    if isinstance(error, Stopped):
        return Failure(str(error), f"interrupted by {error}")
    if isinstance(error, DaybreakError):
        return Failure(error.code, error.message, error.hint)
    name = type(error).__name__
    try:
        return Failure(name, str(error) or name)
    except Exception:  # noqa: BLE001 - an exception whose text cannot be told; it must not hide the failure
        return Failure(name, name)
