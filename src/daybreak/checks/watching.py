"""Runs a project's tests under watch: `python -I watching.py TREE [COVERAGE_FILE]`, nonce on standard input.

The tests and we share this process, and one process cannot keep a secret from itself: code that goes through our
frames or our memory finds the nonce and can write whatever it likes in our name, without running a test. The check
`syntax` names the words that such code needs where they stand in the tests as they are; code that hides them is not
found by anything here. That is why the check runs us again on altered programs and believes what changes with the
program (see `twins`). What this does hold against is pytest's own means: hooks, replaced functions, skipped,
deselected and uncollected tests, early ends. What is seen goes as JSON lines, each with the nonce, to descriptor 9, a
pipe whose other end is ours: what ran, how each test ended, what changed pytest on the way, and a last line. Without
that line (`os._exit`, a crash) nothing before it counts. A test of ours that must fail runs along: where it is not
seen to fail, results are not what they seem. No comparison that decides anything is made here, since objects of the
tests may claim to equal everything; only plain text leaves.

Imports pytest and coverage, nothing of ours.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path
from types import CodeType, FunctionType

import coverage
import pytest

CHANNEL = 9
_PYTEST = os.path.dirname(os.path.dirname(os.path.abspath(pytest.__file__)))
RESULT_HOOKS = (
    "pytest_cmdline_main",
    "pytest_collect_file",
    "pytest_collection",
    "pytest_collection_modifyitems",
    "pytest_deselected",
    "pytest_exception_interact",
    "pytest_ignore_collect",
    "pytest_itemcollected",
    "pytest_load_initial_conftests",
    "pytest_make_collect_report",
    "pytest_pycollect_makeitem",
    "pytest_pycollect_makemodule",
    "pytest_pyfunc_call",
    "pytest_report_from_serializable",
    "pytest_report_teststatus",
    "pytest_runtest_call",
    "pytest_runtest_logfinish",
    "pytest_runtest_logreport",
    "pytest_runtest_logstart",
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
    "pytest_runtestloop",
    "pytest_sessionfinish",
    "pytest_unconfigure",
)
"""Hooks by which a project's own files could change which tests run or how they end."""


class Teller:
    """Writes what was seen. Keeps its own references, so that replacing `json.dumps` later changes nothing."""

    def __init__(self, nonce: str) -> None:
        dumps, write = json.dumps, os.write

        def tell(kind: str, **values: object) -> None:
            write(CHANNEL, (dumps({"nonce": nonce, "kind": kind, **values}) + "\n").encode())

        self.tell = tell


class Watch:
    """The plugin."""

    def __init__(self, teller: Teller, tree: str, own_test: str) -> None:
        self._tell, self._tree, self._own_test = teller.tell, tree, own_test
        self._code = _code_of_pytest()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self._tell("item", id=str(item.nodeid))
        self._look_for_changes(session.config)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        for item in items:
            self._tell("deselected", id=str(item.nodeid))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._tell("uncollected", id=str(report.nodeid), why=str(report.longrepr)[-2000:])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._tell(
            "result",
            id=str(report.nodeid),
            when=str(report.when),
            outcome=str(report.outcome),
            expected=bool(hasattr(report, "wasxfail")),
            why="" if report.passed else str(report.longrepr)[-2000:],
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._look_for_changes(session.config)
        now = _code_of_pytest()
        for name, code in self._code.items():
            # Pytest replaces a few functions of its own by others of its own.
            new = now.get(name)
            if new is not code and (new is None or not new.co_filename.startswith(_PYTEST)):
                self._tell("changed", what=f"{name} was replaced")

    def _look_for_changes(self, config: pytest.Config) -> None:
        """Hooks that the project's own files have put in, whichever way."""
        for name in RESULT_HOOKS:
            for hook in getattr(config.hook, name).get_hookimpls():
                function = getattr(hook.function, "__func__", hook.function)
                code = getattr(function, "__code__", None)
                place = code.co_filename if code is not None else ""
                if os.path.abspath(place).startswith(self._tree + os.sep) or not place:
                    self._tell("changed", what=f"{os.path.relpath(place or '?', self._tree)} has the hook {name}")


def _code_of_pytest() -> dict[str, CodeType]:
    """The code of every function and method of pytest that is loaded now, by name."""
    found: dict[str, CodeType] = {}
    for module_name, module in list(sys.modules.items()):
        if module_name.split(".")[0] in ("_pytest", "pluggy"):
            for name, thing in list(vars(module).items()):
                if isinstance(thing, FunctionType) and thing.__module__ == module_name:
                    found[f"{module_name}.{name}"] = thing.__code__
                elif isinstance(thing, type) and thing.__module__ == module_name:
                    for method_name, method in list(vars(thing).items()):
                        if isinstance(method, FunctionType):
                            found[f"{module_name}.{name}.{method_name}"] = method.__code__
    return found


def written_tests(folder: Path) -> list[str]:
    """`file::name` of every test function at the top of a test file, read without running anything."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        if path.name.startswith("test_") or path.name.endswith("_test.py"):
            try:
                module = ast.parse(path.read_bytes())
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue  # collecting it fails, which is told
            for node in module.body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
                    found.append(f"{path.relative_to(folder.parent).as_posix()}::{node.name}")
    return found


def main(tree: Path, coverage_file: str | None) -> int:
    nonce = sys.stdin.readline().strip()
    os.set_inheritable(CHANNEL, False)
    teller = Teller(nonce)
    folder = tree / "tests"
    for test in written_tests(folder):
        teller.tell("written", id=test)
    own_test = f"test_{os.urandom(8).hex()}"
    (folder / f"{own_test}.py").write_text(
        f"def {own_test}():\n    assert {os.urandom(4).hex()!r} == {os.urandom(4).hex()!r}\n"
    )
    teller.tell("own test", id=f"tests/{own_test}.py::{own_test}")
    sys.path.insert(0, str(tree / "src"))
    watch = Watch(teller, str(tree), own_test)
    if coverage_file is None:
        code = run_pytest(tree, watch, "native")
    else:
        measured = coverage.Coverage(
            data_file=coverage_file, config_file=False, branch=False, source=[str(tree / "src")], messages=False
        )
        measured.start()
        code = run_pytest(tree, watch, "short")
        measured.stop()
        measured.save()
    teller.tell("end", code=int(code))
    return int(code)


def run_pytest(tree: Path, watch: Watch, traceback: str) -> int:
    """`traceback`: how failures are shown; `native` takes half the time, which counts where every test fails."""
    arguments = ["-c", os.devnull, f"--rootdir={tree}", f"--confcutdir={tree}", "-o", "addopts="]
    arguments += ["-q", f"--tb={traceback}", "--color=no"]
    arguments += ["--continue-on-collection-errors", "-p", "no:cacheprovider"]
    if any(b"anyio" in path.read_bytes() for path in (tree / "tests").rglob("*.py")):
        arguments += ["-p", "anyio"]  # takes a fifth of a second, so only where it is asked for
    return pytest.main([*arguments, str(tree / "tests")], plugins=[watch])


if __name__ == "__main__":
    status = main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # nothing that the tests left behind (threads, atexit) has a say in it
