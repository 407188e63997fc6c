"""Values as a page shows them. Whatever a template prints passes `harmless`: nothing that could steer a reader, and
never a line of a megabyte. Escaping for HTML is the template engine's part."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from daybreak.policy.redaction import redact
from daybreak.report.shown import shown

CHARS_MAX = 2_000
"""Of one value on a page."""
SHORT, KEPT = 300, 16_384
"""Characters of a text whose harmless form is kept, and how many are: the same titles and names are on every page."""
SECRET_MIN = 12
"""No shorter text holds a secret with what makes it known as one."""
OUTPUT_CHARS_MAX = 16_000
"""Of what a program printed."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Look(NamedTuple):
    """How a state is shown beside its word."""

    kind: str
    icon: str


_LOOKS = {
    "done": Look("good", "done"),
    "passed": Look("good", "done"),
    "shown": Look("good", "done"),
    "accepted": Look("good", "done"),
    "agreed": Look("good", "done"),
    "guards": Look("good", "done"),
    "closed": Look("good", "done"),
    "ended": Look("good", "done"),
    "no objection": Look("good", "done"),
    "failed": Look("bad", "failed"),
    "rejected": Look("bad", "failed"),
    "open": Look("bad", "failed"),
    "died": Look("bad", "failed"),
    "objects": Look("bad", "failed"),
    "parked": Look("ask", "parked"),
    "ambiguous": Look("ask", "parked"),
    "unusable": Look("ask", "parked"),
    "half_open": Look("ask", "parked"),
    "not shown": Look("ask", "queued"),
    "to be mended": Look("ask", "queued"),
    "leased": Look("run", "running"),
    "running": Look("run", "running"),
    "verifying": Look("run", "running"),
    "under way": Look("run", "running"),
    "waiting": Look("", "waiting"),
    "paused": Look("", "paused"),
    "cancelled": Look("", "cancelled"),
    "queued": Look("", "queued"),
}
_PLAIN = Look("", "dot")


def looks(state: str) -> Look:
    """Shape and colour of a state, an outcome or a verdict."""
    return _LOOKS.get(state, _PLAIN)


def harmless(value: Any, most: int = CHARS_MAX) -> Any:
    """What a template is about to print: secrets and steering characters taken out, cut where it is long, with how
    much is left out. Markup of our own and what is no text stays."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    if len(value) < SECRET_MIN:
        return shown(value)
    return _kept(value, most) if len(value) <= SHORT else _harmless(value, most)


def _harmless(value: str, most: int) -> str:
    safe = redact(value[: most + CHARS_MAX]).text  # before it is cut, so that no half of a secret is left
    if len(value) <= most:
        return shown(safe)
    return f"{shown(safe[:most])}… ({len(value) - most:,} more characters)"


_kept = lru_cache(KEPT)(_harmless)


def cut(text: str, most: int = CHARS_MAX) -> str:
    """The beginning of a text, and how much more there is."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most:,} more characters)"


def printed(text: object, most: int = OUTPUT_CHARS_MAX) -> Markup:
    """What a program or a worker printed: its beginning and its end, without colours and secrets."""
    whole = text if isinstance(text, str) else str(text)
    if len(whole) > most:
        half = most // 2
        left = len(whole) - 2 * half
        parts = [whole[:half], f"\n… ({left:,} more characters) …\n", whole[-half:]]
    else:
        parts = [whole]
    clean = "".join(shown(_COLOURS.sub("", redact(part).text).replace("\r\n", "\n")) for part in parts)
    return Markup(escape(clean))


def diff(text: str) -> Markup:
    """A patch with its lines told apart, all of it."""
    lines = []
    for line in str(printed(text, len(text))).split("\n"):
        kind = _kind_of(line)
        lines.append(f'<span class="{kind}">{line}</span>' if kind else f"<span>{line}</span>")
    return Markup("".join(lines))


def _kind_of(line: str) -> str:
    if line.startswith(("diff --git", "+++", "---", "Index:")):
        return "file"
    if line.startswith("@@"):
        return "place-line"
    return {"+": "added", "-": "removed"}.get(line[:1], "")


# -- times: the server's own, with UTC behind


def local(moment: str, now: datetime) -> str:
    """`23:10:04` today, else with the date; the text itself where it is no moment."""
    try:
        at = datetime.fromisoformat(moment).astimezone()
    except ValueError:
        return moment
    same = at.date() == now.astimezone().date()
    return at.strftime("%H:%M:%S" if same else "%a %d %b %H:%M")


def when(moment: str, now: datetime) -> Markup:
    """A moment of the ledger as an element."""
    if not moment:
        return Markup("")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(moment, harmless(local(moment, now)))


def ago(moment: str, now: datetime, *, plain: bool = False) -> Markup:
    """How long ago; goes on by itself in the browser. `plain`: the span alone."""
    if not (at := _parsed(moment)):
        return Markup("")
    told = span((now - at).total_seconds())
    return Markup('<time datetime="{0}" data-ago="{1}" title="{2} ({0})">{3}</time>').format(
        moment, "for" if plain else "", local(moment, now), told if plain else f"{told} ago"
    )


def ahead(moment: str, now: datetime) -> Markup:
    """In how long; goes on by itself in the browser."""
    if not (at := _parsed(moment)):
        return Markup("")
    left = (at - now).total_seconds()
    return Markup('<time datetime="{0}" data-in title="{1} ({0})">{2}</time>').format(
        moment, local(moment, now), f"in {span(left)}" if left > 0 else "now"
    )


def _parsed(moment: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def span(seconds: float) -> str:
    """`42 s`, `7 min`, `3 h 05 min`, `2 d 4 h`; as the browser writes it."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole // 60 % 60:02} min"
    return f"{whole // 86_400} d {whole // 3600 % 24} h"


def bytes_words(count: float) -> str:
    """`640 B`, `3.2 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def number(count: float) -> str:
    return f"{count:,.0f}"
