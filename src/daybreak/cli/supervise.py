"""Drive one run to its end in this process and show it: live on a terminal, plain lines otherwise."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

import anyio
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from daybreak import events
from daybreak.cli import faces
from daybreak.clock import SystemClock
from daybreak.engine import RunResult, Told
from daybreak.report.progress import Progress
from daybreak.report.shown import shown

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from daybreak.home import Home
    from daybreak.ledger import Record


def until_over(home: Home, run: str, *, as_json: bool) -> int:
    """Supervise `run` until it is over or parked; print its report; the exit status."""
    from daybreak.report import render
    from daybreak.report.run import collect

    progress = Progress(SystemClock())
    for record in home.records(run):  # what happened before, where this goes on
        progress.take(record.event)
    show = _Screen(progress, live=sys.stderr.isatty() and not as_json, silent=as_json)
    unsubscribe = home.ledger.subscribe(lambda records: show.records(run, records))
    home.listeners.append(show.step)
    try:
        with show:
            outcome = anyio.run(_supervise, home, run)
    finally:
        unsubscribe()
        home.listeners.remove(show.step)
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


class _Screen:
    """One line for each thing that happened; below them, on a terminal, what is under way.

    Records arrive on the ledger's writer thread and steps on the engine's; `rich.live` draws from its own, so
    everything goes through one lock."""

    def __init__(self, progress: Progress, *, live: bool, silent: bool) -> None:
        self.progress = progress
        self.console: Console = faces.console(stderr=True)
        self.silent = silent
        self.lock = threading.Lock()
        self.live: Live | None = None
        if live:
            self.live = Live(get_renderable=self._below, console=self.console, refresh_per_second=8, transient=True)

    def __enter__(self) -> None:
        if self.live is not None:
            self.live.start()

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def records(self, run: str, records: Iterable[Record]) -> None:
        """Take what the ledger has just made durable."""
        for record in records:
            if record.stream != events.run_stream(run):
                continue
            with self.lock:
                line = self.progress.take(record.event)
            if line is not None and not self.silent:
                self.console.print(Text(shown(line), style=_style(line)))

    def step(self, told: Told) -> None:
        """A step begins."""
        if told.started:
            with self.lock:
                self.progress.step_started(told.step)

    def _below(self) -> RenderableType:
        with self.lock:
            progress = self.progress
            left = f", about {progress.left_s:.0f} s left" if progress.left_s is not None else ""
            working = ", ".join(sorted(progress.under_way)) or progress.phase
            return Group(
                ProgressBar(total=1.0, completed=progress.fraction, width=40),
                Text(
                    f"{progress.fraction:4.0%}{left}  {progress.state}: {working}",
                    style="dim",
                    overflow="ellipsis",
                ),
            )


def _style(line: str) -> str:
    word = line.split(maxsplit=1)[0].strip(":")
    return {"passed": "green", "failed": "red", "unusable": "red", "parked": "yellow"}.get(word, "")


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
