"""The replicas that the settings name, beside an open ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.ledger import Ledger
    from daybreak.ledger.replicas import Replication
    from daybreak.settings import Settings


def rule(told: Settings) -> Replication | None:
    """What the settings say of replicas; None where they name no targets."""
    copies = told.replicas
    if not copies.targets:
        return None
    from daybreak.ledger.replicas import Replication

    return Replication(
        targets=copies.targets,
        acknowledge=copies.acknowledge,
        deliveries=copies.deliveries,
        wait_s=copies.wait_s,
    )


def begin(ledger: Ledger, told: Settings) -> None:
    """Keep the copies that the settings name up with an open ledger."""
    found = rule(told)
    if found is not None:
        ledger.replicate(found)
