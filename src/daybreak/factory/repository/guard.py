"""Which files of a repository a worker must leave as they are, and what it has done to them.

Protected are the tests that the checks run, the scripts that they are, the configuration that they read, and names by
which Python, pytest and others take in a file without being asked. Changed, removed or added among those: failed.
So is a new module that takes the place of one that the checks import.
"""

from __future__ import annotations

import configparser
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from daybreak.factory.repository.git import Change

TESTS = ("**/test_*.py", "**/*_test.py", "**/tests/**", "**/test/**")
"""Where tests lie when a check does not say."""
TAKEN_IN = (
    *("**/conftest.py", "**/sitecustomize.py", "**/usercustomize.py", "**/*.pth", "**/*.pyc", "**/__pycache__/**"),
)
"""What Python and pytest take in by its name, without being asked."""
CONFIGURATION = (
    *("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", ".coveragerc", "mypy.ini", ".mypy.ini"),
    *("ruff.toml", ".ruff.toml", ".flake8", "noxfile.py"),
)
"""Of checks, in files of their own."""
ALWAYS = TAKEN_IN + CONFIGURATION
IN_PARTS = ("pyproject.toml", "setup.cfg")
"""Hold configuration of checks beside what is the project's own; only the first is protected."""
_BY_TOOL = {
    "make": ("Makefile", "makefile", "GNUmakefile", "**/*.mk"),
    "just": ("justfile", "Justfile", ".justfile"),
    "tox": ("tox.ini",),
    "npm": ("package.json", "package-lock.json", "**/*.test.*", "**/*.spec.*", "**/__tests__/**", "jest.config.*"),
    "go": ("**/*_test.go",),
    "cargo": ("tests/**",),
}
_BY_TOOL |= dict.fromkeys(("yarn", "pnpm", "npx", "node"), _BY_TOOL["npm"]) | {"gmake": _BY_TOOL["make"]}
_RUNNERS = frozenset({"pytest", "py.test", "tox", "nox", "unittest", "nose2", "trial", "ward", "make", "just"})
"""Programs that run tests without naming them."""
_INTERPRETER = re.compile(r"(sh|bash|dash|zsh|ksh|python[0-9.]*|node|ruby|perl|php|lua|deno|bun)")
_TESTLIKE = re.compile(r"(^|[_.-])(tests?|checks?|verify|spec|specs)($|[_.-])", re.IGNORECASE)
_TOOLS = frozenset(
    [
        "pytest",
        "_pytest",
        "pluggy",
        "iniconfig",
        "packaging",
        "coverage",
        "pytest_cov",
        "pytest_asyncio",
        "anyio",
        "hypothesis",
        "xdist",
        "mock",
    ]
)


@dataclass(frozen=True)
class Guard:
    """What is protected in one repository. `allow` takes files out again; what is named by `protect` wins."""

    patterns: tuple[str, ...]
    protect: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()

    def holds(self, path: str) -> bool:
        """Is a path, relative with `/`, protected?"""
        if _any(self.protect, path):
            return True
        return _any((*self.patterns, *ALWAYS), path) and not self.allows(path)

    def allows(self, path: str) -> bool:
        """Did the user say that it may be changed?"""
        return _any(self.allow, path)

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """For a brief: patterns, and what is protected in parts."""
        parts = tuple(f"{name} (the parts that configure tests and tools)" for name in IN_PARTS)
        return tuple(dict.fromkeys((*self.protect, *self.patterns, TAKEN_IN[0], *CONFIGURATION, *parts)))


@dataclass(frozen=True, slots=True)
class Violation:
    path: str
    words: str
    """What follows the path in a sentence."""

    @property
    def why(self) -> str:
        """That sentence; bytes of the path that are no text are shown as such."""
        return f"{self.path} {self.words}".encode(errors="backslashreplace").decode()

    @property
    def place(self) -> str:
        """The path, for evidence; empty where it is no text."""
        return self.path if self.path in self.why else ""


def of(checks: Sequence[str], files: Sequence[str], protect: Sequence[str] = (), allow: Sequence[str] = ()) -> Guard:
    """The protection for these check commands in a repository that holds these files."""
    found: list[str] = []
    for check in checks:
        found += _of_check(check, files)
    return Guard(tuple(dict.fromkeys(found)), tuple(map(_whole, protect)), tuple(map(_whole, allow)))


def is_test(path: str) -> bool:
    """Does a file lie where tests usually do?"""
    return _any((*TESTS, *ALWAYS), path)


def _of_check(check: str, files: Sequence[str]) -> Iterator[str]:
    known = frozenset(files)
    words = _words(check)
    names = [PurePosixPath(word).name for word in words]
    named_tests = False
    for at, word in enumerate(words):
        path = _inside(word)
        if path in known:
            if _runs(words, at) or _testlike(path) or (path.endswith(".py") and "pytest" in names):
                named_tests |= _testlike(path) or "pytest" in names
                yield _escaped(path)
        elif path and _testlike(path) and any(one.startswith(f"{path}/") for one in files):
            named_tests = True
            yield f"{_escaped(path)}/**"
    for name in names:
        yield from _BY_TOOL.get(name, ())
    if not named_tests and _RUNNERS & set(names):
        yield from TESTS


def _words(check: str) -> list[str]:
    """What a command names, as far as one can see without running it; options by their value."""
    try:
        split = shlex.shlex(check, posix=True, punctuation_chars=True)
        split.whitespace_split = True
        split.commenters = ""
        words = list(split)
    except ValueError:  # a quote that does not end: the shell will say so
        words = check.split()
    return [part for word in words for part in (word.split("=") if word.startswith("-") else [word])]


def _inside(word: str) -> str:
    """As a path of the repository; empty where it is none."""
    path = word.split("::")[0].rstrip("/")
    while path.startswith("./"):
        path = path[2:]
    return "" if path.startswith(("/", "-", "~")) or ".." in path.split("/") else path


def _runs(words: Sequence[str], at: int) -> bool:
    """Is the word at `at` the program of a command, or the script of an interpreter?"""
    begins = {"&&", "||", ";", "|", "(", "&", "if", "then", "!", "env", "exec", "time"}
    while at > 0:
        before = words[at - 1]
        if before in begins or re.fullmatch(r"[A-Za-z_]\w*=.*", before):
            return True
        if _INTERPRETER.fullmatch(PurePosixPath(before).name):
            return True
        if not before.startswith("-") or before in ("-m", "-c"):
            return False
        at -= 1
    return True


def _testlike(path: str) -> bool:
    return any(_TESTLIKE.search(part) for part in path.split("/"))


# -- what was done


def violations(
    guard: Guard, changed: Sequence[Change], files: Sequence[str], read: Callable[[str], bytes]
) -> list[Violation]:
    """What of the changes a worker may not do, in order of paths. `files` are those of the base, `read` gives the
    content of a blob by its hash."""
    found = []
    folders = _import_folders(files)
    for change in changed:
        if why := _why(guard, change, folders, read):
            found.append(Violation(change.path, why))
    return found


def _why(guard: Guard, change: Change, folders: frozenset[str], read: Callable[[str], bytes]) -> str:
    word = {"A": "was added", "D": "was removed", "T": "was replaced by something of another kind"}.get(
        change.status, "was changed"
    )
    if guard.holds(change.path):
        return f"{word}, and is protected"
    if change.path in IN_PARTS and not guard.allows(change.path):
        if change.status not in ("A", "M") or change.mode == "120000":
            return f"{word}, and configures checks"
        if _settings(change.path, read(change.old)) != _settings(change.path, read(change.new)):
            return f"{word} where it configures checks"
    if change.status == "A" and (name := _takes_place_of(change.path, folders)):
        return f"was added, and would be imported instead of {name}"
    return ""


def _settings(path: str, data: bytes) -> object:
    """The parts of a file that configure checks; what cannot be read is compared whole."""
    try:
        text = data.decode()
        if path == "pyproject.toml":
            tools = tomllib.loads(text).get("tool", {}) if text else {}
            return {
                name: table for name, table in tools.items() if name not in ("poetry", "setuptools", "hatch", "pdm")
            }
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(text)
        own = [name for name in parser.sections() if name.split(".")[0].split(":")[0] not in ("metadata", "options")]
        return {name: dict(parser.items(name)) for name in own}
    except (ValueError, RecursionError, configparser.Error):
        return data


def _import_folders(files: Sequence[str]) -> frozenset[str]:
    """Folders from which tests may import by name: the top, src, and where tests lie."""
    beside = {str(PurePosixPath(path).parent) for path in files if _compiled("**/test_*.py").fullmatch(path)}
    beside |= {str(PurePosixPath(path).parent) for path in files if path.endswith("conftest.py")}
    return frozenset({".", "src", "lib", *beside})


def _takes_place_of(path: str, folders: frozenset[str]) -> str:
    """The name of a module of Python or of a test tool that this file would hide; empty where it hides none."""
    pure = PurePosixPath(path)
    parts = pure.parts
    for folder in folders:
        inside = parts if folder == "." else parts[len(PurePosixPath(folder).parts) :]
        if folder != "." and not pure.is_relative_to(folder):
            continue
        name = inside[0] if len(inside) > 1 else pure.name
        name = name.split(".")[0] if len(inside) == 1 and re.search(r"\.(py|so|pyd)$", pure.name) else name
        if len(inside) == 1 and not re.search(r"\.(py|so|pyd)$", pure.name):
            continue
        if name in _TOOLS or (name in sys.stdlib_module_names and name not in ("test", "this", "antigravity")):
            return name
    return ""


# -- patterns


_CACHE: dict[str, re.Pattern[str]] = {}


def _compiled(pattern: str) -> re.Pattern[str]:
    """`**/` any folders or none, `**` anything, `*` and `?` within a name; a backslash takes a character as it is."""
    known = _CACHE.get(pattern)
    if known is None:
        known = _CACHE[pattern] = re.compile("".join(_translated(pattern)), re.DOTALL)
    return known


def _any(patterns: Iterable[str], path: str) -> bool:
    return any(_compiled(pattern).fullmatch(path) for pattern in patterns)


def _translated(pattern: str) -> Iterator[str]:
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            yield "(?:.*/)?"
            at += 3
        elif pattern.startswith("**", at):
            yield ".*"
            at += 2
        elif pattern[at] == "\\" and at + 1 < len(pattern):
            yield re.escape(pattern[at + 1])
            at += 2
        else:
            yield {"*": "[^/]*", "?": "[^/]"}.get(pattern[at], re.escape(pattern[at]))
            at += 1


def _whole(pattern: str) -> str:
    """A folder stands for all that is in it; `./` at the beginning says nothing."""
    while pattern.startswith("./"):
        pattern = pattern[2:]
    return f"{pattern}**" if pattern.endswith("/") else pattern


def _escaped(path: str) -> str:
    return "".join(f"\\{letter}" if letter in "*?\\" else letter for letter in path)
