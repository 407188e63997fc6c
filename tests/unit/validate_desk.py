"""A small project with defects, and an engine that validates it, whose workers are functions."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio

from daybreak.agents.protocol import Brief, Claim
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Context, Engine, RunResult
from daybreak.engine.dispatch import Dispatch
from daybreak.events import Event, StepDone, run_stream
from daybreak.factory.attempted import Result
from daybreak.factory.kinds import validate
from daybreak.factory.office import Office
from daybreak.factory.validate import task
from daybreak.factory.warden import Warden
from daybreak.ledger import Ledger
from daybreak.memory import VIEWS as MEMORY
from daybreak.policy import journal
from daybreak.settings import Settings, Validate


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


repositories = _module("repository_desk")
git, put, writes = repositories.git, repositories.put, repositories.writes

RIGHT = '"""Sums."""\n\n\ndef add(one: int, other: int) -> int:\n    """The sum."""\n    return one + other\n\n\n'
RIGHT += 'def sub(one: int, other: int) -> int:\n    """The difference."""\n    return one - other\n'
WRONG = RIGHT.replace("one - other", "one * other")
"""One of two tests fails."""
TESTS = "import calc\n\n\ndef test_add():\n    assert calc.add(2, 3) == 5\n"
TESTS += "\n\ndef test_sub():\n    assert calc.sub(5, 3) == 2\n"
UGLY = TESTS.replace("import calc\n", "import os\nimport calc\n")
"""ruff removes the import by itself."""
PYPROJECT = '[project]\nname = "calc"\nversion = "1"\n\n[tool.pytest.ini_options]\npythonpath = ["."]\n\n[tool.ruff]\n'
FILES = {
    "calc.py": WRONG,
    "tests/test_calc.py": TESTS,
    "pyproject.toml": PYPROJECT,
    "README.md": "# calc\n\nSums and differences of whole numbers.\n",
    ".gitignore": "*.log\n__pycache__/\n",
}
COMMAND = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q"
QUICK = Validate(
    commands={"tests": COMMAND}, skip=("types", "security", "syntax", "complexity", "documentation", "coverage")
)
"""Only tests, lint and format: each program costs time."""
TESTS_ONLY = QUICK.model_copy(update={"skip": (*QUICK.skip, "lint", "format")})
"""And no fixers."""
WORKERS = ("json:one", "json:two")
"""Names of workers; who works is what the test says."""


@dataclass
class Scripted:
    """Attempts whose workers are functions: one for each attempt, the last one again and again."""

    works: Sequence[Any]
    briefs: list[Brief] = field(default_factory=list)

    def work(self, number: int, name: str, brief: Brief, folder: Path, scratch: Path, **_: Any) -> Result:
        self.briefs.append(brief)
        claim = self.works[min(number, len(self.works)) - 1](folder, brief)
        return Result(claim or Claim(outcome="finished", summary="done"))


class Desk:
    """`project` is the folder, state lies beside it."""

    def __init__(self, project: Path, ledger: Ledger, places: Places, dispatch: Dispatch | None = None) -> None:
        self.project, self.ledger, self.places = project, ledger, places
        self.scripted = Scripted([writes({})])
        clock = SystemClock()
        self.office = office = Office(Settings(), ledger, places, clock, {}, dispatch=dispatch)
        kinds = {validate.KIND: validate.Validation(ledger, places, clock, office, self._attempts)}
        self.engine = Engine(ledger, kinds, places.locks, clock, os.urandom)

    def _attempts(
        self, ctx: Context, office: Office, warden: Warden, cancelled: threading.Event, needs: Any = None
    ) -> Scripted:
        return self.scripted

    def submit(self, *works: Any, **more: Any) -> str:
        if works:
            self.scripted.works = works
        made = task.asked(
            self.project,
            cwd=self.project,
            **{
                "environment": {"HOME": str(self.project.parent), "PATH": os.environ["PATH"]},
                "validate": QUICK,
                "workers": WORKERS if works else (),
                **more,
            },
        )
        return self.engine.submit(made.kind, made.title, made.args, made.placement)

    def run(self, *works: Any, **more: Any) -> RunResult:
        return self.supervise(self.submit(*works, **more))

    def supervise(self, run: str) -> RunResult:
        return anyio.run(self.engine.supervise, run)

    def events(self, run: str, *kinds: type[Event]) -> list[Any]:
        found = [record.event for record in self.ledger.read(run_stream(run))]
        return [event for event in found if not kinds or isinstance(event, kinds)]

    def gates(self, run: str) -> list[dict[str, Any]]:
        """The tables of a run, in order."""
        return [one.result for one in self.events(run, StepDone) if one.name == "gate"]

    def branches(self) -> list[str]:
        return git(self.project, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()


@contextmanager
def opened(
    folder: Path,
    files: Mapping[str, str] | None = None,
    *,
    repository: bool = True,
    dispatch: Dispatch | None = None,
) -> Iterator[Desk]:
    project = (folder / "calc").resolve()
    if not project.exists() and repository:
        repositories.make(project, FILES if files is None else files)
    elif not project.exists():
        project.mkdir(parents=True)
        put(project, FILES if files is None else files)
    places = Places.below(folder / "home", "a test")
    with Ledger.open(
        places.ledger,
        keys=places.keys,
        witness=places.witness,
        clock=SystemClock(),
        views=[*VIEWS, *journal.VIEWS, *MEMORY],
    ) as ledger:
        yield Desk(project, ledger, places, dispatch)
