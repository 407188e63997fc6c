"""In whose name something is appended, and with which request; for the faces through which others act.

What the engine, the queue and the others write for somebody is written through `Signed`: an event that names no actor
gets the one of the hand that is at work (`with writing(Hand(…))`), and the first commit of a request with an
idempotency key carries a mark that makes a second one of the same key impossible, in whatever process it is tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from daybreak import events
from daybreak.errors import IdemConflict
from daybreak.ledger import Draft, Record

if TYPE_CHECKING:
    from daybreak.ledger import Ledger


@dataclass
class Hand:
    actor: str
    mark: events.RequestTaken | None = None
    """To be appended with the first commit."""
    marked: bool = field(default=False)


class Taken(Exception):
    """Another request with the same idempotency key was quicker; nothing was appended."""


_HAND: ContextVar[Hand | None] = ContextVar("hand", default=None)


@contextmanager
def writing(hand: Hand) -> Iterator[Hand]:
    """What this thread or task appends inside the block is this hand's."""
    token = _HAND.set(hand)
    try:
        yield hand
    finally:
        _HAND.reset(token)


class Signed:
    """A ledger whose events carry the actor of the hand that is at work; everything else is the ledger itself."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def append(self, drafts: Sequence[Draft]) -> list[Record]:
        """Raises Taken beside what `Ledger.append` raises."""
        hand = _HAND.get()
        if hand is None:
            return self._ledger.append(drafts)
        marks = _marks(hand)
        with self._marking(hand, marks):
            return self._ledger.append([*_signed(drafts, hand), *marks])[: len(drafts)]

    async def append_async(self, drafts: Sequence[Draft]) -> list[Record]:
        """As `append`."""
        hand = _HAND.get()
        if hand is None:
            return await self._ledger.append_async(drafts)
        marks = _marks(hand)
        with self._marking(hand, marks):
            return (await self._ledger.append_async([*_signed(drafts, hand), *marks]))[: len(drafts)]

    @contextmanager
    def _marking(self, hand: Hand, marks: Sequence[Draft]) -> Iterator[None]:
        try:
            yield
        except IdemConflict as error:
            if marks and is_taken(self._ledger, marks[0].event):
                raise Taken from error
            raise
        hand.marked = hand.marked or bool(marks)


def through(ledger: Ledger) -> Ledger:
    """For `home.opened(through=…)`: what the home, its engine and its queue append is done by the hand at work."""
    return cast("Ledger", Signed(ledger))


def is_taken(ledger: Ledger, mark: events.Event) -> bool:
    """Was another request with this mark's key quicker?"""
    assert isinstance(mark, events.RequestTaken)
    found = ledger.query("SELECT id FROM view_requests WHERE key = ?", (mark.key,))
    return bool(found) and found[0][0] != mark.id


def _marks(hand: Hand) -> list[Draft]:
    if hand.mark is None or hand.marked:
        return []
    return [Draft(events.REQUESTS, hand.mark, actor=hand.actor, idem=f"request:{hand.mark.key}")]


def _signed(drafts: Sequence[Draft], hand: Hand) -> list[Draft]:
    return [draft if draft.actor else replace(draft, actor=hand.actor) for draft in drafts]
