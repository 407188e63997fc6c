"""Several witnesses by one rule: who is shown the ledger's heads, when they are asked again, what *witnessed* means.

members    witnesses from `daybreak.toml`
watch      one witness: a try, its breaker, how it stands
panel      all of them beside an open ledger, each on a thread of its own
"""

from daybreak.factory.witnessing.members import members
from daybreak.factory.witnessing.panel import NotWitnessed, Panel, WitnessesOverdue, beside, mark
from daybreak.factory.witnessing.watch import Watch

__all__ = ["NotWitnessed", "Panel", "Watch", "WitnessesOverdue", "beside", "mark", "members"]
