"""Questions that wait for a person, with what is needed to answer them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Protocol

_ASKING = """SELECT run, kind, title, question, why, hint, updated, project, args, restored FROM view_runs
  WHERE (state = 'parked' AND NOT answered) OR restored ORDER BY updated LIMIT ? OFFSET ?"""
_ONE = """SELECT run, kind, title, question, why, hint, updated, project, args, restored FROM view_runs
  WHERE run = ? AND ((state = 'parked' AND NOT answered) OR restored)"""
_CANDIDATES = re.compile(r"[Dd]eliver which candidate: (.{1,200}), or none\?\s*$")
_GO_ON = "go on"
_ASKED_OF = ("prompt", "command", "text", "specification", "requirement")
"""Arguments of tasks that say in words what was asked for."""


class Log(Protocol):
    def query(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A run that waits for an answer."""

    run: str
    kind: str
    title: str
    question: str
    why: str
    """What led to it."""
    hint: str
    since: str
    project: str
    task: str
    """What the run was asked to do."""
    offers: tuple[str, ...] = field(default=())
    """Answers that fit; any other can be given as well."""

    @property
    def question_id(self) -> str:
        """So that an answer never meets another question than the one that was on the screen."""
        return question_id(self.question)


def question_id(question: str) -> str:
    return hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def asked(log: Log, most: int = 20, first: int = 0) -> list[Asked]:
    """The oldest first."""
    return [_asked(*row) for row in log.query(_ASKING, (most, first))]


def of_run(log: Log, run: str) -> Asked | None:
    """None where it asks nothing."""
    found = log.query(_ONE, (run,))
    return _asked(*found[0]) if found else None


def _asked(
    run: str, kind: str, title: str, question: str, why: str, hint: str, since: str, project: str, args: str, held: int
) -> Asked:
    if held and not question:
        question = "the log was restored from a copy: has somebody looked whether the run went on after it?"
    offers = (_GO_ON,) if held else offered(question)
    return Asked(run, kind, title, question, why, hint, since, project, _task(args), offers)


def offered(question: str) -> tuple[str, ...]:
    """Answers that the question itself names; yes and no where it can be answered so."""
    if found := _CANDIDATES.search(question):
        return (*(name.strip() for name in found[1].split(",")), "none")
    if "happened" in question and "repeat" in question and "failed" in question:
        return ("happened", "repeat", "failed")
    return ("yes", "no") if question.rstrip().endswith("?") else ()


def _task(args: str) -> str:
    try:
        told = json.loads(args)
    except ValueError:
        return ""
    if not isinstance(told, dict):
        return ""
    return next((value for name in _ASKED_OF if isinstance(value := told.get(name), str) and value), "")
