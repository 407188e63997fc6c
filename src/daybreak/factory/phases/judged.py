"""A result, what was seen of it, and what the gate says."""

from __future__ import annotations

from dataclasses import dataclass

from daybreak.checks import gate
from daybreak.checks.evidence import Evidence
from daybreak.factory.phases.filling import Tried


@dataclass
class Judged:
    made: Tried
    evidence: list[Evidence]
    decision: gate.Decision
