"""`daybreak ledger verify|show`: prove that the log is whole, and read it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json
from daybreak.cli.commands import Command, group

if TYPE_CHECKING:
    from daybreak.ledger import Record

COMMANDS = {
    "verify": Command("ledger", "verify", "Example:  daybreak ledger verify"),
    "show": Command("ledger", "show", "Examples:  daybreak ledger show    daybreak ledger show run-0k3"),
    "follow": Command("follow", "follow"),
    "prove": Command("prove", "prove"),
    "check": Command("check", "check"),
    "replicas": Command("replicas", "app"),
    "keys": Command("keys", "app"),
    "witness": Command("witness", "app"),
    "subjects": Command("redact", "subjects", "Example:  daybreak ledger subjects --json"),
    "redact": Command("redact", "redact"),
}

app = typer.Typer(cls=group(COMMANDS), no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look at the log and prove that nobody changed it."""


def verify(as_json: Json = False) -> None:
    """Check every event, hash, signature and view, and the newest state known outside. Exit 1 if anything is wrong."""
    from daybreak.cli import home
    from daybreak.factory.blobs import blobs_of
    from daybreak.ledger import verify as verify_ledger

    where = home.places()
    found = verify_ledger(
        where.ledger,
        keys=where.keys,
        witness=where.witness,
        views=home.views(),
        blobs=lambda record: blobs_of(record.event),
        progress=_progress(),
    )
    if as_json:
        faces.result_json(
            {
                "ledger": str(where.ledger),
                "ok": found.ok,
                "events": found.events,
                "seconds": round(found.seconds, 3),
                "problems": [{"place": problem.place, "message": problem.what} for problem in found.problems],
            }
        )
    else:
        for problem in found.problems:
            faces.result(f"{problem.place}: {problem.what}")
        verdict = "whole" if found.ok else f"NOT whole, {len(found.problems)} problems"
        rate = f"{found.events / found.seconds:,.0f} events/s" if found.seconds else "at once"
        faces.result(f"{where.ledger}: {found.events} events, {verdict} ({rate})")
    raise typer.Exit(faces.EXIT_VERIFIED if found.ok else faces.EXIT_FAILED)


def show(
    run: Annotated[
        str | None,
        typer.Argument(help="A run, the beginning of its name, or a stream.", show_default="everything"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the events of RUN, or of the whole ledger, one a line."""
    from daybreak import events
    from daybreak.cli import home

    with home.opened() as opened:
        if run is None:
            records = list(opened.ledger.read_all())
        elif run in opened.ledger.streams():
            records = list(opened.ledger.read(run))
        else:
            picked = home.pick_run(opened, run)
            records = [*opened.records(picked), *opened.ledger.read(events.control_stream(picked))]
    if as_json:
        faces.result_json([as_told(record) for record in records])
        return
    for record in records:
        faces.result(line(record))


def _progress() -> Any:
    """A counter on standard error for a terminal, nothing otherwise."""
    if not sys.stderr.isatty():
        return None
    return lambda done, total: print(f"\r{done:,} of {total:,} events", end="", file=sys.stderr)  # noqa: T201


def as_told(record: Record) -> dict[str, Any]:
    import msgspec

    return {
        "index": record.index,
        "stream": record.stream,
        "seq": record.seq,
        "id": record.id,
        "type": record.type,
        "ts": record.ts,
        "actor": record.actor,
        "epoch": record.epoch,
        "hash": record.hash.hex(),
        "payload": msgspec.json.decode(record.words),
        **_secret(record),
    }


def _secret(record: Record) -> dict[str, Any]:
    """Only of an event that is about somebody."""
    if record.secret is None:
        return {}
    return {"secret": {"subject": record.subject, "key": record.secret.key, "redacted": record.redacted}}


SHOWN_BYTES = 120


def line(record: Record) -> str:
    body = record.words.decode(errors="replace")
    if record.secret is not None:
        body = f"[{'redacted' if record.redacted else f'about {record.subject}'}] {body}"
    cut = body if len(body) <= SHOWN_BYTES else body[:SHOWN_BYTES] + "…"
    return f"{record.index:>6}  {record.ts}  {record.stream}#{record.seq}  {record.type}  {cut}"
