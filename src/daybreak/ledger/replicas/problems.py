"""What can be wrong with a replica, or with having too few of them."""

from __future__ import annotations

from daybreak.errors import LedgerError


class ReplicaLost(LedgerError):
    """A target cannot be reached, read or written; copying goes on by itself once it can."""

    code = "L191"


class ReplicaDamaged(LedgerError):
    """What a target holds is not a whole replica."""

    code = "L192"


class NotReplicated(LedgerError):
    """Fewer places than policy asks for hold what was appended; it is durable here all the same."""

    code = "L193"


class RestoreTaken(LedgerError):
    """The folder to restore into is not empty."""

    code = "L194"


class TargetUnknown(LedgerError):
    """A target is named in a way that nothing here can open."""

    code = "L195"


class Conflict(Exception):
    """A file that is to be written is there already and says something else. The caller knows what that means."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path
