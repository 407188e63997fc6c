"""What is a machine's fault is never a verdict about a result: on nodes it refuses, here it is what it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit import repository_desk
from tests.unit.repository_desk import RIGHT

from daybreak import events
from daybreak.checks.evidence import Evidence
from daybreak.engine import Paused
from daybreak.engine.dispatch import Answer, Doing, Job, JobBroken, Key, Local, Node, NodeRefused, NotOnNode
from daybreak.errors import CheckError, DaybreakError
from daybreak.factory import looking, lookjobs, looks
from daybreak.factory.consensus import Probe
from daybreak.factory.repository import looks as repositorylooks
from daybreak.factory.repository import venvs
from daybreak.factory.validate import looks as validatelooks
from daybreak.factory.validate.looking import Subject
from daybreak.factory.validate.planned import Plan, Planned
from daybreak.factory.validate.surroundings import Surroundings
from daybreak.host import tree
from daybreak.host.process import ProgramNotStarted
from daybreak.report import run as report


def doing(folder: Path, body: dict[str, Any], *, here: bool) -> Doing:
    for name in ("files", "work"):
        (folder / name).mkdir(exist_ok=True, parents=True)
    return Doing(
        body={"needed": [], "limit_s": 30.0, "require": "degraded", **body},
        scratch=folder / "scratch",
        kept={},
        lock=threading.Lock(),
        cancelled=threading.Event(),
        tell=print,
        here=here,
        given={"files": folder / "files"},
        lent={"work": folder / "work"},
    )


def of_repository(folder: Path, *, here: bool) -> Any:
    body = {"check": {"name": "check:1 true", "command": "true"}, "venvs": []}
    before = {"check": "check:1 true", "passed": True, "summary": ""}
    more = {"before": before, "workspace": "a" * 64, "sources": [], "free": []}
    return repositorylooks.look(doing(folder, {**body, **more}, here=here))


def of_base(folder: Path, *, here: bool) -> Any:
    body = {"check": {"name": "check:1 true", "command": "true"}, "venvs": []}
    return repositorylooks.base(doing(folder, body, here=here))


def of_project(folder: Path, *, here: bool) -> Any:
    check = Planned(name="lint:own", kind="lint", language="generic", how="command", command="true", tool="own")
    subject = validatelooks._subjects().dump_python(Subject("a" * 64, (), 10), mode="json")
    body = {"check": check.model_dump(mode="json"), "subject": subject, "around": Surroundings(folder="/").model_dump()}
    return validatelooks.look(doing(folder, body, here=here))


def of_fixers(folder: Path, *, here: bool, command: str = "true") -> Any:
    plan = Plan(languages=(), checks=(), fixers=())
    body = {"names": [f"command: {command}"], "plan": plan.model_dump(mode="json"), "python": []}
    body["around"] = Surroundings(folder="/").model_dump()
    return validatelooks.fix(doing(folder, body, here=here))


BROKEN: list[Exception] = [
    PermissionError(13, "Permission denied", "/usr/bin/env"),
    MemoryError(),
    ProgramNotStarted("no process can be started", hint="look at ulimit"),
]


@pytest.mark.parametrize("error", BROKEN, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("look", [of_base, of_repository, of_project, of_fixers])
def test_what_breaks_on_a_node_is_asked_of_others(
    look: Callable[..., Any], error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a machine without rights, memory or processes would fail the run, or give a result as one that cannot be
    looked at."""  # shows: N14

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("daybreak.host.process.run", broken)
    with pytest.raises(NotOnNode, match="it could not look"):
        look(tmp_path / "there", here=False)
    with pytest.raises(type(error)):
        look(tmp_path / "here", here=True)


def test_what_a_look_says_of_the_result_comes_from_a_node_as_it_is(tmp_path: Path) -> None:
    """An error of a check is no fault of the machine."""
    with pytest.raises(CheckError, match="wrong"), lookjobs.looking(doing(tmp_path, {}, here=False)):
        raise CheckError("the result is wrong", hint="mend it")
