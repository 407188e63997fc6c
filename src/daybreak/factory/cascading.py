"""Who works on a run, attempt after attempt: the cascade of `agents`, fed from the ledger, as durable steps.

Every choice stands in the ledger with its reason and with whoever was passed over. Where nobody can be asked before
some moment, the run waits for it and takes no worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from daybreak import events
from daybreak.agents import cascade
from daybreak.agents.cascade import Cascade, Choice, Ended, Left, Outcome, Rule
from daybreak.agents.found import Found
from daybreak.agents.protocol import Claim, Finding
from daybreak.checks.evidence import Evidence
from daybreak.checks.gate import Decision
from daybreak.clock import stamp
from daybreak.engine import Context, Kept
from daybreak.errors import DaybreakError, WorkerError
from daybreak.factory import attempted
from daybreak.factory.office import Office
from daybreak.memory import lessons, outcomes
from daybreak.settings import BUILDER

LOOK_AGAIN_S = cascade.WAIT_S_MAX
"""No wait is longer; then everybody is looked at again: whoever was missing may have been installed meanwhile."""
_NO_ATTEMPTS = cascade.WAITING | {"refused", "authentication", "unavailable"}
"""Whoever did not even begin has used up no attempt of the task's."""


class NobodyLeft(WorkerError):
    """Everybody in the order was asked, or cannot be."""

    code = "W190"


def nothing_refused() -> str:
    return ""


@dataclass
class Course:
    """Of one run. `order` are names of workers; `task` is what memory calls this kind of task."""

    ctx: Context
    office: Office
    order: tuple[str, ...]
    task: str
    attempts_max: int
    rule: Rule = field(default_factory=Rule)
    refuses: Callable[[], str] = nothing_refused
    """Why the embedded builder cannot do this; empty where it can. Asked for where somebody else can be asked."""
    as_written: bool = False
    """`order` stays as it is, whatever is known of outcomes."""
    phase: str = ""
    role: str = ""
    """Of a phase: attempts in other roles are not this course's."""
    waited_s: float = 0.0
    """How long nobody could be asked; the same after a crash."""
    _numbers: set[int] = field(default_factory=set)
    """Of the attempts that were asked for here."""
    _routed: tuple[str, ...] = ()
    """The order that the first choice was made from; it stays for the run."""

    async def next(self, number: int) -> str:
        """The worker of attempt `number`, after waiting where nobody can be asked yet. Raises NobodyLeft."""
        since: datetime | None = None
        self._numbers.add(number)
        while True:
            chosen: dict[str, Any] = await self.ctx.step("choose", self._choose, number)
            self._routed = tuple(chosen["order"])
            at = datetime.fromisoformat(chosen["at"])
            self.waited_s += 0.0 if since is None else max((at - since).total_seconds(), 0.0)
            since = at
            if chosen["worker"]:
                return str(chosen["worker"])
            if not chosen["until"]:
                raise NobodyLeft(chosen["why"], hint=_hint(chosen["passed_over"]))
            left_s = (datetime.fromisoformat(chosen["until"]) - await self.ctx.now()).total_seconds()
            await self.ctx.sleep(min(max(left_s, 0.0), LOOK_AGAIN_S))

    def _choose(self, number: int) -> Kept:
        now = self.office.clock.now()
        records = self.ctx.records()
        told = cascade.outcomes(records, self._numbers if self.role else None)
        found = {name: self._find(name) for name in self.order}
        order, reasons, tell = self._ordered()
        answer = Cascade(
            order=order,
            found=found,
            now=now,
            outcomes=told,
            held=self.office.held([name for name in self.order if not found[name].missing], now),
            refuses=self._refused(),
            left=self._left(told, [one.event for one in records]),  # money and tokens: of all attempts
            reasons=reasons,
            rule=self.rule,
        ).next()
        passed_over = dict(answer.passed_over)
        kept: dict[str, Any] = {"order": list(order), "why": answer.why, "passed_over": passed_over, "at": stamp(now)}
        if isinstance(answer, Choice):
            return Kept({**kept, "worker": answer.worker, "until": ""}, tell=[*tell, self._began(number, answer)])
        if answer.until is None:
            return Kept({**kept, "worker": "", "until": ""}, tell=tell)
        return Kept({**kept, "worker": "", "until": stamp(answer.until)}, tell=[*tell, self._awaited(number, answer)])

    def _find(self, name: str) -> Found:
        """A worker that the configuration does not know (any more) is one that is not there: others may be."""
        try:
            return self.office.find(name)[1]
        except DaybreakError as error:
            return Found(missing=error.message)

    def _refused(self) -> dict[str, str]:
        """Known before it is asked; where it is asked alone, its own words say more."""
        workers = self.office.settings.workers
        embedded = {BUILDER, *(name for name, worker in workers.items() if worker.kind == BUILDER)}
        builders = [name for name in self.order if name in embedded]
        if not builders or len(self.order) == len(builders) or not (why := self.refuses()):
            return {}
        return dict.fromkeys(builders, why)

    def _ordered(self) -> tuple[tuple[str, ...], Mapping[str, str], list[events.Event]]:
        if self._routed or self.as_written:
            return self._routed or self.order, {}, []
        return self.office.ordered(self.ctx.run, self.order, self.task)

    def _left(self, told: Sequence[Outcome], happened: Sequence[events.Event]) -> Left:
        """What workers say that they have spent past the gateway counts too, at their word: nobody else knows."""
        attempts = sum(one.trouble not in _NO_ATTEMPTS for one in told)
        money, tokens = self.office.left(self.ctx.account)
        claims = [one for one in happened if isinstance(one, events.AttemptClaimed) and self._past_gateway(one.worker)]
        spent = sum(one.usage.get("money_microusd", 0) for one in claims)
        used = sum(one.usage.get(name, 0) for one in claims for name in ("input_tokens", "output_tokens"))
        return Left(
            money_microusd=None if money is None else money - spent,
            tokens=None if tokens is None else tokens - used,
            attempts=self.attempts_max - attempts,
        )

    def _past_gateway(self, name: str) -> bool:
        worker = self.office.settings.workers.get(name)
        return worker is not None and not worker.provider

    def _began(self, number: int, choice: Choice) -> events.AttemptBegan:
        return events.AttemptBegan(
            run=self.ctx.run,
            attempt=number,
            worker=choice.worker,
            why=choice.why,
            passed_over=dict(choice.passed_over),
            budget=choice.budget,
            phase=self.phase,
            role=self.role,
        )

    def _awaited(self, number: int, ended: Ended) -> events.AttemptAwaited:
        until = "" if ended.until is None else stamp(ended.until)
        return events.AttemptAwaited(
            run=self.ctx.run, attempt=number, why=ended.why, until=until, passed_over=dict(ended.passed_over)
        )


def _hint(passed_over: Mapping[str, str]) -> str:
    told = "; ".join(f"{name}: {why}" for name, why in passed_over.items())
    return f"{told}. `daybreak agents list` says who can be asked here" if told else "name a worker in daybreak.toml"


# -- what memory hears of an attempt; `attempt` is what its step has kept


def learned(
    run: str,
    number: int,
    task: str,
    attempt: Mapping[str, Any],
    decision: Decision,
    before: Sequence[Finding],
    evidence: Sequence[Evidence],
) -> list[events.Event]:
    """As `attempted.learned`, with the trouble of a worker that gave up and left something that is not right: it is
    not asked to go on with it, and what was the provider's fault speaks against nobody and nothing."""
    told = attempted.learned(run, number, task, attempt, decision, before, evidence)
    trouble = _trouble(attempt)
    if decision.verdict == "passed" or not trouble:
        return told
    heard = outcomes.is_evidence(False, trouble)
    return [
        msgspec.structs.replace(one, trouble=trouble) if isinstance(one, events.AttemptJudged) else one
        for one in told
        if heard or not isinstance(one, events.LessonJudged)
    ]


def unjudged(run: str, number: int, attempt: Mapping[str, Any]) -> list[events.Event]:
    """What an attempt that came to nothing says of the lessons that it was shown; nothing for one that will be
    looked at."""
    if attempt["workspace"]:
        return []
    return lessons.judged(attempt["lessons"], run, number, solved=False, trouble=_trouble(attempt))


def _trouble(attempt: Mapping[str, Any]) -> str:
    claim = msgspec.convert(attempt["claim"], Claim)
    return claim.trouble or (claim.outcome if claim.outcome in ("refused", "crashed") else "")
