"""What the pages ledger, trends, schedules, notes and health show, without a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from tests.page_scene import COLOURED, HELD_OUT, LONG, SCRIPT, SECRET, TURNED
from tests.unit.metrics_shelf import Shelf

from daybreak import events
from daybreak.engine.queue import Queue
from daybreak.engine.schedules import Schedules, ScheduleUnknown, TaskTemplate
from daybreak.engine.window import Schedule, ScheduleWrong
from daybreak.errors import LedgerError
from daybreak.home import views
from daybreak.ledger import Draft, Ledger
from daybreak.report import metrics
from daybreak.testing.clock import FakeClock
from daybreak.web.pages import browsing, charts, explain, health, notes, reading, schedules, text, trends, withheld
from daybreak.web.pages.browsing import Listing, Streams, Wanted
from daybreak.web.pages.withheld import NOT_SHOWN, Sees
from daybreak.web.problems import NotThere

ALL = Sees(words=True, examples=True)
WORDS = Sees(words=True)
TURNS = 137


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(
        tmp_path / "ledger",
        keys=tmp_path / "keys",
        witness=tmp_path / "witness",
        clock=FakeClock(),
        views=views(),
    ) as opened:
        yield opened


def of(stream: str, event: events.Event) -> Draft:
    return Draft(stream, event, epoch=0 if stream.startswith("run:") else None)


def turns(ledger: Ledger, count: int = TURNS, stream: str = "run:run-a") -> None:
    ledger.append(
        [of(stream, events.AttemptTurn(run="run-a", attempt=1, nth=number, data=None)) for number in range(count)]
    )


class Watched:
    """Passes questions on and keeps them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self.asked = ledger, list[tuple[str, Sequence[Any]]]()

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.asked.append((sql, params))
        return self._ledger.query(sql, params)


# -- the list of events


def walk(ledger: Ledger, wanted: Wanted, lines: int = 10) -> list[Listing]:
    """Every page from the newest on."""
    pages = [browsing.page(ledger, wanted, ALL, lines=lines)]
    while (before := pages[-1].older) is not None:
        pages.append(browsing.page(ledger, Wanted(wanted.stream, wanted.type, before), ALL, lines=lines))
    return pages


@pytest.mark.parametrize(
    "wanted", [Wanted(), Wanted(stream="run:run-a"), Wanted(type="attempt.turn"), Wanted("run:run-a", "attempt.turn")]
)
def test_pages_show_every_event_once_newest_first_and_lead_back_up(
    ledger: Ledger, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsing, "STRETCH", 25)
    turns(ledger)
    pages = walk(ledger, wanted)
    found = [one.index for page in pages for one in page.lines]
    first = 0 if not (wanted.stream or wanted.type) else 1  # event 0 is the ledger's own
    assert found == list(range(TURNS, first - 1, -1))
    up, seen = pages[-1], [one.index for one in pages[-1].lines]
    while up.newer is not None:
        up = browsing.page(ledger, Wanted(wanted.stream, wanted.type, after=up.newer), ALL, lines=10)
        seen = [*(one.index for one in up.lines), *seen]
    assert seen == found


def test_a_rare_type_is_sought_a_stretch_at_a_time_and_the_page_says_which(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsing, "STRETCH", 20)
    ledger.append([Draft(events.QUEUE, events.QueuePaused())])
    turns(ledger, 50)
    pages = walk(ledger, Wanted(type="queue.paused"))
    assert [page.looked for page in pages] == [(32, 51), (12, 31), (0, 11)]
    assert [one.index for page in pages for one in page.lines] == [1]
    assert pages[0].lines == ()
    assert pages[0].older == 32


def test_no_question_of_the_list_goes_through_the_whole_ledger(ledger: Ledger) -> None:
    """shows: N10 at a million events a page asks what it asks at ten"""
    turns(ledger)
    watched = Watched(ledger)
    for wanted in (
        Wanted(),
        Wanted("run:run-a"),
        Wanted(type="x"),
        Wanted("run:run-a", "x", before=50),
        Wanted(after=3),
    ):
        browsing.page(watched, wanted, ALL)
    browsing.streams(watched, "run")
    browsing.streams(watched, "run-a")
    reading.find(watched, "run:run-a#4")
    for sql, params in watched.asked:
        plan = " ".join(str(row[3]) for row in ledger.query(f"EXPLAIN QUERY PLAN {sql}", params))
        assert "SCAN" not in plan, (sql, plan)


def test_a_stream_is_found_by_its_name_a_run_or_the_beginning_of_either(ledger: Ledger) -> None:
    for stream in ("run:run-aa1", "run:run-aa2", "run:run-b1", "control:run-b1"):
        turns(ledger, 1, stream)
    assert browsing.streams(ledger, "run-b1") == Streams("run:run-b1")
    assert browsing.streams(ledger, "run-b") == Streams("run:run-b1")
    assert browsing.streams(ledger, "control:run") == Streams("control:run-b1")
    assert browsing.streams(ledger, "run-aa") == Streams(near=("run:run-aa1", "run:run-aa2"))
    assert browsing.streams(ledger, SCRIPT) == Streams()
    assert browsing.streams(ledger, "") == Streams()


@pytest.mark.parametrize("typed", ["", "x", "-1", "1.5", "٣", "9" * 400, "0x10"])
def test_what_is_no_place_is_no_place(ledger: Ledger, typed: str) -> None:
    assert browsing.number(typed) is None
    assert reading.find(ledger, typed) is None
    assert browsing.page(ledger, Wanted(before=browsing.number("9" * 15))).top == 0


def seen(ledger: Ledger, index: int, sees: Sees) -> tuple[str, str]:
    """An event as the list and as its own page have it."""
    (line,) = browsing.page(ledger, Wanted(before=index + 1), sees, lines=1).lines
    return line.says, reading.read(ledger, index, sees).said.text


def told(ledger: Ledger, event: events.Event, sees: Sees) -> tuple[str, str]:
    (record,) = ledger.append([of("run:run-a", event)])
    return seen(ledger, record.index, sees)


HOLDERS = [
    events.TaskAdded(task="t", run="run-a", kind="build", title="t", args={"text": HELD_OUT}),
    events.CheckLooked(run="run-a", attempt=1, held_out=True, evidence={"output": HELD_OUT}),
    events.StepDone(run="run-a", branch="", name="look", nth=0, args="", result={"output": HELD_OUT}),
    events.SpecificationDrafted(run="run-a", attempt=1, worker="w", blob="", name="n", text=HELD_OUT),
    events.ScheduleSet(name="n", schedule={}, task={"args": {"text": HELD_OUT}}, since=""),
    events.GateDecided(
        run="run-a",
        attempt=1,
        workspace="w",
        verdict="failed",
        score=1,
        reasons=[f"example:0123456789ab failed: {HELD_OUT}"],
    ),
]


@pytest.mark.parametrize("event", HOLDERS, ids=lambda one: one.type)
def test_acceptance_examples_are_shown_only_to_whoever_may_see_them(ledger: Ledger, event: events.Event) -> None:
    """shows: N2"""
    (record,) = ledger.append([of("queue" if isinstance(event, events.TaskAdded) else "run:run-a", event)])
    for sees in (Sees(), WORDS):
        assert all(HELD_OUT not in one for one in seen(ledger, record.index, sees))
    assert HELD_OUT in seen(ledger, record.index, ALL)[1]


def test_an_example_that_is_not_held_out_is_evidence_like_any_other(ledger: Ledger) -> None:
    event = events.CheckLooked(run="run-a", attempt=1, held_out=False, evidence={"output": "41 passed"})
    assert all("41 passed" in one for one in told(ledger, event, WORDS))


def test_what_a_newer_version_wrote_is_shown_only_to_whoever_may_see_everything() -> None:
    assert withheld.fields("thing.of.tomorrow", {"x": HELD_OUT}, WORDS) == NOT_SHOWN
    assert withheld.fields("thing.of.tomorrow", {"x": HELD_OUT}, ALL) == {"x": HELD_OUT}


def test_no_payload_is_shown_without_the_right_to_evidence(ledger: Ledger) -> None:
    says, text = told(ledger, events.AttemptTurn(run="run-a", attempt=1, nth=0, data="hello"), Sees())
    assert (says, text) == ("", "")


def test_secrets_are_shown_to_nobody_and_nothing_steers_the_reader(ledger: Ledger) -> None:
    data = {"note": f"{SECRET} {TURNED} {COLOURED}", "password": "Xk29qQz81mmPlw"}
    for one in told(ledger, events.AttemptTurn(run="run-a", attempt=1, nth=0, data=data), ALL):
        assert SECRET[:40] not in one
        assert "\u202e" not in one
        assert "\x1b" not in one
        assert "invoice" in one or "redacted" in one


def test_a_secret_that_a_cut_would_halve_is_gone_all_the_same(ledger: Ledger) -> None:
    text = "y" * (reading.TEXT_CHARACTERS - 30) + " " + SECRET + "z" * 50
    _, shown = told(ledger, events.AttemptTurn(run="run-a", attempt=1, nth=0, data=text), ALL)
    assert SECRET[:20] not in shown


def test_a_megabyte_in_one_line_is_told_of_and_not_shown(ledger: Ledger) -> None:
    (record,) = ledger.append([of("run:run-a", events.AttemptTurn(run="run-a", attempt=1, nth=0, data=LONG * 2))])
    found = reading.read(ledger, record.index, ALL)
    assert found.said.text == ""
    assert "too long" in found.said.why
    assert browsing.page(ledger, Wanted("run:run-a"), ALL).lines[0].marks == ("large",)


# -- one event


def test_an_event_has_its_chain_its_neighbours_and_a_path_that_holds(ledger: Ledger) -> None:
    turns(ledger, 5)
    found = reading.read(ledger, 3, ALL)
    assert (found.stream, found.seq, found.before, found.behind) == ("run:run-a", 2, 2, 4)
    assert found.prev == reading.read(ledger, 2, ALL).leaf
    assert found.path is not None
    assert found.path.holds
    assert found.path.root == ledger.head().root.hex()
    assert reading.read(ledger, 1, ALL).before is None
    with pytest.raises(reading.Missing):
        reading.read(ledger, 6, ALL)


@pytest.mark.parametrize(
    "column", ["payload = x'7b7d'", "header = x'7b7d'", "header = x'00ff'", "header = x''", "payload = NULL"]
)
def test_an_event_that_somebody_changed_is_refused_and_the_list_goes_on(ledger: Ledger, column: str) -> None:
    turns(ledger, 2)
    other = apsw.Connection(str(ledger.directory / "ledger.db"))
    trigger = other.execute("SELECT sql FROM sqlite_schema WHERE name = 'event_stays'").fetchall()[0][0]
    other.execute("DROP TRIGGER event_stays")
    other.execute(f"UPDATE event SET {column} WHERE leaf = 1")
    other.execute(trigger)
    other.close()
    assert [one.index for one in browsing.page(ledger, Wanted(), ALL).lines] == [2, 1, 0]
    with pytest.raises(LedgerError):
        reading.read(ledger, 1, ALL)


def test_what_is_sealed_stays_sealed_on_a_page(ledger: Ledger) -> None:
    given = events.Signalled(run="run-a", name="mail", value="hello Anna")
    (record,) = ledger.append([Draft("control:run-a", given, subject="anna@example.org")])
    found = reading.read(ledger, record.index, ALL)
    assert found.sealed == "about somebody"
    assert "Anna" not in msgspec.json.encode(found).decode()
    assert "anna" not in msgspec.json.encode(found).decode()
    (line,) = browsing.page(ledger, Wanted("control:run-a"), ALL).lines
    assert (line.says, line.marks) == ("", ("sealed",))


# -- codes as links


def test_codes_become_links_and_everything_else_is_escaped() -> None:
    made = explain.linked(f"{SCRIPT} L149 and Z999 and xL149")
    assert '<a href="/explain/L149">L149</a> and Z999 and xL149' in made
    assert "<script" not in made
    assert "<img" not in made


def test_a_text_with_a_secret_is_linked_without_it() -> None:
    assert SECRET not in explain.linked(f"L149 {SECRET}")


def test_every_code_of_the_catalogue_has_a_page_and_no_other_word_has() -> None:
    found = explain.explained("l149")
    assert found is not None
    assert found.entry.code == "L149"
    assert explain.explained("Z999") is None


# -- trends


def days(shelf: Shelf, count: int) -> trends.Model:
    return trends.model(shelf.ledger, count, shelf.clock.now())


def test_days_where_nothing_happened_are_no_zero_percent() -> None:
    shelf = Shelf()
    told = days(shelf, 7)
    assert [chart.empty for chart in told.charts] == [True] * 5
    assert told.charts[0].rows[0].cells[0].value is None
    assert (told.success, told.took, told.league) == ("–", "–", ())


def test_the_table_beneath_a_chart_has_every_day_and_every_series() -> None:
    shelf = Shelf()
    for number, verdict in enumerate(("passed", "failed", "passed")):
        run = f"run-{number}"
        shelf.add(run)
        shelf.lease(run)
        shelf.move(run, "running")
        shelf.later(minutes=2)
        shelf.judge(
            run, worker=SCRIPT[:40], solved=verdict == "passed", trouble="" if verdict == "passed" else "stalled"
        )
        shelf.gate(run, verdict)
        shelf.move(
            run, "done" if verdict == "passed" else "failed", **({} if verdict == "passed" else {"code": "E199"})
        )
    told = days(shelf, 14)
    for chart in told.charts:
        assert len(chart.rows) == 14
        assert all(len(row.cells) == len(chart.series) for row in chart.rows)
    assert told.success == "67 %"
    assert told.charts[1].rows[-1].cells[0].value == 2
    assert "stalled" in told.charts[4].says or "E199" in told.charts[4].says
    (place,) = told.league
    assert place.low < place.middle < place.high
    assert place.solved == "2 of 3"


def test_many_kinds_of_failure_become_six_and_all_others_and_nothing_is_lost() -> None:
    kinds = {f"error E{number}": 20 - number for number in range(100, 90, -1)}
    day = metrics.trends(Shelf().ledger, 1, now=datetime(2026, 1, 2, tzinfo=UTC)).days[0]
    day = type(day)(
        **{**{name: getattr(day, name) for name in day.__slots__}, "failures": {k: abs(v) for k, v in kinds.items()}}
    )
    chart = charts.failures(metrics.Trends("", [day], day))
    assert len(chart.series) == charts.SERIES_MAX
    assert chart.series[-1] == charts.OTHERS
    assert sum(cell.value or 0 for cell in chart.rows[0].cells) == sum(day.failures.values())


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.0, "100 %"), (0.0, "0 %"), (0.999, "99.90 %"), (0.001, "0.10 %"), (None, "–"), (0.667, "67 %")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(value: float | None, words: str) -> None:
    assert charts.share(value) == words


# -- schedules


@pytest.fixture
def planned(ledger: Ledger) -> tuple[Schedules, FakeClock]:
    clock = FakeClock()
    made = Schedules(ledger, clock, Queue(ledger, clock, lambda count: bytes(count)))
    task = TaskTemplate(kind="command", title=SCRIPT[:200], args={"text": HELD_OUT})
    made.set("backup", Schedule(cron="0 2 * * *", zone="UTC"), task)
    return made, clock


def test_a_schedule_tells_what_comes_what_came_and_why_not(
    ledger: Ledger, planned: tuple[Schedules, FakeClock]
) -> None:
    made, clock = planned
    clock.advance(timedelta(days=3).total_seconds())
    made.look(clock.now())
    (line,) = schedules.model(made, ledger, clock.now()).lines
    assert line.when == "every day at 02:00 UTC"
    assert len(line.coming) == schedules.COMING
    assert line.skipped == 2
    assert {one.why for one in line.past if not one.run} == {"missed; only the newest is caught up"}
    assert HELD_OUT not in repr(line)


def test_a_removed_schedule_is_set_again_as_it_was_and_runs_nothing_that_came_meanwhile(
    ledger: Ledger, planned: tuple[Schedules, FakeClock]
) -> None:
    made, clock = planned
    made.remove("backup")
    told = schedules.model(made, ledger, clock.now())
    assert (told.lines, [one.name for one in told.gone]) == ((), ["backup"])
    clock.advance(timedelta(days=3).total_seconds())
    row = schedules.stored(ledger, "backup")
    template = row.template
    made.set("backup", row.schedule, TaskTemplate(**{key: template[key] for key in ("kind", "title", "args", "place")}))
    assert made.look(clock.now()) == []
    (line,) = schedules.model(made, ledger, clock.now()).lines
    assert line.title == SCRIPT[:200]
    with pytest.raises(ScheduleUnknown):
        schedules.stored(ledger, "backup")


def test_a_schedule_of_another_shape_is_told_of_and_keeps_no_other_from_its_windows(
    ledger: Ledger, planned: tuple[Schedules, FakeClock]
) -> None:
    """shows: N10 what is stored never makes a page fail, nor a look that a night takes"""
    made, clock = planned
    times = {"cron": "0 * * * *", "zone": "UTC"}
    task = {"kind": "command", "title": "x", "args": {}, "place": {}}
    odd: tuple[tuple[dict[str, Any], dict[str, Any], str], ...] = (
        ({"cron": 7}, task, "2026-01-01T00:00:00Z"),
        (times, {}, "2026-01-01T00:00:00Z"),
        (times, {**task, "title": None}, "2026-01-01T00:00:00Z"),
        (times, {**task, "place": 7}, "2026-01-01T00:00:00Z"),
        (times, task, "nonsense"),
    )
    for number, (schedule, kept, since) in enumerate(odd):
        event = events.ScheduleSet(name=f"odd{number}", schedule=schedule, task=kept, since=since)
        ledger.append([Draft(events.SCHEDULES, event)])
    clock.advance(timedelta(days=3).total_seconds())
    assert {one.schedule for one in made.look(clock.now())} == {"backup"}
    told = schedules.model(made, ledger, clock.now())
    assert [one.name for one in told.lines] == ["backup"]
    assert [name for name, _ in told.broken] == [f"odd{number}" for number in range(len(odd))]
    for number in range(len(odd)):
        made.remove(f"odd{number}")
    assert len(schedules.model(made, ledger, clock.now()).gone) == len(odd)
    with pytest.raises(ScheduleWrong):
        schedules.stored(ledger, "odd1")


def test_what_a_run_of_a_schedule_asks_says_nothing_of_examples_to_most(
    ledger: Ledger, planned: tuple[Schedules, FakeClock]
) -> None:
    made, clock = planned
    run = made.force("backup").run
    asked = events.RunMoved(run=run, old="running", new="parked", question=f"example:0123456789ab failed: {HELD_OUT}")
    for one in (
        events.LeaseGranted(run=run, owner="own-a", host="mill", pid=1, night="night-1"),
        events.RunMoved(run=run, old="queued", new="leased"),
        events.RunMoved(run=run, old="leased", new="running"),
        asked,
    ):
        ledger.append([Draft(f"run:{run}", one, epoch=1)])
    assert HELD_OUT not in repr(schedules.model(made, ledger, clock.now(), WORDS))
    assert HELD_OUT in repr(schedules.model(made, ledger, clock.now(), ALL))


# -- what every page does with a text


def test_no_text_is_printed_with_a_secret_in_it_or_half_of_one() -> None:
    """shows: N10"""
    for told in (SECRET, f"a {SECRET} b", "x " * 980 + SECRET + " y" * 9_000, f"{SECRET} " * 3_000):
        assert SECRET[:40] not in text.harmless(told)
    assert text.harmless("y " * 1_500) == "y " * 1_000 + "… (1,000 more characters)"
    assert text.harmless("a run " + "ab" * 32) == "a run " + "ab" * 32


@pytest.mark.parametrize("sees", [WORDS, ALL])
def test_what_is_nested_deeply_is_shown_as_far_as_a_page_can(ledger: Ledger, sees: Sees) -> None:
    deep: Any = HELD_OUT
    for _ in range(500):
        deep = [deep]
    ledger.append([of("run:run-a", events.AttemptTurn(run="run-a", attempt=1, nth=0, data=deep))])
    assert withheld.TOO_DEEP in reading.read(ledger, 1, sees).said.text
    (line, *_) = browsing.page(ledger, Wanted(), sees).lines
    assert line.index == 1


# -- notes


def note(folder: Path, name: str, title: str, verified: str = "2026-11-20") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    head = f"---\nversion: 1\nupdated: 2026-01-01\nverified_on: {verified}\nconfidence: 0.8\n---\n"
    (folder / name).write_text(f"{head}# {title}\nIt answers 429.\n")


def test_notes_that_are_due_come_first_and_broken_ones_are_told(tmp_path: Path) -> None:
    note(tmp_path, "a.md", "fresh")
    note(tmp_path, "b.md", SCRIPT, verified="2026-01-02")
    (tmp_path / "c.md").write_text("nothing")
    found = notes.notes_in(tmp_path, date(2026, 11, 22))
    assert [(one.name, bool(one.stale)) for one in found.lines] == [("b.md", True), ("a.md", False)]
    assert [name for name, _ in found.problems] == ["c.md"]
    assert [one.name for one in notes.notes_in(tmp_path, date(2026, 11, 22), ["fresh", "429"]).lines] == ["a.md"]
    assert not notes.notes_in(tmp_path / "nowhere", date(2026, 11, 22)).there
    assert not notes.notes_in(None, date(2026, 11, 22)).there


@pytest.mark.parametrize("name", ["../a.md", "/etc/passwd", "a.md/../../x", "", "b.md\0", "A.MD"])
def test_only_a_note_of_the_folder_is_opened(tmp_path: Path, name: str) -> None:
    note(tmp_path / "notes", "a.md", "fresh")
    note(tmp_path, "a.md", "outside")
    assert notes.named(tmp_path / "notes", "a.md") == tmp_path / "notes" / "a.md"
    with pytest.raises(NotThere):
        notes.named(tmp_path / "notes", name)


# -- health


def test_open_incidents_come_first_and_no_more_than_a_page_of_them(ledger: Ledger) -> None:
    count = health.OPEN_MOST + 3
    ledger.append(
        [
            Draft(
                events.POLICY, events.IncidentRaised(incident=f"inc-{number}", kind="key_exposed", level=1 + number % 3)
            )
            for number in range(count)
        ]
    )
    ledger.append([Draft(events.POLICY, events.IncidentClosed(incident="inc-0", why="a test"))])
    found = health.incidents(ledger)
    assert len(found.open) == health.OPEN_MOST
    assert found.more == 2
    assert [one.level for one in found.open] == sorted((one.level for one in found.open), reverse=True)
    assert [one.why for one in found.closed] == ["a test"]


def test_breakers_that_are_open_come_first(ledger: Ledger) -> None:
    for name, state in (("a", "closed"), ("b", "open")):
        changed = events.BreakerChanged(
            name=name, version=1, state=state, failures=[], until="", openings=0, probes=[], why=""
        )
        ledger.append([Draft(events.POLICY, changed)])
    assert [one.name for one in health.breakers(ledger)] == ["b", "a"]


def test_files_with_names_that_cannot_be_printed_are_told_of_and_stop_nothing(tmp_path: Path) -> None:
    note(tmp_path, "a.md", "fresh")
    for name in (b"bad\xff.md", "turned\u202e.md".encode(), b"two\nlines.md"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("x")
    (tmp_path / "link.md").symlink_to("/etc/passwd")
    (tmp_path / "below").symlink_to("/etc")
    told = notes.notes_in(tmp_path, date(2026, 11, 22))
    assert [one.name for one in told.lines] == ["a.md"]
    assert [name for name, _ in told.problems] == ["'bad\\udcff.md'", "'turned\\u202e.md'", "'two\\nlines.md'"]


def test_a_folder_with_too_many_notes_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        note(tmp_path, f"{number}.md", "x")
    monkeypatch.setattr("daybreak.memory.notes.FILES_MAX", 3)
    told = notes.notes_in(tmp_path, date(2026, 11, 22))
    assert told.lines == ()
    assert "more than 3 notes" in told.problems[0][1]
    with pytest.raises(NotThere):
        notes.named(tmp_path, "0.md")


def test_the_address_that_reports_and_notices_give_for_a_run_is_that_of_its_page() -> None:
    """They are written far from the pages, by parts that know none."""
    from daybreak.report.morning import cards
    from daybreak.report.notify import wording
    from daybreak.web.pages.run import router

    assert "/runs/{run}" in {getattr(route, "path", "") for route in router.routes}
    for module in (cards, wording):
        assert module.__file__ is not None
        assert "runs/{" in Path(module.__file__).read_text("utf-8")
