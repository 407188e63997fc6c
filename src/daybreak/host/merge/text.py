"""Text, line by line: by `git merge-file` where git is there, else by a diff3 of ours; the answer says which.

Line ends, a byte order mark and the newline at the end are taken off first and merged by themselves, so that a side
that only changed those does not conflict with everything.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak.errors import HostError
from daybreak.host.merge.outcome import Conflict, Conflicts, How, Kind, Merged, Sides
from daybreak.host.merge.sequence import chunks, pick

_BOM = b"\xef\xbb\xbf"
_TIMEOUT_S = 60.0
_TEXT_CHARACTERS_MAX = 10_000
"""Of a text inside a conflict record."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that both sides changed differently."""

    base: bytes
    ours: bytes
    theirs: bytes
    line: int
    """Where it begins in the merged text, from 1."""


Piece = bytes | Hunk


def merge_text(
    sides: Sides, *, steps_down: Sequence[str] = (), markers: bool = False, how: How = "text", git: bool = True
) -> Merged | Conflicts:
    """Merge three texts. `markers`: a conflict also carries the text with markers."""
    shape, bare = take_shape(sides)
    notes = list(steps_down)
    pieces = None
    if git:
        pieces, problem = _by_git(bare)
        if pieces is None:
            notes.append(f"merged by the built-in diff3: {problem}")
    if pieces is None:
        pieces = by_lines(bare)
    hunks = [piece for piece in pieces if isinstance(piece, Hunk)]
    if not hunks:
        return Merged(shape.put(b"".join(piece for piece in pieces if isinstance(piece, bytes))), how, tuple(notes))
    conflicts = tuple(_conflict(sides.path, hunk) for hunk in hunks)
    marked = shape.put(b"".join(map(_marked, pieces))) if markers else None
    return Conflicts(sides.path, conflicts, how, tuple(notes), marked)


def by_lines(sides: Sides) -> list[Piece]:
    """diff3 of ours; each side must end with a newline or be empty."""
    pieces: list[Piece] = []
    line = 1
    lines = [side.splitlines(keepends=True) if b"\r" not in side else _split(side) for side in _three(sides)]
    for chunk in chunks(*lines):
        found = chunk.resolved
        if found is None:
            hunk = Hunk(b"".join(chunk.base), b"".join(chunk.ours), b"".join(chunk.theirs), line)
            pieces.append(hunk)
            line += len(chunk.ours)
        else:
            pieces.append(b"".join(found))
            line += len(found)
    return pieces


def _three(sides: Sides) -> tuple[bytes, bytes, bytes]:
    return sides.base, sides.ours, sides.theirs


def _split(text: bytes) -> list[bytes]:
    """At newlines alone: a lone carriage return ends no line."""
    parts = text.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


# -- the shape of a text


@dataclass(frozen=True, slots=True)
class Shape:
    crlf: bool
    final_newline: bool
    bom: bool

    def put(self, text: bytes) -> bytes:
        if not self.final_newline and text.endswith(b"\n"):
            text = text[:-1]
        if self.crlf:
            text = text.replace(b"\n", b"\r\n")
        return _BOM + text if self.bom else text


def take_shape(sides: Sides) -> tuple[Shape, Sides]:
    """The merged shape, and the three texts in plain shape: newlines only, one at the end, no mark."""
    three = [side.removeprefix(_BOM) for side in _three(sides)]
    boms = [side.startswith(_BOM) for side in _three(sides)]
    styles = [_is_crlf(side) for side in three]
    mixed = any(b"\r\n" in side and style is False for side, style in zip(three, styles, strict=True))
    known = next((style for style in styles if style is not None), False)
    crlfs = [known if style is None else style for style in styles]
    finals = [not side or side.endswith(b"\n") for side in three]
    if mixed:  # some lines so, some so: they are kept as they are
        crlfs = [False] * 3
    plain = [_plain(side, crlf) for side, crlf in zip(three, crlfs, strict=True)]
    shape = Shape(pick(*crlfs)[0], pick(*finals)[0], pick(*boms)[0])
    return shape, Sides(sides.path, *plain)


def _is_crlf(text: bytes) -> bool | None:
    """Whether every line ends so; None where there is no line end."""
    if b"\n" not in text:
        return None
    return text.count(b"\n") == text.count(b"\r\n")


def _plain(text: bytes, crlf: bool) -> bytes:
    text = text.replace(b"\r\n", b"\n") if crlf else text
    return text if not text or text.endswith(b"\n") else text + b"\n"


# -- git


def _by_git(sides: Sides) -> tuple[list[Piece] | None, str]:
    """The pieces, or None and why git could not say."""
    try:
        from daybreak.host import process
    except ImportError:  # a system without what `process` needs
        return None, "programs cannot be guarded on this system"
    size = 7
    while any(mark * size in side for side in _three(sides) for mark in (b"<", b"|", b"=", b">")):
        size += 8
    with tempfile.TemporaryDirectory(prefix="daybreak-merge-") as name:
        folder = Path(name)
        for side, content in zip(("base", "ours", "theirs"), _three(sides), strict=True):
            (folder / side).write_bytes(content)
        environment = {
            "PATH": process.DEFAULT_PATH,
            "HOME": "/nonexistent",
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CEILING_DIRECTORIES": str(folder.parent),
        }
        labels = [part for label in ("ours", "base", "theirs") for part in ("-L", label)]
        try:
            finished = process.run(
                [
                    "git",
                    "merge-file",
                    "-p",
                    "-q",
                    "--diff3",
                    f"--marker-size={size}",
                    *labels,
                    "ours",
                    "base",
                    "theirs",
                ],
                cwd=folder,
                env=environment,
                timeout_s=_TIMEOUT_S,
                output_bytes_max=4 * sum(map(len, _three(sides))) + 65536,
            )
        except HostError as error:
            return None, error.message
    if finished.ended_by_us or finished.exit_code is None or finished.exit_code >= 128:
        return None, f"git merge-file: {finished.ending}"
    return _parsed(finished.stdout, size), ""


def _parsed(output: bytes, size: int) -> list[Piece]:
    marks = {mark * size: name for mark, name in ((b"<", "ours"), (b"|", "base"), (b"=", "theirs"), (b">", ""))}
    pieces: list[Piece] = []
    parts: dict[str, list[bytes]] = {"": []}
    at, line = "", 1
    for text in _split(output):
        name = marks.get(text[:size])
        if name is None:
            parts[at].append(text)
            continue
        if name == "ours":
            pieces.append(b"".join(parts[""]))
            line += len(parts[""])
            parts = {"ours": [], "base": [], "theirs": [], "": []}
        elif name == "":
            base, ours, theirs = (b"".join(parts[side]) for side in ("base", "ours", "theirs"))
            pieces.append(Hunk(base, ours, theirs, line))
            line += len(parts["ours"])
        at = name
    return [*pieces, b"".join(parts[""])]


def _conflict(path: str, hunk: Hunk) -> Conflict:
    last = hunk.line + max(hunk.ours.count(b"\n"), 1) - 1
    kind: Kind = "delete/modify" if not hunk.ours or not hunk.theirs else "modify/modify" if hunk.base else "add/add"
    words: dict[Kind, str] = {
        "delete/modify": "decide whether the lines go or stay as changed",
        "add/add": "both added lines here: keep both if they are independent",
        "modify/modify": "take one side's lines, or write what both wanted",
    }
    return Conflict(
        path,
        f"lines {hunk.line}-{last}",
        kind,
        shown(hunk.base),
        shown(hunk.ours),
        shown(hunk.theirs),
        words[kind],
    )


def shown(text: bytes | None) -> str | None:
    """As it stands in a record."""
    return None if text is None else text.decode("utf-8", "replace")[:_TEXT_CHARACTERS_MAX]


def _marked(piece: Piece) -> bytes:
    if isinstance(piece, bytes):
        return piece
    return b"<<<<<<< ours\n%b||||||| base\n%b=======\n%b>>>>>>> theirs\n" % (piece.ours, piece.base, piece.theirs)
