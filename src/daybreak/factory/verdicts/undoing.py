"""What a run delivered is taken back: looked at first, then the intent, then done, then said.

A crash between any two of these is finished by saying it again: every part sees for itself how far it got. What
somebody changed since is refused before anything is touched. What went outside is named and never called undone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from daybreak import events
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.errors import UsageError
from daybreak.factory.verdicts import branches, changed, effects, folders, standing
from daybreak.factory.verdicts.effects import BranchesMerged, BranchMade, Effect, FilesChanged, FolderPut, PatchWritten
from daybreak.factory.verdicts.hands import Hands, Part
from daybreak.factory.verdicts.standing import Standing
from daybreak.host.locks import FileLocks
from daybreak.ids import Entropy
from daybreak.ledger import Ledger
from daybreak.ledger.record import Draft


class NothingToUndo(UsageError):
    """The run delivered nothing that could be taken back here."""

    code = "U274"


@dataclass(frozen=True)
class Undone:
    """What became of it. Gives plain JSON with `dataclasses.asdict`."""

    run: str
    title: str
    undone: bool
    """False for a plan, and while a task must revert what was merged."""
    changed: bool
    """False for a plan, and where it was undone already."""
    parts: tuple[Part, ...]
    remains: tuple[str, ...]
    """What cannot be taken back, and is not."""

    @property
    def waits(self) -> tuple[str, ...]:
        """Runs that must be over before it is undone."""
        return tuple(part.waits for part in self.parts if part.waits)


def plan(
    ledger: Ledger,
    run: str,
    *,
    places: Places,
    clock: Clock,
    entropy: Entropy,
    environment: Mapping[str, str],
    into: str = "",
    checks: tuple[str, ...] = (),
) -> Undone:
    """What `undo` would do. Touches nothing of anybody's and records nothing. Raises as `undo`."""
    hands = Hands(ledger, run, places, clock, entropy, environment, into, checks)
    found, wanted, remains = _wanted(ledger, run)
    if (said := _said(ledger, found)) is not None:
        return said
    return Undone(run, found.title, False, False, tuple(_look(one, hands) for one in wanted), tuple(remains))


def undo(
    ledger: Ledger,
    run: str,
    *,
    actor: str,
    places: Places,
    clock: Clock,
    entropy: Entropy,
    environment: Mapping[str, str],
    into: str = "",
    checks: tuple[str, ...] = (),
    reached: Callable[[str], None] | None = None,
) -> Undone:
    """Take back what `run` delivered; again, to finish what a crash or a task that reverts has left.

    `reached` is told each point between two steps. Raises UnknownRun, NotFinished, NothingToUndo; UndoRefused with
    everything that changed since; LockHeld where somebody else judges it now; and what files and git raise."""
    told = reached or _nothing
    hands = Hands(ledger, run, places, clock, entropy, environment, into, checks, told)
    with FileLocks(places.locks, clock).hold(f"verdict-{run}"):
        found, wanted, remains = _wanted(ledger, run)
        if (said := _said(ledger, found)) is not None:
            return said
        for one in wanted:
            _look(one, hands)
        told("looked")
        if not _begun(ledger, found):
            intent = events.ResultUndoing(run=run, effects=effects.written(wanted))
            ledger.append([Draft(events.control_stream(run), intent, actor=actor, trace=run)])
        told("intended")
        parts = tuple(_do(one, hands) for one in wanted)
        told("done")
        if any(part.waits for part in parts):
            return Undone(run, found.title, False, True, parts, tuple(remains))
        done = events.ResultUndone(run=run, effects=[_plain(part) for part in parts], remains=remains)
        ledger.append([Draft(events.control_stream(run), done, actor=actor, trace=run)])
        told("said")
    return Undone(run, found.title, True, True, parts, tuple(remains))


def _nothing(point: str) -> None:
    """Nobody is told."""


def _wanted(ledger: Ledger, run: str) -> tuple[Standing, list[Effect], list[str]]:
    found = standing.finished(ledger, run)
    wanted, remains = effects.of(ledger, found)
    if not wanted:
        outside = f"; it cannot be undone from here: {'; '.join(remains)}" if remains else ""
        raise NothingToUndo(
            f"run {run} ({found.kind}, {found.state}) delivered nothing{outside}",
            hint=f"`daybreak report {run}` shows what it did; `daybreak reject {run} --because ...` says what is wrong",
        )
    return found, wanted, remains


def _look(effect: Effect, hands: Hands) -> Part:
    match effect:
        case FolderPut():
            return folders.look(effect, hands)
        case BranchMade():
            return branches.look(effect, hands)
        case FilesChanged():
            return changed.look(effect, hands)
        case PatchWritten():
            return changed.look_at_patch(effect, hands)
        case BranchesMerged():
            return branches.look_at_merged(effect, hands)


def _do(effect: Effect, hands: Hands) -> Part:
    match effect:
        case FolderPut():
            return folders.undo(effect, hands)
        case BranchMade():
            return branches.undo(effect, hands)
        case FilesChanged():
            return changed.undo(effect, hands)
        case PatchWritten():
            return changed.undo_patch(effect, hands)
        case BranchesMerged():
            return branches.undo_merged(effect, hands)


def _plain(part: Part) -> dict[str, Any]:
    return {name: value for name, value in asdict(part).items() if value or name != "waits"}


def _begun(ledger: Ledger, found: Standing) -> bool:
    return any(isinstance(one, events.ResultUndoing) for one in standing.since_delivery(ledger, found))


def _said(ledger: Ledger, found: Standing) -> Undone | None:
    """Where it is undone already."""
    one = standing.taken_back(ledger, found)
    if one is None:
        return None
    parts = tuple(Part(**part) for part in one.effects)
    return Undone(found.run, found.title, True, False, parts, tuple(one.remains))
