"""Durability: one sync a commit, shared among those who wait; a disk that fails; several processes; the witness."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.unit import ledger_home as shelf
from tests.unit.ledger_disk import Disk

from daybreak.errors import LedgerBehind, LedgerForked, LedgerStopped, WitnessBroken
from daybreak.ledger import Draft, Ledger, Record

pytestmark = pytest.mark.on_disk

Home, step, grant = shelf.Home, shelf.step, shelf.grant


@pytest.fixture
def disk() -> Iterator[Any]:
    disk = Disk()
    yield disk
    disk.hold.set()
    disk.unregister()


@pytest.fixture
def home(tmp_path: Path) -> Any:
    return Home(tmp_path, [shelf.STEPS])


def test_one_sync_per_append_and_one_for_all_who_wait(home: Any, disk: Any) -> None:
    """Alone, each append is one sync. While one syncs, everything else gathers and shares the next."""
    # shows: N1
    with home.open() as ledger:
        disk.syncs = 0
        for number in range(5):
            ledger.append([Draft("queue", step(number))])
        assert disk.syncs == 5
        disk.hold.clear()
        while disk.held.acquire(blocking=False):
            pass
        first = ledger.submit([Draft("queue", step(5))])
        disk.held.acquire()
        others = [ledger.submit([Draft("queue", step(number))]) for number in range(6, 106)]
        assert not first.done()
        disk.hold.set()
        records = [future.result(timeout=30)[0] for future in [first, *others]]
        assert disk.syncs == 7
    assert [record.seq for record in records] == list(range(5, 106))


SYNCS = """
import os, sys
from pathlib import Path
from daybreak.clock import SystemClock
from daybreak.events import StepDone
from daybreak.ledger import Draft, Ledger
root = Path(sys.argv[1])
step = StepDone(run="r", branch="", name="s", nth=0, args="", result=None)
with Ledger.open(root / "ledger", keys=root / "keys", witness=root / "witness", clock=SystemClock()) as ledger:
    ledger.append([Draft("queue", step)])
    os.access("/begin", os.F_OK)
    for _ in range(20):
        ledger.append([Draft("queue", step)])
    os.access("/end", os.F_OK)
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_system_sees_one_fdatasync_per_append(tmp_path: Path) -> None:
    """Counted by the kernel's own word: of the database's log, in its writer's thread, and the witness costs none."""
    # shows: N1
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,access,sync_file_range,msync", "-o", str(trace)]
    done = subprocess.run([*command, sys.executable, "-c", SYNCS, str(tmp_path)], capture_output=True, text=True)
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace is not allowed here")
    assert done.returncode == 0, done.stderr
    lines = trace.read_text().splitlines()
    begin = next(at for at, line in enumerate(lines) if "/begin" in line)
    end = next(at for at, line in enumerate(lines) if "/end" in line)
    syncs = [line for line in lines[begin:end] if "sync" in line and "ledger.db" in line and "resumed" not in line]
    assert len(syncs) == 20
    assert all("fdatasync" in line and "ledger.db-wal" in line for line in syncs)


FAULTS = {
    "full": ("write", apsw.FullError("the disk is full")),
    "error on write": ("write", apsw.IOError("the disk is broken")),
    "error on sync": ("sync", apsw.IOError("the disk is broken")),
}


@pytest.mark.parametrize(("where", "error"), FAULTS.values(), ids=FAULTS.keys())
def test_a_failing_disk_stops_the_ledger(home: Any, disk: Any, where: str, error: Exception) -> None:
    """Whoever waits is told; nothing is half written; nothing more is taken; after reopening it goes on."""
    # shows: N4, N14, F16
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        disk.fault[where] = error
        waiting = [ledger.submit([Draft("queue", step(n)), Draft("queue", step(n + 100))]) for n in range(1, 4)]
        for future in waiting:
            caught = future.exception(timeout=30)
            assert isinstance(caught, LedgerStopped)
            assert "the disk" in caught.message
            assert "open the ledger again" in caught.hint
        disk.fault.clear()
        with pytest.raises(LedgerStopped, match="disk"):
            ledger.append([Draft("queue", step(9))])
        with pytest.raises(LedgerStopped, match="disk"):
            asyncio.run(ledger.append_async([Draft("queue", step(9))]))
        assert [record.event for record in ledger.read("queue")] == [step(0)]
    assert home.verify().problems == []
    with home.open() as ledger:
        ledger.append([Draft("queue", step(1))])
        assert [record.event for record in ledger.read("queue")] == [step(0), step(1)]
    assert home.verify().problems == []


def test_what_was_submitted_before_close_is_written(home: Any, disk: Any) -> None:
    """Close waits for it, then for the witness."""
    ledger = home.open()
    disk.hold.clear()
    futures = [ledger.submit([Draft("queue", step(number))]) for number in range(50)]
    closing = threading.Thread(target=ledger.close)
    closing.start()
    disk.hold.set()
    closing.join(timeout=30)
    assert [future.result(timeout=0)[0].seq for future in futures] == list(range(50))
    found = home.verify()
    assert found.problems == []
    assert found.witnessed == 51


def test_the_witness_follows_within_a_second(home: Any) -> None:
    """Without being asked; asked, at once."""
    # shows: N3
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        ledger.sync_witness()
        assert home.verify().witnessed == 2
        ledger.append([Draft("queue", step(1))])
        deadline = time.monotonic() + 30
        while home.verify().witnessed != 3:
            assert time.monotonic() < deadline


def test_a_witness_that_cannot_be_written_stops_the_ledger(home: Any) -> None:
    """What could be cut off unnoticed is not acknowledged for longer than a second."""
    # shows: N3, F16
    ledger = home.open()
    shutil.rmtree(home.witness)
    (home.witness).write_text("in the way")
    ledger.append([Draft("queue", step(0))])
    with pytest.raises(WitnessBroken, match="cannot be written"):
        ledger.sync_witness()
    deadline = time.monotonic() + 30

    def append_for_a_while() -> None:
        while time.monotonic() < deadline:
            ledger.append([Draft("queue", step(0))])

    with pytest.raises(LedgerStopped, match="kept outside"):
        append_for_a_while()
    with pytest.raises(WitnessBroken):
        ledger.close()


def test_a_ledger_exchanged_below_a_running_writer_stops_it(home: Any) -> None:
    """Rows cut away by another program while the ledger is open are noticed before the next append."""
    # shows: N3
    with home.open() as ledger:
        ledger.append([Draft("queue", step(number)) for number in range(5)])
        old = home.rows("SELECT size, note FROM head")[0]
        ledger.append([Draft("queue", step(9))])
        home.sql(
            "DELETE FROM event WHERE leaf > 5",
            "DELETE FROM view_steps WHERE leaf > 5",
            ("UPDATE head SET size = ?, note = ?", old),
        )
        with pytest.raises(LedgerStopped, match="held 7 events and now holds 6") as caught:
            ledger.append([Draft("queue", step(10))])
        assert isinstance(caught.value.__cause__, LedgerBehind)
    with pytest.raises(LedgerBehind):
        home.open()


def test_two_copies_written_side_by_side_are_noticed(home: Any, tmp_path: Path) -> None:
    """Two histories of one size meet at the witness that they share."""
    # shows: N3
    home.fill(3)
    fork = home.copy(f"{tmp_path.name}-fork")
    with home.open() as ledger:
        ledger.append([Draft("queue", step(1))])
    other = fork.open()
    other.append([Draft("queue", step(2))])
    shutil.copy(home.witness / "head", fork.witness / "head")
    with pytest.raises(LedgerForked, match="two histories"):
        other.close()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import ledger_home as shelf
from daybreak.ledger import Draft
home = shelf.Home(Path(sys.argv[1]), [shelf.STEPS] if sys.argv[4] == "views" else [])
name = sys.argv[3]
with home.open() as ledger:
    for number in range(60):
        mine = Draft(f"control:{name}", shelf.step(number))
        (record, shared) = ledger.append([mine, Draft("queue", shelf.step(number), actor=name)])
        assert record.seq == number
"""


def writers(home: Any, *kinds: str) -> None:
    command = [sys.executable, "-c", WRITER, str(home.root), str(Path(__file__).parent)]
    running = [
        subprocess.Popen([*command, str(number), kind], stderr=subprocess.PIPE, text=True)
        for number, kind in enumerate(kinds)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


def test_several_processes_append_alternately(home: Any) -> None:
    """One log, one tree, one chain per stream; views too."""
    # shows: N5
    home.open().close()
    writers(home, "views", "views", "views")
    found = home.verify()
    assert found.problems == []
    assert found.events == 1 + 3 * 120
    actors = [row[0] for row in home.rows("SELECT json_extract(header, '$.actor') FROM event WHERE stream = 'queue'")]
    assert sorted(actors) == sorted(["0", "1", "2"] * 60)


def test_a_process_without_a_view_leaves_it_to_be_caught_up(home: Any) -> None:
    """Its events are missing from the view until somebody who has the view appends or opens."""
    # shows: N7
    with home.open() as ledger:
        ledger.append([Draft("queue", step(1))])
        with home.open(views=()) as other:
            other.append([Draft("queue", step(2))])
            other.append([Draft("queue", step(3))])
            ledger.append([Draft("queue", step(4))])
            other.append([Draft("queue", step(5))])
        assert home.verify().ok, "a view that is known to be behind is no forgery"
        ledger.append([Draft("queue", step(6))])
        assert ledger.query("SELECT nth FROM view_steps ORDER BY leaf") == [(n,) for n in range(1, 7)]
        assert ledger.compare_views() == []
    with home.open(views=()) as other:
        other.append([Draft("queue", step(7))])
    with home.open() as ledger:
        assert ledger.query("SELECT count(*) FROM view_steps") == [(7,)]
        assert ledger.compare_views() == []


def test_a_stale_owner_in_another_process_is_refused(home: Any) -> None:
    """Epochs are read inside the transaction, whoever granted them."""
    # shows: N5
    from daybreak.errors import LeaseLost

    with home.open() as one, home.open() as two:
        one.append([Draft("run:r", grant(), epoch=1)])
        one.append([Draft("run:r", step(1), epoch=1)])
        two.append([Draft("run:r", grant(owner="two"), epoch=2)])
        with pytest.raises(LeaseLost):
            one.append([Draft("run:r", step(2), epoch=1)])
        (record,) = two.append([Draft("run:r", step(2), epoch=2, idem="k")])
        assert one.append([Draft("run:r", step(2), epoch=2, idem="k")]) == [record]


def test_one_event_loop_is_woken_once_per_commit(home: Any, disk: Any) -> None:
    """Sixty-four tasks that append together share a commit and a wake-up."""
    # shows: N1
    woken = 0

    async def main(ledger: Ledger) -> None:
        nonlocal woken
        loop = asyncio.get_running_loop()
        original = loop.call_soon_threadsafe

        def counting(*args: Any, **more: Any) -> Any:
            nonlocal woken
            woken += 1
            return original(*args, **more)

        loop.call_soon_threadsafe = counting  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as group:
            for number in range(64):
                group.create_task(ledger.append_async([Draft(f"control:{number}", step(number))]))

    with home.open() as ledger:
        disk.syncs = 0
        asyncio.run(main(ledger))
        assert disk.syncs == 1
    assert woken <= 2, "one for the commit, one of asyncio's own at the end"


def test_a_cancelled_task_does_not_disturb_the_others(home: Any, disk: Any) -> None:
    """Its event may be there; the writer and everybody else go on."""

    async def main(ledger: Ledger) -> list[Record]:
        disk.hold.clear()
        doomed = asyncio.create_task(ledger.append_async([Draft("queue", step(0))]))
        other = asyncio.create_task(ledger.append_async([Draft("queue", step(1))]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        doomed.cancel()
        await asyncio.sleep(0)
        disk.hold.set()
        return await other

    with home.open() as ledger:
        (record,) = asyncio.run(main(ledger))
        assert record.event == step(1)
        ledger.append([Draft("queue", step(2))])


def test_a_subscriber_must_not_wait_for_the_ledger(home: Any) -> None:
    """It would wait for itself: an assertion says so instead of a hang."""
    seen: list[BaseException] = []

    with home.open() as ledger:

        def append_inside(records: list[Record]) -> None:
            try:
                ledger.append([Draft("queue", step(1))])
            except AssertionError as error:
                seen.append(error)

        end = ledger.subscribe(append_inside)
        ledger.append([Draft("queue", step(0))])
        end()
    assert len(seen) == 1


def test_a_proof_from_the_ledger_convinces_an_outsider(home: Any) -> None:
    """With the verification key and a proof, somebody without the ledger can check an event and a continuation."""
    # shows: N3
    from daybreak.ledger.note import Verifier
    from daybreak.ledger.tree import leaf_hash, verify_consistency, verify_inclusion

    home.fill(700)
    with home.open() as ledger:
        old = ledger.head()
        (record,) = ledger.append([Draft("queue", step(1))])
        ledger.append([Draft("queue", step(number)) for number in range(300)])
        verifier = Verifier.parse((home.keys / "ledger.vkey").read_text())
        head, path = ledger.inclusion_proof(record.index)
        assert verifier.open(head.text) == head
        assert verify_inclusion(record.index, head.size, leaf_hash(record.header), path, head.root)
        assert not verify_inclusion(record.index, head.size, leaf_hash(record.header + b" "), path, head.root)
        head, path = ledger.consistency_proof(old.size)
        assert verify_consistency(old.size, head.size, old.root, head.root, path)


def test_many_streams_do_not_fill_the_memory(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends of streams are forgotten and looked up again; chains hold."""
    from daybreak.ledger import log

    monkeypatch.setattr(log, "TIPS_MAX", 5)
    with home.open() as ledger:
        for turn in range(4):
            for number in range(0, 30, 3):
                ledger.append([Draft(f"control:{number + n}", step(turn)) for n in range(3)])
    assert home.verify().problems == []


def test_a_long_queue_is_split_into_transactions(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction stays of bounded size, and nothing is lost between two."""
    from daybreak.ledger import writer

    monkeypatch.setattr(writer, "BATCH_MAX", 10)
    with home.open() as ledger:
        futures = [ledger.submit([Draft("queue", step(number))]) for number in range(500)]
        assert [future.result(timeout=60)[0].seq for future in futures] == list(range(500))
    assert home.verify().problems == []


def test_a_view_of_a_new_version_is_rebuilt(home: Any) -> None:
    """At opening, from all events; a program with the older version is told to step back."""
    # shows: N7
    from dataclasses import replace

    from daybreak.errors import LedgerForeign

    home.fill(5)
    newer = replace(shelf.STEPS, version=2, schema="CREATE TABLE view_steps (leaf INTEGER, nth INTEGER) STRICT")
    with home.open() as running:
        with home.open(views=[newer]) as ledger:
            assert ledger.query("SELECT count(*) FROM view_steps") == [(5,)]
            ledger.append([Draft("queue", step(9))])
        with pytest.raises(LedgerStopped, match="version 2"):
            running.append([Draft("queue", step(10))])
    with pytest.raises(LedgerForeign, match="version 2"):
        home.open()
    assert home.verify(views=[newer]).problems == []


def test_rebuilding_views_repairs_them_while_others_append(home: Any) -> None:
    """It is one transaction on the writer's connection."""
    # shows: N7
    with home.open() as ledger:
        futures = [ledger.submit([Draft("queue", step(number))]) for number in range(50)]
        ledger.rebuild_views()
        futures += [ledger.submit([Draft("queue", step(number))]) for number in range(50)]
        for future in futures:
            future.result(timeout=30)
        assert ledger.compare_views() == []


def test_the_file_is_not_readable_by_others(home: Any) -> None:
    """Neither the database nor its log nor a blob."""
    # shows: N9
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0, "x" * 70_000))])
        for path in home.ledger.rglob("*"):
            if path.is_file():
                assert path.stat().st_mode & 0o077 == 0, path
        assert os.stat(home.ledger).st_mode & 0o077 == 0


def test_a_busy_ledger_refuses_and_goes_on(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another process holds it too long nothing is written, and the same append works afterwards."""
    # shows: N5
    from daybreak.errors import LedgerBusy
    from daybreak.ledger import database

    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        monkeypatch.setattr(database, "BUSY_S", 0.05)
        other = apsw.Connection(str(home.database))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerBusy, match="another process has held"):
            ledger.append([Draft("queue", step(1))])
        with pytest.raises(LedgerBusy):
            ledger.rebuild_views()
        other.execute("ROLLBACK")
        other.close()
        (record,) = ledger.append([Draft("queue", step(1))])
        assert record.seq == 1
    assert home.verify().problems == []
