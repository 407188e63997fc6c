"""A worker on a node of a Ray cluster reaches its model through the coordinator, which pays, counts and cuts off."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from daybreak import events, home
from daybreak.agents.gateway import Gateway, Way
from daybreak.events import POLICY, run_stream
from daybreak.testing import ModelServer
from daybreak.testing.modelserver import Call, Request

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed (the extra `ray`)", allow_module_level=True)

KEY = "sk-never-on-a-node-0123456789"
RIGHT = "def add(one, other):\n    return one + other\n"
SETTINGS = """\
order = ["rich"]

[dispatch]
engine = "ray"
advertise = "{advertise}"

[providers.fake]
api = "openai"
address = "{address}"
key = "env:FAKE_KEY"
[providers.fake.prices."*"]
input = 10.0
output = 100.0

[workers.rich]
kind = "model"
provider = "fake"
model = "fake-1"
[workers.poor]
kind = "model"
provider = "fake"
model = "fake-1"
tokens = 10
"""
RAY_LOGS = "daybreak-ray-*/session_*/logs"
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


def settings(place: Path, server: ModelServer, advertise: str = "") -> None:
    told = SETTINGS.format(address=server.url("openai"), advertise=advertise)
    (place / "daybreak.toml").write_text(told)


def done(opened: home.Home, place: Path, *workers: str) -> tuple[str, Any]:
    """A run of a task for these workers, and how it ended."""
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
    run = opened.engine.submit(asked.kind, asked.title, asked.args, asked.placement)
    return run, asyncio.run(opened.engine.finish(run))


def told(opened: home.Home, run: str, kind: type[Any]) -> list[Any]:
    streams = (run_stream(run), POLICY)
    records = [record.event for stream in streams for record in opened.ledger.read(stream)]
    return [event for event in records if isinstance(event, kind) and getattr(event, "run", run) == run]


def seen(words: Sequence[str]) -> list[str]:
    """Where any of these words can be read while the worker works: arguments and environments of all other processes,
    and what Ray and Daybreak write down."""
    found = []
    own = str(os.getpid())
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                text = (process / name).read_bytes() if process.name != own else b""
                found += [f"{process}/{name}" for word in words if word.encode() in text]
    logs = list(Path(tempfile.gettempdir()).glob(RAY_LOGS))
    for folder in (Path(os.environ["DAYBREAK_HOME"]), *logs):
        for path in folder.rglob("*"):
            with suppress(OSError):
                text = path.read_bytes() if path.is_file() else b""
                found += [str(path) for word in words if word.encode() in text]
    return found


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The key, and what is made for attempts while the test runs."""
    made = [KEY]
    way = Gateway.way

    def remembered(self: Gateway, token: str, **more: Any) -> Way:
        found = way(self, token, **more)
        made.extend((token, found.secret))
        return found

    monkeypatch.setattr(Gateway, "way", remembered)
    return made


def test_a_model_mends_it_on_a_node_and_the_key_stays_with_the_coordinator(place: Path, secrets: list[str]) -> None:
    """Every call is in the coordinator's ledger and paid for there; a worker without means is cut off there too. No
    secret can be read from outside meanwhile, nor afterwards."""
    # shows: N14, N1, F8
    exposed: list[str] = []

    def script(request: Request) -> Any:
        step = len(request.tool_outputs)
        if step == 1:
            assert len(secrets) == 3
            assert list(Path(tempfile.gettempdir()).glob(f"{RAY_LOGS}/*")), "or nothing was looked at"
            exposed.extend(seen(secrets))
        return WORK[step]

    with ModelServer(script) as server:
        settings(place, server)
        with home.opened() as opened:
            run, result = done(opened, place, "rich")
            assert (result.state, result.why) == ("done", "")
            assert told(opened, run, events.JobPlaced)
            called = told(opened, run, events.ModelCalled)
            [claim] = told(opened, run, events.AttemptClaimed)
            poor, _ = done(opened, place, "poor")
            broke = told(opened, poor, events.AttemptClaimed)
    assert [one.status for one in called] == [200] * len(WORK)
    assert all(one.money_microusd == 10 * one.input_tokens + 100 * one.output_tokens > 0 for one in called)
    assert claim.usage["requests"] == len(WORK)
    assert {request.key for request in server.requests} == {KEY}
    assert {one.trouble for one in broke} == {"budget"}
    assert len(server.requests) == len(WORK), "what cannot be paid is not asked"
    assert exposed == []
    assert seen(secrets) == []


def test_where_nodes_cannot_reach_the_coordinator_the_worker_is_not_started_and_the_address_is_named(
    place: Path,
) -> None:
    """A dead `advertise`: the node finds out before anything is started, each try of it is in the ledger, and it is no
    attempt of the task's and no crash of the worker's."""
    # shows: N14, N9, F16
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        dead = f"127.0.0.1:{nobody.getsockname()[1]}"
    with ModelServer(lambda request: WORK[0]) as server:
        settings(place, server, advertise=dead)
        with home.opened() as opened:
            run, result = done(opened, place, "rich")
            placed, lost = (told(opened, run, kind) for kind in (events.JobPlaced, events.JobLost))
            [claim] = told(opened, run, events.AttemptClaimed)
            [judged] = told(opened, run, events.AttemptJudged)
            assert told(opened, run, events.ModelCalled) == []
    port = dead.rpartition(":")[2]
    attempts = [(one.job, one.nth) for one in placed if "attempt" in one.job]
    tried = [one for one in lost if (one.job, one.nth) in attempts]
    assert len(tried) == len(attempts) == 3
    assert {one.node for one in tried} == {one.node for one in placed} - {""}
    assert [one.again for one in tried] == [True, True, False]
    for text in (*(one.why for one in tried), claim.summary, result.why):
        assert f"127.0.0.1 port {port}" in text, text
    assert all("no way to the model" in one.why for one in tried)
    assert (result.state, claim.outcome, claim.trouble) == ("failed", "crashed", "unavailable")
    assert (judged.trouble, judged.solved) == ("unavailable", False)
    assert server.requests == []
