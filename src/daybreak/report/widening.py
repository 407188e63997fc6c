"""What is told of one more candidate that was asked for, or not."""

from __future__ import annotations

from daybreak import events

_NTH = {3: "third", 4: "fourth", 5: "fifth", 6: "sixth", 7: "seventh"}


def told(event: events.ConsensusWidened) -> str:
    """`a fourth is asked, other first (not asked before); 3 of 4 have to agree, f = 1`."""
    number = event.candidates + 1
    one = f"a {_NTH.get(number, f'{number}th')}"
    if not event.attempt:
        return f"{one} might decide, and is not asked: {event.why}"
    rule = f"{event.needed} of {number} have to agree, f = {event.tolerated}"
    return f"{one} is asked, {event.worker} first ({event.why}); {rule}"
