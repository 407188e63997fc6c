"""Names: plurals, dashes, CamelCase, and words that SQL, Python and JSON use themselves."""

from __future__ import annotations

import pytest

from .product import Desk, Site

PLURALS = [
    ("box", "boxes", "boxes"), ("church", "churches", "churches"), ("bus", "buses", "buses"),
    ("dish", "dishes", "dishes"), ("day", "days", "days"), ("city", "cities", "cities"),
    ("shelf", "shelves", "shelves"), ("book-copy", "book-copies", "book copies"), ("order", "orders", "orders"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "path", "words"), PLURALS)
def test_plurals_in_messages_and_paths(web_shop: Desk, shop_site: Site, command: str, path: str, words: str):
    """-s; consonant + y → -ies; -s, -x, -ch, -sh → -es; `Plural:` overrules."""
    assert web_shop.run(command, "list").done().out == f"no {words}\n"
    assert isinstance(shop_site.get(f"/{path}"), list)
    one = command.replace("-", " ")
    assert web_shop.fails(command, "show", "9", status=1) == [f"no {one} 9"]


def test_messages_name_two_words_with_a_blank(lend_desk: Desk):
    """`book-loan` on the command line, `book loan` in messages, `/book-loans` in paths."""
    assert lend_desk.run("book-loan", "add").done().out == "added book loan 1\n"
    assert lend_desk.run("book-loan", "edit", "1", "--clear", "region").done().out == "changed book loan 1\n"
    assert lend_desk.run("book-loan", "export", "out.csv").done().out == "exported 1 book loan\n"
    assert lend_desk.run("book-loan", "import", "out.csv").done().out == "imported 1 book loan\n"
    assert lend_desk.run("book-loan", "delete", "1").done().out == "deleted book loan 1\n"
    assert lend_desk.fails("book-loan", "delete", "1", status=1) == ["no book loan 1"]


def test_a_plural_that_overrules_is_used_everywhere(lend_desk: Desk, desk_site: Site):
    """`no realms`, `/realms`."""
    assert lend_desk.run("region", "list").done().out == "no realms\n"
    lend_desk.run("region", "export", "out.csv").done()
    assert lend_desk.run("region", "import", "out.csv").done().out == "imported 0 realms\n"
    assert isinstance(desk_site.get("/realms"), list)
    desk_site.problem(desk_site.call("GET", "/regions"), 404)


ORDER = {
    "order": "A1", "group": 1, "where": 2, "index": 3, "values": ["a", "b"], "date": "2027-03-02",
    "since": "2027-03-01",
    "time": "2027-03-01T09:00:00Z", "text": "t", "type": "drop", "key": "1.50", "str": "s", "int": 4, "bool": True,
    "list": [5, 6], "me": "self", "cur": "c", "db": "d", "record": "r", "request": "q", "file": "f", "host": "h",
    "port": 7, "count": 8, "total": 1.5, "body": "b",
}  # fmt: skip


def options(record: dict[str, object]) -> list[str]:
    found: list[str] = []
    for name, value in record.items():
        for one in value if isinstance(value, list) else [value]:
            found += [f"--{name}", first(one)]
    return found


def first(value: object) -> str:
    """A value, or a list's first, as a word of the command line."""
    one = value[0] if isinstance(value, list) else value
    return str(one).lower() if isinstance(one, bool) else str(one)


def test_fields_may_be_called_as_sql_and_python_call_their_own(web_shop: Desk):
    """Added, shown, edited, filtered, sorted, searched, exported and imported."""
    web_shop.add("group", "--select", "from")
    assert web_shop.run("order", "add", *options(ORDER), "--json").done().json == {"id": 1} | ORDER
    web_shop.add("order", "--order", "B2")
    all_filters = [word for name, value in ORDER.items() for word in (f"--{name}", first(value))]
    assert web_shop.ids("order", *all_filters) == [1]
    assert web_shop.ids("order", "--sort", ",".join(f"-{name}" for name in ORDER)) == [2, 1]
    assert web_shop.ids("order", "--search", "A1") == [1]
    web_shop.run("order", "export", "out.csv").done()
    assert web_shop.fails("order", "import", "out.csv", status=1)[0].startswith("line 2: order A1 is already used")
    web_shop.run("order", "delete", "1").done()
    web_shop.run("order", "delete", "2").done()
    assert web_shop.run("order", "import", "out.csv").done().out == "imported 2 orders\n"
    assert web_shop.record("order", 3) == {"id": 3} | ORDER
    assert web_shop.run("order", "check", "4").done().out == "changed order 4\n"
    assert web_shop.run("order", "table", "4", "--text", "x").done().out == "order 4: list -> table\n"
    assert web_shop.run("order", "edit", "3", "--where", "9", "--clear", "values").done().out == "changed order 3\n"
    totals = web_shop.run("order", "totals").done().lines
    assert totals[0].split() == ["type", "count", "sum_count", "mean_total"]
    assert web_shop.fails("group", "delete", "1", status=1) == ["group 1 is still used by 1 order"]


def test_such_fields_over_http(shop_site: Site):
    """In bodies and in queries."""
    group = shop_site.post("/groups", select="x")["id"]
    record = shop_site.post("/orders", **(ORDER | {"group": group, "order": "H1"}))
    query = {"order": "H1", "me": "self", "db": "d", "cur": "c", "host": "h", "request": "q", "port_min": "7"}
    assert shop_site.ids("/orders", **query) == [record["id"]]
    other = shop_site.post("/orders", order="H2")
    for name, value in (ORDER | {"group": group, "order": "H1"}).items():
        found = shop_site.ids("/orders", **{name: first(value)})
        assert record["id"] in found, name
        assert name == "type" or other["id"] not in found, name
        assert {record["id"], other["id"]} <= set(shop_site.ids("/orders", sort=name)), name
    answer = shop_site.call("PUT", f"/orders/{record['id']}", record | {"me": "you"})
    assert (answer.status_code, answer.json()) == (200, record | {"me": "you"})
    day = shop_site.post("/dates", date="2027-03-01")
    assert shop_site.ids("/dates", date_min="2027-03-01", date_max="2027-03-01") == [day["id"]]
    model = shop_site.post("/models", model="m", fields="f", copy="c", schema="s")
    assert shop_site.get(f"/models/{model['id']}") == model


def test_after_and_types_work_where_a_field_is_called_as_its_type(web_shop: Desk):
    """A date called date."""
    assert web_shop.fails("order", "add", "--order", "x", "--date", "x", status=2) == ["date must be a date (got x)"]
    assert web_shop.fails(
        "order", "add", "--order", "x", "--since", "2027-03-02", "--date", "2027-03-01", status=2
    ) == ["date must be after since (got 2027-03-01)"]
    assert web_shop.fails("date", "add", status=2) == ["date is required"]
    assert web_shop.add("store", "--store", "s") == 1


@pytest.mark.parametrize("name", ["sink", "lend_desk", "web_shop", "plain"])
def test_the_package_is_named_after_the_program(request: pytest.FixtureRequest, name: str):
    """`my-app` has the package `my_app`, in a src layout."""
    desk: Desk = request.getfixturevalue(name)
    assert (desk.product.root / "src" / name / "__init__.py").exists()
    assert (desk.product.root / "README.md").exists()
