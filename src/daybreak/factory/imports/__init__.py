"""Importers: requirements that other tools wrote, as a specification of ours, with a list of what was not understood.

    spec-kit   GitHub spec-kit's spec.md
    kiro       Kiro's requirements.md, with acceptance criteria in EARS
    gherkin    Cucumber's .feature
    openapi    OpenAPI 3.0 and 3.1, YAML or JSON
    prd        any product requirements document in Markdown, by the meaning of its headings

Nothing is dropped silently: every piece of the file is part of the specification, or leads to it (`traces`), or
stands in `not_understood` with its line, the reason and what to write instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath

from daybreak.factory.imports import finishing, gherkin, kiro, openapi, prd, source, spec_kit
from daybreak.factory.imports.detect import FORMATS, ImportFormat, detect
from daybreak.factory.imports.gathered import Gathered, NotUnderstood, Trace
from daybreak.factory.imports.refusals import (
    ImportBomb,
    ImportBroken,
    ImportCircular,
    ImportEmpty,
    ImportNoText,
    ImportRefused,
    ImportTooLarge,
    ImportWrongFormat,
)
from daybreak.factory.spec import Problem, Specification, problems_of_text

_READERS: dict[ImportFormat, Callable[[str, str, Gathered], None]] = {
    "spec-kit": spec_kit.read,
    "kiro": kiro.read,
    "gherkin": gherkin.read,
    "openapi": openapi.read,
    "prd": prd.read,
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to."""

    format: ImportFormat
    reason: str
    """By what the format was told."""
    name: str
    """Of the project; empty where none could be made."""
    text: str
    """The specification in our Markdown."""
    specification: Specification | None
    """As our reader reads `text`; None where something that must be there is still missing."""
    problems: tuple[Problem, ...]
    """What our reader says about `text`, warnings included; the lines are those of `text`."""
    not_understood: tuple[NotUnderstood, ...]
    traces: tuple[Trace, ...]

    @property
    def left(self) -> tuple[Problem, ...]:
        """What a person still has to write or decide."""
        return tuple(one for one in self.problems if one.severity == "error" or one.code == "S183")


def read(path: Path, format: ImportFormat | None = None) -> Imported:
    """The import of a file; its format is found out where it is not said. Raises ImportRefused."""
    return read_text(source.read(path), path, format, folder=path.absolute().parent.name)


def read_text(text: str, path: PurePath, format: ImportFormat | None = None, *, folder: str = "") -> Imported:
    """As `read`, of a text; `path` is where it comes from, `folder` the name of its folder. Raises ImportRefused."""
    text = source.cleaned(text, str(path))
    chosen, reason = detect(path, text) if format is None else (format, "it was said so")
    gathered = Gathered()
    _READERS[chosen](text, str(path), gathered)
    if not _anything(gathered):
        raise ImportWrongFormat(
            f"{path}: nothing in it was understood as {chosen}",
            hint="say what it is with --from: " + ", ".join(one for one in FORMATS if one != chosen),
        )
    model = finishing.specification(gathered, [path.stem, folder])
    page = finishing.page(model, gathered, path.name, chosen)
    found, problems = problems_of_text(page, name=path.name, format="md")
    return Imported(
        format=chosen,
        reason=reason,
        name="" if model.name.startswith("[") else model.name,
        text=page,
        specification=found,
        problems=tuple(problems),
        not_understood=tuple(sorted(gathered.not_understood, key=lambda one: one.line)),
        traces=tuple(gathered.traces),
    )


def _anything(gathered: Gathered) -> bool:
    parts = (gathered.requirements, gathered.stories, gathered.entities, gathered.objectives, gathered.criteria)
    return any(parts) or bool(gathered.questions or gathered.summary or gathered.out_of_scope)


__all__ = [
    "FORMATS",
    "ImportBomb",
    "ImportBroken",
    "ImportCircular",
    "ImportEmpty",
    "ImportFormat",
    "ImportNoText",
    "ImportRefused",
    "ImportTooLarge",
    "ImportWrongFormat",
    "Imported",
    "NotUnderstood",
    "Trace",
    "detect",
    "read",
    "read_text",
]
