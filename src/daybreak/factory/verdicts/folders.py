"""A delivered folder goes back to what was there before: nothing, or the earlier delivery that it replaced.

It is renamed beside its place, to `NAME.undone-RUN`, never deleted. An earlier delivery is put under that name first,
and the two change places in one step, so that there is a whole folder at every moment.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from daybreak.errors import DeliveryError
from daybreak.factory import deliver
from daybreak.factory.verdicts.effects import FolderPut
from daybreak.factory.verdicts.hands import Hands, Part, UndoRefused
from daybreak.host import removal, tree
from daybreak.host.files import folder
from daybreak.host.files.aside import move_aside

Stage = Literal["there", "staged", "moved", "gone"]
"""As delivered at its place; the same, and the earlier one waits beside it; it lies beside its place; nowhere."""
WIDE = tree.Limits(entries=2 * deliver.DELIVERED.entries, bytes=2 * deliver.DELIVERED.bytes)
"""What was delivered over what may have been delivered."""


def look(effect: FolderPut, hands: Hands) -> Part:
    """What would be done. Raises UndoRefused."""
    return _part(effect, hands, _stage(effect, hands))


def undo(effect: FolderPut, hands: Hands) -> Part:
    """Do it; what a crash left is finished. Raises UndoRefused, DeliveryErrors."""
    target, aside = _places(effect, hands)
    stage = _stage(effect, hands)
    if stage == "there" and effect.replaced:
        with _earlier(effect, hands) as earlier:
            folder.put_folder(earlier, aside)
        hands.reached("staged")
        stage = "staged"
    if stage in ("there", "staged"):
        move_aside(target, aside, lambda moved: _refuse_changed(effect, hands, target, moved), swap=stage == "staged")
        hands.reached("renamed")
        stage = "moved"
    return _part(effect, hands, stage)


def _places(effect: FolderPut, hands: Hands) -> tuple[Path, Path]:
    target = Path(effect.output)
    return target, target.with_name(f"{target.name}.undone-{hands.run}")


def _part(effect: FolderPut, hands: Hands, stage: Stage) -> Part:
    _, aside = _places(effect, hands)
    if stage == "gone":
        return Part(effect.kind, effect.what, "it is not there any more; somebody moved or removed it")
    back = {
        None: "nothing was put in its place: what was there before is not known",
        "": "nothing was there before",
    }.get(effect.replaced, "the delivery that it replaced is there again")
    return Part(effect.kind, effect.what, f"moved aside; {back}", str(aside))


def _stage(effect: FolderPut, hands: Hands) -> Stage:
    """Raises UndoRefused."""
    target, aside = _places(effect, hands)
    beside = os.path.lexists(aside)
    if beside and _is(effect, aside):
        return "moved"
    if not os.path.lexists(target):
        return "gone"
    _refuse_changed(effect, hands, target, target)
    if not beside:
        return "there"
    if effect.replaced and _is_earlier(effect, hands, aside):
        return "staged"
    raise UndoRefused.of(f"{aside} is in the way", [], hint="move it elsewhere, then say it again; nothing was touched")


def _is(effect: FolderPut, at: Path) -> bool:
    try:
        return not _differs(effect, at)
    except (DeliveryError, tree.NotATree):
        return False


def _differs(effect: FolderPut, at: Path) -> list[str]:
    """What is not as it was delivered: of the files, the manifest, and a history that somebody began in it. Raises
    NotOurs, NotATree."""
    found = deliver.changes(at)
    ours = {deliver.MANIFEST: effect.manifest}
    if effect.provenance:
        ours[deliver.PROVENANCE] = effect.provenance
    for name, digest in ours.items():
        if not found and hashlib.sha256((at / name).read_bytes()).hexdigest() != digest:
            found = [f"changed {name}"]
    return found + (["added .git"] if os.path.lexists(at / ".git") else [])


def _refuse_changed(effect: FolderPut, hands: Hands, target: Path, at: Path) -> None:
    """`at`: where it stands now; a refusal speaks of `target`."""
    try:
        if at.is_symlink() or not at.is_dir():
            raise UndoRefused.of(f"{target} is not the folder that was delivered", [], hint=_HINT)
        other = deliver.run_at(at)
        found = _differs(effect, at)
    except deliver.NotOurs as error:
        raise UndoRefused.of(f"{target} changed since", [f"removed {deliver.MANIFEST}"], hint=_HINT) from error
    except tree.NotATree as error:
        raise UndoRefused.of(f"{target} changed since: {error.message}", [], hint=_HINT) from error
    if found == [f"changed {deliver.MANIFEST}"] and other not in ("", hands.run):
        raise UndoRefused.of(
            f"{target} was delivered by run {other} since", [], hint=f"`daybreak undo {other}` undoes that one first"
        )
    if found:
        raise UndoRefused.of(f"{target} changed since it was delivered", found, hint=_HINT)


_HINT = "nothing was touched; what you changed is yours: move it away, or put the folder back as it was"


@contextmanager
def _earlier(effect: FolderPut, hands: Hands) -> Iterator[Path]:
    """The earlier delivery, unpacked."""
    assert effect.replaced, "somebody looked"
    hands.scratch.mkdir(parents=True, exist_ok=True)
    with removal.scratch(hands.scratch) as scratch:
        tree.unpack(hands.ledger.get_blob(effect.replaced), scratch / "earlier", limits=WIDE)
        yield scratch / "earlier"
    removal.remove(hands.scratch)


def _is_earlier(effect: FolderPut, hands: Hands, at: Path) -> bool:
    try:
        with _earlier(effect, hands) as earlier:
            return tree.scan(at, WIDE).hash == tree.scan(earlier, WIDE).hash
    except tree.NotATree:
        return False
