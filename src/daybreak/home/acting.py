"""In whose name something is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from daybreak.ledger import Draft, Ledger, Record


class _Acting:
    """A ledger in which events that name no actor get this one; everything else is the ledger itself."""

    def __init__(self, ledger: Ledger, actor: Callable[[], str]) -> None:
        self._ledger, self._actor = ledger, actor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def append(self, drafts: Sequence[Draft]) -> list[Record]:
        return self._ledger.append(self._signed(drafts))

    async def append_async(self, drafts: Sequence[Draft]) -> list[Record]:
        return await self._ledger.append_async(self._signed(drafts))

    def _signed(self, drafts: Sequence[Draft]) -> list[Draft]:
        return [draft if draft.actor else replace(draft, actor=self._actor()) for draft in drafts]


def acting(actor: Callable[[], str]) -> Callable[[Ledger], Ledger]:
    """For `home.opened(through=…)`: what the home, its engine and its queue append is done by whom `actor` names."""
    return lambda ledger: cast("Ledger", _Acting(ledger, actor))
