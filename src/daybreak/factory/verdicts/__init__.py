"""What people say of results: accepted, rejected (which becomes a lesson and a new task), undone.

A face (command line, browser) calls `accept`, `reject`, `plan` and `undo`, and shows what they give. Each works on an
open ledger, says who by `actor`, and may be repeated.
"""

from daybreak.factory.verdicts.accepting import Accepted, accept, accept_night
from daybreak.factory.verdicts.rejecting import Rejected, reject
from daybreak.factory.verdicts.undoing import Undone, plan, undo

__all__ = ["Accepted", "Rejected", "Undone", "accept", "accept_night", "plan", "reject", "undo"]
