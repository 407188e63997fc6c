"""Whoever reads what a command prints may go away at any time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("words", [["version"], ["snapshot", "create", "--json"]])
def test_a_reader_that_has_gone_is_told_nothing(tmp_path: Path, words: list[str]) -> None:
    """Neither for a result nor for an error that is told."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "DAYBREAK_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "daybreak", *words]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment, text=True, timeout=60)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 1)
