"""What phases leave behind beside code: requirements, design and the traceability matrix, as files with schemas.

Requirements and design are derived from the specification, so they say nothing that nobody has asked for; a link
between two things stands in them only where one names the other. They are canonical JSON: the same specification
gives the same bytes, whose hash a run knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daybreak.agents.entities import Entity
from daybreak.checks.evidence import Evidence, Mark
from daybreak.errors import CheckError
from daybreak.factory.spec.model import Specification

FORMAT = 1
FOLDER = "docs/daybreak"
"""Below the delivered project; the name is taken."""
_ID = r"^[A-Za-z][A-Za-z0-9_-]{0,40}$"


class ArtefactWrong(CheckError):
    """An artefact is missing, broken, or not what its hash says."""

    code = "C152"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class RequirementEntry(_Model):
    id: str = Field(pattern=_ID)
    text: str = Field(min_length=1)
    must: bool
    shown_by: tuple[str, ...] = ()
    """Headings of the acceptance examples that name it, without those that are held out."""


class Requirements(_Model):
    """What is asked for, numbered."""

    format: Literal[1] = 1
    name: str
    title: str
    objectives: tuple[str, ...] = Field(min_length=1)
    requirements: tuple[RequirementEntry, ...] = Field(min_length=1)
    out_of_scope: tuple[str, ...] = ()


class Datum(_Model):
    """Something that is kept."""

    name: str
    fields: tuple[str, ...]
    """`name: type`, in the table's order."""
    requirements: tuple[str, ...] = ()


class Face(_Model):
    """Something that a user can reach: a command or a route."""

    kind: Literal["command", "route"]
    name: str
    requirements: tuple[str, ...] = ()


class Design(_Model):
    """How it is cut: what is kept, and what users reach."""

    format: Literal[1] = 1
    name: str
    language: str
    data: tuple[Datum, ...] = ()
    interfaces: tuple[Face, ...] = ()
    unplaced: tuple[str, ...] = ()
    """Requirements that name no part of the design."""


class Shown(_Model):
    """A piece of evidence, and where it stands."""

    check: str
    outcome: str
    event: int | None = None
    """Position in the ledger."""


Column = Literal["design", "code", "tests", "evidence"]
"""Of the matrix."""


class Trace(_Model):
    """One row of the matrix."""

    requirement: str
    text: str
    must: bool
    design: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    """Files that name it."""
    tests: tuple[str, ...] = ()
    evidence: tuple[Shown, ...] = ()
    missing: tuple[Column, ...] = ()


class Traceability(_Model):
    """Requirement → design → code → test → evidence."""

    format: Literal[1] = 1
    name: str
    workspace: str
    """SHA-256 of the tree that the evidence is about."""
    rows: tuple[Trace, ...]

    @property
    def without_evidence(self) -> list[str]:
        return [row.requirement for row in self.rows if "evidence" in row.missing]


SCHEMAS: Mapping[str, type[_Model]] = {"requirements": Requirements, "design": Design, "traceability": Traceability}
_Any = TypeVar("_Any", bound=_Model)


def path_of(name: str) -> str:
    """Where an artefact lies in a delivered project."""
    return f"{FOLDER}/{name}.json"


def written(artefact: BaseModel) -> bytes:
    """Its bytes: the same for the same content."""
    return (json.dumps(artefact.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n").encode()


def read(data: bytes, model: type[_Any], name: str) -> _Any:
    """Raises ArtefactWrong, which names what does not fit."""
    try:
        return model.model_validate_json(data)
    except ValidationError as wrong:
        places = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or name}: {one['msg']}" for one in wrong.errors(include_url=False)[:5]
        )
        raise ArtefactWrong(
            f"{name} does not fit its schema: {places}", hint="build again; if it stays, the phase before is at fault"
        ) from wrong


# -- derived from the specification


def requirements(spec: Specification, held_out: Iterable[str]) -> Requirements:
    hidden = set(held_out)
    shown: dict[str, list[str]] = {}
    for example in spec.examples:
        if example.id not in hidden:
            for one in example.requirements:
                shown.setdefault(one, []).append(example.title)
    return Requirements(
        name=spec.name,
        title=spec.title,
        objectives=spec.objectives,
        requirements=tuple(
            RequirementEntry(
                id=one.id, text=one.text, must=one.must, shown_by=tuple(dict.fromkeys(shown.get(one.id, ())))
            )
            for one in spec.requirements
        ),
        out_of_scope=spec.out_of_scope,
    )


def design(spec: Specification) -> Design:
    data = tuple(
        Datum(
            name=entity.name,
            fields=tuple(f"{field.name}: {field.type.name}" for field in entity.fields),
            requirements=_naming(spec, _words(entity.name)),
        )
        for entity in spec.entities
    )
    faces = tuple(face for entity in spec.entities for face in _faces(spec, entity))
    parts: list[Datum | Face] = [*data, *faces]
    placed = {one for part in parts for one in part.requirements}
    return Design(
        name=spec.name,
        language=spec.language,
        data=data,
        interfaces=faces,
        unplaced=tuple(one.id for one in spec.requirements if one.id not in placed),
    )


def _faces(spec: Specification, entity: Entity) -> Iterable[Face]:
    """One for all that every entity has, and one for each action: they are what requirements speak of by name."""
    noun = "-".join(word.lower() for word in _words(entity.name))
    named = _naming(spec, _words(entity.name))
    actions = [(action.name, _naming(spec, action.name.split("-"))) for action in entity.actions]
    if "cli" in spec.interfaces:
        yield Face(kind="command", name=f"{spec.name} {noun}", requirements=named)
        for name, about in actions:
            yield Face(kind="command", name=f"{spec.name} {noun} {name}", requirements=about)
    if "http" in spec.interfaces:
        plural = f"{spec.http.prefix}/{(entity.plural or noun + 's').lower().replace(' ', '-')}"
        yield Face(kind="route", name=plural, requirements=named)
        for name, about in actions:
            yield Face(kind="route", name=f"{plural}/{{id}}/{name}", requirements=about)


def _naming(spec: Specification, words: Sequence[str]) -> tuple[str, ...]:
    """Requirements whose text names those words in a row, also in the plural."""
    pattern = re.compile(r"\b" + r"[ _-]?".join(map(re.escape, words)) + r"(s|es)?\b", re.IGNORECASE)
    return tuple(one.id for one in spec.requirements if pattern.search(one.text))


def _words(name: str) -> list[str]:
    """`BookLoan` has the words Book and Loan."""
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name) or [name]


# -- looked at


def look_at_requirements(artefact: Requirements, artefact_hash: str) -> Evidence:
    """Numbers are there once, and every text says something."""
    ids = [one.id for one in artefact.requirements]
    marks = [Mark(message=f"{one} is there more than once") for one in sorted(set(ids)) if ids.count(one) > 1]
    unshown = sum(not one.shown_by for one in artefact.requirements)
    return Evidence(
        check="requirements",
        workspace=artefact_hash,
        outcome="failed" if marks else "passed",
        summary=f"{len(ids)} requirements, {unshown} of them without an acceptance example that may be seen",
        counts={"requirements": len(ids), "unshown": unshown},
        marks=tuple(marks),
    )


def look_at_design(artefact: Design, asked: Requirements, artefact_hash: str) -> Evidence:
    """It speaks of requirements that there are, and of each at least once or says that it does not."""
    known = {one.id for one in asked.requirements}
    parts: list[Datum | Face] = [*artefact.data, *artefact.interfaces]
    named = {one for part in parts for one in part.requirements}
    marks = [Mark(message=f"{one} is in the design and not among the requirements") for one in sorted(named - known)]
    silent = sorted(known - named - set(artefact.unplaced))
    marks += [Mark(message=f"{one}: no part of the design names it, and it is not listed as that") for one in silent]
    return Evidence(
        check="design",
        workspace=artefact_hash,
        outcome="failed" if marks else "passed",
        summary=f"{len(artefact.data)} kinds of data, {len(artefact.interfaces)} commands and routes, "
        f"{len(artefact.unplaced)} requirements without a part of their own",
        counts={"data": len(artefact.data), "interfaces": len(artefact.interfaces)},
        marks=tuple(marks),
    )


# -- the matrix


def trace(
    asked: Requirements,
    designed: Design | None,
    workspace: str,
    texts: Mapping[str, str],
    evidence: Mapping[str, Sequence[Shown]],
) -> Traceability:
    """`texts` are the readable files of the workspace by path; `evidence` what speaks for each requirement."""
    parts: list[Datum | Face] = [*designed.data, *designed.interfaces] if designed is not None else []
    rows = []
    for one in asked.requirements:
        naming = re.compile(rf"\b{re.escape(one.id)}\b")
        files = [path for path, text in sorted(texts.items()) if naming.search(text)]
        tests = tuple(path for path in files if _is_test(path))
        code = tuple(path for path in files if not _is_test(path) and not path.endswith((".md", ".rst", ".txt")))
        shown = tuple(evidence.get(one.id, ()))
        columns: dict[Column, Sequence[object]] = {
            "design": tuple(part.name for part in parts if one.id in part.requirements),
            "code": code,
            "tests": tests,
            "evidence": tuple(piece for piece in shown if piece.outcome == "passed"),
        }
        missing = tuple(name for name, found in columns.items() if not found)
        rows.append(
            Trace(
                requirement=one.id,
                text=one.text,
                must=one.must,
                design=tuple(part.name for part in parts if one.id in part.requirements),
                code=code,
                tests=tests,
                evidence=shown,
                missing=missing,
            )
        )
    return Traceability(name=asked.name, workspace=workspace, rows=tuple(rows))


def _is_test(path: str) -> bool:
    folders, _, name = path.rpartition("/")
    return "tests" in folders.split("/") or "test" in folders.split("/") or bool(re.match(r"test_|.*[._]test\.", name))
