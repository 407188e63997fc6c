"""OpenAI's chat completions, which every compatible server speaks as well."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from daybreak.agents.protocol import Usage
from daybreak.testing.modelserver.answers import Answer, Failure, Invocation, chunks
from daybreak.testing.modelserver.asking import Asked, Content, Message, Request, Role
from daybreak.testing.modelserver.frames import CREATED_S, as_object, as_text, frame, listed, mapped
from daybreak.testing.modelserver.openai_errors import failure as openai_failure
from daybreak.testing.modelserver.turns import Failing

_REASONS = {"length": "length", "filter": "content_filter", "tools": "tool_calls"}
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "assistant": "assistant", "tool": "tool"}


class OpenAIChat:
    """See the module."""

    def read(self, body: Mapping[str, Any], path: str) -> Content:
        return Content(
            model=str(body.get("model", "")),
            stream=bool(body.get("stream")),
            messages=tuple(map(_message, listed(body, "messages"))),
            tools=tuple(str(mapped(tool, "function").get("name", "")) for tool in listed(body, "tools")),
        )

    def whole(self, answer: Answer, request: Request) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text or (None if answer.calls or answer.refusal is not None else ""),
            "refusal": answer.refusal,
            "annotations": [],
        }
        if answer.calls:
            message["tool_calls"] = [_call(call) for call in answer.calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _REASONS.get(answer.stop, "stop")}
        told = {"usage": _usage(answer.usage)} if answer.usage else {}
        return {**_head(request, "chat.completion"), "choices": [choice], **told, "system_fingerprint": None}

    def frames(self, answer: Answer, request: Request) -> list[bytes]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "" if answer.text else None, "refusal": None}]
        deltas += [{"content": piece} for piece in chunks(answer.text) if piece]
        deltas += [{"refusal": piece} for piece in chunks(answer.refusal or "") if piece]
        for index, call in enumerate(answer.calls):
            opened = {**_call(call), "index": index, "function": {"name": call.tool, "arguments": ""}}
            deltas.append({"tool_calls": [opened]})
            for piece in chunks(call.raw):
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        frames = [self._chunk(request, delta, None) for delta in deltas]
        frames.append(self._chunk(request, {}, _REASONS.get(answer.stop, "stop")))
        if answer.usage and _wants_usage(request):
            last = {**_head(request, "chat.completion.chunk"), "choices": [], "usage": _usage(answer.usage)}
            frames.append(frame(last))
        return [*frames, b"data: [DONE]\n\n"]

    def _chunk(self, request: Request, delta: dict[str, Any], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        silent = {"usage": None} if _wants_usage(request) else {}
        return frame({**_head(request, "chat.completion.chunk"), "choices": [choice], **silent})

    def failure(self, fault: Failing, request: Request, now: datetime) -> Failure:
        return openai_failure(fault, request)

    def failure_frames(self, failure: Failure, request: Request) -> list[bytes]:
        return [frame(failure.body), b"data: [DONE]\n\n"]


def _head(request: Request, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{request.number:08d}", "object": kind, "created": CREATED_S, "model": request.model}


def _call(call: Invocation) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": call.raw}}


def _wants_usage(request: Request) -> bool:
    return bool(mapped(request.body, "stream_options").get("include_usage"))


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _message(message: Mapping[str, Any]) -> Message:
    calls = []
    for call in listed(message, "tool_calls"):
        told = mapped(call, "function")
        calls.append(Asked(str(call.get("id", "")), str(told.get("name", "")), as_object(told.get("arguments"))))
    return Message(
        role=_ROLES.get(str(message.get("role")), "user"),
        text=as_text(message.get("content")),
        calls=tuple(calls),
        call_id=str(message.get("tool_call_id", "")),
    )
