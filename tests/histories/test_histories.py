"""Ledgers that earlier versions wrote still verify, still tell their story, and still resume; and no event that was
ever written changes its shape."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from tests import starter

from daybreak import events
from daybreak.ledger import Draft, Ledger, Prover, UnknownEvent, check_proof, follow, redaction, sealing, verify
from daybreak.ledger.archive.pruning import prune, refill, standings
from daybreak.ledger.bundle import read_proof
from daybreak.ledger.subjects import SubjectGone, SubjectKeys
from daybreak.testing.clock import FakeClock

HERE = Path(__file__).parent
DELIVERIES = Path("/tmp/daybreak-history")
"""Where the recorded tasks deliver to; a further history gets a folder of its own."""
Cli = Callable[..., Any]


class Told(NamedTuple):
    """What a history says, for ever."""

    runs: list[tuple[str, str]]
    """Title and state of each, in alphabetical order."""
    nights: int
    events: int


HISTORIES = {
    "0.1-interrupted": Told([("Todo", "done"), ("Todo", "verifying")], 0, 100),
    "0.1-night": Told([("Copy a list", "done"), ("Count wrongly", "failed"), ("Todo", "done")], 1, 127),
}
"""State folders (`DAYBREAK_HOME`)."""
EVERY = {
    "0.1-every-event": """
artefact.made attempt.awaited attempt.began attempt.claimed attempt.judged attempt.turn breaker.changed budget.opened
budget.reserved budget.settled cancel.asked candidates.compared check.looked check.proved consensus.widened delivered
example.proved gate.decided incident.closed incident.raised large lease.granted ledger.created lesson.forgotten
lesson.judged lesson.learned lesson.refused model.called night.began night.ended night.noted part.ended pause.asked
plan.made policy.refused question.answered queue.paused queue.resumed replica.caught_up replica.lapsed resume.asked
review.made run.forked run.held run.moved run.rolled_back schedule.removed schedule.set signal.given snapshot.created
snapshot.restored snapshot.verified snapshots.pruned specification.drafted step.done step.failed step.intended
step.tried subject.forgotten task.added task.divided task.placed text.assessed token.minted token.revoked views.drifted
views.reconciled views.repair_failed views.repaired window.opened window.skipped witness.caught_up witness.lapsed
work.taken_over workers.ordered
""",
}
"""Ledgers with one event of each type that there was, and those types. What they say makes no sense, so no view takes
them."""
SUBJECTS = ("0.1-subjects",)
"""Ledgers with secrets of two subjects, as `make.py` writes them."""
ARCHIVED = ("0.1-archived",)
"""Ledgers with archives, pruned in part, as `make.py` writes them."""


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("histories_make", HERE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _load()


def copied(name: str, to: Path) -> Path:
    home = shutil.copytree(HERE / name, to)
    for path in [home, *home.rglob("*")]:  # version control keeps no such modes
        path.chmod(0o700 if path.is_dir() else 0o600)
    return home


def commands(home: Path, tmp_path: Path, types_cache: Path) -> Cli:
    """The command line on a copy of a history; gives what it printed as JSON."""
    (home / "cache").mkdir()
    (home / "cache" / "types").symlink_to(types_cache)

    def run(*arguments: str, status: int = 0) -> Any:
        words = ["-m", "daybreak", *arguments, "--json"]
        environment = {**os.environ, "DAYBREAK_HOME": str(home)}
        ended, out, err = starter.run(words, folder=tmp_path, environment=environment, timeout_s=240)
        assert ended == status, out + err
        return json.loads(out)

    return run


@pytest.fixture
def deliveries() -> Iterator[Path]:
    DELIVERIES.mkdir()
    yield DELIVERIES
    shutil.rmtree(DELIVERIES)


def steps(records: Any) -> list[str]:
    return [record["payload"]["name"] for record in records if record["type"] == "step.done"]


def test_every_folder_here_is_tested() -> None:
    """A history that nobody reads is none."""
    found = {folder.name for folder in HERE.iterdir() if (folder / "ledger").is_dir()}
    assert found == {*HISTORIES, *EVERY, *SUBJECTS, *ARCHIVED}


@pytest.mark.parametrize("name", HISTORIES)
def test_an_old_ledger_verifies_and_its_runs_are_reported(name: str, tmp_path: Path, types_cache: Path) -> None:
    """Nothing that was written is misread by what came later; views of today say what the events of then say."""
    # shows: N4 N7 N13
    told = HISTORIES[name]
    cli = commands(copied(name, tmp_path / "home"), tmp_path, types_cache)
    checked = cli("ledger", "verify")
    assert checked["ok"], checked["problems"]
    assert checked["events"] == told.events
    runs = cli("runs")
    assert sorted((run["title"], run["state"]) for run in runs) == told.runs
    for run in runs:
        assert cli("report", run["run"])["title"] == run["title"]
    assert cli("reconcile", "--full")["severity"] == "none"
    if told.nights:
        assert cli("report", "--night")["state"] == "ended"


def test_an_interrupted_run_of_an_old_ledger_goes_on_without_repeating_a_step(
    tmp_path: Path, types_cache: Path, deliveries: Path
) -> None:
    """What was recorded stays as it was, is not done again, and the rest is done by today's code."""
    # shows: N1 N13
    cli = commands(copied("0.1-interrupted", tmp_path / "home"), tmp_path, types_cache)
    (interrupted,) = (run["run"] for run in cli("runs") if run["state"] == "verifying")
    before = cli("ledger", "show", interrupted)
    assert len(steps(before)) > 8, "the history was interrupted too early to show anything"
    assert cli("resume", interrupted)["state"] == "done"
    after = cli("ledger", "show", interrupted)
    assert after[: len(before)] == before
    ours = [name for name in steps(after) if not name.startswith("ctx.")]
    assert len(ours) == len(set(ours)), "a step was done twice"
    assert (deliveries / "second" / "daybreak.manifest.json").is_file()
    assert cli("ledger", "verify")["ok"]


# -- events


SHAPES: dict[str, Any] = make.shapes()
ADD = "run `python -m tests.histories.make shapes`, which adds what is new and changes nothing that was"


def members(event: Any) -> dict[str, Any]:
    """All fields as plain JSON, those with their default too."""
    return {name: msgspec.to_builtins(getattr(event, name)) for name in event.__struct_fields__}


def contains(whole: Any, part: Any) -> bool:
    """Is everything that was said still read as it was said? Structs inside may have got more fields, and leave out
    what is their default."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and contains(whole[name], one) for name, one in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(whole) == len(part) and all(contains(*pair) for pair in zip(whole, part, strict=True))
    return bool(whole == part)


@pytest.mark.parametrize("name", SHAPES)
def test_no_event_that_was_ever_written_changes_its_shape(name: str) -> None:
    """Every type stays, every field keeps its name and its type, none becomes needed, and the words of a closed list
    only become more; what was written then is read as it was meant."""
    # shows: N3 N13
    told, kind = SHAPES[name], events.BY_TYPE.get(name)
    assert kind is not None, f"{name} can be in any ledger, and nobody reads it any more"
    now = json.loads(msgspec.json.encode(make.shape(kind)))
    for field, was in told["fields"].items():
        assert field in now["fields"], f"{name} has lost {field}"
        assert widened(was, now["fields"][field]), f"{name}: {field} was {was}"
    assert set(now["required"]) <= set(told["required"]), f"{name}: older events do not have that"
    event = msgspec.json.decode(msgspec.json.encode(told["sample"]), type=kind)
    assert contains(members(event), told["sample"])
    least = {field: told["sample"][field] for field in told["required"]}
    msgspec.convert(least, kind)


def widened(was: Any, now: Any) -> bool:
    """Does the schema of now take everything that the one of then took?"""
    if isinstance(was, dict) and isinstance(now, dict):
        if "enum" in was and "enum" in now:
            return set(was["enum"]) <= set(now["enum"])
        if was.get("type") == "object" and "properties" in was:
            return (
                all(widened(one, now.get("properties", {}).get(field)) for field, one in was["properties"].items())
                and set(now.get("required", [])) <= set(was.get("required", []))
            )  # fmt: skip
        return was.keys() == now.keys() and all(widened(one, now[key]) for key, one in was.items())
    if isinstance(was, list) and isinstance(now, list):
        return all(any(widened(one, other) for other in now) for one in was)
    return bool(was == now)


def test_every_event_of_today_is_in_the_histories() -> None:
    """What is not written down could change unseen."""
    # shows: N13
    for name, kind in events.BY_TYPE.items():
        assert name in SHAPES, f"{name} is new: {ADD}"
        missing = {field.name for field in msgspec.structs.fields(kind)} - SHAPES[name]["fields"].keys()
        assert not missing, f"{name} has got {missing}: {ADD}"


@pytest.mark.parametrize("name", EVERY)
def test_every_event_that_was_ever_written_is_read(name: str, tmp_path: Path) -> None:
    """From the very bytes: typed, with every field as it was said; large ones too, and those that are followed."""
    # shows: N3 N13
    home = copied(name, tmp_path / "home")
    assert verify(home / "ledger", keys=home / "keys", witness=home / "witness").problems == []
    with Ledger.open(home / "ledger", keys=home / "keys", witness=home / "witness", clock=FakeClock()) as ledger:
        records = list(ledger.read_all())
    seen = {record.trace for record in records[1:]}
    for record in records:
        assert not isinstance(record.event, UnknownEvent)
        if record.trace in SHAPES:
            said = msgspec.json.decode(record.payload)
            assert record.type == record.trace
            assert contains(members(record.event), said)
            assert contains(SHAPES[record.type]["sample"], {key: said[key] for key in SHAPES[record.type]["required"]})
    assert seen == set(EVERY[name].split())
    with follow(home / "ledger", after=-1) as live:
        assert [record.hash for record in (next(live) for _ in records)] == [record.hash for record in records]


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_secret_of_then_is_read_and_a_forgotten_one_is_not(name: str, tmp_path: Path) -> None:
    """Names of keys, sealing, commitments and the list of the forgotten mean what they meant; so do a rotated key, a
    revoked one, and a proof that was handed out."""
    # shows: N7 N13
    home = copied(name, tmp_path / "home")
    found = verify(home / "ledger", keys=home / "keys", witness=home / "witness")
    assert found.problems == []
    assert len(SubjectKeys(home / "keys", home / "witness").buried()) == 1
    with Ledger.open(home / "ledger", keys=home / "keys", witness=home / "witness", clock=FakeClock()) as ledger:
        assert ledger.head().size == found.size, "nobody has to be forgotten once more"
        (mask,) = ({sealing.REDACTED_MARK: key} for key in ledger.forgotten_subjects())
        tasks = [record.event for record in ledger.read(events.QUEUE)]
        assert [(one.title, one.args) for one in tasks if isinstance(one, events.TaskAdded)] == [
            ("Ada lives in Marylebone", {"words": "Ada lives in Marylebone"}),
            (sealing.REDACTED, mask),
            (sealing.REDACTED, mask),
            ("Ada stays in Marylebone", {"words": "Ada stays in Marylebone"}),
        ]
        steps = [record.event for record in ledger.read("control:history")]
        assert [one.result for one in steps if isinstance(one, events.StepDone)] == ["Ada " * 17_000]
        answers = [one.answer for one in steps if isinstance(one, events.Answered)]
        assert answers == [["Ada lives in Marylebone"], mask, mask, ["Ada stays in Marylebone"]]
        kept, forgotten = (redaction.survey(ledger, who) for who in (make.KEPT, make.FORGOTTEN))
        assert (kept.events, kept.forgotten, forgotten.events) == (5, "", 4)
        assert {sealing.REDACTED_MARK: forgotten.key} == mask
        signal = events.Signalled(run="r", name="new", value="more")
        (more,) = ledger.append([Draft("control:history", signal, subject=make.KEPT)])
        assert more.secret is not None
        assert more.secret.key == kept.key
        with pytest.raises(SubjectGone):
            ledger.append([Draft("control:history", signal, subject=make.FORGOTTEN)])
        keys = ledger.verifier.history
        assert (len(keys.rotations), len(keys.revocations)) == (1, 1)
        with Prover(home / "ledger", ledger.verifier) as prover:
            new = prover.prove([tasks_at(ledger)], disclose=ledger.subjects)
    for proof in (read_proof((home / make.DISCLOSED).read_bytes()), new):
        shown = check_proof(proof, [ledger.verifier]).events[0].event.disclosed
        assert json.loads(shown or b"")["title"] == "Ada lives in Marylebone"


@pytest.mark.parametrize("name", ARCHIVED)
def test_what_was_archived_then_is_read_pruned_and_put_back_now(name: str, tmp_path: Path) -> None:
    """Files, rows without their events, and what the log says of them mean what they meant."""
    # shows: N3 N13
    home = copied(name, tmp_path / "home")
    places = {"keys": home / "keys", "witness": home / "witness"}
    assert verify(home / "ledger", **places).problems == []
    with Ledger.open(home / "ledger", **places, clock=FakeClock()) as ledger:
        told = [record.event for record in ledger.read("control:history")]
        assert told == [make.archived_step(n) for n in range(make.ARCHIVED - 1)]
        stood = [(one.blank, one.problem) for one in standings(ledger, check=True)]
        assert stood == [(0, ""), (256, ""), (256, ""), (0, ""), (0, "")]
        done = [one.events for one in prune(ledger, witnessed=ledger.head().size)]
        assert done == [255, 256, 256], "the first event of all stays"
        assert [record.event for record in ledger.read("control:history")] == told
        list(refill(ledger, 0, make.ARCHIVED))
        assert sum(one.blank for one in standings(ledger)) == 0
    assert verify(home / "ledger", **places).problems == []


def tasks_at(ledger: Ledger) -> int:
    """The index of the first task."""
    return next(ledger.read(events.QUEUE)).index


def test_a_shape_that_changes_is_noticed() -> None:
    """The rules above, on shapes that break them."""
    text, number = {"type": "string"}, {"type": "integer"}
    closed, wider = {"enum": ["a", "b"]}, {"enum": ["a", "b", "c"]}
    assert widened(text, text)
    assert not widened(text, number)
    assert widened(closed, wider)
    assert not widened(wider, closed)
    assert widened({"type": "array", "items": closed}, {"type": "array", "items": wider})
    assert widened({"anyOf": [text]}, {"anyOf": [text, {"type": "null"}]})
    assert not widened({"anyOf": [text, number]}, {"anyOf": [text]})
    inside = {"type": "object", "properties": {"a": text}, "required": []}
    assert not widened(inside, {**inside, "required": ["a"]})
    assert not widened(inside, {**inside, "properties": {"a": number}})
    assert widened(inside, {**inside, "properties": {"a": text, "b": number}})
