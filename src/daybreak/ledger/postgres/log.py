"""The log where Postgres holds the truth and the SQLite file beside it is this home's mirror.

A transaction: take the mirror's write lock (so processes of one home take turns), then on Postgres the ledger's
advisory lock and the head; take over what other homes appended; admit, insert into the mirror, update views, grow the
tiles, sign, all as in `daybreak.ledger.log`; write the same to Postgres and commit there, synced; then commit the
mirror. What is acknowledged is sequenced, in the tree, signed, and on the disk of Postgres.

The mirror never leads: where it holds more than Postgres, Postgres was put back to an old state, and that is an error.
A lost connection is made again for `BUSY_S`; if it was lost during a commit, the ledger asks whether that went in.
"""

from __future__ import annotations

import logging
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import apsw
import psycopg

from daybreak.errors import LedgerBehind, LedgerBusy, LedgerForked, LedgerStopped, LedgerTampered
from daybreak.events import KEYS, POLICY, IncidentRaised, LedgerCreated, ViewDrift, ViewsDrifted, ViewsRepaired
from daybreak.ledger import database
from daybreak.ledger.database import BUSY_S
from daybreak.ledger.log import PUT_HEAD, PUT_TILE, Log, Outcome, _no_record, _ViewRefusesError
from daybreak.ledger.note import Checkpoint, Signer
from daybreak.ledger.postgres import schema
from daybreak.ledger.postgres.connection import unusable
from daybreak.ledger.postgres.problems import ConnectionLost, PostgresUnusable
from daybreak.ledger.postgres.stopped import Ended
from daybreak.ledger.postgres.store import Batch, Head, Store, lock_key
from daybreak.ledger.record import Draft, Record, Submission
from daybreak.ledger.tiles import TileRow

_REPAIR = "stop; run `daybreak ledger verify`, find out what changed the tables, and put a copy of the database back."
_PAUSE_S, _PAUSE_MOST_S = 0.05, 1.0
"""Between two tries to reach Postgres."""
INCIDENT, INCIDENT_LEVEL = "holder_ended", 1
"""Whoever stood still with the ledger's lock was cut off."""

_log = logging.getLogger("daybreak.ledger")


class PostgresLog(Log):
    """See `Log`. `store` is Postgres; the connection and the path are those of the mirror."""

    is_near = False

    def __init__(self, connection: apsw.Connection, *, store: Store, **given: Any) -> None:
        super().__init__(connection, **given)
        self.store = store
        self._batch: Batch | None = None
        """What the transaction under way adds, once it is signed."""
        self._took_over = False
        """Has the transaction under way taken over events of other homes? They stay where it is taken back."""
        self._to_say: list[Submission] = []
        """For the next transaction that appends: about views of this mirror that were mended, and about processes
        that were cut off."""
        self._saying = 0
        """How many of these are in the transaction under way."""

    # -- start

    def create(self) -> None:
        """Tables and the first event there; does nothing where another home just did it."""
        link = self.store.link()
        batch = self._first_batch()
        try:
            link.execute("BEGIN")
            link.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key(link.address)])
            if schema.is_blank(link):
                schema.create(link)
                self.store.commit(batch)
        except psycopg.Error as error:
            raise unusable(link.address, error) from None
        except ConnectionLost as lost:
            raise self._unusable(lost) from lost
        finally:
            self.store.roll_back()

    def _first_batch(self) -> Batch:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self._prepare_mirror()
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        verifier = self._signer.verifier
        admission = self._admission(_no_record)
        admission.admit(Submission([Draft(KEYS, LedgerCreated(origin=verifier.origin, public_key=verifier.text))]))
        edge = type(self._edge)()
        tiles = edge.extend([record.hash for record in admission.records])
        head = self._signer.sign(edge.size, edge.root())
        self._tips.clear()
        return Batch(admission.records, tiles, head)

    def load(self) -> None:
        """Bring the mirror up to Postgres, made where there is none, and take it over, checked against the key.

        Raises LedgerTampered, LedgerBehind, LedgerForked, KeyWrong, PostgresUnusable, LedgerBusy.
        """
        try:
            super().load()
        except ConnectionLost as lost:
            raise self._unusable(lost) from lost

    def _take_over(self) -> Checkpoint:
        self._prepare_mirror()
        size, note = self._mirrored()
        far = self._far_head(self.store.head())
        self._compare_heads(far, size, note)
        if far.size > size:
            self._edge = self._load_edge(size)
            self._take_in(far, size, views=False)
        try:
            return super()._take_over()
        except LedgerTampered as error:
            raise self._disagrees(error) from error

    def _prepare_mirror(self) -> None:
        if database.is_blank(self.connection):
            database.create_tables(self.connection, mirror=True)

    def _mirrored(self) -> tuple[int, str]:
        """What the mirror says that it holds. Its root is that of its own head, so that it can be told whose fault it
        is where Postgres does not go on from there."""
        size = self.rows.last_leaf() + 1
        head = self.rows.head() or (0, "")
        if head[0] != size:
            raise self._broken(f"it holds {size} events, and its head says {head[0]}")
        if size:
            root = head[1].split("\n")[2:3]
            if root != [b64encode(self._load_edge(size).root()).decode()]:
                raise self._broken("its events do not add up to its own head")
        return head

    # -- transactions

    def commit(
        self, submissions: Sequence[Submission], *, patient: bool = True
    ) -> tuple[Sequence[Outcome], list[Record]]:
        """As `Log.commit`; never without patience, since it waits for a network. LedgerStopped where it is not known
        whether the events are in Postgres."""
        if not patient:
            raise self._unreachable("asked not to wait")
        outcomes, records = self._retried(lambda: super(PostgresLog, self).commit(submissions))
        del self._to_say[: self._saying]
        return outcomes[: len(submissions)], records

    def _own_words(self) -> Sequence[Submission]:
        self._to_say += [Submission([self._told(one)]) for one in self.store.take_ended()]
        self._saying = len(self._to_say)
        return tuple(self._to_say)

    def _told(self, ended: Ended) -> Draft:
        what = f"{ended} for {ended.silent_s:.0f} s: its connection was ended, so that others could go on"
        raised = IncidentRaised(incident=self.label("inc"), kind=INCIDENT, level=INCIDENT_LEVEL, what=what[:300])
        return Draft(POLICY, raised, "waiting", idem=f"{INCIDENT}/{ended.pid}/{ended.began}")  # several may have waited

    def append_key_event(self, make: Callable[[Signer, Checkpoint], tuple[Draft, Signer]]) -> Record:
        record: Record = self._retried(lambda: super(PostgresLog, self).append_key_event(make))
        return record

    def catch_up(self) -> bool:
        """Take over what other homes appended; has anything changed? Raises LedgerBusy, and as `commit`."""
        before = self.head.size
        try:
            self._begin()
            try:
                far = self._far_head(self.store.head())
                self._take_in_running(far)
                self.connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        except ConnectionLost as lost:
            self._settle_edge()
            raise self._unreachable(lost.why) from lost
        except LedgerBusy:
            self._settle_edge()
            raise
        self._took_over = False
        self._seen = self.connection.data_version()
        return self.head.size > before

    def settle_views(self, *, closely: bool = False) -> None:
        """As `Log.settle_views`. The mirror's views and the log in Postgres are two transactions: where Postgres is
        busy now, the log hears of what was mended with the next commit, and where the process ends first, never."""
        super().settle_views(closely=closely)
        if self._to_say:
            try:
                self._untold = self.commit([])[1]
            except LedgerBusy as busy:
                _log.warning("views of %s were mended; the log hears of it later: %s", self._path, busy.message)

    def _retried(self, work: Callable[[], Any]) -> Any:
        """What it gives; done again where the connection was lost and nothing was written."""
        end_s, pause_s = time.monotonic() + BUSY_S, _PAUSE_S
        while True:
            try:
                return work()
            except ConnectionLost as lost:
                self._settle_edge()
                if time.monotonic() + pause_s > end_s:
                    raise self._unreachable(lost.why) from lost
                _log.warning("the ledger's Postgres %s was lost: %s; trying again", self.store.address, lost.why)
            except LedgerBusy:
                self._settle_edge()
                raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MOST_S)

    def _begin_append(self, *, patient: bool = True) -> None:
        self._batch, self._took_over = None, False
        self._begin(patient=patient)
        try:
            self._take_in_running(self._far_head(self.store.begin()))
            self.connection.execute("SAVEPOINT appending")
        except BaseException:
            self._roll_back()
            raise

    def _begin_anew(self, *, patient: bool) -> None:
        """With the lock, which it would have to wait for again: nothing is in Postgres before the end. Where several
        homes reach for the same runs, refusals are no exception."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK TO appending")
        else:  # the error has ended it
            super()._begin_anew(patient=patient)

    def _finish(self) -> None:
        batch = self._batch
        assert batch is not None
        try:
            self.store.commit(batch)
        except ConnectionLost as lost:
            if not lost.unclear or not self._went_in(batch, lost):
                raise ConnectionLost(lost.why) from lost
        self._batch, self._took_over = None, False
        self.connection.execute("COMMIT")

    def _went_in(self, batch: Batch, lost: ConnectionLost) -> bool:
        """After the connection broke in the middle of a commit: is it there? Asked under the lock, so that whoever was
        at it for us is done."""
        end_s, why = time.monotonic() + BUSY_S, lost.why
        _log.warning("the ledger's Postgres %s was lost during a commit: %s; asking", self.store.address, why)
        pause_s = _PAUSE_S
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                return self.store.holds(batch.records[-1], answer_s=left_s)
            except ConnectionLost as again:
                why = again.why
            except LedgerBusy as busy:
                why = busy.message
            time.sleep(min(pause_s, max(0.0, end_s - time.monotonic())))
            pause_s = min(2 * pause_s, _PAUSE_MOST_S)
        raise LedgerStopped(
            f"{self.store.address} was lost during a commit and could not be asked for {BUSY_S:.0f} s whether that "
            f"went in: {why}",
            hint="see that the server runs, then open the ledger again: what it holds then is what happened.",
        )

    def _put(self, records: Sequence[Record], tiles: Sequence[TileRow], head: Checkpoint) -> None:
        super()._put(records, tiles, head)
        self._batch = Batch(records, tiles, head)

    def _roll_back(self) -> None:
        """What was taken over from other homes stays: it is signed, and what this object knows goes on from there."""
        self._batch = None
        self.store.roll_back()
        if self._took_over and self.connection.in_transaction:
            self._took_over = False
            try:
                self.connection.execute("ROLLBACK TO taken_over")
                self.connection.execute("COMMIT")
            except apsw.Error:
                super()._roll_back()  # the mirror is behind again, and the error on its way is of its disk
            return
        super()._roll_back()

    def _settle_edge(self) -> None:
        """After a transaction was taken back whose tree had grown already."""
        self._edge = self._load_edge(self.head.size)

    def _mend(self, drifts: list[ViewDrift]) -> None:
        """Views of the mirror were made again; the log hears of it with the next commit."""
        if drifts:
            size, views = self.head.size, sorted({drift.view for drift in drifts})
            self._mended += drifts
            events = (ViewsDrifted(size=size, drifts=drifts), ViewsRepaired(size=size, views=views))
            self._to_say.append(Submission([Draft(KEYS, event, "opening") for event in events]))

    # -- what other homes appended

    def _far_head(self, head: Head | None) -> Head:
        if head is None:
            raise LedgerBehind(f"{self.store.address} has no signed head any more", hint=_REPAIR)
        return head

    def _compare_heads(self, far: Head, size: int, note: str) -> None:
        """Does Postgres go on from a mirror of that size and head, as far as can be told without the rows?"""
        if far.size < size:
            raise LedgerBehind(
                f"{self.store.address} holds {far.size} events, but {size} were known to its mirror {self._path}: "
                "it was cut short, or an old copy was put back",
                hint="put the newest copy of the database back. Nothing was changed.",
            )
        if far.size == size and far.note != note:
            raise LedgerForked(
                f"the head of {self.store.address} over {size} events is not that which its mirror {self._path} knows",
                hint="somebody rewrote it, or it is another ledger: check the address; put the right database back.",
            )

    def _take_in_running(self, far: Head) -> None:
        """Inside a transaction of the mirror: what is new there, with its views, checked against the key."""
        self._compare_heads(far, self.head.size, self.head.text)
        if far.size == self.head.size:
            return
        try:
            self._take_in(far, self.head.size, views=True)
            head = self._stored_head()
            self._check_root(head)
            self._learn_keys()
        except LedgerTampered as error:
            raise self._disagrees(error) from error
        drifts = self._settle_views(head.size)
        self.head = head
        self._mend(drifts)
        self.connection.execute("SAVEPOINT taken_over")
        self._took_over = True

    def _take_in(self, far: Head, size: int, *, views: bool) -> None:
        """Put the rows from leaf `size` on into the mirror, with tiles and head. Views that are not asked for, or do
        not take what comes, stay behind."""
        for page in self.store.rows(size - 1, far.size):
            try:
                records = [self.rows.record(*row)[0] for row in page]
            except LedgerBusy as error:  # a blob, by another connection
                raise ConnectionLost(error.message) from error
            tiles = self._edge.extend([record.hash for record in records])
            if tiles:
                self.connection.executemany(PUT_TILE, tiles)
            for record in records:
                self._hear(record)
            views = self._insert_taken(records, views=views)
        self.connection.execute(PUT_HEAD, (far.size, far.note))

    def _insert_taken(self, records: Sequence[Record], *, views: bool) -> bool:
        """Do views keep up with it?"""
        if views:
            self.connection.execute("SAVEPOINT taken")
            try:
                self._insert(records)
            except _ViewRefusesError:
                self.connection.execute("ROLLBACK TO taken")
                views = False
            finally:
                self.connection.execute("RELEASE taken")
        if views:
            for name in self._orphans:
                self._leave_behind(records[0].index, name)
        else:
            self._insert_rows(records)
            self._leave_behind(records[0].index)
        return views

    def _leave_behind(self, leaf: int, name: str | None = None) -> None:
        sql = "UPDATE view SET behind = ? WHERE behind IS NULL AND (name = ? OR ? IS NULL)"
        self.connection.execute(sql, (leaf, name, name))

    # -- errors

    def _unreachable(self, why: str) -> LedgerBusy:
        return LedgerBusy(
            f"the ledger's Postgres {self.store.address} cannot be reached: {why}",
            hint="nothing was written; see that the server runs, then try again.",
        )

    def _unusable(self, lost: ConnectionLost) -> PostgresUnusable:
        return PostgresUnusable(
            f"the ledger's Postgres {self.store.address} cannot be used: {lost.why}",
            hint="see that the server runs, then open the ledger again.",
        )

    def _broken(self, what: str) -> LedgerTampered:
        return LedgerTampered(
            f"{self._path}, the mirror of {self.store.address}: {what}",
            hint="find out what changed the file; moved away, it is made again from Postgres.",
        )

    def _disagrees(self, error: LedgerTampered) -> LedgerTampered:
        return LedgerTampered(f"what {self.store.address} holds: {error.message}", hint=_REPAIR)
