"""What entities say about each other: owners, parents, counts, what users may; and what only a login makes possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from daybreak.agents import naming
from daybreak.agents.entities import Entity, Field
from daybreak.factory.spec import codespans, names, types
from daybreak.factory.spec.draft import DraftEntity
from daybreak.factory.spec.notes import line_of
from daybreak.factory.spec.problems import Problems, cut, listed, meant

SESSION_COMMANDS = ("login", "logout", "whoami")
"""Commands of users, beside those that every entity has."""


def check(
    entities: tuple[Entity, ...], drafts: list[DraftEntity], lines: list[dict[str, int]], problems: Problems
) -> tuple[Entity, ...]:
    """The entities with every count spelled out as `ENTITY.FIELD`; what does not fit together becomes a problem."""
    by_name: dict[str, Entity] = {}
    for entity in entities:
        by_name.setdefault(entity.name, entity)
    found = [_Bonds(*one, by_name, problems) for one in zip(entities, drafts, lines, strict=True)]
    with_login = [one for one in found if one.entity.login is not None]
    for one in with_login[1:]:
        one.refuse(
            line_of(one.draft, "Login"), f"{with_login[0].entity.name} logs in already", "keep one Login:", "S170"
        )
    users = with_login[0].entity if with_login else None
    return tuple(one.checked(users) for one in found)


class _Bonds:
    """One entity among the others; `lines` gives the line of each field."""

    def __init__(
        self,
        entity: Entity,
        draft: DraftEntity,
        lines: dict[str, int],
        others: dict[str, Entity],
        problems: Problems,
    ) -> None:
        self.entity, self.draft, self.lines, self.others, self.problems = entity, draft, lines, others, problems

    def refuse(self, line: int, message: str, remedy: str, code: str = "S171") -> None:
        self.problems.add(line, code, f"{self.entity.name}{message if message[:1] == '.' else f': {message}'}", remedy)

    def line(self, field: Field) -> int:
        return self.lines.get(field.name, self.draft.name.line)

    def about(self, field: Field, message: str, remedy: str, code: str = "S171") -> None:
        self.refuse(self.line(field), f".{field.name}: {message}", remedy, code)

    def target(self, field: Field) -> Entity | None:
        return self.others.get(types.target(field.type) or "")

    def checked(self, users: Entity | None) -> Entity:
        fields = tuple(self.field(field, users) for field in self.entity.fields)
        self.once("owner", [field for field in fields if field.owner])
        self.once("parent", [field for field in fields if field.parent])
        self.once("key", [field for field in fields if field.key or field.slug_of])
        self.notes(users)
        self.lists(users)
        self.commands(users)
        return replace(self.entity, fields=fields)

    def once(self, rule: str, fields: list[Field]) -> None:
        for field in fields[1:]:
            self.about(field, f"{fields[0].name} is the {rule} already", f"keep one {rule}", "S149")

    # -- fields

    def field(self, field: Field, users: Entity | None) -> Field:
        if field.slug_of is not None:
            self.slug(field, field.slug_of)
        if field.owner:
            self.owner(field, users)
        if field.parent:
            self.parent(field)
        if field.by is not None:
            self.by(field, field.by)
        if field.new_allowed:
            self.new_allowed(field)
        if field.embedded and (target := self.target(field)) is not None and target.readers != "everyone":
            self.about(field, f"not everybody may read {target.name}", "take the rule embedded away")
        if field.private and not self.owned:
            self.about(field, "nobody owns the record, so nobody would see it", "give a ref to the user the rule owner")
        if field.by_me is not None and field.by_me not in self.entity.users_may:
            otherwise = f"write Users may: {cut(field.by_me)} below the table"
            self.about(
                field, f"users have no {cut(field.by_me)} of it", meant(field.by_me, self.entity.users_may, otherwise)
            )
        if field.count_of is not None:
            return self.counted(field, field.count_of)
        if field.name == "token" and users is not None:
            self.about(field, "token is reserved: every command has an option of that name", "rename it", "S143")
        return field

    @property
    def owned(self) -> bool:
        return self.entity.login is not None or any(field.owner for field in self.entity.fields)

    def slug(self, field: Field, name: str) -> None:
        source = next((other for other in self.entity.fields if other.name == name), None)
        if source is None:
            known = [other.name for other in self.entity.fields if other is not field]
            self.about(
                field, f"there is no field {cut(name)}", meant(name, known, f"the fields are {listed(known)}"), "S154"
            )
        elif source.type.name != "text" or not source.required or source.secret or source.private or source is field:
            self.about(field, f"no slug can be made of {name}", f"make {name} a required text that everybody sees")

    def owner(self, field: Field, users: Entity | None) -> None:
        if users is None:
            self.about(field, "there are no users", "write Login: below the table of those who log in", "S170")
        elif field.type.target != users.name:
            self.about(field, f"only {users.name} logs in", f"write ref {users.name}")
        elif users.name == self.entity.name:
            self.about(field, "every user owns their own record", "take the rule owner away")
        if field.on_delete == "clear":
            self.about(field, "nobody could change the record any more", "write on delete cascade, or leave it out")

    def parent(self, field: Field) -> None:
        target = self.target(field)
        if target is None:
            return
        if target.name == self.entity.name or any(other.parent for other in target.fields):
            self.about(field, f"{target.name} lies within something itself", "one level is built: take one parent away")
        if names.path(self.entity) in (*(action.name for action in target.actions), *target.users_may):
            message = f"{names.path(self.entity)} is a command of {target.name}"
            self.about(field, message, "write Plural: and another word, or rename the command", "S145")
        if target.login is not None or self.entity.login is not None:
            self.about(field, "users have addresses of their own", "take the rule parent away")
        if field.on_delete == "clear":
            self.about(field, "nothing may lie within nothing", "write on delete cascade, or leave it out")

    def by(self, field: Field, name: str) -> None:
        target = self.target(field)
        if target is None:
            return
        key = next((other for other in target.fields if other.key or other.slug_of), None)
        if key is None:
            self.about(field, f"{target.name} has no key", f"give {cut(name)} of {target.name} the rule key")
        elif key.name != name:
            self.about(field, f"{cut(name)} is not the key of {target.name}", f"write by {key.name}")

    def new_allowed(self, field: Field) -> None:
        target = self.target(field)
        if field.by is None:
            self.about(field, "new allowed stands without a name for what is new", "write by FIELD, new allowed")
        if target is None:
            return
        needed = [other.name for other in target.fields if other.required and not other.key and other.default is None]
        key = next((other for other in target.fields if other.key), None)
        if key is None or needed or target.login or any(other.owner for other in target.fields):
            self.about(
                field, f"a new {target.name} needs more than its key", f"let its key be all that {target.name} requires"
            )

    def counted(self, field: Field, name: str) -> Field:
        """The field with what it counts spelled out."""
        if name in self.entity.users_may:
            return field
        entity, _, ref = name.partition(".")
        other = self.others.get(entity)
        if other is None:
            known = [*self.others, *self.entity.users_may]
            self.about(
                field, f"there is nothing called {cut(entity)}", meant(entity, known, f"write {listed(known)}"), "S155"
            )
            return field
        refs = [one.name for one in other.fields if one.type.name == "ref" and one.type.target == self.entity.name]
        if ref and ref not in refs:
            self.about(
                field, f"{other.name}.{cut(ref)} is no ref {self.entity.name}", f"its refs are {listed(refs) or 'none'}"
            )
        elif not refs:
            self.about(field, f"{other.name} has no ref {self.entity.name}", "count what refers to this entity")
        elif not ref and len(refs) > 1:
            self.about(field, f"{other.name} refers to it by {listed(refs)}", f"write count of {other.name}.{refs[0]}")
        return replace(field, count_of=f"{other.name}.{ref or (refs or ['?'])[0]}")

    # -- lines below the table

    def notes(self, users: Entity | None) -> None:
        entity = self.entity
        if entity.seen_as is not None and entity.login is None:
            self.refuse(line_of(self.draft, "Seen as"), "only users are seen as something", "remove this line", "S170")
        needed = {"Users may": entity.users_may, "Writers": entity.writers != "everyone"}
        for label, used in (needed | {"Readers": entity.readers != "everyone"}).items():
            if used and users is None:
                line = line_of(self.draft, label)
                self.refuse(
                    line, f"{label}: there are no users", "write Login: below the table of those who log in", "S170"
                )
        if entity.readers == "owner" and not self.owned:
            line = line_of(self.draft, "Readers")
            self.refuse(
                line, "nobody owns its records", "give a ref to the user the rule owner, or write users", "S170"
            )
        if entity.writers == "users" and self.owned:
            line = line_of(self.draft, "Writers")
            self.refuse(line, "its owner writes it, and nobody else", "remove this line", "S170")

    def lists(self, users: Entity | None) -> None:
        lines = self.list_lines()
        for named in self.entity.lists:
            line = lines[named.name]
            for condition in named.conditions:
                field = next((one for one in self.entity.fields if one.name == condition.field), None)
                target = None if field is None or field.type.name != "ref" else self.target(field)
                if condition.kind == "me" and (users is None or target is None or target.name != users.name):
                    self.refuse(line, f"{condition.field} is nobody who logs in", "name a ref to the user", "S172")
                if condition.kind == "in my" and (target is None or condition.relation not in target.users_may):
                    relation = cut(str(condition.relation))
                    message, remedy = f"{condition.field} refers to no record", "name a field of the type ref"
                    if target is not None:
                        message = f"users have no {relation} of {target.name}"
                        remedy = f"write Users may: {relation} below the table of {target.name}"
                    self.refuse(line, message, remedy, "S172")

    def commands(self, users: Entity | None) -> None:
        """Every command once."""
        taken = dict.fromkeys((action.name for action in self.entity.actions), "an action")
        if self.entity.login is not None:
            taken |= dict.fromkeys(SESSION_COMMANDS, "a command of users")
            for action in self.entity.actions:
                if action.name in SESSION_COMMANDS:
                    self.refuse(
                        self.draft.name.line, f"{action.name} is a command of users", "rename the action", "S145"
                    )
        for name, line in self.named():
            if name in taken:
                self.refuse(line, f"{name} is {taken[name]} already", "rename one of them", "S145")
            taken.setdefault(name, f"the command of line {line}")
        if self.entity.login is not None:
            self.addresses()

    def named(self) -> Iterator[tuple[str, int]]:
        """The commands that these lines make, and where they stand."""
        line = line_of(self.draft, "Users may")
        for name in self.entity.users_may:
            yield from ((name, line), (f"un{name}", line))
        lines = self.list_lines()
        for named in self.entity.lists:
            yield named.name, lines[named.name]

    def list_lines(self) -> dict[str, int]:
        return {codespans.unwrap(draft.name.text): draft.name.line for draft in reversed(self.draft.lists)}

    def addresses(self) -> None:
        """`/user`, `/users` and what users are seen as are three places that nothing else has."""
        own = [names.command(self.entity.name), names.path(self.entity)]
        if self.entity.seen_as is not None:
            own.append(naming.pluralised(naming.words(self.entity.seen_as)).replace(" ", "-"))
        others = dict.fromkeys(names.RESERVED_PATHS, "the server")
        others |= {names.path(other): other.name for other in self.others.values() if other is not self.entity}
        for path in own:
            if path in others or own.count(path) > 1:
                what = others.get(path, self.entity.name)
                self.refuse(
                    self.draft.name.line,
                    f"/{path} would also be that of {what}",
                    "write Plural: and another word",
                    "S145",
                )
