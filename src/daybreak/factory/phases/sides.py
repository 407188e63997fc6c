"""Joining what several workers did to one tree: files that only one of them touched are copied, all else is merged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from daybreak.host import merge, tree
from daybreak.host.tree import Entry


@dataclass
class Side:
    """A folder and what lies in it, by path."""

    folder: Path
    entries: dict[str, Entry]

    def changed(self, base: Side) -> set[str]:
        """Paths that are not as they were there."""
        paths = self.entries.keys() | base.entries.keys()
        return {path for path in paths if self.entries.get(path) != base.entries.get(path)}


@dataclass
class Sides:
    """`here` is what has been joined so far since `before`. All of it is scratch: nothing is synced, and what is
    joined is moved out of its folder."""

    scratch: Path
    before: Side
    here: Side

    def join(self, other: Side) -> merge.Conflicts | None:
        """`here` with what `other` did; or what contradicts, and `here` stays as it is."""
        theirs, ours = other.changed(self.before), self.here.changed(self.before)
        removed = {path for path in theirs | ours if path not in other.entries or path not in self.here.entries}
        if (
            theirs & ours
            or removed & self.before.entries.keys()  # what one moved, the other may have changed
            or self._in_the_way(theirs)
        ):
            return self._merge(other)
        for path in theirs:
            target = self.here.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(other.folder / path, target)
            self.here.entries[path] = other.entries[path]
        return None

    def _in_the_way(self, paths: set[str]) -> bool:
        """Is one of them a file here where it needs a folder, or the other way round?"""
        above = {parent for path in paths for parent in _parents(path)}
        return not above.isdisjoint(self.here.entries) or any(
            not paths.isdisjoint(_parents(path)) for path in self.here.entries
        )

    def _merge(self, other: Side) -> merge.Conflicts | None:
        both = self.scratch / f"with-{other.folder.name}"
        found = merge.merge_trees(self.before.folder, self.here.folder, other.folder, both, synced=False)
        if isinstance(found, merge.Conflicts):
            return found
        self.here = Side(both, {entry.path: entry for entry in tree.scan(both).entries})
        return None


def _parents(path: str) -> list[str]:
    return [path[:at] for at, letter in enumerate(path) if letter == "/"]
