"""Plain values in three versions: what JSON, YAML and TOML hold, without their text.

Maps are merged key by key, lists by identity where one is obvious (`name`, `id` or `key` of maps, the name of a
requirement, the text of strings that stand once), else element by element. What both changed differently is a
conflict, a version bumped twice among them. Equality is strict: 1, 1.0 and true are three things.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from daybreak.host.merge.outcome import Conflict, Kind
from daybreak.host.merge.sequence import chunks, merge_order, replaced

Plain = Any
"""None, bool, int, float, str, Scalar, list and dict of these."""

IDENTITY_KEYS = ("id", "name", "key")
ORDERED = frozenset({"args", "argv", "command", "cmd", "entrypoint", "run"})
"""Lists below these keys are command lines: what both add is never put together."""
COLLECTIONS = frozenset(
    {"dependencies", "devDependencies", "dev-dependencies", "peerDependencies", "optional-dependencies"}
    | {"scripts", "env", "environment", "labels", "annotations", "paths", "services", "volumes", "extras", "urls"}
)
"""Maps below these keys are collections: where both make one anew, they are put together."""
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*([=~!<>@;,].*)?")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value with its text, where the text is more than Python's value: numbers of JSON, dates, tagged values."""

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


def same(one: Plain, other: Plain) -> bool:
    """Equal in type and value; the order of keys does not count."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


@dataclass
class Values:
    """One merge: the file, how values are shown in records, and the conflicts so far."""

    path: str
    show: Callable[[Plain], str]
    conflicts: list[Conflict] = field(default_factory=list)

    def merge(self, base: Plain, ours: Plain, theirs: Plain, where: str = "", key: str = "") -> Plain:
        """The merged value; where `conflicts` grew, it means nothing."""
        if same(ours, theirs) or same(theirs, base):
            return ours
        if same(ours, base):
            return theirs
        kinds = {type(value) for value in (base, ours, theirs)}
        if kinds == {dict}:
            return self._maps(base, ours, theirs, where)
        if kinds == {list}:
            return self._lists(base, ours, theirs, where, key)
        if base is MISSING and kinds == {_Missing, dict} and key in COLLECTIONS:
            return self._maps({}, ours, theirs, where)
        return self._clash(base, ours, theirs, where)

    def _clash(self, base: Plain, ours: Plain, theirs: Plain, where: str, kind: Kind | None = None) -> Plain:
        if kind is None:
            gone = ours is MISSING or theirs is MISSING
            kind = "add/add" if base is MISSING else "delete/modify" if gone else "modify/modify"
        texts = tuple(None if value is MISSING else self.show(value) for value in (base, ours, theirs))
        words: dict[Kind, str] = {
            "add/add": "both added it with different values: take one",
            "delete/modify": "one side removed what the other changed: decide whether it stays",
            "modify/modify": "both changed it: take one, or the value that satisfies both",
            "order": "both changed the order or added to a list whose order matters: write it out",
        }
        self.conflicts.append(Conflict(self.path, where, kind, texts[0], texts[1], texts[2], words[kind]))
        return ours if ours is not MISSING else theirs

    def _maps(self, base: dict[str, Plain], ours: dict[str, Plain], theirs: dict[str, Plain], where: str) -> Plain:
        if replaced(list(base), list(ours), list(theirs)):
            return self._clash(base, ours, theirs, where)
        found: dict[str, Plain] = {}
        for key in {**base, **ours, **theirs}:
            one, two, three = (side.get(key, MISSING) for side in (base, ours, theirs))
            value = self.merge(one, two, three, _below(where, key), str(key))
            if value is not MISSING:
                found[key] = value
        order = merge_order(list(base), list(ours), list(theirs), set(found)).keys
        return {key: found[key] for key in order}

    def _lists(self, base: list[Plain], ours: list[Plain], theirs: list[Plain], where: str, key: str) -> Plain:
        three = (base, ours, theirs)
        for name, identity in _identities():
            keys = [_keys(side, identity) for side in three]
            if all(one is not None for one in keys):
                return self._keyed(three, keys, where, key, name)  # type: ignore[arg-type]
        return self._elements(three, where)

    def _keyed(
        self,
        three: tuple[list[Plain], list[Plain], list[Plain]],
        keys: list[list[str]],
        where: str,
        key: str,
        name: str,
    ) -> Plain:
        base, ours, theirs = (dict(zip(one, side, strict=True)) for one, side in zip(keys, three, strict=True))
        if key in ORDERED and set(ours) - set(base) and set(theirs) - set(base) and set(ours) != set(theirs):
            return self._clash(*three, where, "order")
        if replaced(keys[0], keys[1], keys[2]):
            return self._clash(*three, where)
        found: dict[str, Plain] = {}
        for one in {**base, **ours, **theirs}:
            below = f"{where}[{name}={one}]" if name else f"{where}[{one}]"
            value = self.merge(base.get(one, MISSING), ours.get(one, MISSING), theirs.get(one, MISSING), below)
            if value is not MISSING:
                found[one] = value
        order = merge_order(keys[0], keys[1], keys[2], set(found))
        if order.clash:
            return self._clash(*three, where, "order")
        return [found[one] for one in order.keys]

    def _elements(self, three: tuple[list[Plain], list[Plain], list[Plain]], where: str) -> Plain:
        frozen = [[_frozen(element) for element in side] for side in three]
        result: list[Plain] = []
        for chunk in chunks(*frozen):
            parts = [
                side[at : at + len(part)]
                for side, at, part in zip(three, chunk.at, (chunk.base, chunk.ours, chunk.theirs), strict=True)
            ]
            if chunk.resolved is not None:
                result += parts[2] if chunk.ours == chunk.base else parts[1]
            elif len(parts[0]) == len(parts[1]) == len(parts[2]):
                for step, (one, two, three_) in enumerate(zip(*parts, strict=True)):
                    result.append(self.merge(one, two, three_, f"{where}[{chunk.at[0] + step}]"))
            else:
                return self._clash(*three, where, "order" if not parts[0] else None)
        if _doubled(result) and not any(map(_doubled, three)):
            return self._clash(*three, where, "order")
        return result


def _below(where: str, key: object) -> str:
    text = str(key)
    plain = re.fullmatch(r"[\w@/-]+", text)
    return f"{where}[{text!r}]" if not plain else f"{where}.{text}" if where else text


def _identities() -> Iterable[tuple[str, Callable[[Plain], str | None]]]:
    for name in IDENTITY_KEYS:
        yield name, lambda element, name=name: _of_map(element, name)  # type: ignore[misc]
    yield "", _of_requirement
    yield "", lambda element: element if isinstance(element, str) else None


def _of_map(element: Plain, name: str) -> str | None:
    value = element.get(name) if isinstance(element, dict) else None
    return str(value) if isinstance(value, str | int | Scalar) and not isinstance(value, bool) else None


def _of_requirement(element: Plain) -> str | None:
    """`Foo_Bar[x]>=1` is about `foo-bar`."""
    found = _REQUIREMENT.fullmatch(element) if isinstance(element, str) else None
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else None


def _keys(side: list[Plain], identity: Callable[[Plain], str | None]) -> list[str] | None:
    keys = [identity(element) for element in side]
    return keys if None not in keys and len(set(keys)) == len(keys) else None  # type: ignore[return-value]


def _frozen(value: Plain) -> Any:
    if isinstance(value, dict):
        return ("map", frozenset((key, _frozen(one)) for key, one in value.items()))
    if isinstance(value, list):
        return ("list", tuple(map(_frozen, value)))
    return (type(value).__name__, repr(value))


def _doubled(elements: list[Plain]) -> bool:
    frozen = [_frozen(element) for element in elements]
    return len(set(frozen)) != len(frozen)
