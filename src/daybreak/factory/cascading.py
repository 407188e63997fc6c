"""Who works on a run, attempt after attempt: the cascade of `agents`, fed from the ledger, as durable steps.

Every choice stands in the ledger with its reason and with whoever was passed over. Where nobody can be asked before
some moment, the run waits for it and takes no worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from daybreak import events
from daybreak.agents import cascade
from daybreak.agents.cascade import Cascade, Choice, Ended, Left, Outcome, Rule
from daybreak.clock import stamp
from daybreak.engine import Context, Kept
from daybreak.errors import WorkerError
from daybreak.factory.attempting import Office

_NO_ATTEMPTS = cascade.WAITING | {"refused", "authentication", "unavailable"}
"""Whoever did not even begin has used up no attempt of the task's."""


class NobodyLeft(WorkerError):
    """Everybody in the order was asked, or cannot be."""

    code = "W190"


@dataclass
class Course:
    """Of one run. `order` are names of workers; `task` is what memory calls this kind of task."""

    ctx: Context
    office: Office
    order: tuple[str, ...]
    task: str
    attempts_max: int
    rule: Rule = field(default_factory=Rule)
    _routed: tuple[str, ...] = ()
    """The order that the first choice was made from; it stays for the run."""

    async def next(self, number: int) -> str:
        """The worker of attempt `number`, after waiting where nobody can be asked yet. Raises NobodyLeft."""
        while True:
            chosen: dict[str, Any] = await self.ctx.step("choose", self._choose, number)
            self._routed = tuple(chosen["order"])
            if chosen["worker"]:
                return str(chosen["worker"])
            if not chosen["until"]:
                raise NobodyLeft(chosen["why"], hint=_hint(chosen["passed_over"]))
            left_s = (datetime.fromisoformat(chosen["until"]) - await self.ctx.now()).total_seconds()
            await self.ctx.sleep(max(left_s, 0.0))

    def _choose(self, number: int) -> Kept:
        now = self.office.clock.now()
        told = cascade.outcomes(self.ctx.records())
        found = {name: self.office.find(name)[1] for name in self.order}
        order, reasons, tell = self._ordered()
        answer = Cascade(
            order=order,
            found=found,
            now=now,
            outcomes=told,
            held=self.office.held(self.order, now),
            left=self._left(told),
            reasons=reasons,
            rule=self.rule,
        ).next()
        kept: dict[str, Any] = {"order": list(order), "why": answer.why, "passed_over": dict(answer.passed_over)}
        if isinstance(answer, Ended):
            until = "" if answer.until is None else stamp(answer.until)
            return Kept({**kept, "worker": "", "until": until}, tell=tell)
        return Kept({**kept, "worker": answer.worker, "until": ""}, tell=[*tell, self._began(number, answer)])

    def _ordered(self) -> tuple[tuple[str, ...], Mapping[str, str], list[events.Event]]:
        if self._routed:
            return self._routed, {}, []
        return self.office.ordered(self.ctx.run, self.order, self.task)

    def _left(self, told: Sequence[Outcome]) -> Left:
        attempts = sum(one.trouble not in _NO_ATTEMPTS for one in told)
        money, tokens = self.office.left(self.ctx.account)
        return Left(money_microusd=money, tokens=tokens, attempts=self.attempts_max - attempts)

    def _began(self, number: int, choice: Choice) -> events.AttemptBegan:
        return events.AttemptBegan(
            run=self.ctx.run,
            attempt=number,
            worker=choice.worker,
            why=choice.why,
            passed_over=dict(choice.passed_over),
            budget=choice.budget,
        )


def _hint(passed_over: Mapping[str, str]) -> str:
    told = "; ".join(f"{name}: {why}" for name, why in passed_over.items())
    return f"{told}. `daybreak agents list` says who can be asked here" if told else "name a worker in daybreak.toml"
