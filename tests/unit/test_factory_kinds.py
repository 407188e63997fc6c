"""The kinds of task: imported when somebody asks for one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daybreak.factory.kinds import Kinds

LOOKS = """
import sys
from daybreak import home
with home.opened() as opened:
    list(home.rows(opened))
heavy = ("daybreak.factory.kinds.", "pytest", "coverage", "markdown_it", "jinja2", "libcst", "fastapi")
print([name for name in sys.modules if name.startswith(heavy)])
"""


@pytest.fixture
def kinds() -> Kinds:
    nothing: Any = None
    return Kinds(nothing, nothing, nothing, nothing)


def test_each_kind_is_known_by_the_name_that_tasks_of_it_have(kinds: Kinds) -> None:
    """And is made once, when it is asked for."""
    for name, kind in kinds.items():
        module = sys.modules[type(kind).__module__]
        assert module.__name__ == f"daybreak.factory.kinds.{name}"
        assert getattr(module, "KIND", name) == name
        assert kinds[name] is kind
    assert {"build", "command", "python", "repository"} <= set(kinds)
    with pytest.raises(KeyError):
        kinds["nothing of ours"]


def test_one_that_cannot_be_used_is_replaced() -> None:
    """By whatever parks its runs."""
    nothing: Any = None

    async def park(ctx: Any, args: Any) -> None:
        raise AssertionError

    replaced = Kinds(nothing, nothing, nothing, nothing, {"build": park})
    assert replaced["build"] is park
    assert "build" in replaced


def test_whoever_only_looks_imports_no_kind(tmp_path: Path) -> None:
    """Most commands do; builders and checks would cost them more than all else."""
    environment = {**os.environ, "DAYBREAK_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", LOOKS], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
