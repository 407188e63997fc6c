"""An owner on another machine, which sees no locks of this one: `python night_rival.py HOME RUN` goes on with RUN."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import anyio

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import Engine
from daybreak.factory.kinds import python
from daybreak.host.locks import FileLocks, Owner
from daybreak.ledger import Ledger


class LocksThere(FileLocks):
    """A folder of its own, on a host of its own."""

    @property
    def me(self) -> Owner:
        return replace(super().me, host="there")


def main() -> None:
    from daybreak import home

    where, clock = Places.below(Path(sys.argv[1]), "a test"), SystemClock()
    with Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=clock, views=home.views()) as ledger:
        locks = LocksThere(where.locks.with_name("locks-there"), clock)
        engine = Engine(ledger, {python.KIND: python.Python()}, locks, clock, os.urandom)
        result = anyio.run(engine.supervise, sys.argv[2])
        sys.stdout.write(f"{result.state} {result.question}\n")


if __name__ == "__main__":
    main()
