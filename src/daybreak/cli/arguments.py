"""Arguments and options that several commands take, each written once; and what a path or a number may look like."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from daybreak.config import PlaceUnusable as PlaceUnusable
from daybreak.config import usable as usable
from daybreak.config import usable_home as usable_home
from daybreak.errors import UsageError
from daybreak.errors import cut as cut

PATH_BYTES_MAX = 4095
NAME_BYTES_MAX = 255
_WHOLE = re.compile(r"-?[0-9]{1,18}")


class ArgumentWrong(UsageError):
    """A path that no system takes, or something else where a whole number is wanted."""

    code = "U115"


def path(text: str | Path) -> Path:
    """A path as typed. Raises ArgumentWrong: an empty one would silently be the working directory."""
    told = os.fspath(text)
    size = len(os.fsencode(told))
    if not told:
        raise ArgumentWrong(
            "an empty path was given", hint="write . for the folder you are in, or leave the option out"
        )
    if size > PATH_BYTES_MAX or any(len(os.fsencode(part)) > NAME_BYTES_MAX for part in told.split("/")):
        raise ArgumentWrong(
            f"{cut(told)} is too long for a path",
            hint=f"no system takes more than {PATH_BYTES_MAX} bytes, {NAME_BYTES_MAX} between two slashes",
        )
    return Path(told)


def whole(least: int, most: int) -> Callable[[Any], int]:
    """Reads whole numbers of that range in plain digits: no `１０`, `1_0`, `+1`, `1.0`. Raises ArgumentWrong."""

    def number(text: str | int) -> int:
        told = str(text)
        if not _WHOLE.fullmatch(told) or not least <= int(told) <= most:
            raise ArgumentWrong(
                f"{cut(told)} is no whole number from {least} to {most}", hint="write it with the digits 0 to 9 alone"
            )
        return int(told)

    return number


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
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
