"""OpenAI's responses API, which Codex speaks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from daybreak.agents.protocol import Usage
from daybreak.testing.modelserver.answers import Answer, Failure, Invocation, Refusal, Text, chunks
from daybreak.testing.modelserver.asking import Asked, Content, Message, Request, Role
from daybreak.testing.modelserver.frames import CREATED_S, as_object, as_text, frame, listed
from daybreak.testing.modelserver.openai_errors import failure as openai_failure
from daybreak.testing.modelserver.turns import Failing

_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "assistant": "assistant"}
_INCOMPLETE = {"length": "max_output_tokens", "filter": "content_filter"}


class OpenAIResponses:
    """See the module."""

    def read(self, body: Mapping[str, Any], path: str) -> Content:
        said = body.get("input")
        items = listed(body, "input") if not isinstance(said, str) else [{"role": "user", "content": said}]
        before = [Message("system", str(body["instructions"]))] if body.get("instructions") else []
        read = [_message(item) for item in items]
        tools = listed(body, "tools")
        return Content(
            model=str(body.get("model", "")),
            stream=bool(body.get("stream")),
            messages=(*before, *(message for message in read if message)),
            tools=tuple(str(tool.get("name") or tool.get("type", "")) for tool in tools),
            free_tools=frozenset(str(tool.get("name")) for tool in tools if tool.get("type") == "custom"),
        )

    def whole(self, answer: Answer, request: Request) -> dict[str, Any]:
        output = [_item(piece, index, request) for index, piece in enumerate(answer.pieces)]
        return _response(request, _status(answer), output, answer)

    def frames(self, answer: Answer, request: Request) -> list[bytes]:
        started = _response(request, "in_progress", [], None)
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": started},
            {"type": "response.in_progress", "response": started},
        ]
        for index, piece in enumerate(answer.pieces):
            events += _item_events(piece, index, request)
        status = _status(answer)
        events.append({"type": f"response.{status}", "response": self.whole(answer, request)})
        return _numbered(events)

    def failure(self, fault: Failing, request: Request, now: datetime) -> Failure:
        return openai_failure(fault, request)

    def failure_frames(self, failure: Failure, request: Request) -> list[bytes]:
        """`response.failed`, in place of `response.completed`."""
        error = failure.body["error"]
        failed = _response(request, "failed", [], None)
        failed["error"] = {"code": error["code"] or error["type"], "message": error["message"]}
        return _numbered([{"type": "response.failed", "response": failed}], first=1000)


def _numbered(events: list[dict[str, Any]], first: int = 0) -> list[bytes]:
    numbers = itertools.count(first)
    return [frame({**event, "sequence_number": next(numbers)}, event["type"]) for event in events]


def _status(answer: Answer) -> str:
    return "incomplete" if answer.stop in _INCOMPLETE else "completed"


def _response(request: Request, status: str, output: list[dict[str, Any]], answer: Answer | None) -> dict[str, Any]:
    reason = _INCOMPLETE.get(answer.stop) if answer else None
    return {
        "id": f"resp_{request.number:08d}",
        "object": "response",
        "created_at": CREATED_S,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": request.body.get("instructions"),
        "max_output_tokens": request.body.get("max_output_tokens"),
        "model": request.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": bool(request.body.get("store", True)),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(answer.usage) if answer and answer.usage else None,
        "user": None,
        "metadata": {},
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _item(piece: Text | Refusal | Invocation, index: int, request: Request) -> dict[str, Any]:
    if isinstance(piece, Invocation):
        return _call_item(piece, index, request, piece.raw, "completed")
    return _message_item(index, request, [_part(piece, piece.text)], "completed")


def _message_item(index: int, request: Request, content: list[dict[str, Any]], status: str) -> dict[str, Any]:
    name = f"msg_{request.number:08d}_{index}"
    return {"id": name, "type": "message", "status": status, "role": "assistant", "content": content}


def _part(piece: Text | Refusal, text: str) -> dict[str, Any]:
    if isinstance(piece, Refusal):
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _call_item(call: Invocation, index: int, request: Request, raw: str, status: str) -> dict[str, Any]:
    if call.tool in request.content.free_tools:
        name = f"ctc_{request.number:08d}_{index}"
        free = {"id": name, "type": "custom_tool_call", "call_id": call.id, "name": call.tool}
        return {**free, "input": _free(call) if raw else "", "status": status}
    name = f"fc_{request.number:08d}_{index}"
    made = {"id": name, "type": "function_call", "call_id": call.id, "name": call.tool}
    return {**made, "arguments": raw, "status": status}


def _free(call: Invocation) -> str:
    """The text for a tool that takes text: the whole, or the `input` of an object."""
    return str(call.arguments["input"]) if call.arguments and set(call.arguments) == {"input"} else call.raw


def _item_events(piece: Text | Refusal | Invocation, index: int, request: Request) -> list[dict[str, Any]]:
    done = _item(piece, index, request)
    if isinstance(piece, Invocation):
        opened = _call_item(piece, index, request, "", "in_progress")
        inner = _call_events(piece, done, {"item_id": done["id"], "output_index": index})
    else:
        opened = _message_item(index, request, [], "in_progress")
        inner = _text_events(piece, {"item_id": done["id"], "output_index": index, "content_index": 0})
    return [
        {"type": "response.output_item.added", "output_index": index, "item": opened},
        *inner,
        {"type": "response.output_item.done", "output_index": index, "item": done},
    ]


def _call_events(call: Invocation, item: dict[str, Any], place: dict[str, Any]) -> list[dict[str, Any]]:
    kind, field, raw = "response.function_call_arguments", "arguments", call.raw
    if item["type"] == "custom_tool_call":
        kind, field, raw = "response.custom_tool_call_input", "input", item["input"]
    deltas = [{"type": f"{kind}.delta", **place, "delta": chunk} for chunk in chunks(raw)]
    named = {"name": call.tool} if field == "arguments" else {}
    return [*deltas, {"type": f"{kind}.done", **place, field: raw, **named}]


def _text_events(piece: Text | Refusal, place: dict[str, Any]) -> list[dict[str, Any]]:
    kind, field = ("response.refusal", "refusal") if isinstance(piece, Refusal) else ("response.output_text", "text")
    likely: dict[str, Any] = {} if isinstance(piece, Refusal) else {"logprobs": []}
    return [
        {"type": "response.content_part.added", **place, "part": _part(piece, "")},
        *({"type": f"{kind}.delta", **place, "delta": chunk, **likely} for chunk in chunks(piece.text)),
        {"type": f"{kind}.done", **place, field: piece.text, **likely},
        {"type": "response.content_part.done", **place, "part": _part(piece, piece.text)},
    ]


def _message(item: Mapping[str, Any]) -> Message | None:
    match item.get("type", "message"):
        case "message":
            return Message(_ROLES.get(str(item.get("role")), "user"), as_text(item.get("content")))
        case "function_call" | "custom_tool_call":
            raw = item.get("arguments", item.get("input"))
            called = Asked(str(item.get("call_id", "")), str(item.get("name", "")), as_object(raw))
            return Message("assistant", calls=(called,))
        case "function_call_output" | "custom_tool_call_output":
            return Message("tool", as_text(item.get("output")), call_id=str(item.get("call_id", "")))
        case _:
            return None
