"""Texts in which every line has a key: a merge by lines that makes a key stand twice is no result.

Requirements, environment files, INI; and what is a structured file but had to be merged as text: if all three could be
read (or both sides could) and the merged one cannot, that is a conflict.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath

from daybreak.host.merge.outcome import Conflict, Conflicts, How, Merged, Sides

_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:[=~!<>@;#].*)?$")
_SETTING = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*[=:]")
_SECTION = re.compile(r"^\s*\[([^\]]+)\]\s*$")


def check_lines(
    sides: Sides, merged: Merged, how: How | None, reads: Callable[[How, bytes], bool]
) -> Merged | Conflicts:
    """`merged`, or what is wrong with it."""
    if (
        how is not None
        and all(reads(how, side) for side in (sides.ours, sides.theirs))
        and not reads(how, merged.content)
    ):
        what = f"merged by lines it can no longer be read as {how}: write what both wanted"
        return Conflicts(sides.path, (_conflict(sides.path, "", what),), "text", merged.steps_down)
    keys = _keys_of(PurePosixPath(sides.path).name.lower())
    if keys is None:
        return merged
    ours, theirs, now = (keys(side) for side in (sides.ours, sides.theirs, merged.content))
    twice = [key for key, count in now.items() if count > 1 and count > max(ours[key], theirs[key])]
    if not twice:
        return merged
    found = tuple(_conflict(sides.path, key, "it now stands twice: both sides added it") for key in sorted(twice))
    return Conflicts(sides.path, found, "text", merged.steps_down)


def _conflict(path: str, where: str, what: str) -> Conflict:
    return Conflict(path, where, "meaning", None, None, None, what)


def _keys_of(name: str) -> Callable[[bytes], Counter[str]] | None:
    if re.fullmatch(r".*(requirements|constraints).*\.(txt|in)", name):
        return _requirements
    if name.startswith(".env") or name.endswith((".env", ".properties")):
        return _settings
    if name.endswith((".ini", ".cfg", ".conf", ".editorconfig")) or name == ".editorconfig":
        return _ini
    return None


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()


def _requirements(content: bytes) -> Counter[str]:
    found = [match[1] for line in _lines(content) if (match := _REQUIREMENT.match(line))]
    return Counter(re.sub(r"[-_.]+", "-", name).lower() for name in found)


def _settings(content: bytes) -> Counter[str]:
    return Counter(match[1] for line in _lines(content) if (match := _SETTING.match(line)))


def _ini(content: bytes) -> Counter[str]:
    found: Counter[str] = Counter()
    section = ""
    for line in _lines(content):
        if match := _SECTION.match(line):
            section = match[1]
            found[f"[{section}]"] += 1
        elif not line[:1].isspace() and (match := _SETTING.match(line)):
            found[f"[{section}] {match[1]}"] += 1
    return found
