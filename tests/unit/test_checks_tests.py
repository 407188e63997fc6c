"""The check of test runs, against projects that try to look tested."""

from __future__ import annotations

import importlib.util
import json
import threading
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.checks import Evidence, tests, watched

HASH = "ab" * 32


def _shelf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("checks_shelf", Path(__file__).with_name("checks_shelf.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SHELF = _shelf()
FAILING = "def test_that_fails():\n    assert 1 == 2\n"
HONEST = SHELF.FILES["tests/test_shelf.py"]


def look(tmp_path: Path, changes: dict[str, str | None] | None = None, **options: object) -> Evidence:
    """Evidence about the honest project with some files changed; coverage plays no part unless asked for."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    tree = SHELF.write(tmp_path / "tree", changes)
    before = {str(path): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    given = {"coverage_min": 0, **options}
    seen: Evidence = tests.look(tree, HASH, scratch=scratch, **given)
    assert {str(path): path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before
    return seen


def said(evidence: Evidence) -> str:
    return " | ".join([evidence.summary, *(f"{mark.place} {mark.message}" for mark in evidence.marks)])


def test_honest_tests_pass_and_are_counted(tmp_path: Path) -> None:
    """Four tests, each of which fails without the program, and how much of the source they reach."""  # shows: F1 P5
    seen = look(tmp_path, coverage_min=85)
    assert seen.outcome == "passed", said(seen) + seen.output
    assert seen.counts["tests"] == seen.counts["passed"] == 4
    assert 85 < seen.counts["coverage"] < 90  # __main__ and the server's loop are not reached
    assert seen.counts["counting"] == 4
    assert seen.summary.startswith("4 passed (4 of them fail when the program is broken), coverage 87")
    assert seen.workspace == HASH


def test_coverage_below_what_is_asked_fails(tmp_path: Path) -> None:
    """The number counts, also where all tests pass."""
    seen = look(tmp_path, coverage_min=90, trusted=True)
    assert seen.outcome == "failed"
    assert "coverage is 87" in said(seen)


def test_a_failing_test_fails_with_its_name_and_what_it_said(tmp_path: Path) -> None:
    """One failure is enough, and a worker can see which."""
    seen = look(tmp_path, {"tests/test_more.py": FAILING})
    assert seen.outcome == "failed"
    assert seen.counts["failed"] == 1
    assert "tests/test_more.py::test_that_fails" in said(seen)
    assert "assert 1 == 2" in said(seen)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "no test was executed"),
        ("import pytest\n\n\n@pytest.mark.skip\ndef test_a():\n    pass\n", "no test was executed"),
        ("import pytest\n\n\n@pytest.mark.xfail\ndef test_a():\n    assert False\n", "no test was executed"),
        ("import nothing_here\n\n\ndef test_a():\n    pass\n", "nothing_here"),
        ("def test_a(:\n", "test_shelf.py"),
        (
            "import pytest\n\n\n@pytest.fixture\ndef f():\n    yield\n    1 / 0\n\n\ndef test_a(f):\n    pass\n",
            "ZeroDivision",
        ),
    ],
)
def test_tests_that_do_not_really_run_fail(tmp_path: Path, text: str, message: str) -> None:
    """None, all skipped, all expected to fail, not importable, broken fixtures."""  # shows: F1
    seen = look(tmp_path, {"tests/test_shelf.py": text})
    assert seen.outcome == "failed"
    assert message in said(seen)


def test_no_tests_folder_fails(tmp_path: Path) -> None:
    """Nothing to run is not nothing wrong."""
    assert look(tmp_path, {"tests/test_shelf.py": None}).outcome == "failed"


def test_mostly_skipped_tests_fail(tmp_path: Path) -> None:
    """One test that runs does not excuse many that do not."""
    skipped = (
        "import pytest\n\n\n@pytest.mark.skip\n@pytest.mark.parametrize('n', range(20))\ndef test_a(n):\n    pass\n"
    )
    assert "20 of 24 tests were skipped" in said(look(tmp_path, {"tests/test_more.py": skipped}))


EXIT_0 = "import os\n\n\ndef test_zero():\n    os._exit(0)\n"
CONFTEST_PASSES_ALL = """
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    report.outcome = "passed"
"""
CONFTEST_RUNS_NONE = "def pytest_pyfunc_call(pyfuncitem):\n    return True\n"
CONFTEST_DESELECTS = """
def pytest_collection_modifyitems(config, items):
    bad = [item for item in items if "fails" in item.name]
    config.hook.pytest_deselected(items=bad)
    items[:] = [item for item in items if item not in bad]
"""
CONFTEST_DROPS_SILENTLY = (
    "def pytest_collection_modifyitems(items):\n    items[:] = [i for i in items if 'fails' not in i.name]\n"
)
CONFTEST_DROPS_ALL = "def pytest_collection_modifyitems(items):\n    items[:] = items[:1]\n"
CONFTEST_IGNORES = "collect_ignore = ['test_more.py']\n"
CONFTEST_SKIPS = """
import pytest

@pytest.fixture(autouse=True)
def skip(request):
    if "fails" in request.node.name:
        pytest.skip("not today")
"""
CONFTEST_SKIPS_ALL = "import pytest\n\n@pytest.fixture(autouse=True)\ndef skip():\n    pytest.skip('not today')\n"
CONFTEST_REGISTERS = """
class Plugin:
    def pytest_pyfunc_call(self, pyfuncitem):
        return True

def pytest_configure(config):
    config.pluginmanager.register(Plugin())
"""
CONFTEST_PATCHES = """
import _pytest.python
_pytest.python.Function.runtest = lambda self: None
"""
CONFTEST_PATCHES_REPORT = """
from _pytest.reports import TestReport
real = TestReport.from_item_and_call.__func__

def lying(cls, item, call):
    call.excinfo = None
    return real(cls, item, call)

TestReport.from_item_and_call = classmethod(lying)
"""
CONFTEST_EXITS = """
import os

def pytest_sessionfinish(session):
    os._exit(0)
"""
CONFTEST_SETS_STATUS = "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n"
CONFTEST_STOPS = (
    "import pytest\n\ndef pytest_runtest_setup(item):\n    if 'fails' in item.name:\n        pytest.exit('enough', 0)\n"
)
CONFTEST_ATEXIT = "import atexit, os\natexit.register(os._exit, 0)\n"
CONFTEST_FORGES_CHANNEL = """
import json, os

def pytest_configure(config):
    for kind in ("end",):
        os.write(9, (json.dumps({"nonce": "guess", "kind": kind, "code": 1}) + "\\n").encode())
"""
CONFTEST_JUNIT = """
from pathlib import Path
Path("junit.xml").write_text('<testsuite tests="9" failures="0"/>')
Path("results.json").write_text('{"passed": 9}')
"""


@pytest.mark.parametrize(
    ("conftest", "message"),
    [
        (CONFTEST_PASSES_ALL, "pytest_runtest_makereport"),
        (CONFTEST_RUNS_NONE, "pytest_pyfunc_call"),
        (CONFTEST_DESELECTS, "deselected"),
        (CONFTEST_DROPS_SILENTLY, "never collected"),
        (CONFTEST_DROPS_ALL, "never collected"),
        (CONFTEST_IGNORES, "never collected"),
        (CONFTEST_SKIPS_ALL, "must fail"),
        (CONFTEST_REGISTERS, "pytest_pyfunc_call"),
        (CONFTEST_PATCHES, "must fail"),
        (CONFTEST_PATCHES_REPORT, "must fail"),
        (CONFTEST_EXITS, "ended the test run itself"),
        (CONFTEST_SETS_STATUS, "pytest_sessionfinish"),
        (CONFTEST_STOPS, "no result"),
        (CONFTEST_ATEXIT, "1 failed"),
        (CONFTEST_FORGES_CHANNEL, "channel of results"),
        (CONFTEST_JUNIT, "1 failed"),
    ],
)
def test_a_conftest_cannot_make_failing_tests_pass(tmp_path: Path, conftest: str, message: str) -> None:
    # shows: X6 F1
    """Changed reports, skipped bodies, dropped tests, early ends, forged files: each fails and is named."""
    seen = look(tmp_path, {"tests/conftest.py": conftest, "tests/test_more.py": FAILING})
    assert seen.outcome == "failed"
    assert message in said(seen), said(seen) + seen.output


def test_skipping_what_fails_is_seen_as_skipped(tmp_path: Path) -> None:
    """A fixture may skip a test; the test then counts as skipped, never as passed."""
    seen = look(tmp_path, {"tests/conftest.py": CONFTEST_SKIPS, "tests/test_more.py": FAILING})
    assert (seen.counts["passed"], seen.counts["skipped"]) == (4, 1)


def test_a_harmless_conftest_is_fine(tmp_path: Path) -> None:
    """Fixtures, options and markers are everyday work."""
    conftest = """
import pytest

def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long")

def pytest_addoption(parser):
    parser.addoption("--fast", action="store_true")

@pytest.fixture
def number():
    return 3
"""
    seen = look(
        tmp_path, {"tests/conftest.py": conftest, "tests/test_n.py": "def test_n(number):\n    assert number == 3\n"}
    )
    assert seen.outcome == "passed", said(seen)


def test_sitecustomize_in_the_tree_is_not_loaded(tmp_path: Path) -> None:
    """It would run before everything else."""
    places = ["sitecustomize.py", "src/sitecustomize.py", "usercustomize.py", "tests/sitecustomize.py"]
    evil = dict.fromkeys(places, "import os\nos._exit(0)\n")
    assert "1 failed" in said(look(tmp_path, {**evil, "tests/test_more.py": FAILING}))


@pytest.mark.parametrize("folder", ["", "src/", "tests/"])
def test_modules_that_shadow_our_tools_do_nothing(tmp_path: Path, folder: str) -> None:
    """What we use is loaded before the tree is on the path."""
    names = ["pytest", "coverage", "ast", "pathlib", "_pytest", "pluggy", "watching", "sqlite3"]
    evil = {f"{folder}{name}.py": "raise SystemExit(0)\n" for name in names}
    seen = look(tmp_path, {**evil, "tests/test_more.py": FAILING})
    assert seen.outcome == "failed"
    assert "1 failed" in said(seen)


CONFIGURATION = {
    "pytest.ini": "[pytest]\naddopts = --collect-only\n",
    "tox.ini": "[pytest]\naddopts = -k nothing\n",
    "setup.cfg": "[tool:pytest]\naddopts = --co\n[coverage:report]\nexclude_lines = .*\n",
    ".coveragerc": "[run]\nomit = *\n",
}


def test_configuration_in_the_tree_does_not_choose_the_tests(tmp_path: Path) -> None:
    """All tests run, whatever the tree configures."""
    seen = look(tmp_path, {**CONFIGURATION, "tests/test_more.py": FAILING})
    assert "1 failed" in said(seen)
    assert seen.counts["tests"] == 5


def test_configuration_in_the_tree_does_not_choose_what_is_measured(tmp_path: Path) -> None:
    """Coverage is of everything in src."""
    seen = look(tmp_path, CONFIGURATION, trusted=True)
    assert 85 < seen.counts["coverage"] < 90


def test_pragmas_do_not_raise_the_coverage(tmp_path: Path) -> None:
    """A project cannot choose what is measured."""
    text = (
        "def never(x: int) -> int:  # pragma: no cover\n"
        + "".join(f"    x += {n}\n" for n in range(50))
        + "    return x\n"
    )
    seen = look(tmp_path, {"src/shelf/never.py": text}, coverage_min=85, trusted=True)
    assert seen.outcome == "failed"
    assert seen.counts["coverage"] < 60


def test_exiting_with_zero_inside_a_test_fails(tmp_path: Path) -> None:
    """`os._exit(0)` ends everything with a status that looks good, and nothing before it counts."""  # shows: X6
    seen = look(tmp_path, {"tests/test_aaa.py": EXIT_0})
    assert seen.outcome == "failed"
    assert "ended the test run itself (exit status 0)" in said(seen)


def test_an_object_that_equals_everything_fools_nobody(tmp_path: Path) -> None:
    """Outcomes and names that claim to equal anything are plain text by the time that anything is decided."""
    conftest = """
class Yes(str):
    def __eq__(self, other):
        return True
    __hash__ = str.__hash__

def pytest_runtest_logreport(report):
    if report.failed:
        report.outcome = Yes("passed")
"""
    seen = look(tmp_path, {"tests/conftest.py": conftest, "tests/test_more.py": FAILING})
    assert seen.outcome == "failed"


def test_a_test_that_hangs_is_ended(tmp_path: Path) -> None:
    """With what it started."""
    text = "import subprocess, time\n\n\ndef test_a():\n    subprocess.Popen(['sleep', '1000'])\n    time.sleep(1000)\n"
    seen = look(tmp_path, {"tests/test_aaa.py": text}, timeout_s=3)
    assert seen.outcome == "failed"
    assert "time was over" in said(seen)


def test_a_cancelled_run_is_unusable(tmp_path: Path) -> None:
    """Neither passed nor failed."""
    cancelled = threading.Event()
    cancelled.set()
    assert look(tmp_path, cancelled=cancelled).outcome == "unusable"


# -- counting


def lines(*told: dict[str, object], nonce: str = "n") -> bytes:
    return b"".join(json.dumps({"nonce": nonce, **one}).encode() + b"\n" for one in told)


def test_lines_without_the_nonce_are_a_trick() -> None:
    """And they count for nothing."""
    result = {"kind": "result", "id": "t", "when": "call", "outcome": "passed", "why": ""}
    seen = watched.tally(lines(result, nonce="guess") + b"not json\n" + b'{"nonce": ["n"]}\n', "n")
    assert not seen.passed
    assert len(seen.tricks) == 3


def test_a_failure_is_not_mended_by_a_later_pass() -> None:
    """Teardown errors and repeats count against a test."""
    said = {"kind": "result", "id": "t", "why": "x"}
    for order in (("failed", "passed"), ("passed", "failed")):
        seen = watched.tally(lines(*({**said, "when": "call", "outcome": outcome} for outcome in order)), "n")
        assert (seen.passed, set(seen.failed)) == (set(), {"t"})


@given(st.binary(max_size=300))
def test_anything_may_be_told_without_harm(told: bytes) -> None:
    """Whatever comes over the channel, counting ends and nothing passes."""
    assert not watched.tally(told, "n").passed
