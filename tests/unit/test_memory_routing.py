"""Who is asked first: learned from outcomes, explained, and the same for the same knowledge and the same draw."""

from __future__ import annotations

from random import Random
from statistics import fmean
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.memory_shelf import judged, shelf

from daybreak.events import MEMORY, AttemptBegan, AttemptJudged, Event
from daybreak.ledger import Draft
from daybreak.memory import outcomes, routing
from daybreak.memory.outcomes import NO_EVIDENCE, WINDOW, Outcomes, Tally
from daybreak.memory.routing import RoutingWrong

WORKERS = ["anna", "bert", "cleo"]


def firsts(known: Outcomes, *, times: int = 200, task: str = "build", **told: Any) -> list[str]:
    """Who came first, in so many draws."""
    draw = Random(5)
    return [routing.ordered(known, WORKERS, task, draw, **told)[0].worker for _ in range(times)]


def share(names: list[str], name: str) -> float:
    return names.count(name) / len(names)


def test_everybody_stands_in_the_order_once() -> None:
    """Also without any knowledge, and where somebody is named twice."""
    with shelf() as log:
        order = routing.order(log, [*WORKERS, "anna"], "build", Random(1))
    assert sorted(choice.worker for choice in order) == WORKERS
    assert [choice.drawn_per_solved_microusd for choice in order] == sorted(
        choice.drawn_per_solved_microusd for choice in order
    )


def test_the_same_knowledge_and_draw_give_the_same_order() -> None:
    """However the workers are listed."""
    # shows: F11
    with shelf() as log:
        log.append([judged("anna"), judged("bert", solved=False), judged("cleo", money=90)])
        one = routing.order(log, WORKERS, "build", Random(3))
        other = routing.order(log, WORKERS[::-1], "build", Random(3))
    assert one == other


def test_who_never_solves_anything_goes_last() -> None:
    """Twenty failures against twenty successes at one price."""
    # shows: F11
    known = Outcomes({("anna", "build"): Tally(20, 0, 20_000, 0), ("bert", "build"): Tally(20, 19, 20_000, 0)})
    assert share(firsts(known), "anna") == 0.0


def test_a_cheap_worker_that_fails_often_can_be_the_better_buy() -> None:
    """Half as good at a tenth of the price; a price of waiting turns it round."""
    # shows: F11
    known = Outcomes(
        {
            ("anna", "build"): Tally(60, 30, 60 * 10_000, 60 * 3_600_000),
            ("bert", "build"): Tally(60, 58, 60 * 100_000, 60 * 60_000),
            ("cleo", "build"): Tally(60, 1, 60 * 100_000, 60 * 60_000),
        }
    )
    assert share(firsts(known), "anna") > 0.95
    assert share(firsts(known, hour_microusd=5_000_000), "bert") > 0.95


def test_what_is_known_little_about_is_tried_now_and_then() -> None:
    """And never where it is known to be far too dear."""
    known = {("anna", "build"): Tally(30, 18, 30_000, 0), ("bert", "build"): Tally(30, 6, 30_000, 0)}
    assert 0.02 < share(firsts(Outcomes(known)), "cleo") < 0.7
    assert share(firsts(Outcomes(known), expected={"cleo": 50_000}), "cleo") < 0.02


@pytest.mark.parametrize("trouble", sorted(NO_EVIDENCE))
def test_troubles_of_the_provider_say_nothing_about_skill(trouble: str) -> None:
    """Quota, outage, a wrong key, a program that is not there: kept, shown, not counted."""
    # shows: F11, N8
    with shelf() as log:
        log.append([judged("anna", solved=False, trouble=trouble) for _ in range(9)])
        assert outcomes.read(log) == Outcomes()
        assert outcomes.troubles(log) == [("anna", trouble, 9)]
        log.append([judged("anna", solved=False, trouble="stalled"), judged("anna", trouble=trouble)])
        assert outcomes.read(log).at("anna", "build") == Tally(2, 1, 2_000, 0)


def test_what_was_done_elsewhere_helps_at_first_and_fades() -> None:
    """A kind below the same root is nearer; many attempts elsewhere never outweigh a few here."""
    # shows: F11
    good, bad = Tally(200, 190, 0, 0), Tally(200, 10, 0, 0)
    fresh = routing.explained(Outcomes({("anna", "build"): good}), WORKERS, "repository/go")
    assert fresh[0].chance > 0.8 > 0.6 > fresh[1].chance
    near = {("anna", "build"): good, ("anna", "repository/python"): bad}
    assert routing.explained(Outcomes(near), WORKERS, "repository/go")[0].chance < 0.2
    here = {**near, ("anna", "repository/go"): Tally(20, 20, 0, 0)}
    assert routing.explained(Outcomes(here), WORKERS, "repository/go")[0].chance > 0.8


def test_old_outcomes_are_outweighed_by_the_newest() -> None:
    """A model that was exchanged under the same name is known anew after a while."""
    with shelf() as log:
        log.append([judged("anna", solved=False) for _ in range(100)])
        log.append([judged("anna") for _ in range(WINDOW)])
        assert outcomes.read(log).at("anna", "build") == Tally(WINDOW, WINDOW, WINDOW * 1_000, 0)


def test_the_numbers_behind_a_choice_can_be_read() -> None:
    """What was tried, what is believed, and what was drawn, in one sentence and as numbers."""
    # shows: F11
    with shelf() as log:
        log.append(
            [judged("anna", money=12_000)] * 3 + [judged("anna", solved=False, money=12_000), judged("bert", "x")]
        )
        [anna] = routing.explain(log, "build")
        assert (anna.worker, anna.tried, anna.solved) == ("anna", 4, 3)
        assert anna.chance_low < anna.chance < anna.chance_high
        assert anna.per_solved_microusd == pytest.approx(anna.cost_microusd / anna.chance)
        said = {choice.worker: choice.why for choice in routing.order(log, WORKERS, "build", Random(1))}
    assert said["anna"].startswith("solved 3 of 4 build tasks at $0.012 an attempt; $0.018 per solved task expected")
    assert said["bert"].startswith("new to build, solved 1 of 1 others;")
    assert said["cleo"].startswith("never tried build or anything else;")


def test_an_order_and_its_attempts_are_told_from_the_ledger() -> None:
    """Why each was asked, who was passed over, how it went; a second life of the run does not mix with the first."""
    # shows: F11, F16
    began = AttemptBegan(run="run-1", attempt=1, worker="anna", why="first in the order", passed_over={"bert": "away"})
    with shelf() as log:
        order = routing.order(log, WORKERS, "build", Random(2))
        log.append(
            [Draft(MEMORY, routing.said("run-1", "build", order)), Draft(MEMORY, began), judged("anna", solved=False)]
        )
        log.append([Draft(MEMORY, began)])
        [kept] = outcomes.orders(log, "run-1")
        first, second = outcomes.of_run(log, "run-1")
        assert outcomes.runs(log, "run-") == ["run-1"]
        assert outcomes.runs(log, "%") == []
    assert [choice["why"] for choice in kept.choices] == [choice.why for choice in order]
    assert (first.solved, first.passed_over, first.money_microusd) == (False, {"bert": "away"}, 1_000)
    assert second.solved is None


@pytest.mark.parametrize(
    ("workers", "task", "told"),
    [
        ("anna", "build", {}),
        ([""], "build", {}),
        (["x" * 301], "build", {}),
        ([3], "build", {}),
        (WORKERS, "", {}),
        (WORKERS, "build", {"hour_microusd": -1}),
        (WORKERS, "build", {"hour_microusd": 0.5}),
        (WORKERS, "build", {"expected": {"anna": True}}),
        (WORKERS, "build", {"expected": {"anna": 10**16}}),
    ],
)
def test_what_no_order_can_be_made_of_is_said(workers: Any, task: Any, told: Any) -> None:
    """With a code and a hint."""
    # shows: P8
    with pytest.raises(RoutingWrong) as caught:
        routing.ordered(Outcomes(), workers, task, Random(1), **told)
    assert caught.value.hint
    assert len(caught.value.message) < 200


def test_amounts_from_a_broken_worker_do_not_break_the_view() -> None:
    """Less than nothing counts as nothing, and more than fits as what fits."""
    with shelf() as log:
        log.append([judged("anna", money=-5), judged("anna", money=2**60)])
        assert outcomes.read(log).at("anna", "build").money_microusd == 2**53 - 1
        routing.order(log, WORKERS, "build", Random(1))


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "$0.00"), (12_345, "$0.012"), (1_234_567, "$1.23"), (3, "$0.000003"), (0.4, "$0.000000")]
)
def test_amounts_are_short_and_say_something(amount: float, text: str) -> None:
    """Two digits that count."""
    assert routing.dollars(amount) == text


def test_learning_comes_close_to_always_choosing_the_best() -> None:
    """Six workers with hidden rates and prices; after 300 tasks, on the average of six fleets, within a tenth of the
    best one's cost per solved task. Choosing at random costs more than half as much again."""
    # shows: F11
    learned, random = [], []
    for seed in range(6):
        draw, world = Random(seed), Random(100 + seed)
        fleet = {f"w{n}": (draw.uniform(0.15, 0.95), round(20_000 * 10 ** draw.random())) for n in range(6)}
        best = min(price / rate for rate, price in fleet.values())
        tallies: dict[tuple[str, str], Tally] = {}
        chosen = []
        for _ in range(300):
            name = routing.ordered(Outcomes(tallies), list(fleet), "build", draw)[0].worker
            rate, price = fleet[name]
            chosen.append((rate, price))
            one = Tally(1, int(world.random() < rate), round(price * world.gammavariate(2, 0.5)), 0)
            tallies[name, "build"] = tallies.get((name, "build"), Tally()).plus(one)
        last = chosen[-100:]
        learned.append(sum(price for _, price in last) / sum(rate for rate, _ in last) / best)
        random.append(sum(price for _, price in fleet.values()) / sum(rate for rate, _ in fleet.values()) / best)
    assert fmean(learned) <= 1.10
    assert fmean(random) >= 1.5


_EVENTS = st.one_of(
    st.builds(
        AttemptJudged,
        run=st.sampled_from(["run-1", "run-2"]),
        attempt=st.integers(0, 3),
        worker=st.sampled_from(WORKERS),
        task=st.sampled_from(["build", "repository/go", "repository"]),
        solved=st.booleans(),
        trouble=st.sampled_from(["", "quota", "stalled", "outage", "nonsense"]),
        money_microusd=st.integers(-5, 2**53),
        duration_ms=st.integers(-5, 2**53),
    ),
    st.builds(
        AttemptBegan,
        run=st.sampled_from(["run-1", "run-2"]),
        attempt=st.integers(0, 3),
        worker=st.sampled_from(WORKERS),
        why=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        passed_over=st.dictionaries(st.sampled_from(WORKERS), st.just("away"), max_size=2),
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(_EVENTS, min_size=1, max_size=5), max_size=8), st.integers(0, 99))
def test_the_view_is_what_a_rebuild_gives(batches: list[list[Event]], seed: int) -> None:
    """However events came, and an order can always be made of it."""
    with shelf() as log:
        for batch in batches:
            log.append([Draft(MEMORY, event) for event in batch])
        before = outcomes.read(log)
        assert log.compare_views() == []
        log.rebuild_views()
        assert outcomes.read(log) == before
        order = routing.order(log, WORKERS, "repository/go", Random(seed))
        assert len(order) == 3
        assert all(choice.drawn_per_solved_microusd > 0 for choice in order)
        msgspec.json.encode(routing.said("run-1", "build", order))
