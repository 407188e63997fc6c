"""Shows the work of this process while it goes on, from a thread of its own: nothing that happens to the terminal ends
it, delays it or makes it wait."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daybreak.cli.screen import look as looks
from daybreak.cli.screen.outlet import Below, Lines, Place, Stream
from daybreak.cli.screen.page import page
from daybreak.cli.screen.watcher import News, Watcher

if TYPE_CHECKING:
    from daybreak.engine import Told
    from daybreak.home import Home
    from daybreak.ledger import Record

TICK_S = 1.0
"""How often time that passes is shown."""
GAP_S = 0.1
"""The least between two pictures."""
LOOK_S = 0.5
"""The least between two looks at the views."""
LATER_S = 5.0
"""The same where nothing was told of meanwhile."""
WAITING_MAX = 10_000
"""Lines that wait for a terminal that takes none (Ctrl-S); those beyond are left out, and counted."""
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
        self.watcher = Watcher(home)
        self._run = run
        self._stream = Stream(sys.stderr)
        self._look = looks.chosen(sys.stderr, os.environ, plain=plain or bool(os.environ.get("DAYBREAK_PLAIN")))
        self._place: Place = Below(self._stream, self._look) if self._look.live else Lines(self._stream)
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._left_out = 0
        self._over = False
        self._changed = True
        self._thread = threading.Thread(target=self._work, name="screen", daemon=True)
        self._former: Any = None

    def __enter__(self) -> Beside:
        self._unsubscribe = self._home.ledger.subscribe(self._records)
        if self._run:
            self.watcher = Watcher(self._home, self._run)
        self._home.listeners.append(self._step)
        if not self._silent:
            if self._look.live and threading.current_thread() is threading.main_thread():
                self._former = signal.signal(signal.SIGWINCH, lambda *_: self._waiting.put(_NUDGE))
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
            self._thread.join(LEAVE_S)
        self._over = True

    def say(self, text: str) -> None:
        """Beside the lines of what happened."""
        self._put([News(text, "dim")])

    def steps(self) -> dict[str, tuple[str, str]]:
        """Run → the step that began last, and when."""
        return self.watcher.steps()

    # -- what others call: quick, and never waiting for a terminal

    def _step(self, told: Told) -> None:
        self.watcher.step(told)
        if told.started and self._look.live and not self._silent:
            self._waiting.put(_NUDGE)

    def _records(self, records: Iterable[Record]) -> None:
        if self._silent:
            self.watcher.forget(records)
        else:
            self._put(records)

    def _put(self, what: Any) -> None:
        if self._silent or self._over:
            return
        if self._waiting.qsize() > WAITING_MAX:
            self._left_out += 1
        else:
            self._waiting.put(what)

    # -- the thread that draws

    def _work(self) -> None:
        self._safely(self._place.begin)
        at_s = looked_s = -TICK_S
        clock = self.watcher.clock
        while True:
            ended = self._take_in()
            if ended:
                break
            now_s = clock.monotonic()
            if not self._look.live or now_s - at_s < GAP_S:
                continue
            if now_s - looked_s >= (LOOK_S if self._changed else LATER_S):
                self._changed = False
                looked_s = now_s
                self._safely(self._ask)
            at_s = now_s
            self._safely(self._draw)
        self._safely(lambda: self._place.end(()))

    def _take_in(self) -> bool:
        """Everything that waits; the next thing for at most a tick, where nothing does. True at the end."""
        if not self._look.live:
            return self._told(self._waiting.get())
        try:
            ended = self._told(self._waiting.get(timeout=TICK_S if not self._changed else GAP_S))
            while not ended:
                ended = self._told(self._waiting.get_nowait())
        except queue.Empty:
            return False
        return ended

    def _told(self, item: Any) -> bool:
        if item is _END:
            return True
        if item is not _NUDGE:
            self._safely(lambda: self._say(item))
        return False

    def _say(self, items: Sequence[News | Record]) -> None:
        if self._left_out:
            number, self._left_out = self._left_out, 0
            self._place.say(f"{number} lines were left out while the terminal took none", "dim")
        for item in items:
            for news in [item] if isinstance(item, News) else self.watcher.take(item):
                self._place.say(news.text, _WORDS.get(news.word, news.word))
        self._changed = True

    def _ask(self) -> None:
        self.watcher.look()

    def _draw(self) -> None:
        columns, lines = self._place.room()
        self._place.draw(page(self.watcher.scene(), columns, lines, self._look))

    def _safely(self, act: Any) -> None:
        """A picture that cannot be drawn is given up for plain lines, which is said and logged."""
        try:
            act()
        except Exception as problem:  # noqa: BLE001 - the picture serves the work; it never ends it
            if self._over:  # the home was closed while the terminal still did not take the last line
                return
            _log.exception("the picture of what is under way cannot be drawn; plain lines instead")
            with suppress(Exception):
                self._place.end(())
            if self._look.live:
                self._look, self._place = looks.PLAIN, Lines(self._stream)
                self._place.say(f"the picture cannot be drawn ({type(problem).__name__}): plain lines from here on")
