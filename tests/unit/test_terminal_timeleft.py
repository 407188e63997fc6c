"""Time left: from history, as a range that holds as often as it says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.engine.experience import Basis, Piece, Story, Told
from daybreak.report import timeleft
from daybreak.report.timeleft import Left, Steady, bounds, of_run, rests, span, widened

Make = Callable[[Random], float]

SHAPES: dict[str, Make] = {
    "lognormal": lambda chance: chance.lognormvariate(6, 0.7),
    "gamma": lambda chance: 60 * chance.gammavariate(3, 1),
    "narrow": lambda chance: 600 * chance.uniform(0.8, 1.2),
    "two kinds": lambda chance: chance.lognormvariate(4 if chance.random() < 0.5 else 6, 0.3),
}


def told(*seconds: float, steps: int = 1) -> Basis:
    """A history of runs, each of so many equal steps."""
    pieces = [tuple(Piece(int(one * 1e6 / steps), steps=1) for _ in range(steps)) for one in seconds]
    return Basis("kind", "build", Told(tuple(Story(one) for one in pieces)), len(seconds))


def share_held(make: Make, runs: int, elapsed: float, trials: int = 600) -> float:
    """How often the stated range held the time left, over histories of so many runs; looked at when `elapsed` times the
    usual duration has passed, in those that are still under way then and of which something is known."""
    chance = Random(f"{runs}/{elapsed}")
    usual = sorted(make(chance) for _ in range(400))[200]
    held = seen = 0
    while seen < trials:
        history, now = [make(chance) for _ in range(runs)], make(chance)
        spent_s = elapsed * usual
        if now <= spent_s:
            continue
        left = of_run(rests(told(*history), 0), spent_s)
        if left.known:
            seen += 1
            held += left.low_s <= now - spent_s <= left.high_s
    return held / seen


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("runs", [2, 4, 9, 30])
def test_the_stated_range_holds_for_about_80_of_100_runs(shape: str, runs: int) -> None:
    """At the begin of a run, whatever durations look like, and from two earlier runs on."""
    # shows: F14
    assert 0.70 <= share_held(SHAPES[shape], runs, 0.0) <= 0.90


@pytest.mark.parametrize("shape", ["lognormal", "gamma"])
@pytest.mark.parametrize("runs", [9, 30])
def test_it_holds_as_often_in_the_middle_of_a_run(shape: str, runs: int) -> None:
    """What is over by now does not count any more, so time that passes does not make the range lie."""
    # shows: F14
    assert 0.70 <= share_held(SHAPES[shape], runs, 0.5) <= 0.90


def test_one_earlier_run_gives_a_wide_range_and_none_gives_none() -> None:
    """No history is said, and never filled with a number."""
    assert of_run(rests(None, 0), 3) == timeleft.NO_HISTORY
    assert timeleft.NO_HISTORY.words() == "no history yet: not known"
    left = of_run(rests(told(600), 0), 0)
    assert left.high_s > 3 * left.low_s
    assert left.words().endswith("from 1 earlier run")


def test_a_run_that_takes_longer_than_all_before_is_not_guessed() -> None:
    """The number is withdrawn, not stretched."""
    left = of_run(rests(told(10, 12, 11), 0), 13)
    assert (left.known, left.words()) == (False, "longer than all 3 earlier runs: not known")
    assert of_run(rests(told(10), 0), 11).words() == "longer than the one earlier run: not known"


def test_kept_steps_shorten_it() -> None:
    """What is left behind them is what earlier runs had left there."""
    basis = told(*(100.0,) * 9, steps=4)
    assert [round(of_run(rests(basis, steps), 0).middle_s) for steps in range(4)] == [100, 75, 50, 25]
    assert of_run(rests(basis, 17), 0).middle_s == 25, "further than any: taken to be at its last piece"


def test_with_enough_runs_it_is_what_a_rehearsal_says() -> None:
    """The same stories, and the same tenth and ninetieth percentile."""
    chance = Random(1)
    values = [chance.lognormvariate(5, 0.5) for _ in range(150)]
    low, middle, high = bounds(values)
    ordered = sorted(values)
    assert low == pytest.approx(ordered[14], rel=0.05)
    assert middle == pytest.approx(ordered[75], rel=0.05)
    assert high == pytest.approx(ordered[135], rel=0.05)


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=40))
def test_bounds_are_in_order_and_finite(values: list[float]) -> None:
    """Whatever stands in the history."""
    low, middle, high = bounds(values)
    assert 0 < low <= middle <= high * (1 + 1e-9)
    assert math.isfinite(high)


def test_few_runs_widen_what_was_rehearsed() -> None:
    """A queue that rests on three runs is not stated as one that rests on thirty."""
    few, many = widened(50, 100, 200, 3), widened(50, 100, 200, 30)
    assert many == (50, 100, 200)
    assert few[0] < 50 < 200 < few[2]
    assert widened(50, 100, 200, 1)[2] > few[2]


def test_time_left_never_leaps_back() -> None:
    """It shrinks at once; it grows by half at most from look to look, until it says what is known."""
    steady = Steady()
    shown = [steady.show(Left(60, 90, 120, 9)), steady.show(Left(1000, 2000, 4000, 9))]
    assert shown[1].high_s == 180
    for _ in range(12):
        shown.append(steady.show(Left(1000, 2000, 4000, 9)))
    assert shown[-1].high_s == 4000
    assert all(new.high_s <= old.high_s * 1.5 + 5 for old, new in itertools.pairwise(shown))
    assert steady.show(Left(1, 2, 3, 9)).high_s == 3
    assert not steady.show(Left(unknown="longer than all 9 earlier runs")).known


@pytest.mark.parametrize(
    ("low_s", "high_s", "words"),
    [
        (720, 1500, "12–25 min"),
        (3, 18, "3–18 s"),
        (61, 85, "60–85 s"),
        (90, 100, "1.5–2 min"),
        (3700, 9000, "1–2.5 h"),
        (1e5, 3e5, "1–3.5 days"),
        (600, 600, "10 min"),
        (0.01, 0.04, "0–0.1 s"),
    ],
)
def test_words_are_rounded_outwards(low_s: float, high_s: float, words: str) -> None:
    """Rounding never makes the range narrower than it is."""
    assert span(low_s, high_s) == words
