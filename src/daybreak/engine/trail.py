"""Where the code that is running stands: night, run, branch, step, try. One id leads from a night to a log line.

Set by the engine, inherited by tasks and threads, read by whoever writes logs (`current`); never a reason for a
decision. Naming costs a dictionary only when a line is written, so that a step pays next to nothing for it.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import NamedTuple

from daybreak.engine import step as steps
from daybreak.engine.history import Identity


class _Trail(NamedTuple):
    night: str = ""
    run: str = ""
    step: Identity | None = None
    tried: int = 0


_HERE: ContextVar[_Trail] = ContextVar("daybreak_trail", default=_Trail())  # noqa: B039 - it cannot be changed


class On:
    """Whatever begins within a `with` block of this stands there."""

    __slots__ = ("_token", "_trail")

    def __init__(self, trail: _Trail) -> None:
        self._trail = trail
        self._token: Token[_Trail] | None = None

    def __enter__(self) -> None:
        self._token = _HERE.set(self._trail)

    def __exit__(self, *_: object) -> None:
        assert self._token is not None, "it was entered"
        _HERE.reset(self._token)


def on_night(night: str) -> On:
    """In this night."""
    return On(_Trail(night))


def on_run(run: str, night: str = "") -> On:
    """In this run; of the night around it, where none is named."""
    return On(_Trail(night or _HERE.get().night, run))


def on_step(step: Identity, tried: int) -> On:
    """In this step of the run around it, which has been tried so many times before."""
    here = _HERE.get()
    return On(_Trail(here.night, here.run, step, tried))


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
