"""A person takes a result, or all of a night that were verified."""

from __future__ import annotations

from dataclasses import dataclass

from daybreak import events
from daybreak.engine import verdicts
from daybreak.engine.log import Log
from daybreak.factory.verdicts import reason, standing
from daybreak.ledger.record import Draft


@dataclass(frozen=True)
class Accepted:
    """What became of asking for it. Gives plain JSON with `dataclasses.asdict`."""

    run: str
    title: str
    accepted: bool
    changed: bool
    """False where it was accepted already, or is not."""
    about: str
    """The event that it is about, as `run:ID#7`."""
    index: int
    unverified: str = ""
    why_not: str = ""
    """Of a run of a night that was left out."""
    again: str = ""
    """The run that does it again because it was rejected before, and that is not over."""


def accept(log: Log, run: str, *, actor: str, unverified: bool = False, note: str = "") -> Accepted:
    """Accept what `run` brought; twice is once. `unverified`: also where nothing verified it, which is then recorded.

    Raises UnknownRun, NotFinished, NotVerified, TakenBack, ReasonUnfit."""
    said = reason.checked(note, "the note") if note else ""
    found = standing.finished(log, run)
    if found.unverified and not unverified:
        raise standing.NotVerified(
            f"run {run} is not verified: {found.unverified}",
            hint=f"`daybreak report {run}` shows what was seen; --unverified accepts it all the same, and says so",
        )
    if standing.taken_back(log, found) is not None:
        raise standing.TakenBack(f"run {run} was undone: there is nothing to accept", hint=f"`daybreak report {run}`")
    told = events.ResultAccepted(
        run=run, about=found.place, index=found.about.index, unverified=found.unverified, note=said
    )
    before = verdicts.of(log, run)
    same = before is not None and (before.verdict, before.about) == ("accepted", found.place)
    if not same:
        log.append([Draft(events.control_stream(run), told, actor=actor, trace=run)])
    again = before.task if before is not None and before.verdict == "rejected" else ""
    if again and standing.look(log, again).over:
        again = ""
    return Accepted(run, found.title, True, not same, found.place, found.about.index, found.unverified, again=again)


def accept_night(log: Log, runs: list[str], *, actor: str) -> list[Accepted]:
    """Accept those of `runs` that are done and verified and of which nobody has said anything else; why the others are
    left out stands in what is given."""
    told = []
    for run in runs:
        found = standing.look(log, run)
        said = verdicts.of(log, run)
        why_not = ""
        if not found.over:
            why_not = f"it is {found.state}"
        elif found.unverified:
            why_not = found.unverified
        elif said is not None and (said.verdict == "rejected" or said.undone):
            why_not = f"it was {said.word}"
        if why_not:
            told.append(Accepted(run, found.title, False, False, found.place, found.about.index, why_not=why_not))
        else:
            told.append(accept(log, run, actor=actor))
    return told
