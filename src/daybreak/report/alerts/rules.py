"""Does a rule hold, or is it over? A look at one rule, and what it says in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from daybreak.clock import stamp
from daybreak.report.alerts.measures import MEASURES, MOMENTS, Measured, hours, reaches_back, whole_hour
from daybreak.report.metrics import gauges
from daybreak.report.metrics.asking import Asked
from daybreak.report.metrics.gauges import Gauges
from daybreak.settings import Alert, span_s

_MARGIN = 0.1
"""A rule without `clears_at` is over a tenth of its threshold before it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a rule sees now."""

    value: float | None
    """The metric, or its change in percent; None where too little is known."""
    threshold: float
    clears_at: float
    text: str
    """In a sentence: the value, over what, and the threshold; or why nothing is known."""
    upward: bool
    """It holds above the threshold; otherwise below."""
    begin: str = ""
    end: str = ""
    cases: int = 0
    before: float = 0.0

    @property
    def holds(self) -> bool:
        if self.value is None:
            return False
        return self.value > self.threshold if self.upward else self.value < self.threshold

    @property
    def is_over(self) -> bool:
        """Between `holds` and this nothing changes."""
        if self.value is None:
            return False
        return self.value <= self.clears_at if self.upward else self.value >= self.clears_at


class Lookout:
    """One moment of a ledger, for any number of rules."""

    def __init__(self, log: Asked, now: datetime) -> None:
        self._log = log
        self._now = now

    @cached_property
    def _gauges(self) -> Gauges:
        return gauges.now(self._log, self._now)

    def look(self, rule: Alert) -> Look:
        """What that rule sees. Reads only."""
        threshold, upward = _threshold(rule)
        clears_at = _clears_at(rule, threshold, upward=upward)
        if rule.metric in MOMENTS:
            value = MOMENTS[rule.metric](self._gauges)
            text = f"{rule.metric} is not known" if value is None else _sentence(rule, value, "now")
            return Look(value, threshold, clears_at, text, upward, end=stamp(self._now))
        end = whole_hour(self._now)
        begin = end - timedelta(seconds=span_s(rule.over))
        measure = MEASURES[rule.metric]
        now = measure.measured(hours(self._log, measure.of, begin, end))
        if rule.rises is not None or rule.falls is not None:
            value, before, text = self._trend(rule, now, begin)
        else:
            before, value = 0.0, now.value
            if not measure.adds_up and now.cases < rule.at_least:
                value = None
            text = _few(rule, now.cases) if value is None else _sentence(rule, value, f"over {rule.over}", now.cases)
        return Look(value, threshold, clears_at, text, upward, stamp(begin), stamp(end), now.cases, before)

    def _trend(self, rule: Alert, now: Measured, begin: datetime) -> tuple[float | None, float, str]:
        """The change in percent, what it is compared with, and a sentence."""
        against = timedelta(seconds=span_s(rule.against))
        measure = MEASURES[rule.metric]
        if not reaches_back(self._log, begin - against):
            return None, 0.0, f"{rule.metric}: there is nothing yet of the {rule.against} before to compare with"
        past = measure.measured(hours(self._log, measure.of, begin - against, begin))
        mean = past.value
        if mean is not None and measure.adds_up:
            mean *= span_s(rule.over) / span_s(rule.against)
        cases = past.cases if measure.adds_up else min(now.cases, past.cases)
        if not mean or now.value is None or cases < rule.at_least:
            return None, mean or 0.0, _few(rule, cases)
        change = (now.value / mean - 1) * 100
        how = f"{abs(change):.0f} % {'above' if change >= 0 else 'below'} the mean of {rule.against} before"
        limit = f"rises by {rule.rises:g} %" if rule.rises is not None else f"falls by {rule.falls:g} %"
        return change, mean, f"{rule.metric} is {_shown(now.value)} over {rule.over}, {how} ({_shown(mean)}); {limit}"


def _threshold(rule: Alert) -> tuple[float, bool]:
    """(threshold, is it held above it?)."""
    for told, sign, upward in ((rule.above, 1, True), (rule.below, 1, False), (rule.rises, 1, True)):
        if told is not None:
            return sign * float(told), upward
    assert rule.falls is not None, "settings have one of the four"
    return -float(rule.falls), False


def _clears_at(rule: Alert, threshold: float, *, upward: bool) -> float:
    if rule.clears_at is not None:
        return float(rule.clears_at)
    margin = abs(threshold) * _MARGIN
    if not upward and rule.metric in MEASURES and MEASURES[rule.metric].is_share and rule.below is not None:
        margin = min(margin, max(0.0, 1 - threshold) / 2)  # a share never gets beyond 1
    return threshold - margin if upward else threshold + margin


def _sentence(rule: Alert, value: float, when: str, cases: int | None = None) -> str:
    rests = "" if cases is None or MEASURES[rule.metric].adds_up else f" ({cases} cases)"
    limit = f"above {rule.above:g}" if rule.above is not None else f"below {rule.below:g}"
    return f"{rule.metric} is {_shown(value)} {when}{rests}; told when {limit}"


def _few(rule: Alert, cases: int) -> str:
    return f"{rule.metric}: {cases} cases are too few to say ({rule.at_least} are asked for)"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
