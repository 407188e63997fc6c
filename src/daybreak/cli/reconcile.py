"""`daybreak reconcile`: do the views say what the events say? They are made again where they do not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json

if TYPE_CHECKING:
    from daybreak.events import ViewDrift
    from daybreak.ledger.reconciliation import Reconciliation

EXAMPLES = "Examples:  daybreak reconcile    daybreak reconcile --full    daybreak reconcile --no-repair --json"


def reconcile(
    full: Annotated[
        bool, typer.Option("--full", help="Begin with the first event, not where the last comparison ended.")
    ] = False,
    repair: Annotated[bool, typer.Option("--repair/--no-repair", help="Make views that differ again.")] = True,
    as_json: Json = False,
) -> None:
    """Compare every view with the events, and repair what differs. Exit 1 if anything differs still.

    What was found and done becomes part of the log: views, tables and numbers of rows, never what stands in them. Views
    that could not be repaired three times raise an incident. A night does this by itself.
    """
    from daybreak import home

    with home.open_ledger() as ledger:
        found = ledger.reconcile(full=full, repair=repair, progress=faces.counter("reconciled"))
    if as_json:
        faces.result_json(_as_json(found))
    else:
        for line in lines(found):
            faces.result(line)
    raise typer.Exit(faces.EXIT_VERIFIED if found.ok else faces.EXIT_FAILED)


def lines(found: Reconciliation) -> list[str]:
    """What was found, for people."""
    told = [_line(drift, found) for drift in found.drifts]
    told += [f"repair {number}: {why}" for number, why in enumerate(found.failures, 1)]
    if found.incident:
        told.append(f"incident {found.incident}: `daybreak incidents list --open`")
    if not found.drifts:
        verdict = "every view says what they say"
    elif found.ok:
        verdict = f"{', '.join(found.repaired)} made again, and every view says what they say"
    else:
        verdict = f"{len(found.left)} places still differ (severity {found.severity})"
    took = "" if found.seconds < 1 else f" in {found.seconds:.1f} s"
    return [*told, f"{found.size:,} events, {found.replayed:,} read{took} ({found.mode}): {verdict}"]


def _line(drift: ViewDrift, found: Reconciliation) -> str:
    what = {
        "definition": "is not defined as it should be",
        "missing": f"lacks {drift.rows:,} rows that events explain",
        "unexplained": f"holds {drift.rows:,} rows that no event explains",
        "unreadable": "holds what is no text",
    }[drift.kind]
    done = "repaired" if drift.view in found.repaired else "left as it is"
    return f"{drift.severity}: view {drift.view}, {drift.table} {what} ({done})"


def _as_json(found: Reconciliation) -> dict[str, Any]:
    import msgspec

    told = asdict(found)
    told["seconds"] = round(found.seconds, 3)
    told["drifts"] = msgspec.to_builtins(found.drifts)
    told["left"] = msgspec.to_builtins(found.left)
    return {"ok": found.ok, "severity": found.severity, **told}
