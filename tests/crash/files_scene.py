"""A folder before and after one transaction that does everything at once; as a program (`files_scene.py ROOT [MODE]`)
it does that transaction in ROOT and exits 0 if it is committed, 7 if refused, 143 after SIGTERM, 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from daybreak.errors import DaybreakError
from daybreak.host.files import Transaction, disk, system

MODES = ("exchange", "steps", "copies", "plain")
"""What the system can do: exchange names · only rename · not even hard links · nothing with descriptors (Windows)."""

OLD_TIME_NS = 1_000_000_000_000_000_000


def lay_out(root: Path) -> None:
    """The folder before."""
    for name, text in {
        "replaced": "old",
        "gone": "old gone",
        "moved": "moved",
        "covered": "old covered",
        "left": "left",
        "right": "right",
        "becomes-folder": "was a file",
        "untouched": "same",
        "site/index": "old index",
        "site/deep/page": "old page",
        "folder/one": "one",
        "folder/two": "two",
        "dead/file": "dead",
    }.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o640)
        os.utime(place, ns=(OLD_TIME_NS, OLD_TIME_NS))
    source = root.parent / "source"
    (source / "new").mkdir(parents=True, exist_ok=True)
    (source / "index").write_text("new index")
    (source / "new" / "page").write_text("new page")
    (source / "link").unlink(missing_ok=True)
    (source / "link").symlink_to("index")


def pieces() -> Iterator[bytes]:
    for number in range(3):
        yield b"piece %d\n" % number


def act(files: Transaction, root: Path) -> None:
    """The transaction."""
    files.write("replaced", "new")
    files.write("fresh", pieces())
    files.write("a/b/fresh", b"deep")
    files.delete("gone")
    files.rename("moved", "covered")
    files.rename("left", "t")
    files.rename("right", "left")
    files.rename("t", "right")
    files.delete("becomes-folder")
    files.write("becomes-folder/inside", "now a folder")
    files.put_folder("site", root.parent / "source")
    files.put_folder("second", root.parent / "source")
    files.write("second/added", "added")
    files.rename("folder", "renamed/folder")
    files.write("renamed/folder/two", "two changed")
    files.delete("dead")


def look(root: Path) -> dict[str, tuple[str, int]]:
    """Every path below, with its content and its permissions."""
    found = {}
    for place in root.rglob("*"):
        name, status = str(place.relative_to(root)), place.lstat()
        if place.is_symlink():
            found[name] = (f"-> {os.readlink(place)}", 0)
        elif place.is_dir():
            found[name] = ("folder", status.st_mode)
        else:
            found[name] = (place.read_text(), status.st_mode)
    return found


def use(mode: str) -> None:
    """Make this process's system poorer, for good."""
    transaction = sys.modules["daybreak.host.files.transaction"]
    if mode in ("steps", "copies"):
        system._rename_call = lambda: None  # type: ignore[assignment]
    if mode == "copies":
        posix = disk.open_disk(Path("/"))
        posix.close()
        type(posix).link = lambda *_: False  # type: ignore[method-assign]
    if mode == "plain":
        transaction.open_disk = lambda root: disk.open_disk(root, platform="win32")  # type: ignore[attr-defined]


def main(root: Path, mode: str = "exchange") -> int:
    use(mode)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have told us to ignore it
    try:
        with Transaction(root) as files:
            act(files, root)
    except DaybreakError as error:
        print(type(error).__name__, error.message, file=sys.stderr)
        return 7
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
