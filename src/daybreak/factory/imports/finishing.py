"""From what was gathered to a specification in our own Markdown, read again by our own reader."""

from __future__ import annotations

from daybreak.checks.example import Example
from daybreak.factory import spec_writing
from daybreak.factory.imports import naming, plain
from daybreak.factory.imports.gathered import Gathered
from daybreak.factory.spec.acceptance import MENTION
from daybreak.factory.spec.estimate import complexity
from daybreak.factory.spec.model import Clarification, Specification

LISTED_MAX = 1000
"""Pieces that were not understood, in the comment at the end of what is written; the import tells all of them."""


def specification(gathered: Gathered, places: list[str]) -> Specification:
    """The model; what a person must say stands in it as an open question. `places` are names of the file and folder."""
    name = naming.project([*_long_enough(gathered), *places])
    title = plain.flat(gathered.title) or _title(name)
    objectives = gathered.objectives or [
        plain.question(f"what is {plain.flat(gathered.title) or 'it'} for, and for whom?")
    ]
    requirements = tuple(sorted(gathered.requirements, key=lambda one: int(one.id[3:])))
    entities = tuple(gathered.entities)
    return Specification(
        name=name or plain.question("what shall the package and the command be called?"),
        version=gathered.version,
        interfaces=gathered.interfaces,
        complexity=complexity(requirements, entities, gathered.interfaces),
        complexity_estimated=True,
        serve=f"{name} serve --port {{port}}",
        http=gathered.http,
        title=title,
        summary="\n\n".join(gathered.summary),
        objectives=tuple(objectives),
        stories=tuple(gathered.stories),
        requirements=requirements,
        entities=entities,
        success_criteria=tuple(gathered.criteria),
        out_of_scope=tuple(gathered.out_of_scope),
        examples=tuple(
            Example(
                id="",
                kind=shown.kind,
                title=plain.flat(shown.title),
                requirements=tuple(MENTION.findall(shown.title)),
                body=shown.body,
                line=0,
            )
            for shown in gathered.examples
        ),
        clarifications=tuple(Clarification(question=_inner(text), line=0) for text in gathered.questions),
    )


def _inner(marker: str) -> str:
    return marker.removeprefix("[NEEDS CLARIFICATION: ").removesuffix("]")


def _long_enough(gathered: Gathered) -> list[str]:
    return [text for text in (*gathered.names, gathered.title) if not plain.asks(text)]


def _title(name: str) -> str:
    if name:
        return plain.sentence_start(name.replace("-", " "))
    return plain.question("what is it called?")


def page(spec: Specification, gathered: Gathered, source: str, format_: str) -> str:
    """The text of the file, with a comment at its end: what went where, and what was not understood."""
    return f"{spec_writing.render(spec)}\n{_comment(gathered, source, format_)}"


def _comment(gathered: Gathered, source: str, format_: str) -> str:
    lines = [f"Imported from {source} ({format_})."]
    if gathered.traces:
        lines += [
            "",
            "What went where:",
            *(f"  {one.theirs} (line {one.line}) -> {one.ours}" for one in gathered.traces),
        ]
    if gathered.not_understood:
        lines += ["", "Not understood, so it is not part of the specification as it stands:"]
        told = sorted(gathered.not_understood, key=lambda one: one.line)
        for one in told[:LISTED_MAX]:
            lines += [f"  line {one.line}: {one.text}", f"    {one.why}; {one.remedy}"]
        if len(told) > LISTED_MAX:
            lines.append(f"  and {len(told) - LISTED_MAX} more, which the import itself told")
    inner = "\n".join(plain.CONTROL.sub(" ", line).replace("--", "- -") for line in lines)
    return f"<!-- {inner} -->\n"
