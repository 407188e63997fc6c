"""GitHub and GitLab, through their real clients, against a server on the loopback that speaks their APIs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.unit import repository_desk
from tests.unit.forge_server import KEY, REPOSITORY, Server, Trouble, serving

from daybreak import settings
from daybreak.factory import trust
from daybreak.factory.forges import forge, pushing, wording
from daybreak.factory.forges.forge import ForgeDown, ForgeRefused, PlaceUnclear
from daybreak.factory.forges.reaching import Reached
from daybreak.factory.repository import git as repositorygit
from daybreak.policy.failure import classify
from daybreak.settings import SettingsWrong

NOW = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)
KINDS = ("github", "gitlab")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "forge") as made:
        yield made


def reached(server: Server, kind: str, key: str = KEY) -> Reached:
    address = f"{server.address}/api/v3" if kind == "github" else server.address
    told = settings.Forge.model_validate({"kind": kind, "address": address, "key": "env:X"})
    return Reached("work", told, key)


@pytest.mark.parametrize("kind", KINDS)
def test_issues_come_by_label_and_assignee_over_all_pages(server: Server, kind: str) -> None:
    """The oldest first, never more than asked for; a pull request is no issue."""
    for number in range(1, 6):
        server.issue(number, f"the {number}th", "text" if number > 1 else "", assignee="ada" if number != 4 else "bob")
    server.issue(6, "unlabelled", labels=("other",))
    server.issue(7, "a pull", pull=True)
    client = reached(server, kind).client()

    found = client.issues(REPOSITORY, labels=["daybreak"], assignee="", most=100)
    mine = client.issues(REPOSITORY, labels=["daybreak"], assignee="me", most=3)

    assert [one.number for one in found] == [1, 2, 3, 4, 5]
    assert [one.number for one in mine] == [1, 2, 3]
    assert (found[0].text, found[1].text, found[0].author) == ("", "text", "grace")
    assert found[0].url.endswith("/issues/1")
    assert {key for _, _, key in server.seen} == {KEY}


TROUBLES = [
    (Trouble(401), ForgeRefused, "permanent"),
    (Trouble(403, {"X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": "1795241000"}), ForgeRefused, "permanent"),
    (Trouble(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795241000"}), ForgeDown, "outage"),
    (Trouble(429, {"Retry-After": "90"}), ForgeDown, "outage"),
    (Trouble(404), ForgeRefused, "permanent"),
    (Trouble(500), ForgeDown, "retryable"),
    (Trouble(503), ForgeDown, "outage"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_failure_is_told_apart_and_shows_no_key(server: Server, kind: str) -> None:
    """Refused for ever, limited until a time, or worth another try; nothing waits or repeats inside of a client."""
    # shows: N2
    client = reached(server, kind).client()
    for trouble, expected, sort in TROUBLES:
        answer = Trouble(trouble.status, trouble.headers, {"message": f"no, {KEY} is not welcome"})
        server.troubles = [answer]
        before = len(server.seen)
        with pytest.raises(expected) as told:
            client.issues(REPOSITORY, labels=["daybreak"], assignee="", most=10)
        assert KEY not in f"{told.value.message} {told.value.hint}"
        failure = classify(told.value, NOW)
        assert failure.kind == sort, trouble
        assert len(server.seen) == before + 1, "asked once"
        if trouble.status == 429:
            assert failure.until == NOW + timedelta(seconds=90)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_there_is_down_and_not_refusing(tmp_path: Path, kind: str) -> None:
    """Nobody answers: worth another try."""
    with serving(tmp_path) as gone:
        client = reached(gone, kind).client()
    with pytest.raises(ForgeDown) as told:
        client.request_of(REPOSITORY, "daybreak/run-1")
    assert classify(told.value, NOW).kind == "retryable"


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_is_made_and_found_again_by_its_branch(server: Server, kind: str) -> None:
    """A second one for the same branch is refused by the forge, and the first one is found."""
    client = reached(server, kind).client()
    assert client.request_of(REPOSITORY, "daybreak/run-1") is None

    made = client.offer(REPOSITORY, branch="daybreak/run-1", into="", title="t", text="x")

    assert server.requests[0]["base"] == "main", "the usual branch there"
    assert client.request_of(REPOSITORY, "daybreak/run-1") == made
    with pytest.raises(ForgeRefused, match="already exists"):
        client.offer(REPOSITORY, branch="daybreak/run-1", into="main", title="t", text="x")
    server.requests[0]["state"] = "closed"
    again = client.request_of(REPOSITORY, "daybreak/run-1")
    assert again is not None
    assert not again.open


def test_a_gitlab_that_points_elsewhere_is_not_followed_with_the_key(server: Server, tmp_path: Path) -> None:
    """A redirect, or a next page on another host, gets no key of ours."""  # shows: N10
    with serving(tmp_path / "other") as other:
        server.troubles = [Trouble(302, {"Location": f"{other.address}/api/v4/steal"})]
        with pytest.raises(ForgeDown):
            reached(server, "gitlab").client().issues(REPOSITORY, labels=["a"], assignee="", most=5)
        link = {"Link": f'<{other.address}/api/v4/projects/x/issues?page=2>; rel="next"'}
        issue = {"iid": 1, "title": "t", "description": "", "author": None, "web_url": "u"}
        for kind, row in (("gitlab", issue), ("github", {"number": 1, "title": "t", "url": "u"})):
            server.troubles = [Trouble(200, link, [row])]
            with suppress(Exception):  # whatever it makes of it, nothing goes there
                reached(server, kind).client().issues(REPOSITORY, labels=["a"], assignee="", most=5)
        assert not [key for _, _, key in other.seen if key == KEY]


# -- pushing


@pytest.fixture
def repo(tmp_path: Path, server: Server) -> Path:
    made = repository_desk.make(tmp_path / "calc")
    server.bare(made)
    return made


def test_a_push_passes_the_key_to_nobody_but_the_forge(
    server: Server, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in arguments, an address or a file; the user's own remotes and hooks have no say."""  # shows: N10
    asked: list[list[str]] = []
    ask = repositorygit.ask

    def watched(git_dir: Path, words: Any, **more: Any) -> Any:
        asked.append(list(words))
        return ask(git_dir, words, **more)

    monkeypatch.setattr(repositorygit, "ask", watched)
    ran = tmp_path / "ran"
    hook = repo / ".git" / "hooks" / "pre-push"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    hook.chmod(0o755)
    repository_desk.git(repo, "config", f"url.{tmp_path}.insteadOf", server.address)
    commit = repository_desk.git(repo, "rev-parse", "HEAD").strip()
    for turn in ("one", "two"):
        scratch = tmp_path / turn
        scratch.mkdir()
        pushing.push(repo, commit, "daybreak/run-1", REPOSITORY, reached(server, "github"), {}, scratch)
        assert not any(KEY.encode() in path.read_bytes() for path in scratch.rglob("*") if path.is_file())
    assert server.branches()["daybreak/run-1"] == commit
    assert not any(KEY in word for words in asked for word in words)
    assert not any(KEY in path for _, path, _ in server.seen)
    assert not ran.exists()


def test_a_push_that_is_refused_says_why_without_the_key(server: Server, repo: Path, tmp_path: Path) -> None:
    """A wrong key, a repository that is not there, a branch that holds something else, a server in trouble."""
    commit = repository_desk.git(repo, "rev-parse", "HEAD").strip()
    repository_desk.git(repo, "commit", "-q", "--allow-empty", "-m", "other", "--date=@1700000001 +0000")
    other = repository_desk.git(repo, "rev-parse", "HEAD").strip()

    def push(what: str, place: str = REPOSITORY, key: str = KEY, branch: str = "daybreak/run-1") -> None:
        scratch = tmp_path / f"scratch-{len(list(tmp_path.iterdir()))}"
        scratch.mkdir()
        pushing.push(repo, what, branch, place, reached(server, "gitlab", key), {}, scratch)

    push(other)
    cases = [
        (lambda: push(commit, key="wrong-Zk3vQ9wL"), ForgeRefused, 401),
        (lambda: push(commit, place="octo/none"), ForgeRefused, 404),
        (lambda: push(commit), ForgeRefused, 409),
    ]
    for case, expected, status in cases:
        with pytest.raises(expected) as told:
            case()
        assert told.value.status_code == status
        assert "Zk3vQ9wL" not in told.value.message
    assert server.branches()["daybreak/run-1"] == other
    server.troubles = [Trouble(500)]
    with pytest.raises(ForgeDown):
        push(other)


# -- names, addresses, settings


def test_places_and_addresses_have_one_meaning() -> None:
    """Where git goes follows from where the API is."""
    assert str(forge.place("work:group/sub/name.git")) == "work:group/sub/name"
    for wrong in ("octo/calc", "github:calc", "github:../x/y", "github:a/-b", "github:a b/c", "github:", "x:a/b?c", ""):
        with pytest.raises(PlaceUnclear):
            forge.place(wrong)
    cases = {
        ("github", ""): ("api.github.com:443", "https://github.com"),
        ("github", "https://api.octo.ghe.com"): ("api.octo.ghe.com:443", "https://octo.ghe.com"),
        ("github", "https://git.example.org/api/v3/"): ("git.example.org:443", "https://git.example.org"),
        ("gitlab", ""): ("gitlab.com:443", "https://gitlab.com"),
        ("gitlab", "https://host.example:8443/gitlab"): ("host.example:8443", "https://host.example:8443/gitlab"),
        ("gitlab", "http://[::1]:8080"): ("[::1]:8080", "http://[::1]:8080"),
    }
    for (kind, address), (host, base) in cases.items():
        told = settings.Forge.model_validate({"kind": kind, "address": address, "key": "env:X"})
        assert (forge.host_of(told), forge.git_address(told)) == (host, base)


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"kind": "github"}, "key: is missing"),
        ({"kind": "github", "key": "ghp_abc"}, "never written down here"),
        ({"kind": "gitlab", "key": "env:T", "address": "http://git.example.org"}, "shows the token"),
        ({"kind": "gitlab", "key": "env:T", "address": "https://me:pw@git.example.org"}, "has a user"),
        ({"kind": "gitlab", "key": "env:T", "address": "https://"}, "no address"),
        ({"kind": "gitea", "key": "env:T"}, "is one of"),
        ({"kind": "github", "key": "env:T", "adress": "x"}, "did you mean address"),
    ],
)
def test_a_forge_that_cannot_be_is_refused_as_the_settings_are_read(told: dict[str, str], word: str) -> None:
    """And what could be a token is repeated in no message."""
    with pytest.raises(SettingsWrong, match=word) as error:
        settings.checked({"forges": {"work": told}}, Path("/x/daybreak.toml"))
    assert "ghp_abc" not in error.value.message
    assert "pw@" not in error.value.message


def test_a_forge_of_a_file_that_came_with_a_clone_needs_a_yes() -> None:
    """Such a file could send a token anywhere."""
    made = settings.checked({"forges": {"work": {"kind": "github", "key": "file:token"}}}, Path("/x/daybreak.toml"))
    assert made.forge("work").key == "file:/x/token"
    assert trust.risks(made) == ["forge work: sends file:/x/token to https://api.github.com"]
    with pytest.raises(SettingsWrong, match="no forge called 'wrok'"):
        made.forge("wrok")


# -- wording


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_nothing_in_a_cell_is_more_than_text(text: str) -> None:
    """Whatever a check says stays inside of its code, in its cell, on its line: no mention, no link, no new row."""
    shown = wording._code(text)
    assert "\n" not in shown
    assert "|" not in shown
    if shown:
        ticks = re.match(r"`+", shown)
        assert ticks is not None
        inner = shown[len(ticks[0]) : -len(ticks[0])]
        assert ticks[0] not in re.findall(r"`+", inner)
        assert shown.endswith(ticks[0])


def test_a_prompt_with_fences_stays_in_its_block() -> None:
    """A longer fence holds whatever fences are inside."""
    block = wording._block("a\n````\n@everyone\n````\nb")
    assert block[0] == "`````text"
    assert block[-1] == "`````"
