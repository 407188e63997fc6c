"""Who works on a run: chosen once, recorded with reasons, waited for without a worker, and the same after any crash."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from tests.unit.cascade_desk import ONE, PAID, TASK, THREE, TWO, Scene, trouble
from tests.unit.engine_desk import Crash

from daybreak.agents.cascade import Rule
from daybreak.agents.found import Found
from daybreak.agents.protocol import Usage
from daybreak.clock import stamp
from daybreak.engine import Context, Kept
from daybreak.engine.placement import Placement
from daybreak.events import AttemptAwaited, AttemptBegan, AttemptTurn, StepDone, WorkersOrdered
from daybreak.factory.cascading import LOOK_AGAIN_S
from daybreak.ledger import Draft
from daybreak.memory import outcomes
from daybreak.policy.accounts import Accounts
from daybreak.policy.breaker import Circuit
from daybreak.policy.budget import Amounts, Limit
from daybreak.policy.circuits import LedgerCircuits
from daybreak.settings import Memory, Settings, Worker

BUDGETS = {"paid": "hard", ONE: "none"}


def until(scene: Scene, **after: float) -> str:
    return stamp(scene.clock.now() + timedelta(**after))


# -- waiting


def test_a_quota_is_waited_for_without_a_worker_and_the_run_goes_on_after_it(tmp_path: Path) -> None:
    """It is `waiting` meanwhile: nobody is asked, and nothing is used up."""  # shows: F8, F16
    scene = Scene(tmp_path, {ONE: ["solved"]}, attempts=1)
    scene.does[ONE] = [trouble("quota", until(scene, hours=2)), "solved"]
    assert scene.supervise().state == "waiting"
    scene.clock.advance(3600)
    assert scene.supervise().state == "waiting"
    assert scene.asked == [ONE], "nobody was asked before the quota came back"
    scene.clock.advance(3601)
    assert scene.supervise().state == "done"
    assert scene.asked == [ONE, ONE], "one attempt was allowed, and a quota is none"
    [awaited] = scene.events(AttemptAwaited)
    assert "quota until 2026-03-02 00:00" in awaited.passed_over[ONE]
    assert scene.waited_s == pytest.approx(7201, abs=2)


def test_an_outage_of_which_nobody_knows_the_end_is_waited_for_too(tmp_path: Path) -> None:
    """Five minutes at first, and twice as long each further time."""  # shows: F8
    scene = Scene(tmp_path, {ONE: [trouble("outage"), trouble("outage"), "solved"]})
    for wait_s in (300, 600):
        assert scene.supervise().state == "waiting"
        scene.clock.advance(wait_s - 10)
        assert scene.supervise().state == "waiting"
        scene.clock.advance(11)
    assert scene.supervise().state == "done"
    assert scene.asked == [ONE] * 3


def test_whoever_can_work_does_so_while_another_waits(tmp_path: Path) -> None:
    """A run waits where nobody is left, and not before."""  # shows: F8
    scene = Scene(tmp_path, {ONE: ["solved"], TWO: ["solved"]})
    scene.does[ONE] = [trouble("quota", until(scene, hours=2))]
    assert scene.supervise().state == "done"
    assert scene.asked == [ONE, TWO]
    assert not scene.events(AttemptAwaited)


def test_who_says_that_his_quota_comes_back_in_a_thousand_years_holds_nobody(tmp_path: Path) -> None:
    """A worker can say anything; the run looks again, and after some days asks again."""  # shows: F1, F8
    scene = Scene(tmp_path, {ONE: [trouble("quota", "9999-12-31T00:00:00Z"), "solved"]})
    days = 0.0
    while scene.supervise().state == "waiting":
        scene.clock.advance(LOOK_AGAIN_S + 1)
        days += LOOK_AGAIN_S / 86_400
        assert days < 9
    assert scene.supervise().state == "done"
    assert days > 7


def test_a_wait_survives_the_death_of_its_owner(tmp_path: Path) -> None:
    """What is left of it is waited for, and not all of it again."""  # shows: N1
    scene = Scene(tmp_path, {ONE: ["solved"]})
    scene.does[ONE] = [trouble("quota", until(scene, hours=2)), "solved"]
    assert scene.supervise().state == "waiting"
    scene.engine = scene.another_engine()
    scene.clock.advance(7201)
    assert scene.supervise().state == "done"


# -- stepping down


def test_a_step_down_is_recorded_with_the_reasons_of_everybody_before(tmp_path: Path) -> None:
    """In the worker's own words where there are some."""  # shows: F8, F16
    does = {"gone": ["solved"], ONE: [trouble("crashed", summary="segfault")], TWO: ["scored 10"], THREE: ["solved"]}
    scene = Scene(tmp_path, does, rule=Rule(fruitless_max=1))
    assert scene.supervise().state == "done"
    assert scene.began() == [(1, ONE), (2, TWO), (3, TWO), (4, THREE)]
    first, second, third, last = scene.events(AttemptBegan)
    assert "no worker called 'gone'" in first.passed_over["gone"]
    assert second.why.startswith(f"steps down from {ONE}: it crashed: segfault")
    assert third.why == "rework: its last attempt scored 10"
    assert last.passed_over[TWO].startswith("not verified: 1 attempts in a row without a better score")
    assert set(last.passed_over) == {"gone", ONE, TWO}


def test_where_nobody_is_left_the_run_fails_and_says_why_of_each(tmp_path: Path) -> None:
    """The reasons stand in the hint, and what to do."""  # shows: F8, F16
    scene = Scene(tmp_path, {ONE: [trouble("refused")], "gone": ["solved"]})
    result = scene.supervise()
    assert result.state == "failed"
    assert result.error is not None
    assert result.error.code == "W190"
    assert "it refused" in result.error.message
    assert "'gone'" in result.error.message
    assert "daybreak agents list" in result.error.hint


def test_what_the_embedded_builder_cannot_do_is_known_before_it_is_asked(tmp_path: Path) -> None:
    """Asked alone it says so itself, in more words."""  # shows: F8
    scene = Scene(tmp_path, {"builder": ["solved"], ONE: ["solved"]}, refuses=lambda: "there are no entities")
    assert scene.supervise().state == "done"
    [began] = scene.events(AttemptBegan)
    assert (began.worker, began.passed_over["builder"]) == (ONE, "it cannot do this: there are no entities")
    alone = Scene(tmp_path, {"builder": [trouble("refused")]}, refuses=lambda: "there are no entities")
    assert alone.supervise().state == "failed"
    assert alone.asked == ["builder"]


def test_attempts_are_counted_over_all_workers(tmp_path: Path) -> None:
    """The budget is the task's, whoever uses it up."""  # shows: F8
    scene = Scene(tmp_path, {ONE: ["scored 10"], TWO: ["scored 20"]}, attempts=3)
    result = scene.supervise()
    assert result.state == "failed"
    assert "no attempts are left" in result.why
    assert len(scene.asked) == 3


# -- budgets


def test_whoever_spends_is_passed_over_where_no_money_is_left(tmp_path: Path) -> None:
    """And somebody who spends nothing may still be asked."""  # shows: F8, N1
    placement = Placement(budget=Limit(money_microusd=1000, tokens=10))
    scene = Scene(tmp_path, {"paid": ["scored 10"], ONE: ["solved"]}, settings=PAID, placement=placement)
    scene.office.find = lambda name: (scene.office.settings.worker(name), Found(budget=BUDGETS[name]))  # type: ignore
    attempt = scene._attempt

    def spends(ctx: Context, number: int, worker: str) -> Kept:
        if worker == "paid":
            worst = Amounts(money_microusd=1000)
            reserved = Accounts(scene.ledger).reserve("k", ctx.account, worst, run="somebody-elses")
            scene.ledger.append([Draft("policy", reserved)])
        return attempt(ctx, number, worker)

    scene._attempt = spends  # type: ignore[method-assign]
    assert scene.supervise().state == "done"
    assert scene.asked == ["paid", ONE]
    first, second = scene.events(AttemptBegan)
    assert second.passed_over["paid"] == "no money is left in the budget"
    assert (first.budget, second.budget) == ("hard", "none")


def test_what_is_spent_past_the_gateway_counts_at_the_workers_word(tmp_path: Path) -> None:
    """A soft budget is no wall, and no reason to count nothing."""  # shows: F8, N1
    workers = {"own": Worker(kind="generic", command=("true",))}
    placement = Placement(budget=Limit(money_microusd=1000))
    does = {"own": ["scored 10", "solved"], ONE: ["solved"]}
    scene = Scene(tmp_path, does, settings=Settings(workers=workers), placement=placement)
    scene.office.find = lambda name: (  # type: ignore
        scene.office.settings.worker(name),
        Found(budget="none" if name == ONE else "soft"),
    )
    scene.used = Usage(money_microusd=1500)
    assert scene.supervise().state == "done"
    assert scene.asked == ["own", ONE]
    assert scene.events(AttemptBegan)[1].passed_over["own"] == "no money is left in the budget"


def test_whoever_stands_behind_an_open_breaker_is_passed_over_until_it_lets_through(tmp_path: Path) -> None:
    """With nobody else in the order the run waits for the breaker, and then asks."""  # shows: F8, N8
    scene = Scene(tmp_path, {"paid": ["solved"]}, settings=PAID)
    scene.office.find = lambda name: (scene.office.settings.worker(name), Found(budget="hard"))  # type: ignore
    until = scene.clock.now() + timedelta(minutes=30)
    opened = Circuit(state="open", until=until, why="503 again and again")
    LedgerCircuits(scene.ledger, scene.clock).change("provider:p", lambda before: (opened, None))
    assert scene.supervise().state == "waiting"
    [awaited] = scene.events(AttemptAwaited)
    assert "breaker of p: 503 again and again" in awaited.passed_over["paid"]
    assert scene.asked == []
    scene.clock.advance(1801)
    assert scene.supervise().state == "done"


# -- crashes, going back, forks


def test_after_a_crash_between_choice_and_attempt_the_same_worker_is_asked(tmp_path: Path) -> None:
    """Although chance would choose another one this time."""  # shows: N1, F11
    scene = Scene(tmp_path, {ONE: [Crash, "solved"], TWO: [Crash, "solved"]})
    orders = iter([(ONE, TWO), (TWO, ONE)])
    scene.office.ordered = lambda run, names, task: (next(orders), {}, [])  # type: ignore[method-assign]
    with pytest.raises(Crash):
        scene.supervise()
    scene.engine = scene.another_engine()
    assert scene.supervise().state == "done"
    assert scene.asked == [ONE, ONE]
    assert scene.began() == [(1, ONE)]


def test_going_back_before_an_attempt_forgets_how_it_ended(tmp_path: Path) -> None:
    """Also the conversation: another attempt was wanted, not the same one again."""  # shows: N1, F16
    scene = Scene(tmp_path, {ONE: ["scored 10"], TWO: ["scored 20"]}, attempts=1)
    attempt = scene._attempt
    kept: list[int] = []

    def with_turns(ctx: Context, number: int, worker: str) -> Kept:
        kept.append(sum(isinstance(one.event, AttemptTurn) for one in ctx.records()))
        anyio.from_thread.run(ctx.tell, AttemptTurn(run=ctx.run, attempt=number, nth=0, data="hello"))
        return attempt(ctx, number, worker)

    scene._attempt = with_turns  # type: ignore[method-assign]
    assert scene.supervise().state == "failed"
    scene.does[ONE] = ["solved"]
    anyio.run(lambda: scene.engine.roll_back(scene.run, "attempt"))
    assert scene.supervise().state == "done", "its only attempt was given back"
    assert scene.asked == [ONE, ONE]
    assert kept == [0, 0]


def test_a_conversation_outlives_a_crash(tmp_path: Path) -> None:
    """The next owner is given what was told before it."""  # shows: N1
    scene = Scene(tmp_path, {ONE: ["solved"]})
    kept: list[int] = []

    def crashing(ctx: Context, number: int, worker: str) -> Kept:
        kept.append(sum(isinstance(one.event, AttemptTurn) for one in ctx.records()))
        anyio.from_thread.run(ctx.tell, AttemptTurn(run=ctx.run, attempt=number, nth=0, data="hello"))
        if len(kept) == 1:
            raise Crash
        return Scene._attempt(scene, ctx, number, worker)

    scene._attempt = crashing  # type: ignore[method-assign]
    with pytest.raises(Crash):
        scene.supervise()
    scene.engine = scene.another_engine()
    assert scene.supervise().state == "done"
    assert kept == [0, 1]


def test_a_fork_knows_who_was_asked_and_memory_counts_nothing_twice(tmp_path: Path) -> None:
    """What happened once is evidence once."""  # shows: F11, N1
    scene = Scene(tmp_path, {ONE: [trouble("crashed")], TWO: ["solved"]})
    assert scene.supervise().state == "done"
    known = outcomes.read(scene.ledger)
    fork = anyio.run(lambda: scene.engine.fork(scene.run, "choose#2"))
    assert outcomes.read(scene.ledger) == known
    assert scene.supervise(fork).state == "done"
    assert scene.asked == [ONE, TWO, TWO], "the fork steps down at once"
    assert scene.began(fork) == [(1, ONE), (2, TWO)]
    assert outcomes.read(scene.ledger).at(TWO, TASK).tried == known.at(TWO, TASK).tried + 1
    assert outcomes.read(scene.ledger).at(ONE, TASK).tried == 1


# -- order


def test_without_knowledge_the_order_is_as_somebody_wrote_it(tmp_path: Path) -> None:
    """Nothing is drawn where nothing is known."""  # shows: F11
    scene = Scene(tmp_path, {TWO: ["solved"], ONE: ["solved"]})
    assert scene.supervise().state == "done"
    assert scene.asked == [TWO]
    assert not scene.events(WorkersOrdered)


def test_what_is_known_changes_the_order_and_stands_in_the_ledger(tmp_path: Path) -> None:
    """Drawn once for a run, with the numbers that it was drawn from."""  # shows: F11
    scene = Scene(tmp_path, {ONE: ["solved"], TWO: ["scored 10", "solved"]})
    scene.judged_before(ONE, solved=False)
    scene.judged_before(TWO, solved=True)
    assert scene.supervise().state == "done"
    assert scene.asked == [TWO, TWO]
    [ordered] = scene.events(WorkersOrdered)
    assert [choice["worker"] for choice in ordered.choices] == [TWO, ONE]
    assert "solved 20 of 20" in scene.events(AttemptBegan)[0].why


def test_the_order_stays_as_written_where_that_is_wanted(tmp_path: Path) -> None:
    """`routing = "order"`, and `--worker`, which names workers for one task."""  # shows: F11
    settings = Settings(memory=Memory(routing="order"))
    does = {ONE: ["solved"], TWO: ["solved"]}
    for scene in (Scene(tmp_path, does, settings=settings), Scene(tmp_path, does, as_written=True)):
        scene.judged_before(ONE, solved=False)
        scene.judged_before(TWO, solved=True)
        assert scene.supervise().state == "done"
        assert scene.asked == [ONE]


def test_every_choice_is_a_step_that_can_be_looked_at(tmp_path: Path) -> None:
    """With the reason, who was passed over, and when."""  # shows: F8
    scene = Scene(tmp_path, {ONE: [trouble("crashed")], TWO: ["solved"]})
    scene.supervise()
    chosen = [one.result for one in scene.events(StepDone) if one.name == "choose"]
    assert [one["worker"] for one in chosen] == [ONE, TWO]
    assert all(one["at"] and one["why"] for one in chosen)
    assert list(chosen[1]["passed_over"]) == [ONE]
