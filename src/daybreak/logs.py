"""Logs for people who look for the cause of something: JSON lines in `<state>/logs/daybreak.jsonl`. The ledger is the
truth about what happened; nothing is ever decided from a log, and losing one loses no fact.

Every module may use `logging.getLogger(__name__)` of the standard library; this one configures where lines go, and is
called by the faces. What is known of secrets (`redact`) and of where the code stands (`trail`) comes in as functions,
because both live on floors above. structlog makes the lines; it is imported with the first one, so that a command that
logs nothing does not pay for it.

Several processes may write at once: each line is one write to a file opened for appending, so lines never mix. A file
that is full is renamed under a lock; whoever notices that the name now leads to another file opens that one. A line may
thereby land in the file that was just put away, and is never lost by it; an empty line may stand between two, where one
process saw half of what another was writing. On a full disk lines are lost, and counted in the next one that is not.
Nothing in here ever raises into the code that logs, or prints anything.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.clock import stamp
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from structlog.stdlib import ProcessorFormatter
    from structlog.typing import Processor

FILE = "daybreak.jsonl"
FILE_BYTES_MAX = 10 * 1024 * 1024
FILES_MAX = 8
"""So many are kept, the one that is written to among them."""
TEXT_CHARS_MAX = 16_000
"""Of one text in a line; the rest is left out, and that is said."""
_ITEMS_MAX = 100
_DEPTH_MAX = 5

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
OFF = "off"
ENVIRONMENT = "DAYBREAK_LOG"

Redact = Callable[[str], str]
"""A text without the secrets in it."""
Trail = Callable[[], Mapping[str, object]]
"""Where the code stands: night, run, step."""

_OURS = frozenset({"ts", "level", "logger", "pid", "_record", "_from_structlog"})
"""Fields that nobody else can write into."""
_NOT_THEIRS = frozenset({"ts", "level", "logger", "pid", "message", "asctime"})
"""Fields that a record may have, but a line does not take from it; other handlers leave the last two."""


def _is_another_s(name: str) -> bool:
    """Libraries put fields of their own into every record of the process: `_ray_timestamp_ns`."""
    return name in _NOT_THEIRS or (name.startswith("_") and name not in _OURS)


_COLOURS = re.compile("(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]")
_SECRET_NAMES = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "private_key",
    "signing_key",
    "credential",
    "credentials",
    "authorization",
)


class LevelUnknown(UsageError):
    """DAYBREAK_LOG names no level."""

    code = "U195"


def level_named(name: str) -> int | None:
    """The level of that name; None for `off`. Raises LevelUnknown."""
    told = name.strip().lower()
    if told == OFF:
        return None
    try:
        return LEVELS[told]
    except KeyError:
        raise LevelUnknown(
            f"{ENVIRONMENT}={name!r:.80} is no level", hint=f"use {', '.join(LEVELS)} or {OFF}"
        ) from None


# -- the file


class LogFile:
    """`daybreak.jsonl` in a folder, and `daybreak.jsonl.1` (the newest) to `.N`, which were put away. One thread at a
    time; any number of processes."""

    def __init__(self, folder: Path, *, file_bytes_max: int = FILE_BYTES_MAX, files_max: int = FILES_MAX) -> None:
        self.path = folder / FILE
        self._file_bytes_max = file_bytes_max
        self._files_max = files_max
        self._descriptor = -1
        self.lost = 0
        """Lines that could not be written and of which no line has told yet."""

    def append(self, line: bytes) -> bool:
        """Write one line, with its end; False where it was lost. Raises nothing the system says."""
        try:
            size = self._opened()
            if size and size + len(line) > self._file_bytes_max:
                self._put_away()
                size = self._opened()
            # Somebody may have written but half a line, because the disk was full.
            torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"
            data = b"\n" + line if torn else line
            whole = os.write(self._descriptor, data) == len(data)
        except OSError:
            self.lost += 1
            return False
        self.lost += not whole
        return whole

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _opened(self) -> int:
        """Have the file open that the name leads to now; its size in bytes."""
        if self._descriptor >= 0:
            ours = os.fstat(self._descriptor)
            with suppress(FileNotFoundError):
                there = os.stat(self.path)
                if (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino):
                    return ours.st_size
            self.close()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor = os.open(self.path, flags, 0o600)
        return os.fstat(self._descriptor).st_size

    def _put_away(self) -> None:
        """Rename the full file and all before it; the oldest one goes. Others may do so at the same moment."""
        lock = os.open(self.path.with_name(f".{FILE}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._opened() < self._file_bytes_max // 2:
                return  # somebody was quicker
            for number in range(self._files_max - 1, 0, -1):
                with suppress(FileNotFoundError):
                    os.replace(_numbered(self.path, number - 1), _numbered(self.path, number))
            if self._files_max == 1:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(lock)


def files(folder: Path) -> list[Path]:
    """The log files that are there, the oldest first."""
    found = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            number = path.name.removeprefix(FILE).removeprefix(".")
            if path.name == FILE:
                found.append((0, path))
            elif path.name.startswith(f"{FILE}.") and number.isascii() and number.isdigit():
                found.append((int(number), path))
    return [path for _, path in sorted(found, reverse=True)]


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path


# -- the lines


class Lines(logging.Formatter):
    """Records as JSON objects on one line, ASCII only: nothing in them can steer a terminal."""

    def __init__(self, redact: Redact, trail: Trail) -> None:
        super().__init__()
        self._redact = redact
        self._trail = trail
        self._formatter: ProcessorFormatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        """Never raises: of a record that cannot be made into a line, that is told instead."""
        try:
            if self._formatter is None:
                self._formatter = self._made()
            return self._formatter.format(record)
        except Exception as problem:  # noqa: BLE001 - a log line must not end what it tells of
            told = {
                "ts": stamp(datetime.fromtimestamp(record.created, UTC)),
                "level": "error",
                "logger": __name__,
                "event": f"a line of {record.name} could not be made: {type(problem).__name__}",
                "where": f"{record.pathname}:{record.lineno}",
            }
            return json.dumps(told)

    def _made(self) -> ProcessorFormatter:
        from structlog import processors, stdlib

        chain: list[Processor] = [
            stdlib.ExtraAdder(),
            self._head,
            self._correlated,
            processors.format_exc_info,
            self._clean,
        ]
        return stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[stdlib.ProcessorFormatter.remove_processors_meta, processors.JSONRenderer(ensure_ascii=True)],
        )

    def _head(self, _: object, __: str, told: MutableMapping[str, Any]) -> dict[str, Any]:
        record: logging.LogRecord = told["_record"]
        return {
            "ts": stamp(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": told.pop("event"),
            "pid": record.process,
            **{name: value for name, value in told.items() if not _is_another_s(name)},
        }

    def _correlated(self, _: object, __: str, told: MutableMapping[str, Any]) -> dict[str, Any]:
        """What the line says itself counts more."""
        return {**told, **{name: value for name, value in self._trail().items() if name not in told}}

    def _clean(self, _: object, __: str, told: MutableMapping[str, Any]) -> dict[str, Any]:
        return {name: value if name in _OURS else self._plain(value, name) for name, value in told.items()}

    def _plain(self, value: object, name: str, depth: int = 0) -> object:
        """A value as JSON, without secrets. What stands under a telling name is one, whatever it looks like."""
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            if depth >= _DEPTH_MAX:
                return "…"
            if isinstance(value, Mapping):
                items = list(value.items())[:_ITEMS_MAX]
                return {self._text(key): self._plain(one, str(key), depth + 1) for key, one in items}
            return [self._plain(one, name, depth + 1) for one in list(value)[:_ITEMS_MAX]]
        if _is_secret(name):
            return "[redacted]"
        return self._text(value)

    def _text(self, value: object) -> str:
        text = self._redact(without_colours(str(value)))  # before it is cut: half a secret is not recognised
        left = len(text) - TEXT_CHARS_MAX
        return text if left <= 0 else f"{text[:TEXT_CHARS_MAX]}… ({left} more characters)"


def without_colours(text: str) -> str:
    """Without what steers a terminal: a secret that such a sequence touches would not be recognised."""
    return _COLOURS.sub("", text) if "\x1b" in text or "\x9b" in text else text


def _is_secret(name: str) -> bool:
    told = name.lower().replace("-", "_")
    return told in _SECRET_NAMES or any(told.endswith(f"_{one}") for one in _SECRET_NAMES)


class FileHandler(logging.Handler):
    """Into the file, as JSON lines."""

    def __init__(self, file: LogFile, lines: Lines) -> None:
        super().__init__()
        self.file = file
        self.setFormatter(lines)

    def emit(self, record: logging.LogRecord) -> None:
        lost = self.file.lost
        if self.file.append(self.format(record).encode() + b"\n") and lost:
            self.file.lost -= lost
            text = f"{lost} lines before this one could not be written"
            told = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (), None)
            self.file.append(self.format(told).encode() + b"\n")

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing is printed: the terminal belongs to the command."""

    def close(self) -> None:
        self.file.close()
        super().close()


class ShownHandler(logging.Handler):
    """On the terminal, where somebody asked for it: each line as fields, given to `show`."""

    def __init__(self, lines: Lines, show: Callable[[Mapping[str, Any]], None]) -> None:
        super().__init__()
        self.setFormatter(lines)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):  # the terminal has gone
            self._show(json.loads(self.format(record)))


# -- beginning and ending


@contextmanager
def logging_to(
    folder: Path,
    *,
    redact: Redact,
    trail: Trail,
    level: int | None = logging.INFO,
    show: Callable[[Mapping[str, Any]], None] | None = None,
    file_bytes_max: int = FILE_BYTES_MAX,
    files_max: int = FILES_MAX,
) -> Iterator[None]:
    """Within the block, lines of ours from `level` on go to files in `folder`, and so do warnings of other libraries;
    None: nothing does. With `show`, they are shown as well. Nothing is opened or made before the first line."""
    ours, root = logging.getLogger("daybreak"), logging.getLogger()
    before = ours.level
    lines = Lines(redact, trail)
    handlers: list[logging.Handler] = []
    if level is not None:
        handlers.append(FileHandler(LogFile(folder, file_bytes_max=file_bytes_max, files_max=files_max), lines))
    else:
        handlers.append(logging.NullHandler())  # without any, the standard library prints warnings
    if show is not None:
        handlers.append(ShownHandler(lines, show))
    for handler in handlers:
        root.addHandler(handler)
    ours.setLevel(level if level is not None else logging.CRITICAL + 1)
    try:
        yield
    finally:
        ours.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def wanted(environment: Mapping[str, str], *, verbose: bool = False) -> int | None:
    """The level: that of DAYBREAK_LOG, else debug where somebody asked for more, else info. Raises LevelUnknown."""
    if name := environment.get(ENVIRONMENT):
        return level_named(name)
    return logging.DEBUG if verbose else logging.INFO


def asked_for_more() -> bool:
    """Did the command line ask for logs on the terminal? Looked at before arguments are parsed."""
    return "--verbose" in sys.argv[1:]
