"""A worker on another machine reaches the coordinator's gateway by outpost and relay, and nothing else by them."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import json
import logging
import os
import resource
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from daybreak import events
from daybreak.agents import protocol
from daybreak.agents.gateway import (
    Gateway,
    GatewayBroken,
    Outpost,
    Portal,
    TicketUnknown,
    Way,
    carrying,
    certificate,
    relay,
)
from daybreak.agents.gateway.outpost import OutpostBroken, RelayForged, RelayRefuses, RelayUnreachable
from daybreak.agents.gateway.relay import Relay, RelayBroken
from daybreak.agents.gateway.way import FULL, HELLO, OPEN, host_and_port
from daybreak.clock import SystemClock
from daybreak.engine import VIEWS
from daybreak.errors import WorkerError
from daybreak.host import process
from daybreak.host.sandbox import Sandbox, SandboxMissing, prepare
from daybreak.ledger import Draft, Ledger
from daybreak.policy.accounts import Accounts
from daybreak.policy.breaker import BreakerRule
from daybreak.policy.budget import Limit
from daybreak.settings import Price, Provider, Settings
from daybreak.testing.modelserver import ModelServer, Say, Stalled

KEY = "sk-the-real-key-0123456789abcdef"
PRICES = {"*": Price(input=3, cached=0.3, output=15)}
ASK: dict[str, Any] = {"model": "m", "max_tokens": 5_000, "messages": [{"role": "user", "content": "Say hello."}]}
CHAT = "/openai/v1/chat/completions"
LONG = "word " * 4_000


class House:
    """A coordinator: ledger, gateway, and a scripted provider that speaks OpenAI's way."""

    def __init__(self, gateway: Gateway, ledger: Ledger, server: ModelServer, folder: Path) -> None:
        self.gateway, self.ledger, self.server, self._folder = gateway, ledger, server, folder

    def ticket(self, **more: Any) -> protocol.Gateway:
        return self.gateway.ticket("run-1", 1, provider="openai", model="scripted", **more)

    def calls(self) -> list[events.ModelCalled]:
        found = (record.event for record in self.ledger.read(events.POLICY))
        return [one for one in found if isinstance(one, events.ModelCalled)]

    def account(self, name: str) -> None:
        opened = Accounts(self.ledger).open(name, Limit(money_microusd=10**9))
        assert opened is not None
        self.ledger.append([Draft(events.POLICY, opened)])

    def outpost(self, token: str, name: str = "node.sock") -> Outpost:
        """As another machine has it: of the job's JSON."""
        job = msgspec.json.encode(self.gateway.way(token))
        return reached(msgspec.json.decode(job, type=Way), self._folder / name)


def reached(way: Way, path: Path) -> Outpost:
    return Outpost(path, way.address, way.fingerprint, way.secret)


@contextlib.contextmanager
def house(folder: Path, script: Any) -> Iterator[House]:
    with (
        ModelServer(script) as server,
        Ledger.open(
            folder / "ledger", keys=folder / "keys", witness=folder / "witness", clock=SystemClock(), views=VIEWS
        ) as ledger,
    ):
        provider = Provider(api="openai", address=server.url("openai"), key="env:KEY", prices=PRICES)
        settings = Settings(providers={"openai": provider})
        rule = BreakerRule(failures=1000)
        with Gateway(
            settings, ledger, SystemClock(), folder=folder / "gw", environment={"KEY": KEY}, rule=rule
        ) as gateway:
            yield House(gateway, ledger, server, folder)


def client_at(path: str | Path, token: str) -> httpx.Client:
    return httpx.Client(
        transport=httpx.HTTPTransport(uds=str(path), verify=False),
        base_url="http://gateway",
        headers={"authorization": f"Bearer {token}"},
        timeout=20,
    )


@contextlib.contextmanager
def unix_server(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Each connection goes to `serve`, in a thread of its own, and is closed afterwards."""
    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(20) as threads:
        listener.bind(str(path))
        listener.listen(64)

        def one(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                serve(client)

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threads.submit(one, client)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield str(path)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def echo(client: socket.socket) -> None:
    while more := client.recv(65_536):
        client.sendall(more)


@contextlib.contextmanager
def dialled(path: str | Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(20)
        end.connect(str(path))
        yield end


def everything(end: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):  # however it was closed, but not that it was not
        while more := end.recv(65_536):
            got += more
    return got


def stranger(address: str) -> socket.socket:
    host, port = host_and_port(address)
    return socket.create_connection((host, port), 20)


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


# -- what passes


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_worker_elsewhere_gets_its_answer_and_is_metered(tmp_path: Path, stream: bool) -> None:
    """Through portal, outpost and relay; the provider sees its key, and the node never does."""
    # shows: F8
    with house(tmp_path, Say("Hello there.")) as here:
        ticket = here.ticket()
        with here.outpost(ticket.token) as outpost, Portal(outpost.socket) as portal:
            for _ in range(2):
                headers = {"authorization": f"Bearer {ticket.token}"}
                with httpx.Client(verify=False, base_url=portal.url, headers=headers, timeout=20) as client:
                    answer = client.post(CHAT, json={**ASK, "stream": stream})
                    assert answer.status_code == 200
                    assert "there" in answer.text
                    assert KEY not in answer.text + str(answer.headers)
            assert outpost.problem is None
        spent = here.gateway.close_ticket(ticket.token)
        assert spent.usage.requests == len(here.calls()) == 2
        assert spent.usage.money_microusd > 0
        assert {one.key for one in here.server.requests} == {KEY}


def test_a_stream_from_elsewhere_is_cut_at_the_budget(tmp_path: Path) -> None:
    """In its middle, and the next request is refused before it costs anything: the wall stands beside the key."""
    # shows: N1
    with house(tmp_path, Say(LONG, usage="omitted")) as here:
        ticket = here.ticket(money_microusd=4_000)
        with here.outpost(ticket.token) as outpost, client_at(outpost.socket, ticket.token) as client:
            body = {"model": "m", "messages": ASK["messages"], "stream": True}
            with contextlib.suppress(httpx.HTTPError):
                assert client.post(CHAT, json=body).text.count("word") < 1_000
            assert client.post(CHAT, json=body).status_code == 402
        spent = here.gateway.close_ticket(ticket.token)
        assert [call.trouble for call in here.calls()] == ["cut", "budget"]
        assert (spent.trouble, spent.refused) == ("budget", 1)
        assert 4_000 < spent.usage.money_microusd < 5_500


def test_a_way_is_of_no_use_without_the_ticket_s_token(tmp_path: Path) -> None:
    """The secret opens the door of the house; what is asked needs the worker's own token, as it does here."""
    with house(tmp_path, Say("Hello.")) as here:
        ticket = here.ticket()
        way = here.gateway.way(ticket.token)
        with reached(way, tmp_path / "a") as outpost:
            for token in ("dbg-", "dbg-wrong", way.secret):
                with client_at(outpost.socket, token) as client:
                    assert client.post(CHAT, json=ASK).status_code == 401
        assert here.server.requests == []


def test_fifty_at_once_are_all_answered_and_counted(tmp_path: Path) -> None:
    """Each over a connection of its own."""
    with house(tmp_path, Say("Hello.")) as here:
        ticket = here.ticket()
        with here.outpost(ticket.token) as outpost, contextlib.ExitStack() as ends, ThreadPoolExecutor(50) as threads:
            waiting = threading.Barrier(50)
            head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {ticket.token}\r\n"
            body = json.dumps(ASK)
            asked = f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()

            def ask(_: int) -> bytes:
                with dialled(outpost.socket) as end:
                    waiting.wait(20)
                    end.sendall(asked)
                    return everything(end)

            answers = list(threads.map(ask, range(50)))
            ends.close()
        assert all(one.startswith(b"HTTP/1.1 200") and b"Hello." in one for one in answers)
        assert here.gateway.close_ticket(ticket.token).usage.requests == len(here.server.requests) == 50


@pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are made for Linux only so far")
def test_a_sandbox_reaches_the_gateway_by_the_outpost_s_socket(tmp_path: Path) -> None:
    """As the sandbox's own user and without network, though nobody else may use the socket."""
    work = tmp_path.resolve() / "work"
    work.mkdir()
    with house(tmp_path, Say("Hello.")) as here, here.outpost(here.ticket().token) as outpost:
        assert outpost.socket.stat().st_mode & 0o777 == 0o600
        try:
            box = prepare(Sandbox(writable=(work,), readable=(outpost.socket,), require="full"))
        except SandboxMissing as missing:
            pytest.skip(missing.message)
        ask = b"GET /openai/v1/models HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n"
        program = (
            f"import socket; s = socket.socket(1); s.connect({str(outpost.socket)!r}); s.sendall(b'''{ask.decode()}''')"
        )
        done = process.run(
            [sys.executable, "-I", "-S", "-c", f"{program}; print(s.recv(12))"],
            cwd=work,
            env=process.clean_environment(work),
            timeout_s=30,
            sandbox=box,
        )
        assert done.stdout.decode().strip() == "b'HTTP/1.1 401'", done.stderr.decode()


# -- what does not


def test_who_does_not_know_the_secret_gets_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Closed without a word, counted and told in the log; never with a secret in it."""
    reached_it = threading.Event()
    with unix_server(tmp_path / "gw", lambda _: reached_it.set()) as path, Relay() as here:
        way = here.open(path)
        wrong = msgspec.structs.replace(way, secret="ab" * 32)
        with pytest.raises(RelayRefuses, match="knows no such way") as told, reached(wrong, tmp_path / "a"):
            pass
        garbage = (b"GET / HTTP/1.1\r\n\r\n" * 9, HELLO + b"short", b"daybreak relay 2" + bytes.fromhex(way.secret))
        for hello in garbage:
            with trusting().wrap_socket(stranger(here.address)) as end:
                end.sendall(hello)
                if len(hello) < 48:
                    socket.socket.shutdown(end, socket.SHUT_WR)
                assert everything(end) == b""
        with stranger(here.address) as end:
            end.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert way.secret.encode() not in everything(end)
        assert here.refused == 5
        here.close(way)
        with pytest.raises(RelayRefuses), reached(way, tmp_path / "a"):
            pass
        assert here.refused == 6
    assert not reached_it.is_set()
    assert "proved nothing; 4 so far" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    for secret in (way.secret, wrong.secret):
        assert secret not in caplog.text + repr(way) + str(way) + str(told.value) + told.value.hint


def test_nothing_is_sent_to_another_certificate(tmp_path: Path) -> None:
    """Somebody in between has one of his own: he hears no byte, and the error says what he has."""
    heard: list[bytes] = []
    context, _ = certificate.make()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with Relay() as here, socket.create_server(("127.0.0.1", 0)) as listener:
        way = msgspec.structs.replace(here.open("/nowhere"), address=f"127.0.0.1:{listener.getsockname()[1]}")

        def pretend(how: ssl.SSLContext) -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError), how.wrap_socket(client, server_side=True) as end:
                heard.append(everything(end))

        for how, why in ((context, "it has sha256:"), (old, "no TLS 1.3")):
            thread = threading.Thread(target=pretend, args=(how,))
            thread.start()
            with pytest.raises(RelayForged, match=why), reached(way, tmp_path / "a"):
                pass
            thread.join()
    assert heard == [b""]


@pytest.mark.parametrize("years", [(2001, 2002), (2098, 2099)])
def test_a_node_whose_clock_is_wrong_is_no_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, years: tuple[int, int]
) -> None:
    """What is known by its fingerprint has no dates that matter: neither a long night nor a clock ends it."""
    for name, year in zip(("_FIRST", "_LAST"), years, strict=True):
        monkeypatch.setattr(certificate, name, datetime(year, 1, 1, tzinfo=UTC))
    with (
        unix_server(tmp_path / "gw", echo) as path,
        Relay() as here,
        reached(here.open(path), tmp_path / "a") as node,
        dialled(node.socket) as end,
    ):
        end.sendall(b"x")
        assert end.recv(1) == b"x"


def test_only_tls_1_3_is_spoken(tmp_path: Path) -> None:
    """An older client is not let in, whatever it knows."""
    with Relay() as here:
        context = trusting()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with stranger(here.address) as end, pytest.raises(ssl.SSLError):
            context.wrap_socket(end)


def test_the_key_is_never_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is opened while a relay starts lies in memory, and is closed again."""
    opened: list[str] = []
    loaded = ssl.SSLContext.load_cert_chain

    def load(self: ssl.SSLContext, path: str) -> None:
        opened.append(os.readlink(path))
        loaded(self, path)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
    before = set(os.listdir("/proc/self/fd"))
    first, second = certificate.make(), certificate.make()
    assert opened == ["/memfd:relay (deleted)"] * 2
    assert set(os.listdir("/proc/self/fd")) == before
    assert first[1] != second[1]


def test_a_way_leads_to_its_own_socket_alone(tmp_path: Path) -> None:
    """Two attempts: each hears its own, and the end of one is nothing to the other."""
    with (
        unix_server(tmp_path / "one", lambda end: end.sendall(b"one")) as one,
        unix_server(tmp_path / "two", echo) as two,
        Relay() as here,
    ):
        first, second = here.open(one), here.open(two)
        with reached(first, tmp_path / "a") as near, reached(second, tmp_path / "b") as far:
            with dialled(far.socket) as kept:
                kept.sendall(b"x")
                assert kept.recv(1) == b"x"
                with dialled(near.socket) as end:
                    assert everything(end) == b"one"
                here.close(first)
                here.close(first)
                with dialled(near.socket) as end:
                    assert everything(end) == b""
                kept.sendall(b"y")
                assert kept.recv(1) == b"y"
            assert isinstance(near.problem, RelayRefuses)
            assert far.problem is None


# -- ends


def test_closing_the_ticket_ends_its_connections_at_once(tmp_path: Path) -> None:
    """In the middle of an answer, though the provider goes on; the sums are final, and nobody comes back."""
    with house(tmp_path, Stalled(after=2)) as here:
        ticket, other = here.ticket(), here.ticket()
        with here.outpost(ticket.token) as outpost, here.outpost(other.token, "other.sock") as beside:
            with client_at(outpost.socket, ticket.token) as client, dialled(beside.socket) as kept:
                with client.stream("POST", CHAT, json={**ASK, "stream": True}) as answer:
                    pieces = answer.iter_raw()
                    next(pieces)
                    spent = here.gateway.close_ticket(ticket.token)
                    with contextlib.suppress(httpx.HTTPError):
                        list(pieces)
                assert spent.usage.requests == 1
                with pytest.raises(httpx.TransportError):
                    client.post(CHAT, json=ASK)
                kept.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert kept.recv(8) == b"HTTP/1.1"
            with pytest.raises(TicketUnknown):
                here.gateway.way(ticket.token)


def test_a_node_that_goes_ends_its_requests(tmp_path: Path) -> None:
    """Nobody waits for the provider any more, and what it said until then is paid, while the ticket is still open."""
    # shows: N14
    with house(tmp_path, Stalled(after=2)) as here:
        ticket = here.ticket()
        with contextlib.ExitStack() as node:
            outpost = node.enter_context(here.outpost(ticket.token))
            client = node.enter_context(client_at(outpost.socket, ticket.token))
            with client.stream("POST", CHAT, json={**ASK, "stream": True}) as answer:
                next(answer.iter_raw())
                node.close()
            here.server.requests[0].wait()
            assert here.server.requests[0].outcome == "client left"
        spent = here.gateway.close_ticket(ticket.token)
        assert spent.usage.requests == len(here.calls()) == 1
        assert spent.usage.money_microusd > 0


def test_a_node_that_comes_back_late_spends_nothing(tmp_path: Path) -> None:
    """An attempt that is given to another node has a new way, and the old one is closed with all that is on it."""
    # shows: N14
    with house(tmp_path, Say("Hello.")) as here:
        ticket = here.ticket()
        with here.outpost(ticket.token, "old.sock") as old, client_at(old.socket, ticket.token) as late:
            assert late.post(CHAT, json=ASK).status_code == 200
            with here.outpost(ticket.token) as new, client_at(new.socket, ticket.token) as client:
                with pytest.raises(httpx.TransportError):
                    late.post(CHAT, json=ASK)
                assert client.post(CHAT, json=ASK).status_code == 200
        assert here.gateway.close_ticket(ticket.token).usage.requests == len(here.server.requests) == 2


def test_the_end_of_the_gateway_is_the_end_of_all_ways(tmp_path: Path) -> None:
    """Its threads are gone, its port is free, and there is no other way."""
    with contextlib.ExitStack() as later:
        with house(tmp_path, Say("Hello.")) as here:
            way = here.gateway.way(here.ticket().token)
            outpost = later.enter_context(reached(way, tmp_path / "a"))
            end = later.enter_context(dialled(outpost.socket))
            end.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert end.recv(8) == b"HTTP/1.1"
        everything(end)
        with dialled(outpost.socket) as again:
            assert everything(again) == b""
        assert isinstance(outpost.problem, RelayUnreachable)
        with pytest.raises(OSError):
            stranger(way.address)
        with pytest.raises(GatewayBroken):
            here.gateway.way("dbg-any")
    assert not [thread.name for thread in threading.enumerate() if "relay" in thread.name or "outpost" in thread.name]


COORDINATOR = """
import pathlib, sys, threading
import msgspec
from tests.unit.test_gateway_relay import Stalled, house
with house(pathlib.Path(sys.argv[1]), Stalled(after=2)) as here:
    here.account("night")
    ticket = here.ticket(account="night")
    print(msgspec.json.encode([ticket.token, here.gateway.way(ticket.token)]).decode(), flush=True)
    threading.Event().wait()
"""


def test_a_killed_coordinator_is_noticed_at_once(tmp_path: Path) -> None:
    """In the middle of an answer: the worker's connection ends, and the next one is refused; nothing hangs. What was
    set aside for the answer counts as spent."""
    # shows: N1
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", COORDINATOR, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'src'}", "PATH": os.environ["PATH"]},
    ) as coordinator:
        try:
            assert coordinator.stdout is not None
            token, way = msgspec.json.decode(coordinator.stdout.readline(), type=tuple[str, Way])
            with reached(way, tmp_path / "a") as outpost, client_at(outpost.socket, token) as client:
                with client.stream("POST", CHAT, json={**ASK, "stream": True}) as answer:
                    pieces = answer.iter_raw()
                    next(pieces)
                    began = time.monotonic()
                    coordinator.send_signal(signal.SIGKILL)
                    with pytest.raises(httpx.TransportError):
                        list(pieces)
                with pytest.raises(httpx.TransportError):
                    client.post(CHAT, json=ASK)
                assert time.monotonic() - began < 5
                assert isinstance(outpost.problem, RelayUnreachable)
        finally:
            coordinator.kill()
    with house(tmp_path, Say("Hello.")) as here:
        assert here.gateway.recover("run-1") == 1
        assert Accounts(here.ledger).used("night").money_microusd >= ASK["max_tokens"] * 15


# -- bytes


def test_what_is_large_is_not_kept_in_memory(tmp_path: Path) -> None:
    """A reader that waits makes the sender wait; 100 MB arrive as they were sent."""
    count, block = 1_600, os.urandom(65_536)
    stopped, sent = threading.Event(), [0]

    def pour(end: socket.socket) -> None:
        end.settimeout(0.5)
        left = memoryview(block * 4)[:0]
        rest = count
        while rest or left:
            if not left:
                left, rest = memoryview(block), rest - 1
            try:
                done = end.send(left)
            except TimeoutError:
                stopped.set()
                continue
            left, sent[0] = left[done:], sent[0] + done

    with unix_server(tmp_path / "gw", pour) as path, Relay() as here, reached(here.open(path), tmp_path / "a") as node:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with dialled(node.socket) as end:
            assert stopped.wait(20)
            assert sent[0] < 16_000_000  # in the kernel's buffers, most of it
            buffer, seen, total = bytearray(1 << 20), hashlib.sha256(), 0
            while got := end.recv_into(buffer):
                seen.update(memoryview(buffer)[:got])
                total += got
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert total == count * len(block)
    assert seen.digest() == hashlib.sha256(block * count).digest()
    assert grown < 30_000_000


def test_one_direction_may_end_before_the_other(tmp_path: Path) -> None:
    """Who has said everything still hears the answer; who answers early is heard, though nobody reads the rest."""
    said: list[bytes] = []

    def listen_first(end: socket.socket) -> None:
        said.append(everything(end))
        end.sendall(b"thanks")

    def answer_first(end: socket.socket) -> None:
        end.recv(10)
        end.sendall(b"too long")

    with unix_server(tmp_path / "1", listen_first) as one, unix_server(tmp_path / "2", answer_first) as two:
        with Relay() as here, reached(here.open(one), tmp_path / "a") as near, dialled(near.socket) as end:
            end.sendall(b"x" * 300_000)
            end.shutdown(socket.SHUT_WR)
            assert everything(end) == b"thanks"
        with Relay() as here, reached(here.open(two), tmp_path / "a") as near, dialled(near.socket) as end:
            got = b""
            with contextlib.suppress(BrokenPipeError):
                for _ in range(100):
                    end.sendall(b"x" * 100_000)
            got = everything(end)
            assert got == b"too long"
            assert near.problem is None
    assert [len(one) for one in said if one] == [300_000]


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 3_000_000])
def test_both_directions_move_at_once(tmp_path: Path, size: int) -> None:
    """More than all buffers hold goes and comes back at the same time, in pieces of all sizes; nobody hangs."""
    sent = os.urandom(size)
    with (
        unix_server(tmp_path / "gw", echo) as path,
        Relay() as here,
        reached(here.open(path), tmp_path / "a") as node,
        dialled(node.socket) as end,
        ThreadPoolExecutor(1) as threads,
    ):
        came = threads.submit(everything, end)
        left, pieces = memoryview(sent), itertools.cycle((1, 3, 4, 5, 16_384, 65_536, 200_000))
        while left:
            piece = next(pieces)
            end.sendall(left[:piece])
            left = left[piece:]
        end.shutdown(socket.SHUT_WR)
        assert came.result(20) == sent


def test_who_pours_to_a_worker_that_is_gone_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it does not look at whether anybody hears it."""
    monkeypatch.setattr(carrying, "_LINGER_S", 0.1)
    stopped = threading.Event()

    def pour(end: socket.socket) -> None:
        try:
            while True:
                end.sendall(bytes(65_536))
        except OSError:
            stopped.set()

    with unix_server(tmp_path / "gw", pour) as path, Relay() as here, reached(here.open(path), tmp_path / "a") as node:
        with dialled(node.socket) as end:
            assert end.recv(1) == b"\0"
        assert stopped.wait(20)


def test_a_connection_that_breaks_is_told_from_one_that_ended(tmp_path: Path) -> None:
    """Frames that are none, and an end before the end: the gateway's side is closed, and nothing goes through."""
    got: list[bytes] = []
    over = threading.Semaphore(0)

    def keep(end: socket.socket) -> None:
        got.append(everything(end))
        over.release()

    with unix_server(tmp_path / "gw", keep) as path, Relay() as here:
        way = here.open(path)
        for wild in (b"\xff\xff\xff\xff" + b"x" * 100, b"\0\0\0\x05abc", b"\0\0"):
            with trusting().wrap_socket(stranger(here.address)) as end:
                end.sendall(HELLO + bytes.fromhex(way.secret))
                assert end.recv(1) == OPEN
                end.sendall(wild)
                socket.socket.shutdown(end, socket.SHUT_WR)
                assert everything(end) == b""
            assert over.acquire(timeout=20)
    assert got == [b"", b"abc", b""]


@contextlib.contextmanager
def proved(way: Way) -> Iterator[ssl.SSLSocket]:
    """A connection that was let in, of a node that does as it likes from here on."""
    with trusting().wrap_socket(stranger(way.address)) as end:
        end.sendall(HELLO + bytes.fromhex(way.secret))
        assert end.recv(1) == OPEN
        yield end


def test_who_does_not_read_for_long_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that thinks is not a machine that is gone: much longer than that is waited for, nothing is lost."""
    monkeypatch.setattr(carrying, "_DEAD_S", 0.3)
    monkeypatch.setattr(carrying, "_LOOK_S", 0.05)
    heard: list[int] = []

    def think(end: socket.socket) -> None:
        if not end.recv(1, socket.MSG_PEEK):
            return
        threading.Event().wait(2.0)
        heard.append(len(everything(end)))
        end.sendall(b"heard")

    with (
        unix_server(tmp_path / "gw", think) as path,
        Relay() as here,
        reached(here.open(path), tmp_path / "a") as node,
        dialled(node.socket) as end,
    ):
        end.sendall(bytes(20_000_000))
        end.shutdown(socket.SHUT_WR)
        assert everything(end) == b"heard"
        assert node.problem is None
    assert heard == [20_000_000]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells so on Linux only")
def test_a_machine_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With bytes on their way to it: its kernel answers nothing any more, long before TCP would give up."""
    monkeypatch.setattr(carrying, "_DEAD_S", 0.3)
    monkeypatch.setattr(carrying, "_LOOK_S", 0.05)
    over = threading.Event()

    def tell(end: socket.socket) -> None:
        end.recv(1)
        end.sendall(b"are you there?")
        assert everything(end) == b""
        over.set()

    nothing = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # "drop it", for each packet
    with unix_server(tmp_path / "gw", tell) as path, Relay() as here, proved(here.open(path)) as node:
        node.sendall(b"\0\0\0\1x")
        node.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", 1, ctypes.addressof(nothing)))  # SO_ATTACH_FILTER
        assert over.wait(20)


def test_a_worker_that_stays_when_the_gateway_left_is_put_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the gateway closed, as it does with idle ones, takes no place of the relay's any more."""
    monkeypatch.setattr(carrying, "_LINGER_S", 0.1)
    with (
        unix_server(tmp_path / "gw", lambda end: end.sendall(end.recv(1))) as path,
        Relay() as here,
        reached(here.open(path), tmp_path / "a") as node,
        dialled(node.socket) as end,
    ):
        end.sendall(b"x")
        assert everything(end) == b"x"
        poller = select.poll()
        poller.register(end, 0)
        assert poller.poll(20_000) == [(end.fileno(), select.POLLHUP)]
        assert here._joined == 0


# -- limits


def test_greedy_attempts_do_not_keep_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all places are taken, who has the most gives up one to who has fewer, and gets none himself."""
    monkeypatch.setattr(relay, "ALL_MAX", 4)
    with (
        unix_server(tmp_path / "gw", echo) as path,
        Relay() as here,
        contextlib.ExitStack() as ends,
        reached(here.open(path), tmp_path / "a") as modest,
    ):
        greedy = here.open(path)
        taken = [ends.enter_context(proved(greedy)) for _ in range(4)]
        with dialled(modest.socket) as end:
            end.sendall(b"x")
            assert end.recv(1) == b"x"
            assert everything(taken[0]) == b""
            with trusting().wrap_socket(stranger(greedy.address)) as more:
                more.sendall(HELLO + bytes.fromhex(greedy.secret))
                assert everything(more) == FULL
            for one in taken[1:]:
                one.sendall(b"\0\0\0\1y")
                assert carrying.receive(one, 5) == b"\0\0\0\1y"
        assert modest.problem is None


def test_the_relay_leaves_descriptors_to_the_coordinator() -> None:
    """With what a process has by default it takes half of them, and no fewer than one place."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for allowed, places in ((1_024, 170), (600, 100), (min(hard, 20_000), 800)):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            assert Relay()._all_max == places
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of Python's own, reset while wrapped
def test_who_knocks_and_runs_away_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither a thread nor a descriptor, and whoever comes after is let in."""
    before = set(os.listdir("/proc/self/fd")), set(threading.enumerate())
    with unix_server(tmp_path / "gw", echo) as path, Relay() as here:
        for _ in range(300):
            with stranger(here.address) as end:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with reached(here.open(path), tmp_path / "a") as node, dialled(node.socket) as end:
            end.sendall(b"x")
            assert end.recv(1) == b"x"
    assert (set(os.listdir("/proc/self/fd")), set(threading.enumerate())) == before


def test_too_many_connections_of_one_attempt_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another attempt is not kept out by them; one that ends makes room."""
    monkeypatch.setattr(relay, "CONNECTIONS_MAX", 2)
    with unix_server(tmp_path / "gw", echo) as path, Relay() as here:
        way = here.open(path)
        with (
            reached(way, tmp_path / "a") as node,
            reached(here.open(path), tmp_path / "b") as other,
            dialled(node.socket) as one,
            dialled(node.socket) as two,
        ):
            for end in (one, two):
                end.sendall(b"x")
                assert end.recv(1) == b"x"
            with dialled(node.socket) as three:
                assert everything(three) == b""
            assert "too many connections" in str(node.problem)
            with dialled(other.socket) as four:
                four.sendall(b"x")
                assert four.recv(1) == b"x"


def test_strangers_keep_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that say nothing, or begin and go no further: the oldest makes room, and none has long."""
    monkeypatch.setattr(relay, "STRANGERS_MAX", 3)
    monkeypatch.setattr(relay, "STRANGER_S", 0.1)
    with unix_server(tmp_path / "gw", echo) as path, Relay() as here, contextlib.ExitStack() as ends:
        idle = [ends.enter_context(stranger(here.address)) for _ in range(4)]
        assert everything(idle[0]) == b""
        with reached(here.open(path), tmp_path / "a") as node, dialled(node.socket) as end:
            end.sendall(b"x")
            assert end.recv(1) == b"x"
    monkeypatch.setattr(relay, "HELLO_S", 0.2)
    with Relay() as here, stranger(here.address) as mute, trusting().wrap_socket(stranger(here.address)) as shy:
        assert everything(mute) == b""
        shy.sendall(HELLO)
        assert everything(shy) == b""


def test_many_who_come_at_once_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is closed for being one of many."""
    monkeypatch.setattr(relay, "STRANGERS_MAX", 2)
    monkeypatch.setattr(relay, "STRANGER_S", 20.0)
    with (
        unix_server(tmp_path / "gw", echo) as path,
        Relay() as here,
        reached(here.open(path), tmp_path / "a") as node,
        ThreadPoolExecutor(20) as threads,
    ):

        def ask(number: int) -> bytes:
            with dialled(node.socket) as end:
                end.sendall(b"%d" % number)
                end.shutdown(socket.SHUT_WR)
                return everything(end)

        assert list(threads.map(ask, range(20))) == [b"%d" % number for number in range(20)]
        assert (here.refused, node.problem) == (0, None)


def test_what_moves_nothing_is_ended(tmp_path: Path) -> None:
    """After the time that the relay is given."""
    with (
        unix_server(tmp_path / "gw", echo) as path,
        Relay(idle_s=0.2) as here,
        reached(here.open(path), tmp_path / "a") as node,
        dialled(node.socket) as end,
    ):
        end.sendall(b"x")
        assert end.recv(1) == b"x"
        assert everything(end) == b""


def test_a_gateway_that_is_busy_is_waited_for(tmp_path: Path) -> None:
    """More connections than its socket keeps waiting: that is not a gateway that is gone."""
    with socket.socket(socket.AF_UNIX) as listener, Relay() as here, contextlib.ExitStack() as ends:
        listener.bind(str(tmp_path / "gw"))
        listener.listen(0)
        ends.enter_context(dialled(tmp_path / "gw"))
        way = here.open(str(tmp_path / "gw"))
        with trusting().wrap_socket(stranger(here.address)) as end:
            end.sendall(HELLO + bytes.fromhex(way.secret))
            end.settimeout(0.2)
            with pytest.raises(TimeoutError):
                end.recv(1)
            end.settimeout(20)
            for _ in range(2):
                ends.enter_context(listener.accept()[0])
            assert end.recv(1) == OPEN


def test_a_portal_waits_for_a_gateway_that_is_busy(tmp_path: Path) -> None:
    """As the relay does: a worker's request is not thrown away because many came at once."""
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as ends:
        listener.bind(str(tmp_path / "gw"))
        listener.listen(0)
        ends.enter_context(dialled(tmp_path / "gw"))
        with Portal(tmp_path / "gw") as portal, stranger(portal.url.removeprefix("http://")) as end:
            end.sendall(b"x")
            end.settimeout(0.2)
            with pytest.raises(TimeoutError):
                end.recv(1)
            end.settimeout(20)
            ends.enter_context(listener.accept()[0])
            came = ends.enter_context(listener.accept()[0])
            came.settimeout(20)
            came.sendall(came.recv(1))
            assert end.recv(1) == b"x"


def test_a_portal_outlives_a_worker_that_has_used_up_its_descriptors(tmp_path: Path) -> None:
    """Its process is the worker's own: when some are free again, the port answers again."""
    program = (
        "import resource, sys; from daybreak.agents.gateway.portal import Portal\n"
        "kept = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        f"with Portal({str(tmp_path / 'gw')!r}) as portal:\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (0, kept[1])); print(portal.url, flush=True)\n"
        "    sys.stdin.readline(); resource.setrlimit(resource.RLIMIT_NOFILE, kept); sys.stdin.readline()\n"
    )
    with (
        unix_server(tmp_path / "gw", echo),
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as worker,
    ):
        assert worker.stdin is not None
        assert worker.stdout is not None
        port = worker.stdout.readline().strip().removeprefix("http://")
        with stranger(port), stranger(port) as end:  # whoever waits in `accept` has a descriptor for the first
            end.sendall(b"x")
            end.settimeout(0.3)
            with pytest.raises(TimeoutError):
                end.recv(1)
            worker.stdin.write("\n")
            end.settimeout(20)
            assert end.recv(1) == b"x"
        worker.stdin.close()


def test_a_gateway_that_is_gone_is_told(tmp_path: Path) -> None:
    """The relay is there and its gateway is not."""
    with Relay() as here, pytest.raises(RelayRefuses, match="its gateway is over"):
        reached(here.open(str(tmp_path / "nobody")), tmp_path / "a").__enter__()


# -- places


@pytest.mark.parametrize(
    ("listen", "advertise"),
    [
        ("nonsense", ""),
        ("127.0.0.1", ""),
        ("127.0.0.1:99999", ""),
        ("::1:80", ""),
        (":80", ""),
        ("203.0.113.1:0", ""),
        ("0.0.0.0:0", ""),
        ("127.0.0.1:0", "user@host:1"),
        ("127.0.0.1:0", "two words"),
        ("127.0.0.1:0", "host:port"),
    ],
)
def test_addresses_that_cannot_be_are_told(listen: str, advertise: str) -> None:
    """By the name of the setting, before anything listens."""
    with pytest.raises(RelayBroken) as told, Relay(listen=listen, advertise=advertise):
        pass
    assert "[dispatch]" in told.value.hint


@pytest.mark.parametrize(
    ("listen", "advertise", "shown"),
    [
        ("127.0.0.1:0", "", "127.0.0.1:{port}"),
        ("0.0.0.0:0", "night.example", "night.example:{port}"),
        ("127.0.0.1:0", "night.example:7001", "night.example:7001"),
        ("127.0.0.1:0", "[::1]", "[::1]:{port}"),
        ("127.0.0.1:0", "[::1]:5", "[::1]:5"),
    ],
)
def test_nodes_are_told_where_to_come(listen: str, advertise: str, shown: str) -> None:
    """The address in the way is the advertised one, with the port that was found free."""
    with Relay(listen=listen, advertise=advertise) as here:
        port = here._listener.getsockname()[1]
        assert here.open("/x").address == shown.format(port=port)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6 and IPv4 beside each other")
def test_all_addresses_are_all(tmp_path: Path) -> None:
    """`[::]` is reached by IPv4 too."""
    with unix_server(tmp_path / "gw", echo) as path:
        for advertise in ("127.0.0.1", "[::1]"):
            with (
                Relay(listen="[::]:0", advertise=advertise) as here,
                reached(here.open(path), tmp_path / "a") as node,
                dialled(node.socket) as end,
            ):
                end.sendall(b"x")
                assert end.recv(1) == b"x"


def test_a_process_has_one_relay(tmp_path: Path) -> None:
    """A second attempt uses the first one's; other addresses are refused."""
    with house(tmp_path, Say("Hello.")) as here:
        ticket, other = here.ticket(), here.ticket()
        ways = [here.gateway.way(one.token) for one in (ticket, other, ticket)]
        assert len({way.address for way in ways}) == len({way.fingerprint for way in ways}) == 1
        assert len({way.secret for way in ways}) == 3
        with pytest.raises(RelayBroken, match="already"):
            here.gateway.way(ticket.token, listen="127.0.0.1:1")
        with pytest.raises(TicketUnknown):
            here.gateway.way("dbg-unknown")


def test_an_outpost_finds_a_place_for_its_socket(tmp_path: Path) -> None:
    """A path that is too long, and one where a dead outpost's socket lies; a file of somebody else's is left alone."""
    long, dead, file = tmp_path / ("x" * 120), tmp_path / "dead.sock", tmp_path / "file"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(dead))
    file.write_text("mine")
    with unix_server(tmp_path / "gw", echo) as path, Relay() as here:
        way = here.open(path)
        with reached(way, long) as node:
            assert node.socket != long
            assert node.socket.is_socket()
        assert not node.socket.parent.exists()
        with reached(way, dead) as node, dialled(dead) as end:
            end.sendall(b"x")
            assert end.recv(1) == b"x"
            with pytest.raises(OutpostBroken, match="in use"):
                reached(way, dead).__enter__()
        assert not dead.exists()
        for place in (file, tmp_path / "no" / "folder"):
            with pytest.raises(OutpostBroken):
                reached(way, place).__enter__()
    assert file.read_text() == "mine"


def test_whoever_hangs_up_at_any_moment_is_told_by_name(tmp_path: Path) -> None:
    """Reset before, in or after the handshake; a name that no host can have. Never an error of the system's."""
    context, fingerprint = certificate.make()
    way = Way(address="", fingerprint=fingerprint, secret="cd" * 32)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset(after: int) -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError), contextlib.ExitStack() as own:
                if after:
                    client = own.enter_context(context.wrap_socket(client, server_side=True))
                    carrying.receive(client, after)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        there = msgspec.structs.replace(way, address=f"127.0.0.1:{listener.getsockname()[1]}")
        for after in (0,) * 20 + (1, 48):
            thread = threading.Thread(target=reset, args=(after,))
            thread.start()
            with pytest.raises(WorkerError) as told, reached(there, tmp_path / "a"):
                pass
            thread.join()
            assert isinstance(told.value, RelayRefuses if after else RelayUnreachable)
    with pytest.raises(RelayUnreachable):
        reached(msgspec.structs.replace(way, address="a" * 70 + ":1"), tmp_path / "a").__enter__()


def test_its_own_end_is_no_problem(tmp_path: Path) -> None:
    """An outpost that is closed while a worker is connected has nothing to tell."""
    with contextlib.ExitStack() as ends:
        path = ends.enter_context(unix_server(tmp_path / "gw", echo))
        here = ends.enter_context(Relay())
        with reached(here.open(path), tmp_path / "a") as node:
            end = ends.enter_context(dialled(node.socket))
            end.sendall(b"x")
            assert end.recv(1) == b"x"
        assert everything(end) == b""
        assert node.problem is None


@pytest.mark.parametrize("part", ["address", "fingerprint", "secret"])
def test_a_way_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path, part: str) -> None:
    """Cut, empty or of another kind; and what it was is not said."""
    for value in ("", "zz" * 32, "ab" * 31, "host"):
        right = {"address": "127.0.0.1:1", "fingerprint": "sha256:" + "ab" * 32, "secret": "cd" * 32}
        with pytest.raises(OutpostBroken) as told:
            Outpost(tmp_path / "a", **(right | {part: value}))
        assert "cdcd" not in str(told.value)
    with pytest.raises(RelayUnreachable):
        Outpost(tmp_path / "a", **right | {part: right[part]}).__enter__()
