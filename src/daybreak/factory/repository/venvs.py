"""Virtual environments of Python that belong to a repository, and what a sandbox must let their programs read."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from daybreak.factory.repository.checks import PYTHON


def find(repository: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Virtual environments that belong to a repository, or that its user has entered; real, and each once."""
    named = [repository / ".venv", repository / "venv"]
    if told := environment.get("VIRTUAL_ENV"):
        named.append(Path(told))
    found = [Path(os.path.realpath(path)) for path in named if (path / "pyvenv.cfg").is_file()]
    return tuple(dict.fromkeys(found))


def python_of(program: str, venvs: Sequence[Path]) -> str:
    """The Python that runs a pytest command: of the first virtual environment, else ours."""
    if "/" in program and PurePosixPath(program).is_absolute():
        name = PurePosixPath(program)
        beside = name if PYTHON.fullmatch(name.name) else name.parent / "python"
        return str(beside)
    return next((str(venv / "bin" / "python") for venv in venvs if (venv / "bin" / "python").exists()), sys.executable)


def readable(venvs: Sequence[Path]) -> list[Path]:
    """What a sandbox must let programs of these environments read: themselves, and the Python below them."""
    found = list(venvs)
    for venv in venvs:
        real = Path(os.path.realpath(venv / "bin" / "python"))
        if real.exists() and not real.is_relative_to("/usr") and len(real.parents) > 2:
            found.append(real.parents[1])
    return list(dict.fromkeys(found))


def needed(venvs: Sequence[Path]) -> list[Path]:
    """What another machine must have to run their programs: the same, and what each calls its Python, which may lead
    to one of the system's own. Without that `python_of` would be ours there."""
    return [*readable(venvs), *(one for one in (venv / "bin" / "python" for venv in venvs) if one.exists())]
