"""Coding agents as they are, against a model server that does everything wrong that one can do wrong.

`make test-agents-short` runs what is marked `agents_short`, `make test-agents` all of it.
"""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Collection, Sequence
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
pytestmark = pytest.mark.agents

SHORT = ("codex", "pi", "gemini")
"""Those that the short form drives."""
KINDS = (*SHORT, "opencode", "qwen", "claude", "aider", "mini")
WITH_TOOLS = tuple(kind for kind in KINDS if kind != "aider")


def shell(kind: str, command: str) -> Call:
    """How that agent's model runs a command."""
    match kind:
        case "codex":
            return Call("exec_command", {"cmd": command})
        case "gemini":
            return Call("run_shell_command", {"command": command})
        case "qwen":
            return Call("run_shell_command", {"command": command, "is_background": False})
        case "claude":
            return Call("Bash", {"command": command})
        case "opencode":
            return Call("bash", {"command": command, "description": "a command"})
        case _:
            return Call("bash", {"command": command})


WRITE: dict[str, Any] = {kind: shell(kind, "echo x > made.txt") for kind in WITH_TOOLS} | {
    "pi": Call("write", {"path": "made.txt", "content": "x\n"}),
    "gemini": Call("write_file", {"file_path": "made.txt", "content": "x\n"}),
    "opencode": Call("write", {"filePath": "made.txt", "content": "x\n"}),
    "claude": Call("Write", {"file_path": "made.txt", "content": "x\n"}),
}
READ: dict[str, Any] = {kind: shell(kind, "cat notes.txt") for kind in WITH_TOOLS} | {
    "pi": Call("read", {"path": "notes.txt"}),
    "gemini": Call("read_file", {"file_path": "notes.txt"}),
}
SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && echo "
"""How mini-SWE-agent is told that it is done: it knows no answer without a tool."""
STREAMS = ("a dropped stream", "a stream that ends early and cleanly")
SHORT_FAULTS = ("429 with a time", "a false done")
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


PATIENT: dict[str, set[str]] = {
    "codex": {"429 with a time"},  # waits as long as it is told to
    "opencode": {"429 with a time", "500"},  # without end
    "qwen": {"429 with a time", "no credit", "500", "overloaded"},  # for more than a minute, without a word
}
"""Faults after which an agent tries again for so long that the watchdog has to end it; it may not have said why."""
SLOW_S = {"opencode": 60.0, "qwen": 30.0, "aider": 30.0, "mini": 30.0}
"""What each may need on a busy machine before its first word."""


def turns(kind: str, script: Any) -> Any:
    """mini-SWE-agent ends with a tool, and takes words alone for a mistake that it asks to mend."""
    said = script.text if isinstance(script, Say | FalseDone) else ""
    return Call("bash", {"command": f"{SUBMIT}{shlex.quote(said)}"}) if kind == "mini" and said else script


def faults(kinds: Sequence[str], names: Collection[str]) -> list[Any]:
    """As parameters, without what means nothing to an agent."""
    nothing = {("mini", "a refusal in words"), ("mini", "a refusal"), *(("mini", one) for one in STREAMS)}
    nothing |= {("aider", one) for one in STREAMS}
    # The same as after a 500, a minute each.
    nothing |= {("opencode", one) for one in (*STREAMS, "no credit", "overloaded", "HTML instead of JSON")}
    return [
        pytest.param(kind, name, marks=pytest.mark.agents_short if kind in SHORT and name in SHORT_FAULTS else ())
        for kind in kinds for name in names if (kind, name) not in nothing
    ]  # fmt: skip


kinds = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.agents_short if kind in SHORT else ()) for kind in KINDS]
)


@kinds
def test_an_agent_that_works_is_heard_and_its_work_is_there(kind: str, tmp_path: Path) -> None:
    """The prompt arrives, the tool is used without a question, usage is counted, the token is the attempt's."""
    # shows: F1 F8
    done = "All done.\nNOT BUILT: the second part"
    script = [WRITE[kind], turns(kind, Say(done))] if kind in WITH_TOOLS else Say(f"made.txt\n```\nx\n```\n\n{done}")
    with ModelServer(script) as server:
        seen = desk.ask(kind, server, tmp_path)
        assert seen.claim.outcome == "finished", seen.claim
        assert seen.claim.not_built == ("the second part",)
        assert (seen.workspace / "made.txt").read_text() == "x\n"
        assert seen.usage.input_tokens > 0
        assert seen.usage.output_tokens > 0
        assert all("Write the file made.txt." in str(one.body) for one in server.requests)
        assert {one.key for one in server.requests} == {"attempt-token"}
        assert desk.left_running(seen.workspace) == []


@pytest.mark.parametrize(("kind", "name"), faults(KINDS, FAULTS))
def test_every_fault_is_called_what_it_is(kind: str, name: str, tmp_path: Path) -> None:
    """Whatever the exit status says, the claim names the trouble; nothing is left running."""
    # shows: F8 N8
    script, troubles = FAULTS[name]
    patient = name in PATIENT.get(kind, ())
    limit_s = SLOW_S.get(kind, 8.0) if patient else 100.0
    with ModelServer(turns(kind, script)) as server:
        seen = desk.ask(kind, server, tmp_path, silence_s=limit_s)
    assert seen.claim.trouble in troubles | ({"stalled"} if patient else set()), seen.claim
    assert (seen.claim.outcome == "finished") == (seen.claim.trouble == "")
    assert desk.left_running(seen.workspace) == []
    assert not (seen.workspace / "made.txt").exists()


@kinds
def test_a_server_that_stalls_is_waited_for_no_longer_than_said(kind: str, tmp_path: Path) -> None:
    """A silent agent is ended within five seconds of its limit, with its children."""
    # shows: N8
    with ModelServer(Stalled(opened=False)) as server:
        seen = desk.ask(kind, server, tmp_path, silence_s=SLOW_S.get(kind, 10.0))
        assert server.requests
    assert seen.claim.trouble in {"stalled", "outage"}
    assert seen.claim.outcome != "finished"
    assert desk.left_running(seen.workspace) == []


@pytest.mark.parametrize("kind", WITH_TOOLS)
def test_a_bad_tool_call_is_survived(kind: str, tmp_path: Path) -> None:
    """A tool that nobody has, and arguments that are no JSON, end in a claim, and in nothing written."""
    # shows: N8
    with ModelServer([BadCall(), BadCall("no_such_tool", "{}"), turns(kind, Say("All done."))]) as server:
        seen = desk.ask(kind, server, tmp_path)
    assert seen.claim.outcome in {"finished", "partial", "crashed"}
    assert list(seen.workspace.iterdir()) == []
    assert desk.left_running(seen.workspace) == []


@pytest.mark.parametrize("kind", ["codex", "pi", "opencode", "claude", "aider"])
def test_an_answer_cut_at_its_length_is_not_the_end_of_the_work(kind: str, tmp_path: Path) -> None:
    """`length` still looks like an answer. (Gemini CLI does not say it; the gateway does.)"""
    # shows: N8
    with ModelServer(Truncated()) as server:
        seen = desk.ask(kind, server, tmp_path)
    assert seen.claim.outcome == "partial"


@pytest.mark.parametrize("kind", WITH_TOOLS)
def test_an_obeyed_injection_reads_no_key_of_ours(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that does as a file tells it prints an environment with no secret of ours in it."""
    # shows: N8
    monkeypatch.setenv("OPENAI_API_KEY", "a-real-key-of-ours")
    injection = Injection(obeyed=shell(kind, "env; cat /proc/$PPID/environ"), until=READ[kind])
    write = shell(kind, f"echo '{injection.text}' > notes.txt")
    with ModelServer([write, injection, turns(kind, Say("DONE."))]) as server:
        seen = desk.ask(kind, server, tmp_path)
        outputs = "".join(output for one in server.requests for output in one.tool_outputs)
    assert injection.text in outputs
    assert "a-real-key-of-ours" not in outputs
    assert seen.claim.outcome == "finished", seen.claim
