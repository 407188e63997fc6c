"""What holds for every merge, found out with files that nobody wrote by hand."""

from __future__ import annotations

import ast
import json
from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.host.merge import Conflicts, Merged, merge
from daybreak.host.merge.sequence import chunks, match, merge_order

TEXT = st.lists(st.sampled_from(["a", "b", "c", "d", "", "    e"]), max_size=8).map("\n".join)
PATHS = st.sampled_from(["a.txt", "a.py", "a.json", "a.yaml", "a.toml", "requirements.txt", ".env", "a.ini"])


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60) | TEXT.map(str.encode), st.binary(max_size=60) | TEXT.map(str.encode), PATHS)
def test_one_side_alone_is_taken_as_it_is(base: bytes, side: bytes, path: str) -> None:
    """merge(b, x, b) = x, merge(b, b, y) = y, merge(b, x, x) = x, byte for byte, whatever the content is."""
    # shows: N19
    for three in ((base, side, base), (base, base, side), (base, side, side)):
        result = merge(*three, path)
        assert isinstance(result, Merged)
        assert result.content == side


# -- Python

NAMES = ["alpha", "beta", "gamma", "delta"]
BODIES = ["return 1", "return 2", "x = 3\n    return x", "print('y')\n    return None"]
FUNCTIONS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(BODIES), max_size=4)
IMPORTS = st.lists(st.sampled_from(["import os", "import re", "import json"]), unique=True, max_size=3)


@st.composite
def modules(draw: st.DrawFn) -> str:
    parts = [*draw(IMPORTS), ""]
    for name, body in draw(FUNCTIONS).items():
        parts.append(f"\ndef {name}():\n    {body}\n")
    methods = draw(FUNCTIONS)
    if methods:
        parts.append("\nclass K:")
        for name, body in methods.items():
            parts.append(f"    def {name}(self):\n        {body.replace(chr(10), chr(10) + '    ')}\n")
    return "\n".join(parts).rstrip("\n") + "\n"


def defined(text: str) -> dict[str, str]:
    """Qualified name → code."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.FunctionDef):
            found[ast.unparse(node) if isinstance(node, ast.Import) else node.name] = ast.unparse(node)
        elif isinstance(node, ast.ClassDef):
            found |= {f"K.{one.name}": ast.unparse(one) for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


@settings(deadline=None, max_examples=150)
@given(modules(), modules(), modules())
def test_no_definition_is_lost_doubled_or_invented(base: str, ours: str, theirs: str) -> None:
    """Each definition is what the three-way rule says, by an oracle that knows no lines; else it is a conflict."""
    # shows: N19
    result = merge(base.encode(), ours.encode(), theirs.encode(), "m.py")
    if isinstance(result, Conflicts):
        return
    before, here, there = defined(base), defined(ours), defined(theirs)
    merged = defined(result.content.decode())
    for name in before.keys() | here.keys() | there.keys():
        b, o, t = before.get(name), here.get(name), there.get(name)
        if o == t or t == b:
            assert merged.get(name) == o or renamed(name, merged, before, here, there), result.content.decode()
        elif o == b:
            assert merged.get(name) == t or renamed(name, merged, before, there, here), result.content.decode()
    assert merged.keys() <= before.keys() | here.keys() | there.keys()
    tree = ast.parse(result.content)
    counts = Counter(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    assert all(count == 1 for count in counts.values())


def renamed(
    name: str, merged: dict[str, str], before: dict[str, str], side: dict[str, str], other: dict[str, str]
) -> bool:
    """What one side gave another name, the other may have edited: then the edit stands under the new name."""
    if name in before:
        return name not in merged
    lost = before.keys() - side.keys()
    last = name.split(".")[-1]
    edits = {other[one].replace(f"def {one.split('.')[-1]}(", f"def {last}(") for one in lost & other.keys()}
    return merged.get(name) in edits


@settings(deadline=None, max_examples=80)
@given(modules(), modules(), modules())
def test_python_merges_the_same_from_both_sides(base: str, ours: str, theirs: str) -> None:
    """Changing places changes at most the order."""
    one = merge(base.encode(), ours.encode(), theirs.encode(), "m.py")
    other = merge(base.encode(), theirs.encode(), ours.encode(), "m.py")
    if isinstance(one, Merged) and isinstance(other, Merged):
        assert defined(one.content.decode()) == defined(other.content.decode())
    else:
        assert type(one) is type(other)


# -- values

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "1", "x y"])
KEYS = st.sampled_from(["a", "b", "c", "name", "dependencies"])
MAPS = st.recursive(
    st.dictionaries(KEYS, SCALARS, max_size=4),
    lambda inner: st.dictionaries(KEYS, inner | SCALARS, max_size=4),
    max_leaves=8,
)
MISSING = object()


def expected(base: Any, ours: Any, theirs: Any) -> Any:
    """The three-way rule on maps of scalars; None where it is a conflict."""
    if same(ours, theirs) or same(theirs, base):
        return ours
    if same(ours, base):
        return theirs
    if all(isinstance(side, dict) for side in (base, ours, theirs)):
        found = {}
        for key in base.keys() | ours.keys() | theirs.keys():
            value = expected(base.get(key, MISSING), ours.get(key, MISSING), theirs.get(key, MISSING))
            if value is None:
                return None
            if value is not MISSING:
                found[key] = value
        return found
    return None


def same(one: Any, other: Any) -> bool:
    if one is MISSING or other is MISSING:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def wrapped(value: Any) -> Any:
    """No bare None, which the oracle uses for conflicts."""
    if isinstance(value, dict):
        return {key: wrapped(one) for key, one in value.items()}
    return "null" if value is None else value


def both_replaced(base: Any, ours: Any, theirs: Any) -> bool:
    """Somewhere both took a key away and put another one in: that is a conflict although no key clashes."""
    if not all(isinstance(side, dict) for side in (base, ours, theirs)):
        return False
    gone = base.keys() - ours.keys() - theirs.keys()
    if gone and ours.keys() - base.keys() - theirs.keys() and theirs.keys() - base.keys() - ours.keys():
        return True
    return any(both_replaced(base[key], ours[key], theirs[key]) for key in base.keys() & ours.keys() & theirs.keys())


@settings(deadline=None, max_examples=200)
@given(MAPS, MAPS, MAPS, st.sampled_from([None, 2, "\t"]))
def test_json_is_merged_key_by_key(base: Any, ours: Any, theirs: Any, indent: Any) -> None:
    """As an oracle of ten lines says; a conflict where it says so (maps that both make anew may be put together)."""
    # shows: N19
    three = [wrapped(side) for side in (base, ours, theirs)]
    result = merge(*(json.dumps(side, indent=indent).encode() for side in three), "a.json")
    wanted = expected(*three)
    if isinstance(result, Conflicts):
        assert wanted is None or both_replaced(*three)
    elif wanted is not None:
        assert json.loads(result.content) == wanted
        assert list(json.loads(result.content)) == list(dict.fromkeys(json.loads(result.content)))
    else:
        assert "dependencies" in result.content.decode()


@settings(deadline=None, max_examples=100)
@given(MAPS, MAPS, MAPS)
def test_yaml_and_toml_hold_what_json_holds(base: Any, ours: Any, theirs: Any) -> None:
    """The same values in three formats merge to the same values, or conflict in the same places."""
    import tomlkit
    from ruamel.yaml import YAML

    three = [wrapped(side) for side in (base, ours, theirs)]
    in_json = merge(*(json.dumps(side, indent=2).encode() for side in three), "a.json")
    in_toml = merge(*(tomlkit.dumps(side).encode() for side in three), "a.toml")
    in_yaml = merge(*(json.dumps(side).encode() for side in three), "a.yaml")  # JSON is YAML
    if isinstance(in_json, Conflicts):
        assert isinstance(in_toml, Conflicts)
        assert isinstance(in_yaml, Conflicts)
        return
    value = json.loads(in_json.content)
    assert isinstance(in_toml, Merged)
    assert tomlkit.parse(in_toml.content.decode()).unwrap() == value
    assert isinstance(in_yaml, Merged)
    assert YAML(typ="safe").load(in_yaml.content) == value


# -- sequences

LETTERS = st.lists(st.sampled_from("abcdef"), max_size=10)


@given(LETTERS, LETTERS)
def test_a_match_grows_on_both_sides(one: list[str], other: list[str]) -> None:
    """Pairs are equal elements, each used once, in order."""
    pairs = match(one, other)
    assert all(one[a] == other[b] for a, b in pairs)
    assert all(first[0] < second[0] and first[1] < second[1] for first, second in pairwise(pairs))


@given(LETTERS, LETTERS, LETTERS)
def test_chunks_are_the_whole_of_each_side(base: list[str], ours: list[str], theirs: list[str]) -> None:
    """Nothing is left out and nothing stands twice."""
    found = list(chunks(base, ours, theirs))
    assert [element for chunk in found for element in chunk.base] == base
    assert [element for chunk in found for element in chunk.ours] == ours
    assert [element for chunk in found for element in chunk.theirs] == theirs


@given(*[st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)] * 3)
def test_an_order_holds_every_key_once(base: list[str], ours: list[str], theirs: list[str]) -> None:
    """And where neither side moved anything, both sides' orders are in it."""
    keep = (set(ours) | set(theirs)) - (set(base) - set(ours)) - (set(base) - set(theirs))
    order = merge_order(base, ours, theirs, keep)
    assert sorted(order.keys) == sorted(keep)
