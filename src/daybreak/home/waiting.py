"""Why nobody takes a run that stands in the queue before a certain night begins, where several homes share the ledger.

What works on a folder is bound to the home of the machine with that folder (`Queue.home_keys`): the other homes may be
at work all night, and leave it alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.home.opening import Home

_COMING = "SELECT keyed FROM view_runs WHERE run = ? AND state = 'queued' AND epoch = 0 AND NOT cancel"
_ALONE = "it works on a folder of this machine, so only a night of this home does it, and none is at work here"
_ELSEWHERE = "it works on a folder of the machine where it was added, so only a night of that home does it"


def waits(home: Home, run: str) -> str:
    """In words; empty where a night that is at work takes it, where any home may, and where it has begun or is to be
    cancelled."""
    from daybreak.clock import SystemClock
    from daybreak.engine.picking import keys_of
    from daybreak.engine.placement import HOME_KEY
    from daybreak.engine.supervisor import LOCK
    from daybreak.home.opening import BOUND
    from daybreak.host.locks import FileLocks

    mine = home.engine.queue.home_keys(BOUND[0], {})
    if not mine:  # nobody shares the ledger
        return ""
    found = home.ledger.query(_COMING, (run,))
    bound = {key for (keyed,) in found for key in keys_of(keyed) if key.startswith(HOME_KEY)}
    if not bound:
        return ""
    if bound.isdisjoint(mine):
        return _ELSEWHERE
    return "" if FileLocks(home.places.locks, SystemClock()).owner(LOCK) is not None else _ALONE
