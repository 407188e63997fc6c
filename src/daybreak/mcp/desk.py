"""What every tool works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.mcp.asker import Asker
from daybreak.mcp.words import Speaking

if TYPE_CHECKING:
    from daybreak.clock import Clock
    from daybreak.home import Home


@dataclass(frozen=True, slots=True)
class Desk:
    """For one call: the home is open while it lasts."""

    home: Home
    asker: Asker
    clock: Clock
    folders: tuple[Path, ...]
    """Below which work may be done; the first is what paths count from."""
    environment: Mapping[str, str]

    @property
    def speaking(self) -> Speaking:
        return Speaking(words=self.asker.has("evidence"), examples=self.asker.has("held-out"))

    def run(self, named: str) -> str:
        """The run of that name, or the only one that begins so. Raises RunUnknown, NoRuns."""
        from daybreak import home

        return home.pick_run(self.home, named)
