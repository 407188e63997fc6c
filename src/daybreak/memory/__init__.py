"""Learns: how workers do at which kinds of task (`routing`), what failed and was repaired (`lessons`), and what people
write down (`notes`, a module that needs no ledger)."""

from daybreak.memory import lessons, outcomes, routing

VIEWS = (outcomes.ROUTING, lessons.LESSONS)
"""Register them where the ledger is opened."""

__all__ = ["VIEWS", "lessons", "outcomes", "routing"]
