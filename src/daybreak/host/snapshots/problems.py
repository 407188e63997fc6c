"""What can go wrong with a snapshot, and what the system's own complaints become."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from daybreak.errors import HostError

PATH_BYTES_MAX = 4096
"""What Linux takes; longer ones are refused before anything is touched."""


class SnapshotError(HostError):
    """A snapshot could not be made, read or restored; nothing half-made is left."""

    code = "H220"


class SnapshotDamaged(SnapshotError):
    """A snapshot is not as it was made; it is never restored."""

    code = "H221"


class SnapshotMissing(SnapshotError):
    """There is no snapshot of that name."""

    code = "H222"


class StoreUnusable(SnapshotError):
    """The folder of the snapshots, or the one to restore into, cannot be used."""

    code = "H223"


class StoreFull(SnapshotError):
    """The disk is too full."""

    code = "H224"


class SourceUnusable(SnapshotError):
    """What is to be copied cannot be copied as it is."""

    code = "H225"


class TargetOccupied(SnapshotError):
    """Something is already where a snapshot should be restored to."""

    code = "H226"


class StoreBusy(SnapshotError):
    """Another process is making, restoring or pruning snapshots there."""

    code = "H227"


class BadArgument(SnapshotError):
    """A name, a folder or a rule that makes no sense."""

    code = "H228"


class CompressorMissing(SnapshotError):
    """The library that compresses is not installed; there is no other format that would be used instead."""

    code = "H229"


def damaged(name: str, what: str) -> SnapshotDamaged:
    return SnapshotDamaged(
        f"snapshot {name} is damaged: {what}",
        hint="nothing was restored from it; use another one (`daybreak snapshot list`), and look at that disk",
    )


@contextlib.contextmanager
def disk(where: Path, doing: str) -> Iterator[None]:
    """The system's refusals as StoreFull or StoreUnusable: "`where`: `doing` failed: …"."""
    try:
        yield
    except OSError as error:
        raise refused(error, where, doing) from error


def refused(error: OSError, where: Path, doing: str) -> SnapshotError:
    what = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreFull(
            f"{where}: {doing} failed: {what}",
            hint="nothing half-made was left; make room (`daybreak snapshot prune`), or use a store on another disk",
        )
    return StoreUnusable(
        f"{where}: {doing} failed: {what}",
        hint="nothing half-made was left; check that the folder is there and may be written, or name another",
    )


def checked_path(given: object, what: str) -> Path:
    """An absolute path from whatever a caller passed. Raises BadArgument for what no system takes as one."""
    if not isinstance(given, str | os.PathLike):
        raise BadArgument(f"{what} must be a path, not {type(given).__name__}", hint="pass a pathlib.Path")
    text = os.fspath(given)
    try:
        if not isinstance(text, str) or not text or "\0" in text:
            raise ValueError("it is empty, holds a NUL or is not text")
        if len(os.fsencode(text)) >= PATH_BYTES_MAX:
            raise ValueError(f"it is longer than {PATH_BYTES_MAX - 1} bytes")
        return Path(text).absolute()
    except (ValueError, OSError) as error:  # OSError: the working directory is gone
        raise BadArgument(f"{what} cannot be a path: {error}", hint="name a folder") from error
