"""The view of what is under way on real terminals: in tmux, which is resized while it is drawn, and by pexpect."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pexpect
import pytest

from daybreak import home
from daybreak.clock import SystemClock
from daybreak.engine.queue import Queue
from daybreak.ledger.ledger import Ledger

HERE = Path(__file__).parent
WAIT_S = 60.0
EVIL = "漢字漢字 👩‍👩‍👧 \x1b[2J\x1b]0;gone\x07\u202egnp.exe"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


SPEC = str(_module("daybreak_cli").ONE_EXAMPLE).replace("{holdout}", "0")

TASKS = """
import time
from pathlib import Path

HERE = Path(__file__).parent

async def listing(ctx, number=0):
    await ctx.step("prepare", lambda: number)
    return await ctx.step("publish", publish)

def publish():
    until = time.monotonic() + 120
    while (HERE / "hold").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return 1
"""


def until(condition: Callable[[], Any], what: Callable[[], str]) -> None:
    """Something that another process does has happened."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, f"this did not come:\n{what()}"
        time.sleep(0.1)


class Desk:
    """A folder with tasks, and the state of their nights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tasks.py").write_text(TASKS)
        (folder / "notes.md").write_text(SPEC)
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "DAYBREAK_PLAIN", "TMUX")}
        self.environment = {**kept, "DAYBREAK_HOME": str(folder / "home"), "LC_ALL": "C.UTF-8"}

    def words(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "daybreak", *arguments]

    def work(self) -> None:
        """A night until nothing is left to do."""
        words = self.words("night", "--once", "--plain")
        subprocess.run(words, cwd=self.folder, env=self.environment, check=True, timeout=WAIT_S)

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Opened by this process: another one would cost a second each time."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DAYBREAK_HOME", self.environment["DAYBREAK_HOME"])
            with home.open_ledger() as opened:
                yield opened

    def add(self, *titles: str) -> None:
        args = {"function": f"{self.folder}/tasks.py:listing", "folder": str(self.folder), "args": {}}
        with self.ledger() as opened:
            queue = Queue(opened, SystemClock(), os.urandom)
            for title in titles:
                queue.add("python", title, args)

    def hold(self) -> None:
        (self.folder / "hold").touch()

    def go(self) -> None:
        (self.folder / "hold").unlink()

    def spawn(self, *arguments: str, **around: str) -> Any:
        first, *words = self.words(*arguments)
        environment = {**self.environment, "TERM": "xterm-256color", **around}
        return pexpect.spawn(
            first, words, cwd=str(self.folder), env=environment, encoding="utf-8", timeout=WAIT_S, dimensions=(24, 100)
        )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class Tmux:
    """A terminal of its own for each name."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._socket = str(desk.folder / "tmux")

    def do(self, *words: str) -> str:
        told = ["tmux", "-S", self._socket, "-f", "/dev/null", *words]
        done = subprocess.run(
            told, cwd=self._desk.folder, env=self._desk.environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def begin(self, name: str, columns: int, lines: int, *arguments: str) -> None:
        words = shlex.join(self._desk.words(*arguments))
        told = f"{words}; echo ended $?; exec sleep 600"
        self.do("new-session", "-d", "-s", name, "-x", str(columns), "-y", str(lines), told)

    def text(self, name: str) -> str:
        return self.do("capture-pane", "-p", "-t", name)

    def lines(self, name: str) -> list[str]:
        return self.text(name).rstrip("\n").split("\n")

    def resize(self, name: str, columns: int, lines: int) -> None:
        self.do("resize-window", "-t", name, "-x", str(columns), "-y", str(lines))

    def until(self, name: str, *words: str, without: str = "") -> str:
        def there() -> bool:
            text = self.text(name)
            return all(word in text for word in words) and not (without and without in text)

        until(there, lambda: self.text(name))
        return self.text(name)


@pytest.fixture
def tmux(desk: Desk) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed: NO TERMINAL SESSION WAS RECORDED; apt-get install tmux")
    made = Tmux(desk)
    yield made
    subprocess.run(["tmux", "-S", str(desk.folder / "tmux"), "kill-server"], capture_output=True, check=False)


def test_a_night_is_watched_while_the_terminal_changes_its_size(desk: Desk, tmux: Tmux) -> None:
    """Two terminals: the night's own one, and one that watches it. Wide, narrow, tiny and wide again; a title full of
    escapes; and the last state stays when the watching ends."""
    # shows: F14
    desk.add("lamp", "chair", "table")
    desk.work()
    desk.hold()
    desk.add("lamp", EVIL)
    tmux.begin("watch", 100, 24, "status", "--watch")
    tmux.until("watch", "no night is under way", "3 done")
    tmux.begin("night", 100, 24, "night", "--once", "--budget", "5usd")
    shown = tmux.until("watch", "lamp: running", "all 3 earlier runs", "0 of 5usd used", "2 running")
    assert "漢字漢字 👩👩👧 \\x1b[2J\\x1b]0;gone\\x07\\u202egnp.exe: running" in shown
    assert shown.startswith("night, for ")
    tmux.until("night", "began", "lamp: running", "└─ ▸ publish", "0 of 5usd used", "3 earlier runs")

    for columns, lines in ((40, 10), (20, 5), (60, 12), (110, 30)):
        tmux.resize("watch", columns, lines)
        tmux.resize("night", max(columns, 40), max(lines, 10))
        until(lambda lines=lines: len(tmux.lines("watch")) <= lines, lambda: tmux.text("watch"))  # type: ignore[misc]
        seen = tmux.until("watch", "night, for", "▸ lamp")
        assert seen.count("▸ lamp") == 1, seen
        tmux.until("night", "▸ lamp")
    beside = tmux.until("night", "0 of 5usd used", "2 running")
    assert beside.count("▸ lamp") == 1, "nothing is left over from other sizes"

    desk.go()
    tmux.until("night", "ended 0", "done")
    over = tmux.until("watch", "no night is under way", "5 done")
    assert "lamp: running" not in over
    tmux.do("send-keys", "-t", "watch", "C-c")
    last = tmux.until("watch", "ended 0")
    assert "no night is under way" in last, "the last state stays printed"
    assert "5 done" in last


@pytest.mark.chaos
def test_a_build_is_drawn_on_a_terminal(desk: Desk, tmux: Tmux) -> None:
    """Lines of what happened stay; below them what is under way, gone at the end."""
    # shows: F14
    tmux.begin("build", 90, 40, "build", "notes.md")
    tmux.until("build", "Notes: ", "time left no history yet: not known", "▸ ")
    tmux.resize("build", 60, 40)
    over = tmux.until("build", "ended 0", "verified and delivered")
    assert "phase deployment: passed" in over
    assert "time left" not in over


@pytest.mark.chaos
def test_a_build_in_plain_lines_has_no_escape(desk: Desk) -> None:
    """`build --plain` on a terminal: from the first line of its progress on."""
    # shows: F14
    built = desk.spawn("build", "notes.md", "--plain", NO_COLOR="1")
    built.expect("attempt 1: ")
    built.expect(pexpect.EOF)
    assert "verified and delivered" in built.before
    assert "\x1b" not in built.before


def test_one_night_is_followed_in_plain_words_without_colours_and_by_a_program(desk: Desk) -> None:
    """--plain and TERM=dumb: one line for each change and no escape at all. NO_COLOR: a picture, and no colour in it.
    --json: one object a line. And `status` says the time left in words."""
    # shows: F14
    desk.hold()
    desk.add(EVIL)
    plain = desk.spawn("status", "--watch", "--plain")
    drawn = desk.spawn("status", "--watch", NO_COLOR="1")
    told = subprocess.Popen(
        desk.words("status", "--watch", "--json"),
        cwd=desk.folder,
        env=desk.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert told.stdout is not None
    first = json.loads(told.stdout.readline())
    assert (first["counts"], first["changes"], first["time_left"]) == ({"queued": 1}, [], None)
    for child in (plain, drawn):
        child.expect("no night is under way")
    picture = drawn.before
    night = desk.spawn("night", "--once", TERM="dumb")
    plain.expect(r"began  night night-\S+ with 4 workers")
    plain.expect(r"running  run-\S+  .*\\x1b\[2J.*time left no history yet: not known")
    plain.expect(r"step  run-\S+  publish")
    drawn.expect("publish")
    picture += drawn.before
    once = desk.spawn("status")
    once.expect("time left: no history yet: not known")

    desk.go()
    plain.expect(r"done  run-\S+")
    night.expect(pexpect.EOF)
    seen = [json.loads(told.stdout.readline())]
    while not any(change["what"] == "empty" for change in seen[-1]["changes"]):
        seen.append(json.loads(told.stdout.readline()))
    for child in (plain, drawn):
        child.kill(signal.SIGINT)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
    told.terminate()
    told.communicate(timeout=WAIT_S)
    assert told.returncode == 0

    assert "\x1b" not in f"{plain.before}{night.before}"
    assert "\x1b[?1049h" in picture, "the cursor moves"
    assert "m" not in [code[-1:] for code in _codes(picture + drawn.before)]
    assert "\x1b[?1049l" in drawn.before, "the terminal is given back"
    changes = [change["what"] for one in seen for change in one["changes"]]
    assert changes.index("began") < changes.index("done") < changes.index("empty")
    assert seen[-1]["counts"] == {"done": 1}


def _codes(text: str) -> list[str]:
    return re.findall(r"\x1b\[[?0-9;]*[A-Za-z]", text)


def test_a_night_outlives_the_reader_of_its_terminal(desk: Desk) -> None:
    """Whoever read its lines has gone; the tasks are done all the same."""
    # shows: N1
    desk.hold()
    desk.add("lamp", "chair")
    read, write = os.pipe()
    night = subprocess.Popen(
        desk.words("night", "--once"), cwd=desk.folder, env=desk.environment, stdout=subprocess.PIPE, stderr=write
    )
    os.close(write)
    assert os.read(read, 10)
    os.close(read)
    desk.go()
    night.communicate(timeout=WAIT_S)
    with desk.ledger() as opened:
        assert opened.query("SELECT state, count(*) FROM view_runs GROUP BY state") == [("done", 2)]
    assert night.returncode == 0
