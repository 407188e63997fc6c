"""Makes progress: durable steps, leases, recovery. See DESIGN.md, "The engine"."""

from daybreak.engine.context import Context, Listener, Told
from daybreak.engine.engine import Engine, Resumable, RunResult, TaskFunction
from daybreak.engine.flow import Parked
from daybreak.engine.placement import Placement
from daybreak.engine.queue import Queue
from daybreak.engine.step import Absent, Found, Kept, spend, step_key
from daybreak.engine.verdicts import VERDICTS
from daybreak.engine.view import RUNS
from daybreak.policy.accounts import ACCOUNTS
from daybreak.policy.circuits import CIRCUITS

VIEWS = (RUNS, VERDICTS, ACCOUNTS, CIRCUITS)
"""What a ledger must be opened with that an engine works on."""

__all__ = [
    "RUNS",
    "VIEWS",
    "Absent",
    "Context",
    "Engine",
    "Found",
    "Kept",
    "Listener",
    "Parked",
    "Placement",
    "Queue",
    "Resumable",
    "RunResult",
    "TaskFunction",
    "Told",
    "spend",
    "step_key",
]
