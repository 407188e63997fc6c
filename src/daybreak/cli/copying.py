"""`daybreak ledger copy FROM TO`: the whole ledger into a folder or a Postgres database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json

if TYPE_CHECKING:
    pass

EXAMPLES = (
    "Examples:  daybreak ledger copy ~/.local/state/daybreak/ledger postgresql://daybreak@db.example/daybreak\n\n"
    "daybreak ledger copy postgresql://daybreak@db.example/daybreak ~/back/ledger"
)


def copy(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FROM",
            show_default=False,
            help="A ledger's folder, the mirror that a home keeps of one, or a postgresql:// URL.",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO",
            show_default=False,
            help="A folder that is not there yet, or is empty; or the URL of a Postgres whose schema holds no ledger.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Copy the ledger of this home to another place: the same events, the same signed head. FROM stays as it is.

    Everything is verified, with the key and the witness of this home; TO is there whole, or not at all. Passwords
    belong into PGPASSWORD or a password file rather than into the URL.
    """
    from daybreak import home
    from daybreak.factory.blobs import of_record
    from daybreak.ledger import copying, exchange

    where = arguments.usable_home(home.places())
    made = copying.copy(
        _place(source),
        _place(target),
        keys=where.keys,
        witness=where.witness,
        scratch=exchange.beside(where.ledger, "copying"),
        refers=of_record,
        progress=faces.stages(),
    )
    if as_json:
        faces.result_json(
            {
                "from": made.source,
                "to": made.target,
                "events": made.size,
                "root": made.root,
                "blobs": made.blobs,
                "missing_blobs": made.missing,
            }
        )
        return
    faces.result(f"{made.target}: {made.size} events, root {made.root}, {made.blobs} files beside them")
    if made.missing:
        faces.result(f"{made.missing} files that events refer to are not in {made.source}: look in other homes")
    for line in _next_steps(made.source, made.target, where.ledger):
        faces.say(line)


def _next_steps(source: str, target: str, ledger: Path) -> list[str]:
    """How to go on with the copy, and with it alone."""
    said = [
        f"it is the same log, so append to one of the two only: nothing may be written to {source} any more",
        "key and witness stay where they are; they notice an append to the old one as a fork, or as a cut",
    ]
    if "://" in target:
        return [
            *said,
            f"to go on there: move {ledger} away, and say so in daybreak.toml ([ledger] postgres) or DAYBREAK_POSTGRES",
        ]
    return [
        *said,
        f"to go on there: name no Postgres any more, move {ledger} away, and put {target} in its place",
    ]


def _place(text: str) -> str | Path:
    """A URL as it is, a path as a path. Raises ArgumentWrong."""
    return text if "://" in text else arguments.path(text).expanduser().absolute()
