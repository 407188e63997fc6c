"""The verified head: the last head up to which this home has verified its ledger, kept beside the witness's head.

An incremental check begins behind it. It is no secret and no proof: whoever may write the witness's folder may put any
head there that the ledger's key has signed. Then what is before it is not looked at until the next whole check.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from daybreak.clock import Clock
from daybreak.host.durable import write_synced
from daybreak.ledger.note import Checkpoint, NoteError, Verifier

FILE = "verified"
BYTES_MAX = 64 * 1024
WHOLE_AFTER_DAYS = 7
"""A whole check is due when the last one is longer ago."""


class VerifiedHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A head, and when everything up to it was found right."""

    v: Literal[1] = 1
    size: int
    root: str
    """In hex."""
    note: str
    """The head as it was signed."""
    at: str
    """When the check ended that came to this head, whole or incremental."""
    whole_at: str
    """When the last whole check ended."""
    whole_size: int
    """How many events that one had read."""

    def days_since_whole(self, clock: Clock) -> float:
        """Negative where the clock was set back."""
        return (clock.now() - _moment(self.whole_at)).total_seconds() / 86_400

    def open(self, verifier: Verifier) -> Checkpoint:
        """Raises NoteError where it is not of this ledger, or does not say what was signed."""
        head = verifier.open(self.note)
        if (head.size, head.root.hex()) != (self.size, self.root):
            raise NoteError(f"it says {self.size} events and the root {self.root}, something else was signed")
        return head


def read(folder: Path) -> VerifiedHead | None:
    """None where none is kept. Raises NoteError where it cannot be read as one."""
    try:
        with (folder / FILE).open("rb") as file:
            data = file.read(BYTES_MAX + 1)
        if len(data) > BYTES_MAX:
            raise NoteError(f"it is longer than {BYTES_MAX} bytes")
        found = msgspec.json.decode(data, type=VerifiedHead)
        for moment in (found.at, found.whole_at):
            _moment(moment)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise NoteError(f"{folder / FILE} cannot be used: {error}") from error
    return found


def keep(folder: Path, head: VerifiedHead) -> None:
    """On disk, whole, for its owner alone. Raises OSError; then the one before is there."""
    write_synced(folder / FILE, msgspec.json.format(msgspec.json.encode(head)) + b"\n", mode=0o600)


def _moment(text: str) -> datetime:
    """Raises ValueError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return found.astimezone(UTC)
