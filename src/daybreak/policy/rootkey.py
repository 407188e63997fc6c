"""The key that signs capability tokens: its own file beside the ledger's key, for its owner's eyes only.

`capability.key` (mode 0600) signs, `capability.pub` verifies. Made on first use. If it is lost, a new one is made and
every token of the old one is refused, which is the safe side. POSIX: on Windows the mode is not looked at; the folder
is the user's own there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.host.durable import make_folder, write_synced
from daybreak.ledger.files import locked
from daybreak.policy.refusal import RootKeyExposed, RootKeyWrong

if TYPE_CHECKING:
    from biscuit_auth import PrivateKey, PublicKey

SECRET = "capability.key"
PUBLIC = "capability.pub"
_LOCK = ".capability.lock"


def load_or_make(folder: Path) -> PrivateKey:
    """The signing key. Raises RootKeyExposed, RootKeyWrong."""
    from biscuit_auth import KeyPair

    make_folder(folder)
    path = folder / SECRET
    with locked(folder / _LOCK):  # two processes at once make one key
        if not path.is_symlink() and not path.exists():
            pair = KeyPair()
            write_synced(folder / PUBLIC, f"{pair.public_key}\n".encode(), mode=0o644)
            write_synced(path, f"{pair.private_key}\n".encode(), mode=0o600)
        return _load(path)


def load_public(folder: Path) -> PublicKey:
    """The verifying key; the signing key is made first where there is none. Raises RootKeyExposed, RootKeyWrong.

    It is derived from the signing key, so whoever may write `capability.pub` alone gains nothing.
    """
    from biscuit_auth import KeyPair

    return KeyPair.from_private_key(load_or_make(folder)).public_key


def _load(path: Path) -> PrivateKey:
    from biscuit_auth import PrivateKey

    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        with open(handle, "rb") as file:
            _check_mode(path, os.fstat(file.fileno()))
            text = file.read(4096).decode("ascii")
        return PrivateKey(text.strip())
    except (OSError, ValueError):  # its text must not come near a message
        raise RootKeyWrong(
            f"the key that signs tokens, {path}, cannot be read",
            hint="run as its owner. If it is damaged, move it away: a new one is made and old tokens end.",
        ) from None


def _check_mode(path: Path, status: os.stat_result) -> None:
    if os.name != "posix":
        return
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise RootKeyExposed(
            f"others may use the key that signs tokens, {path} (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"delete {path}: a new one is made and every token of the old one ends.",
        )
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        raise RootKeyExposed(
            f"the key that signs tokens, {path}, belongs to another user (uid {status.st_uid})",
            hint="run as the key's owner.",
        )
