"""A plugin of pytest, loaded into the project's own run of tests: `-p daybreak_measuring`.

Measures which lines of DAYBREAK_SOURCE (folders and files) the tests run, and writes `covered lines` as JSON to
DAYBREAK_COVERAGE at the end. Turns off what runs tests in other processes or measures by itself (xdist, pytest-cov),
because then nobody could see each test. coverage is the project's; without one, ours from DAYBREAK_LIBRARIES.

Runs under the project's own Python, 3.8 or newer. Imports nothing of ours.
"""

import json
import os
import re
import sys
import typing

import pytest

_TEST = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_[^/]*|[^/]*_test|conftest|setup)\.py$")


def _coverage_class() -> typing.Any:
    try:
        from coverage import Coverage
    except ImportError:
        libraries = os.environ.get("DAYBREAK_LIBRARIES", "")
        sys.path.append(libraries)
        try:
            from coverage import Coverage
        except ImportError:
            return None
        finally:
            sys.path.remove(libraries)
    return Coverage


class _Measuring:
    """From the first import of the project to the end of the last test."""

    def __init__(self, made: typing.Any, out: str, tree: str) -> None:
        self._made, self._out, self._tree = made, out, tree

    def pytest_unconfigure(self) -> None:
        self._made.stop()
        statements = missing = 0
        for name in self._made.get_data().measured_files():  # also those that nobody imported
            if _TEST.search(os.path.relpath(name, self._tree).replace(os.sep, "/")):
                continue
            try:
                _, lines, _, not_run, _ = self._made.analysis2(name)
            except Exception as problem:  # noqa: BLE001 - the project's tests may have removed or broken the file
                sys.stderr.write("not measured: %s\n" % problem)  # noqa: UP031 - for old Pythons too
                continue
            statements += len(lines)
            missing += len(not_run)
        with open(self._out, "w") as file:
            json.dump({"statements": statements, "covered": statements - missing}, file)


@pytest.hookimpl(hookwrapper=True)
def pytest_load_initial_conftests(early_config: typing.Any) -> "typing.Iterator[None]":
    known = early_config.known_args_namespace
    if getattr(known, "cov_source", None):
        known.cov_source = []
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_cmdline_main(config: typing.Any) -> "typing.Iterator[None]":
    for name, value in (("numprocesses", None), ("dist", "no"), ("tx", []), ("maxprocesses", None)):
        if hasattr(config.option, name):
            setattr(config.option, name, value)
    yield


def _begin() -> "typing.Optional[_Measuring]":  # noqa: UP045 - for old Pythons too
    out, sources = os.environ.get("DAYBREAK_COVERAGE", ""), os.environ.get("DAYBREAK_SOURCE", "")
    made = _coverage_class() if out and sources else None
    if made is None:
        return None
    measured = made(data_file=None, config_file=False, branch=False, source=sources.split(os.pathsep), messages=False)
    measured.start()
    return _Measuring(measured, out, os.environ.get("DAYBREAK_TREE", "."))


_measuring = _begin()
if _measuring is not None:
    pytest_unconfigure = _measuring.pytest_unconfigure
