"""Budgets: time, money, tokens, attempts; nested, reserved at the worst case before anything starts, settled after.

A book holds accounts in a tree: a night's above its runs', a run's above its tasks'. What is reserved in an account
is reserved in all above it, so that no number of children can together spend more than their parent has. `reserve`
refuses what *could* exceed any of them: a limit is a wall, not a warning. `Book` is a plain value and its methods are
pure: the same entries give the same book after any restart or replay.

All amounts are whole numbers, because money that is added in floating point does not add up: milliseconds, millionths
of a dollar, tokens, attempts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

from daybreak.errors import PolicyError, UsageError
from daybreak.policy import amounts as written
from daybreak.policy.amounts import MOST

WARN_PERCENT = 80
NO_LIMIT = "no limit"
NO_AMOUNT = "nothing"


class BudgetSpent(PolicyError):
    """What was asked for could cost more than is left. `account` is the one that has too little."""

    code = "P211"

    def __init__(self, message: str, *, hint: str, account: str) -> None:
        super().__init__(message, hint=hint)
        self.account = account


class BudgetMisused(UsageError):
    """An amount or an account that cannot be."""

    code = "U134"


NAMES = ("time_ms", "money_microusd", "tokens", "attempts")
"""Of all amounts, in the order of every table."""


def _no_amount(name: str, value: object) -> BudgetMisused:
    return BudgetMisused(f"{name}={value!r:.80}", hint=f"a whole number from 0 to {MOST}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much, each 0 to 2**53 - 1. Raises BudgetMisused."""

    time_ms: int = 0
    money_microusd: int = 0
    tokens: int = 0
    attempts: int = 0

    def __post_init__(self) -> None:
        for name in NAMES:
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value <= MOST:
                raise _no_amount(name, value)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        for name in NAMES:
            yield name, getattr(self, name)

    @classmethod
    def of(cls, by_name: Mapping[str, Any]) -> Self:
        """From an event's fields. Raises BudgetMisused."""
        return cls(**_known(by_name))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `2usd 30min 100000tokens 5attempts`, or `nothing`. Raises AmountsUnclear."""
        return cls() if text == NO_AMOUNT else cls(**written.parse(text))

    @property
    def by_name(self) -> dict[str, int]:
        """For an event: those that are not 0."""
        return {name: value for name, value in self if value}

    @property
    def words(self) -> str:
        """As `parse` reads it."""
        return written.words(self.by_name) or NO_AMOUNT

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(**{name: value + getattr(other, name) for name, value in self})

    def __sub__(self, other: Amounts) -> Amounts:
        """Raises BudgetMisused where it would go below nothing."""
        return Amounts(**{name: value - getattr(other, name) for name, value in self})


NOTHING = Amounts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most of each, 0 to 2**53 - 1; None: only what the accounts above allow. Raises BudgetMisused."""

    time_ms: int | None = None
    money_microusd: int | None = None
    tokens: int | None = None
    attempts: int | None = None

    def __post_init__(self) -> None:
        for name in NAMES:
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 0 <= value <= MOST):
                raise _no_amount(name, value)

    @classmethod
    def of(cls, by_name: Mapping[str, Any]) -> Self:
        """From an event's fields. Raises BudgetMisused."""
        return cls(**_known(by_name))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `20usd`, `2usd 30min 100000tokens 5attempts`, or `no limit`. Raises AmountsUnclear."""
        return cls() if text == NO_LIMIT else cls(**written.parse(text))

    @property
    def by_name(self) -> dict[str, int]:
        """For an event: those that are limited."""
        return {name: most for name in NAMES if (most := getattr(self, name)) is not None}

    @property
    def words(self) -> str:
        """As `parse` reads it."""
        return written.words(self.by_name) or NO_LIMIT

    def exceeded(self, amounts: Amounts) -> str | None:
        """The name of the first amount that is above its limit."""
        for name, value in amounts:
            most = getattr(self, name)
            if most is not None and value > most:
                return name
        return None


@dataclass(frozen=True, slots=True)
class Account:
    limit: Limit
    above: str | None = None
    spent: Amounts = NOTHING
    reserved: Amounts = NOTHING
    warned: frozenset[str] = frozenset()
    """Amounts of which WARN_PERCENT were used and told."""

    @property
    def committed(self) -> Amounts:
        """Spent, or reserved for what is under way."""
        return self.spent + self.reserved


@dataclass(frozen=True, slots=True)
class Reservation:
    account: str
    worst: Amounts


@dataclass(frozen=True, slots=True)
class Told:
    """Something about an account that people should hear: 80 percent used, or more used than was reserved."""

    account: str
    amount: str
    used: int
    limit: int
    overrun: bool = False


@dataclass(frozen=True, slots=True)
class Book:
    """All accounts and what is reserved in them, by the name that the reserver chose."""

    accounts: Mapping[str, Account] = field(default_factory=lambda: MappingProxyType({}))
    reservations: Mapping[str, Reservation] = field(default_factory=lambda: MappingProxyType({}))

    def opened(self, name: str, limit: Limit, above: str | None = None) -> Book:
        """With a new account. Opening it again with the same limit changes nothing. Raises BudgetMisused."""
        if above is not None and above not in self.accounts:
            raise BudgetMisused(f"there is no account {above!r} above {name!r}", hint="open the upper one first")
        if (known := self.accounts.get(name)) is not None:
            if (known.limit, known.above) != (limit, above):
                raise BudgetMisused(f"account {name!r} exists with another limit", hint="use `raised` to change it")
            return self
        return self._with({name: Account(limit, above)})

    def raised(self, name: str, limit: Limit) -> Book:
        """With another limit of an account, higher or lower; lower than what is used means: nothing more starts.

        What is below WARN_PERCENT of the new limit is told again when it gets there."""
        changed = replace(self._account(name), limit=limit)
        return self._with({name: replace(changed, warned=changed.warned & set(near(limit, changed.spent)))})

    def reserve(self, key: str, account: str, worst: Amounts) -> Book:
        """With `worst` set aside under `key`. The same again changes nothing. Raises BudgetSpent, BudgetMisused."""
        asked = Reservation(account, worst)
        if (known := self.reservations.get(key)) is not None:
            if known != asked:
                raise BudgetMisused(f"{key!r} is reserved already, for something else", hint="settle it first")
            return self
        changed = {}
        for name, one in self._upwards(account):
            if (amount := one.limit.exceeded(one.committed + worst)) is not None:
                used, most = getattr(one.committed, amount), getattr(one.limit, amount)
                raise refusal(name, amount, getattr(worst, amount), used, most)
            changed[name] = replace(one, reserved=one.reserved + worst)
        return replace(self._with(changed), reservations=MappingProxyType({**self.reservations, key: asked}))

    def settle(self, key: str, used: Amounts) -> tuple[Book, tuple[Told, ...]]:
        """With what was really used in place of what was reserved, and what people should hear of it.

        More than was reserved is written down all the same, because it was used; it is told as an overrun.
        Settling what is not reserved (any more) is BudgetMisused: nothing is paid twice."""
        held = self.reservations.get(key)
        if held is None:
            raise BudgetMisused(
                f"nothing is reserved as {key!r}", hint="reserve first; each reservation is settled once"
            )
        changed, told = {}, []
        for name, one in self._upwards(held.account):
            after = replace(one, reserved=one.reserved - held.worst, spent=one.spent + used)
            news = [*almost(name, after.limit, after.spent, after.warned)]
            if name == held.account:
                news += overruns(name, held.worst, used)
            changed[name] = replace(after, warned=after.warned | {one.amount for one in news if not one.overrun})
            told += news
        rest = {other: value for other, value in self.reservations.items() if other != key}
        return replace(self._with(changed), reservations=MappingProxyType(rest)), tuple(told)

    def left(self, account: str) -> Limit:
        """The most that could be reserved in an account now; None where nothing limits it."""
        least: dict[str, int | None] = dict.fromkeys((name for name, _ in NOTHING), None)
        for _, one in self._upwards(account):
            for name, used in one.committed:
                most = getattr(one.limit, name)
                if most is not None:
                    here, known = max(0, most - used), least[name]
                    least[name] = here if known is None else min(known, here)
        return Limit(**least)

    # -- inside

    def _account(self, name: str) -> Account:
        try:
            return self.accounts[name]
        except KeyError:
            raise BudgetMisused(f"there is no account {name!r}", hint="open it first") from None

    def _upwards(self, name: str) -> Iterator[tuple[str, Account]]:
        upper: str | None = name
        while upper is not None:
            account = self._account(upper)
            yield upper, account
            upper = account.above

    def _with(self, changed: Mapping[str, Account]) -> Book:
        return replace(self, accounts=MappingProxyType({**self.accounts, **changed}))


def near(limit: Limit, spent: Amounts) -> Iterator[str]:
    """Names of the amounts of which WARN_PERCENT are used."""
    for name, used in spent:
        most = getattr(limit, name)
        if most and used * 100 >= most * WARN_PERCENT:
            yield name


def almost(account: str, limit: Limit, spent: Amounts, warned: frozenset[str]) -> Iterator[Told]:
    """What was used up to WARN_PERCENT and not told before."""
    for name in near(limit, spent):
        if name not in warned:
            yield Told(account, name, getattr(spent, name), getattr(limit, name))


def overruns(account: str, worst: Amounts, used: Amounts) -> Iterator[Told]:
    """What was used beyond its reservation; `limit` is what was reserved."""
    for name, value in used:
        if value > getattr(worst, name):
            yield Told(account, name, value, getattr(worst, name), overrun=True)


def refusal(account: str, amount: str, asked: int, committed: int, limit: int) -> BudgetSpent:
    """The error for a reservation of `asked` where `committed` of `limit` are spent or reserved."""
    return BudgetSpent(
        f"{account:.80}: {asked:,} {amount} could be needed, {max(0, limit - committed):,} of {limit:,} are left",
        hint="raise the budget, or wait for what is under way to be settled",
        account=account,
    )


def _known(by_name: Mapping[str, Any]) -> dict[str, Any]:
    unknown = [name for name in by_name if name not in NAMES]
    if unknown:
        raise BudgetMisused(f"there is no amount {unknown[0]!r:.80}", hint=f"amounts are {', '.join(NAMES)}")
    return dict(by_name)
