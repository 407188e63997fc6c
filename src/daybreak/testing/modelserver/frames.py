"""Server-sent events, and what the APIs' readers of bodies share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CREATED_S = 1_772_402_400
"""When everything was created, in seconds since 1970: a script gives the same bytes on any day."""


def encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def frame(value: Any, event: str = "") -> bytes:
    """One server-sent event, named where `event` is given."""
    named = f"event: {event}\n".encode() if event else b""
    return named + b"data: " + encode(value) + b"\n\n"


def as_text(content: Any) -> str:
    """The text of a message's content, which is text or a list of parts of which some have text."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        return as_text(content.get("text") or content.get("refusal") or content.get("content") or "")
    if isinstance(content, list):
        return "\n".join(filter(None, map(as_text, content)))
    return ""


def as_object(raw: Any) -> Any:
    """`raw` parsed where it is a JSON object, and itself otherwise."""
    if not isinstance(raw, str):
        return raw
    try:
        read = json.loads(raw)
    except ValueError:
        return raw
    return read if isinstance(read, dict) else raw


def mapped(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object of that name; empty where there is none."""
    found = body.get(name)
    return found if isinstance(found, Mapping) else {}


def listed(body: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects in the list of that name; empty where there is none."""
    found = body.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
