"""`daybreak agents list|test`: who can be asked to work here, who cannot and why, and whether one really works."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json
from daybreak.errors import DaybreakError, WorkerError

if TYPE_CHECKING:
    from daybreak.config import Places
    from daybreak.home import Home
    from daybreak.ledger import Record
    from daybreak.settings import Settings

app = typer.Typer(help="Show who can be asked to work here, and try one.", no_args_is_help=True)
MODES = {
    "builder": "embedded",
    "python": "your own",
    "acp": "agent over ACP",
    "model": "model",
    "outside": "orchestrator",
}
BUDGETS = {
    "hard": "hard: all that it spends goes through the gateway",
    "soft": "soft: it can spend past the gateway",
    "none": "none: it spends nothing",
}


class WorkerAbsent(WorkerError):
    """The worker that is to be tried cannot be asked here."""

    code = "W112"


@app.command("list", epilog="Examples:  daybreak agents list    daybreak agents list --json")
def list_(as_json: Json = False) -> None:
    """List workers in the order in which they are asked, then the others. Asks nobody anything."""
    from daybreak import home
    from daybreak.agents import outside

    told = home.settings()
    rows = [_row(name, told) for name in _names(told)]
    mode = outside.mode(told, os.environ)
    templates = _templates(told)
    if as_json:
        head = {"file": told.path or None, "mode": mode.name, "why": mode.why, "templates": templates}
        faces.result_json({**head, "workers": rows})
        return
    for row in rows:
        faces.result(_line(row))
    faces.say(f"{mode.name}: {mode.why}")
    if templates:
        faces.say(f"templates of your own: {', '.join(templates)}")
    faces.say(f"from {told.path}" if told.path else "there is no daybreak.toml; `daybreak init` writes one")


def _names(told: Settings) -> list[str]:
    from daybreak.settings import BUILDER

    return list(dict.fromkeys([*told.order, *sorted(told.workers), BUILDER]))


def _row(name: str, told: Settings) -> dict[str, Any]:
    """One worker, as `--json` shows it."""
    from daybreak.agents import found as finding

    worker = told.worker(name)
    try:
        found = finding.find(name, worker, told, os.environ)
    except DaybreakError as error:
        found = finding.Found(missing=error.message)
    return {
        "name": name,
        "kind": worker.kind,
        "mode": MODES.get(worker.kind, "coding agent"),
        "place": told.order.index(name) + 1 if name in told.order else None,
        "found": not found.missing,
        "missing": found.missing,
        "version": found.version,
        "program": found.program,
        "provider": worker.provider,
        "model": worker.model,
        "budget": found.budget,
        "network": worker.network,
    }


def _templates(told: Settings) -> list[str]:
    """The editions of the user's own templates. Raises BriefTemplateWrong for one that cannot be used."""
    if not told.templates:
        return []
    from daybreak.agents import prompt

    return prompt.check(Path(told.templates))


def _line(row: dict[str, Any]) -> str:
    place = f"{row['place']}." if row["place"] else "-"
    what = row["mode"] if row["mode"] == row["kind"] else f"{row['kind']}, {row['mode']}"
    model = f"  {row['provider']}/{row['model'] or '?'}" if row["provider"] else ""
    head = f"{place:<3} {row['name']:<16} {what}{_version(row)}{model}"
    if row["missing"]:
        return f"{head}\n      not here: {row['missing']}"
    network = "; it reaches the network itself" if row["network"] else ""
    return f"{head}\n      budget {BUDGETS[row['budget']]}{network}"


@app.command("test", epilog="Examples:  daybreak agents test codex    daybreak agents test ./mine.py:worker --json")
def try_(
    name: Annotated[str, typer.Argument(help="A worker of daybreak.toml, FILE.py:object, or module:object.")],
    sandbox: arguments.SandboxWanted = "degraded",
    as_json: Json = False,
) -> None:
    """Have worker NAME do one tiny task, and look at what it did. A worker with a model pays for it.

    Exit status 0: its work passed the checks. The run stands in the log like any other, with what it cost.
    """
    import tempfile

    from daybreak import home
    from daybreak.cli import supervise

    told = home.settings()
    row = _there(_absolute(name), told)
    where = arguments.usable_home(home.places())
    with tempfile.TemporaryDirectory(prefix="daybreak-smoke-") as folder, home.opened() as opened:
        if not as_json:
            faces.say(f"{row['name']}{_version(row)}: budget {BUDGETS[row['budget']]}")
        run = _submit(row, Path(folder).resolve(), told, opened, where, sandbox)
        status = supervise.until_over(opened, run, as_json=as_json)
        if not as_json:
            _say_verdict(row["name"], status, list(opened.records(run)))
    raise typer.Exit(status)


def _absolute(name: str) -> str:
    """A worker named by a file is found from anywhere."""
    file, colon, attribute = name.partition(":")
    return f"{Path(file).resolve()}{colon}{attribute}" if file.endswith(".py") else name


def _version(row: dict[str, Any]) -> str:
    return f" {row['version']}" if row["version"] else ""


def _there(name: str, told: Settings) -> dict[str, Any]:
    """Raises WorkerAbsent, SettingsWrong."""
    told.worker(name)
    row = _row(name, told)
    if row["missing"]:
        raise WorkerAbsent(f"{name:.80} cannot be asked: {row['missing']}", hint="mend that, then test it again")
    return row


def _submit(row: dict[str, Any], folder: Path, told: Settings, opened: Home, where: Places, sandbox: str) -> str:
    from daybreak.factory import smoke, task

    tiny = smoke.prepare(row["kind"], folder)
    if tiny.repository is not None:
        asked = smoke.asked(row["name"], tiny.repository, told, os.environ, sandbox=sandbox)
        return opened.engine.submit(asked.kind, asked.title, asked.args, asked.placement)
    assert tiny.specification is not None, "a tiny task is one of the two"
    building = task.make(
        tiny.specification,
        output=folder / "smoke-output",
        workers=[row["name"]],
        settings=told,
        sandbox=sandbox,
        assume=True,
        accept_unshown=True,
        cwd=folder,
    )
    task.planned(building, where)  # the key that chooses held-out examples is made here
    return task.submit(building, opened.engine, opened.ledger)


def _say_verdict(name: str, status: int, records: list[Record]) -> None:
    from daybreak import events

    called = [one.event for one in records if isinstance(one.event, events.ModelCalled)]
    tokens = sum(one.input_tokens + one.output_tokens for one in called)
    money = sum(one.money_microusd for one in called) / 1_000_000
    cost = f"; {len(called)} requests, {tokens} tokens, {money:.4f} USD by the gateway's count" if called else ""
    works = "works: what it did passed the checks" if status == faces.EXIT_VERIFIED else "did not do it"
    faces.say("the folder of the tiny task is removed again; the run stays in the log")
    faces.result(f"{name} {works}{cost}")
