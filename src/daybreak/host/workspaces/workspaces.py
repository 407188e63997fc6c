"""All workspaces below one root: made, found after a crash, adopted, cleaned up by rule.

Lock order: a workspace's lock is all there is, and nobody waits for one. A crash leaves the state that the record
tells (see `record`); `sweep` acts on it:

    record held, `made` there     its owner died at work: kept like a failure
    no `made`                     its owner died while making it or while removing it: removed
    a folder without a record     a power loss, or somebody's hand: kept like a failure, with that reason
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from daybreak import ids
from daybreak.clock import Clock, SystemClock, stamp
from daybreak.host import locks, place, removal
from daybreak.host.files import put_folder
from daybreak.host.workspaces import copying, git, record, usage
from daybreak.host.workspaces.problems import (
    NotAdopted,
    TargetMoved,
    WorkspaceNotMade,
    WorkspaceNotRemoved,
    WorkspaceRefused,
    WorkspaceUnknown,
)
from daybreak.host.workspaces.record import Places, Record
from daybreak.host.workspaces.workspace import Outcome, Workspace

_LABEL_CHARACTERS_MAX = 1000
_KEEP_DAYS_MAX = 36_500


@dataclass(frozen=True, slots=True)
class Rules:
    """How long failures stay."""

    keep_days: float = 7.0
    """A failure is removed after so many days; 0: at the next sweep."""
    bytes_max: int = 20 * 1024**3
    """What all workspaces together may take; above it the oldest failures go first. One that is held never goes."""

    def __post_init__(self) -> None:
        """Raises WorkspaceRefused."""
        if not _is_number(self.keep_days) or not 0 <= self.keep_days <= _KEEP_DAYS_MAX:
            raise WorkspaceRefused(
                f"failures cannot be kept for {place.shown(self.keep_days)} days",
                hint=f"give a number from 0 to {_KEEP_DAYS_MAX:,}",
            )
        if not _is_number(self.bytes_max) or not self.bytes_max >= 0:
            raise WorkspaceRefused(
                f"workspaces cannot take {place.shown(self.bytes_max)} bytes", hint="give a number from 0 on"
            )


@dataclass(frozen=True, slots=True)
class Removed:
    """A workspace that is no longer there, and why, in words."""

    id: str
    source: str
    why: str


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found and did."""

    removed: tuple[Removed, ...]
    orphans: tuple[str, ...]
    """Ids of those whose owner had died at work; kept from now on."""
    kept: tuple[Record, ...]
    held: tuple[str, ...]
    """Ids of those that a living process holds; untouched."""
    stuck: tuple[str, ...]
    """What could not be removed, with the system's words; the next sweep tries again."""
    bytes_total: int
    over_cap: bool
    """Above the cap, and nothing more that may go."""


@dataclass(slots=True)
class _Sweep:
    removed: list[Removed] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    kept: list[Record] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)


class Workspaces:
    """The workspaces below `root`, which belongs to us alone and is made private. Several processes may share it."""

    def __init__(self, root: Path | str, clock: Clock | None = None, rules: Rules | None = None) -> None:
        """Raises WorkspaceRefused for a root that cannot be."""
        self.clock = SystemClock() if clock is None else clock
        self.rules = Rules() if rules is None else rules
        if not callable(getattr(self.clock, "now", None)) or not isinstance(self.rules, Rules):
            raise WorkspaceRefused(
                f"{place.shown(clock)} is no clock, or {place.shown(rules)} are no rules", hint="leave them out"
            )
        self._root = _absolute(root)
        self._places = Places(self._root)
        try:
            for folder in (self._root, *self._places.folders()):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceRefused(
                f"workspaces cannot lie in {place.cut(str(self._root))}: {error.strerror}",
                hint="name a folder that can be made",
            ) from error

    # -- making

    def from_git(self, repo: Path | str, commit: str = "HEAD", *, label: str = "", history: bool = True) -> Workspace:
        """The files of a commit, in a workspace of its own; nothing is written into the repository.

        `history`: git works inside it as well (see `Workspace.reads`). Raises NotARepository, CommitUnknown,
        WorkspaceNotMade, WorkspaceRefused; ProgramMissing without git."""
        folder = _folder(repo)
        try:
            repository = git.find(folder)
        except OSError as error:
            raise WorkspaceRefused(
                f"{place.cut(str(folder))} cannot be read: {error.strerror}", hint="check its permissions"
            ) from error
        found = git.resolve(repository, commit)
        plan = Record(
            id="",
            kind="git",
            source=str(folder),
            made="",
            commit=found.hash,
            label=label,
            objects=str(repository.objects),
            object_format=found.object_format,
        )

        def make(space: Path) -> dict[str, object]:
            git.prepare(space / "git", repository, found)
            not_covered = git.check_out(space / "git", space / "work", found)
            if history:
                git.give_history(space / "git", space / "work", repository, found)
            return {"not_covered": tuple(not_covered)}

        return self._make(plan, make)

    def from_folder(self, path: Path | str, *, leave_out: Collection[str] = (".git",), label: str = "") -> Workspace:
        """A copy of a folder as it is now, by reference where the file system can. Names in `leave_out` are left out
        at any depth; `.git` by default, because a copied one may point back into the user's repository.

        Raises SourceChanged, WorkspaceNotMade, WorkspaceRefused."""
        folder = _folder(path)
        names = _names(leave_out)

        def make(space: Path) -> dict[str, object]:
            copied = copying.copy_tree(folder, space / "work", leave_out=names, skip=self._root)
            listing = {"leave_out": sorted(names), "how": copied.how, "listing": copied.listing}
            (space / "listing.json").write_text(json.dumps(listing))
            return {"not_covered": tuple(copied.not_covered), "left_out": tuple(copied.left_out)}

        return self._make(Record(id="", kind="folder", source=str(folder), made="", label=label), make)

    def _make(self, plan: Record, make: Callable[[Path], dict[str, object]]) -> Workspace:
        """Lock, record, folder, `made`; all removed again where something fails."""
        _check_label(plan.label)
        now = self.clock.now()
        plan = replace(plan, id=ids.new("ws", now), made=stamp(now))
        space = self._places.space(plan.id)
        held = locks.acquire(self._places.lock(plan.id), self.clock)
        try:
            record.write(self._places.record(plan.id), plan)
            space.mkdir(mode=0o700)
            plan = replace(plan, **make(space))  # type: ignore[arg-type]
            if plan.not_covered or plan.left_out:
                record.write(self._places.record(plan.id), plan)
            (space / "made").touch()
        except BaseException as error:
            self._remove(plan.id)
            held.release()
            if isinstance(error, OSError | UnicodeError | RecursionError):
                words = getattr(error, "strerror", None) or str(error)
                raise WorkspaceNotMade(
                    f"no workspace could be made from {place.cut(plan.source)}: {words}",
                    hint="make room or mend the rights",
                ) from error
            raise
        return Workspace(self, plan, space, held)

    def reopen(self, id: str) -> Workspace:
        """Take one again that was kept, or whose owner died; it is held from now on. Raises WorkspaceUnknown
        and LockHeld."""
        held = locks.acquire(self._places.lock(id), self.clock)
        try:
            found = record.read(self._places.record(id))
            if found is None or not (self._places.space(id) / "made").exists():
                raise WorkspaceUnknown(f"there is no workspace {id}", hint="`kept()` lists those that can be reopened")
            found = replace(found, state="held", until="", reason="")
            record.write(self._places.record(id), found)
            return Workspace(self, found, self._places.space(id), held)
        except BaseException:
            held.release()
            raise

    def kept(self) -> list[Record]:
        """Failures that are still there, oldest first; with `folder_of` to look at."""
        found = [record.read(self._places.record(id)) for id in self._places.ids()]
        kept = [one for one in found if one is not None and one.state == "kept"]
        there = [one for one in kept if (self._places.space(one.id) / "made").exists()]
        return sorted(there, key=lambda one: one.made)

    def folder_of(self, id: str) -> Path:
        return self._places.space(id) / "work"

    # -- taking a result

    def adopt(
        self, workspace: Workspace, target: Path | str, *, losers: Iterable[Workspace] = ()
    ) -> tuple[Removed, ...]:
        """Put a copied folder in the place of `target`, whole or not at all, and end the workspace; `losers` go too.

        `target` is the folder that it was copied from, still as it was then (size, mode and time of every file), or
        one that is not there yet or empty. Raises TargetMoved, NotAdopted, and what `put_folder` raises; then nothing
        was changed and the workspace is still held."""
        self._check_ours(workspace)
        workspace.check_open("folder")
        others = self._others(losers)
        try:
            self._put(workspace, _absolute(target))
        except OSError as error:
            raise NotAdopted(
                f"{place.cut(str(target))} cannot be used: {error.strerror}", hint="check its permissions"
            ) from error
        return self._ended(workspace, others)

    def _put(self, workspace: Workspace, target: Path) -> None:
        """Raises OSError, and what `adopt` does."""
        if target.is_dir() and os.path.samefile(target, workspace.source):
            if workspace.left_out:
                raise NotAdopted(
                    f"{place.cut(str(target))} holds what was not copied and would be lost: "
                    f"{place.cut(', '.join(workspace.left_out[:3]))}",
                    hint="adopt into a fresh folder, or copy with leave_out=(); for a repository use from_git",
                )
            wanted = self._listing(workspace)
        else:
            wanted = {}
        if target in self._root.parents:
            raise NotAdopted(
                f"the workspaces lie inside {place.cut(str(target))}", hint="put the root of the workspaces elsewhere"
            )

        def refuse(replaced: Path) -> None:
            if copying.listed(replaced) != wanted:
                raise TargetMoved(
                    f"{place.cut(str(target))} is no longer as it was when the workspace was made",
                    hint="nothing was changed; make a new workspace, or merge with what is there now",
                )

        if target.exists():
            refuse(target)
        put_folder(workspace.path, target, refuse=refuse)

    def _listing(self, workspace: Workspace) -> copying.Listing:
        """What the source was when it was copied. Raises NotAdopted."""
        try:
            told = json.loads((self._places.space(workspace.id) / "listing.json").read_bytes())["listing"]
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise NotAdopted(
                f"what {workspace.id} was copied from is not on record any more", hint="adopt it into a fresh folder"
            ) from error
        return dict(told) if isinstance(told, dict) else {"?": []}

    def adopt_branch(
        self,
        workspace: Workspace,
        branch: str,
        message: str,
        *,
        author: git.Author | None = None,
        losers: Iterable[Workspace] = (),
    ) -> str:
        """Put the workspace's changes as one commit on a branch of the repository, and end it; gives the commit.

        Compare and swap: the branch must still be at `workspace.base`, or not be there, then it is made. A branch that
        somebody has checked out is refused, because its index would no longer fit: HEAD, index and files of the user
        are never touched. Raises TargetMoved, NotAdopted, ChangesUnclear; then the workspace is still held."""
        self._check_ours(workspace)
        workspace.check_open("git")
        others = self._others(losers)
        ref = git.check_branch(branch)
        repository = git.find(workspace.source)
        if (where := git.checked_out_at(repository, ref)) is not None and workspace_is_not_bare(repository):
            raise NotAdopted(
                f"the branch {branch} is checked out ({where})", hint="name a new branch and merge it when it suits you"
            )
        new = workspace.commit(message, author)
        git.carry_objects(workspace.git_dir, repository)
        try:
            git.move_branch(repository, ref, new, workspace.base)
        except TargetMoved:
            git.move_branch(repository, ref, new, None)
        self._ended(workspace, others)
        return new

    def _ended(self, winner: Workspace, losers: tuple[Workspace, ...]) -> tuple[Removed, ...]:
        """The result is in its place: what remains is cleaning up, and a failure there is the next sweep's work."""
        removed: list[Removed] = []
        for workspace, outcome in ((winner, "succeeded"), *((one, "lost") for one in losers)):
            try:
                removed += workspace.discard(outcome)  # type: ignore[arg-type]
            except WorkspaceNotRemoved:
                continue
        return tuple(removed)

    def _check_ours(self, workspace: object) -> None:
        if not isinstance(workspace, Workspace) or workspace.owner is not self:
            raise WorkspaceRefused(
                f"{place.shown(workspace)} is no workspace of {place.cut(str(self._root))}",
                hint="give one that this root has made or reopened",
            )

    def _others(self, losers: Iterable[Workspace]) -> tuple[Workspace, ...]:
        """Raises WorkspaceRefused, and WorkspaceUnknown where one of them was ended."""
        if not isinstance(losers, Iterable):
            raise WorkspaceRefused(f"{place.shown(losers)} are no losers", hint="give a list of workspaces")
        others = tuple(losers)
        for workspace in others:
            self._check_ours(workspace)
            workspace.check_open()
        return others

    # -- ending

    def end(self, workspace: Workspace, outcome: Outcome, reason: str = "") -> tuple[Removed, ...]:
        """What `Workspace.discard` does. Raises WorkspaceRefused for what is no workspace of this root."""
        self._check_ours(workspace)
        return workspace.discard(outcome, reason)

    def close(self, workspace: Workspace, outcome: Outcome, reason: str) -> tuple[Removed, ...]:
        """For `Workspace.discard`, once."""
        try:
            if outcome == "failed":
                self._keep(workspace.record, reason or "it failed")
                removed = []
            else:
                removed = [self._remove_told(workspace.record, f"it {outcome}")]
        finally:
            workspace.held.release()
        return (*removed, *self._hold_cap().removed)

    def _keep(self, known: Record, reason: str) -> Record:
        until = self.clock.now() + timedelta(days=self.rules.keep_days)
        size = usage.bytes_on_disk(self._places.space(known.id))
        text = reason.encode("utf-8", "replace").decode()[:_LABEL_CHARACTERS_MAX]
        kept = replace(known, state="kept", until=stamp(until), reason=text, bytes_kept=size)
        record.write(self._places.record(known.id), kept)
        return kept

    def _remove_told(self, known: Record, why: str) -> Removed:
        """Raises WorkspaceNotRemoved."""
        try:
            self._remove(known.id)
        except OSError as error:
            words = error.strerror or str(error)
            raise WorkspaceNotRemoved(
                f"the workspace {known.id} could not be removed: {words}", hint="the next sweep tries again"
            ) from error
        return Removed(known.id, known.source, why)

    def _remove(self, id: str) -> None:
        """`made` first, the record last: what a crash leaves is known, and known to be a remainder. Raises OSError."""
        space = self._places.space(id)
        if git.is_folder(space):
            (space / "made").unlink(missing_ok=True)
        left = removal.remove(space)
        if not left.complete:
            raise OSError(errno.ENOTEMPTY, str(left))
        record.remove(self._places.record(id))

    # -- cleaning up

    def sweep(self) -> Swept:
        """Find the orphans of dead owners, remove what is over by rule, tell it all. Safe at any time and from several
        processes; what a living process holds is not touched. Raises HostError where the registry cannot be read."""
        work = _Sweep()
        now = self.clock.now()
        for id in self._places.ids():
            self._sweep_one(id, now, work)
        cap = self._hold_cap()
        gone = {one.id for one in cap.removed}
        return Swept(
            removed=(*work.removed, *cap.removed),
            orphans=tuple(work.orphans),
            kept=tuple(one for one in work.kept if one.id not in gone),
            held=tuple(work.held),
            stuck=(*work.stuck, *cap.stuck),
            bytes_total=cap.bytes_total,
            over_cap=cap.bytes_total > self.rules.bytes_max,
        )

    def _sweep_one(self, id: str, now: datetime, work: _Sweep) -> None:
        try:
            held = locks.acquire(self._places.lock(id), self.clock)
        except locks.LockHeld:
            work.held.append(id)
            return
        try:
            self._sweep_free(id, now, work)
        except WorkspaceNotRemoved as error:
            work.stuck.append(error.message)
        finally:
            held.release()

    def _sweep_free(self, id: str, now: datetime, work: _Sweep) -> None:
        """With its lock in our hands, so its owner is dead or done with it."""
        found, space = record.read(self._places.record(id)), self._places.space(id)
        if found is None and not os.path.lexists(space):
            record.remove(self._places.record(id))
        elif found is None:
            lost = Record(id=id, kind="folder", source="", made=stamp(now))
            work.orphans.append(id)
            work.kept.append(self._keep(lost, "its record is missing or damaged"))
        elif not git.is_folder(space) or not (space / "made").exists():
            work.removed.append(self._remove_told(found, "its owner died while making or removing it"))
        elif found.state == "held":
            work.orphans.append(id)
            work.kept.append(self._keep(found, "its owner died"))
        elif found.until <= stamp(now):
            work.removed.append(self._remove_told(found, f"kept until {found.until}"))
        else:
            work.kept.append(found)

    def _hold_cap(self) -> _Cap:
        """Remove the oldest failures until all together are below the cap."""
        cap = _Cap()
        kept = self.kept()
        sizes = {one.id: one.bytes_kept for one in kept}
        for id in self._places.ids():
            if id not in sizes:
                sizes[id] = usage.bytes_on_disk(self._places.space(id))
        cap.bytes_total = sum(sizes.values())
        for one in kept:
            if cap.bytes_total <= self.rules.bytes_max:
                break
            try:
                with locks.acquire(self._places.lock(one.id), self.clock):
                    now = record.read(self._places.record(one.id))
                    if now is None or now.state != "kept":
                        continue
                    cap.removed.append(
                        self._remove_told(now, f"all together take more than {self.rules.bytes_max} bytes")
                    )
                    cap.bytes_total -= sizes[one.id]
            except locks.LockHeld:  # somebody looks at it or reopened it
                continue
            except WorkspaceNotRemoved as error:
                cap.stuck.append(error.message)
        return cap


@dataclass(slots=True)
class _Cap:
    removed: list[Removed] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    bytes_total: int = 0


def workspace_is_not_bare(repository: git.Repository) -> bool:
    """Whether somebody has files of it checked out."""
    return repository.common_dir.name == ".git" or (repository.common_dir / "index").exists()


def _absolute(path: object) -> Path:
    """Raises WorkspaceRefused for what cannot be a path."""
    found = place.checked(path, WorkspaceRefused, hint="name a folder")
    try:
        return Path(os.path.abspath(found))
    except OSError as error:  # the working folder is gone
        raise WorkspaceRefused(f"{place.shown(path)} leads nowhere from here", hint="name it from / on") from error


def _folder(path: object) -> Path:
    """An existing folder, its links resolved. Raises WorkspaceRefused."""
    folder = _absolute(path)
    try:
        found = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        words = getattr(error, "strerror", None) or "links in a circle"
        raise WorkspaceRefused(
            f"{place.cut(str(folder))} cannot be used: {words}", hint="name an existing folder"
        ) from error
    if not found.is_dir():
        raise WorkspaceRefused(f"{place.cut(str(folder))} is not a folder", hint="name an existing folder")
    return found


def _check_label(label: object) -> None:
    if not isinstance(label, str) or len(label) > _LABEL_CHARACTERS_MAX:
        raise WorkspaceRefused("the label is no text, or too long", hint="use at most 1,000 characters")


def _names(names: Any) -> frozenset[str]:
    wrong = not isinstance(names, Collection) or isinstance(names, str | bytes)
    if wrong or not all(isinstance(one, str) and one and "/" not in one for one in names):
        raise WorkspaceRefused(
            f"leave_out holds something that is no name: {place.shown(names)}", hint="give names without slashes"
        )
    return frozenset(names)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
