"""The sandbox that every program of a check runs in: its own scratch folder, and nothing else that is ours or yours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from daybreak.host.sandbox import Sandbox, Strength

WANTED: Strength = "degraded"
"""Where the machine can do less, nothing is run unless somebody asks for it in so many words."""


def around(
    *writable: Path, readable: Sequence[Path] = (), port: int | None = None, require: Strength = WANTED
) -> Sandbox:
    """For a program that may change `writable`, read `readable`, and be reached at `port`; it can reach nobody.

    Folders must exist. Raises SandboxRefused.
    """
    return Sandbox(
        writable=tuple(path.resolve() for path in writable),
        readable=tuple(path.resolve() for path in readable),
        network="none" if port is None else "listen",
        listen_port=port,
        require=require,
    )
