"""Words after `daybreak ledger`, in this process."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

from daybreak.cli import main
from daybreak.errors import DaybreakError


def run(*words: str) -> Any:
    return CliRunner().invoke(main.app, ["ledger", *words], catch_exceptions=True)


def good(*words: str) -> str:
    """What it says on standard output."""
    done = run(*words)
    assert done.exit_code == 0, (done.output, done.exception)
    text: str = done.stdout
    return text


def refused(error: type[DaybreakError], *words: str) -> DaybreakError:
    done = run(*words)
    assert isinstance(done.exception, error), (done.output, done.exception)
    return done.exception
