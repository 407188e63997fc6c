"""Every attack that a ledger must notice, performed on a real file.

Three observers: one who has only the database, one who also has the verification key, one who also knows the
head kept outside. `database`, `key` and `outside` name what each of them must notice.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit import ledger_home as shelf

from daybreak.errors import LedgerBehind, LedgerError, LedgerForked
from daybreak.ledger import Draft, Prover, Verification, keyfile
from daybreak.ledger.proofcheck import NotIncluded
from daybreak.ledger.record import decode_header, encode_header
from daybreak.ledger.tree import leaf_hash
from daybreak.testing.clock import FakeClock

Home, step, grant = shelf.Home, shelf.step, shelf.grant

EVENTS = 600
"""Two full tiles, a partial one, and a partial tile above."""
GROWN = 200
"""Events after which there is one tile more."""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A ledger of 600 steps and a run with an owner, closed."""
    home = Home(tmp_path_factory.mktemp("pristine") / "home", [shelf.STEPS])
    home.fill(EVENTS - 4)
    with home.open() as ledger:
        ledger.append([Draft("run:r1", grant(), epoch=1), Draft("run:r1", step(1, "kept"), epoch=1)])
        ledger.append([Draft("queue", step(2, "x" * 70_000))])
    assert home.verify().ok
    return home


@pytest.fixture
def home(pristine: Any, tmp_path: Path) -> Any:
    shutil.copytree(pristine.root, tmp_path / "home")
    return Home(tmp_path / "home", [shelf.STEPS])


def public_only(home: Any) -> Path:
    """A folder with the verification key alone, as an auditor has it."""
    folder = home.root / "public"
    folder.mkdir(exist_ok=True)
    shutil.copy(home.keys / "ledger.vkey", folder / "ledger.vkey")
    return folder


def observers(home: Any) -> dict[str, Verification]:
    key = public_only(home)
    return {
        "database": home.verify(keys=None, witness=None),
        "key": home.verify(keys=key, witness=None),
        "outside": home.verify(keys=key),
    }


def noticed(home: Any) -> set[str]:
    """Who notices anything."""
    return {name for name, found in observers(home).items() if not found.ok}


EVERYBODY = {"database", "key", "outside"}


def says(home: Any, *words: str) -> None:
    """Everybody notices, and one problem holds all of these words."""
    for name, found in observers(home).items():
        lines = [f"{problem.place}: {problem.what}" for problem in found.problems]
        assert any(all(word in line for word in words) for line in lines), (name, words, lines)


def test_nobody_sees_a_problem_in_a_whole_ledger(home: Any) -> None:
    """No observer cries wolf, and each counts all events and streams."""
    # shows: N3
    for name, found in observers(home).items():
        assert found.problems == [], name
        assert (found.events, found.size, found.streams) == (EVENTS, EVENTS, 6)
        assert found.witnessed == (EVENTS if name == "outside" else None)
        assert found.root == found.root.lower()
        assert len(found.root) == 64


PLACE = "event 300 (control:"
EDITS = {
    "a payload": ("UPDATE event SET payload = CAST(replace(payload, '299', '298') AS BLOB) WHERE leaf = 300", PLACE),
    "white space in a payload": ("UPDATE event SET payload = CAST(payload || ' ' AS BLOB) WHERE leaf = 300", PLACE),
    "white space in a header": ("UPDATE event SET header = CAST(header || ' ' AS BLOB) WHERE leaf = 300", "event 300"),
    "a time": (
        "UPDATE event SET header = CAST(replace(header, '2026-', '2025-') AS BLOB) WHERE leaf = 300",
        "the first is that of event 300",
    ),
    "an actor in the last event": (
        'UPDATE event SET header = CAST(replace(header, \'"actor":""\', \'"actor":"me"\') AS BLOB)'
        f" WHERE leaf = {EVENTS - 1}",
        "root",
    ),
    "a payload to nothing": ("UPDATE event SET payload = NULL WHERE leaf = 300", PLACE),
    "a header to garbage": ("UPDATE event SET header = x'00ff' WHERE leaf = 300", PLACE),
    "a stream's name beside the header": ("UPDATE event SET stream = 'other' WHERE leaf = 300", "(other, seq"),
    "a key beside the header": ("UPDATE event SET idem = 'k' WHERE leaf = 300", PLACE),
    "a generation beside the header": ("UPDATE event SET gen = 7 WHERE leaf = 300", PLACE),
    "a seq beside the header": ("UPDATE event SET seq = 9999 WHERE leaf = 300", "seq 9999"),
    "text that is no text": ("UPDATE event SET stream = CAST(x'fffe' AS TEXT) WHERE leaf = 300", "event 300"),
}


@pytest.mark.parametrize(("sql", "place"), EDITS.values(), ids=EDITS.keys())
def test_an_edit_is_noticed(home: Any, sql: str, place: str) -> None:
    """Down to a blank, in any column, with the place named."""
    # shows: N3
    home.sql(sql)
    says(home, place)


def test_a_deleted_event_is_noticed(home: Any) -> None:
    """In the middle: the gap, the chain and the tile all show it."""
    # shows: N3
    home.sql("DELETE FROM event WHERE leaf = 300")
    says(home, "table event", "event 300 is missing")
    says(home, "tile 1 of level 0")
    says(home, "table head")


def test_a_deleted_event_with_the_rest_moved_up_is_noticed(home: Any) -> None:
    """Closing the gap in the numbering does not close the chain."""
    # shows: N3
    home.sql(
        "DELETE FROM event WHERE leaf = 300",
        "UPDATE event SET leaf = -leaf WHERE leaf > 300",
        "UPDATE event SET leaf = -leaf - 1 WHERE leaf < 0",
    )
    says(home, "does not follow the event before it")
    says(home, "table head", f"covers {EVENTS} events, {EVENTS - 1} are there")


def test_reordered_events_are_noticed(home: Any) -> None:
    """Two neighbours of different streams change places: every chain holds, the tree does not."""
    # shows: N3
    home.sql(
        "UPDATE event SET leaf = -1 WHERE leaf = 300",
        "UPDATE event SET leaf = 300 WHERE leaf = 301",
        "UPDATE event SET leaf = 301 WHERE leaf = -1",
    )
    says(home, "tile 1 of level 0", "event 300")


def test_a_duplicated_event_is_noticed(home: Any) -> None:
    """The same row once more at the end, under another name."""
    # shows: N3
    home.sql(f"INSERT INTO event SELECT {EVENTS}, 'copy', seq, gen, idem, header, payload FROM event WHERE leaf = 300")
    says(home, f"event {EVENTS} (copy")


def test_an_inserted_event_is_noticed(home: Any) -> None:
    """In the middle, the rest moved on, as the next of a stream that has nothing behind it."""
    # shows: N3
    forge(home)
    home.sql(
        f"UPDATE event SET leaf = -2 WHERE leaf = {EVENTS}",
        "UPDATE event SET leaf = -leaf - 10 WHERE leaf >= 300",
        "UPDATE event SET leaf = 300 WHERE leaf = -2",
        "UPDATE event SET leaf = -leaf - 9 WHERE leaf < -2",
    )
    says(home, "tile 1 of level 0", "event 300")


def forge(home: Any) -> None:
    """What an attacker without the key can do best: a well-formed event with right hashes that chains."""
    header = home.rows("SELECT header FROM event WHERE stream = 'queue' ORDER BY seq DESC LIMIT 1")[0][0]
    last = decode_header(header)
    payload = msgspec.json.encode(step(77, "forged"))
    forged = msgspec.structs.replace(
        last, seq=last.seq + 1, prev=leaf_hash(header).hex(), payload=sha256(payload).hexdigest()
    )
    row = (EVENTS, "queue", forged.seq, 0, None, encode_header(forged), payload)
    home.sql(("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", row))


def test_a_raw_insert_with_correct_hashes_is_noticed(home: Any) -> None:
    """The signed head does not cover it, and the size in the head's row cannot be changed either."""
    # shows: N3
    forge(home)
    says(home, "table head", f"covers {EVENTS} events, {EVENTS + 1} are there")
    home.sql(f"UPDATE head SET size = {EVENTS + 1}")
    says(home, "table head", f"{EVENTS} were signed")


def test_an_edit_with_every_hash_mended_is_noticed(home: Any) -> None:
    """Payload, header, all later headers of the stream and all tiles agree again; only the signature does not."""
    # shows: N3
    rows = home.rows("SELECT leaf, stream, header, payload FROM event ORDER BY leaf")
    statements: list[Any] = []
    prev, hashes = None, []
    for leaf, stream, header, payload in rows:
        if stream == "control:1":
            old = decode_header(header)
            if old.seq == 5:
                payload = payload.replace(b'"nth":', b'"nth":9')
                statements.append(("UPDATE event SET payload = ? WHERE leaf = ?", (payload, leaf)))
            if old.seq >= 5:
                digest = sha256(payload).hexdigest()
                header = encode_header(msgspec.structs.replace(old, prev=prev, payload=digest))
                statements.append(("UPDATE event SET header = ? WHERE leaf = ?", (header, leaf)))
            prev = leaf_hash(header).hex()
        hashes.append(leaf_hash(header))
    from daybreak.ledger.tiles import Edge

    for level, number, tile in Edge().extend(hashes):
        statements.append(("UPDATE tile SET hashes = ? WHERE level = ? AND n = ?", (tile, level, number)))
    home.sql(*statements)
    for name, found in observers(home).items():
        places = {problem.place for problem in found.problems}
        assert "table head" in places, name
        assert not any(place.startswith(("event", "tile")) for place in places), name


TILES = {
    "a hash in a tile": "UPDATE tile SET hashes = CAST(x'00' || substr(hashes, 2) AS BLOB) WHERE level = 0 AND n = 1",
    "a hash in a partial tile above": "UPDATE tile SET hashes = zeroblob(64) WHERE level = 1",
    "a shorter tile": "UPDATE tile SET hashes = substr(hashes, 1, 32) WHERE level = 0 AND n = 1",
    "a longer tile": "UPDATE tile SET hashes = CAST(hashes || zeroblob(32) AS BLOB) WHERE level = 1",
    "a lost tile": "DELETE FROM tile WHERE level = 0 AND n = 1",
    "a tile too many": "INSERT INTO tile VALUES (0, 2, zeroblob(32))",
    "a tile in a wrong place": "UPDATE tile SET n = 7 WHERE level = 0 AND n = 1",
}


@pytest.mark.parametrize("sql", TILES.values(), ids=TILES.keys())
def test_a_changed_tile_is_noticed(home: Any, sql: str) -> None:
    """Each tile is compared with the events it stands for, and there are no others."""
    # shows: N3
    home.sql(sql)
    says(home, "tile")


HEADS = {
    "another root": "UPDATE head SET note = replace(note, substr(note, 60, 3), 'AAA')",
    "another size": "UPDATE head SET size = 3",
    "no head": "DELETE FROM head",
    "an empty head": "UPDATE head SET note = ''",
}


@pytest.mark.parametrize("sql", HEADS.values(), ids=HEADS.keys())
def test_a_changed_head_is_noticed(home: Any, sql: str) -> None:
    """The signature covers all of it."""
    # shows: N3
    home.sql(sql)
    says(home, "table head")


def test_truncated_rows_are_noticed(home: Any) -> None:
    """The head still covers them."""
    # shows: N3
    home.sql("DELETE FROM event WHERE leaf >= 500")
    says(home, "table head", f"covers {EVENTS} events, 500 are there")


def put_back(home: Any, old: Any) -> None:
    shutil.rmtree(home.ledger)
    shutil.copytree(old.ledger, home.ledger)


def test_rows_heads_and_tiles_truncated_together_are_noticed_from_outside(home: Any) -> None:
    """An old head with its own rows and tiles is whole in itself: only the outside knows better."""
    # shows: N3
    old = home.copy("old")
    home.fill(GROWN, start=EVENTS)
    (size, note) = old.rows("SELECT size, note FROM head")[0]
    tiles = old.rows("SELECT level, n, hashes FROM tile")
    assert len(home.rows("SELECT 1 FROM tile")) > len(tiles)
    home.sql(
        f"DELETE FROM event WHERE leaf >= {EVENTS}",
        ("UPDATE head SET size = ?, note = ?", (size, note)),
        f"DELETE FROM view_steps WHERE leaf >= {EVENTS}",
        "DELETE FROM tile",
        *[("INSERT INTO tile VALUES (?, ?, ?)", tile) for tile in tiles],
    )
    assert noticed(home) == {"outside"}
    found = home.verify()
    assert [problem.place for problem in found.problems] == ["witness"]
    assert f"{EVENTS + GROWN} events were known outside, the ledger holds {EVENTS}" in found.problems[0].what
    with pytest.raises(LedgerBehind, match=f"holds {EVENTS} events, but {EVENTS + GROWN} were known outside"):
        home.open()


def test_an_old_copy_put_back_is_noticed_from_outside(home: Any) -> None:
    """Yesterday's file is genuine; it is only not the newest."""
    # shows: N3
    old = home.copy("yesterday")
    home.fill(40, start=EVENTS)
    put_back(home, old)
    assert noticed(home) == {"outside"}
    with pytest.raises(LedgerBehind, match=f"holds {EVENTS} events, but {EVENTS + 40} were known outside"):
        home.open()


def test_deleting_everything_is_noticed_by_who_has_the_key(home: Any, tmp_path: Path) -> None:
    """Whoever knows a key or a head knows that there was something; the empty place alone does not say so."""
    # shows: N3
    shutil.rmtree(home.ledger)
    never = Home(tmp_path / "never", home.views).verify(keys=None, witness=None)
    alone, with_key, with_head = observers(home).values()
    assert [problem.what for problem in alone.problems] == [problem.what for problem in never.problems]
    assert (with_key.ok, with_head.ok) == (False, False)
    assert f"{EVENTS} events were known outside" in with_head.problems[-1].what
    with pytest.raises(LedgerError):
        home.open()
    Home(home.root.with_name("anew"), home.views).fill(3)
    put_back(home, Home(home.root.with_name("anew")))  # and another one begun in its place
    assert noticed(home) == {"key", "outside"}


def test_a_rewrite_under_another_key_is_noticed_by_who_has_the_key(home: Any, tmp_path: Path) -> None:
    """A forged ledger is whole in itself and names its own key: not ours."""
    # shows: N3
    forged = Home(tmp_path / "forged", [shelf.STEPS])
    forged.fill(EVENTS - 1)
    put_back(home, forged)
    assert noticed(home) == {"key", "outside"}
    with pytest.raises(LedgerError, match="was made with the key"):
        home.open()


def test_a_rewrite_with_the_stolen_key_is_noticed_from_outside(home: Any, tmp_path: Path) -> None:
    """The thief can sign anything, but not what was known outside before."""
    # shows: N3
    thief = Home(tmp_path / "thief", [shelf.STEPS])
    shutil.copytree(home.root / "keys", thief.keys)
    _start_again_with(thief)
    thief.fill(EVENTS + 10)
    put_back(home, thief)
    assert noticed(home) == {"outside"}
    with pytest.raises(LedgerForked):
        home.open()


def test_two_histories_for_two_auditors_are_noticed_from_outside(home: Any) -> None:
    """Each history is signed; neither continues the head that the other auditor knows."""
    # shows: N3
    other = home.copy("other")
    home.fill(3, start=EVENTS)
    other.fill(5, start=10 * EVENTS)
    put_back(home, other)
    assert noticed(home) == {"outside"}


def test_what_a_stolen_key_signs_from_now_on_is_not_noticed_by_anybody(home: Any) -> None:
    """The thief appends as the owner would: no observer can tell. What was known outside before stays as it was."""
    # shows: N3
    with home.open() as thief:
        thief.append([Draft("queue", step(77, "forged"))])
    assert noticed(home) == set()
    other = home.copy("other")
    home.fill(3, start=EVENTS + 1)
    assert noticed(home) == set()
    other.fill(5, start=9 * EVENTS)  # a second forgery in the place of what is known outside by now
    put_back(home, other)
    assert noticed(home) == {"outside"}, "nothing that was known outside can be taken back"


def test_a_clock_set_back_is_not_noticed_but_bounded_from_outside(home: Any) -> None:
    """Times are what the clock said, and only their order is proved: who kept a head, and when it was, knows that
    whatever is not in it came later, whatever its time says."""
    # shows: N3
    with home.open() as ledger:
        known = ledger.head()
        newest = list(ledger.read("queue"))[-1].ts
    with home.open(clock=FakeClock(datetime(2020, 1, 1, tzinfo=UTC))) as ledger:
        (record,) = ledger.append([Draft("queue", step(78, "backdated"))])
    assert record.ts < newest
    assert noticed(home) == set()
    assert record.index >= known.size, "so it is not in the head that was known before"
    with Prover(home.ledger, keyfile.load_verifier(home.keys)) as prover, pytest.raises(NotIncluded):
        prover.prove([record.index], at=known.text)


def _start_again_with(home: Any) -> None:
    """A witness of nothing under this key, as at a beginning."""
    from daybreak.ledger.witness import Witness

    home.witness.mkdir(parents=True)
    Witness(home.witness).start(keyfile.load(home.keys))


def test_a_flipped_bit_in_the_write_ahead_log_is_noticed_from_outside(home: Any, tmp_path: Path) -> None:
    """SQLite drops everything behind the bit in silence, acknowledged or not, and what is left is whole."""
    # shows: N3
    with home.open() as ledger:
        for number in range(30):
            ledger.append([Draft("queue", step(number))])
        ledger.sync_witness()
        crashed = home.copy("crashed")
    wal = crashed.database.with_name("ledger.db-wal")
    data = bytearray(wal.read_bytes())
    data[len(data) // 2] ^= 0x10
    wal.write_bytes(data)
    crashed.database.with_name("ledger.db-shm").unlink(missing_ok=True)
    assert noticed(crashed) == {"outside"}
    with pytest.raises(LedgerBehind, match="were known outside"):
        crashed.open()


VIEWS = {
    "a changed row": "UPDATE view_steps SET nth = 12345 WHERE leaf = 300",
    "a row too many": "INSERT INTO view_steps VALUES (99999, 1)",
    "a lost row": "DELETE FROM view_steps WHERE leaf = 300",
}


@pytest.mark.parametrize("sql", VIEWS.values(), ids=VIEWS.keys())
def test_a_view_changed_by_hand_is_noticed(home: Any, sql: str) -> None:
    """By rebuilding it from the events and comparing; rebuilding repairs it."""
    # shows: N7
    home.sql(sql)
    says(home, "view steps, table view_steps")
    with home.open() as ledger:
        assert {difference.table for difference in ledger.compare_views()} == {"view_steps"}
        ledger.rebuild_views()
        assert ledger.compare_views() == []
    assert home.verify().ok


def test_a_view_of_another_definition_is_noticed(home: Any) -> None:
    """A table that lost its constraints is not the view's table."""
    # shows: N7
    home.sql("DROP TABLE view_steps", "CREATE TABLE view_steps (leaf, nth)")
    says(home, "view_steps", "not defined as it should be")


def test_a_table_that_belongs_to_no_view_is_noticed(home: Any) -> None:
    """Nobody keeps state beside the log under a view's name."""
    # shows: N3
    home.sql("CREATE TABLE view_mine (a)")
    says(home, "schema", "view_mine belongs to no view")


def test_a_blob_that_changed_is_noticed(home: Any) -> None:
    """The payload of a large event is checked like any other."""
    # shows: N3
    (blob,) = [path for path in (home.ledger / "blobs").rglob("*") if path.is_file()]
    data = blob.read_bytes()
    for change in (data[:-1], data + b" ", data.replace(b"xxx", b"yyy", 1)):
        blob.write_bytes(change)
        says(home, f"event {EVENTS - 1} (queue, seq 0)", "other bytes")
    blob.unlink()
    says(home, f"event {EVENTS - 1} (queue, seq 0)", "is not at")


def test_blobs_that_events_refer_to_are_checked_when_told(home: Any) -> None:
    """Told how an event names blobs, verification finds a missing one at its event."""
    # shows: N3
    with home.open() as ledger:
        digest = ledger.put_blob(b"a transcript")
        ledger.append([Draft("queue", step(5, {"blob": digest}))])

    def blobs(record: Any) -> list[str]:
        return [record.event.result["blob"]] if b'"blob"' in record.payload else []

    assert home.verify(blobs=blobs).ok
    (home.ledger / "blobs" / digest[:2] / digest).unlink()
    assert home.verify().ok
    (problem,) = home.verify(blobs=blobs).problems
    assert problem.place == f"event {EVENTS} (queue, seq 1)"


def test_an_event_of_a_stale_owner_slipped_in_with_the_key_is_noticed(home: Any) -> None:
    """Even the key's owner cannot sign a history that breaks the rules: epochs are checked too."""
    # shows: N5
    (leaf, header) = home.rows("SELECT leaf, header FROM event WHERE stream = 'run:r1' AND seq = 1")[0]
    old = decode_header(header)
    for changed, words in (
        (msgspec.structs.replace(old, epoch=4), "has epoch 4, but 1 was current"),
        (msgspec.structs.replace(old, epoch=None), "has no epoch"),
        (msgspec.structs.replace(old, v=2), "version 2"),
        (msgspec.structs.replace(old, key="00000000"), "names the signing key 00000000"),
        (msgspec.structs.replace(old, commit="00"), "commitment"),
    ):
        home.sql(("UPDATE event SET header = ? WHERE leaf = ?", (encode_header(changed), leaf)))
        says(home, f"event {leaf} (run:r1, seq 1)", words)


def test_reading_refuses_what_was_changed(home: Any) -> None:
    """A forged step result is never replayed: the stream's chain and hashes are checked while it is read."""
    # shows: N3
    home.sql("UPDATE event SET payload = CAST(replace(payload, '299', '298') AS BLOB) WHERE leaf = 300")
    stream = home.rows("SELECT stream FROM event WHERE leaf = 300")[0][0]
    with home.open() as ledger:
        with pytest.raises(LedgerError, match="event 300"):
            list(ledger.read(stream))
        with pytest.raises(LedgerError, match="event 300"):
            list(ledger.read_all())
        assert len(list(ledger.read("control:1"))) > 100


def test_reading_refuses_a_gap_and_a_swap(home: Any) -> None:
    """Events of a stream that were removed or exchanged do not chain."""
    # shows: N3
    home.sql("DELETE FROM event WHERE leaf = 300")
    with home.open() as ledger, pytest.raises(LedgerError, match="event 300 is missing"):
        list(ledger.read_all())
    with home.open() as ledger, pytest.raises(LedgerError, match="does not follow"):
        list(ledger.read("control:2"))


def test_problems_are_limited_but_counted(home: Any) -> None:
    """A ledger that is wrong everywhere gives a report that can be read."""
    home.fill(600, start=EVENTS)
    home.sql("UPDATE event SET payload = x'00'")
    found = home.verify()
    assert len(found.problems) == 1000
    assert found.more > 100


NOT, NOTICED = "**not**", "noticed"
TABLE: dict[str, tuple[str, str, str, list[Any]]] = {
    "edit, delete in the middle, reorder, duplicate or insert events, change tiles": (
        NOTICED,
        NOTICED,
        NOTICED,
        [
            test_an_edit_is_noticed,
            test_an_edit_with_every_hash_mended_is_noticed,
            test_a_deleted_event_is_noticed,
            test_a_deleted_event_with_the_rest_moved_up_is_noticed,
            test_reordered_events_are_noticed,
            test_a_duplicated_event_is_noticed,
            test_an_inserted_event_is_noticed,
            test_a_raw_insert_with_correct_hashes_is_noticed,
            test_a_changed_tile_is_noticed,
            test_a_changed_head_is_noticed,
        ],
    ),
    "truncate rows only": (NOTICED, NOTICED, NOTICED, [test_truncated_rows_are_noticed]),
    "truncate rows, heads and tiles together, or put an old copy back": (
        NOT,
        NOT,
        NOTICED,
        [
            test_rows_heads_and_tiles_truncated_together_are_noticed_from_outside,
            test_an_old_copy_put_back_is_noticed_from_outside,
        ],
    ),
    "delete everything": (NOT, NOTICED, NOTICED, [test_deleting_everything_is_noticed_by_who_has_the_key]),
    "rewrite everything under another key": (
        NOT,
        NOTICED,
        NOTICED,
        [test_a_rewrite_under_another_key_is_noticed_by_who_has_the_key],
    ),
    "rewrite everything with the stolen key, or show two histories to two auditors": (
        NOT,
        NOT,
        NOTICED,
        [
            test_a_rewrite_with_the_stolen_key_is_noticed_from_outside,
            test_two_histories_for_two_auditors_are_noticed_from_outside,
        ],
    ),
    "steal the key and forge from now on": (
        NOT,
        NOT,
        "only what came before is protected",
        [test_what_a_stolen_key_signs_from_now_on_is_not_noticed_by_anybody],
    ),
    "set the clock back": (
        NOT,
        NOT,
        "only outside timestamps bound it",
        [test_a_clock_set_back_is_not_noticed_but_bounded_from_outside],
    ),
    "flip a bit in the write-ahead log, so that acknowledged events vanish": (
        NOT,
        NOT,
        NOTICED,
        [test_a_flipped_bit_in_the_write_ahead_log_is_noticed_from_outside],
    ),
    "let bits rot in the file": (
        "noticed, or nothing reads otherwise",
        "the same",
        "the same",
        [],  # test_ledger_damage: every byte
    ),
    "change a view by hand": (
        "noticed by rebuilding and comparing",
        "",
        "",
        [test_a_view_changed_by_hand_is_noticed, test_a_view_of_another_definition_is_noticed],
    ),
}
"""Each row of the page on trust, what its columns say, and the tests that perform it."""


def test_the_page_on_trust_says_what_the_tests_show() -> None:
    """Row by row: no attack is promised to be noticed that is not performed here, and none is missing."""
    # shows: N3
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "trust.md").read_text()
    begin = text.index("| what somebody does to the database")
    rows = text[begin:].partition("\n\n")[0].split("\n")[2:]
    split = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    told = {what: tuple(columns) for what, *columns in split}
    assert told == {row: columns[:3] for row, columns in TABLE.items()}
