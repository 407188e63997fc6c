"""Typed files under hostile values and arguments: huge numbers, NUL, objects that fight back."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.errors import DaybreakError
from daybreak.host import typed
from daybreak.host.typed import Handler, Kind, Limits, Page, Table

LARGEST = 10**4300 - 1
"""The largest whole number: 4,300 digits."""
FRESH = {"json": '{"a": 1}\n', "yaml": "a: 1\n", "toml": "a = 1\n", "jsonl": "1\n"}


def numbers(prefix: str, digit: str, count: int) -> str:
    """A literal of that many digits."""
    return prefix + digit * count


# -- numbers


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.yaml", "a: " + numbers("0x", "f", 3600)),
        ("a.yaml", "a: " + numbers("0x", "f", 1_000_000)),
        ("a.yaml", "a: " + numbers("0o", "7", 6000)),
        ("a.yaml", "a: " + numbers("", "9", 4301)),
        ("a.yaml", "[" + numbers("0x", "f", 4000) + "]"),
        ("a.yaml", "? " + numbers("0x", "f", 4000) + "\n: 1\n"),
        ("a.md", "---\na: " + numbers("0x", "f", 4000) + "\n---\n"),
        ("a.toml", "a = " + numbers("0x", "f", 3600)),
        ("a.toml", "a = [" + numbers("0o", "7", 6000) + "]"),
        ("a.toml", "a = " + numbers("0b", "1", 20_000)),
        ("a.toml", "a = " + numbers("0x", "f", 1800) + numbers("", "_f", 1800)),
        ("a.toml", "a = " + numbers("9", "_9", 4301)),
        ("a.toml", "a = " + numbers("", "9", 4301)),
        ("a.json", '{"a": ' + numbers("-", "9", 4301) + "}"),
        ("a.jsonl", numbers("", "9", 4301) + "\n"),
    ],
    ids=lambda one: one[:12],
)
def test_a_number_beyond_all_use_is_refused_with_its_line(tmp_path: Path, name: str, content: str) -> None:
    """Hexadecimal, octal, binary, with underscores: no way around the limit of 4,300 decimal digits."""
    # shows: X1, P8
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(typed.ContentForbidden) as caught:
        typed.read(path)
    assert caught.value.line == (2 if name == "a.md" else 1)
    assert len(caught.value.message) < 300
    assert "set_int_max_str_digits" not in caught.value.message


@pytest.mark.parametrize("suffix", FRESH)
@pytest.mark.parametrize("number", [LARGEST, -LARGEST, 2**64], ids=["largest", "smallest", "64 bit"])
def test_the_largest_numbers_are_given_back(tmp_path: Path, suffix: str, number: int) -> None:
    """What may be read may be written."""
    # shows: X1
    path = tmp_path / f"a.{suffix}"
    value: Any = [number] if suffix == "jsonl" else {"a": number}
    typed.write(path, value)
    assert typed.read(path).value == value
    if suffix != "jsonl":
        path.write_text(FRESH[suffix])
        assert typed.edit(path, {("a",): number}).value == value


def test_long_hexadecimal_text_is_text(tmp_path: Path) -> None:
    """Only numbers are refused: the same digits in quotes, a comment or a key are none."""
    # shows: X1
    digits = "0x" + "f" * 5000
    for name, content in (
        ("a.toml", f'"{digits}" = "{digits}" # {digits}'),
        ("a.yaml", f"a: '{digits}' # {digits}"),
        ("a.json", f'{{"a": "{digits}"}}'),
    ):
        (tmp_path / name).write_text(content)
        assert digits in typed.read(tmp_path / name).value.values()


@pytest.mark.parametrize("suffix", FRESH)
def test_a_huge_number_is_not_written(tmp_path: Path, suffix: str) -> None:
    """As value, as key, by `write` and by `edit`: NotWritable, and the old file stays."""
    # shows: X1, P8
    path, huge = tmp_path / f"a.{suffix}", LARGEST + 1
    path.write_text(FRESH[suffix])
    tries: list[Callable[[], object]] = [lambda: typed.write(path, [huge])]
    for value in ({"a": huge}, {"a": [-huge]}, {huge: 1}, {"a": {huge: 1}}):
        tries.append(lambda value=value: typed.write(path, value))  # type: ignore[misc]
    if suffix != "jsonl":
        for put in ({("a",): huge}, {(huge,): 1}, {("a", huge): 1}, {("a",): {huge: 1}}):
            tries.append(lambda put=put: typed.edit(path, put))  # type: ignore[misc]
        tries.append(lambda: typed.edit(path, {}, [(huge,)]))
    for attempt in tries:
        with pytest.raises(typed.NotWritable) as caught:
            attempt()
        assert len(caught.value.message) < 300
    assert path.read_text() == FRESH[suffix]
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("digits", [0, 640, 1_000_000])
def test_the_limit_is_ours_whatever_the_interpreter_has(tmp_path: Path, digits: int) -> None:
    """An interpreter that was told to convert less, more or everything changes no answer to a traceback."""
    # shows: X1, P8
    script = """
import sys
from daybreak.host import typed
for name, text in (("a.json", '{"a": %s}'), ("a.yaml", "a: %s"), ("a.toml", "a = %s")):
    for count in (5000, 700):
        with open(name, "w") as file:
            file.write(text % ("9" * count))
        try:
            typed.read(name)
            print("read", count)
        except typed.ContentForbidden:
            print("refused", count)
    try:
        typed.write(name, {"a": 10**5000})
    except typed.NotWritable:
        print("not written")
"""
    limit = ["-X", f"int_max_str_digits={digits}"]
    ran = subprocess.run(
        [sys.executable, *limit, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    small = "refused" if digits == 640 else "read"
    assert ran.stderr == ""
    assert ran.stdout.split("\n") == ["refused 5000", f"{small} 700", "not written"] * 3 + [""]


# -- NUL


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", r'{"a": "x\u0000y"}'),
        ("a.jsonl", r'{"a": "x\u0000y"}'),
        ("a.toml", r'a = "x\u0000y"'),
        ("a.toml", r'a = "x\U00000000y"'),
        ("a.yaml", r'a: "x\0y"'),
        ("a.yaml", r'a: "x\x00y"'),
        ("a.yaml", r'a: "x\u0000y"'),
    ],
)
def test_nul_in_a_value_is_kept_exactly(tmp_path: Path, name: str, content: str) -> None:
    """It is text like any other where the format has a way to write it; written again it is the same."""
    # shows: X1
    path = tmp_path / name
    path.write_text(content)
    value = typed.read(path).value
    assert value == ([{"a": "x\0y"}] if name == "a.jsonl" else {"a": "x\0y"})
    typed.write(path, value)
    assert typed.read(path).value == value
    if name != "a.jsonl":
        assert typed.edit(path, {("b",): "\0"}).value == {"a": "x\0y", "b": "\0"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"b": 1,\n' + r'"a\u0000b": 1}'),
        ("a.jsonl", "1\n" + r'[{"\u0000": 1}]'),
        ("a.toml", "b = 1\n" + r'"a\u0000b" = 1'),
        ("a.toml", "b = 1\n" + r'c.d."a\U00000000b" = [1]'),
        ("a.yaml", "b: 1\n" + r'"a\0b": 1'),
        ("a.yaml", "b: 1\n" + r'"\x00": 1'),
        ("a.md", "---\n" + r'"\0": 1' + "\n---\n"),
    ],
)
def test_nul_in_a_key_is_refused(tmp_path: Path, name: str, content: str) -> None:
    """Readers that end names at NUL would take two keys for one, as with duplicates."""
    # shows: X1, P8
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(typed.ContentForbidden) as caught:
        typed.read(path)
    assert caught.value.line == 2


@pytest.mark.parametrize("suffix", FRESH)
def test_nul_in_a_key_is_not_written(tmp_path: Path, suffix: str) -> None:
    """By `write` and by `edit`; an escaped backslash before `u0000` is no NUL."""
    # shows: X1, P8
    path = tmp_path / f"a.{suffix}"
    path.write_text(FRESH[suffix])
    bad: Any = [{"a\0b": 1}] if suffix == "jsonl" else {"a\0b": 1}
    with pytest.raises(typed.NotWritable):
        typed.write(path, bad)
    if suffix != "jsonl":
        for put in ({("a\0b",): 1}, {("a",): {"\0": 1}}):
            with pytest.raises(typed.NotWritable):
                typed.edit(path, put)
    assert path.read_text() == FRESH[suffix]
    fine: Any = [{"\\u0000": 1}] if suffix == "jsonl" else {"\\u0000": 1}
    assert typed.write(path, fine).value == fine


# -- objects that fight back


class Silent:
    """Cannot be told in words."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class Crooked:
    """A path that raises when it is asked for."""

    def __fspath__(self) -> str:
        raise RuntimeError("no")


class Uncopied:
    """Cannot be copied."""

    def __deepcopy__(self, memo: object) -> object:
        raise RuntimeError("no")


class NoPath:
    """A path that is none."""

    def __fspath__(self) -> int:
        return 5


HOSTILE: list[Any] = [
    *(None, 5, -1, True, 1.5, float("nan"), 10**5000, -(10**5000), b"a.json", b"\xff", "", "\0", "a\0b.json"),
    *("\ud800", "\udcff.json", "x" * 4096 + ".json", "x/" * 3000 + "a.json", "x" * 100_000, "../a.json", "folder.json"),
    *("pipe.json", "loop.json", "/dev/zero", "/dev/full", "/dev/zero/a.json", "/proc/self/mem", Path("folder.json")),
    *(Path("/dev/zero"), Path("\ud800"), [], {}, [[]], (), {"a": 1}, object(), type, print, Silent(), [Silent()]),
    *(Crooked(), NoPath(), Uncopied(), Kind(5, 5, 5), Kind("\0", "text", ""), Limits),  # type: ignore[arg-type]
]


def nothing(source: typed.Source) -> tuple[None, None]:
    """A parser."""
    return None, None


def uses(one: Any) -> list[Callable[[], object]]:
    """Every public function, with the hostile argument in each place."""
    kind = Kind("brand-new", "text", "text/x-new")
    paths: list[Callable[[], object]] = [
        lambda: typed.read(one),
        lambda: typed.read(one, "json"),
        lambda: typed.recognise(one),
        lambda: typed.write(one, object(), "json"),
        lambda: typed.edit(one, {}),
        lambda: typed.archive.list_members(one),
        lambda: typed.archive.inspect(one),
    ]
    options: list[Callable[[], object]] = [
        lambda: typed.read("a.json", one),
        lambda: typed.read("a.json", into=one),
        lambda: typed.read("a.json", limits=one),
        lambda: typed.read("a.json", encoding=one),
        lambda: typed.archive.list_members("a.json", limits=one),
        lambda: Limits(bytes_max=one),
        lambda: typed.read("a.json", limits=Limits(bytes_max=one)),
        lambda: typed.read("a.json", limits=Limits(values_max=one)),
        lambda: typed.write("a.json", {}, one) if one not in (None, "json") else None,
        lambda: typed.edit("a.json", one),
        lambda: typed.edit("a.json", {(one,): 1} if isinstance(one, str | int | Silent | Uncopied) else {1: 1}),  # type: ignore[dict-item]
        lambda: typed.edit("a.json", {("a", one, one): 1} if isinstance(one, str | int | Silent) else {}),
        lambda: typed.edit("a.yaml", {("a",): one}) if isinstance(one, Silent | Uncopied) else None,
        lambda: typed.edit("a.json", {}, one),
        lambda: typed.edit("a.json", {}, [one]),
        lambda: typed.edit("a.json", {}, [(one,)]),
        lambda: typed.edit("a.json", limits=one),
    ]
    values: list[Callable[[], object]] = [
        *(
            lambda value=value, suffix=suffix: typed.write(f"new.{suffix}", value)  # type: ignore[misc]
            for suffix in ("json", "yaml", "toml", "jsonl", "csv", "md", "xml", "txt", "png", "zip")
            for value in (one, [one], {"a": one}, Page(one, one), Page("", one), Table(one, one), Table(["a"], one))
        ),
        lambda: typed.write("new.csv", Table(["a"], [one])),
        lambda: typed.write("new.csv", Table(["a"], [[one]])),
    ]
    handlers: list[Callable[[], object]] = [
        lambda: typed.register(one),
        lambda: typed.register(Handler(one, (), nothing)),
        lambda: typed.register(Handler(kind, one, nothing))() if not isinstance(one, tuple) else None,
        lambda: typed.register(Handler(kind, (one,), nothing)),
        lambda: typed.register(Handler(kind, (), one)) if not callable(one) else None,
        lambda: typed.register(Handler(kind, (), nothing, render=one)) if one is not None and not callable(one) else 0,
        lambda: typed.register(Handler(kind, (), nothing, contents=one)) if one != () else None,
        lambda: typed.register(Handler(kind, (), nothing, same=one)) if not callable(one) else None,
    ]
    return [*paths, *options, *values, *handlers]


@pytest.fixture
def bell() -> Iterator[None]:
    """Whoever waits for ever is interrupted."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError("it would wait for ever")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("bell")
@pytest.mark.parametrize("at", range(len(HOSTILE)))
def test_hostile_arguments_are_typed_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Wrong types, devices, pipes, endless names, objects that raise: ours, short, with a hint; never a wait."""
    # shows: P8, X1
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text('{"a": 1}')
    Path("a.yaml").write_text("a: 1\n")
    Path("folder.json").mkdir()
    os.mkfifo("pipe.json")
    os.symlink("loop.json", "loop.json")
    for number, use in enumerate(uses(HOSTILE[at])):
        try:
            use()
        except DaybreakError as error:
            assert error.hint, number  # noqa: PT017 - both ends are right
            assert len(error.message) <= 600, (number, error.message)  # noqa: PT017
            assert len(error.hint) <= 600, (number, error.hint)  # noqa: PT017
    # A registration that was taken would be seen by every other test.
    with pytest.raises(typed.KindUnknown):
        typed.read("a.json", "brand-new")


ODD_TEXT = st.text(max_size=8) | st.sampled_from(
    ["\0", "a\0", "\ud800", "\x85", "\u2028", "\ufeff", "\x7f", "\x1b", "0x1f", "1_000", "0b1", "0o7", "<<", "é", "é"]
)
LONG = (LARGEST, -LARGEST, LARGEST + 1, 16**3600, 2**64, -(2**64))
ODD_WHOLE = st.integers() | st.integers(0, len(LONG) - 1).map(LONG.__getitem__)  # which no strategy could print
ODD = st.recursive(
    st.none() | st.booleans() | ODD_WHOLE | st.floats() | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT | ODD_WHOLE, inner, max_size=3),
    max_leaves=6,
)


@given(value=ODD, suffix=st.sampled_from(["json", "yaml", "toml", "jsonl", "md"]), edited=st.booleans())
@settings(max_examples=250, deadline=None)
def test_any_odd_value_comes_back_or_is_refused_before_any_work(value: Any, suffix: str, edited: bool) -> None:
    """Written or edited in, then read: the same value; or a typed refusal and the old bytes."""
    # shows: X1, P8
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a.{suffix}")
        old = FRESH.get(suffix, "# old\n")
        path.write_text(old)
        wanted = copy.deepcopy(value)
        try:
            if edited and suffix in ("json", "yaml", "toml"):
                typed.edit(path, {("a",): value})
                wanted = {"a": wanted}
            elif suffix == "md":
                wanted = Page("text", value)
                typed.write(path, wanted)
            else:
                typed.write(path, value)
        except DaybreakError as error:
            assert error.hint  # noqa: PT017 - both ends are right
            assert path.read_text() == old
        else:
            read = typed.read(path).value
            assert read == wanted or repr(read) == repr(wanted)
        assert os.listdir(folder) == [path.name]
