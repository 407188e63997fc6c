"""The wall around budgets: the accounts' view, whose triggers refuse inside the ledger's transaction what could exceed.

A reservation goes into its account and, level by level, into all above it; the trigger `wall` refuses it where any of
them would hold more than its limit. It remembers those accounts, so that it is settled in the same ones. A refusal's
text is `budget ` and a JSON array that `refusal_of` reads; `accounts` is what makes the events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import pairwise

from daybreak import events
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View
from daybreak.policy.amounts import MOST
from daybreak.policy.budget import NAMES, WARN_PERCENT, Amounts, BudgetMisused, BudgetSpent, Limit, refusal

DEPTH_MAX = 8
"""Accounts from a reservation up to the last one above it."""


# The SQL below names every amount and every level of a chain, and lets one small trigger call the next, instead of
# json_each, IN (SELECT …) or WITH RECURSIVE: those need a temporary table for each event, and large triggers need much
# memory each time that they run. Either costs ten times as much as all the rest.

LEVELS = ("account", *(f"up{level}" for level in range(1, DEPTH_MAX)))
"""Columns of a reservation: its own account, and those above it at that time, as far as there are any."""


def columns(form: str, between: str = ", ") -> str:
    """One piece of SQL for each amount: `{n}` is its name, `{bit}` its bit in `warned`."""
    return between.join(form.format(n=name, bit=1 << at) for at, name in enumerate(NAMES))


def _near(most: str, spent: str) -> str:
    """Bits of the amounts of which WARN_PERCENT are used."""
    form = f"(CASE WHEN {most} > 0 AND ({spent}) * 100 >= {most} * {WARN_PERCENT} THEN {{bit}} ELSE 0 END)"
    return f"({columns(form, ' + ')})"


_USED = columns("NEW.{n}_reserved, NEW.{n}_spent, NEW.{n}_most, NEW.{n}_reserved - OLD.{n}_reserved")
_TOO_MUCH = columns(f"NEW.{{n}}_reserved + NEW.{{n}}_spent > coalesce(NEW.{{n}}_most, {MOST})", " OR ")
_SET_ASIDE = f"UPDATE view_accounts SET under_way = under_way + 1, {columns('{n}_reserved = {n}_reserved + NEW.{n}')}"
_SPEND = (
    f"UPDATE view_accounts SET under_way = under_way - 1, {columns('{n}_reserved = {n}_reserved - NEW.{n}')},"
    f" {columns(f'{{n}}_spent = min({{n}}_spent + NEW.{{n}}_used, {MOST})')},"
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
    _LEVEL.format(low=low, upwards=_upwards(low, up)) for low, up in pairwise((*LEVELS[1:], None)) if low is not None
)

_SPENDS = "\n".join(f"  {_SPEND} WHERE account = NEW.{level};" for level in LEVELS)
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
  {columns("{n}_most INTEGER")},
  {columns("{n}_reserved INTEGER NOT NULL DEFAULT 0 CHECK ({n}_reserved >= 0)")},
  {columns("{n}_spent INTEGER NOT NULL DEFAULT 0 CHECK ({n}_spent >= 0)")},
  under_way INTEGER NOT NULL DEFAULT 0 CHECK (under_way >= 0),
  warned  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE view_accounts_reserved (
  key     TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  run     TEXT NOT NULL,
  {columns("{n} INTEGER NOT NULL")},
  {", ".join(f"{level} TEXT" for level in LEVELS[1:])},
  {columns("{n}_used INTEGER")}
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
  {_upwards(*LEVELS[:2])}
END;
{_TRIGGERS}
CREATE TRIGGER view_accounts_again AFTER UPDATE OF account ON view_accounts_reserved
WHEN OLD.account <> NEW.account OR {columns("OLD.{n} <> NEW.{n}", " OR ")} BEGIN
  SELECT RAISE(ABORT, 'budget ' || json_array('again', NEW.key));
END;
CREATE TRIGGER view_accounts_settled AFTER UPDATE OF {columns("{n}_used")} ON view_accounts_reserved BEGIN
{_SPENDS}
  DELETE FROM view_accounts_reserved WHERE key = NEW.key;
END;
"""

_OPEN = f"""INSERT INTO view_accounts (account, above, {columns("{n}_most")}) VALUES (?, ?, {columns("?")})
ON CONFLICT (account) DO UPDATE SET above = excluded.above, {columns("{n}_most = excluded.{n}_most")},
  warned = warned & {_near("excluded.{n}_most", "{n}_spent")}"""

_RESERVE = f"""INSERT INTO view_accounts_reserved (account, key, run, {columns("{n}")})
VALUES (?, ?, ?, {columns("?")})
ON CONFLICT (key) DO UPDATE SET account = excluded.account, {columns("{n} = excluded.{n}")}"""
"""Where the key is reserved already, the trigger `again` compares."""

_SETTLE = f"""INSERT INTO view_accounts_reserved (key, account, run, {columns("{n}")}, {columns("{n}_used")})
VALUES (?, '', '', {columns("0")}, {columns("?")})
ON CONFLICT (key) DO UPDATE SET {columns("{n}_used = excluded.{n}_used")}"""
"""Where nothing is reserved under the key, the row goes in without an account, and the trigger `account` refuses it."""


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


_OF = (events.BudgetReserved, events.BudgetSettled, events.BudgetOpened)
ACCOUNTS = View(name="accounts", version=1, schema=_SCHEMA, apply=_apply, of=_OF, weight="critical")
"""Register it where the ledger is opened."""


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


def refusal_of(text: str) -> BudgetSpent | BudgetMisused | None:
    """What a refusal of one of the triggers says; None where the text is none."""
    found = _REFUSED.search(text)
    if found is None:
        return None
    sort, *what = json.loads(found[1])
    return _too_much(*what) if sort == "spent" else misused(sort, *what)


def misused(sort: str, *what: str) -> BudgetMisused:
    """The error for what cannot be done with an account or a reservation; `what` names it."""
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
