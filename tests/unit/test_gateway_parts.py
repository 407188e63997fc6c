"""The gateway's parts alone: events cut from bytes, tokens counted, money, errors of every provider."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.agents.gateway import count, reach, troubles, wire
from daybreak.agents.gateway.count import Count
from daybreak.agents.gateway.dialects import dialect
from daybreak.agents.gateway.dialects.anthropic import Anthropic
from daybreak.agents.gateway.dialects.dialect import Action, Dialect, RequestWrong
from daybreak.agents.gateway.dialects.gemini import Gemini
from daybreak.agents.gateway.dialects.openai import OpenAI
from daybreak.agents.gateway.lines import Events, EventTooLong
from daybreak.settings import Price

NOW = datetime(2026, 11, 21, 5, tzinfo=UTC)
ACTIONS: list[tuple[Dialect, Action]] = [
    (OpenAI(), "chat"), (OpenAI(), "responses"), (Anthropic(), "messages"), (Gemini(), "stream"),
]  # fmt: skip


# -- events

_lines = st.sampled_from(["data: x", "data:y", 'data: {"a": 1}', "event: e", ": alive", "id: 5", "data"])


@given(st.lists(st.lists(_lines, min_size=1, max_size=3), max_size=6), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_events_are_the_same_however_the_bytes_arrive(found: list[list[str]], end: str, data: st.DataObject) -> None:
    """Every byte comes out once and in order; an event's data are its `data:` lines."""
    text = "".join("".join(line + end for line in one) + end for one in found).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    cutter, out = Events(), []
    for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
        out += list(cutter.feed(text[start:stop]))
    out.append(cutter.rest())
    assert b"".join(raw for raw, _ in out) == text
    wanted = [
        "\n".join(line[5:].removeprefix(" ") for line in one if line.startswith("data:")).encode()
        for one in found
        if any(line.startswith("data:") for line in one)
    ]
    assert [told for _, told in out if told is not None] == wanted


def test_an_event_without_an_end_is_not_kept_for_ever() -> None:
    """Whoever sends no empty line must not fill our memory."""
    cutter = Events()
    for _ in range(16):
        list(cutter.feed(b"x" * 1_000_000))
    with pytest.raises(EventTooLong):
        list(cutter.feed(b"x" * 1_000_000))


# -- counting

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["choices", "usage", "delta", "message", "type", "error", "candidates", "content", "parts", "usageMetadata",
         "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "promptTokenCount", "response"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(ACTIONS), st.lists(_json | st.just("message_delta"), max_size=4), st.binary(max_size=20))
def test_no_answer_breaks_a_meter(which: tuple[Dialect, Action], events: list[Any], noise: bytes) -> None:
    """Whatever a provider sends: numbers that can be counted and paid come out, and never less than nothing."""
    meter = which[0].meter(which[1])
    for one in events:
        meter.event(json.dumps(one).encode())
    meter.event(noise)
    counted = meter.count
    assert 0 <= counted.cached_tokens <= counted.input_tokens <= 2 * count.TOKENS_MAX
    assert 0 <= counted.output_now <= 3 * count.TOKENS_MAX
    assert count.money_microusd(Price(input=1, output=2), counted) >= 0


def test_deep_answers_do_not_break_a_meter() -> None:
    """Nested deeper than any reader goes."""
    for which, action in ACTIONS:
        meter = which.meter(action)
        meter.event(b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
        meter.event(b'{"delta":' + b"[" * 100_000)
        assert meter.count.output_now > 0


def fed(which: Dialect, action: Action, *events: dict[str, Any]) -> Count:
    meter = which.meter(action)
    for one in events:
        meter.event(json.dumps(one).encode())
    return meter.count


def test_caches_are_paid_at_their_price() -> None:
    """Read at the cached price; written, for Anthropic, dearer than input."""
    price = Price(input=10, cached=1, output=100)
    usage = {
        "input_tokens": 100,
        "cache_read_input_tokens": 1_000,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
        "output_tokens": 1,
    }
    counted = fed(
        Anthropic(),
        "messages",
        {"type": "message_start", "message": {"usage": usage}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hello you"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    )
    assert (counted.input_tokens, counted.cached_tokens, counted.output_now) == (1_400, 1_000, 5)
    assert (counted.told, counted.done, counted.ended) == (True, True, "end_turn")
    assert count.money_microusd(price, counted) == 100 * 10 + 1_000 * 1 + 200 * 12.5 + 100 * 20 + 5 * 100
    assert count.money_microusd(None, counted) == 0
    assert count.money_microusd(Price(input=10, output=0), counted) == 11_000 + 4_500


def test_thoughts_are_output() -> None:
    """Gemini's stand beside the answer; some of OpenAI's copies show them in the sum only."""
    gemini = fed(
        Gemini(),
        "stream",
        {
            "candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 2, "thoughtsTokenCount": 90,
                              "cachedContentTokenCount": 4, "toolUsePromptTokenCount": 5, "totalTokenCount": 107},
        },
    )  # fmt: skip
    assert (gemini.input_tokens, gemini.cached_tokens, gemini.output_now, gemini.told) == (15, 4, 92, True)
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 100}
    chat = fed(OpenAI(), "chat", {"choices": [], "usage": usage})
    assert (chat.output_now, chat.told) == (90, True)


def test_what_is_told_on_the_way_is_not_the_last_word() -> None:
    """Servers that tell with each chunk how much it is so far: the characters go before it until the end."""
    first = {"choices": [{"delta": {"content": "x" * 400}}], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}
    assert fed(OpenAI(), "chat", first).output_now == 100
    last = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 5, "completion_tokens": 90}}
    assert fed(OpenAI(), "chat", first, last).output_now == 90


@given(st.integers(0, 10**9), st.floats(0, 1000, allow_subnormal=False))
def test_what_is_affordable_can_be_paid(money: int, output: float) -> None:
    """And one token more could not."""
    price = Price(input=1, output=output)
    tokens = count.affordable(price, money)
    assert count.worst_microusd(price, 0, tokens) <= money
    if output > 0.001:
        assert count.worst_microusd(price, 0, tokens + 2) > money


# -- requests


def test_the_worst_case_is_read_from_the_request() -> None:
    """Limits of each API, times the answers asked for; without one a default."""
    cases: list[tuple[Dialect, Action, dict[str, Any], int, bool]] = [
        (OpenAI(), "chat", {"max_tokens": 10, "max_completion_tokens": 20, "n": 3}, 60, True),
        (OpenAI(), "chat", {}, dialect.OUTPUT_DEFAULT, False),
        (OpenAI(), "responses", {"max_output_tokens": 7}, 7, True),
        (Anthropic(), "messages", {"max_tokens": 9}, 9, True),
        (Gemini(), "stream", {"generationConfig": {"maxOutputTokens": 8, "candidateCount": 2}}, 16, True),
        (Gemini(), "generate", {"generation_config": {"max_output_tokens": 8}}, 8, True),
    ]
    for which, action, body, most, said in cases:
        asked = which.asked(action, json.dumps({"model": "m", **body}).encode(), "m", "", usage=True)
        assert (asked.output_max, asked.output_said, asked.model) == (most, said, "m")
    cached = {"system": [{"cache_control": {"type": "ephemeral", "ttl": "1h"}}], "max_tokens": 1}
    assert Anthropic().asked("messages", json.dumps(cached).encode(), "", "m", usage=True).input_factor == 2.0


@given(st.binary(max_size=60) | _json.map(lambda value: json.dumps(value).encode()))
def test_no_request_breaks_a_dialect(body: bytes) -> None:
    """It is read, or refused as wrong."""
    for which, action in ACTIONS:
        try:
            asked = which.asked(action, body, "m", "enforced", usage=True)
        except RequestWrong:
            continue
        assert asked.model == "enforced"
        sent = json.loads(asked.body)
        assert which.name == "gemini" or sent["model"] == "enforced"


def test_pictures_are_not_paid_by_their_letters() -> None:
    """A request of a megabyte that is a picture is a few thousand tokens, one of text a few hundred thousand."""
    picture = json.dumps({"data": "A" * 1_000_000}).encode()
    text = json.dumps({"data": "word " * 200_000}).encode()
    assert dialect.input_tokens(picture) < 15_000
    assert dialect.input_tokens(text) > 300_000


# -- headers


@given(
    st.lists(st.tuples(st.sampled_from([b"connection", b"x-a", b"te", b"authorization", b"accept"]), st.just(b"x-a")))
)
def test_headers_of_a_connection_stay_with_it(headers: list[tuple[bytes, bytes]]) -> None:
    """Those that `Connection` names too."""
    kept = [name for name, _ in wire.to_provider(headers, {"Authorization": "Bearer k"})]
    assert kept.count(b"authorization") == 1
    assert not {b"connection", b"te"} & set(kept)
    assert (b"x-a" in kept) == (b"x-a" in dict(headers) and b"connection" not in dict(headers))


def test_tokens_in_the_query_go_no_further() -> None:
    """Gemini's clients may send the key there; and a field mask would leave the usage out of the answer."""
    assert wire.query(b"alt=sse&key=abc&x=1&fields=candidates&$fields=a&%6bey=b&alt=proto&beta=true") == (
        b"alt=sse&beta=true"
    )
    assert wire.query(b"key=abc") == b""


# -- troubles


def _anthropic(message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


@pytest.mark.parametrize(
    ("status", "body", "trouble"),
    [
        (400, {"error": {"message": "This model's maximum context length is 8192 tokens", "code": None}}, "context"),
        (400, {"error": {"code": "context_length_exceeded", "message": "too long"}}, "context"),
        (400, _anthropic("prompt is too long: 9 > 8"), "context"),
        (400, {"error": {"status": "INVALID_ARGUMENT", "message": "The input token count (9) exceeds"}}, "context"),
        (400, {"error": {"type": "exceed_context_size_error", "message": "n_ctx"}}, "context"),
        (413, "too large", "context"),
        (400, _anthropic("Your credit balance is too low"), "quota"),
        (402, {"error": {"message": "Insufficient credits"}}, "quota"),
        (429, {"error": {"code": "insufficient_quota"}}, "quota"),
        (429, "<html>slow down</html>", "quota"),
        (403, {"error": {"status": "RESOURCE_EXHAUSTED"}}, "quota"),
        (401, {}, "authentication"),
        (403, {"error": {"type": "permission_error"}}, "authentication"),
        (400, {"error": {"code": 400, "details": [{"reason": "API_KEY_INVALID"}]}}, "authentication"),
        (400, {"error": {"message": "API key not valid. Please pass a valid one."}}, "authentication"),
        (404, {"error": {"code": "model_not_found"}}, "unavailable"),
        (500, {}, "outage"), (502, "<html>", "outage"), (503, [], "outage"), (529, {}, "outage"), (408, {}, "outage"),
        (302, "", "outage"),
        (400, {"error": {"type": "invalid_request_error", "message": "temperature must be a number"}}, ""),
        (422, {"detail": [{"loc": ["body"]}]}, ""),
    ],
)  # fmt: skip
def test_errors_of_every_provider_have_their_name(status: int, body: Any, trouble: str) -> None:
    """By status, code or words."""
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert troubles.of_status(status, {}, raw, NOW).trouble == trouble


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"retry-after": "90"}, {}),
        ({"anthropic-ratelimit-unified-reset": str(int(NOW.timestamp()) + 90)}, {}),
        ({}, {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "90s"}]}}),
        ({}, {"error": {"type": "usage_limit_reached", "resets_in_seconds": 90}}),
        ({}, {"error": {"type": "usage_limit_reached", "resets_at": int(NOW.timestamp()) + 90}}),
        ({}, {"error": {"message": "Please try again in 1m30s."}}),
    ],
)
def test_the_end_of_a_quota_is_read_wherever_it_stands(headers: dict[str, str], body: dict[str, Any]) -> None:
    """Headers, fields, sentences."""
    found = troubles.of_status(429, headers, json.dumps(body).encode(), NOW)
    assert found == troubles.Found("quota", NOW + timedelta(seconds=90))


@given(st.integers(300, 599), st.binary(max_size=50) | _json.map(lambda value: json.dumps(value).encode()))
def test_no_error_breaks_the_reading_of_errors(status: int, body: bytes) -> None:
    """Whatever a provider says, it is one of the troubles or none."""
    assert troubles.of_status(status, {"retry-after": "soon"}, body, NOW).trouble in troubles.WORST
    assert troubles.of_fault({"code": status, "message": body, "type": [body.hex()]}, NOW).trouble in troubles.WORST


# -- what is not to be asked for


@pytest.mark.parametrize(
    ("api", "more"),
    [
        ("openai", {"tools": [{"type": "web_search", "external_web_access": True}]}),
        ("openai", {"tools": [{"type": "function", "name": "a"}, {"type": "mcp", "server_url": "https://a.example"}]}),
        ("openai", {"tools": [{"type": "WEB_SEARCH_preview"}]}),
        ("openai", {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}]}),
        ("openai", {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}),
        ("openai", {"web_search_options": {"search_context_size": "low"}}),
        ("openai", {"plugins": [{"id": "web"}]}),
        ("openai", {"models": ["dear"]}),
        ("openai", {"previous_response_id": "resp_of_another"}),
        ("openai", {"conversation": "conv_of_another"}),
        ("openai", {"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://a.example/?secret"}}]}]}),
        ("openai", {"input": [{"content": [{"type": "input_file", "file_url": "HTTP://a.example/x"}]}]}),
        ("anthropic", {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}),
        ("anthropic", {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}),
        ("anthropic", {"mcp_servers": [{"type": "url", "url": "https://a.example"}]}),
        ("anthropic", {"messages": [{"content": [{"type": "image", "source": {"type": "url", "url": "http://a"}}]}]}),
        ("anthropic", {"messages": [{"content": [{"type": "tool_result", "content": [
            {"type": "document", "source": {"type": "url", "url": "https://a"}}]}]}]}),
        ("gemini", {"tools": [{"googleSearch": {}}]}),
        ("gemini", {"tools": [{"functionDeclarations": []}, {"url_context": {}}]}),
        ("gemini", {"cachedContent": "cachedContents/of-another"}),
        ("gemini", {"contents": [{"parts": [{"fileData": {"fileUri": "https://a.example/x"}}]}]}),
    ],
)  # fmt: skip
def test_a_provider_is_no_way_out_of_a_sandbox(api: Any, more: dict[str, Any]) -> None:
    """Neither its tools nor addresses that it would fetch; who has a network may have them."""
    # shows: N9, F8
    body = json.dumps(more).encode()
    with pytest.raises(RequestWrong):
        reach.refuse(api, body, network=False)
    escaped = body.replace(b"image_url", b"image\\u005furl").replace(b"fileUri", b"file\\u0055ri")
    with pytest.raises(RequestWrong):
        reach.refuse(api, escaped, network=False)
    reach.refuse(api, body, network=True)


@pytest.mark.parametrize(
    ("api", "more"),
    [
        ("openai", {"tools": [{"type": "function", "function": {"name": "web_search"}}, {"type": "custom"}]}),
        ("openai", {"tools": [{"type": "local_shell"}, {"type": "shell", "environment": {"type": "local"}}]}),
        ("openai", {"models": None, "plugins": [], "previous_response_id": None, "service_tier": "auto"}),
        (
            "openai",
            {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        ),
        ("openai", {"messages": [{"role": "user", "content": 'they say {"image_url": "https://a"} \\u0041'}]}),
        ("anthropic", {"tools": [{"name": "web_search", "input_schema": {}}, {"type": "bash_20250124"}]}),
        ("anthropic", {"messages": [{"content": [{"type": "tool_use", "input": {"file_url": "https://a"}}]}]}),
        ("gemini", {"tools": [{"functionDeclarations": [{"name": "google_web_search"}]}]}),
        ("gemini", {"contents": [{"parts": [{"functionCall": {"args": {"image_url": "https://a"}}}]}]}),
    ],
)
def test_the_clients_own_tools_and_words_are_its_own(api: Any, more: dict[str, Any]) -> None:
    """Names of functions, and what a model writes into their arguments, may be anything."""
    reach.refuse(api, json.dumps(more).encode(), network=False)


@pytest.mark.parametrize(("api", "more"), [("openai", {"service_tier": "priority"}), ("anthropic", {"speed": "fast"})])
def test_another_price_than_the_one_that_is_counted_is_refused(api: Any, more: dict[str, Any]) -> None:
    """Also with a network: money is counted by one price for a model."""
    # shows: F8
    with pytest.raises(RequestWrong, match="price"):
        reach.refuse(api, json.dumps(more).encode(), network=True)


@pytest.mark.parametrize("name", ["Model", "MAX_TOKENS", "Stream", "maxTokens", "Tools", "service_Tier"])
def test_a_field_that_counts_stands_there_in_its_own_letters(name: str) -> None:
    """Servers that do not care for capitals would take it for the one that was looked at."""
    # shows: F8
    body = json.dumps({"model": "m", "max_tokens": 1, "stream": True, name: 5}).encode()
    with pytest.raises(RequestWrong, match="too near"):
        OpenAI().asked("chat", body, "", "m", True)


def test_a_limit_that_stands_there_twice_is_sent_once() -> None:
    """The one that was read is the one that the provider reads, also inside of Gemini's settings."""
    # shows: F8
    body = b'{"generationConfig": {"maxOutputTokens": 9999, "maxOutputTokens": 7}, "contents": []}'
    asked = Gemini().asked("generate", body, "m", "", False)
    assert asked.output_max == 7
    assert asked.body.count(b"maxOutputTokens") == 1
