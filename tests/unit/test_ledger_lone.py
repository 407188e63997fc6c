"""A lone task on a quick disk commits by itself: as durable as before, and the loop never stands still for long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest
from tests.unit import ledger_home as shelf
from tests.unit.ledger_disk import Disk

from daybreak.errors import IdemConflict, LeaseLost, LedgerStopped
from daybreak.ledger import Draft, Ledger, Record, database, writer
from daybreak.testing.clock import FakeClock

pytestmark = pytest.mark.on_disk

Home, step, grant = shelf.Home, shelf.step, shelf.grant

QUICK, SLOW = 0.0001, 0.05


class Pace:
    """How long commits seem to take: the writer asks the clock once before each and once after it."""

    def __init__(self) -> None:
        self.takes = QUICK
        self._now = 0.0

    def perf_counter(self) -> float:
        self._now += self.takes
        return self._now


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> Pace:
    pace = Pace()
    monkeypatch.setattr(writer, "time", SimpleNamespace(perf_counter=pace.perf_counter))
    return pace


@pytest.fixture
def disk() -> Iterator[Any]:
    disk = Disk()
    yield disk
    disk.hold.set()
    disk.unregister()


@pytest.fixture
def home(tmp_path: Path) -> Any:
    return Home(tmp_path, [shelf.STEPS])


class Seen:
    """By which threads the commits of a ledger were written: `here` is that of the test."""

    def __init__(self, ledger: Ledger) -> None:
        self._here = threading.get_ident()
        self.threads: list[str] = []
        ledger.subscribe(self._committed)

    def _committed(self, _: list[Record]) -> None:
        self.threads.append("here" if threading.get_ident() == self._here else "writer")

    def take(self) -> list[str]:
        threads, self.threads = self.threads, []
        return threads


async def append(ledger: Ledger, *numbers: int) -> None:
    for number in numbers:
        await ledger.append_async([Draft("queue", step(number))])


def warmed(ledger: Ledger) -> Seen:
    """Its commits are known to be quick."""
    seen = Seen(ledger)
    asyncio.run(append(ledger, 900, 901))
    assert seen.take() == ["writer", "here"]
    return seen


async def ticks(until: Awaitable[Any]) -> int:
    """How often the loop turned meanwhile."""
    task, turns = asyncio.ensure_future(until), 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    task.result()
    return turns


def test_a_lone_task_commits_by_itself_with_one_sync_each(home: Any, disk: Any, pace: Pace) -> None:
    """In the tree, signed and synced when it is acknowledged, like every other append."""
    # shows: N1
    with home.open() as ledger:
        seen = warmed(ledger)
        disk.syncs = 0
        for number in range(20):
            asyncio.run(append(ledger, number))
            assert disk.syncs == number + 1
            assert ledger.head().size == number + 4
        assert seen.take() == ["here"] * 20
    assert home.verify().problems == []


def test_a_slow_disk_never_keeps_the_loop(home: Any, pace: Pace) -> None:
    """Three slow commits are enough to leave them to the writer's thread; quick ones bring the other way back."""
    with home.open() as ledger:
        seen = warmed(ledger)
        asyncio.run(append(ledger, *range(100, 140)))
        assert seen.take() == ["here"] * 40
        pace.takes = SLOW
        asyncio.run(append(ledger, *range(10)))
        assert seen.take() == ["here"] * 3 + ["writer"] * 7
        pace.takes = QUICK
        asyncio.run(append(ledger, *range(10, 40)))
        told = seen.take()
    assert told == sorted(told, reverse=True)
    assert 3 < told.count("writer") < 25


def test_one_late_commit_among_quick_ones_changes_nothing(home: Any, pace: Pace) -> None:
    """Every disk has one now and then."""
    with home.open() as ledger:
        seen = warmed(ledger)
        asyncio.run(append(ledger, *range(10)))
        pace.takes = 3.0
        asyncio.run(append(ledger, 10))
        pace.takes = QUICK
        asyncio.run(append(ledger, *range(11, 20)))
        assert seen.take() == ["here"] * 20


def test_tasks_side_by_side_still_share_their_syncs(home: Any, disk: Any, pace: Pace) -> None:
    """Whoever is ready in the same turn of the loop goes into the same transaction."""
    # shows: N1

    async def main(ledger: Ledger) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(32):
                group.create_task(append(ledger, number, number + 100))

    with home.open() as ledger:
        seen = warmed(ledger)
        disk.syncs = 0
        asyncio.run(main(ledger))
        assert disk.syncs == 2
        assert seen.take() == ["writer"] * 2


def test_nobody_is_overtaken_and_the_loop_goes_on_while_another_commits(home: Any, disk: Any, pace: Pace) -> None:
    """What was submitted before, by whomever, comes first."""
    with home.open() as ledger:
        warmed(ledger)
        disk.hold.clear()
        while disk.held.acquire(blocking=False):
            pass
        before = [ledger.submit([Draft("queue", step(0))])]
        disk.held.acquire()  # it is being synced
        before.append(ledger.submit([Draft("queue", step(1))]))

        async def main() -> list[Record]:
            task = asyncio.create_task(ledger.append_async([Draft("queue", step(2))]))
            for _ in range(50):
                await asyncio.sleep(0)
            assert not task.done()
            disk.hold.set()
            return await task

        (record,) = asyncio.run(main())
        assert [future.result(30)[0].seq for future in before] == [2, 3]
        assert record.seq == 4


@pytest.mark.parametrize("drafts", [[step(n) for n in range(writer.SMALL_DRAFTS + 1)], [step(0, "x" * 20_000)]])
def test_a_large_submission_is_left_to_the_writer(home: Any, pace: Pace, drafts: list[Any]) -> None:
    """Many drafts, or a long one, take longer than a loop should stand still."""

    async def main(ledger: Ledger) -> None:
        await ledger.append_async([Draft("queue", event) for event in drafts])

    with home.open() as ledger:
        seen = warmed(ledger)
        asyncio.run(main(ledger))
        assert seen.take() == ["writer"]


def test_the_loop_does_not_wait_for_another_process(home: Any, pace: Pace) -> None:
    """While somebody else holds the file, the writer's thread waits for it, not the loop."""
    with home.open() as ledger:
        seen = warmed(ledger)
        other = apsw.Connection(str(home.database))
        other.execute("BEGIN IMMEDIATE")

        async def main() -> None:
            task = asyncio.create_task(append(ledger, 0))
            for _ in range(50):
                await asyncio.sleep(0)
            assert not task.done()
            other.execute("ROLLBACK")
            await task

        asyncio.run(main())
        other.close()
        assert seen.take() == ["writer"]


def test_what_another_process_wrote_is_caught_up_by_the_writer(home: Any, pace: Pace) -> None:
    """That may be much; afterwards the lone task commits by itself again."""
    with home.open() as ledger:
        seen = warmed(ledger)
        with home.open() as other:
            other.append([Draft("queue", step(number)) for number in range(300)])
            asyncio.run(append(ledger, 0, 1))
            assert seen.take() == ["writer", "here"]
            other.append([Draft("queue", step(5))])
    assert home.verify().problems == []


def test_what_a_task_submitted_before_it_was_cancelled_is_appended(home: Any, pace: Pace) -> None:
    """And nobody who submitted in the same turn is lost with it."""

    async def main(ledger: Ledger) -> list[Record]:
        doomed = asyncio.create_task(append(ledger, 0))
        other = asyncio.create_task(ledger.append_async([Draft("queue", step(1))]))
        await asyncio.sleep(0)
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        return await other

    with home.open() as ledger:
        warmed(ledger)
        (record,) = asyncio.run(main(ledger))
        assert record.event == step(1)
        events = [one.event for one in ledger.read("queue", after=1)]
        assert events == [step(0), step(1)]


class Interrupted(FakeClock):
    """Ctrl-C comes in the middle of a commit, once it is armed."""

    armed = False

    def now(self) -> datetime:
        if self.armed:
            raise KeyboardInterrupt
        return super().now()


def test_a_second_interrupt_within_a_commit_stops_the_ledger(home: Any, pace: Pace) -> None:
    """It reaches whoever pressed the keys; nothing half is left, and the next start goes on."""
    # shows: N5
    clock = Interrupted()
    with home.open(clock=clock) as ledger:
        warmed(ledger)
        clock.armed = True
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(append(ledger, 0))
        clock.armed = False
        with pytest.raises(LedgerStopped):
            asyncio.run(append(ledger, 1))
        with pytest.raises(LedgerStopped):
            ledger.append([Draft("queue", step(1))])
    with home.open() as ledger:
        (record,) = ledger.append([Draft("queue", step(0))])
        assert record.seq == 2
    assert home.verify().problems == []


@pytest.mark.parametrize("where", ["write", "sync"])
def test_a_disk_that_fails_below_a_lone_task_stops_the_ledger(home: Any, disk: Any, pace: Pace, where: str) -> None:
    """Not acknowledged, never retried on the same handle."""
    with home.open() as ledger:
        warmed(ledger)
        disk.fault[where] = apsw.IOError("the disk is gone")
        with pytest.raises(LedgerStopped, match="disk refused"):
            asyncio.run(append(ledger, 0))
        disk.fault.clear()
        with pytest.raises(LedgerStopped):
            asyncio.run(append(ledger, 1))
    with home.open() as ledger:
        ledger.append([Draft("queue", step(2))])
    assert home.verify().problems == []


def test_a_subscriber_of_a_lone_commit_must_not_wait_either(home: Any, pace: Pace) -> None:
    """It would wait for the writer, which waits for the commit that it is called from."""
    told: list[BaseException] = []

    with home.open() as ledger:
        warmed(ledger)

        def append_inside(_: list[Record]) -> None:
            try:
                ledger.append([Draft("queue", step(1))])
            except AssertionError as error:
                told.append(error)

        end = ledger.subscribe(append_inside)
        asyncio.run(append(ledger, 0))
        end()
        asyncio.run(append(ledger, 1))
    assert len(told) == 1


def test_closing_waits_for_a_lone_commit_of_another_thread(home: Any, disk: Any, pace: Pace) -> None:
    """The connection is not taken away below it; whoever comes later is refused."""
    ledger = home.open()
    warmed(ledger)
    disk.hold.clear()
    while disk.held.acquire(blocking=False):
        pass
    found: list[Any] = []

    async def main() -> None:
        found.append(await ledger.append_async([Draft("queue", step(0))]))
        try:
            await append(ledger, 1)
        except LedgerStopped as error:
            found.append(error)

    task = threading.Thread(target=asyncio.run, args=(main(),))
    task.start()
    disk.held.acquire()
    closing = threading.Thread(target=ledger.close)
    closing.start()
    disk.hold.set()
    task.join()
    closing.join()
    assert [record.event for record in found[0]] == [step(0)]
    assert len(found) == 1 or isinstance(found[1], LedgerStopped)
    assert home.verify().problems == []


def test_repeats_conflicts_and_stale_owners_are_told_apart(home: Any, pace: Pace) -> None:
    """A key is not looked for before it is refused; the answers are the same, alone and in a batch with others."""
    # shows: N16

    async def alone(ledger: Ledger) -> None:
        def owned(number: int, **more: Any) -> list[Draft]:
            return [Draft("run:r", step(number), **{"epoch": 1, "idem": "k"} | more)]

        await ledger.append_async([Draft("run:r", grant(), epoch=1, idem="lease")])
        (first,) = await ledger.append_async(owned(1))
        assert await ledger.append_async(owned(1)) == [first]
        with pytest.raises(IdemConflict):
            await ledger.append_async(owned(2))
        (other,) = await ledger.append_async(owned(2, gen=1))
        assert other.seq == 2
        with pytest.raises(LeaseLost):
            await ledger.append_async(owned(3, epoch=2))
        (lease,) = await ledger.append_async([Draft("run:r", grant(), epoch=1, idem="lease")])
        assert lease.seq == 0
        answers = await asyncio.gather(
            ledger.append_async(owned(1)),
            ledger.append_async(owned(2)),
            ledger.append_async(owned(4, idem="new")),
            ledger.append_async(owned(4, idem="new")),
            ledger.append_async(owned(5, epoch=7)),
            return_exceptions=True,
        )
        assert answers[0] == [first]
        assert answers[2] == answers[3]
        assert [type(one) for one in answers] == [list, IdemConflict, list, list, LeaseLost]

    with home.open() as ledger:
        warmed(ledger)
        asyncio.run(alone(ledger))
        assert [record.seq for record in ledger.read("run:r")] == [0, 1, 2, 3]
    assert home.verify().problems == []


def test_a_file_that_refuses_an_event_for_another_reason_stops_the_ledger(home: Any, pace: Pace) -> None:
    """Only a repeat is a reason to look again: a file that does not go on where it ended is not written to."""
    with home.open() as ledger:
        warmed(ledger)
        ledger._writer._log._edge.extend([b"x" * 32])  # as if an event had been removed
        with pytest.raises(LedgerStopped, match="follows the last one"):
            asyncio.run(append(ledger, 0))
        with pytest.raises(LedgerStopped):
            asyncio.run(append(ledger, 1))
    assert home.verify().problems == []


def test_the_write_ahead_log_is_folded_in_beside_the_loop(
    home: Any, pace: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes long, so the writer's thread does it, after everybody has been answered; the file stays short."""
    pages = 64
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", pages)
    folded: list[int] = []
    with home.open() as ledger:
        seen = warmed(ledger)
        log = ledger._writer._log
        fold_in: Callable[[Any], None] = type(log).fold_in

        def folding(self: Any) -> None:
            folded.append(threading.get_ident())
            fold_in(self)

        monkeypatch.setattr(type(log), "fold_in", folding)
        for number in range(200):
            asyncio.run(append(ledger, number))
        ledger._writer.run(lambda _: None)
        size = home.database.with_name("ledger.db-wal").stat().st_size
        assert size < 2 * pages * 4200
        assert "here" in seen.take()
    assert len(folded) > 3
    assert threading.get_ident() not in folded
    assert home.verify().problems == []
