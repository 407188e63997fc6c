"""Takes archived events out of the database, and puts them back.

    pruned = [prune(ledger, entry, witnessed=n) for entry in …]
    refill(ledger, entry)

A pruned event keeps its row: header and payload are blank, while stream, seq, generation and idempotency key stay, so
that order, positions and keys are guarded as before, and its hash stays in the tree. What a ledger needs at every
opening and append is never pruned: the stream `keys`, and the last event of each stream.

Before a row is blanked the archive is read back whole, its checksum and every event compared with the tree, it is on
disk, and the event `ledger.pruned` is durable. Rows are blanked a few thousand at a time, each time in one transaction;
whatever is interrupted is finished by the same call, and every state in between is a whole ledger.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from daybreak.errors import LedgerStopped
from daybreak.events import KEYS, LedgerArchived, LedgerPruned, LedgerRefilled
from daybreak.ledger import database
from daybreak.ledger.archive import shelf, writing
from daybreak.ledger.archive.archiving import ACTOR, at_work
from daybreak.ledger.archive.file import ArchiveFile, Progress, Sum, damaged
from daybreak.ledger.archive.problems import ArchiveDamaged, PruneRefused, RangeUnknown, ShrinkRefused
from daybreak.ledger.archive.shelf import Entry, Shelf
from daybreak.ledger.ledger import Ledger
from daybreak.ledger.record import Draft, decode_header
from daybreak.ledger.rows import Rows
from daybreak.ledger.tiles import WIDTH

BATCH = 16 * WIDTH
"""Events in one transaction: others can append in between."""
_PRUNABLE = (
    "leaf >= ? AND leaf < ? AND length(header) > 0 AND stream <> 'keys' AND stream NOT LIKE 'keys:%'"
    " AND seq < (SELECT max(seq) FROM event AS last WHERE last.stream = event.stream)"
)
"""All but what every opening and append needs."""
_BLANK = f"UPDATE event SET header = x'', payload = NULL WHERE {_PRUNABLE}"
_FILL = "UPDATE event SET header = ?, payload = ? WHERE leaf = ? AND length(header) = 0"


class Standing(NamedTuple):
    """How an archived range stands in the database."""

    entry: Entry
    blank: int
    """Events of it that the database does not hold."""
    path: Path | None
    """Where its file is; None where it is missing."""
    problem: str = ""
    """What is wrong with the file, where it was looked at, or with the way to it."""
    checked: bool = False


class Pruned(NamedTuple):
    """What came of one range."""

    entry: Entry
    events: int
    """Rows that were blanked or filled, or would be."""


def standings(
    ledger: Ledger, *, check: bool = False, folders: tuple[Path, ...] = (), progress: Progress | None = None
) -> list[Standing]:
    """Every archived range; `check`: its file is read and compared with the tree. `folders` are looked through
    first."""
    found = []
    with at_work(ledger) as (connection, read):
        known = shelf.entries(connection)
        books = Shelf(connection, ledger.directory, read.tile, folders)
        for at, entry in enumerate(known):
            blank = _count(connection, "leaf >= ? AND leaf < ? AND length(header) = 0", entry)
            path, problem = books.find(entry)
            if check and path is not None:
                problem = _problem(ledger, read, path, entry)
            found.append(Standing(entry, blank, path, problem, check and path is not None))
            if progress is not None:
                progress(at + 1, len(known))
    return found


def _problem(ledger: Ledger, read: Rows, path: Path, entry: Entry) -> str:
    try:
        checked_file(ledger, read, path, entry)
    except ArchiveDamaged as error:
        return error.message
    return ""


def checked_file(
    ledger: Ledger, read: Rows, path: Path, entry: Entry, progress: Progress | None = None, *, same: bool = True
) -> ArchiveFile:
    """Every byte of it read, and each event compared with the tree; `same`: and it is the very file that was written
    last. Raises ArchiveDamaged."""
    try:
        file = ArchiveFile(path)
        if (file.manifest.start, file.manifest.end) != (entry.start, entry.end):
            raise damaged(path, f"it has other events than {entry.which}")
        file.check(
            lambda n: read.tile(0, n),
            wanted=Sum(entry.sha256, entry.bytes) if same else None,
            origin=ledger.head().origin,
            verifier=ledger.verifier,
            progress=progress,
        )
    except OSError as error:
        raise damaged(path, f"it cannot be read: {error}") from error
    return file


def move(ledger: Ledger, folder: Path) -> list[Entry]:
    """From now on files are looked for in `folder`: those that are there and are the right ones; which they are.
    Raises ArchiveDamaged for one that is not, and then nothing is changed."""
    found = []
    with at_work(ledger) as (connection, read):
        for entry in shelf.entries(connection):
            path = folder.absolute() / entry.name
            there, refused = shelf.look(path)
            if refused:
                raise damaged(path, refused)
            if there and entry.folder != str(path.parent):
                checked_file(ledger, read, path, entry)
                found.append(entry._replace(folder=str(path.parent)))

        def put(writer: apsw.Connection) -> None:
            for entry in found:
                writer.execute("UPDATE archive SET folder = ? WHERE start = ?", (entry.folder, entry.start))

        _change(ledger, put)
    return found


# -- out


def prune(
    ledger: Ledger,
    *,
    witnessed: int | None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Iterator[Pruned]:
    """Blank the rows of every archived range that is witnessed, one after the other; each is done when it is given.

    `witnessed`: so many events are, by whatever rule there is; None where there is none, and nothing is pruned then.
    Raises PruneRefused, ArchiveMissing, ArchiveDamaged, ArchiveUnwritable, and what `Ledger.append` raises.
    """
    if witnessed is None:
        raise PruneRefused(
            "nothing says that the events are witnessed: no witness is required",
            hint="name a witness and require it (`[witnesses.NAME]` and `[witness] required` in daybreak.toml). "
            "Replicas have the events, but do not watch over them.",
        )
    with at_work(ledger) as (connection, read):
        _refuse_mirror(connection)
        books = Shelf(connection, ledger.directory, read.tile)
        for entry in shelf.entries(connection):
            count = 0 if entry.pruned else _count(connection, _PRUNABLE, entry)
            if not count:
                continue
            if entry.end > witnessed:
                raise PruneRefused(
                    f"{entry.which} are archived, but only {witnessed} events are witnessed",
                    hint="`daybreak ledger witness list` says who is behind; then repeat.",
                )
            path = books.path(entry)
            checked_file(ledger, read, path, entry, progress)
            if not dry_run:
                writing.settle(path)
                _say_pruned(ledger, entry, witnessed)
                _in_batches(ledger, entry, partial(_blank, entry))
            yield Pruned(entry, count)


def _refuse_mirror(connection: apsw.Connection) -> None:
    if connection.pragma("application_id") == database.MIRROR_ID:
        raise PruneRefused(
            "the ledger stands in Postgres, whose events cannot be pruned yet; what is here is a mirror of it",
            hint="archives can be written; the mirror may be thrown away, it is made again from Postgres.",
        )


def _say_pruned(ledger: Ledger, entry: Entry, witnessed: int) -> None:
    """Unless an interrupted call has said so."""
    if not isinstance(_last_word(ledger, entry), LedgerPruned):
        told = LedgerPruned(
            log=ledger.head().origin, start=entry.start, end=entry.end, sha256=entry.sha256, witnessed=witnessed
        )
        ledger.append([Draft(KEYS, told, ACTOR)])


def _blank(entry: Entry, writer: apsw.Connection, start: int, end: int) -> None:
    """What a stream's last event was then is left for good, so that nobody needs the file again for one row."""
    writer.execute(_BLANK, (start, end))
    if end == entry.end:
        writer.execute("UPDATE archive SET pruned = 1 WHERE start = ?", (entry.start,))


# -- in


def refill(ledger: Ledger, start: int, end: int, *, progress: Progress | None = None) -> Iterator[Pruned]:
    """Put the events of every archived range that lies in `start` to `end`, at least in part, back into the database,
    each compared with the tree; a range is done when it is given. Raises RangeUnknown where no archive has any of
    them, ArchiveMissing, ArchiveDamaged, and what `Ledger.append` raises."""
    with at_work(ledger) as (connection, read):
        known = [entry for entry in shelf.entries(connection) if entry.start < end and start < entry.end]
        if not known:
            raise RangeUnknown(
                f"no archive has events {start} to {end - 1}", hint="`daybreak ledger archives` lists what there is."
            )
        books = Shelf(connection, ledger.directory, read.tile)
        for entry in known:
            count = _count(connection, "leaf >= ? AND leaf < ? AND length(header) = 0", entry)
            if not count and not isinstance(_last_word(ledger, entry), LedgerPruned):
                continue
            if count:
                file = checked_file(ledger, read, books.path(entry), entry, progress, same=False)
                _in_batches(ledger, entry, _Filling(file, ledger).fill)
            ledger.append(
                [Draft(KEYS, LedgerRefilled(log=ledger.head().origin, start=entry.start, end=entry.end), ACTOR)]
            )
            yield Pruned(entry, count)


class _Filling:
    """From one file whose events were compared with the tree."""

    def __init__(self, file: ArchiveFile, ledger: Ledger) -> None:
        self._file = file
        self._ledger = ledger

    def fill(self, writer: apsw.Connection, start: int, end: int) -> None:
        if start == self._file.manifest.start:
            writer.execute("UPDATE archive SET pruned = 0 WHERE start = ?", (start,))
        for n in range(start // WIDTH, end // WIDTH):
            found = self._file.stretch(n)
            for header, payload in zip(found.headers, found.payloads, strict=True):
                if payload is None:
                    self._put(decode_header(header).payload)
            rows = zip(found.headers, found.payloads, range(found.first, found.first + WIDTH), strict=True)
            writer.executemany(_FILL, list(rows))

    def _put(self, digest: str) -> None:
        """A blob is on disk before its event is in the database."""
        if not self._ledger.has_blob(digest):
            data = self._file.blob(digest)
            assert data is not None, "the file was checked"
            self._ledger.put_blob(data)


# -- both


def _in_batches(ledger: Ledger, entry: Entry, work: Callable[[apsw.Connection, int, int], object]) -> None:
    for start in range(entry.start, entry.end, BATCH):
        end = min(start + BATCH, entry.end)

        def change(writer: apsw.Connection, start: int = start, end: int = end) -> None:
            work(writer, start, end)

        _change(ledger, change)


def _change(ledger: Ledger, work: Callable[[apsw.Connection], object]) -> None:
    ledger.on_writer(lambda log: log.change(work))


def _count(connection: apsw.Connection, which: str, entry: Entry) -> int:
    sql = f"SELECT count(*) FROM event WHERE {which}"
    rows: list[Any] = connection.execute(sql, (entry.start, entry.end)).fetchall()
    return int(rows[0][0])


def _last_word(ledger: Ledger, entry: Entry) -> LedgerArchived | LedgerPruned | LedgerRefilled | None:
    """What the log says last of that range."""
    found: LedgerArchived | LedgerPruned | LedgerRefilled | None = None
    kinds = (LedgerArchived.type, LedgerPruned.type, LedgerRefilled.type)
    for record in ledger.read(KEYS):
        if record.type in kinds:
            event = record.event
            assert isinstance(event, LedgerArchived | LedgerPruned | LedgerRefilled)
            if (event.log, event.start, event.end) == (ledger.head().origin, entry.start, entry.end):
                found = event
    return found


# -- space


def shrink(directory: Path) -> tuple[int, int]:
    """Write the database of a ledger anew without what is free in it, and give the space back; its size before and
    after, in bytes. Nobody may have it open; whole or not at all. Raises ShrinkRefused, LedgerStopped."""
    path = directory / database.FILE
    size = path.stat().st_size
    if shutil.disk_usage(directory).free < 2 * size:
        raise ShrinkRefused(
            f"{path} takes {size:,} bytes, and twice that must be free to write it anew",
            hint="make room; nothing was changed, and pruning is done.",
        )
    connection = database.connect_writer(path)
    try:
        connection.set_busy_timeout(1000)
        connection.pragma("locking_mode", "exclusive")
        connection.pragma("synchronous", "full")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
        connection.execute("VACUUM")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError as error:
        raise ShrinkRefused(
            f"another process has the ledger {path} open",
            hint="end it first (`fuser` names it), then `daybreak ledger prune --shrink` again.",
        ) from error
    except apsw.Error as error:
        raise LedgerStopped(
            f"{path} cannot be written anew: {error}", hint="nothing was changed; look at the disk and its space."
        ) from error
    finally:
        connection.close()
    return size, path.stat().st_size
