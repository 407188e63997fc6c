"""A whole night under fire: its supervisor's process is killed, or refused, at each call that changes the disk.

Each point is a process that works under strace and is struck at the n-th such call of one of its threads, a fresh one
that goes on with what is left, and a third that audits the ledger against what the world outside has noted
(`night_owner`). The short form strikes at a few points, drawn anew each time from the seed that a failure prints;
`DAYBREAK_SWEEP_SEED` draws the same ones again.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

STRACE = shutil.which("strace")
PROGRAM = Path(__file__).with_name("night_owner.py")
LIFE_S = 60.0
"""A process that takes longer hangs."""
ROUNDS_MAX = 3
"""Fresh processes that may be needed until every run is over."""
SEED = "DAYBREAK_SWEEP_SEED"
RENAMES = "rename,renameat,renameat2"
CALLS = ("fsync", "fdatasync", "pwrite64", "write", RENAMES)
FAULTS = {
    "kill": "signal=SIGKILL",
    "eio": "error=EIO",
    "enospc": "error=ENOSPC",
    "full": "error=ENOSPC",
}
"""`full`: the disk is full from the n-th call on, as long as the process lives."""

pytestmark = pytest.mark.skipif(STRACE is None, reason="strace is missing: calls cannot be struck")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("night_owner", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


night_owner = _load()


@dataclass(frozen=True)
class Point:
    """Where a process is struck."""

    call: str
    fault: str
    when: int
    file: str = ""
    """Only calls on this file of the ledger count."""
    begin: str = "new"
    """What it finds: `nothing` at all, a `new` ledger, one that is `filled` with tasks, or one that a night which was
    killed half-way has `left`."""

    @property
    def flags(self) -> list[str]:
        persistent = "+" if self.fault == "full" else ""
        return [
            "-e",
            f"trace={self.call}",
            "-e",
            f"inject={self.call}:{FAULTS[self.fault]}:when={self.when}{persistent}",
        ]


class Nursery:
    """The processes. All their homes lie below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._homes = 0
        self._begins: dict[str, Path] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        """Whoever is still alive is killed."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def ask(self, **told: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    # -- homes

    def home(self, begin: str) -> Path:
        """A copy of what a process finds at its begin."""
        self._homes += 1
        root = self._folder / str(self._homes)
        if begin == "nothing":
            night_owner.make_home(root / "home")
        else:
            shutil.copytree(self._begin(begin), root)
        return root / "home"

    def _begin(self, name: str) -> Path:
        if name not in self._begins:
            home = self.home("new" if name == "left" else "nothing")
            if name != "left":
                self.live(home, {"new": "create", "filled": "fill"}[name])
            else:
                status, _ = self.struck(home, Point("pwrite64", "kill", 450, "ledger.db-wal"))
                assert status == -signal.SIGKILL
            self._begins[name] = home.parent
        return self._begins[name]

    # -- lives

    def start(self, home: Path, do: str = "work", **told: Any) -> int:
        return int(self.ask(do=do, home=str(home), **told)["pid"])

    def wait(self, pid: int, most_s: float = LIFE_S) -> int | None:
        """Its exit status; None where it is still alive."""
        status: int | None = self.ask(wait=pid, most_s=most_s)["status"]
        return status

    def live(self, home: Path, do: str = "work") -> None:
        status = self.wait(self.start(home, do))
        assert status == 0, f"{do} ended with {status}: {said(home, do)}"

    @contextmanager
    def traced(self, home: Path, flags: Sequence[str], **told: Any) -> Iterator[tuple[int, Path]]:
        """A process that works under strace, before its begin; and the trace."""
        trace = home / "trace"
        pid = self.start(home, held=True, **told)
        command = [str(STRACE), "-f", "-y", "-qq", "-o", str(trace), *flags, "-p", str(pid)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as strace:
            while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
                if strace.poll() is not None:
                    self.ask(go=pid)
                    self.wait(pid)
                    assert strace.stderr is not None
                    pytest.skip(f"strace cannot work here: {strace.stderr.read()[-200:]}")
                time.sleep(0.002)  # there is nothing to wait for: strace tells nobody
            self.ask(go=pid)
            yield pid, trace

    def struck(self, home: Path, point: Point) -> tuple[int, bool]:
        """Its exit status, and whether it was struck at all."""
        flags = point.flags
        if point.file:
            flags += ["-P", str(home / "ledger" / point.file)]
        with self.traced(home, flags) as (pid, trace):
            status = self.wait(pid)
            if status is None:
                os.kill(pid, signal.SIGKILL)
                self.wait(pid)
        assert status is not None, f"it hangs: {said(home)}"
        return status, status == -signal.SIGKILL or "(INJECTED)" in trace.read_text()

    def recover(self, home: Path) -> None:
        """Fresh processes go on until every run is over."""
        for _ in range(ROUNDS_MAX):
            status = self.wait(self.start(home))
            if status == 0:
                return
            assert status == night_owner.UNFINISHED, f"it ended with {status}: {said(home)}"
        raise AssertionError(f"runs are never over: {said(home)}")

    def faults(self, home: Path) -> list[str]:
        self.live(home, "audit")
        found: list[str] = json.loads((home / "faults").read_text())
        return found

    # -- points

    def counts(self, begin: str) -> dict[str, int]:
        """How often the thread that makes the most of each call makes it, in a night that nobody strikes."""
        if begin not in self._counts:
            home = self.home(begin)
            with self.traced(home, ["-e", f"trace={','.join(CALLS)}"]) as (pid, trace):
                status = self.wait(pid)
            assert status == 0, said(home)
            assert self.faults(home) == []
            threads = Counter(re.findall(r"^(\d+) +(\w+)\(", trace.read_text(), re.MULTILINE))
            self._counts[begin] = {
                call: max((times for (_, name), times in threads.items() if name in call.split(",")), default=0)
                for call in CALLS
            }
        return self._counts[begin]

    def sweep(self, point: Point) -> bool:
        """Strike, recover, audit. False where there is no such point: the process ended before."""
        home = self.home(point.begin)
        try:
            status, hit = self.struck(home, point)
            allowed = {-signal.SIGKILL} if point.fault == "kill" and hit else {0, night_owner.TYPED}
            if point.fault == "full":
                allowed.add(night_owner.UNFINISHED)
            assert status in allowed, f"it ended with {status}: {said(home)}"
            self.recover(home)
            faults = self.faults(home)
            if point.fault == "full":  # where nothing could be noted, tries came to an end
                faults = [fault for fault in faults if "No space left on device" not in fault]
            assert faults == [], faults
        except AssertionError as problem:
            problem.add_note(f"struck at {point}; its home is {home}")
            raise
        shutil.rmtree(home.parent)
        return hit


def said(home: Path, do: str = "work") -> str:
    """The end of what its processes said."""
    return (home / f"{do}.out").read_text()[-6000:]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path_factory.mktemp("nursery"))
    yield nursery
    nursery.close()


def drawn() -> tuple[int, random.Random]:
    """Other points each time."""
    seed = int(os.environ.get(SEED) or int.from_bytes(os.urandom(4), "big"))
    return seed, random.Random(seed)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_night_survives_a_strike_at_a_few_calls(nursery: Nursery, fault: str) -> None:
    """Killed, or refused once, or from then on: the next night ends every task once, and does nothing twice."""
    # shows: N1 N4 N5 N14 X5
    seed, draw = drawn()
    try:
        most = {begin: nursery.counts(begin) for begin in ("new", "left")}
        for _ in range(4):
            begin = draw.choice(("new", "new", "left"))
            call = draw.choice([call for call in CALLS if most[begin][call]])
            nursery.sweep(Point(call, fault, draw.randint(1, most[begin][call]), begin=begin))
    except AssertionError as problem:
        problem.add_note(f"drawn from {SEED}={seed}")
        raise


def test_a_disk_that_refuses_while_the_ledger_is_opened_is_told_in_our_words(nursery: Nursery) -> None:
    """The first sync of a folder fails: an error with a code and a hint, as everywhere else."""
    # shows: F16
    status, _ = nursery.struck(nursery.home("new"), Point("fsync", "eio", 1))
    assert status == night_owner.TYPED


def test_a_night_survives_one_death_after_another(nursery: Nursery) -> None:
    """Who goes on with it is killed as well, and so is who goes on with that: still once, still within the budget."""
    # shows: N1 N5 N14 X5
    seed, draw = drawn()
    most = nursery.counts("new")
    home = nursery.home("new")
    points = []
    try:
        for _ in range(4):
            call = draw.choice(CALLS[:4])
            points.append(Point(call, "kill", draw.randint(1, max(1, most[call] // 3))))
            nursery.struck(home, points[-1])
        nursery.recover(home)
        assert (faults := nursery.faults(home)) == [], faults
    except AssertionError as problem:
        problem.add_note(f"killed at {points}; its home is {home}; drawn from {SEED}={seed}")
        raise


@pytest.mark.parametrize(("stop_at", "commits"), [(2, False), (9, True), (27, False)])
def test_a_stopped_supervisor_is_ended_before_another_goes_on(nursery: Nursery, stop_at: int, *, commits: bool) -> None:
    """Stopped in the middle of an effect: who waits for its place ends it and goes on; its revival changes nothing.

    One that is stopped in the middle of a commit, too, holds the database, so that nobody else can open the ledger."""
    # shows: N5 N14
    home = nursery.home("filled")
    first = nursery.start(home, stop_at=stop_at, stop_in_commit=commits, lease_s=60.0)
    assert nursery.ask(stopped=first)["stopped"], said(home)
    second = nursery.start(home, if_busy="wait", lease_s=60.0)
    assert nursery.wait(second) == 0, said(home)
    os.kill(first, signal.SIGCONT)
    assert nursery.wait(first) == -signal.SIGKILL
    assert (faults := nursery.faults(home)) == [], (faults, home)


@pytest.mark.parametrize(("stop_at", "commits"), [(1, True), (3, False)])
@pytest.mark.parametrize("ends_it", [False, True], ids=["revived", "ended"])
def test_a_supervisor_that_stands_still_beside_another_repeats_nothing(
    nursery: Nursery, stop_at: int, *, commits: bool, ends_it: bool
) -> None:
    """Two work at one queue, and one stops in the middle of an effect, and perhaps of a commit. The other leaves it
    alone, and revived it ends what it had; or ends it when it misses its beats, and goes on with what it had."""
    # shows: N5 N14
    home = nursery.home("filled")
    first = nursery.start(home, if_busy="help", stop_at=stop_at, stop_in_commit=commits)
    second = nursery.start(home, if_busy="help", lease_s=60.0 if ends_it else 60_000.0, once=not ends_it)
    if nursery.ask(stopped=first)["stopped"]:
        helped = nursery.wait(second, LIFE_S if ends_it else 1.0)
        os.kill(first, signal.SIGCONT)
        if helped is None:  # it may wait for the database
            helped = nursery.wait(second)
        assert helped in ({0} if ends_it else {0, night_owner.UNFINISHED}), (helped, home, said(home))
        assert nursery.wait(first) == (-signal.SIGKILL if ends_it else 0), (home, said(home))
    else:  # it did not come to that: the other was quicker
        assert (nursery.wait(first), nursery.wait(second)) == (0, 0), (home, said(home))
    assert (faults := nursery.faults(home)) == [], (faults, home)


def test_a_helper_goes_on_with_what_the_killed_supervisor_had(nursery: Nursery) -> None:
    """Two work at one queue; the first is killed at any call, and the other becomes the supervisor and ends it all."""
    # shows: N5 N14
    seed, draw = drawn()
    for _ in range(2):
        home = nursery.home("filled")
        call = draw.choice(CALLS[:4])
        point = Point(call, "kill", draw.randint(1, nursery.counts("filled")[call]))
        with nursery.traced(home, point.flags) as (first, _):
            second = nursery.start(home, if_busy="help")
            statuses = nursery.wait(second), nursery.wait(first)
        told = f"{statuses} at {point}; its home is {home}; drawn from {SEED}={seed}: {said(home)}"
        assert statuses[0] == 0, told
        assert statuses[1] in (0, -signal.SIGKILL), told
        nursery.recover(home)
        assert (faults := nursery.faults(home)) == [], f"{faults} {told}"


PARTS = 8
"""Of the long form, so that both cores have something to do and each part has a time limit of its own."""
SPARSE = 5
"""Of the many writes, so many are between two strikes where every one is struck in another way."""
LONG = [
    *(Point(call, fault, 1) for call in CALLS for fault in ("kill", "eio", "enospc")),
    *(Point("pwrite64", fault, 1, "ledger.db-wal") for fault in ("kill", "eio")),
    *(Point(call, "full", 1) for call in ("fsync", "fdatasync", "pwrite64")),
    *(Point(call, fault, 1, begin="left") for call in CALLS for fault in ("kill", "eio")),
    *(Point(call, "kill", 1, begin="nothing") for call in CALLS),
]


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(
    "first", LONG, ids=lambda one: "-".join((one.begin, one.fault, one.call.split(",")[0], one.file)).rstrip("-")
)
def test_a_night_survives_a_strike_at_every_call(
    nursery: Nursery, capfd: pytest.CaptureFixture[str], first: Point, part: int
) -> None:
    """At each n-th of the calls that change the disk, until there are no more."""
    # shows: N1 N4 N5 N14 X5
    points = 0
    sparse = first.call == "pwrite64" and (first.fault == "full" or first.begin != "new")
    every = PARTS * SPARSE if sparse else PARTS
    for when in range(1 + part, 100_000, every):
        if first.file and when > 64:
            break  # beyond, the same calls are struck without it
        if not nursery.sweep(Point(first.call, first.fault, when, first.file, first.begin)):
            break
        points += 1
    with capfd.disabled():
        print(f"\nswept {points} points: {first.begin} {first.fault} {first.call} {first.file} {part}", file=sys.stderr)
