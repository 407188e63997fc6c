"""Folders that travel to a node and back: what of them does, how much, and in which pieces."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from daybreak.engine.dispatch.problems import JobTooLarge
from daybreak.host import removal, tree

_LESS = (
    "leave out of it what workers do not need, or have this done on the coordinator's machine: "
    '[dispatch] engine = "local" in daybreak.toml'
)
FOLDER = tree.Limits(entries=200_000, bytes=1024**3, hint=_LESS)
"""How much a folder that is lent or given may hold."""
PACKED_BYTES_MAX = 384 * 1024 * 1024
"""Of such a folder as it travels. Below what is heard of one try (`talk.HEARD_BYTES_MAX`)."""
PIECE_BYTES = 8 * 1024 * 1024
"""Of what comes back, in one message: whoever takes a while to send it is heard of meanwhile."""


def taken(folder: Path, *, whole: bool = False) -> tree.Taken:
    """A folder as it travels, with its links; `whole`: with what no tree takes, but for `.git`. Raises NotATree,
    JobTooLarge."""
    found = tree.take(folder, FOLDER, links=True, whole=whole)
    for entry in found.tree.entries:
        if any(map(is_history, entry.path.split("/"))):
            raise tree.NotATree(
                f"{tree.shown(entry.path)} has another spelling of .git in its path", hint="rename it, or remove it"
            )
    if len(found.packed) > PACKED_BYTES_MAX:
        raise JobTooLarge(
            f"a folder of {len(found.tree.entries):,} files is {len(found.packed):,} bytes when it is packed; at most "
            f"{PACKED_BYTES_MAX:,} may travel",
            hint=_LESS,
        )
    return found


def pieces(data: bytes) -> Iterator[tuple[bool, bytes]]:
    """Each with whether it is the last; one at least."""
    for at in range(0, max(len(data), 1), PIECE_BYTES):
        yield at + PIECE_BYTES >= len(data), data[at : at + PIECE_BYTES]


def unpack(packed: bytes, folder: Path, expected: str) -> None:
    """Raises PackDamaged, NotUnpacked."""
    tree.unpack(packed, folder, expected, FOLDER, links=True)


def put_back(packed: bytes, folder: Path, expected: str, scratch: Path) -> None:
    """Have `folder` hold what came back, but for what never travelled, which stays. `scratch`: a folder beside it, that
    is there. Raises PackDamaged, with nothing of it changed; NotUnpacked."""
    fresh, gone = scratch / f"left-{folder.name}", scratch / f"gone-{folder.name}"
    for one in (fresh, gone):
        removal.remove(one)
    try:
        tree.unpack(packed, fresh, expected, FOLDER, links=True, refuse=refuse_strange)
        gone.mkdir()
        tree.replace(folder, fresh, gone)
    except OSError as error:
        raise tree.NotUnpacked(
            f"what came back cannot be put into {tree.shown(str(folder))}: {error.strerror or type(error).__name__}",
            hint="it needs a disk with room, on one file system with the folder beside it",
        ) from error
    finally:
        for one in (fresh, gone):
            removal.remove(one)


def refuse_strange(told: tree.Tree) -> None:
    """Raises PackDamaged for a tree that `taken` never makes: a `.git` in it would have its programs run here."""
    for entry in told.entries:
        for part in entry.path.split("/"):
            if tree.is_ignored(part) or is_history(part):
                raise tree.PackDamaged(f"{tree.shown(part)} is in it, which no tree holds", hint="")


def is_history(name: str) -> bool:
    """Whether some file system takes that name for `.git`: another case, letters that are not seen (HFS+), a stream, a
    short name or an end that is dropped (NTFS)."""
    seen = name if name.isascii() else "".join(one for one in name if unicodedata.category(one) != "Cf")
    return seen.casefold().partition(":")[0].rstrip(" .") in (".git", "git~1")
