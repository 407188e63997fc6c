"""A command that is found under two names is one command."""

from __future__ import annotations

import subprocess
import sys

import typer
from typer.testing import CliRunner

from daybreak import __version__
from daybreak.cli import ledger, main, queue
from daybreak.cli.commands import make


def test_the_queue_can_be_told_to_cancel_and_retry_by_the_very_same_commands() -> None:
    """Whoever looks at the queue finds them there; there is no second way to do it."""
    group = typer.main.get_command(queue.app)
    for name in ("cancel", "retry"):
        here, there = group.commands[name], make(name, main.COMMANDS[name])  # type: ignore[attr-defined]
        assert here.callback.__wrapped__ is there.callback.__wrapped__


def test_the_version_is_a_command_and_an_option() -> None:
    """People type either."""
    ran = [CliRunner().invoke(main.app, [word]) for word in ("--version", "version")]
    assert [(one.exit_code, one.stdout) for one in ran] == [(0, f"{__version__}\n")] * 2


def test_every_command_of_the_tables_can_be_made_and_says_what_it_is_for() -> None:
    """They are imported only when somebody asks for them: a wrong line would show on that day."""
    for table in (main.COMMANDS, ledger.COMMANDS):
        for name, told in table.items():
            made = make(name, told)
            assert made.name == name
            assert made.get_short_help_str(), name


def test_a_short_command_imports_no_other() -> None:
    """Nothing that takes long is read for the sake of commands that nobody asked for."""
    said = "import sys; from daybreak.cli.main import app; app(['version'], standalone_mode=False); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, timeout=60)
    found = {name for name in ran.stdout.split() if name.startswith("daybreak.cli.")}
    assert found == {"daybreak.cli.main", "daybreak.cli.commands", "daybreak.cli.arguments", "daybreak.cli.faces"}
    assert not {"apsw", "cryptography", "daybreak.settings", "daybreak.ledger"} & set(ran.stdout.split())
