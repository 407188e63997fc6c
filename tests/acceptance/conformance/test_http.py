"""The table of requests: statuses, headers, problem documents, PATCH and PUT."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from .product import SAMPLE_FIELDS, Desk, Site


def test_post_answers_the_record_and_its_address(sink_site: Site):
    """201, an absolute `Location`, and the same address in the computed link."""
    answer = sink_site.call("POST", "/samples", {"title": "Dune"})
    assert answer.status_code == 201
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    record = answer.json()
    assert answer.headers["Location"] == record["url"] == f"{sink_site.root}/samples/{record['id']}"
    assert sink_site.client.get(record["url"]).json() == record


def test_a_record_holds_every_field_but_secrets_in_table_order(sink_site: Site):
    """Missing is null, a missing list is empty."""
    record = sink_site.post("/samples", title="Dune", password="correct horse")
    assert list(record) == [*SAMPLE_FIELDS, "url"]
    assert (record["code"], record["tags"]) == (None, [])


def test_links_take_scheme_and_host_from_the_request(sink_site: Site):
    """Whatever name the server was asked by."""
    number = sink_site.post("/samples", title="Dune")["id"]
    answer = sink_site.call("GET", f"/samples/{number}", Host="shop.example:8080")
    assert answer.json()["url"] == f"http://shop.example:8080/samples/{number}"


def test_health_and_openapi(sink_site: Site):
    """Both answer 200; the description knows the collections."""
    assert sink_site.client.get("/health").status_code == 200
    described = sink_site.get("/openapi.json")
    assert described["openapi"].startswith("3.")
    paths = described["paths"]
    assert {"/samples", "/makers"} <= set(paths)
    assert {"get", "post"} <= set(paths["/samples"])
    single = next(path for path in paths if path.startswith("/samples/{"))
    assert {"get", "patch", "put", "delete"} <= set(paths[single])


def test_patch_changes_only_what_it_names(sink_site: Site):
    """null clears, absent stays."""
    record = sink_site.post("/samples", title="Dune", pages=5, code="901", tags=["a"])
    path = f"/samples/{record['id']}"
    answer = sink_site.call("PATCH", path, {"pages": 6, "code": None})
    assert answer.status_code == 200
    changed = answer.json()
    expected = record | {"pages": 6, "code": None, "updated_at": changed["updated_at"]}
    assert changed == expected
    assert sink_site.call("PATCH", path, {"tags": None, "shelf": None}).json()["tags"] == []
    assert sink_site.get(path)["shelf"] is None
    assert sink_site.messages(sink_site.call("PATCH", path, {"title": None})) == ["title is required"]
    assert sink_site.messages(sink_site.call("PATCH", path, {"title": ""})) == ["title is required"]


def test_put_replaces_all(sink_site: Site):
    """Absent fields get their default, absent secrets and immutables stay."""
    record = sink_site.post(
        "/samples", title="Dune", pages=5, price="9.50", shelf="alpha", marks=[9], origin="Oslo", tags=["a"],
        best_before="2020-01-01",
    )  # fmt: skip
    path = f"/samples/{record['id']}"
    replaced = sink_site.call("PUT", path, {"title": "Emma"})
    assert replaced.status_code == 200, replaced.text
    new = replaced.json()
    assert (new["title"], new["pages"], new["price"], new["shelf"]) == ("Emma", None, "0", "beta")
    assert (new["marks"], new["tags"], new["origin"]) == ([1, 2], [], "Oslo")
    assert new["best_before"] > "2020-01-01"
    assert new["created_at"] == record["created_at"]
    assert sink_site.messages(sink_site.call("PUT", path, {"pages": 5})) == ["title is required"]


def test_put_leaves_absent_secrets(sink_site: Site):
    """A required secret need not be sent again."""
    record = sink_site.post("/accounts", email="put@example.org", password="correct horse")
    answer = sink_site.call("PUT", f"/accounts/{record['id']}", {"email": "put2@example.org"})
    assert (answer.status_code, answer.json()["email"]) == (200, "put2@example.org")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_fetched_record_can_be_sent_back(sink_site: Site, method: str):
    """id, automatic and computed fields are ignored, whatever they hold; immutables are unchanged."""
    record = sink_site.post("/samples", title="Dune", code=None, origin="Oslo", marks=[3], cost="7.50")
    path = f"/samples/{record['id']}"
    sent = record | {"id": 77, "url": "http://elsewhere/", "created_at": "nonsense", "updated_at": 5}
    answer = sink_site.call(method, path, sent)
    assert answer.status_code == 200, answer.text
    assert answer.json() == record | {"updated_at": answer.json()["updated_at"]}


def test_a_fetched_record_can_be_posted_again(sink_site: Site):
    """As a new record."""
    record = sink_site.post("/samples", title="Dune", cost="7.50")
    again = sink_site.post("/samples", **record)
    assert again["id"] != record["id"]
    assert again["cost"] == "7.50"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_immutable_field_cannot_be_changed(sink_site: Site, method: str):
    """422 and its message."""
    record = sink_site.post("/samples", title="Dune", origin="Oslo")
    path = f"/samples/{record['id']}"
    for value in ("Rome", None):
        answer = sink_site.call(method, path, {"title": "Dune", "origin": value})
        assert sink_site.messages(answer) == ["origin cannot be changed"]


def test_delete_answers_204_without_a_body(sink_site: Site):
    """And the record is gone."""
    number = sink_site.post("/notes", body="x")["id"]
    answer = sink_site.call("DELETE", f"/notes/{number}")
    assert (answer.status_code, answer.content) == (204, b"")
    sink_site.problem(sink_site.call("GET", f"/notes/{number}"), 404)
    sink_site.problem(sink_site.call("DELETE", f"/notes/{number}"), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/notes/987654"), ("GET", "/notes/abc"), ("GET", "/notes/0"), ("GET", "/notes/-1"),
        ("GET", "/notes/1.0"), ("GET", "/notes/99999999999999999999999"), ("GET", "/nothing"), ("GET", "/"),
        ("GET", "/notes/1/bogus"), ("PATCH", "/notes/987654"), ("PUT", "/notes/987654"), ("DELETE", "/notes/987654"),
        ("PATCH", "/notes/abc"), ("DELETE", "/notes/abc"), ("POST", "/bogus"), ("GET", "/notes/%FF"),
        ("GET", "/notes/%00"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_404(sink_site: Site, method: str, path: str):
    """Always a problem document."""
    body: Any = {"body": "x"} if method in {"PATCH", "PUT", "POST"} else ...
    sink_site.problem(sink_site.call(method, path, body), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/notes", {"GET", "POST"}),
        ("PUT", "/notes", {"GET", "POST"}),
        ("POST", "/notes/{}", {"GET", "PATCH", "PUT", "DELETE"}),
        ("POST", "/health", {"GET"}),
        ("POST", "/openapi.json", {"GET"}),
        ("BREW", "/notes", {"GET", "POST"}),
    ],
)
def test_a_method_that_is_not_allowed_is_405(sink_site: Site, method: str, path: str, allowed: set[str]):
    """`Allow` lists those that are, and only those (HEAD and OPTIONS aside)."""
    number = sink_site.post("/notes", body="x")["id"]
    answer = sink_site.call(method, path.format(number), {} if method in {"PUT", "POST"} else ...)
    sink_site.problem(answer, 405)
    listed = {word.strip() for word in answer.headers["Allow"].split(",")}
    assert listed - {"HEAD", "OPTIONS"} == allowed


def test_head_is_answered_without_a_body(sink_site: Site):
    """The format does not ask for it; it must only not break."""
    for path in ("/notes", "/health"):
        answer = sink_site.client.head(path)
        assert answer.status_code in {200, 405}
        assert answer.content == b""


@pytest.mark.parametrize(
    "body",
    [b"{", b"", b"nonsense", b'{"body": "x",}', b"\xff\xfe", b'{"body": "caf\xe9"}', b"{'body': 'x'}"],
    ids=repr,
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_malformed_json_is_400(sink_site: Site, method: str, body: bytes):
    """A problem document; nothing is stored."""
    number = sink_site.post("/notes", body="kept")["id"]
    path = "/notes" if method == "POST" else f"/notes/{number}"
    answer = sink_site.call(method, path, body)
    assert answer.status_code == 400 or (body == b"" and answer.status_code == 422), answer.text
    sink_site.problem(answer, answer.status_code)
    assert sink_site.get(f"/notes/{number}")["body"] == "kept"


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"5", b"true"], ids=repr)
def test_a_body_that_is_no_object_is_refused(sink_site: Site, body: bytes):
    """400 or 422, the format leaves open which."""
    for method, path in (("POST", "/notes"), ("POST", "/samples")):
        answer = sink_site.call(method, path, body)
        assert answer.status_code in {400, 422}
        sink_site.problem(answer, answer.status_code)


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"a":' * 200_000, b'{"body": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"]
)
def test_a_body_nested_too_deeply_is_refused(sink_site: Site, body: bytes):
    """Not with a server error."""
    answer = sink_site.call("POST", "/notes", body)
    assert answer.status_code in {400, 413, 422}
    sink_site.problem(answer, answer.status_code)


def test_an_integer_of_many_digits_is_refused(sink_site: Site):
    """More digits than Python converts."""
    answer = sink_site.call("POST", "/notes", b'{"size": ' + b"9" * 5000 + b"}")
    assert answer.status_code in {400, 422}
    sink_site.problem(answer, answer.status_code)


@pytest.mark.parametrize("text", [r"\ud800", r"a\udfffb"])
def test_half_a_surrogate_pair_is_refused(sink_site: Site, text: str):
    """It is no text, and could not be stored."""
    answer = sink_site.call("POST", "/notes", f'{{"body": "{text}"}}'.encode())
    assert answer.status_code in {400, 422}
    sink_site.problem(answer, answer.status_code)


def test_a_nul_is_kept_or_refused(sink_site: Site):
    """Never half kept."""
    answer = sink_site.call("POST", "/notes", rb'{"body": "a\u0000b"}')
    if answer.status_code == 201:
        assert sink_site.get(f"/notes/{answer.json()['id']}")["body"] == "a\0b"
    else:
        sink_site.problem(answer, 422)


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "image/png"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_another_media_type_is_415(sink_site: Site, media: str, method: str):
    """Whatever the body holds."""
    number = sink_site.post("/notes", body="kept")["id"]
    path = "/notes" if method == "POST" else f"/notes/{number}"
    answer = sink_site.call(method, path, b'{"body": "x"}', Content_Type=media)
    sink_site.problem(answer, 415)


@pytest.mark.parametrize("media", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_in_any_spelling_is_taken(sink_site: Site, media: str):
    """Parameters and case do not matter."""
    assert sink_site.call("POST", "/notes", {"body": "x"}, Content_Type=media).status_code == 201


def test_unknown_query_parameters_are_refused_with_422(sink_site: Site):
    """On a collection; its name is told."""
    document = sink_site.problem(sink_site.call("GET", "/notes?colour=red&bogus=1"), 422)
    assert {error["field"] for error in document["errors"]} == {"colour", "bogus"}
    assert all(error["message"].endswith(" is not a field") for error in document["errors"])


def test_without_cors_there_are_no_cors_headers(sink_site: Site):
    """Neither on answers nor on preflights."""
    for method in ("GET", "OPTIONS"):
        answer = sink_site.call(method, "/notes", Origin="https://x.example", Access_Control_Request_Method="POST")
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_the_answer_is_valid_utf8_json(sink_site: Site):
    """Unicode end to end."""
    record = sink_site.post("/notes", body="Zoë ☃ 😀", labels=["ü"])
    raw = sink_site.client.get(f"/notes/{record['id']}").content
    assert json.loads(raw.decode("utf-8"))["body"] == "Zoë ☃ 😀"


def test_the_server_and_the_command_line_share_their_data(sink: Desk):
    """At the same time."""
    sink.add("note", "--body", "from the desk")
    with sink.serve() as site:
        assert site.get("/notes/1")["body"] == "from the desk"
        site.post("/notes", body="from the web")
        assert sink.record("note", 2)["body"] == "from the web"
        assert sink.add("note", "--body", "again") == 3
        assert len(site.get("/notes")) == 3


def test_a_large_body_is_kept_whole(sink_site: Site):
    """A megabyte of text in a field without a limit."""
    text = "ü" * 500_000
    number = sink_site.post("/notes", body=text)["id"]
    assert sink_site.get(f"/notes/{number}")["body"] == text


def test_a_server_goes_on_after_a_broken_request(sink_site: Site):
    """Bytes that are no HTTP, then a good request."""
    connection = http.client.HTTPConnection("127.0.0.1", sink_site.port, timeout=10)
    connection.connect()
    connection.sock.sendall(b"\x00\x01nonsense\r\n\r\n")
    connection.sock.recv(100)
    connection.close()
    assert sink_site.client.get("/health").status_code == 200
