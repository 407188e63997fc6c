"""Arguments and options that several commands take, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from daybreak.config import PlaceUnusable as PlaceUnusable
from daybreak.config import usable as usable
from daybreak.config import usable_home as usable_home
from daybreak.errors import cut as cut
from daybreak.home.inputs import NAME_BYTES_MAX as NAME_BYTES_MAX
from daybreak.home.inputs import PATH_BYTES_MAX as PATH_BYTES_MAX
from daybreak.home.inputs import ArgumentWrong as ArgumentWrong
from daybreak.home.inputs import path as path
from daybreak.home.inputs import whole as whole

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Plain = Annotated[
    bool,
    typer.Option(
        "--plain",
        envvar="DAYBREAK_PLAIN",
        help="One line for each change, in words; nothing is drawn in place. For screen readers.",
    ),
]
SpecFile = Annotated[
    Path,
    typer.Argument(
        help="The specification: .md, .yaml, .toml or .json.", show_default=False, parser=path, metavar="FILE"
    ),
]
Workers = Annotated[
    list[str] | None,
    typer.Option(
        "--worker",
        help="Who works: a worker of daybreak.toml, `builder`, FILE.py:object of your own, or an installed "
        "module:object. Repeatable: asked in that order.",
        show_default="the order in daybreak.toml, else builder",
    ),
]
SandboxWanted = Annotated[
    str,
    typer.Option(
        "--sandbox",
        help="The least that the sandbox of workers and checks must enforce: full, degraded or none. "
        "The strongest that there is is used.",
    ),
]
Needs = Annotated[
    list[str] | None,
    typer.Option(
        "--needs",
        metavar="WHAT",
        help="What a machine must have on which attempts and checks are done: docker, gpu=a100, cpus=4, memory=8GiB. "
        "Repeatable.",
        show_default="[dispatch] in daybreak.toml",
    ),
]
FromPhase = Annotated[
    str | None,
    typer.Option(
        "--from-phase",
        help="Begin with this phase, on what an earlier build of the same specification has left.",
        show_default="the first one",
        metavar="PHASE",
    ),
]
Assume = Annotated[bool, typer.Option("--assume", help="Go on despite open questions; the assumptions are reported.")]
