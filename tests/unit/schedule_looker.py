"""A process that looks at the schedules of a ledger at the given moments, as soon as it is told to."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from daybreak.engine.queue import Queue
from daybreak.engine.schedule_view import SCHEDULES
from daybreak.engine.schedules import Opened, Schedules
from daybreak.engine.view import RUNS
from daybreak.ledger import Ledger
from daybreak.testing.clock import FakeClock


def main() -> None:
    home, moments = Path(sys.argv[1]), sys.argv[2:]
    places = {name: home / name for name in ("keys", "witness")}
    with Ledger.open(home / "ledger", **places, clock=FakeClock(), views=[RUNS, SCHEDULES]) as ledger:
        schedules = Schedules(ledger, FakeClock(), Queue(ledger, FakeClock(), os.urandom))
        print("ready", flush=True)
        sys.stdin.readline()
        for moment in moments:
            for told in schedules.look(datetime.fromisoformat(moment).replace(tzinfo=UTC)):
                print("opened" if isinstance(told, Opened) else "skipped", told.schedule, told.window, flush=True)


if __name__ == "__main__":
    main()
