"""A report as sections of lines, for a terminal and for Markdown: what is said, what it stands on, what can be done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from daybreak.report.morning import words
from daybreak.report.morning.model import Decision, Evidence, Failure, Morning, Notice, Result, Said, Try


class Line(NamedTuple):
    """What is said in one line, and below it."""

    text: str
    evidence: Sequence[Evidence] = ()
    below: Sequence[str] = ()
    commands: Sequence[str] = ()


class Section(NamedTuple):
    title: str
    lines: Sequence[Line]


def sections(report: Morning) -> Iterator[Section]:
    """Those that hold anything, in the order in which they are read."""
    made = {
        "decisions": [_decision(one, report) for one in report.decisions],
        "verified": [_result(one) for one in report.verified],
        "claimed": [_result(one) for one in report.claimed],
        "failed": [_failure(one) for one in report.failed],
        "unfinished": [
            Line(f"{one.run}  {one.title}: {one.state}{f': {one.why}' if one.why else ''}", one.evidence)
            for one in report.unfinished
        ],
        "cost": [Line(words.cost(one), one.evidence) for one in report.cost],
        "incidents": [_notice(one) for one in report.incidents],
        "breakers": [_notice(one) for one in report.breakers],
        "repairs": [_notice(one) for one in report.repairs],
        "lapses": [_notice(one) for one in report.lapses],
        "notices": [_notice(one) for one in report.notices],
        "coming": [
            Line(f"{words.at(one.when, report) or 'at once'}  {one.what}{f' ({one.run})' if one.run else ''}")
            for one in report.coming
        ],
        "kept": _kept(report),
    }
    for name, title in words.TITLES.items():
        if made[name]:
            yield Section(title if name == "kept" else f"{title} ({len(made[name])})", made[name])


def _decision(one: Decision, report: Morning) -> Line:
    below = [f"why: {one.why}"] if one.why else []
    below += [f"{one.hint}"] if one.hint else []
    below.append(f"since {words.at(one.since, report)}")
    if one.deadline:
        below.append(f"deadline {words.at(one.deadline, report)}")
    return Line(f"{one.run}  {one.title}: {one.question}", one.evidence, [*below, *_tries(one.tried)], one.commands)


def _result(one: Result) -> Line:
    about = "; ".join(filter(None, (one.unverified, *words.coverage(one))))
    below = [f"at {one.output}"] if one.output else []
    below += filter(None, [words.provenance(one)])
    below += [_said(said) for said in one.said]
    commands = () if one.said else one.commands
    return Line(f"{one.run}  {one.title}{f': {about}' if about else ''}", one.evidence, below, commands)


def _failure(one: Failure) -> Line:
    why = " ".join(filter(None, (one.code, one.why)))
    below = [*_tries(one.tried), *([f"hint: {one.hint}"] if one.hint else []), *(_said(said) for said in one.said)]
    return Line(f"{one.run}  {one.title}: {why}", one.evidence, below, one.commands)


def _tries(tried: Sequence[Try]) -> list[str]:
    lines = [words.attempts(tried)] if tried and tried[0].attempt > 1 else []
    for one in tried:
        asked = f" ({one.why})" if one.why else ""
        said = f": {one.said}" if one.said else ""
        lines.append(f"attempt {one.attempt} by {one.worker}{asked} claims {one.outcome}{said}")
        lines += [f"  the gate: {reason}" for reason in one.found]
    return lines


def _said(said: Said) -> str:
    text = f": {said.text}" if said.text else ""
    return f"{said.word} by {said.who}{text} [{said.evidence.place}]"


def _notice(one: Notice) -> Line:
    mark = "!" * one.level
    state = "open, " if one.open else ""
    run = f" ({one.run})" if one.run else ""
    return Line(f"{f'{mark} ' if mark else ''}{state}{one.what}: {one.text}{run}", one.evidence)


def _kept(report: Morning) -> list[Line]:
    if report.kept is None:
        return []
    return [
        Line(f"{words.number(report.kept.size)} events, root {report.kept.root}", below=[]),
        *(Line(line.strip()) for line in report.kept.lines),
    ]
