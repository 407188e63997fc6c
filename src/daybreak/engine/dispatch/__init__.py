"""Where attempts and checks are done: in this process's own machine, or on the nodes of a Ray cluster.

A *job* is one call of a function of ours (a *doer*) with plain JSON, packed trees and lent folders. `Jobs` has it done:
it alone tries again, and what comes back counts only for the try that is current. `Local` does jobs here, in the
caller's thread; `RayDispatch` (extra `ray`) has them done on nodes. Both keep the same promises.
"""

from daybreak.engine.dispatch.job import NO_NEEDS, Answer, Dispatch, Doing, Job, Key, Needs, Node, Packed
from daybreak.engine.dispatch.jobs import Jobs
from daybreak.engine.dispatch.local import Local
from daybreak.engine.dispatch.problems import (
    AnswerFalse,
    ClusterOpen,
    ClusterUnreachable,
    JobBroken,
    JobFailed,
    JobLost,
    JobNotSent,
    JobTooLarge,
    NeedsUnmet,
    NodeRefused,
    NotOnNode,
    RayMissing,
)

__all__ = [
    "NO_NEEDS",
    "Answer",
    "AnswerFalse",
    "ClusterOpen",
    "ClusterUnreachable",
    "Dispatch",
    "Doing",
    "Job",
    "JobBroken",
    "JobFailed",
    "JobLost",
    "JobNotSent",
    "JobTooLarge",
    "Jobs",
    "Key",
    "Local",
    "Needs",
    "NeedsUnmet",
    "Node",
    "NodeRefused",
    "NotOnNode",
    "Packed",
    "RayMissing",
]
