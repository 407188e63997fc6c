"""One attempt by one worker: its sandbox, its way to a model, what it tells while it works, and its claim.

What every kind of task that asks workers has in common. Nothing in here believes a worker.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from daybreak import errors
from daybreak.agents import found as finding
from daybreak.agents.cascade import WAITING
from daybreak.agents.gateway.keys import KeyAbsent
from daybreak.agents.protocol import Brief, Claim, Finding, Gateway, Order, Terms, Usage
from daybreak.checks.evidence import Evidence
from daybreak.checks.gate import Decision
from daybreak.clock import Clock
from daybreak.engine import Context
from daybreak.engine.dispatch import AnswerFalse, Job, JobFailed, JobLost, JobTooLarge, Key, Needs, NodeRefused
from daybreak.engine.flow import Paused
from daybreak.errors import WorkerError
from daybreak.events import AttemptClaimed, AttemptJudged, AttemptTurn, Event
from daybreak.factory import dispatching, lending
from daybreak.factory.hearing import NOTHING_USED, Heard, cut
from daybreak.factory.office import Office
from daybreak.factory.warden import Warden
from daybreak.host import process, tree
from daybreak.host.sandbox import Strength
from daybreak.memory import lessons
from daybreak.settings import BUILDER, SettingsWrong, Worker

if TYPE_CHECKING:
    from daybreak.agents.gateway import Spent


@dataclass
class Result:
    """How an attempt ended, in its worker's own words, and what it cost as far as that is known."""

    claim: Claim
    usage: Usage = NOTHING_USED
    duration_ms: int = 0


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


@dataclass(frozen=True, slots=True)
class _Box:
    """A sandbox that was allowed, as it travels."""

    told: dict[str, Any]
    ours: Path
    given: dict[str, Path]
    """The worker's file and the templates, where there are any."""


@dataclass
class _Lines:
    """What is heard of an attempt, over all tries of its job."""

    ctx: Context
    number: int
    clock: Clock
    _heard: Heard | None = None
    _before: Usage = NOTHING_USED

    def begin(self, turns: int) -> None:
        """Another try: what the one before used counts, what it claimed does not."""
        self._before = self.usage
        self._heard = Heard(self.ctx, self.number, turns, self.clock)

    def take(self, part: bytes) -> None:
        assert self._heard is not None, "a job is made before it is done"
        self._heard.take(part)

    @property
    def usage(self) -> Usage:
        return self._before if self._heard is None else _sum(self._before, self._heard.usage)

    @property
    def claim(self) -> Claim | None:
        return None if self._heard is None else self._heard.claim


@dataclass
class Attempts:
    """For one run. `work` blocks, and is called inside a step, in its thread."""

    ctx: Context
    office: Office
    warden: Warden
    cancelled: threading.Event
    needs: Needs | None = None
    """What a machine must have on which they work; None: what the settings say."""

    def beside(self, ctx: Context) -> Attempts:
        """The same for a branch of the run."""
        return replace(self, ctx=ctx)

    def work(
        self,
        number: int,
        name: str,
        brief: Brief,
        folder: Path,
        scratch: Path,
        *,
        time_s: float,
        require: Strength,
    ) -> Result:
        """Have worker `name` work on `brief` in `folder`, below the attempt's own `scratch`. Silence is a crash.

        Raises Paused where it was interrupted, NotAllowed and Parked as the warden does, SandboxMissing and the like.
        """
        try:
            worker, found = self.office.find(name)
        except SettingsWrong as gone:  # he was there when he was chosen
            return Result(Claim(outcome="crashed", summary=cut(gone.message), trouble="unavailable"))
        if found.missing:
            return Result(Claim(outcome="crashed", summary=cut(found.missing), trouble="unavailable"))
        untrusted = "\n".join((*(one.message for one in brief.findings), *brief.lessons, brief.recall)).strip()
        if untrusted:  # what programs of workers printed
            self.warden.untrusted(number, untrusted, "findings of the attempt before, lessons")
        time_s = min(time_s, worker.time_s or time_s)
        before = self._used_before(number, worker)
        try:
            gateway = self._ticket(number, worker, before)
        except KeyAbsent as absent:  # the next one in the order may have his
            return Result(Claim(outcome="crashed", summary=cut(absent.message), trouble="authentication"))
        try:
            terms = Terms(
                settings=worker.model_dump(mode="json", exclude_defaults=True),
                time_s=time_s,
                silence_s=worker.silence_s,
                tokens=worker.tokens,
                requests=worker.requests,
                gateway=gateway,
                templates=os.path.realpath(templates) if (templates := self.office.settings.templates) else "",
            )
            order = Order(worker=_loaded_as(worker), workspace=str(folder), brief=brief, terms=terms)
            result = self._run(number, order, worker, found, folder, scratch, require)
        finally:
            spent = self.office.gateway().close_ticket(gateway.token) if gateway is not None else None
        if spent is None:
            return result
        walled = not worker.network and not worker.environment
        return _with_truth(result, replace(spent, usage=_sum(before, spent.usage)), walled=walled)

    def _run(
        self,
        number: int,
        order: Order,
        worker: Worker,
        found: finding.Found,
        folder: Path,
        scratch: Path,
        require: Strength,
    ) -> Result:
        lines = _Lines(self.ctx, number, self.office.clock)
        box = self._sandbox(number, order, worker, found, folder, scratch, require)
        way = self._way(order)

        def job(key: Key, avoid: tuple[str, ...]) -> Job:
            turns = self._turns(number)
            lines.begin(len(turns))
            return _job(key, avoid, order, turns, found, box, way, folder, scratch, self._needed)

        try:
            ended = self.office.jobs(self.ctx, self.cancelled).do(f"attempt {number}", job, lines.take).body
        except (JobLost, AnswerFalse, JobTooLarge, JobFailed, NodeRefused, WorkerError, tree.NotATree) as problem:
            absent = isinstance(problem, NodeRefused | lending.NotOnNode)
            lost = Claim(
                outcome="crashed",
                summary=cut(f"it came to nothing: {problem.message}"),
                trouble="unavailable" if absent else "crashed",
            )
            return Result(lost, lines.usage)
        duration_ms = int(ended["duration_ms"])
        if ended["cancelled"]:
            raise Paused("interrupted while a worker worked")
        if ended["guard_lost"]:
            summary = "its guard was killed, so nobody knows what still writes there"
            return Result(Claim(outcome="crashed", summary=summary, trouble="crashed"), lines.usage, duration_ms)
        claim = lines.claim
        if claim is None:
            summary = cut(": ".join(["ended without a claim", ended["ending"], *filter(None, [ended["last"]])]))
            claim = Claim(outcome="crashed", summary=summary, trouble="stalled" if ended["timed_out"] else "crashed")
        return Result(claim, lines.usage, duration_ms)

    @property
    def _needed(self) -> Needs:
        return dispatching.needs(self.office.settings) if self.needs is None else self.needs

    def _sandbox(
        self,
        number: int,
        order: Order,
        worker: Worker,
        found: finding.Found,
        folder: Path,
        scratch: Path,
        require: Strength,
    ) -> _Box:
        """What the door allows, with what of it has a name (see `lending`)."""
        process.clean_environment(scratch)  # the folders that it makes are asked for below
        socket = [Path(order.terms.gateway.socket)] if order.terms.gateway is not None else []
        templates = [Path(order.terms.templates)] if order.terms.templates else []
        importable = self._importable(order.worker)
        allowed = self.warden.worker_sandbox(
            number,
            (folder, scratch / "home", scratch / "tmp"),
            [*importable, *found.readable, *map(_real, worker.readable), *socket, *templates],
            programs=[found.program] if found.program else [],
            secrets=worker.environment,
            network=worker.network,
            life=timedelta(seconds=order.terms.time_s),
            require=require,
        )
        if memory_bytes := self._needed.memory_bytes:
            allowed = replace(allowed, memory_bytes=memory_bytes)
        given = {**_called("worker", importable[1:]), **_called("templates", templates)}
        own = {"workspace": folder, "scratch": scratch, "ours": importable[0], **given, **_called("gateway", socket)}
        return _Box(lending.told(allowed, {name: _real(str(path)) for name, path in own.items()}), importable[0], given)

    def _way(self, order: Order) -> dict[str, Any]:
        """How the attempt's process reaches the gateway, from wherever it runs; nothing where it has none."""
        gateway = order.terms.gateway
        if gateway is None:
            return {}
        if not self.office.dispatch.remote:
            return {"socket": gateway.socket}
        told = self.office.settings.dispatch
        way = self.office.gateway().way(gateway.token, listen=told.listen, advertise=told.advertise)
        found: dict[str, Any] = msgspec.to_builtins(way)
        return found

    def _ticket(self, number: int, worker: Worker, before: Usage) -> Gateway | None:
        """The attempt's way to its model, where it has a provider; `before` is what it has used of its limits before a
        crash. Raises KeyAbsent."""
        if not worker.provider:
            return None
        money = None if worker.money_usd is None else round(worker.money_usd * 1_000_000) - before.money_microusd
        tokens = None if worker.tokens is None else worker.tokens - before.input_tokens - before.output_tokens
        return self.office.gateway().ticket(
            self.ctx.run,
            number,
            provider=worker.provider,
            model=worker.model,
            account=self.ctx.account,
            money_microusd=None if money is None else max(0, money),
            tokens=None if tokens is None else max(0, tokens),
            requests=max(0, worker.requests - before.requests),
            network=worker.network,
        )

    def _used_before(self, number: int, worker: Worker) -> Usage:
        """What this attempt has used through the gateway, where it began before; what it may cost holds for all."""
        return self.office.gateway().used(self.ctx.run, number) if worker.provider else NOTHING_USED

    def _turns(self, number: int) -> tuple[Any, ...]:
        """What this attempt had told to be given back, where it began before."""
        events = (record.event for record in self.ctx.records())
        told = [one for one in events if isinstance(one, AttemptTurn) and one.attempt == number]
        return tuple(one.data for one in sorted(told, key=lambda one: one.nth))

    def _importable(self, loaded_as: str) -> list[Path]:
        """What the worker's process imports from, beside this environment's Python: where our own package lies, and
        the worker's file. Nothing else of this process's import path, which may name the user's own folder."""
        ours = Path(errors.__file__).resolve().parent
        around = [place.resolve() for place in (*self.office.places.private, Path.cwd())]
        alone = any(place.is_relative_to(ours.parent) for place in around)
        paths = [ours if alone else ours.parent]
        module = loaded_as.rpartition(":")[0]
        if module.endswith(".py"):
            paths.append(Path(module).resolve())
        return [path for path in paths if path.exists()]


def _called(name: str, paths: Sequence[Path]) -> dict[str, Path]:
    """The one path there is, by that name; or nothing."""
    return {name: path for path in paths[:1]}  # noqa: B035 - at most one


def _job(
    key: Key,
    avoid: tuple[str, ...],
    order: Order,
    turns: tuple[Any, ...],
    found: finding.Found,
    box: _Box,
    way: dict[str, Any],
    folder: Path,
    scratch: Path,
    needs: Needs,
) -> Job:
    name = order.worker
    body = {
        "order": msgspec.to_builtins(
            msgspec.structs.replace(order, terms=msgspec.structs.replace(order.terms, turns=turns))
        ),
        "object": "".join(name.rpartition(":")[1:]) if "worker" in box.given else "",
        "ours": str(box.ours),
        "program": found.program,
        "environment": dict(found.environment),
        "sandbox": box.told,
        "time_s": order.terms.time_s,
        "gateway": way,
    }
    return Job(
        key=key,
        doer="daybreak.factory.doers:attempt",
        body=body,
        scratch=scratch,
        lent={"workspace": folder},
        given=box.given,
        needs=needs,
        time_s=order.terms.time_s,
        avoid=avoid,
    )


def _with_truth(result: Result, spent: Spent, *, walled: bool) -> Result:
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


def _sum(one: Usage, other: Usage) -> Usage:
    fields = msgspec.structs.asdict(other)
    return Usage(**{name: getattr(one, name) + value for name, value in fields.items()})


def _most(one: Usage, other: Usage) -> Usage:
    fields = msgspec.structs.asdict(other)
    return Usage(**{name: max(getattr(one, name), value) for name, value in fields.items()})


def _loaded_as(worker: Worker) -> str:
    """The name by which the attempt's process loads it: a file by its real path, the only one that a sandbox knows."""
    if worker.kind != "python":
        return BUILDER if worker.kind == "builder" else worker.kind
    module, colon, name = worker.program.rpartition(":")
    return f"{_real(module)}{colon}{name}" if module.endswith(".py") else worker.program


def _real(path: str) -> Path:
    return Path(os.path.realpath(os.path.expanduser(path)))


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
