"""What an attempt is given: the specification as a worker may see it, and what checks found before."""

from __future__ import annotations

from collections.abc import Sequence

from daybreak.agents.protocol import Brief, Finding
from daybreak.checks.evidence import Evidence
from daybreak.factory.spec.model import Specification

MARKS_MAX = 20
"""Findings of one check that go into a brief; more would drown the rest."""


def make(
    spec: Specification,
    workers_copy: str,
    attempt: int = 1,
    findings: Sequence[Finding] = (),
    *,
    lessons: Sequence[str] = (),
    recall: str = "",
) -> Brief:
    """`workers_copy` is the text of the specification without the held-out examples."""
    return Brief(
        name=spec.name,
        version=spec.version,
        language=spec.language,
        interfaces=spec.interfaces,
        title=spec.title,
        summary=spec.summary,
        requirements=spec.requirements,
        entities=spec.entities,
        http=spec.http,
        serve=spec.serve or f"{spec.name} serve --port {{port}}",
        specification=workers_copy,
        attempt=attempt,
        findings=tuple(findings),
        lessons=tuple(lessons),
        recall=recall,
    )


def findings(evidence: Sequence[Evidence], held_out: frozenset[str]) -> list[Finding]:
    """What failed, for the next attempt. Of a held-out example only the requirement's id is told."""
    found: list[Finding] = []
    for seen in evidence:
        if seen.outcome == "passed":
            continue
        if seen.check.removeprefix("example:") in held_out:
            found += [
                Finding(check="held-out example", requirement=unmet, message=f"{unmet} is not met")
                for unmet in seen.requirements
            ]
            continue
        requirement = seen.requirements[0] if seen.requirements else None
        if not seen.marks:
            found.append(Finding(check=seen.check, requirement=requirement, message=seen.summary))
        found += [
            Finding(
                check=seen.check,
                requirement=requirement,
                message=f"{mark.place}: {mark.message}" if mark.place else mark.message,
            )
            for mark in seen.marks[:MARKS_MAX]
        ]
    return found
