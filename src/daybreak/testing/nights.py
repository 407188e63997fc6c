"""Whole bad nights from a seed: a real supervisor with real tasks on a virtual clock, while everything goes wrong.

    night = BadNight(seed)
    night.until_over()
    assert night.faults() == []

What goes wrong: processes die before and behind any append and inside steps; a second supervisor works beside the
first; a rival on another machine takes runs away from owners that it believes to be dead; owners stand still for hours
in the middle of a word and then go on; the clock jumps; the disk is full for a while; the shop answers 429 with a time,
drops connections before and after it has accepted. A person answers in the morning. Everything follows from the seed.

`faults` audits what happened against the shop's own books, which never forget: it trusts neither views nor engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import anyio

from daybreak import errors
from daybreak.engine import VIEWS, Absent, Context, Engine, Found, Placement, spend, step_key
from daybreak.engine.history import Identity
from daybreak.engine.night import Plan, SupervisorBusy
from daybreak.engine.nights import NIGHTS
from daybreak.engine.step import key_of
from daybreak.engine.supervisor import Supervisor
from daybreak.events import FINAL, BudgetReserved, BudgetSettled, RunMoved, StepDone, StepFailed, StepTried, run_stream
from daybreak.ledger.record import Draft, Record
from daybreak.policy.budget import Amounts, Limit
from daybreak.policy.retry import Retry
from daybreak.testing.clock import DAWN, FakeClock
from daybreak.testing.memory_ledger import MemoryLedger
from daybreak.testing.world import Died, MemoryLocks

EVENING = timedelta(hours=9)
"""From one begin of a night to its end."""
PRICE = 50_000
"""Millionths of a dollar: the most that a call of the shop costs."""
RETRY = Retry(attempts=6, first_s=30, most_s=600, identical=1000)
_PROCESS: ContextVar[Process] = ContextVar("process")


class Dropped(ConnectionError):
    """The line went dead; nobody knows on which side of the call."""


class TooMany(Exception):
    """Status 429, with the time when the quota is there again."""

    status = 429


@dataclass
class Trouble:
    """How bad a night is; shares of 1."""

    death: float = 0.01
    """Of each dangerous place, that the process dies there."""
    deaths_max: int = 8
    standstill: float = 0.003
    """Of each append, that the process stands still for hours before it."""
    full: float = 0.002
    """Of each append, that the disk is full for a while from then on."""
    jump: float = 0.05
    """Of each step, that the clock jumps forward."""
    drop: float = 0.15
    """Of each call of the shop, that the line is dropped before or after it is accepted."""
    rivals: float = 0.3
    """Of each night, that there is one, ..."""
    rival_s: float = 7200.0
    """... and how long it waits at most before it strikes again."""
    helpers: float = 0.3


@dataclass
class Process:
    """One supervisor's process. As a ledger it is the night's, until it dies."""

    night: BadNight
    dead: bool = False
    began: int = 0

    # -- as a ledger

    def append(self, drafts: Sequence[Draft]) -> list[Record]:
        self.danger()
        self.night.check_disk()
        records = self.night.ledger.append(drafts)
        self.danger()
        return records

    async def append_async(self, drafts: Sequence[Draft]) -> list[Record]:
        self.danger()
        await self.night.checkpoint()
        if self.night.chance(self.night.trouble.standstill):
            self.night.standstills += 1
            await anyio.sleep(self.night.random.choice([60, 4000, 20_000]))
        self.alive()
        self.night.check_disk()
        records = self.night.ledger.append(drafts)
        self.danger()
        await self.night.checkpoint()
        self.alive()
        return records

    async def secure_async(self) -> None:
        self.alive()

    def read(self, stream: str, *, after: int = -1) -> Any:
        self.alive()
        return self.night.ledger.read(stream, after=after)

    def epoch(self, stream: str) -> int:
        self.alive()
        return self.night.ledger.epoch(stream)

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.alive()
        return self.night.ledger.query(sql, params)

    def put_blob(self, data: bytes) -> str:
        self.danger()
        return self.night.ledger.put_blob(data)

    async def put_blob_async(self, data: bytes) -> str:
        return self.put_blob(data)

    def get_blob(self, name: str) -> bytes:
        self.alive()
        return self.night.ledger.get_blob(name)

    # -- its life

    def alive(self) -> None:
        if self.dead:
            raise Died

    def danger(self) -> None:
        """A place where the process may die."""
        self.alive()
        night = self.night
        if night.deaths < night.trouble.deaths_max and night.chance(night.trouble.death):
            night.deaths += 1
            self.dead = True
            raise Died


@dataclass
class Shop:
    """The world outside, with books of its own: what was published under which key, and what every call cost."""

    night: BadNight
    published: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    by_run: Counter[str] = field(default_factory=Counter)
    """Listings of each run."""
    paid: Counter[str] = field(default_factory=Counter)
    """Millionths of a dollar by the name of the account that paid."""
    closed_until: datetime | None = None

    async def publish(self, key: str, run: str, account: str) -> str:
        night, random = self.night, self.night.random
        self.calls[key] += 1
        await anyio.sleep(random.random() * 5)
        if self.closed_until is not None and night.clock.now() < self.closed_until:
            raise TooMany(f"quota used up, try again at {self.closed_until:%Y-%m-%dT%H:%M:%SZ}")
        if random.random() < 0.03:
            self.closed_until = (night.clock.now() + timedelta(minutes=random.randint(1, 90))).replace(microsecond=0)
        price = random.randint(1, PRICE)
        fate = random.random()
        if fate < night.trouble.drop / 2:
            raise Dropped("before it was accepted")
        self.published[key] += 1
        self.by_run[run] += 1
        self.paid[account] += price
        _PROCESS.get().danger()
        if fate < night.trouble.drop:
            raise Dropped("after it was accepted")
        spend(Amounts(money_microusd=price))
        return f"listing {key[:8]}"

    async def lookup(self, key: str) -> Found | Absent:
        _PROCESS.get().danger()
        await anyio.sleep(self.night.random.random())
        return Found(f"listing {key[:8]}") if self.published[key] else Absent()


@dataclass
class BadNight:
    """A queue of tasks, and nights until all of them are over."""

    seed: int
    tasks: int = 20
    trouble: Trouble = field(default_factory=Trouble)
    budget_microusd: int = 40 * PRICE
    """Of each night."""
    random: Random = field(init=False)
    clock: FakeClock = field(init=False)
    ledger: MemoryLedger = field(init=False)
    shop: Shop = field(init=False)
    deaths: int = field(init=False, default=0)
    standstills: int = field(init=False, default=0)
    jumps: int = field(init=False, default=0)
    full_until_s: float = field(init=False, default=0.0)
    full_disks: int = field(init=False, default=0)
    nights: int = field(init=False, default=0)
    computed: list[tuple[str, int]] = field(init=False, default_factory=list)
    """Of each computed step: its key, and how many events the ledger held when its process was born."""
    runs: list[str] = field(init=False, default_factory=list)
    checkpoint: Callable[[], Awaitable[None]] = field(init=False)
    """The event loop's own: every append has two."""

    def __post_init__(self) -> None:
        from trio.lowlevel import checkpoint

        from daybreak.testing.virtual_time import JumpingClock  # late: it needs a development dependency

        self.checkpoint = checkpoint
        self.random = Random(self.seed)
        self._jumping = JumpingClock()
        self.clock = FakeClock(DAWN, elapsed=self._jumping.current_time)
        self.ledger = MemoryLedger(clock=self.clock, views=[*VIEWS, NIGHTS], entropy=self.random.randbytes)
        self.shop = Shop(self)
        self._submit()

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def check_disk(self) -> None:
        """Raises what a full disk raises; sometimes it becomes full here."""
        now_s = self.clock.monotonic()
        if now_s >= self.full_until_s and self.full_disks < 3 and self.chance(self.trouble.full):
            self.full_disks += 1
            self.full_until_s = now_s + self.random.choice([1, 60, 1800])
        if now_s < self.full_until_s:
            raise errors.LedgerStopped("no space left on device", hint="make room")

    # -- the tasks

    def _submit(self) -> None:
        engine = self._engine(self.ledger, MemoryLocks())
        for number in range(self.tasks):
            placed = Placement(
                project=self.random.choice(["a", "b", "c"]),
                priority=self.random.randint(-2, 2),
                after=tuple(self.random.sample(self.runs, 1)) if self.runs and self.chance(0.2) else (),
                keys={"shop": 3} if self.chance(0.3) else {},
            )
            args = {"number": number, "steps": self.random.randint(1, 3), "side": self.random.randint(0, 2)}
            self.runs.append(engine.submit("listing", f"task {number}", args, placed))

    async def _listing(self, ctx: Context, args: dict[str, Any]) -> Any:
        """What one task does: read, think, publish once and look after it, some of it side by side."""
        for place in range(args["steps"]):
            await ctx.step("read", self._read, place, effect="pure")
        if args["number"] % 5 == 0:
            await ctx.sleep(self.random_of(args, 20_000))
        if args["number"] % 7 == 0:
            await ctx.ask("may it be published?")
        published = await ctx.step(
            "publish", self._publish, effect="once", lookup=self.shop.lookup, retry=RETRY, breaker="shop", cost=_WORST
        )
        await ctx.gather(*[self._side(place) for place in range(args["side"])])
        return published

    @staticmethod
    def random_of(args: dict[str, Any], most: int) -> int:
        """A number that follows from the task alone, as code between steps must."""
        return Random(args["number"]).randint(0, most)

    def _side(self, place: int) -> Any:
        async def work(ctx: Context) -> Any:
            return await ctx.step("side", self._read, place, retry=RETRY)

        return work

    async def _read(self, place: int) -> int:
        self._computing()
        await anyio.sleep(self.random.random() * 20)
        if self.chance(self.trouble.jump):
            self.jumps += 1
            self.clock.advance(self.random.choice([1, 60, 1800]))
        _PROCESS.get().danger()
        return place

    async def _publish(self) -> str:
        self._computing()
        return await self.shop.publish(step_key(), *_PAYING.get())

    def _computing(self) -> None:
        self.computed.append((step_key(), _PROCESS.get().began))
        _PROCESS.get().danger()

    # -- the nights

    def until_over(self, *, nights_max: int = 40) -> None:
        """Nights and mornings, until every run is over. Raises AssertionError where that takes too long."""
        from daybreak.testing import virtual_time

        virtual_time.run(self.seed, self._jumping, self._until_over, nights_max)

    async def _until_over(self, nights_max: int) -> None:
        while self._unfinished():
            self.nights += 1
            assert self.nights <= nights_max, f"seed {self.seed}: {len(self._unfinished())} runs are never over"
            until = self.clock.now() + EVENING
            async with anyio.create_task_group() as group:
                locks = MemoryLocks("here")
                group.start_soon(self._lives, locks, until, "refuse", 0.0)
                if self.chance(self.trouble.helpers):
                    group.start_soon(self._lives, locks, until, "help", self.random.random() * 3600)
                if self.chance(self.trouble.rivals):
                    group.start_soon(self._rival, until)
            self._morning()

    async def _lives(self, locks: MemoryLocks, until: datetime, if_busy: Any, delay_s: float) -> None:
        """A supervisor that is started again whenever it dies, as a service is."""
        await anyio.sleep(delay_s)
        while self.clock.now() < until and self._unfinished():
            process = Process(self, began=self.size())
            _PROCESS.set(process)
            plan = Plan(
                workers=4,
                until=until,
                once=True,
                budget=Limit(money_microusd=self.budget_microusd),
                if_busy=if_busy,
                poll_s=3600,
                stuck_s=7 * 3600,
                recover_s=600,
                lease_s=21_600,
            )
            supervisor = Supervisor(
                self._engine(process, locks), process, self.clock, self.random.randbytes, locks, plan
            )
            try:
                await supervisor.work()
                return
            except SupervisorBusy:
                return
            except (Died, errors.LedgerError):
                pass
            except BaseExceptionGroup as group:
                if group.split((Died, errors.LedgerError))[1] is not None:
                    raise
            await anyio.sleep(30)

    async def _rival(self, until: datetime) -> None:
        """Somebody on another machine, cut off from the first, who believes that owners there are dead."""
        locks = MemoryLocks("there")
        while self.clock.now() < until:
            await anyio.sleep(self.random.random() * self.trouble.rival_s)
            active = self.ledger.query("SELECT run FROM view_runs WHERE state IN ('leased', 'running', 'verifying')")
            if not active or not self._unfinished():
                continue
            process = Process(self, began=self.size())
            _PROCESS.set(process)
            (run,) = self.random.choice(active)
            try:
                await self._engine(process, locks).supervise(run)
            except (errors.EngineError, errors.LedgerError, Died):
                pass
            except BaseExceptionGroup as group:
                if group.split((Died, errors.LedgerError, errors.EngineError))[1] is not None:
                    raise

    def _morning(self) -> None:
        """Every owner is gone, and a person who can look into the shop answers."""
        engine = self._engine(self.ledger, MemoryLocks())
        rows = self.ledger.query("SELECT run, question FROM view_runs WHERE state = 'parked' AND NOT answered")
        for run, question in rows:
            if "nobody knows" in question:
                key = next((key for key in self.shop.published if key in question), None)
                engine.answer(run, question, "repeat" if key is None else {"outcome": "happened", "result": "seen"})
            else:
                engine.answer(run, question, "yes")

    def _engine(self, log: Any, locks: MemoryLocks) -> Engine:
        return Engine(log, {"listing": _paying(self._listing)}, locks, self.clock, self.random.randbytes)

    def _unfinished(self) -> list[str]:
        final = ", ".join(f"'{state}'" for state in sorted(FINAL))
        return [run for (run,) in self.ledger.query(f"SELECT run FROM view_runs WHERE state NOT IN ({final})")]

    # -- the audit

    def size(self) -> int:
        return len(self.ledger)

    def history(self) -> list[tuple[str, int, str, bytes]]:
        """All that happened: stream, seq, type and payload of every event."""
        return [(record.stream, record.seq, record.type, record.payload) for record in self.ledger.read_all()]

    def faults(self) -> list[str]:
        """What must not have happened, in words; the empty list after every night, however bad."""
        found = [f"{run} ended {ends} times" for run in self.runs if (ends := self._ends(run)) != 1]
        found += [f"{run} has {times} listings" for run, times in self.shop.by_run.items() if times > 1]
        recorded: dict[str, int] = {}
        for run in self.runs:
            for key, index in self._outcomes(run):
                if key in recorded:
                    found.append(f"step {key[:12]} of {run} was recorded twice")
                recorded[key] = index
        again = [key for key, began in self.computed if recorded.get(key, began) < began]
        found += [f"step {key[:12]} was computed again although it was recorded" for key in again]
        found += [word for run in self.runs for word in self._miscounted(run)]
        found += self._overdrawn()
        found += [f"view {one.view}: {one.what}" for one in self.ledger.compare_views()]
        return found

    def _miscounted(self, run: str) -> list[str]:
        """Tries of a step that do not go on counting."""
        counted: dict[str, int] = {}
        found = []
        for record in self.ledger.read(run_stream(run)):
            if isinstance(tried := record.event, StepTried) and tried.kind == "retryable":
                step = f"{tried.branch}/{tried.name}/{tried.nth}"
                if tried.tries["attempts"] <= counted.get(step, 0):
                    found.append(f"tries of {step} of {run} were counted anew")
                counted[step] = tried.tries["attempts"]
        return found

    def _overdrawn(self) -> list[str]:
        """What the shop was really paid, and what was set aside, against each night's budget."""
        found = [
            f"{account} paid {paid} of {self.budget_microusd}"
            for account, paid in self.shop.paid.items()
            if account.startswith("night:") and paid > self.budget_microusd
        ]
        held: dict[str, tuple[str, int]] = {}
        used: Counter[str] = Counter()
        for record in self.ledger.read_all():
            match record.event:
                case BudgetReserved(account=account, key=key, worst=worst):
                    held[key] = (account, worst.get("money_microusd", 0))
                    if used[account] + sum(amount for name, amount in held.values() if name == account) > (
                        self.budget_microusd
                    ):
                        found.append(f"{account} could have spent more than it had")
                case BudgetSettled(key=key, used=amounts):
                    account, _ = held.pop(key, ("", 0))
                    if not account:
                        found.append(f"{key} was settled twice, or never reserved")
                    used[account] += amounts.get("money_microusd", 0)
                case _:
                    pass
        return found

    def _ends(self, run: str) -> int:
        events = [record.event for record in self.ledger.read(run_stream(run))]
        return sum(event.new in FINAL for event in events if isinstance(event, RunMoved))

    def _outcomes(self, run: str) -> list[tuple[str, int]]:
        found = []
        for record in self.ledger.read(run_stream(run)):
            event = record.event
            if isinstance(event, StepDone | StepFailed):
                found.append((key_of(run, Identity(event.branch, event.name, event.nth, event.args)), record.index))
        return found


_WORST = Amounts(money_microusd=PRICE)
_PAYING: ContextVar[tuple[str, str]] = ContextVar("the run that publishes, and the account that pays")


def _paying(function: Any) -> Any:
    """The task's code, with the name of the account that pays at hand for the shop's books."""

    async def task(ctx: Context, args: dict[str, Any]) -> Any:
        _PAYING.set((ctx.run, ctx._around.account))
        return await function(ctx, args)

    return task
