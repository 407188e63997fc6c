"""The tree of a run as its events make it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from daybreak import events
from daybreak.clock import stamp
from daybreak.report.happened import LINE_CHARS_MAX, happened, line
from daybreak.report.tree import PARTS_MAX, Growth
from daybreak.testing.clock import DAWN, FakeClock

RUN = "run-1"


@dataclass(frozen=True)
class Row:
    """A record as the tree sees it."""

    event: events.Event
    seq: int
    stream: str = f"run:{RUN}"
    epoch: int = 1

    @property
    def index(self) -> int:
        return self.seq

    @property
    def ts(self) -> str:
        return stamp(DAWN + timedelta(seconds=self.seq))


def moved(old: events.State, new: events.State, **more: str) -> events.RunMoved:
    return events.RunMoved(run=RUN, old=old, new=new, **more)


def step(name: str) -> events.StepDone:
    return events.StepDone(run=RUN, branch="", name=name, nth=0, args="", result=None)


def divided(path: str, *names: str) -> events.TaskDivided:
    return events.TaskDivided(run=RUN, path=path, depth=1, parts=[{"name": name} for name in names])


LEASED = [
    events.LeaseGranted(run=RUN, owner="o", host="h", pid=1),
    moved("queued", "leased"),
    moved("leased", "running"),
]


def grown(*told: events.Event) -> Growth:
    growth = Growth(RUN, FakeClock(), "Shelf", "build")
    for seq, event in enumerate([*LEASED, *told]):
        growth.take(Row(event, seq))  # type: ignore[arg-type]
    return growth


def shape(node: Any) -> Any:
    return (node.name, node.state, [shape(child) for child in node.children])


def test_parts_attempts_and_steps_stand_below_their_run() -> None:
    """Parts nested as they were divided, each with its verdict."""
    # shows: F14
    growth = grown(
        divided("", "store", "page"),
        divided("store", "table", "index"),
        events.PartEnded(run=RUN, path="store/table", verdict="done", attempt=1),
        events.AttemptBegan(run=RUN, attempt=1, worker="codex", why="first", role="coder"),
    )
    growth.progress.step_started("check tests")
    assert shape(growth.node(DAWN)) == (
        "Shelf",
        "running",
        [
            ("store", "not over", [("table", "done", []), ("index", "not over", [])]),
            ("page", "not over", []),
            ("attempt 1: codex as coder", "running", []),
            ("check tests", "running", []),
        ],
    )


def test_a_claim_is_shown_as_a_claim_until_the_gate_has_decided() -> None:
    """Nothing looks done because somebody says so."""
    # shows: F1
    growth = grown(
        events.AttemptBegan(run=RUN, attempt=1, worker="liar", why="first"),
        events.AttemptClaimed(run=RUN, attempt=1, worker="liar", outcome="finished", summary="", workspace="0" * 64),
    )
    (attempt,) = growth.node(DAWN).children
    assert (attempt.state, attempt.note) == ("claims", "finished")
    growth.take(
        Row(events.GateDecided(run=RUN, attempt=1, workspace="0" * 64, verdict="failed", score=3.0), 9)  # type: ignore[arg-type]
    )
    assert growth.node(DAWN).children[0].state == "failed"


def test_the_clock_of_a_run_begins_again_with_each_kept_step() -> None:
    """And stands while it has no worker; what another process says of its steps counts only while it has one."""
    growth = grown(step("one"), step("two"))
    assert (growth.steps, growth.border) == (2, stamp(DAWN + timedelta(seconds=4)))
    assert growth.node(DAWN, step="three").children[0].name == "three"
    growth.take(Row(moved("running", "parked", question="which?"), 20))  # type: ignore[arg-type]
    assert (growth.began, growth.border) == ("", "")
    assert growth.node(DAWN, step="three").children == ()


def test_an_event_that_comes_twice_counts_once() -> None:
    """Reading and following may overlap."""
    growth = grown(step("one"))
    growth.take(Row(step("one"), 3))  # type: ignore[arg-type]
    assert growth.steps == 1


def test_many_parts_are_counted_and_not_kept() -> None:
    """A division cannot fill the memory of whoever looks."""
    growth = grown(divided("", *(f"part {number}" for number in range(PARTS_MAX + 5))))
    assert len(growth.parts) == PARTS_MAX
    assert growth.node(DAWN).children[-1].name == "and 5 more parts"


def test_what_happened_is_one_harmless_line() -> None:
    """Titles and reasons of others, however long and whatever is in them."""
    row = Row(moved("running", "failed", why="\x1b[2J\nnext\u202e" + "x" * 1_000_000), 3)
    found = happened(row, lambda run: "a\rtitle")  # type: ignore[arg-type]
    assert found is not None
    told = line(found)
    assert len(told) < LINE_CHARS_MAX + 200
    assert told.isprintable()
    assert "\\x1b[2J next\\u202e" in told
    assert happened(Row(step("one"), 4), lambda run: "") is None  # type: ignore[arg-type]
    assert datetime.fromisoformat(found.ts).tzinfo == UTC
