"""A whole folder put in its place, on disk before we say so; what delivers the result of a build.

`put_folder` copies it beside the target under a temporary name, syncs every file and folder, and lets one rename (or
one exchange, where the target is there already) make it appear. A crash leaves the old state or the new one, and
perhaps a folder named `.NAME.daybreak-*` beside the target, which the next `put_folder` to that target removes.
Several processes may put folders side by side, also to the same target: one after the other wins, or is refused.
Where the system cannot exchange two folders, it is a transaction in the target's parent, and the next `put_folder`
there, or `recover`, finishes what a crash has left.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from daybreak.errors import DeliveryError
from daybreak.host import durable, place
from daybreak.host.files import copying, hearing
from daybreak.host.files.disk import Disk, open_disk
from daybreak.host.files.paths import PARTS_MAX, WORK
from daybreak.host.files.problems import FULL, FilesError, PathRefused, RootBusy
from daybreak.host.files.transaction import Transaction, recover

_lines = logging.getLogger(__name__)

_SPARE_BYTES = 16 * 1024 * 1024
"""Disk space beyond the folder's own size that must be free."""
_WAIT_S = 60.0


class TargetUnusable(DeliveryError):
    """A folder cannot be put where it was asked for."""

    code = "D101"


class NoRoom(DeliveryError):
    """The disk is too full."""

    code = "D102"


class NotDelivered(DeliveryError):
    """The system refused; the target is as it was."""

    code = "D103"


def check_target(target: str | os.PathLike[str], bytes_needed: int = 0) -> None:
    """Whether `put_folder` could work: TargetUnusable or NoRoom says why not. Looks only; parents may be missing."""
    if type(bytes_needed) is not int or bytes_needed < 0:
        raise TargetUnusable(f"{place.shown(bytes_needed)} are no bytes", hint="give a number from 0 on")
    _check_target(_target(target), bytes_needed)


def _target(path: object) -> Path:
    return place.checked(path, TargetUnusable, hint="name a folder that is not there yet")


def _check_target(target: Path, bytes_needed: int) -> None:
    try:
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise TargetUnusable(
                f"{place.cut(str(target))} is not a folder", hint="name a folder that is not there yet"
            )
        parent = next(above for above in target.absolute().parents if above.exists() or above.is_symlink())
    except OSError as error:  # a name that no file system takes
        raise TargetUnusable(
            f"{place.cut(str(target))} cannot be a folder: {error.strerror}", hint="name another folder"
        ) from error
    if not parent.is_dir():
        raise TargetUnusable(f"{place.cut(str(parent))} is not a folder", hint="name a folder below one")
    if not os.access(parent, os.W_OK | os.X_OK) or _read_only(parent):
        raise TargetUnusable(
            f"{place.cut(str(parent))} cannot be written", hint="choose another folder, or change its permissions"
        )
    free = shutil.disk_usage(parent).free
    needed = bytes_needed + _SPARE_BYTES
    if free < needed:
        raise NoRoom(
            f"{place.cut(str(parent))} has {free // 2**20} MiB free, {needed // 2**20} are needed",
            hint="make room, or choose a folder on another disk",
        )


Refusal = Callable[[Path], None]
"""Looks at the folder that was just replaced and raises where it may not go."""


class _CannotExchange(Exception):
    """Two folders cannot change places in one step here."""


def put_folder(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, refuse: Refusal | None = None
) -> None:
    """Make `target` a copy of `source`, whole or not at all, and its missing parents. A folder that is there already
    is exchanged in one step and then removed: the caller has made sure that it may be. `refuse` is asked about it once
    more when nobody can reach it by its name any longer, so that a change of the last moment is not lost: where it
    raises, the folders are exchanged back. Raises TargetUnusable, NoRoom, NotDelivered, and what `refuse` raises."""
    new, old = place.checked(source, NotDelivered, hint="name the folder that is to be put"), _target(target)
    if refuse is not None and not callable(refuse):
        raise NotDelivered(f"{place.shown(refuse)} cannot refuse anything", hint="give a function, or leave it out")
    try:
        size = _size(new)
    except (OSError, FilesError) as error:
        raise _not_delivered(error, old) from error
    began_ns = hearing.begun()
    _check_target(old, size)
    _make_parents(old)
    _deliver(new, old, refuse)
    _lines.debug("put the folder %s, %d bytes", old, size)
    hearing.wrote(old, 1, began_ns)


def _size(folder: Path) -> int:
    """Bytes of all files in it. Raises OSError, and PathRefused where it is too deep to be copied."""
    total, waiting = 0, [(folder, 0)]
    while waiting:
        here, depth = waiting.pop()
        if depth > PARTS_MAX:
            raise PathRefused(f"{place.cut(str(folder))} is deeper than {PARTS_MAX} folders", hint="flatten it")
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((here / entry.name, depth + 1))
                elif entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def _deliver(source: Path, target: Path, refuse: Refusal | None) -> None:
    try:
        if os.path.lexists(target.parent / WORK):
            with contextlib.suppress(RootBusy):  # somebody is at work there, not dead
                recover(target.parent)
        if sys.platform == "win32":
            _put_by_transaction(source, target, refuse)
            return
        _remove_leftovers(target)
        try:
            _put(source, target, refuse)
        except _CannotExchange:
            _put_by_transaction(source, target, refuse)
    except (OSError, FilesError) as error:
        raise _not_delivered(error, target) from error


def remove_leftovers(target: str | os.PathLike[str]) -> None:
    """Remove what a crashed `put_folder` to `target` left beside it: real folders of exactly its naming that no living
    process has locked. Raises TargetUnusable, and NotDelivered where it cannot be looked for."""
    found = _target(target)
    try:
        _remove_leftovers(found)
    except FileNotFoundError:
        return  # no folder there, so no leftovers
    except OSError as error:
        raise _not_delivered(error, found) from error


def _remove_leftovers(target: Path) -> None:
    name = re.compile(re.escape(f".{target.name}.daybreak-") + "[0-9a-f]{12}")
    for leftover in target.parent.iterdir():
        if name.fullmatch(leftover.name) and (hold := _lock(leftover)) is not None:
            _remove(leftover)
            os.close(hold)


def _remove(staged: Path) -> None:
    """What cannot be removed now is a leftover for the next one."""
    with contextlib.suppress(OSError):
        disk = open_disk(staged.parent)
        try:
            disk.remove(staged.name)
        finally:
            disk.close()


def _make_parents(target: Path) -> None:
    """Make the folders above `target` that are missing, each durable before the next."""
    try:
        durable.make_folder(target.parent, 0o777)
    except OSError as error:
        raise _not_delivered(error, target) from error


def _put(source: Path, target: Path, refuse: Refusal | None) -> None:
    disk = open_disk(target.parent)
    try:
        staged, hold = _stage(target)
        try:
            # The staged folder itself is there already, empty: it is the locked one.
            copying.fill_folder(disk, source, staged.name)
            disk.sync_folders(staged.name)
            if target.exists():
                _replace(disk, staged, target, refuse)
            else:
                disk.move(staged.name, target.name)
            disk.sync("")
        finally:  # the old folder after an exchange, or what was copied before a refusal
            _remove(staged)
            os.close(hold)
    finally:
        disk.close()


def _put_by_transaction(source: Path, target: Path, refuse: Refusal | None) -> None:
    with Transaction(target.parent, wait_s=_WAIT_S, refuse=refuse) as files:
        files.put_folder(target.name, source)


def _stage(target: Path) -> tuple[Path, int]:
    """A fresh folder beside the target, and the descriptor that keeps it locked: `remove_leftovers` of another
    process leaves it alone, and the kernel frees it when this one dies."""
    while True:
        staged = target.with_name(f".{target.name}.daybreak-{os.urandom(6).hex()}")
        staged.mkdir()
        hold = _lock(staged)
        if hold is not None:
            return staged, hold
        # Another process took it for a leftover before it was locked, and removes it.


def _lock(folder: Path) -> int | None:
    """A descriptor that locks the folder that stands at this path; None where somebody else has it, or it is gone."""
    import fcntl  # not on Windows, where this is not used

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


def _replace(disk: Disk, staged: Path, target: Path, refuse: Refusal | None) -> None:
    """Exchange; then look at what was there, and exchange back if it must stay."""
    hold = _lock(target)  # it is about to have a leftover's name
    if hold is None:
        raise OSError(errno.EBUSY, "somebody else is putting a folder there, or changing it in a transaction")
    try:
        if not disk.exchange(staged.name, target.name):
            raise _CannotExchange
        if refuse is not None:
            try:
                refuse(staged)
            except BaseException:
                disk.exchange(staged.name, target.name)
                raise
    finally:
        os.close(hold)


def _read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _not_delivered(error: OSError | FilesError, target: Path) -> DeliveryError:
    what = (error.strerror if isinstance(error, OSError) else None) or str(error)
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and cause.errno in FULL:
        return NoRoom(f"{place.cut(str(target))} was not delivered: {what}", hint="make room, then `daybreak resume`")
    return NotDelivered(
        f"{place.cut(str(target))} was not delivered: {what}",
        hint="it is as it was; mend the cause, then `daybreak resume`",
    )
