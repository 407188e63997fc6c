"""Schedules: one run per window, whatever restarts, in any time zone, right when the clock changes."""

from __future__ import annotations

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
    """The first minute after each change of the zone's offset in the ten years; no two changes lie within a day."""
    found, moment = [], datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
    step = timedelta(days=1)
    before = moment.astimezone(zone).utcoffset()
    while moment.year < LAST_YEAR:
        low, high = moment, moment + step
        after = high.astimezone(zone).utcoffset()
        if before != after:
            while high - low > MINUTE:
                middle = low + (high - low) // 2
                middle -= timedelta(seconds=middle.second, microseconds=middle.microsecond)
                if before == middle.astimezone(zone).utcoffset():
                    low = middle
                else:
                    high = middle
            found.append(high)
        moment, before = moment + step, after
    return found


Shown = list[tuple[datetime, datetime]]
"""Every minute as UTC and as the clock on the wall shows it."""


def walls(zone: ZoneInfo, begin: datetime, end: datetime) -> Shown:
    minutes = int((end - begin) / MINUTE)
    return [(m, m.astimezone(zone).replace(tzinfo=None)) for m in (begin + n * MINUTE for n in range(minutes))]


def expected_daily(shown: Shown, hour: int, minute: int, rule: str) -> list[datetime]:
    """By brute force, for each date: the first or the second moment with that time; where it is skipped, the first
    moment behind the gap, or none. `rule`: after, skip, second."""
    days: dict[date, datetime] = {}
    for (_, before), (moment, wall) in pairwise(shown):
        for day in {before.date(), wall.date()}:
            wanted = wall.replace(year=day.year, month=day.month, day=day.day, hour=hour, minute=minute)
            skipped = before < wanted < wall
            if wall == wanted and rule == "second":
                days[day] = moment
            elif wall == wanted or (skipped and rule != "skip"):
                days.setdefault(day, moment)
    return sorted(set(days.values()))


def starts(schedule: Schedule, after: datetime, end: datetime) -> list[datetime]:
    return [window.start for window in takewhile(lambda window: window.start < end, schedule.windows(after))]


def differs_at(zone_name: str, change: datetime) -> list[str]:
    """Where windows near a change of the zone's clock are not those of the brute force, wherever one begins to look."""
    zone, wrong = ZoneInfo(zone_name), []
    begin, end = change - timedelta(hours=26), change + timedelta(hours=26)
    shown = walls(zone, begin - MINUTE, end)
    local = change.astimezone(zone)
    times = {
        (local.hour, 0),
        (local.hour, 30),
        ((local.hour - 1) % 24, 30),
        ((local.hour - 1) % 24, 0),
        (0, 0),
        (0, 30),
    }
    for hour, minute in sorted(times):
        daily = Schedule(cron=f"{minute} {hour} * * *", zone=zone_name)
        for rule, schedule in (
            ("after", daily), ("skip", edited(daily, gap="skip")), ("second", edited(daily, repeated="second")),
        ):  # fmt: skip
            expected = expected_daily(shown, hour, minute, rule)
            for after in (begin - MINUTE, change - MINUTE, change - 31 * MINUTE, change, change + 29 * MINUTE):
                if starts(schedule, after, end) != [moment for moment in expected if moment > after]:
                    wrong.append(f"{zone_name} {change} at {hour:02}:{minute:02}, {rule}, from {after}")
    for cron, minutes in (("*/30 * * * *", {0, 30}), ("15 * * * *", {15}), ("0-59/20 * * * *", {0, 20, 40})):
        found = starts(Schedule(cron=cron, zone=zone_name), begin - MINUTE, end)
        if found != [moment for moment, wall in shown[1:] if wall.minute in minutes]:
            wrong.append(f"{zone_name} {change} {cron}")
    return wrong


def differs(zone_name: str) -> list[str]:
    return [wrong for change in transitions(ZoneInfo(zone_name)) for wrong in differs_at(zone_name, change)]


def distinct_zones() -> dict[str, list[datetime]]:
    """One zone of each set that had the same offsets and changed them at the same moments in the ten years."""
    seen: dict[tuple[Any, ...], str] = {}
    for name in sorted(available_timezones() - {"localtime", "posixrules", "Factory"}):
        zone = ZoneInfo(name)
        moments = (datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), *transitions(zone))
        seen.setdefault((moments, tuple(moment.astimezone(zone).utcoffset() for moment in moments)), name)
    return {name: list(moments[1:]) for (moments, _), name in seen.items()}


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", "2026-03-29T01:00"), ("Europe/Berlin", "2026-10-25T01:00"),
        ("America/New_York", "2027-03-14T07:00"), ("America/Havana", "2027-11-07T05:00"),
        ("Australia/Lord_Howe", "2026-04-04T15:00"), ("Australia/Lord_Howe", "2026-10-03T15:30"),
        ("America/Santiago", "2026-09-06T04:00"), ("Africa/Casablanca", "2026-02-15T02:00"),
        ("Asia/Beirut", "2026-03-28T22:00"), ("Antarctica/Troll", "2026-03-29T01:00"),
    ],
)  # fmt: skip
def test_windows_are_those_of_a_brute_force_at_a_change_of_the_clock(zone: str, change: str) -> None:
    """Minute by minute, of each sort of change one: by an hour, by half of one, by two, at midnight, back in spring."""
    # shows: N6
    assert at(change) in transitions(ZoneInfo(zone))
    assert differs_at(zone, at(change)) == []


@pytest.mark.chaos
@pytest.mark.timeout(3000)
def test_windows_are_those_of_a_brute_force_in_every_zone_of_the_world() -> None:
    """Every change of every zone in ten years."""
    # shows: N6
    zones = distinct_zones()
    assert len(zones) > 80
    assert {"America/Havana", "Asia/Beirut"} <= set(zones)  # the offsets of others, at other moments
    assert sum(map(len, zones.values())) > 700
    assert [wrong for zone, changes in zones.items() for one in changes for wrong in differs_at(zone, one)] == []


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
        {"gap": "x"}, {"late_s": -1}, {"late_s": "5"}, {"late_s": float("nan")}, {"overlap": "pile"},
        {"waiting_max": 0}, {"waiting_max": True}, {"catch_up": "all", "overlap": "skip"}, {"cron": 7},
        {"cron": "0 " * 5000}, {"zone": 7}, {"catch_up": ["once"]},
    ],
)  # fmt: skip
def test_a_schedule_that_nobody_can_follow_is_refused(wrong: dict[str, Any]) -> None:
    """With a hint how to write it."""
    with pytest.raises(ScheduleWrong) as refused:
        Schedule(**{"cron": "0 2 * * *", **wrong})
    assert refused.value.hint
    assert len(refused.value.message) < 200


@pytest.mark.parametrize("text", ["24:00", "2", "02:60", "2am", "02:30:00", "０２:３０", "2:३०"])
def test_a_time_of_day_that_is_none_is_refused(text: str) -> None:
    """The hint shows the form."""
    with pytest.raises(ScheduleWrong, match="no time of day"):
        Schedule.daily(text)
