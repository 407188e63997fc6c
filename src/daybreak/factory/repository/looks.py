"""Checks of a repository, done wherever jobs are done: what is asked, and on the machine that does it, whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from daybreak.checks import transcripts
from daybreak.checks.evidence import Evidence
from daybreak.engine.dispatch import Doing
from daybreak.factory import lookjobs
from daybreak.factory.lookjobs import LookJobs, Told, read
from daybreak.factory.repository import checks, running, venvs
from daybreak.factory.repository.checks import Check
from daybreak.factory.repository.regression import Base, Looking
from daybreak.factory.repository.running import Bench, Seen

RUNS = 4
"""So often may one look run its command, each time up to its limit: as it is, and on two altered copies."""


@dataclass(frozen=True)
class Looks:
    """On benches of the coordinator, whose files travel. Its methods are called inside steps, and block."""

    jobs: LookJobs

    def base(self, check: Check, bench: Bench) -> Base:
        """What a check says before anything is done. Raises NotRunnable, Parked, and what starting a program and making
        a sandbox raise."""
        return self._ask("base", check, bench, partial(read, Base))

    def look(self, looking: Looking, bench: Bench) -> tuple[Evidence, Base | None]:
        """Evidence of a result, `unusable` where nobody could look; and what the check says of it as the base of the
        next one, where it passed."""
        body = {
            "before": looking.base.model_dump(mode="json"),
            "workspace": looking.workspace,
            "sources": list(looking.sources),
            "free": sorted(looking.free),
        }
        try:
            return self._ask("look", looking.check, bench, partial(_sense, looking), **body)
        except lookjobs.UNSEEN as error:
            return looking.unusable(error), None

    def _ask(self, what: str, check: Check, bench: Bench, sense: Callable[[Any], Told], **more: Any) -> Told:
        return self.jobs.seen(
            f"{what} {check.name}",
            f"daybreak.factory.repository.looks:{what}",
            {
                "check": {"name": check.name, "command": check.command},
                "venvs": [str(path) for path in bench.venvs],
                "limit_s": bench.limit_s,
                "require": bench.require,
                **more,
            },
            sense,
            scratch=bench.scratch,
            given={"files": bench.files},
            needed=venvs.needed(bench.venvs),
            time_s=RUNS * bench.limit_s,
        )


def _sense(looking: Looking, told: Any) -> tuple[Evidence, Base | None]:
    seen, base = (told.get("evidence"), told.get("base")) if isinstance(told, dict) else (None, None)
    evidence = lookjobs.evidence(seen, looking.workspace, looking.check.name)
    return evidence, None if base is None else read(Base, base)


# -- on the machine that looks


def base(doing: Doing) -> Any:
    """`Base` of what a check says, as JSON. Raises NotRunnable."""
    with lookjobs.looking(doing):
        check, bench = _asked(doing)
        seen = running.run(check, bench, bench.scratch / "run")
        _refuse_unusable(doing, check, seen)
        return Base.of(check, seen).model_dump(mode="json")


def look(doing: Doing) -> Any:
    """Evidence of a result, and what would be the base of the next one, as JSON."""
    body = doing.body
    with lookjobs.looking(doing):
        check, bench = _asked(doing)
        before = Base.model_validate(body["before"])
        looking = Looking(check, before, body["workspace"], tuple(body["sources"]), frozenset(body["free"]))
        evidence = lookjobs.could_look(doing, looking.look(bench))
        after = None
        if looking.seen is not None:
            _refuse_unusable(doing, check, looking.seen)
        if evidence.outcome == "passed" and looking.seen is not None:
            after = Base.of(check, looking.seen).model_dump(mode="json")
        return {"evidence": evidence.model_dump(mode="json"), "base": after}


def _refuse_unusable(doing: Doing, check: Check, seen: Seen) -> None:
    """A program that is not there says nothing of the repository where there are other machines. Raises NotOnNode."""
    if seen.unusable and not doing.here:
        raise lookjobs.absent(f"{check.name}: {transcripts.cut(seen.output.strip(), 300)}")


def _asked(doing: Doing) -> tuple[Check, Bench]:
    body = doing.body
    bench = Bench(
        files=doing.given["files"],
        scratch=doing.scratch,
        venvs=tuple(map(Path, body["venvs"])),
        limit_s=float(body["limit_s"]),
        require=body["require"],
        cancelled=doing.cancelled,
    )
    return checks.called(**body["check"]), bench
