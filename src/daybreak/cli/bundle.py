"""`daybreak bundle`: Daybreak with all it needs in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json

if TYPE_CHECKING:
    from daybreak.factory.bundling import Bundle, Contents

EXAMPLES = (
    "Examples:  daybreak bundle -o daybreak.pyz    daybreak bundle --with postgres,notify -o daybreak.pyz    "
    "daybreak bundle --list daybreak.pyz"
)
OUTPUT = "daybreak.pyz"


def bundle(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file to make.", parser=arguments.path)
    ] = Path(OUTPUT),
    extras: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="EXTRA",
            help="Extras that are installed here and go in as well, with commas between them. Repeatable.",
            show_default="none",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    untried: Annotated[
        bool, typer.Option("--untried", help="Do not start it, examine the machine and build with it first.")
    ] = False,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="Make nothing: check every file in a bundle and list what it holds.",
            show_default=False,
            parser=arguments.path,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make one file that runs with nothing but this version of Python on this kind of machine.

    It holds what is installed here, so no network is needed, and it is put in its place only after it has verified a
    build in an empty environment without network. The same environment gives the same bytes.
    """
    from daybreak.factory import bundling

    if listed is not None:
        _list(bundling.read(listed), as_json=as_json)
        return
    wanted = [name.strip() for given in extras or () for name in given.split(",") if name.strip()]
    say = _quiet if as_json else faces.say
    made = bundling.make(output, extras=wanted, force=force, try_out=not untried, say=say)
    if as_json:
        faces.result_json(_plain(made))
    else:
        _tell(made)


def _quiet(words: str) -> None:
    """JSON is for programs."""


def _tell(made: Bundle) -> None:
    from daybreak.report.shown import shown

    holds = made.contents
    faces.result(f"{shown(str(made.file))}  {made.bytes / 1e6:.1f} MB  sha256:{made.sha256}")
    for line in _summary(holds):
        faces.result(line)
    if made.tried is None:
        faces.result("tried out   no: you did not want it to be")
        return
    tried = made.tried
    away = "" if tried.hidden else "; this environment could still be read"
    faces.result(f"tried in    an empty environment without network, sandbox {tried.sandbox}{away}")
    faces.result(
        f"first start {tried.first_start_ms / 1000:.1f} s, with unpacking; later {tried.start_ms / 1000:.2f} s"
    )
    faces.result(f"doctor      {tried.doctor}")
    faces.result(f"build       {tried.build}, in {tried.build_ms / 1000:.0f} s")


def _summary(holds: Contents) -> list[str]:
    lines = [
        f"runs with   {holds.platform}",
        f"holds       Daybreak {holds.daybreak}, {len(holds.distributions)} distributions, {len(holds.files)} files",
        f"extras      {', '.join(holds.extras) or 'none'}",
    ]
    if holds.left_out:
        told = "; ".join(f"{one.path} ({one.why})" for one in holds.left_out)
        lines.append(f"left out    {told}")
    return lines


def _list(holds: Contents, *, as_json: bool) -> None:
    if as_json:
        faces.result_json(_contents(holds))
        return
    for one in holds.distributions:
        faces.result(f"{one.name:24} {one.version:16} {one.bytes / 1e6:7.2f} MB  sha256:{one.sha256}")
    for line in _summary(holds):
        faces.result(line)
    faces.result("every file in it has the hash that its list says")


def _contents(holds: Contents) -> dict[str, Any]:
    from dataclasses import asdict

    told = asdict(holds)
    told["files"] = len(holds.files)
    return {**told, "platform": holds.platform}


def _plain(made: Bundle) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "file": str(made.file),
        "bytes": made.bytes,
        "sha256": made.sha256,
        **_contents(made.contents),
        "tried": None if made.tried is None else asdict(made.tried),
    }
