"""The worker for every coding agent that is a program: starts it, listens, claims what it heard."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from daybreak.agents.command.adapter import Adapter, Job, Launch, Room
from daybreak.agents.command.adapters import MODULES, adapter
from daybreak.agents.command.ending import claim
from daybreak.agents.command.process import GRACE_S, LINGER_S, Running
from daybreak.agents.command.trouble import shown
from daybreak.agents.prompt import render
from daybreak.agents.protocol import Brief, Claim, Terms, Told
from daybreak.clock import Clock, SystemClock
from daybreak.errors import DaybreakError
from daybreak.host.program import clean_environment
from daybreak.settings import Worker

PROGRAM = "DAYBREAK_AGENT_PROGRAM"
"""Variable of the attempt's process: the agent's program, as the host found it."""
PATH = "DAYBREAK_AGENT_PATH"
"""Likewise: folders that go before PATH."""


class CommandAgent:
    """Asks the coding agent that `terms.settings` names. Everything about it is in `terms`."""

    def __init__(self, clock: Clock | None = None, *, grace_s: float = GRACE_S, linger_s: float = LINGER_S) -> None:
        self._clock = clock or SystemClock()
        self._grace_s, self._linger_s = grace_s, linger_s

    def work(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        """Raises nothing that is the agent's fault: what goes wrong is in the claim."""
        try:
            worker = Worker.model_validate(terms.settings)
        except ValidationError as problem:
            yield _unavailable(f"its settings are wrong: {problem.errors()[0]['loc']}: {problem.errors()[0]['msg']}")
            return
        if worker.kind not in MODULES:
            yield _unavailable(f"{worker.kind} is no coding agent that is a program")
            return
        found = adapter(worker.kind)
        gateway = terms.gateway
        if gateway is not None and found.apis and gateway.api not in found.apis:
            said = f"{found.name} speaks {' or '.join(found.apis)}, its provider {gateway.api}"
            yield _unavailable(said)
            return
        templates = Path(terms.templates) if terms.templates else None
        try:
            with _room(workspace) as room:
                job = Job(_program(found, worker), render(brief, folder=templates), room, worker, terms)
                yield from self._run(found, job)
        except (DaybreakError, OSError) as problem:
            yield _unavailable(str(getattr(problem, "message", problem)))

    def _run(self, found: Adapter, job: Job) -> Iterator[Told]:
        launch = found.launch(job)
        _write(launch)
        reader = found.reader(job.worker, self._clock)
        story = reader.story
        with Running(
            launch.argv,
            cwd=job.room.workspace,
            environment=_environment(job, launch),
            stdin=launch.stdin,
            time_s=job.terms.time_s,
            silence_s=job.terms.silence_s,
            grace_s=self._grace_s,
            linger_s=self._linger_s,
        ) as running:
            for line in running:
                yield from reader.read(line)
                running.hush(story.over)
        yield from reader.close(job.room.home)
        assert running.ended is not None, "its lines have come to their end"
        yield claim(story, running.ended, self._clock.now())


def _unavailable(text: str) -> Claim:
    return Claim(outcome="crashed", summary=shown(text, 1_000), trouble="unavailable")


def _program(found: Adapter, worker: Worker) -> tuple[str, ...]:
    """First words of the command; empty for an agent whose whole command is configured."""
    named = os.environ.get(PROGRAM) or worker.program or found.program
    return (named,) if named else ()


@contextmanager
def _room(workspace: Path) -> Iterator[Room]:
    """A home and a folder for temporary files, side by side, gone afterwards."""
    base = Path(tempfile.mkdtemp(prefix="agent-")).resolve()
    try:
        room = Room(workspace.resolve(), base / "home", base / "tmp")
        room.home.mkdir(mode=0o700)
        room.temporary.mkdir(mode=0o700)
        yield room
    finally:
        # What an agent made unreadable stays: the attempt's own folder is removed with all that is in it.
        shutil.rmtree(base, ignore_errors=True)


def _write(launch: Launch) -> None:
    for path, text in launch.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def _environment(job: Job, launch: Launch) -> dict[str, str]:
    """All of it: nothing of ours but what the settings name."""
    ours = os.environ
    search = [*ours.get(PATH, "").split(":"), *ours.get("PATH", "").split(":"), str(Path(sys.executable).parent)]
    values = clean_environment(job.room.home.parent, path=[one for one in dict.fromkeys(search) if one.startswith("/")])
    home = job.room.home
    values |= {"HOME": str(home), "TMPDIR": str(job.room.temporary)}
    values |= {f"XDG_{name}_HOME": str(home / folder) for name, folder in _XDG.items()}
    values |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", "CI": "1"}
    values |= {"GIT_TERMINAL_PROMPT": "0", "PAGER": "cat", "GIT_PAGER": "cat", "EDITOR": "true"}
    values |= {name: ours[name] for name in job.worker.environment if name in ours}
    return {**values, **launch.environment}


_XDG = {"CONFIG": ".config", "DATA": ".local/share", "STATE": ".local/state", "CACHE": ".cache"}
