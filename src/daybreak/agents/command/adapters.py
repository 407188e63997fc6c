"""Kind of worker to its adapter."""

from __future__ import annotations

import importlib
from typing import cast

from daybreak.agents.command.adapter import Adapter

MODULES = {
    kind: f"daybreak.agents.command.{kind}"
    for kind in ("codex", "claude", "pi", "gemini", "opencode", "qwen", "aider", "mini", "generic")
}


def adapter(kind: str) -> Adapter:
    """Only that one is loaded. `kind` is one of `settings.COMMANDS`."""
    return cast(Adapter, importlib.import_module(MODULES[kind]).adapter)
