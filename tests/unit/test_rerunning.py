"""`daybreak report check --rerun`: what lies on this machine is looked at again, and no more is said than was seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.unit.repository_desk import git, make
from tests.unit.verdict_scene import Scene

from daybreak.factory import deliver
from daybreak.home import rerunning
from daybreak.report.morning.model import Evidence, Result, Said

NO_HOME = "there is no home here that has its specification"


def _look(output: object, manifest: str = "", **told: object) -> rerunning.Again:
    one = Result(run="run-1", title="t", kind="build", output=str(output), manifest=manifest, **told)  # type: ignore[arg-type]
    return rerunning._look(one, None, NO_HOME)


@pytest.fixture
def delivery(tmp_path: Path) -> tuple[Path, str]:
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text("print(1)\n")
    made = deliver.put(project, tmp_path / "out", {"run": "run-1"})
    return tmp_path / "out", made.hash


def test_a_folder_that_is_as_it_was_says_which_part_was_not_run(delivery: tuple[Path, str]) -> None:
    out, manifest = delivery
    told = _look(out, manifest)
    assert told.same is True
    assert told.not_looked == (f"its acceptance examples: {NO_HOME}",)
    assert "not run" in told.words


def test_a_folder_that_was_changed_replaced_or_removed_is_found(delivery: tuple[Path, str], tmp_path: Path) -> None:
    out, manifest = delivery
    assert _look(out, "0" * 64).looked == ("its manifest is another one, of run run-1",)
    (out / "main.py").write_text("print(2)\n")
    (out / "more.py").write_text("")
    assert _look(out, manifest).looked == ("changed main.py, added more.py",)
    (out / "more.py").unlink()
    shutil.rmtree(out)
    out.mkdir()
    (out / "main.py").write_text("print(2)\n")
    project = tmp_path / "again"
    project.mkdir()
    (project / "main.py").write_text("print(2)\n")
    shutil.rmtree(out)
    deliver.put(project, out, {"run": "run-2"})
    told = _look(out, manifest)
    assert (told.same, told.looked) == (False, ("its manifest is another one, of run run-2",))
    shutil.rmtree(out)
    assert _look(out, manifest).looked == ("it is not there",)
    out.write_text("a file")
    assert _look(out, manifest).same is False


def test_a_provenance_that_is_not_the_one_of_the_delivery_is_found(tmp_path: Path) -> None:
    """No manifest can have its hash; the ledger has, and the page by it."""
    # shows: F12
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "main.py").write_text("one = 1\n")
    out = tmp_path / "out"
    made = deliver.put(tmp_path / "project", out, {"name": "n", "run": "run-1"}, lambda delivered: b"signed\n")
    assert _look(out, made.hash, provenance=made.provenance).same
    assert _look(out, made.hash).same, "pages of older versions do not speak of it"
    (out / deliver.PROVENANCE).write_bytes(b"altered\n")
    told = _look(out, made.hash, provenance=made.provenance)
    assert (told.same, told.looked) == (False, (f"{deliver.PROVENANCE} is not the one that was delivered",))
    (out / deliver.PROVENANCE).unlink()
    assert _look(out, made.hash, provenance=made.provenance).same is False


def test_a_page_that_speaks_of_a_provenance_where_there_is_none_is_not_believed(delivery: tuple[Path, str]) -> None:
    out, manifest = delivery
    assert _look(out, manifest, provenance="0" * 64).same is False


def test_a_branch_holds_its_commit_or_it_does_not(tmp_path: Path) -> None:
    repo = tmp_path / "calc"
    make(repo, {"calc.py": "x = 1\n"})
    git(repo, "branch", "daybreak/run-1")
    commit = git(repo, "rev-parse", "main").strip()[:12]
    output = f"{repo} (branch daybreak/run-1, commit {commit})"
    told = _look(output)
    assert (told.same, told.looked) == (True, ("the branch ends with that commit",))
    assert told.not_looked, "its checks were not run, and it says so"
    (repo / "calc.py").write_text("x = 2\n")
    git(repo, "commit", "-q", "-a", "-m", "more")
    assert "went on to" in _look(f"{repo} (run-1 in main, commit {commit})").looked[0]
    newest = git(repo, "rev-parse", "main").strip()[:12]
    told = _look(f"{repo} (branch daybreak/run-1, commit {newest})")
    assert told.same is False
    assert "does not hold the commit" in told.looked[0]
    git(repo, "branch", "-q", "-D", "daybreak/run-1")
    assert _look(output).looked == ("the branch is not there",)
    shutil.rmtree(repo)
    assert _look(output).looked == ("the repository is not there",)


def test_what_was_undone_or_names_no_place_is_not_called_changed(tmp_path: Path) -> None:
    place = Evidence(index=1, place="run:x:control#1", at="2026-03-01T22:00:00Z", what="result.undone")
    undone = [Said(word="undone", who="person ada", at="2026-03-01T22:00:00Z", text="", evidence=place)]
    assert _look(tmp_path / "gone", said=undone).same is None
    assert _look("somewhere else").same is None


def test_a_run_of_this_home_without_a_users_specification_is_not_said_to_have_run(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    with scene.ledger() as ledger:
        run, _ = scene.branch(ledger)
        home = type("Home", (), {"ledger": ledger, "places": scene.places})()
        passed, told, missing = rerunning._examples(run, tmp_path, home)
    assert (passed, told) == (True, ())
    assert "no specification" in missing[0]
