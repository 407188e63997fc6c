"""`components.schemas` as entities: which schema is one, which is only another view of one, and which is neither."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from daybreak.agents import naming as our_naming
from daybreak.agents.entities import Entity, Field
from daybreak.factory.imports import naming, plain
from daybreak.factory.imports.gathered import Gathered
from daybreak.factory.imports.openapi_fields import FieldReader
from daybreak.factory.imports.openapi_objects import (
    ANNOTATIONS,
    Lost,
    Object,
    Objects,
    is_object,
    types_of,
    unwrapped,
)
from daybreak.factory.imports.openapi_refs import Refs, schema_name
from daybreak.factory.imports.tree import as_json, get, items, pairs, text, told
from daybreak.factory.spec.located import Mapping, Node, Scalar, Sequence

_INPUT = re.compile(
    r"(?:New|Create|Update|Patch|Add|Edit)(?P<after>[A-Z]\w*)"
    r"|(?P<before>\w*?[a-z0-9])(?:Input|Create|Update|Patch|Request|Body|Payload|Write|In|Dto|DTO|Form)+"
)
_CHANGE = re.compile(r"^(?:Update|Patch|Edit)|(?:Update|Patch)\w*$")
_OUTPUT = re.compile(r"(?P<before>\w*?[a-z0-9])(?:Response|Read|Out|Output|Detail|Details|Summary|View|Public)")
_ERROR = re.compile(r"\w*(?:Error|Problem|Fault|Exception|ProblemDetails?|ErrorResponse|ValidationError)s?")
_WRAPPER = re.compile(r"(?:Paginated|Paged)\w+|\w+(?:List|Page|Collection|Results?|Envelope|Response|ListResponse)")
_OF_A_VIEW = frozenset({"description", "readOnly", "nullable", "properties", "$ref"})
"""What one view of an entity may say otherwise than another."""
_COUNTS = frozenset(
    {"total", "count", "page", "limit", "offset", "size", "next", "previous", "prev", "pages", "cursor"}
)


@dataclass(slots=True)
class Group:
    """An entity and the schemas that show it: itself, what is sent to add it, what is sent to change it."""

    name: str
    main: str
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Schemas:
    """What was made of `components.schemas`."""

    entities: list[Entity] = field(default_factory=list)
    by_schema: dict[str, str] = field(default_factory=dict)
    """The entity's name for each schema that shows it, inputs included."""
    spelled: dict[str, dict[str, str]] = field(default_factory=dict)
    """By entity: their name of each field, and ours."""
    wrappers: dict[str, str] = field(default_factory=dict)
    """Schemas that hold a list of an entity's records: the schema of one record."""
    camel: bool = False
    """Whether JSON names are ours in camelCase."""


class Reader:
    def __init__(self, root: Node, refs: Refs, gathered: Gathered, noted: Callable[[str, int], None]) -> None:
        self.gathered, self.refs, self.noted = gathered, refs, noted
        self.lost: Lost = gathered.lost
        self.schemas = {key.text: (key, value) for key, value in pairs(root, "components", "schemas")}
        self.merged_only = _merged_only(root)
        self.objects = Objects(refs, self.lost, noted)
        self.found = Schemas()
        self.taken: set[str] = set()
        """Names that entities have."""

    def read(self) -> Schemas:
        groups = self.groups()
        for group in groups:
            for name in (group.main, *group.inputs, *group.outputs):
                self.found.by_schema[name] = group.name
        shown: list[tuple[Group, Object]] = [(group, self.merged(group)) for group in groups]
        self.tell_merged()
        self.found.camel = _is_camel([key for _, one in shown for key in one.properties])
        reader = FieldReader(self.refs, self.found.by_schema, self.lost, self.noted)
        for group, one in shown:
            if (entity := self.entity(group, one, reader)) is not None:
                self.found.entities.append(entity)
        self.drop_lost_targets()
        return self.found

    def tell_merged(self) -> None:
        """Schemas that are only parts of others: where each went, or that nothing holds it. Raises ImportCircular."""
        for name in sorted(self.schemas.keys() & self.merged_only):
            key, node = self.schemas[name]
            if name in self.objects.merged:
                self.gathered.trace(f"schema {name}", "the schemas that hold it by allOf", key.line)
            elif self.refs.target(node).node is not None:
                self.objects.read(node, name)
                self.lost(key.line, f"{name}: {told(node)}", "no entity holds it", "write #### Name and its table")

    # -- which schema is what

    def groups(self) -> list[Group]:
        names = [name for name in self.schemas if self.is_entity(name)]
        stems: dict[str, Group] = {}
        shared = Counter([*names, *(stem for name in names for stem in _stems_of(name))])
        for name in names:
            stem, is_input, is_output = _stem(name, shared)
            group = stems.setdefault(stem, Group("", ""))
            if is_input:
                group.inputs.append(name)
            elif is_output or group.main:
                group.outputs.append(name)
            else:
                group.main = name
        return [group for stem, group in stems.items() if self.named(stem, group)]

    def named(self, stem: str, group: Group) -> bool:
        if not group.main:
            group.main = (group.outputs or group.inputs).pop(0)
            stem = stem if group.outputs or group.inputs else group.main
        line = self.schemas[group.main][0].line
        group.name = naming.entity(stem)
        if not group.name or group.name in self.taken:
            self.lost(line, stem, "no entity can have this name, or another has it", "write #### Name and its table")
            return False
        self.taken.add(group.name)
        for name in (group.main, *group.inputs, *group.outputs):
            if name != group.name:
                self.gathered.trace(f"schema {name}", group.name, self.schemas[name][0].line)
        return True

    def is_entity(self, name: str) -> bool:
        """Listed where it is not; scalars and lists with a name are read where they are used."""
        key, node = self.schemas[name]
        target = self.refs.target(node)
        if target.node is None:
            self.lost(key.line, target.missing, f"{name}: nothing in this file stands there", "write it out")
        elif target.name and target.name != name and target.name in self.schemas:
            self.gathered.trace(f"schema {name}", f"schema {target.name}", key.line)
        elif name in self.merged_only:
            return False
        elif is_object(target.node, self.refs):
            return self.is_record(name, key, target.node)
        elif items(target.node, "oneOf") or items(target.node, "anyOf"):
            self.lost(
                key.line,
                f"{name}: {told(target.node)}",
                "one of several schemas is no entity",
                "write one entity with a choice field that says which kind it is",
            )
        elif types_of(target.node)[0] in ([], ["object"]) and not items(target.node, "enum"):
            self.lost(key.line, f"{name}: {told(target.node)}", "it has no properties", "write #### Name and its table")
        elif types_of(target.node)[0] == ["array"] and (held := self.held(get(target.node, "items"))):
            self.found.wrappers[name] = held
        else:
            self.gathered.trace(f"schema {name}", "the fields that use it", key.line)
        return False

    def is_record(self, name: str, key: Scalar, node: Node) -> bool:
        if _ERROR.fullmatch(name):
            self.lost(
                key.line, name, "errors are problem documents (RFC 9457)", "leave it out, or write how errors look"
            )
            return False
        properties = self.objects.read(node, name).properties
        lists = [held for _, value in properties.values() if (held := self.held(get(value, "items")))]
        rest = {naming.field(word) for word, (_, value) in properties.items() if not self.held(get(value, "items"))}
        if len(lists) == 1 and (rest <= _COUNTS or (_WRAPPER.fullmatch(name) and "id" not in properties)):
            self.found.wrappers[name] = lists[0]
            self.lost(
                key.line,
                f"{name}: {told(node)}",
                "lists are JSON arrays, with X-Total-Count in front",
                "leave it out, or write a requirement about the envelope",
            )
            return False
        return True

    def held(self, node: Node | None) -> str:
        """The schema with a name that a list holds."""
        return self.refs.target(node).name if node is not None else ""

    # -- one entity

    def merged(self, group: Group) -> Object:
        """The main schema, and what only its inputs have; what must be given to add a record is required."""
        found = self.objects.read(self.schemas[group.main][1], group.name)
        for name in (*group.inputs, *group.outputs):
            other = self.objects.read(self.schemas[name][1], name)
            for key, (named, node) in other.properties.items():
                if key in found.properties:
                    node = self.both(f"{group.name}.{key}", found.properties[key][1], node, name)
                    found.properties[key] = (found.properties[key][0], node)
                else:
                    found.properties[key] = (named, node)
            if name in group.inputs and not _CHANGE.search(name):
                found.required |= other.required
        return found

    def both(self, where: str, main: Node, other: Node, name: str) -> Node:
        """A property with what another view of the entity says beside it; where they differ, the first counts."""
        inner, _ = unwrapped(other, self.refs)
        if not isinstance(main, Mapping) or not isinstance(inner, Mapping):
            return main
        added = []
        for key, value in inner.pairs:
            mine = get(main, key.text)
            if key.text in ANNOTATIONS or key.text in _OF_A_VIEW or key.text.startswith("x-"):
                continue
            plain_main = get(main, "$ref") is None and not items(main, "anyOf") and not items(main, "allOf")
            if mine is None and plain_main and (_CHANGE.search(name) is None or key.text != "default"):
                added.append((key, value))
                continue
            if as_json(mine or main) != as_json(value) and mine is not None:
                self.lost(
                    key.line,
                    f"{key.text}: {told(value)}",
                    f"{where}: {name} says otherwise",
                    "write the rule that holds",
                )
        return Mapping((*main.pairs, *added), main.line)

    def entity(self, group: Group, one: Object, reader: FieldReader) -> Entity | None:
        fields: dict[str, Field] = {}
        spelled = self.found.spelled.setdefault(group.name, {"id": "id"})
        told_fields = []
        for key, (name_node, node) in one.properties.items():
            if key == "id":
                self.id(group.name, name_node, node)
                continue
            name = self.field_name(group.name, name_node, fields)
            if not name:
                continue
            found = reader.field(group.name, name, name_node, node, required=key in one.required)
            if found is None:
                continue
            fields[name] = found
            spelled[key] = name
            if about := plain.flat(text(node, "description") or text(self.refs.target(node).node, "description")):
                told_fields.append(f"- `{name}`: {about}")
        for key in sorted(one.required - one.properties.keys()):
            line = self.schemas[group.main][0].line
            self.lost(line, f"required: {key}", f"{group.name} has no property of that name", "leave it out")
        if not fields:
            self.lost(
                self.schemas[group.main][0].line, group.main, "none of its fields could be read", "write its table"
            )
            return None
        about_parts = [plain.paragraphs(one.description), "\n".join(told_fields)]
        return Entity(name=group.name, about="\n\n".join(filter(None, about_parts)), fields=tuple(fields.values()))

    def id(self, entity: str, key: Scalar, node: Node) -> None:
        kind = types_of(self.refs.target(node).node)[0]
        if kind != ["integer"]:
            self.lost(
                key.line,
                f"id: {', '.join(kind) or told(node)}",
                f"{entity}: ids are whole numbers from 1",
                "leave it out",
            )

    def field_name(self, entity: str, key: Scalar, taken: dict[str, Field]) -> str:
        name = naming.field(key.text)
        if not name or name in taken:
            self.lost(key.line, key.text, f"{entity}: no field can have this name, or another has it", "write its row")
            return ""
        if self.found.camel and our_naming.camel(name) == key.text:
            return name
        if name != key.text:
            self.lost(
                key.line, key.text, f"{entity}: the field is called {name} here, in JSON too", "change what calls it"
            )
        return name

    def drop_lost_targets(self) -> None:
        """Refs to entities of which nothing could be read."""
        known = {entity.name for entity in self.found.entities}
        for n, entity in enumerate(self.found.entities):
            kept = []
            for one in entity.fields:
                target = (one.type.of or one.type).target
                if target is None or target in known:
                    kept.append(one)
                else:
                    self.lost(1, f"{entity.name}.{one.name}", f"there is no entity {target}", "write its table first")
            if len(kept) < len(entity.fields):
                self.found.entities[n] = Entity(name=entity.name, about=entity.about, fields=tuple(kept))
        self.found.entities = [entity for entity in self.found.entities if entity.fields]


def _stem(name: str, shared: Counter[str]) -> tuple[str, bool, bool]:
    """What the schemas of one entity share, whether this one is sent, and whether it is only answered."""
    for stem, is_input in zip(_stems_of(name), _kinds_of(name), strict=True):
        if shared[stem] > 1:
            return stem, is_input, not is_input
    return name, False, False


def _stems_of(name: str) -> list[str]:
    """`Book` of `BookCreate`, of `NewBook` and of `BookRead`."""
    found = [form.fullmatch(name) for form in (_INPUT, _OUTPUT)]
    return [next(part for part in one.groups() if part) for one in found if one is not None]


def _kinds_of(name: str) -> list[bool]:
    """For each of the stems, whether it is that of something sent."""
    return [form is _INPUT for form in (_INPUT, _OUTPUT) if form.fullmatch(name)]


def _is_camel(names: list[str]) -> bool:
    """Some of the names are camelCase, and all of them come back from ours."""
    inner = [name for name in names if re.search(r"[a-z0-9][A-Z]", name)]
    return bool(inner) and all(our_naming.camel(naming.field(name)) == name for name in names if name != "id")


def _merged_only(root: Node) -> set[str]:
    """Schemas that occur only as parts of `allOf`: they describe no records of their own."""
    merged: set[str] = set()
    used: set[str] = set()
    stack: list[tuple[Node, bool]] = [(root, False)]
    seen: set[tuple[int, bool]] = set()
    while stack:
        node, in_all_of = stack.pop()
        if isinstance(node, Scalar) or (id(node), in_all_of) in seen:
            continue
        seen.add((id(node), in_all_of))
        if isinstance(node, Sequence):
            stack += [(one, in_all_of) for one in node.items]
            continue
        for key, value in node.pairs:
            if key.text == "$ref" and isinstance(value, Scalar):
                (merged if in_all_of else used).add(schema_name(value.text))
            else:
                with_others = key.text == "allOf" and isinstance(value, Sequence) and len(value.items) > 1
                stack.append((value, with_others))
    return merged - used - {""}
