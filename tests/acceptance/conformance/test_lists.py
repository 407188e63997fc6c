"""Lists and Tables: filters, search, order, limits, and how rows are drawn."""

from __future__ import annotations

import pytest

from .conftest import Products
from .product import SAMPLE_FIELDS, Desk, Product, Site


@pytest.fixture(scope="module")
def shelf(products: Products, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Five samples, numbered as written; every test of this module only reads them."""
    product: Product = products("sink")
    desk = product.desk(tmp_path_factory.mktemp("shelf"))
    desk.add("maker", "--name", "Ada")
    rows = [
        ("--title", "Zebra", "--pages", "10", "--big", "5", "--rating", "1", "--price", "7.5", "--cost", "10",
         "--read", "true", "--shelf", "alpha", "--mood", "good", "--published", "2027-01-02",
         "--starts", "2027-01-02T09:00:00Z", "--tags", "red", "--tags", "Blau", "--maker", "1"),
        ("--title", "apple", "--pages", "9", "--rating", "2.5", "--price", "7.50", "--cost", "9.99",
         "--read", "false", "--shelf", "zeta", "--published", "2027-01-01",
         "--starts", "2027-01-02T10:00:00+02:00", "--tags", "redder", "--amounts", "1.50", "--flag", "true"),
        ("--title", "éclair", "--pages", "100", "--big", "-5", "--price", "12", "--cost", "-1",
         "--shelf", "beta", "--days", "2027-05-05", "--steps", "up", "--code", "123"),
        ("--title", "Straße 100%", "--price", "0.3", "--cost", "9.990", "--mood", "so-so", "--flag", "false"),
        ("--title", "ﬀ_x", "--pages", "9", "--rating", "5", "--published", "2026-12-31", "--tags", 'q"q'),
    ]  # fmt: skip
    for row in rows:
        desk.add("sample", *row)
    return desk


FILTERS: list[tuple[str, list[int]]] = [
    ("--title apple", [2]),
    ("--title APPLE", []),
    ("--title app", []),
    ("--pages 9", [2, 5]),
    ("--pages 09", [2, 5]),
    ("--pages-min 10", [1, 3]),
    ("--pages-max 9", [2, 5]),
    ("--pages-min 10 --pages-max 10", [1]),
    ("--big -5", [3]),
    ("--big-max -1", [3]),
    ("--rating 1.0", [1]),
    ("--rating-min 2.5", [2, 5]),
    ("--rating-max 2.5", [1, 2]),
    ("--price 7.5", [1, 2]),
    ("--price 7.500", [1, 2]),
    ("--price-min 10", [3]),
    ("--price-max 0.30", [4, 5]),
    ("--price-min 7.51", [3]),
    ("--cost 9.99", [2, 4]),
    ("--cost-max 9.99", [2, 3, 4]),
    ("--cost-min 10.00", [1]),
    ("--read true", [1]),
    ("--read false", [2, 3, 4, 5]),
    ("--flag true", [2]),
    ("--shelf beta", [3, 4, 5]),
    ("--mood so-so", [4]),
    ("--published 2027-01-01", [2]),
    ("--published-min 2027-01-01", [1, 2]),
    ("--published-max 2027-01-01", [2, 5]),
    ("--starts 2027-01-02T09:00:00Z", [1]),
    ("--starts 2027-01-02T10:00:00+01:00", [1]),
    ("--starts 2027-01-02T09:00:00", [1]),
    ("--starts-max 2027-01-02T08:00:00Z", [2]),
    ("--starts-min 2027-01-02T08:00:01Z", [1]),
    ("--tags red", [1]),
    ("--tags blau", []),
    ('--tags q"q', [5]),
    ("--amounts 1.5", [2]),
    ("--days 2027-05-05", [3]),
    ("--steps up", [3]),
    ("--marks 2", [1, 2, 3, 4, 5]),
    ("--marks 12", []),
    ("--maker 1", [1]),
    ("--maker 2", []),
    ("--code 123", [3]),
    ("--read false --shelf beta", [3, 4, 5]),
    ("--shelf beta --pages-min 10", [3]),
]


@pytest.mark.parametrize(("options", "found"), FILTERS, ids=[options for options, _ in FILTERS])
def test_a_filter_compares_by_the_type_of_its_field(shelf: Desk, options: str, found: list[int]):
    """Equality of the type; lists by containing; `-min` and `-max` include their bound; all must hold."""
    assert shelf.ids("sample", *options.split(" ")) == found


@pytest.mark.parametrize(
    ("field", "missing"),
    [
        ("pages", [4]), ("rating", [3, 4]), ("cost", [5]), ("flag", [1, 3, 5]), ("mood", [2, 3, 5]),
        ("published", [3, 4]), ("starts", [3, 4, 5]), ("tags", [3, 4]), ("maker", [2, 3, 4, 5]), ("code", [1, 2, 4, 5]),
    ],
)  # fmt: skip
def test_an_empty_value_finds_missing(shelf: Desk, field: str, missing: list[int]):
    """For every type, lists too."""
    assert shelf.ids("sample", f"--{field}", "") == missing


@pytest.mark.parametrize("option", ["--title-min", "--shelf-max", "--read-min", "--tags-min", "--maker-min"])
def test_only_dates_timestamps_and_numbers_have_bounds(shelf: Desk, option: str):
    """Any other is no field."""
    assert shelf.run("sample", "list", option, "1").status == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ZEBRA", [1]), ("STRASSE", [4]), ("straße", [4]), ("ÉCLAIR", [3]), ("FF_", [5]), ("100%", [4]), ("%", [4]),
        ("_", [5]), ("RED", [1, 2]), ("blau", [1]), ("ALPH", [1]), ("so-SO", [4]), ("BETA", [3, 4, 5]), ("123", [3]),
        ('"', [5]), (",", []), ("[", []), ("2027", []), ("zebra apple", []), ("\\", []),
    ],
)  # fmt: skip
def test_search_is_a_casefolded_substring(shelf: Desk, text: str, found: list[int]):
    """Over text, choices and lists of text; nothing is a wildcard; other types are not searched."""
    assert shelf.ids("sample", "--search", text) == found


SORTS: list[tuple[str, list[int]]] = [
    ("title", [4, 1, 2, 3, 5]),
    ("-title", [5, 3, 2, 1, 4]),
    ("pages", [2, 5, 1, 3, 4]),
    ("-pages", [3, 1, 2, 5, 4]),
    ("rating", [1, 2, 5, 3, 4]),
    ("-rating", [5, 2, 1, 3, 4]),
    ("price", [5, 4, 1, 2, 3]),
    ("-price", [3, 1, 2, 4, 5]),
    ("cost", [3, 2, 4, 1, 5]),
    ("-cost", [1, 2, 4, 3, 5]),
    ("shelf", [2, 3, 4, 5, 1]),
    ("-shelf", [1, 3, 4, 5, 2]),
    ("mood", [1, 4, 2, 3, 5]),
    ("published", [5, 2, 1, 3, 4]),
    ("-published", [1, 2, 5, 3, 4]),
    ("starts", [2, 1, 3, 4, 5]),
    ("-pages,title", [3, 1, 2, 5, 4]),
    ("pages,-title", [5, 2, 1, 3, 4]),
    ("shelf,-pages", [2, 3, 5, 4, 1]),
]


@pytest.mark.parametrize(("keys", "order"), SORTS, ids=[keys for keys, _ in SORTS])
def test_sorting_is_by_the_type_with_missing_last(shelf: Desk, keys: str, order: list[int]):
    """Text by code point, choices in declared order, decimals by value; ties by id, also downwards."""
    assert shelf.ids("sample", "--sort", keys) == order


def test_sort_takes_both_spellings(shelf: Desk):
    """`best-before` and `best_before`, up and down."""
    for keys in ("best-before", "best_before", "-best-before", "-best_before,title"):
        assert sorted(shelf.ids("sample", "--sort", keys)) == [1, 2, 3, 4, 5]


def test_text_is_sorted_by_code_point_beyond_the_first_plane(sink: Desk):
    """Not by UTF-16 units, not by locale."""
    texts = ["\U0001d4b3", "\uff5e", "z", "Z", "é", "10", "9"]
    for text in texts:
        sink.add("note", "--body", text)
    assert [record["body"] for record in sink.records("note", "--sort", "body")] == sorted(texts)


def test_decimals_are_sorted_and_compared_beyond_floats(sink: Desk):
    """Values that are the same float are told apart."""
    for text in (
        "0.30000000000000000002",
        "0.30000000000000000001",
        "-123456789012345678901.5",
        "1000000000000000000000",
    ):
        sink.add("note", "--amount", text)
    assert sink.ids("note", "--sort", "amount") == [3, 2, 1, 4]
    assert sink.ids("note", "--amount", "0.300000000000000000010") == [2]
    assert sink.ids("note", "--amount-min", "0.30000000000000000002") == [1, 4]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("--limit 2", [1, 2]),
        ("--limit 2 --offset 3", [4, 5]),
        ("--offset 4", [5]),
        ("--limit 99", [1, 2, 3, 4, 5]),
        ("--sort -title --limit 1", [5]),
        ("--offset 5", []),
    ],
)
def test_limit_and_offset_cut_after_sorting(shelf: Desk, options: str, found: list[int]):
    """Offset first, then limit."""
    assert shelf.ids("sample", *options.split()) == found


def test_nothing_found_says_so(shelf: Desk):
    """In words on screen, as an empty array in JSON."""
    assert shelf.run("sample", "list", "--title", "none").done().out == "no samples\n"
    assert shelf.run("sample", "list", "--title", "none", "--json").done().json == []


def test_a_table_is_aligned_by_code_points_without_trailing_blanks(sink: Desk):
    """Two spaces between columns; missing is `-`."""
    sink.add("vet", "--name", "日本語 desk")
    sink.add("visit", "--at", "2027-03-01T09:00:00Z", "--vet", "1", "--room", "12345678")
    sink.add("visit", "--at", "2027-03-02T09:00:00Z")
    assert sink.run("vet", "list").done().out == "id  name\n1   日本語 desk\n"
    assert sink.run("visit", "list").done().out == (
        "id  at                    vet  room      bed\n"
        "1   2027-03-01T09:00:00Z  1    12345678  -\n"
        "2   2027-03-02T09:00:00Z  -    -         -\n"
    )


def test_width_counts_code_points(sink: Desk):
    """Wide and combining characters count as their code points."""
    sink.add("note", "--body", "日本", "--size", "1")
    sink.add("note", "--body", "e\u0301xy", "--size", "22")
    lines = sink.run("note", "list").done().lines
    assert lines == [
        "id  body  size  amount  labels",
        "1   日本    1     -       -",
        "2   e\u0301xy  22    -       -",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\tb", r"a\x09b"),
        ("a\rb", r"a\x0db"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\x7fb", r"a\x7fb"),
        ("a\x85b", r"a\x85b"),
    ],
)
def test_control_characters_do_not_reach_the_screen(sink: Desk, text: str, shown: str):
    """In tables and in show; JSON keeps the text."""
    sink.add("note", "--body", text)
    assert sink.run("note", "list").done().lines[1].split("  ")[1].strip() == shown
    assert f"body: {shown}" in sink.run("note", "show", "1").done().out.split("\n")
    assert sink.record("note", 1)["body"] == text


def test_a_table_leaves_out_secrets_and_links(sink: Desk):
    """All other fields are columns, in table order."""
    sink.add("sample", "--title", "xx")
    header = sink.run("sample", "list").done().lines[0].split()
    assert header == SAMPLE_FIELDS
    sink.add("account", "--email", "a", "--password", "p")
    assert sink.run("account", "list").done().out == "id  email  number  born\n1   a      -       -\n"


def test_no_line_ends_in_blanks(shelf: Desk):
    """Neither header nor rows."""
    for line in shelf.run("sample", "list").done().lines:
        assert line == line.rstrip()


# The same questions over HTTP, on the same records.


@pytest.fixture(scope="module")
def shelf_site(shelf: Desk):
    with shelf.serve() as site:
        yield site


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"pages_min": "10"}, [1, 3]), ({"pages_max": "9", "sort": "-title"}, [5, 2]), ({"price": "7.500"}, [1, 2]),
        ({"read": "true"}, [1]), ({"starts": "2027-01-02T10:00:00+01:00"}, [1]), ({"tags": "red"}, [1]),
        ({"mood": ""}, [2, 3, 5]), ({"tags": ""}, [3, 4]), ({"search": "STRASSE"}, [4]), ({"maker": "1"}, [1]),
        ({"sort": "-shelf"}, [1, 3, 4, 5, 2]), ({"sort": "shelf,-pages"}, [2, 3, 5, 4, 1]), ({"title": "éclair"}, [3]),
        ({"limit": "2", "offset": "1"}, [2, 3]), ({"published_min": "2027-01-01"}, [1, 2]), ({"amounts": "1.5"}, [2]),
    ],
    ids=str,
)  # fmt: skip
def test_http_lists_as_the_command_line_does(shelf_site: Site, query: dict[str, str], found: list[int]):
    """Same filters, same search, same order."""
    assert shelf_site.ids("/samples", **query) == found


def test_the_total_count_is_before_limit_and_offset(shelf_site: Site):
    """`X-Total-Count` counts what the filters leave."""
    answer = shelf_site.client.get("/samples?shelf=beta&limit=1&offset=1")
    assert [record["id"] for record in answer.json()] == [4]
    assert answer.headers["X-Total-Count"] == "3"
    assert shelf_site.client.get("/samples").headers["X-Total-Count"] == "5"
    assert shelf_site.client.get("/samples?title=none").headers["X-Total-Count"] == "0"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("bogus=1", "bogus is not a field"),
        ("pages=x", "pages must be a whole number (got x)"),
        ("shelf=gamma", "shelf must be one of zeta, beta, alpha (got gamma)"),
        ("read=yes", "read must be true or false (got yes)"),
        ("published_min=x", None),
        ("sort=bogus", "bogus is not a field"),
        ("limit=x", None),
        ("limit=-1", None),
        ("offset=-1", None),
        ("title_min=x", None),
        ("password=x", None),
        ("big=9223372036854775808", None),
    ],
)
def test_a_wrong_query_is_refused(shelf_site: Site, query: str, message: str | None):
    """422, with the name of what is wrong."""
    messages = shelf_site.messages(shelf_site.client.get(f"/samples?{query}"))
    assert len(messages) == 1
    assert message is None or messages == [message]


@pytest.mark.parametrize("query", ["search=%FF", "title=%FF%FE", "search=%00", "limit=99999999999999999999999"])
def test_a_strange_query_is_answered(shelf_site: Site, query: str):
    """Never with a server error."""
    assert shelf_site.client.get(f"/samples?{query}").status_code in {200, 400, 422}
