"""How an attempt ended, what it cost, and what the ledger and memory hear of it. Nothing in here believes a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from daybreak.agents.cascade import WAITING
from daybreak.agents.protocol import Claim, Finding, Usage
from daybreak.checks.evidence import Evidence
from daybreak.checks.gate import Decision
from daybreak.events import AttemptClaimed, AttemptJudged, Event
from daybreak.factory.hearing import NOTHING_USED
from daybreak.memory import lessons

if TYPE_CHECKING:
    from daybreak.agents.gateway import Spent


@dataclass
class Result:
    """How an attempt ended, in its worker's own words, and what it cost as far as that is known."""

    claim: Claim
    usage: Usage = NOTHING_USED
    duration_ms: int = 0


def with_truth(result: Result, spent: Spent, *, walled: bool) -> Result:
    """The gateway has counted itself, and has seen why the provider refused; a worker may not know, or may not say.

    Its word goes before the worker's, but for a refusal. `walled`: the worker has no other way to a model, so that a
    quota or a wrong key that the gateway never saw is none."""
    claim, usage = result.claim, spent.usage
    if not walled:
        usage = _most(usage, result.usage)
    if claim.outcome in ("partial", "crashed") and claim.trouble != "refused":
        if spent.last:
            until = spent.until if spent.last in WAITING else ""
            claim = msgspec.structs.replace(claim, trouble=spent.last, until=until)
        elif walled and claim.trouble in ("quota", "authentication") and not spent.trouble:
            claim = msgspec.structs.replace(claim, trouble="crashed", until="")
    return Result(claim, usage, result.duration_ms)


def added(one: Usage, other: Usage) -> Usage:
    fields = msgspec.structs.asdict(other)
    return Usage(**{name: getattr(one, name) + value for name, value in fields.items()})


def _most(one: Usage, other: Usage) -> Usage:
    fields = msgspec.structs.asdict(other)
    return Usage(**{name: max(getattr(one, name), value) for name, value in fields.items()})


# -- what the ledger hears of it


def told(run: str, number: int, task: str, worker: str, result: Result, workspace: str) -> list[Event]:
    """The worker's word; and, where nothing will be looked at, that it came to nothing."""
    claim = result.claim
    said = AttemptClaimed(
        run=run,
        attempt=number,
        worker=worker,
        outcome=claim.outcome,
        summary=claim.summary,
        workspace=workspace,
        not_built=list(claim.not_built),
        trouble=claim.trouble or (claim.outcome if claim.outcome in ("refused", "crashed") else ""),
        until=claim.until,
        usage={name: value for name, value in msgspec.structs.asdict(result.usage).items() if value},
    )
    if workspace:
        return [said]
    nothing = AttemptJudged(
        run=run,
        attempt=number,
        worker=worker,
        task=task,
        solved=False,
        trouble=said.trouble,
        money_microusd=result.usage.money_microusd,
        duration_ms=result.duration_ms,
    )
    return [said, nothing]


def judged(run: str, number: int, task: str, attempt: Mapping[str, Any], decision: Decision) -> AttemptJudged:
    """What the gate thinks of it; `attempt` is what its step has kept."""
    return AttemptJudged(
        run=run,
        attempt=number,
        worker=attempt["worker"],
        task=task,
        solved=decision.verdict == "passed",
        score=decision.score,
        money_microusd=attempt["money_microusd"],
        duration_ms=attempt["duration_ms"],
    )


def learned(
    run: str,
    number: int,
    task: str,
    attempt: Mapping[str, Any],
    decision: Decision,
    before: Sequence[Finding],
    evidence: Sequence[Evidence],
) -> list[Event]:
    """What memory takes from a verdict: `judged`, what it says of the lessons that were shown, and new ones. `before`
    is what checks had found in the attempt before it."""
    verdict = judged(run, number, task, attempt, decision)
    shown = lessons.judged(attempt.get("lessons", ()), run, number, solved=verdict.solved)
    repair = attempt["claim"]["summary"]
    return [verdict, *shown, *lessons.distil(before, evidence, attempt["worker"], task, run, repair=repair)]
