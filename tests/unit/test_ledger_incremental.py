"""Checks that begin behind the verified head: what they notice, what they leave to a whole check, what they read.

`young` is a ledger of 600 events of which 200 were verified, `old` one of 600 of which 500 were.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from tests.unit import archive_shelf
from tests.unit import ledger_home as shelf
from tests.unit import test_ledger_attacks as attacks
from typer.testing import CliRunner

from daybreak import home as places
from daybreak.cli import main
from daybreak.ledger import Draft, Verification, database, keyfile, verified
from daybreak.ledger.archive.pruning import prune
from daybreak.ledger.homecheck import verify_home
from daybreak.ledger.record import decode_header, encode_header
from daybreak.testing.clock import FakeClock

Home, step, grant = shelf.Home, shelf.step, shelf.grant
EVENTS = attacks.EVENTS


def check(home: Any, *, incremental: bool = True, clock: Any = None, **given: Any) -> Verification:
    given = {"keys": home.keys, "witness": home.witness, "views": home.views} | given
    return verify_home(home.ledger, clock=clock or FakeClock(), incremental=incremental, **given)


def kept(home: Any) -> Any:
    return verified.read(home.witness)


def made(root: Path, known: int) -> Any:
    """A ledger as in `test_ledger_attacks`, verified when it had `known` events; one with an owner on both sides."""
    home = Home(root, [shelf.STEPS])
    home.fill(known - 3)
    with home.open() as ledger:
        ledger.append([Draft("run:r1", grant(), epoch=1), Draft("run:r1", step(1, "kept"), epoch=1)])
    assert check(home, incremental=False).ok
    assert kept(home).size == known
    home.fill(EVENTS - known - 2, start=known - 3)
    with home.open() as ledger:
        ledger.append([Draft("run:r1", step(2, "kept"), epoch=1)])
        ledger.append([Draft("queue", step(2, "x" * 70_000))])
    return home


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("shelves")
    return {"young": made(root / "young", 200), "old": made(root / "old", 500)}


def _copied(home: Any, to: Path) -> Any:
    shutil.copytree(home.root, to)
    return Home(to, home.views)


@pytest.fixture
def young(shelves: dict[str, Any], tmp_path: Path) -> Any:
    return _copied(shelves["young"], tmp_path / "home")


@pytest.fixture
def old(shelves: dict[str, Any], tmp_path: Path) -> Any:
    return _copied(shelves["old"], tmp_path / "home")


def problems(found: Verification) -> list[str]:
    return [f"{problem.place}: {problem.what}" for problem in found.problems]


def test_only_what_is_new_is_checked_and_the_verified_head_moves_on(young: Any) -> None:
    """Events, streams and root are told; then there is nothing new, and then one event."""
    # shows: N3
    whole = young.verify()
    before = kept(young)
    found = check(young, clock=FakeClock(datetime(2026, 3, 3, tzinfo=UTC)))
    assert problems(found) == []
    assert (found.mode, found.taken, found.events, found.size, found.root) == (
        "incremental", 200, EVENTS - 200, EVENTS, whole.root,
    )  # fmt: skip
    assert (found.streams, found.witnessed, found.notes) == (5, EVENTS, [])
    assert (found.since, found.kept) == (before, kept(young))
    after = kept(young)
    assert (after.size, after.root, after.whole_size) == (EVENTS, whole.root, 200)
    assert after.whole_at == before.whole_at < after.at
    assert ((young.witness / verified.FILE).stat().st_mode & 0o777) == 0o600
    assert check(young).events == 0
    with young.open() as ledger:
        ledger.append([Draft("run:r1", step(3), epoch=1)])
    found = check(young)
    assert (found.ok, found.events, found.streams, found.taken) == (True, 1, 1, EVENTS)
    assert check(young, incremental=False).kept.whole_size == EVENTS + 1


def test_every_size_can_be_gone_on_from(tmp_path: Path) -> None:
    """At, before and behind the borders of tiles, the outside head at the verified one or behind it."""
    # shows: N3
    home = Home(tmp_path / "home")
    home.fill(1)
    assert check(home, incremental=False).ok
    size = 2
    for more in (1, 252, 1, 1, 1, 254, 257, 3):
        home.fill(more, start=size)
        size += more
        found = check(home)
        assert problems(found) == [], size
        assert (found.events, found.size, found.root) == (more, size, home.verify().root)


NEW = {
    **{f"edit {name}": [sql.replace("'299'", "'297'")] for name, (sql, _) in attacks.EDITS.items()},
    **{name: [sql] for name, sql in attacks.TILES.items()},
    **{f"head: {name}": [sql] for name, sql in attacks.HEADS.items()},
    "delete": ["DELETE FROM event WHERE leaf = 300"],
    "delete the first new one": ["DELETE FROM event WHERE leaf = 200"],
    "delete and close the gap": [
        "DELETE FROM event WHERE leaf = 300",
        "UPDATE event SET leaf = -leaf WHERE leaf > 300",
        "UPDATE event SET leaf = -leaf - 1 WHERE leaf < 0",
    ],
    "reorder": [
        "UPDATE event SET leaf = -1 WHERE leaf = 300",
        "UPDATE event SET leaf = 300 WHERE leaf = 301",
        "UPDATE event SET leaf = 301 WHERE leaf = -1",
    ],
    "duplicate": [
        f"INSERT INTO event SELECT {EVENTS}, 'copy', seq, gen, idem, header, payload FROM event WHERE leaf = 300"
    ],
    "truncate rows": ["DELETE FROM event WHERE leaf >= 500"],
    "truncate to the verified head": ["DELETE FROM event WHERE leaf >= 200"],
    "a table that belongs to no view": ["CREATE TABLE view_mine (a)"],
    "a table that is not the ledger's": ["CREATE TABLE t (a)"],
    "another format": ["PRAGMA user_version = 99"],
}


def test_each_attack_on_what_is_new_is_noticed(young: Any) -> None:
    """As a whole check notices it, and what was verified stays what it was."""
    # shows: N3
    pristine = young.copy("pristine")
    before = (young.witness / verified.FILE).read_bytes()
    missed = []
    for name, statements in NEW.items():
        shutil.rmtree(young.ledger)
        shutil.copytree(pristine.ledger, young.ledger)
        young.sql(*statements)
        assert not young.verify().ok, name
        if check(young).ok:
            missed.append(name)
        assert (young.witness / verified.FILE).read_bytes() == before, name
    assert missed == []


def test_forgeries_behind_the_verified_head_are_noticed(old: Any) -> None:
    """A well-formed event that nobody signed; a lost blob; an event of a stale owner slipped in."""
    # shows: N3, N5
    pristine = old.copy("pristine")
    attacks.forge(old)
    assert any("table head" in line for line in problems(check(old)))
    (blob,) = [path for path in (pristine.ledger / "blobs").rglob("*") if path.is_file()]
    blob.rename(blob.with_suffix(".away"))
    assert any(f"event {EVENTS - 1} (queue" in line for line in problems(check(pristine)))
    blob.with_suffix(".away").rename(blob)
    (leaf, header) = pristine.rows("SELECT leaf, header FROM event WHERE stream = 'run:r1' AND seq = 2")[0]
    assert leaf >= 500
    told = decode_header(header)
    for changed, words in (
        (msgspec.structs.replace(told, epoch=4), "has epoch 4, but 1 was current"),
        (msgspec.structs.replace(told, epoch=None), "has no epoch"),
        (msgspec.structs.replace(told, prev="0" * 64), "does not follow the event before it in its stream (seq 1)"),
        (msgspec.structs.replace(told, key="00000000"), "names the signing key 00000000"),
    ):
        pristine.sql(("UPDATE event SET header = ? WHERE leaf = ?", (encode_header(changed), leaf)))
        assert any(words in line for line in problems(check(pristine))), words


OLD = {
    "the last event of a stream that goes on": (
        "UPDATE event SET header = CAST(header || ' ' AS BLOB) WHERE stream = 'run:r1' AND seq = 1",
        True,
    ),
    "its place in the stream": ("UPDATE event SET seq = 777 WHERE stream = 'run:r1' AND seq = 1", True),
    "the tile above": ("UPDATE tile SET hashes = zeroblob(64) WHERE level = 1", True),
    "a lost tile above": ("DELETE FROM tile WHERE level = 1", True),
    "a hash in the tile of the verified head": (
        "UPDATE tile SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE level = 0 AND n = 1",
        True,
    ),
    "the first event": ("UPDATE event SET payload = x'7b7d' WHERE leaf = 0", True),
    "a payload": ("UPDATE event SET payload = x'7b7d' WHERE leaf = 100", False),
    "a header in a full tile": ("UPDATE event SET header = x'7b7d' WHERE leaf = 100", False),
    "a lost row": ("DELETE FROM event WHERE leaf = 100", False),
    "a column": ("UPDATE event SET gen = 7 WHERE leaf = 100", False),
    "a hash in a full tile": (
        "UPDATE tile SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE level = 0 AND n = 0",
        False,
    ),
    "a table of a view": ("ALTER TABLE view_steps RENAME COLUMN nth TO more", False),
    "a row of a view": ("UPDATE view_steps SET nth = 12345 WHERE leaf = 300", False),
}


def test_what_is_noticed_of_old_events_and_what_is_left_to_a_whole_check(old: Any) -> None:
    """What the tree at the verified head and the streams hang on is noticed; the rest by a whole check alone."""
    # shows: N3
    pristine = old.copy("pristine")
    for name, (sql, noticed) in OLD.items():
        shutil.rmtree(old.ledger)
        shutil.copytree(pristine.ledger, old.ledger)
        shutil.copy(pristine.witness / verified.FILE, old.witness / verified.FILE)
        old.sql(sql)
        if name == "the first event":
            assert not check(old).ok
            continue
        assert check(old).ok is not noticed, name
        assert not check(old, incremental=False).ok, name


def test_a_ledger_that_was_cut_put_back_or_rewritten_is_noticed(young: Any, tmp_path: Path) -> None:
    """By the verified head alone when the head known outside was put back as well; by a whole check, too."""
    # shows: N3
    yesterday = young.copy("yesterday")
    young.fill(40, start=EVENTS)
    assert check(young).ok
    for folder in ("ledger", "witness/head"):
        target, source = young.root / folder, yesterday.root / folder
        if source.is_dir():
            shutil.rmtree(target)
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    assert young.verify().ok, "nothing else knows"
    before = kept(young)
    for incremental in (True, False):
        (line,) = problems(check(young, incremental=incremental))
        assert f"{EVENTS + 40} events were verified at" in line
        assert f"the ledger holds {EVENTS}" in line
        assert kept(young) == before
    thief = Home(tmp_path / "thief", young.views)
    shutil.copytree(young.keys, thief.keys)
    attacks._start_again_with(thief)
    thief.fill(EVENTS + 60)
    shutil.copy(young.witness / verified.FILE, thief.witness / verified.FILE)
    for incremental in (True, False):
        assert any(
            "are not those that were verified" in line for line in problems(check(thief, incremental=incremental))
        )


def test_a_head_that_does_not_fit_is_a_problem_and_never_a_whole_check(old: Any, tmp_path: Path) -> None:
    """Damaged, of another ledger, or one that says something else than was signed; what is kept stays."""
    # shows: N3
    other = Home(tmp_path / "other", old.views)
    other.fill(20)
    assert check(other, incremental=False).ok
    file = old.witness / verified.FILE
    good = json.loads(file.read_bytes())
    signed = keyfile.load(old.keys).sign(450, b"\1" * 32)
    for text, words in (
        ((other.witness / verified.FILE).read_text(), "is not of this ledger"),
        (json.dumps(good | {"size": 501}), "something else was signed"),
        (json.dumps(good | {"root": "00" * 32}), "something else was signed"),
        (json.dumps(good | {"size": 450, "root": "01" * 32, "note": signed.text}), "are not those that were verified"),
        (json.dumps(good | {"v": 2}), "cannot be used"),
        (json.dumps(good | {"at": "yesterday"}), "cannot be used"),
        (json.dumps(good | {"more": 1}), "cannot be used"),
        (json.dumps(good)[:-9], "cannot be used"),
        ("", "cannot be used"),
        ("[" * 60_000, "cannot be used"),
        (" " * 70_000, "cannot be used"),
    ):
        file.write_text(text)
        found = check(old)
        assert [words in line for line in problems(found)] == [True], (words, problems(found))
        assert (found.events, found.kept) == (0, None)
        assert file.read_text() == text
    found = check(old, incremental=False)
    assert (found.ok, found.events, len(found.notes)) == (True, EVENTS, 1)
    assert kept(old).size == EVENTS


def test_without_a_verified_head_everything_is_checked_and_that_is_said(old: Any) -> None:
    """The first time; and a whole check that is long ago is told."""
    # shows: N3
    (old.witness / verified.FILE).unlink()
    found = check(old)
    assert (found.ok, found.mode, found.events, found.taken) == (True, "full", EVENTS, 0)
    assert found.notes == ["no check has come to its end here yet, so everything was checked"]
    assert kept(old).whole_size == EVENTS
    later = FakeClock(datetime.fromisoformat(kept(old).whole_at) + timedelta(days=8))
    (note,) = check(old, clock=later).notes
    assert "8 days ago" in note
    assert check(old, clock=later, incremental=False).notes == []
    assert check(old, clock=later).notes == []
    old.root.joinpath("ledger", "ledger.db").unlink()
    found = check(old)
    assert (found.ok, found.mode) == (False, "incremental")


def test_keys_are_followed_across_the_verified_head(young: Any) -> None:
    """The key hands over behind it, twice; the head before that, signed by the first key, still counts."""
    # shows: N3
    with young.open() as ledger:
        ledger.rotate_key(why="yearly")
    found = check(young)
    assert (problems(found), found.events) == ([], EVENTS - 200 + 1)
    with young.open() as ledger:
        ledger.append([Draft("queue", step(9))])
        ledger.rotate_key(why="again")
        ledger.append([Draft("queue", step(10))])
    found = check(young)
    assert (problems(found), found.events) == ([], 3)
    young.sql(f"UPDATE event SET payload = x'7b7d' WHERE leaf = {EVENTS}")
    assert not check(young).ok, "an old rotation is read, because keys hang on it"


def test_archives_of_what_is_new_are_read_and_older_ones_are_not(tmp_path: Path) -> None:
    """Pruned rows behind the verified head come from their archive; a lost one is noticed there, and only there."""
    # shows: N3
    home = archive_shelf.filled(tmp_path / "home", count=250)
    assert check(home, incremental=False).ok
    with home.open() as ledger:
        ledger.append([Draft(f"control:{n % 3}", step(n, {"n": n})) for n in range(600)])
    archive_shelf.archived(home, most=256)
    with home.open() as ledger:
        assert list(prune(ledger, witnessed=ledger.head().size))
    assert archive_shelf.blanks(home) > 500
    first = home.copy("first")
    found = check(home)
    assert problems(found) == []
    assert check(home, incremental=False).ok
    with home.open() as ledger:
        ledger.append([Draft("control:1", step(7)), Draft("run:r1", step(8), epoch=1)])
    found = check(home)
    assert (problems(found), found.events) == ([], 2), "a stream goes on behind events that are archived"
    for path in archive_shelf.files(home)[1:]:
        path.rename(path.with_suffix(".away"))
    for path in archive_shelf.files(first):
        path.unlink()
    assert any(line.startswith("archive ") for line in problems(check(first)))
    assert check(home).ok
    assert not check(home, incremental=False).ok


@contextmanager
def counted(patch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """What SQLite does for verification meanwhile: steps of its machine, which no scan escapes, and rows it gives."""
    count = {"steps": 0, "rows": 0}
    connect = database.connect_reader

    def watched(path: Path) -> apsw.Connection:
        connection = connect(path)

        def seen(event: dict[str, Any]) -> None:
            if event["code"] == apsw.SQLITE_TRACE_ROW:
                count["rows"] += 1
            else:
                count["steps"] += event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]

        connection.trace_v2(apsw.SQLITE_TRACE_ROW | apsw.SQLITE_TRACE_PROFILE, seen)
        return connection

    with patch.context() as patched:
        patched.setattr(database, "connect_reader", watched)
        yield count


def test_what_is_read_grows_with_what_is_new_and_not_with_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 new events behind 600 and behind ten times as many: as many rows and steps, unlike those of a whole check."""
    # shows: N3
    cost: dict[tuple[int, bool], dict[str, int]] = {}
    sizes = (600, 600 + 21 * 256)
    for size in sizes:
        home = Home(tmp_path / str(size))
        home.fill(size)
        assert check(home, incremental=False).ok
        home.fill(100, start=size)
        for incremental in (True, False):
            with counted(monkeypatch) as count:
                assert check(home, incremental=incremental).ok
            cost[size, incremental] = count
    for what in ("rows", "steps"):
        small, large = (cost[size, True][what] for size in sizes)
        assert large <= small * 1.05, cost
        small, large = (cost[size, False][what] for size in sizes)
        assert large > 5 * small, cost


def test_the_command_says_what_it_has_not_looked_at(young: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words and in JSON; on Postgres it is refused."""
    # shows: N3
    where = Where(young)
    monkeypatch.setattr(places, "places", lambda: where)
    monkeypatch.setattr(places, "postgres", lambda where: None)
    monkeypatch.setattr(places, "views", lambda: young.views)
    told = CliRunner().invoke(main.app, ["ledger", "verify", "--incremental", "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert (found["mode"], found["events"], found["taken"]) == ("incremental", EVENTS - 200, 200)
    assert found["verified_at"] == found["whole_at"]
    told = CliRunner().invoke(main.app, ["ledger", "verify", "--incremental"])
    assert f"{EVENTS} older events are taken from the check of" in told.stdout
    assert "Not looked at: their rows" in told.stdout
    monkeypatch.setattr(places, "postgres", lambda where: "postgresql://nowhere/x")
    told = CliRunner().invoke(main.app, ["ledger", "verify", "--incremental"])
    assert told.exit_code != 0
    assert "always verified whole" in str(told.exception)


class Where:
    """The folders of a home."""

    def __init__(self, home: Any) -> None:
        self.ledger, self.keys, self.witness = home.ledger, home.keys, home.witness


def test_a_place_that_cannot_be_written_costs_only_the_next_check(old: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result stands, and it is said that nothing was kept."""
    # shows: N3

    def refused(folder: Path, head: verified.VerifiedHead) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(verified, "keep", refused)
    found = check(old)
    assert (found.ok, found.kept) == (True, None)
    assert "could not be kept" in found.notes[0]
    assert kept(old).size == 500


def test_the_library_checks_behind_any_head_that_it_is_given(young: Any) -> None:
    """`verify` writes nothing, and needs no key of its own: the ledger's is in its first event."""
    # shows: N3
    before = (young.witness / verified.FILE).read_bytes()
    found = young.verify(keys=None, witness=None, verified=kept(young), incremental=True)
    assert (problems(found), found.events) == ([], EVENTS - 200)
    assert (young.witness / verified.FILE).read_bytes() == before
