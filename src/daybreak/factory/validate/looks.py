"""Checks and fixers of a project, done wherever jobs are done: what is asked, and on that machine, whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from daybreak.checks.evidence import Evidence
from daybreak.engine.dispatch import Doing
from daybreak.factory import lookjobs
from daybreak.factory.lookjobs import LookJobs, Told, read
from daybreak.factory.validate import fixers, looking, running
from daybreak.factory.validate.guards import Guards, Looked
from daybreak.factory.validate.looking import Subject
from daybreak.factory.validate.planned import Plan, Planned
from daybreak.factory.validate.running import Room
from daybreak.factory.validate.surroundings import Surroundings

RUNS = 4
"""So often may one look run its command, each time up to its limit: as it is, and on two altered copies."""


class _Seen(BaseModel):
    """`Looked`, as it travels."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    evidence: tuple[Evidence, ...]
    guards: Guards


class _Said(BaseModel):
    """What fixers said that did not end well."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    said: tuple[str, ...]


@dataclass(frozen=True)
class Looks:
    """In rooms of the coordinator, whose files travel. Its methods are called inside steps, and block."""

    jobs: LookJobs

    def look(self, check: Planned, room: Room, subject: Subject) -> Looked:
        """Evidence of the check, and of what comes with it. What cannot look is `unusable`, which never passes."""
        if check.missing:
            return looking.absent(check, subject)
        told = _subjects().dump_python(subject, mode="json")
        body = {"check": check.model_dump(mode="json"), "subject": told}
        try:
            paths = running.needed(room.around, check.language)
            return self._ask(f"check {check.name}", "look", body, partial(_sense, check, subject), room, needed=paths)
        except lookjobs.UNSEEN as error:
            return looking.unusable(check, subject, f"could not look: {error}")

    def fix(self, names: Sequence[str], plan: Plan, room: Room, work: Path, python: Sequence[str]) -> list[str]:
        """Run these fixers in the folder `work`, which they change; what each said that did not end well. Raises what
        starting a program in a sandbox raises, and NotATree where what they leave cannot travel."""
        body = {"names": list(names), "plan": plan.model_dump(mode="json"), "python": list(python)}
        needed = [path for language in fixers.languages(names) for path in running.needed(room.around, language)]
        sense, lent = partial(read, _Said), {"work": work}
        return list(self._ask("fixers", "fix", body, sense, room, needed=needed, lent=lent, runs=len(names)).said)

    def _ask(
        self,
        name: str,
        doer: str,
        body: dict[str, Any],
        sense: Callable[[Any], Told],
        room: Room,
        *,
        needed: Sequence[Path],
        lent: dict[str, Path] | None = None,
        runs: int = RUNS,
    ) -> Told:
        told = {
            **body,
            "around": room.around.model_dump(mode="json"),
            "limit_s": room.limit_s,
            "require": room.require,
        }
        return self.jobs.seen(
            name,
            f"daybreak.factory.validate.looks:{doer}",
            told,
            sense,
            scratch=room.scratch,
            given={"files": room.files},
            lent=lent,
            needed=needed,
            time_s=runs * room.limit_s,
        )


@cache
def _subjects() -> TypeAdapter[Subject]:
    return TypeAdapter(Subject)


def _sense(check: Planned, subject: Subject, told: Any) -> Looked:
    seen = read(_Seen, told)
    if not seen.evidence or seen.evidence[0].check != check.name:
        raise lookjobs.senseless(f"nothing of {check.name}")
    for one in seen.evidence:
        lookjobs.evidence(one, subject.workspace)
    return Looked(seen.evidence, seen.guards)


# -- on the machine that does it


def look(doing: Doing) -> Any:
    """`Looked`, as JSON."""
    body = doing.body
    with lookjobs.looking(doing):
        subject = _subjects().validate_python(body["subject"])
        seen = looking.look(Planned.model_validate(body["check"]), _room(doing), subject)
        lookjobs.could_look(doing, seen.evidence[0])
    return _Seen(evidence=seen.evidence, guards=seen.guards).model_dump(mode="json")


def fix(doing: Doing) -> Any:
    """What fixers said, as JSON; what they made is in the lent folder."""
    body = doing.body
    with lookjobs.looking(doing):
        plan = Plan.model_validate(body["plan"])
        room, work = _room(doing), doing.lent["work"]
        said = fixers.run(body["names"], plan, room, work, body["python"], strict=not doing.here)
        return _Said(said=tuple(said)).model_dump(mode="json")


def _room(doing: Doing) -> Room:
    body = doing.body
    return Room(
        files=doing.given["files"],
        scratch=doing.scratch,
        around=Surroundings.model_validate(body["around"]),
        limit_s=float(body["limit_s"]),
        require=body["require"],
        cancelled=doing.cancelled,
    )
