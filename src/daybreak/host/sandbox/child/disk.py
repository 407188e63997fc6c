"""In the guard: what the writable folders of a sandbox hold, and how much room there is besides.

Counted is what is below the folders, by the larger of length and blocks (a file with holes is as large as whoever
reads it later finds it), and what has no name any more but is still open or mapped. Folders are walked by
descriptors, so no path is too long. What cannot be seen counts as too much, after a moment.

Not found: files without a name that are held by nothing but a message on its way through a socket, by a process
into which we may not look (being neither root nor owner of its namespace), or behind very many mappings; and where
we are not root, of a mapped one only the part that is mapped. The floor of free space holds for these too.
"""

from __future__ import annotations

import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEEPEST = 256
"""Folders in folders; each costs a descriptor while we look. What lies deeper counts as too much."""
UNSEEN_S = 0.2
"""For so long a folder may be unreadable to us: programs try out what happens then."""
HELD_S = 1.0
"""At most this long in one look at what is open and mapped."""
MAPS_BYTES = 256 * 1024
FLOOR_BYTES, FLOOR_SHARE = 64 * 1024 * 1024, 100
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_DELETED = b" (deleted)"


class Holdings:
    """Asked again and again whether there is too much."""

    def __init__(
        self, folders: list[bytes], bytes_max: int, files_max: int, processes: Callable[[], Iterable[int]]
    ) -> None:
        self._folders, self._bytes_max, self._files_max, self._processes = folders, bytes_max, files_max, processes
        self._unseen_since: float | None = None

    def too_full(self) -> bool:
        tally = Tally(self._folders, self._bytes_max, self._files_max)
        for folder in self._folders:
            tally.add_folder(folder)
        ends = time.monotonic() + HELD_S
        for pid in self._processes():
            if tally.over or time.monotonic() > ends:
                break
            tally.add_open(pid)
            tally.add_mapped(pid)
        return tally.over or self._too_long_unseen(tally.unseen)

    def _too_long_unseen(self, unseen: bool) -> bool:
        now = time.monotonic()
        if not unseen:
            self._unseen_since = None
            return False
        if self._unseen_since is None:
            self._unseen_since = now
        return now - self._unseen_since >= UNSEEN_S


class Tally:
    """What one look finds. `over`: too much; `unseen`: something could not be looked at."""

    def __init__(self, folders: list[bytes], bytes_max: int, files_max: int) -> None:
        self._bytes_left, self._files_left = bytes_max, files_max
        self._folders = tuple(folder + b"/" for folder in folders)
        self._devices: set[int] = set()
        self._nameless: set[tuple[int, int]] = set()
        self.over = self.unseen = False

    def add_folder(self, folder: bytes) -> None:
        """Everything below a granted folder, or the granted file."""
        way: list[tuple[int, list[str]]] = []  # the open folders down to where we are, each with what is still to do
        try:
            top = os.lstat(folder)
            self._devices.add(top.st_dev)
            if not stat.S_ISDIR(top.st_mode):
                self._add(top)
                return
            self._enter(way, folder, None)
            while way and not self.over:
                fd, names = way[-1]
                if names:
                    self._enter(way, names.pop(), fd)
                else:
                    os.close(way.pop()[0])
        except FileNotFoundError:
            return  # the program has removed it
        except OSError:
            self.unseen = True
        finally:
            for fd, _ in way:
                os.close(fd)

    def _enter(self, way: list[tuple[int, list[str]]], name: bytes | str, parent: int | None) -> None:
        if len(way) >= DEEPEST:
            self.over = True
            return
        try:
            fd = os.open(name, _FOLDER, dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError):
            return  # it is gone, or something else now
        except OSError:
            self.unseen = True
            return
        names: list[str] = []
        way.append((fd, names))
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    self._add_entry(entry, names)
                    if self.over:
                        return
        except OSError:
            self.unseen = True

    def _add_entry(self, entry: os.DirEntry[str], names: list[str]) -> None:
        try:
            if entry.is_dir(follow_symlinks=False):
                names.append(entry.name)
            self._add(entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            return
        except OSError:
            self.unseen = True

    def _add(self, found: os.stat_result) -> None:
        self._count(max(found.st_size, found.st_blocks * 512))

    def _count(self, size: int) -> None:
        self._bytes_left -= size
        self._files_left -= 1
        self.over = self.over or self._bytes_left < 0 or self._files_left < 0

    # -- without a name

    def add_open(self, pid: int) -> None:
        """What a process has open of files that have been removed."""
        try:
            with os.scandir(b"/proc/%d/fd" % pid) as entries:
                for entry in entries:
                    try:
                        found = entry.stat()
                        if found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
                            self._add_nameless(found, entry.path)
                    except OSError:
                        continue  # closed meanwhile
                    if self.over:
                        return
        except OSError:
            return  # it has ended, or is not ours to look into

    def _add_nameless(self, found: os.stat_result, link: bytes) -> None:
        if found.st_dev not in self._devices and not self._lies_inside(link):
            return  # in its own /tmp or in memory, where other limits hold
        if (found.st_dev, found.st_ino) not in self._nameless:
            self._nameless.add((found.st_dev, found.st_ino))
            self._add(found)

    def _lies_inside(self, link: bytes) -> bool:
        """For file systems whose files say another device than their folders."""
        try:
            return os.readlink(link).startswith(self._folders)
        except OSError:
            return True  # too long a path

    def add_mapped(self, pid: int) -> None:
        """What a process has mapped, though closed, of files that have been removed."""
        for line in _maps(pid):
            if not line.endswith(_DELETED):
                continue
            try:
                where, _, offset, device, inode, path = line.split(None, 5)
                begin, end = (int(part, 16) for part in where.split(b"-"))
                number = os.makedev(*(int(part, 16) for part in device.split(b":")))
            except ValueError:
                continue  # the last one, cut in its middle
            if number not in self._devices and not path.startswith(self._folders):
                continue
            link = b"/proc/%d/map_files/%x-%x" % (pid, begin, end)
            try:
                found = os.stat(link)
            except OSError:  # not root: at least what is mapped
                if (number, int(inode)) not in self._nameless:
                    self._nameless.add((number, int(inode)))
                    self._count(int(offset, 16) + end - begin)
            else:
                if found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
                    self._add_nameless(found, link)
            if self.over:
                return


def _maps(pid: int) -> list[bytes]:
    parts: list[bytes] = []
    size = 0
    try:
        with open(f"/proc/{pid}/maps", "rb", 0) as file:
            while size < MAPS_BYTES and (part := file.read(65536)):
                parts.append(part)
                size += len(part)
    except OSError:
        pass  # it has ended, or is not ours to look into
    return b"".join(parts).splitlines()


# -- room on the file system


def free(folder: bytes, which: int) -> Callable[[], int]:
    """0: bytes, 1: files that still fit on the file system of a folder."""

    def left() -> int:
        try:
            seen = os.statvfs(folder)
        except OSError:
            return 0  # the program has removed it
        return seen.f_ffree if which else seen.f_bfree * seen.f_frsize

    return left


def below_floor(folder: bytes) -> Callable[[], bool]:
    """Whether the file system of a folder has less room than is to stay: 64 MiB or a hundredth, whichever is less.
    Where there was hardly more from the start, half of what there was."""

    def room() -> tuple[int, int]:
        """For us, and of how much."""
        seen = os.statvfs(folder)
        return (seen.f_bavail if os.geteuid() else seen.f_bfree) * seen.f_frsize, seen.f_blocks * seen.f_frsize

    try:
        first, size = room()
    except OSError:
        return lambda: False  # it is not there; nothing can be written to it
    floor = min(FLOOR_BYTES, size // FLOOR_SHARE, first // 2)

    def below() -> bool:
        try:
            return room()[0] < floor
        except OSError:
            return False  # the program has removed it

    return below
