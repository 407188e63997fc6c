"""The checks themselves, with real programs in the sandbox."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from daybreak.checks import complexity, documentation, security
from daybreak.checks.evidence import Evidence
from daybreak.factory.validate import looking, planning
from daybreak.factory.validate.looking import Subject
from daybreak.factory.validate.running import Room
from daybreak.factory.validate.surroundings import Surroundings
from daybreak.settings import Validate

HASH = "0" * 64
CODE = '''\
"""Things."""

import subprocess


def run(word):
    """Say a word."""
    return subprocess.run(f"echo {word}", shell=True)


def long(a, b, c):
    if a and b or c:
        for one in [x for x in a if x]:
            while one:
                try:
                    return one if b else c
                except ValueError:
                    assert a
    return 0


class Thing:
    def method(self):
        def inside():
            pass
'''


def put(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder.resolve()


def look(
    folder: Path, files: Mapping[str, str], names: tuple[str, ...], told: Validate | None = None, limit_s: float = 120
) -> dict[str, Evidence]:
    """Evidence of these checks about a project that holds these files."""
    told = told or Validate()
    project = put(folder / "project", files)
    around = Surroundings.of(folder / "nowhere", {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")})
    plan = planning.make(project, sorted(files), told, around)
    subject = Subject(HASH, tuple(planning.code(sorted(files), plan, told)), 10)
    found = {}
    for number, check in enumerate(one for one in plan.checks if one.name in names):
        scratch = (folder / f"scratch-{number}").resolve()
        room = Room(project, scratch, around, limit_s, "degraded", threading.Event())
        looked = looking.absent(check, subject) if check.missing else looking.look(check, room, subject)
        found |= {one.check: one for one in looked.evidence}
    return found


def test_what_is_public_complex_and_dangerous_is_counted(tmp_path: Path) -> None:
    """Each finding with its place; tests, private names and what is of low severity do not count."""
    # shows: P5, P7
    tree = put(tmp_path / "tree", {"things.py": CODE, "tests/test_x.py": CODE, "_own.py": CODE, "README.md": "x" * 50})
    scratch = (tmp_path / "scratch").resolve()
    ways = complexity.look(tree, HASH, scratch=scratch, most=8)
    assert (ways.outcome, ways.counts["functions"], ways.counts["highest"]) == ("failed", 8, 11)
    assert [mark.place for mark in ways.marks] == ["_own.py:11", "things.py:11"]
    assert complexity.look(tree, HASH, scratch=scratch, most=11, files=["things.py"]).outcome == "passed"
    docs = documentation.look(tree, HASH, scratch=scratch, share=60)
    assert (docs.counts["public"], docs.counts["documented"], docs.counts["readme"]) == (5, 2, 1)
    assert "things.py:11: long has no docstring" in [f"{mark.place}: {mark.message}" for mark in docs.marks]
    found = security.look(tree, HASH, scratch=scratch)
    assert (found.outcome, found.counts["findings"], found.counts["low"]) == ("failed", 2, 2)
    assert found.marks[1].place == "things.py:8"


@pytest.mark.parametrize("command", ["python -m pytest -q", "python -m pytest -q; true"])
def test_tests_that_take_too_long_say_what_can_be_done(tmp_path: Path, command: str) -> None:
    """A suite that is not at its end in time has failed, and the table names the settings that give it longer."""
    # shows: P7, P8
    files = {"setup.py": "", "tests/test_x.py": "import threading\n\n\ndef test_x():\n    threading.Event().wait()\n"}
    told = Validate(commands={"tests": f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {command}"})
    seen = look(tmp_path, files, ("tests:python",), told, limit_s=1.5)["tests:python"]
    assert seen.outcome == "failed"
    assert "in 1.5 s they were not at their end: [validate] in daybreak.toml gives them longer" in seen.summary


def test_what_cannot_be_read_is_no_crash(tmp_path: Path) -> None:
    """Broken and empty files, links that lead away, names with odd letters."""
    # shows: P8
    tree = put(tmp_path / "tree", {"broken.py": "def (", "empty.py": "", "-odd name\u00e9.py": "x = 1\n"})
    (tree / "link.py").symlink_to("/etc/passwd")
    scratch = (tmp_path / "scratch").resolve()
    assert complexity.look(tree, HASH, scratch=scratch).outcome == "passed"
    assert documentation.look(tree, HASH, scratch=scratch).counts["readme"] == 0
    assert security.look(tree, HASH, scratch=scratch).outcome == "passed"


def test_a_python_project_is_looked_at_with_its_own_configuration(tmp_path: Path) -> None:
    """Types, lint, syntax and coverage; a package that is not installed is told apart from findings."""
    # shows: P7
    files = {
        "pyproject.toml": '[tool.ruff.lint]\nselect = ["E", "F"]\n[tool.mypy]\nstrict = true\nfiles = ["shop.py"]\n',
        "shop.py": "import no_such_package\n\n\ndef price(of: str) -> int:\n    return of\n\n\nunused: int = 'x'\n",
        "tests/test_shop.py": "def test_nothing():\n    assert True\n",
        "late.py": "match = 1\nprint(\n",
    }
    found = look(tmp_path, files, ("types:python", "lint:python", "syntax:python", "tests:python"))
    types = found["types:python"]
    assert (types.outcome, types.counts["findings"]) == ("failed", 2), types.output
    assert "not installed here, so not looked into: no_such_package" in types.summary
    assert [mark.place for mark in types.marks] == ["shop.py:5", "shop.py:8"]
    assert "shop.py:1" in [mark.place for mark in found["lint:python"].marks]
    assert found["syntax:python"].marks[0].place.startswith("late.py:")
    assert (found["tests:python"].outcome, found["tests:python"].counts["passed"]) == ("passed", 1)
    assert found["coverage:python"].counts["coverage"] == 0


def test_a_project_that_configures_nothing_is_held_to_errors_and_not_to_tastes(tmp_path: Path) -> None:
    """An unused import is found; the order of imports is the project's own affair, whatever ruff thinks by itself."""
    # shows: P7
    files = {"setup.py": "", "shop.py": "import os\nimport abc\nimport sys\n\nprint(abc, sys)\n"}
    [found] = look(tmp_path, files, ("lint:python",)).values()
    assert [mark.message.split(":")[0] for mark in found.marks] == ["F401"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed, so JavaScript cannot be looked at")
def test_a_javascript_project_is_looked_at(tmp_path: Path) -> None:
    """Its tests are counted by name, and what neither a script nor a module can be is named."""
    # shows: P7
    test = "const test = require('node:test');\nconst assert = require('assert');\n"
    test += "test('adds', () => assert.equal(require('./sum.js')(1, 2), 3));\n"
    test += "test('fails', () => assert.equal(require('./sum.js')(1, 2), 4));\n"
    files = {
        "package.json": '{"scripts": {"test": "node --test"}}',
        "sum.js": "module.exports = (a, b) => a + b;\nreturn;\n",
        "part.mjs": "export default 1;\nawait 1;\n",
        "broken.js": "function (\n",
        "sum.test.js": test,
    }
    found = look(tmp_path, files, ("tests:javascript", "syntax:javascript"))
    tests = found["tests:javascript"]
    assert (tests.outcome, tests.counts["passed"], tests.counts["failed"]) == ("failed", 1, 1), tests.output
    assert [mark.place for mark in found["syntax:javascript"].marks] == ["broken.js:1"]


@pytest.mark.chaos
@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed, so Rust cannot be looked at")
def test_a_rust_project_is_looked_at(tmp_path: Path) -> None:
    """Offline, with its tests by name and its format."""
    # shows: P7
    code = "pub fn add(a: i32, b: i32) -> i32 { a+b }\n#[test]\nfn adds() { assert_eq!(add(1, 2), 3); }\n"
    code += "#[test]\nfn fails() { assert_eq!(add(1, 2), 4); }\n"
    files = {"Cargo.toml": '[package]\nname = "sum"\nversion = "0.1.0"\nedition = "2021"\n', "src/lib.rs": code}
    found = look(tmp_path, files, ("tests:rust", "format:rust"))
    tests = found["tests:rust"]
    assert (tests.outcome, tests.counts["passed"], tests.counts["failed"]) == ("failed", 1, 1), tests.output
    assert found["format:rust"].outcome == "failed", found["format:rust"].output


@pytest.mark.chaos
@pytest.mark.skipif(shutil.which("javac") is None, reason="javac is not installed, so Java cannot be looked at")
def test_a_java_project_without_a_build_tool_is_compiled(tmp_path: Path) -> None:
    """What does not compile is named; that nobody knows its tests is said."""
    # shows: P7
    found = look(tmp_path, {"A.java": 'class A { int x = "y"; }\n'}, ("build:java", "tests:java"))
    assert found["build:java"].outcome == "failed"
    assert "A.java:1" in [mark.place for mark in found["build:java"].marks], found["build:java"].output
    assert found["tests:java"].outcome == "unusable"


def test_a_project_of_any_language_is_looked_at_by_its_commands(tmp_path: Path) -> None:
    """A command that is not there is unusable; one that fails names places; the exit status has the last word."""
    # shows: P7, P8
    project = put(tmp_path / "project", {"main.c": ""})
    around = Surroundings.of(project, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    told = Validate(
        commands={
            "tests": "echo '3 passed in 1s'; exit 1",
            "lint": "echo 'main.c:4:2: warning: odd'; exit 1",
            "build": "no-such-program-at-all",
            "security": "test ! -e /etc/shadow && touch here && ! cat /proc/1/environ",
        }
    )
    plan = planning.make(project, ["main.c"], told, around)
    found = {}
    for number, check in enumerate(plan.checks):
        room = Room(project, (tmp_path / f"s{number}").resolve(), around, 60, "degraded", threading.Event())
        found |= {one.check: one for one in looking.look(check, room, Subject(HASH, (), 10)).evidence}
    assert found["tests:generic"].outcome == "failed"
    assert [mark.place for mark in found["lint:generic"].marks] == ["main.c:4"]
    assert found["lint:generic"].counts["lines"] == 0, "nobody knows what is code here"
    assert found["build:generic"].outcome == "unusable"
    assert found["security:generic"].outcome == "passed", found["security:generic"].output
    assert os.listdir(project) == ["main.c"], "it ran on a copy"
