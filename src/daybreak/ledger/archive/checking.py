"""What verification makes of rows that were pruned: made whole from their archives, they are checked like all others.

Where an archive is missing or damaged, that is one finding; the hashes in the tiles stand for its events then, so that
the tree, and everything that is there, is checked all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from daybreak.errors import DaybreakError
from daybreak.events import KEYS, LeaseGranted, LedgerArchived
from daybreak.ledger.archive import shelf
from daybreak.ledger.archive.problems import ArchiveMissing
from daybreak.ledger.archive.shelf import Entry
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.record import decode_header
from daybreak.ledger.rows import Rows
from daybreak.ledger.tiles import HASH

if TYPE_CHECKING:
    from daybreak.ledger.archive.file import Sum
    from daybreak.ledger.chaincheck import ChainCheck, Row

Add = Callable[[str, str], None]
"""(place, what)"""
_File = tuple[str, int, str]
"""(SHA-256, bytes, name)"""
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, TypeError)


def _file(entry: Entry) -> _File:
    return entry.sha256, entry.bytes, entry.name


class ArchiveCheck:
    """For one database, read by `rows` through `connection`. `add(place, what)` takes each finding."""

    def __init__(self, connection: apsw.Connection, read: Rows, blobs: BlobStore, add: Add) -> None:
        self.lost = False
        """Were there events that could not be read?"""
        self._connection = connection
        self._read = read
        self._blobs = blobs
        self._add = add
        self._seen: set[int] = set()
        self._missing: set[int] = set()
        self._told: set[str] = set()

    def page(self, chain: ChainCheck, rows: list[Row]) -> tuple[list[Row], list[bytes]]:
        """Have a page of readable rows checked; gives them as they were before they were pruned, and their leaf hashes.
        A row that is nowhere stays blank, and has None for its header in `chain.headers`."""
        if not [row for row in rows if not row[5]]:
            return rows, chain.page(rows)
        rows = self._whole(rows)
        hashes: list[bytes] = []
        headers: list[Any] = []
        for whole, run in groupby(rows, key=lambda row: bool(row[5])):
            part = list(run)
            if whole:
                hashes += chain.page(part)
                headers += chain.headers
            else:
                known = [self._hash(row[0]) for row in part]
                chain.skip(part, known, self._epoch)
                hashes += known
                headers += [None] * len(part)
        chain.headers = headers
        return rows, hashes

    def table(self, origin: str, since: int = 0) -> None:
        """Does the table of archives say what the log says? With `since`, what the events from that one on say; others
        can have told only of what is before it."""
        try:
            known = shelf.entries(self._connection)
            said = self._said(origin, since) if known else {}
            if since and any(_file(one) not in said.get((one.start, one.end), {_file(one)}) for one in known):
                said = self._said(origin, 0)  # made again since, and the one of before is still used
        except (apsw.Error, UnicodeDecodeError) as error:
            self._add("table archive", f"cannot be read: {error}")
            return
        for entry in known:
            where = f"table archive, {entry.which}"
            files = said.get((entry.start, entry.end), set())
            if not files and entry.end <= since:
                continue
            if not files:
                self._add(where, "no event says that these were archived")
            elif _file(entry) not in files:
                self._add(where, "its file is none that the log names")

    def _said(self, origin: str, since: int) -> dict[tuple[int, int], set[_File]]:
        """What files the log names for each range, from event `since` on. There is more than one where a file was lost
        and made again."""
        found: dict[tuple[int, int], set[_File]] = {}
        sql = "SELECT header, payload FROM event WHERE stream = ? ORDER BY seq"
        if since:  # not by the index over streams: what is read is what is new
            sql = "SELECT header, payload FROM event WHERE +stream = ? AND leaf >= ? ORDER BY leaf"
        for header, payload in self._connection.execute(sql, (KEYS, since) if since else (KEYS,)):
            try:
                if isinstance(header, bytes) and decode_header(header).type == LedgerArchived.type:
                    event = msgspec.json.decode(payload if isinstance(payload, bytes) else b"", type=LedgerArchived)
                    if event.log == origin:
                        found.setdefault((event.start, event.end), set()).add((event.sha256, event.bytes, event.name))
            except _UNREADABLE:
                continue  # reported with the event
        return found

    # -- rows

    def _whole(self, rows: list[Row]) -> list[Row]:
        found, strays = [], []
        for row in rows:
            if row[5]:
                found.append(row)
                continue
            entry = self._entry(row[0])
            if entry is None:
                strays.append(row[0])
            elif row[6] is not None:
                self._add(f"event {row[0]}", "has a payload, but no header")
            elif (whole := self._filled(row, entry)) is not None:
                found.append(whole)
                continue
            found.append((*row[:6], None))
            self.lost = True
        for _, run in groupby(enumerate(strays), key=lambda pair: pair[1] - pair[0]):
            leaves = [leaf for _, leaf in run]
            which = f"event {leaves[0]}" if len(leaves) == 1 else f"events {leaves[0]} to {leaves[-1]}"
            self._add(f"table event, {which}", "blank, and no archive has what stood there")
        return found

    def _entry(self, leaf: int) -> Entry | None:
        try:
            return self._read.shelf.entry(leaf)
        except (apsw.Error, UnicodeDecodeError) as error:
            self._once("table archive", f"cannot be read: {error}")
            return None

    def _filled(self, row: Row, entry: Entry) -> Row | None:
        """From its archive; None where that is not possible, which was said then."""
        if entry.start in self._missing:
            return None
        try:
            self._look(entry)
            header, payload = self._read.shelf.event(row[0])
            if payload is None:
                digest = decode_header(header).payload
                if not self._blobs.has(digest):
                    payload = self._read.shelf.blob(row[0], digest)
            return (*row[:5], header, payload)
        except ArchiveMissing as error:
            self._missing.add(entry.start)
            self._once(f"archive {entry.name}", f"{error.message}: what stands in them cannot be checked")
        except (DaybreakError, apsw.Error, OSError, *_UNREADABLE) as error:
            what = error.message if isinstance(error, DaybreakError) else str(error)
            self._once(f"archive {entry.name}", what)
        return None

    def _look(self, entry: Entry) -> None:
        """Once for each file: is it the one that was written? Raises ArchiveMissing."""
        if entry.start in self._seen:
            return
        from daybreak.ledger.archive.file import sum_of

        self._seen.add(entry.start)
        path = self._read.shelf.path(entry)
        try:
            found = sum_of(path)
        except OSError as error:
            raise shelf.missing(entry, [path.parent], f"cannot be read: {error}") from error
        if found != (entry.sha256, entry.bytes) and not self._is_told(entry, found):
            self._once(f"archive {entry.name}", f"{path}: its SHA-256 is not that of the archive that was written")

    def _is_told(self, entry: Entry, found: Sum) -> bool:
        """Is it another file that the log names for this range? (For the same log, as its manifest is compared.)"""
        files = self._said(self._read.shelf.file(entry).manifest.origin, 0).get((entry.start, entry.end), set())
        return (found.sha256, found.bytes, entry.name) in files

    def _once(self, where: str, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._add(where, what)

    def _hash(self, leaf: int) -> bytes:
        try:
            return self._read.shelf.hash(leaf)
        except (DaybreakError, apsw.Error):
            return bytes(HASH)  # the tile is not whole, which is said where tiles are compared

    def _epoch(self, stream: str, seq: int) -> int:
        """What the next event of a stream takes to be current after event `seq`."""
        sql = "SELECT header FROM event WHERE stream = ? AND seq > ? AND length(header) > 0 ORDER BY seq LIMIT 1"
        try:
            for (header,) in self._connection.execute(sql, (stream, seq)).fetchall():
                told = decode_header(header if isinstance(header, bytes) else b"")
                return 0 if told.epoch is None else told.epoch - (told.type == LeaseGranted.type)
        except (apsw.Error, *_UNREADABLE):
            return 0  # which is said with that event
        return 0
