"""CORS, prefix and delete_all: the http block of the front matter."""

from __future__ import annotations

import pytest

from .product import Site


def words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(",")}


ANSWERS = [
    ("GET", "/groups", 200), ("POST", "/groups", 422), ("GET", "/groups/987654", 404), ("GET", "/nothing", 404),
    ("PUT", "/groups", 405), ("GET", "/groups?bogus=1", 422),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
@pytest.mark.parametrize("origin", [{}, {"Origin": "https://any.example"}], ids=["no origin", "an origin"])
def test_with_any_origin_every_answer_says_so(
    shop_site: Site, method: str, path: str, status: int, origin: dict[str, str]
):
    """`Access-Control-Allow-Origin: *` and the exposed headers, on errors too."""
    answer = shop_site.call(method, path, {} if method in {"POST", "PUT"} else ..., **origin)
    assert answer.status_code == status, answer.text
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {"location", "x-total-count"} <= words(answer.headers["Access-Control-Expose-Headers"])


PREFLIGHTS = [
    ("/groups", {"get", "post", "delete"}), ("/groups/1", {"get", "patch", "put", "delete"}),
    ("/orders/1/table", {"post"}), ("/orders/totals", {"get"}), ("/health", {"get"}), ("/openapi.json", {"get"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "methods"), PREFLIGHTS)
def test_a_preflight_is_answered_with_the_methods_allowed_there(shop_site: Site, path: str, methods: set[str]):
    """204, `Content-Type` may be sent."""
    answer = shop_site.call(
        "OPTIONS", path, Origin="https://any.example", Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type",
    )  # fmt: skip
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert words(answer.headers["Access-Control-Allow-Methods"]) - {"head", "options"} == methods
    assert "content-type" in words(answer.headers["Access-Control-Allow-Headers"])


def test_a_preflight_is_answered_on_every_path(shop_site: Site):
    """Also where nothing is, so that the browser can show the 404."""
    answer = shop_site.call("OPTIONS", "/nothing", Origin="https://any.example", Access_Control_Request_Method="GET")
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("origin", ["https://one.example", "https://two.example"])
def test_a_listed_origin_is_named(origins_site: Site, origin: str):
    """On answers, errors and preflights."""
    for method, path in (("GET", "/things"), ("GET", "/things/987654"), ("PUT", "/things"), ("OPTIONS", "/things")):
        answer = origins_site.call(method, path, Origin=origin, Access_Control_Request_Method="POST")
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert answer.status_code in {200, 204, 404, 405}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://one.example.evil.example",
        "http://one.example",
        "null",
        "https://one.example:8443",
    ],
)
def test_another_origin_is_not_let_in(origins_site: Site, origin: str):
    """Neither by name nor by a star."""
    for method in ("GET", "OPTIONS"):
        answer = origins_site.call(method, "/things", Origin=origin, Access_Control_Request_Method="POST")
        assert answer.headers.get("Access-Control-Allow-Origin") not in {origin, "*"}


def test_everything_lies_below_the_prefix(shop_site: Site):
    """Collections, records, actions, and their addresses."""
    answer = shop_site.call("POST", "/orders", {"order": "below"})
    assert answer.status_code == 201, answer.text
    record = answer.json()
    assert record["url"] == answer.headers["Location"] == f"{shop_site.root}/orders/{record['id']}"
    assert shop_site.root.endswith("/api/v1")
    assert shop_site.client.get(record["url"]).json() == record
    bare = f"http://127.0.0.1:{shop_site.port}"
    assert shop_site.client.get(f"{bare}/orders").status_code == 404
    assert shop_site.call("POST", f"/orders/{record['id']}/table", {"text": "x"}).json()["type"] == "table"


def test_delete_all_is_all_or_nothing(shop_site: Site):
    """204 and an empty collection; 409 and nothing deleted where a record is still used."""
    first, second = (shop_site.post("/groups", select=name)["id"] for name in "ab")
    order = shop_site.post("/orders", order="uses a group", group=second)["id"]
    shop_site.problem(shop_site.call("DELETE", "/groups"), 409)
    assert {first, second} <= set(shop_site.ids("/groups"))
    assert shop_site.call("DELETE", f"/orders/{order}").status_code == 204
    answer = shop_site.call("DELETE", "/groups")
    assert (answer.status_code, answer.content) == (204, b"")
    assert shop_site.get("/groups") == []
    assert shop_site.post("/groups", select="next")["id"] > second
