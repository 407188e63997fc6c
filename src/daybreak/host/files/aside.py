"""A folder or a file gets out of the way without a byte of it being lost: it is renamed beside where it stood.

One step of the file system, so a crash leaves it under the one name or the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from daybreak.errors import DeliveryError
from daybreak.host import place
from daybreak.host.files.disk import Disk, open_disk


class NotMovedAside(DeliveryError):
    """The system refused a rename; everything stands where it stood."""

    code = "D161"


def move_aside(target: Path, aside: Path, refuse: Callable[[Path], None], *, swap: bool = False) -> None:
    """Give what stands at `target` the name `aside` in the same folder; with `swap`, what stands at `aside` takes its
    place in the same step, and otherwise nothing may stand there. `refuse` is asked about it when nobody can reach it
    by its old name any more; what that raises is raised when everything stands as before. Raises NotMovedAside."""
    assert target.parent == aside.parent, "a rename stays in one folder"
    try:
        disk = open_disk(target.parent)
    except OSError as error:
        raise _refused(target, aside, error) from error
    try:
        _rename(disk, target.name, aside.name, swap=swap)
        try:
            refuse(aside)
        except BaseException:
            _rename(disk, aside.name, target.name, swap=swap)
            raise
        disk.sync("")
    except OSError as error:
        raise _refused(target, aside, error) from error
    finally:
        disk.close()


def _rename(disk: Disk, old: str, new: str, *, swap: bool) -> None:
    if not swap:
        disk.move(old, new)
    elif not disk.exchange(old, new):
        raise OSError(0, "two names cannot change places in one step on this file system")


def _refused(target: Path, aside: Path, error: OSError) -> NotMovedAside:
    return NotMovedAside(
        f"{place.cut(str(target))} could not be renamed to {aside.name}: {error.strerror or type(error).__name__}",
        hint="everything stands where it stood; mend the cause, then say it again, or rename it by hand",
    )
