"""The host's half: is the agent's program there, and what must be readable for it to run."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from daybreak.agents.acp import pointing
from daybreak.agents.acp.agent import MISSING
from daybreak.agents.found import Budget, Found, resolved, too_wide
from daybreak.host.process import DEFAULT_PATH
from daybreak.settings import Settings, Worker

_SYSTEM = tuple(map(Path, ("/usr", "/bin", "/lib", "/lib64", "/etc")))
"""Readable in every sandbox."""


def find(name: str, worker: Worker, settings: Settings, environment: Mapping[str, str]) -> Found:
    """See `agents.found`. Nothing is started."""
    words = worker.command or ((worker.program,) if worker.program else ())
    if not words:
        return Found(missing=f'{name} has no command: set `command = ["AGENT", "--acp"]` for it')
    if importlib.util.find_spec("acp") is None:
        return Found(missing=f"{name}: {MISSING}")
    search = environment.get("PATH", DEFAULT_PATH)
    program = shutil.which(words[0], path=search)
    if program is None:
        return Found(missing=f"{name}: there is no program {words[0]:.200} in PATH: install it, or correct `command`")
    program = os.path.abspath(program)
    given, missing = resolved(name, worker, environment)
    readable, folders = reach(Path(program), search)
    return Found(
        missing=missing,
        program=program,
        readable=readable,
        environment={"PATH": ":".join([*map(str, folders), DEFAULT_PATH]), **given},
        budget=_budget(worker),
    )


def reach(program: Path, search: str) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """What must be readable for `program` to run, and the folders of programs that it needs in its PATH.

    That is its own installation (the outermost `node_modules`, or its virtual environment, or the folder that it
    really lies in), and the same for the interpreter that its first line names."""
    readable, folders = [*_installation(program)], [program.parent]
    interpreter = _interpreter(program, search)
    if interpreter is not None:
        readable += _installation(interpreter)
        folders.append(interpreter.parent)
    outside = [one for one in readable if not any(one.is_relative_to(known) for known in _SYSTEM) and not too_wide(one)]
    return tuple(dict.fromkeys(outside)), tuple(dict.fromkeys(folders))


def _installation(program: Path) -> list[Path]:
    from daybreak.agents.outside.plugin import roots

    real = program.resolve()
    for path in (program, real):
        modules = [one for one in path.parents if one.name == "node_modules"]
        if modules:
            return [modules[-1]]
    if (program.parent.parent / "pyvenv.cfg").is_file():
        return list(roots(program))
    if real.parent.name == "bin":
        prefix = real.parent.parent  # an interpreter has its libraries beside `bin`
        if not too_wide(prefix):
            return [prefix]
        return [real, prefix / "lib"] if (prefix / "lib").is_dir() and prefix != Path("/") else [real]
    return [real.parent] if program.parent == real.parent and not too_wide(real.parent) else [real]


def _interpreter(program: Path, search: str) -> Path | None:
    """From `#!/path/to/python` or `#!/usr/bin/env node`."""
    with program.open("rb") as file:
        first = file.readline(512)
    if not first.startswith(b"#!"):
        return None
    words = os.fsdecode(first[2:]).split()
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    found = shutil.which(words[0], path=search) if words else None
    return Path(found) if found else None


def _budget(worker: Worker) -> Budget:
    """Hard only where it is told of the gateway and has no other way out."""
    told = [*worker.command, *pointing.texts(worker.options, "environment").values()]
    told += pointing.texts(worker.options, "files").values()
    pointed = bool(worker.provider) and pointing.points(told)
    return "hard" if pointed and not worker.network and not worker.environment else "soft"
