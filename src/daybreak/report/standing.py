"""How everything stands at this moment: is a night under way, what runs, what waits for a person, what is left."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from daybreak.clock import stamp
from daybreak.engine import nights
from daybreak.engine.log import Log
from daybreak.engine.view import UNDER_WAY
from daybreak.policy.accounts import Accounts
from daybreak.report import marks as marking
from daybreak.report.marks import Marks
from daybreak.report.night import BreakerLine, IncidentLine, open_incidents
from daybreak.report.notify import troubles
from daybreak.report.shown import shown

_STATES = ", ".join(f"'{state}'" for state in UNDER_WAY)
_UNDER_WAY = f"SELECT run, kind, title, state, updated FROM view_runs WHERE state IN ({_STATES}) ORDER BY updated"
_ASKING = "SELECT run, title, question, updated FROM view_runs WHERE state = 'parked' AND NOT answered ORDER BY updated"
_COUNTS = "SELECT state, count(*) FROM view_runs GROUP BY state ORDER BY state"
_BREAKERS = "SELECT name, state, until, why FROM view_circuits WHERE state <> 'closed' ORDER BY name"


@dataclass(frozen=True, slots=True)
class Lock:
    """What the machine says about a lock; made by whoever sees it."""

    held: bool
    beat: str = ""
    """The last beat, by the clock on the wall; empty where there was none."""


@dataclass(frozen=True, slots=True)
class NightLine:
    night: str
    pid: int
    began: str
    until: str
    workers: int
    helper: bool
    ending: str
    beat: str
    budget: dict[str, str]
    """limit, used, left: in words."""
    host: str = ""
    joined: str = ""
    """The night of another home whose budget it shares."""


@dataclass(frozen=True, slots=True)
class WorkLine:
    """A run that is under way."""

    run: str
    kind: str
    title: str
    state: str
    since: str
    step: str
    step_since: str
    orphaned: bool
    """Nobody holds its lock: the next night goes on with it."""


@dataclass(frozen=True, slots=True)
class Question:
    run: str
    title: str
    question: str
    since: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Moments are texts as in the ledger."""

    now: str
    nights: Sequence[NightLine]
    """Under way."""
    dead: Sequence[str]
    """Nights that died and that nobody has closed yet."""
    questions: Sequence[Question]
    work: Sequence[WorkLine]
    counts: dict[str, int]
    breakers: Sequence[BreakerLine]
    incidents: Sequence[IncidentLine]
    """That nobody has closed."""
    wakes: str
    """When the next run or window comes by time alone; empty where none does."""
    replicas: Sequence[str] = ()
    """Targets of the ledger's replicas that do not acknowledge, each with why."""
    marks: Marks | None = None
    """How far it is witnessed and replicated; None where nobody looked."""
    channels: Sequence[str] = ()
    """Channels of messages to people that fail, each with why."""


def collect(
    log: Log,
    now: datetime,
    *,
    locks: dict[str, Lock],
    beats: dict[str, dict[str, Any]],
    wakes: datetime | None = None,
    replicas: Sequence[str] = (),
    marks: Marks | None = None,
    told: Collection[str] | None = None,
) -> Standing:
    """`locks` by name; what is missing there is free. `beats` by night: what each wrote last about itself. `told`: the
    channels of the settings; one that is not there any more troubles nobody."""
    free = Lock(False)
    open_nights = nights.open_nights(log)
    alive = [row for row in open_nights if locks.get(row.night, free).held]
    steps: dict[str, Any] = {}
    for row in alive:
        steps.update(beats.get(row.night, {}).get("steps", {}))
    work = []
    for run, kind, title, state, since in log.query(_UNDER_WAY):
        step, step_since = steps.get(run, ("", ""))
        orphaned = not locks.get(run, free).held
        work.append(WorkLine(run, kind, title, state, since, str(step), str(step_since), orphaned))
    return Standing(
        now=stamp(now),
        nights=[_night(log, row, locks[row.night], beats.get(row.night, {})) for row in alive],
        dead=[row.night for row in open_nights if row not in alive],
        questions=[Question(*found) for found in log.query(_ASKING)],
        work=work,
        counts={str(state): int(number) for state, number in log.query(_COUNTS)},
        breakers=[BreakerLine(*found) for found in log.query(_BREAKERS)],
        incidents=open_incidents(log),
        wakes="" if wakes is None else stamp(wakes),
        replicas=list(replicas),
        marks=marks,
        channels=troubles.problems(log, told),
    )


def as_json(standing: Standing) -> dict[str, Any]:
    told = asdict(standing)
    told["marks"] = None if standing.marks is None else marking.as_json(standing.marks)
    return told


def as_text(standing: Standing) -> str:
    """Lines for people: what waits for them first."""
    now = datetime.fromisoformat(standing.now)
    lines: list[str] = []
    if standing.questions:
        lines.append(f"{len(standing.questions)} wait for you:")
        for question in standing.questions:
            lines.append(
                f"  {question.run}  {question.title}: {question.question}  (since {_ago(question.since, now)})"
            )
        lines.append("  answer with `daybreak answer RUN ANSWER`")
    if standing.incidents:
        worst = max(standing.incidents, key=lambda one: one.level)
        lines.append(
            f"{len(standing.incidents)} incidents are open, the worst: level {worst.level}, {worst.kind}: {worst.what}"
        )
        lines.append("  look with `daybreak incidents list --open`")
    for night in standing.nights:
        lines += _night_lines(night, now)
    if not standing.nights:
        lines.append("no night is under way; `daybreak night` begins one")
    lines += [f"night {night} died; the next one goes on with what it left" for night in standing.dead]
    for work in standing.work:
        step = f", {work.step} for {_ago(work.step_since, now)}" if work.step else ""
        left = "; its owner died" if work.orphaned else ""
        lines.append(f"  {work.run}  {work.title}: {work.state} for {_ago(work.since, now)}{step}{left}")
    counts = ", ".join(f"{number} {state}" for state, number in standing.counts.items())
    lines.append(f"runs: {counts or 'none'}")
    if standing.wakes:
        lines.append(f"next by its time: {_clock(standing.wakes)}")
    if standing.marks is not None:
        lines += marking.lines(standing.marks)
    else:
        lines += [f"replica {lapsed}" for lapsed in standing.replicas]
    for breaker in standing.breakers:
        until = f" until {_clock(breaker.until)}" if breaker.until else ""
        lines.append(f"breaker {breaker.name} is {breaker.state}{until}: {breaker.why}")
    lines += [f"channel {one}" for one in standing.channels]
    return "\n".join(shown(line.replace("\n", " ")) for line in lines) + "\n"


def _night(log: Log, row: nights.NightRow, lock: Lock, beat: dict[str, Any]) -> NightLine:
    budget: dict[str, str] = {}
    account = nights.account_of(log, row.night)
    accounts = Accounts(log)
    if (row.budget or row.joined) and account and (limit := accounts.limit(account)) is not None:
        left, used = accounts.left(account), accounts.used(account)
        budget = {"limit": limit.words, "used": used.words, "left": left.words}
    return NightLine(
        night=row.night,
        pid=row.pid,
        began=row.began,
        until=row.until,
        workers=row.workers,
        helper=bool(beat.get("helper", False)),
        ending=str(beat.get("ending", "")),
        beat=lock.beat,
        budget=budget,
        host=row.host,
        joined=row.joined,
    )


def _night_lines(night: NightLine, now: datetime) -> list[str]:
    until = f", until {_clock(night.until)}" if night.until else ""
    helper = ", beside another one" if night.helper else ""
    lines = [
        f"night {night.night} is under way for {_ago(night.began, now)}{until}: {night.workers} workers, "
        f"process {night.pid}{f' on {night.host}' if night.host else ''}{helper}"
    ]
    if night.joined:
        lines.append(f"  joined night {night.joined} of another home")
    if night.ending:
        lines.append(f"  it is coming to its end: {night.ending}")
    if night.beat:
        lines.append(f"  last beat {_ago(night.beat, now)} ago")
    if night.budget:
        told = night.budget
        lines.append(f"  budget {told['limit']}: {told['used']} used, {told['left']} left")
    return lines


def _ago(moment: str, now: datetime) -> str:
    if not moment:
        return "?"
    seconds = max(0, int((now - datetime.fromisoformat(moment)).total_seconds()))
    return f"{seconds} s" if seconds < 120 else str(timedelta(seconds=seconds))


def _clock(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%a %H:%M:%S %Z")
