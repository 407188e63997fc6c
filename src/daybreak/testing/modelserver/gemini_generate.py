"""Gemini's generateContent and streamGenerateContent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from daybreak.agents.protocol import Usage
from daybreak.testing.modelserver.answers import Answer, Failure, Invocation, Refusal, Text, chunks, input_tokens
from daybreak.testing.modelserver.asking import Asked, Content, Message, Request
from daybreak.testing.modelserver.frames import as_text, encode, frame, listed, mapped
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
    "length": "MAX_TOKENS",
    "refusal": "SAFETY",
    "filter": "PROHIBITED_CONTENT",
    "malformed": "MALFORMED_FUNCTION_CALL",
}
_RPC = "type.googleapis.com/google.rpc."


class GeminiGenerate:
    """See the module."""

    def read(self, body: Mapping[str, Any], path: str) -> Content:
        found = re.search(r"models/([^/:?]+)", path)
        asked = mapped(body, "generateContentRequest") or body  # countTokens may wrap the question
        given = mapped(asked, "systemInstruction") or mapped(asked, "system_instruction")
        system = as_text(given.get("parts"))
        messages = [Message("system", system)] if system else []
        for content in listed(asked, "contents"):
            messages += _messages(content)
        tools = [
            str(function.get("name", ""))
            for tool in listed(asked, "tools")
            for function in listed(tool, "functionDeclarations")
        ]
        model = found[1] if found else str(body.get("model", ""))
        return Content(model, "streamGenerateContent" in path, tuple(messages), tuple(tools))

    def whole(self, answer: Answer, request: Request) -> dict[str, Any]:
        answer = _carried(answer)
        return _chunk(request, [_part(piece) for piece in answer.pieces if not isinstance(piece, Refusal)], answer)

    def frames(self, answer: Answer, request: Request) -> list[bytes]:
        answer = _carried(answer)
        parts: list[dict[str, Any]] = []
        for piece in answer.pieces:
            if isinstance(piece, Text):
                parts += [{"text": chunk} for chunk in chunks(piece.text)]
            elif isinstance(piece, Invocation):
                parts.append(_part(piece))
        told = [_chunk(request, [part], None) for part in parts[:-1]]
        told.append(_chunk(request, parts[-1:], answer))
        if "alt=sse" in request.path:
            return [frame(chunk).replace(b"\n", b"\r\n") for chunk in told]
        between = [b"[", *([b",\r\n"] * (len(told) - 1))]
        rows = [mark + encode(chunk) for mark, chunk in zip(between, told, strict=True)]
        return [*rows, b"]"]

    def failure(self, fault: Failing, request: Request, now: datetime) -> Failure:
        match fault:
            case RateLimited(reset_s=reset_s):
                return _quota(request, reset_s, "GenerateRequestsPerMinutePerProjectPerModel")
            case NoCredit():
                return _quota(request, None, "GenerateRequestsPerDayPerProjectPerModel")
            case Unauthorized():
                info = {"@type": f"{_RPC}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
                told = "API key not valid. Please pass a valid API key."
                return _error(400, "INVALID_ARGUMENT", told, [info])
            case Broken():
                told = "An internal error has occurred. Please retry or report in the troubleshooting guide."
                return _error(500, "INTERNAL", told)
            case Overloaded():
                return _error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
            case ContextTooLong(limit=limit):
                came = max(input_tokens(request.content), limit + 1)
                told = f"The input token count ({came}) exceeds the maximum number of tokens allowed ({limit})."
                return _error(400, "INVALID_ARGUMENT", told)

    def failure_frames(self, failure: Failure, request: Request) -> list[bytes]:
        return [frame(failure.body).replace(b"\n", b"\r\n")]


def _carried(answer: Answer) -> Answer:
    """Gemini's calls hold objects; one that is none is left out, and the answer ends as MALFORMED_FUNCTION_CALL."""
    if all(call.arguments is not None for call in answer.calls):
        return answer
    kept = tuple(p for p in answer.pieces if not isinstance(p, Invocation) or p.arguments is not None)
    return Answer(kept, "length" if answer.stop == "length" else "malformed", answer.usage)


def _part(piece: Text | Invocation) -> dict[str, Any]:
    if isinstance(piece, Text):
        return {"text": piece.text}
    return {"functionCall": {"id": piece.id, "name": piece.tool, "args": piece.arguments}}


def _chunk(request: Request, parts: list[dict[str, Any]], end: Answer | None) -> dict[str, Any]:
    """One answer in full, or a piece of a stream; `end` in the last one."""
    candidate: dict[str, Any] = {"index": 0}
    if parts:
        candidate["content"] = {"parts": parts, "role": "model"}
    elif end and end.stop not in ("refusal", "malformed"):
        candidate["content"] = {"parts": [], "role": "model"}
    if end:
        candidate["finishReason"] = _REASONS.get(end.stop, "STOP")
        if end.refusal is not None:
            candidate["finishMessage"] = end.refusal
            candidate["safetyRatings"] = [
                {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
            ]
        if end.stop == "malformed":
            candidate["finishMessage"] = "Malformed function call"
    used = {"usageMetadata": _usage(end.usage)} if end and end.usage else {}
    name = f"resp-{request.number:08d}"
    return {"candidates": [candidate], **used, "modelVersion": request.model, "responseId": name}


def _usage(usage: Usage) -> dict[str, Any]:
    cached = {"cachedContentTokenCount": usage.cached_tokens} if usage.cached_tokens else {}
    return {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
        **cached,
    }


def _quota(request: Request, reset_s: float | None, quota: str) -> Failure:
    violation = {"quotaId": quota, "quotaDimensions": {"model": request.model, "location": "global"}, "quotaValue": "5"}
    details: list[dict[str, Any]] = [{"@type": f"{_RPC}QuotaFailure", "violations": [violation]}]
    told = "You exceeded your current quota, please check your plan and billing details."
    if reset_s is not None:
        delay = f"{reset_s:.9f}".rstrip("0").rstrip(".") + "s"
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": delay})
        told += f"\nPlease retry in {delay}."
    return _error(429, "RESOURCE_EXHAUSTED", told, details)


def _error(status: int, name: str, told: str, details: list[dict[str, Any]] | None = None) -> Failure:
    error: dict[str, Any] = {"code": status, "message": told, "status": name}
    return Failure(status, {"error": {**error, "details": details} if details else error})


def _messages(content: Mapping[str, Any]) -> list[Message]:
    parts = listed(content, "parts")
    results, calls, texts = [], [], []
    for part in parts:
        if isinstance(answered := part.get("functionResponse"), Mapping):
            found = answered.get("response")
            text = found if isinstance(found, str) else _result_text(found)
            results.append(Message("tool", text, call_id=str(answered.get("id") or answered.get("name", ""))))
        elif isinstance(called := part.get("functionCall"), Mapping):
            calls.append(Asked(str(called.get("id", "")), str(called.get("name", "")), called.get("args")))
        elif part.get("text") and not part.get("thought"):
            texts.append(str(part["text"]))
    text = "\n".join(texts)
    said = Message("assistant" if content.get("role") == "model" else "user", text, tuple(calls))
    return [*results, said] if text or calls or not results else list(results)


def _result_text(found: Any) -> str:
    """A tool's result is an object; where it has one text that is it, else all of it as JSON."""
    if isinstance(found, Mapping) and len(found) == 1:
        only = next(iter(found.values()))
        if isinstance(only, str):
            return only
    return encode(found).decode()
