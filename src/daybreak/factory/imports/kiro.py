"""Kiro's `requirements.md`: an introduction, a glossary, and requirements with a user story and EARS criteria each."""

from __future__ import annotations

import re

from daybreak.factory.imports import documents, ears, plain, user_stories
from daybreak.factory.imports.documents import Item, Section
from daybreak.factory.imports.gathered import Gathered
from daybreak.factory.spec.blocks import Block
from daybreak.factory.spec.problems import cut

_TITLE = re.compile(r"^requirements(?:\s+document)?\s*(?:[:–—-]\s*|$)", re.IGNORECASE)
_REQUIREMENT = re.compile(
    r"(?:requirement|req)?[\s-]*(?P<number>[\w-]*\d[\w.-]*)\s*[:.–—-]?\s*(?P<title>.*)", re.IGNORECASE
)
_STORY = re.compile(r"\*{0,2}user story:?\*{0,2}\s*:?\s*(?P<text>.+)", re.IGNORECASE | re.DOTALL)
_CRITERIA = re.compile(r"[*_]*acceptance criteria[*_:]*", re.IGNORECASE)
_OWN_NUMBER = re.compile(r"(?P<number>\d+(?:\.\d+)+)[.):]?\s+(?P<text>.+)", re.DOTALL)
_EARS = "write WHEN …, THE SYSTEM SHALL …; or - **FR-001**: System MUST … in the specification"


def read(text: str, name: str, gathered: Gathered) -> None:
    """Everything of the file into `gathered`."""
    document = documents.read(text, name, gathered)
    reader = _Reader(gathered)
    for section in document.sections:
        reader.section(section)
    reader.close()
    if not gathered.title:
        gathered.title = document.front_title


class _Reader:
    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered
        self.place = ""
        self.number = ""
        """Of the requirement that is being read: `1`."""
        self.title = ""
        self.line = 0
        self.narrative: list[str] = []
        self.scenarios: list[str] = []
        self.counted = 0
        self.count = 0

    def section(self, section: Section) -> None:
        key = section.key
        if section.level == 0:
            return documents.lose(section, self.gathered, "it stands above the title", "write it below the title")
        if section.level == 1:
            return self.head(section)
        if _CRITERIA.fullmatch(section.title):
            return self.body(section)
        found = _REQUIREMENT.fullmatch(plain.bare(section.title))
        if found is not None and (self.place == "requirements" or section.key.startswith("req")):
            return self.begin(section, found)
        if section.level == 2:
            self.close()
            self.place = _place(key)
        return self.other(section, key)

    def head(self, section: Section) -> None:
        title = _TITLE.sub("", plain.bare(section.title)).strip()
        if title and not self.gathered.title:
            self.gathered.title = title
        self.introduction(section)

    def introduction(self, section: Section) -> None:
        def paragraph(block: Block) -> bool:
            self.gathered.about("\n".join(line for _, line in documents.paragraph_lines(block)))
            return True

        found: list[str] = []
        documents.consume(
            section,
            self.gathered,
            why="no text of an introduction",
            remedy="write it as text below the title",
            paragraph=paragraph,
            list_item=documents.keep(found),
        )
        self.gathered.about_list(plain.item(section.title), found)

    def other(self, section: Section, key: str) -> None:
        match _place(key) or self.place:
            case "introduction":
                self.introduction(section)
            case "scope":
                documents.consume(
                    section,
                    self.gathered,
                    why="no list item",
                    remedy="write it as - … below ## Out of Scope",
                    list_item=self.scope,
                )
            case "requirements":
                self.body(section)
            case _:
                documents.lose(
                    section, self.gathered, "no section of a specification", "make it requirements, or leave it out"
                )

    def scope(self, one: Item) -> bool:
        self.gathered.scope_out(one.whole)
        return bool(one.whole)

    # -- one requirement

    def begin(self, section: Section, found: re.Match[str]) -> None:
        self.close()
        self.place = "requirements"
        self.number, self.title, self.line = found["number"], found["title"].strip(), section.line
        self.counted, self.count = 0, len(self.gathered.requirements)
        self.body(section)
        if not section.blocks and not self.title:
            self.title = f"Requirement {self.number}"

    def body(self, section: Section) -> None:
        documents.consume(
            section,
            self.gathered,
            why="no criterion in EARS",
            remedy=_EARS,
            paragraph=self.paragraph,
            list_item=self.criterion,
        )

    def paragraph(self, block: Block) -> bool:
        lines = documents.paragraph_lines(block)
        text = " ".join(line for _, line in lines)
        if _CRITERIA.fullmatch(text):
            return True
        if found := _STORY.fullmatch(text):
            self.story(found["text"])
            return True
        if all(ears.read(line) is not None for _, line in lines):
            return all(self.criterion(Item(line, number)) for number, line in lines)
        return self.criterion(Item(text, block.first))

    def story(self, text: str) -> None:
        self.narrative.append(text)
        told = user_stories.read(text)
        if told is not None:
            self.title = self.title or told.what
            self.gathered.objective(told.why)

    def criterion(self, one: Item) -> bool:
        """A requirement of ours for each criterion; its number is that of theirs: `1.2`."""
        own = _OWN_NUMBER.fullmatch(one.text)
        text = own["text"] if own is not None else one.whole
        self.counted += 1
        number = f"{self.number}.{one.number or self.counted}" if self.number else f"line {one.line}"
        number = own["number"] if own is not None else number
        found = ears.read(text)
        if found is None:
            return False
        self.gathered.require(found.requirement(), theirs=number, line=one.line)
        if scenario := found.scenario():
            self.scenarios.append(scenario)
        return True

    def close(self) -> None:
        """What was read since the last heading of a requirement becomes a user story."""
        if self.number and (self.narrative or self.scenarios or self.title):
            number = self.gathered.story(
                self.title or f"Requirement {self.number}",
                narrative="\n\n".join(self.narrative),
                scenarios=self.scenarios,
            )
            self.gathered.trace(f"Requirement {self.number}", f"User Story {number}", self.line)
            if len(self.gathered.requirements) == self.count:
                self.gathered.lost(
                    self.line, f"Requirement {self.number} {cut(self.title)}", "it has no criterion in EARS", _EARS
                )
        self.number, self.title, self.narrative, self.scenarios = "", "", [], []


def _place(key: str) -> str:
    if key in ("introduction", "overview", "summary", "background", "glossary", "definitions", "purpose"):
        return "introduction"
    if key in ("out of scope", "non-goals", "non goals", "exclusions"):
        return "scope"
    return "requirements" if key.endswith("requirements") else ""
