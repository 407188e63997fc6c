"""Workers with scripts, for `--worker scripted.py:NAME`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from daybreak.agents.protocol import Brief, Claim, Terms, Told
from daybreak.testing.agent import ScriptedAgent


class Learns(ScriptedAgent):
    """Lies, breaks what it builds, then does it right."""

    script = ("lies", "wrong", "right")


class LearnsAndKeepsItsBriefs(Learns):
    """Leaves all it was given with the rest, each time."""

    def work(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        for told in super().work(brief, workspace, terms):
            if isinstance(told, Claim):
                (workspace / "brief.json").write_bytes(msgspec.json.encode(brief))
            yield told


class Crashes(ScriptedAgent):
    script = ("crashes",)


class Dies(ScriptedAgent):
    script = ("dies",)


class Silent(ScriptedAgent):
    script = ("silent",)


class Refuses(ScriptedAgent):
    script = ("refuses",)
