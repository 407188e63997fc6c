"""Whether this process runs out of a bundle, and which."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from daybreak.factory.bundling.sealing import LISTED, READY

VARIABLE = "DAYBREAK_BUNDLE"
"""The file that was started, absolute; a bundle sets it for itself."""
_LEVELS = 8


def root() -> Path | None:
    """The place into which the bundle that we run from was unpacked; None: we are installed in another way."""
    above = list(Path(sys.prefix).resolve().parents)[:_LEVELS]
    return next((one for one in above if (one / LISTED).is_file() and (one / READY).is_file()), None)


def file(environment: Mapping[str, str]) -> Path | None:
    """The bundle itself, if we run from one and it still lies there."""
    named = environment.get(VARIABLE, "")
    return Path(named) if named and root() is not None and Path(named).is_file() else None
