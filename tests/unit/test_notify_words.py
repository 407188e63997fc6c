"""Messages to people, the pure parts: when something may be told, and what a message may hold. shows: N2"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak import events
from daybreak.factory import trust
from daybreak.report.notify import timing, wording
from daybreak.report.notify.timing import Rule, is_quiet, may_be_told, rule
from daybreak.report.notify.wording import Notice, clean, message
from daybreak.settings import SettingsWrong, checked
from daybreak.testing.memory_ledger import MemoryLedger

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def moment(rule: Rule, when: str, now: str | None = None) -> str:
    return f"{may_be_told(rule, at(when), at(now or when)).astimezone(BERLIN):%Y-%m-%d %H:%M}"


# -- quiet hours and digests

NIGHT = rule("22:00-07:00", "", 3, "Europe/Berlin")


def test_what_comes_in_quiet_hours_waits_until_their_end() -> None:
    assert moment(NIGHT, "2026-05-04 23:30") == "2026-05-05 07:00"
    assert moment(NIGHT, "2026-05-04 03:30") == "2026-05-04 07:00"
    assert moment(NIGHT, "2026-05-04 22:00") == "2026-05-05 07:00"


def test_outside_of_quiet_hours_nothing_waits() -> None:
    for when in ("2026-05-04 07:00", "2026-05-04 12:00", "2026-05-04 21:59"):
        assert moment(NIGHT, when) == when


def test_what_could_not_be_sent_before_quiet_hours_waits_for_their_end() -> None:
    """Its server was down in the evening: nobody is woken by that."""
    assert moment(NIGHT, "2026-05-04 21:00", now="2026-05-05 01:00") == "2026-05-05 07:00"


@pytest.mark.parametrize(
    ("evening", "hours"),
    [("2026-03-28 23:00", 7), ("2026-10-24 23:00", 9), ("2026-05-04 23:00", 8)],
    ids=["an hour is skipped", "an hour comes twice", "an ordinary night"],
)
def test_quiet_hours_end_by_the_clock_on_the_wall_whatever_the_clocks_do(evening: str, hours: int) -> None:
    assert may_be_told(NIGHT, at(evening), at(evening)) == at(evening) + timedelta(hours=hours)


def test_an_end_that_the_clock_skips_is_the_first_moment_after_the_gap() -> None:
    early = rule("22:00-02:30", "", 3, "Europe/Berlin")
    assert may_be_told(early, at("2026-03-28 23:00"), at("2026-03-28 23:00")) == at("2026-03-29 03:00")


@given(
    st.integers(0, 2 * 365 * 24 * 60),
    st.times(),
    st.times(),
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"]),
)
def test_nothing_is_told_in_quiet_hours_and_nothing_waits_longer_than_a_day(
    minutes: int, begin: time, end: time, zone: str
) -> None:
    begin, end = (one.replace(second=0, microsecond=0, tzinfo=None) for one in (begin, end))
    if begin == end:
        return
    told = rule(f"{begin:%H:%M}-{end:%H:%M}", "", 3, zone)
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    found = may_be_told(told, now, now)
    assert not is_quiet(told, found)
    assert now <= found <= now + timedelta(hours=25)


def test_a_digest_comes_at_its_time_of_day_or_so_long_after_the_first() -> None:
    assert moment(rule("", "07:00", 3, "Europe/Berlin"), "2026-05-04 09:00") == "2026-05-05 07:00"
    assert moment(rule("", "30min", 3, "Europe/Berlin"), "2026-05-04 09:00") == "2026-05-04 09:30"
    assert moment(rule("", "4h", 3, "Europe/Berlin"), "2026-05-04 09:00") == "2026-05-04 13:00"


def test_a_digest_whose_time_passed_while_nobody_ran_is_told_at_once() -> None:
    daily = rule("", "07:00", 3, "Europe/Berlin")
    assert moment(daily, "2026-05-04 06:00", now="2026-05-04 09:15") == "2026-05-04 09:15"


def test_a_digest_that_falls_into_quiet_hours_waits_for_their_end() -> None:
    both = rule("22:00-07:00", "30min", 3, "Europe/Berlin")
    assert moment(both, "2026-05-04 21:45") == "2026-05-05 07:00"


def test_without_a_zone_the_machines_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    import time as system

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    system.tzset()
    try:
        told = timing.rule("22:00-07:00", "", 3, "")
        now = datetime(2026, 5, 4, 14, 0, tzinfo=UTC)  # 23:00 there
        assert may_be_told(told, now, now) == datetime(2026, 5, 4, 22, 0, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        system.tzset()


# -- what may be in a message

TOKEN = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"


@pytest.mark.parametrize(
    "text",
    [
        f"use {TOKEN} to push",
        f"use {TOKEN[:10]}\x1b[31m{TOKEN[10:]}\x1b[0m to push",
        f"use {TOKEN[:10]}\u200b{TOKEN[10:]} to push",
        f"use {TOKEN[:10]}\u202e{TOKEN[10:]} to push",
    ],
    ids=["plain", "coloured", "with a character of no width", "turned round"],
)
def test_no_secret_leaves_however_it_is_dressed(text: str) -> None:
    assert TOKEN[10:] not in clean(text, 200)
    assert "[redacted" in clean(text, 200)


def test_a_password_in_an_address_does_not_leave() -> None:
    assert "k3Vt9QpL2m" not in clean("cannot reach https://me:k3Vt9QpL2m@example.org/x", 200)


def test_a_secret_that_the_bound_cuts_in_half_does_not_leave() -> None:
    for lead in range(19_400, 20_001, 7):
        told = clean("-----BEGIN RSA PRIVATE KEY-----" + "x" * lead + TOKEN, 3_500, lines=True)
        assert TOKEN[:12] not in told


def test_what_steers_terminals_or_hides_does_not_leave() -> None:
    told = clean("a\x1b]0;title\x07b\x1b[2Jc\u202ed\x00e\u2066f\ud800g\r\nh", 200, lines=True)
    assert told == "abcdefg\nh"


def test_nobody_is_called_by_a_message() -> None:
    told = clean("@everyone <!channel> <@U123> look @here, @all; mail a@allow.org", 200)
    assert "@everyone" not in told
    assert "<!" not in told
    assert "<@" not in told
    assert "@here" not in told
    assert "a@allow.org" in told


def test_no_link_hides_behind_words_of_somebody_else() -> None:
    told = clean(
        "[answer here](http://x.example) ![p](http://x.example/p) <http://x.example|answer> [a]: http://y [b][a]", 300
    )
    assert "](" not in told
    assert "]:" not in told
    assert "][" not in told
    assert "<http" not in told
    assert told.count("http://x.example") == 3, "where it leads can be read"


def test_what_a_wrong_clock_stamped_ahead_waits_for_quiet_hours_alone() -> None:
    both = rule("22:00-07:00", "07:30", 3, "Europe/Berlin")
    assert moment(both, "2029-05-04 12:00", now="2026-05-04 12:00") == "2026-05-04 12:00"
    assert moment(both, "2029-05-04 12:00", now="2026-05-04 23:00") == "2026-05-05 07:00"
    assert moment(rule("", "", 3, "Europe/Berlin"), "2026-05-04 13:00", now="2026-05-04 12:00") == "2026-05-04 12:00"


def test_a_text_of_a_megabyte_is_cut_at_once() -> None:
    assert len(clean("x" * 1_000_000, 3_500, lines=True)) == 3_500
    assert clean("x " * 500_000, 120).endswith("…")


@given(st.text(max_size=300), st.integers(10, 100))
def test_whatever_comes_in_a_line_of_printable_text_goes_out(text: str, most: int) -> None:
    told = clean(text, most)
    assert len(told) <= most
    assert told.isprintable() or all(one.isprintable() or one.isspace() for one in told)
    told.encode("utf-8")


def _parked(question: str, why: str = "") -> Notice:
    moved = events.RunMoved(run="run-1", old="running", new="parked", question=question, why=why)
    return wording.notice("question:7", "question", 2, "2026-05-04T01:00:00.000000Z", moved, _ledger())


def _ledger() -> MemoryLedger:
    from daybreak.engine import VIEWS
    from daybreak.testing.clock import FakeClock

    return MemoryLedger(clock=FakeClock(), views=VIEWS)


def test_a_question_comes_with_the_command_that_answers_it() -> None:
    told = message([_parked("Which colour shall it have?")])
    assert "Which colour" in told.body
    assert "daybreak answer run-1" in told.body
    assert "[question:7]" in told.body


def test_a_message_links_to_the_dashboard_where_one_is_named() -> None:
    moved = events.RunMoved(run="run-1", old="running", new="parked", question="Go on?")
    told = wording.notice("question:7", "question", 2, "", moved, _ledger(), "https://desk.example:8420/")
    assert told.body.endswith("\nhttps://desk.example:8420/runs/run-1")
    assert "http" not in _parked("Go on?").body


@pytest.mark.parametrize("pages", ["ftp://x", "https://me:word@x", "https://x/?token=1", "https://"])
def test_an_address_of_pages_holds_no_secret(pages: str) -> None:
    with pytest.raises(SettingsWrong, match="pages"):
        checked({"notify": {"pages": pages}}, Path("/x/daybreak.toml"))


def test_why_a_run_is_parked_stays_at_home() -> None:
    """It may speak of examples that are held out."""
    assert "expected 42" not in message([_parked("Go on?", why="held-out example 3 expected 42")]).body


def test_many_go_as_one_of_bounded_length_with_the_severe_first() -> None:
    many = [
        Notice(f"question:{n}", "question", 2, "2026-05-04T01:00:00.000000Z", f"Question: {n}", "x" * 3_000)
        for n in range(200)
    ]
    severe = Notice("incident:3", "incident", 3, "2026-05-04T02:00:00.000000Z", "Incident of level 3", "look")
    told = message([*many, severe])
    assert len(told.body) <= wording.BODY_CHARS_MAX
    assert len(told.title) <= wording.TITLE_CHARS_MAX
    assert told.body.index("Incident of level 3") < told.body.index("Question: 0")
    assert told.severity == 3
    assert "201 messages" in told.title
    assert "and 171 more" in told.body


# -- settings


def channel(**told: Any) -> Any:
    return checked({"notify": {"channels": {"phone": told}}}, Path("/x/daybreak.toml")).notify.channels["phone"]


@pytest.mark.parametrize(
    "url",
    [
        "tgram://123456789:AAbbccddeeffgghhiijjkkllmmnnooppqqr/42",
        "slack://T1/B2/secretsecret/#general",
        "mailto://me:password@example.org",
        "json://user:password@127.0.0.1:8080",
        "json://127.0.0.1/?+X-Token=secretsecret",
        "json://example.org/hooks/a-long-secret-path",
        "ntfy://ntfy.sh/my-secret-topic",
        "mailto://127.0.0.1:2525?to=me@example.org&smtp=elsewhere.org",
    ],
)
def test_an_address_that_may_hold_a_secret_is_not_written_down(url: str) -> None:
    with pytest.raises(SettingsWrong, match="url_from") as caught:
        channel(url=url)
    told = f"{caught.value.message} {caught.value.hint}"
    assert url not in told
    assert "secret" not in told.replace("may hold a secret", "")
    assert "password" not in told


@pytest.mark.parametrize(
    "url",
    ["json://127.0.0.1:8080/hook", "json://example.org", "jsons://example.org:8443", "ntfy://localhost:2586/nights",
     "mailto://127.0.0.1:2525?from=a@example.org&to=b@example.org"],
)  # fmt: skip
def test_an_address_without_secrets_may_be(url: str) -> None:
    assert channel(url=url).url == url


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "url_from: is missing"),
        ({"url": "json://localhost", "url_from": "env:X"}, "url_from"),
        ({"url_from": "tgram://token/chat"}, "never written down"),
        ({"url_from": "env:X", "kinds": ["gossip"]}, "is one of"),
        ({"url_from": "env:X", "kinds": []}, "names nothing"),
        ({"url_from": "env:X", "quiet": "22-7"}, "22:00-07:00"),
        ({"url_from": "env:X", "quiet": "07:00-07:00"}, "same time"),
        ({"url_from": "env:X", "digest": "daily"}, "30min"),
        ({"url_from": "env:X", "through": 9}, "through"),
        ({"url_from": "env:X", "kind": ["night"]}, "did you mean kinds"),
    ],
)
def test_settings_that_mean_nothing_are_refused_with_what_is_meant(told: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsWrong, match=said):
        channel(**told)


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsWrong, match="no such time zone"):
        checked({"notify": {"zone": "Mars/Olympus"}}, Path("/x/daybreak.toml"))


def test_a_file_from_elsewhere_that_sends_messages_needs_a_yes() -> None:
    told = checked({"notify": {"channels": {"x": {"url": "json://example.org"}}}}, Path("/x/daybreak.toml"))
    assert trust.risks(told) == ["notify channel x: sends messages to json://example.org"]


def test_the_file_that_holds_an_address_counts_from_the_settings_folder() -> None:
    assert channel(url_from="file:secrets/phone").url_from == "file:/x/secrets/phone"
