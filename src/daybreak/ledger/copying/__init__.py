"""Copies a whole ledger to another place: the same events, the same tree, the same signed head.

A place is a ledger's folder or a Postgres database. What is copied is verified, as `verification` does it, and the root
of what was read is compared with the signed head, before anything of the copy can be seen. The copy is the same log,
not a new one: key and witness stay, and only one of the two may be written to from then on. An append to the other one
is a fork, which the witness shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from daybreak.host.durable import make_folder, sync_folder
from daybreak.host.snapshots.disk import Workplace
from daybreak.ledger import database, keyfile, rotation, verification
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.copying.folder import Folder, Row, Source, refuse_taken, row_of
from daybreak.ledger.copying.problems import CopyArchived, CopyTaken, CopyUnsound, disk
from daybreak.ledger.keyring import Keyring
from daybreak.ledger.note import Checkpoint, NoteError
from daybreak.ledger.record import Record
from daybreak.ledger.tiles import Edge, TileRow

__all__ = ["Copied", "CopyArchived", "CopyTaken", "CopyUnsound", "copy", "is_url"]

Refers = Callable[[Record], Iterable[str]]
"""The digests of the blobs that a record names."""
Progress = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and of how much."""

COPYING, VERIFYING = "copying", "verifying"


@dataclass(frozen=True, slots=True)
class Copied:
    """The copy, durable."""

    source: str
    target: str
    size: int
    root: str
    """In hex."""
    head: str
    """The signed note."""
    blobs: int
    """Stored beside the events."""
    missing: int
    """Blobs that events name and that the source does not have."""


def copy(
    source: str | Path,
    target: str | Path,
    *,
    keys: Path,
    witness: Path | None,
    scratch: Path,
    refers: Refers | None = None,
    progress: Progress | None = None,
) -> Copied:
    """Make `target`, which is not there yet or empty, whole or not at all. Nothing of `source` is changed.

    Both are a ledger's folder or the URL of a Postgres database; the source may also be the mirror that a home keeps
    of one. `keys` and `witness` are the folders to check against. `refers` gives the blobs that a record names, to say
    how many are missing. Where both are URLs, the ledger passes through `scratch`, a folder for the time being that
    nobody else may see.

    Raises CopyTaken, CopyUnsound, CopyArchived, LedgerMissing, LedgerForeign, LedgerTampered, BlobMissing, BlobDamaged,
    KeyMissing, KeyWrong, what `postgres.connection.connect` raises, StoreBusy where another copy to there is
    being made, LedgerStopped where the disk refuses.
    """
    work = _Work(keys, witness, refers, progress or _silent)
    with disk(f"the ledger cannot be copied from {shown(source)} to {shown(target)}"):
        if is_url(target):
            return work.to_database(source, str(target), scratch)
        return work.to_folder(source, Path(target))


def is_url(place: str | Path) -> bool:
    """Is it a Postgres database rather than a folder?"""
    return isinstance(place, str) and "://" in place


class _Target(Protocol):
    def add(self, page: list[Row], tiles: list[TileRow]) -> None: ...

    def put_blob(self, digest: str, data: bytes) -> None: ...


@dataclass(frozen=True)
class _Work:
    keys: Path
    witness: Path | None
    refers: Refers | None
    progress: Progress

    def to_folder(self, source: str | Path, target: Path) -> Copied:
        refuse_taken(target)
        before = _stored_size(source)  # before anything is made: is there a ledger at all?
        make_folder(target.parent)
        with Workplace(target.with_name(f".{target.name}.copying")) as work:
            made = work / "ledger"
            if is_url(source):
                blobs = self._fetch(str(source), made)
                missing = self._verify(made, source, before)
                with closing(Source(made)) as fetched:
                    head = self._head(made, fetched)
            else:
                missing = self._verify(Path(source), source, before)
                head, blobs = self._rewrite(Path(source), made)
            _refuse_changed(source, head.size)
            if target.exists():
                target.rmdir()
            made.rename(target)
            sync_folder(target.parent)
        return Copied(shown(source), str(target), head.size, head.root.hex(), head.text, blobs, missing)

    def to_database(self, source: str | Path, target: str, scratch: Path) -> Copied:
        from daybreak.ledger.copying.remote import Database

        before = _stored_size(source)
        with ExitStack() as stack:
            made = stack.enter_context(closing(Database(target)))
            folder = Path(source)
            if is_url(source):
                make_folder(scratch.parent)
                folder = stack.enter_context(Workplace(scratch)) / "ledger"
                self._fetch(str(source), folder)
            missing = self._verify(folder, source, before)
            made.begin()
            head, blobs = self._send(folder, made)
            made.finish(head.size, head.text)
            _refuse_changed(source, head.size)
            made.commit()
        return Copied(shown(source), shown(target), head.size, head.root.hex(), head.text, blobs, missing)

    def _fetch(self, source: str, folder: Path) -> int:
        """From Postgres as it is; it is still to be verified. How many blobs came along."""
        from daybreak.ledger.copying.remote import fetch

        def refuse(where: str, what: str) -> None:
            raise unsound(source, f"{where}: {what}")

        with closing(Folder(folder)) as made:
            return fetch(source, made, refuse, self._telling(COPYING))

    def _rewrite(self, source: Path, folder: Path) -> tuple[Checkpoint, int]:
        with closing(Folder(folder)) as made:
            head, blobs = self._send(source, made)
            made.finish((head.size, head.text))
        return head, blobs

    def _send(self, folder: Path, made: _Target) -> tuple[Checkpoint, int]:
        """Everything but the head, read from a folder, and compared with its signed head."""
        edge, blobs, tell = Edge(), 0, self._telling(COPYING)
        with closing(Source(folder)) as source:
            head = self._head(folder, source)
            for records in source.pages():
                made.add([row_of(record) for record in records], edge.extend([record.hash for record in records]))
                tell(edge.size, head.size)
            if (edge.size, edge.root()) != (head.size, head.root):
                raise unsound(folder, f"its {edge.size} events do not add up to its signed head of {head.size}")
            for digest, data in source.blobs():
                made.put_blob(digest, data)
                blobs += 1
        return head, blobs

    def _head(self, folder: Path, source: Source) -> Checkpoint:
        stored = source.head()
        if stored is None:
            raise unsound(folder, "there is no signed head")
        known = keyfile.with_history(self.keys, keyfile.load_verifier(self.keys))
        try:
            return Keyring(known.history, rotation.source(folder / database.FILE)).open(stored[1])
        except NoteError as error:
            raise unsound(folder, f"its head is not signed as it should be: {error}") from error

    def _verify(self, folder: Path, source: str | Path, before: int) -> int:
        """Every event, hash, chain and tile. How many blobs that events name are missing. `before`: events that the
        source said it had before it was read."""
        missing = None if self.refers is None else _Missing(self.refers, BlobStore(folder / database.BLOBS))
        found = verification.verify(
            folder, keys=self.keys, witness=self.witness, blobs=missing, progress=self._telling(VERIFYING)
        )
        if not found.ok:
            _refuse_changed(source, before)  # which may be all
            first = "; ".join(f"{problem.place}: {problem.what}" for problem in found.problems[:3])
            more = len(found.problems) + found.more - 3
            raise unsound(source, f"it is not whole: {first}" + (f"; and {more} more" if more > 0 else ""))
        return 0 if missing is None else len(missing.found)

    def _telling(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(what, done, total)


class _Missing:
    """Asked as what it asks: notes which blobs are not there. Those that are there were hashed on the way."""

    def __init__(self, refers: Refers, store: BlobStore) -> None:
        self.of = getattr(refers, "of", None)
        self.found: set[str] = set()
        self._refers, self._store = refers, store

    def __call__(self, record: Record) -> Iterable[str]:
        self.found.update(digest for digest in self._refers(record) if not self._store.has(digest))
        return ()


def shown(place: str | Path) -> str:
    """How messages name it: a URL without its password."""
    if not is_url(place):
        return str(place)
    from daybreak.ledger.copying.remote import shown_url

    return shown_url(str(place))


def unsound(place: str | Path, what: str) -> CopyUnsound:
    """The error that says so."""
    return CopyUnsound(
        f"{shown(place)} was not copied: {what}",
        hint="nothing was made or changed. `daybreak ledger verify` looks at the ledger of this home; where it is not "
        "whole, restore a copy.",
    )


def _refuse_changed(source: str | Path, size: int) -> None:
    """Raises CopyUnsound where somebody appended meanwhile: the copy would be an old one."""
    if _stored_size(source) > size:
        raise CopyUnsound(
            f"{shown(source)} was not copied: somebody appended to it meanwhile",
            hint="stop the night and every other command that works there, then copy again. Nothing was made.",
        )


def _stored_size(source: str | Path) -> int:
    """Events, as the head there says now."""
    if is_url(source):
        from daybreak.ledger.copying.remote import stored_head

        head = stored_head(str(source))
    else:
        with closing(Source(Path(source))) as opened:
            head = opened.head()
    return 0 if head is None else head[0]


def _silent(what: str, done: int, total: int) -> None:
    pass
