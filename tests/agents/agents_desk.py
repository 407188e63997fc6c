"""A desk for tests of coding agents: real programs, a scripted model server, and a look at what is left running."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daybreak.agents.command import CommandAgent
from daybreak.agents.protocol import Brief, Claim, Gateway, Terms, Told, Usage
from daybreak.testing.modelserver import ModelServer

FOLDER = Path(__file__).resolve().parents[2] / "out" / "agents"
BIN = FOLDER / "node_modules" / ".bin"
NEEDED = "DAYBREAK_TEST_AGENTS"
"""Variable with the agents that were installed for this: one of them that is not there is a failure."""
APIS: Mapping[str, Any] = {
    "codex": "openai", "pi": "openai", "gemini": "gemini", "opencode": "openai", "qwen": "openai",
    "claude": "anthropic", "aider": "openai", "mini": "openai",
}  # fmt: skip
MODELS = {"gemini": "gemini-2.5-pro", "claude": "claude-sonnet-4-5"}
"""What each is made for; all else is `scripted-1`."""


@dataclass(frozen=True)
class Seen:
    """What came of one attempt."""

    told: tuple[Told, ...]
    workspace: Path
    seconds: float

    @property
    def claim(self) -> Claim:
        last = self.told[-1]
        assert isinstance(last, Claim)
        return last

    @property
    def usage(self) -> Usage:
        all_ = [one for one in self.told if isinstance(one, Usage)]
        return Usage(
            input_tokens=sum(one.input_tokens for one in all_), output_tokens=sum(one.output_tokens for one in all_)
        )


def need(kind: str) -> None:
    """Skips, and says so, where that agent is not there and nobody said that it must be."""
    if not (FOLDER / "installed" / kind).is_file():
        reason = f"NOT TESTED: {kind} is not in out/agents; `scripts/agents {kind}` installs it"
        if kind in os.environ.get(NEEDED, "").split():
            pytest.fail(reason)
        pytest.skip(reason)


def ask(kind: str, server: ModelServer, folder: Path, *, silence_s: float = 100.0, time_s: float = 120.0) -> Seen:
    """One attempt of the real agent `kind` against `server`. Skips where it is not there."""
    need(kind)
    workspace = folder / "workspace"
    workspace.mkdir()
    gateway = Gateway(url=server.url(), token="attempt-token", api=APIS[kind], model=MODELS.get(kind, "scripted-1"))
    settings = {"kind": kind, "program": str(BIN / kind), "model": gateway.model, "options": {"retries": 0}}
    brief = Brief(name="task", title="A task", summary="Write the file made.txt.")
    terms = Terms(settings=settings, gateway=gateway, time_s=time_s, silence_s=silence_s)
    began = time.monotonic()
    told = tuple(CommandAgent(grace_s=0.5, linger_s=1.0).work(brief, workspace, terms))
    return Seen(told, workspace, time.monotonic() - began)


def left_running(workspace: Path) -> list[str]:
    """Processes that stand in `workspace` or a folder below it."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if Path(os.readlink(process / "cwd")).is_relative_to(workspace):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return found
