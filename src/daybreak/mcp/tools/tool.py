"""What a tool is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from daybreak.mcp.desk import Desk
from daybreak.policy.bearer import Scope


class Takes(BaseModel):
    """Arguments: what is not known is refused, so that a wrong name is never passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=1_000_000)


class Gives(BaseModel):
    """A result."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    title: str
    description: str
    scope: Scope
    takes: type[BaseModel]
    gives: type[BaseModel]
    do: Callable[[Desk, Any], BaseModel]
    changes: bool = False
    destroys: bool = False
    """What it changes cannot be had back as it was."""
    repeats: bool = False
    """A second call with the same arguments changes nothing more."""

    @property
    def said(self) -> str:
        """Its description, with what it needs."""
        return f"{self.description} Needs the scope `{self.scope}`."
