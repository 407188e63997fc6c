"""Copies of a ledger in other places, kept up as it grows.

layout      the files of a replica: tlog-tiles, payloads, blobs
target      where a replica lies: `folder`, or `store` (fsspec)
source      the ledger as it is copied
copier      brings one target up to the ledger
keeper      all targets of an open ledger: threads, marks, what is lost
standing    what is remembered of each target
reading     checks a replica, with nothing but the verification key
recovery    makes a ledger of a replica
continuing  a new log that goes on from one
"""

from daybreak.ledger.replicas.keeper import Replicas, Replication
from daybreak.ledger.replicas.problems import NotReplicated, ReplicaDamaged, ReplicaLost, RestoreTaken, TargetUnknown

__all__ = [
    "NotReplicated",
    "ReplicaDamaged",
    "ReplicaLost",
    "Replicas",
    "Replication",
    "RestoreTaken",
    "TargetUnknown",
]
