"""The one module that knows pex: from installed distributions and a folder of files to one file that starts."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from daybreak.errors import DaybreakError, UsageError, cut
from daybreak.host import process
from daybreak.host.sandbox import Sandbox

PACK_S = 600
ENTRY = "daybreak.cli.unpacked:main"
"""Where the unpacked file begins."""
DEPENDENCIES = ".deps/"
"""Inside the file: each distribution in a folder that has the name of its wheel."""
OF_PEX = (".bootstrap/", "__pex__/", "PEX-INFO", "__main__.py")
"""Inside the file: what starts it, and is not installed."""


class BundlerMissing(UsageError):
    """A bundle is asked for, and the program that packs it is not installed."""

    code = "U390"


class NotPacked(DaybreakError):
    """The bundle could not be put together."""

    code = "U393"


def check_installed() -> None:
    """Raises BundlerMissing."""
    if importlib.util.find_spec("pex") is None:
        raise BundlerMissing("bundles are packed by pex, which is not installed", hint="pip install 'daybreak[bundle]'")


def pack(requirements: Sequence[str], ours: Path, start: Path, out: Path, scratch: Path) -> None:
    """Write `out`, not yet compressed. `start` is run first whenever it is started.

    Packs what this environment has, in a sandbox without network that can write to `scratch` alone (where the machine
    has one): the environment's own files cannot be changed, and nothing can be fetched. Raises NotPacked.
    """
    check_installed()
    work = scratch / "packing"
    work.mkdir()
    named = work / "requirements.txt"
    named.write_text("".join(f"{line}\n" for line in requirements))
    words: list[str | Path] = [sys.executable, "-I", "-m", "pex", "--venv-repository", sys.prefix, "-r", named]
    words += ["-D", ours, "-e", ENTRY, "-p", start, "-o", out, "--no-compress", "--no-use-system-time"]
    words += ["--venv", "--venv-site-packages-copies", "--no-emit-warnings", "--python-shebang", _shebang()]
    words += ["--no-rc", "--no-index", "--no-pypi", "--pex-root", work / "root", "--tmpdir", work]
    words += ["--jobs", "1"]  # more would need semaphores in /dev/shm, which not every machine and sandbox has
    finished = process.run(
        words,
        cwd=work,
        env=process.clean_environment(work),
        timeout_s=PACK_S,
        merge=True,
        sandbox=Sandbox(writable=(scratch,), readable=_environment(), file_bytes=1 << 30, require="none"),
    )
    if not finished.ok or not out.is_file():
        said = [line for line in finished.stdout.decode(errors="replace").splitlines() if line.strip()]
        raise NotPacked(
            f"pex could not pack it: {cut(said[-1] if said else finished.ending)} ({finished.ending})",
            hint="`pip check` says whether this environment is whole",
        )


def _shebang() -> str:
    return f"/usr/bin/env python{sys.version_info.major}.{sys.version_info.minor}"


def _environment() -> tuple[Path, ...]:
    """Real folders that hold what is installed here, also where they lie outside of this environment."""
    return tuple({Path(entry).resolve() for entry in sys.path if entry.endswith("-packages") and Path(entry).is_dir()})
