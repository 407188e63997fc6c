"""Check `deployment`: a container file and a CI workflow are there, and would do what they are for.

Looks only, and starts nothing: whether an image can be built depends on registries that nobody may need at night.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daybreak.checks.evidence import Evidence, Mark

CHECK = "deployment"
CONTAINER_FILES = ("Containerfile", "Dockerfile")
WORKFLOWS = (".github/workflows/*.yml", ".github/workflows/*.yaml", ".gitlab-ci.yml")
BYTES_MAX = 200_000
_INSTRUCTIONS = frozenset(
    {
        *("add", "arg", "cmd", "copy", "entrypoint", "env", "expose", "from", "healthcheck", "label"),
        *("maintainer", "onbuild", "run", "shell", "stopsignal", "user", "volume", "workdir"),
    }
)
_SECRET = re.compile(r"(?i)(password|passwd|secret|token|api_?key)\s*=\s*['\"]?[^\s'\"$]{6,}")
_TESTING = re.compile(
    r"\b(pytest|unittest|tox|nox|(npm|yarn|pnpm|bun) (run )?test|node --test|deno test|go test|cargo (test|nextest)|"
    r"mvnw?|gradlew?|make (test|check)|just test)\b"
)


def look(tree: Path, workspace: str) -> Evidence:
    """Container file: begins from an image, starts something, does not stay root, holds no secret. Workflow: YAML
    whose jobs run the tests."""
    container = [*_container_marks(tree)]
    workflow = [*_workflow_marks(tree)]
    marks = (*container, *workflow)
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="failed" if marks else "passed",
        summary=f"{marks[0].place}: {marks[0].message}" if marks else "container file and CI workflow are there",
        counts={"problems": len(marks)},
        marks=marks,
    )


# -- container


def _container_marks(tree: Path) -> Iterator[Mark]:
    found = [tree / name for name in CONTAINER_FILES if (tree / name).is_file() and not (tree / name).is_symlink()]
    if not found:
        yield Mark(message="is missing", place=CONTAINER_FILES[0])
        return
    path = found[0]
    text = _text(path)
    if text is None:
        yield Mark(message=f"is no text of at most {BYTES_MAX} bytes", place=path.name)
        return
    lines = list(_instructions(text))
    names = [name for _, name, _ in lines]
    for number, name, _ in lines:
        if name not in _INSTRUCTIONS:
            yield Mark(message=f"{name.upper()[:40]} is no instruction", place=f"{path.name}:{number}")
    if next((name for name in names if name != "arg"), "") != "from":
        yield Mark(message="does not begin with FROM", place=path.name)
    last_stage = max((place for place, name in enumerate(names) if name == "from"), default=0)
    if not {"cmd", "entrypoint"} & set(names[last_stage:]):
        yield Mark(message="starts nothing: there is no CMD and no ENTRYPOINT", place=path.name)
    users = [value for _, name, value in lines[last_stage:] if name == "user"]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        yield Mark(message="runs as root: name another USER", place=path.name)
    for number, name, value in lines:
        if name in ("env", "arg", "run") and _SECRET.search(value):
            yield Mark(message="holds what looks like a secret", place=f"{path.name}:{number}")


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, name in small letters, and the rest, of each instruction; lines that end in \\ go on."""
    whole, began = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        began = began if whole else number
        if line.rstrip().endswith("\\"):
            whole += line.rstrip()[:-1] + " "
            continue
        name, _, value = (whole + line).strip().partition(" ")
        whole = ""
        yield began, name.casefold(), value.strip()


# -- workflow


def _workflow_marks(tree: Path) -> Iterator[Mark]:
    found = [path for pattern in WORKFLOWS for path in sorted(tree.glob(pattern)) if path.is_file()]
    if not found:
        yield Mark(message="there is no CI workflow", place=WORKFLOWS[0])
        return
    runs = False
    for path in found:
        place = path.relative_to(tree).as_posix()
        told = _yaml(path)
        if not isinstance(told, dict):
            yield Mark(message="is no YAML with keys", place=place)
            continue
        if path.name != ".gitlab-ci.yml" and not isinstance(told.get("jobs"), dict):
            yield Mark(message="has no jobs", place=place)
        runs = runs or any(_TESTING.search(command) for command in _commands(told))
    if not runs:
        yield Mark(message="no step of it runs the tests", place=found[0].relative_to(tree).as_posix())


def _commands(told: Any) -> Iterator[str]:
    """Texts below `run` and `script`, wherever they stand."""
    if isinstance(told, dict):
        for key, value in told.items():
            if key in ("run", "script"):
                yield from (str(one) for one in (value if isinstance(value, list) else [value]))
            else:
                yield from _commands(value)
    elif isinstance(told, list):
        for value in told:
            yield from _commands(value)


def _yaml(path: Path) -> Any:
    import yaml

    text = _text(path)
    if text is None or ("&" in text and "*" in text and len(text) > 20_000):  # aliases can grow without end
        return None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None


def _text(path: Path) -> str | None:
    if path.stat().st_size > BYTES_MAX:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
