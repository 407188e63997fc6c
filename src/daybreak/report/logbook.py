"""Reads the log files back: all lines, those of one night, run or step, and those to come. For people, without the
secrets in them and without anything that could steer a terminal, whoever wrote the lines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from daybreak import logs
from daybreak.policy.redaction import redact
from daybreak.report.shown import shown

IDS = ("night", "run", "key")
"""Fields that name something by an id; a beginning of it will do."""
_HEAD = frozenset({"ts", "level", "logger", "event", "exception", "pid", "stack"})
_TAIL = ("night", "run", "branch", "step", "nth", "try")
_VALUE_CHARS_MAX = 200
_LINE_BYTES_MAX = 1_000_000

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines: those that name this night, run, key (or a beginning of it) or step; all where it is empty."""

    name: str = ""

    def holds(self, line: Line) -> bool:
        return not self.name or line.get("step") == self.name or any(self.ids(line))

    def ids(self, line: Line) -> list[str]:
        """The ids in the line that are meant."""
        found = [line.get(field) for field in IDS]
        return [one for one in found if isinstance(one, str) and self.name and one.startswith(self.name)]


class Follower:
    """All lines, and then those that come, through the renaming of files; what is no line of ours is left out."""

    def __init__(self, folder: Path, *, last: int | None = None) -> None:
        """`last`: only the newest file, and at first not more than so many bytes at its end."""
        self._folder = folder
        self._last = last
        self._rest = b""
        self._file: BinaryIO | None = None

    def news(self) -> Iterator[Line]:
        """Whole lines since the last time, in the order of the files. Raises OSError."""
        while True:
            if self._file is not None:
                yield from self._read()
            following = self._next()
            if following is None:
                return
            if self._file is not None:
                yield from self._read()  # written between the look and the renaming
                self._file.close()
            self._file, self._rest = following, b""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _next(self) -> BinaryIO | None:
        """The file that comes after ours; None where ours is the newest."""
        paths = logs.files(self._folder)
        if self._file is None and self._last is not None:
            return self._near_end(paths[-1:])
        at = 0  # where ours is gone altogether: all that are there are newer
        ours = None if self._file is None else os.fstat(self._file.fileno())
        for number, path in enumerate(paths):
            try:
                there = path.stat()
            except FileNotFoundError:
                continue
            if ours is not None and (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                at = number + 1
        try:
            return paths[at].open("rb") if at < len(paths) else None
        except FileNotFoundError:
            return None  # renamed this very moment: the next look finds it

    def _near_end(self, newest: Sequence[Path]) -> BinaryIO | None:
        """The first line may be torn, and is then left out."""
        assert self._last is not None, "asked only then"
        try:
            for path in newest:
                found = path.open("rb")
                found.seek(max(0, os.fstat(found.fileno()).st_size - self._last))
                return found
        except FileNotFoundError:
            pass  # renamed this very moment: the next look finds it
        return None

    def _read(self) -> Iterator[Line]:
        assert self._file is not None, "only an open file is read"
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        for raw in whole:
            if (line := _parsed(raw)) is not None:
                yield line


def for_people(line: Line) -> str:
    """One line of text, and a traceback below it where there is one."""
    ts, level, logger = (_clean(line.get(name, "")) for name in ("ts", "level", "logger"))
    event = _clean(line.get("event", "")).replace("\n", "\\n")
    rest = [name for name in line if name not in _HEAD and name not in _TAIL and name != "key"]
    fields = [f"{_clean(name)}={_value(line[name])}" for name in (*rest, *(name for name in _TAIL if name in line))]
    head = f"{ts[:10]} {ts[11:23]}Z {level:<7} {logger.removeprefix('daybreak.')}: {event}"
    text = "  ".join([head, " ".join(fields)]) if fields else head
    if "exception" in line:
        text += "\n" + "\n".join(f"    {part}" for part in _clean(line["exception"]).splitlines())
    return text


def clean(line: Line) -> Line:
    """The line for machines, without secrets."""
    return {_redacted(name): _without(value) for name, value in line.items()}


def _without(value: Any) -> Any:
    if isinstance(value, str):
        return _redacted(value)
    if isinstance(value, dict):
        return {_redacted(name): _without(one) for name, one in value.items()}
    return [_without(one) for one in value] if isinstance(value, list) else value


def _value(value: Any) -> str:
    text = _clean(value).replace("\n", "\\n")
    text = text if len(text) <= _VALUE_CHARS_MAX else f"{text[:_VALUE_CHARS_MAX]}…"
    return f'"{text}"' if " " in text else text


def _clean(value: Any) -> str:
    return shown(_redacted(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))


def _redacted(text: str) -> str:
    return redact(logs.without_colours(text)).text


def _parsed(raw: bytes) -> Line | None:
    """None for what is no JSON object: a torn line, or somebody's hand."""
    if not raw.startswith(b"{") or len(raw) > _LINE_BYTES_MAX:
        return None
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None
