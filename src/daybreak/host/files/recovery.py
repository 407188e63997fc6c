"""Finishing what a crashed transaction has left, forward or back.

A work folder with a record named `intent` is finished, or, where the disk does not let us, undone; with one named
`back` it is undone; without either, nothing had been put in its place yet, or everything had, and it is removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daybreak.host.files import intent
from daybreak.host.files.applying import Applier
from daybreak.host.files.disk import Disk
from daybreak.host.files.intent import Make, Move, Step
from daybreak.host.files.paths import WORK
from daybreak.host.files.problems import FilesError, NotRecovered, RootUnusable, told


@dataclass(frozen=True, slots=True)
class Recovery:
    """What recovery did."""

    outcome: Literal["nothing", "cleaned", "forward", "back"] = "nothing"
    """forward: the crashed transaction was completed; back: none of it is there; cleaned: it had put in its place
    nothing yet, or everything already, and what it had kept aside is removed; nothing: there was nothing to do."""
    paths: tuple[str, ...] = ()
    """What the crashed transaction was about, if it went forward or back."""
    kept: tuple[str, ...] = ()
    """Where things are now that somebody else had put in the way after the crash."""


def recover_locked(disk: Disk) -> Recovery:
    """Recover while the root's lock is ours. Raises NotRecovered, IntentDamaged, RootUnusable."""
    with told("what a crashed transaction has left could not be read"):
        found = disk.look(WORK)
        if found is None:
            return Recovery()
        if found.kind != "folder" or not disk.trusted(WORK):
            raise RootUnusable(
                f"{WORK} in the root is not a folder of ours",
                hint="look who has put it there; remove it, then try again",
            )
        names = disk.names(WORK)
    if "back" in names:
        done = _undo(disk, intent.read(disk, intent.BACK))
    elif "intent" in names:
        done = _finish(disk, intent.read(disk, intent.FORWARD))
    else:
        done = Recovery("cleaned")
    with told(f"{WORK} could not be removed"):
        clean_up(disk)
    return done


def turn_back(disk: Disk) -> None:
    """From now on the record, if there is one, says that everything is to be undone. Raises OSError."""
    for name in (intent.FORWARD, intent.DONE):
        if disk.look(name) is not None:
            disk.move(name, intent.BACK)
            disk.sync(WORK)


def clean_up(disk: Disk) -> None:
    """Remove the work folder; its record last, so that half of it is never taken for all. Raises OSError."""
    last = {name.rpartition("/")[2] for name in (intent.FORWARD, intent.BACK, intent.DONE)}
    for name in sorted(disk.names(WORK), key=lambda name: name in last):
        disk.remove(f"{WORK}/{name}")
    disk.remove_folder(WORK)


def _finish(disk: Disk, steps: list[Step]) -> Recovery:
    applier = Applier(disk, live=False)
    try:
        applier.forward(steps)
        applier.check_displaced(steps)
        applier.sync(steps)
        mark_done(disk, intent.FORWARD)
    except (OSError, FilesError) as error:
        return _undo_instead(disk, steps, applier, error)
    return Recovery("forward", _paths(steps), tuple(applier.kept))


def _undo_instead(disk: Disk, steps: list[Step], applier: Applier, why: OSError | FilesError) -> Recovery:
    """It cannot be completed: no space, or the rights have changed."""
    try:
        turn_back(disk)
    except OSError:
        raise _stuck(why) from why
    return _undo(disk, steps, applier.kept)


def _undo(disk: Disk, steps: list[Step], kept: list[str] | None = None) -> Recovery:
    applier = Applier(disk, live=False)
    try:
        applier.back(steps)
        applier.sync(steps)
        mark_done(disk, intent.BACK)
    except (OSError, FilesError) as error:
        raise _stuck(error) from error
    return Recovery("back", _paths(steps), (*(kept or ()), *applier.kept))


def mark_done(disk: Disk, record: str) -> None:
    """From now on the work folder is only to be removed, whether a record had been made or not. Raises OSError."""
    if disk.look(record) is not None:
        disk.move(record, intent.DONE)
        disk.sync(WORK)


def _paths(steps: list[Step]) -> tuple[str, ...]:
    paths: list[str] = []
    for step in steps:
        match step:
            case Make():
                pass
            case Move(source, target):
                paths += [source, target]
            case _:
                paths.append(step.path)
    return tuple(sorted(set(paths)))


def _stuck(error: OSError | FilesError) -> NotRecovered:
    return NotRecovered(
        f"a crashed transaction could be finished neither way: {error}",
        hint=f"nothing is lost: {WORK} in the root has the record. Mend the cause, then recover(root)",
    )
