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

import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from daybreak import events
from daybreak.errors import DraftRefused
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View
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
)

DEPTH_MAX = 8
"""Accounts from a reservation up to the last one above it."""
NAME_CHARS_MAX = 200
KEY_CHARS_MAX = 1000


# -- the view


# The SQL below names every amount and every level of a chain, and lets one small trigger call the next, instead of
# json_each, IN (SELECT …) or WITH RECURSIVE: those need a temporary table for each event, and large triggers need much
# memory each time that they run. Either costs ten times as much as all the rest.

_LEVELS = ("account", *(f"up{level}" for level in range(1, DEPTH_MAX)))
"""Columns of a reservation: its own account, and those above it at that time, as far as there are any."""


def _columns(form: str, between: str = ", ") -> str:
    """One piece of SQL for each amount: `{n}` is its name, `{bit}` its bit in `warned`."""
    return between.join(form.format(n=name, bit=1 << at) for at, name in enumerate(NAMES))


def _near(most: str, spent: str) -> str:
    """Bits of the amounts of which WARN_PERCENT are used."""
    form = f"(CASE WHEN {most} > 0 AND ({spent}) * 100 >= {most} * {WARN_PERCENT} THEN {{bit}} ELSE 0 END)"
    return f"({_columns(form, ' + ')})"


_USED = _columns("NEW.{n}_reserved, NEW.{n}_spent, NEW.{n}_most, NEW.{n}_reserved - OLD.{n}_reserved")
_TOO_MUCH = _columns(f"NEW.{{n}}_reserved + NEW.{{n}}_spent > coalesce(NEW.{{n}}_most, {MOST})", " OR ")
_SET_ASIDE = f"UPDATE view_accounts SET under_way = under_way + 1, {_columns('{n}_reserved = {n}_reserved + NEW.{n}')}"
_SPEND = (
    f"UPDATE view_accounts SET under_way = under_way - 1, {_columns('{n}_reserved = {n}_reserved - NEW.{n}')},"
    f" {_columns(f'{{n}}_spent = min({{n}}_spent + NEW.{{n}}_used, {MOST})')},"
    f" warned = warned | {_near('{n}_most', '{n}_spent + NEW.{n}_used')}"
)


def _upwards(low: str, up: str | None) -> str:
    """Set aside at the level `low` of the reservation NEW, then find the next one up, whose trigger goes on."""
    above = f"FROM view_accounts WHERE account = NEW.{low}"
    if up is None:
        go_on = f"SELECT RAISE(ABORT, 'budget ' || json_array('deep', NEW.account)) {above} AND above <> ''"
    else:
        go_on = f"UPDATE view_accounts_reserved SET {up} = (SELECT nullif(above, '') {above}) WHERE key = NEW.key"
    return f"{_SET_ASIDE} WHERE account = NEW.{low};\n  {go_on};"


_LEVEL = """CREATE TRIGGER view_accounts_{low} AFTER UPDATE OF {low} ON view_accounts_reserved
WHEN NEW.{low} IS NOT NULL BEGIN
  {upwards}
END;
"""
_TRIGGERS = "".join(
    _LEVEL.format(low=low, upwards=_upwards(low, up)) for low, up in pairwise((*_LEVELS[1:], None)) if low is not None
)

_SPENDS = "\n".join(f"  {_SPEND} WHERE account = NEW.{level};" for level in _LEVELS)
"""Where there is no such level, `= NULL` finds nothing."""

_HANGS = """
  SELECT RAISE(ABORT, 'budget ' || json_array('unknown', NEW.above))
    WHERE NEW.above <> '' AND NOT EXISTS (SELECT 1 FROM view_accounts WHERE account = NEW.above);
  SELECT RAISE(ABORT, 'budget ' || json_array('loop', NEW.account, NEW.above))
    WHERE NEW.account IN (WITH RECURSIVE up (account) AS (SELECT NEW.above UNION SELECT above FROM up
      JOIN view_accounts USING (account) WHERE above <> '') SELECT account FROM up);"""

_SCHEMA = f"""
CREATE TABLE view_accounts (
  account TEXT PRIMARY KEY CHECK (account <> ''),
  above   TEXT NOT NULL,
  {_columns("{n}_most INTEGER")},
  {_columns("{n}_reserved INTEGER NOT NULL DEFAULT 0 CHECK ({n}_reserved >= 0)")},
  {_columns("{n}_spent INTEGER NOT NULL DEFAULT 0 CHECK ({n}_spent >= 0)")},
  under_way INTEGER NOT NULL DEFAULT 0 CHECK (under_way >= 0),
  warned  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE view_accounts_reserved (
  key     TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  run     TEXT NOT NULL,
  {_columns("{n} INTEGER NOT NULL")},
  {", ".join(f"{level} TEXT" for level in _LEVELS[1:])},
  {_columns("{n}_used INTEGER")}
) STRICT, WITHOUT ROWID;

CREATE TRIGGER view_accounts_opened AFTER INSERT ON view_accounts BEGIN{_HANGS}
END;
CREATE TRIGGER view_accounts_moved AFTER UPDATE OF above ON view_accounts WHEN NEW.above <> OLD.above BEGIN{_HANGS}
END;

CREATE TRIGGER view_accounts_wall AFTER UPDATE OF under_way ON view_accounts
WHEN NEW.under_way > OLD.under_way AND ({_TOO_MUCH}) BEGIN
  SELECT RAISE(ABORT, 'budget ' || json_array('spent', NEW.account, {_USED}));
END;
CREATE TRIGGER view_accounts_account AFTER INSERT ON view_accounts_reserved BEGIN
  SELECT RAISE(ABORT, 'budget ' || json_array('settled', NEW.key)) WHERE NEW.account = '';
  SELECT RAISE(ABORT, 'budget ' || json_array('unknown', NEW.account))
    WHERE NOT EXISTS (SELECT 1 FROM view_accounts WHERE account = NEW.account);
  {_upwards(*_LEVELS[:2])}
END;
{_TRIGGERS}
CREATE TRIGGER view_accounts_again AFTER UPDATE OF account ON view_accounts_reserved
WHEN OLD.account <> NEW.account OR {_columns("OLD.{n} <> NEW.{n}", " OR ")} BEGIN
  SELECT RAISE(ABORT, 'budget ' || json_array('again', NEW.key));
END;
CREATE TRIGGER view_accounts_settled AFTER UPDATE OF {_columns("{n}_used")} ON view_accounts_reserved BEGIN
{_SPENDS}
  DELETE FROM view_accounts_reserved WHERE key = NEW.key;
END;
"""

_OPEN = f"""INSERT INTO view_accounts (account, above, {_columns("{n}_most")}) VALUES (?, ?, {_columns("?")})
ON CONFLICT (account) DO UPDATE SET above = excluded.above, {_columns("{n}_most = excluded.{n}_most")},
  warned = warned & {_near("excluded.{n}_most", "{n}_spent")}"""

_RESERVE = f"""INSERT INTO view_accounts_reserved (account, key, run, {_columns("{n}")})
VALUES (?, ?, ?, {_columns("?")})
ON CONFLICT (key) DO UPDATE SET account = excluded.account, {_columns("{n} = excluded.{n}")}"""
"""Where the key is reserved already, the trigger `again` compares."""

_SETTLE = f"""INSERT INTO view_accounts_reserved (key, account, run, {_columns("{n}")}, {_columns("{n}_used")})
VALUES (?, '', '', {_columns("0")}, {_columns("?")})
ON CONFLICT (key) DO UPDATE SET {_columns("{n}_used = excluded.{n}_used")}"""
"""Where nothing is reserved under the key, the row goes in without an account, and the trigger `wall` refuses it."""


def _apply(record: Record) -> Iterable[Statement]:
    match record.event:
        case events.BudgetReserved() as reserved:
            worst = (value for _, value in Amounts.of(reserved.worst))
            yield Statement(_RESERVE, (reserved.account, reserved.key, reserved.run, *worst))
        case events.BudgetSettled() as settled:
            yield Statement(_SETTLE, (settled.key, *(value for _, value in Amounts.of(settled.used))))
        case events.BudgetOpened() as opened:
            limit = Limit.of(opened.limit)
            yield Statement(_OPEN, (opened.account, opened.above, *(getattr(limit, name) for name in NAMES)))
        case _:
            pass


ACCOUNTS = View(name="accounts", version=1, schema=_SCHEMA, apply=_apply)
"""Register it where the ledger is opened."""


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


_ROW = f"account, above, {_columns('{n}_most')}, {_columns('{n}_reserved')}, {_columns('{n}_spent')}, warned"
_ACCOUNT = f"SELECT {_ROW} FROM view_accounts WHERE account = ?"
_HELD = f"SELECT {_columns('{n}')}, {', '.join(_LEVELS)} FROM view_accounts_reserved WHERE key = ?"


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
        asked = events.BudgetReserved(account=account, key=key, worst=worst.by_name, run=run)
        if (held := self._held(key)) is not None:
            if (held.account, held.worst) != (account, worst):
                raise _misused("again", key)
            return asked
        _fits(self._upwards(account), worst)
        return asked

    def settle(
        self, key: str, used: Amounts, run: str = "", presumed: bool = False
    ) -> tuple[events.BudgetSettled, tuple[Told, ...]]:
        """What was really used in place of what was reserved, even where that is more, and what people should hear
        of it. Raises BudgetMisused where nothing is reserved under the key (any more).

        Told is what the view says now: where several settle at the same moment, reaching WARN_PERCENT may be told
        twice or not at all. `accounts` shows it exactly (`warned`)."""
        rows = self._log.query(_HELD, (key,))
        if not rows:
            raise _misused("settled", key)
        worst, (account, *above) = _amounts(rows[0][: len(NAMES)]), rows[0][len(NAMES) :]
        told: list[Told] = []
        for name in (account, *(upper for upper in above if upper is not None)):
            row = _row(self._log.query(_ACCOUNT, (name,))[0])
            told += almost(name, row.limit, _sum(row.spent, used), row.warned)
            if name == account:
                told += overruns(name, worst, used)
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
            f"SELECT key, account, {_columns('{n}')} FROM view_accounts_reserved WHERE run = ? ORDER BY key", (run,)
        )
        return [ReservedRow(key, account, _amounts(amounts)) for key, account, *amounts in rows]

    def accounts(self) -> list[AccountRow]:
        """All of them, by name."""
        return [_row(row) for row in self._log.query(f"SELECT {_ROW} FROM view_accounts ORDER BY account")]

    @staticmethod
    def refusal(error: DraftRefused) -> BudgetSpent | BudgetMisused | None:
        """What the ledger's refusal of a submission means, where a budget was the reason; None where not."""
        if isinstance(error.__cause__, BudgetMisused):
            return error.__cause__
        found = _REFUSED.search(error.message)
        if found is None:
            return None
        sort, *what = json.loads(found[1])
        if sort == "spent":
            return _too_much(*what)
        return _misused(sort, *what)

    # -- inside

    def _account(self, account: str) -> AccountRow | None:
        rows = self._log.query(_ACCOUNT, (account,))
        return _row(rows[0]) if rows else None

    def _upwards(self, account: str) -> Sequence[tuple[Any, ...]]:
        """Rows of the account and all above it, in that order."""
        _named("account", account, NAME_CHARS_MAX)
        rows: list[tuple[Any, ...]] = []
        upper = account
        while upper and len(rows) < DEPTH_MAX:
            found = self._log.query(_ACCOUNT, (upper,))
            if not found:
                raise _misused("unknown", upper)
            rows += found
            upper = found[0][1]
        if upper:
            raise _misused("deep", account)
        return rows

    def _held(self, key: str) -> ReservedRow | None:
        rows = self._log.query(_HELD, (key,))
        if not rows:
            return None
        return ReservedRow(key, rows[0][len(NAMES)], _amounts(rows[0][: len(NAMES)]))


def _fits(rows: Sequence[tuple[Any, ...]], worst: Amounts) -> None:
    """Over rows as they come from the view, because it is asked before every step. Raises BudgetSpent."""
    asked = [value for _, value in worst]
    for account, _, *sums, _ in rows:
        for at, name in enumerate(NAMES):
            most, reserved, spent = sums[at :: len(NAMES)]
            most = MOST if most is None else most
            if asked[at] + reserved + spent > most:
                raise refusal(account, name, asked[at], reserved + spent, most)


def _too_much(account: str, *sums: int | None) -> BudgetSpent:
    """From what the trigger `wall` tells of an account: for each amount reserved and spent with what was asked for,
    limit, asked for."""
    for at, name in enumerate(NAMES):
        reserved, spent, most, asked = sums[at * 4 : at * 4 + 4]
        assert reserved is not None and spent is not None and asked is not None  # noqa: PT018
        most = MOST if most is None else most
        if reserved + spent > most:
            return refusal(account, name, asked, reserved + spent - asked, most)
    raise AssertionError(f"the wall refused what fits: {account!r} {sums}")


_REFUSED = re.compile(r'budget (\["(?:spent|unknown|loop|deep|again|settled)",.*\])$')


def _misused(sort: str, *what: str) -> BudgetMisused:
    first = f"{what[0]:.80}"
    match sort:
        case "unknown":
            return BudgetMisused(f"there is no account {first!r}", hint="open it first")
        case "loop":
            return BudgetMisused(
                f"account {first!r} cannot hang under {what[1]:.80}, which is below it", hint="choose one above it"
            )
        case "deep":
            return BudgetMisused(f"account {first!r} has too many above it", hint=f"at most {DEPTH_MAX} in all")
        case "again":
            return BudgetMisused(f"{first!r} is reserved already, for something else", hint="settle it first")
        case _:
            return BudgetMisused(
                f"nothing is reserved as {first!r}", hint="reserve first; each reservation is settled once"
            )


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
