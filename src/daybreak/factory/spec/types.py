"""The second column: what kind of value a field holds."""

from __future__ import annotations

from collections import Counter

from daybreak.agents.entities import Type, TypeName
from daybreak.factory.spec import codespans
from daybreak.factory.spec.problems import Problems, listed, nearest

SIMPLE: tuple[TypeName, ...] = ("text", "integer", "number", "decimal", "boolean", "date", "timestamp", "link")
FORMS = (*SIMPLE, "choice: a, b", "list of TYPE", "ref ENTITY")
LISTABLE: frozenset[TypeName] = frozenset(
    {"text", "integer", "number", "decimal", "boolean", "date", "timestamp", "choice", "ref"}
)
CHOICES_MAX = 1000
CHOICE_LENGTH_MAX = 100
_OTHER_WORDS = {
    "string": "text",
    "str": "text",
    "varchar": "text",
    "email": "text",
    "uuid": "text",
    "char": "text",
    "int": "integer",
    "bigint": "integer",
    "float": "number",
    "double": "number",
    "real": "number",
    "money": "decimal",
    "numeric": "decimal",
    "bool": "boolean",
    "datetime": "timestamp",
    "time": "timestamp",
    "enum": "choice: a, b",
    "url": "text, or link for the record's own address",
    "reference": "ref ENTITY",
    "array": "list of TYPE",
}


def read(text: str, line: int, problems: Problems) -> Type | None:
    """The type, or None with a problem. That a ref's target exists is looked at later."""
    text = " ".join(codespans.unwrap(text).split()) if "choice" not in text else codespans.unwrap(text).strip()
    head, colon, rest = text.partition(":")
    head = head.strip()
    if head == "choice" and colon:
        return _choice(rest, line, problems)
    words = text.split(" ", 2)
    for name in SIMPLE:
        if text == name:
            return Type(name=name)
    if words[:2] == ["list", "of"] and len(words) == 3:
        return _list(words[2], line, problems)
    if words[0] == "ref" and len(words) == 2:
        return Type(name="ref", target=words[1])
    problems.add(line, "S146", f"the type {text!r} is unknown" if text else "the type is left out", _remedy(text))
    return None


def _remedy(text: str) -> str:
    head = text.split(":")[0].split(" ")[0].casefold()
    if head == "choice":
        return "write the choices after a colon: choice: fiction, science"
    if head == "ref":
        return "write ref and the name of one entity: ref Author"
    if head == "list":
        return "write list of and the type of its elements: list of text"
    meant = _OTHER_WORDS.get(head) or nearest(head, (*SIMPLE, *_OTHER_WORDS))
    meant = _OTHER_WORDS.get(meant, meant) if meant else None
    return f"write {meant}" if meant else f"the types are {listed(FORMS)}"


def _choice(text: str, line: int, problems: Problems) -> Type | None:
    values = [codespans.unwrap(value) for value in codespans.split(text, ",")]
    faults = _choice_faults(values) if text.strip() else ["there are no choices"]
    for fault in faults:
        problems.add(line, "S147", fault, "write each choice once, between commas: choice: fiction, science, other")
    return None if faults else Type(name="choice", choices=tuple(values))


def _choice_faults(values: list[str]) -> list[str]:
    if len(values) > CHOICES_MAX:
        return [f"there are {len(values)} choices, more than {CHOICES_MAX}"]
    faults = ["a choice is empty"] if any(not value.strip() for value in values) else []
    for value, times in Counter(values).items():
        if times > 1 and value.strip():
            faults.append(f"the choice {value} occurs {times} times")
        if len(value) > CHOICE_LENGTH_MAX:
            faults.append(f"the choice {value[:20]}… has more than {CHOICE_LENGTH_MAX} characters")
        if any(mark in value for mark in ("`", "->", ";")) or not value.isprintable():
            faults.append(f"the choice {value!r} holds a backtick, `;`, `->` or a control character")
    return faults


def _list(text: str, line: int, problems: Problems) -> Type | None:
    element = read(text, line, problems)
    if element is None:
        return None
    if element.name not in LISTABLE:
        problems.add(line, "S146", f"a list of {text} is not possible", f"a list holds {listed(sorted(LISTABLE))}")
        return None
    return Type(name="list", of=element)


def spoken(type_: Type) -> str:
    """The type as a person writes it, without its choices."""
    if type_.name == "list" and type_.of is not None:
        return f"list of {spoken(type_.of)}"
    return f"ref {type_.target}" if type_.name == "ref" else type_.name


def target(type_: Type) -> str | None:
    """The entity that a ref, or each ref of a list, points to."""
    return (type_.of or type_).target
