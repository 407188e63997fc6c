"""Looks at everything that a night needs, and repairs what is safe.

Works where there is no ledger, where a night is running, on a damaged ledger and on a full disk. Looking changes
nothing but for a probe file in folders of our own, which is removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.engine.night import Found
from daybreak.errors import DaybreakError
from daybreak.factory.health import (
    bundle,
    cluster,
    copies,
    disk,
    keys,
    leftovers,
    postgres,
    processes,
    state,
    tools,
    witnesses,
    workers,
)
from daybreak.factory.health.finding import Finding, trouble
from daybreak.factory.health.state import Looking
from daybreak.ledger.views import View
from daybreak.settings import Settings
from daybreak.settings import postgres as postgres_of


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a finding that something could be done about."""

    finding: Finding
    done: str = ""
    """What was done, and what was before; empty where it failed."""
    failed: str = ""


def examine(
    where: Places,
    clock: Clock,
    views: Sequence[View],
    *,
    roots: Sequence[Path] = (),
    settings: Callable[[], Settings] = Settings,
    environment: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Everything that there is to say, good or bad. `views` are what ledgers here are opened with; `roots` are folders
    besides our own in which a change of files may have been interrupted, such as the one that the user is in;
    `settings` reads `daybreak.toml`, and `environment` is where its workers find what they need."""
    at = Looking(where, clock, views, lambda: postgres_of(environment or {}, settings()))
    looks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("disk", lambda: disk.look(where)),
        ("machine", lambda: disk.memory(where)),
        ("workers", lambda: workers.look(settings, environment or {})),
        ("tools", tools.look),
        ("bundle", lambda: bundle.look(environment or {})),
        ("sandbox", lambda: [tools.sandbox()]),
        ("credentials", lambda: keys.look(where)),
        ("log", lambda: state.look(at)),
        ("postgres", lambda: postgres.look(at.postgres, where)),
        ("witnesses", lambda: witnesses.look(where, clock, settings)),
        ("replicas", lambda: copies.look(where, settings)),
        ("dispatch", lambda: cluster.look(settings, where, environment or {})),
        ("leftovers", lambda: leftovers.look(at, roots)),
        ("processes", processes.look),
    ]
    return [finding for name, look in looks for finding in _told(name, look)]


def repair(findings: Iterable[Finding]) -> list[Repaired]:
    """Do what is safe about them, in the order in which they were found. Each failure is told, and the others go on."""
    return [_repaired(finding) for finding in findings if finding.fix is not None]


def for_night(findings: Iterable[Finding]) -> list[Found]:
    """What a night should note of them: nothing of what is good; what must be acted on, as that."""
    levels = {"note": 1, "bad": 2}
    return [
        Found(levels[one.level], f"{one.name}: {one.text}", {"hint": one.hint})
        for one in findings
        if one.level in levels and one.name != "places"
    ]


def _told(name: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except Exception as problem:  # noqa: BLE001 - one broken thing must not hide the others
        yield trouble(name, problem)


def _repaired(finding: Finding) -> Repaired:
    assert finding.fix is not None, "chosen for it"
    try:
        return Repaired(finding, done=finding.fix())
    except DaybreakError as problem:
        return Repaired(finding, failed=f"{problem.code} {problem.message}; {problem.hint}")
    except OSError as problem:
        return Repaired(finding, failed=f"{problem.strerror or problem}")
