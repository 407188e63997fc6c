"""Gherkin as its own grammar has it: features, rules, backgrounds, scenarios, outlines, steps and what belongs to them.

Strict: a line that has no place in the grammar is told with its number, and nothing is imported. Free text stands
only where Gherkin allows descriptions: below Feature, Rule, Background, Scenario and Examples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from daybreak.factory.imports.gherkin_words import LANGUAGES, Block, Step
from daybreak.factory.imports.refusals import ImportBroken, ImportWrongFormat
from daybreak.factory.spec.problems import cut, listed, meant

FAULTS_MAX = 20
_LANGUAGE = re.compile(r"\s*#\s*language\s*:\s*(?P<language>[A-Za-z-]+)\s*")
_CELL = re.compile(r"(?<!\\)(?:\\\\)*\|")
_TAG = re.compile(r"@[^\s@]+")


@dataclass(frozen=True, slots=True)
class Tag:
    text: str
    """With its `@`."""
    line: int


@dataclass(slots=True)
class StepLine:
    kind: Literal["given", "when", "then"]
    """`And` and `*` are what the step before them is."""
    text: str
    line: int
    doc: str | None = None
    table: list[list[str]] = field(default_factory=list)


@dataclass(slots=True)
class ExamplesTable:
    name: str
    line: int
    tags: list[Tag]
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    """(line, cells); the first is the head."""
    description: str = ""


@dataclass(slots=True)
class ScenarioPart:
    name: str
    line: int
    tags: list[Tag]
    steps: list[StepLine] = field(default_factory=list)
    examples: list[ExamplesTable] = field(default_factory=list)
    description: str = ""


@dataclass(slots=True)
class RulePart:
    """A rule, or what stands in a feature outside of all rules (then its name is empty)."""

    name: str
    line: int
    tags: list[Tag]
    background: list[StepLine] = field(default_factory=list)
    scenarios: list[ScenarioPart] = field(default_factory=list)
    description: str = ""


@dataclass(slots=True)
class FeaturePart:
    name: str
    line: int
    tags: list[Tag]
    rules: list[RulePart]
    description: str = ""


def read(text: str, name: str) -> FeaturePart:
    """The feature. Raises ImportBroken with every line that is wrong, ImportWrongFormat for an unknown language."""
    return _Reader(text, name).read()


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self.lines, self.name = text.split("\n"), name
        self.at = 0
        self.faults: list[str] = []
        language = self.language()
        words = LANGUAGES[language]
        self.blocks: list[tuple[str, Block]] = sorted(
            ((word, block) for block, known in words.blocks.items() for word in known), key=lambda pair: -len(pair[0])
        )
        self.step_words: list[tuple[str, Step]] = sorted(
            ((word, step) for step, known in words.steps.items() for word in known), key=lambda pair: -len(pair[0])
        )
        self.feature: FeaturePart | None = None
        self.scenario: ScenarioPart | None = None
        self.steps: list[StepLine] | None = None
        self.table: list[list[str]] | None = None
        self.examples: ExamplesTable | None = None
        self.described: FeaturePart | RulePart | ScenarioPart | ExamplesTable | None = None
        self.tags: list[Tag] = []
        self.in_background = False

    def language(self) -> str:
        for number, line in enumerate(self.lines, 1):
            if found := _LANGUAGE.fullmatch(line):
                language = found["language"].lower()
                if language not in LANGUAGES:
                    raise ImportWrongFormat(
                        f"{self.name}:{number}: the language {language} of Gherkin is not known here",
                        hint=f"known are {listed(sorted(LANGUAGES))}; translate the keywords into one of them",
                    )
                return language
            if line.strip() and not line.lstrip().startswith("#"):
                break
        return "en"

    def fault(self, line: int, message: str) -> None:
        self.faults.append(f"{self.name}:{line}: {message}")

    def read(self) -> FeaturePart:
        while self.at < len(self.lines):
            raw = self.lines[self.at]
            self.at += 1
            line = raw.strip()
            if not line:
                self.blank()
            elif line.startswith(('"""', "```")) and self.steps:
                self.doc_string(raw)
            elif line.startswith("#"):
                continue
            else:
                self.line(line)
        if self.tags:
            self.fault(self.tags[0].line, "tags stand above nothing")
        if self.feature is None and not self.faults:
            self.fault(1, "there is no feature")
        if self.faults or self.feature is None:
            more = len(self.faults) - FAULTS_MAX
            told = self.faults[:FAULTS_MAX] + ([f"and {more} more"] if more > 0 else [])
            raise ImportBroken("\n".join(told), hint="this is not Gherkin; every line begins with one of its keywords")
        return self.feature

    def blank(self) -> None:
        if self.described is not None and self.described.description:
            self.described.description += "\n"

    def line(self, line: str) -> None:
        if line.startswith("|"):
            return self.row(line)
        if line.startswith("@"):
            return self.tag_line(line)
        for word, block in self.blocks:
            if line.startswith(f"{word}:"):
                return self.begin(block, line[len(word) + 1 :].strip())
        for word, step in self.step_words:
            if line.startswith(word) and self.steps is not None and not self.tags:
                return self.step(step, line[len(word) :].strip())
        return self.text(line)

    def text(self, line: str) -> None:
        """A line of a description, or one that has no place."""
        if self.described is None or self.tags:
            known = (*(word.strip() for word, _ in self.step_words), *(word for word, _ in self.blocks))
            first = line.split(":")[0].split()[0] if line.split(":")[0].split() else line
            self.fault(self.at, f"{cut(line, 40)!r} has no place here; {meant(first, known, 'a step was expected')}")
        else:
            self.described.description += f"{line}\n"

    def tag_line(self, line: str) -> None:
        shown = re.sub(r"\s#.*", "", line)
        for part in shown.split():
            if _TAG.match(part) is None:
                self.fault(self.at, f"{cut(part, 40)!r} is no tag")
        self.tags += [Tag(text, self.at) for text in _TAG.findall(shown)]

    def take_tags(self) -> list[Tag]:
        tags, self.tags = self.tags, []
        return tags

    # -- blocks

    def begin(self, block: Block, name: str) -> None:
        self.table = None
        if block == "feature":
            if self.feature is not None:
                return self.fault(self.at, "a second feature; a file holds one")
            self.feature = FeaturePart(name, self.at, self.take_tags(), [RulePart("", self.at, [])])
            self.described, self.steps = self.feature, None
            return None
        if self.feature is None:
            return self.fault(self.at, f"{block} stands before the feature")
        match block:
            case "rule":
                rule = RulePart(name, self.at, self.take_tags())
                self.feature.rules.append(rule)
                self.described, self.steps, self.scenario = rule, None, None
            case "background":
                self.background()
            case "scenario" | "outline":
                self.scenario = ScenarioPart(name, self.at, self.take_tags())
                self.feature.rules[-1].scenarios.append(self.scenario)
                self.described, self.steps, self.examples = self.scenario, self.scenario.steps, None
                self.in_background = False
            case "examples":
                self.begin_examples(name)
        return None

    def background(self) -> None:
        assert self.feature is not None, "looked at before"
        rule = self.feature.rules[-1]
        if rule.scenarios or rule.background:
            self.fault(self.at, "a background stands once, before the scenarios")
        if self.take_tags():
            self.fault(self.at, "a background has no tags")
        self.scenario, self.in_background = None, True
        self.steps = rule.background
        self.described = RulePart("", self.at, [])

    def begin_examples(self, name: str) -> None:
        if self.scenario is None:
            return self.fault(self.at, "examples stand below a scenario")
        self.examples = ExamplesTable(name, self.at, self.take_tags())
        self.scenario.examples.append(self.examples)
        self.described, self.steps = self.examples, None
        return None

    # -- steps

    def step(self, word: Step, text: str) -> None:
        assert self.steps is not None, "looked at before"
        before = self.steps[-1].kind if self.steps else "given"
        kind = before if word == "and" else word
        if not text:
            self.fault(self.at, "the step says nothing")
        self.steps.append(StepLine(kind, text, self.at))
        self.described, self.table = None, None

    def row(self, line: str) -> None:
        cells = _cells(line)
        if cells is None:
            return self.fault(self.at, "the row does not end in |")
        if self.examples is not None and self.steps is None:
            rows = self.examples.rows
            if rows and len(rows[0][1]) != len(cells):
                return self.fault(self.at, f"the row has {len(cells)} cells, its table {len(rows[0][1])}")
            if not rows and len(set(cells)) < len(cells):
                self.fault(self.at, "two columns have one name")
            rows.append((self.at, cells))
            self.described = None
            return None
        if not self.steps or self.tags or self.steps[-1].doc is not None:
            return self.fault(self.at, "a table stands below a step or below Examples")
        table = self.steps[-1].table
        if table and len(table[0]) != len(cells):
            return self.fault(self.at, f"the row has {len(cells)} cells, its table {len(table[0])}")
        table.append(cells)
        return None

    def doc_string(self, raw: str) -> None:
        assert self.steps, "looked at before"
        begun, mark = self.at, raw.strip()[:3]
        indent = len(raw) - len(raw.lstrip())
        found: list[str] = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            self.at += 1
            if line.strip() == mark:
                break
            kept = line[indent:] if not line[:indent].strip() else line.lstrip()
            found.append(kept.replace('\\"\\"\\"', '"""') if mark == '"""' else kept.replace("\\`\\`\\`", "```"))
        else:
            return self.fault(begun, f"this text is not closed; write {mark} on a line of its own below it")
        if self.steps[-1].doc is not None or self.steps[-1].table:
            return self.fault(begun, "a step holds one text or one table")
        self.steps[-1].doc = "\n".join(found)
        return None


def _cells(line: str) -> list[str] | None:
    """The cells of a row; `\\|`, `\\n` and `\\\\` stand for a pipe, a line end and a backslash."""
    ends = [found.end() for found in _CELL.finditer(line)]
    if len(ends) < 2 or ends[-1] != len(line):
        return None
    raw = [line[start : end - 1].strip() for start, end in pairwise(ends)]
    shown = {"\\|": "|", "\\n": "\n", "\\\\": "\\"}
    return [re.sub(r"\\[|n\\]", lambda found: shown[found[0]], cell) for cell in raw]
