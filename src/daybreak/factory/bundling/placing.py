"""Where a bundle is to lie: looked at before any work, and taken at the end, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from daybreak.errors import HostError, UsageError, cut
from daybreak.host import durable

FILE_BYTES = 100_000_000
WORK_BYTES = 1_500_000_000
"""What packing and trying it need for a while."""
_SCRATCH = "daybreak-bundle-"
_SCRATCH_NAME = re.compile(re.escape(_SCRATCH) + r"[a-z0-9_]{8}")
_ASIDE_NAME = re.compile(r"\.[0-9a-f]{16}\.daybreak-bundle")


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
def room_for(final: Path, say: Callable[[str], None] = lambda words: None) -> Iterator[tuple[Path, Path]]:
    """(scratch, file): a folder for the work, and an empty file beside `final`; both are gone afterwards.

    They are locked as long as we live: what has the name of one and no lock was left by one that was killed, and is
    removed first. Raises NoRoomForBundle, also for what is raised inside because a disk is full."""
    temporary = Path(tempfile.gettempdir())
    for left in (*_left_in(temporary, _SCRATCH_NAME), *_left_in(final.parent, _ASIDE_NAME)):
        _remove_left(left, say)
    with contextlib.ExitStack() as held:
        scratch = _locked(lambda: Path(tempfile.mkdtemp(prefix=_SCRATCH)), held).resolve()
        held.callback(shutil.rmtree, scratch, ignore_errors=True)
        aside = _locked(lambda: _empty(final.with_name(f".{os.urandom(8).hex()}.daybreak-bundle")), held)
        held.callback(aside.unlink, missing_ok=True)
        with _full_disk_told(scratch):
            check_room(scratch, WORK_BYTES)
            check_room(final.parent, FILE_BYTES)
            yield scratch, aside


@contextlib.contextmanager
def _full_disk_told(scratch: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoRoomForBundle(
            f"the disk is full: {cut(error.filename or scratch)}", hint="make room, or set TMPDIR to a folder with more"
        ) from error


def _empty(path: Path) -> Path:
    path.touch(mode=0o600, exist_ok=False)
    return path


def _locked(make: Callable[[], Path], held: contextlib.ExitStack) -> Path:
    """What `make` has made, locked until `held` closes. It is made anew where somebody took it for left in between."""
    while True:
        path = make()
        try:
            descriptor = _lock(path)
        except OSError:  # a file system without locks: nobody can take it for left either
            return path
        if descriptor is not None:
            held.callback(os.close, descriptor)
            return path


def _lock(path: Path) -> int | None:
    """None: somebody holds it, or it is gone. Raises OSError where it cannot be locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _left_in(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """By name and owner; whether somebody holds it is not looked at."""
    found = []
    for path in folder.iterdir() if os.access(folder, os.R_OK) else ():
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            plain = stat.S_ISDIR(status.st_mode) if name is _SCRATCH_NAME else stat.S_ISREG(status.st_mode)
            if name.fullmatch(path.name) and plain and status.st_uid == os.geteuid():
                found.append(path)
    return found


def _remove_left(path: Path, say: Callable[[str], None]) -> None:
    try:
        descriptor = _lock(path)
    except OSError:
        return
    if descriptor is None:
        return
    try:
        say(f"removing what an interrupted run has left: {cut(path)}")
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


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
