"""A run of a project's own tests under watch, and what was seen of it."""

from __future__ import annotations

import io
import json
import os
import secrets
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daybreak.checks import sandboxed
from daybreak.host import process
from daybreak.host.sandbox import Strength

SEEN_BYTES_MAX = 100_000_000
NAME_CHARS_MAX = 300
FORGED_LINES_MAX = 100
"""After so many lines that are not the watcher's nobody listens any more."""
WATCHING = str(Path(__file__).with_name("watching.py"))
"""The program that watches; it imports pytest, so nobody imports it here."""
_CHANNEL = 9


@dataclass(slots=True)
class Tally:
    """What the watcher told, by test."""

    items: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    """With what it said. Errors of setup and teardown too."""
    tricks: list[str] = field(default_factory=list)
    own_test: str = ""
    end: int | None = None
    """Exit status that pytest gave, from the last line; None: there was none."""


def run(
    folder: Path,
    *,
    measured: bool,
    timeout_s: float,
    cancelled: threading.Event | None,
    require: Strength,
) -> tuple[process.Finished, Tally]:
    """Run the tests of the project in `folder/copy`, for `timeout_s` at most; what came out, and what the watcher told.

    `measured`: which lines of src ran is written to `folder/data/coverage`, where the tests could write too.
    Raises what starting a program and making a sandbox raise.
    """
    copy, data = folder / "copy", folder / "data"
    data.mkdir(exist_ok=True)
    nonce = secrets.token_hex(16)
    told = bytearray()
    channel_out, channel_in = os.pipe()  # can be written to by the tests, but not read, where the nonce stands
    try:
        try:
            guarded = process.Guarded(
                [sys.executable, "-I", WATCHING, copy, *([data / "coverage"] if measured else [])],
                cwd=copy,
                env=process.clean_environment(folder, PYTHONPATH=str(copy / "src"), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
                timeout_s=timeout_s,
                stdin=nonce.encode() + b"\n",
                fds={_CHANNEL: channel_in},
                merge=True,
                cancelled=cancelled,
                sandbox=sandboxed.around(copy, data, *sandboxed.homes(folder), require=require),
            )
        finally:
            os.close(channel_in)

        def hear(part: bytes) -> None:
            told.extend(part)
            if len(told) > SEEN_BYTES_MAX:
                guarded.end()

        try:
            guarded.listen(channel_out, hear)
            while not guarded.over:
                guarded.pump()
            return guarded.finish(), tally(bytes(told), nonce)
        finally:
            guarded.close()
    finally:
        os.close(channel_out)


def tally(told: bytes, nonce: str) -> Tally:
    """Count what the watcher told; lines without its nonce, or that it would never write, count as tricks."""
    seen, forged = Tally(), 0
    for line in io.BytesIO(told):
        try:
            said: dict[str, Any] = json.loads(line.decode("utf-8", "replace"))
            genuine = said["nonce"] == nonce
            if genuine:
                _count(said, seen)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            genuine = False
        if not genuine:
            seen.tricks.append("something else wrote into the channel of results")
            forged += 1
        if forged >= FORGED_LINES_MAX:
            break
    return seen


def _count(said: dict[str, Any], seen: Tally) -> None:
    kind, test = said["kind"], _plain(said.get("id", ""))
    if kind == "item":
        seen.items.add(test)
    elif kind == "written":
        seen.written.add(test)
    elif kind == "own test":
        seen.own_test = test
    elif kind == "deselected":
        seen.tricks.append(f"{short(test)} was deselected")
    elif kind == "uncollected":
        seen.failed[test] = _plain(said["why"])
    elif kind == "changed":
        seen.tricks.append(f"the tests change how tests are run: {short(_plain(said['what']))}")
    elif kind == "end":
        seen.end = int(said["code"])
    elif kind == "result":
        _count_result(said, test, seen)


def _count_result(said: dict[str, Any], test: str, seen: Tally) -> None:
    if said["outcome"] == "failed":
        seen.failed[test] = _plain(said["why"])
        seen.passed.discard(test)
    elif said["outcome"] == "skipped":
        seen.skipped.add(test)
    elif said["when"] == "call" and test not in seen.failed:
        seen.passed.add(test)


def some(names: Iterable[str]) -> str:
    """The first three, each cut where it is long."""
    shown = list(names)
    return ", ".join(map(short, shown[:3])) + (", …" if len(shown) > 3 else "")


def short(name: str) -> str:
    """A name of a test, cut where it is long."""
    return name if len(name) <= NAME_CHARS_MAX else f"{name[:NAME_CHARS_MAX]}…"


def _plain(said: object) -> str:
    """As text that can be stored: JSON may hold halves of characters."""
    return str(said).encode("utf-8", "backslashreplace").decode()
