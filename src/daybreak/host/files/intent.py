"""The intent record: what a transaction is about to do, on the disk before it does any of it.

It is a list of steps in the order in which they are done; going back does them in the opposite order. Whether a step
has been done is seen from the disk alone, by the inode numbers that the record holds, so no progress is written.
The record is made under another name and renamed, so it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from typing import Any, get_args

from daybreak.host.files import system
from daybreak.host.files.content import read_all
from daybreak.host.files.disk import Disk, Kind, Seen
from daybreak.host.files.paths import WORK, checked
from daybreak.host.files.problems import IntentDamaged, PathRefused

FORWARD = f"{WORK}/intent"
"""A record of this name is to be finished."""
BACK = f"{WORK}/back"
"""A record of this name is to be undone."""
DONE = f"{WORK}/done"
"""A record of this name has been dealt with; it only waits for being removed."""

_DRAFT = f"{WORK}/draft"
_MAGIC = b"daybreak-intent-1 "
_SLOT = re.compile(re.escape(WORK) + r"/[0-9a-f]{8}-[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Make:
    """A new folder at `path`."""

    path: str


@dataclass(frozen=True, slots=True)
class Move:
    """A folder that is there gets another name."""

    source: str
    target: str
    ino: int


@dataclass(frozen=True, slots=True)
class Swap:
    """What is in `slot` (a name in the work folder) and what is at `path` change places. Either may be nothing:
    then `path` is made, or removed."""

    path: str
    slot: str
    arrives: Seen | None
    leaves: Seen | None

    @property
    def aside(self) -> str:
        """Where the old one waits while a file system without exchange does it in several renames."""
        return self.slot + ".old"


Step = Make | Move | Swap


def write(disk: Disk, steps: list[Step]) -> None:
    """Put the record on the disk. Raises OSError; then there is no record."""
    body = json.dumps([_listed(step) for step in steps], ensure_ascii=True, separators=(",", ":")).encode()
    descriptor = disk.create(_DRAFT, 0o600)
    try:
        rest = memoryview(_MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        system.sync(descriptor)
    finally:
        os.close(descriptor)
    disk.move(_DRAFT, FORWARD)


def read(disk: Disk, path: str) -> list[Step]:
    """The steps of a record; whatever its bytes say, no path leads out of the root. Raises IntentDamaged, OSError."""
    head, _, body = read_all(disk, path).partition(b"\n")
    try:
        if head != _MAGIC + hashlib.sha256(body).hexdigest().encode():
            raise ValueError("its checksum is wrong")
        listed = json.loads(body)
        if not isinstance(listed, list):
            raise ValueError("it is no list of steps")
        return [_step(*one) for one in listed]
    except (ValueError, TypeError, RecursionError, PathRefused) as error:
        raise IntentDamaged(
            f"the record {path} of a crashed transaction is damaged: {error}",
            hint=f"nothing was touched. Compare {WORK} with the files beside it, put right what is half done by hand, "
            f"and remove {WORK}",
        ) from error


def _listed(step: Step) -> list[Any]:
    match step:
        case Make(path):
            return ["make", path]
        case Move(source, target, ino):
            return ["move", source, target, ino]
        case Swap(path, slot, arrives, leaves):
            return ["swap", path, slot, arrives, leaves]


def _step(name: str, *values: Any) -> Step:
    match name, *values:
        case "make", path:
            return Make(checked(path))
        case "move", source, target, int(ino):
            return Move(checked(source), checked(target), ino)
        case "swap", path, str(slot), arrives, leaves if _SLOT.fullmatch(slot) and (arrives or leaves):
            return Swap(checked(path), slot, _seen(arrives), _seen(leaves))
    raise ValueError("it has a step that this version does not know")


def _seen(listed: Any) -> Seen | None:
    if listed is None:
        return None
    kind, *numbers = listed
    if kind not in get_args(Kind) or len(numbers) != 3 or not all(type(number) is int for number in numbers):
        raise ValueError("it has a step that this version does not know")
    return Seen(kind, *numbers)
