"""A replica that holds less than is known outside becomes a new log that goes on from it, as a snapshot does."""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_snapshots_restore import CLOSED, Crash, Desk, contents, crashing

from daybreak.engine import VIEWS
from daybreak.errors import KeyMissing, KeyWrong, LedgerBehind, LedgerForked
from daybreak.events import LedgerCreated, ReplicaRestored
from daybreak.host.snapshots import TargetOccupied
from daybreak.ledger import exchange, keyfile, lineage, snapshot, subjects, verify
from daybreak.ledger.continuation import Continuation, Restored, finish
from daybreak.ledger.exchange import RestoreRefused
from daybreak.ledger.holds import GO_ON, RunIsHeld
from daybreak.ledger.replicas import ReplicaDamaged, Replication, recovery
from daybreak.ledger.replicas.continuing import ReplicaCopy
from daybreak.ledger.replicas.target import open_target
from daybreak.ledger.succession import Succession
from daybreak.ledger.witness.kept import Kept
from daybreak.ledger.witness.statement import Statement


class Shelf(Desk):
    """A desk with a replica beside it."""

    @property
    def replica(self) -> Path:
        return self.root / "replica"

    def copy(self) -> int:
        """Bring the replica up to the ledger; its size."""
        with self.open() as ledger:
            ledger.replicate(Replication([str(self.replica)], 1, wait_s=30))
            size = ledger.head().size
            ledger.wait_replicated(size)
        return size

    def source(self) -> ReplicaCopy:
        where = self.places
        verifier = keyfile.with_history(where.keys, keyfile.load_verifier(where.keys))
        return ReplicaCopy(open_target(str(self.replica), where.ledger), verifier)

    def going_on(self, **options: Any) -> Continuation:
        return Continuation(self.places, self.clock, views=VIEWS, **options)

    def at(self, done: Restored) -> Desk:
        """The desk at the new home."""
        from daybreak.config import Places

        other = Desk(self.root, Places.below(done.ledger.parent, "restored"))
        other.sent, other.clock = self.sent, self.clock
        return other

    def size(self) -> int:
        with self.open() as ledger:
            return ledger.head().size


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.mark.parametrize("behind", ["one", "many", "a rotation"])
def test_a_replica_behind_the_witness_goes_on_as_a_new_log(shelf: Shelf, behind: str) -> None:
    """The same log does not open from it. A new one does; it names the old one, says how many events are missing, and
    does not repeat what may have happened in them."""
    # shows: N15 N18
    run = shelf.submit("ann")
    held = shelf.copy()
    if behind == "one":
        with shelf.engine() as engine:
            engine.answer(run, "send it?", "yes")
    else:
        if behind == "a rotation":
            with shelf.open() as ledger:
                ledger.rotate_key()
        shelf.resume(run, "send it?", "yes")
    size = shelf.size()
    shutil.rmtree(shelf.places.ledger)
    copy = shelf.source()
    recovery.restore(copy.target, copy.verifier, shelf.places.ledger)
    with pytest.raises(LedgerBehind):
        shelf.open()
    shutil.rmtree(shelf.places.ledger)
    done = shelf.going_on().to(copy, shelf.root / "new")
    assert (done.size, done.known, done.lost, done.held) == (held, size, size - held, [run])
    assert (done.lost == 1) == (behind == "one")
    other = shelf.at(done)
    other.whole()
    records = other.records()
    created = records[0].event
    assert isinstance(created, LedgerCreated)
    assert created.continues is not None
    assert (created.continues.size, created.continues.snapshot) == (held, "")
    assert lineage.consents(created.continues, created.public_key)
    assert bool(created.continues.handovers) == (behind == "a rotation")
    (said,) = (one.event for one in records if isinstance(one.event, ReplicaRestored))
    assert (said.target, said.head, said.held, said.safety) == (str(shelf.replica), created.continues.head, [run], "")
    with pytest.raises(RunIsHeld):
        other.resume(run)
    _, question = other.state(run)
    assert f"({size} were known to have been)" in question
    assert other.resume(run, question, GO_ON).question == "send it?"
    sent = list(shelf.sent)
    assert other.resume(run, "send it?", "yes").state == "parked"
    assert shelf.sent == sent == ([] if behind == "one" else ["ann"])
    other.whole()


def test_in_place_the_present_ledger_is_kept_and_only_runs_that_went_on_are_held(shelf: Shelf) -> None:
    """As after a snapshot: key, witness and ledger are exchanged together and the old ones stay beside them."""
    # shows: N15 N18
    moved, stayed = shelf.submit("ann"), shelf.submit("bob")
    shelf.copy()
    shelf.resume(moved, "send it?", "yes")
    before = contents(shelf.places.ledger)
    done = shelf.going_on().in_place(shelf.source())
    assert (done.held, done.lost > 1) == ([moved], True)
    assert done.safety is not None
    assert contents(done.safety) == before
    shelf.whole()
    assert shelf.resume(stayed).question == "send it?"
    with pytest.raises(RunIsHeld):
        shelf.resume(moved)


@pytest.mark.parametrize("known", ["the witness", "a longer ledger", "another witness"])
def test_a_replica_of_another_history_is_refused(shelf: Shelf, known: str) -> None:
    """It is signed by the same key, and is not what the witness, another one, or the present ledger saw."""
    # shows: N15 N18
    shelf.submit("ann")
    shelf.copy()
    fork = Shelf(shelf.root / "fork")
    fork.seed = 1000
    shutil.copytree(shelf.places.ledger.parent, fork.places.ledger.parent)
    fork.submit("eve")
    forked = fork.copy()
    fork.copy()
    while shelf.size() < forked:
        shelf.submit("bob")
    if known == "a longer ledger":
        shelf.submit("carl")
    else:
        with shelf.open() as ledger:
            head, verifier = ledger.head(), ledger.verifier
        if known == "another witness":
            Kept(shelf.places.witness, verifier).put("w", Statement(head.size, shelf.clock.now(), note=head.text))
            (shelf.places.witness / "head").unlink()
        shutil.rmtree(shelf.places.ledger)
        if head.size > forked:
            fork.submit("dora")
            fork.copy()
    shelf.replica.rename(shelf.root / "good")
    fork.replica.rename(shelf.replica)
    state = contents(shelf.places.ledger.parent)
    with pytest.raises(LedgerForked, match="replica"):
        shelf.going_on().to(shelf.source(), shelf.root / "new")
    with pytest.raises(LedgerForked, match="are not those"):
        shelf.going_on().in_place(shelf.source())
    assert not (shelf.root / "new").exists()
    assert contents(shelf.places.ledger.parent) == state


def test_a_damaged_replica_a_lost_key_and_a_taken_folder_are_refused_and_nothing_is_left(shelf: Shelf) -> None:
    """Nothing appears; without the old key it goes on where that is asked for, and says that nobody vouches."""
    # shows: N15 N18
    shelf.submit("ann")
    shelf.copy()
    shelf.submit("bob")
    copy, new = shelf.source(), shelf.root / "new"
    (shelf.root / "taken").mkdir()
    (shelf.root / "taken" / "mine").write_text("mine")
    with pytest.raises(TargetOccupied):
        shelf.going_on().to(copy, shelf.root / "taken")
    secret = shelf.places.keys / "ledger.key"
    kept = secret.read_bytes()
    secret.unlink()
    with pytest.raises(KeyMissing, match="replica"):
        shelf.going_on().to(copy, new)
    done = shelf.going_on(without_key=True).to(copy, new)
    created = shelf.at(done).records()[0].event
    assert isinstance(created, LedgerCreated)
    assert created.continues is not None
    assert created.continues.consent == ""
    shutil.rmtree(new)
    other = Desk(shelf.root / "other")
    other.submit("eve")
    secret.write_bytes((other.places.keys / "ledger.key").read_bytes())
    secret.chmod(0o600)
    with pytest.raises(KeyWrong, match="replica"):
        shelf.going_on().to(copy, new)
    secret.write_bytes(kept)
    entries = next(path for path in (shelf.replica / "tile" / "entries").rglob("*") if path.is_file())
    entries.chmod(0o644)
    entries.write_bytes(entries.read_bytes()[:-1])
    with pytest.raises(ReplicaDamaged):
        shelf.going_on().to(copy, new)
    assert not new.exists()
    assert [path.name for path in shelf.root.iterdir() if path.name.startswith(".")] == []


def test_going_on_from_a_replica_in_place_survives_a_crash_at_any_move(tmp_path: Path) -> None:
    """Either the old state opens, or none does until it is finished, and then the new one does. Never a fresh one."""
    # shows: N15 N18 N14
    base = Shelf(tmp_path / "base")
    run = base.submit("ann")
    held = base.copy()
    base.resume(run, "send it?", "yes")
    for at in range(1, 100):
        shutil.copytree(base.root, tmp_path / str(at))
        shelf = Shelf(tmp_path / str(at))
        with pytest.MonkeyPatch.context() as patch:
            calls = crashing(patch, at)
            try:
                shelf.going_on().in_place(shelf.source())
            except Crash:
                pass
            else:
                assert calls() < at
                break
        if exchange.written_down(shelf.places) is None:
            assert shelf.size() > held
            assert finish(shelf.places) is False
        else:
            with suppress(*CLOSED):  # it is the finished log, or it fails closed
                shelf.open().close()
            with pytest.raises(RestoreRefused):
                shelf.going_on().in_place(shelf.source())
            assert finish(shelf.places) is True
            with pytest.raises(RunIsHeld):
                shelf.resume(run)
            assert list(shelf.places.ledger.parent.glob("ledger.before-*"))
        shelf.whole()
        assert shelf.sent == []
    assert at > 8


def test_the_command_asks_for_one_place_and_names_what_is_lost(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """TO_DIR gives the same log and says that it will not open; --to and --in-place begin a new one."""
    # shows: N18
    from typer.testing import CliRunner

    from daybreak.cli.replicas import app

    run = shelf.submit("ann")
    held = shelf.copy()
    shelf.resume(run, "send it?", "yes")
    size = shelf.size()
    monkeypatch.setenv("DAYBREAK_HOME", str(shelf.places.ledger.parent))
    monkeypatch.chdir(shelf.root)

    def told(*words: str) -> Any:
        done = CliRunner().invoke(app, ["restore", str(shelf.replica), *words, "--json"])
        if done.exit_code:
            raise done.exception or AssertionError(done.output)
        return json.loads(done.stdout)

    for words in ([], ["a", "--in-place"], ["--to", "a", "--in-place"], ["a", "--without-key"]):
        assert CliRunner().invoke(app, ["restore", str(shelf.replica), *words]).exit_code != 0
    same = told("same")
    assert (same["events"], same["missing_events"]) == (held, size - held)
    new = told("--to", "new")
    assert (new["replica"], new["events"], new["known"], new["lost"], new["held"]) == (
        str(shelf.replica),
        held,
        size,
        size - held,
        [run],
    )
    assert told("--in-place", "--key", str(shelf.places.keys / "ledger.vkey"))["safety"]
    shelf.whole()
    keys = [Path(new["ledger"]).parent / "keys", shelf.places.keys]
    assert len({keyfile.load_verifier(folder).text for folder in keys}) == 2
    found = verify(Path(new["ledger"]), keys=keys[0], witness=Path(new["ledger"]).parent / "witness")
    assert found.ok


STEPS = {
    "the copy": (recovery, "restore"),
    "the copy's check": (snapshot, "check"),
    "the new log": (Succession, "make"),
    "its check": (Continuation, "_succeed"),
    "the keys": (subjects, "carry_over"),
}


def killed(shelf: Shelf, owner: Any, name: str, *, in_place: bool) -> int:
    """The signal that ended a process that goes on from the replica and kills itself as soon as that has been done."""
    pid = os.fork()
    if pid == 0:
        did = getattr(owner, name)

        def dying(*given: Any, **options: Any) -> None:
            did(*given, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        try:
            setattr(owner, name, dying)
            going_on = shelf.going_on()
            if in_place:
                going_on.in_place(shelf.source())
            else:
                going_on.to(shelf.source(), shelf.root / "new")
        finally:
            os._exit(1)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("at", STEPS)
def test_killed_on_the_way_nothing_is_there_and_the_old_ledger_goes_on(shelf: Shelf, at: str) -> None:
    """After each step, in a new place and in place; the next try works and takes away what was left."""
    # shows: N15 N18 N14
    run = shelf.submit("ann")
    held = shelf.copy()
    shelf.submit("bob")
    size = shelf.size()
    places = [False] if at == "the keys" else [False, True]
    for in_place in places:
        assert killed(shelf, *STEPS[at], in_place=in_place) == signal.SIGKILL
        assert not (shelf.root / "new").exists()
        assert finish(shelf.places) is False
        assert shelf.size() == size
        shelf.whole()
    done = shelf.going_on().to(shelf.source(), shelf.root / "new")
    assert (done.size, done.lost, done.held) == (held, size - held, [run])
    done = shelf.going_on().in_place(shelf.source())
    assert done.lost == size - held
    shelf.whole()
    left = [path for path in shelf.root.rglob("*") if "restoring" in path.name and path.is_dir()]
    left += [path for path in shelf.root.rglob("new-*") if path.is_dir()]
    assert left == []
