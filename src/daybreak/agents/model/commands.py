"""Programs that a model asks for: in the workspace, with limits, in words that it can read."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak.agents.model import searching
from daybreak.agents.model.folder import SKIPPED, Folder, ToolFailed
from daybreak.agents.prompt import data, middle_out
from daybreak.errors import HostError
from daybreak.host import process

OUTPUT_BYTES_MAX = 1_000_000
"""A program that prints more is ended."""
OUTPUT_CHARS = 12_000
"""So much of what it printed goes to the model."""
SEARCH_S = 20.0
FOUND_MAX = 100
_QUIET = {
    "PYTEST_ADDOPTS": "-p no:cacheprovider",
    "RUFF_NO_CACHE": "true",
    "MYPY_CACHE_DIR": "/dev/null",
    "PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
}
"""So that tools leave nothing behind and never wait for somebody."""


@dataclass(frozen=True)
class Ran:
    text: str
    ok: bool


class Commands:
    """`scratch` holds home and temporary files of the programs; it lies outside of the workspace."""

    def __init__(self, folder: Folder, scratch: Path, *, time_s: float, checks: Sequence[str] = ()) -> None:
        self._folder = folder
        self._time_s = time_s
        path = [Path(sys.executable).parent, *_absolute(os.environ.get("PATH", ""))]
        self._environment = process.clean_environment(scratch, path=path, **_QUIET)
        self.checks = tuple(command for one in checks if (command := self._command(one)))
        """Those of the brief's checks that are commands."""

    def run(self, command: str, time_s: float | None = None) -> Ran:
        """A line of the shell. Raises ToolFailed where it cannot be started."""
        if not command.strip() or "\0" in command:
            raise ToolFailed("that is no command")
        limit = min(self._time_s, max(0.1, time_s)) if time_s is not None else self._time_s
        finished = self._finished(["/bin/sh", "-c", command], limit)
        printed = finished.stdout.decode("utf-8", "replace")
        ended = f"{finished.ending}, after {finished.duration_ms / 1000:.1f} s"
        if not printed.strip():
            return Ran(f"{ended}; it printed nothing", finished.ok)
        return Ran(f"{ended}\n{data(middle_out(printed, OUTPUT_CHARS), 'output')}", finished.ok)

    def check(self) -> Ran:
        """All checks of the brief that are commands, one after the other. Raises ToolFailed where there are none."""
        if not self.checks:
            raise ToolFailed("this task names no check that can be run here; run what shows that it works")
        ran = [(command, self.run(command)) for command in self.checks]
        passed = sum(one.ok for _, one in ran)
        text = "\n".join(f"`{command}`: {one.text}" for command, one in ran)
        return Ran(middle_out(f"{passed} of {len(ran)} passed\n{text}", 2 * OUTPUT_CHARS), passed == len(ran))

    def search(self, pattern: str, path: str, files: str) -> str:
        """Lines that a regular expression finds. Raises ToolFailed."""
        order: dict[str, Any] = {
            "root": str(self._folder.root),
            "start": str(self._folder.root / self._folder.relative(path)),
            "pattern": pattern,
            "files": files,
            "skipped": sorted(SKIPPED),
            "most": FOUND_MAX,
        }
        program = [sys.executable, "-I", "-S", str(Path(searching.__file__))]
        finished = self._finished(program, min(SEARCH_S, self._time_s), json.dumps(order).encode())
        if finished.timed_out:
            raise ToolFailed("the search took too long; use a simpler expression")
        if not finished.ok:
            raise ToolFailed(f"the search failed: {finished.ending}")
        told = json.loads(finished.stdout)
        if "wrong" in told:
            raise ToolFailed(f"that is no regular expression: {told['wrong']}")
        lines = [f"{path}:{number}: {line}" for path, number, line in told["found"]]
        if not lines:
            return "nothing found"
        more = f"\nmore than {FOUND_MAX} lines; these are the first" if told["more"] else ""
        return data(middle_out("\n".join(lines), 2 * OUTPUT_CHARS), "found") + more

    # -- inside

    def _finished(self, argv: list[str], time_s: float, stdin: bytes = b"") -> process.Finished:
        try:
            return process.run(
                argv,
                cwd=self._folder.root,
                env=self._environment,
                timeout_s=time_s,
                output_bytes_max=OUTPUT_BYTES_MAX,
                stdin=stdin,
                merge=True,
            )
        except HostError as error:
            raise ToolFailed(f"it could not be run: {error.message}") from error

    def _command(self, check: str) -> str:
        """The command that a check is, or names between backticks; empty where it is a sentence."""
        quoted = re.search(r"`([^`\n]+)`", check)
        line = (quoted[1] if quoted else check).strip()
        try:
            words = shlex.split(line)
        except ValueError:
            return ""
        if not words or "\n" in line or (not quoted and line.endswith((".", ":", "!"))):
            return ""
        word = next((one for one in words if not re.fullmatch(r"[A-Za-z_]\w*=.*", one)), "")
        here = self._folder.root / word
        is_program = shutil.which(word, path=self._environment["PATH"]) is not None
        return line if word and (is_program or (here.is_file() and os.access(here, os.X_OK))) else ""


def _absolute(path: str) -> list[Path]:
    return [Path(one) for one in path.split(os.pathsep) if one.startswith("/")]
