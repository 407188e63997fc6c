"""What is served beside answers: the lists of models in each API's own form, and a page that is none of theirs."""

from __future__ import annotations

from typing import Any

from daybreak.testing.modelserver.asking import Request
from daybreak.testing.modelserver.frames import CREATED_S
from daybreak.testing.modelserver.turns import Html


def models(request: Request, names: tuple[str, ...]) -> tuple[int, dict[str, Any]]:
    """Status and body: all of `names`, or the one that the path asks for."""
    path = request.path.partition("?")[0].rstrip("/")
    asked = path.rpartition("/models/")[2] if "/models/" in path else ""
    if asked and asked not in names:
        told = f"The model '{asked:.80}' does not exist"
        return 404, {"error": {"message": told, "type": "invalid_request_error", "code": "model_not_found"}}
    made = [_MADE[request.api](name) for name in ([asked] if asked else names)]
    if asked:
        return 200, made[0]
    if request.api == "gemini":
        return 200, {"models": made}
    if request.api == "anthropic":
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return 200, {"data": made, "has_more": False, **ends}
    return 200, {"object": "list", "data": made}


def page(html: Html) -> str:
    head = f"<!DOCTYPE html>\n<html>\n<head><title>{html.title}</title></head>"
    return f"{head}\n<body><h1>{html.title}</h1><form></form></body>\n</html>\n"


def _openai(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED_S, "owned_by": "daybreak"}


def _anthropic(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2026-03-01T22:00:00Z"}


def _gemini(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


_MADE = {"openai": _openai, "anthropic": _anthropic, "gemini": _gemini}
