"""What an attempt is given: the specification as a worker may see it, and what checks found before."""

from __future__ import annotations

from collections.abc import Sequence

from daybreak.agents.protocol import Brief, Finding
from daybreak.checks import complexity, documentation, lint
from daybreak.checks.evidence import Evidence
from daybreak.factory import deliver
from daybreak.factory.spec.model import Specification
from daybreak.factory.validate import languages
from daybreak.settings import ProjectLanguage

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
    role: str = "implementer",
) -> Brief:
    """`workers_copy` is the text of the specification without the held-out examples."""
    return Brief(
        name=spec.name,
        version=spec.version,
        language=spec.language,
        interfaces=spec.interfaces,
        title=spec.title,
        summary=spec.summary,
        why="; ".join(one.rstrip(".") for one in spec.objectives),
        constraints=constraints(spec),
        requirements=spec.requirements,
        entities=spec.entities,
        http=spec.http,
        serve=spec.serve or f"{spec.name} serve --port {{port}}",
        specification=workers_copy,
        attempt=attempt,
        findings=tuple(findings),
        lessons=tuple(lessons),
        recall=recall,
        role=role,
    )


def constraints(spec: Specification) -> tuple[str, ...]:
    """What every result is held to beside its specification, a sentence each: nobody should learn from a failed
    attempt what could have been said before it."""
    if languages.called(spec.language) != "python":
        return _elsewhere(spec)
    package = spec.name.replace("-", "_")
    return (
        f"The result is a Python project: `pyproject.toml`, `README.md`, code below `src/{package}/` with an "
        f"`__init__.py`, tests with pytest in `tests/test_*.py`.",
        f"It builds as a wheel without a network (hatchling is here as a build backend) and installs the command "
        f"`{spec.name}` by `[project.scripts]`; acceptance examples run that command as installed. It may depend only "
        "on what can be imported here.",
        f"Its own tests pass, cover at least {spec.quality.coverage} % of the lines of `src`, and fail where the "
        "program is broken.",
        f"`ruff check --select {lint.RULES} --ignore {lint.IGNORED}` and `ruff format --check` find nothing, at the "
        f"line length of pyproject.toml ({lint.LINE_LENGTH_MIN} to {lint.LINE_LENGTH_MAX}).",
        "`mypy --strict` finds nothing.",
        f"There is a README, and {documentation.SHARE:g} % of what is public has a docstring.",
        f"No function has a complexity (McCabe) above {complexity.MOST}; nothing of what bandit calls medium or high.",
        "Comments that silence these tools are counted, and hardly any may stand.",
        f"The names {' and '.join(sorted(deliver.OURS))} are taken.",
    )


_PROJECT: dict[ProjectLanguage, str] = {
    "javascript": "`package.json` whose `bin` names the command `{name}` and its file (`npm run build` is run where "
    "there is such a script), tests that `npm test` or `node --test` runs",
    "go": "`go.mod`, the command in `cmd/{name}` or at the top, tests that `go test ./...` runs",
    "rust": "`Cargo.toml` with a binary `{name}`, tests that `cargo test` runs",
    "java": "`pom.xml` or `build.gradle`, an executable file `bin/{name}` that starts it, tests of maven or gradle",
}


def _elsewhere(spec: Specification) -> tuple[str, ...]:
    """Of a result that is not in Python."""
    language = languages.called(spec.language)
    made = _PROJECT.get(language, "an executable file `bin/{name}` that starts it, and tests").format(name=spec.name)
    return (
        f"The result is a project in {spec.language}: `README.md`, {made}.",
        f"Acceptance examples run the command `{spec.name}` as installed. Nothing is fetched: it may depend only on "
        "what is there without a network.",
        "Its own tests pass, and fail where the program does nothing; where their coverage can be measured it is at "
        f"least {spec.quality.coverage} %.",
        "Linters, formatters and checkers of types that the project configures must be there and find nothing.",
        "Comments that silence tools are counted, and hardly any may stand.",
        f"The names {' and '.join(sorted(deliver.OURS))} are taken.",
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
