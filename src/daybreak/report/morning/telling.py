"""What happened beside the work, a line for each event."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from daybreak import events
from daybreak.report.morning.facts import LIST_MAX
from daybreak.report.morning.model import Fact, Notice

NOTICES = frozenset(
    kind.type
    for kind in (
        *(events.NightNoted, events.WindowSkipped, events.ViewsDrifted, events.ViewsRepaired, events.ViewsRepairFailed),
        *(events.ReplicaLapsed, events.ReplicaCaughtUp, events.WitnessLapsed, events.WitnessCaughtUp),
    )
)


def notice(fact: Fact) -> Notice:
    """Of one of `NOTICES`."""
    what, level, text = _words(fact.type, fact.fields)
    run = fact.fields.get("run", "")
    return Notice(what=what, level=level, text=text, run=str(run), evidence=[fact.evidence])


def left_out(text: str) -> Notice:
    """What this report does not tell."""
    return Notice(what="left out of this report", level=1, text=text)


def lost_jobs(told: Sequence[Fact]) -> list[Notice]:
    """How often nodes of a cluster did not do what they had, in a line; nothing where they all did. Of one run the
    newest hundred count. What a node cannot do is not lost there."""
    lost = [fact for fact in told if fact.type == events.JobLost.type and fact.fields.get("refused") is not True]
    if not lost:
        return []
    again = sum(fact.fields.get("again") is True for fact in lost)
    nodes = len({str(fact.fields["node"]) for fact in lost if fact.fields.get("node")})
    runs = len({fact.fields.get("run") for fact in lost})
    where = f" on {_counted(nodes, 'node')}" if nodes else ""
    text = f"{_counted(len(lost), 'try', 'tries')} of jobs lost{where}, in {_counted(runs, 'run')}; {again} done again"
    if given_up := len(lost) - again:
        text += f", {given_up} given up"
    return [Notice(what="cluster", level=1, text=text, evidence=[fact.evidence for fact in lost[:LIST_MAX]])]


def _counted(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"


def incidents(told: Sequence[Fact], unclosed: Collection[str]) -> list[Notice]:
    """The open ones first, the worst first."""
    closed = {str(one.fields.get("incident")): one for one in told if one.type == events.IncidentClosed.type}
    found = []
    for fact in told:
        if fact.type != events.IncidentRaised.type:
            continue
        name, kind = str(fact.fields.get("incident", "")), str(fact.fields.get("kind", ""))
        end = closed.get(name)
        text = str(fact.fields.get("what", ""))
        if end is not None:
            text += f"; closed: {end.fields.get('why') or 'a person has looked at it'}"
        found.append(
            Notice(
                what=f"{kind.replace('_', ' ')} ({name})",
                level=_number(fact.fields.get("level")),
                text=text,
                run=str(fact.fields.get("run", "")),
                open=name in unclosed,
                evidence=[fact.evidence, *([end.evidence] if end is not None else [])],
            )
        )
    return sorted(found, key=lambda one: (not one.open, -one.level))


def breakers(told: Sequence[Fact]) -> list[Notice]:
    """Each that opened, how it stood last."""
    last: dict[str, Fact] = {}
    opened: set[str] = set()
    for fact in told:
        if fact.type == events.BreakerChanged.type:
            name = str(fact.fields.get("name", ""))
            last[name] = fact
            if fact.fields.get("state") != "closed":
                opened.add(name)
    found = []
    for name in sorted(opened):
        fact = last[name]
        state = str(fact.fields.get("state", ""))
        until = f" until {fact.fields['until']}" if fact.fields.get("until") and state != "closed" else ""
        found.append(
            Notice(
                what=name,
                level=0 if state == "closed" else 1,
                text=f"{state}{until}: {fact.fields.get('why', '')}",
                open=state != "closed",
                evidence=[fact.evidence],
            )
        )
    return found


def _words(kind: str, told: dict[str, Any]) -> tuple[str, int, str]:
    """What, level, text."""
    match kind:
        case events.NightNoted.type:
            return str(told.get("what", "")), _number(told.get("level")), str(told.get("text", ""))
        case events.WindowSkipped.type:
            return "schedule", 1, f"{told.get('schedule')}: window {told.get('window')} was skipped: {told.get('why')}"
        case events.ViewsDrifted.type:
            drifts = [one for one in told.get("drifts") or [] if isinstance(one, dict)]
            worst = 2 if any(one.get("severity") == "critical" for one in drifts) else 1
            lines = [_drift(one) for one in drifts]
            return "drift", worst, f"views did not say what the events say: {'; '.join(lines)}"
        case events.ViewsRepaired.type:
            return "repair", 0, f"made again from the events: {', '.join(map(str, told.get('views') or []))}"
        case events.ViewsRepairFailed.type:
            return (
                "repair",
                2,
                f"could not be made again: {', '.join(map(str, told.get('views') or []))}: {told.get('why')}",
            )
        case events.ReplicaLapsed.type:
            lost = f"{told.get('code')} {told.get('problem')}; {told.get('left')} left, {told.get('wanted')} must"
            return f"replica {told.get('target')}", 1, f"does not acknowledge: {lost}"
        case events.ReplicaCaughtUp.type:
            return f"replica {told.get('target')}", 0, f"holds everything again ({told.get('size')} events)"
        case events.WitnessLapsed.type:
            level = 2 if told.get("state") == "contradicts" else 1
            return (
                f"witness {told.get('witness')}",
                level,
                f"{told.get('state')}: {told.get('code')} {told.get('problem')}",
            )
        case _:
            return f"witness {told.get('witness')}", 0, f"takes heads again ({told.get('size')} events)"


def _drift(one: dict[str, Any]) -> str:
    if one.get("kind") == "definition":
        return f"{one.get('table')} was defined otherwise"
    return f"{one.get('table')}: {one.get('rows')} rows {one.get('kind')}"


def _number(value: Any) -> int:
    return value if type(value) is int else 0
