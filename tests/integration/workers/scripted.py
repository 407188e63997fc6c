"""Workers with scripts, for `--worker scripted.py:NAME`."""

from __future__ import annotations

from daybreak.testing.agent import ScriptedAgent


class Learns(ScriptedAgent):
    """Lies, breaks what it builds, then does it right."""

    script = ("lies", "wrong", "right")


class Crashes(ScriptedAgent):
    script = ("crashes",)


class Dies(ScriptedAgent):
    script = ("dies",)


class Silent(ScriptedAgent):
    script = ("silent",)


class Refuses(ScriptedAgent):
    script = ("refuses",)
