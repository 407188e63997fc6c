"""Archives are looked into without unpacking; what would land outside, or blow up, is told."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.host import typed
from daybreak.host.typed import Limits, archive
from daybreak.host.typed.source import Source

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
}


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of these."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as file:
        for info, content in members:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return out.getvalue()


def entry(name: str, type: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """A header."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type, target
    return info


def packed(*names: str, content: bytes = b"hello", mode: int = 0) -> bytes:
    """A zip with these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, content)
    return out.getvalue()


GOOD = tar((entry("a/b.txt"), b"hello"), (entry("a/" + "long" * 60 + ".txt"), b"x" * 2000), (entry("é"), b""))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("packer", ["", *PACKERS])
def test_every_form_of_tar_is_listed_like_the_standard_library_does(tmp_path: Path, packer: str, form: int) -> None:
    """Names, long ones too, sizes and kinds, plain and in four compressions."""
    # shows: X1
    data = tar(
        (entry("a", tarfile.DIRTYPE), b""),
        (entry("a/b.txt"), b"hello"),
        (entry("a/" + "long" * 60 + ".txt"), b"x" * 2000),
        (entry("é" * 80), b"y"),
        form=form,
    )
    path = tmp_path / ("a.tar" + (f".{packer}" if packer else ""))
    path.write_bytes(PACKERS[packer](data) if packer else data)
    found = typed.read(path).value
    with tarfile.open(fileobj=io.BytesIO(data)) as theirs:
        expected = [(one.name, one.size, "folder" if one.isdir() else "file") for one in theirs]
    assert [(one.name.rstrip("/"), one.size, one.what) for one in found.members] == expected
    assert found.form == "tar" + (f".{packer}" if packer else "")
    assert found.expanded_bytes == 2006
    assert found.problems == ()


def test_a_zip_is_listed_with_sizes(tmp_path: Path) -> None:
    """Also under the other names that a zip goes by."""
    # shows: X1
    for name in ("a.zip", "a.whl", "a.docx"):
        path = tmp_path / name
        path.write_bytes(packed("a/", "a/b.txt"))
        found = typed.read(path).value
        assert [(one.name, one.what, one.size) for one in found.members] == [
            ("a/", "folder", 5),
            ("a/b.txt", "file", 5),
        ]


@pytest.mark.parametrize("packer", PACKERS)
def test_one_compressed_file_is_counted_also_in_several_parts(tmp_path: Path, packer: str) -> None:
    """Concatenated streams count together; the name is what is left without the extension."""
    # shows: X1
    path = tmp_path / f"notes.txt.{packer}"
    path.write_bytes(PACKERS[packer](b"hello") + PACKERS[packer](b" world"))
    found = archive.inspect(path)
    assert (found.form, found.members) == (packer, (archive.Member("notes.txt", "file", 11),))


UNSAFE: list[tuple[str, bytes, str]] = [
    ("up.tar", tar((entry("../up"), b"x")), "leads outside"),
    ("deep-up.tar", tar((entry("a/../../up"), b"x")), "leads outside"),
    ("absolute.tar", tar((entry("/etc/passwd"), b"x")), "absolute"),
    ("symlink.tar", tar((entry("a", tarfile.SYMTYPE, "/etc"), b"")), "link to '/etc'"),
    ("hardlink.tar", tar((entry("a", tarfile.LNKTYPE, "../b"), b"")), "link to"),
    ("device.tar", tar((entry("a", tarfile.CHRTYPE), b"")), "device"),
    ("pipe.tar", tar((entry("a", tarfile.FIFOTYPE), b"")), "device"),
    ("twice.tar", tar((entry("a"), b"x"), (entry("a"), b"y")), "there twice"),
    ("case.tar", tar((entry("Readme"), b"x"), (entry("README"), b"y")), "there twice"),
    ("under-file.tar", tar((entry("a"), b"x"), (entry("a/", tarfile.DIRTYPE), b"")), "there twice"),
    ("long.tar", tar((entry("a/" * 3000 + "b"), b"x")), "more than 4096"),
    ("drive.tar", tar((entry("C:/windows"), b"x")), "absolute"),
    ("back.tar", tar((entry("a\\..\\..\\b"), b"x")), "leads outside"),
    ("unc.tar", tar((entry("\\\\server\\share"), b"x")), "absolute"),
    ("aux.tar", tar((entry("a/AUX.txt"), b"x")), "Windows"),
    ("stream.tar", tar((entry("a.txt:hidden"), b"x")), "Windows"),
    ("newline.tar", tar((entry("a\nb"), b"x")), "control character"),
    ("up.zip", packed("../up"), "leads outside"),
    ("absolute.zip", packed("/etc/passwd"), "absolute"),
    ("nul.zip", packed("aXb").replace(b"aXb", b"a\0b"), "control character"),
    ("symlink.zip", packed("a", content=b"/etc/passwd", mode=stat.S_IFLNK | 0o777), "link to '/etc/passwd'"),
    ("device.zip", packed("a", mode=stat.S_IFCHR | 0o666), "device"),
    ("case.zip", packed("a", "A"), "there twice"),
]


@pytest.mark.parametrize(("name", "data", "why"), UNSAFE, ids=[row[0] for row in UNSAFE])
def test_unsafe_members_are_named_and_refused(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    """`list_members` tells, `inspect` and `read` refuse."""
    # shows: X1, P8
    path = tmp_path / name
    path.write_bytes(data)
    assert any(why in one for one in archive.list_members(path).problems), archive.list_members(path).problems
    for look in (archive.inspect, typed.read):
        with pytest.raises(typed.ArchiveUnsafe) as caught:
            look(path)
        assert caught.value.code == "H186"
    assert [one.name for one in tmp_path.iterdir()] == [name], "nothing was unpacked"


def overlapping(copies: int) -> bytes:
    """A zip whose members all share one compressed block."""
    data = packed("a", content=bytes(100_000))
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    record = data[start:end]
    records = b"".join(record.replace(b"a", bytes([98 + n]), 1) for n in range(copies))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, copies, copies, len(records), start, 0)
    return data[:start] + records + tail


def claiming(size: int) -> bytes:
    """A tar whose extended header says it is that long."""
    info = entry("x", tarfile.XHDTYPE)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(512)


BOMBS: list[tuple[str, bytes]] = [
    ("zeros.zip", packed("a", content=bytes(20_000_000))),
    ("overlap.zip", overlapping(20)),
    ("header.tar", claiming(1 << 30)),
    *((f"zeros.{name}", pack(bytes(20_000_000))) for name, pack in PACKERS.items()),
    *((f"zeros.tar.{name}", pack(tar((entry("a"), bytes(20_000_000))))) for name, pack in PACKERS.items()),
]


@pytest.mark.parametrize(("name", "data"), BOMBS, ids=[row[0] for row in BOMBS])
def test_what_would_blow_up_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    """Ratio, overlap, endless headers: refused after little work."""
    # shows: X1, P8
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(typed.Bomb) as caught:
        archive.list_members(path)
    assert caught.value.code == "H184"


def test_size_and_number_of_members_are_limited(tmp_path: Path) -> None:
    """Both limits, for zip and tar."""
    # shows: P8
    for name, data in (
        ("a.zip", packed(*(f"f{n}" for n in range(50)), content=b"x" * 100)),
        ("a.tar", tar(*((entry(f"f{n}"), b"x" * 100) for n in range(50)))),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(typed.TooComplex):
            archive.list_members(path, limits=Limits(members_max=49))
        with pytest.raises(typed.Bomb):
            archive.list_members(path, limits=Limits(expanded_bytes_max=4999))
        assert len(archive.list_members(path, limits=Limits(expanded_bytes_max=5000, members_max=50)).members) == 50


def test_a_chain_of_extended_headers_does_not_recurse(tmp_path: Path) -> None:
    """Thousands of headers that each announce the next are read in a loop."""
    # shows: P8
    record = b"11 path=ab\n"
    info = entry("x", tarfile.XHDTYPE)
    info.size = len(record)
    one = info.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(one * 5000 + tar((entry("z"), b"x"), form=tarfile.USTAR_FORMAT))
    assert [one.name for one in archive.list_members(tmp_path / "a.tar").members] == ["ab"]


def test_a_member_that_hides_its_size_in_an_extended_header_is_counted(tmp_path: Path) -> None:
    """The larger size counts: unpackers believe it."""
    # shows: P8
    record = b"20 size=10000000000\n"
    info = entry("x", tarfile.XHDTYPE)
    info.size = len(record)
    data = info.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0") + tar((entry("z"), b"x"))
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(typed.FileRefused):
        archive.list_members(tmp_path / "a.tar")


@pytest.mark.parametrize("cut", [1, 20, 513, 700, 1500])
@pytest.mark.parametrize("packer", ["", "zip", *PACKERS])
def test_damaged_archives_are_typed_refusals(tmp_path: Path, packer: str, cut: int) -> None:
    """Cut anywhere: never an exception of a library."""
    # shows: X1, P8
    data = packed("a", "b") if packer == "zip" else PACKERS[packer](GOOD) if packer else GOOD
    path = tmp_path / f"a.{packer or 'tar'}"
    path.write_bytes(data[:cut] if cut < len(data) else data[:-1])
    with pytest.raises(typed.FileRefused):
        typed.read(path)


def test_archives_that_cannot_be_looked_into_say_so(tmp_path: Path) -> None:
    """7z and rar are recognised, no more."""
    path = tmp_path / "a.7z"
    path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(30))
    assert typed.recognise(path).name == "7z"
    with pytest.raises(typed.KindUnknown):
        typed.read(path)
    (tmp_path / "a.tar").write_text("this is text")
    with pytest.raises(typed.WrongKind):
        archive.list_members(tmp_path / "a.tar")


SEEDS = [
    GOOD,
    packed("a", "b/c"),
    packed("a", content=b"/etc", mode=stat.S_IFLNK | 0o777),
    overlapping(3),
    *(pack(GOOD) for pack in PACKERS.values()),
]


@given(seed=st.sampled_from(SEEDS), data=st.data())
@settings(max_examples=400, deadline=None)
def test_archives_with_changed_bytes_are_listed_or_refused(seed: bytes, data: st.DataObject) -> None:
    """Flipped, cut and repeated bytes: a listing or a typed refusal, whatever the decompressors say."""
    # shows: P8
    changed = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(changed) - 1))
        how = data.draw(st.sampled_from(["set", "cut", "repeat"]))
        if how == "set":
            changed[at] = data.draw(st.integers(0, 255))
        elif how == "cut" and len(changed) > 20:
            del changed[at : at + data.draw(st.integers(1, 10))]
        else:
            changed[at:at] = changed[at : at + 16]
    try:
        archive.listing(Source("a", bytes(changed), Limits(expanded_bytes_max=1_000_000)))
    except typed.FileRefused as refused:
        assert refused.hint  # noqa: PT017 - both ends are right
