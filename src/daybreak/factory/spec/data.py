"""YAML, TOML and JSON: from the tree to the parts of a specification."""

from __future__ import annotations

import re
from typing import NamedTuple

from daybreak.factory.spec import questions, rules, shape
from daybreak.factory.spec.draft import (
    Draft,
    DraftAction,
    DraftEntity,
    DraftExample,
    DraftRow,
    Kind,
    Numbered,
)
from daybreak.factory.spec.file import (
    AcceptancePart,
    EntityPart,
    FieldPart,
    FrontMatter,
    NumberedPart,
    SpecificationFile,
    StoryPart,
)
from daybreak.factory.spec.located import Mapping, Node, Scalar, Sequence
from daybreak.factory.spec.model import Story
from daybreak.factory.spec.numbers import CRITERION, REQUIREMENT
from daybreak.factory.spec.problems import Problems, cut

KINDS: tuple[Kind, ...] = ("console", "http", "files")
NOTES = ("Login", "Seen as", "Readers", "Writers", "Users may", "Order", "Search", "Listed by")
"""Labels below a table that say all they have to say on their own line, as Plural does."""
ACTION_LINE = re.compile(r"(?P<name>`[^`]+`|[^`:\s]+)\s*:\s*(?P<changes>.*)", re.DOTALL)


class Form(NamedTuple):
    """Something with a name and what it says, such as an action, and how it is told."""

    code: str
    what: str
    example: str


ACTION = Form("S158", "action", "lend: status in -> out; set lent_at now")
LIST = Form("S172", "list", "open: state is open")


def read(node: Node, problems: Problems) -> Draft | None:
    """The draft of the whole document; what has the wrong shape becomes a problem. None where it is no mapping."""
    if not isinstance(node, Mapping):
        shape.fields(node, SpecificationFile, "the specification", problems)
        return None
    return _Reader(problems).draft(node)


class _Reader:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def draft(self, node: Node) -> Draft:
        found = shape.fields(node, SpecificationFile, "the specification", self.problems)
        draft = Draft(header={key: value for key, value in found.items() if key in FrontMatter.model_fields})
        draft.title = self.one(found, "title", "the specification")
        draft.summary = self.text(found, "summary", "the specification")
        draft.objectives = [_line(value) for value in self.texts(found, "objectives")]
        draft.objectives_line = found["objectives"].line if "objectives" in found else node.line
        draft.stories = [self.story(item) for item in self.items(found, "stories")]
        draft.requirements, draft.requirements_complete = self.numbered(found, "requirements", REQUIREMENT)
        draft.requirements_line = found["requirements"].line if "requirements" in found else node.line
        draft.entities = [self.entity(item) for item in self.items(found, "entities")]
        draft.criteria, _ = self.numbered(found, "success_criteria", CRITERION)
        draft.out_of_scope = [_line(value) for value in self.texts(found, "out_of_scope")]
        draft.examples = [example for item in self.items(found, "acceptance") for example in self.acceptance(item)]
        draft.clarifications = questions.find_in(node, self.problems)
        return draft

    def items(self, found: dict[str, Node], key: str) -> tuple[Node, ...]:
        return shape.items(found.get(key), key, self.problems)

    def texts(self, found: dict[str, Node], key: str) -> list[Scalar]:
        return shape.texts(found.get(key), key, self.problems)

    def one(self, found: dict[str, Node], key: str, where: str) -> Scalar | None:
        value = shape.scalar(found.get(key), f"{key} of {where}", self.problems)
        return None if value is None else Scalar(value.text.strip(), value.line, value.plain)

    def text(self, found: dict[str, Node], key: str, where: str) -> str:
        value = self.one(found, key, where)
        return "" if value is None else value.text

    def story(self, node: Node) -> Story:
        found = shape.fields(node, StoryPart, "a story", self.problems)
        scenarios = shape.texts(found.get("scenarios"), "scenarios", self.problems)
        return Story(
            title=self.text(found, "title", "a story"),
            priority=self.text(found, "priority", "a story"),
            narrative=self.text(found, "narrative", "a story"),
            scenarios=tuple(_line(value) for value in scenarios),
        )

    def numbered(self, found: dict[str, Node], key: str, form: re.Pattern[str]) -> tuple[list[Numbered], bool]:
        kept, complete = [], True
        for item in self.items(found, key):
            part = shape.fields(item, NumberedPart, f"an item of {key}", self.problems)
            id_, text = (self.one(part, name, key) for name in ("id", "text"))
            if id_ is None or text is None:
                complete = False
            elif form.fullmatch(id_.text) is None:
                complete = False
                example = "FR-001" if form is REQUIREMENT else "SC-001"
                self.problems.add(
                    id_.line, "S133", f"{cut(id_.text)!r} is no number of {key}", f"write one such as {example}"
                )
            elif not text.text:
                complete = False
                self.problems.add(text.line, "S133", f"{id_.text} says nothing", "write its text")
            else:
                kept.append(Numbered(id_, Scalar(_line(text), text.line)))
        return kept, complete

    def entity(self, node: Node) -> DraftEntity:
        found = shape.fields(node, EntityPart, "an entity", self.problems)
        name = self.one(found, "name", "an entity") or Scalar("", node.line)
        where = cut(name.text) or "an entity"
        draft = DraftEntity(name=name, about=self.text(found, "about", where), plural=self.one(found, "plural", where))
        draft.complete = "name" in found and "fields" in found
        for item in shape.items(found.get("fields"), f"fields of {where}", self.problems):
            if (row := self.row(item, where)) is not None:
                draft.rows.append(row)
            else:
                draft.complete = False
        draft.actions = self.actions(found.get("actions"), where)
        draft.totals = shape.texts(found.get("totals"), f"totals of {where}", self.problems)
        draft.lists = self.actions(found.get("lists"), where, LIST)
        draft.notes = {label: note for label in NOTES if (note := self.note(found, label, where)) is not None}
        return draft

    def note(self, found: dict[str, Node], label: str, where: str) -> Scalar | None:
        """What stands behind a one-line label in Markdown; a list is what commas would separate there."""
        key = label.lower().replace(" ", "_")
        node = found.get(key)
        if not isinstance(node, Sequence):
            return self.one(found, key, where)
        texts = shape.texts(node, f"{key} of {where}", self.problems)
        return Scalar(", ".join(text.text.strip() for text in texts), node.line)

    def row(self, node: Node, entity: str) -> DraftRow | None:
        found = shape.fields(node, FieldPart, f"a field of {entity}", self.problems)
        name, type_ = (self.one(found, key, f"a field of {entity}") for key in ("name", "type"))
        if name is None:
            return None
        return DraftRow(
            name=name,
            type=type_,
            rules=self.rules(found.get("rules"), f"{entity}.{name.text}"),
            line=name.line,
        )

    def rules(self, node: Node | None, where: str) -> list[str]:
        if isinstance(node, Sequence):
            return [value.text.strip() for value in shape.texts(node, f"rules of {where}", self.problems)]
        value = shape.scalar(node, f"rules of {where}", self.problems)
        return [] if value is None else rules.split(questions.without(value.text))

    def actions(self, node: Node | None, where: str, form: Form = ACTION) -> list[DraftAction]:
        if isinstance(node, Mapping):
            return [action for pair in node.pairs if (action := self.action(*pair, where)) is not None]
        found = []
        for item in shape.items(node, f"actions of {where}", self.problems):
            if isinstance(item, Mapping) and len(item.pairs) == 1:
                action = self.action(*item.pairs[0], where)
            elif isinstance(item, Scalar) and (line := ACTION_LINE.fullmatch(item.text.strip())):
                action = DraftAction(Scalar(line["name"], item.line), Scalar(line["changes"], item.line))
            else:
                self.problems.add(item.line, form.code, f"{where}: this is no {form.what}", f"write `{form.example}`")
                continue
            if action is not None:
                found.append(action)
        return found

    def action(self, name: Scalar, changes: Node, where: str) -> DraftAction | None:
        value = shape.scalar(changes, f"action {cut(name.text)} of {where}", self.problems)
        return None if value is None else DraftAction(name, value)

    def acceptance(self, node: Node) -> list[DraftExample]:
        found = shape.fields(node, AcceptancePart, "an item of acceptance", self.problems)
        title = self.one(found, "title", "an item of acceptance") or Scalar("", node.line)
        bodies = [(kind, shape.scalar(found[kind], kind, self.problems)) for kind in found if kind in KINDS]
        if not bodies and isinstance(node, Mapping):
            self.problems.add(
                node.line,
                "S163",
                f"{cut(title.text) or 'an item of acceptance'} holds no block",
                "write console, http or files",
            )
        return [
            DraftExample(next(k for k in KINDS if k == kind), title, body) for kind, body in bodies if body is not None
        ]


def _line(value: Scalar) -> str:
    return " ".join(value.text.split())
