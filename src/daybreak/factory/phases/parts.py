"""A task divided into parts: what a planner may ask for, and what is refused before anybody works on it.

Names, paths and order are checked here, so a circle, a part that needs itself or more parts than are allowed can never
be begun.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daybreak.agents.protocol import Finding

FILE = "parts.json"
"""What a planner leaves."""
BYTES_MAX = 200_000
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str
    does: str = Field(min_length=10, max_length=8_000)
    """What is asked, for somebody who sees the specification and nothing else of the plan."""
    writes: tuple[str, ...] = Field(min_length=1, max_length=50)
    """Paths that it may add, change or remove, as patterns where `*` also passes `/`."""
    after: tuple[str, ...] = ()
    """Parts whose results it needs."""
    divide: bool = False
    """Too much for one worker: it is planned in its turn, where the depth allows."""


class Parts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    parts: tuple[Part, ...]
    """Empty: not worth dividing."""


@dataclass(frozen=True)
class Divided:
    """Parts in waves: each wave needs only those before it, and its parts need nothing of each other."""

    waves: tuple[tuple[Part, ...], ...]

    @property
    def count(self) -> int:
        return sum(map(len, self.waves))


def read(data: bytes | None, *, most: int, independent: bool = False) -> Divided | list[Finding]:
    """What a planner has left, or what is wrong with it. At most `most` parts; `independent`: none may need another."""
    if data is None:
        return [_finding(f"there is no {FILE}")]
    if len(data) > BYTES_MAX:
        return [_finding(f"{FILE} is longer than {BYTES_MAX} bytes")]
    try:
        told = Parts.model_validate_json(data)
    except ValidationError as wrong:
        return [
            _finding(f"{'.'.join(map(str, one['loc'])) or FILE}: {one['msg']}")
            for one in wrong.errors(include_url=False, include_input=False)[:10]
        ]
    problems = [*_problems(told.parts, most, independent)]
    if problems:
        return [_finding(problem) for problem in problems]
    try:
        return Divided(_waves(told.parts))
    except CycleError as circle:
        return [_finding(f"parts need each other in a circle: {' -> '.join(circle.args[1])}")]


def _problems(parts: Sequence[Part], most: int, independent: bool) -> list[str]:
    names = [part.name for part in parts]
    found = [f"{len(parts)} parts, and at most {most} are allowed"] if len(parts) > most else []
    for part in parts:
        if not _NAME.fullmatch(part.name):
            found.append(f"{part.name!r:.60} is no name of a part: small letters, digits and -, at most 40")
        if names.count(part.name) > 1:
            found.append(f"there is more than one part {part.name:.60}")
        found += [f"{part.name:.60} needs {one!r:.60}, which there is not" for one in part.after if one not in names]
        if independent and part.after:
            found.append(f"{part.name:.60} needs others, and only parts that need nothing of each other were asked for")
        found += [f"{part.name:.60}: {path!r:.80} leads out of the project" for path in part.writes if _outside(path)]
    return list(dict.fromkeys(found))


def _outside(path: str) -> bool:
    return not path.strip() or path.startswith("/") or ".." in path.split("/") or "\0" in path


def _waves(parts: Sequence[Part]) -> tuple[tuple[Part, ...], ...]:
    """In the planner's own order inside a wave. Raises CycleError."""
    sorter = TopologicalSorter({part.name: set(part.after) for part in parts})
    sorter.prepare()
    waves = []
    while sorter.is_active():
        ready = set(sorter.get_ready())
        waves.append(tuple(part for part in parts if part.name in ready))
        sorter.done(*ready)
    return tuple(waves)


def _finding(message: str) -> Finding:
    return Finding(check="parts", message=message)
