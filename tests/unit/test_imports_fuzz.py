"""Whatever comes in, an importer refuses it with a clear error or makes what our reader reads as it was meant."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.factory import imports
from daybreak.factory.imports import (
    Imported,
    ImportFormat,
    ImportRefused,
    finishing,
    gherkin,
    kiro,
    openapi,
    prd,
    spec_kit,
)
from daybreak.factory.imports.gathered import Gathered
from daybreak.factory.spec import problems_of_text
from daybreak.factory.spec_writing import difference

CORPUS = Path(__file__).parents[1] / "corpus" / "imports"
FILES: list[tuple[ImportFormat, str]] = [
    ("spec-kit", "specs/003-photo-albums/spec.md"),
    ("kiro", "kiro-loans/requirements.md"),
    ("gherkin", "lending.feature"),
    ("gherkin", "ausleihe.feature"),
    ("openapi", "shop.yaml"),
    ("openapi", "tasks.json"),
    ("prd", "prd.md"),
]
READERS = {
    "spec-kit": spec_kit.read,
    "kiro": kiro.read,
    "gherkin": gherkin.read,
    "openapi": openapi.read,
    "prd": prd.read,
}
LEFT_TO_PEOPLE = {
    "S123",  # nothing says what it is called
    "S125",
    "S127",  # more than people can read
    "S132",  # nothing says what must be
    "S138",  # an open question of theirs that asks nothing
    "S140",  # an entity whose fields nobody fills
    "S145",  # names that clash in what is built
    "S156",  # required refs in a circle
}
"""What an import may leave for a person to mend; anything else would be an error of the importer."""
MARKS = (
    '# ## ### #### - * 1. 1) > | |---|---| ``` ~~~ """ --- *** <!-- --> <b> ` \\ : ; -> @p1 @A-1 & * [ ] { } ( ) '
    "Feature: Rule: Background: Scenario: Examples: Given When Then And But WHEN IF WHILE WHERE THEN SHALL MUST should "
    "**FR-001** **FR-001**: FR-1 SC-001 **User Story:** Priority: P1) Goals Requirements Features null true $ref"
)
TOKENS = (
    *MARKS.split(" "),
    *("\n", "\n\n", "  ", "\t", " ", "\u2028", "\x85", "\x07", "é", "\U0001f600", "[NEEDS CLARIFICATION: x]"),
    *("[NEEDS CLARIFICATION", "As a x, I want y, so that z", "## Requirements\n", "### Edge Cases\n", "# T\n"),
    *(
        "### Key Entities\n- **A**: with b, c and d\n",
        "### User Story 1 - x (Priority: P1)\n",
        "<x>",
        "# language: fr\n",
    ),
)


def attempted(read: Callable[[], Imported]) -> Imported | None:
    """The import, or None where it was refused with a message and a hint. Everything else goes on up."""
    try:
        return read()
    except ImportRefused as refused:
        told = refused
    assert told.message
    assert told.hint
    return None


def check(format_: ImportFormat, text: str) -> None:
    """What must hold for any text at all."""
    found = attempted(lambda: imports.read_text(text, PurePosixPath("shelf/file"), format_, folder="shelf"))
    if found is None:
        return
    assert {one.code for one in found.problems if one.severity == "error"} <= LEFT_TO_PEOPLE, found.text
    lines = text.count("\n") + text.count("\r") + 1
    for lost in found.not_understood:
        assert 1 <= lost.line <= lines
        assert lost.why
        assert lost.remedy
    read_as_meant(format_, text)


def read_as_meant(format_: ImportFormat, text: str) -> None:
    """Our reader takes nothing of what was gathered for something else."""
    gathered = Gathered()
    READERS[format_](imports.source.cleaned(text, "file"), "file", gathered)
    model = finishing.specification(gathered, ["file", "shelf"])
    found, _ = problems_of_text(finishing.page(model, gathered, "file", format_), name="file", format="md")
    if found is None:
        return
    known = {"clarifications": found.clarifications}
    same = model.model_copy(update={**known, "examples": found.examples})
    assert difference(same, found) is None, finishing.page(model, gathered, "file", format_)
    assert [one.body for one in model.examples] == [one.body for one in found.examples]
    asked = [one.question for one in found.clarifications]
    assert all(one.question in asked for one in model.clarifications)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([".md", ".yaml", ".json", ".feature", ".txt", ""]))
def test_any_bytes_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str) -> None:
    """Through the file, as a user would, with the format found out."""
    # shows: F2, P8
    path = tmp_path_factory.mktemp("any", numbered=True) / f"file{ending}"
    path.write_bytes(data)
    attempted(lambda: imports.read(path))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(imports.FORMATS),
    st.lists(st.one_of(st.sampled_from(TOKENS), st.text(max_size=6)), max_size=30).map("".join),
)
def test_any_text_is_refused_or_reads_as_it_was_meant(format_: ImportFormat, text: str) -> None:
    """Scraps of the formats go deeper than random letters."""
    # shows: F2, P8
    check(format_, text)


SCRAPS = st.lists(st.one_of(st.sampled_from(TOKENS), st.text(max_size=6)), max_size=8).map("".join)
SKELETONS = {path.stem: path.read_text() for path in sorted((CORPUS / "skeletons").iterdir())}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([name for name in imports.FORMATS if name in SKELETONS]),
    st.lists(SCRAPS, min_size=1, max_size=6),
)
def test_scraps_inside_a_whole_document_read_as_they_were_meant(format_: ImportFormat, scraps: list[str]) -> None:
    """`@` stands for a scrap on one line, `$` for one on several."""
    # shows: F2
    parts = SKELETONS[format_]
    text = ""
    for n, letter in enumerate(parts):
        scrap = scraps[n % len(scraps)]
        text += " ".join(scrap.split()) or "x" if letter == "@" else scrap if letter == "$" else letter
    check(format_, text)


KEYWORDS = (
    "type format enum const default minLength maxLength minimum maximum exclusiveMinimum multipleOf pattern items "
    "nullable readOnly writeOnly description allOf anyOf oneOf properties required $ref id name createdAt created_at "
    "url additionalProperties discriminator x-a limit example A B"
)
VALUES = (
    "string integer number array object date date-time uri null a|b ^x$ ( #/components/schemas/A "
    "#/components/schemas/B #/paths other.yaml#/A 1 0.01 x;y"
)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 10**20),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(VALUES.split()),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(KEYWORDS.split()),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(a=JSON, b=JSON, body=JSON, example=JSON, method=st.sampled_from(["get", "post", "put", "delete", "x"]))
def test_any_schemas_are_refused_or_become_entities_that_hold_together(
    a: object, b: object, body: object, example: object, method: str
) -> None:
    """Documents of the right outer shape with anything inside."""
    # shows: F2, P8
    answer = {"content": {"application/json": {"schema": a, "example": example}}, "description": "x"}
    path = {
        method: {"requestBody": answer, "responses": {"201": answer, "409": body}, "summary": example, "parameters": b}
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Shelf", "version": "1"},
        "paths": {"/as": path, "/as/{id}": path, "/bs": body},
        "components": {"schemas": {"A": a, "B": b, "C": {"type": "object", "properties": {"x": a, "y": b, "z": body}}}},
    }
    check("openapi", json.dumps(document))


def damaged(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 6)):
        lines = text.split("\n")
        at, line = rng.randrange(len(text) + 1), rng.randrange(len(lines))
        match rng.randrange(5):
            case 0:
                text = text[:at] + rng.choice(TOKENS) + text[at:]
            case 1:
                text = text[:at] + text[at + rng.randint(1, 8) :]
            case 2:
                text = "\n".join(lines[:line] + lines[line + 1 :])
            case 3:
                lines.insert(rng.randrange(len(lines)), lines[line])
                text = "\n".join(lines)
            case _:
                text = text[:at] + rng.choice(TOKENS) + text[at + rng.randint(0, 3) :]
    return text


@pytest.mark.parametrize(("format_", "name"), FILES)
def test_damaged_documents_are_refused_or_read_as_they_were_meant(format_: ImportFormat, name: str) -> None:
    """Lines lost, doubled, cut and mixed up."""
    # shows: F2
    rng, text = random.Random(name), (CORPUS / name).read_text()
    check(format_, text)
    for _ in range(12):
        check(format_, damaged(text, rng))


@pytest.mark.parametrize(("_", "name"), FILES)
@pytest.mark.parametrize("format_", imports.FORMATS)
def test_a_document_of_another_format_does_no_harm(format_: ImportFormat, _: ImportFormat, name: str) -> None:
    """Told to be something that it is not, it is refused, or read as that."""
    check(format_, (CORPUS / name).read_text())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("format_", imports.FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        "# T\n" + "<!-- " * 30_000,
        "# T\n\n## Goals\n\n" + "`" * 30_000 + " `` ```" * 5_000,
        "# T\n## Requirements\n" + "- WHEN " * 10_000 + "SHALL x",
        "# T\n## Requirements\n- " + "As a x, I want " * 5_000,
        "# T\n" + "".join("  " * n + "- x\n" for n in range(100)),
        "# T\n" + ">" * 5000 + " x",
        "Feature: x\n  Scenario: y\n" + "    Given <a>\n" * 5_000,
        "openapi: 3.0.0\na: " + "[" * 50_000,
        '{"openapi": "3.0.0", "a": ' + "[" * 50_000,
        "openapi: 3.0.0\na: &a [x, x]\n"
        + "".join(f"a{n}: &a{n} [*a{n - 1 if n else ''}, *a{n - 1 if n else ''}]\n" for n in range(40)),
    ],
    ids=range(10),
)
def test_bombs_do_not_go_off(format_: ImportFormat, text: str) -> None:
    """Deep nesting, aliases and runs of marks are answered in linear time and little memory."""
    # shows: P8
    check(format_, text)
