"""What is copied: the ordinary files of a folder, and its SQLite databases as they stand at one moment."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from daybreak.host.snapshots.manifest import safe
from daybreak.host.snapshots.problems import SourceUnusable

MAGIC = b"SQLite format 3\0"
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database; part of the copy of the database, never copied alone."""
BUSY_MS = 60_000
_PAGES = 2048
"""Pages copied between two words of progress."""

Skip = Callable[[str], bool]
"""Given a file's path inside its source, with `/`: is it to be left out?"""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a source."""

    path: str
    """As in the manifest."""
    place: Path
    size: int
    database: bool


def find(name: str, folder: Path, skip: Skip | None) -> list[Found]:
    """The files of one source, sorted. Raises SourceUnusable, naming the first thing that cannot be copied."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            raise SourceUnusable(f"{folder} is not a folder", hint="name the folder that is to be copied")
        found = sorted(_walk(name, folder, skip), key=lambda one: one.path)
    except OSError as error:
        raise unreadable(error, folder) from error
    databases = {one.path for one in found if one.database}
    return [one for one in found if not _beside(one.path, databases)]


def _walk(name: str, root: Path, skip: Skip | None) -> Iterator[Found]:
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as listing:
                items = list(listing)
        except FileNotFoundError:
            if folder == root:
                raise
            continue
        for item in items:
            place = Path(item.path)
            inside = place.relative_to(root).as_posix()
            if skip is not None and skip(inside):
                continue
            try:
                status = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(place)
                    continue
                _check(name, inside, place, status.st_mode)
                yield Found(f"{name}/{inside}", place, status.st_size, _is_database(place, status.st_size))
            except FileNotFoundError:
                continue  # a temporary file of whoever works there


def _check(name: str, inside: str, place: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "a special file"
        raise SourceUnusable(f"{place} is {kind}", hint="only ordinary files and folders can be copied")
    if not safe(f"{name}/{inside}"):
        raise SourceUnusable(f"the name of {place!r} cannot be stored", hint="rename it: UTF-8, not too long")


def _is_database(place: Path, size: int) -> bool:
    if size == 0:  # all of it may still be in the log beside it
        return Path(f"{place}-wal").exists()
    with place.open("rb", buffering=0) as file:
        return file.read(len(MAGIC)) == MAGIC


def unreadable(error: OSError, place: Path) -> SourceUnusable:
    where = error.filename or place
    return SourceUnusable(
        f"{where} cannot be copied: {error.strerror or error}", hint="check its permissions, or leave it out"
    )


def _beside(path: str, databases: set[str]) -> bool:
    return any(path.endswith(end) and path.removesuffix(end) in databases for end in BESIDE)


def copy_database(place: Path, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """A copy of the database as it is at this moment, however many processes are writing to it meanwhile.

    They are not held up (in WAL mode) and neither is the copy: it reads one state of the database from beginning to
    end. The copy is checked page by page (`PRAGMA quick_check`). Raises SourceUnusable.
    """
    import apsw

    source = None
    try:
        source = apsw.Connection(str(place), flags=apsw.SQLITE_OPEN_READONLY)
        source.set_busy_timeout(BUSY_MS)
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # from here on it sees one state
        copy = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        try:
            copy.pragma("synchronous", "off")  # synced as part of the archive
            copy.pragma("journal_mode", "off")
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES)
                    if progress is not None:
                        progress(backup.page_count - backup.remaining, backup.page_count)
        finally:
            copy.close()
        _check_copy(place, target)
    except apsw.BusyError as error:
        raise SourceUnusable(
            f"the database {place} was locked for {BUSY_MS // 1000} s", hint="find out who holds it (fuser), try again"
        ) from error
    except apsw.FullError as error:
        raise OSError(28, "No space left on device") from error
    except apsw.Error as error:
        raise SourceUnusable(
            f"the database {place} cannot be copied: {error}",
            hint="it may be damaged: restore it, or check the folder's rights",
        ) from error
    finally:
        if source is not None:
            source.close()


def _check_copy(place: Path, copy: Path) -> None:
    import apsw

    uri = copy.absolute().as_uri() + "?immutable=1"
    connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    finally:
        connection.close()
    if found != ["ok"]:
        raise SourceUnusable(
            f"the database {place} is damaged: {found[0]}", hint="a copy of it would be worth nothing: restore it first"
        )
