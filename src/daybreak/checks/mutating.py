"""Runs a project's tests on changed copies of it: `python -I mutating.py TREE WORK CACHE`, the order on standard input.

`map` runs them once on a copy as it is, and tells which test runs which lines and how long it takes. `run` takes
changes, one after the other: a fresh copy of the tree with the change in it, and a fresh process for it, forked from
here, where pytest and libraries of this environment are imported already but nothing of the project ever is. The
process has its own folders, group and limits; when it is over, or its time is, everything of its group is ended.

What is told goes as JSON lines to descriptor 9. The processes of the tests do not have it, but they run under the same
user as we do, so what they tell is believed only as far as controls show (see `strength`).

Imports pytest and coverage, nothing of ours.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

CHANNEL = 9
MEMORY_BYTES_MAX = 4 * 1024**3
UNDER_WAY = "under-way"
TEST_BYTES_MAX = 1_000


def tell(**values: object) -> None:
    os.write(CHANNEL, (json.dumps(values) + "\n").encode())


# -- what runs which lines


class Mapper:
    """The plugin that measures each test by itself."""

    def __init__(self, measured: Any) -> None:
        self._measured = measured
        self.seconds: dict[str, float] = {}
        self.passed: set[str] = set()
        self.failed: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._measured.switch_context(nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._measured.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)


def map_tests(tree: Path, work: Path, cache: Path, order: dict[str, Any]) -> int:
    import coverage

    copy = work / "copy"
    _copy(tree, copy, cache)
    _enter(copy, work, order["sources"])
    sys.dont_write_bytecode = False
    sources = [str(copy / source) for source in order["sources"]]
    measured = coverage.Coverage(data_file=None, config_file=False, branch=False, source=sources, messages=False)
    mapper = Mapper(measured)
    known = set(sys.modules)
    measured.start()
    code = int(pytest.main([*arguments(copy), str(copy / "tests")], plugins=[mapper]))
    measured.stop()
    data = measured.get_data()
    tests = sorted(mapper.passed - mapper.failed)
    numbers = {test: number for number, test in enumerate(tests)}
    lines: dict[str, dict[int, list[int]]] = {}
    for file in data.measured_files():
        path = os.path.relpath(file, copy).replace(os.sep, "/")
        lines[path] = {
            line: sorted({numbers[one] for one in contexts if one in numbers})
            for line, contexts in data.contexts_by_lineno(file).items()
        }
    _keep_rewritten(copy, cache)
    prefixes = tuple({os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)})
    imports = [
        name
        for name, module in sys.modules.items()
        if name not in known and os.path.realpath(getattr(module, "__file__", None) or "/-").startswith(prefixes)
    ]
    tell(
        kind="map", code=code, tests=tests, seconds=[mapper.seconds.get(test, 0.0) for test in tests],
        failed=sorted(mapper.failed)[:100], lines=lines, imports=imports,
    )  # fmt: skip
    return code


def _keep_rewritten(copy: Path, cache: Path) -> None:
    """Tests as pytest has rewritten them, which takes longer than to run most of them."""
    for compiled in (copy / "tests").rglob("__pycache__/*.pyc"):
        kept = cache / compiled.relative_to(copy)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(compiled, kept)


# -- changes


def run_changes(tree: Path, work: Path, cache: Path, order: dict[str, Any]) -> None:
    for name in order["imports"]:
        with contextlib.suppress(Exception):  # a head start only: the tests themselves fail on what cannot be imported
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for change in order["changes"]:
        began = time.monotonic()
        place = work / f"change-{change['id']}"
        copy = place / "copy"
        _copy(tree, copy, cache)
        file = copy / change["path"]
        source = file.read_bytes()
        file.write_bytes(source[: change["start"]] + change["text"].encode() + source[change["end"] :])
        outcome = _outcome(place, copy, change, order)
        test = _under_way(place / UNDER_WAY) if outcome != "survived" else ""
        tell(kind="done", id=change["id"], outcome=outcome, test=test, ms=round((time.monotonic() - began) * 1000))
        shutil.rmtree(place, ignore_errors=True)


def _outcome(place: Path, copy: Path, change: dict[str, Any], order: dict[str, Any]) -> str:
    pid = os.fork()
    if pid == 0:
        _be_tests(place, copy, change, order)
    handle = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([handle], [], [], change["timeout_s"])
    finally:
        os.close(handle)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if not ended or code == -signal.SIGXCPU:
        return "timeout"
    return "survived" if code == 0 else "killed"


def _be_tests(place: Path, copy: Path, change: dict[str, Any], order: dict[str, Any]) -> None:
    """In the forked process: run the tests and end. Never returns."""
    code = 70
    try:
        os.setsid()
        os.close(CHANNEL)
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        seconds = int(change["cpu_s"]) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY_BYTES_MAX if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES_MAX, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        _enter(copy, place, order["sources"])
        names = [str(copy / test) for test in change["tests"]] or [str(copy / "tests")]
        plugins = [InOrder(change["tests"], place / UNDER_WAY)]
        code = int(pytest.main([*arguments(copy), "-x", *names], plugins=plugins))
    finally:
        os._exit(code)


class InOrder:
    """The quick ones first, as they were asked for; the one that is under way is written down."""

    def __init__(self, tests: list[str], under_way: Path) -> None:
        self._rank = {test: number for number, test in enumerate(tests)}
        self._under_way = os.open(under_way, os.O_WRONLY | os.O_CREAT, 0o600)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self._rank.get(item.nodeid, len(self._rank)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        told = nodeid.encode()[:TEST_BYTES_MAX]
        os.pwrite(self._under_way, told, 0)
        os.ftruncate(self._under_way, len(told))


def _under_way(file: Path) -> str:
    """What was written there; empty where nothing was. Tests could put anything in its place."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.read(handle, TEST_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(handle)


# -- both


def _copy(tree: Path, copy: Path, cache: Path) -> None:
    shutil.copytree(tree, copy, symlinks=True)
    if any(cache.iterdir()):
        shutil.copytree(cache, copy, symlinks=True, dirs_exist_ok=True)


def _enter(copy: Path, place: Path, sources: list[str]) -> None:
    """The world as the tests see it: their copy, their folders."""
    for name in ("home", "tmp"):
        (place / name).mkdir(parents=True, exist_ok=True)
    roots = [str(copy / "src"), str(copy)]
    os.environ.update(HOME=str(place / "home"), TMPDIR=str(place / "tmp"), PYTHONPATH=os.pathsep.join(roots))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    import tempfile

    tempfile.tempdir = None
    sys.path[:0] = roots
    sys.dont_write_bytecode = True
    os.chdir(copy)


def arguments(copy: Path) -> list[str]:
    found = ["-c", os.devnull, f"--rootdir={copy}", f"--confcutdir={copy}", "-o", "addopts=", "-q", "--tb=no"]
    found += ["--color=no", "-p", "no:cacheprovider"]
    if any(b"anyio" in path.read_bytes() for path in (copy / "tests").rglob("*.py")):
        found += ["-p", "anyio"]
    return found


def main(tree: Path, work: Path, cache: Path) -> int:
    os.set_inheritable(CHANNEL, False)
    order = json.load(sys.stdin)
    if order["verb"] == "map":
        return map_tests(tree, work, cache, order)
    run_changes(tree, work, cache, order)
    return 0


if __name__ == "__main__":
    status = main(*map(Path, sys.argv[1:4]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
