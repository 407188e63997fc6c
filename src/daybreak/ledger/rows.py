"""Reads stored rows back as records, and refuses what is not what was hashed. What was pruned is read from its
archive, by whoever asks for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from daybreak.errors import BlobMissing, LedgerBusy, LedgerStopped, LedgerTampered
from daybreak.events import KEYS
from daybreak.ledger.admission import START, Tip
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.record import Record, decode_header, place, record_of
from daybreak.ledger.sealing import Subjects, needle
from daybreak.ledger.tiles import TileReader
from daybreak.ledger.tree import leaf_hash

if TYPE_CHECKING:
    from daybreak.ledger.archive.shelf import Shelf

FORGOTTEN = "forgotten:"
"""Begins the idempotency key of the event about a subject's destroyed key, whose name follows."""

PAGE = 256
"""Rows fetched at once, so that no long read keeps the write-ahead log from being folded in."""

_VERIFY = "stop using it and run `daybreak ledger verify`, which names every place; then restore a copy."


def readable(path: Path) -> _Damage:
    """SQLite's complaints about a damaged file as LedgerTampered, about a busy one as LedgerBusy, about a disk that
    refuses as LedgerStopped."""
    return _Damage(path)


_DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError, UnicodeDecodeError)


class _Damage:
    """See `readable`. (A class, because every look at a control stream passes here.)"""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, apsw.BusyError):
            raise LedgerBusy(f"another process holds {self._path}", hint="try again.") from error
        if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) != apsw.SQLITE_IOERR_SHORT_READ:
            # a short read is another thing: the file ends too early
            hint = "look at the disk; nothing was changed."
            raise LedgerStopped(f"{self._path} cannot be read: {error}", hint=hint) from error
        if isinstance(error, (apsw.IOError, *_DAMAGE)):
            raise LedgerTampered(f"{self._path} is damaged: {error}", hint=_VERIFY) from error


class Rows:
    """The ledger's tables as one connection sees them."""

    def __init__(
        self,
        connection: apsw.Connection,
        blobs: BlobStore,
        subjects: Subjects | None = None,
        archives: Sequence[Path] = (),
    ) -> None:
        """`subjects` has the keys of what is sealed; without it only what stays readable can be read. `archives`:
        folders in which archives are looked for first."""
        self._connection = connection
        self._blobs = blobs
        self._subjects = subjects
        self._archives = tuple(archives)
        self._shelf: Shelf | None = None

    def _all(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, params).fetchall()

    def _one(self, sql: str, *params: object) -> tuple[Any, ...] | None:
        return self._connection.execute(sql, params).fetchone()

    def head(self) -> tuple[int, str] | None:
        """(size, signed note), None in an empty ledger."""
        row = self._one("SELECT size, note FROM head WHERE one = 1")
        if row is not None and not (isinstance(row[0], int) and isinstance(row[1], str)):
            raise LedgerTampered("the signed head cannot be read", hint=_VERIFY)
        return row

    def last_leaf(self) -> int:
        """-1 when there is none."""
        row = self._one("SELECT max(leaf) FROM event")
        return -1 if row is None or row[0] is None else int(row[0])

    def page(self, after: int, limit: int = PAGE) -> list[Record]:
        """Records by leaf index, without gaps."""
        rows = self._all(
            "SELECT leaf, header, payload FROM event WHERE leaf > ? ORDER BY leaf LIMIT ?",
            after,
            limit,
        )
        records = []
        for expected, (leaf, header, payload) in enumerate(rows, after + 1):
            if leaf != expected:
                raise LedgerTampered(f"event {expected} is missing", hint=_VERIFY)
            records.append(self.record(leaf, header, payload)[0])
        return records

    def at(self, leaves: Sequence[int]) -> list[Record]:
        """These, in this order. Raises LedgerTampered where there is no such event."""
        sql = "SELECT leaf, header, payload FROM event WHERE leaf = ?"
        found = [(leaf, self._one(sql, leaf)) for leaf in leaves]
        if missing := [leaf for leaf, row in found if row is None]:
            raise LedgerTampered(f"event {missing[0]} is missing", hint=_VERIFY)
        return [self.record(*row)[0] for _, row in found if row is not None]

    def all(self, after: int = -1) -> Iterator[Record]:
        while records := self.page(after):
            yield from records
            after = records[-1].index

    def stream_page(self, stream: str, tip: Tip) -> tuple[list[Record], Tip]:
        """Records that follow `tip`, each checked to chain to the one before; and the new tip."""
        rows = self._all(
            "SELECT leaf, header, payload FROM event WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?",
            stream,
            tip[0],
            PAGE,
        )
        records = []
        seq, prev, epoch = tip
        for row in rows:
            record, before = self.record(*row)
            seq += 1
            if record.stream != stream or record.seq != seq or before != prev:
                raise LedgerTampered(
                    f"{place(record.index, stream, seq)} does not follow the event before it", hint=_VERIFY
                )
            prev = record.hash.hex()
            epoch = record.epoch or 0
            records.append(record)
        return records, (seq, prev, epoch)

    def goes_on(self, stream: str, seq: int) -> bool:
        """Has the stream events behind `seq`? The quick question of those who look often."""
        return self._one("SELECT 1 FROM event WHERE stream = ? AND seq > ? LIMIT 1", stream, seq) is not None

    def tip(self, stream: str, seq: int | None = None) -> Tip:
        """The end of a stream, or how it stood when `seq` was its last event."""
        if seq is not None and seq < 0:
            return START
        row = self._one(
            "SELECT leaf, header FROM event WHERE stream = ? AND seq <= ? ORDER BY seq DESC LIMIT 1",
            stream,
            2**62 if seq is None else seq,
        )
        if row is None:
            return START
        with _decoding(row[0]):
            raw = row[1] or self.header(row[0])
            header = decode_header(raw)
            return header.seq, leaf_hash(raw).hex(), header.epoch or 0

    def seq_before(self, stream: str, moment: str) -> int:
        """The last event of the stream that is older than `moment`; -1 where none is. By halves, so it is quick in any
        stream; where a clock was set back, it is one of the places at which that moment came."""
        low, high = -1, self.tip(stream)[0]
        while low < high:
            middle = (low + high + 1) // 2
            row = self._one("SELECT leaf, header FROM event WHERE stream = ? AND seq = ?", stream, middle)
            if row is None:
                raise LedgerTampered(f"event {middle} of {stream} is missing", hint=_VERIFY)
            with _decoding(row[0]):
                older = decode_header(row[1] or self.header(row[0])).ts < moment
            low, high = (middle, high) if older else (low, middle - 1)
        return low

    def idem(self, stream: str, gen: int, idem: str) -> Record | None:
        row = self._one(
            "SELECT leaf, header, payload FROM event WHERE stream = ? AND gen = ? AND idem = ?",
            stream,
            gen,
            idem,
        )
        return None if row is None else self.record(*row)[0]

    def is_forgotten(self, key: str) -> bool:
        """Does the log say that this subject's key was destroyed?"""
        sql = "SELECT 1 FROM event WHERE stream = ? AND gen = 0 AND idem = ?"
        return self._one(sql, KEYS, f"{FORGOTTEN}{key}") is not None

    def forgotten(self) -> dict[str, str]:
        """The subjects' keys that were destroyed, each with when: looked up in an index."""
        rows = self._all(
            "SELECT idem, header FROM event WHERE stream = ? AND gen = 0 AND idem > ? AND idem < ?",
            KEYS,
            FORGOTTEN,
            f"{FORGOTTEN}g",
        )
        with _decoding(-1):
            return {str(idem).removeprefix(FORGOTTEN): decode_header(header).ts for idem, header in rows}

    def sealed_by(self, key: str, start: int, end: int, *, archived: bool = True) -> list[str]:
        """The streams of the events from leaf `start` to before `end` that a subject's key sealed, one for each;
        without `archived` only of those whose rows are not blank."""
        sql, sought = "SELECT stream FROM event WHERE leaf >= ? AND leaf < ? AND instr(header, ?)", needle(key).encode()
        found = [str(stream) for (stream,) in self._all(sql, start, end, sought)]
        blanked = self._blanked(start, end) if archived else ()
        return found + [stream for _, stream, header in blanked if sought in header]

    def with_text(self, text: bytes, start: int, end: int) -> list[int]:
        """Those events from leaf `start` to before `end` whose header holds these bytes."""
        rows = self._all("SELECT leaf FROM event WHERE leaf >= ? AND leaf < ? AND instr(header, ?)", start, end, text)
        return [int(leaf) for (leaf,) in rows] + [
            leaf for leaf, _, header in self._blanked(start, end) if text in header
        ]

    def _blanked(self, start: int, end: int) -> Iterator[tuple[int, str, bytes]]:
        """(leaf, stream, header) of what was pruned in that range."""
        if self.shelf.is_empty():
            return
        sql = "SELECT leaf, stream FROM event WHERE leaf >= ? AND leaf < ? AND length(header) = 0 ORDER BY leaf"
        for leaf, stream in self._all(sql, start, end):
            yield leaf, stream, self.header(leaf)

    def streams(self) -> list[str]:
        """In the order of their first events."""
        rows = self._all("SELECT stream FROM event WHERE seq = 0 ORDER BY leaf")
        return [str(stream) for (stream,) in rows]

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        rows = self._all(
            "SELECT leaf, header FROM event WHERE leaf >= ? AND leaf < ? ORDER BY leaf",
            start,
            end,
        )
        with _decoding(start):
            return [leaf_hash(header) if header else self.shelf.hash(leaf) for leaf, header in rows]

    def tile(self, level: int, number: int) -> bytes:
        row = self._one("SELECT hashes FROM tile WHERE level = ? AND n = ?", level, number)
        return row[0] if row is not None and isinstance(row[0], bytes) else b""

    def tiles(self, size: int) -> TileReader:
        return TileReader(size, self.tile, self.leaf_hashes)

    def record(self, leaf: int, raw: bytes, payload: object) -> tuple[Record, str | None]:
        """The record and its header's `prev`. Raises LedgerTampered, BlobMissing, BlobDamaged; of what was pruned
        ArchiveMissing, ArchiveDamaged."""
        if raw == b"":
            raw, payload = self._unpruned(leaf, payload)
        with _decoding(leaf):
            header = decode_header(raw)
            digest = leaf_hash(raw)
        if payload is None:
            data = self._large(leaf, header.payload)
        elif not isinstance(payload, bytes) or sha256(payload).hexdigest() != header.payload:
            raise LedgerTampered(
                f"the payload of {place(leaf, header.stream, header.seq)} is not the one that was signed",
                hint=_VERIFY,
            )
        else:
            data = payload
        return record_of(leaf, header, raw, data, digest, self._subjects), header.prev

    # -- what was pruned

    @property
    def shelf(self) -> Shelf:
        """Where archived events are."""
        if self._shelf is None:
            from daybreak.ledger.archive.shelf import Shelf  # most ledgers have no archives

            self._shelf = Shelf(self._connection, self._blobs.folder.parent, self.tile, self._archives)
        return self._shelf

    def header(self, leaf: int) -> bytes:
        """The header of an event whose row is blank."""
        return self.shelf.event(leaf)[0]

    def whole(self, leaf: int, raw: bytes, payload: bytes | None) -> tuple[int, bytes, bytes | None]:
        """A row as it was before it was pruned: None for the payload says that it is a blob."""
        return (leaf, raw, payload) if raw else (leaf, *self._unpruned(leaf, payload))

    def payload(self, leaf: int) -> bytes:
        """What was hashed, from wherever it is. Raises LedgerTampered where there is no such event."""
        for row in self._all("SELECT leaf, header, payload FROM event WHERE leaf = ?", leaf):
            return self.record(*row)[0].payload
        raise LedgerTampered(f"event {leaf} is missing", hint=_VERIFY)

    def _unpruned(self, leaf: int, payload: object) -> tuple[bytes, bytes | None]:
        if payload is not None:
            raise LedgerTampered(f"event {leaf} has a payload, but no header", hint=_VERIFY)
        return self.shelf.event(leaf)

    def _large(self, leaf: int, digest: str) -> bytes:
        """Blobs stay where they are when their events are archived; the archive has them all the same."""
        try:
            return self._blobs.get(digest)
        except BlobMissing:
            found = self.shelf.blob(leaf, digest)
            if found is None:
                raise
            return found


@contextlib.contextmanager
def _decoding(leaf: int) -> Iterator[None]:
    try:
        yield
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:  # TypeError: not even bytes
        raise LedgerTampered(f"the header of event {leaf} cannot be read: {error}", hint=_VERIFY) from error
