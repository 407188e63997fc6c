"""Files that were changed in place go back to what they were, all or none; a patch gets out of the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daybreak.factory.repository.git import Change
from daybreak.factory.validate import delivery
from daybreak.factory.validate.shadow import Shadow
from daybreak.factory.verdicts.effects import FilesChanged, PatchWritten
from daybreak.factory.verdicts.hands import Hands, Part, UndoRefused
from daybreak.host import removal
from daybreak.host.files.aside import move_aside

_HINT = "nothing was touched; what you changed is yours: put those files back as they were delivered, or take them out"


@dataclass(frozen=True)
class _States:
    shadow: Shadow
    before: str
    delivered: str


def look(effect: FilesChanged, hands: Hands) -> Part:
    """What would be done. Raises UndoRefused, and what making the states again raises."""
    with _states(effect, hands) as states:
        changes = _refuse_changed(effect, states)
    return _part(effect, hands, changes)


def undo(effect: FilesChanged, hands: Hands) -> Part:
    """Do it; doing it again changes nothing. Raises as `look`, ChangedSince, FilesError."""
    with _states(effect, hands) as states:
        changes = _refuse_changed(effect, states)
        delivery.patch_file(_aside(effect, hands), hands.ledger.get_blob(effect.patch))
        hands.reached("kept")
        delivery.in_place(Path(effect.folder), states.shadow, states.delivered, states.before)
        hands.reached("changed")
    return _part(effect, hands, changes)


def _aside(effect: FilesChanged, hands: Hands) -> Path:
    folder = Path(effect.folder)
    return folder.with_name(f"{folder.name}.undone-{hands.run}.patch")


def _part(effect: FilesChanged, hands: Hands, changes: list[Change]) -> Part:
    done = f"{len(changes)} files go back to what they were"
    return Part(effect.kind, effect.what, done, f"{_aside(effect, hands)} (`git apply` brings it back)")


def _refuse_changed(effect: FilesChanged, states: _States) -> list[Change]:
    """What goes back. Raises UndoRefused with every file that is neither as delivered nor as before."""
    folder, shadow = Path(effect.folder), states.shadow
    changes = shadow.changes(states.delivered, states.before)
    foreign = [
        change.path
        for change in changes
        if not _stands(folder / change.path, change.old, shadow)
        and not _stands(folder / change.path, change.new, shadow)
    ]
    if foreign:
        raise UndoRefused.of(f"files in {folder} changed since they were delivered", foreign, hint=_HINT)
    return changes


def _stands(path: Path, blob: str, shadow: Shadow) -> bool:
    """Is that what stands there?"""
    if set(blob) == {"0"}:
        return not os.path.lexists(path)
    if path.is_symlink():
        return os.fsencode(os.readlink(path)) == shadow.content(blob)
    return path.is_file() and path.read_bytes() == shadow.content(blob)


@contextmanager
def _states(effect: FilesChanged, hands: Hands) -> Iterator[_States]:
    """Both, made again from what the ledger holds."""
    hands.scratch.mkdir(parents=True, exist_ok=True)
    try:
        with removal.scratch(hands.scratch) as scratch:
            shadow = Shadow(scratch / "shadow", hands.clock)
            shadow.have(effect.base, hands.ledger.get_blob(effect.bundle))
            yield _States(shadow, effect.base, shadow.advance(effect.base, hands.ledger.get_blob(effect.patch)))
    finally:
        removal.remove(hands.scratch)


# -- a patch


def look_at_patch(effect: PatchWritten, hands: Hands) -> Part:
    """What would be done. Raises UndoRefused."""
    path, aside = Path(effect.path), _beside(effect, hands)
    if not os.path.lexists(path):
        if os.path.lexists(aside):
            return Part(effect.kind, effect.what, "moved aside", str(aside))
        return Part(effect.kind, effect.what, "it is not there any more; somebody moved or removed it")
    _refuser(effect, hands)(path)
    return Part(effect.kind, effect.what, "moved aside", str(aside))


def undo_patch(effect: PatchWritten, hands: Hands) -> Part:
    """Do it. Raises UndoRefused, NotMovedAside."""
    part = look_at_patch(effect, hands)
    path = Path(effect.path)
    if os.path.lexists(path):
        move_aside(path, _beside(effect, hands), _refuser(effect, hands))
        hands.reached("renamed")
    return part


def _beside(effect: PatchWritten, hands: Hands) -> Path:
    path = Path(effect.path)
    return path.with_name(f"{path.name}.undone-{hands.run}")


def _refuser(effect: PatchWritten, hands: Hands) -> Callable[[Path], None]:
    def refuse(at: Path) -> None:
        if at.is_symlink() or not at.is_file() or at.read_bytes() != hands.ledger.get_blob(effect.patch):
            raise UndoRefused.of(f"{effect.path} changed since it was written", [], hint=_HINT)

    return refuse
