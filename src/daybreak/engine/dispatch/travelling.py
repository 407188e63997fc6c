"""Folders that travel to a node and back: what of them does, how much, and in which pieces."""

from __future__ import annotations

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


def taken(folder: Path) -> tree.Taken:
    """A folder as it travels, with its links. Raises NotATree, JobTooLarge."""
    found = tree.take(folder, FOLDER, links=True)
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
    refuse_strange(tree.check(packed, expected, FOLDER, links=True))
    fresh, gone = scratch / f"left-{folder.name}", scratch / f"gone-{folder.name}"
    for one in (fresh, gone):
        removal.remove(one)
    try:
        unpack(packed, fresh, expected)
        gone.mkdir()
        tree.replace(folder, fresh, gone)
    finally:
        for one in (fresh, gone):
            removal.remove(one)


def refuse_strange(told: tree.Tree) -> None:
    """Raises PackDamaged for a tree that `tree.take` never makes: a `.git` in it would have its programs run here."""
    for entry in told.entries:
        for part in entry.path.split("/"):
            if tree.is_ignored(part) or part.casefold() == ".git":
                raise tree.PackDamaged(f"{part} is in it, which no tree holds", hint="")
