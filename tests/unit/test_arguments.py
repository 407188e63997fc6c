"""What may be typed where a path, a number or a length of time is wanted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from daybreak.cli import faces, token
from daybreak.cli.arguments import ArgumentWrong, PlaceUnusable, cut, path, usable, whole
from daybreak.cli.main import app as everything
from daybreak.errors import DaybreakError, UsageError

LONG = "x" * 5000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own for each test; nothing may appear in the working directory."""
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DAYBREAK_SNAPSHOTS", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def status(*words: str) -> int:
    """The exit status that the front door would give."""
    result = CliRunner().invoke(everything, list(words), input="")
    if result.exception is None or isinstance(result.exception, SystemExit):
        return result.exit_code
    assert isinstance(result.exception, DaybreakError), repr(result.exception)
    assert result.exception.hint
    assert len(result.exception.message) < 400
    return faces.exit_status(result.exception)


STORES = ("", "/dev/null", "/etc/passwd/below", LONG, "y" * 300, "../not-utf8-\udcff")


@pytest.mark.parametrize("store", STORES, ids=range(len(STORES)))
@pytest.mark.parametrize("words", [["create"], ["list"], ["verify"], ["restore", "newest", "--check"], ["prune"]])
def test_a_store_that_cannot_be_one_is_wrong_usage(words: list[str], store: str, home: Path) -> None:
    """In every command; an empty one never means the folder that one happens to be in."""
    # shows: N15 P8
    assert status("incidents", "list") == 0, "there is a ledger"
    before = sorted(home.rglob("*"))
    assert status("snapshot", *words, "--store", store) == 2
    assert sorted(home.rglob("*")) == before
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("place", ["ledger", "keys", "witness"])
def test_a_store_inside_what_is_copied_is_wrong_usage(home: Path, place: str) -> None:
    """Copies among the keys or in the ledger's own folder would be taken for theirs."""
    # shows: N15
    assert status("incidents", "list") == 0
    assert status("snapshot", "create", "--store", str(home / place / "copies")) == 2
    (home.parent / "link").symlink_to(home / place)
    assert status("snapshot", "create", "--store", str(home.parent / "link")) == 2


NUMBERS = ["３", "٣", "1_0", "+1", " 3 ", "3.0", "-1", "", "1e2", "0x1", "9" * 30, "²", "nan", "3\n"]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "words",
    [
        ["snapshot", "prune", "--keep-daily"],
        ["snapshot", "prune", "--keep-weekly"],
        ["snapshot", "prune", "--keep-monthly"],
        ["token", "mint", "--run", "run-1", "--attempt"],
    ],
    ids=["daily", "weekly", "monthly", "attempt"],
)
def test_a_number_is_written_in_plain_digits(words: list[str], number: str) -> None:
    """Whatever else Python would read as one is refused, wherever a command takes a number."""
    # shows: P8
    assert status(*words, number) == 2


@pytest.mark.parametrize(
    "length", ["３０m", "٣٠m", "30ｍ", "30m ", "30m\n", " 30m", "m", "", "3.5h", "-1s", "+1s", LONG, "0s"]
)
def test_a_lifetime_is_written_in_plain_digits(length: str) -> None:
    """Full-width and Arabic digits look like a number and are none."""
    # shows: N9 P8
    assert status("token", "mint", "--run", "run-1", "--for", length) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["token", "mint", "--run", "run-1", "--workspace", ""],
        ["token", "mint", "--run", "run-1", "--read", ""],
        ["token", "mint", "--run", "run-1", "--tier", "deliver", "--output", ""],
        ["token", "mint", "--run", "run-1", "--workspace", LONG],
        ["token", "mint"],
        ["token", "show", ""],
        ["token", "show", "-"],
        ["token", "show", "tok-0k3"],
        ["token", "show", LONG],
        ["token", "revoke", ""],
        ["token", "revoke", "-"],
        ["token", "revoke", "tok-unknown"],
        ["token", "nonsense"],
        ["incidents", "close"],
        ["incidents", "close", "inc-unknown", "--why", "x"],
        ["incidents", "close", "inc-unknown\udcff", "--why", "\udcff"],
        ["incidents", "close", "", "--why", "x"],
        ["incidents", "close", "inc-unknown", "--why", " "],
        ["incidents", "list", "more"],
        ["snapshot", "restore", "newest", "--to", ""],
        ["snapshot", "restore", "newest", "--to", "/etc/passwd/below"],
        ["snapshot", "restore", "newest", "--to", "."],
        ["snapshot", "restore", "newest", "--to", "new"],
        ["snapshot", "restore", "newest", "--in-place"],
        ["snapshot", "restore", "", "--check"],
        ["snapshot", "restore", "nonesuch", "--to", "new"],
        ["snapshot", "restore", LONG, "--to", "new"],
        ["snapshot", "verify"],
        ["snapshot", "verify", "nonesuch"],
        ["snapshot", "verify", "nonesuch", "--all"],
        ["snapshot", "verify", ""],
        ["plan", ""],
        ["spec", "check", ""],
        ["spec", "check", LONG],
        ["spec", "new", "shelf", "--output", ""],
        ["spec", "new", "shelf", "--output", LONG],
        ["spec", "new", "shelf", "--output", "/etc/passwd/below.md"],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_wrong_usage_has_exit_status_two_and_leaves_nothing(words: list[str]) -> None:
    """One status for whatever was typed wrongly, names that nothing has among it; and no file is made on the way."""
    # shows: P8
    assert status(*words) == 2
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("place", ["/etc/passwd/below", "not-utf8-\udcff"])
@pytest.mark.parametrize("words", [["token", "show"], ["incidents", "list"], ["snapshot", "list"]])
def test_a_home_that_cannot_be_one_is_wrong_usage(
    words: list[str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said in words by every command that opens the ledger by itself."""
    # shows: P8
    monkeypatch.setenv("DAYBREAK_HOME", os.path.join(Path.cwd(), place))
    assert status(*words) == 2
    assert not list(Path.cwd().iterdir())


def test_a_token_that_is_not_ours_is_a_failure_and_no_wrong_usage() -> None:
    """Looking at it is what `show` is for, and the answer is no."""
    # shows: N9
    with pytest.raises(Exception, match="no token of this machine") as caught:
        CliRunner().invoke(token.app, ["show", "dbt1.garbage"], catch_exceptions=False)
    assert not isinstance(caught.value, UsageError)


@given(st.one_of(st.text(max_size=30), st.text("0123456789-+_. ٣３", max_size=20), st.integers().map(str)))
def test_what_is_read_as_a_number_is_written_as_one(text: str) -> None:
    """Reading and writing give the text back, but for leading zeros; everything else is refused."""
    try:
        number = whole(-5, 1000)(text)
    except ArgumentWrong:
        return
    assert text.isascii()
    assert -5 <= number <= 1000
    assert int(text.lstrip("-").lstrip("0") or "0") == abs(number)


@given(st.one_of(st.text(max_size=50), st.text("/x", max_size=6000)))
def test_a_path_is_taken_as_it_is_or_refused(text: str) -> None:
    """Nothing is made of it."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return  # nothing that can be typed
    said = ""
    try:
        assert path(text) == Path(text)
    except ArgumentWrong as error:
        said = error.message
    assert len(said) < 200


def test_a_folder_that_is_not_there_yet_is_usable(tmp_path: Path) -> None:
    """A dangling link is not: what it points to is nobody's folder."""
    assert usable(tmp_path / "a" / "b", "the store") == tmp_path / "a" / "b"
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(PlaceUnusable):
        usable(tmp_path / "dangling" / "below", "the store")


def test_what_was_typed_is_quoted_short() -> None:
    """Control characters written out, at most a line."""
    value: Any
    for value in ("x\n\x1b[2J\udcff", LONG, Path("é" * 50)):
        assert len(cut(value)) <= 80
        assert cut(value).isprintable()


def test_the_commands_show_what_they_want() -> None:
    """Help names FILE, DIR and N, not the functions that read them."""
    for words, wanted in (
        (["snapshot", "prune"], "--keep-daily N"),
        (["token", "mint"], "--attempt N"),
        (["token", "mint"], "--workspace DIR"),
        (["snapshot", "restore"], "--to DIR"),
        (["plan"], "FILE"),
        (["spec", "new"], "--output FILE"),
    ):
        told = " ".join(CliRunner().invoke(everything, [*words, "--help"]).stdout.split())
        assert wanted in told
        assert "function" not in told
