"""The closed list of a run's states and the moves between them that are legal.

queued ─→ leased ─→ running ⇄ verifying ─→ done, failed
waiting, parked, paused ─→ leased             any but a final one ─→ leased (its owner died) or cancelled
any that nobody works at ─→ queued            (rolled back to a step, which begins a new generation)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from daybreak.events import FINAL, State

STATES: tuple[State, ...] = get_args(State)

ACTIVE: frozenset[State] = frozenset({"leased", "running", "verifying"})
"""States that only a run with a living owner is in; without one the owner died."""

_FROM_WORK: frozenset[State] = frozenset({"leased", "waiting", "paused", "parked", "done", "failed", "cancelled"})
_AT_REST: frozenset[State] = frozenset({"leased", "cancelled", "queued"})

LEGAL: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        "queued": frozenset({"leased", "cancelled", "queued"}),
        "leased": frozenset({"leased", "running", "paused", "failed", "cancelled"}),
        "running": _FROM_WORK | {"verifying"},
        "verifying": _FROM_WORK | {"running"},
        "waiting": _AT_REST,
        "paused": _AT_REST,
        "parked": _AT_REST,
        **{state: frozenset({"queued"}) for state in FINAL},
    }
)
"""To which states a run may go from each. `leased → leased` is a takeover before the owner got to work."""


def check(old: State, new: State) -> None:
    """Raises AssertionError where the move is illegal: a broken invariant of ours, never handled."""
    if new not in LEGAL[old]:
        raise AssertionError(f"a run cannot go from {old} to {new}")
