"""Remembers: append, read, verify, prove."""

from typing import TYPE_CHECKING, Any

from daybreak.ledger.ledger import Ledger
from daybreak.ledger.note import Checkpoint, Verifier
from daybreak.ledger.record import Draft, Record, UnknownEvent
from daybreak.ledger.views import Difference, Statement, View

if TYPE_CHECKING:
    from daybreak.ledger.bundle import Bundle, read_proof, write_bundle, write_tlog
    from daybreak.ledger.following import Following, follow
    from daybreak.ledger.proof import Prover, prove
    from daybreak.ledger.proofcheck import Proven, ProvenEvent, check_proof
    from daybreak.ledger.verification import Problem, Verification, verify

__all__ = [
    "Bundle",
    "Checkpoint",
    "Difference",
    "Draft",
    "Following",
    "Ledger",
    "Problem",
    "Proven",
    "ProvenEvent",
    "Prover",
    "Record",
    "Statement",
    "UnknownEvent",
    "Verification",
    "Verifier",
    "View",
    "check_proof",
    "follow",
    "prove",
    "read_proof",
    "verify",
    "write_bundle",
    "write_tlog",
]


_PROOFS = {
    "Bundle": "bundle",
    "Following": "following",
    "Proven": "proofcheck",
    "ProvenEvent": "proofcheck",
    "Prover": "proof",
    "check_proof": "proofcheck",
    "follow": "following",
    "prove": "proof",
    "read_proof": "bundle",
    "write_bundle": "bundle",
    "write_tlog": "bundle",
}


def __getattr__(name: str) -> Any:
    """Verification and proofs are imported where somebody wants them: whoever only appends starts without them."""
    if name in _PROOFS:
        from importlib import import_module

        return getattr(import_module(f"daybreak.ledger.{_PROOFS[name]}"), name)
    if name in ("Problem", "Verification", "verify"):
        from daybreak.ledger import verification

        return getattr(verification, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
