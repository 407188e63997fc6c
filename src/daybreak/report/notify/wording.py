"""A notice in words: what happened, in plain text, and the command that follows from it.

Messages leave the machine. So everything of others in them is cleaned first: sequences for terminals and invisible
characters are taken out, secrets are redacted, words that call people (`@everyone`) are broken, and lengths are
bounded. Why a run failed is left out, because it may speak of examples that are held out: `daybreak report` says it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from daybreak import events
from daybreak.engine.log import Log
from daybreak.events import Event
from daybreak.policy import amounts, incident
from daybreak.policy.redaction import redact

TITLE_CHARS_MAX = 120
BODY_CHARS_MAX = 3_500
FEW = 3
"""More than these at once go together."""
NAMED_MAX = 30
"""In a message that tells of many, so many are named."""
_READ_MAX = 20_000
"""Characters of one text that are looked at."""
_HALF = 500
"""Characters before a cut that may be half of a secret."""
_COLOURS = re.compile("(?:\x1b\\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]|\x1b\\][^\x07\x1b]{0,500}(?:\x07|\x1b\\\\)?")
_CALLS = re.compile(r"@(?=everyone|here|channel|all\b)|<(?=[!@#])", re.IGNORECASE)
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be told."""

    name: str
    """Its kind and the place of its event: `question:1234`."""
    kind: str
    severity: int
    at: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent."""

    title: str
    body: str
    severity: int


def clean(text: str, most: int, *, lines: bool = False) -> str:
    """Text of anybody as it may leave the machine; on one line unless `lines`."""
    told = text[:_READ_MAX]
    if len(text) > _READ_MAX:
        told = told[:-_HALF]
    told = _COLOURS.sub("", told).replace("\r\n", "\n").replace("\t", " ")
    told = "".join(
        one if one == "\n" or unicodedata.category(one) not in _HIDDEN else " " if one in "\r\v\f\u2028\u2029" else ""
        for one in told
    )
    told = redact(told).text
    told = _CALLS.sub(lambda found: f"{found[0]} ", told)
    told = re.sub(r"\n{3,}", "\n\n", told.strip()) if lines else " ".join(told.split())
    return told if len(told) <= most else f"{told[: most - 1]}…"


# -- what an event says


def notice(name: str, kind: str, severity: int, at: str, event: Event, log: Log, pages: str = "") -> Notice:
    """`pages`: the address of the dashboard, where there is one to link to."""
    title, body = _WORDS.get(kind, _other)(event, log)
    run = str(getattr(event, "run", ""))
    link = f"\n{pages.rstrip('/')}/{f'runs/{run}' if run else ''}" if pages else ""
    room = BODY_CHARS_MAX - len(link)
    return Notice(name, kind, severity, at, clean(title, TITLE_CHARS_MAX), clean(body, room, lines=True) + link)


def _question(event: Event, log: Log) -> tuple[str, str]:
    assert isinstance(event, events.RunMoved)
    title = _title_of(event.run, log)
    question = clean(event.question or "it is parked, and waits for you", 2_500, lines=True)
    return f"Question: {title}", f"{question}\n\nRun {event.run}. To answer: daybreak answer {event.run} ANSWER"


def _budget(event: Event, log: Log) -> tuple[str, str]:
    assert isinstance(event, events.BudgetWarned)
    share = event.spent * 100 // event.most if event.most else 100
    spent, most = (amounts.words({event.amount: value}) for value in (event.spent, event.most))
    what = event.account
    if what.startswith("run:"):
        what = f"run {what[4:]} ({_title_of(what[4:], log)})"
    return (
        f"Budget at {share} %: {what}",
        f"{spent} of {most} are used in {what}. Nothing starts that could exceed it.\n\ndaybreak status",
    )


def _breaker(event: Event, log: Log) -> tuple[str, str]:
    assert isinstance(event, events.BreakerChanged)
    until = f" until {_moment(event.until)}" if event.until else ""
    return f"Breaker {event.name} opened", f"{event.name} is left alone{until}: {event.why}"


def _incident(event: Event, log: Log) -> tuple[str, str]:
    assert isinstance(event, events.IncidentRaised)
    kind = incident.known(event.kind)
    means = incident.RULES[kind].means if kind is not None else event.kind
    where = f"\nRun {event.run} attempt {event.attempt}." if event.run else ""
    often = f"\n{event.repeated} times." if event.repeated > 1 else ""
    follows = {2: "\nIts task is paused.", 3: "\nThe night is stopped."}.get(event.level, "")
    return (
        f"Incident of level {event.level}: {means}",
        f"{event.what}{where}{often}{follows}\n\n{event.incident}: daybreak incidents list --open",
    )


def _night(event: Event, log: Log) -> tuple[str, str]:
    assert isinstance(event, events.NightEnded)
    counts = ", ".join(f"{number} {state}" for state, number in sorted(event.counts.items())) or "no runs"
    used = f"\nUsed: {amounts.words(event.used)}" if event.used else ""
    title = "A night died" if event.why == "died" else "The night has ended"
    return f"{title}: {counts}", f"{event.night}: {event.why}. {event.text}{used}\n\ndaybreak report --night"


def _report(event: Event, log: Log) -> tuple[str, str]:
    from daybreak.report import night as nightly

    assert isinstance(event, events.NightEnded)
    found = nightly.collect(log, event.night)
    # Why a run failed may name examples that are held out.
    found = replace(found, runs=[replace(run, why="") for run in found.runs])
    counts = ", ".join(f"{number} {state}" for state, number in found.counts.items()) or "no runs"
    return f"Morning report: {counts}", nightly.as_text(found)


def _alert(event: Event, log: Log) -> tuple[str, str]:
    if isinstance(event, events.NightNoted):
        run = f" Run {event.run}." if event.run else ""
        return f"Somebody must act: {event.what}", f"{event.text}{run}\n\ndaybreak status"
    assert isinstance(event, events.AlertFired | events.AlertCleared)
    over = isinstance(event, events.AlertCleared)
    title = f"Over: {event.alert}" if over else f"Alert ({event.severity}): {event.alert}"
    return title, f"{event.text}\n{event.metric}: {event.value:g}, threshold {event.threshold:g}\n\ndaybreak status"


def _other(event: Event, log: Log) -> tuple[str, str]:
    return f"{event.type}", "daybreak status"


_WORDS: dict[str, Callable[[Event, Log], tuple[str, str]]] = {
    "question": _question,
    "budget": _budget,
    "breaker": _breaker,
    "incident": _incident,
    "night": _night,
    "report": _report,
    "alert": _alert,
}


def _title_of(run: str, log: Log) -> str:
    found = log.query("SELECT title FROM view_runs WHERE run = ?", (run,))
    return clean(str(found[0][0]), 80) if found else run


def _moment(text: str) -> str:
    """To the second, in this machine's time."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


# -- what is sent


def message(notices: Sequence[Notice], more: int = 0) -> Message:
    """One message of one notice, or of several; `more` wait besides those."""
    severity = max(one.severity for one in notices)
    if len(notices) == 1 and not more:
        only = notices[0]
        return Message(f"Daybreak: {only.title}"[:TITLE_CHARS_MAX], f"{only.body}\n[{only.name}]", severity)
    ordered = sorted(notices, key=lambda one: (-one.severity, one.kind != "question", one.at))
    named = ordered[:NAMED_MAX]
    left = len(notices) - len(named) + more
    room = max(BODY_CHARS_MAX // len(named) - TITLE_CHARS_MAX - 30, 0)
    parts = [_part(one, room) for one in named]
    if left:
        parts.append(f"and {left} more: daybreak status")
    kinds: dict[str, int] = {}
    for one in notices:
        kinds[one.kind] = kinds.get(one.kind, 0) + 1
    counted = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    return Message(
        f"Daybreak: {len(notices) + more} messages ({counted})"[:TITLE_CHARS_MAX],
        "\n\n".join(parts)[:BODY_CHARS_MAX],
        severity,
    )


def _part(one: Notice, room: int) -> str:
    body = one.body if len(one.body) <= room else f"{one.body[: max(room - 1, 0)]}…"
    return f"* {_moment(one.at)}  {one.title}" + (f"\n{body}" if room > 40 else "")
