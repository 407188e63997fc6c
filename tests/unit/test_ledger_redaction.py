"""Forgetting a subject: what was secret is gone everywhere, and everything else stays provable."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit import ledger_home as shelf
from typer.testing import CliRunner

from daybreak import events
from daybreak.cli import main
from daybreak.config import Places
from daybreak.engine.history import PastForgotten
from daybreak.errors import DraftRefused, IdemConflict, KeyExposed, LedgerTampered
from daybreak.events import KEYS, Answered, StepDone, SubjectForgotten
from daybreak.host.snapshots import Store
from daybreak.ledger import Draft, Ledger, Prover, Record, Statement, View, check_proof, redaction, sealing, snapshot
from daybreak.ledger import subjects as subject_keys
from daybreak.ledger.bundle import read_proof, write_bundle, write_tlog
from daybreak.ledger.proof import NothingToDisclose
from daybreak.ledger.proofcheck import ProofChanged
from daybreak.ledger.record import BLOB_BYTES, Submission
from daybreak.ledger.restore import Restorer
from daybreak.ledger.subjects import SubjectGone, SubjectKeysBroken, SubjectUnknown
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

SECRET = "Trillian-lives-at-Islington-9"
WHO = "customer-4711"


def _keep(record: Record) -> Iterable[Statement]:
    if record.index:
        yield Statement("INSERT INTO view_said VALUES (?, ?, ?)", (record.index, record.words, repr(record.event)))


SAID = View("said", 1, "CREATE TABLE view_said (leaf INTEGER PRIMARY KEY, words BLOB, event TEXT) STRICT", _keep)
"""Keeps all that it is told."""


def said(text: Any = SECRET, *, who: str | None = WHO, idem: str | None = None) -> Draft:
    return Draft("control:r1", Answered(run="r1", question="where?", answer=text), "me", idem=idem, subject=who)


@pytest.fixture
def home(tmp_path: Path) -> Any:
    """What was said: a secret, a long one, another subject's, and something for everybody."""
    home = shelf.Home(tmp_path / "home", [SAID])
    with home.open() as ledger:
        ledger.append(
            [said(), said(SECRET * (BLOB_BYTES // 8)), said("a fish", who="other"), said("a towel", who=None)]
        )
    return home


def forget(home: Any, who: str = WHO, **options: Any) -> Any:
    with home.open() as ledger:
        return redaction.forget(ledger, who, FakeClock(), **options)


def answers(home: Any) -> list[Any]:
    with home.open() as ledger:
        return [record.event.answer for record in ledger.read("control:r1")]


def files_with(root: Path, *needles: bytes) -> set[str]:
    found = set()
    for path in root.rglob("*"):
        if path.is_file() and any(needle in path.read_bytes() for needle in needles):
            found.add(path.name)
    return found


def forms(secret: bytes) -> list[bytes]:
    """As it is, in hex, and as it may stand within base64."""
    base64s = [base64.b64encode(bytes(lead) + secret)[4:-4] for lead in range(3)]
    return [secret, secret.hex().encode(), *base64s]


def key_file(home: Any, who: str = WHO) -> Path:
    keys = subject_keys.SubjectKeys(home.keys, home.witness)
    return Path(keys.folder / f"{keys.name(who)}.key")


def test_after_it_neither_the_secret_nor_its_key_is_in_any_file(home: Any, tmp_path: Path) -> None:
    """Database, WAL, blobs, views and snapshots: the secret was never in one of them, the key in its own file only."""
    places = Places.below(home.root, "a test")
    store = Store(home.root / "snapshots")
    with home.open() as ledger:  # open, so that the write-ahead log is there
        snapshot.take(store, places, clock=FakeClock(), with_keys=True, views=[SAID])
        assert next(ledger.read("control:r1")).event.answer == SECRET
        key = base64.b64decode(json.loads(key_file(home).read_bytes())["key"])
        assert files_with(home.root, *forms(key)) == {key_file(home).name}
        assert files_with(home.root, *forms(SECRET.encode())) == set()
        found, now = redaction.forget(ledger, WHO, FakeClock(), why="asked for it")
        assert (found.events, found.streams, now) == (2, ("control:r1",), True)
        assert (home.ledger / "ledger.db-wal").exists()
        assert files_with(home.root, *forms(key), *forms(SECRET.encode()), WHO.encode()) == set()
        ledger.rebuild_views()
        assert ledger.compare_views() == []
    store.unpack(store.snapshots()[0].name, tmp_path / "unpacked")
    assert files_with(tmp_path / "unpacked", *forms(key), *forms(SECRET.encode()), WHO.encode()) == set()
    mask = {"daybreak.redacted": found.key}
    assert answers(home) == [mask, mask, "a fish", "a towel"]
    assert home.verify().problems == []


def test_hashes_proofs_and_views_are_what_they_were(home: Any) -> None:
    """A proof from before still checks, one made afterwards has the same leaf, and nothing that was hashed changed."""
    with home.open() as ledger:
        before, rows = list(ledger.read_all()), ledger.query("SELECT * FROM view_said ORDER BY leaf")
        root, verifier = ledger.head().root, ledger.verifier
    with Prover(home.ledger, verifier) as prover:
        old = write_bundle(prover.prove([1, 2]))
    forget(home)
    with home.open() as ledger:
        after = list(ledger.read_all())
        assert [(one.hash, one.payload) for one in after[: len(before)]] == [(one.hash, one.payload) for one in before]
        assert ledger.query("SELECT * FROM view_said WHERE leaf < ? ORDER BY leaf", (len(before),)) == rows
        event = after[-1].event
        assert isinstance(event, SubjectForgotten)
        assert (event.events, event.streams, WHO in repr(after[-1])) == (2, 1, False)
    assert check_proof(old, [verifier]).checkpoint.root == root
    with Prover(home.ledger, verifier) as prover:
        new = check_proof(prover.prove([1, 2]), [verifier])
    assert new.events[0].event.hash == before[1].hash
    assert home.verify().problems == []


def test_what_other_processes_have_kept_of_a_subject_is_counted(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number goes into the log for good, so it is that of the file, not of what this process has seen of it."""
    monkeypatch.setattr(redaction, "_STRETCH", 1)
    with home.open() as ledger, home.open() as other:
        other.append([said("more"), said("a whale", who="other"), said("and more")])
        found, _ = redaction.forget(ledger, WHO, FakeClock())
        told = list(ledger.read(KEYS))[-1].event
    assert isinstance(told, SubjectForgotten)
    assert (found.events, told.events) == (4, 4)


def test_a_second_time_does_nothing_and_an_unknown_subject_is_an_error(home: Any) -> None:
    """Only one event tells of it."""
    assert forget(home)[1]
    found, now = forget(home)
    assert (now, found.events, bool(found.forgotten)) == (False, 2, True)
    with home.open() as ledger:
        assert [record.type for record in ledger.read(KEYS)].count(SubjectForgotten.type) == 1
    with pytest.raises(SubjectUnknown):
        forget(home, "nobody")
    assert answers(home)[2] == "a fish"


def test_nothing_more_is_kept_for_a_forgotten_subject_by_whoever_had_its_key(home: Any) -> None:
    """A ledger that was open all the while reads no more either, and its batch with others loses only what is late."""
    with home.open() as other:
        late = Submission([said("late")], other.subjects)
        assert next(other.read("control:r1")).event.answer == SECRET
        forget(home)
        assert next(other.read("control:r1")).redacted
        with pytest.raises(SubjectGone):
            other.append([said("more")])
        with pytest.raises(SubjectGone):
            other._writer.append(late)
        assert [record.event.answer for record in other.append([said("b", who=None)])] == ["b"]
    assert "late" not in str(answers(home))


class _Crash(Exception):
    pass


def _crashing(*_: Any) -> Any:
    raise _Crash


@pytest.mark.parametrize("where", ["before the event", "before the shredding", "while shredding"])
def test_what_a_crash_leaves_is_finished_by_whoever_opens_next(
    home: Any, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision is on disk first; from then on nobody reads the secret, and the key goes once somebody opens."""
    path = key_file(home)
    with monkeypatch.context() as patched, home.open() as ledger:
        match where:
            case "before the event":
                patched.setattr(ledger, "append", _crashing)
            case "before the shredding":
                patched.setattr(subject_keys.SubjectKeys, "shred", _crashing)
            case _:
                patched.setattr(subject_keys.os, "unlink", _crashing)
        with pytest.raises(_Crash):
            redaction.forget(ledger, WHO, FakeClock())
        assert path.exists()
        assert next(ledger.read("control:r1")).redacted
    if where != "before the event":
        assert "its subject was forgotten" in str(home.verify().problems)
    with home.open() as ledger:
        assert not path.exists()
        assert [record.type for record in ledger.read(KEYS)].count(SubjectForgotten.type) == 1
    assert home.verify().problems == []
    assert forget(home)[1] is False


def test_a_key_or_a_list_that_comes_back_from_a_copy_brings_nobody_back(home: Any) -> None:
    """The key file of a copy is not read but destroyed; the list beside the witness is written again from the log."""
    path = key_file(home)
    copy = path.read_bytes()
    forget(home)
    path.write_bytes(copy)
    path.chmod(0o600)
    assert "although its subject was forgotten" in str(home.verify().problems)
    with home.open() as ledger:
        assert next(ledger.read("control:r1")).redacted
        assert not path.exists()
    path.write_bytes(copy)
    path.chmod(0o600)
    (home.witness / subject_keys.FORGOTTEN).unlink()
    assert isinstance(answers(home)[0], dict)
    assert not path.exists()
    assert (home.witness / subject_keys.FORGOTTEN).exists()


@pytest.mark.parametrize("place", ["in place", "elsewhere"])
def test_an_old_snapshot_does_not_bring_a_subject_back(home: Any, tmp_path: Path, place: str) -> None:
    """No snapshot holds a subject's key; the new log hears of the redaction, and other subjects can still be read."""
    # shows: N15
    places = Places.below(home.root, "a test")
    store = Store(tmp_path / "store")
    made = snapshot.take(store, places, clock=FakeClock(), with_keys=True, views=[SAID])
    assert not [one for one in made.manifest.files if "subjects" in one.path]
    forget(home)
    restorer = Restorer(store, places, FakeClock(), views=[SAID])
    if place == "in place":
        restorer.in_place(made.name)
    else:
        restorer.to(made.name, tmp_path / "new")
        home = shelf.Home(tmp_path / "new", [SAID])
    assert [isinstance(one, dict) for one in answers(home)] == [True, True, False, False]
    with home.open() as ledger:
        assert isinstance(list(ledger.read(KEYS))[-1].event, SubjectForgotten)
    assert home.verify().problems == []


def test_without_its_key_a_secret_is_closed_and_the_rest_goes_on(home: Any) -> None:
    """A restored home without the keys of subjects is whole; nothing says that somebody was forgotten."""
    key_file(home).unlink()
    assert isinstance(answers(home)[0], dict)
    assert home.verify().problems == []
    with home.open() as ledger:
        record = next(ledger.read("control:r1"))
        assert (record.redacted, record.subject) == (True, None)
        assert ledger.forgotten_subjects() == {}


def test_a_secret_that_is_disclosed_can_be_checked_by_anybody(home: Any) -> None:
    """With payload and salt it is what the header commits to; anything else is refused; without them nothing shows."""
    with home.open() as ledger:
        verifier, keys = ledger.verifier, ledger.subjects
    with Prover(home.ledger, verifier) as prover:
        closed, shown = prover.prove([1]), prover.prove([1], disclose=keys)
        with pytest.raises(NothingToDisclose):
            prover.prove([4], disclose=keys)
    assert SECRET.encode() not in write_bundle(closed)
    assert check_proof(closed, [verifier]).events[0].event.disclosed is None
    for data in (write_bundle(shown), write_tlog(shown)):
        proven = check_proof(read_proof(data), [verifier]).events[0].event
        assert json.loads(proven.disclosed or b"")["answer"] == SECRET
    entry = shown.events[0]
    assert entry.disclosed is not None
    lie = msgspec.structs.replace(entry.disclosed, payload=entry.disclosed.payload.replace("9", "8"))
    salt = msgspec.structs.replace(entry.disclosed, salt=base64.b64encode(bytes(32)).decode())
    for changed in (lie, salt):
        forged = msgspec.structs.replace(shown, events=[msgspec.structs.replace(entry, disclosed=changed)])
        with pytest.raises(ProofChanged):
            check_proof(forged, [verifier])
    forget(home)
    with Prover(home.ledger, verifier) as prover, pytest.raises(NothingToDisclose):
        prover.prove([1], disclose=keys)
    assert check_proof(shown, [verifier]).events[0].event.disclosed  # what was handed out stays handed out


def test_a_repeat_is_compared_by_what_it_says(home: Any) -> None:
    """Encrypted twice is other bytes; the same words give the first record, others, or the same in the open, do not."""
    with home.open() as ledger:
        first = ledger.append([said("x", idem="k")])[0]
        again = ledger.append([said("x", idem="k")])[0]
        assert (again.index, again.event) == (first.index, first.event)
        for other in (said("y", idem="k"), said("x", idem="k", who=None), said("x", idem="k", who="other")):
            with pytest.raises(IdemConflict):
                ledger.append([other])


@pytest.mark.parametrize("who", ["", "a\nb", "x" * 201, 7, "\ud800"])
def test_a_subject_has_a_name_that_can_be_said(home: Any, who: Any) -> None:
    """Otherwise nothing is appended."""
    with home.open() as ledger, pytest.raises(DraftRefused):
        ledger.append([said(who=who)])


def test_only_what_has_something_secret_in_it_can_be_sealed(home: Any) -> None:
    """Of our own events those of the list; of anybody else's all, and then all of it is secret."""

    class Diagnosis(events.Event, frozen=True, kw_only=True):
        type = "x.diagnosis"
        text: str

    with home.open() as ledger:
        with pytest.raises(DraftRefused):
            ledger.append([Draft("queue", events.QueuePaused(), subject=WHO)])
        made = ledger.append([Draft("mine", Diagnosis(text=SECRET), subject=WHO)])[0]
        assert json.loads(made.words)["text"] == SECRET
    forget(home)
    with home.open() as ledger:
        record = next(ledger.read("mine"))
        assert list(json.loads(record.words)) == [sealing.REDACTED_MARK]
        assert record.event.fields == json.loads(record.words)  # type: ignore[attr-defined]


SAMPLES = [
    events.ResultRejected(run="r", because=SECRET, about="run:r#9", index=9),
    events.TaskAdded(task="t", run="r", kind="k", title=SECRET, args={"a": SECRET}),
    events.RunMoved(run="r", old="running", new="failed", why=SECRET, hint=SECRET, code="E1"),
    shelf.step(result=SECRET),
    events.StepFailed(run="r", branch="", name="n", nth=0, args="", code="E1", message=SECRET, hint=SECRET),
    events.StepTried(
        run="r",
        branch="",
        name="n",
        nth=0,
        args="",
        kind="outage",
        what=SECRET,
        again="",
        tries={},
        adapted={"a": SECRET},
    ),
    events.Signalled(run="r", name="n", value=[SECRET]),
    said().event,
]


def test_every_kind_that_can_be_sealed_reads_as_itself_when_it_was_forgotten() -> None:
    """With its open fields as they were and its secret ones masked; in the memory ledger as on disk."""
    assert {type(sample).type for sample in SAMPLES} == set(events.PERSONAL)
    ledger = MemoryLedger(clock=FakeClock(), views=[SAID])
    ledger.append([Draft("all", sample, subject=WHO) for sample in SAMPLES])
    assert [record.event for record in ledger.read("all")] == SAMPLES
    assert SECRET not in repr(ledger.query("SELECT words, event FROM view_said"))
    ledger.forget(WHO)
    ledger.forget(WHO)
    for record, sample in zip(ledger.read("all"), SAMPLES, strict=True):
        assert type(record.event) is type(sample)
        assert SECRET not in repr(record.event)
        for name in set(sample.__struct_fields__) - set(events.PERSONAL[record.type]):
            assert getattr(record.event, name) == getattr(sample, name)
    ledger.rebuild_views()
    assert ledger.compare_views() == []
    with pytest.raises(SubjectGone):
        ledger.append([said()])


def test_verify_notices_a_commitment_that_is_a_lie_and_a_key_that_is_not_the_one(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the key can tell; the place is named."""
    with monkeypatch.context() as patched:
        patched.setattr(sealing, "commitment", lambda salt, payload: "0" * 64)
        with home.open() as ledger:
            index = ledger.append([said("other words")])[0].index
    assert [problem.place for problem in home.verify().problems] == [f"event {index} (control:r1, seq 4)"]
    mine, others = key_file(home), key_file(home, "other")
    told = json.loads(mine.read_bytes()) | {"key": json.loads(others.read_bytes())["key"]}
    mine.write_text(json.dumps(told))
    assert len(home.verify().problems) == 3
    with home.open() as ledger, pytest.raises(LedgerTampered):
        _ = next(ledger.read("control:r1")).event


def test_keys_are_for_their_owner_alone_and_damage_is_said(home: Any) -> None:
    """Mode 0600 in a folder of 0700; readable by others, cut short, or without the pepper: an error each."""
    path = key_file(home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    with home.open() as ledger, pytest.raises(KeyExposed):
        ledger.append([said()])
    path.chmod(0o600)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with home.open() as ledger, pytest.raises(SubjectKeysBroken):
        _ = next(ledger.read("control:r1")).event
    path.write_bytes(whole)
    (path.parent / "pepper").unlink()
    with home.open() as ledger, pytest.raises(SubjectKeysBroken):
        ledger.append([said(who="a new one")])


def test_the_key_is_overwritten_before_it_goes(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second name of the file shows what stands in its blocks; what a crash left of its making goes too."""
    path, left = key_file(home), key_file(home).with_name(f".{key_file(home).name}.daybreak-0")
    whole = path.read_bytes()
    left.write_bytes(whole)
    os.link(path, home.root / "one")
    os.link(left, home.root / "two")
    forget(home)
    assert not path.exists()
    assert not left.exists()
    assert {(home.root / name).read_bytes() for name in ("one", "two")} == {bytes(len(whole))}


@pytest.fixture
def cli(home: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.setenv("DAYBREAK_HOME", str(home.root))
    monkeypatch.chdir(tmp_path)
    return lambda *words, given="": CliRunner().invoke(main.app, list(words), input=given)


def test_the_command_says_what_goes_and_does_it_only_when_told_to(home: Any, cli: Callable[..., Any]) -> None:
    """Without a terminal it takes --yes; subjects and events are shown for what they are, before and after."""
    asked = cli("ledger", "redact", WHO)
    assert asked.exception.code == "U254"
    assert "2 events in 1 stream" in asked.stderr
    assert answers(home)[0] == SECRET
    assert WHO in cli("ledger", "subjects").stdout
    shown = json.loads(cli("ledger", "show", "control:r1", "--json").stdout)
    assert shown[0]["payload"]["answer"] == SECRET
    assert shown[0]["secret"]["subject"] == WHO
    done = cli("ledger", "redact", WHO, "--yes", "--reason", "asked", "--json")
    assert (done.exit_code, json.loads(done.stdout)["events"]) == (0, 2)
    again = cli("ledger", "redact", WHO, "--json")
    assert json.loads(again.stdout)["forgotten_now"] is False
    assert "redacted" in cli("ledger", "show", "control:r1").stdout
    assert len(json.loads(cli("ledger", "subjects", "--json").stdout)["forgotten"]) == 1
    assert cli("ledger", "redact", "nobody", "--yes").exception.code == "L172"


def test_only_python_tasks_can_be_about_somebody(cli: Callable[..., Any]) -> None:
    """What a command writes, nobody could forget."""
    refused = cli("add", "--command", "true", "--check", "true", "--secret-subject", WHO)
    assert refused.exit_code == 2 or refused.exception is not None
    assert "Python task" in str(refused.exception) + refused.output


def test_the_ledger_of_another_program_keeps_secrets_too(tmp_path: Path) -> None:
    """The Python API, alone."""
    home = shelf.Home(tmp_path / "alone")
    with home.open() as ledger:
        assert isinstance(ledger, Ledger)
        made = ledger.append(
            [Draft("patients", StepDone(run="", branch="", name="", nth=0, args="", result=1), subject="p")]
        )
        assert (made[0].subject, made[0].redacted) == ("p", False)
        assert redaction.survey(ledger, "p").events == 1


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "redact.md"


def test_the_python_of_the_page_runs_and_its_errors_are_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands, in an empty folder, with the output that it says."""
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})  # noqa: S102 - our own page
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Islington 9"
    assert second.startswith("{'daybreak.redacted': '")
    codes = [error.code for error in (SubjectGone, SubjectUnknown, SubjectKeysBroken, NothingToDisclose, PastForgotten)]
    assert re.findall(r"^\| ([A-Z][0-9]+) \|", text, re.MULTILINE) == codes
