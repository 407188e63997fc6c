"""Lists, sets, tuples and maps of simple things, written out in Python: merged element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import libcst as cst

from daybreak.host.merge.python_items import code
from daybreak.host.merge.sequence import merge_order, pick, replaced

_SIMPLE = (cst.SimpleString, cst.Name, cst.Attribute)


def merge(base: Any, ours: Any, theirs: Any) -> Any | None:
    """The merged literal in the layout of ours; None where it is no plain collection, or both changed one element."""
    three = base, ours, theirs
    if len({type(node) for node in three}) != 1 or any("#" in code(node) for node in three):
        return None
    maps = [_elements(node) for node in three]
    if any(one is None for one in maps):
        return None
    before, here, there = (one or {} for one in maps)
    if replaced(list(before), list(here), list(there)):
        return None
    keep: dict[str, str] = {}
    for key in {**before, **here, **there}:
        found, clear = pick(before.get(key), here.get(key), there.get(key))
        if not clear:
            return None
        if found is not None:
            keep[key] = found
    order = merge_order(list(before), list(here), list(there), set(keep))
    if order.clash and not isinstance(ours, cst.Set | cst.Dict):
        return None
    return _written(ours, [keep[key] for key in order.keys])


def _elements(node: Any) -> dict[str, str] | None:
    """Key → element as code; None where an element stands twice or is not simple."""
    found: dict[str, str] = {}
    for element in node.elements:
        if isinstance(element, cst.DictElement):
            key, text = code(element.key), f"{code(element.key)}: {code(element.value)}"
        elif isinstance(element, cst.Element) and isinstance(
            element.value, cst.SimpleString | cst.Name | cst.Attribute
        ):
            key = text = code(element.value)
        else:
            return None
        if key in found:
            return None
        found[key] = text
    return found


def _written(like: Any, texts: Sequence[str]) -> Any:
    text = code(like)
    opening, closing = text[0], text[-1]
    if opening not in "([{":  # a tuple without parentheses
        opening = closing = ""
    if "\n" in text and opening:
        inner = text.splitlines()[1]
        margin = inner[: len(inner) - len(inner.lstrip())]
        last = text.splitlines()[-1]
        end = last[: len(last) - len(last.lstrip())]
        return cst.parse_expression(f"{opening}\n" + "".join(f"{margin}{one},\n" for one in texts) + f"{end}{closing}")
    alone = "," if len(texts) == 1 and isinstance(like, cst.Tuple) else ""
    return cst.parse_expression(opening + ", ".join(texts) + alone + closing)
