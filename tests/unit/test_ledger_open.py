"""Opening compares the ledger with its key and with the head known outside, and fails closed."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.unit import ledger_home as shelf

from daybreak.errors import (
    KeyExposed,
    KeyMissing,
    KeyWrong,
    LedgerBehind,
    LedgerError,
    LedgerForeign,
    LedgerForked,
    LedgerMissing,
    LedgerStopped,
    LedgerTampered,
    UsageError,
    WitnessBroken,
    WitnessMissing,
)
from daybreak.ledger import Draft, View
from daybreak.ledger.note import NoteError, Signer, Verifier

Home, step, grant = shelf.Home, shelf.step, shelf.grant


def contents(root: Path) -> dict[str, bytes]:
    """Every file below, but for SQLite's shared memory and locks."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in ("ledger.db-shm", "ledger.db-wal", "lock")
    }


def refuses(home: Any, error: type[LedgerError], match: str) -> LedgerError:
    """Opening raises, twice the same, and changes no file."""
    before = contents(home.root)
    for _ in range(2):
        with pytest.raises(error, match=match) as caught:
            home.open()
        assert caught.value.hint
    assert contents(home.root) == before
    return caught.value


@pytest.fixture
def home(tmp_path: Path) -> Any:
    """A ledger of ten steps, closed."""
    home = Home(tmp_path / "home")
    home.fill(10)
    return home


def test_a_new_ledger_makes_its_folders_key_and_witness(tmp_path: Path) -> None:
    """All private to the user; the key outside the database, the head outside of both."""
    # shows: N3
    home = Home(tmp_path / "deep" / "home")
    with home.open() as ledger:
        text = (home.keys / "ledger.key").read_text()
        assert text.startswith("PRIVATE+KEY+")
        assert (home.keys / "ledger.vkey").read_text().strip() == ledger.verifier.text
    assert (home.keys / "ledger.key").stat().st_mode & 0o777 == 0o600
    assert home.database.stat().st_mode & 0o777 == 0o600
    assert home.keys.stat().st_mode & 0o777 == 0o700
    assert text.split("+")[4].strip().encode() not in home.database.read_bytes()
    assert ledger.verifier.open((home.witness / "head").read_text()).size == 1


def test_it_opens_again_where_it_stopped(home: Any) -> None:
    """Positions, chains and the head go on."""
    with home.open() as ledger:
        assert ledger.head().size == 11
        (record,) = ledger.append([Draft("control:0", step(99))])
        assert (record.index, record.seq) == (11, 4)
    assert home.verify().ok


def test_a_missing_key_is_named(home: Any) -> None:
    """Without its key a ledger is not opened, and no new key is made for it."""
    # shows: N3
    (home.keys / "ledger.key").unlink()
    error = refuses(home, KeyMissing, "ledger.key")
    assert "copy" in error.hint


def test_a_key_that_others_may_read_is_refused(home: Any) -> None:
    """Any right of group or others is too much."""
    # shows: N9
    for mode in (0o640, 0o604, 0o620, 0o777):
        (home.keys / "ledger.key").chmod(mode)
        error = refuses(home, KeyExposed, f"{mode:04o}")
        assert "chmod 600" in error.hint


def test_another_ledgers_key_is_refused(home: Any, tmp_path: Path) -> None:
    """The ledger names its key in its first event; the witness is signed by it too."""
    # shows: N3
    other = Home(tmp_path / "other")
    other.fill(1)
    shutil.rmtree(home.keys)
    shutil.copytree(other.keys, home.keys)
    refuses(home, WitnessBroken, "not signed by the key")
    shutil.rmtree(home.witness)
    shutil.copytree(other.witness, home.witness)
    refuses(home, KeyWrong, "was made with the key")


@pytest.mark.parametrize(
    "text", ["", "garbage", "PRIVATE+KEY+a+b+c", "PRIVATE+KEY+a b+00000000+AAAA", "\xff\xfe", "PRIVATE+KEY+x"]
)
def test_a_damaged_key_is_named(home: Any, text: str) -> None:
    """Whatever is in the key file, the error says which file it is."""
    (home.keys / "ledger.key").write_bytes(text.encode("latin-1"))
    refuses(home, KeyWrong, "ledger.key")


def test_a_key_whose_id_was_changed_is_refused() -> None:
    """The id is a check on the key itself, in both files."""
    signer = Signer("daybreak.local/x", b"7" * 32)
    for text, parse in ((signer.text, Signer.parse), (signer.verifier.text, Verifier.parse)):
        assert parse(text)
        with pytest.raises(NoteError):
            parse(text.replace(signer.verifier.key_id, "00000000"))


def test_a_missing_witness_is_refused(home: Any) -> None:
    """Without it a cut could not be noticed, so its absence is itself a finding."""
    # shows: N3
    (home.witness / "head").unlink()
    refuses(home, WitnessMissing, "no head")


@pytest.mark.parametrize("damage", ["", "garbage", "\n\n", "head\n5\nAAAA\n\n— x y\n"])
def test_a_damaged_witness_is_refused(home: Any, damage: str) -> None:
    """An unreadable head outside is never taken for an empty one."""
    # shows: N3
    (home.witness / "head").write_text(damage)
    refuses(home, WitnessBroken, "head")


def test_any_changed_byte_of_the_witness_is_noticed(home: Any) -> None:
    """Size, root, origin and signature are all under the signature."""
    # shows: N3
    good = (home.witness / "head").read_bytes()
    for at in range(0, len(good), 7):
        bad = bytearray(good)
        bad[at] ^= 1
        (home.witness / "head").write_bytes(bytes(bad))
        with pytest.raises(WitnessBroken):
            home.open()
    (home.witness / "head").write_bytes(good)
    home.open().close()


def test_an_old_copy_put_back_is_refused_naming_both_sizes(home: Any) -> None:
    """Yesterday's database is whole in itself; the head kept outside knows better."""
    # shows: N3
    old = home.copy("yesterday")
    home.fill(5, start=10)
    shutil.rmtree(home.ledger)
    shutil.copytree(old.ledger, home.ledger)
    error = refuses(home, LedgerBehind, "holds 11 events, but 16 were known outside")
    assert "copy" in error.hint


def test_a_ledger_that_vanished_is_refused(home: Any) -> None:
    """Deleting everything does not start a new one under the old name."""
    # shows: N3
    shutil.rmtree(home.ledger)
    refuses(home, LedgerMissing, "holds no events, but 11 were known")
    home.ledger.mkdir(exist_ok=True)
    home.database.write_bytes(b"")
    refuses(home, LedgerMissing, "holds no events, but 11")


def test_a_ledger_and_witness_that_vanished_are_refused(home: Any) -> None:
    """The key alone knows that there was a ledger."""
    # shows: N3
    shutil.rmtree(home.ledger)
    shutil.rmtree(home.witness)
    refuses(home, WitnessMissing, "no head")


def test_two_histories_are_refused(home: Any) -> None:
    """A ledger of the right size and key whose past is another is a fork."""
    # shows: N3
    other = home.copy("fork")
    home.fill(2, start=10)
    other.fill(3, start=100)
    shutil.rmtree(home.ledger)
    shutil.copytree(other.ledger, home.ledger)
    refuses(home, LedgerForked, "first 13 events")


def test_the_witness_may_lag(home: Any) -> None:
    """An older head is checked to be a beginning of the present one, at any size."""
    # shows: N3
    heads = []
    for number in range(3):
        heads.append((home.witness / "head").read_bytes())
        home.fill(200, start=200 * number)
    for head in heads:
        (home.witness / "head").write_bytes(head)
        with home.open() as ledger:
            assert ledger.head().size == 611
        assert (home.witness / "head").read_bytes() != head, "opening raises it to what was just checked"


def test_the_witness_is_never_lowered(home: Any) -> None:
    """A process that knows less leaves the higher head alone."""
    # shows: N3
    with home.open() as behind, home.open() as ahead:
        ahead.append([Draft("queue", step())])
        ahead.sync_witness()
        high = (home.witness / "head").read_text()
        behind.sync_witness()
    assert (home.witness / "head").read_text() == high


@pytest.mark.parametrize("cut", ["before the key", "before the database", "empty database"])
def test_a_creation_cut_short_begins_again(tmp_path: Path, cut: str) -> None:
    """A crash between witness, key and database leaves what the next start recognises as a beginning."""
    # shows: N14
    home = Home(tmp_path / "home")
    for folder in (home.ledger, home.keys, home.witness):
        folder.mkdir(parents=True)
    signer = Signer("daybreak.local/cut", b"1" * 32)
    from daybreak.ledger import keyfile
    from daybreak.ledger.witness import Witness

    Witness(home.witness).start(signer)
    if cut != "before the key":
        keyfile.save(home.keys, signer)
    if cut == "empty database":
        connection = apsw.Connection(str(home.database))
        connection.pragma("journal_mode", "wal")
        connection.close()
    home.fill(1)
    assert home.verify().ok
    assert home.verify().events == 2


def test_many_may_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    """There is one key and one first event, whoever was first."""
    # shows: N5
    home = Home(tmp_path)
    errors: list[Exception] = []

    def open_and_append(number: int) -> None:
        try:
            with home.open() as ledger:
                ledger.append([Draft("queue", step(number))])
        except Exception as error:  # noqa: BLE001 - reported by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=open_and_append, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = home.verify()
    assert found.problems == []
    assert found.events == 7


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("DROP TRIGGER event_stays", "event_stays is missing"),
        ("DROP INDEX event_idem", "event_idem is missing"),
        ("CREATE TRIGGER mine AFTER INSERT ON event BEGIN SELECT 1; END", "mine does not belong"),
        ("CREATE TABLE other (a)", "other does not belong"),
    ],
)
def test_a_changed_schema_is_refused(home: Any, change: str, match: str) -> None:
    """The rules of the database are part of what is checked."""
    # shows: N3
    connection = apsw.Connection(str(home.database))
    connection.execute(change)
    connection.close()
    refuses(home, LedgerTampered, match)
    assert any(match.split()[0] in problem.what for problem in home.verify().problems)


def test_what_is_no_ledger_is_left_alone(home: Any) -> None:
    """Another database, a newer format, a file of anything: an error, and the file stays."""
    connection = apsw.Connection(str(home.database))
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    refuses(home, LedgerForeign, "format 3")
    home.database.unlink()
    connection = apsw.Connection(str(home.database))
    connection.execute("CREATE TABLE mine (a)")
    connection.close()
    refuses(home, LedgerForeign, "not a ledger")
    home.database.write_bytes(b"just some text, more than a hundred bytes of it " * 30)
    refuses(home, LedgerTampered, "ledger.db")


def test_a_head_whose_tail_was_changed_is_refused(home: Any) -> None:
    """Opening adds up the last events; an edit among them is noticed before anything is appended."""
    # shows: N3
    home.sql("UPDATE event SET header = CAST(header || ' ' AS BLOB) WHERE leaf = 10")
    refuses(home, LedgerTampered, "do not add up")


def test_folders_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    """A file where a folder should be is named, with the system's own words."""
    (tmp_path / "ledger").write_text("in the way")
    with pytest.raises(LedgerStopped, match=r"cannot be opened: .*(exists|directory)"):
        Home(tmp_path).open()


def test_views_with_wrong_definitions_are_refused(tmp_path: Path) -> None:
    """A view owns its name's tables and nothing else; its DDL must work."""
    home = Home(tmp_path)
    for view in (
        View("mine", 1, "CREATE TABLE event (a)", lambda record: ()),
        View("mine", 1, "CREATE TABLE view_other (a)", lambda record: ()),
        View("mine", 1, "CREATE nonsense", lambda record: ()),
        View("Bad Name", 1, "CREATE TABLE view_x (a)", lambda record: ()),
    ):
        with pytest.raises(UsageError):
            home.open(views=[view])
    with pytest.raises(UsageError):
        home.open(views=[shelf.STEPS, shelf.STEPS])
    assert not home.database.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a key to somebody else")
def test_root_may_use_anybodys_key(home: Any) -> None:
    """A key's owner and root may use it; whether others may is decided by its mode."""
    os.chown(home.keys / "ledger.key", 65534, -1)
    home.open().close()
