"""What holds for all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script, which ignores Ctrl-C for its children. Tests send it themselves.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def types_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the check `types` keeps what it knows of libraries: one folder for all processes of a session, since
    reading them takes longer than all else in a build. A `cache/types` of a home may be a link to it."""
    top = tmp_path_factory.getbasetemp()
    shared = (top.parent if "PYTEST_XDIST_WORKER" in os.environ else top) / "types"
    shared.mkdir(exist_ok=True)
    return shared
