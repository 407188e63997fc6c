"""Decides which submissions go in, and forms their headers. Pure: the same for the real and the memory ledger.

Fencing: on a stream that has an epoch (`run:*`, and any that ever had a lease) every event carries one.
It is accepted if it equals the stream's current epoch; a `lease.granted` must carry the next one and makes it
current. (A second grant with the same epoch is therefore refused: two owners never both win.)
Idempotency: (stream, gen, idem) is unique; a repeat with equal type and payload returns the first record.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256

from msgspec import structs

from daybreak import ids
from daybreak.clock import stamp
from daybreak.errors import FenceMissing, IdemConflict, LeaseLost
from daybreak.events import LeaseGranted
from daybreak.ledger.record import FORMAT, Draft, Header, Record, Submission, encode_header
from daybreak.ledger.sealing import Sealed, Secret
from daybreak.ledger.subjects import gone

Tip = tuple[int, str | None, int]
"""The end of a stream: (seq of its last event or -1, its leaf hash in hex or None, its current epoch or 0)."""

START: Tip = (-1, None, 0)

_FENCED = "run:"
_PAIRS = [first + second for first in ids.ALPHABET for second in ids.ALPHABET]


def fenced(stream: str, epoch: int) -> bool:
    """Does every event of this stream need an epoch?"""
    return epoch > 0 or stream.startswith(_FENCED)


class Labels:
    """Event ids of one transaction: those of `ids.new("ev", …)`, counting up from one random start."""

    def __init__(self, moment: datetime, entropy: ids.Entropy) -> None:
        self._prefix = ids.new("ev", moment, entropy)[:-8]
        self._noise = int.from_bytes(entropy(5), "big")

    def next(self) -> str:
        noise = self._noise = (self._noise + 1) & 0xFF_FFFF_FFFF
        return (
            f"{self._prefix}{_PAIRS[noise >> 30]}{_PAIRS[noise >> 20 & 1023]}"
            f"{_PAIRS[noise >> 10 & 1023]}{_PAIRS[noise & 1023]}"
        )


class Admission:
    """The submissions of one transaction. `records` are the new ones, in leaf order.

    `tips` is shared with the owner and moves on with each accepted event; `undo_all` puts it back.
    """

    def __init__(
        self,
        *,
        size: int,
        key_id: str,
        moment: datetime,
        entropy: ids.Entropy,
        tips: dict[str, Tip],
        load_tip: Callable[[str], Tip],
        find_idem: Callable[[str, int, str], Record | None],
        check_hold: Callable[[Draft], None] | None = None,
        is_forgotten: Callable[[str], bool] | None = None,
    ) -> None:
        """`check_hold` raises for what must wait for a person, in a log that was restored from a copy (`holds`).
        `is_forgotten` tells of a subject's key whether the log says that it was destroyed."""
        self.records: list[Record] = []
        self._size = size
        self._key_id = key_id
        self._ts = stamp(moment)
        self._labels = Labels(moment, entropy)
        self._tips = tips
        self._load_tip = load_tip
        self._find_idem = find_idem
        self._check_hold = check_hold
        self._is_forgotten = is_forgotten
        self._journal: list[tuple[str, Tip]] = []
        self._idems: dict[tuple[str, int, str], Record] = {}

    def admit(self, submission: Submission) -> list[Record]:
        """All of its records, or an error (LeaseLost, FenceMissing, IdemConflict) and nothing changed."""
        records, journal = len(self.records), len(self._journal)
        try:
            if submission.sealed is not None:
                return self._admit_secrets(submission, submission.sealed)
            return [
                self._admit(draft, payload, digest)
                for draft, payload, digest in zip(
                    submission.drafts, submission.payloads, submission.digests, strict=True
                )
            ]
        except BaseException:
            self.undo(records, journal)
            raise

    def _admit_secrets(self, submission: Submission, sealed: list[Sealed | None]) -> list[Record]:
        """What is given back can be read; in `records`, which views see, secrets are closed."""
        found = []
        for draft, payload, digest, seal in zip(
            submission.drafts, submission.payloads, submission.digests, sealed, strict=True
        ):
            if seal is not None and self._is_forgotten is not None and self._is_forgotten(seal.box.key):
                raise gone(draft.subject or "", seal.box.key)
            record = self._admit(draft, payload, digest, seal)
            found.append(record if seal is None else structs.replace(record, secret=seal.secret))
        return found

    def mark(self) -> tuple[int, int]:
        """Where `undo` goes back to."""
        return len(self.records), len(self._journal)

    def undo(self, records: int = 0, journal: int = 0) -> None:
        """Forget what came after a mark, or everything."""
        for record in self.records[records:]:
            if record.idem is not None:
                del self._idems[record.stream, record.gen, record.idem]
        del self.records[records:]
        for stream, tip in reversed(self._journal[journal:]):
            self._tips[stream] = tip
        del self._journal[journal:]

    def _admit(self, draft: Draft, payload: bytes, digest: str, seal: Sealed | None = None) -> Record:
        stream, epoch = draft.stream, draft.epoch
        tip = self._tips.get(stream)
        if tip is None:
            tip = self._tips[stream] = self._load_tip(stream)
        seq, prev, current = tip
        if epoch is None:
            if fenced(stream, current):
                raise _fence_missing(stream, current)
            granted = current
        elif type(draft.event) is LeaseGranted:
            if (earlier := self._earlier(draft, payload, seal)) is not None and earlier.epoch == epoch == current:
                return earlier
            granted = current + 1
            if epoch != granted:
                raise _lease_lost(draft, current)
            if -1 < draft.event.read < seq:
                raise _lease_unread(draft, seq)
        elif epoch != current:
            raise _lease_lost(draft, current)
        else:
            granted = current
        if draft.idem is not None and (earlier := self._earlier(draft, payload, seal)) is not None:
            return earlier
        if self._check_hold is not None:
            self._check_hold(draft)
        record = self._form(draft, payload, digest, seq + 1, prev, seal)
        self._journal.append((stream, tip))
        self._tips[stream] = (seq + 1, record.hash.hex(), granted)
        self.records.append(record)
        if draft.idem is not None:
            self._idems[stream, draft.gen, draft.idem] = record
        return record

    def _form(
        self, draft: Draft, payload: bytes, digest: str, seq: int, prev: str | None, seal: Sealed | None
    ) -> Record:
        label = self._labels.next()
        kind = draft.event.type
        header = encode_header(
            Header(
                draft.actor,
                None if seal is None else seal.commit,
                draft.epoch,
                draft.gen,
                label,
                draft.idem,
                self._key_id,
                digest,
                prev,
                seq,
                draft.stream,
                draft.trace,
                self._ts,
                kind,
                FORMAT,
            )
        )
        return Record(
            self._size + len(self.records),
            draft.stream,
            seq,
            label,
            kind,
            self._ts,
            draft.actor,
            draft.epoch,
            draft.gen,
            draft.trace,
            draft.idem,
            payload,
            sha256(b"\x00" + header).digest(),
            header,
            None if seal is None else Secret(seal.box.key),
        )

    def _earlier(self, draft: Draft, payload: bytes, seal: Sealed | None) -> Record | None:
        """The record that already has this draft's key; raises IdemConflict if it says something else."""
        if draft.idem is None:
            return None
        earlier = self._idems.get((draft.stream, draft.gen, draft.idem)) or self._find_idem(
            draft.stream, draft.gen, draft.idem
        )
        if earlier is not None and (earlier.type != draft.event.type or not _says_the_same(earlier, payload, seal)):
            raise IdemConflict(
                f"key {draft.idem!r} on {draft.stream} was used for {earlier.type} number {earlier.seq}, "
                f"which says something else than this {draft.event.type}",
                hint="the same work gave two results: use another key, or find out why it is not repeatable.",
            )
        return earlier


def _says_the_same(earlier: Record, payload: bytes, seal: Sealed | None) -> bool:
    """Encryption gives other bytes each time, so of secrets what was encrypted is compared."""
    if seal is None:
        return earlier.payload == payload
    if earlier.secret is None or earlier.secret.key != seal.box.key:
        return False
    return seal.box.open(earlier.payload).payload == seal.plain


def _lease_lost(draft: Draft, current: int) -> LeaseLost:
    return LeaseLost(
        f"{draft.event.type} for {draft.stream} came with epoch {draft.epoch}, but epoch {current} is current",
        hint="nothing to repair: another owner has the run now and the late event was dropped.",
    )


def _lease_unread(draft: Draft, seq: int) -> LeaseLost:
    return LeaseLost(
        f"{draft.event.type} for {draft.stream} is of somebody who has read it up to event {_read(draft)}, but event "
        f"{seq} is there",
        hint="nothing to repair: its owner went on meanwhile; read it again, then take it.",
    )


def _read(draft: Draft) -> int:
    return draft.event.read if isinstance(draft.event, LeaseGranted) else -1


def _fence_missing(stream: str, current: int) -> FenceMissing:
    return FenceMissing(
        f"{stream} has an owner (epoch {current}) and takes no event without an epoch",
        hint="append with the epoch of your lease, or to the run's control stream.",
    )
