"""The blobs that events of every kind of task refer to: what a snapshot keeps and `ledger verify` looks for."""

from __future__ import annotations

from collections.abc import Iterator

from daybreak.events import Event
from daybreak.factory.kinds import build, command, issues, merge, repository, validate


def blobs_of(event: Event) -> Iterator[str]:
    """SHA-256 of each, hexadecimal."""
    yield from build.blobs_of(event)
    yield from command.blobs_of(event)
    yield from issues.blobs_of(event)
    yield from merge.blobs_of(event)
    yield from repository.blobs_of(event)
    yield from validate.blobs_of(event)
