"""A ledger without disk and threads, for simulation: the same rules, the same answers, in microseconds.

Admission, headers, hashes and views are the real ones; what is left out is what a disk is for: tiles, witness,
damage. With a fixed clock and entropy it is deterministic. The contract tests run on both ledgers.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

import anyio.lowlevel
import apsw
from msgspec import structs

from daybreak import ids
from daybreak.clock import Clock
from daybreak.errors import BlobMissing, DraftRefused, LedgerStopped
from daybreak.events import KEYS, LedgerCreated, SubjectForgotten
from daybreak.ledger import scratch
from daybreak.ledger.admission import START, Admission, Tip
from daybreak.ledger.note import Checkpoint, Signer, Verifier
from daybreak.ledger.record import Draft, Record, Submission
from daybreak.ledger.redaction import ACTOR
from daybreak.ledger.rows import FORGOTTEN
from daybreak.ledger.sealing import KEY_BYTES, Box, Secret
from daybreak.ledger.subjects import SubjectUnknown, checked, gone
from daybreak.ledger.tree import Frontier
from daybreak.ledger.views import Difference, View, Views

_log = logging.getLogger("daybreak.ledger")


def _refuse_writing(cursor: apsw.Cursor, sql: str, _: object) -> bool:
    if not cursor.is_readonly:
        raise apsw.ReadOnlyError(f"a query that would write: {sql:.80}")
    return True


class MemorySubjects:
    """Keys of subjects in memory, as `ledger.subjects.SubjectKeys` keeps them in files."""

    def __init__(self, entropy: ids.Entropy) -> None:
        self._entropy = entropy
        self._names: dict[str, str] = {}
        self._alive: dict[str, tuple[Box, str]] = {}

    def box(self, subject: str) -> Box:
        label = checked(subject)
        key = self._names.setdefault(label, "") or self._entropy(16).hex()
        if self._names[label] and key not in self._alive:
            raise gone(subject, key)
        self._names[label] = key
        return self._alive.setdefault(key, (Box(key, self._entropy(KEY_BYTES), self._entropy), label))[0]

    def find(self, key: str) -> Box | None:
        return self._alive[key][0] if key in self._alive else None

    def label(self, key: str) -> str:
        return self._alive[key][1] if key in self._alive else ""

    def forget(self, subject: str) -> str:
        """Destroy the subject's key; its name. Raises SubjectUnknown."""
        key = self._names.get(checked(subject), "")
        if not key:
            raise SubjectUnknown(f"nothing was kept for the subject {subject!r}", hint="append something first.")
        self._alive.pop(key, None)
        return key


class MemoryLedger:
    """Drop-in for `Ledger` inside one thread. `append` is atomic and at once; subscribers are called inside it."""

    def __init__(self, *, clock: Clock, views: Sequence[View] = (), entropy: ids.Entropy = os.urandom) -> None:
        self._clock = clock
        self._entropy = entropy
        self._views = Views(views)
        self._signer = Signer(f"daybreak.local/{ids.new('ledger', clock.now(), entropy)}", entropy(32))
        self._records: list[Record] = []
        self._streams: dict[str, list[Record]] = {}
        self._idems: dict[tuple[str, int, str], Record] = {}
        self._tips: dict[str, Tip] = {}
        self.subjects = MemorySubjects(entropy)
        self._blobs: dict[str, bytes] = {}
        self._subscribers: tuple[Callable[[list[Record]], None], ...] = ()
        self._telling = False
        self._closed = False
        self._asked: set[str] = set()
        """Questions that were seen to write nothing."""
        self._database = self._fresh_database()
        created = LedgerCreated(origin=self.verifier.origin, public_key=self.verifier.text)
        self.append([Draft(KEYS, created)])

    @property
    def verifier(self) -> Verifier:
        return self._signer.verifier

    # -- append

    def append(self, drafts: Sequence[Draft]) -> list[Record]:
        """As `Ledger.append`; never LedgerBusy."""
        assert not self._telling, "a subscriber must not wait for the ledger"
        self._check_open()
        submission = Submission(drafts, self.subjects)
        for payload in submission.large():
            self.put_blob(payload)
        admission = Admission(
            size=len(self._records),
            key_id=self._signer.verifier.key_id,
            moment=self._clock.now(),
            entropy=self._entropy,
            tips=self._tips,
            load_tip=lambda stream: START,
            find_idem=lambda *key: self._idems.get(key),
        )
        answer = admission.admit(submission)
        if admission.records:
            self._update_views(admission, drafts[0])
            self._keep(admission.records)
            self._tell(list(admission.records))
        return answer

    def forget(self, subject: str, *, why: str = "") -> None:
        """As `redaction.forget`."""
        key = self.subjects.forget(subject)
        held = [record for record in self._records if record.secret is not None and record.secret.key == key]
        for record in held:
            record.__dict__.clear()  # what it said when it was read before
        streams = len({record.stream for record in held})
        told = SubjectForgotten(key=key, events=len(held), streams=streams, why=why)
        if (KEYS, 0, f"{FORGOTTEN}{key}") not in self._idems:
            self.append([Draft(KEYS, told, ACTOR, idem=f"{FORGOTTEN}{key}")])

    async def append_async(self, drafts: Sequence[Draft]) -> list[Record]:
        """As `append`, after letting other tasks run; a task cancelled there has appended nothing."""
        await anyio.lowlevel.checkpoint()
        return self.append(drafts)

    def submit(self, drafts: Sequence[Draft]) -> Future[list[Record]]:
        """As `append`; a refusal is the future's exception. A draft that cannot be encoded raises at once."""
        Submission(drafts, self.subjects)
        self._check_open()
        future: Future[list[Record]] = Future()
        try:
            future.set_result(self.append(drafts))
        except Exception as error:  # noqa: BLE001 - handed to whoever holds the future
            future.set_exception(error)
        return future

    def subscribe(self, callback: Callable[[list[Record]], None]) -> Callable[[], None]:
        self._subscribers = (*self._subscribers, callback)

        def unsubscribe() -> None:
            self._subscribers = tuple(other for other in self._subscribers if other is not callback)

        return unsubscribe

    def _update_views(self, admission: Admission, first: Draft) -> None:
        if not self._views.change_by(admission.records):
            return
        self._database.execute("SAVEPOINT submission")
        try:
            self._views.apply(self._database, admission.records)
        except Exception as error:
            self._database.execute("ROLLBACK TO submission")
            admission.undo()
            raise DraftRefused(
                f"{first.event.type} for {first.stream} is refused by a view: {error}",
                hint="what the event says is not allowed in the present state.",
            ) from error
        finally:
            self._database.execute("RELEASE submission")

    def _keep(self, records: Sequence[Record]) -> None:
        readable = [self._readable(record) for record in records]
        self._records += readable
        for record in readable:
            self._streams.setdefault(record.stream, []).append(record)
            if record.idem is not None:
                self._idems[record.stream, record.gen, record.idem] = record

    def _readable(self, record: Record) -> Record:
        if record.secret is None:
            return record
        return structs.replace(record, secret=Secret(record.secret.key, self.subjects))

    def _tell(self, records: list[Record]) -> None:
        self._telling = True
        try:
            for callback in self._subscribers:
                try:
                    callback(records)
                except Exception:  # noqa: BLE001 - other people's code, after the fact
                    _log.exception("a subscriber of the ledger failed; the events are appended")
        finally:
            self._telling = False

    # -- read

    def __len__(self) -> int:
        """How many events it holds."""
        return len(self._records)

    def read(self, stream: str, *, after: int = -1) -> Iterator[Record]:
        self._check_open()
        return iter(self._streams.get(stream, [])[max(after, -1) + 1 :])

    def read_all(self, *, after: int = -1) -> Iterator[Record]:
        self._check_open()
        return iter(self._records[max(after, -1) + 1 :])

    def read_since(self, stream: str, moment: str) -> Iterator[Record]:
        return (record for record in self.read(stream) if record.ts >= moment)

    def at(self, indexes: Sequence[int]) -> list[Record]:
        return [self._records[index] for index in indexes]

    def streams(self) -> list[str]:
        return list(self._streams)

    def epoch(self, stream: str) -> int:
        return self._tips.get(stream, START)[2]

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Ask the views; a statement that would write is refused."""
        if sql in self._asked and not self._closed:
            return self._database.execute(sql, tuple(params)).fetchall()
        self._check_open()
        cursor = self._database.cursor()
        cursor.exec_trace = _refuse_writing  # `PRAGMA query_only` would have every statement prepared anew, each time
        rows = cursor.execute(sql, tuple(params)).fetchall()
        self._asked.add(sql)
        return rows

    def put_blob(self, data: bytes) -> str:
        digest = sha256(data).hexdigest()
        self._blobs[digest] = bytes(data)
        return digest

    async def put_blob_async(self, data: bytes) -> str:
        return self.put_blob(data)

    def get_blob(self, digest: str) -> bytes:
        if digest not in self._blobs:
            raise BlobMissing(f"blob {digest} is not there", hint="put it first.")
        return self._blobs[digest]

    def has_blob(self, digest: str) -> bool:
        return digest in self._blobs

    def head(self) -> Checkpoint:
        """Signed over all events, made when asked for."""
        tree = Frontier()
        for record in self._records:
            tree.append(record.hash)
        return self._signer.sign(tree.size, tree.root())

    def root(self, size: int) -> bytes:
        """As `Ledger.root`."""
        if not 0 <= size <= len(self._records):
            raise ValueError(f"{size} events are not among {len(self._records)}")
        tree = Frontier()
        for record in self._records[:size]:
            tree.append(record.hash)
        return tree.root()

    def vouch(self, statement: bytes) -> tuple[str, Verifier]:
        """As `Ledger.vouch`."""
        return self._signer.vouch(statement), self._signer.verifier

    # -- views

    def rebuild_views(self) -> None:
        self._finish()
        self._database = self._fresh_database()
        self._views.apply(self._database, self._records)

    def compare_views(self) -> list[Difference]:
        return self._views.compare(self._database, self._records)

    def _fresh_database(self) -> apsw.Connection:
        """Goes back to where it came from together with the ledger."""
        database = scratch.take(self._views.schemas)
        self._finish = weakref.finalize(self, scratch.give_back, self._views.schemas, database)
        self._finish.atexit = False
        return database

    # -- end

    def sync_witness(self) -> None:
        """Nothing is outside."""

    def secure(self) -> None:
        """Nothing is outside."""

    async def secure_async(self) -> None:
        """Nothing is outside."""

    def close(self) -> None:
        """Refuse everything from now on."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise LedgerStopped("the ledger was closed", hint="open it again.")
