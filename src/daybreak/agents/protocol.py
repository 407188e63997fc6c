"""What a worker is given, what it tells while it works, and what it claims at the end.

A worker is anything with `work(brief, workspace, terms)`. It runs in a process of its own, in the sandbox, sees its
brief and its workspace, and nothing else of ours. A claim is never a verdict: checks look at the workspace itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from daybreak.agents.entities import Entity

ClaimOutcome = Literal["finished", "partial", "refused", "crashed"]
Trouble = Literal[
    "", "refused", "quota", "authentication", "outage", "context", "budget", "stalled", "crashed", "unavailable"
]
"""Why a worker did not finish. `quota` and `outage` are the provider's, or nodes' of a cluster, and no attempt of the
worker's; `context`: what it was given, or had gathered, was too long; `stalled`: it said nothing for too long;
`unavailable`: it is not there, or not as it must be."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Crosses the border between processes as JSON; what comes in is checked as it is read."""


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """The `http` block of the front matter."""

    prefix: str = ""
    cors: Literal["*"] | tuple[str, ...] | None = None
    delete_all: bool = False
    envelope: Literal["", "name", "data"] = ""
    """What records are wrapped in: nothing, their entity's name, or `data`."""
    errors: Literal["problem", "fields", "message"] = "problem"
    names: Literal["declared", "camel"] = "declared"
    page: int | None = None
    """How many records a list holds unless asked otherwise."""
    page_max: int | None = None
    put: Literal["all", "some"] = "all"
    """Whether PUT changes all fields, or only those that are given, as PATCH does."""
    statuses: dict[str, int] = field(default_factory=dict)
    """By what happened (`added`, `deleted`, `invalid`, `missing`, `conflict`, `anonymous`, `forbidden`)."""


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
    """Everything that one attempt is given, as JSON. A build fills the fields of a specification; a task on a
    repository leaves them empty."""

    name: str
    title: str
    summary: str
    """What is asked, in the words of whoever asks."""
    why: str = ""
    role: str = "implementer"
    """Names the template that makes the prompt."""
    version: str = ""
    language: str = ""
    interfaces: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    entities: tuple[Entity, ...] = ()
    http: HttpOptions = HttpOptions()
    serve: str = ""
    specification: str = ""
    """The workers' copy of the specification: without the held-out examples."""
    constraints: tuple[str, ...] = ()
    """A sentence each."""
    checks: tuple[str, ...] = ()
    """What will look at the result, as far as that may be known: commands, or sentences."""
    protected: tuple[str, ...] = ()
    """Files that must stay as they are; whoever changes them has failed."""
    attempt: int = 1
    findings: tuple[Finding, ...] = ()
    """Of earlier attempts."""
    lessons: tuple[str, ...] = ()
    """Of other tasks; may be wrong."""
    recall: str = ""
    """The state of the task, for somebody whose memory of it was lost."""


class Gateway(_Message, frozen=True, kw_only=True):
    """Where models are reached, for one attempt."""

    url: str
    """http://127.0.0.1:PORT, without a path; below it `/openai/v1`, `/anthropic`, `/gemini`. In an `Order` it is
    empty: the attempt's own process opens the port."""
    token: str
    """Stands for the key, in whichever header the API has it; good for this attempt only."""
    api: Literal["openai", "anthropic", "gemini"]
    model: str
    socket: str = ""
    """The socket of the gateway outside, which is all that leads out of the sandbox."""


class Terms(_Message, frozen=True, kw_only=True):
    """What holds for one attempt beside its brief."""

    settings: dict[str, Any] = {}
    """Fields of `settings.Worker`."""
    time_s: float = 3600.0
    """Ended after that, by the clock of the wall."""
    silence_s: float = 300.0
    """Ended when it tells nothing for so long."""
    tokens: int | None = None
    """The most that it may use, in and out; enforced by the gateway where there is one."""
    requests: int = 200
    gateway: Gateway | None = None
    templates: str = ""
    """Folder with templates of briefs that go before ours."""
    turns: tuple[Any, ...] = ()
    """What the same attempt had told as `Turn` before a crash; the workspace is new."""


class Order(_Message, frozen=True, kw_only=True):
    """What the process of an attempt reads: who works, where, on what."""

    worker: str
    workspace: str
    brief: Brief
    terms: Terms = Terms()


class Usage(_Message, frozen=True, kw_only=True):
    """What was used since the last of these; the gateway's own count goes before it where there is one."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    """Of the input."""
    output_tokens: int = 0
    money_microusd: int = 0


class Turn(_Message, frozen=True, kw_only=True):
    """Something that the worker wants to be given back (`Terms.turns`, in order) should the attempt begin again after
    a crash; kept in the ledger."""

    data: Any


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
    trouble: Trouble = ""
    until: str = ""
    """With `quota`: when it is worth trying again, as RFC 3339; empty where nobody says."""


Told = Note | Usage | Turn | Claim


class Worker(Protocol):
    def work(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        """Do the work inside `workspace`, an existing empty folder or a copy; the last item is the claim."""
        ...
