"""Who is asked first: the worker that probably solves a task of this kind for the least, by Thompson sampling.

For each worker two things are uncertain: how likely it solves a task of this kind (Beta), and what an attempt of its
costs (Gamma). From what is known one value of each is *drawn*, and workers stand in the order of drawn cost / drawn
chance: what a solved task would cost if that draw were the truth. Where much is known the draw is close to it; where
little is known it is sometimes good, so that a worker about which little is known is tried now and then, and no more
often than it may be the best. For a cascade that ends with the first success, this order is also the cheapest one.

What is known from further off helps at the start and fades: a worker's attempts at other kinds of task count as at most
`CARRIED` attempts, those at kinds below the same root likewise, and its attempts at the kind itself in full.

Pure: the random source comes in, the ledger is only read. Draws are made in the order of names, so the same knowledge
and the same source give the same order however the workers were listed.
Source: Thompson 1933; Russo et al., "A Tutorial on Thompson Sampling", 2018.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from daybreak.errors import UsageError
from daybreak.events import WorkersOrdered
from daybreak.memory import outcomes
from daybreak.memory.log import Asked
from daybreak.memory.outcomes import Outcomes, Tally

CARRIED = 4.0
"""What is known from further off counts as at most so many attempts."""
PRICE_KNOWN = 2.0
"""An expected cost that is passed in counts as so many attempts."""
FLOOR_MICROUSD = 100
"""What an attempt costs at least: a machine was kept for it. Keeps workers that cost nothing apart by their skill."""
NAME_MAX = 300
_HOUR_MS = 3_600_000
_SHAPE = 8.0
"""Of one attempt's cost, as a Gamma. Costs scatter more than this says (35 %), but to be wide here means to pay again
for what is known to be dear, and narrow, never to look again: over 300 tasks, 2 costs 3 to 8 % more and 64 up to 5."""


class RoutingWrong(UsageError):
    """Workers, a kind of task or prices that no order can be made of."""

    code = "U210"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What memory knows about one worker at one kind of task. Costs are millionths of a US dollar, with the price of
    its time where time has one."""

    worker: str
    task: str
    tried: int
    """Attempts at this kind of task that count."""
    solved: int
    further_tried: int
    """Attempts at other kinds, of which little is carried over."""
    further_solved: int
    chance: float
    """That an attempt solves the task: mean of what is believed, 0 to 1."""
    chance_low: float
    chance_high: float
    """Four fifths of what is believed lie between these."""
    cost_microusd: float
    """Of an attempt."""
    per_solved_microusd: float
    """cost / chance."""
    good: float
    bad: float
    """The Beta distribution of the chance."""
    cost_weight: float
    """How many attempts the cost is worth."""


@dataclass(frozen=True, kw_only=True)
class Choice(Known):
    """A place in the order."""

    drawn_chance: float
    drawn_cost_microusd: float
    drawn_per_solved_microusd: float
    """What the order goes by."""
    why: str
    """One sentence for people and for `AttemptBegan`."""


def order(
    log: Asked,
    workers: Sequence[str],
    task: str,
    draw: Random,
    *,
    expected: Mapping[str, int] | None = None,
    hour_microusd: int = 0,
) -> list[Choice]:
    """`workers`, the one to be asked first at the head; each of them exactly once.

    `task`: its kind, as in `AttemptJudged.task`. `expected`: what an attempt of a worker is thought to cost, where
    somebody knows, in millionths of a US dollar. `hour_microusd`: what an hour of waiting is worth. `log` must have
    been opened with the view `outcomes.ROUTING`. Raises RoutingWrong, and what the ledger raises.
    """
    return ordered(outcomes.read(log), workers, task, draw, expected=expected, hour_microusd=hour_microusd)


def ordered(
    known: Outcomes,
    workers: Sequence[str],
    task: str,
    draw: Random,
    *,
    expected: Mapping[str, int] | None = None,
    hour_microusd: int = 0,
) -> list[Choice]:
    """As `order`, from what was read before."""
    beliefs = explained(known, workers, task, expected=expected, hour_microusd=hour_microusd)
    choices = {belief.worker: _drawn(belief, draw) for belief in sorted(beliefs, key=lambda one: one.worker)}
    listed = [choices[belief.worker] for belief in beliefs]
    return sorted(listed, key=lambda one: one.drawn_per_solved_microusd)  # stable: of equals, the first listed


def explain(
    log: Asked,
    task: str,
    workers: Sequence[str] | None = None,
    *,
    expected: Mapping[str, int] | None = None,
    hour_microusd: int = 0,
) -> list[Known]:
    """What is known, without a draw, the cheapest per solved task first; None: about everybody who ever tried that
    kind of task. Raises as `order`."""
    known = outcomes.read(log)
    asked = known.workers(task) if workers is None else workers
    found = explained(known, asked, task, expected=expected, hour_microusd=hour_microusd)
    return sorted(found, key=lambda one: one.per_solved_microusd)


def explained(
    known: Outcomes,
    workers: Sequence[str],
    task: str,
    *,
    expected: Mapping[str, int] | None = None,
    hour_microusd: int = 0,
) -> list[Known]:
    """What is known about each worker, in the order given, each one once. Raises RoutingWrong."""
    _check(workers, task, expected or {}, hour_microusd)
    named = list(dict.fromkeys(workers))
    fleet = _fleet_cost(known, named, task, hour_microusd)
    return [_known(known, worker, task, (expected or {}).get(worker), fleet, hour_microusd) for worker in named]


def said(run: str, task: str, choices: Sequence[Choice]) -> WorkersOrdered:
    """The event that keeps an order and its numbers, for `daybreak memory why RUN`. It belongs into stream `memory`."""
    return WorkersOrdered(run=run, task=task, choices=[plain(choice) for choice in choices])


def plain(known: Known) -> dict[str, Any]:
    """As JSON values; numbers to four places, because more would be pretence."""
    return {name: round(value, 4) if type(value) is float else value for name, value in asdict(known).items()}


# -- what is believed


def _known(
    known: Outcomes, worker: str, task: str, expected: int | None, fleet: float | None, hour_microusd: int
) -> Known:
    here, near, elsewhere = known.at(worker, task), known.near(worker, task), known.elsewhere(worker, task)
    good, bad = _added(*_carried(*_added(*_carried(*_added(1.0, 1.0, elsewhere)), near)), here)
    cost, weight = _cost(here, near.plus(elsewhere), expected, fleet, hour_microusd)
    chance = good / (good + bad)
    low, high = _between(good, bad)
    return Known(
        worker=worker,
        task=task,
        tried=here.tried,
        solved=here.solved,
        further_tried=near.tried + elsewhere.tried,
        further_solved=near.solved + elsewhere.solved,
        chance=chance,
        chance_low=low,
        chance_high=high,
        cost_microusd=cost,
        per_solved_microusd=cost / chance,
        good=good,
        bad=bad,
        cost_weight=weight,
    )


def _added(good: float, bad: float, tally: Tally) -> tuple[float, float]:
    return good + tally.solved, bad + (tally.tried - tally.solved)


def _carried(good: float, bad: float) -> tuple[float, float]:
    """The same share, worth at most `CARRIED` attempts."""
    scale = min(1.0, CARRIED / (good + bad))
    return good * scale, bad * scale


def _price(tally: Tally, hour_microusd: int) -> float:
    """Of all its attempts together, each at least the floor."""
    return max(tally.money_microusd + tally.duration_ms * hour_microusd / _HOUR_MS, FLOOR_MICROUSD * tally.tried)


def _fleet_cost(known: Outcomes, workers: Sequence[str], task: str, hour_microusd: int) -> float | None:
    """What an attempt costs with those of whom that is known: the geometric mean, because prices differ by factors."""
    each = [tally for worker in workers if (tally := known.at(worker, task)).tried] or [
        tally for worker in workers if (tally := known.near(worker, task).plus(known.elsewhere(worker, task))).tried
    ]
    if not each:
        return None
    return math.exp(math.fsum(math.log(_price(tally, hour_microusd) / tally.tried) for tally in each) / len(each))


def _cost(
    here: Tally, further: Tally, expected: int | None, fleet: float | None, hour_microusd: int
) -> tuple[float, float]:
    """Mean cost of an attempt, and how many attempts it is worth."""
    if expected is not None:
        guess, weight = float(max(expected, FLOOR_MICROUSD)), PRICE_KNOWN
    elif further.tried:
        guess, weight = _price(further, hour_microusd) / further.tried, min(CARRIED / 2, further.tried)
    else:
        guess, weight = fleet if fleet is not None else float(FLOOR_MICROUSD), 1.0 if not here.tried else 0.25
    total = guess * weight + _price(here, hour_microusd)
    return total / (weight + here.tried), weight + here.tried


# -- drawing


def _drawn(known: Known, draw: Random) -> Choice:
    chance = max(draw.betavariate(known.good, known.bad), 1e-6)
    shape = _SHAPE * known.cost_weight
    cost = max(known.cost_microusd * draw.gammavariate(shape, 1.0 / shape), float(FLOOR_MICROUSD))
    return Choice(
        **asdict(known),
        drawn_chance=chance,
        drawn_cost_microusd=cost,
        drawn_per_solved_microusd=cost / chance,
        why=_why(known, cost / chance),
    )


def _why(known: Known, drawn: float) -> str:
    if known.tried:
        record = (
            f"solved {known.solved} of {known.tried} {known.task} tasks at {dollars(known.cost_microusd)} an attempt"
        )
    elif known.further_tried:
        record = f"new to {known.task}, solved {known.further_solved} of {known.further_tried} others"
    else:
        record = f"never tried {known.task} or anything else"
    return f"{record}; {dollars(known.per_solved_microusd)} per solved task expected, {dollars(drawn)} drawn"


def dollars(microusd: float) -> str:
    """`$0.0123`: two digits that say something, at least to the cent."""
    amount = microusd / 1e6
    places = 2 if amount >= 1 or amount <= 0 else min(6, 1 - math.floor(math.log10(amount)))
    return f"${amount:.{max(2, places)}f}"


_NORMAL_TENTH = 1.2815515655446004


def _between(good: float, bad: float) -> tuple[float, float]:
    """About the 10th and the 90th part of a hundred of the Beta, from the normal one of its log-odds; for people."""
    middle = math.log(good / bad)
    wide = _NORMAL_TENTH * math.sqrt(1.0 / good + 1.0 / bad)
    return _logistic(middle - wide), _logistic(middle + wide)


def _logistic(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-odds))


# -- what cannot be


def _check(workers: Sequence[str], task: str, expected: Mapping[str, int], hour_microusd: int) -> None:
    given: object = workers
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise RoutingWrong(f"{given!r:.80} is no list of workers", hint="pass their names")
    for what, name in [("a worker", worker) for worker in given] + [("a kind of task", task)]:
        named: object = name
        if not isinstance(named, str) or not 0 < len(named) <= NAME_MAX:
            raise RoutingWrong(f"{named!r:.80} cannot name {what}", hint=f"1 to {NAME_MAX} characters")
    amounts: list[tuple[str, object]] = [("the price of an hour", hour_microusd)]
    amounts += [(f"the expected cost of {worker:.80}", amount) for worker, amount in expected.items()]
    for what, amount in amounts:
        if type(amount) is not int or not 0 <= amount <= 10**15:
            raise RoutingWrong(
                f"{what} cannot be {amount!r:.80}", hint="a whole number of millionths of a US dollar, not negative"
            )
