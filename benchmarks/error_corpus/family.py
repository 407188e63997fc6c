"""A task in a world, done in two ways, and a judge that looks at what came of it."""

from __future__ import annotations

import abc
import hashlib
import os
from pathlib import Path
from typing import ClassVar

from benchmarks.error_corpus.session import Session

NOTHING_WRONG = ""


class Family(abc.ABC):
    """One task. `trap` is what is wrong with its world; an empty trap is the healthy world, where both ways succeed.

    `naive` and `patterned` get the same task, and use what a caller would know beforehand; neither asks for `trap`.
    `recorded` is the situation's name in both worlds: by it a naive procedure may be written in another style (which
    file it opens first, whether its loop skips). Returning is the claim that the goal is reached; raising is saying
    that it is not.
    """

    noticing_counts: ClassVar[bool] = False
    """Whether it is enough that a failure is told: the world is not ours to protect from a program that lies."""
    claims: ClassVar[bool] = True
    """False where returning claims nothing, because the procedure did not live to say it."""
    covered: ClassVar[bool] = True
    """False where the patterns for it are not there yet."""

    def __init__(self, folder: Path, recorded: str, *, healthy: bool) -> None:
        self.folder, self.recorded = folder, recorded
        self.trap = "" if healthy else recorded
        self.culprit = ""
        """What a refusal must name; empty: anything."""
        self.outside = folder.parent / (folder.name + "-outside")
        self.lay()

    @abc.abstractmethod
    def lay(self) -> None:
        """Make the world."""

    @abc.abstractmethod
    def naive(self, session: Session) -> None:
        """Plain Python: open, subprocess, a loop, the same again when it fails."""

    @abc.abstractmethod
    def patterned(self, session: Session) -> None:
        """The same task with Daybreak's library."""

    @abc.abstractmethod
    def wrong(self) -> str:
        """What is wrong with the result, looked up without either way's help; empty where the goal is reached."""

    def told(self, message: str) -> bool:
        """Whether an error names what is to blame."""
        return self.culprit in message

    def put(self, name: str, content: str | bytes, mode: int | None = None) -> Path:
        """A file of the world."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        if mode is not None:
            path.chmod(mode)
        return path

    def text(self, name: str) -> str | None:
        """What a file holds, None where there is none."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.is_file() and not path.is_symlink() else None

    def close(self) -> None:  # noqa: B027 - most worlds keep nothing open
        """End what the world keeps open."""


def fingerprint(folder: Path) -> dict[str, str]:
    """Everything below a folder: path → what it is. Independent of the library on purpose."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            if path.is_symlink():
                what = "link " + os.readlink(path)
            elif path.is_file():
                what = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                what = "folder" if path.is_dir() else "other"
            found[str(path.relative_to(folder))] = what
    return found
