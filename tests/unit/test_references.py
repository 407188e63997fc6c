"""What events of any shape refer to: whoever asks is never stopped by what somebody stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daybreak import events
from daybreak.factory.blobs import blobs_of, of_record
from daybreak.home import views
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.homecheck import verify_home
from daybreak.testing.clock import FakeClock

A, B, C = "a" * 64, "b" * 64, "c" * 64
SHAPES: tuple[dict[str, Any], ...] = (
    {},
    {"specification": None},
    {"specification": 7, "taken": "x", "rejected": "x"},
    {"specification": [], "taken": {"run": 1}, "rejected": {"tree": 5}},
    {"specification": {}, "taken": [1], "rejected": []},
    {"specification": "../../etc/passwd", "rejected": {"tree": "no blob at all"}},
    {"taken": {"run": "run-a", "phases": [], "gates": {}, "artefacts": {"x": None}}},
)


def added(args: dict[str, Any], kind: str = "build") -> events.TaskAdded:
    return events.TaskAdded(task="task-a", run="run-a", kind=kind, title="x", args=args)


@pytest.mark.parametrize("args", SHAPES)
def test_a_build_of_any_shape_can_be_asked_what_it_refers_to(args: dict[str, Any]) -> None:
    assert all(isinstance(one, str) for one in blobs_of(added(args)))


def test_what_a_build_refers_to_is_told_whole() -> None:
    taken = {"run": "run-b", "phases": [], "gates": {}, "tree": B}
    told = blobs_of(added({"specification": A, "taken": taken, "rejected": {"tree": C}}))
    assert list(told) == [A, B, C]


def test_a_ledger_with_tasks_of_any_shape_is_verified_to_its_end(tmp_path: Path) -> None:
    """shows: N7 a check never ends in an error of its own, and names what is not there"""
    keys, witness = tmp_path / "keys", tmp_path / "witness"
    with Ledger.open(tmp_path / "ledger", keys=keys, witness=witness, clock=FakeClock(), views=views()) as ledger:
        for number, args in enumerate((*SHAPES, {"specification": A})):
            event = events.TaskAdded(task=f"task-{number}", run=f"run-{number}", kind="build", title="x", args=args)
            ledger.append([Draft(events.QUEUE, event)])
    found = verify_home(
        tmp_path / "ledger", keys=keys, witness=witness, clock=FakeClock(), views=views(), blobs=of_record
    )
    assert not found.ok
    assert [what for _, what in found.problems if A in what], found.problems
    assert len(found.problems) == 3, found.problems  # the missing one, and two that name no blob
