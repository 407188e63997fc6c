"""Where a bundle is to lie: looked at before any work, and taken at the end, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from daybreak.errors import HostError, UsageError, cut
from daybreak.host import durable

FILE_BYTES = 100_000_000
WORK_BYTES = 1_500_000_000
"""What packing and trying it need for a while."""


class TargetRefused(UsageError):
    """A bundle cannot, or may not, be put where it was asked for."""

    code = "U396"


class NoRoomForBundle(HostError):
    """The disk is too full to make a bundle."""

    code = "U397"


def target(path: Path, *, force: bool) -> Path:
    """Where it will lie, absolute and without links on the way. Raises TargetRefused."""
    try:
        folder = path.absolute().parent.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it leads nowhere"
        raise TargetRefused(f"the folder of {cut(path)} cannot be used: {why}", hint="make the folder first") from error
    final = folder / path.name
    if not path.name or not folder.is_dir():
        raise TargetRefused(f"{cut(path)} names no file", hint="name a file: daybreak bundle -o daybreak.pyz")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TargetRefused(f"{cut(folder)} cannot be written", hint="name another folder")
    if os.path.lexists(final):
        if final.is_symlink() or not final.is_file():
            raise TargetRefused(f"{cut(final)} is there and is no plain file", hint="name another file")
        if not force:
            raise _exists(final)
    return final


def check_room(folder: Path, needed: int) -> None:
    """Raises NoRoomForBundle."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoRoomForBundle(
            f"{cut(folder)} has {free // 1_000_000} MB free, {needed // 1_000_000} MB are needed",
            hint="make room, or set TMPDIR to a folder with more, or name another place with -o",
        )


@contextlib.contextmanager
def room_for(final: Path) -> Iterator[tuple[Path, Path]]:
    """(scratch, file): a folder for the work, and a name beside `final`; both are gone afterwards.

    Raises NoRoomForBundle, also for what is raised inside because a disk is full."""
    scratch = Path(tempfile.mkdtemp(prefix="daybreak-bundle-")).resolve()
    aside = final.with_name(f".{os.urandom(8).hex()}.daybreak-bundle")
    try:
        check_room(scratch, WORK_BYTES)
        check_room(final.parent, FILE_BYTES)
        yield scratch, aside
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoRoomForBundle(
            f"the disk is full: {cut(error.filename or scratch)}", hint="make room, or set TMPDIR to a folder with more"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)


def place(file: Path, final: Path, *, force: bool) -> None:
    """Give `file` its name in one step, on the disk; one that appeared meanwhile stays. Raises TargetRefused."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        durable.sync(descriptor)
    finally:
        os.close(descriptor)
    if force:
        os.replace(file, final)
    else:
        _name(file, final)
    durable.sync_folder(final.parent)


def _name(file: Path, final: Path) -> None:
    """A hard link fails where the name is taken; where a file system has none, the name is taken empty first."""
    try:
        try:
            os.link(file, final)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise
            final.touch(exist_ok=False)
            os.replace(file, final)
    except FileExistsError:
        raise _exists(final) from None


def _exists(final: Path) -> TargetRefused:
    return TargetRefused(f"{cut(final)} is there already", hint="--force replaces it; or name another file")
