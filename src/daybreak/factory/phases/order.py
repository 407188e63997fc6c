"""What one build is: its specification, what of it is held out, and who works on it under which rules."""

from __future__ import annotations

from dataclasses import dataclass

from daybreak.engine.dispatch import NO_NEEDS, Needs
from daybreak.factory.office import Office
from daybreak.factory.phases.phase import Phases
from daybreak.factory.phases.rejected import RejectedBuild
from daybreak.factory.phases.takeover import Taken
from daybreak.factory.spec.model import Specification
from daybreak.factory.spec.source import Format
from daybreak.factory.toolbox import Toolbox
from daybreak.host.sandbox import Strength


@dataclass(frozen=True)
class BuildOrder:
    spec: Specification
    text: str
    """The specification as written, in `format`."""
    format: Format
    held_out: frozenset[str]
    """Ids of the acceptance examples that no worker sees."""
    serve: str
    """The command that starts the result as a server."""
    workers: tuple[str, ...]
    as_written: bool
    alone: bool
    sandbox: Strength
    phases: Phases
    office: Office
    kind: str
    """What memory calls this kind of task."""
    embedded: str
    """Name of the worker that is a part of Daybreak."""
    taken: Taken | None = None
    """What an earlier build left, where this one begins at a later phase."""
    tools: Toolbox | None = None
    """For checks of other languages; None: asked for when builds looked at Python only."""
    needs: Needs = NO_NEEDS
    """What a machine must have on which its attempts and checks are done."""
    rejected: RejectedBuild | None = None
    """What a person has rejected before."""

    @property
    def attempts_max(self) -> int:
        """Of one role in one phase."""
        return self.phases.iterations or self.spec.budget.attempts
