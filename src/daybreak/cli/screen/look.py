"""What a stream can show: whether the cursor may move in it, colours, and more than ASCII."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

COLUMNS, LINES = 80, 24
"""Where a terminal does not say its size."""


@dataclass(frozen=True, slots=True)
class Look:
    live: bool
    """Drawn in place; else plain lines, one for each change."""
    colours: bool
    symbols: bool
    """Blocks and lines; else ASCII."""


PLAIN = Look(live=False, colours=False, symbols=False)


def chosen(stream: TextIO, environ: Mapping[str, str], *, plain: bool = False) -> Look:
    """Plain where that is asked for, where nothing is a terminal, and where it cannot move its cursor (TERM=dumb).
    NO_COLOR (with any value but none) leaves colours out."""
    if plain or not is_terminal(stream) or environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        return PLAIN
    symbols = (stream.encoding or "").lower().replace("-", "") == "utf8"
    return Look(live=True, colours=not environ.get("NO_COLOR"), symbols=symbols)


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError):  # it was closed
        return False


def size(stream: TextIO) -> os.terminal_size:
    """Columns and lines of the terminal now."""
    try:
        found = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        found = os.terminal_size((0, 0))
    return os.terminal_size((found.columns or COLUMNS, found.lines or LINES))
