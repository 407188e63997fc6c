"""Verifies the ledger of a home and keeps how far that came, so that the next check can be an incremental one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from daybreak.clock import Clock, stamp
from daybreak.ledger import verified
from daybreak.ledger.findings import Verification
from daybreak.ledger.note import NoteError
from daybreak.ledger.verification import verify
from daybreak.ledger.verified import VerifiedHead

HINT = "`daybreak ledger verify` checks everything"


def verify_home(
    directory: Path, *, keys: Path, witness: Path, clock: Clock, incremental: bool = False, **given: Any
) -> Verification:
    """As `verification.verify` with the head that was verified last; where nothing is wrong, that head moves on.

    With `incremental` what that check read is not read again. Where none was ever kept everything is checked, and a
    note says so; one that is damaged or contradicts the ledger is a problem, and what is kept stays. Never raises for
    what is on disk.
    """
    result = Verification()
    try:
        known = verified.read(witness)
    except NoteError as error:
        if incremental:
            result.add("verified head", f"{error}; {HINT}")
            return result
        known = None
        result.notes.append(f"the verified head could not be used, and was not compared: {error}")
    notes = result.notes
    if incremental and known is None:
        notes.append("no check has come to its end here yet, so everything was checked")
    result = verify(directory, keys=keys, witness=witness, verified=known, incremental=incremental, **given)
    result.notes[:0] = notes
    if result.ok and result.head:
        _keep(witness, result, clock)
    _due(result, clock)
    return result


def _keep(witness: Path, result: Verification, clock: Clock) -> None:
    now, since = stamp(clock.now()), result.since
    head = VerifiedHead(
        size=result.size,
        root=result.root,
        note=result.head,
        at=now,
        whole_at=now if since is None else since.whole_at,
        whole_size=result.size if since is None else since.whole_size,
    )
    try:
        verified.keep(witness, head)
    except OSError as error:
        result.notes.append(f"how far this check came could not be kept in {witness}: {error}")
    else:
        result.kept = head


def _due(result: Verification, clock: Clock) -> None:
    if result.since is None:
        return
    days = result.since.days_since_whole(clock)
    if days > verified.WHOLE_AFTER_DAYS:
        result.notes.append(
            f"the last whole check was {days:.0f} days ago, and is due every {verified.WHOLE_AFTER_DAYS}: {HINT}"
        )
