"""What the builder wrote is a project of good quality in itself: linted, typed, tested, and always the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.agents.builder import generate
from daybreak.factory.spec import read_text

from .conftest import Products
from .product import SPECS, Product, brief

NAMES = ("sink", "lend-desk", "web_shop", "origins", "plain")


def run(product: Product, *argv: str) -> subprocess.CompletedProcess[str]:
    """A tool of this environment inside the project."""
    keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    env = keep | {"PYTHONPATH": str(product.root / "src"), "LANG": "C.UTF-8"}
    return subprocess.run(
        [sys.executable, "-m", *argv], cwd=product.root, env=env, capture_output=True, text=True, timeout=240
    )


@pytest.fixture(scope="session")
def type_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all: most of the time goes into the libraries."""
    return tmp_path_factory.mktemp("types")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_linted_and_formatted(products: Products, name: str):
    """By its own configuration."""
    for argv in (("ruff", "check", "--no-cache", "."), ("ruff", "format", "--no-cache", "--check", ".")):
        ended = run(products(name), *argv)
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", NAMES)
def test_it_is_strictly_typed(products: Products, type_cache: Path, name: str):
    """`mypy --strict` finds nothing."""
    ended = run(products(name), "mypy", "--strict", "--cache-dir", str(type_cache), "src")
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", NAMES)
def test_its_own_tests_pass_and_cover_it(products: Products, name: str, tmp_path: Path):
    """Tests ran, none failed, at least 85 % of its lines are covered."""
    product = products(name)
    measured = tmp_path / "coverage.json"
    ended = run(
        product, "pytest", "-q", "-p", "no:cacheprovider", f"--cov={product.package}",
        f"--cov-report=json:{measured}", f"--junitxml={tmp_path / 'junit.xml'}",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr
    assert json.loads(measured.read_text())["totals"]["percent_covered"] >= 85
    assert " passed" in ended.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_same_specification_gives_the_same_bytes(name: str):
    """No time, no machine, no order of a set is in it."""
    text = (SPECS / f"{name}.md").read_text(encoding="utf-8")
    given = brief(read_text(text, name="spec.md", format="md"), text)
    assert generate(given) == generate(given)
