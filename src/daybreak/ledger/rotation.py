"""Rotations and revocations of the signing key as events of the ledger: how they are found and how they are made.

They stand in the stream `keys` under idempotency keys that count (`rotated/ORIGIN/1`, …), so that they are found
without reading the stream, that no two processes write the same one, and that a log which was restored from a copy can
hold those of the older log beside its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw

from daybreak.errors import DraftRefused, KeyWrong, LedgerError, LedgerTampered
from daybreak.events import KEYS, Event, KeyRevoked, KeyRotated, LedgerCreated
from daybreak.ledger import database, keyfile
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.keyring import FORMAT, KeyHistory, Keyring, revocation, rotation
from daybreak.ledger.note import Checkpoint, NoteError, Signer, Verifier
from daybreak.ledger.record import Draft
from daybreak.ledger.rows import Rows

ACTOR = "keys"
WHY_MAX = 1000
"""Characters of a reason."""

_ROTATED, _REVOKED = "rotated", "revoked"
_OURS = (f"{_ROTATED}/", f"{_REVOKED}/")
_VERIFY = "stop using it and run `daybreak ledger verify`, which names every place; then restore a copy."


class KeyRefused(KeyWrong):
    """The signing key was the ledger's, but has handed over or was revoked: it signs nothing any more."""

    code = "L125"


class RevocationRefused(LedgerError):
    """The key is not one of the ledger's earlier ones, or the size makes no sense for it."""

    code = "L126"


def idem_of(kind: str, origin: str, number: int) -> str:
    return f"{kind}/{origin}/{number}"


def read(rows: Rows, created: LedgerCreated, start: int = 0) -> KeyHistory:
    """What the log that begins at event `start` with `created` says of its keys.

    Raises LedgerTampered where anything in it is not signed as it should be or not where it should be.
    """
    rotations, revocations = [], []
    for index, event in _events(rows, _ROTATED, created.origin):
        if not isinstance(event, KeyRotated) or event.size != index - start:
            raise LedgerTampered(f"event {index} does not say where the key was rotated", hint=_VERIFY)
        rotations.append(event)
    for index, event in _events(rows, _REVOKED, created.origin):
        if not isinstance(event, KeyRevoked):
            raise LedgerTampered(f"event {index} does not say which key was revoked", hint=_VERIFY)
        revocations.append(event)
    history = KeyHistory(FORMAT, created.public_key, tuple(rotations), tuple(revocations))
    try:
        history.spans()
    except NoteError as error:
        raise LedgerTampered(
            f"what the ledger says of its keys is not as it was signed: {error}", hint=_VERIFY
        ) from error
    return history


def _events(rows: Rows, kind: str, origin: str) -> Iterator[tuple[int, Event]]:
    number = 1
    while (record := rows.idem(KEYS, 0, idem_of(kind, origin, number))) is not None:
        yield record.index, record.event
        number += 1


def source(path: Path) -> Callable[[], KeyHistory | None]:
    """Asks the database at `path` for its history, on a connection of its own; None where that cannot be read."""

    def look() -> KeyHistory | None:
        try:
            if not path.is_file() or not path.stat().st_size:
                return None
            connection = database.connect_reader(path)
            try:
                found = Rows(connection, BlobStore(path.parent / database.BLOBS))
                first = next(iter(found.page(-1, 1)), None)
                event = None if first is None else first.event
                return read(found, event) if isinstance(event, LedgerCreated) else None
            finally:
                connection.close()
        except (LedgerError, apsw.Error, OSError, UnicodeDecodeError):
            return None

    return look


def refuse(drafts: Sequence[Draft]) -> None:
    """Raises DraftRefused where somebody else than the ledger speaks of its keys: that would be in the way of what is
    true."""
    for draft in drafts:
        kind = type(draft.event)
        if kind is KeyRotated or kind is KeyRevoked:  # isinstance takes ten times as long, and everybody passes here
            raise DraftRefused(
                f"{kind.type} is written by the ledger alone",
                hint="use `Ledger.rotate_key` or `Ledger.revoke_key`.",
            )
        if draft.stream == KEYS and (draft.idem or "").startswith(_OURS):
            raise DraftRefused(f"key {draft.idem!r} on {KEYS} is kept for the ledger", hint="use another one.")


def signer(path: Path, folder: Path, keyring: Keyring) -> Signer:
    """The present signing key. Raises KeyMissing, KeyExposed, KeyWrong."""
    found = keyfile.find(folder, keyring.present)
    if found is None:
        raise not_present(path, folder, keyfile.load(folder).verifier, keyring)
    return found


def rotated(old: Signer, new: Signer, head: Checkpoint, known: KeyHistory, why: str) -> Draft:
    """The event that hands over."""
    number = len(known.rotations) + 1
    event = rotation(old, new, head.size, head.root, why)
    return Draft(KEYS, event, ACTOR, idem=idem_of(_ROTATED, event.origin, number))


def revoked(signer: Signer, keyring: Keyring, key: str, size: int | None, why: str) -> Draft:
    """The event that revokes `key` (its id, the beginning of it, or the key itself) from `size` events on; without one,
    from where it handed over. Raises RevocationRefused."""
    spans = [
        span
        for span in keyring.spans
        if key == span.verifier.text or (len(key) >= 4 and span.verifier.key_id.startswith(key.lower()))
    ]
    if len(spans) != 1:
        known = ", ".join(keyring.key_ids)
        what = "no key of this ledger is" if not spans else f"{len(spans)} keys of this ledger are"
        raise RevocationRefused(f"{what} called {key[:200]!r}", hint=f"name one of these by its id: {known}.")
    (span,) = spans
    if span.end is None:
        raise RevocationRefused(
            f"the key {span.verifier.key_id} is the one that signs now, and cannot revoke itself",
            hint="give the ledger another one first: `daybreak ledger keys rotate`.",
        )
    at = span.end if size is None else size
    least = max(span.start, 0)
    if not least <= at <= span.end:
        raise RevocationRefused(
            f"the key {span.verifier.key_id} signed heads of {least + 1} to {span.end} events, {at} is not among them",
            hint=f"name the last size at which it is to be believed: {least} for none of them, at most {span.end}.",
        )
    if span.revoked is not None and at >= span.revoked:
        raise RevocationRefused(
            f"the key {span.verifier.key_id} is revoked already, from {span.revoked} events on",
            hint="a revocation can be made stricter, not milder.",
        )
    number = len(keyring.history.revocations) + 1
    event = revocation(signer, span.verifier, at, why)
    return Draft(KEYS, event, ACTOR, idem=idem_of(_REVOKED, event.origin, number))


def not_present(path: Path, folder: Path, here: Verifier, keyring: Keyring) -> KeyWrong:
    """The error that says why this signing key must not sign."""
    present = keyring.present
    hint = f"put the signing key {present.key_id} into {folder}, from your copy of that folder."
    for span in keyring.spans:
        if span.verifier.text == here.text:
            if span.revoked is not None:
                return KeyRefused(
                    f"the signing key {here.key_id} in {folder} was revoked from {span.revoked} events on "
                    f"({span.why or 'no reason was given'}); {path} is signed by {present.key_id}",
                    hint=hint,
                )
            return KeyRefused(
                f"the signing key {here.key_id} in {folder} handed over to {present.key_id} at {span.end} events "
                f"of {path}",
                hint=hint,
            )
    return KeyWrong(f"{path} is signed by the key {present.key_id}, but the key here is {here.text}", hint=hint)


def check_new(key: Signer, keyring: Keyring) -> None:
    """Headers name keys by their ids, so no two of a ledger may share one. Raises KeyWrong."""
    if key.verifier.key_id in keyring.key_ids:
        raise KeyWrong(
            f"the new key would have the id {key.verifier.key_id}, which an earlier one has",
            hint="nothing was changed; try again. If it happens twice, the source of randomness repeats itself.",
        )


def check_why(why: str) -> str:
    """Raises RevocationRefused."""
    if len(why) > WHY_MAX or "\0" in why or not why.isprintable():
        raise RevocationRefused(
            f"the reason is longer than {WHY_MAX} characters or holds what cannot be printed", hint="shorten it."
        )
    return why
