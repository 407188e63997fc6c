"""Orchestrators of others: looked at before they are loaded, loaded where they can do no harm, believed in nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from daybreak.agents.outside import OutsideWorker, installed, mode
from daybreak.agents.outside.examine import PluginBroken, PluginExports, PluginVersion, examine
from daybreak.agents.outside.find import find
from daybreak.agents.outside.plugin import Plugin, PluginMissing, PluginUnclear, locate
from daybreak.agents.protocol import Brief, Claim, Gateway, Note, Terms, Told, Usage
from daybreak.settings import Settings, Worker

BRIEF = Brief(name="shelf", title="Shelf", summary="Build the shelf.")
LANGGRAPH = Path(__file__).parents[2] / "out/peers/bin/python"
GOOD = "def orchestrate(brief, workspace):\n    return brief['title']\n"


def plugin(folder: Path, source: str | bytes, name: str = "own.py") -> Plugin:
    file = folder / name
    file.write_bytes(source.encode() if isinstance(source, str) else source)
    return locate(f"{file}:orchestrate")


def work(
    folder: Path,
    source: str,
    *,
    silence_s: float = 30.0,
    time_s: float = 60.0,
    gateway: Gateway | None = None,
    **options: Any,
) -> tuple[list[Told], Claim]:
    """What the worker tells of an orchestrator with that source; its workspace is `folder/work`."""
    (folder / "own.py").write_text(source)
    workspace = folder / "work"
    workspace.mkdir(exist_ok=True)
    settings = {"kind": "outside", "program": f"{folder}/own.py:orchestrate", "options": options}
    terms = Terms(settings=settings, silence_s=silence_s, time_s=time_s, gateway=gateway)
    *told, claim = OutsideWorker().work(BRIEF, workspace, terms)
    assert isinstance(claim, Claim)
    return told, claim


def notes(told: list[Told]) -> list[str]:
    return [item.text for item in told if isinstance(item, Note)]


# -- before it is loaded


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("", PluginBroken, "is empty"),
        (" \n# only words\n", PluginBroken, "is empty"),
        ('"""Only words."""', PluginBroken, "is empty"),
        ("def orchestrate(:", PluginBroken, "does not compile"),
        ("def orchestrate(brief, workspace): ...\nreturn 5", PluginBroken, "does not compile"),
        (b"\0\0\0", PluginBroken, "does not compile"),
        (b"# coding: latin-9000\nx = 1", PluginBroken, "does not compile"),
        ("def other(brief, workspace): ...", PluginExports, "exports no 'orchestrate' (it has other)"),
        ("def orchestrate(): ...", PluginExports, "must take a brief and a workspace"),
        ("def orchestrate(brief): ...", PluginExports, "must take a brief and a workspace"),
        ("def orchestrate(a, b, c): ...", PluginExports, "it is `(a, b, c)`"),
        ("def orchestrate(a, b, *, c): ...", PluginExports, "must take a brief and a workspace"),
        ("orchestrate = lambda: 5", PluginExports, "must take a brief and a workspace"),
        ("orchestrate = 'graph'", PluginExports, "is a plain value"),
        ("class orchestrate:\n    x = 5", PluginExports, "cannot be called"),
        ("class orchestrate:\n    def __call__(self, brief): ...", PluginExports, "must take"),
        (f"DAYBREAK = '>=99'\n{GOOD}", PluginVersion, "is made for daybreak >=99"),
        (f"DAYBREAK = 'new ones'\n{GOOD}", PluginVersion, "no range of versions"),
        (f"DAYBREAK = 5\n{GOOD}", PluginVersion, "is no text"),
        (f"DAYBREAK = '>=' + '0'\n{GOOD}", PluginVersion, "is no text"),
    ],
)
def test_a_broken_plugin_is_named_before_it_is_loaded(
    tmp_path: Path, source: str | bytes, error: type[Exception], words: str
) -> None:
    """What is wrong is said from its source alone."""
    # shows: F9
    with pytest.raises(error) as seen:
        examine(plugin(tmp_path, source))
    assert words in str(seen.value)
    assert "own.py" in str(seen.value)


@pytest.mark.parametrize(
    "source",
    [
        GOOD,
        f"DAYBREAK = '>=0.1,<1'\n{GOOD}",
        "async def orchestrate(brief, /, workspace, more=5, *rest, x=1): ...",
        "try:\n    from fast import orchestrate\nexcept ImportError:\n    def orchestrate(*all): ...",
        "orchestrate = make()",
        "a, orchestrate = make()",
        "from x import *",
        "def __getattr__(name): ...",
        "class orchestrate(Base): ...",
        "class orchestrate:\n    def __call__(self, brief, workspace): ...",
        "@decorated\ndef orchestrate(): ...",
        "if True:\n    with x as y:\n        orchestrate = y",
    ],
)
def test_what_could_be_right_is_not_refused(tmp_path: Path, source: str) -> None:
    """What only loading could tell is left to loading."""
    examine(plugin(tmp_path, source))


def test_looking_runs_not_a_line_of_it(tmp_path: Path) -> None:
    """Neither the file, nor the packages around it, nor anything on the way."""
    # shows: F9
    package = tmp_path / "outer/inner"
    package.mkdir(parents=True)
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    for file in (tmp_path / "outer/__init__.py", package / "__init__.py"):
        file.write_text(trap)
    (package / "deep.py").write_text(trap + GOOD)
    worker = Worker(kind="outside", program="outer.inner.deep:orchestrate", options={"path": [str(tmp_path)]})
    found = find("o", worker, Settings(), {})
    assert found.missing == ""
    assert set(found.readable) == {tmp_path / "outer", tmp_path}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/nowhere/own.py:orchestrate", "there is no file"),
        ("/nowhere/folder", "there is no folder"),
        ("own.py:orchestrate", "no absolute path"),
        ("no_such_module:graph", "there is no module 'no_such_module'"),
        ("json.nothing:graph", "there is no module 'json.nothing'"),
        ("json.decoder.deeper:graph", "there is no module 'json.decoder.deeper'"),
        ("..json:graph", "there is no module"),
        ("math:sin", "is not Python source"),
        ("no-such-plugin", "no plug-in 'no-such-plugin' is installed"),
        ("", "no plug-in of the group daybreak.orchestrators is installed"),
        ("/n\0l/own.py:x", "no absolute path"),
    ],
)
def test_what_is_not_there_is_said_with_its_name(program: str, words: str) -> None:
    """No name, however odd, is more than a sentence."""
    with pytest.raises(PluginMissing) as seen:
        locate(program)
    assert words in str(seen.value)
    assert seen.value.hint


def test_a_folder_is_its_orchestrator_or_itself_as_a_package(tmp_path: Path) -> None:
    """A directory in the configuration is enough."""
    # shows: F9
    with pytest.raises(PluginMissing, match=r"holds no orchestrator\.py"):
        locate(str(tmp_path))
    (tmp_path / "__init__.py").write_text(GOOD)
    assert locate(str(tmp_path)).file == tmp_path / "__init__.py"
    (tmp_path / "orchestrator.py").write_text(GOOD)
    assert locate(str(tmp_path)).file == tmp_path / "orchestrator.py"


def test_only_what_was_named_can_be_read(tmp_path: Path) -> None:
    """A file opens no folder: what lies beside it may be private."""
    # shows: F9
    (tmp_path / "orchestrator.py").write_text(GOOD)
    for program, expected in ((f"{tmp_path}/orchestrator.py:orchestrate", "orchestrator.py"), (str(tmp_path), "")):
        found = find("o", Worker(kind="outside", program=program), Settings(), {})
        assert found.readable == (tmp_path / expected,)


# -- installed ones, and the mode


def install(site: Path, name: str, points: dict[str, str], requires: str = "") -> None:
    """A distribution as pip would leave it."""
    folder = site / f"{name}-1.2.dist-info"
    folder.mkdir(parents=True)
    more = f"Requires-Dist: {requires}\n" if requires else ""
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n{more}")
    lines = "\n".join(f"{point} = {value}" for point, value in points.items())
    (folder / "entry_points.txt").write_text(f"[daybreak.orchestrators]\n{lines}\n")


def configured(**workers: Worker) -> Settings:
    return Settings(order=(*workers, "builder"), workers=dict(workers))


def test_alone_is_standalone_and_says_so() -> None:
    """Nothing installed, nothing configured."""
    # shows: F9
    seen = mode(Settings(), {})
    assert (seen.name, seen.found) == ("standalone", ())
    assert "no plug-in of the group daybreak.orchestrators is installed" in seen.why


def test_an_installed_plugin_is_found_used_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its entry point; whole ones and broken ones; integrated once the order has one that is whole."""
    # shows: F9
    (tmp_path / "swarm").mkdir()
    (tmp_path / "swarm/__init__.py").write_text("raise SystemExit('loaded')\n" + GOOD)
    (tmp_path / "broken.py").write_text("def (")
    install(tmp_path, "swarm", {"swarm": "swarm:orchestrate"}, "daybreak<1,>=0.1")
    install(tmp_path, "broken", {"hurt": "broken:orchestrate"})
    install(tmp_path, "future", {"late": "swarm:orchestrate"}, "daybreak>=7")
    monkeypatch.syspath_prepend(tmp_path)
    problems = {one.name: one.problem for one in installed()}
    assert problems["swarm"] == ""
    assert "does not compile" in problems["hurt"]
    assert "is made for daybreak >=7" in problems["late"]
    idle = mode(Settings(), {})
    assert idle.name == "standalone"
    assert "swarm is installed, and no worker" in idle.why
    seen = mode(configured(s=Worker(kind="outside", program="swarm")), {})
    assert seen.name == "integrated"
    assert "s (swarm 1.2)" in seen.why
    broken = mode(configured(s=Worker(kind="outside", program="hurt")), {})
    assert broken.name == "standalone"
    assert "s cannot be asked" in broken.why
    with pytest.raises(PluginUnclear):
        locate("")
    found = find("s", Worker(kind="outside", program="swarm"), Settings(), {})
    assert (found.version, found.readable) == ("1.2", (tmp_path / "swarm",))


def test_an_entry_point_is_run_where_it_is_installed(tmp_path: Path) -> None:
    """The only one there is needs no name."""
    (tmp_path / "swarm.py").write_text(
        "class Own:\n    def go(self, brief, workspace):\n        return 'went'\nown = Own()\n"
    )
    install(tmp_path, "swarm", {"swarm": "swarm:own.go"})
    settings = {"kind": "outside", "options": {"path": [str(tmp_path)]}}
    *_, claim = OutsideWorker().work(BRIEF, tmp_path, Terms(settings=settings))
    assert claim == Claim(outcome="finished", summary="went")


# -- once it is loaded


def test_a_plain_function_is_an_orchestrator(tmp_path: Path) -> None:
    """It gets the brief as a table and a folder; what it yields is told, what it prints is not, what it returns is
    its claim; the gateway is in its environment, and our own modules are not in its way."""
    # shows: F8 F9
    source = """
import os, sys, mode_of_mine
DAYBREAK = ">=0.1,<1"
async def part(brief):
    return brief["summary"]
def orchestrate(brief, workspace):
    print('{"result": {"summary": "forged"}}')
    yield os.environ["OPENAI_BASE_URL"] + " " + os.environ["OPENAI_API_KEY"] + " " + os.environ["OWN"]
    yield {"note": "half", "fraction": 0.5, "usage": {"input_tokens": 3}}
    yield {"note": "odd", "fraction": "x", "usage": {"input_tokens": "many"}}
    with open(os.path.join(workspace, "made"), "w") as file:
        file.write(brief["title"])
    return {"summary": mode_of_mine.SAID, "outcome": "partial", "not_built": ["the index"], "more": object()}
"""
    (tmp_path / "mode_of_mine.py").write_text("SAID = 'so far'")
    gateway = Gateway(url="http://127.0.0.1:9", token="tok", api="openai", model="mod")
    told, claim = work(tmp_path, source, gateway=gateway, environment={"OWN": "{url}/x {model}"})
    assert claim == Claim(outcome="partial", summary="so far", not_built=("the index",))
    assert (tmp_path / "work/made").read_text() == "Shelf"
    assert told == [
        Note(text="loaded, as callable"),
        Note(text="http://127.0.0.1:9/openai/v1 tok http://127.0.0.1:9/x mod"),
        Note(text="half", fraction=0.5),
        Usage(input_tokens=3),
        Note(text="odd"),
        Note(text="it told of usage in a form that nobody can read"),
    ]


@pytest.mark.parametrize(
    ("body", "trouble", "words"),
    [
        ("raise ValueError('no luck')", "crashed", "it raised ValueError: no luck"),
        ("raise RuntimeError('Error code: 429 - rate limit')", "quota", "429"),
        ("import sys; sys.exit(0)", "crashed", "it ended the process with status 0"),
        ("import os; os._exit(0)", "crashed", "it ended without a result: exit status 0"),
        ("import os; os.kill(os.getpid(), 9)", "crashed", "SIGKILL"),
        ("return 5", "crashed", "it returned a int"),
        ("return {'outcome': 'passed'}", "crashed", "it claims 'passed'"),
        ("return {'not_built': 'x'}", "crashed", "not_built"),
        ("return {'outcome': 'refused'}", "refused", ""),
        ("yield 5", "crashed", "it yielded a int"),
    ],
)
def test_however_it_ends_it_is_a_claim(tmp_path: Path, body: str, trouble: str, words: str) -> None:
    """Errors, exits, deaths and results that are none."""
    # shows: F9 F16
    _, claim = work(tmp_path, f"def orchestrate(brief, workspace):\n    {body}\n")
    assert claim.trouble == trouble, claim
    assert claim.outcome == ("refused" if trouble == "refused" else "crashed")
    assert words in claim.summary


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_library\n", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("import sys; sys.exit('x')\n", "it cannot be loaded: it ended the process with status 'x'"),
        ("orchestrate = dict()\n#", "a dict is not a function, a graph or a crew"),
    ],
)
def test_what_cannot_be_loaded_is_unavailable(tmp_path: Path, source: str, words: str) -> None:
    """So the cascade goes on, with the reason; nothing of this process was touched."""
    # shows: F9
    _, claim = work(tmp_path, source + "\n" + ("" if source.endswith("#") else GOOD))
    assert (claim.outcome, claim.trouble) == ("crashed", "unavailable")
    assert words in claim.summary


def test_one_that_hangs_is_ended_with_what_it_forked(tmp_path: Path) -> None:
    """Processes of its own do not get away, and cannot speak for it."""
    # shows: F8
    source = """
import os, signal, time
def orchestrate(brief, workspace):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open("new", "w") as file:
                file.write(str(os.getpid()))
            os.rename("new", "orphan")
            time.sleep(600)
        return "the child has a result"
    while not os.path.exists("orphan"):
        time.sleep(0.005)
    time.sleep(600)
"""
    began = time.monotonic()
    _, claim = work(tmp_path, source, silence_s=0.7)
    assert (claim.trouble, claim.summary) == ("stalled", "it said nothing for 0.7 s")
    assert not Path("/proc", (tmp_path / "work/orphan").read_text()).exists()
    assert time.monotonic() - began < 5.7


def test_one_that_floods_us_is_ended_by_the_clock(tmp_path: Path) -> None:
    """Printing without end costs no memory and ends with its time."""
    source = "def orchestrate(brief, workspace):\n    while True:\n        print('x' * 10000)\n"
    _, claim = work(tmp_path, source, time_s=0.5)
    assert (claim.outcome, claim.trouble) == ("partial", "budget")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pyhton": "/usr/bin/python3"}, "options.pyhton is not known"),
        ({"python": "python3"}, "is no program here"),
        ({"path": "x"}, "is a list of folders"),
        ({"path": ["relative"]}, "no absolute path"),
        ({"adapter": "magic"}, "is one of auto"),
        ({"config": []}, "is a table"),
        ({"to_input": "nothing"}, "exports no 'nothing'"),
    ],
)
def test_options_that_make_no_sense_are_named(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    """By the host before the attempt, and by the attempt, in the same words."""
    _, claim = work(tmp_path, GOOD, **options)
    assert claim.trouble == "unavailable"
    assert words in claim.summary
    worker = Worker(kind="outside", program=f"{tmp_path}/own.py:orchestrate", options=options)
    assert words in find("o", worker, Settings(), {}).missing


def test_a_graph_or_a_crew_is_known_by_what_it_can_do(tmp_path: Path) -> None:
    """Objects with the methods of both libraries, driven as the real ones are."""
    source = """
class Used:
    successful_requests, prompt_tokens, cached_prompt_tokens, completion_tokens = 2, 30, 10, 5
class Output:
    raw, token_usage = "the crew did it", Used()
class Crew:
    def kickoff(self, inputs):
        assert inputs["title"] == "Shelf" and inputs["brief"]["summary"]
        return Output()
class Project:
    def crew(self):
        return Crew()
orchestrate = Project
"""
    told, claim = work(tmp_path, source)
    assert claim.summary == "the crew did it"
    assert told[1:] == [Usage(requests=2, input_tokens=30, cached_tokens=10, output_tokens=5)]


@pytest.mark.skipif(not LANGGRAPH.exists(), reason="no LangGraph here: `make peers` installs it into out/peers")
def test_a_real_langgraph_graph_in_another_environment(tmp_path: Path) -> None:
    """A graph with synchronous and asynchronous nodes, in a Python that has never heard of us; then one that asks."""
    # shows: F9
    source = """
import os
from typing import TypedDict
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

class State(TypedDict, total=False):
    task: str
    place: str
    summary: str

def to_input(brief, workspace):
    return {"task": brief["title"], "place": workspace}

def plan(state):
    if state["place"].endswith("ask"):
        interrupt("which colour?")
    return {"task": "write " + state["task"]}

async def build(state):
    with open(os.path.join(state["place"], "made"), "w") as file:
        file.write(state["task"])
    return {"summary": "built as planned"}

orchestrate = StateGraph(State)
orchestrate.add_node("plan", plan)
orchestrate.add_node("build", build)
orchestrate.add_edge(START, "plan")
orchestrate.add_edge("plan", "build")
orchestrate.add_edge("build", END)
compile = orchestrate.compile
orchestrate.compile = lambda: compile(checkpointer=InMemorySaver())
"""
    (tmp_path / "own.py").write_text(source)
    options = {"python": str(LANGGRAPH), "to_input": "to_input", "config": {"configurable": {"thread_id": "1"}}}
    settings = {"kind": "outside", "program": f"{tmp_path}/own.py:orchestrate", "options": options}
    for name, outcome, summary in (
        ("work", "finished", "built as planned"),
        ("ask", "partial", "the graph asks a person: which colour?"),
    ):
        (tmp_path / name).mkdir()
        *told, claim = OutsideWorker().work(BRIEF, tmp_path / name, Terms(settings=settings))
        assert isinstance(claim, Claim)
        assert (claim.outcome, claim.summary) == (outcome, summary)
        if name == "work":
            assert notes(told) == ["loaded, as langgraph", "node plan", "node build"]
            assert (tmp_path / "work/made").read_text() == "write Shelf"
    found = find("o", Worker(**settings), Settings(), {})
    assert found.missing == ""
    assert LANGGRAPH.parent.parent in found.readable


def test_finding_out_the_mode_imports_no_plugin_and_is_cheap() -> None:
    """For the host: neither the library of the protocol nor that of models is loaded on the way."""
    code = (
        "import sys, json; from daybreak.agents import outside; from daybreak.settings import Settings;"
        "outside.mode(Settings(), {}); print(json.dumps(sorted(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"acp", "pydantic_ai", "langgraph", "crewai"} & set(json.loads(ran.stdout))
