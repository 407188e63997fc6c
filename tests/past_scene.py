"""A ledger with weeks behind it, for pages that look back: runs that ended, what they cost, lessons, schedules, and
names that mean harm. Its clock is moved from day to day, so all of it is there before anything is served."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.page_scene import COLOURED, HASH, HELD_OUT, LONG, SCRIPT, SECRET, TURNED, Scene, _seen

from daybreak import events
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine.queue import Queue
from daybreak.engine.schedules import Schedules, TaskTemplate
from daybreak.engine.window import Schedule
from daybreak.home import views
from daybreak.ledger import Draft, Ledger
from daybreak.memory import lessons

DAYS = 9
WORKERS = ("codex", "claude", "aider", SCRIPT[:100])
INCIDENT = "inc-past"
SUBJECT = "somebody@somewhere.example"
ASKS = "Shall it go on"
DEEP = 500


class Clock:
    """Goes only where it is sent."""

    def __init__(self, now: datetime) -> None:
        self.at = now

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


def make(home: Path, now: datetime | None = None) -> None:
    """Everything that is shown, in a home that is not there yet."""
    places = Places.below(home, "a test")
    today = now or SystemClock().now()
    clock = Clock(today - timedelta(days=DAYS))
    with Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=views()) as ledger:
        scene = Scene(cast("Any", SimpleNamespace(ledger=ledger)))
        for back in range(DAYS - 1, -1, -1):
            clock.at = max(clock.at, today - timedelta(days=back, hours=2))
            _day(scene, clock, DAYS - back)
        _memory(ledger)
        _schedules(ledger, clock)
        _policy(ledger)
        _hostile(scene)


def many(home: Path, count: int) -> None:
    """So many more events in one stream, a thousand at a time."""
    places = Places.below(home, "a test")
    clock = Clock(SystemClock().now() - timedelta(seconds=60))
    with Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=views()) as ledger:
        for first in range(0, count, 1_000):
            turns = [
                Draft(f"many:{number % 7}", events.AttemptTurn(run="run-many", attempt=1, nth=number, data="x"))
                for number in range(first, min(count, first + 1_000))
            ]
            ledger.append(turns)


def _day(scene: Scene, clock: Clock, number: int) -> None:
    for at in range(3 + number % 3):
        run = f"run-past{number:03d}{at}"
        failed = (number + at) % 4 == 0
        scene.add(run, f"Listing {number}.{at}", kind="command", args={"command": "make listing"})
        scene.begin(run)
        for attempt in (1, 2):
            worker = WORKERS[(number + at + attempt) % len(WORKERS)]
            solved = attempt == 2 and not failed
            call = events.ModelCalled(
                run=run, attempt=attempt, provider="anthropic", model="opus", status=200, input_tokens=9_000,
                output_tokens=800, money_microusd=40_000 * (number + at),
            )  # fmt: skip
            judged = events.AttemptJudged(
                run=run, attempt=attempt, worker=worker, task="build", solved=solved, money_microusd=60_000 * number,
                duration_ms=30_000 * number, trouble="" if solved else ("stalled", "refused", "quota")[at % 3],
            )  # fmt: skip
            scene.tell(run, events.AttemptBegan(run=run, attempt=attempt, worker=worker, why="it is next"), call)
            clock.at += timedelta(minutes=2 * number + at)
            scene.tell(run, judged)
        verdict = "failed" if failed else "passed"
        gate = events.GateDecided(
            run=run, attempt=2, workspace=HASH, verdict=verdict, score=60.0 if failed else 95.0,
            reasons=[f"example:0123456789ab failed: {HELD_OUT}"] if failed else [],
            table=[{"kind": "tests", "weight": 4.0, "points": 1.0, "checks": ["tests"], "failed": ["tests"]}],
        )  # fmt: skip
        scene.tell(run, gate)
        if failed:
            scene.end(run, "failed", why="its gate never passed", code="E199", hint="look at its evidence")
        else:
            scene.end(run, "done")


def _nested() -> Any:
    told: Any = SCRIPT
    for _ in range(DEEP):
        told = [told]
    return told


def _memory(ledger: Ledger) -> None:
    lessons.add(ledger, "Amounts are kept in cents, never as floats.", task="build")
    gone = lessons.add(ledger, "The shop answers only in the morning.")
    lessons.forget(ledger, gone.lesson, why="no longer so")
    hostile = f"{SCRIPT} {TURNED} {COLOURED}"
    learned = events.LessonLearned(
        lesson="les-hostile000",
        text=f"{hostile} {SECRET}",
        source="repair",
        task="build",
        worker=SCRIPT[:60],
        check="tests",
        run="",
    )
    ledger.append([Draft(events.MEMORY, learned, actor="memory")])


def _schedules(ledger: Ledger, clock: Clock) -> None:
    made = Schedules(ledger, clock, Queue(ledger, clock, lambda count: bytes(count)))
    now = clock.at
    clock.at = now - timedelta(hours=30)
    hourly, daily = Schedule(cron="0 * * * *", zone="UTC"), Schedule(cron="30 2 * * *", zone="Europe/Berlin")
    task = TaskTemplate(kind="command", title="Back up the shop", args={"command": "make backup", "text": HELD_OUT})
    hostile = TaskTemplate(kind="command", title=f"{SCRIPT} {TURNED}"[:200], args={"command": SCRIPT})
    made.set("backup", daily, task)
    made.set("prices", hourly, hostile)
    made.set("gone", daily, task)
    made.look(now - timedelta(hours=26))
    made.look(now)
    made.remove("gone")
    asks = made.force("backup").run
    scene = Scene(cast("Any", SimpleNamespace(ledger=ledger)))
    scene.begin(asks)
    question = f"{ASKS}: example:0123456789ab failed: {HELD_OUT} {SECRET}"
    scene.tell(asks, events.RunMoved(run=asks, old="running", new="parked", question=question))
    times = {"cron": "0 * * * *", "zone": "UTC"}
    shapes: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
        ({"cron": "x"}, {}),
        (times, {}),
        (times, {"kind": None, "title": 5, "args": [], "place": 7}),
        ({"anything": 1}, {"kind": "command", "title": "odd", "args": {}, "place": {}}),
    )
    for number, (schedule, kept) in enumerate(shapes):
        odd = events.ScheduleSet(name=f"{SCRIPT[:20]}{number}", schedule=schedule, task=kept, since="nonsense")
        ledger.append([Draft(events.SCHEDULES, odd)])
    clock.at = max(clock.at, now)


def _policy(ledger: Ledger) -> None:
    told: Sequence[events.Event] = (
        events.IncidentRaised(incident=INCIDENT, kind="injection_marked", level=2, run="", attempt=1, what=SCRIPT),
        events.IncidentRaised(incident="inc-old", kind="token_misused", level=1, run="", attempt=1, what="a test"),
        events.IncidentClosed(incident="inc-old", why="a test of ours"),
        events.BreakerChanged(
            name="provider anthropic", version=1, state="open", failures=[], until="2027-01-01T00:00:00.000Z",
            openings=2, probes=[], why="C173 503 three times",
        ),
        events.BreakerChanged(
            name=f"forge {SCRIPT[:40]}", version=1, state="closed", failures=[], until="", openings=0, probes=[], why=""
        ),
        events.AlertFired(
            alert="dear", version=1, metric="money", severity="warning", value=12.5, threshold=10.0,
            text="12.50 USD in a day, more than 10",
        ),
        events.AlertFired(
            alert=f"late {SECRET}", version=1, metric="runs", severity="warning", value=1.0, threshold=1.0,
            text=f"{SCRIPT} {SECRET}",
        ),
        events.IncidentRaised(
            incident="inc-large", kind=f"token {SECRET}", level=1, run="", attempt=1, what=f"{SECRET} {LONG}"
        ),
    )  # fmt: skip
    ledger.append([Draft(events.POLICY, one) for one in told])


def _hostile(scene: Scene) -> None:
    run = "run-pasthostile"
    scene.add(run, f"{SCRIPT} {TURNED} {COLOURED}", kind="command", args={"command": HELD_OUT})
    scene.begin(run)
    shown = _seen(f"check {SCRIPT}", "failed", TURNED, f"{COLOURED}{SCRIPT}\ntoken = {SECRET}\n")
    scene.tell(
        run,
        events.CheckLooked(run=run, attempt=1, held_out=False, evidence=shown),
        events.CheckLooked(
            run=run, attempt=1, held_out=True, evidence=_seen("example:aa", "failed", HELD_OUT, HELD_OUT)
        ),
        events.AttemptTurn(run=run, attempt=1, nth=0, data=LONG),
        events.AttemptTurn(run=run, attempt=1, nth=1, data=[f"{SCRIPT} {TURNED} {SECRET}"]),
        events.AttemptTurn(run=run, attempt=1, nth=2, data=_nested()),
    )
    scene.ledger.append(
        [Draft("control:run-sealed", events.Signalled(run="run-sealed", name="mail", value="hello"), subject=SUBJECT)]
    )
