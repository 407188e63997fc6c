"""A notice in words: what happened, in plain text, and the command that follows from it.

Messages leave the machine. So everything of others in them is cleaned first: sequences for terminals and invisible
characters are taken out, secrets are redacted, words that call people (`@everyone`) are broken, and lengths are
bounded. Why a run failed is left out, because it may speak of examples that are held out: `daybreak report` says it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from daybreak import events
from daybreak.engine.log import Log
from daybreak.events import Event
from daybreak.policy import amounts, incident
from daybreak.policy.redaction import redact

if TYPE_CHECKING:
    from daybreak.report.morning import Morning
    from daybreak.report.morning.collecting import Log as Whole

TITLE_CHARS_MAX = 120
BODY_CHARS_MAX = 3_500
_ANSWERED = "Answered meanwhile"
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
_LINKS = re.compile(r"\](?=[(\[:])|<(?=[a-z][a-z0-9+.-]{0,30}:)", re.IGNORECASE)
"""Where a service that renders mark-up would begin a link or a picture with words of somebody else's choice."""
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
    told = _LINKS.sub(lambda found: f"{found[0]} ", told)
    told = _CALLS.sub(lambda found: f"{found[0]} ", told)
    told = re.sub(r"\n{3,}", "\n\n", told.strip()) if lines else " ".join(told.split())
    return told if len(told) <= most else f"{told[: most - 1]}…"


# -- what an event says


def notice(name: str, kind: str, severity: int, at: str, event: Event, log: Log, pages: str = "") -> Notice:
    """`pages`: the address of the dashboard, where there is one to link to."""
    title, body = _report(event, log, at) if kind == "report" else _WORDS.get(kind, _other)(event, log)
    run = str(getattr(event, "run", ""))
    link = f"\n{pages.rstrip('/')}/{f'runs/{run}' if run else ''}" if pages else ""
    room = BODY_CHARS_MAX - len(link)
    return Notice(name, kind, severity, at, clean(title, TITLE_CHARS_MAX), clean(body, room, lines=True) + link)


def _question(event: Event, log: Log) -> tuple[str, str]:
    assert isinstance(event, events.RunMoved)
    title = _title_of(event.run, log)
    question = clean(event.question or "it is parked, and waits for you", 2_500, lines=True)
    now = log.query("SELECT state = 'parked' AND NOT answered FROM view_runs WHERE run = ?", (event.run,))
    if now and not now[0][0]:
        return f"{_ANSWERED}: {title}", f"{question}\n\nRun {event.run}: nothing is to be done."
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


def _report(event: Event, log: Log, at: str) -> tuple[str, str]:
    """The report of `daybreak report`, as much of each part as goes into a message; decisions first."""
    from daybreak.report import morning

    assert isinstance(event, events.NightEnded)
    now = datetime.fromisoformat(at)
    offset = now.astimezone().utcoffset()
    zone = 0 if offset is None else int(offset.total_seconds() // 60)
    report = _kept_home(morning.collect(cast("Whole", log), now=now, night=event.night, zone=zone))
    told = [
        (len(report.decisions), "to decide"),
        (len(report.verified), "verified"),
        (len(report.claimed), "claimed"),
        (len(report.failed), "failed"),
    ]
    counts = ", ".join(f"{number} {what}" for number, what in told if number) or "no runs"
    body = ""
    for most in (20, 10, 5, 3, 2, 1):
        body = _shortened(report, most)
        if len(body) <= BODY_CHARS_MAX - 200:
            break
    return f"Morning report: {counts}", body


def _kept_home(report: Morning) -> Morning:
    """Without why anything failed or waits: that may name examples that are held out."""
    from msgspec.structs import replace

    return replace(
        report,
        decisions=[replace(one, why="", hint="", tried=[]) for one in report.decisions],
        verified=[replace(one, said=[]) for one in report.verified],
        claimed=[replace(one, said=[], unverified="") for one in report.claimed],
        failed=[replace(one, why="", hint="", tried=[], said=[]) for one in report.failed],
        unfinished=[replace(one, why="") for one in report.unfinished],
        kept=None,
    )


def _shortened(report: Morning, most: int) -> str:
    """`most` lines of each part; of decisions, which come first, twice as many."""
    from daybreak.report.morning import lines, words

    out = [report.sentence, words.span(report)]
    for section in lines.sections(report):
        decisions = section.title.startswith(words.TITLES["decisions"])
        first = section.lines[: most * 2 if decisions else most]
        out += ["", f"{section.title}:"]
        for line in first:
            out.append(f"* {clean(line.text, 300).rstrip(': ')}")
            out += [f"  $ {command}" for command in line.commands[: 2 if decisions else 1]]
        if left := len(section.lines) - len(first):
            out.append(f"and {left} more: daybreak report --night {report.night}")
    return "\n".join(out)


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
    "alert": _alert,
}


def _title_of(run: str, log: Log) -> str:
    found = log.query("SELECT title FROM view_runs WHERE run = ?", (run,))
    return clean(str(found[0][0]), 80) if found else run


def _moment(text: str) -> str:
    """To the second, in this machine's time."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


# -- what is sent


def rank(kind: str, severity: int, at: Any) -> tuple[int, bool, Any]:
    """The order of notices in a message: the severe first, then what waits for an answer, then by time."""
    return -severity, kind != "question", at


def message(notices: Sequence[Notice], counted: Mapping[str, int] | None = None) -> Message:
    """One message of one notice, or of several. `counted`: how many there are of each kind, where not all are given;
    those that are given are the first by `rank`."""
    severity = max(one.severity for one in notices)
    counted = counted or Counter(one.kind for one in notices)
    whole = sum(counted.values())
    if whole == 1:
        only = notices[0]
        return Message(f"Daybreak: {only.title}"[:TITLE_CHARS_MAX], f"{only.body}\n[{only.name}]", severity)
    ordered = sorted(notices, key=lambda one: (_is_over(one), *rank(one.kind, one.severity, one.at)))
    named = ordered[:NAMED_MAX]
    left = whole - len(named)
    room = max(BODY_CHARS_MAX // len(named) - TITLE_CHARS_MAX - 30, 0)
    parts = [_part(one, room) for one in named]
    if left:
        parts.append(f"and {left} more: daybreak status")
    kinds = ", ".join(f"{number} {kind}" for kind, number in counted.items())
    return Message(
        f"Daybreak: {whole} messages ({kinds})"[:TITLE_CHARS_MAX],
        "\n\n".join(parts)[:BODY_CHARS_MAX],
        severity,
    )


def _is_over(one: Notice) -> bool:
    """Nobody has to do anything about it any more."""
    return one.kind == "question" and one.title.startswith(_ANSWERED)


def _part(one: Notice, room: int) -> str:
    body = one.body if len(one.body) <= room else f"{one.body[: max(room - 1, 0)]}…"
    return f"* {_moment(one.at)}  {one.title}" + (f"\n{body}" if room > 40 else "")
