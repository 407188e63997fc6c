"""Alerts: fired once and cleared once, whoever looks and however often; quiet where nothing is known."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.metrics_shelf import Shelf

from daybreak import events
from daybreak.events import NIGHTS, POLICY
from daybreak.home import views
from daybreak.ledger import Draft, Ledger
from daybreak.report.alerts import Lookout, Rules, Watch, evaluate, standing
from daybreak.report.alerts.evaluation import GONE
from daybreak.report.alerts.measures import MEASURES, MOMENTS
from daybreak.settings import MOMENTARY, Alert, AlertMetric, SettingsWrong, read, span_s
from daybreak.testing.clock import FakeClock

FAILING = {"metric": "runs_failed", "above": 2, "over": "3h"}
SLOW = {"metric": "queued", "above": 0, "for": "1h"}


def rules(**told: dict[str, Any]) -> dict[str, Alert]:
    return {name: Alert.model_validate(one) for name, one in told.items()}


def watch(shelf: Shelf, **told: dict[str, Any]) -> Watch:
    """A process of its own: it knows nothing but the ledger and the rules."""
    return Watch(shelf.ledger, shelf.clock, Rules(rules(**told)))


def kinds(shelf: Shelf) -> list[str]:
    return [one.type for one in shelf.ledger.read(POLICY) if one.type.startswith("alert.")]


def fail(shelf: Shelf, times: int, minutes: float = 0) -> None:
    for _ in range(times):
        shelf.versions["runs"] = shelf.versions.get("runs", 0) + 1
        shelf.whole_run(f"run-{shelf.versions['runs']}", "failed", minutes=minutes)


def succeed(shelf: Shelf, times: int) -> None:
    for _ in range(times):
        shelf.versions["runs"] = shelf.versions.get("runs", 0) + 1
        shelf.whole_run(f"run-{shelf.versions['runs']}", minutes=0)


def state(shelf: Shelf, name: str = "failing") -> str:
    return {one.alert: one.state for one in standing(shelf.ledger)}.get(name, "clear")


def test_an_alert_fires_once_and_clears_once() -> None:
    """However often somebody looks meanwhile, and with what it saw in the event."""
    # shows: N10
    shelf = Shelf()
    here = watch(shelf, failing=FAILING)
    fail(shelf, 2)
    assert here.look(now=True) == []
    fail(shelf, 1)
    (fired,) = here.look(now=True)
    assert isinstance(fired, events.AlertFired)
    assert (fired.value, fired.threshold, fired.severity, fired.samples) == (3.0, 2.0, "warning", 3)
    assert (fired.begin, fired.end) == ("2026-03-01T20:00:00.000000Z", "2026-03-01T23:00:00.000000Z")
    assert fired.text == "runs_failed is 3 over 3h; told when above 2"
    fail(shelf, 5)
    assert [here.look(now=True) for _ in range(3)] == [[], [], []]
    shelf.later(hours=3)
    (cleared,) = here.look(now=True)
    assert isinstance(cleared, events.AlertCleared)
    assert (cleared.value, cleared.fired) == (0.0, "2026-03-01T22:00:00.000000Z")
    assert here.look(now=True) == []
    assert kinds(shelf) == ["alert.fired", "alert.cleared"]
    assert shelf.ledger.compare_views() == []


def test_a_restart_goes_on_where_the_last_process_was() -> None:
    """What fired stands in the ledger: the next process neither tells it again nor forgets to clear it."""
    # shows: N10
    shelf = Shelf()
    fail(shelf, 3)
    for _ in range(3):
        watch(shelf, failing=FAILING).look()
    assert kinds(shelf) == ["alert.fired"]
    shelf.later(hours=4)
    for _ in range(3):
        watch(shelf, failing=FAILING).look()
    assert kinds(shelf) == ["alert.fired", "alert.cleared"]


def test_two_processes_that_look_at_once_fire_once(tmp_path: Path) -> None:
    """Two ledgers open on one file, both having seen the same; and one that had seen it before the other wrote."""
    # shows: N10 N14
    clock = FakeClock()
    where: dict[str, Any] = {"keys": tmp_path / "keys", "witness": tmp_path / "witness", "clock": clock}
    rule = rules(opened={"metric": "breaker_openings", "above": 0, "over": "1h"})
    with (
        Ledger.open(tmp_path / "ledger", **where, views=views()) as one,
        Ledger.open(tmp_path / "ledger", **where, views=views()) as other,
    ):
        changed = events.BreakerChanged(
            name="shop", version=1, state="open", failures=[], until="", openings=1, probes=[], why=""
        )
        one.append([Draft(POLICY, changed)])
        together = threading.Barrier(8)
        told: list[int] = []

        def look(ledger: Ledger) -> None:
            process = Watch(ledger, clock, Rules(rule))
            together.wait()
            told.append(len(process.look()))

        threads = [threading.Thread(target=look, args=(ledger,)) for ledger in (one, other) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(told) == 1
        assert [record.type for record in one.read(POLICY)] == ["breaker.changed", "alert.fired"]


def test_whoever_decided_on_something_older_writes_nothing() -> None:
    """Between the look and the append another process has written the same change, with another value."""

    class Late(Watch):
        def look(self, *, now: bool = False) -> list[Any]:
            changes = evaluate(self._log, self._clock.now(), rules(failing=FAILING))
            fail(shelf, 1)
            assert len(watch(shelf, failing=FAILING).look()) == 1
            return [one for one in changes if self.write(one)]

    shelf = Shelf()
    fail(shelf, 3)
    assert Late(shelf.ledger, shelf.clock, rules(failing=FAILING)).look() == []
    assert kinds(shelf) == ["alert.fired"]


def test_it_fires_only_after_it_held_for_long_enough() -> None:
    """Across restarts: when it began to hold is in the ledger too. What is over sooner is told to nobody."""
    shelf = Shelf()
    rule = {"metric": "queued", "above": 1, "for": "10min"}
    shelf.add("run-1")
    shelf.add("run-2")
    watch(shelf, failing=rule).look()
    assert state(shelf) == "pending"
    shelf.later(minutes=9)
    watch(shelf, failing=rule).look()
    assert state(shelf) == "pending"
    shelf.lease("run-1")
    watch(shelf, failing=rule).look()
    assert state(shelf) == "clear"
    shelf.add("run-3")
    watch(shelf, failing=rule).look()
    shelf.later(minutes=10)
    watch(shelf, failing=rule).look()
    assert state(shelf) == "firing"
    shelf.lease("run-2")
    watch(shelf, failing=rule).look()
    assert state(shelf) == "firing", "one is neither above one nor a tenth below it"
    shelf.lease("run-3")
    watch(shelf, failing=rule).look()
    assert state(shelf) == "clearing"
    shelf.later(minutes=10)
    watch(shelf, failing=rule).look()
    assert state(shelf) == "clear"
    assert kinds(shelf) == [*["alert.turned"] * 3, "alert.fired", "alert.turned", "alert.cleared"]


def test_a_value_at_the_threshold_does_not_flap() -> None:
    """Between the threshold and a tenth below it nothing changes."""
    shelf = Shelf()
    here = watch(shelf, failing={"metric": "queued", "above": 9})
    for number in range(10):
        shelf.add(f"run-{number}")
    here.look(now=True)
    for number in range(4):
        shelf.lease(f"run-{number}")  # 9 are left
        shelf.add(f"more-{number}")  # and 10 again
        here.look(now=True)
    shelf.lease("run-4")
    here.look(now=True)
    assert (state(shelf), kinds(shelf)) == ("firing", ["alert.fired"])
    shelf.lease("run-5")
    here.look(now=True)
    assert kinds(shelf) == ["alert.fired", "alert.cleared"]


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["fail", "succeed", "minutes", "hours", "look", "restart"]), max_size=25))
def test_what_fired_and_what_cleared_alternate(told: list[str]) -> None:
    """Whatever happens: never two of one kind in a row, and nothing cleared that had not fired."""
    shelf = Shelf()
    rule = {"metric": "success_share", "below": 0.7, "over": "2h", "at_least": 2, "for": "5min"}
    here = watch(shelf, failing=rule)
    for action in told:
        match action:
            case "fail":
                fail(shelf, 1)
            case "succeed":
                succeed(shelf, 2)
            case "minutes" | "hours":
                shelf.later(**{action: 7 if action == "minutes" else 1})
            case "restart":
                here = watch(shelf, failing=rule)
        here.look(now=True)
    said = [kind for kind in kinds(shelf) if kind != "alert.turned"]
    assert said == (["alert.fired", "alert.cleared"] * len(said))[: len(said)]
    assert shelf.ledger.compare_views() == []


def test_few_cases_say_nothing() -> None:
    """One failed run of one is no rate, and an empty night neither fires nor clears."""
    shelf = Shelf()
    rule = {"metric": "success_share", "below": 0.9, "over": "1h", "at_least": 4}
    fail(shelf, 3)
    watch(shelf, failing=rule).look()
    assert kinds(shelf) == []
    fail(shelf, 1)
    watch(shelf, failing=rule).look()
    assert state(shelf) == "firing"
    shelf.later(hours=2)
    watch(shelf, failing=rule).look()
    assert state(shelf) == "firing"
    assert "too few" in Lookout(shelf.ledger, shelf.clock.now()).look(rules(x=rule)["x"]).text
    succeed(shelf, 4)
    watch(shelf, failing=rule).look()
    assert state(shelf) == "clear"


def test_a_share_near_one_can_clear() -> None:
    """A tenth above 95 % is no share; half of what is left is."""
    shelf = Shelf()
    rule = {"metric": "success_share", "below": 0.95, "over": "1h"}
    look = Lookout(shelf.ledger, shelf.clock.now()).look(rules(x=rule)["x"])
    assert look.clears_at == pytest.approx(0.975)


@pytest.mark.parametrize(("rule", "fires"), [({"rises": 50}, True), ({"falls": 50}, False)])
def test_a_trend_is_told_against_the_days_before(rule: dict[str, float], fires: bool) -> None:
    """Two failures a day, then four: a rise of a hundred percent."""
    shelf = Shelf()
    told = {"metric": "runs_failed", "over": "24h", "against": "3d", **rule}
    for _ in range(4):
        fail(shelf, 2)
        shelf.later(days=1)
    here = watch(shelf, failing=told)
    here.look(now=True)
    assert kinds(shelf) == (["alert.fired"] if not fires else []), "today nothing has failed yet"
    fail(shelf, 4)
    here.look(now=True)
    assert state(shelf) == ("firing" if fires else "clear")
    look = Lookout(shelf.ledger, shelf.clock.now()).look(rules(x=told)["x"])
    assert (look.value, look.before) == (pytest.approx(100.0), pytest.approx(2.0))


def test_a_young_ledger_has_no_trend() -> None:
    """What is compared with must lie behind the ledger's first day, or everything would rise at first."""
    shelf = Shelf()
    told = {"metric": "runs_failed", "rises": 10, "over": "24h", "against": "7d"}
    for _ in range(3):
        fail(shelf, 2)
        shelf.later(days=1)
    fail(shelf, 50)
    look = Lookout(shelf.ledger, shelf.clock.now()).look(rules(x=told)["x"])
    assert (look.value, look.holds, look.is_over) == (None, False, False)
    assert "nothing yet" in look.text


def test_a_rule_that_is_taken_out_clears_its_alert() -> None:
    """With that as the reason; one that was only pending is told to nobody."""
    shelf = Shelf()
    fail(shelf, 3)
    shelf.add("waiting")
    slow = {"metric": "queued", "above": 0, "for": "1h"}
    watch(shelf, failing=FAILING, slow=slow).look()
    assert {state(shelf), state(shelf, "slow")} == {"firing", "pending"}
    changes = watch(shelf).look()
    assert [type(one) for one in changes] == [events.AlertCleared, events.AlertTurned]
    assert isinstance(changes[0], events.AlertCleared)
    assert changes[0].text == GONE
    assert {state(shelf), state(shelf, "slow")} == {"clear"}
    assert watch(shelf).look() == []


def test_rules_of_another_file_are_left_alone() -> None:
    """Two projects share a ledger: the one does not take out what the other asks for, and where both have a rule of
    one name, neither clears nor hides the other's."""
    shelf = Shelf()
    here = Watch(shelf.ledger, shelf.clock, Rules(rules(failing=FAILING, slow=SLOW), "/here/daybreak.toml"))
    there = Watch(shelf.ledger, shelf.clock, Rules(rules(failing={**FAILING, "above": 4}), "/there/daybreak.toml"))
    nowhere = Watch(shelf.ledger, shelf.clock, Rules({}))
    fail(shelf, 3)
    shelf.add("waiting")
    assert [len(one.look(now=True)) for one in (here, there, nowhere) * 2] == [2, 0, 0, 0, 0, 0]
    fail(shelf, 2)
    assert [len(one.look(now=True)) for one in (here, there, nowhere) * 2] == [0, 1, 0, 0, 0, 0]
    fired = [one for one in standing(shelf.ledger) if one.state == "firing"]
    assert [(one.alert, one.rules) for one in fired] == [
        ("failing", "/here/daybreak.toml"),
        ("failing", "/there/daybreak.toml"),
    ]
    gone = Watch(shelf.ledger, shelf.clock, Rules({}, "/there/daybreak.toml")).look()
    assert [(type(one), one.rules) for one in gone] == [(events.AlertCleared, "/there/daybreak.toml")]
    assert {one.rules for one in standing(shelf.ledger) if one.fires} == {"/here/daybreak.toml"}
    assert shelf.ledger.compare_views() == []


def test_a_process_that_lives_longer_than_its_settings_undoes_nothing() -> None:
    """A server asks for its rules at each look: one that began before an alert was named does not clear it. Where
    settings cannot be used nobody knows what is gone."""
    shelf = Shelf()
    told: list[Rules | None] = [
        Rules(rules(failing=FAILING), "f"),
        None,
        Rules(rules(failing=FAILING), "f"),
        Rules({}, "f"),
    ]
    server = Watch(shelf.ledger, shelf.clock, lambda: told.pop(0))
    fail(shelf, 3)
    assert [[type(one) for one in server.look(now=True)] for _ in range(4)] == [
        [events.AlertFired],
        [],
        [],
        [events.AlertCleared],
    ]


def test_between_two_looks_lies_a_minute() -> None:
    """A beat comes every few seconds, and costs nothing then."""
    shelf = Shelf()
    fail(shelf, 3)
    here = watch(shelf, failing=FAILING)
    assert here.is_due
    assert len(here.look()) == 1
    shelf.later(seconds=59)
    assert not here.is_due
    shelf.later(seconds=1)
    assert here.is_due


def test_every_metric_that_settings_know_is_measured() -> None:
    """On an empty ledger and on one where something happened; none is left out, and counts are numbers also then."""
    assert {*MEASURES, *MOMENTS} == set(get_args(AlertMetric))
    assert set(MOMENTS) == MOMENTARY
    for shelf in (Shelf(), Shelf()):
        for metric in get_args(AlertMetric):
            rule = Alert.model_validate({"metric": metric, "above": 1e9})
            look = Lookout(shelf.ledger, shelf.clock.now()).look(rule)
            assert not look.holds
            assert look.value is not None or metric not in MEASURES or not MEASURES[metric].adds_up
        succeed(shelf, 2)
        shelf.call("run-1")
        shelf.put(NIGHTS, events.NightBegan(night="night-1", host="h", pid=1, workers=1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('metric = "sucess_share"\nbelow = 1', "metric: is one of 'success_share'"),
        ('metric = "money_usd"', "one of the four is needed, and only one; here: none"),
        ('metric = "money_usd"\nabove = 1\nrises = 2', "here: above, rises"),
        ('metric = "queued"\nrises = 2', "has no trend"),
        ('metric = "queued"\nabove = 2\nover = "3h"', "over: queued is of one moment"),
        ('metric = "money_usd"\nabove = nan', "above: is no number"),
        ('metric = "money_usd"\nabove = 1\nover = "90min"', "over: is whole hours"),
        ('metric = "money_usd"\nrises = 1\nover = "5h"', "against: is a multiple of over"),
        ('metric = "money_usd"\nabove = 1\nagainst = "7d"', "against: goes with rises or falls"),
        ('metric = "money_usd"\nabove = 1\nfor = "soon"', "for: is a span of time"),
        ('metric = "money_usd"\nabove = 1\nfor = "8d"', "for: is at most 7d"),
        ('metric = "money_usd"\nabove = 1\nclears_at = 2', "clears_at: 2 is above the threshold 1"),
        ('metric = "money_usd"\nfalls = 20\nclears_at = -30', "clears_at: -30 is below the threshold -20"),
        ('metric = "money_usd"\nabove = 1\nseverty = "info"', "severty: is not known; did you mean severity?"),
    ],
)
def test_a_rule_that_cannot_be_is_told_when_it_is_read(tmp_path: Path, text: str, said: str) -> None:
    """With what is wrong and where; nothing is guessed."""
    file = tmp_path / "daybreak.toml"
    file.write_text(f"[alerts.mine]\n{text}\n")
    with pytest.raises(SettingsWrong) as wrong:
        read(file)
    assert "alerts.mine" in wrong.value.message
    assert said in wrong.value.message


def test_spans_are_seconds() -> None:
    """One unit, or none."""
    assert [span_s(text) for text in ("", "30s", "10min", "24h", "7d")] == [0, 30, 600, 86_400, 604_800]
