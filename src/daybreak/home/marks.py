"""Gathers how far the ledger is witnessed and replicated, from what is kept here: nobody is asked anything."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.home import Home
    from daybreak.ledger.replicas.standing import Standing
    from daybreak.report.marks import Marks, Replicated, TargetLine, Witnessed
    from daybreak.settings import Settings


def look(home: Home) -> Marks:
    """What the settings name; a sentence instead where they cannot be used."""
    from daybreak.report.marks import Marks

    told = home.settings
    size = home.ledger.newest().size
    return Marks(
        size=size,
        witnessed=_witnessed(home, told) if told.witnesses else None,
        replicated=_replicated(home, told) if told.replicas.targets else None,
        wrong=[] if home.problem is None else [f"witnessed, replicated: not known, see {home.problem.code}"],
    )


def _witnessed(home: Home, told: Settings) -> Witnessed:
    from daybreak.clock import SystemClock
    from daybreak.factory.witnessing import mark
    from daybreak.factory.witnessing.remembered import remembered
    from daybreak.report.marks import Witnessed, WitnessLine

    rule = told.witness
    lines = []
    for name, one in remembered(home.ledger, told, home.places.witness, SystemClock(), os.environ).items():
        standing = one.standing
        problem = "" if standing.state in ("new", "well") else f"{standing.state}: {standing.code} {standing.why}"
        if standing.state == "new" and (name in rule.required or rule.at_least):
            problem = "was never reached"
        lines.append(
            WitnessLine(
                name=name,
                kind=standing.kind,
                required=name in rule.required,
                size=standing.counts,
                at=standing.at,
                proved=one.proved,
                proved_at=one.proved_at,
                problem=problem,
            )
        )
    have = mark(rule, {line.name: line.size for line in lines})
    counted = [line.at for line in lines if have and line.size >= have]
    return Witnessed(
        remembered=have,
        proved=mark(rule, {line.name: line.proved for line in lines}),
        at=max(counted, default=""),
        witnesses=lines,
    )


def _replicated(home: Home, told: Settings) -> Replicated:
    from daybreak.ledger.replicas.looking import recall
    from daybreak.report.marks import Replicated

    wanted = told.replicas.acknowledge or len(told.replicas.targets) // 2 + 1
    standings = recall(home.places.ledger, home.ledger.verifier, told.replicas.targets)
    lines = [_target(one) for one in standings]
    sizes = sorted((line.size for line in lines), reverse=True)
    return Replicated(size=sizes[wanted - 1] if wanted <= len(sizes) else 0, wanted=wanted, targets=lines)


def _target(one: Standing) -> TargetLine:
    from daybreak.report.marks import TargetLine

    problem = one.why or (f"is not whole: {one.code} {one.problem}" if one.problem else "")
    if one.state == "new":
        problem = "was never copied to"
    return TargetLine(one.target, 0 if problem else one.size, problem)
