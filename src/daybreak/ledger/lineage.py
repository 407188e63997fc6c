"""A log that goes on from a copy of an older one, and how anybody can check that it does.

    leaf 0            `ledger.created` of the new log, which names the old one; in a stream of its own, `keys:<name>`
    leaves 1 to n     the old log's n events, byte for byte: headers, chains, the old key's id
    leaves n + 1 …    what the new log appends, under its own key

So the old log's signed head can be computed again over leaves 1 to n, every proof and hash of then stays good, and no
history exists twice under one name. The old log may itself go on from an older one; then its first event is leaf 1,
the older one's leaf 2, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from daybreak.events import KEYS, LedgerCopy, LedgerCreated
from daybreak.ledger.keyring import KeyHistory, Keyring, root_of
from daybreak.ledger.note import NoteError, Signer, Verifier
from daybreak.ledger.rows import Rows
from daybreak.ledger.tree import Frontier

_CONSENT = b"daybreak: a log goes on from a copy\n"
"""Begins what is signed. No checkpoint begins so: the name of a log has no spaces."""


def first_stream(origin: str, continues: LedgerCopy | None) -> str:
    """Where a log's first event stands; the old one's has the usual place already."""
    return f"{KEYS}:{origin}" if continues is not None else KEYS


def consent(old: Signer, public_key: str, copy: LedgerCopy) -> LedgerCopy:
    """The same, with the old key's word that the log with that public key goes on from it."""
    return msgspec.structs.replace(copy, consent=old.vouch(_statement(public_key, copy)))


def consents(copy: LedgerCopy, public_key: str, old: Verifier | None = None) -> bool:
    """Is the word of the old log's last key good? Without `old`, that is the last one that the copy speaks of."""
    if old is None:
        old = Verifier.parse(copy.handovers[-1].new if copy.handovers else copy.public_key)
    return old.stands_for(_statement(public_key, copy), copy.consent)


def _statement(public_key: str, copy: LedgerCopy) -> bytes:
    plain = msgspec.to_builtins(msgspec.structs.replace(copy, consent=""))
    if not copy.handovers:
        del plain["handovers"]  # as it was signed before there were any
    return _CONSENT + msgspec.json.encode([public_key, plain])


def keyring_of(copy: LedgerCopy, inside: KeyHistory) -> Keyring:
    """The old log's keys: those that the copy speaks of, and those that came after it. Raises NoteError."""
    return Keyring(
        msgspec.structs.replace(inside, first=copy.public_key, rotations=(*inside.rotations, *copy.handovers))
    )


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
    keyring: Keyring | None
    roots: dict[int, bytes]
    """What the rotations in it say of its tree: size -> root."""
    tree: Frontier


class LineageCheck:
    """Whose key each leaf must name, and whether each older log is there as it was signed. Part of `verification`.

    `add(place, what)` takes each finding. For a log that goes on from none, it has nothing to do.
    """

    def __init__(
        self,
        key: Verifier | None,
        created: LedgerCreated | None,
        first_of: Callable[[int], LedgerCreated | None],
        history_of: Callable[[LedgerCreated, int], KeyHistory],
        add: Callable[[str, str], None],
    ) -> None:
        """`key`: that of this log, or its keyring. `history_of` gives the keys of the log that begins at a leaf; raises
        NoteError."""
        self._key = key
        self._plain = None if isinstance(key, Keyring) and key.history.rotations else key
        """This log's only key."""
        self._history_of = history_of
        self._add = add
        self._seen = 0
        self._parts: list[_Part] = []
        if created is None:
            return
        public_key = created.public_key
        for start, copy in enumerate(copies(created, first_of), 1):
            self._parts.append(self._part(start, copy, first_of(start), public_key))
            public_key = copy.public_key

    def keys(self, leaves: Sequence[int]) -> list[str | None]:
        """The id of the key that each of these leaves must name."""
        if not self._parts and self._plain is not None:
            return [self._plain.key_id] * len(leaves)
        if not self._parts and leaves and (key := self._key_of(leaves[0])) == self._key_of(leaves[-1]):
            return [key] * len(leaves)  # no key comes back
        return [self._key_of(leaf) for leaf in leaves]

    def key_over(self, start: int, end: int) -> str | None:
        """The id of the key that all leaves from `start` to before `end` must name. None where there are several, and
        in a log that goes on from another one."""
        if self._parts:
            return None
        first, last = self._key_of(start), self._key_of(end - 1)
        return first if first == last else None  # no key comes back

    def extend(self, hashes: Sequence[bytes]) -> None:
        """The next leaf hashes, in order."""
        if not self._parts:
            return
        for leaf, digest in enumerate(hashes, self._seen):
            for part in self._parts:
                if part.start <= leaf < part.end:
                    root = part.roots.get(part.tree.size)
                    if root is not None and root != part.tree.root():
                        self._add(f"event {leaf}", "a rotation in an old log speaks of other events before it")
                    part.tree.append(digest)
        self._seen += len(hashes)

    def begin(self, leaf: int) -> None:
        """Behind what somebody else has checked: older logs before `leaf` need not be given."""
        self._seen = leaf
        for part in self._parts:
            if part.end > leaf:
                self._add(f"event {part.start - 1}", f"names an old log that was not whole at {leaf} events")
        self._parts = []

    def finish(self) -> None:
        """All leaves were given."""
        for part in self._parts:
            where = f"event {part.start - 1}"
            if part.keyring is None:
                continue  # reported
            try:
                head = part.keyring.open(part.copy.head)
                if part.copy.witnessed and part.keyring.open(part.copy.witnessed).size < head.size:
                    self._add(where, "names a witnessed head of the old log that is older than the copy")
            except NoteError as error:
                self._add(where, f"names a head of the old log that is not signed as it should be: {error}")
                continue
            if head.size != part.copy.size or part.tree.size != head.size or part.tree.root() != head.root:
                self._add(
                    where, f"names an old log of {part.copy.size} events that are not the {part.tree.size} that follow"
                )

    def _key_of(self, leaf: int) -> str | None:
        key = self._key.key_of(leaf) if isinstance(self._key, Keyring) else self._key.key_id if self._key else None
        for part in self._parts:  # each lies inside the one before
            if part.start <= leaf < part.end:
                key = part.keyring.key_of(leaf - part.start) if part.keyring else None
        return key

    def _part(self, start: int, copy: LedgerCopy, first: LedgerCreated | None, public_key: str) -> _Part:
        where, part = f"event {start - 1}", _Part(start, start + copy.size, copy, None, {}, Frontier())
        if first is None or (first.origin, first.public_key) != (copy.origin, copy.public_key):
            self._add(where, f"says that {copy.origin} follows, which event {start} does not begin")
        try:
            inside = self._history_of(LedgerCreated(origin=copy.origin, public_key=copy.public_key), start)
            part.keyring = keyring_of(copy, inside)
            if part.keyring.origin != copy.origin:
                raise NoteError("its origin is not its key's")
            part.roots = {rotated.size: root_of(rotated) for rotated in inside.rotations}
        except NoteError as error:
            self._add(where, f"does not name the old log's key: {error}")
            part.keyring = None
            return part
        if copy.consent and not consents(copy, public_key, part.keyring.present):
            self._add(where, f"the old log's key did not sign that {copy.origin} goes on under this one")
        return part
