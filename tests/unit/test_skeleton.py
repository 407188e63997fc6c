"""The skeleton: only where somebody asked for it, labelled as what it is, and never in the place of anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.build_desk import BAD, GOOD, SPECIFICATION, Desk, says

from daybreak.agents.protocol import Claim
from daybreak.factory import deliver, skeleton
from daybreak.factory.spec import read_text
from daybreak.report import render
from daybreak.report.run import collect

REFUSED = Claim(outcome="refused", summary="it is not for me", not_built=("all of it",))
ONE = "json:one"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_without_the_wish_nothing_is_left(desk: Desk) -> None:
    """A folder that looks like a result would be a lie."""  # shows: F1, F8
    desk.works = [says(REFUSED)]
    assert desk.supervise(desk.submit(ONE)).state == "failed"
    assert not desk.output.exists()


def test_every_file_of_it_says_that_nothing_is_built_and_the_run_has_failed(desk: Desk) -> None:
    """Whoever opens any of them knows; the report says it too."""  # shows: F8, F16
    desk.works = [says(REFUSED)]
    run = desk.submit(ONE, skeleton=True)
    result = desk.supervise(run)
    assert result.state == "failed"
    assert result.why.startswith(f"worker {ONE} refused: it is not for me")
    files = sorted(path for path in desk.output.rglob("*") if path.is_file())
    assert len(files) == 4
    assert [path.name for path in files if skeleton.LABEL not in path.read_text()] == []
    assert deliver.changes(desk.output) == []
    report = collect(desk.ledger.read(f"run:{run}"))
    assert report.delivered is None
    assert report.skeleton is not None
    assert report.skeleton.outcome == "not built"
    assert str(desk.output) in render.to_markdown(report)


def test_what_the_gate_refused_is_not_left_in_its_place(desk: Desk) -> None:
    """Three attempts that were looked at, and a skeleton with nothing of theirs."""  # shows: F1, F8
    desk.works = [BAD]
    result = desk.supervise(desk.submit(ONE, skeleton=True))
    assert result.state == "failed"
    assert "notes is not verified" in result.why
    assert not list(desk.output.rglob("bad"))
    assert (desk.output / "NOT_BUILT.md").is_file()


def test_what_is_there_already_stays_as_it_is(desk: Desk) -> None:
    """An earlier delivery that works, and a file of the user's."""  # shows: F8
    assert desk.supervise(desk.submit(ONE)).state == "done"
    before = {path: path.read_bytes() for path in desk.output.rglob("*") if path.is_file()}
    desk.works = [says(REFUSED)]
    run = desk.submit(ONE, skeleton=True)
    assert desk.supervise(run).state == "failed"
    assert {path: path.read_bytes() for path in desk.output.rglob("*") if path.is_file()} == before
    report = collect(desk.ledger.read(f"run:{run}"))
    assert report.skeleton is not None
    assert (report.skeleton.outcome, "there already" in report.skeleton.summary) == ("not put there", True)


@pytest.mark.parametrize("there", ["file", "link"])
def test_a_file_or_link_in_its_place_is_left_alone(tmp_path: Path, there: str) -> None:
    """Also where it leads nowhere."""
    output = tmp_path / "out"
    output.write_text("mine") if there == "file" else output.symlink_to(tmp_path / "nowhere")
    spec = read_text(SPECIFICATION, name="notes.md", format="md")
    assert skeleton.put(output, spec, SPECIFICATION, "run-1", tmp_path / "scratch") == 0
    assert there == "link" or output.read_text() == "mine"


def test_after_a_crash_it_is_found_to_be_there(tmp_path: Path) -> None:
    """The same run puts it once; another one leaves it."""  # shows: N1
    spec = read_text(SPECIFICATION, name="notes.md", format="md")
    output = tmp_path / "out"
    first = skeleton.put(output, spec, SPECIFICATION, "run-1", tmp_path / "a")
    assert skeleton.put(output, spec, SPECIFICATION, "run-1", tmp_path / "b") == first == 3
    assert skeleton.put(output, spec, SPECIFICATION, "run-2", tmp_path / "c") == 0


def test_a_skeleton_makes_way_for_a_result(desk: Desk) -> None:
    """It is ours, and nobody has changed it."""  # shows: F8
    desk.works = [says(REFUSED), GOOD]
    assert desk.supervise(desk.submit(ONE, skeleton=True)).state == "failed"
    assert desk.supervise(desk.submit(ONE)).state == "done"
    assert (desk.output / "good").is_file()
    assert not (desk.output / "NOT_BUILT.md").exists()


def test_the_exit_status_is_one(tmp_path: Path) -> None:
    """A script must not take it for a result; the embedded builder refuses another language."""  # shows: F8
    (tmp_path / "spec.md").write_text(SPECIFICATION.replace("name: notes\n", "name: notes\nlanguage: cobol\n"))
    ran = subprocess.run(
        [sys.executable, "-m", "daybreak", "build", "spec.md", "--skeleton", "--sandbox", "none", "--json"],
        cwd=tmp_path,
        env={"DAYBREAK_HOME": str(tmp_path / "home"), "DAYBREAK_CONFIG": "/dev/null", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["state"], told["skeleton"]["outcome"]) == ("failed", "not built")
    assert (tmp_path / "notes" / "NOT_BUILT.md").is_file()
