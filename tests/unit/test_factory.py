"""Brief, plan and machine: what is decided before a worker starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from daybreak.checks.evidence import Evidence, Mark
from daybreak.factory import brief, machine, plan
from daybreak.factory.spec import read_text, template

SPEC = read_text(template("shelf"), name="shelf.md", format="md")
ROOMY = machine.Machine(cores=2, disk_bytes_free=10**12, memory_bytes_free=10**11, shell="/bin/sh")


def evidence(check: str, outcome: str, *marks: str, requirements: tuple[str, ...] = ()) -> Evidence:
    return Evidence(
        check=check,
        workspace="0" * 64,
        outcome=outcome,  # type: ignore[arg-type] # one of the three, by the callers below
        summary=f"{check} {outcome}",
        marks=tuple(Mark(message=mark, place="a.py:1") for mark in marks),
        requirements=requirements,
    )


def test_rework_hears_only_the_requirement_of_a_held_out_example() -> None:
    """What a held-out example expected and got stays unknown to the worker."""
    # shows: F1
    seen = [evidence("example:secret", "failed", "expected Dune, got nothing", requirements=("FR-002",))]
    [finding] = brief.findings(seen, frozenset({"secret"}))
    assert (finding.check, finding.requirement, finding.message) == ("held-out example", "FR-002", "FR-002 is not met")


def test_rework_hears_everything_of_what_it_may_see() -> None:
    """Marks of open examples and of checks become findings; what passed does not."""
    seen = [
        evidence("example:open", "failed", "expected 1", requirements=("FR-001",)),
        evidence("lint", "failed", *[f"finding {n}" for n in range(50)]),
        evidence("tests", "unusable"),
        evidence("types", "passed"),
    ]
    found = brief.findings(seen, frozenset())
    assert found[0].message == "a.py:1: expected 1"
    assert len([one for one in found if one.check == "lint"]) == brief.MARKS_MAX
    assert found[-1].message == "tests unusable"
    assert not [one for one in found if one.check == "types"]


def test_a_plan_names_every_step_that_will_be_recorded() -> None:
    """Every example is proved and run, every check planned, and the gate comes before the delivery."""
    # shows: F4
    made = plan.make(SPEC, ROOMY, worker="builder", held_out=1, assume=False, sandbox="none")
    names = [step.name for step in made.steps]
    for example in SPEC.examples:
        assert names.index(f"prove {example.id}") < names.index("attempt") < names.index(f"check example:{example.id}")
    assert names[-2:] == ["gate", "deliver"]
    assert {f"check {check}" for check in plan.CHECKS} <= set(names)
    plan.refuse_shortages(made)


def test_a_machine_with_too_little_is_refused_with_numbers() -> None:
    """Nothing is started where disk, memory or a shell is missing."""
    # shows: F4
    poor = machine.Machine(cores=1, disk_bytes_free=1, memory_bytes_free=1, shell=None)
    made = plan.make(SPEC, poor, worker="builder", held_out=0, assume=False, sandbox="none")
    with pytest.raises(plan.TooLittle) as caught:
        plan.refuse_shortages(made)
    for word in ("disk", "memory", "/bin/sh"):
        assert word in caught.value.message


def test_this_machine_is_measured(tmp_path: Path) -> None:
    """A folder that does not exist yet is measured where its parent is."""
    measured = machine.measure(tmp_path / "not" / "yet")
    assert measured.cores >= 1
    assert measured.disk_bytes_free > 0
    assert machine.has_room(tmp_path / "not" / "yet")
    if sys.platform == "linux":
        assert measured.memory_bytes_free
