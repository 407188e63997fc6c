"""The registry: one small file for each workspace, replaced atomically, and beside it a lock of the kernel's.

    ROOT/records/ws-….json     what it was made from, when, and what becomes of it
    ROOT/locks/ws-….lock       held as long as its owner lives (see `daybreak.host.locks`)
    ROOT/spaces/ws-…/work      the workspace; beside it what belongs to us: `git`, `listing.json`, `made`

The order is: lock, record, folder, `made`; and back again when it is removed. So whoever finds a free lock knows that
the owner is dead, and from the record and `made` how far it came. Removing needs no room on the disk. Paths are never
taken from a record: they follow from the id.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from daybreak.host import place
from daybreak.host.files import NotWritten
from daybreak.host.workspaces.problems import WorkspaceUnknown

ID = re.compile(r"ws-[0-9a-hjkmnp-tv-z]{16}")

State = Literal["held", "kept"]
"""held: its owner works in it, or died; kept: failed, for people to look at until its time is over."""

NEW = ".new"
"""Ends the name of a record that is being written."""

Kind = Literal["git", "folder"]


@dataclass(frozen=True, slots=True)
class Record:
    id: str
    kind: Kind
    source: str
    """The repository or folder that it was made from, absolute."""
    made: str
    """RFC 3339 in UTC."""
    state: State = "held"
    commit: str = ""
    """Full hash; empty for a copy of a folder."""
    label: str = ""
    """The caller's own words, for people."""
    until: str = ""
    """When a kept one may go, RFC 3339 in UTC."""
    reason: str = ""
    """Why it is kept."""
    bytes_kept: int = 0
    """What it takes on disk, measured when it was kept."""
    objects: str = ""
    """The object store of the repository, absolute."""
    object_format: str = "sha1"
    not_covered: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Relative paths of the source that were not copied."""


def read(path: Path) -> Record | None:
    """The record in that file; None where there is none, or it is not one of ours."""
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        told = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
        record = Record(**told)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return record if record.id == path.stem and _is_sound(record) else None


def _is_sound(record: Record) -> bool:
    for field in fields(record):
        value: Any = getattr(record, field.name)
        wanted = tuple if field.name in ("not_covered", "left_out") else int if field.name == "bytes_kept" else str
        if not isinstance(value, wanted):
            return False
    return record.state in ("held", "kept") and record.kind in ("git", "folder")


def write(path: Path, record: Record) -> None:
    """Replace the record atomically; only the holder of the lock may. Raises NotWritten.

    Not synced: a dead process loses nothing by it, after a power loss a workspace without its record is kept like a
    failure, and a sync here would wait for the thousands of files that were written just before."""
    new = path.with_name(path.name + NEW)
    try:
        new.write_text(json.dumps(asdict(record), indent=1))
        new.replace(path)
    except OSError as error:
        raise NotWritten(
            f"the record {path} could not be written: {error.strerror}", hint="make room or mend the rights"
        ) from error


def remove(path: Path) -> None:
    """The record, and what a crash in `write` may have left. Raises OSError."""
    path.with_name(path.name + NEW).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie below the root. Ids are checked here, so that no path leads out."""

    root: Path

    def folders(self) -> tuple[Path, Path, Path]:
        return self.root / "records", self.root / "locks", self.root / "spaces"

    def record(self, id: str) -> Path:
        return self.root / "records" / f"{checked(id)}.json"

    def lock(self, id: str) -> Path:
        return self.root / "locks" / f"{checked(id)}.lock"

    def space(self, id: str) -> Path:
        return self.root / "spaces" / checked(id)

    def ids(self) -> list[str]:
        """Of everything that has left a trace, oldest first as far as ids tell."""
        found = {
            name
            for folder in self.folders()
            if folder.is_dir()
            for path in folder.iterdir()
            if ID.fullmatch(name := path.name.split(".")[0])
        }
        return sorted(found)


def checked(id: object) -> str:
    if not isinstance(id, str) or not ID.fullmatch(id):
        raise WorkspaceUnknown(f"{place.shown(id)} is no workspace's id", hint="ids look like ws-0123456789abcdef")
    return id
