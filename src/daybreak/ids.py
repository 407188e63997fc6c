"""Identifiers: short, sortable by time, readable aloud, safe in file names.

An id is a label, never a position and never a proof.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u

Entropy = Callable[[int], bytes]


def new(prefix: str, moment: datetime, entropy: Entropy = os.urandom) -> str:
    """`prefix-` + 8 characters of time (milliseconds, wraps after 34 years) + 8 random characters (40 bits)."""
    millis = int(moment.timestamp() * 1000) % (1 << 40)
    noise = int.from_bytes(entropy(5), "big")
    return f"{prefix}-{_base32(millis)}{_base32(noise)}"


def part(value: int, length: int) -> str:
    """The lowest 5 · `length` bits of `value` (not negative) as that many characters, which sort as the numbers do."""
    return "".join(ALPHABET[value >> 5 * place & 31] for place in reversed(range(length)))


_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]


def _base32(value: int) -> str:
    """40 bits in 8 characters."""
    high, low = value >> 20, value & 0xF_FFFF
    return f"{_PAIRS[high >> 10]}{_PAIRS[high & 1023]}{_PAIRS[low >> 10]}{_PAIRS[low & 1023]}"
