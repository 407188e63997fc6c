"""Verifies a ledger that stands in Postgres.

Its tables are read as they are, of one moment, into a file that is thrown away, and that file is verified as every
ledger is (`verification`). So nothing that Postgres says of itself is believed, and there is one verification. Beside
that: the tables' own rules there, and the mirror of this home, which must be whole and the beginning of the same log.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import apsw

from daybreak.errors import LedgerError, LedgerMissing
from daybreak.host.durable import make_folder
from daybreak.host.snapshots.disk import Workplace
from daybreak.ledger import database, rows, verification
from daybreak.ledger import witness as outside
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.copying.folder import Folder
from daybreak.ledger.copying.problems import disk
from daybreak.ledger.copying.remote import fetch, rules
from daybreak.ledger.record import Record
from daybreak.ledger.verification import Verification
from daybreak.ledger.views import View


def verify(
    url: str,
    mirror: Path,
    *,
    keys: Path | None,
    witness: Path | None,
    scratch: Path,
    views: Sequence[View] = (),
    blobs: Callable[[Record], Iterable[str]] | None = None,
    progress: Callable[[int, int], None] | None = None,
    archives: Sequence[Path] = (),
) -> Verification:
    """As `verification.verify`, of what Postgres holds. `mirror`: the ledger's folder in this home, with its views; it
    need not be there. `scratch`: a folder for the time being, with room for the whole ledger, that nobody else may see.

    Raises PostgresUnusable; StoreBusy where somebody else verifies it here; LedgerStopped where the disk refuses.
    """
    started = time.perf_counter()
    with disk(f"there is no way to verify in {scratch.parent}"), Workplace(_below(scratch)) as work:
        made = work / "ledger"
        known = _size(mirror)  # before Postgres is read, since it grows meanwhile
        seen = None if witness is None else _as_now(witness, work / "witness")
        problems = _read(url, made, progress)
        found = verification.verify(made, keys=keys, witness=seen, blobs=blobs, progress=progress)
        for where, what in problems:
            found.add(where, what)
        _compare(made, mirror, known, found)
    if (mirror / database.FILE).is_file():
        of_mirror = verification.verify(mirror, keys=keys, witness=None, views=views, archives=archives)
        for where, what in of_mirror.problems:
            found.add(f"mirror, {where}", what)
        found.more += of_mirror.more
    found.seconds = time.perf_counter() - started
    return found


def _below(scratch: Path) -> Path:
    make_folder(scratch.parent)
    return scratch


def _read(url: str, folder: Path, progress: Callable[[int, int], None] | None) -> list[tuple[str, str]]:
    """Fill the folder; what could not be taken. Nothing is made where there are no tables."""
    found: list[tuple[str, str]] = []
    made = Folder(folder, durable=False)
    try:
        found += [("schema", problem) for problem in rules(url)]
        fetch(url, made, lambda where, what: found.append((where, what)), progress or (lambda done, total: None))
    except LedgerMissing as error:
        made.close()
        shutil.rmtree(folder)
        found.append(("database", error.message))
    finally:
        made.close()
    return found


def _as_now(witness: Path, copy: Path) -> Path:
    """The head known outside before anything is read: a running night raises it."""
    copy.mkdir()
    for path in witness.iterdir() if witness.is_dir() else []:
        if path.name == outside.FILE:
            shutil.copy(path, copy / path.name)
        else:
            os.symlink(path, copy / path.name)
    return copy


def _size(folder: Path) -> int:
    """Events in the database of that folder; 0 where there is none that can be read, which its verification says."""
    if not (folder / database.FILE).is_file():
        return 0
    with suppress(apsw.Error), closing(database.connect_reader(folder / database.FILE)) as connection:
        return rows.Rows(connection, BlobStore(folder / database.BLOBS)).last_leaf() + 1
    return 0


def _root(folder: Path, size: int) -> bytes | None:
    """Over the first events; None where that cannot be told, which its verification says."""
    with (
        suppress(apsw.Error, LookupError, LedgerError),
        closing(database.connect_reader(folder / database.FILE)) as connection,
    ):
        read = rows.Rows(connection, BlobStore(folder / database.BLOBS))
        return read.tiles(read.last_leaf() + 1).root(size)
    return None


def _compare(made: Path, mirror: Path, size: int, found: Verification) -> None:
    """The mirror, which held `size` events before Postgres was read, with what was read there."""
    here, there = _root(mirror, size), None
    if size > found.events:
        found.add(
            "mirror", f"holds {size} events, Postgres {found.events}: it was cut short, or an old copy was put back"
        )
    elif here is not None and (there := _root(made, size)) is not None and here != there:
        found.add("mirror", f"its first {size} events are not those in Postgres")
