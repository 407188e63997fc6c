"""Payloads that can be forgotten: encrypted with a key of their subject, and committed to with a salt.

What is stored in the place of the payload, and hashed, is this JSON:

    {"cipher": "AES-256-GCM",
     "open": {…},          the fields that stay readable; none of an event class that is not Daybreak's own
     "sealed": BASE64}     nonce (12 bytes) ‖ encrypted (salt (32 bytes) ‖ the whole payload) ‖ tag (16 bytes)

The header's `commit` is `KEY:COMMITMENT`: the name of the key (32 hex digits) and the SHA-256 of a prefix, the salt and
the payload. Whoever is given payload and salt can check them against the header; from the header alone nobody can tell
whether a guess is right. Without the key, payload and salt are gone for good, and nothing that was signed has changed.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from daybreak import events
from daybreak.errors import LedgerTampered

if TYPE_CHECKING:
    from daybreak.ids import Entropy

CIPHER = "AES-256-GCM"
KEY_BYTES = 32
SALT_BYTES = 32
_NONCE_BYTES = 12
_COMMITTED = b"daybreak: commitment to a payload\n"
_SEALED = b"daybreak: a payload of the subject "
_COMMIT = re.compile(r"([0-9a-f]{32}):([0-9a-f]{64})")

SECRET, REDACTED = "[secret]", "[redacted]"
"""Stand for text: where it is not shown (views, and whoever is told of appends), and where it was forgotten."""
SECRET_MARK, REDACTED_MARK = "daybreak.secret", "daybreak.redacted"
"""Stand for any other value: an object with this one member, whose value is the name of the key."""


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is stored instead of a payload."""

    cipher: str
    open: dict[str, Any]
    sealed: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Envelope).decode


class Opened(NamedTuple):
    """What a sealed payload says."""

    salt: bytes
    payload: bytes


class Subjects(Protocol):
    """Where the keys are."""

    def box(self, subject: str) -> Box:
        """Of that subject; made where it is new. Raises SubjectGone where it was forgotten."""
        ...

    def find(self, key: str) -> Box | None:
        """The key of that name; None where it was destroyed, or is not here."""
        ...

    def label(self, key: str) -> str:
        """Whose key it is; empty where it is not here."""
        ...


class Secret(NamedTuple):
    """Belongs to a record whose payload is sealed."""

    key: str
    """The name of the key."""
    subjects: Subjects | None = None
    """None: its reader is to see only what stays readable."""


class Sealed(NamedTuple):
    """A payload as it will be stored."""

    box: Box
    commit: str
    payload: bytes
    """The stored bytes."""
    plain: bytes
    subjects: Subjects

    @property
    def secret(self) -> Secret:
        return Secret(self.box.key, self.subjects)


class Box:
    """One subject's key: seals and opens. A key may seal 2**32 payloads before two nonces are likely to be equal."""

    __slots__ = ("_cipher", "_entropy", "key")

    def __init__(self, key: str, secret: bytes, entropy: Entropy = os.urandom) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # only who has secrets pays for it

        self.key = key
        self._cipher = AESGCM(secret)
        self._entropy = entropy

    def seal(self, event: events.Event, payload: bytes, subjects: Subjects) -> Sealed:
        """`payload` is the JSON of the event."""
        salt, nonce = self._entropy(SALT_BYTES), self._entropy(_NONCE_BYTES)
        encrypted = self._cipher.encrypt(nonce, salt + payload, _SEALED + self.key.encode())
        envelope = Envelope(CIPHER, _open_part(event), base64.b64encode(nonce + encrypted).decode())
        return Sealed(self, f"{self.key}:{commitment(salt, payload)}", _encode(envelope), payload, subjects)

    def open(self, stored: bytes) -> Opened:
        """Raises LedgerTampered where these bytes were not sealed with this key."""
        from cryptography.exceptions import InvalidTag

        try:
            sealed = base64.b64decode(_decode(stored).sealed, validate=True)
            found = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _SEALED + self.key.encode())
        except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, ValueError, InvalidTag) as error:
            raise LedgerTampered(
                f"a payload that names the subject key {self.key} was not sealed with it",
                hint="put the right key file back, or run `daybreak ledger verify`.",
            ) from error
        return Opened(found[:SALT_BYTES], found[SALT_BYTES:])


def can_be_sealed(event: events.Event) -> bool:
    """Of our own classes those of which it is said what is secret in them; every class of somebody else."""
    return event.type in events.PERSONAL or event.type not in events.BY_TYPE


def commitment(salt: bytes, payload: bytes) -> str:
    """In hex."""
    return sha256(_COMMITTED + salt + payload).hexdigest()


def commits_to(commit: str | None, salt: bytes, payload: bytes) -> bool:
    """Is it these that a header's `commit` was made of?"""
    found = _COMMIT.fullmatch(commit or "")
    return found is not None and len(salt) == SALT_BYTES and found[2] == commitment(salt, payload)


def key_of(commit: str) -> str:
    """The name of the key in a header's `commit`; empty where it is none."""
    found = _COMMIT.fullmatch(commit)
    return "" if found is None else found[1]


def needle(key: str) -> str:
    """What stands in the header of each event that the key sealed, and in no other: quotes in text are escaped."""
    return f'"commit":"{key}:'


def problem(commit: str, stored: bytes) -> str:
    """What is wrong with the form of a sealed payload; empty: nothing."""
    if not key_of(commit):
        return "its header's commitment is none"
    try:
        envelope = _decode(stored)
        sealed = base64.b64decode(envelope.sealed, validate=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, ValueError) as error:
        return f"its header holds a commitment, but its payload is not sealed: {error}"
    if envelope.cipher != CIPHER:
        return f"its payload is sealed with {envelope.cipher[:40]!r}, which this version does not know"
    if len(sealed) < _NONCE_BYTES + SALT_BYTES + 16:
        return "its sealed payload is too short to be one"
    return ""


def words(kind: str, stored: bytes, secret: Secret) -> bytes:
    """The payload as JSON, as far as its reader may and can see it. Raises LedgerTampered."""
    if secret.subjects is None:
        return _masked(kind, stored, secret.key, SECRET, SECRET_MARK)
    box = secret.subjects.find(secret.key)
    if box is None:
        return _masked(kind, stored, secret.key, REDACTED, REDACTED_MARK)
    return box.open(stored).payload


def stripped(event: events.Event, key: str) -> events.Event:
    """The event as it would read if it had been sealed and forgotten, for what must be said all the same."""
    masks = _masks(event.type, key, REDACTED, REDACTED_MARK)
    return msgspec.structs.replace(event, **{name: mask for name, mask in masks.items() if getattr(event, name)})


def is_secret(value: object) -> bool:
    """Does it stand for something that a view must not show?"""
    return isinstance(value, dict) and set(value) == {SECRET_MARK}


def _open_part(event: events.Event) -> dict[str, Any]:
    if event.type not in events.BY_TYPE:
        return {}
    personal = events.PERSONAL[event.type]
    return {name: getattr(event, name) for name in event.__struct_fields__ if name not in personal}


def _masked(kind: str, stored: bytes, key: str, text: str, mark: str) -> bytes:
    try:
        envelope = _decode(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LedgerTampered(
            f"a sealed {kind} cannot be read: {error}", hint="run `daybreak ledger verify`, which names its place."
        ) from error
    return _encode({**envelope.open, **_masks(kind, key, text, mark)})


def _masks(kind: str, key: str, text: str, mark: str) -> dict[str, Any]:
    if kind not in events.PERSONAL:
        return {mark: key}
    return {name: text if is_text else {mark: key} for name, is_text in _personal(kind)}


@cache
def _personal(kind: str) -> tuple[tuple[str, bool], ...]:
    """The secret fields of a class of our own, and whether each is text."""
    types = {one.name: one.type for one in msgspec.structs.fields(events.BY_TYPE[kind])}
    return tuple((name, types[name] is str) for name in events.PERSONAL[kind])
