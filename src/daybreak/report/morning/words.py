"""How a report says things, the same in every form."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone

from daybreak.policy.budget import NAMES, Amounts
from daybreak.report.morning.model import Cost, Evidence, Morning, Result, Try

TITLES = {
    "decisions": "Your decision is needed",
    "verified": "Verified",
    "claimed": "Claimed, not verified",
    "failed": "Failed",
    "unfinished": "Not over, or cancelled",
    "cost": "Cost against budget",
    "incidents": "Incidents",
    "breakers": "Breakers",
    "repairs": "Drift and repairs",
    "lapses": "Witnesses and replicas",
    "notices": "Noted",
    "coming": "What comes next",
    "kept": "The ledger",
}
"""The parts, in the order in which they are read."""


def at(moment: str, report: Morning) -> str:
    """To the minute, on the clock on the wall of where the report was made."""
    return _wall(moment, report).strftime("%Y-%m-%d %H:%M") if moment else ""


def clock(moment: str, report: Morning) -> str:
    """The time alone where the day is that of the report, else the day too."""
    if not moment:
        return ""
    wall = _wall(moment, report)
    return wall.strftime("%H:%M" if wall.date() == _wall(report.made, report).date() else "%b %d, %H:%M")


def _wall(moment: str, report: Morning) -> datetime:
    return datetime.fromisoformat(moment).astimezone(timezone(timedelta(minutes=report.zone)))


def zone(report: Morning) -> str:
    """`UTC+01:00`."""
    sign, minutes = "-" if report.zone < 0 else "+", abs(report.zone)
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}" if minutes else "UTC"


def title(report: Morning) -> str:
    return f"Night of {at(report.since, report)[:10]}" if report.night else f"Since {at(report.since, report)}"


def span(report: Morning) -> str:
    told = f"{at(report.since, report)} to {at(report.until, report)}, {zone(report)}"
    begun = f", begun {len(report.nights)} times" if len(report.nights) > 1 else ""
    return f"{report.night}{begun}, {told}" if report.night else told


def number(count: int) -> str:
    return f"{count:,}"


def proof(evidence: Iterable[Evidence]) -> str:
    """`run:ID#7 (leaf 1,204)`, one after the other."""
    return ", ".join(f"{one.place} (leaf {one.index})" for one in evidence)


def amounts(told: dict[str, int]) -> str:
    return Amounts(**{name: told[name] for name in NAMES if told.get(name)}).words


def share(cost: Cost) -> list[tuple[str, int]]:
    """For each limited amount: its words, and how many percent are used."""
    found = []
    for name in NAMES:
        most = cost.limit.get(name)
        if most:
            used = cost.used.get(name, 0)
            words = f"{amounts({name: used}) if used else '0'} of {amounts({name: most})}"
            found.append((words, used * 100 // most))
    return found


def cost(told: Cost) -> str:
    """In a sentence."""
    if told.soft and not told.used and not told.limit:
        return told.what
    limited = [f"{words} ({percent} %)" for words, percent in share(told)]
    free = {name: told.used[name] for name in NAMES if told.used.get(name) and not told.limit.get(name)}
    parts = limited + ([f"{amounts(free)} without a limit"] if free else [])
    soft = "; some of it soft" if told.soft else ""
    return f"{told.what}: {', '.join(parts) or 'nothing was used'}{soft}"


def coverage(result: Result) -> list[str]:
    """What is known of a result, in a few words each."""
    parts = []
    if result.required:
        left = f" (not {', '.join(result.missing[:10])})" if result.missing else ""
        parts.append(f"{result.shown} of {result.required} requirements shown{left}")
    if result.held_out:
        parts.append(f"held-out passed {result.held_out_passed} of {result.held_out}")
    if result.score is not None:
        parts.append(f"score {result.score:g}")
    return parts + [mark for mark in result.marks if not mark.startswith("held-out")]


def provenance(result: Result) -> str:
    """How its signed statement is checked; empty where there is none."""
    if not result.provenance or not result.output:
        return ""
    return f"provenance {result.provenance[:16]}: daybreak provenance verify {shlex.quote(result.output)}"


def attempts(tried: Sequence[Try]) -> str:
    """How many, and that there were more where not all of them are told."""
    first = tried[0].attempt if tried else 1
    told = "1 attempt" if len(tried) == 1 else f"{len(tried)} attempts"
    return f"the newest {told}, of {tried[-1].attempt}" if first > 1 else told
