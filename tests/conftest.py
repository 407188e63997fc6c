"""What holds for all tests."""

from __future__ import annotations

import asyncio
import compileall
import fcntl
import functools
import gc
import os
import signal
import sys
import types
from pathlib import Path
from typing import Any

import apsw
import pytest
import typer.testing
import uvicorn.server
from hypothesis import is_hypothesis_test, settings

from daybreak.ledger import database

typer.testing._get_command = functools.cache(typer.main.get_command)
"""The tree of all commands is made once for each application, not for each line that a test types."""

settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
settings.register_profile("thorough", settings.get_profile("untimed"))
settings.load_profile("untimed")
EXAMPLES_LEAST = 20

gc.set_threshold(20_000, 20, 20)  # collecting tests makes much and frees nothing

UNCOMPILED = sys.dont_write_bytecode
"""Whether PYTHONDONTWRITEBYTECODE is set, and each process compiles all that it imports."""
sys.dont_write_bytecode = False


def pytest_configure() -> None:
    """Our own modules are compiled once, before some thousand processes import them."""
    if UNCOMPILED and "PYTEST_XDIST_WORKER" not in os.environ:
        source = Path(__file__).parent.parent / "src" / "daybreak"
        compileall.compile_dir(source, quiet=2)  # only those that have changed; what no compiler reads is no module


def pytest_collection_finish() -> None:
    """Tests are compiled and kept as well; they themselves run as whoever started them wants it. What stands in memory
    now, all tests and all modules, is no garbage and need not be searched for it thousands of times."""
    sys.dont_write_bytecode = UNCOMPILED
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the examples that a property is tried with, a third, drawn anew each time; `make chaos` tries all of them."""
    if settings.get_current_profile_name() == "thorough":
        return
    found = (getattr(item, "obj", None) for item in items)
    for test in {getattr(test, "__func__", test) for test in found if is_hypothesis_test(test)}:
        told = getattr(test, "_hypothesis_internal_use_settings", None)
        if told is not None:  # a state machine has its own, which say how long its stories are as well
            fewer = max(told.max_examples // 3, min(told.max_examples, EXAMPLES_LEAST))
            test._hypothesis_internal_use_settings = settings(told, max_examples=fewer)


SYNC, MAKE_DURABLE = os.fsync, database.make_durable
_waits = True
"""Whether a sync is one. The machine goes on under a test, so nothing is lost without it, and two processes that sync
on one disk wait for each other most of the time. Where it is the point of a test, that is marked `on_disk`; other
processes that tests start always sync."""


def _fsync(file: Any) -> None:
    if _waits:
        SYNC(file)
    else:
        os.fstat(file if isinstance(file, int) else file.fileno())  # which refuses what is no open file, too


def _make_durable(connection: apsw.Connection, path: Path, *, mirror: bool = False) -> None:
    if not _waits:
        connection.pragma("synchronous", "off")  # also while it goes over to a write-ahead log
    MAKE_DURABLE(connection, path, mirror=mirror)
    if not _waits:
        connection.pragma("synchronous", "off")


os.fsync, database.make_durable = _fsync, _make_durable


async def _nap(delay: float) -> None:
    await asyncio.sleep(min(delay, 0.01))


uvicorn.server.asyncio = types.SimpleNamespace(**{**vars(asyncio), "sleep": _nap})  # type: ignore[attr-defined]
"""Servers of this process see every tenth of a second whether they should end, and then wait for another one: of a
test that needs one, most of the time."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    global _waits
    _waits = item.get_closest_marker("on_disk") is not None


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script, which ignores Ctrl-C for its children. Tests send it themselves.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def types_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the check `types` knows of libraries: read once for all processes of a session, since that takes longer than
    all else in a build. A `cache/types` of a home may be a link to it."""
    top = tmp_path_factory.getbasetemp()
    shared = (top.parent if "PYTEST_XDIST_WORKER" in os.environ else top) / "types"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second finds it read
        if len(list(shared.iterdir())) == 1:
            from daybreak.checks import types as typing

            tree, scratch = tmp_path_factory.mktemp("typed"), tmp_path_factory.mktemp("scratch")
            (tree / "src").mkdir()
            (tree / "src" / "nothing.py").touch()
            typing.look(tree, "", scratch=scratch, cache=shared)
    return shared
