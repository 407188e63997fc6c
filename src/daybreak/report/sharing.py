"""How the work of a build was shared among workers and builds, in words: the paradigm with its reason, and what an
earlier build had left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daybreak import events

HASH_CHARS = 12


def paradigm(plan: Mapping[str, Any]) -> str:
    """`consensus of 3`; empty where the plan does not say."""
    name = str(plan.get("paradigm", ""))
    count = plan.get("candidates")
    return f"{name} of {count}" if name and count else name


def why(plan: Mapping[str, Any]) -> str:
    return str(plan.get("paradigm_why", "")) or "nobody asked for another one"


def taken(event: events.WorkTakenOver) -> str:
    """`requirements, design from run run-…, with what codex made (0123456789ab)`."""
    made = f", with what {event.worker} made ({event.workspace[:HASH_CHARS]})" if event.workspace else ""
    return f"from run {event.source}: {', '.join(event.phases)}{made}"


def proofs(event: events.WorkTakenOver) -> list[str]:
    """What it stands on: a decision of the earlier run for each phase, and each artefact by its hash."""
    gates = [f"{name} passed there: event {place} of the ledger" for name, place in event.gates.items()]
    return gates + [f"artefact {name}: {blob[:HASH_CHARS]}" for name, blob in event.artefacts.items()]
