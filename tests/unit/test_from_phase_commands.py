"""`--from-phase` means the same wherever a specification is built, planned, queued or scheduled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.build_desk import SPECIFICATION
from typer.testing import CliRunner

from daybreak import home
from daybreak.cli import main
from daybreak.errors import DaybreakError
from daybreak.events import (
    QUEUE,
    ArtefactMade,
    Event,
    GateDecided,
    LeaseGranted,
    RunMoved,
    StepDone,
    TaskAdded,
    run_stream,
)
from daybreak.factory import task
from daybreak.factory.phases import artefacts
from daybreak.factory.spec import read
from daybreak.host import tree
from daybreak.ledger import Draft
from daybreak.settings import Settings

TASK_FILE = 'title = "look"\n\n[[step]]\nrun = ["true"]\n\n[[check]]\nrun = ["true"]\n'


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with a specification beside it."""
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.md").write_text(SPECIFICATION)
    (tmp_path / "look.toml").write_text(TASK_FILE)
    return tmp_path


def implemented(place: Path) -> str:
    """An earlier build, as its ledger tells of it: everything up to the implementation passed. Its run."""
    made = place / "made"
    made.mkdir()
    (made / "notes.py").write_text("print(1)\n")
    taken, spec = tree.take(made), read(place / "notes.md")
    asked = task.make(
        place / "notes.md",
        output=place / "earlier",
        workers=["builder"],
        settings=Settings(),
        sandbox="none",
        assume=False,
        accept_unshown=False,
        cwd=place,
    )
    with home.opened() as opened:
        run = task.submit(asked, opened.engine, opened.ledger)
        told: list[Event] = []
        for name, model in (
            ("requirements", artefacts.requirements(spec, frozenset())),
            ("design", artefacts.design(spec, frozenset())),
        ):
            blob = opened.ledger.put_blob(artefacts.written(model))
            told += [ArtefactMade(run=run, phase=name, name=name, blob=blob), gate(run, name, blob)]
        kept = {
            "tree": opened.ledger.put_blob(taken.packed),
            "workspace": taken.tree.hash,
            "worker": "builder",
            "role": "implementer",
        }
        told.append(StepDone(run=run, branch="", name="attempt", nth=1, args="", result=kept))
        told.append(gate(run, "implementation", taken.tree.hash))
        opened.ledger.append([Draft(run_stream(run), event, epoch=1) for event in [*began(run), *told]])
    return run


def began(run: str) -> list[Event]:
    return [
        LeaseGranted(run=run, owner="o", host="here", pid=1),
        RunMoved(run=run, old="queued", new="leased"),
        RunMoved(run=run, old="leased", new="running"),
    ]


def gate(run: str, phase: str, workspace: str) -> GateDecided:
    return GateDecided(run=run, attempt=1, workspace=workspace, verdict="passed", score=90.0, phase=phase)


def says(*words: str) -> Any:
    result = CliRunner().invoke(main.app, [*words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refuses(*words: str) -> DaybreakError:
    result = CliRunner().invoke(main.app, [*words])
    assert isinstance(result.exception, DaybreakError), result.output
    return result.exception


def queued() -> list[TaskAdded]:
    with home.opened() as opened:
        told = [record.event for record in opened.ledger.read(QUEUE)]
    return [event for event in told if isinstance(event, TaskAdded)]


WAYS = {
    "add": ("add", "notes.md", "--worker", "builder"),
    "plan": ("plan", "notes.md", "--worker", "builder"),
    "schedule": ("schedule", "add", "nightly", "--every", "day"),
}


def words(way: str, file: str = "notes.md") -> tuple[str, ...]:
    told = tuple(file if word == "notes.md" else word for word in WAYS[way])
    return (*told, "--from-phase", "testing", *(("--", file) if way == "schedule" else ()))


def test_what_an_earlier_build_left_is_taken_over_by_each_of_them(place: Path) -> None:
    """The queue's task and the schedule's template name it by hash, and the plan shows it."""
    # shows: P1, F14, Q1
    first = implemented(place)
    added = says(*words("add"), "--output", "later")
    (of_queue,) = [one for one in queued() if one.run == added["run"]]
    assert of_queue.args["taken"]["run"] == first
    assert of_queue.args["taken"]["phases"] == ["requirements", "design", "implementation"]
    assert [one["name"] for one in of_queue.args["phases"]["phases"]][-2:] == ["testing", "deployment"]
    plan = says(*words("plan"))
    assert (plan["taken"]["run"], plan["phases"]) == (first, ["testing", "deployment"])
    before = len(queued())
    shown = CliRunner().invoke(main.app, words("plan"), catch_exceptions=False).stdout
    assert f"requirements, design, implementation from run {first}, the result by builder" in shown
    assert len(queued()) == before
    told = CliRunner().invoke(
        main.app,
        ["schedule", "add", "nightly", "--every", "day", "--from-phase", "testing", "--json", "--", "notes.md"],
        catch_exceptions=False,
    )
    assert told.exit_code == 0, told.output
    (listed,) = says("schedule", "list")
    assert listed["task"]["args"]["taken"]["run"] == first


@pytest.mark.parametrize("way", WAYS)
def test_where_nothing_was_left_all_of_them_say_the_same(place: Path, way: str) -> None:
    """With nothing recorded; and so for a phase that there is not."""
    # shows: P1, F16
    error = refuses(*words(way))
    assert error.code == "U136"
    assert "no earlier build of notes as it is written now" in error.message
    assert "leave --from-phase out" in error.hint
    assert queued() == []
    unknown = refuses(*("tasting" if word == "testing" else word for word in words(way)))
    assert "did you mean testing?" in unknown.hint
    assert queued() == []


@pytest.mark.parametrize(
    "told",
    [
        ("add", "look.toml"),
        ("add", "--command", "true", "--unchecked"),
        ("add", "shop.tasks:publish"),
        ("add", "--repo", ".", "mend it", "--check", "true"),
        ("add", "--from", "github:octocat/hello", "--check", "true"),
    ],
)
def test_what_is_no_specification_has_no_phases(told: tuple[str, ...]) -> None:
    """It is said before anything is looked up."""
    # shows: F16
    error = refuses(*told, "--from-phase", "testing")
    assert error.code == "U178"
    assert "--from-phase is for specifications" in error.message
    assert queued() == []
