"""Schedules: one run per window, whatever restarts, in any time zone, right when the clock changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.engine.window import Schedule, ScheduleWrong, Window, edited

FIRST_YEAR, LAST_YEAR = 2020, 2030
MINUTE = timedelta(minutes=1)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu")
CRONS = ("30 * * * *", "*/20 * * * *", "30 2 * * *", "0 0 * * mon", "15 1,3 1 * *", "0 12 29 2 *")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def keys(schedule: Schedule, after: str, count: int) -> list[str]:
    return [window.key for window in islice(schedule.windows(at(after)), count)]


def test_a_day_in_spring_has_one_window_right_after_the_gap() -> None:
    """02:30 does not exist on 29 March in Berlin: it runs at 03:00 by default, or not at all."""
    # shows: N6
    daily = Schedule.daily("02:30", "Europe/Berlin")
    assert keys(daily, "2026-03-28T00:00", 3) == [
        "2026-03-28T02:30+0100", "2026-03-29T03:00+0200", "2026-03-30T02:30+0200",
    ]  # fmt: skip
    assert keys(edited(daily, gap="skip"), "2026-03-28T00:00", 2) == ["2026-03-28T02:30+0100", "2026-03-30T02:30+0200"]


def test_a_night_in_autumn_has_one_window_and_an_hourly_task_two() -> None:
    """02:30 comes twice on 25 October in Berlin."""
    # shows: N6
    daily = Schedule.daily("02:30", "Europe/Berlin")
    assert keys(daily, "2026-10-24T12:00", 2) == ["2026-10-25T02:30+0200", "2026-10-26T02:30+0100"]
    second = edited(daily, repeated="second")
    assert keys(second, "2026-10-24T12:00", 2) == ["2026-10-25T02:30+0100", "2026-10-26T02:30+0100"]
    hourly = Schedule.hourly(30, "Europe/Berlin")
    assert keys(hourly, "2026-10-25T00:00", 2) == ["2026-10-25T02:30+0200", "2026-10-25T02:30+0100"]


def transitions(zone: ZoneInfo) -> list[datetime]:
    """The first minute after each change of the zone's offset in the ten years."""
    found, moment = [], datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
    step = timedelta(days=7)
    while moment.year < LAST_YEAR:
        low, high = moment, moment + step
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset():
            while high - low > MINUTE:
                middle = low + (high - low) // 2
                middle -= timedelta(seconds=middle.second, microseconds=middle.microsecond)
                if low.astimezone(zone).utcoffset() == middle.astimezone(zone).utcoffset():
                    low = middle
                else:
                    high = middle
            found.append(high)
        moment += step
    return found


def walls(zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Every minute as UTC and as the clock on the wall shows it."""
    moment = begin
    while moment < end:
        yield moment, moment.astimezone(zone).replace(tzinfo=None)
        moment += MINUTE


def expected_daily(shown: list[tuple[datetime, datetime]], hour: int, minute: int) -> list[datetime]:
    """By brute force: on each date the first moment with that time, or the first one after where it is skipped."""
    days: dict[date, datetime] = {}
    for (_, before), (moment, wall) in pairwise(shown):
        for day in {before.date(), wall.date()}:
            wanted = wall.replace(year=day.year, month=day.month, day=day.day, hour=hour, minute=minute)
            if wall == wanted or before < wanted < wall:
                days.setdefault(day, moment)
    return sorted(set(days.values()))


def differs(zone_name: str) -> list[str]:
    """Where windows near the zone's changes of the clock are not those of the brute force."""
    zone, wrong = ZoneInfo(zone_name), []
    for change in transitions(zone):
        begin, end = change - timedelta(hours=26), change + timedelta(hours=26)
        shown = list(walls(zone, begin - MINUTE, end))
        local = change.astimezone(zone)
        for hour, minute in {(local.hour, 0), (local.hour, 30), ((local.hour - 1) % 24, 30), (0, 0), (0, 30)}:
            schedule = Schedule(cron=f"{minute} {hour} * * *", zone=zone_name)
            found = [w.start for w in takewhile(lambda w: w.start < end, schedule.windows(begin - MINUTE))]  # noqa: B023 - used at once
            if found != expected_daily(shown, hour, minute):
                wrong.append(f"{zone_name} {change} at {hour:02}:{minute:02}")
        every = Schedule(cron="*/30 * * * *", zone=zone_name)
        found = [w.start for w in takewhile(lambda w: w.start < end, every.windows(begin - MINUTE))]  # noqa: B023 - used at once
        if found != [moment for moment, wall in shown[1:] if wall.minute in (0, 30)]:
            wrong.append(f"{zone_name} {change} every half hour")
    return wrong


def distinct_zones() -> list[str]:
    """One zone of each set that had the same offsets in the ten years."""
    months = [datetime(year, month, 1, tzinfo=UTC) for year in range(FIRST_YEAR, LAST_YEAR) for month in range(1, 13)]
    seen: dict[tuple[Any, ...], str] = {}
    for name in sorted(available_timezones() - {"localtime", "posixrules", "Factory"}):
        zone = ZoneInfo(name)
        seen.setdefault(tuple(month.astimezone(zone).utcoffset() for month in months), name)
    return list(seen.values())


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"])
def test_windows_are_those_of_a_brute_force_at_every_change_of_the_clock(zone: str) -> None:
    """Ten years minute by minute; some of the zones, `make chaos` takes all."""
    # shows: N6
    assert differs(zone) == []


@pytest.mark.chaos
@pytest.mark.timeout(3000)
def test_windows_are_those_of_a_brute_force_in_every_zone_of_the_world() -> None:
    """Every zone that has offsets of its own."""
    # shows: N6
    zones = distinct_zones()
    assert len(zones) > 60
    assert [wrong for zone in zones for wrong in differs(zone)] == []


MOMENTS = st.timedeltas(timedelta(0), timedelta(days=4 * 365)).map(lambda passed: at("2024-01-01") + passed)


@given(st.sampled_from(CRONS), st.sampled_from(ZONES), MOMENTS)
@settings(deadline=None)
def test_windows_lie_side_by_side_and_have_different_keys(cron: str, zone: str, after: datetime) -> None:
    """No gap, no overlap, no key twice, none at or before the start."""
    found: list[Window] = list(islice(Schedule(cron=cron, zone=zone).windows(after), 6))
    assert found[0].start > after
    for one, other in pairwise(found):
        assert one.start < one.end == other.start
    assert len({window.key for window in found}) == len(found)


@given(
    st.sampled_from(["30 * * * *", "30 2 * * *", "0 0 * * mon"]),
    st.sampled_from(ZONES),
    st.sampled_from(["skip", "once", "all"]),
    MOMENTS,
    st.lists(st.floats(0, 5 * 86_400), min_size=1, max_size=8),
)
@settings(deadline=None)
def test_every_window_comes_up_exactly_once_however_one_looks(
    cron: str, zone: str, catch_up: Any, since: datetime, pauses: list[float]
) -> None:
    """Looking often or seldom, with restarts between: each window is run or skipped, and never again."""
    # shows: N6
    schedule = Schedule(cron=cron, zone=zone, catch_up=catch_up)
    now, handled, told = since, None, []
    for pause in pauses:
        now += timedelta(seconds=pause)
        due = schedule.due(now, since=since, handled=handled)
        told += [window.key for window in due.run] + [window.key for window, _ in due.skipped]
        assert due == schedule.due(now, since=since, handled=handled)
        if catch_up != "all":
            assert len(due.run) <= 1
        handled = due.upto
    began = [w.key for w in takewhile(lambda w: w.start <= now, schedule.windows(since))]
    assert sorted(told) == sorted(began)


def test_what_was_missed_is_caught_up_as_asked() -> None:
    """After three nights off: none, the newest, or all, and the others are told with the reason."""
    # shows: N6
    daily = Schedule.daily("02:30")
    since, now = at("2026-11-17T12:00"), at("2026-11-20T08:00")
    assert [w.key[:10] for w in replace(daily, catch_up="all").due(now, since=since).run] == [
        "2026-11-18", "2026-11-19", "2026-11-20",
    ]  # fmt: skip
    once = daily.due(now, since=since)
    assert [w.key[:10] for w in once.run] == ["2026-11-20"]
    assert [w.key[:10] for w, _ in once.skipped] == ["2026-11-18", "2026-11-19"]
    none = replace(daily, catch_up="skip").due(now, since=since)
    assert none.run == ()
    assert len(none.skipped) == 3
    in_time = replace(daily, catch_up="skip").due(at("2026-11-20T02:34"), since=at("2026-11-19T12:00"))
    assert len(in_time.run) == 1


def test_editing_a_schedule_never_runs_an_old_window_again() -> None:
    """Set from 02:30 to 01:00 at 08:00: today's 01:00 is over and stays so."""
    # shows: N6
    handled = Schedule.daily("02:30").due(at("2026-11-20T08:00"), since=at("2026-11-19T12:00")).upto
    changed = edited(Schedule.daily("02:30"), cron="0 1 * * *")
    due = changed.due(at("2026-11-20T09:00"), since=at("2026-11-20T08:00"), handled=handled)
    assert (due.run, due.skipped) == ((), ())
    assert due.next is not None
    assert due.next.key == "2026-11-21T01:00+0000"


def test_a_clock_set_back_repeats_no_window() -> None:
    """What was handled stays handled."""
    daily = Schedule.daily("02:30", "UTC")
    first = daily.due(at("2026-11-20T03:00"), since=at("2026-11-19T12:00"))
    back = daily.due(at("2026-11-20T01:00"), since=at("2026-11-19T12:00"), handled=first.upto)
    again = daily.due(at("2026-11-20T03:00"), since=at("2026-11-19T12:00"), handled=back.upto)
    assert len(first.run) == 1
    assert (back.run, again.run) == ((), ())


def test_a_year_asleep_is_caught_up_in_several_looks() -> None:
    """Every minute for two days: at most a thousand windows at a time, none twice, none lost."""
    schedule = Schedule(cron="* * * * *", catch_up="all")
    since, now = at("2026-11-19T00:00"), at("2026-11-21T00:00")
    handled, told = None, 0
    for _ in range(3):
        due = schedule.due(now, since=since, handled=handled)
        told, handled = told + len(due.run), due.upto
    assert told == 2 * 24 * 60


@pytest.mark.parametrize(
    "wrong",
    [
        {"cron": "61 * * * *"}, {"cron": "* * * *"}, {"cron": ""}, {"cron": "0 0 30 2 *"}, {"cron": "* * * * * *"},
        {"cron": "@daily"}, {"zone": "Mars/Olympus"}, {"zone": "../etc/passwd"}, {"zone": ""}, {"catch_up": "some"},
        {"gap": "x"}, {"late_s": -1},
    ],
)  # fmt: skip
def test_a_schedule_that_nobody_can_follow_is_refused(wrong: dict[str, Any]) -> None:
    """With a hint how to write it."""
    with pytest.raises(ScheduleWrong) as refused:
        Schedule(**{"cron": "0 2 * * *", **wrong})
    assert refused.value.hint


@pytest.mark.parametrize("text", ["24:00", "2", "02:60", "2am", "02:30:00"])
def test_a_time_of_day_that_is_none_is_refused(text: str) -> None:
    """The hint shows the form."""
    with pytest.raises(ScheduleWrong, match="no time of day"):
        Schedule.daily(text)
