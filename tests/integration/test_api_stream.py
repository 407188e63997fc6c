"""Streams of events over real connections: no gap, no repeat, nobody who is slow keeps anybody else waiting."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api_home import Api, api

from daybreak import Client, events
from daybreak.client import RequestRefused
from daybreak.ledger import Draft
from daybreak.web import live, server


@contextmanager
def serving(
    found: Api,
    port: int = 0,
    *,
    listening: socket.socket | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> Iterator[str]:
    """The server on a port (or what listens already), in a thread; it has ended behind the block."""
    listening = listening or socket.create_server(("127.0.0.1", port))
    running = server.make(found.desk, certificate=certificate, key=key)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    where = "unix" if listening.family == socket.AF_UNIX else f"127.0.0.1:{listening.getsockname()[1]}"
    try:
        while not running.started:
            assert thread.is_alive()
        yield f"{'http' if certificate is None else 'https'}://{where}"
    finally:
        running.should_exit = True
        thread.join(10)
        listening.close()
        assert not thread.is_alive()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    with api(tmp_path, monkeypatch, seeded=False) as found:
        yield found


def _say(found: Api, number: int) -> int:
    """Append something; its index."""
    (record,) = found.home.ledger.append([Draft(events.QUEUE, events.QueuePaused(project=f"p{number}", why=""))])
    return record.index


def _ids(response: httpx.Response, most: int) -> list[int]:
    found = (int(line[4:]) for line in response.iter_lines() if line.startswith("id: "))
    return list(islice(found, most))


# shows: P10
def test_a_stream_goes_on_behind_the_last_event_without_gap_or_repeat_over_cuts_and_restarts(home: Api) -> None:
    headers = home.as_("look")
    first = _say(home, 0)
    with serving(home) as address:
        port = int(address.rpartition(":")[2])
        for number in range(1, 6):
            _say(home, number)
        with httpx.stream("GET", f"{address}/api/v1/events/stream?after={first}", headers=headers) as one:
            got = _ids(one, 3)  # and then the connection is cut
    for number in range(6, 11):
        _say(home, number)  # while nobody serves
    with serving(home, port) as address:
        last = {**headers, "Last-Event-ID": str(got[-1])}
        with httpx.stream("GET", f"{address}/api/v1/events/stream", headers=last) as two:
            got += _ids(two, 4)
            final = [_say(home, number) for number in range(11, 14)][-1]
        last["Last-Event-ID"] = str(got[-1])
        with httpx.stream("GET", f"{address}/api/v1/events/stream", headers=last) as three:
            got += _ids(three, final - got[-1])
    assert got == list(range(first + 1, final + 1))


def test_an_event_reaches_every_one_of_50_clients(home: Api) -> None:
    headers = home.as_("look")
    with serving(home) as address:
        ready, came = threading.Barrier(51), []

        def listen() -> None:
            with httpx.stream("GET", f"{address}/live", headers=headers, timeout=20) as stream:
                lines = stream.iter_lines()
                next(lines)
                ready.wait(20)
                for line in lines:
                    if line == "event: changed":
                        came.append(line)
                        return

        threads = [threading.Thread(target=listen) for _ in range(50)]
        for thread in threads:
            thread.start()
        ready.wait(20)
        _say(home, 1)
        for thread in threads:
            thread.join(20)
        assert len(came) == 50


def test_a_client_that_reads_nothing_slows_nobody_and_a_page_that_is_behind_is_told_to_load_anew(
    home: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SEND_S", 1)
    headers = home.as_("look", "evidence")

    def pace() -> float:
        began = time.monotonic()
        for number in range(100):
            _say(home, number)
        return time.monotonic() - began

    with serving(home) as address:
        alone = min(pace() for _ in range(3))
        port = int(address.rpartition(":")[2])
        deaf = []
        for _ in range(20):
            one = socket.create_connection(("127.0.0.1", port))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            asked = "GET /api/v1/events/stream?after=-1 HTTP/1.1\r\nHost: 127.0.0.1"
            told = f"{asked}\r\nAuthorization: {headers['Authorization']}\r\n\r\n"
            one.sendall(told.encode())
            deaf.append(one)
        beside = min(pace() for _ in range(3))
        assert beside < 10 * alone + 0.5
        assert httpx.get(f"{address}/api/v1/runs", headers=headers).status_code == 200
        for one in deaf:
            one.close()
        behind = {**headers, "Last-Event-ID": "0"}
        home.desk.hub._ring.clear()
        _say(home, 1)
        with httpx.stream("GET", f"{address}/live", headers=behind) as stream:
            lines = [line for line in islice(stream.iter_lines(), 9) if line.startswith("event: ")]
        assert lines[:2] == ["event: hello", "event: resync"]


def test_a_stream_ends_when_its_token_is_revoked(home: Api) -> None:
    from daybreak.clock import SystemClock
    from daybreak.policy import rootkey
    from daybreak.policy.journal import Journal

    token = home.token("look")
    with serving(home) as address:
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.stream("GET", f"{address}/api/v1/events/stream", headers=headers, timeout=10) as stream:
            lines = stream.iter_lines()
            next(lines)
            Journal(home.home.ledger, SystemClock()).revoke(token, rootkey.load_public(home.home.places.keys))
            rest = list(lines)
        assert "event: over" in rest
        assert not any(line.startswith("id:") for line in rest)


def test_the_client_hands_work_over_follows_it_and_tells_what_is_wrong(home: Api) -> None:
    token = home.token("look", "hand-over", "steer")
    with serving(home) as address, Client(address, token) as client:
        before = client.get("/ledger/head")["size"] - 1
        told = client.hand_over(command="make all", checks=["test -s out"], title="Build it", key="k1")
        assert client.hand_over(command="make all", checks=["test -s out"], title="Build it", key="k1") == told
        assert [one["run"] for one in client.runs(limit=1)] == [told["run"]]
        heard = next(client.events(after=before, topics=[told["run"]]))
        assert heard["type"] == "task.added"
        assert client.cancel(told["run"])["state"] == "cancelled"
        with pytest.raises(RequestRefused, match="P310") as refused:
            client.accept(told["run"])
        assert refused.value.status == 403


def _started(home: Path, *words: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    environment = {**os.environ, "DAYBREAK_HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-m", "daybreak", "serve", "--port", "0", "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=home,
    )
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.startswith("}"):
            break
    return process, json.loads(text)


def test_ctrl_c_ends_the_server_although_streams_are_open(tmp_path: Path) -> None:
    process, told = _started(tmp_path)
    with httpx.Client(follow_redirects=False) as browser:
        while True:
            try:
                browser.get(f"{told['address']}/healthz")
                break
            except httpx.ConnectError:
                continue
        browser.get(told["login"])
        with browser.stream("GET", f"{told['address']}/live") as stream:
            lines = stream.iter_lines()
            next(lines)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0, "a server that waits for its streams waits for ever"
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert process.stdout is not None
    process.stdout.close()
    process.stderr.close()


def test_the_server_listens_elsewhere_only_with_tls_or_where_somebody_insists(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "daybreak", "serve", *words],
            capture_output=True,
            text=True,
            env={**os.environ, "DAYBREAK_HOME": str(tmp_path)},
            cwd=tmp_path,
            check=False,
            timeout=60,
        )

    bare = run("--host", "0.0.0.0", "--port", "0")
    assert (bare.returncode, bare.stderr.split()[1]) == (2, "U330")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = run("--port", str(taken.getsockname()[1]))
    assert "H330" in busy.stderr
    half = run("--tls-cert", "cert.pem")
    assert half.returncode == 2
    assert not re.search("Traceback", bare.stderr + busy.stderr + half.stderr)
