"""What was mended goes to the user: as a new branch, as a patch, or in place, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from daybreak.clock import Clock
from daybreak.errors import DeliveryError
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.repository.git import Change
from daybreak.factory.validate import shadow
from daybreak.factory.validate.shadow import Shadow
from daybreak.host import files, process
from daybreak.host.workspaces import Author, Workspaces

LINK = "120000"
EXECUTABLE = "100755"


class PatchThere(DeliveryError):
    """There is a file where the patch is to be written."""

    code = "D131"


class ChangedSince(DeliveryError):
    """A file in the user's folder is not what was looked at."""

    code = "D132"


class NotApplied(DeliveryError):
    """The patch does not fit the user's commit."""

    code = "D133"


def branch(
    scratch: Path,
    clock: Clock,
    root: Path,
    prefix: str,
    commit: str,
    patch: bytes,
    name: str,
    message: str,
    author: Author,
    seconds: int,
) -> str:
    """One commit on top of `commit` on a new branch of the repository `root`, with the patch below `prefix`; its hash.
    Doing it again changes nothing. Raises NotApplied, BranchThere, TargetMoved and what making a workspace raises."""
    workspace = Workspaces(scratch / "spaces", clock).from_git(root, commit, history=False)
    try:
        tree = _applied(workspace.git_dir, workspace.path, patch, prefix)
        return repositorygit.deliver(workspace, tree, name, message, author, seconds)
    finally:
        workspace.discard("lost")


def _applied(git_dir: Path, work: Path, patch: bytes, prefix: str) -> str:
    words = ["apply", "--index", "--whitespace=nowarn", *([f"--directory={prefix}"] if prefix else []), "-"]
    for arguments, given in ((words, patch), (["write-tree"], b"")):
        ran = process.run(
            ["git", "--no-pager", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *arguments],
            cwd=work,
            env={**shadow.ENVIRONMENT, "GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(work)},
            timeout_s=shadow.TIMEOUT_S,
            stdin=given,
        )
        if not ran.ok:
            said = ran.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise NotApplied(
                f"what was mended does not fit the commit it began from: {': '.join([ran.ending, *said])}",
                hint="nothing was touched; `--patch FILE` gives the same as a file",
            )
    return ran.stdout.decode().strip()


def patch_file(path: Path, patch: bytes) -> None:
    """Write the patch where there is nothing yet, or the very same one. Raises PatchThere, NotWritten."""
    if os.path.lexists(path):
        if path.is_file() and not path.is_symlink() and path.read_bytes() == patch:
            return
        raise PatchThere(f"{path} is there already", hint="nothing was touched; move it away, then resume")
    files.write_file(path, patch, mode=0o644)


def in_place(folder: Path, states: Shadow, base: str, best: str) -> list[str]:
    """Make the user's folder from state `base` to state `best`, all files or none; the paths that were changed.

    What differs from `base` in a file that is to be changed is never overwritten: ChangedSince, with nothing touched.
    Doing it again changes nothing. Raises FilesError."""
    changes = states.changes(base, best)
    left = [change for change in changes if not _is(folder / change.path, change.new, change.mode, states)]
    if not left:
        return [change.path for change in changes]
    foreign = [change.path for change in left if not _was(folder / change.path, change, states)]
    if foreign:
        raise ChangedSince(
            f"{len(foreign)} files in {folder} changed while they were looked at: {', '.join(foreign[:5])}",
            hint="nothing was touched; run it again, or take a --patch FILE",
        )
    _refuse_links(left)
    with files.transaction(folder) as together:
        for change in left:
            if change.status == "D":
                together.delete(change.path)
            else:
                mode = 0o755 if change.mode == EXECUTABLE else None
                together.write(change.path, states.content(change.new), mode=mode)
    return [change.path for change in changes]


def _refuse_links(changes: Sequence[Change]) -> None:
    if links := [change.path for change in changes if change.mode == LINK or change.status == "T"]:
        raise NotApplied(
            f"symbolic links are not changed in place: {', '.join(links[:5])}",
            hint="nothing was touched; take a branch or a --patch FILE",
        )


def _is(path: Path, blob: str, mode: str, states: Shadow) -> bool:
    if set(blob) == {"0"}:
        return not os.path.lexists(path)
    if mode == LINK or path.is_symlink() or not path.is_file():
        return False
    return path.read_bytes() == states.content(blob)


def _was(path: Path, change: Change, states: Shadow) -> bool:
    if set(change.old) == {"0"}:
        return not os.path.lexists(path)
    if path.is_symlink():
        return os.fsencode(os.readlink(path)) == states.content(change.old)
    return path.is_file() and path.read_bytes() == states.content(change.old)
