"""The folder where snapshots lie: made, listed, read back, unpacked, pruned.

    STORE/20261121T043000Z-0k3m9x2a/    manifest.json  SHA256SUMS  state.tar.zst
    STORE/.20261121T043000Z-….making    being made, or what a crash left: removed by the next `create` or `prune`
    STORE/.20261121T043000Z-….gone      being removed, likewise
    STORE/.lock                         whoever creates or prunes holds it

A snapshot appears by one rename, after everything in it is on disk. Each one stands for itself: none needs another.
Folders and files of other names are nobody's business here, and are never touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from daybreak import ids
from daybreak.host.snapshots import archive, manifest, source
from daybreak.host.snapshots.disk import Lock, Workplace, sync_file, sync_folder, sync_tree
from daybreak.host.snapshots.manifest import ARCHIVE, Entry, Manifest
from daybreak.host.snapshots.problems import (
    BadArgument,
    SnapshotDamaged,
    SnapshotMissing,
    StoreFull,
    TargetOccupied,
    checked_path,
    damaged,
    disk,
)
from daybreak.host.snapshots.rotation import Rule, keep
from daybreak.host.snapshots.source import Found, Skip

NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-hjkmnp-tv-z]{8}")
"""Second, 4 characters of microsecond, 4 of chance: the order of names is the order of time."""
_LEFTOVER = re.compile(rf"\.(?:{NAME.pattern})\.(?:making|gone)")
_SOURCE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_COPIES = "databases"
SPARE_BYTES = 16 * 1024 * 1024
"""Disk space beyond what is unpacked that must be free."""

Progress = Callable[[str, int, int], None]
"""Called now and then with what is being done, and how many of how many bytes of it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One that can be read as far as its manifest; `Store.verify` reads the rest."""

    name: str
    folder: Path
    manifest: Manifest
    manifest_sha256: str

    @property
    def created(self) -> datetime:
        return self.manifest.created


@dataclass(frozen=True, slots=True)
class Damaged:
    """A folder that has a snapshot's name and cannot be used as one."""

    name: str
    folder: Path
    problem: SnapshotDamaged


@dataclass(frozen=True, slots=True)
class Staged:
    """A snapshot about to appear, for the eyes of `inspect`."""

    databases: Mapping[str, Path]
    """Path in the manifest → the copy of that database, which may be opened (and is thrown away afterwards)."""
    files: Sequence[Entry]
    """Everything that was packed."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` did, or would do."""

    kept: list[str]
    removed: list[str]
    damaged: list[Damaged] = field(default_factory=list)
    """Left alone: somebody should look at them."""
    verified: str = ""
    """The newest snapshot whose every byte was read back before anything was removed; empty where nothing was."""


Inspect = Callable[[Staged], Mapping[str, Any]]


class Store:
    """A folder of snapshots. Any number of readers; `create` and `prune` one at a time (StoreBusy)."""

    def __init__(self, folder: Path) -> None:
        """The folder need not exist. Raises BadArgument for what cannot be a path."""
        self.folder = checked_path(folder, "the store")

    # -- make

    def create(
        self,
        sources: Mapping[str, Path],
        *,
        moment: datetime,
        entropy: ids.Entropy = os.urandom,
        skip: Skip | None = None,
        inspect: Inspect | None = None,
        bring: Callable[[], object] | None = None,
        progress: Progress | None = None,
    ) -> Snapshot:
        """Copy the folders, each under its name, into a new snapshot; on disk when it returns.

        Databases are copied as they are at one moment, before any other file, so what a database refers to is there if
        it was written first and is never changed. Other files are read once. Symbolic links and special files are
        refused; empty folders are left out. `skip` is asked about each file and folder. `bring` is called once the
        databases are copied, to put what they refer to into the folders. `inspect` sees the result
        before it appears: what it returns are the manifest's notes, and where it raises there is no snapshot.
        Raises SourceUnusable, StoreBusy, StoreFull, StoreUnusable, BadArgument, CompressorMissing.
        """
        folders = _checked_sources(sources, self.folder)
        name = _name(moment, entropy)
        archive.library()
        with disk(self.folder, "making the store"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with Lock(self.folder / ".lock"), disk(self.folder, "writing the snapshot"):
            self._remove_leftovers()
            making = self.folder / f".{name}.making"
            making.mkdir(mode=0o700)
            try:
                made = self._make(making, name, moment, folders, skip, inspect, bring, progress)
                making.rename(self.folder / name)
            except BaseException:
                shutil.rmtree(making, ignore_errors=True)
                raise
            sync_folder(self.folder)
        return made

    def _make(
        self,
        making: Path,
        name: str,
        moment: datetime,
        folders: Mapping[str, Path],
        skip: Skip | None,
        inspect: Inspect | None,
        bring: Callable[[], object] | None,
        progress: Progress | None,
    ) -> Snapshot:
        found = [one for part, folder in sorted(folders.items()) for one in source.find(part, folder, skip)]
        copies = self._copy_databases(making / _COPIES, found, progress)
        if bring is not None:
            bring()
        # Listed again: what the databases refer to was written before they were copied, perhaps after the first look.
        found = [one for part, folder in sorted(folders.items()) for one in source.find(part, folder, skip)]
        packed, entries = _pack(making / ARCHIVE, found, copies, progress)
        notes = dict(inspect(Staged(copies, entries))) if inspect is not None else {}
        shutil.rmtree(making / _COPIES)
        told = Manifest(
            name=name,
            created=moment.astimezone(UTC),
            archive=packed,
            databases=sorted(copies),
            notes=notes,
            files=entries,
        )
        digest = manifest.write(making, told)
        for file in manifest.FILES:
            sync_file(making / file)
        sync_folder(making)
        return Snapshot(name, self.folder / name, told, digest)

    def _copy_databases(self, folder: Path, found: Sequence[Found], progress: Progress | None) -> dict[str, Path]:
        folder.mkdir(mode=0o700)
        copies: dict[str, Path] = {}
        for number, one in enumerate(one for one in found if one.database):
            target = folder / f"{number}.db"
            tell = None if progress is None else _paged(progress, f"copying {one.path}")
            source.copy_database(one.place, target, tell)
            target.chmod(0o600)
            copies[one.path] = target
        return copies

    # -- look

    def snapshots(self) -> list[Snapshot | Damaged]:
        """All of them, the newest first; none where there is no folder. Only manifests are read."""
        return [self._look(name) for name in sorted(self._names(), reverse=True)]

    def find(self, name: str) -> Snapshot:
        """By name, by a beginning that only one has, or `newest`. Raises SnapshotMissing, SnapshotDamaged."""
        _check_text(name)
        names = sorted(self._names())
        matches = names[-1:] if name == "newest" else [one for one in names if name and one.startswith(name)]
        if len(matches) != 1:
            what = f"{len(matches)} snapshots are" if matches else "no snapshot is"
            raise SnapshotMissing(
                f"{what} called {name[:100]!r} in {self.folder}", hint="`daybreak snapshot list` shows their names"
            )
        looked = self._look(matches[0])
        if isinstance(looked, Damaged):
            raise looked.problem
        return looked

    def verify(self, name: str, *, progress: Progress | None = None) -> Snapshot:
        """Read every byte of it back and compare. Raises SnapshotDamaged, SnapshotMissing, StoreUnusable."""
        snapshot = self.find(name)
        archive.unpack(snapshot.folder, snapshot.manifest, None, _steps(progress, "checking", snapshot.manifest.total))
        return snapshot

    def _names(self) -> list[str]:
        with disk(self.folder, "looking for snapshots"):
            if not self.folder.exists():
                return []
            return [path.name for path in self.folder.iterdir() if NAME.fullmatch(path.name)]

    def _look(self, name: str) -> Snapshot | Damaged:
        folder = self.folder / name
        try:
            if folder.is_symlink() or not folder.is_dir():
                raise damaged(name, "it is no folder")
            told, digest = manifest.read(folder)
            size = (folder / manifest.ARCHIVE).stat().st_size if (folder / manifest.ARCHIVE).is_file() else 0
            if size != told.archive.size:
                raise damaged(name, f"{manifest.ARCHIVE} has {size} bytes, {told.archive.size} were written")
        except SnapshotDamaged as problem:
            return Damaged(name, folder, problem)
        return Snapshot(name, folder, told, digest)

    # -- unpack

    def unpack(self, name: str, target: Path, *, progress: Progress | None = None) -> Snapshot:
        """Make `target` what was copied: a folder for each source. It must not be there yet, or be empty.

        Everything is read, compared and on disk before the folder appears, by one rename. A crash leaves at most
        `.NAME.unpacking` beside it, which the next `unpack` to that target removes.
        Raises SnapshotDamaged, SnapshotMissing, TargetOccupied, StoreFull, StoreUnusable, StoreBusy, BadArgument.
        """
        place = checked_path(target, "the folder to restore into")
        snapshot = self.find(name)
        with disk(place, "restoring"):
            if place.is_symlink() or (place.exists() and not (place.is_dir() and not any(place.iterdir()))):
                raise TargetOccupied(f"{place} is there already", hint="name a folder that is not there yet")
            place.parent.mkdir(parents=True, exist_ok=True)
            with Workplace(place.with_name(f".{place.name}.unpacking")) as staged:
                _check_room(place.parent, snapshot.manifest.total)
                self._unpack(snapshot, staged, progress)
                if place.exists():
                    place.rmdir()  # empty; fails where somebody put something there meanwhile
                staged.rename(place)
                sync_folder(place.parent)
        return snapshot

    def _unpack(self, snapshot: Snapshot, staged: Path, progress: Progress | None) -> None:
        told = snapshot.manifest

        @contextlib.contextmanager
        def sink(entry: Entry) -> Iterator[BinaryIO]:
            path = staged / entry.path
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with disk(path, "writing"), path.open("xb", buffering=0) as file:
                yield _Whole(file)  # type: ignore[misc]
            os.utime(path, (entry.modified, entry.modified))
            path.chmod(entry.mode)

        for part in {entry.path.split("/", 1)[0] for entry in told.files}:
            (staged / part).mkdir(mode=0o700, exist_ok=True)
        archive.unpack(snapshot.folder, told, sink, _steps(progress, "unpacking", told.total))
        sync_tree(staged)

    # -- prune

    def prune(self, rule: Rule, now: datetime, *, dry_run: bool = False, progress: Progress | None = None) -> Pruned:
        """Remove what the rule does not keep.

        Before anything goes, the newest snapshot that stays is read back whole; damaged ones do not count as kept and
        are left for somebody to look at. Where none can be verified, nothing is removed. With `dry_run` nothing is
        removed, but everything is said.
        Raises StoreBusy, StoreUnusable, BadArgument.
        """
        _check_rule(rule)
        with disk(self.folder, "pruning"):
            if not self.folder.exists():
                return Pruned([], [])
            with Lock(self.folder / ".lock"):
                self._remove_leftovers()
                plan = self._plan(rule, now, progress)
                if not dry_run:
                    for name in plan.removed:
                        self._remove(name)
                return plan

    def _plan(self, rule: Rule, now: datetime, progress: Progress | None) -> Pruned:
        looked = self.snapshots()
        broken = [one for one in looked if isinstance(one, Damaged)]
        good = [one for one in looked if isinstance(one, Snapshot)]
        while good:
            stay = keep([one.created for one in good], rule, now)
            kept = [one.name for place, one in enumerate(good) if place in stay]
            removed = [one.name for place, one in enumerate(good) if place not in stay]
            if not removed:
                return Pruned(kept, [], broken)
            newest = max((good[place] for place in stay), key=lambda one: one.created)
            try:
                self.verify(newest.name, progress=progress)
            except SnapshotDamaged as problem:
                broken.append(Damaged(newest.name, newest.folder, problem))
                good.remove(newest)
                continue
            return Pruned(kept, removed, broken, newest.name)
        return Pruned([], [], broken)

    def _remove(self, name: str) -> None:
        """One rename, so that nobody ever sees half of it; only files of ours are unlinked."""
        gone = self.folder / f".{name}.gone"
        (self.folder / name).rename(gone)
        sync_folder(self.folder)
        for file in manifest.FILES:
            (gone / file).unlink()
        gone.rmdir()

    def _remove_leftovers(self) -> None:
        """What a crash left; the lock is ours, so nobody is at work on it."""
        for path in self.folder.iterdir():
            if _LEFTOVER.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)


class _Whole:
    """An unbuffered file whose `write` writes everything."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: memoryview) -> int:
        at = 0
        while at < len(data):
            at += self._file.write(data[at:])
        return at


def _name(moment: object, entropy: ids.Entropy) -> str:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise BadArgument(f"{moment!r} is not a time with a zone", hint="use datetime.now(UTC)")
    moment = moment.astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{ids.part(moment.microsecond, 4)}{ids.part(int.from_bytes(entropy(3), 'big'), 4)}"


def _check_text(name: object) -> None:
    if not isinstance(name, str):
        raise BadArgument(f"a snapshot's name is text, not {type(name).__name__}", hint="pass its name")


def _check_rule(rule: object) -> None:
    if not isinstance(rule, Rule):
        raise BadArgument(f"the rule must be a Rule, not {type(rule).__name__}", hint="for example Rule(daily=7)")


def _checked_sources(given: object, store: Path) -> dict[str, Path]:
    if not isinstance(given, Mapping) or not given:
        raise BadArgument("there is nothing to copy", hint='name folders: {"notes": Path("notes")}')
    folders = {}
    for name, folder in given.items():
        if not isinstance(name, str) or not _SOURCE.fullmatch(name):
            raise BadArgument(f"a source cannot be named {name!r}", hint="use letters, digits, _ - and .")
        folders[name] = checked_path(folder, f"the source {name}")
        if store.is_relative_to(folders[name]):
            raise BadArgument(f"the store {store} lies inside the source {folders[name]}", hint="put it elsewhere")
    return folders


def _pack(
    path: Path, found: Sequence[Found], copies: Mapping[str, Path], progress: Progress | None
) -> tuple[manifest.Archive, list[Entry]]:
    """Databases first, then everything else, as it is now."""
    ordered = sorted(found, key=lambda one: (one.path not in copies, one.path))
    step = _steps(progress, "packing", sum(one.size for one in ordered))
    entries: list[Entry] = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        packer = archive.Packer(file)
        for one in ordered:
            place = copies.get(one.path, one.place)
            if one.database and one.path not in copies:
                continue  # it came into being after the databases were copied; the next snapshot has it
            entry = _pack_one(packer, one.path, one.place, place, step)
            if entry is not None:
                entries.append(entry)
        return packer.finish(), entries


def _pack_one(packer: archive.Packer, path: str, original: Path, place: Path, step: archive.Step) -> Entry | None:
    """None for a file that has gone since it was listed: a temporary one of whoever works there."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        status = original.lstat()
        descriptor = os.open(place, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise source.unreadable(error, place) from error
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        modified = min(max(int(status.st_mtime), 0), 2**33 - 1)
        return packer.add(path, file, size, status.st_mode & 0o777, modified, step)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise StoreFull(
            f"{folder} has {free // 2**20} MiB free, {(needed + SPARE_BYTES) // 2**20} are needed",
            hint="make room, or restore to another disk",
        )


def _steps(progress: Progress | None, what: str, total: int) -> archive.Step:
    if progress is None:
        return lambda count: None
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress(what, done, total)

    return step


def _paged(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total)
