"""Check `types`: mypy in strict mode, by our configuration; what the tree configures is not read."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import re
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from daybreak.checks import sandboxed, transcripts
from daybreak.checks.evidence import Evidence, Mark
from daybreak.errors import HostError
from daybreak.host import process
from daybreak.host.sandbox import Strength

CHECK = "types"
MARKS_MAX = 200
SEED_TIMEOUT_S = 180.0
_FINDING = re.compile(r"(?P<place>[^:\n]+(?::\d+)?): error: (?P<message>.*)")


_OPTIONS = (
    *("--strict", "--config-file=", "--no-error-summary", "--no-color-output", "--hide-error-context"),
    *("--explicit-package-bases", "--namespace-packages", "--warn-unused-ignores"),
)
_LIBRARIES = """\
import argparse, collections.abc, contextlib, csv, dataclasses, datetime, decimal, enum, functools, hashlib, hmac
import http, io, itertools, json, os, pathlib, re, secrets, shutil, sqlite3, sys, threading, time, types, typing
import urllib.parse, uuid, warnings, zlib
import fastapi, fastapi.responses, pydantic, starlette.concurrency, starlette.exceptions, starlette.routing
import starlette.types, uvicorn
"""
"""What projects are likely to import: its types are read once for all of them."""


def look(
    tree: Path,
    workspace: str,
    *,
    scratch: Path,
    cache: Path,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 180,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """`mypy --strict` over `src`. `cache` is a folder outside the tree, kept between calls, where the types of
    libraries are read once; no check of a project writes to it, because mypy takes a file of the same name, size and
    second for the one that it knows. Comments that switch mypy off for a file are found by the check `syntax`."""
    if not any((tree / "src").rglob("*.py")):
        return Evidence(check=CHECK, workspace=workspace, outcome="failed", summary="there is no Python code in src")
    try:
        own = scratch / "types"
        shutil.copytree(_seed(cache, require), own)
        finished = process.run(
            _command(own),
            cwd=tree,
            env=process.clean_environment(scratch, MYPYPATH="src"),
            timeout_s=timeout_s,
            output_bytes_max=5_000_000,
            cancelled=cancelled,
            sandbox=sandboxed.around(own, *sandboxed.homes(scratch), readable=[tree], require=require),
        )
    except (HostError, OSError) as error:
        return Evidence(check=CHECK, workspace=workspace, outcome="unusable", summary=f"could not look: {error}")
    printed = transcripts.text(finished.stdout)
    marks = [
        Mark(message=found["message"], place=found["place"])
        for line in printed.splitlines()
        if (found := _FINDING.match(line))
    ]
    could_look = finished.ok or (finished.exit_code == 1 and bool(marks)) or (finished.exit_code == 2 and bool(marks))
    if not could_look or finished.ended_by_us:
        outcome, summary = "unusable", f"mypy could not look: {finished.ending}"
    elif marks or not finished.ok:
        outcome, summary = "failed", f"{len(marks)} findings"
    else:
        outcome, summary = "passed", "no findings"
    return Evidence.model_validate(
        {
            "check": CHECK,
            "workspace": workspace,
            "outcome": outcome,
            "summary": summary,
            "command": "mypy --strict src",
            "counts": {"findings": len(marks)},
            "marks": marks[:MARKS_MAX],
            "output": transcripts.of(finished),
            "duration_ms": finished.duration_ms,
        }
    )


def _command(cache: Path) -> list[str | Path]:
    return [sys.executable, "-I", "-m", "mypy", *_OPTIONS, "--cache-dir", cache.absolute(), "src"]


def _seed(cache: Path, require: Strength) -> Path:
    """What mypy knows of libraries, from a program of ours; made by the first check that needs it."""
    told = (sys.version, importlib.metadata.version("mypy"), *_OPTIONS, _LIBRARIES)
    seed = cache.absolute() / f"libraries-{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}"
    if seed.is_dir():
        return seed
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        room = Path(folder).resolve()
        (room / "src").mkdir()
        (room / "src" / "libraries.py").write_text(_LIBRARIES)
        made = room / "made"
        made.mkdir()
        process.run(
            _command(made),
            cwd=room,
            env=process.clean_environment(room, MYPYPATH="src"),
            timeout_s=SEED_TIMEOUT_S,
            sandbox=sandboxed.around(room, require=require),
        )
        with contextlib.suppress(OSError):  # another process was faster
            made.rename(seed)
    return seed
