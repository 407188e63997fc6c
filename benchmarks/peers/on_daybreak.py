"""Durable steps of this engine on its real ledger: `on_daybreak.py FOLDER [URL]`. Each workflow is a run of its own.

With the URL of a Postgres the ledger stands there, and the folder holds its mirror.
"""

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
    url = sys.argv[2] if len(sys.argv) > 2 else None
    opened = Ledger.open(
        places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=VIEWS, postgres=url
    )
    with opened as ledger:
        engine = Engine(ledger, {"steps": task}, places.locks, clock, os.urandom)
        connection = ledger._writer_connection  # the one that commits, while nothing is under way
        set_as = words(str(connection.pragma("journal_mode")), int(str(connection.pragma("synchronous"))))
        if url is not None:
            set_as = f"{postgres_words(url)}; mirror: {set_as}"
        serve(set_as, lambda count, each: anyio.run(workflows, engine, count, each))


def postgres_words(url: str) -> str:
    """As a connection of the ledger's is set."""
    from daybreak.ledger.postgres.connection import connect

    with connect(url) as link:
        row = link.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')").fetchone()
    assert row is not None
    return f"fsync={row[0]}, synchronous_commit={row[1]}"


if __name__ == "__main__":
    main()
