"""Content-addressed bytes beside the ledger: what is too large for an event.

A blob's name is the SHA-256 of its bytes, so it never changes. It is on disk, file and folder, before `put`
returns; therefore an event that names it is never durable without it. That takes two syncs: of the file, and of the
folder that names it. Folders are made sixteen at a time, so that there is hardly ever a third one, of what names them.
"""

from __future__ import annotations

import os
import re
import threading
from hashlib import sha256
from pathlib import Path

from daybreak.errors import BlobDamaged, BlobMissing, DraftRefused, LedgerError
from daybreak.host.durable import make_folder, sync_folder, write_synced

_DIGEST = re.compile(r"[0-9a-f]{64}")
_HEX = "0123456789abcdef"


class BlobRefused(LedgerError):
    """The disk did not take a large payload, which lies beside the ledger. Nothing was appended, and nobody else is
    stopped by that."""

    code = "L119"


class BlobStore:
    """A folder: `ab/abcd…`, each file written once, mode 0600. From any thread, and from several processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._on_disk: set[str] = set()
        """Prefixes whose folders are there and on disk, as far as this process has seen to it."""
        self._lock = threading.Lock()

    def put(self, data: bytes) -> str:
        """Store; returns the SHA-256 in hex. Idempotent. A damaged copy already there is replaced."""
        digest = sha256(data).hexdigest()
        path = self._path(digest)
        self._see_to(digest[:2])
        try:
            is_there = path.read_bytes() == data
        except FileNotFoundError:
            is_there = False
        if is_there:
            sync_folder(path.parent)  # whoever wrote it may have been killed just before
        else:
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

    def bring(self) -> int:
        """Put what lies elsewhere into the folder; how many. A folder alone has everything."""
        return 0

    def _see_to(self, prefix: str) -> None:
        """The folder of that prefix is there and on disk. One that is there need not be on disk yet: whoever made it
        may have been killed in between, so the first look of a process ends with a sync in any case."""
        with self._lock:
            if prefix in self._on_disk:
                return
            if not self._on_disk:
                make_folder(self.folder)
            there = {name for name in os.listdir(self.folder) if len(name) == 2}
            if prefix not in there:
                beside = {prefix[0] + last for last in _HEX}
                for name in sorted(beside - there):
                    (self.folder / name).mkdir(mode=0o700, exist_ok=True)
                there |= beside
            sync_folder(self.folder)
            self._on_disk = there

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise DraftRefused(f"{digest!r} names no blob", hint="a blob's name is 64 hex digits.")
        return self.folder / digest[:2] / digest
