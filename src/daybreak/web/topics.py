"""Which parts of a page an event changes."""

from __future__ import annotations

from daybreak import events
from daybreak.ledger import Record

TOPICS = (
    "queue",
    "tonight",
    "runs",
    "budget",
    "breakers",
    "schedules",
    "notes",
    "ledger",
    "health",
    "alerts",
)
"""All but those of single runs, whose topic is their name: `run-…`."""


def of_record(record: Record) -> frozenset[str]:
    """Its topics; `ledger` is always one."""
    stream = record.stream
    if stream == events.POLICY:
        return _policy(record)
    if stream.startswith(("run:", "control:")):
        run = stream.partition(":")[2]
        if record.type in _MOVES:
            return frozenset(("ledger", "queue", "tonight", "runs", run))
        return frozenset(("ledger", "tonight", run))
    if stream == events.QUEUE:
        return frozenset(("ledger", "queue", "tonight", "runs", *_run_of(record)))
    return _BY_STREAM.get(stream, frozenset(("ledger", "health")))


_MOVES = frozenset(
    kind.type
    for kind in (
        events.RunMoved,
        events.RunForked,
        events.RunRolledBack,
        events.CancelAsked,
        events.PauseAsked,
        events.ResumeAsked,
        events.Answered,
        events.ResultAccepted,
        events.ResultRejected,
        events.ResultUndone,
    )
)
_BY_STREAM = {
    events.SCHEDULES: frozenset(("ledger", "schedules", "queue")),
    events.NIGHTS: frozenset(("ledger", "tonight", "health")),
    events.MEMORY: frozenset(("ledger", "notes")),
}


def _policy(record: Record) -> frozenset[str]:
    name = record.type
    if name.startswith("budget"):
        return frozenset(("ledger", "budget", "tonight", *_run_of(record)))
    if name.startswith("breaker"):
        return frozenset(("ledger", "breakers", "health", "tonight"))
    if name.startswith("incident"):
        return frozenset(("ledger", "health", "tonight", *_run_of(record)))
    return frozenset(("ledger", *_run_of(record)))


def _run_of(record: Record) -> tuple[str, ...]:
    run = getattr(record.event, "run", "")
    return (run,) if isinstance(run, str) and run else ()
