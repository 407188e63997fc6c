"""What holds for all tests."""

from __future__ import annotations

import compileall
import fcntl
import functools
import os
import signal
import sys
from pathlib import Path

import pytest
import typer.testing
from hypothesis import settings

typer.testing._get_command = functools.cache(typer.main.get_command)
"""The tree of all commands is made once for each application, not for each line that a test types."""

settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("untimed")

UNCOMPILED = sys.dont_write_bytecode
"""Whether PYTHONDONTWRITEBYTECODE is set, and each process compiles all that it imports."""
sys.dont_write_bytecode = False


def pytest_configure() -> None:
    """Our own modules are compiled once, before some thousand processes import them."""
    if UNCOMPILED and "PYTEST_XDIST_WORKER" not in os.environ:
        source = Path(__file__).parent.parent / "src" / "daybreak"
        compileall.compile_dir(source, quiet=2)  # only those that have changed; what no compiler reads is no module


def pytest_collection_finish() -> None:
    """Tests are compiled and kept as well; they themselves run as whoever started them wants it."""
    sys.dont_write_bytecode = UNCOMPILED


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
            from daybreak.checks import types

            tree, scratch = tmp_path_factory.mktemp("typed"), tmp_path_factory.mktemp("scratch")
            (tree / "src").mkdir()
            (tree / "src" / "nothing.py").touch()
            types.look(tree, "", scratch=scratch, cache=shared)
    return shared
