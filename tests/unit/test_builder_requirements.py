"""Requirements are linked to what they name, and generated code and tests say so."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from daybreak.agents import links
from daybreak.agents.builder import generate, requirements
from daybreak.agents.entities import Action, Change, Entity, Field, Type
from daybreak.agents.inflection import noun, verb
from daybreak.agents.links import Links
from daybreak.agents.protocol import Brief, Requirement
from daybreak.factory import brief as making
from daybreak.factory.phases import artefacts
from daybreak.factory.spec import Specification, read_text

# shows: F1, P1

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("todo", "library", "expenses", "conduit")


def read(name: str) -> tuple[Specification, Brief]:
    text = (EXAMPLES / name / "spec.md").read_text(encoding="utf-8")
    spec = read_text(text, name="spec.md", format="md")
    return spec, making.make(spec, text)


@pytest.fixture(scope="module")
def built() -> Mapping[str, tuple[Specification, dict[str, bytes]]]:
    """Every example: its specification and what is generated for it."""
    made = {}
    for name in NAMES:
        spec, brief = read(name)
        made[name] = spec, generate(brief)
    return made


def asked(text: str, *entities: Entity, headings: Mapping[str, list[str]] | None = None) -> Links:
    """Of one requirement."""
    return Links(requirements=(Requirement(id="FR-001", text=text),), entities=entities, headings=headings or {})


def entity(name: str, *fields: str, actions: tuple[str, ...] = ()) -> Entity:
    return Entity(
        name=name,
        fields=tuple(Field(name=field, type=Type(name="text")) for field in fields),
        actions=tuple(Action(name=one, changes=(Change(verb="ask", field=fields[0]),)) for one in actions),
    )


# -- naming


@pytest.mark.parametrize(
    ("pattern", "said", "named"),
    [
        (noun(["Book", "Loan"]), "all book loans", True),
        (noun(["book", "loan"]), "a BookLoan", True),
        (noun(["Category"]), "by categories", True),
        (noun(["order"]), "ordered", False),
        (noun(["book"]), "bookkeeping", False),
        (verb(["lend"]), "lending it", True),
        (verb(["lend"]), "it was lent", True),
        (verb(["close"]), "closing", True),
        (verb(["tag"]), "tagged", True),
        (verb(["carry"]), "carried", True),
        (verb(["give", "back"]), "gives the book back", True),
        (verb(["pay", "back"]), "paid back, once", True),
        (verb(["log", "in"]), "log them in", True),
        (verb(["log", "in"]), "a log of what stands in five lines", False),
        (verb(["extend"]), "extension", False),
    ],
)
def test_a_name_is_found_in_its_forms(pattern: str, said: str, named: bool) -> None:
    """And not in other words."""
    assert bool(re.search(pattern, said, re.IGNORECASE)) is named


def test_a_link_needs_the_name() -> None:
    """A field that several entities have must be named with its own; one entity alone need not be named."""
    book, member = entity("Book", "name", "email", actions=("lend",)), entity("Member", "name", "email")
    for text, fields in {"keep the name of a book": ["name"], "keep names": [], "a book's e-mail": ["email"]}.items():
        said = asked(text, book, member)
        assert [field.name for field in book.fields if said.of_field(book, field)] == fields
        assert not any(said.of_field(member, field) for field in member.fields)
    assert asked("keep names", book).of_field(book, book.fields[0]) == ("FR-001",)
    assert asked("refuse what is lent", book, member).of_action(book, book.actions[0]) == ("FR-001",)
    assert asked("do something", book, headings={"FR-001": ["lending"]}).of_action(book, book.actions[0])
    assert asked("be quick", book, member).kinds == dict.fromkeys(asked("", book).kinds, ())


def test_an_action_of_several_entities_is_meant_of_the_one_that_is_named() -> None:
    """Of all where the requirement names all."""
    book, gate = entity("Book", "name", actions=("close",)), entity("Gate", "name", actions=("close",))
    said = asked("close a gate", book, gate)
    assert [bool(said.of_action(one, one.actions[0])) for one in (book, gate)] == [False, True]
    assert not asked("close it", book, gate).of_action(book, book.actions[0])


def test_headings_are_read_from_every_format() -> None:
    """Only those that name a requirement, and nothing within fences."""
    lines = ("# FR-9", "### FR-001 FR-002 lending", "```console", "# FR-002 no", "```", "- FR-001: no", "## FR-0011 x")
    both = {"FR-001": ["lending"], "FR-002": ["lending"]}
    assert links.headings("\n".join(lines), both) == both
    for line in ("  - title: FR-001 lending", 'title = "FR-001 lending"', '"title": "fr-001 lending",'):
        assert links.headings(line, ["FR-001"]) == {"FR-001": ["lending"]}


# -- what is generated


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_of_an_example_leads_to_code_and_tests(
    name: str, built: Mapping[str, tuple[Specification, dict[str, bytes]]]
) -> None:
    """And to a part of the design: only evidence is missing before anything has run."""
    spec, files = built[name]
    texts = {path: data.decode() for path, data in files.items()}
    matrix = artefacts.trace(artefacts.requirements(spec, ()), artefacts.design(spec), "0" * 64, texts, {})
    assert {row.requirement: row.missing for row in matrix.rows} == {one.id: ("evidence",) for one in spec.requirements}


def test_what_nobody_names_stays_missing() -> None:
    """A matrix that is always full says nothing."""
    text = (EXAMPLES / "todo" / "spec.md").read_text(encoding="utf-8")
    text = text.replace("- **FR-008**", "- **FR-009**: System SHOULD start in a tenth of a second.\n- **FR-008**")
    spec = read_text(text, name="spec.md", format="md")
    texts = {path: data.decode() for path, data in generate(making.make(spec, text)).items()}
    matrix = artefacts.trace(artefacts.requirements(spec, ()), artefacts.design(spec), "0" * 64, texts, {})
    missing = {row.requirement: row.missing for row in matrix.rows}
    assert missing.pop("FR-009") == ("design", "code", "tests", "evidence")
    assert set(missing.values()) == {("evidence",)}


def test_the_code_says_what_it_is_there_for(built: Mapping[str, tuple[Specification, dict[str, bytes]]]) -> None:
    """At the declaration, at the function, in the module's docstring, at the test."""
    files = built["library"][1]
    models = files["src/library/models.py"].decode()
    assert "# Requirements: FR-004, FR-006, FR-010\nMEMBER = Entity(" in models
    assert '        Field("isbn", "text", pattern=r"\\d{13}", unique=True),  # FR-001, FR-002\n' in models
    assert 'Field("closed_at", "timestamp"),\n' in models
    assert "# Requirements: FR-005, FR-006, FR-007\ndef _act(" in files["src/library/cli.py"].decode()
    assert "\n\nRequirements: FR-009\n" in (ast.get_docstring(ast.parse(files["src/library/totals.py"])) or "") + "\n"
    tests = files["tests/test_entities.py"].decode()
    assert '# shows: FR-002, FR-004\n@pytest.mark.parametrize("name", NAMES)\ndef test_unique_values' in tests
    assert files["README.md"].decode().endswith("\n<!-- Requirements: FR-012 -->\n")


def test_the_tables_name_nothing_that_is_not_generated(
    built: Mapping[str, tuple[Specification, dict[str, bytes]]],
) -> None:
    """A function that is renamed in a template would otherwise lose its requirements unnoticed."""
    for folder, table in (("src/{}", requirements.CODE), ("tests", requirements.TESTS)):
        wanted = {(module, name) for module, names in table.items() for name in names}
        found = set()
        for project, (_, files) in built.items():
            for module in table:
                text = files.get(f"{folder.format(project)}/{module}.py")
                places = [] if text is None else requirements._places(ast.parse(text), dict.fromkeys(table[module], ()))
                found |= {(module, name) for _, name in places}
        assert wanted == found
    kinds = {kind for table in (requirements.CODE, requirements.TESTS) for names in table.values() for kind in names}
    assert kinds
    known = asked("").kinds
    assert not [kind for table in (requirements.CODE, requirements.TESTS) for names in table.values()
                for some in names.values() for kind in some if kind not in known]  # fmt: skip


def test_what_is_generated_with_requirements_is_formatted_and_linted(
    built: Mapping[str, tuple[Specification, dict[str, bytes]]], tmp_path: Path
) -> None:
    """By the project's own configuration."""
    for name in ("todo", "conduit"):
        for path, data in built[name][1].items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(data)
        for argv in (["check"], ["format", "--check"]):
            ended = subprocess.run(
                [sys.executable, "-m", "ruff", *argv, "--no-cache", "."],
                cwd=tmp_path / name, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert ended.returncode == 0, ended.stdout + ended.stderr


def test_without_requirements_nothing_is_said(built: Mapping[str, tuple[Specification, dict[str, bytes]]]) -> None:
    """And nothing else changes."""
    _, brief = read("todo")
    files = generate(Brief(**{name: getattr(brief, name) for name in Brief.__struct_fields__} | {"requirements": ()}))
    assert not [path for path, data in files.items() if b"FR-0" in data or b"Requirements:" in data]
    assert set(files) == set(built["todo"][1])
