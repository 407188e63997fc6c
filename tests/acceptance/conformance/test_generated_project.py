"""What the builder wrote is a project of good quality in itself: linted, typed, tested, and always the same."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest

from .conftest import Products
from .product import Product

# shows: F1

NAMES = ("sink", "lend-desk", "web_shop", "origins", "plain", "bookshelf", "forum")
MEASURED = ("plain",)
"""Those whose coverage is measured, which doubles the time of their tests; in the long form that of all."""
TYPES = Path(tempfile.gettempdir()) / "daybreak-conformance-mypy"
"""Shared between runs: the types of libraries take long the first time only."""
AGAIN = """
import hashlib, json, msgspec, sys
from daybreak.agents.builder import generate
from daybreak.agents.protocol import Brief
given = msgspec.json.decode(sys.stdin.read(), type=Brief)
print(json.dumps({path: hashlib.sha256(raw).hexdigest() for path, raw in generate(given).items()}))
"""


def run(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """A tool of this environment inside the project."""
    keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    env = keep | {"PYTHONPATH": str(folder / "src"), "LANG": "C.UTF-8"}
    return subprocess.run(
        [sys.executable, "-m", *argv], cwd=folder, env=env, capture_output=True, text=True, timeout=240
    )


@pytest.mark.parametrize("name", NAMES)
def test_it_is_linted_and_formatted(products: Products, name: str):
    """By its own configuration."""
    for argv in (("ruff", "check", "--no-cache", "."), ("ruff", "format", "--no-cache", "--check", ".")):
        ended = run(products(name).root, *argv)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_they_are_strictly_typed(products: Products):
    """`mypy --strict` finds nothing, in all of them at once: most of its time goes into the libraries. The tests are of
    the one that has most."""
    roots = [products(name).root for name in NAMES]
    config = roots[0] / "pyproject.toml"
    sources = [*(str(root / "src") for root in roots), str(products("forum").root / "tests")]
    ended = run(roots[0], "mypy", "--strict", "--config-file", str(config), "--cache-dir", str(TYPES), *sources)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("name", "measured"),
    [
        *((name, name in MEASURED) for name in ("sink", "plain")),
        *(pytest.param(name, True, marks=pytest.mark.chaos) for name in ("sink", "web_shop")),
    ],
)
def test_its_own_tests_pass_and_cover_it(products: Products, name: str, tmp_path: Path, *, measured: bool):
    """Tests ran, none failed, at least 85 % of its lines are covered."""
    product = products(name)
    told = tmp_path / "coverage.json"
    measure = (f"--cov={product.package}", f"--cov-report=json:{told}") if measured else ("--no-cov",)
    ended = run(product.root, "pytest", "-q", "-p", "no:cacheprovider", *measure)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr
    assert " passed" in ended.stdout
    if measured:
        assert json.loads(told.read_text())["totals"]["percent_covered"] >= 85


def written(product: Product, paths: list[str]) -> dict[str, str]:
    return {path: hashlib.sha256((product.root / path).read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize("name", ["lend-desk", "origins"])
def test_the_same_specification_gives_the_same_bytes(products: Products, name: str):
    """In another process, with another order of sets."""
    product = products(name)
    seeds = {"0": "1", "1": "2"}
    env = dict(os.environ) | {"PYTHONHASHSEED": seeds.get(os.environ.get("PYTHONHASHSEED", ""), "1")}
    ended = subprocess.run(
        [sys.executable, "-c", AGAIN],
        input=msgspec.json.encode(product.brief).decode(),
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    again: dict[str, str] = json.loads(ended.stdout)
    assert written(product, list(again)) == again
