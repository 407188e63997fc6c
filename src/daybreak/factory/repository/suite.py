"""Runs a repository's own tests under watch: `python suite.py WATCHING MODULE PYTEST_ARGUMENT...`.

As `checks/watching.py` (at the path WATCHING, whose parts are used) does for projects that we know the shape of; here
the configuration, plugins and arguments are the repository's own. MODULE is 1 for `python -m pytest`, which imports
from the working folder. The nonce comes on standard input, what is seen goes to descriptor 9.

Runs under the repository's own Python, 3.10 or newer, in which nothing of ours is installed. Imports pytest, and the
watcher by its path.
"""

import importlib.util
import os
import sys
import types


def _without_us() -> None:
    """Take the folder of this file, in which modules have common names, off the import path."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]


def _watching(path: str) -> types.ModuleType:
    try:
        import coverage  # noqa: F401 - the watcher imports it, and needs it only where it measures
    except ImportError:
        sys.modules["coverage"] = types.ModuleType("coverage")
    spec = importlib.util.spec_from_file_location("daybreak_watching", path)
    assert spec is not None, "a .py file always has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(arguments: list[str]) -> int:
    nonce = sys.stdin.readline().strip()
    _without_us()
    if arguments[1] == "1":
        sys.path.insert(0, os.getcwd())
    import pytest

    watching = _watching(arguments[0])
    os.set_inheritable(watching.CHANNEL, False)
    teller = watching.Teller(nonce)
    own = f"test_{os.urandom(8).hex()}"

    class OwnTest(pytest.Item):
        """Must fail. Where it is not seen to fail, results are not what they seem."""

        def runtest(self) -> None:
            raise AssertionError(f"{os.urandom(4).hex()} is not {os.urandom(4).hex()}")

        def repr_failure(self, excinfo, style=None):  # type: ignore[no-untyped-def]
            return str(excinfo.value)

        def reportinfo(self) -> "tuple[str, int, str]":
            return own, 0, own

    class Watch(watching.Watch):  # type: ignore[name-defined,misc]
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, session: pytest.Session, items: "list[pytest.Item]") -> None:
            items.append(OwnTest.from_parent(session, name=own))

    # Where nothing is collected the hook above is not called for some versions; then there is no test of ours, and
    # nothing has passed either.
    teller.tell("own test", id=f"::{own}")
    code = pytest.main([*arguments[2:], "-p", "no:cacheprovider"], plugins=[Watch(teller, os.getcwd(), own)])
    teller.tell("end", code=int(code))
    return int(code)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # nothing that the tests left behind (threads, atexit) has a say in it
