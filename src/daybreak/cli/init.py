"""`daybreak init`: a `daybreak.toml` made from what is found on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from daybreak.cli.surroundings import Surroundings

EXAMPLES = (
    "Examples:  daybreak init    daybreak init --print    daybreak init --model openai=NAME    "
    "daybreak init --server ollama=http://127.0.0.1:11434/v1"
)


class AlreadyConfigured(UsageError):
    """There is a daybreak.toml, and it is never overwritten."""

    code = "U125"


def init(
    server: Annotated[
        list[str] | None,
        typer.Option("--server", metavar="NAME=ADDRESS", help="A model server of your own; OpenAI's requests."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="PROVIDER=MODEL", help="The model that workers of a provider use."),
    ] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Write no file; print what it would hold.")] = False,
    as_json: Json = False,
) -> None:
    """Write daybreak.toml into this folder, from the agents and keys that are found here.

    Never overwrites one. Keys are named, not copied. Without agents and keys the embedded builder works alone.
    """
    import tomllib

    from daybreak import home, settings
    from daybreak.cli import surroundings
    from daybreak.factory import trust

    path = Path.cwd() / settings.FILE
    if not only_print:
        _refuse_existing(path)
    servers = [surroundings.server(told) for told in server or ()]
    found = surroundings.look(os.environ, servers, dict(surroundings.model(told) for told in model or ()))
    text = surroundings.written(found)
    settings.checked(tomllib.loads(text), path)  # what we write must be what we read
    if only_print and not as_json:
        faces.result(text.rstrip("\n"))
        return
    if not only_print:
        _put(path, text)
        trust.trust(path, home.places())
    if as_json:
        faces.result_json(_plain(found, None if only_print else path, text))
    else:
        _print(found, path)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise AlreadyConfigured(
            f"{path} is there already, and is never overwritten",
            hint="`daybreak init --print` shows what would be written; move the old one away to begin anew",
        )


def _put(path: Path, text: str) -> None:
    """Whole or not at all, and never over something that came meanwhile."""
    from daybreak.host import files

    with files.transaction(path.parent) as change:
        if change.exists(path.name):
            _refuse_existing(path)
        change.write(path.name, text)


# -- telling


def _plain(found: Surroundings, path: Path | None, text: str) -> dict[str, Any]:
    return {
        "file": path,
        "order": found.order,
        "providers": [
            {"name": one.name, "api": one.api, "address": one.address, "key": one.key, "problem": one.problem}
            for one in found.providers
        ],
        "workers": [
            {"name": one.name, "kind": one.kind, "version": one.version, "missing": one.missing}
            for one in found.workers
        ],
        "absent": found.absent,
        "text": text if path is None else None,
    }


def _print(found: Surroundings, path: Path) -> None:
    for one in found.providers:
        named = one.key.replace("env:", "key in ") if one.key else "no key"
        faces.say(f"provider {one.name}: {named}" + (f"; {one.problem}" if one.problem else ""))
    for worker in found.workers:
        version = f" {worker.version}" if worker.version else ""
        faces.say(f"worker {worker.name}{version}: {worker.missing or 'can be asked'}")
    if found.absent:
        faces.say(f"not installed: {', '.join(found.absent)}")
    faces.say(f"order: {', '.join(found.order)}")
    faces.result(f"wrote {path}")
    faces.say("  `daybreak agents list` shows who can be asked, `daybreak agents test NAME` tries one")
