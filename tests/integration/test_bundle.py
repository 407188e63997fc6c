"""A bundle as its users meet it: made once for this module, then tried out and started where nothing of Daybreak is.

`daybreak bundle` does both; here the trial is called by itself, so that what it has unpacked can be looked at. The
command as a whole, the same bytes twice and first starts that are killed take longer: `make chaos`.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daybreak.factory import bundling
from daybreak.factory.bundling import trying
from daybreak.host.sandbox import detect, machine

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="bundles are made for Linux only so far"),
    pytest.mark.timeout(900),
]
pytest.importorskip("pex", reason="the extra bundle is not installed")

PYTHON = os.path.realpath(sys.executable)
"""Not this environment's: the one that it was made from, with nothing of ours."""
MEGABYTES_MOST = 60
ROOT = Path(__file__).parents[2]


def make(cwd: Path, *words: str, umask: int = 0o022, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "daybreak", "bundle", *words, "--json"],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "DAYBREAK_HOME": str(cwd / "home"), **environment},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        umask=umask,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def sources() -> str:
    """Hash of what our own package is made from."""
    found = hashlib.sha256()
    for file in [ROOT / "pyproject.toml", ROOT / "README.md", *sorted((ROOT / "src").rglob("*"))]:
        if file.is_file() and file.suffix != ".pyc":
            found.update(f"{file}\0".encode() + file.read_bytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Not yet tried out; with what the sources were before."""
    before = sources()
    folder = tmp_path_factory.mktemp("made").resolve()
    return {**make(folder, "-o", "daybreak.pyz", "--untried"), "sources": before}


@pytest.fixture(scope="module")
def bundle(made: dict[str, Any]) -> Path:
    return Path(made["file"])


@pytest.fixture(scope="module")
def tried(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[trying.Tried, Path]:
    """What `daybreak bundle` does with it then; and the home that it had, where it lies unpacked now."""
    scratch = tmp_path_factory.mktemp("tried").resolve()
    told = trying.try_out(bundle, scratch, say=lambda words: None)
    return told, next(scratch.glob("empty-*/home"))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Whoever has been started here is ended afterwards."""
    yield tmp_path.resolve()
    for pid in running_below(tmp_path):
        os.kill(pid, signal.SIGKILL)


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": str(home), **more}


def start(bundle: Path, home: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PYTHON, str(bundle), *words],
        env=environment(home, **more),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def running_below(folder: Path) -> list[int]:
    """Processes that were started with this folder as their home."""
    found, wanted = [], f"HOME={folder}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            found += [int(entry.name)] if wanted in told else []
    return found


def unpacked_into(home: Path) -> Path:
    """The one place below this home."""
    places = list((home / ".cache" / "daybreak" / "bundles").iterdir())
    assert len(places) == 1
    return places[0]


def test_it_examines_the_machine_and_builds_in_an_empty_environment(
    tried: tuple[trying.Tried, Path], bundle: Path
) -> None:
    """A project is built and verified, without network and in the sandbox, and its tests run there."""
    # shows: F10
    told, home = tried
    assert told.build == "verified and delivered"
    assert "nothing wrong" in told.doctor
    assert told.sandbox
    assert bundle.stat().st_mode & 0o111
    assert list((home.parent / "work" / trying.NAME).glob("**/test_*.py"))
    assert (home.parent / "work" / trying.NAME / "daybreak.manifest.json").is_file()


def test_it_is_small_and_says_what_is_in_it(made: dict[str, Any], bundle: Path) -> None:
    # shows: F10
    assert made["bytes"] == bundle.stat().st_size < MEGABYTES_MOST * 1_000_000
    names = {one["name"].lower() for one in made["distributions"]}
    assert {"daybreak", "ruff", "mypy", "pytest", "apsw"} <= names
    assert not names & {"pex", "hypothesis", "ray", "apprise", "mkdocs"}
    with zipfile.ZipFile(bundle) as packed:
        inside = packed.namelist()
        assert packed.getinfo(next(name for name in inside if name.endswith("/bin/ruff"))).external_attr >> 16 & 0o111
        assert not [name for name in inside if "__pycache__" in name or name.endswith((".pyc", "direct_url.json"))]
        here = os.fsencode(ROOT)
        own = [name for name in inside if name.startswith(("daybreak", "PEX-INFO", "__main__"))]
        assert not [name for name in own if here in packed.read(name)]
    assert {"daybreak/factory/spec/template.md", "daybreak/py.typed"} <= set(inside)
    assert [name for name in inside if name.startswith("daybreak-") and name.endswith("LICENSE")]


def test_once_unpacked_it_starts_at_once_and_nothing_leads_it_elsewhere(
    tried: tuple[trying.Tried, Path], bundle: Path
) -> None:
    """In a private place that is examined; in less than a second; whatever the environment says."""
    # shows: F10
    home = tried[1]
    root = unpacked_into(home)
    assert root.stat().st_mode & 0o777 == 0o700
    out, err = start(bundle, home, "doctor", "--json").communicate(timeout=120)
    findings = {one["name"]: one for one in json.loads(out)}
    assert findings["bundle"]["level"] == "good", err
    assert {findings[name]["level"] for name in ("pytest", "ruff", "mypy", "python")} == {"good"}
    assert min(timed(bundle, home) for _ in range(3)) < 1.0
    nothing_leads_elsewhere(bundle, home)
    timers_start_the_file(bundle, home, root)


@pytest.mark.chaos
def test_the_command_tries_it_out_and_gives_the_same_bytes(made: dict[str, Any], tmp_path: Path) -> None:
    """From another folder, with another umask, time zone and language, another day; nothing is left beside it."""
    # shows: F10
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    told = {"SOURCE_DATE_EPOCH": "1000000000", "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    told |= {"TMPDIR": str(elsewhere), "PEX_ROOT": str(tmp_path / "evil"), "PEX_EMIT_WARNINGS": "1"}
    again = make(elsewhere, "-o", "other.pyz", umask=0o077, **told)
    assert again["tried"]["build"] == "verified and delivered"
    assert {one.name for one in elsewhere.iterdir()} <= {"other.pyz", "home"}
    if sources() != made["sources"]:
        pytest.skip("somebody has changed the checkout meanwhile, from which both were made")
    assert again["sha256"] == made["sha256"]


@pytest.mark.chaos
def test_it_is_packed_and_starts_where_there_is_no_bubblewrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the sandbox has no shared memory, so nothing that packs or unpacks may need semaphores."""
    # shows: F10
    monkeypatch.setattr(machine, "BWRAP_PATH", str(tmp_path))
    detect.cache_clear()
    try:
        assert not detect().bwrap
        made = bundling.make(tmp_path.resolve() / "it.pyz")
    finally:
        detect.cache_clear()
    assert made.tried is not None
    assert not made.tried.hidden
    assert made.tried.build == "verified and delivered"


@pytest.mark.chaos
def test_a_first_start_that_is_killed_and_two_at_once_end_well(bundle: Path, home: Path) -> None:
    """kill -9 in the midst of unpacking leaves nothing that a later start would run; two that unpack at the same time
    do not disturb each other; what is damaged afterwards is noticed."""
    # shows: F10
    first = start(bundle, home, "--version")
    site = ".cache/daybreak/bundles/*/pex/installed_wheels/*/*"
    deadline = time.monotonic() + 120
    while not any(home.glob(site)):
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        os.sched_yield()
    for pid in running_below(home):
        os.kill(pid, signal.SIGKILL)
    assert first.wait(60) == -signal.SIGKILL
    first.communicate()
    assert not (unpacked_into(home) / "ready").exists()

    both = [start(bundle, home, "--version") for _ in range(2)]
    for one in both:
        out, err = one.communicate(timeout=300)
        assert (one.returncode, out.strip()) == (0, bundle_version(bundle)), err
        assert "Traceback" not in err
    assert (unpacked_into(home) / "ready").exists()
    out, _ = start(bundle, home, "doctor", "--json").communicate(timeout=120)
    assert {one["name"]: one["level"] for one in json.loads(out)}["bundle"] == "good"
    damage_is_noticed(bundle, home, unpacked_into(home))


def bundle_version(bundle: Path) -> str:
    with zipfile.ZipFile(bundle) as packed:
        return str(json.loads(packed.read("DAYBREAK-BUNDLE.json"))["daybreak"])


def timed(bundle: Path, home: Path) -> float:
    began = time.monotonic()
    one = start(bundle, home, "--version")
    out, err = one.communicate(timeout=60)
    assert out.strip() == bundle_version(bundle), err
    assert err == ""
    return time.monotonic() - began


def nothing_leads_elsewhere(bundle: Path, home: Path) -> None:
    """A module of our name on somebody's path, or variables of the packer, change nothing."""
    evil = home / "evil" / "daybreak"
    evil.mkdir(parents=True)
    (evil / "__init__.py").write_text("raise SystemExit('evil')")
    names = ("PYTHONPATH", "PEX_EXTRA_SYS_PATH", "__PEX_EXTRA_SYS_PATH__", "PEX_ROOT", "PEX_PATH", "PYTHONHOME")
    told = {name: str(evil.parent) for name in names if name != "PYTHONHOME"}
    out, err = start(bundle, home, "--version", **told, PEX_MODULE="evil", PEX_INTERPRETER="1").communicate(timeout=60)
    assert (out.strip(), err) == (bundle_version(bundle), "")


def timers_start_the_file(bundle: Path, home: Path, root: Path) -> None:
    """What it has unpacked may be cleared away; and they unpack to where they were told."""
    words = ("schedule", "install", "--systemd", "--dry-run")
    out, err = start(bundle, home, *words, DAYBREAK_BUNDLE_DIR=str(root.parent)).communicate(timeout=60)
    assert f'ExecStart="{PYTHON}" "{bundle}" "night"' in out, err
    assert f'Environment="DAYBREAK_BUNDLE_DIR={root.parent}"' in out
    assert "_DAYBREAK_UNPACKING" not in out


def damage_is_noticed(bundle: Path, home: Path, root: Path) -> None:
    """By doctor; and by the next start if it was not called ready."""
    package = next(root.glob("pex/venvs/*/*/*/lib/python*/site-packages/cronsim"))
    (package / "__init__.py").unlink()
    out, _ = start(bundle, home, "doctor", "--json").communicate(timeout=120)
    found = next(one for one in json.loads(out) if one["name"] == "bundle")
    assert found["level"] == "bad"
    assert "cronsim/__init__.py" in found["text"]
    (root / "ready").unlink()
    again = start(bundle, home, "--version")
    _, err = again.communicate(timeout=120)
    assert again.returncode == 1
    assert "U395" in err
    assert "Traceback" not in err
