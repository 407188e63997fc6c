"""The ledger: append, read, prove; the one place where state changes.

`Ledger.open` compares what the file holds with the key and with the head known outside, and refuses to go on
where they differ. `append` returns when the events are durable: synced, in the tree and signed.
Whole-ledger checks are in `verification`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

import anyio.to_thread
import apsw

from daybreak import ids
from daybreak.clock import Clock
from daybreak.errors import LedgerBusy, LedgerError, LedgerStopped
from daybreak.events import KEYS
from daybreak.ledger import comparing, database, keyfile, rotation, rows
from daybreak.ledger.bells import Bells
from daybreak.ledger.blobs import BlobRefused
from daybreak.ledger.keyring import Keyring
from daybreak.ledger.log import Log
from daybreak.ledger.note import Checkpoint, Signer, Verifier
from daybreak.ledger.opening import Opening
from daybreak.ledger.record import BLOB_BYTES, Draft, Record, Submission
from daybreak.ledger.sinks import LoopSink
from daybreak.ledger.subjects import SubjectKeys
from daybreak.ledger.tiles import TileReader
from daybreak.ledger.tree import consistency_proof, inclusion_proof, remembered
from daybreak.ledger.views import Difference, View, Views
from daybreak.ledger.witness import Keeper, Witness
from daybreak.ledger.writer import Writer

if TYPE_CHECKING:
    from daybreak.ledger.following import Following
    from daybreak.ledger.reconciliation import Reconciliation
    from daybreak.ledger.replicas import Replicas, Replication


class Ledger:
    """An open ledger. Safe to use from several threads and event loops; other processes may append too.

    Not for use across a fork: open it again in the child.
    """

    def __init__(
        self, directory: Path, log: Log, keyring: Keyring, witness: Witness, keys: Path, entropy: ids.Entropy
    ) -> None:
        """Use `Ledger.open`."""
        self.directory = directory
        self.verifier = keyring
        """Opens heads by every key that the ledger has had; its `text` is the present one."""
        self._keys = keys
        self._entropy = entropy
        self._views = log.views
        self._path = directory / database.FILE
        self._blobs = log.blobs
        self._reader = database.connect_reader(self._path)
        self._reading = threading.Lock()
        self.subjects = SubjectKeys(keys, witness.path.parent, entropy)
        """The keys of what is sealed."""
        self._rows = rows.Rows(self._reader, self._blobs, self.subjects)
        self._head = log.head
        self._subtrees: dict[tuple[int, int], bytes] = {}
        self._securing: list[Callable[[], object]] = []
        self._keeper = Keeper(witness, keyring, self._witness_failed)
        self._writer_connection = log.connection
        self._bells = Bells(directory)
        self._followings: WeakSet[Following] = WeakSet()
        self._writer = Writer(log, self._committed)
        self._sink: LoopSink | None = None
        self._replicas: Replicas | None = None
        self._ending: list[Callable[[], None]] = []
        """What else is closed with it: the last of them after the writer, the others before."""
        self.postgres: str | None = None
        """Where the ledger is, without a password, if the file is the mirror of one in Postgres."""
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
        postgres: str | None = None,
        stopped_s: float = database.STOPPED_S,
    ) -> Ledger:
        """Open, or create where neither ledger, key nor witnessed events exist.

        directory: the database and the blobs. keys: the signing key, outside of it. witness: the highest head known,
        outside of both. All three are created (mode 0700) when new.
        postgres: the URL of the Postgres that holds the ledger (`postgres.address`); the directory then holds a mirror.
        Raises PostgresAddressWrong, PostgresUnusable, too. stopped_s: there, a process that has the ledger's lock and
        has said nothing for so long is cut off by those who wait for it.
        Raises LedgerMissing, LedgerForeign, LedgerTampered, LedgerBehind, LedgerForked, KeyMissing, KeyExposed,
        KeyWrong, WitnessMissing, WitnessBroken: in each case nothing was changed; LedgerStopped where the disk refuses.
        """
        try:
            where = (directory, keys, witness, clock, Views(views), entropy)
            if postgres is None:
                found = Opening(*where).opened()
                ledger = cls(directory, found.log, found.keyring, found.witness, keys, entropy)
            else:
                from daybreak.ledger.postgres import opening  # whoever has none needs no driver

                found = opening.PostgresOpening(*where, postgres, stopped_s).opened()
                ledger = cls(directory, found.log, found.keyring, found.witness, keys, entropy)
                ledger.postgres, ending = opening.attend(found.log, ledger._heard)
                ledger._ending += ending
            if ledger.subjects.concern():
                ledger._settle_subjects()
        except OSError as error:
            raise LedgerStopped(
                f"the ledger in {directory} cannot be opened: {error}",
                hint="look at the disk, its space and its rights.",
            ) from error
        return ledger

    # -- append

    def append(self, drafts: Sequence[Draft]) -> list[Record]:
        """All or none of them; returns when they are durable, and after every subscriber was called.

        Raises LeaseLost, FenceMissing, IdemConflict, DraftRefused: nothing of this call was appended.
        BlobRefused: the disk took no large payload, and nothing was appended. LedgerBusy: nothing was appended, repeat.
        LedgerStopped: the disk failed; whether they are there shows
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
        rotation.refuse(drafts)
        submission = Submission(drafts, self.subjects)
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
        rotation.refuse(drafts)
        submission = Submission(drafts, self.subjects)
        self._store_large(submission)
        return submission

    def _store_large(self, submission: Submission) -> None:
        for payload in submission.large():
            try:
                self._blobs.put(payload)
            except OSError as error:
                raise BlobRefused(
                    f"the disk refused {len(payload):,} bytes beside the ledger ({error}); nothing was appended",
                    hint="make room or mend the disk, then try again.",
                ) from error

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

    def read_since(self, stream: str, moment: str) -> Iterator[Record]:
        """The stream's events from that moment on, which is looked up by halves. Raises as `read`."""
        with self._locked_rows() as read:
            after = read.seq_before(stream, moment)
        return self.read(stream, after=after)

    def read_all(self, *, after: int = -1) -> Iterator[Record]:
        """All events with index > `after`, by leaf index."""
        while True:
            with self._locked_rows() as read:
                records = read.page(after)
            if not records:
                return
            yield from records
            after = records[-1].index

    def at(self, indexes: Sequence[int]) -> list[Record]:
        """The events with these indexes, in this order. Raises as `read`, and LedgerTampered where there is no such."""
        found: list[Record] = []
        for start in range(0, len(indexes), rows.PAGE):
            with self._locked_rows() as read:
                found += read.at(indexes[start : start + rows.PAGE])
        return found

    def follow(self, *, after: int | None = None) -> Following:
        """Records as they come, whoever appends them: `for record in …` or `async for record in …`, from behind the
        event with index `after` (-1: everything; None: what comes from now on), until it or the ledger is closed.
        Raises LedgerBehind where there are not so many events."""
        from daybreak.ledger.following import Following

        if self._closed:
            raise LedgerStopped("the ledger was closed", hint="open it again.")
        following = Following(self.directory, after=after, subjects=self.subjects)
        self._followings.add(following)
        return following

    def streams(self) -> list[str]:
        """Every stream, in the order of their first events."""
        with self._locked_rows() as read:
            return read.streams()

    def epoch(self, stream: str) -> int:
        """The stream's current epoch; 0 before any lease."""
        with self._locked_rows() as read:
            return read.tip(stream)[2]

    def sealed_by(self, key: str, start: int, end: int, *, archived: bool = True) -> list[str]:
        """The stream of each event from index `start` to before `end` that the subject's key of that name sealed;
        without `archived` only of those that were not pruned."""
        with self._locked_rows() as read:
            return read.sealed_by(key, start, end, archived=archived)

    def forgotten_subjects(self) -> dict[str, str]:
        """The names of the subjects' keys that were destroyed, each with when."""
        with self._locked_rows() as read:
            return read.forgotten()

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Ask the views, on a connection that cannot write. Another process's appends show in a view once this
        ledger appends or opens again, unless that process keeps the same view."""
        with self._locked_rows():
            return self._reader.execute(sql, tuple(params)).fetchall()

    def put_blob(self, data: bytes) -> str:
        """Store bytes beside the ledger, on disk before this returns; gives their SHA-256 in hex. Raises OSError."""
        return self._blobs.put(data)

    async def put_blob_async(self, data: bytes) -> str:
        """As `put_blob`, without making the loop wait for a network."""
        if self.postgres is None:
            return self.put_blob(data)
        return await anyio.to_thread.run_sync(self.put_blob, data, abandon_on_cancel=True)

    def get_blob(self, digest: str) -> bytes:
        """The bytes, checked. Raises BlobMissing, BlobDamaged."""
        return self._blobs.get(digest)

    def has_blob(self, digest: str) -> bool:
        return self._blobs.has(digest)

    def bring_blobs(self) -> int:
        """Have every blob of the ledger in its folder, where other homes put some into Postgres; how many came.
        Raises BlobDamaged, LedgerBusy, PostgresUnusable, OSError."""
        return self._blobs.bring()

    # -- prove

    def head(self) -> Checkpoint:
        """The last signed head that this process wrote or saw."""
        return self._head

    def inclusion_proof(self, index: int) -> tuple[Checkpoint, list[bytes]]:
        """The current head, and the path that shows event `index` in it (`tree.verify_inclusion`)."""
        head, path = self._proof(lambda size, subtree: inclusion_proof(index, size, subtree))
        return head, path

    def joint_proof(self, indexes: Sequence[int]) -> tuple[Checkpoint, list[bytes]]:
        """The current head, and the hashes that show all these events in it at once (`jointproof`)."""
        from daybreak.ledger.jointproof import joint_proof

        head, hashes = self._proof(lambda size, subtree: joint_proof(indexes, size, subtree))
        return head, hashes

    def consistency_proof(self, old: int) -> tuple[Checkpoint, list[bytes]]:
        """The current head, and the path that shows that it continues the tree of `old` leaves."""
        head, path = self._proof(lambda size, subtree: consistency_proof(old, size, subtree))
        return head, path

    def newest(self) -> Checkpoint:
        """The newest signed head in the file, also where another process wrote it."""
        head, _ = self.consistency_proof(0)
        return head

    def proof_between(self, old: int, new: int) -> list[bytes]:
        """The path that shows that the tree of `new` leaves begins with that of `old`; there are at least `new` events.
        Raises ValueError for an `old` that is greater, LedgerTampered."""
        with self._locked_rows() as read:
            tiles = TileReader(max(new, read.last_leaf() + 1), lru_cache(64)(read.tile), read.leaf_hashes)
            return consistency_proof(old, new, remembered(tiles.subtree, self._subtrees))

    def compare(self, known: Checkpoint) -> None:
        """Is a head that is known outside one of this ledger's? Raises LedgerBehind, LedgerForked, LedgerTampered."""
        with self._locked_rows() as read:
            comparing.compare(self._path, read, read.last_leaf() + 1, known)

    def root(self, size: int) -> bytes:
        """Of the tree of the first `size` events. Raises ValueError where there are fewer, LedgerTampered."""
        with self._locked_rows() as read:
            held = read.last_leaf() + 1
            if not 0 <= size <= held:
                raise ValueError(f"{size} events are not among {held}")
            return TileReader(held, lru_cache(64)(read.tile), read.leaf_hashes).root(size)

    def _proof(self, make: Callable[[int, Callable[[int, int], bytes]], list[bytes]]) -> tuple[Checkpoint, list[bytes]]:
        with self._locked_rows() as read:
            stored = read.head()
            assert stored is not None
            size, note = stored
            newest = self._head  # once: a commit may put another one there meanwhile
            head = newest if note == newest.text else self.verifier.open(note)
            tiles = TileReader(size, lru_cache(64)(read.tile), read.leaf_hashes)  # eight levels of a path are one tile
            return head, make(size, remembered(tiles.subtree, self._subtrees))

    # -- keys

    def rotate_key(self, *, why: str = "", keep_old: bool = False) -> Record:
        """Give the ledger another signing key; returns the event, which both keys signed and from which on the new one
        signs. Other processes that have the ledger open take it up with their next append.

        The old secret is overwritten and removed, or kept beside the new one as `old-<id>.key` with `keep_old`.
        A crash leaves the old state or the new one: opening the ledger again finishes or takes back what was begun.
        Raises KeyMissing, KeyExposed, KeyWrong, RevocationRefused (of `why`), KeysUnmovable, LedgerBusy, LedgerStopped.
        """
        rotation.check_why(why)
        with self._changing_keys() as old:
            new = Signer(old.verifier.origin, self._entropy(32))
            rotation.check_new(new, self.verifier)
            keyfile.prepare(self._keys, new, old, keep_old=keep_old)
            known = self.verifier.history
            return self._append_key_event(lambda _, head: (rotation.rotated(old, new, head, known, why), new))

    def revoke_key(self, key: str, *, size: int | None = None, why: str = "") -> Record:
        """Say that an earlier key (its id, or the beginning of it) is not to be believed where it signed more than
        `size` events; without a size, more than were there when it handed over. Returns the event. Raises as
        `rotate_key`."""
        rotation.check_why(why)
        with self._changing_keys() as present:
            draft = rotation.revoked(present, self.verifier, key, size, why)
            return self._append_key_event(lambda signer, _: (draft, signer))

    def vouch(self, statement: bytes) -> tuple[str, Verifier]:
        """The present key's signature (base64) under a statement that is no head, and that key. Its first line must
        hold a space, which no name of a log does. Nothing is appended. Raises KeyMissing, KeyExposed, KeyWrong,
        LedgerBusy, LedgerStopped."""
        if b" " not in statement.partition(b"\n")[0]:
            raise ValueError("a statement begins as no head can: its first line holds a space")
        signed: tuple[str, Verifier] = self._writer.run(lambda log: log.vouch(statement))
        return signed

    @contextlib.contextmanager
    def _changing_keys(self) -> Iterator[Signer]:
        """The present key, while no other process changes it; afterwards the files say what the ledger says."""
        what = f"the keys in {self._keys} could not be changed, and nothing was"
        try:
            with keyfile.rotating(self._keys):
                self._writer.run(self._catch_up)  # a mirror may not have heard of the last change
                if not self.verifier.learn_more():
                    raise LedgerBusy(
                        f"{self._path} cannot be asked for its keys now", hint="nothing was changed; try again."
                    )
                keyfile.install(self._keys, self.verifier.history)  # a key on its way may be the only copy
                yield rotation.signer(self._path, self._keys, self.verifier)
                what = f"the ledger knows of the change, but the files in {self._keys} do not all say so yet"
                self.sync_witness()  # before the old secret goes: nothing that is kept outside waits for it any more
                keyfile.install(self._keys, self.verifier.history)
        except OSError as error:
            raise LedgerStopped(
                f"{what}: {error}",
                hint="look at the disk, its space and its rights; opening the ledger again settles what was begun.",
            ) from error

    def _append_key_event(self, make: Callable[[Signer, Checkpoint], tuple[Draft, Signer]]) -> Record:
        def work(log: Log) -> Record:
            record = log.append_key_event(make)
            self._committed(log.head)
            self._writer.tell(log.heard([record]))
            return record

        record: Record = self._writer.run(work)
        return record

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

    @property
    def views(self) -> Views:
        """Those that it was opened with."""
        return self._views

    def reconcile(
        self, *, full: bool = False, repair: bool = True, progress: Callable[[int, int], None] | None = None
    ) -> Reconciliation:
        """Make the views again from the events, beside the ledger, compare, and repair what differs; by itself it
        reads only what is new since the last time. See `reconciliation.reconcile`."""
        from daybreak.ledger.reconciliation import reconcile  # whoever only appends starts without it

        return reconcile(self, full=full, repair=repair, progress=progress)

    def on_writer(self, work: Callable[[Log], Any]) -> Any:
        """Have something done between two transactions, and wait for it. What it raises, LedgerBusy aside, stops the
        ledger."""
        return self._writer.run(work)

    def rows_of(self, connection: apsw.Connection) -> rows.Rows:
        """The ledger's tables as another connection to the same file sees them."""
        return rows.Rows(connection, self._blobs)

    # -- replicas

    def replicate(self, rule: Replication) -> Replicas:
        """From now on keep copies in `rule.targets`, on threads of their own; once for each open ledger. A target that
        cannot be reached is reported, by an event, and tried again."""
        from daybreak.ledger.replicas import Replicas

        assert self._replicas is None, "a ledger is replicated by one rule"
        self._replicas = Replicas(
            self.directory,
            rule,
            lambda: self.verifier,
            self.rows_of,
            lambda event: self.submit([Draft(KEYS, event, "replicas")]),
            self._head.size,
        )
        return self._replicas

    @property
    def replicas(self) -> Replicas | None:
        """None where `replicate` was not called."""
        return self._replicas

    @property
    def replicated(self) -> int:
        """So many events are on as many targets as the rule wants; 0 where there are no replicas."""
        return 0 if self._replicas is None else self._replicas.replicated

    def wait_replicated(self, size: int | None = None, timeout_s: float | None = None) -> None:
        """Returns when as many targets as the rule wants hold `size` events (all that are durable now) on disk; each is
        asked anew. Raises NotReplicated after `timeout_s` (that of the rule), or where there are no replicas."""
        if self._replicas is None:
            from daybreak.ledger.replicas import NotReplicated

            raise NotReplicated("the ledger has no replicas", hint="name targets in `[replicas]` of daybreak.toml.")
        wanted = self._head.size if size is None else size
        self._replicas.wait(wanted, self._replicas.rule.wait_s if timeout_s is None else timeout_s)

    def secure(self) -> None:
        """Before something is done outside that the ledger must not forget: the head kept outside covers everything
        acknowledged, and so do the replicas where their rule says that deliveries need it.

        Raises WitnessBroken, LedgerForked, NotReplicated.
        """
        self.sync_witness()
        if self._replicas is not None and self._replicas.rule.deliveries == "replicated":
            self.wait_replicated()
        for also in self._securing:
            also()

    def secure_also(self, also: Callable[[], object]) -> None:
        """From now on `secure` calls this too; what it raises is raised there."""
        self._securing.append(also)

    def refuse(self, error: LedgerError) -> None:
        """Append nothing more: what is known outside says that this must not go on. Whoever appends is told why."""
        self._witness_failed(error)

    async def secure_async(self) -> None:
        """As `secure`, without blocking the loop."""
        await anyio.to_thread.run_sync(self.secure, abandon_on_cancel=True)

    # -- end

    def sync_witness(self) -> None:
        """Returns when the head kept outside covers everything acknowledged. Raises WitnessBroken, LedgerForked."""
        self._keeper.sync()

    def close(self) -> None:
        """Write what was submitted, sync the witness, close the files. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for following in list(self._followings):
            following.close()
        for end in self._ending[:-1]:
            end()
        self._writer.close()
        for end in self._ending[-1:]:
            end()
        if self._replicas is not None:
            self._replicas.close()
        self._bells.close()
        self._keeper.close()
        try:
            self._keeper.sync()
        finally:
            with self._reading:
                self._reader.close()
            database.close(self._writer_connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _committed(self, head: Checkpoint) -> None:
        self._head = head
        self._keeper.tell(head)
        if self._replicas is not None:
            self._replicas.tell(head)
        self._bells.ring()

    def _heard(self, size: int) -> None:
        """Other homes have appended up to `size` events: this one takes them over, if nobody here has yet."""
        if size <= self._head.size:
            return
        with self._locked_rows() as read:
            mirrored = read.head()
        if mirrored is None or mirrored[0] < size:
            self._writer.post(lambda log: self._catch_up(log) if log.head.size < size else None)

    def _catch_up(self, log: Log) -> None:
        if log.catch_up():
            self._committed(log.head)

    def _witness_failed(self, error: LedgerError) -> None:
        self._writer.stop(LedgerStopped(f"the ledger stopped: {error.message}", hint=error.hint))

    def _settle_subjects(self) -> None:
        """Finish what a crash left of a redaction, and redo one that an old copy does not know of."""
        from daybreak.ledger import redaction  # most ledgers have no subjects

        try:
            redaction.settle(self)
        except BaseException:
            self.close()
            raise

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
