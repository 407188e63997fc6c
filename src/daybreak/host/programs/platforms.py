"""What this machine is called, where it looks for programs, and how one installs them here."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daybreak.host.naming import named
from daybreak.host.programs.program import Program, ProgramMisdescribed

_SYSTEM_MANAGERS = {"darwin": ("brew",), "win32": ("winget",)}
_LINUX_MANAGERS = ("apt", "dnf", "brew")
_LANGUAGE_MANAGERS = ("pip", "npm")
_LOOKED_FOR = {"apt": "apt-get", "pip": "pip3"}
"""What a manager's program is called, where it is not its own name."""
_INSTALL = {
    "apt": "apt-get install {}",
    "dnf": "dnf install {}",
    "brew": "brew install {}",
    "winget": "winget install --exact --id {}",
    "pip": "python -m pip install {}",
    "npm": "npm install --global {}",
}
_SYSTEM = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_EXTENSION = re.compile(r"\.[A-Za-z0-9_-]{1,20}")
_AS_ROOT = ("apt", "dnf")
_EXTENSIONS = (".com", ".exe", ".bat", ".cmd")


@dataclass(frozen=True)
class Platform:
    """A machine, as far as finding and installing programs goes. Tests make their own. Raises ProgramMisdescribed."""

    system: str
    """As `sys.platform`: linux, darwin, win32."""
    path: str
    """The value of PATH."""
    managers: tuple[str, ...] = ()
    """Package managers that are there, the one to use first in front."""
    extensions: tuple[str, ...] = ("",)
    """What a program's name may end with; on Windows from PATHEXT, in small letters."""
    root: bool = False
    """Whether we may install without `sudo`."""

    def __post_init__(self) -> None:
        _check_path(self.path)
        _check_system(self.system)
        _check_managers(self.managers)
        _check_extensions(self.extensions)
        if not isinstance(self.root, bool):
            raise ProgramMisdescribed(f"root is {named(self.root)}", hint="give True or False")

    @classmethod
    def this(cls, environment: Mapping[str, str] | None = None, system: str = sys.platform) -> Platform:
        """This machine, with the PATH of `environment` (default: that of this process) as it is now."""
        environment = os.environ if environment is None else environment
        _check_environment(environment)
        _check_system(system)
        path = environment.get("PATH", os.defpath)
        extensions: tuple[str, ...] = ("",)
        if system == "win32":
            listed = environment.get("PATHEXT", "").lower().split(";")
            extensions = tuple(filter(_EXTENSION.fullmatch, listed)) or _EXTENSIONS
        found = cls(system, path, (), extensions, root=_is_root())
        present = {name for name in (*_LINUX_MANAGERS, "winget", *_LANGUAGE_MANAGERS) if found._has(name)}
        order = (*_SYSTEM_MANAGERS.get(system, _LINUX_MANAGERS), *_LANGUAGE_MANAGERS)
        return cls(system, path, tuple(name for name in order if name in present), extensions, root=found.root)

    @property
    def folders(self) -> tuple[str, ...]:
        """The entries of PATH as they stand there; an empty one means the working directory."""
        return tuple(self.path.split(";" if self.system == "win32" else ":"))

    def install_hint(self, program: Program) -> str:
        """How to get the program here, as a sentence without its first capital."""
        program = Program.of(program)
        wanted = f"{program}" if program.versions else f"any {program.name}"
        for manager in self.managers:
            if manager in program.hints:
                return f"install {wanted}: {self._command(manager, program.hints[manager])}"
        if program.hints:
            ways = ", ".join(f"{manager}: {package}" for manager, package in program.hints.items())
            return f"install {wanted} (its packages are {ways}) and put it on PATH"
        return f"install {wanted} and put it on PATH"

    def _command(self, manager: str, package: str) -> str:
        sudo = "sudo " if manager in _AS_ROOT and not self.root else ""
        return sudo + _INSTALL[manager].format(package)

    def _has(self, manager: str) -> bool:
        name = _LOOKED_FOR.get(manager, manager)
        if "\0" in self.path:
            return False
        return any(
            Path(folder, name + extension).is_file()
            for folder in self.folders
            if Path(folder).is_absolute()
            for extension in self.extensions
        )


def _check_path(path: object) -> None:
    if not isinstance(path, str):
        raise ProgramMisdescribed(f"PATH is {named(path)}", hint="give a text, as in the environment")


def _check_system(system: object) -> None:
    if not isinstance(system, str) or not _SYSTEM.fullmatch(system):
        raise ProgramMisdescribed(f"{named(system)} is no system", hint="give what sys.platform says: linux")


def _check_managers(managers: object) -> None:
    if not isinstance(managers, tuple) or not all(isinstance(one, str) and one in _INSTALL for one in managers):
        raise ProgramMisdescribed(
            f"the package managers are {named(managers)}", hint=f"give a tuple of {', '.join(_INSTALL)}"
        )


def _check_extensions(extensions: object) -> None:
    if (
        not isinstance(extensions, tuple)
        or not extensions
        or not all(isinstance(one, str) and (one == "" or _EXTENSION.fullmatch(one)) for one in extensions)
    ):
        raise ProgramMisdescribed(
            f"the extensions are {named(extensions)}", hint='give a tuple of texts: (".exe", ".cmd"), or ("",)'
        )


def _check_environment(environment: object) -> None:
    names = ("PATH", "PATHEXT")
    if not isinstance(environment, Mapping) or not all(isinstance(environment.get(one, ""), str) for one in names):
        raise ProgramMisdescribed(f"the environment is {named(environment)}", hint='give {"PATH": "/usr/bin"}')


def checked(platform: object) -> Platform:
    """Itself, or this machine for None. Raises ProgramMisdescribed for what is none."""
    if platform is None:
        return Platform.this()
    if not isinstance(platform, Platform):
        raise ProgramMisdescribed(f"{named(platform)} is no Platform", hint="leave it out, or give Platform.this()")
    return platform


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
