"""What stands beside the archive: every file with its SHA-256, and the checksums of both in `sha256sum`'s own format.

A snapshot is a folder of three files. `sha256sum -c SHA256SUMS` and `tar --zstd -xf state.tar.zst` read it without us.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from daybreak.host.snapshots.disk import WINDOWS
from daybreak.host.snapshots.problems import PATH_BYTES_MAX, damaged, disk

FORMAT = 1
ARCHIVE = "state.tar.zst"
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
FILES = frozenset({ARCHIVE, MANIFEST, SUMS})

MANIFEST_BYTES_MAX = 512 * 1024 * 1024
_SUMS_BYTES_MAX = 4096
_DIGEST = re.compile(r"[0-9a-f]{64}")
_WINDOWS_FORBIDS = re.compile(r'[<>:"\\|?*\x00-\x1f]|[. ]$')
SIZE_MAX = 2**62


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One file in the archive."""

    path: str
    """Relative, with `/`; the first part is the name of its source."""
    size: int
    """Bytes."""
    sha256: str
    """64 hex digits."""
    mode: int
    """Permission bits."""
    modified: int
    """Seconds since 1970."""


class Archive(msgspec.Struct, frozen=True):
    """The compressed file."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a snapshot without opening it."""

    format: int = FORMAT
    name: str
    created: datetime
    """Aware, in UTC."""
    archive: Archive
    databases: list[str]
    """Which of the files are SQLite databases; they were copied through SQLite."""
    notes: dict[str, Any]
    """What the maker wanted to be remembered."""
    files: list[Entry]

    @property
    def total(self) -> int:
        """Bytes of all files, unpacked."""
        return sum(entry.size for entry in self.files)


def write(folder: Path, manifest: Manifest) -> str:
    """Manifest and checksums into a folder that holds the archive. Returns the SHA-256 of the manifest. Not synced."""
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    digest = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_bytes(data)
    (folder / SUMS).write_bytes(_sums(digest, manifest.archive.sha256))
    return digest


def read(folder: Path) -> tuple[Manifest, str]:
    """The manifest and its SHA-256, checked against the checksums and against itself. The archive is not read.

    Raises SnapshotDamaged, StoreUnusable.
    """
    name = folder.name
    with disk(folder, "reading the snapshot"):
        present = {path.name for path in folder.iterdir()}
        if present != FILES:
            raise damaged(name, _difference(present))
        for file in FILES:
            path = folder / file
            if path.is_symlink() or not path.is_file():
                raise damaged(name, f"{file} is no ordinary file")
        sums = _read_bounded(folder / SUMS, _SUMS_BYTES_MAX)
        data = _read_bounded(folder / MANIFEST, MANIFEST_BYTES_MAX)
    digest = hashlib.sha256(data).hexdigest()
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(name, f"{MANIFEST} cannot be read: {error}") from error
    if sums != _sums(digest, manifest.archive.sha256):
        raise damaged(name, f"{SUMS} does not fit {MANIFEST}: one of them was changed")
    _check(name, manifest)
    return manifest, digest


def _sums(manifest: str, archive: str) -> bytes:
    return f"{manifest}  {MANIFEST}\n{archive}  {ARCHIVE}\n".encode()


def _read_bounded(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise damaged(path.parent.name, f"{path.name} is longer than {most} bytes")
    return data


def _difference(present: set[str]) -> str:
    if foreign := sorted(present - FILES):
        return f"it holds {foreign[0]!r}, which does not belong there"
    return f"{sorted(FILES - present)[0]} is missing"


def _check(name: str, manifest: Manifest) -> None:
    """Everything that a consistent but hostile manifest could say."""
    if manifest.format != FORMAT:
        raise damaged(name, f"it has format {manifest.format}, this program knows {FORMAT}")
    if manifest.name != name:
        raise damaged(name, f"its manifest is that of {manifest.name!r}")
    if manifest.created.tzinfo is None:
        raise damaged(name, "its time has no zone")
    sizes = [manifest.archive.size, *(entry.size for entry in manifest.files)]
    digests = [manifest.archive.sha256, *(entry.sha256 for entry in manifest.files)]
    if not all(0 <= size <= SIZE_MAX for size in sizes) or not all(_DIGEST.fullmatch(digest) for digest in digests):
        raise damaged(name, "a size or checksum in its manifest makes no sense")
    paths = {entry.path for entry in manifest.files}
    if len(paths) != len(manifest.files) or not set(manifest.databases) <= paths:
        raise damaged(name, "its manifest names a file twice, or a database that is no file of it")
    for entry in manifest.files:
        if not safe(entry.path) or not 0 <= entry.mode <= 0o777 or not 0 <= entry.modified < 2**33:
            raise damaged(name, f"its manifest holds {entry.path!r}, which is no place inside a snapshot")
        if any(parent in paths for parent in _parents(entry.path)):
            raise damaged(name, f"its manifest holds {entry.path!r} below a file")


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def safe(path: str, *, windows: bool = WINDOWS) -> bool:
    """Does it stay inside the folder that it is unpacked into, on this system?"""
    parts = path.split("/")
    try:
        if len(path.encode()) >= PATH_BYTES_MAX or "\0" in path or any(len(part.encode()) > 255 for part in parts):
            return False
    except UnicodeEncodeError:
        return False
    if windows and any(_WINDOWS_FORBIDS.search(part) for part in parts):
        return False
    return not any(part in ("", ".", "..") for part in parts)
