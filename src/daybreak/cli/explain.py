"""`daybreak explain`: what an error means and what to do about it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from daybreak.report.catalogue.entry import Entry, Told

EXAMPLES = (
    "Examples:  daybreak explain H225    daybreak explain 'there is no run run-0k3'    daybreak explain snapshot    "
    "daybreak explain --list L1"
)
WIDTH = 100
GROUPS_MOST = 10
TOGETHER_MOST = 3


class CodeUnknown(UsageError):
    """There is no such code, and no message or name of an error that fits."""

    code = "U264"


def explain(
    asked: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CODE|MESSAGE]", help="A code, a whole message, or a part of a name.", show_default=False
        ),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="One line a code: all of them, or those from [CODE] on.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Explain an error: what happened, what to do, how it is told. Without anything: the families of codes.

    A code stands in every message; it never changes its meaning.
    """
    from daybreak.report.catalogue import entry

    words = " ".join(asked or ()).strip()
    known = entry.entries()
    if listed:
        _list([one for code, one in known.items() if code.startswith(words.upper())], words, as_json)
    elif not words:
        _families(as_json)
    else:
        _answer(words, as_json)


def _families(as_json: bool) -> None:
    from daybreak.report.catalogue import entry

    found = entry.families(entry.entries())
    if as_json:
        faces.result_json({"families": [{"prefix": o.prefix, "meaning": o.meaning, "codes": o.codes} for o in found]})
        return
    for one in found:
        lead = f"{one.prefix:<4}" if len(one.prefix) == 1 else f"  {one.prefix:<4}"
        faces.result(_wrapped(f"{one.meaning} ({one.codes})", lead))
    faces.result("\n`daybreak explain CODE` explains one; `--list L1` lists those that begin so.")


def _list(found: list[Entry], prefix: str, as_json: bool) -> None:
    if not found:
        raise CodeUnknown(
            f"no code begins with {arguments.cut(prefix)}", hint="`daybreak explain` shows how codes begin"
        )
    if as_json:
        faces.result_json({"errors": [one.plain() for one in found]})
        return
    for one in found:
        faces.result(_wrapped(one.cause, f"{one.code}  "))


def _answer(words: str, as_json: bool) -> None:
    from daybreak.report.catalogue import entry
    from daybreak.report.catalogue.asked import find

    known = entry.entries()
    answer = find(words, known)
    if not answer.entries:
        near = f"near it: {', '.join(answer.near)}; " if answer.near else ""
        raise CodeUnknown(
            f"nothing is known about {arguments.cut(words)}",
            hint=f"{near}`daybreak explain --list` names every code, `daybreak explain` how they begin",
        )
    if as_json:
        faces.result_json({"errors": [_plain(one, known) for one in answer.entries]})
    elif len(answer.entries) == 1:
        _show(answer.entries[0], answer.told, known)
    else:
        for one in answer.entries:
            faces.result(_wrapped(one.cause, f"{one.code}  "))


def _plain(one: Entry, known: dict[str, Entry]) -> dict[str, Any]:
    from daybreak.report.catalogue.entry import below

    return {
        **one.plain(),
        "remedies": one.remedies,
        "examples": one.examples,
        "below": [each.code for each in below(one.code, known)],
    }


def _show(one: Entry, told: Told | None, known: dict[str, Entry]) -> None:
    from daybreak.report.catalogue.entry import below

    faces.result(f"{one.code} {one.name}".rstrip())
    faces.result(_wrapped(one.cause, "  "))
    if told is not None and told.hint:
        faces.result("\nWhat to do here")
        faces.result(_wrapped(told.hint, "  "))
    rest = [(messages, hint) for messages, hint in one.groups if told is None or hint != told.hint]
    if rest:
        faces.result("\nHow it is told, and what to do" if told is None else "\nIn other places")
        for messages, hint in rest[:GROUPS_MOST]:
            _show_group(one.code, messages, hint)
    if len(rest) > GROUPS_MOST:
        faces.result(f"  … and {len(rest) - GROUPS_MOST} more: --json has them all")
    members = below(one.code, known)
    if members:
        lead = "Stands also for " if one.told else "Stands for "
        faces.result("\n" + _wrapped(", ".join(each.code for each in members), lead))
    if one.within:
        above = ", ".join(f"{code} {known[code].name}" for code in one.within)
        faces.result(f"\n{'Belongs to' if one.name else 'Listed by'} {above}")


def _show_group(code: str, messages: list[str], hint: str) -> None:
    """As the command line tells errors: the message, and below it what to do."""
    for message in messages[:TOGETHER_MOST]:
        faces.result(_wrapped(f"{code} {message}", "  "))
    if len(messages) > TOGETHER_MOST:
        faces.result(f"  … and {len(messages) - TOGETHER_MOST} more like these")
    if hint:
        faces.result(_wrapped(hint, "    "))


def _wrapped(text: str, lead: str) -> str:
    """The text behind `lead`, its further lines below its first; words that are longer than a line stay whole."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )
