"""Learns: how workers do at which kinds of task (`routing`), what failed and was repaired (`lessons`), and what people
write down (`notes`)."""

from daybreak.memory import lessons, notes, outcomes, routing

VIEWS = (outcomes.ROUTING, lessons.LESSONS)
"""Register them where the ledger is opened."""

__all__ = ["VIEWS", "lessons", "notes", "outcomes", "routing"]
