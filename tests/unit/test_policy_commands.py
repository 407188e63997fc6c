"""`daybreak token` and `daybreak incidents`: the same guarantees from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from daybreak.cli import incidents, token
from daybreak.errors import DaybreakError
from daybreak.policy import capability

MINT = ["mint", "--run", "run-1", "--attempt", "2", "--tier", "work", "--program", "*", "--for", "10m"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own for each test."""
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def run(app: typer.Typer, *words: str, given: str = "") -> str:
    """Standard output. Raises what the command raised."""
    result = CliRunner().invoke(app, list(words), input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_token_is_minted_shown_and_revoked(tmp_path: Path) -> None:
    """The life of one, with JSON all the way."""
    # shows: N9
    minted = json.loads(run(token.app, *MINT, "--workspace", str(tmp_path), "--json"))
    assert minted["token"].startswith(capability.PREFIX)
    assert minted["allows"] == {"read": [str(tmp_path)], "write": [str(tmp_path)], "run": ["*"]}
    shown = json.loads(run(token.app, "show", "-", "--json", given=f"{minted['token']}\n"))
    assert (shown["run"], shown["attempt"], shown["revoked"]) == ("run-1", 2, False)
    run(token.app, "revoke", minted["label"], "--why", "enough")
    shown = json.loads(run(token.app, "show", minted["token"], "--json"))
    assert (shown["revoked"], shown["why"]) == (True, "enough")
    [row] = json.loads(run(token.app, "show", "--json"))
    assert row["revoked"]
    assert "revoked" in run(token.app, "show")


def test_for_people_the_token_alone_is_on_standard_output() -> None:
    """So that it can be piped; what it is goes to standard error."""
    lines = run(token.app, *MINT).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(capability.PREFIX)
    told = run(token.app, "show", "-", given=lines[0])
    assert "run-1" in told
    assert lines[0][10:60] not in told


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["mint", "--run", "run-1", "--tier", "nonsense"], "P111"),
        (["mint", "--run", "run-1", "--tier", "look", "--host", "a.example"], "P111"),
        (["mint", "--run", "run-1", "--tier", "fetch", "--host", "a.exаmple"], "P111"),
        (["mint", "--run", "run-1", "--tier", "look", "--for", "99h"], "P111"),
        (["mint", "--run", "run-1", "--for", "soon"], "U141"),
        (["mint", "--run", "run-1", "--for", "３０m"], "U141"),
        (["mint", "--run", 'x"); may('], "P111"),
        (["show", "dbt1.garbage"], "P102"),
        (["show", "-"], "U142"),
        (["show", "garbage"], "U142"),
        (["revoke", "tok-unknown"], "P115"),
    ],
)
def test_what_is_wrong_is_said_with_a_code_and_a_hint(words: list[str], code: str) -> None:
    """Never a traceback from the depths."""
    # shows: P8
    with pytest.raises(DaybreakError) as caught:
        run(token.app, *words)
    assert caught.value.code == code
    assert caught.value.hint


def test_incidents_are_listed_and_closed() -> None:
    """The worst first; closing one takes a reason."""
    # shows: N9
    assert json.loads(run(incidents.app, "list", "--json")) == []
    with incidents.opened() as journal:
        journal.raise_incident("capability_refused", "read /etc/hosts", run="run-1", attempt=1)
        journal.raise_incident("ledger_tampered", "event 7")
    rows = json.loads(run(incidents.app, "list", "--open", "--json"))
    assert [row["level"] for row in rows] == [3, 1]
    assert "level 3" in run(incidents.app, "list")
    run(incidents.app, "close", rows[0]["incident"], "--why", "a test of ours")
    assert [row["level"] for row in json.loads(run(incidents.app, "list", "--open", "--json"))] == [1]
    with pytest.raises(DaybreakError):
        run(incidents.app, "close", rows[0]["incident"], "--why", "again")
