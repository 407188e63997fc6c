"""Changes of single values by key, on plain values and on texts whose comments shall stay."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daybreak.host.naming import named
from daybreak.host.typed import plain
from daybreak.host.typed.limits import Limits
from daybreak.host.typed.plain import Key
from daybreak.host.typed.refusals import SENTENCE, NotWritable, shown


def refuse_hostile(put: Mapping[Key, object], remove: Sequence[Key], path: str, limits: Limits) -> None:
    """Looks at all that is given before anything is copied or read. Raises NotWritable and TooComplex."""
    given: tuple[object, object] = (put, remove)
    if not isinstance(given[0], Mapping) or not isinstance(given[1], list | tuple):
        raise NotWritable.at(path, "what to put is no mapping, or what to remove no list", hint="put={…}, remove=[…]")
    for key in (*remove, *put):
        _checked(key, path)
    for value in put.values():
        plain.refuse_large(value, path, limits)
        plain.refuse_unwritable(value, path, "this format", whole_keys=True, times=True)


def apply(tree: Any, put: Mapping[Key, object], remove: Sequence[Key], path: str) -> None:
    """Change `tree` in place: removals first, in their order. Raises NotWritable, naming the key that leads nowhere."""
    for key in remove:
        *above, last = _checked(key, path)
        holder = _down(tree, above, key, path)
        try:
            del holder[last]
        except (KeyError, IndexError, TypeError):
            raise _nowhere(key, path) from None
    for key, value in put.items():
        *above, last = _checked(key, path)
        holder = _down(tree, above, key, path)
        try:
            holder[last] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError, AttributeError):
            raise _nowhere(key, path) from None


def _checked(key: object, path: str) -> Key:
    if (
        not isinstance(key, tuple)
        or not key
        or not all(isinstance(part, str | int) and not isinstance(part, bool) for part in key)
        or any(isinstance(part, int) and plain.is_huge(part) for part in key)
    ):
        raise NotWritable.at(path, f"{named(key)} is no key", hint='a tuple of names and places: ("servers", 0)')
    return key


def _down(tree: Any, above: Sequence[str | int], key: Key, path: str) -> Any:
    for part in above:
        try:
            if isinstance(tree, str):
                raise TypeError
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            raise _nowhere(key, path) from None
    return tree


def _nowhere(key: Key, path: str) -> Exception:
    return NotWritable.at(
        path, f"{shown('/'.join(map(str, key)))} leads nowhere", hint="check the names; nothing was written"
    )


def _json(text: str, put: Mapping[Key, object], remove: Sequence[Key], path: str) -> str:
    tree = json.loads(text)
    apply(tree, put, remove, path)
    return json.dumps(tree, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _yaml(text: str, put: Mapping[Key, object], remove: Sequence[Key], path: str) -> str:
    from ruamel.yaml import YAML

    editor = YAML(typ="rt")
    editor.preserve_quotes = True
    editor.width = 1 << 30
    tree = editor.load(text)
    apply(tree, put, remove, path)
    out = io.StringIO()
    editor.dump(tree, out)
    return out.getvalue()


def _toml(text: str, put: Mapping[Key, object], remove: Sequence[Key], path: str) -> str:
    import tomlkit

    tree = tomlkit.parse(text)
    apply(tree, put, remove, path)
    return tomlkit.dumps(tree)


EDITORS: dict[str, Callable[[str, Mapping[Key, object], Sequence[Key], str], str]] = {
    "json": _json,
    "yaml": _yaml,
    "toml": _toml,
}


def edited(kind: str, text: str, put: Mapping[Key, object], remove: Sequence[Key], path: str) -> bytes:
    """The new text. Whether it says what it should is for the caller to check. Raises NotWritable."""
    try:
        return EDITORS[kind](text, put, remove, path).encode()
    except NotWritable:
        raise
    except RecursionError:
        raise
    except Exception as error:
        raise NotWritable.at(
            path,
            f"its text cannot be changed in place: {shown(str(error), SENTENCE)}",
            hint="read, change and write it; comments are lost",
        ) from error
