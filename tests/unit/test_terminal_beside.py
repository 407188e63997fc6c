"""The picture is drawn beside the work: whatever becomes of the terminal, the work goes on."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from daybreak import home as homes
from daybreak.cli.screen import beside
from daybreak.cli.screen.beside import Beside
from daybreak.cli.screen.look import Look
from daybreak.cli.screen.outlet import Below, Stream
from daybreak.cli.screen.watcher import Watcher
from daybreak.engine import Told
from daybreak.events import NIGHTS, LeaseGranted, NightNoted, StepDone
from daybreak.ledger import Draft
from daybreak.report.timeleft import NO_HISTORY


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DAYBREAK_PLAIN", raising=False)
    monkeypatch.chdir(tmp_path)
    with homes.opened() as opened:
        yield opened


def note(home: Any, text: str) -> None:
    home.ledger.append([Draft(NIGHTS, NightNoted(night="n", what="alert", level=0, text=text))])


class Terminal(io.StringIO):
    """It says that it is one."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def on(made: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setenv("TERM", "xterm")
    return made


def test_on_a_terminal_lines_stand_above_the_picture(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that was said is there at the end, in order, and the cursor is given back."""
    # shows: F14
    terminal = on(Terminal(), monkeypatch)
    with Beside(home) as screen:
        for number in range(5):
            note(home, f"note {number} \x1b[2J")
        screen.say("goodbye")
    told = terminal.getvalue()
    places = [told.index(f"note {number} \\x1b[2J") for number in range(5)]
    assert places == sorted(places) < [told.index("goodbye")]
    assert told.rindex("\x1b[?25h") > told.rindex("\x1b[?25l")


def test_elsewhere_the_same_lines_come_without_any_escape(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each thing that happened."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with Beside(home):
        note(home, "line\nbreak")
    assert written.getvalue().endswith("           alert  line break\n")
    assert "\x1b" not in written.getvalue()


def test_plain_is_a_matter_of_a_word(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--plain`, or DAYBREAK_PLAIN for all commands: nothing moves on a terminal either."""
    terminal = on(Terminal(), monkeypatch)
    monkeypatch.setenv("DAYBREAK_PLAIN", "1")
    with Beside(home):
        note(home, "said")
    assert "said" in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()


class Stopped(Terminal):
    """A terminal that takes nothing (Ctrl-S), until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, text: str, /) -> int:
        self.go.wait(30)
        return super().write(text)


def test_a_terminal_that_takes_nothing_delays_no_work(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events are appended while it is stopped; events beyond a bound are left out, and counted once it goes on."""
    # shows: N10
    stopped = on(Stopped(), monkeypatch)
    monkeypatch.setattr(beside, "STEPS_MAX", 0)
    monkeypatch.setattr(beside, "WAITING_MAX", 5)
    with Beside(home) as screen:
        for number in range(20):
            note(home, f"note {number}")
        assert home.ledger.query("SELECT 1") == [(1,)]
        stopped.go.set()
        until(lambda: "note 3" in stopped.getvalue())
        screen.say("last")
    assert "events were left out while the terminal took none" in stopped.getvalue()
    assert "last" in stopped.getvalue()


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come")


class Closed(Terminal):
    def write(self, text: str, /) -> int:
        raise OSError(5, "Input/output error")


def test_a_terminal_that_is_closed_ends_nothing(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that is told of goes on, and the ledger has everything."""
    # shows: N10
    on(Closed(), monkeypatch)
    with Beside(home) as screen:
        note(home, "one")
        screen.say("two")
        note(home, "three")
    assert sum(1 for _ in home.ledger.read(NIGHTS)) == 2


def test_an_error_in_drawing_is_said_and_plain_lines_go_on(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stepping down is shown and logged, and happens once."""
    # shows: N10

    def broken(*_: object) -> Any:
        raise ZeroDivisionError

    terminal = on(Terminal(), monkeypatch)
    monkeypatch.setattr(beside, "page", broken)
    with Beside(home) as screen:
        until(lambda: "plain lines from here on" in terminal.getvalue())
        note(home, "after it")
        screen.say("and this")
    told = terminal.getvalue()
    assert told.count("cannot be drawn (ZeroDivisionError)") == 1
    assert "after it" in told.partition("from here on")[2]
    assert "\x1b" not in told.partition("from here on")[2].replace("\x1b[?25h", "")


def test_steps_under_way_are_known_though_nothing_is_shown(home: Any) -> None:
    """The night's own word about itself needs them."""
    with Beside(home, silent=True) as screen:
        for listener in home.listeners:
            listener(Told("run-1", "", "publish", "", started=True))
    assert screen.steps()["run-1"][0] == "publish"
    assert home.listeners == []


def test_work_never_waits_for_a_picture(home: Any) -> None:
    """While a picture is made, which may read much, a step tells that it begins and goes on at once."""
    # shows: N10
    watcher = Watcher(home)
    told = threading.Event()

    def work() -> None:
        watcher.step(Told("run-1", "", "publish", "", started=True))
        watcher.steps()
        told.set()

    with watcher._lock:
        worker = threading.Thread(target=work)
        worker.start()
        assert told.wait(20)
    worker.join()


def test_a_narrower_terminal_is_wiped_before_it_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that it broke are gone up to the first of them, so that it cannot join them later."""
    # shows: F14
    from daybreak.cli.screen import look as looks
    from daybreak.cli.screen.page import Span

    sizes = [os.terminal_size((40, 20))]
    monkeypatch.setattr(looks, "size", lambda stream: sizes[-1])
    written = io.StringIO()
    place = Below(Stream(written), Look(live=True, colours=False, symbols=True))
    place.draw([[Span("x" * 39)], [Span("y" * 10)]])
    sizes.append(os.terminal_size((20, 20)))
    before = len(written.getvalue())
    place.draw([[Span("x" * 19)]])
    assert written.getvalue()[before:].startswith("\r\x1b[3A\x1b[J"), "39 columns in rows of 20, and one more"


def test_a_stopped_terminal_needs_no_more_memory_the_longer_the_night(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that begin and end by the thousand while nothing can be written leave no more behind than a bound."""
    # shows: N10
    stopped = on(Stopped(), monkeypatch)
    monkeypatch.setattr(beside, "STEPS_MAX", 20)
    with Beside(home) as screen:
        until(lambda: screen._thread.is_alive())
        for number in range(500):
            for listener in home.listeners:
                listener(Told("run-1", "", f"step {number}", "", started=True))
            screen._records([Row(done(f"step {number}"))])  # type: ignore[list-item]
        assert screen._waiting.qsize() <= 25
        stopped.go.set()


class Row(NamedTuple):
    """As much of a record as the callback of a commit looks at."""

    event: StepDone


def done(name: str) -> StepDone:
    return StepDone(run="run-1", branch="", name=name, nth=0, args="", result=None)


def leased(home: Any, *names: str) -> Any:
    """Records of the steps of a run that has an owner."""
    home.ledger.append([Draft("run:run-1", LeaseGranted(run="run-1", owner="o", host="h", pid=1), epoch=1)])
    return [home.ledger.append([Draft("run:run-1", done(name), epoch=1)])[0] for name in names]


def test_what_was_left_out_is_read_again(home: Any) -> None:
    """An event that follows on others which nobody told of brings them along, so that the tree is right."""
    # shows: N10
    watcher = Watcher(home, "run-1")
    *_, last = leased(home, "one", "two", "three")
    assert watcher._growths["run-1"].steps == 0
    watcher.take(last)
    assert watcher._growths["run-1"].steps == 3


def test_a_picture_waits_for_no_history(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Earlier runs are read in the background: until then the time left is not known, and that is said."""
    # shows: N10
    from daybreak.report import remaining as timing

    go = threading.Event()

    class Slow:
        def __init__(self, log: Any, kinds: Any) -> None:
            assert go.wait(20)

        def basis(self, kind: str, title: str) -> None:
            return None

    monkeypatch.setattr(timing, "Experience", Slow)
    watcher = Watcher(home, "run-1", beside=True)
    growth = watcher._growths["run-1"]
    growth.began = "2026-11-22T04:00:00.000000Z"
    left = watcher.left_of("run-1")
    assert left is not None
    assert left.words() == "earlier runs are being read: not known"
    go.set()
    until(lambda: "" in watcher._timing._known)
    watcher._timing.ended("run-1")
    assert watcher.left_of("run-1") == NO_HISTORY
    watcher.close()


def test_history_is_read_with_rests_and_left_at_once(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work beside it keeps the processor; and at the end nobody waits until all is read."""
    # shows: N10
    from daybreak.report import remaining as timing

    leased(home, "one", "two", "three")
    monkeypatch.setattr(timing, "PORTION_S", 0.0)
    stop = threading.Event()
    stop.set()
    with pytest.raises(timing._Stopped):
        list(timing._Gentle(home.ledger, stop).read("run:run-1"))


def test_a_stream_of_few_characters_is_not_given_up(tmp_path: Path) -> None:
    """A name that its encoding has not is written out; nothing ends."""
    # shows: F14
    path = tmp_path / "out"
    with path.open("w", encoding="ascii") as file:
        stream = Stream(file)
        stream.put("漢 \ud800\n")
        stream.put("after it\n")
        assert not stream.gone
    assert path.read_text() == "\\u6f22 \\ud800\nafter it\n"
