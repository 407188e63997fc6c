"""What metrics cost: durable steps a second with and without their views, and what it takes to ask them.

Three ledgers on one disk, one of them with the views of a home, two with the same but for `metrics` and `alerts`; turn
by turn in the same minute, so that whatever else the machine does falls on all. How far the two alike differ is told as
well. A run here is a two hundred steps; beside it the worst case is told, runs of one step each.

    python -m benchmarks metrics
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import apsw

from benchmarks.figures import Figure, lower
from daybreak import home
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import Context, Engine
from daybreak.ledger import Ledger
from daybreak.report import metrics
from daybreak.report.alerts import Lookout
from daybreak.report.metrics import definitions, spread
from daybreak.settings import Alert

WIDTH, EACH = 8, 25
"""A run's branches, and the steps of each."""
ROUNDS = int(os.environ.get("ROUNDS", "36"))
OVERHEAD_MAX = 0.03
DAYS, LABELS, OURS_LABELS = 730, 40, 4
"""Of the history that is asked: two years, so many labels a day of each metric whose labels come from elsewhere, and of
each whose labels are ours."""
ASK_MAX_MS = 50.0
ASKED_DAYS = (7, 14, 30, 90)
"""As many as the page of trends offers."""
OURS = ("metrics", "alerts")


async def task(ctx: Context, args: Any) -> None:
    async def nothing(number: int) -> int:
        return number

    async def branch(ctx: Context) -> None:
        for number in range(args["each"]):
            await ctx.step("step", nothing, number, effect="pure")

    await ctx.gather(*[branch] * args["width"])


async def steps(engine: Engine, width: int, each: int, runs: int = 1) -> tuple[float, float]:
    """Seconds that a durable step takes, by the wall and of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    for _ in range(runs):
        result = await engine.supervise(engine.submit("kind", "benchmark", {"width": width, "each": each}))
        assert result.state == "done", result
    done = width * each * runs
    return (time.perf_counter() - began) / done, (time.process_time() - worked) / done


def overhead(folder: Path, width: int, each: int, runs: int) -> dict[str, tuple[float, float]]:
    """(steps a second in the median, seconds of the processor a step) with, without, and without once more."""
    with ExitStack() as stack:
        engines = {}
        for name in ("with", "without", "again"):
            places, clock = Places.below(folder / name, "benchmark"), SystemClock()
            views = [view for view in home.views() if name == "with" or view.name not in OURS]
            opened = Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=views)
            ledger = stack.enter_context(opened)
            engines[name] = Engine(ledger, {"kind": task}, places.locks, clock, os.urandom)
            anyio.run(steps, engines[name], width, max(1, each // 5), 1)  # warm
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
        for number in range(ROUNDS):
            names = list(engines)
            for name in (*names[number % 3 :], *names[: number % 3]):
                took[name].append(anyio.run(steps, engines[name], width, each, runs))
    # of the processor, the least that a third of the rounds took: what others on the machine add is left out
    return {
        name: (1 / statistics.median(one[0] for one in found), sorted(one[1] for one in found)[ROUNDS // 3])
        for name, found in took.items()
    }


def fill(path: Path, now: datetime) -> int:
    """Two years of what nights add up to, straight into the view: only asking is measured."""
    connection = apsw.Connection(str(path))
    days = ["", *((now - timedelta(days=back)).date().isoformat() for back in range(DAYS))]
    ours = {*definitions.HOURLY_LABELS, "money", "tokens", "incidents"}
    foreign = {one.name for one in definitions.COUNTERS if one.label} - ours
    many = {
        one.name: LABELS if one.name in foreign else OURS_LABELS if one.label else 1 for one in definitions.COUNTERS
    }
    put = "INSERT OR REPLACE INTO view_metrics VALUES (?, ?, ?, ?, ?)"
    bounds = spread.BOUNDS[40:100:2]
    hours = ["h" + (now - timedelta(hours=back)).strftime("%Y-%m-%dT%H") for back in range(130 * 24)]
    with connection:
        connection.executemany(
            put, ((day, name, f"label {at}", 0, at + 1) for day in days for name in many for at in range(many[name]))
        )
        connection.executemany(
            put,
            (
                (day, name, label, bound, 3)
                for day in days
                for name, label in (
                    *((one.name, "") for one in definitions.SPREADS),
                    *(("attempt_duration", f"label {at}") for at in range(10)),
                )
                for bound in bounds
            ),
        )
        connection.executemany(put, ((hour, name, "", 0, 2) for hour in hours for name in definitions.HOURLY))
        connection.executemany(put, ((hour, "run_duration", "", bound, 2) for hour in hours for bound in bounds))
    counted: list[Any] = connection.execute("SELECT count(*) FROM view_metrics").fetchall()
    connection.close()
    return int(counted[0][0])


def asking(folder: Path) -> Iterator[Figure]:
    places, clock = Places.below(folder, "benchmark"), SystemClock()
    where: dict[str, Any] = {"keys": places.keys, "witness": places.witness, "clock": clock, "views": home.views()}
    now = clock.now()
    with Ledger.open(places.ledger, **where):
        pass
    rows = fill(places.ledger / "ledger.db", now)
    rule = Alert.model_validate({"metric": "run_p95_s", "rises": 50, "over": "24h", "against": "28d"})
    with Ledger.open(places.ledger, **where) as ledger:
        asked: dict[str, Callable[[], object]] = {
            **{f"trends of {days} days": partial(metrics.trends, ledger, days, now=now) for days in ASKED_DAYS},
            **{f"league of {days} days": partial(metrics.league, ledger, days, now=now) for days in ASKED_DAYS},
            "for Prometheus": lambda: metrics.prometheus(ledger, now),
            "one alert with a trend of 28 days": lambda: Lookout(ledger, now).look(rule),
        }
        print(f"  asking {rows:,} rows, {DAYS} days with {LABELS} labels of a metric; milliseconds of the processor")
        began = time.process_time()
        ledger.query("SELECT * FROM view_metrics")
        plain_ms = (time.process_time() - began) * 1000
        for name, ask in asked.items():
            taken = []
            for _ in range(15):
                began = time.process_time()
                ask()
                taken.append((time.process_time() - began) * 1000)
            took = statistics.median(taken)
            yield lower(name, took, "ms", "reading every row of the view", plain_ms, aim=ASK_MAX_MS, aim_of="value")


def take(quick: bool = False) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="daybreak-bench-", dir=os.environ.get("DAYBREAK_BENCH_DIR")) as folder:
        for name, width, each, runs in (("runs of 200 steps", WIDTH, EACH, 1), ("runs of one step", 1, 1, 20)):
            found = overhead(Path(folder, name), width, each, runs)
            (rate, ours), (plain_rate, plain), (_, again) = found["with"], found["without"], found["again"]
            print(f"  {name}: {rate:,.0f} durable steps/s with metrics, {plain_rate:,.0f} without")
            aim = 1 + OVERHEAD_MAX if runs == 1 else None
            yield lower(name, ours * 1e6, "µs a step", "without metrics", (plain + again) / 2 * 1e6, aim=aim)
            yield lower(
                f"{name}: two without", max(plain, again) * 1e6, "µs a step", "the quicker one", min(plain, again) * 1e6
            )
        yield from asking(Path(folder, "asked"))
