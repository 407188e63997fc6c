"""What stands below an entity's table: Plural, Actions, Totals and their like, read line by line.

CommonMark would let a label without a blank line above it go on with the last list item; people do not mean that.
"""

from __future__ import annotations

import re

from daybreak.factory.spec import codespans
from daybreak.factory.spec.data import ACTION, ACTION_LINE, LIST, NOTES
from daybreak.factory.spec.draft import DraftAction, DraftEntity
from daybreak.factory.spec.located import Scalar
from daybreak.factory.spec.problems import Problems, cut, nearest

LABELS = ("Plural", "Actions", "Totals", "Lists", *NOTES)
_LABEL = re.compile(rf" {{0,3}}(?P<label>{'|'.join(LABELS)}):(?P<rest>.*)")
_ITEM = re.compile(r" {0,3}[-*+][ \t]+(?P<text>.*\S)[ \t]*")


class Tail:
    """What stands below an entity's table, line by line."""

    def __init__(self, entity: DraftEntity, problems: Problems) -> None:
        self.entity, self.problems = entity, problems
        self.name = cut(entity.name.text)
        self.label = ""
        self.seen: dict[str, int] = {}
        self.items: list[tuple[str, Scalar]] = []
        self.open = False

    def read(self, lines: list[tuple[int, str]]) -> None:
        for line, raw in lines:
            text = codespans.visible(raw).rstrip()
            if not text.strip():
                self.open = False
            elif found := _LABEL.fullmatch(text):
                self.begin(found["label"], found["rest"].strip(), line)
            elif (item := _ITEM.fullmatch(text)) and self.label:
                self.items.append((self.label, Scalar(item["text"], line)))
                self.open = True
            elif self.open and self.items and text[:1] in " \t":
                label, last = self.items[-1]
                self.items[-1] = (label, Scalar(f"{last.text} {text.strip()}", last.line))
            else:
                self.other(text, line)
        self.sort()

    def begin(self, label: str, rest: str, line: int) -> None:
        if label in self.seen:
            self.problems.add(
                line, "S139", f"{self.name}: {label} is already on line {self.seen[label]}", "join the two"
            )
        self.seen.setdefault(label, line)
        self.label, self.open = ("" if label in ("Plural", *NOTES) else label), False
        if label == "Plural":
            if rest:
                self.entity.plural = Scalar(rest, line)
            else:
                self.problems.add(line, "S157", f"{self.name}: the plural is missing", "write Plural: bookshelves")
        elif label in NOTES:
            self.entity.notes[label] = Scalar(rest, line)
        elif rest:
            self.problems.add(
                line, "S139", f"{self.name}: {cut(rest)!r} stands behind {label}:", "write it below, after `- `"
            )

    def other(self, text: str, line: int) -> None:
        self.open = False
        head = re.split(r"[:\s]", text.strip().strip("#*_"), maxsplit=1)[0]
        near = nearest(head, LABELS)
        if near is not None and ":" in text:
            self.problems.add(
                line, "S139", f"{self.name}: {cut(text)!r} is not understood", f"write {near}: at the left margin"
            )
        elif text.lstrip().startswith("|"):
            self.problems.add(
                line, "S140", f"{self.name}: a row stands apart from its table", "remove the blank line above it"
            )
        elif self.label or _ITEM.fullmatch(text):
            self.problems.add(
                line,
                "S139",
                f"{self.name}: {cut(text)!r} is not understood",
                "below the table stand Plural:, Actions: and Totals:, with items after `- `",
            )
        else:
            self.problems.warn(
                line,
                "S181",
                f"{self.name}: this text is not read: {cut(text, 40)!r}",
                "write it above the table, or remove it",
            )

    def sort(self) -> None:
        for label in ("Actions", "Totals", "Lists"):
            if label in self.seen and not any(of == label for of, _ in self.items):
                self.problems.add(
                    self.seen[label], "S139", f"{self.name}: {label} has no items", "write them below, after `- `"
                )
        for label, item in self.items:
            if label == "Totals":
                self.entity.totals.append(item)
            elif found := ACTION_LINE.fullmatch(item.text):
                (self.entity.lists if label == "Lists" else self.entity.actions).append(
                    DraftAction(Scalar(found["name"], item.line), Scalar(found["changes"], item.line))
                )
            else:
                form = LIST if label == "Lists" else ACTION
                example = "`open`: state is open" if label == "Lists" else "`lend`: status in -> out"
                self.problems.add(
                    item.line, form.code, f"{self.name}: {cut(item.text)!r} is no {form.what}", f"write - {example}"
                )
