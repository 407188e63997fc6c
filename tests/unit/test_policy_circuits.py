"""Durable breakers: one state for all writers, over restarts; nothing appended where nothing changed."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from daybreak import events
from daybreak.errors import DraftRefused, LedgerStopped
from daybreak.events import POLICY
from daybreak.ledger import Draft, Ledger
from daybreak.policy import circuits as durable
from daybreak.policy.breaker import Breaker, BreakerMisused, BreakerOpen, BreakerRule, Circuit, MemoryCircuits
from daybreak.policy.circuits import CIRCUITS, CircuitsBusy, LedgerCircuits
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

AnyLedger = Ledger | MemoryLedger
NOW = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)
OPEN = Circuit(state="open", until=NOW, openings=1, why="down")


def on_disk(folder: Path, clock: FakeClock) -> Ledger:
    return Ledger.open(
        folder / "ledger", keys=folder / "keys", witness=folder / "witness", clock=clock, views=[CIRCUITS]
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["disk", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[AnyLedger]:
    found: AnyLedger = (
        on_disk(tmp_path, clock) if request.param == "disk" else MemoryLedger(clock=clock, views=[CIRCUITS])
    )
    with found:
        yield found


def appended(ledger: AnyLedger) -> int:
    return len(list(ledger.read(POLICY)))


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError), breaker:
            raise ConnectionError("down")


def opened(_: Circuit) -> tuple[Circuit, None]:
    return OPEN, None


def test_an_open_breaker_is_open_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    """Failures counted, opened, half-open and closed again, each in another process."""

    # shows: N8
    def shop(ledger: Ledger) -> Breaker:
        return Breaker("shop", BreakerRule(failures=3), circuits=LedgerCircuits(ledger, clock), clock=clock)

    with on_disk(tmp_path, clock) as ledger:
        fail(shop(ledger), 2)
    with on_disk(tmp_path, clock) as ledger:
        fail(shop(ledger))
    with on_disk(tmp_path, clock) as ledger:
        with pytest.raises(BreakerOpen, match="down") as refused:
            shop(ledger).passed()
        assert refused.value.until == clock.now() + timedelta(seconds=30)
        clock.advance(30)
        mark = shop(ledger).passed()
    with on_disk(tmp_path, clock) as ledger:
        shop(ledger).ended(mark, None)
        assert shop(ledger).circuit == Circuit()
        assert ledger.compare_views() == []


def test_nothing_is_appended_where_nothing_changed(ledger: AnyLedger, clock: FakeClock) -> None:
    """Calls that work while it is closed, and those held back while it is open, cost no commit."""
    circuits = LedgerCircuits(ledger, clock)
    shop = Breaker("shop", BreakerRule(failures=1), circuits=circuits, clock=clock)
    for _ in range(3):
        shop.call(int)
    assert appended(ledger) == 0
    fail(shop)
    for _ in range(3):
        with pytest.raises(BreakerOpen):
            shop.passed()
    assert appended(ledger) == 1
    assert [(row.name, row.version, row.circuit.state) for row in circuits.all()] == [("shop", 1, "open")]


def test_who_comes_second_decides_anew(ledger: AnyLedger, clock: FakeClock) -> None:
    """Between the look and the append somebody else changes the circuit: the change is made on top of his."""
    # shows: N8 N14
    one, other = LedgerCircuits(ledger, clock), LedgerCircuits(ledger, clock)
    seen: list[Circuit] = []

    def late(circuit: Circuit) -> tuple[Circuit, str]:
        if not seen:
            other.change("shop", opened)
        seen.append(circuit)
        return Circuit(state="half_open", until=circuit.until, openings=circuit.openings, probes=(NOW,)), "mine"

    assert one.change("shop", late) == "mine"
    assert seen == [Circuit(), OPEN]
    assert [(row.version, row.circuit.openings) for row in one.all()] == [(2, 1)]


def test_the_same_word_at_the_same_moment_is_still_two_words(ledger: AnyLedger, clock: FakeClock) -> None:
    """Two processes ask for the only probe at the same instant and would write the same event: one passes."""
    # shows: N8 N14
    LedgerCircuits(ledger, clock).change("shop", opened)
    rules, asked = BreakerRule(probes=1), 0
    one, other = LedgerCircuits(ledger, clock), LedgerCircuits(ledger, clock)
    answers: list[datetime | None] = []

    def late(circuit: Circuit) -> tuple[Circuit, datetime | None]:
        nonlocal asked
        asked += 1
        if asked == 1:
            answers.append(other.change("shop", lambda now: rules.ask(now, NOW)))
        return rules.ask(circuit, NOW)

    answers.append(one.change("shop", late))
    assert [answer is None for answer in answers] == [True, False]
    assert asked == 2


def test_of_many_processes_one_probes(tmp_path: Path, clock: FakeClock) -> None:
    """Eight threads on two handles of one ledger count their failures and then ask for the one probe: none is lost."""
    # shows: N8 N14
    with on_disk(tmp_path, clock) as first, on_disk(tmp_path, clock) as second:
        rules = BreakerRule(failures=1000, within_s=60)

        def work(ledger: Ledger) -> None:
            shop = Breaker("shop", rules, circuits=LedgerCircuits(ledger, clock), clock=clock)
            for _ in range(5):
                shop.ended(shop.passed(), ConnectionError("down"))

        together(work, [first, second] * 4)
        assert len(LedgerCircuits(first, clock).all()[0].circuit.failures) == 40
        LedgerCircuits(first, clock).change("shop", lambda _: (replace(OPEN, until=clock.now()), None))
        clock.advance(3600)
        passed: list[int] = []

        def probe(ledger: Ledger) -> None:
            try:
                Breaker("shop", circuits=LedgerCircuits(ledger, clock), clock=clock).passed()
            except BreakerOpen:
                return
            passed.append(1)

        together(probe, [first, second] * 4)
        assert passed == [1]
        assert second.compare_views() == []


def together(work: Callable[[Ledger], None], ledgers: list[Ledger]) -> None:
    threads = [threading.Thread(target=work, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_tasks_of_one_loop_share_a_breaker(ledger: AnyLedger, clock: FakeClock) -> None:
    """`async with`: no failure is lost, one probe passes, a cancelled probe frees its place."""
    # shows: N8
    shop = Breaker("shop", BreakerRule(failures=5), circuits=LedgerCircuits(ledger, clock), clock=clock)

    async def failing() -> None:
        async with shop:
            await asyncio.sleep(0)
            raise ConnectionError("down")

    async def probing(go: asyncio.Event, began: asyncio.Event) -> bool:
        try:
            async with shop:
                began.set()
                await go.wait()
        except BreakerOpen:
            return False
        return True

    async def main() -> None:
        found = await asyncio.gather(*(failing() for _ in range(5)), return_exceptions=True)
        assert {type(error) for error in found} == {ConnectionError}
        assert shop.circuit.state == "open"
        clock.advance(31)
        go, began = asyncio.Event(), asyncio.Event()
        cancelled = asyncio.create_task(probing(go, began))
        await began.wait()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert shop.circuit.probes == ()
        began.clear()
        tasks = [asyncio.create_task(probing(go, began)) for _ in range(4)]
        await began.wait()
        while sum(task.done() for task in tasks) < 3:
            await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
        go.set()
        assert sorted(await asyncio.gather(*tasks)) == [False, False, False, True]

    asyncio.run(main())
    assert shop.circuit == Circuit()


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2}, {"version": 0}, {"state": "ajar"}, {"openings": -1}, {"until": "soon"}, {"probes": ["x"]},
        {"failures": ["2026-11-21T04:30:00"]},
    ],
)  # fmt: skip
def test_the_transaction_refuses_what_cannot_be(ledger: AnyLedger, clock: FakeClock, changes: dict[str, Any]) -> None:
    """Gaps in the versions, other states, times that are none; whoever wrote the event."""
    # shows: N16
    plain = {
        "name": "shop", "version": 1, "state": "open", "failures": [], "until": "", "openings": 1, "probes": [],
        "why": "",
    }  # fmt: skip
    with pytest.raises(DraftRefused):
        ledger.append([Draft(POLICY, events.BreakerChanged(**(plain | changes)))])
    ledger.append([Draft(POLICY, events.BreakerChanged(**plain))])
    with pytest.raises(DraftRefused, match="version 1 of shop after 1"):
        ledger.append([Draft(POLICY, events.BreakerChanged(**plain))])


@pytest.mark.parametrize("name", ["", "x" * 201, "two\nlines", None, 7])
def test_a_name_that_cannot_be_is_refused(clock: FakeClock, name: Any) -> None:
    """Empty, long, with control characters, no text."""
    circuits = LedgerCircuits(MemoryLedger(clock=clock, views=[CIRCUITS]), clock)
    with pytest.raises(BreakerMisused):
        circuits.change(name, opened)


def test_reasons_that_no_event_can_hold_are_kept_readable(ledger: AnyLedger, clock: FakeClock) -> None:
    """Half surrogate pairs and endless texts of a failure do not keep a breaker from opening."""
    circuits = LedgerCircuits(ledger, clock)
    circuits.change("shop", lambda _: (Circuit(state="open", until=NOW, why="\ud800\0" + "x" * 10_000), None))
    (row,) = circuits.all()
    assert row.circuit.state == "open"
    assert len(row.circuit.why) < 600


def test_somebody_who_always_comes_second_hears_so(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an endless loop, and not a silent one."""
    monkeypatch.setattr(durable, "TRIES_MAX", 5)
    ledger = MemoryLedger(clock=clock, views=[CIRCUITS])
    one, other = LedgerCircuits(ledger, clock), LedgerCircuits(ledger, clock)
    turns = 0

    def late(circuit: Circuit) -> tuple[Circuit, None]:
        nonlocal turns
        turns += 1
        other.change("shop", lambda now: (Circuit(openings=turns), None))
        return opened(circuit)

    with pytest.raises(CircuitsBusy, match="5 times"):
        one.change("shop", late)
    assert turns == 5


def test_an_error_of_the_ledger_is_no_lost_race(clock: FakeClock) -> None:
    """A refusal that nobody else's change explains, and a stopped ledger, are raised at once."""
    ledger = MemoryLedger(clock=clock, views=[CIRCUITS])
    circuits = LedgerCircuits(ledger, clock)
    with pytest.raises(DraftRefused):
        circuits.change("shop", lambda _: (Circuit(openings=-1), None))
    ledger.close()
    with pytest.raises(LedgerStopped):
        circuits.change("shop", opened)


def test_a_change_that_raises_changes_nothing(ledger: AnyLedger, clock: FakeClock) -> None:
    """Its error comes through."""
    circuits = LedgerCircuits(ledger, clock)
    with pytest.raises(ZeroDivisionError):
        circuits.change("shop", lambda circuit: (OPEN, 1 // circuit.openings))
    assert circuits.all() == []


class Shared(RuleBasedStateMachine):
    """Three writers on one ledger, who overtake each other, against one breaker in memory: the same answers."""

    names = st.sampled_from(["shop", "model"])
    writers = st.integers(0, 2)
    followed = BreakerRule(failures=2, within_s=20, open_s=10, probes=2, probe_s=30)

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.ledger = self.make()
        entropy = Random(7).randbytes
        self.shared = [LedgerCircuits(self.ledger, self.clock, entropy) for _ in range(3)]
        self.plain = MemoryCircuits()
        self.marks: list[tuple[str, datetime]] = []

    def make(self) -> AnyLedger:
        return MemoryLedger(clock=self.clock, views=[CIRCUITS])

    def breakers(self, name: str, writer: int) -> tuple[Breaker, Breaker]:
        """The durable one and the plain one."""
        return (
            Breaker(name, self.followed, circuits=self.shared[writer], clock=self.clock),
            Breaker(name, self.followed, circuits=self.plain, clock=self.clock),
        )

    @staticmethod
    def asked(breaker: Breaker) -> datetime | str:
        try:
            return breaker.passed()
        except BreakerOpen as error:
            return error.message

    @rule(name=names, writer=writers)
    def ask(self, name: str, writer: int) -> None:
        ours, plain = self.breakers(name, writer)
        answer = self.asked(ours)
        assert answer == self.asked(plain)
        if isinstance(answer, datetime):
            self.marks.append((name, answer))

    @precondition(lambda self: self.marks)
    @rule(data=st.data(), writer=writers, how=st.sampled_from(["well", "down", "wrong", "quota", "cancelled"]))
    def end(self, data: Any, writer: int, how: str) -> None:
        name, mark = self.marks.pop(data.draw(st.integers(0, len(self.marks) - 1)))
        error = {
            "well": None,
            "down": ConnectionError("down"),
            "wrong": ValueError("404"),
            "quota": RuntimeError("usage limit: try again in 15 seconds"),
            "cancelled": asyncio.CancelledError(),
        }[how]
        for breaker in self.breakers(name, writer):
            breaker.ended(mark, error)

    @rule(name=names, first=writers, second=writers)
    def overtake(self, name: str, first: int, second: int) -> None:
        """`first` looks, `second` asks and is done, then `first` appends: as if second had asked before first."""
        now, turns = self.clock.now(), 0
        late: list[datetime | None] = []

        def ask(circuit: Circuit) -> tuple[Circuit, datetime | None]:
            nonlocal turns
            turns += 1
            if turns == 1:
                late.append(self.shared[second].change(name, lambda other: self.followed.ask(other, now)))
            return self.followed.ask(circuit, now)

        late.append(self.shared[first].change(name, ask))
        expected = [self.plain.change(name, lambda circuit: self.followed.ask(circuit, now)) for _ in late]
        assert late == expected
        self.marks += [(name, now) for until in late if until is None]

    @rule(seconds=st.sampled_from([0.000001, 1, 5, 10, 31]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def rebuild(self) -> None:
        self.ledger.rebuild_views()

    @invariant()
    def all_see_the_same(self) -> None:
        for name in ("shop", "model"):
            for writer in range(3):
                ours, plain = self.breakers(name, writer)
                assert ours.circuit == plain.circuit

    def teardown(self) -> None:
        assert self.ledger.compare_views() == []
        self.ledger.close()


class SharedOnDisk(Shared):
    """The same on a disk."""

    def make(self) -> AnyLedger:
        self.folder = Path(tempfile.mkdtemp())
        return on_disk(self.folder, self.clock)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


TestShared = Shared.TestCase
TestShared.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestSharedOnDisk = SharedOnDisk.TestCase
TestSharedOnDisk.settings = settings(max_examples=4, stateful_step_count=20, deadline=None)
