"""`daybreak rehearse`: play tonight's queue on a virtual clock, to see when it would be finished and what it costs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import ArgumentWrong, Json
from daybreak.cli.queue import moment_of

if TYPE_CHECKING:
    from daybreak.engine.rehearsal import Rehearsal

EXAMPLES = (
    "Examples:  daybreak rehearse --until 07:00 --budget 20usd    "
    "daybreak rehearse --for 8h --workers 8 --assume 'build=10min±50%,0.5usd,fail 10%'"
)
NIGHTS_MAX = 100_000
WORKERS_MAX = 1_000
SEED_MAX = 2**53 - 1

Until = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="TIME",
        help="When the night ends: 07:00, +8h. Without it, it ends with the queue, and no schedule's windows come.",
    ),
]
For = Annotated[str | None, typer.Option("--for", metavar="TIME", help="Instead: how long it lasts, such as 8h.")]
Nights = Annotated[
    int, typer.Option("--nights", metavar="N", help="So many are played.", parser=arguments.whole(1, NIGHTS_MAX))
]
Workers = Annotated[
    int, typer.Option("--workers", metavar="N", help="Runs at once.", parser=arguments.whole(1, WORKERS_MAX))
]
Budget = Annotated[str | None, typer.Option("--budget", metavar="AMOUNTS", help="The night's budget: 20usd.")]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", help="The same seed gives the same numbers.", parser=arguments.whole(0, SEED_MAX)
    ),
]
Assumes = Annotated[
    list[str] | None,
    typer.Option(
        "--assume",
        metavar="NAME=…",
        help="For tasks of which no run has ended yet, by title, kind or *: 'build=10min±50%,0.5usd,fail 10%,ask 5%'.",
    ),
]


def rehearse(
    until: Until = None,
    for_: For = None,
    nights: Nights = 100,
    workers: Workers = 4,
    budget: Budget = None,
    seed: Seed = 0,
    assume: Assumes = None,
    as_json: Json = False,
) -> None:
    """Play tonight's queue many times on a virtual clock. Nothing runs, and nothing is recorded.

    How tasks go is drawn from runs that have ended: of the same title, or else of the same kind, or else as you assume.
    """
    from daybreak.report import rehearsed

    found = _rehearsed(until, for_, nights, workers, budget, seed, assume or [])
    if as_json:
        faces.result_json({"runs": 0} if found is None else rehearsed.as_json(found))
    elif found is None:
        faces.say("nothing is in the queue: `daybreak add` puts tasks there")
    else:
        for line in rehearsed.lines(found):
            faces.result(line)


def _rehearsed(
    until: str | None, for_: str | None, nights: int, workers: int, budget: str | None, seed: int, assume: list[str]
) -> Rehearsal | None:
    """None where there is nothing to play."""
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.engine.experience import Assumed
    from daybreak.engine.night import Plan
    from daybreak.engine.rehearsal import rehearse as play
    from daybreak.policy.budget import Limit

    where, clock = arguments.usable_home(home.places()), SystemClock()
    now = clock.now()
    end = _end(until, for_, now)
    plan = Plan(workers=workers, until=end, budget=Limit.parse(budget) if budget is not None else None)
    assumed = [Assumed.parse(text) for text in assume]
    if not where.ledger.is_dir():
        return None
    with home.open_ledger(where) as ledger:
        found = play(ledger, now, plan, nights=nights, seed=seed, assumed=assumed)
    return found if found.drawn else None


def _end(until: str | None, for_: str | None, now: datetime) -> datetime | None:
    from daybreak.policy import amounts

    if until is not None and for_ is not None:
        raise ArgumentWrong("--until and --for both say when the night ends", hint="give one of them")
    if until is not None:
        return moment_of(until, now)
    if for_ is None:
        return None
    said = amounts.parse(for_)
    if set(said) != {"time_ms"}:
        raise ArgumentWrong(f"{arguments.cut(for_)} is no length of time", hint="write 8h, 90min or 1h30min")
    return now + timedelta(milliseconds=said["time_ms"])
