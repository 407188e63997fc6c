"""Many attempts on many nodes, in virtual time: the real supervisors, crews, queue and engine on a pretended cluster.

    found = Cluster(Size(attempts=1000, nodes=100), costs, seed=1).play()

Real, because it is the product's own code: what is picked, leased, tried again, recorded and counted, on a ledger in
memory with its real rules. Pretended: nodes, which do nothing but keep a slot for an attempt's duration and now and
then vanish with all they have; and time. What the code would take is not measured here but charged from `Costs`, which
were measured on the real ledger: each coordinator has one processor, which its commits queue for; the store does one
commit after the other, and what waits meanwhile in a coordinator is its next one. On Postgres every coordinator also
takes over what the others have written.

Everything follows from the seed and the costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

import anyio

from benchmarks.scale.costs import Costs
from benchmarks.scale.nodes import Nodes, Size, percentile
from daybreak.engine import VIEWS, Context, Engine
from daybreak.engine.night import Plan
from daybreak.engine.nights import NIGHTS
from daybreak.engine.placement import Placement
from daybreak.engine.queue import NamedTask
from daybreak.engine.supervisor import Supervisor
from daybreak.errors import LeaseLost
from daybreak.events import FINAL, RunMoved
from daybreak.ledger.record import Draft, Record
from daybreak.ledger.seats import Sitter, Turn
from daybreak.policy.retry import Retry
from daybreak.testing.clock import DAWN, FakeClock
from daybreak.testing.memory_ledger import MemoryLedger
from daybreak.testing.world import MemoryLocks

PROJECTS = 10
HORIZON = timedelta(days=3)
RETRY = Retry(attempts=100, first_s=1.0, most_s=4.0, identical=1000)
_AT_ONCE = 200


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of it."""

    size: Size
    seconds: float
    """Virtual, from the first pick to the last end."""
    done: int
    twice: int
    """Runs that came to an end more than once, or whose attempt was finished twice: none."""
    lost: int
    """Attempts that a node took with it; each was done again."""
    events: int
    commits: int
    cpu_task_us: float
    """Of all coordinators' processors, for each task, over all of it."""
    cpu: float
    """Share of its processor that the busiest coordinator used while places were full."""
    store: float
    """Share of the time in which the store was at a commit, likewise."""
    events_s: float
    """A second, likewise."""
    commits_s: float
    idle_p50_s: float
    """How long a place was empty between two attempts while tasks waited."""
    idle_p99_s: float
    filled_s: float
    """Until every place had its first attempt."""
    collisions: int
    """Leases that another coordinator had taken first."""


@dataclass
class Batch:
    """What one coordinator hands to its next commit."""

    events: int = 0
    over: anyio.Event = field(default_factory=anyio.Event)


@dataclass
class Store:
    """One commit after the other. What waits meanwhile in one coordinator is its next commit; two coordinators never
    share one, since each commit holds the ledger's lock."""

    costs: Costs
    busy_s: float = 0.0
    commits: int = 0
    events: int = 0
    _turn: anyio.Lock = field(default_factory=anyio.Lock)
    _waiting: dict[int, Batch] = field(default_factory=dict)

    async def commit(self, events: int, who: int) -> bool:
        """True for the first that is in the commit, which makes it."""
        if (batch := self._waiting.get(who)) is not None:
            batch.events += events
            await batch.over.wait()
            return False
        batch = self._waiting[who] = Batch(events)
        try:
            async with self._turn:
                del self._waiting[who]
                took_s = self.costs.commit_ms / 1e3 + batch.events * self.costs.store_us / 1e6
                await anyio.sleep(took_s)
                self.commits += 1
                self.events += batch.events
                self.busy_s += took_s
        finally:
            batch.over.set()
        return True


@dataclass
class Charged:
    """The ledger of one coordinator: the common one, behind its processor and the store."""

    ledger: MemoryLedger
    store: Store
    costs: Costs
    now_s: Callable[[], float]
    others: list[Charged] = field(default_factory=list)
    free_s: float = 0.0
    """When its processor has done all that it has been given."""
    cpu_s: float = 0.0
    refused: int = 0
    """Leases that somebody else had taken first."""
    callbacks: list[Callable[[list[Any]], None]] = field(default_factory=list)
    _owed: float = 0.0
    """Of an event: the part that the next one pays."""

    def charge(self, us: float) -> None:
        self.free_s = max(self.free_s, self.now_s()) + us / 1e6
        self.cpu_s += us / 1e6

    def append(self, drafts: Sequence[Draft]) -> list[Record]:
        self._pay(len(drafts))
        return self._append(drafts)

    async def append_async(self, drafts: Sequence[Draft]) -> list[Record]:
        events = self._pay(len(drafts))
        await anyio.sleep(self.free_s - self.now_s())
        if await self.store.commit(events, id(self)):
            self.charge(self.costs.commit_us)  # that it takes this long is part of the commit's own time
        return self._append(drafts)

    def _append(self, drafts: Sequence[Draft]) -> list[Record]:
        try:
            records = self.ledger.append(drafts)
        except LeaseLost:
            self.refused += 1
            raise
        for callback in self.callbacks:
            callback(records)
        return records

    def _pay(self, drafts: int) -> int:
        """A real attempt has more events than a pretended one: each counts for some."""
        self._owed += drafts * self.costs.events_factor
        events = max(1, int(self._owed))
        self._owed -= events
        self.charge(events * self.costs.event_us)
        for other in self.others:
            other.charge(events * self.costs.mirror_us)
        return events

    async def secure_async(self) -> None:
        """Nothing happens outside."""

    def subscribe(self, callback: Callable[[list[Any]], None]) -> Callable[[], None]:
        """Hears this coordinator's own commits, as a process does."""
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def read(self, stream: str, *, after: int = -1) -> Iterator[Record]:
        return self.ledger.read(stream, after=after)

    def epoch(self, stream: str) -> int:
        return self.ledger.epoch(stream)

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.ledger.query(sql, params)

    def put_blob(self, data: bytes) -> str:
        return self.ledger.put_blob(data)

    async def put_blob_async(self, data: bytes) -> str:
        return self.ledger.put_blob(data)

    def get_blob(self, name: str) -> bytes:
        return self.ledger.get_blob(name)


@dataclass
class Seat:
    """One coordinator's, by which the others see it; it always beats."""

    me: str
    now_s: Callable[[], float]
    room: dict[str, Seat]
    night: str = ""
    taken: bool = False

    async def sit(self, *, night: str = "", lease_s: float = 60.0, alone: bool = False) -> Sequence[Sitter]:
        self.taken, self.night = True, night or self.night
        self.room[self.me] = self
        return ()

    async def others(self) -> Sequence[Sitter]:
        return self.look()

    def look(self) -> Sequence[Sitter]:
        beat = str(int(self.now_s() / 5.0))
        sitting = (one for one in self.room.values() if one is not self)
        return [Sitter(one.me, one.me, 1, one.night, 60.0, 0.0, beat) for one in sitting]

    def feed(self) -> None:
        """It always does."""

    def lapse_s(self) -> float:
        return 0.0

    def turn(self, name: str) -> Turn:
        raise NotImplementedError(f"there are no schedules here, and no {name}")

    def stand(self) -> None:
        self.room.pop(self.me, None)


# -- playing


class Cluster:
    """See the module."""

    def __init__(self, size: Size, costs: Costs, seed: int = 1) -> None:
        from daybreak.testing.virtual_time import JumpingClock  # late: it needs a development dependency

        self.size, self.costs, self.seed = size, costs, seed
        self.chance = Random(seed)
        self._jumping = JumpingClock()
        self.clock = FakeClock(DAWN, elapsed=self._jumping.current_time)
        self.ledger = MemoryLedger(clock=self.clock, views=[*VIEWS, NIGHTS], entropy=self.chance.randbytes)
        self.store = Store(costs)
        self.nodes = Nodes(size, self.chance, self.clock.monotonic)
        now_s = self.clock.monotonic
        self.coordinators = [Charged(self.ledger, self.store, costs, now_s) for _ in range(size.coordinators)]
        for one in self.coordinators:
            one.others = [other for other in self.coordinators if other is not one]
        self.room: dict[str, Seat] = {}
        self.ended: Counter[str] = Counter()
        self.last_s = 0.0
        self._full: tuple[float, ...] = ()
        self._until: tuple[float, ...] = ()
        self._left = size.tasks
        self._over = anyio.Event()

    def play(self) -> Played:
        """Work the whole queue off. Raises AssertionError where the books do not agree with the ledger."""
        from daybreak.testing import virtual_time

        self._fill()
        self.events_before = self.ledger.head().size
        self.ledger.subscribe(self._hear)
        virtual_time.run(self.seed, self._jumping, self._night)
        return self._found()

    def _fill(self) -> None:
        """Before the night, and at no cost."""
        engine = self._engine(self.ledger, MemoryLocks("desk"))
        for first in range(0, self.size.tasks, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, self.size.tasks))
            engine.queue.add_all(
                [
                    NamedTask(
                        name=str(number),
                        kind="task",
                        title=f"task {number}",
                        args={"number": number},
                        placement=Placement(project=f"project-{number % PROJECTS}", priority=number % 3),
                    )
                    for number in numbers
                ]
            )

    async def _task(self, ctx: Context, args: Any) -> Any:
        return await ctx.step("attempt", self.nodes.attempt, args["number"], retry=RETRY)

    def _engine(self, log: Any, locks: MemoryLocks, seat: Seat | None = None) -> Engine:
        return Engine(log, {"task": self._task}, locks, self.clock, self.chance.randbytes, seats=seat)

    async def _night(self) -> None:
        async with anyio.create_task_group() as group:
            for node in range(self.size.nodes):
                group.start_soon(self.nodes.vanish, node)
            async with anyio.create_task_group() as nights:
                for number, log_ in enumerate(self.coordinators):
                    nights.start_soon(self._coordinate, number, log_)
                group.start_soon(self._beats)
            group.cancel_scope.cancel()

    async def _coordinate(self, number: int, charged: Charged) -> None:
        locks = MemoryLocks(f"host-{number}")
        share = self.size.attempts // self.size.coordinators + (number < self.size.attempts % self.size.coordinators)
        several = len(self.coordinators) > 1
        plan = Plan(
            workers=share,
            until=self.clock.now() + HORIZON,
            stuck_s=HORIZON.total_seconds(),
            poll_s=60.0,
            lease_s=360.0,  # looks for runs that hang, every minute: nothing hangs here, and what they cost is charged
            recover_s=300.0,
            join=several,
        )
        seat = Seat(f"home{number}/{number}", self.clock.monotonic, self.room) if several else None
        engine = self._engine(charged, locks, seat)
        night = Supervisor(engine, charged, self.clock, self.chance.randbytes, locks, plan, seats=seat)
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_at_the_end, night)
            await night.work()

    async def _stop_at_the_end(self, night: Supervisor) -> None:
        await self._over.wait()
        night.stop()

    async def _beats(self) -> None:
        """What runs under way cost only by being there."""
        while True:
            await anyio.sleep(5.0)
            for one in self.coordinators:
                one.charge(self.costs.beat_us * self.size.attempts / len(self.coordinators))

    def _hear(self, records: list[Any]) -> None:
        for record in records:
            if record.type == RunMoved.type and record.event.new in FINAL:
                self.ended[record.event.run] += 1
                self.last_s = self.clock.monotonic()
                self._left -= 1
        if not self._full and len(self.nodes.first) >= self.size.attempts:
            self._full = self._now()
        if self._left >= self.size.attempts:
            self._until = self._now()
        if self._left == 0:
            self._over.set()

    def _now(self) -> tuple[float, ...]:
        busiest = max(one.cpu_s for one in self.coordinators)
        return (self.clock.monotonic(), busiest, self.store.busy_s, self.store.events, self.store.commits)

    def _found(self) -> Played:
        done = self.ledger.query("SELECT count(*) FROM view_runs WHERE state = 'done'")[0][0]
        twice = sum(times - 1 for times in self.ended.values()) + sum(self.nodes.finished.values()) - self.size.tasks
        lost = sum(self.nodes.lost.values())
        assert self.nodes.begun == sum(self.nodes.finished.values()) + lost, "an attempt is missing in the books"
        begin = self._full or (0.0,) * 5
        end = self._until if self._until and self._until[0] > begin[0] else self._now()
        span_s, cpu_s, busy_s, events, commits = (b - a for a, b in zip(begin, end, strict=True))
        idle = [length for at, length in self.nodes.idle if begin[0] <= at <= end[0]]
        return Played(
            size=self.size,
            seconds=self.last_s,
            done=done,
            twice=twice,
            lost=lost,
            events=self.store.events,
            commits=self.store.commits,
            cpu_task_us=sum(one.cpu_s for one in self.coordinators) / self.size.tasks * 1e6,
            cpu=cpu_s / span_s,
            store=busy_s / span_s,
            events_s=events / span_s,
            commits_s=commits / span_s,
            idle_p50_s=percentile(idle, 0.5),
            idle_p99_s=percentile(idle, 0.99),
            filled_s=max(self.nodes.first, default=0.0),
            collisions=sum(one.refused for one in self.coordinators),
        )
