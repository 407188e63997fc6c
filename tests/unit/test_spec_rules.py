"""Every type with every rule: what fits is kept as written, what does not fit is a problem."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.agents import naming
from daybreak.agents.entities import Entity, Field, Type
from daybreak.factory.spec import SpecInvalid, read_text
from daybreak.factory.spec.codespans import regions, split, unwrap, visible
from daybreak.factory.spec.entities import circles
from daybreak.factory.spec.names import RESERVED_ACTIONS, RESERVED_FIELDS

PLAIN = Field(name="plain", type=Type(name="text"))

FRAME = """---
name: shelf
---
# Shelf

## Objectives
- One

## Requirements
- **FR-001**: System MUST work.

### Key Entities

#### Author
| field | type | rules |
|---|---|---|
| name | text | |

#### Book
| field | type | rules |
|---|---|---|
| other | integer | |
| day | date | |
| moment | timestamp | |
"""
LINE = FRAME.count("\n") + 1
TYPES = {
    "text": "abc",
    "integer": "-3",
    "number": "0.25",
    "decimal": "12.50",
    "boolean": "true",
    "date": "2027-03-01",
    "timestamp": "2027-03-01T09:00:00Z",
    "choice: a, b": "a",
    "list of text": '`["a", "b"]`',
    "list of decimal": '`["1.50", 2]`',
    "list of choice: a, b": '`["b"]`',
    "list of ref Author": "1",
    "ref Author": "1",
    "link": "x",
}
FIT = {
    "required": "text integer number decimal boolean date timestamp choice list ref",
    "unique": "text integer number decimal boolean date timestamp choice ref",
    "unique ignoring case": "text",
    "unique with other": "text integer number decimal boolean date timestamp choice ref",
    "default VALUE": "text integer number decimal boolean date timestamp choice list",
    "min LOW": "text integer number decimal date timestamp",
    "max HIGH": "text integer number decimal date timestamp",
    "LOW..HIGH": "text integer number decimal date timestamp",
    "pattern `[a-z,]+`": "text",
    "after TIME": "date timestamp",
    "computed": "link",
    "on delete cascade": "ref",
    "secret": "text",
    "immutable": "text integer number decimal boolean date timestamp choice list ref",
}
LIMITS = {
    "text": ("0", "200"),
    "integer": ("-5", "5"),
    "number": ("-0.5", "1e3"),
    "decimal": ("-0.50", "99.999"),
    "date": ("2020-01-01", "2029-12-31"),
    "timestamp": ("2020-01-01T00:00:00Z", "2029-12-31T23:59:59+02:00"),
}


def field(row: str, after: str = "") -> Field:
    spec = read_text(f"{FRAME}| it | {row} |\n{after}", name="s.md", format="md")
    return spec.entities[1].field("it")


def refused(row: str, after: str = "") -> set[tuple[int, str]]:
    with pytest.raises(SpecInvalid) as caught:
        field(row, after)
    return {(p.line, p.code) for p in caught.value.problems if p.severity == "error"}


@pytest.mark.parametrize("rule", FIT)
@pytest.mark.parametrize("type_", TYPES)
def test_a_rule_is_taken_exactly_where_it_fits_the_type(type_: str, rule: str) -> None:
    """The table above was written from the format's page, not from the reader's own."""
    # shows: F3
    head = type_.split(":")[0].split()[0]
    low, high = LIMITS.get(head, ("1", "2"))
    text = rule.replace("VALUE", TYPES[type_]).replace("LOW", low).replace("HIGH", high)
    text = text.replace("TIME", "moment" if head == "timestamp" else "day")
    fits = head in FIT[rule].split()
    if type_ == "list of ref Author" and not rule.startswith(("required", "immutable")):
        fits = rule.startswith("on delete")
    if not fits:
        assert refused(f"{type_} | {text}") == {(LINE, "S150")}
        return
    found = field(f"{type_} | {text}")
    kept = {
        key: value for key, value in vars(found).items() if value != vars(PLAIN)[key] and key not in ("name", "type")
    }
    expected: dict[str, dict[str, object]] = {
        "unique with other": {"unique_with": ("other",)},
        "default VALUE": {"default": TYPES[type_].strip("`")},
        "min LOW": {"min": low},
        "max HIGH": {"max": high},
        "LOW..HIGH": {"min": low, "max": high},
        "pattern `[a-z,]+`": {"pattern": "[a-z,]+"},
        "after TIME": {"after": text.removeprefix("after ")},
        "on delete cascade": {"on_delete": "cascade"},
    }
    assert kept == expected.get(rule, {rule.replace(" ", "_"): True})


def test_the_table_of_the_documentation_is_read() -> None:
    """Field for field as it stands on the format's page."""
    # shows: F2
    text = FRAME.replace("| other | integer | |\n| day | date | |\n| moment | timestamp | |\n", "") + (
        "| title | text | required, 1..200 |\n"
        "| isbn | text | unique, pattern `\\d{13}` |\n"
        "| pages | integer | min 1 |\n"
        "| price | decimal | min 0, default 0 |\n"
        "| rating | number | 0..5 |\n"
        "| shelf | choice: fiction, science, other | default other |\n"
        "| status | choice: in, out | default in |\n"
        "| read | boolean | default false |\n"
        "| tags | list of text | |\n"
        "| published | date | |\n"
        "| lent_at | timestamp | |\n"
        "| due | date | after published |\n"
        "| author | ref Author | on delete restrict |\n"
        "| created_at | timestamp | automatic |\n"
        "| url | link | computed |\n"
        "\nPlural: book volumes\n\nActions:\n"
        "- `lend`: status in -> out; set lent_at now; ask due\n"
        "- `give-back`: status out -> in; clear lent_at;\n  clear due\n"
        "- `praise`: add 1 to rating\n"
        "Totals:\n"
        "- `count`, `sum pages`, `mean rating` by shelf\n"
        "- `sum price` by month of published\n"
    )
    _, book = read_text(text, name="s.md", format="md").entities
    assert isinstance(book, Entity)
    assert book.plural == "book-volumes"
    assert naming.plural_words(book) == "book volumes"
    assert [f.name for f in book.fields][:3] == ["title", "isbn", "pages"]
    assert (book.field("title").min, book.field("title").max, book.field("title").required) == ("1", "200", True)
    assert book.field("isbn").pattern == r"\d{13}"
    assert book.field("shelf").type.choices == ("fiction", "science", "other")
    assert book.field("url").computed
    assert [(c.verb, c.field, c.source, c.value) for c in book.actions[0].changes] == [
        ("move", "status", "in", "out"),
        ("set", "lent_at", None, "now"),
        ("ask", "due", None, None),
    ]
    assert [(c.verb, c.field) for c in book.actions[1].changes] == [
        ("move", "status"),
        ("clear", "lent_at"),
        ("clear", "due"),
    ]
    assert book.actions[2].changes[0].value == "1"
    assert [(m.kind, m.field) for m in book.totals[0].measures] == [
        ("count", None),
        ("sum", "pages"),
        ("mean", "rating"),
    ]
    assert (book.totals[1].by, book.totals[1].by_month) == ("published", True)


def test_pipes_commas_and_backticks_inside_backticks_do_not_split() -> None:
    """`\\|` is a pipe, also in backticks; a pattern with a backtick stands between two."""
    # shows: F2
    assert field(r"text | pattern `a\|b,c`, required").pattern == "a|b,c"
    assert field(r"text | pattern ``[`,]+``, required").pattern == "[`,]+"
    assert field("text | default `a, b`").default == "a, b"
    assert field(r"choice: `a, b`, c\|d | default `a, b`").type.choices == ("a, b", "c|d")


@pytest.mark.parametrize(
    "row",
    [
        "date | default today",
        "timestamp | default now",
        "timestamp | default 2027-03-01 09:00",
        "decimal | default -0.10, -1..1",
        "integer | default 9223372036854775807",
        "text | default ä, pattern `[^x]`, 1..1",
        "text | secret, required, 8..64, pattern `.*\\d.*`",
        "list of boolean | default `[true, false]`",
        "ref Book | on delete clear",
        "ref Author | required, on delete cascade, immutable, unique",
        "text | unique with day, unique with other",
        "created_at",
    ],
)
def test_combinations_that_make_sense_are_read(row: str) -> None:
    """Refusing too much would be as wrong as refusing too little."""
    if row == "created_at":
        text = f"{FRAME}| created_at | timestamp | automatic |\n| updated_at | date | automatic |\n"
        assert read_text(text, name="s.md", format="md").entities[1].field("updated_at").automatic
    else:
        field(row)


@pytest.mark.parametrize("word", sorted(RESERVED_FIELDS | set(keyword.kwlist)))
def test_reserved_words_are_no_field_names(word: str) -> None:
    """All of Python's keywords, and the options that every list has."""
    # shows: P8
    with pytest.raises(SpecInvalid) as caught:
        read_text(f"{FRAME}| {word} | text | |\n", name="s.md", format="md")
    assert {p.code for p in caught.value.problems if p.severity == "error"} == {"S143"}


@pytest.mark.parametrize(
    "word", ["select", "from_", "table", "order", "group", "type", "match", "list", "index", "values"]
)
def test_words_of_sql_and_of_libraries_are_fine_as_field_names(word: str) -> None:
    """They mean something elsewhere, which is the builder's business."""
    text = f"{FRAME}| {word} | text | |\n"
    assert read_text(text, name="s.md", format="md").entities[1].field(word)


@pytest.mark.parametrize("word", sorted(RESERVED_ACTIONS))
def test_commands_are_no_action_names(word: str) -> None:
    """Every entity has them already."""
    assert refused("date | |\n\nActions:\n- `" + word + "`: ask day") == {(LINE + 3, "S158")}


def test_what_the_program_would_leave_empty_cannot_be_cleared() -> None:
    """A required field keeps a value; an immutable one keeps its own."""
    assert refused("text | required", "\nActions:\n- `drop`: clear it\n") == {(LINE + 3, "S158")}
    assert refused("text | immutable", "\nActions:\n- `drop`: ask it\n") == {(LINE + 3, "S158")}


def test_one_wrong_type_is_told_once() -> None:
    """Whatever uses the field is not blamed for it."""
    after = "\nActions:\n- `grow`: add 1 to it; clear day\n\nTotals:\n- `sum it` by month of day\n"
    assert refused("monney | unique with day", after) == {(LINE, "S146")}


def test_circles_of_required_refs_are_named_and_optional_ones_are_fine() -> None:
    """No record could be the first; with one optional ref it can."""
    # shows: X2
    tail = "\n#### Chapter\n| field | type | rules |\n|---|---|---|\n| book | ref Book | required |\n"
    with pytest.raises(SpecInvalid) as caught:
        field("ref Chapter | required", tail)
    (problem,) = (p for p in caught.value.problems if p.severity == "error")
    assert (problem.line, problem.code) == (LINE, "S156")
    assert "Book → Chapter → Book" in problem.message
    assert field("ref Chapter |", tail).type.target == "Chapter"


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), unique=True)))
def test_a_circle_is_found_exactly_where_no_order_exists(edges: dict[str, list[str]]) -> None:
    """Taking away nodes without unmet needs, again and again, is the independent judge."""
    left = {node: set(targets) for node, targets in edges.items()}
    for node in "abcdef":
        left.setdefault(node, set())
    while free := [node for node, targets in left.items() if not targets]:
        for node in free:
            del left[node]
        for targets in left.values():
            targets.difference_update(free)
    found = circles(edges)
    assert bool(found) == bool(left)
    for circle in found:
        assert all(b in edges[a] for a, b in zip(circle, [*circle[1:], circle[0]], strict=True))


@given(st.text(alphabet="`a, <!->\n", max_size=40))
def test_code_spans_follow_commonmark(text: str) -> None:
    """A run of backticks closes at the next one of its length; taking apart loses nothing."""
    code = regions(text, comments=False)
    for region in code:
        assert text[region.start : region.start + region.ticks] == "`" * region.ticks
        assert text[region.end - region.ticks : region.end] == "`" * region.ticks
        assert "`" not in text[region.end : region.end + 1]
    assert ",".join(split(text, ",")).replace(" ", "").replace("\n", "") == text.replace(" ", "").replace("\n", "")
    assert len(visible(text)) <= len(text)
    assert visible(text) == text or "<!--" in text
    assert len(unwrap(text)) <= len(text)
