"""What learning who is good at what saves: cost per solved task on fleets with hidden rates and prices.

A fleet has six workers, each with a rate of success (0.15 to 0.95) and a price (spread over a factor of 3, 10 or 30)
that nobody is told. Each of 300 tasks is one attempt of whoever stands first in the order; what came of it goes into a
ledger, and the next order is made from its view. The unit is always choosing the best worker of the fleet, in
expectation; random order is the baseline of the same fleets. Learning costs something: dear workers have to be tried
once to know that they are dear, so all 300 tasks are shown beside what the order has come to (the last 100).
`told`: the same where prices are known beforehand (from the configuration) and only the rates are hidden.

Beside it: how long an order takes, and the lessons for a brief out of 2,000, against one commit-free look at the view.

    python -m benchmarks routing
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from random import Random

from benchmarks.figures import Figure, lower
from daybreak.events import MEMORY, AttemptJudged, LessonLearned
from daybreak.ledger import Draft
from daybreak.memory import VIEWS, lessons, outcomes, routing
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

WORKERS, TASKS, LAST, FLEETS = 6, 300, 100, 20
SPREADS = (3, 10, 30)
GOAL = 1.10
Fleet = dict[str, tuple[float, int]]
"""Name -> rate of success, price of an attempt in millionths of a US dollar."""


def fleet(seed: int, spread: float) -> Fleet:
    draw = Random(seed)
    return {f"worker-{n}": (draw.uniform(0.15, 0.95), round(20_000 * spread ** draw.random())) for n in range(WORKERS)}


def best_of(workers: Fleet) -> float:
    """Cost per solved task of always choosing the best."""
    return min(price / rate for rate, price in workers.values())


def night(workers: Fleet, seed: int, choose: Callable[[MemoryLedger, Random], str]) -> tuple[float, float]:
    """Cost per solved task over all tasks, and over the last ones; expected values of what was chosen, so that luck
    with the attempts themselves is not counted twice. 1 is always choosing the best."""
    world, draw = Random(f"world {seed}"), Random(f"draw {seed}")
    chosen: list[tuple[float, int]] = []
    with MemoryLedger(clock=FakeClock(), views=VIEWS, entropy=world.randbytes) as ledger:
        for task in range(TASKS):
            name = choose(ledger, draw)
            rate, price = workers[name]
            chosen.append((rate, price))
            judged = AttemptJudged(
                run=f"run-{task}",
                attempt=1,
                worker=name,
                task="build",
                solved=world.random() < rate,
                money_microusd=round(price * world.gammavariate(2, 0.5)),
            )
            ledger.append([Draft(MEMORY, judged)])
    whole, last = (sum(p for _, p in part) / sum(r for r, _ in part) for part in (chosen, chosen[-LAST:]))
    return whole / best_of(workers), last / best_of(workers)


def learned(workers: Fleet, *, told: bool) -> Callable[[MemoryLedger, Random], str]:
    names = list(workers)
    expected = {name: price for name, (_, price) in workers.items()} if told else {}
    return lambda ledger, draw: routing.order(ledger, names, "build", draw, expected=expected)[0].worker


def at_random(workers: Fleet) -> Callable[[MemoryLedger, Random], str]:
    names = list(workers)
    return lambda _, draw: draw.choice(names)


def _row(name: str, ratios: list[float]) -> None:
    ordered = sorted(ratios)
    within = sum(ratio <= GOAL for ratio in ordered) / len(ordered)
    middle, tenth = statistics.median(ordered), ordered[int(len(ordered) * 0.9)]
    print(f"  {name:<34} {middle:6.3f} {statistics.fmean(ordered):6.3f} {tenth:6.3f} {within:8.0%}")


def compare(spread: int, count: int) -> dict[str, list[float]]:
    """Prints one table; gives the ratios of `count` fleets: of the last tasks and of all with hidden prices, and of
    random order; and what always choosing the best of each costs."""
    fleets = [fleet(1000 * spread + n, spread) for n in range(count)]
    hidden = [night(one, n, learned(one, told=False)) for n, one in enumerate(fleets)]
    told = [night(one, n, learned(one, told=True)) for n, one in enumerate(fleets)]
    chance = [night(one, n, at_random(one)) for n, one in enumerate(fleets)]
    print(f"\nprices spread over a factor of {spread}: cost per solved task, always choosing the best = 1")
    print(f"  {'':<34} {'median':>6} {'mean':>6} {'9/10':>6} {'<= 1.10':>8}")
    _row(f"learned, tasks {TASKS - LAST + 1} to {TASKS}", [last for _, last in hidden])
    _row(f"learned, all {TASKS}", [whole for whole, _ in hidden])
    _row(f"told prices, tasks {TASKS - LAST + 1} to {TASKS}", [last for _, last in told])
    _row(f"told prices, all {TASKS}", [whole for whole, _ in told])
    _row(f"random order, all {TASKS}", [whole for whole, _ in chance])
    return {
        "last": [last for _, last in hidden],
        "hidden": [whole for whole, _ in hidden],
        "chance": [whole for whole, _ in chance],
        "best": [best_of(one) for one in fleets],
    }


# -- what it takes


def _ms(call: Callable[[], object], rounds: int = 30) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def overhead() -> Iterator[Figure]:
    """An order and a recall on a memory that has grown for months."""
    draw = Random(7)
    names = [f"worker-{n}" for n in range(WORKERS)]
    words = [
        f"{''.join(draw.choices('bcdfglmnprst', k=2))}a{''.join(draw.choices('bdklmnrst', k=2))}" for _ in range(900)
    ]
    with MemoryLedger(clock=FakeClock(), views=VIEWS, entropy=draw.randbytes) as ledger:
        for n in range(5_000):
            judged = AttemptJudged(
                run=f"run-{n}", attempt=1, worker=draw.choice(names), task="build", solved=draw.random() < 0.6
            )
            ledger.append([Draft(MEMORY, judged)])
        for n in range(2_000):
            text = " ".join(draw.choices(words, k=25))
            ledger.append([Draft(MEMORY, LessonLearned(lesson=f"les-{n}", text=text, source="repair", task="build"))])
        about = " ".join(draw.choices(words, k=300))
        look = _ms(lambda: ledger.query("SELECT * FROM view_lessons"))
        asked = _ms(lambda: lessons.recall(ledger, about, "build", 1_500))
        ordered = _ms(lambda: routing.order(ledger, names, "build", draw))
        read = _ms(lambda: outcomes.read(ledger))
    yield lower(f"order of {WORKERS} workers from 5,000 attempts", ordered, "ms", "reading the view", read)
    yield lower("recall out of 2,000 lessons", asked, "ms", "reading them", look)


def take(quick: bool = False) -> Iterator[Figure]:
    last, best_costs, each = list[float](), list[float](), FLEETS // 4 if quick else FLEETS
    for spread in SPREADS[1:2] if quick else SPREADS:
        found = compare(spread, each)
        whole, chance = (statistics.fmean(found[name]) for name in ("hidden", "chance"))
        what = f"learned, prices x {spread}"
        yield _beside_the_best(f"{what}, tasks {TASKS - LAST + 1} to {TASKS}", found["last"], found["best"])
        yield lower(f"{what}, all {TASKS} tasks", whole, "cost a solved task", "random order", chance)
        last += found["last"]
        best_costs += found["best"]
    within = sum(ratio <= GOAL for ratio in last) / len(last)
    print(f"\n  {within:.0%} of {len(last)} fleets are within {GOAL:.2f}")
    yield _beside_the_best(f"learned after {TASKS} tasks, all fleets", last, best_costs, aim=GOAL)
    if not quick:
        yield from overhead()


def _beside_the_best(name: str, ratios: list[float], best: list[float], aim: float | None = None) -> Figure:
    """Dollars a solved task; the ratio is the mean of the fleets' own, so that dear fleets count as others do."""
    cost = statistics.fmean(ratio * one for ratio, one in zip(ratios, best, strict=True))
    what, each = "always choosing the best", statistics.fmean(best)
    return lower(name, cost / 1e6, "$", what, each / 1e6, ratio=statistics.fmean(ratios), aim=aim)
