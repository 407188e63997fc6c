"""Mending a project: who is believed, what is kept, and what the user gets."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from daybreak import events
from daybreak.agents.protocol import Brief, Claim
from daybreak.errors import DaybreakError
from daybreak.factory import blobs
from daybreak.settings import Validate


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


scene = _module("validate_desk")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Any]:
    with scene.opened(tmp_path) as opened:
        yield opened


def outcomes(desk: Any, run: str, attempt: int) -> dict[str, str]:
    looked = desk.events(run, events.CheckLooked)
    return {one.evidence["check"]: one.evidence["outcome"] for one in looked if one.attempt == attempt}


def test_liars_cheats_and_crashes_are_refused_and_the_right_repair_becomes_a_branch(desk: Any) -> None:
    """One clean commit on top of HEAD by the user's own name; what is not committed stays as it is."""
    # shows: P7, P5
    scene.put(desk.project, {"calc.py": "dirty = True\n"})
    before = scene.git(desk.project, "status", "--porcelain=v2", "--branch")
    cheat = scene.writes({"tests/test_calc.py": "def test_sub():\n    pass\n", "calc.py": scene.RIGHT})
    silent = scene.writes({"calc.py": scene.RIGHT.replace("return one - other", "return one - other  # noqa: E501")})

    def crash(folder: Path, brief: Brief) -> Claim:
        return Claim(outcome="crashed", summary="it broke")

    worse = scene.writes({"calc.py": scene.RIGHT.replace("one + other", "one")})
    right = scene.writes({"calc.py": scene.RIGHT})
    several = ("json:one", "json:two", "json:tool", "json:scanner", "json:decoder")
    done = desk.run(
        *(cheat, silent, worse, crash, right), fix=True, attempts=9, workers=several, validate=scene.TESTS_ONLY
    )
    assert (done.state, done.value["verdict"], done.value["attempts"]) == ("done", "passed", 5), done.why
    assert scene.git(desk.project, "status", "--porcelain=v2", "--branch") == before
    assert outcomes(desk, done.run, 1) == {"protected": "failed"}, "of a cheat nothing else is looked at"
    assert outcomes(desk, done.run, 2) == {"protected": "failed"}
    assert outcomes(desk, done.run, 3)["tests:python"] == "failed"
    told = "\n".join(one.message for one in desk.scripted.briefs[1].findings)
    assert "tests/test_calc.py was changed, and is protected" in told
    assert "test_sub" in told, "what is wrong with the project is told as well"
    assert "1 more comments that silence checks" in "\n".join(one.message for one in desk.scripted.briefs[2].findings)
    assert "1 tests that passed before fail" in "\n".join(one.message for one in desk.scripted.briefs[3].findings)
    branch = f"daybreak/{done.run}"
    assert desk.branches() == [branch, "main"]
    assert scene.git(desk.project, "show", f"{branch}:calc.py") == scene.RIGHT
    assert scene.git(desk.project, "diff", "--name-only", f"main..{branch}").split() == ["calc.py"]
    assert scene.git(desk.project, "log", "-1", "--format=%an", branch).strip() == "Ada"
    assert "Daybreak-Gate: passed" in scene.git(desk.project, "log", "-1", "--format=%B", branch)
    judged = desk.events(done.run, events.AttemptJudged)
    assert [one.solved for one in judged] == [False, False, False, False, True]
    named = [blob for event in desk.events(done.run) for blob in blobs.blobs_of(event)]
    assert named
    assert all(desk.ledger.get_blob(blob) for blob in named)
    assert not list(desk.places.workspaces.glob("*/*"))


def test_fixers_go_first_and_no_worker_is_paid_for_what_they_can_do(tmp_path: Path) -> None:
    """An unused import and a bad layout are mended without anybody being asked, and the user's file is a patch."""
    # shows: P7
    files = {
        **scene.FILES,
        "calc.py": scene.RIGHT.replace("one + other", "one+other"),
        "tests/test_calc.py": scene.UGLY,
    }
    with scene.opened(tmp_path, files) as desk:
        patch = tmp_path / "mended.patch"
        done = desk.run(scene.writes({}), fix=True, patch=patch)
        assert (done.state, done.value["attempts"]) == ("done", 0), done.why
        assert desk.scripted.briefs == []
        assert desk.branches() == ["main"]
        first, last = desk.gates(done.run)
        assert first["verdict"] == "failed"
        assert last["verdict"] == "passed"
        assert first["score"] < last["score"] == 100.0
        scene.git(desk.project, "apply", str(patch))
        assert (desk.project / "calc.py").read_text() == scene.RIGHT
        assert (desk.project / "tests/test_calc.py").read_text() == scene.TESTS
        manifest = json.loads(desk.ledger.get_blob(done.value["manifest"]))
        assert (manifest["before"]["verdict"], manifest["after"]["verdict"]) == ("failed", "passed")
        decided = desk.events(done.run, events.GateDecided)
        assert sum(row["points"] for row in decided[-1].table) == pytest.approx(100)
        with pytest.raises(DaybreakError) as refused:
            desk.submit(fix=True, patch=patch)
        assert refused.value.code == "U222", "an existing file is not overwritten"


def test_in_place_keeps_what_is_not_committed_and_touches_nothing_that_changes_meanwhile(tmp_path: Path) -> None:
    """Refused on a dirty tree; asked to go on all the same it mends the files as they are, all or none."""
    # shows: P7
    files = {**scene.FILES, "calc.py": scene.RIGHT, "tests/test_calc.py": scene.UGLY}
    with scene.opened(tmp_path, files) as desk:
        mine = scene.RIGHT + "\n\nMINE=1\n"
        scene.put(desk.project, {"calc.py": mine, "new.txt": "mine\n"})
        with pytest.raises(DaybreakError) as refused:
            desk.submit(fix=True, in_place=True)
        assert refused.value.code == "U223"
        assert "calc.py" in refused.value.message
        run = desk.submit(fix=True, in_place=True, even_if_dirty=True)
        done = desk.supervise(run)
        assert done.state == "done", done.why
        assert (desk.project / "calc.py").read_text() == mine.replace("MINE=1", "MINE = 1")
        assert (desk.project / "tests/test_calc.py").read_text() == scene.TESTS
        assert (desk.project / "new.txt").read_text() == "mine\n"
        assert scene.git(desk.project, "status", "--porcelain").split("\n")[0] == " M calc.py"

    with scene.opened(tmp_path / "second") as desk:

        def meanwhile(folder: Path, brief: Brief) -> None:
            scene.put(folder, {"calc.py": scene.RIGHT, "README.md": "# calc\n\nMended.\n"})
            scene.put(desk.project, {"calc.py": "# the user writes\n"})

        parked = desk.run(meanwhile, fix=True, in_place=True, attempts=1, validate=scene.TESTS_ONLY)
        assert parked.state == "parked", parked.why
        assert "changed while they were looked at" in parked.question
        assert (desk.project / "calc.py").read_text() == "# the user writes\n"
        assert (desk.project / "README.md").read_text() == scene.FILES["README.md"], "all or none"


@pytest.mark.chaos
def test_without_progress_there_is_a_verdict_and_the_best_is_kept(tmp_path: Path) -> None:
    """A worker that mends nothing is asked no longer than it makes sense; what fixers mended is delivered."""
    # shows: P7
    with scene.opened(tmp_path, {**scene.FILES, "tests/test_calc.py": scene.UGLY}) as desk:
        failed = desk.run(scene.writes({"notes.txt": "I did it\n"}), fix=True, attempts=9)
        assert (failed.state, failed.code) == ("failed", "C188")
        assert "no progress in 2 attempts" in failed.why
        assert len(desk.scripted.briefs) == 2
        branch = next(name for name in desk.branches() if name != "main")
        assert scene.git(desk.project, "diff", "--name-only", f"main..{branch}").split() == ["tests/test_calc.py"]
        assert "Mend a part" in scene.git(desk.project, "log", "-1", "--format=%B", branch)


@pytest.mark.chaos
def test_a_program_that_makes_up_its_results_mends_nothing(desk: Any) -> None:
    """Ending the run of the tests from inside, and changing pytest, are seen for what they are."""
    # shows: P7, V4
    quits = scene.writes({"calc.py": "import os\n\nos._exit(0)\n"})
    patched = scene.writes(
        {"calc.py": scene.WRONG + "\n\nimport sys\n\n\ndef _patch():\n    import _pytest.python\n\n"
         "    _pytest.python.Function.runtest = lambda self: None\n\n\nif 'pytest' in sys.modules:\n    _patch()\n"}
    )  # fmt: skip
    failed = desk.run(quits, patched, fix=True, attempts=2, validate=scene.TESTS_ONLY)
    assert failed.state == "failed"
    assert outcomes(desk, failed.run, 1)["tests:python"] == "failed"
    assert outcomes(desk, failed.run, 2)["tests:python"] == "failed"
    assert desk.branches() == ["main"]


def test_zero_tests_are_a_veto_and_missing_packages_are_no_failing_tests(tmp_path: Path) -> None:
    """A project without tests has not been shown to work; a test that cannot be imported says what to install."""
    # shows: P7
    files = {name: text for name, text in scene.FILES.items() if not name.startswith("tests/")}
    with scene.opened(tmp_path / "none", {**files, "calc.py": scene.RIGHT}, repository=False) as desk:
        failed = desk.run(validate=scene.TESTS_ONLY)
        assert (failed.state, failed.code) == ("failed", "C188")
        assert "zero tests were executed" in failed.why
    needs = "import no_such_package\n\n\ndef test_it():\n    assert no_such_package\n"
    with scene.opened(
        tmp_path / "missing", {**scene.FILES, "calc.py": scene.RIGHT, "tests/test_more.py": needs}, repository=False
    ) as desk:
        failed = desk.run(validate=scene.TESTS_ONLY)
        assert "no_such_package is not installed here, and 1 test files need it" in failed.why
        [seen] = [
            one.evidence
            for one in desk.events(failed.run, events.CheckLooked)
            if one.evidence["check"] == "tests:python"
        ]
        assert (seen["outcome"], seen["counts"]["failed"], seen["counts"]["passed"]) == ("unusable", 0, 2)
        told = Validate(**{**scene.QUICK.model_dump(), "not_required": ("tests",)})
        assert desk.run(validate=told).state == "done"
