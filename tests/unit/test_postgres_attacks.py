"""Every attack that a ledger on Postgres must notice, performed as a superuser there, with triggers switched off.

Observers as in `test_ledger_attacks`: one who has only the database, one who also has the verification key, one who
also knows the head kept outside; and a home, whose mirror remembers what Postgres held. What the first one notices,
the others notice with the same words.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from tests.unit import ledger_home as shelf
from tests.unit import postgres_server

from daybreak.errors import LedgerBehind, LedgerError, LedgerForked
from daybreak.ledger import Draft, Verification, keyfile
from daybreak.ledger.copying import copy, verifying
from daybreak.ledger.record import decode_header, encode_header
from daybreak.ledger.tiles import Edge
from daybreak.ledger.tree import leaf_hash
from daybreak.ledger.witness import Witness
from daybreak.testing.clock import FakeClock

Home, step, grant = shelf.Home, shelf.step, shelf.grant

EVENTS = 600
"""Two full tiles, a partial one, and a partial tile above."""
_names = itertools.count()


class Case:
    """A home whose ledger is in Postgres, in a database of its own, and what a superuser does there."""

    def __init__(self, root: Path, url: str) -> None:
        self.home = Home(root / "home", [shelf.STEPS], url)
        self.url = url
        self.public = root / "public"
        self.public.mkdir()
        shutil.copy(self.home.keys / "ledger.vkey", self.public / "ledger.vkey")

    def sql(self, *statements: Any) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET search_path = daybreak; SET session_replication_role = replica")
            for statement in statements:
                connection.execute(*((statement,) if isinstance(statement, str) else statement))

    def rows(self, sql: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET search_path = daybreak")
            return connection.execute(sql, binary=True).fetchall()

    def verify(self, keys: Path | None = None, witness: Path | None = None, **given: Any) -> Verification:
        root = self.home.root
        told = {"mirror": root / "no-mirror", "scratch": root / ".scratch"} | given
        return verifying.verify(self.url, keys=keys, witness=witness, **told)

    def noticed(self) -> set[str]:
        """Who notices anything."""
        found = {
            "database": self.verify(),
            "key": self.verify(self.public),
            "outside": self.verify(self.public, self.home.witness),
            "home": self.verify(self.public, mirror=self.home.ledger, views=self.home.views),
        }
        return {name for name, one in found.items() if not one.ok}

    def says(self, *expected: str) -> None:
        """Who has only the database notices, and names each of these."""
        lines = [f"{problem.place}: {problem.what}" for problem in self.verify().problems]
        for words in expected:
            assert any(words in line for line in lines), (words, lines)

    def replaced_by(self, other: Any) -> None:
        """Another ledger in the place of this one, in the same schema."""
        self.sql("DROP SCHEMA daybreak CASCADE")
        copy(other.ledger, self.url, keys=other.keys, witness=None, scratch=other.root / ".scratch")

    def refused(self, error: type[LedgerError], words: str = ".") -> None:
        """To a home with nothing but key and witness, and to the one that has the mirror."""
        for home in (self.home.beside(f"other{next(_names)}"), self.home):
            with pytest.raises(error, match=words):
                home.open()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """600 events, one of them large, as a file; and the name of a database that holds them."""
    root = tmp_path_factory.mktemp("pristine")
    home = Home(root / "home", [shelf.STEPS])
    home.fill(EVENTS - 4)
    with home.open() as ledger:
        ledger.append([Draft("run:r1", grant(), epoch=1), Draft("run:r1", step(1, "kept"), epoch=1)])
        ledger.append([Draft("queue", step(2, "x" * 70_000))])
    with psycopg.connect(postgres_server.server().url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE attacked TEMPLATE template0")
    url = postgres_server.server().url("attacked")
    copy(home.ledger, url, keys=home.keys, witness=home.witness, scratch=root / ".scratch")
    with Home(home.root, home.views, url).beside("there").open():
        pass  # a mirror
    shutil.move(home.ledger, root / "file")
    shutil.move(home.root / "there" / "ledger", home.ledger)
    return home


@pytest.fixture
def case(pristine: Any, tmp_path: Path) -> Iterator[Case]:
    shutil.copytree(pristine.root, tmp_path / "home")
    server, name = postgres_server.server(), f"case{next(_names)}"
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE attacked".encode())
        yield Case(tmp_path, server.url(name))
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def as_file(pristine: Any, tmp_path: Path) -> Any:
    """The same ledger in a file: where an attacker makes another history."""
    home = Home(tmp_path / "thief", [shelf.STEPS])
    for folder in ("keys", "witness"):
        shutil.copytree(pristine.root / folder, home.root / folder)
    shutil.copytree(pristine.root.parent / "file", home.ledger)
    return home


def test_nobody_sees_a_problem_in_a_whole_ledger(case: Case) -> None:
    """No observer cries wolf, and each counts all events and streams; the scratch file is gone."""
    # shows: N3
    assert case.noticed() == set()
    found = case.verify(case.public, case.home.witness)
    assert (found.events, found.size, found.streams, found.witnessed) == (EVENTS, EVENTS, 6, EVENTS)
    assert not list(case.home.root.glob(".scratch*"))


EDITS = {
    300: "payload = convert_to(replace(convert_from(payload, 'UTF8'), '299', '298'), 'UTF8')",
    301: "payload = payload || ' '",
    302: "header = header || ' '",
    303: "header = convert_to(replace(convert_from(header, 'UTF8'), '2026-', '2025-'), 'UTF8')",
    304: "payload = NULL",
    305: "header = '\\x00ff'",
    306: "stream = 'other'",
    307: "idem = 'k'",
    308: "idem = '\\xff'",
    309: "gen = 7",
    310: "seq = 9999",
    311: "header = NULL",
    312: "stream = NULL",
    313: "payload = ''",
}


def test_an_edit_is_noticed_at_its_place(case: Case) -> None:
    """Down to a blank, in any column, also where the table's own rules would not have let it in."""
    # shows: N3
    case.sql("ALTER TABLE event ALTER header DROP NOT NULL", "ALTER TABLE event ALTER stream DROP NOT NULL")
    case.sql(*[f"UPDATE event SET {change} WHERE leaf = {leaf}" for leaf, change in EDITS.items()])
    told = case.verify().problems
    for leaf in EDITS:
        if leaf == 303:  # everything else about it fits together
            continue
        assert any(f"event {leaf}" in problem.place for problem in told), leaf
    assert any(problem.place == "tile 1 of level 0" for problem in told)
    assert any("event.header is not as it should be" in problem.what for problem in told)


def test_a_change_of_the_last_event_is_noticed(case: Case) -> None:
    """No tile holds it yet; the root that was signed does."""
    # shows: N3
    case.sql(
        "UPDATE event SET header = convert_to(replace(convert_from(header, 'UTF8'), '2026-', '2025-'), 'UTF8')"
        f" WHERE leaf = {EVENTS - 1}"
    )
    case.says("table head: its root")


_DUPLICATE = "INSERT INTO event SELECT {}, {}, seq, gen, idem, header, payload FROM event WHERE leaf = {}"
MOVES: dict[str, tuple[list[str], list[str]]] = {
    "deleted, duplicated and cut off": (
        [
            "DELETE FROM event WHERE leaf = 300 OR leaf >= 500",
            "ALTER TABLE event DROP CONSTRAINT event_pkey",
            "DROP INDEX event_position",
            _DUPLICATE.format("leaf", "stream", 200),
            _DUPLICATE.format(500, "'copy'", 201),
            _DUPLICATE.format(501, "stream", 202),
        ],
        [
            "event 300 is missing",
            "event 200: is no row of a ledger",
            "event_pkey is missing",
            "event 500 (copy",
            "index event_position: cannot be",
            "index event_position is missing",
            "tile 1 of level 0",
            f"covers {EVENTS} events, 501 are there",
        ],
    ),
    "deleted, the rest moved up": (
        [
            "DELETE FROM event WHERE leaf = 300",
            "ALTER TABLE event DROP CONSTRAINT event_leaf_check",
            "UPDATE event SET leaf = -leaf WHERE leaf > 300",
            "UPDATE event SET leaf = -leaf - 1 WHERE leaf < 0",
        ],
        ["does not follow the event before it", f"covers {EVENTS} events, {EVENTS - 1} are there"],
    ),
    "reordered": (
        [
            "UPDATE event SET leaf = 9999 WHERE leaf = 300",
            "UPDATE event SET leaf = 300 WHERE leaf = 301",
            "UPDATE event SET leaf = 301 WHERE leaf = 9999",
        ],
        ["tile 1 of level 0: does not hold the hashes of the events: 2 differ, the first is that of event 300"],
    ),
    "truncated rows": (["DELETE FROM event WHERE leaf >= 500"], [f"covers {EVENTS} events, 500 are there"]),
}


@pytest.mark.parametrize(("statements", "words"), MOVES.values(), ids=MOVES.keys())
def test_events_that_were_moved_are_noticed(case: Case, statements: list[str], words: list[str]) -> None:
    """Deleted, reordered, duplicated, cut off: chain, tree and head each say their part."""
    # shows: N3
    case.sql(*statements)
    case.says(*words)


def test_a_raw_insert_with_correct_hashes_is_noticed(case: Case) -> None:
    """At the end, where the signed head does not cover it, whatever size its row says; and in the middle."""
    # shows: N3
    header = case.rows("SELECT header FROM event WHERE stream = 'queue' ORDER BY seq DESC LIMIT 1")[0][0]
    last = decode_header(header)
    payload = msgspec.json.encode(step(77, "forged"))
    forged = msgspec.structs.replace(
        last, seq=last.seq + 1, prev=leaf_hash(header).hex(), payload=sha256(payload).hexdigest()
    )
    row = (EVENTS, "queue", forged.seq, 0, None, encode_header(forged), payload)
    case.sql(("INSERT INTO event VALUES (%s, %s, %s, %s, %s, %s, %s)", row), f"UPDATE head SET size = {EVENTS + 1}")
    case.says(f"covers {EVENTS} events, {EVENTS + 1} are there", f"{EVENTS} were signed")
    case.sql(
        f"UPDATE event SET leaf = 99999 WHERE leaf = {EVENTS}",
        "UPDATE event SET leaf = leaf + 10000 WHERE leaf BETWEEN 300 AND 9999",
        "UPDATE event SET leaf = 300 WHERE leaf = 99999",
        "UPDATE event SET leaf = leaf - 9999 WHERE leaf >= 10000",
    )
    case.says("tile 1 of level 0")


def test_an_edit_with_every_hash_mended_is_noticed(case: Case) -> None:
    """Payload, header, all later headers of the stream and all tiles agree again; only the signature does not."""
    # shows: N3
    prev, hashes, statements = None, [], []
    for leaf, stream, header, payload in case.rows("SELECT leaf, stream, header, payload FROM event ORDER BY leaf"):
        if stream == "control:1":
            old = decode_header(header)
            if old.seq == 5:
                payload = payload.replace(b'"nth":', b'"nth":9')
                statements.append(("UPDATE event SET payload = %s WHERE leaf = %s", (payload, leaf)))
            if old.seq >= 5:
                header = encode_header(msgspec.structs.replace(old, prev=prev, payload=sha256(payload).hexdigest()))
                statements.append(("UPDATE event SET header = %s WHERE leaf = %s", (header, leaf)))
            prev = leaf_hash(header).hex()
        hashes.append(leaf_hash(header))
    for level, number, tile in Edge().extend(hashes):
        statements.append(("UPDATE tile SET hashes = %s WHERE level = %s AND n = %s", (tile, level, number)))
    case.sql(*statements)
    found = case.verify()
    assert [problem.place for problem in found.problems] == ["table head"]


def test_changed_tiles_heads_and_blobs_are_noticed(case: Case) -> None:
    """Each tile is compared with the events it stands for, the head with its signature, a blob with its name; and a
    name that leads out of the folder of blobs leads nowhere."""
    # shows: N3
    case.sql(
        "UPDATE tile SET hashes = '\\x00' || substr(hashes, 2) WHERE level = 0 AND n = 0",
        "DELETE FROM tile WHERE level = 0 AND n = 1",
        "UPDATE tile SET hashes = substr(hashes, 1, 32) WHERE level = 1",
        "INSERT INTO tile SELECT 0, 2, hashes FROM tile WHERE level = 1",
        "UPDATE head SET note = replace(note, substr(note, 60, 3), 'AAA')",
        "UPDATE blob SET data = data || ' '",
        "ALTER TABLE blob DROP CONSTRAINT blob_digest_check",
        "INSERT INTO blob VALUES ('../../../../escaped', 'x')",
    )
    case.says(
        "tile 0 of level 0: does not hold",
        "tile 1 of level 0: is missing",
        "tile 0 of level 1: does not hold",
        "tile 2 of level 0 is not of this tree",
        "table head: is not signed as it should be",
        f"event {EVENTS - 1} (queue, seq 0): its payload",
        "blob ../../../../escaped: is no row of a ledger",
    )
    assert not list(case.home.root.parent.rglob("escaped"))
    case.sql("DELETE FROM blob", "DELETE FROM head", "ALTER TABLE tile RENAME hashes TO hash")
    case.says(
        f"event {EVENTS - 1} (queue, seq 0): its payload",
        "table head: holds 0 signed heads",
        "table tile: cannot be read",
    )
    case.sql("DROP TABLE head, event")
    case.says("table head: cannot be read", "table event: cannot be read", "event 0: is not there")


def test_rules_that_were_changed_are_noticed(case: Case) -> None:
    """Who may not change an event must not be able to switch off in silence what forbids it; opening refuses it too."""
    # shows: N3
    case.sql(
        "ALTER TABLE event DISABLE TRIGGER event_stays",
        "DROP TRIGGER head_grows ON head",
        "CREATE OR REPLACE FUNCTION daybreak.tile_grows() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE RULE hide AS ON DELETE TO tile DO INSTEAD NOTHING",
        "CREATE TABLE mine (a integer)",
    )
    case.says(
        "trigger event_stays is not as it should be",
        "trigger head_grows is missing",
        "function tile_grows is not as it should be",
        "table tile is not as it should be",
        "table mine does not belong there",
    )
    case.refused(LedgerError, "schema daybreak")


# -- what the database alone cannot tell


def test_rows_heads_and_tiles_truncated_together_are_noticed_from_outside(case: Case) -> None:
    """An old head with its own rows and tiles is whole in itself: the outside knows better, and so does a mirror."""
    # shows: N3
    head, tiles = case.rows("SELECT size, note FROM head")[0], case.rows("SELECT level, n, hashes FROM tile")
    with case.home.open() as ledger:
        ledger.append([Draft("control:1", step(number)) for number in range(200)])
    assert case.noticed() == set()
    case.sql(
        f"DELETE FROM event WHERE leaf >= {EVENTS}",
        ("UPDATE head SET size = %s, note = %s", head),
        "DELETE FROM tile",
        *[("INSERT INTO tile VALUES (%s, %s, %s)", tile) for tile in tiles],
    )
    assert case.noticed() == {"outside", "home"}
    case.refused(LedgerBehind, f"holds {EVENTS} events, but {EVENTS + 200} were known")


def test_deleting_everything_is_noticed_by_who_has_the_key(case: Case, as_file: Any, tmp_path: Path) -> None:
    """Whoever knows a key or a head knows that there was something; another ledger in its place is not believed."""
    # shows: N3
    case.sql("DROP SCHEMA daybreak CASCADE")
    assert case.noticed() == {"database", "key", "outside", "home"}, "and to who has no key it looks as if never made"
    case.refused(LedgerError)
    anew = Home(tmp_path / "anew")
    anew.fill(3)
    copy(anew.ledger, case.url, keys=anew.keys, witness=None, scratch=tmp_path / ".scratch")
    assert case.noticed() == {"key", "outside", "home"}
    case.refused(LedgerError)


def test_a_rewrite_with_the_stolen_key_is_noticed_from_outside(case: Case, tmp_path: Path) -> None:
    """The thief can sign anything, but not what was known outside, or to a mirror, before."""
    # shows: N3
    thief = Home(tmp_path / "thief", [shelf.STEPS])
    shutil.copytree(case.home.keys, thief.keys)
    thief.witness.mkdir(parents=True)
    Witness(thief.witness).start(keyfile.load(thief.keys))  # of nothing, as at a beginning
    thief.fill(EVENTS + 10)
    case.replaced_by(thief)
    assert case.noticed() == {"outside", "home"}
    case.refused(LedgerError)
    with pytest.raises(LedgerForked):
        case.home.beside("third").open()


def test_two_histories_for_two_auditors_are_noticed_from_outside(case: Case, as_file: Any) -> None:
    """Each history is signed; neither continues the head that the other auditor knows."""
    # shows: N3
    with case.home.open() as ledger:
        ledger.append([Draft("queue", step(number)) for number in range(3)])
    as_file.fill(5, start=10 * EVENTS)
    case.replaced_by(as_file)
    assert case.noticed() == {"outside", "home"}


def test_later_forgeries_and_a_clock_set_back_are_noticed_by_nobody(case: Case) -> None:
    """The thief appends as the owner would, at whatever time. What was known outside before stays as it was."""
    # shows: N3
    thief = case.home.beside("thief")
    with thief.open(clock=FakeClock(datetime(2020, 1, 1, tzinfo=UTC))) as ledger:
        known = ledger.head()
        (record,) = ledger.append([Draft("queue", step(77, "forged"))])
    assert record.index >= known.size, "so it is not in the head that was known before"
    assert case.noticed() == set()


@pytest.mark.chaos
def test_a_flipped_bit_in_the_servers_log_is_noticed_from_outside(tmp_path: Path) -> None:
    """After a crash Postgres drops everything behind the bit, acknowledged or not, and what is left is whole."""
    # shows: N3
    if not postgres_server.available():
        pytest.skip(postgres_server.WHY_NOT)
    server = postgres_server.Server(synced=True)
    try:
        home = Home(tmp_path / "home", [shelf.STEPS], server.url())
        with home.open() as ledger:
            ledger.append([Draft("queue", step(number)) for number in range(50)])
            with psycopg.connect(server.url(), autocommit=True) as asking:
                ((name, offset),) = asking.execute(
                    "SELECT * FROM pg_walfile_name_offset(pg_current_wal_insert_lsn())"
                ).fetchall()
            for number in range(30):
                ledger.append([Draft("queue", step(number))])
            known = ledger.head().size
            ledger.sync_witness()
            server.kill()
        log = server.root / "data" / "pg_wal" / name
        data = bytearray(log.read_bytes())
        data[offset + 2000] ^= 0x10
        log.write_bytes(data)
        server.start()
        given: dict[str, Any] = {"keys": home.keys, "scratch": tmp_path / ".scratch"}
        alone = verifying.verify(server.url(), tmp_path / "no-mirror", witness=None, **given)
        assert alone.problems == []
        assert 50 <= alone.size < known
        (problem,) = verifying.verify(server.url(), tmp_path / "no-mirror", witness=home.witness, **given).problems
        assert f"{known} events were known outside" in problem.what
        with pytest.raises(LedgerBehind):
            home.open()
    finally:
        server.close()


# -- the mirror


def test_a_mirror_that_was_changed_is_noticed_and_made_again(case: Case) -> None:
    """A view or an event changed by hand in this home: Postgres has the truth, and the mirror is thrown away."""
    # shows: N3 N7
    case.home.sql("UPDATE view_steps SET nth = 12345 WHERE leaf = 300")
    case.home.sql("UPDATE event SET payload = CAST(payload || ' ' AS BLOB) WHERE leaf = 301")
    found = case.verify(case.public, case.home.witness, mirror=case.home.ledger, views=case.home.views)
    places = [problem.place for problem in found.problems]
    assert any(place.startswith("mirror, view steps") for place in places), places
    assert any(place.startswith("mirror, event 301") for place in places), places
    assert all(place.startswith("mirror") for place in places), places
    shutil.rmtree(case.home.ledger)
    with case.home.open():
        pass
    assert case.noticed() == set()
