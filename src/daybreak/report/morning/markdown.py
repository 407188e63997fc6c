"""A report as Markdown. What others wrote in it stays text, whatever marks it holds."""

from __future__ import annotations

import re

from daybreak.report.morning import words
from daybreak.report.morning.lines import Line, sections
from daybreak.report.morning.model import Morning
from daybreak.report.shown import shown

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def render(report: Morning) -> str:
    """The whole document."""
    out = [f"# {plain(words.title(report))}", "", f"**{plain(report.sentence)}**", "", plain(words.span(report)), ""]
    for section in sections(report):
        out += [f"## {plain(section.title)}", ""]
        for line in section.lines:
            out += _line(line)
        out.append("")
    return "\n".join(out).rstrip("\n") + "\n"


def plain(text: str) -> str:
    """Text that is no mark-up, on one line."""
    told = _MARKS.sub(r"\\\1", shown(text).replace("\n", " ").strip())
    return re.sub(r"(?i)\b(https?|mailto|ftp)(:)", r"\1\\\2", told)


def _line(line: Line) -> list[str]:
    proof = "".join(f" `{one.place}` (leaf {one.index})" for one in line.evidence)
    out = [f"- {plain(line.text)}{proof}"]
    out += [f"  - {plain(below)}" for below in line.below]
    return out + [f"  - `{shown(command)}`" for command in line.commands]
