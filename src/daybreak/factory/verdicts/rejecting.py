"""A person does not want a result: the reason becomes a lesson, and the same task once more.

All of it is one commit: the rejection, the lesson and the task are there together or not at all, so there is nothing
that a crash could leave half done. The same reason for the same result is the same rejection, however often it is
given; another reason is another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from daybreak import events
from daybreak.clock import Clock
from daybreak.engine import Queue, secrecy
from daybreak.engine.placement import Placement
from daybreak.errors import DraftRefused
from daybreak.factory.verdicts import again, reason, standing
from daybreak.factory.verdicts.standing import NotFinished, Standing
from daybreak.host.locks import FileLocks
from daybreak.ids import Entropy
from daybreak.ledger import Ledger
from daybreak.ledger.record import Draft
from daybreak.memory import lessons
from daybreak.policy.budget import Limit

TITLE_CHARS_MAX = 80
NOT_WANTED = "no task was wanted"


@dataclass(frozen=True)
class Rejected:
    """What became of it. Gives plain JSON with `dataclasses.asdict`."""

    run: str
    title: str
    because: str
    """As it is kept: without secrets, on one line."""
    changed: bool
    """False where it was rejected for that reason already."""
    lesson: str
    task: str
    """The run that does it again."""
    alone: str
    """Why there is no such lesson or run."""


def reject(
    ledger: Ledger,
    run: str,
    because: str,
    *,
    actor: str,
    clock: Clock,
    entropy: Entropy,
    locks: Path,
    task: bool = True,
    anyway: bool = False,
) -> Rejected:
    """Reject what `run` brought. `anyway`: also where the reason looks like an instruction to machines. Without `task`
    nothing is added to the queue.

    Raises UnknownRun, NotFinished, ArgumentsUnfit, ReasonUnfit, LessonUnfit, and LockHeld where somebody else judges
    it now; nothing is recorded then."""
    said = reason.checked(because)
    found = _delivered(ledger, run)
    with FileLocks(locks, clock).hold(f"verdict-{run}"):
        if (known := _known(ledger, found, said)) is not None:
            return _told(found, known, changed=False)
        told, drafts = _drafts(ledger, found, said, actor, clock, entropy, task=task, anyway=anyway)
        try:
            ledger.append(drafts)
        except DraftRefused:  # on another machine somebody was as quick
            if (known := _known(ledger, found, said)) is None:
                raise
            return _told(found, known, changed=False)
    return _told(found, told, changed=True)


def _delivered(ledger: Ledger, run: str) -> Standing:
    found = standing.finished(ledger, run)
    if found.state != "done" and not any(isinstance(one.event, events.Delivered) for one in found.records):
        raise NotFinished(
            f"run {run} is {found.state} and delivered nothing that could be rejected",
            hint=f"`daybreak retry {run}` tries it again; `daybreak memory add` keeps a lesson",
        )
    return found


def _known(ledger: Ledger, found: Standing, said: str) -> events.ResultRejected | None:
    """The same rejection, if it was made."""
    for record in ledger.read(events.control_stream(found.run)):
        told = record.event
        if isinstance(told, events.ResultRejected) and (told.about, told.because) == (found.place, said):
            return told
    return None


def _drafts(
    ledger: Ledger,
    found: Standing,
    said: str,
    actor: str,
    clock: Clock,
    entropy: Entropy,
    *,
    task: bool,
    anyway: bool,
) -> tuple[events.ResultRejected, list[Draft]]:
    run = found.run
    subject = secrecy.subject_of(ledger, run)
    # a hash of what may have to be forgotten would be a way to guess it
    key = sha256(f"{found.place}\n{said}".encode()).hexdigest() if subject is None else ""
    drafts: list[Draft] = []
    alone: list[str] = []
    lesson, new = "", ""
    if subject is None:
        learned = lessons.written(_lesson(found.title, said), task=found.kind, run=run, anyway=anyway)
        lesson = learned.lesson
        drafts.append(Draft(events.MEMORY, learned, actor=actor, trace=run))
    else:
        alone.append("what it is about can be forgotten, and a lesson could not")
    if not task:
        alone.append(NOT_WANTED)
    elif (args := again.args(ledger, found, said)) is None:
        alone.append(f"nobody reads a reason in a task of kind {found.kind}: it would do the same again")
    else:
        asked = standing.task_of(ledger, run)
        placed = Placement(
            project=asked.project,
            priority=asked.priority,
            keys=asked.keys,
            rates=asked.rates,
            dedupe=f"rejected:{key[:32]}" if key else "",
            budget=Limit(**asked.budget) if asked.budget else None,
        )
        new, queued = Queue(ledger, clock, entropy).drafts(
            found.kind, again.title(asked.title), args, placed, subject=subject
        )
        drafts += queued
    told = events.ResultRejected(
        run=run,
        because=said,
        about=found.place,
        index=found.about.index,
        lesson=lesson,
        task=new,
        alone="; ".join(alone),
    )
    first = Draft(
        events.control_stream(run),
        told,
        actor=actor,
        trace=run,
        idem=f"rejected:{key}" if key else None,
        subject=subject,
    )
    return told, [first, *drafts]


def _lesson(title: str, said: str) -> str:
    """Cut to what a lesson may be."""
    head = title if len(title) <= TITLE_CHARS_MAX else f"{title[: TITLE_CHARS_MAX - 1]}…"
    text = f"A person rejected the result of {head!r}: {said}"
    return text if len(text) <= lessons.TEXT_MAX else f"{text[: lessons.TEXT_MAX - 1]}…"


def _told(found: Standing, told: events.ResultRejected, *, changed: bool) -> Rejected:
    return Rejected(found.run, found.title, told.because, changed, told.lesson, told.task, told.alone)
