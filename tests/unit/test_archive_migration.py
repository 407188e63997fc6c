"""Ledgers of the format before archives become ledgers of today's when they are opened, and not a byte of what was
signed changes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from tests.unit.archive_shelf import archived, said
from tests.unit.ledger_home import STEPS, Home, step

from daybreak.errors import LedgerForeign, LedgerTampered
from daybreak.ledger import Draft, database, follow, keyfile, migration, prove
from daybreak.ledger.archive.pruning import prune
from daybreak.ledger.views import stored_objects

ROOT = Path(__file__).parents[2]
HISTORY = ROOT / "tests" / "histories" / "0.1-every-event"


def old(home: Home) -> Home:
    """As the version before wrote it."""
    connection = apsw.Connection(str(home.database))
    now, before = database.expected_objects(), database.expected_objects(1)
    with connection:
        for name, sql in now.items():
            if before.get(name) != sql and sql.startswith("CREATE TRIGGER"):
                connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DROP TABLE archive")
        connection.execute(before["event_stays"])
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    return home


def objects(home: Home) -> dict[str, str]:
    connection = apsw.Connection(str(home.database))
    found = {name: sql for name, sql in stored_objects(connection).items() if not name.startswith("view_")}
    connection.close()
    return found


def version(home: Home) -> int:
    return int(home.rows("PRAGMA user_version")[0][0])


def history(to: Path) -> Home:
    shutil.copytree(HISTORY, to)
    for path in [to, *to.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return Home(to)


def test_the_first_release_wrote_what_is_taken_for_the_first_format(tmp_path: Path) -> None:
    """Its own file says so, and is whole for whoever only reads, without being changed."""
    # shows: N13
    home = history(tmp_path / "home")
    assert version(home) == 1
    assert objects(home) == database.expected_objects(1)
    data = home.database.read_bytes()
    assert home.verify().ok, home.verify().problems
    with follow(home.ledger, after=-1) as live:
        assert next(live).index == 0
    assert prove(home.ledger, keyfile.load_verifier(home.keys), [5]).events
    assert (home.database.read_bytes(), version(home)) == (data, 1)


def test_opening_it_makes_it_one_of_todays_with_the_same_events(tmp_path: Path) -> None:
    """The tables and rules are those of a new file; rows, tiles and head are byte for byte as they were."""
    # shows: N13
    home, fresh = history(tmp_path / "home"), Home(tmp_path / "fresh")
    fresh.open().close()
    tables = ("event", "tile", "head", "view")
    before = [home.rows(f"SELECT * FROM {table}") for table in tables]
    home.open().close()
    assert version(home) == database.FORMAT
    assert objects(home) == objects(fresh) == database.expected_objects()
    assert [home.rows(f"SELECT * FROM {table}") for table in tables] == before
    assert home.verify().ok, home.verify().problems


_STEPS = some.lists(some.tuples(some.integers(0, 3), some.text(max_size=20), some.booleans()), min_size=1, max_size=400)


@settings(max_examples=8, deadline=None)
@given(told=_STEPS)
def test_whatever_an_old_ledger_holds_goes_on_as_it_was(
    told: list[tuple[int, str, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any events on any streams: the same afterwards, appended to, archived and pruned."""
    # shows: N13
    root = tmp_path_factory.mktemp("old")
    home = Home(root / "home", [STEPS])
    with home.open() as ledger:
        ledger.append(
            [
                Draft(f"control:{stream}", step(n, words), idem=f"k/{n}" if keyed else None)
                for n, (stream, words, keyed) in enumerate(told)
            ]
        )
        before = said(ledger)
    old(home)
    assert home.verify().ok
    with home.open() as ledger:
        assert said(ledger) == before
        ledger.append([Draft("control:0", step(0, "goes on"))])
    archived(home, most=256)
    with home.open() as ledger:
        list(prune(ledger, witnessed=ledger.head().size))
        assert said(ledger)[: len(before)] == before
    assert home.verify().ok, home.verify().problems
    shutil.rmtree(root)


@pytest.mark.parametrize("statement", [1, 4, 7])
def test_killed_in_the_middle_it_is_of_the_old_format_or_of_the_new_one(tmp_path: Path, statement: int) -> None:
    """Nothing is half done: the next one who opens it does it, or finds it done."""
    # shows: N1 N13
    home = Home(tmp_path / "home")
    home.fill(20)
    old(home)
    program = (
        "import os, signal, sys, apsw\n"
        "from pathlib import Path\n"
        "from daybreak.ledger import database, migration\n"
        "connection, seen = database.connect_writer(Path(sys.argv[1])), [0]\n"
        "def trace(cursor, sql, bindings):\n"
        "    seen[0] += 1\n"
        "    if seen[0] == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return True\n"
        "connection.exec_trace = trace\n"
        "migration.migrate(connection, Path(sys.argv[1]))\n"
    )
    words = [sys.executable, "-c", program, str(home.database), str(statement + 2)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert version(home) == 1
    assert objects(home) == database.expected_objects(1)
    assert home.verify().ok
    home.open().close()
    assert version(home) == database.FORMAT
    assert home.verify().ok


def test_eight_processes_open_an_old_ledger_at_once(tmp_path: Path) -> None:
    """One of them changes it, the others find it changed; none fails."""
    # shows: N13 N14
    home = Home(tmp_path / "home")
    home.fill(300)
    old(home)
    words = [sys.executable, "-m", "tests.unit.archive_kills", str(home.root), "open", "8"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == [0] * 8, done.stderr[-3000:]
    assert version(home) == database.FORMAT
    assert home.verify().ok


def test_who_looks_while_another_changes_the_format_sees_one_or_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number and the tables that are compared are of one moment, so that nobody is taken for a forger."""
    # shows: N13 N14
    home = Home(tmp_path / "home")
    home.fill(20)
    old(home)
    done = []

    def between(connection: apsw.Connection) -> dict[str, str]:
        if not done:
            done.append(1)
            writer = database.connect_writer(home.database)
            assert migration.migrate(writer, home.database)
            writer.close()
        return stored_objects(connection)

    monkeypatch.setattr(database, "stored_objects", between)
    home.open().close()
    assert (done, version(home)) == ([1], database.FORMAT)
    assert home.verify().ok


@pytest.mark.parametrize("number", [0, 3, 1000])
def test_a_newer_format_is_refused(tmp_path: Path, number: int) -> None:
    """By whoever opens, reads or verifies; and nothing is changed."""
    # shows: N13
    home = Home(tmp_path / "home")
    home.fill(3)
    connection = apsw.Connection(str(home.database))
    connection.execute(f"PRAGMA user_version = {number}")
    connection.close()
    with pytest.raises(LedgerForeign, match=f"format {number}"):
        home.open()
    with pytest.raises(LedgerForeign):
        follow(home.ledger)
    assert any("user_version" in problem.what for problem in home.verify().problems)
    assert version(home) == number


def test_rules_that_were_changed_are_not_migrated_over(tmp_path: Path) -> None:
    """An old file whose triggers somebody removed is refused as a changed one."""
    # shows: N3 N13
    home = Home(tmp_path / "home")
    home.fill(3)
    old(home)
    connection = apsw.Connection(str(home.database))
    connection.execute("DROP TRIGGER event_stays")
    with pytest.raises(LedgerTampered):
        migration.migrate(connection, home.database)
    assert not connection.in_transaction
    connection.close()
    with pytest.raises(LedgerTampered):
        home.open()
    assert version(home) == 1
