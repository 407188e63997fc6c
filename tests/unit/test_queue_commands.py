"""`daybreak queue`, and words to one run of it (`answer`, `cancel`, `retry`): the same from the command line, on a
ledger of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from daybreak import home
from daybreak.cli import main, queue
from daybreak.cli.arguments import ArgumentWrong
from daybreak.clock import SystemClock
from daybreak.engine.queue import NotInQueue, Placement, Queue
from daybreak.events import LeaseGranted, RunMoved, State, run_stream
from daybreak.ledger import Draft, Ledger

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test."""
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@contextmanager
def ledger() -> Iterator[Ledger]:
    where, clock = home.places(), SystemClock()
    views = home.views()
    with Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=clock, views=views) as opened:
        yield opened


def add(title: str = "a task", **placement: Any) -> str:
    with ledger() as opened:
        return Queue(opened, SystemClock(), os.urandom).add("command", title, {}, Placement(**placement)).run


def end(run: str, state: State, question: str = "") -> None:
    """Somebody leased the run, and it went so."""
    lease = LeaseGranted(run=run, owner="o", host="here", pid=1)
    moves = [
        RunMoved(run=run, old="queued", new="leased"),
        RunMoved(run=run, old="leased", new="running"),
        RunMoved(run=run, old="running", new=state, question=question),
    ]
    with ledger() as opened:
        opened.append([Draft(run_stream(run), event, epoch=1) for event in (lease, *moves)])


def run(*words: str) -> str:
    """Standard output. Raises what the command raised."""
    app = main.app if words[0] in ("answer", "cancel", "retry") else queue.app
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(*words: str) -> list[Any]:
    return json.loads(run("list", "--json", *words))["runs"]  # type: ignore[no-any-return]


def test_an_empty_queue_says_so_and_is_json() -> None:
    """For people on standard error, for programs an empty list."""
    assert run("list") == ""
    assert json.loads(run("list", "--json")) == {"runs": [], "paused": []}


def test_the_list_is_in_the_order_of_picking() -> None:
    """With the reason for those that wait."""
    # shows: N16
    slow, quick = add(), add(priority=5, project="shop")
    last = add(after=(slow,))
    found = rows()
    assert [row["run"] for row in found] == [quick, slow, last]
    assert [row["position"] for row in found] == [1, 2, None]
    assert found[2]["why"] == f"needs {slow}"
    assert [row["run"] for row in rows("--project", "shop")] == [quick]
    table = run("list")
    assert "ready" in table
    assert "shop" in table


def test_a_title_cannot_speak_for_the_table() -> None:
    """Markup and control characters of a title are shown, not obeyed."""
    # shows: N9
    add("[bold]red[/bold]\x1b[31m")
    table = run("list")
    assert "[bold]red[/bold]" in table
    assert "\x1b" not in table


def test_a_run_is_moved_held_let_go_and_cancelled() -> None:
    """By the beginning of its name."""
    # shows: N16
    first, second = add(), add()
    run("move", second, "--priority", "7")
    assert rows()[0]["run"] == second
    run("move", first, "--not-before", "+2h", "--deadline", "+3h")
    assert rows()[1]["why"].startswith("not before")
    run("move", first, "--deadline", "never")
    assert rows()[1]["deadline"] == ""
    assert json.loads(run("pause", second, "--why", "wait", "--json")) == {"paused": second, "changed": True}
    assert json.loads(run("pause", second, "--json"))["changed"] is False
    assert "paused by a person" in run("list")
    run("resume", second)
    assert run("cancel", first[:-3], "--why", "not needed").startswith(f"{first}: cancelled")
    assert [row["run"] for row in rows()] == [second]


def test_projects_and_the_whole_queue_are_paused() -> None:
    """And the list says so above the table."""
    # shows: N16
    add(project="shop")
    run("pause", "--project", "shop", "--why", "sale")
    run("pause")
    found = json.loads(run("list", "--json"))
    assert [(one["project"], one["why"]) for one in found["paused"]] == [("", ""), ("shop", "sale")]
    assert "paused" in found["runs"][0]["why"]
    run("resume")
    run("resume", "--project", "shop")
    assert rows()[0]["why"] == "ready"
    assert "nothing to change" in run("resume")


def test_a_failed_run_is_tried_again_and_a_parked_one_answered() -> None:
    """The two ways back."""
    # shows: N6
    failed, parked = add(), add()
    end(failed, "failed")
    end(parked, "parked", question="go on?")
    assert [row["run"] for row in rows()] == [parked]
    run("retry", failed)
    run("answer", parked, "yes")
    assert {row["run"]: row["position"] for row in rows()} == {failed: 1, parked: 2}


def test_a_beginning_must_mean_one_run() -> None:
    """Neither none nor several."""
    add()
    add()
    for given in ("run-", "nothing", "", "%", "run-\udcff"):
        with pytest.raises(queue.RunUnclear) as caught:
            run("move", given, "--priority", "1")
        assert caught.value.hint
        with pytest.raises(home.RunUnknown):
            run("cancel", given)


def test_nothing_names_no_run() -> None:
    """Not even where there is only one: an empty variable in a script cancels nobody."""
    add()
    with pytest.raises(home.RunUnknown):
        run("cancel", "")
    assert len(rows()) == 1


def test_a_run_that_is_over_is_named_as_such() -> None:
    """By its whole name it is found, and refused with its state."""
    over = add()
    end(over, "done")
    for words in (("move", over, "--priority", "1"), ("cancel", over)):
        with pytest.raises(NotInQueue, match="done"):
            run(*words)
    with pytest.raises(queue.RunUnclear):
        run("move", over[:8], "--priority", "1")


@pytest.mark.parametrize(
    "words",
    [
        ("move", "run-1"),
        ("move", "run-1", "--priority", "1001"),
        ("move", "run-1", "--priority", "１"),
        ("pause", "run-1", "--project", "p"),
        ("pause", "--project", ""),
        ("pause", "run-1", "--why", "x" * 1001),
        ("answer", "run-1", " "),
        ("answer", "run-1", "\udcff"),
        ("cancel", "run-1", "--why", "\0"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(words: tuple[str, ...]) -> None:
    """Before the ledger is touched."""
    with pytest.raises(ArgumentWrong) as caught:
        run(*words)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOON),
        ("90m", NOON + timedelta(minutes=90)),
        ("+2d", NOON + timedelta(days=2)),
        ("2026-11-22T07:00Z", datetime(2026, 11, 22, 7, tzinfo=UTC)),
        ("2026-11-22 07:00+02:00", datetime(2026, 11, 22, 5, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_people_write_it(text: str, moment: datetime) -> None:
    """Ahead, or as a date."""
    assert queue.moment_of(text, NOON) == moment


def test_a_time_of_day_is_the_next_one_on_the_wall() -> None:
    """Today where it is still to come, else tomorrow; never in the past."""
    for hour in range(24):
        moment = queue.moment_of(f"{hour:02}:30", NOON)
        assert NOON < moment <= NOON + timedelta(days=1)
        assert (moment.astimezone().hour, moment.astimezone().minute) == (hour, 30)


NO_TIMES = ["", "25:00", "tomorrow", "+5", "-5m", "99999999d", "2026-13-01", "0001-01-01T00:00+14:00", "x" * 900]


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time_is_refused(text: str) -> None:
    """With the forms that there are."""
    with pytest.raises(queue.MomentWrong) as caught:
        queue.moment_of(text, NOON)
    assert len(caught.value.message) < 120


def test_every_command_shows_an_example() -> None:
    """House style: help with examples."""
    for command in queue.app.registered_commands:
        assert "daybreak queue" in (command.epilog or "")
        assert command.callback is not None
        assert command.callback.__doc__
    assert isinstance(queue.app, typer.Typer)
