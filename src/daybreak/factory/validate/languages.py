"""What a project is written in, by the files that it holds. Reads names only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from daybreak.settings import ProjectLanguage

GENERIC: ProjectLanguage = "generic"
_TEST = re.compile(r"(^|/)(tests?|__tests__|spec)/|(^|/)test[-_.][^/]*$|[._-](test|spec)\.[a-z]+$", re.IGNORECASE)
_ALSO_CALLED: dict[str, ProjectLanguage] = {
    **dict.fromkeys(("js", "typescript", "ts", "node", "nodejs", "node.js", "ecmascript"), "javascript"),
    "golang": "go",
    "python3": "python",
    "py": "python",
}


@dataclass(frozen=True, slots=True)
class Language:
    name: ProjectLanguage
    suffixes: tuple[str, ...]
    markers: tuple[str, ...]
    """Files at the top by which its tools know a project."""


LANGUAGES: tuple[Language, ...] = (
    Language(
        "python",
        (".py", ".pyi"),
        ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile", "tox.ini"),
    ),
    Language("javascript", (".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"), ("package.json",)),
    Language("go", (".go",), ("go.mod",)),
    Language("rust", (".rs",), ("Cargo.toml",)),
    Language("java", (".java",), ("pom.xml", "build.gradle", "build.gradle.kts")),
)
BY_NAME = {language.name: language for language in LANGUAGES}
_NOT_THE_PROJECTS = frozenset(
    ["node_modules", "vendor", "third_party", "dist", "build", "target", "site-packages", "static", "docs", "examples"]
)
"""Folders whose files say little about what a project is written in."""


@dataclass(frozen=True)
class Detected:
    """What was found."""

    languages: tuple[ProjectLanguage, ...]
    """Those to look at, the one with most files first; `generic` alone where there is none that we know."""
    files: dict[ProjectLanguage, int] = field(default_factory=dict)
    """Source files by language."""
    others: tuple[ProjectLanguage, ...] = ()
    """Languages with files and no project file at the top: seen, and not looked at."""


def detect(paths: Iterable[str], wanted: Sequence[ProjectLanguage] = ()) -> Detected:
    """Of the paths of a project, relative with `/`. A language counts that has its project file at the top (and files,
    or nobody else has); where none has one, the language with most files. `wanted` says it instead."""
    counted: Counter[ProjectLanguage] = Counter()
    tops: set[str] = set()
    for path in paths:
        pure = PurePosixPath(path)
        if len(pure.parts) == 1:
            tops.add(pure.name)
        if not _NOT_THE_PROJECTS & set(pure.parts[:-1]):
            counted.update(language.name for language in LANGUAGES if pure.suffix in language.suffixes)
    if wanted:
        return Detected(tuple(dict.fromkeys(wanted)), dict(counted))
    marked = [language.name for language in LANGUAGES if tops & set(language.markers)]
    found = [name for name in marked if counted[name]] or marked[:1] or [name for name, _ in counted.most_common(1)]
    ordered = sorted(found, key=lambda name: -counted[name])
    others = tuple(name for name in counted if name not in found)
    return Detected(tuple(ordered) or (GENERIC,), dict(counted), others)


def sources(paths: Iterable[str], language: ProjectLanguage) -> list[str]:
    """Those of the paths that are written in it."""
    known = BY_NAME.get(language)
    return [] if known is None else [path for path in paths if PurePosixPath(path).suffix in known.suffixes]


def called(name: str) -> ProjectLanguage:
    """The language that people call so; `generic` where none is known here by that name."""
    lower = name.strip().casefold()
    return next((language.name for language in LANGUAGES if language.name == lower), _ALSO_CALLED.get(lower, GENERIC))


def is_test(path: str) -> bool:
    """Does a file lie, or is it named, as tests are in one of these languages?"""
    return _TEST.search(path) is not None
