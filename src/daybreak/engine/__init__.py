"""Makes progress: durable steps, leases, recovery. See DESIGN.md, "The engine"."""

from daybreak.engine.context import Context, Listener, Told
from daybreak.engine.engine import Engine, Resumable, RunResult, TaskFunction
from daybreak.engine.flow import Parked
from daybreak.engine.step import Absent, Found, Kept, step_key
from daybreak.engine.view import RUNS

__all__ = [
    "RUNS",
    "Absent",
    "Context",
    "Engine",
    "Found",
    "Kept",
    "Listener",
    "Parked",
    "Resumable",
    "RunResult",
    "TaskFunction",
    "Told",
    "step_key",
]
