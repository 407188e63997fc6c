"""What a night costs while it waits: processor time and memory of an idle supervisor, beside the goals.

    IDLE_S=60 python -m benchmarks night_idle

A real `daybreak night` in a process of its own, with an empty queue and with 1,000 tasks that may not begin yet; what
it used is read from /proc by this process. The first seconds, in which it starts, do not count.
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
from daybreak.engine.nights import NIGHTS
from daybreak.engine.placement import Placement
from daybreak.engine.queue import NamedTask, Queue
from daybreak.ledger import Ledger

IDLE_S = 20.0
SETTLE_S = 3.0
GOAL_CORE = 0.01
GOAL_BYTES = 120_000_000
WAITING = 1_000
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
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def measure(count: int, idle_s: float) -> tuple[float, int]:
    """Share of a core, and bytes, of a night that has so many tasks to wait for."""
    with tempfile.TemporaryDirectory(prefix="night-idle-") as scratch:
        if count:
            _fill(Path(scratch), count)
        environment = {**os.environ, "DAYBREAK_HOME": scratch}
        command = [sys.executable, "-c", _PROGRAM, "night", "--for", "1h"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            time.sleep(SETTLE_S)
            before_s, began = _cpu_s(process.pid), time.monotonic()
            time.sleep(idle_s)
            share = (_cpu_s(process.pid) - before_s) / (time.monotonic() - began)
            resident = _resident_bytes(process.pid)
            process.send_signal(signal.SIGTERM)
            process.wait()
    return share, resident


def take(quick: bool = False) -> Iterator[Figure]:
    idle_s = float(os.environ.get("IDLE_S", IDLE_S))
    bare = bare_memory_mb()
    for count in (0, WAITING):
        share, resident = measure(count, idle_s)
        name = f"a night that waits, {count:,} tasks"
        yield lower(f"{name}: processor", share, "of a core", "a whole core", 1.0, aim=GOAL_CORE, aim_of="value")
        aim = GOAL_BYTES / 1e6
        yield lower(f"{name}: memory", resident / 1e6, "MB", BARE_MEMORY, bare, aim=aim, aim_of="value")
