"""YAML by ruamel.yaml's round trip, which keeps comments and quotes.

Refused, and merged as text: several documents, anchors and aliases (one change would show in several places),
merge keys, duplicate keys, keys that are no plain scalars.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from typing import Any

from daybreak.host.merge.fitting import Library, fit
from daybreak.host.merge.outcome import NotStructural
from daybreak.host.merge.structured import Format
from daybreak.host.merge.values import Plain, Scalar

_ALIASES = re.compile(r"(?:^|[\s\[{,:-])[&*][^\s,\[\]{}]+|<<\s*:", re.MULTILINE)


def _library(text: str) -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    mapping, dash = _indents(text)
    yaml.indent(mapping=mapping, sequence=mapping if dash == 0 else dash + 2, offset=dash)
    return yaml


def _indents(text: str) -> tuple[int, int]:
    """Columns of a nested map, and of the dash in a list below a key."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    mapping, dash = 2, 0
    for above, below in itertools.pairwise(lines):
        if not above.rstrip().endswith(":") or above.lstrip().startswith("- "):
            continue
        step = _margin(below) - _margin(above)
        if below.lstrip().startswith("- "):
            dash = max(step, 0)
        elif step > 0:
            mapping = step
    return mapping, dash


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _load(text: str) -> Any:
    from ruamel.yaml.error import YAMLError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _library(text).load(text)
    except YAMLError as error:
        raise NotStructural(f"no YAML: {str(error).splitlines()[0]}") from None
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, Warning, AssertionError) as error:
        raise NotStructural(f"no YAML that the library can read: {type(error).__name__}") from None


def read(text: str) -> Plain:
    if _ALIASES.search(text):
        raise NotStructural("it has anchors or aliases")
    return _plain(_load(text))


def loads(text: str) -> None:
    """Whether it can be read at all, anchors and all. Raises NotStructural."""
    _load(text)


def _plain(node: Any) -> Plain:
    if type(node).__name__ == "TaggedScalar" or (getattr(node, "tag", None) is not None and str(node.tag.value or "")):
        raise NotStructural("it has tags")
    if isinstance(node, dict):
        if not all(isinstance(key, str | int | float | bool | None) for key in node):
            raise NotStructural("a key is no plain value")
        return {_key(key): _plain(value) for key, value in node.items()}
    if type(node).__name__ in ("CommentedSet", "CommentedOrderedMap", "CommentedKeySeq"):
        raise NotStructural("it has sets or ordered maps")
    if isinstance(node, list):
        return [_plain(value) for value in node]
    if isinstance(node, str):
        return str(node)
    if isinstance(node, bool) or node is None:
        return node
    if type(node).__name__ == "ScalarBoolean":
        return bool(node)
    if isinstance(node, int):
        return int(node)
    if isinstance(node, float):
        return float(node)
    return Scalar(type(node).__name__, str(node))


def _key(key: Any) -> Any:
    if isinstance(key, str):
        return str(key)
    return key if key is None or isinstance(key, bool) else int(key) if isinstance(key, int) else float(key)


def show(value: Plain) -> str:
    if isinstance(value, bool | None):
        return {True: "true", False: "false", None: "null"}[value]
    if not isinstance(value, dict | list):
        return str(value)
    stream = io.StringIO()
    _library("").dump(_shown(value), stream)
    return stream.getvalue()


def _shown(value: Plain) -> Any:
    if isinstance(value, dict):
        return {key: _shown(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_shown(one) for one in value]
    return str(value) if isinstance(value, Scalar) else value


def write(ours: str, theirs: str, merged: Plain) -> str:
    node, other = _load(ours), _load(theirs)
    try:
        fitted = fit(node, other, merged, Library(_plain, lambda like, nodes: None))
        stream = io.StringIO()
        _library(ours).dump(fitted, stream)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise NotStructural(f"the library cannot write it: {type(error).__name__}") from None
    return stream.getvalue()


def comments(text: str) -> list[str]:
    return [found.strip() for found in re.findall(r"(?:^|\s)(#.*)$", text, re.MULTILINE)]


FORMAT = Format("yaml", read, show, write, comments)
