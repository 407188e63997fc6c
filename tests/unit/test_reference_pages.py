"""Pages that are made from the sources say what the sources say, and the site has no link that leads nowhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from daybreak.settings import Settings

ROOT = Path(__file__).parents[2]
WORD = re.compile(r"[a-z][a-z0-9_]*")
FETCHED = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"')


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["commands.md", "events.md", "routes.md"])
def test_a_page_that_is_made_from_the_sources_is_what_they_say(page: str) -> None:
    """`make reference` writes it."""
    # shows: N15
    made = script("reference").MADE[page]()
    assert (ROOT / "docs" / "reference" / page).read_text("utf-8") == made, "run `make reference`"


def models(of: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield of
    for field in of.model_fields.values():
        for part in parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from models(part)


def parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for one in get_args(annotation):
        yield from parts(one)


def test_every_setting_stands_in_the_page_about_settings() -> None:
    """And no table of it is left out."""
    # shows: N15
    page = (ROOT / "docs" / "reference" / "daybreak-toml.md").read_text("utf-8")
    shown = {
        word for line in page.splitlines() for code in re.findall(r"`([^`]+)`", line) for word in WORD.findall(code)
    }
    missing = [
        f"{model.__name__}.{field.alias or name}"
        for model in dict.fromkeys(models(Settings))
        for name, field in model.model_fields.items()
        if (field.alias or name) not in shown
    ]
    assert missing == []


def test_the_site_is_built_and_no_link_in_it_leads_nowhere(tmp_path: Path) -> None:
    """With mkdocs' own strict mode: pages that no menu names are noticed too. Nothing is fetched from elsewhere."""
    # shows: N15
    pytest.importorskip("material", reason="NOT TESTED: the documentation site, mkdocs-material is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 50
    fetched = {one for page in pages for one in FETCHED.findall(page.read_text("utf-8"))}
    assert fetched == set()
