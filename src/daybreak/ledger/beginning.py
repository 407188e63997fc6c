"""Where an incremental check begins: at a verified head, with its tree from the tiles and its streams from their last
events. Part of `verification`.

Nothing is believed that does not fit: the head must be signed by the ledger's key, its root must come out of the tiles,
and the header before a stream's first new event must hash to what that event names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import apsw
import msgspec

from daybreak.errors import DaybreakError
from daybreak.ledger.admission import START, Tip
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.record import decode_header, place
from daybreak.ledger.rows import Rows
from daybreak.ledger.tiles import Edge, TileReader
from daybreak.ledger.tree import leaf_hash
from daybreak.ledger.verified import VerifiedHead

WHERE = "verified head"
_UNREADABLE = (DaybreakError, apsw.Error, LookupError, msgspec.MsgspecError, UnicodeDecodeError, OSError, TypeError)


class Beginning:
    """For one database of `size` events, as its head says. `add(place, what)` takes each finding."""

    def __init__(
        self,
        connection: apsw.Connection,
        rows: Rows,
        verified: VerifiedHead,
        size: int,
        add: Callable[[str, str], None],
    ) -> None:
        self.verified = verified
        self._connection = connection
        self._rows = rows
        self._size = size
        self._add = add

    def head(self, verifier: Verifier | None) -> Checkpoint | None:
        """The verified head, if it is one of this ledger; None, and it was said, where it is not."""
        try:
            if verifier is None:
                raise NoteError("no key is known to check it with")
            return self.verified.open(verifier)
        except NoteError as error:
            self._add(WHERE, f"is not of this ledger: {error}; `daybreak ledger verify` checks everything instead")
            return None

    def edge(self, head: Checkpoint) -> Edge | None:
        """The tree as it was at that head, read from so many tiles as there are levels; None, and it was said, where it
        is another one."""
        if head.size > self._size:
            self._add(
                WHERE,
                f"{head.size} events were verified at {self.verified.at}, the ledger holds {self._size}: "
                "it was cut short, or an old copy was put back",
            )
            return None
        try:
            edge = Edge.load(head.size, self._tiles())
        except _UNREADABLE as error:
            self._add(WHERE, f"the tree of its {head.size} events cannot be read: {error}")
            return None
        if edge.root() != head.root:
            self._add(WHERE, f"the first {head.size} events are not those that were verified at {self.verified.at}")
            return None
        return edge

    def root(self, size: int) -> bytes | None:
        """Over the first events, by the tiles; None where they do not tell."""
        try:
            return self._tiles().root(size)
        except _UNREADABLE:
            return None

    def _tiles(self) -> TileReader:
        read = TileReader(self._size, self._rows.tile, self._rows.leaf_hashes)

        def leaves(start: int, end: int) -> list[bytes]:
            """From a tile that has become full since, or from rows."""
            hashes = read.hashes(0, start, end - start)
            return [hashes[at : at + 32] for at in range(0, len(hashes), 32)]

        return TileReader(self._size, self._rows.tile, leaves)

    def tips(self, streams: Iterable[str]) -> dict[str, Tip]:
        """How they stood at the verified head: what their next events have to follow."""
        return {stream: self._tip(stream) for stream in streams}

    def _tip(self, stream: str) -> Tip:
        # By the index over streams, from its end: only what is new is passed over.
        sql = "SELECT leaf, seq, header FROM event WHERE stream = ? AND +leaf < ? ORDER BY seq DESC LIMIT 1"
        leaf = seq = -1
        try:
            rows: list[Any] = self._connection.execute(sql, (stream, self.verified.size)).fetchall()
            for leaf, seq, stored in rows:
                raw = stored or self._rows.header(leaf)
                header = decode_header(raw)
                if (header.stream, header.seq) == (stream, seq):
                    return seq, leaf_hash(raw).hex(), header.epoch or 0
                self._add(place(leaf, stream, seq), f"its header says {header.stream}, seq {header.seq}")
        except _UNREADABLE as error:
            what = error.message if isinstance(error, DaybreakError) else str(error)
            self._add(place(leaf, stream, seq), f"what stands before its new events cannot be read: {what}")
        return START
