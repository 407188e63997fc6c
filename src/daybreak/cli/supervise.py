"""Drive one run to its end in this process and show it: live on a terminal, plain lines otherwise."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import anyio

from daybreak.cli import faces
from daybreak.cli.screen.beside import Beside

if TYPE_CHECKING:
    from daybreak.engine import RunResult
    from daybreak.home import Home


def until_over(home: Home, run: str, *, as_json: bool, plain: bool = False) -> int:
    """Supervise `run` until it is over or parked; print its report; the exit status.

    `plain`: nothing is drawn in place."""
    from daybreak.report import render
    from daybreak.report.run import collect

    with Beside(home, run, silent=as_json, plain=plain):
        outcome = anyio.run(_supervise, home, run)
    if outcome is None:
        faces.say(f"interrupted; nothing is lost: `daybreak resume {run}` goes on where it stopped")
        return faces.EXIT_INTERRUPTED
    report = collect(home.records(run))
    if as_json:
        faces.result_json({**report.model_dump(mode="json"), "next_steps": report.next_steps})
    else:
        faces.result(f"{report.title}: {render.headline(report)}")
        for step in report.next_steps:
            faces.say(f"next: {step}")
        faces.say(f"what was checked, line by line: daybreak report {run}")
    return _status(outcome.state)


async def _supervise(home: Home, run: str) -> RunResult | None:
    """The run's result; None where Ctrl-C or SIGTERM stopped it, which cancels everything of it at once."""
    outcome: RunResult | None = None
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_on_signal, group.cancel_scope)
        try:
            outcome = await home.engine.finish(run)
        except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
            failure = error
        group.cancel_scope.cancel("the run is over")
    if failure is not None:
        raise failure
    return outcome


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            scope.cancel(f"stopped by {number.name}")
            return


def _status(state: str) -> int:
    known = {"done": faces.EXIT_VERIFIED, "parked": faces.EXIT_PARKED, "paused": faces.EXIT_INTERRUPTED}
    return known.get(state, faces.EXIT_FAILED)
