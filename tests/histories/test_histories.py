"""Ledgers that earlier versions wrote still verify, still tell their story, and still resume."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import starter

HISTORIES = sorted(folder for folder in Path(__file__).parent.iterdir() if (folder / "ledger").is_dir())
DELIVERIES = Path("/tmp/daybreak-history")
"""Where the recorded tasks deliver to; a further history gets a folder of its own."""
Cli = Callable[..., Any]


@pytest.fixture(params=HISTORIES, ids=lambda folder: folder.name)
def cli(request: pytest.FixtureRequest, tmp_path: Path, types_cache: Path) -> Cli:
    """The command line on a copy of a history; gives what it printed as JSON."""
    home = shutil.copytree(request.param, tmp_path / "home")
    for path in home.rglob("*"):  # version control keeps no such modes
        path.chmod(0o700 if path.is_dir() else 0o600)
    (home / "cache").mkdir()
    (home / "cache" / "types").symlink_to(types_cache)

    def run(*arguments: str, status: int = 0) -> Any:
        words = ["-m", "daybreak", *arguments, "--json"]
        environment = {**os.environ, "DAYBREAK_HOME": str(home)}
        ended, out, err = starter.run(words, folder=tmp_path, environment=environment, timeout_s=240)
        assert ended == status, out + err
        return json.loads(out)

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
