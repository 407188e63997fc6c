"""Taking archived events out of the database, and putting them back: never without a witness and a whole archive, and
whatever is interrupted is a whole ledger and can be finished."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.unit.archive_shelf import ARCHIVED, archived, blanks, files, filled, pruned, said
from tests.unit.ledger_disk import Disk
from tests.unit.ledger_home import STEPS, Home, step

from daybreak.errors import DaybreakError, LedgerStopped
from daybreak.ledger import Draft, database
from daybreak.ledger.archive import layout, pruning
from daybreak.ledger.archive.archiving import archive
from daybreak.ledger.archive.problems import (
    ArchiveDamaged,
    ArchiveMissing,
    PruneRefused,
    RangeUnknown,
    ShrinkRefused,
)
from daybreak.ledger.archive.pruning import prune, refill, shrink, standings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Archived in two files, and not pruned."""
    home = filled(tmp_path / "home", [STEPS])
    archived(home, most=256)
    return home


@pytest.mark.parametrize("witnessed", [None, 0, 255])
def test_nothing_is_pruned_that_is_not_witnessed(home: Home, witnessed: int | None) -> None:
    """No rule, or a witness that is behind: refused, with what to do, and the database is as before."""
    # shows: N3
    with home.open() as ledger:
        size = ledger.head().size
        with pytest.raises(PruneRefused) as refused:
            list(prune(ledger, witnessed=witnessed))
        assert "witness" in refused.value.hint
        with pytest.raises(PruneRefused):
            list(prune(ledger, witnessed=witnessed, dry_run=True))
        assert ledger.head().size == size
    assert blanks(home) == 0


def test_what_is_witnessed_goes_and_what_is_not_stays(home: Home) -> None:
    """File by file; what was done before the refusal is kept, and the rest goes once it is witnessed."""
    # shows: N3
    with home.open() as ledger:
        with pytest.raises(PruneRefused, match="events 256 to 511"):
            list(prune(ledger, witnessed=256))
        assert 0 < blanks(home) <= 256
        (rest,) = prune(ledger, witnessed=512)
        assert rest.entry.start == 256
        assert list(prune(ledger, witnessed=512)) == []
        ledger.append([Draft("run:r1", step(99, "its last one is another now"), epoch=1)])
        files(home)[0].unlink()
        assert list(prune(ledger, witnessed=10**6)) == [], "no file is needed again for what was done"
    assert [problem.place for problem in home.verify().problems] == [f"archive {layout.name_of(0, 256)}"]


def test_only_what_was_archived_goes_and_what_every_opening_needs_stays(home: Home) -> None:
    """The stream about the ledger itself, the last event of each stream, and everything behind the archives."""
    # shows: N3
    with home.open() as ledger:
        (counted, *_), size = list(prune(ledger, witnessed=10**6, dry_run=True)), ledger.head().size
        assert blanks(home) == 0
        done = list(prune(ledger, witnessed=10**6))
        assert done[0].events == counted.events
        assert ledger.head().size == size + 2
    kept = home.rows("SELECT stream, seq FROM event WHERE leaf < ? AND length(header) > 0 ORDER BY leaf", ARCHIVED)
    last = dict(home.rows("SELECT stream, max(seq) FROM event GROUP BY stream"))
    assert kept == [("keys", 0), ("run:r1", last["run:r1"])]
    assert home.rows("SELECT count(*) FROM event WHERE leaf >= ? AND length(header) = 0", ARCHIVED) == [(0,)]


def _change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("what", ["changed", "missing", "swapped", "cut"])
def test_a_file_that_is_not_whole_now_keeps_its_events_in_the_database(home: Home, what: str) -> None:
    """It was whole when it was written, and is read again before anything goes."""
    # shows: N3
    first, second = files(home)
    match what:
        case "changed":
            _change(first)
        case "missing":
            first.unlink()
        case "swapped":
            shutil.copy(second, first)
        case _:
            os.truncate(first, first.stat().st_size - 100)
    with home.open() as ledger:
        size = ledger.head().size
        with pytest.raises((ArchiveDamaged, ArchiveMissing), match=first.name):
            list(prune(ledger, witnessed=10**6))
        assert ledger.head().size == size, "nothing is said of what was not done"
    assert blanks(home) == 0


def test_events_come_back_as_they_were(tmp_path: Path) -> None:
    """A range or all of them, with large payloads whose file was lost, too; pruning them again works as before."""
    # shows: N3
    home, before = pruned(tmp_path / "home", [STEPS], most=256)
    (large,) = [path for path in (home.ledger / "blobs").rglob("*") if path.is_file()]
    large.unlink()
    with home.open() as ledger:
        assert said(ledger)[: len(before)] == before, "the archive has the large one, too"
        (one,) = refill(ledger, 255, 256)
        assert (one.entry.start, one.entry.end) == (0, 256)
        assert large.is_file()
        assert [standing.blank == 0 for standing in standings(ledger)] == [True, False]
        assert len(list(refill(ledger, 0, 10**9))) == 1
        with pytest.raises(RangeUnknown):
            list(refill(ledger, 600, 700))
    assert blanks(home) == 0
    assert home.verify().ok
    with home.open() as ledger:
        assert said(ledger)[: len(before)] == before
        assert len(list(prune(ledger, witnessed=10**6))) == 2
        assert said(ledger)[: len(before)] == before
    assert home.verify().ok


def test_others_append_while_rows_go_and_come(home: Home) -> None:
    """Another process' ledger, open all the while, appends between two transactions and reads on."""
    # shows: N3 N14
    with home.open() as ledger, home.open() as other:
        reader = iter(other.read_all())
        first = [next(reader) for _ in range(10)]
        for _ in prune(ledger, witnessed=10**6):
            other.append([Draft("control:0", step(1, "between"))])
            ledger.append([Draft("control:1", step(1, "between"))])
        assert len(first + list(reader)) >= 700
        for _ in refill(ledger, 0, 10**9):
            other.append([Draft("control:0", step(2, "between"))])
        assert len(list(other.read_all())) == ledger.newest().size
    assert home.verify().ok


# -- disks and deaths


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.unregister()


@pytest.mark.on_disk
@pytest.mark.parametrize("fault", [apsw.FullError("full"), apsw.IOError("input/output error")])
@pytest.mark.parametrize("command", ["archive", "prune", "refill"])
def test_a_disk_that_refuses_the_database_loses_nothing(
    tmp_path: Path, disk: Disk, command: str, fault: Exception
) -> None:
    """ENOSPC and EIO below SQLite: the error says so, the ledger is whole, and the command can be repeated."""
    # shows: N3
    if command == "archive":
        home = filled(tmp_path / "home")
        with home.open() as ledger:
            before = said(ledger)
    else:
        home, before = pruned(tmp_path / "home") if command == "refill" else (filled(tmp_path / "home"), [])
    if command == "prune":
        archived(home)
        with home.open() as ledger:
            before = said(ledger)

    def run(ledger: Any) -> None:
        if command == "archive":
            list(archive(ledger, home.root / "archive", end=512))
        elif command == "prune":
            list(prune(ledger, witnessed=10**6))
        else:
            list(refill(ledger, 0, 10**9))

    with home.open() as ledger:
        ledger.append([Draft("control:0", step(1, "before"))])
        disk.fault["write"] = fault
        with pytest.raises((DaybreakError, apsw.Error)):
            run(ledger)
        with pytest.raises(LedgerStopped):
            ledger.append([Draft("control:0", step(1, "after"))])
        disk.fault.clear()
    assert home.verify().ok
    with home.open() as ledger:
        assert said(ledger)[: len(before)] == before
        run(ledger)
    assert home.verify().ok


def _kills(root: Path, stride: int) -> list[dict[str, Any]]:
    words = [sys.executable, "-m", "tests.unit.archive_kills", str(root), "kill", str(stride)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    bad = [one for one in told if not (one["killed"] and one["verified"] and one["repeated"])]
    assert bad == [], done.stderr[-3000:]
    return told


def test_killed_at_any_step_the_ledger_is_whole_and_the_command_can_be_repeated(tmp_path: Path) -> None:
    """Signal 9 before or after a sync, a name, an append or a transaction of archiving, pruning and refilling."""
    # shows: N1 N3
    assert len(_kills(tmp_path, 7)) >= 5


@pytest.mark.chaos
def test_killed_at_every_step_the_ledger_is_whole_and_the_command_can_be_repeated(tmp_path: Path) -> None:
    """The same at all of them."""
    # shows: N1 N3
    assert len(_kills(tmp_path, 1)) >= 30


# -- space


def test_the_space_is_given_back_on_request(tmp_path: Path) -> None:
    """The file is written anew without what is free in it; nothing else about it changes."""
    # shows: N3
    home, before = pruned(tmp_path / "home", [STEPS])
    was, now = shrink(home.ledger)
    assert now == home.database.stat().st_size
    assert now < 0.75 * was
    assert home.verify().ok
    with home.open() as ledger:
        assert said(ledger)[: len(before)] == before
        with pytest.raises(ShrinkRefused, match="another process"):
            shrink(home.ledger)
        ledger.append([Draft("control:0", step(1, "goes on"))])
    assert home.verify().ok


def test_without_room_nothing_is_written_anew(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes twice the file for a while."""
    # shows: N3
    data = home.database.read_bytes()
    monkeypatch.setattr(pruning.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(ShrinkRefused, match="twice that"):
        shrink(home.ledger)
    assert home.database.read_bytes() == data


def test_a_mirror_of_a_ledger_on_postgres_is_not_pruned(home: Home) -> None:
    """Its events stand elsewhere, where nothing would be gained."""
    # shows: N3
    connection = apsw.Connection(str(home.database))
    connection.execute(f"PRAGMA application_id = {database.MIRROR_ID}")
    with pytest.raises(PruneRefused, match="Postgres"):
        pruning._refuse_mirror(connection)
    connection.close()
