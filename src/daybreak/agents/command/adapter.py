"""What differs from one coding agent to the next: how it is started, and how its stream is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from daybreak.agents.command.story import Reader
from daybreak.agents.protocol import Terms
from daybreak.clock import Clock
from daybreak.settings import Worker

RETRIES = 2
"""How often an agent's client may try a request again; whoever asked us decides on more."""


@dataclass(frozen=True)
class Room:
    """Where an agent is, for one attempt: all of it is made before it starts and gone afterwards."""

    workspace: Path
    home: Path
    """HOME; its configuration and sessions lie in it."""
    temporary: Path
    """TMPDIR; not in its home, which Codex refuses."""


@dataclass(frozen=True)
class Job:
    """What an adapter knows when it says how to start."""

    program: tuple[str, ...]
    """First words of the command."""
    prompt: str
    room: Room
    worker: Worker
    terms: Terms

    @property
    def model(self) -> str:
        return self.terms.gateway.model if self.terms.gateway is not None else self.worker.model

    @property
    def token(self) -> str:
        return self.terms.gateway.token if self.terms.gateway is not None else ""

    def url(self, path: str = "") -> str:
        """An address at the gateway; empty where there is none."""
        return self.terms.gateway.url.rstrip("/") + path if self.terms.gateway is not None else ""

    def option(self, name: str, otherwise: Any) -> Any:
        """A value of the worker's `options`, where it has the type of `otherwise`."""
        value = self.worker.options.get(name, otherwise)
        return value if type(value) is type(otherwise) else otherwise

    @property
    def retries(self) -> int:
        return max(0, int(self.option("retries", RETRIES)))


@dataclass(frozen=True)
class Launch:
    """How an agent is started."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)
    """Written before, with their folders; mode 0600."""
    stdin: bytes = b""
    """Given and closed; empty: closed."""


class Adapter(Protocol):
    """One module below this package has one object of this kind, called `adapter`."""

    name: ClassVar[str]
    """For people."""
    program: ClassVar[str]
    """As it is usually called."""
    install: ClassVar[str]
    """How people get it."""
    apis: ClassVar[tuple[str, ...]]
    """Which of the gateway's APIs it can be pointed at; empty: none, so its budget is soft."""
    keys: ClassVar[tuple[str, ...]]
    """Environment variables that are usual for its login, where there is no gateway."""

    def launch(self, job: Job) -> Launch: ...

    def reader(self, worker: Worker, clock: Clock) -> Reader: ...
