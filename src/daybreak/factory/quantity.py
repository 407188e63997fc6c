"""Lengths of time and sizes as people write them: `90s`, `10min`, `1h 30min`, `2 days`; `512MB`, `4GiB`."""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS_S = {
    **dict.fromkeys(("ms", "millisecond"), Decimal("0.001")),
    **dict.fromkeys(("s", "sec", "second"), Decimal(1)),
    **dict.fromkeys(("m", "min", "minute"), Decimal(60)),
    **dict.fromkeys(("h", "hr", "hour"), Decimal(3600)),
    **dict.fromkeys(("d", "day"), Decimal(86_400)),
    **dict.fromkeys(("w", "week"), Decimal(7 * 86_400)),
}
_PREFIXES = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s?([a-z]{1,11})\s?", re.IGNORECASE)
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s?([kmgt]?)(i?)b?", re.IGNORECASE)


def seconds(text: str) -> float:
    """Raises ValueError, whose text says what to write."""
    total, at, seen = Decimal(0), 0, text.strip()
    while at < len(seen):
        part = _PART.match(seen, at)
        unit = None if part is None else _unit_s(part[2])
        if part is None or unit is None:
            break
        total, at = total + Decimal(part[1]) * unit, part.end()
    if not seen or at < len(seen):
        raise ValueError(f"{text[:40]!r} is no length of time: write 90s, 10min, 1h 30min or 2 days")
    return float(total)


def _unit_s(word: str) -> Decimal | None:
    word = word.lower()
    return _UNITS_S.get(word) or _UNITS_S.get(word.removesuffix("s"))


def size_bytes(text: str) -> int:
    """`4GB` are 4 * 10**9 bytes, `4GiB` are 4 * 2**30. Raises ValueError, whose text says what to write."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is no size: write 512MB, 4GB or 4GiB")
    base = 1024 if found[3] else 1000
    return int(Decimal(found[1]) * base ** _PREFIXES[found[2].lower()])
