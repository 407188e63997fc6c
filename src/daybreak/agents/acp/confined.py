"""Files as an agent may ask for them: inside its workspace, and never one that must stay as it is.

The sandbox is the wall; this is the door that answers politely. Links are followed before anything is decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from daybreak.errors import WorkerError

READ_BYTES_MAX = 4_000_000
WRITE_BYTES_MAX = 16_000_000


class PathOutside(WorkerError):
    """An agent asked for a file that is not its own."""

    code = "W171"


class PathProtected(WorkerError):
    """An agent asked to change a file that must stay as it is."""

    code = "W172"


class FileUnusable(WorkerError):
    """A file of the workspace cannot be read or written as text."""

    code = "W173"


class FileAbsent(FileUnusable):
    """There is no such file in the workspace, which agents ask about before they write one."""

    code = "W174"


class Confined:
    """The files below `workspace`. `readable`: folders that may be read besides. `protected`: paths relative to the
    workspace, with `*` and `?` where wanted; a folder stands for all that is in it."""

    def __init__(self, workspace: Path, *, readable: Sequence[Path] = (), protected: Iterable[str] = ()) -> None:
        self.workspace = workspace.resolve()
        self._readable = tuple(folder.resolve() for folder in readable)
        self._protected = tuple(one.removeprefix("./").rstrip("/") for one in protected if one.strip("./"))

    def for_reading(self, path: str) -> Path:
        """Where it really lies. Raises PathOutside."""
        return self._within(path, (self.workspace, *self._readable))

    def for_writing(self, path: str) -> Path:
        """Where it really lies. Raises PathOutside, PathProtected."""
        real = self._within(path, (self.workspace,))
        for relative in {real.relative_to(self.workspace).as_posix(), self._as_written(path)}:
            if self._is_protected(relative):
                raise PathProtected(
                    f"{relative:.80} must stay as it is", hint="leave it, and say what is wrong with it"
                )
        return real

    def read(self, path: str, line: int | None = None, limit: int | None = None) -> str:
        """Its text, or `limit` lines of it from `line` (the first is 1).
        Raises PathOutside, and FileUnusable where it is missing, no text, or over READ_BYTES_MAX."""
        real = self.for_reading(path)
        try:
            if not real.exists():
                raise FileAbsent(f"{path!r:.80} does not exist", hint="list the folder")
            if not real.is_file():
                raise FileUnusable(f"{path!r:.80} is no file", hint="list the folder")
            with real.open("rb") as file:
                raw = file.read(READ_BYTES_MAX + 1)
            content = raw.decode("utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise FileUnusable(f"{path!r:.80} cannot be read: {problem}", hint="read another file") from problem
        if len(raw) > READ_BYTES_MAX:
            raise FileUnusable(f"{path!r:.80} is over {READ_BYTES_MAX} bytes", hint="read it with a program of yours")
        if line is None and limit is None:
            return content
        first = max(0, (line or 1) - 1)
        return "".join(content.splitlines(keepends=True)[first : None if limit is None else first + limit])

    def write(self, path: str, content: str) -> Path:
        """Write all of it; folders are made. Raises PathOutside, PathProtected, FileUnusable."""
        real = self.for_writing(path)
        try:
            raw = content.encode("utf-8")
            if len(raw) > WRITE_BYTES_MAX:
                raise FileUnusable(f"{path!r:.80} would be over {WRITE_BYTES_MAX} bytes", hint="write less at once")
            real.parent.mkdir(parents=True, exist_ok=True)
            real.write_bytes(raw)
        except (OSError, UnicodeEncodeError) as problem:
            raise FileUnusable(f"{path!r:.80} cannot be written: {problem}", hint="write another file") from problem
        return real

    def _within(self, path: str, folders: tuple[Path, ...]) -> Path:
        try:
            real = (self.workspace / path).resolve()
        except (OSError, ValueError, RuntimeError) as problem:  # a loop of links, a NUL, a name that is too long
            raise PathOutside(
                f"{path!r:.80} names no file: {problem}", hint="name a file of the workspace"
            ) from problem
        if not any(real.is_relative_to(folder) for folder in folders):
            raise PathOutside(f"{path!r:.80} lies outside the workspace", hint="stay inside the workspace")
        return real

    def _as_written(self, path: str) -> str:
        """Relative to the workspace without following the last link: the name is protected, wherever it points."""
        written = self.workspace / path
        parent = written.parent.resolve()
        return (parent / written.name).relative_to(self.workspace).as_posix() if self._holds(parent) else ""

    def _holds(self, path: Path) -> bool:
        return path.is_relative_to(self.workspace)

    def _is_protected(self, relative: str) -> bool:
        names = [relative, *(parent.as_posix() for parent in Path(relative).parents if parent.as_posix() != ".")]
        return any(fnmatchcase(name, pattern) for name in names for pattern in self._protected)
