"""`daybreak init` and `daybreak agents list`: what is found here, written down and shown, without a secret."""

from __future__ import annotations

import json
import os
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from daybreak import home, settings
from daybreak.agents import found as finding
from daybreak.agents.found import Found
from daybreak.cli import agents, init, surroundings
from daybreak.cli.arguments import ArgumentWrong
from daybreak.errors import DaybreakError
from daybreak.factory import trust as trusting
from daybreak.settings import Settings, SettingsWrong, Worker

app = typer.Typer()
app.command("init")(init.init)
app.add_typer(agents.app, name="agents")
SECRET = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a daybreak.toml above it, a user without one, a machine without keys."""
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("DAYBREAK_CONFIG", raising=False)
    for known in surroundings.PROVIDERS:
        for name in known.variables:
            monkeypatch.delenv(name, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Found]:
    """What is found by kind; nothing else is installed."""
    installed: dict[str, Found] = {}

    def find(name: str, worker: Worker, told: Settings, environment: Mapping[str, str]) -> Found:
        if worker.kind in ("builder", "python"):
            return Found()
        return installed.get(worker.kind, Found(missing=f"{worker.kind} is not installed: npm install {worker.kind}"))

    monkeypatch.setattr(finding, "find", find)
    return installed


def run(*words: str) -> Result:
    """Raises what the command raised."""
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_on_a_bare_machine_the_builder_works_alone(place: Path, machine: dict[str, Found]) -> None:
    """And the file says what could be added."""  # shows: F9
    told = run("init")
    assert f"wrote {place / 'daybreak.toml'}" in told.stdout
    read = settings.read(place / "daybreak.toml")
    assert (read.order, read.workers, read.providers) == (("builder",), {}, {})
    assert "# [providers.openai]" in (place / "daybreak.toml").read_text()
    rows = json.loads(run("agents", "list", "--json").stdout)
    assert (rows["mode"], rows["file"]) == ("standalone", str(place / "daybreak.toml"))
    assert [row["name"] for row in rows["workers"]] == ["builder"]


def test_agents_and_keys_are_found_and_keys_are_only_named(
    place: Path, machine: dict[str, Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent whose key is not here is written as a comment, with the reason."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    machine["codex"] = Found(program="/usr/bin/codex", version="0.169", budget="hard")
    machine["claude"] = Found(program="/usr/bin/claude")
    machine["qwen"] = Found(program="/usr/bin/qwen", missing="qwen needs node, which is not installed")
    told = run("init", "--model", "openai=large-5")
    text = (place / "daybreak.toml").read_text()
    assert SECRET not in text + told.stdout + told.stderr
    read = settings.read(place / "daybreak.toml")
    assert read.order == ("codex", "model-openai", "builder")
    assert (read.workers["codex"].provider, read.workers["codex"].model) == ("openai", "large-5")
    assert "# qwen is installed, but: qwen needs node" in text
    assert read.providers["openai"].key == "env:OPENAI_API_KEY"
    assert "# [workers.claude]" in text
    assert "# claude is installed, but: no key of anthropic is in the environment" in text
    assert "worker codex 0.169: can be asked" in told.stderr
    assert "not installed: gemini" in told.stderr
    listed = run("agents", "list")
    assert "1.  codex            codex, coding agent 0.169  openai/large-5" in listed.stdout
    assert "budget hard" in listed.stdout


def test_an_agent_without_a_model_is_written_as_a_comment(
    place: Path, machine: dict[str, Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    """We choose none: names of models are old before a version is out."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    machine["codex"] = Found(program="/usr/bin/codex", missing="codex: no model is named")
    run("init")
    assert settings.read(place / "daybreak.toml").order == ("builder",)
    assert "or say --model openai=NAME" in (place / "daybreak.toml").read_text()
    for told in ("openai", "=x", "openai= ", "nobody=x"):
        with pytest.raises(ArgumentWrong):
            run("init", "--print", "--model", told)


def test_an_old_file_is_never_overwritten(place: Path, machine: dict[str, Found]) -> None:
    """Not even a link that leads nowhere."""
    (place / "daybreak.toml").write_text("order = ['builder']")
    with pytest.raises(init.AlreadyConfigured):
        run("init")
    assert (place / "daybreak.toml").read_text() == "order = ['builder']"
    (place / "daybreak.toml").unlink()
    (place / "daybreak.toml").symlink_to(place / "gone")
    with pytest.raises(init.AlreadyConfigured):
        run("init", "--json")


def test_print_writes_nothing(place: Path, machine: dict[str, Found]) -> None:
    """For people who have a file already."""
    (place / "daybreak.toml").write_text("")
    assert tomllib.loads(run("init", "--print").stdout)["order"] == ["builder"]
    document = json.loads(run("init", "--print", "--json").stdout)
    assert document["file"] is None
    assert tomllib.loads(document["text"])["order"] == ["builder"]
    assert (place / "daybreak.toml").read_text() == ""


@contextmanager
def server(body: bytes, status: int = 200) -> Iterator[str]:
    """One that answers everything with that."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}/v1"
        finally:
            listening.shutdown()
            thread.join()


def test_a_server_that_one_tells_of_is_asked_for_its_models(place: Path, machine: dict[str, Found]) -> None:
    """The first of them can work at once."""
    with server(b'{"data": [{"id": "small:1b"}, {"id": "big"}, {"id": 3}]}') as address:
        run("init", "--server", f"ollama={address}/")
    read = settings.read(place / "daybreak.toml")
    assert read.order == ("model-ollama", "builder")
    assert (read.workers["model-ollama"].model, read.workers["model-ollama"].provider) == ("small:1b", "ollama")
    assert (read.providers["ollama"].address, read.providers["ollama"].key) == (address, "")
    assert '"big"' in (place / "daybreak.toml").read_text()


@pytest.mark.parametrize(
    ("body", "status"), [(b"<html>", 200), (b"{}", 200), (b'{"data": []}', 200), (b"", 500), (b"[" * 99_999, 200)]
)
def test_a_server_that_does_not_answer_well_is_written_down_with_that(
    place: Path, machine: dict[str, Found], body: bytes, status: int
) -> None:
    """It may be started later; nobody is asked through it now."""  # shows: F16
    with server(body, status) as address:
        run("init", "--server", f"mine={address}")
    read = settings.read(place / "daybreak.toml")
    assert read.order == ("builder",)
    assert "mine" in read.providers
    assert "# when this was written it" in (place / "daybreak.toml").read_text()


@pytest.mark.parametrize(
    "told", ["", "x", "X=http://a", "x=", "x=ftp://a", "x=http://", f"x=http://me:{SECRET}@a", "x=http://[", "x=a b"]
)
def test_what_is_no_server_is_refused(told: str, machine: dict[str, Found]) -> None:
    """Without repeating what may be a secret in it."""
    with pytest.raises(ArgumentWrong) as caught:
        run("init", "--server", told)
    assert SECRET not in caught.value.message


def test_the_list_says_who_is_not_here_and_why(place: Path, machine: dict[str, Found]) -> None:
    """With the place in the order, and those that the order does not name after it."""  # shows: F8 F16
    (place / "daybreak.toml").write_text(
        'order = ["codex", "graph", "builder"]\n[workers.codex]\nkind = "codex"\n[workers.graph]\nkind = "outside"\n'
        'program = "graph"\n[workers.spare]\nkind = "pi"\nnetwork = true\n'
    )
    machine["pi"] = Found(program="/usr/bin/pi", version="0.73", budget="soft")
    trusting.trust(place / "daybreak.toml", home.places())
    told = run("agents", "list")
    lines = told.stdout.splitlines()
    assert [line[:20].split()[:2] for line in lines[::2]] == [
        ["1.", "codex"],
        ["2.", "graph"],
        ["3.", "builder"],
        ["-", "spare"],
    ]
    assert lines[1].strip() == "not here: codex is not installed: npm install codex"
    assert "soft: it can spend past the gateway; it reaches the network itself" in lines[7]
    assert "standalone: graph cannot be asked: " in told.stderr


def test_a_part_that_is_broken_is_told_beside_its_worker(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are still shown."""
    (place / "daybreak.toml").write_text('[workers.codex]\nkind = "codex"\n')

    def broken(name: str, worker: Worker, told: Settings, environment: Mapping[str, str]) -> Found:
        if worker.kind == "codex":
            raise finding.FinderBroken("it cannot be loaded", hint="install again")
        return Found()

    monkeypatch.setattr(finding, "find", broken)
    rows = json.loads(run("agents", "list", "--json").stdout)["workers"]
    assert [(row["name"], row["missing"]) for row in rows] == [("builder", ""), ("codex", "it cannot be loaded")]


def test_templates_of_the_user_are_tried_when_workers_are_listed(place: Path, machine: dict[str, Found]) -> None:
    """A broken one is noticed before the night."""
    (place / "daybreak.toml").write_text('templates = "mine"')
    (place / "mine").mkdir()
    template = place / "mine" / "implementer.md.j2"
    template.write_text("{# brief: implementer 2 #}\nDo {{ brief.title }}")
    assert "templates of your own: implementer 2" in run("agents", "list").stderr
    template.write_text("{# brief: implementer 2 #}\nDo {{ brief.titel }}")
    with pytest.raises(DaybreakError, match="line 2"):
        run("agents", "list")


def test_a_broken_file_is_told_before_anything_else(place: Path, machine: dict[str, Found]) -> None:
    """With the key that is wrong."""
    (place / "daybreak.toml").write_text("ordr = []")
    with pytest.raises(SettingsWrong, match="did you mean order"):
        run("agents", "list")


_text = st.text(max_size=30)


@hypothesis_settings(max_examples=100, deadline=None)
@given(
    models=st.lists(_text.filter(str.isprintable), max_size=7),
    problem=_text,
    version=_text,
    missing=_text,
    program=_text,
)
def test_whatever_is_found_the_file_can_be_read(
    models: list[str], problem: str, version: str, missing: str, program: str
) -> None:
    """Names of models, versions and errors come from others."""
    worker = surroundings.Worker("a", "outside", {"program": program}, version, missing)
    provider = surroundings.Provider("p", "openai", "http://x/v1", "env:K", models, problem)
    text = surroundings.written(surroundings.Surroundings([provider], [worker], {}))
    told = tomllib.loads(text)
    assert told["order"] == (["builder"] if missing else ["a", "builder"])
    assert missing or told["workers"]["a"]["program"] == program.encode("utf-8", "replace").decode()
    assert os.linesep not in told["providers"]["p"]["address"]
