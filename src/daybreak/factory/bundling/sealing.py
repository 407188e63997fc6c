"""The first start of a bundle: what was unpacked is compared with the list, compiled, and only then called ready.

Runs inside the unpacked environment, before anything else of Daybreak.
"""

from __future__ import annotations

import compileall
import fcntl
import hashlib
import os
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

from daybreak.errors import HostError, cut
from daybreak.factory.bundling import listing
from daybreak.factory.bundling.listing import Contents
from daybreak.host import durable

READY = "ready"
LISTED = "listing.json"
PACKED = "pex"
"""In the place of one bundle: written last; the list, for `daybreak doctor`; what was unpacked."""
_WAYS_IN = ("PEX_EXTRA_SYS_PATH.py", "PEX_EXTRA_SYS_PATH.pth", "PEX_EXTRA_SYS_PATH.start")
"""By these, variables of the environment would add folders to import from."""
_COMPILED = (
    *("daybreak", "click", "typer", "msgspec", "structlog"),
    *("pytest", "_pytest", "pluggy", "iniconfig", "packaging"),
)
"""What each start and each check in a sandbox imports. Sandboxes may not write here, so they would compile it again and
again; the rest is compiled by the first process outside that imports it."""


class BundleDamaged(HostError):
    """What a bundle has unpacked is not what the bundle holds."""

    code = "U395"


def seal(root: Path, file: Path) -> Path:
    """Make what lies in `root` ready, unless another process just did; gives its interpreter. Raises BundleDamaged."""
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python = Path(os.path.realpath(sys.prefix)) / "bin" / "python"
        if not (root / READY).exists():
            contents, data = _listed(root, file)
            site = Path(sysconfig.get_path("purelib"))
            if wrong := differing(site, contents):
                shutil.rmtree(root / PACKED, ignore_errors=True)
                raise BundleDamaged(
                    f"unpacked wrongly: {cut(', '.join(wrong[:3]))}", hint="start it again: it unpacks anew"
                )
            for name in _WAYS_IN:
                (site / name).unlink(missing_ok=True)
            _compile(site)
            os.sync()  # what is called ready is on the disk
            durable.write_synced(root / LISTED, data)
            durable.write_synced(root / READY, os.fsencode(f"{os.path.relpath(python, os.path.realpath(root))}\n"))
        return python


def _listed(root: Path, file: Path) -> tuple[Contents, bytes]:
    try:
        with zipfile.ZipFile(file) as packed:
            data = packed.read(listing.NAME)
        if not root.name.startswith(hashlib.sha256(data).hexdigest()[:32]):
            raise ValueError("the list has another hash")
        return listing.decoded(data), data
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise BundleDamaged(
            f"{cut(file)} was changed while it was unpacked: {cut(error)}", hint="start it again, or make it again"
        ) from error


def differing(site: Path, contents: Contents) -> list[str]:
    """Files of the list that are not there, or hold something else."""
    wrong = []
    for path, digest in contents.files.items():
        try:
            same = hashlib.sha256((site / path).read_bytes()).hexdigest() == digest
        except OSError:
            same = False
        if not same:
            wrong.append(path)
    return wrong


def _compile(site: Path) -> None:
    for name in _COMPILED:
        compileall.compile_dir(site / name, quiet=2)  # workers of its own would need semaphores in /dev/shm
