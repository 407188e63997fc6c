"""The log on disk as its one writer sees it: transactions, without threads.

A transaction: take the write lock, notice what other processes appended, admit each submission, insert rows,
update views, grow the tiles, sign the head, commit (one sync). What it returns is durable.
An error from the disk leaves the object unusable: the caller stops and never retries on this connection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Self, TypeVar

import apsw

from daybreak import ids
from daybreak.clock import Clock
from daybreak.errors import (
    DaybreakError,
    DraftRefused,
    KeyWrong,
    LedgerBehind,
    LedgerBusy,
    LedgerForked,
    LedgerTampered,
)
from daybreak.events import KEYS, KeyRevoked, KeyRotated, LedgerCreated, ViewDrift, ViewsDrifted, ViewsRepaired
from daybreak.ledger import database, lineage, rotation
from daybreak.ledger.admission import Admission, Tip
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.drift import misdefined, misnamed
from daybreak.ledger.holds import Holds
from daybreak.ledger.keyring import Keyring, root_of
from daybreak.ledger.note import Checkpoint, NoteError, Signer, Verifier
from daybreak.ledger.record import BLOB_BYTES, Draft, Record, Submission
from daybreak.ledger.rows import Rows
from daybreak.ledger.tiles import Edge, TileRow
from daybreak.ledger.views import Views, kept_views

T = TypeVar("T")
Outcome = list[Record] | Exception
"""What became of one submission."""

TIPS_MAX = 10_000
"""Streams whose ends are remembered; the others are looked up."""

INSERT_EVENT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)"
PUT_TILE = "INSERT INTO tile VALUES (?, ?, ?) ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes"
PUT_HEAD = (
    "INSERT INTO head VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET size = excluded.size, note = excluded.note"
)
_REFUSALS = (apsw.ConstraintError, apsw.SQLError, apsw.MismatchError, apsw.BindingsError, apsw.TooBigError)
"""What a view's statement may raise without the disk being to blame."""

_ABOUT_KEYS = (KeyRotated.type, KeyRevoked.type)

_REPAIR = "stop; run `daybreak ledger verify`, find out what changed the file, and restore a copy."


class _ViewRefusesError(Exception):
    """A view's statement broke a constraint, or its function cannot take the event: the cause."""


class Log:
    """One connection that writes. Not thread-safe."""

    is_near = True
    """A commit waits for a disk of this machine, and not for a network."""

    def __init__(
        self,
        connection: apsw.Connection,
        *,
        path: Path,
        signer: Signer,
        keyring: Keyring,
        keys: Path,
        blobs: BlobStore,
        clock: Clock,
        views: Views,
        entropy: ids.Entropy,
    ) -> None:
        """`keyring`: what is known of the ledger's keys outside of it; it learns what the ledger says. `keys`: the
        folder where another process that rotates the key puts the new one."""
        self.connection = connection
        self.views = views
        self.blobs = blobs
        self.rows = Rows(connection, blobs)
        self._path = path
        self._signer = signer
        self._keyring = keyring
        self._keys = keys
        self._keys_changed = False
        self._clock = clock
        self._entropy = entropy
        self._tips: dict[str, Tip] = {}
        self._edge = Edge()
        self._seen: int | None = None
        self._orphans: list[str] = []
        self._mended: list[ViewDrift] = []
        """Definitions that were not the program's, and that were made again; for `take_mended`."""
        self._untold: list[Record] = []
        """Events about that, for the next who is told of events."""
        self._patience = database.Patience()
        connection.set_busy_handler(self._patience)
        self._long_at = database.CHECKPOINT_PAGES
        self.is_long = False
        """The write-ahead log has become long: `fold_in` when nobody waits."""
        connection.set_wal_hook(self._committed)
        self._created = LedgerCreated(origin="", public_key="")
        """The first event, once there is one."""
        self._check_hold: Callable[[Draft], None] | None = None
        """Only a log that was restored from a copy can hold runs; others need not ask."""
        self.head = Checkpoint(signer.verifier.origin, 0, self._edge.root(), "")

    # -- start

    def create(self) -> None:
        """Tables and the first event, in one transaction; does nothing where another process just did it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            if database.is_blank(self.connection):
                database.create_tables(self.connection)
                verifier = self._signer.verifier
                admission = self._admission(_no_record)
                first = LedgerCreated(origin=verifier.origin, public_key=verifier.text)
                admission.admit(Submission([Draft(KEYS, first)]))
                self._insert_rows(admission.records)  # the tables of views are made, and filled, by `settle_views`
                self._grow(admission.records)
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._tips.clear()
        self._edge = Edge()

    def load(self) -> None:
        """Take over what the file holds, checked against the key; views are left to `settle_views`.

        Raises LedgerTampered, KeyWrong.
        """
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            head = self._take_over()
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self.head = head
        self._seen = self.connection.data_version()

    def _take_over(self) -> Checkpoint:
        """Inside a transaction: what the file holds, checked against the key."""
        self._check_first()
        head = self._stored_head()
        self._edge = self._load_edge(head.size)
        self._check_root(head)
        self._check_handover(head)
        return head

    def _load_edge(self, size: int) -> Edge:
        try:
            return Edge.load(size, self.rows.tiles(size))
        except LookupError as error:
            raise LedgerTampered(f"{self._path}: {error}", hint=_REPAIR) from error

    def begin(self, outside: Checkpoint, *, blank: bool) -> Self:
        """Make the log where it is `blank`, take it over, and compare it with the head known outside. Raises as
        `load`, `compare` and `settle_views`."""
        if blank:
            self.create()
        self.load()
        self.compare(outside)
        self.settle_views(closely=True)
        return self

    def compare(self, outside: Checkpoint) -> None:
        """Is the head known outside one of ours? Raises LedgerBehind, LedgerForked, LedgerTampered."""
        if outside.size > self.head.size:
            raise LedgerBehind(
                f"{self._path} holds {self.head.size} events, but {outside.size} were known outside: "
                "it was cut short, or an old copy was put back",
                hint="put the newest copy of the ledger back. Nothing was changed.",
            )
        try:
            root = self.rows.tiles(self.head.size).root(outside.size)
        except LookupError as error:
            raise LedgerTampered(f"{self._path}: {error}", hint=_REPAIR) from error
        if root != outside.root:
            raise LedgerForked(
                f"the first {outside.size} events of {self._path} are not those that were known outside",
                hint="somebody rewrote the ledger or two copies were written: put the witnessed one back.",
            )

    # -- transactions

    def commit(
        self, submissions: Sequence[Submission], *, patient: bool = True
    ) -> tuple[Sequence[Outcome], list[Record]]:
        """The outcome of each, durable, and all new records; behind them, outcomes of what the log itself had to say.
        Raises LedgerBusy: nothing was written, go on; at once,
        where not `patient` and another process holds the file or has written to it.

        Any other exception means that this object must not be used again.
        """
        self._begin_append(patient=patient)
        submissions = [*submissions, *self._own_words()]
        admission = self._admission(_no_record)
        try:
            try:
                outcomes: Sequence[Outcome] = [admission.admit(submission) for submission in submissions]
                self._insert(admission.records)
            except (DaybreakError, _ViewRefusesError, apsw.ConstraintError):  # look closer: whose, and is it a repeat?
                admission.undo()
                self._begin_anew(patient=patient)
                admission = self._admission(self.rows.idem)
                outcomes = [self._insert_alone(admission, submission) for submission in submissions]
            if not admission.records:
                self._roll_back()
                return outcomes, self.heard([])
            head = self._grow(admission.records)
            self._finish()
        except BaseException:
            admission.undo()
            self._roll_back()
            raise
        self.head = head
        self._orphans = []
        self._seen = self.connection.data_version()
        return outcomes, self.heard(admission.records)

    def heard(self, records: list[Record]) -> list[Record]:
        """What subscribers are told of now: these, and before them what the log itself has appended since the last
        time."""
        untold, self._untold = self._untold, []
        return [*untold, *records] if untold else records

    def catch_up(self) -> bool:
        """Take over what was appended elsewhere; has anything changed? What lies in one file is there for all who read
        it."""
        return False

    def fold_in(self) -> None:
        """Write what stands in the write-ahead log to its place in the file, as far as those who read allow it."""
        self.is_long, self._long_at = False, self._long_at + database.CHECKPOINT_PAGES // 16
        try:
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            return  # another process does it

    def _committed(self, _: apsw.Connection, __: str, pages: int) -> int:
        """Called by SQLite after each commit with the length of the write-ahead log."""
        if pages < database.CHECKPOINT_PAGES:
            self._long_at = database.CHECKPOINT_PAGES
        self.is_long = pages >= self._long_at
        return apsw.SQLITE_OK

    def rebuild_views(self) -> None:
        """Throw all views away and make them again, in one transaction."""
        self._begin()
        try:
            kept = kept_views(self.connection, loosely=True)
            for view in self.views.all:
                self.views.rebuild(self.connection, view, self.rows.all(), kept.get(view.name))
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._seen = self.connection.data_version()

    def settle_views(self, *, closely: bool = False) -> None:
        """Create views and bring them up to date with what other processes appended. Those that somebody has defined
        otherwise are made again, and that becomes part of the log in the same transaction. `closely`: their tables,
        indexes and triggers are looked at, too.

        Raises LedgerBusy, LedgerForeign.
        """
        self._begin()
        try:
            self._mend(self._settle_views(self.head.size, closely=closely))
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._seen = self.connection.data_version()

    def take_mended(self) -> list[ViewDrift]:
        """Which definitions were made again since this was last asked, or since the ledger was opened."""
        mended, self._mended = self._mended, []
        return mended

    def remake_views(self, names: Collection[str], differs: Callable[[apsw.Connection, Rows], str]) -> str:
        """Make these views again, all or none, in one transaction that is committed only where `differs`, asked inside
        it, says nothing. Gives why that failed; empty where it did not. Raises LedgerBusy.

        What it says names errors and rules of the database, and never a value.
        """
        self._begin()
        try:
            self.views.remake(self.connection, names, lambda start: self.rows.all(start - 1))
            problem = differs(self.connection, self.rows)
            if not problem:
                self.connection.execute("COMMIT")
        except Exception as error:
            self._roll_back()
            if isinstance(error, (apsw.Error, OSError)) and not isinstance(error, _REFUSALS):
                raise  # the disk is to blame
            return _named(error)
        except BaseException:
            self._roll_back()
            raise
        if problem:
            self._roll_back()  # with it what was caught up: the next transaction does that again
        else:
            self._seen = self.connection.data_version()
        return problem

    def change(self, work: Callable[[apsw.Connection], T]) -> T:
        """Something that appends nothing, in one transaction: which files have archived events, and rows that are
        blanked or filled again (`archive`). Raises LedgerBusy."""
        self._begin()
        try:
            done = work(self.connection)
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._seen = self.connection.data_version()
        return done

    def vouch(self, statement: bytes) -> tuple[str, Verifier]:
        """The present key's signature under a statement that is no head, and that key: looked at inside a transaction,
        because another process may have rotated it. Raises LedgerBusy, KeyMissing, KeyExposed, KeyWrong."""

        def sign(_: apsw.Connection) -> tuple[str, Verifier]:
            return self._signer.vouch(statement), self._signer.verifier

        return self.change(sign)

    def label(self, prefix: str) -> str:
        """A new name, by the ledger's clock."""
        return ids.new(prefix, self._clock.now(), self._entropy)

    def _begin(self, *, patient: bool = True) -> None:
        self._patience.ends = not patient
        while True:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except apsw.BusyError as error:
                raise _busy(self._path) from error
            if self.connection.data_version() == self._seen:
                return
            try:
                if not patient:
                    raise _busy(self._path)
                drifts = self._catch_up()
                if not drifts:
                    return
                self._mend(drifts)  # in a transaction of its own: the caller's may be taken back
                self.connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            self._seen = self.connection.data_version()

    def _own_words(self) -> Sequence[Submission]:
        """What is to be appended beside what was asked for, now that a transaction has begun."""
        return ()

    def _begin_append(self, *, patient: bool = True) -> None:
        """Begin a transaction that is to append; all others change views alone."""
        self._begin(patient=patient)

    def _begin_anew(self, *, patient: bool) -> None:
        """Take back what the transaction under way has appended, and begin it again."""
        self._roll_back()
        self._begin_append(patient=patient)

    def _finish(self) -> None:
        """End a transaction that appended."""
        self.connection.execute("COMMIT")

    def _catch_up(self) -> list[ViewDrift]:
        """Another process wrote: take over its events, and check that they are signed. Gives the views that had to be
        made again because somebody defined them otherwise."""
        head = self._stored_head()
        if head.size < self.head.size:
            raise LedgerBehind(f"{self._path} held {self.head.size} events and now holds {head.size}", hint=_REPAIR)
        if head.size > self.head.size:
            for record in self.rows.all(self.head.size - 1):
                self._edge.extend([record.hash])
                self._hear(record)
        self._check_root(head)
        self._learn_keys()
        drifts = self._settle_views(head.size)
        self.head = head
        return drifts

    def _hear(self, record: Record) -> None:
        """Another process has appended it: its stream ends elsewhere now, and the keys may be others."""
        self._tips.pop(record.stream, None)
        self._keys_changed = self._keys_changed or record.type in _ABOUT_KEYS

    def _learn_keys(self) -> None:
        """What was heard of the keys holds from now on for everybody who opens heads of this ledger."""
        if self._keys_changed:
            self._keyring.learn(rotation.read(self.rows, self._created))
            self._keys_changed = False

    def _mend(self, drifts: list[ViewDrift]) -> None:
        """Say in the log that these were found and made again; the transaction must not be taken back and gone on with
        after this."""
        if not drifts:
            return
        size, views = self._edge.size, sorted({drift.view for drift in drifts})
        admission = self._admission(_no_record)
        told = [ViewsDrifted(size=size, drifts=drifts), ViewsRepaired(size=size, views=views)]
        admission.admit(Submission([Draft(KEYS, event, "opening") for event in told]))
        self._insert(admission.records)
        self.head = self._grow(admission.records)
        self._mended += drifts
        self._untold += admission.records

    def _admission(self, find_idem: Callable[[str, int, str], Record | None]) -> Admission:
        if len(self._tips) > TIPS_MAX:
            self._tips.clear()
        return Admission(
            size=self._edge.size,
            key_id=self._signer.verifier.key_id,
            moment=self._clock.now(),
            entropy=self._entropy,
            tips=self._tips,
            load_tip=self.rows.tip,
            find_idem=find_idem,
            check_hold=self._check_hold,
            is_forgotten=self.rows.is_forgotten,
        )

    def _insert_rows(self, records: Sequence[Record]) -> None:
        rows = [
            (
                record.index,
                record.stream,
                record.seq,
                record.gen,
                record.idem,
                record.header,
                record.payload if len(record.payload) <= BLOB_BYTES else None,
            )
            for record in records
        ]
        self.connection.executemany(INSERT_EVENT, rows)

    def _insert(self, records: Sequence[Record]) -> None:
        """Rows and views."""
        self._insert_rows(records)
        try:
            self.views.apply(self.connection, records)
        except apsw.Error as error:
            if isinstance(error, _REFUSALS):
                raise _ViewRefusesError from error
            raise
        except Exception as error:
            raise _ViewRefusesError from error

    def _insert_alone(self, admission: Admission, submission: Submission) -> Outcome:
        """One submission under its own savepoint, so that a view's refusal fails nobody else."""
        mark = admission.mark()
        outcome = _admit(admission, submission)
        if isinstance(outcome, Exception):
            return outcome
        self.connection.execute("SAVEPOINT submission")
        try:
            self._insert(admission.records[mark[0] :])
        except _ViewRefusesError as error:
            self.connection.execute("ROLLBACK TO submission")
            outcome = DraftRefused(
                f"{submission.drafts[0].event.type} for {submission.drafts[0].stream} is refused by a view: "
                f"{error.__cause__}",
                hint="what the event says is not allowed in the present state.",
            )
            outcome.__cause__ = error.__cause__
            admission.undo(*mark)
        self.connection.execute("RELEASE submission")
        return outcome

    def _grow(self, records: Sequence[Record]) -> Checkpoint:
        """Tiles and head over these new records."""
        tiles = self._edge.extend([record.hash for record in records])
        head = self._signer.sign(self._edge.size, self._edge.root())
        self._put(records, tiles, head)
        for name in self._orphans:
            self.connection.execute(
                "UPDATE view SET behind = ? WHERE name = ? AND behind IS NULL", (records[0].index, name)
            )
        return head

    def _put(self, records: Sequence[Record], tiles: Sequence[TileRow], head: Checkpoint) -> None:
        """What comes with these records, whose rows are in."""
        if tiles:
            self.connection.executemany(PUT_TILE, tiles)
        self.connection.execute(PUT_HEAD, (head.size, head.text))

    def _roll_back(self) -> None:
        """Back to autocommit where possible. The file decides what is so; a failed rollback is undone at reopening."""
        if self.connection.in_transaction:
            try:
                self.connection.execute("ROLLBACK")
            except apsw.Error:
                # The first error is on its way to the caller, who stops using this connection.
                return

    # -- the key

    def append_key_event(self, make: Callable[[Signer, Checkpoint], tuple[Draft, Signer]]) -> Record:
        """One event about the ledger's keys, in a transaction of its own. `make` is given the present key and head,
        when nobody else can append, and gives the event and the key that signs from this event on. Raises as `commit`.
        """
        self._begin_append()
        before = self._signer
        try:
            draft, self._signer = make(before, self.head)
            admission = self._admission(_no_record)
        except BaseException:
            self._signer = before
            self._roll_back()
            raise
        try:
            (record,) = admission.admit(Submission([draft]))
            self._insert(admission.records)
            head = self._grow(admission.records)
            self._finish()
        except BaseException:
            self._signer = before
            admission.undo()
            self._roll_back()
            raise
        self.head = head
        self._orphans = []
        self._seen = self.connection.data_version()
        self._keyring.learn(rotation.read(self.rows, self._created))
        return record

    def _check_keys(self) -> None:
        """Are the ledger's keys those that are known outside of it? Then the present one is taken. Raises KeyWrong,
        KeyRevoked, LedgerBehind, LedgerTampered."""
        history, known = rotation.read(self.rows, self._created), self._keyring.history
        if not self._keyring.learn(history):
            raise KeyWrong(
                f"{self._path} was made with the key {history.first}, but the key here is {known.keys[-1]}",
                hint="put the ledger's own key back; if the key is right, somebody replaced the ledger.",
            )
        if self._keyring.history.rotations != history.rotations or not set(known.revocations) <= set(
            history.revocations
        ):
            raise LedgerBehind(
                f"{self._path} holds {self.rows.last_leaf() + 1} events, but does not know of a change of its keys "
                "that is known outside: it was cut short, or an old copy was put back",
                hint="put the newest copy of the ledger back. Nothing was changed.",
            )
        self._take_key()

    def _take_key(self) -> None:
        """The present key signs from now on; somebody else may have rotated it."""
        present = self._keyring.present
        if self._signer.verifier.text != present.text:
            self._signer = rotation.signer(self._path, self._keys, self._keyring)

    # -- checks

    def _check_first(self) -> None:
        first = self.rows.page(-1, 1)
        if not first or not isinstance(first[0].event, LedgerCreated):
            raise LedgerTampered(f"{self._path} does not begin with ledger.created", hint=_REPAIR)
        self._created = first[0].event
        self._check_keys()
        logs = lineage.logs(self.rows)
        self._check_hold = Holds(self.rows, logs).check if logs else None

    def _stored_head(self) -> Checkpoint:
        row = self.rows.head()
        if row is None:
            raise LedgerTampered(f"{self._path} has no signed head", hint=_REPAIR)
        size, note = row
        if not self._signer.verifier.signed(note):  # another process may have rotated the key
            self._keyring.learn(rotation.read(self.rows, self._created))
            self._take_key()
        try:
            head = self._signer.verifier.open(note)
        except NoteError as error:
            raise LedgerTampered(f"the signed head of {self._path}: {error}", hint=_REPAIR) from error
        last = self.rows.last_leaf()
        if head.size != size or last != size - 1:
            raise LedgerTampered(
                f"{self._path} holds {last + 1} events, its head says {size}, and {head.size} were signed",
                hint=_REPAIR,
            )
        return head

    def _check_root(self, head: Checkpoint) -> None:
        if self._edge.size != head.size or self._edge.root() != head.root:
            raise LedgerTampered(
                f"the events of {self._path} do not add up to its signed head of {head.size}", hint=_REPAIR
            )

    def _check_handover(self, head: Checkpoint) -> None:
        """Are the events before the last rotation those that both keys signed? So a stolen key rewrites nothing that
        was there before it."""
        for rotated in self._keyring.history.rotations[-1:]:
            try:
                same = self.rows.tiles(head.size).root(rotated.size) == root_of(rotated)
            except LookupError as error:
                raise LedgerTampered(f"{self._path}: {error}", hint=_REPAIR) from error
            if not same:
                raise LedgerForked(
                    f"the first {rotated.size} events of {self._path} are not those after which the key was rotated",
                    hint="somebody rewrote the ledger with the present key: put a copy from before back.",
                )

    def _settle_views(self, size: int, *, closely: bool = False) -> list[ViewDrift]:
        """Gives what was defined otherwise than by this program, or said to be as far as it was not, and is not any
        more."""
        drifts = misdefined(self.views, self.connection, closely=closely)
        wrong = {drift.view for drift in drifts}
        elsewhere = self.views.settle(self.connection, size, lambda start: self.rows.all(start - 1), wrong)
        drifts += [misnamed(view) for view in elsewhere]
        mine = {view.name for view in self.views.all}
        self._orphans = [
            kept.name
            for kept in kept_views(self.connection, loosely=True).values()
            if kept.name not in mine and kept.behind is None
        ]
        return drifts


def _no_record(_: str, __: int, ___: str) -> Record | None:
    """Instead of looking for the record that already has a key: it is nearly never there, and if it is, the index
    refuses the new one."""
    return None


def _busy(path: Path) -> LedgerBusy:
    return LedgerBusy(
        f"another process has held {path} for {database.BUSY_S:.0f} s",
        hint="nothing was written; find the process that holds it (fuser), then try again.",
    )


def _named(error: Exception) -> str:
    """An error in words that hold no value of an event."""
    if isinstance(error, DaybreakError):
        return f"{error.code} {type(error).__name__}"
    if isinstance(error, apsw.Error):
        return f"{type(error).__name__}: {error}"[:200]
    return type(error).__name__


def _admit(admission: Admission, submission: Submission) -> Outcome:
    try:
        return admission.admit(submission)
    except DaybreakError as error:
        return error
