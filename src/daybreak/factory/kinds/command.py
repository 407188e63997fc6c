"""The kind `command`: commands in steps, and checks that decide whether the task is done.

Every step is durable, and tried again as its task says; its command gets a stable key (DAYBREAK_STEP_KEY) to hand to
whatever it calls. An exit status is a claim: only when every check has looked and passed is the task done. A task
without checks ends as `not verified`, and was asked for in so many words.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel, ConfigDict

from daybreak import events
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.engine import Absent, Context, Found, Kept, Parked, step_key
from daybreak.errors import CheckError, UsageError
from daybreak.factory.command import checks as commandchecks
from daybreak.factory.command.run import CommandUnexpected, Order, Outcome, Runner, classify, in_thread
from daybreak.factory.command.task import Check, CommandTask, Step
from daybreak.factory.warden import Warden
from daybreak.host import removal
from daybreak.host.sandbox import Sandbox, SandboxRefused
from daybreak.ledger import Ledger
from daybreak.policy.budget import Amounts
from daybreak.policy.retry import Retry

KIND = "command"
LOOKUP_ABSENT = 1
_BLOB = re.compile(r"\bblob ([0-9a-f]{64})\b")


class CommandArgs(BaseModel):
    """What was asked for, as kept in the ledger. `folder` and what is granted are absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    task: CommandTask
    folder: str


class NotDone(CheckError):
    """The steps have ended, and a check has seen that the task is not done."""

    code = "C161"


class FolderUnusable(UsageError):
    """No command can be given that folder."""

    code = "U180"


def arguments(task: CommandTask, folder: Path) -> dict[str, Any]:
    """The task's arguments for `Engine.submit`. `folder` is real and absolute; paths that are granted are made so.

    Raises FolderUnusable for what no sandbox may grant: `/`, `/etc` and their like."""
    grant = task.grant.model_copy(
        update={
            act: tuple(os.path.realpath(folder / path) for path in getattr(task.grant, act))
            for act in ("write", "read")
        }
    )
    if task.sandbox != "none":
        _refuse_ungrantable([folder, *map(Path, grant.write)], [*map(Path, grant.read)])
    args = CommandArgs(task=task.model_copy(update={"grant": grant}), folder=str(folder))
    kept: dict[str, Any] = args.model_dump(mode="json", exclude_unset=True)
    kept["task"]["grant"] = grant.model_dump(mode="json", exclude_defaults=True)
    return kept


def _refuse_ungrantable(writable: list[Path], readable: list[Path]) -> None:
    try:
        Sandbox(writable=tuple(writable), readable=tuple(readable))
    except SandboxRefused as error:
        raise FolderUnusable(error.message, hint=error.hint) from error


@dataclass(frozen=True)
class Command:
    """The task function of kind `command`; one instance serves many runs. `environment` is where secrets come from."""

    ledger: Ledger
    places: Places
    clock: Clock
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    async def __call__(self, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
        return await _OneCommand(self, ctx, CommandArgs.model_validate(args)).go()


class _OneCommand:
    """One run of a command task; all of its state comes back from the ledger after a crash."""

    def __init__(self, kind: Command, ctx: Context, args: CommandArgs) -> None:
        self.ctx, self.task = ctx, args.task
        self.runner = Runner(
            ctx.run,
            args.task,
            Path(args.folder),
            kind.ledger,
            kind.places,
            Warden(ctx.run, kind.ledger, kind.places, kind.clock),
            kind.environment,
        )

    async def go(self) -> dict[str, Any]:
        """Do it, with commands ended at once when the run is stopped: their threads cannot be."""
        failure: Exception | None = None
        result: dict[str, Any] = {}
        async with anyio.create_task_group() as group:
            group.start_soon(_tell_when_cancelled, self.runner.cancelled)
            try:
                result = await self._go()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
                failure = error
            group.cancel_scope.cancel("the task is over")
        removal.remove(self.runner.scratch)  # also what an owner that was killed left behind
        if failure is not None:
            raise failure
        return result

    async def _go(self) -> dict[str, Any]:
        if not _is_real(self.runner.folder):
            raise Parked(
                f"the task's folder {self.runner.folder} is not there (any more): put it back, then resume",
                why="it was there when the task was added",
            )
        for number, (name, step) in enumerate(self.task.steps, 1):
            await self._step(number, name, step)
        if self.task.unchecked:
            return {"verdict": "not verified", "folder": str(self.runner.folder)}
        return await self._verified()

    # -- steps

    async def _step(self, number: int, name: str, step: Step) -> None:
        async def run(_: dict[str, Any]) -> dict[str, Any]:
            return await in_thread(partial(self._run, number, name, step, step_key()))

        async def look(key: str) -> Found | Absent | str:
            return await in_thread(partial(self._look_up, number, name, step, key))

        await self.ctx.step(
            name,
            run,
            step.model_dump(mode="json", exclude_unset=True),
            effect=step.effect,
            lookup=None if step.lookup is None else look,  # type: ignore[arg-type]
            retry=self._retry(step),
            breaker=step.breaker or self.task.breaker or "",
            cost=None if step.cost is None else Amounts.parse(step.cost),
        )

    def _retry(self, step: Step) -> Retry:
        """Without a rule a step is tried once, and outages are still waited out."""
        table = step.retry or self.task.retry
        return replace(Retry(attempts=1) if table is None else table.rule(), classify=classify)

    def _order(self, number: int, what: str, step: Step, key: str) -> Order:
        return Order(
            what, number, step.run, step.cwd, step.env, step.limit, key, step.cost is not None, step.effect == "once"
        )

    def _run(self, number: int, name: str, step: Step, key: str) -> dict[str, Any]:
        order = self._order(number, _titled(name), step, key)
        ended = self.runner.outcome(order)
        if ended.exit not in step.expect.exit:
            raise self.runner.failed(order, ended)
        self._refuse_the_unexpected(order, step, ended)
        return self.runner.keep(ended)

    def _look_up(self, number: int, name: str, step: Step, key: str) -> Found | Absent | str:
        """Status 0: it happened, 1: certainly not; in words where the lookup cannot tell."""
        assert step.lookup is not None
        order = replace(
            self._order(number, f"lookup of {_titled(name)}", step, key), command=step.lookup, priced=False, once=False
        )
        ended = self.runner.outcome(order)
        if ended.exit == 0:
            return Found({**self.runner.keep(ended), "looked_up": True})
        if ended.exit == LOOKUP_ABSENT:
            return Absent()
        return f"exit status {ended.exit}: {' '.join(ended.errors.split())[-200:]}"

    def _refuse_the_unexpected(self, order: Order, step: Step, ended: Outcome) -> None:
        if why := commandchecks.missing(step.expect, ended, self.runner.folder):
            unexpected: CommandUnexpected = self.runner.unexpected(order, why, ended)
            raise unexpected

    # -- checks

    async def _verified(self) -> dict[str, Any]:
        await self.ctx.enter("verifying")
        first = len(self.task.step) + 1
        evidence = [
            await self._check(number, name, check) for number, (name, check) in enumerate(self.task.checks, first)
        ]
        decision = gate.Decision.model_validate(await self.ctx.step("gate", partial(self._decide, evidence)))
        if decision.verdict != "passed":
            raise NotDone(
                "not done: " + "; ".join(decision.reasons),
                hint=f"`daybreak report {self.ctx.run}` shows what each check saw",
            )
        return {
            "verdict": decision.verdict,
            "folder": str(self.runner.folder),
            "checks": [{"check": one.check, "summary": one.summary} for one in evidence],
        }

    async def _check(self, number: int, name: str, check: Check) -> Evidence:
        async def keep() -> Kept:
            looked = await in_thread(partial(commandchecks.look, name, number, check, self.runner))
            seen = looked.model_dump(mode="json")
            told = events.CheckLooked(run=self.ctx.run, attempt=1, held_out=False, evidence=seen)
            return Kept(seen, tell=[told])

        return Evidence.model_validate(await self.ctx.step(f"{commandchecks.PREFIX}{name}", keep))

    def _decide(self, evidence: Sequence[Evidence]) -> Kept:
        """Every check must pass; the score is the share of them that did."""
        required = [f"{commandchecks.PREFIX}{name}" for name, _ in self.task.checks]
        found = gate.decide(evidence, threshold=0, vetoes={"check"}, required=required)
        passed = sum(one.outcome == "passed" for one in evidence)
        decision = found.model_copy(update={"score": float(passed * 1000 // len(required)) / 10})
        told = events.GateDecided(
            run=self.ctx.run,
            attempt=1,
            workspace="",
            verdict=decision.verdict,
            score=decision.score,
            reasons=list(decision.reasons),
        )
        return Kept(decision.model_dump(mode="json"), tell=[told])


def blobs_of(event: events.Event) -> Iterator[str]:
    """The blobs that an event of such a run refers to: outputs that were too long for a result or a message."""
    match event:
        case events.StepDone(result=dict() as result):
            yield from (result[name] for name in ("output_blob", "errors_blob") if isinstance(result.get(name), str))
        case events.StepFailed(message=said) | events.StepTried(what=said):
            yield from _BLOB.findall(said)
        case _:
            pass


def _titled(name: str) -> str:
    return name if name.startswith("step ") else f"step {name}"


def _is_real(folder: Path) -> bool:
    """A folder, and no link on the way: somebody could have turned it elsewhere since the task was added."""
    return folder.is_dir() and os.path.realpath(folder) == str(folder)


async def _tell_when_cancelled(cancelled: threading.Event) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        cancelled.set()
