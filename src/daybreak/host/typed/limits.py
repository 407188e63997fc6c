"""How much a file may be before it is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields

from daybreak.host.naming import named
from daybreak.host.typed.refusals import LimitsRefused

_CEILING = 2**63 - 1
DEPTH_CEILING = 200
"""No format is read deeper than this: parsers of the standard library recurse."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Every figure is an upper bound, inclusive, at least 1. Raises LimitsRefused."""

    bytes_max: int = 50_000_000
    """Of the file on disk; never more than this is read."""
    depth_max: int = 100
    """Levels of tables and lists, elements, dotted keys; at most 200."""
    values_max: int = 2_000_000
    """Keys and values, cells or elements of one document."""
    alias_values_max: int = 100_000
    """Values that the aliases of a YAML document stand for, together."""
    members_max: int = 10_000
    """Of an archive."""
    expanded_bytes_max: int = 500_000_000
    """Of all members of an archive together."""
    ratio_max: int = 200
    """Expanded bytes per byte on disk; counts from 1 MB expanded on."""
    empty_ok: bool = False
    """Whether a file of no bytes is taken where its kind has a meaning for it (text, Markdown, JSONL)."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "empty_ok":
                fine = isinstance(value, bool)
            else:
                fine = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _CEILING
            if not fine or (field.name == "depth_max" and value > DEPTH_CEILING):
                raise LimitsRefused(
                    f"limit {field.name} is {named(value, 40)}",
                    hint=f"whole numbers from 1 in 63 bits; depth_max at most {DEPTH_CEILING}; empty_ok: a bool",
                )


DEFAULT = Limits()


def checked(limits: object) -> Limits:
    """Itself. Raises LimitsRefused for what is no Limits."""
    if not isinstance(limits, Limits):
        raise LimitsRefused("limits is no Limits", hint="give Limits(bytes_max=…)")
    return limits
