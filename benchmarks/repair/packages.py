"""Small packages from PyPI, and repositories made of them in which the body of one function is gone.

Sources come through pip when the benchmark runs, and stay in out/repair; nothing of them is a part of Daybreak. Of each
package's tests a share is held back from the repository: the gate has the rest, the judge has all.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "out" / "repair"
HELD_BACK = 0.4
"""Share of the test functions that the gate does not have."""
MUTANTS_MAX = 12
LINES_MIN = 4


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    sources: tuple[str, ...]
    """Modules whose functions are taken out."""
    tests: str
    """A folder or file."""
    leave_out: tuple[str, ...] = ()
    """Tests that take long or look at the installation."""

    @property
    def check(self) -> str:
        return f"pytest -q -o addopts= {self.tests}"


PACKAGES = (
    Package("inflection", "0.5.1", ("inflection/__init__.py",), "test_inflection.py"),
    Package("parse", "1.20.2", ("parse.py",), "tests"),
    Package(
        "semver", "3.0.4", ("src/semver/version.py", "src/semver/cli.py", "src/semver/_deprecated.py"), "tests",
        ("tests/test_docstrings.py",),
    ),
    Package(
        "toolz", "1.0.0", ("toolz/itertoolz.py", "toolz/dicttoolz.py", "toolz/functoolz.py", "toolz/recipes.py"),
        "toolz/tests", tuple(f"toolz/tests/test_{name}.py" for name in ("tlz", "signatures", "inspect_args")),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Hole:
    """One task: a function without its body."""

    package: Package
    path: str
    function: str
    base: str
    """The module as the repository has it."""
    right: str
    mutants: tuple[str, ...]
    """The module with one thing in the function changed, each another."""

    @property
    def name(self) -> str:
        return f"{self.package.name} {self.path}:{self.function}"


def fetch(package: Package) -> Path:
    """The unpacked source of a package. Raises CalledProcessError where pip cannot have it."""
    folder = CACHE / f"{package.name}-{package.version}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        words = [
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            ":all:",
            "-d",
            CACHE,
            f"{package.name}=={package.version}",
        ]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True, stderr=subprocess.DEVNULL)
        [archive] = CACHE.glob(f"{package.name}-{package.version}.tar.gz")
        fresh = CACHE / f".{package.name}.{os.getpid()}"
        with tarfile.open(archive) as opened:
            opened.extractall(fresh, filter="data")
        (fresh / folder.name).rename(folder)
        shutil.rmtree(fresh)
    return folder


def holes(package: Package, source: Path, chance: random.Random) -> list[Hole]:
    """Every function that a task can be made of, in random order."""
    found = []
    spoken_of = "\n".join(path.read_text() for path in gate_tests(package, source).values())
    for path in package.sources:
        text = (source / path).read_text()
        for function in _functions(ast.parse(text)):
            name = function.name
            if name.startswith("__") or name not in spoken_of or function.end_lineno - function.lineno < LINES_MIN:  # type: ignore[operator]
                continue
            mutants = tuple(_module_with(text, function, mutant) for mutant in _mutants(function, chance))
            if mutants:
                empty = copy.deepcopy(function)
                empty.body = [*_docstring(function), ast.parse(f"raise NotImplementedError({name!r})").body[0]]
                found.append(Hole(package, path, name, _module_with(text, function, empty), text, mutants))
    chance.shuffle(found)
    return found


def repository(hole: Hole, source: Path, folder: Path) -> None:
    """Make the git repository of a task at `folder`: the package with a hole, and the tests that the gate has."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", ".git"))
    for path in hole.package.leave_out:
        (folder / path).unlink()
    for path, text in gate_tests(hole.package, source).items():
        (folder / path).write_text(text.text)
    (folder / hole.path).write_text(hole.base)
    (folder / ".gitignore").write_text("__pycache__/\n*.pyc\n")
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for words in (["init", "-q", "-b", "main"], ["add", "--all", "--force"], [*who, "commit", "-q", "-m", "base"]):
        subprocess.run(["git", *words], cwd=folder, check=True, env=quiet)


@dataclass(frozen=True)
class _Text:
    text: str

    def read_text(self) -> str:
        return self.text


def gate_tests(package: Package, source: Path) -> dict[str, _Text]:
    """The test files without the functions that are held back, by path."""
    place = source / package.tests
    files = [place] if place.is_file() else sorted(place.rglob("test*.py"))
    found = {}
    for path in files:
        relative = path.relative_to(source).as_posix()
        if relative not in package.leave_out:
            found[relative] = _Text(_without_held_back(path.read_text(), relative))
    return found


def _without_held_back(text: str, path: str) -> str:
    module = ast.parse(text)
    lines = text.splitlines()
    bodies: list[list[ast.stmt]] = [module.body, *(node.body for node in module.body if isinstance(node, ast.ClassDef))]
    for body in bodies:
        tests = [one for one in body if isinstance(one, ast.FunctionDef) and one.name.startswith("test")]
        for number, test in enumerate(tests):
            draw = int(hashlib.sha256(f"{path}::{test.name}:{test.lineno}".encode()).hexdigest(), 16) % 1000
            if number and draw < HELD_BACK * 1000:  # the first one stays, so that no class is left empty
                first = min([test.lineno, *(one.lineno for one in test.decorator_list)])
                assert test.end_lineno is not None
                lines[first - 1 : test.end_lineno] = [""] * (test.end_lineno - first + 1)
    return "\n".join(lines) + "\n"


# -- functions


def _functions(module: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (one for one in node.body if isinstance(one, ast.FunctionDef))


def _docstring(function: ast.FunctionDef) -> list[ast.stmt]:
    return function.body[:1] if ast.get_docstring(function) is not None else []


def _module_with(text: str, old: ast.FunctionDef, new: ast.FunctionDef) -> str:
    """The module with another function in the place of one."""
    lines = text.splitlines()
    first = min([old.lineno, *(one.lineno for one in old.decorator_list)])
    assert old.end_lineno is not None
    indent = " " * old.col_offset
    written = [f"{indent}{line}" if line else "" for line in ast.unparse(new).splitlines()]
    return "\n".join([*lines[: first - 1], *written, *lines[old.end_lineno :]]) + "\n"


def _mutants(function: ast.FunctionDef, chance: random.Random) -> list[ast.FunctionDef]:
    """Plausible mistakes: the function with one thing changed, each another, in random order."""
    count = _Mutator(-1)
    count.visit(copy.deepcopy(function))
    picked = chance.sample(range(count.seen), min(MUTANTS_MAX, count.seen))
    made = []
    for at in picked:
        changed = copy.deepcopy(function)
        changed.body = [
            *_docstring(changed),
            *(_Mutator(at).mutate(changed.body[len(_docstring(changed)) :], at, function)),
        ]
        made.append(changed)
    return [one for one in made if ast.unparse(one) != ast.unparse(function)]


_OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


class _Mutator(ast.NodeTransformer):
    """Changes the `at`-th thing that can be changed; counts them all in `seen`."""

    def __init__(self, at: int) -> None:
        self.at, self.seen = at, 0

    def mutate(self, body: list[ast.stmt], at: int, function: ast.FunctionDef) -> list[ast.stmt]:
        self.at, self.seen = at, 0
        shell = copy.deepcopy(function)
        self.visit(shell)
        return shell.body[len(_docstring(function)) :]

    def _here(self) -> bool:
        self.seen += 1
        return self.seen - 1 == self.at

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.visit(one) for one in node.body]  # decorators and defaults stay
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if type(node.ops[0]) in _OTHER and self._here():
            node.ops[0] = _OTHER[type(node.ops[0])]()  # type: ignore[assignment]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if type(node.op) in _OTHER and self._here():
            node.op = _OTHER[type(node.op)]()  # type: ignore[assignment]
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self._here():
            node.op = _OTHER[type(node.op)]()  # type: ignore[assignment]
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return node.operand if isinstance(node.op, ast.Not) and self._here() else node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool) and self._here():
            return ast.Constant(not node.value)
        if type(node.value) is int and self._here():
            return ast.Constant(node.value + 1)
        if isinstance(node.value, str) and node.value and self._here():
            return ast.Constant(node.value[:-1])
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node  # its parts are no constants of their own

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.generic_visit(node)
        if node.value is not None and self._here():
            return ast.Return(None)
        return node
