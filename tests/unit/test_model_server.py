"""The scripted model server, seen by the real clients of the APIs that it speaks."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as google_errors
from google.genai import types as google_types
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.testing import ModelServer
from daybreak.testing.agent import ScriptWrong
from daybreak.testing.clock import DAWN, FakeClock
from daybreak.testing.modelserver import (
    BadCall,
    Broken,
    Call,
    ContextTooLong,
    Dropped,
    FalseDone,
    Html,
    Injection,
    NoCredit,
    Overloaded,
    Pace,
    RateLimited,
    Refuse,
    Request,
    Say,
    Slow,
    Stalled,
    Truncated,
    Unauthorized,
    Usage,
)
from daybreak.testing.modelserver import turns as turns_module

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "testing.md"
QUESTION = "What is six times seven?"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}


@dataclass
class Seen:
    """What a client gave to its caller."""

    text: str = ""
    refusal: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Name, and the arguments as JSON or as they came."""
    end: str | None = None
    used: tuple[int, int, int] | None = None
    """Input, of it cached, output."""


class Clients:
    """The clients of the vendors, without retries; their pools are shared by all tests."""

    def __init__(self) -> None:
        self.openai = openai.OpenAI(api_key="sk-test", base_url="http://127.0.0.1:9", max_retries=0, timeout=10)
        self.anthropic = anthropic.Anthropic(
            api_key="sk-test", base_url="http://127.0.0.1:9", max_retries=0, timeout=10
        )
        self.gemini = genai.Client(
            api_key="sk-test", http_options=google_types.HttpOptions(base_url="http://127.0.0.1:9")
        )

    def close(self) -> None:
        self.openai.close()
        self.anthropic.close()
        self.gemini.close()

    def chat(self, server: ModelServer, stream: bool, asked: Any = None) -> Seen:
        client = self.openai.with_options(base_url=server.url("openai"))
        messages = asked or [{"role": "user", "content": QUESTION}]
        tools: Any = [{"type": "function", "function": {"name": "read", "parameters": SCHEMA}}]
        if not stream:
            whole = client.chat.completions.create(model="m-1", messages=messages, tools=tools)
            return _chat_seen(whole.choices[0].message, whole.choices[0].finish_reason, whole.usage)
        seen, calls = Seen(), {}
        for chunk in client.chat.completions.create(
            model="m-1", messages=messages, tools=tools, stream=True, stream_options={"include_usage": True}
        ):
            for choice in chunk.choices:
                seen.text += choice.delta.content or ""
                seen.refusal += choice.delta.refusal or ""
                seen.end = choice.finish_reason or seen.end
                for call in choice.delta.tool_calls or []:
                    name, raw = calls.get(call.index, ("", ""))
                    calls[call.index] = (name + (call.function.name or ""), raw + (call.function.arguments or ""))
            seen.used = _openai_usage(chunk.usage) or seen.used
        seen.calls = list(calls.values())
        return seen

    def responses(self, server: ModelServer, stream: bool, asked: Any = None) -> Seen:
        client = self.openai.with_options(base_url=server.url("openai"))
        tools: Any = [{"type": "function", "name": "read", "parameters": SCHEMA, "strict": False}]
        given: Any = {"model": "m-1", "input": asked or QUESTION, "tools": tools}
        if not stream:
            return _response_seen(client.responses.create(**given))
        seen = Seen()
        for event in client.responses.create(**given, stream=True):
            if event.type == "response.output_text.delta":
                seen.text += event.delta
            if event.type in ("response.completed", "response.incomplete", "response.failed"):
                final = _response_seen(event.response)
                assert final.text == seen.text or event.type == "response.failed"
                return final
        return seen

    def messages(self, server: ModelServer, stream: bool, asked: Any = None) -> Seen:
        client = self.anthropic.with_options(base_url=server.url("anthropic"))
        tools: Any = [{"name": "read", "input_schema": SCHEMA}]
        messages = asked or [{"role": "user", "content": QUESTION}]
        given: Any = {"model": "m-1", "max_tokens": 100, "messages": messages, "tools": tools}
        if stream:
            with client.messages.stream(**given) as told:
                return _anthropic_seen(told.get_final_message())
        return _anthropic_seen(client.messages.create(**given))

    def generate(self, server: ModelServer, stream: bool, asked: Any = None) -> Seen:
        read = google_types.FunctionDeclaration(name="read", parameters_json_schema=SCHEMA)
        given: Any = {
            "model": "m-1",
            "contents": asked or QUESTION,
            "config": google_types.GenerateContentConfig(
                http_options=google_types.HttpOptions(base_url=server.url("gemini"), timeout=10_000),
                tools=[google_types.Tool(function_declarations=[read])],
            ),
        }
        seen, models = Seen(), self.gemini.models
        for chunk in models.generate_content_stream(**given) if stream else [models.generate_content(**given)]:
            _gemini_add(seen, chunk)
        return seen


def _openai_usage(usage: Any) -> tuple[int, int, int] | None:
    return usage and (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens)


def _chat_seen(message: Any, end: str, usage: Any) -> Seen:
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or []]
    return Seen(message.content or "", message.refusal or "", calls, end, _openai_usage(usage))


def _response_seen(response: Any) -> Seen:
    calls = [(item.name, item.arguments) for item in response.output if item.type == "function_call"]
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    refusal = "".join(part.refusal for part in parts if part.type == "refusal")
    why = response.incomplete_details or response.error
    end = response.status if not why else f"{response.status} {getattr(why, 'reason', None) or why.code}"
    used = response.usage
    told = used and (used.input_tokens, used.input_tokens_details.cached_tokens, used.output_tokens)
    return Seen(response.output_text, refusal, calls, end, told)


def _anthropic_seen(message: Any) -> Seen:
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [(block.name, json.dumps(block.input)) for block in message.content if block.type == "tool_use"]
    told = message.stop_details.explanation if message.stop_details else ""
    used = message.usage
    cached = used.cache_read_input_tokens
    return Seen(text, told, calls, message.stop_reason, (used.input_tokens + cached, cached, used.output_tokens))


def _gemini_add(seen: Seen, chunk: Any) -> None:
    candidate = chunk.candidates[0]
    for part in (candidate.content.parts if candidate.content else None) or []:
        seen.text += part.text or ""
        if part.function_call:
            seen.calls.append((part.function_call.name, json.dumps(part.function_call.args)))
    seen.end = candidate.finish_reason.value if candidate.finish_reason else seen.end
    if chunk.usage_metadata:
        used = chunk.usage_metadata
        cached = used.cached_content_token_count or 0
        seen.used = (used.prompt_token_count, cached, used.candidates_token_count)


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    made = Clients()
    yield made
    made.close()


FACES = ("chat", "responses", "messages", "generate")
faces = pytest.mark.parametrize("face", FACES)
ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def _ask(clients: Clients, face: str, server: ModelServer, stream: bool, asked: Any = None) -> Seen:
    seen = getattr(clients, face)(server, stream, asked)
    assert isinstance(seen, Seen)
    return seen


@faces
@ways
def test_text_arrives_with_its_end_and_its_usage(clients: Clients, face: str, stream: bool) -> None:
    """Every word of it, in its order, whatever alphabet it is in."""
    # shows: N8
    told = 'Six times seven is 42. Zweiundvierzig — сорок два — 四十二.\n\n```json\n{"a": "\\u0000"}\n```\n' * 3
    with ModelServer(Say(told, usage=Usage(input_tokens=1200, cached_tokens=1000, output_tokens=77))) as server:
        seen = _ask(clients, face, server, stream)
    ends = {"chat": "stop", "responses": "completed", "messages": "end_turn", "generate": "STOP"}
    assert seen == Seen(told, end=ends[face], used=(1200, 1000, 77))


@faces
@ways
def test_several_calls_in_one_turn_arrive_beside_the_text(clients: Clients, face: str, stream: bool) -> None:
    """Names and arguments, each call its own."""
    turn = [Say("Looking."), Call("read", {"path": "a b.py"}), Call("read", {"path": 'ü/"quoted".py'})]
    with ModelServer([turn]) as server:
        seen = _ask(clients, face, server, stream)
    ends = {"chat": "tool_calls", "responses": "completed", "messages": "tool_use", "generate": "STOP"}
    assert (seen.text, seen.end) == ("Looking.", ends[face])
    read = [(name, json.loads(raw)) for name, raw in seen.calls]
    assert read == [("read", {"path": "a b.py"}), ("read", {"path": 'ü/"quoted".py'})]


HISTORIES: dict[str, Any] = {
    "chat": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Read a.py"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.py"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "x = 1"},
        {"role": "user", "content": "And?"},
    ],
    "responses": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Read a.py"}]},
        {"type": "function_call", "call_id": "c1", "name": "read", "arguments": '{"path": "a.py"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "x = 1"},
        {"role": "user", "content": "And?"},
    ],
    "messages": [
        {"role": "user", "content": "Read a.py"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "read", "input": {"path": "a.py"}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "x = 1"}]},
                {"type": "text", "text": "And?"},
            ],
        },
    ],
    "generate": [
        {"role": "user", "parts": [{"text": "Read a.py"}]},
        {"role": "model", "parts": [{"function_call": {"id": "c1", "name": "read", "args": {"path": "a.py"}}}]},
        {
            "role": "user",
            "parts": [{"function_response": {"id": "c1", "name": "read", "response": {"output": "x = 1"}}}],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
    ],
}


@faces
def test_a_conversation_is_recorded_in_one_form_for_all(clients: Clients, face: str) -> None:
    """Who said what, which calls were made, and what came out of them."""
    with ModelServer() as server:
        _ask(clients, face, server, False, HISTORIES[face])
    (request,) = server.requests
    said = [(message.role, message.text) for message in request.messages if message.role != "system"]
    assert said == [("user", "Read a.py"), ("assistant", ""), ("tool", "x = 1"), ("user", "And?")]
    (call,) = next(message.calls for message in request.messages if message.calls)
    assert (call.id, call.tool, call.arguments) == ("c1", "read", {"path": "a.py"})
    assert next(message.call_id for message in request.messages if message.role == "tool") == "c1"
    assert (request.model, request.key, request.tools, request.stream) == ("m-1", "sk-test", ("read",), False)
    assert request.api == {"messages": "anthropic", "generate": "gemini"}.get(face, "openai")
    assert request.tool_outputs == ("x = 1",)
    assert request.wait() == "answered"


@faces
@ways
def test_a_refusal_has_the_form_of_its_api(clients: Clients, face: str, stream: bool) -> None:
    """OpenAI's ends look like those of any answer; only the `refusal` tells."""
    with ModelServer(Refuse("No.")) as server:
        seen = _ask(clients, face, server, stream)
    assert seen.refusal == ("" if face == "generate" else "No.")  # Google's client leaves the message out
    ends = {"chat": "stop", "responses": "completed", "messages": "refusal", "generate": "SAFETY"}
    assert seen.end == ends[face]
    assert seen.text == ("No." if face == "messages" else "")


@faces
@ways
def test_a_truncated_answer_looks_like_text_until_the_end_is_read(clients: Clients, face: str, stream: bool) -> None:
    """The reason for the end is all that tells it from the whole."""
    with ModelServer(Truncated("def f(")) as server:
        seen = _ask(clients, face, server, stream)
    ends = {
        "chat": "length",
        "responses": "incomplete max_output_tokens",
        "messages": "max_tokens",
        "generate": "MAX_TOKENS",
    }
    assert (seen.text, seen.end) == ("def f(", ends[face])


@faces
@ways
def test_a_false_done_is_an_answer_like_any_other(clients: Clients, face: str, stream: bool) -> None:
    """Nothing in it tells that nothing was done."""
    # shows: X6
    with ModelServer([FalseDone(), Say(FalseDone().text)]) as server:
        false, honest = (_ask(clients, face, server, stream) for _ in range(2))
    assert false == honest
    assert not false.calls


@faces
@ways
def test_arguments_that_are_no_json_arrive_as_each_api_can_carry_them(
    clients: Clients, face: str, stream: bool
) -> None:
    """OpenAI hands the text through; Anthropic's client makes of the pieces what it can; Gemini has an end for it."""
    with ModelServer(BadCall("read", '{"path": "sr')) as server:
        seen = _ask(clients, face, server, stream)
    if face == "generate":
        assert (seen.calls, seen.end) == ([], "MALFORMED_FUNCTION_CALL")
    elif face == "messages":
        (call,) = seen.calls
        assert call[0] == "read"
        assert json.loads(call[1]) != {"path": "src"}
    else:
        assert seen.calls == [("read", '{"path": "sr')]


@faces
@ways
def test_a_tool_that_nobody_has_is_called_as_if_it_were_there(clients: Clients, face: str, stream: bool) -> None:
    """The client's own code has to notice."""
    with ModelServer(BadCall(arguments="{}")) as server:
        assert _ask(clients, face, server, stream).calls == [("no_such_tool", "{}")]


def _status(problem: BaseException) -> int | None:
    return getattr(problem, "status_code", None) or getattr(problem, "code", None)


STATUSES: list[tuple[Any, dict[str, type[Exception]], dict[str, int]]] = [
    (RateLimited(20), {"openai": openai.RateLimitError, "anthropic": anthropic.RateLimitError}, {"": 429}),
    (RateLimited(), {"openai": openai.RateLimitError, "anthropic": anthropic.RateLimitError}, {"": 429}),
    (
        NoCredit(),
        {"openai": openai.RateLimitError, "anthropic": anthropic.BadRequestError},
        {"": 429, "messages": 400},
    ),
    (
        Unauthorized(),
        {"openai": openai.AuthenticationError, "anthropic": anthropic.AuthenticationError},
        {"": 401, "generate": 400},
    ),
    (
        Broken(),
        {"openai": openai.InternalServerError, "anthropic": anthropic.InternalServerError},
        {"": 500},
    ),
    (
        Overloaded(),
        {"openai": openai.InternalServerError, "anthropic": anthropic.APIStatusError},
        {"": 503, "messages": 529},
    ),
    (
        ContextTooLong(midway=False),
        {"openai": openai.BadRequestError, "anthropic": anthropic.BadRequestError},
        {"": 400},
    ),
]


@faces
@ways
@pytest.mark.parametrize(
    ("fault", "raised", "status"), STATUSES, ids=[f"{type(row[0]).__name__}-{at}" for at, row in enumerate(STATUSES)]
)
def test_a_refused_request_raises_what_the_client_has_for_it(
    clients: Clients, face: str, stream: bool, fault: Any, raised: dict[str, type[Exception]], status: dict[str, int]
) -> None:
    """The vendors' own classes, statuses and words."""
    # shows: N8
    kind = {"messages": "anthropic", "generate": "gemini"}.get(face, "openai")
    expected = raised.get(kind, google_errors.APIError)
    with ModelServer(fault) as server, pytest.raises(expected) as caught:
        _ask(clients, face, server, stream)
    assert _status(caught.value) == status.get(face, status[""])
    assert server.requests[0].turn is fault
    if isinstance(fault, ContextTooLong):
        told = str(caught.value)
        assert any(word in told for word in ("context length", "context window", "prompt is too long", "token count"))


def test_a_quota_tells_its_reset_as_each_api_does(clients: Clients) -> None:
    """Seconds, durations, absolute times, and an entry in the body."""
    clock = FakeClock()
    with ModelServer(RateLimited(reset_s=90.5), clock=clock) as server:
        with pytest.raises(openai.RateLimitError) as at_openai:
            clients.chat(server, False)
        with pytest.raises(anthropic.RateLimitError) as at_anthropic:
            clients.messages(server, True)
        with pytest.raises(google_errors.ClientError) as at_google:
            clients.generate(server, True)
    headers = at_openai.value.response.headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("91", "90500")
    assert headers["x-ratelimit-reset-requests"] == "1m30.5s"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert at_openai.value.code == "rate_limit_exceeded"
    told = at_anthropic.value.response.headers
    assert told["retry-after"] == "91"
    reset = datetime.fromisoformat(told["anthropic-ratelimit-requests-reset"])
    assert reset == (DAWN + timedelta(seconds=90)).replace(tzinfo=UTC)
    details = at_google.value.details["error"]["details"]
    assert [entry["retryDelay"] for entry in details if entry["@type"].endswith("RetryInfo")] == ["90.5s"]


def test_a_quota_without_a_reset_says_nothing_of_when(clients: Clients) -> None:
    """No header and no entry that somebody could wait by."""
    with ModelServer(RateLimited()) as server:
        with pytest.raises(openai.RateLimitError) as at_openai:
            clients.responses(server, True)
        with pytest.raises(anthropic.RateLimitError) as at_anthropic:
            clients.messages(server, False)
        with pytest.raises(google_errors.ClientError) as at_google:
            clients.generate(server, False)
    for headers in (at_openai.value.response.headers, at_anthropic.value.response.headers):
        assert not [name for name in headers if "retry" in name or "reset" in name]
    assert "RetryInfo" not in str(at_google.value.details)


def test_an_empty_account_is_told_from_a_rate_by_its_code(clients: Clients) -> None:
    """OpenAI answers both with 429."""
    with ModelServer(NoCredit()) as server, pytest.raises(openai.RateLimitError) as caught:
        clients.chat(server, False)
    assert caught.value.code == "insufficient_quota"


@faces
@pytest.mark.parametrize("fault", [RateLimited(7, midway=True), Overloaded(midway=True), Broken(midway=True)], ids=repr)
def test_a_fault_in_an_open_stream_comes_after_words(clients: Clients, face: str, fault: Any) -> None:
    """The status was 200 when it opened. The responses API raises nothing: it tells of a response that failed."""
    with ModelServer(fault) as server:
        if face == "responses":
            assert clients.responses(server, True).end.startswith("failed ")  # type: ignore[union-attr]
            return
        expected = {"chat": openai.APIError, "messages": anthropic.APIStatusError, "generate": google_errors.APIError}
        with pytest.raises(expected[face]) as caught:
            _ask(clients, face, server, True)
        if face == "messages":
            assert caught.value.response.status_code == 200  # type: ignore[attr-defined]


def test_a_stream_of_responses_tells_in_the_stream_that_the_context_is_too_long(clients: Clients) -> None:
    """As it is told to Codex; the whole answer has status 400."""
    with ModelServer(ContextTooLong()) as server:
        assert clients.responses(server, True).end == "failed context_length_exceeded"
        with pytest.raises(openai.BadRequestError) as caught:
            clients.responses(server, False)
    assert caught.value.code == "context_length_exceeded"


CUT: Any = (
    openai.APIConnectionError,
    anthropic.APIConnectionError,
    httpx.RemoteProtocolError,
    httpx2.RemoteProtocolError,
)


@faces
@ways
def test_a_dropped_connection_raises(clients: Clients, face: str, stream: bool) -> None:
    """In the middle of a stream, or of the body of a whole answer."""
    with ModelServer(Dropped()) as server, pytest.raises(CUT):
        _ask(clients, face, server, stream)
    assert server.requests[0].wait() == "cut"


@faces
def test_a_stream_that_ends_too_early_but_cleanly_raises_nothing(clients: Clients, face: str) -> None:
    """No client complains; that there is no reason for the end is all that tells."""
    whole = "a long answer of which some is missing"
    with ModelServer(Dropped(Say(whole), clean=True)) as server:
        seen = _ask(clients, face, server, True)
    assert seen.end is None
    assert seen.text != whole
    assert whole.startswith(seen.text)


@faces
@ways
def test_a_page_instead_of_json_is_never_an_answer(clients: Clients, face: str, stream: bool) -> None:
    """Status 200, and each client breaks in its own way, or, streaming, gives back nothing at all."""
    with ModelServer(Html()) as server:
        if face == "chat" and stream:
            assert clients.chat(server, True) == Seen()
            return
        if face == "responses" and stream:
            assert clients.responses(server, True) == Seen()
            return
        with pytest.raises((AttributeError, AssertionError, ValueError, google_errors.UnknownApiResponseError)):
            _ask(clients, face, server, stream)


@faces
@ways
def test_a_stall_lasts_until_the_client_has_enough(face: str, stream: bool) -> None:
    """Bytes come, then none; the server notices that the client went away."""
    # shows: N8
    paths = {
        "chat": ("openai", "/chat/completions"),
        "responses": ("openai", "/responses"),
        "messages": ("anthropic", "/v1/messages"),
        "generate": ("gemini", f"/v1beta/models/m:{'streamG' if stream else 'g'}enerateContent?alt=sse"),
    }
    api, path = paths[face]
    with ModelServer(Stalled()) as server:
        came: list[bytes] = []
        with (
            httpx.Client(timeout=httpx.Timeout(5, read=0.1)) as client,
            client.stream("POST", server.url(api) + path, json={"model": "m", "stream": stream}) as response,
        ):
            assert response.status_code == 200
            with pytest.raises(httpx.ReadTimeout):
                came.extend(response.iter_raw())
        assert came
        assert server.requests[0].wait() == "client left"


def test_a_stall_before_any_byte_and_the_end_of_the_server() -> None:
    """Closing cuts off whoever waits; nobody hangs."""
    with ModelServer(Stalled(opened=False)) as server:
        problems: list[Exception] = []

        def ask() -> None:
            try:
                httpx.post(server.url("openai") + "/responses", json={}, timeout=20)
            except httpx.HTTPError as problem:
                problems.append(problem)

        asking = threading.Thread(target=ask)
        asking.start()
        assert server.wait_for(1)
    asking.join(5)
    assert [type(problem) for problem in problems] == [httpx.RemoteProtocolError]
    assert server.requests[0].outcome == "server closed"


@faces
def test_a_slow_answer_goes_frame_by_frame_as_it_is_let(clients: Clients, face: str) -> None:
    """Nothing sleeps: a frame is sent when the test says so."""
    pace = Pace()
    seen: list[Seen] = []
    with ModelServer(Slow(Say("one two three four five six"), pace)) as server:
        asking = threading.Thread(target=lambda: seen.append(_ask(clients, face, server, True)))
        asking.start()
        pace.step(2)
        assert pace.wait_sent(2)
        assert not pace.wait_sent(3, timeout_s=0.02)
        assert not seen
        pace.set()
        asking.join(10)
    assert seen[0].text == "one two three four five six"


def test_closing_ends_an_answer_that_is_waiting_for_its_pace() -> None:
    """The test forgot to let it go on."""
    pace = Pace()
    with ModelServer(Slow(Say("never"), pace)) as server:
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(b"POST /openai/v1/responses HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
        assert server.wait_for(1)
    connection.close()
    assert server.requests[0].wait() == "server closed"


def test_a_model_obeys_what_a_tool_brought_in_and_only_then(clients: Clients) -> None:
    """Until the hostile text is in an output the model keeps reading; after it, it does as told."""
    # shows: N9
    injection = Injection(obeyed=Call("shell", {"command": "env"}), until=Call("read", {"path": "README"}))
    with ModelServer([injection, Say("DONE")]) as server:
        for _ in range(2):
            assert _ask(clients, "messages", server, False).calls == [("read", '{"path": "README"}')]
        result = {"type": "tool_result", "tool_use_id": "c", "content": f"# Title\n{injection.text}\nmore"}
        poisoned = [{"role": "user", "content": [result]}]
        assert _ask(clients, "messages", server, False, poisoned).calls == [("shell", '{"command": "env"}')]
        assert _ask(clients, "messages", server, False, poisoned).text == "DONE"


def test_scripts_are_chosen_by_key_then_model_then_operation_then_api(clients: Clients) -> None:
    """Each is used up on its own; who has none gets the common one."""
    scripts = {"sk-test": [Say("key")], "gemini": [Say("gemini")]}
    with ModelServer(Say("common"), scripts=scripts) as server:
        assert clients.chat(server, False).text == "key"
        headers = {"authorization": "Bearer other"}
        told = httpx.post(f"{server.url('openai')}/chat/completions", json={"model": "m"}, headers=headers).json()
        assert told["choices"][0]["message"]["content"] == "common"
        path = f"{server.url('gemini')}/v1beta/models/m:generateContent?key=other"
        assert httpx.post(path, json={}).json()["candidates"][0]["content"]["parts"] == [{"text": "gemini"}]
    assert [request.key for request in server.requests] == ["sk-test", "other", "other"]
    with ModelServer(scripts={"responses": Say("r"), "m-1": Say("model"), "openai": Say("o")}) as server:
        assert clients.responses(server, False).text == "model"


def test_the_last_turn_stays_and_a_function_sees_the_request(clients: Clients) -> None:
    """As with the scripted agent."""
    with ModelServer([Say("first"), Say("last")]) as server:
        assert [clients.chat(server, False).text for _ in range(4)] == ["first", "last", "last", "last"]

    def turn(request: Request) -> Any:
        return Say(f"{request.number} {request.api} {request.messages[-1].text}")

    with ModelServer(turn) as server:
        assert clients.generate(server, True).text == f"0 gemini {QUESTION}"
        assert clients.messages(server, True).text == f"1 anthropic {QUESTION}"


def test_requests_without_tools_are_aside_and_use_up_nothing(clients: Clients) -> None:
    """Agents ask for titles in between."""
    with ModelServer([Say("one"), Say("two")], aside=Say("A title")) as server:
        assert clients.chat(server, False).text == "one"
        title = httpx.post(f"{server.url('openai')}/responses", json={"input": "name this"}).json()
        assert title["output"][0]["content"][0]["text"] == "A title"
        assert clients.chat(server, False).text == "two"


@faces
def test_another_key_is_refused_and_uses_up_nothing(clients: Clients, face: str) -> None:
    """A client that was given the wrong one, or found one it should not have."""
    with (
        ModelServer(keys={"sk-right"}) as server,
        pytest.raises((openai.AuthenticationError, anthropic.AuthenticationError, google_errors.ClientError)),
    ):
        _ask(clients, face, server, False)
    assert server.requests[0].turn is None


def test_models_and_counts_are_served_beside_the_script(clients: Clients) -> None:
    """They use up no turn and stand in a list of their own."""
    with ModelServer(models=("a-1", "b-2")) as server:
        at_openai = clients.openai.with_options(base_url=server.url("openai"))
        assert [model.id for model in at_openai.models.list()] == ["a-1", "b-2"]
        assert at_openai.models.retrieve("b-2").id == "b-2"
        with pytest.raises(openai.NotFoundError):
            at_openai.models.retrieve("c-3")
        at_anthropic = clients.anthropic.with_options(base_url=server.url("anthropic"))
        assert [model.id for model in at_anthropic.models.list()] == ["a-1", "b-2"]
        asked: Any = [{"role": "user", "content": "x" * 400}]
        assert at_anthropic.messages.count_tokens(model="a-1", messages=asked).input_tokens == 104
        options = google_types.HttpOptions(base_url=server.url("gemini"))
        counting = google_types.CountTokensConfig(http_options=options)
        counted = clients.gemini.models.count_tokens(model="a-1", contents="x" * 400, config=counting)
        assert counted.total_tokens == 104
        listing = google_types.ListModelsConfig(http_options=options)
        assert [model.name for model in clients.gemini.models.list(config=listing)] == ["models/a-1", "models/b-2"]
    assert server.requests == []
    assert [request.operation for request in server.others] == [*["models"] * 4, *["count"] * 2, "models"]


@faces
def test_usage_is_estimated_or_left_out_where_no_numbers_are_given(clients: Clients, face: str) -> None:
    """A token for four characters; some servers tell nothing."""
    with ModelServer([Say("x" * 400), Say("x", usage="omitted")]) as server:
        estimated = _ask(clients, face, server, True).used
        assert estimated is not None
        assert estimated[2] == 100
        assert estimated[0] > len(QUESTION) // 4
        assert _ask(clients, face, server, True).used == ((0, 0, 0) if face == "messages" else None)


def test_a_stream_of_chat_tells_usage_only_when_asked() -> None:
    """As OpenAI does."""
    with ModelServer() as server:
        body: dict[str, Any] = {"model": "m", "stream": True, "messages": []}
        silent = httpx.post(f"{server.url('openai')}/chat/completions", json=body).text
        told = httpx.post(
            f"{server.url('openai')}/chat/completions", json=body | {"stream_options": {"include_usage": True}}
        ).text
    assert "completion_tokens" not in silent
    assert "completion_tokens" in told


def test_tools_of_free_text_are_called_with_text(clients: Clients) -> None:
    """Codex's `apply_patch` is one."""
    patch = "*** Begin Patch\n*** Add File: a.py\n+x = 1\n*** End Patch\n"
    with ModelServer([Call("apply_patch", patch), Call("apply_patch", {"input": patch})]) as server:
        client = clients.openai.with_options(base_url=server.url("openai"))
        tools: Any = [{"type": "custom", "name": "apply_patch", "format": {"type": "text"}}]
        whole: Any = client.responses.create(model="m", input="x", tools=tools).output[0]
        with client.responses.stream(model="m", input="x", tools=tools) as told:
            streamed: Any = told.get_final_response().output[0]
    assert (whole.type, whole.input) == ("custom_tool_call", patch)
    assert (streamed.type, streamed.input) == ("custom_tool_call", patch)


def test_the_array_that_gemini_streams_without_sse_is_json() -> None:
    """Asked without `alt=sse` it streams one array."""
    with ModelServer(Say("a long answer in several pieces")) as server:
        path = f"{server.url('gemini')}/v1beta/models/m:streamGenerateContent"
        chunks = httpx.post(path, json={}).json()
    texts = [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks]
    assert "".join(texts) == "a long answer in several pieces"


def test_the_same_script_gives_the_same_bytes() -> None:
    """No time of day, no chance."""
    turns = [[Say("hello there, all of you"), Call("read", {"path": "a"})], RateLimited(5), Truncated()]
    told: list[list[bytes]] = []
    for _ in range(2):
        with ModelServer(turns) as server, httpx.Client() as client:
            rows = []
            for api, path in (("openai", "/responses"), ("openai", "/chat/completions"), ("anthropic", "/v1/messages")):
                answer = client.post(server.url(api) + path, json={"model": "m", "stream": True})
                rows.append(repr(sorted(answer.headers.items())).encode() + answer.content)
            told.append(rows)
    assert told[0] == told[1]


def test_it_listens_on_a_unix_socket_as_well(tmp_path: Path) -> None:
    """What a gateway outside of a sandbox listens on; the file goes with the server."""
    path = tmp_path / "model.sock"
    with ModelServer(unix=path) as server:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            told = client.post("http://model/openai/v1/responses", json={"model": "m"}).json()
        assert told["output"][0]["content"][0]["text"] == "Hello."
        assert len(server.requests) == 1
    assert not path.exists()


def test_bodies_come_compressed_or_in_chunks() -> None:
    """Codex compresses its own."""
    import zstandard

    body = json.dumps({"model": "m", "input": "packed"}).encode()
    with ModelServer() as server:
        for coding, packed in (("gzip", gzip.compress(body)), ("zstd", zstandard.compress(body))):
            answer = httpx.post(
                f"{server.url('openai')}/responses", content=packed, headers={"content-encoding": coding}
            )
            assert answer.status_code == 200
        assert httpx.post(f"{server.url('openai')}/responses", content=iter([body[:9], body[9:]])).status_code == 200
    assert [request.text for request in server.requests] == ["packed"] * 3


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /openai/v1/responses HTTP/1.1\r\ncontent-length: many\r\n\r\n", b"400"),
        (b"POST /openai/v1/responses HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST /openai/v1/responses HTTP/1.1\r\ncontent-encoding: zstd\r\ncontent-length: 3\r\n\r\nabc", b"400"),
        (b"POST /openai/v1/responses HTTP/1.1\r\ncontent-length: 3\r\n\r\n[1]", b"400"),
        (b"POST /openai/v1/embeddings HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", b"404"),
        (b"GET /favicon.ico HTTP/1.1\r\n\r\n", b"404"),
    ],
)
def test_what_nobody_understands_is_answered_and_the_server_stays(sent: bytes, status: bytes) -> None:
    """An error of the client is none of the script's: nothing is raised at the end."""
    with ModelServer() as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(sent)
            assert connection.recv(4096).split()[1] == status
        assert httpx.post(f"{server.url('openai')}/responses", json={}).status_code == 200
    assert len(server.requests) == 1


_NAMES = """messages input contents parts role content type text tools function functionDeclarations name stream
    tool_calls functionResponse functionCall response system systemInstruction stop_sequences stream_options
    arguments args output generateContentRequest""".split()  # noqa: SIM905
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=80, deadline=None)
@given(body=st.dictionaries(st.text(max_size=3), json_values) | json_values)
def test_no_body_whatever_breaks_the_reading_of_it(body: Any) -> None:
    """Each API reads any JSON object; what is not as it should be is left out."""
    from daybreak.testing.modelserver.handler import _ROUTES

    given_body = body if isinstance(body, dict) else {"messages": body, "input": body, "contents": body, "tools": body}
    for _, _, api, operation, dialect in _ROUTES:
        content = dialect.read(given_body, "/v1beta/models/m:generateContent")
        request = Request(0, api, operation, "POST", "/", {}, given_body, "k", content)
        from daybreak.testing.modelserver.answers import answer

        json.dumps(dialect.whole(answer(Say("x", stop="sequence"), request), request))
        assert b"".join(dialect.frames(answer(Call("t"), request), request))


def test_many_clients_at_once_use_up_one_script_without_loss() -> None:
    """Each turn goes to one of them."""
    count = 40
    with ModelServer([Say(f"turn {at}") for at in range(count)]) as server:

        async def ask(client: httpx.AsyncClient) -> str:
            told = await client.post(f"{server.url('openai')}/responses", json={"model": "m", "input": "x"})
            return str(told.json()["output"][0]["content"][0]["text"])

        async def ask_all() -> list[str]:
            async with httpx.AsyncClient(timeout=20) as client:
                return await asyncio.gather(*(ask(client) for _ in range(count)))

        said = asyncio.run(ask_all())
    assert sorted(said) == sorted(f"turn {at}" for at in range(count))
    assert [request.number for request in server.requests] == list(range(count))


@pytest.mark.parametrize(
    "script",
    ["Hello.", [], [[]], ["Hello."], [[RateLimited()]], Slow(Stalled(), Pace()), Dropped(Html()), [None], 7],
    ids="text empty nothing texts fault-among-parts slow-stall dropped-page none number".split(),  # noqa: SIM905
)
def test_a_script_that_nobody_can_follow_is_refused_before_it_begins(script: Any) -> None:
    """Not when the client asks."""
    with pytest.raises(ScriptWrong) as caught:
        ModelServer(script)
    assert caught.value.hint


def test_what_a_script_function_raises_is_raised_at_the_end(clients: Clients) -> None:
    """The client sees a 500; the test sees the reason."""

    def breaks(request: Request) -> Any:
        raise KeyError("no such turn")

    server = ModelServer(breaks)
    server.start()
    with pytest.raises(openai.InternalServerError):
        clients.chat(server, False)
    with pytest.raises(openai.InternalServerError):
        clients.responses(server, True)
    with pytest.raises(KeyError, match="no such turn"):
        server.__exit__(None, None, None)
    with pytest.raises(ScriptWrong), ModelServer(lambda request: "Hello.") as server:
        broken = httpx.post(f"{server.url('anthropic')}/v1/messages", json={})
    assert (broken.status_code, broken.headers["connection"]) == (500, "close")
    with pytest.raises(openai.InternalServerError) as caught, ModelServer(breaks) as server:
        clients.chat(server, False)
    assert "no such turn" in caught.value.__notes__[0]


def test_addresses_are_known_only_while_it_listens() -> None:
    """And only of APIs that it speaks."""
    server = ModelServer()
    with pytest.raises(ScriptWrong):
        server.url("openai")
    with server:
        assert server.url() == f"http://127.0.0.1:{server.port}"
        with pytest.raises(ScriptWrong):
            server.url("cohere")
        server.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{server.requests or 1}")


def _pydantic_model(face: str, server: ModelServer, http: httpx2.AsyncClient) -> Any:
    """One of pydantic-ai's models, with its vendor's retries off."""
    vendors: Any = {"api_key": "k", "http_client": http, "max_retries": 0}
    if face == "messages":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        anthropics = anthropic.AsyncAnthropic(base_url=server.url("anthropic"), **vendors)
        return AnthropicModel("m-1", provider=AnthropicProvider(anthropic_client=anthropics))
    if face == "generate":
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleModel("m-1", provider=GoogleProvider(api_key="k", base_url=server.url("gemini"), http_client=http))
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    client = openai.AsyncOpenAI(base_url=server.url("openai"), **vendors)
    kind: Callable[..., Any] = OpenAIResponsesModel if face == "responses" else OpenAIChatModel
    return kind("m-1", provider=OpenAIProvider(openai_client=client))


def _run_pydantic(face: str, server: ModelServer, stream: bool) -> tuple[str, list[str], Any]:
    """Output, the paths that its tool was called with, usage."""
    from pydantic_ai import Agent

    paths: list[str] = []

    def read(path: str) -> str:
        """Read a file."""
        paths.append(path)
        return f"content of {path}"

    async def work() -> tuple[str, Any]:
        async with httpx2.AsyncClient(timeout=10) as http:
            agent = Agent(_pydantic_model(face, server, http), tools=[read])
            if not stream:
                done = await agent.run("Look at a and b.")
                return done.output, done.usage
            async with agent.run_stream("Look at a and b.") as told:
                return await told.get_output(), told.usage

    output, usage = asyncio.run(work())
    return output, paths, usage


@faces
@ways
def test_pydantic_ai_calls_its_tools_and_comes_to_an_end(face: str, stream: bool) -> None:
    """Two calls in one turn, their results in the next request, usage added up."""
    # shows: F9
    reads = [Call("read", {"path": "a"}), Call("read", {"path": "b"}, usage=Usage(input_tokens=100, output_tokens=10))]
    script = [reads, Say("Both read.", usage=Usage(input_tokens=200, cached_tokens=50, output_tokens=20))]
    with ModelServer(script) as server:
        output, paths, usage = _run_pydantic(face, server, stream)
    assert (output, sorted(paths)) == ("Both read.", ["a", "b"])
    assert sorted(server.requests[1].tool_outputs) == ["content of a", "content of b"]
    assert (usage.input_tokens, usage.output_tokens, usage.requests) == (300, 30, 2)
    assert usage.cache_read_tokens == 50


@faces
def test_pydantic_ai_asks_again_after_a_bad_call_and_raises_typed_errors(face: str) -> None:
    """A tool that is not there is told to the model; a quota is an error with its status."""
    from pydantic_ai.exceptions import ModelHTTPError

    with ModelServer([BadCall(arguments="{}"), Say("Sorry.")]) as server:
        assert _run_pydantic(face, server, False)[0] == "Sorry."
    assert "no_such_tool" in server.requests[1].text
    with ModelServer(RateLimited(3)) as server, pytest.raises(ModelHTTPError) as caught:
        _run_pydantic(face, server, False)
    assert caught.value.status_code == 429


def test_importing_the_package_loads_no_client_and_no_server() -> None:
    """`daybreak.testing` alone costs nothing; the server needs no vendor's library."""
    code = (
        "import sys, daybreak.testing as t; early = 'http.server' in sys.modules; t.ModelServer; "
        "print(early, [m for m in ('openai', 'anthropic', 'google.genai', 'pydantic_ai', 'httpx') if m in sys.modules])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert told.stdout.strip() == "False []"


def test_the_reference_names_every_turn() -> None:
    """And the attributes that tests look at."""
    page = PAGE.read_text()
    names = [
        name for name, value in vars(turns_module).items() if getattr(value, "__module__", "") == turns_module.__name__
    ]
    assert {"Say", "RateLimited", "Pace"} <= set(names)
    for name in [*names, "ModelServer", "requests", "others", "outcome", "wait_for", "aside", "scripts", "keys"]:
        assert f"`{name}" in page, name
