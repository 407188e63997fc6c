"""A small git repository with something missing, and an engine on it, whose workers are functions."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from daybreak.agents.protocol import Brief, Claim
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Context, Engine, RunResult
from daybreak.engine.dispatch import Dispatch
from daybreak.events import Event, run_stream
from daybreak.factory.asked import Asked
from daybreak.factory.attempted import Result
from daybreak.factory.kinds import repository
from daybreak.factory.office import Office
from daybreak.factory.repository import task as repositorytask
from daybreak.factory.warden import Warden
from daybreak.ledger import Ledger
from daybreak.memory import VIEWS as MEMORY
from daybreak.policy import journal
from daybreak.settings import Settings

GIT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_DATE": "@1700000000 +0000",
    "GIT_COMMITTER_DATE": "@1700000000 +0000",
}
ADD = "def add(one, other):\n    return one + other\n"
SUB = "\n\ndef sub(one, other):\n    return one - other\n"
TESTS = """\
import calc


def test_add():
    assert calc.add(2, 3) == 5


def test_sub():
    assert calc.sub(5, 3) == 2
"""
CHECK = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 pytest -q"
"""Plugins of the environment of our own tests cost more than the tests."""
FILES = {
    "calc.py": ADD,
    "tests/test_calc.py": TESTS,
    "pyproject.toml": '[project]\nname = "calc"\n\n[tool.pytest.ini_options]\npythonpath = ["."]\n',
    ".gitignore": "*.log\n__pycache__/\n",
    "check.sh": "test -s notes.txt\n",
}
WORKERS = ("json:one", "json:two", "json:three")
"""Names of workers; who works is what the test says."""
Work = Callable[[Path, Brief], Claim | None]


def git(folder: Path, *words: str) -> str:
    """Standard output of git, without the configuration of whoever runs the tests."""
    return subprocess.run(
        ["git", *words], cwd=folder, env={**os.environ, **GIT}, check=True, capture_output=True, text=True
    ).stdout


def make(folder: Path, files: Mapping[str, str] | None = None) -> Path:
    """A repository with one commit."""
    folder.mkdir(parents=True)
    put(folder, FILES if files is None else files)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.org")
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "begin")
    return folder.resolve()


def put(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@dataclass
class Scripted:
    """Attempts whose workers are functions: one for each attempt, the last one again and again."""

    works: Sequence[Work]
    briefs: list[Brief] = field(default_factory=list)

    def work(self, number: int, name: str, brief: Brief, folder: Path, scratch: Path, **_: Any) -> Result:
        self.briefs.append(brief)
        claim = self.works[min(number, len(self.works)) - 1](folder, brief)
        return Result(claim or Claim(outcome="finished", summary="done"))


def writes(files: Mapping[str, str]) -> Work:
    """A worker that writes these files and says that it has finished."""

    def work(folder: Path, brief: Brief) -> Claim | None:
        put(folder, files)
        return None

    return work


RIGHT = writes({"calc.py": ADD + SUB})
WRONG = writes({"calc.py": ADD + SUB.replace("one - other", "one * other")})
LYING = writes({})


class Desk:
    """`repo` is the repository, state lies beside it."""

    def __init__(self, repo: Path, ledger: Ledger, places: Places, dispatch: Dispatch | None = None) -> None:
        self.repo, self.ledger, self.places = repo, ledger, places
        self.scripted = Scripted([RIGHT])
        clock = SystemClock()
        self.office = office = Office(Settings(), ledger, places, clock, {}, dispatch=dispatch)
        kinds = {repository.KIND: repository.Repository(ledger, places, clock, office, self._attempts)}
        self.engine = Engine(ledger, kinds, places.locks, clock, os.urandom)

    def _attempts(
        self, ctx: Context, office: Office, warden: Warden, cancelled: threading.Event, needs: Any = None
    ) -> Scripted:
        return self.scripted

    def asked(self, *checks: str, prompt: str = "add sub(one, other) to calc.py", **more: Any) -> Asked:
        return repositorytask.asked(
            self.repo,
            prompt,
            checks or (CHECK,),
            cwd=self.repo,
            environment={"HOME": str(self.repo.parent)},
            **{"workers": WORKERS, **more},
        )

    def run(self, asked: Asked | None = None, *works: Work) -> RunResult:
        if works:
            self.scripted.works = works
        made = asked or self.asked()
        return self.supervise(self.engine.submit(made.kind, made.title, made.args, made.placement))

    def supervise(self, run: str) -> RunResult:
        return anyio.run(self.engine.supervise, run)

    def events(self, run: str, *kinds: type[Event]) -> list[Any]:
        found = [record.event for record in self.ledger.read(run_stream(run))]
        return [event for event in found if not kinds or isinstance(event, kinds)]

    def branches(self) -> list[str]:
        return git(self.repo, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()


@contextmanager
def opened(folder: Path, files: Mapping[str, str] | None = None, dispatch: Dispatch | None = None) -> Iterator[Desk]:
    there = (folder / "calc").resolve()
    repo = there if there.exists() else make(there, files)
    places = Places.below(folder / "home", "a test")
    with Ledger.open(
        places.ledger,
        keys=places.keys,
        witness=places.witness,
        clock=SystemClock(),
        views=[*VIEWS, *journal.VIEWS, *MEMORY],
    ) as ledger:
        yield Desk(repo, ledger, places, dispatch)
