"""Real clients reach scripted models through portal and gateway; what they may spend is a wall."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import httpx
import openai
import pytest
from google import genai

from daybreak import events, settings
from daybreak.agents import protocol
from daybreak.agents.gateway import (
    Gateway,
    GatewayBroken,
    KeyAbsent,
    Portal,
    Spent,
    TicketRefused,
    TicketUnknown,
    reserving,
    wire,
)
from daybreak.agents.gateway.dialects import dialect
from daybreak.clock import SystemClock
from daybreak.engine import VIEWS
from daybreak.host import process
from daybreak.host.sandbox import Sandbox, SandboxMissing, prepare
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.record import Record
from daybreak.policy.accounts import Accounts
from daybreak.policy.breaker import BreakerRule
from daybreak.policy.budget import Amounts, BudgetMisused, Limit
from daybreak.policy.circuits import LedgerCircuits
from daybreak.settings import Price, Provider, Settings, SettingsWrong
from daybreak.testing.clock import FakeClock
from daybreak.testing.modelserver import (
    Broken,
    Call,
    ContextTooLong,
    Dropped,
    Html,
    ModelServer,
    NoCredit,
    Overloaded,
    Pace,
    RateLimited,
    Refuse,
    Say,
    Slow,
    Stalled,
    Truncated,
    Unauthorized,
    Usage,
)

KEY = "sk-the-real-key-0123456789abcdef"
ASK = [{"role": "user", "content": "Say hello."}]
LONG = "word " * 4_000
PRICES = {"*": Price(input=3, cached=0.3, output=15), "free": Price(input=0, output=0)}
PATIENT = BreakerRule(failures=1000)


class House:
    """A ledger, a gateway, and the providers `openai`, `anthropic` and `gemini` of a scripted server."""

    def __init__(self, gateway: Gateway, ledger: Ledger, server: ModelServer) -> None:
        self.gateway, self.ledger, self.server = gateway, ledger, server

    def calls(self) -> list[events.ModelCalled]:
        found = (record.event for record in self.ledger.read(events.POLICY))
        return [one for one in found if isinstance(one, events.ModelCalled)]

    def account(self, name: str, **most: int) -> Accounts:
        accounts = Accounts(self.ledger)
        opened = accounts.open(name, Limit(**most))
        assert opened is not None
        self.ledger.append([Draft(events.POLICY, opened)])
        return accounts

    def ticket(self, provider: str, model: str = "scripted", **more: Any) -> protocol.Gateway:
        return self.gateway.ticket("run-1", 1, provider=provider, model=model, **more)


def providers(server_url: Callable[[str], str], **more: Any) -> dict[str, Provider]:
    return {
        "openai": Provider(api="openai", address=server_url("openai"), key="env:KEY", prices=PRICES, **more),
        "anthropic": Provider(
            api="anthropic", address=f"{server_url('anthropic')}/v1", key="env:KEY", prices=PRICES, **more
        ),
        "gemini": Provider(
            api="gemini", address=f"{server_url('gemini')}/v1beta", key="env:KEY", prices=PRICES, **more
        ),
    }


@contextlib.contextmanager
def ledger_at(folder: Path) -> Iterator[Ledger]:
    with Ledger.open(
        folder / "ledger", keys=folder / "keys", witness=folder / "witness", clock=SystemClock(), views=VIEWS
    ) as ledger:
        yield ledger


@contextlib.contextmanager
def house(tmp_path: Path, script: Any = None, **more: Any) -> Iterator[House]:
    options = {"rule": PATIENT, **{name: more.pop(name) for name in ("rule", "silence_s", "clock") if name in more}}
    clock = options.pop("clock", None) or SystemClock()
    with ModelServer(script if script is not None else Say("Hello."), **more) as server, ledger_at(tmp_path) as ledger:
        settings = Settings(providers=providers(server.url))
        with Gateway(settings, ledger, clock, folder=tmp_path / "gw", environment={"KEY": KEY}, **options) as gateway:
            yield House(gateway, ledger, server)


# -- one way of asking for each API


def open_ai(url: str, token: str, **more: Any) -> openai.OpenAI:
    """Without TLS, which takes a client longer to get ready than all the rest of a test."""
    web = openai.DefaultHttpxClient(verify=False)
    return openai.OpenAI(base_url=f"{url}/openai/v1", api_key=token, http_client=web, **{"max_retries": 0, **more})


def open_anthropic(url: str, token: str, **more: Any) -> anthropic.Anthropic:
    web = anthropic.DefaultHttpxClient(verify=False)
    return anthropic.Anthropic(
        base_url=f"{url}/anthropic", api_key=token, http_client=web, **{"max_retries": 0, **more}
    )


def open_gemini(url: str, token: str) -> genai.Client:
    plain = {"verify": False}
    return genai.Client(
        api_key=token,
        http_options={"base_url": f"{url}/gemini", "client_args": plain, "async_client_args": plain},
    )


def ask_chat(client: openai.OpenAI, model: str, stream: bool) -> str:
    if not stream:
        return client.chat.completions.create(model=model, messages=ASK).choices[0].message.content or ""  # type: ignore[arg-type]
    chunks = client.chat.completions.create(model=model, messages=ASK, stream=True)  # type: ignore[arg-type]
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def ask_responses(client: openai.OpenAI, model: str, stream: bool) -> str:
    if not stream:
        return client.responses.create(model=model, input="Say hello.").output_text
    told = client.responses.create(model=model, input="Say hello.", stream=True)
    return "".join(event.delta for event in told if event.type == "response.output_text.delta")


def ask_messages(client: anthropic.Anthropic, model: str, stream: bool) -> str:
    if not stream:
        told = client.messages.create(model=model, max_tokens=5_000, messages=ASK)  # type: ignore[arg-type]
        return "".join(block.text for block in told.content if block.type == "text")
    with client.messages.stream(model=model, max_tokens=5_000, messages=ASK) as pieces:  # type: ignore[arg-type]
        return "".join(pieces.text_stream)


def ask_gemini(client: genai.Client, model: str, stream: bool) -> str:
    if not stream:
        return client.models.generate_content(model=model, contents="Say hello.").text or ""
    return "".join(chunk.text or "" for chunk in client.models.generate_content_stream(model=model, contents="hi"))


class Way(NamedTuple):
    """A provider, its client, and how that asks."""

    provider: str
    open: Callable[..., Any]
    ask: Callable[[Any, str, bool], str]


WAYS = {
    "chat": Way("openai", open_ai, ask_chat),
    "responses": Way("openai", open_ai, ask_responses),
    "messages": Way("anthropic", open_anthropic, ask_messages),
    "generate": Way("gemini", open_gemini, ask_gemini),
}
each_api = pytest.mark.parametrize("api", WAYS)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@contextlib.contextmanager
def client_of(ticket: protocol.Gateway, way: Way, **more: Any) -> Iterator[Any]:
    """The API's client, behind a portal."""
    with Portal(ticket.socket) as portal, way.open(portal.url, ticket.token, **more) as client:
        yield client


def raised(do: Callable[..., Any], *args: Any) -> Exception | None:
    """Whatever a client raises."""
    try:
        do(*args)
    except Exception as error:  # noqa: BLE001 - each client has its own, and some of other libraries
        return error
    return None


# -- what passes


@each_api
def test_real_clients_get_their_answers_and_are_metered(tmp_path: Path, api: str) -> None:
    """Whole and streamed: the words arrive, the model is the ticket's, the key is ours, and every token is counted."""
    # shows: F8
    way = WAYS[api]
    usage = Usage(input_tokens=1_000, cached_tokens=400, output_tokens=50)
    with house(tmp_path, [Say("Hello there.", usage=usage)]) as here:
        ticket = here.ticket(way.provider, "the-right-one")
        with client_of(ticket, way) as client:
            assert way.ask(client, "another-model", False) == "Hello there."
            assert way.ask(client, "another-model", True) == "Hello there."
        spent = here.gateway.close_ticket(ticket.token)
        money = 2 * (600 * 3 + 400 * 0.3 + 50 * 15)
        assert spent == Spent(
            usage=protocol.Usage(
                requests=2, input_tokens=2_000, cached_tokens=800, output_tokens=100, money_microusd=round(money)
            )
        )
        assert {(one.key, one.model) for one in here.server.requests} == {(KEY, "the-right-one")}
        assert all(ticket.token not in str(one.headers) + one.path for one in here.server.requests)
        calls = here.calls()
        assert [(call.status, call.counted, call.model, call.trouble) for call in calls] == [
            (200, "told", "the-right-one", "")
        ] * 2
        assert sum(call.money_microusd for call in calls) == spent.usage.money_microusd


@each_api
def test_what_nobody_tells_is_estimated(tmp_path: Path, api: str) -> None:
    """A server without usage is counted by the characters, and the ledger says so."""
    way = WAYS[api]
    with house(tmp_path, [Say("x" * 400, usage="omitted")]) as here:
        ticket = here.ticket(way.provider)
        with client_of(ticket, way) as client:
            for stream in (False, True):
                assert len(way.ask(client, "m", stream)) == 400
        spent = here.gateway.close_ticket(ticket.token)
        assert spent.estimated == 2
        assert {call.counted for call in here.calls()} == {"estimated"}
        assert 200 <= spent.usage.output_tokens < 800
        assert spent.usage.input_tokens > 0


def test_bodies_pass_as_they_are(tmp_path: Path) -> None:
    """Fields that nobody here knows, numbers and letters arrive unchanged; only the model is another one."""
    messages = '[{"role":"user","content":"\\u00e4 \\ud83d\\ude00"}]'
    body = f'{{"messages": {messages}, "odd": 1e400, "big": 123456789012345678901, "model":"x"}}'
    with house(tmp_path) as here:
        ticket = here.ticket("openai", "right")
        with raw_client(ticket) as client:
            answer = client.post("/openai/v1/chat/completions", content=body)
        direct = httpx.post(
            here.server.url("openai") + "/chat/completions", verify=False, content=body.replace('"x"', '"right"')
        )
        assert answer.json().keys() == direct.json().keys()
        through, straight = (one.body for one in here.server.requests)
        assert through == straight
        assert through["big"] == 123456789012345678901


def test_the_first_of_two_models_counts_for_nobody(tmp_path: Path) -> None:
    """A name that stands twice cannot show one model to us and another one to the provider."""
    body = '{"model": "dear", "messages": [], "model": "cheap"}'
    with raw_provider() as (provider, seen), alone(tmp_path, provider) as here:
        ticket = here.ticket("openai", "cheap")
        with raw_client(ticket) as client:
            client.post("/openai/v1/chat/completions", content=body)
        assert seen[0]["body"].count(b'"model"') == 1
        assert b"dear" not in seen[0]["body"]


def test_usage_is_asked_for_and_hidden_where_the_client_did_not_want_it(tmp_path: Path) -> None:
    """A stream of chat completions has the chunk with the usage only for who asked."""
    with house(tmp_path) as here:
        ticket = here.ticket("openai")
        with raw_client(ticket) as client:
            plain = client.post("/openai/v1/chat/completions", json={"model": "m", "messages": ASK, "stream": True})
            asked = {"model": "m", "messages": ASK, "stream": True, "stream_options": {"include_usage": True}}
            wanted = client.post("/openai/v1/chat/completions", json=asked)
        assert [one.body["stream_options"]["include_usage"] for one in here.server.requests] == [True, True]
        assert '"choices":[]' not in plain.text.replace(" ", "")
        assert '"choices":[]' in wanted.text.replace(" ", "")
        assert plain.text.endswith("data: [DONE]\n\n")
        assert {call.counted for call in here.calls()} == {"told"}


def test_a_server_that_knows_no_stream_options_is_asked_without(tmp_path: Path) -> None:
    """Once refused, the wish for usage is left out, then and later."""
    seen: list[bytes] = []

    def answer(body: bytes) -> tuple[int, str, bytes]:
        seen.append(body)
        if b"stream_options" in body:
            return 400, "application/json", b'{"error": {"message": "unknown field stream_options"}}'
        return 200, "text/event-stream", b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'

    with raw_provider(answer) as (provider, _), alone(tmp_path, provider) as here:
        ticket = here.ticket("openai")
        with raw_client(ticket) as client:
            for _ in range(2):
                got = client.post("/openai/v1/chat/completions", json={"model": "m", "messages": ASK, "stream": True})
                assert (got.status_code, "hi" in got.text) == (200, True)
        assert [b"stream_options" in body for body in seen] == [True, False, False]
        assert [call.status for call in here.calls()] == [200, 200]


def test_lists_and_counts_cost_nothing(tmp_path: Path) -> None:
    """Paths that ask no model pass, also where no money is left for one."""
    with house(tmp_path) as here:
        openai_ticket, other = here.ticket("openai", money_microusd=0), here.ticket("anthropic", money_microusd=0)
        third = here.ticket("gemini", money_microusd=0)
        with client_of(other, WAYS["messages"]) as client:
            assert client.messages.count_tokens(model="m", messages=ASK).input_tokens > 0
        with client_of(openai_ticket, WAYS["chat"]) as client:
            assert [model.id for model in client.models.list()] == ["scripted-1"]
        with client_of(third, WAYS["generate"]) as client:
            assert client.models.count_tokens(model="m", contents="hi").total_tokens > 0
        assert [call.money_microusd + call.input_tokens for call in here.calls()] == [0, 0, 0]


# -- who may pass


def raw_client(ticket: protocol.Gateway, **headers: str) -> httpx.Client:
    """HTTP straight at the socket."""
    key = {"openai": "authorization", "anthropic": "x-api-key", "gemini": "x-goog-api-key"}[ticket.api]
    own = headers or {key: f"Bearer {ticket.token}" if key == "authorization" else ticket.token}
    return httpx.Client(
        transport=httpx.HTTPTransport(uds=ticket.socket, verify=False),
        base_url="http://gateway",
        headers=own,
        timeout=20,
    )


SHAPES = {
    "openai": ("/openai/v1/chat/completions", lambda body: body["error"]["code"]),
    "anthropic": ("/anthropic/v1/messages", lambda body: body["error"]["type"]),
    "gemini": ("/gemini/v1beta/models/m:generateContent", lambda body: body["error"]["status"]),
}


def test_unknown_closed_and_foreign_tokens_are_refused(tmp_path: Path) -> None:
    """In the shape of each API; a token of another attempt is good for that one's API and budget only."""
    told = {"openai": "invalid_api_key", "anthropic": "authentication_error", "gemini": "UNAUTHENTICATED"}
    with house(tmp_path) as here:
        closed = here.ticket("openai")
        here.gateway.close_ticket(closed.token)
        for api, (path, code) in SHAPES.items():
            ticket = here.ticket(api)
            for headers in (
                {"accept": "*/*"},
                {"authorization": "Bearer wrong"},
                {"x-api-key": closed.token},
                {"authorization": f"Bearer {ticket.token}x"},
                {"authorization": f"Basic {ticket.token}"},
                {"x-goog-api-key": "x" * 5000},
            ):
                with raw_client(ticket, **headers) as client:
                    answer = client.post(path, json={"model": "m", "messages": ASK})
                assert (answer.status_code, code(answer.json())) == (401, told[api])
                assert answer.headers["x-should-retry"] == "false"
        mine, other = here.ticket("openai", requests=1), here.ticket("anthropic")
        with raw_client(mine, **{"x-api-key": other.token}) as client:
            assert client.post(SHAPES["openai"][0], json={}).status_code == 404  # that attempt's model speaks otherwise
        assert here.server.requests == []
        assert here.gateway.close_ticket(mine.token).usage.requests == 0


def test_a_body_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by its length or found out as it comes; the client gets to read why."""
    monkeypatch.setattr(wire, "BODY_BYTES_MAX", 200_000)
    with house(tmp_path) as here:
        ticket = here.ticket("openai")
        pieces = (b" " * 100_000 for _ in range(5))
        for body in (b" " * 500_000, pieces):
            with raw_client(ticket) as client:
                answer = client.post("/openai/v1/chat/completions", content=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
        assert here.gateway.close_ticket(ticket.token).refused == 2


def test_only_known_paths_pass(tmp_path: Path) -> None:
    """Everything else is a 404 in the shape of the API, and the provider never hears of it."""
    with house(tmp_path) as here:
        ticket = here.ticket("openai")
        with raw_client(ticket) as client:
            for method, path in (
                ("GET", "/"),
                ("POST", "/openai/v1/embeddings"),
                ("GET", "/openai/v1/chat/completions"),
                ("DELETE", "/openai/v1/models"),
                ("POST", "/openai/v1/chat/completions/../../../admin"),
                ("POST", "/openai/v1//chat/completions"),
                ("POST", "/anthropic/v1/messages/batches"),
                ("POST", "/gemini/v1beta/models/a/../b:generateContent"),
                ("POST", "/gemini/v1beta/models/m:deleteEverything"),
                ("GET", "/gemini/v1beta/files"),
            ):
                answer = client.request(method, path)
                assert answer.status_code == 404, path
                assert "error" in answer.json()
        assert here.server.requests == here.server.others == []


def test_requests_that_cannot_be_metered_are_refused(tmp_path: Path) -> None:
    """No JSON, wrong kinds of limits, background answers, unknown packing."""
    with house(tmp_path) as here:
        ticket = here.ticket("openai")
        with raw_client(ticket) as client:
            chat, responses = "/openai/v1/chat/completions", "/openai/v1/responses"
            for path, body in (
                (chat, b"no json"),
                (chat, b"[" * 100_000),
                (chat, b'{"max_tokens": "many"}'),
                (chat, b'{"max_tokens": -5}'),
                (chat, b'{"n": 1000}'),
                (chat, b'{"stream": "yes"}'),
                (responses, b'{"background": true}'),
            ):
                answer = client.post(path, content=body)
                assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request"), body[:50]
            packed = client.post(chat, content=b"x", headers={"content-encoding": "br"})
            assert packed.status_code == 400
        assert here.server.requests == []


def test_packed_bodies_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gzip and zstd, which some clients use, and what unpacks into too much."""
    monkeypatch.setattr(wire, "BODY_BYTES_MAX", 200_000)
    import gzip

    import zstandard

    body = json.dumps({"model": "m", "messages": ASK}).encode()
    with house(tmp_path) as here:
        ticket = here.ticket("openai")
        with raw_client(ticket) as client:
            for encoding, packed in (
                ("gzip", gzip.compress(body)),
                ("zstd", zstandard.ZstdCompressor().compress(body)),
            ):
                headers = {"content-encoding": encoding}
                path = "/openai/v1/chat/completions"
                assert client.post(path, content=packed, headers=headers).status_code == 200
                assert client.post(path, content=packed[:20], headers=headers).status_code == 400
            bomb = gzip.compress(b" " * 300_000)
            assert client.post(path, content=bomb, headers={"content-encoding": "gzip"}).status_code == 400


# -- troubles

FAULTS: dict[str, tuple[Any, str]] = {
    "quota-until": (RateLimited(reset_s=1200), "quota"),
    "quota": (RateLimited(), "quota"),
    "credit": (NoCredit(), "quota"),
    "key": (Unauthorized(), "authentication"),
    "broken": (Broken(), "outage"),
    "overloaded": (Overloaded(), "outage"),
    "context": (ContextTooLong(), "context"),
    "html": (Html(), "outage"),
    "html-502": (Html(status=502), "outage"),
    "dropped": (Dropped(after=3), "outage"),
    "dropped-clean": (Dropped(after=3, clean=True), "outage"),
    "refused": (Refuse(), ""),
    "truncated": (Truncated(), ""),
}
MIDWAY: dict[str, tuple[Any, str]] = {
    "quota-midway": (RateLimited(reset_s=1200, midway=True), "quota"),
    "credit-midway": (NoCredit(midway=True), "quota"),
    "key-midway": (Unauthorized(midway=True), "authentication"),
    "broken-midway": (Broken(midway=True), "outage"),
    "overloaded-midway": (Overloaded(midway=True), "outage"),
    "context-midway": (ContextTooLong(midway=True), "context"),
}


@each_api
def test_every_fault_is_told_and_classified(tmp_path: Path, api: str) -> None:
    """Whatever a provider does: the client sees it in its own shape, the trouble has its name, quotas their end."""
    # shows: F16, X7
    way = WAYS[api]
    faults = FAULTS | MIDWAY
    now = SystemClock().now()
    with house(tmp_path, scripts={name: fault for name, (fault, _) in faults.items()}) as here:
        ticket = here.ticket(way.provider, "")
        with client_of(ticket, way) as client:
            for name, stream in itertools.product(faults, (False, True)):
                if stream or not (name in MIDWAY or name == "dropped-clean"):
                    error = raised(way.ask, client, name, stream)
                    _judge(here.calls()[-1], name, stream, now)
                    # A client may take half an answer for a whole one, and an event of a failure for any other.
                    quiet = name in ("refused", "truncated", "html", "dropped", "dropped-clean")
                    assert error is not None or quiet or (api, stream) == ("responses", True), (name, stream)
        spent = here.gateway.close_ticket(ticket.token)
        assert (spent.trouble, spent.usage.requests) == ("authentication", len(here.calls()))


def _judge(call: events.ModelCalled, name: str, stream: bool, now: datetime) -> None:
    trouble = (FAULTS | MIDWAY)[name][1]
    assert (call.model, call.trouble) == (name, trouble), (name, stream)
    if name == "quota-until":
        until = datetime.fromisoformat(call.until) - now
        assert timedelta(seconds=1100) < until < timedelta(seconds=1300), stream
    if name in FAULTS and not name.startswith(("refused", "truncated", "dropped")) and call.status != 200:
        assert (call.money_microusd, call.counted) == (0, "told"), (name, stream)


def test_a_dropped_stream_is_passed_on_as_one_and_paid_as_far_as_it_came(tmp_path: Path) -> None:
    """A client must not take half an answer for a whole one."""
    with house(tmp_path, [Dropped(Say("x" * 4_000), after=2)]) as here:
        ticket = here.ticket("openai")
        with raw_client(ticket) as client, pytest.raises(httpx.RemoteProtocolError):
            client.post("/openai/v1/chat/completions", json={"model": "m", "messages": ASK, "stream": True})
        spent = here.gateway.close_ticket(ticket.token)
        assert (spent.trouble, spent.estimated) == ("outage", 1)
        assert 0 < spent.usage.output_tokens < 1_100


def test_a_provider_that_goes_silent_is_an_outage(tmp_path: Path) -> None:
    """Before its first word and in the middle; nobody waits longer than the limit."""
    stalls = {"early": Stalled(opened=False), "late": Stalled(after=2)}
    with house(tmp_path, scripts=stalls, silence_s=0.2) as here:
        for model, status in (("early", 504), ("late", 200)):
            ticket = here.ticket("anthropic", model)
            body = {"model": "m", "max_tokens": 10, "messages": ASK, "stream": True}
            with raw_client(ticket) as client, client.stream("POST", "/anthropic/v1/messages", json=body) as answer:
                assert answer.status_code == status
                with contextlib.suppress(httpx.RemoteProtocolError):
                    answer.read()
            assert here.gateway.close_ticket(ticket.token).trouble == "outage"


def test_a_provider_that_is_not_there_is_an_outage_that_costs_nothing(tmp_path: Path) -> None:
    """In the API's shape, with a status after which clients may try again."""
    with house(tmp_path) as here:
        here.server.close()
        for api, (path, _) in SHAPES.items():
            ticket = here.ticket(api)
            with raw_client(ticket) as client:
                answer = client.post(path, json={"model": "m", "messages": ASK, "max_tokens": 5})
            assert (answer.status_code, "error" in answer.json()) == (502, True)
            spent = here.gateway.close_ticket(ticket.token)
            assert (spent.trouble, spent.usage.money_microusd, spent.last) == ("outage", 0, "outage")


def test_a_trouble_that_was_got_over_is_told_apart(tmp_path: Path) -> None:
    """`trouble` is the worst that was seen, `last` how it stood at the end."""
    with house(tmp_path, [RateLimited(), Say("ok")]) as here:
        ticket = here.ticket("openai")
        with client_of(ticket, WAYS["chat"]) as client:
            with pytest.raises(openai.RateLimitError):
                ask_chat(client, "m", False)
            assert ask_chat(client, "m", False) == "ok"
        spent = here.gateway.close_ticket(ticket.token)
        assert (spent.trouble, spent.last) == ("quota", "")


# -- the breaker


def test_outages_open_the_breaker_and_it_answers_for_the_provider(tmp_path: Path) -> None:
    """After the rule's failures nobody is asked any more, until the time is over; over restarts too."""
    # shows: N8
    clock = FakeClock(datetime(2026, 11, 21, tzinfo=UTC))
    rule = BreakerRule(failures=2, open_s=60)
    with house(tmp_path, [Broken(), Broken(), Say("back")], rule=rule, clock=clock) as here:
        ticket, other = here.ticket("openai"), here.ticket("anthropic")
        with client_of(ticket, WAYS["chat"]) as client:
            for _ in range(2):
                with pytest.raises(openai.InternalServerError):
                    ask_chat(client, "m", False)
            with pytest.raises(openai.InternalServerError) as refused:
                ask_chat(client, "m", True)
            assert refused.value.status_code == 503
            assert refused.value.response.headers["retry-after"] == "60"
            assert len(here.server.requests) == 2
            circuits = {row.name: row.circuit.state for row in LedgerCircuits(here.ledger, clock).all()}
            assert circuits == {"provider:openai": "open"}
            with client_of(other, WAYS["messages"]) as another:
                assert ask_messages(another, "m", False) == "back"  # that provider is none of its business
            clock.advance(61)
            assert ask_chat(client, "m", False) == "back"
        assert LedgerCircuits(here.ledger, clock).all()[0].circuit.state == "closed"
        spent = here.gateway.close_ticket(ticket.token)
        assert (spent.trouble, spent.last, spent.refused, spent.usage.requests) == ("outage", "", 1, 3)


def test_a_provider_s_breaker_follows_the_settings(tmp_path: Path) -> None:
    """A section of its own goes before the rule for all the others."""
    # shows: N8
    clock = FakeClock(datetime(2026, 11, 21, tzinfo=UTC))
    with ModelServer([Broken(), Broken(), Broken()]) as server, ledger_at(tmp_path) as ledger:
        told = {"provider:openai": settings.Breaker(failures=1, open_s=900), "openai": settings.Breaker(failures=9)}
        here = Settings(providers=providers(server.url), breakers=told)
        with Gateway(
            here, ledger, clock, folder=tmp_path / "gw", environment={"KEY": KEY}, rule=BreakerRule(failures=2)
        ) as gateway:
            for name, path in (("openai", "/openai/v1/chat/completions"), ("anthropic", "/anthropic/v1/messages")):
                with raw_client(gateway.ticket("run-1", 1, provider=name, model="m")) as client:
                    assert client.post(path, json={"model": "m", "max_tokens": 9, "messages": ASK}).status_code == 500
                    again = client.post(path, json={"model": "m", "max_tokens": 9, "messages": ASK})
                    assert again.status_code == (503 if name == "openai" else 500)
                    assert again.headers.get("retry-after") == ("900" if name == "openai" else None)


def test_a_probe_whose_client_leaves_says_nothing(tmp_path: Path) -> None:
    """Half-open, and the one that may try is gone before there is an answer: the breaker stays as it was."""
    clock = FakeClock(datetime(2026, 11, 21, tzinfo=UTC))
    with house(tmp_path, [Broken(), Stalled(opened=False)], rule=BreakerRule(failures=1), clock=clock) as here:
        ticket = here.ticket("openai")
        with raw_client(ticket) as client:
            body = {"model": "m", "messages": ASK}
            assert client.post("/openai/v1/chat/completions", json=body).status_code == 500
            clock.advance(31)
            with pytest.raises(httpx.ReadTimeout):
                client.post("/openai/v1/chat/completions", json=body, timeout=0.3)
        here.gateway.close_ticket(ticket.token)
        (row,) = LedgerCircuits(here.ledger, clock).all()
        assert (row.circuit.state, row.circuit.probes) == ("half_open", ())
        assert [(call.status, call.trouble) for call in here.calls()] == [(500, "outage"), (0, "")]


def test_quota_and_wrong_keys_do_not_open_the_breaker(tmp_path: Path) -> None:
    """They say nothing about whether the provider works; other attempts may use another model."""
    with house(tmp_path, [RateLimited(reset_s=3600), Unauthorized(), ContextTooLong(), NoCredit()],
               rule=BreakerRule(failures=1)) as here:  # fmt: skip
        ticket = here.ticket("openai")
        with client_of(ticket, WAYS["chat"]) as client:
            for _ in range(4):
                with pytest.raises(openai.APIStatusError):
                    ask_chat(client, "m", False)
        assert len(here.server.requests) == 4
        assert LedgerCircuits(here.ledger, SystemClock()).all() == []


# -- the budget


@each_api
@both_ways
def test_a_request_that_cannot_be_paid_is_refused(tmp_path: Path, api: str, stream: bool) -> None:
    """Before the provider hears of it, as an error that clients do not try again."""
    # shows: N1
    way = WAYS[api]
    with house(tmp_path) as here:
        here.account("night", money_microusd=20)
        ticket = here.ticket(way.provider, account="night")
        with client_of(ticket, way) as client:
            refused: Any = raised(way.ask, client, "m", stream)
        assert (getattr(refused, "status_code", None) or refused.code) == 402
        spent = here.gateway.close_ticket(ticket.token)
        assert (spent.trouble, spent.refused, spent.usage.requests) == ("budget", 1, 0)
        assert here.server.requests == []
        assert [(call.status, call.trouble) for call in here.calls()] == [(0, "budget")]
        assert Accounts(here.ledger).used("night") == Amounts()


def test_real_clients_do_not_try_a_refused_request_again(tmp_path: Path) -> None:
    """With their retries switched on."""
    with house(tmp_path) as here:
        tickets = [here.ticket(api, requests=0) for api in ("openai", "anthropic")]
        for ticket, ask in zip(tickets, (ask_responses, ask_messages), strict=True):
            way = WAYS["chat" if ticket.api == "openai" else "messages"]
            with client_of(ticket, way, max_retries=5) as client:
                refused = raised(ask, client, "m", False)
            assert "all 0 requests" in str(refused)
        assert [here.gateway.close_ticket(ticket.token).refused for ticket in tickets] == [1, 1]


@each_api
@pytest.mark.parametrize("limit", [{"money_microusd": 4_000}, {"tokens": 300}], ids=["money", "tokens"])
def test_a_stream_is_cut_at_the_limit(tmp_path: Path, api: str, limit: dict[str, int]) -> None:
    """In the middle, at the moment when what was counted passes the limit; the client learns why."""
    # shows: N1
    way = WAYS[api]
    with house(tmp_path, [Say(LONG, usage="omitted")]) as here:
        ticket = here.ticket(way.provider, **limit)
        with client_of(ticket, way) as client:
            for _ in range(2):
                assert raised(way.ask, client, "m", True) is not None
        spent = here.gateway.close_ticket(ticket.token)
        assert (spent.trouble, spent.refused) == ("budget", 1)
        assert [call.trouble for call in here.calls()] == ["cut", "budget"]
        # One piece of the stream is what it may pass the limit by: it was counted, and not passed on.
        used = spent.usage
        assert used.output_tokens > 50
        if "tokens" in limit:
            assert limit["tokens"] < used.input_tokens + used.output_tokens < limit["tokens"] + 100
        else:
            assert limit["money_microusd"] < used.money_microusd < limit["money_microusd"] + 1_500
        here.server.requests[0].wait()
        assert here.server.requests[0].outcome in ("client left", "answered")


NO_LIMIT: dict[str, tuple[str, str, dict[str, Any], Callable[[Any], Any]]] = {
    "chat": ("openai", "/openai/v1/chat/completions", {"messages": ASK, "max_completion_tokens": None, "n": 2},
             lambda body: body.get("max_tokens")),
    "responses": ("openai", "/openai/v1/responses", {"input": "Say hello."},
                  lambda body: body.get("max_output_tokens")),
    "messages": ("anthropic", "/anthropic/v1/messages", {"messages": ASK}, lambda body: body.get("max_tokens")),
    "generate": ("gemini", "/gemini/v1beta/models/m:generateContent",
                 {"contents": [], "generation_config": {"temperature": 0.5, "max_output_tokens": None}},
                 lambda body: (body.get("generation_config") or {}).get("maxOutputTokens")),
    "a list": ("gemini", "/gemini/v1beta/models/m:streamGenerateContent", {"contents": []},
               lambda body: (body.get("generationConfig") or {}).get("maxOutputTokens")),
}  # fmt: skip
"""Requests for an answer in one piece that name no limit, and where the provider finds the one that it was given."""
each_piece = pytest.mark.parametrize("piece", NO_LIMIT)


def talkative(limit_of: Callable[[Any], Any], answers: int) -> Callable[[Any], Any]:
    """A model that goes on for as long as it may."""

    def say(request: Any) -> Truncated:
        limit = limit_of(request.body) or 50_000
        return Truncated("word", usage=Usage(input_tokens=10, output_tokens=limit * answers))

    return say


@each_piece
@pytest.mark.parametrize("limit", [{"money_microusd": 8_000}, {"tokens": 600}], ids=["money", "tokens"])
def test_an_answer_in_one_piece_keeps_within_the_budget(tmp_path: Path, piece: str, limit: dict[str, int]) -> None:
    """It cannot be cut on its way, so a request that names no limit is given the one that can be paid."""
    # shows: N1
    provider, path, body, limit_of = NO_LIMIT[piece]
    with house(tmp_path, talkative(limit_of, body.get("n", 1))) as here:
        ticket = here.ticket(provider, **limit)
        with raw_client(ticket) as client:
            answer = client.post(path, json={"model": "m", **body})
        assert answer.status_code == 200
        given = limit_of(here.server.requests[0].body)
        assert type(given) is int
        assert given >= reserving.OUTPUT_MIN
        spent = here.gateway.close_ticket(ticket.token)
        assert 0 < spent.usage.money_microusd <= limit.get("money_microusd", 10**9)
        assert spent.usage.input_tokens + spent.usage.output_tokens <= limit.get("tokens", 10**9)
        assert spent.usage.output_tokens == given * body.get("n", 1)
        assert spent.trouble == "budget"
        assert [call.trouble for call in here.calls()] == ["cut"]


@each_piece
def test_an_account_limits_an_answer_in_one_piece_too(tmp_path: Path, piece: str) -> None:
    """The attempt's own budget is not the only one."""
    # shows: N1
    provider, path, body, limit_of = NO_LIMIT[piece]
    with house(tmp_path, talkative(limit_of, body.get("n", 1))) as here:
        accounts = here.account("night", money_microusd=9_000)
        ticket = here.ticket(provider, account="night")
        with raw_client(ticket) as client:
            for status in (200, 402):
                assert client.post(path, json={"model": "m", **body}).status_code == status
        assert 0 < accounts.used("night").money_microusd <= 9_000


def test_where_there_is_no_budget_nobody_is_given_a_limit(tmp_path: Path) -> None:
    """Neither where tokens cost nothing, nor in a stream, which can be cut; what a request says itself stays."""
    chat = {"model": "m", "messages": ASK}
    with house(tmp_path) as here:
        for ticket, body in (
            (here.ticket("openai"), chat),
            (here.ticket("openai", model="free", money_microusd=10_000), chat),
            (here.ticket("openai", money_microusd=10_000), {**chat, "stream": True}),
            (here.ticket("openai", money_microusd=10_000), {**chat, "max_completion_tokens": 70}),
        ):
            with raw_client(ticket) as client:
                assert client.post("/openai/v1/chat/completions", json=body).status_code == 200
        seen = [{name for name in one.body if name.startswith("max")} for one in here.server.requests]
        assert seen == [set(), set(), set(), {"max_completion_tokens"}]


def test_an_answer_that_had_all_it_could_want_was_not_cut_by_the_budget(tmp_path: Path) -> None:
    """Where much is left, the limit that we give is no trouble of the budget's."""
    provider, path, body, limit_of = NO_LIMIT["responses"]
    with house(tmp_path, talkative(limit_of, 1)) as here:
        ticket = here.ticket(provider, money_microusd=100_000_000)
        with raw_client(ticket) as client:
            client.post(path, json={"model": "m", **body})
        spent = here.gateway.close_ticket(ticket.token)
        assert (spent.trouble, spent.usage.output_tokens) == ("", dialect.OUTPUT_DEFAULT)


@pytest.mark.parametrize(
    ("told", "limits"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
         [("max_tokens", 16_384), ("max_completion_tokens", 16_384), ("max_completion_tokens", 16_384)]),
        ("max_tokens is too large: 16384. This model supports at most 5000 completion tokens.",
         [("max_tokens", 16_384), ("max_tokens", 4_096), ("max_tokens", 4_096)]),
        ("'max_tokens' or 'max_completion_tokens' is too large: this model's maximum context length is 5000 tokens",
         [("max_tokens", 16_384), ("max_tokens", 4_096), ("max_tokens", 16_384), ("max_tokens", 4_096)]),
    ],
    ids=["another name", "a model's most", "the context"],
)  # fmt: skip
def test_a_limit_that_a_model_does_not_take_is_given_otherwise(
    tmp_path: Path, told: str, limits: list[tuple[str, int]]
) -> None:
    """Never without one. What a model takes is remembered, but not what was too much for one request's length."""
    named = "max_completion_tokens" if "Unsupported" in told else "max_tokens"

    def answer(body: bytes) -> tuple[int, str, bytes]:
        asked = json.loads(body)
        if named in asked and (asked[named] <= 5_000 or "large" not in told):
            return 200, "application/json", b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}'
        return 400, "application/json", json.dumps({"error": {"message": told}}).encode()

    with raw_provider(answer) as (provider, seen), alone(tmp_path, provider) as here:
        ticket = here.ticket("openai", money_microusd=5_000_000)
        with raw_client(ticket) as client:
            for _ in range(2):
                got = client.post("/openai/v1/chat/completions", json={"model": "m", "messages": ASK})
                assert got.status_code == 200
        sent = [json.loads(one["body"]) for one in seen]
        assert [next((n, v) for n, v in body.items() if n.startswith("max")) for body in sent] == limits
        assert [call.status for call in here.calls()] == [200, 200]


def test_a_model_that_takes_no_limit_is_not_asked_without_one(tmp_path: Path) -> None:
    """The provider's refusal is passed on, and nothing was paid."""
    # shows: N1
    refusal = b'{"error": {"message": "max_tokens exceeds what this model can do"}}'
    with (
        raw_provider(lambda body: (400, "application/json", refusal)) as (provider, seen),
        alone(tmp_path, provider) as here,
    ):
        ticket = here.ticket("openai", money_microusd=5_000_000)
        with raw_client(ticket) as client:
            got = client.post("/openai/v1/chat/completions", json={"model": "m", "messages": ASK})
        assert (got.status_code, got.content) == (400, refusal)
        assert [json.loads(one["body"])["max_tokens"] for one in seen] == [16_384, 4_096, 1_024]
        assert here.gateway.close_ticket(ticket.token).usage.money_microusd == 0


def test_a_stream_gets_more_than_its_worst_case_while_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a request does not say how much it wants, what is set aside grows with the answer."""
    monkeypatch.setattr(dialect, "OUTPUT_DEFAULT", 100)
    monkeypatch.setattr(reserving, "SLICE", 200)
    text = "word " * 800  # 1,000 tokens, more than are set aside at first
    with house(tmp_path, [Say(text, usage="omitted")]) as here:
        accounts = here.account("night", money_microusd=2_000_000)
        ticket = here.ticket("openai", account="night")
        with client_of(ticket, WAYS["chat"]) as client:
            assert ask_chat(client, "m", True) == text
        spent = here.gateway.close_ticket(ticket.token)
        assert spent.usage.output_tokens == 1_000
        assert accounts.used("night").money_microusd == spent.usage.money_microusd
        assert accounts.reserved_by("run-1") == []
        assert sum(isinstance(one.event, events.BudgetReserved) for one in here.ledger.read(events.POLICY)) >= 5


def test_the_settlement_is_one_commit_with_the_call(tmp_path: Path) -> None:
    """Set aside before; what was used and the call are known together, and before the client sees the end."""
    with house(tmp_path) as here:
        accounts = here.account("night", money_microusd=1_000_000)
        ticket = here.ticket("openai", account="night")
        commits: list[list[str]] = []
        unsubscribe = here.ledger.subscribe(lambda records: commits.append([record.type for record in records]))
        for stream in (False, True):
            with client_of(ticket, WAYS["chat"]) as client:
                ask_chat(client, "m", stream)
            assert accounts.reserved_by("run-1") == []
        unsubscribe()
        assert commits == [["budget.reserved"], ["budget.settled", "model.called"]] * 2
        assert here.gateway.close_ticket(ticket.token).usage.money_microusd == accounts.used("night").money_microusd


def test_attempts_that_share_an_account_cannot_overspend(tmp_path: Path) -> None:
    """Many at once, over several tickets: together they stay below the limit, and what is refused is refused early."""
    # shows: N1
    usage = Usage(input_tokens=40, output_tokens=100)
    each = 40 * 3 + 100 * 15
    with house(tmp_path, [Say("x" * 400, usage=usage)]) as here:
        accounts = here.account("night", money_microusd=10 * each)
        tickets = [here.gateway.ticket(f"run-{n}", 1, provider="openai", model="m", account="night") for n in range(4)]

        def ask(number: int) -> bool:
            ticket = tickets[number % len(tickets)]
            body = {"model": "m", "messages": ASK, "max_tokens": 100}
            with raw_client(ticket) as client:
                status = client.post("/openai/v1/chat/completions", json=body).status_code
            assert status in (200, 402)
            return status == 200

        with ThreadPoolExecutor(8) as pool:
            answered = sum(pool.map(ask, range(40)))
        spent = [here.gateway.close_ticket(ticket.token) for ticket in tickets]
        assert 1 <= answered <= 10
        assert answered == len(here.server.requests)
        assert sum(one.usage.money_microusd for one in spent) == answered * each
        assert accounts.used("night").money_microusd == answered * each <= 10 * each
        assert accounts.accounts()[0].reserved == Amounts()


def test_tickets_over_known_prices_only_have_money(tmp_path: Path) -> None:
    """What has no price costs nothing that is known, and says so."""
    unpriced = Provider(api="openai", address="http://127.0.0.1:9", prices={"known": Price(input=1, output=2)})
    with ledger_at(tmp_path) as ledger, ModelServer() as server:
        settings = Settings(providers={"o": unpriced.model_copy(update={"address": server.url("openai")})})
        with Gateway(settings, ledger, SystemClock(), folder=tmp_path / "gw", environment={}) as gateway:
            assert gateway.price("o", "known") == Price(input=1, output=2)
            assert gateway.price("o", "unknown") is None
            ticket = gateway.ticket("r", 1, provider="o", model="", money_microusd=0)
            with client_of(ticket, WAYS["chat"]) as client:
                assert ask_chat(client, "unknown", False) == "Hello."
                with pytest.raises(openai.APIStatusError):
                    ask_chat(client, "known", False)
            assert [one.model for one in server.requests] == ["unknown"]  # an empty model enforces none
            assert (spent := gateway.close_ticket(ticket.token)).unpriced == 1
            assert spent.usage.money_microusd == 0


# -- ends that nobody wished


def test_a_client_that_goes_away_ends_the_request_and_pays_what_it_got(tmp_path: Path) -> None:
    """Upstream hears of it, and the rest of what was set aside is free again."""
    pace = Pace()
    with house(tmp_path, [Slow(Say(LONG), pace)]) as here:
        accounts = here.account("night", money_microusd=1_000_000)
        ticket = here.ticket("openai", account="night")
        pace.step(3)
        called = threading.Event()

        def look(records: list[Record]) -> None:
            if any(record.type == events.ModelCalled.type for record in records):
                called.set()

        unsubscribe = here.ledger.subscribe(look)
        body = {"model": "m", "messages": ASK, "stream": True}
        with Portal(ticket.socket) as portal, httpx.Client(verify=False) as client:
            headers = {"authorization": f"Bearer {ticket.token}"}
            address = f"{portal.url}/openai/v1/chat/completions"
            with client.stream("POST", address, json=body, headers=headers) as answer:
                next(answer.iter_bytes())
                assert len(accounts.reserved_by("run-1")) == 1
            assert called.wait(10)
            pace.set()
            assert here.server.requests[0].wait() == "client left"
        unsubscribe()
        spent = here.gateway.close_ticket(ticket.token)
        assert (spent.trouble, spent.estimated) == ("", 1)
        assert 0 < spent.usage.money_microusd == accounts.used("night").money_microusd < 10_000
        assert accounts.reserved_by("run-1") == []


def test_closing_a_ticket_ends_its_requests(tmp_path: Path) -> None:
    """However silent the provider is; the sums are final when it returns, and the token is worth nothing any more."""
    with house(tmp_path, [Stalled(after=2)]) as here:
        ticket = here.ticket("anthropic")
        began, over = threading.Event(), threading.Event()

        def ask() -> None:
            with Portal(ticket.socket) as portal, contextlib.suppress(httpx.HTTPError):
                headers = {"x-api-key": ticket.token}
                body = {"model": "m", "max_tokens": 100, "messages": ASK, "stream": True}
                with httpx.stream("POST", f"{portal.url}/anthropic/v1/messages", json=body, headers=headers) as answer:
                    for _ in answer.iter_bytes():
                        began.set()
            over.set()

        thread = threading.Thread(target=ask)
        thread.start()
        assert began.wait(10)
        spent = here.gateway.close_ticket(ticket.token)
        assert over.wait(10)
        thread.join()
        assert spent.usage.requests == 1
        assert len(here.calls()) == 1
        with pytest.raises(TicketUnknown):
            here.gateway.close_ticket(ticket.token)
        with raw_client(ticket) as client:
            assert client.post("/anthropic/v1/messages", json={}).status_code == 401


def test_what_a_killed_process_left_is_settled_at_its_worst(tmp_path: Path) -> None:
    """A reservation without an owner: the next ticket of its run takes it as used, others' are left alone."""
    with house(tmp_path) as here:
        accounts = here.account("night", money_microusd=1_000_000)
        for run, key in (
            ("run-1", "run-1/model/dead/1/1"),
            ("run-2", "run-2/model/dead/1/1"),
            ("run-1", "run-1/time/1"),
        ):
            worst = Amounts(money_microusd=1_000)
            here.ledger.append([Draft(events.POLICY, accounts.reserve(key, "night", worst, run=run))])
        here.ticket("openai", account="night")
        assert accounts.used("night").money_microusd == 1_000
        assert [row.key for row in accounts.reserved_by("run-1")] == ["run-1/time/1"]
        assert len(accounts.reserved_by("run-2")) == 1
        assert here.gateway.recover("run-2") == 1
        assert here.gateway.recover("run-2") == 0
        settled = [one.event for one in here.ledger.read(events.POLICY) if isinstance(one.event, events.BudgetSettled)]
        assert [one.presumed for one in settled] == [True, True]


def test_a_request_under_way_is_not_taken_for_a_dead_ones(tmp_path: Path) -> None:
    """A second ticket of the same run, in the same process."""
    pace = Pace()
    with house(tmp_path, [Slow(Say("Hello."), pace)]) as here:
        accounts = here.account("night", money_microusd=1_000_000)
        ticket = here.ticket("openai", account="night")
        with ThreadPoolExecutor(1) as pool, client_of(ticket, WAYS["chat"]) as client:
            asked = pool.submit(ask_chat, client, "m", False)
            assert here.server.wait_for(1)
            here.ticket("openai", account="night")
            assert len(accounts.reserved_by("run-1")) == 1
            pace.set()
            assert asked.result(20) == "Hello."


def test_a_reservation_that_the_run_settled_first_keeps_no_call_from_the_ledger(tmp_path: Path) -> None:
    """The engine presumes the worst when a run gives its worker back; the late call is still written."""
    pace = Pace()
    with house(tmp_path, [Slow(Say("Hello."), pace)]) as here:
        accounts = here.account("night", money_microusd=1_000_000)
        ticket = here.ticket("openai", account="night")
        with ThreadPoolExecutor(1) as pool, client_of(ticket, WAYS["chat"]) as client:
            asked = pool.submit(ask_chat, client, "m", False)
            assert here.server.wait_for(1)
            (row,) = accounts.reserved_by("run-1")
            here.ledger.append([Draft(events.POLICY, accounts.settle(row.key, row.worst, presumed=True)[0])])
            pace.set()
            assert asked.result(20) == "Hello."
        assert len(here.calls()) == 1
        assert here.gateway.close_ticket(ticket.token).usage.requests == 1


def test_a_ledger_that_takes_nothing_lets_nothing_pass(tmp_path: Path) -> None:
    """What cannot be set aside is not asked for."""
    with house(tmp_path) as here:
        here.account("night", money_microusd=1_000_000)
        ticket = here.ticket("openai", account="night")
        here.ledger.close()
        with raw_client(ticket) as client:
            answer = client.post("/openai/v1/chat/completions", json={"model": "m", "messages": ASK})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "server_error")
        assert here.server.requests == []


# -- keys and logs


def test_keys_and_bodies_are_in_no_log_and_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not even where the provider sends the key back."""

    # shows: N9
    def answer(body: bytes) -> tuple[int, str, bytes]:
        status = 401 if b"private words" in body else 200
        kind = "text/event-stream" if b'"stream":true' in body.replace(b" ", b"") else "application/json"
        data = json.dumps({"error": {"message": f"Incorrect API key: {KEY}"}}).encode()
        return status, kind, b"data: " + data + b"\n\n" if kind == "text/event-stream" else data

    caplog.set_level(logging.DEBUG)
    with raw_provider(answer) as (provider, seen), alone(tmp_path, provider) as here:
        ticket = here.ticket("openai")
        with raw_client(ticket) as client:
            for body in ({"messages": "private words"}, {"stream": True}):
                got = client.post("/openai/v1/chat/completions?key=zzz", json=body)
                assert KEY not in got.text + str(got.headers)
                assert "[redacted]" in got.text
        assert seen[0]["headers"]["authorization"] == f"Bearer {KEY}"
        assert "cookie" not in seen[0]["headers"]
        here.gateway.close_ticket(ticket.token)
    said = "\n".join(f"{one.getMessage()} {one.__dict__}" for one in caplog.records)
    assert KEY not in said
    assert ticket.token not in said
    assert "private words" not in said


def test_headers_of_one_connection_and_of_who_pays_stay_where_they_are(tmp_path: Path) -> None:
    """Neither the client's keys nor its idea of who pays reach the provider; its versions do."""
    with raw_provider() as (provider, seen), alone(tmp_path, provider, headers={"x-team": "blue"}) as here:
        ticket = here.ticket("openai")
        sent = {
            "authorization": f"Bearer {ticket.token}",
            "openai-organization": "org-other",
            "x-api-key": "zzz",
            "cookie": "a=b",
            "x-forwarded-for": "1.2.3.4",
            "openai-beta": "responses=v1",
            "x-team": "red",
        }
        with raw_client(ticket, **sent) as client:
            answer = client.post("/openai/v1/chat/completions", json={"model": "m"})
        got = seen[0]["headers"]
        assert (got["openai-beta"], got["x-team"]) == ("responses=v1", "blue")
        assert not {"openai-organization", "x-api-key", "cookie", "x-forwarded-for"} & set(got)
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-request-id"] == "req-1"


def test_missing_keys_are_found_before_anything_starts(tmp_path: Path) -> None:
    """The error names the place, never the key."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    kinds = {"gone": "env:GONE", "file": f"file:{file}", "nofile": "file:not/there", "odd": "env:ODD"}
    settings = Settings(
        providers={name: Provider(api="openai", address="http://127.0.0.1:9", key=key) for name, key in kinds.items()}
    )
    with (
        ledger_at(tmp_path) as ledger,
        Gateway(settings, ledger, SystemClock(), folder=tmp_path / "gw", environment={"ODD": "two words"}) as gateway,
    ):
        gateway.ticket("r", 1, provider="file", model="m")
        for name, words in (("gone", "variable GONE"), ("nofile", "not/there"), ("odd", "is no key")):
            with pytest.raises(KeyAbsent, match=words) as absent:
                gateway.ticket("r", 1, provider=name, model="m")
            assert "two words" not in str(absent.value)
        with pytest.raises(SettingsWrong):
            gateway.ticket("r", 1, provider="unknown", model="m")
        with pytest.raises(BudgetMisused):
            gateway.ticket("r", 1, provider="file", model="m", account="no-such")
        for wrong in ({"requests": -1}, {"tokens": 1.5}, {"money_microusd": "1"}, {"model": "a?b"}):
            with pytest.raises(TicketRefused):
                gateway.ticket("r", 1, **{"provider": "file", "model": "m", **wrong})  # type: ignore[arg-type]
        gateway.__exit__(None, None, None)
        with pytest.raises(GatewayBroken):
            gateway.ticket("r", 1, provider="file", model="m")


# -- the socket and the sandbox


def test_a_folder_with_a_long_name_gets_a_socket_all_the_same(tmp_path: Path) -> None:
    """A socket's path has little room; and what dead gateways left is swept away."""
    deep = tmp_path / ("d" * 100)
    with ledger_at(tmp_path) as ledger:
        with Gateway(Settings(), ledger, SystemClock(), folder=deep, environment={}) as gateway:
            assert len(str(gateway.socket)) <= 103
            assert gateway.socket.exists()
        assert not gateway.socket.parent.exists()
        near = tmp_path / "gw"
        near.mkdir()
        import socket

        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(near / "dead-gateway.sock"))
        with Gateway(Settings(), ledger, SystemClock(), folder=near, environment={}) as gateway:
            assert [path.name for path in near.iterdir()] == [gateway.socket.name]
            with Gateway(Settings(), ledger, SystemClock(), folder=near, environment={}):
                assert len(list(near.iterdir())) == 2  # who lives is left alone
        assert list(near.iterdir()) == []
        (tmp_path / "file").write_text("")
        with (
            pytest.raises(GatewayBroken),
            Gateway(Settings(), ledger, SystemClock(), folder=tmp_path / "file", environment={}),
        ):
            pass


def test_a_portal_without_a_gateway_closes_its_connections(tmp_path: Path) -> None:
    """A client gets an error at once and waits for nobody."""
    with Portal(tmp_path / "nothing") as portal, pytest.raises(httpx.TransportError):
        httpx.get(portal.url)


CLIENT = """
import importlib.util, json, sys, urllib.request, urllib.error, socket
spec = importlib.util.spec_from_file_location("portal", sys.argv[1])
portal = importlib.util.module_from_spec(spec)
spec.loader.exec_module(portal)
ask = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
with portal.Portal(sys.argv[2]) as door:
    def post(token):
        request = urllib.request.Request(door.url + "/openai/v1/chat/completions", json.dumps(ask).encode(),
            {"authorization": "Bearer " + token, "content-type": "application/json"})
        return urllib.request.urlopen(request, timeout=10).read().decode()
    print("[DONE]" in post(sys.argv[3]))
    try:
        post("wrong")
    except urllib.error.HTTPError as error:
        print(error.code)
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[4])), 2)
    print("reached the provider itself")
except OSError:
    print("no way out")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are made for Linux only so far")
@pytest.mark.parametrize("granted", ["folder", "socket"])
def test_the_only_way_out_of_a_sandbox_is_the_socket(tmp_path: Path, granted: str) -> None:
    """As the sandbox's own user, without network: through portal and socket to the model, and nowhere else."""
    import daybreak.agents.gateway.portal as portal

    work = tmp_path.resolve() / "work"
    work.mkdir()
    with house(tmp_path.resolve()) as here:
        ticket = here.ticket("openai")
        socket_path = Path(ticket.socket)
        readable = (socket_path.parent if granted == "folder" else socket_path, Path(portal.__file__))
        try:
            box = prepare(Sandbox(writable=(work,), readable=readable, require="full"))
        except SandboxMissing as missing:
            pytest.skip(missing.message)
        done = process.run(
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                CLIENT,
                portal.__file__,
                ticket.socket,
                ticket.token,
                str(here.server.port),
            ],
            cwd=work,
            env=process.clean_environment(work),
            timeout_s=30,
            sandbox=box,
        )
        assert done.stdout.decode().split("\n")[:3] == ["True", "401", "no way out"], done.stderr.decode()
        assert here.gateway.close_ticket(ticket.token).usage.requests == 1


# -- providers that a script is too tame for


@contextlib.contextmanager
def raw_provider(
    answer: Callable[[bytes], tuple[int, str, bytes]] = lambda body: (200, "application/json", b'{"choices": []}'),
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A provider in a few lines: its address, and what it saw."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append({"headers": {name.lower(): value for name, value in self.headers.items()}, "body": body})
            status, kind, data = answer(body)
            self.send_response(status)
            for name, value in (
                ("content-type", kind),
                ("content-length", str(len(data))),
                ("set-cookie", "session=1"),
            ):
                self.send_header(name, value)
            self.send_header("x-request-id", "req-1")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def alone(tmp_path: Path, address: str, **more: Any) -> Iterator[House]:
    """A gateway before one provider that speaks OpenAI's API."""
    provider = Provider(api="openai", address=address, key="env:KEY", prices=PRICES, **more)
    with (
        ledger_at(tmp_path) as ledger,
        ModelServer() as unused,
        Gateway(
            Settings(providers={"openai": provider}), ledger, SystemClock(),
            folder=tmp_path / "gw", environment={"KEY": KEY}, rule=PATIENT,
        ) as gateway,
    ):  # fmt: skip
        yield House(gateway, ledger, unused)


def test_calls_of_tools_are_counted(tmp_path: Path) -> None:
    """Arguments of tools are output as well as words are."""
    with house(tmp_path, [Call("write", {"text": "y" * 400}, usage="omitted")]) as here:
        for way in WAYS.values():
            for stream in (False, True):
                ticket = here.ticket(way.provider)
                with client_of(ticket, way) as client:
                    way.ask(client, "m", stream)
                assert here.gateway.close_ticket(ticket.token).usage.output_tokens >= 100, (way, stream)


# -- what a hostile client tries


def said(ticket: protocol.Gateway, header: bytes) -> bytes:
    """The first line of the answer to a request with that header, as bytes at the socket."""
    import socket

    body = b'{"model": "m"}'
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(20)
        end.connect(ticket.socket)
        end.sendall(
            b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: g\r\nconnection: close\r\n"
            b"authorization: Bearer " + ticket.token.encode() + b"\r\n" + header + b"\r\n"
            b"content-length: " + str(len(body)).encode() + b"\r\n\r\n" + body
        )
        return end.makefile("rb").readline()


def test_no_header_of_a_client_makes_a_provider_look_broken(tmp_path: Path) -> None:
    """What cannot be sent on is refused and says nothing of the provider; nobody smuggles a second request."""
    # shows: F8, N9
    with raw_provider() as (provider, seen), alone(tmp_path, provider) as here:
        ticket = here.ticket("openai")
        for header in (
            b"x-odd: a\x01b",
            b"x-odd: a\x7fb",
            b"x-odd: \xff\xfe",
            b"x-odd : a",
            b"x-odd: a\r\n b",
            b"content-length: 3",
            b"x-http-method-override: DELETE",
            b"x-goog-fieldmask: candidates",
            b"x" * 5000 + b": a",
        ):
            assert said(ticket, header).split(b" ")[1] in (b"200", b"400"), header
        assert not {name for one in seen for name in one["headers"] if "override" in name or "mask" in name}
        assert all(one["body"] == b'{"model":"scripted"}' for one in seen)
        assert LedgerCircuits(here.ledger, SystemClock()).all() == []
        assert here.gateway.close_ticket(ticket.token).trouble == ""


def test_a_key_that_a_provider_says_is_not_passed_on_however_it_is_cut(tmp_path: Path) -> None:
    """Also across two pieces of an answer."""
    # shows: N9
    answer = json.dumps({"choices": [], "echo": ["x" * number + KEY for number in (0, 65_000, 66_000)]}).encode()
    with (
        raw_provider(lambda body: (200, "application/json", answer)) as (provider, _),
        alone(tmp_path, provider) as here,
    ):
        with raw_client(here.ticket("openai")) as client:
            told = client.post("/openai/v1/chat/completions", json={"model": "m"})
        assert KEY not in told.text
        assert told.json()["echo"][0] == "[redacted]"


def test_the_tools_of_a_provider_are_for_attempts_with_a_network(tmp_path: Path) -> None:
    """The refusal is the API's own, nothing is paid, and the provider hears nothing."""
    # shows: N9
    with house(tmp_path) as here:
        body = {
            "model": "m",
            "max_tokens": 10,
            "messages": ASK,
            "tools": [{"type": "web_search_20250305", "name": "w"}],
        }
        for network, status in ((False, 400), (True, 200)):
            ticket = here.ticket("anthropic", network=network)
            with raw_client(ticket) as client:
                assert client.post("/anthropic/v1/messages", json=body).status_code == status
        assert len(here.server.requests) == 1


def test_a_folder_behind_a_link_gives_the_socket_by_its_real_path(tmp_path: Path) -> None:
    """Sandboxes are granted real paths only, and the worker is told the same one."""
    # shows: N9
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with (
        ledger_at(tmp_path) as ledger,
        Gateway(Settings(), ledger, SystemClock(), folder=tmp_path / "link" / "gw", environment={}) as gateway,
    ):
        assert gateway.socket.parent == (tmp_path / "real" / "gw").resolve()


def test_what_an_attempt_has_used_is_known_to_the_next_process(tmp_path: Path) -> None:
    """From the ledger: its own calls, and at the worst case what a process that died had set aside."""
    # shows: F8
    with house(tmp_path) as here:
        here.account("night", money_microusd=1_000_000)
        ticket = here.ticket("openai", account="night")
        with raw_client(ticket) as client:
            client.post("/openai/v1/chat/completions", json={"model": "m", "messages": ASK, "max_tokens": 50})
        spent = here.gateway.close_ticket(ticket.token).usage
        assert spent.money_microusd > 0
        assert here.gateway.used("run-1", 1) == spent
        assert here.gateway.used("run-1", 2) == here.gateway.used("run-2", 1) == protocol.Usage()
        reserved = Accounts(here.ledger).reserve("run-1/model/dead/1/1", "night", Amounts(tokens=70), run="run-1")
        here.ledger.append([Draft(events.POLICY, reserved)])
        used = here.gateway.used("run-1", 1)
        assert (used.requests, used.input_tokens) == (spent.requests + 1, spent.input_tokens + 70)


def test_one_attempt_cannot_take_every_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asks beyond so many at once waits for its turn, and others do not wait for it."""
    # shows: F8
    from daybreak.agents.gateway import ticket as tickets

    monkeypatch.setattr(tickets, "AT_ONCE_MAX", 2)
    with house(tmp_path, lambda request: Stalled(after=0) if "stall" in str(request.body) else Say("Hi.")) as here:
        greedy, other = here.ticket("openai"), here.ticket("openai")
        body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "stall"}]}

        def ask() -> None:
            with raw_client(greedy) as client, contextlib.suppress(httpx.HTTPError):
                client.post("/openai/v1/chat/completions", json=body)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        with raw_client(other) as client:
            assert client.post("/openai/v1/chat/completions", json={"model": "m", "messages": ASK}).status_code == 200
        spent = here.gateway.close_ticket(greedy.token)
        for thread in threads:
            thread.join()
        assert spent.usage.requests <= 2
        asked = [one for one in here.server.requests if "stall" in str(one.body)]
        assert len(asked) <= 2


def test_connections_without_a_request_keep_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens many of them takes no descriptors of ours for long, and fills no log with what is no request."""
    # shows: N9
    import socket

    from daybreak.agents.gateway import connection

    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 8)
    with house(tmp_path) as here, contextlib.ExitStack() as held:
        ticket = here.ticket("openai")
        many = [held.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(40)]
        for one in many:
            one.connect(ticket.socket)
        with raw_client(ticket) as client:
            answer = client.post("/openai/v1/chat/completions", json={"model": "m", "messages": ASK})
        assert answer.status_code == 200
        closed = 0
        for one in many:
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                closed += one.recv(1) == b""
        assert closed >= 40 - 8
