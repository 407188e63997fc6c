"""Codex, pi and Gemini CLI as they are, against a model server that does everything wrong that one can do wrong."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from daybreak.testing.modelserver import (
    BadCall,
    Broken,
    Call,
    ContextTooLong,
    Dropped,
    FalseDone,
    Html,
    Injection,
    ModelServer,
    NoCredit,
    Overloaded,
    RateLimited,
    Refuse,
    Say,
    Stalled,
    Truncated,
    Unauthorized,
)


def _desk() -> ModuleType:
    spec = importlib.util.spec_from_file_location("agents_desk", Path(__file__).with_name("agents_desk.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


desk = _desk()
pytestmark = [
    pytest.mark.agents,
    pytest.mark.skipif(
        not (desk.FOLDER / "installed").is_file(),
        reason="NOT TESTED: no real coding agents in out/agents; `scripts/agents` installs them (needs npm)",
    ),
]

KINDS = ("codex", "pi", "gemini")
WRITE: dict[str, Any] = {
    "codex": Call("exec_command", {"cmd": "echo x > made.txt"}),
    "pi": Call("write", {"path": "made.txt", "content": "x\n"}),
    "gemini": Call("write_file", {"file_path": "made.txt", "content": "x\n"}),
}
READ: dict[str, Any] = {
    "codex": Call("exec_command", {"cmd": "cat notes.txt"}),
    "pi": Call("read", {"path": "notes.txt"}),
    "gemini": Call("read_file", {"file_path": "notes.txt"}),
}
FAULTS: dict[str, tuple[Any, set[str]]] = {
    "a false done": (FalseDone(), {""}),
    "a refusal": (Refuse(), {"refused"}),
    "a refusal in words": (Say("I'm sorry, but I can't help with that."), {"refused"}),
    "429 with a time": (RateLimited(reset_s=3600), {"quota"}),
    "no credit": (NoCredit(), {"quota"}),
    "401": (Unauthorized(), {"authentication"}),
    "500": (Broken(), {"outage"}),
    "overloaded": (Overloaded(), {"outage"}),
    "a context that is too long": (ContextTooLong(), {"context"}),
    "a dropped stream": (Dropped(), {"outage"}),
    "a stream that ends early and cleanly": (Dropped(clean=True), {"outage"}),
    "HTML instead of JSON": (Html(), {"outage"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_agent_that_works_is_heard_and_its_work_is_there(kind: str, tmp_path: Path) -> None:
    """The prompt arrives, the tool is used without a question, usage is counted, the token is the attempt's."""
    # shows: F1 F8
    with ModelServer([WRITE[kind], Say("All done.\nNOT BUILT: the second part")]) as server:
        seen = desk.ask(kind, server, tmp_path)
        assert seen.claim.outcome == "finished"
        assert seen.claim.not_built == ("the second part",)
        assert (seen.workspace / "made.txt").read_text() == "x\n"
        assert seen.usage.input_tokens > 0
        assert seen.usage.output_tokens > 0
        assert all("Write the file made.txt." in str(one.body) for one in server.requests)
        assert desk.left_running(seen.workspace) == []


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_is_called_what_it_is(kind: str, name: str, tmp_path: Path) -> None:
    """Whatever the exit status says, the claim names the trouble; nothing is left running."""
    # shows: F8 N8
    script, troubles = FAULTS[name]
    with ModelServer(script) as server:
        limit_s = 8.0 if (kind, name) == ("codex", "429 with a time") else 60.0  # it waits as long as it is told to
        seen = desk.ask(kind, server, tmp_path, silence_s=limit_s)
    assert seen.claim.trouble in troubles, seen.claim
    assert (seen.claim.outcome == "finished") == (seen.claim.trouble == "")
    assert desk.left_running(seen.workspace) == []
    assert not (seen.workspace / "made.txt").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_stalls_is_waited_for_no_longer_than_said(kind: str, tmp_path: Path) -> None:
    """A silent agent is ended within five seconds of its limit, with its children."""
    # shows: N8
    with ModelServer(Stalled(opened=False)) as server:
        seen = desk.ask(kind, server, tmp_path, silence_s=6.0)
    assert seen.claim.trouble in {"stalled", "outage"}
    assert seen.claim.outcome != "finished"
    assert desk.left_running(seen.workspace) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_tool_call_is_survived(kind: str, tmp_path: Path) -> None:
    """A tool that nobody has, and arguments that are no JSON, end in a claim, and in nothing written."""
    # shows: N8
    with ModelServer([BadCall(), BadCall("no_such_tool", "{}"), Say("All done.")]) as server:
        seen = desk.ask(kind, server, tmp_path)
    assert seen.claim.outcome in {"finished", "partial", "crashed"}
    assert list(seen.workspace.iterdir()) == []
    assert desk.left_running(seen.workspace) == []


@pytest.mark.parametrize("kind", ["codex", "pi"])
def test_an_answer_cut_at_its_length_is_not_the_end_of_the_work(kind: str, tmp_path: Path) -> None:
    """`length` still looks like an answer. (Gemini CLI does not say it; the gateway does.)"""
    # shows: N8
    with ModelServer(Truncated()) as server:
        seen = desk.ask(kind, server, tmp_path)
    assert seen.claim.outcome == "partial"


@pytest.mark.parametrize("kind", KINDS)
def test_an_obeyed_injection_reads_no_key_of_ours(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that does as a file tells it prints an environment with no secret of ours in it."""
    # shows: N8
    monkeypatch.setenv("OPENAI_API_KEY", "a-real-key-of-ours")
    show = {
        "codex": Call("exec_command", {"cmd": "env; cat /proc/$PPID/environ"}),
        "pi": Call("bash", {"command": "env"}),
    }
    show["gemini"] = Call("run_shell_command", {"command": "env"})
    injection = Injection(obeyed=show[kind], until=READ[kind])
    write = {
        "codex": Call("exec_command", {"cmd": f"echo '{injection.text}' > notes.txt"}),
        "pi": Call("write", {"path": "notes.txt", "content": injection.text}),
        "gemini": Call("write_file", {"file_path": "notes.txt", "content": injection.text}),
    }
    with ModelServer([write[kind], injection, Say("DONE.")]) as server:
        seen = desk.ask(kind, server, tmp_path)
        outputs = "".join(output for one in server.requests for output in one.tool_outputs)
    assert injection.text in outputs
    assert "a-real-key-of-ours" not in outputs
    assert seen.claim.outcome == "finished"
