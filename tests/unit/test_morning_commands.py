"""`daybreak report` and `daybreak report check`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.morning_scene import Scene
from typer.testing import CliRunner

from daybreak.cli.arguments import ArgumentWrong
from daybreak.cli.main import app
from daybreak.cli.report import AddressWrong, PageTaken
from daybreak.home.moments import MomentWrong
from daybreak.ledger.proofcheck import ProofByAnother
from daybreak.report.morning.checking import ReportChanged


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    made = Scene(tmp_path_factory.mktemp("commands"))
    with made.ledger() as ledger:
        made.whole(ledger)
    return made


@pytest.fixture
def say(scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("DAYBREAK_HOME", str(scene.base / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str, status: int = 0) -> str:
        found = CliRunner().invoke(app, ["report", *words], catch_exceptions=True)
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        assert found.exit_code == status, found.output
        return found.stdout

    return run


def test_report_alone_with_a_night_with_a_run_and_check_are_all_understood(say: Any) -> None:
    night = json.loads(say("--night", "--json"))
    assert (night["format"], night["state"], night["night"]) == ("daybreak-morning/1", "ended", "night-1")
    run = night["verified"][0]["run"]
    assert json.loads(say(run, "--json"))["run"] == run
    assert "Verified" in say("--night", "night-1")
    assert say("--night", "--markdown").startswith("# Night of 2026-03-01")
    assert json.loads(say("--json"))["night"] == ""  # that night is long over: the last day
    assert json.loads(say("--since", "2026-03-01T20:00Z", "--json"))["runs"] == 7
    assert "check" in say("--help")


def test_a_page_is_made_checked_and_only_written_over_a_page(say: Any, tmp_path: Path) -> None:
    say("--night", "--html", "m.html")
    assert "true, word for word" in say("check", "m.html")
    told = json.loads(say("check", "m.html", "--json"))
    assert (told["ok"], told["key_from"], told["report"]["night"]) == (True, "home", "night-1")
    say("--night", "--html", "m.html", "--address", "http://127.0.0.1:8765")
    assert 'href="http://127.0.0.1:8765/runs/run-' in (tmp_path / "m.html").read_text()
    (tmp_path / "diary").write_text("mine")
    with pytest.raises(PageTaken):
        say("--night", "--html", "diary")
    assert (tmp_path / "diary").read_text() == "mine"
    say("--night", "--html", "diary", "--force")
    changed = (tmp_path / "m.html").read_text().replace("JSON or YAML?", "YAML or JSON?", 1)
    (tmp_path / "m.html").write_text(changed)
    with pytest.raises(ReportChanged):
        say("check", "m.html")


def test_a_page_is_checked_where_there_is_no_home(
    say: Any, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("--night", "--html", "m.html")
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "nobody"))
    told = json.loads(say("check", "m.html", "--json", status=3))
    assert (told["ok"], told["key_from"]) == (False, "page")
    text = say("check", "m.html", status=3)
    assert "WHO MADE IT IS NOT SHOWN" in text
    assert "true" not in text.splitlines()[0]
    with pytest.raises(ArgumentWrong, match="known ledger"):
        say("check", "m.html", "--rerun")
    key = tmp_path / "k.vkey"
    key.write_text(next((scene.base / "home").rglob("ledger.vkey")).read_text())
    assert json.loads(say("check", "m.html", "--json", "--key", "k.vkey"))["ok"] is True
    assert not (tmp_path / "nobody").exists()


def test_a_check_says_what_it_does_not_show(say: Any) -> None:
    # shows: N10
    say("--night", "--html", "m.html")
    told = " ".join(json.loads(say("check", "m.html", "--json"))["not_shown"])
    for what in ("no other history", "payloads stay with the ledger", "what happened after", "--rerun looks"):
        assert what in told


def test_who_forges_a_whole_page_under_a_key_of_his_own_is_not_called_true(
    say: Any, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With this home's key it is another log's; with none it is nobody's."""
    other = Scene(tmp_path / "forger")
    with other.ledger() as ledger:
        other.whole(ledger)
    monkeypatch.setenv("DAYBREAK_HOME", str(other.base / "home"))
    say("--night", "--html", "forged.html")
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "nobody"))
    say("check", "forged.html", status=3)
    monkeypatch.setenv("DAYBREAK_HOME", str(scene.base / "home"))
    with pytest.raises(ProofByAnother):
        say("check", "forged.html")


def test_rerun_says_that_what_was_delivered_is_gone(say: Any) -> None:
    say("--night", "--html", "m.html")
    assert "NOT as it was delivered: it is not there" in say("check", "m.html", "--rerun", status=1)


def test_words_that_do_not_fit_are_refused(say: Any) -> None:
    for words in (("--night", "--since", "22:00"), ("--json", "--markdown"), ("run-1", "--since", "1h"), ("--force",)):
        with pytest.raises(ArgumentWrong):
            say(*words)
    for address in ("javascript:alert(1)", "ftp://x", "http://a b"):
        with pytest.raises(AddressWrong):
            say("--html", "m.html", "--address", address)
    for moment in ("tomorrow", "+3h", "2999-01-01"):
        with pytest.raises(MomentWrong):
            say("--since", moment)
