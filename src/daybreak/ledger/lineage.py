"""A log that goes on from a copy of an older one, and how anybody can check that it does.

    leaf 0            `ledger.created` of the new log, which names the old one; in a stream of its own, `keys:<name>`
    leaves 1 to n     the old log's n events, byte for byte: headers, chains, the old key's id
    leaves n + 1 …    what the new log appends, under its own key

So the old log's signed head can be computed again over leaves 1 to n, every proof and hash of then stays good, and no
history exists twice under one name. The old log may itself go on from an older one; then its first event is leaf 1,
the older one's leaf 2, and so on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from daybreak.events import KEYS, LedgerCopy, LedgerCreated
from daybreak.ledger.note import NoteError, Signer, Verifier
from daybreak.ledger.rows import Rows
from daybreak.ledger.tree import Frontier

_PRIVATE = "PRIVATE+KEY+"
_CONSENT = b"daybreak: a log goes on from a copy\n"
"""Begins what is signed. No checkpoint begins so: the name of a log has no spaces."""


def first_stream(origin: str, continues: LedgerCopy | None) -> str:
    """Where a log's first event stands; the old one's has the usual place already."""
    return f"{KEYS}:{origin}" if continues is not None else KEYS


def consent(old: Signer, public_key: str, copy: LedgerCopy) -> LedgerCopy:
    """The same, with the old key's word that the log with that public key goes on from it."""
    key = Ed25519PrivateKey.from_private_bytes(_bytes_of(old.text.removeprefix(_PRIVATE)))
    signature = key.sign(_statement(public_key, copy))
    return msgspec.structs.replace(copy, consent=base64.b64encode(signature).decode())


def consents(copy: LedgerCopy, public_key: str) -> bool:
    """Is the old key's word good?"""
    try:
        raw = _bytes_of(Verifier.parse(copy.public_key).text)
        signature = base64.b64decode(copy.consent, validate=True)
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, _statement(public_key, copy))
    except (NoteError, InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _bytes_of(key: str) -> bytes:
    """Of a key in the C2SP form: origin, id and base64 of a type byte and the key, with `+` between."""
    return base64.b64decode(key.split("+", 2)[2])[1:]


def _statement(public_key: str, copy: LedgerCopy) -> bytes:
    plain = msgspec.structs.replace(copy, consent="")
    return _CONSENT + msgspec.json.encode([public_key, plain])


def copies(created: LedgerCreated, first_of: Callable[[int], LedgerCreated | None]) -> Iterator[LedgerCopy]:
    """The older logs in this one, the newest first. `first_of(leaf)` gives the `ledger.created` that stands there."""
    leaf = 0
    current: LedgerCreated | None = created
    while current is not None and current.continues is not None:
        yield current.continues
        leaf += 1
        current = first_of(leaf)


def logs(read: Rows) -> list[str]:
    """The names of this log and of the older ones in it, the newest first; none where it goes on from none."""

    def first_of(leaf: int) -> LedgerCreated | None:
        event = next((record.event for record in read.page(leaf - 1, 1)), None)
        return event if isinstance(event, LedgerCreated) else None

    created = first_of(0)
    if created is None or created.continues is None:
        return []
    return [created.origin, *(copy.origin for copy in copies(created, first_of))]


@dataclass(slots=True)
class _Part:
    """One older log: the leaves from `start` up to but not including `end`."""

    start: int
    end: int
    copy: LedgerCopy
    verifier: Verifier | None
    tree: Frontier


class LineageCheck:
    """Whose key each leaf must name, and whether each older log is there as it was signed. Part of `verification`.

    `add(place, what)` takes each finding. For a log that goes on from none, it has nothing to do.
    """

    def __init__(
        self,
        key_id: str | None,
        created: LedgerCreated | None,
        first_of: Callable[[int], LedgerCreated | None],
        add: Callable[[str, str], None],
    ) -> None:
        self._key_id = key_id
        self._add = add
        self._seen = 0
        self._parts: list[_Part] = []
        if created is None:
            return
        public_key = created.public_key
        for start, copy in enumerate(copies(created, first_of), 1):
            self._parts.append(_Part(start, start + copy.size, copy, self._verifier(start, copy), Frontier()))
            self._check(start, copy, first_of(start), public_key)
            public_key = copy.public_key

    def keys(self, leaves: Sequence[int]) -> list[str | None]:
        """The id of the key that each of these leaves must name."""
        if not self._parts:
            return [self._key_id] * len(leaves)
        return [self._key_of(leaf) for leaf in leaves]

    def extend(self, hashes: Sequence[bytes]) -> None:
        """The next leaf hashes, in order."""
        if not self._parts:
            return
        for leaf, digest in enumerate(hashes, self._seen):
            for part in self._parts:
                if part.start <= leaf < part.end:
                    part.tree.append(digest)
        self._seen += len(hashes)

    def finish(self) -> None:
        """All leaves were given."""
        for part in self._parts:
            where = f"event {part.start - 1}"
            if part.verifier is None:
                continue  # reported
            try:
                head = part.verifier.open(part.copy.head)
                if part.copy.witnessed and part.verifier.open(part.copy.witnessed).size < head.size:
                    self._add(where, "names a witnessed head of the old log that is older than the copy")
            except NoteError as error:
                self._add(where, f"names a head of the old log that is not signed as it should be: {error}")
                continue
            if head.size != part.copy.size or part.tree.size != head.size or part.tree.root() != head.root:
                self._add(
                    where, f"names an old log of {part.copy.size} events that are not the {part.tree.size} that follow"
                )

    def _key_of(self, leaf: int) -> str | None:
        key = self._key_id
        for part in self._parts:  # each lies inside the one before
            if part.start <= leaf < part.end:
                key = part.verifier.key_id if part.verifier else None
        return key

    def _verifier(self, start: int, copy: LedgerCopy) -> Verifier | None:
        try:
            verifier = Verifier.parse(copy.public_key)
            if verifier.origin != copy.origin:
                raise NoteError("its origin is not its key's")
        except NoteError as error:
            self._add(f"event {start - 1}", f"does not name the old log's key: {error}")
            return None
        return verifier

    def _check(self, start: int, copy: LedgerCopy, first: LedgerCreated | None, public_key: str) -> None:
        where = f"event {start - 1}"
        if first is None or (first.origin, first.public_key) != (copy.origin, copy.public_key):
            self._add(where, f"says that {copy.origin} follows, which event {start} does not begin")
        if copy.consent and not consents(copy, public_key):
            self._add(where, f"the old log's key did not sign that {copy.origin} goes on under this one")
