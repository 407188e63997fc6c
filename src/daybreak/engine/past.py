"""A run's past as people speak of it: its kept steps by name, and what it means to go back before one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from daybreak.engine.history import RETURN, History, Outcome, past_forgotten
from daybreak.errors import EngineError, UsageError
from daybreak.events import (
    AttemptTurn,
    Event,
    LeaseGranted,
    RunForked,
    RunHeld,
    RunMoved,
    RunRolledBack,
    StepFailed,
    StepIntended,
    StepTried,
    run_stream,
)
from daybreak.ledger.record import Draft, Record

_OF_THE_OWNER = (LeaseGranted, RunMoved, RunHeld, RunForked, RunRolledBack, StepTried, AttemptTurn)
"""Events that are not part of what a run has kept. Turns belong to an attempt that is under way: a run that begins
before it has a conversation of its own."""


class StepUnknown(UsageError):
    """No kept step of the run is called so, or several are."""

    code = "U171"


class OnceDone(EngineError):
    """Going back would do a second time what must happen once."""

    code = "E212"


@dataclass(frozen=True, slots=True)
class KeptStep:
    """An outcome that counts. `key` names it within its run: branch/name/use."""

    index: int
    """Position in the ledger."""
    key: str
    name: str
    branch: str
    nth: int
    failed: bool
    once: bool
    at: str
    duration_ms: int
    result: Any
    """Its value; what it raised, in words, where it failed."""


def steps(run: str, records: Iterable[Record]) -> list[KeptStep]:
    """What counts of a run's stream now, oldest first."""
    records = list(records)
    history = History.read(run, iter(records))
    times = {record.index: record.ts for record in records}
    outcomes = sorted((one for kept in history.outcomes.values() for one in kept), key=lambda one: one.index)
    return [_kept(one, times[one.index], once=one.index in history.once) for one in outcomes]


def find(run: str, kept: Sequence[KeptStep], called: str) -> KeptStep:
    """The step of that key, or of that name where there is one of it only; `name#2` is its second use. Raises
    StepUnknown."""
    name, _, use = called.partition("#")
    matches = [one for one in kept if one.key == called]
    if not matches and use.isascii() and use.isdigit():
        matches = [one for one in kept if one.name == name and one.nth == int(use) - 1]
    matches = matches or [one for one in kept if one.name == called]
    if len(matches) == 1:
        return matches[0]
    shown = ", ".join(one.key for one in (matches or kept)[-12:]) or "none"
    problem = f"{len(matches)} kept steps of run {run} are" if matches else f"no kept step of run {run} is"
    raise StepUnknown(f"{problem} called {called[:80]!r}", hint=f"name it by its key, one of: {shown}")


def check_once(run: str, kept: Sequence[KeptStep], cut: KeptStep, *, again: bool) -> None:
    """Raises OnceDone where a `once` step that happened lies behind the cut and nobody consents."""
    done = [one.key for one in kept if one.once and not one.failed and one.index >= cut.index]
    if done and not again:
        raise OnceDone(
            f"before {cut.key} run {run} would do again what must happen once and has happened: {', '.join(done)}",
            hint="if it may happen a second time, say so: --again",
        )


def failing(history: History) -> tuple[int, str]:
    """Where a failed run is to be taken up: before the step that it failed with; at its end where there is none."""
    outcomes = [one for kept in history.outcomes.values() for one in kept]
    last = max(outcomes, key=lambda one: one.index, default=None)
    if last is None or not isinstance(last.event, StepFailed):
        return (2**53, "") if last is None else (last.index + 1, "")
    return last.index, last.identity.key


def copies(
    records: Iterable[Record], *, source: str, run: str, cut: KeptStep, subject: str | None = None
) -> list[Draft]:
    """What makes a new run begin with everything that counts in its source before the cut; `subject`: whom it is about.

    Raises PastForgotten where some of that cannot be read any more."""
    forked = RunForked(run=run, source=source, before=cut.key, index=cut.index)
    counting, back = list(records), [record for record in records if isinstance(record.event, RunRolledBack)]
    for record in back:
        rolled = record.event
        assert isinstance(rolled, RunRolledBack)
        counting = [one for one in counting if not rolled.index <= one.index < record.index]
    drafts = [Draft(run_stream(run), forked, epoch=0, trace=run)]
    for record in counting:
        if record.index >= cut.index or isinstance(record.event, _OF_THE_OWNER) or _returned(record.event):
            continue
        if isinstance(record.event, StepIntended) and not _ended(record, counting, cut.index):
            continue
        if record.redacted:
            raise past_forgotten(source, f"what it kept in event {record.index}")
        about = None if record.secret is None else subject
        drafts.append(
            Draft(
                run_stream(run),
                _of(record.event, run),
                record.actor,
                epoch=0,
                idem=record.idem,
                trace=run,
                subject=about,
            )
        )
    return drafts


def _ended(intent: Record, records: Sequence[Record], before: int) -> bool:
    """Has the `once` step of this intent an outcome that is copied too?"""
    event = intent.event
    assert isinstance(event, StepIntended)
    key = f"{event.branch}/{event.name}/{event.nth}"
    return any(record.idem == key and intent.index < record.index < before for record in records)


def _of(event: Event, run: str) -> Event:
    return msgspec.structs.replace(event, run=run) if hasattr(event, "run") else event


def _returned(event: Event) -> bool:
    return getattr(event, "name", "") == RETURN


def _kept(outcome: Outcome, at: str, *, once: bool) -> KeptStep:
    event, identity = outcome.event, outcome.identity
    failed = isinstance(event, StepFailed)
    return KeptStep(
        index=outcome.index,
        key=identity.key,
        name=identity.name,
        branch=identity.branch,
        nth=identity.nth,
        failed=failed,
        once=once,
        at=at,
        duration_ms=event.duration_ms,
        result=f"{event.code}: {event.message}" if isinstance(event, StepFailed) else event.result,
    )
