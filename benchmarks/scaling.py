"""How far one coordinator goes, and what breaks first: measured on this machine, and simulated beyond it.

1. *Measured*: what a task costs a coordinator (a real night on a real ledger, SQLite and Postgres) with 1,000, 10,000
   and 100,000 tasks in the queue. The baseline is the shortest queue.
2. *Measured*: what single things cost: an event, a commit, a beat, an event of another coordinator, memory of a run
   under way, events and own processor time of a real run of a command.
3. *Simulated* with these costs: 10 to 10,000 attempts at once on 1 to 1,000 nodes, in virtual time, by the real
   supervisors and queue (`benchmarks.scale.cluster`). One size is played in real time too, on the real ledger: how far
   the simulation is off there is a figure of its own.

    python -m benchmarks.scaling [--quick] [--write]
    python -m benchmarks.scaling --simulate [--write]

`--write` keeps the numbers in docs/assets/figures/scaling.json, and draws and writes from them
docs/assets/figures/scaling.svg, scaling-limits.svg and the tables of docs/explanation/scaling-figures.md. `--simulate`
measures nothing and simulates again from the costs that were kept: what it finds does not depend on how busy the
machine is. `--redraw` only makes pictures and tables again from the numbers that were kept.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, line, lower
from benchmarks.learning import written
from benchmarks.scale.cluster import Cluster, Played
from benchmarks.scale.costs import EVENTS_PLAYED, Costs, coordinate, measured
from benchmarks.scale.nodes import Size, mean_s

QUEUES, QUICK_QUEUES = (1_000, 10_000, 100_000), (300, 1_200)
WORKERS = 16
FLAT_MAX = 1.25
"""The longest queue beside the shortest."""
OFF_MAX = 2.0
SIZES = ((10, 1), (100, 10), (1_000, 100), (3_000, 300), (10_000, 1_000))
QUICK_SIZES = ((10, 1), (50, 5))
LIMITED = (1_000, 100)
"""Attempts and nodes of the search for where it breaks."""
MEDIANS_S = (480.0, 120.0, 30.0, 10.0, 5.0, 2.5)
POINT = Size(attempts=24, nodes=1, rounds=12, median_s=0.8, lost_hours=0)
QUICK_POINT = Size(attempts=12, nodes=1, rounds=6, median_s=0.4, lost_hours=0)
PLACE = Path(__file__).parent.parent / "docs"
RECORDED = PLACE / "assets" / "figures" / "scaling.json"
PAGE = PLACE / "explanation" / "scaling-figures.md"


# -- measured


def queues(folder: Path, lengths: tuple[int, ...], url: str | None = None) -> list[dict[str, Any]]:
    """One night for each length."""
    found = []
    for length in lengths:
        place = None if url is None else url.format(f"queue{length}")
        seen = coordinate(folder / f"queue-{length}", length, WORKERS, url=place)
        assert (seen["done"], seen["twice"]) == (length, 0), seen
        found.append(seen)
        print(f"  {length:,} tasks: {seen['cpu_us']:,.0f} µs each of the processor", flush=True)
    return found


def point(folder: Path, costs: Costs, size: Size, url: str | None = None) -> dict[str, float]:
    """One size in real time and simulated."""
    where = None if url is None else url.format("point")
    seen = coordinate(folder / "point", size.attempts, "pretended", size.rounds, size.median_s, url=where)
    played = Cluster(size, replace(costs, events_attempt=EVENTS_PLAYED)).play()
    return {
        "attempts": size.attempts,
        "tasks_s": 1e6 / seen["wall_us"],
        "cpu_us": seen["cpu_us"],
        "cpu_us_played": played.cpu_task_us,
        "idle_p50_s": seen["idle_p50_s"],
        "idle_p50_s_played": played.idle_p50_s,
        "idle_p99_s": seen["idle_p99_s"],
        "idle_p99_s_played": played.idle_p99_s,
        "commits": seen["syncs"] * seen["tasks"],
        "commits_played": float(played.commits),
    }


# -- simulated


def row(costs: Costs, size: Size) -> dict[str, Any]:
    played = Cluster(size, costs).play()
    assert (played.done, played.twice) == (size.tasks, 0), played
    print(f"  {size.attempts:,} attempts on {size.nodes:,} nodes, {costs.store}: {played.cpu:.2%} of a processor")
    return told_row(costs, played)


def told_row(costs: Costs, played: Played) -> dict[str, Any]:
    """One line of the sizing table."""
    size = played.size
    shares = {"the coordinator's processor": played.cpu, "the ledger's commits": played.store}
    first = max(shares, key=lambda name: shares[name])
    own = size.attempts / size.coordinators
    return {
        "store": costs.store,
        "attempts": size.attempts,
        "nodes": size.nodes,
        "coordinators": size.coordinators,
        "mean_s": mean_s(size),
        "attempts_hour": 3600 * size.attempts / mean_s(size),
        "cpu": played.cpu,
        "store_busy": played.store,
        "server": played.events_s * costs.server_us / 1e6,
        "events_s": played.events_s,
        "commits_s": played.commits_s,
        "idle_p50_s": played.idle_p50_s,
        "idle_p99_s": played.idle_p99_s,
        "filled_s": played.filled_s,
        "tasks": size.tasks,
        "lost": played.lost,
        "collisions": played.collisions,
        "memory_mb": costs.base_mb + own * costs.run_mb,
        "disk_gb_day": played.events_s * 86_400 * costs.bytes_event / 1e9,
        "first": first,
        "shortest_s": mean_s(size) * max(shares.values()),
    }


def sizes(costs: Costs, wanted: tuple[tuple[int, int], ...]) -> list[dict[str, Any]]:
    """One machine's file has one coordinator; more of them need Postgres."""
    made = [Size(attempts=attempts, nodes=nodes, rounds=3 if attempts <= 3_000 else 2) for attempts, nodes in wanted]
    return [row(costs, size) for size in made if costs.store != "SQLite" or size.coordinators == 1]


def limits(costs: Costs) -> list[dict[str, Any]]:
    """Shorter and shorter attempts, until nothing keeps up."""
    attempts, nodes = LIMITED
    made = (Size(attempts=attempts, nodes=nodes, rounds=2.5, median_s=median, lost_hours=0) for median in MEDIANS_S)
    return [row(costs, size) for size in made]


def simulated(found: dict[str, Any]) -> dict[str, Any]:
    """What was found, with its simulated rows made again from its costs."""
    stores = {}
    for store, part in found["stores"].items():
        costs = Costs(**part["costs"])
        again = limits(costs) if part["limits"] else []
        stores[store] = {**part, "sizes": sizes(costs, SIZES), "limits": again}
    return {**found, "stores": stores}


# -- all of it


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Everything, on SQLite, and on Postgres where there is one."""
    from tests.unit import postgres_server

    found: dict[str, Any] = {"stores": {}}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="daybreak-bench-")))
        found["stores"]["SQLite"] = of_store(folder / "sqlite", quick=quick)
        if postgres_server.available() and not quick:
            server = postgres_server.Server(synced=True, max_connections="200")
            stack.callback(server.close)
            url = server.url("NAME").replace("/NAME", "/{}")
            for length in QUEUES:
                _make(server.url(), f"queue{length}")
            for name in ("alone", "together", "commits", "resident", "point"):
                _make(server.url(), name)
            found["stores"]["Postgres"] = of_store(folder / "postgres", url=url, server=server.pid)
        else:
            print(f"  Postgres: {'not in the short form' if quick else postgres_server.WHY_NOT}")
    return found


def _make(url: str, name: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())


def of_store(folder: Path, *, url: str | None = None, server: int = 0, quick: bool = False) -> dict[str, Any]:
    folder.mkdir(parents=True)
    costs = measured(folder / "costs", url=url, quick=quick, server=server)
    print(f"  {costs}", flush=True)
    return {
        "costs": asdict(costs),
        "queues": queues(folder, QUICK_QUEUES if quick else QUEUES, url),
        "point": point(folder, costs, QUICK_POINT if quick else POINT, url),
        "sizes": sizes(costs, QUICK_SIZES if quick else SIZES),
        "limits": [] if quick else limits(costs),
    }


def take(quick: bool = False) -> Iterator[Figure]:
    yield from told(measure(quick=quick))


def told(found: dict[str, Any]) -> Iterator[Figure]:
    for store, part in found["stores"].items():
        short, *_, long = part["queues"]
        yield lower(
            f"{store}: coordinator for each task of a long queue", long["cpu_us"], "µs", "a short queue",
            short["cpu_us"], aim=FLAT_MAX,
        )  # fmt: skip
        at = part["point"]
        off = max(at["cpu_us"] / at["cpu_us_played"], at["cpu_us_played"] / at["cpu_us"])
        yield lower(
            f"{store}: processor for a task in the simulation", at["cpu_us_played"], "µs", "measured", at["cpu_us"],
            aim=OFF_MAX, ratio=off,
        )  # fmt: skip
        small, *_, large = part["sizes"]
        yield lower(
            f"{store}: a place empty at the largest size, 99 of 100", large["idle_p99_s"] * 1e3, "ms",
            "at the smallest", small["idle_p99_s"] * 1e3,
        )  # fmt: skip


# -- telling


def draw(found: dict[str, Any], folder: Path) -> None:
    from benchmarks import drawing

    series = []
    for store, part in found["stores"].items():
        rows = part["sizes"]
        for what, words in (("cpu", "coordinator's processor"), ("store_busy", "ledger's commits")):
            at = [one["attempts"] for one in rows]
            series.append(drawing.Line(f"{store}: {words}", at, [one[what] for one in rows], marks=True))
    last = [part["sizes"][-1] for part in found["stores"].values()][-1]
    drawing.lines(
        folder / "scaling.svg",
        series,
        title="What attempts at once take of a coordinator and of the ledger",
        text=f"Simulated, attempts of {last['mean_s'] / 60:.0f} minutes on average: with {last['attempts']:,} at once, "
        f"the busiest of {last['coordinators']} coordinators uses {last['cpu']:.1%} of a processor, and the ledger is "
        f"at a commit {last['store_busy']:.1%} of the time.",
        x="attempts at once",
        y="share of what there is",
        log_x=True,
        log_y=True,
        levels={"all of it": 1.0},
    )
    series = [
        drawing.Line(
            f"{store}: {words}",
            [one["mean_s"] for one in part["limits"]],
            [max(share(one), 1e-5) for one in part["limits"]],
            marks=True,
        )
        for store, part in found["stores"].items()
        for words, share in (("coordinator's processor", _processor), ("places empty", _empty))
        if part["limits"]
    ]
    if series:
        attempts, nodes = LIMITED
        drawing.lines(
            folder / "scaling-limits.svg",
            series,
            title=f"{attempts:,} attempts at once, shorter and shorter",
            text="Simulated. The shorter attempts are, the more of them one coordinator has to begin and to end; once "
            f"its processor is full, places on the {nodes} nodes stay empty for longer and longer.",
            x="mean duration of an attempt, s",
            y="share of the time",
            log_x=True,
            log_y=True,
            levels={"all of it": 1.0},
        )


def _processor(one: dict[str, Any]) -> float:
    return float(one["cpu"])


def _empty(one: dict[str, Any]) -> float:
    """Of the time of a place, where it waits as long as the middle one."""
    return float(one["idle_p50_s"] / (one["idle_p50_s"] + one["mean_s"]))


def tables(found: dict[str, Any]) -> str:
    return "\n\n".join([_sizing(found), _flat(found), _costs(found), _point(found), _limits(found)])


def _sizing(found: dict[str, Any]) -> str:
    rows = [
        "### Sizing: simulated from measured costs",
        "",
        "| ledger | attempts at once | nodes | coordinators | attempts an hour | processor of the busiest coordinator "
        "| ledger at a commit | events/s | commits/s | place empty, middle and 99 of 100 | all places filled after "
        "| attempts lost and done again | memory of a coordinator | disk a day "
        "| full first, and at which mean attempt |",
        "|---|" + "--:|" * 13 + "---|",
    ]
    for part in found["stores"].values():
        for one in part["sizes"]:
            rows.append(
                f"| {one['store']} | {one['attempts']:,} | {one['nodes']:,} | {one['coordinators']} "
                f"| {one['attempts_hour']:,.0f} | {one['cpu']:.2%} | {one['store_busy']:.2%} | {one['events_s']:.2f} "
                f"| {one['commits_s']:.2f} | {one['idle_p50_s'] * 1e3:,.0f} ms, {one['idle_p99_s'] * 1e3:,.0f} ms "
                f"| {one['filled_s']:.1f} s | {one['lost']:,} of {one['tasks'] + one['lost']:,} "
                f"| {one['memory_mb']:.0f} MB | {one['disk_gb_day']:.2g} GB "
                f"| {one['first']}, {_two_digits(one['shortest_s'])} s |"
            )
    return "\n".join(rows)


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.10g}"


def _flat(found: dict[str, Any]) -> str:
    rows = [
        "### Processor time of a coordinator for each task: measured",
        "",
        "| ledger | tasks in the queue | for each task | beside the shortest queue | the first of them "
        "| the last of them | events | memory at the end |",
        "|---|" + "--:|" * 7,
    ]
    for store, part in found["stores"].items():
        short = part["queues"][0]["cpu_us"]
        for one in part["queues"]:
            rows.append(
                f"| {store} | {one['tasks']:,} | {one['cpu_us']:,.0f} µs | {one['cpu_us'] / short:.2f} x "
                f"| {one['first_us']:,.0f} µs | {one['last_us']:,.0f} µs | {one['events']:.1f} "
                f"| {one['resident_mb']:.0f} MB |"
            )
    return "\n".join(rows)


_UNITS = (
    ("event_us", "µs of the coordinator's processor for each of its events, shared commits"),
    ("commit_us", "µs of it for each commit that is not shared"),
    ("mirror_us", "µs of it for each event of another coordinator"),
    ("server_us", "µs of the database server's processor for each event"),
    ("commit_ms", "ms that a commit of one event takes"),
    ("store_us", "µs that each further event in it takes"),
    ("beat_us", "µs for each run under way, every 5 s"),
    ("events_attempt", "events of a real run of a command with one check, from its lease on"),
    ("work_us", "µs of the coordinator's processor beside its events, where it starts such a command itself"),
    ("bytes_event", "bytes of an event on the coordinator's disk, with views"),
    ("run_mb", "MB of memory for each run under way"),
    ("base_mb", "MB of memory before"),
)


def _costs(found: dict[str, Any]) -> str:
    stores = found["stores"]
    rows = [
        "### What single things cost: measured",
        "",
        "| | " + " | ".join(stores) + " |",
        "|---|" + "--:|" * len(stores),
    ]
    for name, words in _UNITS:
        cells = [f"{part['costs'][name]:,.3g}" if part["costs"][name] < 100 else f"{part['costs'][name]:,.0f}"
                 for part in stores.values()]  # fmt: skip
        rows.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _point(found: dict[str, Any]) -> str:
    rows = [
        "### The simulation beside the real thing: one size, both ways",
        "",
        "| ledger | attempts at once | attempts/s | | measured | simulated |",
        "|---|--:|--:|---|--:|--:|",
    ]
    for store, part in found["stores"].items():
        at = part["point"]
        for words, name, unit, factor in (
            ("processor for each task", "cpu_us", "µs", 1.0),
            ("place empty, middle", "idle_p50_s", "ms", 1e3),
            ("place empty, 99 of 100", "idle_p99_s", "ms", 1e3),
            ("commits", "commits", "", 1.0),
        ):
            rows.append(
                f"| {store} | {at['attempts']:.0f} | {at['tasks_s']:.1f} | {words} | {at[name] * factor:,.0f} {unit} "
                f"| {at[name + '_played'] * factor:,.0f} {unit} |"
            )
    return "\n".join(rows)


def _limits(found: dict[str, Any]) -> str:
    attempts, nodes = LIMITED
    rows = [
        f"### Where it breaks: {attempts:,} attempts at once on {nodes:,} nodes, one coordinator, shorter and shorter",
        "",
        "| ledger | mean attempt | attempts/s | processor | ledger at a commit | place empty, middle | 99 of 100 |",
        "|---|" + "--:|" * 6,
    ]
    for store, part in found["stores"].items():
        for one in part["limits"]:
            rows.append(
                f"| {store} | {one['mean_s']:,.1f} s | {one['attempts'] / one['mean_s']:,.1f} | {one['cpu']:.0%} "
                f"| {one['store_busy']:.0%} | {one['idle_p50_s'] * 1e3:,.0f} ms | {one['idle_p99_s'] * 1e3:,.0f} ms |"
            )
    return "\n".join(rows)


def main() -> None:
    words = set(sys.argv[1:])
    again = "--redraw" in words
    if again or "--simulate" in words:
        found = json.loads(RECORDED.read_text("utf-8"))
        found = found if again else simulated(found)
    else:
        found = measure(quick="--quick" in words)
    for figure in told(found):
        print(f"  {line(figure)}")
    print(tables(found))
    if again or "--write" in words:
        RECORDED.parent.mkdir(parents=True, exist_ok=True)
        RECORDED.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        draw(found, RECORDED.parent)
        PAGE.write_text(written(PAGE.read_text("utf-8"), tables(found)), "utf-8")


if __name__ == "__main__":
    main()
