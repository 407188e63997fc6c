"""`daybreak metrics`: tables for people, documents for programs, and clear words for what cannot be."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from daybreak import home
from daybreak.cli.main import app
from daybreak.errors import UsageError
from daybreak.events import POLICY, AttemptJudged
from daybreak.ledger import Draft

RED = "\x1b[31mred"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAYBREAK_CONFIG", str(tmp_path / "daybreak.toml"))
    (tmp_path / "daybreak.toml").write_text('[metrics]\ndays = 3\n[alerts.busy]\nmetric = "attempts"\nabove = 1\n')
    judged = AttemptJudged(run="run-1", attempt=1, worker=RED, task="t", solved=True, duration_ms=90_000)
    with home.open_ledger() as ledger:
        ledger.append([Draft(POLICY, judged)] * 2)


def typed(*words: str) -> Any:
    return CliRunner().invoke(app, ["metrics", *words], catch_exceptions=True)


def test_the_table_tells_what_happened_and_steers_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With pictures and without; a worker's name shows as what it is."""
    # shows: N10
    for plain in (False, True):
        if plain:
            monkeypatch.setenv("NO_COLOR", "1")
        told = typed("show")
        assert told.exit_code == 0, told.output
        assert "\x1b" not in told.output
        assert r"\x1b[31mred" in told.output
        assert ("█" in told.output) is not plain
    assert len(json.loads(typed("show", "--json").output)["trends"]["days"]) == 3


def test_every_format_goes_to_the_screen_or_whole_into_a_file(tmp_path: Path) -> None:
    """The same bytes but for the moment; and Prometheus reads its own."""
    # shows: N10
    for name in ("json", "csv", "prometheus"):
        file = tmp_path / name
        assert typed("export", "--format", name, "-o", str(file)).exit_code == 0
        text = file.read_text("utf-8")
        assert text
        if name == "prometheus":
            assert text == typed("export", "--format", name).output
            found = {one.name: one for one in text_string_to_metric_families(text)}
            assert found["daybreak_attempts"].samples[0].value == 2
            assert found["daybreak_ledger_events"].samples[0].value >= 3


def test_alerts_are_shown_with_what_they_see() -> None:
    """Looking fires nothing."""
    (one,) = json.loads(typed("alerts", "--json").output)
    assert (one["alert"], one["state"], one["value"], one["holds"]) == ("busy", "clear", 2.0, True)
    assert "attempts is 2 over 24h; told when above 1" in typed("alerts").output


def test_an_alert_whose_settings_are_gone_is_shown_and_a_person_can_clear_it() -> None:
    """Of a project that was deleted: nobody else can know that its rule is no more."""
    from daybreak.clock import SystemClock
    from daybreak.report.alerts import Rules, Watch
    from daybreak.settings import Alert

    rule = {"old": Alert.model_validate({"metric": "attempts", "above": 1})}
    with home.open_ledger() as ledger:
        assert len(Watch(ledger, SystemClock(), Rules(rule, f"/gone/{RED}.toml")).look()) == 1
    told = typed("alerts")
    assert "old  firing" in told.output
    assert "\x1b" not in told.output
    assert [one["state"] for one in json.loads(typed("alerts", "--clear", "old", "--json").output)] == ["clear"]
    for name in ("old", "busy"):
        assert isinstance(typed("alerts", "--clear", name).exception, UsageError)


def test_beside_a_server_alerts_are_looked_at_and_rules_read_anew(tmp_path: Path) -> None:
    """A thread of its own looks at once; settings that cannot be used clear nothing."""
    from daybreak.clock import SystemClock
    from daybreak.home import alerting
    from daybreak.report.alerts import Watch, standing

    with home.opened() as opened:
        heard = threading.Event()
        opened.ledger.subscribe(lambda records: heard.set())
        with alerting.beside(opened):
            assert heard.wait(60)
        (fired,) = standing(opened.ledger)
        assert (fired.alert, fired.state, fired.rules) == ("busy", "firing", str(tmp_path / "daybreak.toml"))
        watch = Watch(opened.ledger, SystemClock(), alerting.rules)
        (tmp_path / "daybreak.toml").write_text("[alerts.busy\n")
        assert watch.look(now=True) == []
        (tmp_path / "daybreak.toml").write_text("")
        assert len(watch.look(now=True)) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("export", "--format", "xml"),
        ("export", "--format", "prometheus", "--days", "3"),
        ("export", "-o", "/nowhere/at/all.csv"),
        ("show", "--days", "0"),
        ("show", "--days", "１"),
    ],
)
def test_what_cannot_be_is_refused(words: tuple[str, ...]) -> None:
    """With words that say what can."""
    told = typed(*words)
    assert isinstance(told.exception, UsageError)
    assert told.exception.hint
