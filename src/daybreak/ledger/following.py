"""Readers that follow the log live from a position, in this process or another one.

    with follow(directory, after=-1) as events:
        for record in events: …          # blocks until there is a next one; `async for` does not block the loop

Each record comes once, in order, after it is durable. Between commits a reader sleeps: writers wake it (`bells`).
Because a writer may be killed before it rings, a reader looks by itself too, every `FALLBACK_S` seconds, and every
`ASK_S` where no bell can be hung up (a folder that it may not write in); a look that finds nothing new reads one page.
What is read is checked as `Ledger.read_all` checks it; whether it was signed is what `ledger verify` says.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import apsw

from daybreak.errors import LedgerBehind, LedgerError, LedgerMissing, LedgerStopped
from daybreak.ledger import database, rows
from daybreak.ledger.bells import Bell
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.record import Record
from daybreak.ledger.sealing import Subjects

FALLBACK_S = 2.0
ASK_S = 0.25


class FollowedAnother(LedgerError):
    """The file that was followed is no longer the ledger: another one lies in its place."""

    code = "L152"


class Following:
    """Iterate it, in one thread or task at a time. It ends when it is closed, here or from another thread."""

    def __init__(self, directory: Path, *, after: int | None = None, subjects: Subjects | None = None) -> None:
        """Use `follow` or `Ledger.follow`."""
        self._path = directory / database.FILE
        connection = _connect(self._path)
        try:
            with rows.readable(self._path):
                self._file = _identity(self._path)
                self._rows = rows.Rows(connection, BlobStore(directory / database.BLOBS), subjects)
                last = self._rows.last_leaf()
            if after is not None and after > last:
                raise LedgerBehind(
                    f"{self._path} holds {last + 1} events, and those after event {after} were asked for",
                    hint="it was cut or is an old copy, or the position is that of another ledger.",
                )
            self._bell = Bell(directory)
        except BaseException:
            connection.close()
            raise
        self.position = last if after is None else max(after, -1)
        """Index of the last record that was given."""
        self._connection = connection
        self._read = self.position
        self._ready: deque[Record] = deque()
        self._seen: object = None
        self._closed = False
        self._inside = 0
        self._guard = threading.Lock()
        self._release = weakref.finalize(self, _let_go, self._bell, connection)

    @property
    def interval_s(self) -> float:
        """How often it looks by itself while nobody wakes it."""
        return FALLBACK_S if self._bell.rung else ASK_S

    # -- iterate

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        if not self._enter():
            raise StopIteration
        try:
            while not self._ready:
                if not self._fetch():
                    self._bell.wait(self.interval_s)
                if self._closed:
                    raise StopIteration
            return self._give()
        finally:
            self._leave()

    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        import anyio
        import anyio.to_thread

        if not self._enter():
            raise StopAsyncIteration
        try:
            while not self._ready:
                if not await anyio.to_thread.run_sync(self._fetch):
                    with anyio.move_on_after(self.interval_s):
                        await anyio.wait_readable(self._bell)
                if self._closed:
                    raise StopAsyncIteration
            return self._give()
        finally:
            self._leave()

    def waiting(self) -> list[Record]:
        """What there is now, without waiting: up to a few hundred records, none where nothing is new."""
        if not self._enter():
            return []
        try:
            if not self._ready:
                self._fetch()
            return [self._give() for _ in range(len(self._ready))]
        finally:
            self._leave()

    # -- end

    def close(self) -> None:
        """Whoever waits for the next record is told that there is none. A second call does nothing."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            if self._inside:
                self._bell.wake()
            else:
                self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _enter(self) -> bool:
        with self._guard:
            if self._closed:
                return False
            self._inside += 1
            return True

    def _leave(self) -> None:
        with self._guard:
            self._inside -= 1
            if self._closed and not self._inside:
                self._release()

    # -- look

    def _give(self) -> Record:
        record = self._ready.popleft()
        self.position = record.index
        return record

    def _fetch(self) -> bool:
        """Is there more? Raises LedgerBehind, FollowedAnother, and what reading raises."""
        self._bell.hear()
        with rows.readable(self._path):
            ((version,),) = self._connection.execute("PRAGMA data_version").fetchall()
            if version == self._seen:
                self._check_file()
                return False
            records = self._rows.page(self._read)
            if records:
                self._ready += records
                self._read = records[-1].index
                return True
            last = self._rows.last_leaf()
            if last < self._read:
                raise LedgerBehind(
                    f"{self._path} held {self._read + 1} events and now holds {last + 1}",
                    hint="it was cut, or an old copy was put back: run `daybreak ledger verify`.",
                )
            self._seen = version
            return False

    def _check_file(self) -> None:
        try:
            same = _identity(self._path) == self._file
        except FileNotFoundError:
            same = False
        if not same:
            raise FollowedAnother(
                f"{self._path} is not the file that was followed up to event {self._read}",
                hint="a restore put another ledger there, or somebody moved it: follow it anew.",
            )


def follow(directory: Path, *, after: int | None = None) -> Following:
    """Follow the ledger in `directory` from behind the event with index `after`: -1 for everything, None for what
    comes from now on. Needs no key, writes nothing into the ledger, and may be in any process. What is sealed for a
    subject comes sealed: `Ledger.follow` reads it.

    Raises LedgerMissing, LedgerForeign, LedgerStopped, LedgerTampered; LedgerBehind where there are not so many events.
    """
    return Following(directory, after=after)


def _connect(path: Path) -> apsw.Connection:
    if not path.is_file():
        raise LedgerMissing(f"there is no ledger at {path}", hint="check the folder, or DAYBREAK_HOME.")
    try:
        connection = database.connect_reader(path)
    except (apsw.Error, OSError) as error:
        raise LedgerStopped(f"{path} cannot be opened: {error}", hint="look at its rights and its disk.") from error
    try:
        with rows.readable(path):
            database.check_format(connection, path)
    except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
        connection.close()
        raise _unreadable(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _unreadable(path: Path, error: apsw.Error) -> LedgerStopped:
    """To read, SQLite needs the write-ahead log, and the shared memory beside it, which whoever comes first makes."""
    if Path(f"{path}-wal").exists():
        return LedgerStopped(
            f"{path} cannot be read: this user may not read all that belongs to it ({error})",
            hint=f"let this user read {path.name}, {path.name}-wal and {path.name}-shm, or write in {path.parent}.",
        )
    return LedgerStopped(
        f"{path} cannot be read: nobody has it open, and this user may not write beside it ({error})",
        hint=f"follow it while another program has it open, or let this user write in {path.parent}.",
    )


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _let_go(bell: Bell, connection: apsw.Connection) -> None:
    with contextlib.suppress(OSError):
        bell.close()
    connection.close()
