"""Making a project better: fixers first, then workers by the cascade; the best state is kept.

Nothing here believes a worker: what it left is a state like any other, and looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from daybreak.agents.protocol import Brief, Finding
from daybreak.engine import Kept
from daybreak.errors import HostError
from daybreak.factory import attempted, cascading, recall
from daybreak.factory.cascading import Course, NobodyLeft
from daybreak.factory.office import Office
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.validate.examining import decided, examine
from daybreak.factory.validate.job import Job
from daybreak.factory.validate.review import FIXERS, Reviewer
from daybreak.factory.validate.state import State
from daybreak.factory.validate.table import progressed
from daybreak.factory.validate.task import KIND
from daybreak.host.workspaces import Workspace

if TYPE_CHECKING:
    from daybreak.factory.attempting import Working

STALLED_LEAST = 2
"""So many rounds in a row without progress are a verdict, and one for each worker that could be asked."""
SUMMARY = (
    "This project exists and works in part. Checks have looked at it; the findings say what is wrong. Mend "
    "the code so that they find nothing, without changing what it does otherwise."
)
CONSTRAINTS = (
    "Change the files in the working folder; nothing else is looked at.",
    "Commands run without a network.",
    "No test that passes now may fail, be skipped or go.",
    "Comments that silence a check (noqa, type: ignore, eslint-disable and their like) are counted, and "
    "there may be none that were not there.",
)


@dataclass
class Mender:
    """Of one run."""

    job: Job
    office: Office
    course: Course
    attempts: Working
    reviewer: Reviewer
    clean: State | None = None
    """The best that nobody has objected to."""

    # -- fixers

    async def with_fixers(self, first: State) -> State:
        """The best that fixers alone make of it: all together, or those of them that do no harm."""
        names = self.job.plan.fixers
        if not names:
            return first
        found = await self._fixed(first, names)
        if found is None or found.better_than(first):
            return found or first
        best = first
        for name in names if len(names) > 1 else ():
            found = await self._fixed(best, (name,))
            if found is not None and found.better_than(best):
                best = found
        return best

    async def _fixed(self, before: State, names: Sequence[str]) -> State | None:
        """What these fixers make of a state, looked at; None where they change nothing."""
        commit = await self._run_fixers(before.commit, names)
        if commit == before.commit:
            return None
        state = await examine(self.job, commit, before)
        await decided(self.job, state)
        return state

    async def _run_fixers(self, commit: str, names: Sequence[str]) -> str:
        kept = await self.job.ctx.step("fixers", partial(self._run_fixers_now, commit, tuple(names)))
        self.job.came(kept["commit"], commit, kept["patch"])
        return str(kept["commit"])

    def _run_fixers_now(self, commit: str, names: tuple[str, ...]) -> Kept:
        job = self.job
        job.need(commit)
        with job.site.scratch() as scratch:
            workspace = job.states.workspace(commit)
            try:
                python = [path for path in job.code(commit) if path.endswith((".py", ".pyi"))]
                said = job.looks.fix(names, job.plan, job.room(commit, scratch / "fixers"), workspace.path, python)
                job.site.refuse_interrupted()
                made = repositorygit.made(workspace)
            finally:
                workspace.discard("lost")
        after = job.states.advance(commit, made.patch)
        patch = job.ledger.put_blob(made.patch) if made.patch else ""
        return Kept({"commit": after, "patch": patch, "fixers": list(names), "said": said})

    async def reviewed(self, state: State) -> State:
        """The same where it is not passed, or nobody objects to what fixers alone have made."""
        found, reviewed = await self.reviewer.of_state(state, 0, FIXERS)
        self.clean = None if found.objected else found
        if reviewed.mends:
            await decided(self.job, found, reviewed=reviewed, number=0)
        return found

    async def agreed(self, best: State, first: State, why: str) -> tuple[State, str]:
        """What may be handed over, and why nothing better. Where reviewers object to the best: it, if a person takes it
        all the same; otherwise the best that nobody has objected to, which does not pass."""
        if not best.objected:
            return best, why
        if (taken := await self.reviewer.overruled()) is not None:
            return taken, ""
        told = "; ".join(best.table.reasons)
        return self.clean or first, f"what passed every check was objected to: {told}" + (f"; {why}" if why else "")

    # -- workers

    async def with_workers(self, best: State) -> tuple[State, str]:
        """The best that workers make of it, and why nobody went further; nothing where the gate passed."""
        job = self.job
        if not job.args.workers:
            return best, "nobody is named who could mend the rest" if job.args.attempts else ""
        await job.ctx.enter("running")
        stalled, rejected = 0, list[Finding]()
        while best.table.verdict != "passed":
            if stalled >= max(STALLED_LEAST, len(job.args.workers)):
                return best, f"no progress in {stalled} attempts"
            number = await job.site.next_number()
            try:
                worker = await self.course.next(number)
            except NobodyLeft as nobody:
                job.site.number -= 1
                return best, nobody.message
            job.tries += 1
            findings = best.findings(rejected)
            kept = await job.ctx.step("attempt", partial(self._attempt, best.commit, worker, findings))
            if not kept["workspace"]:
                stalled += 1
                rejected = [Finding(check="worker", message=f"the attempt before changed nothing: {kept['why']}")]
                continue
            made = kept["made"]
            job.came(made, best.commit, kept["left"]["patch"])
            commit = await self._run_fixers(made, job.plan.fixers) if job.plan.fixers else made
            await job.ctx.enter("verifying")
            found = await examine(job, commit, best, made)
            found, reviewed = await self.reviewer.of_state(found, number, worker)
            await decided(job, found.judged(), kept, findings, reviewed=reviewed, number=number)
            went_on = found.acceptable and (
                (found.passes_checks and not best.passes_checks) or progressed(best.table, found.table, job.tries)
            )
            stalled = 0 if went_on else stalled + 1
            if not found.objected and (self.clean is None or found.better_than(self.clean)):
                self.clean = found if found.acceptable else self.clean
            rejected = found.rejected()
            if found.better_than(best):
                best, rejected = found, []
            await job.ctx.enter("running")
        return best, ""

    def _attempt(self, commit: str, worker: str, found: Sequence[Finding]) -> Kept:
        job, number = self.job, self.job.site.number
        job.need(commit)
        title = f"Repair {job.name}"
        learned = self.office.lessons("\n".join([title, *(one.message for one in found)]), KIND)
        with job.site.scratch() as scratch:
            workspace = job.workspaces(scratch).from_git(job.states.repository, commit, history=False)
            repositorygit.give_own_history(workspace)
            brief = self._brief(title, found, commit, tuple(one.text for one in learned))
            result = self.attempts.work(
                number, worker, brief, workspace.path, scratch, time_s=job.args.time_s, require=job.args.sandbox
            )
            job.site.refuse_interrupted()
            patch, problem = _taken(workspace)
            workspace.discard("lost")
        made = job.states.advance(commit, patch) if patch else commit
        changed = made != commit
        why = problem or f"{result.claim.outcome}: {result.claim.summary}"
        name = job.tree(made) if changed else ""
        kept = {
            "worker": worker,
            "workspace": name,
            "made": made,
            "left": {"patch": job.ledger.put_blob(patch) if changed else ""},
            "why": why[:1000],
            "claim": msgspec.to_builtins(result.claim),
            "money_microusd": result.usage.money_microusd,
            "duration_ms": result.duration_ms,
            "lessons": [one.lesson for one in learned],
        }
        told = attempted.told(job.ctx.run, number, KIND, worker, result, name)
        return Kept(kept, tell=[*told, *cascading.unjudged(job.ctx.run, number, kept)])

    def _brief(self, title: str, found: Sequence[Finding], commit: str, lessons: tuple[str, ...]) -> Brief:
        job = self.job
        checks = [one for one in job.plan.checks if not one.missing and one.how != "beside"]
        return Brief(
            name=job.name,
            title=title,
            summary=SUMMARY,
            constraints=CONSTRAINTS,
            checks=tuple(f"{one.kind}: {one.command}" for one in checks),
            protected=job.guard(commit).shown,
            attempt=job.site.number,
            findings=tuple(found),
            lessons=lessons,
            recall=recall.pack(job.ctx.records(), role=self.course.role),
        )


def _taken(workspace: Workspace) -> tuple[bytes, str]:
    """What the worker left as a patch; what git cannot read is no result."""
    try:
        return repositorygit.made(workspace).patch, ""
    except HostError as error:
        return b"", f"{error.message} ({error.hint})"
