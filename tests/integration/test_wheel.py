"""Wheels and sdist: built as anybody would, valid, whole, and nothing more; installed as people install programs."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import policy
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from daybreak.factory.bundling import ours
from daybreak.version import __version__

ROOT = Path(__file__).parents[2]
UNAVAILABLE = (
    "No matching distribution",
    "No solution found",
    "error sending request",
    "Failed to fetch",
    "Connection",
)
"""What installers say where no package index can be reached."""


def built(source: Path, out: Path, *kinds: str) -> list[Path]:
    """Built by the backend that pyproject.toml names, without a word of warning."""
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-W",
            "error",
            "-m",
            "hatchling",
            "build",
            "-d",
            str(out),
            *(f"-t{one}" for one in kinds),
        ],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(out), "SOURCE_DATE_EPOCH": ours.DATED},
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in (done.stdout + done.stderr).lower()
    return sorted(out.iterdir())


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout as it is now, so that nobody who works on it meanwhile is in between."""
    folder = tmp_path_factory.mktemp("tree") / "daybreak"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a checkout")
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    shutil.copy(ROOT / ".gitignore", folder)
    return folder


@pytest.fixture(scope="module")
def dist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(sdist, wheel)."""
    found = built(tree, tmp_path_factory.mktemp("dist"), "sdist", "wheel")
    sdist = next(one for one in found if one.name.endswith(".tar.gz"))
    return sdist, next(one for one in found if one.suffix == ".whl")


def test_the_wheel_from_the_sdist_is_the_wheel_from_the_tree(dist: tuple[Path, Path], tmp_path: Path) -> None:
    # shows: F10
    sdist, wheel = dist
    with tarfile.open(sdist) as packed:
        packed.extractall(tmp_path, filter="data")
    again = built(next(tmp_path.iterdir()), tmp_path / "again", "wheel")
    assert [one.read_bytes() for one in again] == [wheel.read_bytes()]


def test_the_wheel_holds_the_package_whole_and_nothing_else(tree: Path, dist: tuple[Path, Path]) -> None:
    """Templates, pages, schemas and the licence are in it; no tests, no caches, nothing of this machine."""
    # shows: F10
    with zipfile.ZipFile(dist[1]) as wheel:
        names = set(wheel.namelist())
        assert wheel.testzip() is None
    meta = f"daybreak-{__version__}.dist-info"
    package = {str(one.relative_to(tree / "src")) for one in (tree / "src" / "daybreak").rglob("*") if one.is_file()}
    assert {name for name in names if not name.startswith(f"{meta}/")} == package
    assert {
        "daybreak/py.typed",
        "daybreak/factory/spec/template.md",
        "daybreak/factory/bundling/start.txt",
        "daybreak/ledger/schema.sql",
        "daybreak/web/static/app.js",
    } <= names
    told = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert {name for name in names if name.startswith(meta)} == {f"{meta}/{one}" for one in told}


def test_every_file_of_the_wheel_is_in_its_record_with_its_hash(dist: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(dist[1]) as wheel:
        meta = f"daybreak-{__version__}.dist-info"
        rows = list(csv.reader(io.StringIO(wheel.read(f"{meta}/RECORD").decode())))
        assert {row[0] for row in rows} == set(wheel.namelist())
        for name, digest, _ in rows:
            if name != f"{meta}/RECORD":
                found = base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest()).rstrip(b"=").decode()
                assert digest == f"sha256={found}", name


def test_what_a_package_index_would_refuse_is_not_there(dist: tuple[Path, Path]) -> None:
    """Names, metadata by the standard's own reader, a description in a form that is known, the licence beside it."""
    # shows: F10
    sdist, wheel = dist
    assert str(parse_sdist_filename(sdist.name)[1]) == str(parse_wheel_filename(wheel.name)[1]) == __version__
    with zipfile.ZipFile(wheel) as packed:
        raw = packed.read(f"daybreak-{__version__}.dist-info/METADATA")
    with tarfile.open(sdist) as tar:
        names = tar.getnames()
        info = tar.extractfile(f"daybreak-{__version__}/PKG-INFO")
        assert info is not None
        assert BytesParser(policy=policy.compat32).parsebytes(info.read())["Name"] == "daybreak"
    metadata = Metadata.from_email(raw, validate=True)
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.license_files == ["LICENSE"]
    assert metadata.description_content_type == "text/markdown"
    assert len(metadata.description or "") > 1000
    assert metadata.summary
    assert all(one.url is None for one in metadata.requires_dist or [])
    root = f"daybreak-{__version__}"
    assert {f"{root}/LICENSE", f"{root}/README.md", f"{root}/pyproject.toml"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or "/.git/" in name or "/.venv/" in name]


# -- as people install programs


def run(home: Path, *words: str | Path, timeout_s: int = 900) -> subprocess.CompletedProcess[str]:
    """In an empty home, with whatever package index this machine is set up for."""
    kept = ("PIP_", "UV_", "SSL_", "HTTP_", "HTTPS_", "NO_PROXY", "http", "no_proxy")
    told = {name: value for name, value in os.environ.items() if name.startswith(kept)}
    return subprocess.run(
        [str(one) for one in words],
        env={**told, "PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "TMPDIR": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def program(name: str) -> Path:
    found = Path(sys.executable).parent / name
    if not found.exists():
        pytest.skip(f"{name} is not installed")
    return found


def skip_without_index(done: subprocess.CompletedProcess[str]) -> None:
    said = done.stdout + done.stderr
    if done.returncode != 0 and (why := next((one for one in UNAVAILABLE if one in said), None)):
        pytest.skip(f"no package index that has what Daybreak requires: {why}")


@pytest.mark.chaos
@pytest.mark.timeout(1000)
def test_pipx_installs_it_into_an_empty_home(dist: tuple[Path, Path], tmp_path: Path) -> None:
    """The command is there and runs; what it starts (`ruff`, `mypy`, `pytest`) is found."""
    # shows: F10
    done = run(tmp_path, program("pipx"), "install", "--python", os.path.realpath(sys.executable), dist[1])
    skip_without_index(done)
    assert done.returncode == 0, done.stdout + done.stderr
    command = tmp_path / ".local" / "bin" / "daybreak"
    assert run(tmp_path, command, "--version").stdout.strip() == __version__
    examined = run(tmp_path, command, "doctor")
    assert examined.returncode == 0, examined.stdout


@pytest.mark.chaos
@pytest.mark.timeout(1000)
def test_uvx_runs_it_in_an_empty_home(dist: tuple[Path, Path], tmp_path: Path) -> None:
    # shows: F10
    python = os.path.realpath(sys.executable)
    done = run(tmp_path, program("uvx"), "--python", python, "--from", dist[1], "daybreak", "--version")
    skip_without_index(done)
    assert (done.returncode, done.stdout.strip()) == (0, __version__), done.stderr
