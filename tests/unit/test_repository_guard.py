"""What a worker may not touch in a repository, and what a task on one may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.factory.repository import guard as repositoryguard
from daybreak.factory.repository.checks import plan
from daybreak.factory.repository.git import Change
from daybreak.factory.repository.guard import of, violations

FILES = [
    "calc.py", "src/calc/core.py", "tests/test_calc.py", "tests/data/numbers.json", "conftest.py", "pyproject.toml",
    "setup.cfg", "tools/check_it.py", "Makefile", "docs/conf.py", "a*b/test_x.py",
]  # fmt: skip
BLOBS = {
    "one": b"[project]\nversion = '1'\n[tool.pytest.ini_options]\naddopts = '-q'\n",
    "two": b"[project]\nversion = '2'\ndependencies = ['x']\n[tool.pytest.ini_options]\naddopts = '-q'\n",
    "three": b"[project]\nversion = '1'\n[tool.pytest.ini_options]\naddopts = '-k nothing'\n",
    "broken": b"[tool\n",
    "cfg": b"[metadata]\nname = a\n[tool:pytest]\naddopts = -q\n",
    "cfg2": b"[metadata]\nname = b\n[tool:pytest]\naddopts = -q\n",
    "cfg3": b"[metadata]\nname = a\n[tool:pytest]\naddopts = --co\n",
    "00": b"",
}


def change(path: str, status: str = "M", old: str = "one", new: str = "two", mode: str = "100644") -> Change:
    return Change(path, status, old, new, mode)


def told(*changes: Change, checks: tuple[str, ...] = ("pytest -q",), **more: list[str]) -> list[str]:
    guard = of(checks, FILES, **more)
    return [one.path for one in violations(guard, changes, FILES, BLOBS.__getitem__)]


@pytest.mark.parametrize(
    ("checks", "held", "free"),
    [
        (
            ["pytest -q"],
            ["tests/test_calc.py", "tests/data/numbers.json", "a*b/test_x.py"],
            ["calc.py", "docs/conf.py"],
        ),
        (["pytest tests/test_calc.py::test_add"], ["tests/test_calc.py"], ["tests/data/numbers.json", "calc.py"]),
        (["python -m pytest tests"], ["tests/test_calc.py", "tests/new.py"], ["tools/check_it.py"]),
        (["python tools/check_it.py --all"], ["tools/check_it.py"], ["tests/test_calc.py"]),
        (["cd src && python ../tools/check_it.py"], [], ["src/calc/core.py"]),
        (["ruff check calc.py"], [], ["calc.py", "src/calc/core.py"]),
        (["FAST=1 ./tools/check_it.py"], ["tools/check_it.py"], ["calc.py"]),
        (["make test"], ["Makefile", "tests/test_calc.py"], ["calc.py"]),
        (["npm test"], ["package.json", "web/app.test.ts"], ["web/app.ts"]),
        (["pytest 'a*b/test_x.py'"], ["a*b/test_x.py"], ["aXb/test_x.py"]),
        (["echo 'not ended"], ["conftest.py"], ["calc.py"]),
    ],
)
def test_the_tests_that_a_check_names_are_protected(checks: list[str], held: list[str], free: list[str]) -> None:
    """By the command alone: nothing is run to find out."""
    # shows: N2
    guard = of(checks, FILES)
    assert [path for path in held if not guard.holds(path)] == []
    assert [path for path in free if guard.holds(path)] == []


@pytest.mark.parametrize(
    "path",
    [
        "conftest.py", "src/calc/conftest.py", "pytest.ini", "sitecustomize.py", "src/usercustomize.py", "x.pth",
        "__pycache__/conftest.cpython-311-pytest-8.pyc", "src/calc/core.pyc", "tox.ini", ".coveragerc",
    ],
)  # fmt: skip
def test_what_is_taken_in_by_its_name_cannot_be_added(path: str) -> None:
    """Configuration of checks, hooks, bytecode: the known ways to change how tests run."""
    # shows: N2
    assert told(change(path, "A")) == [path]


@pytest.mark.parametrize(
    "path", ["pytest.py", "json.py", "src/random.py", "tests/../src/coverage/__init__.py", "src/_pytest/x.py"]
)
def test_a_module_that_takes_the_place_of_another_is_refused(path: str) -> None:
    """Checks would import it instead of Python's or of the test tool's."""
    # shows: N2
    path = path.replace("tests/../", "")
    assert told(change(path, "A")) == [path]
    assert told(change(path, "M")) == []


@pytest.mark.parametrize(
    "path", ["calc/json.py", "src/calc/random.py", "jsons.py", "data/json", "README.md", "docs/types.md"]
)
def test_modules_inside_a_package_may_have_any_name(path: str) -> None:
    """Only what is imported by its bare name can hide something."""
    # shows: N2
    assert told(change(path, "A")) == []


def test_only_the_part_of_a_file_that_configures_checks_is_protected() -> None:
    """A new dependency is the worker's business; `addopts` is not."""
    # shows: N2
    assert told(change("pyproject.toml")) == []
    assert told(change("pyproject.toml", new="three")) == ["pyproject.toml"]
    assert told(change("pyproject.toml", new="broken")) == ["pyproject.toml"]
    assert told(change("pyproject.toml", "D", new="00")) == ["pyproject.toml"]
    assert told(change("pyproject.toml", "T", mode="120000")) == ["pyproject.toml"]
    assert told(change("setup.cfg", old="cfg", new="cfg2")) == []
    assert told(change("setup.cfg", old="cfg", new="cfg3")) == ["setup.cfg"]
    assert told(change("pyproject.toml", new="three"), allow=["pyproject.toml"]) == []


def test_users_can_add_to_the_protection_and_take_from_it() -> None:
    """What somebody protects by name is protected whatever is allowed."""
    # shows: N2
    new = change("tests/test_new.py", "A")
    assert told(new) == ["tests/test_new.py"]
    assert told(new, allow=["tests/test_new.py"]) == []
    assert told(new, allow=["tests/"]) == []
    assert told(new, allow=["tests/**"], protect=["./tests/test_*.py"]) == ["tests/test_new.py"]
    assert told(change("docs/conf.py"), protect=["docs/"]) == ["docs/conf.py"]


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_pattern_and_any_path_can_be_compared(pattern: str, path: str) -> None:
    """Whatever characters they hold; and a path as it stands matches itself once it is escaped."""
    # shows: N2
    guard = of([pattern], [path], protect=[pattern])
    guard.holds(path)
    assert repositoryguard._compiled(repositoryguard._escaped(path)).fullmatch(path)


@pytest.mark.parametrize(
    ("command", "name", "arguments"),
    [
        ("pytest -q", "tests:1 pytest -q", ("-q",)),
        (
            "python3 -m pytest -k 'a and b' tests",
            "tests:1 python3 -m pytest -k 'a and b' tests",
            ("-k", "a and b", "tests"),
        ),
        ("A=1 pytest", "tests:1 A=1 pytest", ()),
        ("cd x && pytest", "check:1 cd x && pytest", None),
        ("pytest -n 4", "check:1 pytest -n 4", None),
        ("pytest $X", "check:1 pytest $X", None),
        ("pytest --cov-fail-under=90", "check:1 pytest --cov-fail-under=90", None),
        ("make test", "check:1 make test", None),
        ("'", "check:1 '", None),
    ],
)
def test_a_plain_pytest_command_is_known_as_one(command: str, name: str, arguments: tuple[str, ...] | None) -> None:
    """Everything else is the shell's, and only its exit status is known."""
    # shows: N2
    [check] = plan([command])
    assert check.name == name
    assert (check.pytest.arguments if check.pytest else None) == arguments
