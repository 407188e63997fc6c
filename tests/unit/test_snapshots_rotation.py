"""Which snapshots stay: a pure function of times, rule and moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.host.snapshots import BadArgument, Rule, keep

NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)
moments = st.integers(-500 * 24, 48).map(lambda hours: NOW + timedelta(hours=hours))
times_of = st.lists(moments, max_size=60)
rules = st.builds(Rule, daily=st.integers(0, 10), weekly=st.integers(0, 5), monthly=st.integers(0, 5))


@given(times_of, rules)
def test_the_newest_always_stays(times: list[datetime], rule: Rule) -> None:
    """Even with a rule that keeps none; and what lies in the future stays too."""
    # shows: N15
    stay = keep(times, rule, NOW)
    if times:
        assert max(times) in {times[place] for place in stay}
    assert {place for place, time in enumerate(times) if time > NOW} <= stay


@given(times_of, rules)
def test_no_more_stay_than_the_rule_says(times: list[datetime], rule: Rule) -> None:
    """Plus the newest, plus what lies in the future."""
    stay = keep(times, rule, NOW)
    future = sum(time > NOW for time in times)
    assert len(stay) <= rule.daily + rule.weekly + rule.monthly + 1 + future


@given(times_of, rules)
def test_pruning_twice_is_pruning_once(times: list[datetime], rule: Rule) -> None:
    """What stayed stays."""
    stay = [times[place] for place in sorted(keep(times, rule, NOW))]
    assert keep(stay, rule, NOW) == frozenset(range(len(stay)))


@given(times_of, rules, st.randoms())
def test_the_order_of_the_list_does_not_matter(times: list[datetime], rule: Rule, random: Any) -> None:
    """The same moments stay."""
    shuffled = list(times)
    random.shuffle(shuffled)
    assert sorted(times[place] for place in keep(times, rule, NOW)) == sorted(
        shuffled[place] for place in keep(shuffled, rule, NOW)
    )


@given(times_of, rules, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_a_larger_rule_keeps_no_less(times: list[datetime], rule: Rule, daily: int, weekly: int, monthly: int) -> None:
    """Nobody loses a snapshot by asking for more."""
    larger = Rule(rule.daily + daily, rule.weekly + weekly, rule.monthly + monthly)
    assert keep(times, rule, NOW) <= keep(times, larger, NOW)


@given(times_of)
def test_seven_days_are_the_newest_of_the_seven_newest_days(times: list[datetime]) -> None:
    """Against a plain definition."""
    past = [time for time in times if time <= NOW]
    days = sorted({time.date() for time in past}, reverse=True)[:7]
    wanted = {max(time for time in past if time.date() == day) for day in days}
    wanted |= {time for time in times if time > NOW} | ({max(times)} if times else set())
    assert {times[place] for place in keep(times, Rule(), NOW)} == wanted


def test_a_night_a_day_leaves_seven_and_four_weeks() -> None:
    """A hundred nights of one snapshot and one pruning each."""
    kept: list[datetime] = []
    for night in range(100):
        now = NOW + timedelta(days=night)
        kept.append(now)
        stay = keep(kept, Rule(daily=7, weekly=4), now)
        kept = [time for place, time in enumerate(kept) if place in stay]
    daily = [now - timedelta(days=back) for back in range(6, -1, -1)]
    assert kept[-7:] == daily
    weeks = {tuple(time.isocalendar())[:2] for time in kept}
    assert len(weeks) == 4
    assert len(kept) <= 11


def test_a_machine_that_was_off_loses_nothing() -> None:
    """Days without a snapshot do not count."""
    times = [NOW - timedelta(days=100 + day) for day in range(7)]
    assert keep(times, Rule(), NOW) == frozenset(range(7))


def test_days_are_those_of_the_zone_of_now() -> None:
    """Two snapshots of one local day, either side of midnight in UTC; and a day of 23 hours."""
    berlin = ZoneInfo("Europe/Berlin")
    times = [datetime(2026, 3, 28, 23, 30, tzinfo=UTC), datetime(2026, 3, 29, 21, 30, tzinfo=UTC)]
    assert keep(times, Rule(daily=7), datetime(2026, 3, 30, tzinfo=UTC)) == {0, 1}
    assert keep(times, Rule(daily=7), datetime(2026, 3, 30, tzinfo=berlin)) == {1}
    assert keep(times, Rule(daily=7), datetime(2026, 3, 30, tzinfo=timezone(timedelta(hours=-3)))) == {0, 1}


def test_equal_times_are_told_apart() -> None:
    """One of them stays."""
    assert len(keep([NOW, NOW, NOW], Rule(daily=1), NOW)) == 1


@pytest.mark.parametrize("wrong", [-1, 1.5, "7", None, True, 10**9])
def test_a_rule_that_makes_no_sense_is_refused(wrong: Any) -> None:
    """Before it could remove anything."""
    with pytest.raises(BadArgument):
        Rule(daily=wrong)


@pytest.mark.parametrize("wrong", [datetime(2026, 1, 1), None, "yesterday", 5])  # noqa: DTZ001 - the point
def test_times_without_a_zone_are_refused(wrong: Any) -> None:
    """Nobody knows which day that was."""
    with pytest.raises(BadArgument):
        keep([wrong], Rule(), NOW)
    with pytest.raises(BadArgument):
        keep([], Rule(), wrong)
