"""The learning curve: 1,000 tasks of several kinds in a seeded world, with memory and without it.

Simulated: workers (how likely each solves a task of each kind, what an attempt of it costs), tasks, and what a lesson
does: a task may have a pitfall that is known to the trade, and who is warned of it falls in less often. Real: all of
memory. Every attempt is judged by an event in a ledger; the order of workers is `routing.order` from its view; lessons
are made by `lessons.distil` from failures that the next attempt repaired, found again by `lessons.recall` from the
words of the brief, and rise and fall by `lessons.judged`.

Half way the best worker gets worse at everything, as a model does that is changed under its name; its price stays.

Compared, on the same tasks with the same luck: *memory*; *without*: the order as somebody wrote it, no lessons;
*one worker*: the one that would have been the best for all tasks before the change, first, which nobody knows
beforehand; *all-knowing*: the best worker for each task at that moment, warned of everything.

    python -m benchmarks.learning [--quick] [--write]

`--write` keeps the numbers in docs/assets/figures/learning.json, and draws and writes from them
docs/assets/figures/learning-curve.svg, learning-cost.svg and the table of docs/explanation/learning-figures.md.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from benchmarks.figures import Figure, higher, line, lower
from daybreak.events import MEMORY, AttemptJudged
from daybreak.ledger import Draft
from daybreak.memory import VIEWS, lessons, routing
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

TASKS, SEEDS = 1_000, 12
QUICK_TASKS, QUICK_SEEDS = 240, 2
CHANGE = 0.5
"""The best worker gets worse after this share of the tasks, ..."""
WORSE = 0.35
"""... to this share of what it could."""
WINDOW = 100
ATTEMPTS = 4
KINDS = {"build": 4, "repository/python": 3, "repository/go": 2, "command": 1}
"""How often each comes."""
WORKERS = 6
SPREAD = 10
"""Of prices: the dearest to the cheapest."""
PITFALLS = 12
"""Of each kind."""
PITFALL_SHARE = 0.5
FELL_IN, WARNED = 0.35, 0.9
"""What is left of the chance of an attempt at a task with a pitfall, and of one that is warned of it."""
TOKENS = 1_500
"""Of lessons in a brief; the default of `lessons_tokens`."""
MODES = ("memory", "without", "one worker", "all-knowing")
PLACE = Path(__file__).parent.parent / "docs"
RECORDED = PLACE / "assets" / "figures" / "learning.json"
PAGE = PLACE / "explanation" / "learning-figures.md"
_SYLLABLES = ["ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "zo"]


class Finding(NamedTuple):
    check: str
    message: str


class Evidence(NamedTuple):
    check: str
    outcome: str


@dataclass(frozen=True)
class Task:
    number: int
    kind: str
    pitfall: int | None
    words: str
    """Of its brief."""


@dataclass(frozen=True)
class Scene:
    """All that follows from a seed: tasks, workers, luck."""

    seed: int
    tasks: int
    rates: dict[tuple[str, str], float] = field(default_factory=dict)
    prices: dict[str, int] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    """The workers in the order of the configuration."""
    words: dict[tuple[str, int], str] = field(default_factory=dict)
    """What belongs to a pitfall."""

    def __post_init__(self) -> None:
        draw = Random(f"scene {self.seed}")
        for number in range(WORKERS):
            name = f"worker-{number}"
            self.prices[name] = round(20_000 * SPREAD ** draw.random())
            talent = draw.uniform(0.3, 0.8)
            for kind in KINDS:
                self.rates[name, kind] = min(0.97, max(0.08, talent + draw.uniform(-0.3, 0.3)))
        self.written.extend(draw.sample(sorted(self.prices), WORKERS))
        for kind in KINDS:
            for number in range(PITFALLS):
                self.words[kind, number] = " ".join("".join(draw.choices(_SYLLABLES, k=3)) for _ in range(5))

    def task(self, number: int) -> Task:
        draw = Random(f"task {self.seed} {number}")
        kind = draw.choices(list(KINDS), weights=list(KINDS.values()))[0]
        pitfall = draw.randrange(PITFALLS) if draw.random() < PITFALL_SHARE else None
        about = self.words[kind, pitfall] if pitfall is not None else ""
        filler = " ".join("".join(draw.choices(_SYLLABLES, k=3)) for _ in range(25))
        return Task(number, kind, pitfall, f"{about} {filler}".strip())

    @property
    def best(self) -> str:
        """For all kinds together, before the change."""
        shares = sum(KINDS.values())

        def per_solved(name: str) -> float:
            rate = sum(self.rates[name, kind] * share for kind, share in KINDS.items()) / shares
            return self.prices[name] / rate

        return min(self.prices, key=per_solved)

    def rate(self, worker: str, task: Task) -> float:
        worse = worker == self.best and task.number >= self.tasks * CHANGE
        return self.rates[worker, task.kind] * (WORSE if worse else 1.0)

    def chance(self, worker: str, task: Task, *, warned: bool) -> float:
        """That one attempt solves it."""
        left = 1.0 if task.pitfall is None else WARNED if warned else FELL_IN
        return self.rate(worker, task) * left


@dataclass
class Gone:
    """How one task went."""

    chance: float
    """That its first attempt would solve it, as things stood: luck is not counted twice."""
    attempts: int
    solved: bool
    cost: int


class Night:
    """One mode through all tasks of a scene."""

    def __init__(self, scene: Scene, mode: str) -> None:
        self.scene, self.mode = scene, mode
        self.draw = Random(f"draw {scene.seed}")
        entropy = Random(f"ledger {scene.seed} {mode}").randbytes
        self.clock = FakeClock()
        self.ledger = MemoryLedger(clock=self.clock, views=VIEWS, entropy=entropy)

    def play(self) -> list[Gone]:
        with self.ledger:
            return [self._task(self.scene.task(number)) for number in range(self.scene.tasks)]

    def _task(self, task: Task) -> Gone:
        run = f"run-{task.number}"
        order = self._order(task, run)
        shown = lessons.recall(self.ledger, task.words, task.kind, TOKENS) if self.mode == "memory" else []
        message = self._message(task)
        known = self.mode == "all-knowing" or any(message in one.text for one in shown)
        gone = Gone(self.scene.chance(order[0], task, warned=known), 0, False, 0)
        before: list[Finding] = []
        for number, worker in enumerate(order[:ATTEMPTS], 1):
            luck = Random(f"luck {self.scene.seed} {task.number} {number}")
            warned = known or bool(before)  # what failed before stands in the next brief, with memory or without
            solved = luck.random() < self.scene.chance(worker, task, warned=warned)
            cost = round(self.scene.prices[worker] * luck.gammavariate(2, 0.5))
            gone = Gone(gone.chance, number, solved, gone.cost + cost)
            self.clock.advance(600)
            self._judge(task, run, number, worker, cost, solved, shown, before)
            if solved:
                break
            before = [Finding("tests", message)]
        return gone

    def _order(self, task: Task, run: str) -> list[str]:
        if self.mode == "memory":
            choices = routing.order(self.ledger, self.scene.written, task.kind, self.draw)
            self.ledger.append([Draft(MEMORY, routing.said(run, task.kind, choices))])
            return [one.worker for one in choices]
        if self.mode == "all-knowing":
            return sorted(
                self.scene.prices, key=lambda one: self.scene.prices[one] / self.scene.chance(one, task, warned=True)
            )
        if self.mode == "one worker":
            return [self.scene.best, *(one for one in self.scene.written if one != self.scene.best)]
        return self.scene.written

    def _message(self, task: Task) -> str:
        """What a check says of the pitfall; of an ordinary failure, words that nobody meets again."""
        if task.pitfall is None:
            draw = Random(f"failure {self.scene.seed} {task.number}")
            return " ".join("".join(draw.choices(_SYLLABLES, k=4)) for _ in range(6))
        return f"expected {self.scene.words[task.kind, task.pitfall]}"

    def _judge(
        self,
        task: Task,
        run: str,
        number: int,
        worker: str,
        cost: int,
        solved: bool,
        shown: Sequence[lessons.Lesson],
        before: Sequence[Finding],
    ) -> None:
        judged = AttemptJudged(
            run=run, attempt=number, worker=worker, task=task.kind, solved=solved, money_microusd=cost
        )
        told = [judged, *lessons.judged(shown, run, number, solved=solved)]
        if solved and before:
            told += lessons.distil(before, [Evidence("tests", "passed")], worker, task.kind, run)
        self.ledger.append([Draft(MEMORY, event, trace=run) for event in told])


# -- what comes of it


def windows(nights: Sequence[Gone], tasks: int) -> tuple[list[float], list[float]]:
    """At every place: the share that the first attempt solves, and the cost of a solved task, of the last `WINDOW`."""
    width = min(WINDOW, max(1, tasks // 4))
    shares, costs = [], []
    for end in places(tasks):
        part = nights[max(0, end - width) : end]
        shares.append(statistics.fmean(one.chance for one in part))
        costs.append(sum(one.cost for one in part) / max(1, sum(one.solved for one in part)))
    return shares, costs


def places(tasks: int) -> list[int]:
    return list(range(max(1, tasks // 50), tasks + 1, max(1, tasks // 50)))


def measured(*, tasks: int = TASKS, seeds: int = SEEDS) -> dict[str, Any]:
    """Median, tenth and nine tenths over the seeds, by mode; costs are to the all-knowing's in the same window."""
    found: dict[str, Any] = {"tasks": tasks, "seeds": seeds, "change": round(tasks * CHANGE), "at": places(tasks)}
    curves: dict[str, list[tuple[list[float], list[float]]]] = {mode: [] for mode in MODES}
    whole: dict[str, list[float]] = {mode: [] for mode in MODES}
    for seed in range(seeds):
        scene = Scene(seed, tasks)
        nights = {mode: Night(scene, mode).play() for mode in MODES}
        known = windows(nights["all-knowing"], tasks)[1]
        for mode, night in nights.items():
            shares, costs = windows(night, tasks)
            curves[mode].append((shares, [mine / best for mine, best in zip(costs, known, strict=True)]))
            whole[mode].append(sum(one.cost for one in night) / max(1, sum(one.solved for one in night)) / 1e6)
    for mode in MODES:
        found[mode] = {
            "first": _bands([shares for shares, _ in curves[mode]]),
            "cost": _bands([costs for _, costs in curves[mode]]),
            "usd_per_solved": round(statistics.median(whole[mode]), 4),
        }
    return found


def _bands(curves: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    columns = [sorted(column) for column in zip(*curves, strict=True)]
    return {
        "low": [round(column[int(len(column) * 0.1)], 4) for column in columns],
        "median": [round(statistics.median(column), 4) for column in columns],
        "high": [round(column[min(len(column) - 1, int(len(column) * 0.9))], 4) for column in columns],
    }


def moments(found: dict[str, Any]) -> dict[str, int]:
    """Places in the curves that the table and the figures speak of."""
    at, change = found["at"], found["change"]
    width = min(WINDOW, found["tasks"] // 4)

    def nearest(task: int) -> int:
        return min(range(len(at)), key=lambda place: abs(at[place] - task))

    return {
        "at the begin": nearest(width),
        "before the change": nearest(change),
        "behind it": nearest(change + width),
        "at the end": len(at) - 1,
    }


def take(quick: bool = False) -> Iterator[Figure]:
    found = measured(tasks=QUICK_TASKS, seeds=QUICK_SEEDS) if quick else measured()
    yield from told(found)


def told(found: dict[str, Any]) -> Iterator[Figure]:
    at = moments(found)

    def value(mode: str, what: str, moment: str) -> float:
        return float(found[mode][what]["median"][at[moment]])

    for moment in ("before the change", "at the end"):
        mine, without = (value(mode, "cost", moment) for mode in ("memory", "without"))
        yield lower(f"cost of a solved task {moment}", mine, "x all-knowing", "without memory", without, aim=0.9)
        mine, without = (value(mode, "first", moment) for mode in ("memory", "without"))
        yield higher(f"solved by the first attempt {moment}", mine, "", "without memory", without)
    early, late = value("memory", "cost", "before the change"), value("memory", "cost", "at the end")
    yield lower("cost at the end, beside before the change", late, "x all-knowing", "before the change", early)


# -- telling


def draw(found: dict[str, Any], folder: Path) -> None:
    from benchmarks import drawing

    change = {"the best worker gets worse": found["change"]}
    for what, name, title, y in (
        ("first", "learning-curve", "Tasks that the first attempt solves", "share of the last 100 tasks"),
        ("cost", "learning-cost", "Cost of a solved task, all-knowing = 1", "times the all-knowing"),
    ):
        shown = MODES if what == "first" else MODES[:-1]
        series = [
            drawing.Line(
                mode,
                found["at"],
                found[mode][what]["median"],
                *((found[mode][what]["low"], found[mode][what]["high"]) if mode in ("memory", "without") else ()),
            )
            for mode in shown
        ]
        levels = {"all-knowing": 1.0} if what == "cost" else {}
        text = (
            f"{title}, over {found['tasks']:,} tasks in {found['seeds']} simulated worlds: medians, bands from one "
            "tenth to nine tenths. At the end: "
            + ", ".join(f"{mode} {found[mode][what]['median'][-1]:.2f}" for mode in shown)
            + "."
        )
        drawing.lines(
            folder / f"{name}.svg", series, title=title, text=text, x="tasks", y=y, moments=change, levels=levels
        )


def table(found: dict[str, Any]) -> str:
    at = moments(found)
    width = min(WINDOW, found["tasks"] // 4)
    rows = [
        f"{found['tasks']:,} tasks, {found['seeds']} worlds; medians of windows of {width} tasks.",
        "",
        "| | " + " | ".join(f"{mode}" for mode in MODES) + " |",
        "|---|" + "---|" * len(MODES),
    ]
    for what, words in (("first", "solved by the first attempt"), ("cost", "cost of a solved task, all-knowing = 1")):
        for moment, place in at.items():
            cells = [found[mode][what]["median"][place] for mode in MODES]
            shown = [f"{cell:.0%}" if what == "first" else f"{cell:.2f}" for cell in cells]
            rows.append(f"| {words}, {moment} (task {found['at'][place]:,}) | " + " | ".join(shown) + " |")
    spent = [f"{found[mode]['usd_per_solved']:.3f} $" for mode in MODES]
    rows.append("| a solved task, all of it | " + " | ".join(spent) + " |")
    return "\n".join(rows)


def written(page: str, text: str) -> str:
    """The page with `text` between its markers. Raises ValueError where it has none."""
    begin, end = "<!-- figures: begin -->\n", "<!-- figures: end -->"
    head, found, rest = page.partition(begin)
    _, ended, tail = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page has no place for figures between {begin.strip()} and {end}")
    return f"{head}{begin}\n{text}\n\n{end}{tail}"


def main() -> None:
    quick, write = "--quick" in sys.argv, "--write" in sys.argv
    found = measured(tasks=QUICK_TASKS, seeds=QUICK_SEEDS) if quick else measured()
    for figure in told(found):
        print(f"  {line(figure)}")
    print(table(found))
    if write:
        RECORDED.parent.mkdir(parents=True, exist_ok=True)
        RECORDED.write_text(json.dumps(found, separators=(",", ":")) + "\n", "utf-8")
        draw(found, RECORDED.parent)
        PAGE.write_text(written(PAGE.read_text("utf-8"), table(found)), "utf-8")


if __name__ == "__main__":
    main()
