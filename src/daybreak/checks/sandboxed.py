"""The sandbox that every program of a check runs in: its own scratch folders, and nothing else that is ours or yours.

We act outside, with all our rights. So no program is ever given a folder inside which we use names afterwards: it
could put a link or a pipe there, and we would follow it. What is granted is the leaves (the copy, HOME, TMPDIR, a
folder for results); the folder in which they have their names is ours alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from daybreak.host.sandbox import Sandbox, SandboxRefused, Strength

WANTED: Strength = "degraded"
"""Where the machine can do less, nothing is run unless somebody asks for it in so many words."""


def around(
    *writable: Path, readable: Sequence[Path] = (), port: int | None = None, require: Strength = WANTED
) -> Sandbox:
    """For a program that may change `writable`, read `readable`, and be reached at `port`; it can reach nobody.

    Paths must exist and hold no symbolic link, also not on the way: nothing is resolved here, since who was in a
    sandbox before may have made the link. Resolve a scratch folder once, before anything runs. Raises SandboxRefused.
    """
    return Sandbox(
        writable=tuple(map(_real, writable)),
        readable=tuple(map(_real, readable)),
        network="none" if port is None else "listen",
        listen_port=port,
        require=require,
    )


def homes(scratch: Path) -> tuple[Path, Path]:
    """HOME and TMPDIR of `clean_environment(scratch)`: what to grant instead of `scratch`."""
    return scratch / "home", scratch / "tmp"


def _real(path: Path) -> Path:
    path = path.absolute()
    try:
        real = os.path.realpath(path, strict=True)
    except (OSError, ValueError) as error:
        raise SandboxRefused(f"{path!r:.500} cannot be granted: {error}", hint="make it first") from error
    if real != str(path):
        raise SandboxRefused(
            f"{path} leads through a symbolic link to {real}", hint="if that is meant, give the real path"
        )
    return path
