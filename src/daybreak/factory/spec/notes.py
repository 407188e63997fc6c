"""The one-line labels below an entity's table: who logs in, who reads and writes, what users may, order, search."""

from __future__ import annotations

import re
from typing import Any, get_args

from daybreak.agents.entities import Condition, Field, Login, NamedList, Readers, Writers
from daybreak.factory.spec import codespans, names, questions, rules
from daybreak.factory.spec.draft import DraftAction, DraftEntity
from daybreak.factory.spec.located import Scalar
from daybreak.factory.spec.problems import Problems, cut, listed, meant

HOURS_MAX = 24 * 366
_LOGIN = re.compile(r"(?P<name>\S+) with (?P<secret>[^\s,]+)(?:,? for (?P<count>\d{1,5}) (?P<unit>hour|day)s?)?")
_IN_MY = re.compile(r"(?P<field>\S+) in my (?P<relation>\S+)")
_MY = re.compile(r"my (?P<relation>\S+)")
_ME = re.compile(r"(?P<field>\S+) is me")
_IS = re.compile(r"(?P<field>\S+) is (?P<value>.+)")
CONDITIONS = "`FIELD is VALUE`, `FIELD is me`, `my RELATION` and `FIELD in my RELATION`"
_UNSORTED = frozenset({"list", "link"})


def read(draft: DraftEntity, where: str, fields: dict[str, Field], problems: Problems) -> dict[str, Any]:
    """The entity's attributes that these lines give; what cannot be used becomes a problem."""
    reader = _Reader(draft, where, fields, problems)
    found: dict[str, Any] = {
        "login": reader.login(),
        "seen_as": reader.seen_as(),
        "readers": reader.one_of("Readers", get_args(Readers)),
        "writers": reader.one_of("Writers", get_args(Writers)),
        "users_may": reader.users_may(),
        "order": reader.order(),
        "search": reader.search(),
        "listed_by": reader.listed_by(),
    }
    found["lists"] = reader.lists(found["users_may"])
    return found


class _Reader:
    def __init__(self, draft: DraftEntity, where: str, fields: dict[str, Field], problems: Problems) -> None:
        self.draft, self.where, self.fields, self.problems = draft, where, fields, problems

    def refuse(self, line: int, message: str, remedy: str, code: str = "S172") -> None:
        self.problems.add(line, code, f"{self.where}: {message}", remedy)

    def text(self, label: str, example: str) -> tuple[str, int] | None:
        """What the line says and where it stands; None, with a problem where it says nothing."""
        note = self.draft.notes.get(label)
        if note is None:
            return None
        text = " ".join(questions.without(note.text).replace("`", "").split())
        if not text:
            self.refuse(note.line, f"{label}: says nothing", f"write {label}: {example}")
            return None
        return text, note.line

    def field(self, name: str, line: int) -> Field | None:
        field = self.fields.get(name)
        if field is None:
            otherwise = f"the fields are {listed(self.fields)}"
            self.refuse(line, f"there is no field {cut(name)}", meant(name, self.fields, otherwise), "S154")
        return field

    def words(self, label: str, example: str) -> tuple[list[str], int]:
        found = self.text(label, example)
        if found is None:
            return [], 1
        text, line = found
        words = [word.strip() for word in text.split(",")]
        for word in dict.fromkeys(words):
            if not word or words.count(word) > 1:
                told = f"{cut(word)} stands twice behind {label}:" if word else f"a word is missing behind {label}:"
                self.refuse(line, told, f"write {label}: {example}")
        return [word for word in dict.fromkeys(words) if word], line

    def one_of(self, label: str, known: tuple[str, ...]) -> str:
        found = self.text(label, known[1])
        if found is None:
            return known[0]
        text, line = found
        if text in known:
            return text
        self.refuse(line, f"{label}: {cut(text)!r} is unknown", meant(text, known, f"write {' or '.join(known)}"))
        return known[0]

    # -- users

    def login(self) -> Login | None:
        example = "email with password, for 30 days"
        found = self.text("Login", example)
        if found is None:
            return None
        text, line = found
        form = _LOGIN.fullmatch(text)
        if form is None:
            self.refuse(line, f"{cut(text)!r} is no login", f"write Login: {example}", "S170")
            return None
        name, secret = self.field(form["name"], line), self.field(form["secret"], line)
        if name is not None and not (
            name.type.name == "text" and name.required and (name.unique or name.unique_ignoring_case)
        ):
            self.refuse(
                line, f"nobody is known by {name.name}", f"make {name.name} a text that is required and unique", "S170"
            )
        if secret is not None and not (secret.secret and secret.required):
            self.refuse(line, f"{secret.name} proves nothing", f"give {secret.name} the rules required, secret", "S170")
        hours = int(form["count"] or 30) * (1 if form["unit"] == "hour" else 24)
        if not 1 <= hours <= HOURS_MAX:
            self.refuse(line, f"a session of {hours} hours is not possible", "write 1 hour to 366 days", "S170")
        return Login(name=form["name"], secret=form["secret"], hours=hours)

    def seen_as(self) -> str | None:
        found = self.text("Seen as", "profile")
        if found is None:
            return None
        text, line = found
        if names.PLURAL.fullmatch(text) is None or len(text) > names.LENGTH_MAX:
            self.refuse(line, f"users cannot be seen as {cut(text)!r}", "write small ASCII words, such as profile")
            return None
        return text.replace(" ", "-")

    def users_may(self) -> tuple[str, ...]:
        words, line = self.words("Users may", "favorite")
        kept = []
        for word in words:
            fault = names.action_fault(word)
            if fault is None and "-" in word:
                fault = f"{word!r} is more than one word", "write one word, such as favorite"
            if fault is None:
                kept.append(word)
            else:
                self.refuse(line, *fault)
        return tuple(kept)

    # -- lists

    def order(self) -> tuple[str, ...]:
        words, line = self.words("Order", "-created_at, title")
        for word in words:
            name = word.removeprefix("-")
            field = None if name == "id" else self.field(name, line)
            if field is not None and (field.secret or field.private or field.type.name in _UNSORTED):
                self.refuse(line, f"nothing can be ordered by {name}", "name another field")
        return tuple(words)

    def search(self) -> tuple[str, ...]:
        words, line = self.words("Search", "title, body")
        for word in words:
            field = self.field(word, line)
            if field is not None and (field.type.name != "text" or field.secret or field.private):
                self.refuse(line, f"{word} cannot be searched by words", "name fields of the type text")
        return tuple(words)

    def listed_by(self) -> str | None:
        found = self.text("Listed by", "name")
        if found is None or (field := self.field(*found)) is None:
            return None
        if not (field.key or field.slug_of):
            self.refuse(found[1], f"{field.name} is no key", f"give {field.name} the rule key")
        return field.name

    def lists(self, relations: tuple[str, ...]) -> tuple[NamedList, ...]:
        kept: dict[str, NamedList] = {}
        for draft in self.draft.lists:
            name, line = codespans.unwrap(draft.name.text), draft.name.line
            if fault := names.action_fault(name):
                self.refuse(line, *fault)
                continue
            if name in kept:
                self.refuse(line, f"the list {name} occurs twice", "rename one", "S144")
            conditions = [self.condition(part, line, relations) for part in self.parts(draft)]
            if conditions and all(conditions):
                kept.setdefault(name, NamedList(name=name, conditions=tuple(filter(None, conditions))))
        return tuple(kept.values())

    def parts(self, draft: DraftAction) -> list[str]:
        text = questions.without(draft.changes.text)
        if not text.strip():
            self.refuse(draft.name.line, "a list has no condition", f"the conditions are {CONDITIONS}")
            return []
        return [" ".join(part.split()) for part in codespans.split(text, ";")]

    def condition(self, part: str, line: int, relations: tuple[str, ...]) -> Condition | None:
        if found := _IN_MY.fullmatch(part):  # that the target has the relation is looked at later
            field = self.field(found["field"], line)
            return None if field is None else Condition(kind="in my", field=field.name, relation=found["relation"])
        if found := _MY.fullmatch(part):
            name = found["relation"]
            if name in relations:
                return Condition(kind="my", relation=name)
            otherwise = f"write Users may: {cut(name)} below the table"
            self.refuse(line, f"users have no {cut(name)} of it", meant(name, relations, otherwise))
            return None
        if found := _ME.fullmatch(part):
            field = self.field(found["field"], line)
            return None if field is None else Condition(kind="me", field=field.name)
        if found := _IS.fullmatch(part):
            return self.equal(found["field"], codespans.unwrap(found["value"]), line)
        self.refuse(line, f"the condition {cut(part)!r} is unknown", f"the conditions are {CONDITIONS}")
        return None

    def equal(self, name: str, value: str, line: int) -> Condition | None:
        field = self.field(name, line)
        if field is None:
            return None
        if field.secret or field.private or field.type.name in ("list", "ref", "link"):
            self.refuse(line, f"{name} cannot be compared here", "name a field with one value that everybody sees")
            return None
        if value in ("today", "now") or (fault := rules.value_fault(field, value)):
            told = "moves on" if value in ("today", "now") else fault
            self.refuse(line, f"{name} cannot be {cut(value)}: it {told}", "write a value of the field", "S151")
            return None
        return Condition(kind="is", field=name, value=value)


def line_of(draft: DraftEntity, label: str) -> int:
    """Where a label stands; the entity's own line where it does not."""
    return draft.notes.get(label, Scalar("", draft.name.line)).line
