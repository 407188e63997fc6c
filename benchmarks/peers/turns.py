"""What every program here does: it opens its store once, then measures whenever it is asked to.

Run by a peer's own interpreter, so it imports nothing but the standard library. A line of input is
`[workflows, steps of each]`; a line of output is the seconds that they took and those of a processor. The first line
of output says how the store is set, as read back from it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable


def serve(settings: str, run: Callable[[int, int], float]) -> None:
    """`run(workflows, each)` returns seconds, once all steps are recorded."""
    print(json.dumps(settings), flush=True)
    for line in sys.stdin:
        workflows, each = json.loads(line)
        began_s = time.process_time()
        taken_s = run(workflows, each)
        print(json.dumps([taken_s, time.process_time() - began_s]), flush=True)


def words(journal: str, synchronous: int) -> str:
    """The settings of a SQLite connection in words."""
    return f"journal_mode={journal}, synchronous={('OFF', 'NORMAL', 'FULL', 'EXTRA')[synchronous]}"
