"""`daybreak ledger keys`: list, export, rotate and revoke from the command line."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.unit import ledger_home as shelf
from tests.unit.ledger_commands import good, refused, run
from typer.main import get_command

from daybreak.errors import DaybreakError, KeyMissing, LedgerMissing
from daybreak.ledger import Verifier, keyfile
from daybreak.ledger.keyring import KeyHistory
from daybreak.ledger.proofcheck import ProofByEndedKey
from daybreak.ledger.rotation import RevocationRefused

COMMAND = cache(get_command)
"""The command line, built once: building it takes longer than what is run here."""
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "keys.md"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A ledger of 21 events at DAYBREAK_HOME; its first public key lies in the working directory."""
    home = shelf.Home(tmp_path / "home")
    home.fill(20)
    work = tmp_path / "work"
    work.mkdir()
    (work / "first.vkey").write_bytes((home.keys / "ledger.vkey").read_bytes())
    (work / "old.head").write_bytes((home.witness / "head").read_bytes())
    monkeypatch.setattr("typer.testing._get_command", COMMAND)
    monkeypatch.setenv("DAYBREAK_HOME", str(home.root))
    monkeypatch.chdir(work)
    return home


def test_a_key_is_rotated_listed_revoked_and_handed_out(home: Any) -> None:
    """Each command says what is so afterwards, to people and to programs."""
    # shows: N9
    first = keyfile.load(home.keys).verifier.key_id
    assert f"{first}  heads of 0 to now events" in good("keys", "list")
    said = good("keys", "rotate", "--why", "a year is over")
    assert "overwritten and removed" in said
    second = keyfile.load(home.keys).verifier.key_id
    assert f"the key {second} signs from event 21 on" in said
    told = json.loads(good("keys", "rotate", "--keep-old", "--json"))
    assert (told["type"], told["event"]) == ("key.rotated", 22)
    assert [(key["from"], key["to"]) for key in told["keys"]] == [(0, 21), (22, 22), (23, None)]
    assert (home.keys / f"old-{second}.key").exists()
    assert "REVOKED beyond 7: lost" in good("keys", "revoke", first[:5], "--at", "7", "--reason", "lost")
    told = json.loads(good("keys", "list", "--json"))
    assert [key["revoked"] for key in told["keys"]] == [7, None, None]
    assert [Verifier.parse(line).key_id for line in good("keys", "export").split()] == [
        key["id"] for key in told["keys"]
    ]
    good("keys", "export", "--json", "--output", "keys.json")
    assert KeyHistory.parse(Path("keys.json").read_text()).revocations[0].why == "lost"
    assert "is there already" in refused(DaybreakError, "keys", "export", "--output", "keys.json").message
    assert json.loads(good("verify", "--json"))["ok"]


def test_a_proof_is_checked_with_the_first_key_and_with_the_list(home: Any) -> None:
    """Offline, wherever the home is; the list also refuses what a revoked key signed too much."""
    # shows: N3
    good("prove", "3", "--output", "before.proof")
    good("keys", "rotate")
    good("prove", "3", "--output", "after.proof")
    good("prove", "3", "--at", "old.head", "--output", "at.proof")
    good("keys", "revoke", keyfile.KeyHistory.parse((home.keys / "ledger.keys").read_text()).first, "--reason", "lost")
    good("keys", "revoke", Verifier.parse(Path("first.vkey").read_text()).key_id, "--at", "9", "--reason", "stolen")
    good("keys", "export", "--json", "--output", "keys.json")
    now = (home.keys / "ledger.vkey").read_text().strip()
    for key in ("first.vkey", now, "keys.json"):
        assert "true, signed by" in good("check", "after.proof", "--key", key)
    for proof in ("before.proof", "at.proof"):
        assert "true, signed by" in good("check", proof, "--key", "first.vkey")
        assert (
            "revoked from 9 events on (stolen)"
            in refused(ProofByEndedKey, "check", proof, "--key", "keys.json").message
        )


def test_what_cannot_be_is_said(home: Any) -> None:
    """No ledger, no key, a key that cannot be revoked, no reason; and nothing was changed."""
    # shows: N9
    assert (
        "signs now"
        in refused(
            RevocationRefused, "keys", "revoke", keyfile.load(home.keys).verifier.key_id, "--reason", "lost"
        ).message
    )
    assert run("keys", "revoke", "00000000").exit_code == 2, "the reason is asked for"
    (home.keys / "ledger.key").rename("away")
    refused(KeyMissing, "keys", "rotate")
    assert "heads of 0 to now" in good("keys", "list"), "that needs no secret"
    os.environ["DAYBREAK_HOME"] = str(home.root.with_name("nowhere"))
    for words in (("list",), ("export",), ("rotate",), ("revoke", "00000000", "--reason", "lost")):
        refused(LedgerMissing, "keys", *words)
    assert not home.root.with_name("nowhere").exists()


def test_the_page_on_keys_says_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its program runs, its options exist, its links lead somewhere."""
    os.mkdir("empty")
    monkeypatch.chdir("empty")
    text = PAGE.read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})  # noqa: S102 - our own page
    helps = "".join(run("keys", name, "--help").stdout for name in ("list", "export", "rotate", "revoke"))
    helps += run("check", "--help").stdout
    for option in set(re.findall(r"--[a-z]+(?:-[a-z]+)*", text)):
        assert option in helps
    for link in re.findall(r"\]\((?!https)([^)#]+)", text):
        assert (PAGE.parent / link).is_file(), link
