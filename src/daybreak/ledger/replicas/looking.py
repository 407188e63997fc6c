"""How far each target is, looked at from outside: what it says itself, and what was last remembered of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from daybreak.errors import DaybreakError
from daybreak.ledger import database, keyfile, rows
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.note import NoteError, Verifier
from daybreak.ledger.replicas import reading
from daybreak.ledger.replicas.keeper import Replication
from daybreak.ledger.replicas.problems import ReplicaDamaged, ReplicaLost
from daybreak.ledger.replicas.standing import Memory, Standing
from daybreak.ledger.replicas.target import Opener, is_folder, open_target

PATIENCE_S = 10.0
"""So long may a target take to say how far it is."""
RECALL_S = 0.5
"""So long may a folder take where nobody wants to wait: one on a share that is gone would never answer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """`size`: events in the ledger. `targets`: as they stand, `size` being what each holds now."""

    size: int
    wanted: int
    targets: list[Standing]

    @property
    def held(self) -> bool:
        """Do enough of them hold everything?"""
        return sum(1 for one in self.targets if one.size >= self.size and not one.problem) >= self.wanted

    def as_json(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "wanted": self.wanted,
            "replicated": self.held,
            "targets": [
                {
                    "target": one.target,
                    "state": one.state,
                    "size": one.size,
                    "code": one.code,
                    "problem": one.problem,
                    "hint": one.hint,
                }
                for one in self.targets
            ],
        }


def look(ledger: Path, keys: Path, rule: Replication, patience_s: float = PATIENCE_S) -> Seen:
    """Reads the ledger's head and each target's checkpoint, those all at once; changes nothing.

    What is wrong with a target stands in its place. Raises what is wrong with the ledger and its key.
    """
    verifier = keyfile.with_history(keys, keyfile.load_verifier(keys))
    names = list(dict.fromkeys(rule.targets))
    return Seen(_size(ledger), rule.wanted, _ask_all(names, ledger, rule.opener, verifier, patience_s))


def recall(ledger: Path, verifier: Verifier, targets: Sequence[str], patience_s: float = RECALL_S) -> list[Standing]:
    """How the targets stand without a network: a folder by its signed checkpoint, all others as they were remembered
    when somebody last had to do with them."""
    near = [name for name in dict.fromkeys(targets) if is_folder(name)]
    found = {one.target: one for one in _ask_all(near, ledger, open_target, verifier, patience_s)}
    memory = Memory(ledger)
    return [found.get(name) or memory.of(name) for name in dict.fromkeys(targets)]


def _ask_all(
    names: Sequence[str], ledger: Path, opener: Opener, verifier: Verifier, patience_s: float
) -> list[Standing]:
    found: dict[str, Standing] = {}
    threads = []
    for name in names:
        thread = threading.Thread(target=_ask, args=(name, ledger, opener, verifier, found), daemon=True)
        thread.start()
        threads.append(thread)
    end = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    silent = f"it does not answer within {patience_s:g} s"
    return [
        found.get(name) or Standing(target=name, state="slow", code=ReplicaLost.code, problem=silent) for name in names
    ]


def _size(ledger: Path) -> int:
    path = ledger / database.FILE
    if not path.exists():
        return 0
    with rows.readable(path):
        connection = database.connect_reader(path)
        try:
            row = rows.Rows(connection, BlobStore(ledger / database.BLOBS)).head()
        finally:
            connection.close()
    return 0 if row is None else row[0]


def _ask(name: str, ledger: Path, opener: Opener, verifier: Verifier, found: dict[str, Standing]) -> None:
    known = Memory(ledger).of(name)
    try:
        size = reading.head(opener(name, ledger), verifier).size
    except ReplicaDamaged as problem:
        if known.state == "new":
            found[name] = _with(known, problem.code, "nothing was copied to it yet", "")
        else:
            found[name] = _with(known, problem.code, problem.message, problem.hint)
    except DaybreakError as problem:
        found[name] = _with(known, problem.code, problem.message, problem.hint)
    except (OSError, NoteError) as problem:
        found[name] = _with(known, ReplicaLost.code, str(problem), "look at its disk, its space and rights")
    else:
        found[name] = msgspec.structs.replace(known, size=size)


def _with(known: Standing, code: str, problem: str, hint: str) -> Standing:
    """What was remembered of the problem, if it was one, says more than what a look from outside finds."""
    if known.problem:
        return msgspec.structs.replace(known, size=0)
    return msgspec.structs.replace(known, size=0, code=code, problem=problem, hint=hint)
