"""The views as the events alone make them, in a file beside the ledger that is brought forward and never trusted.

After a comparison the file is kept under its own SHA-256, which goes into the signed log (`ViewsReconciled`). Whoever
changes the file changes its hash, and the next comparison begins with the first event again. So an incremental
comparison reads what is new, and otherwise only what has a signature above it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import apsw

from daybreak.ledger.record import Record
from daybreak.ledger.scratch import STATEMENTS_KEPT, keep_plans
from daybreak.ledger.views import Views

FOLDER = "reconciled"
LOCK = "lock"
_CHUNK = 1024


def folder_of(directory: Path) -> Path:
    """Where a ledger in `directory` keeps its replayed views. All of it may be deleted: the next comparison is a full
    one."""
    return directory / FOLDER


class Replay:
    """The views' tables in a database of their own. Used by one thread at a time; close it."""

    def __init__(self, views: Views, connection: apsw.Connection, path: Path, size: int) -> None:
        """Use `begin` or `go_on`."""
        self.connection = connection
        self.size = size
        """Events that were replayed."""
        self._views = views
        self._path = path
        self._closed = False

    @classmethod
    def begin(cls, views: Views, folder: Path) -> Replay:
        """Empty tables."""
        path = _working(folder)
        connection = _connect(path)
        for schema in views.schemas:
            connection.execute(schema)
        connection.execute("CREATE TABLE replay (definition TEXT NOT NULL, salt BLOB NOT NULL) STRICT")
        connection.execute("INSERT INTO replay VALUES (?, ?)", (_definition(views), os.urandom(32)))
        return cls(views, connection, path, 0)

    @classmethod
    def go_on(cls, views: Views, folder: Path, kept: str, size: int) -> Replay | None:
        """What was kept under that hash after so many events. None where it is not there, is not what was kept, or is
        of views that are defined otherwise now."""
        source = folder / f"{kept}.db"
        path = _working(folder)
        try:
            shutil.copyfile(source, path)
            path.chmod(0o600)
            if _digest(path) != kept:
                path.unlink()
                return None
        except FileNotFoundError:
            return None
        connection = _connect(path)
        if connection.execute("SELECT definition FROM replay").fetchall() != [(_definition(views),)]:
            connection.close()
            path.unlink()
            return None
        return cls(views, connection, path, size)

    def extend(self, records: Iterable[Record]) -> None:
        """The records that follow. Raises what a view raises that does not take its own events."""
        chunk: list[Record] = []
        for record in records:
            chunk.append(record)
            if len(chunk) == _CHUNK:
                self._apply(chunk)
                chunk = []
        if chunk:
            self._apply(chunk)

    def _apply(self, chunk: list[Record]) -> None:
        assert chunk[0].index == self.size, "records follow each other"
        self._views.apply(self.connection, chunk)
        self.size = chunk[-1].index + 1

    def keep(self) -> str:
        """End it, and put the file under its hash, which is returned. Others are removed only by `tidy`."""
        self._closed = True
        self.connection.execute("COMMIT")
        self.connection.close()
        kept = _digest(self._path)
        self._path.replace(self._path.with_name(f"{kept}.db"))
        return kept

    def close(self) -> None:
        """Throw it away, unless it was kept."""
        if not self._closed:
            self._closed = True
            self.connection.close()
            self._path.unlink(missing_ok=True)


def tidy(folder: Path, kept: str) -> None:
    """Remove what earlier comparisons left, also those that were killed. Called by who holds the lock."""
    for path in _files(folder):
        if path.name != f"{kept}.db":
            path.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return [path for path in folder.iterdir() if path.name != LOCK]
    return []


def _working(folder: Path) -> Path:
    return folder / f".{os.urandom(8).hex()}.new"


def _connect(path: Path) -> apsw.Connection:
    """Nothing in it needs to outlive a crash: what is not whole has another hash."""
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=STATEMENTS_KEPT)
    connection.pragma("journal_mode", "off")
    connection.pragma("synchronous", "off")
    connection.pragma("locking_mode", "exclusive")
    connection.pragma("cache_size", -16 * 1024)
    keep_plans(connection)
    connection.execute("BEGIN")
    return connection


def _definition(views: Views) -> str:
    """Changes with every view, its version and its tables."""
    told = repr([(view.name, view.version, view.schema) for view in views.all])
    return sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def _digest(path: Path) -> str:
    found = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
