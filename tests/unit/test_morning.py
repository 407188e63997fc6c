"""The morning report: what it says, what it never says, and how anybody can see that nobody changed it."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from tests.unit.morning_scene import DUSK, HIDDEN, HOSTILE, SECRET, Scene, attempt, delivered, gate, parked, plan

from daybreak import events
from daybreak.errors import DaybreakError
from daybreak.ledger import Draft, Ledger, Verifier
from daybreak.ledger.proofcheck import NotIncluded, ProofByAnother
from daybreak.policy.redaction import redact
from daybreak.report import morning
from daybreak.report.morning import checking, deriving, html, proofs
from daybreak.report.morning.checking import ReportChanged
from daybreak.report.morning.proofs import ReportUnreadable


@dataclass
class Made:
    scene: Scene
    ledger: Ledger
    runs: dict[str, str]
    source: morning.Source
    report: morning.Morning
    page: bytes
    proof: str

    @property
    def keys(self) -> list[Verifier]:
        return [self.ledger.verifier]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    scene = Scene(tmp_path_factory.mktemp("morning"))
    with scene.ledger() as ledger:
        runs = scene.whole(ledger)
        kept = morning.Kept(size=68, root="dGhl", lines=["witnessed: 60 of 68 events (8 behind)"])
        coming = [morning.Coming(when="2026-03-02T08:00:00Z", what="schedule nightly", run="")]
        now = scene.clock.now() + timedelta(hours=9)
        source, records = morning.gather(ledger, now=now, night="", kept=kept, coming=coming, zone=60)
        facts, proof = proofs.embed(ledger, source, records, report="report-1")
        report = deriving.derive(source)
        yield Made(scene, ledger, runs, source, report, html.render(report, facts, proof).encode(), proof)


def _repacked(made: Made, **changes: Any) -> bytes:
    """A page that somebody made anew from a proof that he changed."""
    proof, _ = proofs.unpack(made.proof)
    proof = msgspec.structs.replace(proof, **changes)
    facts = [checking._fact(one) for one in proof.facts]
    told = deriving.derive(morning.Source(frame=proof.frame, facts=facts))
    seal = [fact for fact in checking._facts(*_opened(made)) if fact.type == "report.made"]
    return html.render(told, [*facts, *seal], proofs.pack(proof)).encode()


def _opened(made: Made) -> Any:
    proof, _ = proofs.unpack(made.proof)
    return proof, checking.check(made.page, made.keys).checkpoint


def test_what_waits_is_first_and_verified_and_claimed_are_never_in_one_list(made: Made) -> None:
    # shows: N2, F16
    told = made.report
    assert {one.run for one in told.decisions} == {made.runs["parked"], made.runs["hostile"]}
    assert [one.run for one in told.verified] == [made.runs["verified"], made.runs["accepted"]]
    assert [one.run for one in told.claimed] == [made.runs["claimed"]]
    assert [one.run for one in told.failed] == [made.runs["failed"], made.runs["secret"]]
    assert told.sentence.index("decision") < told.sentence.index("verified")
    for text in (morning.text.render(told), morning.markdown.render(told), made.page.decode()):
        places = [text.index(word) for word in ("Your decision is needed", "Verified", "Claimed, not verified", "Cost")]
        assert places == sorted(places)


def test_a_parked_question_comes_with_all_that_answers_it(made: Made) -> None:
    asked = next(one for one in made.report.decisions if one.run == made.runs["parked"])
    assert (asked.question, asked.why) == ("JSON or YAML?", "both would do")
    assert asked.commands[0] == f"daybreak answer {asked.run} ANSWER"
    assert [one.worker for one in asked.tried] == ["builder"]
    assert asked.evidence[0].place == f"run:{asked.run}#5"


def test_a_verified_result_says_what_was_shown_and_what_people_said(made: Made) -> None:
    one, other = made.report.verified
    assert (one.shown, one.required, one.held_out, one.held_out_passed) == (3, 3, 1, 1)
    assert (one.output, one.manifest) == ("/home/ada/shop", "b" * 64)
    assert one.commands[0] == f"daybreak accept {one.run}"
    assert [(said.word, said.who, said.text) for said in other.said] == [("accepted", "person ada", "just right")]


def test_what_failed_says_what_was_tried_in_order_and_why_it_stopped(made: Made) -> None:
    failed = made.report.failed[0]
    assert [one.attempt for one in failed.tried] == [1, 2]
    assert all("tests failed: 3 of 9" in one.found for one in failed.tried)
    assert failed.code == "D101"
    assert "no attempt passed" in failed.why
    assert failed.commands[0] == f"daybreak retry {failed.run}"


def test_every_line_names_an_event_that_the_page_holds(made: Made) -> None:
    told = morning.as_json(made.report)
    known = {fact.index: f"{fact.stream}#{fact.seq}" for fact in made.source.facts}
    lists = ("decisions", "verified", "claimed", "failed", "incidents", "breakers", "repairs", "lapses", "notices")
    lines = [line for name in lists for line in told[name]]
    assert lines
    assert all(line["evidence"] for line in lines)
    assert all(known[one["index"]] == one["place"] for line in lines for one in line["evidence"])
    assert all(f'id="e{index}"' in made.page.decode() for index in known)


def test_cost_stands_against_its_budget_and_soft_budgets_are_named(made: Made) -> None:
    night = made.report.cost[0]
    assert night.used == {"money_microusd": 4_250_000, "tokens": 812_000}
    assert night.limit == {"money_microusd": 20_000_000}
    assert any(one.soft and "can spend past its budget" in one.what for one in made.report.cost)
    assert "4.25usd of 20usd (21 %)" in morning.text.render(made.report)


def test_no_secret_and_nothing_of_a_held_out_example_is_in_any_form_or_in_the_proof(made: Made) -> None:
    # shows: N12
    inside = zlib.decompress(base64.b64decode(made.proof.partition(".")[2])).decode()
    forms = [made.page.decode(), inside, morning.text.render(made.report), json.dumps(morning.as_json(made.report))]
    for form in forms:
        assert SECRET not in form
        assert HIDDEN not in form
        assert "17 oranges" not in form
    assert not redact(inside).kinds


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def test_hostile_text_is_text_in_every_form(made: Made) -> None:
    parser = _Tags()
    parser.feed(made.page.decode())
    assert {"script", "iframe", "img", "link", "object", "form"}.isdisjoint(parser.tags)
    assert parser.tags.count("template") == 1
    assert parser.tags.count("style") == 1
    assert not [name for name in parser.attributes if name.startswith("on") or name == "style"]
    for form in (made.page.decode(), morning.text.render(made.report), morning.markdown.render(made.report)):
        assert "\u202e" not in form
        assert "\x1b" not in form
    assert any(one.title == HOSTILE for one in made.report.decisions)
    assert "<script" not in morning.markdown.render(made.report).replace("\\<script", "")


def test_the_page_runs_nothing_and_asks_nobody(made: Made) -> None:
    page = made.page.decode()
    assert "default-src 'none'" in page
    assert "'unsafe-inline'" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_a_saved_page_is_true_with_the_key_alone(made: Made) -> None:
    # shows: N10
    told = checking.check(made.page, made.keys)
    assert told.report == made.report
    assert told.events == len(made.source.facts) + 1
    assert 0 < told.whole < told.events
    assert checking.key_of(made.page) == made.ledger.verifier.text
    assert checking.is_ours(made.page)


def test_a_flipped_bit_at_any_byte_is_noticed(made: Made) -> None:
    # shows: N10
    dice = random.Random(7)
    begin = made.page.index(b"daybreak-proof")
    places = [*range(400), *dice.sample(range(400, begin), 150), *dice.sample(range(begin, len(made.page)), 100)]
    for place in [*places, *range(len(made.page) - 20, len(made.page))]:
        changed = bytearray(made.page)
        changed[place] ^= 1 << dice.randrange(8)
        with pytest.raises(DaybreakError):
            checking.check(bytes(changed), made.keys)


def test_a_page_that_was_cut_or_lengthened_is_noticed(made: Made) -> None:
    for page in (b"", made.page[:-1], made.page[: len(made.page) // 2], made.page + b"\n", made.page * 2, b"\xff" * 9):
        with pytest.raises(DaybreakError):
            checking.check(page, made.keys)


def test_who_changes_a_visible_word_is_found_by_its_line(made: Made) -> None:
    changed = made.page.replace(b"JSON or YAML?", b"JSON or TOML?", 1)
    with pytest.raises(ReportChanged, match=r"line \d+ of the page"):
        checking.check(changed, made.keys)


def test_who_leaves_a_failed_run_out_and_makes_page_and_proof_anew_is_found(made: Made) -> None:
    """The events that are left are all true; the ledger vouched for all of them together."""
    proof, _ = proofs.unpack(made.proof)
    runs = [run for run in proof.frame.runs if run != made.runs["failed"]]
    page = _repacked(made, frame=msgspec.structs.replace(proof.frame, runs=runs))
    with pytest.raises(ReportChanged, match="left out"):
        checking.check(page, made.keys)


def test_who_changes_what_is_said_of_an_event_is_found(made: Made) -> None:
    proof, _ = proofs.unpack(made.proof)
    facts = [
        msgspec.structs.replace(one, said={**one.said, "title": "all is well"})
        if one.said and "title" in one.said
        else one
        for one in proof.facts
    ]
    with pytest.raises(ReportChanged, match="vouched"):
        checking.check(_repacked(made, facts=facts), made.keys)


def test_who_drops_an_event_or_changes_its_payload_is_found(made: Made) -> None:
    proof, _ = proofs.unpack(made.proof)
    with pytest.raises(NotIncluded):
        checking.check(_repacked(made, facts=proof.facts[1:]), made.keys)
    at = next(number for number, one in enumerate(proof.facts) if one.payload)
    lied = msgspec.structs.replace(proof.facts[at], payload='{"run":"x"}')
    changed = msgspec.structs.replace(proof, facts=[*proof.facts[:at], lied, *proof.facts[at + 1 :]])
    page = made.page.replace(made.proof.encode(), proofs.pack(changed).encode())
    with pytest.raises(ReportChanged, match="payload"):
        checking.check(page, made.keys)


def test_a_page_under_another_key_is_another_logs(made: Made, tmp_path: Any) -> None:
    other = Scene(tmp_path)
    with other.ledger() as ledger, pytest.raises(ProofByAnother):
        checking.check(made.page, [ledger.verifier])


def test_a_file_that_is_no_report_is_called_so(made: Made) -> None:
    with pytest.raises(ReportUnreadable, match="no proof in it"):
        checking.check(b"<!doctype html><p>hello", made.keys)
    assert not checking.is_ours(b"my diary")


def test_a_report_without_a_word_begins_with_the_newest_night_else_with_the_last_report(tmp_path: Any) -> None:
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        now = scene.clock.now
        assert morning.collect(ledger, now=now()).night == ""
        made = events.ReportMade(
            report="report-1", digest="0" * 64, facts=0, since="2026-03-01T20:00:00.000000Z",
            until="2026-03-01T20:30:00.000000Z",
        )  # fmt: skip
        ledger.append([Draft(events.REPORTS, made)])
        assert morning.collect(ledger, now=now()).since == "2026-03-01T20:30:00.000000Z"
        scene.begin(ledger)
        run = scene.run(ledger, "a", [gate(), delivered()])
        scene.end(ledger)
        later = scene.run(ledger, "by hand, in the morning", [], night="")
        told = morning.collect(ledger, now=now())
        assert told.night == "night-1"
        assert [one.run for one in (*told.verified, *told.claimed)] == [run, later]
        assert [one.run for one in morning.collect(ledger, now=now(), night="").claimed] == []
        old = morning.collect(ledger, now=now() + timedelta(hours=25))
        assert old.night == ""
        assert old.runs == 0


def test_since_tells_what_moved_since_then_and_every_open_question(tmp_path: Any) -> None:
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        asking = scene.run(ledger, "old question", attempt(1), parked())
        scene.run(ledger, "old result", [gate()])
        between = scene.clock.now()
        new = scene.run(ledger, "new result", [plan(), gate(2), delivered()])
        told = morning.collect(ledger, now=scene.clock.now(), since=between)
        assert [one.run for one in told.decisions] == [asking]
        assert [one.run for one in told.verified] == [new]
        assert told.verified[0].missing == ["F-2"]


def test_a_night_that_died_is_told_with_what_its_next_start_did(tmp_path: Any) -> None:
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        scene.begin(ledger, until="2026-03-02T07:00:00.000000Z")
        one = scene.run(ledger, "one", [gate()])
        scene.end(ledger, why="died", text="")
        scene.begin(ledger, "night-2", went_before="night-1", until="2026-03-02T07:00:00.000000Z")
        two = scene.run(ledger, "two", [gate()], night="night-2")
        now = scene.clock.now()
        told = morning.collect(ledger, now=now, night="", alive=True)
        assert told.nights == ["night-1", "night-2"]
        assert told.state == "under way"
        assert [line.run for line in told.verified] == [one, two]
        assert morning.collect(ledger, now=now, night="night-2").state == "died"
        assert morning.collect(ledger, now=now, night="night-1").state == "died"


def test_jobs_that_nodes_lost_are_counted_and_each_can_be_looked_up(tmp_path: Any) -> None:
    """A night on a cluster that loses nodes is not a quiet night; what nodes say of it is not shown."""
    # shows: N14
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        scene.begin(ledger, until="2026-03-02T07:00:00.000000Z")
        run = scene.run(ledger, "one", [gate()])
        now = scene.clock.now()
        assert not [one for one in morning.collect(ledger, now=now, night="").notices if one.what == "cluster"]
        for nth, node in enumerate(["n1", "n2", "n1"], 1):
            lost = events.JobLost(run=run, job="s:attempt 1", nth=nth, node=node, why="<b>\x1b[2J", again=nth < 3)
            ledger.append([Draft(events.run_stream(run), lost, epoch=1, trace=run)])
        for nth in range(4, 200):  # what nodes lack is no loss, and hides none
            told = events.JobLost(
                run=run, job="s:look tests", nth=nth, node=f"n{nth}", why="no venv", again=True, refused=True
            )
            ledger.append([Draft(events.run_stream(run), told, epoch=1, trace=run)])
        report = morning.collect(ledger, now=scene.clock.now(), night="")
        [line] = [one for one in report.notices if one.what == "cluster"]
        assert line.text == "3 tries of jobs lost on 2 nodes, in 1 run; 2 done again, 1 given up"
        assert len(line.evidence) == 3
        assert "<b>" not in str(line)


def test_a_skeleton_is_claimed_and_never_verified(tmp_path: Any) -> None:
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        result = {"files": 3, "output": "/out"}
        left = events.StepDone(run="", branch="", name="skeleton", nth=0, args="0" * 64, result=result)
        scene.run(ledger, "too hard", [left], events.RunMoved(run="", old="running", new="failed", why="nobody could"))
        told = morning.collect(ledger, now=scene.clock.now(), since=DUSK)
        assert [one.title for one in told.failed] == ["too hard"]
        assert [(one.marks, one.output) for one in told.claimed] == [(["skeleton"], "/out")]
        assert "NOT BUILT" in told.claimed[0].unverified
        assert not told.verified


def test_a_payload_that_is_sealed_for_a_subject_stays_sealed(tmp_path: Any) -> None:
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        run = scene.run(ledger, "t", [])
        secret = events.RunMoved(run=run, old="done", new="parked", why="ada's own words", question="go on?")
        ledger.append([Draft(events.run_stream(run), secret, epoch=1, trace=run, subject="ada")])
        source, records = morning.gather(ledger, now=scene.clock.now(), since=DUSK)
        facts, proof = proofs.embed(ledger, source, records, report="r")
        page = html.render(deriving.derive(source), facts, proof).encode()
        assert b"ada&#x27;s own words" not in page
        checking.check(page, [ledger.verifier])


def test_the_schema_fits_the_report(made: Made) -> None:
    import jsonschema  # type: ignore[import-untyped]

    jsonschema.validate(morning.as_json(made.report), json.loads(morning.schema_text()))
