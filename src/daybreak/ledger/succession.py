"""Writes the log that goes on from an old one: its first event, the old events unchanged, and who must wait.
Part of `continuation`; what it all means is in `lineage` and `holds`."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

from daybreak import ids
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.events import (
    FINAL,
    KEYS,
    LeaseGranted,
    LedgerCopy,
    LedgerCreated,
    RunHeld,
    RunMoved,
    State,
    run_stream,
)
from daybreak.host.durable import make_folder
from daybreak.host.snapshots import Progress
from daybreak.ledger import database, keyfile, lineage, rows, witness
from daybreak.ledger.admission import START, Admission
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.holds import GO_ON, Holds, idem_of
from daybreak.ledger.ledger import Ledger
from daybreak.ledger.log import INSERT_EVENT, PUT_HEAD, PUT_TILE
from daybreak.ledger.note import Signer
from daybreak.ledger.oldlog import OldLog
from daybreak.ledger.record import BLOB_BYTES, Draft, Record, Submission
from daybreak.ledger.tiles import Edge

PAGE = 512
"""Events carried over at once."""
ACTOR = "restore"

_Row = tuple[int, str, int, int, str | None, bytes, bytes | None]


class Succession:
    """From one old log to a new one."""

    def __init__(
        self, old: OldLog, signer: Signer, clock: Clock, entropy: ids.Entropy, progress: Progress | None
    ) -> None:
        """`signer` has the new log's name and key."""
        self._old = old
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._progress = progress

    def make(self, home: Places, moved_on: frozenset[str] | None, safety: Path | None) -> list[str]:
        """The new log in `home`, closed and on disk; the old one's blobs are moved there. Returns the runs that are
        held: of the open ones those in `moved_on`, or all where it is None. `safety` is for the record."""
        for folder in (home.ledger, home.keys, home.witness):
            make_folder(folder)
        runs = self._write(home.ledger / database.FILE)
        if (self._old.folder / database.BLOBS).exists():
            (self._old.folder / database.BLOBS).rename(home.ledger / database.BLOBS)
        witness.Witness(home.witness).start(self._signer)
        keyfile.save(home.keys, self._signer)
        held = [run for run in sorted(runs) if moved_on is None or run in moved_on]
        self._hold(home, held, runs, safety)
        return held

    # -- what was

    def _write(self, path: Path) -> dict[str, State]:
        """The database, without anything new but the first event. Returns the open runs with their states."""
        source = database.connect_reader(self._old.folder / database.FILE)
        target = database.connect_writer(path)
        states: dict[str, State] = {}
        try:
            target.pragma("synchronous", "off")  # nobody knows of the file yet; it is synced as a whole
            target.pragma("journal_mode", "off")
            target.execute("BEGIN IMMEDIATE")
            database.create_tables(target)
            edge = Edge()
            _put(target, edge, [self._first()], 0)
            for page in self._pages(source):
                states |= {moved.run: moved.new for moved in _moves(page)}
                _put(target, edge, page, 1)
            head = self._signer.sign(edge.size, edge.root())
            target.execute(PUT_HEAD, (head.size, head.text))
            target.execute("COMMIT")
            database.make_durable(target, path)
        except apsw.FullError as error:
            raise OSError(28, "No space left on device") from error
        finally:
            source.close()
            target.close()
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        return {run: state for run, state in states.items() if state not in FINAL}

    def _first(self) -> Record:
        old, verifier = self._old, self._signer.verifier
        copy = LedgerCopy(
            origin=old.verifier.origin,
            public_key=old.inside.first,
            size=old.head.size,
            head=old.head.text,
            witnessed=old.highest.text,
            snapshot=old.source.name if old.source.kind == "snapshot" else "",
            handovers=list(old.verifier.history.rotations[len(old.inside.rotations) :]),
        )
        if old.key is not None:
            copy = lineage.consent(old.key, verifier.text, copy)
        created = LedgerCreated(origin=verifier.origin, public_key=verifier.text, continues=copy)
        admission = Admission(
            size=0,
            key_id=verifier.key_id,
            moment=self._clock.now(),
            entropy=self._entropy,
            tips={},
            load_tip=lambda stream: START,
            find_idem=lambda stream, gen, idem: None,
        )
        (first,) = admission.admit(Submission([Draft(lineage.first_stream(verifier.origin, copy), created, ACTOR)]))
        return first

    def _pages(self, source: apsw.Connection) -> Iterator[list[Record]]:
        read = rows.Rows(source, BlobStore(self._old.folder / database.BLOBS))
        after = -1
        while page := read.page(after, PAGE):
            yield page
            after = page[-1].index
            if self._progress is not None:
                self._progress("writing the new log", after + 1, self._old.head.size)

    # -- who must wait

    def _hold(self, home: Places, held: Sequence[str], states: dict[str, State], safety: Path | None) -> None:
        """Say what was restored; park and hold those runs; in one commit."""
        said = self._old.source.event(self._old.head.text, list(held), str(safety or ""))
        with Ledger.open(
            home.ledger, keys=home.keys, witness=home.witness, clock=self._clock, entropy=self._entropy
        ) as ledger:
            drafts = [Draft(KEYS, said, ACTOR)]
            for run in self._not_yet_held(home.ledger, held):
                drafts += self._parking(ledger, run, states[run])
            ledger.append(drafts)

    def _not_yet_held(self, directory: Path, runs: Sequence[str]) -> list[str]:
        """A run that an earlier restore holds, and that nobody let go, stays as it is."""
        connection = database.connect_reader(directory / database.FILE)
        try:
            read = rows.Rows(connection, BlobStore(directory / database.BLOBS))
            holds = Holds(read, lineage.logs(read))
            return [run for run in runs if holds.open(run) is None]
        finally:
            connection.close()

    def _parking(self, ledger: Ledger, run: str, state: State) -> list[Draft]:
        """A lease of our own ends every older one; then the legal way from any open state to parked."""
        stream = run_stream(run)
        epoch = ledger.epoch(stream) + 1
        lease = LeaseGranted(run=run, owner=self._entropy(16).hex(), host=socket.gethostname(), pid=os.getpid())
        why = f"the log was restored from {self._old.source.words}"
        question = self._question()
        log = self._signer.verifier.origin
        held = RunHeld(run=run, log=log, question=question, size=self._old.head.size, known=self._old.highest.size)
        return [
            Draft(stream, lease, ACTOR, epoch, trace=run),
            Draft(stream, RunMoved(run=run, old=state, new="leased", why=why), ACTOR, epoch, trace=run),
            Draft(stream, RunMoved(run=run, old="leased", new="running", why=why), ACTOR, epoch, trace=run),
            Draft(stream, held, ACTOR, epoch, idem_of(log), trace=run),
            Draft(
                stream,
                RunMoved(run=run, old="running", new="parked", why=why, question=question),
                ACTOR,
                epoch,
                trace=run,
            ),
        ]

    def _question(self) -> str:
        old, source = self._old, self._old.source
        copy = source.words if source.created is None else f"a copy of {source.created:%Y-%m-%d %H:%M} UTC"
        return (
            f"this log was restored from {copy} with {old.head.size} "
            f"events ({old.highest.size} were known to have been): what this run did after the copy is not in it and "
            f'would be done again. Answer "{GO_ON}" to go on from the copy, or cancel the run'
        )


def _moves(page: Sequence[Record]) -> Iterator[RunMoved]:
    for record in page:
        if record.type == RunMoved.type:
            event = record.event
            assert isinstance(event, RunMoved)
            yield event


def _put(target: apsw.Connection, edge: Edge, page: Sequence[Record], further: int) -> None:
    """Rows and tiles; each event stands so many leaves further on than it stood."""
    target.executemany(INSERT_EVENT, [_row(record, further) for record in page])
    tiles = edge.extend([record.hash for record in page])
    if tiles:
        target.executemany(PUT_TILE, tiles)


def _row(record: Record, further: int) -> _Row:
    return (
        record.index + further,
        record.stream,
        record.seq,
        record.gen,
        record.idem,
        record.header,
        record.payload if len(record.payload) <= BLOB_BYTES else None,
    )
