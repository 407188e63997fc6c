"""What is kept away from the parser that builds syntax trees with all their blanks.

That parser recurses without a limit of its own: ten thousand signs in a row end the whole process, and nested patterns
take time that doubles with each bracket. So the interpreter's own parser, which has limits, looks first; and where the
code is newer than the interpreter, or wrong, statements are kept short enough to be safe.
"""

from __future__ import annotations

import ast
import re

from daybreak.host.merge.outcome import NotStructural

DEPTH_MAX = 200
"""Of the syntax tree, and of brackets."""
CHAIN_MAX = 500
"""Of `and`, `elif`, dots in an import, loops in a comprehension."""
PATTERN_DEPTH_MAX = 8
STATEMENT_CHARACTERS_MAX = 3_000
"""Of code that this Python does not read, strings and comments aside."""

_STRINGS = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*', re.DOTALL
)


def screen(text: str) -> None:
    """Raises NotStructural for code that is too deep to be taken apart."""
    try:
        tree = ast.parse(text)
    except (RecursionError, MemoryError):
        raise NotStructural("it is nested too deeply") from None
    except (SyntaxError, ValueError):
        tree = None
    bare = _STRINGS.sub('""', text)
    depth = _brackets(bare, statements=tree is None)
    patterned = tree is None and re.search(r"^\s*case\b", bare, re.MULTILINE)
    if depth > (PATTERN_DEPTH_MAX if patterned else DEPTH_MAX) or bare.count("elif") > 2 * CHAIN_MAX:
        raise NotStructural("it is nested too deeply")
    if tree is not None:
        _screen_tree(tree, text.split("\n") if depth > PATTERN_DEPTH_MAX else [])


def _screen_tree(tree: ast.Module, lines: list[str]) -> None:
    """Level by level, because walking down is what must not be done. `lines`: empty where brackets are shallow."""
    level: list[ast.AST] = [tree]
    for _ in range(DEPTH_MAX):
        if not level:
            return
        for node in level:
            if _chain(node) > CHAIN_MAX:
                raise NotStructural("it has a chain that is too long")
            if isinstance(node, ast.match_case) and lines:
                part = "\n".join(lines[node.pattern.lineno - 1 : node.pattern.end_lineno])
                if _brackets(_STRINGS.sub('""', part), statements=False) > PATTERN_DEPTH_MAX:
                    raise NotStructural("its patterns are nested too deeply")
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    raise NotStructural("it is nested too deeply")


def _chain(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return max(alias.name.count(".") for alias in node.names) + (getattr(node, "module", None) or "").count(".")
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return sum(1 + len(one.ifs) for one in node.generators)
    return 0


def _brackets(bare: str, *, statements: bool) -> int:
    """The depth of brackets. `statements`: also raises NotStructural where a statement is too long."""
    deepest = depth = start = 0
    for found in re.finditer(r"[(\[{]|[)\]}]|\n", bare):
        sign = found[0]
        if sign in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign != "\n":
            depth = max(0, depth - 1)
        elif depth == 0:
            if statements and found.start() - start > STATEMENT_CHARACTERS_MAX:
                raise NotStructural("a statement is too long for code that this Python does not read")
            start = found.end()
    if statements and len(bare) - start > STATEMENT_CHARACTERS_MAX:
        raise NotStructural("a statement is too long for code that this Python does not read")
    return deepest
