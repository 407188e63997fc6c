"""Lays a scene out in so many columns and lines. Pure: never more lines, never a wider one, whatever the texts are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from daybreak.cli.screen.columns import clean, cut, width
from daybreak.cli.screen.look import Look
from daybreak.cli.screen.scene import Bar, Scene
from daybreak.report import tree

_STYLES = {
    "done": "32", "passed": "32", "verified": "32", "running": "36", "verifying": "36", "leased": "36",
    "failed": "31", "unusable": "31", "incident": "31;1", "error": "31", "died": "31", "orphaned": "31",
    "parked": "33", "paused": "33", "waiting": "33", "breaker": "33", "warning": "33",
    "head": "1", "asks": "33;1", "dim": "2", "used": "36", "reserved": "33",
}  # fmt: skip
"""SGR codes by what something is. Colour never says anything that no word says."""
_MARKS = {"done": "✓", "passed": "✓", "failed": "✗", "parked": "?", "running": "▸", "verifying": "▸", "leased": "▸"}
_BAR_MAX = 40
_TAIL_LEAST = 3
_WIDE = 70
"""From so many columns on there is room for names of runs."""
_NAME_MAX = 24
"""Of an account, before its bar."""


class Span(NamedTuple):
    text: str
    style: str = ""


Line = list[Span]


def page(scene: Scene, columns: int, lines: int, look: Look) -> list[Line]:
    """From 1 column and 1 line on; something useful from 20 columns and 5 lines on."""
    columns, lines = max(1, columns), max(1, lines)
    top = _top(scene, look, columns)
    asks = _asks(scene, lines)
    wide = min(_NAME_MAX, max((width(clean(bar.name)) for bar in scene.bars), default=0))
    money = [_bar(bar, wide, columns, look) for bar in scene.bars]
    foot = [[Span(scene.counts, "dim")]] if scene.counts else []
    room = lines - len(top)
    parts: dict[str, list[Line]] = {"asks": asks[: max(0, room)]}
    room -= len(parts["asks"])
    at_least = min(len(scene.tree), 3)
    for name, rows in (("money", money), ("foot", foot), ("notes", [[Span(one, "parked")] for one in scene.notes])):
        parts[name] = rows[: max(0, room - at_least)]
        room -= len(parts[name])
    tail_room = _tail_room(scene, room)
    grown = [_twig(twig, columns, look) for twig in tree.fit(scene.tree, room - tail_room)]
    tail = [[Span(said.text, said.word)] for said in scene.tail[len(scene.tail) - tail_room :]] if tail_room else []
    found = [*top, *parts["asks"], *grown, *parts["money"], *parts["notes"], *parts["foot"]]
    if tail and len(found) + len(tail) < lines:
        found.append([])
    found += tail
    return [_fitted(line, columns, look) for line in found[:lines]]


def painted(line: Line, look: Look) -> str:
    """With its colours, where there are any."""
    if not look.colours:
        return plain(line)
    return "".join(f"\x1b[{code}m{text}\x1b[0m" if (code := _STYLES.get(style)) else text for text, style in line)


def plain(line: Line) -> str:
    return "".join(span.text for span in line)


def _top(scene: Scene, look: Look, columns: int) -> list[Line]:
    found: list[Line] = [[Span(scene.head, "head")]]
    if scene.left is None and scene.fraction is None:
        return found
    left = "" if scene.left is None else scene.left.words(to="–" if look.symbols else " to ")
    left = f"{left} left" if scene.left is not None and scene.left.known and columns < 40 else left
    if scene.left is not None:
        short = left.partition(", from")[0]
        left = f"time left {left}" if columns >= 40 else short
    share = "" if scene.fraction is None else f"{scene.fraction:.0%} "
    bar = (
        "" if scene.fraction is None or columns < 60 else _blocks(scene.fraction, 0, min(_BAR_MAX, columns // 4), look)
    )
    found.append([Span(bar, "used"), Span(f"{' ' if bar else ''}{share}{left}")])
    return found


def _asks(scene: Scene, lines: int) -> list[Line]:
    """What waits for a person, first and in few lines where there are few."""
    if not scene.waits:
        return []
    most = 1 if lines < 8 else max(2, lines // 5)
    rows = [[Span(f"! {one}", "asks")] for one in scene.waits[:most]]
    if len(scene.waits) > most:
        more = len(scene.waits) - most + 1
        rows[-1] = [Span(f"! {more} {'more ' if most > 1 else ''}wait for you: `daybreak status`", "asks")]
    return rows


def _tail_room(scene: Scene, room: int) -> int:
    """A third of what is left, or all that the tree does not need."""
    if room <= _TAIL_LEAST:
        return 0
    grown = len(tree.fit(scene.tree, room))
    return min(len(scene.tail), max(room // 3, room - grown - 1))


def _twig(twig: tree.Twig, columns: int, look: Look) -> Line:
    node, more = twig.node, twig.more
    if look.symbols:
        stems = "".join("│  " if one else "   " for one in more[1:-1]) + (
            ("├─ " if more[-1] else "└─ ") if more[1:] else ""
        )
        mark = _MARKS.get(node.state, "·") + " " if node.state else ""
    else:
        stems, mark = "  " * max(0, len(more) - 1) + ("- " if more[1:] else ""), ""
    note = f", {clean(node.note)}" if node.note else ""
    told = f": {node.state}" if node.state and not (more[1:] and node.state == "running") else ""
    return [
        Span(stems, "dim"),
        Span(mark, node.state),
        Span(_middle(node.name)),
        Span(told, node.state),
        Span(note, "dim"),
        Span(f"  {node.id}" if node.id and columns >= _WIDE else "", "dim"),
    ]


def _middle(name: str, most: int = 120) -> str:
    """A long name leaves room for its state."""
    return cut(clean(name), most)


def _bar(bar: Bar, wide: int, columns: int, look: Look) -> Line:
    share = bar.used / bar.limit if bar.limit else 1.0
    aside = bar.reserved / bar.limit if bar.limit else 0.0
    name = cut(clean(bar.name), _NAME_MAX)
    if columns < 50:
        return [Span(f"{name}: "), Span(f"{share:.0%} used")]
    name += " " * (wide - width(name))
    return [
        Span(f"{name} "),
        Span(_blocks(share, aside, min(_BAR_MAX, columns // 4), look), "used"),
        Span(f" {bar.words}"),
    ]


def _blocks(share: float, aside: float, cells: int, look: Look) -> str:
    """Used, then reserved, then free."""
    used = min(cells, max(int(share * cells), 1 if share > 0 else 0))
    both = min(cells, max(round((share + aside) * cells), used)) if aside else used
    full, part, free = ("█", "▒", "░") if look.symbols else ("#", "+", ".")
    text = full * used + part * (both - used) + free * (cells - both)
    return text if look.symbols else f"[{text}]"


def _fitted(line: Iterable[Span], columns: int, look: Look) -> Line:
    """Cut at the right edge; where a line is too long, its longest text gives way first."""
    spans = [Span(_known(span.text, look), span.style) for span in line if span.text]
    over = sum(width(span.text) for span in spans) - columns
    more = "…" if look.symbols else "~"
    if over > 0 and len(spans) > 1:
        place = max(range(len(spans)), key=lambda at: width(spans[at].text))
        keep = max(min(width(spans[place].text), 12), width(spans[place].text) - over)
        spans[place] = Span(cut(spans[place].text, keep, more), spans[place].style)
    found: Line = []
    room = columns
    for span in spans:
        text = cut(span.text, room, more)
        if text:
            found.append(Span(text, span.style))
        room -= width(text)
        if text != span.text:
            break
    return found


def _known(text: str, look: Look) -> str:
    """Harmless, and in characters that the stream can take; leading spaces stay."""
    head = text[: len(text) - len(text.lstrip(" "))]
    tail = " " if text.endswith(" ") and text.strip() else ""
    told = head + clean(text) + tail
    return told if look.symbols else told.encode("ascii", "backslashreplace").decode()
