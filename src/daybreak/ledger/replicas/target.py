"""Where a replica lies, in the five words that copying needs, and what opens one by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from daybreak.ledger.replicas.problems import TargetUnknown


class Target(Protocol):
    """A place for files by path. All raise ReplicaLost or OSError where it fails; what was begun then is not there."""

    @property
    def name(self) -> str:
        """As in the settings."""
        ...

    def ready(self, *, had: bool, apart: bool) -> bool:
        """Called before each round. `had`: it has held a replica before, so that nothing is made anew where it is
        missing; `apart`: it was on another disk than the ledger then. Gives whether it is so now."""
        ...

    def read(self, path: str) -> bytes | None:
        """None where there is no such file."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """The file is there, whole, and stays over a loss of power. Raises Conflict where one is there that says
        something else; that one is left as it is."""
        ...

    def replace(self, path: str, data: bytes) -> None:
        """As `put`, in place of whatever is there."""
        ...

    def drop(self, path: str) -> None:
        """Remove a folder of partial files, if it is there."""
        ...


Opener = Callable[[str, Path], Target]
"""(name, the ledger's folder)"""


class NoTarget:
    """In place of one that cannot be opened: it is lost until its name or what it needs is mended."""

    def __init__(self, name: str, why: TargetUnknown) -> None:
        self.name = name
        self._why = why

    def ready(self, *, had: bool, apart: bool) -> bool:
        raise self._refusal()

    def read(self, path: str) -> bytes | None:
        raise self._refusal()

    def put(self, path: str, data: bytes) -> None:
        raise self._refusal()

    def replace(self, path: str, data: bytes) -> None:
        raise self._refusal()

    def drop(self, path: str) -> None:
        raise self._refusal()

    def _refusal(self) -> TargetUnknown:
        return TargetUnknown(self._why.message, hint=self._why.hint)


def place(name: str) -> str:
    """The same for two names of one place, as far as names and links tell."""
    folder = _folder(name)
    return name.rstrip("/") if folder is None or "\0" in folder else os.path.realpath(folder)


def is_folder(name: str) -> bool:
    """Does it lie where files are opened by name, and not behind a protocol?"""
    return _folder(name) is not None


def _folder(name: str) -> str | None:
    """None where the name is that of no folder here."""
    scheme, mark, rest = name.partition("://")
    if mark and scheme not in ("file", "local"):
        return None
    return rest if mark else name


_PASSWORD = re.compile(r"://[^/]*:[^/]*@")


def refuse_password(name: str) -> None:
    """Names of targets are written into the log for good. Raises TargetUnknown, which does not repeat it."""
    if _PASSWORD.search(name):
        raise TargetUnknown(
            f"the URL of a {name.partition('://')[0]} target holds a password",
            hint="leave it out: fsspec finds those in its own configuration or the environment",
        )


def open_target(name: str, ledger: Path) -> Target:
    """A folder (an absolute path, or file://), or anything that fsspec knows (s3://bucket/folder, sftp://…), by a name
    without a password.

    Raises TargetUnknown."""
    refuse_password(name)
    if not name or "\0" in name:
        raise TargetUnknown(f"{name!r} names no place for a replica", hint="name a folder or a URL")
    if (folder := _folder(name)) is not None:
        from daybreak.ledger.replicas.folder import FolderTarget

        path = Path(folder)
        if not path.is_absolute():
            raise TargetUnknown(f"{name!r} is not an absolute path", hint="write the whole path of the folder")
        if path.resolve().is_relative_to(ledger.resolve()):
            raise TargetUnknown(f"{path} lies in the ledger's own folder", hint="name a folder on another disk")
        return FolderTarget(name, path, ledger)
    from daybreak.ledger.replicas.store import StoreTarget

    return StoreTarget(name)
