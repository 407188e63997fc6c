"""Time left of runs under way and of the night, asked for no more often than it is worth."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from daybreak.engine.experience import Experience
from daybreak.errors import DaybreakError
from daybreak.report import timeleft
from daybreak.report.timeleft import Left, Rest, Steady

if TYPE_CHECKING:
    from daybreak.clock import Clock
    from daybreak.ledger import Record
    from daybreak.ledger.ledger import Ledger
    from daybreak.report.standing import Standing
    from daybreak.report.tree import Growth

SHARE = 50
"""Working out what is left takes at most one of so many parts of the time."""
READ_S = 60.0
"""How long what is known of a kind counts as new."""
PLAY_S = 20.0
PLAYED = 40
"""Rehearsed nights, for the time left of a whole queue."""
PORTION_S, REST = 0.002, 50
"""Beside work, so much is read at once, and then rested so many times as long."""
READING = Left(unknown="earlier runs are being read")

_log = logging.getLogger(__name__)


class _Stopped(Exception):
    """Nobody wants to know any more."""


class _Gentle:
    """A ledger that is read in small portions with rests between them: whoever works beside it hardly notices."""

    def __init__(self, log: Ledger, stop: threading.Event) -> None:
        self._log = log
        self._stop = stop
        self._since_s = time.thread_time()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def read(self, stream: str, *, after: int = -1) -> Iterator[Record]:
        for record in self._log.read(stream, after=after):
            yield record
            spent_s = time.thread_time() - self._since_s
            if spent_s > PORTION_S:
                if self._stop.wait(spent_s * REST):
                    raise _Stopped
                self._since_s = time.thread_time()


class _Background:
    """One thing at a time is worked out beside the picture, which never waits for it."""

    def __init__(self, log: Ledger) -> None:
        self._log = log
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, work: Callable[[Any], None]) -> bool:
        """False where something else is under way: ask again later."""
        if self._stop.is_set() or (self._thread is not None and self._thread.is_alive()):
            return False
        self._thread = threading.Thread(target=self._do, args=(work,), name="time left", daemon=True)
        self._thread.start()
        return True

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1)

    def _do(self, work: Callable[[Any], None]) -> None:
        try:
            work(_Gentle(self._log, self._stop))
        except _Stopped:
            pass
        except Exception:  # noqa: BLE001 - the picture says that it is not known; the work goes on
            if not self._stop.is_set():
                _log.warning("the time left cannot be worked out", exc_info=True)


class Timing:
    """`beside`: work goes on in this process, and what was is read in the background and slowly."""

    def __init__(self, log: Ledger, clock: Clock, *, beside: bool = False) -> None:
        self._log = log
        self._clock = clock
        self._background = _Background(log) if beside else None
        self._known: dict[str, tuple[float, Experience]] = {}
        """Kind → until when it counts, and what is known."""
        self._rests: dict[str, tuple[tuple[int, int], list[Rest]]] = {}
        self._steady: dict[str, Steady] = {}
        self._shown: dict[str, tuple[float, Left]] = {}
        self._played: tuple[float, Left] | None = None
        """When, and what was found."""
        self._play_again_s = 0.0

    def close(self) -> None:
        """Nothing more is worked out in the background."""
        if self._background is not None:
            self._background.close()

    def ended(self, run: str) -> None:
        for kept in (self._rests, self._steady, self._shown):
            kept.pop(run, None)

    def of_run(self, growth: Growth, now: datetime) -> Left:
        """At most once a second anew."""
        at_s = self._clock.monotonic()
        last = self._shown.get(growth.run)
        if last is not None and at_s - last[0] < 1:
            return last[1]
        since = datetime.fromisoformat(growth.border) if growth.border else now
        spent_s = max(0.0, (now - since).total_seconds())
        known = self._rests_of(growth)
        if known is None:
            return READING
        left = self._steady.setdefault(growth.run, Steady()).show(timeleft.of_run(known, spent_s))
        self._shown[growth.run] = (at_s, left)
        return left

    def fraction(self, growth: Growth, left: Left | None, now: datetime) -> float | None:
        """By the plan's weights where there is a plan, else by the time that earlier runs took; None: not known."""
        if growth.progress.weights:
            return growth.progress.fraction
        if left is None or not left.known or not growth.began:
            return None
        gone_s = max(0.0, (now - datetime.fromisoformat(growth.began)).total_seconds())
        return min(0.99, gone_s / (gone_s + left.middle_s)) if gone_s + left.middle_s else None

    def _rests_of(self, growth: Growth) -> Sequence[Rest] | None:
        """None: not read yet."""
        experience = self._experience(growth.kind)
        if experience is None:
            return None
        key = (id(experience), growth.steps)
        known = self._rests.get(growth.run)
        if known is None or known[0] != key:
            known = (key, timeleft.rests(experience.basis(growth.kind, growth.title), growth.steps))
            self._rests[growth.run] = known
        return known[1]

    def _experience(self, kind: str) -> Experience | None:
        known = self._known.get(kind)
        if known is None or known[0] < self._clock.monotonic():
            self._do(lambda log: self._read(kind, log))
            known = self._known.get(kind)
        return None if known is None else known[1]

    def _do(self, work: Callable[[Any], None]) -> None:
        """Beside work: later, and what is known already is shown meanwhile."""
        if self._background is None:
            work(self._log)
        else:
            self._background.begin(work)

    def _read(self, kind: str, log: Any) -> None:
        began_s, spent_s = self._clock.monotonic(), time.thread_time()
        found = Experience(log, [kind])
        spent_s = time.thread_time() - spent_s
        self._known[kind] = (began_s + max(READ_S, spent_s * SHARE), found)

    # -- all that is to be done

    def of_all(self, standing: Standing, growths: Mapping[str, Growth], now: datetime) -> Left | None:
        """Until nothing is left to do; None where nothing is under way. Where runs wait for workers, as `daybreak
        rehearse` has it; in any case not less than the runs under way need."""
        if not standing.work:
            self._played = None
            return None
        going = [self.of_run(growth, now) for growth in growths.values() if growth.began]
        unknown = next((left for left in going if not left.known), None)
        if unknown is not None:
            return unknown
        queued = standing.counts.get("queued", 0) + standing.counts.get("waiting", 0)
        found = _longest(going)
        if not queued:
            self._played = None
            return found
        at_s = self._clock.monotonic()
        if at_s >= self._play_again_s:
            self._do(lambda log: self._play(log, standing, now))
        if self._played is None:
            return READING
        played = _later(self._played[1], at_s - self._played[0])
        return _longest([*going, played]) if played.known else played

    def _play(self, log: Any, standing: Standing, now: datetime) -> None:
        at_s, spent_s = self._clock.monotonic(), time.thread_time()
        self._played = at_s, self._rehearsed(log, standing, now)
        spent_s = time.thread_time() - spent_s
        self._play_again_s = self._clock.monotonic() + max(PLAY_S, spent_s * SHARE)

    def _rehearsed(self, log: Any, standing: Standing, now: datetime) -> Left:
        from daybreak.engine.night import Plan
        from daybreak.engine.rehearsal import rehearse

        workers = sum(night.workers for night in standing.nights) or max(1, len(standing.work))
        try:
            found = rehearse(log, now, Plan(workers=min(1000, workers)), nights=PLAYED)
        except DaybreakError as unknown:
            _log.debug("time left of the queue: %s", unknown.message)
            return Left(unknown=timeleft.NO_HISTORY.unknown if unknown.code == "U192" else "it cannot be rehearsed")
        except RecursionError:  # whatever the history holds
            _log.warning("the queue cannot be rehearsed", exc_info=True)
            return Left(unknown="it cannot be rehearsed")
        seen = min((one.basis.observations for one in found.drawn), default=0)
        if not seen:
            return timeleft.NO_HISTORY
        finish = found.finish
        return Left(*timeleft.widened(finish.p10, finish.p50, finish.p90, seen), seen)


def _longest(lefts: Sequence[Left]) -> Left | None:
    """Of things that go on side by side: until the last of them is over."""
    if not lefts:
        return None
    return Left(
        max(left.low_s for left in lefts),
        max(left.middle_s for left in lefts),
        max(left.high_s for left in lefts),
        min(left.runs for left in lefts),
    )


def _later(left: Left, passed_s: float) -> Left:
    """The same, some time later."""
    if not left.known:
        return left
    return Left(
        max(0.0, left.low_s - passed_s),
        max(0.0, left.middle_s - passed_s),
        max(timeleft.LEAST_S, left.high_s - passed_s),
        left.runs,
    )
