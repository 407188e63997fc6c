"""Do the witnesses that somebody trusts stand behind a checkpoint? Needs their public keys and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from daybreak.errors import LedgerError
from daybreak.ledger.note import Checkpoint, NoteError
from daybreak.ledger.witness.cosigning import Cosignature, CosignerKey


class NotCosigned(LedgerError):
    """A witness that was asked about has not signed the checkpoint."""

    code = "L189"


def check_cosigned(checkpoint: Checkpoint, keys: Sequence[CosignerKey]) -> tuple[Cosignature, ...]:
    """The cosignature of each. Raises NotCosigned where one of them is missing or does not fit."""
    return tuple([_by(checkpoint, key) for key in keys])


def _by(checkpoint: Checkpoint, key: CosignerKey) -> Cosignature:
    try:
        found = key.find(checkpoint.text)
    except NoteError as error:
        raise NotCosigned(
            f"the checkpoint of {checkpoint.size} events: {error}",
            hint="do not believe it; ask for the proof again, or ask the witness for its last checkpoint.",
        ) from error
    if found is None:
        raise NotCosigned(
            f"the checkpoint of {checkpoint.size} events is not cosigned by the key {key.key_id} of {key.name}",
            hint="ask for a proof made with `daybreak ledger prove --cosigned`, or later: the witness may be behind.",
        )
    return found
