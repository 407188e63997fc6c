"""What a reviewer answers: objections, each with a place and a reason. There is no word in it for approval.

Read strictly. An answer that is broken, too long or of another shape is *no review*: it neither passes anything nor
stops it. An objection to a place that is not there is left out, and said to be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daybreak.factory.consensus.model import Review

FILE = "review.json"
"""What a reviewer leaves, unless the result itself has a file of that name."""
BYTES_MAX = 200_000
OBJECTIONS_MAX = 50
REASON_CHARS_MIN, REASON_CHARS_MAX = 10, 2_000
FORM = (
    '`{"findings": [{"file": "src/shop/cart.py", "line": 41, "severity": "veto", "reason": "what is wrong, and what '
    'shows it"}]}`'
)
"""An answer, as reviewers are told to give it."""

_ENTRIES_SHOWN = 5


class Objection(BaseModel):
    """Something that a reviewer says is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    file: str = Field(min_length=1, max_length=500)
    """Path in the result, with slashes. Of what is missing: the file where it belongs."""
    line: int | None = Field(default=None, ge=1, le=100_000_000)
    """None: the whole file."""
    severity: Literal["veto", "remark"]
    """`veto`: it must not pass like this. `remark`: written down, and nothing follows from it."""
    reason: str = Field(min_length=REASON_CHARS_MIN, max_length=REASON_CHARS_MAX)

    @property
    def place(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def words(self) -> str:
        """In one line, with nothing in it that a terminal would obey."""
        told = f"{self.place}: {' '.join(self.reason.split())}"
        return "".join(one if one.isprintable() else "\ufffd" for one in told)

    @property
    def key(self) -> tuple[str, str]:
        """The same for an objection that is raised again after its line has moved, or in other capitals."""
        return self.file, "".join(one for one in self.reason.casefold() if one.isalpha())


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    findings: tuple[Objection, ...] = Field(max_length=OBJECTIONS_MAX)


@dataclass(frozen=True)
class Said:
    """What an answer comes to."""

    objections: tuple[Objection, ...] = ()
    """Those that count, remarks too."""
    left_out: tuple[str, ...] = ()
    """Those that do not, each with why."""
    unusable: str = ""
    """Why this is no review; then there are no objections."""

    @property
    def vetoes(self) -> tuple[Objection, ...]:
        return tuple(one for one in self.objections if one.severity == "veto")


def read(data: bytes | None, lines_of: Callable[[str], int | None]) -> Said:
    """What a reviewer has left; `data` is None where there is no such file. `lines_of` says how many lines a file of
    the result has, None where there is none of that path. Raises nothing, whatever the bytes are."""
    if data is None:
        return Said(unusable="it left no answer")
    if len(data) > BYTES_MAX:
        return Said(unusable=f"its answer is longer than {BYTES_MAX} bytes")
    try:
        json.loads(data, object_pairs_hook=_without_doubles)  # the parser below would take the last of two
        answer = _Answer.model_validate_json(data, strict=True)
    except ValidationError as wrong:
        told = wrong.errors(include_url=False, include_input=False)[:_ENTRIES_SHOWN]
        return Said(unusable="; ".join(f"{'.'.join(map(str, one['loc'])) or FILE}: {one['msg']}" for one in told))
    except RecursionError:
        return Said(unusable="its answer is nested too deeply")
    except ValueError as wrong:
        return Said(unusable=f"its answer is not JSON: {wrong}"[:300])
    return _placed(answer.findings, lines_of)


def review(reviewer: str, said: Said) -> Review:
    """As `agree` takes it."""
    vetoes = said.vetoes
    return Review(reviewer=reviewer, veto=bool(vetoes), reason="; ".join(one.words for one in vetoes))


def _placed(found: Iterable[Objection], lines_of: Callable[[str], int | None]) -> Said:
    counting: dict[tuple[str, str], Objection] = {}
    left_out: list[str] = []
    for told in found:
        one = told.model_copy(update={"file": told.file.removeprefix("./")})
        if why := _unfounded(one, lines_of(one.file)):
            left_out.append(f"{one.words[:300]} ({why})")
        else:
            counting.setdefault(one.key, one)
    if left_out and not counting:
        return Said(left_out=tuple(left_out), unusable="everything that it names is about places that are not there")
    return Said(tuple(counting.values()), tuple(left_out))


def _unfounded(one: Objection, lines: int | None) -> str:
    if not any(map(str.isalpha, one.reason)):
        return "no reason in words"
    if lines is None:
        return "there is no such file"
    if one.line is not None and one.line > max(lines, 1):
        return f"the file has {lines} lines"
    return ""


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found
