"""`daybreak validate` as a process: what it prints, what it returns, and what kill -9 changes (nothing)."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
UNIT = HERE.parent / "unit"


def _module(name: str, folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


scene = _module("validate_desk", UNIT)
Cli = _module("daybreak_cli", HERE).Cli
SETTINGS = """\
[validate]
skip = ["types", "security", "complexity"]

[validate.commands]
tests = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q"
"""


def test_the_command_line_prints_a_table_and_mends_in_place(tmp_path: Path) -> None:
    """Status 1 and every number with the position of its evidence; with --fix status 0, and a report."""
    # shows: P7, P5
    files = {**scene.FILES, "calc.py": scene.RIGHT, "tests/test_calc.py": scene.UGLY, "daybreak.toml": SETTINGS}
    project = scene.repositories.make(tmp_path / "calc", files)
    cli = Cli(project)
    failed = cli("validate", ".")
    assert failed.status == 1, failed.err
    rows = {line.split()[0]: line for line in failed.out.splitlines() if ":python " in line and "note" not in line}
    assert set(rows) == {
        *("tests:python", "lint:python", "coverage:python", "syntax:python", "format:python", "documentation:python"),
    }
    assert "failed" in rows["lint:python"]
    assert all("#" in line for line in rows.values()), "every number has its evidence"
    assert "types:python is skipped, as [validate] in daybreak.toml says" in failed.out
    assert scene.git(project, "status", "--porcelain") == ""

    done = cli("validate", ".", "--fix", "--in-place", "--json")
    assert done.status == 0, done.err
    told = done.json()
    assert (told["state"], told["kind"]) == ("done", "validate")
    assert scene.git(project, "status", "--porcelain").split() == ["M", "tests/test_calc.py"]
    report = cli("report", told["run"], "--markdown").out
    assert "gate of attempt 0" in report
    assert "lint:python" in report
    assert cli("validate", "nowhere").status == 2
    assert cli("validate", ".", "--in-place").status == 2
    assert cli("ledger", "verify").status == 0


OWNER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {unit!r})
import validate_desk as scene

def half(folder, brief):
    scene.put(folder, {{"calc.py": scene.RIGHT.replace("one - other", "other - one")}})

def dies(folder, brief):
    os.kill(os.getpid(), signal.SIGKILL)

with scene.opened(Path({folder!r})) as desk:
    desk.run(half, dies, fix=True)
"""


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """What is kept is not done again; states that were lost with the process are made again, to the same hashes."""
    # shows: P7, P6, N4
    scene.repositories.make(tmp_path / "calc", {**scene.FILES, "tests/test_calc.py": scene.UGLY})
    program = OWNER.format(unit=str(UNIT), folder=str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": ""}, check=False)
    assert killed.returncode == -signal.SIGKILL
    with scene.opened(tmp_path) as desk:
        [resumable] = desk.engine.resumable()
        before = len(desk.gates(resumable.run))
        assert before == 3, "as found, after the fixers, after the first attempt"
        desk.scripted.works = [scene.writes({"calc.py": scene.RIGHT})]
        done = desk.supervise(resumable.run)
        assert (done.state, done.value["attempts"]) == ("done", 2), done.why
        assert len(desk.scripted.briefs) == 1, "the first attempt is not asked again"
        assert len(desk.gates(done.run)) == before + 1
        changed = scene.git(desk.project, "diff", "--name-only", f"main..daybreak/{done.run}").split()
        assert changed == ["calc.py", "tests/test_calc.py"]
        assert not list(desk.places.workspaces.glob("*/*"))
