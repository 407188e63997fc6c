"""Users, keys, relations, counts, lists and what lies within others, on the command line and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import Products
from .product import Desk, Site

# shows: F1


class Member:
    """Somebody at a running server."""

    def __init__(self, site: Site, nick: str) -> None:
        self.site, self.nick = site, nick
        made = site.call("POST", "/members", {"data": {"nick": nick, "mail": f"{nick}@x.org", "pin": f"{nick}-pin"}})
        assert made.status_code == 201, made.text
        assert made.headers["Location"] == f"{site.root}/members/{nick}"
        self.token: str = made.json()["data"]["token"]
        self.id: int = made.json()["data"]["id"]

    def call(self, method: str, path: str, body: Any = ...) -> httpx.Response:
        wrapped = body if body is ... else {"data": body}
        return self.site.call(method, path, wrapped, Authorization=f"Bearer {self.token}")

    def does(self, method: str, path: str, body: Any = ..., status: int = 200) -> Any:
        """What stands in the envelope of an answer with that status."""
        answer = self.call(method, path, body)
        assert answer.status_code == status, answer.text
        return answer.json()["data"] if answer.content and answer.json() else None


@pytest.fixture
def site(products: Products, tmp_path: Path) -> Iterator[Site]:
    with products("forum").desk(tmp_path).serve() as served:
        yield served


@pytest.fixture
def forum(products: Products, tmp_path: Path) -> Desk:
    return products("forum").desk(tmp_path)


def test_members_log_in_and_out(site: Site) -> None:
    """Tokens are opaque and end when given back; a wrong secret and an unknown name sound alike."""
    ann = Member(site, "Ann")
    again = site.call("POST", "/members/login", {"data": {"mail": "ANN@x.org", "pin": "Ann-pin"}})
    assert again.status_code == 200
    token = again.json()["data"]["token"]
    assert token != ann.token
    wrong = [
        site.problem(site.call("POST", "/members/login", {"data": {"mail": mail, "pin": pin}}), 403)["detail"]
        for mail, pin in (("ann@x.org", "nope"), ("bob@x.org", "Ann-pin"))
    ]
    assert wrong == ["mail or pin is wrong"] * 2
    assert site.call("GET", "/member", Authorization=f"Token {token}").json()["data"]["mail"] == "Ann@x.org"
    assert site.call("POST", "/members/logout", Authorization=f"Token {token}").status_code == 204
    refused = site.call("GET", "/member", Authorization=f"Token {token}")
    assert site.problem(refused, 403)["detail"] == "the token is not valid"
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert ann.does("PATCH", "/member", {"pin": "other-pin"})["nick"] == "Ann"
    assert site.call("POST", "/members/login", {"data": {"mail": "ann@x.org", "pin": "Ann-pin"}}).status_code == 403


def test_only_the_owner_changes_and_private_is_private(site: Site) -> None:
    """Whatever is sent; 403 for others, and what only the owner reads is not there for them."""
    ann, bob = Member(site, "Ann"), Member(site, "Bob")
    topic = ann.does("POST", "/topics", {"title": "How to", "writer": {"id": bob.id}}, 201)
    assert topic["writer"] == {"id": 1, "nick": "Ann", "mail": "Ann@x.org", "topics": 1, "known": False}
    seen = bob.does("GET", "/topics/how-to")["writer"]
    assert seen["mail"] is None
    for method, path, body in (
        ("PATCH", "/topics/how-to", {"title": "x"}),
        ("PUT", "/topics/1", {"title": "x"}),
        ("DELETE", "/topics/how-to", ...),
        ("POST", "/topics/how-to/close", ...),
        ("PATCH", "/members/Ann", {"nick": "x"}),
    ):
        assert site.problem(bob.call(method, path, body), 403)["detail"].endswith(
            "can be changed only by that user" if "members" in path else "can be changed only by its writer"
        )
    assert bob.does("GET", "/topics/1") == seen_by(bob, topic)
    ann.does("POST", "/drafts", {"text": "x"}, 201)
    assert bob.does("GET", "/drafts") == []
    assert bob.call("GET", "/drafts/1").status_code == bob.call("DELETE", "/drafts/1").status_code == 404
    assert len(ann.does("GET", "/drafts")) == 1
    for query in ("mail=Ann@x.org", "sort=mail", "pin=x"):
        assert site.call("GET", f"/members?{query}").status_code == 422


def seen_by(member: Member, topic: dict[str, Any]) -> dict[str, Any]:
    return topic | {"writer": topic["writer"] | {"mail": None if member.id != topic["writer"]["id"] else topic["mail"]}}


def test_relations_counts_and_lists(site: Site) -> None:
    """A relation is there once; counts, booleans, filters and lists agree on it."""
    ann, bob = Member(site, "Ann"), Member(site, "Bob")
    for title in ("One", "Two"):
        ann.does("POST", "/topics", {"title": title, "labels": ["red", title.lower()]}, 201)
    for _ in range(2):
        starred = bob.does("POST", "/topics/one/star")
    assert (starred["stars"], starred["starred"]) == (1, True)
    assert (ann.does("GET", "/topics/one")["stars"], ann.does("GET", "/topics/one")["starred"]) == (1, False)
    slugs = {
        "?starred=Bob": ["one"],
        "?starred=2": ["one"],
        "?starred=true": ["one"],
        "?starred=Ann": [],
        "?stars_min=1": ["one"],
        "?labels=red": ["two", "one"],
        "?labels=two": ["two"],
        "?labels=none": [],
        "?writer=Ann&sort=slug": ["one", "two"],
        "?writer=nobody": [],
        "/starry": ["one"],
        "/feed": [],
        "/mine": [],
    }
    for path, expected in slugs.items():
        assert [topic["slug"] for topic in bob.does("GET", f"/topics{path}")] == expected, path
    assert bob.does("POST", "/members/Ann/befriend")["known"] is True
    assert [topic["slug"] for topic in bob.does("GET", "/topics/feed")] == ["two", "one"]
    ann.does("POST", "/topics/one/close")
    assert bob.does("GET", "/topics/starry") == []
    assert [topic["slug"] for topic in site.call("GET", "/topics/done").json()["data"]] == ["one"]
    for path in ("/topics/feed", "/topics/mine", "/topics/starry", "/member"):
        assert site.problem(site.call("GET", path), 403)["detail"] == "log in first"
    assert bob.does("DELETE", "/topics/one/star")["stars"] == 0
    assert [member["topics"] for member in bob.does("GET", "/members?sort=id")] == [2, 0]


def test_answers_lie_within_topics(site: Site) -> None:
    """At their topic's address and nowhere else; they go with it."""
    ann, bob = Member(site, "Ann"), Member(site, "Bob")
    for title in ("One", "Two"):
        ann.does("POST", "/topics", {"title": title}, 201)
    made = bob.call("POST", "/topics/one/answers", {"text": "x"})
    assert (made.status_code, made.headers["Location"]) == (201, f"{site.root}/topics/one/answers/1")
    assert made.json()["data"] == {"id": 1, "text": "x", "topic": 1, "writer": 2}
    assert ann.does("GET", "/topics/one")["answers"] == 1
    for path, status in {
        "/topics/one/answers/1": 200,
        "/topics/two/answers/1": 404,
        "/topics/none/answers": 404,
        "/answers": 404,
    }.items():
        assert site.call("GET", path).status_code == status
    assert ann.call("DELETE", "/topics/one/answers/1").status_code == 403
    assert ann.call("DELETE", "/topics/one").status_code == 200
    assert ann.call("DELETE", "/topics/one").status_code == 404
    assert site.call("POST", "/topics/two/answers", {"data": {"text": "x"}}).status_code == 403


def test_pages_stand_in_an_envelope(site: Site) -> None:
    """With the total and the page; nothing longer than allowed."""
    ann = Member(site, "Ann")
    for number in range(4):
        ann.does("POST", "/topics", {"title": f"Topic {number}"}, 201)
    page = site.call("GET", "/topics").json()
    assert [topic["id"] for topic in page.pop("data")] == [4, 3]
    assert page == {"total": 4, "limit": 2, "offset": 0}
    assert len(site.call("GET", "/topics?limit=3&offset=2").json()["data"]) == 2
    assert site.messages(site.call("GET", "/topics?limit=4")) == ["limit must be at most 3 (got 4)"]
    for body in ({"title": "x"}, {"data": []}, {"data": {"title": "x"}, "more": 1}):
        refused = site.call("POST", "/topics", body, Authorization=f"Bearer {ann.token}")
        assert site.problem(refused, 422)["errors"] == []


def test_the_command_line_does_the_same(forum: Desk) -> None:
    """By the environment's token, by keys and ids."""
    forum.add("member", "--nick", "ann", "--mail", "ann@x.org", "--pin", "ann-pin")
    forum.add("member", "--nick", "bob", "--mail", "bob@x.org", "--pin", "bob-pin")
    ann, bob = (
        forum.run("member", "login", "--mail", f"{nick}@x.org", "--pin", f"{nick}-pin").done().out.strip()
        for nick in ("ann", "bob")
    )
    assert forum.fails("topic", "add", "--title", "x", status=1) == ["log in first"]
    assert forum.run("topic", "add", "--title", "Ä b!", "--labels", "red", "--main", "red", FORUM_TOKEN=ann).out == (
        "added topic 1\n"
    )
    assert forum.run("topic", "add", "--title", "a B", "--token", ann).out == "added topic 2\n"
    assert [topic["slug"] for topic in forum.records("topic")] == ["a-b-2", "a-b"]
    assert forum.record("topic", 1)["main"] == {"id": 1, "word": "red"}
    assert forum.run("label", "list").lines == ["id  word", "1   red"]
    assert forum.fails("topic", "edit", "a-b", "--text", "x", "--token", bob, status=1) == [
        "topic 1 can be changed only by its writer"
    ]
    assert forum.fails("topic", "add", "--title", "x", "--slug", "y", "--token", ann, status=2) == [
        "slug cannot be changed"
    ]
    assert forum.fails("topic", "add", "--main", "blue", "--token", ann, status=2) == [
        "title is required",
        "main must be the id of an existing label (got blue)",
    ]
    assert forum.run("topic", "star", "a-b", "--token", bob).out == "topic 1: star added\n"
    assert forum.run("topic", "unstar", "1", "--token", bob).out == "topic 1: star removed\n"
    assert forum.run("answer", "add", "--topic", "a-b", "--text", "x", "--token", bob).out == "added answer 1\n"
    assert forum.fails("topic", "feed", status=1) == ["log in first"]
    assert forum.run("topic", "feed", "--token", bob).out == "no topics\n"
    assert forum.fails("topic", "show", "c", status=1) == ["no topic c"]
    for number in ("12", "-0", "-7"):
        assert forum.fails("member", "add", "--nick", number, "--mail", "m", "--pin", "abcd", status=2) == [
            f"nick must not be a number (got {number})"
        ]
    assert forum.run("member", "whoami", "--token", bob).lines[:3] == ["id: 2", "nick: bob", "mail: bob@x.org"]
    assert forum.run("member", "logout", "--token", bob).out == "logged out\n"
    assert forum.fails("member", "whoami", "--token", bob, status=1) == ["the token is not valid"]


WORDS = {"tamed": [1], "TAME*": [1, 2], "ecole": [2], '"was tamed"': [1], "tamed ecole": [], "-": []}


@pytest.mark.parametrize("text", WORDS)
def test_topics_are_searched_by_words(products: Products, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whole words, whatever case and accents; `*` stands for the rest of a word."""
    forum = searched(products, tmp_path_factory)
    assert sorted(forum.ids("topic", "--search", text)) == WORDS[text]


def searched(products: Products, factory: pytest.TempPathFactory) -> Desk:
    folder = factory.getbasetemp() / "searched-forum"
    forum = products("forum").desk(folder)
    if not forum.database.exists():
        forum.add("member", "--nick", "ann", "--mail", "a", "--pin", "ann-pin")
        token = forum.run("member", "login", "--mail", "a", "--pin", "ann-pin").done().out.strip()
        forum.run("topic", "add", "--title", "Dragon", "--text", "It was tamed", "--token", token).done()
        forum.run("topic", "add", "--title", "École", "--text", "They tame it", "--token", token).done()
    return forum


def test_an_imported_file_is_mine(forum: Desk) -> None:
    """Owners come from who imports; what is private to others is not exported."""
    forum.add("member", "--nick", "ann", "--mail", "ann@x.org", "--pin", "ann-pin")
    token = forum.run("member", "login", "--mail", "ann@x.org", "--pin", "ann-pin").done().out.strip()
    file = forum.write("topics.csv", 'id,title,labels,writer\n7,One,"[""red""]",9\n8,One,[],9\n')
    assert forum.fails("topic", "import", file, status=1)[0].endswith("log in first")
    assert forum.run("topic", "import", file, "--token", token).out == "imported 2 topics\n"
    assert [(topic["slug"], topic["labels"], topic["writer"]["nick"]) for topic in forum.records("topic")] == [
        ("one-2", [], "ann"),
        ("one", ["red"], "ann"),
    ]
    assert forum.run("member", "export", "members.csv").out == "exported 1 member\n"
    assert (forum.folder / "members.csv").read_text() == "id,nick,mail,topics,known\n1,ann,,2,false\n"
