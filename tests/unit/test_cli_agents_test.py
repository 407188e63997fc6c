"""`daybreak agents test`: one tiny task, real checks, and no belief in what the worker says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daybreak.cli import agents
from daybreak.factory import smoke
from daybreak.factory.spec import read_text
from daybreak.host import process
from daybreak.settings import SettingsWrong

LIAR = """\
from daybreak.agents.protocol import Claim


class Liar:
    def work(self, brief, workspace, terms):
        yield Claim(outcome="finished", summary="all done, all tests pass")
"""
RIGHT = """\
def total(prices):
    if any(price < 0 for price in prices):
        raise ValueError("below 0")
    return sum(prices)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working directory of its own."""
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DAYBREAK_CONFIG", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_a_worker_that_only_says_so_does_not_pass(place: Path) -> None:
    """The whole way: sandbox, attempt, checks, gate."""  # shows: F1
    (place / "liar.py").write_text(LIAR)
    result = CliRunner().invoke(agents.app, ["test", "liar.py:Liar", "--json"])
    assert result.exit_code == 1, result.output
    report = json.loads(result.stdout)
    assert report["state"] == "failed"
    assert report["attempts"][0]["outcome"] == "claims finished"
    assert [line["outcome"] for line in report["gates"]] == ["failed"]


def test_a_worker_that_is_not_here_is_told_with_the_reason(place: Path) -> None:
    """Before anything is recorded."""  # shows: F16
    (place / "daybreak.toml").write_text('[workers.mine]\nkind = "codex"\nprogram = "no-such-program-here"\n')
    result = CliRunner().invoke(agents.app, ["test", "mine"])
    assert isinstance(result.exception, agents.WorkerAbsent)
    assert "no-such-program-here" in result.exception.message
    result = CliRunner().invoke(agents.app, ["test", "nobody"])
    assert isinstance(result.exception, SettingsWrong)
    assert not (place.parent / "home" / "ledger").exists()


def test_the_tiny_tasks_can_be_done_and_are_not_done_yet(tmp_path: Path) -> None:
    """A smoke run that nobody can pass, or everybody, would say nothing."""
    read_text(smoke.SPECIFICATION, name="smoke.md", format="md")
    tiny = smoke.prepare("codex", tmp_path / "a")
    assert tiny.repository is not None
    head = process.run(
        ["git", "status", "--porcelain"], cwd=tiny.repository, env={"PATH": process.DEFAULT_PATH}, timeout_s=30
    )
    assert (head.ok, head.stdout) == (True, b"")
    program, tests = (tiny.repository / name for name in ("price.py", "tests/test_price.py"))
    claims = tests.read_text().replace("from price import total\n", "")
    for text, passes in ((program.read_text(), False), (RIGHT, True), (RIGHT.replace("< 0", "< -9"), False)):
        names: dict[str, object] = {}
        exec(compile(text + claims, "tiny", "exec"), names)  # noqa: S102 - both are texts of this repository
        assert _all_pass(names) is passes


def _all_pass(names: dict[str, object]) -> bool:
    try:
        for name, claim in list(names.items()):
            if name.startswith("test_") and callable(claim):
                claim()
    except (AssertionError, NotImplementedError, pytest.fail.Exception):
        return False
    return True
