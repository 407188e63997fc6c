"""Snapshots of folders: consistent, whole or not there, and damaged ones are named and never restored."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import apsw
import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.errors import DaybreakError
from daybreak.host import snapshots
from daybreak.host.snapshots import (
    BadArgument,
    CompressorMissing,
    Damaged,
    Rule,
    Snapshot,
    SnapshotDamaged,
    SnapshotMissing,
    SourceUnusable,
    Store,
    StoreBusy,
    StoreFull,
    StoreUnusable,
    TargetOccupied,
    archive,
    disk,
    manifest,
)
from daybreak.host.snapshots.manifest import ARCHIVE, FILES, MANIFEST, SUMS

EVENING = datetime(2026, 3, 1, 22, tzinfo=UTC)


def database(path: Path, rows: int = 3) -> None:
    """A database in WAL mode, some of it still in its log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE note (number INTEGER)")
    connection.executemany("INSERT INTO note VALUES (?)", [(number,) for number in range(rows)])
    connection.close()


def rows(path: Path) -> list[int]:
    connection = apsw.Connection(str(path))
    try:
        return [number for (number,) in connection.execute("SELECT number FROM note ORDER BY number")]
    finally:
        connection.close()


def notes(root: Path) -> Path:
    """A folder with a database, texts, an executable, deep and long names."""
    folder = root / "notes"
    database(folder / "notes.db")
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / ("long-" * 30 + "ü.txt")).write_text("a long name")
    (folder / "empty").write_bytes(b"")
    (folder / "script.sh").write_text("#!/bin/sh\n")
    (folder / "script.sh").chmod(0o750)
    (folder / "random").write_bytes(Random(1).randbytes(200_000))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def made(store: Store, root: Path, when: datetime = EVENING) -> Snapshot:
    if not (root / "notes").exists():
        notes(root)
    return store.create({"notes": root / "notes"}, moment=when)


# -- what it does


def test_a_snapshot_comes_back_as_it_was(tmp_path: Path, store: Store) -> None:
    """Bytes, names, permissions and times; the database by what is in it."""
    # shows: N15
    folder = notes(tmp_path)
    snapshot = made(store, tmp_path)
    assert store.verify(snapshot.name) == snapshot
    store.unpack("newest", tmp_path / "back")
    back = tmp_path / "back" / "notes"
    assert rows(back / "notes.db") == [0, 1, 2]
    before, after = contents(folder), contents(back)
    for name in ("notes.db-shm", "notes.db-wal", "notes.db"):
        before.pop(name, None)
        after.pop(name, None)
    assert before == after
    assert (back / "script.sh").stat().st_mode & 0o777 == 0o750
    assert int((back / "random").stat().st_mtime) == int((folder / "random").stat().st_mtime)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "notes", "store"], "no locks, no leftovers"


def test_a_snapshot_can_be_read_without_us(tmp_path: Path, store: Store) -> None:
    """`sha256sum -c` and `tar --zstd` agree with us: whoever has lost Daybreak has not lost the state."""
    # shows: N15
    folder = made(store, tmp_path).folder
    assert subprocess.run(["sha256sum", "-c", SUMS], cwd=folder, capture_output=True, check=False).returncode == 0
    raw = zstandard.ZstdDecompressor().stream_reader((folder / ARCHIVE).read_bytes(), read_across_frames=True).read()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        names = [member.name for member in tar.getmembers()]
        assert names[0] == "notes/notes.db"
        assert len(names) == 5
        random = tar.extractfile("notes/random")
        assert random is not None
        assert random.read() == Random(1).randbytes(200_000)


def test_large_archives_have_many_frames_and_large_sizes_fit(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames end in the middle of files; sizes beyond eight gigabytes have another form in the header."""
    monkeypatch.setattr(archive, "FRAME_BYTES", 10_000)
    monkeypatch.setattr(archive, "CHUNK_BYTES", 3_000)
    snapshot = made(store, tmp_path)
    store.unpack(snapshot.name, tmp_path / "back")
    assert (tmp_path / "back" / "notes" / "random").read_bytes() == Random(1).randbytes(200_000)
    packed = (snapshot.folder / ARCHIVE).read_bytes()
    assert packed.count(zstandard.FRAME_HEADER) > 10
    header = archive.header("big", 9 * 2**30, 0o600, 0)
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == 9 * 2**30


def test_copies_of_one_second_are_listed_in_their_order(tmp_path: Path, store: Store) -> None:
    """The newest is the newest, whatever chance put into the names."""
    # shows: N15
    database(tmp_path / "state" / "ledger.db")
    noise = iter((b"\xff\xff\xff", b"\x00\x00\x00", b"\x80\x00\x00"))
    times = [EVENING + timedelta(microseconds=1000 * step) for step in range(3)]
    made = [store.create({"state": tmp_path / "state"}, moment=time, entropy=lambda _: next(noise)) for time in times]
    assert [one.name for one in store.snapshots()] == [one.name for one in reversed(made)]


def test_names_are_found_by_their_beginning(tmp_path: Path, store: Store) -> None:
    """A unique beginning is enough; an ambiguous, an unknown and an empty one are refused by name."""
    first, second = made(store, tmp_path), made(store, tmp_path, EVENING + timedelta(days=1))
    assert store.find(first.name[:8]).name == first.name
    assert store.find("newest").name == second.name
    assert [one.name for one in store.snapshots()] == [second.name, first.name]
    for wrong in ("2026", "1999", "", "../x", "\0", "x" * 5000):
        with pytest.raises(SnapshotMissing):
            store.find(wrong)


WRITER = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.set_busy_timeout(60000)
number = 3
while True:
    with connection:
        connection.execute("INSERT INTO note VALUES (?)", (number,))
        connection.execute("INSERT INTO note VALUES (?)", (-number,))
    print(number, flush=True)
    number += 1
"""


@contextmanager
def writer(path: Path) -> Iterator[Callable[[], int]]:
    """A process that writes pairs all the time; gives what waits for its next one."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    stdout = process.stdout
    try:
        yield lambda: int(stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_a_copy_is_of_one_moment_while_another_process_writes(tmp_path: Path, store: Store) -> None:
    """Each snapshot holds both or neither of two rows written together, everything acknowledged before, and the
    writer is never held up."""
    # shows: N15
    path = notes(tmp_path) / "notes.db"
    with writer(path) as following:
        for turn in range(4):
            acknowledged = following()
            snapshot = store.create({"notes": path.parent}, moment=EVENING + timedelta(days=turn))
            store.unpack(snapshot.name, tmp_path / f"back{turn}")
            found = rows(tmp_path / f"back{turn}" / "notes" / "notes.db")
            written = {number for number in found if number > 2}
            assert written == {-number for number in found if number < 0}
            assert written >= set(range(3, acknowledged + 1))


def test_a_database_locked_in_rollback_mode_is_waited_for_and_named(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who keeps it locked for too long is reported; nothing is left."""
    from daybreak.host.snapshots import source

    monkeypatch.setattr(source, "BUSY_MS", 50)
    folder = notes(tmp_path)
    holder = apsw.Connection(str(folder / "old.db"))
    holder.execute("CREATE TABLE note (number)")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SourceUnusable, match=r"old\.db was locked"):
        made(store, tmp_path)
    holder.close()
    assert list(store.folder.iterdir()) == []


def test_inspect_sees_everything_before_it_appears_and_may_refuse(tmp_path: Path, store: Store) -> None:
    """Its words are kept; where it raises there is no snapshot."""
    folder = notes(tmp_path)

    def look(staged: snapshots.Staged) -> dict[str, Any]:
        assert store.snapshots() == []
        return {"rows": rows(staged.databases["notes/notes.db"]), "files": len(staged.files)}

    snapshot = store.create({"notes": folder}, moment=EVENING, inspect=look)
    assert snapshot.manifest.notes == {"rows": [0, 1, 2], "files": 5}

    def refuse(staged: snapshots.Staged) -> dict[str, Any]:
        raise BadArgument("no", hint="none")

    with pytest.raises(BadArgument):
        store.create({"notes": folder}, moment=EVENING, inspect=refuse)
    assert [path.name for path in store.folder.iterdir()] == [snapshot.name]


def test_progress_counts_to_the_end(tmp_path: Path, store: Store) -> None:
    """Copying, packing, checking and unpacking each end at all of it."""
    told: dict[str, tuple[int, int]] = {}

    def progress(what: str, done: int, total: int) -> None:
        told[what] = (done, total)

    folder = notes(tmp_path)
    snapshot = store.create({"notes": folder}, moment=EVENING, progress=progress)
    store.verify(snapshot.name, progress=progress)
    store.unpack(snapshot.name, tmp_path / "back", progress=progress)
    assert set(told) == {"copying notes/notes.db", "packing", "checking", "unpacking"}
    assert all(done == total > 0 for what, (done, total) in told.items() if what != "packing")


# -- what cannot be copied


def test_what_is_not_an_ordinary_file_is_refused_by_name(tmp_path: Path, store: Store) -> None:
    """Links, pipes, a source that is none, a store inside its own source."""
    folder = notes(tmp_path)
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(SourceUnusable, match="link is a symbolic link"):
        made(store, tmp_path)
    (folder / "link").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(SourceUnusable, match="pipe is a special file"):
        made(store, tmp_path)
    (folder / "pipe").unlink()
    (folder / os.fsdecode(b"\xff")).write_text("not UTF-8")
    with pytest.raises(SourceUnusable, match="cannot be stored"):
        made(store, tmp_path)
    with pytest.raises(SourceUnusable, match="is not a folder"):
        store.create({"notes": tmp_path / "nowhere"}, moment=EVENING)
    with pytest.raises(BadArgument, match="lies inside"):
        Store(folder / "inside").create({"notes": folder}, moment=EVENING)
    assert store.snapshots() == []


def test_a_damaged_database_is_not_put_away(tmp_path: Path, store: Store) -> None:
    """A copy of it would push good ones out of the rotation."""
    # shows: N15
    path = notes(tmp_path) / "notes.db"
    rows(path)  # folds its log in
    data = bytearray(path.read_bytes())
    data[4096:4200] = b"x" * 104
    path.write_bytes(data)
    with pytest.raises(SourceUnusable, match=r"notes\.db"):
        made(store, tmp_path)
    assert list(store.folder.iterdir()) == []


def test_a_file_that_shrinks_is_refused_and_one_that_goes_away_is_left_out(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporary files come and go; a file that is cut while it is read has no one content."""
    folder = notes(tmp_path)
    real = archive.Packer.add

    def cut(self: archive.Packer, path: str, *rest: Any) -> Any:
        if path == "notes/deep/later":
            os.truncate(folder / "deep" / "later", 10)
        (folder / "random").unlink(missing_ok=True)
        return real(self, path, *rest)

    monkeypatch.setattr(archive.Packer, "add", cut)
    snapshot = made(store, tmp_path)
    assert "notes/random" not in {entry.path for entry in snapshot.manifest.files}
    (folder / "deep" / "later").write_bytes(bytes(100))
    with pytest.raises(SourceUnusable, match="became shorter"):
        made(store, tmp_path)


def test_without_the_compressor_nothing_else_is_used(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one format; its absence is named before anything is touched."""
    notes(tmp_path)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(CompressorMissing, match="zstandard"):
        made(store, tmp_path)
    assert not store.folder.exists()


# -- disks


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any write of the archive; earlier snapshots stay, and the next one works."""
    # shows: N15
    first = made(store, tmp_path)
    real = archive.Packer._write
    for fail_at in (1, 2, 5):
        calls = 0

        def full(self: archive.Packer, data: bytes, fail_at: int = fail_at) -> None:
            nonlocal calls
            calls += 1
            if calls == fail_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(self, data)

        with monkeypatch.context() as patched:
            patched.setattr(archive.Packer, "_write", full)
            with pytest.raises(StoreFull, match="No space left"):
                made(store, tmp_path)
        assert [path.name for path in store.folder.iterdir()] == [first.name]
    made(store, tmp_path, EVENING + timedelta(days=1))


def test_too_little_room_to_unpack_is_known_before(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written where it cannot be finished."""
    made(store, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 1000))
    with pytest.raises(StoreFull, match="MiB"):
        store.unpack("newest", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_an_unusable_store_or_target_is_named(tmp_path: Path, store: Store) -> None:
    """A file in the way, a target that is there."""
    notes(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnusable, match="file"):
        made(Store(tmp_path / "file" / "store"), tmp_path)
    with pytest.raises(StoreUnusable):
        made(Store(Path("/proc/daybreak")), tmp_path)
    made(store, tmp_path)
    with pytest.raises(TargetOccupied):
        store.unpack("newest", tmp_path / "notes")
    with pytest.raises(TargetOccupied):
        store.unpack("newest", tmp_path / "file")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TargetOccupied):
        store.unpack("newest", tmp_path / "link")
    (tmp_path / "empty").mkdir()
    store.unpack("newest", tmp_path / "empty")
    assert contents(tmp_path / "empty")


def test_two_at_once_are_refused_and_a_dead_one_is_not_waited_for(tmp_path: Path, store: Store) -> None:
    """The lock is the kernel's."""
    made(store, tmp_path)
    with disk.Lock(store.folder / ".lock"):
        with pytest.raises(StoreBusy):
            made(store, tmp_path)
        with pytest.raises(StoreBusy):
            store.prune(Rule(), EVENING)
    (store.folder / ".lock").write_text("left by a dead process")
    made(store, tmp_path, EVENING + timedelta(days=1))


def test_leftovers_of_a_crash_are_never_listed_and_removed_by_the_next_run(tmp_path: Path, store: Store) -> None:
    """Only folders of exactly our naming."""
    # shows: N15
    snapshot = made(store, tmp_path)
    for name in (f".{snapshot.name}.making", f".{snapshot.name}.gone", ".hidden", "mine", f".{snapshot.name}.mine"):
        (store.folder / name).mkdir()
        (store.folder / name / "file").write_text("x")
    assert [one.name for one in store.snapshots()] == [snapshot.name]
    second = made(store, tmp_path, EVENING + timedelta(days=1))
    left = {path.name for path in store.folder.iterdir()}
    assert left == {snapshot.name, second.name, ".hidden", "mine", f".{snapshot.name}.mine"}


# -- damage


def refuses(store: Store, name: str, root: Path) -> str:
    """It is neither verified nor unpacked; gives what is said."""
    with pytest.raises(SnapshotDamaged) as caught:
        store.verify(name)
    with pytest.raises(SnapshotDamaged):
        store.unpack(name, root / "never")
    assert not (root / "never").exists()
    assert name in caught.value.message
    return caught.value.message


def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path, store: Store) -> None:
    """Every byte of the checksums, and some hundreds of manifest and archive, the first and last ones among them."""
    # shows: N15
    snapshot = made(store, tmp_path)
    random = Random(7)
    for file, count in ((SUMS, 200), (MANIFEST, 150), (ARCHIVE, 250)):
        path = snapshot.folder / file
        whole = path.read_bytes()
        ends = [*range(20), *range(len(whole) - 20, len(whole))]
        places = sorted({*ends, *(random.randrange(len(whole)) for _ in range(count))} & set(range(len(whole))))
        for place in places:
            broken = bytearray(whole)
            broken[place] ^= 1 << random.randrange(8)
            path.write_bytes(broken)
            with pytest.raises(SnapshotDamaged):
                store.verify(snapshot.name)
            if place % 10 == 0:
                refuses(store, snapshot.name, tmp_path)
        path.write_bytes(whole)
    store.verify(snapshot.name)


@pytest.mark.parametrize("file", sorted(FILES))
def test_a_truncated_or_missing_file_is_named(tmp_path: Path, store: Store, file: str) -> None:
    """At any length, and one byte too many."""
    snapshot = made(store, tmp_path)
    path = snapshot.folder / file
    whole = path.read_bytes()
    for length in sorted({0, 1, 17, len(whole) // 2, len(whole) - 1}):
        path.write_bytes(whole[:length])
        refuses(store, snapshot.name, tmp_path)
    path.write_bytes(whole + b"\0")
    refuses(store, snapshot.name, tmp_path)
    path.unlink()
    assert f"{file} is missing" in refuses(store, snapshot.name, tmp_path)
    (looked,) = store.snapshots()
    assert isinstance(looked, Damaged)
    path.symlink_to("/dev/zero")
    assert "no ordinary file" in refuses(store, snapshot.name, tmp_path)
    path.unlink()
    path.mkdir()
    assert "no ordinary file" in refuses(store, snapshot.name, tmp_path)


def test_a_foreign_file_and_another_snapshots_manifest_are_named(tmp_path: Path, store: Store) -> None:
    """Nothing in the folder but what was put there, under its own name."""
    first, second = made(store, tmp_path), made(store, tmp_path, EVENING + timedelta(days=1))
    (first.folder / "foreign").write_text("x")
    assert "'foreign'" in refuses(store, first.name, tmp_path)
    (first.folder / "foreign").unlink()
    shutil.rmtree(first.folder)
    shutil.copytree(second.folder, first.folder)
    assert second.name in refuses(store, first.name, tmp_path)
    shutil.rmtree(first.folder)
    first.folder.symlink_to(second.folder)
    assert "no folder" in refuses(store, first.name, tmp_path)


def forge(snapshot: Snapshot, *, packed: bytes | None = None, **changes: Any) -> None:
    """A consistent snapshot with another manifest and, if given, another tar: all checksums fit."""
    told = snapshot.manifest
    if packed is not None:
        (snapshot.folder / ARCHIVE).write_bytes(packed)
        digest = hashlib.sha256(packed).hexdigest()
        told = msgspec.structs.replace(told, archive=manifest.Archive(len(packed), digest))
    for name in (MANIFEST, SUMS):
        (snapshot.folder / name).unlink()
    manifest.write(snapshot.folder, msgspec.structs.replace(told, **changes))


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "/etc/evil",
        "notes/../../evil",
        "",
        ".",
        "notes//x",
        "notes/x/",
        "a\0b",
        "x" * 5000,
        "y" * 300,
        "\\ud800",
    ],
)
def test_no_path_leads_out_even_where_all_checksums_fit(tmp_path: Path, store: Store, path: str) -> None:
    """A forged manifest, with an archive to match."""
    # shows: N15
    snapshot = made(store, tmp_path)
    entry = manifest.Entry(path, 4, hashlib.sha256(b"evil").hexdigest(), 0o600, 0)
    if path == "\\ud800":
        text = (snapshot.folder / MANIFEST).read_text().replace('"notes/empty"', '"\\ud800"')
        (snapshot.folder / MANIFEST).write_text(text)
    else:
        forge(snapshot, files=[*snapshot.manifest.files, entry])
    refuses(store, snapshot.name, tmp_path)
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"created": datetime(2026, 1, 1)},  # noqa: DTZ001 - the point of the test
        {"databases": ["notes/elsewhere"]},
        {"archive": manifest.Archive(-1, "0" * 64)},
        {"archive": manifest.Archive(5, "0" * 63)},
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path: Path, store: Store, changes: dict[str, Any]) -> None:
    """Though its own checksum fits."""
    snapshot = made(store, tmp_path)
    forge(snapshot, **changes)
    refuses(store, snapshot.name, tmp_path)


def test_modes_sizes_twins_and_files_below_files_are_refused(tmp_path: Path, store: Store) -> None:
    """Set-user-id bits, negative sizes, a name twice, a file that is also a folder."""
    snapshot = made(store, tmp_path)
    files = snapshot.manifest.files
    for bad, said in (
        (msgspec.structs.replace(files[0], path="x", mode=0o4755), "'x', which is no place"),
        (msgspec.structs.replace(files[0], path="x", size=-1), "makes no sense"),
        (msgspec.structs.replace(files[0], path="x", size=2**63 - 1), "makes no sense"),
        (msgspec.structs.replace(files[0], path="x", modified=-1), "'x', which is no place"),
        (msgspec.structs.replace(files[0], path="x", sha256="Z" * 64), "makes no sense"),
        (files[0], "names a file twice"),
        (msgspec.structs.replace(files[0], path=files[0].path + "/below"), "below a file"),
    ):
        forge(snapshot, files=[*files, bad])
        assert said in refuses(store, snapshot.name, tmp_path)


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return zstandard.ZstdCompressor().compress(buffer.getvalue())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_in_an_archive_are_never_made(tmp_path: Path, store: Store, kind: bytes) -> None:
    """The reader takes nothing from the tar's headers, so a member of another kind is simply not what is expected."""
    # shows: N15
    snapshot = made(store, tmp_path)
    info = tarfile.TarInfo("notes/x")
    info.type, info.linkname, info.mode = kind, "/etc/passwd", 0o600
    entry = manifest.Entry("notes/x", 0, hashlib.sha256(b"").hexdigest(), 0o600, 0)
    forge(snapshot, packed=tar_of((info, b"")), files=[entry], databases=[])
    assert "does not hold" in refuses(store, snapshot.name, tmp_path)


def test_a_member_too_many_is_refused(tmp_path: Path, store: Store) -> None:
    """The manifest says all."""
    snapshot = made(store, tmp_path)
    members = []
    for name in ("notes/x", "notes/y"):
        info = tarfile.TarInfo(name)
        info.size, info.mode = 4, 0o600
        members.append((info, b"four"))
    entry = manifest.Entry("notes/x", 4, hashlib.sha256(b"four").hexdigest(), 0o600, 0)
    forge(snapshot, packed=tar_of(*members), files=[entry], databases=[])
    assert "the end" in refuses(store, snapshot.name, tmp_path)


@pytest.mark.parametrize(
    ("good", "evil"), [(b"four", b"evil"), (b"", b""), (b"x" * 2_000_000, b"x" * 1_999_999 + b"y")]
)
def test_a_file_that_is_not_the_one_in_the_manifest_is_refused_though_the_archive_is_whole(
    tmp_path: Path, store: Store, good: bytes, evil: bytes
) -> None:
    """Each file's own checksum is compared, in a check as in a restore: the archive's alone covers what was packed."""
    # shows: N15
    snapshot = made(store, tmp_path)
    info = tarfile.TarInfo("notes/x")
    info.size, info.mode = len(evil), 0o600
    digest = hashlib.sha256(good).hexdigest() if good else "0" * 64
    entry = manifest.Entry("notes/x", len(evil), digest, 0o600, 0)
    forge(snapshot, packed=tar_of((info, evil)), files=[entry], databases=[])
    assert "'notes/x' is not what was stored" in refuses(store, snapshot.name, tmp_path)


@pytest.mark.parametrize("cut", [0, 511, 513, 1000])
def test_an_archive_that_ends_too_early_is_refused_though_its_checksum_fits(
    tmp_path: Path, store: Store, cut: int
) -> None:
    """A whole frame that holds less than the manifest names ends the reading, at once and with the place."""
    # shows: N15
    snapshot = made(store, tmp_path)
    data = b"x" * 1000
    tar = archive.header("notes/x", len(data), 0o600, 0) + data
    entry = manifest.Entry("notes/x", len(data), hashlib.sha256(data).hexdigest(), 0o600, 0)
    forge(snapshot, packed=zstandard.ZstdCompressor().compress(tar[:cut]), files=[entry], databases=[])
    assert "ends in the middle of 'notes/x'" in refuses(store, snapshot.name, tmp_path)


def test_an_archive_that_is_not_the_one_in_the_manifest_is_refused_though_every_file_fits(
    tmp_path: Path, store: Store
) -> None:
    """Packed again at another level into the same size, with a skippable frame behind it: not the bytes put away."""
    # shows: N15
    snapshot = made(store, tmp_path)
    path = snapshot.folder / ARCHIVE
    first = path.read_bytes()
    path.write_bytes(first + b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"more")
    forge(snapshot, archive=manifest.Archive(path.stat().st_size, snapshot.manifest.archive.sha256))
    assert "checksum" in refuses(store, snapshot.name, tmp_path)


def test_a_bomb_is_not_unfolded(tmp_path: Path, store: Store) -> None:
    """A gigabyte of zeros in some kilobytes: nothing beyond the size that the manifest names is decompressed, and a
    frame that asks for much memory is refused."""
    # shows: N15
    snapshot = made(store, tmp_path)
    head = archive.header("notes/x", 4, 0o600, 0)
    entry = manifest.Entry("notes/x", 4, hashlib.sha256(bytes(4)).hexdigest(), 0o600, 0)
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    bomb = compressor.compress(head)
    for _ in range(64):
        bomb += compressor.compress(bytes(1 << 24))
    bomb += compressor.flush()
    assert len(bomb) < 200_000
    forge(snapshot, packed=bomb, files=[entry], databases=[])
    assert "goes on behind" in refuses(store, snapshot.name, tmp_path)
    params = zstandard.ZstdCompressionParameters(window_log=27)
    wide = zstandard.ZstdCompressor(compression_params=params).compressobj()
    hungry = wide.compress(head + bytes(508)) + wide.compress(Random(0).randbytes(100)) + wide.flush()
    forge(snapshot, packed=hungry, files=[entry], databases=[])
    assert "cannot be decompressed" in refuses(store, snapshot.name, tmp_path)


def test_a_manifest_that_asks_for_more_than_the_disk_has_is_refused_before_anything(
    tmp_path: Path, store: Store
) -> None:
    """Declared sizes count, before the first byte is written."""
    snapshot = made(store, tmp_path)
    entry = manifest.Entry("notes/x", 2**60, "0" * 64, 0o600, 0)
    forge(snapshot, files=[entry], databases=[])
    with pytest.raises(StoreFull):
        store.unpack(snapshot.name, tmp_path / "never")
    assert not (tmp_path / "never").exists()


# -- rotation in the store


def month(store: Store, root: Path, days: int = 10) -> list[str]:
    return [made(store, root, EVENING + timedelta(days=day)).name for day in range(days)]


def test_pruning_keeps_seven_days_and_touches_nothing_else(tmp_path: Path, store: Store) -> None:
    """A dry run says the same and removes nothing; what we did not make stays."""
    # shows: N15
    names = month(store, tmp_path)
    (store.folder / "mine").mkdir()
    (store.folder / "20260301T220000Z-mine").mkdir()
    (store.folder / "20250101T220000Z-00000000").write_text("a file of that name")
    now = EVENING + timedelta(days=10)
    plan = store.prune(Rule(), now, dry_run=True)
    assert plan.kept == names[:2:-1]
    assert plan.removed == names[2::-1]
    assert plan.verified == names[-1]
    assert [one.name for one in plan.damaged] == ["20250101T220000Z-00000000"]
    assert len(store.snapshots()) == 11
    done = store.prune(Rule(), now)
    assert (done.kept, done.removed, done.verified) == (plan.kept, plan.removed, plan.verified)
    left = {path.name for path in store.folder.iterdir()}
    assert left == {*names[3:], "mine", "20260301T220000Z-mine", "20250101T220000Z-00000000"}
    assert store.prune(Rule(), now).removed == []


def test_the_newest_good_snapshot_is_never_removed(tmp_path: Path, store: Store) -> None:
    """A damaged one does not count as kept, however new it is; where none is good, nothing goes."""
    # shows: N15
    names = month(store, tmp_path, 4)
    for name in names[2:]:
        path = store.folder / name / ARCHIVE
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    pruned = store.prune(Rule(daily=1), EVENING + timedelta(days=5))
    assert pruned.verified == names[1]
    assert pruned.kept == [names[1]]
    assert pruned.removed == [names[0]]
    assert sorted(one.name for one in pruned.damaged) == names[2:]
    assert {path.name for path in store.folder.iterdir()} == set(names[1:])
    made(store, tmp_path, EVENING - timedelta(days=1))
    (store.folder / names[1] / SUMS).write_text("nonsense")
    older = [one.name for one in store.snapshots()][-1]
    assert store.prune(Rule(daily=0), EVENING + timedelta(days=5)).kept == [older]


def test_pruning_an_absent_store_is_nothing(store: Store) -> None:
    """No folder, no snapshots, no error."""
    assert store.prune(Rule(), EVENING) == snapshots.Pruned([], [])
    assert store.snapshots() == []


# -- anything at all


paths = st.one_of(
    st.text(max_size=30), st.sampled_from(["/", "..", "../..", "\0", "x" * 4096, "a/" * 2048, "\ud800", "/dev/null"])
)
anything = st.one_of(paths, st.integers(), st.none(), st.binary(max_size=10), st.lists(st.text(max_size=3), max_size=2))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=anything, name=anything, target=anything, source=anything)
def test_hostile_arguments_give_a_typed_error_and_no_file(
    tmp_path_factory: pytest.TempPathFactory, where: Any, name: Any, target: Any, source: Any
) -> None:
    """Whatever is passed: an error of ours with a hint, or it worked; never a traceback from the depths."""
    # shows: X8
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for attempt in (
                lambda: Store(where).snapshots() if where not in ("/", "..", "../..") else None,
                lambda: Store(Path(folder, "store")).find(name),
                lambda: Store(Path(folder, "store")).verify(name),
                lambda: Store(Path(folder, "store")).unpack(name, target),
                lambda: Store(Path(folder, "store")).create({str(name): source}, moment=EVENING),
                lambda: Store(Path(folder, "store")).create(source, moment=EVENING),
                lambda: Store(Path(folder, "store")).create({"a": Path(folder, "a")}, moment=name),
                lambda: Store(Path(folder, "store")).prune(name, EVENING),
            ):
                try:
                    attempt()
                except DaybreakError as error:
                    assert error.hint  # noqa: PT017 - or it worked
            assert {path.name for path in Path(folder).iterdir()} <= {"store"}
            assert list(Path(folder, "store").glob("*")) == []
        finally:
            os.chdir(before)


@pytest.mark.parametrize(
    "target", ["\0", "x" * 4096, "x" * 300, "a/" * 2048 + "b", "\ud800", "", "/proc/x", "store", "/", 7, None, b"x", []]
)
def test_no_target_makes_a_snapshot_go_astray(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, target: Any
) -> None:
    """A typed error, and nothing written anywhere."""
    # shows: X8
    monkeypatch.chdir(tmp_path)
    made(store, tmp_path)
    with pytest.raises(snapshots.SnapshotError) as caught:
        store.unpack("newest", target)
    assert caught.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "store"]


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 250
)


ordinary = st.binary(max_size=3000).filter(lambda data: not data.startswith(b"SQLite format 3"))


@settings(max_examples=40, deadline=None)
@given(files=st.dictionaries(st.lists(names, min_size=1, max_size=3).map("/".join), ordinary, max_size=6))
def test_any_folder_comes_back(files: dict[str, bytes]) -> None:
    """Any names that the system takes, any bytes but those of a broken database."""
    with tempfile.TemporaryDirectory() as root:
        source = Path(root, "source")
        source.mkdir()
        for name, data in files.items():
            path = source / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                continue  # a file and a folder of one name
        store = Store(Path(root, "store"))
        snapshot = store.create({"source": source}, moment=EVENING)
        store.unpack(snapshot.name, Path(root, "back"))
        assert contents(Path(root, "back", "source")) == contents(source)


# -- Windows, as far as it can be tried here


def test_names_that_windows_cannot_hold_are_refused_there() -> None:
    """Drives, streams, backslashes, trailing dots; elsewhere they are ordinary."""
    for name in ("a:b", "C:/x", "a\\..\\b", "dot.", "space ", "what?", "tab\t"):
        assert manifest.safe(name)
        assert not manifest.safe(name, windows=True)
    assert manifest.safe("notes/ü.txt", windows=True)


def test_on_windows_folders_are_not_synced_and_the_lock_is_given_back(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The few lines that differ, with the platform injected."""
    notes(tmp_path)
    held: list[int] = []

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (mode, count) == (2, 1)
        if held:
            raise PermissionError(errno.EACCES, "locked")
        held.append(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "WINDOWS", True)
        patch.setattr(os, "O_DIRECTORY", None)  # as there: using it would fail
        disk.sync_folder(tmp_path)
        patch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
        patch.setattr(disk, "sys", SimpleNamespace(platform="win32"))
        made(store, tmp_path)
        assert held
        with pytest.raises(StoreBusy):
            made(store, tmp_path, EVENING + timedelta(days=1))
    assert [path.name for path in store.folder.iterdir() if path.name != ".lock"] == [store.find("newest").name]


def test_the_manual_s_program_runs(tmp_path: Path) -> None:
    """The Python in the how-to, as it stands there."""
    # shows: X8
    manual = Path(__file__).parents[2] / "docs" / "how-to" / "snapshots.md"
    (code,) = re.findall(r"```python\n(.*?)```", manual.read_text("utf-8"), re.DOTALL)
    database(tmp_path / "notes" / "notes.db")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert rows(tmp_path / "notes-as-they-were" / "notes" / "notes.db") == [0, 1, 2]


def test_importing_costs_nothing_that_is_not_used() -> None:
    """Neither SQLite nor the compressor is loaded before something is copied."""
    # shows: X8
    code = "import sys, daybreak.host.snapshots; print({'apsw', 'zstandard', 'cryptography'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
