"""The one model of a specification, whatever it was written in."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from daybreak.agents.entities import Entity
from daybreak.agents.protocol import HttpOptions, Requirement
from daybreak.checks.example import Example

Complexity = Literal["simple", "moderate", "complex"]
Interface = Literal["cli", "http"]
Shared = Literal["auto", "sequential", "parallel", "chain", "tournament", "consensus"]
"""How workers share the build."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Budget(_Model):
    """What a build may use."""

    time_s: int = 1800
    money_usd: Decimal = Decimal(2)
    tokens: int = 500_000
    attempts: int = 3


class Limits(_Model):
    workers: int = 8
    depth: int = 3
    children: int = 5


class Needed(_Model):
    """What a machine must have on which attempts and checks are done."""

    cpus: float = 0
    """0: as the settings say, and likewise below."""
    memory_bytes: int = 0
    labels: tuple[str, ...] = ()


class Quality(_Model):
    coverage: int = 85
    thresholds: tuple[int, ...] = (60, 75, 85)


class Story(_Model):
    title: str
    priority: str = ""
    narrative: str = ""
    """What stands between its heading and its scenarios."""
    scenarios: tuple[str, ...] = ()


class Criterion(_Model):
    id: str
    text: str


class Clarification(_Model):
    """A `[NEEDS CLARIFICATION: question]`."""

    question: str
    line: int


class Specification(_Model):
    name: str
    version: str = "0.1.0"
    language: str = "python"
    interfaces: tuple[Interface, ...] = ("cli",)
    complexity: Complexity
    complexity_estimated: bool = False
    paradigm: Shared | None = None
    """None: it says nothing of it."""
    budget: Budget = Budget()
    limits: Limits = Limits()
    quality: Quality = Quality()
    needs: Needed = Needed()
    holdout: float = 0.33
    serve: str = ""
    """`NAME serve --port {port}` where left out."""
    http: HttpOptions = HttpOptions()
    title: str
    summary: str = ""
    objectives: tuple[str, ...]
    stories: tuple[Story, ...] = ()
    requirements: tuple[Requirement, ...]
    entities: tuple[Entity, ...] = ()
    success_criteria: tuple[Criterion, ...] = ()
    out_of_scope: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    clarifications: tuple[Clarification, ...] = ()
