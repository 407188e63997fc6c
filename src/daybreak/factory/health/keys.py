"""Keys: are they there, and for their owner's eyes only?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from daybreak.config import Places
from daybreak.errors import DaybreakError
from daybreak.factory import holdout
from daybreak.factory.health.finding import Finding, trouble
from daybreak.ledger import database, keyfile
from daybreak.policy import rootkey

_WHAT = {
    keyfile.SECRET: "signs the ledger's heads",
    rootkey.SECRET: "signs capability tokens",
    holdout.KEY_FILE: "chooses the examples that are held out",
}


def look(where: Places) -> Iterator[Finding]:
    if not os.path.lexists(where.keys):
        yield from _without(where)
        return
    if stat.S_IMODE(where.keys.stat().st_mode) & 0o077:
        yield _open_to_others(where.keys, "the folder of keys", 0o700)
    there = 0
    for name, what in _WHAT.items():
        path = where.keys / name
        if os.path.lexists(path):
            there += 1
            yield from _file(path, what)
    for path in sorted(where.keys.glob(f"{keyfile.KEPT}*.key")):
        there += 1
        yield from _file(path, "signed the ledger's heads before")
    yield from _without(where)
    if there:
        yield Finding("credentials", "good", f"{there} keys in {where.keys}")


def _without(where: Places) -> Iterator[Finding]:
    database_file = where.ledger / database.FILE
    if not keyfile.exists(where.keys) and database_file.exists():
        text = f"the ledger is there, but the key that signs it is not: {where.keys / keyfile.SECRET}"
        hint = "put it back from your copy; without it nothing can be appended"
        yield Finding("credentials", "bad", text, hint)


def _file(path: Path, what: str) -> Iterator[Finding]:
    status = path.lstat()
    mine = status.st_uid == os.geteuid()
    if not stat.S_ISREG(status.st_mode):
        yield Finding("credentials", "bad", f"{path}, which {what}, is no ordinary file", "put the file itself there")
        return
    if not mine and os.geteuid() != 0:
        text = f"{path}, which {what}, belongs to another user ({status.st_uid})"
        yield Finding("credentials", "bad", text, "run as the key's owner")
        return
    if stat.S_IMODE(status.st_mode) & 0o077:
        yield _open_to_others(path, f"the key that {what}", 0o600)
    if path.name == holdout.KEY_FILE and status.st_size != holdout.KEY_BYTES:
        text = f"{path} holds {status.st_size} bytes instead of {holdout.KEY_BYTES}"
        yield Finding("credentials", "bad", text, "restore it from a backup, or move it away: a new one is made")
    if path.name == keyfile.SECRET and not stat.S_IMODE(status.st_mode) & 0o077:
        try:
            keyfile.load(path.parent)
        except DaybreakError as problem:
            yield trouble("credentials", problem)


def _open_to_others(path: Path, what: str, mode: int) -> Finding:
    before = stat.S_IMODE(path.stat().st_mode)
    hint = f"chmod {mode:o} {path}; if somebody may have read it, begin with a new key"
    text = f"others may use {what}, {path} (mode {before:04o})"
    return Finding("credentials", "bad", text, hint, partial(_close, path, mode))


def _close(path: Path, mode: int) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        before = stat.S_IMODE(os.fstat(handle).st_mode)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)
    return f"{path} had mode {before:04o} and has {mode:04o} now; what was read before, stays read"
