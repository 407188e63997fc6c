"""GitHub spec-kit's `spec.md`: user stories, edge cases, numbered requirements, key entities, success criteria."""

from __future__ import annotations

import re

from daybreak.agents.entities import Entity, Field, Type
from daybreak.factory.imports import documents, naming, plain, user_stories
from daybreak.factory.imports.documents import Item, Section
from daybreak.factory.imports.gathered import Gathered
from daybreak.factory.spec.blocks import Block
from daybreak.factory.spec.problems import cut

_TITLE = re.compile(r"^(?:feature\s+)?(?:specification|spec)\s*[:–—-]\s*", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\[[^\]]*\]")
_LABEL = re.compile(r"\*\*(?P<label>[^*]{1,60}?)\s*:?\*\*\s*:?\s*(?P<text>.*)", re.DOTALL)
_STORY = re.compile(
    r"(?:user\s+)?story\s+(?P<number>\d+)\s*[-–—:.]\s*(?P<title>.*?)\s*(?:\(\s*priority:\s*(?P<priority>[^()]+?)\s*\))?",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\**(?P<id>[A-Z]{2,6}-\d{1,6}[a-z]?)\**\s*:?\**\s*:?\s*(?P<text>.+)", re.DOTALL)
_ENTITY = re.compile(r"\*\*(?P<name>[^*]{1,60}?):?\*\*\s*[:–—-]?\s*(?P<about>.*)", re.DOTALL)
_FIELDS = (
    re.compile(r"\b(?:key\s+)?(?:attributes|fields|properties)(?:\s+(?:are|include))?\s*:?\s+(?P<list>[^.;]+)", re.I),
    re.compile(r"\((?P<list>[^()]+,[^()]+)\)"),
    re.compile(r"\b(?:with|has|have|contains|includes|including)\s+(?P<list>[^.;]*(?:,|\band\b)[^.;]*)", re.I),
)
ABOUT_MAX = 1000
"""Of a text about an entity, in characters: fields are named at its beginning, or nowhere."""
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,40}", re.ASCII)
_QA = re.compile(r"Q:\s*(?P<question>.+?)\s*(?:→|->|=>)\s*A:\s*(?P<answer>.+)", re.DOTALL)
_PROCESS = (
    "review & acceptance checklist",
    "execution status",
    "execution flow",
    "quick guidelines",
    "for ai generation",
)
_SCENARIOS = frozenset({"acceptance scenarios", "acceptance criteria", "scenarios"})
_DECIDE = "decide it, and write the answer as - **FR-001**: System MUST …"


def read(text: str, name: str, gathered: Gathered) -> None:
    """Everything of the file into `gathered`."""
    document = documents.read(text, name, gathered)
    gathered.taken = {int(n) for n in re.findall(r"\bFR-(\d{1,6})\b", text, re.ASCII)}
    reader = _Reader(gathered, document)
    for section in document.sections:
        reader.section(section)
    reader.end()


class _Reader:
    def __init__(self, gathered: Gathered, document: documents.Document) -> None:
        self.gathered, self.document = gathered, document
        self.place = ""
        """The `##` section: `stories`, `requirements` …"""
        self.input = ""

    def end(self) -> None:
        if not self.gathered.title:
            self.gathered.title = self.document.front_title
        if not self.gathered.objectives and self.input:
            self.gathered.objective(self.input)

    def section(self, section: Section) -> None:
        key = section.key
        if section.level == 1 and not self.gathered.title:
            title = _TITLE.sub("", section.title)
            if not _PLACEHOLDER.fullmatch(title):
                self.gathered.title = title
            return self.head(section)
        if section.level == 0:
            return documents.lose(section, self.gathered, "it stands above the title", "write it below the title")
        story = _STORY.fullmatch(section.title)
        if story is not None and story["title"]:
            return self.story(section, story["title"], story["priority"] or "", f"User Story {story['number']}")
        if any(key.startswith(word) for word in _PROCESS):
            self.place = "process"
        elif section.level <= 2:
            self.place = _place(key)
        self.below(section, key)
        return None

    def below(self, section: Section, key: str) -> None:
        place = _place(key) or self.place
        match place:
            case "stories" if key == "primary user story":
                self.story(section, "Primary user story", "", "Primary User Story")
            case "scenarios" if self.gathered.stories:
                self.more_scenarios(section)
            case "edge cases":
                self.each(section, self.edge_case, "no edge case", "write it as a list item")
            case "requirements":
                self.each(section, self.requirement, "no requirement", "write - **FR-001**: System MUST …")
            case "entities":
                self.each(section, self.entity, "no entity", "write #### Name and a table | field | type | rules |")
            case "success":
                self.each(section, self.criterion, "no success criterion", "write - **SC-001**: …")
            case "scope":
                self.each(section, self.scope, "no list item", "write it as - … below ## Out of Scope")
            case "assumptions":
                self.kept(section, "Assumptions" if "assum" in key else section.title)
            case "clarifications":
                self.each(
                    section, self.clarified, "no question with its answer", "write the answer into the requirement"
                )
            case "process":
                documents.lose(section, self.gathered, "spec-kit's notes about its own process", "leave it out")
            case "stories" if not any(block.text for block in section.blocks):
                pass
            case _:
                if section.blocks or not place:
                    documents.lose(
                        section, self.gathered, "no section of a specification", "make it requirements, or leave it out"
                    )

    def head(self, section: Section) -> None:
        """The paragraph of `**Feature Branch**: …` lines, and the summary."""

        def paragraph(block: Block) -> bool:
            plain_lines = []
            for line, text in documents.paragraph_lines(block):
                found = _LABEL.fullmatch(text)
                if found is None:
                    plain_lines.append(text)
                elif found["label"].casefold() == "input":
                    told = found["text"].removeprefix("User description:").strip().strip('"“”')
                    self.input = "" if told == "$ARGUMENTS" else told
                    self.gathered.about(self.input)
                elif found["label"].casefold() == "feature branch":
                    self.gathered.names.append(found["text"].strip("` "))
                    self.gathered.lost(line, text, "branches are made for each task", "leave it out")
                else:
                    self.gathered.lost(line, text, "bookkeeping, which the ledger does", "leave it out")
            self.gathered.about("\n".join(plain_lines))
            return True

        documents.consume(
            section,
            self.gathered,
            why="it is no paragraph",
            remedy="write it as text below the title",
            paragraph=paragraph,
        )

    def each(self, section: Section, take: documents.TakeItem, why: str, remedy: str) -> None:
        documents.consume(
            section,
            self.gathered,
            why=why,
            remedy=remedy,
            list_item=take,
            paragraph=lambda block: _is_lead_in(block, self.gathered),
        )

    # -- stories

    def story(self, section: Section, title: str, priority: str, theirs: str) -> None:
        narrative: list[str] = []
        scenarios: list[str] = []
        mode = "scenarios"

        def paragraph(block: Block) -> bool:
            nonlocal mode
            text = "\n".join(line for _, line in documents.paragraph_lines(block))
            found = _LABEL.fullmatch(text)
            label = "" if found is None else found["label"].casefold()
            if found is not None and not found["text"]:
                mode = "scenarios" if label in _SCENARIOS else _place(label)
                return mode != ""
            narrative.append(" ".join(text.split()))
            if (told := user_stories.read(text)) is not None and told.why:
                self.gathered.objective(told.why)
            return True

        def item(one: Item) -> bool:
            match mode:
                case "scenarios":
                    scenarios.append(one.whole)
                case "requirements":
                    return self.requirement(one)
                case "edge cases":
                    return self.edge_case(one)
                case _:
                    return False
            return True

        documents.consume(
            section,
            self.gathered,
            why=f"no part of the story {cut(title, 40)!r}",
            remedy="write it into the story's text",
            paragraph=paragraph,
            list_item=item,
        )
        number = self.gathered.story(title, narrative="\n\n".join(narrative), scenarios=scenarios, priority=priority)
        if theirs != f"User Story {number}":
            self.gathered.trace(theirs, f"User Story {number}", section.line)

    def more_scenarios(self, section: Section) -> None:
        """The older template has the scenarios under a heading of their own."""
        last = self.gathered.stories[-1]
        found: list[str] = []
        self.each(section, documents.keep(found), "no scenario", "write Given …, When …, Then …")
        self.gathered.stories[-1] = last.model_copy(update={"scenarios": (*last.scenarios, *plain.scenarios(found))})

    def edge_case(self, one: Item) -> bool:
        text = plain.bare(one.whole)
        if not text or _PLACEHOLDER.fullmatch(text):
            return False
        if plain.binds(text) and not text.endswith("?"):
            self.gathered.require(text, theirs=f"edge case, line {one.line}", line=one.line)
            return True
        self.gathered.ask(text)
        return True

    # -- requirements and entities

    def requirement(self, one: Item) -> bool:
        found = _NUMBERED.fullmatch(one.whole)
        if found is None:
            if not plain.binds(one.whole):
                return False
            self.gathered.require(one.whole, theirs=f"line {one.line}", line=one.line)
            return True
        self.gathered.require(found["text"], theirs=found["id"], line=one.line, wanted=found["id"])
        return True

    def criterion(self, one: Item) -> bool:
        found = _NUMBERED.fullmatch(one.whole)
        text, theirs = (one.whole, "") if found is None else (found["text"], found["id"])
        if text:
            self.gathered.criterion(text, theirs=theirs, line=one.line)
        return bool(text)

    def entity(self, one: Item) -> bool:
        """An entity with the fields that its text names; what types they are, a person must say."""
        found = _ENTITY.fullmatch(one.whole)
        if found is None or _PLACEHOLDER.fullmatch(found["name"]):
            return False
        name, about = naming.entity(found["name"]), found["about"].strip()
        if not name or any(entity.name == name for entity in self.gathered.entities):
            return False
        fields, strange = _named_fields(about)
        if not fields:
            self.gathered.lost(
                one.line,
                one.whole,
                f"it does not say which fields {name} has",
                f"write #### {name} and a table | field | type | rules | under ### Key Entities",
            )
            return True
        for word in strange:
            self.gathered.lost(one.line, word, f"no name of a field of {name}", "add a row to the table, if it is one")
        question = plain.question(f"of which types are the fields of {name}, and which of them are required or unique?")
        self.gathered.entities.append(
            Entity(
                name=name,
                about="\n\n".join(filter(None, [plain.item(about), question])),
                fields=tuple(Field(name=field, type=Type(name="text")) for field in fields),
            )
        )
        return True

    def scope(self, one: Item) -> bool:
        self.gathered.scope_out(one.whole)
        return bool(one.whole)

    def kept(self, section: Section, label: str) -> None:
        """Texts that belong nowhere else and that workers should know stand in the summary."""
        found: list[str] = []
        self.each(section, documents.keep(found), "no list item", "write it into the summary")
        self.gathered.about_list(plain.item(label).rstrip(":"), found)

    def clarified(self, one: Item) -> bool:
        found = _QA.fullmatch(plain.bare(one.whole))
        if found is None:
            return False
        self.gathered.about(f"Decided: {found['question']} {found['answer']}")
        return True


def _place(key: str) -> str:
    if key in ("user scenarios & testing", "user scenarios and testing", "user stories", "primary user story"):
        return "stories"
    if key in _SCENARIOS:
        return "scenarios"
    if key in ("requirements", "functional requirements", "non-functional requirements"):
        return "requirements"
    if key in ("success criteria", "measurable outcomes", "success metrics"):
        return "success"
    if key in ("out of scope", "non-goals", "non goals"):
        return "scope"
    if key in ("edge cases", "key entities", "entities", "clarifications"):
        return "entities" if "entities" in key else key
    if re.match(r"session \d{4}-\d{2}-\d{2}$", key):
        return "clarifications"
    return "assumptions" if re.match(r"(assumptions|dependencies|constraints)\b", key) else ""


def _is_lead_in(block: Block, gathered: Gathered) -> bool:
    """A line that only announces the list below it, such as spec-kit's example of unclear requirements."""
    text = " ".join(line for _, line in documents.paragraph_lines(block))
    if re.fullmatch(r"[*_]?example of marking unclear requirements:?[*_]?", text, re.IGNORECASE):
        gathered.lost(block.first, text, "a line of spec-kit's template", "leave it out")
        return True
    return False


def _named_fields(about: str) -> tuple[list[str], list[str]]:
    """The names of fields in a text about an entity, and what stands among them and is no name."""
    for form in _FIELDS:
        if found := form.search(about[:ABOUT_MAX]):
            break
    else:
        return [], []
    names: list[str] = []
    strange: list[str] = []
    for part in re.split(r",|\band\b|\bor\b", found["list"]):
        word = re.sub(
            r"^(?:an?|the|its|their|optional|unique|required)\s+", "", part.strip(" `*_"), flags=re.IGNORECASE
        )
        name = naming.field(word) if _FIELD.fullmatch(word) and len(word.split()) <= 3 else ""
        if name and name not in names:
            names.append(name)
        elif word and not name:
            strange.append(word)
    return names, strange
