"""What a request may not ask a provider for: things that reach others than the model, or cost by something else than
its tokens.

A sandbox without a network has none if a provider fetches pages, speaks to servers, or runs programs for it; and a wall
of tokens is none where a search costs by the piece, or where what lies with the provider is put into a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daybreak.agents.gateway.dialects import dialect
from daybreak.agents.gateway.dialects.dialect import Fields, RequestWrong
from daybreak.settings import Api

_HOSTED = (
    "web_", "file_search", "mcp", "code_interpreter", "code_execution", "image_generation", "advisor",
    "googlesearch", "google_search", "urlcontext", "url_context", "codeexecution", "enterprise_web_search",
    "enterprisewebsearch", "googlemaps", "google_maps", "retrieval", "filesearch", "mcp_servers", "mcpservers",
)  # fmt: skip
"""How kinds of tools begin that the provider carries out itself, in small letters."""
_WITH_IT: Mapping[Api, Sequence[str]] = {
    "openai": ("web_search_options", "plugins", "models", "previous_response_id", "conversation", "prompt"),
    "anthropic": ("mcp_servers", "container"),
    "gemini": ("cachedContent", "cached_content"),
}
"""Fields that bring such a thing with them, another model, or input that nobody has counted."""
_DEARER: Mapping[Api, Sequence[str]] = {"openai": ("service_tier",), "anthropic": ("speed",), "gemini": ()}
"""Fields that change the price."""
_CHEAP = ("auto", "default", "standard", "flex", "")
_CONTENT: Mapping[Api, Sequence[str]] = {
    "openai": ("messages", "input"),
    "anthropic": ("messages", "system"),
    "gemini": ("contents", "systemInstruction", "system_instruction"),
}
_GIVEN = frozenset({"args", "response", "arguments", "parameters", "input_schema"})
"""Below these the model and its tools write what they want."""
_MARKS = (b"_url", b'"url"', b"ileUri", b"file_uri", b"\\u")
_PLACES = ("image_url", "file_url", "video_url", "audio_url", "fileUri", "file_uri")


def refuse(api: Api, body: bytes, *, network: bool) -> None:
    """Raises RequestWrong where a body asks for what is not to be had. With `network` only the price counts."""
    fields = dialect.fields(body)
    for name in _DEARER[api]:
        if (value := dialect.value(fields, name, str, "")) not in _CHEAP:
            raise RequestWrong(f"{name} {value!r:.40} has another price than the one that is counted: leave it out")
    if network:
        return
    for name in _WITH_IT[api]:
        if _given(fields.get(name)):
            raise RequestWrong(f"`{name}` is not for attempts without a network: leave it out")
    for tool in dialect.value(fields, "tools", list[Any], []):
        if (kind := _hosted(tool)) is not None:
            raise RequestWrong(f"the provider's tool {kind!r:.60} is not for attempts without a network")
    if any(mark in body for mark in _MARKS):
        _refuse_addresses(api, fields)


def _given(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw).strip() not in (b"null", b"[]", b"{}", b'""')


def _hosted(tool: object) -> str | None:
    """The kind of a tool that the provider carries out; None for one of the client's own."""
    if not isinstance(tool, dict):
        return None
    kind = tool.get("type")
    inner = tool.get("tools")
    for one in inner if isinstance(inner, list) else ():  # a namespace of OpenAI's
        if (found := _hosted(one)) is not None:
            return found
    if isinstance(kind, str):
        environment = tool.get("environment")
        local = not isinstance(environment, dict) or environment.get("type") in ("local", None)
        return kind if kind.lower().startswith(_HOSTED) or not local else None
    # Gemini's tools have no type: each is a field.
    return next((name for name in tool if str(name).lower().startswith(_HOSTED)), None)


def _refuse_addresses(api: Api, fields: Fields) -> None:
    """Pictures and documents that the provider would fetch from somewhere."""
    try:
        left = [msgspec.json.decode(fields[name]) for name in _CONTENT[api] if name in fields]
    except RecursionError:
        raise RequestWrong("the content is nested too deeply") from None
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            if _fetched(one):
                raise RequestWrong("content that the provider would fetch from an address: send it with the request")
            own = _GIVEN | {"input"} if one.get("type") == "tool_use" else _GIVEN
            left += [value for name, value in one.items() if name not in own]


def _fetched(part: dict[str, Any]) -> bool:
    places = [part.get(name) for name in _PLACES]
    if part.get("type") == "url":
        places.append(part.get("url"))
    for place in places:
        address = place.get("url") if isinstance(place, dict) else place
        if isinstance(address, str) and address and address[:5].lower() != "data:":
            return True
    return False
