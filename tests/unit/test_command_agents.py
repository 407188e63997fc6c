"""Coding agents as processes: watched, ended with all their children, kept apart, and looked for on the host."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from daybreak import settings
from daybreak.agents import found
from daybreak.agents.command import CommandAgent
from daybreak.agents.command.adapter import Job, Room
from daybreak.agents.command.adapters import MODULES, adapter
from daybreak.agents.command.generic import StreamWrong, at, described
from daybreak.agents.command.process import Running
from daybreak.agents.protocol import Brief, Claim, Gateway, Note, Terms, Told, Usage
from daybreak.settings import COMMANDS, Settings, Worker

BRIEF = Brief(name="task", title="A task", summary="Write made.txt.")
SH = "/bin/sh"
STREAM: dict[str, Any] = {"success": {"pattern": "^ALL DONE"}}


def _work(
    workspace: Path, *words: str, stream: dict[str, Any] | None = None, time_s: float = 30.0, silence_s: float = 20.0
) -> list[Told]:
    fields = {"kind": "generic", "command": words, "stream": stream or STREAM}
    terms = Terms(settings=fields, time_s=time_s, silence_s=silence_s)
    return list(CommandAgent(grace_s=0.2, linger_s=0.3).work(BRIEF, workspace, terms))


def _claim(told: list[Told]) -> Claim:
    assert isinstance(told[-1], Claim)
    return told[-1]


def _gone(pid: int) -> bool:
    """Whether no process of that number is left, or only its remains."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


# -- watchdogs


_ESCAPEE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(sys.argv[1], "w") as file:
            file.write(str(os.getpid()))
        print("begun", flush=True)
        time.sleep(1000)
    os._exit(0)
time.sleep(1000)
"""


def test_an_agent_that_goes_silent_is_ended_with_all_its_children(tmp_path: Path) -> None:
    """One that ignores TERM, and a child of a child in a session of its own, are gone when the claim comes."""
    # shows: N8
    (tmp_path / "escapee.py").write_text(_ESCAPEE)
    began = time.monotonic()
    told = _work(tmp_path, sys.executable, "-S", "escapee.py", "pid", silence_s=1.0)
    assert time.monotonic() - began < 1.0 + 5.0 + 10.0  # its start on a busy machine
    assert (_claim(told).outcome, _claim(told).trouble) == ("crashed", "stalled")
    assert _gone(int((tmp_path / "pid").read_text()))


def test_an_agent_that_never_stops_talking_is_ended_by_the_clock(tmp_path: Path) -> None:
    """Talk is no reason to go on for ever."""
    # shows: N8
    told = _work(tmp_path, SH, "-c", "while :; do echo busy; sleep 0.02; done", time_s=0.5)
    assert (_claim(told).outcome, _claim(told).trouble) == ("crashed", "budget")
    assert any(isinstance(one, Note) for one in told)


def test_standard_error_counts_as_a_sign_of_life(tmp_path: Path) -> None:
    """Some agents talk there only."""
    told = _work(
        tmp_path, SH, "-c", "for i in 1 2 3 4 5 6; do sleep 0.25; echo . >&2; done; echo ALL DONE", silence_s=1.0
    )
    assert _claim(told).outcome == "finished"


def test_an_agent_that_stays_after_its_last_word_is_ended_and_has_finished(tmp_path: Path) -> None:
    """pi does that: the stream is over, the process is not."""
    # shows: N8
    end = '{"type":"agent_end","messages":[]}'
    say = '{"type":"message_end","message":{"role":"assistant","content":[{"type":"text","text":"Done."}],'
    say += '"usage":{"input":5,"output":1,"totalTokens":6},"stopReason":"stop"}}'
    program = _script(tmp_path / "pi", f"echo '{say}'\necho '{end}'\nexec sleep 1000\n")
    terms = Terms(settings={"kind": "pi", "program": str(program)}, time_s=30, silence_s=20)
    told = list(CommandAgent(grace_s=0.2, linger_s=0.3).work(BRIEF, tmp_path, terms))
    assert _claim(told).outcome == "finished"


def test_a_flood_is_ended(tmp_path: Path) -> None:
    """More than it may print in all; nothing of it is kept."""
    environment = {"PATH": os.defpath}
    words = [SH, "-c", "exec yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
    with Running(
        words, cwd=tmp_path, environment=environment, time_s=30, silence_s=20, grace_s=0.1, stream_bytes_max=200_000
    ) as running:
        lines = sum(1 for _ in running)
    assert running.ended is not None
    assert (running.ended.why, lines > 0) == ("flood", True)


def test_a_caller_that_goes_away_takes_the_agent_along(tmp_path: Path) -> None:
    """Cancelled in the middle: nothing goes on."""
    # shows: N8
    fields = {"kind": "generic", "command": (SH, "-c", "echo $$ > pid; echo begun; exec sleep 1000"), "stream": STREAM}
    work = CommandAgent(grace_s=0.2).work(BRIEF, tmp_path, Terms(settings=fields))
    assert isinstance(next(work), Note)
    work.close()  # type: ignore[attr-defined] # it is a generator
    assert _gone(int((tmp_path / "pid").read_text()))


# -- what it gets


def test_an_agent_gets_a_home_of_its_own_and_no_variable_that_was_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Input closed, home and temporary folder side by side and gone afterwards, keys only by name."""
    # shows: N8 F8
    monkeypatch.setenv("SECRET_OF_OURS", "s3cret")
    monkeypatch.setenv("NAMED_KEY", "given")
    script = 'env > env.txt; ls -A "$HOME" > home.txt; cat > input.txt; stat -c %a "$HOME" > mode.txt; echo ALL DONE'
    fields = {"kind": "generic", "command": (SH, "-c", f"{script} # {{prompt_file}}"), "stream": STREAM}
    fields |= {"environment": ("NAMED_KEY",)}
    told = list(CommandAgent().work(BRIEF, tmp_path, Terms(settings=fields)))
    assert _claim(told).outcome == "finished"
    seen = dict(line.split("=", 1) for line in (tmp_path / "env.txt").read_text().splitlines() if "=" in line)
    assert "SECRET_OF_OURS" not in seen
    assert seen["NAMED_KEY"] == "given"
    home, temporary = Path(seen["HOME"]), Path(seen["TMPDIR"])
    assert home.parent == temporary.parent
    assert not home.parent.exists()
    assert seen["XDG_CONFIG_HOME"].startswith(f"{home}/")
    assert (tmp_path / "input.txt").read_text() == ""
    assert (tmp_path / "home.txt").read_text().split() == ["prompt.md"]
    assert (tmp_path / "mode.txt").read_text().strip() == "700"


@pytest.mark.parametrize("kind", [kind for kind in COMMANDS if kind != "generic"])
def test_every_adapter_points_its_agent_at_the_gateway(kind: str, tmp_path: Path) -> None:
    """Its address and token are in the files or the environment, never in the command, where others could read it."""
    # shows: F8 N8
    room = Room(tmp_path / "ws", tmp_path / "home", tmp_path / "tmp")
    found_ = adapter(kind)
    for api in found_.apis:
        gateway = Gateway(url="http://127.0.0.1:9", token="t0ken", api=api, model="the-model")  # type: ignore[arg-type]
        terms = Terms(gateway=gateway)
        job = Job((f"/bin/{kind}",), "the prompt", room, Worker.model_validate({"kind": kind}), terms)
        launch = found_.launch(job)
        around = "\n".join([*launch.environment.values(), *launch.files.values()])
        assert "http://127.0.0.1:9" in around
        assert "t0ken" in around
        assert "t0ken" not in " ".join(launch.argv)
        assert "the-model" in around + " ".join(launch.argv)
        assert "the prompt" in launch.stdin.decode() + around
        assert launch.argv[0] == f"/bin/{kind}"
        assert all(path.is_relative_to(room.home) for path in launch.files)


def test_all_kinds_have_an_adapter() -> None:
    """What the settings allow is there."""
    assert set(MODULES) == set(COMMANDS)


def test_an_agent_of_another_api_is_unavailable(tmp_path: Path) -> None:
    """Codex cannot speak Gemini: that is said before anything is started."""
    gateway = Gateway(url="http://127.0.0.1:9", token="t", api="gemini", model="m")
    told = list(CommandAgent().work(BRIEF, tmp_path, Terms(settings={"kind": "codex"}, gateway=gateway)))
    assert (_claim(told).trouble, len(told)) == ("unavailable", 1)


@pytest.mark.parametrize(
    "fields", [{"kind": "codex", "program": "/no/such/program"}, {"kind": "builder"}, {"kind": "nothing"}, {}]
)
def test_what_cannot_be_started_is_unavailable(fields: dict[str, Any], tmp_path: Path) -> None:
    """A claim, not an error."""
    # shows: N8
    assert _claim(list(CommandAgent().work(BRIEF, tmp_path, Terms(settings=fields)))).trouble == "unavailable"


# -- a program of one's own


def test_a_program_of_ones_own_is_read_as_described(tmp_path: Path) -> None:
    """Words, tools, usage as totals, an error that was mended, and the event that ends it."""
    # shows: F8
    lines = [
        '{"say": {"text": "hello"}, "used": {"in": 10, "out": 1}}',
        '{"failure": "temporary 503"}',
        '{"tool": "edit", "used": {"in": 25, "out": 4, "usd": 0.5}}',
        '{"kind": "end", "ok": true}',
    ]
    stream = {
        "format": "jsonl",
        "text": "say.text",
        "tool": "tool",
        "error": "failure",
        "usage": {"input": "used.in", "output": "used.out", "money": "used.usd", "cumulative": True},
        "success": {"event": {"path": "ok", "equals": True}, "exit": [0, 3]},
    }
    script = "; ".join(f"echo '{line}'" for line in lines) + "; exit 3"
    told = _work(tmp_path, SH, "-c", script, stream=stream)
    assert _claim(told).outcome == "finished"
    usage = [one for one in told if isinstance(one, Usage)]
    assert [(one.input_tokens, one.output_tokens) for one in usage] == [(10, 1), (15, 3)]
    assert usage[1].money_microusd == 500_000


def test_its_own_words_for_trouble_go_before_ours(tmp_path: Path) -> None:
    """On standard output and in text, with the time when it is over."""
    stream = {"trouble": {"quota": ["no more coffee"]}, "success": {"pattern": "^ALL DONE"}}
    told = _work(tmp_path, SH, "-c", "echo no more coffee, again in 2 hours; exit 0", stream=stream)
    assert _claim(told).trouble == "quota"
    assert _claim(told).until


def test_exit_status_0_alone_is_never_success(tmp_path: Path) -> None:
    """Unless somebody has written down that it is."""
    # shows: N8
    assert _claim(_work(tmp_path, SH, "-c", "exit 0")).outcome == "crashed"
    silent = {"success": {"silent": True}}
    assert _claim(_work(tmp_path, SH, "-c", "exit 0", stream=silent)).outcome == "finished"
    assert _claim(_work(tmp_path, SH, "-c", "exit 1", stream=silent)).outcome == "crashed"


@pytest.mark.parametrize(
    ("command", "stream", "said"),
    [
        ((), STREAM, "give the words of the command"),
        (("x", "{promt}"), STREAM, "{promt} is no place"),
        (("x",), {}, "success"),
        (("x",), {"success": {"exit": [0]}}, "proves nothing"),
        (("x",), {"success": {"pattern": "("}}, "no regular expression"),
        (("x",), {**STREAM, "format": "xml"}, "jsonl"),
        (("x",), {**STREAM, "text": "a.b"}, "format = 'jsonl'"),
        (("x",), {**STREAM, "format": "jsonl", "text": "$.a[0]"}, "dots between"),
        (("x",), {**STREAM, "troubles": {}}, "Extra inputs"),
        (("x",), {**STREAM, "trouble": {"sadness": ["x"]}}, "sadness"),
    ],
)
def test_a_wrong_description_says_what_is_wrong(command: tuple[str, ...], stream: dict[str, Any], said: str) -> None:
    """Before anything is started, with a hint."""
    with pytest.raises(StreamWrong) as wrong:
        described(Worker(kind="generic", command=command, stream=stream))
    assert said in wrong.value.message
    assert wrong.value.hint


def test_a_prompt_that_is_too_long_for_a_word_is_refused(tmp_path: Path) -> None:
    """The system takes 128 KiB; the file takes all."""
    brief = Brief(name="t", title="t", summary="x" * 200_000)
    fields: dict[str, Any] = {"kind": "generic", "command": (SH, "-c", "{prompt}"), "stream": STREAM}
    told = list(CommandAgent().work(brief, tmp_path, Terms(settings=fields)))
    assert _claim(told).trouble == "unavailable"
    assert "{prompt_file}" in _claim(told).summary or "too long" in _claim(told).summary


def test_places_in_json() -> None:
    """Keys and numbers of list items; whatever is not there is None."""
    event = {"a": [{"b": "c"}]}
    assert at(event, "a.0.b") == "c"
    assert [at(event, path) for path in (None, "a.1.b", "a.b", "x", "a.0.b.c")] == [None] * 5


# -- the host's half


def _script(path: Path, text: str, first: str = "#!/bin/sh") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{first}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def _settings(**workers: dict[str, Any]) -> Settings:
    provider = {"api": "openai", "address": "https://models.example/v1", "key": "env:KEY"}
    other = {"api": "gemini", "address": "https://other.example"}
    return settings.checked(
        {"workers": workers, "providers": {"main": provider, "other": other}}, Path("daybreak.toml")
    )


def _npm(folder: Path) -> Path:
    """A program as npm installs it: a link in `bin`, a script below `node_modules`, `node` elsewhere."""
    package = folder / "lib" / "node_modules" / "@openai" / "codex"
    real = _script(package / "bin" / "codex.js", "", "#!/usr/bin/env node")
    (package / "package.json").write_text('{"name": "@openai/codex", "version": "0.169.0"}')
    (folder / "bin").mkdir()
    (folder / "bin" / "codex").symlink_to(real)
    _script(folder / "node" / "bin" / "node", "")
    (folder / "node" / "lib").mkdir()
    return folder


def test_an_npm_program_is_found_with_all_that_it_reads(tmp_path: Path) -> None:
    """The packages beside it, and node; not the folder that it was found in, where other things are."""
    # shows: F8
    folder = _npm(tmp_path.resolve())
    environment = {"PATH": f"{folder}/bin:{folder}/node/bin"}
    wanted = _settings(cx={"kind": "codex", "provider": "main", "model": "m"})
    seen = found.find("cx", wanted.worker("cx"), wanted, environment)
    assert (seen.missing, seen.version, seen.budget) == ("", "0.169.0", "hard")
    assert seen.program == f"{folder}/lib/node_modules/@openai/codex/bin/codex.js"
    assert seen.readable == (folder / "lib" / "node_modules", folder / "node")
    assert seen.environment["DAYBREAK_AGENT_PROGRAM"] == seen.program
    assert f"{folder}/node/bin" in seen.environment["DAYBREAK_AGENT_PATH"].split(":")


@pytest.mark.parametrize(
    ("fields", "variables", "said"),
    [
        ({"kind": "pi", "provider": "main", "model": "m"}, {}, "npm install -g @mariozechner/pi-coding-agent"),
        ({"kind": "codex"}, {}, "not authenticated"),
        ({"kind": "codex", "environment": ["CODEX_API_KEY"], "network": True}, {}, "CODEX_API_KEY is not set"),
        ({"kind": "codex", "environment": ["CODEX_API_KEY"]}, {"CODEX_API_KEY": "k"}, "network = true"),
        ({"kind": "codex", "provider": "other", "model": "m"}, {}, "speaks openai"),
        ({"kind": "codex", "provider": "main"}, {}, "no model"),
        ({"kind": "generic", "command": ["sh"]}, {}, "success"),
    ],
)
def test_what_is_missing_is_said(fields: dict[str, Any], variables: dict[str, str], said: str, tmp_path: Path) -> None:
    """As a sentence that names the worker and what to do."""
    folder = _npm(tmp_path)
    wanted = _settings(me=fields)
    seen = found.find("me", wanted.worker("me"), wanted, {"PATH": f"{folder}/bin:{folder}/node/bin:/bin", **variables})
    assert said in seen.missing
    assert seen.missing.startswith("me")


def test_an_agent_without_its_interpreter_is_missing(tmp_path: Path) -> None:
    """A script of node's is of no use without node."""
    folder = _npm(tmp_path)
    wanted = _settings(cx={"kind": "codex", "provider": "main", "model": "m"})
    assert "needs node" in found.find("cx", wanted.worker("cx"), wanted, {"PATH": f"{folder}/bin"}).missing


def test_a_budget_is_hard_only_where_nothing_can_go_past_the_gateway(tmp_path: Path) -> None:
    """With the network, or a key of its own, it is soft, and that is shown."""
    # shows: F8
    folder = _npm(tmp_path)
    environment = {"PATH": f"{folder}/bin:{folder}/node/bin:/bin", "CODEX_API_KEY": "k"}
    wanted = _settings(
        net={"kind": "codex", "provider": "main", "model": "m", "network": True},
        own={"kind": "codex", "environment": ["CODEX_API_KEY"], "network": True},
        blind={"kind": "generic", "command": ["sh"], "stream": STREAM, "provider": "main"},
        told={"kind": "generic", "command": ["sh", "{url}"], "stream": STREAM, "provider": "main"},
    )
    budgets = {name: found.find(name, wanted.worker(name), wanted, environment).budget for name in wanted.workers}
    assert budgets == {"net": "soft", "own": "soft", "blind": "soft", "told": "hard"}


def test_the_embedded_builder_is_always_there() -> None:
    """And spends nothing."""
    assert found.find("builder", Worker(kind="builder"), Settings(), {}) == found.Found()
