"""Messages to people over real servers of this machine: nothing is lost, nothing secret leaves. shows: N2"""

from __future__ import annotations

import email
import email.policy
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.notify_servers import Hook, hook, mail_server

from daybreak import events, home
from daybreak.config import Places, find_places
from daybreak.events import NIGHTS, NOTICES, POLICY, QUEUE, run_stream
from daybreak.home import notifying
from daybreak.host.locks import FileLocks
from daybreak.ledger import Draft, Ledger
from daybreak.policy.budget import Limit
from daybreak.report.notify import listing, sending, troubles, wording
from daybreak.report.notify.rounds import Rounds
from daybreak.settings import Settings, checked
from daybreak.testing.clock import FakeClock

TOKEN = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
NOON = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


class House:
    """A home with channels, on a clock that the test moves."""

    def __init__(self, where: Places, ledger: Ledger, clock: FakeClock) -> None:
        self.places = where
        self.ledger = ledger
        self.clock = clock
        self.locks = FileLocks(where.locks, clock)

    def rounds(self, zone: str = "Europe/Berlin", **channels: dict[str, Any]) -> Rounds:
        told = settings(self.places, zone, channels)
        made = notifying.rounds(self.ledger, told, self.places, self.clock)
        made.draw = lambda: 1.0
        made.open_channels()
        return made

    def send(self, rounds: Rounds, **how: Any) -> int:
        return notifying.send(rounds, self.locks.hold, **how)

    def parks(self, run: str, question: str, title: str = "tidy the shelf") -> None:
        added = events.TaskAdded(task=f"task-{run}", run=run, kind="command", title=title, args={})
        lease = events.LeaseGranted(run=run, owner="x", host="here", pid=1)
        states: list[Any] = ["leased", "running", "parked"]
        moves = [
            events.RunMoved(run=run, old=old, new=new, question=question if new == "parked" else "")
            for old, new in zip(["queued", *states], states, strict=False)
        ]
        self.ledger.append([Draft(QUEUE, added)])
        self.ledger.append([Draft(run_stream(run), lease, epoch=1)])
        self.ledger.append([Draft(run_stream(run), one, epoch=1) for one in moves])

    def ends(self, run: str, state: Any, title: str) -> None:
        added = events.TaskAdded(task=f"task-{run}", run=run, kind="command", title=title, args={})
        lease = events.LeaseGranted(run=run, owner="x", host="here", pid=1, night="night-1")
        steps: list[Any] = [("queued", "leased", ""), ("leased", "running", ""), ("running", state, "held out 7: 42")]
        moves = [events.RunMoved(run=run, old=old, new=new, why=why) for old, new, why in steps]
        self.ledger.append([Draft(QUEUE, added), Draft(run_stream(run), lease, epoch=1)])
        self.ledger.append([Draft(run_stream(run), one, epoch=1) for one in moves])

    def incident(self, level: int, what: str = "it tried") -> None:
        raised = events.IncidentRaised(incident=f"inc-{self.clock.now():%H%M%S}-{level}", kind="capability_refused",
                                       level=level, what=what)  # fmt: skip
        self.ledger.append([Draft(POLICY, raised)])

    def of(self, kind: type[events.Event]) -> list[Any]:
        return [one.event for one in self.ledger.read(NOTICES) if isinstance(one.event, kind)]

    def everything(self) -> str:
        return "".join(one.words.decode() for one in self.ledger.read_all())


def settings(where: Places, zone: str, channels: dict[str, dict[str, Any]]) -> Settings:
    told = {"notify": {"zone": zone, "channels": {name: _listed(one) for name, one in channels.items()}}}
    return checked(told, where.settings / "daybreak.toml")


def _listed(channel: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in channel.items()}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    where, clock = find_places({"DAYBREAK_HOME": str(tmp_path / "home")}, tmp_path), FakeClock(NOON)
    with Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=clock, views=home.views()) as ledger:
        yield House(where, ledger, clock)


@pytest.fixture
def server() -> Iterator[Hook]:
    with hook() as found:
        yield found


# -- what is told


def test_a_parked_question_arrives_once_with_the_command_that_answers_it(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url})
    house.parks("run-1", "Which colour shall it have?")
    assert house.send(rounds) == 1
    assert house.send(rounds) == 0
    (told,) = server.got
    assert told["title"] == "Daybreak: Question: tidy the shelf"
    assert "Which colour" in told["message"]
    assert "daybreak answer run-1" in told["message"]
    (sent,) = house.of(events.NoticeSent)
    assert sent.channel == "phone"
    assert sent.notices[0].startswith("question:")
    assert sent.tries == 1


def test_every_kind_is_told_and_a_channel_gets_those_that_it_wants(house: House, server: Hook) -> None:
    rounds = house.rounds(
        all={"url": server.url, "least": 1}, asks={"url": f"{server.url}/asks", "kinds": ("question",)}
    )
    house.parks("run-1", "Which colour?")
    house.incident(2)
    night = events.NightBegan(night="night-1", host="here", pid=1, workers=2)
    ended = events.NightEnded(night="night-1", why="empty", counts={"parked": 1}, text="nothing more is ready")
    house.ledger.append([Draft(NIGHTS, night), Draft(NIGHTS, ended)])
    fired = events.AlertFired(alert="slow", version=1, metric="attempt_s", severity="warning", value=9, threshold=5,
                              text="attempts take long")  # fmt: skip
    house.ledger.append([Draft(POLICY, fired)])
    opened = events.BreakerChanged(name="shop", version=1, state="open", failures=[], until="", openings=1, probes=[],
                                   why="500")  # fmt: skip
    house.ledger.append([Draft(POLICY, opened)])
    spend(house, "night:night-1", 90)
    rounds.warn()
    house.send(rounds)
    everything = "\n".join(f"{one['title']}\n{one['message']}" for one in server.got)
    for said in ("Question: tidy the shelf", "Incident of level 2", "The night has ended: 1 parked", "Morning report",
                 "Alert (warning): slow", "Breaker shop opened", "Budget at 90 %"):  # fmt: skip
        assert said in everything, said
    kinds = {one.partition(":")[0] for sent in house.of(events.NoticeSent) if sent.channel == "asks"
             for one in sent.notices}  # fmt: skip
    assert kinds == {"question"}


def spend(house: House, account: str, tokens: int, most: int = 100) -> None:
    from daybreak.policy.accounts import Accounts
    from daybreak.policy.budget import Amounts

    accounts = Accounts(house.ledger)
    opened = accounts.open(account, Limit(tokens=most))
    if opened is not None:
        house.ledger.append([Draft(POLICY, opened)])
    key = f"{account}-{tokens}-{most}"
    house.ledger.append([Draft(POLICY, accounts.reserve(key, account, Amounts(tokens=tokens)))])
    house.ledger.append([Draft(POLICY, accounts.settle(key, Amounts(tokens=tokens))[0])])


def test_a_budget_is_told_of_once_for_each_limit_also_after_a_restart(house: House, server: Hook) -> None:
    channel = {"phone": {"url": server.url, "kinds": ("budget",)}}
    rounds = house.rounds(**channel)
    spend(house, "night:1", 70)
    rounds.warn()
    assert house.send(rounds) == 0
    spend(house, "night:1", 12)
    for each in (rounds, rounds, house.rounds(**channel)):
        each.warn()
        house.send(each)
    assert server.titles == ["Daybreak: Budget at 82 %: night:1"]
    spend(house, "night:1", 90, most=200)  # the limit was raised, and 80 % of that are used
    again = house.rounds(**channel)
    again.warn()
    house.send(again)
    assert server.titles[1:] == ["Daybreak: Budget at 86 %: night:1"]


def test_two_processes_that_see_another_sum_tell_of_one_budget_once(house: House, server: Hook) -> None:
    channel = {"phone": {"url": server.url, "kinds": ("budget",)}}
    one, other = house.rounds(**channel), house.rounds(**channel)
    spend(house, "night:1", 1)
    one.warn()
    other.warn()  # each has read what was warned of
    spend(house, "night:1", 82)
    one.warn()
    spend(house, "night:1", 5)
    other.warn()
    house.send(one)
    house.send(other)
    assert server.titles == ["Daybreak: Budget at 83 %: night:1"]


def test_a_breaker_that_stays_broken_is_told_of_once_until_it_has_closed(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url, "kinds": ("breaker",)})
    for version, (state, openings) in enumerate(
        [("open", 1), ("half_open", 1), ("open", 2), ("half_open", 2), ("closed", 0), ("open", 1)], 1
    ):
        changed = events.BreakerChanged(name="shop", version=version, state=state, failures=[], until="",
                                        openings=openings, probes=[], why="500")  # fmt: skip
        house.ledger.append([Draft(POLICY, changed)])
        house.send(rounds)
    assert len(server.got) == 2


def test_what_happened_before_a_channel_was_named_is_not_told_there(house: House, server: Hook) -> None:
    house.parks("run-1", "Which colour?")
    rounds = house.rounds(phone={"url": server.url})
    assert house.send(rounds) == 0
    assert server.asked == 0


def test_a_night_that_ends_is_told_with_its_report_and_nothing_of_why_runs_failed(house: House, server: Hook) -> None:
    """Why a run failed may speak of examples that are held out."""
    rounds = house.rounds(phone={"url": server.url})
    moved = [("queued", "leased", ""), ("leased", "running", ""), ("running", "failed", "held out 7: expected 42")]
    added = events.TaskAdded(task="task-1", run="run-1", kind="command", title="tidy", args={})
    night = events.NightBegan(night="night-1", host="here", pid=1, workers=2)
    lease = events.LeaseGranted(run="run-1", owner="x", host="here", pid=1, night="night-1")
    house.ledger.append([Draft(NIGHTS, night), Draft(QUEUE, added), Draft(run_stream("run-1"), lease, epoch=1)])
    moves = [events.RunMoved(run="run-1", old=old, new=new, why=why) for old, new, why in moved]  # type: ignore[arg-type]
    house.ledger.append([Draft(run_stream("run-1"), one, epoch=1) for one in moves])
    ended = events.NightEnded(night="night-1", why="empty", counts={"failed": 1}, text="nothing more is ready")
    house.ledger.append([Draft(NIGHTS, ended)])
    assert house.send(rounds) == 2
    assert "run-1 tidy" in server.got[1]["message"]
    assert "daybreak retry run-1" in server.got[1]["message"]
    assert "expected 42" not in json.dumps(server.got)


def test_the_morning_report_tells_decisions_first_and_fits_however_many_runs_there_were(
    house: House, server: Hook
) -> None:
    rounds = house.rounds(phone={"url": server.url, "kinds": ("report",)})
    house.ledger.append([Draft(NIGHTS, events.NightBegan(night="night-1", host="here", pid=1, workers=2))])
    for number in range(60):
        house.ends(f"run-{number}", "failed", f"sort the shelf {number}, " + "long " * 30)
    house.parks("run-x", "Which colour?", title="paint the door")
    ended = events.NightEnded(night="night-1", why="empty", counts={"failed": 60, "parked": 1}, text="nothing is left")
    house.ledger.append([Draft(NIGHTS, ended)])
    assert house.send(rounds) == 1
    (told,) = server.got
    assert told["title"] == "Daybreak: Morning report: 1 to decide, 60 failed"
    assert len(told["message"]) <= wording.BODY_CHARS_MAX + 20
    assert "daybreak answer run-x" in told["message"]
    assert told["message"].index("Your decision is needed (1)") < told["message"].index("Failed (60)")
    assert "more: daybreak report --night" in told["message"]
    assert "held out" not in told["message"]


# -- when


def test_a_clock_that_was_wrong_keeps_nothing_from_being_told(house: House, server: Hook) -> None:
    """It ran years ahead, and was set right: what it stamped, and when it meant to try again, are far away."""
    rounds = house.rounds(phone={"url": server.url, "digest": "30min"}, other={"url": server.url})
    house.clock.start = NOON + timedelta(days=1000)
    house.parks("run-1", "Which colour?")
    server.answers = [500] * 3
    for _ in range(3):
        house.send(rounds)
        house.clock.advance(60)
    assert rounds.breaker("other").circuit.state == "open"
    house.clock.start = NOON
    assert house.send(rounds) == 2
    assert house.send(rounds) == 0


def test_a_question_that_was_answered_in_the_quiet_hours_asks_for_nothing_any_more(house: House, server: Hook) -> None:
    house.clock.start = datetime(2026, 5, 4, 22, 30, tzinfo=UTC)
    rounds = house.rounds(phone={"url": server.url, "quiet": "22:00-07:00"})
    house.parks("run-1", "Which colour?", title="paint the door")
    house.parks("run-2", "Which size?", title="cut the board")
    answered = events.RunMoved(run="run-1", old="parked", new="queued")
    house.ledger.append([Draft(run_stream("run-1"), answered, epoch=1)])
    house.clock.advance(8 * 3600)
    assert house.send(rounds) == 1
    told = server.got[0]["message"]
    assert told.index("Question: cut the board") < told.index("Answered meanwhile: paint the door")
    assert "daybreak answer run-1" not in told


def test_quiet_hours_hold_until_their_end_over_a_change_of_the_clock_and_come_as_one(
    house: House, server: Hook
) -> None:
    house.clock.start = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)  # 23:30 in Berlin; an hour is skipped at 02:00
    rounds = house.rounds(phone={"url": server.url, "quiet": "22:00-07:00"})
    house.parks("run-1", "Which colour?")
    house.clock.advance(60)
    house.parks("run-2", "Which size?")
    assert house.send(rounds) == 0
    assert rounds.plan("phone")[1] == datetime(2026, 3, 29, 5, 0, tzinfo=UTC)
    house.clock.advance(6.4 * 3600)  # 06:55 there
    assert house.send(rounds) == 0
    house.clock.advance(5 * 60)
    assert house.send(rounds) == 1
    assert "2 messages" in server.titles[0]
    assert "Which colour?" in server.got[0]["message"]
    assert "Which size?" in server.got[0]["message"]


def test_an_incident_of_level_3_breaks_through_quiet_hours_and_a_digest(house: House, server: Hook) -> None:
    house.clock.start = datetime(2026, 5, 4, 22, 30, tzinfo=UTC)
    rounds = house.rounds(phone={"url": server.url, "quiet": "22:00-07:00", "digest": "07:30"})
    house.parks("run-1", "Which colour?")
    house.incident(2)
    house.incident(3, "a program was outside")
    assert house.send(rounds) == 1
    assert "level 3" in server.titles[0]
    assert server.got[0]["type"] == "failure"
    assert len(rounds.waiting("phone")) == 2


def test_incidents_of_level_1_are_for_the_record_unless_a_channel_wants_them(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url}, log={"url": server.url, "least": 1})
    house.incident(1)
    assert house.send(rounds) == 1
    assert house.of(events.NoticeSent)[0].channel == "log"


def test_a_digest_collects_and_comes_once(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url, "digest": "30min"})
    for number in range(3):
        house.parks(f"run-{number}", f"Question {number}?")
        house.clock.advance(600)
        assert house.send(rounds) == (number == 2)
    assert "3 messages (3 question)" in server.titles[0]


def test_a_hundred_questions_at_once_are_one_message(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url})
    for number in range(100):
        house.parks(f"run-{number}", f"Question {number}?")
    assert house.send(rounds) == 1
    assert "100 messages" in server.titles[0]
    assert "and 70 more" in server.got[0]["message"]
    assert len(house.of(events.NoticeSent)[0].notices) == 100


def test_thousands_of_questions_are_one_message_and_no_try_names_them_all(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url})
    moved = [
        Draft(POLICY, events.IncidentRaised(incident=f"i-{n}", kind="capability_refused", level=2, what="it tried"))
        for n in range(2_500)
    ]
    house.ledger.append(moved)
    server.answers = [500]
    assert house.send(rounds) == 0
    assert len(house.of(events.NoticeTried)[0].notices) == 1_000
    assert listing.look(rounds)[0].waiting == 2_500
    house.clock.advance(3600)
    assert house.send(rounds) == 1
    assert "2500 messages" in server.titles[0]
    assert "and 2470 more" in server.got[0]["message"]
    assert [len(one.notices) for one in house.of(events.NoticeSent)] == [1_000, 1_000, 500]
    assert listing.look(rounds)[0].waiting == 0


# -- settings that change, and processes that differ


def test_a_channel_that_is_told_more_than_before_is_not_told_the_past(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url, "kinds": ("night",)})
    house.parks("run-1", "Which colour?")
    house.incident(1)
    rounds = house.rounds(phone={"url": server.url, "least": 1})
    assert house.send(rounds) == 0
    house.parks("run-2", "Which size?")
    assert house.send(rounds) == 1
    house.clock.advance(60)
    house.incident(1)
    assert house.send(rounds) == 1
    opened = len(house.of(events.ChannelOpened))
    house.rounds(phone={"url": server.url, "kinds": ("night",)})
    rounds = house.rounds(phone={"url": server.url, "least": 1})
    assert len(house.of(events.ChannelOpened)) == opened, "what it was told before is known"
    assert house.send(rounds) == 0
    assert server.titles[0] == "Daybreak: Question: tidy the shelf"
    assert "Which size?" in server.got[0]["message"]


def test_a_process_without_the_variable_keeps_no_other_one_from_sending(
    house: House, server: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was started without it, beside a night that has it."""
    channel = {"phone": {"url_from": "env:PHONE_URL"}}
    serving, night = house.rounds(**channel), house.rounds(**channel)
    monkeypatch.setenv("PHONE_URL", server.url)
    serving.sender = sending.Sender(serving.sender._may, {})
    house.parks("run-1", "Which colour?")
    for _ in range(200):
        assert house.send(serving) == 0
        house.clock.advance(3600)
    (tried,) = house.of(events.NoticeTried)
    assert tried.what.startswith("U")
    assert "phone fails" in troubles.problems(house.ledger)[0]
    assert house.of(events.NoticeFailed) == []
    assert [one for one in house.ledger.read(POLICY) if isinstance(one.event, events.BreakerChanged)] == []
    assert house.send(night) == 1
    assert troubles.problems(house.ledger) == []


def test_a_channel_that_was_taken_out_of_the_settings_troubles_nobody(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url})
    house.parks("run-1", "Which colour?")
    server.answers = [404]
    house.send(rounds)
    assert troubles.problems(house.ledger, rounds.told.channels) != []
    assert troubles.problems(house.ledger, settings(house.places, "", {}).notify.channels) == []


# -- servers that fail


def test_a_server_that_answers_500_is_tried_again_with_longer_waits_until_it_takes_it(
    house: House, server: Hook
) -> None:
    rounds = house.rounds(phone={"url": server.url})
    house.parks("run-1", "Which colour?")
    server.answers = [500, 502, 500, 500]
    waits = []
    for _ in range(20):
        house.send(rounds)
        if server.got:
            break
        found, circuit = rounds.standing("phone"), rounds.breaker("phone").circuit
        assert found is not None
        assert found.again is not None
        until = max(found.again, circuit.until or found.again)
        waits.append((until - house.clock.now()).total_seconds())
        asked = server.asked
        house.send(rounds)
        assert server.asked == asked, "it waits"
        house.clock.advance(waits[-1])
    assert len(server.got) == 1
    assert len(waits) == 4
    assert waits == sorted(waits)
    tried = house.of(events.NoticeTried)
    assert [one.kind for one in tried] == ["retryable"] * 4
    assert "500" in tried[0].what
    assert house.of(events.NoticeSent)[0].tries == 5
    states = [one.event.state for one in house.ledger.read(POLICY) if isinstance(one.event, events.BreakerChanged)]
    assert "open" in states
    assert states[-1] == "closed"
    assert rounds.standing("phone").tries is None  # type: ignore[union-attr]


def test_tries_are_counted_on_after_a_restart(house: House, server: Hook) -> None:
    house.parks("run-0", "before")
    server.answers = [500] * 30
    channel = {"phone": {"url": server.url}}
    rounds = house.rounds(**channel)
    house.parks("run-1", "Which colour?")
    for _ in range(40):
        rounds = house.rounds(**channel)
        house.send(rounds)
        house.clock.advance(1000)
    (gave_up,) = house.of(events.NoticeFailed)
    assert gave_up.tries == 12
    assert server.asked == 12
    (line,) = listing.look(rounds)
    assert line.given_up == 1
    assert line.failing
    assert "500" in line.problem
    (said,) = troubles.problems(house.ledger)
    assert said.startswith("phone: 1 notices were given up (D290 channel phone")
    server.answers = []
    assert house.send(rounds) == 0
    assert house.send(rounds, failed=True) == 1
    assert listing.look(rounds)[0].given_up == 0


def test_a_server_that_is_not_there_for_a_day_loses_nothing(house: House) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"json://127.0.0.1:{free.getsockname()[1]}"
        rounds = house.rounds(phone={"url": url})
        house.parks("run-1", "Which colour?")
        for _ in range(30):
            house.send(rounds)
            house.clock.advance(3000)
        house.parks("run-2", "Which size?")
    assert house.of(events.NoticeFailed) == []
    with hook() as server:
        rounds.told = settings(house.places, "", {"phone": {"url": server.url}}).notify
        house.clock.advance(3600)
        assert house.send(rounds) == 1
        assert "2 messages" in server.titles[0]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_a_server_refuses_for_good_is_given_up_at_once_and_can_be_sent_by_hand(
    house: House, server: Hook, status: int
) -> None:
    rounds = house.rounds(phone={"url": server.url})
    house.parks("run-1", "Which colour?")
    server.answers = [status]
    house.send(rounds)
    (gave_up,) = house.of(events.NoticeFailed)
    assert str(status) in gave_up.what
    assert gave_up.hint
    assert house.send(rounds, failed=True) == 1


def test_a_server_that_hangs_ends_after_its_limit_and_keeps_no_other_channel(house: House, server: Hook) -> None:
    rounds = house.rounds(slow={"url": server.url}, phone={"url": server.url})
    house.parks("run-1", "Which colour?")
    server.answers = [0]
    assert house.send(rounds, limit_s=0.3) == 1
    assert house.of(events.NoticeTried)[0].what.startswith("D291 channel slow")
    house.clock.advance(3600)
    assert house.send(rounds, limit_s=0.3) == 0, "the one before is still on its way"
    assert server.asked == 2
    server.let_go.set()


def test_nobody_is_led_elsewhere_by_a_server(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url})
    house.parks("run-1", "Which colour?")
    server.answers = [302]
    assert house.send(rounds) == 0
    assert server.asked == 1


def test_credentials_are_not_carried_to_another_host_although_the_address_allows_it(
    house: House, server: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook() as other:
        server.location = other.url.replace("json", "http")
        server.answers = [307, 302]
        monkeypatch.setenv("PHONE_URL", f"{server.url.replace('//', '//me:word@')}?redirect=yes")
        rounds = house.rounds(phone={"url_from": "env:PHONE_URL"})
        house.parks("run-1", "Which colour?")
        assert house.send(rounds) == 0
        assert server.asked == 1
        assert other.asked == 0


def test_a_message_is_cut_to_what_its_service_takes(server: Hook) -> None:
    """It would refuse the whole one, and the message would be given up."""
    from daybreak.report.notify.apprise_adapter import Client

    client = Client(server.url)
    client._made.body_maxlen = 300
    client.send(wording.Message("Daybreak: Morning report", "decide this\n" + "x" * 3_000, 2))
    assert server.got[0]["message"].startswith("decide this")
    assert len(server.got[0]["message"]) <= 300


def test_no_message_begins_once_there_is_no_time_left(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url})
    for number in range(3):
        house.parks(f"run-{number}", "Which colour?")
    rounds.left = lambda: 5.0 - 10 * len(house.of(events.NoticeSent))
    assert house.send(rounds) == 1
    assert len(rounds.waiting("phone")) == 2


# -- the door, and secrets


def test_every_channel_passes_the_door_with_a_token_that_names_its_host(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url})
    house.parks("run-1", "Which colour?")
    house.send(rounds)
    (minted,) = [one.event for one in house.ledger.read(POLICY) if isinstance(one.event, events.TokenMinted)]
    assert minted.run == "notify"
    assert minted.grant["connect"] == [server.url.removeprefix("json://")]
    assert minted.grant["secret"] == ["notify.phone"]


def test_a_channel_whose_token_was_taken_back_is_not_reached(house: House, server: Hook) -> None:
    rounds = house.rounds(phone={"url": server.url})
    house.parks("run-1", "Which colour?")
    house.send(rounds)
    (minted,) = [one.event for one in house.ledger.read(POLICY) if isinstance(one.event, events.TokenMinted)]
    house.ledger.append([Draft(POLICY, events.TokenRevoked(revocation=minted.revocation, why="enough"))])
    house.parks("run-2", "Which size?")
    assert house.send(rounds) == 0
    assert server.asked == 1
    assert house.of(events.NoticeFailed)[0].what.startswith("P104")
    size = house.ledger.head().size
    assert house.send(rounds) == 0
    assert house.ledger.head().size == size, "a refusal makes no notice that is refused again"


def test_no_secret_is_in_a_message_nor_an_address_in_the_ledger_or_a_log(
    house: House, server: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    password = "k3Vt9QpL2mXw7"
    host = server.url.removeprefix("json://")
    monkeypatch.setenv("PHONE_URL", f"json://me:{password}@{host}/hooks/{password}-path")
    caplog.set_level(logging.DEBUG)
    rounds = house.rounds(phone={"url_from": "env:PHONE_URL"})
    house.parks("run-1", f"shall I push with {TOKEN}?\x1b[31m\u202e", title=f"push with {TOKEN} \x1b[2J" + "x" * 2_000)
    server.answers = [401]
    house.send(rounds)
    house.send(rounds, failed=True)
    assert TOKEN not in json.dumps(server.got)
    assert "[redacted" in server.got[0]["message"]
    assert "\x1b" not in json.dumps(server.got, ensure_ascii=False)
    assert len(server.titles[0]) <= 120
    assert password not in house.everything()
    assert password not in caplog.text
    assert password not in json.dumps(listing.as_json(listing.look(rounds)))


def test_an_error_of_a_client_is_told_without_its_words(
    house: House, server: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from daybreak.report.notify import apprise_adapter

    def fail(client: object, message: object) -> None:
        raise RuntimeError(f"cannot reach tgram://{TOKEN}/1")

    monkeypatch.setattr(apprise_adapter.Client, "send", fail)
    rounds = house.rounds(phone={"url": server.url})
    house.parks("run-1", "Which colour?")
    house.send(rounds)
    assert "RuntimeError" in house.of(events.NoticeTried)[0].what
    assert TOKEN not in house.everything() + caplog.text


@pytest.mark.skipif(os.geteuid() != 0 and os.name != "posix", reason="modes are POSIX's")
def test_an_address_in_a_file_that_others_may_read_is_not_used(house: House, server: Hook, tmp_path: Path) -> None:
    held = tmp_path / "phone"
    held.write_text(f"{server.url}\n")
    held.chmod(0o644)
    rounds = house.rounds(phone={"url_from": f"file:{held}"})
    found = notifying.test(rounds, ["phone"])["phone"]
    assert found is not None
    assert found.code == "U292"
    assert "chmod 600" in found.hint
    held.chmod(0o600)
    assert notifying.test(rounds, ["phone"])["phone"] is None
    assert [one.ok for one in house.of(events.ChannelTested)] == [False, True]


@pytest.mark.parametrize("held", ["", "nothing", "tgram://", "json://", "file:///etc/passwd", "json://a b"])
def test_an_address_that_is_none_is_told_without_being_shown(
    house: House, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    monkeypatch.setenv("PHONE_URL", held)
    rounds = house.rounds(phone={"url_from": "env:PHONE_URL"})
    found = notifying.test(rounds, ["phone"])["phone"]
    assert found is not None
    assert found.code in ("U292", "U123")
    assert found.hint
    assert not held or f"{held!r}" not in found.message


def test_without_apprise_the_rest_works_and_it_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "installed", lambda: False)
    rounds = house.rounds(phone={"url": "json://127.0.0.1:1"})
    house.parks("run-1", "Which colour?")
    house.send(rounds)
    assert "U291" in house.of(events.NoticeTried)[0].what
    found = notifying.test(rounds, ["phone"])["phone"]
    assert found is not None
    assert "daybreak[notify]" in found.hint
    assert listing.look(rounds)[0].waiting == 1


def test_hosts_of_well_known_services_are_named_at_the_door() -> None:
    from daybreak.report.notify.apprise_adapter import Client

    token = "123456789:AA" + "b" * 33
    assert Client(f"tgram://{token}/42").hosts == ["api.telegram.org:443"]
    assert Client("ntfy://topic").hosts == ["ntfy.sh:443"]
    assert Client("ntfy://localhost:2586/topic").hosts == ["localhost:2586"]
    assert Client("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#x").hosts == ["hooks.slack.com:443"]
    assert Client("mailtos://me:word@example.org?smtp=mail.example.org").hosts[0].startswith("mail.example.org:")
    assert Client("jsons://example.org").hosts == ["example.org:443"]


def test_a_mail_arrives_as_a_mail(house: House) -> None:
    with mail_server() as mail:
        url = f"mailto://127.0.0.1:{mail.port}?from=night@example.org&to=me@example.org"
        rounds = house.rounds(post={"url": url})
        house.parks("run-1", "Welche Größe <b>soll</b> es haben?")
        assert house.send(rounds) == 1
    told: Any = email.message_from_bytes(mail.got[0], policy=email.policy.default)
    assert told["Subject"] == "Daybreak: Question: tidy the shelf"
    assert "me@example.org" in told["To"]
    assert "Welche Größe <b>soll</b> es haben?" in told.get_body(("plain",)).get_content()


def test_a_title_cannot_add_a_header_to_a_mail_nor_mark_up_to_its_page(house: House) -> None:
    with mail_server() as mail:
        rounds = house.rounds(post={"url": f"mailto://127.0.0.1:{mail.port}?from=night@example.org&to=me@example.org"})
        title = "tidy\r\nBcc: them@example.org\r\n\r\n<script>alert(1)</script>\nX-Mark: 1"
        house.parks("run-1", "<img src=http://example.org/x>\r\n.\r\nMAIL FROM:<x@example.org>", title=title)
        assert house.send(rounds) == 1
    told: Any = email.message_from_bytes(mail.got[0], policy=email.policy.default)
    assert mail.to == ["me@example.org"]
    assert len(mail.got) == 1
    assert told["Bcc"] is None
    assert told["X-Mark"] is None
    assert told["Subject"].startswith("Daybreak: Question: tidy Bcc: them@example.org")
    page = told.get_body(("html",))
    assert page is None or "<img" not in page.get_content()
    assert page is None or "<script" not in page.get_content()


# -- crashes and rivals

PROGRAM = """
import os, signal, sys
from daybreak import home
from daybreak.clock import SystemClock
from daybreak.home import notifying
from daybreak.host.locks import FileLocks

told, where, clock = home.settings(), home.places(), SystemClock()
with home.open_ledger(where, told) as ledger:
    rounds = notifying.rounds(ledger, told, where, clock)
    rounds.open_channels()
    if "die" in sys.argv:
        send = rounds.sender.send
        def sending(*words):
            send(*words)
            os.kill(os.getpid(), signal.SIGKILL)
        rounds.sender.send = sending
    print("ready", flush=True)
    sys.stdin.readline()
    print(notifying.send(rounds, FileLocks(where.locks, clock).hold), flush=True)
"""


@pytest.fixture
def started(tmp_path: Path, server: Hook) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Processes of one home whose channel is `server`."""
    (tmp_path / "daybreak.toml").write_text(f'[notify.channels.phone]\nurl = "{server.url}"\n')
    environment = {**os.environ, "DAYBREAK_HOME": str(tmp_path / "home"),
                   "DAYBREAK_CONFIG": str(tmp_path / "daybreak.toml")}  # fmt: skip
    running: list[subprocess.Popen[str]] = []

    def start(*words: str, program: str = PROGRAM, ready: str = "ready\n") -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", program, *words], stdin=subprocess.PIPE, text=True,
                                   stdout=subprocess.PIPE, env=environment, cwd=tmp_path)  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == ready
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


CLOSING = """
import sys
from daybreak import home
from daybreak.clock import SystemClock
from daybreak.home import notifying
from daybreak.host.locks import FileLocks

told, where, clock = home.settings(), home.places(), SystemClock()
with home.open_ledger(where, told) as ledger:
    locks = FileLocks(where.locks, clock)
    notifier = notifying.Notifier(ledger, notifying.rounds(ledger, told, where, clock), locks.hold)
    notifier.start()
    print("ready", flush=True)
    forget = notifier._forget
    notifier._forget = lambda: (forget(), print("closing", flush=True))
    sys.stdin.readline()
    notifier.close()
    print("what follows", flush=True)
"""


def test_ctrl_c_at_the_end_does_not_wait_for_a_server_and_ends_nothing_else(
    house: House, server: Hook, started: Callable[..., subprocess.Popen[str]]
) -> None:
    house.rounds(phone={"url": server.url})
    house.parks("run-1", "Which colour?")
    server.answers = [0]
    closing = started(program=CLOSING)
    assert server.came.wait(30)
    assert closing.stdin is not None
    assert closing.stdout is not None
    closing.stdin.write("go\n")
    closing.stdin.flush()
    assert closing.stdout.readline() == "closing\n"
    closing.send_signal(signal.SIGINT)
    assert closing.communicate(timeout=notifying.CLOSING_S - 5)[0] == "what follows\n"
    assert house.of(events.NoticeSent) == []
    server.let_go.set()
    house.clock.advance(3600)
    assert house.send(house.rounds(phone={"url": server.url})) == 1


def test_a_server_of_pages_tells_what_other_processes_append(
    house: House, server: Hook, started: Callable[..., subprocess.Popen[str]]
) -> None:
    main = "from daybreak.cli.main import app; app()"
    serving = started("serve", "--port", "0", "--no-login-link", "--json", program=main, ready="{\n")
    assert serving.stdout is not None
    assert any(line == "}\n" for line in serving.stdout)
    house.parks("run-1", "Which colour?")
    assert server.came.wait(30)
    serving.send_signal(signal.SIGINT)
    serving.wait(30)
    assert server.titles == ["Daybreak: Question: tidy the shelf"]


def test_a_crash_between_sending_and_recording_repeats_once_and_loses_nothing(
    house: House, server: Hook, started: Callable[..., subprocess.Popen[str]]
) -> None:
    house.rounds(phone={"url": server.url})
    house.parks("run-1", "Which colour?")
    dying = started("die")
    dying.communicate("go\n", timeout=30)
    assert dying.returncode == -signal.SIGKILL
    assert len(server.got) == 1
    assert house.of(events.NoticeSent) == []
    assert started().communicate("go\n", timeout=30)[0] == "1\n"
    assert started().communicate("go\n", timeout=30)[0] == "0\n"
    assert len(server.got) == 2
    assert server.got[0]["message"] == server.got[1]["message"]


def test_of_processes_that_share_a_home_one_sends(
    house: House, server: Hook, started: Callable[..., subprocess.Popen[str]]
) -> None:
    house.rounds(phone={"url": server.url})
    rivals = [started() for _ in range(3)]
    for number in range(3):
        house.parks(f"run-{number}", "Which colour?")
    for each in rivals:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    sent = [int(each.communicate(timeout=30)[0]) for each in rivals]
    assert sum(sent) == 3
    assert len(server.got) == 3
    assert len({one["message"] for one in server.got}) == 3


# -- the command line, and beside a night


@pytest.fixture
def command(
    tmp_path: Path, server: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """`daybreak …` in this process: its exit status and what it printed."""
    from daybreak.cli.main import app
    from daybreak.errors import DaybreakError

    (tmp_path / "daybreak.toml").write_text(f'[notify.channels.phone]\nurl = "{server.url}"\n')
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAYBREAK_CONFIG", str(tmp_path / "daybreak.toml"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        status = 0
        try:
            app(list(words), standalone_mode=True)
        except SystemExit as end:
            status = int(end.code or 0)
        except DaybreakError as error:
            return 2, f"{error.code} {error.message}; {error.hint}"
        return status, capsys.readouterr().out

    return run


def test_the_command_tries_lists_and_sends(command: Callable[..., tuple[int, str]], server: Hook) -> None:
    assert command("notify", "test") == (0, "phone: its server took the message; look whether it arrived\n")
    assert server.titles == ["Daybreak: a test"]
    server.answers = [404]
    status, said = command("notify", "test", "phone", "--json")
    assert status == 1
    assert json.loads(said)["channels"]["phone"]["code"] == "D290"
    status, said = command("notify", "list", "--json")
    (line,) = json.loads(said)["channels"]
    assert status == 0
    assert line["channel"] == "phone"
    assert "404" in line["test"]
    assert line["failing"]
    assert command("notify", "send") == (0, "0 messages sent\n")
    status, said = command("notify", "test", "phnoe")
    assert status == 2
    assert "U290" in said
    assert "did you mean phone?" in said


def test_a_night_tells_of_its_end_before_its_command_ends(
    command: Callable[..., tuple[int, str]], server: Hook
) -> None:
    assert command("night", "--once", "--json")[0] == 0
    assert any("The night has ended" in one for one in server.titles)
    assert any("Morning report" in one for one in server.titles)
    assert command("notify", "send", "--json")[1].startswith('{\n  "sent": 0')


def test_a_night_ends_although_its_channel_hangs(
    command: Callable[..., tuple[int, str]], server: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "CLOSING_S", 2.0)
    server.answers = [0, 0, 0]
    assert command("night", "--once", "--json")[0] == 0
    server.let_go.set()
    said = command("notify", "list", "--json")[1]
    assert json.loads(said)["channels"][0]["waiting"] == 2
    assert "channel phone fails" in command("status")[1]


def test_without_channels_a_night_begins_no_thread_for_them(
    command: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "daybreak.toml").write_text("")
    monkeypatch.setattr(notifying, "Notifier", None)
    assert command("night", "--once", "--json")[0] == 0
