"""A build as the ledger keeps it: what was asked for, under which rules; read again whenever its run goes on."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from daybreak.factory.phases.phase import Phases
from daybreak.factory.phases.rejected import RejectedBuild
from daybreak.factory.phases.takeover import Taken
from daybreak.factory.toolbox import Toolbox
from daybreak.host.sandbox import Strength

EMBEDDED = "builder"
"""The worker that is a part of Daybreak."""


class BuildArgs(BaseModel):
    """What a build was asked for, as kept in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    specification: str
    """Blob of the specification's text."""
    specification_name: str
    format: Literal["md", "yaml", "toml", "json"]
    output: str
    """Absolute folder to deliver to."""
    workers: tuple[str, ...] = (EMBEDDED,)
    """The order in which workers are asked."""
    as_written: bool = False
    """Somebody named them for this build: what is known of outcomes does not change their order."""
    alone: bool = False
    """Asked for when there was one worker only: the history of such a build has no choices in it."""
    sandbox: Strength = "degraded"
    """The least that the sandbox of every program must enforce."""
    assume: bool = False
    accept_unshown: bool = False
    skeleton: bool = False
    """Where nothing could be built, put a skeleton that says so in its place."""
    phases: Phases | None = None
    """None: asked for when there were no phases."""
    taken: Taken | None = None
    """What is taken over where it begins at a later phase."""
    tools: Toolbox | None = None
    """For checks of other languages; None: asked for when builds looked at Python only."""
    requirement: str = ""
    """What is asked for in a person's words, where the specification is drafted first; then there is none yet, and
    `output` may be empty."""
    first_attempt: int = 1
    """Number of the first attempt at building: those before it drafted."""
    folder: str = ""
    """Where a result that is named by its draft goes."""
    rejected: RejectedBuild | None = None
    """What a person has rejected before, where it is done once more for that."""

    @model_validator(mode="before")
    @classmethod
    def _one_worker(cls, told: Any) -> Any:
        """Builds that were asked for when there was one worker only."""
        if isinstance(told, dict) and "worker" in told:
            told = dict(told)
            told["workers"], told["alone"] = [told.pop("worker")], True
        return told
