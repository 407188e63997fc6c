"""Check `install`: the result builds as a wheel and installs into an empty prefix, without network."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import threading
from pathlib import Path

from daybreak.checks import sandboxed, transcripts
from daybreak.checks.evidence import Evidence, Mark
from daybreak.checks.product import Product, make_prefix
from daybreak.errors import HostError
from daybreak.host import process
from daybreak.host.sandbox import Strength

CHECK = "install"
_BUILDING = str(Path(__file__).with_name("building.py"))


def look(
    tree: Path,
    workspace: str,
    *,
    name: str,
    scratch: Path,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 60,
    cancelled: threading.Event | None = None,
) -> tuple[Evidence, Product | None]:
    """Build and install a copy of `tree`; the product runs for as long as `scratch` exists.

    `name` is the command that must be there afterwards. `tree` is not written to. The product is None
    exactly where the evidence is not `passed`.
    """
    tree, scratch = tree.resolve(), scratch.resolve()  # before anything of the project runs
    folder = Path(tempfile.mkdtemp(prefix="install-", dir=scratch))
    source, out, prefix = folder / "source", folder / "wheel", folder / "prefix"
    command = "build a wheel, install it into an empty prefix"
    if not (tree / "pyproject.toml").is_file():
        seen = Evidence(
            check=CHECK,
            workspace=workspace,
            outcome="failed",
            summary="there is no pyproject.toml",
            command=command,
        )
        return seen, None
    try:
        shutil.copytree(tree, source, symlinks=True)
        out.mkdir()
        python = make_prefix(prefix)
        finished = process.run(
            [sys.executable, "-I", _BUILDING, source, out, prefix, python],
            cwd=source,
            env=process.clean_environment(folder, SOURCE_DATE_EPOCH="1577836800"),
            timeout_s=timeout_s,
            cancelled=cancelled,
            sandbox=sandboxed.around(source, out, prefix, *sandboxed.homes(folder), require=require),
        )
    except (HostError, OSError) as error:
        return _unusable(workspace, command, error), None
    if finished.cancelled:
        return _unusable(workspace, command, finished.ending), None
    program = prefix / "bin" / name
    problem = None
    if not finished.ok:
        problem = f"the wheel cannot be built and installed: {_last_line(finished) or finished.ending}"
    elif not _is_program(program):
        problem = f"it installs no command {name}; add it to [project.scripts]"
    seen = Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="failed" if problem else "passed",
        summary=problem or f"built and installed, command {name}",
        command=command,
        marks=(Mark(message=problem, place="pyproject.toml"),) if problem else (),
        output=transcripts.of(finished),
        duration_ms=finished.duration_ms,
    )
    return seen, None if problem else Product(name=name, workspace=workspace, tree=tree, prefix=prefix)


def _is_program(path: Path) -> bool:
    """A file of its own that can be executed; nothing that leads elsewhere, nor a folder on the way that does."""
    try:
        folder, found = os.lstat(path.parent), os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(folder.st_mode) and stat.S_ISREG(found.st_mode) and bool(found.st_mode & 0o111)


def _unusable(workspace: str, command: str, why: object) -> Evidence:
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="unusable",
        summary=f"could not look: {why}",
        command=command,
    )


def _last_line(finished: process.Finished) -> str:
    lines = transcripts.text(finished.stderr).strip().splitlines()
    return lines[-1] if lines else ""
