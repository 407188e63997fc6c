"""Copies of the ledger in other places: marks, losses, catching up, and what comes back of them."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from tests.unit.ledger_home import Home, step

from daybreak.errors import LedgerBehind, LedgerForked
from daybreak.events import ReplicaCaughtUp, ReplicaLapsed
from daybreak.ledger import Draft, Ledger, Record, keyfile, redaction
from daybreak.ledger.replicas import (
    NotReplicated,
    ReplicaDamaged,
    Replication,
    RestoreTaken,
    TargetUnknown,
    layout,
    reading,
    recovery,
)
from daybreak.ledger.replicas import keeper as keeping
from daybreak.ledger.replicas.copier import Copier
from daybreak.ledger.replicas.folder import FolderTarget
from daybreak.ledger.replicas.source import Source
from daybreak.ledger.replicas.standing import Memory
from daybreak.ledger.replicas.target import open_target
from daybreak.ledger.tree import leaf_hash
from daybreak.testing.clock import FakeClock

PATIENCE_S = 30.0


class Bad(FolderTarget):
    """A folder on a disk that fails or stands still when told to."""

    def __init__(self, name: str, root: Path, ledger: Path) -> None:
        super().__init__(name, root, ledger)
        self.trouble: int = 0
        self.writes = 0
        self.dies_at = -1
        self.apart: bool | None = None
        """Whether it says to be on another disk; None: the truth."""
        self.held = threading.Event()
        self.held.set()
        self.entered = threading.Event()

    def ready(self, *, had: bool, apart: bool) -> bool:
        apart_now = super().ready(had=had, apart=apart and self.apart is None)
        return apart_now if self.apart is None else self.apart

    def replace(self, path: str, data: bytes) -> None:
        self.entered.set()
        assert self.held.wait(PATIENCE_S)
        self.writes += 1
        if self.writes == self.dies_at:
            raise KilledError
        if self.trouble:
            raise OSError(self.trouble, os.strerror(self.trouble), path)
        super().replace(path, data)


class KilledError(BaseException):
    """The process is gone."""


class Shelf:
    """A ledger's home with folders for replicas beside it."""

    def __init__(self, root: Path, count: int = 3) -> None:
        self.home = Home(root / "home")
        self.names = [str(root / f"replica-{number}") for number in range(count)]
        self.targets: dict[str, Bad] = {}

    def opener(self, name: str, ledger: Path) -> Bad:
        self.targets[name] = Bad(name, Path(name), ledger)
        return self.targets[name]

    def rule(self, **changes: Any) -> Replication:
        given: dict[str, Any] = {"targets": self.names, "wait_s": PATIENCE_S, "opener": self.opener}
        return Replication(**(given | changes))

    def replica(self, number: int) -> Path:
        return Path(self.names[number])

    def bad(self, number: int) -> Bad:
        return self.targets[self.names[number]]

    def target(self, number: int) -> FolderTarget:
        return FolderTarget(self.names[number], self.replica(number), self.home.ledger)

    def sync(self, number: int = 0, target: Bad | None = None, **known: Any) -> int:
        """One round by hand."""
        with self.home.open() as ledger:
            source = Source(self.home.ledger, lambda: ledger.verifier, ledger.rows_of)
            try:
                copier = Copier(target or self.target(number), Memory(self.home.ledger).lock_of(self.names[number]))
                return copier.sync(source, **({"had": False, "apart": False} | known))[0]
            finally:
                source.close()

    def check(self, number: int) -> reading.Checked:
        with self.home.open() as ledger:
            return reading.check(self.target(number), ledger.verifier)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "INTERVAL_S", 0.0)
    monkeypatch.setattr(keeping, "RETRY_S", 600.0)  # only whoever waits has a failed target tried again


def fill(ledger: Ledger, count: int, start: int = 0, **result: Any) -> None:
    ledger.append([Draft(f"control:{n % 3}", step(n, {"n": n} | result)) for n in range(start, start + count)])


def told(ledger: Ledger) -> list[ReplicaLapsed | ReplicaCaughtUp]:
    kinds = ReplicaLapsed | ReplicaCaughtUp
    return [record.event for record in ledger.read_all() if isinstance(record.event, kinds)]


def hear(ledger: Ledger) -> SimpleQueue[ReplicaLapsed | ReplicaCaughtUp]:
    """What the ledger is told of its replicas from now on."""
    heard: SimpleQueue[ReplicaLapsed | ReplicaCaughtUp] = SimpleQueue()

    def listen(records: list[Record]) -> None:
        for record in records:
            if isinstance(record.event, ReplicaLapsed | ReplicaCaughtUp):
                heard.put(record.event)

    ledger.subscribe(listen)
    return heard


def everywhere(ledger: Ledger, timeout_s: float = PATIENCE_S) -> None:
    """All of them, not only as many as the rule wants."""
    assert ledger.replicas is not None
    rule = ledger.replicas.rule
    ledger.replicas.rule = Replication(rule.targets, len(rule.targets))
    try:
        ledger.wait_replicated(timeout_s=timeout_s)
    finally:
        ledger.replicas.rule = rule


# -- what a replica is


def test_a_replica_is_a_static_log_that_any_client_reads(shelf: Shelf) -> None:
    """Its checkpoint is the ledger's signed head, its tiles and entries lie where C2SP tlog-tiles says, and entries
    hash to the tiles; partial files go when the full one is there."""
    # shows: N18
    with shelf.home.open() as ledger:
        ledger.replicate(shelf.rule(acknowledge=3))
        fill(ledger, 250)
        ledger.wait_replicated()
        assert (shelf.replica(0) / "tile/entries/000.p/251").is_file()
        fill(ledger, 300, 250)
        ledger.wait_replicated()
        assert ledger.replicated == 551
        head = ledger.head()
        leaves = [record.hash for record in ledger.read_all()]
    root = shelf.replica(1)
    assert (root / "checkpoint").read_text() == head.text
    assert not (root / "tile/entries/000.p").exists()
    tiles = [(root / "tile/0" / name).read_bytes() for name in ("000", "001", "002.p/39")]
    assert b"".join(tiles) == b"".join(leaves)
    entries = (root / "tile/entries/001").read_bytes()
    length = int.from_bytes(entries[:2], "big")
    assert leaf_hash(entries[2 : 2 + length]) == leaves[256]
    assert len((root / "tile/1/000.p/2").read_bytes()) == 64
    assert layout.number(1234067) == "x001/x234/067"
    assert all(shelf.check(number).ok for number in range(3))


def test_what_comes_back_is_the_same_ledger(shelf: Shelf, tmp_path: Path) -> None:
    """Odd sizes included: huge payloads, blobs that events name, and headers too long for an entry. Leaf hashes and
    root are identical, and the log goes on under its key and witness."""
    # shows: N18, N3
    with shelf.home.open() as ledger:
        ledger.replicate(shelf.rule())
        named = ledger.put_blob(b"a transcript")
        long = "\x01" * 4096
        ledger.append([Draft("control:long", step(1), "\x02" * 4096, trace=long, idem=long)])
        ledger.append([Draft("control:blob", step(2, {"see": named, "size": "x" * 70_000, "no blob": "ab" * 32}))])
        ledger.append([Draft("control:middle", step(3, "y" * 5_000))])
        fill(ledger, 600)
        ledger.wait_replicated()
        head, leaves = ledger.head(), [record.hash for record in ledger.read_all()]
    back = Home(tmp_path / "back")
    with shelf.home.open() as ledger:
        made = recovery.restore(
            open_target(shelf.names[0], shelf.home.ledger),
            ledger.verifier,
            back.ledger,
            refers=lambda record: [named] if record.stream == "control:blob" else [],
        )
    assert (made.size, made.root, made.blobs, made.missing) == (head.size, head.root.hex(), 2, 0)
    shutil.copytree(shelf.home.keys, back.keys)
    shutil.copytree(shelf.home.witness, back.witness)
    assert back.verify().ok
    with back.open() as ledger:
        assert [record.hash for record in ledger.read_all()] == leaves
        assert ledger.get_blob(named) == b"a transcript"
        fill(ledger, 3, 600)
    with shelf.home.open() as ledger, pytest.raises(RestoreTaken):
        recovery.restore(shelf.target(0), ledger.verifier, back.ledger)


def test_a_rotated_key_and_a_forgotten_subject_go_along(shelf: Shelf, tmp_path: Path) -> None:
    """The replica's head is checked with the newest key; what was sealed is in no file of it, before and after."""
    # shows: N18, N16
    with shelf.home.open() as ledger:
        ledger.replicate(shelf.rule())
        ledger.append([Draft("control:a", step(1, {"telephone": "0815-4711"}), subject="anna")])
        ledger.wait_replicated()
        ledger.rotate_key(why="every year")
        redaction.forget(ledger, "anna", FakeClock(), why="she asked")
        fill(ledger, 3)
        everywhere(ledger)
        head = ledger.head()
    verifier = keyfile.with_history(shelf.home.keys, keyfile.load_verifier(shelf.home.keys))
    found = reading.check(shelf.target(0), verifier)
    assert (found.ok, found.size, found.root) == (True, head.size, head.root.hex())
    assert not [name for name, data in _files(shelf.replica(0)).items() if b"4711" in data]
    recovery.restore(shelf.target(1), verifier, tmp_path / "back")
    shutil.rmtree(shelf.home.ledger)
    (tmp_path / "back").rename(shelf.home.ledger)
    assert shelf.home.verify().ok
    with shelf.home.open() as ledger:
        assert ledger.head().root == head.root


# -- losses


@pytest.mark.parametrize("trouble", ["removed", errno.ENOSPC, errno.EROFS])
def test_a_lost_or_full_replica_is_reported_skipped_and_caught_up(shelf: Shelf, trouble: str | int) -> None:
    """The quorum holds meanwhile, two events tell of it, and nobody has to ask for the catching up."""
    # shows: N18
    with shelf.home.open() as ledger:
        heard = hear(ledger)
        ledger.replicate(shelf.rule())
        fill(ledger, 10)
        everywhere(ledger)
        if trouble == "removed":
            shutil.rmtree(shelf.replica(1))
        else:
            shelf.bad(1).trouble = int(trouble)
        fill(ledger, 300, 10)
        ledger.wait_replicated()
        assert ledger.replicated >= 311
        lapsed = heard.get(timeout=PATIENCE_S)
        assert isinstance(lapsed, ReplicaLapsed)
        assert (lapsed.target, lapsed.left, lapsed.wanted) == (shelf.names[1], 2, 2)
        with pytest.raises(NotReplicated, match=r"replica-1 holds 0 \(L191 "):
            everywhere(ledger, 0.01)
        shelf.replica(1).mkdir(exist_ok=True)
        shelf.bad(1).trouble = 0
        everywhere(ledger)
        assert isinstance(heard.get(timeout=PATIENCE_S), ReplicaCaughtUp)
        assert len(told(ledger)) == 2
    assert shelf.check(1).ok
    assert shelf.check(1).size == ledger.head().size


def test_below_the_quorum_an_append_is_durable_and_not_replicated(shelf: Shelf) -> None:
    """It is acknowledged, the mark does not move, a delivery that needs the mark is refused with the targets' names,
    one that needs only durability is not."""
    # shows: N18
    with shelf.home.open() as ledger:
        heard = hear(ledger)
        ledger.replicate(shelf.rule(deliveries="replicated"))
        fill(ledger, 5)
        everywhere(ledger)
        ledger.secure()
        shelf.bad(0).trouble = shelf.bad(2).trouble = errno.ENOSPC
        fill(ledger, 5, 5)
        assert sorted(heard.get(timeout=PATIENCE_S).left for _ in range(2)) == [1, 2]
        replicas = ledger.replicas
        assert replicas is not None
        replicas.rule = shelf.rule(deliveries="replicated", wait_s=0.01)
        with pytest.raises(NotReplicated, match=r"2 must: .*replica-0 holds 0 \(L191 No space left"):
            ledger.secure()
        assert len(list(ledger.read_all())) == ledger.head().size >= 13
        shelf.bad(0).trouble = 0
        replicas.rule = shelf.rule(deliveries="replicated")
        ledger.secure()
    with shelf.home.open() as ledger:
        ledger.replicate(shelf.rule(deliveries="durable"))
        for target in shelf.targets.values():
            target.trouble = errno.EIO
        fill(ledger, 1)
        ledger.secure()
    with shelf.home.open() as ledger, pytest.raises(NotReplicated):
        ledger.wait_replicated()


def test_a_slow_replica_keeps_nobody_waiting(shelf: Shelf) -> None:
    """The other two acknowledge, the slow one is reported as that, and it catches up when it moves again. That it was
    on another disk is remembered meanwhile: an empty mount point is not filled for it."""
    # shows: N18
    with shelf.home.open() as ledger:
        heard = hear(ledger)
        ledger.replicate(shelf.rule())
        shelf.bad(2).apart = True
        fill(ledger, 3)
        everywhere(ledger)
        shelf.bad(2).entered.clear()
        shelf.bad(2).held.clear()
        fill(ledger, 3, 3)
        ledger.wait_replicated()
        assert shelf.bad(2).entered.wait(PATIENCE_S)
        assert ledger.replicas is not None
        ledger.replicas._minders[2].look(0.0)
        assert isinstance(heard.get(timeout=PATIENCE_S), ReplicaLapsed)
        assert [one.state for one in ledger.replicas.standings()] == ["held", "held", "slow"]
        slow = Memory(shelf.home.ledger).of(shelf.names[2])
        assert (slow.state, slow.apart, slow.size > 0) == ("slow", True, True)
        shelf.bad(2).held.set()
        everywhere(ledger)
        assert isinstance(heard.get(timeout=PATIENCE_S), ReplicaCaughtUp)


def test_a_folder_that_vanished_is_not_made_anew_where_its_disk_was(shelf: Shelf) -> None:
    """A mount point whose disk is gone, or an empty one on the ledger's own disk where there was another, is no place
    for a replica."""
    # shows: N18
    shelf.home.fill(3)
    assert shelf.sync() == 4
    shutil.rmtree(shelf.replica(0))
    with pytest.raises(Exception, match="is not there"):
        shelf.sync(had=True)
    assert not shelf.replica(0).exists()
    shelf.replica(0).mkdir()
    with pytest.raises(Exception, match="on another disk"):
        shelf.sync(had=True, apart=True)
    assert not list(shelf.replica(0).iterdir())
    assert shelf.sync(had=True) == 4


# -- histories


def test_another_history_is_reported_and_left_as_it_is(shelf: Shelf) -> None:
    """A fork of this ledger, another ledger's replica, one that is ahead, one that cannot be read: all stay so."""
    # shows: N18, N7
    shelf.home.fill(5)
    fork = shelf.home.copy("fork")
    shelf.home.fill(300, start=5)
    assert shelf.sync() == 306
    other = Shelf(shelf.home.root.parent / "elsewhere")
    other.names = shelf.names
    other.home.fill(2)
    before = _files(shelf.replica(0))
    with pytest.raises(LedgerForked):
        other.sync()
    forked = Shelf(shelf.home.root.parent / "forked")
    forked.names, forked.home = shelf.names, fork
    fork.fill(1, start=99)
    with pytest.raises(LedgerBehind):
        forked.sync()
    fork.fill(400, start=100)
    with pytest.raises(LedgerForked):
        forked.sync()
    assert _files(shelf.replica(0)) == before
    (shelf.replica(0) / "checkpoint").write_text("nonsense\n")
    with pytest.raises(ReplicaDamaged):
        shelf.sync()
    (shelf.replica(0) / "checkpoint").unlink()  # whole tiles of another history under it
    with pytest.raises(LedgerForked, match="tile"):
        forked.sync()


def test_a_damaged_ledger_is_not_copied(shelf: Shelf) -> None:
    """What does not add up to the signed head, or is not what was signed, never reaches a replica's checkpoint."""
    # shows: N18, N7
    shelf.home.fill(300)
    with shelf.home.open() as ledger:
        source = Source(shelf.home.ledger, lambda: ledger.verifier, ledger.rows_of)
        copier = Copier(shelf.target(0), Memory(shelf.home.ledger).lock_of("x"))
        shelf.home.sql("UPDATE event SET payload = CAST('{}' AS BLOB) WHERE leaf = 7")
        with pytest.raises(Exception, match="event 7"):
            copier.sync(source, had=False, apart=False)
        assert not (shelf.replica(0) / "checkpoint").exists()
        source.close()


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _each(found: dict[str, bytes]) -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    for name in found:
        yield name, lambda data: data[:-1]
        yield name, lambda data: bytes([data[0] ^ 1]) + data[1:]


def test_every_damaged_file_of_a_replica_is_noticed_and_nothing_comes_back_of_it(shelf: Shelf, tmp_path: Path) -> None:
    """Cut short by a byte, one bit flipped, or missing: check names it, and a restore makes no folder."""
    # shows: N18, N7
    with shelf.home.open() as ledger:
        ledger.append([Draft("control:long", step(1), trace="\x01" * 4096, idem="\x02" * 4096, actor="\x03" * 4096)])
        ledger.append([Draft("control:large", step(2, "x" * 5_000))])
        fill(ledger, 280)
    assert shelf.sync() == 283
    whole = _files(shelf.replica(0))
    assert {name.split("/")[0] for name in whole} == {"checkpoint", "tile", "payload", "blob", "header"}
    with shelf.home.open() as ledger:
        verifier = ledger.verifier
    for name, change in [*_each(whole), *((name, None) for name in whole)]:
        place = shelf.replica(0) / name
        place.unlink() if change is None else place.write_bytes(change(whole[name]))
        try:
            assert not reading.check(shelf.target(0), verifier).ok, name
        except ReplicaDamaged:
            assert name == "checkpoint"
        if not name.startswith("tile/1"):  # which a restore makes itself
            with pytest.raises(ReplicaDamaged):
                recovery.restore(shelf.target(0), verifier, tmp_path / "back")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "replica-0"]
        place.write_bytes(whole[name])
    assert reading.check(shelf.target(0), verifier).ok


# -- deaths


def test_killed_at_any_write_the_next_round_makes_it_whole(shelf: Shelf) -> None:
    """Whatever was written, the checkpoint covers only what is there; the next round completes the very same files."""
    # shows: N18, N1
    shelf.home.fill(250)
    assert shelf.sync(1) == 251
    shelf.home.fill(300, start=250)
    whole = None
    for dies_at in range(1, 100):
        shutil.rmtree(shelf.replica(0), ignore_errors=True)
        shutil.copytree(shelf.replica(1), shelf.replica(0))
        target = shelf.opener(shelf.names[0], shelf.home.ledger)
        target.dies_at = dies_at
        try:
            shelf.sync(target=target)
        except KilledError:
            assert shelf.check(0).ok
            assert shelf.check(0).size == 251
            assert shelf.sync() == 551
        else:
            break
        assert shelf.check(0).ok
        whole = whole or _files(shelf.replica(0))
        assert _files(shelf.replica(0)) == whole
    assert dies_at > 8


def test_what_a_process_left_behind_the_next_one_copies(shelf: Shelf) -> None:
    """Nobody appends, and nobody asks: opening the ledger is enough; a loss is told of once, whoever finds it."""
    # shows: N18
    shelf.home.fill(20)
    gone = "nowhere-at-all://bucket"
    for turn in range(2):
        with shelf.home.open() as ledger:
            heard = hear(ledger)
            ledger.replicate(shelf.rule(targets=[*shelf.names[:2], gone], acknowledge=2))
            if not turn:
                assert heard.get(timeout=PATIENCE_S).target == gone
            ledger.wait_replicated()
    assert [event.target for event in _told(shelf)] == [gone]
    assert shelf.check(0).size >= 21


def _told(shelf: Shelf) -> list[Any]:
    with shelf.home.open() as ledger:
        return told(ledger)


# -- other places


def test_one_folder_under_two_names_is_one_replica(shelf: Shelf, tmp_path: Path) -> None:
    """As a URL, through a link, with `..`: the second name is refused as a target, and acknowledges nothing."""
    # shows: N18
    folder = tmp_path / "one"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    for other in (f"file://{folder}", f"local://{folder}", f"{tmp_path}/link", f"{tmp_path}/x/../one", f"{folder}/"):
        with shelf.home.open() as ledger:
            ledger.replicate(Replication([str(folder), other], 1, wait_s=PATIENCE_S))
            fill(ledger, 1)
            ledger.wait_replicated()
            assert ledger.replicas is not None
            ledger.replicas.rule = Replication([str(folder), other], 2)
            with pytest.raises(NotReplicated, match=r"2 must: .* \(L195 "):
                ledger.wait_replicated(timeout_s=0.01)
            assert ledger.replicated == 0


def test_what_names_no_place_is_refused() -> None:
    """Relative paths, and protocols that nothing here knows."""
    # shows: N18
    for name in ("", "\0", "replica", "file://replica", "nowhere-at-all://bucket/x"):
        with pytest.raises(TargetUnknown):
            open_target(name, Path("/elsewhere"))
    with pytest.raises(TargetUnknown):
        open_target("/elsewhere/ledger/copy", Path("/elsewhere/ledger"))


def test_a_password_in_a_name_is_refused_before_anything_writes_it_down() -> None:
    """Names of targets stand in events for good. Whoever asks: the settings refuse it themselves, these are the command
    line and the library; and the password is not repeated."""
    # shows: N9
    for name in ("memory://me:hunter2@host/x", "sftp://:hunter2@host/x", "zip://a.zip::sftp://me:hunter2@host/x"):
        for ask in (lambda name: open_target(name, Path("/elsewhere")), lambda name: Replication([name])):
            with pytest.raises(TargetUnknown, match="holds a password") as refused:
                ask(name)
            assert "hunter2" not in f"{refused.value} {refused.value.hint}"
    for name in ("/a:b@c/d", "memory://me@host/a:b@c", "memory://host:22/x"):
        assert open_target(name, Path("/elsewhere")).name == Replication([name]).targets[0] == name


def test_a_replica_in_whatever_fsspec_opens(shelf: Shelf) -> None:
    """The same files, through a store that has no folders and no sync."""
    # shows: N18
    pytest.importorskip("fsspec")
    name = f"memory://{shelf.home.root.name}/{os.getpid()}"
    with shelf.home.open() as ledger:
        ledger.replicate(Replication([name], wait_s=PATIENCE_S))
        fill(ledger, 300)
        ledger.wait_replicated()
        found = reading.check(open_target(name, shelf.home.ledger), ledger.verifier)
        assert (found.ok, found.size) == (True, 301)
