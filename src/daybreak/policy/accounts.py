"""Budgets that survive: accounts in the ledger, over the rules of `budget`.

The view keeps every account's sums and every open reservation. Its triggers are the wall: a `BudgetReserved` that
could exceed its account or one above it is refused inside the ledger's transaction, whoever wrote it and whatever he
had read before. `Accounts` makes the events and says beforehand, from the view, what would be refused; between its look
and the commit others may have reserved, so that the caller turns the ledger's refusal with `refusal`:

    try:
        log.append([*mine, Draft(POLICY, accounts.reserve(key, account, worst, run))])
    except DraftRefused as error:
        raise (Accounts.refusal(error) or error) from error

A reservation remembers the accounts that it was set aside in. Where an account is moved under another one meanwhile
(a run that goes on in the next night), it is settled where it was reserved, and what was spent stays there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from daybreak import events
from daybreak.errors import DraftRefused
from daybreak.policy.amounts import MOST
from daybreak.policy.budget import (
    NAMES,
    WARN_PERCENT,
    Amounts,
    BudgetMisused,
    BudgetSpent,
    Limit,
    Told,
    almost,
    overruns,
    refusal,
)  # fmt: skip
from daybreak.policy.wall import ACCOUNTS, DEPTH_MAX, LEVELS, columns, misused, refusal_of

__all__ = ["ACCOUNTS", "DEPTH_MAX", "AccountRow", "Accounts", "ReservedRow"]

NAME_CHARS_MAX = 200
KEY_CHARS_MAX = 1000


# -- asking, and making events


class Log(Protocol):
    """The part of a ledger that is needed here."""

    def query(self, sql: str, params: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]: ...


class AccountRow(NamedTuple):
    """An account as it is now."""

    account: str
    above: str
    limit: Limit
    reserved: Amounts
    spent: Amounts
    warned: frozenset[str]
    """Names of the amounts of which WARN_PERCENT are used."""

    @property
    def committed(self) -> Amounts:
        """Spent, or set aside for what is under way."""
        return _sum(self.reserved, self.spent)


class ReservedRow(NamedTuple):
    """What is set aside for something under way."""

    key: str
    account: str
    worst: Amounts


_COLUMNS = (
    "account",
    "above",
    *(f"{name}_{what}" for what in ("most", "reserved", "spent") for name in NAMES),
    "warned",
)
_ROW = ", ".join(_COLUMNS)
_ACCOUNT = f"SELECT {_ROW} FROM view_accounts WHERE account = ?"


# Single rows are asked for one after the other: joined over all levels they cost SQLite five times as much.
_HELD = f"SELECT {columns('{n}')}, {', '.join(LEVELS)} FROM view_accounts_reserved WHERE key = ?"


class Accounts:
    """Makes budgets' events, for the caller to append to the stream POLICY in his own commit, and answers from the
    view. The ledger must have been opened with `ACCOUNTS`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def open(self, account: str, limit: Limit, above: str = "") -> events.BudgetOpened | None:
        """An account with this limit, under this one; None where it is so already.

        What it had spent stays as it is. That the upper one is there and not below it is seen to by the transaction.
        Raises BudgetMisused for names that cannot be."""
        _named("account", account, NAME_CHARS_MAX)
        if above != "":
            _named("above", above, NAME_CHARS_MAX)
        known = self._account(account)
        if known is not None and (known.limit, known.above) == (limit, above):
            return None
        return events.BudgetOpened(account=account, limit=limit.by_name, above=above)

    def reserve(self, key: str, account: str, worst: Amounts, run: str = "") -> events.BudgetReserved:
        """Set aside what something may cost at worst, before it starts. Once more the same changes nothing.

        Raises BudgetSpent where it could exceed the account or one above it, BudgetMisused where there is no such
        account, or something else is reserved under the key."""
        _named("key", key, KEY_CHARS_MAX)
        _named("account", account, NAME_CHARS_MAX)
        held = self._log.query(_HELD, (key,))
        if not held:
            _fits(self._upwards(account), worst)
        elif held[0][: len(NAMES) + 1] != (*(value for _, value in worst), account):
            raise misused("again", key)
        return events.BudgetReserved(account=account, key=key, worst=worst.by_name, run=run)

    def settle(
        self, key: str, used: Amounts, run: str = "", presumed: bool = False
    ) -> tuple[events.BudgetSettled, tuple[Told, ...]]:
        """What was really used in place of what was reserved, even where that is more, and what people should hear
        of it. Raises BudgetMisused where nothing is reserved under the key (any more).

        Told is what the view says now: where several settle at the same moment, reaching WARN_PERCENT may be told
        twice or not at all. `accounts` shows it exactly (`warned`)."""
        held = self._log.query(_HELD, (key,))
        if not held:
            raise misused("settled", key)
        told: list[Told] = []
        for name in held[0][len(NAMES) :]:
            if name is None:
                break
            (row,) = self._log.query(_ACCOUNT, (name,))
            if _much(row, used):
                account = _row(row)
                told += almost(name, account.limit, _sum(account.spent, used), account.warned)
            if name == held[0][len(NAMES)]:
                told += overruns(name, _amounts(held[0][: len(NAMES)]), used)
        return events.BudgetSettled(key=key, used=used.by_name, run=run, presumed=presumed), tuple(told)

    def limit(self, account: str) -> Limit | None:
        """Its own limit; None where there is no such account."""
        row = self._account(account)
        return None if row is None else row.limit

    def left(self, account: str) -> Limit:
        """The most that could be reserved in an account now; None where nothing limits it. Raises BudgetMisused."""
        least: dict[str, int] = {}
        for row in map(_row, self._upwards(account)):
            committed = row.committed
            for name, most in row.limit.by_name.items():
                here = max(0, most - getattr(committed, name))
                least[name] = min(here, least.get(name, here))
        return Limit(**least)

    def used(self, account: str) -> Amounts:
        """What was spent in it and below it; nothing where there is no such account."""
        row = self._account(account)
        return Amounts() if row is None else row.spent

    def reserved_by(self, run: str) -> list[ReservedRow]:
        """What is set aside for a run and not settled."""
        rows = self._log.query(
            f"SELECT key, account, {columns('{n}')} FROM view_accounts_reserved WHERE run = ? ORDER BY key", (run,)
        )
        return [ReservedRow(key, account, _amounts(amounts)) for key, account, *amounts in rows]

    def accounts(self) -> list[AccountRow]:
        """All of them, by name."""
        return [_row(row) for row in self._log.query(f"SELECT {_ROW} FROM view_accounts ORDER BY account")]

    def row(self, account: str) -> AccountRow | None:
        """None where there is no such account."""
        return self._account(account)

    @staticmethod
    def refusal(error: DraftRefused) -> BudgetSpent | BudgetMisused | None:
        """What the ledger's refusal of a submission means, where a budget was the reason; None where not."""
        if isinstance(error.__cause__, BudgetMisused):
            return error.__cause__
        return refusal_of(error.message)

    # -- inside

    def _account(self, account: str) -> AccountRow | None:
        rows = self._log.query(_ACCOUNT, (account,))
        return _row(rows[0]) if rows else None

    def _upwards(self, account: str) -> list[tuple[Any, ...]]:
        """Rows of the account and all above it, in that order."""
        _named("account", account, NAME_CHARS_MAX)
        rows: list[tuple[Any, ...]] = []
        upper = account
        while upper and len(rows) < DEPTH_MAX:
            found = self._log.query(_ACCOUNT, (upper,))
            if not found:
                raise misused("unknown", upper)
            rows += found
            upper = found[0][1]
        if upper:
            raise misused("deep", account)
        return rows


def _much(row: Sequence[Any], used: Amounts) -> bool:
    """Could something of this account have to be told? Asked before making values of its row."""
    for at, (_, value) in enumerate(used, 2):
        if (most := row[at]) and (row[at + 2 * len(NAMES)] + value) * 100 >= most * WARN_PERCENT:
            return True
    return False


def _fits(rows: Sequence[Sequence[Any]], worst: Amounts) -> None:
    """Over rows as they come from the view, because it is asked before every step. Raises BudgetSpent."""
    for row in rows:
        for at, (name, asked) in enumerate(worst, 2):
            committed = row[at + len(NAMES)] + row[at + 2 * len(NAMES)]
            most = MOST if row[at] is None else row[at]
            if asked + committed > most:
                raise refusal(row[0], name, asked, committed, most)


def _named(what: str, name: object, most: int) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= most or not name.isprintable():
        raise BudgetMisused(f"{what}={name!r:.80}", hint=f"1 to {most} printable characters")


def _amounts(values: Sequence[int]) -> Amounts:
    return Amounts(**dict(zip(NAMES, values, strict=True)))


def _sum(one: Amounts, other: Amounts) -> Amounts:
    """Never more than MOST: what was used beyond counting must not keep its settlement from being written."""
    return Amounts(**{name: min(value + getattr(other, name), MOST) for name, value in one})


def _row(row: Sequence[Any]) -> AccountRow:
    account, above, *sums, warned = row
    most, reserved, spent = (sums[at : at + len(NAMES)] for at in range(0, len(sums), len(NAMES)))
    return AccountRow(
        account,
        above,
        Limit(**dict(zip(NAMES, most, strict=True))),
        _amounts(reserved),
        _amounts(spent),
        frozenset(name for at, name in enumerate(NAMES) if warned >> at & 1),
    )
