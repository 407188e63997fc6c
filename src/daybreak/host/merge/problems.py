"""What keeps a merge from being tried at all. That two sides disagree is no error but a result: `Conflicts`."""

from __future__ import annotations

from daybreak.errors import HostError


class MergeRefused(HostError):
    """What was given cannot be merged whatever it says: not bytes, no path, no folder."""

    code = "H230"


class TooLarge(HostError):
    """A file that both sides changed is larger than `BYTES_MAX`."""

    code = "H231"


class TreeUnreadable(HostError):
    """A folder holds something that cannot be merged, or cannot be read."""

    code = "H232"


class TreeNotWritten(HostError):
    """The merged tree could not be written; nothing of it is there."""

    code = "H233"
