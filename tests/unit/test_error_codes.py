"""Codes of errors: each means one thing, for ever, and is explained."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import daybreak
from daybreak.report.catalogue.entry import DATA, Entry, parsed, written
from daybreak.report.catalogue.gathering import Gathering, gathered
from daybreak.report.catalogue.page import page
from daybreak.report.catalogue.sources import Sources

SOURCES = Path(daybreak.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
AGAIN = "make them again: `python -m daybreak.report.catalogue`"


@cache
def _entries() -> list[Entry]:
    return gathered(SOURCES)


def test_no_two_errors_share_a_code() -> None:
    """A code in a log or a script names one kind of error."""
    # shows: F16
    counted = Counter(one.code for one in _entries())
    shared = {code: [one.name for one in _entries() if one.code == code] for code, n in counted.items() if n > 1}
    assert shared == {}


def test_the_tree_shows_every_error_of_policy_and_engine() -> None:
    """Whoever handles errors finds them at the top of `errors`."""
    tree = (SOURCES / "errors.py").read_text().split('"""')[1]
    missing = [
        f"{one.code} {one.name}"
        for one in _entries()
        if one.code[0] in "EP" and one.code[1:] != "100" and one.code not in tree
    ]
    assert missing == []


def test_every_code_has_a_cause_a_remedy_and_an_example() -> None:
    """What happened is a sentence; what to do and how it is told stand where it is raised. A code that is told only
    under those of its classes leads to them."""
    # shows: F16
    wrong = []
    for one in _entries():
        cause = one.cause
        if not (cause[:1].isupper() or cause[:1] == "`") or not cause.endswith(".") or len(cause.split()) < 3:
            wrong.append(f"{one.code} {one.name}: no sentence says what happened: {cause!r}")
        if one.told and not (one.remedies and all(one.examples)):
            wrong.append(f"{one.code} {one.name}: no place that raises it says what to do (hint=)")
        if not one.told and not any(one.code in each.within for each in _entries()):
            wrong.append(f"{one.code} {one.name}: nothing raises it")
    assert wrong == []


def test_the_catalogue_is_what_the_sources_say() -> None:
    """The file that `explain` reads and the page of the reference, to the letter."""
    # shows: F16
    assert DATA.read_text(encoding="utf-8") == written(_entries()), AGAIN
    assert PAGE.read_text(encoding="utf-8") == page({one.code: one for one in _entries()}), AGAIN


def test_what_was_written_is_read_the_same() -> None:
    """Nothing of an entry is lost."""
    assert list(parsed(written(_entries())).values()) == _entries()


def test_the_page_has_an_anchor_for_every_code_and_no_dead_link() -> None:
    """Whoever is sent to `errors.md#h225` lands there."""
    text = page({one.code: one for one in _entries()})
    anchors = {found.lower() for found in re.findall(r"^#{2,3} (\w+)$", text, re.MULTILINE)}
    assert {one.code.lower() for one in _entries()} <= anchors
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= anchors
    assert (PAGE.parent / "library.md").is_file()


ERRORS = '''
class DaybreakError(Exception):
    """The base of everything."""
    code = "X000"
    def __init__(self, message, *, hint): ...
class HostError(DaybreakError):
    """This machine cannot."""
    code = "H100"
'''
MODULE = '''
from sample.errors import HostError
MIB_MAX = 4
_HINT = "make room"
class Full(HostError):
    """The disk is full."""
    code = "H901"
class Odd(HostError):
    """Something is odd here."""
    code = "H902"
class Many(HostError):
    """Many things are wrong."""
    code = "H903"
    def __init__(self, wrong):
        super().__init__(f"{len(wrong)} things are wrong: {'; '.join(wrong)}", hint="mend them")
def put(path):
    if path.name == "a":
        raise Full(f"{path} takes more than {MIB_MAX * 1024} KiB", hint=_HINT)
    _refuse(Full, path, "is a folder", "name a file in it")
    _refuse(Odd, path, "is a pipe", "name a file")
    try:
        put(path)
    except Full as error:
        raise Odd(f"{path.name} again: {error.message}", hint=error.hint) from error
    raise Many([])
def _refuse(kind, path, why, hint):
    raise kind(f"{path!r:.80} {why}", hint=hint)
'''


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Entry]:
    """The catalogue of a small package."""
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "errors.py").write_text(ERRORS)
    (folder / "work.py").write_text(MODULE)
    monkeypatch.setattr("daybreak.report.catalogue.gathering.ROOT", ("sample.errors", "DaybreakError"))
    return {one.code: one for one in Gathering(Sources(folder)).entries()}


def test_a_message_is_never_told_with_the_remedy_of_another_one(sample: dict[str, Entry]) -> None:
    """A function that raises whatever its callers name is read once for each of them."""
    assert sample["H901"].groups == [
        (["<path> takes more than 4096 KiB"], "make room"),
        (["<path> is a folder"], "name a file in it"),
    ]
    assert sample["H902"].groups[0] == (["<path> is a pipe"], "name a file")


def test_an_error_that_passes_another_one_on_has_its_remedies(sample: dict[str, Entry]) -> None:
    """`hint=error.hint` is no hint that nobody can know: it is one of those of what was caught."""
    assert (["<path> again: <why>"], "make room") in sample["H902"].groups


def test_a_class_that_words_its_message_itself_is_told_so(sample: dict[str, Entry]) -> None:
    """And one that is never raised stands for those below it."""
    assert sample["H903"].groups == [(["<number> things are wrong: <why>"], "mend them")]
    assert (sample["H100"].told, sample["H903"].within, sample["H903"].raised) == ((), ("H100",), ("sample.work",))
