"""A run's report as people read it: on the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import markup
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from daybreak.report.run import Line, RequirementLine, RunReport, ScoreRow, Use
from daybreak.report.shown import shown

GOOD = {"passed", "shown", "done", "accepted"}
BAD = {"failed", "unusable", "rejected"}


def escape(text: str) -> str:
    """For a table: neither markup of ours nor control of the terminal."""
    return markup.escape(shown(text))


def headline(report: RunReport) -> str:
    """The verdict in one sentence."""
    match report.state:
        case "done" if report.delivered:
            return f"verified and delivered: {report.delivered.summary}"
        case "done":
            return "done"
        case "failed":
            return f"failed: {report.why}"
        case "parked":
            return f"parked, a person must decide: {report.question}"
        case "paused":
            return "paused; nothing is lost"
    return f"{report.state}; nothing is verified yet"


def to_terminal(report: RunReport, console: Console) -> None:
    """Print the report on `console`."""
    style = "green" if report.state == "done" else "red" if report.state == "failed" else "yellow"
    console.print(Text(shown(f"{report.title or report.run}: {headline(report)}"), style=f"bold {style}"))
    console.print(Text(f"run {report.run}, began {report.began}, last event {report.ended}", style="dim"))
    if report.sandbox:
        console.print(Text(shown(f"sandbox {report.sandbox}"), style="dim"))
    if report.needs:
        console.print(Text(shown(f"needs {', '.join(report.needs)}"), style="dim"))
    for part in _parts(report):
        console.print(part)
    for step in report.next_steps:
        console.print(f"next: {escape(step)}")


def _parts(report: RunReport) -> Iterator[RenderableType]:
    if report.verdicts:
        yield _lines("What people said of the result", report.verdicts)
    if report.incidents:
        yield _lines("Incidents", report.incidents)
    if report.shared:
        yield _lines("How the work was shared", report.shared)
    if report.requirements:
        yield _requirements(report.requirements)
    if report.proves_nothing:
        yield _lines("Examples that prove nothing", report.proves_nothing)
    if report.before:
        yield _lines("What the checks said before any work", report.before)
    if report.asked_beyond_builder:
        yield _lines("Who was asked", report.asked)
    if report.models:
        yield _models(report.models)
    if report.attempts:
        yield _lines("What the workers claimed (never a verdict)", report.attempts)
    if report.checks:
        yield _lines("What the checks saw", report.checks)
    if report.gates:
        yield _lines("What the gate decided", report.gates)
    if report.score:
        yield _score(report.score)
    if report.skeleton:
        yield _lines("What was left, because it was asked for", [report.skeleton])


def _requirements(lines: list[RequirementLine]) -> Table:
    table = _table("Requirements", "requirement", "verdict", "text", "evidence")
    for line in lines:
        table.add_row(line.id, _coloured(line.verdict), escape(line.text), ", ".join(map(_position, line.evidence)))
    return table


def _score(rows: list[ScoreRow]) -> Table:
    table = _table("What the score is made of", "check", "points", "failed", "evidence")
    for row in rows:
        failed = escape(_failed(row)) or "[green]nothing[/]"
        table.add_row(escape(row.kind), _points(row), failed, ", ".join(map(_position, row.evidence)))
    return table


def _failed(row: ScoreRow) -> str:
    """Also what nobody could look at: it counts nothing, and is not well for that."""
    return "; ".join([*row.failed, *(f"{one} could not look" for one in row.unseen)])


def _points(row: ScoreRow) -> str:
    return f"{row.points:.1f} of {row.of:.1f}"


def _models(used: dict[str, Use]) -> Table:
    table = _table("Models, by the gateway's count", "model", "used")
    for name, use in used.items():
        table.add_row(escape(name), use.words)
    return table


def _lines(title: str, lines: list[Line]) -> Table:
    table = _table(title, "what", "outcome", "summary", "event")
    for line in lines:
        held = " [dim](held out)[/]" if line.held_out else ""
        summary = escape("\n".join([line.summary, *line.marks]))
        table.add_row(escape(line.what) + held, _coloured(line.outcome), summary, _position(line.event))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, style=None, header_style="dim", overflow="fold")
    return table


def _coloured(outcome: str) -> str:
    colour = "green" if outcome in GOOD else "red" if outcome in BAD else "yellow"
    return f"[{colour}]{escape(outcome)}[/]"


def _position(event: str) -> str:
    """The place inside the run's stream, which is the same for the whole report; in another one with its name."""
    stream, _, seq = event.rpartition("#")
    return f"#{seq}" if stream.startswith("run") else event


def to_markdown(report: RunReport, marks: Sequence[str] = ()) -> str:
    """The report as one Markdown document; positions are those of the run's stream in the ledger. `marks`: lines about
    where else that is kept."""
    out = [f"# {report.title or report.run}", "", f"**{headline(report)}**", ""]
    out += [f"Run `{report.run}`, began {report.began}, last event {report.ended}.", ""]
    if report.sandbox:
        out += [f"Sandbox {report.sandbox}.", ""]
    if report.needs:
        out += [f"Needs {', '.join(map(shown, report.needs))}.", ""]
    if report.requirements:
        out += ["## Requirements", "", "| requirement | verdict | text | evidence |", "|---|---|---|---|"]
        out += [
            _row(line.id, line.verdict, line.text, ", ".join(map(_position, line.evidence)))
            for line in report.requirements
        ]
        out.append("")
    if report.models:
        out += ["## Models, by the gateway's count", "", "| model | used |", "|---|---|"]
        out += [*(_row(name, use.words) for name, use in report.models.items()), ""]
    for title, lines in (
        ("What people said of the result", report.verdicts),
        ("Incidents", report.incidents),
        ("How the work was shared", report.shared),
        ("Examples that prove nothing", report.proves_nothing),
        ("What the checks said before any work", report.before),
        ("Who was asked", report.asked if report.asked_beyond_builder else []),
        ("What the workers claimed", report.attempts),
        ("What the checks saw", report.checks),
        ("What the gate decided", report.gates),
        ("What was left, because it was asked for", [report.skeleton] if report.skeleton else []),
    ):
        if lines:
            out += [f"## {title}", "", "| what | outcome | summary | event |", "|---|---|---|---|"]
            out += [
                _row(_held(line), line.outcome, "; ".join([line.summary, *line.marks]), line.event) for line in lines
            ]
            out.append("")
    if report.score:
        out += ["## What the score is made of", "", "| check | points | failed | evidence |", "|---|---|---|---|"]
        out += [
            _row(row.kind, _points(row), _failed(row), ", ".join(map(_position, row.evidence))) for row in report.score
        ]
        out.append("")
    if marks:
        out += ["## Kept elsewhere", "", *(f"- {shown(line.strip())}" for line in marks), ""]
    if report.next_steps:
        out += ["## Next", "", *(f"- {step}" for step in report.next_steps), ""]
    return "\n".join(out)


def _held(line: Line) -> str:
    return f"{line.what} (held out)" if line.held_out else line.what


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
