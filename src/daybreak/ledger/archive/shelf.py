"""Which file has which archived events, as the database says, where it lies, and what stands in it.

Whatever is read there is compared with the leaf hashes in the tiles before anybody sees it, so that neither another
file nor a changed table can make an event say something else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import apsw

from daybreak.errors import LedgerTampered
from daybreak.ledger.archive.problems import ArchiveDamaged, ArchiveMissing
from daybreak.ledger.tiles import HASH, WIDTH

if TYPE_CHECKING:
    from daybreak.ledger.archive.file import ArchiveFile
    from daybreak.ledger.archive.layout import Stretch

FOLDER = "archive"
"""Beside the ledger's folder: where files are written when nobody says otherwise."""
KEPT = 8
"""Unpacked stretches of 256 events that a reader keeps."""
_COLUMNS = 'SELECT start, "end", sha256, bytes, folder, name, pruned FROM archive'
_VERIFY = "stop using it and run `daybreak ledger verify`, which names every place; then restore a copy."

T = TypeVar("T")
Tile = Callable[[int, int], bytes]
"""(level, number) -> the stored hashes."""


class Entry(NamedTuple):
    """A row of the table `archive`."""

    start: int
    end: int
    """Events from `start` to before `end`."""
    sha256: str
    bytes: int
    folder: str
    name: str
    pruned: bool = False
    """It was pruned to the end, and not refilled since."""

    @property
    def which(self) -> str:
        return f"events {self.start} to {self.end - 1}"


def default_folder(directory: Path) -> Path:
    """Of the ledger in `directory`."""
    return directory.absolute().with_name(FOLDER)


def entries(connection: apsw.Connection) -> list[Entry]:
    """All of them, by range; none in a database that is older than archives."""
    if not _has_table(connection):
        return []
    found: list[Any] = connection.execute(f"{_COLUMNS} ORDER BY start").fetchall()
    return [_entry(row) for row in found]


def _entry(row: Any) -> Entry:
    start, end, sha256, count, folder, name, pruned = row
    return Entry(start, end, sha256, count, folder, name, bool(pruned))


def _has_table(connection: apsw.Connection) -> bool:
    asked = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'archive'"
    return connection.execute(asked).fetchone() is not None


def look(path: Path) -> tuple[bool, str]:
    """Is the file there? And why that cannot be told, where the disk answers with an error."""
    try:
        return path.is_file(), ""
    except OSError as error:
        return False, f"cannot be reached: {error}"


def missing(entry: Entry, folders: Sequence[Path], what: str = "") -> ArchiveMissing:
    """`what`: how it is missing, where that is more than not being there."""
    places = ", ".join(str(folder) for folder in folders)
    return ArchiveMissing(
        f"{entry.which} were pruned, and their archive {entry.name} {what or f'is not in {places}'}",
        hint=f"put the file into {entry.folder}, or say where it is: `daybreak ledger archives --in DIR`. "
        "What is newer can be used without it.",
    )


def unmounted(entry: Entry, folders: Sequence[Path], refused: str = "") -> ArchiveMissing:
    """Nothing is archived while it is not known where that file is."""
    places = ", ".join(str(folder) for folder in folders)
    return ArchiveMissing(
        f"the archive {entry.name} of {entry.which} {refused or f'is not in {places}'}",
        hint="mount its disk, or say where the file is: `daybreak ledger archives --in DIR`. Where it is lost, "
        "`daybreak ledger archive --again` goes on, and makes it again if it can. Nothing was written.",
    )


class Shelf:
    """The archived events of one ledger as one connection sees them. Not thread-safe."""

    def __init__(self, connection: apsw.Connection, directory: Path, tile: Tile, folders: Sequence[Path] = ()) -> None:
        """`folders` are looked through first. Reads nothing yet."""
        self._connection = connection
        self._directory = directory
        self._tile = tile
        self._folders = tuple(folders)
        self._entry: Entry | None = None
        self._files: dict[int, ArchiveFile] = {}
        self._stretches: OrderedDict[int, Stretch] = OrderedDict()

    def entry(self, leaf: int) -> Entry | None:
        """Of the archive that has this event; None where it was never archived."""
        known = self._entry
        if known is not None and known.start <= leaf < known.end:
            return known
        if not _has_table(self._connection):
            return None
        row: Any = self._connection.execute(
            f"{_COLUMNS} WHERE start <= ? ORDER BY start DESC LIMIT 1", (leaf,)
        ).fetchone()
        found = None if row is None else _entry(row)
        if found is None or leaf >= found.end:
            return None
        self._entry = found
        return found

    def is_empty(self) -> bool:
        """Was nothing ever archived?"""
        return not _has_table(self._connection) or (
            self._connection.execute("SELECT 1 FROM archive LIMIT 1").fetchone() is None
        )

    def folders(self, entry: Entry) -> list[Path]:
        """Where its file is looked for, in this order."""
        places = [*self._folders, Path(entry.folder), default_folder(self._directory)]
        return list(dict.fromkeys(places))

    def path(self, entry: Entry) -> Path:
        """Where its file is. Raises ArchiveMissing."""
        found, refused = self.find(entry)
        if found is None:
            raise missing(entry, self.folders(entry), refused)
        return found

    def find(self, entry: Entry) -> tuple[Path | None, str]:
        """Where its file is; and where it is not found, what kept a folder from being looked into."""
        refused = ""
        for folder in self.folders(entry):
            there, problem = look(folder / entry.name)
            if there:
                return folder / entry.name, ""
            refused = refused or problem
        return None, refused

    def is_lost(self, entry: Entry, folder: Path, *, again: bool) -> bool:
        """Is its file nowhere, while the database holds all its events, so that it can be made `again`? Raises
        ArchiveMissing where a disk may not be mounted: the file cannot be looked for, or nobody said that it is lost,
        and it could be made again, or was in `folder`."""
        found, refused = self.find(entry)
        if found is not None:
            return False
        sql = "SELECT 1 FROM event WHERE leaf >= ? AND leaf < ? AND length(header) = 0 LIMIT 1"
        held = self._connection.execute(sql, (entry.start, entry.end)).fetchone() is None
        if (refused or not again) and (held or entry.folder == str(folder)):
            raise unmounted(entry, self.folders(entry), refused)
        return held

    def file(self, entry: Entry) -> ArchiveFile:
        """Its manifest was read and is one of this range. Raises ArchiveMissing, ArchiveDamaged."""
        from daybreak.ledger.archive.file import ArchiveFile, damaged

        found = self._files.get(entry.start)
        if found is not None:
            return found
        path = self.path(entry)
        try:
            found = ArchiveFile(path)
        except OSError as error:
            raise missing(entry, [path.parent], f"cannot be read: {error}") from error
        told = found.manifest
        if (told.start, told.end) != (entry.start, entry.end):
            raise damaged(path, f"it has events {told.start} to {told.end - 1}, and not {entry.which}")
        self._files[entry.start] = found
        return found

    def stretch(self, n: int, entry: Entry) -> Stretch:
        """The events of tile `n`, each the one whose hash is in the tree. Raises ArchiveMissing, ArchiveDamaged."""
        found = self._stretches.get(n)
        if found is not None:
            self._stretches.move_to_end(n)
            return found
        from daybreak.ledger.archive.file import damaged

        file = self.file(entry)
        try:
            found = file.stretch(n)
        except OSError as error:
            self._files.pop(entry.start, None)
            raise missing(entry, [file.path.parent], f"cannot be read: {error}") from error
        except ArchiveDamaged:
            self._files.pop(entry.start, None)  # a good copy may take its place
            raise
        stored = self._tile(0, n)
        if b"".join(found.hashes) != stored:
            raise damaged(file.path, f"its events {n * WIDTH} to {(n + 1) * WIDTH - 1} are not the ledger's")
        self._stretches[n] = found
        if len(self._stretches) > KEPT:
            self._stretches.popitem(last=False)
        return found

    def event(self, leaf: int) -> tuple[bytes, bytes | None]:
        """Header and payload of an event whose row was blanked; None for a payload that is kept as a blob.

        Raises LedgerTampered where no archive has it, ArchiveMissing, ArchiveDamaged.
        """
        entry = self.entry(leaf)
        if entry is None:
            raise blank(leaf)
        found = self._looked(entry, partial(self.stretch, leaf // WIDTH))
        return found.headers[leaf % WIDTH], found.payloads[leaf % WIDTH]

    def blob(self, leaf: int, digest: str) -> bytes | None:
        """A large payload of such an event, from its archive; None where that does not have it."""
        entry = self.entry(leaf)
        return None if entry is None else self._looked(entry, partial(self._blob, digest))

    def _blob(self, digest: str, entry: Entry) -> bytes | None:
        file = self.file(entry)
        try:
            return file.blob(digest)
        except OSError as error:
            raise missing(entry, [file.path.parent], f"cannot be read: {error}") from error

    def _looked(self, entry: Entry, look: Callable[[Entry], T]) -> T:
        """What `look` finds; where it finds nothing, once more as the table and the folders are now, since another
        process may have said where the files have gone."""
        try:
            return look(entry)
        except (ArchiveMissing, ArchiveDamaged):
            self._entry = None
            self._files.pop(entry.start, None)
        return look(self.entry(entry.start) or entry)

    def hash(self, leaf: int) -> bytes:
        """Of any event in a full tile, without its header. Raises LedgerTampered."""
        found = self._tile(0, leaf // WIDTH)[leaf % WIDTH * HASH : (leaf % WIDTH + 1) * HASH]
        if len(found) != HASH:
            raise blank(leaf)
        return found


def blank(leaf: int) -> LedgerTampered:
    return LedgerTampered(f"event {leaf} is blank, and no archive has it", hint=_VERIFY)
