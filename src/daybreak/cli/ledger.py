"""`daybreak ledger verify|show`: prove that the log is whole, and read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json
from daybreak.cli.commands import Command, group

if TYPE_CHECKING:
    from daybreak.ledger import Record, Verification

COMMANDS = {
    "verify": Command(
        "ledger", "verify", "Examples:  daybreak ledger verify    daybreak ledger verify --incremental --json"
    ),
    "show": Command("ledger", "show", "Examples:  daybreak ledger show    daybreak ledger show run-0k3"),
    "follow": Command("follow", "follow"),
    "prove": Command("prove", "prove"),
    "check": Command("check", "check"),
    "copy": Command("copying", "copy"),
    "replicas": Command("replicas", "app"),
    "keys": Command("keys", "app"),
    "witness": Command("witness", "app"),
    "subjects": Command("redact", "subjects", "Example:  daybreak ledger subjects --json"),
    "redact": Command("redact", "redact"),
    "archive": Command(
        "archive",
        "archive",
        "Examples:  daybreak ledger archive    daybreak ledger archive --before 2026-06-01 --to /mnt/archive",
    ),
    "archives": Command(
        "archive",
        "archives",
        "Examples:  daybreak ledger archives --check    daybreak ledger archives --in /mnt/archive",
    ),
    "prune": Command(
        "archive", "prune", "Examples:  daybreak ledger prune --dry-run    daybreak ledger prune --shrink"
    ),
    "refill": Command("archive", "refill", "Examples:  daybreak ledger refill 0-65536    daybreak ledger refill --all"),
}

app = typer.Typer(cls=group(COMMANDS), no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look at the log and prove that nobody changed it."""


def verify(
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what is new since the last check in which nothing was wrong.")
    ] = False,
    archives: Annotated[
        Path | None,
        typer.Option("--archives", help="Look for archives of pruned events here first.", metavar="DIR"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every event, hash, signature and view, and the newest state known outside. Exit 1 if anything is wrong.

    Where nothing is wrong, the head is kept beside the one known outside. With --incremental the check begins behind
    it: what is older is taken from that check, except that the head must still come out of the tree. Older rows whose
    bytes were changed while the tree stayed, the file's pages and the rows of views are left to the next whole check;
    let that be every 7 days at least.
    """
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.errors import UsageError
    from daybreak.factory.blobs import of_record
    from daybreak.ledger import homecheck

    where = home.places()
    postgres = home.postgres(where)
    given: dict[str, Any] = {
        "keys": where.keys,
        "witness": where.witness,
        "views": home.views(),
        "blobs": of_record,
        "progress": faces.counter("verified"),
        "archives": () if archives is None else (archives,),
    }
    name = str(where.ledger)
    if postgres is None:
        found = homecheck.verify_home(where.ledger, clock=SystemClock(), incremental=incremental, **given)
    elif incremental:
        raise UsageError(
            "a ledger on Postgres is always verified whole: all of its tables are fetched, since others write there",
            hint="leave out --incremental.",
        )
    else:
        from daybreak.ledger import exchange
        from daybreak.ledger.copying import shown, verifying

        name = f"{shown(postgres)} and its mirror {where.ledger}"
        found = verifying.verify(postgres, where.ledger, scratch=exchange.beside(where.ledger, "verifying"), **given)
    if as_json:
        faces.result_json(
            {
                "ledger": name,
                "ok": found.ok,
                "mode": found.mode,
                "events": found.events,
                "taken": found.taken,
                "verified_at": None if found.since is None else found.since.at,
                "whole_at": None if found.kept is None else found.kept.whole_at,
                "notes": found.notes,
                "seconds": round(found.seconds, 3),
                "problems": [{"place": problem.place, "message": problem.what} for problem in found.problems],
            }
        )
    else:
        for problem in found.problems:
            faces.result(f"{problem.place}: {problem.what}")
        verdict = "whole" if found.ok else f"NOT whole, {len(found.problems)} problems"
        rate = f"{found.events / found.seconds:,.0f} events/s" if found.seconds else "at once"
        faces.result(f"{name}: {found.events} events, {verdict} ({rate})")
        _tell_taken(found)
        for note in found.notes:
            faces.say(f"daybreak: {note}.")
    raise typer.Exit(faces.EXIT_VERIFIED if found.ok else faces.EXIT_FAILED)


def _tell_taken(found: Verification) -> None:
    """What an incremental check has not looked at."""
    since = found.since
    if since is None or not found.ok:
        return
    faces.result(
        f"{found.taken} older events are taken from the check of {faces.moment(since.at)}. Not looked at: their rows, "
        f"the file's pages, what the views hold. The last whole check was at {faces.moment(since.whole_at)}."
    )


def show(
    run: Annotated[
        str | None,
        typer.Argument(help="A run, the beginning of its name, or a stream.", show_default="everything"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the events of RUN, or of the whole ledger, one a line."""
    from daybreak import events, home

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
