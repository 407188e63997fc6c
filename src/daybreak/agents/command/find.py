"""Is a coding agent there, and what does it need to be asked? On the host, before an attempt."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from daybreak.agents.command.adapter import Adapter
from daybreak.agents.command.adapters import adapter
from daybreak.agents.command.agent import PATH, PROGRAM
from daybreak.agents.found import Found, resolved, too_wide
from daybreak.errors import DaybreakError
from daybreak.host.program import DEFAULT_PATH
from daybreak.settings import Settings, Worker

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
"""Every sandbox can read them."""
_HEAD_BYTES = 512


def find(name: str, worker: Worker, settings: Settings, environment: Mapping[str, str]) -> Found:
    """Looks at files only; no agent is started. Raises SettingsWrong for an unknown provider."""
    kind = adapter(worker.kind)
    wanted = _wanted(kind, worker)
    if worker.kind == "generic":
        from daybreak.agents.command.generic import described

        try:
            described(worker)
        except DaybreakError as wrong:
            return Found(missing=f"{name}: {wrong.message}")
    search = environment.get("PATH", os.defpath)
    program = shutil.which(os.path.expanduser(wanted), path=search)
    if program is None:
        return Found(missing=f"{name}: {wanted} is not installed: {kind.install}")
    program = os.path.realpath(program)  # no link leads into a sandbox
    values, missing = resolved(name, worker, environment)
    missing = missing or _provided(name, kind, worker, settings, values)
    needs = _Needs(program, search)
    missing = missing or needs.missing
    values |= {PROGRAM: program, PATH: ":".join(map(str, needs.folders))}
    readable = tuple(dict.fromkeys([*needs.readable, *(Path(one).expanduser().resolve() for one in worker.readable)]))
    hard = bool(worker.provider) and not worker.network and (bool(kind.apis) or _placed(worker))
    return Found(
        missing=missing,
        version=_version(program),
        program=program,
        readable=readable,
        environment=values,
        budget="hard" if hard else "soft",
    )


def _wanted(kind: Adapter, worker: Worker) -> str:
    return worker.program or kind.program or (worker.command[0] if worker.command else worker.kind)


def _placed(worker: Worker) -> bool:
    """A generic command that is told where the gateway is."""
    return any("{url}" in word for word in worker.command)


def _provided(name: str, kind: Adapter, worker: Worker, settings: Settings, values: Mapping[str, str]) -> str:
    """A sentence where it could not reach any model; empty: it can, as far as can be seen here."""
    if worker.provider:
        api = settings.provider(worker.provider).api
        if kind.apis and api not in kind.apis:
            return f"{name}: {kind.name} speaks {' or '.join(kind.apis)}, and provider {worker.provider} {api}"
        if kind.apis and not worker.model:
            return f"{name}: no model is named: set `model` in its settings"
        return ""
    if kind.keys and not values:
        either = " or ".join(kind.keys)
        return f"{name} is not authenticated: give it a `provider`, or name {either} in its `environment`"
    if kind.keys and not worker.network:
        return f"{name} has no provider, so it needs `network = true` to reach its own (its budget is then soft)"
    return ""


class _Needs:
    """What a program reads beside itself: its package, and the interpreter of its first line."""

    def __init__(self, program: str, search: str) -> None:
        self.readable: list[Path] = []
        self.folders: list[Path] = []
        self.missing = ""
        self._allow(Path(program), search, depth=0)

    def _allow(self, program: Path, search: str, depth: int) -> None:
        real = program.resolve()
        for path in _package(real):
            self._read(path)
        if depth:
            self._named(program.parent.resolve())
        words = _interpreter(real)
        if not words or depth > 2:
            return
        if Path(words[0]).name == "env":
            words = [one for one in words[1:] if not one.startswith("-") and "=" not in one]
        found = shutil.which(words[0], path=search) if words else None
        if found is None:
            self.missing = f"{program.name} needs {words[0] if words else 'an interpreter'}, which is not installed"
            return
        self._allow(Path(found), search, depth + 1)

    def _named(self, folder: Path) -> None:
        """Where an interpreter is looked up by its name."""
        if str(folder) not in DEFAULT_PATH.split(":") and folder not in self.folders:
            self.folders.append(folder)
            self._read(folder)

    def _read(self, path: Path) -> None:
        inside = any(path.is_relative_to(one) for one in (*map(Path, _SYSTEM), *self.readable))
        if not inside and not too_wide(path):
            self.readable.append(path)


def _interpreter(program: Path) -> list[str]:
    try:
        with program.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return []  # it can be run, perhaps, but not looked at
    if not head.startswith(b"#!"):
        return []
    return head[2:].split(b"\n", 1)[0].decode("utf-8", "replace").split()


def _package(real: Path) -> list[Path]:
    """The folder that a program needs as a whole: the outermost `node_modules` it lies in (packages of packages lie
    beside it), its Python environment, an installation with `bin` and `lib` (of `~/.local` these two alone: beside them
    lie everybody's things), or the program alone."""
    for folder in reversed(real.parents):
        if folder.name == "node_modules":
            return [folder]
    for folder in real.parents:
        if (folder / "pyvenv.cfg").is_file() and not too_wide(folder):
            return [folder]
    top = real.parent.parent
    if real.parent.name == "bin" and (top / "lib").is_dir() and str(top) not in ("/", "/usr", "/usr/local"):
        return [real.parent, top / "lib"] if too_wide(top) else [top]
    return [real]


# -- the version


_versions: dict[tuple[str, float], str] = {}
_lock = threading.Lock()


def _version(program: str) -> str:
    """From the package's own description, where there is one: no process is started for it."""
    real = Path(program).resolve()
    key = (str(real), real.stat().st_mtime)
    with _lock:
        if key not in _versions:
            _versions[key] = _described(real)
        return _versions[key]


def _described(real: Path) -> str:
    for metadata in _distributions(real):
        found = re.search(r"^Version: (\S{1,60})$", metadata.read_text("utf-8", "replace"), re.MULTILINE)
        if found:
            return found[1]
    for folder in list(real.parents)[:4]:
        manifest = folder / "package.json"
        if manifest.is_file() and folder.name != "node_modules":
            found = re.search(r'"version"\s*:\s*"([^"]{1,60})"', manifest.read_text("utf-8", "replace"))
            if found:
                return found[1]
    return ""


def _distributions(real: Path) -> list[Path]:
    """The metadata of the Python distribution that a program belongs to, where its name tells."""
    name = {"mini": "mini_swe_agent", "aider": "aider_chat"}.get(real.name)
    if name is None:
        return []
    return sorted(real.parent.parent.glob(f"lib/python3*/site-packages/{name}-*.dist-info/METADATA"))
