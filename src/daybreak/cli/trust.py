"""`daybreak trust`: says yes to a daybreak.toml that names keys, variables, the network or folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json
from daybreak.errors import UsageError

EXAMPLES = "Examples:  daybreak trust    daybreak trust ../daybreak.toml"


class NothingToTrust(UsageError):
    """There is no daybreak.toml here."""

    code = "U127"


def trust(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The file.", show_default="the one that applies here", parser=arguments.path, metavar="FILE"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say yes to a daybreak.toml as it is now: keys, variables, network and folders that it names may be used.

    It is asked for again when the file changes."""
    from daybreak import home, settings
    from daybreak.factory import trust as trusting

    where = home.places()
    path = file or settings.find(os.environ, Path.cwd(), where.settings)
    if path is None:
        raise NothingToTrust("no daybreak.toml applies here", hint="`daybreak init` writes one")
    path = path.absolute()
    told = trusting.risks(settings.read(path))
    trusting.trust(path, where)
    if as_json:
        faces.result_json({"file": path, "trusted": told})
        return
    for line in told or ["it names nothing that could do harm"]:
        faces.result(line)
    faces.say(f"{path} is trusted as it is now")
