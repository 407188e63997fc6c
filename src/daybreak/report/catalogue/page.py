"""The catalogue as a page of the reference."""

from __future__ import annotations

from collections.abc import Mapping

from daybreak.report.catalogue.entry import Entry, below, families

SHOWN_MOST = 6
"""Remedies of one code that the page shows; `daybreak explain CODE --json` has all."""
TOGETHER_MOST = 3
"""Messages with the same remedy that it shows."""

_HEAD = """\
# Errors

<!-- Made from the sources by `python -m daybreak.report.catalogue`; do not edit it here. -->

Every error has a code that never changes its meaning. `daybreak explain CODE` says on the command line what stands
here, and takes a whole message as well. Exit status: 2 for codes that begin with U or S and for a few that only a wrong
word on the command line can bring about, otherwise 1.

Each message is followed by what to do; `<path>` and its like stand for what is filled in. With `--json` a command that
fails prints `{"error": {"code": …, "message": …, "hint": …}}`. In a program, catch the class ([Library](library.md)):
`except HostError` takes every error whose code begins with H.
"""


def page(known: Mapping[str, Entry]) -> str:
    """Markdown, with a heading for each code."""
    known = dict(known)
    letters = [one for one in families(known) if len(one.prefix) == 1]
    parts = [_HEAD, "| family | what happened | codes |\n|---|---|---|"]
    rows = [f"| [{one.prefix}](#{one.prefix.lower()}) | {_cell(one.meaning)} | {one.codes} |" for one in letters]
    parts[-1] += "\n" + "\n".join(rows) + "\n"
    for letter in letters:
        parts.append(f"## {letter.prefix}\n\n{_prose(letter.meaning)}\n")
        parts += [_section(one, known) for one in known.values() if one.code.startswith(letter.prefix)]
    return "\n".join(parts)


def _section(one: Entry, known: dict[str, Entry]) -> str:
    lines = [f"### {one.code}", "", _titled(one), ""]
    members = below(one.code, known)
    if not one.told:
        lines += [f"Stands for {', '.join(_link(each) for each in members)}: it is told under their codes.", ""]
        return "\n".join(lines)
    groups = one.groups
    lines += [f"* {_grouped(messages)}  \n  {_prose(hint)}".rstrip() for messages, hint in groups[:SHOWN_MOST]]
    lines += [f"* … and {len(groups) - SHOWN_MOST} more"] if len(groups) > SHOWN_MOST else []
    lines.append("")
    if one.within:
        above = ", ".join(_link(known[code]) for code in one.within if code in known)
        lines += [f"{'Belongs to' if one.name else 'Listed by'} {above}.", ""]
    return "\n".join(lines)


def _titled(one: Entry) -> str:
    name = f"**`{one.name}`** " if one.name and not one.name.startswith("_") else ""
    return name + _prose(one.cause)


def _grouped(messages: list[str]) -> str:
    more = f" … and {len(messages) - TOGETHER_MOST} more" if len(messages) > TOGETHER_MOST else ""
    return ", ".join(_code(one) for one in messages[:TOGETHER_MOST]) + more


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _link(one: Entry) -> str:
    return f"[{one.code}](#{one.code.lower()})"


def _prose(text: str) -> str:
    """So that Markdown shows it as it is: outside of code nothing is a tag or emphasis."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a single backtick opens nothing
        return _escaped(text).replace("`", "\\`")
    return "`".join(part if at % 2 else _escaped(part) for at, part in enumerate(parts))


def _escaped(text: str) -> str:
    for mark in "\\<*_[":
        text = text.replace(mark, f"\\{mark}")
    return text


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|")
