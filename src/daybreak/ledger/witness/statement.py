"""What every kind of witness has in common: what it is asked, what it says, and how it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from daybreak.errors import LedgerError
from daybreak.ledger.note import Checkpoint


class WitnessSilent(LedgerError):
    """A witness gave no answer, was too slow, or cannot serve anybody now."""

    code = "L181"


class WitnessRefuses(LedgerError):
    """A witness does not take the heads of this ledger: it does not know it, or is not what it was said to be."""

    code = "L182"


class WitnessFalse(LedgerError):
    """What a witness answered is not what it should be: a signature that does not fit, a moment in the future."""

    code = "L183"


class WitnessContradicts(LedgerError):
    """A witness says that it knows other or more events than the ledger has, and shows no proof."""

    code = "L184"


class Log(Protocol):
    """What a witness asks of the ledger."""

    def newest(self) -> Checkpoint:
        """The newest signed head in the file, whoever wrote it."""
        ...

    def proof_between(self, old: int, new: int) -> list[bytes]:
        """RFC 6962: that the tree of `new` leaves begins with that of `old`."""
        ...

    def compare(self, outside: Checkpoint) -> None:
        """Is it a head of this ledger? Raises LedgerBehind, LedgerForked, LedgerTampered."""
        ...


@dataclass(frozen=True, slots=True)
class Statement:
    """A witness has this head."""

    size: int
    at: datetime
    """When, by the witness's own clock where it says so, else by ours."""
    note: str = ""
    """The signed head with the witness's cosignature among its signatures; empty where it makes none."""
    token: bytes = b""
    """An RFC 3161 time stamp over the signed head; empty from other witnesses."""


class Place(Protocol):
    """A witness. May be asked from one thread at a time."""

    name: str
    kind: str
    where: str
    """What tells it from another of the same name: a path, an address."""

    def show(self, head: Checkpoint, log: Log) -> Statement:
        """The witness has at least this head when this returns.

        Raises WitnessSilent, WitnessRefuses, WitnessFalse, WitnessContradicts, WitnessBroken; LedgerBehind or
        LedgerForked where a head that the ledger's own key has signed proves it.
        """
        ...

    def highest(self, log: Log) -> Checkpoint | None:
        """The highest head that the witness shows, signed by the ledger's key; None where it has none or shows none.
        Raises as `show` does."""
        ...

    def worth(self) -> Sequence[str]:
        """What it protects from, a true sentence each."""
        ...
