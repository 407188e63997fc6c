"""What people are told, from events alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from daybreak import events
from daybreak.report import render
from daybreak.report.progress import Progress
from daybreak.report.run import collect

RUN = "run-1"


@dataclass
class StillClock:
    """Time that moves only when told."""

    seconds: float = 0.0

    def now(self):  # type: ignore[no-untyped-def]
        raise AssertionError("progress must not read the time of day")

    def monotonic(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Row:
    """A ledger record as the report sees it."""

    event: events.Event
    seq: int
    stream: str = f"run:{RUN}"
    ts: str = "2026-11-21T04:00:00.000000Z"
    actor: str = ""


PLAN = {
    "requirements": [
        {"id": "FR-001", "text": "MUST add", "must": True},
        {"id": "FR-002", "text": "MUST list | show", "must": True},
        {"id": "FR-003", "text": "MUST please", "must": True},
    ],
    "shown_by": [
        {"id": "aaa", "kind": "console", "title": "FR-001 adding", "line": 10, "requirements": ["FR-001"]},
        {"id": "bbb", "kind": "console", "title": "FR-002 listing", "line": 20, "requirements": ["FR-002"]},
    ],
    "steps": [
        {"name": "prove aaa", "weight_s": 1},
        {"name": "attempt", "weight_s": 1},
        {"name": "check tests", "weight_s": 6},
        {"name": "check example:aaa", "weight_s": 2},
    ],
}


def looked(check: str, outcome: str, attempt: int = 1, *, held_out: bool = False) -> events.CheckLooked:
    evidence = {
        "check": check,
        "outcome": outcome,
        "summary": f"{check} {outcome}",
        "marks": [{"message": "wrong [red]text[/]", "place": "a.py:1"}] if outcome == "failed" else [],
        "requirements": {"aaa": ["FR-001"], "bbb": ["FR-002"]}.get(check.removeprefix("example:"), []),
        "command": "pytest",
        "output": "",
    }
    return events.CheckLooked(run=RUN, attempt=attempt, held_out=held_out, evidence=evidence)


def story(*told: events.Event) -> list[Row]:
    asked = events.TaskAdded(task="task-1", run=RUN, kind="build", title="Shelf", args={})
    return [Row(event, seq) for seq, event in enumerate([asked, events.PlanMade(run=RUN, plan=PLAN), *told])]


def moved(new: events.State, **more: str) -> events.RunMoved:
    return events.RunMoved(run=RUN, old="running", new=new, **more)


def test_a_requirement_is_shown_only_by_evidence_that_passed() -> None:
    """Passed is shown, failed is failed, and what no example names is not shown."""
    # shows: N2
    report = collect(story(looked("example:aaa", "passed"), looked("example:bbb", "failed", held_out=True)))
    assert [line.verdict for line in report.requirements] == ["shown", "failed", "not shown"]
    assert report.requirements[0].evidence == [f"run:{RUN}#2"]


def test_only_the_last_attempt_counts() -> None:
    """What an earlier attempt passed says nothing about the result that is delivered."""
    report = collect(story(looked("example:aaa", "passed", 1), looked("example:aaa", "failed", 2)))
    assert report.requirements[0].verdict == "failed"


def test_a_claim_is_never_reported_as_a_verdict() -> None:
    """A worker that says finished changes no requirement and no headline."""
    # shows: F1
    claim = events.AttemptClaimed(
        run=RUN, attempt=1, worker="liar", outcome="finished", summary="all done", workspace="0" * 64
    )
    report = collect(story(claim))
    assert {line.verdict for line in report.requirements} == {"not shown"}
    assert "verified" not in render.headline(report).replace("nothing is verified", "")


def test_the_report_renders_what_programs_print_as_it_is() -> None:
    """Text that looks like markup or a table is shown, not obeyed."""
    delivered = events.Delivered(run=RUN, output="/out/[bold]x", workspace="0" * 64, manifest="1" * 64)
    report = collect(story(looked("tests", "failed"), delivered, moved("done")))
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    render.to_terminal(report, console)
    console.file.close()
    shown = console.export_text()
    assert "wrong [red]text[/]" in shown
    assert "/out/[bold]x" in shown
    markdown = render.to_markdown(report)
    assert "MUST list \\| show" in markdown
    assert f"run:{RUN}#2" in markdown


def test_every_end_has_its_headline_and_a_next_step() -> None:
    """Parked asks, failed hints, paused resumes."""
    parked = collect(story(moved("parked", question="deliver?")))
    assert "deliver?" in render.headline(parked)
    assert parked.next_steps[0] == "answer: deliver?"
    failed = collect(story(moved("failed", why="not verified", code="C132", hint="look at it")))
    assert render.headline(failed) == "failed: not verified"
    assert failed.next_steps == ["look at it"]
    paused = collect(story(moved("paused")))
    assert paused.next_steps == [f"daybreak resume {RUN}"]


def step(name: str) -> events.StepDone:
    return events.StepDone(run=RUN, branch="", name=name, nth=0, args="", result=None)


def test_progress_is_weighted_and_whole_only_at_the_end() -> None:
    """The fraction follows the planned seconds, and 100 % means over."""
    # shows: F14
    clock = StillClock()
    progress = Progress(clock)
    progress.take(moved("running"))
    progress.take(events.PlanMade(run=RUN, plan=PLAN))
    assert progress.fraction == 0
    for name in ("prove aaa", "attempt", "check example:aaa"):
        progress.step_started(name)
        progress.take(step(name))
    clock.seconds = 4.0
    assert progress.fraction == 0.4
    progress.step_started("check tests")
    assert set(progress.under_way) == {"check tests"}
    progress.take(step("check tests"))
    assert progress.fraction < 1
    progress.take(moved("done"))
    assert progress.fraction == 1


def test_a_second_attempt_puts_its_work_before_us_again() -> None:
    """Progress goes back when the checks have to run again, rather than pretend."""
    progress = Progress(StillClock())
    progress.take(events.PlanMade(run=RUN, plan=PLAN))
    for name in ("prove aaa", "attempt", "check tests"):
        progress.take(step(name))
    before = progress.fraction
    again = events.AttemptClaimed(
        run=RUN, attempt=2, worker="builder", outcome="finished", summary="", workspace="", not_built=["a bridge"]
    )
    line = progress.take(again)
    assert progress.fraction < before
    assert line is not None
    assert "not built: a bridge" in line


def test_incidents_of_the_run_are_told_first() -> None:
    """With their level and what follows; on the terminal and as Markdown."""
    raised = events.IncidentRaised(
        incident="inc-1", kind="injection_marked", level=1, run="run-1", attempt=2, what="findings"
    )
    report = collect(story(raised))
    (line,) = report.incidents
    assert (line.what, line.outcome, line.attempt) == ("level 1: injection marked", "logged", 2)
    assert "## Incidents" in render.to_markdown(report)


def test_the_report_says_how_the_work_was_shared_and_what_was_there_already() -> None:
    """The paradigm with its reason, and what was taken over with the decisions it stands on: as text, as JSON, and
    while it happens."""
    # shows: F6, F14, N2
    plan = {**PLAN, "paradigm": "consensus", "paradigm_why": "it is complex", "candidates": 3}
    taken = events.WorkTakenOver(
        run=RUN,
        source="run-0",
        begin="testing",
        phases=["design", "implementation"],
        gates={"design": 7, "implementation": 19},
        artefacts={"design": "d" * 64},
        workspace="a" * 64,
        tree="b" * 64,
        worker="codex [bold]",
        role="implementer",
    )
    made = events.PlanMade(run=RUN, plan=plan)
    report = collect(story(made, taken))
    assert report.paradigm is not None
    assert (report.paradigm.outcome, report.paradigm.event) == ("consensus of 3", f"run:{RUN}#2")
    assert report.taken_over is not None
    told = report.model_dump(mode="json")
    assert told["taken_over"]["event"] == f"run:{RUN}#3"
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    render.to_terminal(report, console)
    console.file.close()
    for text in (console.export_text(), render.to_markdown(report)):
        assert "How the work was shared" in text
        assert "consensus of 3" in text
        assert "it is complex" in text
        assert "from run run-0: design, implementation, with what codex [bold] made (aaaaaaaaaaaa)" in text
        assert "implementation passed there: event 19 of the ledger" in text
    progress = Progress(StillClock())
    assert progress.take(made) == "paradigm consensus of 3: it is complex"
    assert (progress.take(taken) or "").startswith("taken over from run run-0: design, implementation, with what codex")
    old = collect(story())
    assert (old.paradigm, old.taken_over) == (None, None)
    assert "How the work was shared" not in render.to_markdown(old)


def test_the_report_says_where_an_attempt_was_done_and_what_was_lost_on_the_way() -> None:
    """Also where the builder alone was asked; a node's words cannot paint the screen."""
    # shows: N14
    evil = "\x1b[31mhost\u202e"
    told: dict[str, Any] = {"run": RUN, "job": "abc:attempt 1", "epoch": 1}
    lost: dict[str, Any] = {"run": RUN, "job": "abc:attempt 1", "node": "n1"}
    report = collect(
        story(
            events.AttemptBegan(run=RUN, attempt=1, worker="builder", why="first", passed_over={}, budget="hard"),
            events.JobPlaced(**told, nth=1, node="n1", host=evil, sandbox="degraded: no bwrap"),
            events.JobLost(**lost, nth=1, why=f"{evil} fell silent", again=True),
            events.JobPlaced(**told, nth=2, node="n2", host="two", sandbox="full"),
            events.JobLate(**told, nth=1, node="n1"),
            events.JobLost(**{**lost, "job": "abc:check tests"}, nth=1, why="gone", again=False),
            events.JobLost(**{**lost, "job": "abc:look lint"}, nth=1, why="no venv", again=True, refused=True),
            events.JobPlaced(**{**told, "job": "abc:look lint"}, nth=2, node="", host=evil, sandbox=""),
        ),
    )
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    render.to_terminal(report, console)
    console.file.close()
    text = console.export_text()
    for words in ("on node two, sandbox full", "fell silent; it is done again", "after it was given up", "check tests"):
        assert words in text
    told_of = [(one.outcome, one.summary.partition(",")[0]) for one in report.asked if one.what == "look lint"]
    assert told_of == [("passed over", "no venv"), ("placed", "on the coordinator's machine")]
    assert "\x1b" not in text
    assert "\u202e" not in text
