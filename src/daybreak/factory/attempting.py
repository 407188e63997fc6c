"""One attempt by one worker: its sandbox, its way to a model, what it tells while it works, and its claim.

What every kind of task that asks workers has in common. Nothing in here believes a worker.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.from_thread
import msgspec

from daybreak import errors
from daybreak.agents import found as finding
from daybreak.agents.cascade import Held
from daybreak.agents.protocol import Brief, Claim, Finding, Gateway, Note, Order, Terms, Turn, Usage
from daybreak.checks.evidence import Evidence
from daybreak.checks.gate import Decision
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.engine import Context
from daybreak.engine.flow import Paused
from daybreak.events import AttemptClaimed, AttemptJudged, AttemptTurn, Event
from daybreak.factory.warden import Warden
from daybreak.host import process
from daybreak.host.sandbox import Strength
from daybreak.ledger import Ledger
from daybreak.memory import lessons, outcomes, routing
from daybreak.policy.accounts import Accounts
from daybreak.policy.circuits import LedgerCircuits
from daybreak.settings import BUILDER, Settings, Worker

if TYPE_CHECKING:
    from daybreak.agents.gateway import Gateway as GatewayServer
    from daybreak.agents.gateway import Spent

OUTPUT_BYTES_MAX = 50_000_000
LINE_BYTES_MAX = 4_000_000
SUMMARY_CHARS_MAX = 2000
NOT_BUILT_MAX, NOT_BUILT_CHARS_MAX = 50, 500
NOTE_CHARS_MAX = 500
TURNS_MAX = 10_000
NOTHING_USED = Usage()


class Office:
    """What all attempts of a process share: settings, the machine's environment, and the gateway, which begins with the
    first attempt that has a provider. Closed at the end of the process's work."""

    def __init__(
        self, settings: Settings, ledger: Ledger, places: Places, clock: Clock, environment: Mapping[str, str]
    ) -> None:
        self.settings = settings
        self.environment = environment
        self.places = places
        self.clock = clock
        self._ledger = ledger
        self._lock = threading.Lock()
        self._gateway: GatewayServer | None = None
        self._draw = random.SystemRandom()

    def gateway(self) -> GatewayServer:
        with self._lock:
            if self._gateway is None:
                from daybreak.agents.gateway import Gateway

                gateway = Gateway(
                    self.settings,
                    self._ledger,
                    self.clock,
                    folder=self.places.cache / "gateway",
                    environment=self.environment,
                )
                gateway.__enter__()
                self._gateway = gateway
            return self._gateway

    def find(self, name: str) -> tuple[Worker, finding.Found]:
        """Raises SettingsWrong where there is no worker of that name."""
        worker = self.settings.worker(name)
        found = finding.find(name, worker, self.settings, self.environment)
        if found.budget == "hard" and not self._priced(worker):
            found = replace(found, budget="soft")  # tokens are counted, but nobody knows what they cost
        return worker, found

    def _priced(self, worker: Worker) -> bool:
        if not worker.provider:
            return True
        prices = self.settings.provider(worker.provider).prices
        return worker.model in prices or "*" in prices

    def held(self, names: Sequence[str], now: datetime) -> dict[str, Held]:
        """Workers behind an open breaker of their provider, by name."""
        circuits = {row.name: row.circuit for row in LedgerCircuits(self._ledger, self.clock).all()}
        found = {}
        for name in names:
            worker = self.settings.worker(name)
            circuit = circuits.get(f"provider:{worker.provider}") if worker.provider else None
            if circuit is not None and circuit.state == "open" and circuit.until is not None and circuit.until > now:
                found[name] = Held(until=circuit.until, why=f"breaker of {worker.provider}: {circuit.why}")
        return found

    def ordered(self, run: str, names: Sequence[str], task: str) -> tuple[tuple[str, ...], dict[str, str], list[Event]]:
        """Workers in the order in which outcomes suggest to ask them, why, and what the ledger is told about it."""
        memory = self.settings.memory
        if memory.routing != "learned" or len(names) < 2 or not outcomes.read(self._ledger).workers(task):
            return tuple(names), {}, []  # as somebody wrote it, until something is known
        hour = round(memory.hour_usd * 1_000_000)
        choices = routing.order(self._ledger, names, task, self._draw, hour_microusd=hour)
        reasons = {one.worker: one.why for one in choices}
        return tuple(one.worker for one in choices), reasons, [routing.said(run, task, choices)]

    def lessons(self, text: str, task: str) -> list[lessons.Lesson]:
        """What was learned elsewhere and may help with this."""
        return lessons.recall(self._ledger, text, task, self.settings.memory.lessons_tokens)

    def left(self, account: str) -> tuple[int | None, int | None]:
        """Money (in millionths of a US dollar) and tokens that an account may still spend; None: no limit."""
        if not account:
            return None, None
        left = Accounts(self._ledger).left(account)
        return left.money_microusd, left.tokens

    def close(self) -> None:
        with self._lock:
            gateway, self._gateway = self._gateway, None
        if gateway is not None:
            gateway.__exit__(None, None, None)


@dataclass
class Result:
    """How an attempt ended, in its worker's own words, and what it cost as far as that is known."""

    claim: Claim
    usage: Usage = NOTHING_USED
    duration_ms: int = 0


@dataclass
class Attempts:
    """For one run. `work` blocks, and is called inside a step, in its thread."""

    ctx: Context
    office: Office
    warden: Warden
    cancelled: threading.Event

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
        worker, found = self.office.find(name)
        if found.missing:
            return Result(Claim(outcome="crashed", summary=cut(found.missing), trouble="unavailable"))
        untrusted = "\n".join((*(one.message for one in brief.findings), *brief.lessons, brief.recall)).strip()
        if untrusted:  # what programs of workers printed
            self.warden.untrusted(number, untrusted, "findings of the attempt before, lessons")
        time_s = min(time_s, worker.time_s or time_s)
        gateway = self._ticket(number, worker)
        try:
            terms = Terms(
                settings=worker.model_dump(mode="json", exclude_defaults=True),
                time_s=time_s,
                silence_s=worker.silence_s,
                tokens=worker.tokens,
                requests=worker.requests,
                gateway=gateway,
                turns=self._turns(number),
                templates=self.office.settings.templates,
            )
            order = Order(worker=_loaded_as(worker), workspace=str(folder), brief=brief, terms=terms)
            result = self._run(number, order, worker, found, folder, scratch, require)
        finally:
            spent = self.office.gateway().close_ticket(gateway.token) if gateway is not None else None
        return result if spent is None else _with_truth(result, spent)

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
        began = time.monotonic()
        heard = _Heard(self.ctx, number, len(order.terms.turns))
        socket = [Path(order.terms.gateway.socket)] if order.terms.gateway is not None else []
        templates = [Path(order.terms.templates)] if order.terms.templates else []
        finished = process.run(
            [sys.executable, "-P", "-m", "daybreak.agents.attempt"],
            cwd=folder,
            env=process.clean_environment(
                scratch, PYTHONPATH=str(Path(errors.__file__).resolve().parents[1]), **found.environment
            ),
            stdin=msgspec.json.encode(order),
            timeout_s=order.terms.time_s,
            output_bytes_max=OUTPUT_BYTES_MAX,
            cancelled=self.cancelled,
            on_stdout=heard.take,
            sandbox=self.warden.worker_sandbox(
                number,
                (folder, scratch / "home", scratch / "tmp"),
                [*self._importable(order.worker), *found.readable, *map(_real, worker.readable), *socket, *templates],
                programs=[found.program] if found.program else [],
                secrets=worker.environment,
                network=worker.network,
                life=timedelta(seconds=order.terms.time_s),
                require=require,
            ),
        )
        duration_ms = int((time.monotonic() - began) * 1000)
        if finished.cancelled:
            raise Paused("interrupted while a worker worked")
        if finished.guard_lost:
            summary = "its guard was killed, so nobody knows what still writes there"
            return Result(Claim(outcome="crashed", summary=summary, trouble="crashed"), heard.usage, duration_ms)
        claim = heard.claim
        if claim is None:
            last = finished.stderr.decode(errors="replace").strip().splitlines()[-1:]
            summary = cut(": ".join(["ended without a claim", finished.ending, *last]))
            claim = Claim(outcome="crashed", summary=summary, trouble="stalled" if finished.timed_out else "crashed")
        return Result(claim, heard.usage, duration_ms)

    def _ticket(self, number: int, worker: Worker) -> Gateway | None:
        """The attempt's way to its model, where it has a provider."""
        if not worker.provider:
            return None
        return self.office.gateway().ticket(
            self.ctx.run,
            number,
            provider=worker.provider,
            model=worker.model,
            account=self.ctx.account,
            money_microusd=None if worker.money_usd is None else round(worker.money_usd * 1_000_000),
            tokens=worker.tokens,
            requests=worker.requests,
        )

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


def _with_truth(result: Result, spent: Spent) -> Result:
    """The gateway has counted itself, and has seen why the provider refused; a worker may not know."""
    claim = result.claim
    if claim.outcome != "finished" and spent.last and claim.trouble in ("", "crashed", "stalled", "budget"):
        claim = msgspec.structs.replace(claim, trouble=spent.last, until=claim.until or spent.until)
    return Result(claim, spent.usage, result.duration_ms)


def _loaded_as(worker: Worker) -> str:
    """The name by which the attempt's process loads it."""
    return worker.program if worker.kind == "python" else BUILDER if worker.kind == "builder" else worker.kind


def _real(path: str) -> Path:
    return Path(os.path.realpath(os.path.expanduser(path)))


# -- what comes back


@dataclass
class _Heard:
    """Reads the lines of an attempt as they come. What is no line of ours counts for nothing."""

    ctx: Context
    number: int
    turns: int
    """Told so far."""
    claim: Claim | None = None
    usage: Usage = NOTHING_USED
    _rest: bytes = b""
    _skipping: bool = False

    def take(self, part: bytes) -> None:
        *lines, rest = (self._rest + part).split(b"\n")
        for line in lines:
            if not self._skipping:
                self._line(line)
            self._skipping = False
        if len(rest) > LINE_BYTES_MAX:
            self._skipping, rest = True, b""
        self._rest = rest

    def _line(self, line: bytes) -> None:
        try:
            told = msgspec.json.decode(line, type=dict[str, Any])
            [(kind, item)] = told.items()
        except (msgspec.DecodeError, ValueError, RecursionError):
            return
        match kind:
            case "note":
                self._note(item)
            case "usage":
                self._use(item)
            case "turn":
                self._turn(item)
            case "claim":
                self.claim = checked(item)

    def _note(self, item: object) -> None:
        try:
            note = msgspec.convert(item, Note)
        except (msgspec.ValidationError, RecursionError):
            return
        fraction = note.fraction if note.fraction is not None and 0 <= note.fraction <= 1 else None
        self.ctx.report(cut(note.text, NOTE_CHARS_MAX), fraction)

    def _use(self, item: object) -> None:
        try:
            used = msgspec.convert(item, Usage)
        except (msgspec.ValidationError, RecursionError):
            return
        fields = msgspec.structs.asdict(used)
        if all(0 <= value < 1 << 50 for value in fields.values()):
            total = {name: min(getattr(self.usage, name) + value, 1 << 50) for name, value in fields.items()}
            self.usage = Usage(**total)

    def _turn(self, item: object) -> None:
        """Kept before the worker can have gone on far; a run that was lost to another owner ends here (LeaseLost)."""
        try:
            turn = msgspec.convert(item, Turn)
        except (msgspec.ValidationError, RecursionError):
            return
        if self.turns < TURNS_MAX:
            event = AttemptTurn(run=self.ctx.run, attempt=self.number, nth=self.turns, data=turn.data)
            anyio.from_thread.run(self.ctx.tell, event)
            self.turns += 1


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


def checked(told: object) -> Claim:
    """What a worker claims, no longer than it may be; something that is no claim is a crash that says so."""
    try:
        claim = msgspec.convert(told, Claim)
    except (msgspec.ValidationError, RecursionError) as problem:
        return Claim(outcome="crashed", summary=cut(f"ended with something that is no claim: {problem}"))
    return msgspec.structs.replace(
        claim,
        summary=cut(claim.summary),
        not_built=tuple(cut(what, NOT_BUILT_CHARS_MAX) for what in claim.not_built[:NOT_BUILT_MAX]),
        until=cut(claim.until, 40),
    )


def cut(text: str, most: int = SUMMARY_CHARS_MAX) -> str:
    """A worker's words as the ledger can hold them: not longer than that, and no halves of characters."""
    whole = text[: most + 1].encode("utf-8", "backslashreplace").decode()
    return whole if len(whole) <= most else f"{whole[:most]}…"
