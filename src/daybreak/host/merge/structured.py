"""JSON, YAML and TOML: the values are merged first, then a text is found that says just that.

A text is only ever accepted when reading it gives the merged values. Texts are tried from the most faithful to the
least: a merge by lines, which keeps every comment of both sides; the same with clashing lines put one after the other;
and last our side's text with the changes written into it by the format's own library, which may move a comment or
normalise the layout. What was lost is recorded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from daybreak.host.merge.outcome import Conflicts, How, Merged, NotStructural, Sides
from daybreak.host.merge.sequence import pick
from daybreak.host.merge.text import Hunk, by_lines, take_shape
from daybreak.host.merge.values import Plain, Values, same

_CANDIDATES_MAX = 48
_CANDIDATE_BYTES_MAX = 500_000
"""Of all texts that are tried, because each is read again."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a file format can do. `read` raises NotStructural for what it cannot read, or not without loss."""

    how: How
    read: Callable[[str], Plain]
    show: Callable[[Plain], str]
    """A value as it stands in a conflict record."""
    write: Callable[[str, str, Plain], str]
    """Our text, their text, the merged value → a text; raises NotStructural."""
    comments: Callable[[str], list[str]]


def merge_structured(format: Format, sides: Sides) -> Merged | Conflicts:
    """Raises NotStructural where a side cannot be read, or no text says what was merged."""
    shape, bare = take_shape(sides)
    texts = [_decoded(side) for side in (bare.base, bare.ours, bare.theirs)]
    base, ours, theirs = (_read(format, name, text) for name, text in zip(_NAMES, texts, strict=True))
    values = Values(sides.path, format.show)
    merged = values.merge(base, ours, theirs)
    if values.conflicts:
        return Conflicts(sides.path, tuple(values.conflicts), format.how)
    for text in _candidates(bare):
        if _says(format, text, merged):
            return Merged(shape.put(text.encode()), format.how, _lost(format, texts, text))
    text = format.write(texts[1], texts[2], merged)
    if not _says(format, text, merged):
        raise NotStructural(f"the {format.how} library cannot write the merged values")
    return Merged(shape.put(text.encode()), format.how, _lost(format, texts, text))


_NAMES = ("base", "ours", "theirs")


def _decoded(side: bytes) -> str:
    try:
        return side.decode()
    except UnicodeDecodeError:
        raise NotStructural("it is not UTF-8") from None


def _read(format: Format, name: str, text: str) -> Plain:
    try:
        return format.read(text)
    except NotStructural as problem:
        raise NotStructural(f"{name}: {problem}") from problem
    except RecursionError:
        raise NotStructural(f"{name}: nested too deeply") from None


def _says(format: Format, text: str, merged: Plain) -> bool:
    try:
        return same(format.read(text), merged)
    except (NotStructural, RecursionError):
        return False


def _candidates(bare: Sides) -> Iterator[str]:
    """Texts made of both sides' lines; the caller decides whether one of them says what it should."""
    pieces = by_lines(bare)
    ways = [_ways(piece) if isinstance(piece, Hunk) else [piece] for piece in pieces]
    most = max(1, min(_CANDIDATES_MAX, _CANDIDATE_BYTES_MAX // (len(bare.ours) + 1)))
    for parts in itertools.islice(itertools.product(*ways), most):
        try:
            yield b"".join(parts).decode()
        except UnicodeDecodeError:  # cannot be: the sides were decoded; a hunk ends at a newline
            continue


def _ways(hunk: Hunk) -> list[bytes]:
    base, ours, theirs = (part.splitlines(keepends=True) for part in (hunk.base, hunk.ours, hunk.theirs))
    ways = []
    if len(base) == len(ours) == len(theirs):
        picked = [pick(*lines) for lines in zip(base, ours, theirs, strict=True)]
        if all(clear for _, clear in picked):
            ways.append(b"".join(line for line, _ in picked))
    if not base:
        ways += [hunk.ours + hunk.theirs, hunk.theirs + hunk.ours]
    elif ours[: len(base)] == base:  # ours only added below
        ways.append(hunk.theirs + b"".join(ours[len(base) :]))
    elif theirs[: len(base)] == base:
        ways.append(hunk.ours + b"".join(theirs[len(base) :]))
    return [*ways, hunk.ours, hunk.theirs]


def _lost(format: Format, texts: list[str], text: str) -> tuple[str, ...]:
    """Comments that one side added and that are not in the result."""
    before, there = set(format.comments(texts[0])), set(format.comments(text))
    lost = [one for side in texts[1:] for one in format.comments(side) if one not in before and one not in there]
    return tuple(f"a comment is not in the result: {one[:200]}" for one in dict.fromkeys(lost))
