"""`scripts/setup` where something is missing: it succeeds, and says what is missing and what that means."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "scripts" / "setup"
TOOLS = ("bash", "cat", "dirname", "env", "id", "printf", "sh", "touch")


def checkout(root: Path, sandbox: str = "") -> Path:
    """A checkout whose virtual environment is there; its pip does nothing, its sandbox says `sandbox` if given."""
    (root / "scripts").mkdir(parents=True)
    shutil.copy(SETUP, root / "scripts" / "setup")
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    found = f"printf '%s\\n' {sandbox}" if sandbox else f'exec {sys.executable} "$@"'
    python.write_text(f'#!/bin/sh\ncase "$1 $2" in "-m pip"|"-m compileall") exit 0;; "-c "*) {found};; esac\n')
    python.chmod(0o755)
    tools = root / "tools"
    tools.mkdir()
    for name in TOOLS:
        if place := shutil.which(name):
            (tools / name).symlink_to(place)
    (tools / "python3").symlink_to(sys.executable)
    return root


def set_up(root: Path, *before: str) -> subprocess.CompletedProcess[str]:
    """Run it with nothing on PATH but the few tools, and a home of its own."""
    return subprocess.run(
        [*before, str(root / "tools" / "bash"), str(root / "scripts" / "setup")],
        env={"PATH": str(root / "tools"), "HOME": str(root), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("strength", "words"),
    [
        ("degraded", ["degraded, for lack of bubblewrap: not installed", "`--sandbox full` is refused"]),
        ("none", ["no sandbox here, for lack of bubblewrap: not installed", "`--sandbox none`"]),
    ],
)
def test_without_bubblewrap_and_apt_the_set_up_succeeds_and_says_what_that_means(
    tmp_path: Path, strength: str, words: list[str]
) -> None:
    """The line names the program, the consequence and the way out."""
    # shows: F15 X3
    root = checkout(tmp_path / "checkout", f"'{strength} without' 'bubblewrap: not installed'")
    done = set_up(root)
    assert done.returncode == 0, done.stderr
    assert (root / ".venv" / ".ready").exists()
    assert "please install: bubblewrap" in done.stderr
    for word in (*words, "bubblewrap 0.8 or newer", "without strace"):
        assert word in done.stderr


def test_an_apt_that_fails_is_named_and_no_reason_to_fail(tmp_path: Path) -> None:
    """No network: the set-up goes on without what could not be fetched."""
    # shows: X3
    if os.geteuid() != 0:
        pytest.skip("only root is helped by apt")
    root = checkout(tmp_path / "checkout", "'degraded without' 'bubblewrap: not installed'")
    apt = root / "tools" / "apt-get"
    apt.write_text('#!/bin/sh\necho "$*" >> "$HOME/asked"\nexit 100\n')
    apt.chmod(0o755)
    done = set_up(root)
    assert done.returncode == 0, done.stderr
    assert "apt-get could not install bubblewrap" in done.stderr
    assert "degraded" in done.stderr
    assert "install -y -qq bubblewrap" in (root / "asked").read_text()


@pytest.mark.parametrize(
    ("found", "said"), [("full ''", ""), ("degraded 'bubblewrap: 0.4.1: 0.8 or newer is needed'", "0.4.1")]
)
def test_nothing_is_installed_over_a_bubblewrap_that_is_there(tmp_path: Path, found: str, said: str) -> None:
    """A good one is not worth a line; one that is too old is named, and apt would not give another."""
    root = checkout(tmp_path / "checkout", found)
    done = set_up(root)
    assert done.returncode == 0, done.stderr
    assert "please install: bubblewrap" not in done.stderr
    assert ("the sandbox here is degraded" in done.stderr) is bool(said)
    assert said in done.stderr


def test_the_sandbox_itself_is_asked(tmp_path: Path) -> None:
    """With the real one, in a mount namespace where bubblewrap cannot be started, and no copy of it on PATH."""
    # shows: F15
    bwrap = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
    if os.geteuid() != 0 or bwrap is None or shutil.which("unshare") is None:
        pytest.skip("only root can hide bubblewrap, with unshare" if bwrap else "there is no bubblewrap to hide")
    root = checkout(tmp_path / "checkout")
    unshare = [str(shutil.which("unshare")), "--mount", "--propagation", "private"]
    hidden = f'{shutil.which("mount")} --bind /dev/null {bwrap} && exec "$@"'
    done = set_up(root, *unshare, "/bin/sh", "-c", hidden, "sh")
    assert done.returncode == 0, done.stderr
    assert "for lack of bubblewrap: not installed" in done.stderr
    seen = set_up(root)
    assert seen.returncode == 0, seen.stderr
    assert "please install: bubblewrap" not in seen.stderr
