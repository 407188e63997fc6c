"""The ledger: append, read, prove; the one place where state changes.

`Ledger.open` compares what the file holds with the key and with the head known outside, and refuses to go on
where they differ. `append` returns when the events are durable: synced, in the tree and signed.
Whole-ledger checks are in `verification`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio.to_thread
import apsw

from daybreak import ids
from daybreak.clock import Clock
from daybreak.errors import LedgerError, LedgerMissing, LedgerStopped, LedgerTampered, WitnessMissing
from daybreak.host.durable import make_folder
from daybreak.ledger import database, keyfile, rows
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.files import locked
from daybreak.ledger.log import Log
from daybreak.ledger.note import Checkpoint, Signer, Verifier
from daybreak.ledger.record import BLOB_BYTES, Draft, Record, Submission
from daybreak.ledger.sinks import LoopSink
from daybreak.ledger.tiles import TileReader
from daybreak.ledger.tree import consistency_proof, inclusion_proof, remembered
from daybreak.ledger.views import Difference, View, Views
from daybreak.ledger.witness import Keeper, Witness
from daybreak.ledger.writer import Writer


class Ledger:
    """An open ledger. Safe to use from several threads and event loops; other processes may append too.

    Not for use across a fork: open it again in the child.
    """

    def __init__(self, directory: Path, log: Log, verifier: Verifier, witness: Witness) -> None:
        """Use `Ledger.open`."""
        self.directory = directory
        self.verifier = verifier
        self._views = log.views
        self._path = directory / database.FILE
        self._blobs = BlobStore(directory / database.BLOBS)
        self._reader = database.connect_reader(self._path)
        self._reading = threading.Lock()
        self._rows = rows.Rows(self._reader, self._blobs)
        self._head = log.head
        self._subtrees: dict[tuple[int, int], bytes] = {}
        self._keeper = Keeper(witness, verifier, self._witness_failed)
        self._writer_connection = log.connection
        self._writer = Writer(log, self._committed)
        self._sink: LoopSink | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        keys: Path,
        witness: Path,
        clock: Clock,
        views: Sequence[View] = (),
        entropy: ids.Entropy = os.urandom,
    ) -> Ledger:
        """Open, or create where neither ledger, key nor witnessed events exist.

        directory: the database and the blobs. keys: the signing key, outside of it. witness: the highest head known,
        outside of both. All three are created (mode 0700) when new.
        Raises LedgerMissing, LedgerForeign, LedgerTampered, LedgerBehind, LedgerForked, KeyMissing, KeyExposed,
        KeyWrong, WitnessMissing, WitnessBroken: in each case nothing was changed; LedgerStopped where the disk refuses.
        """
        try:
            return cls._open(directory, keys, witness, clock, views, entropy)
        except OSError as error:
            raise LedgerStopped(
                f"the ledger in {directory} cannot be opened: {error}",
                hint="look at the disk, its space and its rights.",
            ) from error

    @classmethod
    def _open(
        cls, directory: Path, keys: Path, witness: Path, clock: Clock, views: Sequence[View], entropy: ids.Entropy
    ) -> Ledger:
        for folder in (directory, keys, witness):
            make_folder(folder)
        path = directory / database.FILE
        outside = Witness(witness)
        kept = Views(views)
        with locked(outside.lock):
            signer = _signer(path, keys, outside, clock, entropy)
            head = outside.read(signer.verifier)
        if head is None:
            raise WitnessMissing(
                f"there is no head at {outside.path} to compare the ledger with",
                hint="put the witness file back. Without it a cut or an old copy could not be noticed.",
            )
        log = _log(path, head, signer, clock, kept, entropy)
        outside.raise_to(log.head, signer.verifier)
        return cls(directory, log, signer.verifier, outside)

    # -- append

    def append(self, drafts: Sequence[Draft]) -> list[Record]:
        """All or none of them; returns when they are durable, and after every subscriber was called.

        Raises LeaseLost, FenceMissing, IdemConflict, DraftRefused: nothing of this call was appended.
        LedgerBusy: nothing was appended, repeat. LedgerStopped: the disk failed; whether they are there shows
        after opening again (an `idem` key makes the repeat harmless).
        """
        return self._writer.append(self._prepare(drafts))

    def submit(self, drafts: Sequence[Draft]) -> Future[list[Record]]:
        """As `append`, without waiting. Large payloads are stored before this returns."""
        submission = self._prepare(drafts)
        future: Future[list[Record]] = Future()
        self._writer.put([(submission, self._writer.futures, future)])
        return future

    async def append_async(self, drafts: Sequence[Draft]) -> list[Record]:
        """As `append`, from asyncio or trio, without blocking the loop for longer than a quick disk takes for a commit
        (`writer.QUICK_S`).

        A task cancelled while it waits may have appended all the same.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # another event loop: anyio knows how to wait there
            return await anyio.to_thread.run_sync(self.append, drafts)
        submission = Submission(drafts)
        if submission.longest > BLOB_BYTES:
            await anyio.to_thread.run_sync(self._store_large, submission)
        sink = self._sink
        if sink is None or sink.loop is not loop:
            sink = self._sink = LoopSink(loop, self._writer)
        return await sink.append(submission)

    def subscribe(self, callback: Callable[[list[Record]], None]) -> Callable[[], None]:
        """Call back after each commit of this process with its new records, in order, on the thread that wrote them:
        the writer's or that of a loop.

        It must be quick and must not wait for the ledger. Returns what ends the subscription.
        """
        return self._writer.subscribe(callback)

    def _prepare(self, drafts: Sequence[Draft]) -> Submission:
        submission = Submission(drafts)
        self._store_large(submission)
        return submission

    def _store_large(self, submission: Submission) -> None:
        for payload in submission.large():
            self._blobs.put(payload)

    # -- read

    def read(self, stream: str, *, after: int = -1) -> Iterator[Record]:
        """The stream's events with seq > `after`, each checked against its header and the one before it.

        Raises LedgerTampered, BlobMissing, BlobDamaged at the event concerned.
        """
        with self._locked_rows() as read:
            if not read.goes_on(stream, after):
                return
            tip = read.tip(stream, after)
        while True:
            with self._locked_rows() as read:
                records, tip = read.stream_page(stream, tip)
            if not records:
                return
            yield from records

    def read_all(self, *, after: int = -1) -> Iterator[Record]:
        """All events with index > `after`, by leaf index."""
        while True:
            with self._locked_rows() as read:
                records = read.page(after)
            if not records:
                return
            yield from records
            after = records[-1].index

    def streams(self) -> list[str]:
        """Every stream, in the order of their first events."""
        with self._locked_rows() as read:
            return read.streams()

    def epoch(self, stream: str) -> int:
        """The stream's current epoch; 0 before any lease."""
        with self._locked_rows() as read:
            return read.tip(stream)[2]

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Ask the views, on a connection that cannot write. Another process's appends show in a view once this
        ledger appends or opens again, unless that process keeps the same view."""
        with self._locked_rows():
            return self._reader.execute(sql, tuple(params)).fetchall()

    def put_blob(self, data: bytes) -> str:
        """Store bytes beside the ledger, on disk before this returns; gives their SHA-256 in hex."""
        return self._blobs.put(data)

    def get_blob(self, digest: str) -> bytes:
        """The bytes, checked. Raises BlobMissing, BlobDamaged."""
        return self._blobs.get(digest)

    def has_blob(self, digest: str) -> bool:
        return self._blobs.has(digest)

    # -- prove

    def head(self) -> Checkpoint:
        """The last signed head that this process wrote or saw."""
        return self._head

    def inclusion_proof(self, index: int) -> tuple[Checkpoint, list[bytes]]:
        """The current head, and the path that shows event `index` in it (`tree.verify_inclusion`)."""
        head, path = self._proof(lambda size, subtree: inclusion_proof(index, size, subtree))
        return head, path

    def consistency_proof(self, old: int) -> tuple[Checkpoint, list[bytes]]:
        """The current head, and the path that shows that it continues the tree of `old` leaves."""
        head, path = self._proof(lambda size, subtree: consistency_proof(old, size, subtree))
        return head, path

    def _proof(self, make: Callable[[int, Callable[[int, int], bytes]], list[bytes]]) -> tuple[Checkpoint, list[bytes]]:
        with self._locked_rows() as read:
            stored = read.head()
            assert stored is not None
            size, note = stored
            newest = self._head  # once: a commit may put another one there meanwhile
            head = newest if note == newest.text else self.verifier.open(note)
            tiles = TileReader(size, lru_cache(64)(read.tile), read.leaf_hashes)  # eight levels of a path are one tile
            return head, make(size, remembered(tiles.subtree, self._subtrees))

    # -- views

    def rebuild_views(self) -> None:
        """Throw this process's views away and make them again from the events."""
        self._writer.run(lambda log: log.rebuild_views())

    def compare_views(self) -> list[Difference]:
        """Where stored views differ from what the events say; empty when all is well."""
        connection = database.connect_reader(self._path)
        try:
            with rows.readable(self._path):
                connection.execute("BEGIN")
                return self._views.compare(connection, rows.Rows(connection, self._blobs).all())
        finally:
            connection.close()

    # -- end

    def sync_witness(self) -> None:
        """Returns when the head kept outside covers everything acknowledged. Raises WitnessBroken, LedgerForked."""
        self._keeper.sync()

    def close(self) -> None:
        """Write what was submitted, sync the witness, close the files. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        self._keeper.close()
        try:
            self._keeper.sync()
        finally:
            with self._reading:
                self._reader.close()
            self._writer_connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _committed(self, head: Checkpoint) -> None:
        self._head = head
        self._keeper.tell(head)

    def _witness_failed(self, error: LedgerError) -> None:
        self._writer.stop(LedgerStopped(f"the ledger stopped: {error.message}", hint=error.hint))

    def _locked_rows(self) -> _Reading:
        return _Reading(self)


class _Reading:
    """The reading connection, for one query at a time; damage becomes LedgerTampered."""

    __slots__ = ("_damage", "_ledger")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._damage = rows.readable(ledger._path)

    def __enter__(self) -> rows.Rows:
        if self._ledger._closed:
            raise LedgerStopped("the ledger was closed", hint="open it again.")
        self._ledger._reading.acquire()
        self._damage.__enter__()
        return self._ledger._rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger._reading.release()
        self._damage.__exit__(kind, error, trace)


def _signer(path: Path, keys: Path, witness: Witness, clock: Clock, entropy: ids.Entropy) -> Signer:
    """The key; made, with a witness of the empty tree, where there has never been anything.

    The witness of size 0 is written before the key and the key before the database, so a crash in between
    leaves what the next call recognises as a beginning.
    """
    if keyfile.exists(keys) or _holds_something(path):
        return keyfile.load(keys)
    if witness.exists() and not _is_beginning(witness):
        return keyfile.load(keys)  # raises KeyMissing: events were witnessed once
    signer = Signer(f"daybreak.local/{ids.new('ledger', clock.now(), entropy)}", entropy(32))
    witness.start(signer)
    keyfile.save(keys, signer)
    return signer


def _is_beginning(witness: Witness) -> bool:
    """Does the witness speak of no event? Its signature cannot be checked when the key was never saved."""
    return witness.path.read_text("utf-8", errors="replace").split("\n")[1:2] == ["0"]


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _log(path: Path, outside: Checkpoint, signer: Signer, clock: Clock, views: Views, entropy: ids.Entropy) -> Log:
    """The log, checked; created where nothing was ever witnessed."""
    if outside.size and not _holds_something(path):
        raise _missing(path, outside)
    with rows.readable(path):
        connection = database.connect_writer(path)
    try:
        with rows.readable(path):
            blank = database.is_blank(connection)
            if blank and outside.size:
                raise _missing(path, outside)
            if not blank:
                database.check_format(connection, path)
            database.make_durable(connection, path)
            log = Log(
                connection,
                path=path,
                signer=signer,
                blobs=BlobStore(path.parent / database.BLOBS),
                clock=clock,
                views=views,
                entropy=entropy,
            )
            if blank:
                log.create()
            log.load()
            log.compare(outside)
    except apsw.Error as error:
        connection.close()
        raise LedgerTampered(
            f"{path} cannot be opened: {error}", hint="run `daybreak ledger verify`; check rights and space."
        ) from error
    except BaseException:
        connection.close()
        raise
    return log


def _missing(path: Path, outside: Checkpoint) -> LedgerMissing:
    return LedgerMissing(
        f"{path} holds no events, but {outside.size} were known outside",
        hint="put the ledger back from a copy. To start anew, move its key and witness away too.",
    )
