"""TOML by tomlkit, which keeps comments and layout."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

from daybreak.host.merge.fitting import Library, fit
from daybreak.host.merge.outcome import NotStructural
from daybreak.host.merge.structured import Format
from daybreak.host.merge.values import Plain, Scalar


def _load(text: str) -> Any:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except (TOMLKitError, ValueError) as error:
        raise NotStructural(f"no TOML: {error}") from None


def read(text: str) -> Plain:
    """By the standard library, so that what we verify with is not what we write with."""
    import tomllib

    try:
        return _plain(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise NotStructural(f"no TOML: {error}") from None


def _plain(node: Any) -> Plain:
    value = node.unwrap() if hasattr(node, "unwrap") else node
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return Scalar(type(value).__name__, value.isoformat())
    return value


def show(value: Plain) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return str(value).lower() if isinstance(value, bool) else str(value)


def write(ours: str, theirs: str, merged: Plain) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    node, other = _load(ours), _load(theirs)
    try:
        return tomlkit.dumps(fit(node, other, merged, Library(_plain, _relist)))
    except (TOMLKitError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise NotStructural(f"the library cannot write it: {type(error).__name__}") from None


def _relist(like: Any, nodes: list[Any]) -> Any | None:
    """An array on one line is written anew, because tomlkit does not space what it inserts."""
    import tomlkit

    if not isinstance(like, tomlkit.items.Array) or "\n" in like.as_string() or "#" in like.as_string():
        return None
    array = tomlkit.array()
    array.extend(nodes)
    return array


def comments(text: str) -> list[str]:
    return [found.strip() for found in re.findall(r"(?:^|\s)(#.*)$", text, re.MULTILINE)]


FORMAT = Format("toml", read, show, write, comments)
