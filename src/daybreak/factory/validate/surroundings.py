"""Where the programs come from that look at a project: its own environments, the user's PATH, and ours.

What a project's programs may read of the user's machine is listed here, folder by folder: toolchains, and caches of
packages that an offline build needs. Never a home folder, nor a folder in which keys of registries lie.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from daybreak.factory.repository import venvs
from daybreak.host.programs import Platform, Program, ProgramUnfit, find

KEPT = ("PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "GOMODCACHE", "GOPATH", "GRADLE_USER_HOME")
"""Variables that say where tools and their caches lie."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/nix/store", "/gnu/store")
_PYTHON_FOLDER = re.compile(r"python3\.\d+t?")


class Surroundings(BaseModel):
    """As they were when somebody asked. Kept in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    folder: str
    """The user's own copy of the project; real and absolute. Only what it has installed is read there."""
    venvs: tuple[str, ...] = ()
    """Virtual environments of Python, real; without one, ours."""
    environment: dict[str, str] = {}
    """Of `KEPT`, what was set."""

    @classmethod
    def of(cls, folder: Path, environment: Mapping[str, str]) -> Surroundings:
        return cls(
            folder=str(folder),
            venvs=tuple(map(str, venvs.find(folder, environment))),
            environment={name: environment[name] for name in KEPT if environment.get(name)},
        )

    @property
    def environments(self) -> tuple[Path, ...]:
        """The virtual environments that are still there."""
        return tuple(Path(path) for path in self.venvs if Path(path).is_dir())

    @property
    def python(self) -> str:
        """The interpreter that the project's Python runs under."""
        return venvs.python_of("python", self.environments)

    @property
    def python_words(self) -> str:
        """The same, for people."""
        if not self.environments:
            return f"Daybreak's own Python ({sys.version.split()[0]})"
        first = self.environments[0]
        inside = first.is_relative_to(self.folder)
        return f"the Python of {first.relative_to(self.folder) if inside else first}"

    def program(self, wanted: Program) -> tuple[Path | None, str]:
        """Where it lies on the user's PATH; or nothing, and how to install it."""
        platform = Platform.this(self.environment)
        try:
            return find(wanted, platform=platform).path, ""
        except ProgramUnfit as unfit:
            return None, f"{unfit.message}: {unfit.hint}"

    def has_module(self, name: str) -> bool:
        """Can the project's Python import it, as far as the folders of its packages show?"""
        if not self.environments:
            from importlib.util import find_spec

            return find_spec(name) is not None
        libraries = [
            folder / "site-packages"
            for folder in (self.environments[0] / "lib").glob("python*")
            if _PYTHON_FOLDER.fullmatch(folder.name)
        ]
        return any((folder / name).is_dir() or (folder / f"{name}.py").is_file() for folder in libraries)

    def local(self, name: str) -> Path | None:
        """A program that the project's `node_modules` holds."""
        path = Path(self.folder, "node_modules", ".bin", name)
        return path if path.exists() else None

    @property
    def node_modules(self) -> Path | None:
        path = Path(self.folder, "node_modules")
        return Path(os.path.realpath(path)) if path.is_dir() else None

    # -- for sandboxes

    def searched(self) -> list[Path]:
        """Folders of programs that are not the system's, in the user's order."""
        found = []
        for text in self.environment.get("PATH", "").split(os.pathsep):
            path = Path(text)
            if path.is_absolute() and path.is_dir() and not _is_system(Path(os.path.realpath(path))):
                found.append(path)
        return found

    def toolchain(self, *programs: str) -> list[Path]:
        """What has to be read for these programs to run: where each lies and where it was installed to. Of a folder
        that holds more than programs (a home, `~/.cargo`, `~/.local`) only the programs."""
        found: list[Path] = []
        for name in programs:
            path, _ = self.program(Program(name))
            if path is None:
                continue
            real = Path(os.path.realpath(path))
            found += [folder for folder in (path.parent, _installation(real, self._home)) if not _is_system(folder)]
        return [Path(os.path.realpath(one)) for one in dict.fromkeys(found)]

    def caches(self, language: str) -> dict[str, Path]:
        """Packages that were fetched before, by the variable or name that tells a tool of them."""
        home = self._home
        at = {name: Path(value) for name, value in self.environment.items() if value.startswith("/")}
        known = {
            "rust": {
                "CARGO_REGISTRY": at.get("CARGO_HOME", home / ".cargo") / "registry",
                "RUSTUP_HOME": at.get("RUSTUP_HOME", home / ".rustup"),
            },
            "go": {"GOMODCACHE": at.get("GOMODCACHE", at.get("GOPATH", home / "go") / "pkg" / "mod")},
            "java": {
                "MAVEN_REPOSITORY": home / ".m2" / "repository",
                "GRADLE_RO_DEP_CACHE": at.get("GRADLE_USER_HOME", home / ".gradle") / "caches",
            },
        }.get(language, {})
        return {name: Path(os.path.realpath(path)) for name, path in known.items() if path.is_dir()}

    @property
    def _home(self) -> Path:
        return Path(self.environment.get("HOME", "/nonexistent"))


def _installation(real: Path, home: Path) -> Path:
    """The folder that a program was installed to, if that is its alone; otherwise where it lies."""
    above = real.parents[1] if real.parent.name == "bin" and len(real.parents) > 2 else real.parent
    shared = {home, home / ".local", home / ".cargo", Path("/opt"), Path("/usr/local")}
    return real.parent if above in shared or home.is_relative_to(above) else above


def _is_system(path: Path) -> bool:
    return any(path.is_relative_to(system) for system in _SYSTEM)
