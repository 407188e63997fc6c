"""Reconciliation: whatever was done to a view is found and repaired, and what cannot be repaired is told."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit import ledger_home as shelf

from daybreak import events
from daybreak.engine import VIEWS
from daybreak.engine.nights import NIGHTS
from daybreak.engine.schedule_view import SCHEDULES
from daybreak.errors import LeaseLost, LedgerBehind
from daybreak.ledger import Draft, Ledger, Record, Statement, View, reconciliation, redaction, replay
from daybreak.ledger.reconciliation import INCIDENT, INCIDENT_LEVEL, REPAIRS, ViewsUnclear
from daybreak.ledger.replay import folder_of
from daybreak.ledger.views import Views
from daybreak.memory import VIEWS as MEMORY
from daybreak.policy import journal
from daybreak.policy.incident import RULES
from daybreak.report import standing
from daybreak.testing.clock import DAWN, FakeClock

Home, step = shelf.Home, shelf.step
SECRET = "do-not-tell"


def _apply(record: Record) -> Iterable[Statement]:
    if isinstance(record.event, events.StepDone):
        yield Statement(
            "INSERT INTO view_words VALUES (?, ?, ?)", (record.index, record.event.name, str(record.event.result))
        )
        yield Statement("INSERT INTO view_words_loose VALUES (?)", (record.event.nth % 2,))


WORDS = View(
    "words",
    1,
    """
CREATE TABLE view_words (leaf INTEGER PRIMARY KEY, name TEXT NOT NULL, said TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX view_words_said ON view_words (name, leaf);
CREATE TRIGGER view_words_kept BEFORE DELETE ON view_words BEGIN SELECT RAISE(ABORT, 'words stay'); END;
CREATE TABLE view_words_loose (n) STRICT;
""".replace("(n)", "(n INTEGER)"),
    _apply,
    (events.StepDone,),
    weight="critical",
)
"""A table with rules, and one in which rows may be equal."""


@pytest.fixture
def home(tmp_path: Path) -> Any:
    home = Home(tmp_path / "home", [WORDS, shelf.STEPS])
    home.fill(12)
    return home


def types(ledger: Ledger) -> list[str]:
    return [record.type for record in ledger.read(events.KEYS)][1:]


CHANGES: dict[str, tuple[str, set[tuple[str, str, int]]]] = {
    "a value": (
        f"UPDATE view_words SET said = '{SECRET}' WHERE leaf = 3",
        {("missing", "view_words", 1), ("unexplained", "view_words", 1)},
    ),
    "a row more": (f"INSERT INTO view_words VALUES (99, 'x', '{SECRET}')", {("unexplained", "view_words", 1)}),
    "a row less": ("DELETE FROM view_words WHERE leaf = 12", {("missing", "view_words", 1)}),
    "all rows less": ("DELETE FROM view_words", {("missing", "view_words", 13)}),
    "one of several equal rows more": (
        "INSERT INTO view_words_loose VALUES (0)",
        {("unexplained", "view_words_loose", 1)},
    ),
    "what is no text": (
        "UPDATE view_words SET said = CAST(x'ff' AS TEXT) WHERE leaf = 3",
        {("unreadable", "view_words", 1)},
    ),
    "an index gone": ("DROP INDEX view_words_said", {("definition", "view_words_said", 0)}),
    "a rule gone": ("DROP TRIGGER view_words_kept", {("definition", "view_words_kept", 0)}),
    "another rule": (
        "CREATE TRIGGER view_words_more AFTER INSERT ON view_words BEGIN DELETE FROM view_words_loose; END",
        {("definition", "view_words_more", 0)},
    ),
    "the table gone": ("DROP TABLE view_words_loose", {("definition", "view_words_loose", 0)}),
    "another table": (
        "DROP TABLE view_words_loose; CREATE TABLE view_words_loose (n INTEGER, m TEXT) STRICT",
        {("definition", "view_words_loose", 0)},
    ),
    "a question in its place": (
        "DROP TABLE view_words_loose; CREATE VIEW view_words_loose AS SELECT 1 AS n",
        {("definition", "view_words_loose", 0)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("full", [False, True], ids=["incremental", "full"])
@pytest.mark.parametrize(("sql", "found"), CHANGES.values(), ids=CHANGES.keys())
def test_a_view_changed_by_hand_is_found_and_repaired(
    home: Any, sql: str, found: set[tuple[str, str, int]], full: bool
) -> None:
    """Whatever was changed, also in rows that an earlier comparison saw; the log says so without saying what."""
    # shows: N7
    with home.open() as ledger:
        assert ledger.reconcile().mode == "full"
        ledger.append([Draft("queue", step(50, SECRET))])
        home.sql(sql) if "TRIGGER" not in sql else by_hand(home, sql)
        seen = ledger.reconcile(full=full)
        assert seen.mode == ("full" if full else "incremental")
        assert {(drift.kind, drift.table, drift.rows) for drift in seen.drifts} == found
        assert (seen.ok, seen.repaired, seen.severity) == (True, ["words"], "critical")
        assert ledger.compare_views() == []
        again = ledger.reconcile()
        assert (again.drifts, again.mode) == ([], "incremental")
        assert types(ledger) == ["views.reconciled", "views.drifted", "views.repaired", "views.reconciled"] + (
            ["views.reconciled"] if again.size > seen.size + 3 else []
        )
        said = b"".join(record.payload for record in ledger.read(events.KEYS))
        assert SECRET.encode() not in said
    assert home.verify().problems == []


def by_hand(home: Any, sql: str) -> None:
    """`sql` puts triggers back, which would undo this."""
    import apsw

    connection = apsw.Connection(str(home.database))
    connection.execute(sql)
    connection.close()


def test_nothing_is_said_twice_where_nothing_is_new(home: Any) -> None:
    """Asked again and again, the log does not grow by the answers."""
    # shows: N7
    with home.open() as ledger:
        assert ledger.reconcile().replayed == 13
        size = ledger.head().size
        for _ in range(3):
            found = ledger.reconcile()
            assert (found.mode, found.ok, found.replayed) == ("incremental", True, 1)
        assert ledger.head().size == size
        ledger.append([Draft("queue", step(1))])
        assert ledger.reconcile().replayed == 2
        assert [path.suffix for path in folder_of(home.ledger).iterdir()].count(".db") == 1


def test_without_repair_nothing_is_changed(home: Any) -> None:
    """It is told, and stays, and is repaired by the next one that may."""
    # shows: N7
    with home.open() as ledger:
        home.sql("DELETE FROM view_steps WHERE leaf = 5")
        found = ledger.reconcile(repair=False)
        assert not found.ok
        assert (found.left, found.repaired, found.severity) == (found.drifts, [], "normal")
        assert len(ledger.compare_views()) == 1
        assert ledger.reconcile().repaired == ["steps"]
        assert ledger.compare_views() == []


CAUGHT_UP = {"version": "UPDATE view SET version = 0", "far": "UPDATE view SET behind = 99"}


@pytest.mark.parametrize("word", CAUGHT_UP)
def test_without_repair_it_is_compared_before_anything_is_settled(home: Any, word: str) -> None:
    """What an open ledger makes again with its next append, whoever asks for it, is told before that hides it."""
    # shows: N7
    with home.open() as ledger:
        ledger.reconcile()
        home.sql("DELETE FROM view_steps WHERE leaf = 5", f"{CAUGHT_UP[word]} WHERE name = 'steps'")
        found = ledger.reconcile(repair=False)
        assert ("missing", "view_steps", 1) in {(drift.kind, drift.table, drift.rows) for drift in found.drifts}
        assert not found.ok
        assert "views.drifted" in types(ledger)


def test_without_repair_a_view_that_others_left_behind_is_no_drift(home: Any) -> None:
    """It is compared as far as it is; a row that was changed is found all the same."""
    # shows: N7
    with home.open() as ledger, home.open(views=[WORDS]) as other:
        ledger.reconcile()
        ledger.append([Draft("queue", step(1))])
        other.append([Draft("queue", step(2))])
        behind = "SELECT behind FROM view WHERE name = 'steps'"
        before = home.rows(behind)
        assert before[0][0] is not None
        home.sql("UPDATE view_steps SET nth = 77 WHERE leaf = 5")
        found = ledger.reconcile(repair=False)
        assert {(drift.kind, drift.table, drift.rows) for drift in found.left} == {
            ("missing", "view_steps", 1),
            ("unexplained", "view_steps", 1),
        }
        assert ledger.reconcile().ok
        other.append([Draft("queue", step(3))])
        found = ledger.reconcile(repair=False)
        assert (found.drifts, found.mode) == ([], "incremental")
        assert ledger.compare_views() == []


@pytest.mark.parametrize("damage", ["bytes", "gone", "another"])
def test_what_was_kept_is_not_trusted(home: Any, damage: str) -> None:
    """Changed together with the view, it would hide the change; so any other byte makes a comparison a full one."""
    # shows: N7
    with home.open() as ledger:
        ledger.reconcile()
        (kept,) = (path for path in folder_of(home.ledger).iterdir() if path.suffix == ".db")
        change = "UPDATE view_words SET said = 'forged' WHERE leaf = 3"
        home.sql(change)
        if damage == "gone":
            kept.unlink()
        elif damage == "another":
            kept.write_bytes(b"")
        else:
            import apsw

            connection = apsw.Connection(str(kept))
            connection.execute(change)
            connection.close()
        found = ledger.reconcile()
        assert (found.mode, found.repaired, found.ok) == ("full", ["words"], True)


def test_another_definition_begins_anew(home: Any) -> None:
    """What was kept of a view as it was says nothing about the view as it is."""
    with home.open() as ledger:
        ledger.reconcile()
    newer = View("steps", 2, shelf.STEPS.schema, shelf.STEPS.apply)
    with home.open(views=[WORDS, newer]) as ledger:
        assert ledger.reconcile().mode == "full"
        assert ledger.reconcile().mode == "incremental"


class Fickle:
    """A view that says something else each time: nothing can make it agree."""

    def __init__(self) -> None:
        self.said = 0

    def apply(self, record: Record) -> Iterable[Statement]:
        self.said += 1
        yield Statement("INSERT INTO view_fickle VALUES (?, ?)", (record.index, self.said))

    @property
    def view(self) -> View:
        schema = "CREATE TABLE view_fickle (leaf INTEGER PRIMARY KEY, said INTEGER NOT NULL) STRICT"
        return View("fickle", 1, schema, self.apply, (events.StepDone,), weight="low")


def incidents(ledger: Ledger) -> list[events.IncidentRaised]:
    return [one.event for one in ledger.read(events.POLICY) if isinstance(one.event, events.IncidentRaised)]


def test_three_failed_repairs_raise_an_incident(tmp_path: Path) -> None:
    """Each failure is an event, the stored view stays as it was, and the alert comes once for each such series."""
    # shows: N7
    home = Home(tmp_path / "home", [Fickle().view, *journal.VIEWS])
    home.fill(4)
    home.views = [Fickle().view, *journal.VIEWS]
    with home.open() as ledger:
        ledger.append([Draft("queue", step(9))])
        before = ledger.query("SELECT * FROM view_fickle")
        found = ledger.reconcile()
        assert (len(found.failures), found.ok, found.repaired) == (REPAIRS, False, [])
        assert [one.incident for one in incidents(ledger)] == [found.incident]
        assert ledger.query("SELECT * FROM view_fickle") == before
        (row,) = ledger.query("SELECT kind, level, closed FROM view_incidents")
        assert row == (INCIDENT, INCIDENT_LEVEL, "")
        assert RULES["views_unrepaired"].level == INCIDENT_LEVEL
        again = ledger.reconcile()
        assert (len(again.failures), again.incident) == (1, "")
        assert types(ledger).count("views.repair_failed") == REPAIRS + 1
        assert len(incidents(ledger)) == 1
        ledger.append([Draft("queue", step(10))])  # a failed repair never stops the ledger
    assert {problem.place for problem in home.verify().problems} == {"view fickle, table view_fickle"}


def test_a_night_notes_it_and_people_are_told(tmp_path: Path) -> None:
    """Agreement for the record, drift as what somebody must look at, and the incident in the status and the report."""
    # shows: N7
    from daybreak.cli.night import _reconcile
    from daybreak.report.night import open_incidents

    home = Home(tmp_path / "home", [*VIEWS, SCHEDULES, NIGHTS, *journal.VIEWS, *MEMORY, shelf.STEPS])
    with home.open() as ledger:
        night: Any = SimpleNamespace(ledger=ledger)
        assert [one.level for one in _reconcile(night)] == [0]
        home.sql("INSERT INTO view_steps VALUES (9, 9)")
        (found,) = _reconcile(night)
        assert (found.level, "view_steps holds 1 rows that no event explains" in found.text) == (1, True)
        home.sql("INSERT INTO view_runs_paused VALUES ('p', 'now', '')")
        assert [one.level for one in _reconcile(night)] == [2]
    home.views = [*home.views, Fickle().view]
    home.fill(2)
    home.views = [*home.views[:-1], Fickle().view]
    with home.open() as ledger:
        ledger.append([Draft("queue", step(5))])
        (found,) = _reconcile(SimpleNamespace(ledger=ledger))  # type: ignore[arg-type]
        assert (found.level, list(found.details)) == (2, ["incident"])
        assert [one.kind for one in open_incidents(ledger)] == [INCIDENT]
        told = standing.as_text(standing.collect(ledger, DAWN, locks={}, beats={}))
        assert "1 incidents are open, the worst: level 2, views_unrepaired: 3 repairs of fickle failed" in told


def test_one_view_that_cannot_be_repaired_keeps_no_other_from_it(tmp_path: Path) -> None:
    """The critical one is right again, though a low one never will be."""
    # shows: N7
    home = Home(tmp_path / "home", [Fickle().view, shelf.STEPS, *journal.VIEWS])
    home.fill(4)
    home.sql("DELETE FROM view_steps WHERE leaf = 2")
    home.views = [Fickle().view, shelf.STEPS, *journal.VIEWS]
    with home.open() as ledger:
        ledger.append([Draft("queue", step(9))])
        found = ledger.reconcile()
        assert (found.repaired, {drift.view for drift in found.left}) == (["steps"], {"fickle"})
        assert (len(found.failures), bool(found.incident)) == (REPAIRS, True)


def test_failures_of_several_processes_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after two failures, the next process has one try left before the incident."""
    # shows: N7
    home = Home(tmp_path / "home", [shelf.STEPS, *journal.VIEWS])
    home.fill(4)
    home.sql("DELETE FROM view_steps WHERE leaf = 2")
    with home.open() as ledger:
        failed = events.ViewsRepairFailed(views=["steps"], why="L117 LedgerBusy", nth=1)
        ledger.append(
            [Draft(events.KEYS, failed), Draft(events.KEYS, events.ViewsRepairFailed(views=["steps"], why="", nth=2))]
        )
        monkeypatch.setattr(reconciliation._Reconciler, "_remake", lambda *_: "it does not work")
        found = ledger.reconcile()
        assert (len(found.failures), bool(found.incident)) == (1, True)
        monkeypatch.undo()
        assert ledger.reconcile().repaired == ["steps"]
        assert ledger.reconcile().ok


def _summed(record: Record) -> Iterable[Statement]:
    if isinstance(record.event, events.StepDone):
        yield Statement("INSERT INTO view_sum VALUES (1, 1) ON CONFLICT (one) DO UPDATE SET steps = steps + 1")


SUM = View("sum", 1, "CREATE TABLE view_sum (one INTEGER PRIMARY KEY, steps INTEGER NOT NULL) STRICT", _summed)


def test_a_repair_that_is_taken_back_takes_nothing_back_that_others_wrote(tmp_path: Path) -> None:
    """What a program without the view appended meanwhile is counted, and counted once."""
    # shows: N7
    home = Home(tmp_path / "home", [SUM])
    with home.open() as ledger, home.open(views=()) as other:
        ledger.append([Draft("queue", step(1))])
        other.append([Draft("queue", step(2))])
        assert ledger.on_writer(lambda log: log.remake_views(["sum"], lambda *_: "it differs")) == "it differs"
        for number, one in enumerate((ledger, other, ledger), 3):
            one.append([Draft("queue", step(number))])
        assert ledger.compare_views() == []
        assert ledger.query("SELECT steps FROM view_sum") == [(5,)]


def _always(_: Record) -> Iterable[Statement]:
    yield Statement("INSERT INTO view_steps VALUES (1, 1)")


def test_a_view_that_does_not_take_its_events_is_named(home: Any) -> None:
    """Nothing can be compared then; that is an error, and the ledger goes on."""
    with home.open() as ledger:
        ledger.append([Draft("queue", step(7))])
        picky = View("steps", 1, shelf.STEPS.schema, _always, (events.StepDone,))
        ledger.views.all = (WORDS, picky)
        with pytest.raises(ViewsUnclear, match="after event"):
            ledger.reconcile()
        ledger.append([Draft("control:x", events.PauseAsked(run="x"))])


@pytest.mark.parametrize("behind", ["3", "9999", "-5", "NULL"])
def test_a_wrong_word_about_how_far_a_view_is_does_not_keep_the_ledger_shut(home: Any, behind: str) -> None:
    """A view that is said to be behind and is not would take its events twice, which its rules refuse."""
    # shows: N7
    home.sql(f"UPDATE view SET behind = {behind}")
    with home.open() as ledger:
        assert types(ledger) == ([] if behind == "NULL" else ["views.drifted", "views.repaired"]), "told in the log"
        assert ledger.reconcile().ok
        assert ledger.compare_views() == []


LEAVES = st.integers(1, 12) | st.integers(900, 940)
"""Of events that there are, and that there never will be: a row in the place of the next one refuses that."""
CHANGE = st.one_of(
    st.tuples(st.just("UPDATE view_words SET said = ? WHERE leaf = ?"), st.text(max_size=3), st.integers(1, 12)),
    st.tuples(st.just("INSERT OR REPLACE INTO view_steps VALUES (?, ?)"), LEAVES, st.integers(0, 5)),
    st.tuples(st.just("DELETE FROM view_steps WHERE leaf BETWEEN ? AND ?"), st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.just("INSERT INTO view_words_loose SELECT ? WHERE ?"), st.integers(0, 1), st.booleans()),
    st.tuples(st.just("append"), st.integers(0, 3)),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(CHANGE, max_size=4), min_size=1, max_size=3))
def test_incremental_and_full_agree(tmp_path_factory: pytest.TempPathFactory, rounds: list[list[Any]]) -> None:
    """After any changes by hand and any appends, both find the same, and both leave nothing behind."""
    # shows: N7
    home = Home(tmp_path_factory.mktemp("model") / "home", [WORDS, shelf.STEPS])
    home.fill(12)
    with home.open() as ledger:
        for changes in rounds:
            ledger.reconcile()
            for sql, *values in changes:
                if sql == "append":
                    ledger.append([Draft("queue", step(values[0]))])
                else:
                    home.sql((sql, values))
            wrong = len(ledger.compare_views())
            quick = ledger.reconcile(repair=False)
            slow = ledger.reconcile(full=True)
            assert quick.mode == "incremental"
            assert quick.drifts == slow.drifts
            assert bool(quick.drifts) == bool(wrong)
            assert slow.ok
            assert ledger.compare_views() == []


def test_our_own_views_are_reconciled_and_weighed(tmp_path: Path) -> None:
    """Leases, budgets, tokens and windows are critical; what is learned is not."""
    # shows: N7
    views = [*VIEWS, SCHEDULES, NIGHTS, *journal.VIEWS, *MEMORY]
    weights = {view.name: view.weight for view in views}
    assert {name for name, weight in weights.items() if weight == "critical"} == {
        "runs",
        "accounts",
        "schedules",
        "tokens",
    }
    assert {name for name, weight in weights.items() if weight == "low"} == {"lessons", "routing"}
    home = Home(tmp_path / "home", views)
    with home.open() as ledger:
        task = events.TaskAdded(task="t", run="r1", kind="build", title=SECRET, args={})
        ledger.append([Draft("queue", task)])
        ledger.reconcile()
        home.sql("UPDATE view_runs SET state = 'done'")
        found = ledger.reconcile()
        assert (found.severity, found.repaired) == ("critical", ["runs"])
        assert ledger.query("SELECT state FROM view_runs") == [("queued",)]


DEATHS = {
    "replaying": (replay.Replay, "_apply"),
    "drift told": (reconciliation._Reconciler, "_append"),
    "remade": (Views, "remake"),
    "repaired": (reconciliation._Reconciler, "_remake"),
    "kept": (replay.Replay, "keep"),
}


def killed(home: Any, owner: Any, name: str) -> int:
    """The signal that ended a process which reconciles and kills itself as soon as that has been done once."""
    pid = os.fork()
    if pid == 0:
        did = getattr(owner, name)

        def dying(*given: Any) -> None:
            did(*given)
            os.kill(os.getpid(), signal.SIGKILL)

        try:
            setattr(owner, name, dying)
            with home.open() as ledger:
                ledger.reconcile()
        finally:
            os._exit(1)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("at", DEATHS)
def test_a_comparison_that_is_killed_leaves_nothing_half_done(home: Any, at: str) -> None:
    """Wherever it dies, the stored views are as they were or right, and the next comparison ends it."""
    # shows: N7 N14
    with home.open() as ledger:
        ledger.reconcile()
        ledger.append([Draft("queue", step(3))])
    home.sql("DELETE FROM view_steps WHERE leaf < 4", "UPDATE view_words SET said = 'x'")
    assert killed(home, *DEATHS[at]) == signal.SIGKILL
    stored = len(home.rows("SELECT * FROM view_steps"))
    assert stored == (13 if at in ("repaired", "kept") else 10)
    with home.open() as ledger:
        found = ledger.reconcile()
        assert found.ok
        assert found.repaired == ([] if at in ("repaired", "kept") else ["steps", "words"])
        assert ledger.compare_views() == []
        assert len(list(folder_of(home.ledger).iterdir())) == 2, "what was kept, and the lock"
    assert home.verify().problems == []


def test_what_is_sealed_for_a_subject_is_not_in_what_is_kept(tmp_path: Path) -> None:
    """Views do not show it, nor do replayed ones; forgetting it is no drift, and leaves nothing to be removed."""
    # shows: N7
    home = Home(tmp_path / "home", [*VIEWS, WORDS])
    with home.open() as ledger:
        task = events.TaskAdded(task="t", run="r1", kind="build", title=SECRET, args={"who": SECRET})
        said = step(1, SECRET)
        ledger.append([Draft("queue", task, subject="anna"), Draft("queue", said, subject="anna")])
        assert ledger.reconcile().ok
        kept = b"".join(path.read_bytes() for path in folder_of(home.ledger).iterdir())
        assert SECRET.encode() not in kept
        redaction.forget(ledger, "anna", FakeClock())
        assert [ledger.reconcile(full=full).drifts for full in (False, True)] == [[], []]


BY_HAND: dict[str, tuple[str, set[str]]] = {
    "a table gone": ("DROP TABLE view_words_loose", {"view_words_loose"}),
    "a column more": ("ALTER TABLE view_words_loose ADD COLUMN m TEXT", {"view_words_loose"}),
    "another rule": (
        "CREATE TRIGGER view_words_more AFTER INSERT ON view_words BEGIN DELETE FROM view_words_loose; END",
        {"view_words_more"},
    ),
    "what the ledger says of it": ("UPDATE view SET tables = '{}' WHERE name = 'words'", {"view"}),
    "no JSON": ("UPDATE view SET tables = '[' WHERE name = 'words'", {"view"}),
    "no mention of it": ("DELETE FROM view WHERE name = 'words'", {"view"}),
}


@pytest.mark.parametrize(("sql", "tables"), BY_HAND.values(), ids=BY_HAND.keys())
def test_a_definition_changed_by_hand_is_mended_at_opening_and_told(home: Any, sql: str, tables: set[str]) -> None:
    """Nothing could be appended to such a view; so it is made again at once, and the same commit says so, once."""
    # shows: N7
    by_hand(home, sql)
    with home.open() as ledger:
        drifted, repaired = list(ledger.read(events.KEYS))[1:]
        assert isinstance(drifted.event, events.ViewsDrifted)
        assert isinstance(repaired.event, events.ViewsRepaired)
        assert {(one.table, one.kind, one.severity) for one in drifted.event.drifts} == {
            (table, "definition", "critical") for table in tables
        }
        assert repaired.event.views == ["words"]
        assert ledger.compare_views() == []
        ledger.append([Draft("queue", step(50))])
        found = ledger.reconcile()
        assert (found.drifts, found.repaired, found.left) == (drifted.event.drifts, ["words"], [])
        assert ledger.reconcile().drifts == []
    with home.open() as ledger:
        assert types(ledger).count("views.drifted") == 1
    assert home.verify().problems == []


def test_what_the_ledger_says_of_one_view_costs_no_other_its_tables(home: Any) -> None:
    """A forged list of a view's tables, and then the view is made again: what it does not own stays."""
    # shows: N7
    forged = """UPDATE view SET tables = '{"view_words": "", "view_stepson": "", "event": ""}' WHERE name = 'steps'"""
    by_hand(home, "CREATE TABLE view_stepson (n INTEGER) STRICT")
    for sql in (forged, f"{forged}; UPDATE view SET version = 0 WHERE name = 'steps'"):
        by_hand(home, sql)
        with home.open() as ledger:
            assert ledger.compare_views() == []
            ledger.append([Draft("queue", step(50))])
    assert home.rows("SELECT count(*) FROM view_stepson") == [(0,)]


def test_a_newer_version_of_a_view_and_a_new_one_are_no_drift(home: Any) -> None:
    """The program changed, not the ledger: they are made again without a word."""
    # shows: N7
    size = home.verify().size
    newer = View("words", 2, WORDS.schema.replace("n INTEGER", "n INTEGER NOT NULL"), _apply, (events.StepDone,))
    more = View("more", 1, "CREATE TABLE view_more (n INTEGER) STRICT", lambda _: ())
    home.views = [newer, shelf.STEPS, more]
    with home.open() as ledger:
        assert ledger.head().size == size
        assert ledger.compare_views() == []


def test_a_definition_changed_under_an_open_ledger_is_mended_with_the_next_commit(home: Any) -> None:
    """What the ledger says of a view is looked at whenever somebody else wrote; subscribers hear of it, in order."""
    # shows: N7
    with home.open() as ledger:
        heard: list[str] = []
        ledger.subscribe(lambda records: heard.extend(record.type for record in records))
        by_hand(home, "UPDATE view SET tables = '{}' WHERE name = 'words'")
        with pytest.raises(LeaseLost):  # a commit that comes to nothing takes nothing of it back
            ledger.append([Draft(events.run_stream("r1"), shelf.grant(), epoch=7)])
        ledger.append([Draft("queue", step(51))])
        assert heard == ["views.drifted", "views.repaired", "step.done"]
        assert [record.type for record in ledger.read_all()][-3:] == heard
    assert home.verify().problems == []


def test_a_ledger_that_is_behind_is_refused_before_its_views_are_touched(home: Any) -> None:
    """Nothing is appended to an old copy, not even that its views were changed."""
    # shows: N7
    old = home.copy("old")
    with home.open() as ledger:
        ledger.append([Draft("queue", step(60))])
    (old.witness / "head").write_bytes((home.witness / "head").read_bytes())
    by_hand(old, "DROP TABLE view_words_loose")
    before = old.rows("SELECT count(*), (SELECT size FROM head) FROM event")
    with pytest.raises(LedgerBehind):
        old.open()
    assert old.rows("SELECT count(*), (SELECT size FROM head) FROM event") == before
    assert old.rows("SELECT 1 FROM sqlite_schema WHERE name = 'view_words_loose'") == []


def test_the_report_of_a_night_tells_what_was_mended_when_it_opened(tmp_path: Path) -> None:
    """A definition changed in the daytime is mended by whoever opens the ledger first, and the next night tells."""
    # shows: N7
    from daybreak.report import morning

    home = Home(tmp_path / "home", [*VIEWS, NIGHTS, *journal.VIEWS])

    def night(name: str) -> events.NightBegan:
        return events.NightBegan(night=name, host="here", pid=1, workers=1)

    clock = FakeClock()
    for name in ("night-1", "night-2", "night-3"):
        with home.open(clock=clock) as ledger:
            clock.advance(86_400)
            ledger.append([Draft(events.NIGHTS, night(name))])
            report = morning.collect(ledger, now=clock.now(), night=name)
            told = [one for one in report.repairs if one.what == "drift"]
            assert [(one.level, "view_runs_paused was defined otherwise" in one.text) for one in told] == (
                [(2, True)] if name == "night-2" else []
            )
            clock.advance(60)
            ended = events.NightEnded(night=name, why="empty", text="done")
            ledger.append([Draft(events.NIGHTS, ended)])
        if name == "night-1":
            by_hand(home, "DROP TABLE view_runs_paused")
