"""`daybreak spec`: check a specification, begin one, or import what another tool wrote."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.cli import arguments, faces
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from daybreak.factory.imports import Imported
    from daybreak.factory.spec import Problem, Specification

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_LARGE_BYTES = 200_000
"""A file that takes longer than a second to import."""

app = typer.Typer(help="Check a specification, begin one, or import one.", no_args_is_help=True)


class FormatUnknown(UsageError):
    """A format that nothing here imports."""

    code = "U128"


class TargetExists(UsageError):
    """A file that would be written is there already."""

    code = "U121"


class TargetUnwritable(UsageError):
    """A file cannot be written where it was asked for."""

    code = "U122"


@app.command("check", epilog="Examples:  daybreak spec check spec.md    daybreak spec check spec.yaml --json")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Markdown, YAML, TOML or JSON.", parser=arguments.path)],
    as_json: Json = False,
) -> None:
    """Tell every problem of FILE at once: where it is, what is wrong, what to write instead.

    Exit status 2 with problems, 0 otherwise; warnings do not count.
    """
    from daybreak.factory.spec import problems_of

    spec, problems = problems_of(file)
    errors = [problem for problem in problems if problem.severity == "error"]
    warnings = [problem for problem in problems if problem.severity == "warning"]
    if as_json:
        faces.result_json(_as_json(file, spec, errors, warnings))
    else:
        for problem in (*errors, *warnings):
            faces.result(_shown(problem))
        faces.say(_summary(file, spec, errors, warnings))
    if errors:
        raise typer.Exit(faces.EXIT_USAGE)


def _shown(problem: Problem) -> str:
    kind = "warning: " if problem.severity == "warning" else ""
    return f"{problem.file}:{problem.line}: {problem.code} {kind}{problem.message}\n  {problem.remedy}"


def _summary(file: Path, spec: Specification | None, errors: list[Problem], warnings: list[Problem]) -> str:
    counts = [_count(len(errors), "problem")] if errors else []
    counts += [_count(len(warnings), "warning")] if warnings else []
    if spec is None:
        return f"{file}: {', '.join(counts)}"
    parts = (
        _count(len(spec.requirements), "requirement"),
        _count(len(spec.entities), "entity", "entities"),
        _count(len(spec.examples), "example"),
    )
    told = f" ({', '.join(counts)})" if counts else ""
    return f"{file} is valid{told}: {spec.name}, {spec.complexity}, {', '.join(parts)}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _as_json(
    file: Path, spec: Specification | None, errors: list[Problem], warnings: list[Problem]
) -> dict[str, object]:
    from daybreak.factory.spec import not_shown

    return {
        "file": str(file),
        "valid": spec is not None,
        "problems": [dataclasses.asdict(problem) for problem in errors],
        "warnings": [dataclasses.asdict(problem) for problem in warnings],
        "not_shown": [requirement.id for requirement in not_shown(spec)] if spec else [],
        "specification": spec.model_dump(mode="json") if spec else None,
    }


@app.command("new", epilog="Examples:  daybreak spec new bookshelf    daybreak spec new bookshelf --output spec.md")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the package, command and directory.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where to write it. [default: NAME.md]", parser=arguments.path),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a commented specification of a small program, ready to be changed and built."""
    from daybreak.factory.spec import template

    text = template(name)
    path = output if output is not None else Path(f"{name}.md")
    _write_new(path, text)
    if as_json:
        faces.result_json({"name": name, "file": str(path)})
    else:
        faces.result(f"wrote {path}")
        faces.say(f"  next: daybreak spec check {path}, then daybreak build {path}")


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise TargetExists(f"{path} is there already", hint="choose another place with --output FILE") from error
    except OSError as error:
        raise TargetUnwritable(
            f"{path} cannot be written: {error.strerror}",
            hint="choose another place with --output FILE",
        ) from error


@app.command(
    "import",
    epilog="Examples:  daybreak spec import requirements.md    daybreak spec import api.yaml --from openapi -o api.md",
)
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What another tool wrote.", parser=arguments.path)],
    from_: Annotated[
        str,
        typer.Option(
            "--from", metavar="FORMAT", help="spec-kit, kiro, gherkin, openapi or prd. [default: found out by itself]"
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Where to write it. [default: NAME.md]", parser=arguments.path
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a specification from FILE: spec-kit, Kiro (EARS), Gherkin, OpenAPI 3 or a PRD in Markdown.

    Everything that was not understood is listed. Exit status 0 when the specification is valid, 1 when something
    in it is still to be written or decided, 2 when FILE cannot be imported.
    """
    from daybreak.factory import imports

    chosen = next((known for known in imports.FORMATS if known == from_), None)
    if from_ and chosen is None:
        raise FormatUnknown(f"the format {from_!r} is unknown", hint=f"the formats are {', '.join(imports.FORMATS)}")
    if file.is_file() and file.stat().st_size > _LARGE_BYTES:
        faces.say(f"reading {file} …")
    found = imports.read(file, chosen)
    path = output if output is not None else Path(f"{found.name or 'imported'}.md")
    _write_new(path, found.text)
    if as_json:
        faces.result_json(_import_as_json(file, path, found))
    else:
        _tell_import(file, path, found)
    if found.left:
        raise typer.Exit(faces.EXIT_FAILED)


def _tell_import(file: Path, path: Path, found: Imported) -> None:
    for one in found.not_understood:
        faces.result(f"{file}:{one.line}: not understood: {one.text}\n  {one.why}; {one.remedy}")
    for problem in found.left:
        faces.result(f"{path}:{problem.line}: {problem.code} {problem.message}\n  {problem.remedy}")
    faces.say(f"read {file} as {found.format}: {found.reason}")
    faces.say(f"wrote {path}: {_count(len(found.traces), 'trace')}, {len(found.not_understood)} not understood")
    if found.left:
        faces.say(f"  still to do: {_count(len(found.left), 'place')}; then daybreak spec check {path}")
    else:
        faces.say(f"  next: daybreak build {path}")


def _import_as_json(file: Path, path: Path, found: Imported) -> dict[str, object]:
    return {
        "file": str(file),
        "format": found.format,
        "reason": found.reason,
        "written": str(path),
        "valid": found.specification is not None,
        "not_understood": [{"file": str(file), **dataclasses.asdict(one)} for one in found.not_understood],
        "to_do": [{**dataclasses.asdict(one), "file": str(path)} for one in found.left],
        "warnings": [{**dataclasses.asdict(one), "file": str(path)} for one in found.problems if one not in found.left],
        "traces": [dataclasses.asdict(one) for one in found.traces],
        "specification": found.specification.model_dump(mode="json") if found.specification else None,
    }
