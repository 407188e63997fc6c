"""An acceptance example: a block of the specification that runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["console", "http", "files"]


class Example(BaseModel):
    """One fenced block under `## Acceptance`, as written. `line` is that of its first line in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: str
    """Stable inside one specification: SHA-256 of kind, heading, body and its n-th occurrence; 12 digits."""
    kind: Kind
    title: str
    requirements: tuple[str, ...]
    body: str
    line: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in a block, found before anything runs. `line` counts from 0 at its first line."""

    line: int
    message: str
    remedy: str
