"""A delivered branch goes, and its commit stays: under `refs/daybreak/undone/RUN`, where git keeps it.

One that was merged is not taken out of anybody's history. A commit that undoes the merge is made on top of the merge
itself, with the tree of before, and goes through the merge queue like any branch: joined with what came since, looked
at by checks that passed before the change, and left out where they do not pass.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from daybreak.engine import Queue
from daybreak.engine.queue import home_of_run
from daybreak.events import StepDone, run_stream
from daybreak.factory.merging import joined, task
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.verdicts.effects import BranchesMerged, BranchMade
from daybreak.factory.verdicts.hands import Hands, Part, UndoRefused
from daybreak.factory.verdicts.standing import OUTCOME
from daybreak.host import removal
from daybreak.host.workspaces import Author, git

KEPT = "refs/daybreak/undone/{run}"
REVERT = "daybreak/undo-{run}"
_OURS = "daybreak/"


@dataclass(frozen=True)
class _Merged:
    """What is to be reverted, and where."""

    repository: Path
    into: str
    undone: str
    """The commit on which the reverting one lies: the merge."""
    before: str
    """The commit with the tree of before."""
    commands: tuple[str, ...]
    """That do it by hand."""
    checks: tuple[str, ...]


def look(effect: BranchMade, hands: Hands) -> Part:
    """What would be done. Raises UndoRefused, and what reading the repository raises."""
    return _made(effect, hands, do=False)


def undo(effect: BranchMade, hands: Hands) -> Part:
    """Do it; what a crash left is finished. Raises as `look`, and TargetMoved, MergeWrong."""
    return _made(effect, hands, do=True)


def look_at_merged(effect: BranchesMerged, hands: Hands) -> Part:
    """What would be done. Raises UndoRefused."""
    return _merged(effect, hands, do=False)


def undo_merged(effect: BranchesMerged, hands: Hands) -> Part:
    """Do it: a task is added, and when that is over, `undo` once more says so. Raises as `look_at_merged`."""
    return _merged(effect, hands, do=True)


# -- a branch of its own


def _made(effect: BranchMade, hands: Hands, *, do: bool) -> Part:
    repository = Path(effect.repository)
    ref = git.check_branch(effect.branch)
    head = repositorygit.head(repository, ref)
    kept = repositorygit.head(repository, KEPT.format(run=hands.run))
    commit = kept or head
    if not head and not kept:
        return Part(effect.kind, effect.what, "it is not there any more; somebody removed or renamed it")
    if not commit.startswith(effect.commit):
        since = _log(repository, effect.commit, head) or [head[:12]]
        raise UndoRefused.of(
            f"the branch {effect.branch} has moved since {effect.commit[:12]} was delivered", since, hint=_MOVED
        )
    places = [name for name in _containing(repository, commit) if name != effect.branch]
    revert = REVERT.format(run=hands.run)
    if ours := [name for name in places if name.startswith(_OURS) and name != revert]:
        raise UndoRefused.of(
            "work of other runs builds on it", ours, hint="undo those first, or remove their branches yourself"
        )
    into = [name for name in places if name != revert]
    if into:
        part = _revert(effect.kind, effect.what, _target(effect, hands, repository, commit, into), hands, do=do)
        if part.waits or (not do and not part.kept):
            return part
        done = f"{part.done}; the branch is removed"
    else:
        done = "removed: nothing has merged it"
    _refuse_checked_out(repository, ref, effect.branch)
    if do:
        _remove(repository, ref, commit, head, hands)
    return Part(effect.kind, effect.what, done, KEPT.format(run=hands.run))


_MOVED = "nothing was touched; what was added is somebody's: put the branch back to that commit, or remove it yourself"


def _remove(repository: Path, ref: str, commit: str, head: str, hands: Hands) -> None:
    """First the commit has another name, then the branch goes, where it is still there."""
    found = git.find(repository)
    kept = KEPT.format(run=hands.run)
    if not repositorygit.head(repository, kept):
        git.move_branch(found, kept, commit, None)
        hands.reached("kept")
    if head:
        _delete(found, ref, commit)
        hands.reached("removed")


def _delete(found: git.Repository, ref: str, commit: str) -> None:
    """Compare and swap. Raises UndoRefused."""
    ran = repositorygit.ask(found.git_dir, ["update-ref", "--no-deref", "-d", ref, commit])
    if not ran.ok:
        raise UndoRefused.of(
            f"{ref} could not be removed: {repositorygit.said(ran)}", [], hint="look at `git branch`, then say it again"
        )
    packed = found.common_dir / "packed-refs"
    if os.geteuid() == 0 and packed.is_file():  # git may have written it anew
        status = found.common_dir.stat()
        os.chown(packed, status.st_uid, status.st_gid)


def _refuse_checked_out(repository: Path, ref: str, name: str) -> None:
    where = git.checked_out_at(git.find(repository), ref)
    if where is not None:
        raise UndoRefused.of(
            f"the branch {name} is checked out ({where})",
            [],
            hint="`git switch` to another one, then say it again",
        )


# -- what was merged


def _target(effect: BranchMade, hands: Hands, repository: Path, commit: str, into: Sequence[str]) -> _Merged:
    """Raises UndoRefused where it is not clear which branch is meant."""
    name = hands.into or (into[0] if len(into) == 1 else _merged_by_us(hands, into))
    if hands.into and hands.into not in into:
        raise UndoRefused.of(f"{hands.into} does not have it; these do", into, hint="name one of them with --into")
    if not name:
        raise UndoRefused.of(
            "it was merged into several branches", into, hint="say in which one it is to be reverted: --into BRANCH"
        )
    words = ["rev-list", "--first-parent", "--ancestry-path", f"{commit}..refs/heads/{name}"]
    above = _printed(repository, words).split()
    undone, before = commit, f"{commit}^1"
    if above and not _contains(repository, f"{above[-1]}^1", commit):
        undone, before = above[-1], f"{above[-1]}^1"
    mainline = " -m 1" if undone != commit else ""
    command = f"git -C {shlex.quote(str(repository))} revert{mainline} {undone[:12]}"
    return _Merged(repository, name, undone, before, (command,), effect.checks)


def _merged_by_us(hands: Hands, into: Sequence[str]) -> str:
    """The branch of these into which the merge queue put it; the others may only have begun from there. Empty where it
    did not, or not into one alone."""
    found = set()
    for (run,) in hands.ledger.query("SELECT run FROM view_runs WHERE kind = ?", (task.KIND,)):
        for record in hands.ledger.read(run_stream(run)):
            step = record.event
            if isinstance(step, StepDone) and step.name == OUTCOME and isinstance(step.result, dict):
                merged = [one.get("run") for one in step.result.get("merged", ())]
                found |= {step.result.get("into")} if hands.run in merged else set()
    named = [name for name in into if name in found]
    return named[0] if len(named) == 1 else ""


def _merged(effect: BranchesMerged, hands: Hands, *, do: bool) -> Part:
    repository = Path(effect.repository)
    last = effect.commits[-1]
    place = f"refs/heads/{effect.into}"
    if not repositorygit.head(repository, place) or not _contains(repository, place, last):
        return Part(effect.kind, effect.what, f"{effect.into} does not have it any more; somebody moved it")
    chain = _printed(repository, ["rev-list", "--first-parent", f"{effect.target}..{last}"]).split()
    folder = shlex.quote(str(repository))
    commands = tuple(f"git -C {folder} revert -m 1 {commit[:12]}" for commit in reversed(effect.commits))
    if chain != list(reversed(effect.commits)):
        others = [commit[:12] for commit in chain if commit not in effect.commits]
        raise UndoRefused.of(
            "somebody has committed between the merges", others, hint=f"do it by hand: {' && '.join(commands)}"
        )
    merged = _Merged(repository, effect.into, last, effect.target, commands, effect.checks)
    return _revert(effect.kind, effect.what, merged, hands, do=do)


def _revert(kind: str, what: str, merged: _Merged, hands: Hands, *, do: bool) -> Part:
    """The revert as a task of the merge queue, until it is merged; then what it left is cleared away."""
    by_hand = " && ".join(merged.commands)
    checks = tuple(dict.fromkeys((*merged.checks, *hands.checks)))
    if not checks:
        raise UndoRefused.of(
            f"it was merged into {merged.into}, and no check is known that passed before it",
            [],
            hint=f"give --check 'CMD' for the revert, or do it by hand: {by_hand}",
        )
    name = REVERT.format(run=hands.run)
    ref = git.check_branch(name)
    there = repositorygit.head(merged.repository, ref)
    if there and _contains(merged.repository, f"refs/heads/{merged.into}", there):
        if do:
            _delete(git.find(merged.repository), ref, there)
            hands.reached("reverted")
        return Part(kind, what, f"reverted in {merged.into}", f"commit {merged.undone[:12]}")
    if _was_reverted(merged, hands):
        return Part(kind, what, f"reverted in {merged.into}", f"commit {merged.undone[:12]}")
    if not do:
        return Part(kind, what, f"a task of the merge queue is to revert it in {merged.into} ({by_hand})")
    if not there:
        _branch(merged, ref, hands)
        hands.reached("branched")
    run = _add(merged, name, checks, hands)
    hands.reached("queued")
    return Part(kind, what, f"run {run} is to revert it in {merged.into}; by hand: {by_hand}", waits=run)


def _branch(merged: _Merged, ref: str, hands: Hands) -> None:
    """A branch with the reverting commit, always the same one."""
    hands.scratch.mkdir(parents=True, exist_ok=True)
    try:
        with removal.scratch(hands.scratch) as scratch:
            found = git.find(merged.repository)
            git.prepare(scratch / "git", found, git.resolve(found, merged.undone))
            commit = _commit(merged, scratch / "git", hands)
            git.carry_objects(scratch / "git", found)
            git.move_branch(found, ref, commit, None)
    finally:
        removal.remove(hands.scratch)


def _commit(merged: _Merged, git_dir: Path, hands: Hands) -> str:
    tree = joined.tree_of(git_dir, merged.before)
    seconds = int(_printed(merged.repository, ["show", "-s", "--format=%ct", merged.undone]))
    author = repositorygit.identity(merged.repository, hands.environment)
    message = (
        f"Undo what run {hands.run} brought\n\nDaybreak-Undone-Run: {hands.run}\nDaybreak-Undone: {merged.undone}\n"
    )
    return joined.commit(git_dir, tree, [merged.undone], message, Author(author.name, author.email), seconds)


def _was_reverted(merged: _Merged, hands: Hands) -> bool:
    """Is the reverting commit in it, though its branch is gone?"""
    words = ["rev-list", "--ancestry-path", f"--grep=^Daybreak-Undone: {merged.undone}$", "-n", "1"]
    return bool(_printed(merged.repository, [*words, f"{merged.undone}..refs/heads/{merged.into}"]).strip())


def _add(merged: _Merged, name: str, checks: Sequence[str], hands: Hands) -> str:
    """The run that merges it; the one that is under way already, where there is one."""
    asked = task.asked(
        hands.ledger,
        merged.repository,
        [name],
        into=merged.into,
        checks=checks,
        cwd=merged.repository,
        environment=hands.environment,
        tasks=False,
    )
    keys = {**home_of_run(hands.ledger, hands.run), **asked.placement.keys}
    placed = replace(asked.placement, keys=keys, dedupe=f"undo:{hands.run}")
    queue = Queue(hands.ledger, hands.clock, hands.entropy)
    title = f"{merged.repository.name}: undo {hands.run} in {merged.into}"
    return queue.add(asked.kind, title, asked.args, placed).run


# -- asking git


def _containing(repository: Path, commit: str) -> list[str]:
    """Branches that have the commit, by their short names."""
    words = ["for-each-ref", "--format=%(refname)", f"--contains={commit}", "refs/heads"]
    return [line.removeprefix("refs/heads/") for line in _printed(repository, words).splitlines()]


def _contains(repository: Path, commit: str, other: str) -> bool:
    return joined.contains(git.find(repository).git_dir, commit, other)


def _log(repository: Path, old: str, new: str) -> list[str]:
    ran = repositorygit.ask(git.find(repository).git_dir, ["log", "--format=%h %s", "-n", "60", f"{old}..{new}"])
    return ran.stdout.decode("utf-8", "replace").splitlines() if ran.ok else []


def _printed(repository: Path, words: Sequence[str]) -> str:
    ran = repositorygit.ask(git.find(repository).git_dir, words)
    out = repositorygit.printed(
        ran, lambda said: repositorygit.ResultUnclear(f"git {words[0]} failed in {repository}: {said}", hint="see why")
    )
    return out.decode("utf-8", "replace")
