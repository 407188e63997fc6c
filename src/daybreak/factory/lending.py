"""A sandbox that was allowed on one machine, made on another: the same grants, with that machine's own paths.

The coordinator asks the door and gets a `Sandbox` with its own paths. Those that belong to an attempt (its workspace,
its scratch, our package) have a name; they travel as that name, and become the paths of the machine that does it. All
others travel as they are and must be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from daybreak.engine.dispatch import NotOnNode
from daybreak.host.sandbox import Sandbox

_PATHS = ("writable", "readable", "hidden")
_REST = (
    "network",
    "memory_bytes",
    "processes",
    "file_bytes",
    "disk_bytes",
    "disk_files",
    "scratch_bytes",
    "open_files",
    "cpu_s",
    "require",
)


def told(box: Sandbox, own: Mapping[str, Path]) -> dict[str, Any]:
    """As JSON. `own`: what has a name, real."""
    paths = {field: [_named(path, own) for path in getattr(box, field)] for field in _PATHS}
    return {**paths, **{name: getattr(box, name) for name in _REST}}


def made(what: Mapping[str, Any], own: Mapping[str, Path], *, here: bool) -> Sandbox:
    """The sandbox of `told` where `own` has these paths. `here`: on the machine where it was told. Raises NotOnNode."""
    paths = {field: tuple(_path(one, own) for one in what[field]) for field in _PATHS}
    if not here:
        refuse_absent((*paths["writable"], *paths["readable"]))
        paths["hidden"] = tuple(path for path in paths["hidden"] if path.exists())
    return Sandbox(
        writable=paths["writable"],
        readable=paths["readable"],
        hidden=paths["hidden"],
        **{name: what[name] for name in _REST},
    )


def refuse_absent(paths: Iterable[Path]) -> None:
    """Raises NotOnNode for the first that is not on this machine."""
    for path in paths:
        if not path.exists():
            raise NotOnNode(
                f"{path} is not on this node", hint="install it there, or name a label of nodes that have it"
            )


def _named(path: Path, own: Mapping[str, Path]) -> list[str]:
    """[name, what follows]; an empty name: as it is."""
    best = max((name for name in own if path.is_relative_to(own[name])), key=lambda one: len(str(own[one])), default="")
    return [best, str(path.relative_to(own[best])) if best else str(path)]


def _path(what: list[str], own: Mapping[str, Path]) -> Path:
    name, rest = what
    return own[name] / rest if name else Path(rest)
