"""What a night shows while it works: one line for each thing that happened; below them, on a terminal, what runs."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from daybreak import events
from daybreak.cli import faces
from daybreak.clock import SystemClock, stamp
from daybreak.report.shown import shown

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from daybreak.engine import Told
    from daybreak.home import Home
    from daybreak.ledger import Record

SHOWN_MAX = 8
"""Runs under way that are named below."""
_TOLD = ("done", "failed", "parked", "paused", "waiting", "cancelled")
_STYLES = {"done": "green", "failed": "red", "parked": "yellow", "incident": "red", "breaker": "yellow"}


class Screen:
    """Records arrive on the ledger's writer thread, steps on those of the engine, and others draw:
    everything goes through one lock."""

    def __init__(self, home: Home, *, silent: bool, live: bool) -> None:
        self._home = home
        self._silent = silent
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._titles: dict[str, str] = {}
        self._steps: dict[str, tuple[str, str]] = {}
        self._counts: dict[str, int] = {}
        self._live: Live | None = None
        if live:
            from rich.live import Live as RichLive

            self._live = RichLive(
                get_renderable=self._below, console=faces.console(stderr=True), refresh_per_second=1, transient=True
            )

    def __enter__(self) -> None:
        self._unsubscribe = self._home.ledger.subscribe(self._records)
        self._home.listeners.append(self._step)
        if self._live is not None:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        self._unsubscribe()
        if self._step in self._home.listeners:
            self._home.listeners.remove(self._step)

    def say(self, text: str) -> None:
        """Beside the lines of what happened."""
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text(shown(text), style="dim"))
        elif not self._silent:
            faces.say(text)

    def steps(self) -> dict[str, tuple[str, str]]:
        """Run → the step that began last, and when."""
        with self._lock:
            return dict(self._steps)

    def _step(self, told: Told) -> None:
        if told.started:
            with self._lock:
                self._steps[told.run] = (told.step, stamp(self._clock.now()))

    def _records(self, records: Iterable[Record]) -> None:
        for record in records:
            line = self._line(record)
            if line is not None and not self._silent:
                self._print(record.ts, *line)

    def _print(self, ts: str, word: str, text: str) -> None:
        at = datetime.fromisoformat(ts).astimezone().strftime("%H:%M:%S")
        line = shown(f"{at}  {word:>14}  {text}".replace("\n", " "))
        if self._live is None:
            faces.say(line)
        else:
            from rich.text import Text

            self._live.console.print(Text(line, style=_STYLES.get(word, "")))

    def _line(self, record: Record) -> tuple[str, str] | None:
        match record.event:
            case events.TaskAdded() as added:
                with self._lock:
                    self._titles[added.run] = added.title
            case events.RunMoved() as moved:
                return self._moved(moved)
            case events.NightBegan() as began:
                return "began", f"night {began.night} with {began.workers} workers"
            case events.NightNoted() as noted:
                return noted.what, noted.text
            case events.NightEnded() as ended:
                return ended.why, f"night {ended.night}: {ended.text}"
            case events.WindowSkipped() as skipped:
                return "skipped", f"{skipped.schedule}, window {skipped.window}: {skipped.why}"
            case events.IncidentRaised() as raised:
                return "incident", f"level {raised.level} {raised.kind}: {raised.what}"
            case events.BreakerChanged(state="open") as changed:
                return "breaker", f"{changed.name} is open until {changed.until}: {changed.why}"
            case _:
                pass
        return None

    def _moved(self, moved: events.RunMoved) -> tuple[str, str] | None:
        if moved.new not in _TOLD:
            return None
        with self._lock:
            self._counts[moved.new] = self._counts.get(moved.new, 0) + 1
            self._steps.pop(moved.run, None)
        why = moved.question or moved.why
        until = f" until {moved.until}" if moved.until else ""
        return moved.new, f"{moved.run}  {self._title(moved.run)}{until}{f': {why}' if why else ''}"

    def _title(self, run: str) -> str:
        with self._lock:
            if run in self._titles:
                return self._titles[run]
        for (title,) in self._home.ledger.query("SELECT title FROM view_runs WHERE run = ?", (run,)):
            with self._lock:
                return self._titles.setdefault(run, str(title))
        return ""

    def _below(self) -> RenderableType:
        from rich.text import Text

        with self._lock:
            steps = sorted(self._steps.items())
            counts = ", ".join(f"{number} {state}" for state, number in self._counts.items())
            titles = dict(self._titles)
        lines = [f"{run}  {titles.get(run, '')}: {step}" for run, (step, _) in steps[:SHOWN_MAX]]
        if len(steps) > SHOWN_MAX:
            lines.append(f"and {len(steps) - SHOWN_MAX} more")
        lines.append(f"{len(steps)} under way; {counts or 'nothing has ended yet'}")
        return Text(shown("\n".join(lines)), style="dim", overflow="ellipsis", no_wrap=True)
