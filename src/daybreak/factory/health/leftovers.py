"""What processes that died left on this machine: locks, processes, workspaces, half-done changes of files.

Nothing that a living process holds is touched, and nothing that is not ours by its place and its name: each fix takes
the lock first that the owner would hold.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from daybreak.config import Places
from daybreak.errors import HostError
from daybreak.factory.health.finding import Finding
from daybreak.factory.health.state import Looking
from daybreak.host import files, locks, removal
from daybreak.host.files.paths import WORK
from daybreak.host.workspaces import Workspaces
from daybreak.host.workspaces import record as registry
from daybreak.ledger import exchange, restore

NAMED_MAX = 10
TEMPORARY_S = 3600.0
"""A file that is being written has its name within moments; one that is older is a dead writer's."""
_TEMPORARY = re.compile(r"\..{1,230}\.daybreak-[0-9a-f]{12}")
_RUN = re.compile(r"run-[0-9a-hjkmnp-tv-z]{16}")


class LeftoverStays(HostError):
    """What a dead process left could not be removed."""

    code = "H262"


def look(at: Looking, roots: Sequence[Path]) -> Iterator[Finding]:
    """`roots`: folders besides our own in which changes of files may have been interrupted."""
    yield from _restore(at.where)
    yield from _transactions(at.where, roots)
    yield from _locks(at)
    yield from _workspaces(at)
    yield from _temporary(at)


def some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more


# -- changes of files


def _restore(where: Places) -> Iterator[Finding]:
    path = exchange.beside(where.ledger, "restore")
    if os.path.lexists(path):
        text = f"a restore into {where.ledger} was interrupted"
        yield Finding("restore", "bad", text, "the next command completes it", partial(_finish_restore, where))


def _finish_restore(where: Places) -> str:
    if restore.finish(where):
        return f"the interrupted restore into {where.ledger} was completed"
    return "somebody else had completed the restore"


def _transactions(where: Places, roots: Sequence[Path]) -> Iterator[Finding]:
    own = (where.ledger, where.ledger.parent, where.keys, where.witness, where.workspaces, where.locks, where.cache)
    looked = 0
    for root in dict.fromkeys(Path(os.path.abspath(root)) for root in (*own, *roots)):
        work = root / WORK
        if not root.is_dir():
            continue
        looked += 1
        if not os.path.lexists(work):
            continue
        if work.is_symlink() or not work.is_dir():
            text = f"{work} is no folder of ours, so nothing can be changed together in {root}"
            yield Finding("transactions", "bad", text, "look who has put it there; remove it")
        elif _is_locked(root):
            yield Finding("transactions", "good", f"one is under way in {root}")
        else:
            text = f"a change of files in {root} was interrupted"
            hint = f"the next one there finishes or undoes it; `daybreak doctor --fix` does it now ({work})"
            yield Finding("transactions", "bad", text, hint, partial(_recover, root))
    yield Finding("transactions", "good", f"looked for in {looked} folders")


def _recover(root: Path) -> str:
    done = files.recover(root)
    words = {
        "nothing": "somebody else had dealt with it",
        "cleaned": "nothing of it, or all, was in its place; what it had kept aside was removed",
        "forward": "it was completed",
        "back": "it was undone",
    }[done.outcome]
    paths = f": {some(done.paths)}" if done.paths else ""
    kept = f"; kept beside, because somebody had put it there: {some(done.kept)}" if done.kept else ""
    return f"the interrupted change in {root}: {words}{paths}{kept}"


def _is_locked(folder: Path, table: Path = Path("/proc/locks")) -> bool:
    """Does a living process hold the folder's lock? Asked without taking it. Where the system does not tell: yes."""
    try:
        number = folder.stat().st_ino
        lines = table.read_text().splitlines()
    except OSError:
        return True
    return any(re.search(rf"FLOCK .* [0-9a-f]+:[0-9a-f]+:{number} ", line) for line in lines)


# -- locks


def _locks(at: Looking) -> Iterator[Finding]:
    names = at.locks.names()
    free = [name for name in names if at.locks.owner(name) is None]
    if held := len(names) - len(free):
        yield Finding("locks", "good", f"{held} held by living processes")
    if free:
        text = f"{len(free)} lock files that nobody holds any more: {some(free)}"
        hint = "they keep nobody out; `daybreak doctor --fix` removes them"
        yield Finding("locks", "note", text, hint, partial(_remove_locks, at, free))
    elif not names:
        yield Finding("locks", "good", "none")


def _remove_locks(at: Looking, names: Sequence[str]) -> str:
    removed = []
    for name in names:
        told = _told(at.where.locks / f"{name}.lock")
        try:
            with at.locks.hold(name):  # giving it back removes it
                removed.append(f"{name}{told}")
        except locks.LockHeld:
            continue  # somebody has it now
    return f"{len(removed)} lock files were removed: {some(removed)}"


def _told(path: Path) -> str:
    """Who had held it, for people."""
    try:
        told = json.loads(path.read_bytes())
        return f" (of process {told['pid']} on {told['host']} since {told['started'][:19]}Z)"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


# -- workspaces


def _workspaces(at: Looking) -> Iterator[Finding]:
    where = at.where
    if not where.workspaces.is_dir():
        yield Finding("workspaces", "good", "none")
        return
    left = [
        path.name
        for path in sorted(where.workspaces.iterdir())
        if _RUN.fullmatch(path.name) and path.is_dir() and at.locks.owner(path.name) is None
    ]
    if left:
        text = f"{len(left)} folders of runs that nobody works on: {some(left)}"
        hint = "a run that goes on begins with an empty one; `daybreak doctor --fix` removes them"
        yield Finding("workspaces", "note", text, hint, partial(_remove_folders, at, left))
    dead = _dead(where.workspaces)
    if dead:
        text = f"{len(dead)} workspaces whose owner died: {some(dead)}"
        hint = "`daybreak doctor --fix` keeps them for some days like any failure, and removes what is over"
        yield Finding("workspaces", "note", text, hint, partial(_sweep, at))
    if not left and not dead:
        yield Finding("workspaces", "good", "none without an owner")


def _dead(root: Path) -> list[str]:
    """Ids of the registry's workspaces that say they are held, and are not."""
    if not (root / "records").is_dir():
        return []
    places = registry.Places(root)
    found = []
    for one in places.ids():
        known = registry.read(places.record(one))
        if (known is None or known.state == "held") and locks.owner(places.lock(one)) is None:
            found.append(one)
    return found


def _remove_folders(at: Looking, names: Sequence[str]) -> str:
    removed, stuck = [], []
    for name in names:
        try:
            with at.locks.hold(name):
                left = removal.remove(at.where.workspaces / name)
        except locks.LockHeld:
            continue  # somebody goes on with it now
        if left.complete:
            removed.append(name)
        else:
            stuck.append(f"{name}: {left}")
    if stuck:
        raise LeftoverStays(f"not everything could be removed: {some(stuck)}", hint="see who uses it; try again")
    return f"the folders of {len(removed)} runs were removed from {at.where.workspaces}: {some(removed)}"


def _sweep(at: Looking) -> str:
    swept = Workspaces(at.where.workspaces, at.clock).sweep()
    if swept.stuck:
        raise LeftoverStays(f"not everything could be removed: {some(swept.stuck)}", hint="try again later")
    parts = [f"{len(swept.orphans)} workspaces are kept like failures: {some(swept.orphans)}"] if swept.orphans else []
    if swept.removed:
        told = [f"{one.id} ({one.why})" for one in swept.removed]
        parts.append(f"{len(told)} were removed by rule: {some(told)}")
    return "; ".join(parts) or "somebody else had dealt with them"


# -- files that got no name


def _temporary(at: Looking) -> Iterator[Finding]:
    where = at.where
    old = []
    for folder in (where.ledger, where.keys, where.witness, where.locks, where.cache):
        if folder.is_dir():
            old += [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name) and _is_old(at, path)]
    if old:
        text = f"{len(old)} files that a dead process had begun to write: {some([str(path) for path in old])}"
        yield Finding(
            "leftovers", "note", text, "`daybreak doctor --fix` removes them", partial(_remove_files, at, old)
        )


def _is_old(at: Looking, path: Path) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return at.clock.now().timestamp() - status.st_mtime > TEMPORARY_S and not path.is_symlink() and path.is_file()


def _remove_files(at: Looking, paths: Sequence[Path]) -> str:
    removed = []
    for path in paths:
        if _is_old(at, path):
            path.unlink(missing_ok=True)
            removed.append(str(path))
    return f"{len(removed)} half-written files were removed: {some(removed)}"
