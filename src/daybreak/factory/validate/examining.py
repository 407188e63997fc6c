"""Looking at a state with every check that was planned, each a step that is kept, and the gate over what they saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from daybreak import events
from daybreak.agents.protocol import Finding
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence, Mark
from daybreak.engine import Kept
from daybreak.factory import cascading
from daybreak.factory.phases.vetoing import Reviewed
from daybreak.factory.validate import protecting
from daybreak.factory.validate.guards import Guards, Looked
from daybreak.factory.validate.job import Job
from daybreak.factory.validate.looking import Subject
from daybreak.factory.validate.planned import Planned
from daybreak.factory.validate.state import State
from daybreak.factory.validate.table import PROTECTED, decide
from daybreak.factory.validate.task import KIND

VIOLATIONS_MAX = 50
NOBODY = Reviewed()


async def examine(job: Job, commit: str, before: State | None, made: str = "") -> State:
    """Every check on a state, and the gate. `made`: the commit that a worker has made of `before`; then what is
    protected is looked at first, and nothing else where that was changed."""
    evidence: list[Evidence] = []
    guards: dict[str, Guards] = {}
    if made and before is not None:
        look = partial(_guarded, job, before.commit, made, commit)
        [seen] = (await _step(job, f"check {PROTECTED}", look))[0]
        evidence.append(seen)
    if all(one.outcome == "passed" for one in evidence):
        for check in job.plan.checks:
            if check.how == "beside":
                continue
            found, guard = await _step(job, f"check {check.name}", partial(_checked, job, check, commit, before, made))
            evidence += found
            guards[check.name] = guard
    table = decide(job.plan, evidence, job.args.settings.threshold)
    return State(commit, table, tuple(evidence), guards)


async def decided(
    job: Job,
    state: State,
    kept: dict[str, Any] | None = None,
    before: Sequence[Finding] = (),
    *,
    reviewed: Reviewed = NOBODY,
    number: int | None = None,
) -> None:
    """Write the verdict down, with the table that it is made of. `kept`: the attempt that made the state, if one did,
    `number` its number, and `before` what its worker had been told."""
    table, number = state.table, job.site.number if number is None else number

    def keep() -> Kept:
        job.need(state.commit)
        told = events.GateDecided(
            run=job.ctx.run,
            attempt=number,
            workspace=job.tree(state.commit),
            verdict=table.verdict,
            score=table.score,
            reasons=list(table.reasons),
            threshold=table.threshold,
            table=[row.model_dump(mode="json") for row in table.shares()],
        )
        learned: list[events.Event] = []
        if kept is not None:
            decision = gate.Decision(verdict=table.verdict, score=table.score, reasons=table.reasons)
            learned = cascading.learned(job.ctx.run, number, KIND, kept, decision, before, state.evidence)
        looked = reviewed.looked(job.ctx.run, number)
        return Kept(table.model_dump(mode="json"), tell=[*looked, told, *learned])

    await job.ctx.step("gate", keep)


async def _step(job: Job, name: str, look: Callable[[], Looked]) -> tuple[list[Evidence], Guards]:
    number, planned = job.site.number, {PROTECTED, *(one.name for one in job.plan.checks)}

    def keep() -> Kept:
        looked = look()
        job.site.refuse_interrupted()  # what was seen may be the interruption
        wanted = [one for one in looked.evidence if one.check in planned]
        seen = [one.model_dump(mode="json") for one in wanted]
        told = [events.CheckLooked(run=job.ctx.run, attempt=number, held_out=False, evidence=one) for one in seen]
        guards = job.ledger.put_blob(looked.guards.model_dump_json().encode()) if looked.guards.count else ""
        return Kept({"evidence": seen, "guards": guards}, tell=told)

    kept = await job.ctx.step(name, keep)
    guards = Guards()
    if kept["guards"]:
        guards = Guards.model_validate_json(job.ledger.get_blob(kept["guards"]))
    return [Evidence.model_validate(one) for one in kept["evidence"]], guards


def _checked(job: Job, check: Planned, commit: str, before: State | None, made: str) -> Looked:
    job.need(commit)
    subject = Subject(
        workspace=job.tree(commit),
        code=tuple(job.code(commit)),
        complexity_max=job.args.settings.complexity_max,
        before=before.guards.get(check.name) if before is not None else None,
        free=_free(job, commit) if made else (),
        weigh=bool(made),
        measure=any(one.kind == "coverage" and one.language == check.language for one in job.plan.checks),
    )
    with job.site.scratch() as scratch:
        return job.looks.look(check, job.room(commit, scratch / "check"), subject)


def _free(job: Job, commit: str) -> tuple[str, ...]:
    """Tests that the user lets a worker change."""
    guard = job.guard(commit)
    return tuple(path for path in job.states.paths(commit) if guard.allows(path) and not guard.holds(path))


def _guarded(job: Job, before: str, made: str, commit: str) -> Looked:
    """Has a worker, who made `made` of `before`, changed what is protected?"""
    for one in (before, made, commit):
        job.need(one)
    files, changes = job.states.paths(before), job.states.changes(before, made)
    wrong = protecting.violations(job.guard(before), changes, files, job.states.content)
    shown = "; ".join(one.why for one in wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    seen = Evidence(
        check=PROTECTED,
        workspace=job.tree(commit),
        outcome="failed" if wrong else "passed",
        summary=shown[:1000] or "nothing that is protected was changed",
        counts={"findings": len(wrong)},
        marks=tuple(Mark(message=one.why, place=one.place) for one in wrong[:VIOLATIONS_MAX]),
    )
    return Looked((seen,))
