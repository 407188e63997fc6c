"""What is known here, offline, of witnesses: how they stood, and which of their signatures are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from daybreak.clock import Clock, stamp
from daybreak.errors import LedgerError
from daybreak.factory.witnessing.members import members
from daybreak.factory.witnessing.watch import new
from daybreak.ledger import Ledger
from daybreak.ledger.note import Checkpoint, NoteError
from daybreak.ledger.witness.kept import Kept, Standing
from daybreak.settings import Settings, WitnessPlace


class Remembered(NamedTuple):
    """One witness."""

    standing: Standing
    """As it was written down when it was last asked: anybody who may write there can have changed it."""
    proved: int
    """Events in the greatest head under its own signature that lies here, is good, and is one of this ledger; 0 where
    there is none. Head files and git repositories sign nothing."""
    proved_at: str
    """When, as it says itself."""


def remembered(
    ledger: Ledger, told: Settings, folder: Path, clock: Clock, environment: Mapping[str, str]
) -> dict[str, Remembered]:
    """Of every witness of the settings. Asks nobody. `folder`: that of the head file. Raises SettingsWrong."""
    kept = Kept(folder, ledger.verifier)
    known = kept.standings()
    found = {}
    for name, place in members(told, ledger.verifier, clock, environment).items():
        standing = known.get(name)
        if standing is None or standing.where != place.where:
            standing = new(place)
        proved, at = 0, ""
        for head, moment in _signed(name, told.witnesses[name], kept):
            if _is_ours(ledger, head):
                proved, at = head.size, stamp(moment)
                break
        found[name] = Remembered(standing, proved, at)
    return found


def _signed(name: str, told: WitnessPlace, kept: Kept) -> Iterator[tuple[Checkpoint, datetime]]:
    """Heads with a good signature of that witness, the greatest first."""
    if told.kind == "tlog":
        yield from _cosigned(told.key, kept)
    elif told.kind == "timestamp":
        yield from _stamped(name, Path(told.certificates), kept)


def _cosigned(text: str, kept: Kept) -> Iterator[tuple[Checkpoint, datetime]]:
    from daybreak.ledger.witness.cosigning import CosignerKey

    try:
        key = CosignerKey.parse(text)
    except (NoteError, ValueError):
        return  # `members` has said so
    for head in kept.cosigned():
        try:
            cosignature = key.find(head.text)
        except NoteError:
            continue  # forged or damaged: it proves nothing
        if cosignature is not None:
            yield head, cosignature.at


def _stamped(name: str, certificates: Path, kept: Kept) -> Iterator[tuple[Checkpoint, datetime]]:
    mine = [path for path in kept.stamps() if path.stem.partition("-")[2] == name]
    if not mine:
        return
    from cryptography import x509

    from daybreak.ledger.witness import tsp

    try:
        trusted = x509.load_pem_x509_certificates(certificates.read_bytes())
    except (OSError, ValueError):
        return
    for path in mine[:STAMPS_LOOKED_AT]:
        head = kept.head_of(path)
        if head is None:
            continue
        try:
            yield head, tsp.check(path.read_bytes(), hashlib.sha256(head.text.encode()).digest(), trusted).at
        except (tsp.StampDenied, tsp.StampWrong, OSError):
            continue


STAMPS_LOOKED_AT = 16
"""So many of the newest: where none of them is good, somebody should look with `daybreak ledger witness check`."""


def _is_ours(ledger: Ledger, head: Checkpoint) -> bool:
    try:
        ledger.compare(head)
    except LedgerError:
        return False
    return True
