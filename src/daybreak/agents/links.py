"""Which requirement asks for which part of a program.

A link is there only where the one names the other: the requirement's text, or the heading of an acceptance example
that shows it, has the name of the entity, field, action, relation or list in it, or the word for something that every
program of the embedded builder can do (*faculties*). What a requirement means beyond its words nobody guesses.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from daybreak.agents import naming
from daybreak.agents.entities import Action, Entity, Field, NamedList, Type
from daybreak.agents.inflection import noun, verb
from daybreak.agents.protocol import Requirement

Faculty = Literal[
    "list", "search", "change", "delete", "total", "export", "import", "refuse", "http", "readme",
    "register", "login", "logout", "account",
]  # fmt: skip
"""What requirements ask of programs by a word of its own."""
Trait = Literal[
    "entity", "unique", "decimal", "secret", "private", "owner", "key", "count", "parent", "reference",
    "action", "relation", "named list", "words", "wrong value", "wrong request",
]  # fmt: skip
"""What the declared parts that a requirement names have in common, where it speaks of just that: of a unique field
that nothing may have it twice. `entity`: it asks for the records themselves; `words`: for searching by words;
`wrong request`: for refusing over HTTP, `wrong value`: for refusing in general."""

_FACULTIES: Mapping[Faculty, str] = {
    "list": rf"{verb(['list'])}|{verb(['sort'])}|{verb(['filter'])}|\bpaginat\w+|\ba page at a time\b",
    "search": rf"{verb(['search'])}|{verb(['find'])}",
    "change": rf"{verb(['change'])}|{verb(['edit'])}|{verb(['update'])}",
    "delete": rf"{verb(['delete'])}|{verb(['remove'])}",
    "total": rf"{verb(['total'])}|\btotalled\b|\bsums?\b",
    "export": verb(["export"]),
    "import": verb(["import"]),
    "refuse": rf"{verb(['refuse'])}|{verb(['reject'])}|\binvalid\b|\bwrong\b",
    "http": r"\bHTTP\b|\bREST\b",
    "readme": r"\bREADME\b",
    "register": rf"{verb(['register'])}|\bregistrations?\b|{verb(['sign', 'up'])}",
    "login": rf"{verb(['log', 'in'])}|\blogins?\b|{verb(['sign', 'in'])}|\bsessions?\b",
    "logout": rf"{verb(['log', 'out'])}|{verb(['sign', 'out'])}",
    "account": r"\baccounts?\b",
}
_COUNTING = rf"{verb(['count'])}|\bhow many\b|\bnumber of\b"
_ADDRESS = r"(?<!email )(?<!e-mail )\b(?:address(?:es)?|slugs?|urls?|permalinks?)\b"
_ELSEWHERE: frozenset[Faculty] = frozenset(
    {"list", "search", "change", "delete", "total", "export", "import", "http", "readme"}
)
"""Whoever asks for these asks what is done with records, not that they are kept."""
_BESIDE = ("entity", "refuse", "wrong value")
"""Whoever names nothing but these and an entity asks for its records."""
_REFUSING = ("action", "delete", "import", "login", "unique")
"""What has refusals of its own: whoever speaks of these does not ask about wrong values."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_FENCE = re.compile(r"\s{0,3}(```+|~~~+)")
_HEADING = re.compile(r"\s*(?:#{1,6}|-?\s*[\"']?title[\"']?\s*[:=])\s*(.+)")

Ids = tuple[str, ...]
"""Of requirements, in the order of the specification."""


@dataclass(frozen=True)
class Links:
    """Between the requirements and the entities of one specification."""

    requirements: tuple[Requirement, ...]
    entities: tuple[Entity, ...]
    headings: Mapping[str, Sequence[str]]
    """By requirement: those of the acceptance examples that show it."""

    # -- by part

    def of_entity(self, entity: Entity) -> Ids:
        return self._where(lambda id: self._names(id, entity))

    def of_field(self, entity: Entity, field: Field) -> Ids:
        """Whoever names the field and its entity; of a field that refers, counts or tells of a relation also whoever
        names what it is about."""
        return self._where(lambda id: self._is_about(id, entity) and self._names_field(id, entity, field))

    def of_action(self, entity: Entity, action: Action) -> Ids:
        knowing = [one for one in self.entities if any(own.name == action.name for own in one.actions)]
        return self._done(entity, action.name, knowing)

    def of_relation(self, entity: Entity, name: str) -> Ids:
        """Of users to records of the entity."""
        return self._done(entity, name, [one for one in self.entities if name in one.users_may])

    def of_list(self, entity: Entity, named: NamedList) -> Ids:
        """Names of lists are ordinary words, so the entity must be named with it."""
        pattern = noun(naming_words(named.name))
        return self._where(lambda id: self._is_about(id, entity) and self._speaks(id, pattern))

    def of_faculty(self, faculty: Faculty, entity: Entity | None = None) -> Ids:
        """Whoever names it; with `entity` only those that are about that one."""
        pattern = _FACULTIES[faculty]
        return self._where(lambda id: self._speaks(id, pattern) and (entity is None or self._is_about(id, entity)))

    # -- by what parts have in common

    @cached_property
    def kinds(self) -> Mapping[str, Ids]:
        """By faculty and by trait: the requirements that name some such part; none are left out."""
        found: dict[str, set[str]] = {kind: set() for kind in get_args(Trait)}
        found |= {faculty: set(self.of_faculty(faculty)) for faculty in get_args(Faculty)}
        for entity in self.entities:
            self._look_at(entity, found)
        found["refuse"] -= set[str]().union(*(found[kind] for kind in _REFUSING))
        found["wrong request"] = found["refuse"] & found["http"]
        found["wrong value"] = found["refuse"] - found["http"]
        elsewhere = set[str]().union(*(found[faculty] for faculty in _ELSEWHERE))
        special = set[str]().union(*(ids for kind, ids in found.items() if kind not in _BESIDE))
        named = {id for entity in self.entities for id in self.of_entity(entity)}
        found["entity"] = (found["entity"] - elsewhere) | (named - special)
        return {kind: self._in_order(ids) for kind, ids in found.items()}

    def _look_at(self, entity: Entity, found: dict[str, set[str]]) -> None:
        """Add who names what the entity has."""
        found["action"].update(id for action in entity.actions for id in self.of_action(entity, action))
        found["relation"].update(id for name in entity.users_may for id in self.of_relation(entity, name))
        found["named list"].update(id for named in entity.lists for id in self.of_list(entity, named))
        found["words"].update(self.of_faculty("search", entity) if entity.search else ())
        for field in entity.fields:
            ids = self.of_field(entity, field)
            for trait, holds, speaks in _TRAITS:
                if ids and holds(field):
                    found[trait].update(id for id in ids if self._speaks(id, speaks))

    def _in_order(self, ids: set[str]) -> Ids:
        return tuple(one.id for one in self.requirements if one.id in ids)

    # -- who says what

    @cached_property
    def _said(self) -> dict[str, str]:
        """By requirement: all its words; those with dashes also without: `e-mail` is `email`."""
        said = {}
        for one in self.requirements:
            text = "\n".join([one.text, *self.headings.get(one.id, ())])
            said[one.id] = f"{text}\n{text.replace('-', '')}" if "-" in text else text
        return said

    @cached_property
    def _named(self) -> dict[str, set[str]]:
        """By entity: the requirements that name it."""
        forms = {one.name: noun(naming_words(one.name), naming.plural_words(one).split()) for one in self.entities}
        return {name: {id for id in self._said if self._speaks(id, form)} for name, form in forms.items()}

    def _where(self, holds: Callable[[str], bool]) -> Ids:
        return tuple(id for id in self._said if holds(id))

    def _speaks(self, id: str, pattern: str) -> bool:
        return bool(_compiled(pattern).search(self._said[id]))

    def _names(self, id: str, entity: Entity) -> bool:
        return id in self._named[entity.name]

    def _is_about(self, id: str, entity: Entity) -> bool:
        """A program with one entity need not name it again and again."""
        return len(self.entities) == 1 or self._names(id, entity)

    def _done(self, entity: Entity, name: str, knowing: Sequence[Entity]) -> Ids:
        """Whoever says it is done; where several entities know it by that name, to which."""
        words = naming_words(name)
        pattern = f"{verb(words)}|{verb([f'un{words[0]}', *words[1:]])}"
        return self._where(lambda id: self._speaks(id, pattern) and (len(knowing) == 1 or self._names(id, entity)))

    def _names_field(self, id: str, entity: Entity, field: Field) -> bool:
        if self._speaks(id, noun(naming_words(field.name))):
            return True
        kind = _kind(field)
        if kind.target is not None and kind.target != entity.name:
            return id in self._named[kind.target]
        if field.key or field.slug_of is not None:
            return self._speaks(id, _ADDRESS)
        if field.by_me is not None:
            return self._speaks(id, verb(naming_words(field.by_me)))
        if field.count_of is not None and self._speaks(id, _COUNTING):
            if field.count_of in entity.users_may:
                return self._speaks(id, verb(naming_words(field.count_of)))
            return id in self._named[field.count_of.partition(".")[0]]
        return False


def _is_given(field: Field) -> bool:
    """Whether callers give it a value, and not the program."""
    kept = field.automatic or field.computed or field.owner or field.type.name == "link"
    return not (kept or field.slug_of is not None or field.count_of is not None or field.by_me is not None)


def _kind(field: Field) -> Type:
    return field.type.of or field.type


_TRAITS: Sequence[tuple[Trait, Callable[[Field], bool], str]] = (
    ("entity", _is_given, ""),
    ("unique", lambda field: field.unique or field.unique_ignoring_case or bool(field.unique_with),
     r"\b(?:same|second|twice|once|unique|else|already|duplicates?|again)\b"),
    ("decimal", lambda field: _kind(field).name == "decimal",
     r"\b(?:exact\w*|digits?|cents?|decimals?|precis\w+|round\w*)\b"),
    ("secret", lambda field: field.secret, ""),
    ("private", lambda field: field.private, ""),
    ("owner", lambda field: field.owner, r"\b(?:only|own|nobody|no one)\b"),
    ("key", lambda field: field.key or field.slug_of is not None, ""),
    ("count", lambda field: field.count_of is not None, ""),
    ("parent", lambda field: field.parent, ""),
    ("reference", lambda field: _kind(field).target is not None, r"\bexist\w*|\bunknown\b"),
)  # fmt: skip
"""What a field has, and what a requirement that names the field must also say for the two to be about that."""


def headings(specification: str, ids: Iterable[str]) -> dict[str, list[str]]:
    """By requirement: the headings of acceptance examples that name it, without the names, in the text of a
    specification: lines of Markdown with `#`, in YAML, TOML and JSON those of a `title`."""
    known = {id.casefold(): id for id in ids}
    found: dict[str, list[str]] = {}
    fence = ""
    for line in specification.splitlines():
        if mark := _FENCE.match(line):
            fence = mark[1] if not fence else "" if mark[1].startswith(fence) else fence
            continue
        heading = None if fence else _HEADING.match(line)
        if heading is None:
            continue
        mentioned = [known[id] for word in re.findall(r"[\w-]+", heading[1]) if (id := word.casefold()) in known]
        for one in dict.fromkeys(mentioned):
            found.setdefault(one, []).append(without_ids(heading[1], known.values()))
    return found


def without_ids(heading: str, ids: Iterable[str]) -> str:
    """What a heading says beside the requirements that it names."""
    named = "|".join(map(re.escape, ids))
    return " ".join(re.sub(rf"(?<![\w-])(?:{named})(?![\w-])", "", heading, flags=re.IGNORECASE).strip(" \"',").split())


def naming_words(name: str) -> list[str]:
    """`BookLoan`, `book_loan` and `book-loan` have the words Book and Loan."""
    return _WORD.findall(name) or [name]


@functools.lru_cache(4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
