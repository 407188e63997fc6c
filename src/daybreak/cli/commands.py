"""Commands that are imported, and their options made, only when somebody asks for them.

A command line is one command; making the options of the other ninety takes longer than most commands do.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Command as Made
    from typer._click import Context


class Command(NamedTuple):
    """Where a command is."""

    module: str
    """Of `daybreak.cli`."""
    name: str
    """Of its function there; `app`: a group of commands."""
    epilog: str = ""
    """Its examples; those of the module (`EXAMPLES`) where nothing is said."""


class Listed(TyperGroup):
    """A group of commands that stand in a table. Made by `group`."""

    table: Mapping[str, Command] = {}

    def list_commands(self, ctx: Context) -> list[str]:
        return [*self.table, *(name for name in self.commands if name not in self.table)]

    def get_command(self, ctx: Context, cmd_name: str) -> Made | None:
        if cmd_name in self.table:
            return self._made(cmd_name)
        if cmd_name not in self.commands:
            for name in self.table:  # there is no such command: those that there are may be meant
                self._made(name)
        return self.commands.get(cmd_name)

    def _made(self, name: str) -> Made:
        if name not in self.commands:
            self.commands[name] = make(name, self.table[name])
        return self.commands[name]


def group(commands: Mapping[str, Command]) -> type[Listed]:
    """The `cls` of a Typer application that has these, in this order."""
    return type("Listed", (Listed,), {"table": commands})


def make(name: str, told: Command) -> Made:
    """The command, as Typer makes it."""
    module = importlib.import_module(f"daybreak.cli.{told.module}")
    found: Any = getattr(module, told.name)
    around = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    around.callback()(_nothing)  # so that what Typer makes is a group, with one command in it
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name)
    else:
        around.command(name, epilog=told.epilog or getattr(module, "EXAMPLES", None))(found)
    made = typer.main.get_command(around)
    assert isinstance(made, TyperGroup), "it has a callback"
    return made.commands[name]


def _nothing() -> None:
    return None
