"""What a night costs while it waits: processor time and memory of an idle supervisor, beside the goals.

    IDLE_S=60 python -m benchmarks night_idle

A real `daybreak night` in a process of its own, with an empty queue and with 1,000 tasks that may not begin yet; what
it used is read by this process from the kernel's clock of it and from /proc. The first seconds, in which it starts, do
not count. Beside it, in the same seconds, runs a bare Python that does nothing but wake as often as a night does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from benchmarks.figures import BARE_MEMORY, Figure, bare_memory_mb, lower
from daybreak import home
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine.night import Plan
from daybreak.engine.nights import NIGHTS
from daybreak.engine.placement import Placement
from daybreak.engine.queue import NamedTask, Queue
from daybreak.ledger import Ledger

IDLE_S = 20.0
SETTLE_S = 3.0
GOAL_CORE = 0.01
GOAL_BYTES = 120_000_000
WAITING = 1_000
WAKES = "a bare Python that wakes as often"
_WAKES = "import sys, time\nwhile True:\n    time.sleep(float(sys.argv[1]))\n"
_PROGRAM = """
from daybreak import home
from daybreak.cli import main, night
from daybreak.engine.nights import NIGHTS
known = home.views
home.views = lambda: [*(view for view in known() if view.name != NIGHTS.name), NIGHTS]
if "night" not in {command.name for command in main.app.registered_commands}:
    main.app.command("night")(night.night)
main.main()
"""


def _cpu_s(pid: int) -> float:
    """Of all its threads, to the nanosecond; /proc counts in hundredths of a second, and a bare Python uses none."""
    return time.clock_gettime((~pid << 3) | 2)  # as `clock_getcpuclockid` makes it


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _fill(folder: Path, count: int) -> None:
    """Tasks that may begin tomorrow."""
    where, clock = Places.below(folder, "a benchmark"), SystemClock()
    views = [*(view for view in home.views() if view.name != NIGHTS.name), NIGHTS]
    tomorrow = Placement(not_before=clock.now() + timedelta(days=1))
    with Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=clock, views=views) as ledger:
        queue = Queue(ledger, clock, os.urandom)
        tasks = [NamedTask(name=str(n), kind="python", title=f"{n}", args={}, placement=tomorrow) for n in range(count)]
        queue.add_all(tasks)


def measure(count: int, idle_s: float) -> tuple[float, float, int]:
    """Shares of a core, of a night that has so many tasks to wait for and of what only wakes as often; and the night's
    bytes."""
    with tempfile.TemporaryDirectory(prefix="night-idle-") as scratch:
        if count:
            _fill(Path(scratch), count)
        environment = {**os.environ, "DAYBREAK_HOME": scratch}
        command = [sys.executable, "-c", _PROGRAM, "night", "--for", "1h"]
        wakes = [sys.executable, "-I", "-S", "-c", _WAKES, str(Plan().poll_s)]
        with (
            tempfile.TemporaryFile("w+") as said,
            subprocess.Popen(command, env=environment, stdout=said, stderr=said) as process,
            subprocess.Popen(wakes) as bare,
        ):
            try:
                time.sleep(SETTLE_S)
                both = (process.pid, bare.pid)
                before_s, began = [_cpu_s(pid) for pid in both], time.monotonic()
                time.sleep(idle_s)
                shares = [
                    (_cpu_s(pid) - then) / (time.monotonic() - began) for pid, then in zip(both, before_s, strict=True)
                ]
                resident = _resident_bytes(process.pid)
                ended = process.poll()  # what has ended uses nothing, and would have the best figures of all
                process.send_signal(signal.SIGTERM)
                process.wait()
            finally:
                for one in (process, bare):
                    one.kill()
            said.seek(0)
            if ended is not None:
                raise RuntimeError(f"the night was over with code {ended}: {said.read()[-500:]}")
        _waited(Path(scratch), count)
    return shares[0], shares[1], resident


def _waited(folder: Path, count: int) -> None:
    """Raises RuntimeError where no night began and ended in this home, or its tasks did not wait."""
    where = Places.below(folder, "a benchmark")
    views = [*(view for view in home.views() if view.name != NIGHTS.name), NIGHTS]
    with Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=SystemClock(), views=views) as ledger:
        nights = ledger.query("SELECT why FROM view_nights")
        queued = ledger.query("SELECT count(*) FROM view_runs WHERE state = 'queued'")[0][0]
    if len(nights) != 1 or queued != count:
        raise RuntimeError(f"nights: {nights}; {queued} of {count} tasks wait")


def take(quick: bool = False) -> Iterator[Figure]:
    idle_s = float(os.environ.get("IDLE_S", IDLE_S))
    bare = bare_memory_mb()
    for count in (0, WAITING):
        share, wakes, resident = measure(count, idle_s)
        name = f"a night that waits, {count:,} tasks"
        yield lower(f"{name}: processor", share, "of a core", WAKES, wakes, aim=GOAL_CORE, aim_of="value")
        aim = GOAL_BYTES / 1e6
        yield lower(f"{name}: memory", resident / 1e6, "MB", BARE_MEMORY, bare, aim=aim, aim_of="value")
