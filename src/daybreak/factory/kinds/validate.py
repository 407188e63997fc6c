"""The kind `validate`: a project of any language is looked at, and mended until its gates pass or nobody gets further.

Each arrow of the way is a durable step: taking the files in, planning, every check, the gate; with `fix` the fixers,
each attempt, what it left, and the delivery. What is looked at are states in a repository of ours (`shadow`), so every
check and the delivery see the same bytes, also after a crash. Fixers go first, then workers by the cascade; the best
state is kept, and a test that passed may neither fail nor vanish. Nothing here believes a worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak import events
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.engine import Context, Kept, Parked
from daybreak.errors import CheckError
from daybreak.factory import dispatching, machine
from daybreak.factory.attempting import Attempts, MakeWorking
from daybreak.factory.cascading import Course
from daybreak.factory.kinds.repository import BRANCH
from daybreak.factory.lookjobs import Here, LookJobs
from daybreak.factory.office import Office
from daybreak.factory.phases.phase import IMPLEMENTER
from daybreak.factory.site import Site
from daybreak.factory.validate import handover, planning, shadow
from daybreak.factory.validate.examining import decided, examine
from daybreak.factory.validate.job import Job
from daybreak.factory.validate.looks import Looks
from daybreak.factory.validate.mending import Mender
from daybreak.factory.validate.planned import Plan
from daybreak.factory.validate.review import Reviewer
from daybreak.factory.validate.shadow import Shadow
from daybreak.factory.validate.state import State
from daybreak.factory.validate.task import KIND, ValidateArgs
from daybreak.factory.warden import Warden
from daybreak.ledger import Ledger

__all__ = ["KIND", "NotValid", "Validation", "blobs_of"]


class NotValid(CheckError):
    """The project's gate has not passed."""

    code = "C188"


@dataclass(frozen=True)
class Validation:
    """The task function of kind `validate`; one instance serves many runs."""

    ledger: Ledger
    places: Places
    clock: Clock
    office: Office
    attempts: MakeWorking = Attempts

    async def __call__(self, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
        return await _OneTask(self, ctx, ValidateArgs.model_validate(args)).go()


class _OneTask:
    """One run; all of its state comes back from the ledger after a crash."""

    def __init__(self, kind: Validation, ctx: Context, args: ValidateArgs) -> None:
        self.ctx, self.args = ctx, args
        warden = Warden(ctx.run, kind.ledger, kind.places, kind.clock)
        site = Site(ctx, (kind.places.workspaces / ctx.run).resolve(), warden)
        states = Shadow(site.folder / "shadow", kind.clock)
        needs = dispatching.needs(kind.office.settings, args.needs)
        looks = Looks(LookJobs(kind.office, ctx, site.cancelled, needs, Here(kind.office.here)))
        self.job = Job(ctx, args, kind.ledger, kind.clock, warden, site, states, looks)
        role = IMPLEMENTER if args.reviewers else ""  # then the attempts of reviewers are not the workers'
        course = Course(ctx, kind.office, args.workers, KIND, args.attempts, as_written=args.as_written, role=role)
        attempts = kind.attempts(ctx, kind.office, warden, site.cancelled, needs)
        reviewer = Reviewer.of(self.job, kind.office, attempts)
        self.mender = Mender(self.job, kind.office, course, attempts, reviewer)

    async def go(self) -> dict[str, Any]:
        result: dict[str, Any] = await self.job.site.occupied(self._go)
        return result

    async def _go(self) -> dict[str, Any]:
        job = self.job
        taken = await self.ctx.step("take", self._take)
        job.base, job.bundle = taken["commit"], taken["bundle"]
        job.plan = Plan.model_validate(await self.ctx.step("plan", self._make_plan))
        await self.ctx.enter("verifying")
        best = first = await examine(job, job.base, None)
        await decided(job, first)
        why = ""
        if self.args.fix:
            best = await self.mender.reviewed(await self.mender.with_fixers(first))
            if best.table.verdict != "passed":
                best, why = await self.mender.with_workers(best)
                best, why = await self.mender.agreed(best, first, why)
        delivered: dict[str, Any] = {}
        if best.commit != job.base:
            delivered = await handover.deliver(job, first, best, BRANCH.format(run=self.ctx.run))
        return self._over(first, best, delivered, why)

    def _over(self, first: State, best: State, delivered: dict[str, Any], why: str) -> dict[str, Any]:
        """The result. Raises NotValid where the gate did not pass."""
        table = best.table
        if table.verdict != "passed":
            kept = f" (it was {first.table.score:g}; what was mended is in {delivered['output']})" if delivered else ""
            raise NotValid(
                f"score {table.score:g} of {table.threshold:g}{kept}: {'; '.join(table.reasons)}"
                + (f" ({why})" if why else ""),
                hint=f"`daybreak report {self.ctx.run}` shows what each check saw"
                + ("" if self.args.fix else "; `daybreak validate --fix` mends what it can"),
            )
        return {
            "verdict": table.verdict,
            "score": table.score,
            "before": first.table.score,
            "languages": list(self.job.plan.languages),
            "attempts": self.job.tries,
            **delivered,
        }

    # -- taking in and planning

    def _take(self) -> Kept:
        """The files as they are now, or as they are in the commit."""
        job = self.job
        with job.site.scratch() as scratch:
            if not self.args.commit:
                folder = Path(self.args.folder)
                if not folder.is_dir():
                    raise Parked(f"{folder} is not there (any more): put it back, then resume", why="no folder")
                commit, bundle = job.states.take(folder, shadow.listed(folder, self.args.where))
            else:
                workspace = job.workspaces(scratch).from_git(self.args.root, self.args.commit, history=False)
                inside = workspace.path / self.args.prefix
                if not inside.is_dir():
                    raise shadow.ProjectUnclear(
                        f"{self.args.folder} is in no commit", hint="commit it, or take --patch FILE or --in-place"
                    )
                commit, bundle = job.states.take(inside, shadow.walked(inside, ()))
                workspace.discard("lost")
        job.site.refuse_interrupted()
        return Kept({"commit": commit, "bundle": job.ledger.put_blob(bundle)})

    def _make_plan(self) -> Kept:
        job = self.job
        job.need(job.base)
        paths = job.states.paths(job.base)
        plan = planning.make(job.states.files(job.base), paths, self.args.settings, self.args.around)
        notes = [*self.args.notes, *plan.notes]
        if self.args.settings_path:
            notes.append(f"looked at as {self.args.settings_path} says")
        plan = plan.model_copy(update={"notes": tuple(notes)})
        kept = plan.model_dump(mode="json")
        told = {
            **kept,
            "machine": {"sandbox_words": machine.measure(job.site.folder).sandbox_words},
            "steps": [
                {"name": f"check {one.name}", "weight_s": 20.0 if one.kind == "tests" else 3.0}
                for one in plan.checks
                if one.how != "beside"
            ],
        }
        return Kept(kept, tell=[events.PlanMade(run=self.ctx.run, plan=told)])


def blobs_of(event: events.Event) -> Iterator[str]:
    """The blobs that an event of such a run refers to, beside those that have the form of a repository's."""
    match event:
        case events.StepDone(name="take", result={"bundle": str() as bundle}):
            yield bundle
        case events.StepDone(name="fixers", result={"patch": str() as patch, "fixers": list()}) if patch:
            yield patch
        case events.StepDone(name=name, result={"guards": str() as guards}) if name.startswith("check ") and guards:
            yield guards
        case events.StepDone(name="deliver", result={"manifest": str() as manifest, "patch": str() as patch}):
            yield from (manifest, patch)
        case _:
            pass
