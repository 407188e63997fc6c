"""Amounts as people write them: `20usd`, `2usd 30min 100000tokens 5attempts`, `1h30min, 0.50usd`; and back.

Every item is a number in plain digits and a unit; items stand beside each other, between spaces or commas. Numbers are
exact: no exponents, no signs, no separators of thousands, at most 6 decimals, so that a dollar's millionth is the
smallest amount of money. This module knows words and whole numbers only; `budget` makes values of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

from daybreak.errors import UsageError

MOST = 2**53 - 1
"""Amounts are exact in every JSON reader."""
TEXT_CHARS_MAX = 200
DECIMALS_MAX = 6
_DIGITS_MAX = 16

_UNITS: dict[str, tuple[str, int]] = {
    **dict.fromkeys(("usd", "dollar", "dollars"), ("money_microusd", 1_000_000)),
    **dict.fromkeys(("d", "day", "days"), ("time_ms", 86_400_000)),
    **dict.fromkeys(("h", "hour", "hours"), ("time_ms", 3_600_000)),
    **dict.fromkeys(("min", "minute", "minutes"), ("time_ms", 60_000)),
    **dict.fromkeys(("s", "sec", "second", "seconds"), ("time_ms", 1000)),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), ("time_ms", 1)),
    **dict.fromkeys(("token", "tokens"), ("tokens", 1)),
    **dict.fromkeys(("attempt", "attempts"), ("attempts", 1)),
}
_SHORT = {86_400_000: "d", 3_600_000: "h", 60_000: "min", 1000: "s", 1: "ms"}
_ITEM = re.compile(r"([0-9]+)(?:\.([0-9]+))?[ \t]*([A-Za-z]+)")
_BETWEEN = re.compile(r"[ \t]*,?[ \t]*")
_HINT = "write it as `20usd`, or `2usd 30min 100000tokens 5attempts`"


class AmountsUnclear(UsageError):
    """A text that says no amounts, or more than one thing."""

    code = "U135"


def parse(text: object) -> dict[str, int]:
    """Fields of `budget.Limit` or `budget.Amounts` by name, in milliseconds, millionths of a dollar, tokens, attempts;
    those not mentioned are absent. Upper case is read as lower. Times in several units add up; nothing else may be
    said twice. Raises AmountsUnclear."""
    if not isinstance(text, str):
        raise AmountsUnclear(f"{text!r:.80} is no text that says amounts", hint=_HINT)
    if len(text) > TEXT_CHARS_MAX:
        raise AmountsUnclear(f"{text!r:.80}… is too long for amounts", hint=f"at most {TEXT_CHARS_MAX} characters")
    found: dict[str, int] = {}
    said: set[int | str] = set()
    for whole, part, unit in _items(text):
        name, size = _unit(unit, text)
        once = size if name == "time_ms" else name
        if once in said:
            raise AmountsUnclear(f"{text!r:.80} says {unit} twice", hint="say each once")
        said.add(once)
        found[name] = found.get(name, 0) + _exact(whole, part, unit, size)
        if found[name] > MOST:
            raise AmountsUnclear(f"{text!r:.80} is too much", hint=f"at most {MOST // size:,} {unit}")
    return found


def words(amounts: Mapping[str, int]) -> str:
    """The shortest text that `parse` reads as these: `2.50usd 1h 30min 5attempts`; empty where there are none."""
    said = []
    if "money_microusd" in amounts:
        said.append(f"{_dollars(amounts['money_microusd'])}usd")
    if "time_ms" in amounts:
        said.append(_time(amounts["time_ms"]))
    for name in ("tokens", "attempts"):
        if name in amounts:
            said.append(f"{amounts[name]}{name if amounts[name] != 1 else name[:-1]}")
    return " ".join(said)


def _items(text: str) -> Iterator[tuple[str, str, str]]:
    rest = text.strip(" \t")
    if not rest:
        raise AmountsUnclear("an empty text says no amounts", hint=_HINT)
    at = 0
    while at < len(rest):
        item = _ITEM.match(rest, at)
        if item is None:
            raise AmountsUnclear(f"{text!r:.80} cannot be read from {rest[at:]!r:.40} on", hint=_why(rest[at:]))
        yield item[1], item[2] or "", item[3]
        between = _BETWEEN.match(rest, item.end())
        assert between is not None, "it matches nothing at all, too"
        at = between.end()
        if at == len(rest) and "," in between[0]:
            raise AmountsUnclear(f"{text!r:.80} ends with a comma", hint=_HINT)


def _why(rest: str) -> str:
    """What to do about a text that no item begins."""
    if rest[0] in "-\u2212":
        return "amounts are never negative"
    if not rest.isascii() and any(letter.isdecimal() and not letter.isascii() for letter in rest):
        return "write numbers in the digits 0 to 9"
    if any(sign in rest for sign in "$\u20ac\u00a3"):
        return "money is in US dollars: write `20usd`"
    if re.match(r"[0-9]+(?:\.[0-9]+)?[ \t]*(?:,|_|$|[0-9])", rest):
        return "every number needs its unit behind it, and nothing between its digits: usd, h, min, s, tokens, attempts"
    return _HINT


def _unit(unit: str, text: str) -> tuple[str, int]:
    known = _UNITS.get(unit.lower())
    if known is not None:
        return known
    if unit.lower() == "e":
        raise AmountsUnclear(f"{text!r:.80} has an exponent", hint="write the number out")
    if unit.lower() == "m":
        raise AmountsUnclear(f"{text!r:.80}: m could be minutes or millions", hint="write `min`, or the number out")
    raise AmountsUnclear(
        f"{text!r:.80}: there is no unit {unit!r:.40}", hint="units are usd, d, h, min, s, ms, tokens, attempts"
    )


def _exact(whole: str, part: str, unit: str, size: int) -> int:
    """So many of the smallest amounts."""
    if len(whole.lstrip("0")) > _DIGITS_MAX:
        raise AmountsUnclear(f"{whole:.40}… {unit:.40} is too much", hint=f"at most {MOST // size:,} {unit}")
    if len(part) > DECIMALS_MAX:
        raise AmountsUnclear(f"{whole}.{part:.40} has too many decimals", hint=f"at most {DECIMALS_MAX}")
    exact = Decimal(f"{whole}.{part or '0'}") * size
    if exact != int(exact):
        raise AmountsUnclear(
            f"{whole}.{part} {unit} is no whole number of the smallest amount",
            hint="times are exact to the millisecond, tokens and attempts are whole",
        )
    return int(exact)


def _dollars(micro: int) -> str:
    whole, rest = divmod(micro, 1_000_000)
    if not rest:
        return str(whole)
    part = f"{rest:06}".rstrip("0")
    return f"{whole}.{part:0<2}"


def _time(ms: int) -> str:
    said = []
    rest = ms
    for size, unit in _SHORT.items():
        count, rest = divmod(rest, size)
        if count:
            said.append(f"{count}{unit}")
    return " ".join(said) or "0s"
