"""One property of a schema as a field of ours: type, rules, and what neither of them can say."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from daybreak.agents.entities import Field, Type
from daybreak.factory.imports.openapi_objects import ANNOTATIONS, Lost, is_object, types_of, unwrapped
from daybreak.factory.imports.openapi_refs import CHAIN_MAX, Refs
from daybreak.factory.imports.refusals import ImportCircular
from daybreak.factory.imports.tree import as_json, get, is_true, items, text, told
from daybreak.factory.spec import rules, types, values
from daybreak.factory.spec.located import Mapping, Node, Scalar

PATTERNS = {
    "email": r"[^@\s]+@[^@\s]+",
    "idn-email": r"[^@\s]+@[^@\s]+",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:\S+",
    "url": r"[A-Za-z][A-Za-z0-9+.-]*:\S+",
    "iri": r"[A-Za-z][A-Za-z0-9+.-]*:\S+",
    "uuid": r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
}
"""What stands for a format of texts."""
_ANYTHING = r"[\s\S]*"
_LINKS = frozenset({"url", "href", "self", "link", "uri"})
_READ = frozenset(
    {"type", "format", "enum", "const", "default", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum"}
    | {"exclusiveMaximum", "pattern", "items", "nullable", "readOnly", "writeOnly", "description", "title", "$ref"}
    | {"allOf", "anyOf", "oneOf", "properties", "required", "additionalProperties", "multipleOf"}
)


class FieldReader:
    """`entities` are the names of ours by the names of their schemas."""

    def __init__(self, refs: Refs, entities: dict[str, str], lost: Lost, noted: Any) -> None:
        self.refs, self.entities, self.lost, self.noted = refs, entities, lost, noted
        self.where = ""
        self.line = 0
        self.depth = 0

    def field(self, entity: str, name: str, key: Scalar, node: Node, *, required: bool) -> Field | None:
        """The field, or None where its values have no type of ours; then it is listed."""
        self.where, self.line, self.depth = f"{entity}.{name}", key.line, 0
        outer = node
        node, nullable = unwrapped(node, self.refs)
        type_ = self.type(node, name, read_only=is_true(outer, "readOnly"))
        if type_ is None:
            return None
        target = self.refs.target(node).node or node
        nullable = nullable or types_of(target)[1]
        layers = [outer] if outer is target else [target, outer]
        field = Field(name=name, type=type_)
        for layer in layers:
            field = replace(field, **self.rules(layer, field))
        field = self.kept_by_program(field, layers)
        if required and not nullable and not (field.automatic or field.computed):
            field = replace(field, required=True)
        if field.default is not None and (fault := rules.value_fault(field, field.default)):
            self.say(f"default: {field.default}", f"it {fault}", "write a default that the other rules allow")
            field = replace(field, default=None)
        return field

    def say(self, what: str, why: str, remedy: str) -> None:
        self.lost(self.line, what, f"{self.where}: {why}", remedy)

    # -- types

    def type(self, node: Node, name: str, *, read_only: bool) -> Type | None:
        found = self.refs.target(node)
        if found.node is None:
            self.say(found.missing, "nothing in this file stands there", "write the field with its type into the table")
            return None
        if found.name in self.entities:
            return Type(name="ref", target=self.entities[found.name])
        if is_object(found.node, self.refs):
            self.say(
                told(found.node),
                "an object inside an object has no place in a table",
                "write it as an entity of its own and a ref to it",
            )
            return None
        names, _ = types_of(found.node)
        if (const := get(found.node, "const")) is not None or items(found.node, "enum"):
            return self.choice(found.node, const, names)
        for word in ("oneOf", "anyOf", "not", "allOf"):
            if (value := get(found.node, word)) is not None:
                self.say(f"{word}: {told(value)}", f"a field has one type, not {word}", "write a row with one type")
                return None
        return self.named(found.node, names, name, read_only=read_only)

    def named(self, node: Node, names: list[str], name: str, *, read_only: bool) -> Type | None:
        format_ = text(node, "format").lower()
        if len(names) > 1:
            self.say(f"type: {', '.join(names)}", "a field has one type", "write a row with one type")
            return None
        match names[0] if names else "":
            case "string":
                return self.string(node, format_, name, read_only=read_only)
            case "integer" | "number" | "boolean" as simple:
                if simple == "number" and (format_ == "decimal" or _is_cents(text(node, "multipleOf"))):
                    return Type(name="decimal")
                if format_ not in ("", "int32", "int64", "float", "double"):
                    self.say(f"format: {format_}", "this format of numbers is not known", "write min and max instead")
                return Type(name="integer" if simple == "integer" else "number" if simple == "number" else "boolean")
            case "array":
                return self.list_of(node, name)
            case "":
                self.say(told(node), "it has no type", "write a row with its type")
            case other:
                self.say(f"type: {other}", "a table has no such values", "write the fields in it as rows")
        return None

    def string(self, node: Node, format_: str, name: str, *, read_only: bool) -> Type | None:
        match format_:
            case "date":
                return Type(name="date")
            case "date-time":
                return Type(name="timestamp")
            case "decimal" | "money":
                return Type(name="decimal")
            case "uri" | "url" | "iri" if name in _LINKS and (read_only or is_true(node, "readOnly")):
                return Type(name="link")
            case "binary" | "byte":
                self.say(f"format: {format_}", "records hold no files", "write a text that says where the file lies")
                return None
            case _:
                if format_ and format_ not in PATTERNS and format_ != "password":
                    self.say(f"format: {format_}", "this format of texts is not known", "write a pattern `REGEX`")
                return Type(name="text")

    def choice(self, node: Node, const: Node | None, names: list[str]) -> Type | None:
        found = [const] if const is not None else items(node, "enum")
        kept = [one.text for one in found if isinstance(one, Scalar) and not one.is_null]
        if names in (["integer"], ["number"], ["boolean"]):
            self.say(f"enum: {', '.join(kept)}", f"choices are texts, not {names[0]}s", "write min and max, or choices")
            return Type(name=names[0])  # type: ignore[arg-type]  # one of the three above
        strange = [text_ for text_ in kept if not _is_choice(text_)]
        for text_ in strange:
            self.say(f"enum: {text_}", "this cannot be a choice", "write the choice without `;`, `->` and backticks")
        usable = tuple(dict.fromkeys(text_ for text_ in kept if text_ not in strange))
        if not usable or len(usable) > types.CHOICES_MAX:
            self.say(f"enum: {', '.join(kept)}", "there are no choices that can be used", "write choice: a, b")
            return None
        return Type(name="choice", choices=usable)

    def list_of(self, node: Node, name: str) -> Type | None:
        inner = get(node, "items")
        if inner is None:
            self.say("type: array", "it does not say what is in it", "write list of text, or of another type")
            return None
        inner, _ = unwrapped(inner, self.refs)
        self.depth += 1
        if self.depth > CHAIN_MAX:
            raise ImportCircular(
                f"{self.refs.file}:{self.line}: {self.where} is a list of lists without end", hint="say what is in it"
            )
        of = self.type(inner, name, read_only=False)
        if of is None:
            return None
        if of.name not in types.LISTABLE:
            self.say(
                f"items: {told(inner)}", f"a list holds no {of.name}s", "write an entity of its own and a ref to it"
            )
            return None
        for word in ("pattern", "minLength", "maxLength", "minimum", "maximum"):
            if (value := get(self.refs.target(inner).node, word)) is not None:
                self.say(f"{word}: {told(value)}", "elements of a list have no rules", "write it as a requirement")
        return Type(name="list", of=of)

    # -- rules

    def rules(self, node: Node, field: Field) -> dict[str, Any]:
        """What the keywords of a schema say; what does not fit the field's type is listed."""
        found: dict[str, Any] = {}
        if not isinstance(node, Mapping) or field.type.name == "link":
            return found
        for key, value in node.pairs:
            if key.text in ANNOTATIONS or key.text.startswith("x-"):
                self.noted(key.text, key.line)
            elif key.text not in _READ:
                self.lost(
                    key.line,
                    f"{key.text}: {told(value)}",
                    f"{self.where}: there is no rule for it",
                    "write it as a requirement",
                )
        found |= self.limits(node, field)
        if (pattern := get(node, "pattern")) is not None:
            found |= self.pattern(pattern, field)
        elif field.type.name == "text" and (form := PATTERNS.get(text(node, "format").lower())):
            found["pattern"] = form
        default = get(node, "default")
        if default is not None and not (isinstance(default, Scalar) and default.is_null):
            if types.target(field.type) is not None:
                self.say(f"default: {told(default)}", "which records exist is not known in advance", "leave it out")
            else:
                found["default"] = default.text if isinstance(default, Scalar) else as_json(default)
        if (
            field.type.name != "decimal"
            and (step := text(node, "multipleOf"))
            and (field.type.name, step) != ("integer", "1")
        ):
            self.say(f"multipleOf: {step}", "there is no rule for it", "write it as a requirement")
        return found

    def limits(self, node: Node, field: Field) -> dict[str, Any]:
        found: dict[str, Any] = {}
        kind = field.type.name
        words = ("minLength", "maxLength") if kind == "text" else ("minimum", "maximum")
        for word in ("minLength", "maxLength", "minimum", "maximum"):
            value = get(node, word)
            if value is None:
                continue
            end, limit = word[:3], text(node, word)
            if word not in words or kind not in ("text", "integer", "number", "decimal"):
                self.say(
                    f"{word}: {told(value)}", f"it does not fit the type {types.spoken(field.type)}", "leave it out"
                )
            elif fault := rules.limit_fault(field.type, limit):
                self.say(f"{word}: {told(value)}", f"the limit {fault}", f"write {end} and such a value")
            elif not (kind == "text" and limit == "0"):
                found[end] = limit
        for word, plain in (("exclusiveMinimum", "min"), ("exclusiveMaximum", "max")):
            if (value := get(node, word)) is not None:
                found |= self.exclusive(word, plain, value, found.get(plain), field)
        low, high = (values.comparable(_measured(field), found.get(end, "")) for end in ("min", "max"))
        if low is not None and high is not None and low > high:  # type: ignore[operator]  # both are of one type
            self.say(f"{found['min']}..{found['max']}", "the lower limit lies above the upper one", "write A..B")
            return {}
        return found

    def exclusive(self, word: str, plain: str, value: Node, limit: str | None, field: Field) -> dict[str, Any]:
        """3.0 has a flag beside `minimum`, 3.1 a number; for whole numbers the next one is the limit."""
        written = value.text if isinstance(value, Scalar) else ""
        if written == "false":
            return {}
        number = limit if written == "true" else written
        whole = values.comparable(Type(name="integer"), number or "")
        if field.type.name == "integer" and isinstance(whole, int):
            return {plain: str(whole + (1 if plain == "min" else -1))}
        self.say(f"{word}: {written}", "limits belong to what is allowed", f"write {plain} with the last value allowed")
        return {plain: number} if number and rules.limit_fault(field.type, number) is None else {}

    def pattern(self, node: Node, field: Field) -> dict[str, Any]:
        """Ours must match the whole value; theirs is searched for, unless `^` and `$` stand around it."""
        written = told(node)
        if field.type.name != "text":
            self.say(f"pattern: {written}", f"it does not fit the type {types.spoken(field.type)}", "leave it out")
            return {}
        form = whole_pattern(written)
        if fault := values.pattern_fault(form):
            self.say(
                f"pattern: {written}", f"it cannot be used: {fault}", "write it as Python's regular expressions are"
            )
            return {}
        return {"pattern": form}

    def kept_by_program(self, field: Field, layers: list[Node]) -> Field:
        """readOnly and writeOnly."""
        read_only = any(is_true(layer, "readOnly") for layer in layers)
        hidden = any(is_true(layer, "writeOnly") for layer in layers) or any(
            text(layer, "format") == "password" for layer in layers
        )
        if field.type.name == "link":
            return replace(field, computed=True)
        if read_only and field.name in rules.AUTOMATIC_NAMES and field.type.name in ("date", "timestamp"):
            return Field(name=field.name, type=field.type, automatic=True)
        if read_only:
            self.say(
                "readOnly: true",
                "only created_at, updated_at and links are kept by the program",
                "leave the field out, or write who fills it",
            )
        if hidden and field.type.name != "text":
            self.say("writeOnly: true", f"only texts can be secret, not {types.spoken(field.type)}", "make it a text")
        elif hidden:
            if field.default is not None:
                self.say(f"default: {field.default}", "a secret has no default", "leave it out")
            return replace(field, secret=True, default=None)
        return field


def whole_pattern(written: str) -> str:
    """An expression that matches the whole of exactly those texts in which `written` is found."""
    if _alternates(written):
        return f"(?={_ANYTHING}?(?:{written})){_ANYTHING}"
    start, end = written.startswith("^"), re.search(r"(?<!\\)(?:\\\\)*\$$", written) is not None
    inner = written[1 if start else 0 : -1 if end else None]
    return ("" if start else _ANYTHING) + inner + ("" if end else _ANYTHING)


def _alternates(written: str) -> bool:
    """Whether a `|` stands outside of all groups and classes, so that anchors belong to its sides alone."""
    depth, in_class, at = 0, False, 0
    while at < len(written):
        letter = written[at]
        if letter == "\\":
            at += 1
        elif in_class:
            in_class = letter != "]"
        elif letter == "[":
            in_class = True
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == "|" and depth == 0:
            return True
        at += 1
    return False


def _is_choice(value: str) -> bool:
    """Whether a table can hold it as one of its choices."""
    plain = bool(value.strip()) and len(value) <= types.CHOICE_LENGTH_MAX and value.isprintable()
    return plain and not any(mark in value for mark in ("`", "->", ";"))


def _measured(field: Field) -> Type:
    return Type(name="integer") if field.type.name == "text" else field.type


def _is_cents(step: str) -> bool:
    try:
        return Decimal(step) in (Decimal("0.01"), Decimal("0.001"), Decimal("0.1")) if step else False
    except InvalidOperation:
        return False
