"""A folder that becomes what a tree says, but for what no tree takes.

What a tree ignores (`IGNORED`) was not sent with it and does not come back with it, so nobody who had the tree can have
removed it: it stays where it was for as long as its folder does. No link is followed on either side.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from daybreak.host.tree.folders import Place, close, entries_of, open_folder, open_root
from daybreak.host.tree.shape import is_ignored


def replace(folder: Path, fresh: Path, gone: Path) -> None:
    """Move what is in `fresh` into `folder`, and everything that was there into `gone`, an empty folder; all three are
    on one file system. What a tree ignores stays in `folder`, where its own folder is in `fresh` too or held nothing
    else.

    Nobody else may write there meanwhile. Cut short, it leaves a mixture. Raises OSError, NotATree where one of them is
    no folder."""
    with _opened(folder) as old, _opened(fresh) as new, _opened(gone) as away:
        _Move(away).go(old, new, _held(old))


@contextmanager
def _opened(folder: Path) -> Iterator[Place]:
    place = open_root(folder)
    try:
        yield place
    finally:
        close(place)


@contextmanager
def _inside(place: Place, name: str) -> Iterator[Place]:
    child = open_folder(place, name)
    try:
        yield child
    finally:
        close(child)


@dataclass(slots=True)
class _Held:
    """What a folder holds, with all that is below it."""

    travels: bool = False
    """Something of it was in the tree."""
    keeps: bool = False
    """Something of it was not."""
    folders: dict[str, _Held] = field(default_factory=dict)


def _held(place: Place) -> _Held:
    found = _Held()
    for name, status in list(entries_of(place)):
        if is_ignored(name):
            found.keeps = True
        elif stat.S_ISDIR(status.st_mode):
            with _inside(place, name) as child:
                below = found.folders[name] = _held(child)
            found.travels |= below.travels
            found.keeps |= below.keeps or not below.travels
        else:
            found.travels = True
    return found


@dataclass(slots=True)
class _Move:
    away: Place
    count: int = 0

    def go(self, old: Place, new: Place, held: _Held) -> None:
        coming = {name: stat.S_ISDIR(status.st_mode) for name, status in entries_of(new)}
        for name, _ in list(entries_of(old)):
            below = held.folders.get(name)
            if is_ignored(name) or (below is not None and not below.travels and name not in coming):
                continue
            if below is not None and below.keeps and coming.get(name):
                del coming[name]
                with _inside(old, name) as inner, _inside(new, name) as fresh:
                    self.go(inner, fresh, below)
                continue
            self.count += 1
            _rename(old, name, self.away, str(self.count))
        for name in coming:
            _rename(new, name, old, name)


def _rename(at: Place, name: str, to: Place, called: str) -> None:
    if isinstance(at, int) and isinstance(to, int):
        os.rename(name, called, src_dir_fd=at, dst_dir_fd=to)
    else:
        os.rename(Path(str(at), name), Path(str(to), called))
