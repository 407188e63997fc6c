"""Puts a new ledger, key and witness in the place of the present ones, which are moved aside. Part of `restore`.

What is to be done is written down first, beside the ledger; each move can be made again. A crash leaves the old state,
or one that no ledger opens from (its key does not fit it, or it is not there while its witness is) until `finish`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec

from daybreak.config import Places
from daybreak.errors import LedgerError
from daybreak.host import locks as host_locks
from daybreak.host.durable import make_folder, sync_folder, write_synced
from daybreak.ledger import database, keyfile, rows, witness
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.files import locked

BUSY_MS = 2000
"""How long to wait for others who have the present ledger open."""


class RestoreRefused(LedgerError):
    """A ledger that is in use is not replaced."""

    code = "L161"


class RestoreUnfinished(LedgerError):
    """A restore in place was written down and could not be completed yet."""

    code = "L164"


class Intent(msgspec.Struct, frozen=True):
    """Written down before anything is moved."""

    label: str
    """Of the new log: names the folders `new-…` and `before-…` beside key and witness."""
    staged: str
    """Where the new ledger lies."""
    safety: str
    """Where the present one goes."""


def beside(ledger: Path, what: str) -> Path:
    """A hidden place beside the ledger's folder."""
    return ledger.with_name(f".{ledger.name}.{what}")


def staged(places: Places, label: str) -> Places:
    """Where the new ledger is made: each part in the keeping of the folder that it is for."""
    return Places(
        ledger=beside(places.ledger, f"new-{label}"),
        keys=places.keys / f"new-{label}",
        witness=places.witness / f"new-{label}",
        workspaces=places.workspaces,
        locks=places.locks,
        cache=places.cache,
        logs=places.logs,
        settings=places.settings,
        why="a restore is being prepared",
    )


def drop_staged(places: Places) -> None:
    """What restores that came to nothing have left; the caller has made sure that none is written down."""
    for folder in (*places.keys.glob("new-*"), *places.witness.glob("new-*")):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in places.ledger.parent.glob(beside(places.ledger, "new-*").name):
        shutil.rmtree(folder, ignore_errors=True)


def refuse_running(places: Places) -> None:
    """No supervisor on this machine has a run in its hands. Raises RestoreRefused."""
    for path in sorted(places.locks.glob("*.lock")) if places.locks.is_dir() else []:
        if (owner := host_locks.owner(path)) is not None:
            raise RestoreRefused(
                f"run {path.name.removesuffix('.lock')} is in the hands of {owner}",
                hint="stop it first; or restore into a new place with --to",
            )


def of_mirror(places: Places) -> RestoreRefused:
    """The error that says so."""
    return RestoreRefused(
        f"the ledger of this home stands in Postgres; {places.ledger} is only a mirror of it",
        hint="restore with --to DIR, and name no Postgres for that home; nothing was changed",
    )


def refuse_mirror(places: Places) -> None:
    """Raises RestoreRefused where the present ledger is the mirror of one in Postgres. What cannot be read is none."""
    path = places.ledger / database.FILE
    if not path.is_file():
        return
    with contextlib.suppress(apsw.Error), contextlib.closing(database.connect_reader(path)) as connection:
        if connection.pragma("application_id") == database.MIRROR_ID:
            raise of_mirror(places)


@contextlib.contextmanager
def alone(places: Places, size: int | None) -> Iterator[None]:
    """Nobody else has the present ledger open while this lasts. A file that is no database cannot be asked.

    Raises RestoreRefused, also where the ledger holds another number of events than `size` (None: whatever).
    """
    path = places.ledger / database.FILE
    if not path.exists() or path.stat().st_size == 0:
        yield
        return
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(BUSY_MS)
        try:
            connection.pragma("locking_mode", "exclusive")
            connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError as error:
            raise RestoreRefused(
                f"another process has the ledger {path} open",
                hint="end it first (`fuser` names it); or restore into a new place with --to",
            ) from error
        except apsw.Error:
            yield  # damaged: nobody can append to it either
            return
        if size is not None:
            _check_size(connection, path, size)
        yield
    finally:
        connection.close()


def _check_size(connection: apsw.Connection, path: Path, size: int) -> None:
    stored = rows.Rows(connection, BlobStore(path.parent / database.BLOBS)).head()
    if stored is None or stored[0] != size:
        raise RestoreRefused(
            f"the ledger {path} grew while the restore was being prepared",
            hint="end whoever appends to it, then try again; nothing was changed",
        )


def write_down(places: Places, intent: Intent) -> None:
    """From here on the restore is completed, by us or by `finish`."""
    write_synced(beside(places.ledger, "restore"), msgspec.json.encode(intent))


def written_down(places: Places) -> Intent | None:
    """What an interrupted restore has left to be done. Raises RestoreUnfinished where it cannot be read."""
    path = beside(places.ledger, "restore")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Intent)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RestoreUnfinished(
            f"{path} says that a restore was interrupted, but cannot be read: {error}",
            hint=f"the old ledger is at {places.ledger} or beside it as `*.before-*`: put it back, remove that file",
        ) from error


@contextlib.contextmanager
def completing(places: Places) -> Iterator[None]:
    """The system's refusals as RestoreUnfinished: nothing is lost, and nothing opens before it is completed."""
    try:
        yield
    except OSError as error:
        raise RestoreUnfinished(
            f"the restore into {places.ledger} could not be completed: {error}",
            hint="nothing is lost: mend the cause (space, rights), then `daybreak snapshot list` completes it",
        ) from error


TOKEN_KEYS = ("capability.key", "capability.pub")
"""Sign and verify capability tokens (`daybreak.policy.rootkey`). They end with the old log: what was revoked after the
copy is not known to the new one."""


def exchange_guards(places: Places, intent: Intent) -> None:
    """Key and witness, in this order, while the ledger stays: never are all three absent, so that nobody takes the
    place for a fresh one. From here on the present ledger does not open, because the key is not its own."""
    with locked(places.witness / witness.LOCK):
        for folder, names in ((places.keys, (keyfile.PUBLIC, keyfile.SECRET)), (places.witness, (witness.FILE,))):
            for name in names:
                new, before = folder / f"new-{intent.label}" / name, folder / f"before-{intent.label}" / name
                _exchange(folder / name, new, before)
        for name in (*TOKEN_KEYS, keyfile.HISTORY, keyfile.NEXT):
            if (places.keys / name).exists():
                make_folder(places.keys / f"before-{intent.label}")
                _rename(places.keys / name, places.keys / f"before-{intent.label}" / name)


def exchange_ledger(places: Places, intent: Intent) -> None:
    """The last move. No connection to the ledger may be open here: SQLite goes by the name when it closes."""
    _move_ledger(places.ledger, Path(intent.staged), Path(intent.safety))
    drop_staged(places)
    _remove(beside(places.ledger, "restore"))


def _exchange(path: Path, new: Path, before: Path) -> None:
    """`new` takes the place of `path`, of which a copy is kept."""
    if not new.exists():
        return
    if path.exists() and not before.exists():
        make_folder(before.parent)
        write_synced(before, path.read_bytes(), mode=path.stat().st_mode & 0o777)
    os.replace(new, path)
    sync_folder(path.parent)


def _move_ledger(ledger: Path, new: Path, safety: Path) -> None:
    if not new.exists():
        return
    if ledger.exists():
        if safety.exists():  # somebody made a new ledger in between
            safety = safety.with_name(f"{safety.name}-{os.urandom(4).hex()}")
        _rename(ledger, safety)
    _rename(new, ledger)


def _rename(old: Path, new: Path) -> None:
    old.rename(new)
    sync_folder(new.parent)
    if old.parent != new.parent:
        sync_folder(old.parent)


def _remove(path: Path) -> None:
    path.unlink()
    sync_folder(path.parent)
