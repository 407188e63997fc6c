"""Which code a run goes on with, so that one that no longer fits its history can say why."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from daybreak.version import __version__


def fingerprint(function: Any, args: Any = None) -> str:
    """16 characters that change with the source of a task's code; those of our own kinds change with our version.

    A kind whose code depends on the task's arguments says it itself (`fingerprint_of`). Empty where nobody knows."""
    told = getattr(function, "fingerprint_of", None)
    if told is not None:
        return str(told(args))[:64]
    module = inspect.getmodule(function if inspect.isfunction(function) else type(function))
    if module is None:
        return ""
    if module.__name__.split(".")[0] == "daybreak":
        return f"daybreak {__version__}"
    return _of_file(getattr(module, "__file__", None) or "")


def compared(codes: Sequence[str]) -> str:
    """In words: did the code change while the run was on its way?"""
    known = [one for one in codes if one]
    if len(known) < 2:
        return "the code has not changed since the run began, so it or what it is given is not deterministic"
    return f"the code has changed since it began ({known[0]}, now {known[-1]})"


@lru_cache(maxsize=256)
def _of_file(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""
