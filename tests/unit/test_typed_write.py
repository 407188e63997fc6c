"""Writing and editing: what is written is read back the same, or nothing is written at all."""

from __future__ import annotations

import math
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Comment, Element, SubElement

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.errors import DaybreakError
from daybreak.host import typed
from daybreak.host.typed import Limits, Page, Table, document, plain, xml_tree

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TRICKY = st.sampled_from(
    [
        *("", " ", "\n", "a\n", "\na", "a\r\nb", "\r", "\t", "yes", "on", "null", "~", "true", "0x1F", "0o17", "1e3"),
        *("1_000", "12:30", "2001-01-01", ".inf", "-.nan", "<<", "=", "*a", "&a", "!t", "- a", "? a", "a: b", "a #b"),
        *("#", "---", "...", "%x", "@", "`", "'", '"', '"""', "'''", "\\", "\x85", "\u2028", "\ufeff", "\x7f", "\0"),
        *("\U0001f600", "[", "{a", ",", "|", ">", "0123", "+1", "1.", ".5", "key with a blank", "é", "\x1b[0m"),
    ]
)
WORDS = TEXT | TRICKY
KEYS = WORDS.filter(lambda one: "\0" not in one)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
EARLY = datetime(1000, 1, 1)  # noqa: DTZ001 - hypothesis wants it so; TOML has local times
TIMES = (
    st.dates(min_value=date(1000, 1, 1))
    | st.times()
    | st.datetimes(min_value=EARLY)
    | st.datetimes(
        min_value=EARLY,
        timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    )
)
TOML_SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TOML_VALUES = st.recursive(
    TOML_SCALARS | WORDS | TIMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
CELLS = (TEXT | TRICKY | st.sampled_from(['"', '""', ",", "\t", "\r\n", "\n\r", "a,b"])).filter(
    lambda one: "\0" not in one
)


@contextmanager
def place(name: str) -> Iterator[Path]:
    """A fresh file name: hypothesis runs one test function many times."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where a sync costs nothing
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder, name)


def back(name: str, value: object) -> Any:
    """What is read after `value` was written."""
    with place(name) as path:
        written = typed.write(path, value)
        read = typed.read(path)
        assert (written.sha256, written.size, written.kind) == (read.sha256, read.size, read.kind)
        assert [one.name for one in path.parent.iterdir()] == [name], "nothing else is left"
        return read.value


@given(value=VALUES)
@settings(max_examples=80, deadline=None)
def test_json_gives_every_plain_value_back(value: object) -> None:
    """Written and read, types included."""
    # shows: X1
    assert plain.same(back("a.json", value), value)


@given(value=VALUES)
@settings(max_examples=100, deadline=None)
def test_yaml_gives_every_plain_value_back(value: object) -> None:
    """Texts that look like numbers, words, tags or dates stay texts."""
    # shows: X1
    assert plain.same(back("a.yaml", value), value)


@given(value=st.dictionaries(KEYS, VALUES, max_size=4))
@settings(max_examples=60, deadline=None)
def test_yaml_can_be_read_by_others_as_the_same(value: dict[str, object]) -> None:
    """An independent reader of YAML 1.2 sees the same value as we do."""
    # shows: X1
    import io

    from ruamel.yaml import YAML

    with place("a.yaml") as path:
        typed.write(path, value)
        other = YAML(typ="safe", pure=True).load(io.StringIO(path.read_text("utf-8")))
    assert plain.same(_without_floats(other), _without_floats(value))


def _without_floats(value: Any) -> Any:
    """The other reader takes `1.0e+20` for a text, or rounds: numbers are not what is compared here."""
    if isinstance(value, dict):
        return {key: _without_floats(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_floats(inner) for inner in value]
    return "number" if isinstance(value, float) else value


@given(value=st.dictionaries(KEYS, TOML_VALUES, max_size=5))
@settings(max_examples=100, deadline=None)
def test_toml_gives_every_table_back(value: dict[str, object]) -> None:
    """Tables in lists in tables, dates, odd keys."""
    # shows: X1
    assert plain.same(back("a.toml", value), value)


@given(value=st.lists(VALUES, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_json_lines_give_every_list_back(value: list[object]) -> None:
    """One value per line, whatever characters are in it."""
    # shows: X1
    assert plain.same(back("a.jsonl", value), value)


@given(data=st.data(), suffix=st.sampled_from(["csv", "tsv"]))
@settings(max_examples=80, deadline=None)
def test_tables_give_every_cell_back(data: st.DataObject, suffix: str) -> None:
    """Quotes, separators, every kind of line break, empty cells, leading blanks."""
    # shows: X1
    columns = data.draw(st.lists(CELLS, min_size=1, max_size=4, unique=True))
    rows = data.draw(st.lists(st.lists(CELLS, min_size=len(columns), max_size=len(columns)), max_size=4))
    assert back(f"a.{suffix}", Table(columns, rows)) == Table(columns, rows)


@given(front=st.dictionaries(KEYS, VALUES, max_size=3), text=st.sampled_from(["---\n", "---", "--- \r\n"]) | WORDS)
@settings(max_examples=80, deadline=None)
def test_markdown_gives_front_matter_and_text_back(front: dict[str, object], text: str) -> None:
    """Also text that starts like front matter."""
    # shows: X1
    if "\0" in text or not (front or text):
        return
    read = back("a.md", Page(text, front))
    assert read.text == text
    assert plain.same(read.front, front)


@given(text=WORDS.filter(lambda one: one != "" and "\0" not in one))
@settings(max_examples=100, deadline=None)
def test_text_comes_back_to_the_character(text: str) -> None:
    """Line endings and marks are not touched."""
    # shows: X1
    assert back("a.txt", text) == text


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\n\r<>&\"'"), max_size=10
)


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> Element:
    """A small tree."""
    root = Element(draw(NAMES), draw(st.dictionaries(NAMES, XML_TEXT, max_size=3)))
    root.text = draw(XML_TEXT)
    for _ in range(draw(st.integers(0, 2)) if depth else 0):
        inner = draw(elements(depth - 1))
        inner.tail = draw(XML_TEXT)
        root.append(inner)
    return root


@given(root=elements())
@settings(max_examples=100, deadline=None)
def test_xml_gives_every_tree_back_or_is_not_written(root: Element) -> None:
    """Text, attributes and tails, line ends included; characters that XML cannot say are refused."""
    # shows: X1
    said = "".join(
        [*(one.text or "" for one in root.iter()), *(one.tail or "" for one in root.iter())]
        + [text for one in root.iter() for text in one.attrib.values()]
    )
    if any(one in said for one in "\ufffe\uffff"):
        with pytest.raises(typed.NotWritable):
            back("a.xml", root)
    else:
        assert xml_tree.same(back("a.xml", root), root)


ANYTHING: st.SearchStrategy[object] = st.recursive(
    SCALARS
    | TIMES
    | st.floats()
    | st.binary(max_size=5)
    | st.text(max_size=5)
    | st.sampled_from([object(), int, {1, 2}, (1, 2), 1j, Table(["a"]), Table([]), Page("x"), Element("a"), print]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS | st.integers(), inner, max_size=3),
    max_leaves=8,
)
SUFFIXES = ["json", "yaml", "toml", "csv", "tsv", "jsonl", "md", "xml", "svg", "txt", "png", "zip", "gz", "pdf", "nope"]


@given(value=ANYTHING, suffix=st.sampled_from(SUFFIXES))
@settings(max_examples=150, deadline=None)
def test_any_value_is_written_right_or_refused_with_nothing_written(value: object, suffix: str) -> None:
    """Whatever is given: either it reads back the same, or there is a typed refusal and no file."""
    # shows: P8, X1
    with place(f"a.{suffix}") as path:
        try:
            typed.write(path, value)
        except DaybreakError:
            assert not list(path.parent.iterdir())
        else:
            read = typed.read(path).value
            same = xml_tree.same(read, value) if isinstance(value, Element) else plain.same(read, value)
            assert same or read == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.json", {"a": (1, 2)}),
        ("a.json", {1: 2}),
        ("a.json", [math.nan]),
        ("a.json", "\ud800"),
        ("a.json", datetime(2026, 1, 1, tzinfo=UTC)),
        ("a.yaml", {None: 1}),
        ("a.yaml", date(2026, 1, 1)),
        ("a.toml", {"a": None}),
        ("a.toml", [1]),
        ("a.toml", {"a": time(1, 2, tzinfo=UTC)}),
        ("a.csv", [["a"]]),
        ("a.csv", Table(["a", "b"], [["1"]])),
        ("a.csv", Table(["a", "a"])),
        ("a.csv", Table([])),
        ("a.csv", Table(["a"], [["\0"]])),
        ("a.jsonl", []),
        ("a.txt", ""),
        ("a.txt", "a\0b"),
        ("a.md", Page("\0")),
        ("a.xml", "<a/>"),
        ("a.xml", Element("not a name")),
        ("a.png", b"not a picture"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_the_old_file_stays(tmp_path: Path, name: str, value: object) -> None:
    """NotWritable before anything is touched."""
    # shows: X1, P8
    path = tmp_path / name
    path.write_bytes(b"old")
    with pytest.raises(typed.NotWritable):
        typed.write(path, value)
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_value_that_holds_itself_is_refused(tmp_path: Path) -> None:
    """Loops, and small graphs that are huge as a tree, end in a typed refusal."""
    # shows: P8
    loop: list[Any] = []
    loop += [loop, loop]
    wide: list[Any] = []
    for _ in range(60):
        wide = [wide, wide]
    for value in (loop, wide):
        for name in ("a.json", "a.yaml", "a.jsonl"):
            with pytest.raises(typed.TooComplex):
                typed.write(tmp_path / name, value)
    assert not list(tmp_path.iterdir())


def test_a_comment_in_a_tree_is_not_lost_in_silence(tmp_path: Path) -> None:
    """Reading leaves comments out, so a tree that has one is not written."""
    root = Element("a")
    root.append(Comment("keep me"))
    SubElement(root, "b")
    with pytest.raises(typed.NotWritable, match="comment"):
        typed.write(tmp_path / "a.xml", root)


def test_only_ordinary_files_are_replaced(tmp_path: Path) -> None:
    """A link is not replaced by a file, nor written through; folders and pipes are refused; so is a missing folder."""
    # shows: X1, P8
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "link.json").symlink_to("real.json")
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("link.json", "folder.json", "pipe.json"):
        with pytest.raises(typed.NotAFile):
            typed.write(tmp_path / name, {"a": 1})
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "{}"
    with pytest.raises(typed.FileMissing, match="folder"):
        typed.write(tmp_path / "not" / "there.json", {})
    for path in ("", "a\0.json", "x" * 5000 + ".json", "\ud800.json", 7):
        with pytest.raises(typed.FileRefused):
            typed.write(path, {})  # type: ignore[arg-type] # hostile on purpose


def test_permissions_stay(tmp_path: Path) -> None:
    """A private file stays private."""
    path = tmp_path / "a.json"
    path.write_text("{}")
    path.chmod(0o600)
    typed.write(path, {"a": 1})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_disk_that_gives_other_bytes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read after it was written."""
    # shows: X1
    monkeypatch.setattr(document, "read_bytes", lambda path, limit: b"rotten")
    with pytest.raises(typed.ReadBackDiffers):
        typed.write(tmp_path / "a.json", {"a": 1})


def test_a_handler_that_does_not_give_back_what_it_wrote_is_noticed(tmp_path: Path) -> None:
    """The check is of the value, and before the file is touched."""
    # shows: X1
    kind = typed.Kind("lossy", "text", "text/x-lossy")
    handler = typed.Handler(
        kind, (".lossy",), lambda source: (source.data.decode().upper(), None), lambda value, _: value.encode()
    )
    take_back = typed.register(handler)
    try:
        with pytest.raises(typed.NotWritable, match="does not give this value back"):
            typed.write(tmp_path / "a.lossy", "abc")
        assert not list(tmp_path.iterdir())
        typed.write(tmp_path / "a.lossy", "ABC")
        assert typed.read(tmp_path / "a.lossy").value == "ABC"
        assert typed.recognise(tmp_path / "a.lossy") == kind
        with pytest.raises(typed.HandlerRefused):
            typed.register(handler)
    finally:
        take_back()
    with pytest.raises(typed.KindUnknown):
        typed.read(tmp_path / "a.lossy")


def test_bad_handlers_are_refused() -> None:
    """Extensions that are taken or none, kinds that are taken, things that are no handler."""
    # shows: P8

    def nothing(source: typed.Source) -> tuple[None, None]:
        return None, None

    new = typed.Kind("new", "text", "text/x-new")
    for bad in (
        typed.Handler(new, (".json",), nothing),
        typed.Handler(new, ("new",), nothing),
        typed.Handler(new, (".NEW",), nothing),
        typed.Handler(new, (".a/../b",), nothing),
        typed.Handler(typed.Kind("json", "text", ""), (".new",), nothing),
        typed.Handler(typed.Kind("", "text", ""), (".new",), nothing),
        typed.Handler(new, None, nothing),  # type: ignore[arg-type] # hostile on purpose
        typed.Handler(new, (".new",), None),  # type: ignore[arg-type] # hostile on purpose
        "json",
    ):
        with pytest.raises(typed.HandlerRefused):
            typed.register(bad)  # type: ignore[arg-type] # hostile on purpose


def test_editing_keeps_comments_and_changes_only_what_was_asked(tmp_path: Path) -> None:
    """YAML and TOML keep their comments and order."""
    # shows: X1
    yaml = tmp_path / "a.yaml"
    yaml.write_text("# who we are\nname: old  # keep\nlist:\n- a\n- b\nport: 80\n")
    got = typed.edit(yaml, {("name",): "new", ("list", 1): "c", ("more",): {"x": [1]}}, remove=[("port",)])
    assert got.value == typed.read(yaml).value == {"name": "new", "list": ["a", "c"], "more": {"x": [1]}}
    assert "# who we are" in yaml.read_text()
    assert "# keep" in yaml.read_text()
    toml = tmp_path / "a.toml"
    toml.write_text('# top\n[tool]\nname = "old" # keep\nport = 80\n')
    got = typed.edit(toml, {("tool", "name"): "new"}, remove=[("tool", "port")])
    assert got.value == {"tool": {"name": "new"}}
    assert toml.read_text() == '# top\n[tool]\nname = "new" # keep\n'
    json = tmp_path / "a.json"
    json.write_text('{"a": [1, {"b": 2}]}')
    assert typed.edit(json, {("a", 1, "b"): None}).value == {"a": [1, {"b": None}]}


def _deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a.toml"])
def test_an_edit_that_leads_nowhere_changes_nothing(tmp_path: Path, name: str) -> None:
    """Unknown keys, wrong places, wrong values, no keys at all: refused, the bytes stay."""
    # shows: P8
    path = tmp_path / name
    path.write_text(
        {"a.json": '{"a": [1], "t": "x"}', "a.yaml": "a: [1]\nt: x\n", "a.toml": 'a = [1]\nt = "x"\n'}[name]
    )
    before = path.read_bytes()
    bad: list[dict[str, Any]] = [
        {"put": {("b", "c"): 1}},
        {"put": {("a", 5): 1}},
        {"put": {("a", "x"): 1}},
        {"put": {("t", 0): "y"}},
        {"put": {("t", 0, 0): "y"}},
        {"put": {(): 1}},
        {"put": {"a": 1}},
        {"put": {("a",): object()}},
        {"put": {("a",): math.inf}},
        {"put": {(True,): 1}},
        {"remove": [("b",)]},
        {"remove": [("a", 1)]},
        {"remove": ["a"]},
        {"remove": 5},
        {"put": 5},
        {"limits": 5},
        {"put": {("a",): _deep(5000)}},
    ]
    for change in bad:
        with pytest.raises(DaybreakError):
            typed.edit(path, **change)
        assert path.read_bytes() == before, change


@given(value=st.dictionaries(KEYS, VALUES, min_size=1, max_size=3), put=VALUES, data=st.data())
@settings(max_examples=100, deadline=None)
def test_an_edit_gives_exactly_the_change_or_nothing(
    value: dict[str, object], put: object, data: st.DataObject
) -> None:
    """Editors of other people's making: whatever they do to the text, the result is right or the file is untouched."""
    # shows: X1
    key = data.draw(st.sampled_from(sorted(value)))
    with place("a.yaml") as path:
        typed.write(path, value)
        before = path.read_bytes()
        try:
            typed.edit(path, {(key,): put})
        except typed.FileRefused:
            assert path.read_bytes() == before
        else:
            assert plain.same(typed.read(path).value, value | {key: put})


def test_other_kinds_are_not_edited_by_key(tmp_path: Path) -> None:
    """A table has rows, not keys."""
    (tmp_path / "a.csv").write_text("a\n1\n")
    with pytest.raises(typed.KindUnknown):
        typed.edit(tmp_path / "a.csv", {("a",): 1})


def test_a_file_that_would_be_too_large_is_not_written(tmp_path: Path) -> None:
    """What could not be read back under the same limits is not written."""
    with pytest.raises(typed.NotWritable, match="bytes"):
        typed.write(tmp_path / "a.txt", "x" * 100, limits=Limits(bytes_max=99))
    assert not list(tmp_path.iterdir())
