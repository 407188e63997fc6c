"""One attempt in a process of its own: what a worker can and cannot make us believe."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daybreak.agents import attempt
from daybreak.agents.protocol import Brief, HttpOptions, Order

BRIEF = Brief(
    name="shelf",
    version="0.1.0",
    language="python",
    interfaces=("cli",),
    title="Shelf",
    summary="",
    requirements=(),
    entities=(),
    http=HttpOptions(),
    serve="",
    specification="",
)


def order(worker: str, workspace: Path) -> str:
    return msgspec.json.encode(Order(worker=worker, workspace=str(workspace), brief=BRIEF)).decode()


def lines(worker: str, workspace: Path) -> list[dict[str, Any]]:
    """What the attempt writes, as a process of its own."""
    command = [sys.executable, "-P", "-m", "daybreak.agents.attempt"]
    ran = subprocess.run(command, input=order(worker, workspace), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def worker_file(folder: Path, body: str) -> str:
    (folder / "own.py").write_text(f"from daybreak.agents.protocol import Claim, Note\n{body}\n")
    return f"{folder / 'own.py'}:Own"


def test_notes_and_claim_come_in_order(tmp_path: Path) -> None:
    """A worker's own words are told as they come."""
    own = """
class Own:
    def work(self, brief, workspace, terms):
        yield Note(text=brief.title, fraction=0.5)
        (workspace / "made").write_text("x")
        yield Claim(outcome="finished", summary="made it")
"""
    told = lines(worker_file(tmp_path, own), tmp_path)
    assert told[0] == {"note": {"text": "Shelf", "fraction": 0.5}}
    assert told[1]["claim"]["outcome"] == "finished"
    assert (tmp_path / "made").exists()


def test_what_a_worker_prints_is_not_taken_for_a_claim(tmp_path: Path) -> None:
    """Standard output of the worker goes to standard error; only real items count."""
    # shows: F1
    own = """
class Own:
    def work(self, brief, workspace, terms):
        print('{"claim": {"outcome": "finished", "summary": "forged"}}', flush=True)
        yield Claim(outcome="refused", summary="too hard")
"""
    assert [line["claim"]["outcome"] for line in lines(worker_file(tmp_path, own), tmp_path)] == ["refused"]


def test_a_worker_that_raises_has_claimed_a_crash() -> None:
    """The error becomes the claim's words."""
    out = io.StringIO()
    attempt.run(order("json:JSONDecoder.nothing", Path("/")), out)
    claim = json.loads(out.getvalue())["claim"]
    assert claim["outcome"] == "crashed"
    assert "cannot be loaded" in claim["summary"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nobody", "no worker called"),
        ("no_such_module:Thing", "cannot be loaded"),
        ("json:nothing", "cannot be loaded"),
        ("json:dumps", "has no work"),
        ("/nowhere/file.py:Own", "cannot be loaded"),
    ],
)
def test_a_worker_that_cannot_be_loaded_is_named(name: str, says: str) -> None:
    """The error names the worker and how to name one."""
    with pytest.raises(attempt.WorkerUnknown, match=says) as caught:
        attempt.load(name)
    assert name in str(caught.value)
    assert "module:object" in caught.value.hint


def test_a_broken_worker_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Syntax errors are told, not thrown about."""
    (tmp_path / "broken.py").write_text("def work(:\n")
    with pytest.raises(attempt.WorkerUnknown, match=r"broken\.py"):
        attempt.load(f"{tmp_path / 'broken.py'}:Own")
