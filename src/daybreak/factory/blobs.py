"""The blobs that events of every kind of task refer to: what a snapshot keeps and `ledger verify` looks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from daybreak.events import ArtefactMade, Event, SpecificationDrafted, StepDone, StepFailed, StepTried, TaskAdded
from daybreak.factory.kinds import build, command, issues, merge, repository, validate
from daybreak.ledger import Record


def blobs_of(event: Event) -> Iterator[str]:
    """SHA-256 of each, hexadecimal."""
    yield from build.blobs_of(event)
    yield from command.blobs_of(event)
    yield from issues.blobs_of(event)
    yield from merge.blobs_of(event)
    yield from repository.blobs_of(event)
    yield from validate.blobs_of(event)


class _OfRecord:
    """`blobs_of` for `ledger.verify`, which asks only about events of these types, and may ask in another process."""

    of: Final = frozenset(
        kind.type for kind in (ArtefactMade, SpecificationDrafted, StepDone, StepFailed, StepTried, TaskAdded)
    )

    def __init__(self) -> None:
        self.__qualname__ = "of_record"

    def __call__(self, record: Record) -> Iterator[str]:
        return blobs_of(record.event)


of_record: Final = _OfRecord()
