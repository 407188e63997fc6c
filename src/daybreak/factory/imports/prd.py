"""A plain product requirements document in Markdown: headings and lists by what they mean, everything else listed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from daybreak.factory.imports import documents, ears, plain, user_stories
from daybreak.factory.imports.documents import Document, Item, Section
from daybreak.factory.imports.gathered import Gathered
from daybreak.factory.spec.blocks import Block

Meaning = Literal[
    "summary", "goals", "scope", "success", "stories", "personas", "requirements", "questions", "other", ""
]
Strength = Literal["MUST", "SHOULD", "MAY"]

MEANINGS: dict[Meaning, tuple[str, ...]] = {
    "scope": ("non-goal", "non goal", "nongoal", "out of scope", "out-of-scope", "not in scope", "exclusion", "won't"),
    "success": ("success", "metric", "kpi", "key result", "measure of", "measures of"),
    "questions": ("open question", "open issue", "unresolved", "questions", "tbd", "to be decided"),
    "personas": ("persona", "target user", "target audience", "audience", "users and needs"),
    "stories": ("user stor", "use case", "user journey", "user scenario", "user flow", "jobs to be done", "scenarios"),
    "requirements": (
        "requirement", "feature", "must have", "must-have", "should have", "should-have", "could have", "could-have",
        "nice to have", "nice-to-have", "in scope", "scope", "functionality", "capabilit", "p0", "p1", "p2", "mvp",
    ),
    "goals": ("goal", "objective", "purpose", "mission"),
    "summary": (
        "overview", "introduction", "background", "summary", "problem", "context", "vision", "tl;dr", "description",
        "about", "abstract", "executive summary", "proposed solution", "solution", "opportunity", "motivation",
        "assumption", "constraint", "dependenc",
    ),
}  # fmt: skip
"""By the beginning, or a word, of a heading; the first that fits."""

_PREFIX = re.compile(
    r"^(?:product requirements document|prd|product spec(?:ification)?)\s*(?:[:–—-]\s*|$)", re.IGNORECASE
)
_SUFFIX = re.compile(r"\s*(?:[:–—-]\s*)?\(?\b(?:product requirements document|prd)\)?$", re.IGNORECASE)
_ID = re.compile(r"\**(?P<id>[A-Z]{1,6}[-_]?\d{1,6}(?:\.\d+)*[a-z]?)\**\s*[:.)–—-]+\**\s*(?P<text>.+)", re.DOTALL)
_LABEL = re.compile(r"\*\*(?P<label>[^*]{1,60}?):?\*\*\s*:?\s*(?P<text>.*)", re.DOTALL)
_CAN = re.compile(
    r"\b(?P<who>(?:\w+ )?(?:users?|customers?|readers?|admins?|administrators?|visitors?|members?|people))\s+can\s+",
    re.I,
)
_STORY_HEADING = re.compile(r"(?:user\s+)?story\s*(?P<id>[\w-]*\d)\s*[-–—:.]?\s*(?P<title>.*)", re.IGNORECASE)
_REQUIREMENT_COLUMNS = ("requirement", "feature", "description", "functionality", "capability", "user story", "story")
_PRIORITY: tuple[tuple[str, Strength], ...] = (
    (r"should|medium|p1\b", "SHOULD"),
    (r"could|nice|low|p[2-9]\b|may\b|optional", "MAY"),
)
_WRITE: dict[Meaning, str] = {
    "requirements": "write - **FR-001**: System MUST …",
    "goals": "write it as - … below ## Objectives",
    "success": "write - **SC-001**: …",
    "scope": "write it as - … below ## Out of Scope",
    "stories": "write ### User Story 1 - title and its text",
    "personas": "write ### User Story 1 - title and its text",
    "questions": "write [NEEDS CLARIFICATION: …] where the answer will stand",
    "summary": "write it as text below the title",
}


def meaning(key: str) -> Meaning:
    """What a heading announces; empty where it is not known."""
    for found, words in MEANINGS.items():
        if any(key == word or key.startswith(word) or re.search(rf"\b{re.escape(word)}", key) for word in words):
            return found
    return ""


def strength(text: str) -> Strength:
    """How much a heading or a priority binds."""
    return next((word for form, word in _PRIORITY if re.search(form, text, re.IGNORECASE)), "MUST")


def read(text: str, name: str, gathered: Gathered) -> None:
    """Everything of the file into `gathered`."""
    document = documents.read(text, name, gathered)
    gathered.title = document.front_title
    reader = _Reader(gathered, document)
    for section in document.sections:
        reader.section(section)


class _Reader:
    def __init__(self, gathered: Gathered, document: Document) -> None:
        self.gathered, self.document = gathered, document
        self.meanings: list[tuple[int, Meaning, Strength]] = []
        """Of the headings above, by level."""
        self.in_story = 0
        """Level of the heading that began a story; 0: none."""

    def section(self, section: Section) -> None:
        if section.level == 0:
            return self.summary(section) if section.blocks else None
        if section.level == 1 and not self.meanings and not meaning(_PREFIX.sub("", section.key)):
            self.meanings = [(1, "summary", "MUST")]
            if not self.gathered.title:
                title = plain.bare(section.title)
                self.gathered.title = _SUFFIX.sub("", _PREFIX.sub("", title)).strip()
            return self.summary(section)
        self.meanings = [held for held in self.meanings if held[0] < section.level]
        found = meaning(section.key)
        above = self.meanings[-1][1] if len(self.meanings) > 1 or (self.meanings and self.meanings[-1][0] > 1) else ""
        # A feature called "Search metrics" below Features is a feature.
        chosen: Meaning = (
            above if above in ("requirements", "stories", "personas") and found != "requirements" else found
        )
        self.meanings.append((section.level, chosen or above or "other", strength(section.key)))
        return self.read(section, self.meanings[-1][1], own=bool(found))

    def read(self, section: Section, what: Meaning, *, own: bool) -> None:
        match what:
            case "summary":
                self.summary(section)
            case "goals":
                self.items(section, what, self.gathered.objective)
            case "scope":
                self.items(section, what, self.gathered.scope_out)
            case "success":
                self.success(section)
            case "questions":
                self.items(section, what, self.gathered.ask)
            case "stories" | "personas":
                self.stories(section, what, own=own)
            case "requirements":
                self.requirements(section, own=own)
            case _:
                documents.lose(
                    section, self.gathered, "no section of a specification", "make it requirements, or leave it out"
                )

    def summary(self, section: Section) -> None:
        found: list[str] = []

        def paragraph(block: Block) -> bool:
            kept = []
            for line, text in documents.paragraph_lines(block):
                label = _LABEL.fullmatch(text)
                if label is not None and section.level <= 1 and len(label["text"]) <= 60:
                    self.gathered.lost(line, text, "bookkeeping, which the ledger does", "leave it out")
                else:
                    kept.append(text)
            self.gathered.about("\n".join(kept))
            return True

        documents.consume(
            section,
            self.gathered,
            why="no text of a summary",
            remedy=_WRITE["summary"],
            paragraph=paragraph,
            list_item=documents.keep(found),
        )
        self.gathered.about_list(plain.item(plain.bare(section.title)) or "Summary", found)

    def items(self, section: Section, what: Meaning, take: Callable[[str], None]) -> None:
        def paragraph(block: Block) -> bool:
            text = " ".join(line for _, line in documents.paragraph_lines(block))
            if text.endswith(":"):
                return False
            take(text)
            return True

        def item(one: Item) -> bool:
            take(one.whole)
            return bool(one.whole)

        documents.consume(
            section,
            self.gathered,
            why=f"no list item below {section.title!r}",
            remedy=_WRITE[what],
            paragraph=paragraph,
            list_item=item,
        )

    def success(self, section: Section) -> None:
        def item(one: Item) -> bool:
            found = _ID.fullmatch(one.whole)
            text, theirs = (one.whole, "") if found is None else (found["text"], found["id"])
            self.gathered.criterion(text, theirs=theirs, line=one.line)
            return bool(text)

        documents.consume(
            section,
            self.gathered,
            why=f"no list item below {section.title!r}",
            remedy=_WRITE["success"],
            list_item=item,
            table=self.table,
        )

    # -- stories

    def stories(self, section: Section, what: Meaning, *, own: bool) -> None:
        narrative: list[str] = []
        scenarios: list[str] = []

        def paragraph(block: Block) -> bool:
            text = " ".join(line for _, line in documents.paragraph_lines(block))
            if own and (told := user_stories.read(text)) is not None:
                self.tell(told)
            else:
                narrative.append(text)
            return True

        def item(one: Item) -> bool:
            numbered = _ID.fullmatch(one.whole)
            told = user_stories.read(numbered["text"] if numbered else one.whole)
            if told is not None:
                number = self.tell(told)
                if numbered:
                    self.gathered.trace(numbered["id"], f"User Story {number}", one.line)
            elif what == "personas" and own:
                name, _, about = plain.bare(one.whole).partition(":")
                self.gathered.story(name, narrative=about)
            elif re.match(r"[*_]*given\b", one.whole, re.IGNORECASE) or not own:
                scenarios.append(one.whole)
            else:
                return False
            return bool(one.whole)

        documents.consume(
            section,
            self.gathered,
            why="no user story",
            remedy="write As a …, I want …, so that …",
            paragraph=paragraph,
            list_item=item,
        )
        if own:
            self.gathered.about("\n\n".join(narrative))
            if scenarios:
                self.gathered.story(plain.bare(section.title), scenarios=scenarios)
        elif narrative or scenarios:
            self.heading_story(section, narrative, scenarios)

    def tell(self, told: user_stories.UserStory) -> int:
        self.gathered.objective(told.why)
        return self.gathered.story(told.what, narrative=told.text)

    def heading_story(self, section: Section, narrative: list[str], scenarios: list[str]) -> None:
        """A story, or a persona, with a heading of its own."""
        given = [text for text in scenarios if re.search(r"\b(given|when|then)\b", text, re.IGNORECASE)]
        narrative += [text for text in scenarios if text not in given]
        found = _STORY_HEADING.fullmatch(plain.bare(section.title))
        title = found["title"] if found is not None and found["title"] else plain.bare(section.title)
        for text in narrative:
            if (told := user_stories.read(text)) is not None and told.why:
                self.gathered.objective(told.why)
        number = self.gathered.story(title, narrative="\n\n".join(narrative), scenarios=given)
        if found is not None and found["id"] != str(number):
            self.gathered.trace(f"story {found['id']}", f"User Story {number}", section.line)

    # -- requirements

    def requirements(self, section: Section, *, own: bool) -> None:
        feature = (
            "" if own else re.sub(r"^feature\s*\d*\s*[:–—-]\s*", "", plain.bare(section.title), flags=re.IGNORECASE)
        )
        binds = self.meanings[-1][2]
        if binds == "MUST":
            binds = next((held[2] for held in reversed(self.meanings) if held[2] != "MUST"), "MUST")

        def item(one: Item) -> bool:
            return self.requirement(one.whole, one.line, feature, binds)

        def paragraph(block: Block) -> bool:
            text = " ".join(line for _, line in documents.paragraph_lines(block))
            if text.endswith(":") and not plain.binds(text):
                self.gathered.lost(block.first, text, "it only announces what follows", "leave it out")
                return True
            if (told := user_stories.read(text)) is not None:
                self.tell(told)
                return True
            return plain.binds(text) and self.requirement(text, block.first, feature, binds)

        documents.consume(
            section,
            self.gathered,
            why=f"it does not say what must be, below {section.title!r}",
            remedy=_WRITE["requirements"],
            paragraph=paragraph,
            list_item=item,
            table=self.table,
        )

    def requirement(self, text: str, line: int, feature: str, binds: Strength, theirs: str = "") -> bool:
        found = _ID.fullmatch(text)
        if found is not None:
            theirs, text = found["id"], found["text"]
        text = plain.bare(text).strip()
        if not text:
            return False
        if (criterion := ears.read(text)) is not None and criterion.clauses:
            text = criterion.requirement()
        elif not plain.binds(text):
            text = _bound(text, binds)
        if feature and feature.casefold() not in text.casefold():
            text = f"{feature}: {text}"
        self.gathered.require(text, theirs=theirs, line=line, wanted=theirs)
        return True

    def table(self, block: Block) -> bool:
        """A table with a column of requirements (or of metrics), perhaps with their numbers and priorities."""
        head = self.document.head(block)
        what = self.meanings[-1][1]
        if what == "success":
            for line, cells in self.document.row_lines(block):
                told = [f"{name}: {cell}" for name, cell in zip(head, cells, strict=False) if cell]
                if told:
                    self.gathered.criterion("; ".join(told), line=line)
            return True
        column = next((n for word in _REQUIREMENT_COLUMNS for n, name in enumerate(head) if word in name), None)
        if column is None:
            return False
        of_id = next((n for n, name in enumerate(head) if name in ("id", "#", "no", "no.", "number", "ref")), None)
        of_priority = next((n for n, name in enumerate(head) if "priority" in name or name == "moscow"), None)
        for line, cells in self.document.row_lines(block):
            self.row(line, cells, head, (column, of_id, of_priority))
        return True

    def row(self, line: int, cells: list[str], head: list[str], columns: tuple[int, int | None, int | None]) -> None:
        def cell(column: int | None) -> str:
            return cells[column] if column is not None and column < len(cells) else ""

        column, of_id, of_priority = columns
        binds = strength(cell(of_priority)) if of_priority is not None else self.meanings[-1][2]
        if not self.requirement(cell(column), line, "", binds, cell(of_id)):
            self.gathered.lost(line, " | ".join(cells), "the row says nothing", _WRITE["requirements"])
            return
        for n, text in enumerate(cells):
            if text and n not in columns:
                name = head[n] if n < len(head) and head[n] else f"column {n + 1}"
                self.gathered.lost(
                    line, f"{name}: {text}", "requirements have no such column", "write it into the text"
                )


def _bound(text: str, binds: Strength) -> str:
    """`Users can sort` as `Users MUST be able to sort`; anything else as what the system offers."""
    if (found := _CAN.search(text)) is not None:
        return f"{text[: found.start()]}{found['who']} {binds} be able to {text[found.end() :]}"
    return f"System {binds} offer: {text}"
