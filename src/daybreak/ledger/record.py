"""An event on its way into the ledger (`Draft`) and as it stands there (`Record`), and the header between them.

The header is canonical JSON (RFC 8785) restricted so that a fast encoder gives exactly that: ASCII keys in order,
no floats, integers within ±(2**53 - 1), text without lone surrogates. All of this is checked before encoding.
The payload is the JSON of the event's fields, encoded once; the very bytes that were hashed are stored. Of a draft with
a subject they are encrypted (`sealing`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar

import msgspec

from daybreak import events
from daybreak.errors import DraftRefused, LedgerTampered
from daybreak.ledger import exact, sealing
from daybreak.ledger.sealing import Sealed, Secret, Subjects

FORMAT = 1
"""The `v` of every header."""

BLOB_BYTES = 64 * 1024
"""A payload longer than this lies in the blob store under its hash."""

PAYLOAD_MAX = 64 * 1024 * 1024
"""Bytes of the longest payload that is taken."""

INTEGER_MAX = 2**53 - 1
TEXT_MAX = 4096
"""Characters in a header's free text (actor, trace, idem)."""

_STREAM = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True, slots=True)
class Draft:
    """An event to be appended.

    `epoch` fences streams that have an owner; `idem` makes a repeat return the first record; `gen` is the
    generation of a run; `trace` correlates across the night. `subject`: whom the event is about; its secret fields
    (`events.PERSONAL`) are encrypted, and can be forgotten with all others of that subject (`redaction`). The rest of
    the draft is never secret: stream, actor, idem and trace stand in the header.
    """

    stream: str
    event: events.Event
    actor: str = ""
    epoch: int | None = None
    idem: str | None = None
    gen: int = 0
    trace: str = ""
    subject: str | None = None


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What a leaf commits to. The fields stand in the order of the canonical form."""

    actor: str
    commit: str | None
    epoch: int | None
    gen: int
    id: str
    idem: str | None
    key: str
    payload: str
    prev: str | None
    seq: int
    stream: str
    trace: str
    ts: str
    type: str
    v: int


encode_header = msgspec.json.Encoder().encode
decode_header = msgspec.json.Decoder(Header).decode
_encode_payload = msgspec.json.Encoder().encode
_DECODERS = {name: msgspec.json.Decoder(kind).decode for name, kind in events.BY_TYPE.items()}


class UnknownEvent(events.Event, frozen=True, kw_only=True):
    """An event of a type that this version does not know, kept as it is so that newer ledgers can be shown."""

    type: ClassVar[str] = ""
    name: str
    """The header's type."""
    fields: Any
    """The payload as plain JSON values."""


class Record(msgspec.Struct, frozen=True, dict=True):
    """An event as it stands in the ledger.

    `index` counts leaves over all streams from 0, `seq` inside the stream from 0. `hash` is the RFC 6962 leaf
    hash of `header`, the canonical bytes. Position is (stream, seq) and the index; `id` is only a label.
    `payload` holds the bytes that were hashed, and `words` what they say.
    """

    index: int
    stream: str
    seq: int
    id: str
    type: str
    ts: str
    actor: str
    epoch: int | None
    gen: int
    trace: str
    idem: str | None
    payload: bytes
    hash: bytes
    header: bytes
    secret: Secret | None = None
    """Where the payload is sealed."""

    @property
    def words(self) -> bytes:
        """The payload as JSON. Of a sealed one, its secret fields hold what `sealing` says where they were forgotten or
        are not shown. Raises LedgerTampered, and what reading the subject's key raises."""
        return self.payload if self.secret is None else sealing.words(self.type, self.payload, self.secret)

    @property
    def redacted(self) -> bool:
        """Is some of it secret and cannot be read (any more)?"""
        secret = self.secret
        return secret is not None and (secret.subjects is None or secret.subjects.find(secret.key) is None)

    @property
    def closed(self) -> Record:
        """The same, as somebody reads it who has no keys: what is secret in it is never shown."""
        if self.secret is None or self.secret.subjects is None:
            return self
        return msgspec.structs.replace(self, secret=Secret(self.secret.key))

    @property
    def subject(self) -> str | None:
        """Whom it is about; None where that is nobody, or nobody knows any more."""
        secret = self.secret
        return None if secret is None or secret.subjects is None else secret.subjects.label(secret.key) or None

    @cached_property
    def event(self) -> events.Event:
        """The typed event, or `UnknownEvent`. Raises LedgerTampered where a known type has another shape."""
        decode = _DECODERS.get(self.type)
        words = self.payload if self.secret is None else self.words
        try:
            if decode is None:
                return UnknownEvent(name=self.type, fields=msgspec.json.decode(words))
            return decode(words)
        except msgspec.MsgspecError as error:
            raise LedgerTampered(
                f"event {self.index} ({self.stream}, seq {self.seq}) is no {self.type}: {error}",
                hint="run `daybreak ledger verify`; if that is clean, a different version wrote this event.",
            ) from error


def place(index: int, stream: str, seq: int) -> str:
    """How every message names an event."""
    return f"event {index} ({stream}, seq {seq})"


def record_of(
    index: int, header: Header, raw: bytes, payload: bytes, leaf: bytes, subjects: Subjects | None = None
) -> Record:
    """`subjects` has the keys of what is sealed; without it only what stays readable can be read."""
    return Record(
        index,
        header.stream,
        header.seq,
        header.id,
        header.type,
        header.ts,
        header.actor,
        header.epoch,
        header.gen,
        header.trace,
        header.idem,
        payload,
        leaf,
        raw,
        None if header.commit is None else Secret(sealing.key_of(header.commit), subjects),
    )


class Submission:
    """Drafts that go in together or not at all, with their payloads already encoded and hashed."""

    __slots__ = ("digests", "drafts", "longest", "payloads", "sealed")

    def __init__(self, drafts: Sequence[Draft], subjects: Subjects | None = None) -> None:
        """Raises DraftRefused where a draft cannot be written; needs no ledger, so the caller pays for it. `subjects`
        has the keys of drafts that are about somebody."""
        self.drafts = tuple(drafts)
        if not self.drafts:
            raise DraftRefused("there is nothing to append", hint="pass at least one draft.")
        self.longest = 0
        """Bytes in the longest payload."""
        self.payloads: list[bytes] = []
        self.digests: list[str] = []
        self.sealed: list[Sealed | None] | None = None
        """For each draft; None where none of them is about somebody."""
        for draft in self.drafts:
            _check(draft)
            payload = _encoded(draft)
            if draft.subject is not None:
                payload = self._seal(draft, payload, subjects)
            self.longest = max(self.longest, len(payload))
            self.payloads.append(payload)
            self.digests.append(sha256(payload).hexdigest())

    def _seal(self, draft: Draft, payload: bytes, subjects: Subjects | None) -> bytes:
        if subjects is None:
            raise _refused(draft, "it is about somebody, and there are no keys of subjects here")
        if not sealing.can_be_sealed(draft.event):
            raise _refused(draft, "it is about somebody, but nothing in an event of its type is secret")
        assert draft.subject is not None
        sealed = subjects.box(draft.subject).seal(draft.event, payload, subjects)
        if self.sealed is None:
            self.sealed = [None] * len(self.drafts)
        self.sealed[len(self.payloads)] = sealed
        return sealed.payload

    def large(self) -> list[bytes]:
        """The payloads that belong into the blob store."""
        return [payload for payload in self.payloads if len(payload) > BLOB_BYTES]


def _encoded(draft: Draft) -> bytes:
    """The event as JSON that reads back as the same event."""
    try:
        payload = _encode_payload(draft.event)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise _refused(draft, f"its event is not JSON: {exact.why_not(draft.event) or error}") from error
    try:
        carried = exact.is_exact(draft.event)
    except RecursionError:  # deeper than the interpreter goes, and not than the encoder
        carried = False
    if not carried and (problem := exact.why_not(draft.event)):
        raise _refused(draft, f"JSON cannot carry {problem}")
    if len(payload) > PAYLOAD_MAX:
        raise _refused(
            draft,
            f"its event takes {len(payload):,} bytes, and {PAYLOAD_MAX:,} are the most",
            hint="keep what is large with `put_blob`, and its name in the event.",
        )
    return payload


def _refused(draft: Draft, why: str, hint: str = "correct the draft.") -> DraftRefused:
    kind = getattr(draft.event, "type", "") or type(draft.event).__name__
    return DraftRefused(f"{kind} for stream {draft.stream!r} is refused: {why}", hint=hint)


def _check(draft: Draft) -> None:
    event: object = draft.event  # whatever an untyped caller passed
    if not isinstance(event, events.Event) or not event.type:
        raise _refused(draft, "the event must be an instance of an Event class that has a type")
    if type(draft.stream) is not str or not _STREAM.fullmatch(draft.stream):
        raise _refused(draft, "a stream is named by 1 to 200 printable ASCII characters without spaces")
    _check_number(draft, "gen", draft.gen)
    if draft.epoch is not None:
        _check_number(draft, "epoch", draft.epoch)
    _check_text(draft, "actor", draft.actor)
    _check_text(draft, "trace", draft.trace)
    if draft.idem is not None:
        _check_text(draft, "idem", draft.idem)


def _check_number(draft: Draft, name: str, number: object) -> None:
    if type(number) is not int or not 0 <= number <= INTEGER_MAX:
        raise _refused(draft, f"{name} must be a whole number from 0 to 2**53 - 1, not {number!r}")


def _check_text(draft: Draft, name: str, text: object) -> None:
    if type(text) is not str or len(text) > TEXT_MAX or "\0" in text:
        raise _refused(draft, f"{name} must be text of at most {TEXT_MAX} characters without NUL")
    if not text.isascii() and not _encodable(text):
        raise _refused(draft, f"{name} holds half of a surrogate pair")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
