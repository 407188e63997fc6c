"""`daybreak`: the commands, and the one place where errors become messages and exit statuses.

Heavy modules are imported inside the commands, so that `--help` is instant.
"""

from __future__ import annotations

import gc
import sys
from typing import Annotated

import typer

from daybreak import __version__
from daybreak.cli import faces
from daybreak.cli.arguments import Json
from daybreak.cli.commands import Command, group
from daybreak.errors import DaybreakError

EPILOG = (
    "Exit status: 0 verified or fine, 1 failed, 2 wrong usage or specification, "
    "3 parked (a person must decide), 130 interrupted (resume goes on)."
)

COMMANDS = {
    "build": Command("build", "build"),
    "validate": Command("validate", "validate"),
    "merge": Command("merge", "merge"),
    "plan": Command("plan", "plan"),
    "spec": Command("spec", "app"),
    "init": Command("init", "init"),
    "trust": Command("trust", "trust"),
    "agents": Command("agents", "app"),
    "memory": Command("memory", "app"),
    "notes": Command("notes", "app"),
    "add": Command("add", "add"),
    "queue": Command("queue", "app"),
    "night": Command("night", "night"),
    "status": Command("status", "status"),
    "serve": Command("serve", "serve"),
    "mcp": Command("mcp", "mcp"),
    "rehearse": Command("rehearse", "rehearse"),
    "schedule": Command("schedule", "app"),
    "runs": Command("runs", "runs", "Example:  daybreak runs --json"),
    "show": Command("runs", "show", "Examples:  daybreak show    daybreak show run-0k3 --transcript"),
    "resume": Command("runs", "resume", "Examples:  daybreak resume    daybreak resume run-0k3 --answer yes"),
    "report": Command("report", "app"),
    "accept": Command("verdicts", "accept", "Examples:  daybreak accept run-0k3 run-0k7    daybreak accept --night"),
    "reject": Command(
        "verdicts", "reject", "Example:  daybreak reject run-0k3 --because 'amounts must be in cents, never floats'"
    ),
    "undo": Command("verdicts", "undo", "Examples:  daybreak undo run-0k3 --dry-run    daybreak undo run-0k3"),
    "provenance": Command("provenance", "app"),
    "steps": Command("history", "steps", "Example:  daybreak steps run-0k3"),
    "answer": Command("history", "answer", "Examples:  daybreak answer run-0k3    daybreak answer run-0k3 yes"),
    "signal": Command("history", "signal", "Example:  daybreak signal run-0k3 approved true"),
    "cancel": Command("history", "cancel", 'Example:  daybreak cancel run-0k3 --why "no longer wanted"'),
    "retry": Command("history", "retry", "Examples:  daybreak retry run-0k3    daybreak retry run-0k3 publish"),
    "fork": Command("history", "fork", "Example:  daybreak fork run-0k3 --from attempt"),
    "rollback": Command("history", "rollback", "Example:  daybreak rollback run-0k3 --to attempt"),
    "ledger": Command("ledger", "app"),
    "reconcile": Command("reconcile", "reconcile"),
    "snapshot": Command("snapshot", "app"),
    "token": Command("token", "app"),
    "metrics": Command("metrics", "app"),
    "incidents": Command("incidents", "app"),
    "notify": Command("notify", "app"),
    "doctor": Command("doctor", "doctor"),
    "bundle": Command("bundle", "bundle"),
    "logs": Command("logs", "logs"),
    "unlock": Command("unlock", "unlock"),
    "explain": Command("explain", "explain"),
}

app = typer.Typer(
    name="daybreak",
    cls=group(COMMANDS),
    help="Durable, verified, unattended work: hand over a specification, find a checked project.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("version")
def version(as_json: Json = False) -> None:
    """Print the version."""
    if as_json:
        faces.result_json({"daybreak": __version__, "python": sys.version.split()[0]})
    else:
        faces.result(__version__)


def _print_version(wanted: bool) -> None:
    if wanted:
        faces.result(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    show: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what is logged, as it happens.")] = False,
) -> None:
    context.obj = {"debug": debug, "verbose": verbose}


def main() -> None:
    """The entry point: run the command, turn every error into a message and an exit status."""
    gc.set_threshold(20_000, 20, 20)  # imports make much and free nothing: searching them for cycles is wasted
    try:
        _told(debug="--debug" in sys.argv)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, which is no error of ours
        sys.exit(0)
    finally:
        gc.freeze()  # for the same reason: the interpreter searches everything several times as it ends


def _told(*, debug: bool) -> None:
    try:
        app(standalone_mode=True)
    except DaybreakError as error:
        if debug:
            raise
        sys.exit(faces.show_error(error, as_json="--json" in sys.argv))
    except KeyboardInterrupt:
        faces.say("daybreak: interrupted; nothing is lost, `daybreak resume` goes on")
        sys.exit(faces.EXIT_INTERRUPTED)
    except BrokenPipeError:
        raise
    except Exception as error:
        if debug:
            raise
        fault = DaybreakError(
            f"this is an error in Daybreak: {type(error).__name__}: {error}",
            hint="run the same command with --debug in front and report what it prints",
        )
        sys.exit(faces.show_error(fault, as_json="--json" in sys.argv))
