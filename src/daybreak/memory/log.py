"""What memory needs of a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from daybreak.ledger import Draft, Record


class Asked(Protocol):
    """Whatever answers questions about the views."""

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


class Log(Asked, Protocol):
    """The part of a ledger that is needed here."""

    def append(self, drafts: Sequence[Draft]) -> list[Record]: ...
