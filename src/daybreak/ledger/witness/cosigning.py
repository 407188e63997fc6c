"""C2SP cosignatures by Ed25519 (`cosignature/v1`): a witness's word that a checkpoint continues all that it saw before.

The signature is over `cosignature/v1`, a line with the time, and the checkpoint's text. Keys are written as those of
signed notes, with 0x04 as the type. Format: https://c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from daybreak.ledger.note import NoteError

_TYPE = b"\x04"
_PRIVATE = "PRIVATE+KEY+"
_BLOB_BYTES = 4 + 8 + 64
_TIME_MAX = 253_402_300_799
"""The last second of the year 9999: later ones are no moments here."""
_NAME = re.compile(r"[^\s+]{1,255}")


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness has seen this checkpoint, and it continued what it had seen before."""

    name: str
    key_id: str
    at: datetime
    line: str
    """As it stands in a note, with its end of line."""


class CosignerKey:
    """Checks cosignatures of one witness."""

    __slots__ = ("_id", "_key", "key_id", "name", "text")

    def __init__(self, name: str, public: bytes) -> None:
        """Raises NoteError for a name that no note can hold."""
        _check_name(name)
        self.name = name
        self._key = Ed25519PublicKey.from_public_bytes(public)
        self._id = _key_id(name, public)
        self.key_id = self._id.hex()
        self.text = f"{name}+{self.key_id}+{base64.b64encode(_TYPE + public).decode()}"
        """The C2SP verification key."""

    @classmethod
    def parse(cls, text: str) -> CosignerKey:
        """Raises NoteError."""
        name, key_id, public = _parts(text.strip())
        key = cls(name, public)
        if key.key_id != key_id:
            raise NoteError("the key's id does not belong to the key")
        return key

    def find(self, note: str) -> Cosignature | None:
        """This witness's cosignature in a note, the newest of several; None where there is none.
        Raises NoteError where one by that name and key does not fit the note's text."""
        found: Cosignature | None = None
        text = body(note)
        for line in note[len(text) + 1 :].splitlines(keepends=True):
            at = self._checked(text, line)
            if at is not None and (found is None or at > found.at):
                found = Cosignature(self.name, self.key_id, at, line)
        return found

    def _checked(self, text: str, line: str) -> datetime | None:
        prefix = f"— {self.name} "
        if not line.startswith(prefix) or not line.endswith("\n"):
            return None
        try:
            blob = base64.b64decode(line[len(prefix) : -1], validate=True)
        except (binascii.Error, ValueError) as error:
            raise NoteError(f"a signature of {self.name} is not base64") from error
        if blob[:4] != self._id:
            return None
        seconds = int.from_bytes(blob[4:12], "big")
        if len(blob) != _BLOB_BYTES or seconds > _TIME_MAX:
            raise NoteError(f"the cosignature of {self.name} is not well formed")
        try:
            self._key.verify(blob[12:], _message(text, seconds))
        except InvalidSignature as error:
            raise NoteError(f"the cosignature of {self.name} does not fit the checkpoint") from error
        return datetime.fromtimestamp(seconds, UTC)


class Cosigner:
    """Signs as a witness. Whoever uses it must have made sure that the checkpoint continues the last one."""

    __slots__ = ("_id", "_key", "_seed", "key")

    def __init__(self, name: str, seed: bytes) -> None:
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self.key = CosignerKey(name, public)
        self._id = _key_id(name, public)

    @classmethod
    def parse(cls, text: str) -> Cosigner:
        """From a signing key in the C2SP form. Raises NoteError."""
        text = text.strip()
        if not text.startswith(_PRIVATE):
            raise NoteError("it is not a signing key")
        name, key_id, seed = _parts(text[len(_PRIVATE) :])
        cosigner = cls(name, seed)
        if cosigner.key.key_id != key_id:
            raise NoteError("the key's id does not belong to the key")
        return cosigner

    @property
    def text(self) -> str:
        """The signing key in the C2SP form: a secret."""
        return f"{_PRIVATE}{self.key.name}+{self.key.key_id}+{base64.b64encode(_TYPE + self._seed).decode()}"

    def sign(self, note: str, at: datetime) -> str:
        """The line to be added to the note, with its end of line."""
        seconds = int(at.timestamp())
        signature = self._key.sign(_message(body(note), seconds))
        blob = self._id + seconds.to_bytes(8, "big") + signature
        return f"— {self.key.name} {base64.b64encode(blob).decode()}\n"


def body(note: str) -> str:
    """The text of a signed note with its last end of line. Raises NoteError."""
    text, gap, signatures = note.partition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise NoteError("it is not a signed note")
    return text + "\n"


def joined(*notes: str) -> str:
    """One note with the signatures of all, of each key the last one. Raises NoteError where their texts differ."""
    text = body(notes[0])
    if any(body(note) != text for note in notes[1:]):
        raise NoteError("the notes are not of one checkpoint")
    lines = [line for note in notes for line in note[len(text) + 1 :].splitlines(keepends=True)]
    by_key = {_signer(line): line for line in lines}
    return f"{text}\n{''.join(by_key.values())}"


def _signer(line: str) -> str:
    """Name and key id of a signature: 4 bytes are in the first 6 characters of base64, with 4 bits of what follows."""
    name, _, blob = line.rpartition(" ")
    try:
        return f"{name} {base64.b64decode(blob[:8])[:4].hex()}"
    except (binascii.Error, ValueError):
        return line


def _message(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + _TYPE + public).digest()[:4]


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or not name.isprintable():
        raise NoteError(f"{name!r:.80} is not the name of a witness")


def _parts(text: str) -> tuple[str, str, bytes]:
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NoteError("it is not a key: it should read name+id+base64")
    try:
        key = base64.b64decode(parts[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("the key is not base64") from error
    if len(key) != 33 or key[:1] != _TYPE:
        raise NoteError("it is not the key of a witness (Ed25519 cosignatures, type 4)")
    _check_name(parts[0])
    return parts[0], parts[1], key[1:]
