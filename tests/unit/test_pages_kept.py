"""What pages keep is never worked out more often than it is worth, and never hides what somebody has just done."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from biscuit_auth import KeyPair
from tests import page_scene

from daybreak import home as homes
from daybreak.clock import SystemClock
from daybreak.engine.experience import Experience
from daybreak.home import Home, acting
from daybreak.report import timeleft
from daybreak.web import desk as desks
from daybreak.web.desk import Desk
from daybreak.web.pages import kept
from daybreak.web.pages.kept import Kept
from daybreak.web.pages.moving import Followers


class Clock(SystemClock):
    """Its monotonic time goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with homes.opened(looking=True, through=acting.through) as opened:
        yield desks.make(opened, KeyPair().public_key, clock=Clock(), entropy=os.urandom)


def _grow(home: Home, number: int) -> None:
    page_scene.Scene(home).add(page_scene.run_name(number), f"run {number}")


def test_what_is_quick_is_as_new_as_the_ledger(desk: Desk) -> None:
    found: Kept[int] = Kept()
    made = iter(range(10))
    assert [found.get(desk, "", lambda: next(made)) for _ in range(3)] == [0, 0, 0]
    _grow(desk.home, 1)
    assert found.get(desk, "", lambda: next(made)) == 1
    desk.clock.now_s += kept.FRESH_S  # type: ignore[attr-defined]
    assert found.get(desk, "", lambda: next(made)) == 2, "times that are shown go on"


def test_what_is_slow_is_worked_out_beside_the_pages_once_and_anew_after_somebody_did_something(desk: Desk) -> None:
    """shows: F14"""
    found: Kept[str] = Kept()
    go, over = threading.Event(), threading.Event()
    asked: list[str] = []

    def slow(value: str, *, waits: bool = False) -> str:
        asked.append(value)
        if waits:
            assert go.wait(10)
        desk.clock.now_s += 1.0  # type: ignore[attr-defined]
        return value

    assert found.get(desk, "", lambda: slow("first")) == "first"
    _grow(desk.home, 1)
    for _ in range(5):  # ten tabs cost what one costs
        assert found.get(desk, "", lambda: slow("second", waits=True)) == "first"
    kept.drop(desk)
    assert found.get(desk, "", lambda: slow("mine")) == "mine"
    go.set()
    for thread in threading.enumerate():
        if thread.name == "daybreak-web-kept":
            thread.join(10)
            over.set()
    assert over.is_set()
    assert asked.count("second") <= 1
    assert found.get(desk, "", lambda: slow("third")) == "mine", "what was begun before it counts no more"
    desk.clock.now_s += kept.STALE_S + 20  # type: ignore[attr-defined]
    _grow(desk.home, 2)
    assert found.get(desk, "", lambda: slow("fourth")) == "fourth", "nothing that is long past is shown"


def test_time_left_is_what_the_terminal_says(desk: Desk) -> None:
    """From the same history, by the same way; and where there is none, nobody pretends to know."""
    page_scene.seed(desk.home)
    known = Followers(desk.home.ledger, desk.clock)
    moving, now = known.of(page_scene.RUNNING), desk.clock.now()
    for thread in (known.left(moving, now), *threading.enumerate()):
        if isinstance(thread, threading.Thread) and thread.name == "time left":
            thread.join(20)
    desk.clock.now_s += 2  # type: ignore[attr-defined]
    left = known.left(moving, now)
    rests = timeleft.rests(
        Experience(desk.home.ledger, ["build"]).basis("build", moving.growth.title), moving.growth.steps
    )
    spent_s = (now - datetime.fromisoformat(moving.growth.border)).total_seconds()
    assert left == timeleft.of_run(rests, max(0.0, spent_s))
    queued = known.of(page_scene.run_name(105))
    assert known.left(queued, now) is None
