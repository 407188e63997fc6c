"""Merging by meaning: three versions of a file or a folder into one, or a list of what has to be decided.

    result = merge(base, ours, theirs, "app.py")
    if isinstance(result, Merged):
        …                                   # result.content holds what both sides did
    else:
        for conflict in result.conflicts:   # result.conflicts says where they disagree, and never silently takes a side
            …

Importing this costs little; libcst, ruamel.yaml and tomlkit are imported when such a file is merged. Works wherever
Python does; without git, or where programs cannot be guarded (Windows), text is merged by a diff3 of ours.
"""

from daybreak.host.merge.merging import merge
from daybreak.host.merge.outcome import Conflict, Conflicts, Merged
from daybreak.host.merge.problems import MergeRefused, TooLarge, TreeNotWritten, TreeUnreadable
from daybreak.host.merge.trees import MergedTree, merge_trees

__all__ = [
    "Conflict",
    "Conflicts",
    "MergeRefused",
    "Merged",
    "MergedTree",
    "TooLarge",
    "TreeNotWritten",
    "TreeUnreadable",
    "merge",
    "merge_trees",
]
