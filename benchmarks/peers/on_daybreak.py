"""Durable steps of this engine on its real ledger: `on_daybreak.py FOLDER`. Each workflow is a run of its own."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import anyio
from turns import serve, words

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Context, Engine
from daybreak.ledger import Ledger


async def task(ctx: Context, args: Any) -> None:
    async def step(number: int) -> dict[str, int]:
        return {"number": number}

    for number in range(args["each"]):
        await ctx.step("step", step, number)


async def workflows(engine: Engine, count: int, each: int) -> float:
    began = time.perf_counter()

    async def workflow() -> None:
        result = await engine.supervise(engine.submit("steps", "steps", {"each": each}))
        assert result.state == "done", result

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(workflow)
    return time.perf_counter() - began


def main() -> None:
    places, clock = Places.below(Path(sys.argv[1]), "peers"), SystemClock()
    opened = Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=VIEWS)
    with opened as ledger:
        engine = Engine(ledger, {"steps": task}, places.locks, clock, os.urandom)
        connection = ledger._writer_connection  # the one that commits, while nothing is under way
        set_as = words(str(connection.pragma("journal_mode")), int(str(connection.pragma("synchronous"))))
        serve(set_as, lambda count, each: anyio.run(workflows, engine, count, each))


if __name__ == "__main__":
    main()
