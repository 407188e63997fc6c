"""`daybreak incidents list|close`: what happened that the threat model speaks of, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import ArgumentWrong, Json

if TYPE_CHECKING:
    from daybreak.policy.journal import Journal

app = typer.Typer(help="Look at incidents and close them.", no_args_is_help=True)


@contextmanager
def opened() -> Iterator[Journal]:
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.policy.journal import Journal

    with home.open_ledger() as ledger:
        yield Journal(ledger, SystemClock(), actor="person")


@app.command("list", epilog="Examples:  daybreak incidents list    daybreak incidents list --open --json")
def list_(
    only_open: Annotated[bool, typer.Option("--open", help="Only those that nobody has closed.")] = False,
    as_json: Json = False,
) -> None:
    """List incidents, the worst first. Level 1 is logged, 2 pauses its task, 3 stops the night."""
    with opened() as journal:
        rows = journal.incidents(only_open=only_open)
    if as_json:
        faces.result_json([row._asdict() for row in rows])
        return
    if not rows:
        faces.say("no incidents")
        return
    for row in rows:
        state = f"closed {faces.moment(row.closed)}: {row.why}" if row.closed else "open"
        where = f" {row.run} attempt {row.attempt}" if row.run else ""
        faces.result(
            f"{row.incident}  level {row.level}  {row.kind}{where}  {faces.moment(row.raised)}  {state}\n    {row.what}"
        )


@app.command("close", epilog="Example:  daybreak incidents close inc-0k3 --why 'a test of ours'")
def close(
    incident: Annotated[str, typer.Argument(help="Its name, as `list` shows it.")],
    why: Annotated[str, typer.Option("--why", help="What it was and what was done, for the log.")],
    as_json: Json = False,
) -> None:
    """Say that INCIDENT was dealt with, and how."""
    if not why.strip():
        raise ArgumentWrong("an incident is closed with a reason", hint="--why 'what it was and what was done'")
    if not incident.strip():
        raise ArgumentWrong("no incident was named", hint="`daybreak incidents list` shows their names")
    with opened() as journal:
        journal.close_incident(incident, why=why)
    if as_json:
        faces.result_json({"closed": incident})
    else:
        faces.result(f"closed {incident}")
