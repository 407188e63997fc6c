"""Files and folders that appear whole or not at all, on disk before we say so.

`write_file` replaces one file. `put_folder` puts a whole folder in its place: it is copied beside the target
under a temporary name, every file and folder is synced, and one rename (or one exchange, where the target is
there already) makes it appear. A crash leaves the old state or the new one, and perhaps a folder named
`.NAME.daybreak-*` beside the target, which the next `put_folder` to that target removes. Several processes may
put folders side by side, also to the same target: one after the other wins, or is refused.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from daybreak.errors import DeliveryError, HostError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_SPARE_BYTES = 16 * 1024 * 1024
"""Disk space beyond the folder's own size that must be free."""


class NotWritten(HostError):
    """A file could not be written; what was there before is still there."""

    code = "H111"


class TargetUnusable(DeliveryError):
    """A folder cannot be put where it was asked for."""

    code = "D101"


class NoRoom(DeliveryError):
    """The disk is too full."""

    code = "D102"


class NotDelivered(DeliveryError):
    """The system refused; the target is as it was."""

    code = "D103"


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` with `data`, durably: after a crash it holds the old bytes or the new ones. Raises NotWritten."""
    temporary = path.with_name(f".{path.name}.daybreak-{os.urandom(6).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise NotWritten(
            f"{path} could not be written: {error.strerror or error}",
            hint="nothing was changed; make room or check the permissions, then try again",
        ) from error


def sync_folder(folder: Path) -> None:
    """Put the folder's own entries on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_target(target: Path, bytes_needed: int = 0) -> None:
    """Whether `put_folder` could work: TargetUnusable or NoRoom says why not. Looks only; parents may be missing."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise TargetUnusable(f"{target} is not a folder", hint="name a folder that is not there yet")
    parent = next(place for place in target.parents if place.exists() or place.is_symlink())
    if not parent.is_dir():
        raise TargetUnusable(f"{parent} is not a folder", hint="name a folder below one")
    if not os.access(parent, os.W_OK | os.X_OK) or _read_only(parent):
        raise TargetUnusable(f"{parent} cannot be written", hint="choose another folder, or change its permissions")
    free = shutil.disk_usage(parent).free
    if free < bytes_needed + _SPARE_BYTES:
        raise NoRoom(
            f"{parent} has {free // 2**20} MiB free, {(bytes_needed + _SPARE_BYTES) // 2**20} are needed",
            hint="make room, or choose a folder on another disk",
        )


Refusal = Callable[[Path], None]
"""Looks at the folder that was just replaced and raises where it may not go."""


def put_folder(source: Path, target: Path, *, refuse: Refusal | None = None) -> None:
    """Make `target` a copy of `source`, whole or not at all, and its missing parents. A folder that is there already
    is exchanged in one step and then removed: the caller has made sure that it may be. `refuse` is asked about it once
    more when nobody can reach it by its name any longer, so that a change of the last moment is not lost: where it
    raises, the folders are exchanged back. Raises TargetUnusable, NoRoom, NotDelivered, and what `refuse` raises."""
    check_target(target, sum(path.stat().st_size for path in source.rglob("*") if path.is_file()))
    _make_parents(target)
    remove_leftovers(target)
    staged, hold = _stage(target)
    try:
        shutil.copytree(source, staged, symlinks=True, dirs_exist_ok=True)
        _sync_tree(staged)
        if target.exists():
            _replace(staged, target, refuse)
        else:
            staged.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise _not_delivered(error, target) from error
    except shutil.Error as error:
        raise _not_delivered(OSError(errno.EIO, str(error.args[0][0][2])), target) from error
    finally:  # the old folder after an exchange, or what was copied before a refusal
        shutil.rmtree(staged, ignore_errors=True)
        os.close(hold)


def _make_parents(target: Path) -> None:
    """Make the folders above `target` that are missing, each durable before the next."""
    try:
        for folder in reversed(target.parents):
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                sync_folder(folder.parent)
    except OSError as error:
        raise _not_delivered(error, target) from error


def remove_leftovers(target: Path) -> None:
    """Remove what a crashed `put_folder` to `target` left beside it: real folders of exactly its naming that no living
    process has locked."""
    name = re.compile(re.escape(f".{target.name}.daybreak-") + "[0-9a-f]{12}")
    for leftover in target.parent.iterdir():
        if name.fullmatch(leftover.name) and (hold := _lock(leftover)) is not None:
            shutil.rmtree(leftover, ignore_errors=True)
            os.close(hold)


def _stage(target: Path) -> tuple[Path, int]:
    """A fresh folder beside the target, and the descriptor that keeps it locked: `remove_leftovers` of another
    process leaves it alone, and the kernel frees it when this one dies."""
    while True:
        staged = target.with_name(f".{target.name}.daybreak-{os.urandom(6).hex()}")
        try:
            staged.mkdir()
            hold = _lock(staged)
        except OSError as error:
            raise _not_delivered(error, target) from error
        if hold is not None:
            return staged, hold
        # Another process took it for a leftover before it was locked, and removes it.


def _lock(folder: Path) -> int | None:
    """A descriptor that locks the folder that stands at this path; None where somebody else has it, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a symbolic link is nothing of ours
            return None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.lstat(folder)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _replace(staged: Path, target: Path, refuse: Refusal | None) -> None:
    """Exchange; then look at what was there, and exchange back if it must stay."""
    hold = _lock(target)  # it is about to have a leftover's name
    if hold is None:
        raise OSError(errno.EBUSY, "somebody else is putting a folder there")
    try:
        _exchange(staged, target)
        if refuse is not None:
            try:
                refuse(staged)
            except BaseException:
                _exchange(staged, target)
                raise
    finally:
        os.close(hold)


def _sync_tree(folder: Path) -> None:
    for parent, _, files in os.walk(folder):
        for name in files:
            descriptor = os.open(Path(parent, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(parent))


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders in one step (renameat2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _not_delivered(error: OSError, target: Path) -> DeliveryError:
    what = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoom(f"{target} was not delivered: {what}", hint="make room, then `daybreak resume`")
    return NotDelivered(
        f"{target} was not delivered: {what}", hint="it is as it was; mend the cause, then `daybreak resume`"
    )


def is_private(path: Path) -> bool:
    """Whether nobody but the owner may read or write the file."""
    return not stat.S_IMODE(path.stat().st_mode) & 0o077
