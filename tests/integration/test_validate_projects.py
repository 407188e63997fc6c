"""Mending projects of a real size, with defects that were put in: Daybreak's own modules, what the builder makes, and
projects of others."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from daybreak import events
from daybreak.agents.builder import generate
from daybreak.factory import brief
from daybreak.factory.spec import read
from daybreak.settings import Validate, checked
from daybreak.settings import read as read_settings

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
UNIT = HERE.parent / "unit"


@dataclass(frozen=True)
class Sdist:
    """A project of somebody else: pure Python, with its tests in its source distribution."""

    requirement: str
    tests: str
    """The command of its tests, as its user would put it into daybreak.toml."""
    file: str
    right: str
    """A text of that file, there once."""
    wrong: str
    """A mistake in its place, as people make them: everything can be imported, and some answers are not right."""
    cheated: str
    """A file with tests, which a worker must not change."""


SDISTS = (
    Sdist(
        "idna==3.20",
        # Of the tests with random input only their number is lost: each takes seconds.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q --ignore=tests/test_idna_properties.py",
        *("idna/core.py", 'label[2:4] == "--"', 'label[3:5] == "--"', "tests/test_idna.py"),
    ),
    Sdist(
        "wcwidth==0.9.4",
        "WCWIDTH_PYTHON=1 python -m pytest -q",
        *("wcwidth/bisearch.py", "ubound = mid - 1", "ubound = mid - 2", "tests/test_core.py"),
    ),
    Sdist(
        "toolz==1.2.0",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q",
        *("toolz/itertoolz.py", "return itertools.islice(seq, n)\n", "return itertools.islice(seq, n + 1)\n"),
        "toolz/tests/test_itertoolz.py",
    ),
)


def _module(name: str, folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


scene = _module("validate_desk", UNIT)


def outcomes(desk: Any, run: str) -> list[dict[str, str]]:
    """Of each gate of a run, outcome by check."""
    return [{row["check"]: row["outcome"] for row in gate["rows"]} for gate in desk.gates(run)]


def test_seeded_defects_in_our_own_modules_are_repaired(tmp_path: Path) -> None:
    """An unused import and a bad layout by fixers, a wrong type by a worker, all held to our own configuration."""
    # shows: P7, X6
    own = (ROOT / "src/daybreak/ids.py").read_text()
    files = {
        "pyproject.toml": (ROOT / "pyproject.toml").read_text(),
        "README.md": (ROOT / "README.md").read_text(),
        "src/daybreak/__init__.py": '"""A part of Daybreak."""\n',
        "src/daybreak/clock.py": (ROOT / "src/daybreak/clock.py").read_text(),
        "src/daybreak/ids.py": own.replace("import os\n", "import os\nimport json\n", 1).replace(
            'noise = int.from_bytes(entropy(5), "big")', 'noise:str = int.from_bytes(entropy(5),"big")'
        ),
        "tests/test_ids.py": "from datetime import UTC, datetime\n\nfrom daybreak import ids\n\n\n"
        'def test_new() -> None:\n    assert ids.new("x", datetime(2026, 1, 1, tzinfo=UTC)).startswith("x-")\n',
    }
    told = Validate(skip=("security", "complexity", "documentation", "syntax", "coverage"))
    with scene.opened(tmp_path, files) as desk:
        done = desk.run(scene.writes({"src/daybreak/ids.py": own}), fix=True, validate=told)
        assert done.state == "done", done.why
        found, fixed, mended = outcomes(desk, done.run)
        assert {name for name, outcome in found.items() if outcome == "failed"} == {
            *("types:python", "lint:python", "format:python"),
        }
        assert {name for name, outcome in fixed.items() if outcome == "failed"} == {"types:python"}
        assert set(mended.values()) == {"passed"}
        assert scene.git(desk.project, "show", f"daybreak/{done.run}:src/daybreak/ids.py") == own
        assert "Incompatible types in assignment" in "\n".join(one.message for one in desk.scripted.briefs[0].findings)


def test_our_own_settings_can_be_used() -> None:
    """`daybreak validate .` on Daybreak names commands that there are."""
    # shows: X6
    told = read_settings(ROOT / "daybreak.toml").validation
    named = [word for word in told.commands["tests"].split() if word.startswith("tests/")]
    assert named
    assert all((ROOT / word).is_file() for word in named)
    assert checked({"validate": {}}, ROOT / "daybreak.toml").validation == Validate()


@pytest.mark.chaos
@pytest.mark.timeout(2400)
def test_daybreak_passes_its_own_validation(tmp_path: Path) -> None:
    """`daybreak validate .` on a clone of this repository with what is not committed yet: every check of its own
    daybreak.toml, and the gate passes."""
    # shows: P7, X6
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone of Daybreak's repository, so nobody knows which files are its own")
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, capture_output=True, text=True, check=True).stdout.split("\0")
    project = tmp_path / "calc"
    for path in filter(None, listed):
        if (ROOT / path).is_file():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, project / path, follow_symlinks=False)
    with scene.opened(tmp_path) as desk:
        done = desk.run(validate=read_settings(project / "daybreak.toml").validation)
        for row in desk.gates(done.run)[-1]["rows"]:
            print(f"{row['check']}: {row['outcome']}: {row['score']:g} of {row['threshold']:g}: {row['summary']}")
        assert done.state == "done", done.why


@pytest.mark.chaos
@pytest.mark.timeout(2400)
def test_seeded_defects_in_a_generated_project_are_repaired(tmp_path: Path) -> None:
    """A whole project with hundreds of tests: a broken function is mended by a worker."""
    # shows: P7
    generated = generate(brief.make(read(ROOT / "examples/todo/spec.md"), ""))
    made = {name: data.decode() for name, data in generated.items()}
    victim = next(name for name in sorted(made) if name.startswith("src/") and "    return " in made[name])
    lines = made[victim].splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith("    return "))
    lines[at] = "    raise RuntimeError('broken' )\n"
    files = {**made, victim: "".join(lines), ".gitignore": "__pycache__/\n"}
    with scene.opened(tmp_path, files) as desk:
        done = desk.run(scene.writes({victim: made[victim]}), fix=True, validate=Validate(skip=("security",)))
        assert done.state == "done", done.why
        first, *_, last = outcomes(desk, done.run)
        assert first["tests:python"] == "failed"
        assert last["tests:python"] == "passed"


def fetched(requirement: str, folder: Path) -> Path:
    """The source of a release, as pip gets it; skips, and says so, where it cannot be had."""
    folder.mkdir()
    name = requirement.split("==")[0]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--retries", "1", "--no-deps", "--no-binary", name]
    got = subprocess.run(
        [*pip, "--dest", str(folder), requirement], capture_output=True, text=True, check=False, timeout=240
    )
    archives = list(folder.glob("*.tar.gz"))
    if got.returncode or not archives:
        why = got.stderr.strip()[-200:]
        pytest.skip(f"the source of {requirement} cannot be had here, so nothing is known of it: {why}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    [top] = [one for one in folder.iterdir() if one.is_dir()]
    return top


def written(path: Path) -> list[str]:
    """Its lines; where an import was, an empty one may be left."""
    return [line for line in path.read_text().splitlines() if line]


@pytest.mark.chaos
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("sdist", SDISTS, ids=lambda one: one.requirement)
def test_a_project_of_somebody_else_is_looked_at_and_mended(tmp_path: Path, sdist: Sdist) -> None:
    """A wrong answer and an unused import in a release: the tests and the linter see them, a worker that changes the
    tests is refused, another mends the code, a fixer the import, and the patch gives back what was written."""
    # shows: P7, V4
    project = fetched(sdist.requirement, tmp_path / "sdist").rename(tmp_path / "calc")
    right = (project / sdist.file).read_text()
    assert right.count(sdist.right) == 1
    lines = right.replace(sdist.right, sdist.wrong).splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith(("import ", "from ")))
    unused = "import antigravity\n"
    while lines[at].startswith("from __future__"):
        at += 1
    if not lines[at].startswith(("import ", "from ")):
        unused = "\nimport antigravity\n"
    (project / sdist.file).write_text("".join([*lines[:at], unused, *lines[at:]]))
    told = Validate(
        commands={"tests": sdist.tests},
        skip=("coverage", "security", "types", "format", "syntax", "complexity", "documentation"),
        thresholds={"lint": 0},
        check_s=1200,
    )
    cheat = scene.writes({sdist.cheated: "def test_nothing():\n    assert True\n"})

    def mends(folder: Path, brief: Any) -> None:
        """As a worker would, on top of what fixers made of it."""
        path = folder / sdist.file
        path.write_text(path.read_text().replace(sdist.wrong, sdist.right))

    patch = tmp_path / "mended.patch"
    with scene.opened(tmp_path) as desk:
        done = desk.run(cheat, mends, fix=True, patch=patch, validate=told, workers=("json:one", "json:two"))
        assert done.state == "done", done.why
        looked = desk.events(done.run, events.CheckLooked)
        tests = [one.evidence for one in looked if one.evidence["check"] == "tests:python"]
        first, last = tests[0], tests[-1]
        assert (first["outcome"], last["outcome"]) == ("failed", "passed"), first["summary"]
        assert first["counts"]["failed"] > 0
        assert last["counts"]["passed"] == first["counts"]["passed"] + first["counts"]["failed"] > 100
        assert any("antigravity" in mark["message"] for one in looked for mark in one.evidence["marks"])
        refused = [one.evidence for one in looked if one.evidence["check"] == "protected"]
        assert [one["outcome"] for one in refused] == ["failed", "passed"]
        assert sdist.cheated in refused[0]["summary"]
    scene.git(project, "apply", str(patch))
    assert written(project / sdist.file) == [line for line in right.splitlines() if line]
