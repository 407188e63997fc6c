"""The API against those who mean harm, are slow, hold on to connections, or have the same name as another."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tests.api_home import LOCAL, Api, api
from tests.integration.test_api_stream import serving

from daybreak import Client, events
from daybreak.clock import SystemClock
from daybreak.ledger import Draft
from daybreak.policy import capability, rootkey
from daybreak.policy.grant import Grant
from daybreak.policy.journal import Journal
from daybreak.web import guard, live, server, who
from daybreak.web.sessions import LINK_S, Sessions

TASK = {"command": "make all", "checks": ["test -s out"], "title": "Build it"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with pytest.MonkeyPatch.context() as patch, api(tmp_path_factory.mktemp("api"), patch, seeded=False) as found:
        yield found


@pytest.fixture(autouse=True)
def forgiving(served: Api) -> None:
    served.desk.attempts._known.clear()
    served.desk.buckets._known.clear()
    served.client.cookies.clear()


def _bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


def _queued(served: Api) -> str:
    told = served.client.post("/api/v1/tasks", json=TASK, headers=served.as_("hand-over"))
    assert told.status_code == 200, told.text
    return str(told.json()["run"])


# -- one name, two tokens


# shows: P10
def test_a_token_of_the_same_name_neither_gets_the_others_answers_nor_uses_up_its_requests(served: Api) -> None:
    one, two = (served.token("hand-over", "look", name="token") for _ in range(2))
    key = {"Idempotency-Key": "the-same"}
    first = served.client.post("/api/v1/tasks", json=TASK, headers=_bearer(one, **key)).json()
    second = served.client.post("/api/v1/tasks", json=TASK, headers=_bearer(two, **key))
    assert "idempotent-replayed" not in second.headers
    assert second.json()["run"] != first["run"]
    buckets = served.desk.buckets
    old = buckets._rate, buckets._burst
    buckets._rate, buckets._burst = 0.001, 3
    buckets._known.clear()
    try:
        public = rootkey.load_public(served.home.places.keys)
        narrow = capability.narrow(one, Grant.of(api=["look"]), public)  # the same purse
        asked = [one, narrow, one, narrow]
        codes = [served.client.get("/api/v1/version", headers=_bearer(token)).status_code for token in asked]
        assert codes == [200, 200, 200, 429]
        assert served.client.get("/api/v1/version", headers=_bearer(two)).status_code == 200
    finally:
        buckets._rate, buckets._burst = old


def test_a_narrower_token_does_not_get_the_answers_of_the_one_that_it_was_made_from(served: Api) -> None:
    whole = served.token("hand-over", "look", "evidence")
    narrow = capability.narrow(whole, Grant.of(api=["hand-over"]), rootkey.load_public(served.home.places.keys))
    key = {"Idempotency-Key": "narrowed"}
    served.client.post("/api/v1/tasks", json=TASK, headers=_bearer(whole, **key))
    told = served.client.post("/api/v1/tasks", json=TASK, headers=_bearer(narrow, **key))
    assert "idempotent-replayed" not in told.headers


# -- signing in


def test_a_program_that_is_wrong_again_and_again_locks_out_nobody_whose_token_is_known(served: Api) -> None:
    good = served.token("look")
    assert served.client.get("/api/v1/version", headers=_bearer(good)).status_code == 200
    codes = [served.client.get("/api/v1/version", headers=_bearer(f"dbt1.{n}")).status_code for n in range(8)]
    assert 429 in codes
    assert served.client.get("/api/v1/version", headers=_bearer(good)).status_code == 200


def test_a_token_that_was_revoked_is_no_guess_and_is_slowed_down_all_the_same(served: Api) -> None:
    gone = served.token("look")
    public = rootkey.load_public(served.home.places.keys)
    Journal(served.home.ledger, SystemClock(), actor="person").revoke(gone, public, why="lost")
    codes = [served.client.get("/api/v1/version", headers=_bearer(gone)).status_code for _ in range(8)]
    assert codes == [401] * 8
    assert served.client.get("/api/v1/version", headers=_bearer(served.token("look"))).status_code == 200
    buckets = served.desk.buckets
    old = buckets._rate, buckets._burst
    buckets._rate, buckets._burst = 0.001, 2
    buckets._known.clear()
    try:
        codes = [served.client.get("/api/v1/version", headers=_bearer(gone)).status_code for _ in range(4)]
        assert codes == [401, 401, 429, 429]
    finally:
        buckets._rate, buckets._burst = old


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_wrong_attempts_are_counted_by_what_one_person_has(one: str, other: str, same: bool) -> None:
    def counted(host: str) -> str:
        request: Any = SimpleNamespace(client=SimpleNamespace(host=host))
        return who.address_of(request)

    assert (counted(one) == counted(other)) is same


class SetBack:
    """A wall clock that somebody sets back; the other one goes on."""

    def __init__(self) -> None:
        self.wall, self.since = datetime(2026, 1, 2, tzinfo=UTC), 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.since


def test_a_clock_that_is_set_back_makes_no_link_and_no_session_live_longer() -> None:
    clock = SetBack()
    sessions = Sessions(clock, lambda size: bytes(size), hours=1)
    link = sessions.link()
    name, _ = sessions.begin(None)
    assert sessions.find(name) is not None
    clock.wall, clock.since = clock.wall - timedelta(days=1), 3600.0 + LINK_S
    assert sessions.follow(link) is None
    assert sessions.find(name) is None


# -- reading


def test_pages_of_one_state_neither_repeat_nor_hide_where_the_clock_was_set_back(
    served: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = served.home.engine.queue
    for hour in (9, 8, 9, 7, 9, 8):
        moment = datetime(2020, 1, 1, hour, tzinfo=UTC)
        monkeypatch.setattr(queue, "_clock", SimpleNamespace(now=lambda moment=moment: moment))
        _, drafts = queue.drafts("command", f"at {hour}", {}, _anywhere())
        served.home.ledger.append(drafts)
        _queued(served)
    look = served.as_("look")
    whole = served.client.get("/api/v1/runs?state=queued&limit=500", headers=look).json()["runs"]
    path, seen = "/api/v1/runs?state=queued&limit=2", []
    while path:
        told = served.client.get(path, headers=look)
        seen += [one["run"] for one in told.json()["runs"]]
        path = told.headers.get("link", "").partition(">")[0].lstrip("<")
    assert seen == [one["run"] for one in whole]


def _anywhere() -> Any:
    from daybreak.engine.placement import Placement

    return Placement()


def test_the_queue_comes_in_pages_and_what_was_just_done_is_in_them(served: Api) -> None:
    look = served.as_("look")
    for _ in range(3):
        run = _queued(served)
        whole = served.client.get("/api/v1/queue?limit=500", headers=look).json()
        assert run in {one["run"] for one in whole["runs"]}
    first = served.client.get("/api/v1/queue?limit=2", headers=look).json()
    second = served.client.get(f"/api/v1/queue?limit=500&cursor={first['next']}", headers=look).json()
    assert first["more"] == len(second["runs"])
    assert second["next"] is None
    assert [*first["runs"], *second["runs"]] == whole["runs"]


# -- doing


def test_a_fork_is_made_once_for_its_key_although_the_answer_was_never_kept(
    served: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark stands in the commit of the fork itself."""
    from daybreak.web import acting

    run = _ran(served)
    headers = served.as_("look", "steer", **{"Idempotency-Key": "fork-once"})
    kept = served.client.get(f"/api/v1/runs/{run}/steps", headers=headers).json()["steps"]
    body = {"before": kept[1]["key"]}
    with monkeypatch.context() as patch:
        patch.setattr(acting, "jsonable_encoder", _dies)
        died = served.client.post(f"/api/v1/runs/{run}/fork", json=body, headers=headers)
        assert died.status_code == 500
    forks = len(_forks(served))
    again = served.client.post(f"/api/v1/runs/{run}/fork", json=body, headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "U319")
    assert len(_forks(served)) == forks == 1


def _dies(_: object) -> None:
    raise RuntimeError("killed")


def _forks(served: Api) -> list[str]:
    title = "Tea (from brew)"
    found = (record.event for record in served.home.ledger.read(events.QUEUE))
    return [one.run for one in found if isinstance(one, events.TaskAdded) and one.title == title]


def _ran(served: Api) -> str:
    """A run with two steps behind it that failed."""
    ledger, (run, drafts) = served.home.ledger, served.home.engine.queue.drafts("command", "Tea", {}, _anywhere())
    stream = events.run_stream(run)
    ledger.append(drafts)
    told = (
        events.LeaseGranted(run=run, owner="o", host="h", pid=1, night=""),
        events.RunMoved(run=run, old="leased", new="running"),
        events.StepDone(run=run, branch="", name="boil", nth=0, args="", result=1, duration_ms=5),
        events.StepDone(run=run, branch="", name="brew", nth=0, args="", result=2, duration_ms=5),
        events.RunMoved(run=run, old="running", new="failed", why="cold"),
    )
    ledger.append([Draft(stream, one, epoch=1) for one in told])
    return run


def test_a_run_is_forked_and_rolled_back_over_http(served: Api) -> None:
    run, headers = _ran(served), served.as_("look", "steer")
    kept = served.client.get(f"/api/v1/runs/{run}/steps", headers=headers).json()["steps"]
    assert [one["name"] for one in kept] == ["boil", "brew"]
    new = served.client.post(f"/api/v1/runs/{run}/fork", json={"before": kept[1]["key"]}, headers=headers).json()["run"]
    copied = served.client.get(f"/api/v1/runs/{new}/steps", headers=headers).json()["steps"]
    assert [one["name"] for one in copied] == ["boil"]
    back = served.client.post(f"/api/v1/runs/{run}/rollback", json={"before": kept[1]["key"]}, headers=headers)
    assert back.status_code == 200, back.text
    left = served.client.get(f"/api/v1/runs/{run}/steps", headers=headers).json()["steps"]
    assert [one["name"] for one in left] == ["boil"]
    nowhere = served.client.post(f"/api/v1/runs/{run}/rollback", json={"before": "nothing/7"}, headers=headers)
    assert nowhere.status_code in (404, 409, 422)


# -- slow ones


def test_an_answer_that_takes_too_long_is_given_up_and_the_server_goes_on(
    served: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, over = threading.Event(), threading.Event()

    def slow(*_: object) -> list[Any]:
        go_on.wait(20)
        over.set()
        return []

    monkeypatch.setattr(guard, "ANSWER_S", 0.05)
    monkeypatch.setattr(type(served.home.engine.queue), "listing", slow)
    _queued(served)  # nothing that was kept is good any more
    monkeypatch.setattr(guard, "ANSWER_S", 0.2)
    look = served.as_("look")
    told = served.client.get("/api/v1/queue", headers=look)
    assert (told.status_code, told.json()["code"]) == (503, "U323")
    assert told.headers["retry-after"]
    monkeypatch.setattr(guard, "ANSWER_S", 30)
    assert served.client.get("/api/v1/version", headers=look).status_code == 200
    go_on.set()
    assert over.wait(20)


def test_whoever_only_holds_a_connection_open_is_let_go(served: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADERS_S", 0.2)
    with serving(served) as address:
        place = ("127.0.0.1", int(address.rpartition(":")[2]))
        for sent in (b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: a"):
            with socket.create_connection(place, timeout=20) as one:
                one.sendall(sent)
                assert one.recv(1) == b""
        with socket.create_connection(place, timeout=20) as one:
            whole = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            one.sendall(whole)
            assert one.recv(12) == b"HTTP/1.1 200"
            one.sendall(whole[:20])  # another one that is never finished
            while one.recv(65536):
                pass


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello",
        b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /static/%2e%2e/%2e%2e/app.py HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /static/..%2fapp.py HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /static/%00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /static/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /static//etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /api/v1/runs/%00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /login?next=%ff%00 HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: daybreak=\xff\xfe\r\n\r\n",
        b"GET /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    ],
)
def test_what_is_no_request_or_leads_out_is_refused_without_an_error_of_the_server(
    raw: tuple[str, int], sent: bytes
) -> None:
    with socket.create_connection(raw, timeout=20) as one:
        one.sendall(sent)
        told = one.recv(65536)
    status = int(told.split(b" ")[1])
    assert status < 500
    assert status >= 400 or sent.startswith(b"GET /login")
    assert b"from __future__" not in told


@pytest.fixture(scope="module")
def raw(served: Api) -> Iterator[tuple[str, int]]:
    with serving(served) as address:
        yield "127.0.0.1", int(address.rpartition(":")[2])


def test_one_token_cannot_take_all_streams(served: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAMS_EACH", 2)
    greedy, other = served.token("look"), served.token("look")
    with serving(served) as address, httpx.Client(base_url=address, timeout=20) as browser:
        path = "/api/v1/events/stream"
        with (
            browser.stream("GET", path, headers=_bearer(greedy)) as one,
            browser.stream("GET", path, headers=_bearer(greedy)) as two,
        ):
            lines = [each.iter_lines() for each in (one, two)]  # one that is dropped ends its stream
            assert all(next(each) for each in lines)
            third = browser.get(path, headers=_bearer(greedy))
            assert (third.status_code, third.json()["code"]) == (503, "U322")
            with browser.stream("GET", path, headers=_bearer(other)) as three:
                assert three.status_code == 200


# -- TLS, a unix socket


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Of this machine's loopback, signed by itself."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "daybreak test")])
    now = SystemClock().now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, secret


def test_under_tls_requests_sessions_and_streams_work_and_cookies_are_for_tls_alone(
    served: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl

    certificate, key = _certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(served.desk, "secure", True)
    with serving(served, certificate=certificate, key=key) as address:
        assert address.startswith("https://")
        with httpx.Client(base_url=address, verify=trusting, timeout=20) as browser:
            link = f"/login?once={served.desk.sessions.link()}"
            told = browser.get(link, headers={"Accept": "text/html"}, follow_redirects=False)
            cookie = told.headers["set-cookie"].lower()
            assert cookie.startswith("__host-daybreak=")
            assert "; secure" in cookie
            assert "max-age=31536000" in told.headers["strict-transport-security"]
            assert browser.get("/api/v1/me").json()["label"] == "this machine"
            with browser.stream("GET", "/live") as stream:
                assert next(stream.iter_lines()).startswith(("event", "id", "retry"))
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/healthz")  # nobody who does not know the certificate


def test_a_unix_socket_is_for_this_user_alone_and_carries_the_client(served: Api, tmp_path: Path) -> None:
    from daybreak.cli import serve

    path = tmp_path / "s"
    listening = serve._listen_unix(path)
    assert path.stat().st_mode & 0o777 == 0o600
    token = served.token("look")
    with serving(served, listening=listening):
        transport = httpx.HTTPTransport(uds=str(path))
        with Client("http://localhost", token, transport=transport) as client:
            assert client.get("/me")["label"] == "test"
    with pytest.raises(serve.PortTaken):
        serve._listen_unix(path)


# -- the client


def test_the_client_says_that_its_token_is_no_longer_good_and_goes_on_over_a_restart(served: Api) -> None:
    from daybreak.client import RequestRefused

    token, queue = served.token("look"), served.home.engine.queue
    before = served.home.ledger.newest().size - 1
    with serving(served) as address:
        port = int(address.rpartition(":")[2])
        client = Client(address, token, timeout_s=10)
        heard = client.events(after=before)
        queue.pause(project="a")
        assert next(heard)["index"] == before + 1
    queue.pause(project="b")  # while nobody serves
    with client, serving(served, port):
        assert next(heard)["index"] == before + 2
        Journal(served.home.ledger, SystemClock()).revoke(token, rootkey.load_public(served.home.places.keys))
        with pytest.raises(RequestRefused):
            list(heard)


def test_the_clients_addresses_hold_no_name_that_leads_elsewhere(served: Api) -> None:
    asked: list[str] = []

    def note(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        return httpx.Response(200, json={})

    with Client(LOCAL, "t", transport=httpx.MockTransport(note)) as client:
        client.run("../../login?once=x")
        client.patch("/queue/r", {"priority": 1}, etag='"x"')
        client.delete("/schedules/s")
    assert asked[0] == "/api/v1/runs/..%2F..%2Flogin%3Fonce%3Dx"
