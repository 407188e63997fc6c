"""The peers' own environment, out/peers: made when a benchmark first needs it, and again when the versions change.

`python -m benchmarks.peers.installed`, which is `make peers`, does it beforehand. DAYBREAK_PEERS=off makes none.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import Unavailable

OUT = Path(__file__).parents[2] / "out"
PLACE = OUT / "peers"
PYTHON = PLACE / "bin" / "python"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
STAMP = PLACE / "requirements.txt"
"""What is in it; written last, so a half-made environment has none."""
LIMIT_S = 600.0


def ready() -> bool:
    """Are they there, in the versions that are wanted?"""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_bytes() == REQUIREMENTS.read_bytes()


def wanted() -> None:
    """Makes the environment where it is not there. Raises Unavailable, which says why, where they cannot be had."""
    if ready():
        return
    if os.environ.get("DAYBREAK_PEERS") == "off":
        raise Unavailable("the peers are not installed, and DAYBREAK_PEERS is off")
    print(f"  installing the peers into {PLACE.relative_to(OUT.parent)}", flush=True)
    shutil.rmtree(PLACE, ignore_errors=True)
    OUT.mkdir(exist_ok=True)
    try:
        _run(sys.executable, "-m", "venv", str(PLACE))
        _run(str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(REQUIREMENTS))
    except subprocess.TimeoutExpired as problem:
        raise Unavailable(f"the peers could not be installed in {LIMIT_S:.0f} s") from problem
    except subprocess.CalledProcessError as problem:
        last = (problem.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Unavailable(f"the peers could not be installed: {_placeless(last)[:300]}") from problem
    shutil.copyfile(REQUIREMENTS, STAMP)


def _placeless(text: str) -> str:
    """Without addresses: it is recorded, and where packages come from here is nobody else's business."""
    return re.sub(r"\S+://\S+|host='[^']*'", "(address)", text)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S)


if __name__ == "__main__":
    try:
        wanted()
    except Unavailable as why:
        sys.exit(str(why))
