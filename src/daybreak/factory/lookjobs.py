"""Looks that are jobs: done where the run's jobs are done, and here where no node has what they look with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from daybreak.checks.evidence import Evidence
from daybreak.engine import Context, Parked
from daybreak.engine.dispatch import (
    AnswerFalse,
    Dispatch,
    Doing,
    Job,
    JobBroken,
    JobLost,
    Jobs,
    Key,
    Needs,
    NodeRefused,
    NotOnNode,
)
from daybreak.errors import CheckError, HostError
from daybreak.factory import lending
from daybreak.factory.office import Office

Seen = TypeVar("Seen", bound=BaseModel)
Told = TypeVar("Told")
OVERHEAD_S = 600.0
"""Of one look, beside the programs that it runs: copies, altered sources, a busy disk."""


@dataclass
class Here:
    """What looks on this machine, where nodes lack what is looked with. What they lacked is remembered, so that files
    are not sent to be refused once more."""

    dispatch: Callable[[], Dispatch]
    lacked: set[tuple[str, ...]] = field(default_factory=set)


def have(
    jobs: Jobs,
    name: str,
    needed: tuple[str, ...],
    make: Callable[[Key, tuple[str, ...]], Job],
    here: Here,
    sense: Callable[[Any], Told],
) -> Told:
    """What `sense` makes of what a look saw; `needed`: paths of what it looks with. Raises what the doer raised, and
    Parked where nobody can look: a look that cannot be had says nothing about what was to be seen."""
    try:
        answer = jobs.do(name, make, here=here.dispatch, away=needed not in here.lacked, refuse=sense)
        if needed and not answer.node.name:
            here.lacked.add(needed)
        return sense(answer.body)
    except (JobLost, JobBroken, AnswerFalse, NodeRefused) as problem:
        raise Parked(f"{problem.message}: look again?", why=f"{problem.code}: {problem.hint}") from problem


def evidence(told: object, workspace: str, check: str = "") -> Evidence:
    """Evidence about that workspace, of that check where one is named. Raises JobBroken where a node says what is none,
    or about something else."""
    seen = read(Evidence, told)
    if seen.workspace != workspace:
        raise senseless(f"what a node says of {seen.check} is about {seen.workspace[:12]}, not {workspace[:12]}")
    if check and seen.check != check:
        raise senseless(f"a node was asked about {check}, and says something of {seen.check}")
    return seen


def read(kind: type[Seen], told: object) -> Seen:
    """Raises JobBroken where a node says what is none."""
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        wrong = f"{error.error_count()} things are wrong"
        raise senseless(f"what a node says of a look is no {kind.__name__.strip('_')}: {wrong}") from error


def senseless(why: str) -> JobBroken:
    hint = "look at the node: all must have the same Daybreak, and one that was not tampered with does not do this"
    return JobBroken(why, hint=hint)


@dataclass
class LookJobs:
    """Of one run, or of a branch of it; for files that lie in a folder. Its methods are called inside steps."""

    office: Office
    ctx: Context
    cancelled: threading.Event
    needs: Needs
    here: Here

    def seen(
        self,
        name: str,
        doer: str,
        body: Mapping[str, Any],
        sense: Callable[[Any], Told],
        *,
        scratch: Path,
        time_s: float,
        needed: Sequence[Path],
        given: Mapping[str, Path],
        lent: Mapping[str, Path] | None = None,
    ) -> Told:
        """As `have`. `needed`: what it looks with, beside Daybreak and the system's own programs; it must lie at the
        same paths wherever that is done. `time_s`: of the programs that it runs."""

        paths = tuple(map(str, needed))

        def job(key: Key, avoid: tuple[str, ...]) -> Job:
            return Job(
                key=key,
                doer=doer,
                body={**body, "needed": list(paths)},
                scratch=scratch,
                given=given,
                whole=tuple(given),  # a check sees what it would see here
                lent=lent or {},
                needs=self.needs,
                time_s=time_s + OVERHEAD_S,
                avoid=avoid,
            )

        return have(self.office.jobs(self.ctx, self.cancelled), name, paths, job, self.here, sense)


UNSEEN = (HostError, OSError)
"""With these a look ends that could not be had: it is no evidence for anything."""


# -- on the machine that looks


@contextmanager
def looking(doing: Doing) -> Iterator[None]:
    """Around the whole look. On a node it raises NotOnNode where that lacks what is looked with, and in place of
    whatever breaks but errors about what is looked at: another machine may do better, and where none does the
    coordinator's own hears what really broke."""
    if doing.here:
        yield
        return
    lending.refuse_absent(map(Path, doing.body["needed"]))
    try:
        yield
    except (NotOnNode, CheckError):
        raise
    except Exception as error:
        raise absent(f"{type(error).__name__}: {error}"[:1000]) from error


def could_look(doing: Doing, seen: Evidence) -> Evidence:
    """The same. What one node could not look at another may, or the coordinator's machine: raises NotOnNode for it."""
    if seen.outcome == "unusable" and not doing.here:
        raise absent(f"{seen.check}: {seen.summary}")
    return seen


def absent(why: str) -> NotOnNode:
    return NotOnNode(f"it could not look: {why}", hint="see what `daybreak doctor` says there")
