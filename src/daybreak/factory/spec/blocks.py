"""Markdown as headings with the blocks below them, by CommonMark's rules, with the lines where they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

from daybreak.factory.spec import codespans
from daybreak.factory.spec.located import Scalar
from daybreak.factory.spec.problems import Problems

_NESTING_MAX = 60
"""Lists and quotes inside each other; the parser leaves out what lies deeper, so it is refused."""


@dataclass(slots=True)
class Block:
    """One block at the left margin; lines [first, last) of the file, counted from 1."""

    kind: str
    """`paragraph`, `bullet_list`, `ordered_list`, `table`, `fence`, `code_block`, `html_block`, `blockquote`, `hr`."""
    first: int
    last: int
    tokens: list[Token]

    @property
    def is_list(self) -> bool:
        return self.kind in ("bullet_list", "ordered_list")

    @property
    def text(self) -> str:
        """What is to be read of it: without comments, code as it stands."""
        return codespans.visible(
            "\n".join(t.content for t in self.tokens if t.type == "inline" or t.nesting == 0)
        ).strip()


@dataclass(slots=True)
class Part:
    """A heading and the blocks below it, up to the next heading. Level 0 is what stands before the first."""

    level: int
    title: Scalar
    first: int
    """Line of the heading."""
    body: int
    """First line below the heading."""
    last: int = 0
    """First line of the next part."""
    blocks: list[Block] = field(default_factory=list)


def parts(text: str, problems: Problems) -> tuple[list[Part], list[Token]]:
    """The parts in order, and all tokens (with `map` counted from 0, as markdown-it does)."""
    tokens = _parser().parse(text)
    lines = text.split("\n")
    found = [Part(0, Scalar("", 1), 1, 1)]
    at = 0
    while at < len(tokens):
        end = _closing(tokens, at)
        inside = tokens[at : end + 1]
        first, last = (tokens[at].map or [0, 0])[0] + 1, (tokens[at].map or [0, 0])[1] + 1
        if tokens[at].type == "heading_open":
            title = " ".join(codespans.visible(tokens[at + 1].content).split())
            found[-1].last = first
            found.append(Part(int(tokens[at].tag[1:]), Scalar(title, first), first, last))
        else:
            found[-1].blocks.append(Block(tokens[at].type.removesuffix("_open"), first, last, inside))
        at = end + 1
    found[-1].last = len(lines) + 1
    _unclosed(tokens, lines, problems)
    return found, tokens


def _parser() -> MarkdownIt:
    # Link definitions would swallow `[NEEDS CLARIFICATION: …]: text`; inline parsing is ours.
    parser = MarkdownIt("commonmark", {"maxNesting": _NESTING_MAX}).enable("table")
    return parser.disable(["reference", "inline"])


def _closing(tokens: list[Token], at: int) -> int:
    depth = 0
    for index in range(at, len(tokens)):
        depth += tokens[index].nesting
        if depth == 0:
            return index
    raise AssertionError("the parser closes what it opens")


def _unclosed(tokens: list[Token], lines: list[str], problems: Problems) -> None:
    for token in tokens:
        first, last = token.map or (0, 0)
        if token.level >= _NESTING_MAX - 1:
            problems.add(
                first + 1, "S119", f"lists are nested deeper than {_NESTING_MAX // 2} levels", "write flatter lists"
            )
            return
        if token.type == "fence" and not _is_closed(token, lines[last - 1], last - first):
            problems.add(
                first + 1,
                "S136",
                "this fenced block is not closed",
                f"write {token.markup} on a line of its own below it",
            )
        if token.type == "html_block" and codespans.visible(token.content).lstrip().startswith("<!--"):
            problems.add(first + 1, "S136", "this comment is not closed", "write --> where it ends")


def _is_closed(token: Token, last_line: str, lines: int) -> bool:
    mark = token.markup[0]
    closing = re.compile(rf"[\s>]*{re.escape(mark)}{{{len(token.markup)},}}[ \t]*")
    return lines > 1 and closing.fullmatch(last_line) is not None


def list_items(block: Block) -> list[Scalar]:
    """Each item of a list on one line; what is nested in it belongs to it."""
    items: list[Scalar] = []
    words: list[str] = []
    line = block.first
    for token in block.tokens:
        if token.type == "list_item_open" and token.level == 1:
            words, line = [], (token.map or [block.first - 1])[0] + 1
        elif token.type == "list_item_close" and token.level == 1:
            items.append(Scalar(" ".join(codespans.visible(" ".join(words)).split()), line))
        elif token.type in ("inline", "fence", "code_block", "html_block"):
            words.append(token.content)
    return items


def cells(line: str) -> list[str]:
    """The cells of a table's row; `\\|` is a pipe inside one, also between backticks."""
    text = line.strip()
    parts = [part.replace("\\|", "|") for part in re.split(r"(?<!\\)\|", text)]
    if parts and not parts[0].strip() and text.startswith("|"):
        parts = parts[1:]
    if parts and not parts[-1].strip():
        parts = parts[:-1]
    return [part.strip() for part in parts]
