"""A report for a terminal, none of whose lines can steer it."""

from __future__ import annotations

import re

from daybreak.report.morning import words
from daybreak.report.morning.lines import Line, sections
from daybreak.report.morning.model import Morning
from daybreak.report.shown import shown

NAMED_MAX = 50
"""Lines of one part that are written out; the page has them all."""


def render(report: Morning, *, most: int = NAMED_MAX) -> str:
    """All of it; `most` lines of each part."""
    out = [report.sentence, words.span(report)]
    for section in sections(report):
        out += ["", f"{section.title}:"]
        for line in section.lines[:most]:
            out += _line(line)
        if len(section.lines) > most:
            out.append(f"  and {len(section.lines) - most} more: `daybreak report --html FILE` has them all")
    return "\n".join(_one_line(line) for line in out) + "\n"


def _one_line(line: str) -> str:
    """Spaces inside it become one, so that no text can fill a screen's width and look like a line of ours."""
    left = len(line) - len(line.lstrip(" "))
    return " " * left + shown(_SPACE.sub(" ", line[left:]))


_SPACE = re.compile(r"\s{3,}|[\n\t\v\f\r\x85\u2028\u2029]")


def _line(line: Line) -> list[str]:
    proof = f"  [{words.proof(line.evidence[:2])}]" if line.evidence else ""
    return [
        f"  {line.text}{proof}",
        *(f"      {below}" for below in line.below),
        *(f"      $ {command}" for command in line.commands),
    ]
