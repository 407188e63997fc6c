"""Gherkin's `.feature`: a user story for the feature and for each rule, a requirement for each scenario."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from daybreak.factory.imports import gherkin_reading, plain, user_stories
from daybreak.factory.imports.gathered import Gathered
from daybreak.factory.imports.gherkin_reading import ExamplesTable, FeaturePart, RulePart, ScenarioPart, StepLine, Tag
from daybreak.factory.imports.refusals import ImportBomb

EXPANDED_MAX = 2_000_000
"""Of all scenarios that outlines expand to, in characters."""
_PLACE = re.compile(r"<([^<>]+)>")
_PRIORITY = re.compile(r"@(?:priority[-_:]?)?(p\d)", re.IGNORECASE)
_ID = re.compile(r"@(?=[^@]*\d)[A-Za-z][A-Za-z0-9]*[-_:][A-Za-z0-9_.:-]+")
_AIM = re.compile(r"(?:in order to|so that|um|damit|para|afin de|afin que)\s+(?P<aim>.+)", re.IGNORECASE)


def read(text: str, name: str, gathered: Gathered) -> None:
    """Everything of the file into `gathered`. Raises ImportBroken, ImportWrongFormat and ImportBomb."""
    feature = gherkin_reading.read(text, name)
    _Reader(gathered, name).feature(feature)


class _Reader:
    def __init__(self, gathered: Gathered, name: str) -> None:
        self.gathered, self.name = gathered, name
        self.left = EXPANDED_MAX

    def feature(self, feature: FeaturePart) -> None:
        self.gathered.title = feature.name
        self.description(feature.description)
        priority = self.tags(feature.tags, f"the feature {feature.name!r}", "the whole specification")
        background: list[StepLine] = []
        for rule in feature.rules:
            background = feature.rules[0].background + (rule.background if rule is not feature.rules[0] else [])
            if rule.name or rule.scenarios:
                self.rule(rule, rule.name or feature.name, background, priority)
        if not any(rule.scenarios for rule in feature.rules):
            self.gathered.lost(feature.line, feature.name, "the feature has no scenario", "write its requirements")

    def description(self, text: str) -> None:
        told = user_stories.read(text)
        if told is not None and told.why:
            self.gathered.objective(told.why)
        else:
            for line in text.split("\n"):
                if found := _AIM.fullmatch(line.strip().rstrip(",.")):
                    self.gathered.objective(plain.sentence_start(found["aim"]))
        self.gathered.about(text)

    def rule(self, rule: RulePart, title: str, background: list[StepLine], priority: str) -> None:
        """A story of all its scenarios. An empty rule is a requirement of its own."""
        own = self.tags(rule.tags, f"the rule {rule.name!r}")
        scenarios: list[str] = []
        for scenario in rule.scenarios:
            scenarios += self.scenario(scenario, background, rule.name)
        if not scenarios and rule.name:
            text = rule.name if plain.binds(rule.name) else f"System MUST keep this rule: {rule.name}"
            self.gathered.require(text, theirs=f"rule {rule.name!r}", line=rule.line)
        number = self.gathered.story(
            title, narrative=rule.description, scenarios=scenarios, priority=(own or priority).upper()
        )
        if rule.name:
            self.gathered.trace(f"rule {rule.name!r}", f"User Story {number}", rule.line)

    def tags(self, tags: list[Tag], what: str, id_: str = "") -> str:
        """The priority that they give; names of things elsewhere lead to `id_`; the others are listed."""
        priority = ""
        for tag in tags:
            if found := _PRIORITY.fullmatch(tag.text):
                priority = found[1]
            elif _ID.fullmatch(tag.text) and id_:
                self.gathered.trace(tag.text, id_, tag.line)
            else:
                self.gathered.lost(
                    tag.line,
                    tag.text,
                    f"specifications have no tags; this one marks {what}",
                    "write it as text, or not",
                )
        return priority

    # -- scenarios

    def scenario(self, scenario: ScenarioPart, background: list[StepLine], rule: str) -> list[str]:
        steps = [*background, *scenario.steps]
        what = f"the scenario {scenario.name!r}"
        if not scenario.steps:
            self.gathered.lost(scenario.line, scenario.name, f"{what} has no steps", "write Given …, When …, Then …")
            return []
        if not any(step.kind == "then" for step in steps):
            self.gathered.lost(
                scenario.line,
                scenario.name,
                f"{what} says nothing that must come true",
                "write what must then be: Then …",
            )
        for step in scenario.steps:
            if step.doc is not None and re.search(r"\s\s|\t", step.doc.replace("\n", "")):
                self.gathered.lost(
                    step.line, step.doc, "blanks in this text stand once here", "show it in an acceptance block"
                )
        id_ = self.gathered.require(
            _requirement(scenario, steps, rule), theirs=f"scenario {scenario.name!r}", line=scenario.line
        )
        self.tags([tag for tag in scenario.tags if not _PRIORITY.fullmatch(tag.text)], what, id_)
        for tag in scenario.tags:
            if _PRIORITY.fullmatch(tag.text):
                self.gathered.lost(
                    tag.line,
                    tag.text,
                    "requirements have no priorities",
                    "write SHOULD instead of MUST, or leave it out",
                )
        if scenario.description.strip():
            self.gathered.lost(
                scenario.line, scenario.description, f"{what} has a description", "write it into the story's text"
            )
        return list(self.expanded(scenario, steps, id_))

    def expanded(self, scenario: ScenarioPart, steps: list[StepLine], id_: str) -> Iterator[str]:
        """The scenario, or one for each row of its examples."""
        if not scenario.examples:
            for place in dict.fromkeys(place for step in steps for place in _PLACE.findall(step.text)):
                self.gathered.lost(
                    scenario.line,
                    f"<{place}>",
                    f"no examples say what stands for it in {scenario.name!r}",
                    "write a value",
                )
            yield self.text(scenario.name, steps, {})
            return
        for table in scenario.examples:
            yield from self.rows(scenario, steps, table, id_)

    def rows(self, scenario: ScenarioPart, steps: list[StepLine], table: ExamplesTable, id_: str) -> Iterator[str]:
        self.tags(table.tags, f"examples of {scenario.name!r}", id_)
        if table.description.strip():
            self.gathered.lost(table.line, table.description, "examples have no description", "write it into the story")
        if len(table.rows) < 2:
            self.gathered.lost(
                table.line, table.name or "Examples", f"no examples of {scenario.name!r}", "write a head and rows"
            )
            return
        head = table.rows[0][1]
        used = {place for step in steps for place in _places(step)} | set(_PLACE.findall(scenario.name))
        for place in sorted(used - set(head)):
            self.gathered.lost(
                table.line, f"<{place}>", f"the examples of {scenario.name!r} have no such column", "write a value"
            )
        for column in head:
            if column not in used:
                self.gathered.lost(
                    table.line,
                    column,
                    f"{scenario.name!r} does not use this column",
                    "leave it out, or use it in a step",
                )
        for _, cells in table.rows[1:]:
            yield self.text(scenario.name, steps, dict(zip(head, cells, strict=True)))

    def text(self, name: str, steps: list[StepLine], values: dict[str, str]) -> str:
        parts = [] if steps and steps[0].kind == "given" else ["**Given** any state"]
        last = "given" if parts else ""
        for step in steps:
            word = "and" if step.kind == last else f"**{step.kind.capitalize()}**"
            if step.kind == "given" and last not in ("", "given"):
                word = "and, given"
            self.left -= _length(step, values)
            if self.left < 0:
                raise ImportBomb(
                    f"{self.name}: the examples of {name[:60]!r} expand to more than {EXPANDED_MAX} characters",
                    hint="import a file with fewer rows",
                )
            parts.append(f"{word} {_told(step, values)}")
            last = step.kind
        return ", ".join(parts)


def _length(step: StepLine, values: dict[str, str]) -> int:
    """At most so many characters when filled in; known before anything is."""
    texts = [step.text, step.doc or "", *(cell for row in step.table for cell in row)]
    return sum(len(text) + sum(len(values.get(place, "")) for place in _PLACE.findall(text)) for text in texts)


def _told(step: StepLine, values: dict[str, str]) -> str:
    """The step with what belongs to it, on one line: a text as JSON, a table row by row."""
    text = _filled(step.text, values)
    if step.doc is not None:
        text += f" {json.dumps(_filled(step.doc, values), ensure_ascii=False)}"
    if step.table:
        rows = ("(" + ", ".join(_filled(cell, values) for cell in row) + ")" for row in step.table)
        text = f"{text.rstrip(':')}: {' '.join(rows)}"
    return text


def _filled(text: str, values: dict[str, str]) -> str:
    return _PLACE.sub(lambda found: values.get(found[1], found[0]), text) if values else text


def _places(step: StepLine) -> list[str]:
    return _PLACE.findall(" ".join([step.text, step.doc or "", *(cell for row in step.table for cell in row)]))


def _requirement(scenario: ScenarioPart, steps: list[StepLine], rule: str) -> str:
    """`A book that is out: when I lend it, the system MUST see to it that it is refused (rule: …).`"""
    when = " and ".join(_told(step, {}) for step in steps if step.kind == "when")
    then = " and ".join(_told(step, {}) for step in steps if step.kind == "then")
    name = f"{scenario.name}: " if scenario.name else ""
    condition = f"when {when}, " if when else ""
    text = f"{name}{condition}the system MUST see to it that {then or 'this works'}"
    return f"{plain.sentence_start(text)} (rule: {rule})" if rule else plain.sentence_start(text)
