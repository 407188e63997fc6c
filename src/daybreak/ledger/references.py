"""Are the blobs there that events refer to? Part of `verification`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import msgspec

from daybreak.errors import DaybreakError
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.record import Header, Record, place, record_of
from daybreak.ledger.sealing import Subjects

if TYPE_CHECKING:
    from daybreak.ledger.chaincheck import Row

BlobsOf = Callable[[Record], Iterable[str]]
"""The digests that a record refers to. It may have an attribute `of`: the types of the events that it has to be asked
about."""


class References:
    """Asks about the rows of pages."""

    def __init__(self, blobs_of: BlobsOf, blobs: BlobStore, subjects: Subjects | None = None) -> None:
        self._blobs_of = blobs_of
        self._blobs = blobs
        self._subjects = subjects
        self._types: frozenset[str] | None = getattr(blobs_of, "of", None)

    def missing(
        self, rows: Sequence[Row], headers: Sequence[Header | None], hashes: Sequence[bytes]
    ) -> list[tuple[str, str]]:
        """(place, what is wrong) of each that is not as it was. Rows whose header is None, or whose payload cannot be
        read, are left to others."""
        found = []
        for row, header, digest in zip(rows, headers, hashes, strict=True):
            if header is None or (self._types is not None and header.type not in self._types):
                continue
            leaf, stream, seq, _, _, raw, payload = row
            try:
                data = self._blobs.get(header.payload) if payload is None else payload
                wanted = list(self._blobs_of(record_of(leaf, header, raw, data, digest, self._subjects)))
            except (DaybreakError, msgspec.MsgspecError, UnicodeDecodeError, OSError):
                continue  # the event itself is reported
            for name in wanted:
                try:
                    self._blobs.get(name)
                except (DaybreakError, OSError) as error:
                    found.append((place(leaf, stream, seq), f"refers to what is not as it was: {error}"))
        return found


def name_of(blobs_of: BlobsOf) -> str:
    """Where another process finds the same function; empty where it cannot."""
    module, name = getattr(blobs_of, "__module__", ""), getattr(blobs_of, "__qualname__", "")
    found = getattr(sys.modules.get(module), name, None)
    return f"{module}:{name}" if found is blobs_of and module != "__main__" else ""


def named(name: str) -> BlobsOf:
    """What `name_of` named. Raises ImportError, AttributeError."""
    module, _, function = name.partition(":")
    found: BlobsOf = getattr(import_module(module), function)
    return found
