"""What is written as Markdown reads back as the same specification, or is not written at all."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.agents.entities import Action, Change, Entity, Field, Measure, Total, Type
from daybreak.agents.protocol import HttpOptions, Requirement
from daybreak.checks.example import Example
from daybreak.factory.spec import read, read_text, template
from daybreak.factory.spec.acceptance import MENTION
from daybreak.factory.spec.model import Budget, Clarification, Criterion, Limits, Quality, Specification, Story
from daybreak.factory.spec_writing import SpecUnwritable, difference, write

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted([*(ROOT / "examples").rglob("*.md"), *(ROOT / "tests" / "acceptance").rglob("specs/*.md")])


def again(spec: Specification) -> Specification:
    return read_text(write(spec), name="again", format="md")


def test_every_example_reads_back_as_the_same() -> None:
    """All specifications that we ship, and the template of new ones."""
    # shows: F2
    specs = [read(path) for path in EXAMPLES if path.read_text().startswith("---\n")]
    assert len(specs) >= 3
    for spec in (*specs, read_text(template("shelf"), name="shelf", format="md")):
        found = again(spec)
        assert difference(spec, found) is None
        assert again(found) == found


WORDS = st.text(
    alphabet=st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=("Cc", "Cs", "Zs")), max_size=12
)
LINE = (
    st.lists(WORDS, min_size=1, max_size=5).map(lambda words: "x " + " ".join(" ".join(words).split())).map(str.strip)
)
"""One line of text that begins with a letter: anything that Markdown could take for a mark may follow."""
SAFE = LINE.filter(lambda text: "<!--" not in text and "**" not in text)
VALUE = st.text(
    alphabet=st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=("Cc", "Cs")),
    min_size=1,
    max_size=12,
)
"""A literal: blanks at its ends, backticks, pipes, commas, all that code spans must keep."""
CHOICE = VALUE.filter(
    lambda text: text.strip() and text.isprintable() and not any(mark in text for mark in ("`", "->", ";"))
)
FIELD_NAMES = st.from_regex(r"[a-z]{3,8}_f[0-9]{0,2}", fullmatch=True)


@st.composite
def fields(draw: st.DrawFn, name: str, targets: list[str]) -> Field:
    kind = draw(st.sampled_from(["text", "integer", "decimal", "number", "date", "boolean", "choice", "list", "ref"]))
    required = draw(st.booleans())
    match kind:
        case "text":
            field = Field(name=name, type=Type(name="text"), required=required, min=draw(st.sampled_from([None, "1"])))
            field = replace(field, max=draw(st.sampled_from([None, "400"])), immutable=draw(st.booleans()))
            match draw(st.sampled_from(["plain", "default", "secret", "unique", "ignoring"])):
                case "default":
                    return replace(field, default=draw(VALUE))
                case "secret":
                    return replace(field, secret=True)
                case "unique":
                    return replace(field, unique=True, pattern=draw(st.sampled_from([None, r"a|b", "``", "[`|]+ ,x"])))
                case "ignoring":
                    return replace(field, unique_ignoring_case=True)
            return field
        case "integer" | "decimal" | "number":
            low, high = sorted(draw(st.tuples(st.integers(-99, 99), st.integers(-99, 99))))
            field = Field(name=name, type=Type(name=kind), required=required)  # type: ignore[arg-type]
            return replace(
                field, min=draw(st.sampled_from([None, str(low)])), max=draw(st.sampled_from([None, str(high)]))
            )
        case "date":
            return Field(
                name=name, type=Type(name="date"), default=draw(st.sampled_from([None, "today", "2027-03-01"]))
            )
        case "choice":
            choices = tuple(draw(st.lists(CHOICE, min_size=1, max_size=4, unique=True)))
            return Field(name=name, type=Type(name="choice", choices=choices), default=draw(st.sampled_from(choices)))
        case "list":
            of = draw(st.sampled_from([Type(name="text"), Type(name="choice", choices=("a, b", " c"))]))
            return Field(name=name, type=Type(name="list", of=of), default=draw(st.sampled_from([None, "[]"])))
        case "ref" if targets:
            clear = not required and draw(st.booleans())
            target = Type(name="ref", target=draw(st.sampled_from(targets)))
            return Field(name=name, type=target, required=required, on_delete="clear" if clear else "restrict")
    return Field(name=name, type=Type(name="boolean"), default=draw(st.sampled_from([None, "true"])))


@st.composite
def entities(draw: st.DrawFn, name: str, targets: list[str]) -> Entity:
    names = draw(st.lists(FIELD_NAMES, min_size=1, max_size=5, unique=True))
    found = [draw(fields(one, targets)) for one in names]
    found += [
        Field(name="state", type=Type(name="choice", choices=("in", "out it is")), default="in"),
        Field(name="made", type=Type(name="timestamp")),
        Field(name="pages", type=Type(name="integer")),
        Field(name="kept", type=Type(name="text")),
        Field(name="created_at", type=Type(name="timestamp"), automatic=True),
        Field(name="url", type=Type(name="link"), computed=True),
    ]
    changes = [
        Change(verb="move", field="state", source="in", value="out it is"),
        Change(verb="set", field="kept", value=draw(VALUE)),
        Change(verb="clear", field="made"),
        Change(verb="add", field="pages", value="-2"),
    ]
    actions = tuple(
        Action(name=action, changes=tuple(changes[: draw(st.integers(1, 4))]))
        for action in draw(st.sampled_from([(), ("lend",), ("lend", "give-back")]))
    )
    measures = (Measure(kind="count"), Measure(kind="sum", field="pages"))
    totals = (
        Total(measures=measures, by="state"),
        Total(measures=measures, by="made", by_month=True),
        Total(measures=measures[:1]),
    )
    return Entity(
        name=name,
        about=draw(st.one_of(st.just(""), SAFE)),
        plural=draw(st.sampled_from([None, f"many-{name.lower()}"])),
        fields=tuple(found),
        actions=actions,
        totals=totals[: draw(st.integers(0, 3))],
    )


@st.composite
def specifications(draw: st.DrawFn) -> Specification:
    names = draw(st.sampled_from([[], ["Author"], ["Author", "BookLoan"]]))
    found = tuple(draw(entities(name, names[:n])) for n, name in enumerate(names))
    texts = draw(st.lists(SAFE, min_size=1, max_size=3))
    requirements = tuple(Requirement(id=f"FR-{n:03d}", text=f"System MUST {text}") for n, text in enumerate(texts, 1))
    bodies = draw(st.lists(st.sampled_from(["README.md exists\n", '`x`.md contains "```"\n', "a b\n"]), max_size=2))
    bodies = [body for body in bodies if body != "a b\n"]
    interfaces = draw(st.sampled_from([("cli",), ("cli", "http"), ("http",)]))
    titles = [f"FR-001 {text}" for text in draw(st.lists(SAFE, min_size=len(bodies), max_size=len(bodies)))]
    question = draw(st.sampled_from([(), (Clarification(question="which one, `a` or b?", line=1),)]))
    return Specification(
        name="shelf",
        version=draw(st.sampled_from(["0.1.0", "1.10", "2"])),
        language=draw(st.sampled_from(["python", "c#", "null"])),
        interfaces=interfaces,
        complexity=draw(st.sampled_from(["simple", "moderate", "complex"])),
        budget=Budget(
            time_s=draw(st.integers(10, 9999)), money_usd=draw(st.sampled_from([Decimal(2), Decimal("0.25")]))
        ),
        limits=Limits(workers=draw(st.integers(1, 64))),
        quality=Quality(thresholds=draw(st.sampled_from([(60, 75, 85), (1,)]))),
        holdout=draw(st.integers(0, 800)) / 1000,
        serve=draw(st.sampled_from(["shelf serve --port {port}", 'run "it" \\ {port} # é'])),
        http=HttpOptions(
            prefix=draw(st.sampled_from(["", "/api/v1"])),
            cors=draw(st.sampled_from([None, "*", ("https://a.example",)])),
            delete_all=draw(st.booleans()),
        ),
        title=draw(st.one_of(SAFE, st.just("C #"))),
        summary=draw(st.one_of(st.just(""), st.lists(SAFE, min_size=1, max_size=2).map("\n\n".join))),
        objectives=tuple(draw(st.lists(SAFE, min_size=1, max_size=3))),
        stories=tuple(
            Story(title=text, priority=draw(st.sampled_from(["", "P1"])), narrative=text, scenarios=(f"Given {text}",))
            for text in draw(st.lists(SAFE.filter(lambda text: "(" not in text), max_size=2))
        ),
        requirements=requirements,
        entities=found,
        success_criteria=tuple(Criterion(id=f"SC-{n:03d}", text=text) for n, text in enumerate(texts, 1)),
        out_of_scope=tuple(draw(st.lists(SAFE, max_size=2))),
        examples=tuple(
            Example(id="", kind="files", title=title, requirements=tuple(MENTION.findall(title)), body=body, line=0)
            for title, body in zip(titles, bodies, strict=True)
        ),
        clarifications=question,
    )


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(specifications())
def test_a_specification_reads_back_as_the_same(spec: Specification) -> None:
    """`write` proves it itself; a second time even the lines are the same."""
    # shows: F2
    named = spec.model_copy(update={"examples": _identified(spec)})
    found = again(named)
    assert difference(named, found) is None
    assert again(found) == found


def _identified(spec: Specification) -> tuple[Example, ...]:
    from daybreak.factory.spec.acceptance import identities
    from daybreak.factory.spec.draft import DraftExample
    from daybreak.factory.spec.located import Scalar

    drafts = [DraftExample(one.kind, Scalar(one.title, 1), Scalar(one.body, 1)) for one in spec.examples]
    return tuple(one.model_copy(update={"id": id_}) for one, id_ in zip(spec.examples, identities(drafts), strict=True))


BASE = Specification(
    name="shelf",
    complexity="simple",
    complexity_estimated=True,
    serve="shelf serve --port {port}",
    title="Shelf",
    objectives=("One",),
    requirements=(Requirement(id="FR-001", text="System MUST work"),),
)


@settings(max_examples=120, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["title", "summary", "objectives", "out_of_scope", "name", "version"]))
def test_any_text_is_kept_or_refused_but_never_changed(text: str, part: str) -> None:
    """What Markdown cannot hold is not written as something else."""
    # shows: F2, P8
    value = (text,) if part in ("objectives", "out_of_scope") else text
    spec = BASE.model_copy(
        update={part: value, "serve": f"{text if part == 'name' else 'shelf'} serve --port {{port}}"}
    )
    try:
        found = again(spec)
    except SpecUnwritable:
        return
    assert getattr(found, part) == value


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Shelf <!-- of books -->"},
        {"objectives": ("- One",)},
        {"objectives": ()},
        {"summary": "# Shelf"},
        {"stories": (Story(title="A (Priority: P1)"),)},
        {"stories": (Story(title="A", scenarios=("Given a", "Then b")),)},
        {"complexity": "complex"},
    ],
    ids=str,
)
def test_what_would_read_as_something_else_is_refused(change: dict[str, object]) -> None:
    """A comment, a list in a list, nothing at all, a heading, a priority, a scenario that would be joined."""
    # shows: P8
    with pytest.raises(SpecUnwritable) as refused:
        write(BASE.model_copy(update=change))
    assert refused.value.code == "S229"


def test_questions_of_cells_get_a_place_of_their_own() -> None:
    """They stand in no text of the model, yet are not lost."""
    text = write(BASE).replace("- One", "- [NEEDS CLARIFICATION: why?]") + (
        "\n### Key Entities\n\n#### Book\n| field | type | rules |\n|---|---|---|\n"
        "| title | [NEEDS CLARIFICATION: which?] | |\n"
    )
    spec = read_text(text, name="shelf", format="md")
    assert [one.question for one in spec.clarifications] == ["why?", "which?"]
    written = write(spec)
    assert written.endswith("## Open Questions\n\n- [NEEDS CLARIFICATION: which?]\n")
    assert [one.question for one in again(spec).clarifications] == ["why?", "which?"]
