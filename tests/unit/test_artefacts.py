"""The design says what is kept and what users meet; a requirement without evidence is named by a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.agents.protocol import Requirement
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence, Outcome
from daybreak.factory.phases import artefacts, outline
from daybreak.factory.phases.artefacts import Design, Shown
from daybreak.factory.spec import Specification, read_text

# shows: P1

EXAMPLES = Path(__file__).parents[2] / "examples"
TREE = "a" * 64


def example(name: str) -> Specification:
    return read_text((EXAMPLES / name / "spec.md").read_text(encoding="utf-8"), name="spec.md", format="md")


def parts(design: Design) -> dict[str, tuple[str, ...]]:
    """By name: the requirements that name it."""
    return {one.name: one.requirements for one in (*design.data, *design.interfaces)}


# -- the design


def test_a_design_has_what_is_kept_beside_tables() -> None:
    """Relations, many-to-many lists and what is counted, each with the requirements that name it."""
    data = {one.name: one for one in artefacts.design(example("conduit")).data}
    follow, tags, count = data["User follow"], data["Article.tag_list"], data["Article.favorites_count"]
    assert (follow.kind, follow.fields, follow.requirements) == (
        "relation", ("user: ref User", "record: ref User"), ("FR-003", "FR-006")
    )  # fmt: skip
    assert (tags.kind, tags.fields) == ("list", ("article: ref Article", "tag_list: ref Tag"))
    assert (count.kind, count.fields, count.requirements) == ("count", ("count of favorite",), ("FR-008",))
    assert "tag_list: list of ref Tag" in data["Article"].fields


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("POST /api/users", ("FR-001",)),
        ("POST /api/users/login", ("FR-001",)),
        ("POST /api/users/logout", ()),
        ("/api/user", ("FR-002",)),
        ("/api/profiles", ("FR-001", "FR-002", "FR-003", "FR-006", "FR-007", "FR-008")),
        ("DELETE /api/profiles/KEY/follow", ("FR-003", "FR-006")),
        ("POST /api/articles/KEY/favorite", ("FR-005", "FR-008")),
        ("/api/articles/ARTICLE/comments", ("FR-007",)),
        ("GET /api/articles/feed", ("FR-006",)),
        ("GET /api/articles?search=", ("FR-010",)),
        ("conduit article list --search", ("FR-010",)),
        ("conduit article feed", ("FR-006",)),
        ("conduit user unfollow", ("FR-003", "FR-006")),
        ("conduit user login", ("FR-001",)),
        ("messages by field over HTTP", ("FR-001",)),
    ],
)
def test_a_design_has_every_way_in(name: str, requirements: tuple[str, ...]) -> None:
    """Accounts, relations, lists, searches and what lies within something else."""
    assert parts(artefacts.design(example("conduit")))[name] == requirements


def test_totals_and_files_are_ways_in_too() -> None:
    """Where the specification has them; plurals as its words say."""
    faces = parts(artefacts.design(example("expenses")))
    assert faces["expenses expense totals"] == ("FR-005",)
    assert faces["expenses expense import"] == ("FR-006", "FR-007")
    assert not [name for name in faces if "/" in name]
    assert parts(artefacts.design(example("library")))["GET /books/totals"] == ("FR-009",)


@pytest.mark.parametrize("name", ["todo", "library", "expenses", "conduit"])
def test_a_design_fits_its_schema_and_places_every_requirement(name: str) -> None:
    """The same specification gives the same bytes."""
    spec = example(name)
    design = artefacts.design(spec)
    data = artefacts.written(design)
    assert artefacts.read(data, Design, "design") == design
    assert artefacts.written(artefacts.design(example(name))) == data
    assert design.unplaced == ()
    seen = artefacts.look_at_design(design, artefacts.requirements(spec, ()), TREE)
    assert seen.outcome == "passed"


def test_held_out_headings_name_nothing() -> None:
    """What they say must not be read off the design."""
    spec = example("todo")
    text = "System MUST do it"
    asked = tuple(Requirement(id=one.id, text=text, must=one.must) for one in spec.requirements)
    spec = spec.model_copy(update={"requirements": asked})
    ids = {one.id for one in spec.examples if "FR-005" in one.requirements}
    assert spec.entities[0].actions[0].name == "finish"
    assert outline.links(spec).of_action(spec.entities[0], spec.entities[0].actions[0]) == ("FR-005",)
    assert outline.links(spec, ids).of_action(spec.entities[0], spec.entities[0].actions[0]) == ()
    assert parts(artefacts.design(spec))["todo task finish"] == ("FR-005",)
    assert parts(artefacts.design(spec, ids))["todo task finish"] == ()


# -- evidence

TWO = """---
name: notes
---
# Notes

## Objectives
- Keep notes

## Requirements
- **FR-001**: System MUST keep a note.
- **FR-002**: System MUST delete a note.
- **FR-003**: System SHOULD be quick.

### Key Entities

#### Note
| field | type | rules |
|---|---|---|
| text | text | required |
"""


def seen(check: str, *requirements: str, outcome: Outcome = "passed") -> Evidence:
    return Evidence(check=check, workspace=TREE, outcome=outcome, summary="as it is", requirements=requirements)


def look(*evidence: Evidence) -> tuple[Evidence, gate.Decision]:
    """What the check says, and what a gate says that asks for it with a veto."""
    told = artefacts.look_at_traceability(read_text(TWO, name="s.md", format="md").requirements, TREE, evidence)
    every = [*evidence, told]
    names = [one.check for one in every]
    return told, gate.decide(every, threshold=0, vetoes={artefacts.TRACEABILITY}, required=names)


def test_a_must_without_evidence_fails_the_gate_and_is_named() -> None:
    """And what should be there is named beside it."""
    told, decision = look(seen("example:1", "FR-001"))
    assert [mark.message for mark in told.marks] == ["FR-002 (MUST): no evidence", "FR-003 (SHOULD): no evidence"]
    assert decision.verdict == "failed"
    assert decision.reasons == (
        "traceability failed: 1 of 3 requirements have evidence; without: FR-002 (MUST), FR-003 (SHOULD)",
    )


def test_a_should_without_evidence_is_named_and_passes() -> None:
    """Nobody promised it."""
    told, decision = look(seen("example:1", "FR-001", "FR-002"))
    assert (told.outcome, decision.verdict) == ("passed", "passed")
    assert told.summary == "2 of 3 requirements have evidence; without: FR-003 (SHOULD)"
    assert told.counts == {"requirements": 3, "without": 1, "must_without": 0}


def test_evidence_that_did_not_pass_is_none() -> None:
    """Also where other evidence of the same requirement did."""
    told, decision = look(
        seen("example:1", "FR-001", "FR-002", "FR-003"), seen("example:2", "FR-002", outcome="unusable")
    )
    assert [mark.message for mark in told.marks] == ["FR-002 (MUST): 1 of 2 pieces of evidence did not pass"]
    assert decision.verdict == "failed"
    told, _ = look(seen("example:1", "FR-001", "FR-002", "FR-003"))
    assert told.marks == ()


def test_the_matrix_says_the_same() -> None:
    """Of every requirement, whatever is in its other columns."""
    spec = read_text(TWO, name="s.md", format="md")
    passed, failed = Shown(check="example:1", outcome="passed"), Shown(check="example:2", outcome="failed")
    evidence = {"FR-001": [passed], "FR-002": [passed, failed]}
    matrix = artefacts.trace(artefacts.requirements(spec, ()), artefacts.design(spec), TREE, {}, evidence)
    assert matrix.without_evidence == ["FR-002", "FR-003"]
    assert [row.must for row in matrix.rows] == [True, True, False]
    assert matrix.rows[1].evidence == (passed, failed)


def test_prose_is_there_for_what_it_says() -> None:
    """A copy of the specification names all requirements and is there for none."""
    spec = read_text(TWO, name="s.md", format="md")
    texts = {
        "docs/spec.md": TWO,
        "README.md": "# Notes\n\n<!-- Requirements: FR-003 -->\n",
        "notes.txt": "FR-001",
        "src/notes.py": "# FR-0011, XFR-001 and FR-002\n",
        "tests/data.txt": "FR-001",
        "tests/test_notes.py": "# shows: FR-001",
    }
    matrix = artefacts.trace(artefacts.requirements(spec, ()), None, TREE, texts, {})
    assert [row.code for row in matrix.rows] == [(), ("src/notes.py",), ("README.md",)]
    assert [row.tests for row in matrix.rows] == [("tests/test_notes.py",), (), ()]
    assert matrix.rows[0].missing == ("design", "code", "evidence")
