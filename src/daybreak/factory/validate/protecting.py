"""What a worker must leave as it is when it mends a project: what judges it, and the silence of comments."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from daybreak.factory.repository import guard as repositoryguard
from daybreak.factory.repository.git import Change
from daybreak.factory.repository.guard import Guard, Violation
from daybreak.factory.validate.planned import Plan
from daybreak.settings import Validate

CONFIGURATION = (
    *("daybreak.toml", "**/src/test/**", "tsconfig*.json", "jsconfig.json", "eslint.config.*", ".eslintrc*"),
    *(".eslintignore", ".prettierrc*", ".prettierignore", "prettier.config.*", ".golangci.*", "clippy.toml"),
    *(".clippy.toml", "rustfmt.toml", ".rustfmt.toml", ".bandit", ".pylintrc", "codecov.yml", ".isort.cfg"),
    *("vitest.config.*", "jest.config.*", ".mocharc*"),
)
"""Beside what `repositoryguard` knows."""
TESTS = (*repositoryguard.TESTS, "**/*.test.*", "**/*.spec.*", "**/__tests__/**", "**/*_test.go")
"""Also those that no command names: a project says which of its tests are run here, and the rest are still its own."""
SILENCERS = re.compile(
    rb"#\s*noqa\b|#\s*type:\s*ignore|#\s*mypy:|#\s*nosec\b|#\s*pragma:\s*no\s*cover|#\s*(?:fmt|yapf|isort)\s*:\s*(?:off|skip)"
    rb"|#\s*(?:ruff|flake8)\s*:|#\s*pylint:\s*disable|eslint-disable|prettier-ignore|@ts-(?:ignore|nocheck|expect-error)"
    rb"|istanbul ignore|[cv]8 ignore|//\s*nolint|#!?\[(?:allow|cfg_attr|expect)\(|@SuppressWarnings|NOSONAR",
    re.IGNORECASE,
)
"""Comments and marks that make tools look away."""


def guard(plan: Plan, settings: Validate, files: Sequence[str]) -> Guard:
    """The protection of a project that holds these files."""
    commands = [one.command for one in plan.checks if one.how in ("command", "pytest")]
    of_checks = repositoryguard.of(commands, files, settings.protect, settings.allow)
    return Guard(
        tuple(dict.fromkeys((*of_checks.patterns, *TESTS, *CONFIGURATION))), of_checks.protect, of_checks.allow
    )


def violations(
    held: Guard, changes: Sequence[Change], files: Sequence[str], read: Callable[[str], bytes]
) -> list[Violation]:
    """What of the changes a worker may not do: protected files, and more silence than before. `files` are those before
    it, `read` gives the content of a blob by its hash."""
    found = repositoryguard.violations(held, changes, files, read)
    for change in changes:
        more = len(SILENCERS.findall(read(change.new))) - len(SILENCERS.findall(read(change.old)))
        if more > 0 and change.mode != "120000":
            found.append(Violation(change.path, f"has {more} more comments that silence checks"))
    return found


def silence(tree: Path, paths: Sequence[str]) -> tuple[int, int]:
    """How many comments that silence checks stand in these files, and in how many lines; what is no ordinary file is
    passed over."""
    silent, lines = 0, 0
    for path in paths:
        file = tree / path
        if file.is_file() and not file.is_symlink():
            data = file.read_bytes()
            silent += len(SILENCERS.findall(data))
            lines += data.count(b"\n") + 1
    return silent, lines
