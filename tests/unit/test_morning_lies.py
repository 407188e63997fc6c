"""Ways to make a morning report lie, and what comes of each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.morning_scene import DUSK, SECRET, Scene, attempt, bad, delivered, failed, gate, parked, plan

from daybreak import events
from daybreak.ledger import Draft, Ledger, Verifier
from daybreak.ledger.proofcheck import NotIncluded
from daybreak.report import morning
from daybreak.report.morning import cards, checking, deriving, html, proofs
from daybreak.report.morning.checking import ReportChanged


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("lies"))


@pytest.fixture(scope="module")
def ledger(scene: Scene) -> Iterator[Ledger]:
    with scene.ledger() as opened:
        scene.whole(opened)
        yield opened


def _made(scene: Scene, ledger: Ledger, **frame: Any) -> tuple[morning.Source, str, bytes]:
    """A page of the night. `frame`: what somebody who has the ledger's key made it say."""
    source, records = morning.gather(ledger, now=scene.clock.now() + timedelta(hours=1), night="")
    source = msgspec.structs.replace(source, frame=msgspec.structs.replace(source.frame, **frame))
    facts, proof = proofs.embed(ledger, source, records, report="report-1")
    return source, proof, html.render(deriving.derive(source), facts, proof).encode()


def _page_of(proof: proofs.Proof, ledger: Ledger, seal: morning.Source | None = None) -> bytes:
    facts = [checking._fact(one) for one in proof.facts]
    report = deriving.derive(morning.Source(frame=proof.frame, facts=facts))
    return html.render(report, facts, proofs.pack(proof)).encode()


def test_a_page_with_the_seal_of_another_is_refused(scene: Scene, ledger: Ledger) -> None:
    # shows: N10
    one, other = (proofs.unpack(_made(scene, ledger)[1])[0] for _ in range(2))
    with pytest.raises((ReportChanged, NotIncluded)):
        checking.check(_page_of(msgspec.structs.replace(one, seal=other.seal), ledger), [ledger.verifier])
    mixed = msgspec.structs.replace(one, seal=other.seal, nodes=other.nodes)
    with pytest.raises(ReportChanged, match="vouched for another"):
        checking.check(_page_of(mixed, ledger), [ledger.verifier])


def test_a_claimed_run_cannot_be_moved_among_the_verified_by_another_runs_gate(scene: Scene, ledger: Ledger) -> None:
    """The page's excerpts of private payloads say which run they are of; changing that is another digest."""
    proof, _ = proofs.unpack(_made(scene, ledger)[1])
    facts = [checking._fact(one) for one in proof.facts]
    told = deriving.derive(morning.Source(frame=proof.frame, facts=facts))
    (claimed,), verified = told.claimed, told.verified[0]
    moved = [
        msgspec.structs.replace(one, said={**one.said, "run": claimed.run})
        if one.said and one.said.get("run") == verified.run
        else one
        for one in proof.facts
    ]
    with pytest.raises(ReportChanged, match="vouched"):
        checking.check(_page_of(msgspec.structs.replace(proof, facts=moved), ledger), [ledger.verifier])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b".k-failed .card{", b".k-failed{display:none}.k-failed .card{"),
        (b".brand{", b'.verdict::after{content:"All is well"}.brand{'),
        (b"<title>Night", b"<title>Fine night"),
        (b"</main>", b'<p><a href="https://example.org">more</a></p></main>'),
        (b"style-src ", b"script-src * 'unsafe-inline'; style-src "),
        (b"<body>", b'<body hidden="until-found">'),
        (b'data-page="1"', b'data-page="1" dir="rtl"'),
    ],
)
def test_styles_title_links_and_policy_are_part_of_what_is_compared(
    scene: Scene, ledger: Ledger, old: bytes, new: bytes
) -> None:
    # shows: N10
    page = _made(scene, ledger)[2]
    assert page.count(old) >= 1
    with pytest.raises(ReportChanged, match="line"):
        checking.check(page.replace(old, new, 1), [ledger.verifier])


@pytest.mark.parametrize(
    "frame",
    [{"zone": 10**12}, {"made": "now"}, {"coming": [morning.Coming(when="never", what="x")]}],
    ids=["zone", "made", "coming"],
)
def test_nonsense_that_was_signed_is_an_error_with_a_code(scene: Scene, ledger: Ledger, frame: dict[str, Any]) -> None:
    """Whoever has a key can sign anything; the checker says so and does not fall over."""
    source, records = morning.gather(ledger, now=scene.clock.now(), night="")
    source = msgspec.structs.replace(source, frame=msgspec.structs.replace(source.frame, **frame))
    _, proof = proofs.embed(ledger, source, records, report="report-1")
    page = f"<!doctype html>\n{html.BEGIN}{proof}{html.END}".encode()
    with pytest.raises(ReportChanged, match="no report can be made"):
        checking.check(page, [ledger.verifier])


def test_an_address_that_is_no_address_of_a_page_becomes_no_link(scene: Scene, ledger: Ledger) -> None:
    page = _made(scene, ledger, address="javascript:alert(1)")[2]
    assert b"javascript:" not in page


def test_a_seal_in_another_stream_is_none(scene: Scene, ledger: Ledger) -> None:
    """What is told about reports stands in one stream, where nobody but the report writes."""
    source, records = morning.gather(ledger, now=scene.clock.now(), night="")

    class Elsewhere:
        directory, verifier, joint_proof = ledger.directory, ledger.verifier, ledger.joint_proof

        def append(self, drafts: list[Draft]) -> Any:
            return ledger.append([Draft(events.NIGHTS, one.event) for one in drafts])

    facts, proof = proofs.embed(Elsewhere(), source, records, report="report-1")  # type: ignore[arg-type]
    page = html.render(deriving.derive(source), facts, proof).encode()
    with pytest.raises(ReportChanged, match="vouched for another"):
        checking.check(page, [ledger.verifier])


def test_a_page_is_true_under_every_key_that_the_ledger_had(tmp_path: Path) -> None:
    # shows: N10
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        scene.whole(ledger)
        first = Verifier.parse(ledger.verifier.text)
        before = _made(scene, ledger)[2]
        ledger.rotate_key(why="it was time")
        after = _made(scene, ledger)[2]
        for page in (before, after):
            checking.check(page, [ledger.verifier])
            checking.check(page, [first])
        assert checking.key_of(after) == ledger.verifier.text != first.text


def test_marks_that_pile_up_and_spaces_cannot_look_like_other_lines(tmp_path: Path) -> None:
    """A title may not strike through the verdict above it, nor fill a line so that its end looks like a heading."""
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        scene.run(ledger, "z" + "\u0301" * 300, attempt(1), parked("go on?" + " " * 400 + "Verified (99):"))
        report = morning.collect(ledger, now=scene.clock.now(), since=DUSK)
    assert morning.html.render(report).count("\u0301") <= 8
    assert "go on? Verified (99):" in morning.text.render(report)
    assert cards.said("Zoë, tiếng Việt, שָׁלוֹם") == "Zoë, tiếng Việt, שָׁלוֹם"


def test_a_run_that_was_cancelled_is_not_called_under_way(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        scene.run(ledger, "a", [], events.RunMoved(run="", old="running", new="cancelled"))
        text = morning.text.render(morning.collect(ledger, now=scene.clock.now(), since=DUSK))
    assert "Not over, or cancelled (1)" in text


def test_attempts_that_are_left_out_are_counted(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        story = [one for number in range(1, 13) for one in (*attempt(number), bad(number))]
        scene.run(ledger, "hard", story, failed())
        report = morning.collect(ledger, now=scene.clock.now(), since=DUSK)
    assert "the newest 8 attempts, of 12" in morning.text.render(report)
    assert "the newest 8 attempts, of 12" in morning.html.render(report)


def test_what_is_too_much_for_one_report_is_said_to_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daybreak.report.morning import collecting

    monkeypatch.setattr(collecting, "STORY_MAX", 3)
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        raised = [events.IncidentRaised(incident=f"inc-{n}", kind="token_forged", level=1) for n in range(5)]
        ledger.append([Draft(events.POLICY, one) for one in raised])
        report = morning.collect(ledger, now=scene.clock.now(), since=DUSK)
    assert ["2 older events of the stream policy" in one.text for one in report.notices] == [True]


def test_a_breaker_that_opened_before_the_night_and_an_old_hold_are_told(tmp_path: Path) -> None:
    """Nobody has dealt with them, however old they are."""
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        told: dict[str, Any] = {"failures": [], "openings": 1, "probes": [], "version": 1, "until": ""}
        ledger.append([Draft(events.POLICY, events.BreakerChanged(name="models", state="open", why="3", **told))])
        run = scene.run(
            ledger, "restored", [plan(), gate(), delivered()], events.RunMoved(run="", old="running", new="failed")
        )
        held = events.RunHeld(run=run, log="log-2", size=9, known=9, question="may it have gone on elsewhere?")
        ledger.append([Draft(events.run_stream(run), held, epoch=1)])
        later = scene.clock.now() + timedelta(hours=1)
        scene.clock.moment = later
        scene.begin(ledger, "night-9")
        scene.end(ledger, "night-9")
        report = morning.collect(ledger, now=scene.clock.now(), night="")
    assert [one.what for one in report.breakers] == ["models"]
    assert [(one.run, one.question) for one in report.decisions] == [(run, "may it have gone on elsewhere?")]


def test_a_secret_in_what_a_witness_answered_is_taken_out(scene: Scene, ledger: Ledger) -> None:
    # shows: N12
    kept = morning.Kept(size=1, root="", lines=[f"witness hill: https://ada:{SECRET}@hill.example did not answer"])
    told = morning.collect(ledger, now=scene.clock.now(), night="", kept=kept)
    assert SECRET not in morning.html.render(told) + morning.text.render(told)
