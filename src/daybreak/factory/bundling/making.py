"""A bundle from beginning to end: packed, pressed, tried out, put in its place."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak.factory.bundling import ours, packing, placing, pressing, required, starting, trying
from daybreak.factory.bundling.listing import Contents
from daybreak.factory.bundling.trying import Tried
from daybreak.version import __version__

ROOM_FACTOR = 1.7
"""Unpacked and compiled, against unpacked."""


@dataclass(frozen=True, slots=True)
class Bundle:
    file: Path
    bytes: int
    sha256: str
    contents: Contents
    tried: Tried | None
    """None: nobody wanted it tried out."""


def make(
    output: Path,
    *,
    extras: Sequence[str] = (),
    force: bool = False,
    try_out: bool = True,
    say: Callable[[str], None] = lambda words: None,
) -> Bundle:
    """Make `output` from what is installed here; needs no network, and about 1.5 GB in TMPDIR for a while.

    The same environment and the same `extras` give the same bytes. An existing file stays unless `force`, and until the
    new one was tried out. `say` hears what is going on.
    Raises BundlerMissing, ExtraUnknown, InstalledDiffers, NotPacked, TargetRefused, NoRoomForBundle, BundleFailed.
    """
    packing.check_installed()
    final = placing.target(output, force=force)
    wanted = sorted(set(extras))
    requirements = required.requirements(wanted)
    distributions = required.closure(requirements, wanted)
    with placing.room_for(final, say) as (scratch, aside):
        say(f"comparing {len(distributions)} installed packages with their records")
        required.check_whole(distributions)
        own, start = scratch / "ours", scratch / "start.py"
        own.mkdir()
        ours.put(own, scratch)
        about = _about(tuple(wanted), required.oldest_libc(distributions))
        size = sum(one.stat().st_size for one in own.rglob("*") if one.is_file())
        size += sum(_size(file.locate()) for one in distributions for file in one.files or () if file.hash)
        start.write_text(starting.program(about, int(size * ROOM_FACTOR)), encoding="utf-8")
        say("packing")
        packing.pack(requirements, own, start, scratch / "packed.pyz", scratch)
        say("compressing")
        contents = pressing.press(scratch / "packed.pyz", aside, about)
        tried = trying.try_out(aside, scratch, say=say) if try_out else None
        digest, length = _digest(aside), aside.stat().st_size
        placing.place(aside, final, force=force)
    return Bundle(final, length, digest, contents, tried)


def _about(extras: tuple[str, ...], libc: tuple[int, int] | None) -> Contents:
    return Contents(
        daybreak=__version__,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        implementation=sys.implementation.name,
        abiflags=sys.abiflags,
        system=sys.platform,
        machine=os.uname().machine,
        libc=libc,
        extras=extras,
        distributions=(),
        left_out=(),
        files={},
    )


def _size(path: object) -> int:
    try:
        return Path(str(path)).stat().st_size
    except OSError:
        return 0


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
