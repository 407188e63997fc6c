"""What a worker is given, what it tells while it works, and what it claims at the end.

A worker is anything with `work(brief, workspace)`. It runs in a process of its own, sees its brief and its
workspace, and nothing else of ours. A claim is never a verdict: checks look at the workspace itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from daybreak.agents.entities import Entity

ClaimOutcome = Literal["finished", "partial", "refused", "crashed"]


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Crosses the border between processes as JSON; what comes in is checked as it is read."""


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """The `http` block of the front matter."""

    prefix: str = ""
    cors: Literal["*"] | tuple[str, ...] | None = None
    delete_all: bool = False


@dataclass(frozen=True, kw_only=True)
class Requirement:
    id: str
    text: str
    must: bool = True


class Finding(_Message, frozen=True, kw_only=True):
    """What a check saw that a worker can mend. For held-out examples it names the requirement only."""

    check: str
    requirement: str | None = None
    message: str


class Brief(_Message, frozen=True, kw_only=True):
    """Everything that one attempt is given, as JSON."""

    name: str
    version: str
    language: str
    interfaces: tuple[str, ...]
    title: str
    summary: str
    requirements: tuple[Requirement, ...]
    entities: tuple[Entity, ...]
    http: HttpOptions
    serve: str
    specification: str
    """The workers' copy of the specification: without the held-out examples."""
    attempt: int = 1
    findings: tuple[Finding, ...] = ()


class Order(_Message, frozen=True, kw_only=True):
    """What the process of an attempt reads: who works, where, on what."""

    worker: str
    workspace: str
    brief: Brief


class Note(_Message, frozen=True, kw_only=True):
    """Something a worker tells while it works; shown, never believed."""

    text: str
    fraction: float | None = None
    """0 to 1 of the work, where the worker knows."""


class Claim(_Message, frozen=True, kw_only=True):
    """What a worker says at the end."""

    outcome: ClaimOutcome
    summary: str
    not_built: tuple[str, ...] = ()
    """What it could not build, each as a sentence that names it."""


class Worker(Protocol):
    def work(self, brief: Brief, workspace: Path) -> Iterator[Note | Claim]:
        """Do the work inside `workspace`, an existing empty folder or a copy; the last item is the claim."""
        ...
