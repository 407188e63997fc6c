"""Time left of runs under way and of the night, asked for no more often than it is worth."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from daybreak.engine.experience import Experience
from daybreak.errors import DaybreakError
from daybreak.report import timeleft
from daybreak.report.timeleft import Left, Rest, Steady

if TYPE_CHECKING:
    from daybreak.clock import Clock
    from daybreak.engine.log import Log
    from daybreak.report.standing import Standing
    from daybreak.report.tree import Growth

SHARE = 50
"""Working out what is left takes at most one of so many parts of the time."""
READ_S = 60.0
"""How long what is known of a kind counts as new."""
PLAY_S = 20.0
PLAYED = 40
"""Rehearsed nights, for the time left of a whole queue."""

_log = logging.getLogger(__name__)


class Timing:
    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._known: dict[str, tuple[float, Experience]] = {}
        """Kind → until when it counts, and what is known."""
        self._rests: dict[str, tuple[tuple[int, int], list[Rest]]] = {}
        self._steady: dict[str, Steady] = {}
        self._shown: dict[str, tuple[float, Left]] = {}
        self._played: Left | None = None
        self._play_again_s = 0.0
        self._played_s = 0.0

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
        fresh = timeleft.of_run(self._rests_of(growth), spent_s)
        left = self._steady.setdefault(growth.run, Steady()).show(fresh)
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

    def _rests_of(self, growth: Growth) -> Sequence[Rest]:
        experience = self._experience(growth.kind)
        key = (id(experience), growth.steps)
        known = self._rests.get(growth.run)
        if known is None or known[0] != key:
            known = (key, timeleft.rests(experience.basis(growth.kind, growth.title), growth.steps))
            self._rests[growth.run] = known
        return known[1]

    def _experience(self, kind: str) -> Experience:
        began_s = self._clock.monotonic()
        known = self._known.get(kind)
        if known is None or known[0] < began_s:
            found = Experience(self._log, [kind])
            took_s = self._clock.monotonic() - began_s
            known = self._known[kind] = (began_s + max(READ_S, took_s * SHARE), found)
        return known[1]

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
        if self._played is None or at_s >= self._play_again_s:
            self._played, self._played_s = self._rehearsed(standing, now), self._clock.monotonic()
            self._play_again_s = self._played_s + max(PLAY_S, (self._played_s - at_s) * SHARE)
        played = _later(self._played, at_s - self._played_s)
        return _longest([*going, played]) if played.known else played

    def _rehearsed(self, standing: Standing, now: datetime) -> Left:
        from daybreak.engine.night import Plan
        from daybreak.engine.rehearsal import rehearse

        workers = sum(night.workers for night in standing.nights) or max(1, len(standing.work))
        try:
            found = rehearse(self._log, now, Plan(workers=min(1000, workers)), nights=PLAYED)
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
