"""Whose ledger is it: the key that its first event names, the keys that came after, the head that they signed. Part of
`verification`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import msgspec

from daybreak.errors import DaybreakError
from daybreak.events import LedgerCreated
from daybreak.ledger import rotation
from daybreak.ledger.keyring import KeyHistory, Keyring, root_of
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.record import decode_header
from daybreak.ledger.rows import Rows


class KeyCheck:
    """For one database. `add(place, what)` takes each finding; `ask(place, sql, …)` gives rows, and none where that
    fails, which it says."""

    def __init__(
        self,
        rows: Rows,
        verifier: Verifier | None,
        ask: Callable[..., list[tuple[Any, ...]]],
        add: Callable[[str, str], None],
    ) -> None:
        """`verifier`: the key that is known outside."""
        self.verifier = verifier
        self.created: LedgerCreated | None = None
        """The first event; None where it cannot be read."""
        self.roots: dict[int, bytes] = {}
        """What the rotations of the key say of the tree: size -> root."""
        self._rows = rows
        self._ask = ask
        self._add = add

    def first(self) -> None:
        """The key that the ledger itself names; with no other known, `verifier` is that one then."""
        for header, payload in self._ask("table event, event 0", "SELECT header, payload FROM event WHERE leaf = 0"):
            try:
                if not isinstance(header, bytes) or decode_header(header).type != LedgerCreated.type:
                    raise NoteError("it is not ledger.created")
                created = msgspec.json.decode(payload if isinstance(payload, bytes) else b"", type=LedgerCreated)
                named = Verifier.parse(created.public_key)
                if named.origin != created.origin:
                    raise NoteError("its origin is not its key's")
            except (msgspec.MsgspecError, NoteError, UnicodeDecodeError) as error:
                self._add("event 0", f"does not name the ledger's key: {error}")
                return
            self.created = created
            self._keys(created, named)
            return
        self._add("event 0", "is not there: the ledger does not say whose it is")

    def _keys(self, created: LedgerCreated, named: Verifier) -> None:
        """All keys that the ledger had. Whichever of them is known, the others are vouched for by it."""
        try:
            history = self.history_of(created, 0)
        except NoteError as error:
            self._add("stream keys", str(error))
            history = Keyring.of(named).history
        known = Keyring.of(self.verifier or named)
        before = known.history
        if not known.learn(history):
            self._add("event 0", f"names the key {named.text}, the ledger's key is {known.text}")
            return
        if known.history.rotations != history.rotations:
            self._add("stream keys", "does not know of a rotation of the key that is known outside")
        elif not set(before.revocations) <= set(history.revocations):
            self._add("stream keys", "does not know of a revocation that is known outside")
        self.verifier = known
        self.roots = {rotated.size: root_of(rotated) for rotated in history.rotations}

    def history_of(self, created: LedgerCreated, start: int) -> KeyHistory:
        """Raises NoteError."""
        try:
            return rotation.read(self._rows, created, start)
        except (DaybreakError, msgspec.MsgspecError, apsw.Error, UnicodeDecodeError, OSError) as error:
            raise NoteError(f"what it says of the keys cannot be used: {error}") from error

    def first_of(self, leaf: int) -> LedgerCreated | None:
        """The first event of an older log that this one goes on from; None where there is none that can be read."""
        for row in self._ask(f"event {leaf}", "SELECT leaf, header, payload FROM event WHERE leaf = ?", leaf):
            try:
                event = self._rows.record(*row)[0].event
            except (DaybreakError, msgspec.MsgspecError, UnicodeDecodeError, OSError):
                return None  # reported with the event
            return event if isinstance(event, LedgerCreated) else None
        return None

    def head(self) -> Checkpoint | None:
        rows = self._ask("table head", "SELECT one, size, note FROM head")
        if len(rows) != 1:
            self._add("table head", f"holds {len(rows)} signed heads, not 1")
            return None
        one, size, note = rows[0]
        if self.verifier is None:
            self._add("table head", "cannot be checked: no key is known")
            return None
        try:
            head = self.verifier.open(str(note))
        except NoteError as error:
            self._add("table head", f"is not signed as it should be: {error}")
            return None
        if head.size != size or one != 1:
            self._add("table head", f"row {one!r} says {size!r} events, {head.size} were signed")
        return head
