"""Where the code that is running stands: night, run, branch, step, try. One id leads from a night to a log line.

Set by the engine, inherited by tasks and threads, read by whoever writes logs (`current`); never a reason for a
decision. Naming costs a dictionary only when a line is written, so that a step pays next to nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from daybreak.engine import step as steps
from daybreak.engine.history import Identity


@dataclass(frozen=True, slots=True)
class _Trail:
    night: str = ""
    run: str = ""
    step: Identity | None = None
    tried: int = 0


_HERE: ContextVar[_Trail] = ContextVar("daybreak_trail", default=_Trail())  # noqa: B039 - it is frozen


@contextmanager
def on_night(night: str) -> Iterator[None]:
    """Whatever begins in here belongs to this night."""
    with _on(_Trail(night=night)):
        yield


@contextmanager
def on_run(run: str, night: str = "") -> Iterator[None]:
    """Whatever begins in here belongs to this run; to the night around it, where none is named."""
    with _on(_Trail(night=night or _HERE.get().night, run=run)):
        yield


@contextmanager
def on_step(step: Identity, tried: int) -> Iterator[None]:
    """Whatever begins in here belongs to this step of the run; it has been tried so many times before."""
    with _on(replace(_HERE.get(), step=step, tried=tried)):
        yield


@contextmanager
def _on(trail: _Trail) -> Iterator[None]:
    token = _HERE.set(trail)
    try:
        yield
    finally:
        _HERE.reset(token)


def current() -> dict[str, str | int]:
    """`night`, `run`, `branch`, `step`, `nth` (from the second use of its name on), `try` (from 1), and `key`, the
    step's idempotency key: those of them that there are. The same key stands in the ledger's intents."""
    here = _HERE.get()
    told: dict[str, str | int] = {}
    if here.night:
        told["night"] = here.night
    if here.run:
        told["run"] = here.run
    if (step := here.step) is not None:
        if step.branch:
            told["branch"] = step.branch
        told["step"] = step.name
        if step.nth:
            told["nth"] = step.nth
        told["try"] = here.tried + 1
        told["key"] = steps.key_of(here.run, step)
    return told
