"""Anthropic's messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from daybreak.testing.modelserver.answers import Answer, Failure, Invocation, Refusal, Text, chunks, input_tokens
from daybreak.testing.modelserver.asking import Asked, Content, Message, Request
from daybreak.testing.modelserver.frames import as_text, frame, listed
from daybreak.testing.modelserver.turns import (
    Broken,
    ContextTooLong,
    Failing,
    NoCredit,
    Overloaded,
    RateLimited,
    Unauthorized,
)

_REASONS = {
    "end": "end_turn",
    "tools": "tool_use",
    "length": "max_tokens",
    "sequence": "stop_sequence",
    "refusal": "refusal",
    "filter": "refusal",
}


class AnthropicMessages:
    """See the module."""

    def read(self, body: Mapping[str, Any], path: str) -> Content:
        system = as_text(body.get("system"))
        messages = [Message("system", system)] if system else []
        for message in listed(body, "messages"):
            messages += _messages(message)
        return Content(
            model=str(body.get("model", "")),
            stream=bool(body.get("stream")),
            messages=tuple(messages),
            tools=tuple(str(tool.get("name", "")) for tool in listed(body, "tools")),
        )

    def whole(self, answer: Answer, request: Request) -> dict[str, Any]:
        blocks = [_block(piece) for piece in answer.pieces]
        return {**_head(request, answer), "content": blocks, **_stop(answer, request)}

    def frames(self, answer: Answer, request: Request) -> list[bytes]:
        nothing: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
        started = {**_head(request, answer), **nothing}
        started["usage"] = {**started["usage"], "output_tokens": 1 if answer.usage else 0}
        events: list[dict[str, Any]] = [{"type": "message_start", "message": started}]
        for index, piece in enumerate(answer.pieces):
            opened, deltas = _opened(piece)
            events.append({"type": "content_block_start", "index": index, "content_block": opened})
            events += [{"type": "ping"}] if index == 0 else []
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        used = {"output_tokens": answer.usage.output_tokens if answer.usage else 0}
        events.append({"type": "message_delta", "delta": _stop(answer, request), "usage": used})
        return [frame(event, event["type"]) for event in [*events, {"type": "message_stop"}]]

    def failure(self, fault: Failing, request: Request, now: datetime) -> Failure:
        match fault:
            case RateLimited(reset_s=reset_s):
                told = "This request would exceed your organization's rate limit of 50 requests per minute."
                return _error(request, 429, "rate_limit_error", told, _resets(reset_s, now))
            case NoCredit():
                told = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."
                return _error(request, 400, "invalid_request_error", told)
            case Unauthorized():
                return _error(request, 401, "authentication_error", "invalid x-api-key")
            case Broken():
                return _error(request, 500, "api_error", "Internal server error")
            case Overloaded():
                return _error(request, 529, "overloaded_error", "Overloaded")
            case ContextTooLong(limit=limit):
                came = max(input_tokens(request.content), limit + 1)
                told = f"prompt is too long: {came} tokens > {limit} maximum"
                return _error(request, 400, "invalid_request_error", told)

    def failure_frames(self, failure: Failure, request: Request) -> list[bytes]:
        return [frame(failure.body, "error")]


def _head(request: Request, answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "id": f"msg_{request.number:08d}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "usage": {
            "input_tokens": usage.input_tokens - usage.cached_tokens if usage else 0,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage.cached_tokens if usage else 0,
            "output_tokens": usage.output_tokens if usage else 0,
            "service_tier": "standard",
        },
    }


def _stop(answer: Answer, request: Request) -> dict[str, Any]:
    asked = request.body.get("stop_sequences")
    sequence = asked[0] if answer.stop == "sequence" and isinstance(asked, list) and asked else None
    told = {"stop_reason": _REASONS[answer.stop], "stop_sequence": sequence}
    if answer.refusal is not None:
        told["stop_details"] = {"type": "refusal", "category": None, "explanation": answer.refusal}
    return told


def _block(piece: Text | Refusal | Invocation) -> dict[str, Any]:
    if isinstance(piece, Invocation):
        given = piece.raw if piece.arguments is None else piece.arguments
        return {"type": "tool_use", "id": piece.id, "name": piece.tool, "input": given}
    return {"type": "text", "text": piece.text}


def _opened(piece: Text | Refusal | Invocation) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it begins, and what is added to it."""
    if isinstance(piece, Invocation):
        deltas = [{"type": "input_json_delta", "partial_json": chunk} for chunk in ["", *chunks(piece.raw)]]
        return {**_block(piece), "input": {}}, deltas
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": chunk} for chunk in chunks(piece.text)]


def _resets(reset_s: float | None, now: datetime) -> dict[str, str]:
    if reset_s is None:
        return {}
    at = (now + timedelta(seconds=reset_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "retry-after": f"{max(0, -int(-reset_s // 1))}",
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": at,
        "anthropic-ratelimit-tokens-limit": "40000",
        "anthropic-ratelimit-tokens-remaining": "39000",
        "anthropic-ratelimit-tokens-reset": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _error(request: Request, status: int, kind: str, told: str, headers: Mapping[str, str] | None = None) -> Failure:
    name = f"req_{request.number:08d}"
    body = {"type": "error", "error": {"type": kind, "message": told}, "request_id": name}
    return Failure(status, body, {"request-id": name, **(headers or {})})


def _messages(message: Mapping[str, Any]) -> list[Message]:
    """Results of tools come as blocks of the user's message; each is a message of its own here, before the text."""
    assistant = message.get("role") == "assistant"
    if isinstance(message.get("content"), str):
        return [Message("assistant" if assistant else "user", message["content"])]
    blocks = listed(message, "content")
    results = [
        Message("tool", as_text(block.get("content")), call_id=str(block.get("tool_use_id", "")))
        for block in blocks
        if block.get("type") == "tool_result"
    ]
    text = as_text([dict(block) for block in blocks if block.get("type") == "text"])
    calls = tuple(
        Asked(str(block.get("id", "")), str(block.get("name", "")), block.get("input"))
        for block in blocks
        if block.get("type") == "tool_use"
    )
    said = [Message("assistant" if assistant else "user", text, calls)] if text or calls or not results else []
    return [*results, *said]
