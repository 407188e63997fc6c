"""The kind `merge`: branches go into one branch, one after the other, each after its checks saw the merged result.

For each branch: join the two commits (`merging.joined`), run its checks and those of the branches before it on the
result, decide, move the target by compare and swap. A branch that does not pass, or that conflicts, is left out with
its reason and stops nobody. Where the target moved meanwhile the branch is joined and looked at again. All of it are
durable steps: what was merged before a crash stays merged, and is not merged twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from daybreak import events
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence, Mark
from daybreak.clock import Clock, stamp
from daybreak.config import Places
from daybreak.engine import Context, Kept, Parked, Queue
from daybreak.engine.dispatch import Needs
from daybreak.errors import CheckError, DeliveryError, HostError, UsageError
from daybreak.factory import dispatching
from daybreak.factory.lookjobs import Here, LookJobs
from daybreak.factory.merging import again, branches, joined
from daybreak.factory.merging.branches import Entry
from daybreak.factory.merging.joined import NotJoined
from daybreak.factory.merging.target import Target
from daybreak.factory.merging.task import KIND, MergeArgs
from daybreak.factory.office import Office
from daybreak.factory.repository import checks as repositorychecks
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.repository import guard as repositoryguard
from daybreak.factory.repository import regression
from daybreak.factory.repository.checks import Check
from daybreak.factory.repository.looks import Looks
from daybreak.factory.repository.regression import Base
from daybreak.factory.repository.running import Bench
from daybreak.factory.site import Site
from daybreak.factory.warden import Warden
from daybreak.host.sandbox import STRENGTHS
from daybreak.host.workspaces import Author, CommitUnknown, NotARepository, Workspace, Workspaces, git
from daybreak.ids import Entropy
from daybreak.ledger import Ledger

__all__ = ["KIND", "OUTCOME", "Merge", "blobs_of"]

OUTCOME = "outcome"
"""The step that says what became of every branch."""
PROTECTED = "protected"
VETOES = frozenset({PROTECTED, repositorychecks.CHECK, repositorychecks.TESTS})
TURNS_MAX = 5
"""So often a branch is looked at again because the target moved meanwhile."""


class TargetRestless(CheckError):
    """The target moved each time that a result had been looked at."""

    code = "C197"


@dataclass(frozen=True)
class Merge:
    """The task function of kind `merge`; one instance serves many runs."""

    ledger: Ledger
    places: Places
    clock: Clock
    office: Office
    entropy: Entropy

    async def __call__(self, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
        return await _OneMerge(self, ctx, MergeArgs.model_validate(args)).go()


@dataclass(frozen=True)
class _Made:
    """What joining gave, as kept in the ledger."""

    target: str
    """The commit that the target was at."""
    target_tree: str
    state: str
    """`joined`, `contained` (the target has it already), `conflict` or `impossible`."""
    tree: str = ""
    patch: str = ""
    """Blob: from the target to the merged tree; empty where they are equal."""
    by_meaning: list[str] = field(default_factory=list)
    clashes: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    why: str = ""

    def workspace(self, commit: str) -> str:
        """Names the merged result in evidence: 64 hex digits."""
        return hashlib.sha256(f"git {self.target} {commit} {self.tree}\n".encode()).hexdigest()


class _OneMerge:
    """One run; all of its state comes back from the ledger after a crash."""

    def __init__(self, kind: Merge, ctx: Context, args: MergeArgs) -> None:
        self.kind, self.ctx, self.args = kind, ctx, args
        self.ledger = kind.ledger
        self.target = Target(Path(args.repository), args.into)
        self.warden = Warden(ctx.run, kind.ledger, kind.places, kind.clock)
        self.site = Site(ctx, (kind.places.workspaces / ctx.run).resolve(), self.warden)
        self.bases: dict[tuple[str, str], Base] = {}
        """What a check saw of a tree: by the tree, and the check's command."""
        self.heres: dict[Needs, Here] = {}
        """What looks here, by what a machine must have: others are other nodes, and may lack less."""

    async def go(self) -> dict[str, Any]:
        result: dict[str, Any] = await self.site.occupied(self._go)
        return result

    async def _go(self) -> dict[str, Any]:
        entries = list(self.args.entries)
        if not entries:
            found = await self.ctx.step("find", self._find)
            entries = [Entry.model_validate(one) for one in found]
        merged: list[Entry] = []
        told: dict[str, list[dict[str, Any]]] = {"merged": [], "left_out": [], "already": []}
        clashing: list[tuple[Entry, _Made]] = []
        for number, entry in enumerate(entries, 1):
            where, outcome, made = await self._one(number, entry, merged)
            told[where].append(outcome)
            if where == "merged":
                merged.append(entry)
            elif made.state == "conflict":
                clashing.append((entry, made))
        for entry, made in clashing:
            await self._again(entry, made, told["left_out"])
        outcome = {
            "verdict": "failed" if told["left_out"] else "passed",
            "repository": self.args.repository,
            "into": self.args.into,
            **told,
        }
        kept: dict[str, Any] = await self.ctx.step(OUTCOME, lambda: outcome)
        return kept

    def _find(self) -> list[dict[str, Any]]:
        found = branches.delivered(self.ledger, Path(self.args.repository), self.args.checks)
        return [one.model_dump(mode="json", exclude_defaults=True) for one in found]

    # -- one branch

    def _looks(self, entries: Sequence[Entry]) -> Looks:
        """Where everything is that the checks of these branches need."""
        office = self.kind.office
        needs = dispatching.needs(office.settings, *(one.needs for one in entries))
        here = self.heres.setdefault(needs, Here(office.here))
        return Looks(LookJobs(office, self.ctx, self.site.cancelled, needs, here))

    async def _one(self, number: int, entry: Entry, before: Sequence[Entry]) -> tuple[str, dict[str, Any], _Made]:
        """In which list it belongs, what is said of it there, and what joining gave."""
        checks = repositorychecks.plan(
            tuple(dict.fromkeys(check for one in (*before, entry) for check in (*one.checks, *self.args.checks)))
        )
        looks = self._looks((*before, entry))
        said = {"branch": entry.branch, "title": entry.title, "run": entry.run}
        for _ in range(TURNS_MAX):
            await self.ctx.enter("running")
            made = _Made(**await self.ctx.step("join", partial(self._join, entry)))
            if made.state == "contained":
                return "already", said, made
            if made.state != "joined":
                return "left_out", {**said, "why": made.why, "conflicts": _places(made)}, made
            base = await self._prove(made, checks, looks)
            await self.ctx.enter("verifying")
            evidence = await self._look(number, entry, made, checks, base, looks)
            decision = await self._decide(number, entry, made, evidence)
            if decision.verdict != "passed":
                return "left_out", {**said, "why": "; ".join(decision.reasons), "conflicts": []}, made
            moved = await self._move(number, entry, made, evidence)
            if moved["commit"]:
                return "merged", {**said, "commit": moved["commit"], "by_meaning": made.by_meaning}, made
        raise TargetRestless(
            f"{self.args.into} moved {TURNS_MAX} times while {entry.branch} was looked at",
            hint="run it again when nobody pushes; what was merged before stays merged",
        )

    def _join(self, entry: Entry) -> dict[str, Any]:
        self._ready()
        with self.site.scratch() as scratch:
            try:
                head = self.target.head()
            except UsageError as error:
                raise Parked(f"{error.message}: is it there again?", why=f"{error.code}: {error.hint}") from error
            made = self._joined(self._borrowed(scratch, head), head, entry)
        return asdict(made)

    def _joined(self, git_dir: Path, head: str, entry: Entry) -> _Made:
        tree = ""
        try:
            tree = joined.tree_of(git_dir, head)
            if joined.contains(git_dir, head, entry.commit):
                return _Made(head, tree, "contained")
            result = joined.join(git_dir, head, entry.commit)
        except NotJoined as error:
            return _Made(head, tree, "impossible", why=f"{error.message} ({error.hint})")
        if result.clashes:
            why = "; ".join(clash.words for clash in result.clashes[:3])
            more = f"; and {len(result.clashes) - 3} more" if len(result.clashes) > 3 else ""
            return _Made(
                head, tree, "conflict", clashes=[asdict(one) for one in result.clashes], why=f"conflicts: {why}{more}"
            )
        patch = joined.patch(git_dir, head, result.tree)
        return _Made(
            head,
            tree,
            "joined",
            result.tree,
            self.ledger.put_blob(patch) if patch else "",
            list(result.by_meaning),
            notes=list(result.notes),
        )

    # -- looking

    async def _prove(self, made: _Made, checks: Sequence[Check], looks: Looks) -> list[Base]:
        """What each check says of the target as it is: what passes there must still pass."""
        found = []
        for check in checks:
            known = self.bases.get((made.target_tree, check.command))
            if known is None:
                kept = await self.ctx.step(f"base {check.name}", partial(self._prove_one, check, made, looks))
                known = Base.model_validate_json(self.ledger.get_blob(kept["base"]))
                self.bases[made.target_tree, check.command] = known
            found.append(known)
        return found

    def _prove_one(self, check: Check, made: _Made, looks: Looks) -> Kept:
        with self.site.scratch() as scratch, self._workspace(scratch, made.target) as workspace:
            base = looks.base(check, self._bench(workspace.path, scratch, None))
        self.site.refuse_interrupted()
        told = events.CheckProved(
            run=self.ctx.run,
            check=check.name,
            workspace=hashlib.sha256(f"git {made.target} {made.target_tree}\n".encode()).hexdigest(),
            passed=base.passed,
            summary=base.summary,
        )
        blob = self.ledger.put_blob(base.model_dump_json().encode())
        return Kept({"base": blob, "passed": base.passed, "summary": base.summary}, tell=[told])

    async def _look(
        self, number: int, entry: Entry, made: _Made, checks: Sequence[Check], base: Sequence[Base], looks: Looks
    ) -> list[Evidence]:
        found = []
        if entry.run:  # what a worker made: the tests that judge it are still those of the target
            kept = await self.ctx.step(f"check {PROTECTED}", partial(self._guarded, number, entry, made))
            found.append(Evidence.model_validate(kept["evidence"]))
        for check, before in zip(checks, base, strict=True):
            look = partial(self._checked, number, entry, made, check, before, looks)
            kept = await self.ctx.step(f"check {check.name}", look)
            found.append(Evidence.model_validate(kept["evidence"]))
            if kept["base"]:
                seen = Base.model_validate_json(self.ledger.get_blob(kept["base"]))
                self.bases[made.tree, check.command] = seen  # the next branch begins where this one ends
        return found

    def _guarded(self, number: int, entry: Entry, made: _Made) -> Kept:
        with self.site.scratch() as scratch, self._workspace(scratch, made.target) as workspace:
            files = repositorygit.files(workspace)
            self._apply(workspace, made)
            changed = repositorygit.changes(workspace, made.tree)
            guard = repositoryguard.of(entry.checks, files, entry.protect, entry.allow)
            wrong = repositoryguard.violations(guard, changed, files, partial(repositorygit.content, workspace))
        shown = "; ".join(one.why for one in wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        evidence = Evidence(
            check=PROTECTED,
            workspace=made.workspace(entry.commit),
            outcome="failed" if wrong else "passed",
            summary=shown or "nothing that is protected was changed",
            marks=tuple(Mark(message=one.why, place=one.place) for one in wrong[:100]),
        )
        return self._seen(number, evidence, "")

    def _checked(self, number: int, entry: Entry, made: _Made, check: Check, before: Base, looks: Looks) -> Kept:
        with self.site.scratch() as scratch, self._workspace(scratch, made.target) as workspace:
            self._apply(workspace, made)
            changed = {change.path for change in repositorygit.changes(workspace, made.tree)}
            files = repositorygit.files(workspace)
            guard = repositoryguard.of(entry.checks, files, entry.protect, entry.allow)
            # Whether the tests prove anything was seen when the branch was made; guards in files that somebody's own
            # branch changes, or that a task may change, may go.
            free = frozenset(path for path in changed if not entry.run or guard.allows(path))
            looking = regression.Looking(check, before, made.workspace(entry.commit), sources=(), free=free)
            evidence, after = looks.look(looking, self._bench(workspace.path, scratch, entry))
        self.site.refuse_interrupted()
        blob = "" if after is None else self.ledger.put_blob(after.model_dump_json().encode())
        return self._seen(number, evidence, blob)

    def _seen(self, number: int, evidence: Evidence, blob: str) -> Kept:
        told = evidence.model_dump(mode="json")
        looked = events.CheckLooked(run=self.ctx.run, attempt=number, held_out=False, evidence=told)
        return Kept({"evidence": told, "base": blob}, tell=[looked])

    def _bench(self, files: Path, scratch: Path, entry: Entry | None) -> Bench:
        asked = [self.args.sandbox, *(one.sandbox for one in self.args.entries), *([entry.sandbox] if entry else [])]
        limit_s = max(self.args.check_s, entry.check_s if entry else 0)
        venvs = tuple(Path(path) for path in self.args.venvs if Path(path).is_dir())
        return Bench(files, scratch, venvs, limit_s, max(asked, key=STRENGTHS.index), self.site.cancelled)

    # -- deciding and moving

    async def _decide(self, number: int, entry: Entry, made: _Made, evidence: Sequence[Evidence]) -> gate.Decision:
        def decide() -> Kept:
            found = gate.decide(evidence, threshold=0, vetoes=VETOES, required=[one.check for one in evidence])
            passed = sum(one.outcome == "passed" for one in evidence)
            decision = found.model_copy(update={"score": float(passed * 1000 // max(1, len(evidence))) / 10})
            decided = events.GateDecided(
                run=self.ctx.run,
                attempt=number,
                workspace=made.workspace(entry.commit),
                verdict=decision.verdict,
                score=decision.score,
                reasons=list(decision.reasons),
            )
            return Kept(decision.model_dump(mode="json"), tell=[decided])

        return gate.Decision.model_validate(await self.ctx.step("gate", decide))

    async def _move(self, number: int, entry: Entry, made: _Made, evidence: Sequence[Evidence]) -> dict[str, Any]:
        verified_at = await self.ctx.now()
        send = partial(self._send, number, entry, made, evidence, verified_at)
        kept: dict[str, Any] = await self.ctx.step("move", send)
        return kept

    def _send(
        self, number: int, entry: Entry, made: _Made, evidence: Sequence[Evidence], verified_at: datetime
    ) -> Kept:
        """Move the target; the merge commit is empty where the target is not where it was any more."""
        self.warden.may_deliver(number, Path(self.args.repository))
        message = self._message(entry, made, evidence, verified_at)
        author = Author(self.args.author_name, self.args.author_email)
        with self.site.scratch() as scratch:
            git_dir = self._borrowed(scratch, made.target)
            tree = joined.applied(git_dir, made.target, self.ledger.get_blob(made.patch) if made.patch else b"")
            _same(tree, made.tree)
            parents = [made.target, entry.commit]
            commit = joined.commit(git_dir, tree, parents, message, author, int(verified_at.timestamp()))
            try:
                moved = self.target.move(commit, made.target, git_dir)
            except (DeliveryError, HostError, CheckError, UsageError) as error:
                raise Parked(f"{error.message}: go on?", why=f"{error.code}: {error.hint}") from error
        if not moved:
            return Kept({"commit": ""})
        digest = self.ledger.put_blob(message.encode())
        told = events.Delivered(
            run=self.ctx.run,
            output=f"{self.args.repository} ({entry.branch} in {self.args.into}, commit {commit[:12]})",
            workspace=made.workspace(entry.commit),
            manifest=digest,
        )
        return Kept({"commit": commit, "manifest": digest}, tell=[told])

    def _message(self, entry: Entry, made: _Made, evidence: Sequence[Evidence], verified_at: datetime) -> str:
        title = f": {entry.title}" if entry.title else ""
        trailers = [
            ("Run", self.ctx.run),
            *([("Merged-Run", entry.run)] if entry.run else []),
            ("Verified", stamp(verified_at)),
            *(("Check", f"{one.check}: {one.summary}") for one in evidence if one.check != PROTECTED),
            *(("Merged-By-Meaning", path) for path in made.by_meaning[:50]),
        ]
        lines = [f"Daybreak-{name}: {' '.join(value.split())[:500]}" for name, value in trailers]
        return "\n".join([f"Merge {entry.branch}{title}", "", *lines]) + "\n"

    # -- what conflicts

    async def _again(self, entry: Entry, made: _Made, told: list[dict[str, Any]]) -> None:
        """A conflict becomes a task for the workers that made the branch, on the target as it is now."""
        if not entry.run or not self.args.tasks:
            return
        run = await self.ctx.step("again", partial(self._add_task, entry, made))
        if run:
            next(one for one in told if one["branch"] == entry.branch)["task"] = run

    def _add_task(self, entry: Entry, made: _Made) -> str:
        with self.site.scratch() as scratch:
            patch = joined.change(self._borrowed(scratch, made.target), made.target, entry.commit)
        clashes = [joined.Clash(**one) for one in made.clashes]
        queue = Queue(self.ledger, self.kind.clock, self.kind.entropy)
        return again.add(queue, self.ledger, entry, self.target.head(), self.args.into, clashes, patch)

    # -- small things

    def _ready(self) -> None:
        """Before anything is spent: may the target move at all? Waits for a person where it may not."""
        try:
            self.target.refuse_dirty()
        except (DeliveryError, CheckError, OSError) as error:
            code, hint = (error.code, error.hint) if isinstance(error, DeliveryError | CheckError) else ("", "")
            raise Parked(f"{error}: go on?", why=f"{code}: {hint}") from error

    def _apply(self, workspace: Workspace, made: _Made) -> None:
        if not made.patch:
            return
        _same(repositorygit.apply(workspace, self.ledger.get_blob(made.patch)), made.tree)

    def _borrowed(self, scratch: Path, commit: str) -> Path:
        """A git folder of ours that has the repository's objects, without any files."""
        git_dir = scratch / "git"
        try:
            found = git.find(Path(self.args.repository))
            git.prepare(git_dir, found, git.resolve(found, commit))
        except (CommitUnknown, NotARepository) as error:
            raise _gone(commit, error) from error
        return git_dir

    @contextmanager
    def _workspace(self, scratch: Path, commit: str) -> Iterator[Workspace]:
        """A commit of the repository, fresh; gone afterwards."""
        try:
            workspace = Workspaces(scratch / "spaces", self.kind.clock).from_git(
                self.args.repository, commit, label=self.ctx.run, history=False
            )
        except (CommitUnknown, NotARepository) as error:
            raise _gone(commit, error) from error
        try:
            yield workspace
        finally:
            workspace.discard("lost")


def _gone(commit: str, error: HostError) -> Parked:
    return Parked(
        f"commit {commit[:12]} is not there (any more): put it back, then resume", why=f"{error.code}: {error.message}"
    )


def _same(tree: str, expected: str) -> None:
    if tree != expected:
        raise repositorygit.ResultUnclear(
            f"the patch gives tree {tree[:12]}, not {expected[:12]}", hint="`daybreak ledger verify` checks blobs"
        )


def blobs_of(event: events.Event) -> Iterator[str]:
    """The blobs that an event of such a run refers to: patches, what was seen, messages of merge commits."""
    match event:
        case events.StepDone(name="join", result={"patch": str() as patch, "target_tree": str()}) if patch:
            yield patch
        case events.StepDone(result={"base": str() as base, "evidence": dict()}) if base:
            yield base
        case events.StepDone(name="move", result={"manifest": str() as manifest, "commit": str()}):
            yield manifest
        case _:
            pass


def _places(made: _Made) -> list[str]:
    return [joined.Clash(**one).words for one in made.clashes]
