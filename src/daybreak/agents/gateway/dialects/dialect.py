"""What the gateway must know of an API, and what all of them have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from daybreak.agents.gateway.count import BYTES_A_TOKEN, MEDIA_BYTES_A_TOKEN, Count

OUTPUT_DEFAULT = 16_384
"""Tokens of an answer that are set aside where a request does not say how many it may have."""
OUTPUT_MAX = 10_000_000
_MEDIA = re.compile(rb"[A-Za-z0-9+/=_-]{4096,}")

Action = Literal["chat", "responses", "messages", "generate", "stream", "count", "models"]
"""`count` and `models` ask no model and cost nothing."""
Refusal = Literal["token", "path", "request", "large", "budget", "closed", "breaker", "unreachable", "slow", "broken"]
"""Why the gateway itself answers instead of the provider."""

STATUS: Mapping[Refusal, int] = {
    "token": 401, "path": 404, "request": 400, "large": 413, "budget": 402, "closed": 402,
    "breaker": 503, "unreachable": 502, "slow": 504, "broken": 500,
}  # fmt: skip
FINAL: frozenset[Refusal] = frozenset({"token", "path", "request", "large", "budget", "closed"})
"""The same again is refused again; clients are told not to try."""


class RequestWrong(Exception):
    """A request that no meter can be put to; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks for, as far as money goes, and its body as it is sent on."""

    model: str
    body: bytes
    stream: bool = False
    input_tokens: int = 0
    """Estimated, rather too many."""
    output_max: int = 0
    """The most tokens that all its answers may have together."""
    output_said: bool = False
    """The request said so itself."""
    answers: int = 1
    """So many were asked for at once; a limit in the request holds for each."""
    input_factor: float = 1.0
    """Price of its dearest kind of input, times that of plain input."""
    usage_added: bool = False
    """The usage in the stream is our wish, not the client's."""


@dataclass(slots=True)
class Meter:
    """Reads one answer. `fault`: code, type and message of an error that stands in it."""

    count: Count = field(default_factory=Count)
    fault: Mapping[str, Any] | None = None
    holds_end: bool = False
    """The event with the reason for the end may not be the last one, and nothing says which is."""

    def event(self, data: bytes) -> None:
        """One event of a stream."""
        try:
            self.read(data, True)
        except (msgspec.MsgspecError, RecursionError):
            self.count.characters += len(data)  # rather too much than nothing

    def plain(self, body: bytes) -> None:
        """A whole answer. Raises msgspec.MsgspecError where it is none."""
        self.read(body, False)

    def extra(self, data: bytes) -> bool:
        """Is this event there only because we asked for usage?"""
        return False

    def read(self, data: bytes, streamed: bool) -> None:
        """Count it. Raises msgspec.MsgspecError."""
        raise NotImplementedError


class Dialect(Protocol):
    """One API."""

    name: str
    prefix: str
    """Of our paths."""

    def route(self, method: str, path: str) -> tuple[Action, str] | None:
        """What a path behind the prefix asks for, and the model where the path names it; None: unknown."""
        ...

    def path(self, action: Action, model: str, path: str) -> str:
        """What goes behind the provider's address."""
        ...

    def asked(self, action: Action, body: bytes, model: str, enforced: str, usage: bool) -> Asked:
        """Raises RequestWrong. `model` is what the path says, `enforced` what it must be (empty: free);
        `usage`: ask the provider for usage in streams where that has to be asked for."""
        ...

    def limited(self, action: Action, body: bytes, tokens: int, other: bool = False) -> bytes:
        """A body that says nothing of it (`Asked.body`) with that limit of output tokens for each answer; with `other`
        under the name that some models want instead, where there is one."""
        ...

    def meter(self, action: Action) -> Meter: ...

    def refusal(self, why: Refusal, message: str) -> bytes:
        """A body as the API's own errors have it."""
        ...

    def cut(self, action: Action, message: str) -> bytes:
        """The last events of a stream that is cut."""
        ...

    def key(self, key: str) -> dict[str, str]:
        """Headers that carry the provider's key."""
        ...


# -- requests


Fields = dict[str, msgspec.Raw]
_COUNTS = frozenset(
    ("model", "models", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "max_output_tokens",
     "background", "tools", "service_tier", "speed", "plugins", "mcp_servers", "previous_response_id", "conversation",
     "maxOutputTokens", "candidateCount", "candidate_count", "generationConfig", "generation_config", "contents",
     "cachedContent", "cached_content", "messages", "input", "system", "container", "prompt", "web_search_options",
     "systemInstruction", "system_instruction")
)  # fmt: skip
_FOLDED = frozenset(name.replace("_", "").casefold() for name in _COUNTS)


def fields(body: bytes) -> Fields:
    """The fields of a JSON object, each value's bytes as they were; of a name that stands there twice the last, so
    that no other reader finds another one. A name that counts, in other letters, is refused: some servers take it for
    the same. Raises RequestWrong."""
    try:
        found = msgspec.json.decode(body, type=Fields)
    except (msgspec.MsgspecError, RecursionError) as problem:
        raise RequestWrong(f"the body is no JSON object: {problem}") from None
    for name in found:
        if name not in _COUNTS and name.replace("_", "").casefold() in _FOLDED:
            raise RequestWrong(f"there is no field {name!r:.40}: it is too near to one that counts")
    return found


def value(fields: Fields, name: str, kind: type[Any], other: Any = None) -> Any:
    """A field's value; `other` where it is not there or null. Raises RequestWrong where it is of another kind."""
    raw = fields.get(name)
    if raw is None:
        return other
    try:
        found = msgspec.json.decode(raw, type=kind | None)
    except (msgspec.MsgspecError, RecursionError):
        raise RequestWrong(f"{name} is not of the right kind") from None
    return other if found is None else found


def put(fields: Fields, name: str, new: object) -> None:
    fields[name] = msgspec.Raw(msgspec.json.encode(new))


def encoded(fields: Fields) -> bytes:
    return msgspec.json.encode(fields)


def most(*limits: int | None, times: int = 1) -> tuple[int, bool]:
    """The tokens that an answer may have, and whether the request says so. Raises RequestWrong."""
    said = [limit for limit in limits if limit is not None]
    if any(not 0 <= limit <= OUTPUT_MAX for limit in said) or not 1 <= times <= 128:
        raise RequestWrong("the limit of output tokens, or the number of answers, is out of range")
    return (max(said) if said else OUTPUT_DEFAULT) * times, bool(said)


def input_tokens(body: bytes) -> int:
    """Rather too many. Long runs of base64 are pictures or documents, which cost far less than their letters."""
    media = sum(len(found[0]) for found in _MEDIA.finditer(body)) if len(body) > 4096 else 0
    return (len(body) - media) // BYTES_A_TOKEN + media // MEDIA_BYTES_A_TOKEN + 1
