"""The kind `repository`: something is done to a git repository, and delivered as a branch when its checks have seen it.

Each arrow of the way is a durable step: the checks on the base, one or more attempts, the checks of each, the gate,
the branch. Attempts work in a workspace of their own off the base commit; what one leaves is kept as a patch, so every
check and the delivery see the same bytes, also after a crash. The user's files, index and branches are never touched.
Nothing here believes a worker.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from daybreak import events
from daybreak.agents.protocol import Brief, Claim, Finding
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence, Mark
from daybreak.clock import Clock, stamp
from daybreak.config import Places
from daybreak.engine import Context, Kept, Parked
from daybreak.errors import CheckError, DeliveryError, HostError
from daybreak.factory import (
    attempting,
    cascading,
    recall,
    regression,
    repositorychecks,
    repositorygit,
    repositoryguard,
)
from daybreak.factory import brief as briefs
from daybreak.factory.attempting import Attempts, Result
from daybreak.factory.cascading import Course, NobodyLeft
from daybreak.factory.office import Office
from daybreak.factory.regression import Base
from daybreak.factory.repositorychecks import Bench, Check
from daybreak.factory.repositorygit import ResultUnclear
from daybreak.factory.repositorytask import KIND, Offer, RepositoryArgs
from daybreak.factory.site import Site
from daybreak.factory.warden import Warden
from daybreak.host.sandbox import Strength
from daybreak.host.workspaces import Author, CommitUnknown, NotARepository, Workspace, Workspaces
from daybreak.ledger import Ledger
from daybreak.memory.lessons import Lesson

__all__ = ["BRANCH", "KIND", "NotMended", "Repository", "blobs_of"]

BRANCH = "daybreak/{run}"
CHANGE, PROTECTED = "change", "protected"
"""Checks of ours: something was changed, and nothing that is protected."""
VETOES = frozenset({CHANGE, PROTECTED, repositorychecks.CHECK, repositorychecks.TESTS})
ALL_PASS = "every check passes on the base already, so none can show that it is done: work on it all the same?"
VIOLATIONS_MAX = 200
"""Of more nothing is put back, and no check is run."""
FINDINGS_CHARS_MAX = 20_000
_YES = ("yes", "y", "true")


class NotMended(CheckError):
    """No attempt has passed the gate."""

    code = "C173"


class NothingToShow(CheckError):
    """Every check passes on the base, and that was not accepted."""

    code = "C174"


class NotAdmitted(CheckError):
    """What an issue says looks like orders to a worker, and nobody said that it may be worked on."""

    code = "C198"


class Working(Protocol):
    """`attempting.Attempts`, as far as it is used here."""

    def work(
        self, number: int, name: str, brief: Brief, folder: Path, scratch: Path, *, time_s: float, require: Strength
    ) -> Result:
        """Have a worker work in `folder`; its claim."""
        ...


class MakeWorking(Protocol):
    """Makes that for one run."""

    def __call__(self, ctx: Context, office: Office, warden: Warden, cancelled: threading.Event) -> Working: ...


@dataclass(frozen=True)
class Repository:
    """The task function of kind `repository`; one instance serves many runs."""

    ledger: Ledger
    places: Places
    clock: Clock
    office: Office
    attempts: MakeWorking = Attempts

    async def __call__(self, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
        return await _OneTask(self, ctx, RepositoryArgs.model_validate(args)).go()


@dataclass(frozen=True)
class _Left:
    """What an attempt left, as kept in the ledger."""

    tree: str
    """Hash of git's tree; the base's where nothing was changed."""
    patch: str
    """Blob; empty where nothing was changed."""
    problem: str = ""
    """Why what it left cannot be taken."""

    def workspace(self, commit: str) -> str:
        """Names it in evidence: 64 hex digits."""
        return hashlib.sha256(f"git {commit} {self.tree}\n".encode()).hexdigest()


class _OneTask:
    """One run; all of its state comes back from the ledger after a crash."""

    def __init__(self, kind: Repository, ctx: Context, args: RepositoryArgs) -> None:
        self.kind, self.ctx, self.args = kind, ctx, args
        self.ledger = kind.ledger
        self.branch = BRANCH.format(run=ctx.run)
        self.checks = repositorychecks.plan(args.checks)
        self.warden = Warden(ctx.run, kind.ledger, kind.places, kind.clock)
        self.site = Site(ctx, (kind.places.workspaces / ctx.run).resolve(), self.warden)
        self.attempts = kind.attempts(ctx, kind.office, self.warden, self.site.cancelled)
        self.course = Course(ctx, kind.office, args.workers, KIND, args.attempts, as_written=args.as_written)

    async def go(self) -> dict[str, Any]:
        result: dict[str, Any] = await self.site.occupied(self._go)
        return result

    async def _go(self) -> dict[str, Any]:
        await self._admit()
        base = await self._prove()
        shown = not all(one.passed for one in base)
        if not shown and not self.args.guards_only:
            answer = await self.ctx.ask(ALL_PASS)
            if str(answer).strip().lower() not in _YES:
                raise NothingToShow(
                    "every check passes on the base already, and that was not accepted",
                    hint="add a check that fails until it is done, such as a test of what is asked for",
                )
        worker, left, evidence, decision = await self._try(base)
        delivered = await self._deliver(worker, left, evidence, shown)
        if self.args.offer is not None:
            delivered |= await self._offer(self.args.offer, worker, shown, decision, delivered)
        return {
            "verdict": decision.verdict,
            "score": decision.score,
            "shown": shown,
            "repository": self.args.repository,
            "branch": self.branch,
            "attempts": self.site.number,
            **delivered,
        }

    async def _admit(self) -> None:
        """Where it comes from an issue: what looks like orders to a worker is for a person to see first."""
        source = self.args.source
        if source is None:
            return
        where = f"issue #{source.number} of {source.repository}"
        look = partial(self.warden.untrusted, 0, f"{source.title}\n{source.text}", where)
        why = await self.ctx.step("look at the issue", look)
        if why and str(await self.ctx.ask(f"{where}: {why}: work on it all the same?")).strip().lower() not in _YES:
            raise NotAdmitted(f"{where} was not worked on: {why}", hint="read the issue; cut out what gives orders")

    # -- the base

    async def _prove(self) -> list[Base]:
        """Every check on the base: which are guards, and which are to be mended."""
        found = []
        for check in self.checks:
            kept = await self.ctx.step(f"base {check.name}", partial(self._prove_one, check))
            found.append(Base.model_validate_json(self.ledger.get_blob(kept["base"])))
        return found

    def _prove_one(self, check: Check) -> Kept:
        with self.site.scratch() as scratch, self._workspace(scratch) as workspace:
            seen = repositorychecks.run(check, self._bench(workspace.path, scratch), scratch / "run")
        self.site.refuse_interrupted()
        base = Base.of(check, seen)
        told = events.CheckProved(
            run=self.ctx.run,
            check=check.name,
            workspace=_Left(workspace.base, "").workspace(workspace.base),
            passed=base.passed,
            summary=base.summary,
        )
        blob = self.ledger.put_blob(base.model_dump_json().encode())
        return Kept({"base": blob, "passed": base.passed, "summary": base.summary}, tell=[told])

    # -- attempts, until one passes

    async def _try(self, base: Sequence[Base]) -> tuple[str, _Left, list[Evidence], gate.Decision]:
        found: list[Finding] = []
        seen: dict[str, list[Evidence]] = {}
        reasons: tuple[str, ...] = ()
        while True:
            self.site.number += 1
            try:
                worker = await self.course.next(self.site.number)
            except NobodyLeft as nobody:
                raise self._not_done(reasons, nobody) from nobody
            kept = await self.ctx.step("attempt", partial(self._attempt, self.site.number, worker, found))
            left, claim = _Left(**kept["left"]), msgspec.convert(kept["claim"], Claim)
            if _came_to_nothing(left, claim):
                reasons = reasons or (f"worker {worker} {claim.outcome}: {claim.summary}",)
                continue
            await self.ctx.enter("verifying")
            workspace = left.workspace(self.args.commit)
            if workspace not in seen or left.problem:  # of the same result the same would be seen
                seen[workspace] = await self._look(self.site.number, left, base)
            decision = await self._decide(self.site.number, seen[workspace], kept, found)
            if decision.verdict == "passed":
                return worker, left, seen[workspace], decision
            reasons = decision.reasons
            found = _findings(seen[workspace], claim)
            await self.ctx.enter("running")

    def _not_done(self, reasons: Sequence[str], nobody: NobodyLeft) -> NotMended | NobodyLeft:
        if not reasons:
            return nobody
        return NotMended(
            f"not done in {self.site.number - 1} attempts: {'; '.join(reasons)} ({nobody.message})",
            hint=f"`daybreak report {self.ctx.run}` shows what each check saw; no branch was made",
        )

    def _attempt(self, number: int, worker: str, found: Sequence[Finding]) -> Kept:
        learned = self.kind.office.lessons(f"{self.args.title}\n{self.args.prompt}", KIND)
        with self.site.scratch() as scratch, self._workspace(scratch) as workspace:
            guard = self.args.guard(repositorygit.files(workspace))
            repositorygit.give_own_history(workspace)
            result = self.attempts.work(
                number,
                worker,
                self._brief(number, found, guard, learned),
                workspace.path,
                scratch,
                time_s=self.args.time_s,
                require=self.args.sandbox,
            )
            self.site.refuse_interrupted()
            left = self._taken(workspace)
        made = "" if _came_to_nothing(left, result.claim) else left.workspace(self.args.commit)
        kept = {
            "worker": worker,
            "workspace": made,
            "left": {"tree": left.tree, "patch": left.patch, "problem": left.problem},
            "claim": msgspec.to_builtins(result.claim),
            "money_microusd": result.usage.money_microusd,
            "duration_ms": result.duration_ms,
            "lessons": [one.lesson for one in learned],
        }
        told = attempting.told(self.ctx.run, number, KIND, worker, result, made)
        return Kept(kept, tell=[*told, *cascading.unjudged(self.ctx.run, number, kept)])

    def _brief(
        self, number: int, found: Sequence[Finding], guard: repositoryguard.Guard, learned: Sequence[Lesson]
    ) -> Brief:
        constraints = ["Change the files in the working folder; nothing else is looked at."]
        constraints.append("Commands run without a network.")
        return Brief(
            name=Path(self.args.repository).name,
            title=self.args.title,
            summary=self.args.prompt,
            constraints=tuple(constraints),
            checks=self.args.checks,
            protected=guard.shown,
            attempt=number,
            findings=tuple(found),
            lessons=tuple(one.text for one in learned),
            recall=recall.pack(self.ctx.records()),
        )

    def _taken(self, workspace: Workspace) -> _Left:
        """What the worker left, read by git as a commit of it would be; what cannot be read is no result."""
        nothing = repositorygit.made_of_nothing(workspace)
        try:
            made = repositorygit.made(workspace)
        except HostError as error:
            return _Left(nothing, "", f"{error.message} ({error.hint})")
        return _Left(made.tree, self.ledger.put_blob(made.patch) if made.patch else "")

    # -- looking

    async def _look(self, number: int, left: _Left, base: Sequence[Base]) -> list[Evidence]:
        """Evidence of every check about what an attempt left. Where nothing was changed, or what was changed cannot be
        taken or put back, the checks of the task are not run."""
        changed = await self._step(number, f"check {CHANGE}", partial(self._changed, left))
        if changed.outcome != "passed":
            return [changed]
        guarded = await self._step(number, f"check {PROTECTED}", partial(self._guarded, left))
        evidence = [changed, guarded]
        wrong = [mark.place for mark in guarded.marks]
        if len(wrong) >= VIOLATIONS_MAX:
            return evidence
        for check, before in zip(self.checks, base, strict=True):
            look = partial(self._checked, left, wrong, check, before)
            evidence.append(await self._step(number, f"check {check.name}", look))
        return evidence

    async def _step(self, number: int, name: str, look: Any) -> Evidence:
        def keep() -> Kept:
            seen = look().model_dump(mode="json")
            self.site.refuse_interrupted()  # what was seen may be the interruption
            told = events.CheckLooked(run=self.ctx.run, attempt=number, held_out=False, evidence=seen)
            return Kept(seen, tell=[told])

        return Evidence.model_validate(await self.ctx.step(name, keep))

    def _changed(self, left: _Left) -> Evidence:
        words = left.problem or ("" if left.patch else "nothing was changed")
        return Evidence(
            check=CHANGE,
            workspace=left.workspace(self.args.commit),
            outcome="failed" if words else "passed",
            summary=words[:1000] or "something was changed",
        )

    def _guarded(self, left: _Left) -> Evidence:
        with self.site.scratch() as scratch, self._workspace(scratch) as workspace:
            files = repositorygit.files(workspace)
            self._apply(workspace, left)
            changed = repositorygit.changes(workspace, left.tree)
            read = partial(repositorygit.content, workspace)
            wrong = repositoryguard.violations(self.args.guard(files), changed, files, read)
        shown = "; ".join(one.why for one in wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        return Evidence(
            check=PROTECTED,
            workspace=left.workspace(self.args.commit),
            outcome="failed" if wrong else "passed",
            summary=shown or "nothing that is protected was changed",
            marks=tuple(Mark(message=one.why, place=one.path) for one in wrong[:VIOLATIONS_MAX]),
        )

    def _apply(self, workspace: Workspace, left: _Left) -> None:
        tree = repositorygit.apply(workspace, self.ledger.get_blob(left.patch))
        if tree != left.tree:
            raise ResultUnclear(
                f"the patch gives tree {tree[:12]}, not {left.tree[:12]}", hint="`daybreak ledger verify` checks blobs"
            )

    def _checked(self, left: _Left, wrong: Sequence[str], check: Check, before: Base) -> Evidence:
        """On a fresh copy of the result, with the paths in `wrong` put back as they were on the base."""
        name = left.workspace(self.args.commit)
        with self.site.scratch() as scratch, self._workspace(scratch) as workspace:
            try:
                tree = repositorygit.apply(workspace, self.ledger.get_blob(left.patch), without=wrong)
            except ResultUnclear as error:
                return Evidence(
                    check=check.name,
                    workspace=name,
                    outcome="unusable",
                    summary=f"what is protected cannot be put back: {error.message}"[:1000],
                    command=check.command[:1000],
                )
            files = _ordinary(workspace.path)
            guard = self.args.guard(repositorygit.files(workspace))
            looking = regression.Looking(
                check,
                before,
                name,
                sources=tuple(path for path in files if path.endswith(".py") and not _is_test(guard, path)),
                free=frozenset(change.path for change in repositorygit.changes(workspace, tree)),
            )
            return looking.look(self._bench(workspace.path, scratch))

    def _bench(self, files: Path, scratch: Path) -> Bench:
        return Bench(
            files,
            scratch,
            tuple(Path(path) for path in self.args.venvs if Path(path).is_dir()),
            self.args.check_s,
            self.args.sandbox,
            self.site.cancelled,
        )

    # -- deciding and delivering

    async def _decide(
        self, number: int, evidence: Sequence[Evidence], kept: Mapping[str, Any], before: Sequence[Finding]
    ) -> gate.Decision:
        required = [CHANGE, PROTECTED, *(check.name for check in self.checks)]
        nothing = evidence[0].outcome != "passed"  # then that is the reason, and not that nobody looked further

        def decide() -> Kept:
            found = gate.decide(evidence, threshold=0, vetoes=VETOES, required=[CHANGE] if nothing else required)
            passed = sum(one.outcome == "passed" for one in evidence)
            decision = found.model_copy(update={"score": float(passed * 1000 // len(required)) / 10})
            decided = events.GateDecided(
                run=self.ctx.run,
                attempt=number,
                workspace=kept["workspace"],
                verdict=decision.verdict,
                score=decision.score,
                reasons=list(decision.reasons),
            )
            learned = cascading.learned(self.ctx.run, number, KIND, kept, decision, before, evidence)
            return Kept(decision.model_dump(mode="json"), tell=[decided, *learned])

        return gate.Decision.model_validate(await self.ctx.step("gate", decide))

    async def _deliver(self, worker: str, left: _Left, evidence: Sequence[Evidence], shown: bool) -> dict[str, Any]:
        verified_at = await self.ctx.now()

        def put() -> Kept:
            try:
                return self._send(worker, left, evidence, shown, verified_at)
            except (DeliveryError, HostError) as error:
                raise Parked(f"{error.message}: deliver again?", why=f"{error.code}: {error.hint}") from error

        kept: dict[str, Any] = await self.ctx.step("deliver", put)
        return kept

    async def _offer(
        self, offer: Offer, worker: str, shown: bool, decision: gate.Decision, delivered: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The branch as a pull or merge request."""
        from daybreak.factory.forges.offering import Offering
        from daybreak.factory.forges.wording import Told

        source, office = self.args.source, self.kind.office
        ours = source is not None and (source.forge, source.repository) == (offer.forge, offer.repository)
        told = Told(
            run=self.ctx.run,
            title=f"{source.title} (#{source.number})" if source is not None else self.args.title,
            asked="" if ours else self.args.prompt,
            closes=f"#{source.number}" if source is not None and ours else "",
            checks=self.args.checks,
            commit=delivered["commit"],
            base=self.args.commit,
            worker=worker,
            attempts=self.site.number,
            shown=shown,
            score=decision.score,
            manifest=delivered["manifest"],
        )
        offering = Offering(self.ctx, offer, office.settings, office.environment, self.warden, self.site.scratch)
        return await offering.go(Path(self.args.repository), self.branch, told)

    def _send(self, worker: str, left: _Left, evidence: Sequence[Evidence], shown: bool, verified_at: datetime) -> Kept:
        self.warden.may_deliver(self.site.number, Path(self.args.repository))
        manifest = json.dumps(
            self._manifest(worker, left, evidence, shown, verified_at), indent=2, ensure_ascii=False
        ).encode()
        digest = self.ledger.put_blob(manifest)
        message = self._message(worker, evidence, shown, verified_at, digest)
        author = Author(self.args.author_name, self.args.author_email)
        with self.site.scratch() as scratch, self._workspace(scratch) as workspace:
            self._apply(workspace, left)
            seconds = int(verified_at.timestamp())
            commit = repositorygit.deliver(workspace, left.tree, self.branch, message, author, seconds)
        told = events.Delivered(
            run=self.ctx.run,
            output=f"{self.args.repository} (branch {self.branch}, commit {commit[:12]})",
            workspace=left.workspace(self.args.commit),
            manifest=digest,
        )
        return Kept({"commit": commit, "manifest": digest}, tell=[told])

    def _manifest(
        self, worker: str, left: _Left, evidence: Sequence[Evidence], shown: bool, verified_at: datetime
    ) -> dict[str, Any]:
        """Where the branch comes from: everything that anybody needs to see the same."""
        return {
            "format": 1,
            "run": self.ctx.run,
            "base": self.args.commit,
            "tree": left.tree,
            "patch": left.patch,
            "workspace": left.workspace(self.args.commit),
            "worker": worker,
            "attempts": self.site.number,
            "verified_at": stamp(verified_at),
            "shown": shown,
            "checks": [
                {"check": one.check, "command": one.command, "outcome": one.outcome, "summary": one.summary,
                 "counts": one.counts} for one in evidence
            ],
        }  # fmt: skip

    def _message(
        self, worker: str, evidence: Sequence[Evidence], shown: bool, verified_at: datetime, manifest: str
    ) -> str:
        """What was asked, and trailers that say how it is known to be done."""
        prompt = self.args.prompt.strip()
        body = [self.args.title, ""] + ([prompt, ""] if prompt != self.args.title else [])
        trailers = [
            ("Run", self.ctx.run),
            ("Worker", f"{worker}, attempt {self.site.number}"),
            ("Base", self.args.commit),
            ("Verified", stamp(verified_at)),
            *(("Check", f"{one.check}: {one.summary}") for one in evidence if one.check not in (CHANGE, PROTECTED)),
            *([] if shown else [("Shown", "no: every check passed on the base already")]),
            ("Manifest", f"sha256:{manifest}"),
        ]
        lines = [f"Daybreak-{name}: {' '.join(value.split())[:500]}" for name, value in trailers]
        return "\n".join([*body, *lines]) + "\n"

    # -- small things

    @contextmanager
    def _workspace(self, scratch: Path) -> Iterator[Workspace]:
        """The base, fresh; gone afterwards."""
        try:
            workspace = Workspaces(scratch / "spaces", self.kind.clock).from_git(
                self.args.repository, self.args.commit, label=self.ctx.run, history=False
            )
        except (CommitUnknown, NotARepository) as error:
            raise Parked(
                f"the base {self.args.commit[:12]} is not there (any more): put it back, then resume",
                why=f"{error.code}: {error.message}",
            ) from error
        try:
            yield workspace
        finally:
            workspace.discard("lost")


def blobs_of(event: events.Event) -> Iterator[str]:
    """The blobs that an event of such a run refers to: what was seen on the base, patches, manifests."""
    match event:
        case events.StepDone(name="attempt", result={"left": {"patch": str() as patch}}) if patch:
            yield patch
        case events.StepDone(name=name, result={"base": str() as base}) if name.startswith("base "):
            yield base
        case events.StepDone(name="deliver", result={"manifest": str() as manifest, "commit": str()}):
            yield manifest
        case _:
            pass


def _came_to_nothing(left: _Left, claim: Claim) -> bool:
    """Nobody needs to look: it gave up, and has changed nothing. Whoever gave up and changed something may be right."""
    return bool(_trouble(claim)) and not left.patch and not left.problem


def _trouble(claim: Claim) -> str:
    return claim.trouble or (claim.outcome if claim.outcome in ("refused", "crashed") else "")


def _findings(evidence: Sequence[Evidence], claim: Claim) -> list[Finding]:
    """What failed, for the next attempt; and the worker's own word where it gave up."""
    found = briefs.findings(evidence, frozenset())
    if claim.outcome in ("refused", "crashed", "partial"):
        said = "; ".join((claim.summary, *claim.not_built))
        found.append(Finding(check="worker", message=f"the attempt before {claim.outcome}: {said}"))
    kept: list[Finding] = []
    chars = 0
    for one in found:
        chars += len(one.message)
        if chars > FINDINGS_CHARS_MAX and kept:
            break
        kept.append(one)
    return kept


def _ordinary(folder: Path) -> list[str]:
    """Paths of the ordinary files, links not among them."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return [path.relative_to(folder).as_posix() for path in found]


def _is_test(guard: repositoryguard.Guard, path: str) -> bool:
    return guard.holds(path) or repositoryguard.is_test(path)
