"""Durable budgets: the wall stands in the ledger's transaction, sums survive everything, words are read exactly."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daybreak import events
from daybreak.errors import DraftRefused, UsageError
from daybreak.events import POLICY
from daybreak.ledger import Draft, Ledger
from daybreak.policy.accounts import ACCOUNTS, DEPTH_MAX, Accounts
from daybreak.policy.amounts import MOST, AmountsUnclear
from daybreak.policy.budget import NOTHING, Amounts, Book, BudgetMisused, BudgetSpent, Limit
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

AnyLedger = Ledger | MemoryLedger


def on_disk(folder: Path) -> Ledger:
    return Ledger.open(
        folder / "ledger", keys=folder / "keys", witness=folder / "witness", clock=FakeClock(), views=[ACCOUNTS]
    )


@pytest.fixture(params=["disk", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyLedger]:
    found: AnyLedger = (
        on_disk(tmp_path) if request.param == "disk" else MemoryLedger(clock=FakeClock(), views=[ACCOUNTS])
    )
    with found:
        yield found


def put(ledger: AnyLedger, *found: events.Event | None) -> None:
    ledger.append([Draft(POLICY, event) for event in found if event is not None])


def tokens(count: int) -> Amounts:
    return Amounts(tokens=count)


def three_levels(ledger: AnyLedger) -> Accounts:
    """A night of 100 tokens; in it run `a` with 80 and run `b` with 80; in `a` a step's account without a limit."""
    accounts = Accounts(ledger)
    put(ledger, accounts.open("night", Limit(tokens=100)))
    put(ledger, accounts.open("a", Limit(tokens=80), "night"), accounts.open("b", Limit(tokens=80), "night"))
    put(ledger, accounts.open("a.1", Limit(), "a"))
    return accounts


def test_children_together_cannot_spend_more_than_their_parent(ledger: AnyLedger) -> None:
    """60 below `a` leave 20 there and 40 in the night; what could exceed either is refused and named."""
    # shows: N8 F5
    accounts = three_levels(ledger)
    put(ledger, accounts.reserve("first", "a.1", tokens(60), run="r1"))
    assert (accounts.left("a.1").tokens, accounts.left("b").tokens) == (20, 40)
    for account, wall in (("a.1", "a"), ("b", "night")):
        with pytest.raises(BudgetSpent, match=f"^{wall}: 50 tokens") as refused:
            accounts.reserve("second", account, tokens(50))
        assert refused.value.account == wall
    put(ledger, accounts.reserve("second", "b", tokens(40)))
    assert [row[:2] for row in accounts.reserved_by("r1")] == [("first", "a.1")]


def test_the_wall_stands_in_the_transaction(ledger: AnyLedger) -> None:
    """Two ask at the same moment and both hear yes: the ledger takes one, and refuses all of the other's commit."""
    # shows: N8 N16
    accounts = three_levels(ledger)
    one, other = accounts.reserve("one", "a", tokens(60)), accounts.reserve("other", "b", tokens(60))
    put(ledger, one)
    intended = events.CancelAsked(run="r2")
    with pytest.raises(DraftRefused) as refused:
        ledger.append([Draft("control:r2", intended), Draft(POLICY, other)])
    assert list(ledger.read("control:r2")) == []
    told = Accounts.refusal(refused.value)
    assert isinstance(told, BudgetSpent)
    with pytest.raises(BudgetSpent) as asked:
        accounts.reserve("other", "b", tokens(60))
    assert (told.message, told.account) == (asked.value.message, "night")


def test_a_refusal_for_other_reasons_is_no_budget_refusal() -> None:
    """Only the budget's own words are translated."""
    assert Accounts.refusal(DraftRefused("refused by a view: UNIQUE constraint failed", hint="")) is None
    assert Accounts.refusal(DraftRefused('event for budget ["x"] is refused', hint="")) is None


def test_settling_frees_what_was_not_used_and_survives_a_restart(tmp_path: Path) -> None:
    """Reserved and spent are what they were after closing, opening and rebuilding."""
    # shows: N1 N8
    with on_disk(tmp_path) as ledger:
        accounts = three_levels(ledger)
        put(ledger, accounts.reserve("kept", "b", tokens(30), run="r2"), accounts.reserve("done", "a.1", tokens(60)))
        put(ledger, accounts.settle("done", tokens(10))[0])
        before = accounts.accounts()
    with on_disk(tmp_path) as ledger:
        accounts = Accounts(ledger)
        assert accounts.accounts() == before
        assert (accounts.used("night"), accounts.left("night").tokens) == (tokens(10), 60)
        ledger.rebuild_views()
        assert accounts.accounts() == before
        assert ledger.compare_views() == []
        ((key, account, worst),) = accounts.reserved_by("r2")
        settled, told = accounts.settle(key, worst, run="r2", presumed=True)
        assert (account, settled.presumed, told) == ("b", True, ())
        put(ledger, settled)
        assert accounts.used("night") == tokens(40)


def test_nothing_is_paid_twice(ledger: AnyLedger) -> None:
    """The same reservation again changes nothing; another one under its key, and a second settlement, are refused
    before and in the transaction."""
    # shows: N1
    accounts = three_levels(ledger)
    reserved = accounts.reserve("key", "a", tokens(50))
    put(ledger, reserved)
    put(ledger, accounts.reserve("key", "a", tokens(50)))
    assert accounts.left("a").tokens == 30
    for account, worst in (("a", 40), ("b", 50)):
        with pytest.raises(BudgetMisused, match="something else"):
            accounts.reserve("key", account, tokens(worst))
        refuses(ledger, events.BudgetReserved(account=account, key="key", worst={"tokens": worst}), "something else")
    settled, _ = accounts.settle("key", tokens(50))
    put(ledger, settled)
    with pytest.raises(BudgetMisused, match="nothing is reserved"):
        accounts.settle("key", tokens(50))
    refuses(ledger, settled, "nothing is reserved")
    assert accounts.used("a") == tokens(50)


def refuses(ledger: AnyLedger, event: events.Event, why: str) -> None:
    """The transaction refuses the event, whoever wrote it, and says why."""
    before = ledger.query("SELECT * FROM view_accounts ORDER BY account")
    with pytest.raises(DraftRefused) as refused:
        put(ledger, event)
    told = Accounts.refusal(refused.value)
    assert isinstance(told, BudgetMisused)
    assert why in told.message
    assert ledger.query("SELECT * FROM view_accounts ORDER BY account") == before


def test_more_than_was_reserved_is_written_down_and_nothing_more_starts(ledger: AnyLedger) -> None:
    """Used is used; it is told, and so are 80 percent, once in each account."""
    # shows: N8
    accounts = three_levels(ledger)
    put(ledger, accounts.reserve("over", "a", tokens(50)))
    settled, told = accounts.settle("over", tokens(90))
    put(ledger, settled)
    assert [(one.account, one.used, one.limit, one.overrun) for one in told] == [
        ("a", 90, 80, False), ("a", 90, 50, True), ("night", 90, 100, False),
    ]  # fmt: skip
    with pytest.raises(BudgetSpent, match="0 of 80 are left"):
        accounts.reserve("next", "a", Amounts(attempts=1))
    assert accounts.left("a").tokens == 0
    put(ledger, accounts.reserve("other", "b", tokens(5)))
    settled, told = accounts.settle("other", tokens(5))
    put(ledger, settled)
    assert told == ()
    put(ledger, accounts.open("night", Limit(tokens=1000)))
    put(ledger, accounts.reserve("more", "b", tokens(75)))
    assert {row.account: row.warned for row in accounts.accounts()}["night"] == frozenset()


def test_what_was_used_beyond_counting_is_still_settled(ledger: AnyLedger) -> None:
    """Sums stop at the largest exact number instead of keeping a settlement from being written."""
    accounts = Accounts(ledger)
    put(ledger, accounts.open("a", Limit()))
    for key in ("one", "two"):
        put(ledger, accounts.reserve(key, "a", NOTHING))
    for key in ("one", "two"):
        put(ledger, accounts.settle(key, tokens(MOST))[0])
    assert accounts.used("a") == tokens(MOST)
    with pytest.raises(BudgetSpent):
        accounts.reserve("three", "a", tokens(1))


def test_a_moved_account_is_settled_where_it_reserved(ledger: AnyLedger) -> None:
    """A run that goes on in the next night: the first night pays what it had reserved, the next one what follows."""
    # shows: N8
    accounts = three_levels(ledger)
    put(ledger, accounts.reserve("old", "a.1", tokens(60)))
    put(ledger, accounts.open("next", Limit(tokens=50)))
    put(ledger, accounts.open("a", Limit(tokens=80), "next"))
    assert accounts.left("a.1").tokens == 20
    put(ledger, accounts.reserve("new", "a.1", tokens(20)))
    put(ledger, accounts.settle("old", tokens(40))[0], accounts.settle("new", tokens(15))[0])
    spent = {row.account: row.spent.tokens for row in accounts.accounts()}
    assert spent == {"night": 40, "next": 15, "a": 55, "a.1": 55, "b": 0}
    assert {row.committed.tokens - row.spent.tokens for row in accounts.accounts()} == {0}
    assert ledger.compare_views() == []


def test_opening_again_changes_nothing_where_nothing_differs(ledger: AnyLedger) -> None:
    """None is returned; another limit or another place is an event."""
    accounts = three_levels(ledger)
    assert accounts.open("a", Limit(tokens=80), "night") is None
    assert accounts.open("a", Limit(tokens=80)) == events.BudgetOpened(account="a", limit={"tokens": 80})
    assert accounts.open("night", Limit(tokens=100, attempts=0)) is not None


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (events.BudgetOpened(account="x", above="nowhere"), "there is no account 'nowhere'"),
        (events.BudgetOpened(account="x", above="x"), "cannot hang under"),
        (events.BudgetOpened(account="night", above="a.1"), "cannot hang under"),
        (events.BudgetOpened(account="x", limit={"tokens": -1}), "tokens=-1"),
        (events.BudgetOpened(account="x", limit={"coins": 1}), "coins"),
        (events.BudgetReserved(account="x", key="k", worst={}), "there is no account 'x'"),
        (events.BudgetReserved(account="", key="k", worst={}), "nothing is reserved"),
        (events.BudgetReserved(account="a", key="k", worst={"tokens": -5}), "tokens=-5"),
        (events.BudgetReserved(account="a", key="k", worst={"tokens": 2**53}), "tokens="),
        (events.BudgetSettled(key="k", used={}), "nothing is reserved"),
    ],
)
def test_the_transaction_refuses_what_cannot_be(ledger: AnyLedger, event: events.Event, why: str) -> None:
    """Unknown accounts, loops, negative or unknown amounts, whoever wrote the event."""
    # shows: N16
    three_levels(ledger)
    refuses(ledger, event, why)


def test_accounts_do_not_reach_up_without_end() -> None:
    """A reservation touches at most so many accounts."""
    ledger = MemoryLedger(clock=FakeClock(), views=[ACCOUNTS])
    accounts, above = Accounts(ledger), ""
    for number in range(DEPTH_MAX + 1):
        put(ledger, accounts.open(f"n{number}", Limit(), above))
        above = f"n{number}"
    put(ledger, accounts.reserve("fits", f"n{DEPTH_MAX - 1}", tokens(1)))
    with pytest.raises(BudgetMisused, match="too many above"):
        accounts.reserve("deep", above, tokens(1))
    refuses(ledger, events.BudgetReserved(account=above, key="deep", worst={}), "too many above")


@pytest.mark.parametrize("name", ["", "x" * 201, "two\nlines", "nul\0", None, 5])
def test_names_that_cannot_be_are_refused_in_words(name: Any) -> None:
    """Empty, long, with control characters, no text."""
    accounts = Accounts(MemoryLedger(clock=FakeClock(), views=[ACCOUNTS]))
    with pytest.raises(BudgetMisused):
        accounts.open(name, Limit())
    with pytest.raises(BudgetMisused):
        accounts.left(name)
    with pytest.raises(BudgetMisused):
        accounts.reserve("key", name, NOTHING)


@pytest.mark.parametrize("name", ["it's", 'a"b', "a]", "[1]", "é", "漢字", "%s", "; DROP TABLE view_accounts"])
def test_odd_names_are_only_names(ledger: AnyLedger, name: str) -> None:
    """Quotes, brackets and other scripts come back unharmed, from refusals, too."""
    accounts = Accounts(ledger)
    put(ledger, accounts.open(name, Limit(tokens=1)), accounts.open("below", Limit(), ""))
    put(ledger, accounts.open("below", Limit(), name))
    with pytest.raises(DraftRefused) as refused:
        put(ledger, events.BudgetReserved(account="below", key="k", worst={"tokens": 2}))
    told = Accounts.refusal(refused.value)
    assert isinstance(told, BudgetSpent)
    assert told.account == name


def test_writers_in_several_processes_never_exceed_a_budget(tmp_path: Path) -> None:
    """Four writers on two handles of one ledger reserve without looking at each other: 100 tokens are 100 tokens."""
    # shows: N8 N14
    with on_disk(tmp_path) as first, on_disk(tmp_path) as second:
        three_levels(first)
        won: list[str] = []

        def work(ledger: Ledger, name: str) -> None:
            accounts = Accounts(ledger)
            for number in range(20):
                key = f"{name}.{number}"
                with contextlib.suppress(DraftRefused, BudgetSpent):
                    put(ledger, accounts.reserve(key, "a" if number % 2 else "b", tokens(4)))
                    won.append(key)

        threads = [
            threading.Thread(target=work, args=(ledger, f"w{at}")) for at, ledger in enumerate([first, second] * 2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 25
        assert Accounts(first).left("night").tokens == 0
        assert second.compare_views() == []


# -- against the plain rules


class Durable(RuleBasedStateMachine):
    """Accounts in a ledger against `budget.Book`: the same answers, the same sums, the same told."""

    names = st.sampled_from(["night", "a", "b", "a.1", "unknown"])
    amounts = st.builds(Amounts, tokens=st.integers(0, 40), attempts=st.integers(0, 3))
    limits = st.builds(
        Limit, tokens=st.none() | st.integers(0, 100), attempts=st.none() | st.integers(0, 6), time_ms=st.none()
    )

    def __init__(self) -> None:
        super().__init__()
        self.ledger: AnyLedger = self.make()
        self.accounts = Accounts(self.ledger)
        self.book = Book()
        self.count = 0

    def make(self) -> AnyLedger:
        return MemoryLedger(clock=FakeClock(), views=[ACCOUNTS])

    @initialize(night=limits, a=limits, b=limits)
    def open(self, night: Limit, a: Limit, b: Limit) -> None:
        for name, limit, above in (("night", night, ""), ("a", a, "night"), ("b", b, "night"), ("a.1", Limit(), "a")):
            self.book = self.book.opened(name, limit, above or None)
            put(self.ledger, self.accounts.open(name, limit, above))

    @rule(name=names, limit=limits)
    def change(self, name: str, limit: Limit) -> None:
        if (known := self.book.accounts.get(name)) is None:
            return
        self.book = self.book.raised(name, limit)
        event = self.accounts.open(name, limit, known.above or "")
        assert (event is None) == (known.limit == limit)
        if event is not None:
            put(self.ledger, event)

    @rule(name=names, worst=amounts, again=st.booleans(), looks=st.booleans())
    def reserve(self, name: str, worst: Amounts, again: bool, looks: bool) -> None:
        """`looks` False: somebody whose look was too old, so that only the transaction can refuse."""
        self.count += not again
        key = f"k{self.count}"
        expected: tuple[type[UsageError | BudgetSpent], str] | None = None
        try:
            self.book = self.book.reserve(key, name, worst)
        except (BudgetSpent, BudgetMisused) as error:
            expected = type(error), error.message
        assert self.reserved(key, name, worst, looks) == expected

    def reserved(self, key: str, name: str, worst: Amounts, looks: bool) -> Any:
        try:
            if looks:
                put(self.ledger, self.accounts.reserve(key, name, worst))
            else:
                put(self.ledger, events.BudgetReserved(account=name, key=key, worst=worst.by_name))
        except (BudgetSpent, BudgetMisused) as error:
            return type(error), error.message
        except DraftRefused as error:
            assert not looks
            told = Accounts.refusal(error)
            assert told is not None
            return type(told), told.message
        return None

    @precondition(lambda self: self.book.reservations)
    @rule(data=st.data(), used=amounts)
    def settle(self, data: Any, used: Amounts) -> None:
        key = data.draw(st.sampled_from(sorted(self.book.reservations)))
        self.book, expected = self.book.settle(key, used)
        event, told = self.accounts.settle(key, used)
        assert told == expected
        put(self.ledger, event)

    @precondition(lambda self: isinstance(self.ledger, MemoryLedger) or self.count % 5 == 0)
    @rule()
    def rebuild(self) -> None:
        self.ledger.rebuild_views()

    @invariant()
    def all_sums_are_the_same(self) -> None:
        rows = {row.account: row for row in self.accounts.accounts()}
        assert rows.keys() == self.book.accounts.keys()
        for name, account in self.book.accounts.items():
            row = rows[name]
            assert (row.limit, row.spent, row.reserved, row.warned) == (
                account.limit, account.spent, account.reserved, account.warned,
            )  # fmt: skip
            assert self.accounts.left(name) == self.book.left(name)
            assert self.accounts.used(name) == account.spent
        held = {key: (one.account, one.worst) for key, one in self.book.reservations.items()}
        assert {key: (account, worst) for key, account, worst in self.accounts.reserved_by("")} == held

    def teardown(self) -> None:
        assert self.ledger.compare_views() == []
        self.ledger.close()


class DurableOnDisk(Durable):
    """The same on a disk."""

    def make(self) -> AnyLedger:
        self.folder = Path(tempfile.mkdtemp())
        return on_disk(self.folder)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


TestDurable = Durable.TestCase
TestDurable.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestDurableOnDisk = DurableOnDisk.TestCase
TestDurableOnDisk.settings = settings(max_examples=5, stateful_step_count=15, deadline=None)


@pytest.mark.chaos
class TestDurableAtLength(Durable.TestCase):
    settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


# -- words


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("20usd", Limit(money_microusd=20_000_000)),
        ("2usd 30min 100000tokens 5attempts",
         Limit(money_microusd=2_000_000, time_ms=1_800_000, tokens=100_000, attempts=5)),
        ("20usd, 2h", Limit(money_microusd=20_000_000, time_ms=7_200_000)),
        ("1h30min", Limit(time_ms=5_400_000)),
        (" 1.5 H ,\t0.10 USD ", Limit(time_ms=5_400_000, money_microusd=100_000)),
        ("0.000001usd", Limit(money_microusd=1)),
        ("0tokens", Limit(tokens=0)),
        ("1attempt", Limit(attempts=1)),
        ("250ms", Limit(time_ms=250)),
        ("1d", Limit(time_ms=86_400_000)),
        ("no limit", Limit()),
    ],
)  # fmt: skip
def test_budgets_are_read_as_people_write_them(text: str, limit: Limit) -> None:
    """Numbers with units, beside each other, exact."""
    # shows: N8
    assert Limit.parse(text) == limit
    assert Limit.parse(limit.words) == limit


@pytest.mark.parametrize(
    ("text", "help_with"),
    [
        ("", "20usd"), ("  ", "20usd"), ("usd", "20usd"), ("20", "unit"), ("20usd 5", "unit"), ("-1usd", "negative"),
        ("\u22121usd", "negative"), ("1e3usd", "out"), ("1E3 usd", "out"), ("\uff12usd", "0 to 9"),
        ("\u0663usd", "0 to 9"), ("$20", "20usd"), ("20\u20ac", "20usd"), ("100,000tokens", "digits"),
        ("100_000tokens", "digits"), ("1.0000001usd", "6"), ("0.5tokens", "whole"), ("0.0001s", "millisecond"),
        ("1usd 2usd", "once"), ("1h 2hours", "once"), ("1usd,", "20usd"), (",1usd", "20usd"), ("1usd,,1h", "20usd"),
        ("1usd;1h", "20usd"), ("5m", "min"), ("3apples", "units"), ("1us\u0131", "units"), (".5usd", "20usd"),
        ("1.usd", "20usd"), ("99999999999999999999999999tokens", "most"), ("9007199255usd", "most"),
        ("104249991375d", "most"), ("nan usd", "20usd"), ("infusd", "20usd"), ("1usd\n1h", "20usd"),
        ("1usd\u00a01h", "20usd"), ("0x10usd", "units"), ("1" * 300 + "usd", "200"), (None, "20usd"), (20, "20usd"),
        (b"20usd", "20usd"), ("\ud800", "20usd"), ("nothing", "20usd"),
    ],
)  # fmt: skip
def test_a_budget_that_is_not_clear_is_refused_in_words(text: Any, help_with: str) -> None:
    """Signs, exponents, foreign digits, separators, missing and doubled units: an error that says what to write."""
    with pytest.raises(AmountsUnclear) as refused:
        Limit.parse(text)
    assert help_with in refused.value.hint
    assert len(refused.value.message) < 200


@given(st.builds(Limit, **{name: st.none() | st.integers(0, MOST) for name, _ in NOTHING}))
def test_every_limit_has_words_that_say_it_exactly(limit: Limit) -> None:
    """There and back, and through an event's fields, too."""
    assert Limit.parse(limit.words) == limit
    assert Limit.of(limit.by_name) == limit


@given(st.builds(Amounts, **{name: st.integers(0, MOST) for name, _ in NOTHING}))
def test_all_amounts_have_words_that_say_them_exactly(amounts: Amounts) -> None:
    """There and back; `nothing` is nothing."""
    assert Amounts.parse(amounts.words) == amounts
    assert Amounts.of(amounts.by_name) == amounts


@given(st.text(alphabet="0123456789.,-+eE _$usdtokenhmi\u0661\uff11\u00a0\n", max_size=30))
def test_any_text_is_amounts_or_a_clear_error(text: str) -> None:
    """Never another exception, never a negative or inexact amount."""
    with contextlib.suppress(AmountsUnclear):
        found = Limit.parse(text)
        assert Limit.parse(found.words) == found


@pytest.mark.parametrize("wrong", [{"tokens": -1}, {"tokens": 1.5}, {"tokens": True}, {"tokens": "5"}, {"coins": 5}])
def test_fields_that_are_no_amounts_are_refused(wrong: dict[str, Any]) -> None:
    """Negative, broken, unknown; in limits as in amounts."""
    for kind in (Limit, Amounts):
        with pytest.raises(BudgetMisused):
            kind.of(wrong)
