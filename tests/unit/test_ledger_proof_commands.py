"""`daybreak ledger prove` and `check`: the same guarantees from the command line, with and without a home."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit import ledger_home as shelf
from typer.testing import CliRunner

from daybreak.cli import faces, main
from daybreak.errors import DaybreakError, LedgerMissing
from daybreak.ledger.bundle import ProofTooLarge, ProofUnreadable
from daybreak.ledger.proof import EventUnknown
from daybreak.ledger.proofcheck import (
    HeadDiffers,
    HeadUnrelated,
    NotContinued,
    NotIncluded,
    ProofByAnother,
    ProofChanged,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A ledger of 41 events at DAYBREAK_HOME; its key and an older head lie in the working directory."""
    home = shelf.Home(tmp_path / "home")
    home.fill(20)
    work = tmp_path / "work"
    work.mkdir()
    (work / "old.head").write_bytes((home.witness / "head").read_bytes())
    home.fill(20, start=20)
    (work / "key").write_bytes((home.keys / "ledger.vkey").read_bytes())
    monkeypatch.setenv("DAYBREAK_HOME", str(home.root))
    monkeypatch.chdir(work)
    return home


def run(*words: str, given: bytes = b"") -> Any:
    """What the command printed. Raises what it raised."""
    result = CliRunner().invoke(main.app, ["ledger", *words], input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_a_proof_is_handed_out_and_checked_by_somebody_else(home: Any) -> None:
    """Written to a file that is ours alone to read, checked, and told for people and for programs."""
    # shows: N3
    told = run("prove", "17", "--output", "event.proof").stdout
    assert "event.proof" in told
    assert Path("event.proof").stat().st_mode & 0o777 == 0o600
    said = run("check", "event.proof", "--key", "key")
    assert "event.proof: true" in said.stdout
    assert "control:1#5" in said.stdout
    assert "5 events of control:1, the whole stream before it" in said.stdout
    assert "--head" in said.stderr
    found = json.loads(
        run("check", "event.proof", "--key", "key", "--head", str(home.witness / "head"), "--json").stdout
    )
    assert (found["ok"], found["heads"], found["checkpoint"]["size"]) == (True, 1, 41)
    (event,) = found["events"]
    assert (event["index"], event["stream"], event["seq"], event["complete"]) == (17, "control:1", 5, True)
    assert event["payload"]["result"] == {"n": 16}
    assert [link["withheld"] for link in event["chain"]] == [True] * 5


def test_a_proof_goes_through_a_pipe(home: Any) -> None:
    """To standard output, byte for byte, and from standard input; the key as text. Talk goes to standard error."""
    key = (home.keys / "ledger.vkey").read_text()
    for words in (["17"], ["17", "--tlog"], ["control:1#5", "--chain", "all", "--payloads"], ["3..9", "40"]):
        made = run("prove", *words)
        assert "true" in run("check", "-", "--key", key, given=made.stdout_bytes).stdout
    assert "of control:1 are not in it" in run("prove", "17", "--chain", "2").stderr
    last = json.loads(run("prove", "3..9").stdout_bytes)
    assert [entry["index"] for entry in last["events"]] == list(range(3, 10))


def test_growth_is_proved_and_checked() -> None:
    """From a checkpoint that was kept to the newest one, and an event in the one that was kept."""
    # shows: N3
    run("prove", "--from", "old.head", "--output", "grown.proof")
    said = run("check", "grown.proof", "--key", "key", "--head", "old.head").stdout
    assert "continues   the checkpoint of 21 events" in said
    assert "agrees      with 1" in said
    run("prove", "5", "--at", "old.head", "--output", "then.proof")
    assert json.loads(run("check", "then.proof", "--key", "key", "--head", "old.head", "--json").stdout)["ok"]
    run("prove", "5", "--output", "now.proof")
    with pytest.raises(HeadUnrelated):
        run("check", "now.proof", "--key", "key", "--head", "old.head")
    with pytest.raises(NotIncluded, match="newer than the checkpoint of 21"):
        run("prove", "30", "--at", "old.head")


def test_nothing_is_overwritten() -> None:
    """A file that is there stays, and a place where none can be is named."""
    Path("mine").write_text("mine")
    for place in ("mine", "nowhere/proof", "."):
        with pytest.raises(DaybreakError) as caught:
            run("prove", "17", "--output", place)
        assert caught.value.code == "U253"
    assert Path("mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["prove"], "U251"),
        (["prove", "17", "--json"], "U251"),
        (["prove", "9..3"], "U251"),
        (["prove", "0..10000"], "U251"),
        (["prove", "17", "--chain", "some"], "U115"),
        (["prove", "17", "--chain", "-1"], "U115"),
        (["prove", "17", "--from", "missing"], "U252"),
        (["prove", "17", "--at", "."], "U252"),
        (["prove", "17", "--from", "key"], ProofUnreadable.code),
        (["prove", "41"], EventUnknown.code),
        (["prove", "0..99"], EventUnknown.code),
        (["prove", "nobody"], EventUnknown.code),
        (["prove", "1", "2", "--tlog"], ProofTooLarge.code),
        (["check", "missing", "--key", "key"], "U252"),
        (["check", ".", "--key", "key"], "U252"),
        (["check", "key", "--key", "missing"], "U252"),
        (["check", "key", "--key", "old.head"], "U252"),
        (["check", "key", "--key", "a+b+c"], "U252"),
        (["check", "key", "--key", ""], "U115"),
        (["check", "key", "--key", "key"], ProofUnreadable.code),
        (["check", "old.head", "--key", "key"], ProofUnreadable.code),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], code: str) -> None:
    """Each with its own error, and no file is made."""
    before = sorted(os.listdir())
    with pytest.raises(DaybreakError) as caught:
        run(*words)
    assert caught.value.code == code
    assert caught.value.hint
    assert sorted(os.listdir()) == before


def test_the_secret_key_is_not_taken_for_the_public_one(home: Any) -> None:
    """Somebody may have been about to hand it out. It is not repeated in the message."""
    run("prove", "17", "--output", "p")
    secret = (home.keys / "ledger.key").read_text()
    for given in (str(home.keys / "ledger.key"), secret):
        with pytest.raises(DaybreakError, match="is the secret one") as caught:
            run("check", "p", "--key", given)
        assert secret.strip().split("+", 4)[4] not in caught.value.message


def test_proving_needs_no_secret_key_and_changes_nothing(home: Any) -> None:
    """An auditor with a copy of the ledger and the public key can prove from it."""
    # shows: N3
    (home.keys / "ledger.key").unlink()
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    run("check", "-", "--key", "key", given=run("prove", "17").stdout_bytes)
    after = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    assert {path: after.get(path) for path in before} == before


def test_payloads_that_are_no_json_are_shown_as_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes as base64, steering signs written out, depth and size no danger."""
    from daybreak.cli import check

    assert check._payload_json(b"\xff") == {"payload_base64": "/w=="}
    assert check._payload_json(b"[" * 100_000)["payload_base64"]
    assert check._payload_json(None) == {"payload": None}
    assert check._shown(b"x" * 5000).endswith("(5,000 bytes; --json shows all)")


def test_checking_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket is opened."""
    data = run("prove", "17").stdout_bytes

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    assert "true" in run("check", "-", "--key", "key", given=data).stdout


def test_checking_needs_no_home(tmp_path: Path) -> None:
    """A real process in an empty place: the file and the key are enough, and nothing is left behind; 0 and 1 say how
    it came out."""
    # shows: N3
    empty = tmp_path / "empty"
    empty.mkdir()
    proof, key = empty / "p", empty / "k"
    run("prove", "17", "--output", str(proof))
    key.write_bytes(Path("key").read_bytes())
    surroundings = {"PATH": os.defpath, "HOME": str(empty / "home")}

    def check(*more: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "daybreak", "ledger", "check", "p", "--key", "k", *more]
        return subprocess.run(words, cwd=empty, env=surroundings, capture_output=True, text=True, check=False)

    good = check("--json")
    assert (good.returncode, json.loads(good.stdout)["ok"]) == (0, True)
    assert sorted(path.name for path in empty.iterdir()) == ["k", "p"]
    proof.write_bytes(proof.read_bytes().replace(b'step\\",\\"nth\\":16', b'step\\",\\"nth\\":17'))
    bad = check("--json")
    assert (bad.returncode, json.loads(bad.stdout)["error"]["code"]) == (1, ProofChanged.code)
    assert sorted(path.name for path in empty.iterdir()) == ["k", "p"]


def test_where_there_is_no_ledger_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that a key is missing; and none of the folders is made."""
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(LedgerMissing):
        run("prove", "0")
    assert not (tmp_path / "nowhere").exists()


def test_a_proof_of_another_log_is_refused(tmp_path: Path) -> None:
    """The key of the wrong log."""
    other = shelf.Home(tmp_path / "other")
    other.fill(1)
    run("prove", "17", "--output", "p")
    with pytest.raises(ProofByAnother, match="is of the log"):
        run("check", "p", "--key", str(other.keys / "ledger.vkey"))


def test_how_far_something_long_is_shows_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only there, and only when it takes longer than a second; what is said afterwards begins a line of its own."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert faces.counter("looked through") is None
    moments = iter([0.0, 0.5, 2.0, 3.0])
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("time.monotonic", lambda: next(moments))
    show = faces.counter("looked through")
    assert show is not None
    show(1000, 2000)
    assert terminal.getvalue() == ""
    show(1500, 2000)
    show(2000, 2000)
    assert terminal.getvalue().split("\r")[1:] == [
        "looked through: 1,500 of 2,000 events",
        "looked through: 2,000 of 2,000 events\n",
    ]


# -- the how-to page

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "prove-an-event.md"


def test_the_python_of_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, in an empty folder."""
    os.mkdir("empty")
    monkeypatch.chdir("empty")
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})  # noqa: S102 - our own page


def test_the_page_names_every_option_and_every_reason() -> None:
    """What it lists is there, and nothing that matters is left out; its links lead somewhere."""
    text = PAGE.read_text()
    help_texts = run("prove", "--help").stdout + run("check", "--help").stdout
    for option in set(re.findall(r"--[a-z]+(?:-[a-z]+)*", text)):
        assert option in help_texts
    for option in set(re.findall(r"--[a-z]+(?:-[a-z]+)*", help_texts)) - {"--help"}:
        assert option in text
    for error in (ProofUnreadable, ProofByAnother, ProofChanged, NotIncluded, NotContinued, HeadDiffers, HeadUnrelated):
        assert f"| {error.code} |" in text
    for link in re.findall(r"\]\((?!https)([^)]+)\)", text):
        assert (PAGE.parent / link).is_file(), link


def test_the_page_on_trust_leads_here() -> None:
    """And says what a proof cannot show."""
    text = (PAGE.parents[1] / "explanation" / "trust.md").read_text()
    assert "(../how-to/prove-an-event.md)" in text
    assert "That there is no second history" in text
