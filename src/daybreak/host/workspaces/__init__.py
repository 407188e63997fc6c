"""Isolated folders for attempts: off a commit or a copy, never in the user's tree, found again after a crash.

    workspaces = Workspaces(Path("~/.local/state/mine").expanduser())
    with workspaces.from_git("project", "main") as workspace:
        …                                                     # work in workspace.path
        workspaces.adopt_branch(workspace, "proposal/1", "What was done")
    workspaces.sweep()                                        # at every start

POSIX; git 2.32 or newer for `from_git`. On Windows locks and descriptors of folders are missing: importing fails there.
"""

from daybreak.host.workspaces.git import Author
from daybreak.host.workspaces.problems import (
    ChangesUnclear,
    CommitUnknown,
    NotAdopted,
    NotARepository,
    SourceChanged,
    TargetMoved,
    WorkspaceNotMade,
    WorkspaceNotRemoved,
    WorkspaceRefused,
    WorkspaceUnknown,
)
from daybreak.host.workspaces.record import Record
from daybreak.host.workspaces.workspace import Outcome, Workspace
from daybreak.host.workspaces.workspaces import Removed, Rules, Swept, Workspaces

__all__ = [
    "Author",
    "ChangesUnclear",
    "CommitUnknown",
    "NotARepository",
    "NotAdopted",
    "Outcome",
    "Record",
    "Removed",
    "Rules",
    "SourceChanged",
    "Swept",
    "TargetMoved",
    "Workspace",
    "WorkspaceNotMade",
    "WorkspaceNotRemoved",
    "WorkspaceRefused",
    "WorkspaceUnknown",
    "Workspaces",
]
