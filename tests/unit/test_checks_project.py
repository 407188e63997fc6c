"""The checks of the project itself, on an honest one and on ones that are broken or try to look good."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
from pathlib import Path
from types import ModuleType

import pytest

from daybreak.checks import Evidence, building, install, lint, reading, structure, syntax, types
from daybreak.host import process

HASH = "ab" * 32


def _shelf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("checks_shelf", Path(__file__).with_name("checks_shelf.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SHELF = _shelf()


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(types_cache: Path) -> Path:
    """Shared with every test that builds: reading the types of libraries takes seconds."""
    return types_cache


def tree(folder: Path, **changes: str | None) -> Path:
    written: Path = SHELF.write(folder / "tree", {name.replace("__", "/"): text for name, text in changes.items()})
    return written


def changed(folder: Path, path: str, text: str | None) -> Path:
    written: Path = SHELF.write(folder / "tree", {path: text})
    return written


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said(evidence: Evidence) -> str:
    return " | ".join([evidence.summary, *(f"{mark.place} {mark.message}" for mark in evidence.marks)])


# -- all of them


def test_an_honest_project_passes_and_is_not_written_to(tmp_path: Path, scratch: Path, cache: Path) -> None:
    """Every check passes, names the workspace it saw, and leaves the tree as it was."""  # shows: P5
    project = tree(tmp_path)
    before = contents(project)
    installed, product = install.look(project, HASH, name="shelf", scratch=scratch)
    seen = [
        installed,
        structure.look(project, HASH, name="shelf"),
        syntax.look(project, HASH, scratch=scratch),
        lint.look(project, HASH, scratch=scratch),
        types.look(project, HASH, scratch=scratch, cache=cache),
    ]
    assert [(one.check, one.outcome) for one in seen] == [
        (check, "passed") for check in ("install", "structure", "syntax", "lint", "types")
    ], [said(one) for one in seen]
    assert {one.workspace for one in seen} == {HASH}
    assert product is not None
    assert contents(project) == before


def test_a_cancelled_check_is_unusable(tmp_path: Path, scratch: Path, cache: Path) -> None:
    """Neither passed nor failed: nobody looked to the end."""
    project, cancelled = tree(tmp_path), threading.Event()
    cancelled.set()
    seen = [
        install.look(project, HASH, name="shelf", scratch=scratch, cancelled=cancelled)[0],
        syntax.look(project, HASH, scratch=scratch, cancelled=cancelled),
        lint.look(project, HASH, scratch=scratch, cancelled=cancelled),
        types.look(project, HASH, scratch=scratch, cache=cache, cancelled=cancelled),
    ]
    assert {one.outcome for one in seen} == {"unusable"}


# -- structure


@pytest.mark.parametrize("path", ["pyproject.toml", "README.md", "src/shelf/__init__.py", "tests/test_shelf.py"])
@pytest.mark.parametrize("text", [None, " \n"])
def test_what_is_missing_or_empty_is_named(tmp_path: Path, path: str, text: str | None) -> None:
    """A file that is not there and one without content are the same."""
    seen = structure.look(changed(tmp_path, path, text), HASH, name="shelf")
    if path.endswith("__init__.py") and text is not None:
        assert seen.outcome == "passed"  # it marks the package; nothing need stand in it
    else:
        assert seen.outcome == "failed"
        assert path.removesuffix("/test_shelf.py") in said(seen)


def test_links_that_lead_out_and_special_files_are_named(tmp_path: Path) -> None:
    """A result holds its own files and nothing that points away."""
    project = tree(tmp_path)
    os.symlink("/etc/passwd", project / "src" / "data")
    os.symlink("README.md", project / "inside")
    os.mkfifo(project / "pipe")
    seen = structure.look(project, HASH, name="shelf")
    assert sorted(mark.place for mark in seen.marks) == ["pipe", "src/data"]


# -- syntax


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", "invalid syntax"),
        ("x = 1\nreturn x\n", "outside function"),
        ("x = '\0'\n", "null"),
        ("x = " + "(" * 5000 + ")" * 5000 + "\n", "too many nested"),
        ("x = " + "-" * 200_000 + "1\n", ""),
    ],
)
def test_code_that_does_not_compile_fails_with_its_line(tmp_path: Path, scratch: Path, text: str, message: str) -> None:
    """Also code that would crash the one who reads it."""
    seen = syntax.look(changed(tmp_path, "src/shelf/bad.py", text), HASH, scratch=scratch)
    assert seen.outcome == "failed"
    assert message in said(seen)


def test_nothing_runs_when_code_is_read(tmp_path: Path, scratch: Path) -> None:
    """Reading a file is not importing it, and sitecustomize in the tree is not loaded."""
    evil = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    project = changed(tmp_path, "sitecustomize.py", evil)
    (project / "json.py").write_text(evil)
    assert syntax.look(project, HASH, scratch=scratch).outcome == "passed"
    assert lint.look(project, HASH, scratch=scratch).outcome == "failed"  # the file is ugly, and it was not run
    assert not (tmp_path / "ran").exists()


def test_reading_names_files_lines_faults_and_silencers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the reading program tells, seen without a process between."""
    project = changed(tmp_path, "src/shelf/bad.py", "x = (\n")
    (project / "src" / "shelf" / "quiet.py").write_text("import os  # noqa: F401\n")
    reading.main(str(project))
    found = json.loads(capsys.readouterr().out)
    assert found["files"] == 8
    assert [fault["path"] for fault in found["faults"]] == ["src/shelf/bad.py"]
    assert found["silenced"]["noqa"] == [["src/shelf/quiet.py", 1]]


def test_no_code_at_all_fails(tmp_path: Path, scratch: Path) -> None:
    """A tree without Python has nothing that compiles."""
    (tmp_path / "empty").mkdir()
    assert syntax.look(tmp_path / "empty", HASH, scratch=scratch).outcome == "failed"


@pytest.mark.parametrize(
    ("comment", "count", "fails"),
    [
        ("# noqa: E501", 3, False),
        ("# noqa: E501", 4, True),
        ("# type: ignore[misc]", 4, True),
        ("# fmt: skip", 4, True),
        ("# ruff: noqa", 1, True),
        ("# mypy: ignore-errors", 1, True),
        ("'# ruff: noqa'", 9, False),  # a text is no comment
    ],
)
def test_floods_of_silencing_comments_fail(
    tmp_path: Path, scratch: Path, comment: str, count: int, fails: bool
) -> None:
    """A few are normal work, a flood hides something; switching off a whole file is never fine."""  # shows: X6
    text = "\n".join(f"x{number} = 1  {comment}" if "'" not in comment else comment for number in range(count))
    seen = syntax.look(changed(tmp_path, "src/shelf/more.py", text + "\n"), HASH, scratch=scratch)
    assert (seen.outcome == "failed") is fails, said(seen)


# -- lint and types

UGLY = "import os\nx=1\n"


@pytest.mark.parametrize(
    "path", ["src/shelf/ugly.py", "build/ugly.py", ".venv/ugly.py", "node_modules/ugly.py", "ignored/ugly.py"]
)
def test_findings_are_found_wherever_the_file_is_put(tmp_path: Path, scratch: Path, path: str) -> None:
    """Not even in folders that tools leave out by habit."""
    project = changed(tmp_path, path, UGLY)
    (project / ".gitignore").write_text("ignored/\n")
    seen = lint.look(project, HASH, scratch=scratch)
    assert seen.outcome == "failed"
    assert f"{path}:1 F401" in said(seen)
    assert seen.counts["misformatted"] == 1


def test_the_projects_own_configuration_has_no_say(tmp_path: Path, scratch: Path, cache: Path) -> None:
    """Rules switched off in the tree are still on."""  # shows: X6
    project = changed(tmp_path, "src/shelf/ugly.py", "import os\n\n\ndef f(x):\n    return x + 'a'\n")
    (project / "ruff.toml").write_text("lint.select = []\nexclude = ['*']\n")
    (project / "mypy.ini").write_text("[mypy]\nignore_errors = True\n")
    with open(project / "pyproject.toml", "a") as file:
        file.write("[tool.ruff]\nexclude = ['*']\n[tool.mypy]\nignore_errors = true\n")
    assert "F401" in said(lint.look(project, HASH, scratch=scratch))
    assert "no-untyped-def" in said(types.look(project, HASH, scratch=scratch, cache=cache))


@pytest.mark.parametrize(("length", "expected"), [("100", 100), ("500", 88), ("true", 88), ('"x"', 88), ("[", 88)])
def test_only_a_sane_line_length_is_taken_over(tmp_path: Path, length: str, expected: int) -> None:
    """The one setting that formatting depends on; nonsense is not taken."""
    (tmp_path / "pyproject.toml").write_text(f"[tool.ruff]\nline-length = {length}\n")
    assert lint.line_length(tmp_path) == expected


@pytest.mark.parametrize("module", ["ruff", "mypy", "json"])
def test_a_module_in_the_tree_does_not_stand_in_for_the_tool(
    tmp_path: Path, scratch: Path, cache: Path, module: str
) -> None:
    """A `ruff.py` that claims that all is well is not what runs."""
    project = changed(tmp_path, f"{module}.py", "raise SystemExit(0)\n")
    (project / "src" / "shelf" / "ugly.py").write_text("import os\n\n\ndef f(x):\n    return x\n")
    assert "F401" in said(lint.look(project, HASH, scratch=scratch))
    assert "no-untyped-def" in said(types.look(project, HASH, scratch=scratch, cache=cache))


# -- install


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('shelf = "shelf.cli:main"', 'other = "shelf.cli:main"', "no command shelf"),
        ("hatchling.build", "nothing.build", "not installed here"),
        ("dependencies = []", 'dependencies = ["no-such-thing-here>=1"]', "no-such-thing-here"),
        ("dependencies = []", 'dependencies = ["packaging<1"]', "packaging<1"),
        ('packages = ["src/shelf"]', 'packages = ["src/none"]', ""),
        ("[project]", "[[[", "cannot be built"),
    ],
)
def test_what_cannot_be_installed_fails_with_the_reason(
    tmp_path: Path, scratch: Path, old: str, new: str, message: str
) -> None:
    """No command, no backend, a dependency that is not there, no package, no sense."""
    text = SHELF.FILES["pyproject.toml"]
    assert old in text
    seen, product = install.look(
        changed(tmp_path, "pyproject.toml", text.replace(old, new)), HASH, name="shelf", scratch=scratch
    )
    if message:
        assert seen.outcome == "failed"
        assert message in said(seen)
        assert product is None


def test_building_installs_the_command_and_finds_what_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The building program, seen without a process between."""
    text = SHELF.FILES["pyproject.toml"].replace("dependencies = []", "dependencies = [\"none-such; extra == 'x'\"]")
    project = changed(tmp_path, "pyproject.toml", text)
    monkeypatch.chdir(tmp_path)  # building changes it
    (tmp_path / "out").mkdir()
    wheel = building.build(project, tmp_path / "out")
    building.install(wheel, tmp_path / "prefix", "/usr/bin/python3")
    assert (tmp_path / "prefix" / "bin" / "shelf").read_text().startswith("#!/usr/bin/python3\n")
    assert building.unmet_requirements(tmp_path / "prefix") == []


def test_a_wheel_without_its_package_fails_when_it_is_run(tmp_path: Path, scratch: Path) -> None:
    """A command that is installed but cannot be imported does not run."""
    text = SHELF.FILES["pyproject.toml"].replace("shelf.cli:main", "shelf.none:main")
    _, product = install.look(changed(tmp_path, "pyproject.toml", text), HASH, name="shelf", scratch=scratch)
    assert product is not None
    env = product.environment(scratch)
    assert process.run(["shelf"], cwd=scratch, env=env, timeout_s=20).exit_code == 1


def test_a_build_that_hangs_is_ended(tmp_path: Path, scratch: Path) -> None:
    """Code that runs in a build has its limits too."""
    project = changed(tmp_path, "slow.py", "import time\n\n\ndef build_wheel(*args):\n    time.sleep(1000)\n")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "slow"\nbackend-path = ["."]\n'
    )
    seen, _ = install.look(project, HASH, name="shelf", scratch=scratch, timeout_s=1)
    assert seen.outcome == "failed"
    assert "time was over" in said(seen)
