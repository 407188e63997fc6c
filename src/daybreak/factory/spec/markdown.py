"""Markdown with front matter: from the text to the parts of a specification."""

from __future__ import annotations

import re
from collections.abc import Callable

from daybreak.factory.spec import codespans, questions, rules, shape, yaml_nodes
from daybreak.factory.spec.blocks import Block, Part, cells, list_items, parts
from daybreak.factory.spec.data import KINDS
from daybreak.factory.spec.draft import Draft, DraftEntity, DraftExample, DraftRow, Numbered
from daybreak.factory.spec.file import FrontMatter
from daybreak.factory.spec.located import Scalar
from daybreak.factory.spec.model import Story
from daybreak.factory.spec.numbers import CRITERION, REQUIREMENT
from daybreak.factory.spec.problems import Problems, cut, listed, meant, nearest
from daybreak.factory.spec.tail import LABELS, Tail

SECTIONS = ("Objectives", "User Stories", "Requirements", "Success Criteria", "Out of Scope", "Acceptance")
_OTHER_NAMES = {
    "user scenarios & testing": "user stories",
    "user scenarios and testing": "user stories",
    "acceptance examples": "acceptance",
}
_SUBSECTIONS = ("Functional Requirements", "Key Entities")
_TABLE_HEAD = ["field", "type", "rules"]
_FENCE = "---"
_STORY = re.compile(
    r"User Story\s+(?P<number>\d+)\s*[-–—:]\s*(?P<title>.*?)\s*(?:\(\s*Priority:\s*(?P<priority>[^()]+?)\s*\))?",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\*\*(?P<id>[A-Z]{2}-\d+)\*\*\s*:\s*(?P<text>.*)", re.DOTALL)


def read(text: str, problems: Problems) -> Draft:
    """The draft of a whole file whose text is clean; everything that is wrong becomes a problem."""
    return _Reader(text, problems).draft


class _Reader:
    def __init__(self, text: str, problems: Problems) -> None:
        self.problems = problems
        self.draft = Draft()
        body = self.front_matter(text)
        self.lines = body.split("\n")
        found, tokens = parts(body, problems)
        for token in tokens:
            if token.type in ("inline", "html_block"):
                line = (token.map or [0])[0] + 1
                self.draft.clarifications += questions.find(token.content, line, problems)
        self.draft.clarifications.sort(key=lambda question: question.line)
        self.blank_comments(found)
        if body.strip():
            self.document(found)
        else:
            self.problems.add(
                text.rstrip().count("\n") + 1,
                "S114",
                "there is no content after the front matter",
                "write # Title and the sections below it",
            )

    # -- front matter

    def front_matter(self, text: str) -> str:
        """The text with blank lines for its front matter, which goes into the draft."""
        lines = text.split("\n")
        start = next(n for n, line in enumerate(lines) if line.strip())
        if lines[start].rstrip() != _FENCE:
            self.problems.add(
                1, "S120", "the front matter is missing", "begin the file with ---, name: NAME and --- on three lines"
            )
            return text
        if start > 0:
            self.problems.add(
                1, "S120", "the front matter does not begin on the first line", "remove the empty lines above ---"
            )
        end = next((n for n, line in enumerate(lines) if n > start and line.rstrip() == _FENCE), None)
        if end is not None:
            self.header("\n".join(lines[start + 1 : end]), start + 1)
            return "\n".join([""] * (end + 1) + lines[end + 1 :])
        self.problems.add(
            start + 1, "S120", "the front matter is not closed", "write --- on a line of its own after it"
        )
        # It ends at the title all the same, so that the rest is looked at.
        title = next((n for n, line in enumerate(lines) if line.startswith("# ")), len(lines))
        self.header("\n".join(lines[start + 1 : title]), start + 1)
        return "\n".join([""] * title + lines[title:])

    def header(self, text: str, lines_before: int) -> None:
        told = len(self.problems.found)
        node = yaml_nodes.read(text, self.problems, lines_before=lines_before)
        if len(self.problems.found) > told:
            return
        if node is None:
            self.problems.add(
                1, "S123", "the front matter is empty: name is missing", "write name: and its value between the ---"
            )
            return
        self.draft.header = shape.fields(node, FrontMatter, "the front matter", self.problems)
        self.draft.clarifications += questions.find_in(node, self.problems)

    # -- sections

    def blank_comments(self, found: list[Part]) -> None:
        """Blank lines where only comments or code stand, for what is read line by line."""
        self.plain_lines = list(self.lines)
        for part in found:
            for block in part.blocks:
                if block.kind == "fence" or (block.kind == "html_block" and not block.text):
                    for line in range(block.first, block.last):
                        self.plain_lines[line - 1] = ""

    def document(self, found: list[Part]) -> None:
        self.unread(found[0].blocks, "what stands before the title")
        titles = [part for part in found if part.level == 1]
        if not titles or not titles[0].title.text:
            line = titles[0].first if titles else next(n for n, text in enumerate(self.lines, 1) if text.strip())
            self.problems.add(line, "S130", "there is no title", "write # and the title, below the front matter")
        for part in titles[1:]:
            self.problems.add(
                part.first,
                "S130",
                f"a second title: {cut(part.title.text)}",
                "keep one # heading, write ## for sections",
            )
        if titles and titles[0].title.text:
            self.draft.title = titles[0].title
        if titles:
            self.draft.summary = self.prose(titles[0].blocks)
        self.sections([part for part in found if part.level > 1 or part in titles[1:]])
        if self.draft.objectives_line == 1:
            self.draft.objectives_line = titles[0].first if titles else 1
        if self.draft.requirements_line == 1:
            self.draft.requirements_line = titles[0].first if titles else 1

    def sections(self, found: list[Part]) -> None:
        readers: dict[str, Callable[[Part, list[Part]], None]] = {
            "objectives": self.objectives,
            "user stories": self.stories,
            "requirements": self.requirements,
            "functional requirements": self.functional,
            "key entities": self.key_entities,
            "success criteria": self.criteria,
            "out of scope": self.out_of_scope,
            "acceptance": self.acceptance,
        }
        seen: dict[str, int] = {}
        for part, below in _grouped(found, 2):
            key = _key(part)
            if part.level != 2 or key not in readers:
                self.unknown(part)
                for other in below:
                    self.unknown(other)
                continue
            if key in seen:
                self.problems.add(
                    part.first, "S135", f"the section {part.title.text} is already on line {seen[key]}", "join the two"
                )
            seen.setdefault(key, part.first)
            readers[key](part, below)
            if key != "acceptance":
                self.stray_examples([part, *below])

    def unknown(self, part: Part) -> None:
        if part.level == 1:
            return
        name, known = part.title.text, (*SECTIONS, *_SUBSECTIONS)
        remedy = f"the sections are {listed(SECTIONS)}; rename it, or leave it as a note for people"
        near = nearest(name, known)
        if near is not None:
            marks = "##" if near in SECTIONS else "###"
            remedy = f"write {marks} {near}"
            if near.casefold() == _key(part) and near == "Key Entities":
                remedy = "write ### Key Entities below ## Requirements"
        self.problems.warn(
            part.first, "S180", f"the heading {cut(name)!r} is not known; what stands below it is not read", remedy
        )

    def unread(self, blocks: list[Block], what: str, remedy: str = "move it to where it is read, or remove it") -> None:
        for block in blocks:
            if block.text and block.kind != "hr" and not _is_example(block):
                self.problems.warn(block.first, "S181", f"{what} is not read: {cut(block.text, 40)!r}", remedy)

    def prose(self, blocks: list[Block]) -> str:
        """The blocks as they stand in the file, without comments."""
        kept = []
        for block in blocks:
            if block.text and block.kind != "hr":
                text = "\n".join(self.lines[block.first - 1 : block.last - 1])
                kept.append(codespans.visible(text).strip())
        return "\n\n".join(kept)

    def list_texts(self, blocks: list[Block], what: str) -> list[str]:
        found = []
        for block in blocks:
            if block.is_list:
                for item in list_items(block):
                    if item.text:
                        found.append(item.text)
                    else:
                        self.problems.add(
                            item.line, "S133", f"an item of {what} is empty", "remove it, or write its text"
                        )
            elif block.text:
                self.unread([block], f"a text among the {what}", "only list items are read: begin the line with `- `")
        return found

    def objectives(self, part: Part, below: list[Part]) -> None:
        if self.draft.objectives_line == 1:
            self.draft.objectives_line = part.first
        self.draft.objectives += self.list_texts(part.blocks, "objectives")
        for other in below:
            self.unknown(other)

    def out_of_scope(self, part: Part, below: list[Part]) -> None:
        self.draft.out_of_scope += self.list_texts(part.blocks, "things out of scope")
        for other in below:
            self.unknown(other)

    # -- stories

    def stories(self, part: Part, below: list[Part]) -> None:
        self.unread(
            part.blocks, "a text among the user stories", "write ### User Story 1 - title (Priority: P1) above it"
        )
        for other, deeper in _grouped(below, 3):
            found = _STORY.fullmatch(other.title.text)
            if found is None or not found["title"]:
                if re.match(r"(user\s+)?story\b", other.title.text, re.IGNORECASE):
                    self.problems.add(
                        other.first,
                        "S137",
                        f"the heading {cut(other.title.text)!r} is no user story",
                        "write ### User Story 1 - title (Priority: P1)",
                    )
                else:
                    self.unknown(other)
                continue
            for part_below in deeper:
                self.unknown(part_below)
            scenarios = [item for block in other.blocks if block.is_list for item in list_items(block)]
            self.draft.stories.append(
                Story(
                    title=found["title"],
                    priority=found["priority"] or "",
                    narrative=self.prose([block for block in other.blocks if not block.is_list]),
                    scenarios=_scenarios([item.text for item in scenarios]),
                )
            )

    # -- requirements

    def requirements(self, part: Part, below: list[Part]) -> None:
        self.draft.requirements_line = part.first
        if any(block.is_list for block in part.blocks):
            self.numbered(part.blocks, REQUIREMENT, self.draft.requirements)
        else:
            self.unread(part.blocks, "a text among the requirements", "write it as - **FR-001**: System MUST …")
        for other, deeper in _grouped(below, 3):
            match _key(other) if other.level == 3 else "":
                case "functional requirements":
                    self.functional(other, deeper)
                case "key entities":
                    self.key_entities(other, deeper)
                case _:
                    for unknown in (other, *deeper):
                        self.unknown(unknown)

    def functional(self, part: Part, below: list[Part]) -> None:
        if self.draft.requirements_line == 1:
            self.draft.requirements_line = part.first
        self.numbered(part.blocks, REQUIREMENT, self.draft.requirements)
        for other in below:
            self.unknown(other)

    def criteria(self, part: Part, below: list[Part]) -> None:
        self.numbered(part.blocks, CRITERION, self.draft.criteria)
        for other in below:
            if _key(other) == "measurable outcomes":
                self.numbered(other.blocks, CRITERION, self.draft.criteria)
            else:
                self.unknown(other)

    def numbered(self, blocks: list[Block], form: re.Pattern[str], into: list[Numbered]) -> None:
        example = "- **FR-001**: System MUST …" if form is REQUIREMENT else "- **SC-001**: …"
        prefix = example[4:6]
        for block in blocks:
            if block.is_list:
                for item in list_items(block):
                    if (line := self.numbered_line(item, form, example)) is not None:
                        into.append(line)
            elif re.search(rf"\b{prefix}-?\d", block.text):
                self.malformed(Scalar(block.text, block.first), example)
            else:
                self.unread([block], "a text among the numbered lines", f"write it as {example}")

    def numbered_line(self, item: Scalar, form: re.Pattern[str], example: str) -> Numbered | None:
        found = _NUMBERED.fullmatch(item.text)
        if found is None or form.fullmatch(found["id"]) is None or not found["text"].strip():
            self.malformed(item, example)
            return None
        if inner := re.search(r"\*\*([A-Z]{2}-\d+)\*\*", codespans.masked(found["text"])):
            self.malformed(Scalar(f"{inner[1]} inside {found['id']}", item.line), example)
        return Numbered(Scalar(found["id"], item.line), Scalar(found["text"].strip(), item.line))

    def malformed(self, item: Scalar, example: str) -> None:
        if example[4:6] == "FR":
            self.draft.requirements_complete = False
        message = f"this line is malformed: {cut(item.text)!r}" if item.text else "this line is empty"
        self.problems.add(item.line, "S133", message, f"write {example}, one to each list item")

    # -- key entities

    def key_entities(self, part: Part, below: list[Part]) -> None:
        self.unread(
            part.blocks, "a text among the key entities", "write #### Name and a table | field | type | rules |"
        )
        level = min((other.level for other in below), default=4)
        for other, deeper in _grouped(below, level):
            self.draft.entities.append(self.entity(other))
            for unknown in deeper:
                self.unknown(unknown)

    def entity(self, part: Part) -> DraftEntity:
        entity = DraftEntity(name=part.title)
        name = cut(part.title.text)
        tables = [block for block in part.blocks if block.kind == "table"]
        if not tables:
            entity.complete = False
            self.no_table(part, name)
            entity.about = self.prose([block for block in part.blocks if block.kind == "paragraph"])
            return entity
        for block in tables[1:]:
            self.problems.add(
                block.first,
                "S140",
                f"{name} has a second table",
                "keep one table, without blank lines, for each entity",
            )
        table = tables[0]
        entity.about = self.prose([block for block in part.blocks if block.first < table.first])
        self.table(table, entity, name)
        spare = {line for block in tables[1:] for line in range(block.first, block.last)}
        Tail(entity, self.problems).read(
            [(n, "" if n in spare else self.plain_lines[n - 1]) for n in range(table.last, part.last)]
        )
        return entity

    def no_table(self, part: Part, name: str) -> None:
        pipes = next((block.first for block in part.blocks if "|" in block.text), None)
        if pipes is None:
            self.problems.add(
                part.first,
                "S140",
                f"{name} has no table",
                "write | field | type | rules |, then |---|---|---|, then its rows",
            )
        else:
            self.problems.add(
                pipes,
                "S140",
                f"the table of {name} cannot be read",
                "write | field | type | rules | at the left margin, |---|---|---| below it, no blank lines",
            )

    def table(self, table: Block, entity: DraftEntity, name: str) -> None:
        head = [codespans.unwrap(cell.strip("*")).casefold() for cell in self.row_cells(table.first)]
        if head != _TABLE_HEAD:
            self.problems.add(
                table.first,
                "S140",
                f"the table of {name} has the columns {listed(head)}",
                "write | field | type | rules |",
            )
            if len(head) != len(_TABLE_HEAD):
                entity.complete = False
                return
        for line in range(table.first + 2, table.last):
            found = self.row_cells(line)
            if len(found) == len(_TABLE_HEAD):
                field, type_, rule = found
                entity.rows.append(
                    DraftRow(Scalar(field, line), Scalar(type_, line), rules.split(questions.without(rule)), line)
                )
                continue
            entity.complete = False
            remedy = (
                "write three cells, | field | type | rules |, the last one may be empty; a pipe inside a cell is \\|"
            )
            if any(found and found[0].startswith(f"{label}:") for label in LABELS):
                remedy = "leave a blank line between the table and what follows"
            count = "1 cell" if len(found) == 1 else f"{len(found)} cells"
            self.problems.add(line, "S141", f"this row of {name} has {count} instead of three", remedy)

    def row_cells(self, line: int) -> list[str]:
        return cells(codespans.visible(self.lines[line - 1]))

    # -- acceptance

    def acceptance(self, part: Part, below: list[Part]) -> None:
        for other in (part, *below):
            title = None if other is part else other.title
            for block in other.blocks:
                self.example(block, title)

    def example(self, block: Block, title: Scalar | None) -> None:
        if block.kind == "code_block":
            self.problems.add(
                block.first, "S162", "indented code is not run", "write a fenced block: ```console, ```http or ```files"
            )
            return
        if block.kind != "fence":
            self.nested_examples(block)
            return
        token = block.tokens[0]
        words = token.info.split()
        kind = next((kind for kind in KINDS if words and words[0] == kind), None)
        if kind is None:
            language = words[0] if words else ""
            message = f"a block of {cut(language)!r} is not run" if language else "this block does not say what it is"
            self.problems.add(
                block.first, "S162", message, meant(language, KINDS, "write ```console, ```http or ```files above it")
            )
            return
        if len(words) > 1:
            self.problems.warn(
                block.first, "S184", f"{cut(' '.join(words[1:]))!r} has no effect", f"write ```{kind} alone"
            )
        body = Scalar(token.content, block.first, first_line=block.first + 1, by_line=True)
        self.draft.examples.append(DraftExample(kind, title, body, block.first, block.last))

    def nested_examples(self, block: Block) -> None:
        for token in block.tokens:
            if token.type in ("fence", "code_block") and token.map:
                self.problems.add(
                    token.map[0] + 1, "S162", "a block inside a list or quote is not run", "move it to the left margin"
                )

    def stray_examples(self, found: list[Part]) -> None:
        for part in found:
            for block in part.blocks:
                if _is_example(block):
                    self.problems.warn(
                        block.first,
                        "S181",
                        "this block is not run: it does not stand under ## Acceptance",
                        "move it there",
                    )


def _is_example(block: Block) -> bool:
    return block.kind == "fence" and block.tokens[0].info.split()[:1] in [[kind] for kind in KINDS]


def _key(part: Part) -> str:
    """The heading as it is looked up; spec-kit's `*(mandatory)*` is taken off."""
    name = re.sub(r"\s*\*?\((?:mandatory|optional|include if[^()]*)\)\*?\s*$", "", part.title.text, flags=re.IGNORECASE)
    name = " ".join(name.casefold().split())
    return _OTHER_NAMES.get(name, name)


def _grouped(found: list[Part], level: int) -> list[tuple[Part, list[Part]]]:
    """Each part of that level (or higher up) with the deeper ones that follow it; leading deeper ones stand alone."""
    groups: list[tuple[Part, list[Part]]] = []
    for part in found:
        if part.level <= level or not groups:
            groups.append((part, []))
        else:
            groups[-1][1].append(part)
    return groups


def _scenarios(items: list[str]) -> tuple[str, ...]:
    """Items that begin with When, Then, And or But go on with the one before."""
    found: list[str] = []
    for text in items:
        goes_on = re.match(r"[*_]*(When|Then|And|But)\b", text, re.IGNORECASE)
        if goes_on and found and not re.search(r"\bThen\b.*\bThen\b", f"{found[-1]} {text}", re.IGNORECASE):
            found[-1] = f"{found[-1].rstrip(',')}, {text}"
        elif text:
            found.append(text)
    return tuple(found)
