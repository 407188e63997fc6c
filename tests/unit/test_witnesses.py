"""Several witnesses by one rule: what each notices, and that none that is slow, dead or lying stops work."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests.unit import witness_desk as desk
from typer.main import get_command

from daybreak import settings
from daybreak.cli import main
from daybreak.clock import SystemClock
from daybreak.errors import LedgerBehind, LedgerForked, LedgerStopped
from daybreak.factory.witnessing import NotWitnessed, Panel, beside, mark
from daybreak.ledger import Ledger
from daybreak.ledger.witness import asking, wire
from daybreak.ledger.witness.kept import Kept
from daybreak.ledger.witness.statement import WitnessContradicts, WitnessFalse, WitnessRefuses, WitnessSilent
from daybreak.testing.clock import FakeClock

KEY = desk.cosigner().key.text


def told(folder: Path, places: dict[str, dict[str, Any]], **rule: Any) -> settings.Settings:
    quick = {name: {"timeout_s": 2.0, **place} for name, place in places.items()}
    return settings.checked({"witnesses": quick, "witness": rule}, folder / "daybreak.toml")


def panel(home: Any, ledger: Ledger, said: settings.Settings, clock: Any = None) -> Panel:
    return beside(ledger, said, home.witness, clock or SystemClock(), os.environ)


def events(ledger: Ledger) -> list[str]:
    return [record.type for record in ledger.read_all() if record.type.startswith("witness.")]


# -- a witness over HTTP


def test_a_cosigned_checkpoint_is_kept_and_a_proof_in_it_checks_with_the_witnesss_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From daybreak.toml to `ledger check --witness-key`, by the commands; another witness's key fails."""
    # shows: F4
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    home = desk.home(tmp_path)
    home.fill(5)
    run, command = CliRunner(), get_command(main.app)

    def say(*words: str) -> tuple[int, Any]:
        result = run.invoke(command, list(words))
        failed = result.exception is not None and not isinstance(result.exception, SystemExit)
        return result.exit_code, result.exception if failed else result.stdout

    assert say("ledger", "witness", "list")[1].startswith("none beside")
    with home.open() as ledger:
        log = ledger.verifier
    with desk.witness(tmp_path / "w", log) as address:
        text = f'[witnesses.office]\nkind = "tlog"\naddress = "{address}"\nkey = "{KEY}"\n'
        text += '[witness]\nrequired = ["office"]\n'
        (tmp_path / "home" / "daybreak.toml").write_text(text)
        assert json.loads(say("ledger", "witness", "list", "--json")[1])["witnesses"][0]["state"] == "new"
        code, shown = say("ledger", "witness", "check", "--json")
        assert (code, json.loads(shown)["witnessed"]) == (0, 6)
    assert say("ledger", "prove", "3", "--cosigned", "--output", "p")[0] == 0
    (tmp_path / "w.vkey").write_text(KEY)
    vkey = str(home.keys / "ledger.vkey")
    code, shown = say("ledger", "check", "p", "--key", vkey, "--witness-key", "w.vkey", "--json")
    assert (code, json.loads(shown)["witnesses"][0]["name"]) == (0, "w.example/1")
    other = desk.cosigner("w.example/1", 9).key.text
    assert "L189" in repr(getattr(say("ledger", "check", "p", "--key", vkey, "--witness-key", other)[1], "code", ""))
    code, shown = say("ledger", "witness", "check", "--json")
    assert code == 1, "the witness is gone"
    assert json.loads(shown)["witnesses"][0]["error"]["code"] == WitnessSilent.code


@pytest.mark.parametrize("case", ["cut", "rewritten"])
def test_a_witness_proves_that_the_ledger_was_cut_or_rewritten_with_all_that_is_kept_here(
    tmp_path: Path, case: str
) -> None:
    """Ledger, key, head file and kept heads are put back together; what the witness shows stops the start."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    old = home.copy("old")
    with home.open() as ledger, desk.witness(tmp_path / "w", ledger.verifier) as address:
        said = told(tmp_path, {"w": {"kind": "tlog", "address": address, "key": KEY}})
        with home.open() as longer:
            desk.grow(longer, 4)
            assert panel(home, longer, said).sync(5) is None
        with old.open() as back:
            if case == "rewritten":
                desk.grow(back, 9, start=50)
            expected = {"cut": LedgerBehind, "rewritten": LedgerForked}[case]
            with pytest.raises(expected):
                panel(old, back, said).compare()


def test_heads_that_are_kept_notice_an_old_copy_without_asking_anybody(tmp_path: Path) -> None:
    """An old ledger and an old head file beside the kept heads do not open for work."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    old = home.copy("old")
    with home.open() as ledger, desk.witness(tmp_path / "w", ledger.verifier) as address:
        desk.grow(ledger, 4)
        said = told(tmp_path, {"w": {"kind": "tlog", "address": address, "key": KEY}})
        for _ in range(3):
            panel(home, ledger, said)._watches[0].ask()
        (kept,) = Kept(home.witness, ledger.verifier).cosigned()
        assert kept.text.count("— ") == 2, "of each key one signature, however often it signs"
    shutil.copytree(home.witness / "kept", old.witness / "kept")
    with old.open() as back, pytest.raises(LedgerBehind):
        panel(old, back, said).compare(asking=False)


def test_a_witness_goes_on_with_a_key_that_was_rotated(tmp_path: Path) -> None:
    """With the list of keys it cosigns heads by the new key, and kept heads by the old one still count."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    with home.open() as ledger:
        places = {"w": {"kind": "tlog", "address": "", "key": KEY}}
        for _ in range(2):
            with desk.witness(tmp_path / "w", ledger.verifier) as address:
                places["w"]["address"] = address
                one = panel(home, ledger, told(tmp_path, places, required=["w"]))
                assert one.compare() == []
                assert one.sync(5) == ledger.head().size
            ledger.rotate_key(why="as every year")
        assert panel(home, ledger, told(tmp_path, places)).compare(asking=False) == []
        assert len(list(Kept(home.witness, ledger.verifier).cosigned())) == 2


def test_a_bare_word_stops_work_only_where_the_rule_believes_it(tmp_path: Path) -> None:
    """A witness that claims more events and shows no proof is reported; a required one stops, unless proof is asked."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)

    def liar(method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        return (409, wire.SIZE_TYPE, b"1000000\n") if method == "POST" else (404, "text/plain", b"")

    with home.open() as ledger, desk.answering(liar) as address:
        places = {"w": {"kind": "tlog", "address": address, "key": KEY}}
        for rule in ({}, {"required": ["w"], "believe": "proof"}):
            (wrong,) = panel(home, ledger, told(tmp_path, places, **rule)).compare()
            assert isinstance(wrong, WitnessContradicts)
        desk.grow(ledger, 1)
        assert events(ledger) == ["witness.lapsed"], "told once"
        with pytest.raises(WitnessContradicts):
            panel(home, ledger, told(tmp_path, places, required=["w"])).compare()


def _garbage(case: str, body: bytes) -> tuple[int, str, bytes]:
    note = wire.read(body).note
    honest = desk.cosigner()
    match case:
        case "another key":
            line = desk.cosigner("w.example/1", 9).sign(note, SystemClock().now())
        case "another checkpoint":
            origin, _, rest = note.split("\n", 2)
            line = honest.sign(f"{origin}\n3\n{rest}", SystemClock().now())
        case "the future":
            line = honest.sign(note, SystemClock().now() + timedelta(hours=1))
        case "no signature":
            line = "hello\n"
        case "long":
            line = "x" * (asking.ANSWER_BYTES_MAX + 1)
        case "a size that is none":
            return 409, wire.SIZE_TYPE, b"-1\n"
        case "elsewhere":
            return 302, "text/plain", b""
        case "down":
            return 503, "text/plain", b"later"
        case _:
            return 404, "text/plain", b"who?"
    return 200, "text/plain", line.encode()


def test_what_a_lying_witness_says_is_reported_and_never_kept_nor_stops_work(tmp_path: Path) -> None:
    """Wrong keys, other checkpoints, the future, nonsense, floods: an error each, no cosignature, and work goes on."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    wanted = {
        "another key": WitnessFalse, "another checkpoint": WitnessFalse, "the future": WitnessFalse,
        "no signature": WitnessFalse, "long": WitnessSilent, "a size that is none": WitnessFalse,
        "elsewhere": WitnessRefuses, "down": WitnessSilent, "unknown": WitnessRefuses,
    }  # fmt: skip
    case = ""
    with home.open() as ledger, desk.answering(lambda method, path, body: _garbage(case, body)) as address:
        for case, error in wanted.items():
            said = told(tmp_path, {f"w{len(case)}": {"kind": "tlog", "address": address, "key": KEY}})
            (wrong,) = panel(home, ledger, said, FakeClock(SystemClock().now())).compare()
            assert type(wrong) is error, case
        assert list(Kept(home.witness, ledger.verifier).cosigned()) == []
        desk.grow(ledger, 1)


def test_a_dead_and_a_silent_witness_slow_no_commit_and_are_left_alone_for_longer_and_longer(tmp_path: Path) -> None:
    """Commits go on while a witness keeps a request; the tries at a dead one are counted by its breaker."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    asked, go = threading.Event(), threading.Event()

    def silent(method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        asked.set()
        go.wait(30)
        return 503, "text/plain", b""

    clock = FakeClock(SystemClock().now())
    with home.open() as ledger, desk.answering(silent) as address:
        places = {
            "slow": {"kind": "tlog", "address": address, "key": KEY, "timeout_s": 20.0},
            "dead": {"kind": "tlog", "address": "http://127.0.0.1:9", "key": KEY},
        }
        both = panel(home, ledger, told(tmp_path, places, at_least=1), clock)
        both.start()
        clock.advance(2)
        desk.grow(ledger, 2)
        with both._turn:
            both._turn.notify_all()
        assert asked.wait(20)
        began = time.monotonic()
        for number in range(20):
            desk.grow(ledger, 1, start=number)
        assert time.monotonic() - began < 15, "not the 20 s that the witness takes"
        assert both.witnessed == 0
        go.set()
        both.close()
        dead = next(watch for watch in both._watches if watch.place.name == "dead")
        waits = []
        for _ in range(5):
            assert dead.next_at is not None
            clock.advance(max((dead.next_at - clock.now()).total_seconds(), 0) + 1)
            assert isinstance(dead.ask(), WitnessSilent)
            waits.append((dead.next_at - clock.now()).total_seconds())
            assert dead.ask() is None, "held back by the breaker"
        assert waits == sorted(waits)
        assert waits[-1] > waits[0]
        assert dead.lapsed


def test_an_answer_that_comes_byte_by_byte_is_given_up(tmp_path: Path) -> None:
    """Its headers never end, and it is never quiet: the time limit is for all of it."""
    # shows: F4
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not over.wait(0.02):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        with pytest.raises(WitnessSilent):
            asking.ask("POST", f"http://127.0.0.1:{listening.getsockname()[1]}/", 0.3, b"")
        over.set()
        thread.join()
        assert time.monotonic() - began < 10


def test_heads_are_shown_as_they_come_and_a_lapsed_witness_that_comes_back_is_told(tmp_path: Path) -> None:
    """Threads follow the commits up to the last one; lapsing and coming back are an event each; `secure` waits."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    up = False
    clock = SystemClock()
    with home.open() as ledger:
        register = desk.register(tmp_path / "w", ledger.verifier)

        def moody(method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
            return (200, "text/plain", register.add(body).encode()) if up else (404, "text/plain", b"who?")

        with desk.answering(moody) as address:
            places = {"w": {"kind": "tlog", "address": address, "key": KEY, "every_s": 0.0}}
            said = told(tmp_path, places, required=["w"], deliveries="witnessed", wait_s=0.2)
            quick = said.model_copy(
                update={"breakers": {"witness:w": settings.Breaker(failures=1, open_s=0.01, most_s=0.01)}}
            )
            one = panel(home, ledger, quick, clock)
            one.compare()
            with pytest.raises(NotWitnessed):
                ledger.secure()
            up = True
            one.start()
            desk.grow(ledger, 5)
            one.wait(timeout_s=20)
            one.close()
            assert one.witnessed == ledger.head().size
            assert events(ledger) == ["witness.lapsed", "witness.caught_up"]


def test_work_stops_where_the_rule_says_so_after_nothing_was_witnessed_for_long(tmp_path: Path) -> None:
    """`stop_after_s` refuses appends with the reason, and only then."""
    home = desk.home(tmp_path)
    home.fill(3)
    clock = FakeClock(SystemClock().now())
    with home.open() as ledger:
        places = {"dead": {"kind": "tlog", "address": "http://127.0.0.1:9", "key": KEY}}
        one = panel(home, ledger, told(tmp_path, places, required=["dead"], stop_after_s=60.0), clock)
        clock.advance(30)
        assert one._overdue() is None
        clock.advance(31)
        error = one._overdue()
        assert error is not None
        ledger.refuse(error)
        with pytest.raises(LedgerStopped, match="witnessed"):
            desk.grow(ledger, 1)


@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 9), min_size=1),
    st.sets(st.sampled_from("abcde")),
    st.integers(0, 5),
)
def test_the_mark_is_the_largest_size_that_the_rule_covers(sizes: dict[str, int], names: set[str], least: int) -> None:
    """By trying every size: all who are required have it, and so many of all."""
    rule = settings.Witnessing.model_construct(required=tuple(names), at_least=least)
    found = mark(rule, sizes)
    if not names and not least:
        assert found is None
        return
    covered = [
        size
        for size in range(10)
        if all(sizes.get(name, 0) >= size for name in names)
        and (size == 0 or sum(one >= size for one in sizes.values()) >= least)
    ]
    assert found == max(covered)


# -- a git repository


def _git(folder: Path, *words: str) -> str:
    ours = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    ours |= {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    run = subprocess.run(["git", *words], cwd=folder, env=ours, capture_output=True, text=True, check=True)
    return run.stdout


def test_heads_in_a_git_repository_touch_one_branch_and_notice_an_old_copy(tmp_path: Path) -> None:
    """The user's files, index and branches stay; the remote gets the branch; a cut ledger, a forged head and a branch
    that is checked out are told apart."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    old = home.copy("old")
    repository, far = tmp_path / "r", tmp_path / "far.git"
    repository.mkdir()
    _git(tmp_path, "init", "-q", "--bare", str(far))
    _git(repository, "init", "-q", "-b", "main")
    (repository / "mine").write_text("not committed")
    _git(repository, "commit", "-q", "--allow-empty", "-m", "first")
    before = _git(repository, "status", "--porcelain", "--branch")
    places = {"g": {"kind": "git", "path": str(repository), "remote": str(far), "timeout_s": 60.0}}
    said = told(tmp_path, places, required=["g"])
    with home.open() as ledger:
        one = panel(home, ledger, said)
        for _ in range(2):
            desk.grow(ledger, 2)
            assert one.sync(100) == ledger.head().size, one.standings
        folder = ledger.verifier.origin.replace("/", "-")
        assert _git(far, "log", "--format=%s", "daybreak-witness").count("events") == 2
        assert _git(far, "show", f"daybreak-witness:{folder}/head") == ledger.head().text
    assert _git(repository, "status", "--porcelain", "--branch") == before
    with old.open() as back, pytest.raises(LedgerBehind):
        panel(old, back, said).compare(100)
    with home.open() as ledger:
        _git(repository, "checkout", "-q", "daybreak-witness")
        desk.grow(ledger, 1)
        again = panel(home, ledger, said)
        again.sync(100)
        assert "checked out" in again.standings[0].why
        (repository / folder / "head").write_text("forged\n")
        _git(repository, "commit", "-q", "-am", "forged")
        (wrong,) = panel(home, ledger, said).compare(100)
        assert isinstance(wrong, WitnessFalse)


# -- a file elsewhere


def test_a_head_file_elsewhere_notices_an_old_copy_and_says_what_it_is_worth(tmp_path: Path) -> None:
    """Ledger and head file are put back together; the second file is ahead. To give it away takes root."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    old = home.copy("old")
    said = told(tmp_path, {"f": {"kind": "file", "path": "elsewhere"}}, required=["f"])
    with home.open() as ledger:
        desk.grow(ledger, 2)
        one = panel(home, ledger, said)
        assert one.sync(10) == ledger.head().size
        (sentence,) = one._watches[0].place.worth()
        assert "own user can rewrite it" in sentence
    with old.open() as back, pytest.raises(LedgerBehind):
        panel(old, back, said).compare()
    (tmp_path / "elsewhere" / "head").unlink()
    with home.open() as ledger:
        (wrong,) = panel(home, ledger, said).compare()
        assert "took them away" in wrong.message
    given = told(tmp_path, {"f": {"kind": "file", "path": "given", "owner": "nobody"}})
    with home.open() as ledger:
        one = panel(home, ledger, given)
        one.sync(10)
        if os.geteuid() == 0:
            assert (tmp_path / "given" / "head").stat().st_uid != 0
            assert "other users cannot rewrite it" in one._watches[0].place.worth()[0]
        else:
            assert one.standings[0].code == WitnessRefuses.code


# -- time stamps


@contextmanager
def _stamping(authority: Any, wrong: str = "") -> Iterator[str]:
    earlier: list[bytes] = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        if wrong == "denied":
            return 200, "application/timestamp-reply", bytes.fromhex("30053003020102")
        made = authority.stamp(body)
        earlier.append(made)
        if wrong == "bent":
            made = made[:-5] + bytes([made[-5] ^ 1]) + made[-4:]
        return 200, "application/timestamp-reply", earlier[0] if wrong == "replayed" else made

    with desk.answering(answer) as address:
        yield address


def test_a_time_stamp_is_proved_kept_and_good_for_openssl_too(tmp_path: Path) -> None:
    """And one that is bent, replayed, refused, of another authority, of another time or of a signer for something else
    is not."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    authority, other = desk.Authority(tmp_path / "tsa"), desk.Authority(tmp_path / "other")
    now = SystemClock().now()

    def ask(ledger: Ledger, address: str, certificates: Path, clock: Any = None) -> Any:
        place = {"kind": "timestamp", "address": address, "certificates": str(certificates), "timeout_s": 30.0}
        one = panel(home, ledger, told(tmp_path, {"t": place}), clock or FakeClock(now))
        return one._watches[0].ask()

    with home.open() as ledger:
        with _stamping(authority) as address:
            assert ask(ledger, address, authority.certificates) is None
            (stamp,) = Kept(home.witness, ledger.verifier).stamps()
            assert authority.verifies(stamp, stamp.with_suffix(".note"))
            assert stamp.with_suffix(".note").read_text() == ledger.head().text
            assert ask(ledger, address, authority.folder / "tsa.pem") is None, "its own certificate is trusted"
            assert "leads to nobody" in str(ask(ledger, address, other.certificates))
            assert isinstance(ask(ledger, address, tmp_path / "none.pem"), WitnessRefuses)
            assert "clock" in str(ask(ledger, address, authority.certificates, FakeClock(now + timedelta(days=1))))
        for wrong, error in (("bent", WitnessFalse), ("denied", WitnessRefuses)):
            with _stamping(authority, wrong) as address:
                assert type(ask(ledger, address, authority.certificates)) is error, wrong
        with _stamping(authority, "replayed") as address:
            ask(ledger, address, authority.certificates)
            assert "another request" in str(ask(ledger, address, authority.certificates))
        authority._certificate("tsa", "extendedKeyUsage=critical,codeSigning")
        with _stamping(authority) as address:
            assert ask(ledger, address, authority.certificates) is not None
        assert len(Kept(home.witness, ledger.verifier).stamps()) == 1


# -- settings


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"kind": "tlog", "address": "http://h"}, "key: is missing"),
        ({"kind": "file"}, "path: is missing"),
        ({"kind": "git", "path": "r", "address": "http://h"}, "address: a witness of the kind git has none"),
        ({"kind": "timestamp", "address": "http://u:p@h", "certificates": "c"}, "has a user"),
        ({"kind": "git", "path": "r", "ref": "main"}, "ref:"),
        ({"kind": "git", "path": "r", "remote": "--upload-pack=x"}, "begins with -"),
    ],
)
def test_a_witness_that_cannot_be_is_told_with_its_place(tmp_path: Path, place: dict[str, Any], said: str) -> None:
    """Before anybody is asked anything."""
    with pytest.raises(settings.SettingsWrong, match=r"witnesses\.w") as caught:
        told(tmp_path, {"w": place})
    assert said in caught.value.message


def test_a_rule_about_witnesses_that_are_not_there_is_refused(tmp_path: Path) -> None:
    """A name that is misspelt would never be witnessed."""
    with pytest.raises(settings.SettingsWrong, match="did you mean office"):
        told(tmp_path, {"office": {"kind": "file", "path": "x"}}, required=["ofice"])
    with pytest.raises(settings.SettingsWrong, match="at_least: 2 of 1"):
        told(tmp_path, {"office": {"kind": "file", "path": "x"}}, at_least=2)
