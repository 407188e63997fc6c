"""How far each target is, looked at from outside: what it says itself, and what was last remembered of it."""

from __future__ import annotations

import threading
import time
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

PATIENCE_S = 10.0
"""So long may a target take to say how far it is."""


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
    size = _size(ledger)
    found: dict[str, Standing] = {}
    threads = []
    names = list(dict.fromkeys(rule.targets))
    for name in names:
        thread = threading.Thread(target=_ask, args=(name, ledger, rule, verifier, found), daemon=True)
        thread.start()
        threads.append(thread)
    end = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    silent = f"it does not answer within {patience_s:.0f} s"
    return Seen(
        size,
        rule.wanted,
        [
            found.get(name) or Standing(target=name, state="slow", code=ReplicaLost.code, problem=silent)
            for name in names
        ],
    )


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


def _ask(name: str, ledger: Path, rule: Replication, verifier: Verifier, found: dict[str, Standing]) -> None:
    known = Memory(ledger).of(name)
    try:
        size = reading.head(rule.opener(name, ledger), verifier).size
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
