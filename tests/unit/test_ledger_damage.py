"""Damage that nobody meant: flipped bytes, torn and cut files. Verification always ends, and never lies."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from tests.unit import ledger_home as shelf

from daybreak.errors import DaybreakError
from daybreak.ledger import Draft, verification, verify
from daybreak.ledger.rowpages import RowPages
from daybreak.ledger.witness import Witness

Home, step = shelf.Home, shelf.step


def told(database: Path) -> Any:
    """Everything that the ledger says: events, tiles, head, views."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("event", "tile", "head", "view_steps")
        ]
    finally:
        connection.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """300 events in a file with some free pages."""
    home = Home(tmp_path_factory.mktemp("small") / "home", [shelf.STEPS])
    with home.open() as ledger:
        ledger.append([Draft(f"control:{n % 3}", step(n), idem=str(n)) for n in range(300)])
    home.sql("CREATE TABLE gone (a)", "INSERT INTO gone VALUES (zeroblob(20000))", "DROP TABLE gone")
    assert home.verify().ok
    return home


STRIPES = 8
"""Parts of the long form, so that it runs on several cores."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A ledger that crashed: 16 events in the file, 4 more in the write-ahead log, all of them known outside."""
    home = Home(tmp_path_factory.mktemp("tiny") / "home", [shelf.STEPS])
    home.fill(15)
    with home.open() as ledger:
        for number in range(4):
            ledger.append([Draft("queue", step(number), idem=str(number))])
        ledger.sync_witness()
        crashed = home.copy("crashed")
    assert crashed.verify().events == 20
    return crashed


def _mutated(home: Any, places: Iterable[tuple[Path, int]], random: Random) -> dict[str, int]:
    """Each of these bytes in turn is another one: how many were noticed, by the outside head and by SQLite alone, and
    how many said nothing. Fails where the ledger says something else than before and verifies against the outside head.
    """
    before, counts = told(home.database), {"noticed": 0, "by SQLite": 0, "harmless": 0}
    shm = home.database.with_name("ledger.db-shm")
    for path, at in places:
        good = path.read_bytes()
        bad = bytearray(good)
        bad[at] ^= random.choice([1, 2, 4, 8, 16, 32, 64, 128, 255])
        try:
            path.write_bytes(bad)
            shm.unlink(missing_ok=True)
            found = home.verify()
            if found.ok:
                assert told(home.database) == before, f"byte {at} of {path.name} changed what is told; nobody noticed"
                counts["harmless"] += 1
            else:
                assert all(problem.place and problem.what for problem in found.problems), at
                counts["noticed"] += 1
                counts["by SQLite"] += any(problem.place == "database" for problem in found.problems)
        finally:
            path.write_bytes(good)
            shm.unlink(missing_ok=True)
    return counts


def _bytes_of(home: Any) -> list[tuple[Path, int]]:
    """Every byte of the database and of its write-ahead log."""
    files = [home.database, home.database.with_name("ledger.db-wal")]
    return [(path, at) for path in files for at in range(path.stat().st_size)]


def test_a_mutated_byte_never_gives_a_wrong_answer_that_verifies(small: Any, tiny: Any) -> None:
    """Header, pages, write-ahead log: it is named, or everything reads as before. SQLite alone finds few."""
    # shows: N3, N14
    random = Random(20260301)
    every = _bytes_of(tiny)
    size = tiny.database.stat().st_size
    heads = [*range(0, 100, 5), *range(size, size + 56, 4)]
    places = [every[at] for at in (*heads, *random.sample(range(100, len(every)), 260))]
    found = _mutated(tiny, places, random)
    assert found["noticed"] > found["by SQLite"] * 2
    full = [(small.database, at) for at in random.sample(range(100, small.database.stat().st_size), 80)]
    assert _mutated(small, full, random)["harmless"] < 40, "most bytes of a full file matter"


def test_a_first_event_of_another_type_is_named(tiny: Any) -> None:
    """One bit of a record's own header makes SQLite read NULL where the event's header was. Found by the long form."""
    # shows: N14
    good = tiny.database.read_bytes()
    (page,) = tiny.rows("SELECT rootpage FROM sqlite_schema WHERE name = 'event'")[0]
    page_bytes = good[(page - 1) * 4096 : page * 4096]
    cell = int.from_bytes(page_bytes[8:10], "big")  # of event 0: length (2), rowid (1), then the record's header
    begin = (page - 1) * 4096 + cell
    try:
        for at in range(begin, begin + 16):
            for bit in range(8):
                bad = bytearray(good)
                bad[at] ^= 1 << bit
                tiny.database.write_bytes(bad)
                found = tiny.verify(witness=None)
                assert found.ok or all(problem.what for problem in found.problems)
    finally:
        tiny.database.write_bytes(good)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("stripe", range(STRIPES))
def test_no_mutated_byte_gives_a_wrong_answer_that_verifies(tiny: Any, stripe: int) -> None:
    """Every single byte of a small database and of its write-ahead log."""
    # shows: N3, N14
    found = _mutated(tiny, _bytes_of(tiny)[stripe::STRIPES], Random(stripe))
    assert found["noticed"]


def test_opening_a_damaged_ledger_never_ends_in_a_traceback_of_the_database(small: Any, tmp_path: Path) -> None:
    """It opens, or says in one of our errors why not."""
    # shows: N14
    good = small.database.read_bytes()
    random = Random(7)
    try:
        for _ in range(60):
            bad = bytearray(good)
            at = random.randrange(len(bad))
            for near in range(at, min(at + 200, len(bad))):
                bad[near] = random.randrange(256)
            small.database.write_bytes(bad)
            for extra in ("-wal", "-shm"):
                small.database.with_name("ledger.db" + extra).unlink(missing_ok=True)
            with suppress(DaybreakError), small.open() as ledger:
                list(ledger.read_all())
    finally:
        small.database.write_bytes(good)


@pytest.mark.parametrize("size", [0, 1, 50, 99, 100, 4095, 4096, 5000, 8192, 40_000])
def test_a_cut_file_is_named(small: Any, size: int) -> None:
    """However much of it is left."""
    # shows: N14
    good = small.database.read_bytes()
    try:
        small.database.write_bytes(good[:size])
        found = small.verify()
        assert not found.ok
    finally:
        small.database.write_bytes(good)


def test_zeroed_and_exchanged_pages_are_named(small: Any) -> None:
    """Every page of the file in turn: zeros, or the page after it."""
    # shows: N14
    good = small.database.read_bytes()
    before = told(small.database)
    pages = len(good) // 4096
    try:
        for page in range(0, pages - 1, 3):
            for other in (bytes(4096), good[(page + 1) * 4096 : (page + 2) * 4096]):
                small.database.write_bytes(good[: page * 4096] + other + good[(page + 1) * 4096 :])
                found = small.verify()
                if found.ok:
                    assert told(small.database) == before
    finally:
        small.database.write_bytes(good)


def test_what_can_be_read_beside_the_damage_is_checked(small: Any) -> None:
    """Unreadable events are named as a range; the others are counted."""
    # shows: N14
    good = small.database.read_bytes()
    root = small.rows("SELECT rootpage FROM sqlite_schema WHERE name = 'event'")[0][0]
    middle = _leaf_pages(good, root)[3]
    try:
        small.database.write_bytes(good[: (middle - 1) * 4096] + b"\xff" * 4096 + good[middle * 4096 :])
        found = small.verify()
        assert any("cannot be read" in problem.what for problem in found.problems)
        assert 200 < found.events < 301
    finally:
        small.database.write_bytes(good)


def _leaf_pages(data: bytes, root: int) -> list[int]:
    """Leaf pages below an interior table page, in order."""
    at = (root - 1) * 4096
    assert data[at] == 5
    cells = int.from_bytes(data[at + 3 : at + 5], "big")
    offsets = [int.from_bytes(data[at + 12 + 2 * n : at + 14 + 2 * n], "big") for n in range(cells)]
    return [int.from_bytes(data[at + offset : at + offset + 4], "big") for offset in offsets]


def test_verification_writes_nothing(small: Any) -> None:
    """It may be run on evidence: the file, and a write-ahead log beside it, stay as they are."""
    # shows: N3
    with small.open() as ledger:
        ledger.append([Draft("queue", step(1))])
        crashed = small.copy(f"evidence-{ledger.head().size}")
    files = [crashed.database, crashed.database.with_name("ledger.db-wal")]
    before = [path.read_bytes() for path in files]
    assert len(before[1]) > 0
    assert crashed.verify().ok
    assert [path.read_bytes() for path in files] == before


def test_a_ledger_on_a_read_only_medium_can_be_verified(small: Any, tmp_path: Path) -> None:
    """Without SQLite's shared memory and without the right to make it, a closed ledger is read as it lies."""
    # shows: N3
    home = small.copy(f"medium-{tmp_path.name}")
    for extra in ("-wal", "-shm"):
        home.database.with_name("ledger.db" + extra).unlink(missing_ok=True)
    home.ledger.chmod(0o500)
    try:
        assert home.verify().problems == []
    finally:
        home.ledger.chmod(0o700)


def test_a_ledger_is_verified_while_it_is_written(tmp_path: Path) -> None:
    """Verification sees one moment of it, whole."""
    # shows: N3
    home = Home(tmp_path, [shelf.STEPS])
    with home.open() as ledger:
        futures = [ledger.submit([Draft(f"control:{n % 7}", step(n))]) for n in range(3000)]
        sizes = []
        while not futures[-1].done():
            found = home.verify()
            assert found.problems == []
            sizes.append(found.size)
        assert sizes == sorted(sizes)
    assert home.verify().events == 3001


def test_an_append_at_any_moment_of_a_verification_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head outside is read before the moment that is verified, so it never knows more than that moment has; one
    that does know more is still told."""
    # shows: N3
    home = Home(tmp_path / "home")
    home.fill(5)

    appending_now: list[int] = []

    def appending(real: Any) -> Any:
        left = [3, 2, 1]

        def busy(*given: Any) -> Any:
            done = real(*given)
            if left and not appending_now:
                appending_now.append(left.pop())  # it reads the head outside, too
                home.fill(1)
                appending_now.clear()
            return done

        return busy

    for owner, name in (
        (Witness, "text"),
        (verification, "_connect"),
        (RowPages, "__init__"),
        (verification._Check, "_ask"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, appending(getattr(owner, name)))
            assert home.verify().problems == [], name
    old = home.copy("old")
    home.fill(1)
    (problem,) = verify(old.ledger, keys=home.keys, witness=home.witness).problems
    assert "were known outside" in problem.what


def test_progress_is_told(small: Any) -> None:
    """How many of how many, ending with all."""
    steps: list[tuple[int, int]] = []
    small.verify(progress=lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1] > 300


def test_damaged_keys_and_missing_files_are_problems_not_exceptions(tmp_path: Path) -> None:
    """Whatever is missing or broken around the database is in the list."""
    # shows: N3
    home = Home(tmp_path / "home")
    assert not home.verify().ok
    home.fill(3)
    (home.keys / "ledger.vkey").write_text("garbage")
    assert [problem.place for problem in home.verify().problems] == ["key"]
    (home.keys / "ledger.vkey").unlink()
    assert home.verify().ok, "the public half is in the signing key too"
    (home.keys / "ledger.key").unlink()
    assert [problem.place for problem in home.verify().problems] == ["key"]
    home2 = Home(tmp_path / "home2")
    home2.fill(3)
    (home2.witness / "head").write_text("garbage")
    assert [problem.place for problem in home2.verify().problems] == ["witness"]
    (home2.witness / "head").unlink()
    assert [problem.place for problem in home2.verify().problems] == ["witness"]
