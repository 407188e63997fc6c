"""Forgets a subject: destroys the key that sealed what was said of it, and remembers that.

    redaction.survey(ledger, "customer-4711")     what would be forgotten
    redaction.forget(ledger, "customer-4711", clock, why="asked for it")

The events stay, with their hashes, proofs and views; what was secret in them reads as redacted, here and in every copy
of the database. Three things happen, each on disk before the next: the decision is written beside the witness, the
event `subject.forgotten` is appended, the key file is overwritten and removed. From the first one on there is no way
back: whoever opens the ledger next finishes what a crash left, and a key or a log that comes back from an old copy is
brought to the same end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from daybreak.clock import Clock, stamp
from daybreak.errors import DraftRefused
from daybreak.events import KEYS, SubjectForgotten
from daybreak.ledger.archive.problems import ArchiveDamaged, ArchiveMissing
from daybreak.ledger.ledger import Ledger
from daybreak.ledger.record import Draft
from daybreak.ledger.rows import FORGOTTEN
from daybreak.ledger.subjects import SubjectKeys, SubjectUnknown, Tombstone

ACTOR = "redaction"
WHY_MAX = 500
_STRETCH = 16_384
"""Events that are looked through at once."""

Progress = Callable[[int, int], None]
"""Events looked through, and how many there are."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What the ledger holds of a subject."""

    subject: str
    key: str
    """The name of its key, as headers and the event about it give it."""
    events: int
    streams: tuple[str, ...]
    at_least: bool = False
    """There may be more, in archives that cannot be read now."""
    forgotten: str = ""
    """When it was forgotten; empty while it can be read."""


def survey(ledger: Ledger, subject: str, progress: Progress | None = None) -> Survey:
    """What forgetting the subject would forget; changes nothing. Reads every header, a million in about a second;
    what is in an archive that is missing or damaged is not counted (`at_least`).

    Raises SubjectUnknown, DraftRefused (no name for a subject), SubjectKeysBroken.
    """
    keys = ledger.subjects
    key = keys.name(subject)
    buried = keys.buried().get(key)
    if buried is None and (not key or keys.find(key) is None):
        raise SubjectUnknown(
            f"nothing was ever kept here for the subject {subject!r}", hint="`daybreak ledger subjects` names them."
        )
    events, streams, at_least = _count(ledger, key, progress)
    return Survey(subject, key, events, streams, at_least, "" if buried is None else buried.at)


def forget(
    ledger: Ledger, subject: str, clock: Clock, *, why: str = "", progress: Progress | None = None
) -> tuple[Survey, bool]:
    """Destroy what can read the subject's secrets; returns what was forgotten, and whether that was done only now.

    `why` is for the log and stays there for good: it should say nothing of the subject. A second time does no harm,
    and finishes what a crash may have left. Raises as `survey`, and what `Ledger.append` raises.
    """
    checked_why(why)
    found = survey(ledger, subject, progress)
    if not found.forgotten:
        at = stamp(clock.now())
        ledger.subjects.bury(
            [Tombstone(key=found.key, at=at, events=found.events, streams=len(found.streams), why=why)]
        )
    settle(ledger)
    return found, not found.forgotten


def settle(ledger: Ledger) -> None:
    """Bring log, keys and what is known outside to the same state: what is forgotten in one is forgotten in all."""
    keys: SubjectKeys = ledger.subjects
    buried, told = keys.buried(), ledger.forgotten_subjects()
    if lost := [key for key in told if key not in buried]:
        keys.bury([_from_log(ledger, key) for key in lost])
    drafts = [_draft(stone) for key, stone in buried.items() if key not in told]
    if drafts:
        ledger.append(drafts)
    for key in keys.all():
        if key in buried or key in told:
            keys.shred(key)


def checked_why(why: str) -> str:
    """Raises DraftRefused."""
    if len(why) > WHY_MAX or not (why.isprintable() or not why):
        raise DraftRefused(
            f"the reason must be printable text of at most {WHY_MAX} characters", hint="leave it out, or shorten it."
        )
    return why


def _draft(stone: Tombstone) -> Draft:
    told = SubjectForgotten(key=stone.key, events=stone.events, streams=stone.streams, why=stone.why)
    return Draft(KEYS, told, ACTOR, idem=f"{FORGOTTEN}{stone.key}")


def _from_log(ledger: Ledger, key: str) -> Tombstone:
    for record in ledger.read(KEYS):
        event = record.event
        if isinstance(event, SubjectForgotten) and event.key == key:
            return Tombstone(key=key, at=record.ts, events=event.events, streams=event.streams, why=event.why)
    raise AssertionError("it was found by its idempotency key")


def _count(ledger: Ledger, key: str, progress: Progress | None) -> tuple[int, tuple[str, ...], bool]:
    """Events, their streams, and whether there may be more: nobody is remembered because a disk is not there."""
    size = ledger.newest().size  # other processes append, too
    events, streams, at_least = 0, dict[str, None](), False
    for start in range(0, size, _STRETCH):
        try:
            found = ledger.sealed_by(key, start, start + _STRETCH)
        except (ArchiveMissing, ArchiveDamaged):
            found, at_least = ledger.sealed_by(key, start, start + _STRETCH, archived=False), True
        events += len(found)
        streams.update(dict.fromkeys(found))
        if progress is not None:
            progress(min(start + _STRETCH, size), size)
    return events, tuple(streams), at_least
