"""Consensus by executed behaviour: candidates are compared by what they do, never by what they say."""

from daybreak.factory.consensus.agreeing import NotCandidates, agree, tolerated
from daybreak.factory.consensus.crossing import cross
from daybreak.factory.consensus.model import (
    Agreement,
    Answer,
    Ask,
    Candidate,
    Cluster,
    Crossing,
    Disqualified,
    Doubt,
    Observation,
    Probe,
    Review,
    Split,
)
from daybreak.factory.consensus.observing import observe
from daybreak.factory.consensus.probing import probes
from daybreak.factory.consensus.splitting import answered, last_answer, shortening, smallest
from daybreak.factory.consensus.widening import Wider, next_workers, wider

__all__ = [
    "Agreement",
    "Answer",
    "Ask",
    "Candidate",
    "Cluster",
    "Crossing",
    "Disqualified",
    "Doubt",
    "NotCandidates",
    "Observation",
    "Probe",
    "Review",
    "Split",
    "Wider",
    "agree",
    "answered",
    "cross",
    "last_answer",
    "next_workers",
    "observe",
    "probes",
    "shortening",
    "smallest",
    "tolerated",
    "wider",
]
