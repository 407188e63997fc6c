"""What stands around a night: its command's arguments, its report, how everything stands, pings, and ending owners."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
import typer
from tests.unit.night_scene import Scene

from daybreak import home
from daybreak.cli import arguments, night, unlock
from daybreak.cli.arguments import ArgumentWrong
from daybreak.engine.night import Hooks, Plan
from daybreak.errors import UsageError
from daybreak.events import NIGHTS, IncidentRaised, NightNoted
from daybreak.host import locks, owners, vigil
from daybreak.host.owners import OwnerStays
from daybreak.ledger.record import Draft
from daybreak.policy.budget import Limit
from daybreak.report import morning, standing
from daybreak.report import night as nightly
from daybreak.testing.clock import FakeClock

NOW = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)


async def quick(ctx: Any, args: Any) -> str:
    async def answer() -> str:
        return "done"

    return str(await ctx.step("answer", answer))


async def asks(ctx: Any, args: Any) -> Any:
    return await ctx.ask("blue or \x1b[31mgreen?")


async def broken(ctx: Any, args: Any) -> None:
    raise ValueError("a fault of the task's")


def _plan(**given: Any) -> Plan:
    asked = {"until": None, "for_": None, "budget": None, "once": False, "workers": 4, "if_busy": "refuse"}
    return night._plan(NOW, **{**asked, **given})


# -- arguments


def test_a_night_ends_at_the_next_such_time_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tomorrow, where it is past today; right in the nights in which the clock is changed."""
    # shows: N1 N6
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert _plan(until="07:00").until == datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
        assert _plan(until="23:30").until == datetime(2026, 3, 1, 22, 30, tzinfo=UTC)
        before_summer = datetime(2026, 3, 28, 21, 0, tzinfo=UTC)
        assert night._end(before_summer, "07:00", None) == datetime(2026, 3, 29, 5, 0, tzinfo=UTC)
        before_winter = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)
        assert night._end(before_winter, "07:00", None) == datetime(2026, 10, 25, 6, 0, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_night_may_be_told_how_long_it_is() -> None:
    """In units that add up; with its budget as people write it."""
    assert _plan(for_="1h 30min").until == NOW + timedelta(minutes=90)
    assert _plan(budget="20usd").budget == Limit(money_microusd=20_000_000)
    assert _plan(budget="no limit").budget is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"until": "25:00"},
        {"until": ""},
        {"until": "2026-03-01T21:00Z"},
        {"until": "2027-01-01T00:00Z"},
        {"until": "７:00"},
        {"until": "now"},
        {"until": "x" * 5000},
        {"until": "07:00", "for_": "1h"},
        {"for_": "3usd"},
        {"for_": "0s"},
        {"for_": "400d"},
        {"for_": "-1h"},
        {"budget": "2h"},
        {"budget": "many"},
        {"if_busy": "panic"},
    ],
)
def test_arguments_that_cannot_be_are_refused_in_words(wrong: dict[str, str]) -> None:
    """Usage errors with a hint, no longer than a few lines."""
    # shows: P8
    with pytest.raises(UsageError) as refused:
        _plan(**wrong)
    assert refused.value.hint
    assert len(refused.value.message) < 300


def test_a_report_that_cannot_be_written_is_known_in_the_evening(tmp_path: Path) -> None:
    """A folder, or a file in a folder that is not there."""
    for path in (tmp_path, tmp_path / "nowhere" / "report.txt"):
        with pytest.raises(ArgumentWrong, match="--report-to"):
            night._check_report(path)
    night._check_report(tmp_path / "report.txt")


# -- the report


def test_the_report_of_a_night_names_first_what_needs_a_person() -> None:
    """Questions, then failures, each with what to do; nothing in it steers a terminal."""
    # shows: N1
    scene = Scene(quick=quick, asks=asks, broken=broken)
    scene.add("quick", 3)
    (asking,) = scene.add("asks")
    (failed,) = scene.add("broken")
    scene.ledger.append([Draft("policy", IncidentRaised(incident="inc-1", kind="token_forged", level=2))])
    result = scene.night(Plan(once=True, budget=Limit(money_microusd=5_000_000)))
    report = morning.collect(scene.ledger, now=scene.clock.now(), night="")
    assert (report.night, report.state, len(report.claimed)) == (result.night, "ended", 3)
    text = morning.text.render(report)
    assert "\x1b" not in text
    assert text.index(asking) < text.index(failed)
    assert f"daybreak answer {asking} ANSWER" in text
    assert "of 5usd" in text
    assert "inc-1" in text
    assert report.counts == {"waits for you": 1, "claimed": 3, "failed": 1}


class Died(BaseException):
    """The process is dead."""


def _killed(scene: Any, done: int, plan: Plan) -> str:
    """A night that dies once so many runs are done: its name."""

    async def beat(status: Any) -> None:
        if scene.states().get("done", 0) >= done:
            raise Died

    supervisor = scene.supervisor(plan, hooks=Hooks(beat=beat))
    with pytest.raises(BaseExceptionGroup):
        scene.run(supervisor.work)
    return str(supervisor.night)


async def slow(ctx: Any, args: Any) -> None:
    async def rest() -> None:
        await trio.sleep(60)

    await ctx.step("rest", rest)


def test_the_report_of_a_night_that_was_killed_tells_of_all_its_starts() -> None:
    """Twice killed, begun a third time: nothing that was done before is left out, and no run is told twice."""
    # shows: N1
    scene = Scene(slow=slow)
    runs = scene.add("slow", 5)
    one_by_one = Plan(once=True, workers=1, until=scene.after(hours=8))
    starts = [_killed(scene, done, one_by_one) for done in (1, 3)]
    last = scene.night(one_by_one).night
    report = _told(scene)
    assert [run.run for run in report.claimed] == runs == nightly.runs_of(scene.ledger)
    assert report.counts == {"claimed": 5}
    assert report.nights == [*starts, last]
    assert "begun 3 times" in morning.text.render(report)
    assert report.since == _told(scene, starts[0]).since
    assert [run.run for run in _told(scene, starts[0]).claimed] == runs[:1], "what it had last"
    assert nightly.runs_of(scene.ledger, starts[0]) == runs[:1]


def _told(scene: Any, night: str = "") -> morning.Morning:
    return morning.collect(scene.ledger, now=scene.clock.now(), night=night)


def test_the_report_of_the_next_night_leaves_out_what_yesterdays_did() -> None:
    """It goes on with what a night left that had died, whose time was over: another night all the same."""
    # shows: N1
    scene = Scene(slow=slow)
    runs = scene.add("slow", 3)
    dead = _killed(scene, 1, Plan(workers=1, until=scene.after(hours=1)))
    scene.clock.advance(7200)
    scene.night(Plan(once=True, workers=1))
    report = _told(scene)
    assert dead not in report.nights
    assert [run.run for run in report.claimed] == runs[1:] == nightly.runs_of(scene.ledger)


def test_a_night_is_found_by_the_beginning_of_its_name() -> None:
    """Or is the newest; one that never was is an error."""
    scene = Scene(quick=quick)
    with pytest.raises(nightly.NightUnknown, match="no night here yet"):
        nightly.pick(scene.ledger, None)
    first, second = scene.night().night, scene.night().night
    assert nightly.pick(scene.ledger, None).night == second
    assert nightly.pick(scene.ledger, first).night == first
    with pytest.raises(nightly.NightUnknown, match="several"):
        nightly.pick(scene.ledger, "night-")
    with pytest.raises(nightly.NightUnknown, match="no night is"):
        nightly.pick(scene.ledger, "x" * 1000)


def test_how_everything_stands_puts_questions_first() -> None:
    """Beside a night or without one; runs whose owner died are told."""
    # shows: F15
    scene = Scene(quick=quick, asks=asks)
    (asking,) = scene.add("asks")
    scene.night(Plan(once=True))
    now = scene.clock.now() + timedelta(minutes=5)
    seen = standing.collect(scene.ledger, now, locks={}, beats={}, wakes=now)
    assert [question.run for question in seen.questions] == [asking]
    text = standing.as_text(seen)
    assert text.startswith("1 wait for you:")
    assert "no night is under way" in text
    assert "\x1b" not in text
    assert standing.as_json(seen)["counts"] == {"parked": 1}


# -- pings


class _Asked(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
        else:
            self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def address() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (_Asked,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


def test_a_ping_asks_for_the_address_and_no_other(address: tuple[str, list[str]]) -> None:
    """Nobody goes where it sends one; what is not a success is a failure."""
    # shows: N1
    base, asked = address
    vigil.ping(f"{base}/fine")
    for path in ("/moved", "/broken"):
        with pytest.raises(vigil.PingFailed):
            vigil.ping(f"{base}{path}")
    assert asked == ["/fine", "/moved", "/broken"]
    with pytest.raises(vigil.PingFailed, match="did not answer"):
        vigil.ping("http://127.0.0.1:1/")


@pytest.mark.parametrize(
    "url", ["", "ftp://x/", "http://", "file:///etc/passwd", "http://a b/", "http://x/\n", "http://[", "x" * 9000]
)
def test_what_is_no_address_is_not_pinged(url: str) -> None:
    """Only http and https, in one line."""
    # shows: P8
    with pytest.raises(vigil.PingUnusable) as refused:
        vigil.check_url(url)
    assert len(refused.value.message) < 150


def test_the_secret_part_of_an_address_is_not_told() -> None:
    """A ping's path is a key to the service."""
    with pytest.raises(vigil.PingFailed) as failed:
        vigil.ping("http://127.0.0.1:1/my-secret-key")
    assert "my-secret-key" not in failed.value.message


def test_whether_the_machine_is_kept_awake_is_told() -> None:
    """By what, or why not; the block is entered either way."""
    with vigil.awake("a test") as awake:
        assert awake.how


# -- owners

HOLD = """
import subprocess, sys
from pathlib import Path
from daybreak.clock import SystemClock
from daybreak.host import locks
held = locks.acquire(Path(sys.argv[1]), SystemClock())
if "beat" in sys.argv:
    held.beat()
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str], int]]:
    """A lock, the process that holds it, and a child of that."""
    path = tmp_path / "run.lock"
    command = [sys.executable, "-c", HOLD, str(path), "beat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield path, process, child
        process.kill()
        for_sure = owners.state_of(child)
        if for_sure not in ("", "Z"):
            os.kill(child, signal.SIGKILL)


HOLD_LEDGER = """
import sys
from pathlib import Path
import apsw
from daybreak.clock import SystemClock
from daybreak.host import locks
held = locks.acquire(Path(sys.argv[1]), SystemClock())
held.beat()
connection = apsw.Connection(sys.argv[2])
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A supervisor that was stopped in the middle of a commit; the home of this process is its."""
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with home.opened():
        """There is a ledger."""
    where = home.places()
    command = [sys.executable, "-c", HOLD_LEDGER, str(where.locks / "supervisor.lock"), str(where.ledger / "ledger.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        yield process
        process.kill()


@pytest.mark.parametrize("if_busy", ["wait", "help"])
def test_who_stopped_in_the_middle_of_a_commit_holds_nobody_up(
    stopped: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, if_busy: Any
) -> None:
    """It holds the database, so it is ended before that is opened; the night notes it once."""
    # shows: N5 N14
    monkeypatch.setattr(night, "_plan", lambda *_: Plan(once=True, if_busy=if_busy, lease_s=0.2))
    monkeypatch.setattr(night, "_preflight", lambda _: [])
    monkeypatch.setattr(night, "_snapshot", lambda _: [])
    with pytest.raises(typer.Exit) as ended:
        night.night(if_busy=if_busy)
    assert ended.value.exit_code == 0
    assert stopped.wait() == -signal.SIGKILL
    with home.opened() as opened:
        notes = [one.event for one in opened.ledger.read(NIGHTS) if isinstance(one.event, NightNoted)]
    assert [(note.details["lock"], note.details["pid"]) for note in notes if note.what == "takeover"] == [
        ("supervisor", stopped.pid)
    ]


def test_a_night_that_would_be_refused_ends_nobody(stopped: subprocess.Popen[str]) -> None:
    """Not even one that stands still: nobody has asked for that."""
    # shows: N5
    assert night._make_way(Plan(if_busy="refuse", lease_s=0.01)) == []
    assert stopped.poll() is None


def test_an_owner_is_ended_with_all_that_it_started(holder: tuple[Path, subprocess.Popen[str], int]) -> None:
    """Even where it is stopped; the lock is free when that returns, and its child is dead."""
    # shows: N5
    path, process, child = holder
    process.send_signal(signal.SIGSTOP)
    ended = owners.end(path)
    assert ended is not None
    assert (ended.owner.pid, ended.children) == (process.pid, 1)
    assert locks.owner(path) is None
    assert process.wait() == -signal.SIGKILL
    assert owners.state_of(child) in ("", "Z")
    assert owners.end(path) is None, "it is free"


def test_a_number_in_a_file_ends_nobody(holder: tuple[Path, subprocess.Popen[str], int]) -> None:
    """The file names a process that does not have the lock open: numbers are used again, and files can be forged."""
    # shows: N5
    path, process, _ = holder
    with subprocess.Popen(["sleep", "600"]) as innocent:
        text = path.read_text().replace(str(process.pid), str(innocent.pid))
        path.write_text(text)
        with pytest.raises(OwnerStays, match="not seen to have the lock open"):
            owners.end(path)
        assert innocent.poll() is None
        assert process.poll() is None
        innocent.kill()


@pytest.mark.parametrize("pid", [-1, 0, 2**40])
def test_a_number_that_is_no_process_ends_nobody(holder: tuple[Path, subprocess.Popen[str], int], pid: int) -> None:
    """However odd it is."""
    path, process, _ = holder
    path.write_text(path.read_text().replace(str(process.pid), str(pid)))
    with pytest.raises(OwnerStays):
        owners.end(path)
    assert process.poll() is None


def test_an_owner_on_another_host_is_left_alone(holder: tuple[Path, subprocess.Popen[str], int]) -> None:
    """A shared folder: it is said where to look."""
    # shows: N5
    path, process, _ = holder
    owner = locks.owner(path)
    assert owner is not None
    path.write_text(path.read_text().replace(owner.host, "elsewhere"))
    with pytest.raises(OwnerStays, match="on host elsewhere"):
        owners.end(path)
    assert process.poll() is None


def test_nobody_ends_himself(tmp_path: Path) -> None:
    """A lock of this very process."""
    path = tmp_path / "run.lock"
    with locks.acquire(path, FakeClock()), pytest.raises(OwnerStays, match="this process"):
        owners.end(path)


def test_a_beat_is_a_promise_and_a_change(tmp_path: Path) -> None:
    """Before the first one nothing is promised; each changes what is seen, whoever took the lock."""
    # shows: N5
    files = locks.FileLocks(tmp_path, FakeClock())
    assert files.beat("run-1") is False
    with files.hold("run-1"):
        first = files.beat_of("run-1")
        assert first is not None
        assert first.owner.beats is False
        assert locks.FileLocks(tmp_path, FakeClock()).beat("run-1") is True
        second = files.beat_of("run-1")
        assert second is not None
        assert second.owner == replace(first.owner, beats=True)
        os.utime(tmp_path / "run-1.lock", ns=(1, 1))
        files.beat("run-1")
        third = files.beat_of("run-1")
        assert third is not None
        assert third.changed_ns != 1
    assert files.beat_of("run-1") is None
    assert files.beat("run-1") is False


# -- unlock


def test_a_living_owner_is_only_ended_when_told_twice() -> None:
    """--yes alone is not enough; a silent one needs one word."""
    # shows: N5
    line = unlock.LockLine("supervisor", 5, "here", "", "beats", 1)
    with pytest.raises(unlock.OwnerLives):
        unlock._consent(line, yes=True, living=False)
    unlock._consent(line, yes=True, living=True)
    unlock._consent(replace(line, beats="silent"), yes=True, living=False)
    unlock._consent(replace(line, beats="stopped"), yes=True, living=False)


def test_nobody_is_asked_where_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a script: --yes, or nothing happens."""
    line = unlock.LockLine("supervisor", 5, "here", "", "silent", 100)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(ArgumentWrong, match="nobody is there"):
        unlock._consent(line, yes=False, living=False)


def test_lines_of_locks_say_what_was_promised(holder: tuple[Path, subprocess.Popen[str], int]) -> None:
    """A stopped process is seen as such."""
    path, process, _ = holder
    files = locks.FileLocks(path.parent, FakeClock())
    line = unlock._line(files, "run")
    assert line is not None
    assert (line.pid, line.beats) == (process.pid, "beats")
    assert unlock._line(files, "nothing") is None
    assert arguments.cut("x")
