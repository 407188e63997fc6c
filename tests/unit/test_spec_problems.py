"""Everything that can be wrong with a specification is told at once, at its line, with what to write instead."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from daybreak.factory.spec import CODES, SpecInvalid, format_of, problems_of, read, read_text
from daybreak.factory.spec.source import BYTES_MAX, LINES_MAX

CORPUS = sorted(path for path in (Path(__file__).parent / "bad_specs").iterdir() if path.suffix != ".expected")
NOTE = re.compile(r"(?:<!--(?: What follows is lost\.)?|#)((?: *S1\d\d(?:@[+-]\d)?)+)")
LISTED = re.compile(r"^(\d+):((?: S\d{3})+)$", re.MULTILINE)


def expected(path: Path) -> Counter[tuple[int, str]]:
    """Line and code of each problem: noted in comments, in a list at the top, or in a file beside it."""
    text, beside = path.read_text(), path.with_name(path.name + ".expected")
    listed = LISTED.findall(beside.read_text() if beside.exists() else text)
    found = [(int(line), code) for line, codes in listed for code in codes.split()]
    for number, line in enumerate(text.split("\n"), 1):
        for note in NOTE.findall(line):
            for word in note.split():
                code, _, offset = word.partition("@")
                found.append((number + int(offset or 0), code))
    return Counter(found)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_each_bad_specification_gives_exactly_its_problems(path: Path) -> None:
    """Nothing is missed, nothing is told twice, and every line number is right."""
    # shows: F2, F3, P8
    spec, problems = problems_of(path)
    assert spec is None
    assert Counter((problem.line, problem.code) for problem in problems) == expected(path)
    assert all(problem.message and problem.remedy and problem.file == str(path) for problem in problems)
    assert [problem.line for problem in problems] == sorted(problem.line for problem in problems)


def test_every_code_of_content_is_in_the_corpus() -> None:
    """No kind of problem goes untested: those of files stand below."""
    # shows: F3
    seen = {code for path in CORPUS for _, code in expected(path)}
    of_files = {f"S11{n}" for n in range(8)} - {"S114"}
    assert set(CODES) - of_files - seen == set()


GOOD = """---
name: shelf
---
# Shelf

## Objectives
- One

## Requirements
- **FR-001**: System MUST work.
"""


def codes(path: Path) -> list[str]:
    return [problem.code for problem in problems_of(path)[1] if problem.severity == "error"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path stands in the message, with two ways on."""
    # shows: F2
    with pytest.raises(SpecInvalid) as caught:
        read(tmp_path / "none.md")
    assert caught.value.code == "S101"
    assert "none.md" in caught.value.message
    assert "spec new" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "code", "line", "words"),
    [
        (b"", "S114", 1, "is empty"),
        (b" \n\t\n", "S114", 1, "only white space"),
        (b"a" * (BYTES_MAX + 1), "S113", 1, "10 MiB"),
        (b"\n" * (LINES_MAX + 1) + b"a", "S113", LINES_MAX, "lines"),
        (b"# Shelf\nSch\xf6n", "S115", 2, "offset 11"),
        ("# Shelf".encode("utf-16"), "S115", 1, "UTF-16"),
        ("# Shelf".encode("utf-16-be"), "S116", 1, "NUL at byte 0"),
        (b"# Shelf\n\x00\x01", "S116", 2, "NUL at byte 8"),
        (b"# Shelf\n\x07", "S116", 2, "U+0007"),
        (b"\x89PNG\r\n\x1a\n\x00", "S116", 3, "NUL"),
    ],
)
@pytest.mark.parametrize("ending", [".md", ".yaml", ".toml", ".json"])
def test_a_file_that_is_no_text_is_refused_before_it_is_parsed(
    tmp_path: Path, ending: str, content: bytes, code: str, line: int, words: str
) -> None:
    """Size, emptiness, encoding and binary content have their own words, whatever the format."""
    # shows: F2, P8
    path = tmp_path / f"spec{ending}"
    path.write_bytes(content)
    spec, problems = problems_of(path)
    assert spec is None
    assert [(problem.code, problem.line) for problem in problems] == [(code, line)]
    assert words in problems[0].message


def test_exactly_ten_mebibytes_are_read(tmp_path: Path) -> None:
    """The limit itself is still allowed."""
    path = tmp_path / "spec.json"
    path.write_bytes(b'"' + b"a" * (BYTES_MAX - 2) + b'"')
    assert codes(path) == ["S124"]


def test_a_folder_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    """Reading them would fail or hang."""
    # shows: F2
    os.mkfifo(tmp_path / "pipe.md")
    assert codes(tmp_path) == ["S111"]
    assert codes(tmp_path / "pipe.md") == ["S111"]


def test_a_path_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    """No traceback, whatever the operating system says."""
    assert codes(tmp_path / ("long" * 100 + ".md")) == ["S112"]
    loop = tmp_path / "loop.md"
    loop.symlink_to(loop)
    assert codes(loop) == ["S112"]


@pytest.mark.parametrize("name", ["spec.txt", "spec", "spec.docx", ".md"])
def test_an_unknown_ending_is_refused(tmp_path: Path, name: str) -> None:
    """The endings that are known are listed."""
    # shows: F2
    (tmp_path / name).write_text(GOOD)
    _, problems = problems_of(tmp_path / name)
    assert [problem.code for problem in problems] == ["S117"]
    assert ".yaml" in problems[0].remedy
    with pytest.raises(SpecInvalid):
        format_of(tmp_path / name)


def test_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    """They change nothing, not even the line numbers."""
    # shows: F2
    path = tmp_path / "spec.md"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    plain = tmp_path / "plain.md"
    plain.write_text(GOOD)
    assert read(path) == read(plain)
    assert [problem.line for problem in problems_of(path)[1]] == [problem.line for problem in problems_of(plain)[1]]


def test_all_problems_travel_with_the_error() -> None:
    """The error's text names each with its line; the hint of a single one is its remedy."""
    # shows: F3
    with pytest.raises(SpecInvalid) as caught:
        read_text(GOOD.replace("shelf", "Shelf").replace("MUST", ""), name="s.md", format="md")
    assert len(caught.value.problems) > 1
    assert "s.md:2: S125" in str(caught.value)
    assert caught.value.hint == next(p.remedy for p in caught.value.problems if p.severity == "error")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a", "cannot be"),
        ("a" * 41, "cannot be"),
        ("../etc", "is a path"),
        ("a/b", "is a path"),
        ("bücher", "letters outside"),
        ("Shelf", "cannot be"),
        ("class", "keyword"),
        ("json", "Python's own module"),
        ("asyncio", "Python's own module"),
        ("fastapi", "which the result needs"),
        ("pytest-cov", "which the result needs"),
        ("test", "which the result needs"),
        ("echo", "word of the shell"),
        ("shelf-", "ends in"),
        ("9lives", "cannot be"),
    ],
)
def test_names_that_would_break_the_result_are_refused(name: str, words: str) -> None:
    """Keywords, modules, paths and words of the shell, each with its reason."""
    # shows: F3, P8
    with pytest.raises(SpecInvalid) as caught:
        read_text(GOOD.replace("shelf", f'"{name}"'), name="s.md", format="md")
    (problem,) = [p for p in caught.value.problems if p.severity == "error"]
    assert (problem.line, problem.code) == (2, "S125")
    assert words in problem.message


@pytest.mark.parametrize("name", ["ab", "a" * 40, "my-app", "my_app", "book2"])
def test_ordinary_names_are_fine(name: str) -> None:
    """Two to forty letters."""
    assert read_text(GOOD.replace("shelf", name), name="s.md", format="md").name == name


@pytest.mark.parametrize(
    ("line", "attribute", "value"),
    [
        ("version: 1.10", "version", "1.10"),
        ("budget: {time: 1:30}", "budget.time_s", 5400),
        ("budget: {time: 1h30m}", "budget.time_s", 5400),
        ("budget: {time: 90s}", "budget.time_s", 90),
        ("budget: {money: $0.50}", "budget.money_usd", "0.50"),
        ("budget: {money: 3 USD}", "budget.money_usd", "3"),
        ("budget: {tokens: 1.5m}", "budget.tokens", 1_500_000),
        ("budget: {tokens: 1_000_000}", "budget.tokens", 1_000_000),
        ("holdout: 0", "holdout", 0.0),
        ("holdout: .8", "holdout", 0.8),
        ("complexity: ~", "complexity", "simple"),
        ("interfaces: [http, cli]", "interfaces", ("http", "cli")),
        ('http: {cors: "*"}', "http.cors", "*"),
        ('http: {cors: ["https://a.org"], prefix: /api}', "http.cors", ("https://a.org",)),
        ("http: {delete_all: true}", "http.delete_all", True),
        ("quality: {thresholds: [50]}", "quality.thresholds", (50,)),
    ],
)
def test_values_are_read_as_text_and_then_by_type(line: str, attribute: str, value: object) -> None:
    """No format's idea of numbers or times gets between."""
    # shows: F2
    found: object = read_text(GOOD.replace("name: shelf", f"name: shelf\n{line}"), name="s.md", format="md")
    for part in attribute.split("."):
        found = getattr(found, part)
    assert (str(found) if isinstance(value, str) else found) == value


def test_defaults_are_those_of_the_documentation() -> None:
    """A specification that says nothing gets what is written down."""
    spec = read_text(GOOD, name="s.md", format="md")
    assert (spec.version, spec.language, spec.interfaces, spec.holdout) == ("0.1.0", "python", ("cli",), 0.33)
    assert (spec.budget.time_s, str(spec.budget.money_usd), spec.budget.tokens) == (1800, "2", 500_000)
    assert (spec.limits.workers, spec.limits.depth, spec.limits.children) == (8, 3, 5)
    assert (spec.quality.coverage, spec.quality.thresholds) == (85, (60, 75, 85))
    assert spec.serve == "shelf serve --port {port}"
    assert (spec.complexity, spec.complexity_estimated) == ("simple", True)


def test_an_unknown_key_gets_the_nearest_known_one() -> None:
    """A slip of the pen costs one look."""
    with pytest.raises(SpecInvalid) as caught:
        read_text(GOOD.replace("name: shelf", "name: shelf\nhold-out: 0.2"), name="s.md", format="md")
    assert caught.value.problems[0].remedy == "did you mean holdout?"


def test_open_questions_are_listed_and_can_be_assumed(tmp_path: Path) -> None:
    """Anywhere but in code and comments; with `assume` the texts go without them, the questions stay."""
    # shows: F2
    text = GOOD.replace("- One", "- One [NEEDS CLARIFICATION: how\n  many?] `[NEEDS CLARIFICATION: code]`")
    text = text.replace("name: shelf", "name: shelf\nholdout: [NEEDS CLARIFICATION: a, b]  # [NEEDS CLARIFICATION: no]")
    path = tmp_path / "spec.md"
    path.write_text(text + "\n```\n[NEEDS CLARIFICATION: code]\n```\n<!-- [NEEDS CLARIFICATION: comment] -->\n")
    spec = read(path)
    assert [(c.question, c.line) for c in spec.clarifications] == [("a, b", 3), ("how many?", 8)]
    assert spec.holdout == 0.33
    assert read(path, assume=True).objectives == ("One  `[NEEDS CLARIFICATION: code]`",)
    assert read(path, assume=True).clarifications == spec.clarifications
    assert [p.code for p in problems_of(path)[1] if p.severity == "warning"].count("S183") == 2
