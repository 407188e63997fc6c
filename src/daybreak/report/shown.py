"""Text of workers and programs as it may go to a terminal: whatever could steer the terminal is written out."""

from __future__ import annotations

import re

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line end, DEL, C1: what begins escape sequences
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of writing round
    "\ud800-\udfff]"  # halves of characters, which cannot be encoded
)


def shown(text: str) -> str:
    r"""The text with every such character as `\x1b`, `\u202e`; line ends and tabs stay."""
    return _STEERING.sub(lambda found: found.group().encode("unicode_escape").decode(), text)
