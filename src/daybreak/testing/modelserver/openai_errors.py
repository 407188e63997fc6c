"""OpenAI's errors, which both of its APIs share."""

from __future__ import annotations

from typing import Any

from daybreak.testing.modelserver.answers import Failure, input_tokens
from daybreak.testing.modelserver.asking import Request
from daybreak.testing.modelserver.turns import (
    Broken,
    ContextTooLong,
    Failing,
    NoCredit,
    Overloaded,
    RateLimited,
    Unauthorized,
)


def failure(fault: Failing, request: Request) -> Failure:
    """`fault` as status, headers and body."""
    match fault:
        case RateLimited(reset_s=reset_s):
            return _rate_limited(reset_s, request.model)
        case NoCredit():
            told = "You exceeded your current quota, please check your plan and billing details."
            return _error(429, told, "insufficient_quota", code="insufficient_quota")
        case Unauthorized():
            told = f"Incorrect API key provided: {request.key[:4]}***. You can find your API key at your dashboard."
            return _error(401, told, "invalid_request_error", code="invalid_api_key")
        case Broken():
            told = "The server had an error while processing your request. Sorry about that!"
            return _error(500, told, "server_error")
        case Overloaded():
            told = "The engine is currently overloaded, please try again later"
            return _error(503, told, "service_unavailable_error", code="server_is_overloaded")
        case ContextTooLong(limit=limit):
            return _too_long(limit, request)


def _rate_limited(reset_s: float | None, model: str) -> Failure:
    told = f"Rate limit reached for {model} on requests per min (RPM): Limit 500, Used 500, Requested 1."
    if reset_s is None:
        return _error(429, told, "requests", code="rate_limit_exceeded")
    headers = {
        "retry-after": f"{max(0, -int(-reset_s // 1))}",
        "retry-after-ms": f"{round(reset_s * 1000)}",
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": duration(reset_s),
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "29000",
        "x-ratelimit-reset-tokens": "0s",
    }
    told += f" Please try again in {duration(reset_s)}."
    return _error(429, told, "requests", code="rate_limit_exceeded", headers=headers)


def duration(seconds: float) -> str:
    """As the headers have it: `20s`, `1m30.5s`, `250ms`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    said = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + said


def _too_long(limit: int, request: Request) -> Failure:
    came = max(input_tokens(request.content), limit + 1)
    if request.operation == "responses":
        told = "Your input exceeds the context window of this model. Please adjust your input and try again."
        return _error(400, told, "invalid_request_error", param="input", code="context_length_exceeded")
    told = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {came} tokens. "
        "Please reduce the length of the messages."
    )
    return _error(400, told, "invalid_request_error", param="messages", code="context_length_exceeded")


def _error(
    status: int,
    told: str,
    kind: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> Failure:
    body: dict[str, Any] = {"error": {"message": told, "type": kind, "param": param, "code": code}}
    return Failure(status, body, headers or {})
