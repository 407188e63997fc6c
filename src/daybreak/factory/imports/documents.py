"""Markdown of other tools as headings, paragraphs, lists and tables, with the lines where they stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from daybreak.factory.imports.gathered import Gathered
from daybreak.factory.imports.plain import bare
from daybreak.factory.imports.refusals import ImportBomb
from daybreak.factory.spec import codespans
from daybreak.factory.spec.blocks import Block, cells, parts
from daybreak.factory.spec.problems import Problems

_FRONT_TITLE = re.compile(r"title:\s*[\"']?(.+?)[\"']?\s*")
_DECORATION = re.compile(r"\s*[*_]*\((?:mandatory|optional|include if[^()]*|if applicable)\)[*_]*\s*$", re.IGNORECASE)
_BOX = re.compile(r"^\[[ xX]\]\s+")
_NUMBERING = re.compile(r"^(?:\d+(?:\.\d+)*[.):]?|[IVX]+\.)\s+(?=\S)")


@dataclass(slots=True)
class Item:
    """One item of a list. `number` is the one written; what is nested in it stands in `children`."""

    text: str
    line: int
    number: str = ""
    children: list[Item] = field(default_factory=list)

    @property
    def whole(self) -> str:
        """The item with what is nested in it, on one line: `sorting: by title; by date`."""
        inner = "; ".join(child.whole for child in self.children)
        if not inner or not self.text:
            return self.text or inner
        return f"{self.text} {inner}" if self.text.endswith((":", ",", ";")) else f"{self.text}: {inner}"


@dataclass(slots=True)
class Section:
    """A heading with the blocks below it, up to the next heading; level 0 is what stands before the first."""

    level: int
    title: str
    line: int
    blocks: list[Block]

    @property
    def key(self) -> str:
        """The heading as it is looked up: without numbers, decoration and signs in front."""
        return key(self.title)


TakeItem = Callable[[Item], bool]
TakeBlock = Callable[[Block], bool]
"""Readers of a part; False: not understood."""


def key(title: str) -> str:
    name = _DECORATION.sub("", bare(title).strip("*_ "))
    name = _NUMBERING.sub("", re.sub(r"^[^\w\[(]+", "", name))
    return " ".join(name.rstrip(":").casefold().replace("’", "'").split())


@dataclass(slots=True)
class Document:
    sections: list[Section]
    lines: list[str]
    front_title: str = ""

    def row_lines(self, block: Block) -> Iterator[tuple[int, list[str]]]:
        """The rows of a table below its head, as (line, cells)."""
        for line in range(block.first + 2, block.last):
            yield line, [bare(cell) for cell in cells(codespans.visible(self.lines[line - 1]))]

    def head(self, block: Block) -> list[str]:
        return [key(cell) for cell in cells(codespans.visible(self.lines[block.first - 1]))]


def read(text: str, name: str, gathered: Gathered) -> Document:
    """The document; its front matter and what hides the rest are listed. Raises ImportBomb."""
    lines = text.split("\n")
    title = _front_matter(lines, gathered)
    problems = Problems(name)
    found, _ = parts("\n".join(lines), problems)
    for problem in problems.sorted():
        if problem.code == "S119":
            raise ImportBomb(f"{name}:{problem.line}: {problem.message}", hint=problem.remedy)
        gathered.lost(problem.line, lines[problem.line - 1], problem.message, problem.remedy)
    sections = [Section(part.level, part.title.text, part.first, part.blocks) for part in found]
    return Document(sections, lines, title)


def _front_matter(lines: list[str], gathered: Gathered) -> str:
    """Blank its lines and list them; the title in it, or an empty text."""
    if lines[0].rstrip() != "---":
        return ""
    end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), None)
    if end is None:
        return ""
    title = ""
    for number, line in enumerate(lines[1:end], 2):
        if found := _FRONT_TITLE.fullmatch(line):
            title = found[1]
        elif line.strip() and not line.lstrip().startswith("#"):
            gathered.lost(
                number, line.strip(), "front matter of another tool", "write what a build needs into our front matter"
            )
    lines[: end + 1] = [""] * (end + 1)
    return title


def paragraph_lines(block: Block) -> list[tuple[int, str]]:
    """The lines of a paragraph, without comments and trailing backslashes."""
    text = codespans.visible("\n".join(token.content for token in block.tokens if token.type == "inline"))
    return [
        (block.first + n, line.strip().removesuffix("\\").strip())
        for n, line in enumerate(text.split("\n"))
        if line.strip()
    ]


def items(block: Block) -> list[Item]:
    """The items of a list with what is nested in them. A task's box (`[x]`) is taken off."""
    root: list[Item] = []
    stack: list[Item] = []
    for token in block.tokens:
        if token.type == "list_item_open":
            line = (token.map or [block.first - 1])[0] + 1
            one = Item("", line, token.info if token.markup in (".", ")") else "")
            (stack[-1].children if stack else root).append(one)
            stack.append(one)
        elif token.type == "list_item_close":
            stack.pop()
        elif token.type in ("inline", "fence", "code_block", "html_block") and stack:
            text = " ".join(codespans.visible(token.content).split())
            stack[-1].text = f"{stack[-1].text} {_BOX.sub('', text)}".strip()
    return root


def consume(
    section: Section,
    gathered: Gathered,
    *,
    why: str,
    remedy: str,
    paragraph: TakeBlock | None = None,
    list_item: TakeItem | None = None,
    table: TakeBlock | None = None,
) -> None:
    """Give each block of a section to whoever reads its kind; what nobody takes is listed, block by block."""
    for block in section.blocks:
        if not block.text or block.kind == "hr":
            continue
        if block.is_list:
            for one in items(block):
                if not (list_item is not None and list_item(one)) and one.whole:
                    gathered.lost(one.line, one.whole, why, remedy)
        elif (block.kind == "paragraph" and paragraph is not None and paragraph(block)) or (
            block.kind == "table" and table is not None and table(block)
        ):
            continue
        else:
            gathered.lost(block.first, _shown(block), why, remedy)


def _shown(block: Block) -> str:
    between = " | " if block.kind == "table" else " "
    return between.join(token.content for token in block.tokens if token.type == "inline" or token.nesting == 0)


def keep(into: list[str]) -> TakeItem:
    """Takes the whole text of each item."""

    def take(one: Item) -> bool:
        into.append(one.whole)
        return bool(one.whole)

    return take


def lose(section: Section, gathered: Gathered, why: str, remedy: str) -> None:
    """List a whole section, block by block; its heading alone where nothing stands below it."""
    if not any(block.text and block.kind != "hr" for block in section.blocks):
        if section.title:
            gathered.lost(section.line, section.title, why, remedy)
        return
    consume(section, gathered, why=f"below {section.title!r}: {why}" if section.title else why, remedy=remedy)
