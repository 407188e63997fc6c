"""Several operations as one: all are validated first, then done in the order of their needs, and undone on failure.

    batch = Batch()
    old = batch.add("read the old file", lambda done: typed.read("config.json").value)
    batch.add("write the new one", lambda done: typed.write("config.json", done[old] | {"port": 80}), needs=[old],
              undo=lambda document: ...)
    report = batch.run()

The contract of an operation: `do` either returns, and then `undo` can take back what it did, or it raises and has
left nothing behind. `undo` is given what `do` returned. An operation runs at most once in a run; a batch holds no
state of a run and may be run again.

Interrupts: in the main thread Ctrl-C and SIGTERM stop the operation that is running, all that was done is undone in
reverse order, and the signal goes on its way (KeyboardInterrupt; for SIGTERM whatever the process had set up, usually
its end). While undoing, both are held back until it is complete. Signals that the process ignores stay ignored. A
signal that comes after the last operation was done changes nothing about it. Windows has Ctrl-C only: nobody can send
a SIGTERM there (not tested on Windows).
"""

from daybreak.host.batch.batch import Batch
from daybreak.host.batch.outcome import (
    BatchError,
    BatchFailed,
    BatchInterrupted,
    BatchInvalid,
    BatchMisused,
    Failure,
    OnError,
    Operation,
    Outcome,
    Problem,
    Report,
    Results,
    Status,
)

__all__ = [
    "Batch",
    "BatchError",
    "BatchFailed",
    "BatchInterrupted",
    "BatchInvalid",
    "BatchMisused",
    "Failure",
    "OnError",
    "Operation",
    "Outcome",
    "Problem",
    "Report",
    "Results",
    "Status",
]
