"""`daybreak doctor`: what this machine has, and what is missing with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.checks.examples import console
from daybreak.cli import doctor
from daybreak.factory import machine
from daybreak.host.programs import Platform
from daybreak.host.sandbox import Machine


@pytest.fixture
def bare(tmp_path: Path) -> Platform:
    """A machine that has nothing but apt."""
    return Platform("linux", str(tmp_path), ("apt",), root=True)


def test_every_program_that_we_run_has_a_row() -> None:
    """What is run and not imported can be missing, so it is looked at."""
    # shows: X3
    rows = {finding.what: finding for finding in doctor._tools()}
    assert {"python", "sqlite", "pytest", "ruff", "mypy", "sh", "git", "bwrap", "strace"} <= rows.keys()
    for name in ("pytest", "ruff", "mypy"):
        assert rows[name].verdict == "good"
        assert rows[name].detail.startswith(f"{name} ")
        assert "wanted >=" in rows[name].detail


def test_a_missing_optional_program_is_a_note_with_the_command_that_installs_it(bare: Platform) -> None:
    """Worth knowing, not a failure."""
    git = next(need for need in doctor.NEEDS if need.program.startswith("git"))
    found = doctor._look_for(git, bare)
    assert (found.what, found.verdict) == ("git", "note")
    assert found.detail.startswith("missing: ")
    assert "apt-get install git" in found.remedy


def test_bubblewrap_is_the_one_that_the_sandbox_uses(
    bare: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One on PATH that the sandbox does not look at is no bubblewrap, and one that it uses need not be on PATH."""
    # shows: F15
    shadow = tmp_path / "bwrap"
    shadow.write_text("#!/bin/sh\necho bubblewrap 9.9.9\n")
    shadow.chmod(0o755)
    absent = doctor._bubblewrap(Machine(), bare)
    assert (absent.what, absent.verdict) == ("bwrap", "note")
    assert absent.detail.startswith("not installed: ")
    assert "/usr/bin" in absent.detail
    assert str(shadow) in absent.detail
    assert "apt-get install bubblewrap" in absent.remedy
    monkeypatch.setenv("PATH", "/nowhere")
    used = tmp_path / "elsewhere" / "bwrap"
    used.parent.mkdir()
    used.write_text("#!/bin/sh\necho bubblewrap 0.8.1\n")
    used.chmod(0o755)
    found = doctor._bubblewrap(Machine(bwrap=str(used)), bare)
    assert (found.verdict, found.detail) == ("good", f"{used}, version 0.8.1")


def test_a_bubblewrap_that_failed_its_trial_is_not_called_good(bare: Platform) -> None:
    """It is there, in a version that fits, and the sandbox cannot use it; then the reason is what counts."""
    # shows: F15
    found = doctor._bubblewrap(Machine(bwrap="", bwrap_why="a trial failed: exit 1 no permission"), bare)
    assert found.verdict == "note"
    assert "no permission" in found.detail
    assert "apt-get" not in found.remedy


def test_a_missing_needed_program_is_bad(bare: Platform) -> None:
    """Without sh no console example runs."""
    found = doctor._look_for(doctor.Need("sh", "console examples run in it", needed=True), bare)
    assert found.verdict == "bad"


def test_a_program_out_of_its_range_is_named_with_both_numbers(bare: Platform, tmp_path: Path) -> None:
    """Too old is said with what is there and what is wanted."""
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 1.8.3\n")
    old.chmod(0o755)
    found = doctor._look_for(doctor.Need("git>=2.30", "worktrees"), bare)
    assert found.verdict == "note"
    assert "1.8.3" in found.detail
    assert ">=2.30" in found.detail


def test_the_sandbox_is_shown_with_what_it_lacks() -> None:
    """Full is good; less is said, layer by layer, with what is then not covered."""
    # shows: F15
    full = doctor._sandbox(Machine(bwrap="/usr/bin/bwrap", landlock_abi=6, seccomp=True, own_user=True).mode())
    assert (full.what, full.verdict) == ("sandbox", "good")
    assert "bubblewrap" in full.detail
    less = doctor._sandbox(Machine(landlock_abi=3, seccomp=True, groups={"pids": Path("/sys/fs/cgroup/pids")}).mode())
    assert less.verdict == "note"
    assert "degraded" in less.detail
    assert "bubblewrap: not installed" in less.detail
    assert "signals" in less.remedy


def test_a_module_that_does_not_start_is_bad(bare: Platform) -> None:
    """It comes with Daybreak, so the remedy is to install that again."""
    found = doctor._look_for(doctor.Need("nonesuch_module", "nothing", needed=True, module=True), bare)
    assert found.verdict == "bad"
    assert "install Daybreak again" in found.remedy


def test_the_shell_is_the_one_that_examples_run_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever PATH says: examples name it by its full path."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert machine.measure(tmp_path).shell == machine.SHELL == console.SHELL
    monkeypatch.setattr(machine, "SHELL", str(tmp_path / "sh"))
    assert any("/bin/sh" in lack for lack in machine.measure(tmp_path).shortages())
