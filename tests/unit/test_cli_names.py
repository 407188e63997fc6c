"""A command that is found under two names is one command."""

from __future__ import annotations

import typer
from typer.testing import CliRunner

from daybreak import __version__
from daybreak.cli.main import app


def test_the_queue_can_be_told_to_cancel_and_retry_by_the_very_same_commands() -> None:
    """Whoever looks at the queue finds them there; there is no second way to do it."""
    group = typer.main.get_command(app)
    queue = group.commands["queue"]  # type: ignore[attr-defined]
    for name in ("cancel", "retry"):
        here, there = (one.commands[name] for one in (queue, group))
        assert here.callback.__wrapped__ is there.callback.__wrapped__


def test_the_version_is_a_command_and_an_option() -> None:
    """People type either."""
    ran = [CliRunner().invoke(app, [word]) for word in ("--version", "version")]
    assert [(one.exit_code, one.stdout) for one in ran] == [(0, f"{__version__}\n")] * 2
