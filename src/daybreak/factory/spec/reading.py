"""Reading a specification: from a file or text to the one model, or to everything that is wrong."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from daybreak.agents import naming
from daybreak.agents.entities import Entity
from daybreak.agents.protocol import Requirement
from daybreak.factory.spec import (
    acceptance,
    data,
    entities,
    estimate,
    header,
    json_nodes,
    markdown,
    numbers,
    questions,
    source,
    toml_nodes,
    yaml_nodes,
)
from daybreak.factory.spec.draft import Draft
from daybreak.factory.spec.located import Scalar
from daybreak.factory.spec.model import Specification
from daybreak.factory.spec.problems import Problem, Problems, SpecInvalid
from daybreak.factory.spec.source import Format

EXAMPLES_MAX = 1000


def read(path: Path, *, assume: bool = False) -> Specification:
    """The specification in a file. Raises SpecInvalid with all problems at once.

    With `assume` the markers of open questions are taken out of the texts, for workers that shall not wait
    for answers; the questions stay in `clarifications`.
    """
    spec, problems = problems_of(path)
    if spec is None:
        raise SpecInvalid(problems)
    return assumed(spec) if assume else spec


def read_text(text: str, *, name: str, format: Format) -> Specification:
    """The specification in a text; `name` is that of its file, for problems. Raises SpecInvalid."""
    spec, problems = problems_of_text(text, name=name, format=format)
    if spec is None:
        raise SpecInvalid(problems)
    return spec


def problems_of(path: Path) -> tuple[Specification | None, list[Problem]]:
    """The specification, None if it has errors, and all problems with warnings, sorted by line."""
    problems = Problems(str(path))
    text = source.read(path, problems)
    format_ = source.format_of(path)
    if text is None or format_ is None:
        return None, problems.sorted()
    return _understood(text, format_, problems)


def problems_of_text(text: str, *, name: str, format: Format) -> tuple[Specification | None, list[Problem]]:
    """As `problems_of`, of a text."""
    problems = Problems(name)
    clean = source.clean(text, problems)
    if clean is None:
        return None, problems.sorted()
    return _understood(clean, format, problems)


def not_shown(spec: Specification) -> tuple[Requirement, ...]:
    """Requirements that no acceptance heading names."""
    shown = {id_ for example in spec.examples for id_ in example.requirements}
    return tuple(requirement for requirement in spec.requirements if requirement.id not in shown)


def drafted(text: str, format_: Format, problems: Problems) -> Draft | None:
    """The parts of a clean text; None where its syntax is broken or it holds nothing."""
    if format_ == "md":
        return markdown.read(text, problems)
    told = len(problems.found)
    match format_:
        case "yaml":
            node = yaml_nodes.read(text, problems)
        case "toml":
            node = toml_nodes.read(text, problems)
        case "json":
            node = json_nodes.read(text, problems)
    if node is None and len(problems.found) == told:
        problems.add(1, "S114", "the specification holds nothing", "write name: and what follows it")
    return None if node is None else data.read(node, problems)


def assumed(spec: Specification) -> Specification:
    """The same specification without the markers of its open questions."""

    def plain(text: str) -> str:
        return " ".join(questions.without(text).split(" "))

    return spec.model_copy(
        update={
            "title": plain(spec.title),
            "summary": plain(spec.summary),
            "objectives": tuple(plain(text) for text in spec.objectives),
            "out_of_scope": tuple(plain(text) for text in spec.out_of_scope),
            "requirements": tuple(replace(r, text=plain(r.text)) for r in spec.requirements),
            "success_criteria": tuple(c.model_copy(update={"text": plain(c.text)}) for c in spec.success_criteria),
        }
    )


def _understood(text: str, format_: Format, problems: Problems) -> tuple[Specification | None, list[Problem]]:
    problems.last = text.count("\n") + 1
    draft = drafted(text, format_, problems)
    if draft is None:
        return None, problems.sorted()
    spec = _assembled(draft, problems)
    _warn(spec, draft, problems)
    return None if problems.errors else spec, problems.sorted()


def _assembled(draft: Draft, problems: Problems) -> Specification:
    head = header.read(draft.header, problems)
    _needed(draft, problems)
    requirements = numbers.requirements(draft.requirements, problems)
    criteria = numbers.criteria(draft.criteria, problems)
    found = entities.read(draft.entities, problems)
    _faces(head, found, draft, problems)
    if len(draft.examples) > EXAMPLES_MAX:
        line = draft.examples[EXAMPLES_MAX].body.line
        problems.add(
            line, "S127", f"there are {len(draft.examples)} acceptance blocks", f"write at most {EXAMPLES_MAX}"
        )
    examples = acceptance.read(
        draft.examples,
        [requirement.id for requirement in requirements],
        name=head.name,
        interfaces=head.interfaces,
        requirements_known=draft.requirements_complete,
        problems=problems,
    )
    return Specification(
        name=head.name,
        version=head.version,
        language=head.language,
        interfaces=head.interfaces,
        complexity=head.complexity or estimate.complexity(requirements, found, head.interfaces),
        complexity_estimated=head.complexity is None,
        paradigm=head.paradigm,
        budget=head.budget,
        limits=head.limits,
        quality=head.quality,
        needs=head.needs,
        holdout=head.holdout,
        serve=head.serve,
        http=head.http,
        title=draft.title.text if draft.title else "",
        summary=draft.summary,
        objectives=tuple(draft.objectives),
        stories=tuple(draft.stories),
        requirements=requirements,
        entities=found,
        success_criteria=criteria,
        out_of_scope=tuple(draft.out_of_scope),
        examples=examples,
        clarifications=tuple(draft.clarifications),
    )


def _faces(head: header.Header, found: tuple[Entity, ...], draft: Draft, problems: Problems) -> None:
    """What the front matter and the entities say of each other."""
    line = draft.header["http"].line if "http" in draft.header else 1
    if head.http.delete_all and any(entity.login for entity in found):
        remedy = "leave out delete_all: only its owner deletes a record"
        problems.add(line, "S170", "http.delete_all would let anybody delete everybody's records", remedy)
    if head.http.delete_all and any(field.parent for entity in found for field in entity.fields):
        remedy = "leave out delete_all, or take the rule parent away"
        problems.add(line, "S171", "http.delete_all is not built for records that lie within others", remedy)
    for entity in found if head.http.names == "camel" else ():
        seen: dict[str, str] = {}
        for field in entity.fields:
            other = seen.setdefault(naming.camel(field.name), field.name)
            if other != field.name:
                message = f"{entity.name}: {other} and {field.name} would both be {naming.camel(other)} in JSON"
                problems.add(line, "S145", message, "rename one of them")


def _needed(draft: Draft, problems: Problems) -> None:
    if any(problem.code in ("S114", "S136") for problem in problems.found):
        return  # Nothing is there, or it is hidden behind what is not closed: that was told.
    if not draft.objectives and not _told(problems, "objectives"):
        problems.add(
            draft.objectives_line,
            "S131",
            "there is no objective",
            "write ## Objectives and at least one list item below it",
        )
    if not draft.requirements and draft.requirements_complete and not _told(problems, "requirements"):
        problems.add(
            draft.requirements_line,
            "S132",
            "there is no requirement",
            "write ## Requirements, ### Functional Requirements and - **FR-001**: System MUST …",
        )
    if isinstance(draft.title, Scalar) and not draft.title.text:
        problems.add(draft.title.line, "S130", "the title is empty", "write what the result is called")


def _told(problems: Problems, key: str) -> bool:
    """Whether it was said already that the key is missing or misshapen."""
    form = re.compile(rf".*(: {key} is missing|^{key} must be).*")
    return any(problem.code in ("S123", "S124") and form.match(problem.message) for problem in problems.found)


def _warn(spec: Specification, draft: Draft, problems: Problems) -> None:
    lines = {line.id.text: line.id.line for line in draft.requirements}
    for requirement in not_shown(spec):
        problems.warn(
            lines[requirement.id],
            "S182",
            f"{requirement.id} is not shown: no acceptance heading names it",
            f"write ### {requirement.id} … under ## Acceptance, with a block that shows it",
        )
    for question in spec.clarifications:
        problems.warn(
            question.line,
            "S183",
            f"an open question: {question.question}",
            "write the answer in its place, or build with --assume",
        )
