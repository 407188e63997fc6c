"""Actions: what one command changes in one record."""

from __future__ import annotations

import re

from daybreak.agents.entities import Action, Change, Field, Type
from daybreak.factory.spec import codespans, names, questions, rules, values
from daybreak.factory.spec.draft import DraftAction
from daybreak.factory.spec.problems import Problems, cut, listed, meant

_SET = re.compile(r"set\s+(\S+)\s+(.+)", re.DOTALL)
_CLEAR = re.compile(r"clear\s+(\S+)")
_ADD = re.compile(r"add\s+(\S+)\s+to\s+(\S+)")
_ASK = re.compile(r"ask\s+(\S+)")
_MOVE = re.compile(r"(?P<field>\S+)\s+(?P<source>.+?)\s*->\s*(?P<value>.+)", re.DOTALL)
FORMS = "`FIELD A -> B`, `set FIELD VALUE`, `clear FIELD`, `add N to FIELD` and `ask FIELD`"
_NUMERIC = frozenset({"integer", "number", "decimal"})


def read(draft: DraftAction, where: str, fields: dict[str, Field], problems: Problems) -> Action | None:
    """The action, or None with problems. `fields` are those of the entity, by name."""
    name = codespans.unwrap(draft.name.text)
    line = draft.name.line
    if fault := names.action_fault(name):
        problems.add(line, "S158", f"{where}: {fault[0]}", fault[1])
    place = f"{where}, action {cut(name)}"
    text = questions.without(draft.changes.text)
    if not text.strip():
        problems.add(line, "S158", f"{place}: it changes nothing", f"write its changes: {FORMS}")
        return None
    reader = _Changes(place, draft.changes.line, fields, problems)
    changes = [reader.read(part) for part in codespans.split(text, ";")]
    kept = tuple(change for change in changes if change is not None)
    reader.together(kept)
    if len(kept) < len(changes) or fault:
        return None
    return Action(name=name, changes=kept)


class _Changes:
    def __init__(self, where: str, line: int, fields: dict[str, Field], problems: Problems) -> None:
        self.where, self.line, self.fields, self.problems = where, line, fields, problems

    def refuse(self, message: str, remedy: str, code: str = "S158") -> None:
        self.problems.add(self.line, code, f"{self.where}: {message}", remedy)

    def read(self, part: str) -> Change | None:
        if not part:
            self.refuse("there is an empty change", "remove the extra `;`")
            return None
        if "->" in codespans.masked(part):
            return self.move(part)
        if found := _SET.fullmatch(part):
            return self.set(found[1], found[2])
        if found := _CLEAR.fullmatch(part):
            return self.clear(found[1])
        if found := _ADD.fullmatch(part):
            return self.add(found[1], found[2])
        if found := _ASK.fullmatch(part):
            return self.ask(found[1])
        self.refuse(f"the change {cut(part)!r} is unknown", f"the changes are {FORMS}")
        return None

    def field(self, name: str) -> Field | None:
        name = codespans.unwrap(name)
        field = self.fields.get(name)
        if field is None:
            otherwise = f"the fields are {listed(self.fields)}"
            self.refuse(f"there is no field {cut(name)}", meant(name, self.fields, otherwise), "S154")
        elif field.automatic or field.computed:
            self.refuse(f"the program fills {name} itself", "leave this change out")
        elif field.immutable:
            self.refuse(f"{name} is immutable", "leave this change out, or take the rule immutable away")
        else:
            return field
        return None

    def move(self, part: str) -> Change | None:
        found = _MOVE.fullmatch(part)
        if found is None:
            self.refuse(f"the change {cut(part)!r} is not complete", "write FIELD A -> B, such as status in -> out")
            return None
        field = self.field(found["field"])
        source, value = codespans.unwrap(found["source"]), codespans.unwrap(found["value"])
        if field is None:
            return None
        if field.type.name != "choice":
            self.refuse(f"{field.name} is no choice and cannot move", f"write set {field.name} VALUE")
            return None
        unknown = [text for text in dict.fromkeys((source, value)) if text not in field.type.choices]
        for text in unknown:
            otherwise = f"its choices are {listed(field.type.choices)}"
            self.refuse(f"{field.name} has no choice {cut(text)}", meant(text, field.type.choices, otherwise), "S151")
        if source == value and not unknown:
            self.refuse(f"{field.name} moves from {source} to {source}", "write two different choices")
            return None
        return None if unknown else Change(verb="move", field=field.name, source=source, value=value)

    def set(self, name: str, written: str) -> Change | None:
        field = self.field(name)
        if field is None:
            return None
        value = codespans.unwrap(written)
        if field.secret:
            self.refuse(f"{field.name} is secret and cannot stand in the specification", f"write ask {field.name}")
        elif field.type.name == "ref":
            self.refuse(f"which {field.type.target} there is, is not known in advance", f"write ask {field.name}")
        elif written.startswith("to ") and not codespans.is_code(written):
            self.refuse(f"`set {field.name} to …` is unclear", f"write set {field.name} {written[3:].strip()}")
        elif fault := rules.value_fault(field, value):
            self.refuse(
                f"{field.name} cannot be {cut(value)}: it {fault}", "write a value that the field's rules allow", "S151"
            )
        else:
            return Change(verb="set", field=field.name, value=value)
        return None

    def clear(self, name: str) -> Change | None:
        field = self.field(name)
        if field is None:
            return None
        if field.required:
            self.refuse(
                f"{field.name} is required and cannot be cleared", f"write set {field.name} VALUE, or ask {field.name}"
            )
            return None
        return Change(verb="clear", field=field.name)

    def add(self, amount: str, name: str) -> Change | None:
        field = self.field(name)
        if field is None:
            return None
        amount = codespans.unwrap(amount)
        if field.type.name not in _NUMERIC:
            self.refuse(f"{field.name} is no number, nothing can be added to it", f"write set {field.name} VALUE")
            return None
        number = values.comparable(Type(name=field.type.name), amount)
        if number is None:
            self.refuse(
                f"{cut(amount)} cannot be added: it {values.fault(field.type, amount)}", "write add 1 to FIELD", "S151"
            )
            return None
        if number == 0:
            self.refuse("adding 0 changes nothing", "leave this change out")
            return None
        return Change(verb="add", field=field.name, value=amount)

    def ask(self, name: str) -> Change | None:
        field = self.field(name)
        return None if field is None else Change(verb="ask", field=field.name)

    def together(self, changes: tuple[Change, ...]) -> None:
        """What cannot stand in one action."""
        fields = [change.field for change in changes]
        for name in dict.fromkeys(fields):
            if fields.count(name) > 1:
                self.refuse(f"{name} is changed {fields.count(name)} times", "change each field once in an action")
