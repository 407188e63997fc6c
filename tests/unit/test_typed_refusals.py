"""Files that lie, are broken, or would blow up: each is refused with a stable code and its place, before any work."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from daybreak.errors import DaybreakError
from daybreak.host import typed
from daybreak.host.typed import Limits, source

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8)
)
DUPLICATE, FORBIDDEN, MALFORMED, WRONG, COMPLEX, EMPTY = "H181", "H182", "H180", "H178", "H183", "H175"

CORPUS: list[tuple[str, bytes | str, str, int | None, int | None]] = [
    # name, content, code, line, column
    ("empty.json", "", EMPTY, None, None),
    ("empty.txt", "", EMPTY, None, None),
    ("picture.json", PNG, WRONG, None, None),
    ("picture.txt", PNG, WRONG, None, None),
    ("picture.csv", PNG, WRONG, None, None),
    ("picture.jpg", PNG, WRONG, None, None),
    ("text.png", "no picture", WRONG, None, None),
    ("text.zip", "PK is a name", WRONG, None, None),
    ("page.svg", "<html></html>", WRONG, None, None),
    ("garbage.json", bytes(range(256)), WRONG, None, None),
    ("garbage.txt", b"\x93\x01\xff\x00\x80" * 20, WRONG, None, None),
    ("garbage.md", b"abc\xff\x01\x02", WRONG, None, None),
    ("database.txt", b"SQLite format 3\0" + bytes(84), WRONG, None, None),
    ("twice.json", '{"a": 1,\n "a": 2}', DUPLICATE, 2, 2),
    ("escaped.json", '{"a": 1, "\\u0061": 2}', DUPLICATE, 1, 10),
    ("inner.json", '[{"b": {"x": 1,\n"x": 2}}]', DUPLICATE, 2, 1),
    ("nan.json", "[1,\n NaN]", FORBIDDEN, 2, 2),
    ("infinity.json", '{"a": -Infinity}', FORBIDDEN, 1, 7),
    ("huge-float.json", '{"a": [1e999]}', FORBIDDEN, 1, 8),
    ("huge-int.json", "[" + "9" * 5000 + "]", FORBIDDEN, 1, 2),
    ("deep.json", "[" * 500 + "]" * 500, COMPLEX, 1, 101),
    ("deeper.json", '{"a":' * 200_000, COMPLEX, 1, 501),
    ("half.json", '["ok", "\\ud800"]', MALFORMED, 1, 8),
    ("open.json", '{"a":\n', MALFORMED, 2, 1),
    ("comment.json", "// no\n{}", MALFORMED, 1, 1),
    ("latin.json", b'{"a":"\xe9"}', "H179", 1, 7),
    ("nul.json", "[1,\n\0]", FORBIDDEN, 2, 1),
    ("zeros.json", bytes(300), FORBIDDEN, 1, 1),
    ("zeros.txt", bytes(300), FORBIDDEN, 1, 1),
    ("raw-control.json", '["a\x01"]', MALFORMED, 1, 4),
    ("two.json", "{} {}", MALFORMED, 1, 4),
    ("twice.yaml", "a: 1\nb: 2\na: 3\n", DUPLICATE, 3, 1),
    ("numbers.yaml", "1: a\n0x1: b\n", DUPLICATE, 2, 1),
    ("merges.yaml", "a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n", DUPLICATE, 4, 3),
    ("bomb.yaml", BOMB, "H184", 5, 29),
    ("itself.yaml", "&a [*a]", MALFORMED, 1, 5),
    ("unknown.yaml", "a: *b", MALFORMED, 1, 4),
    ("tag.yaml", "a: !!python/object/apply:os.system [x]", FORBIDDEN, 1, 4),
    ("tag-root.yaml", "!!set {a}", FORBIDDEN, 1, 1),
    ("binary.yaml", "a: !!binary aGk=", FORBIDDEN, 1, 4),
    ("nan.yaml", "a: 1\nb: .NaN", FORBIDDEN, 2, 4),
    ("infinity.yaml", "[-.inf]", FORBIDDEN, 1, 2),
    ("float.yaml", "1e999", FORBIDDEN, 1, 1),
    ("digits.yaml", "a: " + "1" * 5000, FORBIDDEN, 1, 4),
    ("two.yaml", "a: 1\n---\nb: 2", MALFORMED, 2, 1),
    ("deep.yaml", "[" * 300, COMPLEX, 1, 102),
    ("deeper.yaml", "- " * 5000, COMPLEX, 1, 203),
    ("list-key.yaml", "? [a]\n: 1", FORBIDDEN, 1, 3),
    ("true-key.yaml", "true: 1", FORBIDDEN, 1, 1),
    ("merge-text.yaml", "<<: hello", MALFORMED, 1, 5),
    ("bell.yaml", "a: \x07", MALFORMED, 1, 4),
    ("tab.yaml", "a:\n\t- b", MALFORMED, 2, 1),
    ("twice.toml", "a = 1\nb = 2\na = 3\n", DUPLICATE, 3, 6),
    ("tables.toml", "[a]\n[a]\n", DUPLICATE, 2, 3),
    ("dotted.toml", "a.b = 1\na.b.c = 2\n", DUPLICATE, 2, 10),
    ("nan.toml", "nanny = 1\nb = nan", FORBIDDEN, 2, 5),
    ("infinity.toml", "b = [1.0,\n-inf]", FORBIDDEN, 2, 1),
    ("float.toml", "b = 1e999", FORBIDDEN, 1, 5),
    ("digits.toml", "b = " + "1" * 5000, FORBIDDEN, 1, 5),
    ("deep.toml", "a = " + "[" * 5000, COMPLEX, 1, 105),
    ("dots.toml", "a" + ".a" * 50_000 + " = 1", COMPLEX, 1, 200),
    ("dots-header.toml", "[a" + " . 'a'" * 50_000 + "]", COMPLEX, 1, 598),
    ("zero.toml", "a = 07", MALFORMED, 1, 6),
    ("marked.toml", b"a = '\xff'", "H179", 1, 6),
    ("width.csv", "a,b\n1,2\n3\n", MALFORMED, 3, None),
    ("wide.csv", 'a,b\n"1\n1",2\n3,4,5\n', MALFORMED, 4, None),
    ("blank.csv", "a,b\n\n1,2\n", MALFORMED, 2, None),
    ("blank-first.csv", "\na,b\n", MALFORMED, 1, None),
    ("header.csv", "a,b,a\n", DUPLICATE, 1, None),
    ("quote.csv", 'a,b\n"x,1\n', MALFORMED, 2, None),
    ("stray.csv", 'a,b\n"x"y,1\n', MALFORMED, 2, None),
    ("nul.csv", "a,b\n1,\0\n", FORBIDDEN, 2, 3),
    ("width.tsv", "a\tb\n1\n", MALFORMED, 2, None),
    ("blank.jsonl", "1\n\n2\n", MALFORMED, 2, None),
    ("twice.jsonl", '{"a": 1}\n{"a": 1, "a": 2}\n', DUPLICATE, 2, 10),
    ("open.jsonl", '{"a": 1}\n{"a":\n', MALFORMED, 2, 6),
    ("open.md", "---\na: 1\n# Text\n", MALFORMED, 1, 1),
    ("twice.md", "---\na: 1\na: 2\n---\n", DUPLICATE, 3, 1),
    ("list.md", "---\n- a\n---\n", MALFORMED, 2, None),
    ("entity.xml", '<!DOCTYPE a [<!ENTITY x "y">]>\n<a>&x;</a>', FORBIDDEN, 1, 13),
    ("outside.xml", '<!DOCTYPE a SYSTEM "file:///etc/passwd">\n<a/>', FORBIDDEN, 1, 40),
    ("dtd.svg", '<?xml version="1.0"?><!DOCTYPE svg><svg/>', WRONG, None, None),
    ("deep.xml", "<a>" * 20_000, COMPLEX, 1, 301),
    ("tags.xml", "<a>\n<b></a>", MALFORMED, 2, 6),
    ("encoding.xml", '<?xml version="1.0" encoding="made-up"?><a/>', MALFORMED, 1, 31),
    ("multi.xml", '<?xml version="1.0" encoding="utf-7"?><a/>', MALFORMED, 1, 31),
    ("two.xml", "<a/><b/>", MALFORMED, 1, 5),
]


@pytest.mark.parametrize(("name", "content", "code", "line", "column"), CORPUS, ids=[row[0] for row in CORPUS])
def test_bad_content_is_refused_with_its_code_and_place(
    tmp_path: Path, name: str, content: bytes | str, code: str, line: int | None, column: int | None
) -> None:
    """Each bad file gives the code of what is wrong with it, where it is wrong, and what to do."""
    # shows: X1, P8
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(typed.FileRefused) as caught:
        typed.read(path)
    assert (caught.value.code, caught.value.line) == (code, line), caught.value
    assert column is None or caught.value.column == column, caught.value
    assert caught.value.hint
    assert caught.value.path == str(path)
    assert name in caught.value.message


BAD_PATHS: list[tuple[Any, str]] = [
    ("", "H172"),
    ("a\0b.json", "H172"),
    ("x" * 5000 + ".json", "H172"),
    ("x/" * 3000 + "x.json", "H172"),
    ("\ud800.json", "H172"),
    (b"bytes.json", "H172"),
    (None, "H172"),
    (3.5, "H172"),
    ("not there.json", "H171"),
    ("not/there.json", "H171"),
    ("file.json/below.json", "H171"),
    ("folder.json", "H172"),
    ("pipe.json", "H172"),
    ("socket.json", "H172"),
    ("loop.json", "H172"),
    ("dangling.json", "H171"),
    ("/dev/zero", "H172"),
    ("file", "H173"),
    ("file.unheard-of", "H173"),
    (".json", "H173"),
]


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one of everything that is no good file."""
    import socket

    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.json").write_text("{}")
    (tmp_path / "folder.json").mkdir()
    os.mkfifo("pipe.json")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket.json")
    (tmp_path / "loop.json").symlink_to("loop.json")
    (tmp_path / "dangling.json").symlink_to("nowhere.json")
    return tmp_path


@pytest.mark.parametrize(("path", "code"), BAD_PATHS, ids=[str(row[0])[:20].replace("\0", "0") for row in BAD_PATHS])
@pytest.mark.usefixtures("yard")
def test_a_path_that_names_no_good_file_is_refused(path: Any, code: str) -> None:
    """Missing, folder, pipe (without waiting), socket, device, loop, NUL, too long, no path at all: typed refusals."""
    # shows: X1, P8
    with pytest.raises(typed.FileRefused) as caught:
        typed.read(path, "json" if str(path).startswith("/dev") else None)
    assert caught.value.code == code, caught.value
    assert caught.value.hint
    assert caught.value.message.isprintable()


def test_a_link_to_a_good_file_is_read(yard: Path) -> None:
    """Reading follows links, also on the way."""
    (yard / "link.json").symlink_to("file.json")
    assert typed.read(yard / "link.json").value == {}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EMFILE, errno.EIO, errno.ESTALE])
def test_what_the_system_does_not_let_us_open_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Said by the system itself, because for root every file can be opened."""
    # shows: X1

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(source.os, "open", fail)
    with pytest.raises(typed.FileUnreadable):
        typed.read(tmp_path / "a.json")


def test_a_failing_disk_is_a_typed_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input/output error while reading comes out as FileUnreadable, and the file is closed."""
    # shows: X1
    path = tmp_path / "a.json"
    path.write_text("{}")
    before = len(os.listdir("/proc/self/fd"))

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(source.os, "read", fail)
    with pytest.raises(typed.FileUnreadable):
        typed.read(path)
    monkeypatch.undo()
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_more_than_the_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over the limit is refused by its size, and one that grows while it is read after limit + 1 bytes."""
    # shows: P8
    path, taken = tmp_path / "a.txt", []
    path.write_bytes(b"x" * 1001)
    real_read, real_fstat = os.read, os.fstat

    def count(descriptor: int, size: int) -> bytes:
        data = real_read(descriptor, size)
        taken.append(len(data))
        return data

    monkeypatch.setattr(source.os, "read", count)
    with pytest.raises(typed.FileTooLarge):
        typed.read(path, limits=Limits(bytes_max=1000))
    assert taken == []

    def small(descriptor: int) -> os.stat_result:
        status = list(real_fstat(descriptor))
        status[6] = 0
        return os.stat_result(status)

    monkeypatch.setattr(source.os, "fstat", small)
    path.write_bytes(b"x" * 5000)
    with pytest.raises(typed.FileTooLarge):
        typed.read(path, limits=Limits(bytes_max=1000))
    assert sum(taken) == 1001


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    """The limit is inclusive."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 1000)
    assert len(typed.read(path, limits=Limits(bytes_max=1000)).value) == 1000


@pytest.mark.parametrize("suffix", ["json", "yaml", "toml", "csv", "jsonl", "xml"])
def test_too_many_values_are_refused_in_every_format(tmp_path: Path, suffix: str) -> None:
    """The number of values is limited as well: memory is many times the size on disk."""
    # shows: P8
    content = {
        "json": "[" + "[]," * 2000 + "0]",
        "yaml": "- a\n" * 2000,
        "toml": "a = [" + "1," * 2000 + "]",
        "csv": "a\n" * 1 + "1\n" * 2000,
        "jsonl": "1\n" * 2000,
        "xml": "<a>" + "<b/>" * 2000 + "</a>",
    }[suffix]
    path = tmp_path / f"a.{suffix}"
    path.write_text(content)
    with pytest.raises(typed.TooComplex):
        typed.read(path, limits=Limits(values_max=1000))
    typed.read(path, limits=Limits(values_max=5000))


def test_commas_in_strings_are_no_values(tmp_path: Path) -> None:
    """The quick count before parsing never refuses by itself."""
    path = tmp_path / "a.json"
    path.write_text('["' + "," * 5000 + '"]')
    assert len(typed.read(path, limits=Limits(values_max=1000)).value[0]) == 5000
    toml = tmp_path / "a.toml"
    toml.write_text('a = "' + ",.[" * 5000 + '"\n')
    assert len(typed.read(toml, limits=Limits(values_max=1000)).value["a"]) == 15000


@pytest.mark.parametrize(
    "bad",
    [
        {"bytes_max": 0},
        {"bytes_max": -1},
        {"bytes_max": True},
        {"bytes_max": 1.5},
        {"bytes_max": "10"},
        {"depth_max": 201},
        {"empty_ok": 1},
        {"ratio_max": None},
    ],
)
def test_limits_outside_their_range_are_refused(bad: dict[str, Any]) -> None:
    """A wrong limit is told, not used."""
    # shows: P8
    with pytest.raises(typed.LimitsRefused) as caught:
        Limits(**bad)
    assert caught.value.code == "H185"


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    """Limits that are none, encodings that do not exist or are none for text, kinds without a handler."""
    # shows: P8
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    wrong: list[dict[str, Any]] = [
        {"limits": 5},
        {"encoding": "klingon"},
        {"encoding": "hex"},
        {"encoding": "a\0b"},
        {"encoding": "\ud800"},
        {"encoding": 5},
        {"type": "klingon"},
        {"type": 5},
        {"type": ""},
    ]
    for options in wrong:
        with pytest.raises(DaybreakError) as caught:
            typed.read(path, **options)
        assert caught.value.code in ("H185", "H173"), options


def test_limits_that_are_none_are_refused_everywhere(tmp_path: Path) -> None:
    """Before anything is read or written."""
    # shows: P8
    for use in (
        lambda: typed.archive.inspect(tmp_path / "a.zip", limits=5),  # type: ignore[arg-type]
        lambda: typed.write(tmp_path / "a.json", {}, limits=5),  # type: ignore[call-overload,arg-type]
        lambda: typed.edit(tmp_path / "a.json", {("a",): 1}, limits=5),  # type: ignore[arg-type]
    ):
        with pytest.raises(typed.LimitsRefused):
            use()
    assert not list(tmp_path.iterdir())


def test_the_type_asked_for_is_checked_with_the_place(tmp_path: Path) -> None:
    """`into` gives a typed value, or says which field is of another type."""
    # shows: X1
    from dataclasses import dataclass

    @dataclass
    class Server:
        host: str
        port: int

    path = tmp_path / "a.toml"
    path.write_text('host = "h"\nport = 80\n')
    assert typed.read(path, into=Server).value == Server("h", 80)
    path.write_text('host = "h"\nport = "80"\n')
    with pytest.raises(typed.WrongShape, match="port"):
        typed.read(path, into=Server)
    table = tmp_path / "a.csv"
    table.write_text("host,port\nh,80\n")
    assert typed.read(table, into=list[Server]).value == [Server("h", 80)]
    xml = tmp_path / "a.xml"
    xml.write_text("<a/>")
    with pytest.raises(typed.WrongShape):
        typed.read(xml, into=Server)


def test_an_empty_file_is_taken_only_where_asked_and_meaningful(tmp_path: Path) -> None:
    """`empty_ok` gives text without characters and no records, and never an empty JSON document."""
    # shows: X1
    allowed = Limits(empty_ok=True)
    for name, value in (("a.txt", ""), ("a.md", typed.Page("")), ("a.jsonl", [])):
        (tmp_path / name).touch()
        assert typed.read(tmp_path / name, limits=allowed).value == value
    for name in ("a.json", "a.yaml", "a.toml", "a.csv", "a.xml", "a.png", "a.zip"):
        (tmp_path / name).touch()
        with pytest.raises(typed.FileEmpty):
            typed.read(tmp_path / name, limits=allowed)


def test_every_refusal_has_its_own_code() -> None:
    """No two classes share a code, and all lie in the range of this package."""
    kinds = [getattr(typed, name) for name in typed.__all__]
    codes = [one.code for one in kinds if isinstance(one, type) and issubclass(one, DaybreakError)]
    assert len(codes) == len(set(codes)) == 20
    assert all("H170" <= code <= "H189" for code in codes)
