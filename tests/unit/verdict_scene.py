"""Runs as their ledgers tell them, delivered for real and without any work, so that people can say what they think."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.repository_desk import ADD, SUB, git, make

from daybreak import events
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Queue
from daybreak.engine.placement import Placement
from daybreak.factory import deliver, verdicts
from daybreak.factory.validate.shadow import Shadow
from daybreak.ledger import Draft, Ledger
from daybreak.memory import VIEWS as MEMORY
from daybreak.policy import journal
from daybreak.policy.budget import Limit

ADA = "person ada"
CHECK = "python -c 'import calc'"
CLOCK = SystemClock()


@dataclass
class Scene:
    """`home` is the state folder; what is delivered lies beside it."""

    base: Path

    @property
    def places(self) -> Places:
        return Places.below(self.base / "home", "a test")

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        places = self.places
        views = [*VIEWS, *journal.VIEWS, *MEMORY]
        with Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=CLOCK, views=views) as ledger:
            yield ledger

    # -- runs

    def run(
        self,
        ledger: Ledger,
        kind: str,
        args: dict[str, Any],
        told: Sequence[events.Event],
        state: events.State = "done",
        subject: str | None = None,
    ) -> str:
        """A run of that story, whose events are told of run `""`."""
        placement = Placement(project="shop", priority=3, budget=Limit(attempts=4))
        run, drafts = Queue(ledger, CLOCK, os.urandom).drafts(kind, f"a {kind}", args, placement, subject=subject)
        ledger.append(drafts)
        lease = events.LeaseGranted(run=run, owner="o", host="h", pid=1)
        moved = events.RunMoved(run=run, old="running", new=state)
        story = [lease, *(type(one)(**{**_fields(one), "run": run}) for one in told), moved]
        stream = events.run_stream(run)
        ledger.append([Draft(stream, one, epoch=1, trace=run) for one in story])
        return run

    def build(self, ledger: Ledger, output: Path, text: str) -> str:
        """A project with one file, delivered to `output` over whatever it may be put over."""
        args = {"specification": "a" * 64, "specification_name": "s.md", "format": "md", "output": str(output)}
        run = self.run(ledger, "build", args, [], "running")
        packed = deliver.packed(output)
        project = self.base / f"project-{run}"
        project.mkdir()
        (project / "main.py").write_text(text)
        made = deliver.put(project, output, {"run": run})
        told = [
            gate("passed"),
            step("deliver", {"files": 1, "replaced": ledger.put_blob(packed) if packed else ""}),
            events.Delivered(run="", output=str(output), workspace="b" * 64, manifest=made.hash),
        ]
        self.say(ledger, run, told)
        return run

    def branch(self, ledger: Ledger, *, offer: bool = False) -> tuple[str, Path]:
        """One commit on a branch of a repository; the run and the repository."""
        repo = self.base / "calc"
        if not repo.exists():
            make(repo, {"calc.py": ADD, "other.py": "x = 1\n"})
        start = git(repo, "rev-parse", "main").strip()
        args = {
            "repository": str(repo.resolve()), "commit": start, "prompt": "add sub", "checks": [CHECK],
            "workers": ["json:one"], "author_name": "Ada", "author_email": "ada@example.org",
        }  # fmt: skip
        if offer:
            args["offer"] = {"forge": "hub", "repository": "ada/calc"}
        run = self.run(ledger, "repository", args, [], "running")
        git(repo, "checkout", "-q", "-b", f"daybreak/{run}")
        (repo / "calc.py").write_text(ADD + SUB)
        git(repo, "commit", "-q", "-a", "-m", "add sub")
        commit = git(repo, "rev-parse", "HEAD").strip()
        patch = ledger.put_blob(git(repo, "diff", start, commit).encode())
        git(repo, "checkout", "-q", "main")
        manifest = ledger.put_blob(json.dumps({"patch": patch}).encode())
        told: list[events.Event] = [
            events.CheckProved(run="", check=_named(CHECK), workspace="c" * 64, passed=True, summary="fine"),
            gate("passed"),
            step("deliver", {"commit": commit, "manifest": manifest}),
            events.Delivered(run="", output=f"{repo} (branch)", workspace="d" * 64, manifest=manifest),
        ]
        if offer:
            told.append(step("request", {"number": 7, "url": "https://hub.example/ada/calc/pull/7", "existed": False}))
        self.say(ledger, run, told)
        return run, repo

    def in_place(self, ledger: Ledger) -> tuple[str, Path]:
        """Two files changed, one added and one removed in a folder without a repository."""
        project = self.base / "project"
        project.mkdir()
        before = {"a.txt": "a\n", "b.txt": "b\n", "gone.txt": "was here\n"}
        after = {"a.txt": "A\n", "b.txt": "B\n", "new.txt": "new\n"}
        for name, text in before.items():
            (project / name).write_text(text)
        states = Shadow(self.base / "states", CLOCK)
        base, bundle = states.take(project, sorted(before))
        for name in before:
            (project / name).unlink()
        for name, text in after.items():
            (project / name).write_text(text)
        other = Shadow(self.base / "other", CLOCK)
        best, _ = other.take(project, sorted(after))
        git(states.repository, "fetch", "-q", str(other.repository), "+refs/*:refs/*")
        patch = ledger.put_blob(states.difference(base, best))
        args = {"folder": str(project), "fix": True, "delivery": "in-place", "around": {}}
        told = [
            step("take", {"commit": base, "bundle": ledger.put_blob(bundle)}),
            gate("passed"),
            step("deliver", {"output": f"{project} (4 files changed)", "manifest": "e" * 64, "patch": patch}),
            events.Delivered(run="", output=str(project), workspace="f" * 64, manifest="e" * 64),
        ]
        return self.run(ledger, "validate", args, told), project

    def say(self, ledger: Ledger, run: str, told: Sequence[events.Event]) -> None:
        """More of a run that was said to be running; then it is done."""
        story = [type(one)(**{**_fields(one), "run": run}) for one in told]
        story.append(events.RunMoved(run=run, old="running", new="done"))
        ledger.append([Draft(events.run_stream(run), one, epoch=1, trace=run) for one in story])

    # -- words

    def reject(self, ledger: Ledger, run: str, because: str, **more: Any) -> verdicts.Rejected:
        words = {"actor": ADA, "clock": CLOCK, "entropy": os.urandom, "locks": self.places.locks}
        return verdicts.reject(ledger, run, because, **{**words, **more})

    @property
    def around(self) -> dict[str, Any]:
        environment = {"HOME": str(self.base)}
        return {"places": self.places, "clock": CLOCK, "entropy": os.urandom, "environment": environment}

    def plan(self, ledger: Ledger, run: str, **more: Any) -> verdicts.Undone:
        return verdicts.plan(ledger, run, **self.around, **more)

    def undo(self, ledger: Ledger, run: str, **more: Any) -> verdicts.Undone:
        return verdicts.undo(ledger, run, actor=ADA, **self.around, **more)

    def killed_at(self, run: str, point: str) -> bool:
        """Undo it in a process that dies there, as by signal 9; False where it never came there. Nobody may have the
        ledger open."""
        child = os.fork()
        if child == 0:

            def die(reached: str) -> None:
                if reached == point:
                    os._exit(9)

            try:
                with self.ledger() as ledger:
                    self.undo(ledger, run, reached=die)
            finally:
                os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def step(name: str, result: Any) -> events.StepDone:
    return events.StepDone(run="", branch="", name=name, nth=0, args="0" * 64, result=result)


def gate(verdict: Any) -> events.GateDecided:
    return events.GateDecided(run="", attempt=1, workspace="b" * 64, verdict=verdict, score=100.0)


def files(root: Path) -> dict[str, str]:
    """Every file below it, and its content."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_text() for path in found}


def _fields(event: events.Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def _named(command: str) -> str:
    from daybreak.factory.repository import checks

    return checks.plan((command,))[0].name
