"""Refs, deletes and everything that is unique."""

from __future__ import annotations

from typing import Any

import pytest

from .product import Desk, Site


def test_a_delete_that_is_restricted_names_all_users(lend_desk: Desk):
    """Counted, in singular and plural, two-word names with a blank."""
    lend_desk.add("region", "--name", "North")
    lend_desk.add("book-loan", "--region", "1")
    lend_desk.add("book-loan", "--region", "1")
    lend_desk.add("category", "--region", "1")
    assert lend_desk.fails("region", "delete", "1", status=1) == [
        "region 1 is still used by 2 book loans and 1 category"
    ]
    lend_desk.add("category", "--region", "1")
    lend_desk.run("book-loan", "delete", "1").done()
    assert lend_desk.fails("region", "delete", "1", status=1) == [
        "region 1 is still used by 1 book loan and 2 categories"
    ]


def test_restrict_is_the_default_and_plural_overrules(lend_desk: Desk):
    """`2 crises`."""
    lend_desk.add("book-loan")
    lend_desk.add("crisis", "--loan", "1")
    assert lend_desk.fails("book-loan", "delete", "1", status=1) == ["book loan 1 is still used by 1 crisis"]
    lend_desk.add("crisis", "--loan", "1")
    assert lend_desk.fails("book-loan", "delete", "1", status=1) == ["book loan 1 is still used by 2 crises"]


def world(desk: Desk) -> None:
    """Two regions; the first with two towns and three streets, the second with one of each, and a review each."""
    for name in ("North", "South"):
        desk.add("region", "--name", name)
    for region in ("1", "1", "2"):
        desk.add("town", "--name", "t", "--region", region)
    for town in ("1", "1", "2", "3"):
        desk.add("street", "--name", "s", "--town", town)
    for region in ("1", "2"):
        desk.add("review", "--region", region)


def test_a_delete_cascades_over_several_levels_and_clears(lend_desk: Desk):
    """Towns and streets go, the review stays without its region, the other region keeps everything."""
    world(lend_desk)
    assert lend_desk.run("region", "delete", "1").done().out == "deleted region 1\n"
    assert lend_desk.ids("town") == [3]
    assert lend_desk.ids("street") == [4]
    assert [record["region"] for record in lend_desk.records("review")] == [None, 2]


def test_a_cascade_that_meets_a_restriction_deletes_nothing(lend_desk: Desk):
    """All or nothing: a loan two levels down still uses a street."""
    world(lend_desk)
    lend_desk.add("book-loan", "--street", "3")
    problems = lend_desk.fails("region", "delete", "1", status=1)
    assert len(problems) == 1
    assert "is still used by 1 book loan" in problems[0]
    assert lend_desk.ids("town") == [1, 2, 3]
    assert lend_desk.ids("street") == [1, 2, 3, 4]
    assert lend_desk.ids("region") == [1, 2]
    assert [record["region"] for record in lend_desk.records("review")] == [1, 2]


def test_a_ref_must_exist_on_edit_too(lend_desk: Desk):
    """The name of the target in words."""
    lend_desk.add("review")
    assert lend_desk.fails("review", "edit", "1", "--loan", "7", status=2) == [
        "loan must be the id of an existing book loan (got 7)"
    ]
    assert lend_desk.fails("town", "add", "--name", "x", status=2) == ["region is required"]


def nodes(desk: Desk, *options: tuple[str, ...]) -> None:
    for more in options:
        desk.add("node", "--name", "n", "--tags", "t", *more)


def test_a_tree_in_one_table_is_deleted_from_its_root(lend_desk: Desk):
    """Refs of an entity to itself: children and their children go, twins stay without their twin."""
    nodes(lend_desk, (), ("--parent", "1"), ("--parent", "2"), ("--twin", "3"), ("--parent", "4"))
    assert lend_desk.run("node", "delete", "1").done().out == "deleted node 1\n"
    assert [(record["id"], record["twin"]) for record in lend_desk.records("node")] == [(4, None), (5, None)]


def test_a_circle_of_records_is_deleted_too(lend_desk: Desk):
    """Each the parent of the other; the delete ends."""
    nodes(lend_desk, (), ("--parent", "1"))
    lend_desk.run("node", "edit", "1", "--parent", "2").done()
    lend_desk.run("node", "delete", "1").done()
    assert lend_desk.run("node", "list").out == "no nodes\n"


def test_a_record_of_the_same_kind_restricts(lend_desk: Desk):
    """Also below a cascade: nothing is deleted."""
    nodes(lend_desk, (), ("--parent", "1"), ("--buddy", "2"))
    assert lend_desk.fails("node", "delete", "2", status=1) == ["node 2 is still used by 1 node"]
    assert lend_desk.run("node", "delete", "1").status == 1
    assert lend_desk.ids("node") == [1, 2, 3]


def test_an_empty_list_is_missing(lend_desk: Desk):
    """A required list wants an element, on the command line and over HTTP."""
    assert lend_desk.fails("node", "add", "--name", "n", status=2) == ["tags is required"]
    nodes(lend_desk, ())
    assert lend_desk.fails("node", "edit", "1", "--clear", "tags", status=2) == ["tags is required"]


def test_unique_decimals_are_compared_by_value(lend_desk: Desk):
    """As filters compare them: 7.5 is 7.50."""
    nodes(lend_desk, ("--ratio", "7.5"))
    assert lend_desk.fails("node", "add", "--name", "n", "--tags", "t", "--ratio", "7.50", status=1) == [
        "ratio 7.50 is already used by node 1"
    ]


def test_a_restricted_delete_over_http(desk_site: Site):
    """409, and the same words."""
    region = desk_site.post("/realms", name="North")["id"]
    desk_site.post("/book-loans", region=region)
    document = desk_site.problem(desk_site.call("DELETE", f"/realms/{region}"), 409)
    told = [document["detail"], *(error["message"] for error in document["errors"])]
    assert any(f"region {region} is still used by 1 book loan" in text for text in told), document
    assert desk_site.get(f"/realms/{region}")["name"] == "North"


def test_a_unique_value_is_used_once(sink: Desk):
    """`code 123 is already used by sample 1`, exit status 1, on add and on edit; missing values never clash."""
    sink.add("sample", "--title", "xx", "--code", "123")
    message = ["code 123 is already used by sample 1"]
    assert sink.fails("sample", "add", "--title", "yy", "--code", "123", status=1) == message
    sink.add("sample", "--title", "yy")
    sink.add("sample", "--title", "zz")
    assert sink.fails("sample", "edit", "2", "--code", "123", status=1) == message
    sink.run("sample", "edit", "1", "--code", "123", "--pages", "5").done()
    sink.run("sample", "edit", "1", "--clear", "code").done()
    sink.run("sample", "edit", "2", "--code", "123").done()


@pytest.mark.parametrize(("first", "second"), [("dune", "DUNE"), ("Émile", "éMILE"), ("ΩΜΕΓΑ", "ωμεγα")])
def test_unique_ignoring_case_knows_all_letters(sink: Desk, first: str, second: str):
    """Not only those of ASCII; the message has the value as given."""
    sink.add("maker", "--name", first)
    assert sink.fails("maker", "add", "--name", second, status=1) == [f"name {second} is already used by maker 1"]
    assert sink.run("maker", "edit", "1", "--name", second).done().out == "changed maker 1\n"
    assert sink.ids("maker", "--name", first) == []


@pytest.mark.parametrize(("option", "value"), [("number", "7"), ("born", "2027-03-01")])
def test_other_types_are_unique_too(sink: Desk, option: str, value: str):
    """Integers and dates."""
    sink.add("account", "--email", "a", "--password", "p", f"--{option}", value)
    assert sink.fails("account", "add", "--email", "b", "--password", "p", f"--{option}", value, status=1) == [
        f"{option} {value} is already used by account 1"
    ]


def test_unique_with_another_field(sink: Desk):
    """The pair is used once; a missing half never clashes."""
    for name in ("Ada", "Bob"):
        sink.add("vet", "--name", name)
    nine = "2027-03-01T09:00:00Z"
    sink.add("visit", "--at", nine, "--vet", "1")
    sink.add("visit", "--at", nine, "--vet", "2")
    sink.add("visit", "--at", nine)
    sink.add("visit", "--at", nine)
    sink.add("visit", "--at", "2027-03-01T10:00:00Z", "--vet", "1")
    message = [f"at {nine} with vet 1 is already used by visit 1"]
    assert sink.fails("visit", "add", "--at", "2027-03-01T10:00:00+01:00", "--vet", "1", status=1) == message
    assert sink.fails("visit", "edit", "2", "--vet", "1", status=1) == message
    assert sink.fails("visit", "edit", "5", "--at", nine, status=1) == message


def test_unique_pairs_of_plain_fields(sink: Desk):
    """`bed 2 with room 1 is already used by visit 1`."""
    sink.add("visit", "--at", "2027-03-01T09:00:00Z", "--room", "1", "--bed", "2")
    sink.add("visit", "--at", "2027-03-01T09:00:00Z", "--room", "1")
    assert sink.fails("visit", "add", "--at", "2027-03-01T09:00:00Z", "--room", "1", "--bed", "2", status=1) == [
        "bed 2 with room 1 is already used by visit 1"
    ]


def test_a_conflict_over_http_is_409(sink_site: Site):
    """With the field and the same words."""
    first = sink_site.post("/samples", title="xx", code="777")["id"]
    document = sink_site.problem(sink_site.call("POST", "/samples", {"title": "yy", "code": "777"}), 409)
    message = f"code 777 is already used by sample {first}"
    told = [document["detail"], *(error["message"] for error in document["errors"])]
    assert any(message in text for text in told), document
    other = sink_site.post("/samples", title="yy")["id"]
    for method, body in (("PATCH", {"code": "777"}), ("PUT", {"title": "yy", "code": "777"})):
        sink_site.problem(sink_site.call(method, f"/samples/{other}", body), 409)


def test_clearing_refs_over_http(sink_site: Site):
    """`on delete clear` leaves null behind."""
    maker = sink_site.post("/makers", name="Cleared")["id"]
    sample: dict[str, Any] = sink_site.post("/samples", title="xx", maker=maker)
    assert sink_site.call("DELETE", f"/makers/{maker}").status_code == 204
    assert sink_site.get(f"/samples/{sample['id']}")["maker"] is None
