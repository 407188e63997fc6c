"""What memory needs of a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from daybreak.events import run_stream
from daybreak.ledger import Draft, Record


class Asked(Protocol):
    """Whatever answers questions about the views."""

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


def is_copy(record: Record, run: str) -> bool:
    """Is it what another run told, at the head of the stream of one that was forked from it? Owners count from 1."""
    return record.epoch == 0 and record.stream == run_stream(run)


class Log(Asked, Protocol):
    """The part of a ledger that is needed here."""

    def append(self, drafts: Sequence[Draft]) -> list[Record]: ...
