"""Handing work over, for all faces: words become a task that is read and checked, everything that is wrong is told at
once, and what is right goes into the queue.

    ready = handover.ask(Words(command="make all", checks=("test -s out.bin",)), PlaceWords(priority=5),
                         cwd=Path.cwd(), environment=os.environ, clock=SystemClock())
    with home.opened() as opened:
        ready.put(opened)          # {"run": "run-0k3...", "existed": False, "kind": "command", "title": "make all"}
"""

from daybreak.home.handover.asking import Ready, ask
from daybreak.home.handover.finding import found, read
from daybreak.home.handover.gathering import Gathered
from daybreak.home.handover.outside import NotFromOutside, ask_outside, check_found, check_outside
from daybreak.home.handover.place import Place, checked, place, placement
from daybreak.home.handover.putting import put
from daybreak.home.handover.words import AddWrong, PlaceWords, TaskUnclear, Words

__all__ = [
    "AddWrong",
    "Gathered",
    "NotFromOutside",
    "Place",
    "PlaceWords",
    "Ready",
    "TaskUnclear",
    "Words",
    "ask",
    "ask_outside",
    "check_found",
    "check_outside",
    "checked",
    "found",
    "place",
    "placement",
    "put",
    "read",
]
