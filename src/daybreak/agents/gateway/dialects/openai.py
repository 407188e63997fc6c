"""OpenAI's chat completions and responses, as OpenAI and all who copy them speak."""

from __future__ import annotations

from typing import Any

import msgspec

from daybreak.agents.gateway.count import Count, number
from daybreak.agents.gateway.dialects import dialect
from daybreak.agents.gateway.dialects.dialect import Action, Asked, Meter, Refusal, RequestWrong

_TYPES: dict[Refusal, tuple[str, str]] = {
    "token": ("invalid_request_error", "invalid_api_key"),
    "path": ("invalid_request_error", "unknown_url"),
    "request": ("invalid_request_error", "invalid_request"),
    "large": ("invalid_request_error", "request_too_large"),
    "budget": ("insufficient_quota", "insufficient_quota"),
    "closed": ("insufficient_quota", "insufficient_quota"),
    "breaker": ("server_error", "service_unavailable"),
    "unreachable": ("server_error", "bad_gateway"),
    "slow": ("server_error", "timeout"),
    "broken": ("server_error", "server_error"),
}
_ROUTES: dict[tuple[str, str], Action] = {
    ("POST", "/chat/completions"): "chat",
    ("POST", "/responses"): "responses",
    ("GET", "/models"): "models",
}

_LIMITS = ("max_tokens", "max_completion_tokens")
"""All who copy the API know the first; OpenAI's models that think want the second, and refuse the first."""


class OpenAI:
    name = "openai"
    prefix = "/openai/v1"

    def route(self, method: str, path: str) -> tuple[Action, str] | None:
        action = _ROUTES.get((method, path))
        return None if action is None else (action, "")

    def path(self, action: Action, model: str, path: str) -> str:
        return path

    def asked(self, action: Action, body: bytes, model: str, enforced: str, usage: bool) -> Asked:
        if action == "models":
            return Asked(model="", body=b"")
        fields = dialect.fields(body)
        named = dialect.value(fields, "model", str, "")
        if enforced and named != enforced:
            dialect.put(fields, "model", enforced)
        stream = dialect.value(fields, "stream", bool, False)
        added, answers = False, 1
        if action == "chat":
            limits = [dialect.value(fields, name, int) for name in _LIMITS]
            answers = dialect.value(fields, "n", int, 1)
            output, said = dialect.most(*limits, times=answers)
            if stream and usage:
                options = dialect.value(fields, "stream_options", dict[str, Any], {})
                if added := options.get("include_usage") is not True:
                    dialect.put(fields, "stream_options", {**options, "include_usage": True})
        else:
            if dialect.value(fields, "background", bool, False):
                raise RequestWrong("background answers cannot be metered: leave `background` out")
            output, said = dialect.most(dialect.value(fields, "max_output_tokens", int))
        return Asked(
            model=enforced or named,
            body=dialect.encoded(fields),
            stream=stream,
            input_tokens=dialect.input_tokens(body),
            output_max=output,
            output_said=said,
            answers=answers,
            usage_added=added,
        )

    def limited(self, action: Action, body: bytes, tokens: int, other: bool = False) -> bytes:
        fields = dialect.fields(body)
        if action == "responses":
            dialect.put(fields, "max_output_tokens", tokens)
            return dialect.encoded(fields)
        for name in _LIMITS:
            fields.pop(name, None)  # null
        dialect.put(fields, _LIMITS[other], tokens)
        return dialect.encoded(fields)

    def meter(self, action: Action) -> Meter:
        return _Responses() if action == "responses" else _Chat()

    def refusal(self, why: Refusal, message: str) -> bytes:
        kind, code = _TYPES[why]
        return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})

    def cut(self, action: Action, message: str) -> bytes:
        error = {"message": message, "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
        if action == "chat":
            return b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"
        told = {"code": "insufficient_quota", "message": message}
        response = {"id": "resp_cut", "object": "response", "status": "failed", "error": told, "output": []}
        failed = {"type": "response.failed", "sequence_number": 0, "response": response}
        last = {"type": "error", **told, "param": None, "sequence_number": 0, "error": error}
        return (
            b"event: response.failed\ndata: " + msgspec.json.encode(failed) + b"\n\n"
            b"event: error\ndata: " + msgspec.json.encode(last) + b"\n\n"
        )

    def key(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"}


# -- chat completions


class _Details(msgspec.Struct):
    cached_tokens: int | float | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | float | None = None
    completion_tokens: int | float | None = None
    total_tokens: int | float | None = None
    prompt_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | float | None = None


class _Piece(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None


class _Choice(msgspec.Struct):
    delta: _Piece | None = None
    message: _Piece | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_chunk = msgspec.json.Decoder(_Chunk).decode


class _Chat(Meter):
    def read(self, data: bytes, streamed: bool) -> None:
        if data == b"[DONE]":
            self.count.done = True
            return
        chunk = _chunk(data)
        for choice in chunk.choices or ():
            if piece := choice.delta or choice.message:
                self._text(piece)
            self.count.ended = choice.finish_reason or self.count.ended
        if chunk.error:
            self.fault = chunk.error if isinstance(chunk.error, dict) else {"message": str(chunk.error)}
        if chunk.usage is not None and number(chunk.usage.prompt_tokens):
            # Some servers tell with every chunk how much it is so far; the last word is with the end or after it.
            _told(self.count, chunk.usage, final=not streamed or not chunk.choices or bool(self.count.ended))
        if not streamed:
            self.count.done = True

    def extra(self, data: bytes) -> bool:
        if b'"usage"' not in data or b'"choices"' not in data:
            return False
        try:
            chunk = _chunk(data)
        except msgspec.MsgspecError:
            return False
        return chunk.choices == [] and chunk.usage is not None

    def _text(self, piece: _Piece) -> None:
        self.count.text(piece.content)
        if piece.reasoning_content is not None:
            self.count.text(piece.reasoning_content)
        elif piece.reasoning is not None:
            self.count.text(piece.reasoning)  # some say the same under both names
        self.count.text(piece.refusal)
        for call in piece.tool_calls if isinstance(piece.tool_calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                self.count.text(function.get("name"))
                self.count.text(function.get("arguments"))
        self.count.text(piece.function_call)


def _told(count: Count, usage: _Usage, *, final: bool) -> None:
    count.input_tokens = number(usage.prompt_tokens)
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else usage.prompt_cache_hit_tokens
    count.cached_tokens = min(number(cached), count.input_tokens)
    # Where the sum is more than its parts, the model has thought, which is paid as output.
    count.output_tokens = max(number(usage.completion_tokens), number(usage.total_tokens) - count.input_tokens)
    count.input_told, count.output_told = True, count.output_told or final


# -- responses


class _ResponseUsage(msgspec.Struct):
    input_tokens: int | float | None = None
    output_tokens: int | float | None = None
    input_tokens_details: _Details | None = None


class _Reason(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    status: str | None = None
    usage: _ResponseUsage | None = None
    error: Any = None
    incomplete_details: _Reason | None = None
    output: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: Any = None
    response: _Response | None = None
    code: Any = None
    message: Any = None
    error: Any = None


_event = msgspec.json.Decoder(_Event).decode
_response = msgspec.json.Decoder(_Response).decode
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class _Responses(Meter):
    def read(self, data: bytes, streamed: bool) -> None:
        if data == b"[DONE]":
            return
        if not streamed:
            self._over(_response(data), whole=True)
            return
        event = _event(data)
        if event.delta is not None and event.type.endswith(".delta"):
            self.count.text(event.delta)
        elif event.type in _LAST:
            self._over(event.response or _Response(), whole=False)
        elif event.type == "error" or (event.type == "" and event.error):
            inner = event.error if isinstance(event.error, dict) else {}
            self.fault = {"code": event.code, "message": event.message, **inner}

    def _over(self, response: _Response, *, whole: bool) -> None:
        count = self.count
        count.done = True
        reason = response.incomplete_details.reason if response.incomplete_details else None
        count.ended = reason or response.status or ""
        if isinstance(response.error, dict):
            self.fault = response.error
        if whole:
            count.text(response.output)
        if (usage := response.usage) is not None and number(usage.input_tokens):
            count.input_tokens = number(usage.input_tokens)
            details = usage.input_tokens_details
            count.cached_tokens = min(number(details.cached_tokens if details else 0), count.input_tokens)
            count.output_tokens = number(usage.output_tokens)
            count.input_told = count.output_told = True
