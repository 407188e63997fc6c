"""Gherkin: features, rules, backgrounds, outlines, texts and tables; a strict reader, and what is listed."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from daybreak.factory import imports
from daybreak.factory.imports import ImportBomb, ImportBroken, Imported, ImportWrongFormat, gherkin_reading
from daybreak.factory.spec import Specification

CORPUS = Path(__file__).parents[1] / "corpus" / "imports"


def read(text: str) -> Imported:
    return imports.read_text(text, PurePosixPath("desk.feature"), folder="desk")


def valid(found: Imported) -> Specification:
    assert found.specification is not None, found.problems
    return found.specification


def test_rules_become_stories_and_scenarios_become_requirements() -> None:
    """Backgrounds stand in front of each scenario, outlines are written out row by row, tables and texts stay."""
    # shows: F2
    found = imports.read(CORPUS / "lending.feature")
    spec = valid(found)
    assert (found.format, spec.name, found.left) == ("gherkin", "lending-tools", ())
    assert spec.objectives == ("I need not buy them",)
    assert [(one.title, one.priority, len(one.scenarios)) for one in spec.stories] == [
        ("Lending tools", "P1", 1),
        ("Nobody has more than three tools", "P1", 1),
        ("Overdue tools cost a fee", "P1", 3),
        ("A tool in repair is never lent", "P1", 0),
    ]
    tools = '**Given** a member "Ada", and the tools: (name, state) (drill, in) (saw, out)'
    assert spec.stories[0].scenarios[0] == (
        f"{tools}, **When** Ada borrows the drill, **Then** the drill is out, and the saw is still out"
    )
    assert (
        spec.stories[1]
        .scenarios[0]
        .endswith('**Then** she is told: "You have three tools already.\\n Bring one back first."')
    )
    assert [text.rpartition("**Given**")[2].split(", ")[-1] for text in spec.stories[2].scenarios] == [
        "**Then** the fee is 0.50 <currency>",
        "**Then** the fee is 3.50 <currency>",
        "**Then** the fee is 12 <currency>",
    ]
    assert [one.text for one in spec.requirements][-2:] == [
        "Fee after <days> days: when Ada brings it back, the system MUST see to it that the fee is <fee> <currency> "
        "(rule: Overdue tools cost a fee)",
        "System MUST keep this rule: A tool in repair is never lent",
    ]


def test_tags_that_name_things_elsewhere_lead_to_requirements() -> None:
    """`@LIB-13` is traced; a priority is one; other tags are listed with all else that was not understood."""
    # shows: F2
    found = imports.read(CORPUS / "lending.feature")
    assert [(one.theirs, one.ours) for one in found.traces] == [
        ("@LIB-12", "the whole specification"),
        ("scenario 'Borrow a tool that is in'", "FR-001"),
        ("@LIB-13", "FR-001"),
        ("scenario 'The fourth is refused'", "FR-002"),
        ("rule 'Nobody has more than three tools'", "User Story 2"),
        ("scenario 'Fee after <days> days'", "FR-003"),
        ("@LIB-20", "FR-003"),
        ("rule 'Overdue tools cost a fee'", "User Story 3"),
        ("rule 'A tool in repair is never lent'", "FR-004"),
        ("rule 'A tool in repair is never lent'", "User Story 4"),
    ]
    assert [(one.line, one.text) for one in found.not_understood] == [
        (2, "@loans"),
        (15, "@smoke"),
        (28, "You have three tools already. Bring one back first."),
        (36, "@p2"),
        (43, "<currency>"),
        (43, "note"),
        (48, "<currency>"),
        (54, "To be written"),
    ]


def test_other_languages_are_read_by_their_own_keywords() -> None:
    """German here; what is said stays in its language, Given, When and Then are ours."""
    # shows: F2
    spec = valid(imports.read(CORPUS / "ausleihe.feature"))
    assert spec.stories[0].scenarios == (
        '**Given** ein Mitglied "Grete", **When** Grete die Säge ausleiht, **Then** ist die Säge außer Haus, '
        "and Grete hat ein Werkzeug",
        '**Given** ein Mitglied "Grete", and ein Werkzeug, das 1 Tage überfällig ist, **When** Grete es zurückbringt, '
        "**Then** zahlt sie 0,50 Euro",
    )


def test_a_language_that_is_not_known_is_refused_by_name() -> None:
    """Never read as English by mistake."""
    # shows: P8
    with pytest.raises(ImportWrongFormat) as refused:
        read("# language: cy-GB\nArwedd: x\n")
    assert "desk.feature:1: the language cy-gb of Gherkin is not known here" in refused.value.message
    assert "de, en, es, fr" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Scenario: x\n", ":1: scenario stands before the feature"),
        ("Feature: x\nFeature: y\n", ":2: a second feature"),
        ("Feature: x\nScenario: y\nGiven a\nGven b\n", ":4: 'Gven b' has no place here; did you mean Given?"),
        ("Feature: x\nScenario: y\nGiven a\n| b | c |\n| d |\n", ":5: the row has 1 cells, its table 2"),
        ("Feature: x\nScenario: y\nGiven a\n| b\n", ":4: the row does not end in |"),
        ('Feature: x\nScenario: y\nGiven a\n"""\nb\n', ":4: this text is not closed"),
        ("Feature: x\nExamples:\n| a |\n", ":2: examples stand below a scenario"),
        ("Feature: x\nScenario: y\nGiven a\nBackground:\nGiven b\n", ":4: a background stands once"),
        ("Feature: x\n@a\n", ":2: tags stand above nothing"),
        ("Feature: x\n@a b\nScenario: y\nGiven z\n", ":2: 'b' is no tag"),
        ("Feature: x\nScenario Outline: y\nGiven <a>\nExamples:\n| a | a |\n", ":5: two columns have one name"),
        ("Just a text\n", ":1: 'Just a text' has no place here"),
    ],
)
def test_what_breaks_the_grammar_is_told_with_its_line(text: str, fault: str) -> None:
    """All of it at once; nothing is imported of a broken file."""
    # shows: P8
    with pytest.raises(ImportBroken) as refused:
        read(text)
    assert f"desk.feature{fault}" in refused.value.message


def test_every_broken_line_is_told_at_once() -> None:
    """The first twenty, and how many more there are."""
    with pytest.raises(ImportBroken) as refused:
        read("Feature: x\nScenario: y\nGiven a\n" + "nonsense\n" * 30)
    lines = refused.value.message.split("\n")
    assert len(lines) == gherkin_reading.FAULTS_MAX + 1
    assert lines[-1] == "and 10 more"


def test_cells_keep_their_escapes() -> None:
    """`\\|`, `\\n` and `\\\\` stand for a pipe, a line end and a backslash."""
    found = gherkin_reading.read("Feature: x\nScenario: y\nGiven a\n| \\| | \\n | \\\\ | b |\n", "x")
    assert found.rules[0].scenarios[0].steps[0].table == [["|", "\n", "\\", "b"]]


def test_examples_that_would_grow_without_end_are_refused() -> None:
    """Before anything is written out: a long value in many places, in many rows."""
    # shows: P8
    steps = "Given " + "<a>" * 20_000 + "\n"
    rows = "".join(f"| {'x' * 2_000}{n} |\n" for n in range(200))
    with pytest.raises(ImportBomb):
        read(f"Feature: x\nScenario Outline: y\n{steps}Then z\nExamples:\n| a |\n{rows}")


def test_a_file_without_the_ending_is_known_by_its_first_line() -> None:
    """Comments and tags may stand above."""
    found = imports.read_text(
        "# desk\n@p1\nFeature: Desk\n  Scenario: a\n    When b\n    Then c\n", PurePosixPath("desk")
    )
    assert (found.format, found.reason) == ("gherkin", "it begins with a feature")
    assert valid(found).stories[0].scenarios == ("**Given** any state, **When** b, **Then** c",)
