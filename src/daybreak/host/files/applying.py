"""Doing the steps of a transaction, and undoing them, from whatever state a crash left.

Each step either has happened or has not, which `_swapped` and its like see from the disk; doing what is done, or
undoing what is not, does nothing. So `forward` and `back` may be interrupted anywhere and called again.

Somebody who does not know of the transaction may change the same paths. While it runs, that is an error
(ChangedMeanwhile) and everything goes back; after a crash nobody can be asked, so what they put there is kept beside
it under a name of its own (`kept`).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable

from daybreak.host.files import copying
from daybreak.host.files.disk import Disk, Seen
from daybreak.host.files.intent import Make, Move, Step, Swap
from daybreak.host.files.paths import PART_BYTES_MAX, parent
from daybreak.host.files.problems import ChangedMeanwhile

_Pause = Callable[[], None]
"""Called before each step; may raise."""


class Applier:
    """`live`: the transaction that planned the steps still runs, and a change by others ends it."""

    def __init__(self, disk: Disk, *, live: bool) -> None:
        self._disk = disk
        self._live = live
        self.kept: list[str] = []
        """Where things are that somebody else put in the way."""

    def forward(self, steps: list[Step], pause: _Pause = lambda: None) -> None:
        """Do all that has not been done. Raises OSError, ChangedMeanwhile; then call `back`, or again."""
        for step in steps:
            pause()
            match step:
                case Make():
                    self._make(step)
                case Move():
                    self._rename(step.source, step.target, step.ino)
                case Swap():
                    self._swap(step)

    def back(self, steps: list[Step]) -> None:
        """Undo all that has been done. Raises OSError; then call it again."""
        self._live = False  # going back must arrive, whatever lies in the way
        for step in reversed(steps):
            match step:
                case Make(path):
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                        self._unmake(path)
                case Move():
                    self._rename(step.target, step.source, step.ino)
                case Swap():
                    self._swap_back(step)

    def check_displaced(self, steps: list[Step]) -> None:
        """Raises ChangedMeanwhile where what was replaced or removed is not what had been seen; after a crash: keeps
        it beside."""
        for step in steps:
            if isinstance(step, Swap) and step.leaves is not None:
                self._check_displaced(step)

    def sync(self, steps: list[Step]) -> None:
        """Every folder whose entries the steps change is on the disk, each synced once."""
        for folder in sorted(_touched(steps)):
            # A folder may be gone in the state that was reached: it was made by us, or is under another name.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._disk.sync(folder)

    # -- one step

    def _make(self, step: Make) -> None:
        try:
            self._disk.make_folder(step.path, 0o777)
        except FileExistsError:
            found = self._disk.look(step.path)
            if found is None or found.kind != "folder":
                self._vacate(step.path)
                self._disk.make_folder(step.path, 0o777)

    def _unmake(self, path: str) -> None:
        try:
            self._disk.remove_folder(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            self.kept.append(path)  # somebody has put something into it

    def _rename(self, source: str, target: str, ino: int) -> None:
        if _is(self._disk.look(target), ino):
            return
        if not _is(self._disk.look(source), ino):
            if self._live:
                raise _changed(source)
            self.kept.append(source)  # somebody has moved the folder elsewhere; there it stays
            return
        self._arrive(source, target)

    def _swap(self, step: Swap) -> None:
        if self._swapped(step):
            return
        if step.arrives is None:
            self._remove(step)
        elif step.leaves is None or self._disk.look(step.path) is None:
            self._replace_nothing(step)
        elif not self._disk.exchange(step.slot, step.path):
            self._swap_in_steps(step)

    def _swap_back(self, step: Swap) -> None:
        if step.arrives is None:
            if self._disk.look(step.slot) is not None:
                self._arrive(step.slot, step.path)
        elif not self._swapped(step):
            self._unsettle(step)
        elif self._disk.look(step.aside) is not None:
            self._swap_back_in_steps(step)
        elif self._disk.look(step.slot) is None:  # it had replaced nothing
            if _is(self._disk.look(step.path), step.arrives.ino):
                self._disk.move(step.path, step.slot)
        elif self._disk.look(step.path) is None:  # somebody removed the new one
            self._disk.move(step.slot, step.path)
        else:
            self._exchange_back(step, step.arrives)

    def _exchange_back(self, step: Swap, arrives: Seen) -> None:
        if not _is(self._disk.look(step.path), arrives.ino):
            self._vacate(step.path)  # theirs came after ours
            self._disk.move(step.slot, step.path)
        else:
            self._disk.exchange(step.slot, step.path)

    def _swapped(self, step: Swap) -> bool:
        if step.arrives is None:
            return self._disk.look(step.slot) is not None
        return not _is(self._disk.look(step.slot), step.arrives.ino) or _is(
            self._disk.look(step.path), step.arrives.ino
        )

    def _remove(self, step: Swap) -> None:
        found = self._disk.look(step.path)
        if self._live and found is None:
            raise _changed(step.path)
        if self._live or _is(found, step.leaves.ino if step.leaves else 0):
            self._disk.move(step.path, step.slot)
        elif found is not None:
            self.kept.append(step.path)  # ours is gone, and somebody has put something there

    def _replace_nothing(self, step: Swap) -> None:
        if self._live and step.leaves is not None:
            raise _changed(step.path)
        self._arrive(step.slot, step.path)

    def _arrive(self, source: str, target: str) -> None:
        try:
            self._disk.move(source, target)
        except FileExistsError:
            self._vacate(target)
            self._disk.move(source, target)

    def _vacate(self, path: str) -> None:
        """Something of somebody else's is where one of ours belongs."""
        if self._live:
            raise _changed(path)
        self.keep(path, path)

    def keep(self, place: str, path: str) -> None:
        """Move what is at `place` beside `path`, under a name that tells where it belongs."""
        folder, _, name = path.rpartition("/")
        suffix = f".daybreak-kept-{os.urandom(4).hex()}"
        short = name.encode()[: PART_BYTES_MAX - len(suffix)].decode(errors="ignore")
        beside = f"{folder}/{short}{suffix}" if folder else short + suffix
        self._disk.move(place, beside)
        self.kept.append(beside)

    def _check_displaced(self, step: Swap) -> None:
        place = step.aside if self._disk.look(step.aside) is not None else step.slot
        found = self._disk.look(place)
        if found is None or step.leaves is None or _same(found, step.leaves):
            return
        if self._live:
            raise _changed(step.path)
        if not (step.arrives and _is(found, step.arrives.ino)):
            self.keep(place, step.path)

    # -- file systems without exchange: the old one goes aside, until the end, and the new one comes

    def _swap_in_steps(self, step: Swap) -> None:
        found = self._disk.look(step.path)
        if self._disk.look(step.aside) is not None:
            self._disk.remove(step.aside)  # a second name or a copy of what is still in its place
        if found is not None and found.kind == "file" and step.arrives and step.arrives.kind == "file":
            if not self._disk.link(step.path, step.aside):
                copying.copy_file(self._disk, self._disk.open(step.path), step.aside)
            self._disk.replace(step.slot, step.path)
        else:
            self._disk.move(step.path, step.aside)
            self._disk.move(step.slot, step.path)

    def _swap_back_in_steps(self, step: Swap) -> None:
        found, old = self._disk.look(step.path), self._disk.look(step.aside)
        ours = step.arrives is not None and _is(found, step.arrives.ino)
        if found is not None and not ours:
            self._vacate(step.path)
            found = None
        if found is None:
            self._disk.move(step.aside, step.path)
        elif found.kind == "file" and old is not None and old.kind == "file":
            self._disk.replace(step.aside, step.path)  # the new one goes; after going back nobody needs it
        else:
            self._disk.move(step.path, step.slot)
            self._disk.move(step.aside, step.path)

    def _unsettle(self, step: Swap) -> None:
        """It was stopped between putting the old one aside and letting the new one come."""
        if self._disk.look(step.aside) is None:
            return
        if self._disk.look(step.path) is None:
            self._disk.move(step.aside, step.path)
        else:
            self._disk.remove(step.aside)


def _touched(steps: Iterable[Step]) -> set[str]:
    folders = set()
    for step in steps:
        match step:
            case Make(path):
                folders |= {path, parent(path)}
            case Move(source, target):
                folders |= {parent(source), parent(target)}
            case Swap(path):
                folders.add(parent(path))
    return folders


def _is(found: Seen | None, ino: int) -> bool:
    return found is not None and found.ino == ino


def _same(found: Seen, before: Seen) -> bool:
    """Whether it is still what it was. Not by inode number: a copy stands for it where there are no links."""
    return (found.kind, found.size, found.mtime_ns) == (before.kind, before.size, before.mtime_ns)


def _changed(path: str) -> ChangedMeanwhile:
    return ChangedMeanwhile(
        f"{path} was changed by somebody else while the transaction ran",
        hint="everything was rolled back and their change is kept; look at it, then do the transaction again",
    )
