"""Programs with users are projects of the same quality: linted, typed, tested, and always the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daybreak.agents.builder import generate
from daybreak.factory.spec import not_shown, problems_of

from .conftest import Products
from .product import EXAMPLES, Starter, build
from .test_generated_project import run

# shows: F1 F2

CONDUIT = EXAMPLES / "conduit" / "spec.md"


def test_the_example_has_no_problem_and_shows_every_requirement() -> None:
    """Not even a warning."""
    spec, problems = problems_of(CONDUIT)
    assert spec is not None
    assert problems == []
    assert not_shown(spec) == ()


def test_its_own_tests_pass_and_cover_it(products: Products, tmp_path: Path) -> None:
    """Tests ran, none failed, at least 90 % of its lines are covered."""
    product, measured = products("forum"), tmp_path / "coverage.json"
    measure = (f"--cov={product.package}", f"--cov-report=json:{measured}")
    ended = run(product.root, "pytest", "-q", "-p", "no:cacheprovider", *measure)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr
    assert " passed" in ended.stdout
    assert json.loads(measured.read_text())["totals"]["percent_covered"] >= 90


@pytest.fixture
def conduit(starters: tuple[Starter, Starter], tmp_path: Path) -> Path:
    return build(CONDUIT, tmp_path / "conduit", *starters).root


def test_the_readme_names_every_address(conduit: Path) -> None:
    """What is built can be read without running it."""
    readme = (conduit / "README.md").read_text(encoding="utf-8")
    for line in (
        "| `POST /api/users/login` · `/logout` | a new session with its `token`; its end |",
        "| `GET` · `PATCH` · `PUT` · `DELETE` `/api/user` | one's own record |",
        "| `POST` · `DELETE` `/api/profiles/KEY/follow` | follow, or take that back |",
        "| `POST /api/articles/ARTICLE/comments` | 201 and the new comment |",
        "| `GET /api/articles/feed` | a list of its own |",
        "Login: email with password, for 30 days",
    ):
        assert line in readme.splitlines()


def test_what_is_not_declared_is_not_built(products: Products) -> None:
    """A program without users has no module of theirs."""
    paths = generate(products("plain").brief)
    for name in ("sessions", "keys", "words", "shown", "shapes", "account"):
        assert not [path for path in paths if path.endswith(f"/{name}.py")]
