"""Workers all the way: the real sandbox, the gateway, real clients, a scripted server of models, checks that decide."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daybreak import events, home
from daybreak.events import POLICY, run_stream
from daybreak.testing import ModelServer
from daybreak.testing.modelserver import Call, Request, Say, Unauthorized

KEY = "sk-never-to-be-seen-0123456789"
RIGHT = "def add(one, other):\n    return one + other\n"
SETTINGS = """\
order = ["away", "broken", "local"]

[providers.fake]
api = "{api}"
address = "{address}"
key = "env:FAKE_KEY"
[providers.fake.prices."*"]
input = 10.0
output = 100.0

[providers.closed]
api = "openai"
address = "{closed}"

[workers.away]
kind = "codex"
program = "codex-that-nobody-has-installed"
provider = "fake"
[workers.broken]
kind = "model"
provider = "closed"
model = "nothing"
[workers.local]
kind = "model"
provider = "fake"
model = "fake-1"
"""
WORK = [
    Call("read_file", {"path": "calc.py"}),
    Call("write_file", {"path": "calc.py", "text": RIGHT}),
    Call("check", {}),
    Call("done", {"summary": "add adds now"}),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a mistake in it, and an environment that only names the key."""
    repo = tmp_path / "repo"
    (repo / "tests").mkdir(parents=True)
    (repo / "calc.py").write_text("def add(one, other):\n    return one - other\n")
    (repo / "tests" / "test_calc.py").write_text("import calc\n\n\ndef test_add():\n    assert calc.add(2, 3) == 5\n")
    (repo / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "begin"]):
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *words], cwd=repo, check=True)
    for name, value in (
        ("DAYBREAK_HOME", str(tmp_path / "home")),
        ("DAYBREAK_CONFIG", str(tmp_path / "daybreak.toml")),
        ("FAKE_KEY", KEY),
    ):
        monkeypatch.setenv(name, value)
    return tmp_path


def settings(place: Path, api: str, server: ModelServer, closed: ModelServer | None = None) -> None:
    address = (closed or server).url("openai")
    (place / "daybreak.toml").write_text(SETTINGS.format(api=api, address=server.url(api), closed=address))


def add(opened: home.Home, place: Path, *workers: str) -> str:
    from daybreak.factory.repository import task as repositorytask

    asked = repositorytask.asked(
        place / "repo",
        "make add work",
        [f"{sys.executable} -m pytest -q"],
        cwd=place,
        environment=os.environ,
        workers=workers,
        settings=home.settings(),
    )
    return opened.engine.submit(asked.kind, asked.title, asked.args, asked.placement)


def told(opened: home.Home, run: str, kind: type[Any]) -> list[Any]:
    streams = (run_stream(run), POLICY)
    records = [record.event for stream in streams for record in opened.ledger.read(stream)]
    return [event for event in records if isinstance(event, kind)]


def test_whoever_is_missing_or_refused_is_passed_over_and_a_model_mends_it_behind_the_gateway(place: Path) -> None:
    """The key stays outside, the gateway counts, the checks decide, and every step down stands in the ledger."""
    # shows: F1, F8, F16, N8, X6
    with ModelServer(WORK) as server, ModelServer([Unauthorized()]) as closed:
        settings(place, "anthropic", server, closed)
        with home.opened() as opened:
            run = add(opened, place)
            result = asyncio.run(opened.engine.finish(run))
            assert (result.state, result.why) == ("done", "")
            began = told(opened, run, events.AttemptBegan)
            claims = told(opened, run, events.AttemptClaimed)
            called = told(opened, run, events.ModelCalled)
            [delivered] = told(opened, run, events.Delivered)
        budgets = [(one.worker, one.budget) for one in began]
        assert budgets == [("broken", "soft"), ("local", "hard")], "without a price there is no wall"
        assert "codex-that-nobody-has-installed" in began[0].passed_over["away"]
        assert "not authenticated" in began[1].passed_over["broken"]
        assert [(one.worker, one.outcome, one.trouble) for one in claims] == [
            ("broken", "crashed", "authentication"),
            ("local", "finished", ""),
        ]
        used = [one for one in called if one.provider == "fake"]
        assert [one.status for one in used] == [200] * len(WORK)
        assert all(one.money_microusd == 10 * one.input_tokens + 100 * one.output_tokens > 0 for one in used)
        assert {request.key for request in server.requests} == {KEY}
    branch = f"daybreak/{run}"
    shown = subprocess.run(
        ["git", "show", f"{branch}:calc.py"], cwd=place / "repo", check=True, capture_output=True, text=True
    )
    assert shown.stdout == RIGHT
    assert delivered.workspace
    assert not [path for path in (place / "home").rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


_RESUME = "import sys; from daybreak.cli.main import main; sys.argv = ['daybreak', 'resume', sys.argv[1]]; main()"


def test_a_killed_conversation_goes_on_and_nothing_that_was_recorded_is_paid_again(place: Path) -> None:
    """Killed while the third answer is on its way: the first two are never asked for again."""
    # shows: N1, F16
    held: list[Request] = []

    def script(request: Request) -> Any:
        results = len(request.tool_outputs)
        if results == 2 and not held:
            held.append(request)
            owner.kill()  # the answer comes to nobody
        return WORK[results] if results < len(WORK) else Say("done")

    with ModelServer(script) as server:
        settings(place, "openai", server)
        with home.opened() as opened:
            run = add(opened, place, "local")
        words = [sys.executable, "-c", _RESUME, run]
        owner = subprocess.Popen(words, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert owner.wait(60) == -signal.SIGKILL
        again = subprocess.run(words, cwd=place, capture_output=True, text=True, timeout=120, check=False)
        assert again.returncode == 0, again.stderr
        with home.opened() as opened:
            turns = told(opened, run, events.AttemptTurn)
            claims = told(opened, run, events.AttemptClaimed)
        asked = [len(request.tool_outputs) for request in server.requests]
    assert held
    assert asked == [0, 1, 2, 2, 3], "only what was under way is asked for twice"
    assert [(one.outcome, one.attempt) for one in claims] == [("finished", 1)]
    assert [one.nth for one in turns] == list(range(len(turns)))
