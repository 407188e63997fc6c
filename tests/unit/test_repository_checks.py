"""Looking at a repository with its own checks: what an honest result shows, and what tricks do not."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from daybreak.checks.evidence import Evidence
from daybreak.factory.repository import running
from daybreak.factory.repository.checks import NotRunnable, plan
from daybreak.factory.repository.regression import Base, Looking
from daybreak.factory.repository.running import Bench
from daybreak.factory.repository.task import NoWorker, RepositoryTaskWrong, asked
from daybreak.host.workspaces import CommitUnknown, NotARepository

HERE = Path(__file__).parent


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


desk = _module("repository_desk")
GUARD, MENDED = "tests/test_calc.py::test_add", "tests/test_calc.py::test_sub"


def bench(folder: Path, files: Mapping[str, str]) -> Bench:
    (folder / "files").mkdir(parents=True)
    desk.put(folder / "files", {**desk.FILES, **files})
    (folder / "scratch").mkdir()
    return Bench(folder / "files", folder / "scratch", (), 60, "degraded", threading.Event())


def looked(folder: Path, files: Mapping[str, str], command: str = desk.CHECK, **base: Any) -> Evidence:
    """Evidence about the small repository with these files, whose base lacks `sub`."""
    [check] = plan([command])
    told = {"passed": False, "summary": "", "tests_passed": (GUARD,), "tests_failed": (MENDED,), **base}
    before = Base.model_validate({"check": check.name, **told})
    return Looking(check, before, "0" * 64, sources=("calc.py",)).look(bench(folder, files))


def test_a_right_result_passes_and_says_how_many_it_mended(tmp_path: Path) -> None:
    """Every test is known by its name; what is mended fails again where the program is broken."""
    # shows: N2
    seen = looked(tmp_path, {"calc.py": desk.ADD + desk.SUB})
    assert (seen.outcome, seen.summary) == ("passed", "2 passed, 1 of them did not pass before")
    assert seen.counts == {"tests": 2, "passed": 2, "failed": 0, "skipped": 0, "mended": 1}


FORGE = """
import _pytest.python
_pytest.python.Function.runtest = lambda self: None
"""
ASK = """
import sys
if "pytest" in sys.modules:
    import atexit, os
    atexit.register(os._exit, 0)
    os._exit(0)
"""


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (desk.ADD + ASK, "ended the test run itself"),
        (desk.ADD + FORGE, "change how tests are run"),
        (desk.ADD + desk.SUB.replace("one - other", "one + other"), "1 failed: tests/test_calc.py::test_sub"),
        ("import pytest\npytest.skip('later', allow_module_level=True)\n", "passed before were skipped or not run"),
    ],
    ids=["exits", "forges", "wrong", "skips"],
)
def test_a_trick_in_the_program_is_no_pass(tmp_path: Path, source: str, why: str) -> None:
    """The worker's code runs in the process of the tests, and what it does there shows."""
    # shows: N2
    seen = looked(tmp_path, {"calc.py": source})
    assert seen.outcome == "failed"
    assert why in seen.summary


def test_a_result_that_does_not_depend_on_the_program_proves_nothing(tmp_path: Path) -> None:
    """A pass that stays where every function raises was not made by the program."""
    # shows: N2
    lying = "class _Any:\n    __eq__ = lambda self, other: True\n    __hash__ = None\nadd = sub = lambda *_: _Any()\n"
    seen = looked(tmp_path, {"calc.py": lying + "\n\ndef unused():\n    pass\n"})
    assert seen.outcome == "failed"
    assert "still pass when every function of the program raises" in seen.summary


def test_a_command_counts_by_its_exit_status(tmp_path: Path) -> None:
    """Where it names a runner of tests, a run without tests is no pass."""
    # shows: N2
    [check, none, unittest] = plan(["sh check.sh", "echo pytest", "cd tests && python -m unittest"])
    place = bench(tmp_path, {"notes.txt": "done\n"})
    assert running.run(check, place, tmp_path / "1").passed
    seen = running.run(none, place, tmp_path / "2")
    assert "no test that could be seen" in seen.problems[0]
    assert not running.run(unittest, place, tmp_path / "3").passed


def test_a_check_that_cannot_be_run_is_told_before_any_work(tmp_path: Path) -> None:
    """A program that is not there says nothing about the repository."""
    # shows: N2
    [check] = plan(["no-such-program-here --all"])
    seen = running.run(check, bench(tmp_path, {}), tmp_path / "1")
    with pytest.raises(NotRunnable, match="no-such-program-here"):
        Base.of(check, seen)


@pytest.mark.parametrize(
    ("prompt", "checks", "more", "error"),
    [
        ("", ["true"], {}, RepositoryTaskWrong),
        ("do it", [], {}, RepositoryTaskWrong),
        ("do it", ["true", "true"], {}, RepositoryTaskWrong),
        ("do it", [" "], {}, RepositoryTaskWrong),
        ("do it", ["true"], {"protect": ["/etc/**"]}, RepositoryTaskWrong),
        ("do it", ["true"], {"attempts": 0}, RepositoryTaskWrong),
        ("do it", ["true"], {"time_s": float("nan")}, RepositoryTaskWrong),
        ("do it", ["true"], {"sandbox": "sand"}, RepositoryTaskWrong),
        ("do\0it", ["true"], {}, RepositoryTaskWrong),
        ("do it", ["true"], {"workers": []}, NoWorker),
        ("do it", ["true"], {"workers": ["builder"]}, NoWorker),
        ("do it", ["true"], {"base": "no-such-branch"}, CommitUnknown),
    ],
)
def test_what_cannot_be_asked_is_refused(
    tmp_path: Path, prompt: str, checks: list[str], more: dict[str, Any], error: type[Exception]
) -> None:
    """Before anything is recorded, with a hint."""
    # shows: N2
    repo = desk.make(tmp_path / "calc")
    with pytest.raises(error):
        asked(repo, prompt, checks, cwd=repo, environment={}, **{"workers": ["json:one"], **more})


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    """Folders above it are not searched."""
    # shows: N2
    with pytest.raises(NotARepository):
        asked(tmp_path, "do it", ["true"], cwd=tmp_path, environment={}, workers=["json:one"])
    with pytest.raises(RepositoryTaskWrong, match="no folder"):
        asked(tmp_path / "x", "do it", ["true"], cwd=tmp_path, environment={}, workers=["json:one"])
