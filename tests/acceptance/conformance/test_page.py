"""The format's own page: what it prints in its examples is what a built program prints."""

from __future__ import annotations

from datetime import date

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .conftest import Products
from .product import Desk, Site


@pytest.fixture
def bookshelf(products: Products, tmp_path) -> Desk:
    return products("bookshelf").desk(tmp_path)


def test_the_table_of_commands(bookshelf: Desk):
    """Row by row, as it stands there."""
    assert bookshelf.run("book", "add", "--title", "Dune", "--pages", "412").done().out == "added book 1\n"
    assert bookshelf.run("book", "list", "--title", "none").done().out == "no books\n"
    assert bookshelf.run("book", "show", "1").done().lines[:2] == ["id: 1", "title: Dune"]
    assert bookshelf.fails("book", "show", "9", status=1) == ["no book 9"]
    assert bookshelf.run("book", "edit", "1", "--pages", "500").done().out == "changed book 1\n"
    assert bookshelf.run("book", "lend", "1", "--due", "2027-03-08").done().out == "book 1: in -> out\n"
    assert bookshelf.fails("book", "lend", "1", "--due", "2027-03-08", status=1) == ["book 1 is out, not in"]
    assert bookshelf.run("book", "give-back", "1").done().out == "book 1: out -> in\n"
    bookshelf.run("book", "edit", "1", "--rating", "3.5").done()
    assert bookshelf.run("book", "praise", "1").done().out == "changed book 1\n"
    assert bookshelf.record("book", 1)["rating"] == 4.5
    bookshelf.add("loan", "--book", "1")
    bookshelf.add("loan", "--book", "1")
    bookshelf.add("review", "--book", "1")
    assert bookshelf.fails("book", "delete", "1", status=1) == ["book 1 is still used by 2 loans and 1 review"]
    bookshelf.add("book", "--title", "Emma")
    bookshelf.add("book", "--title", "Ubik")
    assert bookshelf.run("book", "export", "books.csv").done().out == "exported 3 books\n"
    bookshelf.write("one.csv", "title\nEmma\n")
    assert bookshelf.run("book", "import", "one.csv").done().out == "imported 1 book\n"
    assert bookshelf.run("book", "delete", "2").done().out == "deleted book 2\n"


def test_the_messages(bookshelf: Desk):
    """Those with values in them."""
    bookshelf.add("book", "--title", "Dune", "--isbn", "9780441172719")
    assert bookshelf.fails("book", "add", "--title", "x", "--isbn", "9780441172719", status=1) == [
        "isbn 9780441172719 is already used by book 1"
    ]
    assert bookshelf.fails("book", "add", "--title", "x", "--author", "9", status=2) == [
        "author must be the id of an existing author (got 9)"
    ]
    assert bookshelf.fails("book", "edit", "1", "--status", "out", status=2) == [
        "status is changed only by its actions"
    ]


def test_a_list_with_everything(bookshelf: Desk):
    """`list [--shelf] [--pages-min] [--pages-max] [--search] [--sort] [--limit] [--offset]` at once."""
    for title, pages in (("Dune", "412"), ("Dune Messiah", "256"), ("Emma", "474"), ("Dune, too", "950")):
        bookshelf.add("book", "--title", title, "--pages", pages, "--shelf", "science")
    bookshelf.add("book", "--title", "Dune, other", "--pages", "300")
    found = bookshelf.ids(
        "book", "--shelf", "science", "--pages-min", "100", "--pages-max", "900", "--search", "dune", "--sort",
        "-pages,title", "--limit", "1", "--offset", "1",
    )  # fmt: skip
    assert found == [2]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.dates().map(date.isoformat),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = """
    id title isbn pages price rating shelf status read tags published lent_at due author created_at url bogus
""".split()  # noqa: SIM905 - reads better as words
fields = st.sampled_from(FIELDS)
parameters = st.sampled_from([*FIELDS, "search", "sort", "limit", "offset", "pages_min"])
plain_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(scope="module")
def site(products: Products, tmp_path_factory: pytest.TempPathFactory):
    with products("bookshelf").desk(tmp_path_factory.mktemp("page")).serve() as running:
        yield running


def answered(site: Site, answer: httpx.Response, good: int) -> None:
    """Accepted, or refused with a problem document; never a server error."""
    if answer.status_code != good:
        assert answer.status_code in {400, 404, 409, 422}, answer.text
        site.problem(answer, answer.status_code)


@quick
@given(body=st.dictionaries(fields, json_values, max_size=6))
def test_any_json_is_stored_or_explained(site: Site, body: dict[str, object]):
    """What is accepted is the same when fetched, and can be sent back."""
    answer = site.call("POST", "/books", body)
    answered(site, answer, 201)
    if answer.status_code == 201:
        record = answer.json()
        assert site.get(f"/books/{record['id']}") == record
        again = site.call("PUT", f"/books/{record['id']}", record)
        assert (again.status_code, again.json()) == (200, record)


@quick
@given(query=st.dictionaries(parameters, st.text(max_size=12), max_size=3))
def test_any_query_is_answered_or_explained(site: Site, query: dict[str, str]):
    """Whatever the parameters hold."""
    try:
        answer = site.client.get("/books", params=query)
    except UnicodeEncodeError:
        return  # a surrogate that no client can send
    answered(site, answer, 200)


@settings(quick, max_examples=20)
@given(texts=st.lists(plain_text, min_size=1, max_size=6))
@example(texts=["H", "0"])
def test_any_text_sorts_by_code_point_and_is_found(site: Site, texts: list[str]):
    """Sorting agrees with Python's own order, search with its casefold."""
    made = [site.post("/books", title=text, tags=["mark"])["id"] for text in texts]
    try:
        found = [record["title"] for record in site.get("/books", tags="mark", sort="title")]
        assert found == sorted(texts)
        needle = texts[0].casefold()
        elsewhere = any(needle in word for word in ("other", "in", "mark"))  # shelf, status, tags: what is not given
        assert site.ids("/books", tags="mark", search=texts[0]) == [
            number for number, text in zip(made, texts, strict=True) if elsewhere or needle in text.casefold()
        ]
    finally:
        for number in made:
            assert site.call("DELETE", f"/books/{number}").status_code == 204
