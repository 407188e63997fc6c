"""Budgets are walls: nothing starts that could exceed one, at whatever height, however work is interleaved."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from daybreak.policy.budget import Amounts, Book, BudgetMisused, BudgetSpent, Limit
from daybreak.policy.planning import Planning, PlanningLoop


def night() -> Book:
    """A night of 20 dollars with two runs of 15 each."""
    book = Book().opened("night", Limit(money_microusd=20_000_000))
    for run in ("a", "b"):
        book = book.opened(run, Limit(money_microusd=15_000_000, tokens=1000), above="night")
    return book


def dollars(count: int) -> Amounts:
    return Amounts(money_microusd=count * 1_000_000)


def test_children_together_cannot_spend_more_than_their_parent() -> None:
    """15 and 6 are too much for a night of 20, though each run has 15."""
    # shows: N8 F5
    book = night().reserve("first", "a", dollars(15))
    with pytest.raises(BudgetSpent, match="night") as refused:
        book.reserve("second", "b", dollars(6))
    assert refused.value.account == "night"
    book.reserve("second", "b", dollars(5))


def test_settling_frees_what_was_not_used() -> None:
    """Worst case 15, really 2: 18 are left in the night, 13 in the run."""
    # shows: N8
    book, told = night().reserve("first", "a", dollars(15)).settle("first", dollars(2))
    assert told == ()
    assert book.left("b").money_microusd == 15_000_000
    assert book.left("a").money_microusd == 13_000_000
    assert book.left("night").money_microusd == 18_000_000


def test_nothing_is_paid_twice() -> None:
    """A replayed reservation is the same one; a second settlement is refused."""
    # shows: N1
    book = night().reserve("first", "a", dollars(5))
    assert book.reserve("first", "a", dollars(5)) == book
    with pytest.raises(BudgetMisused, match="something else"):
        book.reserve("first", "a", dollars(6))
    settled, _ = book.settle("first", dollars(5))
    with pytest.raises(BudgetMisused, match="nothing is reserved"):
        settled.settle("first", dollars(5))


def test_eighty_percent_are_told_once_and_an_overrun_always() -> None:
    """Used is used: it is written down even where it is more than was reserved."""
    book, told = night().reserve("one", "a", Amounts(tokens=800)).settle("one", Amounts(tokens=800))
    assert [(one.account, one.amount, one.overrun) for one in told] == [("a", "tokens", False)]
    book, told = book.reserve("two", "a", Amounts(tokens=10)).settle("two", Amounts(tokens=500))
    assert [(one.account, one.amount, one.overrun) for one in told] == [("a", "tokens", True)]
    with pytest.raises(BudgetSpent):
        book.reserve("three", "a", Amounts(tokens=1))


@pytest.mark.parametrize("wrong", [-1, 1.5, 2**53, True, "1"])
def test_an_amount_that_cannot_be_is_refused(wrong: Any) -> None:
    """Fractions, negative, too large for JSON, no number at all."""
    with pytest.raises(BudgetMisused):
        Amounts(tokens=wrong)


def test_accounts_that_do_not_fit_are_refused() -> None:
    """Unknown ones, and one that exists with another limit."""
    for wrong in (
        lambda: Book().opened("a", Limit(), above="night"),
        lambda: Book().reserve("x", "a", Amounts()),
        lambda: night().opened("a", Limit(), above="night"),
        lambda: night().raised("c", Limit()),
    ):
        with pytest.raises(BudgetMisused):
            wrong()


def test_two_rounds_of_planning_are_enough() -> None:
    """The third needs something carried out between."""
    # shows: X5
    planning = Planning().plan().plan()
    with pytest.raises(PlanningLoop, match="2 rounds"):
        planning.plan()
    assert planning.execute().plan().in_a_row == 1
    assert planning.ratio == 1.0
    assert Planning().ratio == 0.0


class AnyNight(RuleBasedStateMachine):
    """Accounts, reservations and settlements in any order, against plain sums."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = {"night": 100}
        self.above: dict[str, str | None] = {"night": None}
        self.book = Book().opened("night", Limit(tokens=100))
        self.open: dict[str, tuple[str, int]] = {}
        self.spent: list[tuple[str, int]] = []
        self.count = 0

    def under(self, account: str) -> set[str]:
        """The account and all below it."""
        found, grown = {account}, True
        while grown:
            more = {name for name, above in self.above.items() if above in found} - found
            found, grown = found | more, bool(more)
        return found

    def used(self, account: str) -> int:
        below = self.under(account)
        return sum(tokens for name, tokens in [*self.open.values(), *self.spent] if name in below)

    @rule(data=st.data(), limit=st.integers(0, 120))
    def open_account(self, data: Any, limit: int) -> None:
        above = data.draw(st.sampled_from(sorted(self.above)))
        name = f"account {len(self.above)}"
        self.above[name], self.limits[name] = above, limit
        self.book = self.book.opened(name, Limit(tokens=limit), above=above)

    @rule(data=st.data(), tokens=st.integers(0, 60))
    def reserve(self, data: Any, tokens: int) -> None:
        account = data.draw(st.sampled_from(sorted(self.above)))
        self.count += 1
        fits = all(self.used(name) + tokens <= self.limits[name] for name in self.above if account in self.under(name))
        try:
            self.book = self.book.reserve(f"r{self.count}", account, Amounts(tokens=tokens))
        except BudgetSpent:
            assert not fits
        else:
            assert fits
            self.open[f"r{self.count}"] = account, tokens

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.floats(0, 1))
    def settle(self, data: Any, share: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.open)))
        account, worst = self.open.pop(key)
        self.book, _ = self.book.settle(key, Amounts(tokens=int(worst * share)))
        self.spent.append((account, int(worst * share)))

    @invariant()
    def no_account_is_exceeded_and_every_sum_is_right(self) -> None:
        for name, limit in self.limits.items():
            committed = self.book.accounts[name].committed.tokens
            assert committed == self.used(name)
            assert committed <= limit
        assert set(self.book.reservations) == set(self.open)


TestAnyNight = AnyNight.TestCase
TestAnyNight.settings = settings(max_examples=30, deadline=None)


@pytest.mark.chaos
class TestAnyNightAtLength(AnyNight.TestCase):
    settings = settings(max_examples=400, deadline=None)
