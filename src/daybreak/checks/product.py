"""The result of a build as examples meet it: installed, with its commands on the path."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from daybreak.host.process import clean_environment

_SHIM = """\
#!/bin/sh
PYTHONPATH={library} exec {python} "$@"
"""


@dataclass(frozen=True, slots=True)
class Product:
    """How to run a result. Its commands run this environment's Python with `library` in front, so what a
    generated program needs (FastAPI, Uvicorn) is importable."""

    name: str
    """Of its command."""
    workspace: str
    """SHA-256 of the tree that it was made from."""
    tree: Path
    """The delivered tree, as `files` examples look at it."""
    prefix: Path
    """Where it is installed: `bin`, `lib`."""
    readable: tuple[Path, ...] = ()
    """What else it needs to run, such as the folder that its language is installed in; real."""
    programs: tuple[Path, ...] = ()
    """Folders of programs that it may start, after its own and before the system's."""

    @property
    def bin(self) -> Path:
        return self.prefix / "bin"

    @property
    def library(self) -> Path:
        return self.prefix / "lib"

    @property
    def package(self) -> str:
        """Name of its import package."""
        return self.name.replace("-", "_")

    def environment(self, scratch: Path) -> dict[str, str]:
        """What it runs in: its commands, `python3`, the system's programs; nothing of ours."""
        return clean_environment(scratch, path=[self.bin, *self.programs])


def make_prefix(prefix: Path) -> Path:
    """An empty installation with `python`, `python3` that see what is installed in it; gives python3."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib").mkdir()
    shim = _SHIM.format(library=shlex.quote(str(prefix / "lib")), python=shlex.quote(sys.executable))
    for name in ("python", "python3"):
        write_program(prefix / "bin" / name, shim)
    return prefix / "bin" / "python3"


def write_program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
