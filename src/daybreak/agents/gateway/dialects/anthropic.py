"""Anthropic's messages."""

from __future__ import annotations

from typing import Any

import msgspec

from daybreak.agents.gateway.count import WRITTEN_FACTOR, WRITTEN_LONG_FACTOR, Count, number
from daybreak.agents.gateway.dialects import dialect
from daybreak.agents.gateway.dialects.dialect import Action, Asked, Meter, Refusal

_TYPES: dict[Refusal, str] = {
    "token": "authentication_error",
    "path": "not_found_error",
    "request": "invalid_request_error",
    "large": "request_too_large",
    "budget": "billing_error",
    "closed": "billing_error",
    "breaker": "overloaded_error",
    "unreachable": "api_error",
    "slow": "timeout_error",
    "broken": "api_error",
}
_ROUTES: dict[tuple[str, str], Action] = {
    ("POST", "/messages"): "messages",
    ("POST", "/messages/count_tokens"): "count",
}


class Anthropic:
    name = "anthropic"
    prefix = "/anthropic/v1"

    def route(self, method: str, path: str) -> tuple[Action, str] | None:
        action = _ROUTES.get((method, path))
        return None if action is None else (action, "")

    def path(self, action: Action, model: str, path: str) -> str:
        return path

    def asked(self, action: Action, body: bytes, model: str, enforced: str, usage: bool) -> Asked:
        fields = dialect.fields(body)
        named = dialect.value(fields, "model", str, "")
        if enforced and named != enforced:
            dialect.put(fields, "model", enforced)
        sent = dialect.encoded(fields)
        if action == "count":
            return Asked(model=enforced or named, body=sent)
        output, said = dialect.most(dialect.value(fields, "max_tokens", int))
        return Asked(
            model=enforced or named,
            body=sent,
            stream=dialect.value(fields, "stream", bool, False),
            input_tokens=dialect.input_tokens(body),
            output_max=output,
            output_said=said,
            input_factor=_written_factor(body),
        )

    def limited(self, action: Action, body: bytes, tokens: int, other: bool = False) -> bytes:
        fields = dialect.fields(body)
        dialect.put(fields, "max_tokens", tokens)
        return dialect.encoded(fields)

    def meter(self, action: Action) -> Meter:
        return _Messages()

    def refusal(self, why: Refusal, message: str) -> bytes:
        return msgspec.json.encode({"type": "error", "error": {"type": _TYPES[why], "message": message}})

    def cut(self, action: Action, message: str) -> bytes:
        return b"event: error\ndata: " + self.refusal("budget", message) + b"\n\n"

    def key(self, key: str) -> dict[str, str]:
        return {"x-api-key": key}


def _written_factor(body: bytes) -> float:
    if b"cache_control" not in body:
        return 1.0
    return WRITTEN_LONG_FACTOR if b'"1h"' in body else WRITTEN_FACTOR


class _Written(msgspec.Struct):
    ephemeral_1h_input_tokens: int | float | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | float | None = None
    cache_creation_input_tokens: int | float | None = None
    cache_read_input_tokens: int | float | None = None
    cache_creation: _Written | None = None
    output_tokens: int | float | None = None


class _Message(msgspec.Struct):
    usage: _Usage | None = None
    stop_reason: str | None = None
    content: Any = None
    error: Any = None


class _Delta(msgspec.Struct):
    text: Any = None
    partial_json: Any = None
    thinking: Any = None
    signature: Any = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    delta: _Delta | None = None
    content_block: Any = None
    usage: _Usage | None = None
    error: Any = None


_event = msgspec.json.Decoder(_Event).decode
_message = msgspec.json.Decoder(_Message).decode


class _Messages(Meter):
    def read(self, data: bytes, streamed: bool) -> None:
        if not streamed:
            self._whole(_message(data))
            return
        event, count = _event(data), self.count
        if event.type == "content_block_delta" and (delta := event.delta) is not None:
            for piece in (delta.text, delta.partial_json, delta.thinking, delta.signature):
                count.text(piece)
        elif event.type == "content_block_start" and isinstance(event.content_block, dict):
            for piece in ("text", "thinking", "name", "data"):
                count.text(event.content_block.get(piece))
        elif event.type == "message_start" and event.message is not None:
            _told(count, event.message.usage)
        elif event.type == "message_delta":
            count.ended = (event.delta.stop_reason if event.delta else None) or count.ended
            _told(count, event.usage)
            count.output_told = event.usage is not None and event.usage.output_tokens is not None
        elif event.type == "message_stop":
            count.done = True
        elif event.type == "error":
            self.fault = event.error if isinstance(event.error, dict) else {"message": str(event.error)}

    def _whole(self, message: _Message) -> None:
        count = self.count
        count.done, count.ended = True, message.stop_reason or ""
        count.text(message.content)
        _told(count, message.usage)
        count.output_told = message.usage is not None
        if isinstance(message.error, dict):
            self.fault = message.error


def _told(count: Count, usage: _Usage | None) -> None:
    """Numbers count all from the beginning of the answer; later ones may leave some out."""
    if usage is None:
        return
    if usage.input_tokens is not None or usage.cache_read_input_tokens is not None:
        cached = number(usage.cache_read_input_tokens)
        written = number(usage.cache_creation_input_tokens)
        long = min(written, number(usage.cache_creation.ephemeral_1h_input_tokens if usage.cache_creation else 0))
        told = number(usage.input_tokens) + cached + written
        if told and (not count.input_told or told >= count.input_tokens):
            count.input_tokens, count.cached_tokens = told, cached
            if written or not count.input_told:
                count.written_tokens, count.written_long_tokens = written - long, long
            count.input_told = True
    count.output_tokens = max(count.output_tokens, number(usage.output_tokens))
