"""Which keys a ledger had, from which size to which: how a head by any of them is checked, offline.

A ledger has one key at a time. When it gets another one, both keys sign a statement (`KeyRotated`): the old key signed
every head up to `size` events with that `root`, the new one signs from then on. So whoever trusts any one key of the
chain can tell all the others: later ones by the older keys' signatures, earlier ones by the later keys'. A later key
can also say that an earlier one was no longer to be believed from some size on (`KeyRevoked`).

A statement stands alone: it is checked with the keys in it, whatever it was found in.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import msgspec

from daybreak.events import KeyRevoked, KeyRotated
from daybreak.ledger.note import Checkpoint, NoteError, Signer, Verifier

FORMAT: Final = "daybreak-keys/1"
HISTORY_BYTES = 1024 * 1024
"""The longest text of a history that is read; a rotation has about 700 bytes."""

_ROTATION = b"daybreak: a key is handed over\n"
_REVOCATION = b"daybreak: a key is revoked\n"


class KeyHistory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All keys of one ledger, in the order in which they signed, and what was revoked. Means nothing before `keyring`
    has checked it."""

    format: Literal["daybreak-keys/1"]
    first: str
    """The verification key that the ledger began with."""
    rotations: tuple[KeyRotated, ...] = ()
    revocations: tuple[KeyRevoked, ...] = ()

    @classmethod
    def parse(cls, text: str | bytes) -> KeyHistory:
        """From JSON. Raises NoteError where it is none, or where a signature in it is not good."""
        if len(text) > HISTORY_BYTES:
            raise NoteError(f"it is longer than {HISTORY_BYTES} bytes")
        try:
            history = msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise NoteError(f"it is no list of keys: {error}") from error
        history.spans()
        return history

    @property
    def text(self) -> str:
        """One line of JSON and a line end."""
        return msgspec.json.encode(self).decode() + "\n"

    @property
    def keys(self) -> list[str]:
        """Every verification key, the first one first."""
        return [self.first, *(rotation.new for rotation in self.rotations)]

    def begins(self, longer: KeyHistory) -> bool:
        """Does the other one go on from this one, or say the same? Revocations are left aside."""
        return self.first == longer.first and longer.rotations[: len(self.rotations)] == self.rotations

    def joined(self, other: KeyHistory) -> KeyHistory:
        """What both say of one chain. Raises NoteError where they tell of two chains."""
        low, high = sorted((self, other), key=lambda history: len(history.rotations))
        if not low.begins(high):
            raise NoteError("two histories of its keys were signed: they do not hand over to the same keys")
        more = tuple(revoked for revoked in other.revocations if revoked not in self.revocations)
        return KeyHistory(FORMAT, self.first, high.rotations, (*self.revocations, *more))

    def spans(self) -> tuple[Span, ...]:
        """The keys with their sizes, the oldest first. Raises NoteError where anything is not as it was signed."""
        verifiers = [Verifier.parse(self.first)]
        for rotation in self.rotations:
            verifiers.append(_check_rotation(rotation, verifiers[-1].text))
        starts = [-1, *(rotation.size for rotation in self.rotations)]
        ends: list[int | None] = [*starts[1:], None]
        if any(end is not None and end <= start for start, end in zip(starts, ends, strict=True)):
            raise NoteError("its keys were not handed over one after the other")
        if len({verifier.key_id for verifier in verifiers}) < len(verifiers):
            raise NoteError("two of its keys have the same id")
        revoked = _revoked(self.revocations, verifiers)
        return tuple(
            Span(verifier, start, end, *revoked.get(at, (None, "")))
            for at, (verifier, start, end) in enumerate(zip(verifiers, starts, ends, strict=True))
        )


@dataclass(frozen=True, slots=True)
class Span:
    """One key and the heads that it signs: of more than `start` events and at most `end`."""

    verifier: Verifier
    start: int
    """Also the index of the first event that names it; -1 for the ledger's first key, which signs an empty tree too."""
    end: int | None
    """None: it is the present key."""
    revoked: int | None = None
    """Where it was revoked: heads of more events than this are refused."""
    why: str = ""
    """It was revoked."""

    def refuses(self, size: int) -> str:
        """Why a head of so many events by this key is not believed; empty where it is."""
        who = f"it is of {size} events and signed by the key {self.verifier.key_id}, which"
        if self.revoked is not None and size > self.revoked:
            return f"{who} was revoked from {self.revoked} events on" + (f" ({self.why})" if self.why else "")
        if self.end is not None and size > self.end:
            return f"{who} handed over at {self.end} events"
        return f"{who} signs from {self.start + 1} events on" if size <= self.start else ""


class KeyEnded(NoteError):
    """The signature is good, but the key was not to be believed for a head of that size: it had handed over, was
    revoked, or had not begun."""


class Keyring(Verifier):
    """Checks notes of one ledger by whichever of its keys had to sign them. `text` and `key_id` are the present key's.

    Safe to use from several threads.
    """

    __slots__ = ("_source", "history", "spans")

    def __init__(self, history: KeyHistory, source: Callable[[], KeyHistory | None] | None = None) -> None:
        """`source` is asked where a note is by a key that is not known here: another process may have rotated. Raises
        NoteError where anything in the history is not as it was signed."""
        self._source = source
        self.spans: tuple[Span, ...] = ()
        self._take(history)

    def _take(self, history: KeyHistory) -> None:
        spans = history.spans()
        present = spans[-1].verifier
        raw = base64.b64decode(present.text.split("+", 2)[2])[1:]
        super().__init__(present.origin, raw)
        self.history, self.spans = history, spans

    @classmethod
    def of(cls, verifier: Verifier, source: Callable[[], KeyHistory | None] | None = None) -> Keyring:
        """The same keys: one for a plain verifier."""
        if isinstance(verifier, Keyring):
            return cls(verifier.history, source or verifier._source)
        return cls(KeyHistory(FORMAT, verifier.text), source)

    @property
    def present(self) -> Verifier:
        """The key that signs now, alone."""
        return self.spans[-1].verifier

    @property
    def key_ids(self) -> list[str]:
        return [span.verifier.key_id for span in self.spans]

    def learn(self, history: KeyHistory) -> bool:
        """Take over what a longer history says, and that of one that begins earlier, if it holds the first key known
        here. False, and nothing is changed, where it is of another chain. Raises NoteError."""
        mine = self.history
        if mine.first != history.first:
            keys = history.keys
            if mine.first not in keys:
                return False
            at = keys.index(mine.first)
            mine = KeyHistory(FORMAT, history.first, history.rotations[:at] + mine.rotations, mine.revocations)
        if not (mine.begins(history) or history.begins(mine)):
            return False
        self._take(mine.joined(history))
        return True

    def learn_more(self) -> bool:
        """Ask the source; False where it has nothing to say."""
        found = None if self._source is None else self._source()
        return found is not None and self.learn(found)

    def open(self, note: str) -> Checkpoint:
        return self.opened(note)[0]

    def opened(self, note: str) -> tuple[Checkpoint, Verifier]:
        """The checkpoint and the key that signed it. Raises NoteError; KeyEnded where a key had no say in it."""
        span = self._span(note)
        if span is None and self.learn_more():
            span = self._span(note)
        if span is None:
            return self.present.open(note), self.present  # says what is wrong with it
        checkpoint = span.verifier.open(note)
        why = span.refuses(checkpoint.size)
        if why:
            raise KeyEnded(why)
        return checkpoint, span.verifier

    def _span(self, note: str) -> Span | None:
        for span in reversed(self.spans):
            if span.verifier.signed(note):
                return span
        return None

    def key_of(self, leaf: int) -> str:
        """The id that the header of event `leaf` must name."""
        for span in reversed(self.spans):
            if leaf >= span.start:
                return span.verifier.key_id
        return self.spans[0].verifier.key_id


# -- statements


def rotation(old: Signer, new: Signer, size: int, root: bytes, why: str) -> KeyRotated:
    """Signed by both."""
    plain = KeyRotated(
        origin=old.verifier.origin,
        old=old.verifier.text,
        new=new.verifier.text,
        size=size,
        root=base64.b64encode(root).decode(),
        why=why,
    )
    said = _statement(plain)
    return msgspec.structs.replace(plain, by_old=old.vouch(said), by_new=new.vouch(said))


def revocation(signer: Signer, key: Verifier, size: int, why: str) -> KeyRevoked:
    """Signed by the present key."""
    plain = KeyRevoked(origin=key.origin, key=key.text, size=size, why=why, by=signer.verifier.text)
    return msgspec.structs.replace(plain, signature=signer.vouch(_statement(plain)))


def root_of(rotated: KeyRotated) -> bytes:
    """Of the tree over the events before it. Raises NoteError."""
    try:
        root = base64.b64decode(rotated.root, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("the root in a rotation is not base64") from error
    if len(root) != 32:
        raise NoteError("the root in a rotation is not 32 bytes")
    return root


def _statement(said: KeyRotated | KeyRevoked) -> bytes:
    """What is signed: the fields that are no signatures, in their order."""
    fields = msgspec.to_builtins(said)
    kept = {name: value for name, value in fields.items() if name not in ("by_old", "by_new", "signature")}
    return (_ROTATION if isinstance(said, KeyRotated) else _REVOCATION) + msgspec.json.encode(kept)


@lru_cache(1024)
def _check_rotation(rotated: KeyRotated, key: str) -> Verifier:
    """The new key, which `key` handed over to. Raises NoteError. (Kept: whoever opens a ledger asks several times, and
    two signatures take a quarter of a millisecond.)"""
    old = Verifier.parse(key)
    if rotated.old != old.text:
        raise NoteError(f"a rotation at {rotated.size} events does not hand over from the key {old.key_id}")
    new = Verifier.parse(rotated.new)
    if rotated.origin != old.origin or new.origin != old.origin:
        raise NoteError(f"a rotation at {rotated.size} events is of another ledger")
    root_of(rotated)
    said = _statement(rotated)
    for verifier, signature in ((old, rotated.by_old), (new, rotated.by_new)):
        if not verifier.stands_for(said, signature):
            raise NoteError(f"the rotation at {rotated.size} events is not signed by the key {verifier.key_id}")
    return new


@lru_cache(1024)
def _is_signed(revoked: KeyRevoked) -> bool:
    """By the key that it names."""
    return Verifier.parse(revoked.by).stands_for(_statement(revoked), revoked.signature)


def _revoked(revocations: Sequence[KeyRevoked], verifiers: Sequence[Verifier]) -> dict[int, tuple[int, str]]:
    """Place of each revoked key -> from which size on, and why. Raises NoteError."""
    places = {verifier.text: at for at, verifier in enumerate(verifiers)}
    found: dict[int, tuple[int, str]] = {}
    for revoked in revocations:
        at, by = places.get(revoked.key), places.get(revoked.by)
        if at is None or by is None or by <= at or revoked.size < 0:
            raise NoteError("a revocation is not of one of its keys, by a later one")
        if not _is_signed(revoked):
            raise NoteError(f"the revocation of the key {verifiers[at].key_id} is not signed by {verifiers[by].key_id}")
        if at not in found or revoked.size < found[at][0]:
            found[at] = (revoked.size, revoked.why)
    return found
