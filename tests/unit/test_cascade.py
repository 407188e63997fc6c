"""The cascade: who is asked next, why everybody before was not, and that it always ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from daybreak import events
from daybreak.agents import cascade
from daybreak.agents.cascade import Cascade, CascadeMisused, Choice, Ended, Held, Left, Outcome, Rule
from daybreak.agents.found import Found
from daybreak.clock import stamp

NOW = datetime(2026, 11, 21, 22, tzinfo=UTC)
HARD, FREE = Found(budget="hard"), Found()


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def three(**changed: object) -> Cascade:
    fields: dict[str, object] = {
        "order": ("a", "b", "builder"),
        "found": {"a": HARD, "b": HARD, "builder": FREE},
        "now": NOW,
    }
    return Cascade(**{**fields, **changed})  # type: ignore[arg-type] # fields of one class, by name


def chosen(given: Cascade) -> Choice:
    told = given.next()
    assert isinstance(told, Choice), told
    return told


def ended(given: Cascade) -> Ended:
    told = given.next()
    assert isinstance(told, Ended), told
    return told


def test_the_first_of_the_order_is_asked_first() -> None:
    """With nobody passed over."""
    told = chosen(three(reasons={"a": "solves most for the least"}))
    assert (told.worker, told.passed_over, told.budget) == ("a", {}, "hard")
    assert told.why == "first in the order; solves most for the least"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"found": {"a": Found(missing="a is not installed: npm i a"), "b": HARD}}, "a is not installed: npm i a"),
        ({"found": {"b": HARD}}, "nobody has looked"),
        ({"held": {"a": Held(until=at(1), why="503, again and again")}}, "until 2026-11-21 23:00:00 UTC: 503"),
        ({"refuses": {"a": "there is no specification"}}, "there is no specification"),
    ],
)
def test_whoever_cannot_be_asked_is_passed_over_with_the_reason(changed: dict[str, object], reason: str) -> None:
    """Missing, unknown, behind an open breaker, or not able to."""  # shows: F8 N8 F16
    told = chosen(three(**changed))
    assert told.worker == "b"
    assert reason in told.passed_over["a"]


def test_over_budget_only_those_are_asked_who_spend_nothing() -> None:
    """A soft budget is no way around a limit."""
    found = {"a": HARD, "b": Found(budget="soft"), "builder": FREE}
    for left, what in ((Left(money_microusd=0), "money"), (Left(tokens=0), "tokens")):
        told = chosen(three(left=left, found=found))
        assert told.worker == "builder"
        assert set(told.passed_over) == {"a", "b"}
        assert what in told.passed_over["b"]
    assert ended(three(left=Left(attempts=0))).until is None


@pytest.mark.parametrize("trouble", sorted(cascade.TROUBLES - cascade.WAITING))
def test_trouble_steps_down_for_the_rest_of_the_run(trouble: str) -> None:
    """Whoever refused once is not asked the same again."""  # shows: F8
    told = chosen(three(outcomes=(Outcome(worker="a", trouble=trouble, why="it said so"),)))
    assert told.worker == "b"
    assert told.why.startswith("steps down from a: ")
    assert "it said so" in told.passed_over["a"]


@pytest.mark.parametrize("trouble", sorted(cascade.WAITING))
def test_a_provider_that_is_out_is_stepped_down_from_until_it_is_back(trouble: str) -> None:
    """Its trouble is no attempt of the worker."""
    tried = three(outcomes=(Outcome(worker="a", trouble=trouble, until=at(2), ended=NOW),))
    assert chosen(tried).worker == "b"
    late = three(outcomes=tried.outcomes, now=at(2))
    assert chosen(late).worker == "a"
    assert "asked again after" in chosen(late).why


def test_where_all_wait_the_run_waits_for_the_earliest() -> None:
    """Without a worker, and not for ever."""  # shows: F8
    waiting = Cascade(
        order=("a", "b", "c"),
        found={"a": HARD, "b": HARD, "c": HARD},
        now=NOW,
        outcomes=(
            Outcome(worker="a", trouble="quota", until=at(5), ended=NOW),
            Outcome(worker="b", trouble="quota", until=at(3), ended=NOW),
            Outcome(worker="c", trouble="crashed"),
        ),
    )
    told = ended(waiting)
    assert told.until == at(3)
    assert set(told.passed_over) == {"a", "b", "c"}


def test_where_nobody_says_until_when_waits_grow() -> None:
    """A provider that is out all night is not asked every five minutes."""
    waits = []
    tried: tuple[Outcome, ...] = ()
    for _ in range(5):
        tried = (*tried, Outcome(worker="a", trouble="outage", ended=NOW))
        until = ended(Cascade(order=("a",), found={"a": HARD}, now=NOW, outcomes=tried)).until
        assert until is not None
        waits.append((until - NOW).total_seconds())
    assert waits == [300, 600, 1200, 2400, 4800]


def test_a_provider_that_stays_out_is_given_up_in_the_end() -> None:
    """And the reason says how often it was waited for."""
    tried = tuple(Outcome(worker="a", trouble="outage", until=NOW, ended=NOW) for _ in range(4))
    told = ended(Cascade(order=("a",), found={"a": HARD}, now=at(9), outcomes=tried, rule=Rule(waits_max=3)))
    assert told.until is None
    assert "3 times" in told.passed_over["a"]


def test_what_is_not_verified_goes_back_to_its_worker_while_it_gets_better() -> None:
    """Rework, then the next one."""
    now = three()
    for score, after in ((40, "a"), (60, "a"), (60, "a"), (55, "b")):
        now = now.after(Outcome(worker="a", score=score, workspace=f"{score}{len(now.outcomes)}"), NOW)
        assert chosen(now).worker == after
    assert "without a better score than 60" in chosen(now).passed_over["a"]


def test_two_attempts_that_show_nothing_are_enough() -> None:
    """A score of nothing is no progress."""
    now = three().after(Outcome(worker="a"), NOW)
    assert chosen(now).why == "rework: its last attempt scored 0"
    assert chosen(now.after(Outcome(worker="a"), NOW)).worker == "b"


def test_the_same_result_again_is_the_end_of_rework() -> None:
    """The embedded builder makes the same thing each time."""
    now = three(order=("builder", "a")).after(Outcome(worker="builder", score=80, workspace="x"), NOW)
    assert chosen(now).worker == "builder"
    now = now.after(Outcome(worker="builder", score=80, workspace="x"), NOW)
    assert chosen(now).worker == "a"
    assert "the same thing again" in chosen(now).passed_over["builder"]


def test_rework_is_not_left_when_somebody_earlier_comes_back() -> None:
    """Half of b's work is worth more than the beginning of a's; a stands in the list with that reason."""
    tried = (Outcome(worker="a", trouble="quota", until=NOW, ended=NOW), Outcome(worker="b", score=50, workspace="x"))
    told = chosen(three(outcomes=tried, now=at(1)))
    assert told.worker == "b"
    assert "rework" in told.passed_over["a"]


def test_solved_is_the_end() -> None:
    """Nobody is asked after that."""
    told = ended(three(outcomes=(Outcome(worker="a", solved=True, score=100),)))
    assert told.solved
    assert told.until is None


def test_what_cannot_be_followed_is_refused() -> None:
    """A rule of nothing, a word that is no trouble, a moment that is nowhere."""
    with pytest.raises(CascadeMisused):
        Rule(attempts_max=0)
    with pytest.raises(CascadeMisused):
        three(outcomes=(Outcome(worker="a", trouble="tired"),))
    with pytest.raises(CascadeMisused):
        three(outcomes=(Outcome(worker="a", trouble="outage"),))
    for naive in ({"now": NOW.replace(tzinfo=None)}, {"held": {"a": Held(until=NOW.replace(tzinfo=None), why="")}}):
        with pytest.raises(CascadeMisused):
            three(**naive)


@dataclass
class Told:
    event: events.Event
    ts: str = stamp(NOW)


def claim(attempt: int, worker: str, **more: str) -> Told:
    fields = {"outcome": "finished", "summary": "", "workspace": f"w{attempt}", **more}
    return Told(events.AttemptClaimed(run="r", attempt=attempt, worker=worker, **fields))  # type: ignore[arg-type]


def test_outcomes_come_back_from_the_ledger() -> None:
    """So that a crash between two attempts changes nothing."""  # shows: F16
    records = [
        claim(1, "a", outcome="crashed", trouble="quota", until="2026-11-22T01:00:00Z", summary="out of quota"),
        claim(2, "b"),
        Told(events.AttemptJudged(run="r", attempt=2, worker="b", task="build", solved=False, score=40)),
        claim(3, "c", outcome="refused"),
        claim(4, "b"),
    ]
    told = cascade.outcomes(records)
    assert [one.worker for one in told] == ["a", "b", "c"]
    assert [one.trouble for one in told] == ["quota", "", "refused"]
    assert (told[0].until, told[0].ended) == (at(3), NOW)
    assert (told[1].score, told[1].workspace) == (40, "w2")


def test_a_moment_that_is_none_is_none() -> None:
    """Workers say what they like."""
    for text in ("", "soon", "2026-13-01T00:00:00Z", "9999-12-31T23:59:59-23:59"):
        assert cascade.moment(text) is None
    assert cascade.moment("2026-11-22T01:00:00") == at(3)


NAMES = ["a", "b", "c", "d", "builder"]
_found = st.sampled_from([FREE, HARD, Found(budget="soft"), Found(missing="not installed")])
_outcome = st.builds(
    Outcome,
    worker=st.just(""),
    trouble=st.sampled_from(["", "", "", *sorted(cascade.TROUBLES)]),
    solved=st.just(False),
    score=st.floats(0, 100),
    workspace=st.sampled_from(["", "x", "y", "z"]),
    until=st.none() | st.integers(-5, 50).map(at),
    ended=st.none() | st.just(NOW),
    why=st.text(max_size=5),
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_it_ends_and_never_asks_whom_it_passed_over_and_every_step_has_its_reason(data: st.DataObject) -> None:
    """Whatever is missing, held, out or bad: driven until its end, with the clock moved where it waits."""  # shows: F8
    drive(data)


@pytest.mark.chaos
@hypothesis_settings(max_examples=2000, deadline=None)
@given(data=st.data())
def test_it_ends_in_very_many_cases(data: st.DataObject) -> None:
    """The long form."""  # shows: F8
    drive(data)


def drive(data: st.DataObject) -> None:
    order = tuple(data.draw(st.lists(st.sampled_from(NAMES), max_size=7), label="order"))
    rule = Rule(
        attempts_max=data.draw(st.integers(1, 4)),
        fruitless_max=data.draw(st.integers(1, 4)),
        waits_max=data.draw(st.integers(0, 3)),
    )
    now = Cascade(
        order=order,
        found=data.draw(st.dictionaries(st.sampled_from(NAMES), _found), label="found"),
        now=NOW,
        held=data.draw(
            st.dictionaries(st.sampled_from(NAMES), st.integers(-2, 9).map(lambda n: Held(until=at(n), why="breaker")))
        ),
        refuses=data.draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["", "cannot"]))),
        left=Left(
            money_microusd=data.draw(st.none() | st.integers(0, 1)), attempts=data.draw(st.none() | st.integers(0, 9))
        ),
        rule=rule,
    )
    most = len(set(order)) * (rule.attempts_max + rule.waits_max + 1)
    waited = 0
    while True:
        told = now.next()
        assert told == now.next(), "the same question has the same answer"
        if isinstance(told, Ended):
            assert told.why
            assert set(told.passed_over) == set(order)
            if told.until is None:
                break
            assert told.until > now.now, "waiting for the past would be a circle"
            waited += 1
            assert waited <= most + len(NAMES)
            now = replace(now, now=told.until)
            continue
        before = list(dict.fromkeys(order))[: list(dict.fromkeys(order)).index(told.worker)]
        assert list(told.passed_over) == before
        assert all(told.passed_over.values())
        assert told.why
        assert not now.found[told.worker].missing
        assert not now.refuses.get(told.worker)
        assert told.worker not in now.held or now.held[told.worker].until <= now.now
        assert now.found[told.worker].budget == "none" or now.left.money_microusd != 0
        outcome = replace(data.draw(_outcome), worker=told.worker)
        now = now.after(outcome, now.now)
        assert len(now.outcomes) <= most, "it asks nobody for ever"
        mine = [one for one in now.outcomes if one.worker == told.worker]
        assert sum(one.trouble not in cascade.WAITING for one in mine) <= rule.attempts_max
