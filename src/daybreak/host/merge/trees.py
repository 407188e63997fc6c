"""Three versions of a folder into one: files added, removed, moved, made executable, merged where both changed them.

A tree is its files and links; what tools leave behind (`daybreak.host.tree.IGNORED`) does not count, and empty folders
do not. A file that one side moved and the other changed is followed, by its content. Nothing is written unless all of
it merges, and then the whole folder appears in one step.

Not covered: what one file means to another, but for modules that one side removed and the other has come to import.
Run the project's checks over the result.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from daybreak.host.merge.merging import merge
from daybreak.host.merge.outcome import Conflict, Conflicts, Kind
from daybreak.host.merge.problems import MergeRefused, TreeNotWritten, TreeUnreadable
from daybreak.host.merge.sequence import pick
from daybreak.host.merge.text import shown
from daybreak.host.tree import IGNORED, IGNORED_SUFFIXES

FILES_MAX = 100_000
_LIKENESS = 0.6
_COMPARED_BYTES_MAX = 256 * 1024
_COMPARED_PAIRS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class MergedTree:
    """The merged folder stands at `folder`."""

    folder: Path
    files: int
    merged: tuple[str, ...]
    """Paths of files that both sides had changed."""
    moved: tuple[tuple[str, str], ...]
    """Old and new paths of files that one side moved and the other changed."""
    steps_down: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _File:
    kind: Literal["file", "link"]
    executable: bool
    sha256: str
    place: Path

    def content(self) -> bytes:
        return os.fsencode(os.readlink(self.place)) if self.kind == "link" else self.place.read_bytes()


@dataclass(frozen=True, slots=True)
class _Result:
    kind: Literal["file", "link"]
    executable: bool
    content: bytes | None
    """None: as it stands at `place`."""
    place: Path


def merge_trees(
    base: Path | str, ours: Path | str, theirs: Path | str, into: Path | str, *, synced: bool = True
) -> MergedTree | Conflicts:
    """Merge three folders into `into`, which must not be there yet. Without `synced` the result is scratch: it may be
    gone after a power failure.

    Raises MergeRefused, TreeUnreadable for special files and more than 100,000 files, TreeNotWritten, TooLarge."""
    places = [_folder(place) for place in (base, ours, theirs)]
    target = _target(into)
    try:
        sides = [_scan(place) for place in places]
        merging = _Merging(sides[0], sides[1], sides[2])
        merging.run()
        if merging.conflicts:
            return Conflicts("", tuple(merging.conflicts), "tree", tuple(merging.steps_down))
    except OSError as error:
        raise TreeUnreadable(f"a folder cannot be read: {error}", hint="check that nothing writes into it") from error
    _write(merging.results, target, synced=synced)
    return MergedTree(
        target, len(merging.results), tuple(merging.merged), tuple(merging.moved), tuple(merging.steps_down)
    )


# -- reading


def _path(path: object) -> Path:
    if not isinstance(path, Path | str) or not str(path) or "\0" in str(path):
        raise MergeRefused(f"{str(path)[:100]!r} is no path", hint="name a folder")
    try:
        os.fsencode(path)
    except UnicodeError as error:
        raise MergeRefused(f"{str(path)[:100]!a} is no path", hint="name a folder") from error
    return Path(os.path.abspath(path))


def _folder(path: object) -> Path:
    folder = _path(path)
    try:
        if folder.is_dir():
            return folder
    except OSError as error:
        raise MergeRefused(f"{str(folder)[:200]} cannot be used: {error.strerror}", hint="name a folder") from error
    raise MergeRefused(f"{str(folder)[:200]} is not a folder", hint="name three existing folders")


def _target(path: object) -> Path:
    target = _path(path)
    try:
        taken, parent = os.path.lexists(target), target.parent.is_dir()
    except OSError as error:
        raise MergeRefused(f"{str(target)[:200]} cannot be used: {error.strerror}", hint="name a fresh one") from error
    if taken or not parent:
        why = "is there already" if taken else "has no parent folder"
        raise MergeRefused(f"{str(target)[:200]} {why}", hint="name a folder that is not there, in one that is")
    return target


def _scan(folder: Path) -> dict[str, _File]:
    found: dict[str, _File] = {}
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.name in IGNORED or entry.name.endswith(IGNORED_SUFFIXES):
                    continue
                path, mode = prefix + entry.name, entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    pending.append(path + "/")
                    continue
                found[path] = _file(Path(entry.path), path, mode)
        if len(found) > FILES_MAX:
            raise TreeUnreadable(f"{folder} has more than {FILES_MAX} files", hint="merge a part of it")
    return found


def _file(place: Path, path: str, mode: int) -> _File:
    if stat.S_ISLNK(mode):
        return _File("link", False, hashlib.sha256(os.fsencode(os.readlink(place))).hexdigest(), place)
    if not stat.S_ISREG(mode):
        raise TreeUnreadable(f"{path} is a special file", hint="leave ordinary files, folders and links only")
    with place.open("rb") as file:
        return _File("file", bool(mode & stat.S_IXUSR), hashlib.file_digest(file, "sha256").hexdigest(), place)


# -- merging


@dataclass
class _Merging:
    base: dict[str, _File]
    ours: dict[str, _File]
    theirs: dict[str, _File]
    results: dict[str, _Result] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    moved: list[tuple[str, str]] = field(default_factory=list)
    steps_down: list[str] = field(default_factory=list)

    def run(self) -> None:
        ours_at, theirs_at = _moves(self.base, self.ours), _moves(self.base, self.theirs)
        for path in self.base:
            self._known(path, ours_at.get(path, path), theirs_at.get(path, path))
        new_ours = self.ours.keys() - self.base.keys() - set(ours_at.values())
        new_theirs = self.theirs.keys() - self.base.keys() - set(theirs_at.values())
        for path in sorted(new_ours | new_theirs):
            self._added(path, path in new_ours, path in new_theirs)
        self._check_places()
        self._check_folders(ours_at, new_theirs)
        self._check_folders(theirs_at, new_ours)
        self._check_modules(self.ours, self.theirs)
        self._check_modules(self.theirs, self.ours)

    def _clash(
        self, path: str, kind: Kind, suggestion: str, texts: tuple[str | None, ...] = (None, None, None)
    ) -> None:
        self.conflicts.append(Conflict(path, "", kind, texts[0], texts[1], texts[2], suggestion))

    def _put(self, path: str, file: _File, content: bytes | None = None, executable: bool | None = None) -> None:
        if path in self.results:
            self._clash(path, "add/add", "two files end up here: give one another name")
            return
        self.results[path] = _Result(
            file.kind, file.executable if executable is None else executable, content, file.place
        )

    def _known(self, path: str, ours_path: str, theirs_path: str) -> None:
        before, here, there = self.base[path], self.ours.get(ours_path), self.theirs.get(theirs_path)
        if here is None and there is None:
            return
        if here is None or there is None:
            left, left_path = (there, theirs_path) if here is None else (here, ours_path)
            assert left is not None, "one of them is there"
            if left_path != path or not _equal(left, before):
                texts = tuple(None if file is None else _shown(file) for file in (before, here, there))
                self._clash(path, "delete/modify", "one side removed what the other changed: decide", texts)
            return
        place, clear = pick(path, ours_path, theirs_path)
        if not clear:
            self._clash(path, "rename/rename", f"it became {ours_path} and {theirs_path}: choose one")
            return
        if place != path and not (_equal(before, here) and _equal(before, there)):
            self.moved.append((path, place))
        self._both(place, before, here, there)

    def _both(self, path: str, before: _File, here: _File, there: _File) -> None:
        executable = pick(before.executable, here.executable, there.executable)[0]
        (sha256, kind), clear = pick(*((file.sha256, file.kind) for file in (before, here, there)))
        if clear:
            file = here if (here.sha256, here.kind) == (sha256, kind) else there
            self._put(path, file, executable=executable)
            return
        if {before.kind, here.kind, there.kind} != {"file"}:
            self._clash(path, "file/folder", "a link was changed on both sides: take one")
            return
        result = merge(before.content(), here.content(), there.content(), path)
        self.steps_down += [f"{path}: {note}" for note in result.steps_down]
        if isinstance(result, Conflicts):
            self.conflicts += result.conflicts
            return
        self.merged.append(path)
        self._put(path, here, result.content, executable)

    def _added(self, path: str, by_ours: bool, by_theirs: bool) -> None:
        if not (by_ours and by_theirs):
            self._put(path, self.ours[path] if by_ours else self.theirs[path])
            return
        here, there = self.ours[path], self.theirs[path]
        if (here.sha256, here.kind) != (there.sha256, there.kind):
            self._clash(
                path, "add/add", "both added it: take one, or merge by hand", (None, _shown(here), _shown(there))
            )
        elif here.executable != there.executable:
            self._clash(path, "mode", "both added it, one as a program: choose")
        else:
            self._put(path, here)

    # -- what only the whole tells

    def _check_places(self) -> None:
        """No file where another one needs a folder; no two names that some systems take for one."""
        folded: dict[str, str] = {}
        for path in sorted(self.results):
            for parent in PurePosixPath(path).parents:
                if str(parent) in self.results:
                    self._clash(str(parent), "file/folder", f"a file on one side, the folder of {path} on the other")
            other = folded.setdefault(path.casefold(), path)
            if other != path and not any({other, path} <= side.keys() for side in (self.ours, self.theirs)):
                self._clash(path, "add/add", f"{other} differs in case only: some systems cannot hold both")

    def _check_folders(self, moves: dict[str, str], added: set[str]) -> None:
        """One side moved a whole folder, the other added a file to the old one."""
        moved = {old: new for old, new in moves.items() if new != old}
        for path in sorted(added):
            folder = str(PurePosixPath(path).parent)
            before = [old for old in self.base if str(PurePosixPath(old).parent) == folder]
            if folder != "." and before and all(old in moved for old in before):
                goal, _ = Counter(str(PurePosixPath(moved[old]).parent) for old in before).most_common(1)[0]
                if goal != folder:
                    self._clash(path, "meaning", f"its folder was moved to {goal}: put it there")

    def _check_modules(self, side: dict[str, _File], other: dict[str, _File]) -> None:
        """One side removed or moved a module, the other has come to import it."""
        gone = {PurePosixPath(path).stem for path in self.base if path.endswith(".py") and path not in side}
        gone -= {PurePosixPath(path).stem for path in self.results if path.endswith(".py")} | {"__init__", "__main__"}
        if not gone:
            return
        pattern = re.compile(
            rb"^\s*(?:from|import)\s[^#\n]*\b(?:" + "|".join(map(re.escape, gone)).encode() + rb")\b", re.M
        )
        for path, file in sorted(other.items()):
            before = self.base.get(path)
            if not path.endswith(".py") or file.kind != "file" or (before is not None and before.sha256 == file.sha256):
                continue
            known = pattern.findall(before.content()) if before is not None and before.kind == "file" else []
            if set(pattern.findall(file.content())) - set(known):
                self._clash(path, "meaning", "it imports a module that the other side removed or moved")


def _equal(one: _File, other: _File) -> bool:
    return (one.kind, one.executable, one.sha256) == (other.kind, other.executable, other.sha256)


def _shown(file: _File) -> str | None:
    content = file.content() if file.kind == "link" or file.place.stat().st_size < _COMPARED_BYTES_MAX else b""
    return shown(content) if content and b"\0" not in content else None


def _moves(base: dict[str, _File], side: dict[str, _File]) -> dict[str, str]:
    """Old path → new path of files that the side moved: the same content, or much of it."""
    gone = [path for path in sorted(base) if path not in side]
    new = [path for path in sorted(side) if path not in base]
    moves: dict[str, str] = {}
    for path in gone:
        equal = [one for one in new if side[one].sha256 == base[path].sha256 and side[one].kind == base[path].kind]
        if equal:
            best = min(equal, key=lambda one: (PurePosixPath(one).name != PurePosixPath(path).name, one))
            moves[path] = best
            new.remove(best)
    rest = [path for path in gone if path not in moves]
    if len(rest) * len(new) <= _COMPARED_PAIRS_MAX:
        pairs = [(old, one) for old in rest for one in new if _may_be(old, one)]
        for likeness, old, one in sorted((-_likeness(base[old], side[one]), old, one) for old, one in pairs):
            if -likeness >= _LIKENESS and old not in moves and one in new:
                moves[old] = one
                new.remove(one)
    return moves


def _may_be(old: str, new: str) -> bool:
    return PurePosixPath(old).suffix == PurePosixPath(new).suffix


def _likeness(one: _File, other: _File) -> float:
    """Share of lines in common, 0 to 1."""
    if one.kind != "file" or other.kind != "file":
        return 0.0
    if max(one.place.stat().st_size, other.place.stat().st_size) > _COMPARED_BYTES_MAX:
        return 0.0
    lines, others = Counter(one.content().splitlines()), Counter(other.content().splitlines())
    total = lines.total() + others.total()
    return 2 * (lines & others).total() / total if total else 0.0


# -- writing


def _write(results: dict[str, _Result], target: Path, *, synced: bool) -> None:
    """Beside the target under another name, synced, then renamed."""
    try:
        staged = Path(tempfile.mkdtemp(prefix=f".{target.name}.daybreak-", dir=target.parent))
    except OSError as error:
        raise _not_written(target, error) from error
    try:
        for path, result in sorted(results.items()):
            _write_one(staged / path, result, synced=synced)
        for folder in _folders(staged) if synced else ():
            _sync(folder)
        staged.chmod(0o755)
        staged.rename(target)
        if synced:
            _sync(target.parent)
    except OSError as error:
        raise _not_written(target, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _write_one(place: Path, result: _Result, *, synced: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if result.kind == "link":
        os.symlink(os.readlink(result.place), place)
        return
    if result.content is None:
        shutil.copyfile(result.place, place)
    else:
        place.write_bytes(result.content)
    place.chmod(0o755 if result.executable else 0o644)
    if synced:
        with place.open("rb") as file:
            os.fsync(file.fileno())


def _folders(folder: Path) -> Iterator[Path]:
    for parent, _, _ in os.walk(folder):
        yield Path(parent)


def _sync(folder: Path) -> None:
    """Windows cannot open a folder; there the file system orders renames by itself."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_written(target: Path, error: OSError) -> TreeNotWritten:
    return TreeNotWritten(f"{target} could not be written: {error.strerror}", hint="make room, or name another folder")
