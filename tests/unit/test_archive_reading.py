"""A ledger whose events lie partly in archives says what it said before; and says clearly what it cannot say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.archive_shelf import ARCHIVED, LARGE, archived, blanks, files, pruned, said, table
from tests.unit.ledger_home import STEPS, Home, step

from daybreak.agents.gateway.reserving import Reserving
from daybreak.config import Places
from daybreak.errors import IdemConflict, LedgerTampered
from daybreak.events import Answered, LedgerArchived, LedgerPruned, LedgerRefilled, ModelCalled
from daybreak.host.snapshots import Store
from daybreak.ledger import Draft, Ledger, View, check_proof, database, follow, keyfile, prove, redaction, snapshot
from daybreak.ledger.archive.archiving import archive
from daybreak.ledger.archive.problems import ArchiveDamaged, ArchiveMissing
from daybreak.ledger.archive.pruning import move, prune, refill, standings
from daybreak.ledger.archive.shelf import default_folder
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.replicas import Replication, reading, recovery
from daybreak.ledger.replicas.target import open_target
from daybreak.ledger.restore import Restorer
from daybreak.ledger.rows import Rows
from daybreak.ledger.tree import leaf_hash, verify_inclusion
from daybreak.testing.clock import FakeClock


class Parts:
    """A pruned ledger; each test works on a copy."""

    def __init__(self, root: Path) -> None:
        self.home, self.before = pruned(root / "home", [STEPS])

    def copy(self, root: Path) -> Home:
        shutil.copytree(self.home.root, root / "home")
        return Home(root / "home", [STEPS])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return Parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture
def home(parts: Parts, tmp_path: Path) -> Home:
    return parts.copy(tmp_path)


@pytest.fixture
def lost(home: Home) -> Home:
    """Without its archive, which is beside it under another name. (The folder that it was made in is not there.)"""
    (home.root / "archive").rename(home.root / "away")
    home.sql(f"UPDATE archive SET folder = '{home.root / 'archive'}'")
    return home


def test_everything_is_read_as_it_was(parts: Parts, home: Home) -> None:
    """All events, single streams, from anywhere; live and pruned ones in one order; and nothing is left of them in the
    database but their places, keys and hashes."""
    # shows: N3 N7 N12
    assert blanks(home) > 480
    with home.open() as ledger:
        assert said(ledger)[: len(parts.before)] == parts.before
        for stream in ledger.streams():
            mine = [one for one in parts.before if one.stream == stream]
            assert [(one.index, one.payload) for one in ledger.read(stream)][: len(mine)] == [
                (one.index, one.payload) for one in mine
            ]
            half = len(mine) // 2
            assert next(ledger.read(stream, after=half - 1)).index == mine[half].index
        assert ledger.read_all(after=299).__next__().index == 300
        assert ledger.epoch("run:r1") == 1
    with follow(home.ledger, after=100) as live:
        assert [next(live).index for _ in range(3)] == [101, 102, 103]
    assert home.verify().ok
    assert home.verify().events == home.rows("SELECT count(*) FROM event")[0][0]


def test_what_is_appended_to_streams_of_old_goes_on_from_them(home: Home) -> None:
    """Order, epochs and keys: a repeat is answered with the first record, something else under its key is refused, and
    chains go on, whether or not their last events were archived."""
    # shows: N3 N13
    with home.open() as ledger:
        size = ledger.head().size
        (again,) = ledger.append([Draft("control:9", step(5, LARGE), idem="large")])
        assert again.index < ARCHIVED
        assert LARGE.encode() in again.payload
        assert home.rows("SELECT length(header) FROM event WHERE leaf = ?", again.index) == [(0,)]
        (again,) = ledger.append([Draft("run:r1", step(5, {"n": 5}), epoch=1, idem="own/5")])
        assert (again.index, again.seq) == (7, 6)
        with pytest.raises(IdemConflict):
            ledger.append([Draft("control:9", step(6, "other"), idem="large")])
        assert ledger.head().size == size
        ledger.append([Draft("run:r1", step(1000, "more"), epoch=1), Draft("control:0", step(1001, "more"))])
        assert [one.seq for one in ledger.read("run:r1")] == list(range(22))
    assert home.verify().ok


def test_proofs_of_pruned_events_are_as_good_as_of_others(parts: Parts, home: Home) -> None:
    """Inclusion, whole bundles with payload and chain, and finding an event by its id."""
    # shows: N3 N7
    key = keyfile.load_verifier(home.keys)
    told = parts.before[100]
    with home.open() as ledger:
        head, path = ledger.inclusion_proof(100)
        assert verify_inclusion(100, head.size, leaf_hash(told.header), path, head.root)
        name = next(one.id for one in ledger.read_all(after=99))
        old, new = ledger.consistency_proof(300)
    made = prove(home.ledger, key, [100], chain="all", payloads=True)
    (event,) = check_proof(made, [key]).events
    assert (event.index, event.event.payload, event.complete) == (100, told.payload, True)
    assert prove(home.ledger, key, [name]).events == prove(home.ledger, key, [100]).events
    assert old.size
    assert new


def test_views_are_made_again_from_all_events(home: Home) -> None:
    """By a full reconciliation, by hand, for a view that is new, and when they are compared."""
    # shows: N4 N5
    home.sql("UPDATE view_steps SET nth = nth + 1 WHERE leaf = 77")
    with home.open() as ledger:
        assert ledger.reconcile(full=True).repaired == ["steps"]
        ledger.rebuild_views()
        assert ledger.compare_views() == []
        whole = ledger.query("SELECT count(*) FROM view_steps")
    newer = View("steps", 2, STEPS.schema, STEPS.apply)
    with home.open(views=[newer]) as ledger:
        assert ledger.query("SELECT count(*) FROM view_steps") == whole


def test_replicas_catch_up_and_are_restored(parts: Parts, home: Home, tmp_path: Path) -> None:
    """A new replica gets all events; what is made of it has them all in its database again."""
    # shows: N18
    name = str(tmp_path / "replica")
    with home.open() as ledger:
        ledger.replicate(Replication(targets=(name,), acknowledge=1))
        ledger.wait_replicated(timeout_s=60)
        key = ledger.verifier
        target = open_target(name, home.ledger)
        assert reading.check(target, key).ok
        recovery.restore(target, key, tmp_path / "again" / "ledger")
    for part in ("keys", "witness"):
        shutil.copytree(home.root / part, tmp_path / "again" / part)
    again = Home(tmp_path / "again", [STEPS])
    assert blanks(again) == 0
    assert again.verify().ok, again.verify().problems
    with again.open() as ledger:
        assert said(ledger)[: len(parts.before)] == parts.before
        assert list(archive(ledger, again.root / "archive", end=ARCHIVED)), "it has no archives, and can have its own"


def test_a_snapshot_is_made_verified_and_restored(parts: Parts, home: Home, tmp_path: Path) -> None:
    """With its archives where they are; the log that goes on from it has all events in its own database."""
    # shows: N16
    home.sql(f"UPDATE archive SET folder = '{home.root / 'archive'}'")
    places = Places.below(home.root, "a test")
    store = Store(tmp_path / "store")
    made = snapshot.take(store, places, clock=FakeClock(), views=[STEPS])
    restored = Restorer(store, places, FakeClock(), views=[STEPS]).to(made.name, tmp_path / "restored")
    assert restored.verification.ok
    again = Home(tmp_path / "restored", [STEPS])
    assert blanks(again) == 0
    with again.open() as ledger:
        assert [one.payload for one in ledger.read_all(after=0)][: len(parts.before)] == [
            one.payload for one in parts.before
        ]
    archived(again)
    assert again.verify().ok, again.verify().problems


def test_what_was_sealed_stays_sealed_and_can_be_forgotten(tmp_path: Path) -> None:
    """The archive holds what the database held: nobody reads it without the subject's key, and a subject is counted and
    forgotten wherever its events are."""
    # shows: N7
    home = Home(tmp_path / "home")
    with home.open() as ledger:
        secret = Answered(run="r", question="where?", answer="Marylebone")
        ledger.append([Draft("control:a", secret, subject="ada")] * 3)
        ledger.append([Draft("control:a", step(n)) for n in range(400)])
        list(archive(ledger, home.root / "archive", end=256))
        list(prune(ledger, witnessed=ledger.head().size))
        assert next(ledger.read("control:a")).event == secret
        assert redaction.survey(ledger, "ada").events == 3
        found, now = redaction.forget(ledger, "ada", FakeClock())
        assert (found.events, now) == (3, True)
        assert next(ledger.read("control:a")).redacted
        list(refill(ledger, 0, 256))
        assert next(ledger.read("control:a")).redacted
    assert home.verify().ok
    kept = files(home)
    assert kept
    assert all(b"Marylebone" not in path.read_bytes() for path in kept)


def test_what_a_run_has_used_is_counted_from_archives_too(tmp_path: Path) -> None:
    """A budget is not forgotten because its events are old: what was pruned is read, and never left out."""
    # shows: N9
    home = Home(tmp_path / "home")
    called = ModelCalled(run="r", attempt=1, provider="p", model="m", status=200, input_tokens=7, money_microusd=3)
    with home.open() as ledger:
        ledger.append([Draft("policy", called)] * 300)
        used = Reserving(ledger, "n").used_by("r", 1)
        assert (used.requests, used.input_tokens) == (300, 2100)
        list(archive(ledger, home.root / "archive", end=256))
        list(prune(ledger, witnessed=ledger.head().size))
        assert blanks(home) == 255
        assert Reserving(ledger, "n").used_by("r", 1) == used
    shutil.rmtree(home.root / "archive")
    with home.open() as ledger, pytest.raises(ArchiveMissing):
        Reserving(ledger, "n").used_by("r", 1)


# -- without the file


def _reads_all(ledger: Ledger) -> Any:
    return list(ledger.read_all())


def _reads_a_stream(ledger: Ledger) -> Any:
    return list(ledger.read("control:1"))


def _repeats(ledger: Ledger) -> Any:
    return ledger.append([Draft("control:9", step(5, LARGE), idem="large")])


def _remakes_views(ledger: Ledger) -> Any:
    return ledger.compare_views()


def _refills(ledger: Ledger) -> Any:
    return list(refill(ledger, 0, 10))


@pytest.mark.parametrize("do", [_reads_all, _reads_a_stream, _repeats, _remakes_views, _refills])
def test_without_its_file_what_needs_it_says_so(lost: Home, do: Callable[[Ledger], Any]) -> None:
    """Which events, which file, where it was looked for, and what to do; and never a part of the answer as if it were
    all."""
    # shows: N3
    with lost.open() as ledger:
        with pytest.raises(ArchiveMissing) as error:
            do(ledger)
        assert "events 0 to 511" in error.value.message
        assert files(lost) == []
        assert table(lost)[0].name in error.value.message
        assert str(lost.root / "archive") in error.value.message
        assert "--in DIR" in error.value.hint
        ledger.append([Draft("control:9", step(7, "goes on"))])


def test_without_its_file_everything_else_goes_on(lost: Home) -> None:
    """Opening, appending to any stream, what is newer, views, proofs, heads; verification names the range once, and
    checks the whole tree and all that is there."""
    # shows: N1 N3
    with lost.open() as ledger:
        size = ledger.head().size
        ledger.append([Draft("control:9", step(1, "a")), Draft("run:r1", step(2, "b"), epoch=1)])
        assert [one.index for one in ledger.read_all(after=ARCHIVED - 1)] == list(range(ARCHIVED, size + 2))
        assert ledger.query("SELECT count(*) FROM view_steps")[0][0] > ARCHIVED
        head, path = ledger.inclusion_proof(100)
        assert path
        assert ledger.proof_between(100, head.size)
        assert [standing.path for standing in standings(ledger)] == [None]
        assert list(ledger.read("keys"))
    found = lost.verify()
    assert [problem.place for problem in found.problems] == [f"archive {table(lost)[0].name}"]
    assert "events 0 to 511 were pruned" in found.problems[0].what
    assert found.events == size + 2 - blanks(lost)
    assert lost.verify(archives=[lost.root / "away"]).ok
    lost.sql("UPDATE event SET payload = CAST(replace(payload, 'goes', 'went') AS BLOB)")
    tampered = lost.copy("tampered")
    tampered.sql("UPDATE event SET payload = CAST('{}' AS BLOB) WHERE leaf = 600")
    assert any("event 600" in problem.place for problem in tampered.verify().problems), "live parts are checked"
    tree = lost.copy("tree")
    tree.sql("UPDATE tile SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE level = 0 AND n = 0")
    assert len(tree.verify().problems) > 1, "the tree is checked through the hashes of what is not there"


def test_the_file_is_found_where_somebody_put_it(parts: Parts, lost: Home) -> None:
    """Once that was said, everybody finds it; another file of that name is refused, and nothing is changed."""
    # shows: N3
    wrong = lost.root / "wrong"
    shutil.copytree(lost.root / "away", wrong)
    next(wrong.iterdir()).write_bytes(b"something else")
    with lost.open() as ledger:
        with pytest.raises(ArchiveDamaged):
            move(ledger, wrong)
        assert move(ledger, lost.root / "nowhere") == []
        (moved,) = move(ledger, lost.root / "away")
        assert moved.folder == str(lost.root / "away")
    with lost.open() as ledger:
        assert said(ledger)[: len(parts.before)] == parts.before
    (lost.root / "away").rename(default_folder(lost.ledger))
    with lost.open() as ledger:
        assert said(ledger)[: len(parts.before)] == parts.before, "beside the ledger it is found by itself"


def test_a_file_that_says_something_else_is_never_believed(parts: Parts, home: Home) -> None:
    """One byte of it changed: readers of that stretch are told, others are answered, verification names the file."""
    # shows: N3
    home.sql(f"UPDATE archive SET folder = '{home.root / 'archive'}'")
    (path,) = files(home)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with home.open() as ledger:
        with pytest.raises(ArchiveDamaged, match="events 0 to 255"):
            list(ledger.read_all())
        assert next(ledger.read_all(after=299)).payload == parts.before[300].payload
        (standing,) = standings(ledger, check=True)
        assert "SHA-256" in standing.problem
        with pytest.raises(ArchiveDamaged):
            list(refill(ledger, 0, 600))
    problems = home.verify().problems
    assert {problem.place for problem in problems} == {f"archive {path.name}"}
    assert any("SHA-256" in problem.what for problem in problems)


# -- what somebody with the file may do


BLANK = "UPDATE event SET header = x'', payload = NULL WHERE leaf"


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        (f"{BLANK} = 600", "event 600"),
        (f"{BLANK} IN (600, 601, 602)", "events 600 to 602"),
        ("UPDATE event SET payload = x'00' WHERE leaf = 100", "event 100"),
        ("UPDATE event SET seq = 9999 WHERE leaf = 100", "event 100"),
        ("UPDATE event SET idem = 'mine' WHERE leaf = 100", "event 100"),
        ("UPDATE event SET header = x'7b7d' WHERE leaf = 100", "event 100"),
        ("DELETE FROM archive", "events"),
        ("UPDATE archive SET sha256 = replace(sha256, 'a', 'b')", "archive"),
        ("UPDATE archive SET name = 'other'", "archive"),
        ("INSERT INTO archive VALUES (512, 768, hex(zeroblob(32)), 1, '/', 'x', 0)", "events 512 to 767"),
        ("DELETE FROM event WHERE leaf = 100", "event 100"),
    ],
)
def test_whoever_changes_rows_or_the_table_of_archives_is_noticed(home: Home, sql: str, named: str) -> None:
    """Rows that were blanked without an archive, changed although blank, or removed; archives that nobody wrote."""
    # shows: N3
    home.sql(f"UPDATE archive SET folder = '{home.root / 'archive'}'")
    assert home.verify().ok
    home.sql(sql)
    found = home.verify()
    assert not found.ok
    assert any(named in f"{problem.place} {problem.what}" for problem in found.problems), found.problems[:5]


def test_a_blank_row_that_no_archive_has_reads_as_damage(home: Home) -> None:
    """And not as an event, or as nothing."""
    # shows: N3
    home.sql(f"{BLANK} = 600")
    with pytest.raises(LedgerTampered, match="event 600 is blank, and no archive has it"):
        home.open()
    home.sql("DELETE FROM archive")
    connection = database.connect_reader(home.database)
    with pytest.raises(LedgerTampered, match="event 1 is blank, and no archive has it"):
        Rows(connection, BlobStore(home.ledger / "blobs")).page(0)
    connection.close()


def test_the_database_lets_nobody_change_more_than_that(home: Home) -> None:
    """By its own rules a row may be blanked where it is archived, and filled again; nothing else, and nowhere else."""
    # shows: N3
    import apsw

    connection = apsw.Connection(str(home.database))
    for sql in (
        f"{BLANK} = 600",
        f"{BLANK} = 0",
        f"{BLANK} IN (SELECT max(leaf) FROM event WHERE stream = 'run:r1')",
        "UPDATE event SET header = x'' WHERE leaf = 600",
        "UPDATE event SET header = x'7b7d' WHERE leaf = 600",
        "UPDATE event SET payload = NULL WHERE leaf = 0",
        "UPDATE event SET header = x'', payload = x'00' WHERE leaf = 0",
        "UPDATE event SET header = x'', payload = NULL, seq = 77 WHERE leaf = 0",
        "UPDATE event SET header = x'7b7d', stream = 'x' WHERE leaf = 5",
        "UPDATE event SET header = x'7b7d', idem = 'x' WHERE leaf = 5",
        "UPDATE event SET payload = x'00' WHERE leaf = 5",
        "UPDATE event SET leaf = 100000 WHERE leaf = 5",
        "DELETE FROM event WHERE leaf = 5",
        'UPDATE archive SET "end" = 768',
        "UPDATE archive SET start = 256",
        "DELETE FROM archive",
        "INSERT INTO archive VALUES (768, 1024, hex(zeroblob(32)), 1, '/', 'x', 0)",
        "INSERT INTO archive VALUES (512, 1024, hex(zeroblob(32)), 1, '/', 'x', 0)",
        "INSERT INTO archive VALUES (512, 600, hex(zeroblob(32)), 1, '/', 'x', 0)",
    ):
        with pytest.raises(apsw.ConstraintError):
            connection.execute(sql)
        if sql.startswith(BLANK):
            assert connection.changes() == 0
    connection.close()
    assert home.verify(archives=[home.root / "archive"]).ok


def test_the_log_tells_of_all_of_it(home: Home) -> None:
    """Archived, pruned, refilled: with the range, the file's checksum and how far it was witnessed."""
    # shows: N3 F16
    with home.open() as ledger:
        done = list(refill(ledger, 100, 101))
        assert [(one.entry.start, one.entry.end) for one in done] == [(0, ARCHIVED)]
        assert list(refill(ledger, 100, 101)) == []
        kinds = (LedgerArchived, LedgerPruned, LedgerRefilled)
        told = [one.event for one in ledger.read("keys") if isinstance(one.event, kinds)]
    assert [type(one) for one in told] == list(kinds)
    (entry,) = table(home)
    assert (told[0].sha256, told[0].bytes, told[0].name) == (entry.sha256, entry.bytes, entry.name)
    assert told[1].sha256 == entry.sha256
    assert told[1].witnessed >= ARCHIVED
    assert blanks(home) == 0
    assert home.verify().ok
