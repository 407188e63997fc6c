"""A ledger on Postgres: several homes and processes write one log, each with a mirror of its own; what somebody changes
in the tables, or in a mirror, is noticed. (What every ledger promises is in `test_ledger_contract`, lost connections in
`test_postgres_lost`.)"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.unit import ledger_home as shelf
from typer.testing import CliRunner

from daybreak import home as opener
from daybreak import settings
from daybreak.cli.main import app
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.errors import (
    BlobDamaged,
    DraftRefused,
    IdemConflict,
    KeyMissing,
    LeaseLost,
    LedgerBehind,
    LedgerForeign,
    LedgerForked,
    LedgerMissing,
    LedgerStopped,
    LedgerTampered,
    WitnessMissing,
)
from daybreak.factory import trust
from daybreak.factory.health import postgres as health
from daybreak.factory.health import state
from daybreak.factory.health.state import Looking
from daybreak.ledger import Draft, Ledger, database
from daybreak.ledger.exchange import RestoreRefused
from daybreak.ledger.postgres import condition
from daybreak.ledger.postgres.address import HIDDEN, PostgresAddressWrong, parse
from daybreak.ledger.postgres.connection import connect
from daybreak.ledger.postgres.problems import ConnectionLost, PostgresUnusable
from daybreak.ledger.postgres.store import Store
from daybreak.ledger.replicas import Replication

Home, step, grant = shelf.Home, shelf.step, shelf.grant


@pytest.fixture
def home(tmp_path: Path, postgres_url: str) -> Any:
    return Home(tmp_path / "one", [shelf.STEPS], postgres_url)


def numbers(ledger: Ledger) -> list[int]:
    return [record.event.nth for record in ledger.read("queue")]  # type: ignore[attr-defined]


def forge(url: str, *statements: str) -> None:
    """As the owner of the tables, who can switch their triggers off."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("SET search_path = daybreak")
        for statement in statements:
            owner.execute(statement)


# -- several homes


def test_two_homes_write_one_log(home: Any) -> None:
    """Each sees what the other appended, in its views too, without an append of its own; positions have no gaps."""
    # shows: N16, F23
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        other = home.beside("other")
        with other.open() as second, second.follow() as news:
            assert numbers(second) == [0]
            ledger.append([Draft("queue", step(1))])
            assert next(news).event == step(1)
            assert second.query("SELECT nth FROM view_steps ORDER BY leaf") == [(0,), (1,)]
            assert second.head() == ledger.head()
            for number in range(2, 8):
                writer = (ledger, second)[number % 2]
                assert writer.append([Draft("queue", step(number))])[0].index == number + 1
        assert ledger.append([Draft("queue", step(8))])[0].index == 9
        assert numbers(ledger) == list(range(9))
        assert ledger.compare_views() == []
    with other.open() as second:
        assert numbers(second) == list(range(9))
        assert second.head().size == 10
    assert home.verify().ok
    assert other.verify().ok


def test_what_a_view_refuses_in_one_home_is_refused_to_both(tmp_path: Path, postgres_url: str) -> None:
    """Fences, keys and constraints of views hold over all homes; a view that only one home has catches up."""
    # shows: N5
    home = Home(tmp_path / "one", [shelf.ONCE], postgres_url)
    with home.open() as ledger:
        ledger.append([Draft("run:r1", grant(), epoch=1), Draft("queue", step(1), idem="k")])
        with home.beside("other").open() as second:
            with pytest.raises(DraftRefused, match="refused by a view"):
                second.append([Draft("queue", step(1))])
            with pytest.raises(IdemConflict):
                second.append([Draft("queue", step(2), idem="k")])
            assert second.append([Draft("queue", step(1), idem="k")])[0].index == 2
            with pytest.raises(LeaseLost, match="epoch 1"):
                second.append([Draft("run:r1", grant(owner="b"), epoch=1)])
            second.append([Draft("run:r1", grant(owner="b"), epoch=2)])
        with pytest.raises(LeaseLost, match="epoch 2 is current"):
            ledger.append([Draft("run:r1", step(3), epoch=1)])
        with home.beside("bare").open(views=[shelf.STEPS]) as bare:
            bare.append([Draft("queue", step(4))])
            bare.append([Draft("queue", step(4))])  # what ONCE would not take; nobody here has it
            assert bare.query("SELECT nth FROM view_steps") == [(1,), (4,), (4,)]
        with pytest.raises(LedgerStopped):
            ledger.append([Draft("queue", step(5))])


WRITER = """
import sys
from pathlib import Path
from tests.unit.ledger_home import STEPS, Home, step
from daybreak.clock import SystemClock
from daybreak.ledger import Draft
home = Home(Path(sys.argv[1]), [STEPS], sys.argv[2])
name, count = sys.argv[3], int(sys.argv[4])
with home.open(clock=SystemClock()) as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(count):
        twice = [Draft(f"control:{name}", step(number), idem=f"{number}"), Draft("queue", step(number), actor=name)]
        print(number, ledger.append(twice)[0].index, flush=True)
"""


@pytest.mark.parametrize("processes", [4, pytest.param(8, marks=pytest.mark.chaos)])
def test_processes_of_two_homes_write_together_and_some_are_killed(home: Any, processes: int) -> None:
    """Batches alternate and stay whole; chain, tree and head are right in both mirrors and in one made anew; what was
    acknowledged to anybody is there, at the position that was told."""
    # shows: N4, N16
    home.open().close()
    homes = [home, home.beside("other")]
    count, half, command = 40, processes // 2, [sys.executable, "-c", WRITER]
    started = [
        subprocess.Popen(
            [*command, str(homes[at % 2].root), home.postgres, f"p{at}", str(count if at >= half else 1_000_000)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for at in range(processes)
    ]
    told: list[dict[int, int]] = [{} for _ in started]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    killed = started[:half]
    for at, one in enumerate(started):
        assert one.stdout is not None
        for line in one.stdout:
            number, index = map(int, line.split())
            told[at][number] = index
            if one in killed and number == 3 + 2 * at:
                os.kill(one.pid, signal.SIGKILL)
        code = one.wait(60)
        assert code == (-signal.SIGKILL if one in killed else 0)
        one.stdin.close()  # type: ignore[union-attr]
        one.stdout.close()
    homes.append(home.beside("anew"))
    everywhere = set()
    for one_home in homes:
        with one_home.open() as ledger:
            records = list(ledger.read_all())
        assert one_home.verify().ok
        everywhere.add(tuple(record.hash for record in records))
    assert len(everywhere) == 1
    by_index = {record.index: record for record in records}
    for at, positions in enumerate(told):
        for number, index in positions.items():
            assert by_index[index].stream == f"control:p{at}"
            assert by_index[index].event.nth == number  # type: ignore[attr-defined]
            assert by_index[index + 1].actor == f"p{at}"
    assert [len(positions) for positions in told[half:]] == [count] * (processes - half)
    writers = [record.actor for record in records if record.stream == "queue"]
    assert all(Counter(writers)[f"p{at}"] == count for at in range(half, processes))
    assert sum(a != b for a, b in pairwise(writers)) >= processes


def test_blobs_and_large_payloads_reach_other_homes(home: Any) -> None:
    """Each is in Postgres before it is acknowledged, is checked on its way, and is kept where it was needed."""
    # shows: N16
    large = "x" * 200_000
    with home.open() as ledger:
        digest = ledger.put_blob(b"\0\xff" * 1000)
        ledger.append([Draft("queue", step(0, large))])
        other = home.beside("other")
        with other.open() as second:
            assert second.has_blob(digest)
            assert not second.has_blob("0" * 64)
            assert second.get_blob(digest) == b"\0\xff" * 1000
            (record,) = second.read("queue")
            assert record.event == step(0, large)
            forge(home.postgres, "UPDATE blob SET data = 'other'")
            assert second.get_blob(digest) == b"\0\xff" * 1000
        third = home.beside("third")
        with pytest.raises(BlobDamaged, match="other bytes"):
            third.open()
        assert ledger.put_blob(b"\0\xff" * 1000) == digest  # what is damaged there is put right
    assert home.verify().ok
    assert other.verify().ok


def test_what_is_special_in_a_name_changes_nothing(home: Any) -> None:
    """Keys longer than an index takes, of any script; payloads with every byte; two ledgers in one database."""
    # shows: N16
    key = "ключ-\U0001f511" * 680
    with home.open() as ledger:
        first = ledger.append([Draft("queue!~%s{}'\"", step(0, {"\0": "\0ä\u2028"}), idem=key)])
        assert ledger.append([Draft("queue!~%s{}'\"", step(0, {"\0": "\0ä\u2028"}), idem=key)]) == first
        ledger.append([Draft("Queue", step(1)), Draft("queue", step(1), gen=2**53 - 1)])
        with pytest.raises(DraftRefused, match="NUL"):
            ledger.append([Draft("queue", step(2), idem="a\0b")])
        with home.beside("other").open() as second:
            assert list(second.read_all()) == list(ledger.read_all())
    separate = Home(home.root.with_name("separate"), home.views, home.postgres + "&schema=second")
    with separate.open() as ledger:
        assert ledger.append([Draft("queue", step(7))])[0].index == 1
    assert separate.verify().ok


def test_another_home_rotates_the_key(home: Any) -> None:
    """Homes that share the folder of keys go on with the new one; a mirror that is behind is no old copy."""
    # shows: N3
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
    other = home.beside("other")
    other.open().close()
    with home.open() as ledger, home.open(witness=home.witness) as running:
        ledger.rotate_key(why="yearly")
        ledger.append([Draft("queue", step(1))])
        running.append([Draft("queue", step(2))])
    with other.open(keys=home.keys) as second:
        second.append([Draft("queue", step(3))])
        assert numbers(second) == [0, 1, 2, 3]
    with home.open() as ledger:
        ledger.append([Draft("queue", step(4))])
    assert home.verify().ok


# -- what somebody changed


PAST = {
    "a payload": "UPDATE event SET payload = '{}' WHERE leaf = 2",
    "a header": "UPDATE event SET header = (SELECT header FROM event WHERE leaf = 1) WHERE leaf = 2",
    "an event that is gone": "DELETE FROM event WHERE leaf = 2",
}
END = {
    "a cut end": "DELETE FROM event WHERE leaf >= 3",
    "an event too many": "INSERT INTO event SELECT 4, 'queue', 3, 0, null, header, payload FROM event WHERE leaf = 3",
    "a head that says more": "UPDATE head SET size = 5",
    "a head in other words": "UPDATE head SET note = replace(note, E'\\n4\\n', E'\\n5\\n')",
}


@pytest.mark.parametrize("what", [*PAST, *END])
def test_a_forged_row_is_noticed(home: Any, what: str) -> None:
    """Anywhere, by a home that has no mirror yet; at the end of the log by every home, before it appends. (What is
    changed in the past, behind the back of mirrors that hold the truth, `daybreak ledger verify` finds.)"""
    # shows: N3
    with home.open() as ledger:
        ledger.append([Draft("queue", step(number)) for number in range(3)])
        other = home.beside("other")
        forge(home.postgres, (PAST | END)[what])
        with pytest.raises((LedgerTampered, LedgerForked, LedgerBehind)):
            other.open()
        if what in END:
            with pytest.raises(LedgerStopped):
                ledger.append([Draft("queue", step(3))])
        assert numbers(ledger) == [0, 1, 2]
    if what in END:
        with pytest.raises((LedgerTampered, LedgerForked)):
            home.open()


def test_a_database_that_was_put_back_is_noticed(home: Any) -> None:
    """An old copy of Postgres, put back whole and in itself sound: the mirror and the witness both know of more. So it
    is while the ledger is open."""
    # shows: N3
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        with psycopg.connect(home.postgres) as link:
            old = link.execute("SELECT size, note FROM daybreak.head").fetchone()
        assert old is not None
        ledger.append([Draft("queue", step(1))])
        back = (
            f"DELETE FROM event WHERE leaf >= {old[0]}",
            f"UPDATE head SET size = {old[0]}, note = '{old[1]}'",
        )
        forge(home.postgres, *back)
        with pytest.raises(LedgerStopped, match="holds 2 events, but 3 were known to its mirror"):
            ledger.append([Draft("queue", step(2))])
    with pytest.raises(LedgerBehind, match="its mirror"):
        home.open()
    with pytest.raises(LedgerBehind, match="known outside"):
        home.beside("other").open()  # without a mirror, by the witness
    forge(home.postgres, "DELETE FROM event", "DELETE FROM head", "DELETE FROM tile")
    with pytest.raises(LedgerBehind):
        home.open()
    forge(home.postgres, "DROP SCHEMA daybreak CASCADE")
    with pytest.raises(LedgerMissing, match="holds no events"):
        home.open()


def test_rules_of_the_tables_that_were_changed_are_noticed(home: Any) -> None:
    """A trigger that is switched off, a table beside ours, a newer format, something that is no ledger."""
    # shows: N3
    home.open().close()
    changes = {
        "ALTER TABLE event DISABLE TRIGGER event_stays": "ALTER TABLE event ENABLE TRIGGER event_stays",
        "CREATE TABLE more () INHERITS (event)": "DROP TABLE more",
        "DROP INDEX event_idem": "",
    }
    for change, back in changes.items():
        forge(home.postgres, change)
        with pytest.raises(LedgerTampered, match="schema daybreak"):
            home.open()
        assert condition.look(home.postgres).problems
        if back:
            forge(home.postgres, back)
            home.open().close()
    forge(home.postgres, "UPDATE format SET version = 99")
    with pytest.raises(LedgerForeign, match="format 99"):
        home.open()
    with psycopg.connect(home.postgres) as link:
        link.execute("CREATE SCHEMA strange")
        link.execute("CREATE TABLE strange.event (a int)")
    with pytest.raises(LedgerForeign, match="is not a ledger"):
        Home(home.root.with_name("x"), [], home.postgres + "&schema=strange").open()


# -- the mirror


def test_a_mirror_is_made_again_and_caught_up(home: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Moved away, behind, or not readable as a database any more: Postgres has everything. What was there is kept under
    another name, and said."""
    # shows: N7
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
    old = home.database.read_bytes()
    with home.open() as ledger:
        ledger.append([Draft("queue", step(1))])
    home.database.write_bytes(old)
    with home.open() as ledger:
        assert numbers(ledger) == [0, 1]
        assert ledger.query("SELECT nth FROM view_steps") == [(0,), (1,)]
    home.database.rename(home.database.with_name("elsewhere"))
    with home.open() as ledger:
        assert numbers(ledger) == [0, 1]
    home.database.write_bytes(b"no database" * 1000)
    with caplog.at_level(logging.WARNING), home.open() as ledger:
        assert numbers(ledger) == [0, 1]
    assert "is damaged" in caplog.text
    assert home.database.with_name("ledger.db.damaged-1").read_bytes() == b"no database" * 1000
    assert home.verify().ok


def test_a_mirror_that_says_something_else_is_not_silently_replaced(home: Any) -> None:
    """A row that somebody changed in the file is reported, with what to do; moved away, it comes back from Postgres."""
    # shows: N3
    with home.open() as ledger:
        ledger.append([Draft("queue", step(number)) for number in range(3)])
    home.sql("UPDATE event SET header = (SELECT header FROM event WHERE leaf = 1) WHERE leaf = 3")
    with pytest.raises(LedgerTampered, match="the mirror of"):
        home.open()
    assert not home.verify().ok
    home.database.unlink()
    with home.open() as ledger:
        assert numbers(ledger) == [0, 1, 2]


def test_a_mirror_is_no_ledger_and_a_ledger_is_no_mirror(home: Any, tmp_path: Path) -> None:
    """Each is refused in the other's place, with what to do; nothing is changed."""
    # shows: N14
    home.open().close()
    with pytest.raises(LedgerForeign, match="mirror of a ledger on Postgres") as caught:
        home.open(postgres=None)
    assert "daybreak ledger copy" in caught.value.hint
    alone = Home(tmp_path / "alone")
    alone.fill(2)
    before = alone.database.read_bytes()
    for schema in ("daybreak", "unused"):
        alone.postgres = f"{home.postgres}&schema={schema}"
        with pytest.raises(LedgerForeign, match="ledger of its own") as caught:
            alone.open()
        assert "daybreak ledger copy" in caught.value.hint
    alone.postgres = None
    assert alone.database.read_bytes() == before
    with alone.open() as ledger:
        assert ledger.head().size == 3
    with connect(home.postgres) as link:
        assert link.execute("SELECT to_regnamespace('unused')").fetchone() == (None,)


def test_a_home_needs_key_and_witness_of_the_ledger(home: Any) -> None:
    """Without them nothing is made, neither there nor here."""
    # shows: N14
    home.open().close()
    stranger = Home(home.root.with_name("stranger"), [], home.postgres)
    with pytest.raises(KeyMissing, match="holds a ledger, and its key is not"):
        stranger.open()
    assert not list(stranger.keys.iterdir())
    other = home.beside("other")
    (other.witness / "head").unlink()
    with pytest.raises(WitnessMissing, match="compare"):
        other.open()
    elsewhere = Home(home.root, home.views, home.postgres + "&schema=elsewhere")
    with pytest.raises(LedgerMissing, match="holds no events"):
        elsewhere.open()


def test_a_start_that_postgres_refuses_can_be_repeated(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A right that is missing is named, and what was begun here is not taken for a ledger that got lost."""
    # shows: N14, N16
    poor = f"poor_{os.getpid()}"
    with psycopg.connect(home.postgres, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {poor} LOGIN")
        home.postgres = home.postgres.replace("daybreak@", f"{poor}@")
        for _ in range(2):
            with pytest.raises(PostgresUnusable, match="permission denied"):
                home.open()
        owner.execute("CREATE SCHEMA daybreak")
        with pytest.raises(PostgresUnusable, match="permission denied"):
            home.open()
        owner.execute("DROP SCHEMA daybreak")
        owner.execute(f"GRANT CREATE ON DATABASE {owner.info.dbname} TO {poor}")
        with home.open() as ledger:
            ledger.append([Draft("queue", step(0))])
        with monkeypatch.context() as patched:
            patched.setattr(Store, "_checked", lost)
            with pytest.raises(PostgresUnusable, match="was lost"):
                home.open()
        owner.execute("ALTER SCHEMA daybreak OWNER TO daybreak")
        with pytest.raises(PostgresUnusable, match="permission denied"):
            home.open()  # it cannot even be seen
        owner.execute(f"GRANT USAGE ON SCHEMA daybreak TO {poor}")
        owner.execute("REASSIGN OWNED BY " + poor + " TO daybreak")
        with pytest.raises(PostgresUnusable, match="permission denied"):
            home.open()
        owner.execute(f"DROP OWNED BY {poor}")
        owner.execute(f"DROP ROLE {poor}")


def test_nothing_is_restored_in_place_of_a_mirror(home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it mirrors would stay as it is, and every command would be refused. By the commands, with Postgres named or
    not, and by the library; nothing is moved. In a new home it goes on as a file, and that is said."""
    # shows: N15 N16
    monkeypatch.setenv("DAYBREAK_HOME", str(home.root))
    monkeypatch.setenv("DAYBREAK_POSTGRES", home.postgres)
    monkeypatch.chdir(tmp_path)
    replica, new = tmp_path / "replica", tmp_path / "new"
    with opener.open_ledger() as ledger:
        ledger.append([Draft("control:x", step(1))])
        ledger.replicate(Replication([str(replica)], 1, wait_s=30))
        ledger.wait_replicated(timeout_s=30)
    run = CliRunner().invoke
    assert run(app, ["snapshot", "create"]).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path.is_file()}
    ways = (["snapshot", "restore", "newest"], ["ledger", "replicas", "restore", str(replica)])
    for way in ways:
        with pytest.raises(RestoreRefused, match="stands in Postgres") as refused:
            run(app, [*way, "--in-place"], catch_exceptions=False)
        assert "--to DIR" in refused.value.hint
    done = run(app, [*ways[0], "--to", str(new)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "name no Postgres for that home" in done.stderr
    monkeypatch.delenv("DAYBREAK_POSTGRES")
    for way in ways:
        with pytest.raises(RestoreRefused, match="only a mirror"):
            run(app, [*way, "--in-place"], catch_exceptions=False)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    monkeypatch.setenv("DAYBREAK_HOME", str(new))
    with opener.open_ledger() as ledger:
        ledger.append([Draft("control:x", step(2))])
    monkeypatch.setenv("DAYBREAK_HOME", str(home.root))
    monkeypatch.setenv("DAYBREAK_POSTGRES", home.postgres)
    with opener.open_ledger() as ledger:
        ledger.append([Draft("control:x", step(2))])


def lost(*_: object) -> None:
    raise ConnectionLost("the connection was lost")


# -- addresses


def test_a_plus_in_an_address_is_a_plus() -> None:
    """As libpq reads it: in a password, which is hidden as it stands and as it is meant, and in anything else."""
    # shows: N10
    read = conninfo_to_dict(parse("postgresql://u@h/d?password=a%2Bb+c&application_name=x+y%20z").url)
    assert (read["password"], read["application_name"]) == ("a+b+c", "x+y z")
    assert parse("postgresql://u@h/d?password=a%2Bb+c").masked("a+b+c, a%2Bb%2Bc") == f"{HIDDEN}, {HIDDEN}"
    assert str(parse("postgresql://h/d?host=/a+b%20c")).endswith("?host=/a%2Bb%20c")


def test_a_password_is_never_shown(home: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not in messages, not in what psycopg says, not in `repr`; an address in the settings may hold none."""
    # shows: N10
    secrets = ("s3cr%7Azet", "s3crzzet")
    for url in (
        "postgresql://u:s3cr%7Azet@127.0.0.1:1/d?connect_timeout=2",
        "postgresql://u:s3cr%7Azet@/d?host=/nowhere&schema=x",
        "postgresql://127.0.0.1:1/d?password=s3cr%7Azet",
        "postgresql://u:s3cr%7Azet@h:notaport/d",
        "postgresql://u:s3cr%7Azet@h/d?bogus=s3crzzet",
        "postgresql://u:s3cr%7Azet@h/d?schema=No",
        "mysql://u:s3cr%7Azet@h/d",
    ):
        with pytest.raises((PostgresUnusable, PostgresAddressWrong)) as caught:
            Home(tmp_path / "x", [], url).open()
        chain: BaseException | None = caught.value
        while chain is not None:
            assert not any(secret in f"{chain} {chain!r} {getattr(chain, 'hint', '')}" for secret in secrets)
            chain = chain.__cause__ or chain.__context__
        if url.startswith("postgresql") and "No" not in url:
            assert not any(secret in f"{parse(url)!r} {parse(url)}" for secret in secrets)
    assert not any(secret in caplog.text for secret in secrets)
    file = tmp_path / "daybreak.toml"
    file.write_text('[ledger]\npostgres = "postgresql://u:s3cr%7Azet@h/d"\n')
    with pytest.raises(settings.SettingsWrong, match="PGPASSFILE") as wrong:
        settings.read(file)
    assert "s3cr" not in str(wrong.value)
    file.write_text('[ledger]\npostgres = "postgresql://u@h/d?schema=night"\n')
    told = settings.read(file)
    assert settings.postgres({}, told) == "postgresql://u@h/d?schema=night"
    assert settings.postgres({"DAYBREAK_POSTGRES": "postgresql://h"}, told) == "postgresql://h"
    assert settings.postgres({}, settings.Settings()) is None


def test_commands_find_it_by_the_environment_or_the_settings(
    home: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment variable wins; without either, the mirror alone is refused. Every command opens its ledger so."""
    # shows: F31
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYBREAK_HOME", str(home.root))
    monkeypatch.setenv("DAYBREAK_POSTGRES", home.postgres)
    with opener.open_ledger() as ledger:
        assert ledger.postgres == home.postgres
        ledger.append([Draft("queue", step(0))])
    monkeypatch.delenv("DAYBREAK_POSTGRES")
    with pytest.raises(LedgerForeign, match="mirror"), opener.open_ledger():
        pass
    (home.root / "daybreak.toml").write_text(f'[ledger]\npostgres = "{home.postgres}"\n')
    with opener.open_ledger() as ledger:
        assert numbers(ledger) == [0]
    assert settings.read(home.root / "daybreak.toml").ledger.postgres == home.postgres
    assert "is kept in" in trust.risks(settings.read(home.root / "daybreak.toml"))[0]
    with (home.root / "daybreak.toml").open("a") as file:
        file.write("nonsense = 1\n")
    with pytest.raises(settings.SettingsWrong, match="nonsense"), opener.open_ledger():
        pass  # and not that the mirror is no ledger


def test_without_the_driver_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named; a ledger in a file never asks for it."""
    # shows: N14
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "daybreak.ledger.postgres.connection")
    with pytest.raises(PostgresUnusable, match="psycopg") as caught:
        importlib.import_module("daybreak.ledger.postgres.connection")
    assert "daybreak[postgres]" in caught.value.hint


def test_its_condition_is_told(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `doctor` says of it: the version, how much there is, and that the tests' server does not sync its files."""
    # shows: F31
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
    found = condition.look(home.postgres)
    assert int(found.version.partition(".")[0]) >= 15
    assert (found.size, found.problems, found.synchronous_commit) == (2, [], "on")
    assert any("fsync is off" in danger for danger in found.dangers)
    said = list(health.look(lambda: home.postgres, Places.below(home.root, "a test")))
    assert [finding.level for finding in said] == ["bad", "bad", "good"]
    assert not any("are synced" in finding.text for finding in said)
    monkeypatch.setattr(condition, "look", lambda _: replace(found, dangers=[]))
    (good,) = health.look(lambda: home.postgres, Places.below(home.root, "a test"))
    assert good.text.endswith("2 events; commits are synced (on)")
    assert database.MIRROR_ID != database.APPLICATION_ID


def test_a_home_without_a_mirror_yet_is_told_so_and_not_to_move_its_key_away(home: Any) -> None:
    """Key and witness of another home are there, and nothing else: that is how a home of the same log begins."""
    # shows: F31, N14
    home.open().close()
    ready, url = home.beside("ready"), [home.postgres]

    def said(of: Any) -> list[tuple[str, str, str]]:
        where = Places.below(of.root, "a test")
        at = Looking(where, SystemClock(), [], lambda: url[0])
        found = [*state.look(at), *health.look(lambda: url[0], where)]
        return [(one.name, one.level, one.text) for one in found if "is off" not in one.text]

    before = sorted(ready.root.rglob("*"))
    log, server = [one for one in said(ready) if one[0] in ("log", "postgres")]
    assert log == ("log", "note", "it is in Postgres; the next command makes the mirror of it in this home")
    assert server[1] == "good"
    assert sorted(ready.root.rglob("*")) == before
    stranger = Home(home.root.with_name("stranger"), [], home.postgres)
    text = [text for name, level, text in said(stranger) if (name, level) == ("postgres", "bad")]
    assert len(text) == 1
    assert str(stranger.keys) in text[0]
    assert str(stranger.witness) in text[0]
    url[0] += "&schema=elsewhere"
    [text_of_empty] = [text for name, level, text in said(ready) if (name, level) == ("postgres", "bad")]
    assert "holds 0 events, but 1 were known outside" in text_of_empty
