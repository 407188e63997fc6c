"""Views: what they say of themselves is so, and what is kept from one comparison to the next is never seen."""

from __future__ import annotations

import types
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import apsw
import msgspec
import pytest

from daybreak import events
from daybreak.engine import VIEWS
from daybreak.engine.nights import NIGHTS
from daybreak.engine.schedule_view import SCHEDULES
from daybreak.events import POLICY, BudgetOpened, BudgetReserved, StepDone, control_stream
from daybreak.ledger import Ledger, Statement, scratch
from daybreak.ledger.record import Draft, Record
from daybreak.ledger.views import View
from daybreak.memory.lessons import LESSONS
from daybreak.memory.outcomes import ROUTING
from daybreak.policy.journal import INCIDENTS, TOKENS
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

ALL = (*VIEWS, NIGHTS, SCHEDULES, TOKENS, INCIDENTS, LESSONS, ROUTING)
_NOW = datetime(2026, 3, 1, tzinfo=UTC).isoformat()


def _value(kind: Any) -> Any:
    """Some value of a field's type."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return inside[0]
    if origin in (Union, types.UnionType):
        return _value(inside[0])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _made(kind)
    for known, value in {str: _NOW, bool: True, int: 1, float: 1.0, bytes: b"x"}.items():
        if kind is known:
            return value
    if origin is list:
        return [_value(inside[0])]
    if origin is dict:
        return {}
    if kind in (dict, Any):
        return {}
    if kind is list:
        return []
    raise AssertionError(f"no value for {kind}")


def _made(kind: type[Any]) -> Any:
    """An instance with something in every field."""
    fields = msgspec.structs.fields(kind)
    return kind(**{field.name: _value(field.type) for field in fields})


def _record(event: events.Event) -> Record:
    payload = msgspec.json.encode(event)
    return Record(1, "s", 0, "ev", event.type, _NOW, "", 1, 0, "", None, payload, b"", b"{}")


def _statements(view: View, record: Record) -> Iterable[object]:
    try:
        return list(view.apply(record))
    except (KeyError, ValueError):  # it looked closely, and did not like what it saw
        return [record.type]


@pytest.mark.parametrize("view", ALL, ids=[view.name for view in ALL])
def test_a_view_is_changed_by_the_events_that_it_names_and_by_no_others(view: View) -> None:
    """A view that forgets to name an event would go stale without anybody noticing."""
    # shows: N14
    heard = {kind for kind in events.BY_TYPE.values() if _statements(view, _record(_made(kind)))}
    assert heard == set(view.of)


def test_a_view_that_names_no_events_hears_all() -> None:
    """Views of other people's, written before events could be named, go on working."""
    seen: list[str] = []

    def apply(record: Record) -> list[Any]:
        seen.append(record.type)
        return []

    view = View("mine", 1, "CREATE TABLE view_mine (a TEXT) STRICT;", apply)
    with MemoryLedger(clock=FakeClock(), views=[view]) as ledger:
        ledger.append([Draft(control_stream("r"), StepDone(run="r", branch="", name="n", nth=0, args="a", result=1))])
    assert seen == ["ledger.created", "step.done"]


def test_a_view_hears_the_first_event_of_a_new_ledger(tmp_path: Path) -> None:
    """It is written before any view has a table, and reaches them all the same, once."""
    view = View(
        "kinds",
        1,
        "CREATE TABLE view_kinds (kind TEXT) STRICT;",
        lambda record: [Statement("INSERT INTO view_kinds VALUES (?)", (record.type,))],
    )
    folders = {name: tmp_path / name for name in ("keys", "witness")}
    with Ledger.open(tmp_path / "ledger", **folders, clock=FakeClock(), views=[view]) as ledger:
        assert ledger.query("SELECT kind FROM view_kinds") == [("ledger.created",)]
        assert ledger.compare_views() == []


def test_a_database_that_was_given_back_is_empty_when_it_is_taken_again() -> None:
    """Ledgers in memory follow each other in one process; none sees what another one held."""
    schemas = ("CREATE TABLE view_a (a TEXT PRIMARY KEY) STRICT;",)
    first = scratch.take(schemas)
    first.execute("INSERT INTO view_a VALUES ('x')")
    scratch.give_back(schemas, first)
    with scratch.scratch(schemas) as again:
        assert again is first
        assert again.execute("SELECT * FROM view_a").fetchall() == []
        with scratch.scratch(schemas) as other:
            assert other is not again


def test_a_database_whose_transaction_somebody_ended_is_not_kept() -> None:
    """What was committed in it cannot be rolled back, so nobody is given it."""
    schemas = ("CREATE TABLE view_b (a TEXT PRIMARY KEY) STRICT;",)
    first = scratch.take(schemas)
    first.execute("INSERT INTO view_b VALUES ('x'); COMMIT")
    scratch.give_back(schemas, first)
    with scratch.scratch(schemas) as again:
        assert again is not first
        assert again.execute("SELECT * FROM view_b").fetchall() == []


def test_no_more_empty_databases_are_kept_than_are_of_use() -> None:
    """Memory stays bounded however many there were at once."""
    schemas = ("CREATE TABLE view_c (a TEXT PRIMARY KEY) STRICT;",)
    many = [scratch.take(schemas) for _ in range(scratch.KEPT_MAX + 3)]
    for one in many:
        scratch.give_back(schemas, one)
    with pytest.raises(apsw.ConnectionClosedError):
        many[-1].execute("SELECT 1")
    many[0].execute("SELECT 1")


def test_a_partial_index_costs_no_statement_a_second_preparation() -> None:
    """With the values looked at, each run of such a statement would be prepared anew: ten times the work."""
    schemas = ("CREATE TABLE view_d (a TEXT NOT NULL) STRICT; CREATE INDEX view_d_a ON view_d (a) WHERE a > '';",)
    with scratch.scratch(schemas) as database:
        for value in ("x", "", "y"):
            database.execute("SELECT a FROM view_d WHERE a > '' AND a > ?", (value,)).fetchall()
        (plan,) = database.execute("EXPLAIN QUERY PLAN SELECT a FROM view_d WHERE a > '' AND a > ?", ("",)).fetchall()
        assert "view_d_a" in str(plan[3])
        assert database.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, -1) == 1


def test_comparing_finds_a_row_more_and_a_row_less_with_a_database_used_before() -> None:
    """The second comparison is as strict as the first."""
    ledger = MemoryLedger(clock=FakeClock(), views=VIEWS)
    ledger.append([Draft(POLICY, BudgetOpened(account="a", limit={"attempts": 3}))])
    ledger.append([Draft(POLICY, BudgetReserved(account="a", key="k", worst={"attempts": 1}, run="r"))])
    assert ledger.compare_views() == []
    ledger._database.execute("DELETE FROM view_accounts_reserved")
    assert [one.table for one in ledger.compare_views()] == ["view_accounts_reserved"]
    ledger.rebuild_views()
    assert ledger.compare_views() == []
    ledger._database.execute("INSERT INTO view_runs_projects VALUES ('p', 7)")
    assert [one.table for one in ledger.compare_views()] == ["view_runs_projects"]
