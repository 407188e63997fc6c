"""The key that signs the ledger's heads: a file outside the database, for its owner's eyes only.

`ledger.key` is the signing key (mode 0600), `ledger.vkey` the verification key for anybody to check with. Both are
one line in the C2SP formats of `note`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from daybreak.errors import KeyExposed, KeyMissing, KeyWrong
from daybreak.host.durable import write_synced
from daybreak.ledger.note import NoteError, Signer, Verifier

SECRET = "ledger.key"
PUBLIC = "ledger.vkey"


def exists(folder: Path) -> bool:
    return (folder / SECRET).exists()


def save(folder: Path, signer: Signer) -> None:
    """Both files, on disk; the secret last, because it is what counts as existing."""
    write_synced(folder / PUBLIC, f"{signer.verifier.text}\n".encode(), mode=0o644)
    write_synced(folder / SECRET, f"{signer.text}\n".encode(), mode=0o600)


def load(folder: Path) -> Signer:
    """The signing key. Raises KeyMissing, KeyExposed, KeyWrong."""
    path = folder / SECRET
    try:
        with path.open("rb") as file:
            _check_mode(path, os.fstat(file.fileno()))
            text = file.read(4096).decode("ascii")
        return Signer.parse(text)
    except FileNotFoundError:
        raise KeyMissing(
            f"the ledger's signing key is not at {path}",
            hint="put the key file back from your copy; without it nothing can be appended to this ledger.",
        ) from None
    except PermissionError:
        raise KeyWrong(f"the signing key {path} may not be read by this user", hint="run as the key's owner.") from None
    except (NoteError, UnicodeDecodeError) as error:
        raise KeyWrong(
            f"the signing key {path} cannot be read: {error}", hint="put the key file back from your copy."
        ) from error


def load_verifier(folder: Path) -> Verifier:
    """The verification key, from the public file or else from the secret one.

    Raises KeyMissing, KeyWrong, KeyExposed.
    """
    path = folder / PUBLIC
    try:
        return Verifier.parse(path.read_text("ascii"))
    except FileNotFoundError:
        return load(folder).verifier
    except (NoteError, UnicodeDecodeError) as error:
        raise KeyWrong(
            f"the verification key {path} cannot be read: {error}",
            hint=f"put the file back, or delete it to use {SECRET} beside it.",
        ) from error


def _check_mode(path: Path, status: os.stat_result) -> None:
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyExposed(
            f"others may use the signing key {path} (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 600 {path}; if somebody may have read it, start a new ledger with a new key.",
        )
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        raise KeyExposed(
            f"the signing key {path} belongs to another user (uid {status.st_uid})",
            hint="run as the key's owner.",
        )
