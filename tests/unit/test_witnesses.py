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
from daybreak.config import Places
from daybreak.errors import LedgerBehind, LedgerBusy, LedgerForked, LedgerStopped, WitnessBroken
from daybreak.factory.witnessing import NotWitnessed, Panel, beside, mark
from daybreak.factory.witnessing import panel as panels
from daybreak.factory.witnessing.remembered import remembered
from daybreak.host.snapshots import Store
from daybreak.ledger import Ledger, snapshot
from daybreak.ledger.files import locked
from daybreak.ledger.restore import Restorer
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


def hasty(said: settings.Settings, *names: str) -> settings.Settings:
    """Who fails is tried again at once."""
    quick = settings.Breaker(failures=1, open_s=0.01, most_s=0.01)
    return said.model_copy(update={"breakers": {f"witness:{name}": quick for name in names}})


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
            one = panel(home, ledger, hasty(said, "w"), clock)
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


def test_a_delivery_waits_only_for_witnesses_that_the_rule_counts(tmp_path: Path) -> None:
    """The required file has it at once; the other one, which keeps its request for long, holds nothing up."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    go = threading.Event()

    def silent(method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        go.wait(30)
        return 503, "text/plain", b""

    with home.open() as ledger, desk.answering(silent) as address:
        places = {
            "f": {"kind": "file", "path": str(tmp_path / "f")},
            "slow": {"kind": "tlog", "address": address, "key": KEY, "timeout_s": 25.0},
        }
        one = panel(home, ledger, told(tmp_path, places, required=["f"]))
        began = time.monotonic()
        one.wait(timeout_s=25)
        assert time.monotonic() - began < 20
        go.set()


def test_a_witness_that_is_well_again_is_asked_and_said_to_be_though_nothing_new_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head could not be read at one start and can be at the next: `check` and the threads find it well."""
    # shows: F4
    monkeypatch.setattr(panels, "GRACE_S", 0.0)
    home = desk.home(tmp_path)
    home.fill(3)
    said = hasty(told(tmp_path, {"f": {"kind": "file", "path": str(tmp_path / "f")}}, required=["f"]), "f")
    with home.open() as ledger:
        size = panel(home, ledger, said).sync(10)
        assert size == ledger.head().size
        head = head_in(tmp_path / "f")
        whole = head.read_text()
        for background in (False, True):
            head.write_text("nonsense\n")
            one = panel(home, ledger, said)
            assert [error.code for error in one.compare()] == [WitnessBroken.code]
            head.write_text(whole)
            again = panel(home, ledger, said)
            assert again.compare() == []
            assert again.standings[0].state == "failing"
            if background:
                again.start()
                with again._turn:
                    assert again._turn.wait_for(lambda: again.standings[0].state == "well", 20)  # noqa: B023
                again.close()
            else:
                again.sync(10)
            assert (again.standings[0].state, again.witnessed) == ("well", size)


def test_a_lapse_that_was_not_told_before_the_end_is_told_by_the_next_start_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the file and the event, or the event could not be appended; the same for its coming back."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    up = False
    with home.open() as ledger:
        register = desk.register(tmp_path / "w", ledger.verifier)

        def moody(method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
            return (200, "text/plain", register.add(body).encode()) if up else (404, "text/plain", b"who?")

        def full(drafts: Any) -> Any:
            raise LedgerBusy("somebody else writes", hint="later")

        with desk.answering(moody) as address:
            said = told(tmp_path, {"w": {"kind": "tlog", "address": address, "key": KEY}})
            for expected in (["witness.lapsed"], ["witness.lapsed", "witness.caught_up"]):
                up = len(expected) == 2
                panel(home, ledger, said)._watches[0].ask()  # and killed
                with monkeypatch.context() as patch:
                    patch.setattr(ledger, "append", full)
                    panel(home, ledger, said).compare()
                assert events(ledger) == expected[:-1]
                for _ in range(2):
                    panel(home, ledger, said).compare()
                    assert events(ledger) == expected


def test_processes_that_share_a_ledger_do_not_lower_what_a_witness_is_known_to_have(tmp_path: Path) -> None:
    """One that was left behind and fails writes its failure, not its older size; only the witness itself, when it is
    read and shows less, does that."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    said = hasty(told(tmp_path, {"f": {"kind": "file", "path": str(tmp_path / "f")}}, required=["f"]), "f")
    with home.open() as first, home.open() as second:
        older = panel(home, second, said)
        older.sync(10)
        head = head_in(tmp_path / "f")
        short = head.read_text()
        desk.grow(first, 5)
        newer = panel(home, first, said)
        size = newer.sync(10)
        whole = head.read_text()
        head.write_text("nonsense\n")
        assert isinstance(older._watches[0].ask(), WitnessBroken)
        kept = Kept(home.witness, first.verifier)
        known = kept.standings()["f"]
        assert (known.state, known.size, known.head) == ("failing", size, whole)
        assert older.standings == [known]
        head.write_text(short)
        (wrong,) = panel(home, first, said).compare()
        assert "took them away" in wrong.message
        assert kept.standings()["f"].size < first.head().size


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


@pytest.fixture
def records(tmp_path: Path) -> tuple[Any, Path, Path, settings.Settings]:
    """A home with three events, a repository, the one it pushes to, and settings that name them."""
    home = desk.home(tmp_path)
    home.fill(3)
    here, far = tmp_path / "r", tmp_path / "far.git"
    _git(tmp_path, "init", "-q", "--bare", str(far))
    _git(tmp_path, "init", "-q", str(here))
    place = {"kind": "git", "path": str(here), "remote": str(far), "timeout_s": 60.0}
    return home, here, far, hasty(told(tmp_path, {"g": place}, required=["g"]), "g")


def test_what_only_the_branch_here_has_is_not_witnessed_where_a_remote_is_named(records: Any) -> None:
    """The remote refuses the push: not now, and not after the next start, although the branch here has the head; nor
    where an object of the branch is damaged is that taken for a ledger that was never there."""
    # shows: F4
    home, here, far, said = records
    hook = far / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with home.open() as ledger:
        one = panel(home, ledger, said)
        assert one.sync(100) == 0
        assert one.standings[0].code == WitnessSilent.code
        again = panel(home, ledger, said)
        assert again.compare(100) == []
        assert again.witnessed == 0
        hook.unlink()
        assert again.sync(100) == ledger.head().size
        blob = _git(here, "rev-parse", f"daybreak-witness:{ledger.verifier.origin.replace('/', '-')}/head").strip()
        place = here / ".git" / "objects" / blob[:2] / blob[2:]
        place.chmod(0o600)
        place.write_bytes(b"")
        before = _git(here, "rev-parse", "daybreak-witness")
        (wrong,) = panel(home, ledger, said).compare(100)
        assert isinstance(wrong, WitnessSilent)
        desk.grow(ledger, 1)
        assert isinstance(panel(home, ledger, said)._watches[0].ask(), WitnessSilent)
        assert _git(here, "rev-parse", "daybreak-witness") == before


def test_a_fresh_clone_and_a_branch_that_another_machine_moved_are_joined(records: Any, tmp_path: Path) -> None:
    """The remote's branch goes on with what both had, without force; a longer history of this ledger there stops."""
    # shows: F4
    home, here, far, said = records
    old = home.copy("old")
    with home.open() as ledger:
        assert panel(home, ledger, said).sync(100) == ledger.head().size
        shutil.rmtree(here)
        _git(tmp_path, "clone", "-q", str(far), str(here))
        _git(tmp_path, "clone", "-q", "-b", "daybreak-witness", str(far), str(tmp_path / "other"))
        (tmp_path / "other" / "theirs").write_text("another ledger's")
        _git(tmp_path / "other", "add", ".")
        _git(tmp_path / "other", "commit", "-q", "-m", "theirs")
        _git(tmp_path / "other", "push", "-q")
        theirs = _git(far, "rev-parse", "daybreak-witness").strip()
        desk.grow(ledger, 2)
        one = panel(home, ledger, said)
        assert one.compare(100) == []
        assert one.sync(100) == ledger.head().size, one.standings
        assert theirs in _git(far, "rev-list", "daybreak-witness")
        folder = ledger.verifier.origin.replace("/", "-")
        assert _git(far, "show", f"daybreak-witness:{folder}/head") == ledger.head().text
        assert _git(far, "show", "daybreak-witness:theirs") == "another ledger's"
    with old.open() as back:
        shutil.rmtree(here)
        _git(tmp_path, "init", "-q", str(here))
        assert isinstance(panel(old, back, said)._watches[0].ask(), LedgerBehind)


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
    head_in(tmp_path / "elsewhere").unlink()
    with home.open() as ledger:
        (wrong,) = panel(home, ledger, said).compare()
        assert "took them away" in wrong.message
    given = told(tmp_path, {"f": {"kind": "file", "path": "given", "owner": "nobody"}})
    with home.open() as ledger:
        one = panel(home, ledger, given)
        one.sync(10)
        if os.geteuid() == 0:
            head = head_in(tmp_path / "given")
            assert head.stat().st_uid != 0
            for folder in (head.parent, tmp_path / "given"):
                assert folder.stat().st_uid == 0, "who owns the folder puts links there for root to follow"
            assert "other users cannot rewrite it" in one._watches[0].place.worth()[0]
        else:
            assert one.standings[0].code == WitnessRefuses.code


def head_in(folder: Path) -> Path:
    """The head of the one log that is witnessed there."""
    (path,) = folder.glob("*/head")
    return path


def test_a_folder_for_heads_serves_one_log_after_another(tmp_path: Path) -> None:
    """A restore in place begins a new log; it is witnessed there too, and what was known of the old one stays known."""
    # shows: F4 N15
    home = desk.home(tmp_path)
    home.fill(3)
    store, places = Store(tmp_path / "store"), Places.below(home.root, "a test")
    snapshot.take(store, places, clock=FakeClock())
    said = told(tmp_path, {"f": {"kind": "file", "path": "elsewhere"}}, required=["f"])
    with home.open() as ledger:
        desk.grow(ledger, 2)
        panel(home, ledger, said).sync(10)
        before = head_in(tmp_path / "elsewhere")
        kept = before.read_text()
    Restorer(store, places, FakeClock()).in_place("newest")
    with home.open() as ledger:
        one = panel(home, ledger, said)
        assert one.compare() == []
        desk.grow(ledger, 1)
        assert one.sync(10) == ledger.head().size
    assert before.read_text() == kept
    assert len(list((tmp_path / "elsewhere").glob("*/head"))) == 2


def test_a_head_that_an_earlier_version_put_into_the_folder_itself_is_compared_with(tmp_path: Path) -> None:
    """That of this log alone: it notices an old copy, is not touched, and from then on the log has its own folder."""
    # shows: F4 N13
    home, other = desk.home(tmp_path), desk.home(tmp_path / "other")
    for one in (home, other):
        one.fill(3)
    old = home.copy("old")
    said = told(tmp_path, {"f": {"kind": "file", "path": "elsewhere"}}, required=["f"])
    with home.open() as ledger:
        desk.grow(ledger, 2)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(home.witness / "head", tmp_path / "elsewhere" / "head")
    with old.open() as back, pytest.raises(LedgerBehind):
        panel(old, back, said).compare()
    for one in (other, home):
        with one.open() as ledger:
            assert panel(one, ledger, said).compare() == []
            assert panel(one, ledger, said).sync(10) == ledger.head().size
    assert len(list((tmp_path / "elsewhere").glob("*/head"))) == 2
    assert (tmp_path / "elsewhere" / "head").read_text() == (home.witness / "head").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_writes_nothing_for_another_user_where_others_may_put_links(tmp_path: Path) -> None:
    """A folder of that user's, one below it, one by way of a link of theirs: refused, and nothing is made or given."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    victim, theirs = tmp_path / "victim", tmp_path / "theirs"
    victim.mkdir()
    theirs.mkdir()
    (theirs / "link").symlink_to(victim)
    os.chown(theirs, 65534, 65534)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with home.open() as ledger:
        for path in (theirs, theirs / "deep" / "er", theirs / "link" / "heads", open_to_all / "heads"):
            one = panel(home, ledger, told(tmp_path, {"f": {"kind": "file", "path": str(path), "owner": "nobody"}}))
            error = one._watches[0].ask()
            assert isinstance(error, WitnessRefuses), path
            assert "may be replaced" in error.message or "by a link" in error.message
    assert [name.name for name in theirs.iterdir()] == ["link"]
    assert not [*victim.iterdir(), *open_to_all.iterdir()]
    assert victim.stat().st_uid == 0


def test_a_lock_is_not_taken_by_way_of_a_link(tmp_path: Path) -> None:
    """It would make a file wherever somebody who may write there wants one."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"), locked(tmp_path / "lock"):
        raise AssertionError
    assert not (tmp_path / "elsewhere").exists()


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


def test_a_stamp_counts_for_the_one_that_gave_it(tmp_path: Path) -> None:
    """And not for another one whose name is the end of its name."""
    # shows: F4
    home = desk.home(tmp_path)
    home.fill(3)
    authority = desk.Authority(tmp_path / "tsa")

    def at(address: str) -> dict[str, Any]:
        certificates = str(authority.certificates)
        return {"kind": "timestamp", "address": address, "certificates": certificates, "timeout_s": 30.0}

    with home.open() as ledger, _stamping(authority) as address:
        assert panel(home, ledger, told(tmp_path, {"far-tsa": at(address)}), SystemClock())._watches[0].ask() is None
        both = told(tmp_path, {"far-tsa": at(address), "tsa": at("http://127.0.0.1:9")})
        found = remembered(ledger, both, home.witness, SystemClock(), {})
        assert {name: one.proved for name, one in found.items()} == {"far-tsa": ledger.head().size, "tsa": 0}


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
