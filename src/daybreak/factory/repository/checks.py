"""The checks of a task on a repository: commands of its user, and which of them are plain runs of pytest.

A plain pytest command is run under watch, so that every test is known by its name. Of all other commands only the exit
status counts, and where a runner of tests is named the number of tests that it says it ran.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from daybreak.errors import CheckError

CHECK, TESTS = "check", "tests"
"""Kinds of checks, as a gate knows them: commands, and pytest under watch."""
NAME_CHARS_MAX = 80
_SHELL = re.compile(r"[|&;<>()$`\\\"'*?\[\]#~!{}\n]")
"""What makes a command more than words; quotes are words for the shell, and checked by shlex below."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
PYTHON = re.compile(r"python[0-9.]*")
_OWN_WAY = re.compile(
    r"^(-n|--numprocesses|--dist|--cov-fail-under|--lf|--ff|--last-failed|--failed-first|-h|--help)\b"
)
"""Options with which another process runs the tests, or more than tests decides: left to pytest alone."""


class NotRunnable(CheckError):
    """A check cannot be run at all, whatever the repository holds."""

    code = "C172"


@dataclass(frozen=True, slots=True)
class Pytest:
    """A command that runs pytest and nothing else."""

    program: str
    """`pytest`, or the Python of `python -m pytest`."""
    module: bool
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    """As evidence names it: `tests:1 pytest -q`, `check:2 make lint`."""
    command: str
    pytest: Pytest | None = None

    @property
    def runs_python(self) -> bool:
        """Does the repository's Python decide, as far as one can see from the command? Then it matters whether the
        functions of the program do anything."""
        if self.pytest is not None:
            return True
        words = _split(self.command) or ()
        names = [PurePosixPath(word).name for word in words]
        return "unittest" in names or any(
            PYTHON.fullmatch(name) and after.endswith(".py") for name, after in zip(names, words[1:], strict=False)
        )


def plan(commands: Sequence[str]) -> list[Check]:
    """What is to be run, in order. Every name is there once."""
    found = []
    for number, command in enumerate(commands, 1):
        pytest = _as_pytest(command)
        shown = " ".join(command.split())[:NAME_CHARS_MAX]
        found.append(Check(f"{CHECK if pytest is None else TESTS}:{number} {shown}", command, pytest))
    return found


def called(name: str, command: str) -> Check:
    """The check of that name and command, one of a plan."""
    return Check(name, command, _as_pytest(command))


def _split(command: str) -> list[str] | None:
    with suppress(ValueError):
        return shlex.split(command)
    return None


def _as_pytest(command: str) -> Pytest | None:
    """None for what needs a shell, is something else, or lets more than tests decide."""
    words = _split(command)
    bare = re.sub(r"'[^']*'|\"[^\"$`\\]*\"", "", command)
    if not words or _SHELL.search(bare):
        return None
    environment = {}
    while words and _ASSIGNMENT.fullmatch(words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    name = PurePosixPath(words[0]).name if words else ""
    module = PYTHON.fullmatch(name) is not None and words[1:3] == ["-m", "pytest"]
    if name not in ("pytest", "py.test") and not module:
        return None
    arguments = words[3:] if module else words[1:]
    if any(_OWN_WAY.match(word) for word in arguments):
        return None
    return Pytest(words[0], module, tuple(arguments), environment)
