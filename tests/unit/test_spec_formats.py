"""One model, four ways to write it: generated specifications mean the same in Markdown, YAML, TOML and JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.factory.spec import (
    Specification,
    SpecInvalid,
    not_shown,
    problems_of_text,
    read_text,
    schema,
    schema_text,
    template,
    without_examples,
)
from daybreak.factory.spec.source import Format

FORMATS: tuple[Format, ...] = ("md", "yaml", "toml", "json")
ROOT = Path(__file__).parents[2]

SMALL: dict[str, Any] = {
    "name": "shelf",
    "title": "T",
    "objectives": ["o"],
    "requirements": [{"id": "FR-001", "text": "System MUST x"}],
}

words = st.text(alphabet="abcdefghij", min_size=2, max_size=8)
prose = st.lists(words, min_size=1, max_size=5).map(" ".join)
names = words.map(lambda word: f"f_{word}")
choices = st.lists(words, min_size=2, max_size=4, unique=True)


@st.composite
def columns(draw: st.DrawFn, name: str, entities: list[str]) -> dict[str, str]:
    kind = draw(
        st.sampled_from(["text", "integer", "decimal", "boolean", "date", "timestamp", "choice", "list", "ref"])
    )
    rules: list[str] = draw(st.sampled_from([[], ["required"], ["immutable"], ["required", "unique"]]))
    type_ = kind
    if kind == "text":
        rules += draw(st.sampled_from([[], ["1..200"], ["pattern `[a-z|,]+`", "default `a,b`"], ["max 3"]]))
    elif kind in ("integer", "decimal"):
        rules += draw(st.sampled_from([[], ["-5..10", "default 1"], ["min 0"]]))
    elif kind == "date":
        rules += draw(st.sampled_from([[], ["default today"], ["max 2030-01-01"]]))
    elif kind == "choice":
        values = draw(choices)
        type_ = f"choice: {', '.join(values)}"
        rules += draw(st.sampled_from([[], [f"default {values[0]}"]]))
    elif kind == "list":
        type_, rules = f"list of {draw(st.sampled_from(['text', 'integer', 'date']))}", []
    elif kind == "ref":
        type_ = f"ref {draw(st.sampled_from(entities))}"
        rules = draw(st.sampled_from([[], ["on delete cascade"], ["unique", "on delete restrict"]]))
    return {"name": name, "type": type_, "rules": ", ".join(rules)}


@st.composite
def entities_(draw: st.DrawFn) -> list[dict[str, Any]]:
    heads = draw(st.lists(words.map(lambda word: f"E{word}"), max_size=3, unique=True))
    found = []
    for number, head in enumerate(heads):
        fields = [draw(columns(name, heads)) for name in draw(st.lists(names, min_size=1, max_size=5, unique=True))]
        fields += [
            {"name": "state", "type": "choice: in, out", "rules": "default in"},
            {"name": "amount", "type": "integer", "rules": ""},
        ]
        entity: dict[str, Any] = {"name": head, "fields": fields}
        if draw(st.booleans()):
            entity["about"] = draw(prose)
        if draw(st.booleans()):
            entity["plural"] = f"many{'x' * number}-{head.lower()}"
            entity["actions"] = {"go": "state in -> out; add 2 to amount", "back": "state out -> in; clear amount"}
        if draw(st.booleans()):
            entity["totals"] = ["`count`, `sum amount` by state", "mean amount"]
        found.append(entity)
    return found


@st.composite
def specifications(draw: st.DrawFn) -> dict[str, Any]:
    """As data; what it leaves out has its default."""
    numbers = draw(st.integers(1, 4))
    modal = st.sampled_from(["MUST", "SHOULD", "MAY"])
    data: dict[str, Any] = {
        "name": f"my-{draw(words)}",
        "version": draw(st.sampled_from(["0.1.0", "1.10", "2"])),
        "interfaces": ["cli", "http"],
        "holdout": draw(st.sampled_from(["0", "0.33", "0.8"])),
        "title": draw(prose),
        "summary": draw(prose),
        "objectives": draw(st.lists(prose, min_size=1, max_size=3)),
        "requirements": [
            {"id": f"FR-{n:03}", "text": f"System {draw(modal)} {draw(prose)}"} for n in range(1, numbers + 1)
        ],
        "entities": draw(entities_()),
        "stories": [
            {
                "title": draw(prose),
                "priority": "P1",
                "narrative": draw(prose),
                "scenarios": draw(st.lists(prose, max_size=2)),
            }
            for _ in range(draw(st.integers(0, 2)))
        ],
        "success_criteria": [{"id": "SC-001", "text": draw(prose)}],
        "out_of_scope": draw(st.lists(prose, max_size=2)),
        "acceptance": [],
    }
    for _ in range(draw(st.integers(0, 4))):
        shown = f"FR-{draw(st.integers(1, numbers)):03}"
        body = draw(
            st.sampled_from(
                [
                    {"console": f'$ {data["name"]} go\n\nsome | text\\d "quoted"\n[1]\n'},
                    {"console": f"$ {data['name']} 'x'\n    indented\n\n"},
                    {"http": 'GET /a\n\n200\n{"id": 1, ...}\n'},
                    {"files": 'README.md contains "a"\n'},
                    {"console": f"$ {data['name']} a\n", "http": "DELETE /a/1\n\n204\n"},
                ]
            )
        )
        data["acceptance"].append({"title": f"{shown} {draw(prose)}", **body})
    return data


def as_markdown(data: dict[str, Any]) -> str:
    lines = ["---", *(f"{key}: {json.dumps(data[key])}" for key in ("name", "version", "interfaces", "holdout")), "---"]
    lines += [
        f"# {data['title']}",
        "",
        data["summary"],
        "",
        "## Objectives",
        *(f"- {o}" for o in data["objectives"]),
        "",
    ]
    lines += ["## User Stories", ""] if data["stories"] else []
    for number, story in enumerate(data["stories"], 1):
        lines += [f"### User Story {number} - {story['title']} (Priority: {story['priority']})", story["narrative"], ""]
        lines += [*(f"- {scenario}" for scenario in story["scenarios"]), ""]
    lines += ["## Requirements", "", "### Functional Requirements"]
    lines += [*(f"- **{r['id']}**: {r['text']}" for r in data["requirements"]), "", "### Key Entities", ""]
    for entity in data["entities"]:
        lines += [f"#### {entity['name']}", entity.get("about", ""), "", "| field | type | rules |", "|---|---|---|"]
        escaped = [{key: value.replace("|", "\\|") for key, value in f.items()} for f in entity["fields"]]
        lines += [f"| {f['name']} | {f['type']} | {f['rules']} |" for f in escaped]
        lines += ["", f"Plural: {entity['plural']}"] if "plural" in entity else [""]
        if "actions" in entity:
            lines += ["", "Actions:", *(f"- `{name}`: {changes}" for name, changes in entity["actions"].items())]
        if "totals" in entity:
            lines += ["Totals:", *(f"- {total}" for total in entity["totals"])]
        lines.append("")
    lines += ["## Success Criteria", *(f"- **{c['id']}**: {c['text']}" for c in data["success_criteria"]), ""]
    lines += ["## Out of Scope", *(f"- {text}" for text in data["out_of_scope"]), "", "## Acceptance", ""]
    for item in data["acceptance"]:
        lines += [f"### {item['title']}"]
        for kind in ("console", "http", "files"):
            if kind in item:
                lines += [f"```{kind}", *item[kind].removesuffix("\n").split("\n"), "```", ""]
    return "\n".join(lines) + "\n"


def as_toml(data: dict[str, Any]) -> str:
    def value(item: Any) -> str:
        if isinstance(item, list):
            return "[" + ",\n ".join(value(inner) for inner in item) + "]"
        if isinstance(item, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {value(inner)}" for key, inner in item.items()) + "}"
        return json.dumps(item, ensure_ascii=False)

    top = [f"{key} = {value(item)}" for key, item in data.items() if key not in ("requirements", "acceptance")]
    tables = []
    for key in ("requirements", "acceptance"):
        for item in data[key]:
            tables += [f"[[{key}]]", *(f"{name} = {value(inner)}" for name, inner in item.items())]
    return "\n".join([*top, *tables]) + "\n"


def written(data: dict[str, Any], format_: Format) -> str:
    match format_:
        case "md":
            return as_markdown(data)
        case "yaml":
            return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
        case "toml":
            return as_toml(data)
        case "json":
            return json.dumps(data, indent=1)


def without_lines(spec: Specification) -> Specification:
    return spec.model_copy(update={"examples": tuple(e.model_copy(update={"line": 0}) for e in spec.examples)})


@settings(max_examples=30, deadline=None)
@given(specifications())
def test_the_same_specification_is_equal_in_all_formats(data: dict[str, Any]) -> None:
    """Values, order, ids of examples: everything but the lines."""
    # shows: F2
    found = {format_: read_text(written(data, format_), name="s", format=format_) for format_ in FORMATS}
    for format_ in FORMATS[1:]:
        assert without_lines(found[format_]) == without_lines(found["md"]), format_
    spec = found["md"]
    assert (spec.title, spec.summary, list(spec.objectives)) == (data["title"], data["summary"], data["objectives"])
    assert [r.id for r in spec.requirements] == [r["id"] for r in data["requirements"]]
    assert [[f.name for f in e.fields] for e in spec.entities] == [
        [f["name"] for f in e["fields"]] for e in data["entities"]
    ]
    assert [s.title for s in spec.stories] == [s["title"] for s in data["stories"]]
    shown = {item["title"].split()[0] for item in data["acceptance"]}
    assert {r.id for r in not_shown(spec)} == {r.id for r in spec.requirements} - shown
    assert len({example.id for example in spec.examples}) == len(spec.examples)


@settings(max_examples=10, deadline=None)
@given(specifications())
def test_what_the_reader_takes_the_published_schema_takes(data: dict[str, Any]) -> None:
    """Checked by an independent implementation of JSON Schema."""
    # shows: F3
    jsonschema.Draft202012Validator(schema()).validate(data)


@settings(max_examples=30, deadline=None)
@given(specifications(), st.data(), st.sampled_from(FORMATS))
def test_the_workers_copy_holds_nothing_of_a_held_out_example(
    data: dict[str, Any], draw: st.DataObject, format_: Format
) -> None:
    """The rest stays word for word, with the same ids; the copy is itself a valid specification."""
    # shows: F1
    for number, item in enumerate(data["acceptance"]):
        for kind in item:
            if kind != "title":
                mark = f"mark-{number}-{kind}"
                item[kind] = {
                    "console": f"$ {data['name']} {mark}\n",
                    "http": f"GET /{mark}\n\n200\n",
                    "files": f"{mark} exists\n",
                }[kind]
    text = written(data, format_)
    spec = read_text(text, name="s", format=format_)
    held_out = draw.draw(st.sets(st.sampled_from([e.id for e in spec.examples]))) if spec.examples else set()
    copy = without_examples(text, held_out, format=format_)
    left = read_text(copy, name="s", format=format_)
    expected = spec.model_copy(update={"examples": tuple(e for e in spec.examples if e.id not in held_out)})
    assert without_lines(left) == without_lines(expected)
    for example in spec.examples:
        mark = re.search(r"mark-\d+-\w+", example.body)
        assert mark is not None
        assert (mark[0] in copy) == (example.id not in held_out)
        if example.id in held_out and not any(e.title == example.title for e in left.examples):
            assert example.title not in copy
    if not held_out and format_ == "md":
        assert copy == text


def test_prose_about_a_held_out_example_goes_with_it() -> None:
    """It would give away what the example asks for; what stands beside other blocks stays."""
    # shows: F1
    text = template("shelf").replace("### FR-003 finishing once\n", "### FR-003 finishing once\nIt hides here.\n")
    spec = read_text(text, name="s", format="md")
    held_out = {e.id for e in spec.examples if e.title.startswith("FR-003")}
    copy = without_examples(text, held_out, format="md")
    assert "It hides" not in copy
    assert "finishing once" not in copy
    assert copy.startswith(text[: text.index("### FR-003 finishing")].rstrip())
    everything = without_examples(text, {e.id for e in spec.examples}, format="md")
    assert "## Acceptance" not in everything
    assert "$ shelf" not in everything


def test_two_equal_blocks_have_two_ids_and_are_held_out_one_by_one() -> None:
    """The n-th occurrence is part of the id."""
    block = "```console\n$ shelf go\n```\n"
    text = template("shelf") + f"\n### FR-001 twice\n{block}\n{block}"
    spec = read_text(text, name="s", format="md")
    first, second = spec.examples[-2:]
    assert first.id != second.id
    assert without_examples(text, {second.id}, format="md").count("$ shelf go") == 1
    left = read_text(without_examples(text, {first.id}, format="md"), name="s", format="md")
    assert left.examples[-1].title == "FR-001 twice"
    one_line = json.dumps({**SMALL, "acceptance": [{"title": "FR-001 x", "console": "$ shelf go"}] * 3})
    ids = [example.id for example in read_text(one_line, name="s", format="json").examples]
    left = read_text(without_examples(one_line, {ids[1]}, format="json"), name="s", format="json")
    assert [example.id for example in left.examples] == [ids[0], ids[1]]  # the third is the second now


def test_broken_text_has_no_workers_copy() -> None:
    """There would be nothing to hold out."""
    with pytest.raises(SpecInvalid):
        without_examples("{", {"0" * 12}, format="json")


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/spec.md")), ids=lambda path: path.parent.name)
def test_the_examples_of_this_project_are_valid_without_a_warning(path: Path) -> None:
    """Every requirement of theirs is shown."""
    spec, problems = problems_of_text(path.read_text(), name=path.name, format="md")
    assert spec is not None
    assert problems == []


@pytest.mark.parametrize("name", ["shelf", "my-app", "a1"])
def test_the_template_is_valid_without_a_warning(name: str) -> None:
    """What `spec new` writes can be built as it stands."""
    # shows: F2
    spec, problems = problems_of_text(template(name), name="s", format="md")
    assert problems == []
    assert spec is not None
    assert spec.name == name
    assert spec.entities
    assert len(spec.examples) >= 3
    with pytest.raises(SpecInvalid):
        template("../etc")


def test_the_published_schema_is_fresh() -> None:
    """It is generated from the input model: `python -m daybreak.factory.spec.file > schema/spec.schema.json`."""
    # shows: F3
    assert (ROOT / "schema" / "spec.schema.json").read_text() == schema_text()
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(
    "change", [{"name": "A"}, {"objectives": []}, {"requirements": []}, {"titel": "x"}, {"entities": [{}]}]
)
def test_schema_and_reader_refuse_the_same_slips(change: dict[str, Any]) -> None:
    """An editor that knows the schema says it while one types."""
    jsonschema.validate(SMALL, schema())
    read_text(json.dumps(SMALL), name="s", format="json")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(SMALL | change, schema())
    with pytest.raises(SpecInvalid):
        read_text(json.dumps(SMALL | change), name="s", format="json")


def test_the_line_of_an_example_is_that_of_its_first_line() -> None:
    """So that line plus offset is the place of a fault, in each format that keeps lines."""
    data = {"title": "FR-001 x", "console": "$ shelf go\nout\n"}
    block = "acceptance:\n  - title: FR-001 x\n    console: |\n      $ shelf go\n      out\n"
    texts: dict[Format, str] = {
        "md": "---\nname: shelf\n---\n# T\n## Objectives\n- o\n## Requirements\n- **FR-001**: System MUST x\n"
        f"## Acceptance\n### {data['title']}\n```console\n{data['console']}```\n",
        "yaml": yaml.safe_dump(SMALL) + block,
        "toml": as_toml({**SMALL, "acceptance": []})
        + "[[acceptance]]\ntitle = 'FR-001 x'\nconsole = '''\n$ shelf go\nout\n'''\n",
    }
    for format_, text in texts.items():
        (example,) = read_text(text, name="s", format=format_).examples
        assert text.split("\n")[example.line - 1].strip() == "$ shelf go", format_
        assert example.body == data["console"]
