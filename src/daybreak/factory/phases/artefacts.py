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

from daybreak.agents.protocol import Requirement
from daybreak.checks.evidence import Evidence, Mark
from daybreak.errors import CheckError
from daybreak.factory.phases import outline
from daybreak.factory.phases.outline import Datum, Face
from daybreak.factory.spec.model import Specification

FORMAT = 1
TRACEABILITY = "traceability"
"""The check, and the artefact."""
FOLDER = "docs/daybreak"
"""Below the delivered project; the name is taken."""
_THERE_FOR = re.compile(r"^<!-- Requirements: (.*) -->$", re.MULTILINE)
"""How a document says which requirements ask for it."""
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
    """Files that name it; of documents those that say `<!-- Requirements: ... -->`."""
    tests: tuple[str, ...] = ()
    evidence: tuple[Shown, ...] = ()
    """All that speaks for it, also what did not pass."""
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


SCHEMAS: Mapping[str, type[_Model]] = {"requirements": Requirements, "design": Design, TRACEABILITY: Traceability}
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


def design(spec: Specification, held_out: Iterable[str] = ()) -> Design:
    """`held_out`: ids of examples whose headings must say nothing, as nobody who works may know them."""
    asked = outline.links(spec, held_out)
    data, faces = tuple(outline.data(spec.entities, asked)), tuple(outline.faces(spec, asked))
    parts: list[Datum | Face] = [*data, *faces]
    placed = {one for part in parts for one in part.requirements}
    return Design(
        name=spec.name,
        language=spec.language,
        data=data,
        interfaces=faces,
        unplaced=tuple(one.id for one in spec.requirements if one.id not in placed),
    )


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


def look_at_traceability(asked: Sequence[Requirement], workspace: str, seen: Sequence[Evidence]) -> Evidence:
    """Every MUST has evidence, all of it passed; each that has none is named, a SHOULD too.

    `seen` is what all other checks saw of that workspace."""
    marks, musts = [], 0
    for one in asked:
        pieces = [piece.outcome == "passed" for piece in seen if one.id in piece.requirements]
        if not all(pieces) or not pieces:
            says = (
                f"{pieces.count(False)} of {len(pieces)} pieces of evidence did not pass" if pieces else "no evidence"
            )
            marks.append(Mark(message=f"{one.id} ({'MUST' if one.must else 'SHOULD'}): {says}"))
            musts += one.must
    without = f"; without: {', '.join(mark.message.partition(':')[0] for mark in marks)}" if marks else ""
    return Evidence(
        check=TRACEABILITY,
        workspace=workspace,
        outcome="failed" if musts else "passed",
        summary=f"{len(asked) - len(marks)} of {len(asked)} requirements have evidence{without}",
        counts={"requirements": len(asked), "without": len(marks), "must_without": musts},
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
        files = [path for path, text in sorted(texts.items()) if naming.search(_naming_part(path, text))]
        tests = tuple(path for path in files if _is_test(path))
        code = tuple(path for path in files if not _is_test(path))
        shown = tuple(evidence.get(one.id, ()))
        columns: dict[Column, Sequence[object]] = {
            "design": tuple(part.name for part in parts if one.id in part.requirements),
            "code": code,
            "tests": tests,
            "evidence": shown if all(piece.outcome == "passed" for piece in shown) else (),
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


def _naming_part(path: str, text: str) -> str:
    """Of prose what it says to be there for: copies of a specification name every requirement and show none."""
    return "\n".join(_THERE_FOR.findall(text)) if path.endswith((".md", ".rst", ".txt")) else text


def _is_test(path: str) -> bool:
    folders, _, name = path.rpartition("/")
    return "tests" in folders.split("/") or "test" in folders.split("/") or bool(re.match(r"test_|.*[._]test\.", name))
