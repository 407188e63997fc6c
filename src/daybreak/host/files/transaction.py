"""Many files, changed together or not at all.

    with transaction("notes") as files:
        files.write("2026/today.md", "# Today")
        files.rename("draft.md", "2026/plan.md")
        files.delete("old.md")

**What is promised.** Nothing below the root changes before the block is left. Leaving it commits; every exception
that leaves it, KeyboardInterrupt and SIGTERM included, rolls back. After the block all of it is on the disk (file
contents, and the folders that name them, are synced). After a crash at any moment, power loss included, the next
`transaction` or `recover` in that root completes what was begun or undoes it: all or none. Whoever reads a file at any
moment, with or without this library, sees it whole, old or new. No path leaves the root: symbolic links are refused, on
the way and at the end, by the walk itself and not by looking at text. A replaced file keeps its permissions, its owner
where we may, its access list and user attributes; a renamed or copied file keeps its times too. What is rolled back is
the old file itself, with its times. What somebody else changed while the transaction ran is never overwritten:
everything goes back and ChangedMeanwhile is raised.

**What is not promised.** No isolation between files: a reader that does not take part may, for the moment of the
commit, see one file new and another one old. A folder that is removed, put or renamed appears, goes or changes in one
step; if it replaces one, by exchange where the system can (elsewhere there is a moment without it, which recovery
knows). A write through a descriptor that somebody opened on the old file before the commit goes to the old file;
changes deep inside a folder that is replaced or removed are not looked for. Locks hold per root: transactions in
nested roots do not see each other. Empty folders that deleting files leaves stay. A replaced file loses its other
hard links. File systems without stable inode numbers (FAT) do not recover after they were unmounted, and network file
systems are as good as their own sync and locks. A signal that comes after the last step of a commit is raised when
all is committed; `committed` tells. On Windows see `plain`.

One transaction at a time and root; it belongs to one thread and one process. What it keeps aside lies in the root in a
folder named `.daybreak-transaction`, which is gone when it is over, however it ends.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from daybreak.host import place
from daybreak.host.files import content, copying, hearing, intent, system
from daybreak.host.files.applying import Applier
from daybreak.host.files.content import Content
from daybreak.host.files.disk import Disk, Kind, open_disk
from daybreak.host.files.intent import Step, Swap
from daybreak.host.files.interrupts import Pending, Termination, held_back
from daybreak.host.files.paths import WORK, checked
from daybreak.host.files.problems import (
    AlreadyThere,
    ContentRefused,
    FilesError,
    NotRecovered,
    NotThere,
    PathRefused,
    RootBusy,
    RootUnusable,
    TooTangled,
    TransactionOver,
    refusal,
    told,
)
from daybreak.host.files.recovery import Recovery, clean_up, mark_done, recover_locked, turn_back
from daybreak.host.files.staged import Staged

_lines = logging.getLogger(__name__)

_POLL_S_MAX = 0.05

Refusal = Callable[[Path], None]
"""Looks at something that is about to go for ever, and raises where it may not."""


def transaction(root: str | os.PathLike[str], *, wait_s: float = 0.0) -> Transaction:
    """A transaction below the folder `root`, for a `with` block.

    Entering it first recovers what a crashed one has left. `wait_s`: how long to wait for another transaction in the
    same root, in seconds (`math.inf`: for ever); then RootBusy. Raises RootUnusable, NotRecovered, IntentDamaged.
    """
    return Transaction(root, wait_s=wait_s)


def recover(root: str | os.PathLike[str], *, wait_s: float = 0.0) -> Recovery:
    """Finish, forward or back, what a crashed transaction in `root` has left; says what it did. Nothing there: nothing
    done. Raises RootBusy, RootUnusable, NotRecovered, IntentDamaged."""
    disk = _opened(root, wait_s)
    try:
        with held_back():
            recovered = recover_locked(disk)
    finally:
        disk.close()
    if recovered.outcome != "nothing":
        _lines.info("recovered %s: %s", root, recovered.outcome, extra={"paths": recovered.paths})
    return recovered


class Transaction:
    """See `transaction`. Every method raises FilesErrors, after which the block may go on: what was refused has
    changed nothing. Paths are relative to the root, with `/`."""

    def __init__(self, root: str | os.PathLike[str], *, wait_s: float = 0.0, refuse: Refusal | None = None) -> None:
        """`refuse` is shown each thing that was replaced or removed, when all is done and can still be undone; what it
        raises rolls back."""
        self._root, self._wait_s, self._refuse = root, wait_s, refuse
        self._disk: Disk | None = None
        self._staged: Staged | None = None
        self._entered = self._began = self._unfinished = False
        self._torn: str | None = None
        self._owner = (0, 0)
        self._termination = Termination()
        self.committed = False
        """Whether everything is in its place, for ever."""
        self.recovered = Recovery()
        """What entering the block found and finished."""

    # -- the block

    def __enter__(self) -> Self:
        if self._entered:
            raise TransactionOver("a transaction can be entered once", hint="make a new one with transaction(root)")
        self._termination.turn_on()
        try:
            self._disk = _opened(self._root, self._wait_s)
            with held_back():
                self.recovered = recover_locked(self._disk)
        except BaseException:
            self._close()
            raise
        self._entered = True
        self._owner = (os.getpid(), threading.get_ident())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owner[0] != os.getpid():
            return  # a forked child leaves the block; the transaction is its parent's
        try:
            with held_back() as pending:
                if error is None:
                    self._commit(pending)
                else:
                    self._abandon()
        finally:
            self._close()

    # -- what can be done inside

    def write(
        self, path: str | os.PathLike[str], data: Content, *, mode: int | None = None, keep_times: bool = False
    ) -> None:
        """The file will hold `data`: bytes, text (as UTF-8), a binary file object or an iterable of bytes; the last two
        are copied in pieces, so that their size does not matter. Missing folders will be made. `mode`: permissions;
        None keeps those of the file that is there (a new file: 0o666 less the umask). `keep_times`: the new file gets
        the old one's times. What the source of the data raises is raised as it is."""
        staged, disk, name = self._at(path)
        content.check_mode(mode)
        try:
            with told(f"{name} could not be written"):
                staged.need_room(name, "file")
                slot = self._fill(staged, disk, name, data, mode, keep_times)
                with self._changing():
                    staged.put(name, slot, "file")
        except content.SourceFailed as failed:
            raise failed.error from None

    def delete(self, path: str | os.PathLike[str]) -> None:
        """The file, or the folder with all that is in it, will be gone. Raises NotThere."""
        staged, _, name = self._at(path)
        with told(f"{name} could not be deleted"):
            staged.need(name)
            with self._changing():
                staged.delete(name)

    def rename(self, path: str | os.PathLike[str], new: str | os.PathLike[str]) -> None:
        """The file or folder will have another path; missing folders will be made. A file takes the place of a file
        that is there; a folder's new name must be free. Raises NotThere, AlreadyThere, TooTangled."""
        staged, _, source = self._at(path)
        target = checked(new)
        with told(f"{source} could not be renamed"):
            kind: Kind = staged.need(source)
            if source == target:
                return
            if kind == "folder" and target.startswith(source + "/"):
                raise PathRefused(f"{source} cannot be moved into itself", hint="choose a name outside of it")
            staged.need_room(target, kind)
            if kind == "folder" and staged.kind(target) is not None:
                raise AlreadyThere(f"{target} is there", hint="delete it before a folder can take its name")
            with self._changing():
                if kind == "file":
                    staged.rename_file(source, target)
                else:
                    staged.rename_folder(source, target)

    def put_folder(self, path: str | os.PathLike[str], source: str | os.PathLike[str]) -> None:
        """The folder will be a copy of the folder `source` (anywhere, links in it copied as links), instead of the
        folder that is there. Raises NotThere where `source` is no folder."""
        staged, disk, name = self._at(path)
        folder = _folder(source)
        with told(f"{place.cut(str(folder))} could not be copied to {name}"):
            if Path(os.path.realpath(self._root)).is_relative_to(os.path.realpath(folder)):
                raise ContentRefused(
                    f"{place.cut(str(folder))} holds the root itself", hint="put a folder that lies elsewhere"
                )
            staged.need_room(name, "folder")
            slot = staged.slot()
            try:
                copying.copy_folder(disk, folder, slot)
                with self._changing():
                    staged.put(name, slot, "folder")
            except BaseException:
                with contextlib.suppress(OSError):  # what is left there goes with the work folder
                    disk.remove(slot)
                raise

    def read(self, path: str | os.PathLike[str]) -> bytes:
        """What the file will hold, as things stand in the transaction. Raises NotThere."""
        with self.open(path) as file, told(f"{path} could not be read"):
            return file.read()

    def open(self, path: str | os.PathLike[str]) -> IO[bytes]:
        """As `read`, for reading piece by piece; what the disk refuses while it is read is an OSError."""
        staged, disk, name = self._at(path)
        with told(f"{name} could not be read"):
            staged.notice(name)
            found = staged.place(name) if staged.need(name) == "file" else None
            if found is None:
                raise NotThere(f"{name} is a folder", hint="name a file in it")
            return os.fdopen(disk.open(found), "rb")

    def exists(self, path: str | os.PathLike[str]) -> bool:
        """Whether something will be there."""
        staged, _, name = self._at(path)
        with told(f"{name} could not be looked at"):
            staged.notice(name)
            return staged.kind(name) is not None

    # -- inside

    def _at(self, path: str | os.PathLike[str]) -> tuple[Staged, Disk, str]:
        if self._disk is None or self._owner != (os.getpid(), threading.get_ident()):
            raise TransactionOver(
                "a transaction works only inside its `with` block, in the thread that entered it",
                hint="with transaction(root) as files: …",
            )
        name = checked(path)
        if self._staged is None:
            with told(f"{self._root} cannot take a transaction"):
                self._begin(self._disk)
            self._staged = Staged(self._disk)
        return self._staged, self._disk, name

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """What fails inside, but for what is refused before anything is changed, may have been done by half: then
        nothing of this transaction is committed, even if the caller goes on."""
        try:
            yield
        except TooTangled:
            raise
        except BaseException as error:
            self._torn = str(error) or type(error).__name__
            raise

    def _begin(self, disk: Disk) -> None:
        if not self._began:
            self._began = True  # before it is so: an interrupt may come between the two
            try:
                disk.make_folder(WORK, 0o700)
            except OSError:
                self._began = False
                raise
        disk.remove(f"{WORK}/owner")
        descriptor = disk.create(f"{WORK}/owner", 0o600)
        try:
            os.write(descriptor, str(os.getpid()).encode())  # for the error of whoever comes meanwhile
        finally:
            os.close(descriptor)

    def _fill(self, staged: Staged, disk: Disk, name: str, data: Content, mode: int | None, keep_times: bool) -> str:
        """A slot with the data, synced, with the permissions that it will have."""
        slot = staged.slot()
        old = staged.place(name) if staged.kind(name) == "file" else None
        try:
            descriptor = disk.create(slot, 0o666 if old is None and mode is None else 0o600)
            try:
                content.write_all(descriptor, data, lambda error: refusal(error, f"{name} could not be written"))
                if old is not None:
                    copying.dress_as(disk, old, descriptor)
                if mode is not None and sys.platform != "win32":
                    os.fchmod(descriptor, mode)
                if old is not None and keep_times:
                    copying.keep_times(descriptor, disk.status(old))
                system.sync(descriptor)
            finally:
                os.close(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):  # what is left there goes with the work folder
                disk.remove(slot)
            raise
        return slot

    # -- the end

    def _commit(self, pending: Pending) -> None:
        disk, staged = self._disk, self._staged
        assert disk is not None, "the block was entered"
        if staged is None:
            self.committed = True
            return
        began_ns = hearing.begun()
        try:
            with told("the transaction could not be committed"):
                if self._torn is not None:
                    raise FilesError(
                        f"a change failed halfway ({self._torn}), so nothing of the transaction was done",
                        hint="let that error end the block; mend its cause, then do the transaction again",
                    )
                steps = staged.steps()
                for folder in staged.folders():
                    disk.sync_folders(folder)
                pending.stop_if_any()
                self._apply(disk, steps, pending)
        except BaseException:
            if not self._unfinished:
                self._abandon()
            raise
        self._abandon()  # what is left in the work folder is old, or nothing
        _lines.debug("committed %d steps below %s", len(steps), self._root)
        hearing.wrote(self._root, len(steps), began_ns)

    def _apply(self, disk: Disk, steps: list[Step], pending: Pending) -> None:
        recorded = not _is_one_rename(steps)
        applier = Applier(disk, live=True)
        self._unfinished = True
        try:
            if recorded:
                intent.write(disk, steps)
                disk.sync(WORK)
                disk.sync("")
            applier.forward(steps, pending.stop_if_any)
            applier.check_displaced(steps)
            applier.sync(steps)
            self._ask_refusal(disk, steps)
            pending.stop_if_any()
            if recorded:
                mark_done(disk, intent.FORWARD)
        except BaseException as error:
            self._undo(disk, steps, applier, error)
            raise
        self.committed, self._unfinished = True, False

    def _undo(self, disk: Disk, steps: list[Step], applier: Applier, why: BaseException) -> None:
        try:
            turn_back(disk)
            applier.back(steps)
            applier.sync(steps)
            mark_done(disk, intent.BACK)
        except (OSError, FilesError) as error:
            raise NotRecovered(
                f"the transaction failed ({str(why) or type(why).__name__}) and could not be undone: {error}",
                hint=f"nothing is lost: what was there is in {WORK}. Mend the cause, then recover(root)",
            ) from why
        self._unfinished = False
        if applier.kept:
            why.add_note("kept beside, because somebody else had put it there: " + ", ".join(applier.kept))

    def _ask_refusal(self, disk: Disk, steps: list[Step]) -> None:
        for step in steps:
            if self._refuse is not None and isinstance(step, Swap) and step.leaves is not None:
                left = step.aside if disk.look(step.aside) is not None else step.slot
                self._refuse(Path(self._root) / left)

    def _abandon(self) -> None:
        if self._disk is not None and self._began:
            # All that counts has happened; the next transaction removes what could not be removed now.
            with contextlib.suppress(OSError):
                clean_up(self._disk)

    def _close(self) -> None:
        self._termination.turn_off()
        if self._disk is not None:
            self._disk.close()
        self._disk = None
        self._owner = (0, 0)


def _opened(root: object, wait_s: object) -> Disk:
    """The disk of a root, locked. Raises RootUnusable, RootBusy."""
    found = place.checked(root, RootUnusable, hint="give the folder as text or as a Path")
    if not isinstance(wait_s, int | float) or math.isnan(wait_s):
        raise RootUnusable(
            f"nobody can wait {place.shown(wait_s)} seconds", hint="give a number of seconds, or math.inf"
        )
    deadline = time.monotonic() + wait_s
    pause_s = 0.001
    while True:
        disk = _locked(found)
        if disk is not None:
            return disk
        if time.monotonic() >= deadline:
            raise _busy(found)
        time.sleep(pause_s)
        pause_s = min(_POLL_S_MAX, pause_s * 2)


def _locked(root: str | os.PathLike[str]) -> Disk | None:
    """None where somebody else has the lock, or has just exchanged the folder."""
    try:
        disk = open_disk(Path(root))
        try:
            if disk.lock() and disk.is_current():
                return disk
        except BaseException:
            disk.close()
            raise
        disk.close()
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(root, error) from error
    return None


def _unusable(root: object, error: Exception) -> RootUnusable:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return RootUnusable(
        f"{place.shown(str(root))} cannot be the root of a transaction: {why}",
        hint="give a folder that exists, lies on a local file system and may be opened",
    )


def _busy(root: str | os.PathLike[str]) -> RootBusy:
    who = "another transaction"
    with contextlib.suppress(OSError, FilesError):
        number = _owner(root)
        who = f"a transaction of process {number}" if number.isdecimal() else who
    return RootBusy(
        f"{who} is at work in {place.cut(str(root))}",
        hint="wait for it with wait_s=…, or end that process; a dead one's lock is free by itself",
    )


def _owner(root: str | os.PathLike[str]) -> str:
    disk = open_disk(Path(root))
    try:
        return content.read_all(disk, f"{WORK}/owner").decode(errors="replace")
    finally:
        disk.close()


def _folder(source: object) -> Path:
    unusable: type[FilesError] = NotThere if isinstance(source, str | os.PathLike) else ContentRefused
    found = place.checked(source, unusable, hint="give the path of a folder that exists")
    try:
        if found.is_dir():
            return found
    except OSError as error:
        raise ContentRefused(f"{place.shown(str(found))} is not the path of a folder", hint="give a folder") from error
    raise NotThere(f"there is no folder {place.shown(str(found))}", hint="give the path of a folder that exists")


def _is_one_rename(steps: list[Step]) -> bool:
    """One file made, replaced or removed, or one folder made or removed: the system does that in one step by itself, so
    it needs no record."""
    if not steps:
        return True
    step = steps[0]
    if len(steps) > 1 or not isinstance(step, Swap):
        return False
    both = [seen for seen in (step.arrives, step.leaves) if seen is not None]
    return len(both) == 1 or all(seen.kind == "file" for seen in both)
