"""`daybreak rehearse` through the front door, and the page that says how to use it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from markdown_it import MarkdownIt
from tests import starter
from typer.testing import CliRunner

from daybreak.cli import rehearse, schedule
from daybreak.cli.arguments import ArgumentWrong
from daybreak.cli.queue import MomentWrong
from daybreak.engine.experience import AssumptionWrong, NothingKnown
from daybreak.engine.rehearsal import RehearsalWrong
from daybreak.policy.amounts import AmountsUnclear

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "how-to" / "rehearse.md"
TASK = """\
title = "{title}"
[[step]]
run = "echo 3 > {title}.txt"
[[check]]
file = "{title}.txt"
"""


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


Cli = _module("daybreak_cli").Cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real command line; `run` of this process has the same home."""
    folder = tmp_path / "work"
    folder.mkdir()
    made = Cli(folder)
    monkeypatch.setenv("DAYBREAK_HOME", str(made.home))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(folder)
    for title in ("count", "sort"):
        (folder / f"{title}.toml").write_text(TASK.format(title=title))
    return made


def run(*words: str) -> str:
    """Standard output. Raises what the command raised."""
    app = typer.Typer()
    app.command()(rehearse.rehearse)
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def test_it_foresees_the_night_from_what_has_been(cli: Any) -> None:
    """A run that ended is what the next ones are drawn from; the log is as long as before."""
    # shows: N20
    cli("add", "count.toml")
    assert cli("resume").status == 0
    for _ in range(3):
        cli("add", "count.toml")
    size = len(cli("ledger", "show", "--json").json())
    told = run_json("--for", "8h", "--workers", "2", "--nights", "30", "--budget", "5usd")
    assert (told["runs"], told["nights"], told["workers"], told["in_time"]) == (3, 30, 2, 1.0)
    assert told["at_end"] == {"done": {"p10": 3, "p50": 3, "p90": 3}}
    assert 0 < told["finish_s"]["p50"] < 600
    assert {(one["drawn_from"], one["observations"]) for one in told["tasks"]} == {("title", 1)}
    text = run("--for", "8h", "--workers", "2")
    assert "1 observation: rather a guess" in text
    assert "last worker idle" in text
    assert len(cli("ledger", "show", "--json").json()) == size


def test_without_history_it_asks_for_an_assumption(cli: Any) -> None:
    """And takes it."""
    # shows: N20
    cli("add", "count.toml")
    with pytest.raises(NothingKnown):
        run()
    told = run_json("--assume", "command=10min±50%,0.5usd,fail 10%", "--nights", "200", "--seed", "7")
    assert 300 <= told["finish_s"]["p10"] <= told["finish_s"]["p50"] <= told["finish_s"]["p90"] <= 900
    assert told["cost_usd"]["p50"] == 0.5
    again = run_json("--assume", "command=10min±50%,0.5usd,fail 10%", "--nights", "200", "--seed", "7")
    assert again["finishes_s"] == told["finishes_s"]


def test_an_empty_home_stays_empty(cli: Any) -> None:
    """A rehearsal makes no ledger where there is none."""
    assert run_json() == {"runs": 0}
    assert not cli.home.exists()


def test_windows_of_schedules_are_in_it(cli: Any) -> None:
    """As long as the night has an end."""
    # shows: N20 N6
    result = CliRunner().invoke(schedule.app, ["add", "count", "--cron", "*/20 * * * *", "--", "count.toml"])
    assert result.exit_code == 0, result.output
    told = run_json("--for", "8h", "--assume", "command=1min", "--nights", "25")
    assert told["windows"]["p50"] == 24
    assert run_json("--assume", "command=1min") == {"runs": 0}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--until", "07:00", "--for", "8h"], ArgumentWrong),
        (["--until", "noon"], MomentWrong),
        (["--for", "2usd"], ArgumentWrong),
        (["--for", "8"], AmountsUnclear),
        (["--for", "0s"], RehearsalWrong),
        (["--for", "40d"], RehearsalWrong),
        (["--budget", "20"], AmountsUnclear),
        (["--assume", "command"], AssumptionWrong),
        (["--assume", "command=1min", "--assume", "command=2min"], AssumptionWrong),
        (["--nights", "0"], ArgumentWrong),
        (["--workers", "1_0"], ArgumentWrong),
        (["--seed", "-1"], ArgumentWrong),
    ],
)
def test_what_cannot_be_is_refused_with_a_hint(cli: Any, words: list[str], error: type[Exception]) -> None:
    """Before anything is played."""
    cli("add", "count.toml")
    with pytest.raises(error) as caught:
        run(*words)
    assert getattr(caught.value, "hint", "")


def test_the_page_does_what_it_says(cli: Any, tmp_path: Path) -> None:
    """Its commands run in order and print what stands there, `...` aside."""
    # shows: N20
    environment = {**cli.environment(), "PATH": f"{starter.programs(tmp_path / 'bin')}:{os.environ['PATH']}"}
    blocks = [one.content for one in MarkdownIt().parse(PAGE.read_text("utf-8")) if one.type == "fence"]
    ran = 0
    for text in blocks:
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            done = subprocess.run(
                ["sh", "-c", f"{{ {command}; }} 2>&1"],
                cwd=cli.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            wanted = ".*?".join(re.escape(piece) for piece in expected.strip().split("..."))
            assert re.fullmatch(wanted, done.stdout.strip(), re.DOTALL), f"$ {command}\n{done.stdout}"
            ran += 1
    assert ran >= 3
