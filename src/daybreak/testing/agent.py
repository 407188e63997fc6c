"""A worker that does what its script says, attempt by attempt: right, wrong, silent, crashing, hanging, lying.

    class Learns(ScriptedAgent):
        script = ("lies", "right")

`daybreak build spec.md --worker FILE.py:Learns`: the first attempt claims everything and writes nothing, the second one
builds the real thing. Attempts beyond the script do what its last word says.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal, get_args

from daybreak.agents.protocol import Brief, Claim, Note, Terms, Told
from daybreak.errors import UsageError

Manner = Literal["right", "wrong", "lies", "silent", "refuses", "crashes", "dies", "hangs"]
_MANNERS = get_args(Manner)


class ScriptWrong(UsageError):
    """A script that nobody can follow."""

    code = "U197"


class ScriptedAgent:
    """See the module. `right` builds with the embedded builder; `files` are written over what it made."""

    script: ClassVar[tuple[Manner, ...]] = ("right",)
    files: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        unknown = [word for word in self.script if word not in _MANNERS]
        if unknown or not self.script:
            told = ", ".join(map(repr, unknown)) or "an empty script"
            raise ScriptWrong(f"{type(self).__name__} cannot do {told:.80}", hint=f"one of {', '.join(_MANNERS)}")

    def work(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        """What the script says of this attempt, which counts from 1."""
        manner = self.script[min(brief.attempt, len(self.script)) - 1]
        yield from _DOING[manner](self, brief, workspace, terms)

    def _right(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        from daybreak.agents.builder import Builder

        for told in Builder().work(brief, workspace, terms):
            if isinstance(told, Claim):
                for name, text in self.files.items():
                    path = workspace / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text)
            yield told

    def _wrong(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        """The real thing, in which every function of the command line gives up."""
        for told in self._right(brief, workspace, terms):
            if isinstance(told, Claim):
                for path in workspace.glob("src/*/cli.py"):
                    path.write_text(path.read_text() + "\n\ndef main() -> None:\n    raise SystemExit(3)\n")
            yield told

    def _lies(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        yield Note(text="everything is going well", fraction=0.99)
        yield Claim(outcome="finished", summary="everything is done and tested")

    def _silent(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        yield from ()

    def _refuses(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        yield Claim(outcome="refused", summary="this cannot be built", not_built=("everything",))

    def _crashes(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        yield Note(text="beginning")
        raise RuntimeError("the script says so")

    def _dies(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        yield Note(text="beginning")
        os._exit(9)

    def _hangs(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        yield Note(text="nearly done", fraction=0.9)
        while True:
            time.sleep(3600)


_DOING: dict[Manner, Callable[[ScriptedAgent, Brief, Path, Terms], Iterator[Told]]] = {
    "right": ScriptedAgent._right,
    "wrong": ScriptedAgent._wrong,
    "lies": ScriptedAgent._lies,
    "silent": ScriptedAgent._silent,
    "refuses": ScriptedAgent._refuses,
    "crashes": ScriptedAgent._crashes,
    "dies": ScriptedAgent._dies,
    "hangs": ScriptedAgent._hangs,
}
