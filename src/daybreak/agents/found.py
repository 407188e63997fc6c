"""Whether a worker can be asked here, or why not: the host's half of every worker.

Runs before an attempt, outside the sandbox, without network and without asking a model anything. Each kind of worker
has a finder in its own package, loaded only when it is asked for.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol, cast

from daybreak.errors import WorkerError
from daybreak.settings import COMMANDS, Settings, Worker

Budget = Literal["hard", "soft", "none"]


@dataclass(frozen=True)
class Found:
    """A worker that can be asked here, or why not."""

    missing: str = ""
    """Empty: it is there. Else a sentence for people: `codex is not installed: npm install -g @openai/codex`."""
    version: str = ""
    program: str = ""
    """Absolute, where it is a program."""
    readable: tuple[Path, ...] = ()
    """What the sandbox must let it read beside workspace and Python."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Variables for the attempt's process, with their values: named in the settings, resolved by the host."""
    budget: Budget = "none"
    """hard: all that it spends goes through the gateway; soft: it can spend past it; none: it spends nothing."""


class Finder(Protocol):
    """What each package of workers offers as `find`."""

    def __call__(self, name: str, worker: Worker, settings: Settings, environment: Mapping[str, str]) -> Found: ...


class FinderBroken(WorkerError):
    """The part of Daybreak that looks for this kind of worker cannot be loaded."""

    code = "W150"


_FINDERS: dict[str, str] = {
    **dict.fromkeys(COMMANDS, "daybreak.agents.command.find"),
    "acp": "daybreak.agents.acp.find",
    "model": "daybreak.agents.model.find",
    "outside": "daybreak.agents.outside.find",
}
"""Kind to the module whose `find` looks for it. What is not here needs nothing beside Python."""


def find(name: str, worker: Worker, settings: Settings, environment: Mapping[str, str]) -> Found:
    """Look for worker `name` on this machine; `environment` is the host's own.

    What is missing is told in `Found.missing`, never raised. Raises FinderBroken where Daybreak itself is incomplete,
    SettingsWrong where the configuration names a provider that it does not have.
    """
    if worker.kind not in _FINDERS:
        values, missing = resolved(name, worker, environment)
        return Found(missing=missing, environment=values, budget=_budget(worker))
    module = _FINDERS[worker.kind]
    try:
        finder = cast(Finder, importlib.import_module(module).find)
    except (ImportError, AttributeError) as error:
        raise FinderBroken(
            f"worker {name!r:.80}: kind {worker.kind} cannot be looked for: {error}",
            hint="install Daybreak again; if that does not help, take the worker out of daybreak.toml",
        ) from error
    return finder(name, worker, settings, environment)


def _budget(worker: Worker) -> Budget:
    """Of one that needs no program: it may have a way to a model all the same."""
    if worker.network or (worker.provider and worker.environment):
        return "soft"
    return "hard" if worker.provider else "none"


def too_wide(folder: Path) -> bool:
    """Whether a folder has much more in it than one program: nothing grants it, whatever lies in it. That is a home and
    whatever holds one, folders of everybody's things in it (`~/.local`), and those of the system."""
    homes = {Path.home(), Path(os.path.realpath(Path.home()))}
    if any(home.is_relative_to(folder) for home in homes):
        return True
    if any(folder == home / name for home in homes for name in _OF_A_HOME):
        return True
    return str(folder) in _OF_THE_SYSTEM or folder.parent == Path("/home")


_OF_A_HOME = (".local", ".local/share", ".local/state", ".config", ".cache", "Library", "Library/Application Support")
_OF_THE_SYSTEM = frozenset(
    ("/", "/root", "/home", "/tmp", "/var", "/etc", "/opt", "/srv", "/mnt", "/media", "/run", "/proc", "/sys", "/dev",
     "/boot", "/Users", "/var/tmp", "/var/lib", "/dev/shm")
)  # fmt: skip


def resolved(name: str, worker: Worker, environment: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The variables that `worker.environment` names, and a sentence on those that are not set (empty: all are)."""
    values = {variable: environment[variable] for variable in worker.environment if environment.get(variable)}
    missing = [variable for variable in worker.environment if variable not in values]
    if missing:
        return values, f"{name} is not authenticated: {', '.join(missing)} is not set"
    return values, ""
