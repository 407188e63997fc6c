"""Values and Messages: what is taken, how it is kept and printed, and what is said when it is refused."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from .product import Desk, Site

# shows: F1

TAKEN: list[tuple[str, str, Any]] = [
    ("title", "Dune", "Dune"),
    ("title", "Zoë ☃ 日本", "Zoë ☃ 日本"),
    ("title", "-x", "-x"),
    ("title", "--pages", "--pages"),
    ("title", "12345678901234567890", "12345678901234567890"),
    ("title", "'; DROP --", "'; DROP --"),
    ("code", "007", "007"),
    ("pages", "1", 1),
    ("pages", "1000", 1000),
    ("big", "9223372036854775807", 9223372036854775807),
    ("big", "-9223372036854775808", -9223372036854775808),
    ("big", "-5", -5),
    ("big", "0", 0),
    ("big", "-0", 0),
    ("big", "-00", 0),
    ("rating", "-0", 0),
    ("weight", "-0.0", 0),
    ("cost", "-0", "0"),
    ("cost", "-0.00", "0.00"),
    ("rating", "5", 5),
    ("rating", "4.25", 4.25),
    ("weight", "-0.5", -0.5),
    ("cost", "7.50", "7.50"),
    ("cost", "-0.10", "-0.10"),
    ("cost", "0.000000000000000000000000000001", "0.000000000000000000000000000001"),
    ("cost", "123456789012345678901234567890.12", "123456789012345678901234567890.12"),
    ("price", "0", "0"),
    ("read", "true", True),
    ("read", "false", False),
    ("shelf", "alpha", "alpha"),
    ("mood", "so-so", "so-so"),
    ("published", "2024-02-29", "2024-02-29"),
    ("published", "0001-01-01", "0001-01-01"),
    ("published", "9999-12-31", "9999-12-31"),
    ("starts", "2027-03-01T09:00:00Z", "2027-03-01T09:00:00Z"),
    ("starts", "2027-03-01T10:00:00+01:00", "2027-03-01T09:00:00Z"),
    ("starts", "2027-02-28T23:30:00-09:30", "2027-03-01T09:00:00Z"),
    ("starts", "2027-03-01T09:00:00", "2027-03-01T09:00:00Z"),
    ("mask", "ab|1,2", "ab|1,2"),
]


@pytest.mark.parametrize(("field", "given", "kept"), TAKEN, ids=[f"{f}={g[:24]}" for f, g, _ in TAKEN])
def test_a_value_is_kept_and_printed_in_the_form_of_its_type(sink: Desk, field: str, given: str, kept: Any):
    """What was given on the command line comes back in JSON, and on screen."""
    options = ["--title", "Some title"] if field != "title" else []
    record = sink.run("sample", "add", *options, f"--{field}", given, "--json").done().json
    assert record[field] == kept
    assert type(record[field]) in {type(kept), float}
    shown = kept if isinstance(kept, str) else json.dumps(kept)
    assert f"{field}: {shown}" in sink.run("sample", "show", "1").done().lines


@pytest.mark.parametrize(
    ("given", "printed"),
    [("1", "1"), ("1.0", "1"), ("0.250", "0.25"), ("-2.50", "-2.5"), ("0.1", "0.1"), ("1000", "1000")],
)
def test_a_number_is_printed_in_its_shortest_form(sink: Desk, given: str, printed: str):
    """`1`, `0.25`: no trailing zeros, no trailing point."""
    sink.add("sample", "--title", "xx", "--weight", given)
    assert f"weight: {printed}" in sink.run("sample", "show", "1").lines
    assert f'"weight": {printed},' in sink.run("sample", "show", "1", "--json").out


REFUSED: list[tuple[str, str, str]] = [
    ("title", "", "title is required"),
    ("title", "x", "title must have at least 2 characters (got 1)"),
    ("title", "é" * 21, "title must have at most 20 characters (got 21)"),
    ("title", "☃" * 22, "title must have at most 20 characters (got 22)"),
    ("code", "12", r"code must match \d{3} (got 12)"),
    ("code", "1234", r"code must match \d{3} (got 1234)"),
    ("code", "123\n", r"code must match \d{3} (got 123"),
    ("code", "١٢٣", r"code must match \d{3} (got ١٢٣)"),
    ("mask", "ab,1", r"mask must match [a-z]+[|][0-9,]+ (got ab,1)"),
    ("pages", "0", "pages must be at least 1 (got 0)"),
    ("pages", "-0", "pages must be at least 1 (got 0)"),
    ("pages", "-1", "pages must be at least 1 (got -1)"),
    ("pages", "1001", "pages must be at most 1000 (got 1001)"),
    ("pages", "many", "pages must be a whole number (got many)"),
    ("pages", "1.5", "pages must be a whole number (got 1.5)"),
    ("pages", "true", "pages must be a whole number (got true)"),
    ("pages", "1_0", "pages must be a whole number (got 1_0)"),
    ("pages", "0x10", "pages must be a whole number (got 0x10)"),
    ("rating", "5.01", "rating must be at most 5 (got 5.01)"),
    ("rating", "-0.5", "rating must be at least 0 (got -0.5)"),
    ("rating", "good", "rating must be a number (got good)"),
    ("rating", "NaN", "rating must be a number (got NaN)"),
    ("weight", "inf", "weight must be a number (got inf)"),
    ("weight", "-Infinity", "weight must be a number (got -Infinity)"),
    ("weight", "1_0", "weight must be a number (got 1_0)"),
    ("price", "-0.01", "price must be at least 0 (got -0.01)"),
    ("price", "ten", "price must be a decimal (got ten)"),
    ("price", "1e5", "price must be a decimal (got 1e5)"),
    ("price", "NaN", "price must be a decimal (got NaN)"),
    ("price", "Infinity", "price must be a decimal (got Infinity)"),
    ("price", ".5", "price must be a decimal (got .5)"),
    ("price", "5.", "price must be a decimal (got 5.)"),
    ("price", "+5", "price must be a decimal (got +5)"),
    ("price", "1_0", "price must be a decimal (got 1_0)"),
    ("price", "1,50", "price must be a decimal (got 1,50)"),
    ("price", "٥", "price must be a decimal (got ٥)"),
    ("read", "yes", "read must be true or false (got yes)"),
    ("read", "1", "read must be true or false (got 1)"),
    ("shelf", "gamma", "shelf must be one of zeta, beta, alpha (got gamma)"),
    ("shelf", "BETA", "shelf must be one of zeta, beta, alpha (got BETA)"),
    ("published", "tomorrow", "published must be a date (got tomorrow)"),
    ("published", "2027-02-29", "published must be a date (got 2027-02-29)"),
    ("published", "2027-13-01", "published must be a date (got 2027-13-01)"),
    ("published", "01.03.2027", "published must be a date (got 01.03.2027)"),
    ("starts", "noon", "starts must be a timestamp (got noon)"),
    ("starts", "2027-03-01T25:00:00Z", "starts must be a timestamp (got 2027-03-01T25:00:00Z)"),
    ("maker", "9", "maker must be the id of an existing maker (got 9)"),
    ("maker", "0", "maker must be the id of an existing maker (got 0)"),
    ("maker", "-0", "maker must be the id of an existing maker (got 0)"),
    ("maker", "-1", "maker must be the id of an existing maker (got -1)"),
    (
        "maker",
        "99999999999999999999999",
        "maker must be the id of an existing maker (got 99999999999999999999999)",
    ),
]


@pytest.mark.parametrize(("field", "given", "message"), REFUSED, ids=[f"{f}={g[:24]!r}" for f, g, _ in REFUSED])
def test_a_wrong_value_is_refused_with_its_message(sink: Desk, field: str, given: str, message: str):
    """On stderr, one line, exit status 2; nothing is stored and no id is used."""
    options = ["--title", "Some title"] if field != "title" else []
    problems = sink.fails("sample", "add", *options, f"--{field}", given, status=2)
    assert "\n".join(problems).startswith(message) if given.endswith("\n") else problems == [message]
    assert sink.add("sample", "--title", "xx") == 1


@pytest.mark.parametrize("given", ["9223372036854775808", "-9223372036854775809", "1" * 400])
def test_an_integer_of_more_than_64_bits_is_refused(sink: Desk, given: str):
    """The format names the limit, not the message."""
    assert sink.fails("sample", "add", "--title", "xx", "--big", given, status=2)[0].startswith("big must be ")


@pytest.mark.parametrize("given", ["1e999", "-1e999"])
def test_a_number_beyond_the_range_is_refused(sink: Desk, given: str):
    """It would become infinity."""
    problems = sink.fails("sample", "add", "--title", "xx", "--weight", given, status=2)
    assert problems == [f"weight must be a number (got {given})"]


def test_every_problem_is_told_in_table_order_and_unknown_fields_last(sink: Desk):
    """All at once, each on a line of its own, whatever order they were given in."""
    problems = sink.fails(
        "sample", "add", "--bogus", "1", "--shelf", "nowhere", "--rating", "9", "--pages", "0", status=2
    )
    assert problems == [
        "title is required",
        "pages must be at least 1 (got 0)",
        "rating must be at most 5 (got 9)",
        "shelf must be one of zeta, beta, alpha (got nowhere)",
        "bogus is not a field",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("--published", "2027-03-02"), ("--due", "2027-03-01")),
        (("--published", "2027-03-01"), ("--due", "2027-03-01")),
    ],
)
def test_after_means_later_not_equal(sink: Desk, first: tuple[str, str], second: tuple[str, str]):
    """`F must be after G (got V)`, whether added together or one after the other."""
    message = "due must be after published (got 2027-03-01)"
    assert sink.fails("sample", "add", "--title", "xx", *first, *second, status=2) == [message]
    sink.add("sample", "--title", "xx", *second)
    assert sink.fails("sample", "edit", "1", *first, status=2) == [message]
    assert sink.record("sample", 1)["published"] is None


def test_after_compares_moments_not_their_text(sink: Desk):
    """10:00 at +02:00 is before 09:00 in UTC."""
    problems = sink.fails(
        "sample", "add", "--title", "xx", "--starts", "2027-03-01T09:00:00Z",
        "--ends", "2027-03-01T10:00:00+02:00", status=2,
    )  # fmt: skip
    assert len(problems) == 1
    assert problems[0].startswith("ends must be after starts (got 2027-03-01T")


def test_after_says_nothing_where_one_side_is_missing(sink: Desk):
    """Missing values clash with nothing."""
    sink.add("sample", "--title", "xx", "--due", "2027-03-01")
    sink.add("sample", "--title", "xx", "--published", "2027-03-01")


def test_defaults_fill_what_was_not_given(sink: Desk):
    """Literal defaults, lists in JSON, `today` and `now`; the rest is missing."""
    before = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - compared with the product's own clock
    sink.add("sample", "--title", "xx")
    record = sink.record("sample", 1)
    after = datetime.now(UTC)  # noqa: TID251
    expected = {"price": "0", "read": False, "shelf": "beta", "marks": [1, 2], "flag": None, "tags": []}
    assert {key: record[key] for key in expected} == expected
    assert before <= datetime.fromisoformat(record["seen_at"]) <= after
    day = datetime.fromisoformat(record["best_before"]).date()
    assert abs(day - before.date()) <= timedelta(days=1)
    for automatic in ("created_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record[automatic])
        assert before <= datetime.fromisoformat(record[automatic]) <= after


def test_created_at_stays_and_updated_at_never_goes_back(sink: Desk):
    """Automatic fields are kept by the program."""
    sink.add("sample", "--title", "xx")
    old = sink.record("sample", 1)
    sink.run("sample", "edit", "1", "--title", "yy").done()
    new = sink.record("sample", 1)
    assert new["created_at"] == old["created_at"]
    assert new["updated_at"] >= old["updated_at"]


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("tags", ["b", "a", "b"], ["b", "a", "b"]),
        ("tags", ["é", 'say "hi"', "a, b", "-x"], ["é", 'say "hi"', "a, b", "-x"]),
        ("marks", ["3", "-4"], [3, -4]),
        ("amounts", ["1.50", "2"], ["1.50", "2"]),
        ("days", ["2027-03-01"], ["2027-03-01"]),
        ("steps", ["up", "down", "up"], ["up", "down", "up"]),
        ("switches", ["true", "false"], [True, False]),
    ],
)
def test_a_list_repeats_its_option_and_is_replaced_on_edit(sink: Desk, field: str, given: list[str], kept: list[Any]):
    """Order and repetition are kept; repeated on edit it replaces the whole list; cleared it is empty."""
    words = [word for value in given for word in (f"--{field}", value)]
    sink.add("sample", "--title", "xx", *words)
    assert sink.record("sample", 1)[field] == kept
    sink.run("sample", "edit", "1", f"--{field}", given[0]).done()
    assert sink.record("sample", 1)[field] == kept[:1]
    sink.run("sample", "edit", "1", "--clear", field).done()
    assert sink.record("sample", 1)[field] == []
    assert f"{field}: -" in sink.run("sample", "show", "1").lines


@pytest.mark.parametrize(
    ("field", "given", "message"),
    [
        ("marks", "x", "marks must be a whole number (got x)"),
        ("amounts", "x", "amounts must be a decimal (got x)"),
        ("days", "x", "days must be a date (got x)"),
        ("steps", "left", "steps must be one of up, down (got left)"),
        ("switches", "x", "switches must be true or false (got x)"),
    ],
)
def test_each_element_of_a_list_is_checked_by_its_type(sink: Desk, field: str, given: str, message: str):
    """The message is that of the element's type."""
    assert sink.fails("sample", "add", "--title", "xx", f"--{field}", given, status=2) == [message]


def test_empty_text_counts_as_missing(sink: Desk):
    """`--code ""` clears; a required text refuses it; missing is `-` on screen and null in JSON."""
    sink.add("sample", "--title", "xx", "--code", "")
    assert sink.record("sample", 1)["code"] is None
    assert "code: -" in sink.run("sample", "show", "1").lines
    sink.run("sample", "edit", "1", "--code", "123").done()
    sink.run("sample", "edit", "1", "--code", "").done()
    assert sink.record("sample", 1)["code"] is None
    assert sink.fails("sample", "edit", "1", "--title", "", status=2) == ["title is required"]


def test_clear_takes_both_spellings_and_knows_required_and_unknown_fields(sink: Desk):
    """`--clear best-before` and `--clear best_before`."""
    sink.add("sample", "--title", "xx", "--code", "123")
    assert sink.run("sample", "edit", "1", "--clear", "best-before").out == "changed sample 1\n"
    sink.run("sample", "edit", "1", "--clear", "seen_at", "--clear", "code").done()
    record = sink.record("sample", 1)
    assert (record["best_before"], record["seen_at"], record["code"]) == (None, None, None)
    assert sink.fails("sample", "edit", "1", "--clear", "title", status=2) == ["title is required"]
    assert sink.fails("sample", "edit", "1", "--clear", "bogus", status=2) == ["bogus is not a field"]


def test_an_immutable_field_is_set_once(sink: Desk):
    """`F cannot be changed`."""
    sink.add("sample", "--title", "xx", "--origin", "Oslo")
    assert sink.fails("sample", "edit", "1", "--origin", "Rome", status=2) == ["origin cannot be changed"]
    assert sink.fails("sample", "edit", "1", "--clear", "origin", status=2) == ["origin cannot be changed"]
    assert sink.record("sample", 1)["origin"] == "Oslo"


@pytest.mark.parametrize("value", ["correct horse battery", "pässwörter ☃"])
def test_a_secret_is_never_printed_and_not_stored_as_it_is(sink: Desk, value: str):
    """Not by any command, not in any export, not in the database file."""
    sink.add("sample", "--title", "xx", "--password", value)
    told = [
        sink.run("sample", "list"), sink.run("sample", "list", "--json"), sink.run("sample", "show", "1"),
        sink.run("sample", "show", "1", "--json"), sink.run("sample", "edit", "1", "--password", value + "!"),
        sink.run("sample", "edit", "1", "--title", "yy", "--json"), sink.run("sample", "export", "out.csv"),
        sink.run("sample", "export", "out.json"),
        sink.run("sample", "add", "--title", "zz", "--password", value, "--json"),
    ]  # fmt: skip
    for result in told:
        result.done()
        assert value not in result.out
        assert "password" not in result.out
    for name in ("out.csv", "out.json"):
        assert b"password" not in (sink.folder / name).read_bytes()
    for path in sink.folder.glob("data.sqlite*"):
        assert value.encode() not in path.read_bytes()


@pytest.mark.parametrize(("field", "value"), [("password", "hunter2"), ("pin", "12x4")])
def test_a_refused_secret_is_not_printed_either(sink: Desk, field: str, value: str):
    """Messages say what is wrong, without the value."""
    problems = sink.fails("sample", "add", "--title", "xx", f"--{field}", value, status=2)
    assert len(problems) == 1
    assert problems[0].startswith(f"{field} must ")
    assert value not in problems[0]


def test_the_length_of_a_secret_is_told(sink: Desk):
    """A length is no secret."""
    assert sink.fails("sample", "add", "--title", "xx", "--password", "hunter2", status=2) == [
        "password must have at least 8 characters (got 7)"
    ]


def test_secrets_are_not_filtered_or_searched(sink: Desk):
    """Neither by value nor by what is stored."""
    sink.add("sample", "--title", "xx", "--password", "correct horse")
    assert sink.fails("sample", "list", "--password", "correct horse", status=2)
    assert sink.run("sample", "list", "--search", "correct").out == "no samples\n"
    sink.add("account", "--email", "a", "--password", "correct horse")
    assert sink.run("account", "list", "--search", "$").out == "no accounts\n"
    assert sink.run("account", "list", "--search", ":").out == "no accounts\n"


def test_a_required_secret_is_required(sink: Desk):
    """As any required field."""
    assert sink.fails("account", "add", "--email", "a", status=2) == ["password is required"]


# The same over HTTP, where values have JSON's types.

TAKEN_JSON: list[tuple[str, str, Any]] = [
    ("pages", "12", 12),
    ("big", "9223372036854775807", 9223372036854775807),
    ("big", "-0", 0),
    ("marks", "[-0, 0]", [0, 0]),
    ("weight", "-0", 0),
    ("cost", "-0", "0"),
    ("cost", "-0e1", "0"),
    ("cost", '"-0.0"', "0.0"),
    ("weight", "1e3", 1000),
    ("weight", "-0.5", -0.5),
    ("weight", "3", 3),
    ("read", "true", True),
    ("flag", "false", False),
    ("flag", "null", None),
    ("cost", '"7.50"', "7.50"),
    ("cost", "7.5", "7.5"),
    ("cost", "3", "3"),
    ("tags", '["a", "ü"]', ["a", "ü"]),
    ("tags", "null", []),
    ("tags", "[]", []),
    ("mood", '""', None),
    ("code", '""', None),
    ("starts", '"2027-03-01T10:00:00+01:00"', "2027-03-01T09:00:00Z"),
    ("title", '"\\ud83d\\ude00 ok"', "😀 ok"),
    ("title", '"tab\\there"', "tab\there"),
]


@pytest.mark.parametrize(
    ("field", "given", "kept"), TAKEN_JSON, ids=[f"{field}={given}" for field, given, _ in TAKEN_JSON]
)
def test_a_json_value_is_taken(sink_site: Site, field: str, given: str, kept: Any):
    """It comes back in the form of its type, at once and when fetched again."""
    rest = '"title": "xx", ' if field != "title" else ""
    answer = sink_site.call("POST", "/samples", f'{{{rest}"{field}": {given}}}'.encode())
    assert answer.status_code == 201, answer.text
    assert answer.json()[field] == kept
    assert sink_site.get(f"/samples/{answer.json()['id']}")[field] == kept


def test_minus_zero_is_zero_wherever_it_is_asked_for(sink: Desk, sink_site: Site):
    """In filters, limits and files; a number of very many zeros is one too."""
    assert sink.run("note", "add", "--size", "-" + "0" * 5000, "--amount", "-0.50").out == "added note 1\n"
    sink.write("more.csv", "size,amount\n-0,-0.0\n")
    sink.run("note", "import", "more.csv").done()
    assert sink.ids("note", "--size", "-0") == sink.ids("note", "--size-min", "-0", "--offset", "-0") == [1, 2]
    assert sink.ids("note", "--limit", "-0") == []
    assert sink.ids("note", "--amount", "-0") == [2]
    sink.run("note", "export", "out.csv").done()
    assert "\n2,,0,0.0,\n" in (sink.folder / "out.csv").read_text()
    added = sink_site.post("/notes", size=0)["id"]
    assert added in sink_site.ids("/notes", size="-0")
    assert sink_site.ids("/notes", limit="-0") == []


def test_a_decimal_given_as_a_json_number_stays_exact(sink_site: Site):
    """More digits than a float holds."""
    for literal in ("12345678901234567890.123456789", "0.1", "7.10"):
        answer = sink_site.call("POST", "/samples", f'{{"title": "xx", "cost": {literal}}}'.encode())
        assert answer.status_code == 201, answer.text
        assert Decimal(answer.json()["cost"]) == Decimal(literal)


REFUSED_JSON: list[tuple[str, str, str]] = [
    ("title", "null", "title is required"),
    ("title", '""', "title is required"),
    ("title", "12", "title must be "),
    ("title", '["xx"]', "title must be "),
    ("pages", "true", "pages must be a whole number (got true)"),
    ("pages", "1.5", "pages must be a whole number (got 1.5)"),
    ("pages", "[1]", "pages must be a whole number"),
    ("pages", "{}", "pages must be a whole number"),
    ("big", "9223372036854775808", "big must be "),
    ("big", "1e400", "big must be "),
    ("rating", "true", "rating must be a number (got true)"),
    ("rating", '"good"', "rating must be a number (got good)"),
    ("cost", "true", "cost must be a decimal (got true)"),
    ("cost", '"1e5"', "cost must be a decimal (got 1e5)"),
    ("read", '"yes"', "read must be true or false (got yes)"),
    ("read", "1", "read must be true or false (got 1)"),
    ("shelf", "5", "shelf must be one of zeta, beta, alpha (got 5)"),
    ("published", "20270301", "published must be a date (got 20270301)"),
    ("starts", "[]", "starts must be a timestamp"),
    ("tags", '"a"', "tags must be "),
    ("tags", "[1]", "tags must be "),
    ("marks", '["x"]', "marks must be a whole number (got x)"),
    ("marks", "[true]", "marks must be a whole number (got true)"),
    ("maker", "987654", "maker must be the id of an existing maker (got 987654)"),
    ("maker", "true", "maker must be "),
    ("maker", "1e400", "maker must be "),
    ("maker", "99999999999999999999", "maker must be "),
    ("colour", '"red"', "colour is not a field"),
]


@pytest.mark.parametrize(
    ("field", "given", "message"), REFUSED_JSON, ids=[f"{field}={given}" for field, given, _ in REFUSED_JSON]
)
def test_a_wrong_json_value_is_refused_with_its_field(sink_site: Site, field: str, given: str, message: str):
    """422, a problem document, and the same message as on the command line."""
    rest = '"title": "xx", ' if field != "title" else ""
    answer = sink_site.call("POST", "/samples", f'{{{rest}"{field}": {given}}}'.encode())
    errors = sink_site.problem(answer, 422)["errors"]
    assert [error["field"] for error in errors] == [field]
    assert errors[0]["message"].startswith(message), errors


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_json_numbers_that_are_none_are_refused(sink_site: Site, literal: str):
    """NaN is no JSON (400) or no number (422); either way nothing is stored."""
    answer = sink_site.call("POST", "/samples", f'{{"title": "xx", "weight": {literal}}}'.encode())
    assert answer.status_code in {400, 422}, answer.text
    sink_site.problem(answer, answer.status_code)


def test_every_problem_is_told_at_once_over_http(sink_site: Site):
    """In table order, unknown fields last."""
    answer = sink_site.call(
        "POST", "/samples", {"bogus": 1, "rating": 9, "pages": 0, "due": "x", "published": "2027-01-01"}
    )
    assert sink_site.messages(answer) == [
        "title is required",
        "pages must be at least 1 (got 0)",
        "rating must be at most 5 (got 9)",
        "due must be a date (got x)",
        "bogus is not a field",
    ]


def test_a_secret_is_written_and_never_read_over_http(sink_site: Site):
    """Absent from every answer; not a filter."""
    record = sink_site.post("/accounts", email="secret@example.org", password="correct horse")
    assert set(record) == {"id", "email", "number", "born"}
    number = record["id"]
    for answer in (
        sink_site.call("GET", f"/accounts/{number}"),
        sink_site.call("PATCH", f"/accounts/{number}", {"password": "battery staple"}),
        sink_site.call("GET", "/accounts"),
    ):
        assert answer.status_code == 200
        assert "password" not in answer.text
        assert "battery" not in answer.text
    sink_site.problem(sink_site.call("GET", "/accounts?password=correct"), 422)
    assert sink_site.messages(sink_site.call("PATCH", f"/accounts/{number}", {"password": None})) == [
        "password is required"
    ]
