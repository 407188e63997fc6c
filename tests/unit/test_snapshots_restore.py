"""A ledger brought back from a snapshot is a new log that goes on from the old one and repeats nothing."""

from __future__ import annotations

import base64
import errno
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import anyio
import apsw
import msgspec
import pytest

from daybreak.config import Places
from daybreak.engine import VIEWS, Engine, states
from daybreak.errors import (
    KeyMissing,
    KeyWrong,
    LedgerBehind,
    LedgerForked,
    LedgerMissing,
    WitnessBroken,
    WitnessMissing,
)
from daybreak.events import (
    KEYS,
    QUEUE,
    LedgerCreated,
    RunHeld,
    RunMoved,
    SnapshotRestored,
    StepDone,
    control_stream,
    run_stream,
)
from daybreak.host import locks
from daybreak.host.snapshots import Damaged, Snapshot, SnapshotDamaged, Store, TargetOccupied, manifest
from daybreak.ledger import Draft, Ledger, bells, exchange, follow, lineage, replay, snapshot, verify
from daybreak.ledger.continuation import Continuation
from daybreak.ledger.exchange import RestoreRefused, RestoreUnfinished
from daybreak.ledger.holds import GO_ON, RunIsHeld
from daybreak.ledger.note import Signer, Verifier
from daybreak.ledger.restore import Restored, Restorer, finish
from daybreak.ledger.snapshot import SnapshotUnsound
from daybreak.ledger.tree import Frontier
from daybreak.testing.clock import FakeClock

OTHER = "CAST(replace(CAST(payload AS TEXT), 'e', 'a') AS BLOB)"
"""Another payload of the same length."""


class Desk:
    """A home with a ledger, its snapshots, and an engine whose one kind of task sends letters."""

    def __init__(self, root: Path, places: Places | None = None) -> None:
        self.root = root
        self.places = places or Places.below(root / "home", "a test")
        self.store = Store(root / "store")
        self.clock = FakeClock()
        self.sent: list[str] = []
        self.seed = 0

    def entropy(self, count: int) -> bytes:
        self.seed += 1
        return Random(self.seed).randbytes(count)

    def open(self) -> Ledger:
        where = self.places
        return Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=self.clock, views=VIEWS)

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        with self.open() as ledger:
            yield Engine(ledger, {"letter": self.letter}, self.places.locks, self.clock, self.entropy)

    async def letter(self, ctx: Any, args: Any) -> Any:
        """Write, ask whether to send, send once, file."""
        await ctx.step("write", lambda: "dear")
        await ctx.ask("send it?")
        await ctx.step("send", self.send, args["to"], effect="once")
        await ctx.ask("file it?")
        return await ctx.step("file", lambda: "filed")

    def send(self, to: str) -> str:
        self.sent.append(to)
        return "sent"

    def submit(self, to: str) -> str:
        with self.engine() as engine:
            run = engine.submit("letter", f"to {to}", {"to": to})
            anyio.run(engine.supervise, run)
        return run

    def resume(self, run: str, question: str = "", answer: str = "") -> Any:
        with self.engine() as engine:
            if answer:
                engine.answer(run, question, answer)
            return anyio.run(engine.supervise, run)

    def state(self, run: str) -> tuple[str, str]:
        with self.open() as ledger:
            ((state, question),) = ledger.query("SELECT state, question FROM view_runs WHERE run = ?", (run,))
        return state, question

    def take(self, **options: Any) -> Snapshot:
        self.clock.advance(60)
        return snapshot.take(self.store, self.places, clock=self.clock, views=VIEWS, **options)

    def restorer(self, **options: Any) -> Restorer:
        return Restorer(self.store, self.places, self.clock, views=VIEWS, **options)

    def to(self, name: str, folder: str = "new", **options: Any) -> Desk:
        """The desk at a restored home."""
        self.restorer(**options).to(name, self.root / folder)
        other = Desk(self.root, Places.below(self.root / folder, "restored"))
        other.sent, other.clock = self.sent, self.clock
        return other

    def whole(self) -> None:
        where = self.places
        found = verify(where.ledger, keys=where.keys, witness=where.witness, views=VIEWS)
        assert found.problems == []

    def records(self) -> list[Any]:
        with self.open() as ledger:
            return list(ledger.read_all())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below, but for what SQLite's readers leave beside a database."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


# -- the copy


def test_a_snapshot_says_which_ledger_it_holds(desk: Desk) -> None:
    """Name, key, size and signed head stand in the manifest; keys are not in it."""
    # shows: N15
    desk.submit("ann")
    made = desk.take()
    with desk.open() as ledger:
        head = ledger.head()
    note = snapshot.note_of(made.manifest)
    assert (note.size, note.head, note.origin) == (head.size, head.text, head.origin)
    assert not any(entry.path.startswith("keys") for entry in made.manifest.files)
    told = snapshot.event_of(made)
    assert (told.name, told.size, told.keys) == (made.name, head.size, False)


WRITER = """
import sys
from pathlib import Path
from daybreak.clock import SystemClock
from daybreak.events import StepDone
from daybreak.ledger import Draft, Ledger
home = Path(sys.argv[1])
with Ledger.open(home / "ledger", keys=home / "keys", witness=home / "witness", clock=SystemClock()) as ledger:
    number = 0
    while True:
        large = "x" * (100_000 * (number % 7 == 0))
        step = StepDone(run="r", branch="", name="step", nth=number, args="", result=large)
        (record,) = ledger.append([Draft("control:r", step)])
        print(record.index, flush=True)
        number += 1
"""


def test_a_snapshot_during_a_night_holds_everything_acknowledged_before(desk: Desk) -> None:
    """Another process appends all the time, large payloads among them; each copy verifies and misses nothing."""
    # shows: N15
    desk.submit("ann")
    home = desk.places.ledger.parent
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(home)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for _ in range(4):
            acknowledged = [int(process.stdout.readline()) for _ in range(15)][-1]
            made = desk.take()
            assert snapshot.note_of(made.manifest).size > acknowledged
            assert desk.restorer().test_restore(made.name).verification.ok
    finally:
        process.kill()
        process.communicate()


def test_a_snapshot_is_made_while_somebody_follows_and_holds_the_log_only(desk: Desk) -> None:
    """Pipes that readers hang up, and views that were replayed for a comparison, are no part of the state."""
    # shows: N15
    desk.submit("ann")
    with desk.open() as ledger:
        assert ledger.reconcile().ok
    with follow(desk.places.ledger):
        made = desk.take()
        assert {bells.FOLDER, replay.FOLDER} <= {path.name for path in desk.places.ledger.iterdir()}
    assert {entry.path.split("/")[1] for entry in made.manifest.files} <= {"ledger.db", "blobs"}
    assert desk.restorer().test_restore(made.name).verification.ok


@pytest.mark.parametrize("damage", ["payload", "missing blob", "changed blob", "cut", "old copy", "no witness"])
def test_a_ledger_that_is_not_whole_is_not_put_away(desk: Desk, damage: str) -> None:
    """A bad copy must not push good ones out of the rotation."""
    # shows: N15
    desk.submit("ann")
    step = StepDone(run="r", branch="", name="step", nth=0, args="", result="x" * 100_000)
    with desk.open() as ledger:
        ledger.append([Draft("control:r", step)])
    path = desk.places.ledger / "ledger.db"
    (blob,) = (desk.places.ledger / "blobs").glob("*/*")
    if damage == "payload":
        connection = apsw.Connection(str(path))
        connection.execute("DROP TRIGGER event_stays")
        connection.execute(
            "UPDATE event SET payload = CAST(replace(CAST(payload AS TEXT), 'ann', 'eve') AS BLOB) WHERE leaf = 1"
        )
        connection.close()
    elif damage == "missing blob":
        blob.unlink()
    elif damage == "changed blob":
        blob.write_bytes(b"other")
    elif damage == "no witness":
        (desk.places.witness / "head").unlink()
    else:
        old = path.read_bytes()
        with desk.open() as ledger:
            ledger.append([Draft("control:r", step)])
        path.write_bytes(old)
    with pytest.raises(SnapshotUnsound):
        desk.take()
    assert desk.store.snapshots() == []
    assert list(desk.store.folder.iterdir()) == []


# -- the new log


def test_a_restored_log_begins_with_the_old_ones_name_and_highest_head(desk: Desk) -> None:
    """A new name and key; the old events follow byte for byte, and their signed head can be computed again."""
    # shows: N15
    run = desk.submit("ann")
    made = desk.take()
    before = desk.records()
    desk.resume(run, "send it?", "yes")
    with desk.open() as ledger:
        newest = ledger.head()
    other = desk.to(made.name)
    other.whole()
    records = other.records()
    first = records[0].event
    assert isinstance(first, LedgerCreated)
    assert first.continues is not None
    old = Verifier.parse(first.continues.public_key)
    assert first.continues.origin == newest.origin != first.origin
    assert old.open(first.continues.witnessed) == newest
    assert lineage.consents(first.continues, first.public_key)
    carried = records[1 : first.continues.size + 1]
    assert [(one.header, one.payload, one.hash) for one in carried] == [
        (one.header, one.payload, one.hash) for one in before
    ]
    tree = Frontier()
    for one in carried:
        tree.append(one.hash)
    assert old.open(first.continues.head).root == tree.root()
    said = next(one.event for one in records if isinstance(one.event, SnapshotRestored))
    assert (said.name, said.held) == (made.name, [run])
    desk.whole()


def test_an_open_run_waits_for_a_person_and_goes_on_from_the_copy(desk: Desk) -> None:
    """Nobody leases it before the question is answered, and no other answer will do."""
    # shows: N15
    run = desk.submit("ann")
    done = desk.submit("bob")
    desk.resume(done, "send it?", "yes")
    desk.resume(done, "file it?", "yes")
    made = desk.take()
    other = desk.to(made.name)
    state, question = other.state(run)
    assert state == "parked"
    assert "go on" in question
    size = len(other.records())
    for answer in ("", "yes", "go", "repeat"):
        with pytest.raises(RunIsHeld, match="restored from a copy"):
            other.resume(run, question, answer)
    assert [one.type for one in other.records()[size:]] == ["question.answered"] * 3
    assert other.resume(run, question, " Go  on ").question == "send it?"
    assert other.state(done)[0] == "done"
    other.whole()


def test_a_once_step_after_the_copy_is_never_repeated_before_a_person_has_named_it(desk: Desk) -> None:
    """The letter went out after the copy. Going on asks for this very step, and does it only on a person's word."""
    # shows: N15, N4
    run = desk.submit("ann")
    made = desk.take()
    desk.resume(run, "send it?", "yes")
    assert desk.sent == ["ann"]
    other = desk.to(made.name)
    _, question = other.state(run)
    other.resume(run, question, GO_ON)
    parked = other.resume(run, "send it?", "yes")
    assert parked.state == "parked"
    assert "send" in parked.question
    for answer in ("yes", "repeat something else", GO_ON):
        assert other.resume(run, parked.question, answer).question == parked.question
    assert desk.sent == ["ann"]
    assert other.resume(run, parked.question, "repeat").question == "file it?"
    assert desk.sent == ["ann", "ann"]
    assert other.resume(run, "file it?", "yes").state == "done"
    other.whole()


def test_a_once_step_that_happened_after_the_copy_can_be_told_to_have_happened(desk: Desk) -> None:
    """Then the run goes on with its result, and nothing is sent again."""
    # shows: N15, N4
    run = desk.submit("ann")
    made = desk.take()
    desk.resume(run, "send it?", "yes")
    other = desk.to(made.name)
    _, question = other.state(run)
    other.resume(run, question, GO_ON)
    parked = other.resume(run, "send it?", "yes")
    assert other.resume(run, parked.question, "happened").question == "file it?"
    assert desk.sent == ["ann"]
    other.whole()


def test_a_held_run_can_be_cancelled_without_an_answer(desk: Desk) -> None:
    """Nothing of it is done on the way."""
    run = desk.submit("ann")
    other = desk.to(desk.take().name)
    with other.engine() as engine:
        engine.cancel(run, "enough")
        assert anyio.run(engine.supervise, run).state == "cancelled"
    assert desk.sent == []


def test_every_open_state_can_be_held_by_legal_moves(desk: Desk) -> None:
    """Queued, leased, running, waiting, verifying, paused, parked: the moves that are recorded are the engine's own."""
    runs = {}
    for state in sorted(set(states.STATES) - {"done", "failed", "cancelled"}):
        run = desk.submit(state)
        runs[run] = state
        with desk.open() as ledger:
            epoch = ledger.epoch(run_stream(run))
            ledger.append([Draft(run_stream(run), RunMoved(run=run, old="parked", new=state), epoch=epoch)])  # type: ignore[arg-type]
    other = desk.to(desk.take().name)
    with other.open() as ledger:
        for run, state in runs.items():
            moved = [one.event for one in ledger.read(run_stream(run)) if isinstance(one.event, RunMoved)][-3:]
            assert (moved[0].old, moved[-1].new) == (state, "parked")
            for move in moved[:2]:
                states.check(move.old, move.new)
            assert sum(isinstance(one.event, RunHeld) for one in ledger.read(run_stream(run))) == 1
    other.whole()


def test_restoring_twice_and_from_a_restored_log_verifies(desk: Desk) -> None:
    """Copies of copies: each log's head can still be computed, and a hold that nobody lifted holds on."""
    # shows: N15
    run = desk.submit("ann")
    second = desk.to(desk.take().name, "second")
    second.submit("bob")
    second.store = Store(second.root / "second-store")
    third = second.to(second.take().name, "third")
    third.whole()
    created = [one.event for one in third.records() if isinstance(one.event, LedgerCreated)]
    assert len(created) == 3
    assert [one.continues is None for one in created] == [False, False, True]
    with pytest.raises(RunIsHeld):
        third.resume(run)
    _, question = third.state(run)
    assert third.resume(run, question, GO_ON).question == "send it?"
    assert third.resume(run, "send it?", "yes").state == "parked"
    assert desk.sent == []
    third.whole()


# -- what verification notices


def changed(desk: Desk, *statements: str) -> None:
    """As somebody with write access to the file."""
    connection = apsw.Connection(str(desk.places.ledger / "ledger.db"))
    triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    for _, sql in triggers:
        connection.execute(str(sql))
    connection.close()


def problems(desk: Desk) -> str:
    where = desk.places
    found = verify(where.ledger, keys=where.keys, witness=where.witness, views=VIEWS)
    assert not found.ok
    return "; ".join(f"{problem.place}: {problem.what}" for problem in found.problems)


@pytest.mark.parametrize("leaf", [0, 1, 2, 5])
def test_a_changed_event_of_the_old_log_is_noticed(desk: Desk, leaf: int) -> None:
    """Carried events are as safe as they were."""
    desk.submit("ann")
    other = desk.to(desk.take().name)
    changed(
        other, f"UPDATE event SET payload = CAST(replace(CAST(payload AS TEXT), 'e', 'a') AS BLOB) WHERE leaf = {leaf}"
    )
    assert f"event {leaf}" in problems(other)


def resigned(desk: Desk, change: Callable[[LedgerCreated], LedgerCreated], tmp: Path) -> Desk:
    """A new log by somebody who holds its own key, whose first event says something else: everything is signed."""
    from daybreak.ledger import succession

    real = lineage.consent

    def lie(old: Signer, public_key: str, copy: Any) -> Any:
        created = LedgerCreated(origin="x", public_key=public_key, continues=real(old, public_key, copy))
        return change(created).continues

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(succession.lineage, "consent", lie)
        patch.setattr(Continuation, "_succeed", _unchecked(Continuation._succeed))
        return desk.to(desk.take().name, "lied")


def _unchecked(real: Any) -> Any:
    def succeed(self: Restorer, *arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(snapshot, "check", lambda *_, **__: None)
            return real(self, *arguments)

    return succeed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 3}, "are not the"),
        ({"origin": "daybreak.local/other"}, "does not name the old log's key"),
        ({"head": "nonsense"}, "not signed as it should be"),
        ({"witnessed": "nonsense"}, "not signed as it should be"),
        ({"consent": base64.b64encode(bytes(64)).decode()}, "did not sign"),
        ({"snapshot": "another"}, "did not sign"),
    ],
)
def test_a_new_log_that_lies_about_the_old_one_is_noticed(
    desk: Desk, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    """The holder of the new key alone cannot pass a log off as the old one's successor."""

    def lie(created: LedgerCreated) -> LedgerCreated:
        continues = msgspec.structs.replace(created.continues, **change)
        return msgspec.structs.replace(created, continues=continues)

    desk.submit("ann")
    assert said in problems(resigned(desk, lie, tmp_path))


# -- keys and what is known outside


def test_without_the_key_nothing_is_restored_unless_it_is_said_to_be_lost(desk: Desk) -> None:
    """Then there is no signature of the old key, and the log says so."""
    # shows: N15
    desk.submit("ann")
    made = desk.take()
    (desk.places.keys / "ledger.key").rename(desk.root / "saved")
    with pytest.raises(KeyMissing, match=r"ledger\.key|the key of"):
        desk.to(made.name)
    assert not (desk.root / "new").exists()
    other = desk.to(made.name, without_key=True)
    first = other.records()[0].event
    assert isinstance(first, LedgerCreated)
    assert first.continues is not None
    assert first.continues.consent == ""
    other.whole()


def test_another_ledgers_key_is_refused(desk: Desk, tmp_path: Path) -> None:
    """A snapshot of one ledger is not restored over another."""
    desk.submit("ann")
    made = desk.take()
    stranger = Desk(tmp_path / "stranger")
    stranger.submit("eve")
    stranger.store = desk.store
    before = contents(stranger.places.ledger.parent)
    with pytest.raises(KeyWrong):
        stranger.restorer().in_place(made.name)
    with pytest.raises(KeyWrong):
        stranger.restorer().test_restore(made.name)
    assert contents(stranger.places.ledger.parent) == before
    stranger.whole()


def test_a_restore_that_cannot_be_completed_says_so_and_is_completed_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses in the middle of the exchange: nothing opens, nothing is lost."""
    # shows: N15
    desk.submit("ann")
    made = desk.take()

    def refused(old: Path, new: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "_rename", refused)
        with pytest.raises(RestoreUnfinished, match="No space left"):
            desk.restorer().in_place(made.name)
        with pytest.raises(RestoreUnfinished):
            finish(desk.places)
    with pytest.raises(KeyWrong):
        desk.open()
    assert finish(desk.places) is True
    desk.whole()


def test_a_snapshot_with_keys_restores_where_everything_else_is_gone(desk: Desk) -> None:
    """Home and witness are lost; the keys in the snapshot are enough, and other keys come along."""
    # shows: N15
    (desk.places.keys).mkdir(parents=True)
    desk.submit("ann")
    (desk.places.keys / "holdout.key").write_bytes(b"h" * 32)
    made = desk.take(with_keys=True)
    shutil.rmtree(desk.places.ledger.parent)
    other = desk.to(made.name)
    other.whole()
    assert (other.places.keys / "holdout.key").read_bytes() == b"h" * 32
    assert (other.places.keys / "ledger.key").stat().st_mode & 0o777 == 0o600
    assert (made.folder / "state.tar.zst").stat().st_mode & 0o777 == 0o600


def test_a_copy_of_another_history_under_the_same_key_is_refused(desk: Desk) -> None:
    """Two copies of one home went different ways: the witness of one does not know the snapshot of the other."""
    desk.submit("ann")
    shutil.copytree(desk.places.ledger.parent, desk.root / "twin")
    twin = Desk(desk.root, Places.below(desk.root / "twin", "a copy"))
    twin.seed = 1000
    twin.submit("bob")
    twin.submit("eve")
    desk.submit("cat")
    made = twin.take()
    with pytest.raises(LedgerForked):
        desk.to(made.name)


def test_a_snapshot_that_was_replaced_is_noticed(desk: Desk) -> None:
    """All its checksums fit, but the ledger remembers another manifest under that name."""
    # shows: N15
    desk.submit("ann")
    made = desk.take()
    with desk.open() as ledger:
        ledger.append([Draft(KEYS, snapshot.event_of(made))])
    desk.to(made.name, "fine")
    (made.folder / manifest.MANIFEST).unlink()
    told = msgspec.structs.replace(made.manifest, created=made.created - timedelta(days=3))
    manifest.write(made.folder, told)
    desk.store.verify(made.name)
    with pytest.raises(SnapshotUnsound, match="replaced"):
        desk.to(made.name)


def test_a_forged_ledger_in_a_consistent_snapshot_is_never_restored(desk: Desk) -> None:
    """Whoever can write to the store cannot sign: an event was changed and every checksum made to fit."""
    # shows: N15
    desk.submit("ann")
    made = desk.take()
    where = desk.places
    desk.store.unpack(made.name, desk.root / "forged")
    connection = apsw.Connection(str(desk.root / "forged" / "ledger" / "ledger.db"))
    connection.execute("DROP TRIGGER event_stays")
    connection.execute(f"UPDATE event SET payload = {OTHER}")
    connection.close()
    notes = made.manifest.notes
    forged = Store(desk.root / "forged-store").create(
        {"ledger": desk.root / "forged" / "ledger"}, moment=desk.clock.now(), inspect=lambda staged: notes
    )
    restorer = Restorer(Store(desk.root / "forged-store"), where, desk.clock)
    with pytest.raises(SnapshotUnsound, match="not whole"):
        restorer.to(forged.name, desk.root / "new")
    with pytest.raises(SnapshotUnsound, match="not whole"):
        restorer.test_restore(forged.name)
    assert not (desk.root / "new").exists()


def test_a_snapshot_of_something_else_is_refused(desk: Desk) -> None:
    """A folder without a ledger, and a manifest that speaks of none."""
    desk.submit("ann")
    (desk.root / "other").mkdir()
    (desk.root / "other" / "file").write_text("x")
    made = desk.store.create({"other": desk.root / "other"}, moment=desk.clock.now())
    with pytest.raises(SnapshotUnsound, match="does not describe a ledger"):
        desk.to(made.name)


def test_a_target_that_is_there_is_refused(desk: Desk) -> None:
    """Nothing of the user's is overwritten."""
    desk.submit("ann")
    made = desk.take()
    (desk.root / "new").mkdir()
    (desk.root / "new" / "mine").write_text("x")
    with pytest.raises(TargetOccupied):
        desk.to(made.name)
    assert contents(desk.root / "new") == {"mine": b"x"}


def test_a_test_restore_leaves_nothing_and_names_what_is_wrong(desk: Desk) -> None:
    """A real restore, in a temporary folder; the snapshot's damage is reported, the present is not touched."""
    # shows: N15
    run = desk.submit("ann")
    made = desk.take()
    before = contents(desk.places.ledger.parent)
    done = desk.restorer().test_restore("newest")
    assert done.verification.ok
    assert done.held == [run]
    assert contents(desk.places.ledger.parent) == before
    assert [path.name for path in desk.store.folder.iterdir()] == [made.name]
    path = made.folder / "state.tar.zst"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(SnapshotDamaged):
        desk.restorer().test_restore(made.name)
    with pytest.raises(SnapshotDamaged):
        desk.restorer().in_place(made.name)
    assert contents(desk.places.ledger.parent) == before
    assert not isinstance(desk.store.snapshots()[0], Damaged)


# -- in place


def test_in_place_the_present_is_kept_and_only_runs_that_moved_on_are_held(desk: Desk) -> None:
    """The present ledger is whole, so it is known who went on; it is moved aside with its key and witness."""
    # shows: N15
    moved, stayed = desk.submit("ann"), desk.submit("bob")
    made = desk.take()
    desk.resume(moved, "send it?", "yes")
    (desk.places.keys / "holdout.key").write_bytes(b"h" * 32)
    present = desk.records()
    done = desk.restorer().in_place(made.name)
    assert done.held == [moved]
    assert done.known == len(present)
    desk.whole()
    assert desk.state(stayed) == ("parked", "send it?")
    with pytest.raises(RunIsHeld):
        desk.resume(moved)
    desk.resume(stayed, "send it?", "yes")
    assert desk.sent == ["ann", "bob"], "it had not moved on, so its letter may go out"
    assert (desk.places.keys / "holdout.key").read_bytes() == b"h" * 32
    assert done.safety is not None
    label = done.safety.name.removeprefix("ledger.before-")
    where = desk.places
    old = Ledger.open(
        done.safety, keys=where.keys / f"before-{label}", witness=where.witness / f"before-{label}", clock=desk.clock
    )
    with old:
        assert [one.header for one in old.read_all()] == [one.header for one in present]
    left = {path.name for path in where.ledger.parent.iterdir()}
    assert left == {"ledger", f"ledger.before-{label}", "keys", "witness", "locks"}
    assert {path.name for path in where.keys.iterdir()} == {
        "ledger.key",
        "ledger.vkey",
        "holdout.key",
        f"before-{label}",
    }


def test_an_older_snapshot_can_be_restored_after_a_restore_in_place(desk: Desk) -> None:
    """The old key is found where it was put aside; now nothing is known of what went on, so every open run is held."""
    # shows: N15
    run = desk.submit("ann")
    first = desk.take()
    desk.submit("bob")
    second = desk.take()
    desk.restorer().in_place(second.name)
    desk.resume(run, "send it?", "yes")
    done = desk.restorer().in_place(first.name)
    assert done.held == [run]
    assert done.known == snapshot.note_of(second.manifest).size
    desk.whole()
    with pytest.raises(RunIsHeld):
        desk.resume(run)
    assert desk.sent == ["ann"]


@pytest.mark.parametrize("damage", ["deleted", "garbage", "cut", "no witness"])
def test_in_place_over_a_broken_ledger_holds_every_open_run(desk: Desk, damage: str) -> None:
    """Who went on cannot be known; the broken files are kept aside."""
    # shows: N15
    moved, stayed = desk.submit("ann"), desk.submit("bob")
    made = desk.take()
    desk.resume(moved, "send it?", "yes")
    path = desk.places.ledger / "ledger.db"
    if damage == "deleted":
        shutil.rmtree(desk.places.ledger)
    elif damage == "garbage":
        path.write_bytes(b"garbage" * 1000)
    elif damage == "no witness":
        (desk.places.witness / "head").unlink()
    else:
        path.write_bytes(path.read_bytes()[:20000])
    done = desk.restorer().in_place(made.name)
    assert sorted(done.held) == sorted([moved, stayed])
    desk.whole()
    assert (done.safety is None) == (damage == "deleted")
    if damage == "garbage":
        assert done.safety is not None
        assert (done.safety / "ledger.db").read_bytes() == b"garbage" * 1000


def test_in_place_is_refused_while_a_supervisor_runs_or_the_ledger_is_open(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was changed; afterwards it works."""
    # shows: N15
    monkeypatch.setattr(exchange, "BUSY_MS", 50)
    run = desk.submit("ann")
    made = desk.take()
    before = contents(desk.places.ledger.parent)
    with locks.FileLocks(desk.places.locks, desk.clock).hold(run), pytest.raises(RestoreRefused, match=run):
        desk.restorer().in_place(made.name)
    assert contents(desk.places.ledger.parent) == before
    with desk.open(), pytest.raises(RestoreRefused, match="open"):
        desk.restorer().in_place(made.name)
    home = desk.places.ledger.parent
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(home)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(RestoreRefused):
            desk.restorer().in_place(made.name)
    finally:
        process.kill()
        process.communicate()
    assert not list(desk.places.keys.glob("new-*"))
    desk.restorer().in_place(made.name)
    desk.whole()


CLOSED = (KeyWrong, KeyMissing, LedgerMissing, LedgerBehind, WitnessMissing, WitnessBroken)


class Crash(BaseException):
    """The process dies here."""


def crashing(patch: pytest.MonkeyPatch, at: int) -> Callable[[], int]:
    """The n-th move of files in `exchange` never happens; gives how many there were."""
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == at:
                raise Crash
            return real(*arguments, **options)

        return call

    patch.setattr(exchange, "write_synced", counted(exchange.write_synced))
    patch.setattr(exchange.os, "replace", counted(exchange.os.replace))
    patch.setattr(exchange, "_rename", counted(exchange._rename))
    patch.setattr(exchange, "_remove", counted(exchange._remove))
    return lambda: count


def test_a_restore_in_place_survives_a_crash_at_any_move(tmp_path: Path) -> None:
    """Either the old state opens, or none does until it is finished, and then the new one does. Never a fresh one."""
    # shows: N15, N14
    for at in range(1, 100):
        desk = Desk(tmp_path / str(at))
        run = desk.submit("ann")
        made = desk.take()
        desk.resume(run, "send it?", "yes")
        with pytest.MonkeyPatch.context() as patch:
            calls = crashing(patch, at)
            try:
                desk.restorer().in_place(made.name)
            except Crash:
                pass
            else:
                assert calls() < at
                break
        started = exchange.written_down(desk.places) is not None
        if not started:
            assert len(desk.records()) > snapshot.note_of(made.manifest).size
            assert finish(desk.places) is False
        else:
            with suppress(*CLOSED):  # it is the finished log, or it fails closed
                desk.open().close()
            with pytest.raises(RestoreRefused):
                desk.restorer().in_place(made.name)
            assert finish(desk.places) is True
            with pytest.raises(RunIsHeld):
                desk.resume(run)
            assert list(desk.places.ledger.parent.glob("ledger.before-*"))
        desk.whole()
        assert desk.sent == ["ann"]
    assert at > 8


def test_an_unreadable_intent_is_named(desk: Desk) -> None:
    """Nobody guesses what was to be done."""
    desk.submit("ann")
    exchange.beside(desk.places.ledger, "restore").write_bytes(b"{")
    with pytest.raises(RestoreUnfinished, match="cannot be read"):
        finish(desk.places)


def test_a_restored_run_is_told_in_the_queue_as_before(desk: Desk) -> None:
    """Tasks of the copy are listed, those after it are not."""
    run = desk.submit("ann")
    made = desk.take()
    desk.submit("bob")
    other = desk.to(made.name)
    with other.open() as ledger:
        assert [row[0] for row in ledger.query("SELECT run FROM view_runs")] == [run]
        assert [one.seq for one in ledger.read(QUEUE)] == [0]
        assert list(ledger.read(control_stream(run))) == []
        assert ledger.compare_views() == []


def test_the_answer_is_a_restored(desk: Desk) -> None:
    """What callers show: names, sizes, places."""
    desk.submit("ann")
    made = desk.take()
    done = desk.restorer().to(made.name, desk.root / "new")
    assert isinstance(done, Restored)
    assert done.ledger == desk.root / "new" / "ledger"
    assert done.source.manifest == made.manifest_sha256
