"""Every command that the documentation shows, and every example in a command's own help, is one that there is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main

from daybreak.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("how-to/*.md"), *(ROOT / "docs").glob("tutorial/*.md")])
SHOWN = re.compile(r"^(?: {4,}|\$ |)(?:\$ )?(?:[A-Z_]+=\S+ )*daybreak (.*)$")
ELLIPSIS = re.compile(r"…|\.\.\.")
SHELL = {"|", ">", ">>", "<", "&&", ";", "||", "&"}


def words(line: str) -> list[str]:
    """Of one command, as a shell would give them: without comments and what comes after it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>;&")
    lexer.whitespace_split = True
    found: list[str] = []
    for word in lexer:
        if word in SHELL:
            break
        found.append(word)
    return found


def in_pages() -> Iterator[tuple[str, str]]:
    """(place, line) of what stands in a block of code, its continuation lines joined."""
    for page in PAGES:
        text = page.read_text("utf-8").replace("\\\n", " ")
        fenced = False
        for number, line in enumerate(text.splitlines(), 1):
            if line.lstrip().startswith("```"):
                fenced = not fenced
            elif (fenced or line.startswith("    ")) and (shown := SHOWN.match(line)):
                yield f"{page.name}:{number}", shown[1]


def commands() -> Iterator[tuple[str, click.Command]]:
    def walk(name: str, command: Any) -> Iterator[tuple[str, click.Command]]:
        yield name, command
        if is_group(command):
            context = click.Context(command)
            for sub in command.list_commands(context):
                yield from walk(f"{name} {sub}".strip(), command.get_command(context, sub))

    yield from walk("", typer.main.get_command(app))


def is_group(command: Any) -> bool:
    return hasattr(command, "list_commands")


def in_help() -> Iterator[tuple[str, str]]:
    for name, command in commands():
        text = command.epilog or ""
        for block in re.split(r"\n\n|\n|   +", re.sub(r"^Examples?: *", "", text.strip())):
            if block.strip().startswith("daybreak "):
                yield f"help of {name}", block.strip().removeprefix("daybreak ")


def wrong(line: str) -> str:
    """Why there is no such command; empty where there is."""
    command: Any = typer.main.get_command(app)
    context = click.Context(command, info_name="daybreak")
    rest = words(line)
    while is_group(command):
        if rest[:1] and rest[0].startswith("-") and (usual := getattr(command, "usual", None)):
            rest = [usual, *rest]
        if not rest or rest[0].startswith("-"):
            return ""  # help, version, or the group alone
        name, *rest = rest
        found = command.get_command(context, name)
        if found is None and (usual := getattr(command, "usual", None)):
            found, rest = command.get_command(context, usual), [name, *rest]
        if found is None:
            return f"no command {name!r}"
        command = found
        context = click.Context(command, info_name=name, parent=context)
    try:
        command.parse_args(context, rest)
    except Exception as error:  # noqa: BLE001 - a file that is not there, another home: no matter of words
        told = str(getattr(error, "message", "")) or str(error)
        if type(error).__name__ in ("NoSuchOption", "MissingParameter") or "extra argument" in told:
            return f"{type(error).__name__} {told}"
    return ""


def test_every_command_in_the_documentation_is_one_that_there_is() -> None:
    """Names, options and the number of arguments; nothing is run."""
    # shows: N15
    found = [one for one in in_pages() if not ELLIPSIS.search(one[1])]
    assert len(found) > 100
    assert [f"{place}: {line}: {why}" for place, line in found if (why := wrong(line))] == []


def test_every_example_in_help_is_a_command_that_there_is() -> None:
    """Each command of the ledger has one."""
    # shows: N15
    found = list(in_help())
    assert len(found) > 50
    assert [f"{place}: {line}: {why}" for place, line in found if (why := wrong(line))] == []
    without = [
        name
        for name, command in commands()
        if name.startswith("ledger ") and not is_group(command) and not (command.epilog or "").strip()
    ]
    assert without == []


@pytest.mark.parametrize(
    "line", ["ledger prov 1", "ledger redact", "ledger check a --kay b", "runs one two", "nothing"]
)
def test_what_there_is_not_is_noticed(line: str) -> None:
    """The test above can fail."""
    assert wrong(line)
