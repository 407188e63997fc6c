"""A night as its ledger tells it: verified, claimed, failed and parked runs, and what happened beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from daybreak import events, home
from daybreak.config import Places
from daybreak.engine import Queue
from daybreak.engine.placement import Placement
from daybreak.ledger import Draft, Ledger
from daybreak.policy.budget import Limit

DUSK = datetime(2026, 3, 1, 21, 0, tzinfo=UTC)
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
HIDDEN = "the total of 17 oranges is 51"
"""What a held-out example says."""
HOSTILE = "<script>alert('x')</script>\u202eevil\x1b[31m & \"quoted\" </style></template>"


class Clock:
    """Moves a second at every look."""

    def __init__(self) -> None:
        self.moment = DUSK

    def now(self) -> datetime:
        self.moment += timedelta(milliseconds=10)
        return self.moment

    def elapsed(self) -> float:
        return (self.moment - DUSK).total_seconds()


@dataclass
class Scene:
    base: Path
    clock: Clock = field(default_factory=Clock)

    @property
    def places(self) -> Places:
        return Places.below(self.base / "home", "a test")

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        places = self.places
        with Ledger.open(
            places.ledger,
            keys=places.keys,
            witness=places.witness,
            clock=self.clock,  # type: ignore[arg-type]
            views=home.views(),
        ) as ledger:
            yield ledger

    def begin(self, ledger: Ledger, night: str = "night-1", **plan: Any) -> None:
        ledger.append([Draft(events.NIGHTS, events.NightBegan(night=night, host="here", pid=1, workers=4, **plan))])

    def end(self, ledger: Ledger, night: str = "night-1", **told: Any) -> None:
        ended = events.NightEnded(night=night, **{"why": "empty", "text": "nothing is left", **told})
        ledger.append([Draft(events.NIGHTS, ended)])

    def run(
        self,
        ledger: Ledger,
        title: str,
        told: Sequence[events.Event],
        moved: events.RunMoved | None = None,
        *,
        night: str = "night-1",
        kind: str = "build",
        said: Sequence[events.Event] = (),
        args: dict[str, Any] | None = None,
    ) -> str:
        """A run of that story, whose events are told of run `""`."""
        placement = Placement(budget=Limit(attempts=4))
        run, drafts = Queue(ledger, self.clock, os.urandom).drafts(kind, title, args or {}, placement)  # type: ignore[arg-type]
        lease = events.LeaseGranted(run=run, owner="o", host="here", pid=1, night=night)
        moved = moved or events.RunMoved(run="", old="running", new="done")
        story = [lease, events.RunMoved(run=run, old="leased", new="running"), *told, moved]
        drafts += [Draft(events.run_stream(run), _of(one, run), epoch=1, trace=run) for one in story]
        ledger.append(drafts)
        if said:
            ledger.append([Draft(events.control_stream(run), _of(one, run), "person ada", trace=run) for one in said])
        return run

    def whole(self, ledger: Ledger) -> dict[str, str]:
        """A night with one of everything; the runs by what they are."""
        self.begin(ledger, budget={"money_microusd": 20_000_000})
        whole = [plan(), *attempt(1), *hidden(), gate(), delivered()]
        tried = [*attempt(1, "claims"), bad(1), *attempt(2, "claims"), bad(2)]
        runs = {
            "verified": self.run(ledger, "shop: totals in cents", whole),
            "accepted": self.run(
                ledger, "blog: a feed", [plan(), *attempt(1), gate(), delivered()],
                said=[events.ResultAccepted(run="", about="run:x#1", index=1, note="just right")],
            ),
            "claimed": self.run(ledger, "clean the cache", [], kind="command"),
            "failed": self.run(ledger, "parser: dates", tried, failed()),
            "parked": self.run(ledger, "notes: which format?", attempt(1), parked()),
            "secret": self.run(ledger, f"deploy with {SECRET}", attempt(1), failed(f"token={SECRET} was refused")),
            "hostile": self.run(ledger, HOSTILE, attempt(1, HOSTILE), parked(HOSTILE)),
        }  # fmt: skip
        what = {"incident": "inc-1", "kind": "prompt_injection", "level": 2, "run": runs["failed"], "what": HOSTILE}
        breaker = {"name": "models", "state": "open", "until": "2026-03-02T01:00:00Z", "why": "3 failures"}
        counts: dict[str, Any] = {"failures": [], "openings": 1, "probes": [], "version": 1}
        drift = events.ViewDrift(view="runs", table="view_runs", kind="missing", rows=2, severity="critical")
        witness = {"witness": "hill", "kind": "http", "size": 3, "witnessed": 3}
        note = {"night": "night-1", "what": "snapshot", "level": 0, "text": "one snapshot, restored on trial"}
        told: list[tuple[str, events.Event]] = [
            (events.POLICY, events.IncidentRaised(**what)),  # type: ignore[arg-type]
            (events.POLICY, events.BreakerChanged(**breaker, **counts)),
            (events.KEYS, events.ViewsDrifted(size=9, drifts=[drift])),
            (events.KEYS, events.ViewsRepaired(size=9, views=["runs"])),
            (events.KEYS, events.WitnessLapsed(**witness, state="failing", code="W1", problem="no answer")),  # type: ignore[arg-type]
            (events.NIGHTS, events.NightNoted(**note)),  # type: ignore[arg-type]
        ]
        ledger.append([Draft(stream, event) for stream, event in told])
        self.end(ledger, used={"money_microusd": 4_250_000, "tokens": 812_000})
        return runs


def _of(event: events.Event, run: str) -> events.Event:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return type(event)(**{**fields, "run": run})


def plan(many: int = 3) -> events.PlanMade:
    asked = [{"id": f"F-{n}", "text": f"requirement {n}", "must": True} for n in range(many)]
    shown = [
        {"id": f"e{n}", "kind": "cli", "title": HIDDEN, "line": n, "requirements": [f"F-{n}"]} for n in range(many)
    ]
    return events.PlanMade(run="", plan={"requirements": asked, "shown_by": shown, "held_out": 1})


def attempt(number: int, summary: str = "all is built") -> list[events.Event]:
    began = events.AttemptBegan(run="", attempt=number, worker="builder", why="the first in the order", budget="soft")
    claimed = events.AttemptClaimed(
        run="", attempt=number, worker="builder", outcome="finished", summary=summary, workspace="a" * 64
    )
    return [began, claimed]


def hidden(passed: bool = True) -> list[events.Event]:
    seen = {
        "check": "example:e2",
        "outcome": "passed" if passed else "failed",
        "summary": HIDDEN,
        "output": HIDDEN,
        "marks": [],
        "command": "",
    }
    return [events.CheckLooked(run="", attempt=1, held_out=True, evidence=seen)]


def gate(many: int = 3) -> events.GateDecided:
    names = [f"example:e{n}" for n in range(many)]
    table = [{"kind": "example", "weight": 50, "points": 50, "checks": names, "failed": [], "unseen": []}]
    return events.GateDecided(run="", attempt=1, workspace="a" * 64, verdict="passed", score=100, table=table)


def bad(number: int) -> events.GateDecided:
    why = f"example:e2 failed: printed nothing, expected {HIDDEN}"
    table = [{"kind": "example", "checks": ["example:e2"], "failed": ["example:e2"]}]
    return events.GateDecided(
        run="", attempt=number, workspace="a" * 64, verdict="failed", score=40, reasons=[why, "tests failed: 3 of 9"],
        table=table,
    )  # fmt: skip


def delivered() -> events.Delivered:
    return events.Delivered(run="", output="/home/ada/shop", workspace="a" * 64, manifest="b" * 64)


def failed(why: str = "") -> events.RunMoved:
    why = why or f"no attempt passed its gate: example:e2 failed: expected {HIDDEN}; tests failed: 3 of 9"
    return events.RunMoved(run="", old="running", new="failed", why=why, code="D101", hint="look at the report")


def parked(question: str = "JSON or YAML?") -> events.RunMoved:
    return events.RunMoved(
        run="", old="running", new="parked", why="both would do", question=question, hint="answer it, then it goes on"
    )
