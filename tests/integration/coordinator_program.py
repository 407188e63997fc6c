"""One coordinator in a process: `python coordinator_program.py '{"home": …, "url": …, "host": …}'`.

A home of its own and the name of a host of its own, so that several of them on one machine are as those of several
machines. What its tasks do outside is one file for all (`effects`): a line where a step begins, and one where it ends.
Prints one line of JSON for the end of its night.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import Context, Engine, step_key
from daybreak.engine.night import Hooks, Plan
from daybreak.engine.schedules import Schedules
from daybreak.engine.supervisor import Supervisor
from daybreak.errors import DaybreakError
from daybreak.host.locks import FileLocks
from daybreak.ledger import Ledger
from daybreak.ledger.database import STOPPED_S
from daybreak.ledger.postgres.connection import Link
from daybreak.ledger.postgres.seats import PostgresSeats
from daybreak.policy.budget import Amounts, Limit


def tell(effects: Path, *words: object) -> None:
    descriptor = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    os.close(descriptor)


async def work(ctx: Context, args: Any) -> Any:
    """`n`, its number; `effects`, the file; `s`, how long it takes; `effect`; `cost`, attempts of one step."""

    async def act(number: int) -> int:
        tell(args["effects"], "begin", step_key(), os.getpid())
        await anyio.sleep(args["s"])
        tell(args["effects"], "end", step_key(), os.getpid())
        return number * number

    cost = Amounts(money_microusd=args["cost"]) if args.get("cost") else None
    return await ctx.step("act", act, args["n"], effect=args.get("effect", "idempotent"), cost=cost)


async def at_work(told: dict[str, Any], ledger: Ledger, places: Places) -> dict[str, Any]:
    clock = SystemClock()
    seats = PostgresSeats(told["url"], places.locks, told["host"])
    locks = FileLocks(places.locks, clock)
    engine = Engine(ledger, {"work": work}, locks, clock, os.urandom, seats=seats)
    plan = Plan(
        workers=told.get("workers", 2),
        once=told.get("once", True),
        join=told.get("join", True),
        budget=Limit(money_microusd=told["budget"]) if "budget" in told else None,
        lease_s=told.get("lease_s", 2.0),
        until=clock.now() + timedelta(seconds=told.get("most_s", 60)),
        poll_s=0.2,
        recover_s=5.0,
        grace_s=told.get("grace_s", 0.5),
    )
    schedules = Schedules(ledger, clock, engine.queue) if told.get("schedules") else None

    async def begun() -> list[Any]:
        print("begun", flush=True)
        return []

    night = Supervisor(
        engine, ledger, clock, os.urandom, locks, plan, schedules=schedules, seats=seats, hooks=Hooks(preflight=begun)
    )
    try:
        result = await night.work()
        return {"night": result.night, "why": result.why, "counts": dict(result.counts)}
    except DaybreakError as problem:
        return {"night": night.night, "code": problem.code, "message": problem.message}
    finally:
        seats.stand()


def stand_still(mark: str) -> None:
    """Once, when all of the commit that holds those words was sent to the server but its last: SIGSTOP, by itself."""
    execute, stage = Link.execute, [""]

    def stopping(link: Link, query: Any, params: Any = None, **given: Any) -> Any:
        if not stage[0] and mark in repr(params):
            stage[0] = "marked"
        if stage[0] == "marked" and query == "COMMIT":
            stage[0] = "over"
            link.pgconn.flush()
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # sent to the process, others may take it later
        return execute(link, query, params, **given)

    setattr(Link, "execute", stopping)  # noqa: B010 - a method


def main() -> None:
    from daybreak import home

    told = json.loads(sys.argv[1])
    socket.gethostname = lambda: told["host"]
    places = Places.below(Path(told["home"]), "a test")
    if "stops_at" in told:
        stand_still(told["stops_at"])
    with Ledger.open(
        places.ledger,
        keys=places.keys,
        witness=places.witness,
        clock=SystemClock(),
        views=home.views(),
        postgres=told["url"],
        stopped_s=told.get("stopped_s", STOPPED_S),
    ) as ledger:
        ended = anyio.run(at_work, told, ledger, places)
    print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    main()
