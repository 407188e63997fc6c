"""Homes that share a ledger see one another by seats, and take only from the dead; a lease is refused to whoever has
not read the run, and where there is no room. (Real processes are in tests/integration/test_coordinators.py.)"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import anyio
import psycopg
import pytest
from tests.unit import postgres_server
from tests.unit.engine_desk import Counting, Crash, Desk
from typer.testing import CliRunner

from daybreak.cli.main import app
from daybreak.clock import stamp
from daybreak.config import Places
from daybreak.engine import VIEWS, Absent, Engine, Placement
from daybreak.engine import nights as night_views
from daybreak.engine.engine import KeyElsewhere, NoRoom
from daybreak.engine.neighbours import Neighbours
from daybreak.engine.night import Hooks, Plan
from daybreak.engine.nights import NIGHTS
from daybreak.engine.picking import Pick
from daybreak.engine.queue import Queue
from daybreak.engine.recovery import Recovery
from daybreak.engine.schedule_view import SCHEDULES
from daybreak.engine.schedules import Opened, Schedules, TaskTemplate
from daybreak.engine.sharing import PATIENCE_S, Sharing
from daybreak.engine.supervisor import Supervisor
from daybreak.engine.telling import Teller
from daybreak.engine.window import Schedule
from daybreak.errors import BlobDamaged, LeaseLost, LedgerBusy, RunBusy
from daybreak.events import LeaseGranted, NightBegan, RunMoved, StepDone, run_stream
from daybreak.host.locks import LockHeld
from daybreak.host.snapshots import Store
from daybreak.ledger import Draft, seats
from daybreak.ledger.database import BLOBS
from daybreak.ledger.postgres.connection import connect
from daybreak.ledger.postgres.problems import ConnectionLost
from daybreak.ledger.postgres.seats import PostgresSeats
from daybreak.ledger.postgres.store import Store as Truth
from daybreak.ledger.safekeeping import keep_safe
from daybreak.ledger.seats import HomeCopied, HomeNameBroken, KeysDiffer, Sitter
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger
from daybreak.testing.world import MemoryLocks

LEASE_S = 60.0
LOOK_S = 10.0


class Seats:
    """A row of seats without a server: whoever is in `silent` says how long he has been."""

    def __init__(self, me: str = "here/1", clock: FakeClock | None = None) -> None:
        self.me, self.taken = me, True
        self.clock = clock or FakeClock()
        self.silent: dict[str, float] = {}
        self.beats: dict[str, int] = {}
        self.nights: dict[str, str] = {}
        self.lost = False

    async def sit(self, **_: Any) -> Sequence[Sitter]:
        return []

    async def others(self) -> Sequence[Sitter]:
        return self.look()

    def look(self) -> Sequence[Sitter]:
        if self.lost:
            raise LedgerBusy("nobody answers", hint="wait")
        return [
            Sitter(seat, "host", 7, self.nights.get(seat, "night-x"), LEASE_S, silent_s, str(self.beats.get(seat, 0)))
            for seat, silent_s in self.silent.items()
        ]

    def feed(self) -> None:
        """Nothing feeds on it."""

    def lapse_s(self) -> float:
        return 0.0

    def stand(self) -> None:
        """Nothing to give up."""


def watched(row: Seats) -> Neighbours:
    return Neighbours(row, row.clock, lease_s=LEASE_S, look_s=LOOK_S)


def pass_time(row: Seats, neighbours: Neighbours, seconds: float, *, silent: Sequence[str] = ()) -> None:
    """Look every few seconds, while the clock of the server goes on for those that are silent and others beat."""
    for _ in range(int(seconds / LOOK_S)):
        row.clock.advance(LOOK_S)
        for seat in row.silent:
            if seat in silent:
                row.silent[seat] += LOOK_S
            else:
                row.beats[seat] = row.beats.get(seat, 0) + 1
        anyio.run(neighbours.look)


# -- who lives


def test_only_a_whole_lease_of_silence_is_death() -> None:
    """One that beats lives for ever; one that is silent is dead after its lease, seen so by this process."""
    # shows: N14
    row = Seats()
    row.silent = {"far/1": 0.0, "far/2": 0.0}
    neighbours = watched(row)
    anyio.run(neighbours.look)
    pass_time(row, neighbours, LEASE_S - LOOK_S, silent=["far/2"])
    assert not neighbours.dead("far/2")
    assert neighbours.doubts("far/2")
    pass_time(row, neighbours, LOOK_S, silent=["far/2"])
    assert neighbours.dead("far/2")
    assert not neighbours.dead("far/1")
    assert not neighbours.doubts("far/1")
    assert [one.seat for one in neighbours.nights()] == ["far/1"]


def test_a_jump_of_the_servers_clock_kills_nobody() -> None:
    """All at once everybody seems to have been silent for hours: nobody is dead, because nobody saw that."""
    # shows: N14
    row = Seats()
    row.silent = {"far/1": 0.0}
    neighbours = watched(row)
    anyio.run(neighbours.look)
    row.silent = {"far/1": 7200.0}
    anyio.run(neighbours.look)
    assert not neighbours.dead("far/1")
    row.clock.advance(7200)  # this machine slept, too: one look counts for a while at most
    anyio.run(neighbours.look)
    assert not neighbours.dead("far/1")


def test_an_outage_of_the_server_kills_nobody() -> None:
    """While nobody can be asked nobody dies, and afterwards the others have time to beat again."""
    # shows: N14
    row = Seats()
    row.silent = {"far/1": 0.0}
    neighbours = watched(row)
    anyio.run(neighbours.look)
    row.lost = True
    pass_time(row, neighbours, LEASE_S * 3, silent=["far/1"])
    assert not neighbours.dead("far/1")
    row.lost = False
    anyio.run(neighbours.look)
    assert not neighbours.dead("far/1")
    pass_time(row, neighbours, LOOK_S)
    row.silent["far/1"] = 0.0
    assert not neighbours.dead("far/1")


def test_a_seat_that_nobody_knows_is_dead_after_a_lease() -> None:
    """The server has crashed, and its table of seats is empty: whoever lives is there again soon."""
    # shows: N14
    row = Seats()
    neighbours = watched(row)
    assert not neighbours.dead("gone/1")
    pass_time(row, neighbours, LEASE_S - LOOK_S)
    assert not neighbours.dead("gone/1")
    pass_time(row, neighbours, LOOK_S)
    assert neighbours.dead("gone/1")


# -- what is shared


def pick(number: int, **more: Any) -> Pick:
    return replace(Pick(f"run-{number}", "kind", "title", "", "queued"), **more)


def test_nights_do_not_reach_for_the_same_runs() -> None:
    """Each takes its own turns; together they take all, none twice; what a full one leaves is anybody's soon."""
    # shows: N14
    picks = [pick(number) for number in range(40)]
    shares = [Sharing(), Sharing()]
    taken = [one.mine(picks, 40, place=place, nights=2, now_s=0.0) for place, one in enumerate(shares)]
    assert sorted((one.run for share in taken for one in share), key=str) == sorted(one.run for one in picks)
    assert all(len(share) >= 10 for share in taken)
    first, theirs = taken[0][0], taken[1]
    again = [theirs[0], first, replace(theirs[1], cancel=True)]  # whoever is behind still sees what was taken
    assert shares[0].mine(again, 2, place=0, nights=2, now_s=0.1) == [first, again[2]]
    assert shares[0].again_s(0.1) == pytest.approx(PATIENCE_S - 0.1)
    assert shares[0].mine(theirs[:1], 2, place=0, nights=2, now_s=PATIENCE_S + 0.1) == theirs[:1]


def test_alone_a_night_takes_the_best_at_once() -> None:
    """Nothing is left to anybody where nobody else is."""
    share = Sharing()
    assert share.mine([pick(1), pick(2)], 1, place=0, nights=1, now_s=0.0) == [pick(1)]
    assert share.again_s(0.0) is None


# -- leases


def shared_desk(code: Any) -> Desk:
    desk = Desk(code)
    desk.engine.seats = Seats()
    return desk


def test_a_lease_is_refused_to_whoever_has_not_read_the_run() -> None:
    """Between its look and its lease the old owner went on: nothing of that may be done again."""
    # shows: N14, N5
    desk = shared_desk(Counting(1))
    stream = run_stream(desk.run)
    desk.ledger.append([Draft(stream, LeaseGranted(run=desk.run, owner="a", host="h", pid=1, read=0), epoch=1)])
    desk.ledger.append([Draft(stream, RunMoved(run=desk.run, old="queued", new="leased"), epoch=1)])
    with pytest.raises(LeaseLost, match="read it up to event 1, but event 2"):
        desk.ledger.append([Draft(stream, LeaseGranted(run=desk.run, owner="b", host="h", pid=1, read=1), epoch=2)])
    desk.ledger.append([Draft(stream, LeaseGranted(run=desk.run, owner="b", host="h", pid=1, read=2), epoch=2)])
    assert desk.ledger.epoch(stream) == 2


@pytest.mark.anyio
async def test_a_run_of_a_living_home_is_not_taken() -> None:
    """Although no lock of it can be seen here, and its host has our name."""
    # shows: N14
    desk = shared_desk(Counting(1))
    row: Any = desk.engine.seats
    host = desk.locks.me.host
    stream = run_stream(desk.run)
    lease = LeaseGranted(run=desk.run, owner="a", host=host, pid=1, seat="far/1")
    desk.ledger.append(
        [Draft(stream, lease, epoch=1), Draft(stream, RunMoved(run=desk.run, old="queued", new="leased"), epoch=1)]
    )
    row.silent = {"far/1": 1.0}
    with pytest.raises(RunBusy, match="which lives"):
        await desk.resume()
    assert [one.orphaned for one in desk.engine.resumable()] == [False]
    row.silent = {"far/1": LEASE_S}
    assert (await desk.resume()).state == "done"


@pytest.mark.anyio
async def test_absence_proves_nothing_while_another_home_may_act() -> None:
    """A `once` step that a home of the same host's name began: what the lookup does not find may still come."""
    # shows: N14, N5
    act = Counting("done", crash_in_call=1)

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("act", act, effect="once", lookup=lambda key: Absent())

    desk = shared_desk(code)
    row: Any = desk.engine.seats
    row.me = "far/1"
    with pytest.raises(Crash):
        await desk.resume()
    mine = desk.another_engine(locks=MemoryLocks())
    mine.seats = Seats("here/1")
    desk.locks = MemoryLocks()
    assert (await mine.supervise(desk.run)).state == "parked"
    assert act.calls == 1


@pytest.mark.anyio
async def test_in_the_same_home_absence_counts() -> None:
    """Its lock was free: the old owner is dead, and what it did not do will not be done."""
    act = Counting("done", crash_in_call=1)

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("act", act, effect="once", lookup=lambda key: Absent())

    desk = shared_desk(code)
    with pytest.raises(Crash):
        await desk.resume()
    other = desk.another_engine()
    other.seats = Seats("here/2")
    assert (await other.supervise(desk.run)).state == "done"
    assert act.calls == 2


# -- room


class Room:
    """A ledger with runs, and leases as several nights would append them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ledger = MemoryLedger(clock=self.clock, views=[*VIEWS, NIGHTS, SCHEDULES], entropy=Random(0).randbytes)
        self.engine = Engine(self.ledger, {"kind": Counting(1)}, MemoryLocks(), self.clock, Random(1).randbytes)

    def add(self, **placed: Any) -> str:
        return self.engine.submit("kind", "a task", {}, Placement(**placed))

    def lease(self, run: str, epoch: int = 1, *, in_turn: bool = True) -> None:
        stream, old = run_stream(run), "queued" if epoch == 1 else "leased"
        granted = LeaseGranted(run=run, owner="o", host="h", pid=1, in_turn=in_turn)
        drafts = [Draft(stream, granted, epoch=epoch)]
        if old == "queued":
            drafts.append(Draft(stream, RunMoved(run=run, old="queued", new="leased"), epoch=epoch))
        self.ledger.append(drafts)


def test_a_full_key_refuses_a_lease_in_its_turn() -> None:
    """Whatever the mirror of a home says; who has it already may be taken over; a person's own go is not held up."""
    # shows: N14
    room = Room()
    runs = [room.add(keys={"till": 2, "door": 5}) for _ in range(4)]
    room.lease(runs[0])
    room.lease(runs[1])
    with pytest.raises(Exception, match="no room: key till"):
        room.lease(runs[2])
    room.lease(runs[0], epoch=2)
    room.lease(runs[3], in_turn=False)
    assert room.ledger.query("SELECT count(*) FROM view_runs WHERE state = 'leased'") == [(3,)]


@pytest.mark.parametrize(("rate", "span_s"), [("2/s", 1), (" 2 / Min", 60), ("2/hour", 3600), ("2/d", 86_400)])
def test_a_rate_that_is_used_up_refuses_a_lease_in_its_turn(rate: str, span_s: int) -> None:
    """To the microsecond at which it opens again."""
    # shows: N14
    room = Room()
    runs = [room.add(rates={"mails": rate}) for _ in range(4)]
    room.lease(runs[0])
    room.lease(runs[1])
    with pytest.raises(Exception, match="no room: rate mails"):
        room.lease(runs[2])
    room.clock.advance(span_s - 0.001)
    with pytest.raises(Exception, match="no room: rate mails"):
        room.lease(runs[2])
    room.clock.advance(0.001)
    room.lease(runs[2])


@pytest.mark.anyio
async def test_who_has_no_room_is_told_so_and_records_nothing() -> None:
    """Not a failure of the run: it waits for its turn."""
    room = Room()
    first, second = (room.add(keys={"till": 1}) for _ in range(2))
    room.lease(first)
    before = sum(1 for _ in room.ledger.read_all())
    with pytest.raises(NoRoom, match="key till"):
        await room.engine.supervise(second, in_turn=True)
    assert sum(1 for _ in room.ledger.read_all()) == before


# -- what only one home can do


def test_a_task_that_names_a_folder_is_done_where_it_was_added() -> None:
    """Another machine has no such folder, or another one of that name; what is in the ledger goes anywhere."""
    # shows: N14
    room = Room()
    clock = room.clock

    def queue(home: str) -> Queue:
        return Queue(room.ledger, clock, Random(home).randbytes, home=home, bound=["command"])

    here, there = queue("here"), queue("there")
    bound = here.add("command", "in a folder", {}).run
    free = here.add("build", "of a text", {}).run
    assert {one.run for one in here.next(clock.now(), most=5)} == {bound, free}
    assert {one.run for one in there.next(clock.now(), most=5)} == {free}
    (told,) = (row.why for row in there.listing(clock.now()) if row.run == bound)
    assert "in the home where it was added" in told
    schedules = Schedules(room.ledger, clock, here)
    schedules.set("tick", Schedule(cron="* * * * *"), TaskTemplate(kind="command", title="t", args={}))
    clock.advance(61)
    (opened,) = Schedules(room.ledger, clock, there).look(clock.now())
    assert isinstance(opened, Opened)
    runs = [{one.run for one in some.next(clock.now(), most=5)} for some in (here, there)]
    assert [opened.run in found for found in runs] == [True, False]


@pytest.mark.anyio
async def test_a_fork_stays_with_the_folder(tmp_path: Path) -> None:
    """It is made in another home, and is done where the first one was: the folder that it names is there."""
    # shows: N14
    room = Room()

    async def command(ctx: Any, args: Any) -> None:
        await ctx.step("act", lambda: 1)

    def engine(home: str) -> Engine:
        return Engine(
            room.ledger,
            {"command": command},
            MemoryLocks(),
            room.clock,
            Random(home).randbytes,
            seats=Seats(f"{home}/1"),
            bound=["command"],
        )

    here, there = engine("here"), engine("there")
    run = here.submit("command", "in a folder", {})
    assert (await here.supervise(run, in_turn=True)).state == "done"
    fork = await there.fork(run, "act")
    picks = [{one.run for one in some.queue.next(room.clock.now(), most=5)} for some in (here, there)]
    assert picks == [{fork}, set()]


@pytest.mark.anyio
async def test_a_run_under_way_is_not_taken_back() -> None:
    """Whoever has it, here or in another home, is not robbed by a word of a person."""
    # shows: N14
    desk = shared_desk(Counting(1))
    stream = run_stream(desk.run)
    lease = LeaseGranted(run=desk.run, owner="a", host="h", pid=1, seat="far/1")
    moves = [RunMoved(run=desk.run, old="queued", new="leased"), RunMoved(run=desk.run, old="leased", new="running")]
    desk.ledger.append([Draft(stream, one, epoch=1) for one in (lease, *moves)])
    with pytest.raises(RunBusy, match="is under way"):
        await desk.engine.roll_back(desk.run, "step")
    assert desk.ledger.epoch(stream) == 1


# -- nights


def test_a_night_of_another_home_is_not_closed_while_it_lives() -> None:
    """Nor are its runs taken, although its host has our name and no lock of it is held here; once it is dead, both."""
    # shows: N14
    room = Room()
    row = Seats(clock=room.clock)
    row.silent = {"far/1": 0.0}
    neighbours, locks = watched(row), MemoryLocks()
    teller = Teller(room.ledger, Hooks(), lambda problem: None)
    teller.night = "night-mine"
    recovery = Recovery(room.ledger, locks, None, teller, neighbours)
    run, stream = room.add(), "nights"
    host = locks.me.host
    room.ledger.append([Draft(stream, NightBegan(night="night-far", host=host, pid=5, workers=1, seat="far/1"))])
    lease = LeaseGranted(run=run, owner="o", host=host, pid=5, seat="far/1", night="night-far")
    moved = RunMoved(run=run, old="queued", new="leased")
    room.ledger.append([Draft(run_stream(run), lease, epoch=1), Draft(run_stream(run), moved, epoch=1)])
    anyio.run(neighbours.look)
    pass_time(row, neighbours, LEASE_S * 3)
    assert anyio.run(recovery.close_dead) == []
    assert recovery.left([]) == []
    pass_time(row, neighbours, LEASE_S, silent=["far/1"])
    assert recovery.left([]) == [run]
    assert anyio.run(recovery.close_dead) == ["night-far"]


@pytest.mark.anyio
async def test_who_joins_at_the_same_moment_waits_to_hear_whose_budget_it_shares() -> None:
    """The first one has its seat, and its beginning is not yet in this mirror: a night that went on at once would
    spend without any limit. One that never begins holds nobody up for long."""
    # shows: N14, N9
    room = Room()
    row = Seats("here/1", room.clock)
    row.silent = {"far/1": 0.0}
    row.nights = {"far/1": "night-far"}

    async def slowly(seconds: float) -> None:
        room.clock.advance(seconds)
        if room.clock.monotonic() - began_s > 1.0 and not row.lost and heard:
            began = NightBegan(night="night-far", host="h", pid=5, workers=1, seat="far/1", budget={"attempts": 3})
            room.ledger.append([Draft("nights", began)])
            heard.clear()
        await anyio.lowlevel.checkpoint()

    joined = {}
    for heard in ([True], []):
        began_s = room.clock.monotonic()
        engine = Engine(room.ledger, {}, MemoryLocks(), room.clock, Random(1).randbytes, seats=row)
        plan = Plan(join=True, once=True)
        locks, seed = MemoryLocks(), Random(len(heard)).randbytes
        night = Supervisor(engine, room.ledger, room.clock, seed, locks, plan, sleep=slowly, seats=row)
        ended = await night.work()
        (told,) = night_views.nights(room.ledger, named=ended.night)
        joined[told.joined] = told.level
        row.nights = {"far/1": "night-that-hangs"}
    assert joined == {"night-far": 0, "": 1}


def test_nights_that_joined_share_one_account() -> None:
    """However many join, and whoever joins them; one with a budget of its own hangs its account below."""
    # shows: N14
    room = Room()

    def begin(night: str, **more: Any) -> night_views.NightRow:
        began = NightBegan(night=night, host="h", pid=1, workers=1, **more)
        room.ledger.append([Draft("nights", began)])
        return night_views.nights(room.ledger, named=night)[0]

    begin("night-a", budget={"attempts": 3}, until=stamp(room.clock.now() + timedelta(hours=8)))
    begin("night-b", joined="night-a")
    begin("night-c", joined="night-b")
    own = begin("night-d", joined="night-c", budget={"attempts": 1})
    begin("night-e", joined="night-e")
    accounts = {name: night_views.account_of(room.ledger, f"night-{name}") for name in "abcde"}
    assert accounts == {"a": "night:night-a", "b": "night:night-a", "c": "night:night-a", "d": "night:night-d", "e": ""}
    assert night_views.above_of(room.ledger, own) == "night:night-a"


# -- the seats themselves


@pytest.fixture
def seat_url() -> Iterator[str]:
    with postgres_server.database() as url:
        yield url


def test_of_two_nights_at_the_same_moment_one_is_told(seat_url: str, tmp_path: Path) -> None:
    """The table is made by whoever is first; who will not join is refused while another home's night lives."""
    # shows: N14
    row = [PostgresSeats(seat_url, tmp_path / name, f"host-{name}") for name in ("a", "b", "c")]
    told: dict[int, Sequence[Sitter]] = {}

    def sit(number: int) -> None:
        told[number] = row[number].sit_here(night=f"night-{number}", alone=True)

    threads = [threading.Thread(target=sit, args=(number,)) for number in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(len(kept) for kept in told.values()) == [0, 1]
    assert row[2].sit_here(night="night-2", alone=False) == []
    winner = next(number for number, kept in told.items() if not kept)
    assert {one.night for one in row[2].look()} == {f"night-{winner}"}
    row[winner].stand()
    assert row[2].look() == []
    for one in row:
        one.stand()


def test_a_night_that_nobody_feeds_falls_silent(seat_url: str, tmp_path: Path) -> None:
    """Its thread lives, its loop hangs; when it is fed again it beats, and hears how long it was silent."""
    # shows: N14
    lease_s = 0.6
    one, two = (PostgresSeats(seat_url, tmp_path / name, f"host-{name}") for name in ("a", "b"))
    one.sit_here(night="night-1", lease_s=lease_s)
    two.sit_here(lease_s=lease_s)
    until(lambda: not two.look()[0].lives)
    assert one.lapse_s() == 0
    lapse_s = 0.0
    while not lapse_s:
        one.feed()
        threading.Event().wait(0.02)
        lapse_s = one.lapse_s()
    assert lapse_s > lease_s
    assert two.look()[0].lives
    assert one.look()[0].lives  # a command of a person needs no feeding
    one.stand()
    two.stand()


def test_a_lost_connection_is_made_again(seat_url: str, tmp_path: Path) -> None:
    """And so is the row, where the server lost it."""
    one, two = (PostgresSeats(seat_url, tmp_path / name, f"host-{name}") for name in ("a", "b"))
    one.sit_here(lease_s=0.6)
    two.sit_here(lease_s=0.6)
    with psycopg.connect(seat_url, autocommit=True) as admin:
        admin.execute("DELETE FROM daybreak_seats.seat")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'daybreak seat'")
    until(lambda: [seat.seat for seat in two.look()] == [one.me])
    one.stand()
    two.stand()


def test_the_server_frees_the_lock_of_whoever_stands_still_with_it(seat_url: str, tmp_path: Path) -> None:
    """Stopped between its begin and its commit, a coordinator would keep all others from appending for as long as it
    is stopped; it hears that nothing was written, and goes on."""
    # shows: N14
    from tests.unit import ledger_home as shelf

    home = shelf.Home(tmp_path / "one", [shelf.STEPS], seat_url)
    with home.open() as ledger:
        still = Truth(connect(seat_url))
        still.link().execute("SET idle_in_transaction_session_timeout = '300ms'")
        assert still.begin() is not None
        began_s = time.monotonic()
        ledger.append([Draft("queue", shelf.step(1))])
        assert time.monotonic() - began_s < 10
        with pytest.raises(ConnectionLost):
            list(still.rows(-1, 1))
        assert still.begin() == (2, ledger.head().text)
        still.roll_back()
        still.drop()


def test_a_copied_home_is_refused(seat_url: str, tmp_path: Path) -> None:
    """Two folders under one name would each take the other's runs for their own dead ones, and believe a lookup that
    finds nothing; also where their hosts have one name, as containers may. What only moved is no copy."""
    # shows: N14, N5
    one = PostgresSeats(seat_url, tmp_path / "a", "host")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = PostgresSeats(seat_url, tmp_path / "b", "host")
    again = PostgresSeats(seat_url, tmp_path / "a", "host-of-another-name")
    one.sit_here(lease_s=0.6)
    assert again.sit_here() == []
    with pytest.raises(HomeCopied, match="works under the name of this home"):
        copy.sit_here()
    one.stand()
    again.stand()
    assert copy.sit_here() == []
    copy.stand()


def test_of_two_copies_at_the_same_moment_one_is_refused(seat_url: str, tmp_path: Path) -> None:
    """Neither beats yet when the other looks: what counts is who takes the seat."""
    # shows: N14
    first = PostgresSeats(seat_url, tmp_path / "0", "host")
    rows = [first]
    for number in range(1, 4):
        shutil.copytree(tmp_path / "0", tmp_path / str(number))
        rows.append(PostgresSeats(seat_url, tmp_path / str(number), "host"))
    ready = threading.Barrier(len(rows))
    told: list[str] = []

    def sit(row: PostgresSeats) -> None:
        ready.wait()
        try:
            row.sit_here(lease_s=0.6)
            told.append("sat")
        except HomeCopied:
            told.append("refused")

    threads = [threading.Thread(target=sit, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["refused"] * 3 + ["sat"]
    for row in rows:
        row.stand()


def test_homes_that_hide_other_examples_are_refused(seat_url: str, tmp_path: Path) -> None:
    """One that goes on with another's run must hold out the same; whoever says nothing is not compared."""
    # shows: N14
    one, other, silent = (
        PostgresSeats(seat_url, tmp_path / mark, f"host-{mark}", mark=mark if mark != "c" else "") for mark in "abc"
    )
    one.sit_here()
    with pytest.raises(KeysDiffer, match="held-out examples"):
        other.sit_here()
    assert silent.sit_here() == []
    one.stand()
    assert other.sit_here() == []
    other.stand()
    silent.stand()


def test_the_ledger_does_not_mind_the_seats(seat_url: str, tmp_path: Path) -> None:
    """They lie outside of what is compared with how a ledger was made."""
    from tests.unit import ledger_home as shelf

    home = shelf.Home(tmp_path / "one", [shelf.STEPS], seat_url)
    with home.open():
        PostgresSeats(seat_url, tmp_path / "a", "h").sit_here()
    with home.open() as ledger:
        size = ledger.head().size
    assert home.verify().ok
    assert size == 1  # beats are no events


def test_only_one_home_at_a_time_has_a_turn(seat_url: str, tmp_path: Path) -> None:
    """Messages go once: whoever has the turn is told how far the ledger was, and a dead one's turn is free."""
    # shows: N14
    from tests.unit import ledger_home as shelf

    home = shelf.Home(tmp_path / "one", [shelf.STEPS], seat_url)
    one, two = (PostgresSeats(seat_url, tmp_path / name, f"host-{name}") for name in ("a", "b"))
    with home.open() as ledger:
        ledger.append([Draft("queue", shelf.step(1))])
        turn = one.turn("notifier")
        assert turn.size == 2
        with pytest.raises(LockHeld):
            two.turn("notifier")
        two.turn("other").release()
        with psycopg.connect(seat_url, autocommit=True) as admin:  # its machine is gone
            name = "daybreak notifier"
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [name])
        again: list[Any] = []

        def free() -> bool:
            with contextlib.suppress(LockHeld):
                again.append(two.turn("notifier"))
            return bool(again)

        until(free)
        again[0].release()
        turn.release()


def test_a_run_about_somebody_waits_for_the_home_with_the_key(seat_url: str, tmp_path: Path) -> None:
    """That another home cannot read it does not mean that it was forgotten; once it was, the run ends with that."""
    # shows: N14
    from tests.unit import ledger_home as shelf

    clock = FakeClock()
    home = shelf.Home(tmp_path / "one", VIEWS, seat_url)
    with home.open() as ledger:
        beside = home.beside("other")
        kinds: Any = {"kind": Counting(1)}
        mine = Engine(ledger, kinds, MemoryLocks(), clock, Random(1).randbytes, seats=Seats("here/1"))
        run = mine.submit("kind", "write to somebody", {}, subject="customer-42")
        with beside.open() as mirror:
            other = Engine(mirror, kinds, MemoryLocks(), clock, Random(2).randbytes, seats=Seats("there/1"))
            with pytest.raises(KeyElsewhere):
                anyio.run(other.supervise, run)
            assert [one.type for one in mirror.read(run_stream(run))] == ["run.moved"]
        assert anyio.run(mine.supervise, run).state == "done"


def test_a_home_keeps_its_name(tmp_path: Path) -> None:
    """Of several that make it at the same moment all get one; what is no name is refused."""
    words: list[str] = []
    threads = [
        threading.Thread(target=lambda: words.append(seats.named(tmp_path, Random().randbytes))) for _ in range(8)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(words) == 8
    assert set(words) == {seats.name_of(tmp_path)}
    assert [path.name for path in tmp_path.iterdir()] == [seats.FILE]
    for wrong in ("", "a/b", "../x", "x" * 100, "\u00e9"):
        (tmp_path / seats.FILE).write_text(wrong, "utf-8")
        with pytest.raises(HomeNameBroken):
            seats.named(tmp_path, Random().randbytes)


def test_joining_needs_a_ledger_that_can_be_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of this machine is none; it says what there is instead."""
    # shows: N14
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path))
    monkeypatch.delenv("DAYBREAK_POSTGRES", raising=False)
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["night", "--join", "--once"])
    assert said.exit_code != 0
    assert getattr(said.exception, "code", 2) in ("U380", 2)
    assert not (tmp_path / "ledger").exists()


# -- a copy of everything


def test_a_snapshot_holds_what_other_homes_put(seat_url: str, tmp_path: Path) -> None:
    """Their blobs lie in their folders and in Postgres; a home that joined brings them before it puts its copy away,
    also one that comes while the copy is made; one that is damaged there is in no snapshot."""
    # shows: N14, N16
    from tests.unit import ledger_home as shelf

    views = [shelf.STEPS]
    first = shelf.Home(tmp_path / "first", views, seat_url)
    with first.open() as there:
        beside = first.beside("joined")
        names: list[str] = []

        def put(number: int) -> None:
            digest = there.put_blob(b"of another home %d" % number)
            there.append([Draft("queue", shelf.step(number, digest))])
            names.append(digest)

        def refers(record: Any) -> list[str]:
            return [record.event.result] if isinstance(record.event, StepDone) else []

        put(0)
        store = Store(tmp_path / "snapshots")
        places = Places.below(beside.root, "a test")
        with beside.open() as ledger:
            put(1)
            until(lambda: ledger.newest().size == there.newest().size)
            late = iter([2])

            def progress(what: str, done: int, total: int) -> None:
                if what.startswith("copying"):
                    for number in late:
                        put(number)

            done = keep_safe(ledger, store, places, clock=FakeClock(), views=views, refers=refers, progress=progress)
            assert (done.problem, done.ok) == ("", True)
            assert all((places.ledger / BLOBS / name[:2] / name).is_file() for name in names[:2])
            put(3)
            until(lambda: ledger.newest().size == there.newest().size)
            with psycopg.connect(seat_url, autocommit=True) as admin:
                admin.execute("UPDATE daybreak.blob SET data = 'other' WHERE digest = %s", [names[3]])
            with pytest.raises(BlobDamaged):
                keep_safe(ledger, store, places, clock=FakeClock(), views=views, refers=refers)
        assert [one.name for one in store.snapshots()] == [done.name]


def until(there: Any) -> None:
    """Soon; what happens in another thread has no other end to wait for."""
    event = threading.Event()
    for _ in range(1000):
        if there():
            return
        event.wait(0.02)
    raise AssertionError("it did not come")
