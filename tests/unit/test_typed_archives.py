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
import zlib
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Part:
    """A member as it is written, with what its two headers say; None: the truth."""

    name: bytes
    content: bytes = b""
    method: int = 0
    flags: int = 0x800
    packed: bytes | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    local_packed_size: int | None = None
    local_method: int | None = None
    local_flags: int | None = None
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    after: bytes = b""
    extra: bytes = b""


def raw_zip(*parts: Part, before: bytes = b"", tail: bytes = b"") -> bytes:
    """A zip byte by byte: the standard library writes no lies."""
    out, directory = bytearray(before), bytearray()
    for one in parts:
        packed = one.content if one.packed is None else one.packed
        crc = zlib.crc32(one.content) if one.crc is None else one.crc
        size = len(one.content) if one.size is None else one.size
        packed_size = len(packed) if one.packed_size is None else one.packed_size
        local = one.name if one.local_name is None else one.local_name
        at = len(out)
        out += struct.pack(
            "<4s5H3L2H",
            *(b"PK\x03\x04", 20),
            one.flags if one.local_flags is None else one.local_flags,
            one.method if one.local_method is None else one.local_method,
            *(0, 33, crc),
            packed_size if one.local_packed_size is None else one.local_packed_size,
            size if one.local_size is None else one.local_size,
            *(len(local), 0),
        )
        out += local + packed + one.after
        directory += struct.pack(
            "<4s6H3L5H2L",
            *(b"PK\x01\x02", 20, 20, one.flags, one.method, 0, 33, crc, packed_size, size),
            *(len(one.name), len(one.extra), 0, 0, 0, 0, at),
        )
        directory += one.name + one.extra
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(parts), len(parts), len(directory), len(out), len(tail))
    return bytes(out + directory) + end + tail


def deflated(content: bytes) -> bytes:
    """As zip stores it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


# -- names that are one name for somebody


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("a", "a/b"), "is a file, and the folder of 'a/b'"),
        (("a/b", "a"), "is a file, and the folder of 'a/b'"),
        (("A", "a/b/c"), "is a file, and the folder of 'a/b/c'"),
        (("e\u0301", "e\u0301/b"), "is a file, and the folder of"),
        (("a", "a"), "is there twice"),
        (("a/", "a"), "is there twice"),
        (("a/b", "a//b"), "is one name with 'a/b'"),
        (("a/b", "./a/b"), "is one name with 'a/b'"),
        (("Straße", "STRASSE"), "is there twice: it is one name with"),
        (("caf\u00e9", "cafe\u0301"), "is there twice: it is one name with"),
        (("CAF\u00c9/x", "cafe\u0301/X"), "is there twice: it is one name with"),
        (("\uac00", "\u1100\u1161"), "is there twice: it is one name with"),
        (("a", "a."), "is one name with 'a'"),
        (("a", "a "), "is one name with 'a'"),
        (("a/b", "a\\b"), "backslash"),
        (("a\\b",), "backslash"),
        (("..\\a",), "leads outside"),
        (("\\a",), "absolute"),
        (("c:a",), "absolute"),
        (("C:\\a",), "absolute"),
        (("/a",), "absolute"),
        (("a/../b",), "leads outside"),
        (("a/..",), "leads outside"),
    ],
)
def test_names_that_are_one_place_for_somebody_are_named(
    tmp_path: Path, form: str, names: tuple[str, ...], why: str
) -> None:
    """File and folder of one name; equal after folding case or composing accents; other ways to write one path."""
    # shows: X1, P8
    data = (
        raw_zip(*(Part(name.encode()) for name in names))
        if form == "zip"
        else tar(*((entry(name, tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE), b"") for name in names))
    )
    path = tmp_path / f"a.{form}"
    path.write_bytes(gzip.compress(data) if form == "tar.gz" else data)
    problems = archive.list_members(path).problems
    assert any(why in one for one in problems), problems
    with pytest.raises(typed.ArchiveUnsafe):
        archive.inspect(path)


def test_folders_may_be_told_twice_and_before_or_after_what_is_in_them(tmp_path: Path) -> None:
    """What every packer does is no problem."""
    # shows: X1
    names = ("a/", "a/b", "c/d", "c/", "a/", "c/d.txt", "a/b.txt", "\u00e9t\u00e9/caf\u00e9", "ete/cafe")
    for name, data in (
        ("a.zip", raw_zip(*(Part(one.encode()) for one in names))),
        (
            "a.tar",
            tar(*((entry(one, tarfile.DIRTYPE if one.endswith("/") else tarfile.REGTYPE), b"") for one in names)),
        ),
    ):
        (tmp_path / name).write_bytes(data)
        assert archive.inspect(tmp_path / name).problems == ()


# -- zips whose headers lie


HELLO = b"hello " * 100
SMALL = deflated(HELLO)
DESCRIBED = struct.pack("<4s3L", b"PK\x07\x08", zlib.crc32(HELLO), len(SMALL), len(HELLO))
UNICODE_PATH = struct.pack("<HHBL", 0x7075, 10, 1, zlib.crc32(b"a")) + b"../up"

LIES: list[tuple[str, bytes, str]] = [
    ("holds more, deflated", raw_zip(Part(b"a", HELLO, 8, packed=SMALL, size=10, local_size=10)), "holds more than"),
    ("holds more, stored", raw_zip(Part(b"a", HELLO, size=10, local_size=10)), "holds more than"),
    ("holds less", raw_zip(Part(b"a", HELLO, 8, packed=SMALL, size=9999, local_size=9999)), "holds 600 bytes"),
    ("holds less, stored", raw_zip(Part(b"a", HELLO, size=9999, local_size=9999)), "holds 600 bytes"),
    ("other size in front", raw_zip(Part(b"a", HELLO, 8, packed=SMALL, local_size=10)), "two sizes"),
    ("other packed size in front", raw_zip(Part(b"a", HELLO, 8, packed=SMALL, local_packed_size=3)), "two sizes"),
    ("other name in front", raw_zip(Part(b"a", HELLO, local_name=b"../b")), "another name"),
    ("other method in front", raw_zip(Part(b"a", SMALL, 0, local_method=8)), "two ways"),
    ("other flags in front", raw_zip(Part(b"a", HELLO, local_flags=0x801)), "two ways"),
    ("ends early", raw_zip(Part(b"a", HELLO, 8, packed=SMALL + b"hidden")), "more than its content"),
    ("hidden between", raw_zip(Part(b"a", HELLO, after=raw_zip(Part(b"../up", b"x"))), Part(b"b")), "does not list"),
    ("hidden at the end", raw_zip(Part(b"a", HELLO, after=raw_zip(Part(b"../up", b"x"))[:36])), "does not list"),
    ("hidden in front", raw_zip(Part(b"a"), before=raw_zip(Part(b"../up", b"x"))), "does not list"),
    ("two directories", raw_zip(Part(b"a"), tail=raw_zip(Part(b"b"))), "two directories"),
    ("second name", raw_zip(Part(b"a", extra=UNICODE_PATH)), "another name"),
    ("locked", raw_zip(Part(b"a", HELLO, flags=0x801)), "encrypted"),
    ("unknown method", raw_zip(Part(b"a", HELLO, 9)), "method 9"),
]


@pytest.mark.parametrize(("data", "why"), [row[1:] for row in LIES], ids=[row[0] for row in LIES])
def test_a_zip_whose_headers_lie_is_named_and_refused(tmp_path: Path, data: bytes, why: str) -> None:
    """Readers go by the directory, by the headers in front or by the content: where these differ, each sees another
    archive."""
    # shows: X1, P8
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    problems = archive.list_members(path).problems
    assert any(why in one for one in problems), problems
    for look in (archive.inspect, typed.read):
        with pytest.raises(typed.ArchiveUnsafe):
            look(path)


def test_a_small_size_in_every_header_hides_no_bomb(tmp_path: Path) -> None:
    """What is counted is the content; not more of it is expanded than the headers admit."""
    # shows: X1, P8
    huge = deflated(bytes(50_000_000))
    path = tmp_path / "a.zip"
    path.write_bytes(raw_zip(Part(b"a", packed=huge, method=8, size=10, local_size=10, crc=0)))
    with pytest.raises(typed.ArchiveUnsafe, match="holds more than"):
        archive.inspect(path)


def test_damaged_content_of_a_zip_is_noticed(tmp_path: Path) -> None:
    """By its checksum, and where it does not expand at all."""
    # shows: X1, P8
    for one in (
        Part(b"a", HELLO, crc=5),
        Part(b"a", HELLO, 8, packed=SMALL, crc=5),
        Part(b"a", HELLO, 8, packed=b"\7"),
    ):
        path = tmp_path / "a.zip"
        path.write_bytes(raw_zip(one))
        with pytest.raises(typed.Malformed):
            archive.list_members(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("seekable", [True, False], ids=["seekable", "streamed"])
def test_honest_zips_of_every_writer_have_no_problem(tmp_path: Path, method: int, seekable: bool) -> None:
    """Each method; sizes in front or behind (as when written to a pipe); large headers; nested; with a comment."""
    # shows: X1

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return seekable

        def tell(self) -> int:
            if not seekable:
                raise OSError("a pipe")
            return super().tell()

    out = Pipe()
    with zipfile.ZipFile(out, "w", method) as file:
        file.writestr("folder/", b"")
        file.writestr("folder/é.txt", HELLO)
        file.writestr("empty", b"")
        file.writestr("inner.zip", packed("a", "b"))
        with file.open(zipfile.ZipInfo("large"), "w", force_zip64=True) as member:
            member.write(HELLO)
        file.comment = b"made for a test"
    path = tmp_path / "a.zip"
    path.write_bytes(out.getvalue())
    found = archive.inspect(path)
    assert found.problems == ()
    assert [one.name for one in found.members] == ["folder/", "folder/é.txt", "empty", "inner.zip", "large"]
    path.write_bytes(raw_zip(Part(b"a", HELLO, 8, flags=0x808, packed=SMALL, local_size=0, after=DESCRIBED)))
    assert archive.inspect(path).expanded_bytes == len(HELLO)


# -- what comes after the end of a tar


@pytest.mark.parametrize("packer", ["", *PACKERS])
def test_members_behind_the_end_of_a_tar_are_named(tmp_path: Path, packer: str) -> None:
    """Some readers go on after the end mark, others do not. Zeros up to the block are no members."""
    # shows: X1, P8
    pack = PACKERS.get(packer, lambda data: data)
    path = tmp_path / ("a.tar" + (f".{packer}" if packer else ""))
    good = tar((entry("a"), b"x"))
    path.write_bytes(pack(good + bytes(10_240)))
    assert archive.inspect(path).problems == ()
    for data in (good + tar((entry("../up"), b"x")), good[:1536] + tar((entry("../up"), b"x")), good + b"x"):
        path.write_bytes(pack(data))
        assert any("after its end" in one for one in archive.list_members(path).problems)
        with pytest.raises(typed.ArchiveUnsafe):
            archive.inspect(path)


SEEDS = [
    GOOD,
    packed("a", "b/c"),
    packed("a", content=b"/etc", mode=stat.S_IFLNK | 0o777),
    overlapping(3),
    raw_zip(Part(b"a", HELLO, 8, packed=SMALL), Part(b"b", HELLO)),
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
