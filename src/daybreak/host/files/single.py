"""One small file, replaced whole: the shortest way to the disk that keeps the promise."""

from __future__ import annotations

import logging
import os
from typing import Any

from daybreak.host import durable, place
from daybreak.host.files import content, copying, hearing
from daybreak.host.files.content import Content
from daybreak.host.files.disk import Disk, open_disk
from daybreak.host.files.problems import AlreadyThere, FilesError, LinkRefused, NotWritten, PathRefused, told

_lines = logging.getLogger(__name__)


def write_file(path: str | os.PathLike[str], data: Content, *, mode: int | None = None) -> None:
    """Replace `path` with `data` (see `Transaction.write`), durably: after a crash it holds the old bytes or the new
    ones, and at any moment readers see one of them whole.

    `mode`: permissions, less the umask; None: those of the file that is there, with its owner and access list, or
    0o644 for a new one. A symbolic link at `path` is itself replaced; above, links are followed as ever. A crash may
    leave a file named `.NAME.daybreak-*` beside it. Raises NotWritten, or ContentRefused.
    """
    folder, name = _place(path)
    content.check_mode(mode)
    began_ns = hearing.begun()
    try:
        disk = open_disk(folder or os.curdir)
        try:
            _write(disk, folder, name, data, mode)
        finally:
            disk.close()
    except content.SourceFailed as failed:
        raise failed.error from None
    except (OSError, LinkRefused, AlreadyThere) as error:
        raise _refused(folder, name, error) from error
    _lines.debug("wrote %s", path)
    hearing.wrote(os.fspath(path), 1, began_ns)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Put the folder's own entries on disk. On Windows, which needs no such thing, nothing is done. Raises PathRefused
    for what is no path, FilesError where the system refuses."""
    checked = place.checked(folder, PathRefused, hint="name a folder")
    with told(f"{place.cut(str(checked))} could not be synced"):
        durable.sync_folder(checked)


def _write(disk: Disk, folder: str, name: str, data: Content, mode: int | None) -> None:
    there = disk.look(name) if mode is None else None
    keeps = there is not None and there.kind == "file"
    if mode is None:
        mode = 0o600 if keeps else 0o644

    def fill(descriptor: int) -> None:
        content.write_all(descriptor, data, lambda error: _refused(folder, name, error))
        if keeps:
            copying.dress_as(disk, name, descriptor)

    durable.replace_at(disk.root, name, fill, mode)


def _place(path: Any) -> tuple[str, str]:
    """The folder and the name in it. Raises PathRefused."""
    if (why := place.why_not(path)) is not None:
        raise PathRefused(f"{place.shown(path)} is {why}", hint="give a path as text or as a Path")
    folder, name = os.path.split(os.fspath(path))
    if name in ("", os.curdir, os.pardir):
        raise PathRefused(f"{place.shown(path)} does not name a file", hint="give a folder and a name")
    return folder, name


def _refused(folder: str, name: str, error: OSError | FilesError) -> NotWritten:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return NotWritten(
        f"{place.cut(os.path.join(folder, name))} could not be written: {why}",
        hint="nothing was changed; make room or check the permissions, then try again",
    )
