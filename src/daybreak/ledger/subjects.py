"""The keys of subjects, one small file each beside the signing key, and which of them were destroyed.

    <keys>/subjects/pepper        random; makes the name of a key from its subject, so that no log names the subject
    <keys>/subjects/<name>.key    {"key": BASE64, "subject": TEXT}, mode 0600
    <witness>/forgotten           one JSON line for each destroyed key: outside of keys and database, so that neither
                                  an old copy of the one nor of the other brings a subject back

A key file is overwritten before it is removed. What that does not reach: copies of the file that somebody made before,
blocks that a solid-state disk or a file system that copies on write has put aside, and the memory of a process that
has just used the key. An encrypted disk and no backup of this folder close the first two.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from daybreak.errors import DraftRefused, KeyExposed, LedgerError
from daybreak.host.durable import make_folder, sync, sync_folder, write_synced
from daybreak.ids import Entropy
from daybreak.ledger.files import locked
from daybreak.ledger.sealing import KEY_BYTES, Box

FOLDER = "subjects"
"""Inside the folder of the keys."""
FORGOTTEN = "forgotten"
"""Inside the folder of the witness."""
LABEL_MAX = 200
_ENDING = ".key"
_PEPPER, _LOCK = "pepper", "lock"
_KEY = re.compile(r"[0-9a-f]{32}")


class SubjectGone(DraftRefused):
    """The subject was forgotten: nothing is sealed for it any more, and nothing that was can be read."""

    code = "L171"


class SubjectUnknown(LedgerError):
    """Nothing was ever sealed for a subject of that name here."""

    code = "L172"


class SubjectKeysBroken(LedgerError):
    """The folder with the keys of subjects, or the list of those that were destroyed, cannot be used."""

    code = "L173"


class Tombstone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key is, or is about to be, destroyed. Also what the event about it is made from, should that be missing."""

    key: str
    at: str
    events: int
    streams: int
    why: str = ""


class _File(msgspec.Struct, frozen=True):
    key: str
    subject: str


_Stamp = tuple[int, int, int]
"""Of a file: inode, nanoseconds of its last change, size."""


class SubjectKeys:
    """The folder. Several processes may use it; each looks at the file again before it uses a key that it knows."""

    def __init__(self, keys: Path, witness: Path | None, entropy: Entropy = os.urandom) -> None:
        """`keys`, `witness`: the folders around it all; nothing is made before the first subject. Where `witness` is
        None, nobody knows which keys were destroyed."""
        self.folder = keys / FOLDER
        self._list = None if witness is None else witness / FORGOTTEN
        self._entropy = entropy
        self._boxes: dict[str, tuple[_Stamp, Box, str]] = {}
        self._buried: tuple[_Stamp, dict[str, Tombstone]] | None = None

    # -- alive

    def box(self, subject: str) -> Box:
        """The subject's key; made, and on disk, where it is new.

        Raises SubjectGone, DraftRefused (no name for a subject), KeyExposed, SubjectKeysBroken.
        """
        label = checked(subject)
        key = self._name(label, make=True)
        if key in self.buried():
            raise gone(subject, key)
        found = self.find(key)
        if found is not None:
            return found
        with self._held():
            if key in self.buried():
                raise gone(subject, key)
            if not self._path(key).exists():
                raw = base64.b64encode(self._entropy(KEY_BYTES)).decode()
                write_synced(self._path(key), msgspec.json.encode(_File(raw, label)))
        made = self.find(key)
        if made is None:
            raise gone(subject, key)
        return made

    def find(self, key: str) -> Box | None:
        """The key of that name; None where it is not there. Raises KeyExposed, SubjectKeysBroken."""
        known = self._load(key)
        return None if known is None else known[1]

    def label(self, key: str) -> str:
        """Whose it is; empty where it is not there."""
        known = self._load(key)
        return "" if known is None else known[2]

    def name(self, subject: str) -> str:
        """What the subject's key is, or would be, called. Empty where there never was a key for anybody."""
        return self._name(checked(subject), make=False)

    def all(self) -> list[str]:
        """The names of all keys that are there."""
        with contextlib.suppress(FileNotFoundError):
            names = [name.removesuffix(_ENDING) for name in os.listdir(self.folder) if name.endswith(_ENDING)]
            return sorted(name for name in names if _KEY.fullmatch(name))
        return []

    def concern(self) -> bool:
        """Has there ever been a subject here? Two questions to the file system."""
        return self.folder.exists() or (self._list is not None and self._list.exists())

    # -- dead

    def buried(self) -> dict[str, Tombstone]:
        """Those that were destroyed or are about to be, by name. Raises SubjectKeysBroken."""
        if self._list is None:
            return {}
        try:
            now = _stamp(os.stat(self._list))
            if self._buried is None or self._buried[0] != now:
                stones = [msgspec.json.decode(line, type=Tombstone) for line in self._list.read_bytes().splitlines()]
                self._buried = now, {stone.key: stone for stone in stones}
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SubjectKeysBroken(
                f"the list of forgotten subjects {self._list} cannot be read: {error}",
                hint="put the file back; without it an old copy could bring a forgotten subject back.",
            ) from error
        return self._buried[1]

    def bury(self, stones: Sequence[Tombstone]) -> None:
        """Write down, on disk, that these keys are to be destroyed; from now on none of them is made again."""
        assert self._list is not None, "whoever forgets has a witness"
        with self._held():
            known = self.buried()
            more = {stone.key: stone for stone in stones if stone.key not in known}
            if more:
                make_folder(self._list.parent)
                lines = [msgspec.json.encode(stone) for stone in {**known, **more}.values()]
                write_synced(self._list, b"\n".join(lines) + b"\n")

    def shred(self, key: str) -> bool:
        """Overwrite the key's file and remove it; was there one? What a crash left of its making goes too."""
        with self._held():
            found = False
            for path in (self._path(key), *self.folder.glob(f".{key}{_ENDING}.daybreak-*")):
                found = _shred(path) or found
            sync_folder(self.folder)
        self._boxes.pop(key, None)
        return found

    # -- inside

    def _load(self, key: str) -> tuple[_Stamp, Box, str] | None:
        path = self._path(key)
        try:
            status = os.stat(path)
        except FileNotFoundError:
            self._boxes.pop(key, None)
            return None
        if key in self.buried():  # it is about to be destroyed, or came back from a copy
            self._boxes.pop(key, None)
            return None
        known = self._boxes.get(key)
        if known is not None and known[0] == _stamp(status):
            return known
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyExposed(
                f"others may use the subject key {path} (mode {stat.S_IMODE(status.st_mode):04o})",
                hint=f"chmod 600 {path}",
            )
        try:
            told = msgspec.json.decode(path.read_bytes(), type=_File)
            raw = base64.b64decode(told.key, validate=True)
            if len(raw) != KEY_BYTES:
                raise ValueError(f"it has {len(raw)} bytes")
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            raise SubjectKeysBroken(
                f"the subject key {path} cannot be used: {error}", hint="put the file back from your copy of it."
            ) from error
        made = self._boxes[key] = _stamp(status), Box(key, raw, self._entropy), told.subject
        return made

    def _name(self, label: str, *, make: bool) -> str:
        pepper = self._pepper(make=make)
        return hmac.digest(pepper, label.encode(), sha256).hex()[:32] if pepper else ""

    def _pepper(self, *, make: bool) -> bytes:
        path = self.folder / _PEPPER
        try:
            return self._read_pepper(path)
        except FileNotFoundError:
            if self.all() or self.buried():
                raise SubjectKeysBroken(
                    f"{path} is missing: nobody can tell which key is whose",
                    hint="put the file back from your copy of the keys.",
                ) from None
            if not make:
                return b""
        with self._held():
            if not path.exists():
                write_synced(path, self._entropy(KEY_BYTES))
        return self._read_pepper(path)

    def _read_pepper(self, path: Path) -> bytes:
        found = path.read_bytes()
        if len(found) != KEY_BYTES:
            raise SubjectKeysBroken(
                f"{path} has {len(found)} bytes, not {KEY_BYTES}", hint="put the file back from your copy of the keys."
            )
        return found

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        make_folder(self.folder)
        with locked(self.folder / _LOCK):
            yield

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_ENDING}"


def carry_over(keys: Path, witness: Path, new_keys: Path, new_witness: Path) -> None:
    """Copy the keys of subjects that are alive, and the list of those that are not, for a copy of the log elsewhere.

    Who forgets a subject here does not forget it there."""
    here, there = SubjectKeys(keys, witness), SubjectKeys(new_keys, new_witness)
    if not here.concern():
        return
    if stones := list(here.buried().values()):
        there.bury(stones)
    names = [f"{key}{_ENDING}" for key in here.all() if key not in here.buried()]
    make_folder(there.folder)
    for name in (_PEPPER, *names):
        with contextlib.suppress(FileNotFoundError):
            write_synced(there.folder / name, (here.folder / name).read_bytes())


def checked(subject: object) -> str:
    """The name of a subject in one form (Unicode NFC). Raises DraftRefused."""
    if not isinstance(subject, str) or not 0 < len(subject) <= LABEL_MAX or not subject.isprintable():
        raise DraftRefused(
            f"a subject is named by 1 to {LABEL_MAX} printable characters, not {ascii(subject)[:80]}",
            hint="name whom the data is about, such as customer-4711.",
        )
    return unicodedata.normalize("NFC", subject)


def gone(subject: str, key: str) -> SubjectGone:
    """The error that says so."""
    return SubjectGone(
        f"the subject {subject or key!r} was forgotten: nothing more is kept for it, and nothing of it can be read",
        hint="if it is to begin anew, use another name for it.",
    )


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _shred(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return False
    try:
        for noise in (os.urandom, bytes):
            os.pwrite(descriptor, noise(os.fstat(descriptor).st_size), 0)
            sync(descriptor)
    finally:
        os.close(descriptor)
    os.unlink(path)
    return True
