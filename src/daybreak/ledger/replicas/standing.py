"""How each target stands, as processes that share a ledger remember it: a small file beside the ledger.

It is what makes an event of a change and of nothing else, and what tells a folder that was emptied from one whose disk
is not mounted. The truth about what a target holds is its own checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from daybreak.host.durable import make_folder, write_synced
from daybreak.ledger.files import locked

FOLDER = ".replicas"
"""In the ledger's folder; left out of snapshots, as all that begins with a dot."""

State = Literal["new", "held", "lost", "slow"]
"""new: never copied to. held: it acknowledges. lost, slow: it does not, and why stands beside it."""


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one target."""

    target: str
    state: State = "new"
    size: int = 0
    """Events that it acknowledged when this was last written; it may hold more."""
    apart: bool = False
    """It lies on another disk than the ledger."""
    code: str = ""
    problem: str = ""
    hint: str = ""

    @property
    def why(self) -> str:
        """In words; empty where nothing is wrong."""
        return "" if self.state in ("new", "held") else f"is {self.state}: {self.code} {self.problem}"

    @property
    def well(self) -> bool:
        return self.state == "held"


class Memory:
    """The file, shared by all processes that have the ledger open."""

    def __init__(self, ledger: Path) -> None:
        self.folder = ledger / FOLDER
        self._path = self.folder / "standing.json"

    def lock_of(self, target: str) -> Path:
        """Held by whoever copies to it."""
        return self.folder / f"{sha256(target.encode()).hexdigest()[:16]}.lock"

    def read(self) -> dict[str, Standing]:
        """Empty where nothing is known, or where the file cannot be read: it is only a memory, and is made again."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Standing])
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return {}

    def of(self, target: str) -> Standing:
        return self.read().get(target) or Standing(target=target)

    def write(self, now: Standing) -> Mapping[str, Standing] | None:
        """What all of them stood like before, where this one's state is another now; None where it is not."""
        make_folder(self.folder)
        with locked(self.folder / "lock"):
            known = self.read()
            before = known.get(now.target)
            if before == now:
                return None
            write_synced(self._path, msgspec.json.encode({**known, now.target: now}))
            changed = before is None or before.state != now.state or before.code != now.code
            return known if changed else None
