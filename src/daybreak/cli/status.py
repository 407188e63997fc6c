"""`daybreak status`: is a night under way, what runs, what waits for a person; beside a night or without one."""

from __future__ import annotations

from typing import Annotated

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json, Plain

EXAMPLES = (
    "Examples:  daybreak status    daybreak status --watch    daybreak status --watch --plain    daybreak status --json"
)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Show each change as it comes, until Ctrl-C.")] = False,
    plain: Plain = False,
    as_json: Json = False,
) -> None:
    """Show how everything stands now: what waits for you first, then the night, its runs, budgets and breakers.

    With --watch --json: one JSON object a line, one line for each change.
    """
    from daybreak import home

    with home.opened(looking=True) as opened:
        if watch:
            from daybreak.cli.screen.watching import watch as watching

            watching(opened, plain=plain, as_json=as_json)
            return
        from daybreak.home import standing
        from daybreak.report.standing import as_json as as_value
        from daybreak.report.standing import as_text

        now = standing.look(opened)
        if as_json:
            faces.result_json(as_value(now))
            return
        faces.result(as_text(now).rstrip("\n"))
        if now.work:
            from daybreak.cli.screen.watcher import Watcher

            faces.result("\n".join(Watcher(opened).words_left()))
