"""What a transaction wants: the files as they will be, before any of it is in its place.

What is new lies in slots (names in the work folder). `changes` says, by final path, what arrives and what leaves;
`structure` holds, in the order asked for, what concerns whole folders that are there already: removed, renamed.
Paths are looked up through both, latest first, down to the place on the disk where the thing stands now.
"""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace

from daybreak.host.files import copying
from daybreak.host.files.disk import Disk, Kind, Seen
from daybreak.host.files.intent import Make, Move, Step, Swap
from daybreak.host.files.paths import WORK, below, parents
from daybreak.host.files.problems import AlreadyThere, ChangedMeanwhile, LinkRefused, NotThere, TooTangled


@dataclass(frozen=True, slots=True)
class Change:
    """What happens at one path."""

    slot: str
    arrives: Kind | None
    """None: what is there is removed."""
    leaves: Seen | None
    origin: str | None
    """Where on the disk `leaves` was seen (or that nothing is there); None where an earlier change has emptied it."""


@dataclass(frozen=True, slots=True)
class Structural:
    """One step about a whole folder, and where on the disk its object was seen."""

    step: Make | Move | Swap
    origin: str | None = None


class Staged:
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._changes: dict[str, Change] = {}
        self._structure: list[Structural] = []
        self._above: Counter[str] = Counter()
        """How many things arrive below each folder."""
        self._first: dict[str, Seen | None] = {}
        """By place on the disk: what was there when the caller was first told."""
        prefix = os.urandom(4).hex()
        self._slots = (f"{WORK}/{prefix}-{number}" for number in itertools.count())

    def slot(self) -> str:
        """A fresh name in the work folder."""
        return next(self._slots)

    # -- looking

    def kind(self, path: str) -> Kind | None:
        """What will be there."""
        if self._above[path] or self._is_made(path):
            return "folder"
        place = self.place(path)
        found = self._disk.look(place) if place is not None else None
        return found.kind if found else None

    def place(self, path: str) -> str | None:
        """Where on the disk that stands now which will be at `path`; None where nothing will (or only a folder of
        what arrives)."""
        if path in self._changes:
            change = self._changes[path]
            return change.slot if change.arrives else None
        return self._place_inside(path) or (None if self._covered(path) else self._origin(path))

    def _place_inside(self, path: str) -> str | None:
        """Its place inside a folder that arrives as a whole; None where it is not in one."""
        for folder in parents(path):
            change = self._changes.get(folder)
            if change is not None and change.arrives == "folder":
                return change.slot + path[len(folder) :]
        return None

    def _covered(self, path: str) -> bool:
        """Whether a folder above will be a file, or was one that is removed."""
        return any(folder in self._changes for folder in parents(path))

    def _origin(self, path: str) -> str | None:
        """Where it stands now, seen through the folders that are removed and renamed."""
        for one in reversed(self._structure):
            match one.step:
                case Move(source, target):
                    if below(path, target):
                        path = source + path[len(target) :]
                    elif below(path, source):
                        return None
                case Swap(removed) if below(path, removed):
                    return None
        return path

    def _is_made(self, path: str) -> bool:
        return any(isinstance(one.step, Make) and one.step.path == path for one in self._structure)

    def notice(self, path: str) -> None:
        """The caller is told what is at `path`: what takes its place later must replace just that."""
        if path in self._changes or self._place_inside(path) is not None or self._covered(path):
            return
        origin = self._origin(path)
        if origin is not None and origin not in self._first:
            self._first[origin] = self._disk.look(origin)

    # -- asking

    def need(self, path: str) -> Kind:
        """What is at `path`, file or folder. Raises NotThere, LinkRefused."""
        kind = self.kind(path)
        if kind is None:
            raise NotThere(f"there is no {path}", hint="look at the name; it is relative to the root")
        if kind in ("link", "special"):
            raise LinkRefused(
                f"{path} is a symbolic link or a special file", hint="transactions deal with files and folders only"
            )
        return kind

    def need_room(self, path: str, arrives: Kind) -> None:
        """`path` can take a file or a folder: its parents are or become folders, and nothing of another kind is
        there. Raises AlreadyThere, LinkRefused."""
        for folder in parents(path):
            if self.kind(folder) not in (None, "folder"):
                self.need(folder)
                raise AlreadyThere(f"{folder} is a file, so {path} cannot be", hint="delete or rename the file first")
        if self.kind(path) is not None and (kind := self.need(path)) != arrives:
            raise AlreadyThere(f"{path} is a {kind}", hint=f"delete or rename it before a {arrives} can take its name")

    # -- changing

    def put(self, path: str, slot: str, arrives: Kind) -> None:
        """What is in `slot` will be at `path`, instead of what is there. `need_room` has been asked."""
        if (place := self._place_inside(path)) is not None:
            self._put_inside(place, slot)
            return
        if arrives == "folder":
            self._refuse_renamed_below(path)
            self._drop_below(path)
        for folder in parents(path):
            self._remove_first(folder)
        before = self._changes.get(path)
        if before is None:
            origin = None if self._covered(path) else self._origin(path)
            leaves = self._disk.look(origin) if origin is not None else None
            self._set(path, Change(slot, arrives, leaves, origin))
        else:
            self._discard(before)
            self._set(path, replace(before, slot=slot, arrives=arrives))

    def delete(self, path: str) -> None:
        """Nothing will be at `path`. `need` has been asked."""
        if (place := self._place_inside(path)) is not None:
            self._disk.move(place, self.slot())
            return
        if self.kind(path) == "folder":
            self._refuse_renamed_below(path)
            self._drop_below(path)
        before = self._changes.pop(path, None)
        if before is not None:
            self._count(path, before, -1)
            self._discard(before)
            origin, leaves = before.origin, before.leaves
        else:
            origin = self._origin(path)
            leaves = self._disk.look(origin) if origin is not None else None
        if leaves is None:
            return
        if leaves.kind == "folder":
            self._structure.append(Structural(Swap(path, self.slot(), None, leaves), origin))
        else:
            self._set(path, Change(self.slot(), None, leaves, origin))

    def rename_file(self, source: str, target: str) -> None:
        """`need` and `need_room` have been asked."""
        slot = self.slot()
        place = self.place(source)
        assert place is not None, "it has been looked for"
        if place.startswith(WORK + "/"):
            self._disk.move(place, slot)
            if source in self._changes:
                self._changes[source] = replace(self._changes[source], slot=self.slot())
                self.delete(source)
        else:
            if not self._disk.link(place, slot):
                copying.copy_file(self._disk, self._disk.open(place), slot)
            self.delete(source)
        self.put(target, slot, "file")

    def rename_folder(self, source: str, target: str) -> None:
        """`need` has been asked, and nothing is at `target`."""
        place = self.place(source)
        if place is not None and place.startswith(WORK + "/"):
            slot = self.slot()
            self._disk.move(place, slot)
            if source in self._changes:
                self._changes[source] = replace(self._changes[source], slot=self.slot())
                self.delete(source)
            self.put(target, slot, "folder")
            return
        seen = self._disk.look(place) if place is not None else None
        if seen is not None:
            assert place is not None, "it has been looked at"
            self._move(source, target, seen, place)
        elif self._is_made(source):
            raise _tangled(source)
        for path in [path for path in self._changes if path.startswith(source + "/")]:
            self._carry(path, target + path[len(source) :])

    def _carry(self, path: str, target: str) -> None:
        change = self._changes.pop(path)
        self._count(path, change, -1)
        inside = self._place_inside(target)
        if inside is None:
            for folder in parents(target):
                self._remove_first(folder)
            self._set(target, change)
        elif change.arrives:
            self._put_inside(inside, change.slot)

    def _move(self, source: str, target: str, seen: Seen, origin: str) -> None:
        self._refuse_renamed_below(source)
        if self._place_inside(target) is not None:
            raise TooTangled(
                f"{source} cannot be renamed into {target}, a folder that this transaction puts",
                hint="rename it in a transaction of its own, after this one",
            )
        for folder in [*parents(target), target]:
            self._remove_first(folder)
        for folder in parents(target):
            if not self._stands(folder):
                self._structure.append(Structural(Make(folder)))
        self._structure.append(Structural(Move(source, target, seen.ino), origin))

    def _put_inside(self, place: str, slot: str) -> None:
        """Into a folder that itself is only staged: nobody sees it yet, so it is done at once."""
        for folder in parents(place)[2:]:
            if self._disk.look(folder) is None:
                self._disk.make_folder(folder, 0o777)
        if self._disk.look(place) is not None:
            self._disk.move(place, self.slot())
        self._disk.move(slot, place)

    def _remove_first(self, path: str) -> None:
        """A file that is removed at `path` goes before all else, because something else needs its name."""
        change = self._changes.get(path)
        if change is not None and change.arrives is None:
            del self._changes[path]
            self._structure.append(Structural(Swap(path, change.slot, None, change.leaves), change.origin))

    def _refuse_renamed_below(self, path: str) -> None:
        for one in self._structure:
            if isinstance(one.step, Move) and below(one.step.target, path):
                raise _tangled(one.step.target)

    def _drop_below(self, folder: str) -> None:
        for path in [path for path in self._changes if path.startswith(folder + "/")]:
            change = self._changes.pop(path)
            self._count(path, change, -1)
            self._discard(change)

    def _discard(self, change: Change) -> None:
        if change.arrives:
            self._disk.remove(change.slot)

    def _set(self, path: str, change: Change) -> None:
        if path in self._changes:
            self._count(path, self._changes[path], -1)
        self._changes[path] = change
        self._count(path, change, 1)

    def _count(self, path: str, change: Change, by: int) -> None:
        if change.arrives:
            for folder in parents(path):
                self._above[folder] += by

    # -- the plan

    def steps(self) -> list[Step]:
        """All that must be done, in order. Raises ChangedMeanwhile where the disk is not as it was first seen,
        AlreadyThere where two names are one for this file system."""
        self._refuse_changed()
        self._refuse_same_names()
        steps: list[Step] = [one.step for one in self._structure]
        made = {step.path for step in steps if isinstance(step, Make)}
        for path, change in sorted(self._changes.items()):
            for folder in parents(path) if change.arrives else ():
                if folder not in made and not self._stands(folder):
                    made.add(folder)
                    steps.append(Make(folder))
        arriving = [(path, change) for path, change in self._changes.items() if change.arrives]
        leaving = [(path, change) for path, change in self._changes.items() if not change.arrives]
        # What arrives first: then a renamed file is never under neither of its names.
        for path, change in arriving + leaving:
            steps.append(Swap(path, change.slot, self._disk.look(change.slot), change.leaves))
        return steps

    def folders(self) -> list[str]:
        """The slots that hold whole folders."""
        return [change.slot for change in self._changes.values() if change.arrives == "folder"]

    def _stands(self, folder: str) -> bool:
        """Whether it is a folder once the structural steps are done."""
        if self._is_made(folder):
            return True
        origin = self._origin(folder)
        found = self._disk.look(origin) if origin is not None else None
        return found is not None and found.kind == "folder"

    def _refuse_changed(self) -> None:
        for path, change in self._changes.items():
            if change.origin is not None and self._disk.look(change.origin) != change.leaves:
                raise _changed(path)
            if change.origin is not None and self._first.get(change.origin, change.leaves) != change.leaves:
                raise _changed(path)
        for one in self._structure:
            if one.origin is None:
                continue
            found = self._disk.look(one.origin)
            match one.step:
                case Move(source, _, ino) if found is None or found.ino != ino:
                    raise _changed(source)
                case Swap(path, _, _, leaves) if found != leaves or self._first.get(one.origin, leaves) != leaves:
                    raise _changed(path)

    def _refuse_same_names(self) -> None:
        names: dict[str, str] = {}
        for path in self._touched():
            other = names.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
            if other != path and self._disk.insensitive():
                raise AlreadyThere(
                    f"{path} and {other} are one name on this file system",
                    hint="use names that differ in more than case, or two transactions",
                )

    def _touched(self) -> set[str]:
        paths = set(self._changes)
        for one in self._structure:
            match one.step:
                case Make(path) | Swap(path):
                    paths.add(path)
                case Move(source, target):
                    paths |= {source, target}
        return paths


def _changed(path: str) -> ChangedMeanwhile:
    return ChangedMeanwhile(
        f"{path} was changed by somebody else while the transaction ran",
        hint="nothing was changed; look at their change, then do the transaction again",
    )


def _tangled(path: str) -> TooTangled:
    return TooTangled(
        f"{path} got its name in this transaction, by renaming a whole folder; it cannot be moved or replaced again",
        hint="rename it once, to its last name, or use two transactions",
    )
