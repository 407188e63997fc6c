"""`daybreak`: the commands, and the one place where errors become messages and exit statuses.

Heavy modules are imported inside the commands, so that `--help` is instant.
"""

from __future__ import annotations

import gc
import sys
from typing import Annotated

import typer

from daybreak import __version__
from daybreak.cli import (
    add,
    agents,
    build,
    check,
    doctor,
    faces,
    follow,
    history,
    incidents,
    init,
    keys,
    ledger,
    logs,
    memory,
    merge,
    night,
    notes,
    plan,
    prove,
    queue,
    reconcile,
    redact,
    rehearse,
    replicas,
    report,
    runs,
    schedule,
    snapshot,
    spec,
    status,
    token,
    trust,
    unlock,
    validate,
    witness,
)
from daybreak.cli.arguments import Json
from daybreak.errors import DaybreakError

EPILOG = (
    "Exit status: 0 verified or fine, 1 failed, 2 wrong usage or specification, "
    "3 parked (a person must decide), 130 interrupted (resume goes on)."
)

app = typer.Typer(
    name="daybreak",
    help="Durable, verified, unattended work: hand over a specification, find a checked project.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ledger_app = typer.Typer(help="Look at the log and prove that nobody changed it.", no_args_is_help=True)
app.command("build", epilog=build.EXAMPLES)(build.build)
app.command("validate", epilog=validate.EXAMPLES)(validate.validate)
app.command("merge", epilog=merge.EXAMPLES)(merge.merge)
app.command("plan", epilog=plan.EXAMPLES)(plan.plan)
app.add_typer(spec.app, name="spec")
app.command("init", epilog=init.EXAMPLES)(init.init)
app.command("trust", epilog=trust.EXAMPLES)(trust.trust)
app.add_typer(agents.app, name="agents")
app.add_typer(memory.app, name="memory")
app.add_typer(notes.app, name="notes")
app.command("add", epilog=add.EXAMPLES)(add.add)
queue.app.command("cancel", epilog="daybreak queue cancel 3f2a   (the same as `daybreak cancel 3f2a`)")(history.cancel)
queue.app.command("retry", epilog="daybreak queue retry 3f2a   (the same as `daybreak retry 3f2a`)")(history.retry)
app.add_typer(queue.app, name="queue")
app.command("night", epilog=night.EXAMPLES)(night.night)
app.command("status", epilog=status.EXAMPLES)(status.status)
app.command("rehearse", epilog=rehearse.EXAMPLES)(rehearse.rehearse)
app.add_typer(schedule.app, name="schedule")
app.command("runs", epilog="Example:  daybreak runs --json")(runs.runs)
app.command("show", epilog="Examples:  daybreak show    daybreak show run-0k3 --transcript")(runs.show)
app.command("resume", epilog="Examples:  daybreak resume    daybreak resume run-0k3 --answer yes")(runs.resume)
app.command("report", epilog="Examples:  daybreak report    daybreak report --markdown > report.md")(report.report)
app.command("steps", epilog="Example:  daybreak steps run-0k3")(history.steps)
app.command("answer", epilog="Examples:  daybreak answer run-0k3    daybreak answer run-0k3 yes")(history.answer)
app.command("signal", epilog="Example:  daybreak signal run-0k3 approved true")(history.signal)
app.command("cancel", epilog='Example:  daybreak cancel run-0k3 --why "no longer wanted"')(history.cancel)
app.command("retry", epilog="Examples:  daybreak retry run-0k3    daybreak retry run-0k3 publish")(history.retry)
app.command("fork", epilog="Example:  daybreak fork run-0k3 --from attempt")(history.fork)
app.command("rollback", epilog="Example:  daybreak rollback run-0k3 --to attempt")(history.rollback)
app.add_typer(ledger_app, name="ledger")
app.command("reconcile", epilog=reconcile.EXAMPLES)(reconcile.reconcile)
ledger_app.command("verify", epilog="Example:  daybreak ledger verify")(ledger.verify)
ledger_app.command("show", epilog="Examples:  daybreak ledger show    daybreak ledger show run-0k3")(ledger.show)
ledger_app.command("follow", epilog=follow.EXAMPLES)(follow.follow)
ledger_app.command("prove", epilog=prove.EXAMPLES)(prove.prove)
ledger_app.command("check", epilog=check.EXAMPLES)(check.check)
ledger_app.add_typer(replicas.app, name="replicas")
ledger_app.add_typer(keys.app, name="keys")
ledger_app.add_typer(witness.app, name="witness")
ledger_app.command("subjects", epilog="Example:  daybreak ledger subjects --json")(redact.subjects)
ledger_app.command("redact", epilog=redact.EXAMPLES)(redact.redact)
app.add_typer(snapshot.app, name="snapshot")
app.add_typer(token.app, name="token")
app.add_typer(incidents.app, name="incidents")
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)
app.command("logs", epilog=logs.EXAMPLES)(logs.logs)
app.command("unlock", epilog=unlock.EXAMPLES)(unlock.unlock)


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
    debug = "--debug" in sys.argv
    gc.set_threshold(20_000, 20, 20)  # imports make much and free nothing: searching them for cycles is wasted
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
        sys.stderr.close()  # the reader of our output has gone, which is no error of ours
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        faces.say(f"daybreak: X000 this is an error in Daybreak: {type(error).__name__}: {error}")
        faces.say("  run the same command with --debug in front and report what it prints")
        sys.exit(faces.EXIT_FAILED)
    finally:
        gc.freeze()  # for the same reason: the interpreter searches everything several times as it ends
