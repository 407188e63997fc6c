"""What is asked of Daybreak, as fields; and the two errors that say it cannot be taken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daybreak.errors import UsageError, cut

Spelling = Literal["options", "fields"]

_OPTION = re.compile(r"--([a-z][a-z-]*)")
_FIELDS = {"from": "source", "check": "checks", "worker": "workers", "label": "labels", "key": "keys", "rate": "rates"}
"""Where a field is called otherwise than the option."""


class AddWrong(UsageError):
    """What is to be added cannot be; everything that is wrong is in the message."""

    code = "U177"


class TaskUnclear(UsageError):
    """Nobody can tell what is to be added."""

    code = "U178"


@dataclass(frozen=True, slots=True)
class Words:
    """What somebody says about the work itself: one of `task`, `command`, `text` and `source`, and what belongs to it.
    With `repo`, `task` is what is to be done there, in plain words."""

    task: str | None = None
    """A specification, a task file, or a Python task; a path counts from the folder of whoever asks."""
    command: str | None = None
    """Shell text."""
    checks: tuple[str, ...] = ()
    unchecked: bool = False
    title: str | None = None
    arg: tuple[str, ...] = ()
    """Of a Python task: `NAME=VALUE`."""
    args: str | None = None
    """The same as one JSON object."""
    output: Path | None = None
    workers: tuple[str, ...] = ()
    sandbox: str = "degraded"
    repo: Path | None = None
    protect: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    attempts: int | None = None
    guards_only: bool = False
    source: str | None = None
    """`FORGE:OWNER/NAME`: its open issues."""
    labels: tuple[str, ...] = ()
    assignee: str | None = None
    request: str | None = None
    into: str | None = None
    from_phase: str | None = None
    text: str | None = None
    """A specification or a task file itself, instead of where one lies."""
    name: str | None = None
    """Of `text`: as a file would be called; its ending says what it is written in."""
    needs: tuple[str, ...] = ()
    """Of a machine, with `repo` or `source`: `docker`, `gpu=a100`, `cpus=4`, `memory=8GiB`."""
    spelled: Spelling = "fields"
    """How whoever asks knows these fields: messages name them so."""

    def say(self, message: str) -> str:
        """A message of ours that names options, in the words of whoever asks."""
        return message if self.spelled == "options" else _OPTION.sub(_as_field, message)

    def shortly(self) -> str:
        """What it is about, for a message."""
        return cut(self.task or self.command or self.source or self.name or "")

    def refuse(self, why: str, *given: object, hint: str = "leave them out") -> None:
        """Raises TaskUnclear where something was given that does not belong here."""
        if any(given):
            raise TaskUnclear(f"{self.say(why)}, and this is {self.shortly()}", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceWords:
    """What somebody says about its place in the queue. What is left out is as the task says itself."""

    project: str | None = None
    priority: int | None = None
    not_before: str | None = None
    """`22:00`, `+90m`, `2026-11-22T07:00Z`."""
    deadline: str | None = None
    keys: Mapping[str, int] | tuple[str, ...] = ()
    """`{"shop": 2}`, or texts `shop=2`."""
    rates: Mapping[str, str] | tuple[str, ...] = ()
    """`{"shop": "30/hour"}`, or texts `shop=30/hour`."""
    dedupe: str | None = None
    budget: str | None = None
    """`2usd 30min 100000tokens`."""
    after: tuple[str, ...] = ()
    """Runs; the beginning of a name is enough."""
    spelled: Spelling = "fields"


def _as_field(found: re.Match[str]) -> str:
    return _FIELDS.get(found[1], found[1].replace("-", "_"))
