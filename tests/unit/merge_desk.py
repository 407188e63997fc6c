"""A repository with branches, an engine that merges them, and runs that have delivered some."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
from tests.unit import repository_desk
from tests.unit.repository_desk import GIT, git

from daybreak.clock import SystemClock
from daybreak.engine import Engine, RunResult
from daybreak.engine.dispatch import Dispatch
from daybreak.events import QUEUE, StepDone, TaskAdded
from daybreak.factory.asked import Asked
from daybreak.factory.kinds import merge, repository
from daybreak.factory.merging import task


class MergeDesk(repository_desk.Desk):
    """`runs` are those that have delivered."""

    def __init__(self, desk: repository_desk.Desk) -> None:
        super().__init__(desk.repo, desk.ledger, desk.places)
        clock = SystemClock()
        office = self.office = desk.office
        kinds = {
            repository.KIND: repository.Repository(self.ledger, self.places, clock, office, self._attempts),
            merge.KIND: merge.Merge(self.ledger, self.places, clock, office, os.urandom),
        }
        self.engine = Engine(self.ledger, kinds, self.places.locks, clock, os.urandom)
        self.runs: list[str] = []
        self.submitted = ""

    # -- branches

    def head(self, name: str) -> str:
        return git(self.repo, "rev-parse", name).strip()

    def show(self, name: str) -> str:
        return git(self.repo, "show", name)

    def branch(
        self, name: str, files: Mapping[str, str | Path | None], *, base: str = "main~0", executable: Sequence[str] = ()
    ) -> str:
        """A branch with one commit on top of `base`, made beside the user's files; its name. None removes a file, a
        path makes a link."""
        index = str(self.repo.parent / f"index-{name.replace('/', '-')}")
        start = self._start if base == "main~0" else self.head(base)
        run = _Git(self.repo, {"GIT_INDEX_FILE": index})
        run("read-tree", start)
        for path, content in files.items():
            if content is None:
                run("update-index", "--force-remove", path)
                continue
            blob = run("hash-object", "-w", "--stdin", stdin=str(content)).strip()
            mode = "120000" if isinstance(content, Path) else "100755" if path in executable else "100644"
            run("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}")
        commit = run("commit-tree", run("write-tree").strip(), "-p", start, "-m", name).strip()
        run("update-ref", f"refs/heads/{name}", commit)
        return name

    @property
    def _start(self) -> str:
        """The first commit: where branches begin unless somebody says so."""
        return git(self.repo, "rev-list", "--max-parents=0", "main").strip()

    def deliver(self, files: Mapping[str, str], *, check: str) -> str:
        """The branch that a task on the repository has delivered."""
        asked = repository_desk.Desk.asked(self, check, guards_only=True, prompt=f"do what {check!r} wants")
        ended = self.run(asked, repository_desk.writes(files))
        assert ended.state == "done", ended
        self.runs.append(ended.run)
        return f"daybreak/{ended.run}"

    # -- merging

    def asked(self, *names: str, **more: Any) -> Asked:  # type: ignore[override]
        home = {"HOME": str(self.repo.parent)}
        return task.asked(self.ledger, self.repo, names, cwd=self.repo, environment=home, **more)

    def submit(self, asked: Asked) -> str:
        self.submitted = self.engine.submit(asked.kind, asked.title, asked.args, asked.placement)
        return self.submitted

    def finish(self) -> RunResult:
        return anyio.run(self.engine.supervise, self.submitted)

    def supervise(self, asked: Asked | str) -> RunResult:  # type: ignore[override]
        if isinstance(asked, str):
            return anyio.run(self.engine.supervise, asked)
        self.submit(asked)
        return self.finish()

    def merge(self, *names: str, **more: Any) -> tuple[RunResult, dict[str, Any]]:
        return self.resume(self.submit(self.asked(*names, **more)))

    def run_args(self, args: dict[str, Any]) -> tuple[RunResult, dict[str, Any]]:
        return self.resume(self.engine.submit(merge.KIND, "merge", args))

    def resume(self, run: str) -> tuple[RunResult, dict[str, Any]]:
        """How it ended, and what became of every branch."""
        ended = anyio.run(self.engine.supervise, run)
        told = [event.result for event in self.events(run, StepDone) if event.name == merge.OUTCOME]
        assert told, ended
        return ended, told[-1]

    def task(self, run: str) -> TaskAdded:
        found = (record.event for record in self.ledger.read(QUEUE))
        return next(event for event in found if isinstance(event, TaskAdded) and event.run == run)


class _Git:
    def __init__(self, repo: Path, extra: Mapping[str, str]) -> None:
        self._repo = repo
        who = {f"GIT_{role}_{what}": "Ada" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self._environment = {**os.environ, **GIT, **who, **extra}

    def __call__(self, *words: str, stdin: str = "") -> str:

        return subprocess.run(
            ["git", *words],
            cwd=self._repo,
            env=self._environment,
            input=stdin,
            check=True,
            capture_output=True,
            text=True,
        ).stdout


@contextmanager
def opened(folder: Path, files: Mapping[str, str], dispatch: Dispatch | None = None) -> Iterator[MergeDesk]:
    with repository_desk.opened(folder, files, dispatch) as desk:
        yield MergeDesk(desk)
