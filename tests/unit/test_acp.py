"""Agents that speak the Agent Client Protocol: a real conversation, and what an agent cannot get away with."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.agents.acp import AcpAgent, pointing
from daybreak.agents.acp.confined import Confined, FileUnusable, PathOutside, PathProtected
from daybreak.agents.acp.find import find
from daybreak.agents.acp.updates import Updates, usage
from daybreak.agents.protocol import Brief, Claim, Gateway, Note, Terms, Told, Usage
from daybreak.settings import Provider, Settings, Worker

AGENT = str(Path(__file__).with_name("acp_agent.py"))
BRIEF = Brief(name="shelf", title="Shelf", summary="Build the shelf.", protected=("tests/*",))
GATEWAY = Gateway(url="http://127.0.0.1:9", token="tok", api="openai", model="mod")


def terms(*script: str, silence_s: float = 20.0, time_s: float = 60.0, **worker: Any) -> Terms:
    """An agent that does as `script` says; started without site packages unless it needs the library."""
    quick = () if script[0] == "library" else ("-S", "-E")
    command = [sys.executable, *quick, AGENT, *script]
    settings = {"kind": "acp", "command": command, **worker}
    return Terms(settings=settings, silence_s=silence_s, time_s=time_s, gateway=GATEWAY)


def work(workspace: Path, *script: str, **more: Any) -> tuple[list[Told], Claim]:
    *told, claim = AcpAgent().work(BRIEF, workspace, terms(*script, **more))
    assert isinstance(claim, Claim)
    return told, claim


def notes(told: list[Told]) -> list[str]:
    return [item.text for item in told if isinstance(item, Note)]


def gone(workspace: Path) -> bool:
    """The process that the agent left is no more."""
    return not Path("/proc", (workspace / "orphan").read_text()).exists()


def test_a_conversation_with_the_librarys_own_agent_side(tmp_path: Path) -> None:
    """It is asked, answered, shown, counted and believed about nothing; every question is answered at once, by rule."""
    # shows: F8 N6
    (tmp_path / "link").symlink_to("/tmp")
    options = {
        "environment": {"MODEL_URL": "{url}/openai/v1"},
        "files": {"~/.config/agent.json": '{"key": "{token}", "model": "{model}", "other": {}}'},
    }
    told, claim = work(tmp_path, "library", options=options)
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert "Build the shelf." in answers["prompt"]
    assert answers["url"] == "http://127.0.0.1:9/openai/v1"
    assert json.loads(answers["config"]) == {"key": "tok", "model": "mod", "other": {}}
    assert {name: answers[name] for name in answers if name.startswith(("edit", "run", "fetch"))} == {
        "edit inside": "once",
        "edit outside": "no",
        "edit above": "no",
        "edit protected": "no",
        "edit nothing": "no",
        "run": "once",
        "fetch": "no",
    }
    assert answers["read"] == "b\n"
    assert answers["absent"] == [-32002, "Resource not found"]
    assert (tmp_path / "new/shelf.py").read_text() == "a\nb\n"
    assert (answers["write outside"], answers["write link"], answers["terminal"]) == (-32602, -32602, -32601)
    assert not Path("/tmp/acp-escaped").exists()
    said = notes(told)
    assert said[:4] == ["scripted 1.2", "I begin.", "And go on.", "edit: write shelf.py"]
    assert sum(note.startswith(("permission refused", "write refused")) for note in said) == 7
    used = [item for item in told if isinstance(item, Usage)]
    assert [item.money_microusd for item in used] == [10_000, 20_000, 0]
    assert used[-1] == Usage(input_tokens=100, cached_tokens=40, output_tokens=50)
    assert (claim.outcome, claim.trouble, claim.not_built) == ("finished", "", ("the index",))
    assert claim.summary.startswith("All is done.")


@pytest.mark.parametrize(
    ("script", "outcome", "trouble"),
    [
        (("stop", "max_tokens"), "partial", "context"),
        (("stop", "max_turn_requests"), "partial", "budget"),
        (("stop", "refusal"), "refused", "refused"),
        (("stop", "cancelled"), "partial", ""),
        (("stop", "of_the_future"), "crashed", "crashed"),
        (("fail", "-32603", "429 Too Many Requests"), "crashed", "quota"),
        (("fail", "-32603", "prompt is too long: 300000 tokens"), "crashed", "context"),
        (("fail", "-32603", "connect ECONNREFUSED 127.0.0.1:1"), "crashed", "outage"),
        (("fail", "-32603", "something else"), "crashed", "crashed"),
        (("login",), "crashed", "authentication"),
        (("future",), "crashed", "unavailable"),
        (("malformed",), "crashed", "crashed"),
        (("dies", "Error: 401 Unauthorized"), "crashed", "authentication"),
        (("dies",), "crashed", "crashed"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_why_it_stopped_is_told_apart(tmp_path: Path, script: tuple[str, ...], outcome: str, trouble: str) -> None:
    """Stop reasons, errors and deaths become the troubles that the cascade knows."""
    # shows: F8
    _, claim = work(tmp_path, *script)
    assert (claim.outcome, claim.trouble) == (outcome, trouble), claim
    if script[0] == "dies":
        assert "exit status 3" in claim.summary


def test_garbage_on_standard_output_is_survived(tmp_path: Path) -> None:
    """Banners, broken JSON, JSON that is no message and messages that nobody knows end nothing."""
    told, claim = work(tmp_path, "garbage")
    assert (claim.outcome, claim.summary) == ("finished", "done")
    assert "8 lines on its standard output were no messages" in notes(told)
    assert Usage(input_tokens=5) in told


def test_a_silent_agent_is_ended_with_all_its_children(tmp_path: Path) -> None:
    """It was asked to stop, said what it used, ignored TERM, and is gone within seconds with what it had started."""
    # shows: F8
    began = time.monotonic()
    told, claim = work(tmp_path, "silent", silence_s=0.5)
    assert (claim.trouble, claim.summary) == ("stalled", "it said nothing for 0.5 s")
    assert Usage(input_tokens=4, output_tokens=3) in told
    assert gone(tmp_path)
    assert time.monotonic() - began < 5.5


def test_an_agent_that_never_says_a_word_is_ended(tmp_path: Path) -> None:
    """The clock runs from the start, not from the first message."""
    _, claim = work(tmp_path, "deaf", silence_s=0.3)
    assert claim.trouble == "stalled"


def test_the_clock_of_the_wall_ends_an_agent_that_keeps_talking(tmp_path: Path) -> None:
    """Being busy is no way around the time that it was given."""
    told, claim = work(tmp_path, "chatty", time_s=0.5)
    assert (claim.outcome, claim.trouble) == ("partial", "budget")
    assert "still here" in notes(told)


def test_what_an_agent_leaves_behind_is_ended(tmp_path: Path) -> None:
    """A good end is no end for its orphans, whatever session they are in."""
    _, claim = work(tmp_path, "orphan")
    assert claim.outcome == "finished"
    assert gone(tmp_path)


def test_whoever_stops_listening_leaves_nothing_running(tmp_path: Path) -> None:
    """The generator closed in the middle ends the agent."""
    items = AcpAgent().work(BRIEF, tmp_path, terms("silent"))
    assert next(items) == Note(text="I will think.")
    items.close()  # type: ignore[attr-defined]
    assert gone(tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"command": []}, "no command is given"),
        ({"command": ["no-such-agent-anywhere"]}, "there is no program"),
        ({"command": ["x"], "options": {"environment": {"A B": "x"}}}, "cannot be set"),
        ({"command": ["x"], "options": {"files": {"../../etc/x": "x"}}}, "does not lie in the agent's home"),
        ({"command": ["x"], "options": {"config": [1]}}, "is a table"),
        ({"command": ["x"], "options": {"mode": 5}}, "is a text"),
        ({"command": ["x"], "options": {"own_files": "yes"}}, "is true or false"),
    ],
)
def test_what_cannot_be_started_is_unavailable_and_says_why(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    """Settings that cannot be used are a claim in words, not a traceback."""
    [claim] = AcpAgent().work(BRIEF, tmp_path, Terms(settings={"kind": "acp", **settings}))
    assert isinstance(claim, Claim)
    assert (claim.outcome, claim.trouble) == ("crashed", "unavailable")
    assert words in claim.summary


# -- files


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "link/x", "a/../../x", "loop/x", "n\0l", "x" * 5000, "/proc/self/mem"]
)
def test_no_path_leads_out_of_the_workspace(tmp_path: Path, path: str) -> None:
    """Neither by dots, links, loops of links, nor by names that no system takes."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "link").symlink_to(tmp_path)
    (home / "loop").symlink_to("loop")
    with pytest.raises((PathOutside, FileUnusable)):
        Confined(home).write(path, "x")
    with pytest.raises((PathOutside, FileUnusable)):
        Confined(home).read(path)


@pytest.mark.parametrize("path", ["tests/test_a.py", "./tests/deep/x.py", "conf", "alias", "new/../conf", "also/below"])
def test_protected_files_are_not_written(tmp_path: Path, path: str) -> None:
    """Whatever they are called: through links, dots and folders."""
    (tmp_path / "conf").write_text("as it was")
    (tmp_path / "alias").symlink_to("conf")
    with pytest.raises(PathProtected):
        Confined(tmp_path, protected=("tests/*", "./conf", "also/")).write(path, "x")
    assert (tmp_path / "conf").read_text() == "as it was"


def test_what_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    """Folders, bytes and what is too long."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "long").write_bytes(b"x" * 4_000_001)
    for path in ("bytes", "long", ".", "nothing"):
        with pytest.raises(FileUnusable):
            Confined(tmp_path).read(path)
    with pytest.raises(FileUnusable):
        Confined(tmp_path).write("new", "\ud800")


# -- words

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_kinds = st.sampled_from(
    ["agent_message_chunk", "tool_call", "tool_call_update", "plan", "usage_update", "of tomorrow"]
)
_parts = st.fixed_dictionaries(
    {},
    optional={
        "content": _json | st.fixed_dictionaries({"type": st.just("text"), "text": st.text() | _json}),
        "entries": _json | st.lists(st.fixed_dictionaries({}, optional={"status": st.just("completed") | _json})),
        "cost": _json | st.fixed_dictionaries({"amount": st.floats(0, 10) | _json, "currency": st.just("USD") | _json}),
        "title": _json,
        "status": st.just("failed") | _json,
    },
)


STREAMS = st.lists(st.tuples(_kinds, _parts) | _json, max_size=8)


@given(STREAMS)
@settings(max_examples=40, deadline=None)
def test_no_update_is_too_strange(stream: list[Any]) -> None:
    """Any JSON at all is taken in; notes have a length, fractions a range, and money never goes back."""
    take_in(stream)


@pytest.mark.chaos
@given(STREAMS)
@settings(max_examples=1000, deadline=None)
def test_no_update_of_very_many_is_too_strange(stream: list[Any]) -> None:
    """The long form."""
    take_in(stream)


def take_in(stream: list[Any]) -> None:
    updates = Updates()
    for one in stream:
        update = {"sessionUpdate": one[0], **one[1]} if isinstance(one, tuple) else one
        for told in updates.take(update):
            if isinstance(told, Note):
                assert len(told.text) <= 2000
                assert told.fraction is None or 0 <= told.fraction <= 1
            else:
                assert isinstance(told, Usage)
                assert told.money_microusd > 0


@pytest.mark.parametrize(
    ("told", "meta", "expected"),
    [
        ({"inputTokens": 10, "outputTokens": 5, "totalTokens": 15, "cachedReadTokens": 4}, None, (10, 4, 5)),
        ({"inputTokens": 10, "outputTokens": 5, "totalTokens": 19, "cachedReadTokens": 4}, None, (14, 4, 5)),
        ({"inputTokens": 10, "outputTokens": 5, "totalTokens": 18, "thoughtTokens": 3}, None, (10, 0, 8)),
        (None, {"quota": {"token_count": {"input_tokens": 7, "output_tokens": True}}}, (7, 0, 0)),
    ],
)
def test_usage_differs_from_agent_to_agent(told: Any, meta: Any, expected: tuple[int, int, int]) -> None:
    """The total tells whether the cached part and the thoughts are in the counts already."""
    used = usage(told, meta)
    assert used is not None
    assert (used.input_tokens, used.cached_tokens, used.output_tokens) == expected


def test_only_our_names_are_filled_in() -> None:
    """JSON and shell need no escapes, and a value is not filled in again."""
    known = dict.fromkeys(pointing.NAMES, "{token}")
    assert (
        pointing.filled('{"a": {url}, "b": {}, "${x}": {tokens}}', known) == '{"a": {token}, "b": {}, "${x}": {tokens}}'
    )


# -- the host's half


def settings_with(**worker: Any) -> tuple[Worker, Settings]:
    made = Worker(kind="acp", **worker)
    provider = Provider(api="openai", address="http://127.0.0.1:1/v1")
    return made, Settings(workers={"a": made}, providers={"p": provider})


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """Without a command, a program, or a variable that was asked for."""
    environment = {"PATH": str(tmp_path)}
    assert "has no command" in find("a", *settings_with(), environment).missing
    assert "no program agent" in find("a", *settings_with(command=("agent",)), environment).missing
    (tmp_path / "agent").write_text("#!/bin/sh\n")
    (tmp_path / "agent").chmod(0o755)
    worker = settings_with(command=("agent",), environment=("KEY",))
    assert "KEY is not set" in find("a", *worker, environment).missing
    assert find("a", *worker, {**environment, "KEY": "k"}).environment["KEY"] == "k"


def test_a_program_of_node_needs_its_modules_and_node(tmp_path: Path) -> None:
    """The sandbox must let it read its own installation and its interpreter's, and find both."""
    package = tmp_path / "app/node_modules/@x/agent/dist"
    package.mkdir(parents=True)
    node = tmp_path / "node-1/bin/node"
    node.parent.mkdir(parents=True)
    for file, first in ((package / "main.js", "#!/usr/bin/env -S node --flag\n"), (node, "")):
        file.write_text(first)
        file.chmod(0o755)
    (tmp_path / "app/node_modules/.bin").mkdir()
    (tmp_path / "app/node_modules/.bin/agent").symlink_to("../@x/agent/dist/main.js")
    search = f"{tmp_path}/app/node_modules/.bin:{node.parent}"
    found = find("a", *settings_with(command=("agent", "acp")), {"PATH": search})
    assert found.missing == ""
    assert set(found.readable) == {tmp_path / "app/node_modules", tmp_path / "node-1"}
    assert found.environment["PATH"].startswith(search)


def test_a_budget_is_hard_only_where_there_is_no_other_way() -> None:
    """Pointed at the gateway, and neither network nor keys of its own."""
    pointed = {"options": {"environment": {"OPENAI_BASE_URL": "{url}/openai/v1"}}}
    environment = {"PATH": os.defpath, "KEY": "k"}
    cases = [
        ({"provider": "p", **pointed}, "hard"),
        ({"provider": "p"}, "soft"),
        (pointed, "soft"),
        ({"provider": "p", "network": True, **pointed}, "soft"),
        ({"provider": "p", "environment": ("KEY",), **pointed}, "soft"),
    ]
    for worker, budget in cases:
        assert find("a", *settings_with(command=("true",), **worker), environment).budget == budget, worker
