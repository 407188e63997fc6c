"""Writing merged values into a document of ours that knows its comments, taking nodes of theirs along.

The documents are maps and lists of ruamel.yaml or tomlkit; only what must change is changed, so what is left keeps
its comments and its layout. Whether the outcome says what it should is checked by the caller.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daybreak.host.merge.values import Plain, Scalar, same


@dataclass(frozen=True, slots=True)
class Library:
    """What the writer of a format can do."""

    plain: Callable[[Any], Plain]
    """A node's value; raises NotStructural."""
    relist: Callable[[Any, list[Any]], Any | None]
    """A list of nodes in the layout of another list, or None where that one is to be changed in place."""


def fit(ours: Any, theirs: Any, target: Plain, library: Library) -> Any:
    """`ours`, changed to say `target`; or a node of theirs, or a new value, where ours is of another kind."""
    if same(library.plain(ours), target):
        return ours
    if isinstance(ours, dict) and isinstance(target, dict):
        return _map(ours, theirs if isinstance(theirs, dict) else {}, target, library)
    if isinstance(ours, list) and isinstance(target, list):
        return _list(ours, theirs if isinstance(theirs, list) else [], target, library)
    return _new(theirs, target, library)


def _new(theirs: Any, target: Plain, library: Library) -> Any:
    if theirs is not None and same(library.plain(theirs), target):
        return theirs
    if isinstance(target, Scalar):
        raise ValueError(f"no node says {target}")
    if isinstance(target, dict):
        return {
            key: _new(theirs.get(key) if isinstance(theirs, dict) else None, one, library)
            for key, one in target.items()
        }
    if isinstance(target, list):
        return [_new(None, one, library) for one in target]
    return target


def _map(ours: Any, theirs: Any, target: dict[str, Plain], library: Library) -> Any:
    for key in [key for key in ours if key not in target]:
        del ours[key]
    keys = list(target)
    for index, key in enumerate(keys):
        if key not in ours:
            value = _new(theirs.get(key), target[key], library)
            if hasattr(ours, "insert") and index < len(ours):
                ours.insert(index, key, value)  # ruamel: by position
            else:
                ours[key] = value
        elif not same(library.plain(ours[key]), target[key]):
            fitted = fit(ours[key], theirs.get(key), target[key], library)
            if fitted is not ours[key]:
                ours[key] = fitted
    return ours


def _list(ours: Any, theirs: Any, target: list[Plain], library: Library) -> Any:
    before, there = [_text(library.plain(one)) for one in ours], [_text(library.plain(one)) for one in theirs]
    wanted = [_text(one) for one in target]
    relisted = _relisted(ours, theirs, target, library)
    if relisted is not None:
        return relisted
    changes = difflib.SequenceMatcher(None, before, wanted, autojunk=False).get_opcodes()
    for tag, low, high, start, end in reversed(changes):
        if tag == "equal":
            continue
        nodes = [theirs[there.index(one)] if one in there else None for one in wanted[start:end]]
        if high - low == end - start:
            for step in range(high - low):
                ours[low + step] = fit(ours[low + step], nodes[step], target[start + step], library)
            continue
        for index in reversed(range(low, high)):
            del ours[index]
        for step in range(end - start):
            ours.insert(low + step, _new(nodes[step], target[start + step], library))
    return ours


def _relisted(ours: Any, theirs: Any, target: list[Plain], library: Library) -> Any | None:
    nodes = {_text(library.plain(one)): one for one in [*theirs, *ours]}
    found = [nodes.get(_text(one)) for one in target]
    return library.relist(ours, found) if None not in found else None


def _text(value: Plain) -> str:
    return f"{type(value).__name__} {sorted(value.items(), key=str) if isinstance(value, dict) else value!r}"
