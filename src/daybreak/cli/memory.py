"""`daybreak memory list|add|forget|export|why`: what was learned, and why a worker was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import ArgumentWrong, Json
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from daybreak.ledger import Ledger
    from daybreak.memory.lessons import Lesson
    from daybreak.memory.outcomes import Attempt
    from daybreak.memory.routing import Known

app = typer.Typer(help="Look at what was learned: lessons, and which worker is good at what.", no_args_is_help=True)

TaskKind = Annotated[
    str, typer.Option("--task", metavar="KIND", help="A kind of task, as in `build` or `repository/python`.")
]
LessonName = Annotated[str, typer.Argument(metavar="LESSON", help="A lesson's name, or the beginning of it.")]


class NothingKnown(UsageError):
    """Memory knows no run of that name, or several."""

    code = "U216"


@contextmanager
def opened() -> Iterator[Ledger]:
    from daybreak import home

    with home.open_ledger() as ledger:
        yield ledger


@app.command("list", epilog="Examples:  daybreak memory list    daybreak memory list --task build --json")
def list_(
    task: TaskKind = "",
    forgotten: Annotated[bool, typer.Option("--all", help="Also those that were forgotten.")] = False,
    as_json: Json = False,
) -> None:
    """List lessons, the newest first, with what became of attempts that were shown them."""
    from daybreak.memory import lessons

    with opened() as ledger:
        found = _of_kind(lessons.all_lessons(ledger, forgotten=forgotten), task)
    if as_json:
        faces.result_json(lessons.exported(found))
        return
    if not found:
        faces.say("no lessons")
        return
    for one in found:
        faces.result(f"{_head(one)}\n    {one.text}")


def _of_kind(found: Sequence[Lesson], task: str) -> list[Lesson]:
    return [one for one in found if not task or one.task == task or one.task.startswith(f"{task}/")]


def _head(one: Lesson) -> str:
    origin = "a person" if one.source == "person" else f"a repair by {one.worker} in {one.run}"
    seen = f", seen {one.seen} times" if one.seen > 1 else ""
    fared = f"confidence {one.confidence:.2f} ({one.helped} passed, {one.failed} failed)"
    gone = f", forgotten {faces.moment(one.forgotten)}{f': {one.why}' if one.why else ''}" if one.forgotten else ""
    return f"{one.lesson}  {one.task or 'any kind'}  {fared}  from {origin}{seen}{gone}"


@app.command("add", epilog="Example:  daybreak memory add --task build 'Amounts are kept in cents, never as floats.'")
def add(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The lesson, in a sentence or two; `-` reads it.")],
    task: TaskKind = "",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Keep it although it looks like an instruction to machines.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Keep a lesson of your own. It enters briefs for that kind of task, or for every kind."""
    from daybreak.memory import lessons

    if text == "-":
        text = typer.get_text_stream("stdin").read(lessons.TEXT_MAX * 10)
    with opened() as ledger:
        kept = lessons.add(ledger, text, task=task, anyway=anyway)
    if as_json:
        faces.result_json(lessons.exported([kept])[0])
    else:
        faces.result(f"{kept.lesson}  {kept.text}")


@app.command("forget", epilog="Example:  daybreak memory forget les-0k3 --why 'no longer so'")
def forget(
    lesson: LessonName,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="For the log, and for whoever asks.")] = "",
    as_json: Json = False,
) -> None:
    """Keep LESSON out of every brief from now on. `add` with the same text brings it back."""
    from daybreak.memory import lessons

    _named(lesson)
    with opened() as ledger:
        gone = lessons.forget(ledger, lesson, why=why)
    if as_json:
        faces.result_json(lessons.exported([gone])[0])
    else:
        faces.result(f"forgotten {gone.lesson}  {gone.text}")


def _named(lesson: str) -> None:
    if not lesson.strip():
        raise ArgumentWrong("no lesson was named", hint="`daybreak memory list` shows their names")


@app.command(
    "export", epilog="Examples:  daybreak memory export > lessons.json    daybreak memory export -o memory.json"
)
def export(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", parser=arguments.path, help="Into a file instead."),
    ] = None,
) -> None:
    """Print everything that memory holds as one JSON document: lessons, outcomes by worker and kind of task."""
    import json

    from daybreak.memory import lessons, outcomes

    with opened() as ledger:
        known = outcomes.read(ledger)
        whole = {
            "format": 1,
            "lessons": lessons.exported(lessons.all_lessons(ledger, forgotten=True)),
            "outcomes": [
                {"worker": worker, "task": task, **tally._asdict()}
                for (worker, task), tally in sorted(known.tallies.items())
            ],
            "no_evidence": [one._asdict() for one in outcomes.troubles(ledger)],
        }
    if output is None:
        faces.result_json(whole)
        return
    from daybreak.host import files

    files.write_file(output, json.dumps(whole, ensure_ascii=False, indent=2).encode() + b"\n")
    faces.say(f"wrote {output}")


@app.command(
    "why", epilog="Examples:  daybreak memory why    daybreak memory why run-0k3    daybreak memory why --task build"
)
def why(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run, or the beginning of its name.")] = None,
    task: TaskKind = "",
    as_json: Json = False,
) -> None:
    """Say what is known about each worker, or why RUN asked the workers that it did, with the numbers behind it."""
    if run is not None and task:
        raise ArgumentWrong("a run and a kind of task were named", hint="a run has its kind; leave --task out")
    if run is not None and not run.strip():
        raise ArgumentWrong("no run was named", hint="`daybreak runs` lists them")
    if run is None:
        _why_all(task, as_json)
    else:
        _why_run(run, as_json)


def _why_all(task: str, as_json: bool) -> None:
    from daybreak.memory import outcomes, routing

    with opened() as ledger:
        known = outcomes.read(ledger)
        kinds = [kind for kind in known.tasks() if not task or kind == task or kind.startswith(f"{task}/")]
        told = {kind: routing.explain(ledger, kind) for kind in kinds}
        troubles = outcomes.troubles(ledger)
    if as_json:
        plain = {kind: [routing.plain(one) for one in beliefs] for kind, beliefs in told.items()}
        faces.result_json({"tasks": plain, "no_evidence": [one._asdict() for one in troubles]})
        return
    if not told:
        faces.say("no attempt has been judged yet")
    for kind, beliefs in told.items():
        faces.result(f"{kind}: the cheapest per solved task first")
        _table(beliefs)
    for one in troubles:
        faces.say(f"{one.worker}: {one.times} times {one.trouble}, which says nothing about its skill")


def _table(beliefs: Sequence[Known]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from daybreak.memory.routing import dollars
    from daybreak.report.shown import shown

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    for name in ("worker", "solved", "elsewhere", "chance", "an attempt", "a solved task"):
        table.add_column(name, justify="left" if name == "worker" else "right")
    for one in beliefs:
        table.add_row(
            escape(shown(one.worker)),
            f"{one.solved} of {one.tried}",
            f"{one.further_solved} of {one.further_tried}",
            f"{one.chance:.2f} ({one.chance_low:.2f}-{one.chance_high:.2f})",
            dollars(one.cost_microusd),
            dollars(one.per_solved_microusd),
        )
    faces.console().print(table)


def _why_run(beginning: str, as_json: bool) -> None:
    from daybreak.memory import outcomes

    with opened() as ledger:
        names = outcomes.runs(ledger, beginning)
        run = beginning if beginning in names else names[0] if len(names) == 1 else ""
        if not run:
            raise NothingKnown(
                f"memory knows {len(names) or 'no'} run{'s' * (len(names) != 1)} called {arguments.cut(beginning)}",
                hint="`daybreak runs` lists them; a run is known here once an attempt of it began",
            )
        orders, attempts = outcomes.orders(ledger, run), outcomes.of_run(ledger, run)
    if as_json:
        plain: dict[str, Any] = {"run": run, "orders": [one._asdict() for one in orders]}
        faces.result_json({**plain, "attempts": [one._asdict() for one in attempts]})
        return
    for one in orders:
        faces.result(f"{run}: the order for {one.task}, made {faces.moment(one.ordered)}")
        for place, choice in enumerate(one.choices, 1):
            faces.result(f"  {place}. {choice.get('worker', '?')}: {choice.get('why', '')}")
    for attempt in attempts:
        faces.result(_attempt(attempt))


def _attempt(one: Attempt) -> str:
    from daybreak.memory.routing import dollars

    became = "not judged yet" if one.solved is None else "solved" if one.solved else "not solved"
    trouble = f", {one.trouble}" if one.trouble else ""
    cost = "" if one.solved is None else f", {dollars(one.money_microusd)}, {one.duration_ms / 1000:.1f} s"
    over = "".join(f"\n    passed over: {worker}: {reason}" for worker, reason in one.passed_over.items())
    return f"attempt {one.attempt}: {one.worker}: {became}{trouble}{cost}\n    {one.why}{over}"
