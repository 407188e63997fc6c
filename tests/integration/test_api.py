"""The REST API over a real home: who may what, what is shown to whom, and doing things once."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.api_home import LOCAL, Api, api
from tests.page_scene import DONE, HELD_OUT, HOSTILE, PARKED, QUESTION, SECRET

from daybreak import events
from daybreak.clock import SystemClock
from daybreak.ledger import Draft
from daybreak.policy import capability, rootkey
from daybreak.policy.bearer import ALL, SCOPES
from daybreak.policy.grant import Grant
from daybreak.policy.journal import Journal
from daybreak.web import openapi

OPEN = {("/healthz", "get"), ("/login", "get"), ("/login", "post"), ("/logout", "post")}
"""Routes that need no scope."""
TASK = {"command": "make all", "checks": ["test -s out"], "title": "Build it"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with pytest.MonkeyPatch.context() as patch, api(tmp_path_factory.mktemp("api"), patch) as found:
        found.desk.buckets._rate = found.desk.buckets._burst = 1e9
        yield found


@pytest.fixture(autouse=True)
def forgiving(served: Api) -> None:
    """What one test got wrong keeps no other waiting."""
    served.desk.attempts._known.clear()
    served.client.cookies.clear()


def _queued(served: Api) -> str:
    told = served.client.post("/api/v1/tasks", json=TASK, headers=served.as_("hand-over"))
    assert told.status_code == 200, told.text
    return str(told.json()["run"])


# -- who may what


# shows: P10
def test_every_route_needs_a_scope_unless_it_is_listed(served: Api) -> None:
    found = dict(openapi.scopes(served.app))
    assert {route for route, scope in found.items() if scope is None and route[0].startswith("/api")} == set()
    assert {route for route, scope in found.items() if scope is None and route[0] in ("/metrics", "/live")} == set()
    assert len([route for route in found if route[0].startswith("/api")]) > 40


def _calls(served: Api) -> list[tuple[str, str, str]]:
    filled = {"{run}": DONE, "{index}": "0", "{digest}": "0" * 64, "{name}": "x", "{code}": "U100"}
    told = []
    for (path, method), scope in openapi.scopes(served.app):
        if path.startswith("/api") or path == "/metrics":
            for name, value in filled.items():
                path = path.replace(name, value)
            told.append((method, path.replace("{incident}", "inc-9").replace("{lesson}", "les-9"), str(scope)))
    return told


def test_nobody_gets_in_without_a_token_and_a_token_without_the_scope_is_refused_on_every_route(served: Api) -> None:
    for method, path, scope in _calls(served):
        bare = served.client.request(method, path)
        assert (bare.status_code, bare.json()["code"]) == (401, "U311"), path
        assert bare.headers["www-authenticate"].startswith("Bearer")
        others = served.as_(*sorted(ALL - {scope}))
        refused = served.client.request(method, path, headers=others)
        assert (refused.status_code, refused.json()["code"]) in ((403, "P310"), (422, "U315")), (path, refused.text)
        assert scope in refused.text or refused.status_code == 422


def test_tokens_that_ended_were_revoked_narrowed_forged_or_are_a_workers_are_refused_at_once(served: Api) -> None:
    def status(token: str, path: str = "/api/v1/runs") -> tuple[int, str]:
        told = served.client.get(path, headers={"Authorization": f"Bearer {token}"})
        return told.status_code, told.json().get("code", "")

    keys, ledger = served.home.places.keys, served.home.ledger
    root, public = rootkey.load_or_make(keys), rootkey.load_public(keys)
    journal = Journal(ledger, SystemClock(), actor="person")
    token = served.token("look", "incidents")
    assert status(token) == (200, "")
    narrow = capability.narrow(token, Grant.of(api=["incidents"]), public)
    assert status(narrow) == (403, "P310")
    assert status(narrow, "/api/v1/incidents") == (200, "")
    journal.revoke(token, public, why="lost")
    assert status(token) == (401, "P104")
    assert status(narrow, "/api/v1/incidents") == (401, "P104")
    worker = journal.mint(root, run="run-1", attempt=0, tier="look", grant=Grant(), lifetime=timedelta(hours=1))
    assert status(worker) == (401, "P105")
    forged = served.token("look")
    assert status(f"{forged[:-6]}AAAAAA")[0] == 401
    ended = served.token("look", lifetime=timedelta(seconds=1))
    while SystemClock().now() < capability.read(ended, public).until:
        pass
    assert status(ended) == (401, "P103")


def test_guessing_tokens_is_slowed_down_and_says_when_to_come_back(served: Api) -> None:
    bad = {"Authorization": "Bearer dbt1.AAAA"}
    codes = [served.client.get("/api/v1/runs", headers=bad).status_code for _ in range(10)]
    assert codes[:5] == [401] * 5
    assert codes[5:] == [429] * 5
    told = served.client.get("/api/v1/runs", headers=bad)
    assert int(told.headers["retry-after"]) >= 1


def test_one_who_asks_too_fast_is_told_to_wait_and_others_are_not(served: Api) -> None:
    buckets = served.desk.buckets
    old = buckets._rate, buckets._burst
    buckets._rate, buckets._burst = 0.001, 3
    try:
        fast = {"Authorization": f"Bearer {served.token('look', name='fast')}"}
        other = {"Authorization": f"Bearer {served.token('look', name='other')}"}
        codes = [served.client.get("/api/v1/version", headers=fast).status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        assert served.client.get("/api/v1/version", headers=other).status_code == 200
    finally:
        buckets._rate, buckets._burst = old


# -- browsers


def _signed_in(served: Api) -> tuple[TestClient, str]:
    """A browser, and its CSRF value."""
    name, session = served.desk.sessions.begin(None)
    browser = TestClient(served.app, base_url=LOCAL)
    browser.cookies.set("daybreak", name)
    return browser, session.csrf


def test_a_login_link_works_once(served: Api) -> None:
    link = f"/login?once={served.desk.sessions.link()}"
    browser = TestClient(served.app, base_url=LOCAL, follow_redirects=False)
    told = browser.get(link)
    assert told.status_code == 303
    cookie = told.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.get("/api/v1/me").json()["label"] == "this machine"
    again = TestClient(served.app, base_url=LOCAL).get(link)
    assert (again.status_code, again.json()["code"]) == (401, "U320")


def test_the_login_form_takes_a_token_and_leads_only_to_this_server(served: Api) -> None:
    browser = TestClient(served.app, base_url=LOCAL, follow_redirects=False)
    form = {"token": served.token("look"), "next": "//evil.example/x"}
    assert browser.post("/login", data=form).status_code == 403, "a browser says where a form comes from"
    told = browser.post("/login", data=form, headers={"Origin": LOCAL})
    assert (told.status_code, told.headers["location"]) == (303, "/")
    assert browser.get("/api/v1/runs").status_code == 200
    assert browser.get("/api/v1/incidents").status_code == 403


def test_a_session_ends_with_its_token(served: Api) -> None:
    token = served.token("look")
    browser = TestClient(served.app, base_url=LOCAL, follow_redirects=False)
    browser.post("/login", data={"token": token}, headers={"Origin": LOCAL})
    assert browser.get("/api/v1/runs").status_code == 200
    public = rootkey.load_public(served.home.places.keys)
    Journal(served.home.ledger, SystemClock()).revoke(token, public)
    assert browser.get("/api/v1/runs").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": LOCAL},
        {"Origin": LOCAL, "X-CSRF-Token": "wrong"},
        {"Origin": "http://evil.example", "X-CSRF-Token": "RIGHT"},
        {"Origin": "null", "X-CSRF-Token": "RIGHT"},
        {"Sec-Fetch-Site": "cross-site", "X-CSRF-Token": "RIGHT"},
        {"Sec-Fetch-Site": "same-site", "X-CSRF-Token": "RIGHT"},
        {"Referer": "http://evil.example/127.0.0.1", "X-CSRF-Token": "RIGHT"},
    ],
)
def test_another_site_cannot_make_a_browser_change_anything(served: Api, headers: dict[str, str]) -> None:
    browser, csrf = _signed_in(served)
    given = {name: value.replace("RIGHT", csrf) for name, value in headers.items()}
    told = browser.post("/api/v1/queue/pause", headers=given)
    assert (told.status_code, told.json()["code"]) == (403, "P311")
    assert served.home.engine.queue.paused() == {}


def test_a_page_of_ours_can(served: Api) -> None:
    browser, csrf = _signed_in(served)
    assert browser.post("/api/v1/queue/pause", headers={"Origin": LOCAL, "X-CSRF-Token": csrf}).status_code == 200
    assert served.home.engine.queue.resume()


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost:80:80", "", "[::1", "127.0.0.1@e"]
)
def test_a_name_that_is_not_ours_is_refused(served: Api, host: str) -> None:
    told = served.client.get("/healthz", headers={"Host": host})
    assert (told.status_code, told.json()["code"]) == (421, "P312")


# -- problems


def test_every_error_is_a_problem_with_code_hint_and_correlation_id(served: Api) -> None:
    all_ = served.as_(*SCOPES)
    for method, path, status, more in (
        ("get", "/api/v1/nothing", 404, {}),
        ("delete", "/api/v1/runs", 405, {}),
        ("get", "/api/v1/runs/run-nobody", 404, {}),
        ("get", "/api/v1/runs?limit=0", 422, {}),
        ("post", "/api/v1/tasks", 422, {"json": {"unknown": 1}}),
        ("post", "/api/v1/tasks", 422, {"content": b"{", "headers": {**all_, "Content-Type": "application/json"}}),
        ("post", "/api/v1/tasks", 413, {"content": b"x" * 3_000_000}),
        ("post", f"/api/v1/runs/{DONE}/cancel", 422, {}),
        ("get", "/api/v1/events/stream?after=999999999", 409, {}),
        ("get", "/api/v1/ledger/events/99999999", 404, {}),
    ):
        told = served.client.request(method, path, **{"headers": all_, **more})
        assert told.status_code == status, (path, told.text[:300])
        assert told.headers["content-type"] == "application/problem+json"
        found = told.json()
        assert {"type", "title", "status", "detail", "instance", "code", "hint"} <= found.keys()
        assert re.fullmatch(r"[A-Z]\d{3}", found["code"])
        assert found["instance"].endswith(told.headers["x-request-id"])


def test_what_nobody_foresaw_shows_nothing_of_our_insides(served: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"secret {SECRET}")

    monkeypatch.setattr(type(served.home.engine.queue), "listing", broken)
    told = served.client.get("/api/v1/queue", headers=served.as_("look"))
    assert (told.status_code, told.json()["code"]) == (500, "X000")
    assert "secret" not in told.text
    assert "RuntimeError" not in told.text


def test_every_answer_carries_the_headers_that_guard_a_browser(served: Api) -> None:
    for path in ("/healthz", "/login", "/api/v1/runs", "/nothing"):
        headers = served.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"


# -- what is shown to whom


def _gets(served: Api) -> list[str]:
    found = [path for method, path, _ in _calls(served) if method == "get" and "stream" not in path]
    return [*found, *(path.replace(DONE, HOSTILE) for path in found), "/api/v1/ledger/events?limit=500"]


def test_secrets_and_held_out_examples_are_shown_to_nobody_without_the_scope(served: Api) -> None:
    for scopes in (("look",), ("look", "evidence"), tuple(sorted(ALL - {"held-out"}))):
        for path in _gets(served):
            told = served.client.get(path, headers=served.as_(*scopes))
            assert SECRET not in told.text, path
            assert HELD_OUT not in told.text, (path, scopes)


def test_held_out_examples_are_shown_to_whoever_has_the_scope_and_secrets_to_nobody(served: Api) -> None:
    everything = served.as_(*SCOPES)
    texts = [served.client.get(path, headers=everything).text for path in _gets(served)]
    assert any(HELD_OUT in text for text in texts)
    assert not any(SECRET in text for text in texts)


def test_without_evidence_no_payload_is_shown(served: Api) -> None:
    told = served.client.get("/api/v1/ledger/events?limit=500", headers=served.as_("look")).json()
    assert told["events"]
    assert {one["payload"] for one in told["events"]} == {None}


# -- reading


def test_pages_neither_repeat_nor_hide(served: Api) -> None:
    look = served.as_("look")
    whole = [one["run"] for one in served.client.get("/api/v1/runs?limit=500", headers=look).json()["runs"]]
    path, seen = "/api/v1/runs?limit=7", []
    while path:
        told = served.client.get(path, headers=look)
        seen += [one["run"] for one in told.json()["runs"]]
        found = re.fullmatch(r'<(.*)>; rel="next"', told.headers.get("link", ""))
        path = found[1] if found else ""
    assert seen == whole
    assert len(set(seen)) == len(seen) > 100


def test_what_has_not_changed_is_not_sent_again(served: Api) -> None:
    look = served.as_("look")
    first = served.client.get("/api/v1/runs", headers=look)
    same = served.client.get("/api/v1/runs", headers={**look, "If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    _queued(served)
    other = served.client.get("/api/v1/runs", headers={**look, "If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


def test_a_proof_leads_to_the_signed_head(served: Api) -> None:
    from daybreak.ledger.tree import verify_inclusion

    told = served.client.get("/api/v1/ledger/events/3/proof", headers=served.as_("look")).json()
    path = [bytes.fromhex(one) for one in told["path"]]
    assert verify_inclusion(3, told["size"], bytes.fromhex(told["leaf"]), path, bytes.fromhex(told["root"]))


# -- doing


def test_work_is_handed_over_moved_paused_and_cancelled_in_the_name_of_whoever_asked(served: Api) -> None:
    run = _queued(served)
    steer = served.as_("look", "steer")
    assert served.client.patch(f"/api/v1/queue/{run}", json={"priority": 7}, headers=steer).json()["priority"] == 7
    paused = served.client.post(f"/api/v1/runs/{run}/pause", json={"why": "later"}, headers=steer).json()
    assert (paused["changed"], paused["run"]) == (True, run)
    assert served.client.post(f"/api/v1/runs/{run}/resume", headers=steer).status_code == 200
    told = served.client.post(f"/api/v1/runs/{run}/cancel", headers=steer).json()
    assert told["state"] == "cancelled"
    control = list(served.home.ledger.read(events.control_stream(run)))
    assert {record.actor for record in control} == {"api test"}


def test_a_question_is_answered_once_and_not_when_it_asks_something_else(served: Api) -> None:
    answer = served.as_("look", "answer")
    asked = served.client.get("/api/v1/questions", headers=answer).json()["questions"]
    mine = next(one for one in asked if one["run"] == PARKED)
    path = f"/api/v1/runs/{PARKED}/answer"
    other = served.client.post(path, json={"answer": "yes", "question": "another?"}, headers=answer)
    assert other.status_code == 412
    stale = served.client.post(path, json={"answer": "yes"}, headers={**answer, "If-Match": '"old"'})
    assert stale.status_code == 412
    told = served.client.post(
        path, json={"answer": "yes", "question": QUESTION}, headers={**answer, "If-Match": mine["etag"]}
    )
    assert told.status_code == 200, told.text
    (answered,) = [one for one in served.home.ledger.read(events.control_stream(PARKED)) if one.type == "answered"] or [
        one for one in served.home.ledger.read(events.control_stream(PARKED)) if isinstance(one.event, events.Answered)
    ]
    assert answered.actor == "api test"


def test_two_who_move_the_same_run_do_not_overwrite_each_other(served: Api) -> None:
    run, steer = _queued(served), served.as_("look", "steer")
    tag = served.client.get(f"/api/v1/queue/{run}", headers=steer).headers["etag"]
    first = served.client.patch(f"/api/v1/queue/{run}", json={"priority": 1}, headers={**steer, "If-Match": tag})
    second = served.client.patch(f"/api/v1/queue/{run}", json={"priority": 2}, headers={**steer, "If-Match": tag})
    assert (first.status_code, second.status_code, second.json()["code"]) == (200, 412, "U318")


def _tasks(served: Api) -> int:
    return len([one for one in served.home.ledger.read(events.QUEUE) if isinstance(one.event, events.TaskAdded)])


def test_a_repeat_with_the_same_key_gives_the_first_answer_and_does_nothing(served: Api) -> None:
    headers = served.as_("hand-over", **{"Idempotency-Key": "first"})
    first = served.client.post("/api/v1/tasks", json=TASK, headers=headers)
    before = _tasks(served)
    again = served.client.post("/api/v1/tasks", json=TASK, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert _tasks(served) == before
    other = served.client.post("/api/v1/tasks", json={**TASK, "title": "Other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "U319")


def test_two_at_once_with_the_same_key_do_it_once(served: Api) -> None:
    headers = served.as_("hand-over", **{"Idempotency-Key": "both"})
    before, told = _tasks(served), []

    def call() -> None:
        told.append(served.client.post("/api/v1/tasks", json=TASK, headers=headers).json())

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _tasks(served) == before + 1
    assert len({json.dumps(one, sort_keys=True) for one in told}) == 1


def test_after_a_crash_between_commit_and_answer_a_repeat_does_nothing(
    served: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies behind the commit: its answer was never kept."""
    from daybreak.web import acting

    headers = served.as_("hand-over", **{"Idempotency-Key": "crash"})
    with monkeypatch.context() as patch:

        def dies(*_: object, **__: object) -> str:
            raise RuntimeError("killed")

        patch.setattr(acting.json, "dumps", dies)
        with pytest.raises(RuntimeError):
            acting.json.dumps("")
        before = _tasks(served)
        _crash(served, headers)
    assert _tasks(served) == before + 1
    again = served.client.post("/api/v1/tasks", json=TASK, headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "U319")
    assert _tasks(served) == before + 1


def _crash(served: Api, headers: dict[str, str]) -> None:
    browser = TestClient(served.app, base_url=LOCAL, raise_server_exceptions=False)
    browser.post("/api/v1/tasks", content=b'{"command": "make all", "checks": ["test -s out"], "title": "Build it"}',
                 headers={**headers, "Content-Type": "application/json"})  # fmt: skip


def test_a_token_cannot_hand_over_code_of_this_machine_or_leave_the_folder(served: Api, tmp_path: Path) -> None:
    hand_over = served.as_("hand-over")
    for body in (
        {"task": "os:system"},
        {"command": "x", "checks": ["y"], "output": str(tmp_path)},
        {"task": "mend it", "repo": "/"},
        {"text": 'kind = "command"\ncommand = "x"\nunchecked = true\nsandbox = "none"\n', "name": "t.toml"},
        {"command": "x", "checks": ["y"], "workers": ["./mine.py:worker"]},
    ):
        told = served.client.post("/api/v1/tasks", json=body, headers=hand_over)
        assert told.status_code == 422, (body, told.text)


def test_an_incident_is_closed_by_whoever_may(served: Api) -> None:
    headers = served.as_("incidents")
    told = served.client.post("/api/v1/incidents/inc-1/close", json={"why": "a test of ours"}, headers=headers)
    assert told.json() == {"closed": "inc-1"}
    again = served.client.post("/api/v1/incidents/inc-1/close", json={"why": "again"}, headers=headers)
    assert again.status_code == 404


def test_what_another_process_appends_is_heard(served: Api) -> None:
    served.home.ledger.append([Draft(events.QUEUE, events.QueuePaused(project="elsewhere", why=""))])
    told = served.client.get("/api/v1/queue", headers=served.as_("look")).json()
    assert "elsewhere" in {one["project"] for one in told["paused"]}
