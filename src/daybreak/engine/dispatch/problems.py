"""What can go wrong with a job, beside what its doer raises."""

from __future__ import annotations

from daybreak.errors import EngineError, WorkerError


class RayMissing(EngineError):
    """The extra `ray` is not installed."""

    code = "E240"


class ClusterUnreachable(EngineError):
    """The Ray cluster cannot be reached, or could not be started."""

    code = "E241"


class ClusterOpen(EngineError):
    """The cluster is on a network, and nothing says that it asks for a token."""

    code = "E242"


class NeedsUnmet(EngineError):
    """No machine of those there are can ever do this job."""

    code = "E243"


class JobLost(EngineError):
    """The node vanished or fell silent; nobody knows what the job came to. It may be done again."""

    code = "E244"
    node = ""
    """Its name, where one had begun."""


class NodeRefused(EngineError):
    """Every node that could have done it refused: another version, a sandbox that is too weak."""

    code = "E245"
    node = ""
    """Its name, where one had begun."""
    lacks = False
    """It lacks what the job needs, or could not look."""


class JobBroken(EngineError):
    """A doer raised something that is none of our errors, or a node says what has no meaning."""

    code = "E246"


class AnswerFalse(EngineError):
    """What came back is not what its hash says."""

    code = "E247"
    node = ""
    """Its name, where one had begun."""


class JobTooLarge(EngineError):
    """A job, or what came of it, is more than may travel."""

    code = "E248"


class JobNotSent(EngineError):
    """What a job holds cannot travel to a node; none was asked."""

    code = "E250"


class JobFailed(EngineError):
    """A doer failed with one of our errors that this process does not know."""

    code = "E249"


class NotOnNode(WorkerError):
    """A node lacks a file or a program that a job needs, or could not look."""

    code = "W220"
