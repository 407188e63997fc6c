"""A night: what it works on, what ends it, what it recovers, and what never ends it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import anyio
import pytest
import trio
from tests.unit import night_scene as scene

from daybreak.engine import Absent, Found, Parked, spend
from daybreak.engine.night import Found as HookFound
from daybreak.engine.night import Hooks, NightMisplanned, Plan, Status
from daybreak.engine.nights import account_of, nights, notes
from daybreak.engine.supervisor import LOCK, SupervisorBusy
from daybreak.errors import LedgerBusy, LedgerStopped
from daybreak.events import FINAL, IncidentRaised, LeaseGranted, RunMoved, run_stream
from daybreak.host.locks import LockHeld
from daybreak.ledger.record import Draft
from daybreak.policy.accounts import Accounts
from daybreak.policy.budget import Amounts, Limit
from daybreak.testing.world import MemoryLocks

Scene, BeatingLocks = scene.Scene, scene.BeatingLocks


def plan(**fields: Any) -> Plan:
    """On a virtual clock nobody but this process appends: nothing to poll for."""
    return Plan(**{"poll_s": float("inf"), **fields})


ONCE = plan(once=True)


async def work(ctx: Any, args: Any) -> int:
    """Three steps of ten minutes."""
    for number in range(3):
        await ctx.step(f"step {number}", trio.sleep, 600)
    return 3


async def quick(ctx: Any, args: Any) -> str:
    async def answer() -> str:
        return "done"

    return str(await ctx.step("answer", answer))


async def forever(ctx: Any, args: Any) -> None:
    for number in range(10_000):
        await ctx.step(f"step {number}", trio.sleep, 600)


async def hang(ctx: Any, args: Any) -> None:
    await ctx.step("hang", trio.sleep_forever)


async def asks(ctx: Any, args: Any) -> Any:
    return await ctx.ask("blue or green?")


async def sleepy(ctx: Any, args: Any) -> str:
    await ctx.sleep(3600)
    return "awake"


async def broken(ctx: Any, args: Any) -> None:
    raise ValueError("a fault of the task's")


async def paid(ctx: Any, args: Any) -> str:
    async def pay() -> str:
        await trio.sleep(60)
        spend(Amounts(money_microusd=1_000_000))
        return "paid"

    return str(await ctx.step("pay", pay, cost=Amounts(money_microusd=1_000_000)))


# -- what it works on, and what ends it


def test_a_night_works_until_the_queue_is_empty() -> None:
    """With `once`: everything is brought to where it ends or needs a person, and the end says how much of each."""
    # shows: N1
    night = Scene(work=work, broken=broken, asks=asks)
    night.add("work", 9)
    night.add("broken")
    night.add("asks")
    result = night.night(plan(once=True, workers=3))
    assert result.why == "empty"
    assert result.counts == {"done": 9, "failed": 1, "parked": 1}
    assert night.ended()[0].counts == result.counts
    assert (result.ended - result.began) < timedelta(hours=2), "three at once"
    assert [row.why for row in nights(night.ledger)] == ["empty"]


def test_an_empty_queue_ends_a_once_night_at_once_and_no_other() -> None:
    """Without `once` it waits for what may still come, until its time is over."""
    # shows: N1
    night = Scene(quick=quick)
    assert night.night(ONCE).why == "empty"
    until = night.after(hours=2)
    result = night.night(plan(until=until))
    assert (result.why, result.ended) == ("deadline", until)


def test_never_more_runs_at_once_than_workers() -> None:
    """However many there are to do."""
    # shows: N1
    under_way = most = 0

    async def counted(ctx: Any, args: Any) -> None:
        async def step() -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await trio.sleep(60)
            under_way -= 1

        await ctx.step("count", step)

    night = Scene(counted=counted)
    night.add("counted", 20)
    assert night.night(plan(once=True, workers=5)).counts == {"done": 20}
    assert most == 5


def test_a_waiting_run_takes_no_worker_and_is_waited_for() -> None:
    """With one worker, others work while it sleeps; a `once` night waits for what time alone brings."""
    # shows: N1
    night = Scene(sleepy=sleepy, work=work)
    night.add("sleepy")
    night.add("work", 2)
    result = night.night(plan(once=True, workers=1))
    assert result.counts == {"done": 3}
    assert result.ended - result.began < timedelta(hours=1, minutes=10)


def test_what_waits_beyond_the_deadline_does_not_keep_a_once_night() -> None:
    """Its time would come after the end anyway; the last words say when."""
    night = Scene(sleepy=sleepy)
    night.add("sleepy")
    due = night.after(hours=1)
    result = night.night(plan(once=True, until=night.after(minutes=30)))
    assert (result.why, result.counts) == ("empty", {"waiting": 1})
    assert result.text == f"nothing more is ready: 1 waiting; the next is due at {due:%Y-%m-%d %H:%M} UTC"
    assert result.ended - result.began < timedelta(minutes=1)


def test_at_the_deadline_runs_stop_at_the_end_of_their_step() -> None:
    """What ends within the grace is recorded as a whole step; nothing new begins; the next night goes on."""
    # shows: N1 N14
    night = Scene(work=work)
    runs = night.add("work", 3)
    result = night.night(plan(workers=2, until=night.after(minutes=19, seconds=50), grace_s=30))
    assert (result.why, result.counts) == ("deadline", {"paused": 2})
    assert night.states() == {"paused": 2, "queued": 1}
    moved = [one.event for one in night.ledger.read(run_stream(runs[0])) if isinstance(one.event, RunMoved)]
    assert moved[-1].why == "the night's time is over"
    assert night.night(ONCE).counts == {"done": 3}


def test_what_does_not_end_within_the_grace_is_cancelled() -> None:
    """It is paused as interrupted; the step that it was in is computed again by the next night."""
    # shows: N1
    night = Scene(work=work)
    night.add("work")
    until = night.after(minutes=15)
    result = night.night(plan(until=until, grace_s=30))
    assert (result.why, result.counts) == ("deadline", {"paused": 1})
    assert result.ended <= until + timedelta(seconds=31)
    assert night.night(ONCE).counts == {"done": 1}


def test_a_stopped_night_ends_cleanly() -> None:
    """SIGTERM and Ctrl-C call `stop`."""
    # shows: N1
    night = Scene(work=work)
    night.add("work")
    supervisor = night.supervisor(plan(grace_s=900))

    async def stopped() -> Any:
        async with anyio.create_task_group() as group:

            async def stop() -> None:
                await trio.sleep(700)
                supervisor.stop()

            group.start_soon(stop)
            return await supervisor.work()

    result = night.run(stopped)
    assert (result.why, result.counts) == ("stopped", {"paused": 1})
    assert result.ended - result.began == timedelta(seconds=1200), "its second step was finished"


def test_a_second_stop_does_not_wait() -> None:
    """In haste: what is under way is cancelled now."""
    night = Scene(work=work)
    night.add("work")
    supervisor = night.supervisor(plan(grace_s=900))

    async def stopped() -> Any:
        async with anyio.create_task_group() as group:

            async def stop() -> None:
                await trio.sleep(700)
                supervisor.stop()
                supervisor.stop(hasty=True)

            group.start_soon(stop)
            return await supervisor.work()

    result = night.run(stopped)
    assert result.counts == {"paused": 1}
    assert result.ended - result.began < timedelta(seconds=710)


def test_a_task_that_is_added_meanwhile_is_begun_at_once() -> None:
    """An append of this process wakes the supervisor, however seldom it polls."""
    night = Scene(quick=quick)
    supervisor = night.supervisor(plan(poll_s=float("inf"), recover_s=1e9, until=night.after(hours=1)))

    async def added() -> Any:
        async with anyio.create_task_group() as group:

            async def add() -> None:
                await trio.sleep(100)
                (run,) = night.add("quick")
                await trio.sleep(0.5)
                assert night.state(run) == "done"

            group.start_soon(add)
            return await supervisor.work()

    assert night.run(added).counts == {"done": 1}


def test_an_answered_question_is_gone_on_with_in_the_same_night() -> None:
    """A person is awake after all."""
    night = Scene(asks=asks)
    (run,) = night.add("asks")
    supervisor = night.supervisor(plan(until=night.after(hours=1)))

    async def answered() -> Any:
        async with anyio.create_task_group() as group:

            async def answer() -> None:
                await trio.sleep(600)
                assert night.state(run) == "parked"
                night.engine.answer(run, "blue or green?", "green")

            group.start_soon(answer)
            return await supervisor.work()

    assert night.run(answered).counts == {"done": 1}


# -- budgets


def test_the_budget_ends_the_night_when_nothing_can_start_any_more() -> None:
    """Three of five can be paid; the others are paused, and the next night goes on with them."""
    # shows: N1
    night = Scene(paid=paid)
    night.add("paid", 5)
    result = night.night(plan(budget=Limit(money_microusd=3_000_000), workers=2))
    assert (result.why, result.counts) == ("budget", {"done": 3, "paused": 2})
    assert result.used == {"money_microusd": 3_000_000, "attempts": 3}
    assert night.night(plan(once=True, budget=Limit(money_microusd=3_000_000))).counts == {"done": 2}


def test_a_night_that_goes_on_with_a_dead_one_spends_its_budget_and_no_other() -> None:
    """A supervisor that is killed and begun again does not get the money twice."""
    # shows: N1 N14
    night = Scene(paid=paid)
    night.add("paid", 5)
    until = night.after(hours=8)
    limited = plan(budget=Limit(money_microusd=3_000_000), until=until, workers=1)
    first = night.supervisor(limited, hooks=Hooks(beat=_die_after(2, night)))
    with pytest.raises(BaseExceptionGroup):
        night.run(first.work)
    result = night.night(limited)
    assert result.why == "budget"
    assert result.went_before == first.night
    assert account_of(night.ledger, result.night) == f"night:{first.night}"
    assert Accounts(night.ledger).used(f"night:{first.night}").money_microusd == 3_000_000
    assert night.states()["done"] == 2, "what was under way is paid for at its worst"
    assert [ended.why for ended in night.ended()] == ["died", "budget"]


def test_tomorrows_night_has_a_budget_of_its_own() -> None:
    """A night that died yesterday is named, and its account is left alone once its time is over."""
    night = Scene(paid=paid)
    night.add("paid", 4)
    limited = plan(budget=Limit(money_microusd=2_000_000), until=night.after(hours=1), workers=1)
    first = night.supervisor(limited, hooks=Hooks(beat=_die_after(1, night)))
    with pytest.raises(BaseExceptionGroup):
        night.run(first.work)
    night.clock.advance(7200)
    result = night.night(plan(budget=Limit(money_microusd=2_000_000), once=True))
    assert account_of(night.ledger, result.night) == f"night:{result.night}"
    assert result.went_before == first.night


class Died(BaseException):
    """The process is dead."""


def _die_after(done: int, night: Any) -> Any:
    """A hook in which the process dies, once so many runs are done."""

    async def beat(status: Status) -> None:
        if night.states().get("done", 0) >= done:
            raise Died

    return beat


# -- one supervisor


def test_a_second_supervisor_is_refused() -> None:
    """With who is at work, and what can be done."""
    # shows: N5
    night = Scene(quick=quick)
    with night.locks.hold(LOCK), pytest.raises(SupervisorBusy, match="process 1 on here") as refused:
        night.night()
    assert "--if-busy" in refused.value.hint
    assert night.began() == []


def test_a_second_supervisor_may_wait() -> None:
    """It begins when the first one has ended; where its own time is over by then, it says so."""
    # shows: N5
    night = Scene(work=work)
    night.add("work", 2)
    first = night.supervisor(plan(until=night.after(minutes=20)))
    second = night.supervisor(plan(if_busy="wait", once=True))

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(first.work)
            await trio.sleep(1)
            group.start_soon(second.work)

    night.run(both)
    assert [ended.night for ended in night.ended()] == [first.night, second.night]
    assert night.states() == {"done": 2}
    with night.locks.hold(LOCK), pytest.raises(SupervisorBusy, match="time was over"):
        night.night(plan(if_busy="wait", until=night.after(minutes=1)))


def test_a_waiting_supervisor_can_be_stopped() -> None:
    """Nothing was begun then."""
    night = Scene(quick=quick)
    supervisor = night.supervisor(plan(if_busy="wait"))

    async def stopped() -> Any:
        async with anyio.create_task_group() as group:

            async def stop() -> None:
                await trio.sleep(100)
                supervisor.stop()

            group.start_soon(stop)
            return await supervisor.work()

    with night.locks.hold(LOCK):
        result = night.run(stopped)
    assert (result.night, result.why) == ("", "stopped")
    assert night.began() == []


def test_a_helper_works_from_the_same_queue() -> None:
    """Each task ends once, though two supervisors take from one queue."""
    # shows: N5
    night = Scene(work=work)
    runs = night.add("work", 12)
    first = night.supervisor(plan(once=True, workers=2))
    second = night.supervisor(plan(once=True, workers=2, if_busy="help"))

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(first.work)
            await trio.sleep(1)
            group.start_soon(second.work)

    night.run(both)
    assert night.states() == {"done": 12}
    for run in runs:
        moved = [one.event for one in night.ledger.read(run_stream(run)) if isinstance(one.event, RunMoved)]
        assert sum(event.new in FINAL for event in moved) == 1
    by_night = {one.event.night for run in runs for one in night.ledger.read(run_stream(run)) if _is_lease(one.event)}
    assert by_night == {first.night, second.night}


def _is_lease(event: object) -> bool:
    return isinstance(event, LeaseGranted)


def test_a_helper_becomes_the_supervisor_when_there_is_none() -> None:
    """So that a third one is refused."""
    night = Scene(work=work)
    night.add("work", 1)
    first = night.supervisor(plan(until=night.after(minutes=5)))
    second = night.supervisor(plan(until=night.after(minutes=30), if_busy="help"))

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(first.work)
            await trio.sleep(1)
            group.start_soon(second.work)
            await trio.sleep(900)
            with pytest.raises(LockHeld):
                night.locks.hold(LOCK)

    night.run(both)


# -- what a crash leaves


def test_runs_that_a_crash_left_are_gone_on_with_at_once() -> None:
    """Their state says that they are under way, and nobody holds their lock."""
    # shows: N1 N14
    night = Scene(work=work)
    runs = night.add("work", 3)
    dead = night.supervisor(plan(workers=2), hooks=Hooks(beat=_die_at(night, minutes=15)))
    with pytest.raises(BaseExceptionGroup):
        night.run(dead.work)
    crashed = [run for run in runs if night.state(run) == "running"] or runs
    result = night.night(ONCE)
    assert result.counts == {"done": 3}
    assert night.ended()[0].why == "died"
    assert night.began()[1].went_before == dead.night
    assert crashed


def _die_at(night: Any, **span: float) -> Any:
    at = night.after(**span)

    async def beat(status: Status) -> None:
        if night.clock.now() >= at:
            night.ledger.append_async = _dead  # a process that is dead records nothing
            raise Died

    append = night.ledger.append_async

    async def _dead(drafts: Sequence[Draft]) -> Any:
        if night.clock.now() >= at and not revived:
            revived.append(True)
            night.ledger.append_async = append
            raise Died
        return await append(drafts)

    revived: list[bool] = []
    return beat


def test_a_run_that_is_left_while_the_night_goes_on_is_found() -> None:
    """Its owner, another process of this machine, died an hour into the night."""
    # shows: N1
    night = Scene(quick=quick)
    (run,) = night.add("quick")
    supervisor = night.supervisor(plan(until=night.after(hours=2), workers=1))

    async def left() -> Any:
        night.ledger.append(
            [
                Draft(run_stream(run), LeaseGranted(run=run, owner="x", host="here", pid=5), epoch=1),
                Draft(run_stream(run), RunMoved(run=run, old="queued", new="leased"), epoch=1),
            ]
        )
        held = night.locks.hold(run)
        async with anyio.create_task_group() as group:

            async def die() -> None:
                with held:
                    await trio.sleep(3600)

            group.start_soon(die)
            return await supervisor.work()

    assert night.run(left).counts == {"done": 1}


def test_runs_of_another_machine_are_left_alone() -> None:
    """Whether their owner lives cannot be seen from here."""
    night = Scene(quick=quick)
    (run,) = night.add("quick")
    night.ledger.append(
        [
            Draft(run_stream(run), LeaseGranted(run=run, owner="x", host="there", pid=5), epoch=1),
            Draft(run_stream(run), RunMoved(run=run, old="queued", new="leased"), epoch=1),
        ]
    )
    assert night.night(ONCE).counts == {}
    assert night.state(run) == "leased"


# -- stuck work


def test_a_run_without_progress_is_stopped_and_parked() -> None:
    """Others go on; it is noted, and a person is asked."""
    # shows: N1 F15
    night = Scene(hang=hang, quick=quick)
    (stuck,) = night.add("hang")
    night.add("quick", 3)
    result = night.night(plan(once=True, workers=1, stuck_s=1800))
    assert result.counts == {"done": 3, "parked": 1}
    assert night.state(stuck) == "parked"
    (note,) = night.noted("stuck")
    assert (note.run, note.level) == (stuck, 2)
    assert timedelta(minutes=30) <= result.ended - result.began < timedelta(minutes=41)


def test_a_run_that_makes_progress_is_not_stuck() -> None:
    """Ten-minute steps for hours, with a limit of half an hour without progress."""
    night = Scene(forever=forever)
    night.add("forever")
    result = night.night(plan(until=night.after(hours=5), stuck_s=1800))
    assert result.counts == {"paused": 1}
    assert night.noted("stuck") == []


def test_a_run_that_keeps_its_worker_too_long_is_stopped() -> None:
    """By the wall clock, whatever progress it makes."""
    # shows: N1
    night = Scene(forever=forever)
    night.add("forever")
    result = night.night(plan(once=True, run_limit_s=7200))
    assert result.counts == {"parked": 1}
    assert "kept its worker for 2:" in night.noted("stuck")[0].text


def test_a_machine_that_slept_makes_nothing_stuck() -> None:
    """Five hours pass between two looks: nobody could have seen progress in that time."""
    # shows: N14
    night = Scene(work=work)
    night.add("work")
    supervisor = night.supervisor(plan(once=True, stuck_s=1800))

    async def slept() -> Any:
        async with anyio.create_task_group() as group:

            async def sleep() -> None:
                await trio.sleep(300)
                night.clock.advance(5 * 3600)

            group.start_soon(sleep)
            return await supervisor.work()

    assert night.run(slept).counts == {"done": 1}
    assert night.noted("stuck") == []


# -- owners that stopped


def _left_by_a_stopped_owner(night: Any, run: str, *, beats: bool = True) -> None:
    night.ledger.append(
        [
            Draft(run_stream(run), LeaseGranted(run=run, owner="x", host="here", pid=77), epoch=1),
            Draft(run_stream(run), RunMoved(run=run, old="queued", new="leased"), epoch=1),
        ]
    )
    night.locks.stop_owner(run, beats=beats)


def test_the_run_of_a_stopped_owner_is_taken_over_once_its_beat_stays_away() -> None:
    """The owner is ended first, and that is noted."""
    # shows: N5 N14
    night = Scene(locks=BeatingLocks(), quick=quick)
    (run,) = night.add("quick")
    _left_by_a_stopped_owner(night, run)
    result = night.night(plan(until=night.after(minutes=10), lease_s=60))
    assert result.counts == {"done": 1}
    assert night.locks.ended == [run]
    (note,) = night.noted("takeover")
    assert (note.run, note.details["pid"]) == (run, 77)


def test_a_helper_whose_first_words_wait_for_a_supervisor_that_stands_still_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stands still in the middle of a commit, and until it is gone nobody can append."""
    # shows: N5 N14
    night = Scene(locks=BeatingLocks(), quick=quick)
    night.add("quick")
    night.locks.stop_owner(LOCK)
    helper = night.supervisor(plan(once=True, if_busy="help", lease_s=60))
    append = helper._tell.append

    async def held(*given: Any) -> Any:
        while LOCK in night.locks.foreign:  # noqa: ASYNC110 - virtual time
            await trio.sleep(1)
        return await append(*given)

    monkeypatch.setattr(helper._tell, "append", held)

    async def work_in_time() -> Any:
        with trio.fail_after(600):
            return await helper.work()

    result = night.run(work_in_time)
    assert result.counts == {"done": 1}
    assert night.locks.ended == [LOCK]
    assert [note.details["pid"] for note in night.noted("takeover")] == [77]


def test_an_owner_that_never_promised_to_beat_is_left_alone() -> None:
    """A person who goes on with one run by hand."""
    # shows: N5
    night = Scene(locks=BeatingLocks(), quick=quick)
    (run,) = night.add("quick")
    _left_by_a_stopped_owner(night, run, beats=False)
    assert night.night(plan(until=night.after(hours=3))).counts == {}
    assert night.locks.ended == []


def test_an_owner_that_beats_is_left_alone() -> None:
    """However slowly it works."""
    # shows: N5
    night = Scene(locks=BeatingLocks(), quick=quick)
    (run,) = night.add("quick")
    _left_by_a_stopped_owner(night, run)
    supervisor = night.supervisor(plan(until=night.after(hours=1), lease_s=60))

    async def beating() -> Any:
        async with anyio.create_task_group() as group:

            async def beat() -> None:
                while True:
                    night.locks.beats[run] = night.locks.beats.get(run, 0) + 1
                    await trio.sleep(55)

            group.start_soon(beat)
            result = await supervisor.work()
            group.cancel_scope.cancel()
        return result

    assert night.run(beating).counts == {}
    assert night.locks.ended == []


def test_a_machine_that_slept_makes_no_owner_look_stopped() -> None:
    """Its clock jumps by hours; the owner beats again a few seconds later, as we do."""
    # shows: N5 N14
    night = Scene(locks=BeatingLocks(), quick=quick)
    (run,) = night.add("quick")
    _left_by_a_stopped_owner(night, run)
    supervisor = night.supervisor(plan(until=night.after(hours=9), lease_s=60))

    async def slept() -> Any:
        async with anyio.create_task_group() as group:

            async def beat() -> None:
                for _ in range(20):
                    night.locks.beats[run] = night.locks.beats.get(run, 0) + 1
                    await trio.sleep(5)
                    night.clock.advance(1800)

            group.start_soon(beat)
            with anyio.move_on_after(95):
                await supervisor.work()
            group.cancel_scope.cancel()

    night.run(slept)
    assert night.locks.ended == []


def test_an_owner_that_cannot_be_ended_keeps_its_run_and_is_told_once() -> None:
    """Another user's, or on another machine."""
    # shows: N5
    night = Scene(locks=BeatingLocks(), quick=quick)
    night.locks.stays = True
    (run,) = night.add("quick")
    _left_by_a_stopped_owner(night, run)
    assert night.night(plan(until=night.after(hours=3), lease_s=60)).counts == {}
    (note,) = night.noted("takeover")
    assert note.level == 2
    assert "cannot be ended" in note.text


def test_who_waits_for_a_stopped_supervisor_ends_it() -> None:
    """So that a night does not wait until the morning for nothing."""
    # shows: N5
    night = Scene(locks=BeatingLocks(), quick=quick)
    night.add("quick")
    night.locks.stop_owner(LOCK, "night-dead")
    result = night.night(plan(once=True, if_busy="wait", lease_s=60))
    assert result.counts == {"done": 1}
    assert night.locks.ended == [LOCK]
    assert [note.details["lock"] for note in night.noted("takeover")] == [LOCK]


def test_all_that_is_held_here_beats() -> None:
    """The supervisor, the night, and every run under way."""
    night = Scene(locks=BeatingLocks(), work=work)
    (run,) = night.add("work")
    result = night.night(plan(once=True))
    beats = night.locks.beats
    assert set(beats) == {LOCK, result.night, run}
    assert all(count > 300 for count in beats.values()), "half an hour, every five seconds"


# -- what never ends it, and what does


def test_an_incident_of_level_3_ends_the_night() -> None:
    """Nothing more is begun; older incidents, and those of lower levels, do not count."""
    # shows: N1
    night = Scene(forever=forever)
    night.ledger.append([Draft("policy", IncidentRaised(incident="inc-0", kind="key_exposed", level=3))])
    night.add("forever", 2)
    supervisor = night.supervisor(plan(workers=1))

    async def alarmed() -> Any:
        async with anyio.create_task_group() as group:

            async def alarm() -> None:
                await trio.sleep(1000)
                night.ledger.append([Draft("policy", IncidentRaised(incident="inc-1", kind="token_forged", level=2))])
                await trio.sleep(1000)
                raised = IncidentRaised(incident="inc-2", kind="sandbox_escaped", level=3, what="a way out")
                night.ledger.append([Draft("policy", raised)])

            group.start_soon(alarm)
            return await supervisor.work()

    result = night.run(alarmed)
    assert (result.why, result.counts) == ("incident", {"paused": 1})
    assert "a way out" in night.ended()[0].text
    assert timedelta(seconds=2000) <= result.ended - result.began <= timedelta(seconds=2031)


def test_a_run_whose_supervision_breaks_does_not_end_the_night() -> None:
    """It is noted and tried again, ever more seldom; everything else goes on."""
    # shows: N1
    night = Scene(quick=quick)
    runs = night.add("quick", 4)
    engine = night.another_engine()
    supervise, calls = engine.supervise, []

    async def breaks(run: str, **around: Any) -> Any:
        if run == runs[1]:
            calls.append(night.clock.now())
            if len(calls) < 4:
                raise AssertionError("an invariant is broken")
        return await supervise(run, **around)

    engine.supervise = breaks
    result = night.night(ONCE, engine=engine)
    assert result.counts == {"done": 4}
    pauses = [round((after - before).total_seconds()) for before, after in pairwise(calls)]
    assert pauses == [1, 2, 4]
    assert all("an invariant is broken" in note.text for note in night.noted("alert"))


def test_a_run_that_never_can_be_supervised_does_not_keep_a_once_night() -> None:
    """After some tries nobody waits for it any more."""
    night = Scene(quick=quick)
    night.add("quick", 1)
    engine = night.another_engine()

    async def breaks(run: str, **around: Any) -> Any:
        raise AssertionError("always")

    engine.supervise = breaks
    result = night.night(ONCE, engine=engine)
    assert (result.why, result.counts) == ("empty", {})
    assert len(night.noted("alert")) == 6


def test_a_busy_ledger_is_a_matter_of_time() -> None:
    """Another process held it for too long: nothing was written, and the run is tried again."""
    night = Scene(quick=quick)
    night.add("quick", 2)
    engine = night.another_engine()
    supervise, busy = engine.supervise, [1, 2]

    async def often_busy(run: str, **around: Any) -> Any:
        if busy:
            busy.pop()
            raise LedgerBusy("held by another", hint="repeat")
        return await supervise(run, **around)

    engine.supervise = often_busy
    assert night.night(ONCE, engine=engine).counts == {"done": 2}


def test_a_broken_ledger_ends_the_night_and_is_raised() -> None:
    """After everything was cleaned up; the next night writes the end of this one."""
    # shows: N14
    night = Scene(work=work)
    night.add("work", 2)

    class Breaking:
        def __init__(self) -> None:
            self.broken = False

        def __getattr__(self, name: str) -> Any:
            return getattr(night.ledger, name)

        async def append_async(self, drafts: Any) -> Any:
            if night.clock.now() > at:
                raise LedgerStopped("the disk failed", hint="open it again")
            return await night.ledger.append_async(drafts)

    at = night.after(minutes=15)
    broken = Breaking()
    engine = night.another_engine()
    engine._log = broken
    reported: list[str] = []

    async def report(name: str) -> None:
        reported.append(name)

    supervisor = night.supervisor(plan(workers=1), engine=engine, log=broken, hooks=Hooks(report=report))
    with pytest.raises(LedgerStopped, match="the disk failed"):
        night.run(supervisor.work)
    assert reported == [supervisor.night]
    assert night.locks._held == set()
    night.clock.advance(60)
    assert night.night(ONCE).counts == {"done": 2}
    assert [ended.why for ended in night.ended()] == ["died", "empty"]


def test_a_run_that_gives_its_worker_back_at_once_again_and_again_does_not_spin() -> None:
    """It waits for a time that has passed already, each time anew."""
    looked = []

    async def spins(ctx: Any, args: Any) -> None:
        looked.append(1)
        from daybreak.engine.flow import Waiting

        raise Waiting(night.clock.now(), "for what has come already")

    night = Scene(spins=spins)
    night.add("spins")
    night.night(plan(until=night.after(hours=1)))
    assert len(looked) < 100


# -- hooks


def test_hooks_are_called_in_their_order_and_what_they_find_is_noted() -> None:
    """Preflight before the first run; reconciliation and the snapshot before the closing event; the report after."""
    # shows: N1
    night = Scene(quick=quick)
    night.add("quick")
    called: list[str] = []

    def finds(name: str, level: int) -> Any:
        async def hook() -> list[HookFound]:
            called.append(name)
            return [HookFound(level, f"{name} found it", {"number": 1})]

        return hook

    async def report(name: str) -> None:
        called.append("report")
        assert night.ended(), "the closing event is there"

    async def ping(kind: str) -> None:
        called.append(kind)

    hooks = Hooks(
        preflight=finds("preflight", 1),
        reconcile=finds("reconciliation", 2),
        snapshot=finds("snapshot", 0),
        report=report,
        ping=ping,
    )
    night.night(ONCE, hooks=hooks)
    assert sorted(called[:2]) == ["begin", "preflight"], "the ping goes beside the work"
    assert called[2:] == ["reconciliation", "snapshot", "report", "end"]
    assert [(note.what, note.level, note.details) for note in night.noted()] == [
        ("preflight", 1, {"number": 1}),
        ("reconciliation", 2, {"number": 1}),
        ("snapshot", 0, {"number": 1}),
    ]
    assert len(notes(night.ledger, nights(night.ledger)[0])) == 3


def test_no_hook_that_fails_ends_the_night() -> None:
    """Each failure is noted once, however often it is called."""
    # shows: N1
    night = Scene(work=work)
    night.add("work")

    async def fails(*_: Any) -> Any:
        raise OSError("no network")

    hooks = Hooks(preflight=fails, reconcile=fails, snapshot=fails, beat=fails, ping=fails, report=fails, abandon=fails)
    assert night.night(ONCE, hooks=hooks).counts == {"done": 1}
    whats = sorted(note.text.split(" ")[0] for note in night.noted())
    assert whats == ["beat", "ping", "preflight", "reconciliation", "report", "snapshot"]


def test_a_ping_that_hangs_holds_nothing_up() -> None:
    """It runs beside the night's work."""
    night = Scene(quick=quick)
    night.add("quick")

    async def hangs(kind: str) -> None:
        if kind != "end":
            await trio.sleep_forever()

    result = night.night(ONCE, hooks=Hooks(ping=hangs))
    assert result.ended - result.began < timedelta(seconds=5)


def test_the_outside_is_told_every_few_minutes() -> None:
    """At the begin, while it lives, and at the end."""
    night = Scene()
    pings: list[str] = []

    async def ping(kind: str) -> None:
        pings.append(kind)

    night.night(plan(until=night.after(minutes=31), ping_s=300), hooks=Hooks(ping=ping))
    assert pings == ["begin", *["alive"] * 6, "end"]


def test_runs_that_cannot_be_cancelled_are_told_to_whoever_can_end_the_process() -> None:
    """A thread that hangs: everything is recorded before, and its run goes on in the next night."""
    # shows: N1

    async def stubborn(ctx: Any, args: Any) -> None:
        async def step() -> None:
            with trio.CancelScope(shield=True):
                await let_go.wait()

        await ctx.step("hang", step)

    night = Scene(stubborn=stubborn)
    (run,) = night.add("stubborn")
    let_go = trio.Event()
    abandoned: list[Any] = []

    async def abandon(runs: Any) -> None:
        abandoned.append((list(runs), night.ended()[0].why))
        let_go.set()

    result = night.night(plan(until=night.after(minutes=5)), hooks=Hooks(abandon=abandon))
    assert result.why == "deadline"
    assert abandoned == [([run], "deadline")]
    assert night.noted("stuck")[0].details["runs"] == [run]


# -- schedules


def test_windows_that_come_in_the_night_are_opened() -> None:
    """The supervisor looks at the schedules it is given."""
    # shows: N6
    from daybreak.engine.schedules import Schedules, TaskTemplate
    from daybreak.engine.window import Schedule

    night = Scene(quick=quick)
    schedules = Schedules(night.ledger, night.clock, night.engine.queue)
    schedules.set("hourly", Schedule(cron="0 * * * *"), TaskTemplate(kind="quick", title="each hour", args={}))
    result = night.night(plan(until=night.after(hours=4, minutes=30)), schedules=schedules)
    assert result.counts == {"done": 4}


# -- effects


def test_a_once_effect_happens_once_though_its_supervisor_died_in_the_middle() -> None:
    """The next night asks the lookup."""
    # shows: N1 N14
    effects: list[str] = []

    async def pays(ctx: Any, args: Any) -> Any:
        async def pay() -> str:
            effects.append("paid")
            if len(effects) == 1:
                raise Died
            return "paid"

        async def lookup(key: str) -> Any:
            return Found("paid") if effects else Absent()

        return await ctx.step("pay", pay, effect="once", lookup=lookup)

    night = Scene(pays=pays)
    night.add("pays")
    with pytest.raises(BaseExceptionGroup):
        night.night(ONCE)
    assert night.night(ONCE).counts == {"done": 1}
    assert effects == ["paid"]


def test_a_parking_task_is_no_failure() -> None:
    """A task's own question stands in the report."""

    async def parks(ctx: Any, args: Any) -> None:
        raise Parked("which one?")

    night = Scene(parks=parks)
    night.add("parks")
    assert night.night(ONCE).counts == {"parked": 1}


# -- plans


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"workers": 1001},
        {"stuck_s": 0},
        {"lease_s": -1},
        {"poll_s": float("nan")},
        {"grace_s": -1},
        {"run_limit_s": 0},
    ],
)
def test_a_night_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """Before anything happens, by name."""
    # shows: P8
    with pytest.raises(NightMisplanned) as refused:
        Plan(**wrong)
    assert refused.value.hint


def test_locks_of_memory_are_enough() -> None:
    """Without beats nobody is taken over, and nothing else is missing."""
    night = Scene(locks=MemoryLocks(), quick=quick)
    night.add("quick", 2)
    assert night.night(ONCE).counts == {"done": 2}
