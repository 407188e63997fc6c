"""A run's story is found by looking up when it was asked for, and is whole all the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from daybreak import events, home
from daybreak.engine.queue import Queue
from daybreak.home import story
from daybreak.ledger import Draft, Ledger
from daybreak.testing.clock import FakeClock


class Wall(FakeClock):
    """A clock on the wall that somebody may set back."""

    back = timedelta()

    def now(self) -> datetime:
        return super().now() - self.back


@pytest.fixture
def clock() -> Wall:
    return Wall()


@pytest.fixture
def ledger(tmp_path: Path, clock: Wall) -> Iterator[Ledger]:
    where = {"keys": tmp_path / "keys", "witness": tmp_path / "witness"}
    with Ledger.open(tmp_path / "ledger", clock=clock, views=home.views(), **where) as opened:
        yield opened


def asked(ledger: Ledger, clock: Wall, title: str) -> str:
    clock.advance(60)
    run = Queue(ledger, clock, os.urandom).add("command", title, {}).run
    clock.advance(1)
    refused = events.PolicyRefused(run=run, attempt=1, act="read", what="x", code="P101")
    ledger.append([Draft(events.POLICY, refused, trace=run)])
    return run


def told(ledger: Ledger, run: str) -> list[str]:
    return [record.type for record in story.records(ledger, run)]


def test_it_holds_what_the_queue_its_own_stream_and_policy_say_of_it(ledger: Ledger, clock: Wall) -> None:
    runs = [asked(ledger, clock, f"task {number}") for number in range(5)]
    Queue(ledger, clock, os.urandom).move(runs[2], priority=3)
    assert told(ledger, runs[2]) == ["task.added", "task.placed", "run.moved", "policy.refused"]


def test_what_came_before_it_was_asked_for_is_not_read(ledger: Ledger, clock: Wall) -> None:
    """However long the streams of all runs are."""
    for number in range(50):
        asked(ledger, clock, f"task {number}")
    last = asked(ledger, clock, "the last one")
    read: list[str] = []
    whole = ledger.read_since

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(ledger, name)

        def read_since(self, stream: str, moment: str) -> Iterator[object]:
            for record in whole(stream, moment):
                read.append(stream)
                yield record

    assert [one.type for one in story.records(Counting(), last)] == ["task.added", "run.moved", "policy.refused"]  # type: ignore[arg-type]
    assert len(read) < 5


def test_where_the_clock_was_set_back_everything_is_read(ledger: Ledger, clock: Wall) -> None:
    """Nothing of the story is lost by it."""
    for number in range(3):
        asked(ledger, clock, f"task {number}")
    clock.back = timedelta(hours=2)
    run = asked(ledger, clock, "asked for an hour ago")
    clock.advance(4000)
    for number in range(3):
        asked(ledger, clock, f"later {number}")
    assert told(ledger, run) == ["task.added", "run.moved", "policy.refused"]


def test_long_after_its_end_nothing_more_is_looked_for(ledger: Ledger, clock: Wall) -> None:
    run = asked(ledger, clock, "over soon")
    moved = events.RunMoved(run=run, old="queued", new="cancelled")
    ledger.append([Draft(events.run_stream(run), moved, epoch=0, trace=run)])
    clock.advance(timedelta(hours=2).total_seconds())
    late = events.PolicyRefused(run=run, attempt=2, act="read", what="late", code="P101")
    ledger.append([Draft(events.POLICY, late)])
    clock.advance(timedelta(days=3).total_seconds())
    ledger.append([Draft(events.POLICY, late)])
    assert told(ledger, run).count("policy.refused") == 2
