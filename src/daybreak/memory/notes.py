"""Notes: Markdown files of people and workers that say how far they can be trusted.

    ---
    version: 3
    updated: 2026-11-02
    verified_on: 2026-11-20
    confidence: 0.8
    ---
    # The shop's search
    It answers 429 after 20 requests a minute, without a Retry-After.

`version` rises with every change of the text (against the last commit). `verified_on` is the day on which somebody last
held it against the world, and `confidence` (0 to 1) follows what they found. A note that was not verified for too long,
the sooner the less it is trusted, or that changed since, is stale. History is git's; other keys are the author's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import yaml

from daybreak.errors import UsageError
from daybreak.host import files
from daybreak.host.program import ProgramMissing
from daybreak.memory import notehistory
from daybreak.memory.notehistory import HistoryUnknown

KEYS = ("version", "updated", "verified_on", "confidence")
BYTES_MAX = 1_000_000
FRONT_CHARACTERS_MAX = 4_000
FILES_MAX = 10_000
_BRACKETS_MAX = 200
SKIPPED = frozenset({"readme.md", "index.md"})
"""Files of a folder of notes that are none, in any case of letters."""
DAYS = 180
"""A note of confidence 1 is good for so many days after it was verified; one of 0.5 for half of them."""
DAYS_MIN = 7
_STRENGTH = 4.0
"""What a note's confidence is worth against one outcome."""


class NoteMissing(UsageError):
    """There is no such file or folder."""

    code = "U213"


class NoteUnusable(UsageError):
    """A file that is no note, or not a right one."""

    code = "U214"


class Problem(NamedTuple):
    """Something to be mended: `path:line: text`."""

    path: Path
    line: int
    """From 1."""
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class Note:
    path: Path
    version: tuple[int, ...]
    version_text: str
    updated: date
    verified_on: date
    confidence: float
    title: str
    text: str
    """Below the front matter, with line ends as `\\n`."""
    lines: Mapping[str, int]
    """Of each key."""
    spans: Mapping[str, tuple[int, int]]
    """Where each key's value stands in the file's characters."""


class Report(NamedTuple):
    """What a check found."""

    notes: list[Note]
    """Those that are right in themselves."""
    problems: list[Problem]
    uncompared: list[str]
    """Folders that could not be compared with a commit, and why, a sentence each."""


# -- reading


def parse(path: Path, content: str) -> tuple[Note | None, list[Problem]]:
    """The note, or everything that is wrong with it."""
    begun = 1 if content.startswith("\ufeff") else 0
    head = _FRONT.match(content, begun)
    if head is None:
        return None, [Problem(path, 1, "there is no front matter: it begins with --- on the first line and ends so")]
    if len(head["front"]) > FRONT_CHARACTERS_MAX:
        return None, [Problem(path, 1, f"the front matter is longer than {FRONT_CHARACTERS_MAX:,} characters")]
    entries, problems = _entries(path, head["front"])
    values = {name: entry.value for name, entry in entries.items()}
    missing = [name for name in KEYS if name not in entries]
    if missing and not problems:  # keys that could not be read are not missing
        problems.append(Problem(path, 1, f"the front matter lacks {', '.join(missing)}"))
    for name, (pattern, what) in _FORMS.items():
        if name in values and not _fits(name, pattern, values[name]):
            problems.append(Problem(path, entries[name].line, f"{name} is {values[name]!r:.40}, not {what}"))
    text = content[head.end() :].replace("\r\n", "\n")
    if not text.strip():
        problems.append(Problem(path, content.count("\n", 0, head.end()) + 1, "the note says nothing"))
    if problems:
        return None, problems
    title = _TITLE.search(text)
    spans = {name: (head.start("front") + one.start, head.start("front") + one.end) for name, one in entries.items()}
    note = Note(
        path=path,
        version=_version(values["version"]),
        version_text=values["version"],
        updated=date.fromisoformat(values["updated"]),
        verified_on=date.fromisoformat(values["verified_on"]),
        confidence=float(values["confidence"]),
        title=title[1].strip() if title else path.stem,
        text=text,
        lines={name: one.line for name, one in entries.items()},
        spans=spans,
    )
    return note, []


_FRONT = re.compile(r"---[ \t]*\r?\n(?P<front>(?:[^\n]*\n)*?)(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)")
_TITLE = re.compile(r"^#{1,6}[ \t]+(\S.{0,200})", re.MULTILINE)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_FORMS = {
    "version": (re.compile(r"\d{1,9}(?:\.\d{1,9}){0,2}", re.ASCII), "a number as in 3 or 1.4.2"),
    "updated": (_DAY, "a day as in 2026-11-20"),
    "verified_on": (_DAY, "a day as in 2026-11-20"),
    "confidence": (re.compile(r"0(?:\.\d{1,6})?|1(?:\.0{1,6})?", re.ASCII), "a number from 0 to 1 as in 0.8"),
}


class _Entry(NamedTuple):
    value: str
    line: int
    start: int
    end: int


def _entries(path: Path, front: str) -> tuple[dict[str, _Entry], list[Problem]]:
    """Keys whose values are plain, with their places; nothing is constructed, so nothing can be smuggled in."""
    if front.count("[") + front.count("{") > _BRACKETS_MAX:  # the reader takes the square of their depth
        return {}, [Problem(path, 2, f"the front matter has more than {_BRACKETS_MAX} brackets")]
    try:
        root = yaml.compose(front, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or "a character that YAML does not allow"
        return {}, [Problem(path, 2 + (mark.line if mark else 0), f"the front matter is no YAML: {why:.120}")]
    except RecursionError:
        return {}, [Problem(path, 2, "the front matter is nested too deeply")]
    if not isinstance(root, yaml.MappingNode):
        return {}, [] if root is None else [Problem(path, 2, "the front matter is no list of `key: value`")]
    found: dict[str, _Entry] = {}
    problems: list[Problem] = []
    for key, value in root.value:
        if not isinstance(key, yaml.ScalarNode) or key.value not in KEYS:
            continue
        line = 2 + key.start_mark.line
        if key.value in found:
            problems.append(Problem(path, line, f"{key.value} stands there twice"))
        elif not isinstance(value, yaml.ScalarNode):
            problems.append(Problem(path, line, f"{key.value} is no plain value"))
        else:
            found[key.value] = _Entry(value.value, line, value.start_mark.index, value.end_mark.index)
    return found, problems


def _fits(name: str, pattern: re.Pattern[str], value: str) -> bool:
    if not pattern.fullmatch(value):
        return False
    try:
        return pattern is not _DAY or date.fromisoformat(value) is not None
    except ValueError:
        return False


def _version(text: str) -> tuple[int, ...]:
    """`2` and `2.0` are the same one."""
    numbers = [int(part) for part in text.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def read(path: Path) -> Note:
    """One note. Raises NoteMissing, NoteUnusable with every problem."""
    return _read(path)[0]


def _read(path: Path) -> tuple[Note, str]:
    """The note, and all the characters of its file."""
    content = _content(path)
    if isinstance(content, Problem):
        raise _unusable([content])
    note, problems = parse(path, content)
    if note is None:
        raise _unusable(problems)
    return note, content


def _unusable(problems: Sequence[Problem]) -> NoteUnusable:
    told = "; ".join(map(str, problems))
    return NoteUnusable(f"the note cannot be used: {told}", hint="mend it; `daybreak notes check` looks again")


def _content(path: Path) -> str | Problem:
    """Raises NoteMissing."""
    try:
        with path.open("rb") as opened:
            data = opened.read(BYTES_MAX + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NoteMissing(f"there is no note {str(path)!a:.80}", hint="name a Markdown file") from error
    except OSError as error:
        return Problem(path, 1, f"cannot be read: {error.strerror}")
    if len(data) > BYTES_MAX:
        return Problem(path, 1, f"is longer than {BYTES_MAX:,} bytes; that is no note")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return Problem(path, 1 + data.count(b"\n", 0, error.start), "is not UTF-8")


def find(where: Path) -> list[Path]:
    """The notes of a folder and those below it, in order; a file is itself.

    Hidden folders, links, and the names in `SKIPPED` are passed over. Raises NoteMissing.
    """
    if where.is_file():
        return [where]
    if not where.is_dir():
        raise NoteMissing(f"there is no folder of notes {str(where)!a:.80}", hint="name the folder, or make it")
    found: list[Path] = []
    for folder, below, names in os.walk(where):
        below[:] = sorted(name for name in below if not name.startswith("."))
        paths = [Path(folder) / name for name in sorted(names) if _is_note(name)]
        found += [path for path in paths if path.is_file() and not path.is_symlink()]
        if len(found) > FILES_MAX:
            raise NoteMissing(f"{str(where)!a:.80} holds more than {FILES_MAX:,} notes", hint="name one folder of it")
    return found


def find_one(path: Path) -> Path:
    """The same, where it is a file. Raises NoteMissing."""
    if not path.is_file():
        raise NoteMissing(f"there is no note {str(path)!a:.80}", hint="name a Markdown file")
    return path


def _is_note(name: str) -> bool:
    return name.lower().endswith(".md") and name.lower() not in SKIPPED and not name.startswith(".")


# -- checking


def check(where: Sequence[Path], today: date) -> Report:
    """Every note in these files and folders: right in itself, and with a version that rose where its text changed
    against the last commit. Raises NoteMissing."""
    notes: list[Note] = []
    problems: list[Problem] = []
    uncompared: list[str] = []
    for folder, paths in _grouped(where).items():
        before, why = _before(folder, paths)
        uncompared += [why] if why else []
        for path in paths:
            content = _content(path)
            note, wrong = (None, [content]) if isinstance(content, Problem) else parse(path, content)
            if note is not None:
                wrong = [*_future(note, today), *_against(note, before.get(path))]
            problems += wrong
            notes += [note] if note is not None and not wrong else []
    return Report(notes, sorted(problems), uncompared)


def _grouped(where: Iterable[Path]) -> dict[Path, list[Path]]:
    """The folder to ask git in -> notes; each note once."""
    groups: dict[Path, list[Path]] = {}
    seen: set[Path] = set()
    for one in where:
        fresh = [path for path in find(one) if path not in seen]
        seen.update(fresh)
        groups.setdefault(one if one.is_dir() else one.parent, []).extend(fresh)
    return groups


def _before(folder: Path, paths: Sequence[Path]) -> tuple[dict[Path, bytes], str]:
    asked = [path for path in paths if "\n" not in str(path)]
    try:
        return notehistory.at_head(folder, asked), ""
    except (HistoryUnknown, ProgramMissing) as problem:
        return {}, problem.message


def _future(note: Note, today: date) -> Iterable[Problem]:
    for name, day in (("updated", note.updated), ("verified_on", note.verified_on)):
        if day > today + timedelta(days=1):  # somewhere it is tomorrow already
            yield Problem(note.path, note.lines[name], f"{name} {day} has not come yet")


def _against(note: Note, committed: bytes | None) -> Iterable[Problem]:
    """What a change of the note should have changed as well."""
    before = None if committed is None else parse(note.path, committed.decode("utf-8", "replace"))[0]
    if before is None:
        return
    changed = note.text.rstrip() != before.text.rstrip()
    if note.version < before.version:
        told = f"version {note.version_text} is lower than {before.version_text}, which is committed"
        yield Problem(note.path, note.lines["version"], told)
    elif changed and note.version == before.version:
        told = f"the text changed, and version is still {note.version_text}"
        yield Problem(note.path, note.lines["version"], told)
    if changed and note.updated < before.updated:
        told = f"the text changed, and updated went back from {before.updated} to {note.updated}"
        yield Problem(note.path, note.lines["updated"], told)


# -- how old


class Stale(NamedTuple):
    """A note to be held against the world again."""

    note: Note
    since: date
    why: str


def stale(notes: Iterable[Note], today: date, *, days: int = DAYS) -> list[Stale]:
    """Those that are due, the longest overdue first. `days`: how long a note of confidence 1 is good, at least 1."""
    found: list[Stale] = []
    for note in notes:
        good = max(min(days, DAYS_MIN), round(days * note.confidence))
        due = note.verified_on + timedelta(days=good)
        if note.updated > note.verified_on:
            found.append(Stale(note, note.updated, f"changed on {note.updated}, verified on {note.verified_on}"))
        elif due <= today:
            age = (today - note.verified_on).days
            told = f"verified {age} days ago; a confidence of {note.confidence:g} is good for {good}"
            found.append(Stale(note, due, told))
    return sorted(found, key=lambda one: (one.since, one.note.path))


def verified(path: Path, *, right: bool, today: date) -> Note:
    """Write down what holding the note against the world has shown, and give it as it is now.

    right: verified today, and its confidence rises; otherwise only its confidence falls, so it stays due until somebody
    mends it. Nothing else in the file changes. Raises NoteMissing, NoteUnusable, and FilesError where the disk refuses.
    """
    note, content = _read(path)
    confidence = (note.confidence * _STRENGTH + right) / (_STRENGTH + 1)
    values = {"confidence": f"{confidence:.2f}"} | ({"verified_on": today.isoformat()} if right else {})
    for name in sorted(values, key=lambda name: note.spans[name], reverse=True):
        start, end = note.spans[name]
        content = content[:start] + values[name] + content[end:]
    after, problems = parse(path, content)
    if after is None:
        raise _unusable(problems)
    files.write_file(path, content.encode())
    return after
