"""`daybreak status`: is a night under way, what runs, what waits for a person; beside a night or without one."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json

EXAMPLES = "Examples:  daybreak status    daybreak status --watch    daybreak status --json"
WATCH_S = 2.0


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every 2 seconds, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show how everything stands now: what waits for you first, then the night, its runs, budgets and breakers."""
    from daybreak import home
    from daybreak.home import standing
    from daybreak.report.standing import as_json as plain
    from daybreak.report.standing import as_text

    with home.opened(looking=True) as opened:
        while True:
            now = standing.look(opened)
            if as_json:
                faces.result_json(plain(now))
            elif watch and faces.console().is_terminal:
                faces.console().clear()
                faces.result(as_text(now).rstrip("\n"))
            else:
                faces.result(as_text(now).rstrip("\n"))
            if not watch:
                return
            try:
                time.sleep(WATCH_S)
            except KeyboardInterrupt:
                return
