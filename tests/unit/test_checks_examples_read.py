"""The three languages of acceptance examples: what they mean, and what is wrong before anything runs."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.checks import faults
from daybreak.checks.examples import exchange, listing, pattern, transcript

CONSOLE = """\
$ bookshelf book add --title Dune --pages 412
added book 1
$ bookshelf book show 9
bookshelf: no book 9
[1]
"""
HTTP = """\
POST /books
{"title": "Dune", "pages": 412}

201
{"id": <integer as book>, "title": "Dune", "pages": 412, ...}

GET /books/{{book}}

200

GET /books/9

404
"""
FILES = """\
README.md contains "bookshelf"
src/bookshelf/__init__.py exists
dist/*.whl count 1
"""


def told(kind: str, body: str, product: str | None = None) -> list[tuple[int, str]]:
    """Faults as (line, message), and each must say what to do."""
    found = faults(kind, body, product=product)
    assert all(fault.remedy for fault in found)
    return [(fault.line, fault.message) for fault in found]


@pytest.mark.parametrize(("kind", "body"), [("console", CONSOLE), ("http", HTTP), ("files", FILES)])
def test_the_examples_of_the_format_have_no_fault(kind: str, body: str) -> None:
    """What the specification format itself shows can be read."""  # shows: F2
    assert faults(kind, body, product="bookshelf") == []


@pytest.mark.parametrize(
    ("kind", "body", "line", "message"),
    [
        ("console", "", 0, "no command"),
        ("console", "nothing here\n", 0, "before the first command"),
        ("console", "$ a\nb\n$\n", 2, "empty"),
        ("console", "$ a\n[0]\n", 1, "not an exit status"),
        ("console", "$ a\nfine\n[256]\n", 2, "not an exit status"),
        ("console", "$ a\nfine\n( (re)\n", 2, "cannot be read"),
        ("console", "$ echo\n> hello\n", 0, "never runs app"),
        ("console", "$ cat app.txt\n", 0, "never runs app"),
        ("http", "", 0, "no request"),
        ("http", "GET /a\n", 0, "no answer"),
        ("http", "GET /a\n\nGET /b\n\n200\n", 0, "no answer"),
        ("http", "GET /a\n\n200\n\n201\n", 4, "where a request must"),
        ("http", "FETCH /a\n\n200\n", 0, "not a method"),
        ("http", "get /a\n\n200\n", 0, "not a method"),
        ("http", "GET books\n\n200\n", 0, "not a path"),
        ("http", "GET /a b\n\n200\n", 0, "blank"),
        ("http", "GET /a\n\n20\n", 2, "status"),
        ("http", "GET /a\n\n999\n", 2, "status"),
        ("http", "GET /a\n\n200 OK\n", 2, "status"),
        ("http", 'GET /a\n\n200\n{"a": <foo>}\n', 3, "no kind <foo>"),
        ("http", "GET /a\n\n200\nX-A: <foo>\n", 3, "no kind <foo>"),
        ("http", "GET /a\n\n200\nLocation: http://x/<integer>\n", 3, "mixes"),
        ("http", 'GET /a\n\n200\n{"a": 1,\n "b" 2}\n', 4, "colon"),
        ("http", 'GET /a\n\n200\n{"a": 1, "a": 2}\n', 3, "twice"),
        ("http", "POST /a\n{broken\n\n200\n", 1, "not JSON"),
        ("http", "GET /a/{{b}}\n\n200\n", 0, "before anything caught"),
        ("http", 'GET /a\n\n200\n{"x": <any as b>, "y": {{b}}}\n', 2, "before anything caught"),
        ("http", "GET /a\n\n200\n<any as b>\n\nGET /{{ b }}\n\n200\n", 5, "is not a name"),
        ("files", "", 0, "claims nothing"),
        ("files", "a exists\nb is there\n", 1, "not understood"),
        ("files", "/etc/passwd exists\n", 0, "absolute"),
        ("files", "a/../../b exists\n", 0, "upwards"),
        ("files", "a contains b\n", 0, "not understood"),
        ("files", 'a contains ""\n', 0, "empty text"),
        ("files", "*.py count many\n", 0, "not understood"),
        ("sql", "select 1", 0, "no kind of example"),
        ("console", "$ app\n$ app \0\n", 1, "cannot stand"),
        ("http", "GET /\ud800\n\n200\n", 0, "cannot stand"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(kind: str, body: str, line: int, message: str) -> None:
    """Every fault names its line and what is wrong."""  # shows: F2 F3
    found = told(kind, body, "app")
    assert any(at == line and message in text for at, text in found), found


def test_all_faults_are_told_at_once() -> None:
    """One look finds them all, in the order of the lines."""  # shows: F3
    found = told("http", "FETCH /a\n\n2000\n\nGET b\n\n200\n{\n")
    assert [line for line, _ in found] == [0, 2, 4, 7]


def test_a_malformed_body_may_be_sent_on_purpose() -> None:
    """Sending what is no JSON is fine where the answer is a refusal."""
    assert faults("http", "POST /a\n{broken\n\n400\n") == []


def test_another_media_type_needs_no_json() -> None:
    """A header says what the body is."""
    assert faults("http", "POST /a\nContent-Type: text/csv\na,b\n1,2\n\n201\nContent-Type: text/csv\na,b\n") == []


@pytest.mark.parametrize(
    "command", ["app x", "cd d && app", "A=1 app", "python3 -m my_app x", "./bin/my-app", "x | my-app", "$(my-app)"]
)
def test_the_product_is_found_in_a_command(command: str) -> None:
    """As a program, in a pipe, with its path, or as a package."""
    name = "app" if " app" in f" {command}" else "my-app"
    assert faults("console", f"$ {command}\n", product=name) == []


@settings(max_examples=50)
@given(st.sampled_from(["console", "http", "files"]), st.text(max_size=80))
def test_any_text_gives_faults_and_never_an_error(kind: str, body: str) -> None:
    """Reading is total."""
    faults(kind, body, product="app")


@given(
    st.lists(
        st.sampled_from(
            [
                "GET /a",
                "200",
                "",
                '{"a": <any as x>}',
                "{{x}}",
                "A: b",
                "$ app",
                "> x",
                "[1]",
                "...",
                "x (re)",
                "[",
                "{",
            ]
        ),
        max_size=12,
    )
)
def test_any_lines_of_the_languages_give_faults_and_never_an_error(lines: list[str]) -> None:
    """Reading is total also where the pieces are right and their order is not."""
    for kind in ("console", "http", "files"):
        faults(kind, "\n".join(lines))


# -- console


def expects(expected: str, printed: str) -> bool:
    (command,), found = transcript.read(f"$ x\n{expected}")
    assert not found
    return transcript.matches(command, transcript.lines_of(printed))


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nb", True),  # the last newline may be missing
        ("a\nb\n", "a\nb\nc\n", False),
        ("a\nb\n", "a\n", False),
        ("", "", True),
        ("", "a\n", False),
        ("a \n", "a\n", False),
        ("...\n", "", True),
        ("...\n", "a\nb\n", True),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nd\n", True),
        ("a\n...\nd\n", "a\nb\nc\n", False),
        ("...\na\n...\na\n", "a\nb\na\n", True),
        ("...\na\n...\na\n", "a\nb\n", False),
        ("[a-z]+ (re)\n", "abc\n", True),
        ("[a-z]+ (re)\n", "abc1\n", False),
        ("[a-z]+ (re)\n", "[a-z]+ (re)\n", True),  # as in Cram, the very text fits too
        ("added * of ? (glob)\n", "added one two of 3\n", True),
        ("added * of ? (glob)\n", "added x of 33\n", False),
        (r"a\*b (glob)" + "\n", "a*b\n", True),
        (r"a\*b (glob)" + "\n", "axb\n", False),
        (r"\[1\] (re)" + "\n", "[1]\n", True),
        ("a\n\n", "a\n", True),  # blank lines at the end may be there or not
        ("a\n\n", "a\n\n", True),
        ("a\n\n", "a\n\n\n", False),
        ("a\n\nb\n", "a\nb\n", False),  # blank lines inside must be
        ("über\n", "über\n", True),
    ],
)
def test_lines_are_compared_as_the_format_says(expected: str, printed: str, fits: bool) -> None:
    """Exact lines, `...`, (re), (glob), and the blank lines at the end."""
    assert expects(expected, printed) is fits


def test_exit_status_and_continuation_are_read() -> None:
    """`> ` goes on with a command, a last `[n]` is its status; a `[n]` further up is text."""
    commands, found = transcript.read("$ cat <<E\n> [1]\n> E\n[1]\n$ y\n[7]\nz\n[2]\n\n")
    assert not found
    assert commands[0].text == "cat <<E\n[1]\nE"
    assert (commands[0].exit_code, commands[0].expected) == (1, ())
    assert (commands[1].exit_code, commands[1].expected) == (2, ("[7]", "z"))


def test_many_wildcards_against_much_output_is_quick() -> None:
    """`...` is matched without backtracking."""
    assert not transcript.fits(["...", "a"] * 100 + ["b"], ["a"] * 3000)


lines = st.lists(st.sampled_from(["a", "b", "...", "* (glob)", "[ab] (re)"]), max_size=6)


def _fits_slowly(expected: list[str], printed: list[str]) -> bool:
    """The definition, by recursion."""
    if not expected:
        return not printed
    if expected[0] == "...":
        return any(_fits_slowly(expected[1:], printed[at:]) for at in range(len(printed) + 1))
    if not printed:
        return False
    one = {"* (glob)": True, "[ab] (re)": printed[0] in ("a", "b")}.get(expected[0], expected[0] == printed[0])
    return one and _fits_slowly(expected[1:], printed[1:])


@given(lines, st.lists(st.sampled_from(["a", "b", "c"]), max_size=6))
def test_matching_lines_equals_its_definition(expected: list[str], printed: list[str]) -> None:
    """The quick way gives what trying everything gives; and the difference is clean exactly then."""
    fits = transcript.fits(expected, printed)
    assert fits == _fits_slowly(expected, printed)
    clean = all(line.startswith("  ") for line in transcript.difference(expected, printed))
    assert clean == fits


def test_the_difference_shows_what_is_missing_and_what_is_too_much() -> None:
    """For people: - expected, + printed."""
    assert transcript.difference(["a", "b", "c"], ["a", "x", "c"]) == ["  a", "- b", "+ x", "  c"]


# -- http


def differences(wanted: str, got: str) -> tuple[str, ...]:
    return pattern.match(pattern.read(wanted), pattern.read_value(got)).differences


@pytest.mark.parametrize(
    ("wanted", "got", "fits"),
    [
        ('{"a": 1}', '{"a": 1}', True),
        ('{"a": 1}', '{"a": 1.0}', True),
        ('{"a": 1}', '{"a": true}', False),
        ('{"a": 1}', '{"a": "1"}', False),
        ("true", "1", False),
        ("0.1", "0.10000000000000001", False),  # exact, where floats would be equal
        ("12345678901234567890", "12345678901234567891", False),
        ("1e2", "100", True),
        ("null", "null", True),
        ("null", "false", False),
        ('{"a": 1}', '{"a": 1, "b": 2}', False),
        ('{"a": 1, ...}', '{"a": 1, "b": 2}', True),
        ("{...}", "{}", True),
        ("{...}", "[]", False),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', True),
        ("[1, 2]", "[2, 1]", False),
        ("[]", "[]", True),
        ("[...]", "[]", True),
        ("[..., 3]", "[1, 2, 3]", True),
        ("[1, ...]", "[1, 2, 3]", True),
        ("[..., 2, ...]", "[1, 2, 3]", True),
        ("[..., 4, ...]", "[1, 2, 3]", False),
        ("[..., 1, 2]", "[1, 3, 1, 2]", True),
        ('[{"a": [1, ...], ...}, ...]', '[{"a": [1, 2], "b": 0}, 7]', True),
        ("<any>", "null", True),
        ("<integer>", "7", True),
        ("<integer>", "7.0", True),
        ("<integer>", "7.5", False),
        ("<integer>", "true", False),
        ("<integer>", '"7"', False),
        ("<number>", "7.5", True),
        ("<decimal>", '"7.50"', True),
        ("<decimal>", '".5"', False),
        ("<decimal>", "7.5", False),
        ("<boolean>", "false", True),
        ("<boolean>", "0", False),
        ("<text>", '""', True),
        ("<text>", "null", False),
        ("<date>", '"2027-02-28"', True),
        ("<date>", '"2027-02-29"', False),
        ("<date>", '"20270228"', False),
        ("<timestamp>", '"2027-03-01T09:00:00Z"', True),
        ("<timestamp>", '"2027-03-01T09:00:00+01:00"', True),
        ("<timestamp>", '"2027-03-01T09:00:00"', False),
        ("<timestamp>", '"2027-03-01T25:00:00Z"', False),
        ("<url>", '"http://127.0.0.1:1/books/1"', True),
        ("<url>", '"/books/1"', False),
        ("<url>", '"http://a b/"', False),
        ('"a\\u00fc"', '"aü"', True),
        ('"<integer>"', '"<integer>"', True),  # in quotes it is text
        ('"..."', '"..."', True),
    ],
)
def test_json_is_compared_as_the_format_says(wanted: str, got: str, fits: bool) -> None:
    """Exact objects, `...`, numbers by value and exactly, kinds."""
    assert (differences(wanted, got) == ()) is fits


def test_differences_name_their_place() -> None:
    """Every difference says where, what was expected and what came."""
    assert differences('{"a": [{"b": 1}], "c": 2}', '{"a": [{"b": 2}], "d": 3}') == (
        "$.a[0].b: expected 1, got 2",
        "$.c: expected 2, but it is missing",
        "$.d: not expected, got 3",
    )


def test_values_are_caught_as_raw_text() -> None:
    """A text itself, a number as it was written, anything else as JSON."""
    wanted = pattern.read('{"a": <text as a>, "b": <number as b>, "c": [..., <any as c>], "d": <boolean as d>}')
    got = pattern.read_value('{"a": "x y", "b": 1.50, "c": [1, {"z": null}], "d": true}')
    assert dict(pattern.match(wanted, got).caught) == {"a": "x y", "b": "1.50", "c": '{"z": null}', "d": "true"}


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": 1, "a": 2}', "", "{", "[" * 100_000, "1" * 5000 + "x"])
def test_an_answer_that_is_not_strict_json_is_none(text: str) -> None:
    """NaN, members twice and bottomless nesting are not JSON to us."""
    with pytest.raises(pattern.NotJson):
        pattern.read_value(text)


def test_a_number_of_any_length_is_read() -> None:
    """Long integers do not stop the comparison."""
    assert differences("1" * 5000, "1" * 5000) == ()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, json_values)
def test_plain_json_matches_exactly_what_equals_it(one: object, other: object) -> None:
    """Without kinds and `...`, matching is equality (of JSON, where true is not 1)."""
    first, second = json.dumps(one), json.dumps(other, ensure_ascii=False)
    assert differences(first, first) == ()
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (differences(first, second) == ()) is same


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_numbers_compare_by_value_whatever_their_form(number: Decimal) -> None:
    """Trailing zeros and exponents make no difference."""
    assert differences(f"{number:f}", f"{number:f}0") == ()
    assert differences(f"{number:f}", f"{number:f}0001") != ()


def test_headers_and_bodies_are_told_apart() -> None:
    """Headers come first; what looks like one after the body began is body."""
    ((one,), found) = exchange.read("POST /a\nX-A: 1\nX-B:\nhello\nc: d\n\n200\nX-C: <integer as n>\n")
    assert not found or all("JSON" in fault.message for fault in found)
    assert one.request.headers == (("X-A", "1"), ("X-B", ""))
    assert one.request.body == "hello\nc: d"
    assert exchange.caught_by(one.answer) == ["n"]


# -- files


def test_globs_stay_inside_names_and_folders() -> None:
    """`*` does not cross folders, `**` does."""
    claims, found = listing.read("src/*.py count 1\n")
    assert not found
    assert claims[0].number == 1
