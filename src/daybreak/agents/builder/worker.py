"""The embedded builder as a worker: writes the generated project, and names what it cannot build."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from daybreak.agents import naming
from daybreak.agents.builder import project, samples
from daybreak.agents.protocol import Brief, Claim, Note, Terms, Told

LANGUAGE = "python"
INTERFACES = ("cli", "http")
IMPLEMENTER, OPERATIONS = "implementer", "operations"
"""The roles that it can fill: it builds whole projects, and it can add to one of anybody's how that is deployed."""
_TAKEN = frozenset(sys.stdlib_module_names) | {
    "anyio", "fastapi", "httpx", "mypy", "pydantic", "pytest", "starlette", "uvicorn"
}  # fmt: skip
"""Modules that the result imports itself, or that come first on Python's path."""
_ADDABLE = ("integer", "number", "decimal")


class Builder:
    """Builds programs around the key entities of a specification; knows nothing else of it."""

    def work(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        """Writes the project into the workspace. The claim is `refused`, with nothing written, where this
        worker cannot build what the brief asks for."""
        if reason := refusal(brief):
            yield Claim(outcome="refused", summary=reason, not_built=(reason,))
            return
        if brief.role == OPERATIONS:
            added = _add(workspace, project.deployment(brief))
            yield Claim(outcome="finished", summary=f"added {', '.join(added) or 'nothing: all of it is there'}")
            return
        yield Note(text=f"generating {brief.name} from {len(brief.entities)} entities", fraction=0.1)
        files = project.generate(brief)
        yield Note(text=f"writing {len(files)} files", fraction=0.8)
        for path, content in files.items():
            target = workspace / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        missing = not_built(brief)
        summary = f"{len(files)} files: {', '.join(entity.name for entity in brief.entities)}"
        yield Claim(outcome="partial" if missing else "finished", summary=summary, not_built=missing)


def _add(workspace: Path, files: Mapping[str, str]) -> list[str]:
    """The paths that were not there and now are."""
    missing = {path: text for path, text in files.items() if not (workspace / path).exists()}
    for path, text in missing.items():
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_text(text, encoding="utf-8")
    return list(missing)


def refusal(brief: Brief) -> str | None:
    """Why this worker cannot build what the brief asks for; None where it can, at least in parts. Pure."""
    if brief.language.casefold() != LANGUAGE:
        return f"language {brief.language} cannot be built by the embedded builder, which builds {LANGUAGE}"
    if brief.role == OPERATIONS:
        return None
    if brief.role != IMPLEMENTER:
        return f"the embedded builder has nothing to add to a project as its {brief.role}"
    if not brief.entities:
        return "there are no key entities, and the embedded builder builds nothing but programs around them"
    package = naming.package(brief.name)
    if keyword.iskeyword(package) or package in _TAKEN:
        return f"a package called {package} cannot be built: Python has something of that name"
    return None


def not_built(brief: Brief) -> tuple[str, ...]:
    """What of the brief is beyond this builder, each as a sentence."""
    found = [
        f"interface {name} is not built; the embedded builder knows {' and '.join(INTERFACES)}"
        for name in brief.interfaces
        if name not in INTERFACES
    ]
    examples = samples.for_entities(brief.entities)
    for entity in brief.entities:
        for action in entity.actions:
            for change in action.changes:
                kind = entity.field(change.field).type.name
                if change.verb == "add" and kind not in _ADDABLE:
                    found.append(f"{entity.name}: {action.name} cannot add to {change.field}, which is a {kind}")
        if not examples[entity.name]:
            found.append(f"{entity.name}: no valid example was found, so the project's tests do not add one")
    return tuple(found)
