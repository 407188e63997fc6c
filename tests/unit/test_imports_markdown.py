"""spec-kit, Kiro and plain PRDs: what becomes of each part, and what is listed as not understood."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from daybreak.factory import imports
from daybreak.factory.imports import Imported, ImportFormat, ears, plain, user_stories
from daybreak.factory.spec import Specification

CORPUS = Path(__file__).parents[1] / "corpus" / "imports"


def read(text: str, format_: ImportFormat, folder: str = "shelf") -> Imported:
    return imports.read_text(text, PurePosixPath("file.md"), format_, folder=folder)


def valid(found: Imported) -> Specification:
    assert found.specification is not None, found.problems
    return found.specification


def lost(found: Imported) -> list[tuple[int, str]]:
    return [(one.line, one.text) for one in found.not_understood]


def traced(found: Imported) -> dict[str, str]:
    return {one.theirs: one.ours for one in found.traces}


# -- spec-kit


def test_a_spec_kit_specification_keeps_its_stories_numbers_and_questions() -> None:
    """Numbers of ours stay, others get free ones and a trace; questions stay questions."""
    # shows: F2
    found = imports.read(CORPUS / "specs/003-photo-albums/spec.md")
    spec = valid(found)
    assert (found.format, found.reason) == ("spec-kit", "its title is Feature Specification")
    assert (spec.name, spec.title) == ("photo-albums", "Photo Albums")
    assert [(one.title, one.priority, len(one.scenarios)) for one in spec.stories] == [
        ("Make an album", "P1", 2),
        ("Reorder albums", "P2", 1),
    ]
    assert spec.stories[0].narrative.count("\n\n") == 2
    assert [(one.id, one.must) for one in spec.requirements] == [
        ("FR-001", True),
        ("FR-002", True),
        ("FR-003", False),
        ("FR-006", True),
        ("FR-007", True),
        ("FR-008", True),
        ("FR-009", True),
    ]
    assert traced(found) == {"edge case, line 47": "FR-007", "FR-003a": "FR-008", "NFR-001": "FR-009"}
    assert spec.objectives == ("I find the pictures of one trip together",)
    assert [one.id for one in spec.success_criteria] == ["SC-001", "SC-002"]
    assert spec.out_of_scope == ("Editing of photos",)
    assert "One person uses the program at a time" in spec.summary
    assert "Decided: May albums contain albums? No, never" in spec.summary


def test_entities_of_spec_kit_have_the_fields_that_their_text_names_and_a_question() -> None:
    """Nobody can know of which types they are, so a person is asked; those without fields are listed."""
    # shows: F2
    found = imports.read(CORPUS / "specs/003-photo-albums/spec.md")
    spec = valid(found)
    assert {one.name: [field.name for field in one.fields] for one in spec.entities} == {
        "Album": ["name", "date", "position"],
        "Photo": ["path", "taken_at", "width", "height"],
    }
    assert [one.question for one in spec.clarifications] == [
        "which sources - disk, camera, cloud?",
        "of which types are the fields of Album, and which of them are required or unique?",
        "of which types are the fields of Photo, and which of them are required or unique?",
        "What happens when a photo is deleted outside of the program?",
        "How does the system handle two photos with the same name?",
    ]
    assert [one.code for one in found.left] == ["S183"] * 5


def test_what_spec_kit_has_and_a_specification_has_not_is_listed() -> None:
    """With the line, in the order of the file."""
    # shows: F2
    found = imports.read(CORPUS / "specs/003-photo-albums/spec.md")
    assert lost(found) == [
        (3, "**Feature Branch**: `003-photo-albums`"),
        (4, "**Created**: 2026-03-14"),
        (5, "**Status**: Draft"),
        (40, "Screen | Sketch | Overview | see the whiteboard"),
        (60, "*Example of marking unclear requirements:*"),
        (63, "Thumbnails"),
        (69, "**Library**: Everything that one person has"),
        (95, "No implementation details"),
        (96, "Written for people without technical background"),
    ]
    assert all(one.text in found.text for one in found.not_understood)
    remedies = {one.line: one.remedy for one in found.not_understood}
    assert remedies[69].startswith("write #### Library and a table")


def test_the_older_template_of_spec_kit_is_understood_too() -> None:
    """One primary story, scenarios under a heading of their own, numbers without bold type."""
    text = (
        '# Feature Specification: [FEATURE NAME]\n\n**Input**: User description: "$ARGUMENTS"\n\n'
        "## User Scenarios & Testing *(mandatory)*\n\n### Primary User Story\nA reader borrows a book.\n\n"
        "### Acceptance Scenarios\n1. **Given** a book, **When** it is lent, **Then** it is out\n\n"
        "## Requirements *(mandatory)*\n\n### Functional Requirements\n- FR-001: System MUST lend books\n"
        "- **FR-002:** System MUST take them back\n\n## Execution Status\n- [ ] Done\n\n## Payment\n"
    )
    found = read(text, "spec-kit")
    spec = valid(found)
    assert [one.id for one in spec.requirements] == ["FR-001", "FR-002"]
    assert spec.stories[0].scenarios == ("**Given** a book, **When** it is lent, **Then** it is out",)
    assert spec.title == "File"
    assert spec.objectives == ("[NEEDS CLARIFICATION: what is it for, and for whom?]",)
    assert lost(found) == [(20, "Done"), (22, "Payment")]


def test_requirements_inside_a_story_are_requirements() -> None:
    """Some teams write them there; a number that occurs twice gets a new one."""
    text = (
        "# Feature Specification: Shelf\n\n## User Scenarios & Testing\n\n"
        "### User Story 1 - Lend (Priority: P1)\n\nLend.\n\n"
        "**Functional Requirements**:\n\n- **FR-001**: System MUST lend\n\n"
        "**Edge Cases**:\n\n- What if it is out?\n\n**Sketches**:\n\n- see the wall\n\n"
        "### User Story 2 - Return (Priority: P2)\n\n"
        "**Functional Requirements**:\n\n- **FR-001**: System MUST take back\n"
    )
    found = read(text, "spec-kit")
    assert [(one.id, one.text) for one in valid(found).requirements] == [
        ("FR-001", "System MUST lend"),
        ("FR-002", "System MUST take back"),
    ]
    assert traced(found) == {"FR-001": "FR-002"}
    assert lost(found) == [(17, "**Sketches**:"), (19, "see the wall")]


# -- Kiro


def test_each_criterion_of_kiro_is_a_requirement_that_its_number_leads_to() -> None:
    """WHEN, IF, WHILE, WHERE and always: SHALL is MUST, the numbers of theirs lead to ours."""
    # shows: F2
    found = imports.read(CORPUS / "kiro-loans/requirements.md")
    spec = valid(found)
    assert (found.format, spec.name, found.left) == ("kiro", "kiro-loans", ())
    texts = {one.id: one.text for one in spec.requirements}
    assert {theirs: texts.get(ours, ours) for theirs, ours in traced(found).items()} == {
        "1.1": "When a member borrows a tool that is in, the Loan_Desk MUST mark it as out",
        "1.2": "If the tool is out, the Loan_Desk MUST refuse the loan and name who has it",
        "1.3": "While a member has three tools, when the member borrows another, the Loan_Desk MUST refuse it",
        "1.4": "Where reminders are switched on, the Loan_Desk MUST NOT send more than one reminder a day",
        "1.5": "The Loan_Desk MUST keep every loan for ten years",
        "2.1": "When the warden asks for overdue tools, the system MUST list each one with its member and "
        "the days overdue",
        "2.2": "When nothing is overdue, the system MUST say so",
        "line 46": "The system MUST answer every command within 200 ms",
        "Requirement 1": "User Story 1",
        "Requirement 2": "User Story 2",
        "Requirement 3": "User Story 3",
    }
    assert [one.title for one in spec.stories] == ["Lending", "See overdue tools", "Opening hours"]
    assert spec.stories[0].scenarios[2] == (
        "**Given** a member has three tools, **When** the member borrows another, **Then** the Loan_Desk must refuse it"
    )
    assert "- **Tool**: A thing that can be lent once at a time" in spec.summary


def test_what_is_no_ears_is_listed() -> None:
    """A criterion without SHALL, a requirement without a criterion, notes of another kind."""
    # shows: F2
    found = imports.read(CORPUS / "kiro-loans/requirements.md")
    assert lost(found) == [
        (25, "It should feel quick"),
        (36, "Requirement 3 Opening hours"),
        (42, "Opening hours are shown somewhere"),
        (50, "We may use SQLite."),
    ]


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        ("THE SYSTEM SHALL keep time", "The system MUST keep time"),
        ("When the bell rings, the door shall open.", "When the bell rings, the door MUST open"),
        ("WHEN a `SHALL` b THE x SHALL y", "When a `SHALL` b, the x MUST y"),
        ("IF a AND b THEN System SHALL NOT c", "If a AND b, the system MUST NOT c"),
        ("WHILE a, WHEN b, IF c THEN the x SHALL d", "While a, when b, if c, the x MUST d"),
        ("WHERE a is there, the **Loan Desk** SHALL b", "Where a is there, the Loan Desk MUST b"),
        ("IF a THEN x SHALL b, OTHERWISE x SHALL c", "If a, x MUST b, OTHERWISE x MUST c"),
    ],
)
def test_ears_is_read_in_all_its_forms(text: str, requirement: str) -> None:
    """Words in capitals or not, with commas or THEN; code is never taken for a word of EARS."""
    found = ears.read(text)
    assert found is not None
    assert found.requirement() == requirement


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It works",
        "SHALL x",
        "WHEN a SHALL b",
        "WHEN a THE x SHALL",
        "a WHEN b THE x SHALL y",
        "WHEN , THE x SHALL y",
    ],
)
def test_what_lacks_a_part_is_no_ears(text: str) -> None:
    """Nobody who shall, nothing that shall be, no clause where its word stands."""
    assert ears.read(text) is None


# -- PRD


def test_a_prd_is_read_by_what_its_headings_mean() -> None:
    """Goals, non-goals, personas, stories, features, metrics, open questions; tables with numbers and priorities."""
    # shows: F2
    found = imports.read(CORPUS / "prd.md")
    spec = valid(found)
    assert found.format == "prd"
    assert (spec.name, spec.title) == ("workshop-booking", "Workshop Booking")
    assert spec.objectives[:2] == ("No double bookings", "Everybody sees what is free")
    assert spec.out_of_scope == ("Payments", "A mobile app")
    assert [one.title for one in spec.stories] == ["Anna, the carpenter", "Book a bench for an hour", "Block a machine"]
    assert [(one.text, one.must) for one in spec.requirements] == [
        ("Calendar: Users MUST be able to see all bookings of a week", True),
        ("The calendar should load within two seconds", False),
        ("Calendar: System MUST offer: Sorting: by bench; by member", True),
        ("System MAY offer: Mail on the day before", False),
        ("A booking that overlaps another must be refused", True),
        ("System MAY offer: Bookings export as iCal", False),
    ]
    assert traced(found) == {"US-2": "User Story 3", "R-1": "FR-005", "R-2": "FR-006"}
    assert [one.text for one in spec.success_criteria] == [
        "metric: Double bookings; target: 0 a month",
        "80 % of members book online",
    ]
    assert [one.question for one in spec.clarifications] == ["May a booking last overnight?"]


def test_what_a_prd_says_beside_that_is_listed() -> None:
    """Bookkeeping, timelines, risks, columns that requirements have not, texts that say nothing that must be."""
    # shows: F2
    assert lost(imports.read(CORPUS / "prd.md")) == [
        (3, "owner: Jo Berg"),
        (7, "**Author**: Jo Berg"),
        (8, "**Status**: In review"),
        (36, "Something about guests"),
        (52, "The team likes the idea of badges."),
        (56, "owner: Kim"),
        (73, "March: prototype"),
        (77, "Nobody uses it."),
    ]


def test_a_prd_without_requirements_says_what_is_left() -> None:
    """Our reader's own problem, with what to write."""
    # shows: F2
    found = read("# Shelf\n\nKeeps books.\n\n## Goals\n\n- Find them\n", "prd")
    assert found.specification is None
    assert [(one.code, one.severity) for one in found.left] == [("S132", "error")]


def test_texts_that_look_like_markup_stay_texts() -> None:
    """Escaped as Markdown does it; nothing begins a list, a heading, a block of code or a comment."""
    # shows: P8
    for text in ("- a", "* a", "1. a", "12) a", "# a", "> a", "```a", "| a |", "<script>", "---", "= a", "+ a"):
        assert "\\" in plain.item(text)
        assert plain.item(text).replace("\\", "", 1) == text
    for text in ("a - b", "-a", "1.5 m", "#1", "C# rules", "**bold** move", "-- a"):
        assert plain.item(text) == text
    assert plain.flat("a <!-- b --> **FR-001** c") == "a <! -- b --> FR-001 c"


def test_a_user_story_is_told_from_other_texts() -> None:
    """In its usual forms; what it is good for becomes an objective."""
    found = user_stories.read("**As a** reader, **I want** to lend books, **so that** I can read at home.")
    assert found is not None
    assert (found.what, found.why) == ("Lend books", "I can read at home")
    assert user_stories.read("As an admin I want reports") is not None
    assert user_stories.read("As always, the reader waits") is None
