"""Content-addressed bytes beside the ledger: what is too large for an event.

A blob's name is the SHA-256 of its bytes, so it never changes. It is on disk, file and folder, before `put`
returns; therefore an event that names it is never durable without it.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path

from daybreak.errors import BlobDamaged, BlobMissing, DraftRefused
from daybreak.host.durable import make_folder, write_synced

_DIGEST = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """A folder: `ab/abcd…`, each file written once, mode 0600."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Store; returns the SHA-256 in hex. Idempotent. A damaged copy already there is replaced."""
        digest = sha256(data).hexdigest()
        path = self._path(digest)
        try:
            if path.read_bytes() == data:
                return digest
        except FileNotFoundError:
            make_folder(path.parent)
        write_synced(path, data)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes, checked against their name. Raises BlobMissing, BlobDamaged."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise BlobMissing(
                f"blob {digest} is not at {path}",
                hint="restore it from a copy; `daybreak ledger verify` lists the events that need it.",
            ) from None
        if sha256(data).hexdigest() != digest:
            raise BlobDamaged(
                f"blob {digest} at {path} holds other bytes than were put there",
                hint="restore it from a copy; what it said is no longer known here.",
            )
        return data

    def has(self, digest: str) -> bool:
        """Is there a file of this name? Its bytes are checked by `get`."""
        return os.path.isfile(self._path(digest))

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise DraftRefused(f"{digest!r} names no blob", hint="a blob's name is 64 hex digits.")
        return self.folder / digest[:2] / digest
