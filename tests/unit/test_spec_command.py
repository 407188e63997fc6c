"""`daybreak spec check` and `daybreak spec new`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daybreak.cli.spec import TargetExists, TargetUnwritable, app
from daybreak.factory.spec import SpecInvalid, problems_of, read

BAD = Path(__file__).parent / "bad_specs"


def test_check_prints_problems_by_line_and_then_warnings() -> None:
    """`FILE:LINE: CODE message`, the remedy below it; exit status 2."""
    # shows: F2, F3
    path = BAD / "sections.md"
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    heads, remedies = lines[::2], lines[1::2]
    assert all(line.startswith("  ") and line.strip() for line in remedies)
    assert all(line.startswith(f"{path}:") for line in heads)
    _, problems = problems_of(path)
    expected = [p for p in problems if p.severity == "error"] + [p for p in problems if p.severity == "warning"]
    assert [line.removeprefix(f"{path}:").split(" ")[:2] for line in heads] == [
        [f"{p.line}:", p.code] for p in expected
    ]
    assert any("warning: FR-001 is not shown" in line for line in heads)
    assert "problems" in result.stderr


def test_check_of_a_valid_file_says_what_it_read(tmp_path: Path) -> None:
    """Warnings alone leave the exit status 0."""
    # shows: F2
    path = tmp_path / "spec.md"
    path.write_text(
        "---\nname: shelf\n---\n# Shelf\n## Objectives\n- One\n## Requirements\n- **FR-001**: System MUST work.\n"
    )
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 0
    assert f"{path}:8: S182 warning: FR-001 is not shown" in result.stdout
    assert "is valid (1 warning): shelf, simple, 1 requirement, 0 entities, 0 examples" in result.stderr


def test_check_speaks_json() -> None:
    """Problems, warnings and what is not shown, with places; the model where it is valid."""
    result = CliRunner().invoke(app, ["check", str(BAD / "shapes.json"), "--json"])
    assert result.exit_code == 2
    told = json.loads(result.stdout)
    assert told["valid"] is False
    assert told["specification"] is None
    assert told["problems"][0] == {
        "file": str(BAD / "shapes.json"),
        "line": 4,
        "code": "S122",
        "message": "the specification: the key name is already on line 2",
        "remedy": "keep one of them",
        "severity": "error",
    }


def test_check_of_nothing_there_exits_2(tmp_path: Path) -> None:
    """A missing file is a problem like any other."""
    # shows: F2
    result = CliRunner().invoke(app, ["check", str(tmp_path / "none.md")])
    assert result.exit_code == 2
    assert "S110" in result.stdout


def test_new_writes_a_specification_that_is_valid(tmp_path: Path) -> None:
    """Without a warning, so that it can be built at once."""
    # shows: F2
    path = tmp_path / "own.md"
    result = CliRunner().invoke(app, ["new", "my-shelf", "--output", str(path), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"name": "my-shelf", "file": str(path)}
    assert read(path).name == "my-shelf"
    assert CliRunner().invoke(app, ["check", str(path)]).stdout == ""


def test_new_writes_into_the_working_directory_and_never_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there stays."""
    # shows: F12
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["new", "shelf"]).exit_code == 0
    (tmp_path / "shelf.md").write_text("mine")
    result = CliRunner().invoke(app, ["new", "shelf"])
    assert isinstance(result.exception, TargetExists)
    assert (tmp_path / "shelf.md").read_text() == "mine"


def test_new_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    """A name that cannot be used, a folder that is not there."""
    # shows: P8
    assert isinstance(CliRunner().invoke(app, ["new", "../etc"]).exception, SpecInvalid)
    missing = CliRunner().invoke(app, ["new", "shelf", "--output", str(tmp_path / "no" / "spec.md")])
    assert isinstance(missing.exception, TargetUnwritable)
