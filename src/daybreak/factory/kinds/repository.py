"""The kind `repository`: something is done to a git repository, and delivered as a branch when its checks have seen it.

Each arrow of the way is a durable step: the checks on the base, one or more attempts, the checks of each, the gate,
the branch. Attempts work in a workspace of their own off the base commit; what one leaves is kept as a patch, so every
check and the delivery see the same bytes, also after a crash. The user's files, index and branches are never touched.
Nothing here believes a worker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from daybreak import events
from daybreak.agents.protocol import Brief, Claim, Finding
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.engine import Context, Kept, Parked
from daybreak.errors import CheckError, DeliveryError, HostError
from daybreak.factory import attempted, cascading, dispatching, recall
from daybreak.factory import brief as briefs
from daybreak.factory.attempting import Attempts, MakeWorking
from daybreak.factory.cascading import Course, NobodyLeft
from daybreak.factory.lookjobs import Here, LookJobs
from daybreak.factory.office import Office
from daybreak.factory.phases.phase import IMPLEMENTER
from daybreak.factory.phases.vetoing import Reviewed
from daybreak.factory.repository import checks as repositorychecks
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.repository import guard as repositoryguard
from daybreak.factory.repository.branch import Branch
from daybreak.factory.repository.checkout import Checkouts
from daybreak.factory.repository.checks import Check
from daybreak.factory.repository.left import Left
from daybreak.factory.repository.looking import CHANGE, PROTECTED, VETOES, VIOLATIONS_MAX, Looker
from daybreak.factory.repository.looks import Looks
from daybreak.factory.repository.regression import Base
from daybreak.factory.repository.review import Made, Reviewer
from daybreak.factory.repository.task import KIND, Offer, RepositoryArgs
from daybreak.factory.site import Site
from daybreak.factory.warden import Warden
from daybreak.host.workspaces import Workspace
from daybreak.ledger import Ledger
from daybreak.memory.lessons import Lesson

__all__ = ["BRANCH", "KIND", "NotMended", "Repository", "blobs_of"]

BRANCH = "daybreak/{run}"
ALL_PASS = "every check passes on the base already, so none can show that it is done: work on it all the same?"
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


class _OneTask:
    """One run; all of its state comes back from the ledger after a crash."""

    def __init__(self, kind: Repository, ctx: Context, args: RepositoryArgs) -> None:
        self.kind, self.ctx, self.args = kind, ctx, args
        self.ledger = kind.ledger
        self.branch = BRANCH.format(run=ctx.run)
        self.checks = repositorychecks.plan(args.checks)
        self.warden = Warden(ctx.run, kind.ledger, kind.places, kind.clock)
        self.site = Site(ctx, (kind.places.workspaces / ctx.run).resolve(), self.warden)
        needs = dispatching.needs(kind.office.settings, args.needs)
        self.attempts = kind.attempts(ctx, kind.office, self.warden, self.site.cancelled, needs)
        role = IMPLEMENTER if args.reviewers else ""  # then the attempts of reviewers are not the workers'
        self.course = Course(ctx, kind.office, args.workers, KIND, args.attempts, as_written=args.as_written, role=role)
        self.tries = 0
        self.checkouts = Checkouts(args, ctx.run, kind.ledger, kind.clock, self.site)
        self.looker = Looker(
            self.checkouts, Looks(LookJobs(kind.office, ctx, self.site.cancelled, needs, Here(kind.office.here)))
        )
        self.reviewer = Reviewer.of(self.checkouts, kind.office, self.attempts)

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
        made = await self._try(base)
        delivered = await self._deliver(made, shown)
        if self.args.offer is not None:
            delivered |= await self._offer(self.args.offer, made, shown, delivered)
        return {
            "verdict": made.decision.verdict,
            "score": made.decision.score,
            "shown": shown,
            "repository": self.args.repository,
            "branch": self.branch,
            "attempts": self.tries,
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
        base = self.looker.base(check)
        self.site.refuse_interrupted()
        told = events.CheckProved(
            run=self.ctx.run,
            check=check.name,
            workspace=Left(self.args.commit, "").workspace(self.args.commit),
            passed=base.passed,
            summary=base.summary,
        )
        blob = self.ledger.put_blob(base.model_dump_json().encode())
        return Kept({"base": blob, "passed": base.passed, "summary": base.summary}, tell=[told])

    # -- attempts, until one passes

    async def _try(self, base: Sequence[Base]) -> Made:
        found: list[Finding] = []
        seen: dict[str, list[Evidence]] = {}
        reasons: tuple[str, ...] = ()
        while True:
            number = await self.site.next_number()
            try:
                worker = await self.course.next(number)
            except NobodyLeft as nobody:
                if (taken := await self.reviewer.overruled()) is not None:
                    return taken
                raise self._not_done(reasons, nobody) from nobody
            self.tries += 1
            kept = await self.ctx.step("attempt", partial(self._attempt, number, worker, found))
            left, claim = Left(**kept["left"]), msgspec.convert(kept["claim"], Claim)
            if _came_to_nothing(left, claim):
                reasons = reasons or (f"worker {worker} {claim.outcome}: {claim.summary}",)
                continue
            await self.ctx.enter("verifying")
            workspace = left.workspace(self.args.commit)
            if workspace not in seen or left.problem:  # of the same result the same would be seen
                seen[workspace] = await self._look(number, left, base)
            evidence = seen[workspace]
            made = Made(number, worker, left, evidence, self._by_checks(evidence))
            reviewed = await self.reviewer.of_made(made)
            decision = await self._decide(made, reviewed, kept, found)
            if decision.verdict == "passed":
                return made
            reasons = decision.reasons
            found = _findings([*evidence, *reviewed.evidence], claim)
            await self.ctx.enter("running")

    def _not_done(self, reasons: Sequence[str], nobody: NobodyLeft) -> NotMended | NobodyLeft:
        if not reasons:
            return nobody
        return NotMended(
            f"not done in {self.tries} attempts: {'; '.join(reasons)} ({nobody.message})",
            hint=f"`daybreak report {self.ctx.run}` shows what each check saw; no branch was made",
        )

    def _attempt(self, number: int, worker: str, found: Sequence[Finding]) -> Kept:
        learned = self.kind.office.lessons(f"{self.args.title}\n{self.args.prompt}", KIND)
        with self.site.scratch() as scratch, self.checkouts.base(scratch) as workspace:
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
        told = attempted.told(self.ctx.run, number, KIND, worker, result, made)
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
            recall=recall.pack(self.ctx.records(), role=self.course.role),
        )

    def _taken(self, workspace: Workspace) -> Left:
        """What the worker left, read by git as a commit of it would be; what cannot be read is no result."""
        nothing = repositorygit.made_of_nothing(workspace)
        try:
            made = repositorygit.made(workspace)
        except HostError as error:
            return Left(nothing, "", f"{error.message} ({error.hint})")
        return Left(made.tree, self.ledger.put_blob(made.patch) if made.patch else "")

    # -- looking

    async def _look(self, number: int, left: Left, base: Sequence[Base]) -> list[Evidence]:
        """Evidence of every check about what an attempt left. Where nothing was changed, or what was changed cannot be
        taken or put back, the checks of the task are not run."""
        changed = await self._step(number, f"check {CHANGE}", partial(self.looker.changed, left))
        if changed.outcome != "passed":
            return [changed]
        guarded = await self._step(number, f"check {PROTECTED}", partial(self.looker.guarded, left))
        evidence = [changed, guarded]
        wrong = [mark.place for mark in guarded.marks]
        if len(wrong) >= VIOLATIONS_MAX or "" in wrong:
            return evidence
        for check, before in zip(self.checks, base, strict=True):
            look = partial(self.looker.checked, left, wrong, check, before)
            evidence.append(await self._step(number, f"check {check.name}", look))
        return evidence

    async def _step(self, number: int, name: str, look: Any) -> Evidence:
        def keep() -> Kept:
            seen = look().model_dump(mode="json")
            self.site.refuse_interrupted()  # what was seen may be the interruption
            told = events.CheckLooked(run=self.ctx.run, attempt=number, held_out=False, evidence=seen)
            return Kept(seen, tell=[told])

        return Evidence.model_validate(await self.ctx.step(name, keep))

    # -- deciding and delivering

    def _by_checks(self, evidence: Sequence[Evidence]) -> gate.Decision:
        """What follows from what checks saw, and from nothing else."""
        required = [CHANGE, PROTECTED, *(check.name for check in self.checks)]
        nothing = evidence[0].outcome != "passed"  # then that is the reason, and not that nobody looked further
        found = gate.decide(evidence, threshold=0, vetoes=VETOES, required=[CHANGE] if nothing else required)
        passed = sum(one.outcome == "passed" for one in evidence)
        return found.model_copy(update={"score": float(passed * 1000 // len(required)) / 10})

    async def _decide(
        self, made: Made, reviewed: Reviewed, kept: Mapping[str, Any], before: Sequence[Finding]
    ) -> gate.Decision:
        def decide() -> Kept:
            decision = reviewed.weighed(made.decision)
            decided = self.reviewer.decided(made, decision, whole=bool(reviewed.mends))
            evidence = [*made.evidence, *reviewed.evidence]
            learned = cascading.learned(self.ctx.run, made.number, KIND, kept, decision, before, evidence)
            looked = reviewed.looked(self.ctx.run, made.number)
            return Kept(decision.model_dump(mode="json"), tell=[*looked, decided, *learned])

        return gate.Decision.model_validate(await self.ctx.step("gate", decide))

    async def _deliver(self, made: Made, shown: bool) -> dict[str, Any]:
        verified_at = await self.ctx.now()
        branch = Branch(self.branch, made.left, made.worker, self.tries, made.evidence, shown, verified_at)

        def put() -> Kept:
            try:
                return self._send(branch)
            except (DeliveryError, HostError) as error:
                raise Parked(f"{error.message}: deliver again?", why=f"{error.code}: {error.hint}") from error

        kept: dict[str, Any] = await self.ctx.step("deliver", put)
        return kept

    def _send(self, branch: Branch) -> Kept:
        self.warden.may_deliver(self.site.number, Path(self.args.repository))
        manifest = self.ledger.put_blob(
            json.dumps(branch.manifest(self.checkouts), indent=2, ensure_ascii=False).encode()
        )
        commit = branch.put(self.checkouts, manifest)
        told = events.Delivered(
            run=self.ctx.run,
            output=f"{self.args.repository} (branch {branch.name}, commit {commit[:12]})",
            workspace=branch.left.workspace(self.args.commit),
            manifest=manifest,
        )
        return Kept({"commit": commit, "manifest": manifest}, tell=[told])

    async def _offer(self, offer: Offer, made: Made, shown: bool, delivered: Mapping[str, Any]) -> dict[str, Any]:
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
            worker=made.worker,
            attempts=self.tries,
            shown=shown,
            score=made.decision.score,
            manifest=delivered["manifest"],
        )
        offering = Offering(self.ctx, offer, office.settings, office.environment, self.warden, self.site.scratch)
        return await offering.go(Path(self.args.repository), self.branch, told)

    # -- small things


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


def _came_to_nothing(left: Left, claim: Claim) -> bool:
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
