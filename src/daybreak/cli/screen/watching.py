"""`daybreak status --watch`: follows the ledger, whoever writes it, and shows each change: drawn in place on a
terminal, as one line elsewhere, as one JSON object a line with `--json`. Sleeps between changes."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from daybreak.cli.screen import look as looks
from daybreak.cli.screen.outlet import Stream, Whole
from daybreak.cli.screen.page import page
from daybreak.cli.screen.watcher import News, Watcher
from daybreak.clock import stamp
from daybreak.errors import DaybreakError
from daybreak.report import logbook
from daybreak.report.standing import as_json, as_text

if TYPE_CHECKING:
    from daybreak.home import Home
    from daybreak.report.standing import Standing

GAP_S = 0.25
"""The least between two looks at the views."""
TICK_S = 1.0
"""How often passing time is shown, and the log looked at, while something is under way."""
STILL_S = 5.0
"""The same while nothing is."""
LOCKS_S = 5.0
"""How often locks and what nights say of themselves are looked at, which no event tells of."""
LOG_BYTES = 64 * 1024
"""Of the log's end that is read at first."""
WAITING_MAX = 5_000
"""Events that wait for a terminal that takes none (Ctrl-S); the others are read once it does."""
_RESIZED, _ASIDE, _BACK, _ENDED = object(), object(), object(), object()


def watch(home: Home, *, plain: bool = False, as_json: bool = False) -> None:
    """Until Ctrl-C, SIGTERM, or the reader of what is shown has gone. Raises what following the ledger raises."""
    look = looks.chosen(sys.stdout, os.environ, plain=plain)
    with _Changes(home) as changes:
        if as_json:
            _Told(home, changes, _JsonLines()).work()
        elif not look.live:
            _Told(home, changes, _PlainLines()).work()
        else:
            _Drawn(home, changes, look).work()


class _Changes:
    """Events as they come, and signals, in one queue."""

    def __init__(self, home: Home) -> None:
        self._following = home.ledger.follow()
        self.queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="following", daemon=True)

    def __enter__(self) -> _Changes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._following.close()
        self._thread.join(5)

    def _follow(self) -> None:
        try:
            for record in self._following:
                self.queue.put(record)
                while self.queue.qsize() > WAITING_MAX and not self._closed.wait(0.1):
                    pass
        except DaybreakError as error:
            self.queue.put(error)

    def within(self, seconds: float) -> list[Any]:
        """What has come; waits for the first so long. Raises what following raised."""
        found: list[Any] = []
        try:
            found.append(self.queue.get(timeout=seconds))
            while True:
                found.append(self.queue.get_nowait())
        except queue.Empty:
            pass
        for one in found:
            if isinstance(one, DaybreakError):
                raise one
        return found


@contextmanager
def _signals(changes: _Changes) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the watching in good order; so the terminal is never left as it was drawn."""
    told = {
        signal.SIGINT: _ENDED, signal.SIGTERM: _ENDED, signal.SIGHUP: _ENDED,
        signal.SIGWINCH: _RESIZED, signal.SIGTSTP: _ASIDE, signal.SIGCONT: _BACK,
    }  # fmt: skip
    former = {
        number: signal.signal(number, lambda *_, what=what: changes.queue.put(what)) for number, what in told.items()
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class _Pace:
    """When to look again."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._looked_s = watcher.clock.monotonic()
        self.dirty = False

    @property
    def busy(self) -> bool:
        standing = self._watcher.standing
        return standing is None or bool(standing.work or standing.nights)

    def wait_s(self, others_s: float) -> float:
        if not self.dirty:
            return others_s
        return min(others_s, max(0.0, self._looked_s + GAP_S - self._watcher.clock.monotonic()))

    def look(self, *, locks_s: float) -> Standing | None:
        """The views, where something changed, or by time; None where there is no reason yet."""
        passed_s = self._watcher.clock.monotonic() - self._looked_s
        if passed_s >= (GAP_S if self.dirty else locks_s):
            self.dirty = False
            found = self._watcher.look()
            self._looked_s = self._watcher.clock.monotonic()
            return found
        return None


class _Drawn:
    def __init__(self, home: Home, changes: _Changes, look: looks.Look) -> None:
        self._changes = changes
        self._look = look
        self._stream = Stream(sys.stdout)
        self._place = Whole(self._stream, look)
        self._watcher = Watcher(home, tail=True)
        self._log = logbook.Follower(home.places.logs, last=LOG_BYTES)

    def work(self) -> None:
        self._watcher.look()
        pace = _Pace(self._watcher)
        with _signals(self._changes):
            self._place.begin()
            try:
                while not self._stream.gone:
                    self._logged()
                    self._draw()
                    if self._take_in(pace):
                        break
                    pace.look(locks_s=LOCKS_S if pace.busy else STILL_S * 4)
            finally:
                self._log.close()
                columns, lines = self._place.room()
                self._place.end(page(self._watcher.scene(), columns, max(1, lines - 1), self._look))

    def _take_in(self, pace: _Pace) -> bool:
        for item in self._changes.within(pace.wait_s(TICK_S if pace.busy else STILL_S)):
            if item is _ENDED:
                return True
            if item is _ASIDE:  # Ctrl-Z: the shell gets its terminal as it was
                self._place.end(())
                os.kill(os.getpid(), signal.SIGSTOP)
            elif item is _BACK:
                self._place.begin()
                self._place.forget()
            elif item is not _RESIZED:
                self._watcher.take(item)
                pace.dirty = True
        return False

    def _draw(self) -> None:
        columns, lines = self._place.room()
        self._place.draw(page(self._watcher.scene(), columns, lines, self._look))

    def _logged(self) -> None:
        try:
            news = list(self._log.news())
        except OSError as error:
            self._watcher.logged({"level": "warning", "event": f"the log cannot be read: {error}"})
            return
        for line in news[-100:]:
            self._watcher.logged(line)


class _Told:
    """One line for each change."""

    def __init__(self, home: Home, changes: _Changes, lines: _PlainLines | _JsonLines) -> None:
        self._changes = changes
        self._lines = lines
        self._watcher = Watcher(home)
        self._stream = Stream(sys.stdout)

    def work(self) -> None:
        self._put(self._lines.first(self._watcher, self._watcher.look()))
        pace, news = _Pace(self._watcher), list[News]()
        with _signals(self._changes):
            while not self._stream.gone:
                for item in self._changes.within(pace.wait_s(LOCKS_S if pace.busy else STILL_S * 4)):
                    if item is _ENDED:
                        return
                    if item is _ASIDE:
                        os.kill(os.getpid(), signal.SIGSTOP)
                    elif item not in (_RESIZED, _BACK):
                        news += self._watcher.take(item)
                        pace.dirty = True
                found = pace.look(locks_s=LOCKS_S if pace.busy else STILL_S * 4)
                if found is not None:
                    self._put(self._lines.then(self._watcher, found, news))
                    news = []

    def _put(self, lines: list[str]) -> None:
        for text in lines:
            self._stream.put(text + "\n")


class _PlainLines:
    """Words instead of symbols; for screen readers, and for files."""

    def __init__(self) -> None:
        self._steps: dict[str, str] = {}

    def first(self, watcher: Watcher, standing: Standing) -> list[str]:
        found = as_text(standing).rstrip("\n").split("\n")
        return found + self._changed(watcher, standing)

    def then(self, watcher: Watcher, standing: Standing, news: list[News]) -> list[str]:
        return [one.text for one in news] + self._changed(watcher, standing)

    def _changed(self, watcher: Watcher, standing: Standing) -> list[str]:
        """Runs that begin, with the time that they may take, and their steps."""
        from daybreak.report.happened import Happened, line

        found = []
        for work in standing.work:
            if work.run not in self._steps:
                left = watcher.left_of(work.run)
                told = "" if left is None else f"; time left {left.words(to=' to ')}"
                found.append(line(Happened(work.since, work.state, f"{work.run}  {work.title}{told}")))
            if work.step and self._steps.get(work.run) != work.step:
                found.append(line(Happened(work.step_since or standing.now, "step", f"{work.run}  {work.step}")))
        self._steps = {work.run: work.step for work in standing.work}
        return found


class _JsonLines:
    """The standing as `status --json` has it, with the time left and what led to it."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def first(self, watcher: Watcher, standing: Standing) -> list[str]:
        return self.then(watcher, standing, [])

    def then(self, watcher: Watcher, standing: Standing, news: list[News]) -> list[str]:
        told = as_json(standing)
        same = {name: value for name, value in told.items() if name not in ("now", "nights")}
        same["nights"] = [{**night, "beat": ""} for night in told["nights"]]
        if same == self._last and not news:
            return []
        self._last = same
        scene = watcher.scene()
        told["time_left"] = None if scene.left is None else scene.left.as_json()
        told["runs_left"] = scene.details
        told["changes"] = [
            {
                "at": one.told.ts if one.told else stamp(scene.now),
                "what": one.word,
                "text": one.told.text if one.told else one.text,
            }
            for one in news
        ]
        return [json.dumps(told, ensure_ascii=True)]
