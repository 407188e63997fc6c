"""A command that is found under two names is one command."""

from __future__ import annotations

import typer

from daybreak.cli.main import app


def test_the_queue_can_be_told_to_cancel_and_retry_by_the_very_same_commands() -> None:
    """Whoever looks at the queue finds them there; there is no second way to do it."""
    group = typer.main.get_command(app)
    queue = group.commands["queue"]  # type: ignore[attr-defined]
    for name in ("cancel", "retry"):
        here, there = (one.commands[name] for one in (queue, group))
        assert here.callback.__wrapped__ is there.callback.__wrapped__
