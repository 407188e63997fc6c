"""The third column: rules, which types they fit, and which of them exclude each other."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from daybreak.agents.entities import Field, Type, TypeName
from daybreak.factory.spec import codespans, types, values
from daybreak.factory.spec.problems import Problems, listed, nearest

_COMPARED: frozenset[TypeName] = frozenset({"integer", "number", "decimal", "date", "timestamp"})
_KEYED: frozenset[TypeName] = _COMPARED | {"text", "choice", "ref", "boolean"}
_WRITTEN: frozenset[TypeName] = _KEYED | {"list"}

FITS: dict[str, frozenset[TypeName]] = {
    "required": _WRITTEN,
    "unique": _KEYED,
    "unique ignoring case": frozenset({"text"}),
    "unique with": _KEYED,
    "default": _WRITTEN - {"ref"},
    "min": _COMPARED | {"text"},
    "max": _COMPARED | {"text"},
    "pattern": frozenset({"text"}),
    "after": frozenset({"date", "timestamp"}),
    "automatic": frozenset({"date", "timestamp"}),
    "computed": frozenset({"link"}),
    "on delete": frozenset({"ref"}),
    "secret": frozenset({"text"}),
    "immutable": _WRITTEN,
    "key": frozenset({"text"}),
    "slug of": frozenset({"text"}),
    "owner": frozenset({"ref"}),
    "parent": frozenset({"ref"}),
    "embedded": frozenset({"ref"}),
    "by": frozenset({"ref"}),
    "new allowed": frozenset({"ref"}),
    "private": _WRITTEN,
    "count of": frozenset({"integer"}),
    "by me": frozenset({"boolean"}),
}
"""Which types each rule fits."""

_OF_REFS = frozenset({"on delete", "embedded", "by", "new allowed"})
"""What fits a ref fits a list of refs too."""
_MADE = frozenset({"slug of", "owner", "count of", "by me"})
"""The program fills these fields itself."""
_ALONE = frozenset(FITS) - {"computed", "automatic"}
EXCLUDES: dict[str, frozenset[str]] = {
    "automatic": _ALONE | {"computed"},
    "secret": frozenset({"unique", "unique ignoring case", "unique with", "default"}),
    "unique": frozenset({"unique ignoring case"}),
    "key": frozenset({"secret", "default", "private", "slug of"}),
    "slug of": _ALONE - {"slug of"},
    "owner": _ALONE - {"owner", "embedded", "by", "on delete"},
    "count of": _ALONE - {"count of"},
    "by me": _ALONE - {"by me"},
    "parent": frozenset({"unique", "default", "private", "immutable", "required"}),
    "embedded": frozenset({"by", "new allowed"}),
    "private": frozenset({"secret"}),
}
"""Which rules cannot stand beside a rule (both ways)."""

AUTOMATIC_NAMES = ("created_at", "updated_at")
TEXT_LENGTH_MAX = 1_000_000

_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("required", re.compile(r"required")),
    ("unique ignoring case", re.compile(r"unique ignoring case")),
    ("unique with", re.compile(r"unique with (?P<value>\S+)")),
    ("unique", re.compile(r"unique")),
    ("default", re.compile(r"default (?P<value>.+)", re.DOTALL)),
    ("range", re.compile(r"(?P<min>[^\s`]*?)\s*\.\.\s*(?P<max>[^\s`.]\S*|)")),
    ("min", re.compile(r"min (?P<value>\S+)")),
    ("max", re.compile(r"max (?P<value>\S+)")),
    ("pattern", re.compile(r"pattern (?P<value>.+)", re.DOTALL)),
    ("after", re.compile(r"after (?P<value>\S+)")),
    ("automatic", re.compile(r"automatic")),
    ("computed", re.compile(r"computed")),
    ("on delete", re.compile(r"on delete (?P<value>\S+)")),
    ("secret", re.compile(r"secret")),
    ("immutable", re.compile(r"immutable")),
    ("key", re.compile(r"key")),
    ("slug of", re.compile(r"slug of (?P<value>\S+)")),
    ("owner", re.compile(r"owner")),
    ("parent", re.compile(r"parent")),
    ("embedded", re.compile(r"embedded")),
    ("by me", re.compile(r"(?P<value>\S+) by me")),
    ("by", re.compile(r"by (?P<value>\S+)")),
    ("new allowed", re.compile(r"new allowed")),
    ("private", re.compile(r"private")),
    ("count of", re.compile(r"count of (?P<value>\S+)")),
)
WRITTEN = (
    "required",
    "unique",
    "unique ignoring case",
    "unique with FIELD",
    "default VALUE",
    "min N",
    "max N",
    "A..B",
    "pattern `REGEX`",
    "after FIELD",
    "automatic",
    "computed",
    "on delete restrict, cascade or clear",
    "secret",
    "immutable",
    "key",
    "slug of FIELD",
    "owner",
    "parent",
    "embedded",
    "by FIELD",
    "new allowed",
    "private",
    "count of ENTITY",
    "RELATION by me",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as written: `min 1` is ("min", "1")."""

    name: str
    value: str | None = None
    written: str = ""
    """What the person wrote, where that has another name: `1..200`."""


def split(text: str) -> list[str]:
    """The rules of a cell; commas between backticks do not split."""
    return codespans.split(text, ",") if text.strip() else []


def read(parts: list[str], line: int, where: str, problems: Problems) -> list[Rule]:
    """What each part says; what is no rule becomes a problem."""
    found: list[Rule] = []
    for part in parts:
        found += _one(part, line, where, problems)
    return found


def _one(part: str, line: int, where: str, problems: Problems) -> list[Rule]:
    if not part:
        problems.add(line, "S148", f"{where}: there is an empty rule", "remove the extra comma")
        return []
    for name, form in _FORMS:
        matched = form.fullmatch(part if name in ("default", "pattern") else " ".join(part.split()))
        if matched is None:
            continue
        if name == "range":
            return _range(matched["min"], matched["max"], line, where, problems)
        value = matched.groupdict().get("value")
        if name == "pattern" and value is not None and not codespans.is_code(value):
            problems.add(line, "S153", f"{where}: the pattern stands without backticks", f"write pattern `{value}`")
            return []
        return [Rule(name, codespans.unwrap(value) if value is not None else None)]
    problems.add(line, "S148", f"{where}: the rule {part!r} is unknown", _remedy(part))
    return []


def _range(low: str, high: str, line: int, where: str, problems: Problems) -> list[Rule]:
    if low and high:
        return [Rule("min", low, f"{low}..{high}"), Rule("max", high, f"{low}..{high}")]
    remedy = f"write min {low}" if low else f"write max {high}" if high else "write both ends, such as 1..200"
    problems.add(line, "S148", f"{where}: one end of the range is left out", remedy)
    return []


def _remedy(part: str) -> str:
    lower = part.casefold()
    if lower != part and any(form.fullmatch(lower) for _, form in _FORMS):
        return f"write {lower}"
    head = lower.split()[0] if lower.split() else lower
    for form in WRITTEN:
        if form.split()[0] == head and (" " in form or head == lower):
            return f"write {form}"
    if head in ("optional", "nullable"):
        return "leave it out: every field is optional unless it is required"
    near = nearest(head, [form.split()[0] for form in WRITTEN if form[0].islower()])
    if near is not None:
        return f"did you mean {next(form for form in WRITTEN if form.split()[0] == near)}?"
    return f"the rules are {listed(WRITTEN)}"


def make_field(name: str, type_: Type, rules: list[Rule], line: int, where: str, problems: Problems) -> Field:
    """The field with all rules that fit; every other rule becomes a problem."""
    kept: dict[str, Rule] = {}
    partners: list[str] = []
    for rule in rules:
        if (rule.name == "unique with" and rule.value in partners) or (
            rule.name in kept and rule.name != "unique with"
        ):
            problems.add(line, "S149", f"{where}: {rule.name} is given twice", "say it once")
        elif not fits(rule.name, type_):
            _unfit(rule, type_, line, where, problems)
        else:
            kept[rule.name] = rule
            if rule.name == "unique with" and rule.value is not None:
                partners.append(rule.value)
    _exclusions(kept, line, where, problems)
    values_: dict[str, Any] = {"name": name, "type": type_, "unique_with": tuple(partners)}
    for rule in kept.values():
        values_ |= _as_attributes(rule, line, where, problems)
    if type_.name == "link":
        values_["computed"] = True
    if "key" in kept:
        values_["unique"] = "unique ignoring case" not in kept
    field = Field(**values_)
    return replace(field, **_unfit_values(field, line, where, problems))


def fits(rule: str, type_: Type) -> bool:
    """Whether a rule may stand beside a type; what fits a ref's target fits that of each ref in a list."""
    if types.target(type_) is not None and rule in _OF_REFS | {"default"}:
        return rule != "default"
    return type_.name in FITS[rule]


def _unfit(rule: Rule, type_: Type, line: int, where: str, problems: Problems) -> None:
    spoken = types.spoken(type_)
    fitting = [name for name in (*types.SIMPLE, "choice", "list", "ref") if name in FITS[rule.name]]
    remedy = f"leave it out; {rule.written or rule.name} fits {listed(fitting)}"
    if type_.name == "link":
        remedy = "leave it out: a link is the record's own address and always computed"
    elif rule.name == "default" and types.target(type_) is not None:
        remedy = "leave it out: which records exist is not known in advance"
    problems.add(line, "S150", f"{where}: the rule {rule.written or rule.name} does not fit the type {spoken}", remedy)


def _exclusions(kept: dict[str, Rule], line: int, where: str, problems: Problems) -> None:
    for name, others in EXCLUDES.items():
        for other in sorted(others & kept.keys() if name in kept else ()):
            remedy = f"leave out {other}"
            if name == "automatic":
                remedy += ": the program fills this field itself"
            problems.add(line, "S149", f"{where}: {name} and {other} exclude each other", remedy)
    if "required" in kept and kept.get("on delete", Rule("")).value == "clear":
        problems.add(
            line,
            "S149",
            f"{where}: required and on delete clear exclude each other",
            "write on delete restrict or on delete cascade, or leave out required",
        )


def _as_attributes(rule: Rule, line: int, where: str, problems: Problems) -> dict[str, Any]:
    match rule.name:
        case "required" | "unique" | "automatic" | "computed" | "secret" | "immutable":
            return {rule.name: True}
        case "unique ignoring case":
            return {"unique_ignoring_case": True}
        case "on delete":
            if rule.value in ("restrict", "cascade", "clear"):
                return {"on_delete": rule.value}
            problems.add(
                line,
                "S148",
                f"{where}: on delete {rule.value} is unknown",
                "write on delete restrict, cascade or clear",
            )
        case "pattern":
            assert rule.value is not None, "a pattern has a value"
            fault = values.pattern_fault(rule.value)
            if fault is None:
                return {"pattern": rule.value}
            problems.add(
                line, "S153", f"{where}: the pattern `{rule.value[:60]}` cannot be used: {fault}", "mend the expression"
            )
        case "default" | "min" | "max" | "after" | "by":
            return {rule.name: rule.value}
        case "embedded" | "private":
            return {rule.name: True}
        case "new allowed":
            return {"new_allowed": True}
        case "key":
            return {"key": True, "required": True}
        case "parent":
            return {"parent": True, "required": True, "immutable": True}
        case "owner":
            return {"owner": True, "computed": True}
        case "slug of":
            return {"slug_of": rule.value, "unique": True, "computed": True}
        case "count of" | "by me":
            return {rule.name.replace(" ", "_"): rule.value, "computed": True}
    return {}


def _unfit_values(field: Field, line: int, where: str, problems: Problems) -> dict[str, Any]:
    """Told: limits, default and name that do not fit. Returned: what to take off, so that reading can go on."""
    off: dict[str, Any] = {}
    for name in ("min", "max"):
        text = getattr(field, name)
        if text is not None and (fault := limit_fault(field.type, text)):
            problems.add(line, "S151", f"{where}: {name} {text} {fault}", f"write {name} and such a value")
            off[name] = None
        elif name == "max" and text == "0" and field.type.name == "text":
            problems.add(line, "S151", f"{where}: max 0 leaves room for no text", "write max 1 or more")
            off[name] = None
    low, high = (None if name in off else getattr(field, name) for name in ("min", "max"))
    if low is not None and high is not None and _above(field.type, low, high):
        problems.add(line, "S152", f"{where}: min {low} lies above max {high}", f"write {high}..{low}")
        off |= {"min": None, "max": None}
    if field.pattern is not None and values.may_be_slow(field.pattern):
        problems.warn(
            line,
            "S186",
            f"{where}: the pattern `{field.pattern[:60]}` repeats a repeat, which may take very long on some values",
            "write it with one repeat, such as [a-z]+ for ([a-z]+)+",
        )
    bounded = replace(field, **off)
    if field.default is not None and (fault := value_fault(bounded, field.default)):
        remedy = "write a default that the other rules allow"
        if field.type.name == "text" and not codespans.is_code(field.default):
            remedy += "; a text with commas stands in backticks"
        problems.add(line, "S151", f"{where}: the default {field.default} {fault}", remedy)
        off["default"] = None
    if field.automatic and field.name not in AUTOMATIC_NAMES:
        problems.add(
            line,
            "S150",
            f"{where}: only created_at and updated_at can be automatic",
            "rename the field, or leave it out",
        )
    return off


def limit_fault(type_: Type, text: str) -> str | None:
    if type_.name != "text":
        return values.fault(type_, text, moving=False)
    length = values.comparable(Type(name="integer"), text)
    if not isinstance(length, int) or not 0 <= length <= TEXT_LENGTH_MAX:
        return f"must be a length from 0 to {TEXT_LENGTH_MAX} characters"
    return None


def _above(type_: Type, low: str, high: str) -> bool:
    kind = Type(name="integer") if type_.name == "text" else type_
    first, second = values.comparable(kind, low), values.comparable(kind, high)
    assert first is not None, "both limits were looked at before"
    assert second is not None, "both limits were looked at before"
    return bool(first > second)  # type: ignore[operator]  # both are of the field's one type


def value_fault(field: Field, text: str) -> str | None:
    """Why a literal is no value of the field, its limits and pattern included; None where it is one."""
    if fault := values.fault(field.type, text):
        return fault
    if field.type.name == "list" and field.required and not text.strip("[] \t\n"):
        return "is empty, and the field is required"
    if field.type.name == "text":
        return _text_fault(field, text)
    value = values.comparable(field.type, text)
    if value is None:
        return None
    for limit, wrong, words in ((field.min, -1, "at least"), (field.max, 1, "at most")):
        bound = None if limit is None else values.comparable(field.type, limit)
        if bound is not None and ((value < bound) if wrong < 0 else (value > bound)):  # type: ignore[operator]
            return f"must be {words} {limit}"
    return None


def _text_fault(field: Field, text: str) -> str | None:
    if field.min is not None and len(text) < int(field.min):
        return f"must have at least {field.min} characters"
    if field.max is not None and len(text) > int(field.max):
        return f"must have at most {field.max} characters"
    if field.pattern is not None and not values.may_be_slow(field.pattern) and not values.matches(field.pattern, text):
        return f"must match {field.pattern}"
    return None
