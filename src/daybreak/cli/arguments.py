"""Arguments and options that several commands take, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
SpecFile = Annotated[Path, typer.Argument(help="The specification: .md, .yaml, .toml or .json.", show_default=False)]
WorkerName = Annotated[
    str,
    typer.Option("--worker", help="Who builds: `builder`, FILE.py:object of your own, or an installed module:object."),
]
SandboxWanted = Annotated[
    str,
    typer.Option(
        "--sandbox",
        help="The least that the sandbox of workers and checks must enforce: full, degraded or none. "
        "The strongest that there is is used.",
    ),
]
Assume = Annotated[bool, typer.Option("--assume", help="Go on despite open questions; the assumptions are reported.")]
