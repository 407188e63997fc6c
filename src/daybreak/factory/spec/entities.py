"""Key Entities: from rows as written to entities that fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from daybreak.agents.entities import Action, Entity, Field, Total, Type
from daybreak.factory.spec import bonds, changes, codespans, names, notes, questions, rules, totals, types
from daybreak.factory.spec.draft import DraftEntity, DraftRow
from daybreak.factory.spec.located import Scalar
from daybreak.factory.spec.problems import Problems, cut, listed, meant

ENTITIES_MAX = 100
FIELDS_MAX = 200
_RANGED = frozenset({"integer", "number", "decimal", "date", "timestamp"})


def read(drafts: list[DraftEntity], problems: Problems) -> tuple[Entity, ...]:
    """The entities; everything that does not fit becomes a problem."""
    if len(drafts) > ENTITIES_MAX:
        problems.add(
            drafts[ENTITIES_MAX].name.line, "S127", f"there are {len(drafts)} entities", f"write at most {ENTITIES_MAX}"
        )
    found = [_Reader(draft, problems) for draft in drafts]
    entities = tuple(reader.entity() for reader in found)
    _clashes(drafts, entities, problems)
    lines = [reader.lines for reader in found]
    _references(entities, lines, problems)
    return bonds.check(entities, drafts, lines, problems)


class _Reader:
    """One entity. `lines` gives the line of each field."""

    def __init__(self, draft: DraftEntity, problems: Problems) -> None:
        self.draft, self.problems = draft, problems
        self.name = codespans.unwrap(draft.name.text)
        self.lines: dict[str, int] = {}
        self.fields: dict[str, Field] = {}
        self.unknown_types: set[str] = set()

    def entity(self) -> Entity:
        line = self.draft.name.line
        if fault := names.entity_fault(self.name):
            self.problems.add(line, "S142", *fault)
        if not self.draft.rows and self.draft.complete:
            self.problems.add(
                line, "S140", f"{cut(self.name)} has no fields", "write a table: | field | type | rules |"
            )
        if len(self.draft.rows) > FIELDS_MAX:
            self.problems.add(
                line, "S127", f"{self.name} has {len(self.draft.rows)} fields", f"write at most {FIELDS_MAX}"
            )
        for row in self.draft.rows:
            self.row(row)
        self.within()
        return Entity(
            name=self.name,
            about=self.draft.about,
            plural=self.plural(),
            fields=tuple(self.fields.values()),
            actions=self.actions(),
            totals=self.totals(),
            **notes.read(self.draft, cut(self.name), self.fields, self.problems),
        )

    def row(self, row: DraftRow) -> None:
        name = codespans.unwrap(questions.without(row.name.text))
        where = f"{cut(self.name)}.{cut(name)}" if name else cut(self.name)
        if not name:
            self.problems.add(
                row.name.line, "S143", f"{where}: a field has no name", "write its name in the first cell"
            )
        elif fault := names.field_fault(name):
            self.problems.add(row.name.line, "S143", f"{where}: {fault[0]}", fault[1])
        type_ = self.type(row.type)
        if type_ is None:
            # The name stays known, so that one wrong type is not told again wherever the field is used.
            self.fields.setdefault(name, Field(name=name, type=Type(name="text")))
            self.unknown_types.add(name)
            rules.read(row.rules, row.line, where, self.problems)
            self.lines.setdefault(name, row.line)
            return
        field = rules.make_field(
            name, type_, rules.read(row.rules, row.line, where, self.problems), row.line, where, self.problems
        )
        if name in self.fields:
            if name:
                self.problems.add(
                    row.name.line,
                    "S144",
                    f"{where}: {name} is already on line {self.lines[name]}",
                    "rename one of them",
                )
            return
        self.fields[name] = field
        self.lines[name] = row.line

    def type(self, written: Scalar | None) -> Type | None:
        """The type; text where it is an open question; None where it was told that there is none."""
        if written is None:
            return None
        text = questions.without(written.text).strip()
        if not text and written.text.strip():
            return Type(name="text")
        return types.read(text, written.line, self.problems)

    def within(self) -> None:
        """What fields say about each other."""
        for field in self.fields.values():
            where, line = f"{self.name}.{field.name}", self.lines.get(field.name, self.draft.name.line)
            for other in field.unique_with:
                self.partner(field, other, where, line)
            if field.after is not None:
                self.after(field, field.after, where, line)
            for end in ("_min", "_max"):
                base = self.fields.get(field.name.removesuffix(end))
                if field.name.endswith(end) and base is not None and base.type.name in _RANGED:
                    self.problems.add(
                        line,
                        "S145",
                        f"{where}: lists filter {base.name} by an option called {field.name}",
                        f"rename this field, for example {end[1:]}imal_{base.name}",
                    )
        for circle in circles({f.name: [f.after] for f in self.fields.values() if f.after is not None}):
            self.problems.add(
                self.lines.get(circle[0], self.draft.name.line),
                "S156",
                f"{self.name}: {' after '.join([*circle, circle[0]])} is a circle",
                "take one of these rules away",
            )
        if self.fields and all(field.automatic or field.computed for field in self.fields.values()):
            self.problems.add(
                self.draft.name.line,
                "S140",
                f"nobody can fill any field of {self.name}",
                "add a field that people write",
            )

    def known(self, name: str, where: str, line: int) -> Field | None:
        field = self.fields.get(name)
        if field is None:
            others = f"the fields are {listed(self.fields)}"
            self.problems.add(line, "S154", f"{where}: there is no field {cut(name)}", meant(name, self.fields, others))
        return None if name in self.unknown_types else field

    def partner(self, field: Field, name: str, where: str, line: int) -> None:
        other = self.known(name, where, line)
        if other is None:
            return
        if other.name == field.name:
            self.problems.add(line, "S149", f"{where}: unique with itself", "write unique, or name another field")
        elif not rules.fits("unique with", other.type) or other.secret or other.automatic:
            what = "secret" if other.secret else "automatic" if other.automatic else types.spoken(other.type)
            self.problems.add(
                line, "S150", f"{where}: {name} is {what}, it cannot be unique with anything", "name another field"
            )
        elif field.name in other.unique_with and list(self.fields).index(name) < list(self.fields).index(field.name):
            self.problems.add(line, "S149", f"{where}: {name} already says so", "say it at one of the two fields")

    def after(self, field: Field, name: str, where: str, line: int) -> None:
        other = self.known(name, where, line)
        if other is None or field.name in self.unknown_types:
            return
        if other.name != field.name and other.type.name != field.type.name:
            self.problems.add(
                line,
                "S150",
                f"{where}: a {field.type.name} cannot lie after {name}, which is {types.spoken(other.type)}",
                f"name another {field.type.name}",
            )

    def plural(self) -> str | None:
        if self.draft.plural is None:
            return None
        text = " ".join(codespans.unwrap(questions.without(self.draft.plural.text)).split())
        if not text:
            return None
        line = self.draft.plural.line
        if names.PLURAL.fullmatch(text) is None or len(text) > names.LENGTH_MAX:
            self.problems.add(
                line,
                "S157",
                f"{cut(self.name)}: {cut(text)!r} cannot be a plural",
                "write small ASCII words, such as bookshelves",
            )
            return None
        return text.replace(" ", "-")

    def actions(self) -> tuple[Action, ...]:
        kept: dict[str, Action] = {}
        lines: dict[str, int] = {}
        for draft in self.draft.actions:
            name = codespans.unwrap(draft.name.text)
            if name in lines:
                self.problems.add(
                    draft.name.line,
                    "S144",
                    f"{self.name}: the action {cut(name)} is already on line {lines[name]}",
                    "rename one",
                )
            lines.setdefault(name, draft.name.line)
            with_problems = changes.read(draft, self.name, self.fields, self.unless_unknown(draft.changes))
            if with_problems is not None:
                kept.setdefault(name, with_problems)
        return tuple(kept.values())

    def totals(self) -> tuple[Total, ...]:
        kept: list[Total] = []
        for line in self.draft.totals:
            total = totals.read(line, self.name, self.fields, self.unless_unknown(line))
            if total is not None and total in kept:
                self.problems.add(line.line, "S144", f"{self.name}: this line of totals occurs twice", "remove one")
            elif total is not None:
                kept.append(total)
        return tuple(kept)

    def unless_unknown(self, text: Scalar) -> Problems:
        """Where a line uses a field whose type was not understood, what is said about it goes nowhere."""
        words = set(text.text.replace("`", " ").replace(",", " ").replace(";", " ").split())
        return Problems(self.problems.file) if words & self.unknown_types else self.problems


def circles(edges: dict[str, list[str]]) -> list[list[str]]:
    """Each circle once, from its first node in the order of `edges`."""
    found: list[list[str]] = []
    done: set[str] = set()
    for start in edges:
        if start in done:
            continue
        path: list[str] = [start]
        ways = [iter(edges.get(start, []))]
        while ways:
            following = next(ways[-1], None)
            if following is None:
                ways.pop()
                done.add(path.pop())
            elif following in path:
                found.append(path[path.index(following) :])
            elif following not in done:
                path.append(following)
                ways.append(iter(edges.get(following, [])))
    return found


def _clashes(drafts: list[DraftEntity], entities: tuple[Entity, ...], problems: Problems) -> None:
    lines = [draft.name.line for draft in drafts]
    usable = [
        (entity, line)
        for entity, line in zip(entities, lines, strict=True)
        if names.ENTITY.fullmatch(entity.name) is not None
    ]
    twice = _seen_twice(usable, lambda entity: entity.name)
    for entity, line, _, first_line in twice:
        problems.add(line, "S144", f"the entity {entity.name} is already on line {first_line}", "rename one of them")
    repeated = {id(entity) for entity, *_ in twice}
    usable = [(entity, line) for entity, line in usable if id(entity) not in repeated]
    for entity, line, first, _ in _seen_twice(usable, lambda entity: names.command(entity.name)):
        text = f"{entity.name} and {first.name} would both be the command {names.command(entity.name)}"
        problems.add(line, "S145", text, "rename one of them")
    repeated |= {id(entity) for entity, *_ in _seen_twice(usable, lambda entity: names.command(entity.name))}
    usable = [(entity, line) for entity, line in usable if id(entity) not in repeated]
    for entity, line, first, _ in _seen_twice(usable, names.path):
        text = f"the collections of {entity.name} and {first.name} would both be /{names.path(entity)}"
        problems.add(line, "S145", text, "write `Plural:` and another word for one of them")
    for entity, line in usable:
        if names.path(entity) in names.RESERVED_PATHS:
            text = f"the collection of {entity.name} would be /{names.path(entity)}, which every server has already"
            problems.add(line, "S145", text, "write `Plural:` and another word")


def _seen_twice(
    entities: Iterable[tuple[Entity, int]], key: Callable[[Entity], str]
) -> list[tuple[Entity, int, Entity, int]]:
    """Each entity whose key an earlier one has, with that one, and their lines."""
    seen: dict[str, tuple[Entity, int]] = {}
    twice = []
    for entity, line in entities:
        if key(entity) in seen:
            twice.append((entity, line, *seen[key(entity)]))
        else:
            seen[key(entity)] = (entity, line)
    return twice


def _references(entities: tuple[Entity, ...], lines: list[dict[str, int]], problems: Problems) -> None:
    known = list(dict.fromkeys(entity.name for entity in entities))
    required: dict[str, list[str]] = {name: [] for name in known}
    places: dict[tuple[str, str], tuple[str, int]] = {}  # by an entity and the one it needs: the field, its line
    for entity, lines_of in zip(entities, lines, strict=True):
        for field in entity.fields:
            target = types.target(field.type)
            if target is None:
                continue
            line = lines_of.get(field.name, 1)
            if target not in known:
                otherwise = f"the entities are {listed(known)}"
                message = f"{entity.name}.{field.name}: there is no entity {cut(target)}"
                problems.add(line, "S155", message, meant(target, known, otherwise))
            elif field.required:
                required[entity.name].append(target)
                places.setdefault((entity.name, target), (field.name, line))
    for circle in circles(required):
        name, line = places[circle[0], circle[1] if len(circle) > 1 else circle[0]]
        way = " → ".join([*circle, circle[0]])
        problems.add(
            line,
            "S156",
            f"{circle[0]}.{name}: required refs go in a circle ({way}), so no record could ever be the first",
            "take `required` away from one of them",
        )
