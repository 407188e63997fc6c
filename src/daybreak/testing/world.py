"""A bad night from a seed: one random source, one virtual clock, one ledger in memory, owners that die.

    world = World(seed)
    run = world.start(function, args)
    world.until_quiet()
    assert world.ends(run) == 1

An owner dies before or behind any append, and wherever a step says `world.danger()`. What dies records nothing
more; its lock is free at once, and the next owner takes over. With `rivals`, some nights have two owners that
do not know of each other, as after a network that was cut. Everything follows from the seed: on failure,
run the same seed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import anyio

from daybreak import errors
from daybreak.engine import VIEWS, Engine, RunResult, TaskFunction, step_key
from daybreak.engine.history import Identity
from daybreak.engine.step import key_of
from daybreak.events import FINAL, RunMoved, StepDone, StepFailed, run_stream
from daybreak.host.locks import LockHeld, Owner
from daybreak.ledger.record import Draft, Record
from daybreak.testing.clock import DAWN, FakeClock
from daybreak.testing.memory_ledger import MemoryLedger


class MemoryLocks:
    """Locks of one pretended machine."""

    def __init__(self, host: str = "here") -> None:
        self.me = Owner(1, host, "2026-03-01T22:00:00.000000Z")
        self._held: set[str] = set()

    def hold(self, name: str) -> AbstractContextManager[None]:
        if name in self._held:
            raise LockHeld(Path(name), self.me)
        self._held.add(name)
        return self._release_after(name)

    @contextmanager
    def _release_after(self, name: str) -> Iterator[None]:
        try:
            yield
        finally:
            self._held.discard(name)

    def owner(self, name: str) -> Owner | None:
        return self.me if name in self._held else None


class Died(BaseException):
    """The process is dead. Nothing of ours may catch it."""


@dataclass
class Life:
    """One owner process. As a ledger it is the world's, until it dies; from then on every call dies again."""

    world: World
    dead: bool = False
    began: int = 0
    """Events in the ledger when it was born: it has read at least these."""

    def append(self, drafts: Sequence[Draft]) -> list[Record]:
        self.danger()
        records = self.world.ledger.append(drafts)
        self.danger()
        return records

    async def append_async(self, drafts: Sequence[Draft]) -> list[Record]:
        self.danger()
        await anyio.lowlevel.checkpoint()
        self.alive()
        records = self.world.ledger.append(drafts)
        self.danger()
        await anyio.lowlevel.checkpoint()
        self.alive()
        return records

    async def secure_async(self) -> None:
        self.alive()

    def read(self, stream: str, *, after: int = -1) -> Iterator[Record]:
        self.alive()
        return self.world.ledger.read(stream, after=after)

    def epoch(self, stream: str) -> int:
        self.alive()
        return self.world.ledger.epoch(stream)

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.alive()
        return self.world.ledger.query(sql, params)

    def put_blob(self, data: bytes) -> str:
        self.danger()
        return self.world.ledger.put_blob(data)

    async def put_blob_async(self, data: bytes) -> str:
        return self.put_blob(data)

    def get_blob(self, name: str) -> bytes:
        self.alive()
        return self.world.ledger.get_blob(name)

    def alive(self) -> None:
        if self.dead:
            raise Died

    def danger(self) -> None:
        """A place where the process may die."""
        self.alive()
        if self.world.deaths < self.world.deaths_max and self.world.random.random() < self.world.death_rate:
            self.world.deaths += 1
            self.dead = True
            raise Died


_LIFE: ContextVar[Life] = ContextVar("life")
"""The process that the code runs in."""


@dataclass
class Computed:
    """A step's function was called, by a life at whose birth the ledger held `began` events."""

    key: str
    began: int


@dataclass
class World:
    """Everything that a run can notice, from one seed."""

    seed: int
    deaths_max: int = 8
    death_rate: float = 0.1
    rivals: bool = False
    random: Random = field(init=False)
    clock: FakeClock = field(init=False)
    ledger: MemoryLedger = field(init=False)
    outside: Counter[str] = field(init=False, default_factory=Counter)
    """What steps did to the world outside, by idempotency key; it never forgets and never loses."""
    computed: list[Computed] = field(init=False, default_factory=list)
    deaths: int = field(init=False, default=0)
    results: dict[str, RunResult] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        from daybreak.testing.virtual_time import JumpingClock  # late: it needs a development dependency

        self.random = Random(self.seed)
        self._jumping = JumpingClock()
        self.clock = FakeClock(DAWN + timedelta(hours=self.seed % 24), elapsed=self._jumping.current_time)
        self.ledger = MemoryLedger(clock=self.clock, views=VIEWS, entropy=self.random.randbytes)
        self._functions: dict[str, TaskFunction] = {}
        self._questions: dict[str, str] = {}

    def start(self, function: TaskFunction, args: Any) -> str:
        """Put a task into the queue; the id of its run."""
        kind = f"kind-{len(self._functions)}"
        self._functions[kind] = function
        engine = Engine(self.ledger, self._functions, MemoryLocks(), self.clock, self.random.randbytes)
        return engine.submit(kind, f"task of seed {self.seed}", args)

    def until_quiet(self, *, lives_max: int = 200) -> None:
        """Let owners live and die until every run is final, or parked with a question that nobody answers.

        Raises AssertionError, which names the seed, where that takes more than `lives_max` owners.
        """
        from daybreak.testing import virtual_time

        virtual_time.run(self.seed, self._jumping, self._night, lives_max)

    def danger(self) -> None:
        """For a step's function: its process may die here."""
        _LIFE.get().danger()

    def begin_step(self) -> None:
        """For a step's function: note that it is being computed, and by whom."""
        self.computed.append(Computed(step_key(), _LIFE.get().began))
        self.danger()

    # -- what came of it

    def computed_again(self, run: str) -> list[Computed]:
        """Steps that an owner computed although their outcome was in the ledger when it was born: none, ever."""
        recorded = self.recorded(run)
        return [computed for computed in self.computed if recorded.get(computed.key, computed.began) < computed.began]

    def ends(self, run: str) -> int:
        """How often the run went to a final state."""
        return sum(event.new in FINAL for event in self._events(run) if isinstance(event, RunMoved))

    def recorded(self, run: str) -> dict[str, int]:
        """The run's history: ledger index of each step's outcome by the step's key; fails on a second one."""
        found: dict[str, int] = {}
        for record in self.ledger.read(run_stream(run)):
            event = record.event
            if isinstance(event, StepDone | StepFailed):
                identity = Identity(event.branch, event.name, event.nth, event.args)
                key = key_of(run, identity)
                assert key not in found, f"seed {self.seed}: {identity} was recorded twice"
                found[key] = record.index
        return found

    def size(self) -> int:
        """How many events the ledger holds."""
        return sum(1 for _ in self.ledger.read_all())

    def history(self) -> list[tuple[str, int, str, bytes]]:
        """All that happened: stream, seq, type and payload of every event."""
        return [(record.stream, record.seq, record.type, record.payload) for record in self.ledger.read_all()]

    def _events(self, run: str) -> list[Any]:
        return [record.event for record in self.ledger.read(run_stream(run))]

    # -- owners

    async def _night(self, lives_max: int) -> None:
        locks = [MemoryLocks("here"), MemoryLocks("there")]
        lives = 0
        while unfinished := self._unfinished():
            lives += 1
            assert lives <= lives_max, f"seed {self.seed}: still not quiet after {lives_max} owners"
            if self.rivals and self.random.random() < 0.5:
                async with anyio.create_task_group() as group:
                    for place in locks:
                        group.start_soon(self._one_life, unfinished[0], place, self.random.random() * 3)
            else:
                await self._one_life(unfinished[0], locks[0], 0.0)
            for run, question in self._questions.items():  # asked when every owner is gone, as a person would
                self._answer(run, question)
            self._questions.clear()

    def _unfinished(self) -> list[str]:
        rows = self.ledger.query("SELECT run FROM view_runs ORDER BY created, run")
        return [run for (run,) in rows if run not in self.results]

    async def _one_life(self, run: str, locks: MemoryLocks, delay_s: float) -> None:
        await anyio.sleep(delay_s)
        life = Life(self, began=self.size())
        _LIFE.set(life)
        engine = Engine(life, self._functions, locks, self.clock, self.random.randbytes)
        try:
            result = await engine.supervise(run)
        except errors.LeaseLost:
            return
        except Died:
            return
        except BaseExceptionGroup as group:
            if group.split(Died)[1] is not None:
                raise
            return
        if result.state == "parked":
            self._questions[run] = result.question
        elif result.state == "waiting":
            assert result.until is not None, f"seed {self.seed}: {run} waits for nothing that comes by itself"
            await anyio.sleep((result.until - self.clock.now()).total_seconds())
        else:
            self.results[run] = result

    def _answer(self, run: str, question: str) -> None:
        """A person who knows what happened outside answers an ambiguous `once`; other questions stay."""
        key = next((key for key in self.outside if key in question), None)
        engine = Engine(self.ledger, self._functions, MemoryLocks(), self.clock, self.random.randbytes)
        if "owners in a row" in question:
            engine.answer(run, question, "yes")
        elif "nobody knows" in question:
            engine.answer(run, question, "repeat" if key is None else "happened")
        else:
            self.results[run] = RunResult(run, "parked", question=question)
