"""Installed orchestrators are asked by themselves, unless somebody wrote an order."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.agents import outside
from daybreak.factory import roster
from daybreak.settings import Settings


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A distribution in a folder of its own, on the search path."""
    info = tmp_path / "night_crew-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: night-crew\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[daybreak.orchestrators]\nnight-crew = night_crew:work\n")
    (tmp_path / "night_crew.py").write_text("def work(brief, workspace):\n    return 'done'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "night-crew"


def test_an_installed_orchestrator_goes_before_the_builder_and_the_mode_is_integrated(plugin: str) -> None:
    """Nobody has to configure it."""
    # shows: F8, F9
    settings = roster.with_plugins(Settings())
    assert settings.order == (plugin, "builder")
    assert settings.worker(plugin).kind == "outside"
    assert outside.mode(settings, {}).name == "integrated"


def test_a_written_order_is_left_alone(plugin: str) -> None:
    """Whoever wrote one knows why."""
    # shows: F9
    settings = Settings.model_validate({"order": ["builder"]})
    assert roster.with_plugins(settings) is settings
    assert outside.mode(settings, {}).name == "standalone"


def test_a_broken_one_is_named_and_passed_over(plugin: str, tmp_path: Path) -> None:
    """The cascade goes on without it."""
    # shows: F9
    from daybreak.agents import found

    (tmp_path / "night_crew.py").write_text("def work(:\n")
    settings = roster.with_plugins(Settings())
    seen = found.find(plugin, settings.worker(plugin), settings, {})
    assert "night_crew" in seen.missing
    mode = outside.mode(settings, {})
    assert (mode.name, plugin in mode.why) == ("standalone", True)
