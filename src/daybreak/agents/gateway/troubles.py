"""What an error of a provider means: by its status, and by the codes and words that these APIs use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from daybreak.agents.protocol import Trouble
from daybreak.policy.outage import FARTHEST, reset_time

WORST: tuple[Trouble, ...] = ("", "unavailable", "context", "outage", "quota", "authentication", "budget")
"""From light to grave: the further right, the less use is there in trying again."""
_TEXT_MAX = 10_000

_CODES: dict[str, Trouble] = {
    **dict.fromkeys(
        ("context_length_exceeded", "exceed_context_size_error", "request_too_large", "string_above_max_length",
         "context_window_exceeded"), "context",
    ),
    **dict.fromkeys(
        ("invalid_api_key", "authentication_error", "permission_error", "unauthenticated", "permission_denied",
         "api_key_invalid", "invalid_authentication", "account_deactivated"), "authentication",
    ),
    **dict.fromkeys(
        ("insufficient_quota", "rate_limit_exceeded", "rate_limit_error", "resource_exhausted", "usage_limit_reached",
         "billing_error", "quota_exceeded", "billing_not_active", "billing_hard_limit_reached",
         "usage_not_included"), "quota",
    ),
    **dict.fromkeys(
        ("overloaded_error", "api_error", "server_error", "internal", "unavailable", "timeout_error", "timeout",
         "deadline_exceeded", "service_unavailable", "server_is_overloaded", "slow_down", "internal_error",
         "engine_overloaded", "aborted", "unknown", "internal_server_error", "bad_gateway"), "outage",
    ),
    **dict.fromkeys(("model_not_found", "not_found_error", "not_found"), "unavailable"),
}  # fmt: skip
_CONTEXT = re.compile(
    r"(?i)maximum context length|context[ _](?:length|window|size)|prompt is too long|"
    r"input length and `?max_tokens`? exceed|input token count|too many (?:input )?tokens|input is too long|"
    r"exceeds? the (?:maximum|model's) (?:number of|context|input)"
)
_QUOTA = re.compile(r"(?i)credit balance is too low|insufficient (?:credits|balance|quota)|exceeded your current quota")
_KEY = re.compile(r"(?i)api[ _]key (?:not valid|is invalid|not found|expired)|(?:invalid|incorrect) api[ _]key")
_DELAY = re.compile(r'"retryDelay"\s*:\s*"(\d{1,9}(?:\.\d{1,9})?)s"')
_RESETS = re.compile(r'"resets_(at|in_seconds)"\s*:\s*(\d{1,11})')


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong, and until when where somebody says so."""

    trouble: Trouble
    until: datetime | None = None


def of_status(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Found:
    """Of an answer with a status of 300 or more; headers' names in lower case."""
    text = body[:_TEXT_MAX].decode(errors="replace")
    trouble = _trouble(status, _fault(body), text)
    waits = trouble in ("quota", "outage")
    return Found(trouble, _until(text, headers, now) if waits else None)


def of_fault(fault: Mapping[str, Any], now: datetime) -> Found:
    """Of an error that stands in an answer of status 200."""
    text = msgspec.json.encode(fault, enc_hook=str).decode(errors="replace")[:_TEXT_MAX]
    status = fault.get("code")
    trouble = _trouble(status if isinstance(status, int) else 0, fault, text) or "outage"
    return Found(trouble, _until(text, {}, now) if trouble in ("quota", "outage") else None)


def worse(one: Trouble, other: Trouble) -> Trouble:
    return max(one, other, key=WORST.index)


def _trouble(status: int, fault: Mapping[str, Any], text: str) -> Trouble:
    if status in (0, 400, 413, 422) and _CONTEXT.search(text):
        return "context"
    named = {_CODES[word] for word in _words(fault) if word in _CODES}
    for trouble, statuses, pattern in (
        ("context", (413,), None),
        ("quota", (402, 429), _QUOTA),
        ("authentication", (401, 403), _KEY),
        ("unavailable", (404,), None),
    ):
        if status in statuses or (pattern is not None and pattern.search(text)):
            return "quota" if trouble == "authentication" and "quota" in named else trouble  # type: ignore[return-value]
    if status >= 500 or 300 <= status < 400 or status == 408:
        return "quota" if "quota" in named else "outage"
    return max(named, key=WORST.index, default="")


def _words(fault: Mapping[str, Any]) -> list[str]:
    words = [fault.get(name) for name in ("type", "code", "status", "reason")]
    details = fault.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            words.append(detail.get("reason"))
    return [word.lower() for word in words if isinstance(word, str)]


def _fault(body: bytes) -> Mapping[str, Any]:
    """The error in a body, however it is wrapped; empty where there is none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return {}
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return {}
    inner = found.get("error")
    if isinstance(inner, str):
        return {"message": inner, "type": inner}
    return inner if isinstance(inner, dict) else found


def _until(text: str, headers: Mapping[str, str], now: datetime) -> datetime | None:
    """What the API's own fields say goes before what a sentence says; headers go before both."""
    told = reset_time("", headers, now)
    if told is None and (delay := _DELAY.search(text)):
        told = now + timedelta(seconds=float(delay[1]))
    if told is None and (resets := _RESETS.search(text)):
        seconds = int(resets[2])
        told = datetime.fromtimestamp(seconds, UTC) if resets[1] == "at" else now + timedelta(seconds=seconds)
    if told is not None:
        return told if now <= told <= now + FARTHEST else None
    return reset_time(text, {}, now)
