"""The keys that sign the ledger's heads: files outside the database, for their owner's eyes only.

    ledger.key          the signing key (mode 0600)
    ledger.vkey         its verification key, for anybody to check with
    ledger.keys         after the first rotation: all public keys, who handed over to whom and when (JSON, `keyring`)
    old-<id>.key        an earlier signing key, where its owner asked to keep it
    .ledger.key.next    while a key is being rotated: the one that comes
    .ledger.key.old     while a key is being rotated: the one that goes, about to be overwritten

Keys are one line in the C2SP formats of `note`. What a crash leaves in the middle of a rotation is settled by whoever
opens the ledger next (`settle`): the ledger itself says which key is the present one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from daybreak.errors import KeyExposed, KeyMissing, KeyWrong, LedgerError
from daybreak.host.durable import sync_folder, write_synced
from daybreak.ledger.keyring import HISTORY_BYTES, KeyHistory, Keyring
from daybreak.ledger.note import NoteError, Signer, Verifier

SECRET = "ledger.key"
PUBLIC = "ledger.vkey"
HISTORY = "ledger.keys"
NEXT = ".ledger.key.next"
OLD = ".ledger.key.old"
LOCK = ".ledger.key.lock"
KEPT = "old-"
"""How the file of an earlier secret begins."""


class KeysUnmovable(LedgerError):
    """The folder's file system does not let a file go on under another name until it has been overwritten."""

    code = "L128"


def exists(folder: Path) -> bool:
    return (folder / SECRET).exists()


def save(folder: Path, signer: Signer) -> None:
    """Both files, on disk; the secret last, because it is what counts as existing."""
    write_synced(folder / PUBLIC, f"{signer.verifier.text}\n".encode(), mode=0o644)
    write_synced(folder / SECRET, f"{signer.text}\n".encode(), mode=0o600)


def load(folder: Path) -> Signer:
    """The signing key. Raises KeyMissing, KeyExposed, KeyWrong."""
    return _load(folder / SECRET)


def _load(path: Path) -> Signer:
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


def find(folder: Path, wanted: Verifier) -> Signer | None:
    """The signing key that belongs to `wanted`, in its place or on its way there; None where another is there.

    Raises KeyMissing, KeyExposed, KeyWrong for what is in its place.
    """
    for name in (SECRET, NEXT, SECRET):  # again: meanwhile somebody may have put it there
        with contextlib.suppress(*(() if name == SECRET else (KeyMissing, KeyWrong))):
            signer = _load(folder / name)
            if signer.verifier.text == wanted.text:
                return signer
    return None


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


def load_history(folder: Path) -> KeyHistory | None:
    """What is known of the keys outside the database; None where the key was never rotated. Raises KeyWrong."""
    path = folder / HISTORY
    try:
        with path.open("rb") as file:
            return KeyHistory.parse(file.read(HISTORY_BYTES + 1))
    except FileNotFoundError:
        return None
    except (NoteError, OSError) as error:
        raise KeyWrong(
            f"the list of keys {path} cannot be used: {error}",
            hint="put the file back from your copy; or move it away: the ledger holds the same.",
        ) from error


def with_history(folder: Path, key: Verifier) -> Keyring:
    """That key, and all others that the folder's list knows. Raises KeyWrong where it is not among those."""
    keyring = Keyring.of(key)
    history = load_history(folder)
    if history is not None and not keyring.learn(history):
        raise KeyWrong(
            f"the key {key.key_id} is not one of those in {folder / HISTORY}",
            hint="key and list are of two ledgers, or one is older: put those back that belong together; where the key "
            "is right, move the list away: the ledger holds the same.",
        )
    return keyring


# -- rotation


@contextlib.contextmanager
def rotating(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Nobody else changes the folder's keys meanwhile; False where somebody does and `wait` is not wanted."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def prepare(folder: Path, new: Signer, old: Signer, *, keep_old: bool) -> None:
    """The key that comes, on disk before the ledger speaks of it; and a copy of the one that goes, if wanted.

    What was begun before must be installed: another key on its way would be overwritten. Raises OSError; KeysUnmovable
    where `install` could not do its work: nothing was changed.
    """
    coming, trial = folder / NEXT, folder / OLD
    write_synced(coming, f"{new.text}\n".encode(), mode=0o600)
    try:
        os.link(coming, trial)
    except OSError as error:
        _shred(coming)
        raise KeysUnmovable(
            f"the keys in {folder} cannot be rotated: its file system makes no hard links ({error.strerror})",
            hint="nothing was changed. Move the folder of keys to a file system that has them, then rotate.",
        ) from error
    trial.unlink()
    if keep_old:
        write_synced(folder / _kept(old.verifier), f"{old.text}\n".encode(), mode=0o600)


def install(folder: Path, history: KeyHistory) -> None:
    """Make the files say what the ledger says: the list of all keys, the present one in its place, the earlier one
    gone.

    Every step can be made again. The caller holds `rotating`, and has read the history since. Raises OSError.
    """
    present = history.spans()[-1].verifier
    path, coming, going = folder / SECRET, folder / NEXT, folder / OLD
    here = _holds(path, present)
    if not here and not _holds(coming, present):
        return  # whatever else lies there may be all that is left of it
    if history.rotations:
        _put(folder / HISTORY, history.text)  # first: it has to know every key that comes to lie beside it
    _put(folder / PUBLIC, f"{present.text}\n")
    if not here:
        if path.exists() and not going.exists():
            os.link(path, going)
        os.replace(coming, path)
        sync_folder(folder)
    for left in (coming, going, folder / _kept(present)):  # the last: copied for a rotation that did not come to pass
        _shred(left)


def is_settled(folder: Path, history: KeyHistory) -> bool:
    """Is there nothing for `install` to do?"""
    if any(os.path.lexists(folder / name) for name in (NEXT, OLD, _kept(history.spans()[-1].verifier))):
        return False
    return not history.rotations or _text(folder / HISTORY) == history.text


def settle(folder: Path, keyring: Keyring, catch_up: Callable[[], object]) -> None:
    """Finish a rotation that a crash interrupted, or take back one that the ledger never heard of; nothing where
    another process is just rotating. Raises OSError, and what `catch_up` does, which makes the keyring's source hold
    all that the ledger does.

    The ledger is asked again once nobody else can rotate: what was read before may be older than the key that lies
    there, and that key may be the only copy.
    """
    if is_settled(folder, keyring.history):
        return
    with rotating(folder, wait=False) as mine:
        if not mine:
            return
        catch_up()
        if keyring.learn_more():
            install(folder, keyring.history)


def _kept(key: Verifier) -> str:
    return f"{KEPT}{key.key_id}.key"


def _holds(path: Path, key: Verifier) -> bool:
    """Is it that signing key's file?"""
    try:
        return _load(path).verifier.text == key.text
    except (KeyMissing, KeyExposed, KeyWrong):
        return False


def _put(path: Path, text: str) -> None:
    if _text(path) != text:
        write_synced(path, text.encode(), mode=0o644)


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _shred(path: Path) -> None:
    """Overwritten, then removed. Disks that write elsewhere (flash, copy on write) may keep the old bytes all the
    same."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if os.fstat(handle).st_nlink == 1:  # otherwise it is still in use under its other name
            os.write(handle, bytes(os.fstat(handle).st_size))
            os.fsync(handle)
    finally:
        os.close(handle)
    path.unlink()
    sync_folder(path.parent)


def _check_mode(path: Path, status: os.stat_result) -> None:
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyExposed(
            f"others may use the signing key {path} (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 600 {path}; if somebody may have read it, then also `daybreak ledger keys rotate`.",
        )
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        raise KeyExposed(
            f"the signing key {path} belongs to another user (uid {status.st_uid})",
            hint="run as the key's owner.",
        )
