"""Archive files: what they hold comes back, and whatever is done to one is noticed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as some
from tests.unit.archive_shelf import ARCHIVED, LARGE, archived, files, filled, said, table

from daybreak.errors import DaybreakError
from daybreak.ledger.archive import layout, writing
from daybreak.ledger.archive.archiving import archive
from daybreak.ledger.archive.file import ArchiveFile, Sum, sum_of
from daybreak.ledger.archive.layout import Frame, Manifest
from daybreak.ledger.archive.problems import ArchiveDamaged, ArchiveMissing, ArchiveTaken, ArchiveUnwritable
from daybreak.ledger.archive.pruning import checked_file, standings
from daybreak.ledger.note import Verifier
from daybreak.ledger.tiles import WIDTH


class Kept:
    """A ledger with two archive files, and what the tree says of them."""

    def __init__(self, root: Path) -> None:
        self.home = filled(root / "home")
        archived(self.home, most=WIDTH)
        self.first, self.second = files(self.home)
        self.tiles = {
            int(n): bytes(hashes) for n, hashes in self.home.rows("SELECT n, hashes FROM tile WHERE level = 0")
        }
        with self.home.open() as ledger:
            self.said = said(ledger)
            self.origin, self.key = ledger.head().origin, Verifier.parse(ledger.verifier.text)

    def check(self, path: Path, wanted: Sum | None = None) -> Sum:
        return ArchiveFile(path).check(self.tiles.__getitem__, wanted=wanted, origin=self.origin, verifier=self.key)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept"))


def test_a_file_holds_its_events_and_says_what_they_are(kept: Kept) -> None:
    """Headers, payloads, large ones too, the root after them and a signed head that goes on from it."""
    # shows: N3 N7
    file = ArchiveFile(kept.first)
    kept.check(kept.first, sum_of(kept.first))
    (stretch,) = file.stretches()
    for told, header, payload in zip(kept.said, stretch.headers, stretch.payloads, strict=False):
        assert header == told.header
        assert payload == told.payload or (
            payload is None and file.blob(sha256(told.payload).hexdigest()) == told.payload
        )
    assert [payload is None for payload in stretch.payloads].count(True) == 1
    assert any(LARGE.encode() in one.payload for one in kept.said)
    told = file.manifest
    assert (told.start, told.end, told.origin) == (0, WIDTH, kept.origin)
    assert kept.first.stat().st_mode & 0o777 == 0o600
    assert file.blob("0" * 64) is None
    with kept.home.open() as ledger:
        assert not list(archive(ledger, kept.home.root / "archive", end=10**9)), "the last tile is not full"


def test_every_single_byte_of_a_file_is_under_the_checksum_and_most_are_found_without_it(
    kept: Kept, tmp_path: Path
) -> None:
    """One that was changed is noticed by the checksum that is in the log; and by the file's own, wherever it is."""
    # shows: N3
    path = Path(shutil.copy(kept.second, tmp_path / "changed"))
    data, wanted = path.read_bytes(), sum_of(path)
    with path.open("r+b", buffering=0) as file:
        for at in range(len(data)):
            os.pwrite(file.fileno(), bytes([data[at] ^ 1]), at)
            try:
                with pytest.raises(ArchiveDamaged) as noticed:
                    kept.check(path, wanted if at % 97 else None)
            finally:
                os.pwrite(file.fileno(), data[at : at + 1], at)
            assert str(path) in noticed.value.message
    kept.check(path, wanted)


def _other_ledger(kept: Kept, folder: Path) -> Path:
    home = filled(folder / "other")
    archived(home, most=WIDTH)
    return files(home)[0]


def _cut(kept: Kept, folder: Path) -> Path:
    path = folder / "cut"
    path.write_bytes(kept.first.read_bytes()[:-1])
    return path


def _longer(kept: Kept, folder: Path) -> Path:
    path = folder / "longer"
    path.write_bytes(kept.first.read_bytes() + b"\n")
    return path


def _empty(kept: Kept, folder: Path) -> Path:
    path = folder / "empty"
    path.write_bytes(b"")
    return path


def _folder(kept: Kept, folder: Path) -> Path:
    (folder / "folder").mkdir()
    return folder / "folder"


@pytest.mark.parametrize(
    "make",
    [lambda kept, folder: kept.second, _other_ledger, _cut, _longer, _empty, _folder],
    ids=["the next one", "another ledger's", "cut", "longer", "empty", "a folder"],
)
def test_another_file_in_its_place_is_noticed(kept: Kept, tmp_path: Path, make: Callable[[Kept, Path], Path]) -> None:
    """Whatever lies there: nothing is taken from it, and the file is named."""
    # shows: N3
    path, entry = make(kept, tmp_path), table(kept.home)[0]
    with kept.home.open() as ledger, pytest.raises(ArchiveDamaged, match=str(path)):
        checked_file(ledger, ledger._rows, path, entry)


@settings(max_examples=60, deadline=None)
@given(data=some.data())
def test_no_bytes_make_the_reader_fail_otherwise(kept: Kept, data: some.DataObject) -> None:
    """Cut anywhere, or with anything written over it, a file is whole or damaged."""
    # shows: N3
    whole = kept.first.read_bytes()
    at = data.draw(some.integers(0, len(whole) - 1))
    noise = data.draw(some.binary(min_size=0, max_size=40))
    told = whole[:at] + (noise if data.draw(some.booleans()) else noise + whole[at + len(noise) :])
    path = kept.first.with_name("noise")
    path.write_bytes(told)
    if told != whole:
        with pytest.raises(ArchiveDamaged):
            kept.check(path)


def _forged(path: Path, frame: bytes, size: int, kept: Kept) -> Path:
    """A file that is right in itself but for what its one frame unpacks to."""
    manifest = ArchiveFile(kept.first).manifest
    told = Frame(len(layout.MAGIC), len(frame), size, sha256(frame).hexdigest())
    text = msgspec.json.encode(msgspec.structs.replace(manifest, frames=[told], blobs={}))
    offset = len(layout.MAGIC) + len(frame)
    path.write_bytes(layout.MAGIC + frame + text + layout.trailer(offset, text))
    return path


def test_a_frame_that_unpacks_to_very_much_is_not_unpacked(kept: Kept, tmp_path: Path) -> None:
    """Whether it says so, says nothing, or lies: what is unpacked never exceeds what a frame can hold."""
    # shows: N3
    packer = zstandard.ZstdCompressor(level=1)
    stream = packer.compressobj(size=2**29)
    honest = b"".join(stream.compress(bytes(2**24)) for _ in range(32)) + stream.flush()
    silent_stream = packer.compressobj()
    silent = b"".join(silent_stream.compress(bytes(2**24)) for _ in range(16)) + silent_stream.flush()
    for frame, size in ((honest, 2**29), (honest, 1000), (silent, 1000), (silent, layout.EVENTS_BYTES_MAX)):
        path = _forged(tmp_path / "bomb", frame, size, kept)
        with pytest.raises(ArchiveDamaged):
            kept.check(path)
    extra = packer.compress(b"x" * 1000) + packer.compress(b"y" * 1000)
    with pytest.raises(ArchiveDamaged):
        kept.check(_forged(tmp_path / "two", extra, 1000, kept))
    with pytest.raises(ArchiveDamaged, match=r"not one of events|ends in the middle"):
        kept.check(_forged(tmp_path / "other", packer.compress(b"z" * 1000), 1000, kept))


_HEADERS = some.lists(some.binary(min_size=1, max_size=200) | some.just(b"h" * 70_000), min_size=WIDTH, max_size=WIDTH)
_PAYLOADS = some.lists(some.none() | some.binary(max_size=200), min_size=WIDTH, max_size=WIDTH)


@settings(max_examples=8, deadline=None)
@given(headers=_HEADERS, payloads=_PAYLOADS)
def test_what_is_packed_is_unpacked(headers: list[bytes], payloads: list[bytes | None]) -> None:
    """Headers of any length, payloads that are there or elsewhere, in their order."""
    # shows: N3
    found = layout.unpack(512, layout.pack(headers, payloads))
    assert (found.headers, found.payloads) == (headers, payloads)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"start": 1},
        {"end": 1024},
        {"end": 0},
        {"frames": []},
        {"start": 2**40, "end": 2**40},
        {"frames": [Frame(0, 10, 10, "")]},
        {"frames": [Frame(len(layout.MAGIC), 0, 10, "")]},
        {"frames": [Frame(len(layout.MAGIC), 2**50, 10, "")]},
        {"frames": [Frame(len(layout.MAGIC), 10, 2**50, "")]},
    ],
)
def test_a_manifest_that_describes_another_file_is_refused(changes: dict[str, object]) -> None:
    """Ranges that are none, gaps, overlaps, lengths beyond the file, sizes that no frame can have."""
    # shows: N3
    frame = Frame(len(layout.MAGIC), 10, 10, "")
    told = Manifest(origin="o", start=0, end=WIDTH, root="", head="", proof=[], frames=[frame])
    text = msgspec.json.encode(told)
    end = len(layout.MAGIC) + 10
    layout.read_manifest(text, sha256(text).digest(), end)
    text = msgspec.json.encode(msgspec.structs.replace(told, **changes))
    with pytest.raises(ValueError):
        layout.read_manifest(text, sha256(text).digest(), end)
    with pytest.raises(ValueError):
        layout.read_manifest(text[:-1], sha256(text[:-1]).digest(), end)


# -- writing


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    """Somebody's own file of that name stays as it is, and nothing is said to be archived; the right one is taken."""
    # shows: N3
    home = filled(tmp_path / "home")
    folder = tmp_path / "archive"
    folder.mkdir()
    name = layout.name_of(0, ARCHIVED)
    (folder / name).write_text("my notes")
    with home.open() as ledger:
        size = ledger.head().size
        with pytest.raises(ArchiveTaken, match=name):
            list(archive(ledger, folder, end=size))
        assert (folder / name).read_text() == "my notes"
        assert (ledger.head().size, table(home)) == (size, [])
        (folder / name).unlink()
        (one,) = archive(ledger, folder, end=size)
        assert one.new
    again = home.copy("again")
    again.sql("DELETE FROM archive")
    with again.open() as ledger:  # as a crash leaves it between the file and the table
        (taken,) = archive(ledger, folder, end=size)
        assert not taken.new
        assert taken.entry == one.entry
        assert ledger.head().size == size + 1, "the log had the event already"
    assert again.verify().ok


def test_a_file_that_was_lost_is_made_again_while_the_database_has_its_events(tmp_path: Path) -> None:
    """When somebody asks for it; the log and the table then name the new one."""
    # shows: N3
    home = filled(tmp_path / "home")
    (one,) = archived(home)
    files(home)[0].unlink()
    with home.open() as ledger:
        assert [standing.path for standing in standings(ledger)] == [None]
        ledger.rotate_key()
    with home.open() as ledger:
        with pytest.raises(ArchiveMissing):
            list(archive(ledger, home.root / "archive", end=ARCHIVED))
        (made,) = archive(ledger, home.root / "archive", end=ARCHIVED, again=True)
    assert (made.entry.start, made.entry.end) == (0, ARCHIVED)
    assert made.entry.sha256 != one.entry.sha256, "the head in it is a newer one"
    assert table(home) == [made.entry]
    assert home.verify().ok


@pytest.mark.parametrize("where", ["sync", "sync_folder", "make_folder", "_name"])
def test_a_disk_that_refuses_leaves_no_file_and_no_word_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """ENOSPC or EIO at any step: nothing lies under the name that is not whole, and the call can be repeated."""
    # shows: N3
    home = filled(tmp_path / "home")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with home.open() as ledger:
        size = ledger.head().size
        with monkeypatch.context() as patch:
            patch.setattr(writing, where, refuse)
            with pytest.raises(ArchiveUnwritable, match="No space"):
                list(archive(ledger, home.root / "archive", end=size))
        left = list((home.root / "archive").iterdir()) if (home.root / "archive").exists() else []
        assert [path.name for path in left if path.suffix != ".dbarchive"] == []
        assert (ledger.head().size, table(home)) == (size, [])
        assert len(list(archive(ledger, home.root / "archive", end=size))) == 1
    assert home.verify().ok


def test_where_files_cannot_have_two_names_they_get_one_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On file systems without links, and still over nothing."""
    # shows: N3
    home = filled(tmp_path / "home")

    def no_link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    archived(home)
    assert len(files(home)) == 1
    with pytest.raises(ArchiveTaken):
        writing._name(files(home)[0], files(home)[0])
    assert home.verify().ok


def test_a_damaged_ledger_is_not_archived(tmp_path: Path) -> None:
    """What does not add up to the tree gets no file, so that nothing is ever pruned for it."""
    # shows: N3
    home = filled(tmp_path / "home")
    for number, sql in enumerate(
        (
            "UPDATE event SET payload = CAST('{}' AS BLOB) WHERE leaf = 300",
            "UPDATE event SET header = CAST(replace(header, '2026-', '2025-') AS BLOB) WHERE leaf = 300",
            "UPDATE event SET header = x'' WHERE leaf = 300",
            "UPDATE event SET header = x'00ff', payload = NULL WHERE leaf = 300",
        )
    ):
        copy = home.copy(f"copy-{number}")
        copy.sql(sql)
        with copy.open() as ledger, pytest.raises(DaybreakError):
            list(archive(ledger, copy.root / "archive", end=ledger.head().size))
        assert files(copy) == []
        assert table(copy) == []
