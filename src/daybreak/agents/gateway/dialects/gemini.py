"""Gemini's generateContent."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from daybreak.agents.gateway.count import number
from daybreak.agents.gateway.dialects import dialect
from daybreak.agents.gateway.dialects.dialect import STATUS, Action, Asked, Meter, Refusal

_STATUS: dict[Refusal, str] = {
    "token": "UNAUTHENTICATED",
    "path": "NOT_FOUND",
    "request": "INVALID_ARGUMENT",
    "large": "INVALID_ARGUMENT",
    "budget": "FAILED_PRECONDITION",
    "closed": "FAILED_PRECONDITION",
    "breaker": "UNAVAILABLE",
    "unreachable": "UNAVAILABLE",
    "slow": "DEADLINE_EXCEEDED",
    "broken": "INTERNAL",
}
_ROUTE = re.compile(r"/models/([A-Za-z0-9][A-Za-z0-9._-]{0,99}):(generateContent|streamGenerateContent|countTokens)")
_ACTIONS: dict[str, Action] = {"generateContent": "generate", "streamGenerateContent": "stream", "countTokens": "count"}
_SETTINGS = ("generationConfig", "generation_config")
_METHODS = {action: method for method, action in _ACTIONS.items()}


class Gemini:
    name = "gemini"
    prefix = "/gemini/v1beta"

    def route(self, method: str, path: str) -> tuple[Action, str] | None:
        found = _ROUTE.fullmatch(path) if method == "POST" else None
        return None if found is None else (_ACTIONS[found[2]], found[1])

    def path(self, action: Action, model: str, path: str) -> str:
        return f"/models/{model}:{_METHODS[action]}"

    def asked(self, action: Action, body: bytes, model: str, enforced: str, usage: bool) -> Asked:
        fields = dialect.fields(body)
        if action == "count":
            return Asked(model=enforced or model, body=dialect.encoded(fields))
        limits: list[int | None] = []
        times = 1
        for name in _SETTINGS:
            settings = dialect.fields(fields[name]) if dialect.value(fields, name, dict[str, Any]) else {}
            if settings:  # without a name that stands there twice
                dialect.put(fields, name, settings)
            limits += [dialect.value(settings, name, int) for name in ("maxOutputTokens", "max_output_tokens")]
            times = max(
                times, *(dialect.value(settings, name, int, 1) for name in ("candidateCount", "candidate_count"))
            )
        output, said = dialect.most(*limits, times=times)
        return Asked(
            model=enforced or model,
            body=dialect.encoded(fields),
            stream=action == "stream",
            input_tokens=dialect.input_tokens(body),
            output_max=output,
            output_said=said,
            answers=times,
        )

    def limited(self, action: Action, body: bytes, tokens: int, other: bool = False) -> bytes:
        fields = dialect.fields(body)
        place = next((name for name in _SETTINGS if dialect.value(fields, name, dict[str, Any])), _SETTINGS[0])
        settings = dialect.fields(fields[place]) if dialect.value(fields, place, dict[str, Any]) else {}
        settings.pop("max_output_tokens", None)  # null
        dialect.put(settings, "maxOutputTokens", tokens)
        dialect.put(fields, place, settings)
        return dialect.encoded(fields)

    def meter(self, action: Action) -> Meter:
        return _Generated(holds_end=True)

    def refusal(self, why: Refusal, message: str) -> bytes:
        return msgspec.json.encode({"error": {"code": STATUS[why], "message": message, "status": _STATUS[why]}})

    def cut(self, action: Action, message: str) -> bytes:
        return b"data: " + self.refusal("budget", message) + b"\r\n\r\n"

    def key(self, key: str) -> dict[str, str]:
        return {"x-goog-api-key": key}


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | float | None = None
    cached_content_token_count: int | float | None = None
    candidates_token_count: int | float | None = None
    thoughts_token_count: int | float | None = None
    tool_use_prompt_token_count: int | float | None = None
    total_token_count: int | float | None = None


class _Content(msgspec.Struct):
    parts: list[dict[str, Any]] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Chunk(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: _Usage | None = None
    prompt_feedback: _Feedback | None = None
    error: Any = None


_chunk = msgspec.json.Decoder(_Chunk).decode
_chunks = msgspec.json.Decoder(list[_Chunk]).decode


class _Generated(Meter):
    def read(self, data: bytes, streamed: bool) -> None:
        if not streamed and data.lstrip().startswith(b"["):
            for chunk in _chunks(data):  # a stream that was not asked for as events
                self._chunk(chunk)
        else:
            self._chunk(_chunk(data))

    def _chunk(self, chunk: _Chunk) -> None:
        count = self.count
        for candidate in chunk.candidates or ():
            for part in (candidate.content.parts if candidate.content else None) or ():
                for piece in ("text", "functionCall", "inlineData", "executableCode"):
                    count.text(part.get(piece))
            count.ended = candidate.finish_reason or count.ended
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
            count.ended = chunk.prompt_feedback.block_reason
        if isinstance(chunk.error, dict):
            self.fault = chunk.error
        if chunk.usage_metadata is not None:
            self._told(chunk.usage_metadata)
        # Each chunk tells how much it is so far; the one with the reason for the end how much it was.
        count.output_told = count.input_told and chunk.usage_metadata is not None and bool(count.ended)

    def _told(self, usage: _Usage) -> None:
        count = self.count
        prompt = number(usage.prompt_token_count)
        if not prompt:
            return
        count.input_tokens = prompt + number(usage.tool_use_prompt_token_count)
        count.cached_tokens = min(number(usage.cached_content_token_count), count.input_tokens)
        output = number(usage.candidates_token_count) + number(usage.thoughts_token_count)
        count.output_tokens = max(output, number(usage.total_token_count) - count.input_tokens)
        count.input_told = True
