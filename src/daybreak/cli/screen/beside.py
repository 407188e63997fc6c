"""Shows the work of this process while it goes on, from a thread of its own: nothing that happens to the terminal ends
it, delays it or makes it wait."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from daybreak.cli.screen import look as looks
from daybreak.cli.screen.outlet import Below, Lines, Place, Stream
from daybreak.cli.screen.page import page
from daybreak.cli.screen.watcher import OF_STEPS, News, Watcher

if TYPE_CHECKING:
    from daybreak.engine import Told
    from daybreak.home import Home
    from daybreak.ledger import Record

TICK_S = 1.0
"""How often time that passes is shown."""
GAP_S, GAP_MAX_S = 0.2, 0.4
"""Between two pictures: the least, and the most where much happens."""
LOOK_S = 0.5
"""The least between two looks at the views."""
LATER_S = 5.0
"""The same where nothing was told of meanwhile."""
DRAW_SHARE, LOOK_SHARE = 30, 50
"""Drawing, and looking at the views, take about one of so many parts of one processor, which the work needs."""
STEPS_MAX = 2_000
"""Events of steps that wait to be shown; those beyond are read again later, so that no memory is needed for them."""
WAITING_MAX = 10_000
"""Other events that wait for a terminal that takes none (Ctrl-S); those beyond are left out, and counted."""
LEAVE_S = 5.0
"""How long the end waits for a terminal."""
_WORDS = {"passed": "done", "unusable": "failed"}
_END, _NUDGE = object(), object()
_log = logging.getLogger(__name__)


class Beside:
    """Within the block: a line for each thing that happens, and on a terminal a picture below them. `run`: of that run
    alone. `silent`: nothing is shown, and `steps` is kept all the same."""

    def __init__(self, home: Home, run: str = "", *, silent: bool = False, plain: bool = False) -> None:
        self._home = home
        self._silent = silent
        self.watcher = Watcher(home, beside=True)
        self._run = run
        self._stream = Stream(sys.stderr)
        self._look = looks.chosen(sys.stderr, os.environ, plain=plain or bool(os.environ.get("DAYBREAK_PLAIN")))
        self._place: Place = Below(self._stream, self._look) if self._look.live else Lines(self._stream)
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._came = self._seen = 0
        """Events that were put there, and that were taken out: each is counted by one thread alone."""
        self._left_out = self._told_of = 0
        """The same of those that were left out."""
        self._nudged = False
        self._over = False
        self._ending = threading.Event()
        self._changed = True
        self._thread = threading.Thread(target=self._work, name="screen", daemon=True)
        self._former: Any = None

    def __enter__(self) -> Beside:
        self._unsubscribe = self._home.ledger.subscribe(self._records)
        if self._run:
            self.watcher = Watcher(self._home, self._run, beside=True)
        self._home.listeners.append(self._step)
        if not self._silent:
            if self._look.live and threading.current_thread() is threading.main_thread():
                self._former = signal.signal(signal.SIGWINCH, lambda *_: self._nudge())
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._unsubscribe()
        if self._step in self._home.listeners:
            self._home.listeners.remove(self._step)
        self.close()

    def close(self) -> None:
        """Everything that was said is shown, unless the terminal does not take it; a second call does nothing."""
        if self._former is not None:
            signal.signal(signal.SIGWINCH, self._former)
            self._former = None
        if self._thread.is_alive():
            self._waiting.put(_END)
            self._ending.set()
            self._thread.join(LEAVE_S)
        self._over = True
        self.watcher.close()

    def say(self, text: str) -> None:
        """Beside the lines of what happened."""
        if not self._silent and not self._over:
            self._waiting.put([News(text, "dim")])

    def steps(self) -> dict[str, tuple[str, str]]:
        """Run → the step that began last, and when."""
        return self.watcher.steps()

    # -- what others call: quick, and never waiting for a terminal

    def _step(self, told: Told) -> None:
        self.watcher.step(told)
        if told.started and self._look.live and not self._silent:
            self._nudge()

    def _nudge(self) -> None:
        """Have it drawn again; one such word is enough, however long nobody takes it."""
        if not self._nudged:
            self._nudged = True
            self._waiting.put(_NUDGE)

    def _records(self, records: Sequence[Record]) -> None:
        self.watcher.forget(records)
        if self._silent or self._over:
            return
        waiting = self._came - self._seen
        if waiting > STEPS_MAX:
            records = [record for record in records if not isinstance(record.event, OF_STEPS)]
        if waiting > STEPS_MAX + WAITING_MAX:
            self._left_out += len(records)
        elif records:
            self._came += len(records)
            self._waiting.put(records)

    # -- the thread that draws

    def _work(self) -> None:
        self._safely(self._place.begin)
        clock = self.watcher.clock
        draw_s = look_s = clock.monotonic()
        while not self._take_in(draw_s):
            if not self._look.live:
                continue
            if clock.monotonic() >= look_s:
                spent_s = self._safely(self.watcher.look)
                look_s = clock.monotonic() + max(LOOK_S if self._changed else LATER_S, spent_s * LOOK_SHARE)
                self._changed = False
            spent_s = self._safely(self._draw)
            draw_s = clock.monotonic() + min(GAP_MAX_S, max(GAP_S, spent_s * DRAW_SHARE))
        self._safely(lambda: self._place.end(()))

    def _take_in(self, draw_s: float) -> bool:
        """Everything that waits; the next thing for at most a tick, where nothing does. True at the end.

        What comes before the next picture may be drawn waits for it: a thread that wakes for each event would take the
        interpreter from the work each time."""
        try:
            items = [self._waiting.get(timeout=TICK_S if self._look.live else None)]
        except queue.Empty:
            return False
        if self._look.live:
            self._ending.wait(max(0.0, draw_s - self.watcher.clock.monotonic()))
        with suppress(queue.Empty):
            while True:
                items.append(self._waiting.get_nowait())
        self._nudged = False
        self.watcher.hear()
        for item in items:
            if item is _END:
                return True
            if item is not _NUDGE:
                self._safely(partial(self._say, item))
        return False

    def _say(self, items: Sequence[News | Record]) -> None:
        if (left_out := self._left_out) > self._told_of:
            number, self._told_of = left_out - self._told_of, left_out
            self._place.say(f"{number} events were left out while the terminal took none", "dim")
        self._seen += len(items)
        for item in items:
            for news in [item] if isinstance(item, News) else self.watcher.take(item):
                self._place.say(news.text, _WORDS.get(news.word, news.word))
        self._changed = True

    def _draw(self) -> None:
        columns, lines = self._place.room()
        self._place.draw(page(self.watcher.scene(), columns, lines, self._look))

    def _safely(self, act: Callable[[], object]) -> float:
        """Seconds of the processor that it took. A picture that cannot be drawn is given up for plain lines, which is
        said and logged."""
        began_s = time.thread_time()
        try:
            act()
        except Exception as problem:  # noqa: BLE001 - the picture serves the work; it never ends it
            self._give_up(problem)
        return time.thread_time() - began_s

    def _give_up(self, problem: Exception) -> None:
        if self._over:  # the home was closed while the terminal still did not take the last line
            return
        _log.error("the picture of what is under way cannot be drawn; plain lines instead", exc_info=problem)
        with suppress(Exception):
            self._place.end(())
        if self._look.live:
            self._look, self._place = looks.PLAIN, Lines(self._stream)
            self._place.say(f"the picture cannot be drawn ({type(problem).__name__}): plain lines from here on")
