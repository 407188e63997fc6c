"""A ledger copied to another place: the same log there, or nothing."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit import archive_shelf, postgres_server
from tests.unit.ledger_home import STEPS, Home, step
from typer.main import get_command
from typer.testing import CliRunner

from daybreak.cli import main
from daybreak.errors import (
    DraftRefused,
    IdemConflict,
    LedgerBehind,
    LedgerError,
    LedgerForked,
    LedgerMissing,
    LedgerStopped,
)
from daybreak.ledger import Draft
from daybreak.ledger.archive import pruning
from daybreak.ledger.copying import Copied, CopyArchived, CopyTaken, CopyUnsound, copy
from daybreak.ledger.copying.folder import Folder
from daybreak.ledger.copying.remote import Database
from daybreak.ledger.postgres.address import parse
from daybreak.ledger.postgres.problems import PostgresUnusable

COMMAND = cache(get_command)
HISTORIES = Path(__file__).parents[1] / "histories"
_numbers = count()
EVENTS = 600
"""Two full tiles, a partial one, and a partial tile above."""


def content(home: Home) -> dict[str, list[Any]]:
    """All that must be the same in a copy."""
    stored = {path.name: path.read_bytes() for path in (home.ledger / "blobs").rglob("*") if path.is_file()}
    return {
        "event": home.rows("SELECT leaf, stream, seq, gen, idem, header, payload FROM event ORDER BY leaf"),
        "tile": home.rows("SELECT level, n, hashes FROM tile ORDER BY level, n"),
        "head": home.rows("SELECT one, size, note FROM head"),
        "schema": home.rows(
            "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'view_%' AND sql IS NOT NULL ORDER BY name"
        ),
        "blobs": sorted(stored.items()),
    }


def copied(home: Home, source: Any, target: Any, **changes: Any) -> Copied:
    told = {"keys": home.keys, "witness": home.witness, "scratch": home.root / ".copying"} | changes
    return copy(source, target, **told)


def moved(home: Home, name: str) -> Home:
    """A home whose ledger is the copy of that name, with the key and the witness of this one."""
    other = Home(home.root.with_name(name), home.views)
    shutil.copytree(home.keys, other.keys)
    shutil.copytree(home.witness, other.witness)
    return other


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """600 events, one of them large, one about somebody, and a blob that an event names."""
    home = Home(tmp_path_factory.mktemp("pristine") / "home", [STEPS])
    home.fill(EVENTS - 4)
    with home.open() as ledger:
        ledger.append([Draft("queue", step(1, "x" * 70_000), idem="größe")])
        ledger.append([Draft("queue", step(2, "what she said"), subject="ada")])
        ledger.append([Draft("queue", step(3, {"blob": ledger.put_blob(b"a transcript")}))])
    return home


@pytest.fixture
def home(pristine: Home, tmp_path: Path) -> Home:
    shutil.copytree(pristine.root, tmp_path / "home")
    return Home(tmp_path / "home", [STEPS])


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def url(database: str) -> str:
    """Of a schema that is not there yet."""
    return f"{database}&schema=s{next(_numbers)}"


def asked(url: str, sql: str) -> Any:
    place = parse(url)
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute(f"SET search_path = {place.schema}; SET session_replication_role = replica".encode())
        ran = connection.execute(sql.encode())
        return ran.fetchall() if ran.description else None


def is_empty(url: str) -> bool:
    (found,) = asked(url, f"SELECT to_regnamespace('{parse(url).schema}')")
    return bool(found == (None,))


def nothing_left(*folders: Path) -> bool:
    """No copy, and nothing of one that was begun."""
    return not any(folder.exists() or list(folder.parent.glob(f".{folder.name}*")) for folder in folders)


def refers(record: Any) -> list[str]:
    return [record.event.result["blob"]] if b'"blob":' in record.payload else []


def test_a_copy_in_a_folder_is_the_same_log(home: Home, tmp_path: Path) -> None:
    """Header, payload, leaf hashes, tiles, head and blobs, byte for byte; it opens with the same key and witness."""
    # shows: N3
    before = content(home)
    made = copied(home, home.ledger, tmp_path / "there" / "ledger", refers=refers)
    other = moved(home, "there")
    assert content(other) == before == content(home)
    assert (made.size, made.head, made.blobs, made.missing) == (EVENTS, before["head"][0][2], 2, 0)
    assert made.head.split("\n")[1] == str(EVENTS)
    assert other.verify().ok
    with other.open() as ledger:
        ledger.append([Draft("queue", step(9))])
    assert other.verify().ok


def test_a_ledger_goes_to_postgres_and_back_unchanged(home: Home, tmp_path: Path, url: str) -> None:
    """By way of a second schema; what was sealed is still open to its key, and the log goes on in each place."""
    # shows: N3
    before, told = content(home), []
    there = copied(home, home.ledger, url, progress=lambda *said: told.append(said))
    assert (there.size, there.head, there.blobs) == (EVENTS, before["head"][0][2], 2)
    assert {what for what, _, _ in told} == {"copying", "verifying"}
    assert told[-1] == ("copying", EVENTS, EVENTS)
    copied(home, url, f"{url}second")
    copied(home, f"{url}second", tmp_path / "back" / "ledger", refers=refers)
    back = moved(home, "back")
    assert content(back) == before == content(home)
    with back.open() as ledger:
        (sealed,) = [record for record in ledger.read("queue") if record.secret is not None]
        assert sealed.event.result == "what she said"
    gone = Home(tmp_path / "on-postgres", [STEPS])
    shutil.copytree(home.keys, gone.keys)
    with gone.open(postgres=url, witness=home.witness) as ledger:
        assert [record.header for record in ledger.read_all()] == [row[5] for row in before["event"]]
        ledger.append([Draft("queue", step(9))])


@pytest.mark.parametrize("name", ["0.1-night", "0.1-every-event"])
def test_an_old_ledger_goes_to_postgres_and_back_unchanged(name: str, tmp_path: Path, url: str) -> None:
    """Whatever was ever written, and by whichever version."""
    # shows: N3 N13
    shutil.copytree(HISTORIES / name, tmp_path / "home")
    home = Home(tmp_path / "home")
    for path in home.root.rglob("*"):  # version control keeps no such modes
        path.chmod(0o700 if path.is_dir() else 0o600)
    copied(home, home.ledger, url)
    copied(home, url, tmp_path / "back" / "ledger")
    there, back = content(home), content(moved(home, "back"))
    del there["schema"], back["schema"]  # it is of another format by now
    assert back == there


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
DRAFTS = st.builds(
    lambda stream, number, result, idem, gen, actor, subject: Draft(
        f"control:{stream}", step(number, result), actor, idem=idem, gen=gen, subject=subject
    ),
    st.sampled_from("abc") | NAMES,
    st.integers(0, 2**53 - 1),
    TEXTS | st.just("x" * 65_500) | st.just("y" * 70_000) | st.lists(TEXTS, max_size=3),
    st.none() | TEXTS | st.just("k" * 3000),
    st.integers(0, 3) | st.just(2**53 - 1),
    TEXTS,
    st.none() | st.sampled_from(["ada", "größe"]),
)


def test_any_ledger_goes_to_postgres_and_back_unchanged(tmp_path_factory: pytest.TempPathFactory, url: str) -> None:
    """Streams, keys, generations, actors, secrets and large payloads of every kind, and a change of the key."""
    # shows: N3
    numbers = iter(range(1000))

    @settings(max_examples=6, deadline=None, database=None)
    @given(st.lists(DRAFTS, max_size=12), st.booleans())
    def check(drafts: list[Draft], rotated: bool) -> None:
        root, place = tmp_path_factory.mktemp("any"), f"{url}any{next(numbers)}"
        home = Home(root / "home")
        with home.open() as ledger:
            for draft in drafts:
                with suppress(IdemConflict, DraftRefused):  # two of one key; a key that is too long
                    ledger.append([draft])
            if rotated:
                ledger.rotate_key()
                ledger.append([Draft("queue", step(1))])
        copied(home, home.ledger, place)
        copied(home, place, root / "back" / "ledger")
        assert content(moved(home, "back")) == content(home)

    check()


def test_nothing_is_copied_onto_anything(home: Home, tmp_path: Path, url: str) -> None:
    """A folder that holds a file, a file, a link, a ledger in Postgres: each stays as it is."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "full", tmp_path / "full" / "mine", tmp_path / "link", home.ledger):
        with pytest.raises(CopyTaken, match="not an empty folder"):
            copied(home, home.ledger, place)
    assert (tmp_path / "full" / "mine").read_text() == "precious"
    copied(home, home.ledger, tmp_path / "empty")
    copied(home, home.ledger, url)
    before = asked(url, "SELECT * FROM head")
    with pytest.raises(CopyTaken, match="there is a ledger in schema"):
        copied(home, home.ledger, url)
    assert asked(url, "SELECT * FROM head") == before
    with pytest.raises(LedgerMissing):
        copied(home, tmp_path / "nowhere", tmp_path / "new" / "one")
    with pytest.raises(LedgerMissing):
        copied(home, f"{url}nothing", tmp_path / "new" / "one")
    assert not (tmp_path / "new").exists()


DAMAGE: dict[str, tuple[str, Callable[[Home], object]]] = {
    "a payload": ("not whole: event 300",
                  lambda home: home.sql("UPDATE event SET payload = CAST(payload || ' ' AS BLOB) WHERE leaf = 300")),
    "a column": ("not whole: event 300", lambda home: home.sql("UPDATE event SET gen = 7 WHERE leaf = 300")),
    "a tile": ("not whole: tile 0 of level 1",
               lambda home: home.sql("UPDATE tile SET hashes = zeroblob(64) WHERE level = 1")),
    "cut": ("not whole: .*covers 600 events, 500 are there",
            lambda home: home.sql("DELETE FROM event WHERE leaf >= 500")),
    "no head": ("not whole: table head: holds 0", lambda home: home.sql("DELETE FROM head")),
    "forged head": ("not whole: table head: is not signed",
                    lambda home: home.sql("UPDATE head SET note = replace(note, char(10)||'600', char(10)||'599')")),
    "head row that says more": ("not whole: table head: row 1 says 605 events, 600 were signed",
                                lambda home: home.sql("UPDATE head SET size = size + 5")),
    "another key": ("not whole: event 0",
                    lambda home: (shutil.rmtree(home.keys), Home(home.keys.parent / "x").fill(1),
                                  (home.keys.parent / "x" / "keys").rename(home.keys))),
    "a blob": ("not whole: event 597 .* holds other bytes",
               lambda home: next(p for p in (home.ledger / "blobs").rglob("*") if p.is_file()).write_bytes(b"other")),
    "a lost blob": ("not whole: event", lambda home: next(
        p for p in (home.ledger / "blobs").rglob("*") if p.is_file() and p.stat().st_size > 60_000
    ).unlink()),
}  # fmt: skip


@pytest.mark.parametrize(("said", "change"), DAMAGE.values(), ids=DAMAGE.keys())
def test_what_is_not_whole_is_not_copied(
    home: Home, tmp_path: Path, url: str, said: str, change: Callable[[Home], Any]
) -> None:
    """Neither into a folder nor into Postgres, and nothing is left there; what is wrong is said, and not that somebody
    is at work there."""
    # shows: N3
    change(home)
    for place in (tmp_path / "there" / "ledger", url):
        with pytest.raises(LedgerError, match=said):
            copied(home, home.ledger, place)
    assert nothing_left(tmp_path / "there" / "ledger", home.root / ".copying")
    assert is_empty(url)


def test_a_ledger_that_was_changed_in_postgres_is_not_copied(home: Home, tmp_path: Path, url: str) -> None:
    """Each by its place; and an old copy by the head that is known outside."""
    # shows: N3
    copied(home, home.ledger, url)
    asked(url, "UPDATE event SET payload = payload || ' ' WHERE leaf = 300")
    with pytest.raises(CopyUnsound, match=r"event 300 .*its payload is not the one"):
        copied(home, url, tmp_path / "one")
    asked(url, "ALTER TABLE event ALTER header DROP NOT NULL; UPDATE event SET header = NULL WHERE leaf = 300")
    with pytest.raises(CopyUnsound, match="event 300: is no row of a ledger"):
        copied(home, url, tmp_path / "one")
    old = home.copy("old")
    home.fill(3, start=EVENTS)
    with pytest.raises(CopyUnsound, match=f"{EVENTS + 3} events were known outside"):
        copied(home, old.ledger, tmp_path / "one")
    assert nothing_left(tmp_path / "one")


def test_blobs_that_are_missing_are_counted(home: Home, tmp_path: Path) -> None:
    """What an event names may lie in another home; what an event is may not."""
    next(path for path in (home.ledger / "blobs").rglob("*") if path.is_file() and path.stat().st_size < 100).unlink()
    made = copied(home, home.ledger, tmp_path / "there" / "ledger", refers=refers)
    assert (made.blobs, made.missing) == (1, 1)


def test_only_events_that_may_name_blobs_are_asked_about(home: Home, tmp_path: Path) -> None:
    """As `ledger verify` does: the one function of all commands says which those are."""
    # shows: N3
    asked_about: list[str] = []

    class Asked:
        of = frozenset({"ledger.created"})

        def __call__(self, record: Any) -> list[str]:
            asked_about.append(record.event.type)
            return ["0" * 64]

    made = copied(home, home.ledger, tmp_path / "there" / "ledger", refers=Asked())
    assert (asked_about, made.missing) == (["ledger.created"], 1)


def test_what_lies_in_an_archive_is_brought_back_first(tmp_path: Path, url: str) -> None:
    """A copy would not have it, and Postgres keeps no archives; archived and still here is as good as not archived."""
    home, _ = archive_shelf.pruned(tmp_path / "home")
    for place in (tmp_path / "there" / "ledger", url):
        with pytest.raises(CopyArchived) as refused:
            copied(home, home.ledger, place)
        assert "daybreak ledger refill --all" in str(refused.value.hint)
    assert nothing_left(tmp_path / "there" / "ledger")
    assert is_empty(url)
    with home.open() as ledger:
        list(pruning.refill(ledger, 0, archive_shelf.ARCHIVED))
    copied(home, home.ledger, url)
    copied(home, url, tmp_path / "back" / "ledger")
    assert content(moved(home, "back")) == content(home)


def test_a_full_disk_is_said(home: Home, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the two it is that is full, and nothing is left there."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Folder, "put_blob", full)
    copied(home, home.ledger, url)
    for source in (home.ledger, url):
        with pytest.raises(LedgerStopped, match="No space left"):
            copied(home, source, tmp_path / "there" / "ledger")
    assert nothing_left(tmp_path / "there" / "ledger")


class KilledError(BaseException):
    """The process is gone."""


def die(*_: object) -> None:
    raise KilledError


def test_a_crash_leaves_nothing_that_looks_like_a_ledger(
    home: Home, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed just before the end, both ways; the next try is as good as the first, whatever lies about."""
    # shows: N1
    place = tmp_path / "there" / "ledger"
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "finish", die)
        patch.setattr(Database, "commit", die)
        for target in (place, url):
            with pytest.raises(KilledError):
                copied(home, home.ledger, target)
        assert is_empty(url)
        assert not place.exists()
    left = place.with_name(".ledger.copying")  # as a process leaves it that is killed and cannot tidy up
    (left / "ledger").mkdir(parents=True)
    (left / "ledger" / "ledger.db").write_bytes(b"half")
    copied(home, home.ledger, place)
    copied(home, home.ledger, url)
    assert list(place.parent.iterdir()) == [place]


def test_what_grows_meanwhile_is_not_copied(home: Home, tmp_path: Path, url: str) -> None:
    """The copy would be an old one from the beginning."""
    for number, place in enumerate((tmp_path / "there" / "ledger", url)):

        def append(what: str, done: int, total: int, number: int = number) -> None:
            if done == total and what == "copying":
                home.fill(1, start=EVENTS + 10 * number)

        with pytest.raises(CopyUnsound, match="somebody appended to it meanwhile"):
            copied(home, home.ledger, place, progress=append)
    assert nothing_left(tmp_path / "there" / "ledger")
    assert is_empty(url)


def test_an_append_to_the_old_one_is_noticed_by_the_witness(home: Home, tmp_path: Path, url: str) -> None:
    """Whoever comes second has another history than the one that was witnessed, or less of it."""
    # shows: N3
    copied(home, home.ledger, url)
    there = Home(tmp_path / "on-postgres", [STEPS])
    shutil.copytree(home.keys, there.keys)
    with there.open(postgres=url, witness=home.witness) as new:
        new.append([Draft("queue", step(1, "new"))])
        new.sync_witness()
        with pytest.raises(LedgerBehind, match=f"holds {EVENTS} events, but {EVENTS + 1} were known outside"):
            home.open()
    other = home.copy("other")
    (other.witness / "head").write_text(str(content(home)["head"][0][2]))  # it has not heard of that yet
    with other.open(witness=other.witness) as old:
        old.append([Draft("queue", step(1, "old")), Draft("queue", step(2, "old"))])
    with pytest.raises(LedgerBehind):
        there.open(postgres=url, witness=other.witness)
    with pytest.raises(LedgerForked):
        other.open(witness=home.witness)


def test_the_mirror_brings_a_lost_postgres_back(home: Home, tmp_path: Path, url: str) -> None:
    """The tables are gone; what a home has kept of them is the ledger, into a folder or another Postgres."""
    # shows: N3 N4
    copied(home, home.ledger, url)
    home.ledger.rename(tmp_path / "aside")
    with home.open(postgres=url) as ledger:
        ledger.append([Draft("queue", step(7, "z" * 70_000))])
    asked(url, f"DROP SCHEMA {parse(url).schema} CASCADE")
    made = copied(home, home.ledger, tmp_path / "back" / "ledger", refers=refers)
    assert (made.size, made.blobs, made.missing) == (EVENTS + 1, 2, 1), "nobody here has read the transcript yet"
    back = moved(home, "back")
    assert content(back)["event"] == content(home)["event"]
    assert back.verify().ok
    assert copied(home, home.ledger, f"{url}again").head == made.head
    shutil.rmtree(home.ledger)
    with home.open(postgres=f"{url}again") as ledger:
        assert ledger.head().size == EVENTS + 1


def test_no_password_is_ever_shown(
    home: Home, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither in what a copy says, nor in what it complains about; and the command tells how to go on."""
    # shows: N9
    monkeypatch.setattr("typer.testing._get_command", COMMAND)
    monkeypatch.setenv("DAYBREAK_HOME", str(home.root))
    secret = url.replace("daybreak@", "daybreak:hunter2-s3cret@")
    said = [str(copied(home, home.ledger, secret))]
    for source, target in ((home.ledger, secret), (secret, tmp_path), (home.ledger, secret.replace("@/t", "@/nix"))):
        with pytest.raises((LedgerError, PostgresUnusable)) as caught:
            copied(home, source, target)
        said += [str(caught.value), repr(caught.value.__cause__), str(caught.value.hint)]
    for words in (
        ("copy", secret, str(tmp_path / "a")),
        ("copy", str(home.ledger), f"{secret}b"),
        ("copy", secret, f"{secret}c", "--json"),
    ):
        done = CliRunner().invoke(main.app, ["ledger", *words])
        assert done.exit_code == 0, (done.output, done.exception)
        said.append(done.output)
    assert "hunter2" not in "".join(said) + "".join(capsys.readouterr())
    assert json.loads(said[-1])["events"] == EVENTS
    assert "nothing may be written to" in said[-2]
    assert "DAYBREAK_POSTGRES" in said[-2]


def test_the_command_verifies_what_postgres_holds(
    home: Home, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not only this home's mirror of it, which goes on as it was."""
    # shows: N3
    monkeypatch.setattr("typer.testing._get_command", COMMAND)
    monkeypatch.setenv("DAYBREAK_HOME", str(home.root))
    monkeypatch.setenv("DAYBREAK_POSTGRES", url.replace("daybreak@", "daybreak:hunter2-s3cret@"))
    copied(home, home.ledger, url)
    home.ledger.rename(tmp_path / "aside")
    with home.open(postgres=url):
        pass
    done = CliRunner().invoke(main.app, ["ledger", "verify"])
    assert (done.exit_code, f"{EVENTS} events, whole" in done.output) == (0, True), done.output
    asked(url, "UPDATE event SET payload = payload || ' ' WHERE leaf = 300")
    bad = CliRunner().invoke(main.app, ["ledger", "verify", "--json"])
    assert bad.exit_code == 1
    (problem,) = json.loads(bad.stdout)["problems"]
    assert problem["place"].startswith("event 300 (control:")
    assert "hunter2" not in done.output + bad.output
    assert not list(home.root.glob(".*"))
