"""Python: definitions, imports and assignments matched by qualified name; bodies of functions line by line.

What only one side added is kept; what both changed is merged part by part (decorators, signature, docstring, body).
Afterwards the whole is looked at once more (`python_names`): a merge whose pieces fit but that no longer means what a
side relied on is a conflict, not a result.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import libcst as cst

from daybreak.host.merge import python_names
from daybreak.host.merge.outcome import Conflict, Conflicts, Kind, Merged, NotStructural, Sides
from daybreak.host.merge.python_items import Item, Key, bare, code, items, paired
from daybreak.host.merge.python_limits import screen
from daybreak.host.merge.sequence import chunks, merge_order, pick, replaced
from daybreak.host.merge.text import take_shape

_COLUMNS_MAX = 88
"""An import that gets longer is put in parentheses."""


def merge_python(sides: Sides) -> Merged | Conflicts:
    """Raises NotStructural where a side does not parse, or is too deep."""
    try:
        return _merged(sides)
    except RecursionError:
        raise NotStructural("it is nested too deeply") from None


def _merged(sides: Sides) -> Merged | Conflicts:
    shape, bare = take_shape(sides)
    base, ours, theirs = (
        _parsed(name, side) for name, side in zip(("base", "ours", "theirs"), _three(bare), strict=True)
    )
    names = python_names.Names(_text(bare.base), _text(bare.ours), _text(bare.theirs))
    merging = _Merging(sides.path, names)
    body = merging.bodies(base.body, ours.body, theirs.body, "")
    header = merging.lines(base.header, ours.header, theirs.header, "the comment at the top")
    footer = merging.lines(base.footer, ours.footer, theirs.footer, "the comment at the end")
    if merging.conflicts:
        return Conflicts(sides.path, tuple(merging.conflicts), "python")
    text = ours.with_changes(body=body, header=header, footer=footer).code
    text = text if text.endswith("\n") or not text else text + "\n"
    try:
        screen(text)
        cst.parse_module(text)
    except cst.ParserSyntaxError as error:
        raise NotStructural(f"the merged code does not parse: {error.message}") from None
    problems = names.check(sides.path, text)
    if problems:
        return Conflicts(sides.path, tuple(problems), "python", names.steps_down)
    return Merged(shape.put(text.encode()), "python", names.steps_down)


_NAMED = ("function", "class", "assignment")


def parses(content: bytes) -> bool:
    """What is too deep to be looked at counts as sound."""
    try:
        text = _text(content)
        screen(text)
    except NotStructural:
        return True
    try:
        cst.parse_module(text)
    except (cst.ParserSyntaxError, RecursionError):
        return False
    return True


def _three(sides: Sides) -> tuple[bytes, bytes, bytes]:
    return sides.base, sides.ours, sides.theirs


def _text(side: bytes) -> str:
    try:
        return side.decode()
    except UnicodeDecodeError:
        raise NotStructural("it is not UTF-8") from None


def _parsed(name: str, side: bytes) -> cst.Module:
    text = _text(side)
    try:
        screen(text)
        return cst.parse_module(text)
    except cst.ParserSyntaxError as error:
        raise NotStructural(f"{name} does not parse: line {error.raw_line}: {error.message.splitlines()[0]}") from None
    except NotStructural as problem:
        raise NotStructural(f"{name}: {problem}") from None


def _refuse_doubles(base: Sequence[Item], ours: Sequence[Item], theirs: Sequence[Item]) -> None:
    """Of several definitions with one name the last counts, so which is which cannot be told by the name: where both
    sides changed some of them, the lines decide. Raises NotStructural."""
    for name in {(item.what, item.name) for item in (*base, *ours, *theirs) if item.what in _NAMED}:
        of_name = [[item.core for item in side if (item.what, item.name) == name] for side in (base, ours, theirs)]
        several = max(map(len, of_name)) > 1
        if several and of_name[1] != of_name[0] and of_name[2] not in (of_name[0], of_name[1]):
            raise NotStructural(f"{name[1]} is defined more than once, and both sides changed that")


class _Merging:
    """One merge and the conflicts so far; where there are some, results mean nothing."""

    def __init__(self, path: str, names: python_names.Names) -> None:
        self._path, self._names = path, names
        self.conflicts: list[Conflict] = []

    def _clash(self, where: str, kind: Kind, three: Sequence[str | None], suggestion: str) -> None:
        self.conflicts.append(Conflict(self._path, where, kind, three[0], three[1], three[2], suggestion))

    # -- bodies

    def bodies(self, base: Sequence[Any], ours: Sequence[Any], theirs: Sequence[Any], scope: str) -> list[Any]:
        """The statements of a module or a class."""
        before = items(base)
        _refuse_doubles(before, items(ours), items(theirs))
        sides = before, paired(before, items(ours)), paired(before, items(theirs))
        by_key = [{item.key: item for item in side} for side in sides]
        found: dict[Key, Any] = {}
        for key in {key: None for side in sides for key in (item.key for item in side)}:
            node = self._one(by_key[0].get(key), by_key[1].get(key), by_key[2].get(key), scope)
            if node is not None:
                found[key] = node
        keys = [[item.key for item in side] for side in sides]
        order = merge_order(keys[0], keys[1], keys[2], set(found))
        if order.clash and any(key[0] not in ("function", "class", "import", "from") for key in found):
            self._clash(
                scope or "the order of statements", "order", (None, None, None), "both moved things: write it out"
            )
        assigned = [[key for key in side if key[0] == "assignment"] for side in keys]
        for key in replaced(assigned[0], assigned[1], assigned[2]):
            texts = (by_key[0][key].core, None, None)
            what = "both replaced it by something of another name: take one"
            self._clash(where(scope, by_key[0][key]), "rename/rename", texts, what)
        self._check_statements(sides, order.keys, scope)
        in_order = list(self._sorted_imports(order.keys, sides))
        in_order.sort(key=lambda key: key[0] != "doc")  # a text that is not first is no docstring any more
        return [found[key] for key in in_order]

    def _one(self, base: Item | None, ours: Item | None, theirs: Item | None, scope: str) -> Any:
        """What becomes of one thing; None where it goes."""
        if ours is None and theirs is None:
            return None
        if ours is None or theirs is None:
            there = ours or theirs
            assert there is not None, "one of them is there"
            return (
                there.node
                if base is None
                else self._removed(base, there, scope, gone="ours" if ours is None else "theirs")
            )
        if base is None:
            return self._both_added(ours, theirs, scope)
        node = self._changed(base, ours, theirs, scope)
        lead = self.lead(base, ours, theirs, scope)
        return node.with_changes(leading_lines=lead)

    def _removed(self, base: Item, there: Item, scope: str, gone: str) -> Any:
        """One side removed what the other still has: it goes if that one left it alone."""
        if base.what in ("import", "from"):
            return self._import_removed(base, there, gone)
        if (there.core, there.lead, there.name) == (base.core, base.lead, base.name):
            return None
        texts = (base.core, None, there.core) if gone == "ours" else (base.core, there.core, None)
        what = "removed" if there.name == base.name else "renamed or removed"
        self._clash(where(scope, base), "delete/modify", texts, f"{gone} {what} it, the other side changed it: decide")
        return there.node

    def _both_added(self, ours: Item, theirs: Item, scope: str) -> Any:
        if ours.core == theirs.core:
            return ours.node
        if ours.what == "from":
            return self._imports(None, ours, theirs, scope)
        if ours.what == "typing":
            return _with_body(ours.node, self.bodies([], ours.node.body.body, theirs.node.body.body, scope))
        texts = (None, ours.core, theirs.core)
        self._clash(where(scope, ours), "add/add", texts, "both added it: take one, or give one another name")
        return ours.node

    def _changed(self, base: Item, ours: Item, theirs: Item, scope: str) -> Any:
        if ours.core == theirs.core:
            return ours.node
        if ours.what == "from":  # before the rest: a name that one side dropped may have come into use on the other
            return self._imports(base, ours, theirs, scope)
        if theirs.core == base.core:
            return ours.node
        if ours.core == base.core:
            return theirs.node
        here = where(scope, base)
        if ours.what == "class":
            return self._classes(base.node, ours.node, theirs.node, here)
        if ours.what == "function":
            return self._functions(base.node, ours.node, theirs.node, here)
        if ours.what == "typing":
            merged = self.bodies(base.node.body.body, ours.node.body.body, theirs.node.body.body, scope)
            return _with_body(ours.node, merged)
        if ours.what == "assignment":
            merged_node = self._assignments(base, ours, theirs)
            if merged_node is not None:
                return merged_node
        return self._by_lines(base, ours, theirs, here)

    def _by_lines(self, base: Item, ours: Item, theirs: Item, here: str) -> Any:
        merged = _lines(base.core, ours.core, theirs.core)
        nodes = _statements(merged) if merged is not None else None
        if nodes is None or len(nodes) != 1:
            self._clash(
                here, "modify/modify", (base.core, ours.core, theirs.core), "take one, or write what both wanted"
            )
            return ours.node
        return nodes[0]

    def _check_statements(self, sides: Sequence[Sequence[Item]], keys: list[Key], scope: str) -> None:
        """Statements that both added right beside each other: which runs first is not for us to say."""
        before = {item.key for item in sides[0]}
        whose: dict[Key, set[str]] = {}
        texts: dict[Key, str] = {}
        for name, side in (("ours", sides[1]), ("theirs", sides[2])):
            for item in side:
                if item.key not in before and item.what == "statement":
                    whose.setdefault(item.key, set()).add(name)
                    texts[item.key] = item.core
        for above, below in itertools.pairwise(keys):
            if above in whose and below in whose and not whose[above] & whose[below]:
                three = (None, texts[above], texts[below])
                self._clash(scope or "statements", "order", three, "both added a statement here: write the right order")

    # -- comments

    def lines(self, base: Sequence[Any], ours: Sequence[Any], theirs: Sequence[Any], here: str) -> Sequence[Any]:
        """Empty lines and comments, as libcst nodes."""
        texts = [tuple(line.comment.value for line in side if line.comment) for side in (base, ours, theirs)]
        if texts[1] == texts[2]:
            return theirs if [code(line) for line in ours] == [code(line) for line in base] else ours
        if texts[0] == texts[1]:
            return theirs
        if texts[0] == texts[2]:
            return ours
        merged: list[str] = []
        for chunk in chunks(*texts):
            if chunk.resolved is None:
                joined = ["\n".join(text) or None for text in texts]
                self._clash(here, "modify/modify", joined, "take one comment, or write one for both")
                return ours
            merged += chunk.resolved
        blank = [line for line in ours if not line.comment][
            : next((i for i, line in enumerate(ours) if line.comment), None)
        ]
        return [*blank, *(cst.EmptyLine(comment=cst.Comment(text)) for text in merged)]

    def lead(self, base: Item, ours: Item, theirs: Item, scope: str) -> Sequence[Any]:
        three = base.node.leading_lines, ours.node.leading_lines, theirs.node.leading_lines
        return self.lines(*three, f"the comment above {where(scope, base)}")

    # -- classes and functions

    def _part(self, here: str, what: str, three: Sequence[Any], render: Callable[[Any], str]) -> Any:
        """The three-way choice of one part of a definition."""
        texts = [render(part) for part in three]
        _, clear = pick(*texts)
        if not clear:
            self._clash(f"{here}, {what}", "modify/modify", texts, f"both changed the {what}: write what both wanted")
            return three[1]
        return three[1] if texts[1] == texts[2] or texts[0] == texts[2] else three[2]

    def _decorators(self, here: str, three: Sequence[Any]) -> list[Any]:
        texts = [[code(one.with_changes(leading_lines=())) for one in node.decorators] for node in three]
        nodes = {
            text: node
            for node_, side in zip(three, texts, strict=True)
            for text, node in zip(side, node_.decorators, strict=True)
        }
        merged: list[str] = []
        for chunk in chunks(*texts):
            if chunk.resolved is None:
                joined = ["".join(side) for side in texts]
                self._clash(
                    f"{here}, decorators", "modify/modify", joined, "both changed the decorators: their order counts"
                )
                return list(three[1].decorators)
            merged += chunk.resolved
        return [nodes[text] for text in merged]

    def _classes(self, base: Any, ours: Any, theirs: Any, here: str) -> Any:
        three = base, ours, theirs
        if not all(isinstance(node.body, cst.IndentedBlock) for node in three):
            self._clash(here, "modify/modify", [code(node) for node in three], "write what both wanted")
            return ours
        name = self._part(here, "name", [node.name for node in three], code)
        bases = self._part(here, "bases", three, _bases)
        body = self.bodies(base.body.body, ours.body.body, theirs.body.body, here)
        block = self._block(here, three, body)
        return ours.with_changes(
            decorators=self._decorators(here, three),
            name=name,
            bases=bases.bases,
            keywords=bases.keywords,
            lpar=bases.lpar,
            rpar=bases.rpar,
            type_parameters=bases.type_parameters,
            body=block,
        )

    def _block(self, here: str, three: Sequence[Any], body: Sequence[Any]) -> Any:
        header = self._part(here, "comment", [node.body.header for node in three], code)
        before, here_, there = (node.body.footer for node in three)
        footer = self.lines(before, here_, there, f"{here}, the comment at the end")
        body = body or [cst.SimpleStatementLine([cst.Pass()])]
        return three[1].body.with_changes(body=body, header=header, footer=footer)

    def _functions(self, base: Any, ours: Any, theirs: Any, here: str) -> Any:
        three = base, ours, theirs
        if not all(isinstance(node.body, cst.IndentedBlock) for node in three):
            return self._whole(three, here)
        name = self._part(here, "name", [node.name for node in three], code)
        params = self._part(here, "parameters", three, _parameters)
        returns = self._part(
            here, "return type", three, lambda node: code(node.returns.annotation) if node.returns else ""
        )
        asynchronous = self._part(here, "async", three, lambda node: "async" if node.asynchronous else "")
        docs = [_docstring(node) for node in three]
        doc = self._docstrings(here, docs)
        rest = [_rest(node) for node in three]
        merged = _lines(*rest) if not _added_twice(*rest) else None
        nodes = _statements(merged) if merged is not None else None
        if nodes is None:
            texts = [code(node.with_changes(leading_lines=())) for node in three]
            self._clash(f"{here}, body", "modify/modify", texts, "both changed the same lines: write what both wanted")
            return ours
        header = self._part(here, "comment", [node.body.header for node in three], code)
        module = cst.parse_module(merged or "")
        body = [*([doc] if doc is not None else []), *module.body] or [cst.SimpleStatementLine([cst.Pass()])]
        at = 1 if doc is not None else 0
        if module.header and len(body) > at:
            body[at] = body[at].with_changes(leading_lines=[*module.header, *body[at].leading_lines])
        block = ours.body.with_changes(body=body, header=header, footer=module.footer)
        return ours.with_changes(
            decorators=self._decorators(here, three),
            name=name,
            params=params.params,
            whitespace_before_params=params.whitespace_before_params,
            type_parameters=params.type_parameters,
            returns=returns.returns,
            asynchronous=asynchronous.asynchronous,
            body=block,
        )

    def _whole(self, three: Sequence[Any], here: str) -> Any:
        texts = [code(node.with_changes(leading_lines=())) for node in three]
        self._clash(here, "modify/modify", texts, "both changed it: write what both wanted")
        return three[1]

    def _docstrings(self, here: str, docs: Sequence[Any]) -> Any:
        texts = [code(doc) if doc is not None else "" for doc in docs]
        _, clear = pick(*texts)
        if clear:
            return docs[1] if texts[1] == texts[2] or texts[0] == texts[2] else docs[2]
        merged = _lines(*texts)
        nodes = _statements(merged) if merged else None
        if nodes is None or len(nodes) != 1:
            self._clash(f"{here}, docstring", "modify/modify", [text or None for text in texts], "write one for both")
            return docs[1]
        return nodes[0]

    # -- imports

    def _import_removed(self, base: Item, there: Item, gone: str) -> Any:
        """An import that one side dropped stays where the other side has come to use it."""
        side = "theirs" if gone == "ours" else "ours"
        before, now = _aliases(base.node), _aliases(there.node)
        if now is None or before is None:
            used = base.what == "import" and self._names.used_more(side, base.name.split(" as ")[-1].split(".")[0])
            return there.node if used or there.core != base.core else None
        kept = {
            key: alias for key, alias in now.items() if key not in before or self._names.used_more(side, _bound(key))
        }
        if not kept:
            return None
        return there.node if len(kept) == len(now) else _import_from(there.node, there.node, list(kept.values()), kept)

    def _imports(self, base: Item | None, ours: Item, theirs: Item, scope: str) -> Any:
        """`from m import …` in which both changed the names."""
        three = [_aliases(item.node) if item is not None else {} for item in (base, ours, theirs)]
        if any(one is None for one in three):
            if base is not None and base.core in (ours.core, theirs.core):
                return theirs.node if base.core == ours.core else ours.node
            texts = [item.core if item is not None else None for item in (base, ours, theirs)]
            self._clash(where(scope, ours), "modify/modify", texts, "one side imports everything: write it out")
            return ours.node
        before, here, there = (one or {} for one in three)
        keep = {}
        for key, alias in {**here, **there}.items():
            dropped = key in before and (key not in here or key not in there)
            side = "ours" if key in here else "theirs"
            if not dropped or self._names.used_more(side, _bound(key)):
                keep[key] = alias
        if set(keep) == set(here) and (set(here) != set(there) or base is None or ours.core != base.core):
            return ours.node
        if set(keep) == set(there):
            return theirs.node
        order = merge_order(list(before), list(here), list(there), set(keep)).keys
        if all(list(side) == sorted(side, key=lambda key: key[0].casefold()) for side in (here, there)):
            order = sorted(order, key=lambda key: key[0].casefold())
        elif all(list(side) == sorted(side) for side in (here, there)):
            order = sorted(order)
        if _has_comments(ours.node) or _has_comments(theirs.node):
            return self._by_lines(base or ours, ours, theirs, where(scope, ours))
        return _import_from(ours.node, theirs.node, [keep[key] for key in order], keep)

    def _sorted_imports(self, keys: list[Key], sides: Sequence[Sequence[Item]]) -> list[Key]:
        """Imports that both added at one place go in the order of their names."""
        before, here, there = ({item.key for item in side} for side in sides)
        result: list[Key] = []
        run: list[Key] = []
        for key in [*keys, ("",)]:
            if key[0] in ("import", "from") and key not in before and (not run or run[-1][0] == key[0]):
                run.append(key)
                continue
            by_both = any(one in here for one in run) and any(one in there for one in run)
            result += sorted(run, key=lambda one: one[1].casefold()) if by_both else run
            run = [key] if key[0] in ("import", "from") and key not in before else []
            if not run and key != ("",):
                result.append(key)
        return result

    # -- assignments

    def _assignments(self, base: Item, ours: Item, theirs: Item) -> Any:
        """Lists, sets and maps of simple things element by element; None where this is no such thing, or a conflict."""
        merged = _lines(base.core, ours.core, theirs.core)
        if merged is not None:
            return None  # the lines merge by themselves
        three = [_literal(item.node) for item in (base, ours, theirs)]
        if any(one is None for one in three):
            return None
        from daybreak.host.merge import python_literals

        values = [one for one in three if one is not None]
        literal = python_literals.merge(values[0], values[1], values[2])
        if literal is None:
            return None
        node = ours.node
        small = node.body[0].with_changes(value=literal)
        return node.with_changes(body=[small])


# -- parts of nodes


def where(scope: str, item: Item) -> str:
    """For people: `class A.method b`, `function f`, `import os`."""
    words = {"from": "import from", "typing": "block", "main": "block", "doc": "docstring", "function": "function"}
    if scope and item.what == "function":
        return f"{scope}.method {item.name}"
    short = item.core.strip().splitlines()[0][:60] if item.what == "statement" else item.name
    text = f"{words.get(item.what, item.what)} {short}".strip()
    return f"{scope}.{text}" if scope else text


def _with_body(node: Any, body: Sequence[Any]) -> Any:
    return node.with_changes(body=node.body.with_changes(body=body))


def _bases(node: Any) -> str:
    parameters = code(node.type_parameters) if node.type_parameters is not None else ""
    return (
        parameters
        + "("
        + ", ".join(code(arg.with_changes(comma=cst.MaybeSentinel.DEFAULT)) for arg in (*node.bases, *node.keywords))
        + ")"
    )


def _parameters(node: Any) -> str:
    parameters = code(node.type_parameters) if node.type_parameters is not None else ""
    return f"{parameters}({code(node.params)})"


def _is_docstring(statement: Any) -> bool:
    return (
        isinstance(statement, cst.SimpleStatementLine)
        and len(statement.body) == 1
        and isinstance(statement.body[0], cst.Expr)
        and isinstance(statement.body[0].value, cst.SimpleString | cst.ConcatenatedString)
    )


def _docstring(node: Any) -> Any:
    body = node.body.body
    return body[0] if body and _is_docstring(body[0]) else None


def _rest(node: Any) -> str:
    """The body without its docstring, at the left margin, with the comments at its end."""
    body = node.body.body
    rest = body[1:] if body and _is_docstring(body[0]) else body
    return cst.Module(body=rest, footer=node.body.footer).code


def _lines(base: str, ours: str, theirs: str) -> str | None:
    """diff3; None where both changed the same lines."""
    merged: list[str] = []
    for chunk in chunks(_split(base), _split(ours), _split(theirs)):
        if chunk.resolved is None:
            return None
        merged += chunk.resolved
    return "".join(merged)


def _added_twice(base: str, ours: str, theirs: str) -> bool:
    """Whether both added one line, in different places: it would be done twice."""
    added: list[set[str]] = [set(), set()]
    for chunk in chunks(_split(base), _split(ours), _split(theirs)):
        if chunk.resolved is not None and chunk.ours != chunk.theirs:
            side = 0 if chunk.theirs == chunk.base else 1
            added[side] |= {line.strip() for line in (chunk.ours, chunk.theirs)[side]} - {
                line.strip() for line in chunk.base
            }
    return any(re.search(r"\w\s*\(|=", line) for line in added[0] & added[1])


def _split(text: str) -> list[str]:
    """Lines with their newlines, the last one too; nothing else that Python takes for a line end splits."""
    return [line + "\n" for line in text.removesuffix("\n").split("\n")] if text else []


def _statements(text: str) -> list[Any] | None:
    try:
        return list(cst.parse_module(text).body)
    except cst.ParserSyntaxError:
        return None


def _aliases(node: Any) -> dict[tuple[str, str], Any] | None:
    """(name, as) → alias; None for `import *` and for `import m`."""
    small = node.body[0]
    if not isinstance(small, cst.ImportFrom) or isinstance(small.names, cst.ImportStar):
        return None
    return {(code(alias.name), alias.evaluated_alias or ""): alias for alias in small.names}


def _bound(key: tuple[str, str]) -> str:
    return key[1] or key[0]


def _has_comments(node: Any) -> bool:
    return "#" in code(node.with_changes(leading_lines=()))


def _import_from(ours: Any, theirs: Any, aliases: list[Any], _: object) -> Any:
    """`from m import …` anew, on one line where it fits and neither side had it on several."""
    small = ours.body[0]
    module = "." * len(small.relative) + (code(small.module) if small.module is not None else "")
    names = [bare(alias) for alias in aliases]
    line = f"from {module} import {', '.join(names)}"
    several = any("\n" in code(node.body[0]) for node in (ours, theirs))
    if several or len(line) > _COLUMNS_MAX:
        line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"
    statement = cst.parse_statement(line + "\n")
    return statement.with_changes(leading_lines=ours.leading_lines)


def _literal(node: Any) -> Any:
    value = node.body[0].value
    return value if isinstance(value, cst.List | cst.Set | cst.Dict | cst.Tuple) else None
