"""Writes closed ranges of events into archive files, which are read back before anything is said of them.

    for done in archive(ledger, folder, end=ledger.head().size): …

Closed is what lies before the last full tile of 256 events. For each file, in this order: the file is on disk under its
name; it is read back and compared with the tree; the event `ledger.archived` is appended; the database is told where
the file is. After a crash in between the same call goes on: it takes a file that is there if it is the right one, and
never writes over one that is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from daybreak.errors import LedgerStopped, LedgerTampered
from daybreak.events import KEYS, LedgerArchived
from daybreak.ledger import database, rows
from daybreak.ledger.archive import shelf, writing
from daybreak.ledger.archive.file import ArchiveFile, Progress, Sum
from daybreak.ledger.archive.layout import EVENTS_MAX, Manifest, name_of
from daybreak.ledger.archive.problems import ArchiveDamaged
from daybreak.ledger.archive.shelf import Entry
from daybreak.ledger.archive.writing import Events
from daybreak.ledger.files import locked
from daybreak.ledger.ledger import Ledger
from daybreak.ledger.record import Draft, decode_header
from daybreak.ledger.rows import Rows
from daybreak.ledger.tiles import WIDTH

ACTOR = "archive"
LOCK = ".archiving.lock"
_VERIFY = "nothing was archived: run `daybreak ledger verify`."


class Archived(NamedTuple):
    """A range that a file has now."""

    entry: Entry
    payloads: int
    """Bytes of its payloads, unpacked; without those that are blobs."""
    new: bool
    """The file was written by this call; otherwise an earlier one was interrupted after it."""


@contextmanager
def at_work(ledger: Ledger) -> Iterator[tuple[apsw.Connection, Rows]]:
    """A reading connection, while nobody else archives, prunes or refills this ledger. The disk's complaints become
    LedgerStopped."""
    path = ledger.directory / database.FILE
    with locked(ledger.directory / LOCK):
        connection = database.connect_reader(path)
        try:
            with rows.readable(path):
                yield connection, ledger.rows_of(connection)
        except (apsw.FullError, apsw.ReadOnlyError, apsw.CantOpenError) as error:
            raise LedgerStopped(
                f"the disk refused a change of {path}: {error}",
                hint="make room or mend the disk, then repeat: what was done before is kept, and nothing was lost.",
            ) from error
        finally:
            connection.close()


def closed(size: int) -> int:
    """So many events of `size` can be archived: those of full tiles."""
    return size // WIDTH * WIDTH


def before(ledger: Ledger, moment: str) -> int:
    """How many events come before the first one of that time (as in `Record.ts`) or later. Reads the headers of what
    is not archived yet."""
    with at_work(ledger) as (connection, _):
        known = shelf.entries(connection)
        at, size = known[-1].end if known else 0, ledger.head().size
        while at < size:
            sql = "SELECT leaf, header FROM event WHERE leaf >= ? AND leaf < ? ORDER BY leaf"
            found: list[Any] = connection.execute(sql, (at, at + 4 * WIDTH)).fetchall()
            for leaf, header in found:
                try:
                    if decode_header(header).ts >= moment:
                        return int(leaf)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    raise LedgerTampered(f"the header of event {leaf} cannot be read: {error}", hint=_VERIFY) from error
            at += 4 * WIDTH
    return size


def archive(
    ledger: Ledger,
    folder: Path,
    *,
    end: int,
    most: int = EVENTS_MAX,
    again: bool = False,
    progress: Progress | None = None,
) -> Iterator[Archived]:
    """Files for what is closed of the first `end` events and in none yet, each of at most `most` events (a multiple of
    256). Each is durable, checked and in the log when it is given. `folder` is made only where it is the ledger's own.

    `again`: files that are missing are taken for lost, and made again before that where the database still holds their
    events. Otherwise one that is missing from `folder`, or could be made again, says that a disk is not mounted.

    Raises ArchiveMissing, ArchiveTaken, ArchiveUnwritable, ArchiveDamaged (what was written does not read back),
    LedgerTampered, and what `Ledger.append` raises.
    """
    assert 0 < most <= EVENTS_MAX
    assert most % WIDTH == 0
    with at_work(ledger) as (connection, read):
        folder = folder.absolute()
        known = shelf.entries(connection)
        books = shelf.Shelf(connection, ledger.directory, read.tile)
        lost = [entry for entry in known if books.is_lost(entry, folder, again=again)]
        for entry in lost:
            making = _Making(ledger, read, connection, folder, entry.start, entry.end)
            yield making.make(lambda done, total: None)
        start = known[-1].end if known else 0
        end = closed(min(end, ledger.head().size))
        first, whole = start, end - start
        while start < end:
            behind = start - first

            def tell(done: int, total: int, behind: int = behind) -> None:
                if progress is not None:
                    progress(behind + done, whole)

            stop = min(end, start + most)
            yield _Making(ledger, read, connection, folder, start, stop).make(tell)
            start = stop


class _Making:
    """One range."""

    def __init__(
        self, ledger: Ledger, read: Rows, connection: apsw.Connection, folder: Path, start: int, end: int
    ) -> None:
        self._ledger = ledger
        self._read = read
        self._connection = connection
        self._start = start
        self._end = end
        self._path = folder / name_of(start, end)

    def make(self, tell: Progress) -> Archived:
        there = os.path.lexists(self._path)
        if not there:
            folder = self._path.parent
            writing.prepare(folder, ours=folder == shelf.default_folder(self._ledger.directory))
            writing.write(self._path, self._manifest(), self._tiles(tell), self._ledger.get_blob)
        told, found = self._checked(there)
        if there:
            writing.settle(self._path)
        entry = Entry(self._start, self._end, found.sha256, found.bytes, str(self._path.parent), self._path.name)
        record_entry(self._ledger, entry)
        return Archived(entry, told.payloads, not there)

    def _manifest(self) -> Manifest:
        head = self._ledger.head()
        proof = self._ledger.proof_between(self._end, head.size)
        root = self._read.tiles(head.size).root(self._end)
        return Manifest(
            origin=head.origin,
            start=self._start,
            end=self._end,
            root=root.hex(),
            head=head.text,
            proof=[node.hex() for node in proof],
        )

    def _tiles(self, tell: Progress) -> Iterator[Events]:
        for start in range(self._start, self._end, WIDTH):
            sql = "SELECT leaf, header, payload FROM event WHERE leaf >= ? AND leaf < ? ORDER BY leaf"
            found: list[Any] = self._connection.execute(sql, (start, start + WIDTH)).fetchall()
            if [row[0] for row in found] != list(range(start, start + WIDTH)):
                raise LedgerTampered(f"events between {start} and {start + WIDTH} are missing", hint=_VERIFY)
            whole = [self._read.whole(*row) for row in found]
            large = [self._digest(leaf, raw) for leaf, raw, payload in whole if payload is None]
            yield Events([raw for _, raw, _ in whole], [payload for _, _, payload in whole], large)
            tell(start + WIDTH - self._start, self._end - self._start)

    def _digest(self, leaf: int, raw: bytes) -> str:
        try:
            return decode_header(raw).payload
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
            raise LedgerTampered(f"the header of event {leaf} cannot be read: {error}", hint=_VERIFY) from error

    def _checked(self, there: bool) -> tuple[Manifest, Sum]:
        """The file, read back. One that was there before must be what would have been written."""
        try:
            file = ArchiveFile(self._path)
            told = file.manifest
            if (told.start, told.end) != (self._start, self._end):
                raise writing.taken(self._path)
            origin, keys = self._ledger.head().origin, self._ledger.verifier
            found = file.check(lambda n: self._read.tile(0, n), origin=origin, verifier=keys)
            if told.root != self._read.tiles(self._ledger.head().size).root(self._end).hex():
                raise writing.taken(self._path)
            return told, found
        except ArchiveDamaged as error:
            if there:
                raise writing.taken(self._path) from error
            self._path.unlink()  # this call wrote it, and nobody was told of it
            raise
        except OSError as error:
            raise ArchiveDamaged(
                f"the archive {self._path} cannot be read back: {error}",
                hint="nothing was pruned; look at the disk, or archive to another one.",
            ) from error


def record_entry(ledger: Ledger, entry: Entry) -> None:
    """The event, then the row that readers go by; either may be there already."""
    told = LedgerArchived(
        log=ledger.head().origin,
        start=entry.start,
        end=entry.end,
        sha256=entry.sha256,
        bytes=entry.bytes,
        name=entry.name,
    )
    idem = f"archived/{told.log}/{entry.start}-{entry.end}/{entry.sha256}"
    ledger.append([Draft(KEYS, told, ACTOR, idem=idem)])
    ledger.on_writer(lambda log: log.change(lambda connection: put_entry(connection, entry)))


def put_entry(connection: apsw.Connection, entry: Entry) -> None:
    """Inside a transaction."""
    values = (entry.sha256, entry.bytes, entry.folder, entry.name)
    sql = "UPDATE archive SET sha256 = ?, bytes = ?, folder = ?, name = ? WHERE start = ?"
    connection.execute(sql, (*values, entry.start))
    if not connection.changes():
        connection.execute("INSERT INTO archive VALUES (?, ?, ?, ?, ?, ?, 0)", (entry.start, entry.end, *values))
