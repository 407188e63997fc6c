"""The program that verifies a home's ledger for a page: `python -m daybreak.web.pages.verifier LEDGER KEYS WITNESS`,
with `whole` behind it for a check of everything. Says lines of JSON: `{"done", "of"}` now and then, at last the result.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from daybreak.clock import SystemClock
from daybreak.web.pages.verifying import PROBLEMS_SHOWN

EVERY_S = 0.2
NICER = 5
"""A night on this machine goes first."""


def main(words: list[str]) -> None:
    from daybreak import home
    from daybreak.factory.blobs import of_record
    from daybreak.ledger import homecheck

    os.nice(NICER)
    clock = SystemClock()
    ledger, keys, witness = map(Path, words[:3])
    last = clock.monotonic()

    def progress(done: int, of: int) -> None:
        nonlocal last
        if clock.monotonic() - last >= EVERY_S:
            last = clock.monotonic()
            _say({"done": done, "of": of})

    found = homecheck.verify_home(
        ledger,
        keys=keys,
        witness=witness,
        clock=clock,
        incremental="whole" not in words[3:],
        views=home.views(),
        blobs=of_record,
        progress=progress,
    )
    _say(
        {
            "ok": found.ok,
            "mode": found.mode,
            "events": found.events,
            "taken": found.taken,
            "since": "" if found.since is None else found.since.at,
            "whole_at": "" if found.since is None else found.since.whole_at,
            "seconds": round(found.seconds, 3),
            "problems": [tuple(one) for one in found.problems[:PROBLEMS_SHOWN]],
            "more": found.more + max(0, len(found.problems) - PROBLEMS_SHOWN),
            "notes": found.notes,
        }
    )


def _say(told: dict[str, Any]) -> None:
    """Raises BrokenPipeError, and so ends the program, where nobody listens any more."""
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
