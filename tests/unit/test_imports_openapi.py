"""OpenAPI: schemas as entities, operations as requirements, whole examples as acceptance, and all else as a list."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from daybreak.agents.entities import Field
from daybreak.factory import entity_writing, imports
from daybreak.factory.imports import ImportBomb, ImportCircular, Imported
from daybreak.factory.imports.openapi_fields import whole_pattern
from daybreak.factory.spec import Specification

CORPUS = Path(__file__).parents[1] / "corpus" / "imports"


def valid(found: Imported) -> Specification:
    assert found.specification is not None, found.problems
    return found.specification


def rows(found: Imported, entity: str) -> dict[str, str]:
    """The table of an entity: field, type and rules as written."""
    fields: tuple[Field, ...] = next(one.fields for one in valid(found).entities if one.name == entity)
    return {
        one.name: " | ".join([entity_writing.written_type(one.type), ", ".join(entity_writing.written_rules(one))])
        for one in fields
    }


def document(schemas: dict[str, Any], paths: dict[str, Any] | None = None, **more: Any) -> Imported:
    text = json.dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": "Shelf", "version": "1.0"},
            "paths": paths if paths is not None else {"/books": {"get": {"summary": "List"}}},
            "components": {"schemas": schemas},
            **more,
        }
    )
    return imports.read_text(text, PurePosixPath("shelf.json"))


def field(schema: dict[str, Any], *, required: bool = False) -> tuple[str, list[str]]:
    """What one property becomes, and what is listed about it."""
    book = {
        "type": "object",
        "properties": {"n": schema, "z": {"type": "string"}},
        "required": ["n"] if required else [],
    }
    found = document({"Book": book, "Maker": {"type": "object", "properties": {"name": {"type": "string"}}}})
    return rows(found, "Book").get("n", ""), [one.text for one in found.not_understood if "Book.n" in one.why]


def test_schemas_become_entities_with_our_types_and_rules() -> None:
    """allOf is merged, inputs belong to their entity, enums are choices, $ref is ref, readOnly is automatic."""
    # shows: F2
    found = imports.read(CORPUS / "shop.yaml")
    assert [one.name for one in valid(found).entities] == ["Tool", "Maker"]
    assert rows(found, "Tool") == {
        "created_at": "timestamp | automatic",
        "name": "text | required, 1..80",
        "price": "decimal | required",
        "category": "choice: hand, power, `bench, large` | required",
        "bought_on": "date | ",
        "weight": "number | min 0",
        "stock": "integer | 0..999, default 1",
        "code": r"text | pattern `[A-Z]{2}\d+`",
        "hint": r"text | pattern `(?=[\s\S]*?(?:a|b))[\s\S]*`",
        "maker": "ref Maker | ",
        "tags": 'list of text | default `["used"]`',
        "url": "link | ",
        "limit_value": "integer | ",
        "grade": "integer | ",
        "views": "integer | ",
        "x": "text | ",
        "pin": "text | min 4, secret",
    }
    about = valid(found).entities[0].about
    assert about.startswith("A tool on the shelf.\n\n- `name`: As on the label")
    assert "which fields of Tool are unique? POST /v1/tools answers 409" in about


def test_operations_become_requirements_under_their_prefix() -> None:
    """With what they answer, and what each answer says."""
    # shows: F2
    found = imports.read(CORPUS / "shop.yaml")
    spec = valid(found)
    assert (spec.name, spec.version, spec.interfaces, spec.http.prefix) == ("tool-shop-api", "1.4.0", ("http",), "/v1")
    assert spec.http.statuses == {"deleted": 200}
    assert [(one.text, one.must) for one in spec.requirements] == [
        ("System MUST answer `GET /v1/tools` with 200 (The tools): List tools", True),
        (
            "System MUST answer `POST /v1/tools` with 201 (Added), and refuse what cannot be done with "
            "409 (That name is taken) or 422 (Wrong values): Add a tool",
            True,
        ),
        (
            "System MUST answer `GET /v1/tools/{toolId}` with 200 (The tool), and refuse what cannot be done with "
            "404 (There is no such thing): Show a tool",
            True,
        ),
        ("System MAY answer `DELETE /v1/tools/{toolId}` with 200 (Gone): Take a tool off the shelf", False),
        ("System MUST answer `POST /v1/tools/{toolId}/reserve` with 200 (Reserved): Reserve a tool", True),
        ("System MUST answer `GET /v1/maker` with 200 (All of them): List makers", True),
        ("System MUST answer `POST /v1/maker` with 200 (Added): Add a maker", True),
    ]
    assert [one.plural for one in spec.entities] == [None, "maker"]
    traced = {one.theirs: one.ours for one in found.traces}
    assert traced["POST /v1/tools (addTool)"] == "FR-002"
    assert traced["schema NewTool"] == "Tool"


def test_whole_examples_become_acceptance_blocks() -> None:
    """What changes from run to run is a kind; an example that needs another record is listed instead."""
    # shows: F2, F3
    found = imports.read(CORPUS / "shop.yaml")
    assert [(one.title, one.body) for one in valid(found).examples] == [
        (
            "FR-002 POST /v1/tools: saw",
            'POST /v1/tools\n{"name": "Japanese saw", "price": "42.50", "category": "hand", '
            '"bought_on": "2026-02-01"}\n\n201\n{"id": <integer>, "name": "Japanese saw", "price": "42.50", '
            '"category": "hand", "bought_on": "2026-02-01", "created_at": <timestamp>, ...}\n',
        ),
        ("FR-002 POST /v1/tools: nameless", 'POST /v1/tools\n{"price": "1.00"}\n\n422\n'),
        (
            "FR-007 POST /v1/maker",
            'POST /v1/maker\n{"name": "Veritas"}\n\n200\n{"id": <integer>, "name": "Veritas", "homepage": null}\n',
        ),
    ]
    told = [one.text for one in found.not_understood if one.text.startswith("example ")]
    assert told == [
        "example drill of POST /v1/tools",
        "example 422 nameless of POST /v1/tools",
        "example 200 of GET /v1/tools/{toolId}",
    ]


def test_what_the_language_does_not_cover_is_listed() -> None:
    """oneOf, who may do what, objects in objects, envelopes, other bodies, other servers: each with its line."""
    # shows: F2
    found = imports.read(CORPUS / "shop.yaml")
    assert [(one.line, one.text) for one in found.not_understood] == [
        (9, "contact: {email}"),
        (13, "https://staging.example.org/v1"),
        (14, "security"),
        (17, "tools: What is for sale"),
        (27, "query page"),
        (28, "header X-Trace"),
        (33, "header X-Total-Count"),
        (52, "example drill of POST /v1/tools"),
        (76, "example 422 nameless of POST /v1/tools"),
        (88, "example 200 of GET /v1/tools/{toolId}"),
        (92, "DELETE /v1/tools/{toolId}"),
        (96, "POST /v1/tools/{toolId}/reserve"),
        (109, "GET /v1/maker: text/csv"),
        (110, "POST /v1/maker 200"),
        (128, "securitySchemes bearer: http bearer"),
        (142, "example"),
        (146, "exclusiveMinimum: true"),
        (154, "uniqueItems: true"),
        (156, "format: binary"),
        (157, "{type, properties}"),
        (158, "oneOf: a list of 2"),
        (162, "limit"),
        (163, "enum: 1, 2, 3"),
        (164, "readOnly: true"),
        (165, "x-order"),
        (180, "additionalProperties: true"),
        (182, "id: string"),
        (185, "ToolList: {type, properties}"),
        (190, "Error"),
        (194, "Payment: {oneOf, discriminator}"),
        (199, "webhooks: {sold}"),
    ]


def test_what_frameworks_write_is_understood() -> None:
    """3.1 as FastAPI has it: anyOf with null, several views of one entity, names in camelCase, no $ref for numbers."""
    # shows: F2
    found = imports.read(CORPUS / "tasks.json")
    spec = valid(found)
    assert (spec.http.prefix, spec.http.names, spec.version) == ("/api", "camel", "2")
    assert rows(found, "User") == {
        "user_name": "text | required, 2..30",
        "created_at": "timestamp | automatic",
        "password": "text | required, min 8, secret",
    }
    assert rows(found, "Task") == {
        "title": "text | required, min 1",
        "state": "choice: open, done | default open",
        "due_date": "date | ",
        "points": "integer | 0..13",
        "assignee": "ref User | ",
    }
    assert spec.examples[0].body.startswith(
        'POST /api/users\n{"userName": "ada", "password": "correct horse"}\n\n201\n'
    )
    assert [one.text for one in found.not_understood] == ["HTTPValidationError"]


@pytest.mark.parametrize(
    ("schema", "row", "told"),
    [
        ({"type": "string"}, "text | ", []),
        ({"type": "string", "format": "email"}, r"text | pattern `[^@\s]+@[^@\s]+`", []),
        ({"type": "string", "format": "uri"}, r"text | pattern `[A-Za-z][A-Za-z0-9+.-]*:\S+`", []),
        ({"type": "string", "format": "ipv4"}, "text | ", ["format: ipv4"]),
        ({"type": "string", "minLength": 0, "maxLength": 9}, "text | max 9", []),
        ({"type": "string", "minimum": 1}, "text | ", ["minimum: 1"]),
        ({"type": "string", "minLength": 9, "maxLength": 2}, "text | ", ["9..2"]),
        ({"type": "string", "pattern": "("}, "text | ", ["pattern: ("]),
        ({"type": "string", "default": 5}, "text | default 5", []),
        ({"type": "string", "default": ""}, "text | ", ["default:"]),
        ({"type": "integer", "default": "x"}, "integer | ", ["default: x"]),
        ({"type": "integer", "exclusiveMinimum": 0}, "integer | min 1", []),
        ({"type": "number", "multipleOf": 0.01, "minimum": 0}, "decimal | min 0", []),
        ({"type": "integer", "multipleOf": 5}, "integer | ", ["multipleOf: 5"]),
        ({"type": ["integer", "null"]}, "integer | ", []),
        ({"type": ["integer", "string"]}, "", ["type: integer, string"]),
        ({"enum": ["a", "b", None]}, "choice: a, b | ", []),
        ({"enum": ["a;b", "c"]}, "choice: c | ", ["enum: a;b"]),
        ({"const": "only"}, "choice: only | ", []),
        ({"type": "array", "items": {"type": "integer", "minimum": 1}}, "list of integer | ", ["minimum: 1"]),
        ({"type": "array"}, "", ["type: array"]),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Maker"}}, "list of ref Maker | ", []),
        ({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}, "", ["items: {type, items}"]),
        ({"$ref": "#/components/schemas/Maker"}, "ref Maker | ", []),
        ({"$ref": "#/components/schemas/Maker", "default": 1}, "ref Maker | ", ["default: 1"]),
        ({"$ref": "#/components/schemas/Gone"}, "", ["#/components/schemas/Gone"]),
        ({"$ref": "other.yaml#/Maker"}, "", ["other.yaml#/Maker"]),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "", ["anyOf: a list of 2"]),
        ({"not": {"type": "string"}}, "", ["not: {type}"]),
        ({}, "", ["{}"]),
        ({"type": "integer", "writeOnly": True}, "integer | ", ["writeOnly: true"]),
        ({"type": "string", "writeOnly": True, "default": "x"}, "text | secret", ["default: x"]),
        ({"type": "string", "contentEncoding": "base64"}, "text | ", ["contentEncoding: base64"]),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else "",
)
def test_a_property_becomes_a_field_or_is_listed(schema: dict[str, Any], row: str, told: list[str]) -> None:
    """Type, rules, and what neither of them can say."""
    # shows: F2
    assert field(schema) == (row, told)


def test_required_fields_that_may_be_null_are_not_required_here() -> None:
    """Required here refuses null too."""
    assert field({"type": "string"}, required=True) == ("text | required", [])
    assert field({"type": ["string", "null"]}, required=True) == ("text | ", [])


@pytest.mark.parametrize(
    "written", ["^a+$", "a+", "^a", "a$", "a|b", "^a|b$", "^(a|b)$", r"a\$", r"[|]", r"\|$", "^$", "x{2}", r"^a\\$"]
)
def test_a_pattern_accepts_the_same_texts_as_before(written: str) -> None:
    """Theirs is searched for, ours matches the whole."""
    # shows: F2
    for text in ("a", "b", "aa", "ab", "ba", "xa", "cb", "b$", "a$", "|", "x|", "", "xxx", "a\\", "c\nb", "a\nc"):
        assert bool(re.search(written, text)) == bool(re.fullmatch(whole_pattern(written), text)), (written, text)


def test_a_required_circle_is_left_to_a_person() -> None:
    """Our reader says so; the import is written all the same."""
    # shows: F2
    ref = {"type": "object", "required": ["to"], "properties": {"to": {"$ref": "#/components/schemas/B"}}}
    found = document({"A": ref, "B": {**ref, "properties": {"to": {"$ref": "#/components/schemas/A"}}}})
    assert [one.code for one in found.left if one.severity == "error"] == ["S156"]


@pytest.mark.parametrize(
    "schemas",
    [
        {"A": {"$ref": "#/components/schemas/A"}},
        {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}},
        {"A": {"allOf": [{"$ref": "#/components/schemas/A"}, {"properties": {"x": {"type": "string"}}}]}},
        {
            "A": {"type": "array", "items": {"$ref": "#/components/schemas/A"}},
            "B": {"type": "object", "properties": {"x": {"$ref": "#/components/schemas/A"}}},
        },
    ],
)
def test_references_in_a_circle_are_refused(schemas: dict[str, Any]) -> None:
    """With the way that they go."""
    # shows: P8
    with pytest.raises(ImportCircular) as refused:
        document(schemas)
    assert refused.value.code == "S228"


def test_a_schema_that_only_unused_ones_hold_is_listed() -> None:
    """Nothing is dropped silently."""
    # shows: F2
    book = {"type": "object", "properties": {"title": {"type": "string"}}}
    part = {"type": "object", "properties": {"x": {"type": "string"}}}
    held = {"oneOf": [{"allOf": [{"$ref": "#/components/schemas/Part"}, {"description": "y"}]}, {"type": "string"}]}
    found = document({"Book": book, "Part": part, "Either": held})
    assert sorted(one.text for one in found.not_understood) == ["Either: {oneOf}", "Part: {type, properties}"]


def test_a_chain_of_a_thousand_schemas_is_refused() -> None:
    """Nobody reads that; and it ends with an error, not with the interpreter's stack."""
    # shows: P8
    inner: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "string"}}}
    schemas = {
        f"A{n}": {"allOf": [{"$ref": f"#/components/schemas/A{n + 1}"}, {"properties": {"y": {"type": "string"}}}]}
        for n in range(1000)
    }
    with pytest.raises(ImportBomb):
        document({**schemas, "A1000": inner})


def test_references_that_double_at_every_step_do_no_harm() -> None:
    """Forty schemas of two copies each would be a trillion; each is looked at once."""
    # shows: P8
    schemas: dict[str, Any] = {f"A{n}": {"allOf": [{"$ref": f"#/components/schemas/A{n + 1}"}] * 2} for n in range(40)}
    schemas["A40"] = {"properties": {"x": {"type": "string"}}}
    found = document(schemas)
    assert "A40" in {one.theirs.removeprefix("schema ") for one in found.traces}


def test_paths_that_nothing_is_built_for_are_requirements_all_the_same() -> None:
    """Nested ones, actions, paths of nothing: listed, with the requirement that asks for them."""
    # shows: F2
    book = {"Book": {"type": "object", "properties": {"title": {"type": "string"}}}}
    one = {"get": {"summary": "x", "parameters": [{"name": "id", "in": "path", "schema": {"type": "string"}}]}}
    paths = {"/books": {"post": {}}, "/books/{id}": one, "/books/{id}/notes": one, "/stats": {"get": {}}}
    found = document(book, paths)
    told = {entry.text: entry.remedy for entry in found.not_understood}
    assert told["GET /books/{id}/notes"].startswith("an agent can build it from FR-003")
    assert told["GET /stats"].startswith("an agent can build it from FR-004")
    assert told["{id}: string"] == "leave it out"
    assert [one.id for one in valid(found).requirements] == ["FR-001", "FR-002", "FR-003", "FR-004"]


def test_statuses_that_hold_for_the_whole_document_are_options() -> None:
    """Where some differ, each is listed instead."""
    # shows: F2
    book = {"Book": {"type": "object", "properties": {"title": {"type": "string"}}}}

    def answers(*statuses: str) -> dict[str, Any]:
        return {"responses": {status: {"description": "ok"} for status in statuses}}

    alike = {"/books": {"post": answers("200", "400")}, "/books/{id}": {"put": answers("200", "400")}}
    found = document(book, alike)
    assert valid(found).http.statuses == {"added": 200, "invalid": 400}
    assert found.not_understood == ()
    mixed = {"/books": {"post": answers("200", "201", "400")}, "/books/{id}": {"put": answers("202", "422")}}
    found = document(book, mixed)
    assert valid(found).http.statuses == {}
    assert [one.text for one in found.not_understood] == ["POST /books 200", "POST /books 400", "PUT /books/{id} 202"]


def test_what_a_document_says_about_deleting_all_is_taken_over() -> None:
    """DELETE on a collection is an option of ours."""
    book = {"Book": {"type": "object", "properties": {"title": {"type": "string"}}}}
    found = document(book, {"/books": {"get": {}, "delete": {"responses": {"204": {"description": "ok"}}}}})
    assert valid(found).http.delete_all
    assert found.not_understood == ()
