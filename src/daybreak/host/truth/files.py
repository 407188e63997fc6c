"""Probes that look at files and folders."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from daybreak.errors import DaybreakError
from daybreak.host.naming import named
from daybreak.host.truth.outcome import Look, Observation, Probe, ProbeMisused
from daybreak.host.truth.sight import Sight, checked_path, open_file, see, shown

SEARCH_BYTES_MAX = 64 * 1024 * 1024
"""How much of a file a pattern is matched against; literal text has no limit."""
FILES_MAX = 100_000
"""How many files `holds` and `only_changed` look at."""
_CHUNK_BYTES = 1024 * 1024
_NAMED_MAX = 10

Verdict = tuple[bool, str]
"""Whether it holds, and what was seen."""
Anywhere = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class FileProbe:
    """Looks at one path before and after, and asks `judge` about both sights."""

    expected: str
    path: Path
    judge: Callable[[Sight, Sight], Verdict]
    needs_before: bool = False

    def start(self) -> Look:
        before = see(self.path)

        def look() -> Observation:
            holds, seen = self.judge(before, see(self.path))
            return Observation(self.expected, shown(self.path), before.words, seen, holds)

        return look


# -- one file


def exists(path: Anywhere, *, nonempty: bool = True) -> Probe:
    """An ordinary file is there, and not empty unless `nonempty=False`. It may have been there before: see `created`
    and `changed`. A symbolic link is not the file it leads to."""
    at = checked_path(path)
    _check_flag("nonempty", nonempty)

    def judge(before: Sight, after: Sight) -> Verdict:
        return after.kind == "file" and (after.size > 0 or not nonempty), after.words

    return FileProbe(f"{shown(path)} exists" + (" and is not empty" if nonempty else ""), at, judge)


def absent(path: Anywhere) -> Probe:
    """Nothing is at the path. What cannot be looked at is not absent."""
    at = checked_path(path)
    return FileProbe(f"{shown(path)} is absent", at, lambda before, after: (after.kind == "missing", after.words))


def created(path: Anywhere) -> Probe:
    """Nothing was there before, and an ordinary file is now."""
    at = checked_path(path)

    def judge(before: Sight, after: Sight) -> Verdict:
        if before.kind != "missing":
            return False, f"{after.words}, but it was there before"
        return after.kind == "file", after.words

    return FileProbe(f"{shown(path)} is created", at, judge, needs_before=True)


def changed(path: Anywhere) -> Probe:
    """A file is there whose content differs from before, or that was not there. New times alone are no change."""
    at = checked_path(path)

    def judge(before: Sight, after: Sight) -> Verdict:
        if after.kind != "file":
            return False, after.words
        if before.kind == "unreadable":
            return False, f"{after.words}, and what it was before could not be seen"
        if before.sha256 != after.sha256:
            return True, after.words
        touched = "only its times have changed" if before.mtime_ns != after.mtime_ns else "it was not touched"
        return False, f"the same content as before; {touched}"

    return FileProbe(f"{shown(path)} has changed", at, judge, needs_before=True)


def unchanged(path: Anywhere) -> Probe:
    """What is there is what was there before: content, kind and executable bit; times do not count."""
    at = checked_path(path)

    def judge(before: Sight, after: Sight) -> Verdict:
        same = before.identity == after.identity and after.kind != "unreadable"
        return same, after.words

    return FileProbe(f"{shown(path)} is unchanged", at, judge, needs_before=True)


Needle = str | bytes | re.Pattern[str] | re.Pattern[bytes]


def contains(path: Anywhere, needle: Needle) -> Probe:
    """The file holds this text (as UTF-8), these bytes, or something that the pattern matches. Whether it did so
    before is not asked: put `changed` beside it. Patterns are refused on files over SEARCH_BYTES_MAX."""
    at, sought = checked_path(path), _checked_needle(needle)

    def judge(before: Sight, after: Sight) -> Verdict:
        found, seen = _search(at, after, sought)
        return found is True, seen

    return FileProbe(f"{shown(path)} contains {_shown(needle)}", at, judge)


def lacks(path: Anywhere, needle: Needle) -> Probe:
    """The file is there and does not hold it."""
    at, sought = checked_path(path), _checked_needle(needle)

    def judge(before: Sight, after: Sight) -> Verdict:
        found, seen = _search(at, after, sought)
        return found is False, seen

    return FileProbe(f"{shown(path)} lacks {_shown(needle)}", at, judge)


def _checked_needle(needle: object) -> bytes | re.Pattern[str] | re.Pattern[bytes]:
    if isinstance(needle, re.Pattern):
        return needle
    try:
        sought = needle.encode() if isinstance(needle, str) else needle
    except UnicodeEncodeError:
        sought = b""
    if not isinstance(sought, bytes) or not sought:
        raise ProbeMisused(
            f"{named(needle)} is nothing to look for", hint="give text, bytes or a compiled pattern, not empty"
        )
    return sought


def _shown(needle: Needle) -> str:
    return named(needle.pattern if isinstance(needle, re.Pattern) else needle, 80)


def _search(path: Path, sight: Sight, sought: bytes | re.Pattern[str] | re.Pattern[bytes]) -> tuple[bool | None, str]:
    """Whether it is found, None where that could not be looked up; and in words."""
    if sight.kind != "file":
        return None, sight.words
    if isinstance(sought, re.Pattern) and sight.size > SEARCH_BYTES_MAX:
        return None, f"{sight.words}, too large for a pattern"
    try:
        with open_file(path) as file:
            if isinstance(sought, bytes):
                found = any(sought in window for window in _windows(file.read, len(sought)))
            else:
                found = _matches(sought, file.read(SEARCH_BYTES_MAX))
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{sight.words}, which cannot be read: {error}"
    return found, f"{sight.words}, {'with' if found else 'without'} it"


def _windows(read: Callable[[int], bytes], overlap: int) -> Iterator[bytes]:
    """The content in pieces that overlap, so that nothing is missed at a seam."""
    tail = b""
    while chunk := read(max(_CHUNK_BYTES, overlap)):
        yield tail + chunk
        tail = (tail + chunk)[-(overlap - 1) :] if overlap > 1 else b""


def _matches(pattern: re.Pattern[str] | re.Pattern[bytes], data: bytes) -> bool:
    if isinstance(pattern.pattern, str):
        return re.compile(pattern.pattern, pattern.flags).search(data.decode("utf-8-sig")) is not None
    return re.compile(pattern.pattern, pattern.flags).search(data) is not None


def valid(path: Anywhere) -> Probe:
    """The file is what its name says, as `daybreak.host.typed` reads it: whole, well-formed, of that kind."""
    at = checked_path(path)

    def judge(before: Sight, after: Sight) -> Verdict:
        from daybreak.host.typed import read  # late: most probes need no parser

        if after.kind != "file":
            return False, after.words
        try:
            read(at)
        except DaybreakError as error:
            return False, f"{after.words}, not valid: {error.message}"
        return True, f"{after.words}, valid"

    return FileProbe(f"{shown(path)} is valid", at, judge)


# -- folders


@dataclass(frozen=True, slots=True)
class FolderProbe:
    """See `holds`."""

    expected: str
    path: Path
    at_least: int
    at_most: int | None
    pattern: str
    nonempty: bool
    needs_before: bool = False

    def start(self) -> Look:
        before = self._count()[1]

        def look() -> Observation:
            holds, seen = self._count()
            return Observation(self.expected, shown(self.path), before, seen, holds)

        return look

    def _count(self) -> Verdict:
        if (kind := see(self.path)).kind != "folder":
            return False, kind.words
        try:
            found = [(name, at) for name, at in _files_below(self.path) if fnmatchcase(name, self.pattern)]
            empty = [name for name, at in found if self.nonempty and at.lstat().st_size == 0]
        except OSError as error:
            return False, f"it cannot be looked at: {error.strerror or error}"
        seen = f"{len(found)} files" + (f", of them empty: {_named(empty)}" if empty else "")
        enough = self.at_least <= len(found) and (self.at_most is None or len(found) <= self.at_most)
        return enough and not empty, seen


def holds(
    folder: Anywhere,
    count: int | None = None,
    *,
    at_least: int | None = None,
    at_most: int | None = None,
    pattern: str = "*",
    nonempty: bool = True,
) -> Probe:
    """The folder holds so many ordinary files, its subfolders counted in: exactly `count`, or a range. `pattern` (as
    in a shell; `*` passes `/`) is matched with the relative path. An empty file fails unless `nonempty=False`."""
    if count is not None and (at_least is not None or at_most is not None):
        raise ProbeMisused("count and a range are both given", hint="give one of them")
    low = count if count is not None else at_least if at_least is not None else 0 if at_most is not None else 1
    high = count if count is not None else at_most
    for number in (low, high):
        _check_count(number)
    _check_pattern(pattern)
    _check_flag("nonempty", nonempty)
    words = f"exactly {low}" if low == high else f"at least {low}" + (f", at most {high}" if high is not None else "")
    which = "" if pattern == "*" else f" {shown(pattern)}"
    at = checked_path(folder)
    return FolderProbe(f"{shown(folder)} holds {words}{which} files", at, low, high, pattern, nonempty)


def _check_count(number: object) -> None:
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**63):
        raise ProbeMisused(f"{named(number, 40)} is no number of files", hint="give a whole number from 0 on")


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ProbeMisused(f"{name} is {named(value)}", hint="give True or False")


def _check_pattern(pattern: object) -> None:
    if not isinstance(pattern, str) or not pattern:
        raise ProbeMisused(f"{named(pattern, 40)} is no pattern of names", hint="write it like *.csv")


@dataclass(frozen=True, slots=True)
class ConfinedProbe:
    """See `only_changed`."""

    folder: Path
    allowed: tuple[str, ...]
    needs_before: bool = True

    def start(self) -> Look:
        before = self._all()

        def look() -> Observation:
            after = self._all()
            expected = f"in {shown(self.folder)} nothing changes but {', '.join(self.allowed) or 'nothing'}"
            words = [one if isinstance(one, str) else f"{len(one)} files" for one in (before, after)]
            if isinstance(before, str) or isinstance(after, str):
                return Observation(expected, shown(self.folder), words[0], words[1], False)
            differing = sorted(
                name for name in before.keys() | after.keys() if _identity(before, name) != _identity(after, name)
            )
            others = [name for name in differing if not self._may(name)]
            seen = f"also changed: {_named(others)}" if others else f"changed: {_named(differing) or 'nothing'}"
            return Observation(expected, shown(self.folder), words[0], seen, not others)

        return look

    def _may(self, name: str) -> bool:
        return any(name == one or name.startswith(one + "/") for one in self.allowed)

    def _all(self) -> dict[str, Sight] | str:
        """Relative path → sight; a text where that cannot be said."""
        if (kind := see(self.folder)).kind != "folder":
            return kind.words
        try:
            return {name: see(at) for name, at in _files_below(self.folder, everything=True)}
        except OSError as error:
            return f"it cannot be looked at: {error.strerror or error}"


def only_changed(folder: Anywhere, *paths: str) -> Probe:
    """Below the folder nothing was made, changed or removed, except at these relative paths and below them. That
    they did change is not asked: put `changed` beside it. Reads every file twice."""
    return ConfinedProbe(checked_path(folder), tuple(_relative(path) for path in paths))


def _relative(path: object) -> str:
    parts = path.replace("\\", "/").rstrip("/").split("/") if isinstance(path, str) else [""]
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ProbeMisused(f"{named(path)} is no path below a folder", hint="write it like out/report.csv")
    return "/".join(parts)


def _identity(seen: dict[str, Sight], name: str) -> object:
    sight = seen.get(name)
    if sight is None:
        return None
    return object() if sight.kind == "unreadable" else sight.identity  # what cannot be seen may have changed


def _files_below(folder: Path, *, everything: bool = False) -> Iterator[tuple[str, Path]]:
    """Relative path with `/`, and path, of the ordinary files, or of everything but folders that hold something. Links
    are not followed. Raises OSError for a folder that cannot be read, and above FILES_MAX."""

    def refuse(error: OSError) -> None:
        raise error

    count = 0
    for parent, folders, files in os.walk(folder, onerror=refuse):
        linked = [name for name in folders if Path(parent, name).is_symlink()]
        lone = [""] if everything and not folders and not files and Path(parent) != folder else []
        for name in sorted([*files, *linked, *lone]):
            path = Path(parent, name)
            if everything or (path.is_file() and not path.is_symlink()):
                count += 1
                if count > FILES_MAX:
                    raise OSError(f"more than {FILES_MAX} files")
                yield path.relative_to(folder).as_posix(), path


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(map(shown, names[:_NAMED_MAX])) + more
