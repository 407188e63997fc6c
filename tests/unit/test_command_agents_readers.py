"""What each coding agent's stream means, on lines as the real programs print them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.agents.command.adapters import adapter
from daybreak.agents.command.ending import claim
from daybreak.agents.command.process import Ended, Why
from daybreak.agents.command.story import Reader
from daybreak.agents.command.stream import Line, Lines
from daybreak.agents.command.trouble import declines, judged, until
from daybreak.agents.protocol import Claim, Usage
from daybreak.settings import Worker
from daybreak.testing.clock import FakeClock

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
STREAMING = ("codex", "claude", "pi", "gemini", "opencode", "qwen")


def _reader(kind: str, **options: Any) -> Reader:
    worker = Worker.model_validate({"kind": kind, "options": options})
    return adapter(kind).reader(worker, FakeClock(NOW))


def _end(why: Why = "itself", exit_code: int | None = 0, signal: int | None = None, stderr: str = "") -> Ended:
    return Ended(why, exit_code, signal, stderr, 1.0)


def _heard(kind: str, events: list[Any], ended: Ended | None = None, **options: Any) -> tuple[Claim, list[Usage]]:
    """The claim and the usage after these events (or plain lines)."""
    reader = _reader(kind, **options)
    usage = []
    for event in events:
        text = event if isinstance(event, str) else json.dumps(event, separators=(",", ":"))
        usage += [told for told in reader.read(Line(text)) if isinstance(told, Usage)]
    return claim(reader.story, ended or _end(), NOW), usage


# -- Codex


def _codex(*items: Any, end: Any = None) -> list[Any]:
    usage = {"input_tokens": 5404, "cached_input_tokens": 100, "output_tokens": 14, "reasoning_output_tokens": 0}
    return [
        {"type": "thread.started", "thread_id": "01a1"},
        {"type": "turn.started"},
        *items,
        end or {"type": "turn.completed", "usage": usage},
    ]


_CODEX_COMMAND = {"id": "item_1", "type": "command_execution", "command": "/bin/bash -lc 'ls'", "status": "in_progress"}


def test_codex_that_completed_its_turn_has_finished() -> None:
    """Its last message is the summary, what it names as not built is in the claim."""
    # shows: F8
    told, usage = _heard(
        "codex",
        _codex(
            {"type": "item.started", "item": _CODEX_COMMAND},
            {"type": "item.completed", "item": {"type": "agent_message", "text": "All done.\nNOT BUILT: the menu"}},
        ),
    )
    assert (told.outcome, told.trouble, told.not_built) == ("finished", "", ("the menu",))
    assert usage == [Usage(input_tokens=5404, cached_tokens=100, output_tokens=14)]


def test_codex_tells_totals_and_we_count_differences() -> None:
    """A resumed thread begins with what it had used before."""
    first, second = ({"type": "turn.completed", "usage": {"input_tokens": n, "output_tokens": n}} for n in (100, 130))
    _, usage = _heard("codex", [first, second])
    assert [one.input_tokens for one in usage] == [100, 30]


@pytest.mark.parametrize(
    ("message", "trouble"),
    [
        ("exceeded retry limit, last status: 429 Too Many Requests", "quota"),
        ("Quota exceeded. Check your plan and billing details.", "quota"),
        ("unexpected status 401 Unauthorized: Incorrect API key provided: tok***.", "authentication"),
        ("We’re currently experiencing high demand, which may cause temporary errors.", "outage"),
        ("Selected model is at capacity. Please try a different model.", "outage"),
        ("Codex ran out of room in the model's context window. Start a new thread", "context"),
        ("stream disconnected before completion: stream closed before response.completed", "outage"),
        ("stream disconnected before completion: idle timeout waiting for SSE", "outage"),
        ("daybreak gateway: the budget of this attempt is used up; the answer was cut", "budget"),
    ],
)
def test_codex_that_failed_says_why(message: str, trouble: str) -> None:
    """Also where it exits with 0."""
    # shows: N8
    failed = {"type": "turn.failed", "error": {"message": message}}
    for code in (0, 1):
        told, _ = _heard("codex", _codex({"type": "error", "message": message}, end=failed), _end(exit_code=code))
        assert (told.outcome, told.trouble) == ("crashed", trouble)


def test_codex_that_was_cut_at_its_length_is_partial() -> None:
    """`Incomplete response` looks like a crash and is none."""
    message = "stream disconnected before completion: Incomplete response returned, reason: max_output_tokens"
    failed = {"type": "turn.failed", "error": {"message": "Incomplete response returned, reason: max_output_tokens"}}
    told, _ = _heard("codex", _codex(end=failed), _end(exit_code=1))
    assert (told.outcome, told.trouble) == ("partial", "")
    assert message.endswith("max_output_tokens")


def test_codex_that_reconnects_and_goes_on_has_no_trouble() -> None:
    """What was mended does not count."""
    told, _ = _heard(
        "codex",
        _codex(
            {"type": "error", "message": "Reconnecting... 1/2 (429 Too Many Requests)"},
            {"type": "item.completed", "item": {"type": "agent_message", "text": "Done."}},
        ),
    )
    assert told.trouble == ""


def test_a_refusal_that_the_client_swallowed_is_a_refusal() -> None:
    """Codex and pi leave out what a model says in its field for refusals: tokens, and nothing else."""
    # shows: N8
    told, _ = _heard("codex", _codex())
    assert (told.outcome, told.trouble) == ("refused", "refused")


# -- pi


def _pi_message(text: str = "All done.", stop: str = "stop", error: str = "", tokens: int = 1030) -> dict[str, Any]:
    usage = {"input": tokens, "output": 3 if tokens else 0, "cacheRead": 10 if tokens else 0, "cacheWrite": 0}
    usage |= {"totalTokens": tokens, "cost": {"total": 0.25}}  # type: ignore[dict-item]
    content = [{"type": "text", "text": text}] if text else []
    message: dict[str, Any] = {"role": "assistant", "content": content, "usage": usage, "stopReason": stop}
    return {"type": "message_end", "message": message | ({"errorMessage": error} if error else {})}


_PI_START: list[Any] = [{"type": "session", "version": 3}, {"type": "agent_start"}, {"type": "turn_start"}]
_PI_END: list[Any] = [{"type": "agent_end", "messages": []}]


def test_pi_says_what_it_used_and_what_it_cost() -> None:
    """Cached input is input."""
    told, usage = _heard("pi", [*_PI_START, _pi_message(), *_PI_END])
    assert told.outcome == "finished"
    assert usage == [
        Usage(requests=1, input_tokens=1040, cached_tokens=10, output_tokens=3, money_microusd=250_000),
    ]


def test_pi_with_an_error_and_exit_status_0_has_not_finished() -> None:
    """A 401 ends with 0."""
    # shows: N8
    error = "401 Incorrect API key provided: tok***."
    told, _ = _heard("pi", [*_PI_START, _pi_message("", "error", error, 0), *_PI_END])
    assert (told.outcome, told.trouble) == ("crashed", "authentication")


def test_pi_whose_stream_ended_early_is_noticed_by_its_usage() -> None:
    """It says `stop`; only the usage is missing. A server that never tells usage can be named."""
    # shows: N8
    events = [*_PI_START, _pi_message("This answer is lon", tokens=0), *_PI_END]
    assert _heard("pi", events)[0].trouble == "outage"
    assert _heard("pi", events, usage=False)[0].outcome == "finished"


def test_pi_that_tries_again_is_not_over() -> None:
    """`agent_end` comes before every retry."""
    reader = _reader("pi")
    overs = []
    retry = {"type": "auto_retry_start", "attempt": 1, "errorMessage": "503 overloaded"}
    for event in [
        *_PI_START,
        _pi_message("", "error", "503 overloaded", 0),
        *_PI_END,
        retry,
        *_PI_START,
        _pi_message(),
    ]:
        list(reader.read(Line(json.dumps(event))))
        overs.append(reader.story.over)
    assert overs == [False, False, False, False, True, False, False, False, False, False]
    assert reader.story.problem is None


def test_pi_prints_everything_again_and_that_is_skipped() -> None:
    """With every word of an answer pi prints all of it: those lines are not parsed."""
    reader = _reader("pi")
    assert reader.skips('{"type":"message_update","assistantMessageEvent":{')
    assert list(reader.read(Line('{"type":"message_update", this is not even JSON'))) == []
    assert reader.story.plain == []


def test_a_last_event_that_is_too_long_is_still_the_last_event() -> None:
    """pi's `agent_end` holds the whole conversation."""
    reader = _reader("pi")
    for event in [*_PI_START, _pi_message()]:
        list(reader.read(Line(json.dumps(event))))
    list(reader.read(Line('{"type":"agent_end","messages":[{"role":"user","con', cut=True)))
    assert reader.story.finished


# -- Gemini CLI


def _gemini(*events: Any, result: dict[str, Any] | None = None) -> list[Any]:
    stats = {"total_tokens": 12969, "input_tokens": 12951, "output_tokens": 18, "cached": 7}
    end = {"type": "result", "status": "success", "stats": stats} | (result or {})
    return [
        {"type": "init", "model": "gemini-2.5-pro"},
        {"type": "message", "role": "user", "content": "x"},
        *events,
        end,
    ]


def _gemini_says(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": text, "delta": True}


def test_gemini_speaks_in_pieces() -> None:
    """Its message is all of them."""
    told, usage = _heard("gemini", _gemini(_gemini_says("All "), _gemini_says("done.")))
    assert (told.outcome, told.summary) == ("finished", "All done.")
    assert usage == [Usage(input_tokens=12951, cached_tokens=7, output_tokens=18)]


@pytest.mark.parametrize(
    ("message", "trouble"),
    [
        ("[API Error: You have exhausted your daily quota on this model.]", "quota"),
        ('[API Error: {"error":{"code":400,"message":"API key not valid. Please pass a valid', "authentication"),
        ('[API Error: {"error":{"code":500,"message":"An internal error has occurred.","status":"INTERNAL"}', "outage"),
        (
            "[API Error: The input token count (200001) exceeds the maximum number of tokens allowed (200000).",
            "context",
        ),
        ("[API Error: terminated]", "outage"),
        ("Model stream ended without a finish reason.", "outage"),
        ("[API Error: Incomplete JSON segment at the end]", "outage"),
        ("The model response was blocked due to safety settings.", "refused"),
    ],
)
def test_gemini_that_failed_says_why(message: str, trouble: str) -> None:
    """Its result has the error, whatever it exits with."""
    # shows: N8
    result = {"status": "error", "error": {"type": "unknown", "message": message}}
    told, _ = _heard("gemini", _gemini(result=result), _end(exit_code=0))
    assert told.trouble == trouble
    assert told.outcome == ("refused" if trouble == "refused" else "crashed")


def test_gemini_that_was_ended_and_exits_with_0_has_not_finished() -> None:
    """SIGTERM looks like success."""
    # shows: N8
    told, _ = _heard("gemini", _gemini(_gemini_says("I begin"))[:-1], _end("silence", 0))
    assert told.trouble == "stalled"
    told, _ = _heard("gemini", _gemini(_gemini_says("I begin"))[:-1], _end("itself", 0))
    assert (told.outcome, told.trouble) == ("crashed", "crashed")


def test_what_it_waited_for_in_silence_is_on_standard_error() -> None:
    """Gemini CLI waits for a quota without a word in its stream."""
    waiting = "Attempt 1 failed: You exceeded your current quota. Retrying in 60s"
    told, _ = _heard("gemini", _gemini()[:-1], _end("silence", 0, stderr=waiting))
    assert (told.trouble, told.until) == ("quota", "2026-11-21T12:01:00Z")


# -- Claude Code, Qwen Code


@pytest.mark.parametrize("kind", ["claude", "qwen"])
def test_claude_finishes_with_a_result(kind: str) -> None:
    """Usage and money are the result's, not every message's."""
    message = {
        "content": [{"type": "tool_use", "name": "Write", "input": {"file_path": "a.py"}}],
        "usage": {"input_tokens": 9},
    }
    result = {"type": "result", "subtype": "success", "is_error": False, "result": "Done.", "num_turns": 2}
    result |= {"total_cost_usd": 0.5, "usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 2}}
    told, usage = _heard(
        kind, [{"type": "system", "subtype": "init"}, {"type": "assistant", "message": message}, result]
    )
    assert (told.outcome, told.summary) == ("finished", "Done.")
    assert usage == [Usage(requests=2, input_tokens=8, cached_tokens=3, output_tokens=2, money_microusd=500_000)]


def test_claude_that_reached_a_limit_says_when_it_is_over() -> None:
    """The time is seconds since 1970 behind a bar."""
    stamp = int((NOW + timedelta(hours=2)).timestamp())
    said = f"Claude AI usage limit reached|{stamp}"
    told, _ = _heard("claude", [{"type": "result", "subtype": "success", "is_error": True, "result": said}])
    assert (told.trouble, told.until) == ("quota", "2026-11-21T14:00:00Z")


def test_claude_that_refuses_is_a_refusal() -> None:
    """The stop reason says so, in a result that is called a success."""
    message = {"content": [], "stop_reason": "refusal"}
    result = {"type": "result", "subtype": "success", "is_error": False, "result": "", "stop_reason": "refusal"}
    told, _ = _heard("claude", [{"type": "assistant", "message": message}, result])
    assert told.outcome == "refused"


@pytest.mark.parametrize(
    ("said", "output", "trouble", "kept"),
    [
        ("[API Error: 401 Incorrect API key provided.]", 0, "authentication", ""),
        ("[API Error: Model stream ended without a finish reason.]", 0, "outage", ""),
        ("I beg[API Error: 429 Rate limit reached. Please try again in 2s.]", 9, "quota", "I beg"),
        ("[API Error: Model stream ended with empty response text.]", 6, "refused", ""),
        ("[API Error: Model stream ended with empty response text.]", 0, "outage", ""),
        ("Now [API Error: 401] is handled in a.py.", 6, "", ""),
    ],
)
def test_qwen_says_errors_in_brackets_and_calls_them_a_success(said: str, output: int, trouble: str, kept: str) -> None:
    """As seen in 0.15.10: `is_error` is false and the exit status 0, whatever went wrong."""
    message = {"content": [{"type": "text", "text": said}]}
    result = {"type": "result", "subtype": "success", "is_error": False, "result": said}
    result |= {"usage": {"input_tokens": 5, "output_tokens": output}}
    told, _ = _heard("qwen", [{"type": "assistant", "message": message}, result])
    assert (told.trouble, told.outcome == "finished") == (trouble, trouble == ""), told
    assert kept in told.summary


# -- OpenCode, aider, mini-SWE-agent


def test_opencode_ends_with_a_step_that_stopped() -> None:
    """Steps that end in tool calls are not the end."""
    tokens = {"input": 10, "output": 5, "reasoning": 1, "cache": {"read": 4, "write": 0}}
    step = {"type": "step_finish", "part": {"reason": "tool-calls", "tokens": tokens, "cost": 0.001}}
    tool = {"type": "tool_use", "part": {"tool": "write", "state": {"input": {"filePath": "a"}}}}
    begin = [{"type": "step_start", "part": {}}, tool, step]
    assert _heard("opencode", begin)[0].trouble == "crashed"
    last = {"type": "step_finish", "part": {"reason": "stop", "tokens": tokens, "cost": 0.001}}
    told, usage = _heard("opencode", [*begin, {"type": "text", "part": {"text": "Done."}}, last])
    assert told.outcome == "finished"
    assert usage[0] == Usage(requests=1, input_tokens=14, cached_tokens=4, output_tokens=6, money_microusd=1000)


def test_opencode_says_errors_as_events() -> None:
    """With the status of the answer."""
    error = {"name": "APIError", "data": {"message": "Incorrect API key provided", "statusCode": 401}}
    told, _ = _heard("opencode", [{"type": "error", "error": error}], _end(exit_code=1))
    assert told.trouble == "authentication"


def test_aider_prints_text() -> None:
    """Its line of tokens ends an answer."""
    lines = ["Aider v0.86", "I will add it.", "Tokens: 2.1k sent, 300 received. Cost: $0.01 message, $0.02 session."]
    told, usage = _heard("aider", [*lines, "Applied edit to a.py"])
    assert told.outcome == "finished"
    assert usage == [Usage(requests=1, input_tokens=2100, output_tokens=300, money_microusd=10_000)]
    told, _ = _heard("aider", ["litellm.AuthenticationError: OpenAIException - Incorrect API key provided"])
    assert told.trouble == "authentication"
    assert _heard("aider", ["Aider v0.86"])[0].outcome == "crashed"


def test_aider_s_words_are_the_model_s_only() -> None:
    """Not what it says of itself before; a model may use the same words afterwards."""
    greeting = ["Aider v0.86.2", "Model: openai/m with whole edit format", "Git repo: none", "Repo-map: disabled"]
    tokens = "Tokens: 1.0k sent, 8 received."
    assert _heard("aider", [*greeting, "Done.", tokens])[0].summary == "Done."
    told, _ = _heard("aider", [*greeting, "First.", tokens, "Second.", "Model: none", tokens])
    assert told.summary == "Second.\nModel: none"


@pytest.mark.parametrize(("received", "trouble"), [("6", "refused"), ("0", "outage")])
def test_aider_s_empty_answer_is_not_the_end_of_the_work(received: str, trouble: str) -> None:
    """It prints words of its own in the place of the model's, and goes on as if that were an answer."""
    empty = "Empty response received from LLM. Check your provider account?"
    told, _ = _heard("aider", ["Aider v0.86", empty, f"Tokens: 1.0k sent, {received} received."])
    assert told.trouble == trouble


@pytest.mark.parametrize(("output", "outcome", "trouble"), [("8", "partial", ""), ("0", "crashed", "context")])
def test_aider_says_the_same_of_two_limits(output: str, outcome: str, trouble: str) -> None:
    """Of a request that is too long, and of an answer that is: only the tokens of the answer tell them apart."""
    lines = ["def add(a, b):"] if output != "0" else ["Tokens: 947 sent, 0 received."]
    lines += ["Model openai/m has hit a token limit!", "Input tokens: ~771 of 0 -- possibly exhausted context window!"]
    told, _ = _heard("aider", ["Aider v0.86", *lines, f"Output tokens: ~{output} of 0 -- possibly exceeded"])
    assert (told.outcome, told.trouble) == (outcome, trouble)


def test_a_module_that_is_missing_is_no_outage() -> None:
    """A name of an error that holds another one within it."""
    assert judged("ModuleNotFoundError: No module named 'mcp'", NOW) is None
    found = judged("getaddrinfo ENOTFOUND api.example.org", NOW)
    assert found is not None
    assert found.kind == "outage"


def test_mini_swe_agent_is_read_from_its_trajectory(tmp_path: Path) -> None:
    """Without one it has not finished."""
    reader = _reader("mini")
    list(reader.close(tmp_path))
    assert claim(reader.story, _end(), NOW).outcome == "crashed"
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    messages = [{"role": "system"}, {"role": "user"}, {"role": "assistant", "extra": {"response": {"usage": usage}}}]
    told = {
        "info": {"exit_status": "Submitted", "submission": "", "model_stats": {"api_calls": 1}},
        "messages": messages,
    }
    (tmp_path / "trajectory.json").write_text(json.dumps(told))
    usages = list(reader.close(tmp_path))
    assert usages[0] == Usage(requests=1, input_tokens=10, output_tokens=2)
    assert claim(reader.story, _end(), NOW).outcome == "finished"
    told["info"]["exit_status"] = "ContextWindowExceededError"  # type: ignore[index]
    (tmp_path / "trajectory.json").write_text(json.dumps(told))
    reader = _reader("mini")
    list(reader.close(tmp_path))
    assert claim(reader.story, _end(exit_code=1), NOW).trouble == "context"


# -- all of them


@pytest.mark.parametrize("kind", STREAMING)
def test_silence_with_exit_status_0_is_no_success(kind: str) -> None:
    """No word that it has finished: it has crashed, whatever the system says."""
    # shows: N8
    assert (_heard(kind, [])[0].outcome, _heard(kind, ["hello"])[0].outcome) == ("crashed", "crashed")


@pytest.mark.parametrize("kind", STREAMING)
def test_a_program_that_does_not_know_our_options_is_unavailable(kind: str) -> None:
    """It is of another version: nobody's fault, and no attempt."""
    told, _ = _heard(kind, [], _end(exit_code=2, stderr="error: unexpected argument '--json' found"))
    assert told.trouble == "unavailable"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_TYPES = st.sampled_from(
    ["item.completed", "turn.completed", "turn.failed", "error", "message_end", "agent_end", "result", "assistant",
     "message", "tool_use", "step_finish", "text", "auto_retry_end", "system"]
)  # fmt: skip
_FIELDS = st.sampled_from(
    ["item", "usage", "error", "message", "part", "stats", "result", "content", "status", "tokens"]
)


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(STREAMING), kinds=_TYPES, fields=st.dictionaries(_FIELDS, _JSON, max_size=5))
def test_no_event_makes_a_reader_fail(kind: str, kinds: str, fields: dict[str, Any]) -> None:
    """Formats change: what is not understood is a note, and a claim can still be made."""
    # shows: N8
    assert _heard(kind, [{**fields, "type": kinds}])[0].summary


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=6), most=st.integers(1, 50))
def test_lines_are_the_same_however_they_come(data: bytes, cuts: list[int], most: int) -> None:
    """Pieces do not matter; a line that is too long is cut and the next one is whole."""

    def lines(pieces: list[bytes]) -> Iterator[Line]:
        taken = Lines(most)
        for piece in pieces:
            yield from taken.feed(piece)
        yield from taken.end()

    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [data[begin:end] for begin, end in pairwise(places)]
    whole = list(lines([data]))
    assert [one.text for one in lines(pieces) if not one.cut] == [one.text for one in whole if not one.cut]
    assert [one.cut for one in lines(pieces)] == [one.cut for one in whole]


# -- words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 1h0m0s.", 3600),
        ("Please try again in 7m12s", 432),
        ("Your limit resets in 2 days 3 hours", 183_600),
        ('"retryDelay": "34.5s"', 34),
        ("retry-after: 120", 120),
        ("retry-after: 2h", 7200),
        ("2026-11-21T11:59:59Z ERROR rate limit; resets 2026-11-21T13:00:00Z", 3600),
        ("timestamp=2026-11-21T11:59:59.441Z error: Please try again in 1h0m0s.", 3600),
        ("retry after 30 seconds", 30),
        ("retry-after-ms: 1500", 1),
        ('{"resets_in_seconds": 60}', 60),
        ("resets at 2026-11-21T18:00:00Z", 21_600),
        ("quota resets 2026-11-21 20:00:00+02:00", 21_600),
        (f'"resets_at": {int(NOW.timestamp()) + 90}', 90),
    ],
)
def test_reset_times_are_read(text: str, seconds: int) -> None:
    """As providers and clients write them."""
    assert until(text, NOW) == (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    "text", ["", "try again later", "retry in 400 days", "2020-01-01T00:00:00Z", "2026-99-99T99:99"]
)
def test_what_is_no_reset_time_is_none(text: str) -> None:
    """Long past, far away, or no time at all."""
    assert until(text, NOW) == ""


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=400))
def test_any_text_can_be_judged(text: str) -> None:
    """Without an error, and the words stay short."""
    found = judged(text, NOW)
    assert found is None or len(found.text) <= 300


def test_refusals_are_told_from_reports() -> None:
    """At the beginning only, and only what was asked for."""
    assert declines("I'm sorry, but I can’t help with that.")
    assert declines("I cannot assist with this request.")
    assert declines("I must decline.")
    assert not declines("I can't find a bug here: everything works.")
    assert not declines("Done. I'm happy with it. I can't help but notice the tests are slow.")
    assert not declines("")
