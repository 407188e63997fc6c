"""A supervisor's process for the crash sweep, and who looks after it: `python night_owner.py`.

It is a nursery: it imports everything, opens nothing, and forks a fresh process for each line it reads.

    {"do": "work", "home": …, "held": true}   → {"pid": …}       held: it begins with the line {"go": pid}
    {"go": pid} → {}        {"wait": pid, "most_s": 60} → {"status": …}   (None: it is still alive)
    {"stopped": pid} → {"stopped": true}   once it has stopped; false where it has ended

`create` makes the ledger at HOME, `fill` makes it and submits `TASKS`. `work` opens it, submits what is missing of
them, and works through nights and mornings until every run is over. `audit` opens it once more, reads, and writes what
it found wrong into `HOME/faults`.

Whatever happens outside is noted in `HOME/../outside/log`, which only grows and is synced line by line: it knows what
a ledger cannot know, and trusts neither views nor engine. Time runs `SPEED` times as fast as it really does.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread  # what is imported late costs every process anew
import apsw

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Absent, Context, Engine, Found, Placement, spend, step_key
from daybreak.engine.history import Identity
from daybreak.engine.keeper import end_silent
from daybreak.engine.night import Plan, SupervisorBusy
from daybreak.engine.nights import NIGHTS, open_nights
from daybreak.engine.step import key_of
from daybreak.engine.supervisor import LOCK, Supervisor
from daybreak.errors import DaybreakError, StepError
from daybreak.events import (
    FINAL,
    BudgetOpened,
    BudgetReserved,
    BudgetSettled,
    NightBegan,
    NightEnded,
    RunMoved,
    StepDone,
    StepFailed,
    run_stream,
)
from daybreak.host.locks import FileLocks
from daybreak.ledger import Ledger, verify
from daybreak.policy.breaker import BreakerRule
from daybreak.policy.budget import Amounts, Limit
from daybreak.policy.journal import VIEWS as JOURNAL
from daybreak.policy.retry import Retry

SPEED = 100.0
DAWN = datetime.fromisoformat("2026-03-01T22:00:00+00:00")
RETRY = Retry(attempts=8, first_s=1, most_s=4, identical=1000)
RULES = {"shop": BreakerRule(failures=2, within_s=600, open_s=8, most_s=8, probe_s=20)}
FAILED = "it failed"
PRICE = 30
"""Millionths of a dollar: the most that a call costs; it really costs a third."""
RUN_BUDGET = Limit(money_microusd=9 * PRICE, attempts=100)
NIGHT_BUDGET = Limit(money_microusd=60 * PRICE, attempts=1000)
TYPED, UNTYPED, UNFINISHED = 7, 8, 9
"""Exit statuses: the system's own error where the ledger is opened, an error of ours, any other, runs never over."""
ALL_VIEWS = [*VIEWS, *(view for view in (NIGHTS, *JOURNAL) if view.name not in {known.name for known in VIEWS})]


class FastClock:
    """Begins at DAWN when the home was made, in every process."""

    def __init__(self, home: Path) -> None:
        self._real = SystemClock()
        self._began = datetime.fromisoformat((home / "began").read_text())

    def now(self) -> datetime:
        return DAWN + (self._real.now() - self._began) * SPEED

    def monotonic(self) -> float:
        return self._real.monotonic() * SPEED

    @staticmethod
    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds / SPEED)


def make_home(home: Path) -> None:
    home.mkdir(parents=True)
    (home.parent / "outside").mkdir()
    (home / "began").write_text(SystemClock().now().isoformat())


class Refused(ConnectionError):
    """The other side did not take it."""


class Lost(ConnectionError):
    """It was taken, and the answer was lost."""


class Outside:
    """The world, with books of its own. A line is there once its call returns, and may be there where it raises."""

    def __init__(self, home: Path, *, stop_at: int = 0, stop_in_commit: bool = False) -> None:
        """With `stop_at` the process stops itself (SIGSTOP) before its so many-th note; perhaps while it commits."""
        self._database = home / "ledger" / "ledger.db"
        self._stop_in, self._stop_in_commit = stop_at, stop_in_commit
        self._path = home.parent / "outside" / "log"
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def note(self, *words: object) -> None:
        self._stop_in -= 1
        if self._stop_in == 0:
            self._stop()
        os.write(self._descriptor, (" ".join(str(word) for word in words) + "\n").encode())
        os.fsync(self._descriptor)

    def _stop(self) -> None:
        connection = apsw.Connection(str(self._database))
        try:
            if self._stop_in_commit:
                connection.set_busy_timeout(10_000)
                connection.execute("BEGIN IMMEDIATE")
            os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            connection.close()

    def lines(self) -> Iterator[list[str]]:
        for line in self._path.read_text().splitlines():
            yield line.split()

    def count(self, word: str, key: str) -> int:
        return sum(line[:2] == [word, key] for line in self.lines())


class Work:
    """The tasks. Each kind is a method; `expected` says what it returns."""

    def __init__(self, outside: Outside, ledger: Ledger) -> None:
        self._outside = outside
        self._ledger = ledger

    def kinds(self) -> dict[str, Callable[[Context, Any], Awaitable[Any]]]:
        return {title: self._with_retry(getattr(self, f"_task_{title}")) for title in TASKS}

    def _with_retry(self, code: Callable[[Context], Awaitable[Any]]) -> Callable[[Context, Any], Awaitable[Any]]:
        async def task(ctx: Context, args: Any) -> Any:
            ctx.defaults(retry=RETRY)
            return await code(ctx)

        return task

    async def _task_pure(self, ctx: Context) -> int:
        return sum([await ctx.step("square", self._square, number, effect="pure") for number in range(3)])

    async def _task_idempotent(self, ctx: Context) -> str:
        await ctx.step("put", self._put)
        return str(await ctx.step("put in a thread", self._put_sync))

    async def _task_once(self, ctx: Context) -> list[str]:
        first = await ctx.step("publish", self._publish, "lost", effect="once", lookup=self._published, cost=_COST)
        second = await ctx.step("publish", self._publish, "refused", effect="once", lookup=self._published, cost=_COST)
        return [first, second]

    async def _task_blind(self, ctx: Context) -> str:
        ctx.defaults()
        try:
            await ctx.step("letter", self._send, effect="once")
        except StepError:
            return FAILED  # and is not tried again, because nobody can look it up
        return "sent"

    async def _task_budget(self, ctx: Context) -> int:
        for _ in range(4):
            await ctx.step("buy", self._buy, cost=_COST)
        return 4

    async def _task_breaker(self, ctx: Context) -> str:
        ctx.defaults(retry=RETRY, breaker="shop")
        return str(await ctx.step("call", self._call, 3))

    async def _task_sleep(self, ctx: Context) -> bool:
        before = await ctx.now()
        await ctx.sleep(1)
        await ctx.random()
        await ctx.sleep(7)
        return await ctx.now() - before >= timedelta(seconds=8)

    async def _task_gather(self, ctx: Context) -> list[int]:
        found = await ctx.gather(*[self._child] * 3)
        return [*found, await ctx.step("large", self._large)]

    async def _child(self, ctx: Context) -> int:
        await ctx.step("square", self._square_sync, 2)
        return int(await ctx.step("square", self._square, 3))

    # -- what the steps do

    def _computing(self) -> str:
        """Notes that the step is computed, and how much of the ledger its process knew to be durable."""
        key = step_key()
        self._outside.note("computed", key, self._ledger.head().size)
        return key

    async def _square(self, number: int) -> int:
        return self._square_sync(number)

    def _square_sync(self, number: int) -> int:
        self._computing()
        return number * number

    async def _put(self) -> str:
        return self._put_sync()

    def _put_sync(self) -> str:
        self._outside.note("put", self._computing())
        return "put"

    def _large(self) -> int:
        """Its traceback, and so a blob, is kept at the first try."""
        if self._outside.count("computed", self._computing()) == 1:
            raise Refused("x" * 100)
        return 4

    async def _publish(self, trouble: str) -> str:
        key = self._computing()
        first = self._outside.count("computed", key) == 1
        if first and trouble == "refused":
            raise Refused("not now")
        self._outside.note("happened", key)
        self._pay()
        if first:
            raise Lost("where is the answer?")
        return "published"

    async def _published(self, key: str) -> Found | Absent:
        return Found("published") if self._outside.count("happened", key) else Absent()

    async def _send(self) -> str:
        key = self._computing()
        self._outside.note("happened", key)
        return "sent"

    async def _buy(self) -> None:
        self._computing()
        self._pay()

    def _pay(self) -> None:
        self._outside.note("paid", step_key(), PRICE // 3)
        spend(Amounts(money_microusd=PRICE // 3))

    async def _call(self, fails: int) -> str:
        if self._outside.count("computed", self._computing()) <= fails:
            raise Refused("down")
        return "answered"


_COST = Amounts(money_microusd=PRICE)
TASKS: dict[str, Placement] = {
    "pure": Placement(),
    "idempotent": Placement(project="other"),
    "once": Placement(keys={"shop": 1}, priority=2),
    "blind": Placement(keys={"shop": 1}),
    "budget": Placement(budget=RUN_BUDGET),
    "breaker": Placement(priority=3),
    "sleep": Placement(priority=1),
    "gather": Placement(project="other"),
}
EXPECTED: dict[str, Any] = {
    "pure": 5,
    "idempotent": "put",
    "once": ["published", "published"],
    "blind": "sent",
    "budget": 4,
    "breaker": "answered",
    "sleep": True,
    "gather": [9, 9, 9, 4],
}


class Owner:
    """One supervisor's process."""

    def __init__(self, home: Path, told: dict[str, Any]) -> None:
        self.home = home
        self.clock = FastClock(home)
        self.places = Places.below(home, "test")
        self.locks = FileLocks(self.places.locks, self.clock)
        self.outside = Outside(home, stop_at=told.get("stop_at", 0), stop_in_commit=told.get("stop_in_commit", False))
        self.plan = Plan(
            workers=4,
            budget=NIGHT_BUDGET,
            once=told.get("once", True),
            if_busy=told.get("if_busy", "refuse"),
            lease_s=told.get("lease_s", 600.0),
            poll_s=10.0,
        )

    def work(self) -> None:
        if self.plan.if_busy != "refuse":
            anyio.run(self._make_way)
        with self.opened() as ledger:
            engine = self._engine(ledger)
            for _ in range(4):
                night = Supervisor(
                    engine, ledger, self.clock, os.urandom, self.locks, self.plan, sleep=self.clock.sleep
                )
                anyio.run(self._night, night, ledger)
                if not self._unfinished(ledger):
                    return
                self._morning(engine, ledger)
            raise Unfinished(str(self._unfinished(ledger)))

    async def _night(self, night: Supervisor, ledger: Ledger) -> None:
        """One that does not end with its own work is stopped when everybody's is over."""
        if self.plan.once:
            await night.work()
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_when_over, night, ledger)
            await night.work()
            group.cancel_scope.cancel()

    async def _stop_when_over(self, night: Supervisor, ledger: Ledger) -> None:
        while self._unfinished(ledger):
            await self.clock.sleep(5)
        night.stop()

    def fill(self) -> None:
        """Make the ledger, and submit what is to be done."""
        with self.opened() as ledger:
            self._engine(ledger)

    def _engine(self, ledger: Ledger) -> Engine:
        """The engine, once everything is submitted."""
        kinds = Work(self.outside, ledger).kinds()
        engine = Engine(ledger, kinds, self.locks, self.clock, os.urandom, sleep=self.clock.sleep, rules=RULES)
        there = {title for (title,) in ledger.query("SELECT title FROM view_runs")}
        for title, placement in TASKS.items():
            if title not in there:
                engine.submit(title, title, {}, placement)
        return engine

    async def _make_way(self) -> None:
        """Who was stopped in the middle of a commit lets nobody open the ledger."""
        await end_silent(self.locks, LOCK, self.clock, lease_s=self.plan.lease_s, sleep=self.clock.sleep)

    def opened(self) -> Ledger:
        places = self.places
        return Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=self.clock, views=ALL_VIEWS)

    @staticmethod
    def _unfinished(ledger: Ledger) -> list[tuple[Any, ...]]:
        final = ", ".join(f"'{state}'" for state in sorted(FINAL))
        return ledger.query(f"SELECT title, state, why, question FROM view_runs WHERE state NOT IN ({final})")

    def _morning(self, engine: Engine, ledger: Ledger) -> None:
        """A person who can look outside says whether what nobody knows has happened."""
        for run, question in ledger.query(
            "SELECT run, question FROM view_runs WHERE state = 'parked' AND NOT answered"
        ):
            assert "nobody knows" in question, question
            key = next(
                (line[1] for line in self.outside.lines() if line[0] == "happened" and line[1] in question), None
            )
            engine.answer(run, question, "repeat" if key is None else {"outcome": "happened", "result": "sent"})


class Unfinished(Exception):
    """Some run is never over."""


# -- the audit


class Audit:
    """What must not have happened, in words. Reads the ledger's events and the world's books only."""

    def __init__(self, owner: Owner, ledger: Ledger) -> None:
        self._owner = owner
        self._ledger = ledger
        self._records = list(ledger.read_all())
        self._runs: dict[str, str] = dict(ledger.query("SELECT run, title FROM view_runs"))
        self._keys: dict[str, str] = {}
        """Of steps → their run."""
        self.faults: list[str] = []

    def look(self) -> list[str]:
        if sorted(self._runs.values()) != sorted(TASKS):
            self.faults.append(f"the tasks are {sorted(self._runs.values())}")
        for run, title in self._runs.items():
            self._look_at_end(run, title)
        self._look_at_steps()
        self._look_at_budgets()
        self._look_at_nights()
        places = self._owner.places
        found = verify(places.ledger, keys=places.keys, witness=places.witness, views=ALL_VIEWS)
        self.faults += [f"verify: {problem.place}: {problem.what}" for problem in found.problems]
        self.faults += [f"view {one.view}: {one.what}" for one in self._ledger.compare_views()]
        return self.faults

    def _look_at_end(self, run: str, title: str) -> None:
        moves = [one.event for one in self._ledger.read(run_stream(run)) if isinstance(one.event, RunMoved)]
        ends = [move for move in moves if move.new in FINAL]
        returned = [
            one.event.result
            for one in self._ledger.read(run_stream(run))
            if isinstance(one.event, StepDone) and one.event.name == "ctx.return"
        ]
        if len(ends) != 1 or moves[-1] is not ends[0]:
            self.faults.append(f"{title} ended {len(ends)} times: {[move.new for move in moves]}")
        elif ends[0].new != "done":
            self.faults.append(f"{title} {ends[0].new}: {ends[0].why}")
        elif returned != [EXPECTED[title]] and not (
            title == "blind" and returned == ["it failed"] and self._failed(run)
        ):
            self.faults.append(f"{title} returned {returned}")

    def _failed(self, run: str) -> bool:
        """Did the disk refuse what one of its steps noted?"""
        failed = [one.event for one in self._ledger.read(run_stream(run)) if isinstance(one.event, StepFailed)]
        return any("OSError" in event.message for event in failed)

    def _look_at_steps(self) -> None:
        recorded: dict[str, int] = {}
        for record in self._records:
            event = record.event
            if isinstance(event, StepDone | StepFailed):
                key = key_of(event.run, Identity(event.branch, event.name, event.nth, event.args))
                self._keys[key] = event.run
                if key in recorded:
                    self.faults.append(f"{event.name} of {self._runs[event.run]} was recorded twice")
                recorded[key] = record.index
        happened: Counter[str] = Counter()
        for word, key, *rest in self._owner.outside.lines():
            if word == "happened":
                happened[key] += 1
            elif word == "computed":
                known = int(rest[0])
                if known > len(self._records):
                    self.faults.append(f"{known} events were durable, and {len(self._records)} are there")
                if recorded.get(key, known) < known:
                    self.faults.append(f"step {key[:12]} of {self._title(key)} was computed though it was recorded")
        self.faults += [f"an effect of {self._title(key)} happened {n} times" for key, n in happened.items() if n > 1]
        by_title = Counter(self._title(key) for key in happened)
        if by_title != {"once": 2, "blind": 1} and not any(map(self._failed, self._runs)):
            self.faults.append(f"effects that happened: {by_title}")

    def _title(self, key: str) -> str:
        return self._runs.get(self._keys.get(key, ""), "nobody")

    def _look_at_budgets(self) -> None:
        limits: dict[str, dict[str, int]] = {}
        above: dict[str, str] = {}
        held: dict[str, tuple[str, dict[str, int]]] = {}
        totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Used and held, by account."""
        settled: Counter[str] = Counter()
        """Money by run."""

        def add(account: str, amounts: dict[str, int], sign: int) -> None:
            while account:
                for name, amount in amounts.items():
                    totals[account][name] += sign * amount
                    most = limits.get(account, {}).get(name)
                    if sign > 0 and most is not None and totals[account][name] > most:
                        self.faults.append(f"{account} has {totals[account][name]} of {most} {name}")
                account = above.get(account, "")

        for record in self._records:
            match record.event:
                case BudgetOpened() as opened:
                    limits[opened.account], above[opened.account] = dict(opened.limit), opened.above
                case BudgetReserved() as reserved:
                    if reserved.key in held:
                        self.faults.append(f"{reserved.key} was reserved twice")
                    held[reserved.key] = (reserved.account, reserved.worst)
                    add(reserved.account, reserved.worst, 1)
                case BudgetSettled() as settling:
                    account, worst = held.pop(settling.key, ("", {}))
                    if not account:
                        self.faults.append(f"{settling.key} was settled, and was not reserved")
                    add(account, worst, -1)
                    add(account, settling.used, 1)
                    settled[settling.run] += settling.used.get("money_microusd", 0)
                case _:
                    pass
        self.faults += [f"{key} is reserved for ever" for key in held]
        paid: Counter[str] = Counter()
        for word, key, *rest in self._owner.outside.lines():
            if word == "paid":
                paid[self._keys.get(key, "")] += int(rest[0])
        for run, amount in paid.items():
            if amount > settled[run]:
                self.faults.append(f"{self._runs.get(run, run)} paid {amount}, and the budget knows of {settled[run]}")

    def _look_at_nights(self) -> None:
        began = [one.event.night for one in self._records if isinstance(one.event, NightBegan)]
        ended = Counter(one.event.night for one in self._records if isinstance(one.event, NightEnded))
        self.faults += [f"night {night} ended {ended[night]} times" for night in began if ended[night] != 1]
        self.faults += [f"night {row.night} is open" for row in open_nights(self._ledger)]
        locks = self._owner.locks
        self.faults += [f"somebody holds {name}" for name in locks.names() if locks.owner(name) is not None]


def audit(owner: Owner) -> None:
    with owner.opened() as ledger:
        faults = Audit(owner, ledger).look()
    (owner.home / "faults").write_text(json.dumps(faults))


# -- the nursery


def child(told: dict[str, Any], gate: int) -> int:
    """A life; its exit status."""
    home = Path(told["home"])
    descriptor = os.open(home / f"{told['do']}.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.read(gate, 1)
    try:
        live(Owner(home, told), told["do"])
    except SupervisorBusy:
        return 0
    except BaseException as problem:  # noqa: BLE001 - told to the test
        with contextlib.suppress(OSError):  # which may be refused, too
            os.write(descriptor, traceback.format_exc().encode())
        if isinstance(problem, DaybreakError):
            return TYPED
        return UNFINISHED if isinstance(problem, Unfinished) else UNTYPED
    return 0


def live(owner: Owner, do: str) -> None:
    match do:
        case "create":
            owner.opened().close()
        case "fill":
            owner.fill()
        case "work":
            owner.work()
        case "audit":
            audit(owner)


class Nursery:
    """Forks, and waits for what it forked."""

    def __init__(self) -> None:
        self._gates: dict[int, int] = {}
        self._living: set[int] = set()

    def start(self, told: dict[str, Any]) -> dict[str, Any]:
        reading, writing = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            status = UNTYPED
            try:
                os.close(writing)
                for gate in self._gates.values():
                    os.close(gate)
                status = child(told, reading)
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(reading)
        self._gates[pid] = writing
        self._living.add(pid)
        if not told.get("held"):
            self.go(pid)
        return {"pid": pid}

    def go(self, pid: int) -> dict[str, Any]:
        os.close(self._gates.pop(pid))
        return {}

    def wait(self, pid: int, most_s: float) -> dict[str, Any]:
        descriptor = os.pidfd_open(pid)
        try:
            ready, _, _ = select.select([descriptor], [], [], most_s)
        finally:
            os.close(descriptor)
        if not ready:
            return {"status": None}
        _, status = os.waitpid(pid, 0)
        self._living.discard(pid)
        return {"status": os.waitstatus_to_exitcode(status)}

    def close(self) -> None:
        for pid in self._living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def stopped(self, pid: int) -> dict[str, Any]:
        """Wait until it stops or ends."""
        found = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert found is not None
        return {"stopped": found.si_code == os.CLD_STOPPED}

    def answer(self, told: dict[str, Any]) -> dict[str, Any]:
        if "go" in told:
            return self.go(told["go"])
        if "wait" in told:
            return self.wait(told["wait"], told["most_s"])
        if "stopped" in told:
            return self.stopped(told["stopped"])
        return self.start(told)


def main(lines: Sequence[str] | Any = sys.stdin) -> None:
    nursery = Nursery()
    for line in lines:
        print(json.dumps(nursery.answer(json.loads(line))), flush=True)
    nursery.close()


if __name__ == "__main__":
    main()
