"""Ledgers that earlier versions wrote still verify, still tell their story, and still resume."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HISTORIES = sorted(folder for folder in Path(__file__).parent.iterdir() if (folder / "ledger").is_dir())
DELIVERIES = Path("/tmp/daybreak-history")
"""Where the recorded tasks deliver to; a further history gets a folder of its own."""
Cli = Callable[..., Any]


@pytest.fixture(params=HISTORIES, ids=lambda folder: folder.name)
def cli(request: pytest.FixtureRequest, tmp_path: Path) -> Cli:
    """The command line on a copy of a history; gives what it printed as JSON."""
    home = shutil.copytree(request.param, tmp_path / "home")
    for path in home.rglob("*"):  # version control keeps no such modes
        path.chmod(0o700 if path.is_dir() else 0o600)

    def run(*arguments: str, status: int = 0) -> Any:
        ran = subprocess.run(
            [sys.executable, "-m", "daybreak", *arguments, "--json"],
            env={**os.environ, "DAYBREAK_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert ran.returncode == status, ran.stdout + ran.stderr
        return json.loads(ran.stdout)

    return run


@pytest.fixture
def deliveries() -> Iterator[Path]:
    DELIVERIES.mkdir()
    yield DELIVERIES
    shutil.rmtree(DELIVERIES)


def steps(records: Any) -> list[str]:
    return [record["payload"]["name"] for record in records if record["type"] == "step.done"]


def test_an_old_ledger_verifies_and_its_runs_are_reported(cli: Cli) -> None:
    """Nothing that was written is misread by what came later."""
    # shows: N4 N13
    assert cli("ledger", "verify")["ok"]
    runs = cli("runs")
    assert {run["state"] for run in runs} == {"done", "verifying"}
    for run in runs:
        report = cli("report", run["run"])
        assert report["title"] == "Todo"


def test_an_interrupted_run_of_an_old_ledger_goes_on_without_repeating_a_step(cli: Cli, deliveries: Path) -> None:
    """What was recorded stays as it was, is not done again, and the rest is done by today's code."""
    # shows: N1 N13
    (interrupted,) = (run["run"] for run in cli("runs") if run["state"] == "verifying")
    before = cli("ledger", "show", interrupted)
    assert len(steps(before)) > 8, "the history was interrupted too early to show anything"
    assert cli("resume", interrupted)["state"] == "done"
    after = cli("ledger", "show", interrupted)
    assert after[: len(before)] == before
    ours = [name for name in steps(after) if not name.startswith("ctx.")]
    assert len(ours) == len(set(ours)), "a step was done twice"
    assert (deliveries / "second" / "daybreak.manifest.json").is_file()
    assert cli("ledger", "verify")["ok"]
