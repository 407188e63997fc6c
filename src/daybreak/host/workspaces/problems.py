"""What can go wrong with a workspace; every one names the workspace, folder or branch it is about."""

from __future__ import annotations

from daybreak.errors import DeliveryError, HostError


class WorkspaceRefused(HostError):
    """What was asked for makes no sense: a name, path or argument that cannot be used."""

    code = "H210"


class NotARepository(HostError):
    """The folder is no git repository, or one that this machine's git cannot read."""

    code = "H211"


class CommitUnknown(HostError):
    """The repository has no such commit, or not all of what belongs to it."""

    code = "H212"


class WorkspaceNotMade(HostError):
    """The workspace could not be made; what had been made of it is removed again."""

    code = "H213"


class SourceChanged(HostError):
    """The folder changed while it was being copied, so the copy would be of no moment that ever was."""

    code = "H214"


class WorkspaceUnknown(HostError):
    """There is no workspace of that id, or it was discarded."""

    code = "H215"


class ChangesUnclear(HostError):
    """The workspace's changes cannot be told apart: it holds a repository of its own, or files in a submodule."""

    code = "H216"


class WorkspaceNotRemoved(HostError):
    """The system refused to remove a workspace; the next sweep tries again."""

    code = "H217"


class TargetMoved(DeliveryError):
    """What the workspace was made from is no longer as it was then; nothing was changed."""

    code = "H218"


class NotAdopted(DeliveryError):
    """The workspace cannot be put there; nothing was changed."""

    code = "H219"
