"""What was understood of a file, part by part, and the list of what was not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from daybreak.agents.entities import Entity
from daybreak.agents.protocol import HttpOptions, Requirement
from daybreak.checks.example import Kind
from daybreak.factory.imports import plain
from daybreak.factory.spec.model import Criterion, Interface, Story
from daybreak.factory.spec.problems import cut

_REQUIREMENT = re.compile(r"FR-(\d{1,6})", re.ASCII)
_CRITERION = re.compile(r"SC-(\d{1,6})", re.ASCII)
_MUST = re.compile(r"\b(MUST|SHALL)\b", re.IGNORECASE)
_MAY = re.compile(r"\b(SHOULD|MAY|COULD)\b", re.IGNORECASE)
TEXT_MAX = 200
"""Of what was not understood, in characters; its line says where the rest stands."""


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A piece of the file that the specification does not hold, or holds otherwise."""

    line: int
    text: str
    why: str
    remedy: str
    """What to write into the specification instead."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Where something of theirs went: `1.2` is `FR-004`."""

    theirs: str
    ours: str
    line: int


@dataclass(frozen=True, slots=True)
class Shown:
    """An acceptance block."""

    kind: Kind
    title: str
    body: str


@dataclass(slots=True)
class Gathered:
    """Fills up while a file is read. Every text that goes in is made one that Markdown keeps."""

    title: str = ""
    names: list[str] = field(default_factory=list)
    """Texts to make the project's name of, the best first."""
    version: str = "0.1.0"
    interfaces: tuple[Interface, ...] = ("cli",)
    http: HttpOptions = field(default_factory=HttpOptions)
    summary: list[str] = field(default_factory=list)
    objectives: list[str] = field(default_factory=list)
    stories: list[Story] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    entities: list[Entity] = field(default_factory=list)
    criteria: list[Criterion] = field(default_factory=list)
    out_of_scope: list[str] = field(default_factory=list)
    examples: list[Shown] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    """Open ones that belong to no text."""
    not_understood: list[NotUnderstood] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)
    """Numbers of requirements that are not given away: the file uses them itself."""
    _used: set[int] = field(default_factory=set)
    _highest: int = 0

    def lost(self, line: int, text: str, why: str, remedy: str) -> None:
        """List a piece that was not understood."""
        self.not_understood.append(
            NotUnderstood(
                max(1, line), cut(plain.one_line(text), TEXT_MAX), plain.one_line(why), plain.one_line(remedy)
            )
        )

    def about(self, text: str) -> None:
        """A paragraph of the summary, or several."""
        if found := plain.paragraphs(text):
            self.summary.append(found)

    def about_list(self, label: str, items: list[str]) -> None:
        """A list in the summary, below a line that says what it is."""
        found = [plain.item(text) for text in items]
        if any(found):
            self.summary.append("\n".join([f"{label}:", "", *(f"- {text}" for text in found if text)]))

    def objective(self, text: str) -> None:
        found = plain.item(text)
        if found and found not in self.objectives:
            self.objectives.append(found)

    def scope_out(self, text: str) -> None:
        if found := plain.item(text):
            self.out_of_scope.append(found)

    def ask(self, question: str) -> None:
        found = plain.question(question)
        if found not in self.questions:
            self.questions.append(found)

    def story(self, title: str, *, narrative: str = "", scenarios: list[str] | None = None, priority: str = "") -> int:
        """Returns the number of the story, from 1."""
        self.stories.append(
            Story(
                title=plain.story_title(title) or "Untitled",
                priority=re.sub(r"[()]", "", plain.flat(priority)),
                narrative=plain.paragraphs(narrative),
                scenarios=plain.scenarios(scenarios or []),
            )
        )
        return len(self.stories)

    def require(self, text: str, *, theirs: str = "", line: int = 0, wanted: str = "") -> str:
        """Add a requirement and return its number: `wanted` where it is one and is free, else the next free one."""
        found = plain.flat(text)
        asked = _REQUIREMENT.fullmatch(wanted)
        if asked is not None and int(asked[1]) not in self._used:
            number, id_ = int(asked[1]), wanted
        else:
            number = max(self._highest, max(self.taken, default=0)) + 1
            id_ = f"FR-{number:03d}"
        self._used.add(number)
        self._highest = max(self._highest, number)
        must = _MUST.search(found) is not None or _MAY.search(found) is None
        self.requirements.append(Requirement(id=id_, text=found, must=must))
        if theirs and theirs != id_:
            self.trace(theirs, id_, line)
        return id_

    def criterion(self, text: str, *, theirs: str = "", line: int = 0) -> None:
        """Add a success criterion; it keeps a number of ours that is free."""
        used = {int(one.id[3:]) for one in self.criteria}
        asked = _CRITERION.fullmatch(theirs)
        free = asked is not None and int(asked[1]) not in used
        id_ = theirs if free else f"SC-{max(used, default=0) + 1:03d}"
        self.criteria.append(Criterion(id=id_, text=plain.flat(text)))
        if theirs and theirs != id_:
            self.trace(theirs, id_, line)

    def trace(self, theirs: str, ours: str, line: int) -> None:
        self.traces.append(Trace(cut(plain.flat(theirs), TEXT_MAX), ours, max(1, line)))
