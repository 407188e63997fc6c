"""What a file is, told by its bytes; what text is in, told by marks, by UTF-8, by a guess that says it is one."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
import tempfile
import wave
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.errors import DaybreakError
from daybreak.host import typed
from daybreak.host.typed import Limits, kinds


def database() -> bytes:
    """A real SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder, "a.db"))
        connection.execute("create table t (a)")
        connection.commit()
        connection.close()
        return Path(folder, "a.db").read_bytes()


def docx() -> bytes:
    """A zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")
    return out.getvalue()


def sound() -> bytes:
    """A RIFF file that is no picture."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(100))
    return out.getvalue()


RECOGNISED: list[tuple[str, bytes, str]] = [
    ("a.bin", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "png"),
    ("a.json", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "png"),
    ("a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0", "jpeg"),
    ("a.gif", b"GIF89a\1\0\1\0\x80\0\0\0\0\0;", "gif"),
    ("a.txt", b"GIF89a is a format of pictures\n", "text"),
    ("a.webp", b"RIFF\x24\0\0\0WEBPVP8 ", "webp"),
    ("a.wav", sound(), "binary"),
    ("a.bmp", b"BM" + (70).to_bytes(4, "little") + bytes(4) + b"\x36\0\0\0\x28\0\0\0" + bytes(52), "bmp"),
    ("a.txt", b"BMW is a maker of cars, and BM a mark of nothing\n", "text"),
    ("a.tiff", b"II*\0\x08\0\0\0", "tiff"),
    ("a.tif", b"MM\0*\0\0\0\x08", "tiff"),
    ("a.docx", docx(), "zip"),
    ("a.txt", b"PK is short for Peter Kropotkin\n", "text"),
    ("a.rar", b"Rar!\x1a\x07\0" + bytes(20), "rar"),
    ("a.pdf", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "pdf"),
    ("a.sqlite", database(), "sqlite"),
    ("a.out", b"\x7fELF\2\1\1" + bytes(9), "elf"),
    ("a.exe", b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff" + bytes(60), "pe"),
    ("a.txt", b"MZ was a motorcycle maker; " * 4, "text"),
    ("a.svg", b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>', "svg"),
    ("a", b'<svg width="1"/>', "svg"),
    ("a", b"<?xml version='1.0'?><a/>", "xml"),
    ("a.json", b"{}", "json"),
    ("a.yml", b"a: 1", "yaml"),
    ("a.YAML", b"a: 1", "yaml"),
    ("Makefile", b"all:\n\ttrue\n", "text"),
    ("a.json", "{}".encode("utf-16"), "json"),
    ("a.txt", "größer".encode("latin-1"), "text"),
    ("a.txt", b"\x1b[31mred\x1b[0m\n", "text"),
    ("a.json", b"\0\1\2\3", "binary"),
    ("a.xyz", b"\xff\xfe\xfd\xfc\xfb\0"[2:], "binary"),
    ("a.tar.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\xff\3\0\0\0\0\0\0\0\0\0", "gz"),
]


@pytest.mark.parametrize(("name", "content", "expected"), RECOGNISED, ids=[f"{r[0]}-{r[2]}" for r in RECOGNISED])
def test_kinds_are_recognised_by_content_before_name(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    """The extension only says what kind of text a text is."""
    # shows: X1
    path = tmp_path / name
    path.write_bytes(content)
    assert typed.recognise(path).name == expected


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
@settings(deadline=None)
def test_text_is_never_taken_for_something_else(text: str) -> None:
    """No mark in the table matches UTF-8 text."""
    # shows: X1
    assert kinds.of_bytes(text.encode()).family == "text"


@given(
    words=st.lists(
        st.sampled_from(
            [
                "BM",
                "GIF89a",
                "RIFF",
                "WEBP",
                "PK",
                "Rar!",
                "%PDF",
                "MZ",
                "BZh9",
                "ID3",
                "OggS",
                "ustar",
                "7z",
                "II*",
                "MM",
                "SQLite",
            ]
        )
    )
)
@settings(deadline=None)
def test_marks_in_the_middle_of_words_do_not_count(words: list[str]) -> None:
    """Texts that begin with the letters of a mark are texts."""
    assert kinds.of_bytes(("".join(words) + " and more").encode()).family == "text"


def test_a_long_text_cut_inside_a_character_is_text(tmp_path: Path) -> None:
    """The sample ends anywhere; a broken character at its end is no sign of binary data."""
    path = tmp_path / "a.foo"
    path.write_bytes(b"x" * (kinds.SAMPLE_BYTES - 1) + "é".encode() * 10)
    assert typed.recognise(path).name == "text"


def test_recognising_reads_only_the_beginning(tmp_path: Path) -> None:
    """A huge sparse file costs no more than a small one."""
    path = tmp_path / "a.bin"
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(1 << 40)
    assert typed.recognise(path).name == "png"


@pytest.mark.parametrize(
    ("text", "codec", "expected"),
    [
        ("hello", "utf-8", "utf-8"),
        ("größer", "utf-8-sig", "utf-8-sig"),
        ("größer", "utf-16", "utf-16"),
        ("größer", "utf-32", "utf-32"),
        ("größer \U0001f600", "utf-16", "utf-16"),
    ],
)
def test_marked_text_needs_no_guess(tmp_path: Path, text: str, codec: str, expected: str) -> None:
    """Byte order marks are believed and are not part of the text."""
    # shows: X1
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(codec))
    document = typed.read(path)
    assert (document.value, document.encoding, document.guessed) == (text, expected, False)


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("café", "cp1252"),
        ("Größe und Übermut, schöne Straße\n", "cp1252"),
        ("naïve résumé, déjà vu — dash", "cp1252"),
        ("Привет мир, как дела сегодня", "cp1251"),
        ("こんにちは世界、元気ですか。今日はいい天気ですね", "cp932"),
        ("Les élèves français écrivent, où qu'ils aillent, à leur mère. Ça va déjà être Noël !\n" * 3000, "cp1252"),
        ("Zażółć gęślą jaźń, proszę bardzo, dziękuję", "cp1250"),
        ("Günaydın, nasılsınız? İyi akşamlar, şimdi", "cp1254"),
        ("Καλημέρα κόσμε, τι κάνεις", "cp1253"),
        ("你好世界今天天气很好我们去公园", "gb18030"),
    ],
)
def test_a_guess_is_right_for_ordinary_text_and_says_that_it_is_one(tmp_path: Path, text: str, codec: str) -> None:
    """Old files of text and tables are read; whoever must be sure looks at `guessed`, or names the encoding."""
    # shows: X1
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(codec))
    document = typed.read(path)
    assert (document.value, document.guessed) == (text, True)
    named = typed.read(path, encoding=codec)
    assert (named.value, named.guessed, named.encoding) == (text, False, codec)


def test_structured_files_are_never_guessed(tmp_path: Path) -> None:
    """JSON, YAML and TOML in an old encoding are refused, unless it is named."""
    # shows: X1
    for name, text in (("a.json", '{"a": "é"}'), ("a.yaml", "a: é"), ("a.toml", 'a = "é"'), ("a.jsonl", '"é"\n')):
        path = tmp_path / name
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(typed.NotText):
            typed.read(path)
        value = typed.read(path, encoding="latin-1").value
        assert value in ({"a": "é"}, ["é"])


def test_a_wrong_name_of_an_encoding_is_told_with_the_place(tmp_path: Path) -> None:
    """Bytes that do not fit the encoding named are refused where they stand."""
    path = tmp_path / "a.txt"
    path.write_bytes("ab\ncé".encode())
    with pytest.raises(typed.NotText) as caught:
        typed.read(path, encoding="ascii")
    assert (caught.value.line, caught.value.column) == (2, 2)


@pytest.mark.timeout(20)
def test_many_comments_do_not_take_for_ever(tmp_path: Path) -> None:
    """Looking for the first element of an SVG is linear: a pattern that may cut comments in two ways is not."""
    # shows: P8
    path = tmp_path / "a.svg"
    path.write_bytes(b"<!---->" * 9000 + b"<html/>")
    assert typed.recognise(path).name == "text"
    path.write_bytes(b"<!-- drawn -->\n" * 100 + b"<svg/>")
    assert typed.recognise(path).name == "svg"


HOSTILE_SUFFIXES = ["json", "yaml", "toml", "csv", "tsv", "jsonl", "md", "xml", "svg", "txt", "png", "zip", "tar", "gz"]
SNIPPETS = st.sampled_from(
    [
        *(
            '{"',
            '":',
            "[",
            "]",
            "{",
            "}",
            ",",
            '"',
            "'",
            "\\u",
            "\\ud800",
            "1e999",
            "NaN",
            "nul",
            "tru",
            "-",
            "- ",
            ": ",
        ),
        *("&a ", "*a", "<<: ", "!t ", "---\n", "...\n", "%YAML 9.9\n", "|\n", ">-\n", "? ", "\t", "\n", "\r\n", "\x85"),
        *("[a]\n", "[[a]]\n", "a = ", "a.b = ", '"""', "'''", "#", "=", "1979-13-01", "0x", "+++\n"),
        *("<a>", "</a>", "<a b='", "<!DOCTYPE a>", "<![CDATA[", "]]>", "&lt;", "&x;", "<?p?>", "<!--", "\ufeff", "é"),
    ]
)


CRUMBS = {
    "parts": st.lists(SNIPPETS.map(str.encode) | st.binary(max_size=6) | st.text(max_size=5).map(str.encode)),
    "suffix": st.sampled_from(HOSTILE_SUFFIXES),
    "into": st.sampled_from([None, int, dict[str, int], list[str]]),
}


@given(**CRUMBS)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_value_or_a_typed_refusal(parts: list[bytes], suffix: str, into: Any) -> None:
    """Grammar crumbs and noise in every format: never an exception of a parser."""
    # shows: P8, X1
    read_crumbs(parts, suffix, into)


@pytest.mark.chaos
@given(**CRUMBS)
@settings(max_examples=10_000, deadline=None)
def test_very_many_bytes_are_a_value_or_a_typed_refusal(parts: list[bytes], suffix: str, into: Any) -> None:
    """The long form."""
    # shows: P8, X1
    read_crumbs(parts, suffix, into)


def read_crumbs(parts: list[bytes], suffix: str, into: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a.{suffix}")
        path.write_bytes(b"".join(parts))
        try:
            typed.read(path, into=into, limits=Limits(depth_max=10, values_max=100))
        except typed.FileRefused as refused:
            assert refused.hint  # noqa: PT017 - both ends are right
        try:
            typed.recognise(path)
        except typed.FileEmpty:
            assert not b"".join(parts)


@given(
    path=st.text(max_size=30)
    | st.text(alphabet="./\\\0a~$*\ud800\n", max_size=20)
    | st.integers(200, 5000).map(lambda size: "x" * size)
    | st.sampled_from(
        ["/", "..", ".", "~", "/etc/passwd", "/proc/self/mem", "/dev/null", "con", "nul.json", "a/b/../../c"]
    )
    | st.binary(max_size=5)
    | st.none()
)
@settings(max_examples=300, deadline=None)
def test_any_path_is_a_document_or_a_typed_refusal(path: Any) -> None:
    """Reading, recognising, listing, editing and writing to nonsense: typed, and nothing is made."""
    # shows: P8
    with tempfile.TemporaryDirectory() as folder:
        here = os.getcwd()
        os.chdir(folder)
        try:
            for use in (
                lambda: typed.read(path, "text"),
                lambda: typed.recognise(path),
                lambda: typed.archive.list_members(path),
                lambda: typed.edit(path, {("a",): 1}),
                lambda: typed.write(path, object(), "json"),
            ):
                try:
                    use()
                except DaybreakError as error:
                    assert error.hint  # noqa: PT017 - both ends are right
            assert os.listdir(folder) == []
        finally:
            os.chdir(here)


def test_importing_the_package_loads_no_parser() -> None:
    """Heavy libraries come with the first file that needs them."""
    heavy = "yaml ruamel tomllib tomlkit msgspec charset_normalizer defusedxml zipfile tarfile lzma zstandard anyio"
    code = "import sys, daybreak.host.typed, daybreak.host.batch; print(sorted(set(sys.argv[1:]) & set(sys.modules)))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-c", code, *heavy.split()]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
