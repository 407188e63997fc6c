"""Mending projects of a real size, with defects that were put in: Daybreak's own modules, what the builder makes, and
projects of others."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from daybreak import events
from daybreak.agents.builder import generate
from daybreak.checks import measured
from daybreak.factory import brief
from daybreak.factory.spec import read
from daybreak.settings import Validate, checked
from daybreak.settings import read as read_settings

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
UNIT = HERE.parent / "unit"
SDISTS = ("idna", "wcwidth", "toolz")
"""Pure Python, with their tests in them, and nothing that pytest itself imports."""


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


def inside(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


@pytest.mark.chaos
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


@pytest.mark.chaos
@pytest.mark.parametrize("name", SDISTS)
def test_a_project_of_somebody_else_is_looked_at_and_mended(tmp_path: Path, name: str) -> None:
    """Its tests pass as they are; a defect that is put in is found, and mended."""
    # shows: P7
    folder = tmp_path / "sdist"
    folder.mkdir()
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    got = subprocess.run([*pip, "-d", str(folder), name], capture_output=True, text=True, check=False, timeout=240)
    archives = list(folder.glob("*.tar.gz"))
    if got.returncode or not archives:
        pytest.skip(f"the source of {name} cannot be had here, so nothing is known of it: {got.stderr.strip()[-200:]}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    [top] = [one for one in folder.iterdir() if one.is_dir()]
    project = tmp_path / "calc"
    top.rename(project)
    told = Validate(skip=("coverage", "security"), check_s=1200, thresholds={"lint": 0, "format": 0, "types": 0})
    with scene.opened(tmp_path) as desk:
        seen = desk.run(validate=told)
        looked = desk.events(seen.run, events.CheckLooked)
        [evidence] = [one.evidence for one in looked if one.evidence["check"] == "tests:python"]
        assert evidence["counts"]["passed"] > 10, evidence["summary"]
        packages = sorted(project.rglob("__init__.py"))
        victim = next(path for path in packages if not measured.is_test(inside(path, project)))
        right = victim.read_text()
        victim.write_text("raise RuntimeError('broken')\n")
        mends = scene.writes({inside(victim, project): right})
        mended = desk.run(mends, fix=True, patch=tmp_path / "p.patch", validate=told, attempts=1)
        broken, *_, last = outcomes(desk, mended.run)
        assert broken["tests:python"] != "passed"
        if evidence["outcome"] == "passed":
            assert last["tests:python"] == "passed", mended.why
        assert (tmp_path / "p.patch").exists()
