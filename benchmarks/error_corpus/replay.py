"""Replaying situations: naive and patterned, trapped and healthy, and saying what became of each."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.error_corpus.families import FAMILIES
from benchmarks.error_corpus.family import Family, fingerprint
from benchmarks.error_corpus.session import Session
from daybreak.errors import DaybreakError

SITUATIONS = Path(__file__).with_name("situations.toml")
OUTSIDE_THE_STUDY = "transient outage"
STUDY_PERCENT = {
    "file not found": 38,
    "missing tool": 16,
    "silent failure": 16,
    "partial batch": 22,
    "wrong format": 7,
    "planning loop": 4,
    "corruption on interrupt": 2,
}

End = Literal["done", "refused", "undone", "noticed", "failed", "damaged", "silent", "not covered"]
"""done: the goal is reached, and that is what was said
refused: a typed error names the cause before any work
undone: a typed error names the cause, the work that was begun is taken back
noticed: a typed error names the cause; what another program did is there
failed: another error, nothing has changed
damaged: an error, and work is left in pieces
silent: success was claimed, and the goal is not reached"""


@dataclass(frozen=True)
class Situation:
    """A task in a world where one thing is wrong."""

    cause: str
    family: str
    trap: str
    says: str

    @property
    def name(self) -> str:
        return f"{self.family}: {self.trap}"

    @property
    def covered(self) -> bool:
        return FAMILIES[self.family].covered


@dataclass(frozen=True)
class Replayed:
    """One way in one world."""

    situation: Situation
    end: End
    session: Session
    said: str
    """The error, or what the judge found wrong."""


def situations() -> list[Situation]:
    """All, in the order of the file."""
    listed = tomllib.loads(SITUATIONS.read_text())
    return [
        Situation(cause, family, trap, says)
        for cause, families in listed.items()
        for family, traps in families.items()
        for trap, says in traps.items()
    ]


def replay(situation: Situation, way: Literal["naive", "patterned"], *, healthy: bool = False) -> Replayed:
    """Do the task in a fresh world and judge what came of it."""
    with tempfile.TemporaryDirectory(prefix="corpus-") as name:
        folder = Path(name) / "world"
        folder.mkdir()
        folder.chmod(0o755)
        family = FAMILIES[situation.family](folder, situation.trap, healthy=healthy)
        try:
            session = Session(folder)
            if way == "patterned" and not family.covered:
                return Replayed(situation, "not covered", session, "")
            before = fingerprint(folder.parent)
            error = _do(family, session, way)
            end, said = _judge(family, error, fingerprint(folder.parent) != before, way)
            if end == "silent":
                session.failed += 1  # it failed, even though nobody noticed
            elif end == "refused" and session.failed:
                end = "noticed" if family.noticing_counts else "undone"
            return Replayed(situation, end, session, said)
        finally:
            family.close()


def _do(family: Family, session: Session, way: str) -> Exception | None:
    try:
        if way == "naive":
            family.naive(session)
        else:
            family.patterned(session)
    except Exception as error:  # noqa: BLE001 - whatever it raises is its way of saying no
        return error
    return None


def _judge(family: Family, error: Exception | None, changed: bool, way: str) -> tuple[End, str]:
    if error is None:
        wrong = family.wrong()
        return (("silent" if family.claims else "damaged") if wrong else "done"), wrong
    said = f"{type(error).__name__}: {error}"
    if way == "patterned" and isinstance(error, DaybreakError) and family.told(said):
        if not changed:
            return "refused", said
        if family.noticing_counts:
            return "noticed", said
    return ("damaged" if changed else "failed"), said


def prevented(one: Replayed) -> bool:
    """Whether the patterned way came to a good end."""
    return one.end in ("done", "refused", "undone", "noticed")


def replay_all(
    chosen: Iterable[Situation], way: Literal["naive", "patterned"], *, healthy: bool = False
) -> list[Replayed]:
    return [replay(one, way, healthy=healthy) for one in chosen]
