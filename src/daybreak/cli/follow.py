"""`daybreak ledger follow`: the events of the log as they are appended, whoever appends them."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import ArgumentWrong

EXAMPLES = "Examples:  daybreak ledger follow    daybreak ledger follow --from 0 --json | jq .type"


def follow(
    begin: Annotated[
        int | None,
        typer.Option("--from", help="Index of the first event to print.", show_default="only what comes from now on"),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", help="End after so many events.", show_default="until Ctrl-C")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document a line.")] = False,
) -> None:
    """Print events as they are appended, by any process, until Ctrl-C. Reads only, and needs no key."""
    from daybreak import home
    from daybreak.cli.ledger import as_told, line
    from daybreak.ledger.following import follow as follow_ledger

    if begin is not None and begin < 0:
        raise ArgumentWrong(f"--from {begin}: events are counted from 0", hint="--from 0 begins with the first one")
    if count is not None and count < 1:
        raise ArgumentWrong(f"--count {count}: at least one event", hint="leave it out to follow until Ctrl-C")
    with follow_ledger(home.places().ledger, after=None if begin is None else begin - 1) as records:
        if records.interval_s < 1:
            faces.say(f"nobody can wake this reader here; it looks every {records.interval_s} s")
        try:
            for number, record in enumerate(records, 1):
                if as_json:
                    faces.result(json.dumps(as_told(record), ensure_ascii=True))
                else:
                    faces.result(line(record))
                if number == count:
                    return
        except KeyboardInterrupt:
            return
