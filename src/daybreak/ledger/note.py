"""C2SP signed notes and checkpoints: how a head of the tree looks on disk and to others.

A checkpoint is `origin\\nsize\\nbase64(root)\\n`, then an empty line, then `— origin base64(key id ‖ signature)\\n`.
A verification key is `origin+key id in hex+base64(0x01 ‖ public key)`; a signing key is that with the seed and the
prefix `PRIVATE+KEY+`. Formats: https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519 = b"\x01"
_PRIVATE = "PRIVATE+KEY+"


class NoteError(ValueError):
    """A note or a key is not well formed, or its signature is not by this key."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed head: the tree of `size` leaves has this `root`. `text` is the whole signed note."""

    origin: str
    size: int
    root: bytes
    text: str


def _key_id(origin: str, public: bytes) -> bytes:
    return sha256(origin.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _unbase64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{what} is not base64") from error


class Verifier:
    """Checks notes of one origin and one key."""

    __slots__ = ("_key", "_key_id", "key_id", "origin", "text")

    def __init__(self, origin: str, public: bytes) -> None:
        if not origin or "+" in origin or any(mark.isspace() for mark in origin):
            raise NoteError(f"{origin!r} is not the name of a ledger")
        self.origin = origin
        self._key = Ed25519PublicKey.from_public_bytes(public)
        self._key_id = _key_id(origin, public)
        self.key_id = self._key_id.hex()
        """Eight hex digits, as in the headers' `key`."""
        self.text = f"{origin}+{self.key_id}+{base64.b64encode(_ED25519 + public).decode()}"
        """The C2SP verification key."""

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """From a C2SP verification key; raises NoteError."""
        origin, key_id, key = _key_parts(text.strip())
        try:
            verifier = cls(origin, key)
        except ValueError as error:
            raise NoteError(str(error)) from error
        if verifier.key_id != key_id:
            raise NoteError("the key's id does not belong to the key")
        return verifier

    def open(self, note: str) -> Checkpoint:
        """The checkpoint in a signed note; raises NoteError where anything at all is not as it was signed."""
        body, gap, signatures = note.partition("\n\n")
        body += "\n"
        if not gap or not signatures.endswith("\n"):
            raise NoteError("it is not a signed note")
        prefix = f"— {self.origin} "
        for line in signatures[:-1].split("\n"):
            if not line.startswith(prefix):
                continue
            blob = _unbase64(line[len(prefix) :], "the signature")
            if blob[:4] != self._key_id:
                continue
            try:
                self._key.verify(blob[4:], body.encode())
            except InvalidSignature as error:
                raise NoteError("its signature does not fit its text") from error
            return self._read(body, note)
        raise NoteError(f"it is not signed by the key {self.key_id} of {self.origin}")

    def signed(self, note: str) -> bool:
        """Does it bear a signature that says that it is this key's? Whether it is, `open` finds out."""
        prefix = f"— {self.origin} "
        for line in note.partition("\n\n")[2].split("\n"):
            if line.startswith(prefix):
                with contextlib.suppress(NoteError):
                    if _unbase64(line[len(prefix) :], "the signature")[:4] == self._key_id:
                        return True
        return False

    def stands_for(self, statement: bytes, signature: str) -> bool:
        """Is this the key's signature (in base64) under a statement that is no checkpoint?"""
        try:
            raw = base64.b64decode(signature, validate=True)
            if base64.b64encode(raw).decode() != signature:
                return False  # bits that mean nothing: a second form of the same
            self._key.verify(raw, statement)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    def _read(self, body: str, note: str) -> Checkpoint:
        lines = body[:-1].split("\n")
        if len(lines) != 3 or lines[0] != self.origin:
            raise NoteError("it is not a checkpoint of this ledger")
        if not lines[1].isascii() or not lines[1].isdigit() or str(int(lines[1])) != lines[1]:
            raise NoteError(f"{lines[1]!r} is not a size")
        root = _unbase64(lines[2], "the root")
        if len(root) != 32:
            raise NoteError("the root is not 32 bytes")
        return Checkpoint(self.origin, int(lines[1]), root, note)


class Signer:
    """Signs checkpoints of one origin; about 30 µs each."""

    __slots__ = ("_key", "_prefix", "_seed", "verifier")

    def __init__(self, origin: str, seed: bytes) -> None:
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self.verifier = Verifier(origin, public)
        self._prefix = _key_id(origin, public)

    @classmethod
    def parse(cls, text: str) -> Signer:
        """From a C2SP signing key; raises NoteError."""
        text = text.strip()
        if not text.startswith(_PRIVATE):
            raise NoteError("it is not a signing key")
        origin, key_id, seed = _key_parts(text[len(_PRIVATE) :])
        try:
            signer = cls(origin, seed)
        except ValueError as error:
            raise NoteError(str(error)) from error
        if signer.verifier.key_id != key_id:
            raise NoteError("the key's id does not belong to the key")
        return signer

    @property
    def text(self) -> str:
        """The C2SP signing key: a secret."""
        key = base64.b64encode(_ED25519 + self._seed).decode()
        return f"{_PRIVATE}{self.verifier.origin}+{self.verifier.key_id}+{key}"

    def vouch(self, statement: bytes) -> str:
        """The key's signature, in base64, under a statement, which must begin as no checkpoint can: its first line
        holds a space."""
        assert b" " in statement.partition(b"\n")[0]
        return base64.b64encode(self._key.sign(statement)).decode()

    def sign(self, size: int, root: bytes) -> Checkpoint:
        origin = self.verifier.origin
        body = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
        signature = base64.b64encode(self._prefix + self._key.sign(body.encode())).decode()
        return Checkpoint(origin, size, root, f"{body}\n— {origin} {signature}\n")


def _key_parts(text: str) -> tuple[str, str, bytes]:
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NoteError("it is not a key: it should read origin+id+base64")
    origin, key_id, encoded = parts
    key = _unbase64(encoded, "the key")
    if len(key) != 33 or key[:1] != _ED25519:
        raise NoteError("it is not an Ed25519 key")
    return origin, key_id, key[1:]
